"""A training on record in a real MLflow with its embedded database: what is there, and what it leads to."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from msgspec import structs

from models import archive, artefact, signing
from models.data.frame import read, restore, store, write
from models.data.simulator import Simulation, simulate
from models.inputs import matrix
from models.registry import rerun
from models.registry.address import RegistryError
from models.registry.registry import Registry, connect
from stream_app.cli.errors import report
from stream_app.rollout.artefacts import FetchError, fetch, local_path
from stream_app.rollout.artefacts import read as read_model
from stream_app.testing.tiny_model import tiny_model
from tests.unit.stream_app.cli.cli_runner import stream_app


class Trained:
    """One training by the command, with a configuration and a key of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = f"sqlite:///{folder}/registry/mlflow.db"
        self.data, self.path = folder / "history.parquet", folder / "model.pt"
        channel = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("web")).otherwise(pl.lit("shop"))
        write(simulate(Simulation(days=8, customers=250, seed=5)).with_columns(channel=channel), self.data)
        (folder / "how.toml").write_text("[training]\nepochs = 3\nhidden = 16\nlatent = 4\n")
        signing.new_key(folder / "ann.key")
        options = ("--config", folder / "how.toml", "--sign-with", folder / "ann.key", "--seed", 7, "--json")
        options += ("--segment-by", "channel")
        self.result = self.run("train", self.data, "--out", self.path, *options)
        assert self.result.exit_code == 0, self.result.stderr
        self.said = json.loads(self.result.stdout)

    def run(self, *arguments: object):
        return stream_app(*arguments, STREAM_APP_TRACKING_URI=self.uri, STREAM_APP_DETECTOR="cards")

    @property
    def registry(self) -> Registry:
        return connect(self.uri)

    def file_of_the_run(self, name: str) -> Path:
        return local_path(self.registry.client.get_run(self.said["run"]).info.artifact_uri) / name


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("trained"))


def test_a_training_is_registered_under_its_digest_and_is_the_candidate(trained: Trained) -> None:
    assert trained.said["registered"] == "models:/card-fraud/1"
    found = trained.registry.find("models:/card-fraud@candidate")
    assert (found.version, found.sha256) == ("1", archive.read(trained.path).sha256)
    assert found == trained.registry.find("models:/card-fraud/1")
    assert trained.registry.next_version("card-fraud") == "2"


def test_the_artefact_and_its_signature_are_fetched_from_the_record(trained: Trained) -> None:
    found = trained.registry.find("models:/card-fraud/1")
    assert read_model(found).content == trained.path.read_bytes()
    assert fetch(found.uri + signing.SUFFIX) == (trained.folder / "model.pt.sig").read_bytes()


def test_an_exchanged_file_is_refused_before_anything_is_announced(trained: Trained, tmp_path: Path) -> None:
    found = trained.registry.find("models:/card-fraud/1")
    tiny_model(tmp_path / "other.pt", "9")
    exchanged = structs.replace(found, uri=(tmp_path / "other.pt").as_uri())
    with pytest.raises(FetchError, match=r"registered with sha256 .*: the file is damaged or was exchanged"):
        read_model(exchanged)


def test_the_run_says_how_well_and_of_what(trained: Trained) -> None:
    run = trained.registry.client.get_run(trained.said["run"])
    manifest = archive.read(trained.path).manifest
    assert run.info.status == "FINISHED"
    metrics = run.data.metrics
    assert {"reconstruction_loss", "latent_kl_mean", "latent_kl_max", "us_per_event"} <= metrics.keys()
    assert metrics["auc_roc"] == manifest.metrics["model"].auc_roc
    assert metrics["isolation_forest_average_precision"] == manifest.metrics["isolation_forest"].average_precision
    assert 0 <= metrics["latent_kl_mean"] <= metrics["latent_kl_max"]
    assert len(trained.registry.client.get_metric_history(trained.said["run"], "training_loss")) == 3
    assert (run.data.params["epochs"], run.data.params["seed"]) == ("3", "7")
    expected = {"sha256": trained.said["sha256"], "data_sha256": manifest.data_sha256}
    assert {**expected, "code_version": manifest.code_version}.items() <= run.data.tags.items()


