"""Stdout carries data, stderr is for people: JSON, tables, progress bars that appear only where somebody is looking."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 240

Advance = Callable[[float], None]
"""Called with how much is done so far, in the unit of the total."""


def say(line: str) -> None:
    """A line for a person, on stderr."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def out(line: str) -> None:
    """A line of data, on stdout."""
    print(line, flush=True)  # noqa: T201


def out_json(value: Any) -> None:
    """One JSON document, indented, on stdout. Datetimes become RFC 3339; structs and dataclasses become objects."""
    import msgspec

    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
    out(orjson.dumps(value, default=msgspec.to_builtins, option=options).decode())


def somebody_is_looking() -> bool:
    """Both streams are a terminal: nothing is piped."""
    return sys.stdout.isatty() and sys.stderr.isatty()


@contextmanager
def progress(what: str, total: float) -> Iterator[Advance]:
    """A progress bar on stderr, or nothing at all when output is piped.

    Args:
        what: What is being done, in a word or two.
        total: How much there is.
    """
    if not somebody_is_looking():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=int(done))


def console() -> "Console":
    """Where tables go: as wide as the terminal; piped, so wide that nothing is cut."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)


def figure(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


@contextmanager
def waiting(what: str) -> Iterator[Callable[[str], None]]:
    """A spinner on stderr with the latest news, for a person who waits; piped, nothing.

    Args:
        what: What is waited for, until there is news.
    """
    if not somebody_is_looking():
        yield lambda news: None
        return
    from rich.console import Console

    with Console(stderr=True).status(what) as shown:
        yield shown.update
