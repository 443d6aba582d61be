"""What a worker decided, derived again from the log: equal scores and anomalies; what another threshold would do."""

import json
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models import archive, artefact, words
from models.definition import complete
from schemas import topics as declared
from schemas.definition import Definition, EventFields, Input, Window
from schemas.topics import ANOMALIES, AUDIT, DEAD_LETTERS, LABELS, LATENTS, SCORES, TRANSACTIONS
from stream_app.cli.data import publish_frame
from stream_app.kafka import topics
from stream_app.kafka.log import read_to_end
from stream_app.kafka.offsets import Bounds
from stream_app.kafka.ranges import committed_range
from stream_app.replay.receipt import published, receipt
from stream_app.replay.rescore import Rescorer, threshold_of
from stream_app.replay.what_if import WhatIf, what_if
from stream_app.report import report
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Settings
from stream_app.testing.tiny_model import glass_model, tiny_model
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
    runtime, cleared = artefact.load(champion), 0
    for anomaly in committed_records(scored, ANOMALIES)[:20]:
        assert published(scored, anomaly.anomaly_id) == anomaly
        found = receipt(scored, anomaly, runtime)
        assert (found.differences, found.score) == ([], pytest.approx(anomaly.score, rel=1e-5))
        cleared += bool(found.passing)
    assert cleared > 15  # by its first reasons, most could pass


