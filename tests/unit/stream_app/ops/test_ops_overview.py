"""The sentence at the top of the page: the worst first, with what to do, and never a false alarm."""

import msgspec
import pytest

from schemas.drift import DriftPhase, DriftSeverity
from schemas.rollout import Notice, PartitionProgress, Phase
from stream_app.ops.facts import Presence
from stream_app.ops.headline import Level
from stream_app.ops.health import Liveness
from stream_app.ops.overview import Document, StatusPage
from stream_app.pipeline.progress import Progress, Snapshot
from stream_app.settings import Settings
from tests.unit.stream_app.ops.ops_records import MODEL, NEXT_MODEL, Clock, Topics, after, alert, heartbeat, running


class World:
    """One worker named `here`, its page, and a clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.progress = Progress()
        self.topics = Topics(self.clock)
        self.liveness = Liveness(self.progress, 30.0, self.clock.monotonic)
        settings = Settings(worker_id="here")
        self.page = StatusPage(settings, self.progress, self.liveness, self.topics.board, self.clock.now)
        self.topics.deploy("1", MODEL, self.clock.now())
        self.busy()

    def busy(self, lag: int = 0, **changes: object) -> None:
        figures = {"events_per_second": 5000.0, "latency_p50_ms": 20.0, "latency_p99_ms": 61.0, "scored": 90_000}
        self.progress.latest = running(self.clock, lag, **{**figures, **changes})
        self.topics.post(heartbeat("here"), at=self.clock.now())  # which comes back to it

    @property
    def document(self) -> Document:
        return self.page.document()


@pytest.fixture
def world() -> World:
    return World()


def test_all_is_well_says_how_much_and_how_fast(world: World) -> None:
    world.topics.post(heartbeat("there", partitions={2: 0}), at=after(0))
    verdict = world.document.verdict
    assert verdict.level is Level.GOOD
    assert verdict.sentence == "All is well. 2 workers score 5,100 events a second, 99 % of them within 61 ms."


def test_a_quiet_stream_is_well_and_not_an_alarm(world: World) -> None:
    world.busy(events_per_second=0.0, latency_p99_ms=None)
    assert world.document.verdict.level is Level.IDLE


def test_after_a_flood_of_refusals_a_quiet_stream_is_not_said_to_be_scored_to_the_last_event(world: World) -> None:
    world.busy(events_per_second=0.0, latency_p99_ms=None, dead_lettered=3000)
    assert world.document.verdict.sentence == (
        "All is well, and quiet: no new event comes in, and every one is scored, but for 3,000 that were refused: see "
        "dead-letters."
    )
    world.busy(events_per_second=0.0, latency_p99_ms=None)
    assert world.document.verdict.sentence.endswith("and every one is scored.")


def test_a_silent_worker_whose_partitions_nobody_holds_is_bad(world: World) -> None:
    world.topics.post(heartbeat("there", partitions={2: 0, 3: 0}), at=after(0))
    world.clock.advance(6)
    world.busy()
    document = world.document
    assert document.verdict.level is Level.BAD
    assert "there is lost since 12:00:00" in document.verdict.sentence
    assert "partition 2, 3" in document.verdict.sentence
    assert {w.id: w.presence for w in document.workers} == {"here": Presence.LIVE, "there": Presence.LOST}


def test_a_silent_worker_whose_partitions_were_taken_over_is_worth_a_look_and_then_forgotten(world: World) -> None:
    world.topics.post(heartbeat("there", partitions={0: 0, 1: 0}), at=after(0))
    world.clock.advance(6)
    world.busy()
    assert world.document.verdict.sentence.startswith("there is lost since 12:00:00, the others do the work")
    world.clock.advance(600)
    world.busy()
    assert [w.id for w in world.document.workers] == ["here"]
    assert world.document.verdict.level is Level.GOOD


def test_a_worker_that_said_goodbye_is_not_lost(world: World) -> None:
    world.topics.post(heartbeat("there", phase=Phase.STOPPED, partitions={2: 0}), at=after(0))
    world.clock.advance(60)
    world.busy()
    document = world.document
    assert document.verdict.level is Level.GOOD
    assert document.workers[1].presence is Presence.STOPPED
    assert document.totals.events_per_second == 5000


def test_a_stall_comes_before_everything_else(world: World) -> None:
    world.topics.post(alert(), at=after(0))
    world.busy(lag=100)
    world.liveness.check()
    world.clock.advance(31)
    world.busy(lag=100, moved_ago=31)
    verdict = world.document.verdict
    assert verdict.level is Level.BAD
    assert "no position has moved" in verdict.sentence


def test_a_backlog_says_how_long_it_will_take(world: World) -> None:
    world.busy(lag=300_000)
    verdict = world.document.verdict
    assert verdict.level is Level.ATTENTION
    assert verdict.sentence == "Working off a backlog of 300,000 events, about 60 s at the present rate."


def test_a_few_transactions_in_flight_are_no_backlog(world: World) -> None:
    world.busy(lag=400)
    assert world.document.verdict.level is Level.GOOD


def test_not_ready_asks_for_attention_with_the_reason(world: World) -> None:
    world.progress.latest = Snapshot(state="waiting for a model", looped_at=world.clock.seconds)
    verdict = world.document.verdict
    assert (verdict.level, verdict.sentence) == (Level.ATTENTION, "here takes no part: waiting for a model.")


def test_different_models_ask_for_attention(world: World) -> None:
    world.topics.post(heartbeat("there", serving=NEXT_MODEL, partitions={2: 0}), at=after(0))
    document = world.document
    assert document.model.mixed
    assert document.verdict.level is Level.ATTENTION


def test_a_standby_without_partitions_may_still_have_the_old_model(world: World) -> None:
    world.topics.post(heartbeat("standby", serving=NEXT_MODEL), at=after(0))
    assert not world.document.model.mixed


def drifted(world: World, minutes: float, **changes: object) -> Level:
    """What the page says so long after an alert."""
    world.topics.post(msgspec.structs.replace(alert(), **changes), at=after(0))
    world.clock.advance(minutes * 60)
    world.busy()
    return world.document.verdict.level


@pytest.mark.parametrize("phase", [DriftPhase.RAISED, DriftPhase.CONFIRMED])
@pytest.mark.parametrize("severity", [DriftSeverity.WARNING, DriftSeverity.CRITICAL])
@pytest.mark.parametrize("minutes", [1, 31, 6 * 24 * 60])
def test_nothing_is_well_as_long_as_an_incident_lasts(
    world: World, minutes: int, severity: DriftSeverity, phase: DriftPhase
) -> None:
    assert drifted(world, minutes, severity=severity, phase=phase) is Level.ATTENTION


def test_an_incident_that_is_over_or_changes_nothing_is_no_concern(world: World) -> None:
    assert drifted(world, 1, severity=DriftSeverity.INFO) is Level.GOOD
    world.topics.post(alert("a2"), at=after(0))
    assert world.document.verdict.level is Level.ATTENTION
    world.topics.post(msgspec.structs.replace(alert("a2"), phase=DriftPhase.OVER), at=after(70))
    assert world.document.verdict.level is Level.GOOD


def test_an_incident_of_a_model_that_serves_no_longer_is_over(world: World) -> None:
    assert drifted(world, 1, model=NEXT_MODEL) is Level.GOOD


def test_an_incident_from_before_the_summaries_that_are_kept_has_nobody_to_end_it(world: World) -> None:
    assert drifted(world, 8 * 24 * 60) is Level.GOOD


def test_the_worst_incident_makes_the_headline_whatever_came_after_it(world: World) -> None:
    for name, severity in (("a1", DriftSeverity.CRITICAL), ("a2", DriftSeverity.WARNING)):
        world.topics.post(msgspec.structs.replace(alert(name, severity), cause=f"It is {name}."), at=after(0))
    assert world.document.verdict.sentence == "Drift, critical: It is a1: `stream-app drift explain a1`."


def test_a_long_cause_is_cut_to_its_first_sentence_in_the_headline(world: World) -> None:
    cause = "Customers spend more. Evidence: amounts moved by 0.6 sd, residuals by 0.1 sd."
    world.topics.post(msgspec.structs.replace(alert(), cause=cause), at=after(0))
    assert world.document.verdict.sentence == ("Drift, warning: Customers spend more: `stream-app drift explain a1`.")


def test_this_worker_shows_its_own_figures_without_hearing_itself_on_kafka(world: World) -> None:
    world.topics.post(heartbeat("here", events_per_second=1.0), at=after(0))
    (row,) = world.document.workers
    assert (row.here, row.vitals.events_per_second) == (True, 5000.0)


def test_the_document_is_json_that_says_no_more_than_its_type(world: World) -> None:
    document = world.document
    again = msgspec.json.decode(msgspec.json.encode(document), type=Document)
    assert again.verdict == document.verdict


def place(**figures: object) -> PartitionProgress:
    return PartitionProgress(**{"partition": 2, "position": 100, "lag": 0, **figures})


def test_what_was_lost_is_bad_for_a_day_and_comes_before_drift(world: World) -> None:
    loss = Notice(world.clock.now(), "partition 2: offsets 3 to 8 were deleted", is_loss=True)
    world.busy(notices=(loss,))
    headline = world.document.verdict
    assert (headline.level, headline.sentence) == (Level.BAD, "Partition 2: offsets 3 to 8 were deleted.")
    world.clock.advance(25 * 3600)
    world.busy(notices=(loss,))
    assert world.document.verdict.level is Level.GOOD


def test_records_that_are_about_to_expire_unread_are_bad(world: World) -> None:
    world.busy(partitions=(place(lag=3000, expires_in_s=1500.0),))
    assert world.document.verdict.level is Level.BAD
    assert "the oldest of 3,000 unread records of partition 2 in 25 min" in world.document.verdict.sentence
    world.busy(partitions=(place(lag=3000, expires_in_s=500_000.0),))
    assert world.document.verdict.level is Level.GOOD


def test_what_waits_behind_an_open_transaction_is_named_once_it_lasts(world: World) -> None:
    world.busy(partitions=(place(behind_open_transaction=5000, open_transaction_s=1.0),))
    assert world.document.verdict.level is Level.GOOD
    world.busy(partitions=(place(behind_open_transaction=5000, open_transaction_s=45.0),))
    headline = world.document.verdict
    assert headline.level is Level.ATTENTION
    assert headline.sentence.startswith("5,000 records have waited for 45 s behind an open transaction")
    assert world.document.totals.behind_open_transaction == 5000


def test_a_topic_that_was_made_again_is_told_for_a_while(world: World) -> None:
    world.busy(notices=(Notice(world.clock.now(), "transactions was deleted and made again"),))
    assert world.document.verdict.sentence == "Transactions was deleted and made again."
    world.clock.advance(3600)
    world.busy(notices=world.progress.latest.notices)
    assert world.document.verdict.level is Level.GOOD


def test_kafka_away_is_the_cause_of_all_and_makes_no_other_worker_a_lost_one(world: World) -> None:
    world.topics.post(heartbeat("there", partitions={2: 0}), at=after(0))
    world.clock.advance(75)
    world.progress.latest = running(world.clock, state="reconnecting: commit: no broker", ready=False, partitions=())
    document = world.document
    assert document.verdict.level is Level.BAD
    assert document.verdict.sentence.startswith("Kafka has not answered since 12:00:00: look at the brokers")
    assert (document.silent_since, document.wrong) == (after(0), [])
    assert {w.id: w.presence for w in document.workers} == {"here": Presence.LIVE, "there": Presence.UNHEARD}
    world.busy()
    assert world.document.silent_since is None


def test_what_else_is_wrong_stands_below_the_first_sentence(world: World) -> None:
    world.topics.post(alert(), at=after(0))
    world.busy(lag=300_000)
    document = world.document
    assert document.verdict.sentence.startswith("Working off a backlog")
    assert [sentence.partition(":")[0] for sentence in document.wrong] == ["Drift, warning"]
