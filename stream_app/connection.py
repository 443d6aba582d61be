"""How the cluster is reached: addresses in one form, and the one list of what `[kafka]` may hold.

Two libraries connect a worker, librdkafka and Faust's client. `[kafka]` takes what both understand, and what only makes
librdkafka faster or slower. A property that would hold for half of a worker, or that breaks what is promised, is
refused by name: a worker with its two halves on two clusters would be worse than none.
"""

import re
from collections.abc import Mapping

from schemas.toml import among

DEFAULT_PORT = 9092
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
BY_BOTH = frozenset(
    {
        "client.id",
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",  # librdkafka takes both
        "sasl.username",
        "sasl.password",
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.endpoint.identification.algorithm",
    }
)
OF_PRODUCERS = frozenset(
    {
        "batch.num.messages",
        "batch.size",
        "compression.level",
        "compression.type",
        "linger.ms",
        "sticky.partitioning.linger.ms",
    }
)
OF_CONSUMERS = frozenset(
    {
        "fetch.error.backoff.ms",
        "fetch.min.bytes",
        "fetch.queue.backoff.ms",
        "fetch.wait.max.ms",
        "queued.min.messages",
    }
)
TUNING = (
    OF_PRODUCERS
    | OF_CONSUMERS
    | {
        "client.rack",
        "connections.max.idle.ms",
        "debug",
        "log.connection.close",
        "log_level",
        "metadata.max.age.ms",
        "reconnect.backoff.max.ms",
        "reconnect.backoff.ms",
        "retry.backoff.max.ms",
        "retry.backoff.ms",
        "socket.connection.setup.timeout.ms",
        "socket.keepalive.enable",
        "socket.nagle.disable",
        "socket.receive.buffer.bytes",
        "socket.send.buffer.bytes",
        "socket.timeout.ms",
    }
)
INSTEAD = {
    "acks": "outputs are always acknowledged by all replicas",
    "auto.offset.reset": "a group without offsets always begins with the first record",
    "bootstrap.servers": "set bootstrap_servers",
    "compression.codec": "write compression.type",
    "enable.auto.commit": "offsets are committed with the outputs: see the setting guarantee",
    "enable.auto.offset.store": "offsets are committed with the outputs: see the setting guarantee",
    "enable.idempotence": "producers are always idempotent",
    "fetch.max.bytes": "set buffer_max_mb",
    "fetch.message.max.bytes": "set buffer_max_mb",
    "group.id": "set app_id",
    "group.instance.id": "workers that share one fence each other: give each a worker_id",
    "heartbeat.interval.ms": "set session_timeout_ms",
    "isolation.level": "records of aborted transactions are never read",
    "max.partition.fetch.bytes": "set buffer_max_mb",
    "max.poll.interval.ms": "set session_timeout_ms",
    "message.max.bytes": "set record_max_bytes",
    "metadata.broker.list": "set bootstrap_servers",
    "partition.assignment.strategy": "it is always cooperative-sticky",
    "partitioner": "keys always go where Java's producers send them",
    "queue.buffering.max.kbytes": "set buffer_max_mb",
    "queue.buffering.max.messages": "set buffer_max_mb",
    "queue.buffering.max.ms": "write linger.ms",
    "queued.max.messages.kbytes": "set buffer_max_mb",
    "request.required.acks": "outputs are always acknowledged by all replicas",
    "session.timeout.ms": "set session_timeout_ms",
    "topic.metadata.refresh.interval.ms": "workers look for added partitions every three seconds",
    "transaction.timeout.ms": "set transaction_timeout_ms",
    "transactional.id": "each worker has its own, of topic_prefix, app_id and worker_id",
}
_BEFORE_AN_ADDRESS = ("", "kafka", "plaintext")
_BARE_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[\w.-]+))(?::(?P<port>\d+))?", re.ASCII)


def addresses(text: str) -> list[str]:
    """The brokers of a list with commas, each as host:port; an IPv6 address stands in brackets.

    Raises:
        ValueError: one of them has another form.
    """
    found = [_address(part) for each in text.split(",") if (part := each.strip())]
    if not found:
        raise ValueError("it is empty: write host:port, with commas")
    return found


def check_properties(given: Mapping[str, object]) -> None:
    """Return if every property may stand in `[kafka]`. Values are in no message: they may be secrets.

    Raises:
        ValueError: some may not; each is named, with what to set instead.
    """
    wrong = [_refusal(name) for name in sorted(given) if name not in BY_BOTH | TUNING]
    for name in ("sasl.mechanism", "sasl.mechanisms"):
        if name in given and str(given[name]).upper() not in MECHANISMS:
            wrong.append(f"{name} is {given[name]}: a worker takes {', '.join(MECHANISMS)}")
    if wrong:
        raise ValueError("; ".join(wrong))


def _refusal(name: str) -> str:
    if name in INSTEAD:
        return f"{name} cannot be set: {INSTEAD[name]}"
    return f"{name} is not taken, or only one half of a worker would heed it: {among(name, BY_BOTH | TUNING)}"


def _address(text: str) -> str:
    protocol, _, rest = text.rpartition("://")
    if protocol.lower() not in _BEFORE_AN_ADDRESS:
        raise ValueError(f"{protocol}:// stands before an address: write host:port, and security.protocol in [kafka]")
    if "@" in rest:
        raise ValueError("user and password do not stand before an address: set sasl.username and sasl.password")
    found = _ADDRESS.fullmatch(rest)
    if found is None:
        hint = (
            "an IPv6 address in brackets, as [::1]:9092"
            if _BARE_IPV6.fullmatch(rest)
            else "host:port, separated by commas"
        )
        raise ValueError(f"{rest!r} is no address: write {hint}")
    port = int(found["port"] or DEFAULT_PORT)
    if not 0 < port < 65536:
        raise ValueError(f"{rest}: there is no port {port}")
    host = f"[{found['v6']}]" if found["v6"] else found["name"]
    return f"{host}:{port}"
