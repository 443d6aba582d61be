"""The steps of the story that concern models: training, deploy, rollback, refusals, and what the guard rolls back."""

import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path

import polars as pl

from models import archive
from models.definition import default
from schemas.comparison import Comparison
from schemas.rollout import Activate, Rollback
from schemas.topics import COMPARISONS
from stream_app.cli.demo import traffic
from stream_app.cli.demo.output import StepOutput, StoryError
from stream_app.cli.terminal import progress
from stream_app.kafka.log import read_to_end
from stream_app.kafka.records import RecordDecoder
from stream_app.rollout import commands
from stream_app.rollout.client import CommandSession, Order, Outcome
from stream_app.rollout.gating import Gates
from stream_app.rollout.swap_log import Entry
from stream_app.settings import Settings
from stream_app.testing.incident import Recipe

OPERATOR = "demo"
CANARY_PERCENT = 20.0
GUARD_PATIENCE_S = 60.0
CHECK_S = 0.2


class ModelSteps:
    """Trains the models and deploys them; what it measures goes into `figures`, for the table at the end."""

    def __init__(self, settings: Settings, folder: Path, output: StepOutput, figures: list[tuple[str, str]]) -> None:
        self._settings = settings
        self._folder = folder
        self._output = output
        self._figures = figures

    def begins(self, week: pl.DataFrame) -> None:
        """Two equally good trainings, and the incident's; without labels; beside what trivial rules reach."""
        with self._output.step("Autoencoders, trained without labels"):
            recipes = {"1": traffic.CHAMPION, "2": traffic.EQUAL, "4": traffic.SHIFTED}
            *self._models, self._shifted = [self._train(week, version, recipe) for version, recipe in recipes.items()]
            manifest = archive.read(self._models[0]).manifest
            rows = manifest.metrics.items()
            self._output.metrics({k: (q.auc_roc, q.average_precision, q.card_precision_at_100) for k, q in rows})
            self._output.line(f"alert budget {manifest.calibration.budget:.1%} of payments")

    def first_model_is_deployed(self) -> None:
        """There is nothing to compare it with."""
        self._must(commands.deploy(self._settings, Order(OPERATOR, "first model"), self._models[0]))

    def second_model_is_deployed(self) -> None:
        """Staged, checked, warmed up and activated while payments go on."""
        with self._output.step("A second model, deployed while payments stream"):
            outcome = self._must(commands.deploy(self._settings, Order(OPERATOR, "newer"), self._models[1]))
            self._figures.append(("model swap, from command to the last worker", f"{outcome.elapsed_s:.2f} s"))

    def rollback_takes_effect(self) -> None:
        """From warm memory."""
        with self._output.step("A rollback"):
            outcome = self._must(commands.rollback(self._settings, Order(OPERATOR, "the demo wants to see it")))
            self._figures.append(("rollback, from command to the last worker", f"{outcome.elapsed_s * 1000:.0f} ms"))

    def corrupted_model_is_refused(self) -> None:
        """One byte is enough."""
        with self._output.step("A corrupted model, refused"):
            content = bytearray(self._shifted.read_bytes())
            announced, damaged = sha256(content).hexdigest(), self._folder / "card-fraud-3.pt"
            content[-1] ^= 1
            damaged.write_bytes(content)
            outcome = commands.deploy(self._settings, Order(OPERATOR, "damaged on the way"), damaged, sha256=announced)
            if outcome.ok:
                raise StoryError("a corrupted model went into service")
            self._output.line(outcome.sentence)

    def shifted_candidate_is_refused(self, recent: Path) -> None:
        """It finds fraud better than what serves, and the gates see what that would cost."""
        with self._output.step("A better candidate with shifted latents, refused"):
            try:
                commands.deploy(self._settings, Order(OPERATOR), self._shifted, Gates(self._settings, recent))
            except commands.Refused as refused:
                report = refused.report
            else:
                raise StoryError("the gates let the shifted candidate pass")
            for gate in report.gates:
                self._output.line(gate.sentence)
            self._output.line(report.conclusion)

    def shifted_candidate_is_forced_through(self) -> None:
        """By name and reason, past the gates; nobody needs to look for it to be taken back."""
        with self._output.step("The same candidate, forced through; the guard takes it back"):
            order = Order(OPERATOR, "forced through")
            forced = Gates(self._settings, None, "the quarter's figures")
            canary = partial(commands.try_out, self._settings, order, self._shifted, CANARY_PERCENT, forced)
            self._taken_back("as canary", canary)
            self._taken_back("into service", partial(commands.deploy, self._settings, order, self._shifted, forced))

    def _train(self, week: pl.DataFrame, version: str, recipe: Recipe) -> Path:
        path = self._folder / f"card-fraud-{version}.pt"
        with progress(f"training card-fraud {version}", recipe.config.epochs) as advance:
            return recipe.make(week, version, path, advance, default())

    def _taken_back(self, how: str, force: Callable[[], Outcome]) -> None:
        known = len(commands.models(self._settings).entries)
        self._must(force())
        began, ended, trial_id = self._await_guard(known)
        with CommandSession(self._settings, Order(OPERATOR)) as session:
            self._must(session.applied(f"guard-rollback-{trial_id}"))
        scored = sum(c.rows for c in self._comparisons() if c.trial_id == trial_id)
        self._output.line(f"the guard: {ended.command.reason if ended.command else ''}")
        seconds = (ended.at - began.at).total_seconds()
        figure = f"{scored:,} candidate-scored events, {seconds:.1f} s"
        self._figures.append((f"forced {how}, rolled back after", figure))

    def _await_guard(self, known: int) -> tuple[Entry, Entry, str]:
        """The activation of the trial, its end by the guard, and its name, among what came after so many records."""
        deadline = time.monotonic() + GUARD_PATIENCE_S
        while time.monotonic() < deadline:
            news = [e for e in commands.models(self._settings).entries[known:] if e.refused is None]
            for entry in news:
                if isinstance(entry.command, Rollback) and entry.command.automatic:
                    began = next(e for e in news if isinstance(e.command, Activate))
                    return began, entry, entry.command.command_id.removeprefix("guard-rollback-")
            time.sleep(CHECK_S)
        raise StoryError(f"the guard has not rolled the candidate back after {GUARD_PATIENCE_S:.0f} s")

    def _comparisons(self) -> list[Comparison]:
        records = read_to_end(self._settings, COMPARISONS)
        return [comparison for _, comparison in RecordDecoder[Comparison](Comparison).each(records)]

    def _must(self, outcome: Outcome) -> Outcome:
        if not outcome.ok:
            raise StoryError(outcome.sentence)
        self._output.line(outcome.sentence)
        return outcome
