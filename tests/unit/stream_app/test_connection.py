"""Addresses in the forms in which people write them, and what `[kafka]` may hold: both halves of a worker agree."""

import json
from pathlib import Path

import pytest
from yarl import URL

from stream_app.connection import BY_BOTH, INSTEAD, TUNING
from stream_app.host import read_committed
from stream_app.kafka import clients
from stream_app.settings import Settings, SettingsError, load


@pytest.fixture(autouse=True)
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without a settings file."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a:1,b:2", "a:1,b:2"),
        ("127.0.0.1:39092, 127.0.0.1:39093", "127.0.0.1:39092,127.0.0.1:39093"),
        (" 127.0.0.1:39092 ", "127.0.0.1:39092"),
        ("127.0.0.1:39092,", "127.0.0.1:39092"),
        ("PLAINTEXT://127.0.0.1:39092", "127.0.0.1:39092"),
        ("kafka://127.0.0.1:39092", "127.0.0.1:39092"),
        ("kafka_1", "kafka_1:9092"),
        ("[::1]:39092", "[::1]:39092"),
        ("[2001:db8::7]", "[2001:db8::7]:9092"),
    ],
)
def test_addresses_are_read_in_every_form_that_has_one_meaning(written: str, meant: str) -> None:
    assert load(bootstrap_servers=written).bootstrap_servers == meant


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("", "it is empty"),
        (" , ", "it is empty"),
        ("::1:39092", r"in brackets, as \[::1\]:9092"),
        ("127.0.0.1:", "host:port"),
        ("127.0.0.1:99999", "no port 99999"),
        ("127.0.0.1:0", "no port 0"),
        ("a:1;b:2", "separated by commas"),
        ("a:1 b:2", "separated by commas"),
        ("http://127.0.0.1:39092", "http:// stands before an address"),
        ("SSL://127.0.0.1:39092", r"security.protocol in \[kafka\]"),
        ("ann:hunter2@127.0.0.1:39092", "set sasl.username"),
    ],
)
def test_another_form_is_a_wrong_setting_in_one_line_without_secrets(written: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        load(bootstrap_servers=written)
    assert "hunter2" not in str(caught.value)


def test_fausts_client_is_handed_the_same_addresses_with_the_brackets_of_ipv6() -> None:
    settings = load(bootstrap_servers="[::1]:9092, kafka_1:9093")
    urls = [URL(f"kafka://{server}") for server in settings.bootstrap_servers.split(",")]
    assert ",".join(read_committed.servers(urls, 9092)) == settings.bootstrap_servers


@pytest.mark.parametrize("name", sorted(INSTEAD))
def test_a_property_that_the_product_decides_is_refused_with_what_to_set_instead(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} cannot be set: .+"):
        load(kafka={name: "1"})


@pytest.mark.parametrize(
    "name", ["broker.address.family", "sasl.oauthbearer.method", "enable.ssl.certificate.verification", "no.such.thing"]
)
def test_a_property_that_one_half_of_a_worker_would_not_heed_is_refused_with_the_list(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"{name} .*only one half.*(there are|did you mean)"):
        load(kafka={name: "x"})


def test_a_misspelt_property_is_told_the_one_that_was_meant() -> None:
    with pytest.raises(SettingsError, match=r"did you mean security\.protocol\?"):
        load(kafka={"security.protocoll": "ssl"})


def test_a_mechanism_that_fausts_client_lacks_is_refused_for_commands_too() -> None:
    with pytest.raises(SettingsError, match="OAUTHBEARER: a worker takes PLAIN"):
        load(kafka={"sasl.mechanism": "OAUTHBEARER"})


def test_the_secrets_file_may_hold_no_more_than_the_table(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.json"
    secrets.write_text(json.dumps({"bootstrap.servers": "elsewhere:1", "sasl.password": "hunter2"}))
    with pytest.raises(SettingsError, match=r"secrets\.json: bootstrap\.servers cannot be set") as caught:
        clients.admin(Settings(kafka_secrets_file=secrets))
    assert "hunter2" not in str(caught.value)


def test_a_dotted_name_without_quotes_is_the_name_that_a_person_means(empty_place: Path) -> None:
    (empty_place / "stream_app.toml").write_text('[kafka]\nsecurity.protocol = "ssl"\nlinger.ms = 5\n')
    assert load().kafka == {"security.protocol": "ssl", "linger.ms": 5}


@pytest.mark.parametrize("name", sorted(BY_BOTH | TUNING))
def test_librdkafka_knows_every_property_of_the_list(name: str) -> None:
    said = ""
    try:
        clients.admin(Settings(kafka={name: "PLAIN"}))
    except SettingsError as refused:
        said = str(refused)
    assert "No such configuration property" not in said  # though for most of them it is a wrong value


def test_every_client_calls_itself_by_the_client_id_that_is_set() -> None:
    assert clients.client_id(load(app_id="fraud")) == "fraud"
    assert clients.client_id(load(kafka={"client.id": "team-a"})) == "team-a"


def test_installations_with_one_app_id_and_two_prefixes_share_no_group_and_no_transactional_id() -> None:
    names = [
        {made.group, made.control_group, made.reader_groups, made.transactional_ids}
        for made in (load(topic_prefix="eu."), load(topic_prefix="us."), load())
    ]
    assert [len(of_one) for of_one in names] == [4, 4, 4]
    assert not names[0] & names[1]
    assert not names[0] & names[2]
    assert load().group == "stream-app"


@pytest.mark.parametrize(
    "given",
    [
        {"reconnect.backoff.max.ms": 1},  # below reconnect.backoff.ms, which is ours
        {"socket.timeout.ms": 1},
        {"log_level": 99},
        {"compression.type": "7zip"},
    ],
    ids=str,
)
def test_a_value_that_librdkafka_refuses_is_a_wrong_setting_before_anything_starts(given: dict[str, int | str]) -> None:
    with pytest.raises(SettingsError, match=r"\[kafka\]: librdkafka says"):
        clients.require(load(kafka=given))


def test_settings_that_fit_pass() -> None:
    clients.require(load(kafka={"linger.ms": 5, "socket.timeout.ms": 5000, "client.rack": "a"}))
