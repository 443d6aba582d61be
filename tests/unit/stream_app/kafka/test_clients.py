"""Properties reach librdkafka in the right order, and its errors reach people as one line."""

import json
import logging
import socketserver
import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream_app.kafka.clients import (
    BrokerError,
    BrokerUnavailable,
    NotAuthorised,
    TopicMissing,
    admin,
    consumer,
    explain,
    producer,
    wait_for_broker,
)
from stream_app.settings import Settings, SettingsError

NOBODY = Settings(bootstrap_servers="127.0.0.1:9")


@pytest.mark.parametrize(
    ("code", "kind", "advice"),
    [
        (KafkaError._ALL_BROKERS_DOWN, BrokerUnavailable, "stream-app broker"),
        (KafkaError._TRANSPORT, BrokerUnavailable, "KAFKA_BOOTSTRAP_SERVERS"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, NotAuthorised, "stream-app rights list"),
        (KafkaError._SSL, NotAuthorised, "ssl.* in [kafka]"),
        (KafkaError._AUTHENTICATION, NotAuthorised, "secrets"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, TopicMissing, "stream-app doctor"),
        (KafkaError.POLICY_VIOLATION, BrokerError, "Policy"),
    ],
)
def test_an_error_becomes_one_line_that_says_where_and_what_to_do(code, kind, advice):
    error = explain(KafkaException(KafkaError(code)), NOBODY, "scores")
    assert type(error) is kind
    assert advice in str(error)
    assert "scores" in str(error)
    assert "127.0.0.1:9" in str(error)
    assert "\n" not in str(error)


def test_a_cluster_that_does_not_answer_is_named_once_the_patience_is_over():
    said = []
    with pytest.raises(BrokerUnavailable, match=r"no Kafka answers at 127\.0\.0\.1:9"):
        wait_for_broker(NOBODY, timeout_s=1.5, say=said.append)
    assert len(said) == 1
    assert said[0].startswith("waiting for Kafka at 127.0.0.1:9")


def test_a_broker_without_tls_is_named_as_that_where_the_settings_want_it():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as plain:  # it hangs up
        threading.Thread(target=plain.serve_forever).start()
        address = f"127.0.0.1:{plain.server_address[1]}"
        settings = Settings(bootstrap_servers=address, kafka={"security.protocol": "ssl"})
        with pytest.raises(NotAuthorised, match=r"no encrypted line to Kafka at .*SSL handshake failed.*PLAINTEXT"):
            wait_for_broker(settings, timeout_s=2.0, say=lambda line: None)
        plain.shutdown()


def test_settings_pass_properties_through_over_the_tuned_defaults():
    with pytest.raises(SettingsError, match="shrink"):
        producer(Settings(kafka={"compression.type": "shrink"}))


def test_what_is_meant_for_producers_alone_is_no_warning_of_consumers_nor_the_other_way_round(caplog):
    settings = Settings(kafka={"linger.ms": 5, "compression.type": "gzip", "fetch.min.bytes": 1000})
    for client in (producer(settings), consumer(settings, "group"), admin(settings)):
        client.poll(0.05)
    assert [line for record in caplog.records if "CONFWARN" in (line := record.getMessage())] == []


def test_the_caller_has_the_last_word_over_what_is_passed_through():
    producer(Settings(kafka={"compression.type": "shrink"}), **{"compression.type": "none"})


def test_secrets_come_from_a_file_of_their_own(tmp_path):
    secrets = tmp_path / "secrets.json"
    secrets.write_text(json.dumps({"compression.type": "shrink"}))
    with pytest.raises(SettingsError, match="shrink"):
        producer(Settings(kafka_secrets_file=secrets))


@pytest.mark.parametrize(("content", "complaint"), [("{", "not JSON"), ("[1]", "one JSON object"), (None, "No such")])
def test_a_broken_secrets_file_is_a_wrong_setting_and_its_content_stays_in_it(tmp_path, content, complaint):
    secrets = tmp_path / "secrets.json"
    if content is not None:
        secrets.write_text(content)
    with pytest.raises(SettingsError, match=complaint) as raised:
        admin(Settings(kafka_secrets_file=secrets))
    assert str(secrets) in str(raised.value)


def test_a_line_that_the_client_repeats_is_logged_once(caplog):
    log = logging.getLogger("stream_app.librdkafka")
    with caplog.at_level(logging.WARNING, log.name):
        for attempt in range(5):
            log.error("FAIL [app] refused (after %dms in state CONNECT)", attempt)
        log.error("FAIL [app] something else")
    assert [record.getMessage().split("] ")[1][:9] for record in caplog.records] == ["refused (", "something"]
