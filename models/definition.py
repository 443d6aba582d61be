"""Definitions of detectors: found, read, checked whole, and completed by what follows from their windows and clocks."""

from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from models.words import is_rate, rate_of
from schemas.definition import (
    LABEL,
    MOST_HOPS,
    OF_IDENTITIES,
    OF_OTHERS,
    SECONDS,
    WITHOUT_DELAY,
    WITHOUT_VALUE,
    Definition,
    EventFields,
    Input,
    LabelColumn,
    SegmentsBy,
    Window,
    is_path,
    seconds,
)
from schemas.errors import UserError
from schemas.toml import among, converted, read_toml

FOLDER = Path(__file__).with_name("detectors")
LOCAL = Path("detector.toml")
DEFAULT = "cards-raw"
TABLES: dict[str, type[Struct]] = {"event": EventFields, "label": LabelColumn, "segments": SegmentsBy}
FORMATS = ("json", "avro")
LONGEST_NAME = 200


class DefinitionError(UserError):
    """A definition or a configuration file is wrong; the message names the file, the entry and the field."""


def shipped() -> list[str]:
    """The definitions that come along, by name."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


@cache
def default() -> Definition:
    """The definition of the simulator's payments as they happen, which is taken where no other is named."""
    return load(FOLDER / f"{DEFAULT}.toml")


@cache
def cards() -> Definition:
    """The definition of the simulator's transactions with features."""
    return load(FOLDER / "cards.toml")


def find(named: str | None, own: Definition | None = None) -> Definition:
    """The definition to work by.

    Args:
        named: A file, or the name of a shipped one, as an option or a setting has it. None: `detector.toml` in the
            working directory, else `own`, else the default.
        own: That of the model at hand.

    Raises:
        TomlError: it cannot be read.
        DefinitionError: it is wrong, or there is none of that name.
    """
    if named is None:
        return load(LOCAL) if LOCAL.is_file() else own or default()
    if named in shipped():
        return load(FOLDER / f"{named}.toml")
    path = Path(named)
    if not path.exists() and path.suffix != ".toml":
        raise DefinitionError(f"there is no detector {named}: name a file, or {among(named, shipped())}")
    return load(path)


def load(path: Path) -> Definition:
    """Read a definition.

    Raises:
        TomlError: it cannot be read.
        DefinitionError: something in it is wrong: one line with all that is, by entry and field.
    """
    tables = read_toml(path)
    definition, wrong = _converted(tables)
    if definition is not None:
        definition, unread = _with_schema(complete(definition), path.parent)
        wrong = [*unread, *complaints(definition)]
    if definition is None or wrong:
        raise DefinitionError(f"{path}: {'; '.join(wrong)}")
    return definition


