"""The windows over the entity of the decision, computed event by event in the order of a partition's log."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from models.windows import compiled
from models.windows.blocks import BLOCK, HELD, MARK, NEWEST, NO_EVENT, NONE, POSITION, Memory
from models.windows.compiled import Batch, plain
from models.windows.entities import Entities, HeldFigures
from models.windows.plan import MOST_TIME, Layout, WindowsError
from schemas.definition import Window

VERSION = 1  # of a record of a checkpoint
KEY = ">i8"
KINDS = (np.int64, np.int64, np.int64, np.float64, np.int64)  # of the columns of a batch


class WindowState:
    """What is held of the entities of one partition."""

    def __init__(self, windows: Sequence[Window], max_entities: int) -> None:
        """Begin without a past.

        Args:
            windows: In the order of the columns of the result, all of one entity.
            max_entities: So many are held; the one seen longest ago is forgotten.

        Raises:
            WindowsError: they cannot be computed.
        """
        self.layout = Layout(windows)
        self._entities = Entities(self.layout, max_entities)
        self._stamp = VERSION << 32 | self.layout.fingerprint

    @property
    def figures(self) -> HeldFigures:
        """How many are held, forgotten, late."""
        return self._entities.figures

    def step(self, batch: Batch) -> np.ndarray:
        """Compute the windows of each event from the events before it, then count it.

        Args:
            batch: The next events of the log, cut anywhere.

        Returns:
            float32 [events, windows], NaN where missing.
        """
        batch = Batch(*(plain(column, kind) for column, kind in zip(batch, KINDS, strict=True)))
        if batch.times.size and not -MOST_TIME < batch.times.min() <= batch.times.max() < MOST_TIME:
            raise ValueError("an event of an impossible time: they are refused before windows see them")
        held, plan, first = self._entities, self.layout.plan, 0
        out = np.empty((batch.keys.size, self.layout.columns), np.float32)
        while (first := compiled.step(held.store, plan, batch, first, out, held.rooms)) < batch.keys.size:
            held.make_room()
        return out

    def changed(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as it is now; the first time all.

        Returns:
            Key and record of each entity; None for a record where it was forgotten.
        """
        held, plan = self._entities, self.layout.plan
        c = held.store.counters
        count, words = compiled.measure(held.store, plan, c[MARK] if c[MARK] >= 0 else NO_EVENT, held.rooms)
        keys, ends, content = np.empty(count, np.int64), np.empty(count, np.int64), np.zeros(words, np.int64)
        compiled.write(held.store, plan, self._stamp, keys, ends, Memory.of(content), held.rooms)
        gone = held.gone()
        self._mark()
        return _cut(keys, ends, content, gone)

    def restore(self, records: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take up what `changed` gave, in that order, by whichever process. Only at the beginning.

        Raises:
            WindowsError: a record is none of these windows; nothing is restored.
        """
        self.overlay(records)
        self._mark()

    def overlay(self, records: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Put records of this place in the log over what is held of their entities; they count as changed.

        Raises:
            WindowsError: a record is none of these windows; nothing is taken.
        """
        latest = {key: record for key, record in dict(records).items() if record is not None}
        lengths = np.fromiter(map(len, latest.values()), np.int64, len(latest))
        if (lengths % 8).any() or any(len(key) != np.dtype(KEY).itemsize for key in latest):
            raise WindowsError(UNSOUND)
        keys = np.frombuffer(b"".join(latest), KEY).astype(np.int64)
        content = Memory.of(np.frombuffer(bytearray().join(latest.values()), np.int64))
        ends = lengths.cumsum() // 8
        starts = ends - lengths // 8
        if compiled.first_unsound(self.layout.plan, self._stamp, starts, ends, content) != NONE:
            raise WindowsError(UNSOUND)
        order = np.argsort(content.longs[starts + POSITION], kind="stable")
        held, first = self._entities, 0
        while (
            first := compiled.restore(
                held.store, self.layout.plan, keys[order], starts[order], content, first, held.rooms
            )
        ) < keys.size:
            held.make_room()

    def _mark(self) -> None:
        """What is seen from here on has changed."""
        store = self._entities.store
        if store.counters[HELD]:
            newest = store.links[store.counters[NEWEST], BLOCK]
            store.counters[MARK] = store.memory.longs[newest + POSITION] + 1


UNSOUND = "the window state holds a record that was not written for these windows: remove the records, or warm up anew"


def _cut(
    keys: np.ndarray, ends: np.ndarray, content: np.ndarray, gone: np.ndarray
) -> Iterator[tuple[bytes, bytes | None]]:
    whole, start = content.data.cast("B"), 0
    for key, end in zip(_names(keys), (ends * 8).tolist(), strict=True):
        yield key, bytes(whole[start:end])
        start = end
    for key in _names(gone):
        yield key, None


def _names(keys: np.ndarray) -> Iterator[bytes]:
    content = keys.astype(KEY).tobytes()
    return (content[at : at + 8] for at in range(0, len(content), 8))
