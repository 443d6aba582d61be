"""What a worker answers over HTTP: probes with sentences, metrics as asked for, a page that can run nothing foreign."""

import asyncio
import re

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from stream_app.metrics import Metrics
from stream_app.ops.health import Liveness
from stream_app.ops.overview import StatusPage
from stream_app.ops.progress_metrics import ProgressCollector
from stream_app.ops.web import STATIC, application
from stream_app.pipeline.progress import Progress
from stream_app.settings import Settings
from tests.unit.stream_app.ops.ops_records import Clock, Topics, after, anomaly, running


class Http:
    """Asks an ASGI application, without a socket."""

    def __init__(self, app: ASGIApp) -> None:
        self._transport = httpx.ASGITransport(app)

    def get(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://worker") as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(ask())


class Worker:
    """A worker's web application over a pipeline that the test drives."""

    def __init__(self, token: str = "", ids_shown: int | None = None) -> None:
        self.clock = Clock()
        self.progress = Progress()
        self.board = Topics(self.clock, ids_shown).board
        liveness = Liveness(self.progress, 30.0, self.clock.monotonic)
        registry = CollectorRegistry()
        self.metrics = Metrics(registry)
        ProgressCollector(self.progress, registry)
        page = StatusPage(Settings(worker_id="w"), self.progress, liveness, self.board, self.clock.now)
        self.app = application(page, registry, token)
        self.http = Http(self.app)
        self.progress.latest = running(self.clock)


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_probes_answer_200_with_a_sentence_while_all_is_well(worker: Worker) -> None:
    for path in ("/health/live", "/health/ready"):
        answer = worker.http.get(path)
        assert answer.status_code == 200
        assert answer.json()["ok"] is True
        assert answer.json()["sentence"].endswith(".")


def test_a_dead_pipeline_answers_503_and_says_why(worker: Worker) -> None:
    worker.clock.advance(31)
    answer = worker.http.get("/health/live")
    assert answer.status_code == 503
    assert "has not turned for 31 s" in answer.json()["sentence"]


def test_a_worker_without_a_model_is_alive_but_not_ready(worker: Worker) -> None:
    worker.progress.latest = running(worker.clock, ready=False, model=None, state="waiting for a model")
    assert worker.http.get("/health/live").status_code == 200
    assert worker.http.get("/health/ready").status_code == 503


def test_metrics_speak_openmetrics_to_who_asks_and_plain_text_to_others(worker: Worker) -> None:
    worker.metrics.scored.inc(3)
    plain = worker.http.get("/metrics", headers={"accept": "*/*"})
    assert plain.headers["content-type"].startswith("text/plain")
    assert "stream_app_transactions_scored_total 3.0" in plain.text
    modern = worker.http.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    assert modern.text.endswith("# EOF\n")


def test_the_state_is_json_that_no_cache_keeps(worker: Worker) -> None:
    worker.board.post(anomaly(4), after(0))
    answer = worker.http.get("/api/state")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["anomalies"][0]["anomaly"]["explanation"][0]["feature"] == "amount"


@pytest.mark.parametrize("path", ["/", "/api/state", "/static/app.js", "/nothing-here", "/static/../web.py"])
def test_every_answer_forbids_foreign_code_errors_included(worker: Worker, path: str) -> None:
    answer = worker.http.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_needs_nothing_from_anywhere_else_and_finds_all_its_files(worker: Worker) -> None:
    page = worker.http.get("/").text
    linked = re.findall(r'(?:src|href)="([^"#]+)"', page)
    for script in STATIC.glob("*.js"):
        linked += [f"static/{name}" for name in re.findall(r'from "\./([^"]+)"', script.read_text())]
    assert len(linked) > 5
    for link in linked:
        assert not re.match(r"(https?:)?//", link)
        assert worker.http.get(link).status_code in (200, 503), link


def test_the_page_has_no_inline_code_that_the_policy_would_stop(worker: Worker) -> None:
    page = worker.http.get("/").text
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", page)


def test_no_string_of_an_event_can_become_markup() -> None:
    """Records are shown through text nodes alone; the ways to make markup of a string are not used anywhere."""
    for script in STATIC.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|srcdoc", script.read_text()
        )


def test_a_link_from_a_record_leads_to_http_and_nowhere_else() -> None:
    """Links are made by `el` with `href`: to a place on this page, or to an address that is looked at first."""
    source = "".join(script.read_text() for script in STATIC.glob("*.js"))
    links = re.findall(r"\bhref\b: ([^ ]+)", source)
    assert len(links) == source.count("href") == 4
    assert [link for link in links if not link.startswith(("`#", '"#'))] == ["vitals.web_url"]
    assert r"const link = /^https?:\/\//.test(vitals.web_url)" in source
    assert not re.search(r"""setAttribute\(["']on|\.(src|action|location)\s*=|window\.open""", source)


def test_only_the_static_folder_is_served(worker: Worker) -> None:
    assert worker.http.get("/static/%2e%2e/web.py").status_code == 404
    assert worker.http.get("/", method="POST").status_code == 405
