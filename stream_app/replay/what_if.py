"""A range of the input in, what a model and a threshold would have decided of it out, beside what was decided."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from models.runtime import Runtime, one_thread
from schemas.topics import ANOMALIES, LABELS, TRANSACTIONS
from schemas.transactions import Label, ModelRef, Source
from stream_app.kafka import ranges
from stream_app.kafka.log import read_to_end
from stream_app.kafka.ranges import Spans
from stream_app.kafka.topics import name
from stream_app.replay.rescore import Rescorer
from stream_app.settings import Settings


@dataclass(frozen=True, slots=True)
class Alert:
    """One transaction that alerts, or did."""

    transaction_id: str
    partition: int
    offset: int
    score: float
    fraud: bool | None


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What a model and a threshold would have decided of a range, beside what was decided.

    Attributes:
        model: The model.
        threshold: The score from which on it alerts.
        events: Records read.
        refused: Of these, not scored.
        alerts_then: Anomalies that were published of the range.
        alerts_now: Alerts of this model and threshold.
        gained: Alerts that were none.
        lost: Anomalies that would be no alert.
        labelled: Scored transactions whose label is known.
        frauds: Of these, frauds.
        caught_then: Of the frauds, those that were anomalies.
        caught_now: Of the frauds, those that alert.
        false_then: Anomalies that are confirmed legitimate.
        false_now: Alerts that are confirmed legitimate.
        scores: float32 [scored], in the order of reading.
        fraud: int8 [scored], 1 fraud, 0 legitimate, -1 not known.
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


def what_if(
    settings: Settings,
    spans: Spans,
    runtime: Runtime,
    threshold: float | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> WhatIf:
    """Decide of a range again.

    Args:
        settings: Where the topics are.
        spans: What to read of the input.
        runtime: The model that decides.
        threshold: Another one than it was calibrated to.
        on_progress: Told how many offsets are done.

    Raises:
        BrokerError: the topics cannot be read.
    """
    rescore = Rescorer(settings, runtime, threshold)
    limit = rescore.calibration.threshold
    then, labels = _decided(settings, spans), _labels(settings)
    batches, events = [], 0
    with one_thread():
        for messages in ranges.read(settings, name(settings, TRANSACTIONS), spans, settings.batch_max_events):
            batches.append(_decide_again(messages, rescore, then, labels))
            events += len(messages)
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
        gained=[alert for batch in batches for alert in batch.gained],
        lost=[alert for batch in batches for alert in batch.lost],
        labelled=int((labelled >= 0).sum()),
        frauds=int((labelled == 1).sum()),
        caught_then=int((before & (labelled == 1)).sum()),
        caught_now=int((now & (labelled == 1)).sum()),
        false_then=int((before & (labelled == 0)).sum()),
        false_now=int((now & (labelled == 0)).sum()),
        scores=every,
        fraud=labelled,
    )


@dataclass(frozen=True, slots=True)
class _Batch:
    """A micro-batch of one partition, decided again; arrays as of `WhatIf`, and whether it was an anomaly."""

    scores: np.ndarray
    fraud: np.ndarray
    was: np.ndarray
    gained: list[Alert]
    lost: list[Alert]


def _decide_again(
    messages: list[Any], rescore: Rescorer, then: Mapping[int, list[int]], labels: Mapping[str, int]
) -> _Batch:
    decoded, scored, _ = rescore(messages)
    offsets = np.array([message.offset() for message in messages])[decoded.rows]
    partition = messages[0].partition() or 0
    fraud = np.array([labels.get(i, -1) for i in decoded.transaction_ids], dtype=np.int8)
    was, now = np.isin(offsets, then.get(partition, [])), scored.score >= rescore.calibration.threshold

    def alert(row: int) -> Alert:
        verdict = None if fraud[row] < 0 else bool(fraud[row])
        return Alert(decoded.transaction_ids[row], partition, int(offsets[row]), float(scored.score[row]), verdict)

    gained, lost = (list(map(alert, np.flatnonzero(rows).tolist())) for rows in (now & ~was, was & ~now))
    return _Batch(scored.score, fraud, was, gained, lost)


def _joined(parts: list[np.ndarray], kind: type[np.generic]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0, dtype=kind)


class _Placed(msgspec.Struct):
    """The one field of an anomaly that is needed here."""

    source: Source


def _decided(settings: Settings, spans: Spans) -> dict[int, list[int]]:
    """Partition to the offsets in these spans of which an anomaly was published."""
    decode = msgspec.json.Decoder(_Placed).decode
    found: dict[int, list[int]] = defaultdict(list)
    for message in read_to_end(settings, ANOMALIES):
        source = decode(message.value() or b"{}").source
        first, end = spans.get(source.partition, (0, 0))
        if first <= source.offset < end:
            found[source.partition].append(source.offset)
    return found


def _labels(settings: Settings) -> dict[str, int]:
    """Transaction to 1 for fraud, 0 for legitimate, by its latest label."""
    decode = msgspec.json.Decoder(Label).decode
    found = {}
    for message in read_to_end(settings, LABELS):
        try:
            label = decode(message.value() or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        found[label.transaction_id] = int(label.fraud)
    return found
