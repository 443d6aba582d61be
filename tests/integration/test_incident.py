"""The incident: a candidate that is better on fraud, with a shifted latent space and more alerts.

The gates refuse it; forced through, the guard rolls it back. Nothing of it is planted: `stream_app.testing.incident`
describes the trainings.
"""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from benchmarks import recipes
from models import archive, artefact
from models.data.events import encode
from models.data.frame import read, write
from models.definition import find
from models.evaluation import metrics_of, score_in_batches
from models.gates.comparison import compare
from models.gates.judge import judge
from models.gates.limits import load_limits
from models.inputs import matrix
from models.manifest import Quality
from models.protocol import DAY, protocol_rows
from schemas import topics as declared
from schemas.comparison import GuardDecision
from schemas.rollout import Rollback, Stage
from schemas.topics import ANOMALIES, AUDIT, COMPARISONS, MODEL_SWAP
from stream_app.cli.invocation import issuer
from stream_app.kafka import topics
from stream_app.kafka.log import Tail
from stream_app.rollout import artefacts, commands
from stream_app.rollout.client import Order
from stream_app.rollout.gating import Gates
from stream_app.rollout.guard.guard import Guard
from stream_app.settings import GatePolicy, GuardMode
from stream_app.testing import incident
from stream_app.testing.incident import TEST_WEEK
from stream_app.testing.stream import Stream
from stream_app.verify.cluster import verify
from tests.counting import counted
from tests.traffic import committed_offsets, committed_records
from tests.unit.stream_app.cli.cli_runner import stream_app
from tests.workers import running

RATE = 1000.0  # transactions a second
CANARY_PERCENT = 20.0
SOON = 5000  # transactions: half of what a promotion needs


@pytest.fixture(scope="module")
def shifted(world, tmp_path_factory) -> Path:
    return incident.SHIFTED.make(world, "2", tmp_path_factory.mktemp("shifted") / "2.pt")


@pytest.fixture(scope="module")
def equal(world, tmp_path_factory) -> Path:
    return incident.EQUAL.make(world, "3", tmp_path_factory.mktemp("equal") / "3.pt")


def refusals(candidate: Path, champion: Path, frame: pl.DataFrame, days: tuple[date, date]) -> list[str]:
    """The gates that refuse the candidate."""
    limits = load_limits()
    compared = compare(artefact.load(candidate), artefact.load(champion), frame, limits, *days)
    return judge(compared, limits).failed


def figures(model: Path, frame: pl.DataFrame, days: tuple[date, date]) -> Quality:
    runtime, rows = artefact.load(model), protocol_rows(frame, *days)
    return metrics_of(score_in_batches(runtime, matrix(rows, runtime.manifest.inputs)), rows)


def test_the_shifted_candidate_is_better_and_the_gates_refuse_it_for_volume_and_latents(world, champion, shifted):
    ours, theirs = (figures(model, world, TEST_WEEK) for model in (shifted, champion))
    assert ours.auc_roc > theirs.auc_roc
    assert ours.average_precision > theirs.average_precision
    assert ours.card_precision_at_100 > theirs.card_precision_at_100 - 0.01
    assert refusals(shifted, champion, world, TEST_WEEK) == ["alert volume", "latent stability"]


def test_an_equally_good_candidate_passes_every_gate(world, champion, equal):
    assert refusals(equal, champion, world, TEST_WEEK) == []


def test_the_handbooks_weeks_have_an_incident_too(handbook_file, tmp_path):
    """Its candidate finds frauds as well, with a tenth more alerts, and is refused for its latents."""
    frame = read(handbook_file, until=recipes.TEST_WEEK[1], definition=find("handbook"))
    trainings = {"champion": recipes.CHAMPION, "shifted": recipes.SHIFTED, "equal": recipes.EQUAL}
    champion, shifted, equal = (recipe.make(frame, name, tmp_path / name) for name, recipe in trainings.items())
    ours, theirs = (figures(model, frame, recipes.TEST_WEEK) for model in (shifted, champion))
    assert ours.auc_roc >= theirs.auc_roc
    assert ours.card_precision_at_100 >= theirs.card_precision_at_100
    refused = [refusals(model, champion, frame, recipes.TEST_WEEK) for model in (shifted, equal)]
    assert refused == [["latent stability"], []]


