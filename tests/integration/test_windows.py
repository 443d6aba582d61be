"""Commands around the windows of a stream, on a real Kafka with real workers."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.data.frame import read, write
from models.data.simulator import Simulation, simulate
from models.definition import complete, find
from models.windows.history import windows_of
from models.windows.warm import warm_up
from schemas import topics as declared
from schemas.definition import Definition, EventFields, Input, Window
from schemas.topics import AUDIT, LABELS, LATENTS, WINDOW_STATE
from stream_app.kafka import topics
from stream_app.kafka.log import read_to_end
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Settings
from stream_app.testing.tiny_model import UNSEEN, glass_model
from tests.traffic import committed_offsets, committed_records, publish
from tests.unit.stream_app.cli.cli_runner import stream_app
from tests.workers import running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

WINDOWS = [
    Window("card", "count", "1h"),
    Window("card", "mean", "7d", "amount"),
    Window("card", "since_last", "30d"),
    Window("card", "is_new", "30d", "shop"),
]
DEFINITION = complete(
    Definition(
        "windows",
        EventFields("id", "at", "card", time_unit="ms"),
        (Input("amount", "amount", "EUR"), *(Input(f"w{n}", window=window) for n, window in enumerate(WINDOWS))),
    )
)
EVENTS, BEFORE = 1200, 500


def events(first: int, end: int) -> Iterator[dict[str, object]]:
    for number in range(first, end):
        card, shop = f"c{number**3 // 7 % 40}", f"s{number**2 // 3 % 5}"
        yield {"id": f"{number:05}", "at": 1_600_000_000_000 + 300_000 * number, "card": card, "amount": number % 97,
               "shop": shop}  # fmt: skip


def keyed(first: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    return ((str(event["card"]).encode(), json.dumps(event).encode()) for event in events(first, end))


def trained() -> dict[str, np.ndarray]:
    """The windows of each event, as training has them of all."""
    rows = [e | {"at": datetime.fromtimestamp(int(str(e["at"])) / 1000, UTC)} for e in events(0, EVENTS)]
    values = windows_of(pl.DataFrame(rows), WINDOWS, time="at", entity="card")
    values[np.isnan(values)] = UNSEEN
    return {str(row["id"]): value for row, value in zip(rows, values, strict=True)}


@pytest.fixture
def cli(settings: Settings, tmp_path: Path) -> Callable[..., object]:
    """A model with windows, not in service yet, and the command line of its installation; the loops are compiled."""
    warm_up()
    topics.ensure(settings, declared.ALL)
    glass_model(tmp_path / "1.pt", "1", DEFINITION)

    def run(*args: object) -> object:
        where = "--bootstrap-servers", settings.bootstrap_servers, "--topic-prefix", settings.topic_prefix
        own = {"STREAM_APP_APP_ID": settings.app_id, "STREAM_APP_MODEL_CACHE": settings.model_cache}
        return stream_app(*args, *where, **own)

    return run


def test_a_worker_that_was_warmed_up_sees_what_the_file_holds(settings, tmp_path, wait_until, cli) -> None:
    history = tmp_path / "history.jsonl"
    history.write_text("\n".join(map(json.dumps, events(0, BEFORE + 50))))  # some of it stands in the log, too
    sent = publish(settings, keyed(BEFORE, 900))
    asked = "warm-up", history, "--model", tmp_path / "1.pt"
    planned = cli(*asked, "--dry-run", "--json")
    assert planned.exit_code == 0, planned.stderr
    figures = json.loads(planned.stdout)
    assert (figures["partitioner"], figures["records"], figures["written"]) == ("murmur2", sent, False)
    assert sum(entry["events"] for entry in figures["partitions"]) == pytest.approx(BEFORE, abs=50)
    assert not list(read_to_end(settings, WINDOW_STATE))
    assert cli(*asked, "--partitioner", "consistent_random").exit_code == 1
    done = cli(*asked, "--reason", "new group")
    assert done.exit_code == 0, done.stderr
    assert "written: start the workers" in done.stdout
    (entry,) = [record for record in committed_records(settings, AUDIT) if record.action == "warm-up"]
    assert (entry.subject, entry.reason) == ("windows of tiny 1", "new group")
    commands.deploy(settings, Order("test", timeout_s=0), tmp_path / "1.pt")
    with running(settings, tmp_path, publish_latents=True, window_checkpoint_s=0.2) as worker:
        wait_until(lambda: committed_offsets(settings) == sent, 90)
        refused = cli(*asked)
        assert (refused.exit_code, "stop them all" in refused.stderr) == (1, True)
        sent += publish(settings, keyed(900, EVENTS))
        wait_until(lambda: committed_offsets(settings) == sent, 90)
        assert worker.stop() == 0, worker.said
    assert "without a past" not in worker.said
    assert "know nothing before" not in worker.said
    wanted = trained()
    found = {
        latent.event_id: np.array(latent.latent, dtype=np.float32)[1:]
        for latent in committed_records(settings, LATENTS)
    }
    assert sorted(found) == sorted(wanted)[BEFORE:]
    for event_id, values in found.items():
        np.testing.assert_array_equal(values, wanted[event_id], event_id)
    again = cli(*asked)
    assert (again.exit_code, "--replace counts them anew" in again.stderr) == (1, True)


def test_raw_card_payments_are_served_with_the_windows_of_terminals_and_labels_that_training_has(
    settings, tmp_path, wait_until, cli
) -> None:
    """The last days, after a restart; their windows look at what was published and labelled before, a week ago."""
    raw, definition = tmp_path / "raw.parquet", find("cards-raw")
    simulated = simulate(Simulation(days=26, customers=60, terminals=15, seed=3, warm_up_days=0))
    names = {"event_id": "transaction_id", "entity": "customer_id"}
    payments = simulated.select(*names, "event_time", "terminal_id", "amount", "currency").rename(names)
    write(payments.with_columns(fraud=pl.int_range(pl.len()) % 13 == 0), raw)
    glass_model(tmp_path / "raw.pt", "raw", definition)
    commands.deploy(settings, Order("test", timeout_s=0), tmp_path / "raw.pt")
    before, last = ("--until", "2018-04-21", "--labels"), ("--from", "2018-04-22")
    done = cli("produce", raw, "--detector", "cards-raw", *before)
    assert done.exit_code == 0, done.stderr
    published = partial(committed_records, settings, LABELS)
    assert {tuple(label.entities) for label in published()} == {("terminal_id",)}
    with running(settings, tmp_path, publish_latents=True) as worker:
        sent = int((simulated["event_time"].dt.date() <= date(2018, 4, 21)).sum())
        wait_until(lambda: committed_offsets(settings) == sent, 90)
        assert worker.stop() == 0, worker.said
    assert cli("produce", raw, "--detector", "cards-raw", *last).exit_code == 0
    with running(settings, tmp_path, publish_latents=True) as worker:
        wait_until(lambda: committed_offsets(settings) == simulated.height, 90)
        assert worker.stop() == 0, worker.said
    frame = read(raw, definition=definition)
    columns = [entry.name for entry in definition.inputs]
    found = {latent.event_id: latent.latent for latent in committed_records(settings, LATENTS)}
    assert len(found) == simulated.height
    later = frame.filter(pl.col("event_time") >= datetime(2018, 4, 22, tzinfo=UTC))
    assert (later["terminal_risk_7d"] > 0).any()
    for event_id, *wanted in later.select("event_id", *columns).iter_rows():
        expected = np.nan_to_num(np.array(wanted, dtype=np.float32), nan=UNSEEN)
        np.testing.assert_array_equal(np.array(found[event_id], dtype=np.float32), expected, event_id)
