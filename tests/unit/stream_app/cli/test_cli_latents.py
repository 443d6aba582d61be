"""`stream-app latents` and `train --align-to` on models that were trained: exit code, words, page, JSON."""

import json

import pytest

from models import archive
from models.data.frame import write
from models.data.simulator import Simulation, simulate
from tests.unit.stream_app.cli.cli_runner import stream_app


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two models of one week, the second with a map to the first."""
    folder = tmp_path_factory.mktemp("latents")
    write(simulate(Simulation(days=16, customers=150, seed=1)), folder / "week.parquet")
    (folder / "how.toml").write_text("[training]\nepochs = 2\nhidden = 16\nlatent = 4\n")
    how = ("--config", folder / "how.toml", "--version")
    first = train(folder, *how, "1", "--out", folder / "1.pt")
    second = train(folder, *how, "2", "--out", folder / "2.pt", "--seed", 3, "--align-to", folder / "1.pt")
    assert (first.exit_code, second.exit_code) == (0, 0), first.stderr + second.stderr
    assert "leads to the latents of card-fraud 1" in second.stdout
    return folder


def train(folder, *options):
    return stream_app("train", folder / "week.parquet", *options, STREAM_APP_TRACKING_URI="")


def latents(folder, old, new, *options):
    return stream_app("latents", folder / old, folder / new, "--data", folder / "week.parquet", *options)


def test_a_model_beside_itself_is_compatible_as_it_is(folder):
    result = latents(folder, "1.pt", "1.pt")
    assert result.exit_code == 0, result.stderr
    assert "compatible as they are: " in result.stdout
    assert "gives 100% of the old one's variance" in result.stdout


def test_the_map_in_the_manifest_is_measured_and_the_exit_code_is_the_answer(folder):
    result = latents(folder, "1.pt", "2.pt", "--json", "--html", folder / "out" / "page.html")
    said = json.loads(result.stdout)
    assert said["stored"] == pytest.approx(said["linear"], abs=0.1)
    assert said["as_it_is"] < said["linear"]
    assert result.exit_code == (1 if said["compatibility"] == "not compatible" else 0)
    assert "Events that moved most" in (folder / "out" / "page.html").read_text()
    known = archive.read(folder / "2.pt").manifest.alignment
    assert (known.version, known.sha256) == ("1", archive.read(folder / "1.pt").sha256)


def test_what_cannot_be_compared_is_a_wrong_call(folder):
    (folder / "none.parquet").write_bytes(b"nothing")
    result = stream_app("latents", folder / "1.pt", folder / "2.pt", "--data", folder / "none.parquet")
    assert (result.exit_code, result.stdout) == (2, "")
    result = stream_app("latents", folder / "1.pt", folder / "no.pt", "--data", folder / "week.parquet")
    assert (result.exit_code, "no.pt" in result.stderr) == (2, True)
