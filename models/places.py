"""Which segment a text is in: read by the stream and by training, so it loads nothing that computes a model."""

from collections.abc import Iterable
from zlib import crc32


class Places:
    """Finds the segment of a value.

    Args:
        groups: As of the manifest.
        watched: Values, or numbers of groups.
    """

    def __init__(self, groups: int, watched: Iterable[str]) -> None:
        self._groups = groups
        self._numbers = {int(value) if groups else value: number for number, value in enumerate(watched, start=1)}

    def of(self, value: str) -> int:
        """Its number, which counts from 1; 0: it is in none, as an empty value always is."""
        if not value:
            return 0
        return self._numbers.get(crc32(value.encode()) % self._groups if self._groups else value, 0)
