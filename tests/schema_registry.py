"""A stand-in for a schema registry: a small HTTP server that answers as Confluent's does. The real one is Java's."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class StandInRegistry:
    """What the server has.

    Attributes:
        schemas: Number, or GUID, to what it answers.
        subjects: Subject and version to what it answers.
        credentials: `user:password` that it asks for; empty: nothing.
        status: What it answers in place of everything else; 0: nothing is wrong.
        asked: The paths that were asked for.
        sent: The credentials that came with them.
        url: Where it is.
    """

    def __init__(self) -> None:
        self.schemas: dict[str, dict[str, Any]] = {}
        self.subjects: dict[tuple[str, str], dict[str, Any]] = {}
        self.credentials = ""
        self.status = 0
        self.asked: list[str] = []
        self.sent: list[str | None] = []
        self.url = ""

    def add(self, number: int, schema: object, **fields: Any) -> None:
        text = schema if isinstance(schema, str) else json.dumps(schema)
        self.schemas[str(number)] = {"schema": text} | fields

    def answer(self, path: str, authorization: str | None) -> tuple[int, Any]:
        self.asked.append(path)
        self.sent.append(authorization)
        if self.status:
            return self.status, {"error_code": self.status * 100, "message": "as told"}
        basic = f"Basic {base64.b64encode(self.credentials.encode()).decode()}"
        if self.credentials and authorization not in (basic, f"Bearer {self.credentials}"):
            return 401, {"error_code": 401, "message": "Unauthorized"}
        place, _, query = path.partition("?")
        parts = place.strip("/").split("/")
        if parts == ["subjects"]:
            return 200, sorted({subject for subject, _ in self.subjects})
        found = None
        if parts[:2] in (["schemas", "ids"], ["schemas", "guids"]):
            found = self.schemas.get(parts[2])
        elif parts[0] == "subjects":
            found = self.subjects.get((parts[1], parts[3]))
        else:
            return 404, "no such page"
        if found is not None and query == "format=serialized" and "serialized" in found:
            found = found | {"schema": found["serialized"]}
        return (404, {"error_code": 40403, "message": "Schema not found"}) if found is None else (200, found)


@contextmanager
def stand_in_registry() -> Iterator[StandInRegistry]:
    """A server on this machine, for the length of the block."""
    registry = StandInRegistry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, answer = registry.answer(self.path, self.headers["Authorization"])
            body = json.dumps(answer).encode()
            self.send_response(status)
            if status in (301, 302):
                self.send_header("Location", f"{registry.url}/subjects")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """In silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
