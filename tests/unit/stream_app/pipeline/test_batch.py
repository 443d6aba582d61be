"""Batches: rows are kept or refused in all columns alike, and none is lost on the way."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.scoring import RefusalCode
from stream_app.pipeline.batch import Decoded
from stream_app.pipeline.decode import Decoder
from stream_app.testing.tiny_model import segments_of
from tests.unit.stream_app.pipeline.rows import DEFINITION, encoded, raw

decode = Decoder(DEFINITION, 10_000, segments_of("currency", "EUR", "USD"))
CURRENCIES = ["EUR", "USD", "GBP"]


def batch(rows: int) -> Decoded:
    """Every column tells the row."""
    values = [
        encoded(transaction_id=f"t{i}", customer_id=f"c{i}", amount=float(i), currency=CURRENCIES[i % 3])
        for i in range(rows)
    ]
    return decode(raw(b"bad", *values))


def rows_of(decoded: Decoded) -> list[list[int]]:
    """The row that each column tells."""
    return [
        [row - 1 for row in decoded.rows.tolist()],
        [int(amount) for amount in decoded.inputs[:, 0]],
        [int(name[1:]) for name in decoded.event_ids],
        [int(name[1:]) for name in decoded.entities],
    ]


@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_the_same_rows_are_kept_in_every_column(mask: list[bool]) -> None:
    kept = batch(len(mask)).keep(np.array(mask))
    expected = [row for row, keep in enumerate(mask) if keep]
    assert rows_of(kept) == [expected] * 4
    assert kept.segments.tolist() == [(row + 1) % 3 if row % 3 < 2 else 0 for row in expected]
    assert len(kept.event_times) == len(expected)
    assert [refusal.row for refusal in kept.refused] == [0]


@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_what_is_refused_later_is_added_to_what_was_refused_before_and_no_row_is_lost(mask: list[bool]) -> None:
    left = batch(len(mask)).refuse(
        {i: "no finite score" for i, gone in enumerate(mask) if gone}, RefusalCode.NOT_SCORABLE
    )
    refused = [refusal.row for refusal in left.refused]
    assert refused == [0, *(row + 1 for row, gone in enumerate(mask) if gone)]
    assert sorted([*refused, *left.rows.tolist()]) == list(range(len(mask) + 1))
    assert {refusal.code for refusal in left.refused[1:]} <= {RefusalCode.NOT_SCORABLE}
