"""Where a partition starts when it cannot simply go on: deleted records, offsets that are gone, a topic made again."""

from datetime import UTC, datetime

import pytest

from schemas.drift import DriftSummary
from stream_app.testing.memory_kafka import MemoryKafka, assign
from tests.unit.stream_app.pipeline.rig import STRANGE, USUAL, Rig, idle


def summaries(rig: Rig) -> list[tuple[str, int, int, int, int]]:
    """Topic id, from, to, scored, lost of each."""
    found = rig.kafka.records("drift-summaries", DriftSummary)
    return [(s.topic_id, s.from_offset, s.to_offset, s.scored, s.lost) for s in found]


def notices(rig: Rig) -> list[tuple[str, bool]]:
    return [(notice.sentence, notice.is_loss) for notice in rig.progress.latest.notices]


def before(rig: Rig, count: int = 3) -> None:
    """So many records were scored in partition 0 by a worker of before."""
    rig.kafka.publish(0, *[USUAL] * count)
    rig.run(assign(0), idle)
    assert rig.kafka.committed == {0: count}
    assert rig.kafka.metadata == {0: "topic-1"}


def again(rig: Rig) -> None:
    """The worker comes back."""
    rig.pipeline._stop.clear()
    rig.run(assign(0), idle, idle)


def test_what_was_deleted_before_it_was_read_is_accounted_for_as_lost(rig: Rig) -> None:
    before(rig)
    rig.kafka.publish(0, *[USUAL] * 6, STRANGE)
    rig.kafka.delete_records(0, before=8)
    again(rig)
    assert summaries(rig) == [("topic-1", 0, 3, 3, 0), ("topic-1", 3, 8, 0, 5), ("topic-1", 8, 10, 2, 0)]
    assert (rig.places, rig.kafka.committed) == (["0@9"], {0: 10})
    assert rig.sample("records_lost_total") == 5
    ((sentence, is_loss),) = notices(rig)
    assert is_loss
    assert "offsets 3 to 8 were deleted by the broker before they were read" in sentence


def test_a_loss_is_accounted_for_though_no_record_follows(rig: Rig) -> None:
    before(rig)
    rig.kafka.publish(0, USUAL, USUAL)
    rig.kafka.delete_records(0, before=5)
    again(rig)
    assert summaries(rig)[1:] == [("topic-1", 3, 5, 0, 2)]
    assert rig.kafka.committed == {0: 5}


def test_retention_that_overtakes_a_worker_that_runs_is_a_loss_too(rig: Rig) -> None:
    rig.kafka.publish(0, USUAL, USUAL)

    def overtake(_) -> None:
        rig.kafka.publish(0, *[USUAL] * 4)
        rig.kafka.delete_records(0, before=4)

    rig.run(assign(0), idle, rig.later(1), overtake, idle, assign(0), rig.later(1), idle)
    assert summaries(rig) == [("topic-1", 0, 2, 2, 0), ("topic-1", 2, 4, 0, 2), ("topic-1", 4, 6, 2, 0)]
    assert rig.sample("sessions_reopened_total", cause="auto_offset_reset") == 1


def test_a_new_group_has_lost_nothing_that_was_deleted_before_it_came(rig: Rig) -> None:
    rig.kafka.publish(0, *[USUAL] * 4)
    rig.kafka.delete_records(0, before=2)
    rig.run(assign(0), idle)
    assert summaries(rig) == [("topic-1", 2, 4, 2, 0)]
    assert notices(rig) == []


def test_where_the_offsets_of_the_group_are_gone_it_goes_on_where_the_ledger_ends(rig: Rig) -> None:
    rig.kafka.publish(0, STRANGE)
    rig.run(assign(0), idle)
    rig.kafka.committed.clear()
    again(rig)
    assert rig.kafka.committed == {0: 1}  # at once, so that the next one who comes need not search
    rig.kafka.publish(0, STRANGE)
    again(rig)
    assert rig.places == ["0@0", "0@1"]
    assert summaries(rig) == [("topic-1", 0, 1, 1, 0), ("topic-1", 1, 2, 1, 0)]
    ((sentence, _),) = notices(rig)
    assert "the group's committed offset is gone; going on from 1" in sentence


