"""Audit records in, the bytes that go onto the topic out: numbered by writer, each with the digest of the one before.

What is hashed is the value of the record, byte for byte as it stands on the topic.
"""

import hashlib
from dataclasses import dataclass, field
from uuid import uuid4

import msgspec

from schemas.rollout import AuditRecord


@dataclass(frozen=True, slots=True)
class Chain:
    """Where one writer's session stands: from its first record to the end of the process."""

    writer: str = field(default_factory=lambda: uuid4().hex)
    sequence: int = 0
    previous: str = ""

    def link(self, record: AuditRecord) -> tuple[bytes, "Chain"]:
        """The next record of this writer, encoded, and where the chain stands once that has been handed to the client.

        Records must reach the topic in the order of their links.
        """
        number = self.sequence + 1
        linked = msgspec.structs.replace(record, writer=self.writer, sequence=number, previous=self.previous)
        value = msgspec.json.encode(linked)
        return value, Chain(self.writer, number, digest(value))


def digest(value: bytes) -> str:
    """The lower-case hexadecimal sha256 of a record's value."""
    return hashlib.sha256(value).hexdigest()
