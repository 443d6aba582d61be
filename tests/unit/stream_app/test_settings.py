"""Settings are read once, from file, environment and options in that order, and a wrong one is said in one line."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas.topics import ALL
from stream_app.settings import (
    LONGEST_PREFIX,
    Guarantee,
    LogLevel,
    Settings,
    SettingsError,
    environment,
    load,
)


@pytest.fixture(autouse=True)
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without a settings file, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"STREAM_APP_{name.upper()}", raising=False)
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    return tmp_path


def test_without_any_setting_it_is_exactly_once_on_this_machine():
    settings = load()
    assert settings.guarantee is Guarantee.EXACTLY_ONCE
    assert settings.bootstrap_servers == "localhost:9092"


def test_options_win_over_the_environment_and_the_environment_over_the_file(empty_place, monkeypatch):
    (empty_place / "stream_app.toml").write_text('app_id = "file"\ntopic_prefix = "file."\nworker_id = "file"\n')
    monkeypatch.setenv("STREAM_APP_TOPIC_PREFIX", "environment.")
    monkeypatch.setenv("STREAM_APP_WORKER_ID", "environment")
    settings = load(worker_id="option")
    assert (settings.app_id, settings.topic_prefix, settings.worker_id) == ("file", "environment.", "option")


def test_an_option_that_was_not_given_overrides_nothing(monkeypatch):
    monkeypatch.setenv("STREAM_APP_WEB_PORT", "7000")
    assert load(web_port=None).web_port == 7000


def test_the_variable_of_every_kafka_tool_is_read_and_the_own_one_wins(monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "everyone:9092")
    assert load().bootstrap_servers == "everyone:9092"
    monkeypatch.setenv("STREAM_APP_BOOTSTRAP_SERVERS", "own:9092")
    assert load().bootstrap_servers == "own:9092"
    assert load(bootstrap_servers="option:9092").bootstrap_servers == "option:9092"


def test_the_file_may_name_the_brokers(empty_place, monkeypatch):
    (empty_place / "stream_app.toml").write_text('bootstrap_servers = "file:9092"\n')
    assert load().bootstrap_servers == "file:9092"
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "everyone:9092")
    assert load().bootstrap_servers == "everyone:9092"


def test_librdkafka_properties_pass_through_from_a_table_or_a_variable(empty_place, monkeypatch):
    (empty_place / "stream_app.toml").write_text('[kafka]\n"security.protocol" = "SASL_SSL"\n')
    assert load().kafka == {"security.protocol": "SASL_SSL"}
    monkeypatch.setenv("STREAM_APP_KAFKA", json.dumps({"sasl.username": "ada", "socket.keepalive.enable": True}))
    assert load().kafka["sasl.username"] == "ada"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STREAM_APP_COMMIT_INTERVAL_MS", "0"),
        ("STREAM_APP_COMMIT_INTERVAL_MS", "soon"),
        ("STREAM_APP_GUARANTEE", "at_most_once"),
        ("STREAM_APP_TOPIC_PREFIX", "a/b"),
        ("STREAM_APP_WEB_PORT", "70000"),
        ("STREAM_APP_BREAKER_SHARE", "1.5"),
        ("STREAM_APP_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_setting_and_the_value(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load()
    line = str(caught.value)
    assert name.removeprefix("STREAM_APP_").lower() in line.lower()
    assert value in line
    assert "\n" not in line


def test_every_wrong_setting_is_named_at_once(monkeypatch):
    monkeypatch.setenv("STREAM_APP_WEB_PORT", "0")
    monkeypatch.setenv("STREAM_APP_BATCH_MAX_EVENTS", "0")
    with pytest.raises(SettingsError, match=r"(?=.*batch_max_events)(?=.*web_port)"):
        load()


def test_a_misspelt_variable_is_an_error(monkeypatch):
    monkeypatch.setenv("STREAM_APP_COMIT_INTERVAL_MS", "50")
    with pytest.raises(SettingsError, match="STREAM_APP_COMIT_INTERVAL_MS"):
        load()


def test_a_misspelt_key_in_the_file_is_an_error(empty_place):
    (empty_place / "stream_app.toml").write_text("comit_interval_ms = 50\n")
    with pytest.raises(SettingsError, match="comit_interval_ms"):
        load()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("web-port = 6166\n", "web-port is no setting: did you mean web_port?"),
        ("[worker]\nweb_port = 6166\n", "[worker] is no table of the settings: there are [kafka], [trusted_keys]"),
        ('guarantee = "exactly-once"\n', "'exactly_once' or 'at_least_once' (got 'exactly-once')"),
        ('detector = "M\xfcller"\n', "stream_app.toml, line 1, is not UTF-8"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_what_is_allowed(empty_place, text, says):
    (empty_place / "stream_app.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError) as caught:
        load()
    assert says in str(caught.value)


def test_a_file_with_a_byte_order_mark_is_read_and_a_folder_in_its_place_is_an_error(empty_place):
    (empty_place / "stream_app.toml").write_bytes(b"\xef\xbb\xbfweb_port = 6166\n")
    assert load().web_port == 6166
    (empty_place / "stream_app.toml").unlink()
    (empty_place / "stream_app.toml").mkdir()
    with pytest.raises(SettingsError, match=r"cannot read stream_app\.toml: Is a directory"):
        load()


def test_a_misspelt_variable_is_told_together_with_wrong_values(monkeypatch):
    monkeypatch.setenv("STREAM_APP_BATCH_MAX_EVENT", "5")
    monkeypatch.setenv("STREAM_APP_WEB_PORT", "x")
    with pytest.raises(SettingsError, match=r"(?=.*did you mean batch_max_events\?)(?=.*web_port: )"):
        load()


def test_a_file_that_is_not_toml_is_named(empty_place):
    (empty_place / "stream_app.toml").write_text("commit_interval_ms: 50\n")
    with pytest.raises(SettingsError, match=r"stream_app\.toml is not valid TOML"):
        load()


@pytest.mark.parametrize("kafka", ['{"sasl.password": ["hunter2"]}', "hunter2", '{"sasl.password": "hunter2"'])
def test_a_secret_is_never_in_an_error(monkeypatch, kafka):
    monkeypatch.setenv("STREAM_APP_KAFKA", kafka)
    with pytest.raises(SettingsError, match=r"(?i)kafka") as caught:
        load()
    assert "hunter2" not in str(caught.value)


def test_settings_cannot_be_changed_after_they_were_read():
    with pytest.raises(ValidationError):
        load().web_port = 1


def test_the_name_of_a_worker_is_the_same_after_a_restart_and_differs_by_port():
    assert load().worker_name == load().worker_name
    assert load(web_port=7001).worker_name != load(web_port=7002).worker_name
    assert load(worker_id="w-1").worker_name == "w-1"


def test_a_process_can_be_given_the_same_settings_by_its_environment(empty_place, monkeypatch):
    given = load(kafka={"sasl.username": "ann", "linger.ms": 3}, web_port=7000, guard="act", topic_prefix="eu-")
    for name, value in environment(given).items():
        monkeypatch.setenv(name, value)
    assert load() == given


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("web_port", "6166abc", "web_port: write a whole number (got '6166abc')"),
        ("commit_interval_ms", "100ms", "commit_interval_ms: write a whole number (got '100ms')"),
        ("publish_scores", "", "publish_scores: write true or false (got '')"),
        ("guard", "maybe", "guard: write 'off', 'advise' or 'act' (got 'maybe')"),
        ("log_level", "loud", "log_level: write 'DEBUG', 'INFO', 'WARNING' or 'ERROR' (got 'LOUD')"),
        ("topic_prefix", "a b", "topic_prefix: only letters, digits, '.', '_' and '-' may stand in it (got 'a b')"),
        ("app_id", " ", "app_id: write letters, digits, '.', '_' and '-' (got ' ')"),
        ("input_partitions", "0", "input_partitions: it must be at least 1 (got '0')"),
        ("session_timeout_ms", "7200000", "session_timeout_ms: it must be at most 300000 (got '7200000')"),
    ],
)
def test_a_wrong_value_is_told_in_words(monkeypatch, setting: str, value: str, words: str):
    monkeypatch.setenv(f"STREAM_APP_{setting.upper()}", value)
    with pytest.raises(SettingsError) as raised:
        load()
    assert raised.value.each == (words,)


def test_the_level_of_the_log_may_be_written_in_small_letters(monkeypatch):
    monkeypatch.setenv("STREAM_APP_LOG_LEVEL", "debug")
    assert load().log_level is LogLevel.DEBUG


def test_a_prefix_with_which_a_topic_has_too_long_a_name_is_refused(monkeypatch):
    assert max(len(topic.name) for topic in ALL) + LONGEST_PREFIX == 249
    monkeypatch.setenv("STREAM_APP_TOPIC_PREFIX", "x" * (LONGEST_PREFIX + 1))
    with pytest.raises(SettingsError, match="at most 234 characters"):
        load()
