"""Who is measured, in the order of the table."""

from dataclasses import dataclass

from stream_app.settings import Guarantee


@dataclass(frozen=True, slots=True)
class Contestant:
    """A peer, or this worker with one guarantee.

    Attributes:
        name: Its key in the report.
        title: What it is, for people.
        promise: What a restart may repeat or lose.
        module: The peer's module in `benchmarks.peers`; None: this worker.
        guarantee: This worker's setting.
        environment: A key of `environments.REQUIREMENTS`; None: our own.
        whole: Whether it always reads the whole topic; otherwise as much of its beginning as it does in the time given.
        commits: Whether it commits offsets; one that does not reads the whole topic.
    """

    name: str
    title: str
    promise: str
    module: str | None = None
    guarantee: Guarantee | None = None
    environment: str | None = None
    whole: bool = False
    commits: bool = True


CEILING, FAUST, OWN = "ceiling", "faust_agent", "exactly_once"

CONTESTANTS = (
    Contestant(CEILING, "bare `consume()` loop, does nothing", "", "ceiling", whole=True),
    Contestant(OWN, "**this worker**, everything on", "exactly once", guarantee=Guarantee.EXACTLY_ONCE, whole=True),
    Contestant(
        "at_least_once",
        "**this worker**, everything on",
        "at least once",
        guarantee=Guarantee.AT_LEAST_ONCE,
        whole=True,
    ),
    Contestant(
        "bytewax", "Bytewax, batch operators", "none: no recovery", "bytewax_flow", None, "bytewax", True, False
    ),
    Contestant("quix_sink", "Quix Streams, tuned: batches in a sink", "at least once", "quix_sink", None, "quix"),
    Contestant("quix_frame", "Quix Streams, streaming data frame", "at least once", "quix_frame", None, "quix"),
    Contestant("per_event", "confluent-kafka, record by record", "none: commits by the clock", "per_event"),
    Contestant(FAUST, "plain Faust agent, `take(512)`", "at least once", "faust_agent"),
)
