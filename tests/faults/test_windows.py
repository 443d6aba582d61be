"""Windows of workers that are killed, joined and started again: every value is the one that training has of the log.

Those of shops and of labels look back so far that no partition lags behind: of all events, in the order of their times.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from msgspec.structs import replace

from models import artefact
from models.definition import complete
from models.windows.history import windows_of
from models.windows.keys import keys_of
from models.windows.totals import HEAD
from models.windows.view import TotalsView
from models.windows.warm import warm_up
from schemas import topics as declared
from schemas.definition import Definition, EventFields, Input, LabelColumn, Window
from schemas.scoring import Label
from schemas.topics import LABELS, LATENTS, TRANSACTIONS, WINDOW_STATE, WINDOW_TOTALS
from stream_app.kafka import topics
from stream_app.kafka.log import read_to_end
from stream_app.pipeline.window_records import CUT, ENTITY_BYTES, FINGERPRINT_BYTES, MARK, PARTITION
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Settings
from stream_app.testing.tiny_model import UNSEEN, glass_model
from stream_app.verify.windows import verify_windows
from tests.faults.sabotage import program
from tests.known_stream import Wait, proved
from tests.traffic import committed_offsets, committed_records, publish
from tests.workers import Worker, running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

MARK_KEY = FINGERPRINT_BYTES + PARTITION.size
SEED, CARDS = 20261128, 1500
WINDOWS = [
    Window("card", "count", "1h"),
    Window("shop", "count", "13d", delay="20d"),
    Window("card", "mean", "1d", "amount"),
    Window("card", "std", "30d", "amount"),
    Window("card", "deviation", "7d", "amount"),
    Window("card", "sum", "7d", "amount", "1d"),
    Window("card", "distinct", "7d", "shop"),
    Window("card", "is_new", "30d", "shop"),
    Window("card", "since_last", "30d"),
    Window("shop", "mean", "13d", "label", "20d"),
    Window("shop", "sum", "13d", "amount", "20d"),
    Window("card", "mean", "13d", "label", "20d"),
]
OWN, OTHERS = [[n for n, w in enumerate(WINDOWS) if bool(w.delay == "20d") is other] for other in (False, True)]
LATE_S = 86_400  # for which hops are held longer than the newest event needs
DEFINITION = complete(
    Definition(
        "windows",
        EventFields("id", "at", "card", time_unit="ms"),
        (Input("amount", "amount", "EUR"), *(Input(f"w{n}", window=window) for n, window in enumerate(WINDOWS))),
        LabelColumn("fraud"),
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


def event(number: int) -> dict[str, Any]:
    """One of a month of a few thousand cards; some come late."""
    rng = random.Random(number)
    card, shop = f"c{int(CARDS * rng.random() ** 2)}", f"s{rng.randrange(6)}"
    at = START + timedelta(seconds=100 * number - rng.choice([0, 0, 0, 40_000, 400_000]), microseconds=1000 * number)
    return {
        "id": str(number),
        "at": round(at.timestamp() * 1000),
        "card": card,
        "amount": round(rng.lognormvariate(3, 1), 2) if number % 11 else None,
        "shop": shop,
    }


def is_none(number: int) -> bool:
    return number % 53 == 0


def events(numbers: range) -> Iterator[tuple[bytes, bytes]]:
    """Records, of which some are no events."""
    for number in numbers:
        found = event(number)
        yield found["card"].encode(), b"{" if is_none(number) else json.dumps(found).encode()


def labels(numbers: range) -> Iterator[tuple[bytes, bytes]]:
    """What became of some, contradicted first and repeated then."""
    for number in (n for n in numbers if n % 7 == 0 and not is_none(n)):
        found = event(number)
        at = datetime.fromtimestamp(found["at"] / 1000, UTC)
        for fraud in (number % 3 > 0, number % 3 == 0, number % 3 == 0):
            label = Label(str(number), fraud, at, entity=found["card"], event_time=at, entities={"shop": found["shop"]})
            yield found["id"].encode(), msgspec.json.encode(label)


def became(number: int) -> float:
    return float(number % 7 == 0 and number % 3 == 0)


def seen(settings: Settings) -> dict[tuple[int, int], np.ndarray]:
    """What the model saw at each place, each once."""
    found: dict[tuple[int, int], np.ndarray] = {}
    for latent in committed_records(settings, LATENTS):
        place = latent.source.partition, latent.source.offset
        assert place not in found
        found[place] = np.array(latent.latent, dtype=np.float32)[1:]
    return found


def trained(settings: Settings) -> dict[tuple[int, int], np.ndarray]:
    """The windows of the log as training computes them: of cards partition by partition, of shops over all."""
    logs: dict[int, list[tuple[int, bytes]]] = {}
    for message in read_to_end(settings, TRANSACTIONS):
        logs.setdefault(message.partition() or 0, []).append((message.offset() or 0, message.value() or b""))
    assert len(logs) == 4
    parts = []
    for partition, log in logs.items():
        good = [(offset, msgspec.json.decode(value)) for offset, value in log if value != b"{"]
        rows = [
            {"partition": partition, "offset": offset, "label": became(int(found["id"]))}
            | found
            | {"at": datetime.fromtimestamp(found["at"] / 1000, UTC)}
            for offset, found in good
        ]
        frame = pl.DataFrame(rows, schema_overrides={"amount": pl.Float64})
        values = windows_of(frame, [WINDOWS[n] for n in OWN], time="at", entity="card")
        parts.append(frame.with_columns(pl.Series(f"w{n}", values[:, column]) for column, n in enumerate(OWN)))
    frame = pl.concat(parts).sort("at")
    values = windows_of(frame, [WINDOWS[n] for n in OTHERS], time="at", entity="card")
    frame = frame.with_columns(pl.Series(f"w{n}", values[:, column]) for column, n in enumerate(OTHERS))
    found = frame.select(f"w{n}" for n in range(len(WINDOWS))).to_numpy().copy()
    assert all(np.unique(found[:, n]).size > 10 for n in OTHERS)
    found[np.isnan(found)] = UNSEEN
    late = (pl.lit(START) + pl.duration(seconds=100 * pl.col("id").cast(pl.Int64)) - pl.col("at")).dt.total_seconds()
    beyond = frame.select(late > LATE_S).to_series().to_numpy()
    for n in OTHERS:
        found[beyond, n] = np.nan
    return dict(zip(frame.select("partition", "offset").iter_rows(), found, strict=True))


def marks(settings: Settings) -> int:
    """How many checkpoints are whole."""
    return sum(len(message.key() or b"") == MARK_KEY for message in read_to_end(settings, WINDOW_STATE))


def begun(settings: Settings) -> int:
    """How many records stand there of checkpoints that are not whole."""
    whole: dict[bytes, int] = {}
    blocks: list[tuple[bytes, int]] = []
    for message in read_to_end(settings, WINDOW_STATE):
        key, value = message.key() or b"", message.value() or b""
        if len(key) == MARK_KEY:
            whole[key] = MARK.unpack(value)[0]
        elif len(key) == MARK_KEY + ENTITY_BYTES and value:
            blocks.append((key[:MARK_KEY], CUT.unpack_from(value)[0]))
    return sum(cut > whole.get(whose, -1) for whose, cut in blocks)


def published_once(settings: Settings) -> None:
    """Each hop of each shop and card of each partition, and all of it: nothing twice, nothing lost."""
    shops = [replace(WINDOWS[n], over="180d") for n in OTHERS if WINDOWS[n].entity == "shop"]  # of which all is held
    view, found = TotalsView(shops, 100), list[tuple[object, ...]]()
    for message in read_to_end(settings, WINDOW_TOTALS):
        key, record = message.key() or b"", (message.value() or b"")[CUT.size :]
        found.append((key, *HEAD.unpack_from(record)[1::2]))
        if key[-1] == 0:
            view.add(PARTITION.unpack_from(key, FINGERPRINT_BYTES)[0], record)
    assert len({key for key, *_ in found}) == 2 * 4
    assert len(set(found)) == len(found) > 100
    names, at = [f"s{shop}" for shop in range(6)], START + timedelta(days=33)
    logged = (json.loads(m.value() or b"") for m in read_to_end(settings, TRANSACTIONS) if m.value() != b"{")
    first = Counter(e["shop"] for e in logged if e["at"] / 1000 - START.timestamp() < 13 * 86_400)
    counts = view.look(keys_of(names), np.full(6, at.timestamp() * 1e6, np.int64))[:, 0]
    assert dict(zip(names, counts.tolist(), strict=True)) == first


def agree(settings: Settings) -> None:
    found, wanted = seen(settings), trained(settings)
    assert found.keys() == wanted.keys()
    different = [
        place
        for place, values in sorted(wanted.items())
        if np.where(np.isnan(values), values, found[place]).tobytes() != values.tobytes()
    ]
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


class Sent:
    """Events and labels that workers are given: of all numbers every so many-th, so the same days in fewer events.

    They come `numbers` at a time, which is less than a week: no partition is further behind another.
    """

    def __init__(self, settings: Settings, folder: Path, wait_until: Wait, every: int = 1, numbers: int = 4000) -> None:
        self._settings, self._folder, self._wait_until = settings, folder, wait_until
        self._every, self._numbers, self.count = every, numbers, 0

    def settle(self) -> None:
        """All that was sent is committed."""
        self._wait_until(lambda: committed_offsets(self._settings) == self.count, 90)

    def more(self, worker: Worker, times: int = 1) -> None:
        """More, of which the worker has committed some."""
        for _ in range(times):
            self.settle()
            before, first = worker.committed(), self.count * self._every
            numbers = range(first, first + self._numbers, self._every)
            publish(self._settings, labels(numbers), LABELS)
            self.count += publish(self._settings, events(numbers))
            self._wait_until(lambda: worker.committed() > before, 90)

    def killed(self, wait_s: float, times: int = 1) -> bool:
        """A worker takes some and is killed while it does; whether a checkpoint was open."""
        with running(self._settings, self._folder, program("small_cuts", 40), worker_id="victim", **RESTLESS) as victim:
            self._wait_until(victim.partitions, 90)
            self.more(victim, times)
            time.sleep(wait_s)
            victim.kill()
        return begun(self._settings) > 0

    def last(self, times: int = 1) -> None:
        """A worker takes the last."""
        with running(self._settings, self._folder, worker_id="victim", **RESTLESS) as again:
            self._wait_until(again.partitions, 90)
            self.more(again, times)
            self.settle()
            assert again.stop() == 0, again.said
        assert proved(self._settings).committed == self.count
        checks = verify_windows(self._settings, artefact.load(self._folder / "1.pt").manifest)
        assert [check.partition for check in checks if check.cut and check.entities] == [0, 1, 2, 3]
        assert sum(check.differing + check.unverifiable for check in checks) == 0, checks
        published_once(self._settings)
        agree(self._settings)


def test_every_value_is_that_of_training_after_a_kill(windowed: Settings, tmp_path: Path, wait_until: Wait) -> None:
    sent = Sent(windowed, tmp_path, wait_until, every=4, numbers=6000)
    sent.killed(0.3, times=2)
    sent.last(times=3)


@pytest.mark.faults
@pytest.mark.parametrize("kills", [2, 15])
def test_every_value_is_that_of_training_after_kills_in_open_checkpoints_rebalances_and_a_restart(
    windowed: Settings, tmp_path: Path, wait_until: Wait, kills: int
) -> None:
    sent, moments, unfinished = Sent(windowed, tmp_path, wait_until), random.Random(SEED), 0
    for number in range(4 * kills):
        if number >= kills and unfinished:
            break
        unfinished += sent.killed(moments.uniform(0.2, 1.5))
    assert marks(windowed) > 0
    assert unfinished > 0
    with running(windowed, tmp_path, worker_id="victim", **RESTLESS) as steady:
        wait_until(steady.partitions, 90)
        sent.more(steady)
        with running(windowed, tmp_path, worker_id="visitor", **RESTLESS) as visitor:
            wait_until(lambda: len(visitor.partitions()) == 2, 90)
            sent.more(visitor)
            sent.settle()
            assert visitor.stop() == 0, visitor.said
        sent.more(steady)
        sent.settle()
        assert steady.stop() == 0, steady.said
    sent.last()
