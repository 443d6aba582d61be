"""The timeline: a command is one line whatever it left on record, and what happened around it stands beside it."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from schemas.drift import DriftPhase
from schemas.rollout import AuditRecord, ModelStatus, PartitionProgress, Phase, Rollback, WorkerVitals
from schemas.scoring import ModelRef
from stream_app.drift.published import SERVES_NO_LONGER
from stream_app.report.timeline import Heartbeats, LineKind, SwapVolume, TimelineLine, alerts_around, timeline
from stream_app.report.timeline_page import html
from stream_app.rollout.swap_log import SwapLog, encode
from stream_app.testing.memory_cluster import MemoryMessage
from tests.markup import Page, assert_no_markup_comes_of, filled
from tests.unit.stream_app.report.alerts_for_tests import an_alert
from tests.unit.stream_app.rollout.swap_log import activate, stage

AT = datetime(2026, 11, 28, 21, 30, tzinfo=UTC)
GOOD, BAD = ModelRef("card-fraud", "8", "8" * 64), ModelRef("card-fraud", "9", "9" * 64)
LOST_AFTER = timedelta(seconds=5)


def at(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def swap_log(tmp_path) -> SwapLog:
    """The good model deployed, the bad one a minute later, and back after another."""
    back = Rollback(command_id="back", issuer="ann", issued_at=AT, reason="too many alerts", to=GOOD.sha256)
    commands = [stage(GOOD, tmp_path, "one"), activate("one"), stage(BAD, tmp_path, "two"), activate("two"), back]
    log = SwapLog()
    for offset, (command, second) in enumerate(zip(commands, (-5, 0, 55, 60, 120), strict=True)):
        log.read(MemoryMessage(encode(command), offset, at(second)))
    return log


@pytest.fixture
def log(tmp_path) -> SwapLog:
    return swap_log(tmp_path)


def record(second: float, actor: str, action: str, subject: object = BAD, **details: str) -> AuditRecord:
    return AuditRecord(f"{action}-{second}", at(second), actor, action, str(subject), **details)


def deploy(writer: str = "w") -> list[AuditRecord]:
    """What a deploy that the gates refused and somebody put through leaves on record."""
    own = {"writer": writer}
    digest = "f" * 64
    return [
        record(50, "root@host", "gate", reason=digest, effect="refused for alert volume", **own),
        record(51, "root@host", "override", reason="the quarter's figures", effect="over alert volume", **own),
        record(52, "root@host", "train", effect=f"trained on 4 rows (data sha256 {digest})", **own),
        record(55, "root@host", "stage", reason="better", effect="commanded", command_id="two", **own),
        record(60, "controller@w1", "activate", reason="staged by w1", effect="in service", command_id="activate-two"),
        record(61, "root@host", "deploy", effect=f"{BAD} serves on 1 worker after 6 s", command_id="two", **own),
    ]


def told(log: SwapLog, *trail: AuditRecord, heartbeats: Heartbeats | None = None, alerts=()) -> list[TimelineLine]:
    return timeline(trail, log, alerts, heartbeats or Heartbeats(log.swaps, LOST_AFTER), at(3600))


def test_a_command_is_one_line_with_names_in_place_of_digests(log):
    (line,) = told(log, *deploy())
    assert (line.at, line.kind, line.who) == (at(55), LineKind.COMMAND, "root@host")
    assert (line.what, line.subject, line.why) == ("deploy", "card-fraud 9", "better")
    assert line.effect == (
        "gates refused for alert volume; overridden over alert volume: the quarter's figures; "
        "card-fraud 9 serves on 1 worker after 6 s"
    )
    assert [r.action for r in line.records] == ["gate", "override", "train", "stage", "activate", "deploy"]


def test_a_command_whose_giver_has_gone_ends_with_what_the_controller_did(log):
    (line,) = told(log, *deploy()[3:5])
    assert (line.what, line.why, line.effect) == ("stage", "better", "in service")


def test_a_refused_model_another_session_and_what_is_no_command_are_lines_of_their_own(log):
    grant = record(10, "ann", "grant", "reader", effect="reader: 3 rights made or set")
    lines = told(log, grant, deploy("a")[0], *deploy("b"))
    assert [(line.what, line.kind) for line in lines] == [
        ("grant", LineKind.RECORD),
        ("gate", LineKind.RECORD),
        ("deploy", LineKind.COMMAND),
    ]
    assert (lines[1].effect, lines[1].why) == ("refused for alert volume", "")


def test_what_the_log_refuses_is_the_effect_of_its_command_or_a_line_by_itself(log):
    asked = record(70, "bob", "rollback", GOOD, reason="now", effect="commanded", command_id="r")
    refused = record(71, "controller@w1", "refuse", "rollback by bob", reason="expired", effect="changed nothing")
    refused = msgspec.structs.replace(refused, command_id="r")
    (line,) = told(log, asked, refused)
    assert (line.who, line.what, line.effect) == ("bob", "rollback", "changed nothing")
    (forged,) = told(log, refused)
    assert (forged.who, forged.what, forged.subject) == ("controller@w1", "refuse", "rollback by bob")


def test_digests_of_models_are_names_wherever_they_stand_and_of_others_are_short(log):
    found = record(1, "guard@w1", "find", f"model {BAD.sha256[:12]} against {GOOD.sha256[:12]}", reason="f" * 64)
    other = record(2, "ann", "note", "offset 123456789012 of card-fraud 7 (777777777777)")
    lines = told(log, found, other)
    assert (lines[0].subject, lines[0].why) == ("card-fraud 9 against card-fraud 8", "f" * 12)
    assert lines[1].subject == "offset 123456789012 of card-fraud 7 (777777777777)"


def heartbeat(scored: int, anomalies: int, serving: ModelRef | None, **changes) -> ModelStatus:
    vitals = WorkerVitals(AT, "", True, 0.0, scored, anomalies, 0, None, None, [PartitionProgress(3, 0, 0)])
    status = ModelStatus(worker="w1", phase=Phase.HEARTBEAT, at=AT, serving=serving, vitals=vitals)
    return msgspec.structs.replace(status, **changes)


def read(log: SwapLog, *statuses: tuple[float, ModelStatus]) -> Heartbeats:
    heartbeats = Heartbeats(log.swaps, LOST_AFTER)
    for second, status in statuses:
        heartbeats.add(status, at(second))
    return heartbeats


def test_alerts_stand_before_and_after_each_swap(log):
    heartbeats = read(
        log,
        (56, heartbeat(1000, 10, GOOD)),
        (59, heartbeat(2000, 20, GOOD)),
        (61, heartbeat(2500, 100, BAD)),  # partly by the one and partly by the other: neither's
        (64, heartbeat(3500, 970, BAD)),
        (121, heartbeat(4000, 1000, GOOD)),
        (124, heartbeat(5000, 1010, GOOD)),
        (125, heartbeat(10, 1, GOOD, worker="w2")),
    )
    back = record(119, "ann", "rollback", GOOD, effect="done", command_id="back")
    told_of = told(log, *deploy(), back, heartbeats=heartbeats)
    there, again = (line for line in told_of if line.kind is LineKind.COMMAND)
    assert (there.before, there.after) == (SwapVolume(1000, 10), SwapVolume(1000, 870))
    assert (again.before, again.after) == (SwapVolume(1000, 870), SwapVolume(1000, 10))
    assert alerts_around(there) == "1.00 % → 87.00 %"


def test_a_worker_that_starts_anew_counts_from_nothing(log):
    later = heartbeat(900, 9, BAD)
    restarted = msgspec.structs.replace(later, vitals=msgspec.structs.replace(later.vitals, started_at=at(62)))
    heartbeats = read(log, (61, heartbeat(500, 5, BAD)), (64, restarted))
    assert told(log, *deploy(), heartbeats=heartbeats)[0].after is None


def test_a_worker_that_falls_silent_is_lost_from_its_last_word_until_it_is_back(log):
    heartbeats = read(
        log,
        (0, heartbeat(0, 0, None)),
        (4, heartbeat(0, 0, None)),
        (74, heartbeat(0, 0, None)),
        (75, ModelStatus(worker="w1", phase=Phase.APPLIED, at=AT)),
        (76, heartbeat(0, 0, None, worker="w2")),
        (77, heartbeat(0, 0, None, worker="w2", phase=Phase.STOPPED)),
    )
    back, silent = told(log, heartbeats=heartbeats)
    assert (back.at, back.what, back.subject) == (at(4), "lost", "w1")
    assert back.effect == "silent for 70 s, then back; it had partition 3"
    assert (silent.at, silent.subject, silent.effect) == (at(75), "w1", "silent until now; it had partition 3")


def test_drift_is_two_lines_with_the_cause_that_was_confirmed(log):
    raised = an_alert(model=BAD, cause="Perhaps.")
    confirmed = msgspec.structs.replace(raised, phase=DriftPhase.CONFIRMED, cause="Surely.")
    over = msgspec.structs.replace(confirmed, phase=DriftPhase.OVER, over_because=SERVES_NO_LONGER)
    lines = told(log, alerts=[(at(1), raised), (at(2), confirmed), (at(3), over), (at(4), over)])
    assert [(line.at, line.what, line.subject, line.effect) for line in lines] == [
        (at(1), "drift", "card-fraud 9", "Surely."),
        (at(3), "drift over", "card-fraud 9", SERVES_NO_LONGER),
    ]


@pytest.fixture
def lines(log) -> list[TimelineLine]:
    heartbeats = read(log, (56, heartbeat(1000, 10, GOOD)), (59, heartbeat(2000, 20, GOOD)), (64, heartbeat(1, 1, BAD)))
    return told(log, *deploy(), heartbeats=heartbeats, alerts=[(at(64), an_alert(model=BAD))])


def test_the_page_says_what_the_lines_say_and_loads_nothing(lines):
    page = Page(html(lines, AT, at(4000)))
    for line in lines:
        assert all(text in page.text for text in (line.subject, line.effect, line.who, f"{line.at:%H:%M:%S}"))
    assert "1 command, 1 drift alert, 1 lost worker" in page.text
    assert "1.00 % of 1,000" in page.text
    assert page.policy.startswith("default-src 'none'")
    assert (page.links, page.scripts) == ([], [])


def test_no_string_of_a_record_becomes_markup(lines):
    assert_no_markup_comes_of(html(filled(lines), AT, AT), html(lines, AT, AT))


def test_a_page_without_a_line_says_so():
    assert "Nothing is on record" in Page(html([], AT, AT)).text
