"""`stream-app worker`: scores the input topic."""

from typing import Annotated

import typer

from stream_app.cli.configured import settings

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: stream-app worker --web-port 6067")
def worker(
    web_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="The page, /metrics and /health; a free one for each worker.")
    ] = None,
) -> None:
    """Run a worker: score the input topic until Ctrl-C or SIGTERM."""
    from stream_app.host import surroundings
    from stream_app.ops import access

    chosen = settings(web_port=web_port)
    access.token(chosen)
    surroundings.require(chosen)  # what is wrong is told before torch and Faust are loaded, which takes seconds
    from stream_app.host.worker import run

    raise typer.Exit(run(chosen) or 0)
