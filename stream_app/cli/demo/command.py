"""`stream-app demo`: the whole story on an embedded broker."""

import typer

from stream_app.cli.configured import settings

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: stream-app demo")
def demo() -> None:
    """Tell the whole story on an embedded broker, in a minute and a half or so.

    A person gets the address of the page, and it stays up until Ctrl-C. Piped, it ends by itself.
    """
    from stream_app.cli.demo.story import run_demo

    raise typer.Exit(run_demo(settings()) or 0)
