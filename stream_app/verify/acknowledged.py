"""Losses that a person has put on audit as known: `verify` counts them as such, and workers report them no more."""

from collections.abc import Sequence

from schemas.rollout import AuditRecord
from schemas.topics import AUDIT
from stream_app.kafka.log import Record, read_to_end
from stream_app.kafka.records import RecordDecoder, posted_at
from stream_app.pipeline.progress import Progress
from stream_app.settings import Settings

ACKNOWLEDGE = "acknowledge"


def acknowledged(settings: Settings) -> dict[str, str]:
    """Each loss that somebody has put on audit, and why it is one to live with."""
    records = RecordDecoder[AuditRecord](AuditRecord).each(read_to_end(settings, AUDIT))
    return {r.subject: f"{r.actor}: {r.reason}" for _, r in records if r.action == ACKNOWLEDGE}


class Acknowledgements:
    """Reads the audit log on, and tells the pipeline up to when losses are known: one command names all there are."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._decoder = RecordDecoder[AuditRecord](AuditRecord)

    def read(self, records: Sequence[Record], _caught_up: bool) -> None:
        """Take in new records of the log."""
        for record in records:
            found = self._decoder.decoded(record.value())
            if isinstance(found, AuditRecord) and found.action == ACKNOWLEDGE:
                self._progress.losses_known_until = posted_at(record)
