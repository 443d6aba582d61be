"""Windows of data files: from the rows before, days before the first one included, by the definition alone."""

import logging
import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest
import torch

from models.data.events import encode
from models.data.files import DataError
from models.data.frame import read
from models.definition import load
from models.inputs import matrix
from models.recipe import TrainingConfig
from models.training import train
from schemas.definition import Definition
from tests.unit.models.windows.oracle import Event, OracleWindow, run, values_of

START = datetime(2024, 3, 1, tzinfo=UTC)
DAYS, ROWS = 20, 3000
EVENTS = """
name = "orders"
[event]
id = "no"
time = "at"
entity = "card.id"
[[input]]
name = "euros"
path = "minor"
scale = 0.01
"""
LABELLED = '[label]\ncolumn = "bad"\n'
OWN = {
    "n": OracleWindow("count", "7d"),
    "mean": OracleWindow("mean", "7d", "minor"),
    "since": OracleWindow("since_last", "7d"),
    "new": OracleWindow("is_new", "7d", "shop.id"),
    "own": OracleWindow("deviation", "12h", "minor"),
    "plain": OracleWindow("max", "1d", "points"),
}
SHOP = {"shop_n": OracleWindow("count", "3d", "", "2d"), "shop_bad": OracleWindow("mean", "3d", "label", "2d")}


def written(names: dict[str, OracleWindow], entity: str) -> str:
    text = ""
    for name, window in names.items():
        of = f', of = "{window.of}"' if window.of else ""
        delay = f', delay = "{window.delay}"' if window.delay else ""
        text += f'[[input]]\nname = "{name}"\n'
        text += (
            f'window = {{ entity = "{entity}", aggregate = "{window.aggregate}"{of}, over = "{window.over}"{delay} }}\n'
        )
    return text


@pytest.fixture
def definition(tmp_path: Path) -> Definition:
    text = EVENTS + written(OWN, "card.id") + written(SHOP, "shop.id") + LABELLED
    (tmp_path / "orders.toml").write_text(text)
    return load(tmp_path / "orders.toml")


@pytest.fixture(scope="module")
def orders() -> pl.DataFrame:
    """Nested, with cents, gaps, integers for ids and milliseconds for times; already in the order of time."""
    rng = np.random.default_rng(5)
    at = np.sort(rng.integers(0, DAYS * 86_400, ROWS))
    shop = rng.integers(0, 25, ROWS)
    return pl.DataFrame(
        {
            "no": np.arange(ROWS) + 10_000,
            "at": [START + timedelta(seconds=int(s)) for s in at],
            "card": [{"id": int(card)} for card in rng.integers(0, 60, ROWS)],
            "shop": [{"id": None if number == 0 else f"s{number}"} for number in shop],
            "minor": np.where(rng.random(ROWS) < 0.05, None, rng.integers(-500, 9000, ROWS)).tolist(),
            "points": rng.integers(0, 99, ROWS).astype(float),
            "bad": rng.random(ROWS) < 0.1,
        }
    )


@pytest.fixture
def file(orders: pl.DataFrame, tmp_path: Path) -> Path:
    orders.write_parquet(tmp_path / "orders.parquet")
    return tmp_path / "orders.parquet"


def by_hand(orders: pl.DataFrame) -> dict[str, list[float]]:
    """As the oracle counts, by card for the first windows and by shop for the others."""
    cards, shops = [], []
    for row in orders.iter_rows(named=True):
        us = round(row["at"].timestamp() * 1e6)
        minor = math.nan if row["minor"] is None else row["minor"] / 100
        shop = None if row["shop"]["id"] is None else int(row["shop"]["id"][1:])
        cards.append(Event(row["card"]["id"], us, {"minor": minor, "points": row["points"], "shop.id": shop}))
        shops.append(Event(shop or 0, us, {"label": float(row["bad"])}))
    own = zip(*run([*OWN.values()], cards), strict=True)
    found = dict(zip(OWN, map(list, own), strict=True))
    for name, window in SHOP.items():
        found[name] = [
            math.nan if not event.entity else values_of(window, _of(shops, event, place), event)
            for place, event in enumerate(shops)
        ]
    return found


