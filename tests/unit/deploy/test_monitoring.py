"""What Prometheus alerts on and Grafana draws exists on a worker, and leads a person somewhere."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from stream_app.metrics import Metrics
from stream_app.ops.progress_metrics import ProgressCollector
from stream_app.pipeline.progress import Progress

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy/prometheus"
RULES = yaml.safe_load((FOLDER / "rules.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/stream-app.json").read_text(encoding="utf-8"))
QUERIES = {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in DASHBOARD["panels"]}
SUFFIXES = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""], "info": ["_info"]}
EVERY_ALERT = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


@pytest.fixture(scope="module")
def registry() -> CollectorRegistry:
    """A worker's, before its first transaction."""
    registry = CollectorRegistry()
    Metrics(registry)
    ProgressCollector(Progress(), registry)
    return registry


@pytest.fixture(scope="module")
def exposed(registry: CollectorRegistry) -> set[str]:
    """Names of the series that a worker exposes."""
    return {family.name + suffix for family in registry.collect() for suffix in SUFFIXES[family.type]}


def series(query: str) -> set[str]:
    return set(re.findall(r"\b(?:stream_app|process)_[a-z_]+", query))


@EVERY_ALERT
def test_an_alert_is_about_series_that_a_worker_exposes(rule: dict, exposed: set[str]):
    assert series(rule["expr"]) <= exposed


@EVERY_ALERT
def test_an_alert_says_what_happened_how_urgent_it_is_and_what_to_do(rule: dict):
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"].endswith(".")
    path, anchor = rule["annotations"]["runbook"].split("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor in {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("title", QUERIES)
def test_a_panel_draws_series_that_a_worker_exposes(title: str, exposed: set[str]):
    for query in QUERIES[title]:
        assert series(query)
        assert series(query) <= exposed


def test_the_dashboard_reads_from_the_data_source_that_is_provisioned():
    source = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    used = {target["datasource"]["uid"] for panel in DASHBOARD["panels"] for target in panel["targets"]}
    assert used == {source["datasources"][0]["uid"]}


def test_every_panel_says_what_it_means():
    assert [panel["title"] for panel in DASHBOARD["panels"] if not panel["description"].endswith(".")] == []


PROMTOOL = pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus' own promtool is not on the path")


def promtool(*command: str | Path, given: bytes = b"") -> None:
    done = subprocess.run(["promtool", *command], input=given, capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


@PROMTOOL
def test_prometheus_takes_its_configuration_and_the_rules_do_what_their_own_tests_say():
    promtool("check", "config", "--lint=all", "--lint-fatal", FOLDER / "prometheus.yml")
    promtool("test", "rules", FOLDER / "rules_test.yml")


@PROMTOOL
def test_prometheus_finds_no_fault_with_the_names_and_units_of_the_series(registry: CollectorRegistry):
    promtool("check", "metrics", given=generate_latest(registry))
