"""The audit trail on real Kafka: workers seal it, a tampered copy of it is told exactly, settings go on record."""

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemas.rollout import AuditRecord
from schemas.topics import AUDIT
from stream_app.audit import configuration
from stream_app.audit.proof import AuditVerdict, Tampering, prove
from stream_app.audit.record import audit_record
from stream_app.audit.sealer import SEAL_EVERY_S, Sealer
from stream_app.cli.status import observe
from stream_app.kafka import clients, topics
from stream_app.kafka.dispatch import Dispatch
from stream_app.kafka.log import Tail, read_to_end
from stream_app.ops.facts import Presence
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.rollout.control_producer import ControlProducer
from stream_app.settings import Settings
from stream_app.testing.tiny_model import tiny_model
from tests.known_stream import Wait, prepared, transactions
from tests.traffic import committed_offsets, committed_records, publish
from tests.unit.stream_app.cli.cli_runner import stream_app
from tests.workers import running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

WRITERS = 3
EACH = 20


def values(settings: Settings) -> list[bytes]:
    return [message.value() or b"" for message in read_to_end(settings, AUDIT)]


def proved(settings: Settings) -> AuditVerdict:
    return prove([(message.offset() or 0, message.value() or b"") for message in read_to_end(settings, AUDIT)])


def actions(settings: Settings) -> list[str]:
    return [record.action for record in committed_records(settings, AUDIT)]


def unsealed(settings: Settings) -> set[str]:
    """Actions of the records behind the last one that is sealed; seals alone are not sealed again."""
    return set(actions(settings)[proved(settings).sealed :])


def rewritten(settings: Settings, records: list[bytes]) -> Settings:
    """The same trail under another prefix, as somebody who can write to Kafka would leave it."""
    forged = settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}forged-"})
    topics.ensure(forged, [AUDIT])
    producer = clients.producer(forged)
    for value in records:
        producer.produce(topics.name(forged, AUDIT), value)
    assert producer.flush(10) == 0
    return forged


@pytest.fixture
def busy(settings: Settings) -> Settings:
    """A trail that several processes wrote at once, while it was sealed."""
    topics.ensure(settings)
    publishers = [ControlProducer(settings) for _ in range(WRITERS)]
    sealer = Sealer("w", publishers[0].audit, lambda: True, itertools.count(step=SEAL_EVERY_S).__next__)
    log = Dispatch(settings, Tail(settings, [AUDIT]), [(AUDIT, sealer.read)])
    at_once = threading.Barrier(WRITERS + 1)

    def write(number: int) -> None:
        at_once.wait()
        for i in range(EACH):
            publishers[number].audit(audit_record(f"actor-{number}", "stage", f"model {i}", reason="because"))
            publishers[number].close(10)

    with ThreadPoolExecutor(WRITERS) as pool:
        done = [pool.submit(write, number) for number in range(WRITERS)]
        at_once.wait()
        while not all(d.done() for d in done):
            log.step()
            sealer.step()
        [d.result() for d in done]
    publishers[0].close(10)  # the last seal is on the topic
    while unsealed(settings) - {"seal"}:  # a quiet moment is not yet the end of the log
        log.step()
        sealer.step()
        publishers[0].close(10)
    log.close()
    return settings


def test_a_trail_of_many_writers_holds_and_is_sealed_to_its_last_record(busy: Settings) -> None:
    verdict = proved(busy)
    assert verdict.ok, verdict.breaks
    assert actions(busy).count("stage") == WRITERS * EACH
    assert unsealed(busy) <= {"seal"}


def test_tampering_is_told_by_offset_and_kind(busy: Settings) -> None:
    whole, row = values(busy), 17
    changed = whole[row].replace(b"because", b"beCause").replace(b"sealed", b"seAled") + b" "
    for forged, how in (
        (whole[:row] + whole[row + 1 :], Tampering.REMOVED),
        ([*whole[:row], changed, *whole[row + 1 :]], Tampering.CHANGED),
    ):
        tampered = rewritten(busy.model_copy(update={"topic_prefix": f"{busy.topic_prefix}{how}-"}), forged)
        assert [(b.offset, b.how) for b in proved(tampered).breaks] == [(row, how)]
        options = ("--bootstrap-servers", tampered.bootstrap_servers, "--topic-prefix", tampered.topic_prefix)
        told = stream_app("audit", "verify", *options)
        assert (told.exit_code, f"offset {row}, {how}" in told.stdout) == (1, True)


