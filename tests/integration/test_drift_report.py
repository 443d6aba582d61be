"""A drifted stream on a real Kafka, through a real worker, to the page that explains it and loads nothing."""

import json
import threading
from html.parser import HTMLParser

import msgspec
import numpy as np
import polars as pl
import pytest

from models import artefact
from models.data.drift import Drift
from models.data.events import encode
from models.data.frame import write
from models.data.simulator import Simulation, simulate
from models.definition import cards, segmented
from models.recipe import TrainingConfig
from models.training import train
from schemas import topics as declared
from schemas.drift import DriftSummary
from schemas.topics import DRIFT_ALERTS, DRIFT_SUMMARIES
from stream_app.cli.publish import PROPERTIES, PacedProducer
from stream_app.drift.published import published
from stream_app.kafka import clients, topics
from stream_app.kafka.log import read_to_end
from stream_app.report import report
from stream_app.report.comparison import compare
from stream_app.report.page import script_digests
from stream_app.report.rows import Rows
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from tests.integration.test_cli import environment
from tests.markup import MARKUP, Page
from tests.unit.stream_app.cli.cli_runner import stream_app
from tests.workers import running

pytestmark = pytest.mark.kafka

TRAINED_DAYS, DAYS = 7, 13
CHANGE = "2018-04-12T00:00:00Z"
# Summaries are never split: with large batches a busy machine would make few and large blocks, too few for ADWIN.
SMALL = {"batch_max_events": 32, "commit_interval_ms": 1, "drift_block_events": 64}


@pytest.fixture(scope="module")
def frame():
    return simulate(Simulation(days=DAYS, customers=800, seed=3, drift=Drift.parse("amount_unit@2018-04-12")))


@pytest.fixture
def drifted(settings, frame, tmp_path, wait_until):
    """Topics with what a worker made of a stream in which amounts double, and the training data as a file."""
    own = settings.model_copy(update=SMALL)
    topics.ensure(own, declared.ALL)
    days = (frame["event_time"] - frame["event_time"][0]).dt.total_days()
    rows = frame.filter(days < TRAINED_DAYS).with_columns(currency=pl.lit("EUR"))
    fitted = train(rows, segmented(cards(), "currency"), TrainingConfig(epochs=4), "card-fraud", "1")
    artefact.save(tmp_path / "1.pt", *fitted)
    write(frame, tmp_path / "history.parquet")
    commands.deploy(own, Order("test", timeout_s=0), tmp_path / "1.pt")
    with running(own, tmp_path) as worker:
        worker.await_ready()
        events = [(key, value) for key, value, _ in encode(frame.filter(days >= TRAINED_DAYS))]
        publisher = PacedProducer(clients.producer(own, **PROPERTIES), threading.Event())
        publisher.publish(topics.name(own, declared.TRANSACTIONS), events, None, lambda done: None)
        wait_until(lambda: sum(scored for scored, *_ in summarised(own)) == len(events), 60)
        wait_until(lambda: about_the_amount(raised(own)), 60)
    return own


def raised(settings):
    return [incident.alert for incident in published(read_to_end(settings, DRIFT_ALERTS))]


def summarised(settings):
    """Of each summary of anything: how many, their histogram, and the same of its segments."""
    for message in read_to_end(settings, DRIFT_SUMMARIES):
        summary = msgspec.json.decode(message.value(), type=DriftSummary)
        if summary.scored:
            yield (
                summary.scored,
                summary.sums.histogram,
                [(label, s.scored, s.sums.histogram) for label, s in summary.by_segment.items()],
            )


def about_the_amount(alerts):
    """A week of few customers has other news too."""
    return [alert for alert in alerts if "amount" in alert.cause]


@pytest.fixture
def cli(drifted):
    def run(*args):
        return stream_app(
            *args,
            "--topic-prefix",
            drifted.topic_prefix,
            **environment(drifted),
            STREAM_APP_DRIFT_BLOCK_EVENTS=drifted.drift_block_events,
        )

    return run


class Loads(HTMLParser):
    """Collects what a browser would fetch for a page and for the frames in it."""

    def __init__(self, page):
        super().__init__()
        self.fetched, self.policies, self.frames = [], [], 0
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policies.append(given["content"])
        if "srcdoc" in given:
            self.frames += 1
            self.fetched += Loads(given["srcdoc"]).fetched
        sources = {given.get(name) for name in ("src", "href", "data", "poster", "srcset", "xlink:href")} - {None}
        self.fetched += [source for source in sources if not source.startswith(("data:", "#"))]


