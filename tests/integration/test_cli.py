"""The commands on a real Kafka: what they publish, read, say, and how they end."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
import polars.testing
import pytest
from confluent_kafka.admin import NewTopic

from models.data.frame import read, write
from models.data.simulator import Simulation, simulate
from models.definition import cards
from schemas.rollout import Activate, ModelStatus, PartitionProgress, Phase, Stage, WorkerVitals
from schemas.scoring import Label, ModelRef
from schemas.topics import LABELS, MODEL_STATUS, MODEL_SWAP, TRANSACTIONS
from stream_app.cli.topic_data import of_topics, on_disk
from stream_app.kafka import clients, topics
from stream_app.kafka.log import read_to_end
from stream_app.testing.tiny_model import tiny_model
from tests.traffic import publish
from tests.unit.stream_app.cli.cli_runner import stream_app

pytestmark = pytest.mark.kafka

DAYS = 3


@pytest.fixture(scope="module")
def frame():
    return simulate(Simulation(days=DAYS, customers=200, seed=3))


@pytest.fixture(scope="module")
def data(frame, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "history.parquet"
    write(frame, path)
    return path


@pytest.fixture
def cli(settings):
    """Run a command against the test's own topics."""

    def run(*args):
        return stream_app(*args, "--topic-prefix", settings.topic_prefix, **environment(settings))

    return run


def environment(settings):
    return {
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "STREAM_APP_APP_ID": settings.app_id,
        "STREAM_APP_DETECTOR": "cards",
        "STREAM_APP_MODEL_CACHE": str(settings.model_cache),
        "STREAM_APP_WEB_PORT": str(settings.web_port),
        "STREAM_APP_INPUT_PARTITIONS": str(settings.input_partitions),
    }


