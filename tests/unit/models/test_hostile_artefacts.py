"""Files made to do harm are refused with the reason: nothing of them runs, and nothing is unpacked without a bound."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from models import archive, artefact
from models.archive import ArtefactError
from models.runtime import torchscript
from stream_app.testing.tiny_model import TinyGraph, tiny_model


class Bomb:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self._mark),)


def refused(path: Path) -> str:
    with pytest.raises(ArtefactError) as caught:
        artefact.load(path, archive.read(path).sha256)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rewritten(source: Path, target: Path, **contents: bytes) -> Path:
    """A copy of an artefact in which the entries of these names (dots as `_`) hold something else."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            key = Path(entry.filename).name.replace(".", "_")
            new.writestr(entry.filename, contents.get(key, old.read(entry.filename)))
    return target


@pytest.fixture
def good(tmp_path: Path) -> Path:
    tiny_model(tmp_path / "good.pt", "1")
    return tmp_path / "good.pt"


def test_a_pickle_named_as_a_model_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "mark")))
    assert "is not a model artefact" in refused(path)
    assert not (tmp_path / "mark").exists()


def test_a_checkpoint_of_torch_with_a_pickle_inside_is_not_read(tmp_path: Path) -> None:
    torch.save(Bomb(tmp_path / "mark"), tmp_path / "m.pt")
    assert "is not a model artefact" in refused(tmp_path / "m.pt")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("entry", ["data_pkl", "constants_pkl"])
def test_a_pickle_in_the_place_of_torchscripts_own_calls_nothing(entry: str, good: Path, tmp_path: Path) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "mark"), protocol=2)
    assert "does not run" in refused(rewritten(good, tmp_path / "m.pt", **{entry: bomb}))
    assert not (tmp_path / "mark").exists()


def test_an_archive_bomb_is_refused_before_it_is_unpacked(good: Path, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.pt"
    bomb.write_bytes(good.read_bytes())
    with zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as padded, padded.open("x/zeros", "w") as zeros:
        for _ in range(archive.LARGEST_BYTES // (16 << 20) + 1):
            zeros.write(bytes(16 << 20))
    assert bomb.stat().st_size < 2 << 20
    assert "would unpack to more than" in refused(bomb)


def test_a_file_larger_than_any_model_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    with path.open("wb") as file:
        file.truncate(archive.LARGEST_BYTES + 1)  # sparse: it takes no disk
    with pytest.raises(ArtefactError, match="a model has at most"):
        artefact.load(path)


def test_two_manifests_in_one_archive_are_refused(good: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(good) as old:
        name = next(name for name in old.namelist() if name.endswith("/extra/manifest.json"))
        manifest = old.read(name)
    with zipfile.ZipFile(good, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(name, manifest)
    assert "two files of one name" in refused(good)


@pytest.mark.parametrize("manifest", [b"[" * 100_000, b"\xff\xfe", b"{}", b'{"name": NaN}'])
def test_nonsense_as_a_manifest_is_refused(manifest: bytes, good: Path, tmp_path: Path) -> None:
    assert "cannot be read" in refused(rewritten(good, tmp_path / "m.pt", manifest_json=manifest))


def test_a_truncated_file_is_refused_wherever_it_was_cut(good: Path, tmp_path: Path) -> None:
    data = good.read_bytes()
    for share in range(1, 10):
        path = tmp_path / f"{share}.pt"
        path.write_bytes(data[: len(data) * share // 10])
        assert "is not a model artefact" in refused(path)


class NotANumber(TinyGraph):
    """Right in everything but its values."""

    def forward(self, inputs: torch.Tensor):
        nan = inputs * float("nan")
        score = nan.sum(dim=1)
        return score, nan, nan, score.unsqueeze(1), nan, nan


def test_a_graph_that_gives_nan_on_its_golden_rows_is_refused(good: Path, tmp_path: Path) -> None:
    with torchscript():
        graph = torch.jit.script(NotANumber(0.0))
    artefact.save(tmp_path / "m.pt", graph, archive.read(good).manifest)
    assert "golden row 0 gives nan" in refused(tmp_path / "m.pt")


def test_the_bombs_of_these_tests_do_go_off(tmp_path: Path) -> None:
    """Broken once by hand: what reads a pickle in the ordinary way does what it says."""
    pickle.load(io.BytesIO(pickle.dumps(Bomb(tmp_path / "mark"))))
    assert (tmp_path / "mark").exists()
