"""Candidates beside a champion, through the gates: which measures tell a retraining from a shifted model, and where.

    python -m benchmarks.candidates                 the Handbook's transactions, where they are; some four minutes
    python -m benchmarks.candidates --simulated     the simulator's

A table on stdout, and the figures as JSON under build/bench/candidates.json.
"""

import argparse
import json
import tempfile
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType

import polars as pl
from msgspec.structs import replace

from benchmarks import handbook, recipes
from models import artefact
from models.data.simulator import Simulation, simulate
from models.evaluation import metrics_of, score_in_batches
from models.gates.comparison import compare
from models.gates.judge import judge
from models.gates.limits import load_limits
from models.gates.report import GateReport
from models.inputs import matrix
from models.protocol import protocol_rows
from models.runtime import Runtime
from stream_app.testing import incident
from stream_app.testing.incident import Recipe

REPORT = Path("build/bench/candidates.json")
MEASURES = ("candidate's alerts to champion's", "Jaccard index", "CKA", "overlap of 10 neighbours", "PSI")
COLUMNS = ("AUC ROC", "AP", "CP@100", "alerts", "Jaccard", "CKA", "kNN", "PSI", "refused for")


def variants(base: Recipe) -> dict[str, Recipe]:
    """Retrainings that differ in one thing from the champion's, by seed 1 unless the seed is the difference."""
    changes: dict[str, dict[str, float]] = {f"seed {seed}": {"seed": seed} for seed in range(3, 9)}
    changes |= {f"hidden {width}": {"hidden": width, "seed": 1} for width in (16, 32, 128)}
    changes |= {f"latent {width}": {"latent": width, "seed": 1} for width in (4, 5, 6, 12, 16)}
    changes |= {"epochs doubled": {"epochs": 2 * base.config.epochs, "seed": 1}}
    changes |= {f"noise {spread:g}": {"noise": spread, "seed": 1} for spread in (0.1, 0.5)}
    found = {name: Recipe(base.since, base.until, replace(base.config, **change)) for name, change in changes.items()}
    for name, first, last in (("three days later", 3, 3), ("two days shorter", 0, -2), ("a week later", 7, 7)):
        days = base.since + timedelta(days=first), base.until + timedelta(days=last)
        found[name] = Recipe(*days, replace(base.config, seed=1))
    return found


def line(name: str, runtime: Runtime, rows: pl.DataFrame, report: GateReport) -> list[str]:
    """One candidate's figures."""
    quality = metrics_of(score_in_batches(runtime, matrix(rows, runtime.manifest.inputs)), rows)
    measured = {measure.name: measure.value or 0.0 for gate in report.gates for measure in gate.measures}
    figures = (quality.auc_roc, quality.average_precision, quality.card_precision_at_100)
    values = [*figures, *(measured[name] for name in MEASURES)]
    return [name, *(f"{value:.3f}" for value in values), ", ".join(report.failed) or "-"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulated", action="store_true", help="the simulator's transactions")
    simulated = parser.parse_args().simulated or not handbook.PATH.is_file()
    roles: ModuleType = incident if simulated else recipes
    test: tuple[date, date] = roles.TEST_WEEK
    frame = simulate(Simulation(days=21, start=roles.WEEK[0])) if simulated else handbook.transactions(until=test[1])
    candidates = {"SHIFTED": roles.SHIFTED, "EQUAL": roles.EQUAL, **variants(roles.CHAMPION)}
    limits, rows, table = load_limits(), protocol_rows(frame, *test), []
    with tempfile.TemporaryDirectory() as folder:
        champion = artefact.load(roles.CHAMPION.make(frame, "champion", Path(folder) / "champion.pt"))
        for name, recipe in {"champion": roles.CHAMPION, **candidates}.items():
            runtime = artefact.load(recipe.make(frame, name, Path(folder) / "candidate.pt"))
            report = judge(compare(runtime, champion, frame, limits, *test), limits)
            table.append(line(name, runtime, rows, report))
            print("| " + " | ".join(table[-1]) + " |", flush=True)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    found = [dict(zip(("candidate", *COLUMNS), row, strict=True)) for row in table]
    REPORT.write_text(json.dumps({"simulated": simulated, "candidates": found}, indent=2))


if __name__ == "__main__":
    main()
