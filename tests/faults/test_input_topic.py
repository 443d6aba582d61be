"""What happens to the input behind a worker: each is told by its name, nothing is lost in silence or done twice."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from schemas.topics import ANOMALIES, AUDIT, DRIFT_SUMMARIES, TRANSACTIONS, Topic
from stream_app.audit.record import audit_record
from stream_app.cli.group_offsets import group_offsets
from stream_app.cli.status import observe
from stream_app.kafka import clients, offsets, topics
from stream_app.kafka.unread import Unread, unread
from stream_app.pipeline.recall import recall
from stream_app.settings import Settings
from stream_app.verify.acknowledged import ACKNOWLEDGE
from stream_app.verify.cluster import verify
from stream_app.verify.ledger import Loss
from tests.faults.test_inputs import metric
from tests.known_stream import Wait, anomalies, anomalous, proved, transactions
from tests.traffic import committed_offsets, committed_records, publish
from tests.workers import running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

SENT = 500


@pytest.fixture
def admin(stream: Settings) -> AdminClient:
    return clients.admin(stream)


@pytest.fixture
def settings(broker: str, fresh_settings) -> Settings:
    """One partition: offsets can be foretold."""
    return fresh_settings(broker, input_partitions=1)


def scored(stream: Settings, folder: Path, wait_until: Wait, count: int, first: int = 0) -> None:
    """A worker scores so many more records, and leaves."""
    with running(stream, folder):
        publish(stream, transactions(count, first=first))
        wait_until(lambda: committed_offsets(stream) == first + count, 90)


def make_again(admin: AdminClient, name: str, wait_until: Wait) -> None:
    admin.delete_topics([name])[name].result()

    def made() -> bool:
        try:
            admin.create_topics([NewTopic(name, 1, 1)])[name].result()
        except KafkaException:  # brokers need a moment to forget the old one
            return False
        return True

    wait_until(made, 30)
    wait_until(lambda: name in admin.list_topics(timeout=10).topics, 30)


def test_where_retention_overtakes_a_worker_that_is_away_the_loss_is_on_record_until_somebody_knows(
    stream: Settings, admin: AdminClient, tmp_path: Path, wait_until: Wait
) -> None:
    scored(stream, tmp_path, wait_until, SENT)
    publish(stream, transactions(SENT, first=SENT))
    name = topics.name(stream, TRANSACTIONS)
    (deleted,) = admin.delete_records([TopicPartition(name, 0, SENT + 300)]).values()
    assert deleted.result().low_watermark == SENT + 300
    unread = verify(stream)  # no worker lives, and nothing is on the ledger
    (loss,) = unread.losses
    assert (loss.from_offset, loss.to_offset, unread.ok, unread.breaks) == (SENT, SENT + 300, False, [])
    assert any(f"300 offsets of partition 0, from {SENT} on" in condition.what for condition in observe(stream).wrong)
    with running(stream, tmp_path) as worker:
        wait_until(lambda: committed_offsets(stream) == 2 * SENT, 90)
        wait_until(lambda: metric(worker, "stream_app_records_lost_total") == 300, 30)
        wait_until(lambda: loss_is_reported(stream), 30)
        verdict = verify(stream)
        (loss,) = verdict.losses
        acknowledge(stream, loss)
        wait_until(lambda: not loss_is_reported(stream), 30)
    assert (loss.partition, loss.from_offset, loss.to_offset) == (0, SENT, SENT + 300)
    assert (verdict.ok, verdict.breaks, verdict.lost, verdict.scored) == (False, [], 300, 2 * SENT - 300)
    assert anomalies(stream) == [i for i in anomalous(2 * SENT) if not SENT <= int(i) < SENT + 300]
    assert (proved(stream).lost, proved(stream).remarks) == (300, [])


@pytest.mark.faults
def test_a_loss_on_a_partition_that_never_had_a_record_is_no_silent_one(
    stream: Settings, admin: AdminClient, tmp_path: Path, wait_until: Wait
) -> None:
    name = topics.name(stream, TRANSACTIONS)
    group = clients.group_observer(stream)
    with running(stream, tmp_path):
        wait_until(lambda: offsets.committed(group, name, [0]) == {0: 0}, 60)
    group.close()
    publish(stream, transactions(SENT))
    (deleted,) = admin.delete_records([TopicPartition(name, 0, 300)]).values()
    assert deleted.result().low_watermark == 300
    with running(stream, tmp_path):
        wait_until(lambda: committed_offsets(stream) == SENT, 90)
    verdict = verify(stream)
    assert (verdict.ok, verdict.breaks, verdict.lost, verdict.scored) == (False, [], 300, SENT - 300)


def test_a_summary_of_a_partition_that_the_input_does_not_have_ends_no_proof(
    stream: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    scored(stream, tmp_path, wait_until, SENT)
    ledger = topics.name(stream, DRIFT_SUMMARIES)
    (real, *_) = committed_records(stream, DRIFT_SUMMARIES)
    producer = clients.producer(stream)
    for partition in (77, 2**31):
        value = msgspec.json.encode({**msgspec.to_builtins(real), "partition": partition})
        producer.produce(ledger, value)
    assert producer.flush(10) == 0
    verdict = proved(stream)
    assert verdict.scored == SENT
    assert any("partition 77" in remark for remark in verdict.remarks)


def loss_is_reported(stream: Settings) -> bool:
    """On the page, in `status` and by `doctor`: all by the workers' heartbeats."""
    return any("are lost" in condition.what for condition in observe(stream).wrong)


