"""Documents for others, generated: a JSON Schema for each topic's records and for definitions, one AsyncAPI file.

`python -m schemas.documents` writes them to `schemas/generated/`; a test holds that they are current.
"""

import inspect
import json
from datetime import timedelta
from pathlib import Path
from types import UnionType
from typing import Any, cast, get_args

import msgspec

from schemas import topics
from schemas.definition import Definition
from schemas.topics import Topic

FOLDER = Path(__file__).parent / "generated"
CONTRACT_VERSION = "2.0.0"  # of the records: a removed or retyped field is a new major version
OUTSIDERS = ("producers", "case tools", "analysts", "operators")

Document = dict[str, Any]


def structs(topic: Topic) -> tuple[type[msgspec.Struct], ...]:
    """The structs that the topic's values may hold; none of the input, which a definition describes, and of bytes."""
    if topic is topics.TRANSACTIONS or topic.record is bytes:
        return ()
    return get_args(topic.record) if isinstance(topic.record, UnionType) else (topic.record,)


def json_schema(topic: Topic) -> Document:
    """JSON Schema (2020-12) of the topic's values."""
    schema = msgspec.json.schema(topic.record)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:stream-app:{topic.name}",
        "title": topic.name,
        "description": topic.description,
    }
    return head | cast("Document", _tidy(schema))


def asyncapi() -> Document:
    """AsyncAPI 3.0, seen from the system: it receives what others write and sends what it answers."""
    records = [struct for topic in topics.ALL for struct in structs(topic)]
    _, components = msgspec.json.schema_components(records, ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Streaming anomaly detection",
            "version": CONTRACT_VERSION,
            "description": "Every topic and record. Names may carry a deployment's prefix. Unknown fields are ignored.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in topics.ALL},
        "operations": dict(operation for topic in topics.ALL for operation in _operations(topic)),
        "components": {
            "messages": {name: message for topic in topics.ALL for name, message in _messages(topic).items()},
            "schemas": _draft_07(_tidy(components)),
        },
    }


def detector_schema() -> Document:
    """JSON Schema of a detector's definition, for editors: `#:schema PATH` in the first line of the TOML file."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:stream-app:detector",
        "title": "detector",
        "description": "The definition of a detector: which records it reads, and what its model sees of them.",
    }
    return head | cast("Document", _tidy(msgspec.json.schema(Definition)))


def documents() -> dict[str, str]:
    """File name to content, for every generated document."""
    schemas = {f"{topic.name}.schema.json": json_schema(topic) for topic in topics.ALL if structs(topic)}
    schemas["detector.schema.json"] = detector_schema()
    return {
        name: json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for name, document in {**schemas, "asyncapi.json": asyncapi()}.items()
    }


def write(folder: Path = FOLDER) -> None:
    """Write every document, and remove what no topic declares any more."""
    folder.mkdir(exist_ok=True)
    current = documents()
    for stale in set(folder.glob("*.json")) - {folder / name for name in current}:
        stale.unlink()
    for name, text in current.items():
        (folder / name).write_text(text, encoding="utf-8")


def _channel(topic: Topic) -> Document:
    forever = topic.retention == timedelta.max
    kafka: Document = {
        "topic": topic.name,
        "topicConfiguration": {
            "retention.ms": -1 if forever else int(topic.retention.total_seconds() * 1000),
            **{name: int(value) if value.isdigit() else value for name, value in topic.config.items()},
        },
        "bindingVersion": "0.5.0",
    }
    if topic.partitions is not None:
        kafka["partitions"] = topic.partitions
    return {
        "address": topic.name,
        "description": f"{topic.description} Written by: {topic.written_by}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _messages(topic)},
        "bindings": {"kafka": kafka},
    }


def _operations(topic: Topic) -> list[tuple[str, Document]]:
    """Receive what an outsider writes; send what the system writes. `model-swap` is both."""
    writers = topic.written_by.split(", ")
    actions = [
        *(["receive"] if any(writer in OUTSIDERS for writer in writers) else []),
        *(["send"] if any(writer not in OUTSIDERS for writer in writers) else []),
    ]
    return [
        (f"{action}-{topic.name}", {"action": action, "channel": {"$ref": f"#/channels/{topic.name}"}})
        for action in actions
    ]


def _messages(topic: Topic) -> dict[str, Document]:
    """Name to what stands on the topic; of an event the definition alone says what is in it."""
    payloads = {struct.__name__: {"$ref": f"#/components/schemas/{struct.__name__}"} for struct in structs(topic)}
    known = payloads or {"Event": {"type": "object", "description": topic.description}}
    return {name: _message(topic, name, payload) for name, payload in known.items()}


def _message(topic: Topic, name: str, payload: Document) -> Document:
    return {
        "name": name,
        "title": name,
        "payload": payload,
        "bindings": {"kafka": {"key": {"type": "string", "description": topic.key}, "bindingVersion": "0.5.0"}},
    }


def _tidy(node: Any) -> Any:
    """Descriptions come from docstrings: without the indentation of the source."""
    if isinstance(node, dict):
        return {
            key: inspect.cleandoc(value) if key == "description" and isinstance(value, str) else _tidy(value)
            for key, value in node.items()
        }
    return [_tidy(entry) for entry in node] if isinstance(node, list) else node


def _draft_07(node: Any) -> Any:
    """AsyncAPI schemas are draft 07: a tuple is `items` + `additionalItems`, and `items: false` would allow none."""
    if isinstance(node, list):
        return [_draft_07(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    converted = {key: _draft_07(value) for key, value in node.items() if key != "discriminator"}
    if "prefixItems" in converted:
        converted["additionalItems"] = converted.pop("items")
        converted["items"] = converted.pop("prefixItems")
    return converted


if __name__ == "__main__":
    write()
