"""What a failure says on stderr, and the exit code: every exception ends here, as one line: what, and what to do.

Error types are known by their full name, not by import: a command that never touched torch or Kafka does not load
them in order to fail.
"""

import sys
import traceback

FAILED = 1
CALLED_WRONGLY = 2
INTERRUPTED = 130

# Their messages are written for users and say what to do; anything else is a fault of this program.
FOR_USERS = {
    "stream_app.cli.errors.Failure": FAILED,
    "stream_app.settings.SettingsError": CALLED_WRONGLY,
    "stream_app.kafka.clients.BrokerError": FAILED,
    "stream_app.rollout.publish.NotPublished": FAILED,
    "stream_app.rollout.cache.FetchError": FAILED,
    "stream_app.replay.receipt.ReplayError": FAILED,
    "models.artefact.ArtefactError": FAILED,
    "models.signing.SignatureError": FAILED,
    "models.data.frame.DataError": FAILED,
    "models.features.SpecError": FAILED,
    "models.training.TrainingError": FAILED,
    "models.protocol.EvaluationError": FAILED,
    "models.registry.address.RegistryError": FAILED,
    "models.gates.limits.LimitsError": CALLED_WRONGLY,
    "stream_app.report.alerts.ReportError": FAILED,
}


class Failure(Exception):  # noqa: N818 - named after the state of the world
    """A command cannot do what it was asked to; the message says why, and what to do."""


def report(error: Exception, debug: bool) -> int:
    """Say on stderr what went wrong.

    Args:
        error: What ended the command.
        debug: Print the traceback too.

    Returns:
        The exit code.
    """
    if debug:
        traceback.print_exception(error)
    line, code = _line_and_code(error)
    print(f"stream-app: {' '.join(line.split())}", file=sys.stderr)  # noqa: T201
    return code


def _line_and_code(error: Exception) -> tuple[str, int]:
    for name in (f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__):
        if name in FOR_USERS:
            return str(error), FOR_USERS[name]
        if name == "cimpl.KafkaException":
            return f"Kafka refused: {_kafka_words(error)}; `stream-app doctor` says more", FAILED
    if hasattr(error, "format_message"):  # typer's usage errors
        return f"{error.format_message()} {_where_to_look(error)}", CALLED_WRONGLY
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed: run `make install`", FAILED
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}", FAILED
    return f"unexpected {type(error).__name__}: {error} (run it again with --debug for the traceback)", FAILED


def _kafka_words(error: Exception) -> str:
    """Librdkafka's sentence without its frame of codes."""
    first = error.args[0] if error.args else error
    return first.str() if hasattr(first, "str") else str(first)


def _where_to_look(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"(see {context.command_path} --help)" if context is not None else ""
