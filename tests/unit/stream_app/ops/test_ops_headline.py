"""One order of precedence: of any two things that are wrong at once, the first sentence names the one that is worse."""

from collections.abc import Callable
from datetime import datetime
from itertools import combinations, pairwise

import pytest
from msgspec.structs import replace

from schemas.comparison import GuardDecision, GuardReport, GuardSignal
from schemas.drift import IncidentSwap
from schemas.rollout import AlertVolume, Notice, PartitionProgress, PValues
from schemas.scoring import ModelRef
from stream_app.drift.published import RaisedAlert
from stream_app.kafka.unread import Gone, Unread
from stream_app.ops.facts import Facts, Presence, WorkerRow
from stream_app.ops.headline import LOOKS, Kind, Level, conditions, headline
from stream_app.rollout.swap_log import GuardRollback, Swap
from stream_app.rollout.trial import TrialView
from tests.unit.stream_app.ops.ops_records import MODEL, NEXT_MODEL, after, alert, vitals

NOW = after(0)
BEFORE = ModelRef("card-fraud", "6", "c" * 64)
BAD = GuardReport(
    "go-7",
    BEFORE.sha256,
    MODEL.sha256,
    1000,
    GuardDecision.ROLL_BACK,
    "roll back",
    [GuardSignal("alerts", "131 alerts, 100 of the champion", 1.2), GuardSignal("tail", "calm", 0.1)],
)


def row(name: str, presence: Presence = Presence.LIVE, heard_at: datetime = NOW, **changes: object) -> WorkerRow:
    serving = changes.pop("serving", MODEL)
    return WorkerRow(name, False, presence, heard_at, serving, vitals(**{"partitions": {0: 0}, **changes}))


def busy() -> Facts:
    """One worker on every partition, nothing wrong."""
    here = row("here", events_per_second=5000.0, partitions=dict.fromkeys(range(8), 0))
    return Facts(NOW, "kafka-1:9092", [here], MODEL, BEFORE, None, None, None, [], None, {})


def swapped(at: datetime, issuer: str, left: ModelRef | None = None) -> Swap:
    """The model in service was put there, or returned to from another one."""
    return Swap(at, issuer, "", left, MODEL, NEXT_MODEL, "c")


def also(name: str, presence: Presence = Presence.LIVE, heard_at: datetime = NOW, **changes: object) -> "Change":
    """One worker more, with this about it."""
    return lambda facts: replace(facts, workers=[*facts.workers, row(name, presence, heard_at, **changes)])


def stuck(name: str, **figures: object) -> "Change":
    """One worker more, with this about its partition 2."""
    place = PartitionProgress(**{"partition": 2, "position": 100, "lag": 0, **figures})

    def change(facts: Facts) -> Facts:
        behind = row(name)
        return replace(
            facts, workers=[*facts.workers, replace(behind, vitals=replace(behind.vitals, partitions=[place]))]
        )

    return change


def trial(mode: str, model: ModelRef = MODEL, against: ModelRef = BEFORE) -> TrialView:
    return TrialView(model, against, mode, 5.0 if mode == "canary" else 0.0, False, after(-40), "root@host", BAD)


def lost_one(facts: Facts) -> Facts:
    gone = also("vm-3", Presence.LOST, after(-90), partitions={8: 5, 9: 5})(facts)
    return replace(gone, unread={8: Unread(12_000), 9: Unread()})


def flooded(facts: Facts) -> Facts:
    swap = swapped(after(-40), "root@host")
    return also("vm-5", volume=AlertVolume(1000, 870, 0.01))(replace(facts, swap=swap))


def refused(facts: Facts) -> Facts:
    return also("vm-8", events_per_second=200.0, refused_per_second=200.0)(facts)


LOSS = Notice(NOW, "partition 2: 5 records were deleted: `stream-app verify` names them", is_loss=True)
HELD = "held back: 87% of the latest records are refused, see dead-letters"
STILL = "The pipeline thread has not turned for 31 s: restart this worker."