def process(settings, *args):
    """The same as a process of its own."""
    program = "import sys; from stream_app.cli.app import app; app(sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, args), "--topic-prefix", settings.topic_prefix],
        env={**os.environ, **environment(settings)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def put(settings, topic, *records):
    topics.ensure(settings, [topic])
    producer = clients.producer(settings)
    for record in records:
        producer.produce(topics.name(settings, topic), msgspec.json.encode(record))
    assert producer.flush(30) == 0


def test_produce_publishes_every_transaction_once_keyed_by_customer(cli, settings, data, frame):
    result = cli("produce", data, "--json")
    assert result.exit_code == 0, result.stderr
    name = topics.name(settings, TRANSACTIONS)
    assert json.loads(result.stdout)[name]["events"] == len(frame)
    messages = list(read_to_end(settings, TRANSACTIONS))
    events = [json.loads(message.value()) for message in messages]
    assert sorted(event["transaction_id"] for event in events) == sorted(frame["event_id"])
    assert all(m.key() == e["customer_id"].encode() for m, e in zip(messages, events, strict=True))


def test_each_customers_transactions_keep_their_order(cli, settings, data):
    cli("produce", data)
    last: dict[str, datetime] = {}
    for message in read_to_end(settings, TRANSACTIONS):
        event = json.loads(message.value())
        at = datetime.fromisoformat(event["event_time"])
        assert at >= last.get(event["customer_id"], at)
        last[event["customer_id"]] = at


def test_records_bear_the_time_of_sending(cli, settings, data):
    before = datetime.now(UTC).timestamp() * 1000
    cli("produce", data, "--limit", 5)
    after = datetime.now(UTC).timestamp() * 1000
    assert all(before - 1 <= m.timestamp()[1] <= after for m in read_to_end(settings, TRANSACTIONS))


def test_produce_takes_the_days_and_the_number_asked_for(cli, settings, data, frame):
    second_day = frame["event_time"].dt.date().unique().sort()[1].isoformat()
    result = cli("produce", data, "--from", second_day, "--until", second_day, "--limit", 7)
    assert result.exit_code == 0, result.stderr
    events = [json.loads(m.value()) for m in read_to_end(settings, TRANSACTIONS)]
    assert len(events) == 7
    assert {event["event_time"][:10] for event in events} == {second_day}


def test_produce_publishes_the_further_columns_asked_for(cli, settings, data, frame):
    assert cli("produce", data, "--limit", 20, "--field", "country").exit_code == 0
    events = [json.loads(m.value()) for m in read_to_end(settings, TRANSACTIONS)]
    countries = dict(frame.select("event_id", "country").iter_rows())
    assert {e["transaction_id"]: e["country"] for e in events} == {
        e["transaction_id"]: countries[e["transaction_id"]] for e in events
    }
    for column in ("city", "fraud"):
        refused = cli("produce", data, "--field", column)
        assert refused.exit_code == 2
        assert column in refused.stderr


def test_labels_are_published_only_when_asked_for_and_never_in_an_event(cli, settings, data, frame):
    assert cli("produce", data, "--limit", 50, "--labels").exit_code == 0
    labels = [msgspec.json.decode(m.value(), type=Label) for m in read_to_end(settings, LABELS)]
    head = frame.head(50)
    assert {b.event_id: b.fraud for b in labels} == dict(zip(head["event_id"], head["fraud"], strict=True))
    assert all(b"fraud" not in m.value() for m in read_to_end(settings, TRANSACTIONS))


def test_produce_to_nothing_but_transactions_makes_no_other_topic(cli, settings, data):
    cli("produce", data, "--limit", 1)
    there = clients.admin(settings).list_topics(timeout=10).topics
    assert [name for name in there if name.startswith(settings.topic_prefix)] == [topics.name(settings, TRANSACTIONS)]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_produce_delivers_and_counts_what_it_sent(settings, data, stop, wait_until):
    topics.ensure(settings, [TRANSACTIONS])
    command = process(settings, "produce", data, "--rate", 50, "--json")
    wait_until(lambda: list(read_to_end(settings, TRANSACTIONS)), 60)
    command.send_signal(stop)
    said, errors = command.communicate(timeout=30)
    assert command.returncode == 0, errors
    (published,) = json.loads(said).values()
    assert published["events"] == len(list(read_to_end(settings, TRANSACTIONS)))


def test_a_deploy_that_somebody_stops_says_that_the_command_goes_on(settings, tmp_path, wait_until):
    topics.ensure(settings)
    tiny_model(tmp_path / "1.pt", "1")
    command = process(settings, "deploy", tmp_path / "1.pt")
    wait_until(lambda: list(read_to_end(settings, MODEL_SWAP)), 60)
    command.send_signal(signal.SIGINT)
    said, errors = command.communicate(timeout=30)
    assert (command.returncode, said) == (130, "")
    assert "it is on the log, and goes on: `stream-app status` shows it" in errors


def test_consume_prints_everything_up_to_the_end_and_stops(cli, data, frame):
    cli("produce", data)
    result = cli("consume", "transactions", "--until-end", "--json")
    assert result.exit_code == 0
    ids = [json.loads(line)["transaction_id"] for line in result.stdout.splitlines()]
    assert sorted(ids) == sorted(frame["event_id"])


def test_consume_stops_at_the_number_asked_for(cli, data):
    cli("produce", data)
    result = cli("consume", "transactions", "--from-beginning", "--max", 3)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 3
    assert "customer" in result.stdout


def test_consume_shows_only_what_is_committed(cli, settings):
    topics.ensure(settings, [TRANSACTIONS])
    producer = clients.producer(settings, **{"transactional.id": f"{settings.app_id}-test"})
    producer.init_transactions()
    for value, end in ((b'"aborted"', producer.abort_transaction), (b'"committed"', producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(topics.name(settings, TRANSACTIONS), value)
        producer.flush()
        end()
    assert cli("consume", "transactions", "--until-end", "--json").stdout == '"committed"\n'


def test_without_from_beginning_only_what_is_yet_to_come_is_shown(settings, wait_until):
    put(settings, LABELS, Label("old", False, datetime.now(UTC)))
    command = process(settings, "consume", "labels", "--max", 1)
    new = Label("new", True, datetime.now(UTC))

    def ended():
        put(settings, LABELS, new)
        return command.poll() is not None

    wait_until(ended, 60)
    assert "event new  fraud" in command.communicate()[0]
    assert command.returncode == 0


def test_a_reader_that_goes_away_ends_consume_quietly(settings, data, cli):
    cli("produce", data)
    command = process(settings, "consume", "transactions", "--from-beginning")
    command.stdout.readline()
    command.stdout.close()
    put(settings, TRANSACTIONS, "one more")
    assert command.wait(60) == 0
    assert command.stderr.read() == ""


def test_a_missing_topic_is_one_line(cli, settings):
    result = cli("consume", "anomalies", "--until-end")
    assert result.exit_code == 1
    assert f"{settings.topic_prefix}anomalies does not exist" in result.stderr
    assert len(result.stderr.splitlines()) == 1


ONE, TWO = (ModelRef("card-fraud", str(n), str(n) * 64) for n in (1, 2))


def serve_two(settings):
    """A log in which version 2 serves after version 1."""
    now = datetime.now(UTC)
    for model in (ONE, TWO):
        uri = f"file:///nowhere/{model.version}.pt"
        stage = Stage(command_id=f"s{model.version}", issuer="ann", issued_at=now, uri=uri, model=model)
        activate = Activate(
            command_id=f"a{model.version}", issuer="controller@w", issued_at=now, stage_id=stage.command_id
        )
        put(settings, MODEL_SWAP, stage, activate)


def beat(settings, worker, phase=Phase.HEARTBEAT):
    now = datetime.now(UTC)
    progress = [PartitionProgress(0, 10, 4), PartitionProgress(1, 10, 5)]
    vitals = WorkerVitals(now, "http://127.0.0.1:6066", True, 250.0, 20, 1, 0, 61.0, 114.0, progress)
    status = ModelStatus(worker=worker, phase=phase, at=now, serving=TWO, previous=ONE, vitals=vitals)
    put(settings, MODEL_STATUS, status)


def test_status_shows_live_workers_and_the_model_that_the_log_prescribes(cli, settings):
    topics.ensure(settings)
    serve_two(settings)
    beat(settings, "w1")
    beat(settings, "w2")
    beat(settings, "w2", Phase.STOPPED)
    seen = json.loads(cli("status", "--json").stdout)
    (worker,) = seen["workers"]
    assert (worker["id"], worker["partitions"], worker["lag"]) == ("w1", [0, 1], 9)
    assert (worker["model_sha256"], worker["events_per_second"]) == (TWO.sha256, 250.0)
    model = {"name": "card-fraud", "version": "2", "sha256": TWO.sha256, "previous_sha256": ONE.sha256}
    assert seen["model"].items() >= model.items()
    assert seen["model"]["swap"]["issuer"] == "ann"
    assert seen["drift"] == {"alerts": [], "total": 0}


def test_status_for_people_names_worker_and_model(cli, settings):
    topics.ensure(settings)
    serve_two(settings)
    beat(settings, "w1")
    result = cli("status")
    assert result.exit_code == 0
    assert "model card-fraud 2" in result.stdout
    assert "w1" in result.stdout


def test_status_of_an_empty_system_says_how_to_begin(cli, settings):
    topics.ensure(settings)
    result = cli("status")
    assert result.exit_code == 0
    assert "stream-app deploy" in result.stdout
    assert "stream-app worker" in result.stdout


def test_models_lists_what_became_of_each(cli, settings):
    serve_two(settings)
    listed = json.loads(cli("models", "--json").stdout)
    assert [(entry["version"], entry["state"]) for entry in listed] == [("1", "previous"), ("2", "serving")]


def test_rollback_without_a_previous_model_fails_and_says_why(cli):
    result = cli("rollback")
    assert result.exit_code == 1
    assert "no previous model" in result.stderr


def findings(result):
    return {finding["check"]: finding for finding in json.loads(result.stdout)}


def test_doctor_writes_nothing_unless_it_is_told_to_fix(cli, settings):
    admin = clients.admin(settings)
    fresh = cli("doctor", "--json")
    assert "none yet" in findings(fresh)["topics"]["says"]
    wrong = {found["check"] for found in json.loads(fresh.stdout) if not found["ok"]}  # others' prefixes may be there
    assert (wrong <= {"topics"}, fresh.stderr) == (True, "")
    topics.ensure(settings, [MODEL_SWAP])
    found = findings(cli("doctor", "--json"))["topics"]
    assert not found["ok"]
    assert "--fix" in found["advice"]
    made = [full for full in admin.list_topics(timeout=10).topics if full.startswith(settings.topic_prefix)]
    assert made == [topics.name(settings, MODEL_SWAP)]


def test_doctor_names_the_prefix_that_was_meant(settings):
    topics.ensure(settings)
    misspelt = f"{settings.topic_prefix[:-1]}x-"
    found = findings(stream_app("doctor", "--json", "--topic-prefix", misspelt, **environment(settings)))["topics"]
    assert not found["ok"]
    assert repr(settings.topic_prefix) in found["advice"]


def test_doctor_creates_missing_topics_and_finds_nothing_wrong_with_the_cluster(cli, settings):
    found = findings(cli("doctor", "--json", "--fix"))
    cluster = ("broker", "topics", "permissions", "model", "web port", "disk")
    assert [check for check in cluster if not found[check]["ok"]] == []
    there = clients.admin(settings).list_topics(timeout=10).topics
    assert topics.name(settings, MODEL_SWAP) in there


def test_doctor_holds_the_definition_against_the_latest_records_and_joins_no_group(cli, settings, data, frame):
    cli("produce", data, "--limit", "300")
    before = findings(cli("doctor", "--json"))
    assert before["events"]["says"] == "the latest 300 are read as card-fraud says"
    assert (before["events"]["ok"], before["key"]["ok"]) == (True, True)
    publish(settings, [(b"somebody", b"no JSON")] * 100)
    refused = findings(cli("doctor", "--json"))["events"]
    assert not refused["ok"]
    assert refused["says"].startswith("25.00% of the latest 400 would be refused as not_json")
    groups = clients.admin(settings).list_consumer_groups().result(10)
    assert [group for group in groups.valid if group.group_id.startswith(settings.topic_prefix)] == []


def test_doctor_names_a_topic_that_contradicts(cli, settings):
    wrong = topics.name(settings, MODEL_SWAP)
    admin = clients.admin(settings)
    admin.create_topics([NewTopic(wrong, num_partitions=2)])[wrong].result(30)
    result = cli("doctor", "--json")
    assert result.exit_code == 1
    assert wrong in findings(result)["topics"]["says"]


def test_doctor_finds_a_model_that_cannot_be_read(cli, settings):
    topics.ensure(settings)
    serve_two(settings)
    result = cli("doctor", "--json")
    assert result.exit_code == 1
    assert "/nowhere/" in findings(result)["model"]["says"]


def test_a_topic_is_data_with_the_labels_that_have_arrived_to_the_bits_of_its_file(cli, settings, data, tmp_path):
    """The very same rows: all that a training sees."""
    cli("produce", data, "--labels")
    publish(settings, [(b"somebody", b"no JSON")] * 3)
    definition = cards()
    with on_disk([Path("topic:transactions"), data], settings, of_topics(definition)) as (spooled, file):
        assert file == data
        from_topic, from_file = read(spooled, definition=definition), read(data, definition=definition)
    assert spooled.exists() is False
    pl.testing.assert_frame_equal(from_topic, from_file.select(from_topic.columns))
    assert {"fraud", "amount"} <= set(from_topic.columns)
    out = tmp_path / "detector.toml"
    assert cli("define", "topic:transactions", "--out", out).exit_code == 0
    assert "amount" in out.read_text("utf-8")
