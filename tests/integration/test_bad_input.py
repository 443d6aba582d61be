"""Bad input through a real worker: each bad record is a dead letter, whole and with its reason, and costs itself."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from schemas import topics as declared
from schemas.scoring import DeadLetter, RefusalCode, Source
from schemas.topics import ANOMALIES, AUDIT, DEAD_LETTERS, REDELIVERIES, SCORES, TRANSACTIONS
from stream_app.deadletters.letters import Wanted, read, read_values
from stream_app.deadletters.redelivery import CHUNK, Choice, Left, Redelivery
from stream_app.deadletters.replayed import Replayed
from stream_app.kafka import clients, topics
from stream_app.pipeline.emit import DEAD_LETTER_VALUE_MAX
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Settings
from stream_app.testing.tiny_model import tiny_model
from stream_app.verify.cluster import verify
from tests.traffic import committed_offsets, committed_records
from tests.unit.stream_app.cli.cli_runner import stream_app
from tests.workers import running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

Wait = Callable[..., None]
Header = tuple[str, bytes | None]

KEY = b"\xff\x00key"  # keys are bytes, not text
HEADERS: list[Header] = [("trace", b"\x00\xfe"), ("trace", None), ("umlaut-\u00fc", b"")]
BROKER_LIMIT = 1024 * 1024  # of a record on most clusters; the embedded broker takes 16 MiB
DAY_ZERO_MS = -(10**15)  # what a producer with a broken clock says; no calendar has it


def transaction(number: int, **changes: object) -> bytes:
    whole = {
        "transaction_id": str(number),
        "event_time": "2018-07-25T00:00:31Z",
        "customer_id": f"c{number}",
        "amount": 57.16,
        "features": {"terminal_risk_7d": 0.1},
    }
    return json.dumps({name: value for name, value in {**whole, **changes}.items() if value is not ...}).encode()


def nested(depth: int) -> bytes:
    return transaction(0)[:-1] + b', "more": ' + b"[" * depth + b"]" * depth + b"}"


BAD: dict[str, tuple[bytes | None, RefusalCode]] = {
    "a tombstone": (None, RefusalCode.EMPTY),
    "no bytes": (b"", RefusalCode.EMPTY),
    "blanks": (b" \r\n", RefusalCode.EMPTY),
    "not JSON": (b"amount=57.16", RefusalCode.NOT_JSON),
    "cut off": (transaction(0)[:-3], RefusalCode.NOT_JSON),
    "two in one": (transaction(0) * 2, RefusalCode.NOT_JSON),
    "a pickle": (b"\x80\x04\x95\x00", RefusalCode.NOT_JSON),
    "NaN": (transaction(0, amount=float("nan")), RefusalCode.NOT_JSON),
    "infinity": (transaction(0, features={"terminal_risk_7d": float("-inf")}), RefusalCode.NOT_JSON),
    "infinity in digits": (transaction(0).replace(b"57.16", b"1e999"), RefusalCode.OUT_OF_RANGE),
    "5,000 digits": (transaction(0).replace(b"57.16", b"9" * 5000), RefusalCode.OUT_OF_RANGE),
    "beyond float32": (transaction(0, amount=1e300), RefusalCode.OUT_OF_RANGE),
    "a finite amount with an infinite score": (transaction(0, amount=1e30), RefusalCode.NOT_SCORABLE),
    "a negative amount": (transaction(0, amount=-1), RefusalCode.OUT_OF_RANGE),
    "no zone": (transaction(0, event_time="2018-07-25T00:00:31"), RefusalCode.OUT_OF_RANGE),
    "1970": (transaction(0, event_time="1970-01-21T12:19:26Z"), RefusalCode.IMPLAUSIBLE_TIME),
    "the first hour": (transaction(0, event_time="0001-01-01T00:00:00+14:00"), RefusalCode.IMPLAUSIBLE_TIME),
    "the last hour": (transaction(0, event_time="9999-12-31T23:59:59.999999-12:00"), RefusalCode.IMPLAUSIBLE_TIME),
    "the next century": (transaction(0, event_time="2099-12-31T23:59:59Z"), RefusalCode.IMPLAUSIBLE_TIME),
    "an empty id": (transaction(0, customer_id=""), RefusalCode.OUT_OF_RANGE),
    "an endless id": (transaction(0, customer_id="9" * 900_000), RefusalCode.OUT_OF_RANGE),
    "an amount in words": (transaction(0, amount="much"), RefusalCode.WRONG_TYPE),
    "an id that is a fraction": (transaction(0, transaction_id=1.5), RefusalCode.WRONG_TYPE),
    "features in a list": (transaction(0, features=[1.0]), RefusalCode.WRONG_TYPE),
    "an array": (b"[" + transaction(0) + b"]", RefusalCode.WRONG_TYPE),
    "no amount": (transaction(0, amount=...), RefusalCode.MISSING_FIELD),
    "no customer": (transaction(0, customer_id=...), RefusalCode.MISSING_FIELD),
    "nothing": (b"{}", RefusalCode.MISSING_FIELD),
    "deep": (nested(100_000), RefusalCode.TOO_DEEP),
    "UTF-16": (transaction(0).decode().encode("utf-16"), RefusalCode.NOT_JSON),
    "Latin-1": (transaction(0, customer_id="M?ller").replace(b"?", b"\xfc"), RefusalCode.NOT_JSON),
    "half a surrogate pair": (transaction(0, customer_id="\ud800"), RefusalCode.NOT_JSON),
    "a byte order mark": (b"\xef\xbb\xbf" + transaction(0), RefusalCode.NOT_JSON),
    "a string of 2 MB": (transaction(0, currency="x" * 2_000_000), RefusalCode.TOO_LARGE),
}
"""What is wrong, the value, and the code that it gets."""

GOOD = [
    transaction(1),
    transaction(2, features={}),
    transaction(3, features={"terminal_risk_7d": None}),
    transaction(4, amount=0),
    transaction(5, unknown={"deep": [[[{}]]]}, currency="EUR"),
    transaction(6, customer_id="\u4e2d\U0001f4b3"),
    transaction(7, event_time="1990-01-01T00:00:00+00:00"),
    transaction(8, event_time="2018-07-25T23:59:59.999999-12:00"),
    transaction(9, customer_id="9" * 1024, transaction_id="\u0001" * 1024),
]


class Input:
    """Puts single records onto the input, whatever is in them, and remembers where they went."""

    def __init__(self, settings: Settings) -> None:
        self._topic = topics.name(settings, TRANSACTIONS)
        self._topic_id = topics.present_id(settings)
        self._producer = clients.producer(settings, **{"compression.type": "none"})
        self._numbers = itertools.count()
        self.places: dict[str, str] = {}

    def put(self, what: str, value: bytes | None, key: bytes | None = KEY, **more: Any) -> None:
        """Send, to each partition in turn; `what` is the name under which its place is remembered."""

        def placed(error: Any, message: Any) -> None:
            assert error is None, error
            place = Source(message.topic(), message.partition(), message.offset(), self._topic_id)
            self.places[what] = str(place)

        self._producer.produce(self._topic, value, key, next(self._numbers) % 2, on_delivery=placed, **more)
        self._producer.poll(0)

    def sent(self) -> int:
        """All are there. Returns how many."""
        assert self._producer.flush(30) == 0
        return len(self.places)


@pytest.fixture
def stream(settings: Settings, tmp_path: Path) -> Settings:
    """Topics as on most clusters, and a model; the breaker has a test of its own."""
    own = settings.model_copy(update={"publish_scores": True, "breaker_share": 1.0})
    orders = [
        NewTopic(topics.name(own, topic), own.input_partitions, config={"max.message.bytes": str(limit)})
        for topic, limit in ((ANOMALIES, BROKER_LIMIT), (SCORES, BROKER_LIMIT), (TRANSACTIONS, 16 * BROKER_LIMIT))
    ]
    admin = clients.admin(own)
    for outcome in admin.create_topics(orders, operation_timeout=30).values():
        outcome.result()
    topics.ensure(own, declared.ALL)
    tiny_model(tmp_path / "1.pt", "1")
    commands.deploy(own, Order("test", timeout_s=0), tmp_path / "1.pt")
    return own


@pytest.fixture
def source(stream: Settings) -> Input:
    return Input(stream)


def letters(settings: Settings) -> dict[str, DeadLetter]:
    found = committed_records(settings, DEAD_LETTERS)
    by_place: dict[str, DeadLetter] = {letter.dead_letter_id: letter for letter in found}
    assert len(found) == len(by_place), "a dead letter was written twice"
    return by_place


def scored_ids(settings: Settings) -> list[str]:
    return sorted(score.event_id for score in committed_records(settings, SCORES))


def test_every_bad_record_becomes_a_dead_letter_whole_and_every_good_one_is_scored(
    stream: Settings, source: Input, tmp_path: Path, wait_until: Wait
) -> None:
    goods = itertools.cycle(GOOD)
    expected_ids = []
    for what, (value, _) in BAD.items():
        source.put(what, value, headers=HEADERS)
        good = next(goods)
        source.put(f"beside {what}", good)
        expected_ids.append(json.loads(good)["transaction_id"])
    sent = source.sent()
    with running(stream, tmp_path) as worker:
        wait_until(lambda: committed_offsets(stream) >= sent, 60)
        code = worker.stop()
    assert code == 0, worker.said
    assert "going on in a new session" not in worker.said

    found = letters(stream)
    assert found.keys() == {source.places[what] for what in BAD}
    assert {what: found[source.places[what]].code for what in BAD} == {what: code for what, (_, code) in BAD.items()}
    for what, (value, _) in BAD.items():
        letter = found[source.places[what]]
        assert (letter.value, letter.key, letter.headers) == (value, KEY, HEADERS), what
        assert letter.value_size == len(value or b"")
        assert str(letter.source) == source.places[what]
        assert letter.produced_at is not None
        assert letter.produced_at <= letter.refused_at
        assert letter.reason
    assert scored_ids(stream) == sorted(expected_ids)
    verdict = verify(stream)
    assert verdict.ok, verdict.breaks
    assert (verdict.scored, verdict.dead_lettered) == (len(expected_ids), len(BAD))


def near_the_limit(source: Input) -> Iterator[tuple[str, int]]:
    """Refused records that are as large as the input takes, each large in another way; and how much is kept of each."""
    huge = 16 * BROKER_LIMIT - 4096
    source.put("a huge value", b"v" * huge)
    yield "a huge value", DEAD_LETTER_VALUE_MAX
    source.put("a huge key", b"bad", key=b"k" * huge)
    yield "a huge key", 3
    source.put("a huge header", b"bad", headers=[("h", b"h" * huge)])
    yield "a huge header", 3
    source.put("many headers", b"bad", headers=[("\u0001" * 100, None)] * 100_000)
    yield "many headers", 3
    source.put("a large key", b"bad", key=b"k" * 2_000_000)
    yield "a large key", 3
    source.put("a broken clock", b"bad", timestamp=DAY_ZERO_MS)
    yield "a broken clock", 3


def test_what_no_topic_could_hold_is_cut_says_so_and_stops_nobody(
    stream: Settings, source: Input, tmp_path: Path, wait_until: Wait
) -> None:
    kept = dict(near_the_limit(source))
    source.put("good", transaction(1))
    sent = source.sent()
    with running(stream, tmp_path) as worker:
        wait_until(lambda: committed_offsets(stream) >= sent, 60)
        code = worker.stop()
    assert code == 0, worker.said
    assert "going on in a new session" not in worker.said

    found = letters(stream)
    named = {what: found[source.places[what]] for what in kept}
    assert {what: len(letter.value or b"") for what, letter in named.items()} == kept
    assert named["a huge value"].value_size == 16 * BROKER_LIMIT - 4096
    assert named["a huge value"].key == KEY
    assert named["a large key"].key == b"k" * 2_000_000
    assert named["a broken clock"].produced_at is None
    for what in ("a huge key", "a huge header", "many headers"):
        assert "key and headers are left out" in named[what].reason
        assert (named[what].key, named[what].headers) == (None, [])
    assert scored_ids(stream) == ["1"]
    assert verify(stream).ok


REFUSED = 2 * CHUNK + 100


def mend(file: Path) -> None:
    """What was refused lacks an amount; now each has one."""
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    for line in lines:
        line["value"] = json.dumps({**json.loads(line["value"]), "amount": 12.5})
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")


def test_dead_letters_are_mended_and_go_back_each_once_though_the_replay_is_killed(
    stream: Settings, source: Input, tmp_path: Path, wait_until: Wait
) -> None:
    names = [f"e{number}" for number in range(REFUSED)]
    for name in names:
        source.put(name, transaction(0, transaction_id=name, amount=...), headers=[("client", b"shop-3"), *HEADERS])
    sent = source.sent()
    file, own = tmp_path / "mend.jsonl", of_installation(stream)
    with running(stream, tmp_path) as worker:
        wait_until(lambda: committed_offsets(stream) >= sent, 60)
        listed = stream_app("deadletters", "list", "--header", "client=shop-3", "--out", file, "--json", **own)
        assert json.loads(listed.stdout)["codes"] == {"missing_field": len(names)}, listed.stderr
        mend(file)

        # One that dies: a chunk is on the input, a second one only in an open transaction
        first = Redelivery(stream, "ann", "")
        returns = list(Choice(Replayed.on_record(stream), read_values(file)).of(read(stream, Wanted())))
        assert next(first.send(returns)) == CHUNK
        first._producer.begin_transaction()
        for returned in returns[CHUNK : CHUNK + 10]:
            first._produce(returned)
        first._producer.flush(30)

        result = stream_app("deadletters", "replay", "--values", file, "--reason", "mended", "--json", **own)
        assert result.exit_code == 0, result.stderr
        said = json.loads(result.stdout)
        assert (said["went_back"], said["left"]) == (len(names) - CHUNK, {Left.BEFORE: CHUNK})
        with pytest.raises(KafkaException) as refused:
            first._producer.commit_transaction(30)
        assert "another `deadletters replay` began and took over" in str(first._explained(refused.value))
        again = stream_app("deadletters", "replay", "--values", file, **own)
        assert "0 are back on the input" in again.stdout
        wait_until(lambda: len(scored_ids(stream)) >= len(names), 60)
        assert worker.stop() == 0, worker.said

    assert scored_ids(stream) == sorted(names), "each is scored once"
    verdict = verify(stream)
    assert (verdict.ok, verdict.scored, verdict.dead_lettered) == (True, len(names), len(names)), verdict.breaks
    assert [record.reason for record in committed_records(stream, REDELIVERIES)] == ["", "mended", "mended"]
    told = [record for record in committed_records(stream, AUDIT) if record.action == "replay"]
    assert [(record.reason, record.effect) for record in told] == [("mended", f"{REFUSED - CHUNK} back onto the input")]
    proved = stream_app("audit", "verify", **own)
    assert proved.exit_code == 0, proved.stdout


def of_installation(settings: Settings) -> dict[str, str]:
    """The environment of a command that works on the same topics."""
    return {
        "STREAM_APP_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "STREAM_APP_TOPIC_PREFIX": settings.topic_prefix,
        "STREAM_APP_APP_ID": settings.app_id,
    }
