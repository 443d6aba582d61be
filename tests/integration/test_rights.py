"""On a Kafka with passwords, encrypted lines and access lists: each role does its work, and nothing else."""

import json
import logging
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType
from typer.testing import Result

from models.data.frame import write
from models.data.simulator import Simulation, simulate
from schemas import topics as declared
from schemas.scoring import Label
from schemas.topics import ANOMALIES, AUDIT, LABELS, MODEL_SWAP, TRANSACTIONS, Topic
from stream_app.kafka import clients, topics
from stream_app.kafka.log import read_to_end
from stream_app.kafka.roles import (
    ANALYST,
    CASE_TOOL,
    NOTIFIER,
    NOTIFYING,
    OPERATOR,
    PRODUCER,
    READER,
    REKEY,
    ROLES,
    Role,
    user,
)
from stream_app.settings import Settings
from stream_app.testing.tiny_model import tiny_model
from tests.conftest import own_settings
from tests.faults.cluster import Cluster
from tests.known_stream import anomalous, transactions
from tests.secured_cluster import ADMINISTRATOR, PASSWORD, certificates, properties, secured_cluster
from tests.traffic import committed_offsets, committed_records, publish
from tests.unit.stream_app.cli.cli_runner import stream_app
from tests.workers import running

pytestmark = pytest.mark.kafka
Wait = Callable[..., None]

EVERY_ROLE = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
ANSWER_S = 20.0
SECRET = ("sasl.username", "sasl.password")
PASSED_ON = ("bootstrap_servers", "app_id", "topic_prefix", "model_cache", "input_partitions", "web_port")


@dataclass(frozen=True)
class Installation:
    """One installation on the secured cluster: what its administrator set up, and how each role comes in."""

    administrator: Settings
    authority: Path
    secrets: Path
    granted: list[dict[str, str]]

    def settings(self, role: Role, **overrides: Any) -> Settings:
        """As somebody of that role has them: the line in `[kafka]`, name and password in a file."""
        line = {
            name: v for name, v in self.administrator.kafka.items() if "username" not in name and "password" not in name
        }
        secrets_file = self.secrets / f"{user(self.administrator, role)}.json"
        return self.administrator.model_copy(update={"kafka": line, "kafka_secrets_file": secrets_file, **overrides})


def environment(settings: Settings) -> dict[str, str]:
    given = {name: getattr(settings, name) for name in PASSED_ON}
    own = {f"STREAM_APP_{name.upper()}": str(value) for name, value in given.items()}
    secrets_file = settings.kafka_secrets_file
    secret = {} if secrets_file is None else {"STREAM_APP_KAFKA_SECRETS_FILE": str(secrets_file)}
    return {**own, **secret, "STREAM_APP_KAFKA": json.dumps(dict(settings.kafka))}


def cli(settings: Settings, *args: object) -> Result:
    return stream_app(*args, **environment(settings))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, wait_until: Wait) -> Iterator[tuple[Cluster, Path]]:
    """The cluster, up, and the certificate of its authority."""
    cluster, authority = secured_cluster(tmp_path_factory.mktemp("secured"), wait_until)
    with cluster:
        yield cluster, authority


def install(cluster: Cluster, authority: Path, folder: Path, wait_until: Wait) -> Installation:
    """As its administrator would: one command for everybody."""
    line = properties(authority, ADMINISTRATOR, PASSWORD)
    administrator = own_settings(folder, cluster.bootstrap_servers, kafka=line)
    done = cli(administrator, "rights", "grant", "--secrets", folder / "secrets", "--json")
    assert done.exit_code == 0, done.stderr
    made = Installation(administrator, authority, folder / "secrets", json.loads(done.stdout))
    wait_until(lambda: all(_comes_in(made.settings(role)) for role in ROLES))  # brokers learn of it in a moment
    return made


@pytest.fixture(scope="module")
def installation(
    secured: tuple[Cluster, Path], tmp_path_factory: pytest.TempPathFactory, wait_until: Wait
) -> Installation:
    return install(*secured, tmp_path_factory.mktemp("installation"), wait_until)


@pytest.fixture(scope="module")
def scribbled(
    secured: tuple[Cluster, Path], tmp_path_factory: pytest.TempPathFactory, wait_until: Wait
) -> Installation:
    """Another one, for those who write onto everything that they can."""
    return install(*secured, tmp_path_factory.mktemp("scribbled"), wait_until)


