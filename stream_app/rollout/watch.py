"""Both logs followed side by side while one command takes effect: statuses and entries in, one outcome out."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from schemas.rollout import Abort, Activate, Command, Rollback, Stage
from schemas.topics import MODEL_STATUS, MODEL_SWAP
from schemas.transactions import ModelRef
from stream_app.audit.record import audit_record
from stream_app.kafka.clients import BrokerUnavailable
from stream_app.kafka.log import Tail
from stream_app.rollout.entries import Entry, fold
from stream_app.rollout.publish import Publisher
from stream_app.rollout.state import Release, Rollout, describe
from stream_app.rollout.training_record import training_record
from stream_app.rollout.trust import trust
from stream_app.rollout.workers import Worker, Workers, recent
from stream_app.settings import Settings

POLL_S = 0.02
POLL_LIMIT = 500
CATCH_UP_S = 30.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command.

    Attributes:
        ok: Every live worker serves what was asked for.
        sentence: The same for people: what happened, and what to do next if it did not.
        command_id: Of the stage or the rollback; empty where none was written.
        model: What the log prescribes now; None where nothing serves.
        previous: What a rollback would serve.
        candidate: What is tried out beside it.
        percent: Of the customers, for whom the candidate decides.
        elapsed_s: From writing the command to its last effect.
        workers: Seconds from writing the command until each worker said that it scores with the model.
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


@contextmanager
def watching(settings: Settings) -> Iterator["Watch"]:
    """A watch that has caught up with both logs."""
    watch = Watch(settings)
    try:
        watch.catch_up()
        yield watch
    finally:
        watch.close()


class Watch:
    """Both logs followed side by side while one command takes effect."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._publisher = Publisher(settings)
        self._swaps = Tail(settings, [MODEL_SWAP])
        self._statuses = Tail(settings, [MODEL_STATUS], recent(settings), committed=False)
        self._workers = Workers()
        self._trust = trust(settings)
        self._entries: list[Entry] = []
        self._command: Command | None = None
        self._written_at = time.monotonic()  # of a command that somebody else has written: when we began to watch
        self._said = ""

    @property
    def rollout(self) -> Rollout:
        """What the log prescribes, as far as it has been read."""
        return self._entries[-1].after if self._entries else Rollout()

    def catch_up(self) -> None:
        """Read what both logs hold.

        Raises:
            BrokerUnavailable: they could not be read to their ends.
        """
        deadline = time.monotonic() + CATCH_UP_S
        while not (self._swaps.caught_up and self._statuses.caught_up):
            self._turn()
            if time.monotonic() > deadline:
                raise BrokerUnavailable("Kafka fell silent while the swap log was read: look at the broker, try again")

    def close(self) -> None:
        """Let go of what is still to be written, and of the connections."""
        self._publisher.close()
        self._swaps.close()
        self._statuses.close()

    def issue(self, command: Command, subject: str) -> None:
        """Write the command, and that it was given; of a model, also how it was trained."""
        self._command = command
        self._written_at = time.monotonic()
        self._publisher.command(command)
        trained = training_record(command, subject) if isinstance(command, Stage) else None
        if trained is not None:
            self._publisher.audit(trained)
        action = type(command).__name__.lower()
        self._publisher.audit(
            audit_record(
                command.issuer,
                action,
                subject,
                reason=command.reason,
                effect="commanded",
                command_id=command.command_id,
            )
        )

    def record(self, actor: str, action: str, subject: str, **details: str) -> None:
        """Put something else on record."""
        self._publisher.audit(audit_record(actor, action, subject, **details))

    def conclude(self, outcome: Outcome, action: str, subject: str) -> Outcome:
        """Put the outcome on record."""
        actor = self._command.issuer if self._command else "unknown"
        self._publisher.audit(
            audit_record(actor, action, subject, effect=outcome.sentence, command_id=outcome.command_id)
        )
        return outcome

    def staged(self, stage: Stage, limit_s: float, say: Say) -> Outcome:
        """Wait for the controller's decision on the stage, then for its effect."""
        while self._elapsed() < limit_s:
            self._turn()
            fate = self._fate(stage)
            if isinstance(fate, Activate):
                return self.applied(fate.command_id, limit_s, say)
            if fate is not None:
                return self.outcome(False, f"{describe(stage.model)} was not put in service: {fate}")
            alive = self._alive()
            if self._nobody(alive):
                return self.outcome(
                    False,
                    f"no worker is running: {describe(stage.model)} stays staged until {stage.expires_at:%H:%M} UTC, "
                    "start one with `stream-app worker` and it will serve",
                    waiting=True,
                )
            ready = [name for name, worker in alive.items() if worker.staged == stage.command_id]
            self._say(say, f"staged on {len(ready)} of {len(alive)} workers")
        return self.outcome(
            False,
            f"no decision on {describe(stage.model)} within {limit_s:g} s: "
            "`stream-app models` shows whether it is still pending",
            waiting=True,
        )

    def taken(self, command_id: str, limit_s: float, sentence: str) -> Outcome:
        """Wait until the log has taken a command that changes nothing that decides."""
        while self._elapsed() < limit_s:
            self._turn()
            entry = self._entry(command_id)
            if entry is not None:
                refused = entry.refused
                return self.outcome(refused is None, sentence if refused is None else f"the log refused it: {refused}")
        return self.outcome(False, f"the log did not show it within {limit_s:g} s", waiting=True)

    def release(self, sha256: str) -> Release | None:
        """Where a model was last staged from, by the start of its digest or its version; None where that never was."""
        staged = [e.command for e in self._entries if e.refused is None and isinstance(e.command, Stage)]
        found = (s for s in reversed(staged) if s.model.sha256.startswith(sha256) or s.model.version == sha256)
        return next((Release(s.model, s.uri) for s in found), None)

    def applied(self, command_id: str, limit_s: float, say: Say) -> Outcome:
        """Wait until every live worker scores with what the command put in service."""
        took: dict[str, float] = {}
        missing: list[str] = []
        while self._elapsed() < limit_s:
            self._turn()
            entry = self._entry(command_id)
            if entry is not None and entry.refused is not None:
                return self.outcome(False, f"the log refused it: {entry.refused}")
            alive = self._alive()
            done = [name for name, worker in alive.items() if entry is not None and self._since(entry, worker.applied)]
            took.update({name: self._elapsed() for name in done if name not in took})
            missing = [name for name in alive if name not in done]
            if entry is not None and done and not missing:
                return self._in_service(entry, took)
            if self._nobody(alive):
                return self.outcome(
                    False, "no worker is running: the next one to start serves it, `stream-app worker`", waiting=True
                )
            self._say(say, f"in service on {len(done)} of {len(alive)} workers")
        return self.outcome(
            False,
            f"not in service within {limit_s:g} s on {', '.join(missing) or 'any worker'}: see its page or log",
            workers=took,
        )

    def outcome(
        self, ok: bool, sentence: str, workers: Mapping[str, float] | None = None, waiting: bool = False
    ) -> Outcome:
        """What to tell, with what the log prescribes now."""
        serving, previous, candidate = self.rollout.serving, self.rollout.previous, self.rollout.candidate
        return Outcome(
            ok=ok,
            sentence=sentence,
            command_id=self._command.command_id if self._command else "",
            model=serving.model if serving else None,
            previous=previous.model if previous else None,
            candidate=candidate.release.model if candidate else None,
            percent=candidate.percent if candidate else 0.0,
            elapsed_s=self._elapsed() if self._command else 0.0,
            workers=workers or {},
            waiting=waiting,
        )

    def _in_service(self, entry: Entry, took: Mapping[str, float]) -> Outcome:
        count = f"{len(took)} worker" + ("s" if len(took) > 1 else "")
        sentence = f"{_in_effect(entry.after)} on {count} after {max(took.values()):.2f} s"
        return self.outcome(True, sentence, workers=took)

    def _turn(self) -> None:
        self._entries += fold(self._swaps.poll(POLL_S, POLL_LIMIT), self.rollout, self._trust)
        caught_up = self._statuses.caught_up
        self._workers.read(self._statuses.poll(POLL_S, POLL_LIMIT), caught_up)

    def _elapsed(self) -> float:
        return time.monotonic() - self._written_at

    def _alive(self) -> dict[str, Worker]:
        return self._workers.alive(self._settings.worker_lost_after_s)

    def _nobody(self, alive: Mapping[str, object]) -> bool:
        """No worker, after time enough for one to be heard."""
        return not alive and self._elapsed() > self._settings.worker_lost_after_s

    def _say(self, say: Say, sentence: str) -> None:
        if sentence != self._said:
            self._said = sentence
            say(sentence)

    def _entry(self, command_id: str) -> Entry | None:
        """The first record with this id: a later one is a duplicate. One with a false signature only if it is alone."""
        same = [e for e in self._entries if e.command is not None and e.command.command_id == command_id]
        return next((e for e in same if e.refused is None or not e.complaint), same[0] if same else None)

    def _since(self, entry: Entry, command_id: str) -> bool:
        """Whether a worker that applied this command is at least as far as the entry: maybe at a later one."""
        applied = self._entry(command_id)
        return applied is not None and applied.offset >= entry.offset

    def _fate(self, stage: Stage) -> Activate | str | None:
        """What ended the stage: its activation, or why it was not; None while it is pending or not yet read."""
        entry = self._entry(stage.command_id)
        if entry is None or entry.refused is not None:
            return entry.refused if entry else None
        later = (e for e in self._entries if e.offset > entry.offset and e.refused is None)
        match next((e.command for e in later if not _pending(e.after, stage)), None):
            case None:
                return None
            case Activate() as activation:
                return activation
            case Abort() as abort:
                return abort.reason or f"aborted by {abort.issuer}"
            case Stage() as newer:
                return f"{newer.issuer} staged {describe(newer.model)} instead"
            case other:
                return f"{other.issuer} {'rolled back' if isinstance(other, Rollback) else 'promoted it'} meanwhile"


def _pending(rollout: Rollout, stage: Stage) -> bool:
    return rollout.pending is not None and rollout.pending.stage_id == stage.command_id


def _in_effect(rollout: Rollout) -> str:
    """What decides, as a sentence without an end."""
    serving, candidate = rollout.serving, rollout.candidate
    name = describe(serving.model) if serving else "nothing"
    if candidate is None:
        return f"{name} serves"
    other = describe(candidate.release.model)
    if candidate.percent:
        return f"{other} decides for {candidate.percent:g} % of the customers, {name} for the others,"
    return f"{other} is the shadow of {name}"
