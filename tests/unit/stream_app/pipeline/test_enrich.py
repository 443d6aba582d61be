"""A value of a window is a function of the partition's log alone, and the same bits as in training."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.frame import read
from models.definition import complaints, complete
from schemas.definition import Definition, EventFields, Input, Window
from stream_app.pipeline.batch import Raw
from stream_app.pipeline.decode import Decoder
from stream_app.pipeline.enrich import Windows, fill, keyed_otherwise
from stream_app.pipeline.faults import SessionLost
from stream_app.testing.memory_cluster import MemoryMessage

CARD, AMOUNT, SHOP, POINTS, ONLINE = "card.token", "txn.minor", "shop.id", "points", "online"
WINDOWS = [
    Window(CARD, "count", "1h"),
    Window(CARD, "mean", "1d", AMOUNT),
    Window(CARD, "std", "7d", AMOUNT),
    Window(CARD, "deviation", "30d", AMOUNT),
    Window(CARD, "sum", "7d", POINTS),
    Window(CARD, "max", "2d", POINTS, "1d"),
    Window(CARD, "distinct", "30d", SHOP),
    Window(CARD, "is_new", "30d", SHOP),
    Window(CARD, "distinct", "7d", AMOUNT),
    Window(CARD, "mean", "7d", ONLINE),
    Window(CARD, "since_last", "7d"),
]
DEFINITION = complete(
    Definition(
        "odd",
        EventFields("id", "at", CARD),
        (
            Input("amount", AMOUNT, "EUR", "reject", scale=0.01, least=0),
            Input("online", ONLINE, kind="flag"),
            *(Input(f"w{n}", window=window) for n, window in enumerate(WINDOWS)),
        ),
    )
)
START = datetime(2018, 7, 1, tzinfo=UTC)
LATER = START + timedelta(days=60)
LIMIT = 10_000
decode = Decoder(DEFINITION, LIMIT)


def lines(rows: int, seed: int = 1) -> list[bytes]:
    """Events in the order of time, and some that no decoder takes."""
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.integers(0, 45 * 86_400, rows))
    found = []
    for i in range(rows):
        event = {
            "id": f"{i:06}",
            "at": (START + timedelta(seconds=int(seconds[i]), microseconds=i)).isoformat(),
            "card": {"token": f"c{int(rng.integers(7))}"},
            "txn": {"minor": int(rng.integers(1, 200))},
            "shop": [{"id": float(rng.integers(4)) / 4}, {"id": 1e-5}, {"id": 3}, None][i % 4],
            "points": [float(rng.normal()), None, 3, 0.1][int(rng.integers(4))],
            "online": bool(rng.random() < 0.5),
        }
        found.append(msgspec.json.encode(event))
    return found


def batches(values: list[bytes | None], cuts: list[int], partitions: list[int]) -> list[Raw]:
    """The log in micro-batches; offsets count up in each partition."""
    places = [(p, partitions[:row].count(p)) for row, p in enumerate(partitions)]
    ends = sorted({cut for cut in cuts if 0 < cut < len(values)} | {len(values)})
    reached, made, start = dict.fromkeys(partitions, 0), [], 0
    for end in ends:
        part = places[start:end]
        after = dict(reached) | {p: offset + 1 for p, offset in part}
        spans = {p: (reached[p], after[p]) for p, _ in part}
        records = [MemoryMessage(values[start + i], offset, LATER, p) for i, (p, offset) in enumerate(part)]
        made.append(Raw(values[start:end], [p for p, _ in part], [o for _, o in part], records, spans))
        reached, start = after, end
    return made


def windows(max_entities: int = 100) -> Windows:
    found = Windows(DEFINITION, "topic", decode, max_entities)
    found.states = {p: found.empty() for p in range(3)}
    found.reached = dict.fromkeys(range(3), 0)
    return found


def enriched(raws: list[Raw]) -> np.ndarray:
    """Inputs of all rows, in the order of the log."""
    own, parts = windows(), []
    for raw in raws:
        decoded = decode(raw)
        parts.append(fill(decoded, DEFINITION, own.step(raw, decoded)).inputs)
    return np.concatenate(parts)


def with_rubbish(values: list[bytes]) -> list[bytes | None]:
    """Records that are refused stand between, and count nowhere."""
    mixed: list[bytes | None] = []
    for i, value in enumerate(values):
        mixed += [value, None] if i % 5 == 0 else [value, b"{"] if i % 7 == 0 else [value]
    return mixed


def test_the_definition_is_sound() -> None:
    assert not list(complaints(DEFINITION))


def test_the_stream_has_the_bits_that_training_has_of_a_file(tmp_path: Path) -> None:
    values = lines(3000)
    (tmp_path / "odd.jsonl").write_bytes(b"\n".join(values))
    frame = read(tmp_path / "odd.jsonl", definition=DEFINITION)
    assert frame["event_id"].to_list() == [f"{i:06}" for i in range(3000)]
    expected = frame.select(f"w{n}" for n in range(len(WINDOWS))).to_numpy()
    found = enriched(batches(with_rubbish(values), [10, 700, 1500], [0] * len(with_rubbish(values))))
    assert found.shape == (3000, 2 + len(WINDOWS))
    for column, window in enumerate(WINDOWS):
        assert found[:, 2 + column].tobytes() == expected[:, column].tobytes(), window
    assert (np.isfinite(found).mean(axis=0) > 0.4).all()


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_split_into_batches_gives_the_same_bits(data: st.DataObject) -> None:
    values = with_rubbish(lines(60, seed=data.draw(st.integers(0, 50))))
    partitions = data.draw(st.lists(st.integers(0, 2), min_size=len(values), max_size=len(values)))
    cuts = data.draw(st.lists(st.integers(1, len(values)), max_size=12))
    whole = enriched(batches(values, [], partitions))
    assert enriched(batches(values, cuts, partitions)).tobytes() == whole.tobytes()


def test_a_partition_knows_only_its_own_log() -> None:
    values = lines(400)
    partitions = [i % 3 for i in range(400)]
    together = enriched(batches(values, [100, 200], partitions))
    alone = enriched(batches(values[1::3], [], [1] * len(values[1::3])))
    assert together[1::3].tobytes() == alone.tobytes()


def test_a_batch_that_does_not_go_on_from_the_state_ends_the_session() -> None:
    own, (first, second, third) = windows(), batches(lines(30), [10, 20], [0] * 30)
    own.step(first, decode(first))
    with pytest.raises(SessionLost, match="not at offset 20"):
        own.step(third, decode(third))
    own.step(second, decode(second))


CHANGES = {
    "another window": {"inputs": DEFINITION.inputs[:-1]},
    "another scale": {"inputs": (msgspec.structs.replace(DEFINITION.inputs[0], scale=1.0), *DEFINITION.inputs[1:])},
    "a bound that refuses more": {
        "inputs": (msgspec.structs.replace(DEFINITION.inputs[0], most=5.0), *DEFINITION.inputs[1:])
    },
    "another time": {"event": EventFields("id", "$timestamp", CARD)},
}


def fingerprint(definition: Definition, topic: str = "topic") -> bytes:
    return Windows(definition, topic, decode, 10).fingerprint


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_may_change_a_value_is_another_state(what: str) -> None:
    assert fingerprint(msgspec.structs.replace(DEFINITION, **CHANGES[what])) != fingerprint(DEFINITION)
    assert fingerprint(DEFINITION, "made again") != fingerprint(DEFINITION)


def test_a_model_that_only_shows_more_or_calls_things_otherwise_shares_the_state() -> None:
    event = EventFields("id", "at", CARD, show=("shop.name",))
    named = (msgspec.structs.replace(DEFINITION.inputs[0], name="sum"), *DEFINITION.inputs[1:])
    same = msgspec.structs.replace(DEFINITION, name="new", event=event, inputs=(*named, Input("night", clock="night")))
    assert fingerprint(same) == fingerprint(DEFINITION)


@pytest.mark.parametrize(
    ("key", "wrong"),
    [(b"c1", 0), (b"\x00\x00\x00\x00\x07\x04c1", 0), (b"c2", 1), (None, 1), (b"", 1)],
)
def test_a_key_that_is_not_the_entity_is_found(key: bytes | None, wrong: int) -> None:
    value = msgspec.json.encode({"id": "1", "at": START.isoformat(), "card": {"token": "c1"}, "txn": {"minor": 1}})
    raw = Raw([value], [0], [0], [MemoryMessage(value, 0, START).keyed(key or b"")], {0: (0, 1)})
    assert keyed_otherwise(raw, decode(raw)) == wrong


def test_a_whole_number_may_be_the_key_in_binary() -> None:
    value = msgspec.json.encode({"id": "1", "at": START.isoformat(), "card": {"token": 77}, "txn": {"minor": 1}})
    raw = Raw([value], [0], [0], [MemoryMessage(value, 0, START).keyed((77).to_bytes(8, "big"))], {0: (0, 1)})
    assert keyed_otherwise(raw, decode(raw)) == 0


@settings(max_examples=300)
@given(number=st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.floats(1e-8, 1e-3)))
def test_a_number_that_only_tells_values_apart_has_the_text_that_a_data_file_has(number: float) -> None:
    from models.data.columns import as_text
    from stream_app.pipeline.shape import text_of

    frame = pl.DataFrame({"x": [number]}, schema={"x": pl.Float64})
    in_file = frame.select(as_text(pl.col("x"), pl.Float64()))["x"][0]
    assert text_of(number) == (in_file or "")
