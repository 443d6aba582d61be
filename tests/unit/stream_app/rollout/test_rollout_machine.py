"""Any order of commands, crashes, joins and restarts: all who live end on what the log prescribes, once checked."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from schemas.rollout import Abort as AbortCommand
from schemas.rollout import Canary, Command, Freeze, Promote, Rollback, Shadow, Stage, StagePurpose, Unfreeze
from stream_app.rollout.controller import decide
from stream_app.rollout.state import Rollout
from stream_app.rollout.statuses import WorkerState
from stream_app.rollout.swap_log import encode
from stream_app.testing.memory_cluster import MemoryMessage
from tests.unit.stream_app.rollout.swap_log import fold
from tests.unit.stream_app.rollout.test_rollout_state import model

pytestmark = pytest.mark.slow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BROKEN = model("4").sha256  # of which every worker says that it fails its checks


@dataclass
class Node:
    """A worker: how far it has read, what it has checked, and what the stages that it answered were answered with."""

    read: int = 0
    state: Rollout = field(default_factory=Rollout)
    checked: set[str] = field(default_factory=set)
    answers: dict[str, bool] = field(default_factory=dict)


class Cluster:
    """One log, workers that read it at their own pace, a controller on each of them."""

    def __init__(self) -> None:
        self.log: list[Command] = []
        self.nodes: dict[str, Node] = {"a": Node()}
        self.mute: set[str] = set()
        self.ever_passed: set[str] = set()

    def issue(self, command: Command) -> None:
        self.log.append(command)

    def head(self) -> dict[str, Any]:
        return {"command_id": f"c{len(self.log)}", "issuer": "ann", "issued_at": NOW}

    def catch_up(self, name: str, records: int) -> None:
        """Read on, load what is to be kept, and answer a pending stage; a mute worker does not answer."""
        node = self.nodes[name]
        until = min(node.read + records, len(self.log))
        entries = fold((MemoryMessage(encode(self.log[i]), i) for i in range(node.read, until)), node.state)
        node.state, node.read = (entries[-1].after if entries else node.state), until
        kept = {release.model.sha256 for release in node.state.kept}
        node.checked = kept - {BROKEN}
        self.ever_passed |= node.checked
        if node.state.pending is not None and name not in self.mute:
            node.answers[node.state.pending.stage_id] = node.state.pending.release.model.sha256 in node.checked

    def control(self, name: str, waited_s: float) -> None:
        """What a controller there decides by what it has read and heard; more than one may believe to be the owner."""
        state = self.nodes[name].state
        stage_id = state.pending.stage_id if state.pending else ""
        alive = {
            other: WorkerState(0.0, staged=stage_id)
            if node.answers.get(stage_id)
            else WorkerState(0.0, rejected=stage_id, reason="broken")
            if stage_id in node.answers
            else WorkerState(0.0)
            for other, node in self.nodes.items()
        }
        command = decide(state, alive, waited_s, 10.0, f"controller@{name}", NOW)
        if command is not None:
            self.issue(command)


NAMES, VERSIONS = st.sampled_from("abc"), st.sampled_from("1234")
STAGES = st.integers(0, 3)
MOVES = st.one_of(
    st.tuples(st.just("stage"), VERSIONS, st.sampled_from(list(StagePurpose))),
    st.tuples(st.just("deploy"), st.sampled_from("123")),
    st.tuples(st.sampled_from(["shadow", "canary", "promote", "abort"]), STAGES, st.booleans()),
    st.tuples(st.just("rollback"), st.none() | VERSIONS, st.booleans()),
    st.tuples(st.sampled_from(["freeze", "unfreeze"])),
    st.tuples(st.just("read"), NAMES, st.integers(1, 4)),
    st.tuples(st.just("control"), NAMES, st.sampled_from([0.0, 20.0])),
    st.tuples(st.sampled_from(["crash", "join", "restart", "mute"]), NAMES),
)


def staged(cluster: Cluster, version: str, role: StagePurpose = StagePurpose.SERVE) -> None:
    percent = 10.0 if role is StagePurpose.CANARY else None
    cluster.issue(Stage(uri=f"/{version}", model=model(version), role=role, percent=percent, **cluster.head()))


def settle(cluster: Cluster) -> None:
    """Everybody reads to the end and answers, and a controller decides, until nothing is pending."""
    for _ in range(3):
        for name in cluster.nodes:
            cluster.catch_up(name, len(cluster.log))
        cluster.control(min(cluster.nodes), 20.0)
    for name in cluster.nodes:
        cluster.catch_up(name, len(cluster.log))


def play(cluster: Cluster, move: tuple[Any, ...]) -> None:
    stages = [c.command_id for c in cluster.log if isinstance(c, Stage)] or ["none"]
    match move:
        case ("stage", version, role):
            staged(cluster, version, role)
        case ("deploy", version):
            staged(cluster, version)
            settle(cluster)
        case ("shadow", back, _):
            cluster.issue(Shadow(stage_id=stages[-1 - back % len(stages)], **cluster.head()))
        case ("canary", back, _):
            cluster.issue(Canary(stage_id=stages[-1 - back % len(stages)], percent=50.0, **cluster.head()))
        case ("promote", back, automatic):
            stage_id = stages[-1 - back % len(stages)]
            cluster.issue(Promote(stage_id=stage_id, automatic=automatic, **cluster.head()))
        case ("abort", back, _):
            cluster.issue(AbortCommand(stage_id=stages[-1 - back % len(stages)], **cluster.head()))
        case ("rollback", to, automatic):
            sha256 = model(to).sha256 if to else None
            cluster.issue(Rollback(to=sha256, automatic=automatic, **cluster.head()))
        case ("freeze",):
            cluster.issue(Freeze(**cluster.head()))
        case ("unfreeze",):
            cluster.issue(Unfreeze(**cluster.head()))
        case ("read", name, records) if name in cluster.nodes:
            cluster.catch_up(name, records)
        case ("control", name, waited_s) if name in cluster.nodes:
            cluster.control(name, waited_s)
        case ("crash", name) if len(cluster.nodes) > 1:
            cluster.nodes.pop(name, None)
        case ("join" | "restart", name):
            cluster.nodes[name] = Node()
            cluster.mute.discard(name)
        case ("mute", name) if name in cluster.nodes:
            cluster.mute.add(name)


@hypothesis_settings(max_examples=500)
@given(st.lists(MOVES, min_size=8, max_size=30))
def test_all_live_workers_end_on_what_the_log_prescribes_and_it_was_checked(
    moves: list[tuple[Any, ...]],
) -> None:
    cluster = Cluster()
    for move in moves:
        play(cluster, move)
    settle(cluster)
    entries = fold(MemoryMessage(encode(command), i) for i, command in enumerate(cluster.log))
    prescribed = entries[-1].after if entries else Rollout()
    assert prescribed.pending is None or not cluster.nodes
    frozen = False
    for entry in entries:
        state = entry.after
        deciding = [state.serving, state.candidate.release if state.candidate else None]
        assert {release.model.sha256 for release in deciding if release} <= cluster.ever_passed
        assert not (frozen and entry.refused is None and getattr(entry.command, "automatic", False))
        assert len({r.model.sha256 for r in (state.serving, state.previous) if r}) == sum(
            r is not None for r in (state.serving, state.previous)
        )
        frozen = state.frozen
    for node in cluster.nodes.values():
        assert node.state == prescribed
        assert prescribed.serving is None or prescribed.serving.model.sha256 in node.checked
