"""`make bench-drift`: how much drift is found, how soon, named how well, and how often nothing is the matter.

    python -m benchmarks.drift            fourteen kinds from sixteen starts, 480 drawn at random, undrifted weeks;
                                          nine minutes of CPU
    python -m benchmarks.drift --quick    a sixteenth of it: does everything still run
    python -m benchmarks.drift --docs     the last report into docs/drift.md, its picture beside it

The product's own classes see the Handbook's transactions: the hot path's sums and the aggregator, without Kafka. Limits
were chosen in the two weeks after training, looking at seven of the kinds and at attacks drawn at random; what is
reported comes from the two after those. Undrifted streams are those weeks as they are, and drawn anew from their own
hours; once more with amounts that follow the clock, and a model trained on such. Other detectors see some of the same
streams.
"""

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from multiprocessing import get_context
from typing import Any

import numpy as np
import polars as pl

from benchmarks import drift_peers, plots, report
from benchmarks.drift_cost import summarise_us_per_event
from benchmarks.drift_kinds import KINDS, Drawn, drawn, drift_of, starts
from benchmarks.drift_peers import PEERS, Case
from benchmarks.drift_streams import (
    AFTER,
    SLOW,
    SUMMARY_ROWS,
    Model,
    Rows,
    alerts,
    injected,
    resampled,
    scored,
    seasonal,
    trained,
)
from benchmarks.material import ROOT, TRAINING_DAYS, say, transactions
from models.runtime import one_thread
from schemas.drift import DriftAlert, DriftPhase

FOLDER = ROOT / "build" / "drift"
PAGE = ROOT / "docs" / "drift.md"
PICTURE = ROOT / "docs" / "drift-delays.svg"
REPORTED_FROM, REPORTED_DAYS = 21, 14  # days after the beginning of the data, whose first seven are the training's
STARTS, DRAWN, COPIES = 16, 480, 15
PEER_STARTS = 8  # every which start others are tried from
SEED = 20_000
NEVER = 10**9
PARTITIONS = (1, 4, 16)
CAPTION = "![For each kind of drift, a dot for the delay from each start, on a logarithmic scale.](drift-delays.svg)"


@dataclass(frozen=True, slots=True)
class Weeks:
    """The data as one process holds it."""

    frame: pl.DataFrame
    model: Model
    begins: datetime


@cache
def weeks(with_season: bool = False) -> Weeks:
    """Read, train and keep: once in each process."""
    frame, _ = transactions()
    frame = seasonal(frame) if with_season else frame
    first = frame["event_time"][0].replace(hour=0, minute=0, second=0, microsecond=0)
    with one_thread():
        return Weeks(frame, trained(frame), first + timedelta(days=REPORTED_FROM))


@cache
def undrifted_rows(with_season: bool) -> Rows:
    """The weeks that are reported on, scored."""
    own = weeks(with_season)
    ends = own.begins + timedelta(days=REPORTED_DAYS)
    return scored(own.frame.filter(pl.col("event_time").is_between(own.begins, ends, closed="left")), own.model)


def of_kind(job: tuple[int, int]) -> dict[str, Any]:
    """One kind from one start."""
    number, start = job
    own, kind = weeks(), KINDS[number]
    at = starts(own.begins, STARTS)[start]
    stream = injected(own.frame, drift_of(kind, at, SEED + start), SLOW.get(kind.kind, AFTER))
    said = alerts(scored(stream.frame, own.model), own.model)
    found = _found(said, stream.begins, NEVER)
    named = found is not None and _verdict(said, found).cause_kind in kind.right
    delay = found.events_observed - stream.begins if found is not None else None
    return {"kind": kind.title, "slow": kind.slow, "tuned": kind.tuned, "delay": delay, "named": named, **_count(said)}


def at_random(seed: int) -> dict[str, Any]:
    """One drift that nobody chose."""
    own = weeks()
    what: Drawn = drawn(own.frame, own.begins, REPORTED_DAYS / 2, seed)
    said = alerts(scored(what.stream.frame, own.model), own.model)
    found = _found(said, what.stream.begins, what.ends)
    named = False
    if found is not None:
        verdict = _verdict(said, found)
        named = verdict.cause_kind in what.right and (not what.fields or any(f in verdict.cause for f in what.fields))
    return {"family": what.family, "found": found is not None, "named": named}


