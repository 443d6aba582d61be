"""`make bench-drift`: how much drift is found, how soon, named how well, and how often nothing is the matter.

    python -m benchmarks.drift            fourteen kinds from sixteen starts in each world, 480 drawn at random in two,
                                          undrifted weeks, other detectors; ten minutes
    python -m benchmarks.drift --quick    a sixteenth of it: does everything still run
    python -m benchmarks.drift --docs     the last report into docs/drift.md, its picture beside it

The product's own classes see the transactions: the hot path's sums and the aggregator, without Kafka. Limits were
chosen in the two weeks after training, looking at seven of the kinds and at attacks drawn at random; what is reported
comes from the two after those, and from the simulator. Other detectors see some of the same streams.
"""

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from typing import Any

import numpy as np
import polars as pl

from benchmarks import drift_peers, plots, report
from benchmarks.drift_cost import summarise_us_per_event
from benchmarks.drift_kinds import KINDS, Drawn, drawn, drift_of, starts
from benchmarks.drift_peers import PEERS, Case
from benchmarks.drift_streams import AFTER, SLOW, SUMMARY_ROWS, alerts, alerts_of_heirs, injected, scored
from benchmarks.drift_worlds import REPORTED_DAYS, World, reported, undrifted, weeks, worlds
from benchmarks.material import ROOT, TRAINING_DAYS, say
from schemas.drift import DriftAlert, DriftPhase

FOLDER = ROOT / "build" / "drift"
PAGE = ROOT / "docs" / "drift.md"
PICTURE = ROOT / "docs" / "drift-delays.svg"
STARTS, DRAWN, COPIES = 16, 480, 15
PEER_STARTS = 8  # every which start others are tried from
SEED = 20_000
NEVER = 10**9
PARTITIONS = (1, 4, 16)
KILLS = 3
FIRST = worlds()[0]
CAPTION = "![For each kind of drift, a dot for the delay from each start, on a logarithmic scale.](drift-delays.svg)"


def of_kind(job: tuple[World, int, int]) -> dict[str, Any]:
    """One kind from one start."""
    world, number, start = job
    own, kind = weeks(world), KINDS[number]
    at = starts(own.begins, STARTS)[start]
    stream = injected(own.frame, drift_of(kind, at, SEED + start), SLOW.get(kind.kind, AFTER))
    said = alerts(scored(stream.frame, own.model), own.model)
    found = _found(said, stream.begins, NEVER)
    named = found is not None and _verdict(said, found).cause_kind in kind.right
    delay = found.events_observed - stream.begins if found is not None else None
    what = {"world": world.title, "kind": kind.title, "slow": kind.slow, "tuned": kind.tuned}
    off = sum(found.since_offsets.values()) - stream.begins if found is not None else None
    return {**what, "delay": delay, "off": off, "named": named, "incidents": _incidents(said)}


def at_random(job: tuple[World, int]) -> dict[str, Any]:
    """One drift that nobody chose."""
    world, seed = job
    own = weeks(world)
    what: Drawn = drawn(own.frame, own.begins, REPORTED_DAYS / 2, seed)
    said = alerts(scored(what.stream.frame, own.model), own.model)
    found = _found(said, what.stream.begins, what.ends)
    named = False
    if found is not None:
        verdict = _verdict(said, found)
        named = verdict.cause_kind in what.right and (not what.fields or any(f in verdict.cause for f in what.fields))
    return {"world": world.title, "family": what.family, "found": found is not None, "named": named}


def calm(job: tuple[World, int]) -> dict[str, Any]:
    """Nothing is the matter."""
    world, copy = job
    rows = undrifted(world, copy)
    return {"world": world.title, "events": len(rows), "incidents": _incidents(alerts(rows, weeks(world).model))}


def same_with_partitions(number: int) -> bool:
    """Whether one drift raises the same alerts however unevenly it is spread over partitions."""
    own, kind = weeks(FIRST), KINDS[number]
    stream = injected(own.frame, drift_of(kind, starts(own.begins, STARTS)[0], SEED))
    rows, rng = scored(stream.frame, own.model), np.random.default_rng(SEED)
    found = []
    for count in PARTITIONS:
        shares = np.arange(1, count + 1) / np.arange(1, count + 1).sum()
        said = alerts(rows, own.model, rng.choice(count, len(rows), p=shares))
        found.append([(a.phase, a.cause_kind, a.events_observed) for a in said])
    return all(other == found[0] for other in found)


