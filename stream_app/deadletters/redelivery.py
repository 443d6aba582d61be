"""Dead letters back onto the input: each at most once, however often the command is killed and run again.

A chunk of them and the record that names them are one transaction. Whoever begins anew first takes the
transactional id, which ends what a predecessor left open, and only then reads what went back.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.errors import UserError
from schemas.scoring import DeadLetter, Redelivered
from schemas.topics import REDELIVERIES, TRANSACTIONS
from stream_app.deadletters.replayed import Replayed, places
from stream_app.kafka import clients, topics
from stream_app.kafka.clients import explain
from stream_app.kafka.roles import REDELIVERING
from stream_app.settings import Settings

CHUNK = 500
TIMES_HEADER, ID_HEADER = "dead-letter-replays", "dead-letter-id"
TIMES_MOST = 3  # a record that was refused so often is refused again
PATIENCE_S = 30.0
_FENCED = {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}


class Left(StrEnum):
    """Why a dead letter does not go back."""

    BEFORE = "went back before"
    CUT = "larger than a record may be, so that only its head is kept"
    AGAIN = f"went back {TIMES_MOST} times and was refused each time"
    NOT_GIVEN = "not in the file of values"


class Return(NamedTuple):
    """A dead letter on its way back, with the value that it goes back with."""

    letter: DeadLetter
    value: bytes | None


@dataclass
class Choice:
    """Decides of each dead letter whether it goes back.

    Attributes:
        replayed: Those that did.
        values: Id to mended value; None: all go back as they were.
        left: How many do not, and why.
    """

    replayed: Replayed
    values: Mapping[str, bytes | None] | None = None
    left: Counter[Left] = field(default_factory=Counter)

    def of(self, letters: Iterable[DeadLetter]) -> Iterator[Return]:
        """Those that go back."""
        for letter in letters:
            why = self._why_not(letter)
            if why is None:
                yield Return(letter, letter.value if self.values is None else self.values[letter.dead_letter_id])
            else:
                self.left[why] += 1

    def _why_not(self, letter: DeadLetter) -> Left | None:
        if letter in self.replayed:
            return Left.BEFORE
        if self.values is not None and letter.dead_letter_id not in self.values:
            return Left.NOT_GIVEN
        if self.values is None and letter.value is not None and len(letter.value) < letter.value_size:
            return Left.CUT
        return Left.AGAIN if times(letter) >= TIMES_MOST else None


def times(letter: DeadLetter) -> int:
    """How often the record went back before it was refused this time."""
    told = dict(letter.headers).get(TIMES_HEADER) or b""
    return int(told) if told.isdigit() and len(told) < 4 else 0


class Redelivery:
    """Sends dead letters back. One at a time for an installation: a second one ends the first.

    Args:
        settings: Where the cluster is.
        actor: Who does it, for the record.
        reason: Why.

    Raises:
        BrokerError: the cluster does not answer, or refuses.
    """

    def __init__(self, settings: Settings, actor: str, reason: str) -> None:
        self._settings, self._actor, self._reason = settings, actor, reason
        self._record, self._input = (topics.name(settings, topic) for topic in (REDELIVERIES, TRANSACTIONS))
        name = {"transactional.id": f"{settings.group}{REDELIVERING}"}
        self._producer: Producer = clients.producer(settings, **clients.small_writer(settings), **name)
        try:
            self._partitions = len(self._producer.list_topics(self._input, PATIENCE_S).topics[self._input].partitions)
            self._producer.init_transactions(PATIENCE_S)
        except KafkaException as exception:
            raise self._explained(exception) from exception

    def send(self, returns: Iterable[Return]) -> Iterator[int]:
        """Send them, and yield how many are on the input after each chunk.

        Raises:
            UserError: another one of these took over; what it sent is sent, the rest is not.
            BrokerError: as above.
        """
        sent, pending = 0, iter(returns)
        while chunk := list(islice(pending, CHUNK)):
            try:
                self._send(chunk)
            except KafkaException as exception:
                raise self._explained(exception) from exception
            sent += len(chunk)
            yield sent

    def _send(self, chunk: Sequence[Return]) -> None:
        self._producer.begin_transaction()
        for returned in chunk:
            self._produce(returned)
        named = places(returned.letter for returned in chunk)
        record = Redelivered(datetime.now(UTC), self._actor, self._reason, named)
        self._producer.produce(self._record, msgspec.json.encode(record), self._actor.encode())
        self._producer.commit_transaction(PATIENCE_S)

    def _produce(self, returned: Return) -> None:
        letter = returned.letter
        own = {TIMES_HEADER: str(times(letter) + 1).encode(), ID_HEADER: letter.dead_letter_id.encode()}
        headers: list[tuple[str, str | bytes | None]] = [*own.items()]
        headers += [(name, value) for name, value in letter.headers if name not in own]
        at = 0 if letter.produced_at is None else int(letter.produced_at.timestamp() * 1000)
        # Where its producer sent it, and its entity's other events are; -1: by its key
        where = letter.source.partition if letter.source.partition < self._partitions else -1
        while True:
            try:
                self._producer.produce(
                    self._input, returned.value, letter.key, partition=where, timestamp=at, headers=headers
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def _explained(self, exception: KafkaException) -> UserError:
        if exception.args[0].code() in _FENCED:
            return UserError("another `deadletters replay` began and took over: see what it does, then run this again")
        return explain(exception, self._settings, self._input)
