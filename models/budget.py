"""How many events may alert, as people say it: "0.3 %", "200 a day", or "at most 30 % false".

A threshold needs a share of events. What is so many a day, or so many of the alerts, is one only on some rows: those
that the model is calibrated on.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from schemas.errors import UserError

if TYPE_CHECKING:
    import polars as pl

SECONDS_A_DAY = 86_400
FEWEST_ALERTS = 20  # on which a share of false ones is measured
_FORMS = {
    re.compile(r"(?P<value>[\d.,]+)( ?%)?"): "share",
    re.compile(r"(?P<value>[\d.,]+) (?:a|per|each) day"): "a day",
    re.compile(r"(?:at most )?(?P<value>[\d.,]+) ?% false"): "false",
}


class BudgetError(UserError):
    """The budget is none, or cannot be had on these rows; the message says what to write."""


class BudgetKind(StrEnum):
    """What is limited."""

    SHARE = "share"
    A_DAY = "a day"
    FALSE = "false"


class Budget(NamedTuple):
    """What may alert.

    Attributes:
        kind: What is limited.
        most: Share of events, alerts a day, or share of the alerts that are false.
    """

    kind: BudgetKind
    most: float


def parsed(budget: float | str) -> Budget:
    """A budget of a number, which is a share, or of words.

    Raises:
        BudgetError: it is none.
    """
    if isinstance(budget, str):
        for form, kind in _FORMS.items():
            if found := form.fullmatch(budget.strip().lower()):
                return _checked(budget, BudgetKind(kind), found["value"])
    return _checked(budget, BudgetKind.SHARE, budget)


def share_of_events(
    budget: Budget, times: "Sequence[datetime] | pl.Series", scores: np.ndarray, fraud: np.ndarray | None
) -> float:
    """The share of events that may alert, in (0, 1).

    Args:
        budget: What is asked for.
        times: Of the events that say how many a day has, in their order.
        scores: float [rows], of the rows that the model is calibrated on.
        fraud: float [rows], 1 or 0 by their labels, NaN where there is none; None without any.

    Raises:
        BudgetError: a day has fewer events, or no threshold has so few false alerts.
    """
    if budget.kind is BudgetKind.SHARE:
        return budget.most
    if budget.kind is BudgetKind.FALSE:
        return _share_with_few_false(budget.most, scores, fraud)
    events, first, last = len(times), times[0], times[-1]
    a_day = events / max((last - first).total_seconds() / SECONDS_A_DAY, 1e-9)
    if budget.most >= a_day:
        raise BudgetError(
            f"a day has {a_day:,.0f} events: {budget.most:,.0f} alerts a day are no budget, ask for fewer"
        )
    return budget.most / a_day


def _share_with_few_false(most: float, scores: np.ndarray, fraud: np.ndarray | None) -> float:
    """The largest share of the rows, from the top, of which so many are false at most, with a standard error to spare.

    The largest of many shares that fit is one that was lucky, so without the error the next days have more. Rows
    without a label count as neither.
    """
    needed = f'"at most {most:.0%} false" needs labels of the rows that the model is calibrated on'
    if fraud is None or not np.nansum(fraud):
        raise BudgetError(f"{needed}, and no fraud is known among them: ask for a share or for so many a day")
    ranked = fraud[np.argsort(-scores, kind="stable")]
    known = np.cumsum(~np.isnan(ranked))
    false = 1 - np.nancumsum(ranked) / np.maximum(known, 1)
    at_most = false + np.sqrt(false * (1 - false) / np.maximum(known, 1))
    fits = np.flatnonzero((at_most <= most) & (known >= FEWEST_ALERTS))
    if not fits.size:
        least = float(at_most[known >= FEWEST_ALERTS].min(initial=1.0))
        raise BudgetError(
            f"no threshold has at most {most:.0%} false alerts there: {least:.0%} is the least it can have"
        )
    return float((fits[-1] + 1) / len(scores))


def _checked(budget: float | str, kind: BudgetKind, text: float | str) -> Budget:
    try:
        value = float(str(text).replace(",", ""))
    except ValueError:
        value = -1.0
    most = (
        value / 100
        if kind is BudgetKind.FALSE or (kind is BudgetKind.SHARE and str(budget).strip().endswith("%"))
        else value
    )
    if not 0 < most < (np.inf if kind is BudgetKind.A_DAY else 1):
        raise BudgetError(
            f'{budget!r} is no alert budget: write a share ("0.3 %" or 0.003), "200 a day" or "at most 30 % false"'
        )
    return Budget(kind, most)
