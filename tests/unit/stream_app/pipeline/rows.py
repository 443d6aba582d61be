"""Small batches to put through stages: real events in messages."""

from datetime import UTC, datetime

import msgspec
import numpy as np

from models.manifest import SignalReference, signal_layout
from models.runtime import Scored
from schemas.definition import Definition, EventFields, Input
from schemas.scoring import Severity
from stream_app.pipeline.batch import Raw, Reasoned
from stream_app.testing.memory_cluster import MemoryMessage

INPUTS = [
    Input("amount", "amount", "EUR", "reject", least=0),
    Input("customer_nb_tx_1d", "features.customer_nb_tx_1d", "1/day", "impute", "window"),
    Input("terminal_risk_7d", "features.terminal_risk_7d", "share", "impute", "risk"),
]
DEFINITION = Definition("small", EventFields("transaction_id", "event_time", "customer_id"), tuple(INPUTS))
LATENTS = 2
AT = datetime(2018, 7, 26, 0, 0, 31, tzinfo=UTC)  # a day later than the events


def event(**changes: object) -> dict[str, object]:
    """One valid transaction; a change to `...` leaves the field out."""
    fields: dict[str, object] = {
        "transaction_id": "4782313",
        "event_time": "2018-07-25T00:00:31Z",
        "customer_id": "596",
        "terminal_id": "3156",
        "amount": 57.16,
        "currency": "EUR",
        "features": {"customer_nb_tx_1d": 2.0, "terminal_risk_7d": 0.0},
    } | changes
    return {name: value for name, value in fields.items() if value is not ...}


def encoded(**changes: object) -> bytes:
    """The same as bytes."""
    return msgspec.json.encode(event(**changes))


def raw(*values: bytes | None, partitions: list[int] | None = None) -> Raw:
    """A micro-batch; offsets count up in each partition."""
    places = partitions or [0] * len(values)
    offsets = [places[:row].count(partition) for row, partition in enumerate(places)]
    spans = {partition: (0, places.count(partition)) for partition in places}
    messages = [
        MemoryMessage(value, offset, AT, partition)
        for value, offset, partition in zip(values, offsets, places, strict=True)
    ]
    return Raw(list(values), places, offsets, messages, spans)


def scored(rows: int, seed: int = 0) -> Scored:
    """What some model might say of these rows."""
    random = np.random.default_rng(seed)
    contributions = random.exponential(size=(rows, len(INPUTS))).astype(np.float32)
    return Scored(
        score=contributions.sum(axis=1),
        contributions=contributions,
        reconstruction=random.normal(size=(rows, len(INPUTS))).astype(np.float32),
        latent=random.normal(size=(rows, LATENTS)).astype(np.float32),
        standardised=random.normal(size=(rows, len(INPUTS))).astype(np.float32),
        residual=random.normal(size=(rows, len(INPUTS))).astype(np.float32),
    )


def references() -> list[SignalReference]:
    """A standard normal for every signal."""
    edges = [-1.0, 0.0, 1.0]
    return [
        SignalReference(name, 0.0, 1.0, 3.0, edges, [0.16, 0.34, 0.34, 0.16]) for name in signal_layout(INPUTS, LATENTS)
    ]


def reasoned(*p_values: float) -> Reasoned:
    """An anomaly in each of the first rows, with these p-values and no reasons."""
    a = len(p_values)
    nothing = np.zeros((a, 0))
    return Reasoned(np.arange(a), np.array(p_values), [Severity.HIGH] * a, nothing.astype(np.int64), nothing)
