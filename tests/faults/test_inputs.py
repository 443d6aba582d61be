"""Events from other ages, poison in every dose, and a million records that no producer should send."""

import json
import random
import subprocess
import sys
import urllib.request
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stream_app.settings import Settings
from tests.decoding import SEED_RECORDS, alone, decoded, together
from tests.known_stream import Wait, anomalies, anomalous, proved, transactions
from tests.traffic import committed_offsets, publish
from tests.workers import Worker, running

SEED = 20260711
BATCH = 1000
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
RULES = Path(__file__).parents[2] / "deploy/prometheus/rules.yml"


@pytest.mark.kafka
@pytest.mark.timeout(120)
def test_late_events_are_scored_like_any_other_and_those_of_1970_and_of_2100_are_refused(
    stream: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    ages = ("1990-01-01T00:00:00Z", "2018-07-20T23:59:59Z", "2018-07-25T00:00:31Z")
    never = ("1970-01-01T00:00:00Z", "2100-12-31T23:59:59Z")
    records = [
        (key, value.replace(b"2018-07-25T00:00:31Z", ages[number % len(ages)].encode()))
        for number, (key, value) in enumerate(transactions(3000))
    ]
    wrong = [
        (key, value.replace(b"2018-07-25T00:00:31Z", never[number % len(never)].encode()))
        for number, (key, value) in enumerate(transactions(30))
    ]
    with running(stream, tmp_path):
        sent = publish(stream, records)
        refused = publish(stream, wrong)
        wait_until(lambda: committed_offsets(stream) == sent + refused, 60)
    verdict = proved(stream)
    assert (verdict.scored, verdict.dead_lettered) == (sent, refused)
    assert anomalies(stream) == anomalous(sent)


@pytest.mark.kafka
@pytest.mark.faults
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("percent", "breaker_share", "opens"),
    [(1, 0.5, False), (50, 0.4, True), (100, 0.5, True), pytest.param(100, 1.0, False, id="100-goes on as configured")],
)
def test_poison(
    stream: Settings, tmp_path: Path, wait_until: Wait, percent: int, breaker_share: float, opens: bool
) -> None:
    """The breaker opens where it should, says so by its metric, on which a page is sent, and closes by itself."""
    (alert,) = [
        rule for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"] if "BreakerOpen" in rule["alert"]
    ]
    assert (alert["expr"], alert["labels"]["severity"]) == ("stream_app_breaker_open == 1", "page")
    dice, count = random.Random(SEED), 6000
    records = [(k, v if dice.random() * 100 >= percent else b"poison") for k, v in transactions(count)]
    good = {msgspec.json.decode(v)["transaction_id"] for _, v in records if v != b"poison"}
    with running(stream, tmp_path, breaker_hold_s=1.0, breaker_share=breaker_share, batch_max_events=256) as worker:
        worker.await_ready()
        publish(stream, records)
        opened: list[bool] = []

        def done_or_open() -> bool:
            opened.append(metric(worker, "stream_app_breaker_open") == 1)
            return (opens and opened[-1]) or committed_offsets(stream) == count

        wait_until(done_or_open, 120)
        assert opened[-1] == opens
        publish(stream, transactions(500, first=count))
        wait_until(lambda: committed_offsets(stream) == count + 500, 240)
        wait_until(lambda: metric(worker, "stream_app_breaker_open") == 0, 60)
        assert any(opened) == opens
    verdict = proved(stream)
    assert (verdict.scored, verdict.dead_lettered) == (len(good) + 500, count - len(good))
    healthy = good | {str(number) for number in range(count, count + 500)}
    assert anomalies(stream) == [identity for identity in anomalous(count + 500) if identity in healthy]


def metric(worker: Worker, name: str) -> float:
    """What /metrics says."""
    with urllib.request.urlopen(f"{worker.url}metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.faults)])
def test_mutated_records_are_scored_or_refused_and_never_both(count: int) -> None:
    """Real records, cut, spliced, and with every kind of rubbish put in."""
    dice = random.Random(SEED)
    seeds = [value[:-1] + b',"features":{"terminal_risk_7d":0.5}}' for _, value in transactions(50)]
    accepted = 0
    for _ in range(count // BATCH):
        accepted += len(decoded([_mutated(dice, seeds) for _ in range(BATCH)]).rows)
    assert count / 50 < accepted < count * 49 / 50, "the mutations are too wild, or too tame, to try anything"


def _mutated(dice: random.Random, seeds: list[bytes]) -> bytes:
    value = dice.choice(seeds)
    for _ in range(dice.randrange(4)):
        at, to = sorted((dice.randrange(len(value) + 1), dice.randrange(len(value) + 1)))
        to = min(to, at + dice.choice((0, 1, 2, 8, 40)))
        piece = dice.choice((dice.choice(PIECES), dice.randbytes(dice.randrange(4)), dice.choice(seeds)[at : at + 20]))
        value = value[:at] + piece + value[to:]
    return value


NUMBERS = st.integers() | st.floats()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
EVENTS = st.fixed_dictionaries(
    {"transaction_id": st.text(max_size=4) | JSON, "customer_id": st.text(max_size=4) | JSON, "amount": NUMBERS | JSON},
    optional={
        "event_time": st.sampled_from(["2018-07-25T00:00:31Z", "1970-01-01T00:00:00+14:00"]) | JSON,
        "features": st.fixed_dictionaries({}, optional={"terminal_risk_7d": NUMBERS | JSON}) | JSON,
        "more": JSON,
    },
)
PLAUSIBLE = EVENTS.map(
    lambda event: json.dumps(event).encode()
)  # NaN and infinity are written, as by careless producers
RECORDS = st.sampled_from(SEED_RECORDS) | PLAUSIBLE | st.binary(max_size=20) | st.none()


@given(st.lists(RECORDS, max_size=8))
@hypothesis_settings(max_examples=300)
def test_the_fate_of_a_record_does_not_depend_on_its_neighbours(values: list[bytes | None]) -> None:
    assert together(values) == alone(values)


@pytest.mark.faults
@given(st.lists(RECORDS, max_size=8))
@hypothesis_settings(max_examples=20_000)
def test_the_fate_of_a_record_does_not_depend_on_its_neighbours_however_often(values: list[bytes | None]) -> None:
    assert together(values) == alone(values)


@pytest.mark.faults
@pytest.mark.timeout(120)
def test_the_fuzzer_finds_its_way_into_good_records(tmp_path: Path) -> None:
    """A short run of `make fuzz`: it ends by itself, and has seen records that are accepted."""
    command = [sys.executable, "-m", "tests.faults.fuzz_decode", "-runs=5000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Done 5000 runs" in done.stderr
