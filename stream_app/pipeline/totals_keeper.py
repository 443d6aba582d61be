"""Keeps what windows know of other entities: reads what all workers publish, and publishes its own partitions' part."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from stream_app.pipeline.clock import Clock
from stream_app.pipeline.enrich import Windows
from stream_app.pipeline.session import Session
from stream_app.pipeline.totals_reader import TotalsReader
from stream_app.pipeline.window_records import CUT, TotalsRecord, prefix

if TYPE_CHECKING:
    from stream_app.pipeline.partition_windows import PartitionWindows


class TotalsKeeper:
    """The other entities of all windows of one session.

    Args:
        session: Its logs and its emitter.
        clock: The time.
    """

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._input = session.input
        self._clock = clock
        self._readers: dict[bytes, TotalsReader] = {}
        self._known: set[tuple[bytes, int]] = set()
        self._input_partitions = self._topic_partitions = 0

    def turn(self, wanted: Sequence[Windows], budget_s: float) -> None:
        """Read what has come, for so long.

        Raises:
            SessionLost: the logs cannot be read.
        """
        used = {windows.fingerprint: windows for windows in wanted if windows.have_others}
        for fingerprint in [fingerprint for fingerprint in self._readers if fingerprint not in used]:
            self._readers.pop(fingerprint).close()
        there = {(fingerprint, partition) for fingerprint, windows in used.items() for partition in windows.states}
        self._known &= there
        for fingerprint, windows in used.items():
            if fingerprint not in self._readers:
                others = windows.meet_others()
                others.expect(range(self._input_partitions))
                self._readers[fingerprint] = TotalsReader(windows, others, self._session.follow, self._clock.now())
            reader = self._readers[fingerprint]
            reader.turn(self._clock.monotonic() + budget_s, self._clock.monotonic)
            if reader.caught_up:
                read_back = (p for p, state in windows.states.items() if self._has_read_back(windows, p, state))
                self._known.update((fingerprint, partition) for partition in read_back)

    def built(self, windows: Windows, partitions: Mapping[str, int]) -> None:
        """Windows of a partition have been built; by then these topics had so many partitions."""
        if windows.others is not None:
            self._input_partitions = partitions[self._session.logs.input]
            self._topic_partitions = partitions[self._session.logs.totals]
            windows.others.expect(range(self._input_partitions))

    def are_known(self, windows: Windows, partition: int) -> bool:
        """Whether the past of a partition is known, and what it has published has been read back once."""
        if partition not in windows.states:
            return False
        return not windows.have_others or (windows.fingerprint, partition) in self._known

    def are_due(self, wanted: Iterable[Windows]) -> bool:
        """Whether something is to be published."""
        return any(
            state.is_due(self._quiet_at(windows, partition))
            for windows in wanted
            for partition, state in self._here(windows)
        )

    def publish(self, wanted: Iterable[Windows]) -> list[int]:
        """Put it into the transaction; of which partitions there was something."""
        published: list[int] = []
        for windows in wanted:
            for partition, state in self._here(windows):
                begin, offset = prefix(windows.fingerprint, partition), CUT.pack(windows.reached[partition])
                records = [
                    TotalsRecord(partition, begin + bytes([entity]), offset + record)
                    for entity, record in state.finished(self._quiet_at(windows, partition))
                ]
                if records:
                    self._session.emitter.window_totals(records, self._topic_partitions)
                    published.append(partition)
        return published

    def close(self) -> None:
        """Let the connections go."""
        while self._readers:
            self._readers.popitem()[1].close()

    def _here(self, windows: Windows) -> list[tuple[int, "PartitionWindows"]]:
        """States of partitions that are this worker's: one that it has just given away is another's to publish."""
        if windows.others is None:
            return []
        positions = self._input.positions
        return [(p, state) for p, state in windows.states.items() if positions.get(p) == windows.reached[p]]

    @staticmethod
    def _has_read_back(windows: Windows, partition: int, state: "PartitionWindows") -> bool:
        others = windows.others
        return others is not None and not state.is_due(None) and others.has(partition, state.totals)

    def _quiet_at(self, windows: Windows, partition: int) -> int | None:
        """The newest time that is known of any partition, where this one has nothing that is not counted."""
        if windows.others is None or not self._input.is_quiet(partition):
            return None
        newest = [state.newest for state in windows.states.values()]
        return max((at for at in (*newest, windows.others.newest) if at is not None), default=None)
