"""The input topic of a session: which one it is, for a topic that is deleted and made again keeps nothing but its name.

Kafka gives each topic an id. A place on the input is topic, id, partition and offset, and a committed offset carries
the id as its metadata: offsets of a topic that is gone are never taken for places on the one that followed it.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType, TopicDescription

from stream_app.kafka.retention import Retention, retention
from stream_app.kafka.topics import id_of
from stream_app.pipeline.faults import SessionLost, error_of, raise_for

ANSWER_S = 10.0
ASK_EVERY_S = 1.0


class InputTopic:
    """The topic as it is when a session opens; `check` ends the session when it is another one.

    Args:
        admin: A client for metadata, whose own thread takes the answers.
        name: Its full name.
        monotonic: Seconds.

    Attributes:
        id: Kafka's id; empty where brokers are too old to have any.
        kept: How long its records are; without limits where the cluster does not tell.

    Raises:
        PipelineError: the cluster does not answer, or has no such topic.
    """

    def __init__(self, admin: AdminClient, name: str, monotonic: Callable[[], float]) -> None:
        self._admin = admin
        self.name = name
        self._monotonic = monotonic
        configured = self._ask_config()
        try:
            self.id = id_of(self._ask().result(ANSWER_S))
        except KafkaException as exception:
            raise_for(error_of(exception), f"looking {name} up")
        except TimeoutError:
            raise SessionLost("timed_out", f"looking {name} up: no answer within {ANSWER_S:.0f} s") from None
        self.kept = _kept(configured)
        self._asked: Future[TopicDescription] | None = None
        self._ask_at = monotonic() + ASK_EVERY_S

    def check(self) -> None:
        """Ask now and then whether it is still the same topic; nothing is waited for.

        Raises:
            SessionLost: it is gone, or another one has its name.
        """
        if self._asked is None:
            if (now := self._monotonic()) >= self._ask_at:
                self._asked, self._ask_at = self._ask(), now + ASK_EVERY_S
        elif self._asked.done():
            asked, self._asked = self._asked, None
            self._judge(asked)

    def _judge(self, asked: "Future[TopicDescription]") -> None:
        try:
            now = id_of(asked.result())
        except KafkaException as exception:
            if error_of(exception).code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise SessionLost("topic_gone", f"{self.name} was deleted: it is waited for") from None
            return  # a broker that is away is the data plane's own finding
        if now != self.id:
            raise SessionLost("topic_made_again", f"{self.name} was deleted and made again")

    def _ask(self) -> "Future[TopicDescription]":
        return self._admin.describe_topics(TopicCollection([self.name]), request_timeout=ANSWER_S)[self.name]

    def _ask_config(self) -> "Future[dict[str, Any]]":
        (answer,) = self._admin.describe_configs([ConfigResource(ResourceType.TOPIC, self.name)]).values()
        return answer


def _kept(configured: "Future[dict[str, Any]]") -> Retention:
    try:
        return retention(configured.result(ANSWER_S))
    except (KafkaException, TimeoutError):  # not shown to this user
        return Retention()
