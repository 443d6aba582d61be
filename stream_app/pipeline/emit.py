"""Writes the output records: anomalies, dead letters, summaries, status; scores and latents if switched on.

All of them go into the open transaction. Nothing here waits for the broker, only for room in the client's queue.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from confluent_kafka import KafkaException, Producer

from models.runtime import Scored
from models.usual import usual
from schemas.comparison import Comparison
from schemas.drift import DriftSummary
from schemas.rollout import ModelStatus
from schemas.scoring import Anomaly, DeadLetter, Latent, Reason, Score, Source
from stream_app.kafka.clients import RECORD_BYTES
from stream_app.kafka.log import Record
from stream_app.kafka.records import headers_of, milliseconds_of, moment_of
from stream_app.kafka.schema_registry import SchemaRegistry
from stream_app.pipeline.batch import Decided, Decoded, Raw, Reasoned, Refusal
from stream_app.pipeline.faults import error_of, raise_for
from stream_app.pipeline.fields import LONGEST_TEXT, shown
from stream_app.pipeline.formats.readers import values_of
from stream_app.pipeline.window_records import CUT, CUT_HEADER, StateRecord, TotalsRecord

QUEUE_FULL_WAIT_S = 0.05
LEAST_SHARE = 0.01  # an input with a smaller part of the score is no reason for it
DEAD_LETTER_VALUE_MAX = 11 * 1024 * 1024  # in base64 and with its frame still below the topic's max.message.bytes
DEAD_LETTER_MAX = RECORD_BYTES - 256 * 1024  # record key included; the rest is for the frames of Kafka and lz4

encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Outputs:
    """Full names of the topics that the pipeline reads and writes; None if switched off."""

    transactions: str
    anomalies: str
    dead_letters: str
    drift_summaries: str
    comparisons: str
    model_status: str
    window_state: str
    window_totals: str
    scores: str | None
    latents: str | None


class Emitter:
    """Puts records into the producer's queue; places on the input carry the topic's id."""

    def __init__(
        self,
        producer: Producer,
        outputs: Outputs,
        topic_id: str,
        now: Callable[[], datetime],
        registry: SchemaRegistry | None = None,
    ) -> None:
        self._registry = registry
        self._producer = producer
        self._outputs = outputs
        self._topic_id = topic_id
        self._now = now

    def outcomes(self, raw: Raw, decided: Decided, reasoned: Reasoned) -> None:
        """The outcomes of the rows that one model decides, and the dead letters of the batch."""
        decoded, scored, sha256 = decided.decoded, decided.scored, decided.author.model.sha256
        self._anomalies(raw, decided, reasoned)
        if self._outputs.scores is not None:
            self._scores(self._outputs.scores, raw, decoded, scored, sha256)
        if self._outputs.latents is not None:
            self._latents(self._outputs.latents, raw, decoded, scored, sha256)
        self.dead_letters(raw, decoded.refused)

    def dead_letters(self, raw: Raw, refused: Iterable[Refusal]) -> None:
        """Records of a batch that were refused, whole."""
        for refusal in refused:
            self._send(self._outputs.dead_letters, *_fitted(self._dead_letter(raw, refusal)))
        self._producer.poll(0)

    def copies(self, topic: str, records: Iterable[Record], keys: Iterable[str]) -> None:
        """Records as they are, with their headers and timestamps, under other keys."""
        for record, key in zip(records, keys, strict=True):
            at = milliseconds_of(record) or 0  # of one without a time the client takes its own
            self._send(topic, key.encode(), record.value(), headers=headers_of(record), timestamp=at)

    def summaries(self, summaries: Iterable[DriftSummary]) -> None:
        """The ledger and the drift sums of a commit."""
        for summary in summaries:
            placed = msgspec.structs.replace(summary, topic_id=self._topic_id)
            self._send(self._outputs.drift_summaries, str(summary.partition).encode(), encode(placed))

    def comparison(self, comparison: Comparison) -> None:
        """The comparison of two models over a commit."""
        self._send(self._outputs.comparisons, comparison.worker.encode(), encode(comparison))

    def window_state(self, records: Iterable[StateRecord], partitions: int) -> None:
        """Records of a checkpoint, each in the place of its input partition among so many."""
        for entry in records:
            headers = None if entry.value is not None else [(CUT_HEADER, CUT.pack(entry.cut))]
            place = entry.partition % partitions
            self._send(self._outputs.window_state, entry.key, entry.value, partition=place, headers=headers)

    def window_totals(self, records: Iterable[TotalsRecord], partitions: int) -> None:
        """What other entities add up to, each record in the place of its input partition among so many."""
        for entry in records:
            place = entry.partition % partitions
            self._send(self._outputs.window_totals, entry.key, entry.value, partition=place)

    def status(self, status: ModelStatus) -> None:
        """The model that this worker serves, and from which offsets on."""
        self._send(self._outputs.model_status, status.worker.encode(), encode(status))

    def _anomalies(self, raw: Raw, decided: Decided, reasoned: Reasoned) -> None:
        decoded, scored, author = decided.decoded, decided.scored, decided.author
        now, manifest = self._now(), author.runtime.manifest
        threshold, event = manifest.calibration.threshold, manifest.definition.event
        fields = values_of(event, event.show, self._registry)
        for i, row in enumerate(reasoned.rows.tolist()):
            source = self._source(raw, int(decoded.rows[row]))
            anomaly = Anomaly(
                anomaly_id=str(source),
                event_id=decoded.event_ids[row],
                entity=decoded.entities[row],
                event_time=decoded.event_times[row],
                scored_at=now,
                score=float(scored.score[row]),
                threshold=threshold,
                p_value=float(reasoned.p_values[i]),
                severity=reasoned.severities[i],
                explanation=reasons(i, row, decided, reasoned),
                model=author.model,
                source=source,
                fields=shown(fields(raw.records[int(decoded.rows[row])])) if event.show else {},
            )
            self._send(self._outputs.anomalies, anomaly.entity.encode(), encode(anomaly))

    def _scores(self, topic: str, raw: Raw, decoded: Decoded, scored: Scored, sha256: str) -> None:
        columns = (decoded.rows.tolist(), decoded.event_ids, decoded.entities, decoded.event_times)
        for score, (row, event_id, entity, time) in zip(scored.score.tolist(), zip(*columns, strict=True), strict=True):
            record = Score(event_id, entity, time, score, sha256, self._source(raw, row))
            self._send(topic, entity.encode(), encode(record))

    def _latents(self, topic: str, raw: Raw, decoded: Decoded, scored: Scored, sha256: str) -> None:
        columns = (decoded.rows.tolist(), decoded.event_ids, decoded.entities, decoded.event_times)
        for latent, (row, event_id, entity, time) in zip(
            scored.latent.tolist(), zip(*columns, strict=True), strict=True
        ):
            record = Latent(event_id, entity, time, latent, sha256, self._source(raw, row))
            self._send(topic, entity.encode(), encode(record))

    def _dead_letter(self, raw: Raw, refusal: Refusal) -> DeadLetter:
        source, record, value = self._source(raw, refusal.row), raw.records[refusal.row], raw.values[refusal.row]
        headers, remark = _headers(record)
        return DeadLetter(
            dead_letter_id=str(source),
            code=refusal.code,
            reason=refusal.sentence + remark,
            source=source,
            produced_at=moment_of(record),
            refused_at=self._now(),
            key=record.key(),
            value=None if value is None else value[:DEAD_LETTER_VALUE_MAX],
            value_size=0 if value is None else len(value),
            headers=headers,
        )

    def _source(self, raw: Raw, row: int) -> Source:
        return Source(self._outputs.transactions, raw.partitions[row], raw.offsets[row], self._topic_id)

    def _send(self, topic: str, key: bytes | None, value: bytes | None, **more: Any) -> None:
        while True:
            try:
                return self._producer.produce(topic, value, key, **more)
            except BufferError:  # the client's queue is full until the broker takes some of it
                self._producer.poll(QUEUE_FULL_WAIT_S)
            except KafkaException as exception:
                raise_for(error_of(exception), f"writing to {topic}")


def _fitted(letter: DeadLetter) -> tuple[bytes | None, bytes]:
    """Key and value of a dead letter's record, without key and headers if these are too large for any topic."""
    key, value = letter.key, encode(letter)
    if len(value) + len(key or b"") <= DEAD_LETTER_MAX:
        return key, value
    remark = "; its key and headers are left out here: together they are too large"
    return None, encode(msgspec.structs.replace(letter, reason=letter.reason + remark, key=None, headers=[]))


def _headers(record: Record) -> tuple[list[tuple[str, bytes | None]], str]:
    """The headers, and a remark. The client fails on header names that are not UTF-8."""
    headers = headers_of(record)
    if headers is None:
        return [], "; its headers are left out here: a name among them is not UTF-8"
    return headers, ""


def reasons(i: int, row: int, decided: Decided, reasoned: Reasoned) -> list[Reason]:
    """The published reasons of the i-th anomaly among the decided rows, which is in row `row` of these."""
    decoded, scored, inputs = decided.decoded, decided.scored, decided.author.runtime.manifest.inputs
    found: list[Reason] = []
    event = decoded.inputs[row]
    for column, share in zip(reasoned.top[i].tolist(), reasoned.shares[i].tolist(), strict=True):
        if found and share < LEAST_SHARE:
            break
        value = float(event[column])
        texts = decoded.texts.get(column)
        found.append(
            Reason(
                feature=inputs[column].name,
                value=None if math.isnan(value) else value,
                expected=float(scored.reconstruction[row, column]),
                share=share,
                unit=inputs[column].unit,
                usual=usual(inputs, column, event),
                text="" if texts is None else texts[row][:LONGEST_TEXT],
            )
        )
    return found
