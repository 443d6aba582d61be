"""A worker's settings in, an audit record out when they are not those of its last start. Values of secrets never."""

import re
from collections.abc import Callable, Mapping

import msgspec

from schemas.rollout import AuditRecord
from schemas.topics import AUDIT
from stream_app.audit.record import audit_record
from stream_app.kafka.log import read_to_end
from stream_app.settings import Settings

ACTION = "configure"
_CREDENTIALS = re.compile(r"//[^/@\s]+@")  # of a URL


def put_on_record(settings: Settings, audit: Callable[[AuditRecord], None]) -> None:
    """Compare with the last start under the same name, and write what is different.

    Raises:
        BrokerError: the trail cannot be read.
    """
    now, before = shown(settings), last(settings)
    if now == before:
        return
    effect = difference(before, now) if before is not None else "first start under this name"
    audit(audit_record(settings.worker_name, ACTION, "settings", effect=effect, settings=now))


def shown(settings: Settings) -> dict[str, str]:
    """Each setting that is not the default, as text. Of `[kafka]` the names alone: its values may be secrets."""
    changed = settings.model_dump(exclude_defaults=True)
    return {name: _text(value) for name, value in sorted(changed.items())}


def last(settings: Settings) -> dict[str, str] | None:
    """What the last start under this name has put on record; None where there was none."""
    decode = msgspec.json.Decoder(AuditRecord).decode
    found = None
    for message in read_to_end(settings, AUDIT):
        value = message.value() or b""
        if b'"configure"' not in value:
            continue
        try:
            record = decode(value)
        except (msgspec.DecodeError, UnicodeError):
            continue
        if record.action == ACTION and record.actor == settings.worker_name:
            found = record.settings
    return found


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What changed, a setting after the other."""
    names = sorted({name for name in before.keys() | now.keys() if before.get(name) != now.get(name)})
    return "; ".join(f"{name}: {before.get(name, 'default')} -> {now.get(name, 'default')}" for name in names)


def _text(value: object) -> str:
    return ", ".join(sorted(value)) if isinstance(value, dict) else _CREDENTIALS.sub("//***@", str(value))
