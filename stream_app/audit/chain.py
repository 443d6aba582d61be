"""Chains the audit records of one writer: each is numbered and carries the digest of its predecessor.

The digest is over the value of the record, byte for byte as it is on the topic.
"""

import hashlib
from dataclasses import dataclass, field
from uuid import uuid4

import msgspec

from schemas.rollout import AuditRecord


@dataclass(frozen=True, slots=True)
class Chain:
    """The end of one writer's chain, which begins and ends with its process."""

    writer: str = field(default_factory=lambda: uuid4().hex)
    sequence: int = 0
    previous: str = ""

    def link(self, record: AuditRecord) -> tuple[bytes, "Chain"]:
        """The record encoded as the next one of the chain, and the chain after it.

        Records must reach the topic in the order of their links.
        """
        number = self.sequence + 1
        linked = msgspec.structs.replace(record, writer=self.writer, sequence=number, previous=self.previous)
        value = msgspec.json.encode(linked)
        return value, Chain(self.writer, number, digest(value))


def digest(value: bytes) -> str:
    """The lower-case hexadecimal sha256 of a record's value."""
    return hashlib.sha256(value).hexdigest()