def test_the_run_shows_its_plots_and_its_latents(trained: Trained, tmp_path: Path) -> None:
    client, run = trained.registry.client, trained.said["run"]
    plots = {Path(entry.path).stem: entry.file_size for entry in client.list_artifacts(run, "plots")}
    expected = {"score_distribution", "latent_projection", "calibration", "roc", "precision_recall"}
    assert plots.keys() == expected
    assert min(plots.values()) > 5000
    latents = json.loads(Path(client.download_artifacts(run, "latents.json", str(tmp_path))).read_text())
    assert len(latents) == 4


def test_the_run_names_its_rows_and_its_model_has_the_figures(trained: Trained) -> None:
    run = trained.registry.client.get_run(trained.said["run"])
    manifest = archive.read(trained.path).manifest
    (rows,) = run.inputs.dataset_inputs
    assert rows.dataset.digest == manifest.data_sha256[:36]
    assert json.loads(rows.dataset.source)["uri"].endswith("data/transactions.parquet")
    model = trained.registry.client.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert (model.status.value, model.tags["sha256"]) == ("READY", trained.said["sha256"])
    assert {metric.key: metric.value for metric in model.metrics}["auc_roc"] == manifest.metrics["model"].auc_roc


WITH_MLFLOW_ALONE = """
import sys, pandas, mlflow
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/card-fraud@candidate")
assert model.metadata.signature
found = model.predict(pandas.read_parquet(sys.argv[2]))
import models
print(models.__file__)
found.to_parquet(sys.argv[3])
"""