Change = Callable[[Facts], Facts]
EXAMPLES: dict[Kind, tuple[Change, str]] = {
    Kind.KAFKA_AWAY: (
        lambda facts: replace(facts, silent_since=after(-75)),
        "Kafka has not answered since 11:58:45: look at the brokers (kafka-1:9092); workers go on by themselves once "
        "these answer.",
    ),
    Kind.STALLED: (
        also("vm-2", ready=False, alive=False, state=STILL),
        "vm-2 stands still. The pipeline thread has not turned for 31 s: restart it.",
    ),
    Kind.UNREAD: (
        lost_one,
        "vm-3 is lost since 11:58:30, and nobody has taken over partition 8, 9, where 12,000 events wait: "
        "see whether it still runs, or start another, `stream-app worker`.",
    ),
    Kind.GUARD: (
        lambda facts: replace(facts, trial=trial("watch")),
        "card-fraud 7, deployed 40 s ago by root@host, is worse than card-fraud 6 by the guard after 1,000 "
        "events (alerts: 131 alerts, 100 of the champion): `stream-app rollback`.",
    ),
    Kind.FLOOD: (
        flooded,
        "card-fraud 7, deployed 40 s ago by root@host, alerts on 87 % where 1 % was usual: `stream-app rollback`.",
    ),
    Kind.HELD_BACK: (
        also("vm-6", state=HELD),
        "vm-6 holds the input back: 87% of the latest records are refused: "
        "`stream-app consume dead-letters --from-beginning --max 20`.",
    ),
    Kind.EXPIRING: (
        stuck("vm-7", lag=700, expires_in_s=3600.0),
        "The broker deletes the oldest of 700 unread records of partition 2 in 60 min: raise retention of the "
        "input, or add workers.",
    ),
    Kind.LOST: (
        also("vm-7", notices=[LOSS]),
        "Partition 2: 5 records were deleted: `stream-app verify` names them.",
    ),
    Kind.NOT_READY: (
        also("vm-4", ready=False, state="waiting for a model: deploy one with stream-app deploy MODEL"),
        "vm-4 takes no part: waiting for a model: deploy one with stream-app deploy MODEL.",
    ),
    Kind.REFUSALS: (
        refused,
        "3.85 % of the records are refused, 200 a second: `stream-app consume dead-letters --from-beginning --max 20`.",
    ),
    Kind.OPEN_TRANSACTION: (
        stuck("vm-9", behind_open_transaction=5000, open_transaction_s=45.0),
        "5,000 records have waited for 45 s behind an open transaction of an upstream producer on partition 2: "
        "`kafka-transactions.sh find-hanging` names it.",
    ),
    Kind.TAKEN_BACK: (
        lambda facts: replace(facts, guarded=GuardRollback(after(-30), NEXT_MODEL, MODEL)),
        "The guard took card-fraud 8 back 30 s ago, card-fraud 7 decides: `stream-app audit --action rollback` has "
        "its reasons.",
    ),
    Kind.SHADOW: (
        lambda facts: replace(facts, trial=trial("shadow", NEXT_MODEL, MODEL)),
        "card-fraud 8, a shadow begun 40 s ago by root@host, is worse than card-fraud 7 by the guard after 1,000 "
        "events (alerts: 131 alerts, 100 of the champion): `stream-app abort`.",
    ),
    Kind.MODELS_DIFFER: (
        also("vm-10", serving=NEXT_MODEL),
        "Workers serve card-fraud 7 and card-fraud 8: normal for a moment during a swap; restart one that stays "
        "behind.",
    ),
    Kind.BACKLOG: (
        also("vm-11", partitions={0: 900_000}),
        "Working off a backlog of 900,000 events, about 3 min at the present rate.",
    ),
    Kind.VOLUME: (
        also("vm-12", volume=AlertVolume(10_000, 500, 0.01)),
        "The model in service alerts on 5 % where 1 % was usual: `stream-app drift explain`.",
    ),
    Kind.CALIBRATION: (
        also("vm-15", p_values=PValues(10_000, [1600, 2700, 5000])),
        "The calibration of card-fraud 7 does not hold: 16 % of a day's events score as 10 % should: "
        "`stream-app recalibrate`.",
    ),
    Kind.INPUT_CHANGED: (
        also("vm-13", notices=[Notice(after(-60), "transactions was deleted and made again")]),
        "Transactions was deleted and made again.",
    ),
    Kind.DRIFT: (
        lambda facts: replace(facts, alerts=[RaisedAlert(alert(), after(-60))]),
        "Drift, warning: Customers spend more: `stream-app drift explain a1`.",
    ),
    Kind.WORKER_GONE: (
        also("vm-14", Presence.LOST, after(-90)),
        "vm-14 is lost since 11:58:30, the others do the work: see whether it still runs.",
    ),
}