def same_after_kills(number: int) -> bool:
    """Whether one drift is told the same, and nothing twice, where its aggregator is killed again and again in it."""
    own, kind = weeks(FIRST), KINDS[number]
    stream = injected(own.frame, drift_of(kind, starts(own.begins, STARTS)[0], SEED), SLOW.get(kind.kind, AFTER))
    rows, rng = scored(stream.frame, own.model), np.random.default_rng(SEED)
    killed = np.sort(rng.integers(stream.begins // SUMMARY_ROWS, len(rows) // SUMMARY_ROWS, KILLS)).tolist()
    return alerts_of_heirs(rows, own.model, killed) == alerts(rows, own.model)


def beside(job: tuple[int, int]) -> dict[str, Any]:
    """One of the other detectors: on a few of the same streams, and where nothing but the clock moves amounts."""
    peer, part = job
    own = weeks(FIRST)
    cases = [
        Case(kind.title, scored(stream.frame, own.model), stream.begins)
        for kind in KINDS
        if part == 1 or not kind.slow
        for number, at in enumerate(starts(own.begins, STARTS))
        if number % min(PEER_STARTS * part, STARTS) == 0
        for stream in (injected(own.frame, drift_of(kind, at, SEED + number), SLOW.get(kind.kind, AFTER)),)
    ]
    found = _watched(peer, FIRST, [*cases, _quiet(FIRST, part)])
    seasonal = next(world for world in worlds() if world.season)
    return {**found, "with_season": _watched(peer, seasonal, [_quiet(seasonal, part)])}


def _watched(peer: int, world: World, cases: list[Case]) -> dict[str, Any]:
    own = weeks(world)
    week = own.frame.filter(pl.col("event_time") < own.frame["event_time"][0] + timedelta(days=TRAINING_DAYS))
    return drift_peers.compared(PEERS[peer], scored(week, own.model), own.model, cases)


def _quiet(world: World, part: int) -> Case:
    rows = reported(world)
    return Case("undrifted", rows.take(np.arange(len(rows) // part)), None)


def hot_path() -> dict[str, float]:
    """What the summaries cost where they are made."""
    own = weeks(FIRST)
    return summarise_us_per_event(own.frame, own.model)


def _found(said: list[DriftAlert], begins: int, ends: int) -> DriftAlert | None:
    """The first incident of a drift that begins and ends after so many transactions."""
    raised = (a for a in said if a.phase is DriftPhase.RAISED)
    return next((a for a in raised if begins < a.events_observed <= begins + ends + SUMMARY_ROWS), None)


def _verdict(said: list[DriftAlert], found: DriftAlert) -> DriftAlert:
    """What is said of an incident once enough has been seen."""
    return next((a for a in said if a.alert_id == found.alert_id and a.phase is not DriftPhase.RAISED), found)


def _incidents(said: list[DriftAlert]) -> int:
    return len({a.alert_id for a in said if a.phase is DriftPhase.RAISED})


def measure(part: int) -> dict[str, Any]:
    """The whole report; `part` is how much of it is left out: 1 is nothing, 16 all but a sixteenth."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        each = worlds()
        jobs = [(w, kind, start) for w in each for kind in range(len(KINDS)) for start in range(0, STARTS, part)]
        kinds = list(_told(pool, of_kind, jobs, "injected"))
        draws = [(w, SEED + number) for w in each if not w.season for number in range(DRAWN // part)]
        random = list(_told(pool, at_random, draws, "drawn at random"))
        copies = [(w, copy) for w in each for copy in range(1 + COPIES // part)]
        quiet = list(_told(pool, calm, copies, "undrifted"))
        tried = range(0, len(KINDS), part)
        peers = list(_told(pool, beside, [(peer, part) for peer in range(len(PEERS))], "other detectors"))
        same = [KINDS[k].title for k, alike in zip(tried, pool.map(same_with_partitions, tried), strict=True) if alike]
        killed = list(pool.map(same_after_kills, range(0, len(KINDS), part)))
        cost = pool.submit(hot_path).result()
    return {
        "kinds": kinds,
        "random": random,
        "undrifted": quiet,
        "same_alerts": [len(same), len(tried)],
        "same_after_kills": [sum(killed), len(killed)],
        "peers": peers,
        "summarise_us_per_event": cost,
        "summary": {w.title: _summary(*(_of(w, rows) for rows in (kinds, random, quiet))) for w in each},
        "machine": report.machine(),
    }


def _of(world: World, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["world"] == world.title]


def _told(pool: ProcessPoolExecutor, work: Any, jobs: list[Any], what: str) -> Iterator[Any]:
    for number, result in enumerate(pool.map(work, jobs), start=1):
        if number % 50 == 0 or number == len(jobs):
            say(f"{what}: {number} of {len(jobs)}")
        yield result


def _summary(kinds: list[dict[str, Any]], random: list[dict[str, Any]], quiet: list[dict[str, Any]]) -> dict[str, Any]:
    """Of one world."""
    delays = np.array([row["delay"] if row["delay"] is not None else NEVER for row in kinds])
    quick = delays[[not row["slow"] for row in kinds]]
    found = [row for row in kinds if row["delay"] is not None]
    off = np.abs([row["off"] for row in found if not row["slow"]])
    drawn_found = [row for row in random if row["found"]]
    events = sum(row["events"] for row in quiet)
    return {
        "found": [len(found), len(kinds)],
        "named": _share(found, "named"),
        "median_delay": float(np.median(delays)),
        "p90_delay_of_quick_kinds": float(np.percentile(quick, 90, method="higher")),
        "since_off_of_quick_kinds": np.percentile(off, [50, 90], method="higher").tolist(),
        "incidents_per_cause": _share(found, "incidents"),
        "random": len(random),
        "random_found": _share(random, "found"),
        "random_named": _share(drawn_found, "named"),
        "false_per_million": 1e6 * sum(row["incidents"] for row in quiet) / events,
        "undrifted_events": events,
    }


def _share(rows: list[dict[str, Any]], what: str) -> float:
    """Of the rows, or how many for each."""
    return sum(row[what] for row in rows) / max(len(rows), 1)


LINES = {
    "injected drifts found": lambda s: f"{s['found'][0]} of {s['found'][1]}",
    "cause of those named rightly": lambda s: f"{s['named']:.1%}",
    "median delay, events": lambda s: f"{s['median_delay']:,.0f}",
    "P90 of the delay without the two slow kinds": lambda s: f"{s['p90_delay_of_quick_kinds']:,.0f}",
    "the first alert's `since` is off by, median and P90 without them": lambda s: "{:,} and {:,}".format(
        *s["since_off_of_quick_kinds"]
    ),
    "incidents for one injected cause": lambda s: f"{s['incidents_per_cause']:.2f}",
    "drawn at random: found": lambda s: f"{s['random_found']:.1%} of {s['random']}" if s["random"] else "",
    "cause of those named rightly ": lambda s: f"{s['random_named']:.1%}" if s["random"] else "",
    "false incidents in a million undrifted": lambda s: f"{s['false_per_million']:.2f}",
    "undrifted events seen": lambda s: f"{s['undrifted_events']:,}",
}


def table(found: dict[str, Any]) -> str:
    """The report as Markdown."""
    summary = found["summary"]
    lines = [f"| | {' | '.join(summary)} |", f"| --- |{' --- |' * len(summary)}"]
    lines += [f"| {what.strip()} | {' | '.join(map(told, summary.values()))} |" for what, told in LINES.items()]
    alike, tried = found["same_alerts"]
    after_kills, killed = found["same_after_kills"]
    lines += [
        "",
        f"Same alerts on {', '.join(map(str, PARTITIONS))} uneven partitions: {alike} of {tried} kinds. "
        f"Where the aggregator is killed {KILLS} times in the drift: {after_kills} of {killed} kinds. "
        f"Summaries in the hot path: {found['summarise_us_per_event']['median']:.2f} µs of CPU an event.",
        "",
        "Kind by kind in the first of these worlds, and how many are found in the others:",
        "",
        f"| kind | found | median delay | named rightly | incidents | {' | '.join(list(summary)[1:])} |",
        f"| --- | --- | --- | --- | --- |{' --- |' * (len(summary) - 1)}",
    ]
    lines += [_line(title, found) for title in _titles(found)]
    streams = next(len(row["delays"]) for row in found["peers"] if "delays" in row)
    lines += ["", f"Other detectors on {streams} of the same streams, and on undrifted events as they are:", ""]
    return "\n".join([*lines, *drift_peers.table(found["peers"]), "", report.footing(found)]) + "\n"


def _line(title: str, found: dict[str, Any]) -> str:
    """What came of one kind."""
    first, *others = (
        [row for row in found["kinds"] if row["kind"] == title and row["world"] == world] for world in found["summary"]
    )
    delays = _delays(first)
    median = f"{np.median(delays):,.0f}" if delays else ""
    cells = [
        f"{title} (tuned on)" if first[0]["tuned"] else title,
        f"{len(delays)} of {len(first)}",
        median,
        str(sum(row["named"] for row in first)),
        f"{_share(first, 'incidents'):.2f}",
        *(f"{len(_delays(rows))} of {len(rows)}" for rows in others),
    ]
    return f"| {' | '.join(cells)} |"


def _titles(found: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["kind"] for row in found["kinds"]))


def _delays(rows: list[dict[str, Any]]) -> list[int]:
    """Where it was found."""
    return sorted(row["delay"] for row in rows if row["delay"] is not None)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a sixteenth of everything")
    parser.add_argument("--docs", action="store_true", help="measure nothing: write the last report into the docs")
    options = parser.parse_args()
    if options.docs:
        last = report.load("report", FOLDER)
        report.into_page("drift", f"{table(last)}\n{CAPTION}\n", PAGE)
        first = [row for row in last["kinds"] if row["world"] == next(iter(last["summary"]))]
        of_each = {title: [row for row in first if row["kind"] == title] for title in _titles(last)}
        plots.delays({title: _delays(rows) for title, rows in of_each.items()}, PICTURE)
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = measure(16 if options.quick else 1)
    report.save(found, "report", FOLDER)
    sys.stdout.write(table(found))


if __name__ == "__main__":
    main()
