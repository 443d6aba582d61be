"""Stdout and stderr as they may be: closed, full, or of an encoding that lacks characters of the text."""

import codecs
import io
import os
import sys

ESCAPED = "stream-app-escaped"


def prepare() -> None:
    """Make all three streams usable: nothing that is printed later ends a command because of its characters."""
    codecs.register_error(ESCAPED, escaped)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:  # closed; a file or socket that is opened later must not take its place
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPED)


def escaped(error: UnicodeError) -> tuple[str, int]:
    r"""What the encoding lacks, as \uXXXX: people can look it up, and in JSON it is the same character."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i] << 8 | units[i + 1]:04x}" for i in range(0, len(units), 2)), error.end


def flush() -> OSError | None:
    """Write what is buffered; where that fails, drop it, or the interpreter would fail of it again on its way out."""
    try:
        sys.stdout.flush()
    except OSError as error:
        drop()
        return error
    return None


def drop() -> None:
    """Let what stdout still holds go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
