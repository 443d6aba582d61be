"""`stream-app show` and `label`: one event with all that is known of it, and what became of it."""

import threading
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer

from models import words
from schemas.errors import UserError
from schemas.scoring import Label
from schemas.topics import AUDIT, LABELS
from stream_app.audit.record import audit_record
from stream_app.cli import readable
from stream_app.cli.configured import connected_settings
from stream_app.cli.detector import Detector, serving_detector
from stream_app.cli.invocation import issuer
from stream_app.cli.options import Json
from stream_app.cli.publish import PROPERTIES, PacedProducer
from stream_app.cli.readable import clean, moment
from stream_app.cli.terminal import console, out, out_json, table, waiting
from stream_app.kafka import clients, topics
from stream_app.replay.lookup import CaseFile, Lookup, Tell
from stream_app.rollout.control_producer import ControlProducer
from stream_app.settings import Settings

app = typer.Typer(rich_markup_mode=None)

RECORDS = 200_000

Wanted = Annotated[str, typer.Argument(metavar="ID", help="Of an event, or its place: TOPIC:PARTITION:OFFSET.")]
Records = Annotated[
    int, typer.Option(min=1, metavar="N", help="How far to search: the newest N records of each partition.")
]


class Verdict(StrEnum):
    """What became of an event."""

    FRAUD = "fraud"
    LEGITIMATE = "legitimate"


@app.command(epilog="Example: stream-app show 20180430-000528; stream-app show --entity 596")
def show(
    *,
    wanted: Annotated[
        str, typer.Argument(metavar="ID", help="Of an event or of an entity, or a place: TOPIC:PARTITION:OFFSET.")
    ],
    entity: Annotated[bool, typer.Option("--entity", help="ID is of an entity, whatever events are called.")] = False,
    latest: Annotated[int, typer.Option(min=1, help="So many of the entity's latest events.")] = 10,
    records: Records = RECORDS,
    detector: Detector = None,
    as_json: Json = False,
) -> None:
    """Show an event: what was decided and why, its receipt, its label, its entity's latest events.

    Or an entity with its latest events, where ID is the id of no event.
    """
    settings = connected_settings()
    with waiting(f"searching for {wanted}") as tell:
        lookup = Lookup(settings, serving_detector(detector, settings), records, tell)
        found = None if entity else lookup.event(wanted)
        whose = wanted if found is None else found.entity
        partition = None if found is None else found.source.partition
        others = [] if whose is None else lookup.latest(whose, latest, partition)
        if found is None and not others:
            raise UserError(
                f"no {'' if entity else 'event and no '}entity {wanted} among the newest {records:,} records of each "
                "partition: look at the id, or search further with --records"
            )
        tell("making the receipt")
        receipt = None if found is None or found.anomaly is None else _receipt(settings, found, tell)
    if as_json:
        events = [_as_data(other) for other in others]
        out_json({"event": found and _as_data(found), "receipt": receipt, "entity": whose, "latest": events})
        return
    if found is not None:
        _tell(found, receipt)
    if whose is not None:
        _tell_latest(whose, others, found)


@app.command(epilog='Example: stream-app label 20180430-000528 fraud --note "customer called"')
def label(
    *,
    wanted: Wanted,
    verdict: Annotated[Verdict, typer.Argument(help="What became of it.")],
    note: Annotated[str, typer.Option(help="How this is known; goes on record.")] = "",
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Label it though the topics do not hold it any more.")
    ] = False,
    records: Records = RECORDS,
    detector: Detector = None,
    as_json: Json = False,
) -> None:
    """Say what became of an event: fraud or legitimate. A later label takes the place of an earlier one."""
    settings = connected_settings()
    topics.ensure(settings, (LABELS, AUDIT))
    event_id, known, entities = wanted, None, dict[str, str]()
    if not unseen:
        with waiting(f"searching for {wanted}") as tell:
            found = Lookup(settings, serving_detector(detector, settings), records, tell).event(wanted)
        if found is None or found.event_id is None:
            raise UserError(
                f"no event {wanted} among the newest {records:,} records of each partition: look at the id, search "
                "further with --records, or give --unseen"
            )
        event_id, known = found.event_id, found.event or found.anomaly
        entities = {} if found.event is None else found.event.entities
    actor = issuer()
    record = Label(event_id, verdict is Verdict.FRAUD, datetime.now(UTC), source=actor, note=note or None)
    if known is not None:
        record = msgspec.structs.replace(record, entity=known.entity, event_time=known.event_time, entities=entities)
    producer = PacedProducer(clients.producer(settings, **PROPERTIES), threading.Event())
    value = event_id.encode(), msgspec.json.encode(record)
    producer.publish(topics.name(settings, LABELS), [value], None, lambda _: None)
    trail = ControlProducer(settings)
    trail.audit(audit_record(actor, "label", f"event {event_id}", reason=note, effect=str(verdict)))
    trail.close()
    if as_json:
        out_json(record)
    else:
        out(clean(f"event {event_id} is labelled: {verdict}"))