@pytest.mark.parametrize("kept", [False, True], ids=["offsets gone", "offsets kept"])
def test_the_account_of_a_topic_that_was_made_again_begins_anew(rig: Rig, kept: bool) -> None:
    """Whether the brokers forget the group's offsets with the topic or not, and though it has more records now."""
    rig.kafka.publish(0, STRANGE, USUAL)
    rig.run(assign(0), idle)
    offsets = dict(rig.kafka.committed), dict(rig.kafka.metadata)
    rig.kafka.make_again("topic-2")
    if kept:
        rig.kafka.committed, rig.kafka.metadata = offsets
    rig.kafka.publish(0, STRANGE, USUAL, USUAL)
    again(rig)
    assert summaries(rig) == [("topic-1", 0, 2, 2, 0), ("topic-2", 0, 3, 3, 0)]
    assert [anomaly.anomaly_id for anomaly in rig.anomalies] == ["transactions:topic-1:0:0", "transactions:topic-2:0:0"]
    assert rig.kafka.metadata == {0: "topic-2"}
    ((sentence, _),) = notices(rig)
    assert "was deleted and made again; its account begins anew at 0" in sentence


def test_a_topic_that_was_made_again_and_is_empty_yet_is_told_too(rig: Rig) -> None:
    before(rig)
    rig.kafka.make_again("topic-2")
    again(rig)
    assert "was deleted and made again" in notices(rig)[0][0]
    assert rig.kafka.committed == {}


def test_a_topic_that_is_made_again_under_a_worker_ends_its_session(rig: Rig) -> None:
    """Though the client notices nothing: the new topic has grown beyond its position already."""
    rig.kafka.publish(0, USUAL)

    def make_again(_) -> None:
        rig.kafka.make_again("topic-2")
        rig.kafka.publish(0, STRANGE)

    rig.run(assign(0), idle, make_again, rig.later(1.5), idle, idle, assign(0), idle, idle)
    assert summaries(rig) == [("topic-1", 0, 1, 1, 0), ("topic-2", 0, 1, 1, 0)]
    assert rig.sample("sessions_reopened_total", cause="topic_made_again") == 1
    assert notices(rig)[0][0] == "transactions was deleted and made again"


def test_a_topic_that_is_gone_is_waited_for(rig: Rig) -> None:
    def gone(_) -> None:
        rig.kafka.topic_id = None

    def back(_event, seconds: float) -> None:
        rig.kafka.make_again("topic-2")

    object.__setattr__(rig.clock, "wait", back)
    rig.run(assign(0), gone, rig.later(1.5), idle, idle)
    assert rig.sample("sessions_reopened_total", cause="topic_gone") == 1
    assert notices(rig)[0][0] == "transactions was deleted: it is waited for"


def test_an_offset_of_an_older_version_has_no_topic_id_and_is_gone_on_from(rig: Rig) -> None:
    rig.kafka.publish(0, USUAL, USUAL)
    rig.kafka.committed = {0: 1}
    rig.run(assign(0), idle)
    assert summaries(rig) == [("topic-1", 1, 2, 1, 0)]


def test_offsets_that_the_brokers_have_lost_are_not_read_again_and_it_is_told(rig: Rig) -> None:
    before(rig)
    del rig.kafka.input[0][2:]
    again(rig)
    rig.kafka.publish(0, USUAL)
    assert summaries(rig) == [("topic-1", 0, 3, 3, 0)]
    assert "the brokers have lost offsets 2 to 3" in notices(rig)[0][0]


def test_what_waits_behind_an_open_transaction_has_a_name_and_an_age_of_its_own(rig: Rig) -> None:
    """It is no lag: nobody may read it."""
    seen: list[tuple[int, int, float]] = []

    def look(_) -> None:
        (place,) = rig.progress.latest.partitions
        seen.append((place.lag, place.behind_open_transaction, place.open_transaction_s))

    def hang(_) -> None:
        rig.kafka.stable[0] = 1
        rig.kafka.publish(0, *[USUAL] * 5)

    def end(_) -> None:
        rig.kafka.stable.clear()

    rig.kafka.publish(0, USUAL)
    rig.run(assign(0), idle, hang, rig.later(1), rig.later(1), look, rig.later(8), idle, look, end, idle, idle, look)
    assert seen == [(0, 5, 1.0), (0, 5, 9.0), (0, 0, 0.0)]


