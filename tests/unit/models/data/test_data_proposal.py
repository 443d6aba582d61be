"""A file with nothing of our names gets a definition that trains without an edit, with a reason on every line."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.data.files import DataError
from models.data.frame import read, write
from models.data.proposal import propose
from models.data.simulator import Simulation, simulate
from models.definition import load
from models.recipe import TrainingConfig
from models.training import train
from schemas.definition import Definition

ROWS = 4000
START_MS = 1_704_067_200_000


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Integer ids, epoch milliseconds, nested card and merchant, cents, 300 codes, gaps, and rows that come twice."""
    rng = np.random.default_rng(3)
    codes, shares = [f"M{i:03}" for i in range(300)], 1 / np.arange(1, 301)
    chosen = rng.choice(300, ROWS, p=shares / shares.sum())
    lines = []
    for i in range(ROWS):
        event = {
            "txn": {"ref": 7_000_000 + i, "ts": START_MS + 200_000 * i, "amount_minor": int(rng.exponential(3000))},
            "card": {"token": int(rng.integers(100_000, 100_200)), "present": bool(rng.random() < 0.7)},
            "merchant": {"id": int(rng.integers(1, 900)), "mcc": codes[chosen[i]]},
            "velocity": float(rng.normal()),
            "is_chargeback": int(i % 97 == 0),
        }
        if rng.random() < 0.08:
            event["velocity"] = event["merchant"]["mcc"] = None
        lines.append(json.dumps(event))
    path = tmp_path_factory.mktemp("odd") / "odd.jsonl"
    path.write_text("\n".join([*lines, *lines[: ROWS // 100]]))
    return path


def defined(sample: Path, folder: Path) -> Definition:
    text = propose(sample)
    (folder / "detector.toml").write_text(text)
    heads = ("id", "time", "entity", "path", "column", "window")
    lines = [line for line in text.splitlines() if line.startswith(heads)]
    assert all("  # " in line for line in lines), "a line without its reason"
    return load(folder / "detector.toml")


def test_an_odd_file_gets_a_definition_that_trains_as_it_is(odd: Path, tmp_path: Path) -> None:
    definition = defined(odd, tmp_path)
    event = definition.event
    assert (event.id, event.time, event.time_unit, event.entity) == ("txn.ref", "txn.ts", "ms", "card.token")
    kinds = {entry.path or entry.clock: (entry.kind, entry.scale) for entry in definition.inputs if not entry.window}
    assert kinds == {
        "txn.amount_minor": ("number", 0.01),
        "card.present": ("flag", 1.0),
        "merchant.mcc": ("category", 1.0),
        "velocity": ("number", 1.0),
        "weekend": ("flag", 1.0),
        "night": ("flag", 1.0),
    }
    assert definition.label.column == "is_chargeback"
    frame = read(odd, definition=definition)
    assert frame.height == ROWS
    _, manifest = train(frame, definition, TrainingConfig(epochs=1), "odd", "1")
    assert len(manifest.categories["merchant_mcc"].shares) > 200
    assert manifest.metrics.keys() == {"model", "random", "txn_amount", "isolation_forest"}


def test_what_is_written_as_text_is_no_number_and_what_is_named_as_an_identity_is_none_either(tmp_path: Path) -> None:
    """The stream refuses text where the definition reads a number; a mean of shop numbers means nothing."""
    rng = np.random.default_rng(0)
    lines = [
        {"no": i, "booked": START_MS + 3_600_000 * i, "card": int(rng.integers(40)), "mcc": f"{rng.integers(50)}",
         "shop": {"no": int(rng.integers(200)), "branch_no": int(rng.integers(3))}, "agreed": rng.choice(["Y", "N"]),
         "code": int(rng.integers(300)), "cents": int(rng.exponential(900))}
        for i in range(1200)
    ]  # fmt: skip
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    definition = defined(tmp_path / "texts.jsonl", tmp_path)
    kinds = {entry.path: entry.kind for entry in definition.inputs if entry.path}
    codes = dict.fromkeys(("mcc", "shop.branch_no", "agreed", "code"), "category")
    assert kinds == codes | {"cents": "number"}
    assert definition.at("cents").name == "amount"  # the model sees euros: what is called cents would be misread
    assert {entry.window.of for entry in definition.windows} == {"", "shop.no"}  # whether a shop is new for the card


def test_what_never_varies_within_an_entity_gets_no_window(tmp_path: Path) -> None:
    """Where a customer lives deviates from nothing: such an input has no value in any row, and training refuses it."""
    rng = np.random.default_rng(0)
    homes, spends = rng.normal(size=40), rng.uniform(5, 90, size=40)
    lines = [
        {"id": i, "at": START_MS + 600_000 * i, "card": c, "home_lat": homes[c], "amount": spends[c] + rng.normal()}
        for i, c in enumerate(rng.integers(40, size=1200).tolist())
    ]
    (tmp_path / "homes.jsonl").write_text("\n".join(map(json.dumps, lines)))
    definition = defined(tmp_path / "homes.jsonl", tmp_path)
    assert {entry.window.of for entry in definition.windows} == {"", "amount"}


@pytest.mark.parametrize("form", ["parquet", "csv", "ndjson"])
def test_the_simulators_file_is_understood_in_every_form(tmp_path: Path, form: str) -> None:
    write(simulate(Simulation(days=9, customers=200)), tmp_path / "sim.parquet")
    getattr(pl.read_parquet(tmp_path / "sim.parquet"), f"write_{form}")(tmp_path / "sample")
    definition = defined(tmp_path / "sample", tmp_path)
    assert (definition.event.id, definition.event.entity) == ("transaction_id", "customer_id")
    assert definition.label.column == "fraud"
    names = [entry.name for entry in definition.inputs]
    assert {"amount", "country", "customer_nb_tx_7d"} <= {*names}
    assert {"terminal_id", "fraud_scenario"}.isdisjoint(names)
    train(read(tmp_path / "sample", definition=definition), definition, TrainingConfig(epochs=1), "m", "1")


def test_windows_are_proposed_where_entities_differ_and_of_other_entities(tmp_path: Path) -> None:
    features = simulate(Simulation(days=14, customers=150, terminals=100, warm_up_days=0))
    raw = features.select("event_id", "event_time", "entity", "terminal_id", "amount", "fraud", noise="amount")
    write(raw.with_columns(pl.col("noise").shuffle(seed=1)), tmp_path / "raw.parquet")
    definition = defined(tmp_path / "raw.parquet", tmp_path)
    windows = {(w.entity, w.aggregate, w.of, w.delay) for w in (entry.window for entry in definition.windows)}
    assert {w.over for w in (entry.window for entry in definition.windows) if w.aggregate == "count"} == {"30d", "1h"}
    assert windows == {
        *(("customer_id", aggregate, "", "") for aggregate in ("count", "since_last")),
        *(("customer_id", aggregate, "amount", "") for aggregate in ("mean", "deviation")),
        ("customer_id", "is_new", "terminal_id", ""),
        ("terminal_id", "count", "", "1d"),
        ("terminal_id", "mean", "label", "7d"),
    }
    train(read(tmp_path / "raw.parquet", definition=definition), definition, TrainingConfig(epochs=1), "m", "1")


def test_the_handbooks_file_is_understood(handbook_file: Path, tmp_path: Path) -> None:
    definition = defined(handbook_file, tmp_path)
    assert (definition.event.id, definition.event.entity) == ("TRANSACTION_ID", "CUSTOMER_ID")
    assert len([entry for entry in definition.inputs if not entry.window]) == 15


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"x": [1.5, 2.5], "id": ["a", "b"]}, "no column with a time"),
        ({"at": ["2024-01-01", "2024-01-02"], "x": [1.5, 1.5]}, "no column that tells its events apart"),
        ({"at": ["2024-01-01", "2024-01-02"], "id": ["a", "b"]}, "no column that says whose the events are"),
    ],
)
def test_a_file_that_lacks_what_every_detector_needs_is_one_line(
    columns: dict[str, list[object]], says: str, tmp_path: Path
) -> None:
    pl.DataFrame(columns).write_csv(tmp_path / "few.csv")
    with pytest.raises(DataError, match=says):
        propose(tmp_path / "few.csv")
