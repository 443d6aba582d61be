"""Average precision and card precision of both models on labelled rows, with paired bootstrap intervals.

Customers are resampled with all their events (a cluster bootstrap: Davison and Hinkley 1997, Bootstrap Methods
and their Application, section 3.8), since events of one customer are not independent. Both models see the same
resamples, so that common variation does not widen the interval of their difference.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from models.gates.comparison import GateComparison
from models.gates.limits import Limits
from models.gates.report import Gate, Measure, judged, not_measured
from models.protocol import DAY, TOP_CARDS

NAME = "accuracy"
WHY = "a candidate that finds less fraud is no better, however new it is; a point estimate alone would be luck"


def gate(comparison: GateComparison, limits: Limits) -> Gate:
    """The whole interval of the candidate's losses must lie within the limits."""
    fraud = comparison.fraud
    if fraud is None:
        allowed = limits.accuracy.without_labels == "allow"
        return not_measured(NAME, WHY, "the data holds no labelled frauds", allowed)
    if not fraud[comparison.measured].any():
        allowed = limits.accuracy.without_labels == "allow"
        return not_measured(NAME, WHY, "every fraud is of a customer known as compromised before", allowed)
    rows = comparison.frame.filter(pl.Series(comparison.measured))
    losses = []
    for figure, most in (
        (AveragePrecision, limits.accuracy.average_precision_loss),
        (CardPrecision, limits.accuracy.card_precision_loss),
    ):
        both = [
            figure.of(rows, side.score[comparison.measured]) for side in (comparison.champion, comparison.candidate)
        ]
        losses.append(_loss(both[0], both[1], rows, limits, most))
    return judged(NAME, WHY, [measure for measures in losses for measure in measures])


@dataclass(frozen=True)
class AveragePrecision:
    """Mean precision over the frauds; ties are broken by place.

    Attributes:
        name: Of the figure.
        customer: int [rows], number of the customer, in descending order of score.
        fraud: int [frauds], positions of the frauds in this order.
    """

    name = "average precision"
    customer: np.ndarray
    fraud: np.ndarray

    @classmethod
    def of(cls, rows: pl.DataFrame, score: np.ndarray) -> "AveragePrecision":
        """Sort once, for all resamples."""
        order = np.argsort(-score, kind="stable")
        return cls(customers(rows)[order], np.flatnonzero(rows["fraud"].to_numpy()[order]))

    def __call__(self, times: np.ndarray) -> float:
        """The figure when customer c occurs times[c] times."""
        weight = times[self.customer]
        listed = np.cumsum(weight)[self.fraud]
        caught = weight[self.fraud]
        total = caught.sum()
        return float(caught @ (np.cumsum(caught) / np.maximum(listed, 1)) / total) if total else 0.0


@dataclass(frozen=True)
class CardPrecision:
    """`models.evaluation.card_precision`, of customers who may occur several times or not at all.

    Attributes:
        name: Of the figure.
        days: For each day: int [cards] customers in descending order of their score, and bool [cards] compromised.
        customers: Number of customers.
    """

    name = f"card precision@{TOP_CARDS}"
    days: list[tuple[np.ndarray, np.ndarray]]
    customers: int

    @classmethod
    def of(cls, rows: pl.DataFrame, score: np.ndarray) -> "CardPrecision":
        """List the cards of each day once, for all resamples."""
        customer = customers(rows)
        cards = (
            rows.select("entity", "fraud", DAY.alias("day"))
            .with_columns(pl.Series("score", score), pl.Series("customer", customer))
            .group_by("day", "customer")
            .agg(pl.col("score").max(), pl.col("fraud").any(), pl.col("entity").first())
            .sort("day", "score", "entity", descending=[False, True, False])
        )
        days = cards.partition_by("day", maintain_order=True)
        return cls([(d["customer"].to_numpy(), d["fraud"].to_numpy()) for d in days], int(customer.max()) + 1)

    def __call__(self, times: np.ndarray) -> float:
        """The figure when customer c occurs times[c] times."""
        unfound = times.copy()
        shares = []
        for customer, compromised in self.days:
            cards = unfound[customer]
            above = np.cumsum(cards) - cards
            listed = np.clip(TOP_CARDS - above, 0, cards)
            hits = listed * compromised
            unfound[customer[hits > 0]] = 0
            shares.append(hits.sum() / TOP_CARDS)
        return float(np.mean(shares))


def customers(rows: pl.DataFrame) -> np.ndarray:
    """A number from 0 for each row's customer, int [rows]."""
    return rows["entity"].rank("dense").to_numpy().astype(np.int64) - 1


def _loss(
    champion: AveragePrecision | CardPrecision,
    candidate: AveragePrecision | CardPrecision,
    rows: pl.DataFrame,
    limits: Limits,
    most: float,
) -> list[Measure]:
    """Both figures for information, and the loss of the candidate with its interval."""
    count = int(customers(rows).max()) + 1
    rng = np.random.default_rng(limits.sample.seed)
    losses = np.empty(limits.sample.resamples)
    for number in range(limits.sample.resamples):
        times = np.bincount(rng.integers(0, count, count), minlength=count)
        losses[number] = champion(times) - candidate(times)
    once = np.ones(count, dtype=np.int64)
    tail = (1 - limits.accuracy.confidence) / 2
    low, high = np.quantile(losses, (tail, 1 - tail))
    return [
        Measure(f"{champion.name} of the champion", champion(once)),
        Measure(f"{champion.name} of the candidate", candidate(once)),
        Measure(
            f"loss of {champion.name}", champion(once) - candidate(once), most=most, interval=(float(low), float(high))
        ),
    ]