ONE_TRIAL = {Kind.GUARD, Kind.SHADOW, Kind.TAKEN_BACK}  # there is one at a time, and none when the guard has ended it
NEVER_TOGETHER = {*map(frozenset, combinations(ONE_TRIAL, 2)), frozenset({Kind.FLOOD, Kind.VOLUME})}
# The guard's sentence has the figures of the flood; while Kafka is away, nothing else is known.
SPOKEN_FOR = {frozenset({Kind.GUARD, Kind.FLOOD}), *(frozenset({Kind.KAFKA_AWAY, kind}) for kind in Kind)}
PAIRS = [pair for pair in combinations(Kind, 2) if frozenset(pair) not in NEVER_TOGETHER]


def test_the_table_has_every_kind_in_the_order_of_precedence_and_no_amber_hides_a_red():
    assert list(LOOKS) == list(Kind) == list(EXAMPLES)
    levels = [level for level, _ in LOOKS.values()]
    assert all(above is Level.BAD or below is Level.ATTENTION for above, below in pairwise(levels))


@pytest.mark.parametrize("kind", Kind)
def test_what_is_wrong_is_one_sentence_that_ends_with_what_ends_it(kind: Kind):
    change, sentence = EXAMPLES[kind]
    (found,) = conditions(change(busy()))
    assert (found.kind, found.sentence) == (kind, sentence)
    assert headline(change(busy()), [found]).level is found.level


@pytest.mark.parametrize("pair", PAIRS, ids=" before ".join)
def test_of_two_things_that_are_wrong_the_first_sentence_names_the_worse(pair: tuple[Kind, Kind]):
    worse, other = pair
    for first, second in (pair, reversed(pair)):
        facts = EXAMPLES[second][0](EXAMPLES[first][0](busy()))
        found = conditions(facts)
        assert [c.kind for c in found] == ([worse] if frozenset(pair) in SPOKEN_FOR else [worse, other])
        assert headline(facts, found).sentence == found[0].sentence


def test_all_at_once_come_in_the_order_of_precedence():
    facts = busy()
    for change, _ in (EXAMPLES[kind] for kind in Kind if kind not in {Kind.KAFKA_AWAY, Kind.SHADOW, Kind.TAKEN_BACK}):
        facts = change(facts)
    kinds = [condition.kind for condition in conditions(facts)]
    assert kinds == sorted(kinds, key=list(Kind).index)


def test_a_bad_model_that_the_guard_finds_too_is_told_with_its_share_of_alerts():
    facts = replace(flooded(busy()), trial=trial("watch"))
    assert [c.sentence for c in conditions(facts)] == [EXAMPLES[Kind.FLOOD][1]]


def test_a_bad_canary_names_itself_and_a_rollback_ends_it():
    (found,) = conditions(replace(busy(), trial=trial("canary", NEXT_MODEL, MODEL)))
    assert found.sentence.startswith("card-fraud 8, a canary begun 40 s ago by root@host, is worse than card-fraud 7")
    assert (found.level, found.remedy) == (Level.BAD, "`stream-app rollback`")


def test_a_first_model_that_floods_has_nothing_to_roll_back_to():
    (found,) = conditions(replace(flooded(busy()), previous=None))
    assert found.sentence.endswith("where 1 % is its budget: deploy another model, `stream-app deploy`.")


def test_an_hour_after_the_deploy_a_flood_is_no_longer_its_doing():
    old = replace(flooded(busy()), swap=swapped(after(-3700), "root@host"))
    assert [c.kind for c in conditions(old)] == [Kind.VOLUME]


@pytest.mark.parametrize(
    "volume", [AlertVolume(20, 19, 0.01), AlertVolume(100_000, 60, 0.0), AlertVolume(1000, 29, 0.01)]
)
def test_few_alerts_and_alerts_within_three_times_the_usual_are_no_flood(volume: AlertVolume):
    swap = swapped(after(-40), "root@host")
    assert conditions(also("vm-5", volume=volume)(replace(busy(), swap=swap))) == []


@pytest.mark.parametrize(
    ("p_values", "holds"),
    [
        (PValues(10_000, [1200, 2600, 5100]), True),
        (PValues(10_000, [780, 2600, 5100]), False),  # as little is as wrong as too much
        (PValues(10_000, [1200, 3200, 5100]), False),
        (PValues(1000, [500, 600, 700]), True),  # of so few a share says little
        (PValues(10_000, [0, 0, 0]), False),
    ],
)
def test_a_calibration_holds_while_a_day_s_p_values_are_about_uniform(p_values: PValues, holds: bool):
    assert [c.kind for c in conditions(also("vm-15", p_values=p_values)(busy()))] == [Kind.CALIBRATION] * (not holds)


