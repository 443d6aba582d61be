"""Puts the settings of a worker on the audit trail where they have changed since its last start; secrets never."""

from collections.abc import Callable, Mapping

from models.registry.address import without_credentials
from schemas.rollout import AuditRecord
from schemas.topics import AUDIT
from stream_app.audit.record import audit_record
from stream_app.audit.sealer import decoded
from stream_app.kafka.log import read_backwards
from stream_app.settings import Settings

ACTION = "configure"


def put_on_record(settings: Settings, audit: Callable[[AuditRecord], None]) -> None:
    """Compare with the last start under the same name, and record what has changed.

    Raises:
        BrokerError: the trail cannot be read.
    """
    now, before = shown(settings), last(settings)
    if now == before:
        return
    effect = difference(before, now) if before is not None else "first start under this name"
    audit(audit_record(settings.worker_name, ACTION, "settings", effect=effect, settings=now))


def shown(settings: Settings) -> dict[str, str]:
    """Each setting that differs from its default, as text. Of `[kafka]` the names alone: its values may be secrets."""
    changed = settings.model_dump(exclude_defaults=True)
    return {name: _text(value) for name, value in sorted(changed.items())}


def last(settings: Settings) -> dict[str, str] | None:
    """The settings that the last start under this name put on record; None where there was none."""
    for stretch in read_backwards(settings, AUDIT):
        found = None
        for message in stretch:
            found = _configured(message.value() or b"", settings.worker_name) or found
        if found is not None:
            return found.settings
    return None


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The changes in words."""
    names = sorted({name for name in before.keys() | now.keys() if before.get(name) != now.get(name)})
    return "; ".join(f"{name}: {before.get(name, 'default')} -> {now.get(name, 'default')}" for name in names)


def _configured(value: bytes, worker: str) -> AuditRecord | None:
    """The record, if it is one of this worker's settings."""
    record = decoded(value) if b'"configure"' in value else None
    return record if record is not None and (record.action, record.actor) == (ACTION, worker) else None


def _text(value: object) -> str:
    return ", ".join(sorted(value)) if isinstance(value, dict) else without_credentials(str(value))
