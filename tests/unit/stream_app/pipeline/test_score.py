"""Scoring: what the model cannot score is refused, and the rest of the batch does not notice."""

from types import SimpleNamespace

import numpy as np

from schemas.scoring import RefusalCode
from stream_app.pipeline.decode import Decoder
from stream_app.pipeline.score import score
from tests.unit.stream_app.pipeline.rows import DEFINITION, encoded, raw, scored

decode = Decoder(DEFINITION, 10_000)


class Fragile:
    """A model that gives NaN for one amount."""

    def score(self, inputs: np.ndarray) -> SimpleNamespace:
        said = scored(len(inputs))
        said.score[inputs[:, 0] == 13] = np.nan
        return said


def test_a_row_without_a_finite_score_becomes_a_refusal():
    decoded, said = score(Fragile(), decode(raw(encoded(), encoded(amount=13), encoded(amount=7))))
    assert decoded.rows.tolist() == [0, 2]
    assert [(refusal.row, refusal.code) for refusal in decoded.refused] == [(1, RefusalCode.NOT_SCORABLE)]
    assert len(said.score) == len(decoded.entities) == 2
    assert np.isfinite(said.score).all()