def _receipt(settings: Settings, found: CaseFile, tell: Tell) -> dict[str, Any]:
    """Whether record and model give the same decision again: `differences` is empty then; or why nobody can tell."""
    from models.passing import sentence
    from stream_app.cli.replay import model_of  # torch: only where there is something to compute
    from stream_app.replay import receipt

    if found.anomaly is None:
        return {}
    try:
        runtime = model_of(settings, None, found.anomaly.model.sha256)
        made = receipt.receipt(settings, found.anomaly, runtime, tell)
    except (UserError, OSError) as error:
        return {"error": str(error)}
    figures = {"score": made.score, "threshold": made.threshold, "differences": made.differences}
    return {**figures, "passing": made.passing, "would_pass": sentence(made.passing)}


def _as_data(found: CaseFile) -> dict[str, Any]:
    fields = {name: getattr(found, name) for name in CaseFile.__slots__}
    reasons = [words.reason(part) for part in found.anomaly.explanation] if found.anomaly else []
    return {**fields, "decision": found.decision, "reasons": reasons}


def _tell(found: CaseFile, receipt: dict[str, Any] | None) -> None:
    known = found.event or found.anomaly
    head = (
        f"{found.source}: no event that can be read" if known is None else f"event {found.event_id}  [{found.source}]"
    )
    out(clean(head))
    if known is not None:
        out(clean(f"  {'  '.join([moment(known.event_time), f'entity {known.entity}', *words.fields(known.fields)])}"))
    out(clean(f"  {found.decision}"))
    if (a := found.anomaly) is not None:
        out(clean(f"  score {a.score:.4g} over {a.threshold:.4g} (p {a.p_value:.2g}) by {a.model}"))
        for part in a.explanation:
            out(clean(f"    {readable.reason(part)}"))
    if receipt is not None:
        if receipt.get("would_pass"):
            out(clean(f"  {receipt['would_pass']}"))
        differs = receipt.get("differences")
        same = "the same again: score, threshold and reasons follow from the log and the model"
        why = f"cannot be made: {receipt.get('error')}" if differs is None else "; ".join(differs) or same
        out(clean(f"  receipt: {why}"))
    out(clean(f"  label: {_label(found)}"))


def _tell_latest(entity: str, events: list[CaseFile], shown: CaseFile | None) -> None:
    out(clean(f"latest events of entity {entity}:"))
    listed = table("", "time", "event", "fields", "decision", "label")
    for found in events:
        if found.event is not None:
            here = ">" if shown is not None and _where(shown) == _where(found) else ""
            known = ", ".join(words.fields(found.event.fields))
            cells = moment(found.event.event_time), found.event.event_id, known, found.decision, _label(found)
            listed.add_row(here, *map(clean, cells))
    console().print(listed, markup=False)


def _where(found: CaseFile) -> tuple[int, int]:
    return found.source.partition, found.source.offset


def _label(found: CaseFile) -> str:
    label = found.label
    if label is None:
        return "none"
    by = f" by {label.source}" if label.source else ""
    note = f": {label.note}" if label.note else ""
    return f"{'fraud' if label.fraud else 'legitimate'}, {moment(label.labelled_at)}{by}{note}"
