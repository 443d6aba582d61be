"""What can go wrong between the pipeline and Kafka, and what follows from it.

    PipelineError
    ├── SessionLost      the clients are of no more use: abandon what is not committed, open new ones, go on from the
    │                    committed offsets
    └── PipelineFailed   a person must act: the worker stops with a non-zero exit and this line

There is one way to recover, so it is the one that is tested: whatever happened, a new session starts from what the
broker has committed.
"""

from typing import NoReturn

from confluent_kafka import KafkaError, KafkaException

# Nothing that a new session could heal. Each of these needs another setting, another right, or another topic.
HOPELESS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "grant this principal read on the input and write on the output topics",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "grant this principal read on the consumer group",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "grant this principal write on its transactional ids",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "grant this principal idempotent write on the cluster",
    KafkaError._AUTHENTICATION: "check the credentials in [kafka] or in kafka_secrets_file",
    KafkaError.SASL_AUTHENTICATION_FAILED: "check the credentials in [kafka] or in kafka_secrets_file",
    KafkaError.MSG_SIZE_TOO_LARGE: "raise max.message.bytes of the output topic (dead-letters holds whole records)",
}


class PipelineError(Exception):
    """Stops a session or the worker; the message is one line for a person."""


class SessionLost(PipelineError):  # noqa: N818  a state of affairs, as StopIteration is
    """The Kafka clients must be opened anew.

    Attributes:
        cause: One word, a label of the metric.
    """

    def __init__(self, cause: str, sentence: str) -> None:
        super().__init__(sentence)
        self.cause = cause


class PipelineFailed(PipelineError):  # noqa: N818
    """The worker cannot go on; the message says what to change."""


def raise_for(error: KafkaError, doing: str) -> NoReturn:
    """Turn a client's error into what follows from it.

    Raises:
        PipelineFailed: for what no retry heals.
        SessionLost: for everything else.
    """
    remedy = HOPELESS.get(error.code())
    if remedy is not None:
        raise PipelineFailed(f"{doing}: {error.str()}; {remedy}")
    raise SessionLost(error.name().strip("_").lower(), f"{doing}: {error.str()}")


def error_of(exception: KafkaException) -> KafkaError:
    """The client's error inside its exception."""
    error: KafkaError = exception.args[0]
    return error
