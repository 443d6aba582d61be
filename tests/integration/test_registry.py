"""A real MLflow server and a real worker: models by name, aliases that follow, and a stream that misses neither."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.registry.registry import ARTEFACT, Registry, connect
from schemas.rollout import Stage
from schemas.scoring import ModelRef
from schemas.topics import AUDIT
from stream_app.kafka import topics
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.rollout.registry_sync import RegistrySync
from stream_app.settings import Settings
from stream_app.testing.tiny_model import tiny_model
from tests.known_stream import Trickle
from tests.mlflow_server import MlflowServer
from tests.traffic import committed_offsets, committed_records
from tests.unit.stream_app.cli.cli_runner import stream_app
from tests.unit.stream_app.rollout.swap_log import CommandLog, read_all
from tests.unit.stream_app.rollout.test_rollout_registry_sync import serve
from tests.workers import running

pytestmark = pytest.mark.kafka
Wait = Callable[..., None]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path / "mlflow")
    yield server
    server.stop()


def register(registry: Registry, path: Path, ref: ModelRef) -> None:
    """As `train` does, without a training."""
    run = registry.client.create_run(registry.experiment(ref.name)).info.run_id
    file = path.parent / f"{path.stem} for MLflow" / ARTEFACT
    file.parent.mkdir(parents=True)
    path.rename(file)
    model = registry.log_model(run, file.parents[1], ref.name, {"sha256": ref.sha256})
    registry.point(ref.name, "candidate", registry.register(model).version)


def test_models_are_deployed_by_name_and_a_registry_that_is_down_is_missed_by_no_worker(
    settings: Settings, server: MlflowServer, tmp_path: Path, wait_until: Wait
) -> None:
    settings = settings.model_copy(update={"tracking_uri": server.uri})
    topics.ensure(settings)

    def cli(*arguments: object):
        options = ("--bootstrap-servers", settings.bootstrap_servers, "--topic-prefix", settings.topic_prefix)
        own = {"STREAM_APP_TRACKING_URI": server.uri, "STREAM_APP_APP_ID": settings.app_id}
        return stream_app(*arguments, *options, **own)

    with running(settings, tmp_path) as worker:
        wait_until(lambda: server.answers, 90)
        registry = connect(server.uri)
        refs = [tiny_model(tmp_path / f"{version}.pt", version, centre=0.1 * int(version)) for version in "12"]
        register(registry, tmp_path / "1.pt", refs[0])

        result = cli("deploy", "models:/tiny@candidate", "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["model"]["sha256"] == refs[0].sha256
        wait_until(lambda: registry.aliases("tiny") == {"champion": "1"}, 90)
        (stage,) = (
            command for record in commands.models(settings).entries if isinstance(command := record.command, Stage)
        )
        assert (stage.model, stage.uri.startswith(f"{server.uri}/api/2.0/mlflow-artifacts/")) == (refs[0], True)
        told = [record for record in committed_records(settings, AUDIT) if record.action == "register"]
        assert [record.subject for record in told] == ["models:/tiny/1"]

        register(registry, tmp_path / "2.pt", refs[1])
        second = registry.find("models:/tiny/2")
        assert commands.deploy(settings, Order("somebody else"), second).ok
        wait_until(lambda: registry.aliases("tiny") == {"champion": "2", "previous": "1"}, 90)

        sent = Trickle(settings)
        sent()
        wait_until(lambda: committed_offsets(settings) == sent.sent, 60)
        replayed = cli("replay", "--model", "models:/tiny/1", "--json")
        assert replayed.exit_code == 0, replayed.stderr
        assert json.loads(replayed.stdout)["model"]["sha256"] == refs[0].sha256

        server.stop()
        sent()
        wait_until(lambda: committed_offsets(settings) == sent.sent, 60)
        refused = cli("deploy", "models:/tiny@champion")
        assert (refused.exit_code, refused.stdout) == (1, "")
        (line,) = refused.stderr.strip().splitlines()
        assert f"the registry at {server.uri} does not answer" in line
        back = cli("rollback")
        assert back.exit_code == 0
        assert "tiny 1" in back.stdout
        assert "aliases follow" in back.stderr
        sent()
        wait_until(lambda: committed_offsets(settings) == sent.sent, 60)
        assert worker.process.poll() is None


def test_a_worker_runs_it_as_a_process_with_every_setting_that_it_was_given(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It finds the registry and the secrets file by settings that are neither in the environment nor in a file."""
    secrets = tmp_path / "no-such-secrets.json"
    settings = Settings(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", kafka_secrets_file=secrets)
    log = CommandLog()
    log.append(*serve("1"))
    rollout = read_all(log.records).rollout
    with caplog.at_level(logging.WARNING):
        asyncio.run(RegistrySync(settings, lambda: rollout, lambda: True).step())
    assert str(secrets) in caplog.text
    assert "Traceback" not in caplog.text
