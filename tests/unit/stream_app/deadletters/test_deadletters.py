"""Which dead letters go back and with what, before any broker is asked."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UserError
from schemas.scoring import DeadLetter, RefusalCode, Source
from stream_app.deadletters.letters import LetterCounts, Line, Wanted, read_values
from stream_app.deadletters.redelivery import TIMES_HEADER, TIMES_MOST, Choice, Left, times
from stream_app.deadletters.replayed import Replayed, parsed, place, places

NOW = datetime(2026, 7, 2, 12, tzinfo=UTC)


def letter(offset: int = 0, partition: int = 0, topic_id: str = "AbC-_1", **changes: object) -> DeadLetter:
    source = Source("eu-transactions", partition, offset, topic_id)
    whole = DeadLetter(
        str(source), RefusalCode.MISSING_FIELD, "amount is missing", source, NOW, NOW, b"c1", b"{}", 2, []
    )
    return msgspec.structs.replace(whole, **changes)


letters = st.lists(
    st.builds(letter, st.integers(0, 300), st.integers(0, 5), st.sampled_from(["", "AbC-_1", "x" * 22])), max_size=60
)


@given(letters)
def test_the_places_on_record_are_those_that_were_written(given):
    assert set(parsed(places(given))) == set(map(place, given))


def test_runs_of_offsets_are_told_as_ranges():
    assert places([letter(offset) for offset in (7, 5, 6, 9)]) == {"eu-transactions:AbC-_1:0": "5-7,9"}


@pytest.mark.parametrize("ranges", ["", "nothing of the kind", "x-y", "-", ",,", "-7"])
def test_what_is_no_range_is_no_place_and_ends_nothing(ranges):
    assert list(parsed({"transactions:0": ranges})) == []


def test_one_of_a_topic_that_was_made_again_is_another():
    replayed = Replayed()
    replayed.add(parsed(places([letter(5)])))
    assert letter(5) in replayed
    assert letter(5, topic_id="new") not in replayed
    assert letter(6) not in replayed


def test_what_goes_back_and_why_the_others_stay():
    replayed = Replayed()
    replayed.add([place(letter(1))])
    often = [(TIMES_HEADER, str(TIMES_MOST).encode())]
    given = [letter(0), letter(1), letter(2, value_size=10**7), letter(3, headers=often), letter(4, value=None)]
    choice = Choice(replayed)
    assert [returned.letter.source.offset for returned in choice.of(given)] == [0, 4]
    assert choice.left == Counter({Left.BEFORE: 1, Left.CUT: 1, Left.AGAIN: 1})


def test_of_a_file_the_values_go_back_and_the_others_stay():
    choice = Choice(Replayed(), {letter(0).dead_letter_id: b'{"amount": 1}'})
    (returned,) = choice.of([letter(0), letter(1)])
    assert returned.value == b'{"amount": 1}'
    assert choice.left == Counter({Left.NOT_GIVEN: 1})


@pytest.mark.parametrize("told", [b"", b"many", b"-1", b"9" * 400, None])
def test_a_count_of_returns_that_is_none_counts_for_none(told):
    assert times(letter(headers=[(TIMES_HEADER, told)])) == 0


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (Wanted(), True),
        (Wanted(frozenset({RefusalCode.MISSING_FIELD})), True),
        (Wanted(frozenset({RefusalCode.NOT_JSON})), False),
        (Wanted(since=NOW), True),
        (Wanted(since=NOW + timedelta(seconds=1)), False),
        (Wanted(until=NOW), False),
        (Wanted(headers={"client": "shop-3"}), True),
        (Wanted(headers={"client": "shop-4"}), False),
    ],
)
def test_letters_are_chosen_by_reason_time_and_header(wanted, takes):
    assert wanted.takes(letter(headers=[("client", None), ("client", b"shop-3")])) is takes


@given(st.one_of(st.none(), st.binary(max_size=50)), st.one_of(st.none(), st.binary(max_size=9)))
def test_a_value_that_nobody_mended_comes_back_from_the_file_as_it_was(tmp_path_factory, value, key):
    given = letter(value=value, key=key, value_size=len(value or b""))
    file = tmp_path_factory.mktemp("lines") / "mend.jsonl"
    file.write_bytes(msgspec.json.encode(Line.of(given)) + b"\n\n")
    assert read_values(file) == {given.dead_letter_id: value}


@pytest.mark.parametrize(
    "text", [b"{", b"[]", b'{"dead_letter_id": "a", "valeu": "x"}', b'{"dead_letter_id": "a", "value_base64": "?"}']
)
def test_a_line_that_is_none_is_named(tmp_path, text):
    (tmp_path / "mend.jsonl").write_bytes(b'{"dead_letter_id": "a"}\n' + text)
    with pytest.raises(UserError, match=r"mend.jsonl, line 2: "):
        read_values(tmp_path / "mend.jsonl")
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_values(tmp_path / "none.jsonl")


def test_a_tally_counts_by_reason_and_day():
    counts = LetterCounts()
    for one in (letter(0), letter(1, refused_at=NOW + timedelta(days=1)), letter(2, code=RefusalCode.NOT_JSON)):
        counts.add(one)
    assert counts.total == 3
    assert counts.codes == {RefusalCode.MISSING_FIELD: 2, RefusalCode.NOT_JSON: 1}
    assert counts.days == {"2026-07-02": 2, "2026-07-03": 1}
