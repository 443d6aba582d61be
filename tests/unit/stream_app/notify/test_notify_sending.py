"""One message: tried with growing pauses until it is taken, refused, or too old."""

from collections.abc import Iterable
from datetime import timedelta

import pytest

from stream_app.notify.notification import of_anomalies
from stream_app.notify.sending import FIRST_WAIT_S, LONGEST_WAIT_S, Answer, Sender, Undeliverable
from stream_app.pipeline.clock import Clock
from tests.unit.stream_app.notify.records import AT, anomaly, destination


class Receiver:
    """Answers in its turn; time passes only in pauses."""

    def __init__(self, answers: Iterable[Answer | OSError], **fields: object) -> None:
        self.answers = list(answers)
        self.posts: list[tuple[bytes, dict[str, str]]] = []
        self.pauses: list[float] = []
        self.at = 0.0
        clock = Clock(lambda: self.at, lambda: AT + timedelta(seconds=self.at))
        self.sender = Sender(destination(**fields), self.post, clock, jitter=lambda: 1.0)

    def post(self, _url, content, headers, _timeout_s):
        self.posts.append((content, dict(headers)))
        answer = self.answers.pop(0) if self.answers else Answer(503)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.at += seconds

    def send(self) -> None:
        self.sender(of_anomalies([anomaly()]), self.pause)


def test_what_is_taken_is_sent_once() -> None:
    receiver = Receiver([Answer(202)])
    receiver.send()
    assert (len(receiver.posts), receiver.pauses) == (1, [])


def test_it_is_tried_again_with_growing_pauses_under_one_key_and_with_the_same_content() -> None:
    receiver = Receiver([OSError("refused"), Answer(500), Answer(429), Answer(200)])
    receiver.send()
    assert receiver.pauses == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S]
    assert len({(content, headers["webhook-id"]) for content, headers in receiver.posts}) == 1
    assert len({headers["webhook-timestamp"] for _, headers in receiver.posts}) > 1  # of each try its own


@pytest.mark.parametrize("header", ["120", "Sat, 28 Nov 2026 12:02:00 GMT"])
def test_a_receiver_says_how_long_it_wants_to_be_left_alone(header: str) -> None:
    receiver = Receiver([Answer(429, header), Answer(200)])
    receiver.send()
    assert receiver.pauses == [120.0]


@pytest.mark.parametrize("header", ["", "soon", "-5", "Sat, 28 Nov 2020 12:02:00 GMT"])
def test_what_is_no_such_time_changes_nothing(header: str) -> None:
    receiver = Receiver([Answer(503, header), Answer(200)])
    receiver.send()
    assert receiver.pauses == [FIRST_WAIT_S]


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410])
def test_what_is_refused_is_not_tried_again(status: int) -> None:
    receiver = Receiver([Answer(status)])
    with pytest.raises(Undeliverable, match=str(status)):
        receiver.send()
    assert receiver.pauses == []


def test_after_a_time_nothing_can_be_hoped_for() -> None:
    receiver = Receiver([], give_up_s=600.0)
    with pytest.raises(Undeliverable, match="not taken for 600 s: answered with 503"):
        receiver.send()
    assert receiver.at == 600.0
    assert max(receiver.pauses) == LONGEST_WAIT_S
