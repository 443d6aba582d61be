"""`stream-app doctor`: every check in turn, a line each, and what to change where one fails."""

from typing import Annotated

import typer

from stream_app.cli.checks import examine
from stream_app.cli.configured import settings
from stream_app.cli.terminal import out, out_json

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: stream-app doctor --bootstrap-servers kafka-1:9092")
def doctor(as_json: Annotated[bool, typer.Option("--json", help="The findings, as JSON.")] = False) -> None:
    """Check settings, broker, permissions, topics, the model in service, port and disk; create topics that are missing.

    Exit code 1 if something has to be changed.
    """
    findings = []
    for finding in examine(settings()):
        findings.append(finding)
        if not as_json:
            out(f"{'ok   ' if finding.ok else 'WRONG'}  {finding.check:<11}  {finding.says}")
            if finding.advice:
                out(f"{'':<20}-> {finding.advice}")
    if as_json:
        out_json(findings)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
