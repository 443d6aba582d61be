"""Why a stage was not put in service is what its operator is shown: the answer is in the log alone."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from schemas.rollout import Abort, Activate, Command, Rollback, Stage
from schemas.transactions import ModelRef
from stream_app.rollout import fate
from stream_app.rollout.swap_log import SwapLog
from tests.unit.stream_app.rollout.swap_log import MemoryLog, read_all

HEAD: dict[str, Any] = {"issuer": "ann", "issued_at": datetime(2026, 1, 1, tzinfo=UTC)}


def stage(version: str) -> Stage:
    return Stage(command_id=version, uri=f"{version}.pt", model=ModelRef("fraud", version, version * 64), **HEAD)


def activate(version: str) -> Activate:
    return Activate(command_id=f"activate-{version}", stage_id=version, **HEAD)


def log(*commands: Command) -> SwapLog:
    written = MemoryLog()
    written.append(*commands)
    return read_all(written.records)


SERVING = [stage("1"), activate("1"), stage("2"), activate("2")]


@pytest.mark.parametrize(
    ("then", "ended"),
    [
        ([], None),
        ([activate("3")], activate("3")),
        ([Abort(command_id="a", stage_id="3", reason="it is damaged", **HEAD)], "it is damaged"),
        ([Abort(command_id="a", stage_id="3", **HEAD)], "aborted by ann"),
        ([stage("4")], f"ann staged fraud 4 ({'4' * 12}) instead"),
        ([Rollback(command_id="r", **HEAD)], "ann rolled back meanwhile"),
    ],
)
def test_a_stage_ends_by_what_comes_after_it(then: list[Command], ended: Activate | str | None) -> None:
    assert fate.of(log(*SERVING, stage("3"), *then), stage("3")) == ended


def test_a_stage_that_the_log_refused_has_its_reason_and_one_that_is_not_read_yet_has_none() -> None:
    again = msgspec.structs.replace(stage("2"), command_id="again")
    assert "serves already" in str(fate.of(log(*SERVING, again), again))
    assert fate.of(log(*SERVING), stage("9")) is None


def test_a_model_is_found_where_it_was_last_staged_from() -> None:
    found = log(*SERVING)
    by_version, by_digest = fate.release(found, "1"), fate.release(found, "2222")
    assert by_version is not None
    assert by_digest is not None
    assert (by_version.uri, by_digest.uri, fate.release(found, "7")) == ("1.pt", "2.pt", None)


def test_a_worker_at_a_later_command_has_taken_the_earlier_one_too() -> None:
    found = log(*SERVING)
    earlier = found.find("activate-1")
    assert earlier is not None
    assert fate.is_since(found, earlier, "activate-2")
    assert not fate.is_since(found, earlier, "never written")
