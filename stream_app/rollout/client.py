"""The operator's client: one session of a command, from reading both logs until every live worker has taken it.

Nothing here decides anything: the log does. Where the operator leaves while waiting, the command stands and is carried
out. What tells that a worker has taken a command is its heartbeat, which names the last command in effect there: the
`applied` statuses stand in the pipeline's transactions and may still be aborted.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from schemas.rollout import Activate, Command, GateVerdict, Stage, StagePurpose
from schemas.scoring import ModelRef
from schemas.topics import MODEL_STATUS, MODEL_SWAP
from stream_app.audit.record import audit_record
from stream_app.kafka.clients import BrokerUnavailable
from stream_app.kafka.log import Tail
from stream_app.rollout.control_producer import ControlProducer
from stream_app.rollout.state import Release, Rollout
from stream_app.rollout.statuses import Statuses, WorkerState, recent
from stream_app.rollout.swap_log import SwapLog
from stream_app.rollout.trust import trust
from stream_app.settings import Settings

POLL_S = 0.02
POLL_LIMIT = 500
CATCH_UP_S = 30.0
GRACE_S = 5.0  # the controller's own time limit ends first, so that its reasons can be shown
EFFECT_S = 10.0
STAGE_VALID_FOR = timedelta(hours=1)  # a stage may wait for a first worker, not go live by surprise weeks later
AT_ONCE_VALID_FOR = timedelta(minutes=5)

OnProgress = Callable[[str], None]


def _silent(_: str) -> None:
    """No progress is shown."""


@dataclass(frozen=True, slots=True)
class Order:
    """What every command of an operator has.

    Attributes:
        issuer: Who gives it.
        reason: Why, for the audit trail.
        timeout_s: How long to wait; None: as long as workers may take, and a little.
        on_progress: Called with a sentence whenever something has moved.
    """

    issuer: str
    reason: str = ""
    timeout_s: float | None = None
    on_progress: OnProgress = _silent

    def head(self, valid_for: timedelta = AT_ONCE_VALID_FOR) -> dict[str, Any]:
        """The fields that every command has, with a new id."""
        now = datetime.now(UTC)
        return {
            "command_id": uuid4().hex,
            "issuer": self.issuer,
            "issued_at": now,
            "expires_at": now + valid_for,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command.

    Attributes:
        ok: Every live worker serves what was asked for.
        sentence: The same for people: what happened, and what to do next if it did not.
        command_id: Of the stage or the rollback; empty where none was written.
        model: What the log prescribes now; None where nothing serves.
        previous: What a rollback from it would serve.
        candidate: What is tried out beside it.
        percent: Of the customers, for whom the candidate decides.
        elapsed_s: From writing the command to its last effect.
        workers: Seconds from writing the command until each worker's heartbeat named it.
        waiting: The command stands, and takes effect as soon as a worker runs.
    """

    ok: bool
    sentence: str
    command_id: str = ""
    model: ModelRef | None = None
    previous: ModelRef | None = None
    candidate: ModelRef | None = None
    percent: float = 0.0
    elapsed_s: float = 0.0
    workers: Mapping[str, float] = field(default_factory=dict)
    waiting: bool = False