def _comes_in(settings: Settings) -> bool:
    try:
        clients.wait_for_broker(settings, 1.0, lambda _: None)
    except clients.NotAuthorised:
        return False
    return True


def test_everything_that_was_granted_is_there_the_second_time(installation: Installation) -> None:
    assert {entry["outcome"] for entry in installation.granted} == {"made"}
    again = cli(installation.administrator, "rights", "grant", "--json")
    assert {entry["outcome"] for entry in json.loads(again.stdout)} == {"there already"}
    looked = cli(
        installation.administrator, "rights", "grant", "--secrets", installation.secrets, "--dry-run", "--json"
    )
    assert looked.exit_code == 0
    assert {entry["outcome"] for entry in json.loads(looked.stdout)} == {"there already"}
    granted = {record.subject for record in committed_records(installation.administrator, AUDIT)}
    assert granted == {user(installation.administrator, role) for role in ROLES}


def test_a_password_is_for_its_owner_alone_and_no_command_prints_it(installation: Installation) -> None:
    shown = cli(installation.administrator, "rights", "grant", "--secrets", installation.secrets).output
    assert "password set" in shown
    for path in installation.secrets.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        password = json.loads(path.read_bytes())["sasl.password"]
        assert password not in shown
        assert password not in json.dumps(installation.granted)


@EVERY_ROLE
def test_a_role_reads_and_writes_the_topics_that_are_declared_for_it_and_no_others(
    scribbled: Installation, role: Role
) -> None:
    settings = scribbled.settings(role)
    full = {topics.name(settings, topic): topic.name for topic in declared.ALL}
    assert {full[name] for name in _writable(settings, list(full))} == {topic.name for topic in role.writes}
    assert {full[name] for name in _readable(settings, list(full))} == {topic.name for topic in role.reads}


@EVERY_ROLE
def test_only_a_worker_takes_part_in_the_groups_and_transactions_of_the_application(
    installation: Installation, role: Role
) -> None:
    settings = installation.settings(role)
    only_alerts = role in (READER, CASE_TOOL, NOTIFIER)
    assert _joins(settings, settings.group, ANOMALIES if only_alerts else TRANSACTIONS) is role.works
    assert _joins(settings, f"{settings.group}{NOTIFYING}case-tool", ANOMALIES) is role.notifies
    assert _joins(settings, settings.control_group, ANOMALIES) is role.works
    assert _opens_transactions(settings) is role.works


def test_each_role_does_its_work(installation: Installation, tmp_path: Path, wait_until: Wait) -> None:
    roles = map(installation.settings, ROLES)
    producer, _, redelivery, worker, operator, reader, notifier, case_tool, analyst = roles
    for version in "12":
        tiny_model(tmp_path / f"{version}.pt", version)
    with running(worker, tmp_path) as process:
        succeeds(operator, "deploy", tmp_path / "1.pt", "--reason", "first")
        process.await_ready()
        before = committed_offsets(operator)
        sent = publish(producer, transactions(500))
        wait_until(lambda: committed_offsets(operator) - before == sent, 60)
        found = [anomaly.event_id for anomaly in committed_records(reader, ANOMALIES)]
        assert sorted(found) == anomalous(sent)
        succeeds(operator, "deploy", tmp_path / "2.pt")
        succeeds(operator, "rollback", "--reason", "to see that it works")
        assert "tiny 1" in succeeds(operator, "status")
        succeeds(operator, "audit", "verify")
        succeeds(reader, "drift", "list")
        topics.ensure(notifier, NOTIFIER.reads)  # as `notify` begins
        publish(producer, [(b"c1", b"{}")])
        wait_until(lambda: committed_offsets(operator) - before == sent + 1, 60)
        assert "1 are back on the input" in succeeds(redelivery, "deadletters", "replay", "--reason", "to see")
        label(case_tool, found[0])
        succeeds(analyst, "label", found[1], "fraud", "--note", "customer called")
        shown = succeeds(analyst, "show", found[1])
        assert "the same again" in shown
        assert "customer called" in shown
        assert "customer called" in succeeds(operator, "audit")
        assert [entry.event_id for entry in committed_records(operator, LABELS)] == found[:2]
    assert "Traceback" not in process.said


