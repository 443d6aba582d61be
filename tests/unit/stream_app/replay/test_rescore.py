"""A replay refuses what the pipeline refused."""

import json

import pytest

from models import artefact
from schemas.scoring import RefusalCode
from stream_app.replay.rescore import Rescorer
from stream_app.settings import Settings
from stream_app.testing.memory_cluster import MemoryMessage
from stream_app.testing.tiny_model import tiny_model
from tests.unit.stream_app.pipeline.rows import event


@pytest.mark.parametrize(("limit", "refused"), [(1024, [RefusalCode.TOO_LARGE]), (10_000, [])])
def test_a_record_above_the_limit_of_the_settings_is_refused(tmp_path, limit, refused):
    tiny_model(tmp_path / "model.pt", "1")
    rescore = Rescorer(Settings(record_max_bytes=limit), artefact.load(tmp_path / "model.pt"))
    decoded, _, _ = rescore([MemoryMessage(json.dumps(event(note="x" * 2000)).encode())])
    assert [refusal.code for refusal in decoded.refused] == refused
