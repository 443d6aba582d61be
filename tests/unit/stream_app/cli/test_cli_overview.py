"""What `status` and `models` conclude from the logs."""

from datetime import UTC, datetime, timedelta

from schemas.drift import DriftAlert, DriftSeverity
from schemas.rollout import Abort, Activate, ModelStatus, PartitionProgress, Phase, Rollback, Stage, WorkerVitals
from schemas.scoring import ModelRef
from stream_app.cli.models import ModelState, staged_models
from stream_app.cli.overview import drift_now, model_now, worker_now
from stream_app.kafka.unread import Unread
from stream_app.ops.board import Board
from stream_app.ops.facts import Facts, Presence, WorkerRow
from stream_app.rollout.statuses import Statuses
from stream_app.rollout.swap_log import Swap, SwapLog
from tests.unit.stream_app.rollout.swap_log import CommandLog, read_all

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
ROLLBACK = Rollback(command_id="r", issuer="bob", issued_at=NOW, reason="too many alerts")
ONE, TWO, THREE = (ModelRef("card-fraud", str(n), str(n) * 64) for n in (1, 2, 3))


def heartbeat(worker, age_s=0.0, lags=(), phase=Phase.HEARTBEAT):
    partitions = [PartitionProgress(p, 100, lag) for p, lag in lags]
    vitals = WorkerVitals(NOW, "http://w:6066", True, 250.0, 1000, 7, 3, 61.0, None, partitions)
    return ModelStatus(worker=worker, phase=phase, at=NOW - timedelta(seconds=age_s), serving=ONE, vitals=vitals)


def seen(presence, unread=()):
    """One worker that reads partitions 1 and 3."""
    pulse = heartbeat("a", 600, [(3, 5), (1, 7)])
    row = WorkerRow("a", False, presence, NOW, pulse.serving, pulse.vitals)
    return worker_now(row, Facts(NOW, "k:1", [row], ONE, None, None, None, None, [], None, dict(unread)))


def test_a_lost_worker_has_the_partitions_that_nobody_reads_since_and_what_waits_there_now():
    worker = seen(Presence.LOST, {0: Unread(9), 3: Unread(4000)})
    assert (worker.presence, worker.partitions, worker.lag, worker.ready) == ("lost", [3], 4000, False)
    assert (worker.events_per_second, worker.latency_p50_ms, worker.scored) == (0.0, None, 1000)


def test_a_worker_is_what_its_heartbeat_holds():
    worker = seen(Presence.LIVE)
    assert (worker.id, worker.partitions, worker.lag) == ("a", [1, 3], 12)
    assert (worker.model_sha256, worker.events_per_second) == (ONE.sha256, 250.0)
    assert (worker.latency_p50_ms, worker.latency_p99_ms) == (61.0, None)
    assert worker.seen_at == NOW  # by the brokers' clock; its own is ten minutes off


def log_of(*commands):
    """As the rollout reads it."""
    log = CommandLog()
    log.append(*commands)
    return read_all(log.records)


def stage(model, command_id):
    return Stage(command_id=command_id, issuer="ann", issued_at=NOW, uri=f"file:///models/{model.version}", model=model)


def activate(stage_id):
    return Activate(command_id=f"activate-{stage_id}", issuer="controller@w", issued_at=NOW, stage_id=stage_id)


def abort(stage_id, reason):
    return Abort(command_id=f"abort-{stage_id}", issuer="controller@w", issued_at=NOW, stage_id=stage_id, reason=reason)


def states(*commands):
    return {entry.version: entry.state for entry in staged_models(log_of(*commands))}


def test_no_model_before_the_first_activation():
    assert model_now(SwapLog()) is None
    assert model_now(log_of(stage(ONE, "s1"))) is None
    assert staged_models(SwapLog()) == []


def test_the_model_is_what_the_log_prescribes():
    log = log_of(stage(ONE, "s1"), activate("s1"), stage(TWO, "s2"), activate("s2"))
    now = model_now(log)
    assert (now.name, now.version, now.sha256, now.previous_sha256) == ("card-fraud", "2", TWO.sha256, ONE.sha256)


def test_each_model_says_what_became_of_it():
    first_two = (stage(ONE, "s1"), activate("s1"), stage(TWO, "s2"), activate("s2"))
    assert states(*first_two) == {"1": ModelState.PREVIOUS, "2": ModelState.SERVING}
    assert states(*first_two, stage(THREE, "s3"))["3"] is ModelState.STAGED
    third = (*first_two, stage(THREE, "s3"), activate("s3"))
    assert states(*third) == {"1": ModelState.RETIRED, "2": ModelState.PREVIOUS, "3": ModelState.SERVING}
    assert states(*third, ROLLBACK) == {"1": "previous", "2": "serving", "3": "rolled back"}


def test_a_rollback_says_who_did_it_and_why_and_what_it_left():
    log = log_of(stage(ONE, "s1"), activate("s1"), stage(TWO, "s2"), activate("s2"), ROLLBACK)
    assert staged_models(log)[1].reason == "by bob: too many alerts"
    assert model_now(log).swap == Swap(log.entries[-1].at, "bob", "too many alerts", TWO, ONE, TWO, "r")
    assert model_now(log_of(stage(ONE, "s1"), activate("s1"))).swap.issuer == "ann"


def test_a_model_that_a_worker_refused_says_why():
    log = log_of(stage(ONE, "s1"), activate("s1"), stage(TWO, "s2"), abort("s2", "golden row 3 differs"))
    refused = staged_models(log)[1]
    assert (refused.state, refused.reason) == (ModelState.REFUSED, "golden row 3 differs")


def test_a_refused_model_that_is_staged_again_gets_another_chance():
    log = log_of(stage(TWO, "s2"), abort("s2", "not readable"), stage(TWO, "s2b"), activate("s2b"))
    assert [(entry.state, entry.reason) for entry in staged_models(log)] == [(ModelState.SERVING, "")]


def alert(number):
    at = NOW + timedelta(minutes=number)
    return DriftAlert(
        str(number), at, at, {}, DriftSeverity.WARNING, [], f"cause {number}", "act", False, 0.01, 0.02, 256, ONE
    )


def test_the_latest_alerts_come_first():
    board = Board(SwapLog(), Statuses(), 5.0)
    for n in range(1, 13):
        board.post(alert(n), NOW)
    now = drift_now(board.read())
    assert [incident.alert.alert_id for incident in now.alerts] == ["12", "11", "10", "9", "8"]
    assert now.total == 12
