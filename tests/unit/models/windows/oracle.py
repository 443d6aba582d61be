"""Windows by their meaning: plain Python over lists of events, slow and obvious."""

import math
from statistics import fmean, stdev
from typing import Any, NamedTuple

MICRO = 1_000_000
UNITS = {"m": 60, "h": 3600, "d": 86_400}


class OracleWindow(NamedTuple):
    """As `schemas.definition.Window`."""

    aggregate: str
    over: str
    of: str = ""
    delay: str = ""
    entity: str = "entity"

    @property
    def hop_s(self) -> int:
        length = seconds(self.over)
        return 300 if length <= 12 * 3600 else 3600 if length <= 12 * 86_400 else 86_400

    @property
    def hops(self) -> int:
        return seconds(self.over) // self.hop_s

    @property
    def delay_hops(self) -> int:
        return seconds(self.delay) // self.hop_s


def seconds(duration: str) -> int:
    return int(duration[:-1]) * UNITS[duration[-1]] if duration else 0


class Event(NamedTuple):
    entity: int
    time: int
    values: dict[str, Any]  # numbers, and identities as integers; None or NaN: missing


def values_of(window: OracleWindow, before: list[Event], event: Event) -> float:
    """One window at one event.

    Args:
        window: Which.
        before: The events of the same entity that stand before it in the log.
        event: The event.
    """
    hop_us = window.hop_s * MICRO
    newest = max([event.time, *(other.time for other in before)])
    first = newest // hop_us - window.delay_hops - window.hops
    last = event.time // hop_us - (window.delay_hops + 1 if window.delay_hops else 0)
    covered = [other for other in before if first <= other.time // hop_us <= last]
    own = event.values.get(window.of, None if window.of == "shop" else math.nan)
    if window.aggregate == "count":
        return float(len(covered))
    if window.aggregate == "since_last":
        times = [other.time for other in before]
        known = times and event.time >= max(times) and max(times) // hop_us >= first
        return (event.time - max(times)) / MICRO if known else math.nan
    if window.aggregate in ("distinct", "is_new"):
        seen = {other.values.get(window.of) for other in before if other.time // hop_us >= first} - {None}
        if window.aggregate == "distinct":
            return float(len(seen))
        return math.nan if own is None or not seen else float(own not in seen)
    values = [x for other in covered if math.isfinite(x := other.values.get(window.of, math.nan))]
    return of_values(window.aggregate, values, own)


def of_values(aggregate: str, values: list[float], own: float) -> float:
    if aggregate == "sum":
        return math.fsum(values)
    if not values:
        return math.nan
    simple = {"mean": fmean, "min": min, "max": max}
    if aggregate in simple:
        return float(simple[aggregate](values))
    if len(values) < 2:
        return math.nan
    spread = stdev(values)
    if aggregate == "std":
        return spread
    mean = fmean(values)
    return math.nan if spread <= 1e-7 * abs(mean) or not math.isfinite(own) else (own - mean) / spread


def run(windows: list[OracleWindow], log: list[Event]) -> list[list[float]]:
    """Of the whole log; forgets nothing."""
    past: dict[int, list[Event]] = {}
    rows = []
    for event in log:
        before = past.setdefault(event.entity, [])
        rows.append([values_of(window, before, event) for window in windows])
        before.append(event)
    return rows
