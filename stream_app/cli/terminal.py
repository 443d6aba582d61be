"""Stdout carries data, stderr is for people: JSON, tables, and progress bars only where a terminal shows them."""

import re
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:  # what draws takes a tenth of a second to import, and many commands draw nothing
    from rich.console import Console
    from rich.table import Table

PIPED_WIDTH = 240
SEVERITIES = {"critical": "red", "high": "yellow", "warning": "yellow", "medium": "cyan", "info": "cyan"}
_COLOURS = {"red": 31, "green": 32, "yellow": 33, "cyan": 36}
_SEVERITY = re.compile(rf"(?<=  )(?:{'|'.join(SEVERITIES)})(?= |$)")

Advance = Callable[[float], None]
"""Called with how much is done so far, in the unit of the total."""


def say(line: str) -> None:
    """A line for a person, on stderr."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def out(line: str) -> None:
    """A line of data, on stdout."""
    print(line, flush=True)  # noqa: T201


def good(text: str) -> str:
    """In green, where stdout is a terminal."""
    return _coloured(text, "green")


def bad(text: str) -> str:
    """In red, where stdout is a terminal."""
    return _coloured(text, "red")


def severities(line: str) -> str:
    """The line with its severity in colour, where stdout is a terminal."""
    return _SEVERITY.sub(lambda found: _coloured(found[0], SEVERITIES[found[0]]), line)


def _coloured(text: str, colour: str) -> str:
    """With NO_COLOR in the environment nothing has a colour."""
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if _has_colours() else text


@cache
def _has_colours() -> bool:
    from rich.console import Console

    return Console().color_system is not None


def out_json(value: Any) -> None:
    """One JSON document, indented, on stdout. Datetimes become RFC 3339; structs and dataclasses become objects."""
    out(msgspec.json.format(msgspec.json.encode(value, enc_hook=_from_numpy), indent=2).decode())


def is_interactive() -> bool:
    """Whether both streams are a terminal: nothing is piped."""
    return sys.stdout.isatty() and sys.stderr.isatty()


@contextmanager
def progress(what: str, total: float) -> Iterator[Advance]:
    """A progress bar on stderr, or nothing at all when output is piped.

    Args:
        what: What is being done, in a word or two.
        total: How much there is.
    """
    if not is_interactive():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=int(done))


@contextmanager
def waiting(what: str) -> Iterator[Callable[[str], None]]:
    """A spinner on stderr with the latest news, for a person who waits; piped, nothing.

    Args:
        what: What is waited for, until there is news.
    """
    if not is_interactive():
        yield lambda news: None
        return
    from rich.console import Console

    with Console(stderr=True).status(what) as shown:
        yield shown.update


def console() -> "Console":
    """Where tables go: as wide as the terminal; piped, so wide that nothing is cut."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            """A reader that has gone is no failure, as everywhere in the program; rich would end it with 1."""
            raise BrokenPipeError

    return Piped(width=None if sys.stdout.isatty() else PIPED_WIDTH)


def table(*headings: str, right: Collection[str] = ()) -> "Table":
    """An empty table without a frame; the columns named in `right` hold figures."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False)
    for heading in headings:
        made.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    return made


def figure(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def _from_numpy(value: Any) -> Any:
    return value.tolist()


def say_unlogged(error: Exception) -> None:
    """A training goes on without the registry, which is said before it takes its time."""
    say(f"this training will not be logged, nor its model registered: {error}")
