"""The generated documents are current, valid, and say what is on the wire."""

import json
import re

import msgspec
import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from schemas import topics
from schemas.documents import FOLDER, documents, json_schema, structs, write
from schemas.drift import DriftAlert, StatisticKind
from schemas.topics import Topic
from tests.contract.examples import EXAMPLES

ASYNCAPI = json.loads((FOLDER / "asyncapi.json").read_text(encoding="utf-8"))


def test_the_committed_documents_are_those_that_the_structs_generate():
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert committed == documents(), "run `python -m schemas.documents` and commit schemas/generated/"


def test_writing_removes_the_document_of_a_topic_that_is_gone(tmp_path):
    (tmp_path / "gone.schema.json").write_text("{}")
    write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(documents())


@pytest.mark.parametrize("topic", [topic for topic in topics.ALL if structs(topic)], ids=lambda topic: topic.name)
def test_every_schema_is_valid_json_schema(topic: Topic):
    Draft202012Validator.check_schema(json_schema(topic))


def test_every_struct_has_an_example():
    assert {type(example) for example in EXAMPLES} == {struct for topic in topics.ALL for struct in structs(topic)}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_an_example_on_the_wire_is_valid_by_both_documents(example: msgspec.Struct):
    wire = json.loads(msgspec.json.encode(example))
    topic = next(topic for topic in topics.ALL if type(example) in structs(topic))
    committed = json.loads((FOLDER / f"{topic.name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator(committed).validate(wire)
    in_asyncapi = {"$ref": f"#/components/schemas/{type(example).__name__}", "components": ASYNCAPI["components"]}
    Draft7Validator(in_asyncapi).validate(wire)


def test_the_documented_wire_form_of_an_anomaly_is_the_one_of_the_design():
    wire = b"""
    {"anomaly_id": "transactions:3:118204", "event_id": "4782313", "entity": "596",
     "event_time": "2018-07-25T00:00:31Z", "scored_at": "2018-07-25T00:00:31.020Z",
     "score": 41.7, "threshold": 12.9, "p_value": 0.0007, "severity": "high",
     "explanation": [{"feature": "terminal_risk_7d", "value": 0.62, "expected": 0.01, "share": 0.71}],
     "model": {"name": "card-fraud", "version": "7", "sha256": "%s"},
     "source": {"topic": "transactions", "partition": 3, "offset": 118204}}""" % (b"ab" * 32)
    Draft202012Validator(json_schema(topics.ANOMALIES)).validate(json.loads(wire))
    msgspec.json.decode(wire, type=topics.ANOMALIES.record)


def test_a_refused_records_bytes_are_base64_on_the_wire():
    letter = next(example for example in EXAMPLES if type(example).__name__ == "DeadLetter")
    wire = json.loads(msgspec.json.encode(letter))
    assert (wire["value"], wire["key"], wire["headers"]) == ("/w==", None, [["trace", "AQ=="]])
    bad = {**wire, "headers": [["trace"]]}
    schema = {"$ref": "#/components/schemas/DeadLetter", "components": ASYNCAPI["components"]}
    assert not Draft7Validator(schema).is_valid(bad)


def test_an_alert_names_a_statistic_that_the_detectors_watch():
    wire = json.loads(msgspec.json.encode(next(example for example in EXAMPLES if type(example) is DriftAlert)))
    assert re.fullmatch(r"drift:[0-9a-f]{12}:\d+", wire["alert_id"])
    assert {shift["detector"] for shift in wire["signals"]} <= set(StatisticKind)
    wire["signals"][0]["detector"] = "adwin_mean"
    assert not Draft202012Validator(json_schema(topics.DRIFT_ALERTS)).is_valid(wire)


def test_asyncapi_names_every_topic_and_whether_the_system_reads_or_writes_it():
    assert set(ASYNCAPI["channels"]) == {topic.name for topic in topics.ALL}
    received = {op["channel"]["$ref"].rsplit("/")[-1] for op in _operations("receive")}
    sent = {op["channel"]["$ref"].rsplit("/")[-1] for op in _operations("send")}
    assert received == {"transactions", "labels", "model-swap"}
    assert received | sent == set(ASYNCAPI["channels"])
    assert received & sent == {"model-swap", "transactions"}  # which `rekey` writes


def test_of_an_event_the_documents_say_only_that_the_definition_describes_it():
    assert ASYNCAPI["components"]["messages"]["Event"]["payload"]["type"] == "object"
    assert not (FOLDER / "transactions.schema.json").exists()


def test_every_reference_inside_asyncapi_leads_somewhere():
    for reference in _references(ASYNCAPI):
        node = ASYNCAPI
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def _operations(action: str) -> list[dict]:
    return [operation for operation in ASYNCAPI["operations"].values() if operation["action"] == action]


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [reference for value in node.values() for reference in _references(value)]
    return [reference for entry in node for reference in _references(entry)] if isinstance(node, list) else []
