"""TOML files as people write them: what cannot be read, or is not known, is said in one line with what is allowed."""

import difflib
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from schemas.errors import UserError

S = TypeVar("S", bound=msgspec.Struct)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`")


class TomlError(UserError):
    """A file that a person wrote cannot be read; the message names it."""

    exit_code = 2


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dictionary. A byte-order mark, as editors on Windows write it, is passed over.

    Raises:
        TomlError: it cannot be read, is not UTF-8, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise TomlError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise TomlError(f"{path}, line {line}, is not UTF-8: save the file in that encoding") from error
    except tomllib.TOMLDecodeError as error:
        raise TomlError(f"{path} is not valid TOML: {error}") from error


def among(name: str, known: Iterable[str]) -> str:
    """For a name that is not known: the one that was probably meant, or else all that there are."""
    choice = sorted(known)
    written = name.lower()
    close = [*difflib.get_close_matches(written.replace("-", "_"), choice, 1, 0.75)]
    close += difflib.get_close_matches(written, choice, 1, 0.75)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(choice)}"


def where_and_what(error: msgspec.ValidationError, kind: Any) -> str:
    """A validation error as `, field NAME: WHAT`; of a name or a word that is not known, what is allowed there.

    Args:
        error: As `msgspec.convert` raised it.
        kind: The struct that was to be made.
    """
    what, _, path = str(error).partition(" - at `$")
    where = path.strip(".`")
    there = _type_at(kind, where.split(".") if where else [])
    unknown = _UNKNOWN.fullmatch(what)
    if unknown is not None and hasattr(there, "__struct_fields__"):
        what = f"{unknown['name']} is not known: {among(unknown['name'], there.__struct_fields__)}"
    elif get_origin(there) is Literal:
        what = f"{what}: there are {', '.join(map(str, get_args(there)))}"
    return f", field {where}: {what}" if where else f": {what}"


def converted(table: Any, kind: type[S]) -> tuple[S | None, list[str]]:
    """A table as a struct, and all that is wrong with it: `, field NAME: WHAT`, with what would be right.

    `where_and_what` has the first error alone; a person who writes a file wants every one.
    """
    if not isinstance(table, dict):
        return None, [": a table is needed, with NAME = VALUE on its lines"]
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    wrong = [f", field {name}: is not known: {among(name, fields)}" for name in table if name not in fields]
    wrong += [f", field {name}: is needed" for name, field in fields.items() if field.required and name not in table]
    values = {}
    for name in table.keys() & fields.keys():
        value, inside = _field(table[name], fields[name].type)
        wrong += [f", field {name}{'.' if what.startswith(', field ') else ''}{_below(what)}" for what in inside]
        values[fields[name].name] = value
    return (None if wrong else kind(**values)), wrong


def _field(value: Any, kind: Any) -> tuple[Any, list[str]]:
    struct = next((part for part in (kind, *get_args(kind)) if _is_struct(part)), None)
    if struct is not None and value is not None:
        return converted(value, struct)
    try:
        return msgspec.convert(value, kind), []
    except msgspec.ValidationError as error:
        return None, [f": {_right(error, value, kind)}"]


def _right(error: msgspec.ValidationError, value: Any, kind: Any) -> str:
    """Why a value is refused, and which would not be."""
    parts = (kind, *get_args(kind))
    words = next((get_args(part) for part in parts if get_origin(part) is Literal), None)
    if words is not None:
        return f"{value!r} is not known: {among(str(value), map(str, words))}"
    described = next((part.description for part in parts if isinstance(part, msgspec.Meta) and part.description), None)
    return f"{value!r} is not {described}" if described and isinstance(value, str) else str(error)


def _below(what: str) -> str:
    return what.removeprefix(", field ")


def _type_at(kind: Any, path: list[str]) -> Any:
    """The declared type of a field inside a struct; None where the path leads elsewhere."""
    for name in path:
        fields = msgspec.structs.fields(kind) if _is_struct(kind) else ()
        kind = next((field.type for field in fields if field.name == name), None)
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
    return kind


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
