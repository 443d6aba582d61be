"""What a failure prints on stderr, and the exit code: every exception ends here, as one line: what, and what to do.

Anything but a `UserError`, a wrong call, a refusal of Kafka or of the operating system is a fault of this program.
"""

import errno
import sys
import traceback

from schemas.errors import UserError

FAILED = 1
CALLED_WRONGLY = 2
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def report(error: Exception, debug: bool) -> int:
    """Print on stderr what went wrong, after the traceback if that is asked for; return the exit code."""
    if debug:
        traceback.print_exception(error)
    line, code = _line_and_code(error)
    print(f"stream-app: {' '.join(line.split())}", file=sys.stderr)  # noqa: T201
    return code


def _line_and_code(error: Exception) -> tuple[str, int]:
    if isinstance(error, UserError):
        return str(error), error.exit_code
    if any(
        kind.__module__ == "cimpl" for kind in type(error).__mro__
    ):  # its client need not be loaded in order to fail
        return f"Kafka refused: {_kafka_words(error)}; `stream-app doctor` says more", FAILED
    if hasattr(error, "format_message"):  # typer's usage errors
        return f"{error.format_message()} {_where_to_look(error)}", CALLED_WRONGLY
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed: run `make install`", FAILED
    if isinstance(error, OSError) and error.strerror is not None:
        what = error.filename or ("the output cannot be written" if error.errno in NO_ROOM else "")
        return f"{what}: {error.strerror}" if what else error.strerror, FAILED
    return f"unexpected {type(error).__name__}: {error} (run it again with --debug for the traceback)", FAILED


def _kafka_words(error: Exception) -> str:
    """Librdkafka's sentence without its frame of codes."""
    first = error.args[0] if error.args else error
    return first.str() if hasattr(first, "str") else str(first)


def _where_to_look(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"(see {context.command_path} --help)" if context is not None else ""
