"""`stream-app define`: a first definition for somebody's own events."""

from pathlib import Path
from typing import Annotated

import typer

from stream_app.cli.configured import settings
from stream_app.cli.terminal import say, waiting

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: stream-app define payments.csv --out detector.toml")
def define(
    sample: Annotated[
        Path, typer.Argument(metavar="SAMPLE", help="Parquet, CSV or JSON lines, gzipped or not; or topic:NAME.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="TOML", help="Where it goes.")] = Path("detector.toml"),
) -> None:
    """Propose a definition from a sample of events: id, time, entity, label and inputs, each with the reason why.

    It is a beginning: read it, and correct what is wrong. `train` reads ./detector.toml by itself.
    """
    if out.exists():
        raise typer.BadParameter(f"{out} is there already: name another, or take it away", param_hint="--out")
    with waiting(f"looking at {sample}"):
        from models.data.proposal import propose
        from models.definition import load
        from stream_app.cli.topic_data import as_they_are, on_disk

        with on_disk([sample], settings(), as_they_are) as (file,):
            text = propose(file)
    out.write_text(text, "utf-8")
    inputs = len(load(out).inputs)
    say(f"{out} reads {inputs} inputs of each event; next: stream-app train {sample} --detector {out} --out model.pt")