def test_rekey_works_with_its_role_and_the_right_to_read_its_source(
    installation: Installation, tmp_path: Path, wait_until: Wait
) -> None:
    """The source belongs to somebody else: its owner lets the role read it."""
    administrator, settings = installation.administrator, installation.settings(REKEY)
    source = replace(TRANSACTIONS, name="payments")
    topics.ensure(administrator, [source])
    full = topics.name(administrator, source)
    (tmp_path / "detector.toml").write_text(
        'name = "raw"\n[event]\nid = "transaction_id"\ntime = "event_time"\nentity = "customer_id"\n'
        '[[input]]\nname = "amount"\npath = "amount"\n'
    )
    command = [sys.executable, "-c", "from stream_app.cli.app import main; main()", "rekey", full]

    def process() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command, cwd=tmp_path, env=os.environ | environment(settings), stderr=subprocess.PIPE, text=True
        )

    refused = process()
    _, said = refused.communicate(timeout=90)
    assert refused.returncode == 1
    assert full in said
    may_read = (AclOperation.READ, AclOperation.DESCRIBE)
    whose = f"User:{user(administrator, REKEY)}"
    bindings = [
        AclBinding(
            ResourceType.TOPIC, full, ResourcePatternType.LITERAL, whose, "*", operation, AclPermissionType.ALLOW
        )
        for operation in may_read
    ]
    admin = clients.admin(administrator)
    for outcome in admin.create_acls(bindings).values():
        outcome.result()
    producer = clients.producer(administrator)
    for _, value in transactions(50):
        producer.produce(full, value, b"any")
    assert producer.flush(ANSWER_S) == 0
    before = committed_ends(administrator)
    working = process()
    try:
        wait_until(lambda: committed_ends(administrator) - before == 50, 90)
        working.terminate()
        _, said = working.communicate(timeout=60)
        assert working.returncode == 0, said
    finally:
        working.kill()


def committed_ends(settings: Settings) -> int:
    """How many committed records the input holds."""
    return sum(1 for _ in read_to_end(settings, TRANSACTIONS))


BEYOND: dict[str, tuple[Role, tuple[str, ...]]] = {
    "a producer commands a swap": (PRODUCER, ("rollback",)),
    "a producer deploys": (PRODUCER, ("deploy", "MODEL")),
    "a producer reads alerts": (PRODUCER, ("consume", "anomalies", "--from-beginning", "--until-end")),
    "a reader sends transactions": (READER, ("produce", "DATA")),
    "a reader reads transactions": (READER, ("consume", "transactions", "--from-beginning", "--until-end")),
    "a reader commands a swap": (READER, ("rollback",)),
    "a reader reads the audit trail": (READER, ("audit",)),
    "an analyst commands a swap": (ANALYST, ("rollback",)),
    "an analyst sends transactions": (ANALYST, ("produce", "DATA")),
    "a case tool commands a swap": (CASE_TOOL, ("promote",)),
    "an operator sends transactions": (OPERATOR, ("produce", "DATA")),
    "an operator grants rights": (OPERATOR, ("rights", "grant")),
}


@pytest.mark.parametrize("attempt", BEYOND)
def test_beyond_its_role_everybody_is_refused_in_one_line(
    installation: Installation, attempt: str, files: Mapping[str, Path]
) -> None:
    role, words = BEYOND[attempt]
    before = len(committed_records(installation.administrator, MODEL_SWAP))
    done = cli(installation.settings(role), *(files.get(word, word) for word in words))
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert re.search("rights list|administrator", done.stderr), done.stderr
    assert len(committed_records(installation.administrator, MODEL_SWAP)) == before


def strangers(installation: Installation, folder: Path) -> dict[str, tuple[Settings, str]]:
    """Those who must not come in, and what they must be told."""
    line = dict(installation.administrator.kafka)
    other, _ = certificates(folder)
    wrong = {
        "a wrong password": ({**line, "sasl.password": "wrong"}, "check [kafka] and the secrets"),
        "a broker that nobody vouches for": ({**line, "ssl.ca.location": str(other)}, "ssl.* in [kafka]"),
    }
    return {
        name: (installation.administrator.model_copy(update={"kafka": kafka}), advice)
        for name, (kafka, advice) in wrong.items()
    }