def test_where_drift_is_known_it_is_named_as_what_moved():
    off = also("vm-15", p_values=PValues(10_000, [1600, 2700, 5000]))(busy())
    drifting = conditions(replace(off, alerts=[RaisedAlert(alert(), after(-60))]))
    assert [c.kind for c in drifting] == [Kind.CALIBRATION, Kind.DRIFT]
    assert drifting[0].remedy == (
        "`stream-app drift explain` says what moved; where it stays so, `stream-app recalibrate`"
    )


def test_what_the_guard_did_is_no_news_after_another_deploy_or_half_an_hour():
    guarded = replace(busy(), guarded=GuardRollback(after(-60), NEXT_MODEL, MODEL))
    assert [c.kind for c in conditions(guarded)] == [Kind.TAKEN_BACK]
    assert conditions(replace(guarded, swap=swapped(after(-30), "ann"))) == []
    assert conditions(replace(guarded, guarded=GuardRollback(after(-1801), NEXT_MODEL, MODEL))) == []


def test_an_incident_of_a_model_that_serves_no_longer_is_over():
    drifting = replace(busy(), alerts=[RaisedAlert(alert(), after(-60))])
    assert [c.kind for c in conditions(drifting)] == [Kind.DRIFT]
    assert conditions(replace(drifting, alerts=[RaisedAlert(replace(alert(), model=NEXT_MODEL), after(-60))])) == []


def test_drift_that_a_swap_began_is_ended_by_a_rollback():
    began = replace(
        alert(), swap=IncidentSwap(after(-70), "root@host", NEXT_MODEL), cause="Began with the swap (by ann). So."
    )
    (found,) = conditions(replace(busy(), alerts=[RaisedAlert(began, after(-60))]))
    assert found.sentence == "Drift, warning: Began with the swap: `stream-app rollback`."


def test_a_cause_is_cut_where_its_evidence_begins_and_not_in_the_middle():
    moved = "The population has changed: amount, terminal_nb_tx_30d and terminal_nb_tx_7d moved together"
    cause = (
        f"{moved}, while amount, customer_avg_amount_1d and 2 more fields can be reconstructed less well than before."
    )
    long = replace(alert(), cause=cause)
    (found,) = conditions(replace(busy(), alerts=[RaisedAlert(long, after(-60))]))
    assert found.what == f"Drift, warning: {moved}"


def test_nobody_who_reads_is_bad_also_where_nobody_was_lost():
    facts = replace(busy(), workers=[], unread={0: Unread(), 1: Unread()})
    (found,) = conditions(facts)
    assert found.sentence == "Nobody reads partition 0, 1: start a worker, `stream-app worker`."


def test_what_the_broker_has_deleted_or_deletes_soon_is_told_also_where_nobody_reads():
    unread = {0: Unread(900, Gone(500, 2500)), 1: Unread(10, goes_soon=True), 2: Unread(7)}
    assert [c.sentence for c in conditions(replace(busy(), workers=[], unread=unread))][1:] == [
        "The broker deletes records of partition 1 within 6 h, and nobody reads them: start a worker, "
        "`stream-app worker`.",
        "The broker has deleted before anybody read them: 2,000 offsets of partition 0, from 500 on: start a worker, "
        "`stream-app worker`, which puts it on record.",
    ]


def test_offsets_that_somebody_has_passed_over_are_told_also_where_nobody_reads():
    unread = {0: Unread(0, Gone(500, 3500, is_passed_over=True))}
    assert [c.sentence for c in conditions(replace(busy(), workers=[], unread=unread))][1:] == [
        "Somebody has set the group's offset forward, and these were never read: 3,000 offsets of partition 0, from "
        "500 on: start a worker, `stream-app worker`, which puts it on record.",
    ]


def test_where_all_are_lost_none_of_them_has_a_successor():
    lost = row("vm-3", Presence.LOST, after(-90), partitions={})
    assert [c.sentence for c in conditions(replace(busy(), workers=[lost], unread={0: Unread(900)}))] == [
        "vm-3 is lost since 11:58:30, and nobody has taken over partition 0, where 900 events wait: see whether "
        "it still runs, or start another, `stream-app worker`."
    ]


def test_workers_without_a_partition_are_not_a_quiet_stream():
    facts = replace(busy(), workers=[row("here", partitions={})])
    assert [c.sentence for c in conditions(facts)] == [
        "No worker has a partition yet: normal for some seconds after a start, for a minute after an outage."
    ]


def test_an_empty_system_says_how_to_begin():
    facts = replace(busy(), workers=[], serving=None)
    assert headline(facts, conditions(facts)).sentence == (
        "Nothing runs yet: `stream-app worker`, then `stream-app deploy MODEL`."
    )
