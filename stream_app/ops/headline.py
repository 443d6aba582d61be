"""What is wrong, the worst first: the one order of precedence, for the page, `status` and `doctor` alike.

A broker that is away explains all else that is seen; then comes what nobody scores, then what a new model decides
wrongly, because one command ends it, then what is lost for good. All that only slows the work, or is worth a look,
stands behind, and a cause stands before what it brings about: a rollback before the drift that the model showed.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

from msgspec import Struct

from stream_app.ops import input_words, model_words, worker_words
from stream_app.ops.facts import Facts, Found
from stream_app.ops.series import group_point

QUIET_PER_S = 0.05


class Level(StrEnum):
    """How a sentence is meant: fine, fine but nothing to do, look at it, act."""

    GOOD = "good"
    IDLE = "idle"
    ATTENTION = "attention"
    BAD = "bad"


class Kind(StrEnum):
    """Everything that can be wrong, the worst first."""

    KAFKA_AWAY = "kafka"
    STALLED = "stalled"
    UNREAD = "unread"
    GUARD = "guard"
    FLOOD = "alert flood"
    HELD_BACK = "held back"
    EXPIRING = "expiring"
    LOST = "lost"
    NOT_READY = "not ready"
    REFUSALS = "refusals"
    OPEN_TRANSACTION = "transaction"
    TAKEN_BACK = "taken back"
    SHADOW = "shadow"
    MODELS_DIFFER = "models"
    BACKLOG = "lag"
    VOLUME = "budget"
    CALIBRATION = "calibration"
    INPUT_CHANGED = "input"
    DRIFT = "drift"
    WORKER_GONE = "worker"


class Headline(Struct, frozen=True):
    """The first sentence."""

    level: Level
    sentence: str


class Condition(Struct, frozen=True):
    """Something that is wrong.

    Attributes:
        what: What is seen, without a full stop.
        remedy: The command or the place that ends it; empty where there is none.
    """

    kind: Kind
    level: Level
    what: str
    remedy: str

    @property
    def sentence(self) -> str:
        """Both as one sentence."""
        return f"{self.what}: {self.remedy}." if self.remedy else f"{self.what}."


def conditions(facts: Facts) -> list[Condition]:
    """Everything that is wrong, the worst first. While Kafka is away, nothing else is known."""
    found = []
    for kind, (level, look) in LOOKS.items():
        if (seen := look(facts)) is not None:
            found.append(Condition(kind, level, *seen))
    return found[:1] if found and found[0].kind is Kind.KAFKA_AWAY else found


def headline(facts: Facts, wrong: list[Condition]) -> Headline:
    """The first of what is wrong; else that all is well, and how much is done."""
    if wrong:
        return Headline(wrong[0].level, wrong[0].sentence)
    if not facts.live:
        return Headline(Level.IDLE, "Nothing runs yet: `stream-app worker`, then `stream-app deploy MODEL`.")
    now = group_point(facts.at.timestamp(), facts.figures)
    if now.events_per_second < QUIET_PER_S:
        refused = sum(row.vitals.dead_lettered for row in facts.live)
        but = f", but for {refused:,} that were refused: see dead-letters" if refused else ""
        return Headline(Level.IDLE, f"All is well, and quiet: no new event comes in, and every one is scored{but}.")
    who = "One worker scores" if len(facts.live) == 1 else f"{len(facts.live)} workers score"
    latency = "" if now.latency_p99_ms is None else f", 99 % of them within {now.latency_p99_ms:,.0f} ms"
    return Headline(Level.GOOD, f"All is well. {who} {now.events_per_second:,.0f} events a second{latency}.")


LOOKS: Mapping[Kind, tuple[Level, Callable[[Facts], Found | None]]] = {
    Kind.KAFKA_AWAY: (Level.BAD, worker_words.kafka_away),
    Kind.STALLED: (Level.BAD, worker_words.stalled),
    Kind.UNREAD: (Level.BAD, worker_words.unread),
    Kind.GUARD: (Level.BAD, model_words.guard),
    Kind.FLOOD: (Level.BAD, model_words.flood),
    Kind.HELD_BACK: (Level.BAD, input_words.held_back),
    Kind.EXPIRING: (Level.BAD, input_words.expiring),
    Kind.LOST: (Level.BAD, input_words.lost),
    Kind.NOT_READY: (Level.ATTENTION, worker_words.not_ready),
    Kind.REFUSALS: (Level.ATTENTION, input_words.refusals),
    Kind.OPEN_TRANSACTION: (Level.ATTENTION, input_words.held_up),
    Kind.TAKEN_BACK: (Level.ATTENTION, model_words.taken_back),
    Kind.SHADOW: (Level.ATTENTION, model_words.shadow),
    Kind.MODELS_DIFFER: (Level.ATTENTION, model_words.models_differ),
    Kind.BACKLOG: (Level.ATTENTION, worker_words.backlog),
    Kind.VOLUME: (Level.ATTENTION, model_words.volume),
    Kind.CALIBRATION: (Level.ATTENTION, model_words.calibration),
    Kind.INPUT_CHANGED: (Level.ATTENTION, input_words.changed),
    Kind.DRIFT: (Level.ATTENTION, model_words.drift),
    Kind.WORKER_GONE: (Level.ATTENTION, worker_words.gone),
}
