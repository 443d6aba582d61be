"""A disk without room: one line that names the file, and nothing half written is left."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from models import artefact
from models.data.files import DataError
from models.data.frame import write
from models.definition import cards
from models.recipe import TrainingConfig
from models.training import train
from stream_app.cli.errors import report


@contextmanager
def room_for(most: int) -> Iterator[None]:
    """No file may become larger, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_data_that_does_not_fit_is_one_line(week: pl.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "week.parquet"
    with room_for(4096), pytest.raises(DataError) as caught:
        write(week, path)
    line = str(caught.value)
    assert line.startswith(f"cannot write {path}: File too large")
    assert line.endswith("make room there, or name another place")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_does_not_fit_is_one_line(
    week: pl.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph, manifest = train(week[:3000], cards(), TrainingConfig(epochs=1), "m", "1")
    path = tmp_path / "new" / "1.pt"
    with room_for(4096), pytest.raises(OSError, match="File too large") as caught:
        artefact.save(path, graph, manifest)
    assert report(caught.value, debug=False) == 1
    assert capsys.readouterr().err == f"stream-app: {path}: File too large\n"
    assert list(path.parent.iterdir()) == []
