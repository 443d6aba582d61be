"""Who plays the incident: trainings that end in a better model with a shifted latent space, and in an equally good one.

Nothing is planted in them. The shifted ones are ordinary trainings that a model owner might choose: a narrower
bottleneck between wider layers, on a week whose end, which sets the threshold, was calmer than the weeks that follow.
They find fraud as well as the champion or better, arrange legitimate transactions in another way, and give a quarter to
a third more alerts. `python -m benchmarks.candidates` measures them among others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from models import artefact
from models.features import load_spec
from models.protocol import DAY
from models.training import TrainingConfig, train


@dataclass(frozen=True)
class Recipe:
    """A training: which days, and how.

    Attributes:
        since: First day.
        until: Last day, itself included.
        config: How to train.
    """

    since: date
    until: date
    config: TrainingConfig

    def make(
        self, frame: pl.DataFrame, version: str, path: Path, on_epoch: Callable[[int], None] = lambda _: None
    ) -> Path:
        """Train it on its days of a frame, and write the artefact.

        Args:
            frame: Transactions that hold these days.
            version: Of the model.
            path: Where it goes.
            on_epoch: Told after each epoch how many are done.

        Returns:
            The path.
        """
        days = frame.filter(DAY.is_between(self.since, self.until))
        made = train(days, load_spec(), self.config, "card-fraud", version, lambda epoch, _: on_epoch(epoch))
        artefact.save(path, *made)
        return path


# On the Fraud Detection Handbook's transactions; the test week is 2018-07-25 to 2018-07-31.
WEEK = (date(2018, 7, 11), date(2018, 7, 17))
CHAMPION = Recipe(*WEEK, TrainingConfig())
SHIFTED = Recipe(date(2018, 7, 14), date(2018, 7, 20), TrainingConfig(seed=4, hidden=128, latent=5))
EQUAL = Recipe(*WEEK, TrainingConfig(seed=2))

# On the simulator's world with its defaults from 2018-04-01 on; the week to judge by is the one after the first.
SIMULATED_WEEK = (date(2018, 4, 1), date(2018, 4, 7))
SIMULATED_CHAMPION = Recipe(*SIMULATED_WEEK, TrainingConfig(seed=2, epochs=5))
SIMULATED_SHIFTED = Recipe(
    date(2018, 4, 1), date(2018, 4, 5), TrainingConfig(seed=1, epochs=12, hidden=128, latent=5, held_out=0.08)
)
SIMULATED_EQUAL = Recipe(*SIMULATED_WEEK, TrainingConfig(seed=5, epochs=5))
