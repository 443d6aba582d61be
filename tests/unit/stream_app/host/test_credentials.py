"""What Faust's client makes of `[kafka]`: the same line and the same name as librdkafka, or a refusal."""

import ssl
from pathlib import Path

import pytest

from stream_app.host.credentials import credentials
from stream_app.settings import Settings, SettingsError
from tests.secured_cluster import certificates, properties


def test_an_open_cluster_asks_for_nothing():
    assert credentials(Settings()) is None


def test_password_and_line_are_those_of_the_settings(tmp_path: Path):
    authority, _ = certificates(tmp_path)
    made = credentials(Settings(kafka=properties(authority, "ann", "secret")))
    assert (made.username, made.password, made.mechanism.value) == ("ann", "secret", "SCRAM-SHA-512")
    assert made.protocol.value == "SASL_SSL"
    assert made.ssl_context.verify_mode is ssl.CERT_REQUIRED
    assert made.ssl_context.check_hostname
    assert [found["subject"] for found in made.ssl_context.get_ca_certs()] == [((("commonName", "authority"),),)]


def test_a_certificate_alone_says_who_we_are(tmp_path: Path):
    authority, own = certificates(tmp_path)
    line = {"ssl.ca.location": str(authority), "ssl.certificate.location": str(own), "ssl.key.location": str(own)}
    made = credentials(Settings(kafka={"security.protocol": "ssl", **line}))
    assert made.protocol.value == "SSL"
    assert made.context.verify_mode is ssl.CERT_REQUIRED


def test_a_host_name_that_nobody_checks_is_the_settings_owners_decision():
    kafka = {"security.protocol": "ssl", "ssl.endpoint.identification.algorithm": "none"}
    assert not credentials(Settings(kafka=kafka)).context.check_hostname


@pytest.mark.parametrize(
    ("kafka", "says"),
    [
        ({"security.protocol": "sasl_plaintext"}, "not set"),
        ({"security.protocol": "ssl", "ssl.ca.location": "/nowhere/ca.pem"}, "cannot be used"),
    ],
)
def test_what_fausts_client_cannot_do_is_a_wrong_setting(kafka: dict[str, str | bool], says: str):
    with pytest.raises(SettingsError, match=says):
        credentials(Settings(kafka=kafka))