def test_a_column_name_becomes_no_markup_in_evidentlys_page():
    values = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    plain, hostile = (
        compare(Rows([name, "score"], values, [], ""), Rows([name, "score"], values + 1, [], ""))
        for name in ("amount", MARKUP)
    )
    assert [column.name for column in hostile.columns] == [MARKUP, "score"]
    page, harmless = Page(hostile.html), Page(plain.html)
    assert page.kinds == harmless.kinds
    assert len(page.scripts) == len(harmless.scripts) == len(script_digests(hostile.html))
    assert "<img src=x" not in hostile.html


def test_the_report_and_the_explanation_of_a_drifted_stream(cli, drifted, tmp_path, monkeypatch):
    alerts = raised(drifted)
    alert = about_the_amount(alerts)[0]
    out = tmp_path / "report.html"

    made = cli("drift-report", "--window", "4d", "--reference", tmp_path / "history.parquet", "--out", out, "--json")
    assert made.exit_code == 0, made.stderr
    page, figures = out.read_text(encoding="utf-8"), json.loads(made.stdout)
    said = next(found["alert"] for found in figures["incidents"] if found["alert"]["alert_id"] == alert.alert_id)
    # The agent may have confirmed the incident since the alerts were read
    assert all(said[part] in page for part in ("cause", "action"))
    assert said["segment"] == ""  # all of the stream is in it: that says nothing of where
    assert all(segments == [("currency=EUR", scored, bins)] for scored, bins, segments in summarised(drifted))
    assert [found["alert"]["alert_id"] for found in figures["incidents"]] == [entry.alert_id for entry in alerts]
    (incident,) = [found for found in figures["incidents"] if found["alert"]["alert_id"] == alert.alert_id]
    (amount,) = [level for level in incident["levels"] if level["name"] == "amount"]
    assert amount["unit"] == "EUR"
    assert amount["current"] == pytest.approx(2 * amount["reference"], rel=0.2)
    verdicts = {column["name"]: column["drifted"] for column in figures["columns"]}
    assert verdicts["amount"]
    assert not verdicts["customer_nb_tx_7d"]
    assert {"score", "latent 0"} <= verdicts.keys()
    assert "training window 2018-04-01 to 2018-04-07" in figures["reference"]

    loads = Loads(page)
    assert (loads.fetched, loads.frames) == ([], 1)
    assert loads.policies[0].startswith("default-src 'none'")
    assert "http:" not in loads.policies[0]
    assert "https:" not in loads.policies[0]

    later = cli("drift-report", "--window", f"{CHANGE}/", "--out", out, "--json")
    assert later.exit_code == 0, later.stderr
    retained = json.loads(later.stdout)
    assert "first events that the input topic holds" in retained["reference"]
    assert retained["reference_rows"] > 1000
    assert retained["reference"] in out.read_text(encoding="utf-8")

    alerts = raised(drifted)
    alert = about_the_amount(alerts)[0]
    told = cli("drift", "explain", alert.alert_id)
    assert told.exit_code == 0, told.stderr
    assert "█" in told.stdout
    assert all(text in told.stdout for text in (alert.cause, alert.action, "retraining  would not help"))
    assert json.loads(cli("drift", "explain", "--json").stdout)["alert_id"] == alerts[-1].alert_id
    unknown = cli("drift", "explain", "drift:nothing:0")
    assert unknown.exit_code == 1
    assert alert.alert_id in unknown.stderr
    assert [a["alert_id"] for a in json.loads(cli("drift", "list", "--json").stdout)] == [a.alert_id for a in alerts]

    nothing = cli("drift-report", "--window", "2030-01-01/", "--out", out)
    assert nothing.exit_code == 1
    assert "the summaries hold 2018-04-08" in nothing.stderr
    monkeypatch.setattr(report, "find_spec", lambda name: None if name == "evidently" else name)
    without = cli("drift-report", "--out", out)
    assert without.exit_code == 1
    assert "evidently is not installed" in without.stderr
    assert 'pip install "stream-app[report]"' in without.stderr
