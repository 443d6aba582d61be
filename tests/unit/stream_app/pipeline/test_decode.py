"""Decoding: every record is either columns or a refusal with a reason, whatever the bytes."""

import math
from datetime import datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.definition import Input
from schemas.scoring import BLANKS, RefusalCode
from stream_app.pipeline.decode import Decoder
from stream_app.testing.tiny_model import segments_of
from tests.unit.stream_app.pipeline.rows import DEFINITION, INPUTS, encoded, event, raw

LIMIT = 10_000
decode = Decoder(DEFINITION, LIMIT)
by_currency = Decoder(DEFINITION, LIMIT, segments_of("currency", "EUR", "US$", "\u20ac"))


def test_the_inputs_come_out_in_the_order_of_the_manifest():
    decoded = decode(raw(encoded(amount=5, features={"terminal_risk_7d": 0.25, "customer_nb_tx_1d": 3, "unread": "x"})))
    assert decoded.inputs.tolist() == [[5.0, 3.0, 0.25]]
    assert decoded.inputs.dtype == np.float32
    assert decoded.event_ids == ["4782313"]
    assert decoded.event_times[0].isoformat() == "2018-07-25T00:00:31+00:00"


@pytest.mark.parametrize("features", [..., {}, {"customer_nb_tx_1d": None, "terminal_risk_7d": None}])
def test_what_may_be_imputed_may_be_absent_or_null(features):
    decoded = decode(raw(encoded(features=features)))
    assert np.isnan(decoded.inputs[0, 1:]).all()
    assert not decoded.refused


REFUSED = {
    "a tombstone": (None, RefusalCode.EMPTY),
    "no bytes": (b"", RefusalCode.EMPTY),
    "blanks": (b"  \n", RefusalCode.EMPTY),
    "not JSON": (b"amount=3", RefusalCode.NOT_JSON),
    "half of it": (encoded()[:-5], RefusalCode.NOT_JSON),
    "UTF-16": (encoded().decode().encode("utf-16"), RefusalCode.NOT_JSON),
    "Latin-1 in an id": (encoded(customer_id="K?ln").replace(b"?", b"\xf6"), RefusalCode.NOT_JSON),
    "NaN": (encoded().replace(b"57.16", b"NaN"), RefusalCode.NOT_JSON),
    "Infinity": (encoded().replace(b"57.16", b"Infinity"), RefusalCode.NOT_JSON),
    "infinite": (encoded().replace(b"57.16", b"1e999"), RefusalCode.OUT_OF_RANGE),
    "infinite as a float32": (encoded(amount=1e300), RefusalCode.OUT_OF_RANGE),
    "a feature infinite as a float32": (encoded(features={"terminal_risk_7d": -1e39}), RefusalCode.OUT_OF_RANGE),
    "a negative amount": (encoded(amount=-0.01), RefusalCode.OUT_OF_RANGE),
    "an array": (b"[1, 2]", RefusalCode.WRONG_TYPE),
    "null": (b"null", RefusalCode.WRONG_TYPE),
    "a number as text": (encoded(amount="57.16"), RefusalCode.WRONG_TYPE),
    "a boolean amount": (encoded(amount=True), RefusalCode.WRONG_TYPE),
    "a null amount": (encoded(amount=None), RefusalCode.WRONG_TYPE),
    "an id that is a fraction": (encoded(transaction_id=4782313.5), RefusalCode.WRONG_TYPE),
    "an entity that is true": (encoded(customer_id=True), RefusalCode.WRONG_TYPE),
    "a time that is a number": (encoded(event_time=1532476831), RefusalCode.WRONG_TYPE),
    "features that are a list": (encoded(features=[1.0]), RefusalCode.WRONG_TYPE),
    "a feature that is text": (encoded(features={"terminal_risk_7d": "high"}), RefusalCode.WRONG_TYPE),
    "an empty id": (encoded(customer_id=""), RefusalCode.OUT_OF_RANGE),
    "a time without a zone": (encoded(event_time="2018-07-25T00:00:31"), RefusalCode.OUT_OF_RANGE),
    "a time that is none": (encoded(event_time="yesterday"), RefusalCode.OUT_OF_RANGE),
    "the 30th of February": (encoded(event_time="2018-02-30T00:00:00Z"), RefusalCode.OUT_OF_RANGE),
    "no id": (encoded(transaction_id=...), RefusalCode.MISSING_FIELD),
    "no customer": (encoded(customer_id=...), RefusalCode.MISSING_FIELD),
    "no time": (encoded(event_time=...), RefusalCode.MISSING_FIELD),
    "no amount": (encoded(amount=...), RefusalCode.MISSING_FIELD),
    "deep nesting": (encoded(currency="?").replace(b'"?"', b"[" * 4000 + b"]" * 4000), RefusalCode.TOO_DEEP),
    "2 MB": (encoded(currency="x" * 2_000_000), RefusalCode.TOO_LARGE),
}


