"""A first definition for a data file: what each column is likely to be, and a comment on every line that says why.

Candidates are told by their values, and where several fit by the words in their names.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from models.data.files import DataError
from models.data.profile import SampleColumn, profile
from models.data.proposed_windows import WindowSample, proposed

MOST_VALUES = 1000  # of a text that is proposed as a category
FEW_CODES, FEW_IDS = 400, 60  # values of a whole number that is a code; of an id that is a kind of something
DAY_US = 86_400_000_000
TIME_WORDS = ("time", "date", "timestamp", "ts", "at", "when", "created", "moment")
ID_WORDS = ("id", "ref", "uuid", "number", "no", "key", "transaction", "event", "txn", "tx")
IDENTITY_WORDS = ("id", "ref", "uuid", "no", "nr", "number", "key")  # at the end of a name: of somebody or something
ENTITY_WORDS = (
    *("card", "customer", "account", "user", "client", "patient", "machine", "device", "sensor", "entity", "iban"),
    *("token", "member", "owner", "unit", "asset", "subject"),
)
LABEL_WORDS = (
    "fraud",
    "label",
    "chargeback",
    "anomaly",
    "anomalous",
    "failure",
    *("failed", "fault", "faulty", "wrong", "error"),
    "target",
    "outlier",
    "attack",
    "class",
)
CODE_WORDS = ("code", "mcc", "type", "category", "kind", "class", "status", "channel", "method", "zone", "zip")


def propose(file: Path) -> str:
    """The text of a definition that reads this file.

    Raises:
        DataError: it cannot be read, or no column can be id, time or entity.
    """
    columns = profile(file)
    time = _time(columns, file)
    label = _label(columns)
    taken = {time.path, label.path if label else ""}
    identity = _identity([c for c in columns if c.path not in taken], file)
    entity = _entity([c for c in columns if c.path not in {*taken, identity.path}], file)
    rest = [c for c in columns if c.path not in {*taken, identity.path, entity.path}]
    names: set[str] = set()
    lines = [*_head(file, identity, time, entity), *_inputs(rest, time, label, names)]
    lines += _windows(rest, entity, time, label, names)
    if label is not None:
        share = float(label.truths.mean() or 0)  # type: ignore[arg-type]
        lines += ["[label]", f"column = {_quoted(label.path)}  # {share:.2%} of the rows; never read from the stream"]
    return "\n".join(lines) + "\n"


def _time(columns: Sequence[SampleColumn], file: Path) -> SampleColumn:
    def rank(column: SampleColumn) -> tuple[bool, bool]:
        return _has(column, TIME_WORDS), not column.is_number

    found = [c for c in columns if c.is_time and not c.missing and (c.unit or not c.is_number)]
    found = [c for c in found if not c.is_number or _has(c, TIME_WORDS)] or found
    return _best(found, rank, f"{file} has no column with a time in every row: add one, RFC 3339 or seconds since 1970")


def _label(columns: Sequence[SampleColumn]) -> SampleColumn | None:
    found = [c for c in columns if c.is_truth and _has(c, LABEL_WORDS) and float(c.truths.mean() or 0) < 0.5]  # type: ignore[arg-type]
    return found[0] if found else None


def _identity(columns: Sequence[SampleColumn], file: Path) -> SampleColumn:
    found = [c for c in columns if not c.missing and c.distinct == len(c.values) and (c.is_whole or not c.is_number)]
    why = f"{file} has no column that tells its events apart: add one with another id in each row"
    return _best(found, lambda c: (_has(c, ID_WORDS), not c.is_time), why)


def _entity(columns: Sequence[SampleColumn], file: Path) -> SampleColumn:
    def rank(column: SampleColumn) -> tuple[bool, bool, int]:
        return _has(column, ENTITY_WORDS), _has(column, ("id", "token", "key", "ref")), column.distinct

    found = [c for c in columns if not c.missing and 1 < c.distinct <= len(c.values) / 2 and not c.is_truth]
    found = [c for c in found if (c.is_whole or not c.is_number) and not c.is_time]
    return _best(found, rank, f"{file} has no column that says whose the events are: add one, a card, a machine")


def _best(found: Sequence[SampleColumn], rank: Callable[[SampleColumn], Any], why: str) -> SampleColumn:
    if not found:
        raise DataError(why)
    return max(found, key=rank)  # of several alike the first


def _head(file: Path, identity: SampleColumn, time: SampleColumn, entity: SampleColumn) -> Iterator[str]:
    per = len(entity.values) / entity.distinct
    yield f"# Proposed for {file.name} by `stream-app define`, from {len(entity.values):,} rows. Correct what is wrong:"
    yield "# every line says why it is there. docs/definition.md explains the fields."
    yield f"name = {_quoted(_name(file.stem, set()).replace('_', '-'))}"
    yield ""
    yield "[event]"
    yield f"id = {_quoted(identity.path)}  # another value in every row"
    yield f"time = {_quoted(time.path)}  # {_span(time)}"
    if time.unit is not None:
        yield f'time_unit = "{time.unit}"  # as numbers since 1970, the only unit in which all are from 1990 to 2100'
    yield f"entity = {_quoted(entity.path)}  # {entity.distinct:,} values, {per:.1f} events of each"
    yield ""


def _inputs(
    columns: Sequence[SampleColumn], time: SampleColumn, label: SampleColumn | None, names: set[str]
) -> Iterator[str]:
    kept = 0
    for column in columns:
        why = _left_out(column, time, label)
        if why:
            yield f"# {column.path} is left out: {why}"
            continue
        kept += 1
        yield "[[input]]"
        yield f"name = {_quoted(_name(column.title, names))}"
        yield f"path = {_quoted(column.path)}  # {_seen(column)}"
        yield from _kind(column)
        yield ""
    if not kept:
        raise DataError("no column is left for the model to see: it needs at least one number, flag or category")
    if _days(time) >= 2:
        for clock in ("weekend", "night"):
            if not any(clock in name for name in names):
                yield from ("[[input]]", f"name = {_quoted(_name(clock, names))}", f'clock = "{clock}"  # UTC', "")


def _left_out(column: SampleColumn, time: SampleColumn, label: SampleColumn | None) -> str:
    """Why a column is no input; empty: it is one."""
    if column.distinct < 2:
        return "it has one value" if column.distinct else "it has no value"
    if label is not None and _has(column, LABEL_WORDS):
        return "its name says that it may be known only with the label"
    is_time = column.is_time and (column.unit or not column.is_number) and _has(column, TIME_WORDS)
    if is_time or (column.is_whole and not column.is_truth and _follows(column, time)):
        return "another time, or what follows it"
    if _is_identity(column):
        return f"an id, {column.distinct:,} values"
    if not column.is_number and column.distinct > min(MOST_VALUES, len(column.values) / 3):
        return f"{column.distinct:,} different texts, too many for a category"
    return ""


def _kind(column: SampleColumn) -> Iterator[str]:
    if column.is_truth and not column.is_text:
        yield 'kind = "flag"  # two values'
    elif not column.is_number or _is_code(column):
        yield f'kind = "category"  # {column.distinct:,} values; the model sees how rare one is'
    else:
        if column.is_hundredths:
            yield "scale = 0.01  # its name says that it counts hundredths"
        numbers = column.numbers.drop_nulls()
        skewness = numbers.skew()
        if float(numbers.min()) >= 0 and skewness is not None and skewness > 2:  # type: ignore[arg-type]
            yield f'transform = "sqrt"  # never negative and with a long tail (skewness {skewness:.1f})'


def _is_identity(column: SampleColumn) -> bool:
    """Whether its values tell somebody or something apart: by its name, or because no two rows have the same."""
    if column.is_truth or (column.is_number and not column.is_whole):
        return False
    is_named = not {*column.words[-1:]}.isdisjoint(IDENTITY_WORDS) and column.distinct > FEW_IDS
    is_unique = column.is_whole and column.distinct == len(column.values) and not column.is_hundredths
    return is_named or is_unique


def _is_code(column: SampleColumn) -> bool:
    few = FEW_CODES if _has(column, CODE_WORDS) else FEW_IDS if _has(column, IDENTITY_WORDS) else 0
    return column.is_whole and column.distinct <= few


def _windows(
    columns: Sequence[SampleColumn],
    entity: SampleColumn,
    time: SampleColumn,
    label: SampleColumn | None,
    names: set[str],
) -> Iterator[str]:
    why = {column.path: _left_out(column, time, label) for column in columns}
    numbers = [c for c in columns if not why[c.path] and c.is_number and not c.is_truth and not _is_code(c)]
    others = [c for c in columns if why[c.path].startswith("an id") or "texts" in why[c.path]]
    labelled, name = label is not None, partial(_name, taken=names)
    yield from proposed(WindowSample(entity, numbers, others, _days(time), labelled=labelled, name=name))


def _seen(column: SampleColumn) -> str:
    gaps = f", {column.missing:.1%} missing" if column.missing else ""
    if column.is_number:
        low, high = _bounds(column.numbers)
        return f"{low:g} to {high:g}{gaps}"
    frequent = column.values.drop_nulls().value_counts(sort=True)["values"][:3].to_list()
    return f"such as {', '.join(_short(text) for text in frequent)}{gaps}"


def _span(time: SampleColumn) -> str:
    first, last = (datetime.fromtimestamp(us / 1e6, UTC) for us in _bounds(time.times))
    return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} in this sample"


def _days(time: SampleColumn) -> float:
    first, last = _bounds(time.times)
    return (last - first) / DAY_US


def _bounds(values: pl.Series) -> tuple[float, float]:
    return float(values.min()), float(values.max())  # type: ignore[arg-type]


def _follows(column: SampleColumn, time: SampleColumn) -> bool:
    both = pl.DataFrame({"x": column.numbers, "t": time.times.cast(pl.Float64)}).drop_nulls()
    found = both.select(pl.corr("x", "t")).item()
    return found is not None and abs(found) > 0.999


def _has(column: SampleColumn, words: Sequence[str]) -> bool:
    """Whether one of the words is in its name."""
    return not set(words).isdisjoint(column.words)


def _name(path: str, taken: set[str]) -> str:
    """A name for an input, which no other has."""
    plain = re.sub(r"\W+", "_", path).strip("_").lower()[:90] or "input"
    name = plain if not plain[0].isdigit() else f"_{plain}"
    number = 2
    while name in taken:
        name, number = f"{plain}_{number}", number + 1
    taken.add(name)
    return name


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= 24 else f"{plain[:23]}…"
