"""Anomalies on the page: found by address and by customer, told in words, with ids masked where that is asked for."""

from urllib.parse import quote

import pytest

from stream_app.ops.anomalies import FOUND_AT_MOST, REMEMBERED, SHOWN
from tests.unit.stream_app.ops.ops_records import anomaly, label
from tests.unit.stream_app.ops.test_ops_web import Worker

NOON = anomaly(0).event_time


def asked(worker: Worker, query: str) -> list[dict]:
    return worker.http.get(f"/api/anomalies?{query}").json()["anomalies"]


@pytest.fixture
def worker() -> Worker:
    made = Worker()
    for number in range(REMEMBERED + 5):
        made.board.post(anomaly(number, entity=f"c{number % 3}"), NOON)
    return made


def test_the_page_begins_with_the_newest(worker: Worker) -> None:
    shown = worker.http.get("/api/state").json()["anomalies"]
    assert [entry["anomaly"]["event_id"] for entry in shown] == [f"tx{REMEMBERED + 4 - i}" for i in range(SHOWN)]
    assert asked(worker, "") == shown


def test_an_anomaly_has_an_address_as_long_as_it_is_remembered(worker: Worker) -> None:
    (found,) = asked(worker, f"id={quote('transactions:0:5')}")
    assert found["anomaly"]["event_id"] == "tx5"
    assert asked(worker, f"id={quote('transactions:0:4')}") == []


def test_those_of_one_customer_are_found_newest_first_and_not_without_end(worker: Worker) -> None:
    found = asked(worker, "entity=c1")
    assert len(found) == FOUND_AT_MOST
    assert {entry["anomaly"]["entity"] for entry in found} == {"c1"}
    places = [entry["anomaly"]["source"]["offset"] for entry in found]
    assert places == sorted(places, reverse=True)
    assert asked(worker, "entity=nobody") == []


def test_words_are_those_of_the_terminal() -> None:
    worker = Worker()
    worker.board.post(anomaly(1), NOON)
    worker.board.post(label(1, True), NOON)
    (entry,) = asked(worker, "")
    assert entry["fields"] == ["amount 912.4 EUR", "terminal_id 3156", "lane 31"]
    assert entry["reasons"] == ["912.40 EUR, usually 40 to 77 (30 days), the model expects 54 of such an event"]
    assert entry["fraud"] is True


def test_of_an_event_of_which_nothing_is_shown_there_is_nothing() -> None:
    worker = Worker()
    worker.board.post(anomaly(1, fields={}), NOON)
    assert asked(worker, "")[0]["fields"] == []


@pytest.mark.parametrize(
    ("shown", "customer"), [(4, "…7890"), (0, "…"), (100, "…67890"), (None, "1234567890")], ids=str
)
def test_ids_are_masked_where_that_is_asked_for_and_found_either_way(shown: int | None, customer: str) -> None:
    worker = Worker(ids_shown=shown)
    worker.board.post(
        anomaly(1, entity="1234567890", event_id="t1234567890", fields={"terminal": "x1234567890", "card": 1234567890}),
        NOON,
    )
    worker.board.post(anomaly(2, entity="596"), NOON)
    worker.board.post(label(1, True), NOON)
    for query in ("entity=1234567890", f"entity={quote(customer)}", "id=transactions:0:1"):
        entry = asked(worker, query)[-1]
        assert entry["anomaly"]["entity"] == customer
        assert ("1234567890" in str(entry)) is (shown is None)
    if shown is not None:
        assert "596" not in worker.http.get("/api/state").text
