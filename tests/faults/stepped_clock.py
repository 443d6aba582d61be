"""A worker whose wall clock is set by hand: each SIGHUP moves it by the next of the given steps.

The clock is shifted where Python reads it (`time.time` and `datetime.now`): setting the machine's own would move
everybody's. The client library in C keeps the machine's time, as brokers and the other machines of a cluster do.
Run as the others in `sabotage`: this module must be imported before the product is.
"""

import signal
import sys
import time
from datetime import datetime, timedelta, tzinfo
from typing import Any

_machine_time = time.time
_steps: list[float] = []
"""Those taken so far, seconds."""


def _time() -> float:
    return _machine_time() + sum(_steps)


class _Datetime(datetime):
    """Everybody else's datetime, but for what time it is."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        return datetime.now(tz) + timedelta(seconds=sum(_steps))


def run(*steps_s: float) -> None:
    """A worker whose clock is moved by so many seconds."""
    time.time = _time  # before the product is imported: it may keep the function
    from stream_app import worker
    from stream_app.cli.app import main

    assert worker
    for name, module in list(sys.modules.items()):
        if name.startswith("stream_app.") and getattr(module, "datetime", None) is datetime:
            module.datetime = _Datetime  # type: ignore[attr-defined]
    left = iter(steps_s)

    def step(*_: object) -> None:
        _steps.append(next(left))
        sys.stderr.write(f"the clock is moved by {_steps[-1]:.0f} s\n")

    signal.signal(signal.SIGHUP, step)
    main()
