"""A stream whose outcome is known beforehand: whatever is done to the workers, this is what consumers must see."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemas import topics as declared
from schemas.topics import ANOMALIES
from stream_app.kafka import topics
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Settings
from stream_app.testing.tiny_model import tiny_model
from stream_app.verify.cluster import LedgerVerdict, verify
from tests.traffic import committed_offsets, committed_records, publish

Wait = Callable[..., None]
SMALL = 32
"""A micro-batch so small that whatever happens, happens in the middle of the work."""
ANOMALOUS_AMOUNT = 4
SCORE = 16.0  # of the tiny model: the squared amount


def transactions(count: int, first: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Every fifth of them is an anomaly for the tiny model."""
    for number in range(first, first + count):
        customer = f"c{number % 97}"
        event = {"transaction_id": str(number), "event_time": "2018-07-25T00:00:31Z", "customer_id": customer}
        yield customer.encode(), json.dumps({**event, "amount": number % 5}).encode()


def anomalous(count: int) -> list[str]:
    """Of the first so many transactions."""
    return sorted(str(number) for number in range(ANOMALOUS_AMOUNT, count, 5))


def anomalies(settings: Settings) -> list[str]:
    """The ids that a read-committed consumer sees, each as often as it is there."""
    return sorted(anomaly.event_id for anomaly in committed_records(settings, ANOMALIES))


def prepared(settings: Settings, folder: Path) -> Settings:
    """The same, with topics and a model that waits for its first worker."""
    topics.ensure(settings, declared.ALL)
    tiny_model(folder / "1.pt", "1")
    commands.deploy(settings, Order("test", timeout_s=0), folder / "1.pt")
    return settings


def proved(settings: Settings) -> LedgerVerdict:
    """What `verify` says, which must be that all is well."""
    verdict = verify(settings)
    assert verdict.ok, verdict.breaks
    return verdict


def conclude(settings: Settings, sent: int, wait_until: Wait, timeout_s: float = 90) -> None:
    """Wait for the end; then consumers have what an undisturbed run gives them: no more, no less, none twice."""
    wait_until(lambda: committed_offsets(settings) == sent, timeout_s)
    verdict = proved(settings)
    assert (verdict.committed, verdict.scored) == (sent, sent)
    found = committed_records(settings, ANOMALIES)
    assert sorted(anomaly.event_id for anomaly in found) == anomalous(sent)
    assert [anomaly.score for anomaly in found] == pytest.approx([SCORE] * len(found), rel=1e-5)


class Trickle:
    """Twenty more transactions with each call."""

    def __init__(self, settings: Settings, first: int = 0) -> None:
        self._settings = settings
        self.sent = first

    def __call__(self) -> bool:
        self.sent += publish(self._settings, transactions(20, first=self.sent))
        return True
