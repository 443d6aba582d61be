"""A real single-node Apache Kafka as a child process: ready when `start` returns, ended when its parent ends.

The demo and the tests run on it. One process is broker and KRaft controller, with a replication factor of 1.
"""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stream_app.embedded import jars, node, supervisor
from stream_app.kafka.clients import BrokerNotStarted

START_TIMEOUT_S = 120.0  # two seconds on a machine that has nothing else to do
PORT_ATTEMPTS = 5
PROBE_S = 0.5
POLL_S = 0.05

JVM = ("-Xms96m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "--sun-misc-unsafe-memory-access=allow")

# Messages in the log of a broker that has died, and their causes
_CAUSES = {
    "Failed to acquire lock on file": "another broker is using this folder",
    "No space left on device": "the disk is full",
    "insufficient memory": "there is not enough memory",
    "Invalid cluster.id": "the folder holds the data of another cluster",
}
_PORT_TAKEN = ("Address already in use", "Socket server failed to bind")


class _PortTaken(Exception):  # noqa: N818 - not an error yet: another port is tried
    """Another process has bound the port between our choice and Kafka's bind."""


class EmbeddedBroker:
    """Kafka on this machine. A context manager: inside it the broker is up.

    After `kill`, or after `stop` with a folder of one's own, `start` brings it up again: same port, same data.

    Args:
        folder: For its data and its log; kept when it stops. None: a temporary folder, removed when it stops.
        port: Its port on the loopback interface; 0: a free one.
        say: Called with a line when something takes long (the first fetch of the jars).
    """

    def __init__(
        self, folder: Path | None = None, port: int = 0, say: Callable[[str], None] = lambda _line: None
    ) -> None:
        self._given = folder
        self._home: Path | None = None
        self._port = port
        self._say = say
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._java: list[str] = []
        self._lock: IO[str] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Host and port."""
        return f"{node.HOST}:{self._port}"

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._supervisor is not None and self._supervisor.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the Java virtual machine."""
        return self._pid

    def __enter__(self) -> Self:
        """The broker, up and answering."""
        self.start()
        return self

    def __exit__(self, _k: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> None:
        """Bring it up, and return once it answers as itself.

        Raises:
            BrokerNotStarted: no Java, no jars, port taken, or it died; the message says which.
        """
        if self.running:
            return
        home = self._claim()
        try:
            command = self._command()
            self._bring_up(command, home, node.format_folder(command, home))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it, and remove its folder if that is temporary. Does nothing if it is not there."""
        self._end()
        if self._home is not None and self._given is None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def kill(self) -> None:
        """SIGKILL it, as a power cut would; its folder is kept."""
        if self.running and self._supervisor is not None:
            os.kill(self._pid, signal.SIGKILL)
            self._supervisor.wait()
        self._end()

    def pause(self) -> None:
        """SIGSTOP it: connections stay open, requests get no answer."""
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused broker go on."""
        os.kill(self._pid, signal.SIGCONT)

    def _claim(self) -> Path:
        """Lock the folder: a second broker would overwrite files of the first before Kafka's own lock stops it."""
        if self._home is None:
            self._home = (self._given or Path(tempfile.mkdtemp(prefix="stream-app-kafka-"))).resolve()
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            self._lock = (self._home / ".claimed").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock = None
            raise BrokerNotStarted(f"{self._home} is in use by another broker: choose another folder") from error
        except OSError as error:
            raise BrokerNotStarted(f"{self._home}: {error.strerror}: choose a folder that can be written") from error
        return self._home

    def _command(self) -> list[str]:
        if not self._java:
            java, classpath = jars.java(), jars.classpath(self._say)
            self._java = [str(java), *JVM, "-cp", os.pathsep.join(map(str, classpath))]
        return self._java

    def _bring_up(self, command: list[str], home: Path, cluster_id: str) -> None:
        for _ in range(PORT_ATTEMPTS):
            port = self._port or node.free_port()
            if self._port and _taken(port):
                break
            try:
                self._launch(command, home, port)
                self._await_answer(home, port, cluster_id)
            except _PortTaken:
                self._discard_supervisor()
            else:
                self._port = port
                return
        raise BrokerNotStarted(
            f"port {self._port} is in use: choose another, or set KAFKA_BOOTSTRAP_SERVERS if Kafka listens there"
            if self._port
            else f"{PORT_ATTEMPTS} free ports were taken before Kafka could bind them: try again"
        )

    def _launch(self, command: list[str], home: Path, port: int) -> None:
        config = node.configure(home, port)
        log = home / "broker.log"
        log.unlink(missing_ok=True)
        remove = "-" if self._given is not None else str(home)
        kafka = [*command[:-2], f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}", *command[-2:]]
        arguments = [str(os.getpid()), str(log), remove, *kafka, "kafka.Kafka", str(config)]
        with log.open("ab") as errors:
            self._supervisor = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", "-S", supervisor.__file__, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for its parent, which still needs the broker to finish
            )
        assert self._supervisor.stdout is not None  # noqa: S101 - it is a pipe
        first_line = self._supervisor.stdout.readline()
        if not first_line:
            raise BrokerNotStarted(f"Kafka did not start: {self._last_words(log)}")
        self._pid = int(first_line)

    def _await_answer(self, home: Path, port: int, cluster_id: str) -> None:
        """Wait until it answers as the cluster that we formatted: an open port may be another program's."""
        client = AdminClient(
            {"bootstrap.servers": f"{node.HOST}:{port}", "log_level": 0, "reconnect.backoff.max.ms": 100}
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        log = home / "broker.log"
        while time.monotonic() < deadline:
            if not self.running:
                raise self._death(log)
            with suppress(KafkaException):
                metadata = client.list_topics(timeout=PROBE_S)
                if str(metadata.cluster_id) == cluster_id and metadata.brokers:
                    return
                time.sleep(POLL_S)
        raise BrokerNotStarted(f"Kafka did not answer within {START_TIMEOUT_S:.0f} s: {self._last_words(log)}")

    def _death(self, log: Path) -> Exception:
        words = log.read_text(errors="replace")
        if any(sign in words for sign in _PORT_TAKEN):
            return _PortTaken()
        causes = [cause for sign, cause in _CAUSES.items() if sign in words]
        if causes:
            return BrokerNotStarted(f"Kafka did not start: {causes[0]} ({log.parent})")
        return BrokerNotStarted(f"Kafka did not start: {self._last_words(log)}")

    def _last_words(self, log: Path) -> str:
        """The last line of the log that is a message, not a frame of a stack trace."""
        lines = log.read_text(errors="replace").splitlines()
        spoken = [line.strip() for line in lines if line.strip() and not line.startswith(("\t", "   "))]
        last = spoken[-1][:300] if spoken else "it said nothing"
        return last if self._given is None else f"{last} (whole log: {log})"

    def _end(self) -> None:
        self._discard_supervisor()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _discard_supervisor(self) -> None:
        """Closing the pipe is the request; the supervisor ends the broker and then itself."""
        process, self._supervisor = self._supervisor, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(supervisor.PATIENCE_S + 5)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            process.wait()


def _taken(port: int) -> bool:
    """Whether a program listens there. Connections that linger after a restart (TIME_WAIT) are no obstacle."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((node.HOST, port))
        except OSError:
            return True
    return False
