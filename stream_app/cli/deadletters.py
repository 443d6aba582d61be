"""`stream-app deadletters`: which records were refused and why, and those that are right by now back onto the input."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from models.replacing import replacing, require_place
from schemas.scoring import DeadLetter, RefusalCode
from schemas.topics import DEAD_LETTERS, REDELIVERIES
from stream_app.audit.record import audit_record
from stream_app.cli.configured import connected_settings
from stream_app.cli.invocation import issuer
from stream_app.cli.options import MOMENTS, Json, Reason
from stream_app.cli.terminal import console, out, out_json, progress, say, table, waiting
from stream_app.deadletters.letters import LetterCounts, Line, Wanted, read, read_values
from stream_app.deadletters.redelivery import Choice, Redelivery, Return
from stream_app.deadletters.replayed import Replayed
from stream_app.kafka import topics
from stream_app.rollout.control_producer import ControlProducer
from stream_app.settings import Settings

app = typer.Typer(rich_markup_mode=None)
group = typer.Typer(
    name="deadletters",
    help="Refused records: which there are, and back onto the input.",
    epilog="Example: stream-app deadletters list",
    rich_markup_mode=None,
    no_args_is_help=True,
)
app.add_typer(group)

REPLAY = "replay"
BAR = 30  # characters of the longest

Codes = Annotated[
    list[RefusalCode] | None, typer.Option("--code", metavar="CODE", help="Refused for this; may be given repeatedly.")
]
Since = Annotated[datetime | None, typer.Option(formats=MOMENTS, metavar="TIME", help="Refused from then on, UTC.")]
Until = Annotated[datetime | None, typer.Option(formats=MOMENTS, metavar="TIME", help="Refused before then.")]
Headers = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="NAME=VALUE", help="Whose original record had this header: its producer, say."),
]


@group.command(
    "list", epilog="Example: stream-app deadletters list --code wrong_type --since 2026-07-01 --out mend.jsonl"
)
def show(
    *,
    codes: Codes = None,
    since: Since = None,
    until: Until = None,
    headers: Headers = None,
    destination: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write them as JSON lines, to mend their values in.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Count refused records by reason and day; with --out, write them to a file in which values can be mended."""
    wanted = _wanted(codes, since, until, headers)
    if destination is not None:
        require_place(destination)
    settings = connected_settings()
    with waiting("reading dead letters"):
        topics.ensure(settings, (DEAD_LETTERS, REDELIVERIES))
        choice, counts = Choice(Replayed.on_record(settings)), LetterCounts()
        letters = _counted(read(settings, wanted), counts)
        if destination is not None:
            letters = _written(letters, destination)
        would = sum(1 for _ in choice.of(letters))
    if destination is not None:
        say(
            f"{counts.total:,} dead letters are in {destination}: mend `value`, then replay with --values {destination}"
        )
    if as_json:
        out_json(
            {
                "total": counts.total,
                "codes": counts.codes,
                "days": counts.days,
                "would_go_back": would,
                "left": choice.left,
            }
        )
    else:
        _print(counts)
        _print_left(choice)


@group.command(epilog="Example: stream-app deadletters replay --code missing_field --reason 'field is optional now'")
def replay(  # noqa: PLR0913 - one parameter for each option is typer's way
    *,
    codes: Codes = None,
    since: Since = None,
    until: Until = None,
    headers: Headers = None,
    values: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Those of this file, with its values: from `list --out`, mended."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    reason: Reason = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go back.")] = False,
    as_json: Json = False,
) -> None:
    """Put refused records back onto the input, each at most once however often this is run, with their headers.

    Mend first what refused them: the definition, a schema, or their values in a file (`list --out`). What went back
    before is left out, and what was refused three times. It is on audit.
    """
    wanted, mended = _wanted(codes, since, until, headers), None if values is None else read_values(values)
    settings = connected_settings()
    with waiting("reading dead letters"):
        topics.ensure(settings, (DEAD_LETTERS, REDELIVERIES))
        redelivery = None if dry_run else Redelivery(settings, issuer(), reason)
        choice, counts = Choice(Replayed.on_record(settings), mended), LetterCounts()
        returns = list(_first(choice.of(read(settings, wanted)), limit))
    for returned in returns:
        counts.add(returned.letter)
    sent = 0
    if redelivery is not None and returns:
        _put_on_audit(settings, len(returns), reason)
        with progress("replaying", len(returns)) as advance:
            for sent in redelivery.send(returns):
                advance(sent)
    if as_json:
        out_json({"would_go_back": counts.total, "went_back": sent, "codes": counts.codes, "left": choice.left})
        return
    _print(counts)
    _print_left(choice)
    if dry_run or not returns:
        out(f"{counts.total:,} would go back" if dry_run else "0 are back on the input: there is nothing to put back")
    else:
        out(f"{sent:,} are back on the input; it is on audit")


def _put_on_audit(settings: Settings, count: int, reason: str) -> None:
    record = audit_record(issuer(), REPLAY, "dead letters", reason=reason, effect=f"{count:,} back onto the input")
    with closing(ControlProducer(settings)) as publisher:
        publisher.audit(record)


def _wanted(
    codes: Sequence[RefusalCode] | None, since: datetime | None, until: datetime | None, headers: Sequence[str] | None
) -> Wanted:
    pairs = [header.partition("=") for header in headers or ()]
    if any(not sign or not name for name, sign, _ in pairs):
        raise typer.BadParameter("write NAME=VALUE", param_hint="--header")
    first, last = (None if at is None else at.replace(tzinfo=UTC) for at in (since, until))
    return Wanted(frozenset(codes or ()), first, last, {name: value for name, _, value in pairs})


def _counted(letters: Iterable[DeadLetter], counts: LetterCounts) -> Iterator[DeadLetter]:
    for letter in letters:
        counts.add(letter)
        yield letter


def _written(letters: Iterable[DeadLetter], path: Path) -> Iterator[DeadLetter]:
    with replacing(path) as partial, partial.open("wb") as lines:
        for letter in letters:
            lines.write(msgspec.json.encode(Line.of(letter)) + b"\n")
            yield letter


def _first(returns: Iterator[Return], limit: int | None) -> Iterator[Return]:
    for count, returned in enumerate(returns, start=1):
        yield returned
        if count == limit:
            return


def _print(counts: LetterCounts) -> None:
    """A bar for each reason, with the latest sentence, and one for each day."""
    if not counts.total:
        out("no dead letters of this kind")
        return
    shown = table("refused for", "records", "", "for example", right=("records",))
    for code, count in counts.codes.most_common():
        shown.add_row(code, f"{count:,}", _bar(count, counts.codes.most_common(1)[0][1]), counts.examples[code])
    console().print(shown, markup=False)
    days = table("on (UTC)", "records", "", right=("records",))
    for day, count in sorted(counts.days.items()):
        days.add_row(day, f"{count:,}", _bar(count, max(counts.days.values())))
    console().print(days)


def _bar(count: int, most: int) -> str:
    return "█" * max(1, round(BAR * count / most))


def _print_left(choice: Choice) -> None:
    for why, count in choice.left.items():
        out(f"{count:,} stay: {why}")
