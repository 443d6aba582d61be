"""What the registry's aliases name follows from the swap log; a worker has it done by a process with its settings."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.rollout import Abort, Activate, Command, Promote, Rollback, Stage, StagePurpose
from schemas.scoring import ModelRef
from stream_app.rollout.registry_sync import RegistrySync, moves
from stream_app.rollout.swap_log import SwapLog
from stream_app.settings import Settings
from tests.unit.stream_app.rollout.swap_log import CommandLog, read_all

VERSIONS = {digit * 64: digit for digit in "123"}
HEAD: dict[str, Any] = {"issuer": "ann", "issued_at": datetime(2026, 1, 1, tzinfo=UTC)}


def stage(version: str, role: StagePurpose = StagePurpose.SERVE, name: str = "card-fraud") -> Stage:
    model = ModelRef(name, version, version * 64)
    return Stage(command_id=f"stage-{version}", uri="m.pt", model=model, role=role, **HEAD)


def activate(version: str) -> Activate:
    return Activate(command_id=f"activate-{version}", stage_id=f"stage-{version}", **HEAD)


def serve(version: str) -> list[Command]:
    return [stage(version), activate(version)]


def shadow(version: str) -> list[Command]:
    return [stage(version, StagePurpose.SHADOW), activate(version)]


ABORT = Abort(command_id="abort", stage_id="stage-2", **HEAD)
PROMOTE = Promote(command_id="promote", stage_id="stage-2", **HEAD)
ROLLBACK = Rollback(command_id="rollback", **HEAD)
BY_THE_GUARD = Rollback(command_id="guard", automatic=True, **HEAD)


def after(commands: list[Command], before: dict[str, str], name: str = "card-fraud") -> dict[str, str]:
    """The aliases that were `before`, once they have followed a log of these commands."""
    log = CommandLog()
    log.append(*commands)
    moved = moves(name, read_all(log.records), before, VERSIONS)
    return {alias: version for alias, version in {**before, **moved}.items() if version is not None}


@pytest.mark.parametrize(
    ("commands", "before", "expected"),
    [
        (serve("1"), {"candidate": "1"}, {"champion": "1"}),
        (serve("1"), {"candidate": "3"}, {"champion": "1", "candidate": "3"}),
        ([*serve("1"), *serve("2")], {"champion": "1"}, {"champion": "2", "previous": "1"}),
        ([*serve("1"), *serve("2"), ROLLBACK], {"previous": "1"}, {"champion": "1"}),
        ([*serve("1"), *serve("2"), BY_THE_GUARD], {"champion": "2"}, {"champion": "1"}),
        ([*serve("1"), stage("2")], {"candidate": "3"}, {"champion": "1", "candidate": "2"}),
        ([*serve("1"), *shadow("2")], {"candidate": "3"}, {"champion": "1", "candidate": "2"}),
        ([*serve("1"), *shadow("2"), PROMOTE], {"candidate": "2"}, {"champion": "2", "previous": "1"}),
        ([*serve("1"), *shadow("2"), ABORT], {"candidate": "2"}, {"champion": "1"}),
        ([*serve("1"), *serve("9")], {"champion": "1"}, {"previous": "1"}),
    ],
)
def test_aliases_name_what_the_log_prescribes(
    commands: list[Command], before: dict[str, str], expected: dict[str, str]
) -> None:
    assert after(commands, before) == expected


def test_each_name_has_aliases_of_its_own() -> None:
    commands = [*serve("1"), stage("2", name="other"), activate("2")]
    assert after(commands, {"champion": "1"}) == {"previous": "1"}
    assert after(commands, {}, name="other") == {"champion": "2"}


def test_what_is_so_already_moves_nothing() -> None:
    assert moves("card-fraud", SwapLog(), {"candidate": "3"}, VERSIONS) == {}


def test_a_worker_that_does_not_run_the_controller_updates_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", kafka_secrets_file=tmp_path / "none.json")
    log = CommandLog()
    log.append(*serve("1"))
    asyncio.run(RegistrySync(settings, lambda: read_all(log.records).rollout, lambda: False).step())
    assert caplog.text == ""