def test_how_long_the_oldest_unread_record_is_kept_is_known_before_it_goes(rig: Rig) -> None:
    left: list[float | None] = []

    def look(_) -> None:
        left.append(rig.progress.latest.partitions[0].expires_in_s)

    kafka: MemoryKafka = rig.kafka
    rig.at = 1_772_366_400.0
    kafka.kept["retention.ms"] = 3_600_000
    kafka.publish(0, *[USUAL] * 2000, at=datetime.fromtimestamp(rig.at - 3500, UTC))
    rig.run(assign(0), rig.later(1), look, idle, idle, rig.later(1), look)
    assert left == [pytest.approx(99.0, abs=0.5), None]


def test_what_is_kept_by_size_goes_when_what_arrives_has_filled_the_room(rig: Rig) -> None:
    """Room for 5,000 records; some 1,000 arrive a second, and the worker reads fewer."""
    left: list[float | None] = []

    def look(_) -> None:
        left.append(rig.progress.latest.partitions[0].expires_in_s)

    def arrive(_) -> None:
        kafka.publish(0, *[USUAL] * 2000)
        kafka.delete_records(0, before=max(len(kafka.input[0]) - 5000, 0))
        rig.at += 2

    kafka: MemoryKafka = rig.kafka
    kafka.kept |= {"retention.bytes": 5000 * len(USUAL), "segment.bytes": len(USUAL)}
    kafka.publish(0, *[USUAL] * 1000)
    rig.run(assign(0), rig.later(1), arrive, idle, look, arrive, arrive, idle, look, *[idle] * 4, rig.later(1), look)
    assert left == [None, pytest.approx(2.4, abs=0.5), None]  # 3,000 wait, there is room for 2,000 more


def test_where_little_of_what_is_kept_has_gone_by_nothing_is_near_its_end(rig: Rig) -> None:
    """A topic that keeps records for an hour always holds some that go within six."""
    left: list[float | None] = []
    rig.at = 1_772_366_400.0
    rig.kafka.kept["retention.ms"] = 3_600_000
    rig.kafka.publish(0, *[USUAL] * 2000, at=datetime.fromtimestamp(rig.at - 60, UTC))
    rig.run(assign(0), rig.later(1), lambda _: left.append(rig.progress.latest.partitions[0].expires_in_s))
    assert left == [None]


def set_by_hand(rig: Rig, offset: int) -> None:
    """As `kafka-consumer-groups --reset-offsets` does: without metadata."""
    rig.kafka.committed[0], rig.kafka.metadata[0] = offset, ""


def test_what_somebody_has_passed_over_is_a_loss_with_a_name(rig: Rig) -> None:
    before(rig)
    rig.kafka.publish(0, *[USUAL] * 4, STRANGE)
    set_by_hand(rig, 7)
    again(rig)
    assert summaries(rig)[1:] == [("topic-1", 3, 7, 0, 4), ("topic-1", 7, 8, 1, 0)]
    assert rig.kafka.metadata == {0: "topic-1"}
    (moved, _), (loss, is_loss) = notices(rig)
    assert "somebody who is no worker has set the group's offset from 3 forward to 7" in moved
    assert "offsets 3 to 7 are lost, for somebody has set the group's offset forward: `stream-app verify" in loss
    assert is_loss


def test_an_offset_that_somebody_has_set_back_is_told(rig: Rig) -> None:
    before(rig)
    set_by_hand(rig, 1)
    again(rig)
    assert summaries(rig)[1:] == [("topic-1", 1, 3, 2, 0)]
    ((moved, is_loss),) = notices(rig)
    assert "set the group's offset from 3 back to 1; what stands between is scored once more" in moved
    assert not is_loss


@pytest.mark.parametrize("ledger", [True, False], ids=["as the ledger has it", "nothing scored yet"])
def test_an_offset_that_somebody_has_carried_over_or_chosen_for_the_first_start_is_no_news(
    rig: Rig, ledger: bool
) -> None:
    if ledger:
        before(rig)
    rig.kafka.publish(0, *[USUAL] * 3)
    set_by_hand(rig, 3)
    again(rig)
    assert summaries(rig)[-1][1:3] == (3, 6) if ledger else (0, 3)
    assert notices(rig) == []
