"""What `doctor` finds on this machine, broker or not."""

import json
import socket

from stream_app.cli.checks import disk, files, model_registry, origins, web_port
from stream_app.settings import load
from tests.unit.stream_app.cli.cli_runner import stream_app


def test_without_a_broker_it_says_so_and_checks_the_rest(free_address, tmp_path):
    result = stream_app(
        "doctor", "--json", "--bootstrap-servers", free_address, STREAM_APP_MODEL_CACHE=tmp_path / "cache"
    )
    assert result.exit_code == 1
    findings = {finding["check"]: finding for finding in json.loads(result.stdout)}
    assert not findings["broker"]["ok"]
    assert result.stderr == ""
    assert free_address in findings["broker"]["says"]
    assert findings["disk"]["ok"]


def test_settings_that_are_wrong_are_findings_each_with_what_was_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stream_app.toml").write_text('web-port = 1\nguard = "loud"\n[kafka]\nacks = 1\n')
    result = stream_app("doctor", "--json")
    assert result.exit_code == 1
    wrong = [finding["says"] for finding in json.loads(result.stdout) if finding["check"] == "settings"]
    assert len(wrong) == 3
    assert [
        part for part in ("web_port?", "'act'", "acks cannot be set") if not any(part in line for line in wrong)
    ] == []


def test_files_that_settings_name_are_looked_at_before_the_broker(free_address, tmp_path):
    environment = {"STREAM_APP_SIGNING_KEY": tmp_path / "no.key", "STREAM_APP_KAFKA_SECRETS_FILE": tmp_path / "no.json"}
    result = stream_app("doctor", "--json", "--bootstrap-servers", free_address, **environment)
    wrong = " ".join(finding["says"] for finding in json.loads(result.stdout) if not finding["ok"])
    assert "no.key" in wrong
    assert "no.json" in wrong


def test_it_writes_nothing_and_ends_with_a_summary(free_address, tmp_path):
    cache = tmp_path / "cache"
    result = stream_app("doctor", "--bootstrap-servers", free_address, STREAM_APP_MODEL_CACHE=cache)
    assert not cache.exists()
    assert result.stdout.splitlines()[-1].endswith("to be put right: broker")


def test_for_people_each_finding_is_a_line_and_advice_stands_below(free_address, tmp_path):
    result = stream_app("doctor", "--bootstrap-servers", free_address, STREAM_APP_MODEL_CACHE=tmp_path / "cache")
    lines = result.stdout.splitlines()
    wrong = next(i for i, line in enumerate(lines) if line.startswith("WRONG  broker"))
    assert lines[wrong + 1].strip().startswith("->")


def test_each_setting_that_is_not_default_names_its_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stream_app.toml").write_text('app_id = "mine"\n[kafka]\n"sasl.password" = "hunter2"\n')
    monkeypatch.setenv("STREAM_APP_WEB_PORT", "6100")
    said = [finding.says for finding in origins(load())]
    assert "app_id = mine (stream_app.toml)" in said
    assert "web_port = 6100 (environment)" in said
    assert "hunter2" not in " ".join(said)


def test_defaults_are_told_as_such(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    (finding,) = origins(load())
    assert "all defaults" in finding.says


def test_a_port_that_somebody_else_holds_is_wrong():
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        stranger.settimeout(0)
        (finding,) = web_port(load(web_port=stranger.getsockname()[1]))
    assert not finding.ok
    assert "--web-port" in finding.advice


def test_a_cache_that_cannot_be_written_is_wrong(tmp_path):
    (tmp_path / "file").write_text("in the way")
    (finding,) = disk(load(model_cache=tmp_path / "file" / "cache"))
    assert not finding.ok
    assert "model_cache" in finding.advice


def test_a_registry_that_does_not_answer_is_wrong_and_one_that_is_not_there_yet_is_not(tmp_path):
    (finding,) = model_registry(load(tracking_uri="http://127.0.0.1:1"))
    assert not finding.ok
    assert "does not answer" in finding.says
    (finding,) = model_registry(load(tracking_uri=f"sqlite:///{tmp_path}/registry/mlflow.db"))
    assert finding.ok
    assert "made by the first training" in finding.says
    assert not (tmp_path / "registry").exists()
    assert [finding.ok for finding in model_registry(load(tracking_uri=""))] == [True]


def test_a_page_that_strangers_could_read_is_wrong():
    (finding,) = files(load(web_host="0.0.0.0"))
    assert not finding.ok
    assert "0.0.0.0 is open to other machines, without a web_token" in finding.says
    assert list(files(load(web_host="0.0.0.0", web_token="correct horse battery"))) == []
