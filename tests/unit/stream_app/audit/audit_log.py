"""Audit logs as several writers and a sealer make them, without Kafka."""

from datetime import UTC, datetime

import msgspec

from schemas.rollout import AuditRecord
from schemas.topics import AUDIT
from stream_app.audit.chain import Chain
from stream_app.audit.sealer import Unsealed, sealed
from stream_app.testing.memory_kafka import MemoryKafka

AT = datetime(2026, 7, 1, 12, tzinfo=UTC)


def record(number, actor="ann"):
    return AuditRecord(f"id-{number}", AT, actor, "stage", f"card-fraud {number}", "because", "done")


class Log:
    """Grows by writers' records and by seals; `values` is what stands on the topic."""

    def __init__(self):
        self._kafka = MemoryKafka()
        self._chains: dict[str, Chain] = {}
        self._unsealed = Unsealed()

    def write(self, writer, what=None):
        what = what or record(len(self.values), writer)
        value, self._chains[writer] = self._chains.get(writer, Chain()).link(what)
        self._append(value)

    def write_unchained(self):
        self._append(msgspec.json.encode(record(len(self.values))))

    def seal(self):
        seal = self._unsealed.seal()
        if seal is not None:
            self.write("controller", sealed("controller", seal))

    @property
    def values(self) -> list[bytes]:
        return [message.value() for message in self._kafka.visible[AUDIT.name]]

    def _append(self, value):
        self._kafka.append(AUDIT.name, value)
        self._unsealed.read(self._kafka.visible[AUDIT.name][-1:])


def logged(steps, unchained=0):
    """A log of these steps: a writer's number, or "seal"."""
    log = Log()
    for _ in range(unchained):
        log.write_unchained()
    for step in steps:
        log.seal() if step == "seal" else log.write(f"writer-{step}")
    return log.values


def numbered(values):
    """As they would stand on a topic that was written with them."""
    return list(enumerate(values))