def _with_schema(definition: Definition, folder: Path) -> tuple[Definition, list[str]]:
    """With the schema of its records in place of the name of the file that holds it, and what is wrong with that."""
    event = definition.event
    if not event.schema:
        return definition, []
    if event.format == "json":
        return definition, [f"[event], field schema: is for {', '.join(FORMATS[1:])}, not for json"]
    if event.message and event.format != "protobuf":
        return definition, ["[event], field message: is for protobuf"]
    try:
        content = (folder / event.schema).read_bytes()
        text = b64encode(content).decode() if event.format == "protobuf" else content.decode("utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        return definition, [f"[event], field schema: cannot read {event.schema}: {why}"]
    return replace(definition, event=replace(event, schema=text)), []


def in_json(definition: Definition) -> Definition:
    """The definition for events as `models.data.events` writes them, whatever the format of its records."""
    return replace(definition, event=replace(definition.event, format="json", schema="", message=""))


def together(one: Definition, other: Definition) -> Definition:
    """A definition that reads what both need of the same events; of two inputs of one name it has the first's."""
    known = {entry.name for entry in one.inputs}
    return replace(one, inputs=(*one.inputs, *(entry for entry in other.inputs if entry.name not in known)))


def segmented(definition: Definition, by: str) -> Definition:
    """The definition with this field to watch drift by, in place of its own; empty: none."""
    return replace(definition, segments=SegmentsBy(by) if by else None)


def complete(definition: Definition) -> Definition:
    """With what follows from windows and clocks: role, unit, what is usual, over how long."""
    return replace(definition, inputs=tuple(_completed(entry, definition) for entry in definition.inputs))


def complaints(definition: Definition) -> Iterator[str]:
    """All that no entry can know alone, and that types cannot say, each with the entry, the field and what to do."""
    if definition.event.format not in FORMATS:
        yield f"[event], field format: {definition.event.format} is not read yet: there is {', '.join(FORMATS)}"
    if definition.event.time.startswith("$") and definition.event.time != "$timestamp":
        yield f"[event], field time: {definition.event.time} is no time: name a path, or $timestamp"
    yield from _crossing(definition)
    names = [entry.name for entry in definition.inputs]
    paths = [entry.path for entry in definition.inputs if entry.path]
    for number, entry in enumerate(definition.inputs):
        at = f"input {entry.name}"
        if entry.name in names[:number]:
            yield f"{at}, field name: {entry.name} is declared twice"
        if paths.count(entry.path) > 1 and entry.path in [other.path for other in definition.inputs[:number]]:
            yield f"{at}, field path: {entry.path} is declared twice"
        yield from (f"{at}, {what}" for what in _source(entry))
        yield from (f"{at}, {what}" for what in _values(entry))
        yield from (f"{at}, {what}" for what in _pointers(entry, definition))
        if entry.window is not None:
            yield from (f"{at}, field window{what}" for what in _window(entry.window, definition))


def _converted(tables: dict[str, Any]) -> tuple[Definition | None, list[str]]:
    """The tables as structs, and all that is wrong with each by itself."""
    known = ("name", "input", *TABLES)
    wrong = [f"{_shown(name, tables[name])} is not known: {among(name, known)}" for name in tables if name not in known]
    name = tables.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        wrong.append('name is needed, a text: name = "card-fraud" in the first line')
    parts: dict[str, Any] = {}
    for table, kind in TABLES.items():
        if table in tables:
            parts[table], found = converted(tables[table], kind)
            wrong += [f"[{table}]{what}" for what in found]
    if "event" not in tables:
        wrong.append("[event] is needed: it says where id, time and entity stand in a record")
    entries = tables.get("input")
    if not isinstance(entries, list) or not entries:
        return None, [*wrong, "it declares no inputs: write one [[input]] entry for each"]
    inputs = []
    for number, entry in enumerate(entries, start=1):
        read, found = converted(entry, Input)
        label = entry.get("name", f"number {number}") if isinstance(entry, dict) else f"number {number}"
        wrong += [f"input {label}{what}" for what in found]
        inputs += [] if read is None else [read]
    return (None if wrong else Definition(name=str(name), inputs=tuple(inputs), **parts)), wrong


def _shown(name: str, value: Any) -> str:
    return f"[[{name}]]" if isinstance(value, list) else f"[{name}]" if isinstance(value, dict) else name


def _crossing(definition: Definition) -> Iterator[str]:
    """Paths of which one goes through the value of another, and inputs that are read as something else already."""
    event = definition.event
    read = {"id": event.id, "time": event.time, "entity": event.entity}
    paths = dict.fromkeys((*read.values(), *(e.path for e in definition.inputs if e.path), *definition.past))
    for entry in definition.inputs:
        for what, path in read.items():
            if entry.path == path:
                yield f"input {entry.name}, field path: {path} is the {what} of the event already"
        for other in paths:
            if entry.path and (other.startswith(f"{entry.path}.") or entry.path.startswith(f"{other}.")):
                yield f"input {entry.name}, field path: {entry.path} and {other} cannot both be values, one is inside"
    for past in definition.past:
        for other in paths:
            if other.startswith(f"{past}.") or (past.startswith(f"{other}.") and definition.at(other) is None):
                yield f"windows over {past}: {past} and {other} cannot both be values, one is inside"


def _source(entry: Input) -> Iterator[str]:
    """Exactly one source, and only what goes with it."""
    given = [name for name in ("path", "window", "clock") if getattr(entry, name)]
    if len(given) != 1:
        yield f"field {given[-1] if given else 'path'}: exactly one of path, window and clock, not {len(given)}"
    if entry.window is not None or entry.clock is not None:
        source = "window" if entry.window is not None else "clock"
        for name in ("scale", "least", "most"):
            if getattr(entry, name) != Input.__struct_defaults__[Input.__struct_fields__.index(name) - 1]:
                yield f"field {name}: is for values of a path, not of a {source}"
    if entry.clock is not None and entry.kind != "flag":
        yield f"field kind: what the clock gives is a flag, not a {entry.kind}"


def _values(entry: Input) -> Iterator[str]:
    """Scale and bounds: of numbers, and such as leave something."""
    if not (isfinite(entry.scale) and entry.scale):
        yield "field scale: is a number other than 0, as 0.01 for cents"
    if entry.kind != "number":
        wrong = [name for name in ("least", "most") if getattr(entry, name) is not None]
        wrong += ["scale"] if entry.scale != 1 else []
        wrong += ["transform"] if entry.transform != "none" else []
        yield from (f"field {name}: is for numbers, not for a {entry.kind}" for name in wrong)
    if entry.least is not None and entry.most is not None and entry.least > entry.most:
        yield f"field most: {entry.most:g} is below least, which is {entry.least:g}"


def _pointers(entry: Input, definition: Definition) -> Iterator[str]:
    """What points at other inputs meets one that fits."""
    others = {other.name: other for other in definition.inputs if other.name != entry.name}
    pointed = {"count": (entry.count,), "usual_of": entry.usual_of}
    for field, names in pointed.items():
        yield from (
            f"field {field}: {name} is not another input: {among(name, others) if others else 'there is none'}"
            for name in names
            if name and name not in others
        )
    for name in entry.usual_of:
        unit = others[name].unit if name in others else entry.unit
        if unit != entry.unit and not (is_rate(unit) and is_rate(entry.unit)):
            yield f"field usual_of: {name} is in {unit}, this in {entry.unit}: it must be the same unit"


def _window(window: Window, definition: Definition) -> Iterator[str]:
    """What a window refers to, and how much it would hold."""
    yield from _looked_at(window, definition)
    event = definition.event
    if not window.delay and (window.entity != event.entity or window.of == LABEL):
        what = (
            "a label is known only later"
            if window.of == LABEL
            else f"the past of {window.entity} is in many partitions"
        )
        yield f", field delay: is needed, {what}: delay = {_hop(window)!r} or more"
    if window.entity != event.entity and window.aggregate not in OF_OTHERS:
        yield f", field aggregate: of another entity than {event.entity} there are {', '.join(sorted(OF_OTHERS))}"
    elif window.delay and window.aggregate in WITHOUT_DELAY:
        yield f", field delay: {window.aggregate} knows none: leave it out"
    if window.entity.startswith("$"):
        yield f", field entity: {window.entity} is no path into the record"
    for name in ("over", "delay"):
        given, hop = getattr(window, name), window.hop_s
        if seconds(given) % hop:
            near = _length(max(seconds(given) // hop, 1) * hop)
            yield f", field {name}: {given} is no multiple of its hop, {_length(hop)}: write {near!r}"
    if window.hops + window.delay_hops > MOST_HOPS:
        held = window.hops + window.delay_hops
        yield (
            f", field over: with its delay it would hold {held:,} hops of {_length(window.hop_s)}, "
            f"at most {MOST_HOPS} are held: make it shorter"
        )


def _looked_at(window: Window, definition: Definition) -> Iterator[str]:
    """Whether `of` is what the aggregate can use."""
    of, aggregate = window.of, window.aggregate
    if aggregate in WITHOUT_VALUE:
        if of:
            yield f", field of: {aggregate} looks at no value: leave it out"
        return
    if not of:
        yield f", field of: is needed, the path of the value whose {aggregate} it is"
        return
    named = next((entry for entry in definition.inputs if entry.name == of), None)
    read = definition.at(of)
    if read is None and named is not None:
        source = f"write its path, {named.path}" if named.path else "it is no value of the record: name a path"
        yield f", field of: {of} is the name of an input: {source}"
    elif not is_path(of):
        yield f", field of: {of!r} is no path into the record"
    if of == LABEL and definition.label is None:
        yield ", field of: label needs a [label] with the column that has it"
    if of == LABEL and aggregate not in OF_OTHERS:
        yield f", field aggregate: {aggregate} of a label means nothing: there are count, mean, sum"
    if read is not None and read.kind == "category" and aggregate not in OF_IDENTITIES:
        yield f", field of: {of} is a category, which has no {aggregate}: there are {', '.join(sorted(OF_IDENTITIES))}"
    event = definition.event
    if of == event.time:
        yield f", field of: {of} is the time of the event: there is since_last"
    entities = {event.id, event.entity, *(other.window.entity for other in definition.windows if other.window)}
    if of in entities and aggregate not in OF_IDENTITIES:
        yield f", field of: {of} is an identity, which has no {aggregate}: there are {', '.join(sorted(OF_IDENTITIES))}"


def _completed(entry: Input, definition: Definition) -> Input:
    if entry.clock is not None:
        return replace(entry, role="calendar", kind="flag", unit="flag")
    if entry.kind == "category":
        return replace(entry, unit="share")
    if entry.kind == "flag":
        return replace(entry, unit=entry.unit or "flag")
    if entry.window is None:
        return entry
    window = entry.window
    return replace(
        entry,
        role="risk" if window.of == LABEL else "window",
        unit=entry.unit or _unit(window, definition),
        over=window.over,
        usual_of=entry.usual_of or tuple(_told_by(window, definition)),
        count=entry.count or _counted_by(window, definition),
    )


def _unit(window: Window, definition: Definition) -> str:
    """Of what a window gives, where none is declared."""
    if window.aggregate in ("count", "distinct"):
        return rate_of(window.over)
    if window.of == LABEL:
        return "share" if window.aggregate == "mean" else rate_of(window.over)
    given = {"since_last": "s", "is_new": "flag", "deviation": "sd"}.get(window.aggregate)
    read = definition.at(window.of)
    return given or (read.unit if read is not None else "")


def _told_by(window: Window, definition: Definition) -> Iterator[str]:
    """The inputs of which a window tells what is usual: the value that it is the mean of, and shorter windows of it."""
    if window.aggregate not in ("mean", "count") or seconds(window.over) == 0:
        return
    for other in definition.inputs:
        if other.window is None:
            own = window.aggregate == "mean" and window.entity == definition.event.entity
            if own and other.path == window.of and other.kind == "number":
                yield other.name
        elif replace(other.window, over=window.over) == window and seconds(other.window.over) < seconds(window.over):
            yield other.name


def _counted_by(window: Window, definition: Definition) -> str:
    """The input that counts the events of a mean or a deviation; empty where there is none, and of other aggregates."""
    if window.aggregate not in ("mean", "deviation"):
        return ""
    wanted = replace(window, aggregate="count", of="")
    return next((entry.name for entry in definition.inputs if entry.window == wanted), "")


def _hop(window: Window) -> str:
    return _length(window.hop_s)


def _length(duration_s: int) -> str:
    """As it is written: `5m`, `12h`, `30d`."""
    unit = next(unit for unit in "dhm" if duration_s % SECONDS[unit] == 0)
    return f"{duration_s // SECONDS[unit]}{unit}"
