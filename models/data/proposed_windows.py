"""Windows for a first definition: of the entity's own numbers where entities differ in them, and of other entities."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import polars as pl

from models.data.profile import SampleColumn
from schemas.definition import DAY, seconds

LENGTHS = ("1h", "12h", "1d", "7d", "30d")
ENOUGH, FEW = 100, 2  # events of an entity in a long window, and in a short one
RARE = 0.25  # so few in an hour, or fewer: there two are a burst
MOST_NUMBERS = 4
MOST_OTHERS = 2
LEAST_BETWEEN = 0.05  # of the variance of a number that is between entities, beyond what chance puts there
MOST_BETWEEN = 0.999  # what never varies within an entity, such as where a customer lives, has no usual spread
SEEN_OFTEN = 5  # events of another entity, at least, in the sample
LABEL_DELAY = "7d"
AMOUNT_WORDS = ("amount", "value", "price", "total", "sum", "cost")
COMPUTED = re.compile(r"(\d+_?(d|h|m|day|days|hour|hours|min)(_|\b)|avg|mean|window)", re.IGNORECASE)


@dataclass(frozen=True)
class WindowSample:
    """What windows are proposed from.

    Attributes:
        entity: Whose behaviour is judged.
        numbers: Columns that are inputs, and numbers.
        others: Columns that may be other entities.
        days: From the first event to the last.
        labelled: Whether there is a label.
        name: Gives an input a name that no other has.
    """

    entity: SampleColumn
    numbers: Sequence[SampleColumn]
    others: Sequence[SampleColumn]
    days: float
    labelled: bool
    name: Callable[[str], str]


def proposed(sample: WindowSample) -> Iterator[str]:
    """The entries, each with a comment why."""
    per_day = len(sample.entity.values) / sample.entity.distinct / max(sample.days, 1 / 24)
    over = _length(per_day, ENOUGH)
    short = LENGTHS[0] if per_day / 24 <= RARE else _length(per_day, FEW)
    yield "# Windows: what the events before this one add up to, computed from the events themselves."
    yield from _own(sample, over, ("count", None, "sqrt"), f"{_in(over, per_day)} events of each")
    if seconds(short) < seconds(over):
        yield from _own(sample, short, ("count", None, "sqrt"), "a burst of events")
    yield from _own(sample, over, ("since_last", None, ""), "a gap, in seconds")
    for column, between in islice(_differing(sample), MOST_NUMBERS):
        why = f"{between:.0%} of the variance of {column.path} is between the values of {sample.entity.path}"
        yield from _own(sample, over, ("mean", column, ""), "what is usual, told with an anomaly")
        yield from _own(sample, over, ("deviation", column, ""), why)
    for other in [o for o in sample.others if o.distinct * SEEN_OFTEN <= len(o.values)][:MOST_OTHERS]:
        yield from _of_other(sample, other, over)


def _own(sample: WindowSample, over: str, what: tuple[str, SampleColumn | None, str], why: str) -> Iterator[str]:
    aggregate, column, transform = what
    named, of = (column.title, column.path) if column else (sample.entity.path, "")
    yield "[[input]]"
    yield f"name = {_quoted(sample.name(f'{named}_{aggregate}_{over}'))}"
    yield f"window = {_window(sample.entity.path, aggregate, of, over)}  # {why}"
    yield from ([f'transform = "{transform}"'] if transform else [])
    yield ""


def _of_other(sample: WindowSample, other: SampleColumn, over: str) -> Iterator[str]:
    """Whether it is new for the entity; how much happens there; and how often that was labelled."""
    per_day = len(other.values) / other.distinct / max(sample.days, 1 / 24)
    long = _length(per_day, ENOUGH)
    delay = {"1h": "5m", "12h": "5m", "30d": "1d"}.get(long, "1h")
    entries = [
        (
            f"{other.path}_is_new_{over}",
            _window(sample.entity.path, "is_new", other.path, over),
            "not seen of it before",
        ),
        (f"{other.path}_count_{long}", _window(other.path, "count", "", long, delay), f"{other.distinct:,} values"),
    ]
    if sample.labelled and sample.days * 0.8 > seconds(LABEL_DELAY) / DAY + 1:
        risk = _window(other.path, "mean", "label", "30d", LABEL_DELAY)
        entries.append((f"{other.path}_label_share_30d", risk, "share of labels; the delay is how late they arrive"))
    for name, window, why in entries:
        yield from ("[[input]]", f"name = {_quoted(sample.name(name))}", f"window = {window}  # {why}", "")


def _window(entity: str, aggregate: str, of: str, over: str, delay: str = "") -> str:
    parts = {"entity": entity, "aggregate": aggregate, "of": of, "over": over, "delay": delay}
    return f"{{ {', '.join(f'{field} = {_quoted(value)}' for field, value in parts.items() if value)} }}"


def _differing(sample: WindowSample) -> Iterator[tuple[SampleColumn, float]]:
    """The numbers in which entities differ, amounts first, with the share of the variance that is between entities."""
    by_name = sorted(sample.numbers, key=lambda column: not _named(column, AMOUNT_WORDS))
    for column in by_name:
        between = _between(column.numbers, sample.entity.values)
        if LEAST_BETWEEN < between < MOST_BETWEEN and not COMPUTED.search(column.path):
            yield column, between


def _between(numbers: pl.Series, entities: pl.Series) -> float:
    """Share of the variance between entities (omega squared): beyond what as many groups have by chance."""
    frame = pl.DataFrame({"x": numbers, "entity": entities}).drop_nulls().filter(pl.col("x").is_finite())
    groups, rows = frame["entity"].n_unique(), frame.height
    if rows <= groups or groups < 2:
        return 0.0
    deviations = frame.select(
        total=(pl.col("x") - pl.col("x").mean()) ** 2,
        within=(pl.col("x") - pl.col("x").mean().over("entity")) ** 2,
    ).sum()
    total, within = deviations.row(0)
    by_chance = within / (rows - groups)
    return float((total - within - (groups - 1) * by_chance) / (total + by_chance)) if total > 0 else 0.0


def _length(per_day: float, events: int) -> str:
    """The shortest in which so many events are to be expected."""
    return next((length for length in LENGTHS if per_day * seconds(length) / DAY >= events), LENGTHS[-1])


def _in(over: str, per_day: float) -> str:
    return f"{per_day * seconds(over) / DAY:.3g}"


def _named(column: SampleColumn, words: Sequence[str]) -> bool:
    return not set(words).isdisjoint(re.findall(r"[a-z]+", column.path.lower()))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
