"""What a worker shows over HTTP: the page, its document, the metrics, the probes. Reads only.

Served from inside the Faust worker, on its event loop: every answer is put together from memory in a few milliseconds.
"""

from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream_app.ops.access import TokenGate
from stream_app.ops.health import Health
from stream_app.ops.overview import StatusPage

STATIC = Path(__file__).parent / "static"

# The page shows strings from anybody's events and never makes markup of them; should it ever, the browser runs none.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def application(overview: StatusPage, registry: CollectorRegistry, token: str) -> Starlette:
    """The ASGI application of one worker.

    Args:
        token: What a visitor has to know; empty: everybody who reaches the address may look.
    """

    async def page(_: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    async def state(_: Request) -> Response:
        return _json(overview.document())

    async def anomalies(request: Request) -> Response:
        asked = request.query_params
        return _json({"anomalies": overview.board.anomalies(asked.get("id"), asked.get("entity"))})

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type, "cache-control": "no-store"})

    async def live(_: Request) -> Response:
        return _probe(overview.liveness.check())

    async def ready(_: Request) -> Response:
        return _probe(overview.ready)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/api/state", state),
            Route("/api/anomalies", anomalies),
            Route("/metrics", metrics),
            Route("/health/live", live),
            Route("/health/ready", ready),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(SecurityHeaders), Middleware(TokenGate, token)],
    )


class SecurityHeaders:
    """Puts `HEADERS` on every answer, errors included, where it has none of that name."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the headers added to the start of the answer."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = dict(message.get("headers", []))
                extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *(h for h in extra if h[0] not in given)]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _probe(health: Health) -> Response:
    return _json(health, 200 if health.ok else 503)


def _json(body: object, status: int = 200) -> Response:
    # msgspec knows the structs; NaN becomes null, as in any JSON.
    content = msgspec.json.encode(body)
    return Response(content, status, media_type="application/json", headers={"cache-control": "no-store"})
