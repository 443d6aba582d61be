"""A model on an object store, here moto's server, or on the web: fetched by digest, refused by name."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from models.signing import Keyring, new_key, sign_artefact
from stream_app.rollout.artefacts import FetchError, ModelCache, fetch, read
from stream_app.rollout.trust import Trust
from stream_app.settings import Signatures
from stream_app.testing.tiny_model import tiny_model

URI = "s3://models/fraud/1.pt"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def store(server: str, monkeypatch: pytest.MonkeyPatch):
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="models")
    return client


def test_an_object_is_fetched_by_its_digest_and_described_by_its_manifest(store, tmp_path: Path) -> None:
    ref = tiny_model(tmp_path / "1.pt", "1")
    store.upload_file(tmp_path / "1.pt", "models", "fraud/1.pt")
    found = read(URI)
    assert (found.manifest.name, found.manifest.version, found.sha256) == (ref.name, ref.version, ref.sha256)
    kept = ModelCache(tmp_path / "cache").fetch(URI, ref.sha256)
    assert kept.read_bytes() == (tmp_path / "1.pt").read_bytes()


def test_another_object_behind_the_same_uri_is_refused(store, tmp_path: Path) -> None:
    announced = tiny_model(tmp_path / "1.pt", "1")
    tiny_model(tmp_path / "2.pt", "2", centre=1.0)
    store.upload_file(tmp_path / "2.pt", "models", "fraud/1.pt")
    with pytest.raises(FetchError, match="damaged or not the one meant"):
        ModelCache(tmp_path / "cache").fetch(URI, announced.sha256)


def test_the_signature_is_fetched_from_beside_the_object(store, tmp_path: Path) -> None:
    key = new_key(tmp_path / "ann.key")
    ref = tiny_model(tmp_path / "1.pt", "1")
    store.upload_file(tmp_path / "1.pt", "models", "signed/1.pt")
    cache = ModelCache(tmp_path / "cache", Trust(Signatures.REQUIRE, Keyring({"ann": key.public}), "model-swap"))
    with pytest.raises(FetchError, match="it is not signed"):
        cache.fetch("s3://models/signed/1.pt", ref.sha256)
    store.upload_file(sign_artefact(tmp_path / "1.pt", ref.sha256, key), "models", "signed/1.pt.sig")
    assert cache.fetch("s3://models/signed/1.pt", ref.sha256).exists()


def test_an_object_that_is_not_there_is_named_in_one_line(store, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"cannot fetch s3://models/none\.pt: .*NoSuchKey") as caught:
        ModelCache(tmp_path / "cache").fetch("s3://models/none.pt", "0" * 64)
    assert "\n" not in str(caught.value)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server of what is in `tmp_path`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_model_on_the_web_is_fetched_once_and_kept_when_the_server_is_gone(web: str, tmp_path: Path) -> None:
    ref = tiny_model(tmp_path / "1.pt", "1")
    assert read(f"{web}/1.pt").sha256 == ref.sha256
    cache = ModelCache(tmp_path / "cache")
    kept = cache.fetch(f"{web}/1.pt", ref.sha256)
    (tmp_path / "1.pt").unlink()
    assert cache.fetch(f"{web}/1.pt", ref.sha256) == kept


def test_what_the_web_does_not_have_or_has_too_much_of_is_one_line(web: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"cannot fetch http://.*/none\.pt: the server says 404") as caught:
        ModelCache(tmp_path / "cache").fetch(f"{web}/none.pt", "0" * 64)
    assert "\n" not in str(caught.value)
    (tmp_path / "large").write_bytes(b"x" * 11)
    assert fetch(f"{web}/large", 11) == b"x" * 11
    with pytest.raises(FetchError, match="larger than the 10 bytes"):
        fetch(f"{web}/large", 10)
