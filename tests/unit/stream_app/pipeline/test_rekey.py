"""A topic is written anew under the keys of its entities: each record once, whatever happens in between."""

from datetime import UTC, datetime
from threading import Event

import msgspec
import pytest
from confluent_kafka import KafkaError
from msgspec.structs import replace

from schemas.errors import UserError
from schemas.scoring import DeadLetter, RefusalCode
from stream_app.pipeline.clock import Clock
from stream_app.pipeline.rekey import Rekey
from stream_app.settings import Settings
from stream_app.testing.memory_kafka import MemoryKafka, assign, error, revoke
from tests.unit.stream_app.pipeline.rig import idle
from tests.unit.stream_app.pipeline.test_enrich import DEFINITION, LATER, lines

LOG = lines(60)


class RekeyRig:
    """One worker; it stops after the last step."""

    def __init__(self, kafka: MemoryKafka | None = None, **settings: object) -> None:
        self.kafka, self.stop, self.at, self.said = kafka or MemoryKafka(), Event(), 0.0, list[str]()
        clock = Clock(lambda: self.at, lambda: datetime.fromtimestamp(self.at, UTC), self._wait)
        own = Settings(worker_id="w1", app_id="app-rekey", commit_interval_ms=1, **settings)
        self.worker = Rekey(own, DEFINITION, "transactions", "keyed", self.said.append, self.kafka, clock)

    def _wait(self, _stop: Event, seconds: float) -> None:
        self.at += seconds

    def run(self, *script: object) -> None:
        for step in script:
            self.kafka.script.extend((step, self._later))
        self.kafka.script.append(lambda _: self.stop.set())
        self.worker.run(self.stop)

    def _later(self, _: object) -> None:
        self.at += 0.01

    def publish(self, *values: bytes | None, partition: int = 0):
        return lambda _: self.kafka.publish(partition, *values, at=LATER, key=b"another")

    @property
    def written(self) -> list[tuple[bytes, bytes]]:
        return [(message.key(), message.value()) for message in self.kafka.visible["keyed"]]

    @property
    def refused(self) -> list[tuple[str, str]]:
        return [(letter.code, letter.reason) for letter in self.kafka.records("dead-letters", DeadLetter)]


def keyed(values: list[bytes]) -> list[tuple[bytes, bytes]]:
    return [(msgspec.json.decode(value)["card"]["token"].encode(), value) for value in values]


def with_card(token: object) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(LOG[0]) | {"card": {"token": token}})


def test_each_record_goes_on_as_it_is_under_the_key_of_its_entity() -> None:
    rig = RekeyRig()
    rig.run(assign(0, 1), rig.publish(*LOG[:30]), rig.publish(*LOG[30:], partition=1), idle)
    assert sorted(rig.written) == sorted(keyed(LOG))
    assert [entry for entry in rig.written if entry in keyed(LOG[:30])] == keyed(LOG[:30])
    assert rig.kafka.committed == {0: 30, 1: 30}
    assert (rig.worker.written, rig.worker.refused, rig.refused) == (60, 0, [])
    assert "transactions to keyed: 60 written, 0 refused, 0 behind" in rig.said[-1]


def test_only_what_has_no_entity_is_refused_as_in_a_worker() -> None:
    no_event = b'{"card": {"token": "c1"}, "at": "never"}'
    rig = RekeyRig()
    rig.run(assign(0), rig.publish(None, b"{", b"{}", with_card(" \t"), with_card(""), with_card(7), no_event), idle)
    assert [key for key, _ in rig.written] == [b"7", b"c1"]
    expected = [RefusalCode.EMPTY, RefusalCode.NOT_JSON, RefusalCode.MISSING_FIELD, *[RefusalCode.OUT_OF_RANGE] * 2]
    assert sorted(code for code, _ in rig.refused) == sorted(expected)
    assert "card.token is blank" in [reason for _, reason in rig.refused]
    assert rig.kafka.records("dead-letters", DeadLetter)[0].source.topic == "transactions"
    assert rig.kafka.committed == {0: 7}


def test_what_was_not_committed_is_written_once() -> None:
    rig = RekeyRig()
    rig.kafka.faults["commit_transaction"].extend([None, error(KafkaError._TIMED_OUT)])
    rig.run(assign(0), rig.publish(*LOG[:20]), idle, rig.publish(*LOG[20:40]), idle, assign(0), idle, idle)
    assert rig.written == keyed(LOG[:40])
    assert any("reconnecting" in sentence for sentence in rig.said)


def test_a_partition_that_goes_elsewhere_is_committed_first_and_two_write_each_record_once() -> None:
    rig = RekeyRig()
    rig.run(assign(0, 1), rig.publish(*LOG[:10]), rig.publish(*LOG[10:20], partition=1), revoke(0), idle)
    other = RekeyRig(rig.kafka)
    other.run(assign(0), other.publish(*LOG[20:30]), idle)
    assert sorted(rig.written) == sorted(keyed(LOG[:30]))
    assert rig.kafka.committed[0] == 20


def test_a_flood_of_records_without_an_entity_is_held_back() -> None:
    rig = RekeyRig(breaker_window_events=20, breaker_hold_s=5.0)
    rig.run(assign(0), rig.publish(*[b"{}"] * 20), idle, rig.publish(*[b"{}"] * 20), idle, idle, idle)
    assert len(rig.refused) == 20
    assert any("held back: 100% of the latest records are refused" in sentence for sentence in rig.said)


@pytest.mark.parametrize(("changed", "why"), [({"entity": "$key"}, "nothing to do"), ({"id": "$key"}, "would be gone")])
def test_a_definition_that_needs_the_key_as_it_is_is_refused(changed, why) -> None:
    definition = replace(DEFINITION, event=replace(DEFINITION.event, **changed))
    with pytest.raises(UserError, match=why):
        Rekey(Settings(), definition, "transactions", "keyed", print, MemoryKafka())
