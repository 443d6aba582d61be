"""The newest anomalies as the page shows them: in words, with what became of them, ids masked if that is set."""

from collections.abc import Callable, Iterator
from itertools import islice

import msgspec
from msgspec import Struct

from models import words
from schemas.transactions import Anomaly

REMEMBERED = 2000
SHOWN = 20
FOUND_AT_MOST = 50


class ShownAnomaly(Struct, frozen=True):
    """An anomaly, what became of it where that is known, and its figures in words.

    Attributes:
        anomaly: Its ids are masked where that is asked for.
        fraud: None while there is no label.
        amount: Empty where the record has none.
        reasons: One for each of its explanation.
    """

    anomaly: Anomaly
    fraud: bool | None
    amount: str
    reasons: list[str]


class RecentAnomalies:
    """The last anomalies, by id: what is read twice is there once. One thread at a time.

    Args:
        verdict: What became of a transaction, by its id.
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
        """Those of a customer, newest first; a masked id finds all that are shown so."""
        return [*map(self._shown, islice(self._of(entity), FOUND_AT_MOST))]

    def _of(self, entity: str) -> Iterator[Anomaly]:
        for anomaly in reversed(self._records.values()):
            if entity in (anomaly.customer_id, self._masked(anomaly.customer_id)):
                yield anomaly

    def _shown(self, anomaly: Anomaly) -> ShownAnomaly:
        masked = msgspec.structs.replace(
            anomaly,
            transaction_id=self._masked(anomaly.transaction_id),
            customer_id=self._masked(anomaly.customer_id),
            terminal_id=None if anomaly.terminal_id is None else self._masked(anomaly.terminal_id),
        )
        amount = "" if anomaly.amount is None else words.quantity(anomaly.amount, anomaly.currency or "")
        return ShownAnomaly(
            masked, self._verdict(anomaly.transaction_id), amount, [*map(words.reason, anomaly.explanation)]
        )

    def _masked(self, text: str) -> str:
        """The end of an id, never more than half of it."""
        if self._ids_shown is None:
            return text
        end = min(self._ids_shown, len(text) // 2)
        return "…" + text[len(text) - end :]
