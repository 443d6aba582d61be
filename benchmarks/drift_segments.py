"""What segments find that the whole does not: drifts inside one of about two transactions in a hundred.

    python -m benchmarks.drift_segments          thirteen kinds from eight starts with and without segments, undrifted
                                                 weeks, the cost; some minutes of CPU
    python -m benchmarks.drift_segments --quick  an eighth of it
    python -m benchmarks.drift_segments --docs   the last report into docs/drift.md

The protocol is that of `benchmarks.drift`: trained on the first week, tuned in the two weeks after it, reported on the
two after those. The Handbook's events name no country: each customer is given one of eight, three of them with two
customers in a hundred. A drift is in one of these three alone. Terminals, which have thousands of values, are watched
in groups on the undrifted weeks too.
"""

import argparse
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from functools import cache
from multiprocessing import get_context
from typing import Any
from zlib import crc32

import numpy as np
import polars as pl
from msgspec.structs import replace

from benchmarks import report
from benchmarks.drift import FOLDER, PAGE, SEED
from benchmarks.drift_cost import summarise_us_per_event
from benchmarks.drift_kinds import KINDS, drift_of, starts
from benchmarks.drift_streams import BEFORE, SUMMARY_ROWS, Model, Rows, alerts, resampled, scored
from benchmarks.drift_worlds import REPORTED_DAYS, Weeks
from benchmarks.material import say, transactions
from models.data.drift import DriftKind
from schemas.drift import DriftAlert, DriftPhase

COUNTRIES = {"DE": 0.40, "FR": 0.22, "IT": 0.14, "ES": 0.10, "PL": 0.08, "AT": 0.02, "CH": 0.02, "PT": 0.02}
SMALL = ("AT", "CH", "PT")
AFTER = 65_536
STARTS, COPIES = 8, 15
FIELDS = ("country", "terminal_id")
# Its attack lasts six hours: that is fifty transactions of such a segment.
WITHOUT = {DriftKind.ATTACK_BURST}
INSIDE = tuple(number for number, kind in enumerate(KINDS) if kind.kind not in WITHOUT)


@cache
def weeks(field: str) -> Weeks:
    """The data with countries, and a model that watches by one field: once in each process."""
    frame, _ = transactions()
    bounds, names = np.cumsum(list(COUNTRIES.values()))[:-1], list(COUNTRIES)
    where = {c: names[int(np.searchsorted(bounds, crc32(c.encode()) / 2**32))] for c in frame["entity"].unique()}
    return Weeks.of(frame.with_columns(country=pl.col("entity").replace_strict(where)), field)


def inside(job: tuple[int, int]) -> dict[str, Any]:
    """One kind from one start in one small country: with segments, and as if there were none."""
    number, start = job
    own, kind = weeks("country"), KINDS[number]
    country = SMALL[start % len(SMALL)]
    at = starts(own.begins, STARTS)[start]
    begins = int(own.frame["event_time"].search_sorted(at))
    rows = own.frame[begins - BEFORE : begins + AFTER]
    here = pl.col("country") == country
    drifted = drift_of(kind, at, SEED + start).apply(rows.filter(here))
    stream = pl.concat([rows.filter(~here), drifted]).sort("event_time", "event_id")
    said, is_here = scored(stream, own.model), stream["country"].to_numpy() == country
    told, alone = alerts(said, own.model), alerts(_unsegmented(said), _whole(own.model))
    found, found_alone = _first(told, f"country={country}"), _first(alone)
    verdict = None if found is None else _verdict(told, found)
    placed_at = BEFORE if found is None else sum(found.since_offsets.values())
    return {
        "kind": kind.title,
        "slow": kind.slow,
        "delay": None if found is None else found.events_observed - BEFORE,
        "own_delay": None if found is None else int(is_here[BEFORE : found.events_observed].sum()),
        "own_off": int(is_here[min(placed_at, BEFORE) : max(placed_at, BEFORE)].sum()),
        "placed": verdict is not None and verdict.segment == f"country={country}",
        "named": verdict is not None and verdict.cause_kind in kind.right,
        "incidents": len(_raised(told)),
        "delay_alone": None if found_alone is None else found_alone.events_observed - BEFORE,
        "incidents_alone": len(_raised(alone)),
    }


def undrifted(job: tuple[str, int]) -> dict[str, Any]:
    """Nothing is the matter: the weeks as they are (seed 0), or drawn anew."""
    field, seed = job
    rows = undrifted_rows(field)
    said = alerts(resampled(rows, seed) if seed else rows, weeks(field).model)
    return {"field": field, "events": len(rows), "incidents": len(_raised(said))}


@cache
def undrifted_rows(field: str) -> Rows:
    """The weeks that are reported on, scored."""
    own = weeks(field)
    ends = own.begins + timedelta(days=REPORTED_DAYS)
    return scored(own.frame.filter(pl.col("event_time").is_between(own.begins, ends, closed="left")), own.model)


def hot_path(field: str) -> dict[str, float]:
    """What the summaries cost where they are made; without a field, as without segments."""
    own = weeks(field or "country")
    return summarise_us_per_event(own.frame, own.model if field else _whole(own.model))


def _whole(model: Model) -> Model:
    return Model(model.graph, replace(model.manifest, segments=None))


