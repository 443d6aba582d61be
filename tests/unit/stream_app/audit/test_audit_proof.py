"""What `audit verify` finds: whatever is done to one record, it is named with its offset and what was done."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stream_app.audit.proof import Tampering, prove
from tests.unit.stream_app.audit.audit_log import Log as AuditLog
from tests.unit.stream_app.audit.audit_log import logged, numbered, record

STEPS = st.lists(st.sampled_from([0, 1, 2, "seal"]), min_size=2, max_size=25)
LOGS = st.builds(lambda steps, unchained: logged([*steps, 0, "seal"], unchained), STEPS, st.integers(0, 3))


def found(values, **given_):
    verdict = prove(numbered(values), **given_)
    assert verdict.ok is not bool(verdict.breaks)
    return [(b.offset, b.how) for b in verdict.breaks]


def sealed_rows(values):
    return prove(numbered(values)).sealed


@given(LOGS)
def test_an_untouched_log_holds(values):
    verdict = prove(numbered(values))
    assert (verdict.ok, verdict.breaks, verdict.records) == (True, [], len(values))
    assert verdict.sealed >= len(values) - 1  # all but the last seal itself


@given(LOGS, st.data())
def test_a_record_that_is_removed_is_named(values, data):
    row = data.draw(st.integers(0, sealed_rows(values) - 1))
    assert found(values[:row] + values[row + 1 :]) == [(row, Tampering.REMOVED)]


@given(LOGS, st.data())
def test_a_record_that_is_changed_is_named(values, data):
    row = data.draw(st.integers(0, sealed_rows(values) - 1))
    content = json.loads(values[row])
    field = data.draw(st.sampled_from(sorted(content)))
    changed = {**content, field: {"records": {"0": "f" * 64}} if field == "seal" else 7 if field == "sequence" else "x"}
    assume(changed != content)
    forged = data.draw(st.sampled_from([json.dumps(changed).encode(), b"no JSON", values[row] + b" "]))
    assert found([*values[:row], forged, *values[row + 1 :]]) == [(row, Tampering.CHANGED)]


@given(LOGS, st.data())
def test_a_record_that_is_inserted_is_named(values, data):
    row = data.draw(st.integers(0, sealed_rows(values) - 1))
    forger = AuditLog()
    forger.write("forger", record("forged"))
    forged = data.draw(st.sampled_from([forger.values[0], b"no JSON", json.dumps({"a": 1}).encode()]))
    assert found([*values[:row], forged, *values[row:]]) == [(row, Tampering.INSERTED)]


@given(LOGS, st.data())
def test_a_record_that_is_repeated_shows(values, data):
    row = data.draw(st.integers(0, sealed_rows(values) - 1))
    copy = data.draw(st.sampled_from(values))
    assert found([*values[:row], copy, *values[row:]])


@given(LOGS, st.data())
def test_records_that_changed_places_are_named(values, data):
    assume(sealed_rows(values) > 1)
    row = data.draw(st.integers(0, sealed_rows(values) - 2))
    swapped = [*values[:row], values[row + 1], values[row], *values[row + 2 :]]
    ((offset, how),) = found(swapped)
    assert (offset in (row, row + 1), how) == (True, Tampering.MOVED)


@given(STEPS, st.sampled_from([0, 1, 2]))
def test_a_writer_that_is_removed_whole_shows(steps, writer):
    values = logged([*steps, writer, "seal"])
    gone = [row for row, value in enumerate(values) if json.loads(value)["actor"] == f"writer-{writer}"]
    kept = [value for row, value in enumerate(values) if row not in gone]
    assert [offset for offset, how in found(kept) if how is Tampering.REMOVED] == gone


def test_before_the_first_seal_a_writers_next_record_is_the_witness():
    values = logged([0, 1, 0, 1, 0, 1])
    assert found(values) == []
    assert found(values[:2] + values[3:]) == [(3, Tampering.REMOVED)]  # named by the place where it is missed
    assert found([*values[:2], values[2] + b" ", *values[3:]]) == [(2, Tampering.CHANGED)]
    assert found([*values[:3], values[0], *values[3:]]) == [(3, Tampering.INSERTED)]
    assert found([*values[:3], values[2], *values[3:]]) == [(3, Tampering.INSERTED)]
    assert (2, Tampering.MOVED) in found([values[2], values[1], values[0], *values[3:]])


def test_the_end_behind_the_last_seal_has_no_witness():
    """What `docs/operations.md` says that nobody can see from the log alone, and the note of a head can."""
    values = logged([0, "seal", 0, 1, "seal", 1])
    head = prove(numbered(values)).head
    assert found(values[:2]) == []
    assert found(values[:2], head=head) == [(4, Tampering.REMOVED)]
    assert found(values, head=head) == []


def test_records_from_before_the_chain_are_accepted_and_counted_but_not_after_it():
    verdict = prove(numbered(logged([0, "seal"], unchained=3)))
    assert (verdict.ok, verdict.unchained) == (True, 3)
    log = AuditLog()
    log.write("a")
    log.write_unchained()
    assert found(log.values) == [(1, Tampering.INSERTED)]


def test_a_log_whose_beginning_was_deleted_says_so():
    values = numbered(logged([0, 1, 0, "seal", 1]))
    assert [b.offset for b in prove(values[2:]).breaks] == [0, 1]
    (unsealed,) = prove(numbered(logged([], unchained=3))[2:]).breaks
    assert (unsealed.offset, unsealed.how) == (0, Tampering.REMOVED)


@pytest.mark.parametrize("offset", ["999999999999999", "-1", "x"])
def test_a_seal_with_foolish_offsets_does_no_harm(offset):
    values = logged([0, "seal", 1])
    content = json.loads(values[1])
    content["seal"]["records"] = {offset: "f" * 64}
    assert prove(numbered([values[0], json.dumps(content).encode(), values[2]])).records == 3


def test_an_empty_log_holds():
    assert prove([]).ok
