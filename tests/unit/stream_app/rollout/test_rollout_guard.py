"""The guard watches what is as good, promotes it in time, and rolls back what is not, by the signal that shows it."""

import itertools
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from schemas.comparison import TAIL, Comparison, GuardDecision, Pairs
from schemas.rollout import Promote, Rollback
from schemas.scoring import ModelRef
from stream_app.metrics import Metrics
from stream_app.rollout.guard import betting
from stream_app.rollout.guard.enforcer import GuardEnforcer
from stream_app.rollout.guard.guard import Guard
from stream_app.rollout.state import Candidate, Release, Rollout
from stream_app.settings import Settings
from stream_app.testing.memory_cluster import MemoryMessage
from tests.unit.stream_app.rollout.swap_log import Heard

pytestmark = pytest.mark.slow

AT = datetime(2026, 1, 1, tzinfo=UTC)
CHAMPION, CANDIDATE = (Release(ModelRef("m", v, v * 64), f"/{v}") for v in "12")


def compared(rows: int = 1000, **changes: Any) -> Comparison:
    """Two models that are equally good, with the given differences."""
    tail = [0] * len(TAIL)
    tail[len(TAIL) // 2] = rows // 100
    usual: dict[str, Any] = {
        "trial_id": "t",
        "worker": "w",
        "champion": "1" * 64,
        "candidate": "2" * 64,
        "rows": rows,
        "errors": 0,
        "skipped": 0,
        "decided": 0,
        "alerts": Pairs(rows // 100, 0, 0),
        "levels": [0.1],
        "exceedances": [Pairs(rows // 10, rows // 200, rows // 200)],
        "tail_shift": tail,
        "similarities": [0.9] * (rows // 64),
        "champion_seconds": 1.0,
        "candidate_seconds": 1.0,
    }
    return Comparison(**{**usual, **changes})


def heard(*comparisons: Comparison, **settings: Any):
    guard = Guard(Settings(**settings))
    for comparison in comparisons:
        guard.read(comparison)
    return guard.report("t")


def test_a_model_that_is_as_good_is_watched_and_then_promoted() -> None:
    assert heard(*[compared()] * 3).finding is GuardDecision.WATCH
    report = heard(*[compared()] * 20)
    assert report.finding is GuardDecision.PROMOTE, report.sentence
    assert heard(*[compared()] * 20, guard_promote_events=20_001).finding is GuardDecision.WATCH


@pytest.mark.parametrize(
    ("signal", "changes"),
    [
        ("alerts", {"alerts": Pairs(10, 0, 20)}),
        ("alerts", {"alerts": Pairs(10, 30, 0)}),
        ("agreement", {"alerts": Pairs(0, 10, 10)}),
        ("scores", {"exceedances": [Pairs(100, 0, 100)]}),
        ("scores", {"exceedances": [Pairs(100, 100, 0)]}),
        ("tail", {"tail_shift": [0] * (len(TAIL) - 1) + [20]}),
        ("tail", {"tail_shift": [20] + [0] * (len(TAIL) - 1)}),
        ("latents", {"similarities": [0.2] * 15}),
        ("errors", {"errors": 30}),
    ],
)
def test_a_model_that_is_not_is_rolled_back_by_the_signal_that_shows_it(signal: str, changes: dict[str, Any]) -> None:
    report = heard(*[compared(**changes)] * 4)
    assert report.finding is GuardDecision.ROLL_BACK
    assert signal in [e.signal for e in report.evidence if e.against >= 1]
    assert f"{signal}: " in report.sentence


def convinced(settings: dict[str, Any], **changes: Any) -> list[str]:
    """The signals that demand a rollback after four commits with these differences."""
    return [e.signal for e in heard(*[compared(**changes)] * 4, **settings).evidence if e.against >= 1]


@pytest.mark.parametrize(
    ("setting", "strict", "lax", "signal", "changes"),
    [
        ("guard_error", 0.4, 0.01, "alerts", {"alerts": Pairs(10, 0, 5)}),
        ("guard_alert_tolerance", 0.1, 4.0, "alerts", {"alerts": Pairs(10, 0, 20)}),
        ("guard_latent_similarity", 0.8, 0.1, "latents", {"similarities": [0.2] * 15}),
    ],
)
def test_the_same_difference_is_tolerated_or_not_as_the_setting_says(
    setting: str, strict: float, lax: float, signal: str, changes: dict[str, Any]
) -> None:
    assert signal in convinced({setting: strict}, **changes)
    assert signal not in convinced({setting: lax}, **changes)


def tail(alike: int, stranger: int) -> list[int]:
    """The strangest rows: as strange to both models, or by a third stranger to the candidate."""
    middle = len(TAIL) // 2
    return [{middle: alike, middle + 3: stranger}.get(place, 0) for place in range(len(TAIL))]


@pytest.mark.parametrize("turned", [False, True], ids=["stranger", "less strange"])
def test_a_threshold_that_lies_a_third_off_shows_in_three_dozen_rows(turned: bool) -> None:
    shift = tail(alike=7, stranger=11)
    report = heard(*[compared(tail_shift=shift[::-1] if turned else shift)] * 2)
    assert [e.signal for e in report.evidence if e.against >= 1] == ["tail"]


def test_what_is_a_third_off_in_few_of_the_strangest_rows_is_as_good() -> None:
    assert heard(*[compared(tail_shift=tail(alike=18, stranger=3))] * 40).finding is GuardDecision.PROMOTE


@pytest.mark.parametrize("changes", [{"candidate_seconds": 5.0}, {"skipped": 1}])
def test_a_model_that_is_too_slow_in_most_commits_is_rolled_back(changes: dict[str, Any]) -> None:
    report = heard(*[compared(rows=100, **changes)] * 20)
    assert [e.signal for e in report.evidence if e.against >= 1] == ["latency"]


def test_another_trial_begins_with_nothing() -> None:
    guard = Guard(Settings())
    guard.read(compared(errors=1000))
    guard.read(compared(trial_id="u"))
    assert guard.report("t") is None
    assert guard.report("u").finding is GuardDecision.WATCH


@given(st.lists(st.integers(0, 30), min_size=3, max_size=3), st.permutations(range(4)))
def test_what_is_found_does_not_depend_on_the_order_of_commits(extra: list[int], order: list[int]) -> None:
    commits = [compared(), *(compared(alerts=Pairs(10, 0, n)) for n in extra)]
    assert heard(*(commits[i] for i in order)) == heard(*commits)


def test_while_the_hypothesis_holds_the_capital_rarely_grows_however_often_somebody_looks() -> None:
    random = np.random.default_rng(0)
    limit = math.log(20)
    exceeded = 0
    for _ in range(400):
        alerts = random.random((300, 2)) < 0.3  # two models that alert as often, on rows of their own
        both, one, other = alerts.all(axis=1), alerts[:, 0] & ~alerts[:, 1], alerts[:, 1] & ~alerts[:, 0]
        sums = np.cumsum(np.column_stack((both, one, other)), axis=0)[4::5]
        exceeded += any(betting.more(Pairs(*row), 1.0)[0] >= limit for row in sums.tolist())
    assert exceeded / 400 <= 1 / 20


def test_so_it_is_with_the_strangest_rows_at_the_edge_of_what_is_tolerated() -> None:
    random, middle = np.random.default_rng(1), len(TAIL) // 2
    limit, exceeded = math.log(20), 0
    for _ in range(400):
        stranger = np.cumsum(random.random(300) < 0.2)[4::5]
        for rows, count in zip(range(5, 301, 5), stranger.tolist(), strict=True):
            histogram = [{middle: rows - count, middle + 3: count}.get(place, 0) for place in range(len(TAIL))]
            if betting.apart(histogram, 0.15, 0.2) >= limit:
                exceeded += 1
                break
    assert exceeded / 400 <= 1 / 20


@dataclass
class Said(Heard):
    """Also what is commanded."""

    commands: list[Any] = field(default_factory=list)

    def __init__(self) -> None:
        super().__init__()
        self.commands = []

    def command(self, command: Any) -> int:
        self.commands.append(command)
        return 0


def acted(rollout: Rollout, *comparisons: Comparison, **settings: Any) -> Said:
    """What a guard says and does in two turns."""
    said = Said()
    clock = itertools.count(step=0.3).__next__
    enforcer = GuardEnforcer(Settings(**settings), said, Metrics(CollectorRegistry()), clock)
    enforcer.read([MemoryMessage(b"noise"), *(MemoryMessage(msgspec.json.encode(c)) for c in comparisons)], True)
    for _ in range(2):
        enforcer.act(rollout)
    return said


TRIED = Rollout(serving=CHAMPION, candidate=Candidate("t", CANDIDATE, 5.0))
BAD, GOOD = [compared(errors=30)] * 4, [compared()] * 20


def test_an_acting_guard_rolls_back_once_to_the_champion_and_says_why() -> None:
    said = acted(TRIED, *BAD, guard="act")
    (command,) = said.commands
    assert isinstance(command, Rollback)
    assert (command.to, command.automatic, command.command_id) == ("1" * 64, True, "guard-rollback-t")
    assert "errors: 120 rows" in command.reason
    assert [record.action for record in said.audits] == ["find", "rollback"]
    assert [status.guard.finding for status in said.statuses] == [GuardDecision.ROLL_BACK]


@pytest.mark.parametrize(
    ("settings", "frozen"), [({"guard": "advise"}, False), ({"guard": "act"}, True)], ids=["advises", "is frozen"]
)
def test_a_guard_that_may_not_act_only_reports(settings: dict[str, Any], frozen: bool) -> None:
    rollout = Rollout(serving=CHAMPION, candidate=Candidate("t", CANDIDATE, 5.0), frozen=frozen)
    said = acted(rollout, *BAD, **settings)
    assert said.commands == []
    assert said.statuses[0].guard.finding is GuardDecision.ROLL_BACK


@pytest.mark.parametrize(
    ("percent", "comparisons", "advised"),
    [(5.0, BAD, 1.0), (0.0, BAD, 0.0), (5.0, GOOD, 0.0)],
    ids=["bad canary", "shadow", "good"],
)
def test_a_bad_model_that_decides_is_on_a_metric_until_its_trial_is_over(
    percent: float, comparisons: list[Comparison], advised: float
) -> None:
    registry = CollectorRegistry()
    enforcer = GuardEnforcer(Settings(), Said(), Metrics(registry), itertools.count(step=0.3).__next__)
    enforcer.read([MemoryMessage(msgspec.json.encode(c)) for c in comparisons], True)
    enforcer.act(Rollout(serving=CHAMPION, candidate=Candidate("t", CANDIDATE, percent)))
    assert registry.get_sample_value("stream_app_guard_advises_rollback") == advised
    enforcer.act(Rollout(serving=CHAMPION))
    assert registry.get_sample_value("stream_app_guard_advises_rollback") == 0


def test_it_promotes_by_itself_only_where_that_is_set() -> None:
    assert acted(TRIED, *GOOD, guard="act").commands == []
    (command,) = acted(TRIED, *GOOD, guard="act", guard_promotes=True).commands
    assert isinstance(command, Promote)
    assert (command.stage_id, command.automatic) == ("t", True)


def test_where_nothing_was_ever_tried_out_nothing_is_reported() -> None:
    for rollout in (Rollout(), Rollout(serving=CHAMPION), TRIED):
        said = acted(rollout, guard="act")
        assert (said.commands, said.statuses, said.audits) == ([], [], [])


def test_comparisons_of_a_trial_that_is_over_lead_to_nothing() -> None:
    said = acted(Rollout(serving=CHAMPION), *BAD, guard="act")
    assert (said.commands, said.statuses) == ([], [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"levels": [0.1, 0.5]},
        {"tail_shift": [0]},
        {"tail_shift": [10**9] * len(TAIL)},
        {"alerts": Pairs(10**9, 0, 0)},
        {"rows": 0},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_comparison_that_contradicts_itself_is_passed_over_whole(wrong: dict[str, Any]) -> None:
    foreign = replace(compared(), **wrong)
    assert acted(TRIED, foreign, *GOOD, foreign).statuses[0].guard == acted(TRIED, *GOOD).statuses[0].guard
