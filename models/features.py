"""What the networks see of the inputs of a definition, and which means are believed how far: without any data."""

from collections.abc import Iterator
from typing import NamedTuple

from models.usual import days
from schemas.definition import Definition, Input


class Mean(NamedTuple):
    """An input that is a mean over so many events.

    Attributes:
        column: Of the mean.
        counted_by: Column of the number of its events.
        own: Column of the value that the event itself adds to it; -1 where it does not count.
        usual: Place among the means of the one that tells what is usual of it; -1 for none.
    """

    column: int
    counted_by: int
    own: int
    usual: int


class Feature(NamedTuple):
    """One number of an event as the networks see it.

    Attributes:
        column: The input that it is made of.
        beside: Column of what it is seen beside: of a value what is usual of it, of a deviation the number of its
            events; -1 for none.
        judged: Whether a rare value is strange by itself. What only says whose event it is, when it was or how many
            there were before is seen by the networks alone; so is a value of which nothing but its deviation tells what
            is usual: what is rare among all may be every day's for one.
    """

    column: int
    beside: int
    judged: bool


def means_of(definition: Definition) -> list[Mean]:
    """The inputs that can be shrunk, in the order of the definition."""
    inputs = definition.inputs
    columns = {entry.name: column for column, entry in enumerate(inputs)}
    means = _means(definition)
    places = {entry.name: place for place, entry in enumerate(means)}

    def own(entry: Input) -> int:
        values = [columns[name] for name in entry.usual_of if inputs[columns[name]].role == "own"]
        return values[0] if values and entry.window is None else -1

    def usual(entry: Input) -> int:
        return places.get(_usual_of(entry, means), -1)

    return [
        Mean(columns[entry.name], columns[entry.count], own(entry), -1 if entry.role == "risk" else usual(entry))
        for entry in means
    ]


def features_of(definition: Definition) -> list[Feature]:
    """One for each input, in their order, then those that stand beside."""
    means = _means(definition)
    columns = {entry.name: column for column, entry in enumerate(definition.inputs)}
    deviating = {entry.window.of for entry in definition.inputs if entry.window is not None and is_deviation(entry)}
    first, beside = [], []
    for column, entry in enumerate(definition.inputs):
        usual = "" if entry.role == "risk" else _usual_of(entry, means)
        beside_it = entry.count if is_deviation(entry) else usual
        is_own_affair = bool(entry.path) and entry.path in deviating and not usual
        judged = _is_judged(entry, means) and not is_own_affair
        first.append(Feature(column, columns.get(beside_it, -1), judged))
        if columns.get(beside_it, -1) >= 0:
            beside.append(Feature(column, -1, judged=entry.role == "own" and not is_deviation(entry)))
    found = first + beside
    return found if any(feature.judged for feature in found) else [one._replace(judged=True) for one in found]


def _means(definition: Definition) -> list[Input]:
    return [entry for entry in definition.inputs if entry.count and not is_deviation(entry)]


def is_deviation(entry: Input) -> bool:
    """Whether it is one from the mean of an entity's past."""
    return entry.window is not None and entry.window.aggregate == "deviation"


def _usual_of(entry: Input, means: list[Input]) -> str:
    """Name of the longest mean that tells what is usual of an input; empty for none."""
    found = [mean for mean in means if entry.name in mean.usual_of]
    return max(found, key=lambda mean: days(mean.over)).name if found else ""


def _is_judged(entry: Input, means: list[Input]) -> bool:
    if entry.role == "calendar" or (entry.role == "window" and entry.usual_of and not _usual_of(entry, means)):
        return False
    counted = entry.window.aggregate == "count" if entry.window is not None else entry.unit.startswith("1/")
    return not (entry.role == "window" and counted)


def pairs(definition: Definition) -> Iterator[tuple[int, int]]:
    """Inputs that are windows over one thing, as pairs of columns of which the second tells what is usual."""
    for column, entry in enumerate(definition.inputs):
        for other in entry.usual_of:
            if definition.inputs[definition.column(other)].role != "own":
                yield definition.column(other), column


def things_of(definition: Definition) -> list[list[int]]:
    """Columns of the inputs that are judged, windows over one thing together: these never change one by one."""
    judged = [feature.column for feature in features_of(definition) if feature.judged]
    found = {column: column for column in judged}
    for one, other in pairs(definition):
        if one in found and other in found:
            old, new = found[one], found[other]
            found = {column: new if thing == old else thing for column, thing in found.items()}
    things: dict[int, list[int]] = {}
    for column, thing in found.items():
        things.setdefault(thing, []).append(column)
    return list(things.values())
