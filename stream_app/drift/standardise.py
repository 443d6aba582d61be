"""Statistics in units of the model's reference: 0 is as usual at that hour, 1 is one standard deviation.

mean, spread    first and second moment of the clipped values of each signal
tail            share of values in the reference's tail, of the score and of an event's own fields
product         each product of the inputs' relations
share           share of missing values of each input, and of refused records

What is usual depends on the hour, or night and weekend would look like drift. If the reference is too short for a
season, signals that follow the clock are not watched: the calendar flags, and the score and latents of models that read
them.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from models.manifest import LEAST_BEYOND, Manifest
from schemas.drift import StatisticKind
from stream_app.drift.merge import Sums

DEAD_LETTERS = "dead_letters"
RELATION = "relation"
# A share of missing or refused records below this is the daily life of producers.
USUAL_SHARE = 0.01


class Statistic(NamedTuple):
    """One column of an observation."""

    signal: str
    kind: StatisticKind


@dataclass(frozen=True, eq=False)
class Observation:
    """Some events against the reference; columns are statistics.

    Attributes:
        shift: float64 [statistics], in reference standard deviations; of a share, its excess. NaN: nothing observed.
        noise: float64 [statistics], standard deviation that chance alone gives `shift`.
    """

    shift: np.ndarray
    noise: np.ndarray


class Reference:
    """The reference of one model, as arrays.

    Attributes:
        statistics: The columns of an observation.
        shares: bool [statistics], those that are a share.
        is_primary: bool [statistics], about the input itself. The others are functions of the inputs: while an incident
            lasts, they show symptoms.
        scale: float64 [statistics], 1 in the units of the model's signals: to compare references of one model.
    """

    def __init__(self, manifest: Manifest) -> None:
        signals, watched = manifest.signals, watched_signals(manifest)
        self._columns = [i for i, signal in enumerate(signals) if signal.name in watched]
        self._inputs = [i for i in self._columns if signals[i].name.startswith("input:")]
        kept = [signals[i] for i in self._columns]
        self._overall = np.array([[s.clipped for s in kept], [s.square for s in kept]])
        self._std = np.array([[s.clipped_std for s in kept], [s.square_std for s in kept]])
        seasons = [s.season for s in kept if s.season is not None]
        self._season = np.array([[s.clipped for s in seasons], [s.square for s in seasons]]) if seasons else None
        self._missing = np.array([signals[i].missing for i in self._inputs])
        # What a window counts stays in the tail for as long as the window is: far values come in clusters
        own = {f"input:{entry.name}" for entry in manifest.inputs if entry.role == "own"} | {"score"}
        self._tails = [i for i in self._columns if signals[i].name in own and signals[i].beyond >= LEAST_BEYOND]
        self._beyond = np.array([signals[i].beyond for i in self._tails])
        # Of a variable that is 1 in the tail and 0 elsewhere
        self._tail_std = np.sqrt(self._beyond * (1 - self._beyond))
        relations = manifest.relations
        self._products = np.array([relations.mean, relations.std]) if relations else np.zeros((2, 0))
        products = len(self._products[0])
        followed = relations.season if relations else None
        self._products_season = np.array(followed) if followed else None
        self.statistics = (
            *(Statistic(s.name, StatisticKind.MEAN) for s in kept),
            *(Statistic(s.name, StatisticKind.SPREAD) for s in kept),
            *(Statistic(signals[i].name, StatisticKind.TAIL) for i in self._tails),
            *(Statistic(RELATION, StatisticKind.PRODUCT) for _ in range(products)),
            *(Statistic(signals[i].name, StatisticKind.SHARE) for i in self._inputs),
            Statistic(DEAD_LETTERS, StatisticKind.SHARE),
        )
        self.shares = np.array([s.kind is StatisticKind.SHARE for s in self.statistics])
        as_they_are = np.ones(len(self._inputs) + 1)
        self.scale = np.concatenate((*self._std, self._tail_std, self._products[1], as_they_are))
        self.is_primary = np.array([s.signal.startswith("input:") or s.signal == DEAD_LETTERS for s in self.statistics])

    def of(self, sums: Sums) -> Observation:
        """The statistics of at least one event."""
        present = sums.present[self._columns]
        counted = np.maximum(present, 1)
        moments = np.stack([sums.clipped[self._columns], sums.squares[self._columns]]) / counted
        moments = np.where(present > 0, (moments - self._usual(sums.hours)) / self._std, np.nan)
        tails = np.maximum(sums.present[self._tails], 1)
        beyond = (sums.tail[self._tails] / tails - self._beyond) / self._tail_std
        products = (sums.products / sums.scored - self._usual_products(sums.hours)) / self._products[1]
        missing = 1 - sums.present[self._inputs] / sums.scored - self._missing
        records = sums.scored + sums.dead_lettered
        usual = np.maximum(self._missing, USUAL_SHARE)
        chance = counted**-0.5
        return Observation(
            shift=np.concatenate((*moments, beyond, products, missing, [sums.dead_lettered / records])),
            noise=np.concatenate(
                (
                    chance,
                    chance,
                    tails**-0.5,
                    np.full(len(products), sums.scored**-0.5),
                    np.sqrt(usual / sums.scored),
                    [(USUAL_SHARE / records) ** 0.5],
                )
            ),
        )

    def _usual(self, hours: np.ndarray) -> np.ndarray:
        """Means and second moments at these hours, float64 [2, signals]."""
        if self._season is None or not hours.any():
            return self._overall
        usual: np.ndarray = self._season @ hours / hours.sum()
        return usual

    def _usual_products(self, hours: np.ndarray) -> np.ndarray:
        """Means of the products at these hours, float64 [products]."""
        if self._products_season is None or not hours.any():
            overall: np.ndarray = self._products[0]
            return overall
        usual: np.ndarray = self._products_season @ hours / hours.sum()
        return usual


def season_of_bins(manifest: Manifest) -> np.ndarray | None:
    """Usual share of each bin at each hour, float64 [HOURS, bins of all signals]; None if it is not known."""
    if not manifest.has_season:
        return None
    return np.concatenate([np.array(s.season.shares) for s in manifest.signals if s.season], axis=1)


def watched_signals(manifest: Manifest) -> frozenset[str]:
    """Names of the signals that are watched: independent of the calendar, or with a known season."""
    calendar = {entry.name for entry in manifest.inputs if entry.role == "calendar"}
    if manifest.has_season:
        # What the model makes of a flag changes within the hour in which the flag does
        return frozenset(manifest.signal_names) - {f"residual:{name}" for name in calendar}
    return frozenset(
        name
        for name in manifest.signal_names
        if (field := field_of(name)) not in calendar and (field is not None or not calendar)
    )


def field_of(signal: str) -> str | None:
    """The input that a signal is about; None for the score, latents, relations and dead letters."""
    kind, _, name = signal.partition(":")
    return name if kind in {"input", "residual"} else None
