"""The model beside other detectors of anomalies, by three protocols.

    python -m benchmarks.models                 folds of the Handbook's training week, and ADBench; `make bench-models`
    python -m benchmarks.models --test-week     the Handbook's test week, to be looked at when nothing changes any more
    python -m benchmarks.models --seeds 5 --only adbench

handbook     three folds of two days inside the training week; known frauds leave the rows that are fitted on
adbench      ADBench's sets as its semi-supervised protocol has it (Han et al. 2022): fitted on half of the ordinary
             rows, measured on the other half and the anomalies; at most 20,000 rows of each. `ADBENCH_DATA` names the
             folder with its .npz files
test week    trained on 2018-07-11 to 17, measured on 2018-07-25 to 31, by `stream-app train` and `evaluate`

Of the model it is also measured how often an input that was changed is the first reason of the alert. Tables on stdout,
and the figures as JSON under build/bench/models.json.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks import handbook, recipes
from benchmarks.detectors import CONTESTANTS
from models import artefact
from models.definition import find
from models.evaluation import evaluate, metrics_of
from models.fitting import fit
from models.inputs import matrix
from models.protocol import BATCH
from models.recipe import TrainingConfig
from models.runtime import one_thread, run
from models.training import train
from schemas.definition import Definition, EventFields, Input

REPORT = Path("build/bench/models.json")
SETS = Path(os.environ.get("ADBENCH_DATA") or Path(__file__).parents[1] / "data" / "adbench")
NO_SETS = f"ADBench's sets are not at {SETS}: ADBENCH_DATA names the folder of its classical .npz files"
FOLDS = (((11, 12, 13, 14, 15), (16, 17)), ((12, 13, 15, 16, 17), (11, 14)), ((11, 13, 14, 16, 17), (12, 15)))
MOST_ROWS = 20_000
FEWEST_ANOMALIES = 20

Figures = dict[str, float]
Row = dict[str, str | int | float]


def measured(
    contestant: str, fitted: np.ndarray, others: np.ndarray, definition: Definition, seed: int
) -> tuple[np.ndarray, Figures]:
    """Scores of the other rows, and what they cost."""
    start = time.perf_counter()
    scores = CONTESTANTS[contestant](fitted, definition, seed)
    trained = time.perf_counter()
    found = np.concatenate([scores(others[i : i + BATCH]) for i in range(0, len(others), BATCH)])
    cost = {"training_s": trained - start, "us_per_event": (time.perf_counter() - trained) / len(others) * 1e6}
    return found, cost


def folds(seeds: Iterable[int]) -> list[Row]:
    """Every contestant on the folds of the Handbook's training week."""
    definition = find("handbook")
    week = handbook.transactions(*recipes.WEEK)
    day = week["event_time"].dt.day()
    found: list[Row] = []
    for number, (first, second) in enumerate(FOLDS):
        fitted, rows = week.filter(day.is_in(first) & ~pl.col("fraud")), week.filter(day.is_in(second))
        for contestant in CONTESTANTS:
            for seed in seeds:
                known, others = (matrix(frame, definition.inputs) for frame in (fitted, rows))
                with one_thread():
                    scores, cost = measured(contestant, known, others, definition, seed)
                quality = metrics_of(scores, rows)
                figures = {name: getattr(quality, name) for name in quality.__struct_fields__}
                found.append({"set": f"fold {number}", "contestant": contestant, "seed": seed, **figures, **cost})
    return found


def adbench(seeds: Iterable[int]) -> list[Row]:
    """Every contestant on ADBench's sets."""
    found: list[Row] = []
    for path in sorted(SETS.glob("*.npz")):
        with np.load(path) as arrays:
            rows, anomalous = arrays["X"].astype(np.float32), arrays["y"].astype(bool)
        for seed in seeds:
            fitted, others, truth = split(rows, anomalous, seed)
            names = [f"x{column}" for column in range(rows.shape[1])]
            definition = Definition("adbench", EventFields("id", "at", "entity"), tuple(Input(n, n) for n in names))
            for contestant in CONTESTANTS:
                with one_thread():
                    scores, cost = measured(contestant, fitted, others, definition, seed)
                quality = {
                    "auc_roc": float(roc_auc_score(truth, scores)),
                    "average_precision": float(average_precision_score(truth, scores)),
                }
                found.append({"set": path.stem, "contestant": contestant, "seed": seed, **quality, **cost})
    return found


