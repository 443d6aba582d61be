"""The program: global options before or after the command; every exception leaves as one line and an exit code."""

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stream_app.cli import (
    audit,
    consume,
    data,
    doctor,
    drift,
    gates,
    keys,
    operate,
    registry,
    replay,
    rights,
    rollout,
    status,
    training,
    trial,
)
from stream_app.cli.errors import report
from stream_app.cli.invocation import Invocation, current

GLOBAL_OPTIONS = ("--bootstrap-servers", "--topic-prefix")
GLOBAL_FLAGS = ("--debug",)


class Program(TyperGroup):
    """Takes the global options anywhere, and ends every command by the same rules."""

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> Any:  # type: ignore[override]
        """Run one command and exit: 0 it did, 1 it failed, 2 it was called wrongly."""
        given = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            code = super().main(globals_first(given), **extra)
        except typer.Abort:
            code = 1
        except Exception as error:
            code = report(error, debug="--debug" in given)
        sys.exit(code)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a reader that has gone (`| head`) has seen enough, and nothing is wrong."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # What is still buffered has nowhere to go, and the interpreter would complain of that on its way out.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None


def globals_first(args: Sequence[str]) -> list[str]:
    """Move the global options before the command, wherever they were given; what follows `--` stays."""
    first: list[str] = []
    rest: list[str] = []
    remaining = list(args)
    while remaining:
        arg = remaining.pop(0)
        if arg == "--":
            return [*first, *rest, arg, *remaining]
        if arg in GLOBAL_FLAGS or arg.startswith(tuple(f"{name}=" for name in GLOBAL_OPTIONS)):
            first.append(arg)
        elif arg in GLOBAL_OPTIONS:
            first += [arg, *remaining[:1]]
            del remaining[:1]
        else:
            rest.append(arg)
    return first + rest


app = typer.Typer(
    cls=Program,
    name="stream-app",
    help="Streaming anomaly detection on Kafka, and the models inside it.",
    epilog="Settings: stream_app.toml, then STREAM_APP_* in the environment, then options. Start with: stream-app demo",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing what draws the boxes takes longer than the rest of `--help`
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Kafka brokers, host:port, separated by commas.", metavar="HOST:PORT")
    ] = None,
    topic_prefix: Annotated[str | None, typer.Option(help="Put before every topic name.", metavar="PREFIX")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.")] = False,
) -> None:
    """Global options, before or after the command."""
    current.set(Invocation(bootstrap_servers, topic_prefix))
    if debug:
        logging.basicConfig(level=logging.DEBUG)
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


ROOMS = (
    operate, data, consume, training, gates, rollout, trial, status, drift, audit, replay, registry, doctor, keys,
    rights,
)  # fmt: skip
for room in ROOMS:
    room.register(app)


def main() -> None:
    """Entry point of the program."""
    app(prog_name="stream-app")
