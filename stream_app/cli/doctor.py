"""`stream-app doctor`: every check in turn, a line each, and what to change where one fails."""

from typing import Annotated

import typer

from stream_app.cli.checks import examine
from stream_app.cli.configured import settings, without_log
from stream_app.cli.diagnosis import Diagnosis
from stream_app.cli.terminal import bad, good, out, out_json

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: stream-app doctor --bootstrap-servers kafka-1:9092")
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Create missing topics; else nothing is written.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The findings, as JSON.")] = False,
) -> None:
    """Check settings, port, disk, broker, rights, topics, the model, and what runs now.

    Exit code 1 if something has to be changed.
    """
    without_log()
    findings = []
    for finding in examine(settings, fix):
        findings.append(finding)
        if not as_json:
            _print(finding)
    wrong = [finding for finding in findings if not finding.ok]
    if as_json:
        out_json(findings)
    elif wrong:
        out(bad(f"{len(wrong)} of {len(findings)} to be put right: {', '.join(dict.fromkeys(f.check for f in wrong))}"))
    else:
        out(good(f"all is well: {len(findings)} checks"))
    if wrong:
        raise typer.Exit(1)


def _print(finding: Diagnosis) -> None:
    out(f"{good('ok   ') if finding.ok else bad('WRONG')}  {finding.check:<11}  {finding.says}")
    if finding.advice:
        out(f"{'':<20}-> {finding.advice}")
