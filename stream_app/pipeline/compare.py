"""Shadow and canary scoring: a second model on the same batch, compared with the first; a canary decides for its share.

The second model can never take the stream down: if it raises or gives NaN, the first decides; if it is many times
slower, it is left out for a while.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from zlib import crc32

import numpy as np

from models.runtime import Scored
from schemas.comparison import Comparison
from stream_app.pipeline.batch import Decided, Decoded, Raw
from stream_app.pipeline.comparison_counter import ComparisonCounter
from stream_app.pipeline.serving import SecondModel, Serving

SLOW = 10.0  # times the first model's own time: beyond that it must rest
NOTICEABLE_S = 0.005
REST = 4.0  # times what it took: it then has a fifth of the thread at most
BUCKETS = 10_000  # percentages resolve to a hundredth

log = logging.getLogger(__name__)


class SecondScorer:
    """The second model of a worker, and the comparison of the open commit interval.

    Args:
        serving: The model in service.
        second: The model beside it.
        worker: This worker.
        decode: Decodes the inputs of the second model; None if both read the same.
        monotonic: Clock for durations, seconds.
    """

    def __init__(
        self,
        serving: Serving,
        second: SecondModel,
        worker: str,
        decode: Callable[[Raw], Decoded] | None,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._serving, self._second, self._worker = serving, second, worker
        self._decode = decode
        self._monotonic = monotonic
        self._counter = ComparisonCounter(serving, second)
        self._salt = int(self._second.model.sha256[:8], 16)
        self._rests_until = 0.0
        self._failed = ""
        self._reset()

    def _reset(self) -> None:
        self._errors = self._skipped = self._decided = 0
        self._first_s = self._second_s = 0.0

    def decide(self, raw: Raw, decoded: Decoded, scored: Scored, took_s: float) -> list[Decided]:
        """Score the rows with the second model too, and divide them between the two models.

        Args:
            raw: The batch.
            decoded: The m rows that the first model has scored.
            scored: Its outputs.
            took_s: How long that took.
        """
        alone = [Decided(self._serving, decoded, scored)]
        rows = len(decoded.rows)
        if not rows:
            return alone
        if self._monotonic() < self._rests_until:
            self._skipped += rows
            return alone
        try:
            return self._decide(decoded, scored, took_s, *self._inputs(raw, decoded)) or alone
        except Exception as error:  # any failure means the same: the first model decides
            self._errors += rows
            self._warn(f"{type(error).__name__}: {error}")
            return alone

    def drain(self) -> Comparison | None:
        """The comparison of the interval, which is empty after that; None if there was nothing to compare."""
        counts = self._counter.drain()
        if not (counts.rows or self._errors or self._skipped):
            return None
        first, second = (self._serving.model.sha256, self._first_s), (self._second.model.sha256, self._second_s)
        champion, candidate = (first, second) if self._second.is_candidate else (second, first)
        comparison = Comparison(
            trial_id=self._second.trial_id,
            worker=self._worker,
            champion=champion[0],
            candidate=candidate[0],
            rows=counts.rows,
            errors=self._errors,
            skipped=self._skipped,
            decided=self._decided,
            alerts=counts.alerts,
            levels=counts.levels,
            exceedances=counts.exceedances,
            tail_shift=counts.tail_shift,
            similarities=counts.similarities,
            champion_seconds=champion[1],
            candidate_seconds=candidate[1],
        )
        self._reset()
        return comparison

    def _warn(self, failure: str) -> None:
        """Log a failure once while it repeats: a broken model fails with every batch."""
        if failure != self._failed:
            log.warning("model %s cannot score: %s", self._second.model.sha256[:12], failure)
        self._failed = failure

    def _inputs(self, raw: Raw, decoded: Decoded) -> tuple[np.ndarray, np.ndarray]:
        """Raw inputs of the second model, float32 [m, inputs], and bool [m], the rows that it would not refuse."""
        if self._decode is None:
            return decoded.inputs, np.ones(len(decoded.rows), dtype=bool)
        own = self._decode(raw)
        accepted = np.isin(decoded.rows, own.rows)
        inputs = np.full((len(decoded.rows), own.inputs.shape[1]), np.nan, dtype=np.float32)
        inputs[accepted] = own.inputs[np.isin(own.rows, decoded.rows)]
        return inputs, accepted

    def _decide(
        self, decoded: Decoded, scored: Scored, took_s: float, inputs: np.ndarray, accepted: np.ndarray
    ) -> list[Decided]:
        outputs = self._score(inputs, took_s)
        usable = accepted & _finite(outputs)
        self._first_s += took_s
        self._errors += len(usable) - int(usable.sum())
        self._counter.add(scored, outputs, usable)
        chosen = usable & self._chosen(decoded.entities) if self._second.percent else np.zeros(len(usable), bool)
        if not chosen.any():
            return []
        self._decided += int(chosen.sum())
        theirs = replace(decoded.keep(chosen), inputs=inputs[chosen], refused=[])
        return [
            Decided(self._serving, decoded.keep(~chosen), scored.take(~chosen)),
            Decided(self._second, theirs, outputs.take(chosen)),
        ]

    def _score(self, inputs: np.ndarray, took_s: float) -> Scored:
        began = self._monotonic()
        outputs = self._second.runtime.score(inputs)
        took = self._monotonic() - began
        self._second_s += took
        if took > max(SLOW * took_s, NOTICEABLE_S):
            self._rests_until = began + took + REST * took
        rows = len(inputs)
        shapes = outputs.score.shape, outputs.contributions.shape, outputs.reconstruction.shape
        if shapes != ((rows,), inputs.shape, inputs.shape):
            raise ValueError(f"its outputs do not fit {rows} rows of {inputs.shape[1]} inputs")
        return outputs

    def _chosen(self, customers: Sequence[str]) -> np.ndarray:
        """Rows as bool [m]: the candidate decides for their customers, and for these and more with a larger share."""
        hashes = (crc32(customer.encode(), self._salt) for customer in customers)
        buckets = np.fromiter(hashes, dtype=np.uint32, count=len(customers)) % BUCKETS
        return np.asarray(buckets < self._second.percent * BUCKETS / 100)


def _finite(outputs: Scored) -> np.ndarray:
    """Rows as bool [m]: the model has scored them and can explain the score."""
    explained = np.isfinite(outputs.contributions).all(axis=1) & np.isfinite(outputs.reconstruction).all(axis=1)
    return np.asarray(np.isfinite(outputs.score) & explained)
