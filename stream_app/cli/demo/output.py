"""Output of the demo: numbered steps with their times, indented lines, a table of figures; plain text in a pipe."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.table import Table


class StoryError(Exception):
    """A step of the story did not happen; the message says which and what was seen instead."""


class StepOutput:
    """Prints a known number of steps to stdout."""

    def __init__(self, steps: int) -> None:
        self.console = Console(highlight=False)
        self._steps = steps
        self._step = 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step: its title before, its time after."""
        self._step += 1
        self.console.print(f"\n[bold]{self._step:>2}/{self._steps}  {title}[/bold]")
        started = time.monotonic()
        yield
        self.console.print(f"       [dim]{time.monotonic() - started:.1f} s[/dim]")

    def line(self, text: str) -> None:
        """One line of a step. Text from events is shown as it is, never as markup."""
        self.console.print(f"       {escape(text)}", soft_wrap=True)

    def table(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Two columns: what, and how much."""
        shown = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
        shown.add_column()
        shown.add_column(justify="right")
        for what, value in rows:
            shown.add_row(what, value)
        self.console.print()
        self.console.print(shown)

    def metrics(self, rows: dict[str, tuple[float, float, float]]) -> None:
        """Quality of a model beside its baselines."""
        shown = Table(box=None, padding=(0, 2), header_style="dim")
        shown.add_column("", min_width=16)
        for heading in ("AUC ROC", "average precision", "card precision@100"):
            shown.add_column(heading, justify="right")
        for name, figures in rows.items():
            shown.add_row(name, *(f"{figure:.3f}" for figure in figures))
        self.console.print(shown)
