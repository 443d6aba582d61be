"""What the tests share: one real broker for the session, settings that no other test has, and waiting with a bound.

`KAFKA_BOOTSTRAP_SERVERS` in the environment points every test at that cluster instead of the embedded broker.
"""

import os
import secrets
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from benchmarks import handbook
from models.data.simulator import Simulation, simulate
from stream_app.embedded.broker import EmbeddedBroker
from stream_app.settings import ENVIRONMENT_PREFIX, Settings
from stream_app.testing import incident
from tests import zygote

POLL_S = 0.02

# How fast the machine is decides nothing here. `make unit` takes fewer examples of each property: --hypothesis-profile
hypothesis_settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.register_profile("quick", hypothesis_settings.get_profile("untimed"), max_examples=10)
hypothesis_settings.load_profile("untimed")


@pytest.fixture(scope="session")
def broker() -> Iterator[str]:
    """Bootstrap servers of a real Kafka."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        yield given
        return
    with EmbeddedBroker(say=print) as embedded:
        yield embedded.bootstrap_servers


@pytest.fixture(scope="session", autouse=True)
def _zygote() -> Iterator[None]:
    """What workers are forked from ends with the session."""
    yield
    zygote.close()


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of whoever runs the tests are not the settings of the tests."""
    for variable in list(os.environ):
        if variable.startswith(ENVIRONMENT_PREFIX) or variable == "MLFLOW_TRACKING_URI":
            monkeypatch.delenv(variable)


@pytest.fixture
def fresh_settings(tmp_path: Path) -> Callable[..., Settings]:
    """`fresh_settings(bootstrap_servers, **overrides)`: settings that share nothing with another call's."""
    return partial(own_settings, tmp_path)


def own_settings(folder: Path, bootstrap_servers: str, **overrides: Any) -> Settings:
    """Settings with topics, a group, a web port, and a model cache in that folder, of their own."""
    mark = uuid.uuid4().hex[:8]
    own: dict[str, Any] = {
        "bootstrap_servers": bootstrap_servers,
        "topic_prefix": f"t{mark}-",
        "app_id": f"app-{mark}",
        "model_cache": folder / "model-cache",
        "web_port": free_port(),
        "input_partitions": 2,
        "tracking_uri": "",
    }
    return Settings(**{**own, **overrides})


@pytest.fixture
def settings(broker: str, fresh_settings: Callable[..., Settings]) -> Settings:
    """Settings with topics, a group, a model cache and a web port of their own."""
    return fresh_settings(broker)


def free_port() -> int:
    """A port that nobody listens on, below those that the kernel gives to outgoing connections meanwhile."""
    while True:
        port = 16_000 + secrets.randbelow(16_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@pytest.fixture(scope="session")
def handbook_file() -> Path:
    """The Fraud Detection Handbook's transactions, for its published figures alone; skips where they are not."""
    if not handbook.PATH.is_file():
        pytest.skip(handbook.MISSING)
    return handbook.PATH


@pytest.fixture(scope="session")
def world() -> pl.DataFrame:
    """Two weeks of simulated transactions, some 9,700 a day; the champion is trained on the first."""
    return simulate(Simulation(days=14, start=incident.WEEK[0]))


@pytest.fixture(scope="session")
def champion(world: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the world's first week, as good as the simulator allows."""
    return incident.CHAMPION.make(world, "1", tmp_path_factory.mktemp("champion") / "card-fraud-1.pt")


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """`wait_until(condition, timeout_s=30)`: returns once the condition holds, fails when it does not in time."""

    def wait(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not within {timeout_s} s: {getattr(condition, '__qualname__', condition)}")
            time.sleep(POLL_S)

    return wait