def undrifted(job: tuple[bool, int]) -> dict[str, Any]:
    """Nothing is the matter: the weeks as they are (seed 0), or drawn anew."""
    with_season, seed = job
    rows = undrifted_rows(with_season)
    said = alerts(resampled(rows, seed) if seed else rows, weeks(with_season).model)
    return {"season": with_season, "events": len(rows), **_count(said)}


def same_with_partitions(job: int) -> bool:
    """Whether one drift raises the same alerts however unevenly it is spread over partitions."""
    own, kind = weeks(), KINDS[job]
    stream = injected(own.frame, drift_of(kind, starts(own.begins, STARTS)[0], SEED))
    rows, rng = scored(stream.frame, own.model), np.random.default_rng(SEED)
    found = []
    for count in PARTITIONS:
        shares = np.arange(1, count + 1) / np.arange(1, count + 1).sum()
        said = alerts(rows, own.model, rng.choice(count, len(rows), p=shares))
        found.append([(a.phase, a.cause_kind, a.events_observed) for a in said])
    return all(other == found[0] for other in found)


def beside(job: tuple[int, int]) -> dict[str, Any]:
    """One of the other detectors, on a few of the same streams."""
    peer, part = job
    own = weeks()
    cases = [
        Case(kind.title, scored(stream.frame, own.model), stream.begins)
        for kind in KINDS
        if part == 1 or not kind.slow
        for number, at in enumerate(starts(own.begins, STARTS))
        if number % min(PEER_STARTS * part, STARTS) == 0
        for stream in (injected(own.frame, drift_of(kind, at, SEED + number), SLOW.get(kind.kind, AFTER)),)
    ]
    quiet = undrifted_rows(False)
    cases.append(Case("undrifted", quiet.take(np.arange(len(quiet) // part)), None))
    week = own.frame.filter(pl.col("event_time") < own.frame["event_time"][0] + timedelta(days=TRAINING_DAYS))
    return drift_peers.compared(PEERS[peer], scored(week, own.model), own.model, cases)


def hot_path() -> dict[str, float]:
    """What the summaries cost where they are made."""
    own = weeks()
    return summarise_us_per_event(own.frame, own.model)


def _found(said: list[DriftAlert], begins: int, ends: int) -> DriftAlert | None:
    """The first incident of a drift that begins and ends after so many transactions."""
    raised = (a for a in said if a.phase is DriftPhase.RAISED)
    return next((a for a in raised if begins < a.events_observed <= begins + ends + SUMMARY_ROWS), None)


def _verdict(said: list[DriftAlert], found: DriftAlert) -> DriftAlert:
    """What is said of an incident once enough has been seen."""
    return next((a for a in said if a.alert_id == found.alert_id and a.phase is not DriftPhase.RAISED), found)


def _count(said: list[DriftAlert]) -> dict[str, int]:
    return {"incidents": len({a.alert_id for a in said if a.phase is DriftPhase.RAISED})}


def measure(part: int) -> dict[str, Any]:
    """The whole report; `part` is how much of it is left out: 1 is nothing, 16 all but a sixteenth."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        jobs = [(kind, start) for kind in range(len(KINDS)) for start in range(0, STARTS, part)]
        kinds = list(_told(pool, of_kind, jobs, "injected"))
        seeds = [SEED + number for number in range(DRAWN // part)]
        random = list(_told(pool, at_random, seeds, "drawn at random"))
        copies = [(season, seed) for season in (False, True) for seed in range(1 + COPIES // part)]
        calm = list(_told(pool, undrifted, copies, "undrifted"))
        tried = range(0, len(KINDS), part)
        peers = list(_told(pool, beside, [(peer, part) for peer in range(len(PEERS))], "other detectors"))
        same = [KINDS[k].title for k, alike in zip(tried, pool.map(same_with_partitions, tried), strict=True) if alike]
        cost = pool.submit(hot_path).result()
    return {
        "kinds": kinds,
        "random": random,
        "undrifted": calm,
        "same_alerts": [len(same), len(tried)],
        "peers": peers,
        "summarise_us_per_event": cost,
        "summary": _summary(kinds, random, calm),
        "machine": report.machine(),
    }


def _told(pool: ProcessPoolExecutor, work: Any, jobs: list[Any], what: str) -> Iterator[Any]:
    for number, result in enumerate(pool.map(work, jobs), start=1):
        if number % 50 == 0 or number == len(jobs):
            say(f"{what}: {number} of {len(jobs)}")
        yield result


def _summary(kinds: list[dict[str, Any]], random: list[dict[str, Any]], calm: list[dict[str, Any]]) -> dict[str, Any]:
    delays = np.array([row["delay"] if row["delay"] is not None else NEVER for row in kinds])
    quick = delays[[not row["slow"] for row in kinds]]
    found = [row for row in kinds if row["delay"] is not None]
    false = {
        season: [sum(r[what] for r in calm if r["season"] is season) for what in ("incidents", "events")]
        for season in (False, True)
    }
    return {
        "found": [len(found), len(kinds)],
        "named": sum(row["named"] for row in found) / max(len(found), 1),
        "median_delay": float(np.median(delays)),
        "p90_delay_of_quick_kinds": float(np.percentile(quick, 90, method="higher")),
        "incidents_per_cause": sum(row["incidents"] for row in found) / max(len(found), 1),
        "random_found": sum(row["found"] for row in random) / len(random),
        "random_named": sum(row["named"] for row in random) / max(sum(row["found"] for row in random), 1),
        "false_per_million": 1e6 * false[False][0] / false[False][1],
        "false_per_million_with_season": 1e6 * false[True][0] / false[True][1],
        "undrifted_events": [false[False][1], false[True][1]],
    }


def table(found: dict[str, Any]) -> str:
    """The report as Markdown."""
    s, events = found["summary"], found["summary"]["undrifted_events"]
    lines = ["| what | measured |", "| --- | --- |"]
    lines += [
        f"| injected drifts found | {s['found'][0]} of {s['found'][1]} |",
        f"| cause of those named rightly | {s['named']:.1%} |",
        f"| median delay | {s['median_delay']:,.0f} transactions |",
        f"| P90 of the delay without the two slow kinds | {s['p90_delay_of_quick_kinds']:,.0f} transactions |",
        f"| incidents for one injected cause | {s['incidents_per_cause']:.2f} |",
        f"| drawn at random ({len(found['random'])}): found, then named rightly "
        f"| {s['random_found']:.1%}, {s['random_named']:.1%} |",
        f"| false incidents in a million undrifted transactions ({events[0]:,} seen) | {s['false_per_million']:.2f} |",
        f"| the same where amounts follow the clock ({events[1]:,} seen) | {s['false_per_million_with_season']:.2f} |",
        f"| same alerts on {', '.join(map(str, PARTITIONS))} uneven partitions "
        f"| {found['same_alerts'][0]} of {found['same_alerts'][1]} kinds |",
        f"| summaries in the hot path | {found['summarise_us_per_event']['median']:.2f} µs of CPU a transaction |",
        "",
        "| kind | found | median delay | named rightly | incidents |",
        "| --- | --- | --- | --- | --- |",
    ]
    for title in _titles(found):
        rows = [row for row in found["kinds"] if row["kind"] == title]
        delays = _delays(found, title)
        median = f"{np.median(delays):,.0f}" if delays else ""
        lines.append(
            f"| {title}{' (tuned on)' if rows[0]['tuned'] else ''} | {len(delays)} of {len(rows)} | {median} "
            f"| {sum(row['named'] for row in rows)} | {sum(row['incidents'] for row in rows) / len(rows):.2f} |"
        )
    tried = next(len(row["delays"]) for row in found["peers"] if "delays" in row)
    lines += ["", f"Other detectors on {tried} of the same streams, and on undrifted transactions as they are:", ""]
    return "\n".join([*lines, *drift_peers.table(found["peers"]), "", report.footing(found)]) + "\n"


def _titles(found: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["kind"] for row in found["kinds"]))


def _delays(found: dict[str, Any], title: str) -> list[int]:
    """Of a kind, where it was found."""
    return sorted(row["delay"] for row in found["kinds"] if row["kind"] == title and row["delay"] is not None)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a sixteenth of everything")
    parser.add_argument("--docs", action="store_true", help="measure nothing: write the last report into the docs")
    options = parser.parse_args()
    if options.docs:
        last = report.load("report", FOLDER)
        report.into_page("drift", f"{table(last)}\n{CAPTION}\n", PAGE)
        plots.delays({title: _delays(last, title) for title in _titles(last)}, PICTURE)
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = measure(16 if options.quick else 1)
    report.save(found, "report", FOLDER)
    sys.stdout.write(table(found))


if __name__ == "__main__":
    main()
