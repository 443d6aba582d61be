"""Windows of workers that are killed, joined and started again: every value is the one that training has of the log."""

import json
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from models.definition import complete
from models.windows.history import windows_of
from models.windows.warm import warm_up
from schemas import topics as declared
from schemas.definition import Definition, EventFields, Input, Window
from schemas.topics import LATENTS, TRANSACTIONS, WINDOW_STATE
from stream_app.kafka import topics
from stream_app.kafka.log import read_to_end
from stream_app.pipeline.window_records import CUT, FINGERPRINT_BYTES, MARK, PARTITION
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Settings
from stream_app.testing.tiny_model import UNSEEN, glass_model
from tests.faults.sabotage import program
from tests.known_stream import Wait, proved
from tests.traffic import committed_offsets, committed_records, publish
from tests.workers import Worker, running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

ENTITY_KEY = FINGERPRINT_BYTES + PARTITION.size + 8
SEED, CARDS = 20261128, 1500
WINDOWS = [
    Window("card", "count", "1h"),
    Window("card", "mean", "1d", "amount"),
    Window("card", "std", "30d", "amount"),
    Window("card", "deviation", "7d", "amount"),
    Window("card", "sum", "7d", "amount", "1d"),
    Window("card", "distinct", "7d", "shop"),
    Window("card", "is_new", "30d", "shop"),
    Window("card", "since_last", "30d"),
]
DEFINITION = complete(
    Definition(
        "windows",
        EventFields("id", "at", "card", time_unit="ms"),
        (Input("amount", "amount", "EUR"), *(Input(f"w{n}", window=window) for n, window in enumerate(WINDOWS))),
    )
)
START = datetime(2018, 7, 1, tzinfo=UTC)
RESTLESS = {
    "window_checkpoint_s": 0.2,
    "commit_interval_ms": 20,
    "session_timeout_ms": 6000,
    "batch_max_events": 64,
    "publish_latents": True,
}


def events(count: int, first: int) -> Iterator[tuple[bytes, bytes]]:
    """A month of a few thousand cards; some events late, some records no events."""
    for number in range(first, first + count):
        rng = random.Random(number)
        card, shop = f"c{int(CARDS * rng.random() ** 2)}", f"s{rng.randrange(6)}"
        at = START + timedelta(
            seconds=100 * number - rng.choice([0, 0, 0, 40_000, 400_000]), microseconds=1000 * number
        )
        event = {
            "id": str(number),
            "at": round(at.timestamp() * 1000),
            "card": card,
            "amount": round(rng.lognormvariate(3, 1), 2) if number % 11 else None,
            "shop": shop,
        }
        yield card.encode(), b"{" if number % 53 == 0 else json.dumps(event).encode()


def seen(settings: Settings) -> dict[tuple[int, int], np.ndarray]:
    """What the model saw at each place, each once."""
    found: dict[tuple[int, int], np.ndarray] = {}
    for latent in committed_records(settings, LATENTS):
        place = latent.source.partition, latent.source.offset
        assert place not in found
        found[place] = np.array(latent.latent, dtype=np.float32)[1:]
    return found


def trained(settings: Settings) -> dict[tuple[int, int], np.ndarray]:
    """The windows of the log as training computes them, partition by partition."""
    logs: dict[int, list[tuple[int, bytes]]] = {}
    for message in read_to_end(settings, TRANSACTIONS):
        logs.setdefault(message.partition() or 0, []).append((message.offset() or 0, message.value() or b""))
    found = {}
    for partition, log in logs.items():
        good = [(offset, msgspec.json.decode(value)) for offset, value in log if value != b"{"]
        rows = [event | {"at": datetime.fromtimestamp(event["at"] / 1000, UTC)} for _, event in good]
        frame = pl.DataFrame(rows, schema_overrides={"amount": pl.Float64})
        values = windows_of(frame, WINDOWS, time="at", entity="card")
        values[np.isnan(values)] = UNSEEN
        found |= {(partition, offset): row for (offset, _), row in zip(good, values, strict=True)}
    assert len(logs) == 4
    return found


def marks(settings: Settings) -> int:
    """How many checkpoints are whole."""
    return sum(len(message.value() or b"") == MARK.size for message in read_to_end(settings, WINDOW_STATE))


def begun(settings: Settings) -> int:
    """How many records stand there of checkpoints that are not whole."""
    whole: dict[bytes, int] = {}
    blocks: list[tuple[bytes, int]] = []
    for message in read_to_end(settings, WINDOW_STATE):
        key, value = message.key() or b"", message.value() or b""
        whose, is_mark = key[: ENTITY_KEY - 8], len(key) < ENTITY_KEY
        if is_mark:
            whole[whose] = MARK.unpack(value)[0]
        elif value:
            blocks.append((whose, CUT.unpack_from(value)[0]))
    return sum(cut > whole.get(whose, -1) for whose, cut in blocks)


def agree(settings: Settings) -> None:
    found, wanted = seen(settings), trained(settings)
    assert found.keys() == wanted.keys()
    different = [place for place in sorted(wanted) if found[place].tobytes() != wanted[place].tobytes()]
    assert not different, (
        f"{len(different)} of {len(wanted)}: {different[0]} {found[different[0]]} {wanted[different[0]]}"
    )


@pytest.fixture
def windowed(settings: Settings, tmp_path: Path) -> Settings:
    """Four partitions, and a model that shows its windows; the loops are compiled, which takes half a minute once."""
    warm_up()
    own = settings.model_copy(update={"input_partitions": 4})
    topics.ensure(own, declared.ALL)
    glass_model(tmp_path / "1.pt", "1", DEFINITION)
    commands.deploy(own, Order("test", timeout_s=0), tmp_path / "1.pt")
    return own


@pytest.mark.parametrize("kills", [2, pytest.param(15, marks=pytest.mark.faults)])
def test_every_value_is_that_of_training_after_kills_in_open_checkpoints_rebalances_and_a_restart(
    windowed: Settings, tmp_path: Path, wait_until: Wait, kills: int
) -> None:
    moments, sent, unfinished = random.Random(SEED), 0, 0

    def more(worker: Worker, count: int = 4000) -> None:
        nonlocal sent
        before = worker.committed()
        sent += publish(windowed, events(count, sent))
        wait_until(lambda: worker.committed() > before, 90)

    for _ in range(kills):
        with running(windowed, tmp_path, program("small_cuts", 40), worker_id="victim", **RESTLESS) as victim:
            wait_until(victim.partitions, 90)
            more(victim)
            time.sleep(moments.uniform(0.2, 1.5))
            victim.kill()
        unfinished += begun(windowed) > 0
    assert marks(windowed) > 0
    assert unfinished > 0
    with running(windowed, tmp_path, worker_id="victim", **RESTLESS) as steady:
        wait_until(steady.partitions, 90)
        more(steady)
        with running(windowed, tmp_path, worker_id="visitor", **RESTLESS) as visitor:
            wait_until(lambda: len(visitor.partitions()) == 2, 90)
            more(visitor)
            wait_until(lambda: committed_offsets(windowed) == sent, 90)
            assert visitor.stop() == 0, visitor.said
        more(steady)
        wait_until(lambda: committed_offsets(windowed) == sent, 90)
        assert steady.stop() == 0, steady.said
    with running(windowed, tmp_path, worker_id="victim", **RESTLESS) as again:
        wait_until(again.partitions, 90)
        more(again)
        wait_until(lambda: committed_offsets(windowed) == sent, 90)
        assert again.stop() == 0, again.said
    assert proved(windowed).committed == sent
    agree(windowed)
