"""Reads the ledger: what each summary on `drift-summaries` accounts for."""

from collections import defaultdict

from schemas.drift import DriftSummary
from schemas.topics import DRIFT_SUMMARIES
from stream_app.kafka.log import read_to_end
from stream_app.kafka.records import RecordDecoder
from stream_app.settings import Settings
from stream_app.verify.ledger import LedgerSpan


def read_spans(settings: Settings) -> dict[int, list[LedgerSpan]]:
    """Input partition to its spans, in the order of the log."""
    decoder = RecordDecoder[DriftSummary](DriftSummary)
    spans = defaultdict(list)
    for _, s in decoder.each(read_to_end(settings, DRIFT_SUMMARIES)):
        spans[s.partition].append(
            LedgerSpan(
                s.from_offset,
                s.to_offset,
                s.scored,
                s.dead_lettered,
                s.anomalies,
                s.model_sha256,
                s.candidate_sha256,
                s.candidate_anomalies,
                s.topic_id,
                s.lost,
            )
        )
    return spans