def test_mlflow_scores_with_the_code_that_travels_with_the_model_as_the_stream_does(
    trained: Trained, tmp_path: Path
) -> None:
    runtime, rows = artefact.load(trained.path), read(trained.data)[-500:]
    columns = {entry.name: pl.String if entry.kind == "category" else pl.Float64 for entry in runtime.manifest.inputs}
    rows.select(pl.col(name).cast(kind) for name, kind in columns.items()).write_parquet(tmp_path / "rows.parquet")
    script = (
        sys.executable,
        "-c",
        WITH_MLFLOW_ALONE,
        trained.uri,
        tmp_path / "rows.parquet",
        tmp_path / "scored.parquet",
    )
    done = subprocess.run([*map(str, script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "/code/models/" in done.stdout, "scored by the project's code, not by the model's own"
    scored = pl.read_parquet(tmp_path / "scored.parquet")
    expected = runtime.score(matrix(rows, runtime.manifest.inputs, runtime.manifest.categories))
    assert scored["score"].to_numpy() == pytest.approx(expected.score, rel=1e-6)
    assert (scored["alert"].to_numpy() == (expected.score >= runtime.manifest.calibration.threshold)).all()
    assert set(scored["reason"]) <= columns.keys()


def test_a_run_is_repeated_from_its_record_alone(trained: Trained, tmp_path: Path) -> None:
    away = trained.data.rename(trained.folder / "away.parquet")
    try:
        result = trained.run("train", "--rerun", trained.said["run"], "--out", tmp_path / "again.pt", "--json")
    finally:
        away.rename(trained.data)
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert (said["agrees"], said["rows"]) == (True, read(trained.data).height)
    ours, theirs = artefact.load(tmp_path / "again.pt"), artefact.load(trained.path)
    assert rerun.disagreement(ours, theirs, read(trained.data)) <= 1e-5
    assert ours.manifest.segments == theirs.manifest.segments
    assert {segment.value for segment in theirs.manifest.segments.watched} == {"web", "shop"}
    assert trained.registry.next_version("card-fraud") == "2", "a repetition registers nothing"


def test_a_record_whose_rows_were_changed_is_not_repeated(trained: Trained, tmp_path: Path) -> None:
    kept = trained.file_of_the_run("data/transactions.parquet")
    rows = restore(kept)
    store(rows[:-1], kept)
    try:
        with pytest.raises(RegistryError, match="its rows are not those that it was trained on"):
            rerun.recorded(trained.registry, "models:/card-fraud/1", tmp_path)
    finally:
        store(rows, kept)


def test_a_repetition_that_gives_other_scores_fails_and_says_by_how_much(trained: Trained, tmp_path: Path) -> None:
    kept = trained.file_of_the_run("rerun.json")
    how = kept.read_bytes()
    kept.write_bytes(how.replace(b'"seed": 7', b'"seed": 8'))
    try:
        result = trained.run("train", "--rerun", trained.said["run"], "--out", tmp_path / "other.pt", "--json")
    finally:
        kept.write_bytes(how)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["largest_difference"] > 1e-5
    assert "recorded was code" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--rerun", "no-such-run"), 1, "no-such-run"),
        (("--rerun", "models:/card-fraud/99"), 1, "version=99"),
        (("--rerun", "models:/card-fraud"), 1, "models:/NAME/VERSION"),
        (("--rerun", "x", "--seed", "1"), 2, "give nothing but --out"),
        ((), 2, "name the events"),
    ],
)
def test_what_cannot_be_repeated_is_one_line(
    trained: Trained, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    result = trained.run("train", "--out", tmp_path / "m.pt", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert len(result.stderr.strip().splitlines()) == 1
    assert says in result.stderr


def test_a_version_that_something_else_registered_has_no_digest_and_is_refused(trained: Trained) -> None:
    registry = trained.registry
    registry.client.create_registered_model("other")
    registry.client.create_model_version("other", "file:///nowhere/model.pt")
    with pytest.raises(RegistryError, match="has no tag sha256"):
        registry.find("models:/other/1")


def test_versions_are_known_by_digest_and_aliases_move(trained: Trained) -> None:
    registry = trained.registry
    registry.client.create_registered_model("moving")
    for letter in "aba":
        registry.client.create_model_version("moving", "file:///nowhere", tags={"sha256": letter * 64})
    assert registry.versions("moving") == {"a" * 64: "3", "b" * 64: "2"}
    registry.point("moving", "champion", "2")
    assert registry.aliases("moving") == {"champion": "2"}
    registry.point("moving", "champion", None)
    assert (registry.aliases("moving"), registry.aliases("unknown"), registry.versions("unknown")) == ({}, {}, {})


def test_a_registry_that_is_down_leaves_the_artefact_and_says_what_is_missing(trained: Trained, tmp_path: Path) -> None:
    result = stream_app(
        "train", trained.data, "--out", tmp_path / "m.pt", "--config", trained.folder / "how.toml", "--json",
        "--name", "gift-cards", STREAM_APP_TRACKING_URI="http://127.0.0.1:1", STREAM_APP_DETECTOR="cards",
    )  # fmt: skip
    assert result.exit_code == 0
    assert archive.read(tmp_path / "m.pt").manifest.name == "gift-cards"
    assert json.loads(result.stdout)["registered"] is None
    assert archive.read(tmp_path / "m.pt").sha256 == json.loads(result.stdout)["sha256"]
    (line,) = [line for line in result.stderr.splitlines() if "registry" in line]
    assert "will not be logged" in line
    assert "http://127.0.0.1:1 does not answer" in line


def test_a_file_that_is_no_database_is_one_line_without_a_password(tmp_path: Path, capsys) -> None:
    (tmp_path / "mlflow.db").write_text("nothing of the kind")
    with pytest.raises(RegistryError) as caught:
        connect(f"sqlite:///{tmp_path}/mlflow.db")
    assert report(caught.value, debug=False) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    with pytest.raises(RegistryError, match=r"registry at http://127\.0\.0\.1:1 does not answer"):
        connect("http://ann:hunter2@127.0.0.1:1")
