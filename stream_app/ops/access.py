"""Who may see a worker's page: everybody on this machine, and beyond it only those who know `web_token`.

Probes and metrics answer without it, because they show figures alone. A browser gets a form for the token and keeps a
cookie that is derived from it; a program sends it as a bearer token. Workers with the same token take each other's
cookies.
"""

import hashlib
import hmac
import ipaddress
from base64 import b64encode
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from stream_app.settings import Settings, SettingsError

COOKIE = "stream_app"
FORM_MAX_BYTES = 4096
LEAST_CHARACTERS = 16
ADVICE = "set STREAM_APP_WEB_TOKEN or web_token_file (a new one: openssl rand -hex 16)"
STYLE = "body{font:15px system-ui,sans-serif;margin:20vh auto;max-width:22em;padding:0 16px}input,button{font:inherit}"
FORM = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>stream-app</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>{STYLE}</style></head><body><h1>stream-app</h1><p role="status">%s</p>
<form method="post"><label>Token <input name="token" type="password" autocomplete="current-password" autofocus
required></label> <button>Show the page</button></form></body></html>"""
FORM_POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def token(settings: Settings) -> str:
    """What a visitor has to know; empty where everybody on this machine may look.

    Raises:
        SettingsError: it is needed and missing, cannot be read, is too short, or is given twice.
    """
    given, path = settings.web_token, settings.web_token_file
    if given is not None and path is not None:
        raise SettingsError("web_token and web_token_file are both set: keep one")
    try:
        found = given.get_secret_value() if given else path.read_text("utf-8").strip() if path else ""
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"web_token_file: {path}: {getattr(error, 'strerror', 'is not text')}") from error
    if not found and (given or path or not is_loopback(settings.web_host)):
        raise SettingsError(f"web_host {settings.web_host} is open to other machines, without a web_token: {ADVICE}")
    if found and (len(found) < LEAST_CHARACTERS or not found.isascii() or not found.isprintable()):
        raise SettingsError(f"web_token needs at least {LEAST_CHARACTERS} printable ASCII characters: {ADVICE}")
    return found


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone; a name other than localhost may lead anywhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class TokenGate:
    """Lets through who knows the token; everybody, where there is none."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token
        self._cookie = hmac.new(token.encode(), b"cookie of the page", hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer in place of the application."""
        if not self._token or scope["type"] != "http" or is_public(scope["path"]):
            return await self._app(scope, receive, send)
        request = Request(scope, receive)
        if self._known(request):
            return await self._app(scope, receive, send)
        answer = await self._sign_in(request) if request.method == "POST" else _refused(request)
        return await answer(scope, receive, send)

    def _known(self, request: Request) -> bool:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        bearer = kind.lower() == "bearer" and _same(given.strip(), self._token)
        return bearer or _same(request.cookies.get(COOKIE, ""), self._cookie)

    async def _sign_in(self, request: Request) -> Response:
        """The form came back: a cookie and the page again, or the form again."""
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > FORM_MAX_BYTES:
                return PlainTextResponse("too large for the form\n", 413)
        given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0].strip()
        if not _same(given, self._token):
            return _form("That is not the token. Whoever runs this worker has it: web_token.")
        answer = RedirectResponse("./", 303, {"cache-control": "no-store"})
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, self._cookie, httponly=True, samesite="strict", secure=secure)
        return answer


def is_public(path: str) -> bool:
    """Whether a path shows figures alone: for monitoring, which has no token."""
    return path == "/metrics" or path.startswith("/health/")


def _same(given: str, right: str) -> bool:
    """In constant time: how long it takes tells nothing about the right one."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), right.encode())


def _refused(request: Request) -> Response:
    if "text/html" in request.headers.get("accept", ""):
        return _form("This worker shows its page to those who have its token.")
    headers = {"www-authenticate": 'Bearer realm="stream-app"', "cache-control": "no-store"}
    return PlainTextResponse("the token is missing or wrong: send it as Authorization: Bearer TOKEN\n", 401, headers)


def _form(sentence: str) -> Response:
    headers = {"www-authenticate": 'Bearer realm="stream-app"', "cache-control": "no-store"}
    return HTMLResponse(FORM % sentence, 401, {**headers, "content-security-policy": FORM_POLICY})
