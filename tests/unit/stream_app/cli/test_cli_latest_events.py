"""What `doctor` says of a definition that is held against records: what is refused and why, the key, the order."""

from datetime import UTC, datetime

import msgspec

from models.definition import complete
from models.manifest import Category
from schemas.definition import Definition, EventFields, Input
from stream_app.cli.diagnosis import Diagnosis
from stream_app.cli.latest_events import held_against
from stream_app.pipeline.decode import Decoder
from stream_app.testing.memory_cluster import MemoryMessage

AT_MS = 1_772_366_400_000
CARDS = complete(
    Definition(
        "mine",
        EventFields("ref", "at", "card", time_unit="ms"),
        (Input("amount", "amount", missing="reject"), Input("country", "country", kind="category")),
    )
)


def record(number: int, partition: int = 0, key: str | None = "c1", **changes: object) -> MemoryMessage:
    event = {"ref": number, "at": AT_MS + number * 1000, "card": "c1", "amount": 5.0, "country": "DE"} | changes
    at = datetime.fromtimestamp(AT_MS / 1000 + 100_000, UTC)
    message = MemoryMessage(msgspec.json.encode(event), number, at, partition)
    message.key = lambda: None if key is None else key.encode()  # type: ignore[method-assign]
    return message


def found(*records: MemoryMessage) -> dict[str, list[Diagnosis]]:
    diagnoses: dict[str, list[Diagnosis]] = {}
    decode = Decoder(CARDS, 10_000, categories={"country": Category({}, 0.0)})
    for diagnosis in held_against(CARDS, decode, records):
        diagnoses.setdefault(diagnosis.check, []).append(diagnosis)
    return diagnoses


def test_records_that_fit_are_told_as_such() -> None:
    seen = found(*(record(number, number % 2) for number in range(10)))
    assert [(check, d.ok, d.says) for check, (d,) in seen.items()] == [
        ("events", True, "the latest 10 are read as mine says"),
        ("key", True, "is the entity, card, in all of them"),
        ("order", True, "times are in order within each partition"),
    ]


def test_each_reason_has_its_share_an_example_with_its_place_and_what_to_do() -> None:
    seconds = [record(number, at=AT_MS // 1000 + number) for number in range(5)]
    seen = found(*seconds, record(5, amount="much"), *(record(number) for number in range(6, 10)))
    by_time, by_type = seen["events"]
    assert not by_time.ok
    assert by_time.says.startswith("50.00% of the latest 10 would be refused as implausible_time")
    assert 'time_unit = "s"' in by_time.says
    assert "(partition 0, offset 0)" in by_time.says
    assert "correct the definition of mine" in by_time.advice
    assert by_type.says.startswith(
        "10.00% of the latest 10 would be refused as wrong_type: Expected `float`, got `str`"
    )
    assert "(partition 0, offset 5)" in by_type.says


def test_an_odd_record_is_told_and_calls_for_nothing() -> None:
    (odd,) = found(*(record(number) for number in range(200)), record(200, amount=None))["events"]
    assert (odd.ok, odd.advice) == (True, "")
    assert odd.says.startswith("0.50% of the latest 201 would be refused as wrong_type")


def test_a_key_that_is_not_the_entity_is_named_with_an_example() -> None:
    (key,) = found(record(0), record(1, key="order-1"), record(2, key=None), record(3))["key"]
    assert not key.ok
    assert key.says == "is not the entity in 50.00% of them: the key 'order-1', the entity 'c1' (partition 0, offset 1)"
    assert "take card as the key" in key.advice


def test_late_events_are_counted_within_their_partition_and_how_late_they_are() -> None:
    late = record(3, at=AT_MS - 2 * 3600 * 1000)
    (order,) = found(record(0), record(1), late, record(4), record(2, 1))["order"]
    assert order.ok
    assert order.says == "20.00% of them come after a newer one of their partition, the latest by 2 hours"


def test_where_nothing_can_be_read_nothing_is_said_of_keys_and_times() -> None:
    assert set(found(record(0, card=None))) == {"events"}
