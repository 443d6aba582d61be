"""Real score pairs in, simulated rollouts out: how soon the guard rolls a bad model back, and how often a good one.

`python benchmarks/guard.py DATA` trains a champion, other trainings of it that are as good, and candidates that are
not, on the benchmark's transactions; then lets each run beside the champion from random places of the weeks after it,
through the pipeline's own comparison and the guard. It leaves what it found in build/guard/report.json.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np

from models.data.frame import read
from models.evaluation import metrics_of
from models.features import load_spec, matrix
from models.runtime import Scored, one_thread, run
from models.training import TrainingConfig, train
from schemas.comparison import Comparison, Finding
from stream_app.pipeline.contrast import Contrast
from stream_app.rollout.guard import Guard
from stream_app.settings import Settings

OUT = Path("build/guard/report.json")
WEEK = (date(2018, 7, 11), date(2018, 7, 17))
LATER = (date(2018, 7, 14), date(2018, 7, 20))  # another week's calibration: about 27 % more alerts
LIVE = (date(2018, 7, 25), date(2018, 8, 14))
COMMIT = 100  # rows
BAD_ROWS = 20_000
GOOD_ROWS = 20_000
SOON = 2000


@dataclass(frozen=True)
class Trained:
    """One model on the live rows."""

    manifest: Any
    scored: Scored
    quality: Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rollouts", type=int, default=200)
    options = parser.parse_args()
    frames = {days: read(options.data, *days) for days in (WEEK, LATER)}
    live = read(options.data, *LIVE)
    inputs = matrix(live, load_spec().inputs)

    def made(days: tuple[date, date], **config: Any) -> Trained:
        graph, manifest = train(frames[days], load_spec(), TrainingConfig(**config), "card-fraud", "x")
        with one_thread():
            scored = run(graph, inputs)
        return Trained(manifest, scored, metrics_of(scored.score, live))

    champion = made(WEEK)
    good = {f"seed {seed}": made(WEEK, seed=seed) for seed in range(1, 6)}
    bad = {
        "later week, 4 latents": made(LATER, latent=4, seed=1),
        "later week, 3 latents": made(LATER, latent=3, seed=1),
        "later week, 8 latents": made(LATER, seed=1),
    }
    random = np.random.default_rng(0)
    report = {
        "rows": len(inputs),
        "rollouts": options.rollouts,
        "champion": msgspec.to_builtins(champion.quality),
        "as_good": _told(champion, good, options.rollouts, GOOD_ROWS, random),
        "not_as_good": {
            name: _told(champion, {name: model}, options.rollouts, BAD_ROWS, random) for name, model in bad.items()
        },
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(report, indent=2) + "\n")
    json.dump(report, sys.stdout, indent=2)


def _told(
    champion: Trained, models: dict[str, Trained], rollouts: int, rows: int, random: np.random.Generator
) -> dict[str, Any]:
    """What became of the rollouts, taking the models in turn."""
    names = list(models)
    outcomes = [rollout(champion, models[names[n % len(names)]], rows, random) for n in range(rollouts)]
    back = [n for finding, n, _ in outcomes if finding is Finding.ROLL_BACK]
    promoted = [n for finding, n, _ in outcomes if finding is Finding.PROMOTE]
    signals = [signal for finding, _, found in outcomes if finding is Finding.ROLL_BACK for signal in found]
    return {
        "models": {name: _described(champion, model) for name, model in models.items()},
        "rolled_back": len(back) / rollouts,
        f"rolled_back_within_{SOON}": sum(n <= SOON for n in back) / rollouts,
        "events_to_rollback": _quantiles(back),
        "promoted": len(promoted) / rollouts,
        "events_to_promotion": _quantiles(promoted),
        "signals": {signal: signals.count(signal) for signal in sorted(set(signals))},
    }


def rollout(
    champion: Trained, candidate: Trained, rows: int, random: np.random.Generator
) -> tuple[Finding, int, list[str]]:
    """One candidate beside the champion: the finding that ended it, after how many rows, by which signals."""
    beside = SimpleNamespace(runtime=SimpleNamespace(manifest=candidate.manifest), is_candidate=True)
    serving = SimpleNamespace(runtime=SimpleNamespace(manifest=champion.manifest))
    contrast = Contrast(serving, beside)  # type: ignore[arg-type]  # of both, manifest alone is read
    guard, usable = Guard(Settings()), np.ones(COMMIT, dtype=bool)
    start = int(random.integers(len(champion.scored.score) - rows))
    for at in range(start, start + rows, COMMIT):
        here = np.arange(at, at + COMMIT)
        contrast.add(champion.scored.take(here), candidate.scored.take(here), usable)
        guard.read(_comparison(contrast))
        report = guard.report("trial")
        if report is not None and report.finding is not Finding.WATCH:
            return report.finding, report.rows, [e.signal for e in report.evidence if e.against >= 1]
    return Finding.WATCH, rows, []


def _comparison(contrast: Contrast) -> Comparison:
    counts = contrast.drain()
    return Comparison(
        trial_id="trial",
        worker="w",
        champion="a" * 64,
        candidate="b" * 64,
        rows=counts.rows,
        errors=0,
        skipped=0,
        decided=0,
        alerts=counts.alerts,
        levels=counts.levels,
        exceedances=counts.exceedances,
        tail_shift=counts.tail_shift,
        similarities=counts.similarities,
        champion_seconds=1.0,
        candidate_seconds=1.0,
    )


def _described(champion: Trained, model: Trained) -> dict[str, Any]:
    """How the model differs from the champion over all live rows."""
    alerts = [m.scored.score >= m.manifest.calibration.threshold for m in (champion, model)]
    union = int((alerts[0] | alerts[1]).sum())
    return {
        "quality": msgspec.to_builtins(model.quality),
        "alerts_by_champion": round(float(alerts[1].sum() / alerts[0].sum()), 3),
        "jaccard": round(int((alerts[0] & alerts[1]).sum()) / union, 3),
    }


def _quantiles(events: list[int]) -> dict[str, float] | None:
    if not events:
        return None
    return {f"p{q}": float(np.percentile(events, q)) for q in (5, 50, 95)}


if __name__ == "__main__":
    main()
