"""A candidate runs beside the model that serves until it is promoted or dropped; frozen, nothing is automatic."""

from datetime import UTC, datetime

import pytest

from schemas.rollout import (
    Abort,
    Canary,
    Command,
    Freeze,
    Promote,
    Rollback,
    Shadow,
    Stage,
    StagePurpose,
    Unfreeze,
)
from stream_app.rollout.swap_log import Entry, encode
from stream_app.testing.memory_cluster import MemoryMessage
from tests.unit.stream_app.rollout.swap_log import fold
from tests.unit.stream_app.rollout.test_rollout_state import activate, deployed, model, stage

AT = datetime(2026, 1, 1, tzinfo=UTC)


def head(command_id: str) -> dict[str, object]:
    return {"command_id": command_id, "issuer": "ann", "issued_at": AT}


def tried(version: str, percent: float | None = None) -> list[Command]:
    """Staged as a shadow or a canary on every worker."""
    role = StagePurpose.SHADOW if percent is None else StagePurpose.CANARY
    about = {"uri": f"/models/{version}.pt", "model": model(version), "role": role, "percent": percent}
    return [Stage(**about, **head(f"try-{version}")), activate(f"try-{version}")]


def canary(percent: float, command_id: str = "share") -> Canary:
    return Canary(stage_id="try-2", percent=percent, **head(command_id))


SHADOW = Shadow(stage_id="try-2", **head("shadow"))
PROMOTE = Promote(stage_id="try-2", **head("promote"))
ABORT = Abort(stage_id="try-2", **head("abort"))


def back(to: str | None = None, automatic: bool = False, command_id: str = "back") -> Rollback:
    return Rollback(to=model(to).sha256 if to else None, automatic=automatic, **head(command_id))


def log(*commands: Command) -> list[Entry]:
    return fold(MemoryMessage(encode(command), place) for place, command in enumerate(commands))


def seen(*commands: Command) -> tuple[str | None, str | None, str | None, float]:
    """Serving, previous, candidate and its percentage, after all commands."""
    state = log(*commands)[-1].after
    candidate = state.candidate
    ref = (state.serving, state.previous, candidate.release if candidate else None)
    return *(r.model.version if r else None for r in ref), candidate.percent if candidate else 0.0


def refusal(*commands: Command) -> str | None:
    return log(*commands)[-1].refused


def test_a_shadow_is_the_candidate_once_it_is_staged_everywhere_and_decides_nothing() -> None:
    assert seen(*deployed("1"), *tried("2")[:1]) == ("1", None, None, 0.0)
    assert seen(*deployed("1"), *tried("2")) == ("1", None, "2", 0.0)


def test_a_canary_has_its_share_which_can_grow_shrink_and_end() -> None:
    staged = [*deployed("1"), *tried("2", 5.0)]
    assert seen(*staged) == ("1", None, "2", 5.0)
    assert seen(*staged, canary(50.0)) == ("1", None, "2", 50.0)
    assert seen(*staged, canary(50.0), SHADOW) == ("1", None, "2", 0.0)


def test_a_promotion_makes_it_serve_and_what_served_the_previous_model() -> None:
    assert seen(*deployed("1"), *tried("2", 5.0), PROMOTE) == ("2", "1", None, 0.0)


def test_a_rollback_drops_the_candidate_first_and_goes_back_only_then() -> None:
    tried_out = [*deployed("0", "1"), *tried("2", 5.0)]
    assert seen(*tried_out, back()) == ("1", "0", None, 0.0)
    assert seen(*tried_out, back(), back(command_id="again")) == ("0", "1", None, 0.0)


def test_of_two_operators_who_roll_back_at_once_the_second_does_not_undo_the_first() -> None:
    both = [*deployed("1", "2"), back("1"), back("1", command_id="another")]
    assert seen(*both) == ("1", "2", None, 0.0)
    assert refusal(*both) == f"model {model('1').sha256[:12]} decides alone already"
    assert "deploy it" in (refusal(*deployed("1", "2", "3"), back("1")) or "")


def test_a_rollback_to_the_previous_model_drops_the_candidate_too() -> None:
    assert seen(*deployed("0", "1"), *tried("2", 5.0), back("0")) == ("0", "1", None, 0.0)


def test_an_abort_ends_the_candidate_and_what_serves_goes_on() -> None:
    assert seen(*deployed("1"), *tried("2", 5.0), ABORT) == ("1", None, None, 0.0)


def test_whatever_else_is_put_in_service_ends_the_trial() -> None:
    assert seen(*deployed("1"), *tried("2"), *deployed("3")) == ("3", "1", None, 0.0)
    assert seen(*deployed("1"), *tried("2"), *deployed("2")) == ("2", "1", None, 0.0)


@pytest.mark.parametrize("late", [SHADOW, canary(5.0), PROMOTE, ABORT])
def test_a_command_about_a_candidate_that_is_no_longer_there_changes_nothing(late: Command) -> None:
    replaced = [*deployed("1"), *tried("2", 1.0), *tried("3", 1.0)]
    assert seen(*replaced, late) == ("1", None, "3", 1.0)
    assert "try-2 is n" in (refusal(*replaced, late) or "")


def test_nothing_is_tried_out_beside_nothing_or_beside_itself() -> None:
    assert refusal(*tried("2")[:1]) == "nothing serves beside which card-fraud 2 could be tried out"
    assert refusal(*deployed("2"), *tried("2")[:1]) == "card-fraud 2 serves already"
    again = Stage(uri="/m", model=model("2"), role=StagePurpose.SHADOW, **head("again"))
    assert refusal(*deployed("1"), *tried("2"), again) == "card-fraud 2 is the candidate already"
    no_share = Stage(uri="/m", model=model("2"), role=StagePurpose.CANARY, **head("again"))
    assert "percentage" in (refusal(*deployed("1"), no_share) or "")


def test_while_frozen_nothing_automatic_happens_and_people_have_their_way() -> None:
    staged = [*deployed("1"), *tried("2", 5.0), Freeze(**head("freeze"))]
    by_itself = Promote(stage_id="try-2", automatic=True, **head("guard"))
    for automatic in (by_itself, back("1", automatic=True)):
        assert seen(*staged, automatic) == ("1", None, "2", 5.0)
        assert refusal(*staged, automatic) == "automatic action is frozen"
        assert refusal(*staged, Unfreeze(**head("unfreeze")), automatic) is None
    assert seen(*staged, PROMOTE) == ("2", "1", None, 0.0)
    assert seen(*staged, back("1")) == ("1", None, None, 0.0)
    assert refusal(*staged, Freeze(**head("again"))) == "automatic action is frozen already"


def test_what_is_new_in_service_is_watched_until_something_else_is() -> None:
    probations = [entry.after.probation for entry in log(*deployed("1", "2"), back("1"), *tried("3"), *deployed("4"))]
    assert [watch.command_id if watch else None for watch in probations] == [
        None, None, None, "activate-stage-2", None, None, None, None, "activate-stage-4",
    ]  # fmt: skip


def test_all_that_a_rollback_or_a_promotion_needs_is_kept_warm() -> None:
    state = log(*deployed("0", "1"), *tried("2"), stage("3"))[-1].after
    assert [release.model.version for release in state.kept] == ["1", "0", "2", "3"]
