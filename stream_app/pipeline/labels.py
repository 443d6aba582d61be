"""What has become of events, as far as it is known: the last word on each counts in windows over labels, once.

A label counts in the hop of its event, from when it arrives here. Training counts every label that is older than the
window's `delay`, so both see the same where labels arrive within that time. One at a shop, or of a card, that is not
known to have had an event on that day waits until it is: it may be a mistake, or a partition lags.
"""

import heapq
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.windows.keys import MISSING, keys_of
from models.windows.view import TotalsView
from schemas.scoring import Label

NO_TIME, NO_ENTITY, UNKNOWN = "no_time", "no_entity", "unknown"
LEAST_PRUNED = 10_000
SLACK_US = 86_400_000_000
NEVER = -(1 << 62)


class Word(NamedTuple):
    """A fraud: when its event was, in microseconds, and for each view whose it was."""

    us: int
    keys: tuple[int, ...]


class Labels:
    """The frauds among the events that windows reach, each once.

    Args:
        paths: Path of the entity of each view.
        entity: Path of the entity of the decision.
        views: Where labels count.
        reach_s: Of the windows.

    Attributes:
        left_out: How many frauds count nowhere, or not in some windows, by reason.
    """

    def __init__(self, paths: Sequence[str], entity: str, views: Sequence[TotalsView], reach_s: int) -> None:
        self._paths = paths
        self._entity = entity
        self._views = views
        self._reach_us = reach_s * 1_000_000
        self._words: dict[str, Word] = {}
        self._early: list[tuple[int, str, Word]] = []  # a heap: events whose hops are not over yet
        self._changes: list[tuple[Word, float]] = []
        self._unknown: dict[str, Word] = {}
        self._judged_at = -1  # so many totals had been taken; -1: some were never looked at
        self._counted_until = NEVER
        self._prune_at = LEAST_PRUNED
        self.left_out: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._words)

    @property
    def unknown(self) -> int:
        """How many frauds wait for an event of their shop and card on their day."""
        return len(self._unknown)

    def hear(self, label: Label) -> None:
        """Take in a label; `count` makes it visible."""
        word, before = self._word(label), self._words.get(label.event_id)
        if word == before:
            return
        if before is not None:
            del self._words[label.event_id]
            if self._unknown.pop(label.event_id, None) is None and before.us < self._counted_until:
                self._changes.append((before, -1.0))
        if word is not None:
            self._words[label.event_id] = word
            if word.us < self._counted_until:
                self._unknown[label.event_id], self._judged_at = word, -1
            else:
                heapq.heappush(self._early, (word.us, label.event_id, word))

    def count(self) -> None:
        """Count what was heard, of events whose hops are over."""
        until = min(NEVER if view.newest_us is None else view.newest_us for view in self._views)
        while self._early and self._early[0][0] < until:
            _, event_id, word = heapq.heappop(self._early)
            if self._words.get(event_id) is word:  # it has not been taken back
                self._unknown[event_id], self._judged_at = word, -1
        self._counted_until = max(until, self._counted_until)
        taken = sum(view.taken for view in self._views)
        if self._unknown and taken != self._judged_at:
            self._judge()
            self._judged_at = taken
        if not self._changes:
            return
        keys, times = _columns([word for word, _ in self._changes])
        changes = np.array([change for _, change in self._changes])
        for column, view in enumerate(self._views):
            there = keys[:, column] != MISSING
            view.add_labels(keys[there, column], times[there], changes[there])
        self._changes = []
        if len(self._words) >= self._prune_at:
            self._prune()

    def _judge(self) -> None:
        """Which of the unknown count by now."""
        keys, times = _columns([*self._unknown.values()])
        known = np.ones(len(keys), dtype=bool)
        for column, view in enumerate(self._views):
            known &= (keys[:, column] == MISSING) | view.had_events(keys[:, column], times)
        for event_id, is_known in zip([*self._unknown], known.tolist(), strict=True):
            if is_known:
                self._changes.append((self._unknown.pop(event_id), 1.0))

    def _word(self, label: Label) -> Word | None:
        """None where the event is legitimate, or cannot be placed."""
        if not label.fraud:
            return None
        if label.event_time is None:
            self.left_out[NO_TIME] += 1
            return None
        own = {self._entity: label.entity} if label.entity is not None else {}
        known = own | label.entities
        keys = keys_of([known.get(path) for path in self._paths])
        self.left_out[NO_ENTITY] += int((keys == MISSING).any())
        return Word(round(label.event_time.timestamp() * 1e6), tuple(keys.tolist()))

    def _prune(self) -> None:
        """Forget events that no window reaches."""
        oldest = self._counted_until - self._reach_us - SLACK_US
        unknown = {event_id: word for event_id, word in self._unknown.items() if word.us >= oldest}
        self.left_out[UNKNOWN] += len(self._unknown) - len(unknown)
        self._unknown = unknown
        self._words = {event_id: word for event_id, word in self._words.items() if word.us >= oldest}
        self._prune_at = max(2 * len(self._words), LEAST_PRUNED)


def _columns(words: Sequence[Word]) -> tuple[np.ndarray, np.ndarray]:
    """Keys, int64 [words, views], and times, int64 [words]."""
    return np.array([word.keys for word in words], np.int64), np.array([word.us for word in words], np.int64)
