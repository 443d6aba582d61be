"""Runs in, figures out: medians with their spread, ratios between runs of one round, Markdown and JSON."""

import os
import platform
from collections import defaultdict
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from benchmarks.contestants import CEILING, CONTESTANTS, FAUST, OWN, Contestant
from benchmarks.material import FOLDER, ROOT

PAGE = ROOT / "docs" / "performance.md"
OURS = (OWN, "at_least_once")
Run = dict[str, Any]


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median, least and most."""
    values = list(values)
    return {"median": median(values), "min": min(values), "max": max(values)}


def build(runs: list[Run], skipped: dict[str, str], material: dict[str, Any]) -> dict[str, Any]:
    """The whole report.

    Args:
        runs: One for each contestant and round: `contestant`, `round`, and what the contestant measured.
        skipped: Contestant to the reason why it could not run.
        material: What was measured on.

    Returns:
        With `contestants` (figures), `ratios` (of the exactly-once worker, each the median over rounds),
        `ratios_spread`, `skipped`, `material`, `machine`, `runs`.
    """
    by_name: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_name[run["contestant"]].append(run)
    figures = {name: _figures(found) for name, found in by_name.items()}
    peers = [name for name in figures if name not in (*OURS, CEILING)]
    best = max(peers, key=lambda name: figures[name]["events_per_second"]["median"], default=None)
    rivals = {"ceiling": CEILING, "faust_agent": FAUST, "best_peer": best}
    spreads = {
        label: spread(_ratios(by_name[OWN], by_name[rival]))
        for label, rival in rivals.items()
        if rival in figures and OWN in figures
    }
    return {
        "ratios": {label: found["median"] for label, found in spreads.items()},
        "ratios_spread": spreads,
        "best_peer": best,
        "contestants": figures,
        "skipped": skipped,
        "material": material,
        "machine": machine(),
        "runs": runs,
    }


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    packages = ("confluent-kafka", "faust-streaming", "msgspec", "numpy", "orjson", "torch")
    return {
        "cpus": os.cpu_count(),
        "processor": _processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
        "packages": {name: version(name) for name in packages},
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown, in the order of the contestants."""
    found = report["contestants"]
    rows = [_row(contestant, report) for contestant in CONTESTANTS if contestant.name in found]
    heading = "| what | promise | events/s (least to most) | CPU µs/event | peak memory | of the ceiling | × Faust |"
    lines = [heading, "| --- | --- | --- | --- | --- | --- | --- |", *rows, "", _footnote(report)]
    lines += [f"Not measured: {reason}" for reason in report["skipped"].values()]
    return "\n".join(lines) + "\n"


def save(report: dict[str, Any], name: str, folder: Path = FOLDER) -> Path:
    """The report as JSON under build/."""
    path = folder / f"{name}.json"
    path.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    return path


def load(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """The last report, as `save` left it."""
    report: dict[str, Any] = orjson.loads((folder / f"{name}.json").read_bytes())
    return report


def into_page(name: str, text: str, page: Path = PAGE) -> None:
    """Write a text between its two marks in a page."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, rest = page.read_text(encoding="utf-8").split(begin)
    page.write_text(before + begin + text + end + rest.split(end)[1], encoding="utf-8")


def footing(report: dict[str, Any]) -> str:
    """The machine in one sentence."""
    where = report["machine"]
    load = " ".join(f"{value:.2f}" for value in where["load_average"])
    packages = ", ".join(f"{name} {number}" for name, number in where["packages"].items())
    return (
        f"{where['cpus']} × {where['processor']}, Python {where['python']}, {packages}; load average at the end {load}."
    )


def _figures(runs: list[Run]) -> dict[str, Any]:
    per_second: Callable[[Run], float] = lambda run: run["events"] / run["seconds"]  # noqa: E731
    figures: dict[str, Any] = {
        "rounds": len(runs),
        "events": runs[0]["events"],
        "events_per_second": spread(map(per_second, runs)),
        "cpu_us_per_event": spread(run["cpu_seconds"] / run["events"] * 1e6 for run in runs),
        "peak_rss_mb": spread(run["peak_rss_bytes"] / 1e6 for run in runs),
    }
    if "startup_seconds" in runs[0]:
        figures["startup_seconds"] = spread(run["startup_seconds"] for run in runs)
    return figures


def _ratios(ours: list[Run], theirs: list[Run]) -> list[float]:
    """Round by round: what disturbs a round disturbs both."""
    other = {run["round"]: run["events"] / run["seconds"] for run in theirs}
    return [run["events"] / run["seconds"] / other[run["round"]] for run in ours if run["round"] in other]


def _row(contestant: Contestant, report: dict[str, Any]) -> str:
    found = report["contestants"]
    own = found[contestant.name]
    rate, cpu, memory = own["events_per_second"], own["cpu_us_per_event"], own["peak_rss_mb"]
    ratios = [
        f"{rate['median'] / found[rival]['events_per_second']['median']:{form}}" if rival in found else ""
        for rival, form in ((CEILING, ".0%"), (FAUST, ".1f"))
    ]
    extremes = f"{rate['min']:,.0f} to {rate['max']:,.0f}"
    return (
        f"| {contestant.title} | {contestant.promise} | **{rate['median']:,.0f}** ({extremes}) "
        f"| {cpu['median']:.1f} | {memory['median']:,.0f} MB | {ratios[0]} | {ratios[1]} |"
    )


def _footnote(report: dict[str, Any]) -> str:
    ratios = "; ".join(
        f"{label.replace('_', ' ')} {found['median']:.2f} ({found['min']:.2f} to {found['max']:.2f})"
        for label, found in report["ratios_spread"].items()
    )
    material, rounds = report["material"], max(run["round"] for run in report["runs"])
    startup = report["contestants"].get(OWN, {}).get("startup_seconds")
    started = f" Start of the process to its first commit: {startup['median']:.1f} s." if startup else ""
    return (
        f"{material['total']:,} records of {material['mean_bytes']:.0f} bytes on {material['partitions']} partitions: "
        f"{material['source']}. Median of {rounds} interleaved rounds. This worker, exactly once, against: {ratios} "
        f"(best peer: {report['best_peer']}).{started} {footing(report)}\n"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