@pytest.mark.parametrize(("value", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_record_is_refused_with_its_code_and_costs_no_other(value, code):
    decoded = decode(raw(encoded(), value, encoded()))
    assert decoded.rows.tolist() == [0, 2]
    assert len(decoded.inputs) == len(decoded.event_ids) == len(decoded.event_times) == 2
    (refusal,) = decoded.refused
    assert (refusal.row, refusal.code) == (1, code), refusal.sentence
    assert refusal.sentence


def test_an_input_that_must_be_there_is_refused_when_missing():
    needed = Input("terminal_risk_7d", "features.terminal_risk_7d", "share", "reject")
    strict = Decoder(replace(DEFINITION, inputs=(needed,)), LIMIT)
    decoded = strict(raw(encoded(features={}), encoded(features=...), encoded()))
    assert [refusal.code for refusal in decoded.refused] == [RefusalCode.MISSING_FIELD] * 2
    assert decoded.inputs.tolist() == [[0.0]]


def test_an_empty_batch_is_no_special_case():
    decoded = decode(raw())
    assert decoded.inputs.shape == (0, len(INPUTS))


@given(st.lists(st.binary(max_size=60) | st.none(), max_size=8))
def test_any_bytes_are_either_accepted_or_refused_and_never_both(values):
    decoded = decode(raw(*values))
    places = [*decoded.rows.tolist(), *(refusal.row for refusal in decoded.refused)]
    assert sorted(places) == list(range(len(values)))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def test_a_record_that_is_not_whole_is_not_completed_by_the_next_one():
    """Found by the fuzzer: as many values as records, of two records that are none."""
    good = encoded()
    values = [good[:-1], b"}" + good, good]
    assert [refusal.row for refusal in Decoder(DEFINITION, 10_000)(raw(*values)).refused] == [0, 1]
    assert len(Decoder(DEFINITION, 10_000)(raw(good + good, b"", good)).rows) == 1
    assert len(Decoder(DEFINITION, 10_000)(raw(good, good + b"null")).rows) == 1
    assert len(Decoder(DEFINITION, 10_000)(raw(good + b"null null")).rows) == 0


@given(st.dictionaries(st.sampled_from(list(event())), json_values | st.just(...)))
def test_what_is_accepted_is_finite_or_missing(changes):
    decoded = decode(raw(encoded(**changes)))
    assert len(decoded.rows) + len(decoded.refused) == 1
    assert not np.isinf(decoded.inputs).any()
    assert all(math.isfinite(amount) and amount >= 0 for amount in decoded.inputs[:, 0])


@given(
    st.floats(0, 2.0**100, width=32, allow_subnormal=False),
    st.none() | st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False),
    st.text(min_size=1).filter(lambda text: text.strip(BLANKS)),
    st.datetimes(datetime(2000, 1, 1), datetime(2018, 7, 26)),
)
def test_what_producers_write_is_what_the_model_reads(amount, risk, customer, when):
    value = msgspec.json.encode(
        event(
            amount=amount, features={"terminal_risk_7d": risk}, customer_id=customer, event_time=when.isoformat() + "Z"
        )
    )
    decoded = decode(raw(value))
    assert decoded.entities == [customer]
    assert decoded.inputs[0, 0] == np.float32(amount)
    assert (np.isnan(decoded.inputs[0, 2]) and risk is None) or decoded.inputs[0, 2] == np.float32(risk)


WRITTEN = {
    b'"EUR"': 1,
    b' "EUR" ': 1,
    b'"\\u0045UR"': 1,
    b'"US$"': 2,
    '"\u20ac"'.encode(): 3,
    b'"\\u20ac"': 3,
    b'"GBP"': 0,
    b'""': 0,
    b"null": 0,
    b"978": 0,
    b"true": 0,
    b"1e999": 0,
    b'["EUR"]': 0,
    b'{"is":"EUR"}': 0,
    b'"\xf6"': 0,
}


@pytest.mark.parametrize(("value", "segment"), WRITTEN.items())
def test_a_record_is_in_the_segment_that_its_field_says_however_it_is_written_and_refused_for_none(value, segment):
    record = encoded(currency="?").replace(b'"?"', value)
    decoded = by_currency(raw(encoded(), record, encoded()))
    assert decoded.segments.tolist() == [1, segment, 1]
    assert not decoded.refused


@pytest.mark.parametrize(
    ("value", "segment"),
    {b"1": 1, b"1.0": 1, b"2.50": 2, b'"1"': 1, b'"1.0"': 0, b"true": 3, b"false": 0, b"-1": 0, b"1e300": 0}.items(),
)
def test_a_number_is_in_the_segment_of_its_text(value, segment):
    by_channel = Decoder(DEFINITION, LIMIT, segments_of("currency", "1", "2.5", "true"))
    record = encoded(currency="?").replace(b'"?"', value)
    assert by_channel(raw(record)).segments.tolist() == [segment]


def test_a_record_without_the_field_is_in_no_segment_and_a_model_without_segments_reads_none():
    assert by_currency(raw(encoded(currency=...), encoded())).segments.tolist() == [0, 1]
    assert by_currency(raw()).segments.tolist() == []
    assert decode(raw(encoded())).segments is None


def test_rows_keep_their_segment_when_others_are_refused():
    decoded = by_currency(raw(encoded(), encoded(currency="US$", amount=1e300), encoded(currency="\u20ac"), None))
    assert decoded.segments.tolist() == [1, 3]
    assert decoded.keep(np.array([False, True])).segments.tolist() == [3]


def test_a_field_that_every_record_must_have_can_be_watched_too():
    by_customer = Decoder(DEFINITION, LIMIT, segments_of("customer_id", "596"))
    assert by_customer(raw(encoded(), encoded(customer_id="597"))).segments.tolist() == [1, 0]


def test_values_are_dealt_to_the_same_groups_in_every_process():
    """By their CRC-32, as zip files have it: 0x8bf850db, of which the last digit in base 16 is 11."""
    by_terminal = Decoder(DEFINITION, LIMIT, segments_of("terminal_id", "3", "11", groups=16))
    records = encoded(), encoded(terminal_id=""), encoded(terminal_id=3156)
    assert by_terminal(raw(*records)).segments.tolist() == [2, 0, 2]


GOOD = [encoded(transaction_id=str(number)) for number in range(3)]
PRETTY = msgspec.json.format(GOOD[0])
PIECES = [
    *GOOD,
    PRETTY,
    GOOD[0] + b"\n" + GOOD[1],
    PRETTY[:40],
    PRETTY[40:],
    GOOD[0][:30],
    GOOD[0][30:],
    b"\n",
    b"",
    None,
    encoded(currency="US$"),
    encoded(currency=None),
    encoded(currency={"nested": ["EUR"]}),
    encoded(currency="?").replace(b'"?"', b'"\xf6"'),
]


@given(st.lists(st.sampled_from(PIECES), max_size=6))
def test_a_record_means_the_same_whatever_stands_beside_it(values):
    """Also where records hold line ends, two events, or halves that would be one event together."""
    together, alone = by_currency(raw(*values)), [by_currency(raw(value)) for value in values]
    accepted = [identity for one in alone for identity in one.event_ids]
    assert together.event_ids == accepted
    assert together.rows.tolist() == [row for row, one in enumerate(alone) if len(one.rows)]
    refused = [(row, one.refused[0].code) for row, one in enumerate(alone) if one.refused]
    assert [(refusal.row, refusal.code) for refusal in together.refused] == refused
    assert together.segments.tolist() == [segment for one in alone for segment in one.segments.tolist()]


@given(st.lists(json_values.map(lambda value: encoded(currency=value)) | st.sampled_from(PIECES), max_size=6))
def test_no_record_is_refused_or_read_in_another_way_because_it_is_watched_by_a_field(values):
    without, watched = decode(raw(*values)), by_currency(raw(*values))
    assert without.refused == watched.refused
    assert without.rows.tolist() == watched.rows.tolist()
    np.testing.assert_array_equal(without.inputs, watched.inputs)
