"""Figures and reasons in words, the same in terminal and page: the only place that makes them."""

import re
from collections.abc import Mapping

from schemas.scoring import FieldValue, Reason, Usual

_A_RATE = re.compile(r"1/\(?(?P<count>\d*) ?(?P<period>[dhm])\)?")
_MINOR = re.compile(r"minor|cent|penn|pence", re.IGNORECASE)
_DAYS = {"d": 1.0, "h": 1 / 24, "m": 1 / 1440}
_PERIODS = {"d": "day", "h": "hour", "m": "minute"}


def number(value: float | None) -> str:
    """About three significant digits, thousands grouped; nothing is ever minus zero."""
    if value is None:
        return "missing"
    size = abs(value)
    if size >= 999.5:
        return f"{value:,.0f}"
    if 0 < size < 0.0005:
        return f"{value:.1e}"
    places = 0 if size >= 99.5 else 1 if size >= 9.95 else 2 if size >= 0.0995 else 3
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def quantity(value: float | None, unit: str = "") -> str:
    """A value in its unit: money with two digits, shares in percent, flags as yes and no, counts by their time."""
    if value is None:
        return "missing"
    if unit == "flag":
        return "yes" if value >= 0.5 else "no"
    if unit == "share":
        return f"{number(value * 100)} %"
    if is_money(unit):
        return f"{value:,.2f} {unit}"
    return f"{number(value)} {unit_word(unit)}".rstrip()


def fields(values: Mapping[str, FieldValue]) -> list[str]:
    """What else is shown of an event, each with its path: `amount 57.16 EUR`, `card.country RO`, `online yes`.

    A `currency` or `unit` directly behind a number of the same object is its unit, and `fee_currency` that of `fee`.
    """
    units = {number: path for path in values if (number := _measured(path, values)) is not None}
    return [
        f"{path} {_field(value)}{f' {values[units[path]]}' if path in units else ''}"
        for path, value in values.items()
        if path not in units.values()
    ]


def reason(part: Reason) -> str:
    """One input's part in a score, without its name and share: `455.20 EUR, usually 40 to 77 (30 days), ...`."""
    if part.text:
        return f"{part.text}, in {quantity(part.value, part.unit)} of events"
    known = "" if part.usual is None else f", {usual(part.usual, part.unit)}"
    return f"{quantity(part.value, part.unit)}{known}, {expectation(part.expected, part.unit)}"


def usual(known: Usual, unit: str) -> str:
    """What is usual for the entity: `usually 40 to 77 (30 days)`."""
    low, high = (_bare(value, unit) for value in (known.low, known.high))
    over = f" ({span(known.over)})" if known.over else ""
    return f"usually {low}{'' if low == high else f' to {high}'}{over}"


def expectation(value: float, unit: str) -> str:
    """What the model expects, within the bounds of its unit: of a flag how often it is set."""
    if unit == "flag":
        return f"the model expects yes of {_clipped(value, unit):.0%} of such events".replace("%", " %", 1)
    return f"the model expects {_bare(_clipped(value, unit), unit)} of such an event"


def unit_word(unit: str) -> str:
    """What follows a number: the unit itself, a rate in words, nothing where the number says it."""
    rate = _A_RATE.fullmatch(unit)
    if rate is not None:
        count, period = rate["count"] or "1", _PERIODS[rate["period"]]
        return f"{'an' if period == 'hour' else 'a'} {period}" if count == "1" else f"in {count} {period}s"
    return "" if unit in ("share", "flag", "1") else unit


def per_days(unit: str) -> float:
    """Over how many days a unit counts: 30 for `1/(30 d)`, 0.5 for `1/(12 h)`; 1 for every other unit."""
    rate = _A_RATE.fullmatch(unit)
    return int(rate["count"] or 1) * _DAYS[rate["period"]] if rate else 1.0


def is_rate(unit: str) -> bool:
    """Whether a unit counts events over a time."""
    return _A_RATE.fullmatch(unit) is not None


def rate_of(over: str) -> str:
    """The unit of a count over a window: `1/d`, `1/(30 d)`."""
    count, period = over[:-1], over[-1:]
    return f"1/{period}" if count == "1" else f"1/({count} {period})"


def is_money(unit: str) -> bool:
    """Whether a unit is a currency by its code."""
    return len(unit) == 3 and unit.isascii() and unit.isalpha() and unit.isupper()


def span(over: str) -> str:
    """The length of a window: `30 days` for `30d`."""
    count, period = over[:-1], _PERIODS.get(over[-1:])
    return over if period is None else f"{count} {period}{'' if count == '1' else 's'}"


def _measured(path: str, values: Mapping[str, FieldValue]) -> str | None:
    """The number whose unit stands at this path; cents and the like are not amounts of a currency."""
    parent, dot, name = path.rpartition(".")
    stem, _, kind = name.rpartition("_")
    if kind not in ("currency", "unit") or not isinstance(values[path], str):
        return None
    before = list(values)[: list(values).index(path)]
    number = f"{parent}{dot}{stem}" if stem else before[-1] if before else ""
    if number.rpartition(".")[0] != parent or _MINOR.search(number):
        return None
    return number if isinstance(values.get(number), int | float) and not isinstance(values[number], bool) else None


def _field(value: FieldValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _bare(value: float, unit: str) -> str:
    """As rough as a mean is, the unit being said already."""
    if unit == "share":
        return f"{_bare(value * 100, '')} %"
    rough = round(value, 0 if abs(value) >= 9.95 else 2 if is_money(unit) else 12)
    return quantity(value, unit) if unit == "flag" else number(rough + 0.0)  # minus zero plus zero is zero


def _clipped(value: float, unit: str) -> float:
    """A reconstruction may lie outside of what its unit allows; nobody expects less than no event."""
    if unit in ("share", "flag"):
        return min(max(value, 0.0), 1.0)
    return max(value, 0.0) if is_rate(unit) else value
