"""Options that several commands share."""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

DAY_FORMAT = "%Y-%m-%d"
PLACES = "a path, file://, s3://, http(s)://, models:/NAME/VERSION or models:/NAME@ALIAS"

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]

Reason = Annotated[str, typer.Option(help="Why, for the audit trail.")]
Timeout = Annotated[
    float | None,
    typer.Option(min=0.1, metavar="SECONDS", help="How long to wait. Default: as long as workers may take."),
]
GateData = Annotated[
    Path | None,
    typer.Option(metavar="DATA", help="Recent events: the gates must let MODEL pass. Default: the setting."),
]
OverrideReason = Annotated[
    str | None, typer.Option(metavar="REASON", help="Put MODEL through whatever the gates say; goes on record.")
]

Destination = Annotated[Path, typer.Option("--out", metavar="MODEL", help="Where the artefact goes.")]
Budget = Annotated[
    str | None,
    typer.Option(
        help='How many events may alert: "0.3 %", "200 a day" or "at most 30 % false". Default: 1 %, or as it was.'
    ),
]
SignWith = Annotated[
    Path | None, typer.Option(metavar="NAME.key", help="Private key to release it with, as `sign` does.")
]

MOMENTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]
DATA_HELP = (
    "Parquet, CSV or JSON lines, gzipped or not: files, folders of parts or patterns, with the columns that the "
    "detector reads. For train, evaluate and define also topic:NAME, a topic of records."
)
DataFiles = Annotated[list[Path], typer.Argument(metavar="DATA", help=DATA_HELP)]
FirstDay = Annotated[
    datetime | None, typer.Option("--from", formats=[DAY_FORMAT], metavar="DAY", help="First day (UTC), 2018-07-11.")
]
LastDay = Annotated[
    datetime | None, typer.Option("--until", formats=[DAY_FORMAT], metavar="DAY", help="Last day, itself included.")
]


def named(data: Sequence[Path]) -> str:
    """The files, for a line."""
    return ", ".join(map(str, data))


def day(at: datetime | None) -> date | None:
    """The day that an option names."""
    return None if at is None else at.date()
