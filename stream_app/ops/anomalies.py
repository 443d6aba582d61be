"""The newest anomalies as the page shows them: in words, with what became of them, ids masked if that is set."""

from collections.abc import Callable, Iterator
from itertools import islice

import msgspec
from msgspec import Struct

from models import words
from schemas.scoring import Anomaly, FieldValue

REMEMBERED = 2000
SHOWN = 20
FOUND_AT_MOST = 50


class ShownAnomaly(Struct, frozen=True):
    """An anomaly, what became of it where that is known, and its figures in words.

    Attributes:
        anomaly: Its ids are masked where that is asked for.
        fraud: None while there is no label.
        fields: One for each of its own.
        reasons: One for each of its explanation.
    """

    anomaly: Anomaly
    fraud: bool | None
    fields: list[str]
    reasons: list[str]


class RecentAnomalies:
    """The last anomalies, by id: what is read twice is there once. One thread at a time.

    Args:
        verdict: What became of an event, by its id.
        ids_shown: Characters at the end of an id that are shown; None: all.
    """

    def __init__(self, verdict: Callable[[str], bool | None], ids_shown: int | None = None) -> None:
        self._verdict = verdict
        self._ids_shown = ids_shown
        self._records: dict[str, Anomaly] = {}

    def post(self, anomaly: Anomaly) -> None:
        """Remember one, the oldest making room."""
        self._records.setdefault(anomaly.anomaly_id, anomaly)
        if len(self._records) > REMEMBERED:
            del self._records[next(iter(self._records))]

    def newest(self) -> list[ShownAnomaly]:
        """Those that the page begins with."""
        return [*map(self._shown, islice(reversed(self._records.values()), SHOWN))]

    def by_id(self, anomaly_id: str) -> list[ShownAnomaly]:
        """The one with this id, if it is remembered."""
        found = self._records.get(anomaly_id)
        return [] if found is None else [self._shown(found)]

    def of(self, entity: str) -> list[ShownAnomaly]:
        """Those of an entity, newest first; a masked id finds all that are shown so."""
        return [*map(self._shown, islice(self._of(entity), FOUND_AT_MOST))]

    def _of(self, entity: str) -> Iterator[Anomaly]:
        for anomaly in reversed(self._records.values()):
            if entity in (anomaly.entity, self._masked(anomaly.entity)):
                yield anomaly

    def _shown(self, anomaly: Anomaly) -> ShownAnomaly:
        masked = msgspec.structs.replace(
            anomaly,
            event_id=self._masked(anomaly.event_id),
            entity=self._masked(anomaly.entity),
            fields={path: self._private(value) for path, value in anomaly.fields.items()},
        )
        verdict, reasons = self._verdict(anomaly.event_id), [*map(words.reason, anomaly.explanation)]
        return ShownAnomaly(masked, verdict, words.fields(masked.fields), reasons)

    def _private(self, value: FieldValue) -> FieldValue:
        """A field of an event where ids are masked: texts and whole numbers may be ids, others are not."""
        is_id = isinstance(value, str | int) and not isinstance(value, bool)
        return self._masked(str(value)) if self._ids_shown is not None and is_id else value

    def _masked(self, text: str) -> str:
        """The end of an id, never more than half of it."""
        if self._ids_shown is None:
            return text
        end = min(self._ids_shown, len(text) // 2)
        return "…" + text[len(text) - end :]
