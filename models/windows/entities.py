"""Finds memory for the blocks of a bounded number of entities, for the compiled code that fills them."""

from typing import NamedTuple

import numpy as np

from models.windows import compiled
from models.windows.blocks import (
    FILLED,
    FORGOTTEN,
    GONE,
    HELD,
    LATE,
    LIMIT,
    LIVE,
    LOST,
    MARK,
    NEWEST,
    NONE,
    OLDEST,
    OPEN,
    OPEN_END,
    SEGMENT,
    TOUCHED,
    WORDS,
    Memory,
    Store,
)
from models.windows.plan import Layout, WindowsError

FREE_SHARE = 0.1  # of the memory that may lie idle before a segment is swept
MOST_WORDS = 1 << 31  # a block is found by 32 bits: 16 GiB
GONE_KEYS = 4096


class HeldFigures(NamedTuple):
    """What a worker says of its windows.

    Attributes:
        entities: Held.
        forgotten: Entities forgotten, because there were more than are held.
        bytes: Of memory.
        late: Events before the newest of their entity.
        lost: Late events of which a hop was no longer held.
    """

    entities: int
    forgotten: int
    bytes: int
    late: int
    lost: int


class Entities:
    """The blocks of at most `max_entities` entities of one layout.

    Attributes:
        layout: Of the blocks.
        store: For the compiled code. Another one after `make_room`.
        rooms: int64 [sections], where the compiled code reckons.
    """

    def __init__(self, layout: Layout, max_entities: int) -> None:
        self.layout = layout
        self.rooms = np.zeros(len(layout.plan.rings) + len(layout.plan.lists), np.int64)
        self._longs = np.zeros(2 * SEGMENT, np.int64)
        self._spare = 1
        self._gone: list[np.ndarray] = []
        counters = np.zeros(TOUCHED + 1, np.int64)
        counters[[LIMIT, OPEN_END]] = max_entities, SEGMENT
        counters[[NEWEST, OLDEST, MARK]] = NONE
        self.store = Store(
            memory=Memory.of(self._longs),
            segments=np.zeros((2, 2), np.int64),
            keys=np.zeros(max_entities, np.int64),
            links=np.zeros((max_entities, 3), np.int32),
            table=np.zeros(1 << (max_entities * 3 // 2).bit_length(), np.int32),
            gone=np.zeros(GONE_KEYS, np.int64),
            counters=counters,
        )

    @property
    def figures(self) -> HeldFigures:
        """Since this object was made."""
        c, store = self.store.counters, self.store
        beside = int(c[HELD]) * (store.keys.itemsize + 3 * store.links.itemsize) + store.table.nbytes
        return HeldFigures(int(c[HELD]), int(c[FORGOTTEN]), self._longs.nbytes + beside, int(c[LATE]), int(c[LOST]))

    def make_room(self) -> None:
        """Find room for any one block: in a segment that is swept, or in a new one.

        Raises:
            WindowsError: there is none left.
        """
        store, c = self.store, self.store.counters
        if c[GONE] == store.gone.size:
            self._note_gone()
            return
        store.segments[(c[OPEN_END] - 1) // SEGMENT, FILLED] = c[OPEN] - (c[OPEN_END] - SEGMENT)
        live = store.segments[:, LIVE].copy()
        live[self._spare] = SEGMENT
        emptiest, used = int(live.argmin()), (len(live) - 1) * SEGMENT
        if used - c[WORDS] > FREE_SHARE * used and live[emptiest] + self.layout.most_words <= SEGMENT:
            self._open(self._spare)
            compiled.sweep(store, emptiest)
            self._spare = emptiest
        else:
            self._grow()
            self._open(len(live))

    def gone(self) -> np.ndarray:
        """Keys forgotten since the last call that have not come back, once a checkpoint has been taken."""
        self._note_gone()
        keys = np.unique(np.concatenate(self._gone))
        back = np.zeros(keys.size, np.bool_)
        compiled.held(self.store, keys, back)
        self._gone.clear()
        return keys[~back]

    def _note_gone(self) -> None:
        c = self.store.counters
        self._gone.append(self.store.gone[: c[GONE]].copy())
        c[GONE] = 0

    def _open(self, segment: int) -> None:
        c = self.store.counters
        c[OPEN], c[OPEN_END] = segment * SEGMENT, (segment + 1) * SEGMENT

    def _grow(self) -> None:
        """One segment more. The memory may move, so every view of it is made anew."""
        if self._longs.size + SEGMENT > MOST_WORDS:
            raise WindowsError("the windows of one partition need more than 16 GiB: lower the bound on entities")
        segments = np.vstack([self.store.segments, np.zeros((1, 2), np.int64)])
        rest = self.store._replace(memory=None, segments=segments)  # type: ignore[arg-type]
        del self.store
        self._longs.resize(self._longs.size + SEGMENT, refcheck=False)
        self.store = rest._replace(memory=Memory.of(self._longs))
