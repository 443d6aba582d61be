"""Why a stage was not put in service is what its operator is shown: the answer is in the log alone."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from schemas.rollout import Abort, Activate, Command, Rollback, Stage
from schemas.scoring import ModelRef
from stream_app.rollout.swap_log import SwapLog
from tests.unit.stream_app.rollout.swap_log import CommandLog, read_all

HEAD: dict[str, Any] = {"issuer": "ann", "issued_at": datetime(2026, 1, 1, tzinfo=UTC)}


def stage(version: str) -> Stage:
    return Stage(command_id=version, uri=f"{version}.pt", model=ModelRef("fraud", version, version * 64), **HEAD)


def activate(version: str) -> Activate:
    return Activate(command_id=f"activate-{version}", stage_id=version, **HEAD)


def log(*commands: Command) -> SwapLog:
    written = CommandLog()
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
    assert log(*SERVING, stage("3"), *then).end_of(stage("3")) == ended


def test_a_stage_that_the_log_refused_has_its_reason_and_one_that_is_not_read_yet_has_none() -> None:
    again = msgspec.structs.replace(stage("2"), command_id="again")
    assert "serves already" in str(log(*SERVING, again).end_of(again))
    assert log(*SERVING).end_of(stage("9")) is None


def test_a_model_is_found_where_it_was_last_staged_from() -> None:
    found = log(*SERVING)
    (by_version,), (by_digest,) = found.staged("1"), found.staged("2222")
    assert (by_version.uri, by_digest.uri, found.staged("7")) == ("1.pt", "2.pt", [])


def test_models_of_one_version_are_all_found_and_a_version_is_no_start_of_a_digest() -> None:
    other = msgspec.structs.replace(stage("1"), command_id="x", model=ModelRef("fraud", "1", "2" * 63 + "1"))
    found = log(*SERVING, other)
    assert [release.model.sha256 for release in found.staged("1")] == [other.model.sha256, "1" * 64]
    assert [release.model.sha256 for release in found.staged("2")] == ["2" * 64]


def test_a_worker_at_a_later_command_has_taken_the_earlier_one_too() -> None:
    found = log(*SERVING)
    earlier = found.find("activate-1")
    assert earlier is not None
    assert found.is_since(earlier, "activate-2")
    assert not found.is_since(earlier, "never written")
