"""The loop: outputs and offsets together, a revocation inside poll, a swap between two batches, the breaker."""

import weakref

import pytest
from confluent_kafka import KafkaError

from schemas.scoring import RefusalCode
from stream_app.pipeline.serving import SecondModel
from stream_app.testing.memory_kafka import assign, error, lose, revoke
from tests.unit.stream_app.pipeline.rig import STRANGE, USUAL, Rig, idle, served


def test_outputs_ledger_and_offsets_become_visible_together(rig: Rig) -> None:
    rig.kafka.publish(0, USUAL, b"bad", STRANGE)
    rig.kafka.publish(1, None, STRANGE)
    rig.run(assign(0, 1), idle)
    assert rig.kafka.committed == {0: 3, 1: 2}
    assert rig.ledger == {0: [(0, 3, 2, 1)], 1: [(0, 2, 1, 1)]}
    assert rig.places == ["0@2", "1@1"]
    assert {letter.source.offset: letter.code for letter in rig.dead_letters} == {
        1: RefusalCode.NOT_JSON,
        0: RefusalCode.EMPTY,
    }
    assert (rig.progress.latest.scored, rig.progress.latest.dead_lettered, rig.progress.latest.anomalies) == (3, 2, 2)


def test_commits_are_an_interval_apart(rig: Rig) -> None:
    seen: list[dict[int, int]] = []
    look = rig.look(lambda: dict(rig.kafka.committed), seen)
    more = rig.publish(0, USUAL)
    rig.kafka.publish(0, USUAL)
    rig.run(assign(0), rig.later(0.1), look, more, idle, rig.later(0.09), look, rig.later(0.01), look)
    assert seen == [{0: 1}, {0: 1}, {0: 2}]


def test_an_anomaly_waits_twice_as_long_as_a_commit_takes_and_not_for_the_end_of_the_interval(rig: Rig) -> None:
    seen: list[dict[int, int]] = []
    look = rig.look(lambda: dict(rig.kafka.committed), seen)
    rig.kafka.before["commit_transaction"] = lambda: rig.later(0.01)(None)
    rig.kafka.publish(0, USUAL)
    strange = rig.publish(0, STRANGE)
    rig.run(assign(0), rig.later(0.1), strange, rig.later(0.019), look, rig.later(0.002), look)
    assert seen == [{0: 1}, {0: 2}]


def test_anomalies_wait_for_the_end_of_the_interval_while_batches_are_full(first) -> None:
    rig = Rig(served(first), batch_max_events=2, commit_interval_ms=100)
    seen: list[dict[int, int]] = []
    look = rig.look(lambda: dict(rig.kafka.committed), seen)
    rig.kafka.publish(0, USUAL)
    full = rig.publish(0, STRANGE, STRANGE)
    rig.run(assign(0), rig.later(0.1), full, rig.later(0.05), look, rig.later(0.06), look)
    assert seen == [{0: 1}, {0: 3}]


@pytest.mark.parametrize(("setting", "waited"), [(7, 0.007), (1000, 0.1)])
def test_a_micro_batch_waits_to_fill_for_as_long_as_is_set_and_not_beyond_the_commit(first, setting, waited) -> None:
    rig = Rig(served(first), batch_wait_ms=setting, commit_interval_ms=100)
    rig.kafka.publish(0, USUAL)
    rig.run(assign(0), rig.later(0.1), rig.publish(0, USUAL), idle, idle)
    assert rig.kafka.consumers[0].waits[-1] == waited


def test_what_comes_after_a_quiet_time_is_committed_at_once(rig: Rig) -> None:
    seen: list[dict[int, int]] = []
    look = rig.look(lambda: dict(rig.kafka.committed), seen)
    rig.run(assign(0), rig.later(5.0), rig.later(5.0), rig.publish(0, USUAL), idle, look)
    assert seen == [{0: 1}]


def test_a_partition_that_is_revoked_inside_poll_is_committed_before_it_goes(rig: Rig) -> None:
    """Records of the same poll are not scored: their new owner reads them from the committed offset."""
    seen: list[dict[int, int]] = []
    look = rig.look(lambda: dict(rig.kafka.committed), seen)
    rig.kafka.publish(0, STRANGE)
    rig.kafka.publish(1, STRANGE)

    def go(consumer) -> None:
        look(consumer)
        revoke(0)(consumer)
        look(consumer)

    rig.run(assign(0, 1), rig.later(0.1), rig.publish(0, STRANGE, STRANGE), rig.publish(0, STRANGE), go, rig.later(1))
    assert seen == [{0: 1, 1: 1}, {0: 3, 1: 1}]
    assert (rig.places, rig.kafka.committed) == (["0@0", "0@1", "0@2", "1@0"], {0: 3, 1: 1})  # of four in partition 0
    assert [place.partition for place in rig.progress.latest.partitions] == [1]
    assert rig.sample("rebalances_total", kind="revoked") == 1


def test_a_partition_that_comes_back_goes_on_where_it_was_committed(rig: Rig) -> None:
    rig.kafka.publish(0, STRANGE)
    rig.run(assign(0), rig.later(0.1), rig.publish(0, STRANGE), revoke(0), assign(0), idle)
    assert rig.ledger == {0: [(0, 1, 1, 0), (1, 2, 1, 0)]}


def test_what_a_lost_partition_had_open_is_not_committed_and_is_done_once_in_the_end(rig: Rig) -> None:
    seen: list[dict[int, int]] = []
    look = rig.look(lambda: dict(rig.kafka.committed), seen)
    rig.kafka.publish(0, STRANGE)
    rig.run(assign(0), rig.later(0.1), rig.publish(0, STRANGE), idle, lose(0), look, assign(0), idle)
    assert seen == [{0: 1}]
    assert (rig.places, rig.ledger[0]) == (["0@0", "0@1"], [(0, 1, 1, 0), (1, 2, 1, 0)])
    assert rig.sample("sessions_reopened_total", cause="lost") == 1
    assert rig.sample("commits_total", outcome="aborted") == 1


