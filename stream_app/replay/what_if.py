"""What another model or threshold would have decided about a range of the input, compared with what was decided."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice

import msgspec
import numpy as np

from models.runtime import Runtime, one_thread
from schemas.scoring import Label, ModelRef, Source
from schemas.topics import ANOMALIES, LABELS, TRANSACTIONS
from stream_app.kafka.log import Record, read_to_end
from stream_app.kafka.offsets import Bounds
from stream_app.kafka.records import RecordDecoder
from stream_app.kafka.topics import present_id
from stream_app.replay.rescore import Rescorer
from stream_app.settings import Settings

Place = tuple[int, int]
"""Partition and offset."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One event that alerts now, or did when it was scored."""

    event_id: str
    partition: int
    offset: int
    score: float
    fraud: bool | None


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What a model and a threshold would have decided about a range, compared with what was decided.

    Attributes:
        model: The model.
        threshold: Least score of an alert.
        events: Records read.
        refused: Of these, not scored.
        alerts_then: Anomalies that were published.
        alerts_now: Alerts of this model and threshold.
        gained: Alerts of this model and threshold that were not published.
        lost: Published anomalies that are no alert now.
        labelled: Scored events whose label is known.
        frauds: Of these, frauds.
        caught_then: Frauds among the published anomalies.
        caught_now: Frauds among the alerts.
        false_then: Confirmed legitimate events among the published anomalies.
        false_now: Confirmed legitimate events among the alerts.
        scores: float32 [scored], in the order of reading.
        fraud: int8 [scored], 1 fraud, 0 legitimate, -1 unknown.
        remark: What else a person should know; empty: nothing.
    """

    model: ModelRef
    threshold: float
    events: int
    refused: int
    alerts_then: int
    alerts_now: int
    gained: list[Alert]
    lost: list[Alert]
    labelled: int
    frauds: int
    caught_then: int
    caught_now: int
    false_then: int
    false_now: int
    scores: np.ndarray
    fraud: np.ndarray
    remark: str = ""


def what_if(
    settings: Settings,
    bounds: Bounds,
    runtime: Runtime,
    threshold: float | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> WhatIf:
    """Score a range of the input again.

    Args:
        settings: Where the topics are.
        bounds: The range, by partition.
        runtime: The model.
        threshold: Replaces the threshold that it was calibrated to.
        on_progress: Called with the number of records done.

    Raises:
        BrokerError: the topics cannot be read.
    """
    rescore = Rescorer(settings, runtime, threshold)
    limit = rescore.calibration.threshold
    then, labels = _published(settings, bounds), _labels(settings)
    batches, events = [], 0
    messages = read_to_end(settings, TRANSACTIONS, bounds=bounds)
    with one_thread():
        while batch := list(islice(messages, settings.batch_max_events)):
            batches.append(_decide_again(batch, rescore, then, labels))
            events += len(batch)
            on_progress(events)
    every, labelled = _joined([b.scores for b in batches], np.float32), _joined([b.fraud for b in batches], np.int8)
    before, now = _joined([b.was for b in batches], np.bool_), every >= limit
    return WhatIf(
        model=rescore.model,
        threshold=limit,
        events=events,
        refused=events - every.size,
        alerts_then=int(before.sum()),
        alerts_now=int(now.sum()),
        gained=[alert for done in batches for alert in done.gained],
        lost=[alert for done in batches for alert in done.lost],
        labelled=int((labelled >= 0).sum()),
        frauds=int((labelled == 1).sum()),
        caught_then=int((before & (labelled == 1)).sum()),
        caught_now=int((now & (labelled == 1)).sum()),
        false_then=int((before & (labelled == 0)).sum()),
        false_now=int((now & (labelled == 0)).sum()),
        scores=every,
        fraud=labelled,
        remark=rescore.decode.remark,
    )


@dataclass(frozen=True, slots=True)
class _Batch:
    """A micro-batch scored again: `scores` and `fraud` as in `WhatIf`; `was`, whether an anomaly was published."""

    scores: np.ndarray
    fraud: np.ndarray
    was: np.ndarray
    gained: list[Alert]
    lost: list[Alert]


def _decide_again(messages: Sequence[Record], rescore: Rescorer, then: Set[Place], labels: Mapping[str, int]) -> _Batch:
    decoded, scored, _ = rescore(messages)
    places = [_place(messages[row]) for row in decoded.rows]
    fraud = np.array([labels.get(i, -1) for i in decoded.event_ids], dtype=np.int8)
    was = np.array([place in then for place in places], dtype=np.bool_)
    now = scored.score >= rescore.calibration.threshold

    def alert(row: int) -> Alert:
        label = None if fraud[row] < 0 else bool(fraud[row])
        return Alert(decoded.event_ids[row], *places[row], float(scored.score[row]), label)

    gained, lost = (list(map(alert, np.flatnonzero(rows).tolist())) for rows in (now & ~was, was & ~now))
    return _Batch(scored.score, fraud, was, gained, lost)


def _joined(parts: list[np.ndarray], kind: type[np.generic]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0, dtype=kind)


class _Placed(msgspec.Struct):
    """The field of an anomaly that is needed here."""

    source: Source


def _published(settings: Settings, bounds: Bounds) -> set[Place]:
    """Places in the range for which an anomaly was published; those of a topic of before are not in it."""
    present = present_id(settings)
    found = set()
    for _, placed in RecordDecoder[_Placed](_Placed).each(read_to_end(settings, ANOMALIES)):
        source = placed.source
        first, end = bounds.get(source.partition, (0, 0))
        if first <= source.offset < end and source.topic_id in ("", present):
            found.add((source.partition, source.offset))
    return found


def _place(message: Record) -> Place:
    return message.partition() or 0, message.offset() or 0


def _labels(settings: Settings) -> dict[str, int]:
    """Event id to its latest label: 1 for fraud, 0 for legitimate."""
    labels = RecordDecoder[Label](Label).each(read_to_end(settings, LABELS))
    return {label.event_id: int(label.fraud) for _, label in labels}
