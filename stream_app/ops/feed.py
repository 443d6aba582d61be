"""Reads the topics that the page shows, and puts what they hold on the board.

A record that cannot be read is counted and passed over: whoever wrote it, the page goes on.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from schemas.scoring import Label
from schemas.topics import ANOMALIES, DRIFT_ALERTS, LABELS
from stream_app.kafka import topics
from stream_app.kafka.log import Record
from stream_app.kafka.records import RecordDecoder, posted_at
from stream_app.metrics import Metrics
from stream_app.ops.board import Board
from stream_app.rollout.statuses import Statuses
from stream_app.settings import Settings

SHOWN = (ANOMALIES, LABELS, DRIFT_ALERTS)
# How far back a new worker reads what is frequent, so that its page is not blank. What is rare is read whole.
HISTORY = timedelta(hours=1)


class Feed:
    """Reads for the board, in the threads of the two tails.

    Args:
        settings: Names of the topics.
        board: Takes what they hold.
        statuses: Read on by `read_statuses`, and by nothing else.
        metrics: Counts labels and unreadable records, publishes the precision of the anomalies.
    """

    def __init__(self, settings: Settings, board: Board, statuses: Statuses, metrics: Metrics) -> None:
        self._board = board
        self._statuses = statuses
        self._metrics = metrics
        self._decoders = {
            topics.name(settings, topic): RecordDecoder[Any](topic.record, metrics.skip) for topic in SHOWN
        }

    def read(self, records: Sequence[Record], caught_up: bool) -> None:
        """Take in new records of one of the topics `SHOWN`."""
        for record in records:
            shown = self._decoders[record.topic() or ""].read(record)
            if shown is None:
                continue
            self._board.post(shown, posted_at(record))
            if isinstance(shown, Label):
                self._metrics.labels["fraud" if shown.fraud else "legitimate"].inc()
        if records:
            self._show_precision()

    def read_statuses(self, records: Sequence[Record], caught_up: bool) -> None:
        """Take in new records of `model-status`."""
        for record in records:
            status = self._statuses.read(record, caught_up)
            if status is not None:
                self._board.post(status, posted_at(record))

    def _show_precision(self) -> None:
        feedback = self._board.feedback
        self._metrics.anomalies_labelled.set(feedback.labelled)
        if feedback.precision is not None:
            self._metrics.precision.set(feedback.precision)
