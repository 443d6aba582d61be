"""A producer gone mad, on a real worker: the input is held back, the page says why, and it heals by itself."""

import urllib.request

import msgspec
import pytest

from schemas import topics as declared
from stream_app.kafka import topics
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.testing.tiny_model import tiny_model
from stream_app.verify.cluster import verify
from tests.traffic import committed_offsets, publish
from tests.workers import running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

BAD, GOOD, WINDOW = 1000, 500, 200


def good(i: int) -> tuple[bytes, bytes]:
    event = {"transaction_id": str(i), "event_time": "2026-01-01T00:00:00Z", "customer_id": "c", "amount": 1.0}
    return b"c", msgspec.json.encode(event)


def test_a_flood_of_bad_records_is_held_back_and_the_good_ones_behind_it_are_scored(settings, tmp_path, wait_until):
    topics.ensure(settings, declared.ALL)
    tiny_model(tmp_path / "1.pt", "1")
    flood = [(b"c", b"not JSON")] * BAD
    with running(
        settings, tmp_path, breaker_window_events=WINDOW, breaker_hold_s=1.0, batch_max_events=WINDOW
    ) as worker:
        assert commands.deploy(settings, Order("test"), tmp_path / "1.pt").ok
        publish(settings, flood)
        wait_until(lambda: metric(worker.url, "stream_app_breaker_open") == 1.0, 60)
        assert committed_offsets(settings) < BAD, "it was poured into the dead letters before anybody could look"
        publish(settings, [good(i) for i in range(GOOD)])
        wait_until(lambda: committed_offsets(settings) >= BAD + GOOD, 120)
        wait_until(lambda: metric(worker.url, "stream_app_breaker_open") == 0.0, 60)
    verdict = verify(settings)
    assert verdict.ok, verdict.breaks
    assert (verdict.scored, verdict.dead_lettered) == (GOOD, BAD)


def metric(url: str, name: str) -> float:
    with urllib.request.urlopen(f"{url}metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))
