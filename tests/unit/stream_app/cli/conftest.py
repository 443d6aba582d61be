"""An address where nobody listens, and commands that do not wait long for it."""

import socket
from collections.abc import Iterator

import pytest

from stream_app.cli import checks, configured


@pytest.fixture
def free_address() -> Iterator[str]:
    """Held but not listening, so that nobody else can take it meanwhile."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{holder.getsockname()[1]}"


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configured, "BROKER_PATIENCE_S", 0.2)
    monkeypatch.setattr(configured, "AT_HOME_PATIENCE_S", 0.4)
    monkeypatch.setattr(checks, "PATIENCE_S", 0.2)
