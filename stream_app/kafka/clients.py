"""Every Kafka client is made here: tuned defaults, then `[kafka]` and secrets, then what its user depends on.

What goes wrong with a cluster leaves as one of

    BrokerError                 the message is one line: what, and what to do
    |-- BrokerUnavailable       nobody answers
    |-- BrokerNotStarted        the embedded one did not come up
    |-- NotAuthorised           it answers, and refuses
    |-- TopicMissing            declared but not there
    `-- TopicConflict           there, but not as declared
"""

import json
import logging
import re
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from schemas.errors import UserError
from stream_app.connection import OF_CONSUMERS, OF_PRODUCERS, check_properties
from stream_app.settings import Settings, SettingsError

PROBE_S = 1.0
SMALLEST_ANSWER_BYTES = 1024 * 1024  # librdkafka asks for no less
CONTROL_BUFFER_MB = 8
RECORD_BYTES = 16 * 1024 * 1024  # the largest dead letter: `max.message.bytes` of its topic

Client = TypeVar("Client", Consumer, Producer, AdminClient)

_log = logging.getLogger("stream_app.librdkafka")

_NOT_ALLOWED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}
_NOT_LET_IN = {
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
}
_UNREACHABLE = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.BROKER_NOT_AVAILABLE,
}
_HANDSHAKE = "SSL handshake failed"  # a broker without TLS only closes the line
_AROUND = re.compile(r"^\w+://\S+: | \(after \d+ms in state .*\)$")
_ABSENT = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}


class BrokerError(UserError):
    """Kafka cannot do what was asked; the message says what and what to do, for users."""


class BrokerUnavailable(BrokerError):  # noqa: N818 - named after the state of the world
    """Nobody answers at the address that the settings give."""


class BrokerNotStarted(BrokerError):  # noqa: N818
    """The embedded broker did not come up."""


class NotAuthorised(BrokerError):  # noqa: N818
    """The cluster answers, and refuses these credentials or this operation."""


class TopicMissing(BrokerError):  # noqa: N818
    """A topic that must be there is not."""


class TopicConflict(BrokerError):  # noqa: N818
    """A topic is there, but not as the product needs it."""


class _OnceInAWhile(logging.Filter):
    """The client says the same line at each attempt to connect, several times a second: now and then is enough."""

    SILENCE_S = 30.0

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        line, _, _ = record.getMessage().partition(" (after ")
        now = time.monotonic()
        if now - self._said.get(line, -self.SILENCE_S) < self.SILENCE_S:
            return False
        if len(self._said) > 1000:  # client names are in the lines
            self._said.clear()
        self._said[line] = now
        return True


_log.addFilter(_OnceInAWhile())


