"""Trainings for the incident: a better model with a shifted latent space, and an equally good one.

Nothing is planted. The shifted model comes from an ordinary training that a model owner might choose: a narrower
bottleneck between wider layers, on a week whose end, which sets the threshold, was calmer than the weeks that follow.
It finds fraud better than the champion, arranges legitimate transactions in another way, and raises more alerts.
`python -m benchmarks.candidates` compares it with others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from models import artefact
from models.definition import cards
from models.protocol import DAY
from models.recipe import TrainingConfig
from models.training import train
from schemas.definition import Definition


@dataclass(frozen=True)
class Recipe:
    """A training on the days from `since` to `until`, both included."""

    since: date
    until: date
    config: TrainingConfig

    def make(
        self,
        frame: pl.DataFrame,
        version: str,
        path: Path,
        on_epoch: Callable[[int], None] = lambda _: None,
        definition: Definition | None = None,
    ) -> Path:
        """Train on these days of a frame, and write the artefact. Returns its path.

        Args:
            frame: With all that the definition reads.
            version: Of the model.
            path: Where it is written.
            on_epoch: Called after each epoch with the number of epochs done.
            definition: None: of payments with features.
        """
        days = frame.filter(DAY.is_between(self.since, self.until))
        read = definition or cards()
        made = train(days, read, self.config, "card-fraud", version, lambda epoch, _: on_epoch(epoch))
        artefact.save(path, *made)
        return path


# For the simulator's default world from 2018-04-01 on.
WEEK, TEST_WEEK = (date(2018, 4, 1), date(2018, 4, 7)), (date(2018, 4, 8), date(2018, 4, 14))
CHAMPION = Recipe(*WEEK, TrainingConfig(seed=2, epochs=5))
SHIFTED = Recipe(
    date(2018, 4, 1), date(2018, 4, 5), TrainingConfig(seed=4, epochs=12, hidden=128, latent=5, held_out=0.08)
)
EQUAL = Recipe(*WEEK, TrainingConfig(seed=5, epochs=5))