def test_a_higher_threshold_loses_alerts_and_says_which_were_frauds(scored: Settings, champion: Path) -> None:
    anomalies = {a.event_id: a.score for a in committed_records(scored, ANOMALIES)}
    threshold = sorted(anomalies.values())[len(anomalies) // 2]
    found = replayed(scored, champion, threshold)
    below = sorted(i for i, score in anomalies.items() if score < threshold)
    assert (sorted(alert.event_id for alert in found.lost), found.gained) == (below, [])
    assert found.caught_then - found.caught_now == sum(alert.fraud is True for alert in found.lost)


def test_on_the_command_line(scored: Settings, champion: Path, tmp_path: Path) -> None:
    anomaly = committed_records(scored, ANOMALIES)[0]
    told = stream_app("replay", "--anomaly", anomaly.anomaly_id, *options(scored), **environment(scored))
    assert (told.exit_code, "the same: score, threshold and reasons" in told.stdout) == (0, True)
    assert "  would pass with " in told.stdout
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


def asked(scored: Settings, *args: object) -> dict:
    result = stream_app(*args, *options(scored), "--json", **environment(scored))
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("named", ["anomaly_id", "event_id"])
def test_an_analyst_sees_an_anomaly_whole_by_its_own_id_or_its_events(scored: Settings, named: str) -> None:
    anomaly = committed_records(scored, ANOMALIES)[0]
    seen = asked(scored, "show", getattr(anomaly, named), "--latest", 3)
    assert seen["event"]["anomaly"]["anomaly_id"] == anomaly.anomaly_id
    assert seen["event"]["event"]["fields"] == anomaly.fields
    assert {*anomaly.fields} == {"amount", "currency", "terminal_id"}
    assert seen["event"]["decision"] == f"anomaly, {anomaly.severity}"
    assert seen["event"]["reasons"] == [words.reason(part) for part in anomaly.explanation]
    assert seen["event"]["label"]["event_id"] == anomaly.event_id
    assert seen["receipt"]["differences"] == []
    assert seen["receipt"]["score"] == pytest.approx(anomaly.score, rel=1e-5)
    assert seen["receipt"]["would_pass"].startswith(f"would pass with {seen['receipt']['passing'][0]['feature']} ")
    assert {other["event"]["entity"] for other in seen["latest"]} == {anomaly.entity}


def test_an_event_that_is_no_anomaly_is_found_on_the_input_and_a_refused_one_by_its_place(scored: Settings) -> None:
    strange = {anomaly.event_id for anomaly in committed_records(scored, ANOMALIES)}
    usual = next(record for record in committed_records(scored, SCORES) if record.event_id not in strange)
    seen = asked(scored, "show", usual.event_id)
    assert (seen["event"]["decision"], seen["event"]["anomaly"], seen["receipt"]) == ("no anomaly", None, None)
    assert seen["event"]["source"]["offset"] == usual.source.offset
    letter = committed_records(scored, DEAD_LETTERS)[0]
    seen = asked(scored, "show", f"{letter.source.topic}:{letter.source.partition}:{letter.source.offset}")
    assert seen["event"]["decision"] == f"refused: {letter.reason}"
    assert seen["event"]["event"] is None


def test_an_entity_has_its_latest_events_newest_first(scored: Settings) -> None:
    scores = committed_records(scored, SCORES)
    customer = scores[-1].entity
    there = {s.source.offset: s.event_id for s in scores if s.entity == customer}
    seen = asked(scored, "show", "--entity", customer, "--latest", 5)
    latest = [other["event"]["event_id"] for other in seen["latest"]]
    assert latest == [there[offset] for offset in sorted(there, reverse=True)][:5]
    assert (seen["event"], seen["entity"]) == (None, customer)


def test_what_is_not_there_is_said_in_one_line_with_what_to_do(scored: Settings) -> None:
    result = stream_app("show", "nobody-at-all", *options(scored), **environment(scored))
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert "search further with --records" in result.stderr


def test_a_label_of_an_analyst_is_on_the_topic_and_on_the_trail_and_the_newest_counts(scored: Settings) -> None:
    anomaly = committed_records(scored, ANOMALIES)[-1]
    for verdict in ("fraud", "legitimate"):
        written = asked(scored, "label", anomaly.anomaly_id, verdict, "--note", "customer called")
        assert (written["event_id"], written["fraud"]) == (anomaly.event_id, verdict == "fraud")
        assert written["entity"] == anomaly.entity
        assert datetime.fromisoformat(written["event_time"]) == anomaly.event_time
    shown = stream_app("show", anomaly.event_id, *options(scored), **environment(scored))
    assert "label: legitimate" in shown.stdout
    assert shown.stdout.rstrip().endswith(": customer called") or "customer called" in shown.stdout
    done = [(r.action, r.subject, r.reason, r.effect) for r in committed_records(scored, AUDIT) if r.action == "label"]
    assert done[-2:] == [
        ("label", f"event {anomaly.event_id}", "customer called", effect) for effect in ("fraud", "legitimate")
    ]


def test_a_mistyped_event_is_not_labelled_unless_one_insists(scored: Settings) -> None:
    before = len(committed_records(scored, LABELS))
    result = stream_app("label", "mistyped", "fraud", *options(scored), **environment(scored))
    assert (result.exit_code, len(committed_records(scored, LABELS))) == (1, before)
    assert asked(scored, "label", "mistyped", "fraud", "--unseen")["event_id"] == "mistyped"
    assert len(committed_records(scored, LABELS)) == before + 1


def test_consume_shows_the_records_of_one_customer(scored: Settings) -> None:
    scores = committed_records(scored, SCORES)
    customer = scores[0].entity
    args = ("consume", "scores", "--until-end", "--entity", customer, "--json", *options(scored))
    shown = [json.loads(line) for line in stream_app(*args).stdout.splitlines()]
    assert len(shown) == sum(s.entity == customer for s in scores)
    assert {s["entity"] for s in shown} == {customer}
    assert len(stream_app(*args, "--max", 1).stdout.splitlines()) == 1
    refused = stream_app("consume", "audit", "--until-end", "--entity", customer, *options(scored))
    assert refused.exit_code == 2
    assert "the records of audit are of no entity" in refused.stderr


def test_a_receipt_is_made_for_the_id_of_an_event(scored: Settings) -> None:
    anomaly = committed_records(scored, ANOMALIES)[0]
    assert published(scored, anomaly.event_id) == anomaly


def test_what_serves_is_calibrated_anew_from_the_topic_and_its_deploy_is_on_the_trail(
    scored: Settings, champion: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new.pt"
    made = asked(scored, "recalibrate", f"topic:{TRANSACTIONS.name}", "--out", new, "--budget", "5 %")
    old = archive.read(champion)
    assert (made["of"], made["rows"]) == (old.sha256, EVENTS)
    assert made["threshold"] == archive.read(new).manifest.calibration.threshold
    commands.deploy(scored, Order("test", timeout_s=0), new)
    commands.abort(scored, Order("test", timeout_s=0))
    told = [r.effect for r in committed_records(scored, AUDIT) if r.action == "recalibrate"]
    assert len(told) == 1
    assert told[0].endswith(f"for 5.000%; otherwise {old.sha256}")


WINDOWED = complete(
    Definition(
        "windowed",
        EventFields("id", "at", "card", time_unit="ms"),
        (
            Input("amount", "amount", "EUR"),
            Input("count_1h", window=Window("card", "count", "1h")),
            Input("mean_1d", window=Window("card", "mean", "1d", "amount")),
            Input("since_last", window=Window("card", "since_last", "30d")),
        ),
    )
)
CARDS, ABSURD = 20, (300, 555, 799)


def windowed_events() -> Iterator[tuple[bytes, bytes]]:
    """800 of some cards, a minute apart; three of them absurd."""
    for number in range(800):
        amount, card = 5e4 if number in ABSURD else number % 97, f"c{number**3 // 7 % CARDS}"
        event = {
            "id": str(number),
            "at": 1.6e12 + 60_000 * number,
            "card": f"c{number**3 // 7 % CARDS}",
            "amount": amount,
        }
        yield card.encode(), json.dumps(event).encode()


def test_a_model_with_windows_has_receipts_a_what_if_and_a_report(settings: Settings, tmp_path: Path) -> None:
    topics.ensure(settings, declared.ALL)
    glass_model(tmp_path / "1.pt", "1", WINDOWED)
    commands.deploy(settings, Order("test", timeout_s=0), tmp_path / "1.pt")
    events, sent = list(windowed_events()), 0
    with running(settings, tmp_path, batch_max_events=64, window_checkpoint_s=0.2) as worker:
        for part in (events[:450], events[450:]):  # a report tells what was before its window by whole commits
            sent += publish(settings, part)
            deadline = time.monotonic() + 90
            while committed_offsets(settings) < sent and time.monotonic() < deadline:
                time.sleep(0.05)
        assert worker.stop() == 0, worker.said
    anomalies = committed_records(settings, ANOMALIES)
    assert sorted(a.event_id for a in anomalies) == sorted(map(str, ABSURD))
    for anomaly in anomalies:
        found = receipt(settings, anomaly, artefact.load(tmp_path / "1.pt"))
        assert found.differences == []
        assert [r.value for r in found.reasons] == [r.value for r in anomaly.explanation]
    again = replayed(settings, tmp_path / "1.pt")
    assert (again.events, again.alerts_now, again.gained, again.lost, again.remark) == (sent, 3, [], [], "")
    gathered = report.gather(settings, "300", lambda _: None)
    before, now = report.rescore(settings, gathered, None, lambda _: None)
    assert len(now.values) >= 300
    assert len(before.values) >= 300
    assert np.isfinite(now.values[:, now.names.index("mean_1d")]).all()
    assert now.source == "every event of the window, from the input topic"