@pytest.mark.parametrize("words", [("status",), ("produce", "DATA")])
def test_a_command_that_is_not_let_in_says_so_in_one_line(
    installation: Installation, words: tuple[str, ...], files: Mapping[str, Path], tmp_path: Path
) -> None:
    for settings, advice in strangers(installation, tmp_path).values():
        done = cli(settings, *(files.get(word, word) for word in words))
        assert done.exit_code == 1
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert advice in done.stderr


@pytest.fixture
def _as_before(caplog: pytest.LogCaptureFixture) -> None:
    """A worker that ends before Faust begins leaves its level of logging behind."""
    caplog.set_level(logging.WARNING, "stream_app")


@pytest.mark.usefixtures("_as_before")
def test_a_worker_that_is_not_let_in_or_may_not_work_ends_with_one_line(
    installation: Installation, tmp_path: Path
) -> None:
    may_not = {"an operator": (installation.settings(OPERATOR), "write topic")}
    for settings, advice in {**strangers(installation, tmp_path), **may_not}.values():
        done = cli(settings, "worker")
        assert done.exit_code == 1
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert advice in done.stderr


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the commands are given."""
    folder = tmp_path_factory.mktemp("files")
    write(simulate(Simulation(days=1, customers=10)), folder / "data.parquet")
    tiny_model(folder / "9.pt", "9")
    return {"DATA": folder / "data.parquet", "MODEL": folder / "9.pt"}


def succeeds(settings: Settings, *words: object) -> str:
    done = cli(settings, *words)
    assert done.exit_code == 0, done.output
    return done.stdout


def label(settings: Settings, event_id: str) -> None:
    producer = clients.producer(settings)
    record = Label(event_id, True, datetime.now(UTC))
    producer.produce(topics.name(settings, LABELS), msgspec.json.encode(record), event_id.encode())
    assert producer.flush(ANSWER_S) == 0


def _writable(settings: Settings, names: list[str]) -> set[str]:
    """Of these topics, those that take a record of ours."""
    written: set[str] = set()

    def on_delivery(error: KafkaError | None, message: Message) -> None:
        assert error is None or error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, error
        written.update([] if error else [message.topic() or ""])

    # Who may write nowhere may not even have the number that an idempotent producer asks for
    producer = clients.producer(settings, **{"enable.idempotence": False})
    for name in names:
        try:
            producer.produce(name, b"{}", b"key", on_delivery=on_delivery)  # a compacted topic takes no other
        except KafkaException as exception:
            if exception.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise
    assert producer.flush(ANSWER_S) == 0
    return written


def _readable(settings: Settings, names: list[str]) -> set[str]:
    """Of these topics, those whose first partition lets us read to its end."""
    consumer = clients.consumer(settings, None, **{"enable.partition.eof": True})
    seen = {name for name in names if consumer.list_topics(name, ANSWER_S).topics[name].error is None}
    consumer.assign([TopicPartition(name, 0, 0) for name in seen])
    read, refused, deadline = set[str](), set[str](), time.monotonic() + ANSWER_S
    while read | refused != seen:
        assert time.monotonic() < deadline, seen - read - refused
        for message in consumer.consume(100, 0.1):
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                read.add(message.topic() or "")
            elif error is not None:
                # A producer has no group, not even one that it does not join
                assert error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)
                refused.update({message.topic() or ""} & seen)
    consumer.close()
    return read


def _joins(settings: Settings, group: str, topic: Topic) -> bool:
    consumer, assigned = clients.consumer(settings, group), list[TopicPartition]()
    consumer.subscribe([topics.name(settings, topic)], on_assign=lambda _, places: assigned.extend(places))
    deadline = time.monotonic() + ANSWER_S
    try:
        while not assigned:
            assert time.monotonic() < deadline
            message = consumer.poll(0.1)
            error = message.error() if message is not None else None
            if error is not None and error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                return False
        return True
    finally:
        consumer.close()


def _opens_transactions(settings: Settings) -> bool:
    producer = clients.producer(settings, **{"transactional.id": f"{settings.transactional_ids}test"})
    try:
        producer.init_transactions(ANSWER_S)
    except KafkaException as exception:
        if exception.args[0].code() != KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
            raise
        return False
    return True