def _of(events: Sequence[Event], event: Event, place: int) -> list[Event]:
    return [other for other in events[:place] if other.entity == event.entity]


def test_every_window_is_what_a_count_by_hand_gives(definition, orders, file):
    frame = read(file, definition=definition)
    assert frame.columns == ["event_id", "event_time", "entity", "euros", "fraud", *OWN, *SHOP]
    for name, expected in by_hand(orders).items():
        np.testing.assert_allclose(frame[name].to_numpy(), expected, rtol=1e-5, atol=1e-7, err_msg=name)


def test_days_before_the_first_fill_its_windows_and_are_not_in_the_frame(definition, file):
    whole = read(file, definition=definition)
    since = date(2024, 3, 12)
    later = read(file, since, date(2024, 3, 15), definition=definition)
    assert later.equals(whole.filter(pl.col("event_time").dt.date().is_between(since, date(2024, 3, 15))))


def test_no_row_further_back_than_the_longest_window_is_looked_at(definition, orders, file, tmp_path):
    reach = timedelta(days=7, hours=1)  # of the windows of 7 d, whose hops are hours
    first = datetime(2024, 3, 12, tzinfo=UTC)
    orders.filter(pl.col("at") >= first - reach).write_parquet(tmp_path / "cut.parquet")
    assert read(tmp_path / "cut.parquet", first.date(), definition=definition).equals(
        read(file, first.date(), definition=definition)
    )


def test_a_row_that_stands_there_twice_counts_once(definition, orders, file, tmp_path):
    pl.concat([orders, orders[100:300]]).write_parquet(tmp_path / "again.parquet")
    assert read(tmp_path / "again.parquet", definition=definition).equals(read(file, definition=definition))


def test_a_history_that_is_too_short_is_said_with_its_end(definition, file, caplog):
    with caplog.at_level(logging.WARNING):
        read(file, date(2024, 3, 9), definition=definition)
        assert not caplog.messages
        read(file, date(2024, 3, 5), definition=definition)
    assert caplog.messages == [
        "the data begins 2024-03-01 00:00, so the longest windows are short until 2024-03-08 01:00"
    ]


def test_windows_over_labels_need_the_column(definition, orders, tmp_path):
    orders.drop("bad").write_parquet(tmp_path / "unlabelled.parquet")
    with pytest.raises(DataError, match="lacks the columns bad"):
        read(tmp_path / "unlabelled.parquet", definition=definition, labels_needed=False)
    assert read(tmp_path / "unlabelled.parquet", definition=definition, labels_needed=False, published=True).height


def test_what_windows_look_at_is_published_and_what_they_give_is_not(definition, orders, file):
    frame = read(file, definition=definition, published=True)
    published = [orjson.loads(value) for _, value, _ in encode(frame[:50], definition)]
    for event, row in zip(published, orders[:50].iter_rows(named=True), strict=True):
        expected = {"no": str(row["no"]), "card": {"id": str(row["card"]["id"])}, "points": row["points"]}
        expected |= {} if row["minor"] is None else {"minor": row["minor"]}
        expected |= {"shop": {} if row["shop"]["id"] is None else row["shop"]}
        event.pop("at")
        assert event == expected


def test_a_model_is_trained_on_windows(definition, file):
    frame = read(file, definition=definition)
    rows = torch.from_numpy(matrix(frame, definition.inputs))
    graph, _ = train(frame, definition, TrainingConfig(epochs=1), "orders", "1")
    windows = [definition.column(name) for name in (*OWN, *SHOP)]
    with torch.inference_mode():
        contributions = graph(rows)[1]
    assert ((contributions[:, windows] > 0) == ~rows[:, windows].isnan()).double().mean() > 0.99
