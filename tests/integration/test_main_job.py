"""The main job: days of transactions through real workers on a real Kafka, exactly once."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from models import archive, artefact
from models.data.events import encode
from models.evaluation import evaluate, metrics_of, score_in_batches
from models.inputs import matrix
from models.protocol import DAY, protocol_rows
from schemas import topics as declared
from schemas.topics import ANOMALIES, SCORES
from stream_app.kafka import topics
from stream_app.pipeline.emit import LEAST_SHARE
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.verify.cluster import verify
from tests.traffic import committed_offsets, committed_records, publish
from tests.workers import Worker, running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

SINCE, UNTIL = date(2018, 4, 12), date(2018, 4, 14)
SAME_SCORE = 1e-5


@pytest.fixture(scope="module")
def some_days(world):
    return world.filter(DAY.is_between(SINCE, UNTIL))


@pytest.fixture(scope="module")
def expected(champion, some_days):
    """Transaction id to score, computed beside the stream: what an undisturbed run must publish."""
    runtime = artefact.load(champion)
    scores = score_in_batches(runtime, matrix(some_days, runtime.manifest.inputs))
    everything = dict(zip(some_days["event_id"], scores.tolist(), strict=True))
    return everything, {t: s for t, s in everything.items() if s >= runtime.manifest.calibration.threshold}


@pytest.fixture
def stream(settings, champion, tmp_path):
    """Topics, a deployed model, and where workers log."""
    topics.ensure(settings, declared.ALL)
    commands.deploy(settings, Order("test", timeout_s=0), champion)
    return settings


def events(frame: pl.DataFrame):
    return ((key, value) for key, value, _ in encode(frame))


def assert_scores_are(found: dict[str, float], wanted: dict[str, float]) -> None:
    assert found.keys() == wanted.keys()
    ids = list(wanted)
    np.testing.assert_allclose([found[i] for i in ids], [wanted[i] for i in ids], rtol=SAME_SCORE)


def test_scores_on_the_topic_are_those_of_evaluate(stream, champion, world, some_days, expected, tmp_path, wait_until):
    sent = publish(stream, events(some_days))
    with running(stream, tmp_path, publish_scores=True) as worker:
        worker.await_ready()
        wait_until(lambda: committed_offsets(stream) >= sent, 300)
    verdict = verify(stream)
    assert verdict.ok, verdict.breaks
    assert (verdict.scored, verdict.dead_lettered) == (sent, 0)

    scores = {record.event_id: record.score for record in committed_records(stream, SCORES)}
    assert_scores_are(scores, expected[0])
    anomalies = committed_records(stream, ANOMALIES)
    assert len(anomalies) == len({anomaly.anomaly_id for anomaly in anomalies})
    assert_scores_are({a.event_id: a.score for a in anomalies}, expected[1])

    rows = protocol_rows(world, SINCE, UNTIL)
    of_topic = metrics_of(np.array([scores[t] for t in rows["event_id"]]), rows)
    of_evaluate = evaluate(artefact.load(champion), world, SINCE, UNTIL)
    for figure in ("auc_roc", "average_precision", "card_precision_at_100"):
        assert getattr(of_topic, figure) == pytest.approx(getattr(of_evaluate, figure), abs=1e-4)


@pytest.mark.faults
def test_a_worker_killed_in_the_middle_changes_nothing_that_consumers_see(
    stream, some_days, expected, tmp_path, wait_until
):
    sent = publish(stream, events(some_days))
    with running(stream, tmp_path, batch_max_events=64) as worker:  # small batches: the kill comes in the middle
        wait_until(lambda: committed_offsets(stream) > 0, 120)
        worker.kill()
        before = committed_offsets(stream)
        assert before < sent, "it was done before it could be killed"
        worker.start()
        wait_until(lambda: committed_offsets(stream) >= sent, 300)
    anomalies = committed_records(stream, ANOMALIES)
    assert len(anomalies) == len({anomaly.anomaly_id for anomaly in anomalies})
    assert_scores_are({a.event_id: a.score for a in anomalies}, expected[1])
    assert verify(stream).ok


def test_every_anomaly_says_why_in_the_units_of_its_inputs(stream, champion, some_days, expected, tmp_path, wait_until):
    sent = publish(stream, events(some_days[:10_000]))
    with running(stream, tmp_path) as worker:
        worker.await_ready()
        wait_until(lambda: committed_offsets(stream) >= sent, 120)
    values = {row["event_id"]: row for row in some_days[:10_000].iter_rows(named=True)}
    reference = archive.read(champion).manifest
    names = [entry.name for entry in reference.inputs]
    anomalies = committed_records(stream, ANOMALIES)
    assert anomalies
    for anomaly in anomalies:
        assert anomaly.threshold == reference.calibration.threshold <= anomaly.score
        assert 0 < anomaly.p_value <= 1.5 * reference.calibration.budget
        shares = [reason.share for reason in anomaly.explanation]
        assert all(share >= LEAST_SHARE for share in shares[1:])
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1 + SAME_SCORE
        for reason in anomaly.explanation:
            assert reason.feature in names
            assert reason.value == pytest.approx(values[anomaly.event_id][reason.feature], rel=1e-6)


def test_a_second_worker_shares_the_work_and_nothing_is_done_twice(stream, some_days, expected, tmp_path, wait_until):
    with running(stream, tmp_path) as one, running(stream, tmp_path) as other:
        workers: list[Worker] = [one, other]
        for worker in workers:
            worker.await_ready()
        wait_until(lambda: all(len(worker.partitions()) == 1 for worker in workers), 60)
        sent = publish(stream, events(some_days))
        wait_until(lambda: committed_offsets(stream) >= sent, 300)
        assert all(worker.committed() > 0 for worker in workers)
    anomalies = committed_records(stream, ANOMALIES)
    assert len(anomalies) == len({anomaly.anomaly_id for anomaly in anomalies})
    assert_scores_are({a.event_id: a.score for a in anomalies}, expected[1])
    assert verify(stream).ok