def consumer(settings: Settings, group: str | None, **properties: Any) -> Consumer:
    """A consumer that reads committed records only, commits nothing by itself, and holds bounded memory.

    Args:
        settings: Where the cluster is, and what is passed through.
        group: The consumer group; None for a reader that assigns itself partitions and commits nothing.
        properties: librdkafka's; they win over everything.

    Raises:
        SettingsError: librdkafka does not take a property.
    """
    answer = max(settings.buffer_max_mb * 1024 * 1024 // 16, SMALLEST_ANSWER_BYTES)
    tuned = {
        # librdkafka wants a group even where none is joined; under the app's prefix, so that access lists match
        "group.id": group or f"{settings.reader_groups}{uuid.uuid4().hex[:12]}",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "fetch.queue.backoff.ms": 5,  # the default stops fetching for a whole second once the local queue is full
        "fetch.error.backoff.ms": 100,
        "queued.max.messages.kbytes": settings.buffer_max_mb * 1024,
        # What a full queue is overshot by: one answer, which is unpacked whole. A record larger than that still comes.
        "fetch.max.bytes": answer,
        "fetch.message.max.bytes": answer // 4,
    }
    return _made(Consumer, settings, tuned, properties)


def require(settings: Settings) -> None:
    """Return if librdkafka makes clients of the settings: of some values it complains only together with others.

    Raises:
        SettingsError: it does not; the message has its own sentence.
    """
    consumer(settings, settings.group).close()
    producer(settings)


def small_reader(settings: Settings) -> dict[str, int]:
    """Properties of a consumer beside the input's: with the least answers, and a queue of `CONTROL_BUFFER_MB`."""
    return {
        "queued.max.messages.kbytes": min(CONTROL_BUFFER_MB, settings.buffer_max_mb) * 1024,
        "fetch.max.bytes": SMALLEST_ANSWER_BYTES,
        "fetch.message.max.bytes": SMALLEST_ANSWER_BYTES,
    }


def small_writer(settings: Settings) -> dict[str, int]:
    """Properties of a producer beside the outputs': with a queue of `CONTROL_BUFFER_MB`."""
    return {"queue.buffering.max.kbytes": min(CONTROL_BUFFER_MB, settings.buffer_max_mb) * 1024}


def group_observer(settings: Settings) -> Consumer:
    """A consumer in the group's name that never joins it: it reads the group's committed offsets without waiting.

    Kafka makes a read-committed client wait for committed offsets while a transaction holds newer ones: up to
    `transaction_timeout_ms` after a worker was killed. Workers must wait, or would score twice; an observer need not.

    Raises:
        SettingsError: librdkafka does not take a property.
    """
    return consumer(settings, settings.group, **{"isolation.level": "read_uncommitted"})


def producer(settings: Settings, **properties: Any) -> Producer:
    """An idempotent producer with lz4, Java's partitioner, and bounded memory.

    Args:
        settings: Where the cluster is, and what is passed through.
        properties: librdkafka's; they win over everything.

    Raises:
        SettingsError: librdkafka does not take a property.
    """
    tuned = {
        "enable.idempotence": True,
        "compression.type": "lz4",
        "linger.ms": 1,
        "partitioner": "murmur2_random",  # a key goes where Java producers send it
        "message.max.bytes": RECORD_BYTES,
        "queue.buffering.max.kbytes": settings.buffer_max_mb * 1024,
        "queue.buffering.max.messages": 0,  # bytes are the bound
    }
    return _made(Producer, settings, tuned, properties)


def admin(settings: Settings) -> AdminClient:
    """A client for topics and metadata.

    Raises:
        SettingsError: librdkafka does not take a property.
    """
    return _made(AdminClient, settings, {}, {})


def wait_for_broker(settings: Settings, timeout_s: float | None, say: Callable[[str], None]) -> None:
    """Return once the cluster has answered a metadata request.

    Args:
        settings: Where the cluster is.
        timeout_s: How long to wait for it; None waits for ever.
        say: Takes one line when the first try failed, and one when it is there after all.

    Raises:
        BrokerUnavailable: nobody answered in time.
        NotAuthorised: it answered, and refused: waiting longer would not help.
    """
    said: list[KafkaError] = []  # a request that nobody let in only says that nobody answers
    client = _made(AdminClient, settings, {}, {"error_cb": said.append})
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    waited = False
    while True:
        left = PROBE_S if deadline is None else min(PROBE_S, deadline - time.monotonic())
        try:
            client.list_topics(timeout=max(left, 0.05))
        except KafkaException as exception:
            client.poll(0)
            refusals = [error for error in said if error.code() in _NOT_LET_IN]
            handshakes = [error for error in said if _HANDSHAKE in error.str()]
            said.clear()
            trouble = explain(KafkaException(refusals[0]) if refusals else exception, settings)
            is_over = deadline is not None and time.monotonic() >= deadline
            if is_over and handshakes and not refusals:  # one that fails once may be of a broker that restarts
                raise _no_line(handshakes[-1], settings) from exception
            if is_over or not isinstance(trouble, BrokerUnavailable):
                raise trouble from exception
        else:
            if waited:
                say(f"Kafka answers at {settings.bootstrap_servers}")
            return
        finally:
            client.poll(0)  # hands librdkafka's log lines to `logging`
        if not waited:
            say(f"waiting for Kafka at {settings.bootstrap_servers}: set KAFKA_BOOTSTRAP_SERVERS if it is elsewhere")
            waited = True


def explain(exception: KafkaException, settings: Settings, about: str = "") -> BrokerError:
    """What a librdkafka error means to a person.

    Args:
        exception: As the client raised it.
        settings: Where it was connected to.
        about: The topic or group that it concerns, where there is one.

    Returns:
        The exception to raise instead.
    """
    error = exception.args[0]
    where = settings.bootstrap_servers
    subject = f" ({about})" if about else ""
    if error.code() == KafkaError._SSL:
        return _no_line(error, settings, subject)
    if error.code() in _NOT_ALLOWED:
        return NotAuthorised(
            f"Kafka at {where} refuses{subject}: {_reason(error)}; `stream-app rights list` has who may"
        )
    if error.code() in _NOT_LET_IN:
        return NotAuthorised(f"Kafka at {where} refuses{subject}: {_reason(error)}; check [kafka] and the secrets")
    if error.code() in _UNREACHABLE:
        return BrokerUnavailable(
            f"no Kafka answers at {where}{subject}: start one with `stream-app broker`, or set KAFKA_BOOTSTRAP_SERVERS "
            "(and [kafka] where it takes TLS or passwords only)"
        )
    if error.code() in _ABSENT:
        return TopicMissing(
            f"topic {about or 'asked for'} does not exist at {where}: if address and topic_prefix are right, "
            "`stream-app worker` or `stream-app doctor --fix` creates it"
        )
    return BrokerError(f"Kafka at {where} answers{subject}: {error.str()}")


def _no_line(error: KafkaError, settings: Settings, subject: str = "") -> NotAuthorised:
    return NotAuthorised(
        f"no encrypted line to Kafka at {settings.bootstrap_servers}{subject}: {_reason(error)}; check "
        "security.protocol and ssl.* in [kafka]"
    )


def _reason(error: KafkaError) -> str:
    """Its sentence without the address and the time that librdkafka puts around it."""
    return _AROUND.sub("", error.str()).removesuffix(".")


def _made(kind: Callable[..., Client], settings: Settings, tuned: dict[str, Any], properties: dict[str, Any]) -> Client:
    common = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": client_id(settings),
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,  # a broker that comes back is used within a second
        "socket.keepalive.enable": True,
        "log.connection.close": False,  # idle connections that a broker closes are no news
    }
    others = OF_PRODUCERS if kind is Consumer else OF_CONSUMERS  # of which librdkafka would warn in each command
    passed = {name: value for name, value in passed_through(settings).items() if name not in others}
    try:
        return kind({**common, **tuned, **passed, **properties}, logger=_log)
    except KafkaException as exception:
        raise SettingsError(f"[kafka]: librdkafka says {exception.args[0].str()}") from exception


def client_id(settings: Settings) -> str:
    """What every client calls itself in the logs and quotas of the brokers."""
    return str(passed_through(settings).get("client.id", settings.app_id))


def passed_through(settings: Settings) -> dict[str, Any]:
    """What `[kafka]` and the secrets file hold, the secrets over the rest.

    Raises:
        SettingsError: the secrets cannot be read, or hold what may not be set.
    """
    secrets = _secrets(settings)
    try:
        check_properties(secrets)
    except ValueError as error:
        raise SettingsError(f"kafka_secrets_file: {settings.kafka_secrets_file}: {error}") from error
    return {**settings.kafka, **secrets}


def _secrets(settings: Settings) -> dict[str, Any]:
    path = settings.kafka_secrets_file
    if path is None:
        return {}
    try:
        secrets = json.loads(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"kafka_secrets_file: {path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"kafka_secrets_file: {path} is not JSON") from error
    if not isinstance(secrets, dict):
        raise SettingsError(f"kafka_secrets_file: {path} must hold one JSON object of librdkafka properties")
    return secrets
