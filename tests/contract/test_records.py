"""What every record promises to whoever writes or reads it, for any valid content."""

import json
import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas import topics
from schemas.documents import json_schema, structs
from schemas.drift import DriftSummary
from schemas.scoring import Score
from schemas.topics import Topic
from tests.contract.examples import EXAMPLES
from tests.contract.records import records

WRITTEN = [topic for topic in topics.ALL if structs(topic)]  # the input is the producers'
TOPICS = pytest.mark.parametrize("topic", WRITTEN, ids=lambda topic: topic.name)
SCORE = msgspec.to_builtins(next(example for example in EXAMPLES if isinstance(example, Score)))
PROPERTY = settings(max_examples=min(30, settings().max_examples))


ANYTHING_ON = {topic.name: st.one_of(*map(records, structs(topic))) for topic in WRITTEN}
VALIDATORS = {
    topic.name: Draft202012Validator(json_schema(topic), format_checker=Draft202012Validator.FORMAT_CHECKER)
    for topic in WRITTEN
}


@TOPICS
@PROPERTY
@given(data=st.data())
def test_a_record_is_read_as_it_was_written(topic: Topic, data: st.DataObject):
    record = data.draw(ANYTHING_ON[topic.name])
    assert msgspec.json.decode(msgspec.json.encode(record), type=topic.record) == record


@TOPICS
@PROPERTY
@given(data=st.data())
def test_a_written_record_is_valid_by_the_json_schema_of_its_topic(topic: Topic, data: st.DataObject):
    VALIDATORS[topic.name].validate(json.loads(msgspec.json.encode(data.draw(ANYTHING_ON[topic.name]))))


@TOPICS
@PROPERTY
@given(data=st.data())
def test_fields_that_a_reader_does_not_know_are_ignored(topic: Topic, data: st.DataObject):
    record = data.draw(ANYTHING_ON[topic.name])
    newer = {**json.loads(msgspec.json.encode(record)), "added_later": {"x": 1}}
    assert msgspec.json.decode(json.dumps(newer), type=topic.record) == record


@TOPICS
@PROPERTY
@given(data=st.data())
def test_a_record_without_one_of_its_required_fields_is_refused(topic: Topic, data: st.DataObject):
    record = data.draw(ANYTHING_ON[topic.name])
    required = [field for field in msgspec.structs.fields(record) if field.required]
    missing = data.draw(st.sampled_from(required)).encode_name
    partial = {name: value for name, value in msgspec.to_builtins(record).items() if name != missing}
    with pytest.raises(msgspec.ValidationError, match=f"missing required field `{missing}`"):
        msgspec.json.decode(msgspec.json.encode(partial), type=topic.record)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_never_passes(value: float):
    record = {**SCORE, "score": value}
    for encode in (json.dumps, msgspec.json.encode):  # the one writes NaN, which is not JSON; the other null
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode(encode(record), type=Score)


def test_a_time_without_an_offset_is_refused():
    record = json.dumps({**SCORE, "event_time": "2018-07-25T00:00:31"})
    with pytest.raises(msgspec.ValidationError, match="timezone"):
        msgspec.json.decode(record, type=Score)


def test_the_ledger_of_a_worker_of_before_the_sums_were_nested_is_still_read():
    older = {
        "partition": 3, "from_offset": 0, "to_offset": 5, "scored": 4, "dead_lettered": 1, "anomalies": 0,
        "model_sha256": "ab" * 32, "worker": "w", "event_time_min": None, "event_time_max": None, "signals": ["score"],
        "missing": [0], "mean": [1.2], "m2": [4.5], "tail": [1], "histogram": [[1, 3]], "clipped": [1.0],
        "segments": [{"segment": "currency=USD", "scored": 1, "anomalies": 0, "missing": [0], "mean": [1.0]}],
    }  # fmt: skip
    read = msgspec.json.decode(json.dumps(older), type=DriftSummary)
    assert (read.to_offset, read.scored, read.dead_lettered, read.sums, read.by_segment) == (5, 4, 1, None, {})
