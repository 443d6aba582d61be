"""Scores a micro-batch with the serving model. A row that it cannot score is refused, not passed on as NaN."""

import numpy as np

from models.runtime import Runtime, Scored
from schemas.scoring import RefusalCode
from stream_app.pipeline.batch import Decoded


def score(runtime: Runtime, decoded: Decoded) -> tuple[Decoded, Scored]:
    """Score a micro-batch.

    Returns:
        The batch without the rows that have no finite score, and the model's outputs for the others, row by row.
    """
    scored = runtime.score(decoded.inputs)
    unscorable = ~np.isfinite(scored.score)
    if unscorable.any():
        why = "the model gives no finite score for this record"
        decoded = decoded.refuse(dict.fromkeys(np.flatnonzero(unscorable).tolist(), why), RefusalCode.NOT_SCORABLE)
        scored = runtime.score(decoded.inputs)
    return decoded, scored