class CommandSession:
    """Follows the swap log and the statuses while one command is given. Use it in a `with` block.

    Raises:
        BrokerUnavailable: on entering, where the logs cannot be read to their ends.
    """

    def __init__(self, settings: Settings, order: Order) -> None:
        self.order = order
        self._settings = settings
        self._publisher = ControlProducer(settings)
        self._swaps = Tail(settings, [MODEL_SWAP])
        self._statuses = Tail(settings, [MODEL_STATUS], recent(settings), committed=False)
        self.log = SwapLog(trust(settings))
        self._workers = Statuses()
        self._command_id = ""
        self._written_at = time.monotonic()  # of a command that is only waited for: when the session began
        self._last_news = ""

    def __enter__(self) -> Self:
        deadline = time.monotonic() + CATCH_UP_S
        try:
            while not (self._swaps.caught_up and self._statuses.caught_up):
                self._poll()
                if time.monotonic() > deadline:
                    raise BrokerUnavailable(
                        "Kafka fell silent while the swap log was read: look at the broker, try again"
                    )
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def rollout(self) -> Rollout:
        """What the log prescribes, as far as it has been read."""
        return self.log.rollout

    def progress(self, news: str) -> None:
        """Show what is going on, once."""
        if news != self._last_news:
            self._last_news = news
            self.order.on_progress(news)

    def record(self, action: str, subject: str, **details: str) -> None:
        """Write to the audit trail, in the name of the issuer."""
        self._publisher.audit(audit_record(self.order.issuer, action, subject, **details))

    def stage(
        self, release: Release, action: str, percent: float | None = None, gates: GateVerdict | None = None
    ) -> Outcome:
        """Command in two phases: every worker loads the model, then the controller puts it to use."""
        name = str(release.model)
        command = Stage(
            uri=release.uri,
            model=release.model,
            role=StagePurpose("serve" if action == "deploy" else action),
            percent=percent,
            gates=gates,
            **self.order.head(STAGE_VALID_FOR),
        )
        self._issue(command, name)
        self.progress(f"staging {name}")
        return self._concluded(self._staged(command), action, name)

    def at_once(self, command: Command, subject: str) -> Outcome:
        """Command in one phase: every worker has what it takes in memory."""
        self._issue(command, subject)
        self.progress(f"{_name(command)}: {subject}")
        return self._concluded(self.applied(command.command_id), _name(command), subject)

    def logged(self, command: Command, subject: str, sentence: str) -> Outcome:
        """Command something that changes nothing that decides: it is in effect when the log has it."""
        self._issue(command, subject)
        return self._concluded(self._logged(command.command_id, sentence), _name(command), subject)

    def applied(self, command_id: str) -> Outcome:
        """Wait until every live worker scores with what a command on the log put in service, whoever gave it."""
        limit_s = self._effect_s + (self._elapsed() if self.order.timeout_s is None else 0.0)  # staging took its time
        took: dict[str, float] = {}
        missing: list[str] = []
        while self._elapsed() < limit_s:
            self._poll()
            entry = self.log.find(command_id)
            if entry is not None and entry.refused is not None:
                return self.outcome(False, f"the log refused it: {entry.refused}")
            alive = self._alive()
            done = [n for n, w in alive.items() if entry is not None and self.log.is_since(entry, w.applied)]
            took.update({name: self._elapsed() for name in done if name not in took})
            missing = [name for name in alive if name not in done]
            if entry is not None and done and not missing:
                count = f"{len(took)} worker" + ("s" if len(took) > 1 else "")
                sentence = f"{entry.after.in_effect} on {count} after {max(took.values()):.2f} s"
                return self.outcome(True, sentence, workers=took)
            if self._no_worker(alive):
                return self.outcome(
                    False, "no worker is running: the next one to start serves it, `stream-app worker`", waiting=True
                )
            self.progress(f"in service on {len(done)} of {len(alive)} workers")
        return self.outcome(
            False,
            f"not in service within {limit_s:.3g} s on {', '.join(missing) or 'any worker'}: see its page or log",
            workers=took,
        )

    def outcome(
        self, ok: bool, sentence: str, workers: Mapping[str, float] | None = None, waiting: bool = False
    ) -> Outcome:
        """An outcome with what the log prescribes now."""
        serving, previous, candidate = self.rollout.serving, self.rollout.before, self.rollout.candidate
        return Outcome(
            ok=ok,
            sentence=sentence,
            command_id=self._command_id,
            model=serving.model if serving else None,
            previous=previous.model if previous else None,
            candidate=candidate.release.model if candidate else None,
            percent=candidate.percent if candidate else 0.0,
            elapsed_s=self._elapsed() if self._command_id else 0.0,
            workers=workers or {},
            waiting=waiting,
        )

    @property
    def _effect_s(self) -> float:
        return EFFECT_S if self.order.timeout_s is None else self.order.timeout_s

    def _issue(self, command: Command, subject: str) -> None:
        self._command_id = command.command_id
        self._written_at = time.monotonic()
        self._publisher.command(command)
        self.record(_name(command), subject, reason=command.reason, effect="commanded", command_id=command.command_id)

    def _concluded(self, outcome: Outcome, action: str, subject: str) -> Outcome:
        self.record(action, subject, effect=outcome.sentence, command_id=outcome.command_id)
        return outcome

    def _staged(self, stage: Stage) -> Outcome:
        """Wait for the controller's decision on the stage, then for its effect."""
        timeout_s, name = self.order.timeout_s, str(stage.model)
        limit_s = self._settings.stage_timeout_s + GRACE_S if timeout_s is None else timeout_s
        while self._elapsed() < limit_s:
            self._poll()
            ended = self.log.end_of(stage)
            if isinstance(ended, Activate):
                return self.applied(ended.command_id)
            if ended is not None:
                return self.outcome(False, f"{name} was not put in service: {ended}")
            alive = self._alive()
            if self._no_worker(alive):
                return self.outcome(
                    False,
                    f"no worker is running: {name} stays staged until {stage.expires_at:%H:%M} UTC, "
                    "start one with `stream-app worker` and it will serve",
                    waiting=True,
                )
            ready = [worker for worker in alive.values() if worker.staged == stage.command_id]
            self.progress(f"staged on {len(ready)} of {len(alive)} workers")
        return self.outcome(
            False,
            f"no decision on {name} within {limit_s:g} s: `stream-app models` shows whether it is still pending",
            waiting=True,
        )

    def _logged(self, command_id: str, sentence: str) -> Outcome:
        while self._elapsed() < self._effect_s:
            self._poll()
            entry = self.log.find(command_id)
            if entry is not None:
                refused = entry.refused
                return self.outcome(refused is None, sentence if refused is None else f"the log refused it: {refused}")
        return self.outcome(False, f"the log did not show it within {self._effect_s:g} s", waiting=True)

    def _poll(self) -> None:
        for record in self._swaps.poll(POLL_S, POLL_LIMIT):
            self.log.read(record)
        caught_up = self._statuses.caught_up
        for record in self._statuses.poll(POLL_S, POLL_LIMIT):
            self._workers.read(record, caught_up)

    def _close(self) -> None:
        self._publisher.close()
        self._swaps.close()
        self._statuses.close()

    def _elapsed(self) -> float:
        return time.monotonic() - self._written_at

    def _alive(self) -> dict[str, WorkerState]:
        return self._workers.alive(self._settings.worker_lost_after_s)

    def _no_worker(self, alive: Mapping[str, object]) -> bool:
        """No worker, after time enough for a heartbeat."""
        return not alive and self._elapsed() > self._settings.worker_lost_after_s


def _name(command: Command) -> str:
    return type(command).__name__.lower()
