"""One client for many topics: the records of a tail are handed to the readers of their topics."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from schemas.topics import Topic
from stream_app.kafka.clients import BrokerUnavailable
from stream_app.kafka.log import Record, Tail
from stream_app.kafka.topics import name
from stream_app.settings import Settings

QUIET_S = 0.25  # a record ends the wait at once; this is how soon a reader is called again where none comes
CATCHING_UP_S = 0.02
SILENCE_S = 30.0

Reader = Callable[[Sequence[Record], bool], None]
"""Takes the new records of a topic, often none, and whether they were written after the tail was opened."""


class Dispatch:
    """Follows a tail, and calls every reader in each step. Not for several threads.

    Args:
        settings: Names of the topics.
        tail: Follows all of them.
        readers: Topic and reader; several may read one topic.
    """

    def __init__(self, settings: Settings, tail: Tail, readers: Sequence[tuple[Topic, Reader]]) -> None:
        self._settings = settings
        self._tail = tail
        self._readers = [(name(settings, topic), reader) for topic, reader in readers]

    def step(self, timeout_s: float = QUIET_S) -> bool:
        """Wait for records, and hand them on.

        Returns:
            Whether anything came.

        Raises:
            BrokerError: waiting will not help.
        """
        caught_up = {topic: self._tail.has_read(topic) for topic, _ in self._readers}
        records: Mapping[str | None, list[Record]] = defaultdict(list)
        for record in self._tail.poll(timeout_s if self._tail.caught_up else CATCHING_UP_S):
            records[record.topic()].append(record)
        for topic, reader in self._readers:
            reader(records.get(topic, ()), caught_up[topic])
        return bool(records)

    def catch_up(self) -> None:
        """Read what was there when the tail was opened.

        Raises:
            BrokerUnavailable: nothing came for `SILENCE_S`, and the end is not reached.
        """
        heard = time.monotonic()
        while not self._tail.caught_up:
            heard = time.monotonic() if self.step() else heard
            if time.monotonic() - heard > SILENCE_S:
                raise BrokerUnavailable(
                    f"Kafka at {self._settings.bootstrap_servers} fell silent while "
                    f"{', '.join(dict.fromkeys(topic for topic, _ in self._readers))} was read: "
                    "look at the broker, and try again"
                )
        self.step(0.0)

    def close(self) -> None:
        """Let the connections go."""
        self._tail.close()