def acknowledge(stream: Settings, loss: Loss) -> None:
    producer = clients.producer(stream)
    record = audit_record("ann", ACKNOWLEDGE, str(loss), reason="sent again from the source")
    producer.produce(topics.name(stream, AUDIT), msgspec.json.encode(record), b"ann")
    assert producer.flush(10) == 0


def test_where_the_groups_offsets_are_gone_nothing_is_scored_again(
    stream: Settings, admin: AdminClient, tmp_path: Path, wait_until: Wait
) -> None:
    scored(stream, tmp_path, wait_until, SENT)
    (gone,) = admin.delete_consumer_groups([stream.group]).values()
    gone.result()
    assert any("no committed offset" in remark for remark in proved(stream).remarks)
    scored(stream, tmp_path, wait_until, 100, first=SENT)
    verdict = proved(stream)
    assert (verdict.scored, verdict.remarks) == (SENT + 100, [])
    assert anomalies(stream) == anomalous(SENT + 100)
    (gone,) = admin.delete_consumer_groups([stream.group]).values()
    gone.result()
    publish(stream, transactions(100, first=SENT + 100))
    (deleted,) = admin.delete_records([TopicPartition(topics.name(stream, TRANSACTIONS), 0, SENT + 150)]).values()
    deleted.result()
    assert [str(loss).partition(" of topic")[0] for loss in verify(stream).losses] == [
        "partition 0, offsets 600 to 650"
    ]


@pytest.mark.parametrize(
    "topic", [pytest.param(ANOMALIES, marks=pytest.mark.faults), DRIFT_SUMMARIES], ids=lambda topic: topic.name
)
def test_a_topic_of_ours_that_was_made_again_is_the_cause_that_verify_names(
    stream: Settings, admin: AdminClient, tmp_path: Path, wait_until: Wait, topic: Topic
) -> None:
    scored(stream, tmp_path, wait_until, SENT)
    make_again(admin, topics.name(stream, topic), wait_until)
    assert [topics.name(stream, topic) in remark for remark in verify(stream).remarks] == [True]
    scored(stream, tmp_path, wait_until, 200, first=SENT)
    verdict = verify(stream)
    assert not verdict.ok
    assert verdict.breaks
    assert all(found.to_offset <= SENT for found in verdict.breaks)
    assert [f"{topics.name(stream, topic)} holds nothing of" in remark for remark in verdict.remarks] == [True]


@pytest.mark.parametrize(
    ("there", "count"),
    [
        pytest.param(False, 200, id="worker away, fewer records", marks=pytest.mark.faults),
        pytest.param(False, 800, id="worker away, more records"),
        pytest.param(True, 200, id="worker there, fewer records"),
        pytest.param(True, 800, id="worker there, more records", marks=pytest.mark.faults),
    ],
)
def test_the_account_of_an_input_that_was_made_again_begins_anew(
    stream: Settings, admin: AdminClient, tmp_path: Path, wait_until: Wait, count: int, there: bool
) -> None:
    name = topics.name(stream, TRANSACTIONS)
    with running(stream, tmp_path) as worker:
        publish(stream, transactions(SENT))
        wait_until(lambda: committed_offsets(stream) == SENT, 90)
        if not there:
            worker.stop()
        make_again(admin, name, wait_until)
        if there:
            wait_until(lambda: "made again" in worker.said or "was deleted" in worker.said, 60)
        else:
            worker.start()
        publish(stream, transactions(count, first=SENT))
        wait_until(lambda: verify(stream).scored == SENT + count, 90)
        assert "made again" in worker.said or "was deleted" in worker.said
    verdict = proved(stream)
    assert "was deleted and made again" in verdict.remarks[0]
    found = committed_records(stream, ANOMALIES)
    assert sorted(a.event_id for a in found) == anomalous(SENT + count)
    assert len({a.anomaly_id for a in found}) == len(found)


