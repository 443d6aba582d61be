"""What every fault is inflicted on."""

from pathlib import Path

import pytest

from stream_app.settings import Settings
from tests.known_stream import prepared


@pytest.fixture
def stream(settings: Settings, tmp_path: Path) -> Settings:
    """Topics of their own, and a model whose scores are known."""
    return prepared(settings, tmp_path)
