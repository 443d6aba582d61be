"""Input from transactional producers: what is committed is scored once, what is aborted never, markers count."""

import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition

from schemas import topics as declared
from schemas.scoring import RefusalCode
from schemas.topics import DEAD_LETTERS, SCORES, TRANSACTIONS
from stream_app.kafka import clients, topics
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Settings
from stream_app.testing.tiny_model import tiny_model
from stream_app.verify.cluster import verify
from tests.traffic import committed_offsets, committed_records
from tests.workers import Worker, running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

Wait = Callable[..., None]
PARTITIONS = (0, 1)


class Bank:
    """A producer that writes transactions in transactions, to both partitions, some records of each bad."""

    def __init__(self, settings: Settings) -> None:
        self._topic = topics.name(settings, TRANSACTIONS)
        self._producer: Producer = clients.producer(settings, **{"transactional.id": f"{settings.app_id}-bank"})
        self._producer.init_transactions(30)
        self._numbers = itertools.count()
        self.committed: list[str] = []
        self.committed_bad = 0

    def open(self, good: int, bad: int = 0) -> list[str]:
        """Begin a transaction with so many records for each partition, and see them written. Returns the good ones."""
        self._producer.begin_transaction()
        ids = [str(next(self._numbers)) for _ in PARTITIONS for _ in range(good)]
        self._write(json.dumps(_transaction(number)).encode() for number in ids)
        self._write(b"bad" for _ in PARTITIONS for _ in range(bad))
        assert self._producer.flush(30) == 0
        return ids

    def commit(self, good: int, bad: int = 0) -> None:
        """A whole transaction."""
        ids = self.open(good, bad)
        self._producer.commit_transaction(30)
        self.committed += ids
        self.committed_bad += bad * len(PARTITIONS)

    def send_again(self, ids: list[str]) -> None:
        """The same events to the same partitions, as a producer that has not heard whether they arrived."""
        self._producer.begin_transaction()
        self._write(json.dumps(_transaction(number)).encode() for number in ids)
        self._producer.commit_transaction(30)

    def close(self, ids: list[str]) -> None:
        """Commit what was opened."""
        self._producer.commit_transaction(30)
        self.committed += ids

    def abort(self, good: int, bad: int = 0) -> None:
        """A whole transaction, in vain."""
        self.open(good, bad)
        self._producer.abort_transaction(30)

    def _write(self, values: Iterable[bytes]) -> None:
        for value, partition in zip(values, itertools.cycle(PARTITIONS), strict=False):
            self._producer.produce(self._topic, value, b"key", partition)


def _transaction(number: str) -> dict[str, object]:
    return {"transaction_id": number, "event_time": "2018-07-25T00:00:31Z", "customer_id": "c", "amount": 1.0}


@pytest.fixture
def stream(settings: Settings, tmp_path: Path) -> Settings:
    topics.ensure(settings, declared.ALL)
    tiny_model(tmp_path / "1.pt", "1")
    commands.deploy(settings, Order("test", timeout_s=0), tmp_path / "1.pt")
    return settings.model_copy(update={"publish_scores": True})


def ends(settings: Settings) -> int:
    """High watermarks of the input, summed: records, aborted records and markers."""
    reader = clients.consumer(settings, None)
    topic = topics.name(settings, TRANSACTIONS)
    high = sum(reader.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in PARTITIONS)
    reader.close()
    return high


def scored_ids(settings: Settings) -> list[str]:
    return sorted(score.event_id for score in committed_records(settings, SCORES))


def lag(worker: Worker) -> int:
    return sum(entry["lag"] for entry in worker.here()["vitals"]["partitions"])


def test_what_is_committed_is_scored_once_and_what_is_aborted_is_nothing(
    stream: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    bank = Bank(stream)
    bank.commit(50, bad=3)
    bank.abort(70, bad=5)
    bank.commit(20)
    bank.abort(10)  # aborted records and their markers at the end of each partition: nobody is ever handed them
    with running(stream, tmp_path) as worker:
        # To the very end: else a lag that nobody can work off would stand for ever, and liveness would fail
        wait_until(lambda: committed_offsets(stream) == ends(stream), 60)
        wait_until(lambda: len(worker.partitions()) == len(PARTITIONS) and lag(worker) == 0)
        assert_accounted_for(stream, bank)

        pending = bank.open(5)
        bank_is_open = ends(stream)
        wait_until(lambda: lag(worker) == 0)  # what nobody may read yet does not wait for us
        assert scored_ids(stream) == sorted(bank.committed)
        bank.close(pending)
        assert ends(stream) > bank_is_open
        bank.abort(1)
        wait_until(lambda: committed_offsets(stream) == ends(stream))
    assert_accounted_for(stream, bank)


def test_with_repeat_window_an_event_is_scored_once_though_the_worker_is_killed_before_it_comes_again(
    stream: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    own = stream.model_copy(update={"repeat_window_s": 600.0})
    bank = Bank(own)
    bank.commit(60)
    bank.abort(10)
    with running(own, tmp_path) as worker:
        wait_until(lambda: committed_offsets(own) == ends(own), 60)
        worker.kill()
        bank.send_again(bank.committed)
        bank.commit(5)
        worker.start()
        wait_until(lambda: committed_offsets(own) == ends(own), 60)
        bank.send_again(bank.committed[-10:])
        wait_until(lambda: committed_offsets(own) == ends(own), 60)
    assert scored_ids(own) == sorted(bank.committed)
    verdict = verify(own)
    assert verdict.ok, verdict.breaks
    assert (verdict.scored, verdict.dead_lettered) == (130, 130)
    assert {letter.code for letter in committed_records(own, DEAD_LETTERS)} == {RefusalCode.REPEATED}


def assert_accounted_for(settings: Settings, bank: Bank) -> None:
    verdict = verify(settings)
    assert verdict.ok, verdict.breaks
    assert scored_ids(settings) == sorted(bank.committed)
    assert len(committed_records(settings, DEAD_LETTERS)) == bank.committed_bad
    assert (verdict.scored, verdict.dead_lettered) == (len(bank.committed), bank.committed_bad)
    assert verdict.committed == ends(settings)
    assert verdict.empty == ends(settings) - len(bank.committed) - bank.committed_bad > 0
    assert verdict.unverifiable == 0