def test_where_a_producer_leaves_a_transaction_open_what_waits_behind_it_is_told_and_then_scored(
    stream: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    name, waiting = topics.name(stream, TRANSACTIONS), "stream_app_partition_behind_open_transaction_records"
    hanging = clients.producer(stream, **{"transactional.id": f"{stream.group}-upstream"})
    hanging.init_transactions(30)
    with running(stream, tmp_path) as worker:
        publish(stream, transactions(SENT))
        wait_until(lambda: committed_offsets(stream) == SENT, 90)
        hanging.begin_transaction()
        hanging.produce(name, b"never committed", b"k", partition=0)
        hanging.flush(10)
        publish(stream, transactions(100, first=SENT))
        label = f'{waiting}{{partition="0"}}'
        wait_until(lambda: metric(worker, label) == 101, 60)
        assert metric(worker, 'stream_app_partition_lag_records{partition="0"}') == 0
        hanging.abort_transaction(30)
        wait_until(lambda: metric(worker, label) == 0, 60)
        wait_until(lambda: committed_offsets(stream) == SENT + 102, 60)
    assert proved(stream).scored == SENT + 100
    assert anomalies(stream) == anomalous(SENT + 100)


def test_records_on_partitions_added_to_the_input_are_read_within_seconds(
    stream: Settings, admin: AdminClient, tmp_path: Path, wait_until: Wait
) -> None:
    name = topics.name(stream, TRANSACTIONS)
    with running(stream, tmp_path):
        publish(stream, transactions(SENT))
        wait_until(lambda: committed_offsets(stream) == SENT, 90)
        admin.create_partitions([NewPartitions(name, 3)])[name].result()
        wait_until(lambda: len(admin.list_topics(name, timeout=10).topics[name].partitions) == 3, 30)
        publish(stream, transactions(100, first=SENT))
        wait_until(lambda: committed_offsets(stream) == SENT + 100, 30)
    assert proved(stream).scored == SENT + 100
    assert anomalies(stream) == anomalous(SENT + 100)


def test_doctor_tells_offsets_that_are_gone_from_those_that_soon_will_be(
    stream: Settings, admin: AdminClient, tmp_path: Path, wait_until: Wait
) -> None:
    def found(soon: timedelta = timedelta(days=1)) -> tuple[bool, str]:
        (finding,) = group_offsets(stream, soon)
        return finding.ok, finding.says

    assert found() == (True, f"{stream.group} has committed 0 of 1 partitions")
    scored(stream, tmp_path, wait_until, 100)
    wait_until(lambda: found(timedelta(days=8))[0] is False, 60)  # brokers keep them for seven days
    assert found(timedelta(days=8))[1].endswith("in about 168 h")
    assert found() == (True, f"{stream.group} has committed 1 of 1 partitions")
    (gone,) = admin.delete_consumer_groups([stream.group]).values()
    gone.result()
    ok, says = found()
    assert not ok
    assert "forgotten what" in says


def test_what_waits_for_a_worker_goes_soon_where_it_is_kept_for_an_hour(
    stream: Settings, admin: AdminClient, tmp_path: Path, wait_until: Wait
) -> None:
    scored(stream, tmp_path, wait_until, 100)
    name, hours = topics.name(stream, TRANSACTIONS), timedelta(hours=1)

    def waits(soon: timedelta) -> dict[int, Unread]:
        return unread(stream, [], soon, lambda among: recall(stream, among))

    assert waits(6 * hours) == {0: Unread()}
    publish(stream, transactions(50, first=100))
    assert waits(6 * hours) == {0: Unread(50)}
    limit(admin, name, "retention.ms", 20_000)  # half of that is soon over
    wait_until(lambda: waits(6 * hours) == {0: Unread(50, goes_soon=True)}, 30)
    assert any("partition 0 within 6 h" in condition.what for condition in observe(stream).wrong)
    limit(admin, name, "retention.ms", 3_600_000)
    wait_until(lambda: waits(6 * hours) == {0: Unread(50)}, 30)
    limit(admin, name, "retention.bytes", 80 * len(next(transactions(1))[1]))
    limit(admin, name, "segment.bytes", 1024 * 1024)
    wait_until(lambda: waits(6 * hours) == {0: Unread(50, goes_soon=True)}, 30)


def limit(admin: AdminClient, topic: str, name: str, value: int) -> None:
    """Alter a property of a topic."""
    to = ConfigResource(ResourceType.TOPIC, topic)
    to.add_incremental_config(ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET))
    (altered,) = admin.incremental_alter_configs([to]).values()
    altered.result()


def test_offsets_that_somebody_sets_forward_are_told_by_all_and_are_a_loss_that_can_be_acknowledged(
    stream: Settings, admin: AdminClient, tmp_path: Path, wait_until: Wait
) -> None:
    scored(stream, tmp_path, wait_until, SENT)
    publish(stream, transactions(SENT, first=SENT))
    place = TopicPartition(topics.name(stream, TRANSACTIONS), 0, 2 * SENT - 100)
    (moved,) = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(stream.group, [place])]).values()
    moved.result()
    before = verify(stream)
    assert (before.ok, before.breaks, [(loss.from_offset, loss.to_offset) for loss in before.losses]) == (
        False,
        [],
        [(SENT, 2 * SENT - 100)],
    )
    assert any("has set the group's offset forward" in condition.what for condition in observe(stream).wrong)
    with running(stream, tmp_path):
        wait_until(lambda: committed_offsets(stream) == 2 * SENT, 90)
        wait_until(lambda: loss_is_reported(stream), 30)
        (loss,) = verify(stream).losses
        acknowledge(stream, loss)
        wait_until(lambda: not loss_is_reported(stream), 30)
    assert (proved(stream).lost, proved(stream).scored) == (SENT - 100, SENT + 100)
