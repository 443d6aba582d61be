"""Real score pairs in, simulated rollouts out: how soon the guard rolls a bad model back, and how often a good one.

    python -m benchmarks.guard             the Handbook's transactions, or simulated ones without its file
    python -m benchmarks.guard --docs      the report that is there, as the table of the docs

A champion, other trainings of it that are as good, and candidates that are not, among them the incident's, score the
three weeks after the champion's, through the pipeline's own comparison. Each rollout begins at a random place of these
weeks and goes through the guard, commit by commit. Report and models are kept in build/guard.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from benchmarks import handbook, recipes
from benchmarks.material import SIMULATED, say
from benchmarks.recipes import WEEK
from models import artefact
from models.data.simulator import simulate
from models.definition import cards
from models.evaluation import metrics_of
from models.inputs import matrix
from models.protocol import DAY
from models.recipe import TrainingConfig
from models.runtime import Scored, one_thread
from schemas.comparison import TAIL, Comparison, GuardDecision
from stream_app.pipeline.comparison_counter import ComparisonCounter
from stream_app.rollout.guard.guard import TAIL_STEP, Guard
from stream_app.settings import Settings
from stream_app.testing.incident import Recipe

FOLDER = Path("build/guard")
REPORT = FOLDER / "report.json"
LATER = (recipes.SHIFTED.since, recipes.SHIFTED.until)  # another week's calibration: a quarter to a third more alerts
LIVE = (date(2018, 7, 25), date(2018, 8, 14))
COMMIT = 100  # rows
ROWS = 20_000
SOON = 2000
ROLLOUTS = 200


def seeds(*numbers: int) -> dict[str, Recipe]:
    """The champion's recipe, with other seeds."""
    return {f"seed {seed}": Recipe(*WEEK, TrainingConfig(seed=seed)) for seed in numbers}


def later(**config: Any) -> dict[str, Recipe]:
    """A training on days whose calmer end sets a lower threshold."""
    return {f"later {config}": Recipe(*LATER, TrainingConfig(**config))}


# The tolerances of the guard were chosen on all of these but the unseen, which were trained when the choice was made.
GROUPS: Mapping[str, Mapping[str, Recipe]] = {
    "five other seeds": seeds(1, 2, 3, 4, 5),
    "three more seeds": seeds(11, 12, 13),
    "eight other seeds, unseen": seeds(*range(21, 29)),
    "the incident's candidate": {"incident": recipes.SHIFTED},
    "later days, 4 latents": later(latent=4, seed=1),
    "later days, 3 latents": later(latent=3, seed=1),
    "later days, 8 latents": later(seed=1),
    "later days, 4 latents, unseen": later(latent=4, seed=12),
    "later days, 3 latents, unseen": later(latent=3, seed=12),
    "later days, 8 latents, unseen": later(seed=12),
}


@dataclass(frozen=True)
class Trained:
    """One model on the live rows."""

    manifest: Any
    scored: Scored
    figures: dict[str, float]


class Cast:
    """The champion and its candidates, trained once and kept."""

    def __init__(self, frame: pl.DataFrame, source: str) -> None:
        self._folder = FOLDER / source
        self._frame = frame
        self._live = frame.filter(DAY.is_between(*LIVE))
        self._inputs = matrix(self._live, cards().inputs)
        self.champion = self.made("champion", recipes.CHAMPION)

    def made(self, name: str, recipe: Recipe) -> Trained:
        """One model, and what it says of the live rows."""
        path = self._folder / f"{''.join(c if c.isalnum() else '-' for c in name)}.pt"
        if not path.is_file():
            say(f"training {name}")
            recipe.make(self._frame, name, path)
        runtime = artefact.load(path)
        with one_thread():
            scored = runtime.score(self._inputs)
        quality = metrics_of(scored.score, self._live)
        figures = {"auc_roc": quality.auc_roc, "card_precision_at_100": quality.card_precision_at_100}
        return Trained(runtime.manifest, scored, figures)

    def compared(self, candidate: Trained) -> list[Comparison]:
        """Champion and candidate on all live rows, commit by commit."""
        beside = SimpleNamespace(runtime=SimpleNamespace(manifest=candidate.manifest), is_candidate=True)
        serving = SimpleNamespace(runtime=SimpleNamespace(manifest=self.champion.manifest))
        counter = ComparisonCounter(serving, beside)  # type: ignore[arg-type]  # of both, manifest alone is read
        usable, found = np.ones(COMMIT, dtype=bool), []
        for at in range(0, len(self._inputs) - COMMIT, COMMIT):
            here = np.arange(at, at + COMMIT)
            counter.add(self.champion.scored.take(here), candidate.scored.take(here), usable)
            found.append(_comparison(counter))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=ROLLOUTS)
    parser.add_argument("--docs", action="store_true", help="print the report that is there")
    options = parser.parse_args()
    if not options.docs:
        FOLDER.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(json.dumps(measured(Cast(*transactions()), options.rollouts), indent=2) + "\n")
    for line in table(json.loads(REPORT.read_text())):
        sys.stdout.write(f"{line}\n")


