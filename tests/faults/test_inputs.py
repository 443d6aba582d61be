"""Events from other ages, poison in every dose, and a million records that no producer should send."""

import random
from pathlib import Path

import msgspec
import numpy as np
import pytest

from stream_app.pipeline.batch import Raw
from stream_app.pipeline.decode import Decoder
from stream_app.settings import Settings
from tests.known_stream import Wait, anomalies, anomalous, proved, transactions
from tests.tiny_model import INPUTS
from tests.traffic import committed_offsets, publish
from tests.workers import running

SEED = 20260711
BATCH = 1000
LIMIT = 100_000
PIECES = [
    b"",
    b"{",
    b"}",
    b"[",
    b'"',
    b"null",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-1",
    b"\xff\xfe",
    b"\\ud800",
    b"\x00",
    b"0" * 400,
    b"[" * 3000,
]


@pytest.mark.kafka
@pytest.mark.timeout(120)
def test_events_of_1970_and_of_2100_are_scored_like_any_other(
    stream: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    ages = ("1970-01-01T00:00:00Z", "2100-12-31T23:59:59Z", "2018-07-25T00:00:31Z")
    records = [
        (key, value.replace(b"2018-07-25T00:00:31Z", ages[number % len(ages)].encode()))
        for number, (key, value) in enumerate(transactions(3000))
    ]
    with running(stream, tmp_path):
        sent = publish(stream, records)
        wait_until(lambda: committed_offsets(stream) == sent, 60)
    assert proved(stream).scored == sent
    assert anomalies(stream) == anomalous(sent)


@pytest.mark.kafka
@pytest.mark.faults
@pytest.mark.timeout(300)
@pytest.mark.parametrize("percent", [1, 50, 100])
def test_poison(stream: Settings, tmp_path: Path, wait_until: Wait, percent: int) -> None:
    dice, count = random.Random(SEED), 20_000
    records = [(k, v if dice.random() * 100 >= percent else b"poison") for k, v in transactions(count)]
    good = {msgspec.json.decode(v)["transaction_id"] for _, v in records if v != b"poison"}
    with running(stream, tmp_path, breaker_hold_s=0.5, batch_max_events=256):
        publish(stream, records)
        wait_until(lambda: committed_offsets(stream) == count, 240)
    verdict = proved(stream)
    assert (verdict.scored, verdict.dead_lettered) == (len(good), count - len(good))
    assert anomalies(stream) == [identity for identity in anomalous(count) if identity in good]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.faults)])
def test_mutated_records_are_scored_or_refused_and_never_both(count: int) -> None:
    """Real records, cut, spliced, and with every kind of rubbish put in."""
    dice, decoder = random.Random(SEED), Decoder(INPUTS, LIMIT)
    seeds = [value[:-1] + b',"features":{"terminal_risk_7d":0.5}}' for _, value in transactions(50)]
    accepted = refused = 0
    for _ in range(count // BATCH):
        decoded = decoder(_raw([_mutated(dice, seeds) for _ in range(BATCH)]))
        places = [*decoded.rows.tolist(), *(refusal.row for refusal in decoded.refused)]
        assert sorted(places) == list(range(BATCH))
        assert not np.isinf(decoded.inputs).any()
        assert not np.isnan(decoded.inputs[:, 0]).any(), "the amount may not be missing"
        assert len(decoded.transaction_ids) == len(decoded.event_times) == len(decoded.rows)
        accepted, refused = accepted + len(decoded.rows), refused + len(decoded.refused)
    assert min(accepted, refused) > count / 50, "the mutations are too wild, or too tame, to try anything"


def _mutated(dice: random.Random, seeds: list[bytes]) -> bytes:
    value = dice.choice(seeds)
    for _ in range(dice.randrange(4)):
        at, to = sorted((dice.randrange(len(value) + 1), dice.randrange(len(value) + 1)))
        to = min(to, at + dice.choice((0, 1, 2, 8, 40)))
        piece = dice.choice((dice.choice(PIECES), dice.randbytes(dice.randrange(4)), dice.choice(seeds)[at : at + 20]))
        value = value[:at] + piece + value[to:]
    return value


def _raw(values: list[bytes]) -> Raw:
    count = len(values)
    return Raw(values, [0] * count, list(range(count)), [], {0: (0, count)})
