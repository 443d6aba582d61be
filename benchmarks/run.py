"""`make bench`: this worker beside its peers, on one embedded broker, one topic of real transactions, one model.

    python -m benchmarks.run              five interleaved rounds, at most ten minutes
    python -m benchmarks.run --quick      one short round: does everything still run
    python -m benchmarks.run --docs       the last report into docs/performance.md, its plot into docs/

Rounds are interleaved and their order rotates, so that what disturbs the machine disturbs everybody. Slow peers do as
much of the beginning of the topic as they manage in a few seconds; what they find is compared with what this worker
finds in the same offsets.
"""

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import environments, plots, report
from benchmarks.contestants import CEILING, CONTESTANTS, OWN, Contestant
from benchmarks.material import FOLDER, anomalous_ids, model, publish, repeated, say, transactions
from benchmarks.race import Race
from models.data.events import encode
from schemas.topics import ALL
from stream_app.embedded.broker import EmbeddedBroker
from stream_app.kafka import topics
from stream_app.settings import Settings

PILOT = 5_000
PLOT = "throughput.svg"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: How often everybody runs.
        passes: How often the five weeks are on the topic.
        seconds: How long a slow peer may run in a round.
    """

    rounds: int
    passes: int
    seconds: float


def measure(plan: Plan, contestants: list[Contestant]) -> dict[str, Any]:
    """The whole report, from an embedded broker of its own."""
    frame, source = transactions()
    artefact = model(frame, source)
    pythons, skipped = _interpreters(contestants)
    frame = repeated(frame, plan.passes)
    anomalous, edge = anomalous_ids(frame, artefact)
    say(f"{len(frame):,} records of {source}; {len(anomalous):,} are anomalous")
    with EmbeddedBroker(say=say) as broker:
        settings = Settings(bootstrap_servers=broker.bootstrap_servers, model_cache=FOLDER / "model-cache")
        topics.ensure(settings, ALL)
        say("publishing")
        events = list(encode(frame))
        publish(settings, events)
        mean_bytes = sum(len(value) for _, value, _ in events) / len(events)
        del events
        race = Race(settings, artefact, len(frame), anomalous, edge)
        say("warming up")
        race.warm_up()
        able = [contestant for contestant in contestants if contestant.name not in skipped]
        runs = _rounds(plan, race, able, pythons, len(frame))
    material = {
        "source": source,
        "total": len(frame),
        "mean_bytes": mean_bytes,
        "partitions": settings.input_partitions,
        "anomalies": len(anomalous),
    }
    return report.build(runs, skipped, material)


def _interpreters(contestants: list[Contestant]) -> tuple[dict[str, Path], dict[str, str]]:
    """The interpreter of each contestant that can run here, and why the others cannot."""
    pythons, skipped = {}, {}
    for contestant in contestants:
        try:
            pythons[contestant.name] = environments.python_for(contestant.environment, FOLDER / "venvs")
        except environments.Unavailable as reason:
            say(f"without {contestant.name}: {reason}")
            skipped[contestant.name] = str(reason)
    return pythons, skipped


def _rounds(
    plan: Plan, race: Race, contestants: list[Contestant], pythons: dict[str, Path], total: int
) -> list[report.Run]:
    records = {}
    for contestant in contestants:
        if not contestant.whole:
            pilot = race.run(contestant, pythons[contestant.name], PILOT)
            rate = pilot["events"] / pilot["seconds"]
            records[contestant.name] = min(total, max(PILOT, int(rate * plan.seconds)))
    runs = []
    for number in range(1, plan.rounds + 1):
        first = (number - 1) % len(contestants)
        for contestant in contestants[first:] + contestants[:first]:
            figures = race.run(contestant, pythons[contestant.name], records.get(contestant.name, total))
            runs.append({"contestant": contestant.name, "round": number, **figures})
            say(f"round {number}: {contestant.name} {figures['events'] / figures['seconds']:,.0f} events/s")
    return runs


def draw(found: dict[str, Any], path: Path) -> None:
    """The plot of a report."""
    colours = {CEILING: plots.BARE, OWN: plots.OURS, "at_least_once": plots.OURS}
    rows = [
        (
            _plain(contestant),
            found["contestants"][contestant.name]["events_per_second"],
            colours.get(contestant.name, plots.PEER),
        )
        for contestant in CONTESTANTS
        if contestant.name in found["contestants"]
    ]
    plots.throughput(rows, path)


def _plain(contestant: Contestant) -> str:
    title = contestant.title.replace("*", "").replace("`", "")
    return f"{title.partition(',')[0]}, {contestant.promise}" if contestant.module is None else title


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round on one pass of the data")
    parser.add_argument("--rounds", type=int, help="how often everybody runs")
    parser.add_argument("--only", nargs="+", choices=[c.name for c in CONTESTANTS], help="measure these alone")
    parser.add_argument("--docs", action="store_true", help="measure nothing: write the last report into the docs")
    options = parser.parse_args()
    if options.docs:
        report.into_page("throughput", report.table(report.load("report")))
        shutil.copy(FOLDER / PLOT, report.PAGE.parent / PLOT)
        return
    plan = Plan(1, 1, 2.0) if options.quick else Plan(5, 3, 5.0)
    if options.rounds:
        plan = Plan(options.rounds, plan.passes, plan.seconds)
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = measure(plan, [c for c in CONTESTANTS if not options.only or c.name in options.only])
    report.save(found, "report")
    text = report.table(found)
    (FOLDER / "report.md").write_text(text, encoding="utf-8")
    draw(found, FOLDER / PLOT)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
