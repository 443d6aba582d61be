"""A machine that is not as a worker needs it is one line, with what to change, before anything starts."""

import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_app.host import surroundings
from stream_app.host.surroundings import Unfit
from stream_app.settings import Settings


def test_a_port_in_use_is_told_with_the_option_and_a_port_that_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(Unfit, match=rf"port {port} of 127\.0\.0\.1 is in use: .*--web-port (\d+)") as caught:
            surroundings.web_port(Settings(web_port=port))
    offered = int(caught.value.advice.split("--web-port ")[1].split()[0])
    surroundings.web_port(Settings(web_port=offered))


@pytest.mark.parametrize("host", ["10.9.9.9", "192.0.2.1", "nohost.invalid"])
def test_an_address_that_cannot_be_bound_is_told(host: str) -> None:
    with pytest.raises(Unfit, match=rf"web_host {host} is no address.*: set STREAM_APP_WEB_HOST"):
        surroundings.web_port(Settings(web_host=host))


def test_a_free_port_of_ipv6_is_fine() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    surroundings.web_port(Settings(web_host="::1", web_port=40_123))


def test_a_cache_is_looked_for_without_being_made(tmp_path: Path) -> None:
    assert surroundings.model_cache(Settings(model_cache=tmp_path / "a" / "b")) == tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cache", ["/dev/null/x", "/dev/null"])
def test_a_cache_that_is_no_folder_is_told(cache: str) -> None:
    with pytest.raises(Unfit, match="/dev/null is no folder: set model_cache"):
        surroundings.model_cache(Settings(model_cache=Path(cache)))


def test_a_cache_that_cannot_be_written_is_told() -> None:
    with pytest.raises(Unfit, match="cannot be written: set model_cache"):
        surroundings.model_cache(Settings(model_cache=Path("/proc/self/models")))


def test_a_cache_that_cannot_be_made_is_told() -> None:
    with pytest.raises(Unfit, match=r"models cannot be kept in /proc/nope: .*: set model_cache"):
        surroundings.require(Settings(model_cache=Path("/proc/nope"), web_port=40_124))


@pytest.fixture
def own_limit() -> Iterator[tuple[int, int]]:
    """The limit of this process is as before afterwards."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_low_limit_of_descriptors_is_raised_where_that_is_allowed(own_limit: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, own_limit[1]))
    surroundings.descriptors()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == surroundings.DESCRIPTORS
