"""`stream-app simulate` and `produce`: labelled history into a file, and from a file onto the input topic."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from models.replacing import require_place
from schemas.definition import Definition
from schemas.topics import LABELS, TRANSACTIONS
from stream_app.cli.configured import connected_settings
from stream_app.cli.detector import Detector, chosen_detector
from stream_app.cli.options import DAY_FORMAT, DataFiles, FirstDay, LastDay, day, named
from stream_app.cli.publish import PROPERTIES, Event, PacedProducer, Published
from stream_app.cli.signals import stop_on_signal
from stream_app.cli.terminal import out, out_json, progress, say, waiting
from stream_app.kafka import clients, topics
from stream_app.settings import Settings

if TYPE_CHECKING:
    import polars as pl

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: stream-app simulate out.parquet --drift amount_unit@2018-05-25")
def simulate(  # noqa: PLR0913 - one parameter for each option is typer's way
    *,
    destination: Annotated[Path, typer.Argument(metavar="OUT", help="Parquet file to write.")],
    days: Annotated[int, typer.Option(min=1, help="How many days; windows look back 37.")] = 60,
    start: Annotated[datetime, typer.Option(formats=[DAY_FORMAT], metavar="DAY", help="The first of them.")] = datetime(
        2018, 4, 1
    ),
    customers: Annotated[int, typer.Option(min=1, help="Each makes 2 transactions a day on average.")] = 5000,
    terminals: Annotated[int | None, typer.Option(min=1, help="Default: two for each customer.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same transactions.")] = 0,
    drift: Annotated[
        str | None, typer.Option(metavar="KIND@TIME", help="What goes wrong, from when on: amount_unit@2018-05-01.")
    ] = None,
    drift_in: Annotated[
        str, typer.Option(metavar="FIELD=VALUE", help="Where it goes wrong: country=AT. Default: everywhere.")
    ] = "",
    features: Annotated[
        bool, typer.Option("--features", help="With precomputed features, for the detector cards.")
    ] = False,
) -> None:
    """Write raw card payments with labels, the same for the same seed: what the detector cards-raw reads."""
    if drift_in and not drift:
        raise typer.BadParameter("says where the drift is: name one with --drift", param_hint="--drift-in")
    require_place(destination)
    from models import definition
    from models.data import simulator
    from models.data.drift import Drift
    from models.data.frame import write
    from models.data.windows import HISTORY_DAYS

    spec = simulator.Simulation(
        days=days,
        start=start.date(),
        customers=customers,
        terminals=terminals,
        seed=seed,
        warm_up_days=HISTORY_DAYS if features else 0,
        drift=Drift.parse(drift, seed, drift_in) if drift else None,
    )
    simulated = simulator.simulate if features else simulator.payments
    with progress("simulating", days + spec.warm_up_days) as advance:
        frame = simulated(spec, lambda done, _total: advance(done))
    write(frame, destination, definition.cards() if features else definition.default())
    frauds = int(frame["fraud"].sum())
    say(f"{len(frame):,} transactions of {days} days, {frauds:,} of them frauds, in {destination}")


@app.command(epilog="Example: stream-app produce history.parquet --rate 2000 --labels")
def produce(  # noqa: PLR0913 - as simulate
    *,
    data: DataFiles,
    detector: Detector = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Events a second, kept exactly. Default: as fast as it goes.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many only.")] = None,
    since: FirstDay = None,
    until: LastDay = None,
    fields: Annotated[
        list[str] | None,
        typer.Option("--field", metavar="FIELD", help="Publish this column too, as text: country. May be repeated."),
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Then publish what became of them to `labels`, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="What was published, as JSON.")] = False,
) -> None:
    """Publish the rows of DATA as the records that the detector reads, in order of event time, keyed by the entity.

    Record timestamps are the moment of sending, so that latency is measured from it. Ctrl-C ends it cleanly:
    what was sent is delivered and counted.
    """
    from models.data.frame import read

    settings = connected_settings()
    definition = chosen_detector(detector, settings)
    with waiting(f"reading {named(data)}"):
        frame = read(
            data,
            day(since),
            day(until),
            definition=definition,
            labels_needed=labels and definition.label is not None,
            published=True,
            also=fields or (),
        )
    _refuse_what_is_not_there(frame, definition, named(data), fields or (), labels)
    if limit is not None:
        frame = frame.head(limit)
    if labels and (unknown := frame["fraud"].null_count()):
        say(f"{unknown:,} of {len(frame):,} events have no label in {named(data)}: none is published for them")
    published = publish_frame(settings, frame, rate, labels, definition)
    if as_json:
        out_json({topic: result.figures() for topic, result in published.items()})
        return
    for topic, result in published.items():
        out(f"{result.events:,} records on {topic} in {result.seconds:.1f} s: {result.events_per_second:,.0f} a second")


def _refuse_what_is_not_there(
    frame: "pl.DataFrame", definition: Definition, where: str, fields: Sequence[str], labels: bool
) -> None:
    label = None if definition.label is None else definition.label.column
    known = {*frame.columns, *(entry.path for entry in definition.inputs)} - {label, "fraud"}
    if refused := set(fields) - known:
        raise typer.BadParameter(f"{where} has no {', '.join(sorted(refused))} for events", param_hint="--field")
    if labels and "fraud" not in frame.columns:
        raise typer.BadParameter(f"the detector {definition.name} has no [label]", param_hint="--labels")


def publish_frame(
    settings: Settings, frame: "pl.DataFrame", rate: float | None, labels: bool, definition: Definition | None = None
) -> dict[str, Published]:
    """Publish the events of a frame, and their labels after them if asked to.

    Returns:
        What became of it, for each topic by its full name.

    Raises:
        UserError: the broker did not take some of them.
    """
    from models.data import events

    wanted = (TRANSACTIONS, LABELS) if labels else (TRANSACTIONS,)
    topics.ensure(settings, wanted)
    published: dict[str, Published] = {}
    with stop_on_signal() as stop:
        producer = PacedProducer(clients.producer(settings, **PROPERTIES), stop)
        for topic in wanted:
            name = topics.name(settings, topic)
            encoded = ((key, value) for key, value, _ in events.encode(frame, definition))
            records = _labels(frame, definition) if topic is LABELS else encoded
            with progress(f"to {name}", len(frame)) as advance:
                published[name] = producer.publish(name, records, rate if topic is TRANSACTIONS else None, advance)
            if stop.is_set():
                say(f"stopped after {published[name].events:,} of {len(frame):,} records on {name}")
                break
    return published


def _labels(frame: "pl.DataFrame", definition: Definition | None) -> Iterator[Event]:
    from models.data import events

    encoder = msgspec.json.Encoder()
    for label in events.labels(frame, definition):
        yield label.event_id.encode(), encoder.encode(label)
