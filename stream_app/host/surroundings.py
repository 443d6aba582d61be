"""What a worker finds on its machine: its port, its cache, its descriptors. Looked at before anything starts.

`doctor` looks at the same, and writes nothing.
"""

import errno
import os
import resource
import socket
from contextlib import suppress
from pathlib import Path

from schemas.errors import UserError
from stream_app.settings import Settings

DESCRIPTORS = 1024  # raised to that where the system lets us
LEAST_DESCRIPTORS = 256  # a worker of a small cluster has some 100 files and sockets open
PORTS_TRIED = 50
CACHE_ADVICE = "set model_cache (STREAM_APP_MODEL_CACHE) to a folder that this user may write"


class Unfit(UserError):  # noqa: N818 - named after the state of the world
    """The machine is not as a worker needs it.

    Attributes:
        found: What is wrong.
        advice: What to change.
    """

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(f"{found}: {advice}")
        self.found = found
        self.advice = advice


def require(settings: Settings) -> None:
    """Return if a worker can run here; the folder of its models is there then.

    Raises:
        Unfit: the first thing that is not so.
    """
    web_port(settings)
    model_cache(settings)
    try:
        settings.model_cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unfit(f"models cannot be kept in {settings.model_cache}: {error.strerror}", CACHE_ADVICE) from error
    descriptors()


def web_port(settings: Settings) -> None:
    """The page's address can be listened on.

    Raises:
        Unfit: it is held, or is none of this machine.
    """
    host, port = settings.web_host, settings.web_port
    try:
        _listen(host, port)
    except socket.gaierror as error:
        raise Unfit(f"web_host {host} is no address: {error.strerror}", "set STREAM_APP_WEB_HOST") from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise Unfit(f"web_host {host} is no address of this machine", "set STREAM_APP_WEB_HOST") from error
        if error.errno == errno.EACCES:
            raise Unfit(f"only an administrator may listen on port {port}", _another_port(host, 6066)) from error
        in_use = error.errno == errno.EADDRINUSE
        found = f"port {port} of {host} is in use" if in_use else f"{host}:{port} cannot be used: {error.strerror}"
        raise Unfit(found, _another_port(host, port + 1)) from error


def model_cache(settings: Settings) -> Path:
    """The nearest folder that exists on the way to the model cache: this user may write there.

    Raises:
        Unfit: that is no folder, or may not be written.
    """
    folder = settings.model_cache.absolute()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        raise Unfit(f"models cannot be kept in {settings.model_cache}: {there} is no folder", CACHE_ADVICE)
    if not os.access(there, os.W_OK | os.X_OK):
        raise Unfit(f"models cannot be kept in {settings.model_cache}: {there} cannot be written", CACHE_ADVICE)
    return there


def descriptors() -> None:
    """This process may open enough files and sockets; its limit is raised where that is allowed.

    Raises:
        Unfit: it may not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < DESCRIPTORS:
        wanted = DESCRIPTORS if hard == unlimited else min(hard, DESCRIPTORS)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft != unlimited and soft < LEAST_DESCRIPTORS:
        raise Unfit(f"this process may open {soft} files and sockets, too few for a worker", f"ulimit -n {DESCRIPTORS}")


def _listen(host: str, port: int) -> None:
    """Listen and let go. As the server will: the first address that the name has."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    with socket.create_server(address[:2], family=family):
        pass


def _another_port(host: str, first: int) -> str:
    """The option that helps, with a port that is free."""
    for port in range(first, min(first + PORTS_TRIED, 65_536)):
        with suppress(OSError):
            _listen(host, port)
            return f"give this worker one of its own, --web-port {port} (STREAM_APP_WEB_PORT)"
    return "give this worker one of its own, --web-port PORT (STREAM_APP_WEB_PORT)"
