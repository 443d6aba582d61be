"""Reference, cumulative sums, detectors, evidence and cause, each by itself, on sums that are made by hand."""

from dataclasses import replace
from math import inf

import msgspec
import numpy as np
import pytest

from models.distances import Distances
from schemas.drift import DriftCause, StatisticKind
from stream_app.drift.cause import likely_cause
from stream_app.drift.cusum import Bound, Cusum
from stream_app.drift.detectors import Detectors, change_interval
from stream_app.drift.evidence import gather, signal_shifts
from stream_app.drift.merge import Sums
from stream_app.drift.standardise import DEAD_LETTERS, Observation, Reference, Statistic, field_of
from tests.unit.stream_app.drift.streams import LAYOUT, MANIFEST, summaries, world

REFERENCE = Reference(MANIFEST)
BOUND = Bound(effect=0.15)
AMOUNT = REFERENCE.statistics.index(Statistic("input:amount", StatisticKind.MEAN))
FAR = dict.fromkeys(LAYOUT, Distances(*[1.0] * len(Distances._fields)))


def sums(rows: np.ndarray) -> Sums:
    parts = [Sums.of(summary, summary.sums) for summary in summaries(rows)]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    return whole


QUIET = sums(world(4096))


def shifted(column: int, by: float, blocks: int = 1) -> Observation:
    shift = np.zeros(len(REFERENCE.statistics))
    shift[column] = by
    return Observation(shift, np.full(len(shift), 0.1))


def test_quiet_transactions_are_within_five_standard_errors_of_the_reference_in_every_statistic():
    observation = REFERENCE.of(QUIET)
    kept = ~REFERENCE.shares
    assert np.abs(observation.shift / observation.noise)[kept].max() < 5
    assert observation.shift[REFERENCE.shares].tolist() == [0.0] * int(REFERENCE.shares.sum())


def test_a_shift_of_one_deviation_is_one_in_its_statistic():
    rows = world(4096)
    std = MANIFEST.signals[LAYOUT.index("input:count")].std
    rows[:, LAYOUT.index("input:count")] += std
    column = REFERENCE.statistics.index(Statistic("input:count", StatisticKind.MEAN))
    assert REFERENCE.of(sums(rows)).shift[column] - REFERENCE.of(QUIET).shift[column] == pytest.approx(1, abs=0.05)


def test_refused_records_are_a_share_of_all_records():
    refused = REFERENCE.of(replace(QUIET, dead_lettered=QUIET.scored)).shift
    assert refused[REFERENCE.statistics.index(Statistic(DEAD_LETTERS, StatisticKind.SHARE))] == 0.5


def test_tails_are_watched_of_an_events_own_fields_and_not_of_windows():
    assert [s.signal for s in REFERENCE.statistics if s.kind is StatisticKind.TAIL] == ["input:amount"]


@pytest.mark.parametrize(
    ("signal", "field"), [("input:amount", "amount"), ("residual:count", "count"), ("score", None), ("latent:1", None)]
)
def test_the_field_of_a_signal_is_the_input_that_it_is_about(signal, field):
    assert field_of(signal) == field


def test_cumulative_sums_find_the_statistic_that_shifts_and_when_it_began():
    cusum = Cusum(REFERENCE, BOUND)
    for block in range(20):
        assert cusum.update(shifted(AMOUNT, 0.0), block) == []
    found = [cusum.update(shifted(AMOUNT, 0.5), block) for block in range(20, 30)]
    assert found[-1] == [AMOUNT]
    assert cusum.begins[AMOUNT] == 20
    cusum.reset([AMOUNT])
    assert cusum.update(shifted(AMOUNT, 0.0), 30) == []


def test_a_single_block_however_far_off_is_no_finding():
    assert Cusum(REFERENCE, BOUND).update(shifted(AMOUNT, inf), 0) == []


def test_what_creeps_below_the_allowance_of_the_sums_is_found_by_the_windows():
    random, detectors = np.random.default_rng(0), Detectors(REFERENCE, 64, BOUND)
    found = {}
    for block in range(1200):
        level = 0.0 if block < 600 else 0.2
        noise = random.standard_normal(len(REFERENCE.statistics)) / 8
        shift = np.where(REFERENCE.shares, 0.0, noise)
        shift[AMOUNT] += level
        found |= detectors.update(Observation(shift, np.full(len(shift), 1 / 8)), block)
    assert list(found) == [AMOUNT]
    assert 550 <= found[AMOUNT] < 900


def test_the_interval_of_a_change_is_the_stretch_that_is_away():
    values = np.array([0.1, -0.2, 0.0, 2.1, 1.9, 2.2, 2.0, 0.1, -0.1])
    assert change_interval(values, found=5, level=2.0) == (3, 7)
    assert change_interval(-values, found=5, level=-2.0) == (3, 7)


def moved(change: Sums, *members: Statistic, manifest=MANIFEST):
    columns = {REFERENCE.statistics.index(member) for member in members}
    return gather(REFERENCE, manifest, change, columns, set(), effect=0.15)


def with_shift(signal: str, by: float) -> Sums:
    rows = world(4096)
    rows[:, LAYOUT.index(signal)] += by
    return sums(rows)


def test_evidence_holds_what_surely_moved_and_lists_the_furthest_first():
    evidence = moved(with_shift("input:amount", 2.0))
    assert "amount" in evidence.names("input", StatisticKind.MEAN)
    assert evidence.names("input", StatisticKind.SHARE) == []
    assert evidence.of("input:count", StatisticKind.MEAN) == 0.0
    shifts = signal_shifts(evidence, MANIFEST, with_shift("input:amount", 2.0), FAR)
    assert [abs(s.shift) for s in shifts] == sorted((abs(s.shift) for s in shifts), reverse=True)
    assert {s.unit for s in shifts if s.signal == "input:amount"} == {"EUR"}


def test_a_field_that_moves_alone_and_is_not_reconstructed_is_broken():
    rows = world(4096)
    rows[:, LAYOUT.index("input:amount")] += 3
    rows[:, LAYOUT.index("residual:amount")] -= 3
    change = sums(rows)
    cause = likely_cause(moved(change), MANIFEST, change, FAR)
    assert (cause.kind, cause.retraining_helps) == (DriftCause.FIELD_BROKEN, False)


def test_a_field_that_no_longer_arrives_is_missing():
    rows = world(4096)
    rows[:, LAYOUT.index("input:count")] = np.nan
    change = sums(rows)
    assert likely_cause(moved(change), MANIFEST, change, FAR).kind is DriftCause.FIELD_MISSING


def test_refusals_without_any_other_change_are_the_producers():
    change = replace(QUIET, dead_lettered=1000)
    assert likely_cause(moved(change), MANIFEST, change, FAR).kind is DriftCause.REFUSALS


@pytest.mark.parametrize(("role", "kind"), [("risk", DriftCause.ATTACK), ("window", DriftCause.POPULATION)])
def test_inputs_that_move_together_are_an_attack_if_they_are_windows_over_labels(role, kind):
    """Whatever they are called: the role that the specification gives them decides."""
    known = MANIFEST.definition
    inputs = tuple(msgspec.structs.replace(i, role=role) if i.name in ("count", "average") else i for i in known.inputs)
    manifest = msgspec.structs.replace(MANIFEST, definition=msgspec.structs.replace(known, inputs=inputs))
    rows = world(4096)
    rows[:, [LAYOUT.index("input:count"), LAYOUT.index("input:average")]] += 1.0
    change = sums(rows)
    assert likely_cause(moved(change, manifest=manifest), manifest, change, FAR).kind is kind
