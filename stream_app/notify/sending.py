"""Sends one message until it is taken, or until nothing can be hoped for."""

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from stream_app.notify import formats
from stream_app.notify.destinations import Destination
from stream_app.notify.notification import Notification
from stream_app.pipeline.clock import SYSTEM, Clock

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0
PATIENCE = {408, 425, 429}  # of the answers from 400 to 499: those that another try may change

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What a receiver answers.

    Attributes:
        status: By HTTP.
        retry_after: The header, as it stands there; empty: none.
    """

    status: int
    retry_after: str = ""


Post = Callable[[str, bytes, Mapping[str, str], float], Answer]
"""Posts a body with headers to an address, within seconds. Raises OSError or HTTPException where nothing answers."""


class Undeliverable(Exception):  # noqa: N818 - named after the state of the world
    """No further try will deliver a message; the message says why."""


class Sender:
    """Sends to one destination.

    Args:
        destination: Where to.
        post: Speaks HTTP.
        clock: The time.
        jitter: From 0 to 1.
    """

    def __init__(
        self,
        destination: Destination,
        post: Post,
        clock: Clock = SYSTEM,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._destination, self._post = destination, post
        self._clock, self._jitter = clock, jitter
        self._address = destination.address
        self._secret = formats.signing_key(destination.secret) if destination.secret else None

    def __call__(self, notification: Notification, pause: Callable[[float], object]) -> None:
        """Send it.

        Args:
            notification: The message.
            pause: Called between two tries with the seconds to wait; what it raises ends them.

        Raises:
            Undeliverable: the receiver refuses it, or has not taken it for too long.
        """
        content = formats.body(notification, self._destination.format)
        until, wait_s = self._clock.monotonic() + self._destination.give_up_s, FIRST_WAIT_S
        while True:
            failure, least_s = self._once(notification.key, content)
            if not failure:
                return
            left_s = until - self._clock.monotonic()
            if left_s <= 0:
                raise Undeliverable(f"not taken for {self._destination.give_up_s:g} s: {failure}")
            pause_s = min(max(wait_s * (1 + self._jitter()) / 2, least_s), left_s)
            log.warning("%s: %s; tried again in %.1f s", self._destination.name, failure, pause_s)
            pause(pause_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _once(self, key: str, content: bytes) -> tuple[str, float]:
        """Why it was not taken, empty if it was; and for how long it is not to be tried again.

        Raises:
            Undeliverable: it will not be.
        """
        now = self._clock.now()
        given = formats.headers(key, content, int(now.timestamp()), self._secret)
        try:
            answer = self._post(self._address, content, given, self._destination.timeout_s)
        except (OSError, HTTPException) as error:
            return f"no answer: {error or type(error).__name__}", 0.0
        if 200 <= answer.status < 300:
            return "", 0.0
        if answer.status < 500 and answer.status not in PATIENCE:
            raise Undeliverable(f"it is answered with {answer.status}")
        return f"answered with {answer.status}", self._asked_for_s(answer.retry_after)

    def _asked_for_s(self, retry_after: str) -> float:
        """Seconds, or a date."""
        if retry_after.strip().isdigit():
            return float(retry_after)
        try:
            return max((parsedate_to_datetime(retry_after) - self._clock.now()).total_seconds(), 0.0)
        except (ValueError, TypeError):
            return 0.0


def post(url: str, content: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
    """By HTTP; no redirection is followed, for it would take the message elsewhere."""
    opener = OpenerDirector()
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler()):
        opener.add_handler(handler)
    with opener.open(Request(url, content, dict(headers), method="POST"), timeout=timeout_s) as answer:  # noqa: S310 - `read` has checked it
        answer.read(1)
        return Answer(answer.status, answer.headers.get("Retry-After", ""))