def test_a_swap_commits_what_the_old_model_decided_and_publishes_where_the_new_one_begins(rig: Rig, second) -> None:
    seen: list[list[str]] = []
    old = rig.serving.model
    rig.kafka.publish(0, STRANGE)
    rig.run(
        assign(0, 1),
        rig.publish(1, USUAL, STRANGE),
        rig.swap(served(second, old)),
        rig.look(lambda: [status.serving.version for status in rig.statuses], seen),
        rig.publish(0, USUAL),
        idle,
    )
    assert [(a.source.partition, a.source.offset, a.model.version) for a in rig.anomalies] == [
        (0, 0, "1"),
        (1, 1, "1"),
        (0, 1, "2"),
    ]
    before, assigned, after = rig.statuses
    assert (before.barriers, assigned.barriers) == ({}, {"0": 0, "1": 0})
    assert (after.barriers, after.serving.version, after.command_id) == ({"0": 1, "1": 2}, "2", "command-2")
    assert seen == [["1", "1"]]  # the barrier is in the transaction of the new model's first output
    assert rig.sample("model_swaps_total", outcome="applied") == 1


def test_the_way_back_is_counted_as_a_rollback_and_a_shadow_alone_as_no_swap(rig: Rig, first, second) -> None:
    beside = SecondModel("stage-1", *second, percent=0.0, is_candidate=True)
    steps = (served(second, first[1]), served(first, second[1]), served(first, second[1], beside))
    rig.run(assign(0), *(rig.swap(serving) for serving in steps), idle)
    assert [rig.sample("model_swaps_total", outcome=o) for o in ("applied", "rolled_back")] == [1, 1]


def test_a_partition_that_comes_later_gets_its_barrier_and_the_others_none_anew(rig: Rig) -> None:
    rig.kafka.publish(0, USUAL)
    rig.run(assign(0), idle, assign(1), idle, revoke(0), assign(0), idle)
    assert [status.barriers for status in rig.statuses] == [{}, {"0": 0}, {"1": 0}, {"0": 1}]


def test_a_canary_decides_its_share_and_is_compared_in_the_same_commit(rig: Rig, first, second) -> None:
    rig.serving = served(first, None, SecondModel("stage-1", *second, percent=100.0, is_candidate=True))
    rig.kafka.publish(0, USUAL, STRANGE)
    rig.run(assign(0), idle)
    assert [(a.source.offset, a.model.version) for a in rig.anomalies] == [(0, "2"), (1, "2")]
    (comparison,) = rig.comparisons
    assert (comparison.trial_id, comparison.rows, comparison.decided) == ("stage-1", 2, 2)
    assert rig.statuses[0].candidate == second[1]
    assert rig.sample("second_model_rows_total", outcome="decided") == 2


def test_the_breaker_holds_all_partitions_back_and_a_good_probe_lets_them_go(first) -> None:
    rig = Rig(served(first), breaker_window_events=4, breaker_hold_s=10.0)
    seen: list[tuple[set[int], str, float | None]] = []

    def look(consumer) -> None:
        seen.append((set(consumer.paused), rig.progress.latest.state, rig.sample("breaker_open")))

    rig.kafka.publish(0, *[b"bad"] * 4)
    rig.run(
        *(assign(0), idle, idle, look, rig.publish(0, *[USUAL] * 4), assign(1), idle, look),
        *(rig.later(10.0), idle, look),
    )
    held = "held back: 100% of the latest records are refused, see dead-letters"
    assert seen == [({0}, held, 1.0), ({0, 1}, held, 1.0), (set(), "running", 0.0)]
    assert rig.ledger[0] == [(0, 4, 0, 4), (4, 8, 4, 0)]


def test_nothing_of_a_batch_is_kept_when_the_next_one_is_polled(rig: Rig) -> None:
    """ADR 31: two batches of the largest records would be twice the memory."""
    rig.kafka.publish(0, USUAL, b"bad", STRANGE)
    kept = [weakref.ref(message) for message in rig.kafka.input[0]]
    left: list[int] = []

    def forget(_) -> None:
        rig.kafka.input[0] = [None] * 3

    rig.run(assign(0), forget, rig.look(lambda: sum(ref() is not None for ref in kept), left))
    assert left == [0]


def test_offsets_without_records_are_accounted_for(rig: Rig) -> None:
    rig.kafka.publish(0, USUAL)
    rig.kafka.input[0] += [None, None]
    rig.run(assign(0), idle)
    assert (rig.kafka.committed, rig.ledger) == ({0: 3}, {0: [(0, 3, 1, 0)]})


@pytest.mark.parametrize("call", ["send_offsets_to_transaction", "commit_transaction"])
def test_an_interval_that_cannot_be_committed_is_done_again_and_seen_once(rig: Rig, call: str) -> None:
    rig.kafka.publish(0, STRANGE, b"bad")
    # The barriers before the assignment are committed first, without offsets.
    passes = [] if call == "send_offsets_to_transaction" else [None]
    rig.kafka.faults[call].extend([*passes, error(KafkaError.ILLEGAL_GENERATION)])
    rig.run(assign(0), rig.later(0.1), assign(0), idle)
    assert (rig.places, rig.ledger) == (["0@0"], {0: [(0, 2, 1, 1)]})
    assert rig.progress.latest.scored == 1
    assert rig.sample("sessions_reopened_total", cause="illegal_generation") == 1