def transactions() -> tuple[pl.DataFrame, str]:
    """Five weeks from the first day of the recipes on, and where they come from."""
    if handbook.PATH.is_file():
        return handbook.transactions(), "handbook"
    return simulate(replace(SIMULATED, start=WEEK[0])), "simulated"


def measured(cast: Cast, rollouts: int) -> dict[str, Any]:
    """What became of each group's rollouts."""
    random, groups = np.random.default_rng(0), {}
    for name, group in GROUPS.items():
        say(f"rolling out {name}")
        models = {title: cast.made(title, recipe) for title, recipe in group.items()}
        groups[name] = _told(cast, models, rollouts, random)
    return {"rollouts": rollouts, "commit_rows": COMMIT, "champion": cast.champion.figures, "groups": groups}


def _told(cast: Cast, models: Mapping[str, Trained], rollouts: int, random: np.random.Generator) -> dict[str, Any]:
    """What became of the rollouts, taking the models in turn."""
    compared = {title: cast.compared(model) for title, model in models.items()}
    in_turn = list(compared.values())
    outcomes = [rollout(in_turn[n % len(in_turn)], random) for n in range(rollouts)]
    back = [rows for finding, rows, _ in outcomes if finding is GuardDecision.ROLL_BACK]
    promoted = [rows for finding, rows, _ in outcomes if finding is GuardDecision.PROMOTE]
    signals = [signal for finding, _, found in outcomes if finding is GuardDecision.ROLL_BACK for signal in found]
    return {
        "models": {
            title: {**_described(cast.champion, model), **_signals(compared[title])} for title, model in models.items()
        },
        "rolled_back": len(back) / rollouts,
        f"rolled_back_within_{SOON}": sum(rows <= SOON for rows in back) / rollouts,
        "events_to_rollback": _quantiles(back),
        "promoted": len(promoted) / rollouts,
        "events_to_promotion": _quantiles(promoted),
        "signals": {signal: signals.count(signal) for signal in sorted(set(signals))},
    }


def rollout(compared: list[Comparison], random: np.random.Generator) -> tuple[GuardDecision, int, list[str]]:
    """One candidate beside the champion: the finding that ended it, after how many rows, by which signals."""
    guard, commits = Guard(Settings()), ROWS // COMMIT
    start = int(random.integers(len(compared) - commits))
    for comparison in compared[start : start + commits]:
        guard.read(comparison)
        report = guard.report("trial")
        if report is not None and report.finding is not GuardDecision.WATCH:
            return report.finding, report.rows, [e.signal for e in report.evidence if e.against >= 1]
    return GuardDecision.WATCH, ROWS, []


def table(report: Mapping[str, Any]) -> Iterator[str]:
    """The report in Markdown. Near: how many of the rows near the threshold are clearly stranger to the candidate."""
    yield f"| candidate | alerts | near | CKA | rolled back | within {SOON:,} | P50 | P95 | by | promoted |"
    yield "| --- | --- | --- | --- | --: | --: | --: | --: | --- | --: |"
    for name, group in report["groups"].items():
        looks = " | ".join(_spread(group["models"], what) for what in ("alerts_by_champion", "stranger", "cka"))
        events, signals = group["events_to_rollback"], group["signals"]
        times = " | ".join(f"{events[q]:,.0f}" if events else "" for q in ("p50", "p95"))
        by = ", ".join(sorted(signals, key=lambda signal: -signals[signal]))
        shares = [f"{group[what]:.1%}" for what in ("rolled_back", f"rolled_back_within_{SOON}", "promoted")]
        yield f"| {name} | {looks} | {shares[0]} | {shares[1]} | {times} | {by} | {shares[2]} |"


def _spread(models: Mapping[str, Mapping[str, float]], what: str) -> str:
    """Smallest to largest."""
    values = sorted(model[what] for model in models.values())
    return f"{values[0]:.2f}" if len(values) == 1 else f"{values[0]:.2f} to {values[-1]:.2f}"


def _comparison(counter: ComparisonCounter) -> Comparison:
    counts = counter.drain()
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


def _described(champion: Trained, model: Trained) -> dict[str, float]:
    """How the model differs from the champion over all live rows."""
    alerts = [m.scored.score >= m.manifest.calibration.threshold for m in (champion, model)]
    union = int((alerts[0] | alerts[1]).sum())
    return {
        **model.figures,
        "alerts_by_champion": round(float(alerts[1].sum() / alerts[0].sum()), 3),
        "jaccard": round(int((alerts[0] & alerts[1]).sum()) / union, 3),
    }


def _signals(compared: list[Comparison]) -> dict[str, float]:
    """What the guard's sharper signals see in all of it: shares of the rows near the threshold, mean similarity."""
    near = np.sum([comparison.tail_shift for comparison in compared], axis=0)
    stranger, less = (near[side * np.array(TAIL) > TAIL_STEP].sum() / near.sum() for side in (1, -1))
    similarity = np.mean([value for comparison in compared for value in comparison.similarities])
    return {"stranger": round(float(stranger), 3), "less": round(float(less), 3), "cka": round(float(similarity), 3)}


def _quantiles(events: list[int]) -> dict[str, float] | None:
    if not events:
        return None
    return {f"p{q}": float(np.percentile(events, q)) for q in (5, 50, 95)}


if __name__ == "__main__":
    main()
