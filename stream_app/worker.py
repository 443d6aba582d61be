"""The door for `faust -A stream_app.worker worker`; everything behind it is in `stream_app.host.worker`."""

from typing import Any

from stream_app.host.worker import faust_app


def __getattr__(name: str) -> Any:
    """`app`, made on first use: it needs a broker that answers."""
    if name != "app":
        raise AttributeError(name)
    return faust_app()
