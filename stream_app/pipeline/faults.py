"""Errors between the pipeline and Kafka, and the consequence of each.

    PipelineError
    ├── SessionLost      the clients are of no more use: abort, open new ones, go on from the committed offsets
    └── PipelineFailed   a person must act: the worker stops with a non-zero exit and this line

There is one way to recover, so it is the one that is tested: whatever happened, a new session starts from what the
broker has committed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from confluent_kafka import KafkaError, KafkaException

from schemas.errors import UserError
from stream_app.kafka.schema_registry import SchemaRegistryError
from stream_app.pipeline.formats.outcomes import RecordsError

# A new session heals none of these: each needs another setting, another right, or another topic.
NOT_RETRIABLE = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "grant this principal read on the input and write on the output topics",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "grant this principal read on the consumer group",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "grant this principal write on its transactional ids",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "grant this principal idempotent write on the cluster",
    KafkaError._AUTHENTICATION: "check the credentials in [kafka] or in kafka_secrets_file",
    KafkaError.SASL_AUTHENTICATION_FAILED: "check the credentials in [kafka] or in kafka_secrets_file",
    KafkaError.MSG_SIZE_TOO_LARGE: "raise max.message.bytes of the output topic (dead-letters holds whole records)",
}


FENCED = "fenced"
_FENCED = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.FENCED_INSTANCE_ID,
}


class PipelineError(UserError):
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
    """Raise the pipeline error that a client's error means.

    Raises:
        PipelineFailed: no retry heals it.
        SessionLost: any other error.
    """
    remedy = NOT_RETRIABLE.get(error.code())
    if remedy is not None:
        raise PipelineFailed(f"{doing}: {error.str()}; {remedy}")
    cause = FENCED if error.code() in _FENCED else error.name().strip("_").lower()
    raise SessionLost(cause, f"{doing}: {error.str()}")


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Turn the clients' errors into pipeline errors. They have retried within their bound: nothing is retried here."""
    try:
        yield
    except SchemaRegistryError as error:
        raise SessionLost("schema_registry", str(error)) from error
    except RecordsError as error:
        raise PipelineFailed(str(error)) from error
    except KafkaException as exception:
        raise_for(error_of(exception), what)


def error_of(exception: KafkaException) -> KafkaError:
    """The client's error inside its exception."""
    error: KafkaError = exception.args[0]
    return error
