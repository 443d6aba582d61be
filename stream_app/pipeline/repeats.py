"""Counts ids that come a second time: a producer that retries without idempotence sends one event twice.

They are counted and not suppressed (decision 38): each is a record of its own place, scored like any other.
"""

from collections.abc import Sequence

KEPT = 16_000  # ids in each of two generations: some 3 MB together


class Repeats:
    """The latest ids of one session, between one and two times `KEPT` of them."""

    def __init__(self) -> None:
        self._young: set[str] = set()
        self._old: set[str] = set()

    def count(self, ids: Sequence[str]) -> int:
        """How many of a micro-batch were there before, in it or in those before it."""
        from_old = self._old.intersection(ids)
        from_old -= self._young  # empty as a rule
        known = len(self._young)
        self._young.update(ids)
        repeated = len(ids) - (len(self._young) - known) + len(from_old)
        if len(self._young) > KEPT:
            self._old, self._young = self._young, set()
        return repeated
