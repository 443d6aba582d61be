"""A new record for the audit trail."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from schemas.rollout import AuditRecord


def audit_record(actor: str, action: str, subject: str, **details: Any) -> AuditRecord:
    """An audit record of now; `details` are its other fields (`audit_id` where a repetition must be recognisable)."""
    details.setdefault("audit_id", uuid4().hex)
    return AuditRecord(at=datetime.now(UTC), actor=actor, action=action, subject=subject, **details)
