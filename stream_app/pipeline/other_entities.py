"""What is known of entities whose events stand in every partition, and of labels: the views that windows are read from.

Both come from topics that every worker reads: totals of hops that are over, by all partitions, and labels.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from models.windows.entities import HeldFigures
from models.windows.keys import keys_of_numbers
from models.windows.totals import HopTotals
from models.windows.view import TotalsView
from schemas.definition import LABEL, Window
from stream_app.pipeline.batch import Past
from stream_app.pipeline.labels import Labels


class Group(NamedTuple):
    """The windows of one other entity.

    Attributes:
        path: Of the entity.
        windows: In order.
        places: Of these among all windows of the definition.
    """

    path: str
    windows: Sequence[Window]
    places: Sequence[int]


class OtherEntities:
    """The other entities of one definition.

    Args:
        groups: Their windows.
        entity: Path of the entity of the decision.
        max_entities: So many are held of each.
        reach_s: How far back the windows look.

    Attributes:
        groups: Their windows.
        views: One for each.
        labels: None: no window looks at any.
    """

    def __init__(self, groups: Sequence[Group], entity: str, max_entities: int, reach_s: int) -> None:
        self.groups = groups
        self.views = [TotalsView(group.windows, max_entities, ()) for group in groups]
        self._numbers = [view.layout.numbers for view in self.views]
        hears = [place for place, numbers in enumerate(self._numbers) if LABEL in numbers]
        paths, views = [groups[place].path for place in hears], [self.views[place] for place in hears]
        self.labels = Labels(paths, entity, views, reach_s) if hears else None

    @property
    def figures(self) -> HeldFigures:
        """Of all views."""
        return HeldFigures(*(sum(column) for column in zip(*(view.figures for view in self.views), strict=True)))

    @property
    def incomplete(self) -> int:
        """Events that were looked up when a partition had not published all that they look at, once for each entity."""
        return sum(view.incomplete for view in self.views)

    @property
    def newest(self) -> int | None:
        """The newest time by which some partition has published that a hop is over, microseconds; None before."""
        return max((view.newest_us for view in self.views if view.newest_us is not None), default=None)

    def expect(self, partitions: Iterable[int]) -> None:
        """These are the partitions of the input."""
        partitions = list(partitions)
        for view in self.views:
            view.expect(partitions)

    def has(self, partition: int, totals: Sequence[HopTotals]) -> bool:
        """Whether everything that a partition has published has been read."""
        return all(view.has(partition, own.over) for view, own in zip(self.views, totals, strict=True))

    def look(self, past: Past, values: np.ndarray) -> None:
        """Fill in the windows of events.

        Args:
            past: Of m events.
            values: float32 [m, windows of the definition], of which those of other entities are written.
        """
        for group, view in zip(self.groups, self.views, strict=True):
            values[:, group.places] = view.look(keys_at(past.columns, group.path), past.times)

    def columns(self, past: Past, rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """What `HopTotals` counts of some events, of each entity; no event is labelled when it comes."""
        nothing = np.zeros(len(rows))
        found = []
        for group, numbers in zip(self.groups, self._numbers, strict=True):
            columns = [nothing if path == LABEL else past.columns[path][rows] for path in numbers]
            side_by_side = np.stack(columns, axis=1) if columns else np.empty((len(rows), 0))
            found.append((keys_at(past.columns, group.path)[rows], side_by_side))
        return found


def keys_at(columns: Mapping[str, np.ndarray], path: str) -> np.ndarray:
    """The identities at a path, int64 [m]: of numbers where a window calculates with these, too."""
    column = columns[path]
    return keys_of_numbers(column) if column.dtype == np.float64 else column