def _unsegmented(rows: Rows) -> Rows:
    return Rows(rows.signals, rows.raw, rows.anomalous, rows.times, np.zeros_like(rows.segments))


def _raised(said: Iterable[DriftAlert]) -> set[str]:
    return {alert.alert_id for alert in said if alert.phase is DriftPhase.RAISED}


def _first(said: list[DriftAlert], segment: str = "") -> DriftAlert | None:
    """The first incident since the drift began that is not said to be in another segment."""
    raised = (a for a in said if a.phase is DriftPhase.RAISED and a.segment in {"", segment})
    return next((a for a in raised if a.events_observed > BEFORE + SUMMARY_ROWS), None)


def _verdict(said: list[DriftAlert], found: DriftAlert) -> DriftAlert:
    """What is said of an incident once enough has been seen."""
    return next((a for a in said if a.alert_id == found.alert_id and a.phase is not DriftPhase.RAISED), found)


def measure(part: int) -> dict[str, Any]:
    """The whole report; all but a `part`th of it is left out."""
    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn")) as pool:
        jobs = [(kind, start) for kind in INSIDE for start in range(0, STARTS, part)]
        drifts = list(pool.map(inside, jobs))
        say(f"inside a segment: {len(drifts)}")
        copies = [(field, seed) for field in FIELDS for seed in range(1 + COPIES // part)]
        calm = list(pool.map(undrifted, copies))
        say(f"undrifted: {len(calm)}")
        cost = {field: pool.submit(hot_path, field).result() for field in ("", *FIELDS)}
    return {"inside": drifts, "undrifted": calm, "summarise_us_per_event": cost, "machine": report.machine()}


def table(found: dict[str, Any]) -> str:
    """The report as Markdown."""
    rows, quick = found["inside"], [row for row in found["inside"] if not row["slow"]]
    known = [row for row in rows if row["delay"] is not None]
    placed, named, incidents = (
        sum(row[what] for row in known) / len(known) for what in ("placed", "named", "incidents")
    )
    lines = [
        "| drifts inside one country of 2 % of the events | with segments | without |",
        "| --- | --- | --- |",
        f"| found | {_found(rows, 'delay')} | {_found(rows, 'delay_alone')} |",
        f"| the same without the two slow kinds | {_found(quick, 'delay')} | {_found(quick, 'delay_alone')} |",
        f"| median delay of those found, events of that country | {_median(rows, 'own_delay')} | |",
        f"| median delay of those, all events | {_median(rows, 'delay')} | {_median(rows, 'delay_alone')} |",
        f"| `since` of those but the slow kinds is off by, its events, median and P90 | {_off(known)} | |",
        f"| of those found: country named | {placed:.1%} | never |",
        f"| of those found: cause named rightly | {named:.1%} | |",
        f"| incidents for one that is found | {incidents:.2f} | {_alone(rows):.2f} |",
        "",
        "| kind, inside one country | found | median delay, of its events | of all | without segments found |",
        "| --- | --- | --- | --- | --- |",
    ]
    for title in dict.fromkeys(row["kind"] for row in rows):
        these = [row for row in rows if row["kind"] == title]
        delays = f"{_median(these, 'own_delay')} | {_median(these, 'delay')}"
        lines.append(f"| {title} | {_found(these, 'delay')} | {delays} | {_found(these, 'delay_alone')} |")
    lines += ["", "| watched by | false incidents in a million undrifted | summaries, µs of CPU an event |"]
    lines += ["| --- | --- | --- |"]
    cost = {field: f"{value['median']:.2f}" for field, value in found["summarise_us_per_event"].items()}
    lines.append(f"| the whole alone | see above | {cost['']} |")
    for field in FIELDS:
        calm = [row for row in found["undrifted"] if row["field"] == field]
        events, false = (sum(row[what] for row in calm) for what in ("events", "incidents"))
        what = f"{field} too, {len(COUNTRIES)} values" if field == "country" else f"{field} too, 16 groups"
        lines.append(f"| {what} | {1e6 * false / events:.2f} ({events:,} seen) | {cost[field]} |")
    return "\n".join([*lines, "", report.footing(found)]) + "\n"


def _found(rows: list[dict[str, Any]], delay: str) -> str:
    return f"{sum(row[delay] is not None for row in rows)} of {len(rows)}"


def _median(rows: list[dict[str, Any]], what: str) -> str:
    """Of those found."""
    known = [row[what] for row in rows if row[what] is not None]
    return f"{np.median(known):,.0f}" if known else "-"


def _off(known: list[dict[str, Any]]) -> str:
    """Of the quick kinds: a slow one begins nowhere."""
    median, most = np.percentile([row["own_off"] for row in known if not row["slow"]], [50, 90], method="higher")
    return f"{median:,} and {most:,}"


def _alone(rows: list[dict[str, Any]]) -> float:
    known = [row["incidents_alone"] for row in rows if row["delay_alone"] is not None]
    return float(np.mean(known)) if known else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="an eighth of everything")
    parser.add_argument("--docs", action="store_true", help="measure nothing: write the last report into the docs")
    options = parser.parse_args()
    if options.docs:
        report.into_page("segments", table(report.load("segments", FOLDER)), PAGE)
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = measure(STARTS if options.quick else 1)
    report.save(found, "segments", FOLDER)
    sys.stdout.write(table(found))


if __name__ == "__main__":
    main()
