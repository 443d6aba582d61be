"""The controller: activates a pending stage when every live worker has it, and aborts it when one cannot take it.

The decision is a pure function. Two controllers for a moment (a rebalance) are harmless: the id of a decision is a
function of its stage, so the second of two equal decisions is a duplicate, and of two different ones the first wins.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from schemas.rollout import Abort, Activate, AuditRecord, Command
from stream_app.audit.record import audit_record
from stream_app.kafka.log import Record
from stream_app.rollout.control_producer import NotPublished
from stream_app.rollout.follower import Follower
from stream_app.rollout.guard.enforcer import GuardEnforcer
from stream_app.rollout.state import Pending, Rollout
from stream_app.rollout.statuses import Statuses, WorkerState
from stream_app.rollout.swap_log import Entry
from stream_app.settings import Settings

logger = logging.getLogger(__name__)

TURN_S = 0.5  # a stage may expire, or time out, without any news
DECIDE_AGAIN_AFTER_S = 2.0  # by then a decision that reached the log has come back through the follower


class CommandSink(Protocol):
    """Takes a controller's decisions."""

    def command(self, command: Command) -> int:
        """To `model-swap`, acknowledged."""

    def audit(self, record: AuditRecord) -> None:
        """To `audit`."""


def decide(
    rollout: Rollout, alive: Mapping[str, WorkerState], waited_s: float, timeout_s: float, issuer: str, now: datetime
) -> Activate | Abort | None:
    """What to do about the pending stage.

    Args:
        rollout: What the log prescribes.
        alive: Workers with a recent status.
        waited_s: For how long live workers could have answered.
        timeout_s: For how long they may take.
        issuer: Who decides.
        now: Wall clock.

    Returns:
        None while there is nothing to decide: no stage, no worker yet, or answers are missing and there is time.
    """
    pending = rollout.pending
    if pending is None:
        return None
    if pending.expires_at is not None and now > pending.expires_at:
        by = f"by the clock of {issuer}, which says {now.isoformat()}"
        return _abort(pending, f"it expired at {pending.expires_at.isoformat()} {by}", issuer, now)
    if reasons := [f"{name}: {w.reason}" for name, w in alive.items() if w.rejected == pending.stage_id]:
        return _abort(pending, "; ".join(reasons), issuer, now)
    missing = [name for name, worker in alive.items() if worker.staged != pending.stage_id]
    if missing and waited_s > timeout_s:
        return _abort(pending, f"no answer within {timeout_s:g} s from {', '.join(missing)}", issuer, now)
    if missing or not alive:
        return None
    return Activate(
        command_id=f"activate-{pending.stage_id}",
        issuer=issuer,
        issued_at=now,
        reason=f"staged by {', '.join(alive)}",
        stage_id=pending.stage_id,
    )


def _abort(pending: Pending, reason: str, issuer: str, now: datetime) -> Abort:
    return Abort(
        command_id=f"abort-{pending.stage_id}", issuer=issuer, issued_at=now, reason=reason, stage_id=pending.stage_id
    )


class Controller:
    """Decides while this worker owns the log's partition, and keeps the record of what the log refused.

    Its only state is when it first could decide: everything else is in the two logs, so another owner loses nothing.

    Args:
        settings: Time limits.
        follower: Knows what the log prescribes.
        statuses: What the workers have answered.
        sink: Takes its decisions.
        owner: Whether this worker owns the swap log's partition, asked at each turn.
        enforcer: Runs the guard; None where it is switched off.
    """

    def __init__(
        self,
        settings: Settings,
        follower: Follower,
        statuses: Statuses,
        sink: CommandSink,
        owner: Callable[[], bool],
        enforcer: GuardEnforcer | None = None,
    ) -> None:
        self._settings = settings
        self._follower = follower
        self._statuses = statuses
        self._sink = sink
        self._owner = owner
        self._enforcer = enforcer
        self._issuer = f"controller@{follower.worker}"
        self._stage_id = ""
        self._since = 0.0
        self._decided: tuple[str, float] = ("", 0.0)
        self._audited = 0
        self._caught_up = False
        self._statuses_read = False
        self._news = threading.Event()

    def notice(self, records: Sequence[Record], caught_up: bool) -> None:
        """There may be something to decide: called when records have been read of any log that it decides by."""
        if records:
            self._news.set()

    def notice_statuses(self, records: Sequence[Record], caught_up: bool) -> None:
        """The same of the statuses, without which nothing is decided before they have been read."""
        self._statuses_read = caught_up
        self.notice(records, caught_up)

    def wake(self) -> None:
        """End a wait."""
        self._news.set()

    def step(self, wait_s: float = TURN_S) -> None:
        """Wait for news, then decide if this worker is the one to."""
        self._news.wait(wait_s)
        self._news.clear()
        owner = self._owner()
        self._audit_refusals(owner)
        if not owner or not self._statuses_read or not self._follower.read_to_end:
            self._stage_id = ""
            if self._enforcer is not None:
                self._enforcer.rest()
            return
        self._decide(time.monotonic())
        if self._enforcer is not None:
            self._enforcer.act(self._follower.rollout)

    def _decide(self, now: float) -> None:
        rollout = self._follower.rollout
        alive = self._statuses.alive(self._settings.worker_lost_after_s)
        stage_id = rollout.pending.stage_id if rollout.pending else ""
        if stage_id != self._stage_id:
            self._stage_id, self._since = stage_id, now
        if self._decided[0] == stage_id and now - self._decided[1] < DECIDE_AGAIN_AFTER_S:
            return
        waited = now - self._since
        command = decide(rollout, alive, waited, self._settings.stage_timeout_s, self._issuer, datetime.now(UTC))
        if command is not None and rollout.pending is not None:
            self._decided = (stage_id, now)
            self._write(command, rollout.pending)

    def _write(self, command: Activate | Abort, pending: Pending) -> None:
        action = "activate" if isinstance(command, Activate) else "abort"
        logger.info("%s %s: %s", action, str(pending.release.model), command.reason)
        try:
            self._sink.command(command)
        except NotPublished as error:
            logger.warning("%s; deciding again", error)
            return
        self._sink.audit(
            audit_record(
                self._issuer,
                action,
                str(pending.release.model),
                reason=command.reason,
                effect="in service from each worker's next batch on" if action == "activate" else "not put in service",
                command_id=command.command_id,
            )
        )

    def _audit_refusals(self, owner: bool) -> None:
        """What the log refused while we owned it goes on record once; earlier ones had another owner, or none."""
        entries = self._follower.log.entries
        seen, self._caught_up = self._caught_up, self._follower.read_to_end
        new = entries[self._audited :]
        self._audited += len(new)
        for entry in new if owner and seen else ():
            if entry.refused is not None or entry.complaint:
                self._sink.audit(_refusal(entry, self._issuer))


def _refusal(entry: Entry, actor: str) -> AuditRecord:
    command = entry.command
    changed = "changed nothing" if entry.refused is not None else "was carried out all the same"
    return audit_record(
        actor,
        "refuse" if entry.refused is not None else "warn",
        f"{type(command).__name__.lower()} by {command.issuer}" if command else "a record that is no command",
        reason=entry.refused or entry.complaint,
        effect=f"model-swap offset {entry.offset} {changed}",
        command_id=command.command_id if command else "",
        audit_id=f"refuse-model-swap-{entry.offset}",
    )
