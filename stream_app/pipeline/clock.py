"""The time as the pipeline knows it, in one object, so that tests make hours pass in no time."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event


@dataclass(frozen=True, slots=True)
class Clock:
    """Three ways to deal with time.

    Attributes:
        monotonic: Seconds, for durations.
        now: The wall clock in UTC, for records.
        wait: Waits for an event, so many seconds at most.
    """

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    wait: Callable[[Event, float], object] = Event.wait


SYSTEM = Clock()
