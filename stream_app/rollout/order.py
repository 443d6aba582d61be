"""What every command of a person has, and the two ways in which one takes effect: in two phases, or at once."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from schemas.rollout import Command, GateVerdict, Role, Stage
from stream_app.rollout.state import Release, describe
from stream_app.rollout.watch import Outcome, Say, Watch
from stream_app.settings import Settings

GRACE_S = 5.0  # the controller's own time limit ends first, so that its reasons can be told
STAGE_VALID_FOR = timedelta(hours=1)  # a stage may wait for a first worker, not go live by surprise weeks later
AT_ONCE_VALID_FOR = timedelta(minutes=5)
EFFECT_S = 10.0
ROLES = {"shadow": Role.SHADOW, "canary": Role.CANARY}


class Order:
    """What every command of a person has: who, why, for how long, and whom to tell."""

    def __init__(
        self,
        settings: Settings,
        issuer: str,
        reason: str,
        timeout_s: float | None,
        say: Say = lambda _: None,
    ) -> None:
        self._issuer, self._reason, self._say = issuer, reason, say
        self._stage_s = settings.stage_timeout_s + GRACE_S if timeout_s is None else timeout_s
        self.limit_s = EFFECT_S if timeout_s is None else timeout_s

    @property
    def head(self) -> dict[str, Any]:
        """The fields of a command that has its effect at once."""
        return self._head(AT_ONCE_VALID_FOR)

    def _head(self, valid_for: timedelta) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {
            "command_id": uuid4().hex,
            "issuer": self._issuer,
            "issued_at": now,
            "expires_at": now + valid_for,
            "reason": self._reason,
        }

    def stage(
        self,
        watch: Watch,
        release: Release,
        action: str,
        percent: float | None = None,
        gates: GateVerdict | None = None,
    ) -> Outcome:
        """Two phases: every worker loads the model, then it is put to use.

        A rollback asks no gate: it goes back to what has served.
        """
        if action == "rollback":
            gates = GateVerdict(passed=False, override_by=self._issuer, override_reason="a rollback asks no gate")
        role = ROLES.get(action, Role.SERVE)
        head = self._head(STAGE_VALID_FOR)
        stage = Stage(uri=release.uri, model=release.model, role=role, percent=percent, gates=gates, **head)
        watch.issue(stage, describe(release.model))
        self._say(f"staging {describe(release.model)}")
        return watch.conclude(watch.staged(stage, self._stage_s, self._say), action, describe(release.model))

    def at_once(self, watch: Watch, command: Command, subject: str) -> Outcome:
        """One phase: everybody has what it takes in memory."""
        action = type(command).__name__.lower()
        watch.issue(command, subject)
        self._say(f"{action}: {subject}")
        return watch.conclude(watch.applied(command.command_id, self.limit_s, self._say), action, subject)
