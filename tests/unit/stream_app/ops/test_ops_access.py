"""Nothing answers to strangers: beyond this machine a worker asks for its token, or does not start."""

import asyncio
import json
import signal
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from stream_app.audit.configuration import shown
from stream_app.ops.access import COOKIE, is_loopback, token
from stream_app.settings import Settings, SettingsError, environment, load
from tests.unit.stream_app.cli.cli_runner import stream_app
from tests.unit.stream_app.ops.test_ops_web import Worker

TOKEN = "correct-horse-battery"
BROWSER = {"accept": "text/html,application/xhtml+xml"}
CLOSED = (
    "/",
    "/api/state",
    "/static/app.js",
    "/nothing-here",
    "/metrics/",
    "/metrics/../api/state",
    "/health",
    "//metrics",
)


@pytest.fixture
def worker() -> Worker:
    return Worker(TOKEN)


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": TOKEN},
        {"cookie": f"{COOKIE}={TOKEN}"},
        {"cookie": f"{COOKIE}="},
    ],
    ids=["nothing", "wrong", "no scheme", "the token as cookie", "an empty cookie"],
)
def test_a_stranger_gets_nothing(worker: Worker, path: str, headers: dict[str, str]) -> None:
    answer = worker.http.get(path, headers)
    assert answer.status_code == 401
    assert "Bearer" in answer.headers["www-authenticate"]
    assert "Authorization: Bearer TOKEN" in answer.text


def test_monitoring_needs_no_token(worker: Worker) -> None:
    for path in ("/metrics", "/health/live", "/health/ready"):
        assert worker.http.get(path).status_code == 200


def test_a_program_sends_it_as_a_bearer_token(worker: Worker) -> None:
    for path in ("/", "/api/state", "/static/app.js"):
        assert worker.http.get(path, {"authorization": f"bearer {TOKEN}"}).status_code == 200


def signed_in(worker: Worker, typed: str) -> tuple[httpx.Response, httpx.Response]:
    """The answer to the form, and what the browser that sent it sees of the state then."""

    async def visit() -> tuple[httpx.Response, httpx.Response]:
        transport = httpx.ASGITransport(worker.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://worker") as browser:
            answer = await browser.post("/", data={"token": typed}, headers=BROWSER)
            return answer, await browser.get("/api/state")

    return asyncio.run(visit())


def test_a_browser_gets_a_form_and_with_the_token_a_cookie_that_scripts_and_other_sites_cannot_use(
    worker: Worker,
) -> None:
    form = worker.http.get("/", BROWSER)
    assert (form.status_code, '<form method="post">' in form.text) == (401, True)
    assert "form-action 'self'" in form.headers["content-security-policy"]
    answer, state = signed_in(worker, f" {TOKEN} ")
    assert (answer.status_code, answer.headers["location"]) == (303, "./")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert state.status_code == 200


@pytest.mark.parametrize("typed", ["", "wrong", TOKEN[:-1], "ü", "x" * 10_000, "\x00"])
def test_whoever_types_something_else_stays_outside(worker: Worker, typed: str) -> None:
    answer, state = signed_in(worker, typed)
    assert answer.status_code in (401, 413)
    assert "set-cookie" not in answer.headers
    assert state.status_code == 401


def test_the_cookie_of_another_token_is_worth_nothing(worker: Worker) -> None:
    other, _ = signed_in(Worker("another-token-of-16"), "another-token-of-16")
    given = {"cookie": other.headers["set-cookie"].split(";")[0]}
    assert worker.http.get("/api/state", given).status_code == 401


def test_without_a_token_everybody_on_this_machine_may_look() -> None:
    assert Worker().http.get("/api/state").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "worker.example", "127.0.0.1.example"])
def test_an_address_that_others_reach_needs_a_token(host: str) -> None:
    with pytest.raises(SettingsError, match="without a web_token: set STREAM_APP_WEB_TOKEN"):
        token(Settings(web_host=host))
    assert token(Settings(web_host=host, web_token=SecretStr(TOKEN))) == TOKEN


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_an_address_of_this_machine_alone_needs_none(host: str) -> None:
    assert is_loopback(host)
    assert token(Settings(web_host=host)) == ""


def test_a_worker_that_would_answer_to_strangers_does_not_start() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    result = stream_app("worker", STREAM_APP_WEB_HOST="0.0.0.0")
    assert signal.getsignal(signal.SIGTERM) is handler  # of what called it, here the run of the tests
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "web_host 0.0.0.0 is open to other machines, without a web_token" in result.stderr


def test_the_token_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    assert token(Settings(web_token_file=path)) == TOKEN
    with pytest.raises(SettingsError, match="keep one"):
        token(Settings(web_token_file=path, web_token=SecretStr(TOKEN)))
    path.write_text("\n")
    with pytest.raises(SettingsError, match="without a web_token"):
        token(Settings(web_token_file=path))
    with pytest.raises(SettingsError, match=r"web_token_file: .*: No such file"):
        token(Settings(web_token_file=tmp_path / "none"))


@pytest.mark.parametrize("weak", ["short", "x" * 15, "ü" * 16, "x" * 16 + "\n"])
def test_a_token_that_is_no_secret_or_that_no_header_takes_is_refused(weak: str) -> None:
    with pytest.raises(SettingsError, match="at least 16 printable ASCII characters") as error:
        token(Settings(web_token=SecretStr(weak)))
    assert weak not in str(error.value)


def test_the_token_is_on_no_log_no_trail_and_in_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings(web_token=SecretStr(TOKEN))
    assert TOKEN not in json.dumps([repr(settings), str(settings), shown(settings), environment(settings)])
    assert settings.model_dump(mode="json")["web_token"] != TOKEN
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stream_app.toml").write_text(f'web_token = ["{TOKEN}"]\n')
    with pytest.raises(SettingsError, match="web_token") as error:
        load()
    assert TOKEN not in str(error.value)
