"""The program: its commands, each imported when it is called; global options before or after; one line per failure."""

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from stream_app.cli import help_words, streams
from stream_app.cli.errors import report
from stream_app.cli.invocation import Invocation, current

GLOBAL_OPTIONS = ("--bootstrap-servers", "--topic-prefix")
GLOBAL_FLAGS = ("--debug",)

COMMANDS = {  # name: module in stream_app.cli, first sentence of its help
    "demo": ("demo.command", "Tell the whole story on an embedded broker, in a minute and a half or so."),
    "broker": ("broker", "Run a real single-node Apache Kafka in the foreground, until Ctrl-C."),
    "worker": ("worker", "Run a worker: score the input topic until Ctrl-C or SIGTERM."),
    "verify": ("verify", "Prove that every committed input offset was scored or dead-lettered; exit code 1 if not."),
    "simulate": (
        "data",
        "Write raw card payments with labels, the same for the same seed: what the detector cards-raw reads.",
    ),
    "produce": (
        "data",
        "Publish the rows of DATA as the records that the detector reads, in order of event time, keyed by the entity.",
    ),
    "consume": ("consume", "Print the records of a topic: an anomaly as a line with its reasons, a dead letter."),
    "show": ("show", "Show an event: what was decided and why, its receipt, its label, its entity's latest events."),
    "label": ("show", "Say what became of an event: fraud or legitimate."),
    "define": ("define", "Propose a definition from a sample of events: id, time, entity, label and inputs."),
    "train": ("training", "Train an autoencoder on DATA without its labels, calibrate it, and write it as one file."),
    "evaluate": ("training", "Measure a model on labelled events, beside what trivial rules reach."),
    "recalibrate": (
        "recalibrate",
        "Give a model p-values and a threshold from recent days of DATA, so that it keeps its budget.",
    ),
    "gate": ("gates", "Say whether CANDIDATE may take the place of CHAMPION: exit code 0 if it may, 1 if not."),
    "latents": (
        "latents",
        "Say whether what reads the latents of model A can read those of B: exit code 0 if it can, 1 if not.",
    ),
    "deploy": ("rollout", "Have every worker fetch, check and warm up MODEL; serve it when all could."),
    "rollback": ("rollout", "Drop the candidate or, where there is none, serve the previous model again."),
    "models": ("models", "Show every model that was ever staged: which serves, which a rollback returns to."),
    "shadow": ("trial", "Let MODEL score every event beside the one that serves, and decide nothing."),
    "canary": ("trial", "Let MODEL decide for a share of the customers, by hash of their ids."),
    "promote": ("trial", "Serve the candidate, from warm memory."),
    "abort": ("trial", "Drop what is staged or, where nothing is, the candidate."),
    "freeze": ("trial", "Forbid the guard to act: it goes on reporting."),
    "unfreeze": ("trial", "Allow the guard to act again, as its setting says."),
    "notify": ("notify", "Tell destinations of anomalies and drift until Ctrl-C or SIGTERM."),
    "status": ("status", "Say in one sentence how things are; show workers, lag, rate, latency, model and drift."),
    "drift-report": ("drift_report", "Make one page of a window: its drift incidents as pictures, and more."),
    "audit": ("audit", "Show who did what, when, why, with what effect; or, with `verify`, prove it."),
    "replay": ("replay", "Score what was scored again, through the pipeline's own stages."),
    "rekey": ("rekey", "Write a topic keyed by the entity, exactly once, until Ctrl-C or SIGTERM."),
    "warm-up": (
        "warm_up",
        "Fill the windows' state from DATA: its events before the first of the input's log, while no worker runs.",
    ),
    "doctor": (
        "doctor",
        "Check settings, port, disk, broker, rights, topics, the model, and what runs now.",
    ),
    "sign": ("keys", "Release MODEL: write its signature beside it, over its digest."),
    "drift": ("drift", "Drift alerts: which there are, and what one of them means."),
    "deadletters": ("deadletters", "Refused records: which there are, and back onto the input."),
    "registry": ("registry", "Models in MLflow, where `train` registers them."),
    "keys": ("keys", "Keys that sign models and commands."),
    "rights": ("rights", "Who may do what on the cluster."),
}


class Deferred(TyperCommand):
    """A command by its name and help alone: its module is imported when it is called."""

    def __init__(self, name: str, module: str, help_text: str) -> None:
        super().__init__(name, help=help_text)
        self._module, self._name = module, name

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """The context of the command itself, which is then the one that is invoked."""
        app = import_module(f"stream_app.cli.{self._module}").app
        return get_group(app).commands[self._name].make_context(*args, **extra)


class Program(TyperGroup):
    """Takes the global options anywhere, and ends every command by the same rules."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for name, (module, help_text) in COMMANDS.items():
            self.add_command(Deferred(name, module, help_text))

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> Any:  # type: ignore[override]
        """Run one command and exit: 0 it did, 1 it failed, 2 it was called wrongly."""
        streams.prepare()
        help_words.in_words()
        given = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            code = super().main(globals_first(given), **extra)
        except typer.Abort:
            code = 1
        except Exception as error:
            code = report(error, debug="--debug" in given)
        unwritten = streams.flush()
        if unwritten is not None and not isinstance(unwritten, BrokenPipeError):
            code = code or report(unwritten, debug="--debug" in given)
        sys.exit(code)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a reader that has gone (`| head`) has seen enough, and nothing is wrong."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            streams.drop()
            raise typer.Exit(0) from None

    def format_commands(self, _: Any, formatter: Any) -> None:
        """In groups, each with its whole summary."""
        help_words.write_commands(dict(self.commands), formatter)


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
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    """Print it, and end."""
    if wanted:
        typer.echo(f"stream-app {version('stream-app')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Kafka brokers, host:port, separated by commas.", metavar="HOST:PORT")
    ] = None,
    topic_prefix: Annotated[str | None, typer.Option(help="Put before every topic name.", metavar="PREFIX")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Global options, before or after the command."""
    current.set(Invocation(bootstrap_servers, topic_prefix))
    if debug:
        logging.basicConfig(level=logging.DEBUG)
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def main() -> None:
    """Entry point of the program."""
    app(prog_name="stream-app")