@pytest.mark.kafka
def test_a_deploy_of_the_shifted_candidate_is_refused_unless_somebody_says_why_not(
    settings, tmp_path, world, champion, shifted, equal, wait_until
):
    week = tmp_path / "week.parquet"
    write(live_week(world), week)
    strict = settings.model_copy(update={"gates": GatePolicy.REQUIRE, "gate_reports": tmp_path / "reports"})
    topics.ensure(strict, declared.ALL)
    with running(strict, tmp_path) as worker:
        gates = Gates(strict, week)
        assert commands.deploy(strict, Order("ann"), champion, gates).ok  # nothing to compare it with
        worker.await_ready()
        serving = worker.model()

        refused = deploy_by_command(strict, shifted, week)
        assert refused.exit_code == 1
        assert "refused for alert volume, latent stability" in refused.stderr
        assert "--override REASON" in refused.stderr
        assert worker.model() == serving
        bare = commands.deploy(strict, Order("bob"), shifted)
        assert not bare.ok
        assert "gates are required and none has looked at it" in bare.sentence
        assert worker.model() == serving

        with counted(
            log_read=(Tail.__init__, lambda given: MODEL_SWAP in given["topics"]),
            file_opened=(archive.read, lambda given: given["path"] == equal),
            uri_fetched=(artefacts.fetch, lambda given: equal.name in given["uri"]),
        ) as calls:
            assert commands.deploy(strict, Order("ann"), equal, gates).ok
        assert +calls == {"log_read": 1, "file_opened": 1}
        assert commands.deploy(strict, Order("bob"), shifted, Gates(strict, week, "the quarter's figures")).ok
        wait_until(lambda: worker.model() == archive.read(shifted).sha256)

    told = [(r.actor, r.action, r.effect) for r in committed_records(strict, AUDIT)]
    assert (issuer(), "gate", "refused for alert volume, latent stability") in told
    assert ("ann", "gate", "passed") in told
    assert ("bob", "override", "over alert volume, latent stability") in told
    staged = [e.command.gates for e in commands.models(strict).entries if isinstance(e.command, Stage)]
    assert staged[:2] == [None, None]
    passed, forced = staged[2:]
    assert passed.passed
    assert (tmp_path / "reports" / f"{passed.report_sha256}.json").is_file()
    assert (forced.override_by, forced.override_reason) == ("bob", "the quarter's figures")


@pytest.mark.kafka
def test_forced_through_by_name_and_reason_the_guard_takes_it_back_as_canary_and_from_full_service(
    settings, tmp_path, world, champion, shifted, wait_until
):
    acting = settings.model_copy(update={"gates": GatePolicy.REQUIRE, "guard": GuardMode.ACT})
    topics.ensure(acting, declared.ALL)
    forced = Gates(acting, None, "the quarter's figures")
    events = [*encode(live_week(world))]

    def decides() -> tuple[str, str | None]:
        rollout = commands.models(acting).rollout
        return rollout.serving.model.sha256, rollout.candidate and rollout.candidate.release.model.sha256

    def guarded() -> list[Rollback]:
        log = [e.command for e in commands.models(acting).entries if e.refused is None]
        return [c for c in log if isinstance(c, Rollback) and c.issuer.startswith("guard@")]

    good, bad = archive.read(champion).sha256, archive.read(shifted).sha256
    with running(acting, tmp_path) as worker:
        assert commands.deploy(acting, Order("ann"), champion).ok
        worker.await_ready()
        with Stream(acting, events, RATE) as stream:
            for force in (commands.try_out, commands.deploy):
                share = [CANARY_PERCENT] if force is commands.try_out else []
                before = len(guarded())
                assert force(acting, Order("bob"), shifted, *share, gate=forced).ok
                wait_until(lambda before=before: len(guarded()) > before, 60)
                assert decides() == (good, None)
                wait_until(lambda: worker.model() == good)
        wait_until(lambda: committed_offsets(acting) == stream.sent, 60)
    assert stream.sent < len(events)  # or the guard came after the last of them

    assert [c.automatic for c in guarded()] == [True, True]
    for command in guarded():
        trial = command.command_id.removeprefix("guard-rollback-")
        assert rows_to_rollback(acting, trial) <= SOON
    told = [(r.actor.partition("@")[0], r.action, r.effect) for r in committed_records(acting, AUDIT)]
    assert told.count(("bob", "override", "over gates that were not asked")) == 2
    assert told.count(("guard", "rollback", "commanded by the guard")) == 2
    anomalies = committed_records(acting, ANOMALIES)
    assert {anomaly.model.sha256 for anomaly in anomalies} == {good, bad}
    verdict = verify(acting)
    assert verdict.ok, verdict.breaks
    assert verdict.scored == stream.sent


def rows_to_rollback(settings, trial_id: str) -> int:
    """After how many transactions, scored by both models, the guard's finding was there: not when it was acted on."""
    guard = Guard(settings)
    for comparison in committed_records(settings, COMPARISONS):
        if comparison.trial_id == trial_id:
            guard.read(comparison)
            report = guard.report(trial_id)
            if report.finding is GuardDecision.ROLL_BACK:
                return report.rows
    pytest.fail(f"nothing speaks for a rollback of {trial_id}")


def live_week(world):
    return world.filter(DAY.is_between(*TEST_WEEK))


def deploy_by_command(settings, model, data):
    """As an operator would."""
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "STREAM_APP_TOPIC_PREFIX": settings.topic_prefix,
        "STREAM_APP_MODEL_CACHE": settings.model_cache,
        "STREAM_APP_GATE_REPORTS": settings.gate_reports,
    }
    return stream_app("deploy", model, "--gate-data", data, **environment)
