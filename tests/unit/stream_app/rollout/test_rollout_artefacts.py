"""What comes out of the cache has the digest that was announced, or there is a reason that a person can act on."""

import os
from pathlib import Path

import pytest

from models.archive import ArtefactError
from stream_app.rollout.artefacts import FetchError, ModelCache, local_path, read
from stream_app.testing.tiny_model import tiny_model


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    return ModelCache(tmp_path / "cache")


def test_a_path_and_a_file_url_are_fetched(cache: ModelCache, tmp_path: Path) -> None:
    source = tmp_path / "a model é.pt"
    ref = tiny_model(source, "1")
    assert cache.fetch(str(source), ref.sha256).read_bytes() == source.read_bytes()
    (tmp_path / "cache" / f"{ref.sha256}.pt").unlink()
    assert cache.fetch(source.as_uri(), ref.sha256).read_bytes() == source.read_bytes()


@pytest.mark.parametrize("name", ["a b.pt", "ü.pt", "x%20y.pt", "q?v=1.pt", "100% #1.pt"])
def test_every_form_of_a_file_url_leads_to_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    urls = [path.as_uri(), path.as_uri().replace("file:///", "file:/"), path.as_uri().replace("///", "//localhost/")]
    assert [local_path(url) for url in [*urls, f"file://{path}", f"file:{path}", str(path)]] == [path] * 6


@pytest.mark.parametrize("url", ["file://m.pt", "file://elsewhere/m.pt", "ftp://a/m.pt"])
def test_a_url_that_names_no_file_of_this_machine_is_refused(url: str) -> None:
    with pytest.raises(FetchError, match="cannot fetch"):
        local_path(url)


def test_what_is_kept_does_not_need_its_source_again(cache: ModelCache, tmp_path: Path) -> None:
    source = tmp_path / "m.pt"
    ref = tiny_model(source, "1")
    kept = cache.fetch(str(source), ref.sha256)
    source.unlink()
    assert cache.fetch(str(source), ref.sha256) == kept


def test_a_damaged_entry_is_fetched_again(cache: ModelCache, tmp_path: Path) -> None:
    source = tmp_path / "m.pt"
    ref = tiny_model(source, "1")
    cache.fetch(str(source), ref.sha256).write_bytes(b"damaged")
    assert cache.fetch(str(source), ref.sha256).read_bytes() == source.read_bytes()


def test_a_file_with_another_digest_is_refused_and_not_kept(cache: ModelCache, tmp_path: Path) -> None:
    source = tmp_path / "m.pt"
    ref = tiny_model(source, "1")
    source.write_bytes(source.read_bytes()[:-1])
    with pytest.raises(FetchError, match="damaged or not the one meant"):
        cache.fetch(str(source), ref.sha256)
    assert not list((tmp_path / "cache").glob("*"))


@pytest.mark.parametrize("uri", ["missing.pt", "file:///missing.pt", "ftp://host/m.pt", "."])
def test_what_cannot_be_read_is_named(cache: ModelCache, uri: str) -> None:
    with pytest.raises(FetchError) as caught:
        cache.fetch(uri, "0" * 64)
    assert uri in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("a file where the cache should be a folder")
    source = tmp_path / "m.pt"
    ref = tiny_model(source, "1")
    with pytest.raises(FetchError, match=str(blocker)):
        ModelCache(blocker / "cache").fetch(str(source), ref.sha256)


def test_what_is_no_file_is_refused_at_once_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.pt"
    os.mkfifo(pipe)
    with pytest.raises(ArtefactError, match=r"pipe\.pt is no file, but a pipe: a model is one file"):
        read(pipe)
    with pytest.raises(ArtefactError, match="is no file, but a folder"):
        read(tmp_path)
