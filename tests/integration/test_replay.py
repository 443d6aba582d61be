"""What a worker decided, derived again from the log: equal scores and anomalies; what another threshold would do."""

import json
import time
import uuid
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models import archive, artefact
from schemas import topics as declared
from schemas.topics import ANOMALIES, LATENTS, SCORES, TRANSACTIONS
from stream_app.cli.data import publish_frame
from stream_app.kafka import topics
from stream_app.kafka.log import read_to_end
from stream_app.kafka.offsets import Bounds, committed_range
from stream_app.replay.receipt import published, receipt
from stream_app.replay.rescore import Rescorer, threshold_of
from stream_app.replay.what_if import WhatIf, what_if
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Settings
from stream_app.testing.tiny_model import tiny_model
from tests.conftest import free_port
from tests.traffic import committed_offsets, committed_records, publish
from tests.unit.stream_app.cli.cli_runner import stream_app
from tests.workers import running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(150)]

EVENTS = 6000
REFUSED = 3


@pytest.fixture(scope="module")
def scored(broker: str, champion: Path, world: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Labelled transactions that a worker scored by batches of at most 37, publishing every score."""
    folder, mark = tmp_path_factory.mktemp("replay"), uuid.uuid4().hex[:8]
    settings = Settings(
        bootstrap_servers=broker,
        topic_prefix=f"t{mark}-",
        app_id=f"app-{mark}",
        model_cache=folder / "cache",
        web_port=free_port(),
        input_partitions=2,
    )
    topics.ensure(settings, declared.ALL)
    commands.deploy(settings, Order("test", timeout_s=0), champion)
    chosen = world.filter(world["fraud"]).head(100).vstack(world.tail(EVENTS - 100))
    publish_frame(settings, chosen, None, labels=True)
    publish(settings, [(b"bad", b"no JSON")] * REFUSED)
    with running(settings, folder, publish_scores=True, publish_latents=True, batch_max_events=37):
        deadline = time.monotonic() + 90
        while committed_offsets(settings) < EVENTS + REFUSED and time.monotonic() < deadline:
            time.sleep(0.05)
    return settings


def options(settings: Settings) -> tuple[str, ...]:
    return "--bootstrap-servers", settings.bootstrap_servers, "--topic-prefix", settings.topic_prefix


def environment(settings: Settings) -> dict[str, object]:
    return {"STREAM_APP_APP_ID": settings.app_id, "STREAM_APP_MODEL_CACHE": settings.model_cache}


def spans(settings: Settings) -> Bounds:
    return committed_range(settings, TRANSACTIONS, None, None)


def replayed(settings: Settings, model: Path, threshold: float | None = None) -> WhatIf:
    return what_if(settings, spans(settings), artefact.load(model), threshold)


def test_the_same_log_gives_the_same_scores_and_latents(scored: Settings, champion: Path) -> None:
    then = {(s.source.partition, s.source.offset): s.score for s in committed_records(scored, SCORES)}
    assert len(then) == EVENTS
    of_latents = {(v.source.partition, v.source.offset): v.latent for v in committed_records(scored, LATENTS)}
    rescore, now, latents = Rescorer(scored, artefact.load(champion)), {}, {}
    records = read_to_end(scored, TRANSACTIONS, bounds=spans(scored))
    while messages := list(islice(records, 1024)):
        decoded, found, _ = rescore(messages)
        places = [(messages[row].partition(), messages[row].offset()) for row in decoded.rows]
        now.update(zip(places, found.score.tolist(), strict=True))
        latents.update(zip(places, found.latent.tolist(), strict=True))
    assert now.keys() == then.keys()
    np.testing.assert_allclose([now[place] for place in then], list(then.values()), rtol=1e-5)
    assert latents.keys() == of_latents.keys()
    again = [latents[place] for place in of_latents]
    np.testing.assert_allclose(again, list(of_latents.values()), rtol=1e-4, atol=1e-5)


def test_the_model_that_decided_gains_and_loses_nothing(scored: Settings, champion: Path) -> None:
    found = replayed(scored, champion)
    assert (found.events, found.refused, found.labelled) == (EVENTS + REFUSED, REFUSED, EVENTS)
    assert (found.gained, found.lost) == ([], [])
    assert found.alerts_now == found.alerts_then == len(committed_records(scored, ANOMALIES)) > 0
    assert 0 < found.caught_now == found.caught_then < found.frauds
    assert found.alerts_now == found.caught_now + found.false_now


def test_every_anomaly_has_its_receipt(scored: Settings, champion: Path) -> None:
    runtime = artefact.load(champion)
    for anomaly in committed_records(scored, ANOMALIES)[:20]:
        assert published(scored, anomaly.anomaly_id) == anomaly
        found = receipt(scored, anomaly, runtime)
        assert (found.differences, found.score) == ([], pytest.approx(anomaly.score, rel=1e-5))


def test_a_higher_threshold_loses_alerts_and_says_which_were_frauds(scored: Settings, champion: Path) -> None:
    anomalies = {a.transaction_id: a.score for a in committed_records(scored, ANOMALIES)}
    threshold = sorted(anomalies.values())[len(anomalies) // 2]
    found = replayed(scored, champion, threshold)
    below = sorted(i for i, score in anomalies.items() if score < threshold)
    assert (sorted(alert.transaction_id for alert in found.lost), found.gained) == (below, [])
    assert found.caught_then - found.caught_now == sum(alert.fraud is True for alert in found.lost)


def test_on_the_command_line(scored: Settings, champion: Path, tmp_path: Path) -> None:
    anomaly = committed_records(scored, ANOMALIES)[0]
    told = stream_app("replay", "--anomaly", anomaly.anomaly_id, *options(scored), **environment(scored))
    assert (told.exit_code, "the same: score, threshold and reasons" in told.stdout) == (0, True)
    tiny_model(tmp_path / "other.pt", "2")
    other = stream_app("replay", "--anomaly", anomaly.anomaly_id, "--model", tmp_path / "other.pt", *options(scored))
    assert other.exit_code == 1
    assert all(f"differs: {what}" in other.stdout for what in ("another model", "score", "threshold", "reasons"))
    absent = stream_app("replay", "--anomaly", "transactions:0:99999", *options(scored))
    assert (absent.exit_code, "holds no anomaly" in absent.stderr) == (1, True)

    budget = archive.read(champion).manifest.calibration.budget * 2
    picture = tmp_path / "what-if.png"
    asked = ("replay", "--budget", budget, "--partition", 1, "--from", 100, "--until", 2000, "--plot", picture)
    wider = stream_app(*asked, "--json", *options(scored), **environment(scored))
    assert wider.exit_code == 0, wider.stderr
    found = json.loads(wider.stdout)
    assert (found["spans"], found["events"]) == ({"1": [100, 2000]}, 1900)
    assert found["threshold"] == threshold_of(archive.read(champion).manifest.calibration, budget)
    assert (len(found["gained"]) > 0, found["lost"]) == (True, [])
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "gained" in stream_app(*asked, *options(scored), **environment(scored)).stdout


def test_a_range_of_time_before_everything_is_refused_with_a_sentence(scored: Settings) -> None:
    told = stream_app("replay", "--until", "2001-01-01", *options(scored), **environment(scored))
    assert (told.exit_code, "nothing in this range" in told.stderr) == (1, True)
