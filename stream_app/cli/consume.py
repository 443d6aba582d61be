"""`stream-app consume`: prints the committed records of a topic, one a line, readable or as JSON."""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import msgspec
import typer
from confluent_kafka import Message

from schemas.topics import DEAD_LETTERS, OF_JSON, TRANSACTIONS, Topic
from stream_app.cli.configured import connected_settings
from stream_app.cli.readable import Reader, as_json_line
from stream_app.cli.terminal import severities
from stream_app.kafka.log import Tail, read_to_end
from stream_app.kafka.records import RecordDecoder, Unreadable
from stream_app.settings import Settings

app = typer.Typer(rich_markup_mode=None)

POLL_S = 0.2
CHUNK = 500
NAMES = ", ".join(topic.name for topic in OF_JSON)
AFTER_EVERYTHING = datetime(9999, 1, 1, tzinfo=UTC)  # later than any record: a log from here on is yet to come


@app.command(epilog="Example: stream-app consume anomalies --from-beginning --entity 596")
def consume(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help=f"Without prefix, one of: {NAMES}.")],
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Not only what is yet to come.")] = False,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Everything up to the end as it is now, then stop.")
    ] = False,
    entity: Annotated[str | None, typer.Option(metavar="ID", help="Only of this entity; --max counts these.")] = None,
    maximum: Annotated[int | None, typer.Option("--max", min=1, help="Stop after so many records.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The values as they are, one JSON document a line.")] = False,
) -> None:
    """Print the records of a topic: an anomaly as a line with its reasons, a dead letter with what was wrong."""
    declared = declaration(topic)
    line = as_json_line if as_json else Reader(declared).line
    coloured = str if as_json else severities
    wanted = _of_entity(declared, entity)
    left = maximum if maximum is not None else sys.maxsize
    settings = connected_settings()
    with suppress(KeyboardInterrupt):
        for messages in batches(settings, declared, from_beginning, until_end):
            shown = [message.value() for message in messages if wanted(message)][:left]
            sys.stdout.writelines(f"{coloured(line(value))}\n" for value in shown)
            sys.stdout.flush()
            left -= len(shown)
            if not left:
                return


class _Owned(msgspec.Struct):
    """The field by which a record is an entity's."""

    entity: str


def _of_entity(topic: Topic, entity: str | None) -> Callable[[Message], bool]:
    """Whether a record is of this entity; every record is, where none is given."""
    if entity is None:
        return lambda _: True
    if topic in (DEAD_LETTERS, TRANSACTIONS):  # what producers write is an entity's by its key
        return lambda message: message.key() == entity.encode()
    if "entity" not in getattr(topic.record, "__struct_fields__", ()):
        raise typer.BadParameter(f"the records of {topic.name} are of no entity", param_hint="--entity")
    decode = RecordDecoder[_Owned](_Owned).decoded

    def is_of(message: Message) -> bool:
        owned = decode(message.value())
        return not isinstance(owned, Unreadable) and owned.entity == entity

    return is_of


def declaration(topic: str) -> Topic:
    """The declared topic of this name.

    Raises:
        typer.BadParameter: there is none.
    """
    for declared in OF_JSON:
        if declared.name == topic:
            return declared
    raise typer.BadParameter(f"there is no topic {topic!r}: choose one of {NAMES}")


def batches(settings: Settings, topic: Topic, from_beginning: bool, until_end: bool) -> Iterator[list[Message]]:
    """The records, a handful at a time: to the end that the topic has now, or for ever."""
    if until_end:
        records = read_to_end(settings, topic)
        while chunk := list(islice(records, CHUNK)):
            yield chunk
        return
    with Tail(settings, [topic], None if from_beginning else AFTER_EVERYTHING) as tail:
        while True:
            yield tail.poll(POLL_S)