def test_the_command_line_proves_and_shows_the_trail(busy: Settings) -> None:
    options = ("--bootstrap-servers", busy.bootstrap_servers, "--topic-prefix", busy.topic_prefix)
    told = stream_app("audit", "verify", *options)
    assert (told.exit_code, "the audit trail holds" in told.stdout) == (0, True)
    head = next(line.split()[1].rstrip(":") for line in told.stdout.splitlines() if line.startswith("head "))
    assert stream_app("audit", "verify", "--head", head, *options).exit_code == 0
    assert stream_app("audit", "verify", "--head", f"{head[:-1]}x", *options).exit_code == 1
    shown = stream_app("audit", "--actor", "actor-1", *options).stdout.splitlines()
    assert len(shown) == EACH + 1
    assert "nothing is on record that fits" in stream_app("audit", "--since", "2100-01-01", *options).stdout


def test_settings_go_on_record_once_and_then_when_they_change(settings: Settings) -> None:
    topics.ensure(settings, [AUDIT])
    own = settings.model_copy(update={"worker_id": "w1"})
    for changed in ({}, {}, {"explain_top": 5, "kafka": {"sasl.password": "hunter2"}}, {"worker_id": "w2"}):
        publisher = ControlProducer(settings)
        configuration.put_on_record(own.model_copy(update=changed), publisher.audit)
        publisher.close(10)
    found: list[AuditRecord] = committed_records(settings, AUDIT)
    assert [(record.actor, record.effect) for record in found] == [
        ("w1", "first start under this name"),
        ("w1", "explain_top: default -> 5; kafka: default -> sasl.password"),
        ("w2", "first start under this name"),
    ]
    assert b"hunter2" not in b"".join(values(settings))


def test_settings_that_have_not_changed_stay_off_the_record_however_much_came_between(settings: Settings) -> None:
    topics.ensure(settings, [AUDIT])
    publisher = ControlProducer(settings)
    for explain_top in (3, 5):
        own = settings.model_copy(update={"worker_id": "w1", "explain_top": explain_top})
        configuration.put_on_record(own, publisher.audit)
        for number in range(1500):
            publisher.audit(audit_record("ann", "stage", f"model {number}"))
        publisher.close(30)
    configuration.put_on_record(own, publisher.audit)
    publisher.close(30)
    assert [r.effect for r in committed_records(settings, AUDIT) if r.action == "configure"] == [
        "first start under this name",
        "explain_top: default -> 5",
    ]


def test_the_timeline_of_a_night_is_one_line_for_each_thing_that_happened(
    settings: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    patient = prepared(settings, tmp_path).model_copy(update={"worker_id": "w1"})
    tiny_model(tmp_path / "2.pt", "2")
    sent = 0

    def scored(count: int) -> None:
        nonlocal sent
        sent += publish(patient, transactions(count, first=sent))
        wait_until(lambda: committed_offsets(patient) == sent, 60)
        wait_until(lambda: stream_now(patient) == sent)

    with running(patient, tmp_path) as worker:
        worker.await_ready()
        scored(100)
        scored(100)
        assert commands.deploy(patient, Order("ann", "better"), tmp_path / "2.pt").ok
        scored(100)
        scored(100)
        assert commands.rollback(patient, Order("bob", "worse")).ok
        worker.kill()
    wait_until(lambda: [worker.presence for worker in observe(patient).workers] == [Presence.LOST])
    options = ("--bootstrap-servers", patient.bootstrap_servers, "--topic-prefix", patient.topic_prefix)
    lines = json.loads(stream_app("audit", "--json", *options).stdout)
    told = [line for line in lines if line["kind"] != "drift" and line["what"] != "configure"]
    assert [(line["who"], line["what"], line["subject"], line["why"]) for line in told] == [
        ("test", "deploy", "tiny 1", ""),
        ("ann", "deploy", "tiny 2", "better"),
        ("bob", "rollback", "tiny 1", "worse"),
        ("heartbeats", "lost", "w1", ""),
    ]
    deployed = next(line for line in lines if line["who"] == "ann")
    assert deployed["effect"].startswith("tiny 2 serves on 1 worker after")
    assert deployed["before"]["anomalies"] / deployed["before"]["scored"] == pytest.approx(0.2)
    assert deployed["after"]["scored"] >= 100
    page = tmp_path / "night.html"
    assert stream_app("audit", "--html", page, "--action", "deploy", *options).exit_code == 0
    assert "2 commands" in page.read_text(encoding="utf-8")
    by_table = stream_app("audit", "--action", "lost", *options)
    assert "silent until now" in by_table.stdout
    assert "kept for 7 days" in by_table.stderr


def stream_now(settings: Settings) -> int:
    """Transactions scored, as the newest heartbeats count them."""
    return sum(worker.scored for worker in observe(settings).workers)


def test_a_worker_puts_its_settings_on_record_and_seals_the_trail(
    settings: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    with running(prepared(settings, tmp_path), tmp_path):
        wait_until(lambda: {"train", "configure", "activate", "seal"} <= set(actions(settings)), 60)
        wait_until(lambda: proved(settings).sealed >= actions(settings).index("activate"))
    assert proved(settings).ok
