import hashlib
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from models import archive, artefact
from models.archive import ArtefactError
from models.definition import cards
from models.inputs import matrix
from models.recipe import TrainingConfig
from models.runtime import torchscript
from models.training import train


def test_what_is_saved_is_loaded_with_its_manifest_and_its_scores(trained, week):
    again = artefact.load(trained.path, trained.sha256)
    rows = matrix(week[:100], trained.manifest.inputs)
    np.testing.assert_array_equal(again.score(rows).score, trained.runtime.score(rows).score)
    assert again.manifest == trained.manifest


def test_the_identity_is_the_sha256_of_the_file(trained):
    assert trained.sha256 == hashlib.sha256(trained.path.read_bytes()).hexdigest() == archive.read(trained.path).sha256


def test_the_manifest_is_read_without_loading_the_graph(trained):
    assert archive.read(trained.path).manifest == trained.manifest


def test_a_single_changed_byte_is_refused_before_anything_is_loaded(trained, tmp_path):
    data = bytearray(trained.path.read_bytes())
    data[len(data) // 2] ^= 1
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(data)
    with pytest.raises(ArtefactError, match="the file is damaged or not the one meant"):
        artefact.load(damaged, trained.sha256)


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04 not quite a zip file"])
def test_a_file_that_is_no_artefact_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "no.pt"
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match="is not a model artefact"):
        artefact.load(path)


def test_a_file_that_is_not_there_is_refused_in_one_line(tmp_path):
    with pytest.raises(ArtefactError, match="No such file"):
        artefact.load(tmp_path / "gone.pt")


def test_an_archive_without_a_manifest_is_refused(tmp_path, trained):
    path = tmp_path / "bare.pt"
    with torchscript():
        torch.jit.save(trained.runtime.graph, path)
    with pytest.raises(ArtefactError, match="is not a model artefact"):
        artefact.load(path)


def test_a_manifest_with_a_field_missing_is_refused(tmp_path, trained):
    path = with_manifest(trained.path, tmp_path / "m.pt", b'{"name": "x"}')
    with pytest.raises(ArtefactError, match=r"manifest .* cannot be read"):
        artefact.load(path)


def test_a_golden_row_that_does_not_reproduce_is_refused(tmp_path, trained):
    manifest = trained.manifest
    lie = msgspec.structs.replace(manifest.golden[3], score=manifest.golden[3].score + 0.01)
    golden = [*manifest.golden[:3], lie, *manifest.golden[4:]]
    path = with_manifest(trained.path, tmp_path / "m.pt", msgspec.structs.replace(manifest, golden=golden).encode())
    with pytest.raises(ArtefactError, match="golden row 3 gives"):
        artefact.load(path)


def test_a_manifest_of_another_model_is_refused(tmp_path, trained):
    manifest = trained.manifest
    others = {
        "does not run": {"definition": msgspec.structs.replace(manifest.definition, inputs=manifest.inputs[:-1])},
        "does not return what its manifest says": {"latent_size": manifest.latent_size + 1},
        "does not describe the signals": {"signals": manifest.signals[::-1]},
    }
    for complaint, changes in others.items():
        other = msgspec.structs.replace(manifest, **changes)
        path = with_manifest(trained.path, tmp_path / "m.pt", other.encode())
        with pytest.raises(ArtefactError, match=complaint):
            artefact.load(path)


def test_a_file_stays_as_it_was_when_saving_fails(tmp_path, week, trained):
    path = tmp_path / ("m" * 245)  # a name that leaves no room for the one that is written first
    path.write_bytes(b"before")
    graph, manifest = train(week, cards(), TrainingConfig(epochs=1), "m", "1")
    with pytest.raises(OSError, match="too long"):
        artefact.save(path, graph, manifest)
    assert path.read_bytes() == b"before"


def with_manifest(source: Path, target: Path, manifest: bytes) -> Path:
    """A copy of an artefact with another manifest."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            data = manifest if entry.filename.endswith("/extra/manifest.json") else old.read(entry.filename)
            new.writestr(entry.filename, data)
    return target
