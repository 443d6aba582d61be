"""Decode, score and explain for records that are read again, by the pipeline's own stages."""

from collections.abc import Sequence

import msgspec
import numpy as np

from models.manifest import Calibration
from models.runtime import Runtime, Scored
from schemas.errors import UserError
from schemas.scoring import ModelRef, Reason
from stream_app.kafka.log import Record
from stream_app.pipeline import emit
from stream_app.pipeline.batch import Decided, Decoded, Reasoned
from stream_app.pipeline.explain import explain
from stream_app.pipeline.score import score
from stream_app.pipeline.serving import Serving
from stream_app.replay.log_decoder import LogDecoder, Tell
from stream_app.settings import Settings


class ReplayError(UserError):
    """The replay is impossible; the message says why, and what to do."""


class Rescorer:
    """The stages between consume and emit, with one model.

    Args:
        settings: Limits of decoding and explaining.
        runtime: The model.
        threshold: Replaces the threshold that the model was calibrated to.
        top: Reasons for each anomaly; None: as the settings say.
        tell: Called with how far the past of the records has been counted.

    Attributes:
        decode: What the model sees of records.
    """

    def __init__(
        self,
        settings: Settings,
        runtime: Runtime,
        threshold: float | None = None,
        top: int | None = None,
        tell: Tell = lambda _: None,
    ) -> None:
        manifest = runtime.manifest
        self.calibration: Calibration = manifest.calibration
        if threshold is not None:
            self.calibration = msgspec.structs.replace(manifest.calibration, threshold=threshold)
        self._serving = Serving(runtime, ModelRef(manifest.name, manifest.version, runtime.sha256), None, "")
        self.decode = LogDecoder(settings, manifest, tell)
        self._top = top or settings.explain_top

    def __call__(self, messages: Sequence[Record]) -> tuple[Decoded, Scored, Reasoned]:
        """Decode, score and explain the next records of each partition, in the order of its log."""
        decoded, scored = score(self._serving.runtime, self.decode(messages))
        return decoded, scored, explain(scored, self.calibration, self._top)

    @property
    def model(self) -> ModelRef:
        """The model that scores."""
        return self._serving.model

    def reasons(self, i: int, decoded: Decoded, scored: Scored, reasoned: Reasoned) -> list[Reason]:
        """The reasons of the i-th anomaly of a batch, as they would be published."""
        return emit.reasons(i, int(reasoned.rows[i]), Decided(self._serving, decoded, scored), reasoned)


def threshold_of(calibration: Calibration, budget: float) -> float:
    """The threshold for an alert budget, by interpolation of the exceedances as in `models.calibration`."""
    return float(np.interp(-budget, -np.asarray(calibration.exceedance), calibration.scores))
