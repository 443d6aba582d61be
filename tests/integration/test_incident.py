"""The incident, on the Handbook's transactions: better on fraud, shifted latents, a quarter more alerts; and refused.

Nothing of it is planted: `stream_app.cli.demo.incident` says what was trained and how.
"""

from datetime import date
from pathlib import Path

import pytest

from models import artefact
from models.data.frame import read
from models.data.simulator import Simulation, simulate
from models.evaluation import evaluate, metrics_of, protocol_rows, score_in_batches
from models.features import matrix
from models.gates.comparison import compare
from models.gates.judge import judge
from models.gates.limits import load_limits
from schemas import topics as declared
from schemas.rollout import Stage
from schemas.topics import AUDIT
from stream_app.cli.demo import incident
from stream_app.cli.rollout import issuer
from stream_app.kafka import topics
from stream_app.rollout import commands, gating
from stream_app.settings import GatePolicy
from tests.traffic import committed_records
from tests.unit.stream_app.cli.cli_runner import stream_app
from tests.workers import running

TEST_WEEK = date(2018, 7, 25), date(2018, 7, 31)


@pytest.fixture(scope="module")
def frame(benchmark_file):
    return read(benchmark_file, until=TEST_WEEK[1])


@pytest.fixture(scope="module")
def shifted(frame, tmp_path_factory) -> Path:
    return incident.SHIFTED.make(frame, "2", tmp_path_factory.mktemp("shifted") / "2.pt")


@pytest.fixture(scope="module")
def equal(frame, tmp_path_factory) -> Path:
    return incident.EQUAL.make(frame, "3", tmp_path_factory.mktemp("equal") / "3.pt")


def report_on(candidate: Path, champion: Path, frame):
    limits = load_limits()
    models = artefact.load(candidate), artefact.load(champion)
    return judge(compare(*models, frame, limits, *TEST_WEEK), limits)


def test_the_shifted_candidate_is_as_good_and_the_gates_refuse_it_for_volume_and_latents(frame, champion, shifted):
    ours, theirs = (evaluate(artefact.load(path), frame, *TEST_WEEK) for path in (shifted, champion))
    assert ours.auc_roc >= theirs.auc_roc
    assert ours.card_precision_at_100 >= theirs.card_precision_at_100
    found = report_on(shifted, champion, frame)
    assert found.failed == ["alert volume", "latent stability"]
    figures = {measure.name: measure.value for gate in found.gates for measure in gate.measures}
    assert 1.2 < figures["candidate's alerts to champion's"] < 1.4
    assert figures["CKA"] < 0.65


def test_an_equally_good_candidate_passes_every_gate(frame, champion, equal):
    assert report_on(equal, champion, frame).failed == []


def test_the_demo_s_world_has_its_own_incident(tmp_path):
    """Better than what serves there in all three figures, and refused for the same two reasons."""
    world = simulate(Simulation(days=14, start=incident.SIMULATED_WEEK[0]))
    days = date(2018, 4, 8), date(2018, 4, 14)
    made = incident.SIMULATED_CHAMPION, incident.SIMULATED_SHIFTED, incident.SIMULATED_EQUAL
    champion, shifted, equal = (
        artefact.load(recipe.make(world, str(number), tmp_path / f"{number}.pt")) for number, recipe in enumerate(made)
    )
    ours, theirs = (figures(model, protocol_rows(world, *days)) for model in (shifted, champion))
    assert ours.auc_roc > theirs.auc_roc
    assert ours.average_precision > theirs.average_precision
    assert ours.card_precision_at_100 > theirs.card_precision_at_100
    limits = load_limits()
    failed = [judge(compare(model, champion, world, limits, *days), limits).failed for model in (shifted, equal)]
    assert failed == [["alert volume", "latent stability"], []]


def figures(model, rows):
    return metrics_of(score_in_batches(model, matrix(rows, model.manifest.inputs)), rows)


@pytest.mark.kafka
def test_a_deploy_of_the_shifted_candidate_is_refused_unless_somebody_says_why_not(
    settings, tmp_path, frame, champion, shifted, equal, wait_until
):
    week = tmp_path / "week.parquet"
    read_days(frame).write_parquet(week)
    strict = settings.model_copy(update={"gates": GatePolicy.REQUIRE, "gate_reports": tmp_path / "reports"})
    topics.ensure(strict, declared.ALL)
    with running(strict, tmp_path) as worker:
        assert gating.admit(strict, champion, "ann", week) is None  # nothing to compare with
        assert commands.deploy(strict, champion, "ann").ok
        worker.await_ready()
        serving = worker.model()

        refused = deploy_by_command(strict, shifted, week)
        assert refused.exit_code == 1
        assert "refused for alert volume, latent stability" in refused.stdout
        assert "--override REASON" in refused.stdout
        assert worker.model() == serving
        bare = commands.deploy(strict, shifted, "bob")
        assert not bare.ok
        assert "gates are required and none has looked at it" in bare.sentence
        assert worker.model() == serving

        passed = gating.admit(strict, equal, "ann", week)
        assert passed is not None
        assert passed.passed
        assert (tmp_path / "reports" / f"{passed.report_sha256}.json").is_file()
        assert commands.deploy(strict, equal, "ann", gates=passed).ok

        forced = gating.admit(strict, shifted, "bob", week, gating.Override("bob", "the quarter's figures"))
        assert commands.deploy(strict, shifted, "bob", gates=forced).ok
        wait_until(lambda: worker.model() == artefact.digest(shifted))

    told = [(r.actor, r.action, r.effect) for r in committed_records(strict, AUDIT)]
    assert (issuer(), "gate", "refused for alert volume, latent stability") in told
    assert ("ann", "gate", "passed") in told
    assert ("bob", "override", "over alert volume, latent stability") in told
    staged = [e.command.gates for e in commands.models(strict).history if isinstance(e.command, Stage)]
    assert staged == [None, None, passed, forced]
    assert (forced.override_by, forced.override_reason) == ("bob", "the quarter's figures")


def read_days(frame):
    return frame.filter(frame["event_time"].dt.date() >= TEST_WEEK[0])


def deploy_by_command(settings, model, data):
    """As an operator would."""
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "STREAM_APP_TOPIC_PREFIX": settings.topic_prefix,
        "STREAM_APP_MODEL_CACHE": settings.model_cache,
        "STREAM_APP_GATE_REPORTS": settings.gate_reports,
    }
    return stream_app("deploy", model, "--gate-data", data, **environment)