def split(rows: np.ndarray, anomalous: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half of the ordinary rows; the other half with the anomalies; and which of these they are."""
    rng = np.random.default_rng(100 + seed)
    chosen = rng.permutation(len(rows))[:MOST_ROWS]
    if anomalous[chosen].sum() < FEWEST_ANOMALIES:
        chosen = np.union1d(chosen, np.flatnonzero(anomalous))
    ordinary, strange = rng.permutation(chosen[~anomalous[chosen]]), chosen[anomalous[chosen]]
    half = len(ordinary) // 2
    others = np.concatenate([ordinary[half:], strange])
    return rows[ordinary[:half]], rows[others], anomalous[others]


def reasons(seeds: Iterable[int]) -> list[Row]:
    """How often an input that was changed is the first reason of an alert, or among the first two.

    In legitimate rows of the first fold, one input each lies up to twice as far out as the extreme of the rows fitted
    on; as an alert counts what scores as one in a hundred legitimate rows does.
    """
    definition = find("handbook")
    found: list[Row] = []
    week = handbook.transactions(*recipes.WEEK).filter(~pl.col("fraud"))
    day = week["event_time"].dt.day()
    known, others = (matrix(week.filter(day.is_in(days)), definition.inputs) for days in FOLDS[0])
    for seed in seeds:
        with one_thread():
            graph = fit(known, definition, TrainingConfig(seed=seed, trim=0.0))
            changed, inputs = faulty(others, known, np.random.default_rng(seed))
            usual, scored = run(graph, others).score, run(graph, changed)
        alerts = scored.score >= np.quantile(usual, 0.99)
        order = np.argsort(-scored.contributions[alerts], axis=1)
        first, second = (order[:, place] == inputs[alerts] for place in (0, 1))
        shares = {"first": float(first.mean()), "first_two": float((first | second).mean())}
        found.append({"seed": seed, "alerts": float(alerts.mean()), **shares})
    return found


def faulty(rows: np.ndarray, known: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows with one input changed, and which."""
    lowest, highest, usual = known.min(axis=0), known.max(axis=0), np.median(known, axis=0)
    changed, places = rows.copy(), np.arange(len(rows))
    inputs, up, far = rng.integers(0, rows.shape[1], len(rows)), rng.random(len(rows)) < 0.5, rng.random(len(rows))
    above = highest + far[:, None] * np.maximum(highest - usual, 1e-3)
    below = lowest - far[:, None] * np.maximum(usual - lowest, 1e-3)
    values = np.where(up[:, None] | (lowest >= 0), above, below)
    changed[places, inputs] = values[places, inputs]
    return changed, inputs


def test_week(seeds: Iterable[int]) -> list[Row]:
    """The model as its users train and evaluate it."""
    definition = find("handbook")
    found: list[Row] = []
    frame = handbook.transactions()
    week = frame.filter(pl.col("event_time").dt.date().is_between(*recipes.WEEK))
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            start = time.perf_counter()
            graph, manifest = train(week, definition, TrainingConfig(seed=seed), "m", str(seed))
            seconds, path = time.perf_counter() - start, Path(folder) / "model.pt"
            runtime = artefact.load(path, artefact.save(path, graph, manifest))
            result = evaluate(runtime, frame, *recipes.TEST_WEEK)
            names = ("auc_roc", "average_precision", "card_precision_at_100", "us_per_event")
            figures = {name: getattr(result, name) for name in names}
            found.append(
                {"set": "test week", "contestant": "this model", "seed": seed, "training_s": seconds, **figures}
            )
    return found


def ranks(found: list[Row]) -> Figures:
    """Mean rank of each contestant over the sets, by the mean AUC of its seeds; 1 is best."""
    means = pl.DataFrame(found).group_by("set", "contestant").agg(pl.col("auc_roc").mean())
    table = means.pivot("contestant", index="set", values="auc_roc").select(list(CONTESTANTS)).to_numpy()
    mean = rankdata(-table, axis=1).mean(axis=0)
    return dict(zip(CONTESTANTS, mean.tolist(), strict=True))


def show(title: str, found: list[Row]) -> None:
    """The means over sets and seeds, and the AUC of each set, as tables of Markdown."""
    frame = pl.DataFrame(found)
    figures = [name for name in frame.columns if name not in ("set", "contestant", "seed")]
    means = frame.group_by("contestant", maintain_order=True).agg(pl.col(figures).mean(), std=pl.col("auc_roc").std())
    print(f"\n## {title}\n\n| | {' | '.join(figures)} | mean rank |\n|---|{' ---: |' * (len(figures) + 1)}")
    rank = ranks(found) if frame["contestant"].n_unique() == len(CONTESTANTS) else {}
    for row in means.iter_rows(named=True):
        values = " | ".join(f"{row[name]:.3f}" for name in figures)
        print(f"| {row['contestant']} | {values} | {rank.get(row['contestant'], 1):.2f} |")
    table = frame.group_by("set", "contestant", maintain_order=True).agg(pl.col("auc_roc").mean())
    names = list(dict.fromkeys(frame["contestant"]))
    print(f"\n| AUC ROC | {' | '.join(names)} |\n|---|{' ---: |' * len(names)}")
    for name, rows in table.group_by("set", maintain_order=True):
        print(f"| {name[0]} | {' | '.join(f'{value:.3f}' for value in rows['auc_roc'])} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--test-week", action="store_true", help="the Handbook's test week, and nothing else")
    parser.add_argument("--only", choices=("handbook", "adbench"), help="one of the two")
    parser.add_argument("--seeds", type=int, default=1, help="how many; the first is 0")
    arguments = parser.parse_args()
    parts = {
        "handbook": (folds, handbook.PATH.is_file(), handbook.MISSING),
        "adbench": (adbench, SETS.is_dir(), NO_SETS),
    }
    if arguments.test_week:
        parts = {"test week": (test_week, handbook.PATH.is_file(), handbook.MISSING)}
    report: dict[str, list[Row]] = {}
    for name, (measure, there, missing) in parts.items():
        if arguments.only in (None, name) or arguments.test_week:
            if not there:
                print(f"{name}: left out, {missing}")
                continue
            report[name] = measure(range(arguments.seeds))
            show(name, report[name])
    if "handbook" in report:
        report["reasons"] = reasons(range(arguments.seeds))
        for row in report["reasons"]:
            print(", ".join(f"{name} {value:.3g}" for name, value in row.items()))
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps({"on": date.today().isoformat(), **report}, indent=2))


if __name__ == "__main__":
    main()
