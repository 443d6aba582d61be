"""Reasons in words: what came, what is usual for that entity, what the model expects; in the bounds of the unit."""

import numpy as np
import pytest

from models import words
from models.definition import cards
from models.usual import usual
from schemas.definition import Input
from schemas.scoring import Reason, Usual

INPUTS = [
    Input("spent", "spent", "EUR", "reject"),
    Input("week", "week", "EUR", "impute", "window", ("spent",), "7d", "in_week"),
    Input("in_week", "in_week", "1/(7 d)", "impute", "window", (), "7d"),
    Input("month", "month", "EUR", "impute", "window", ("spent", "week"), "30d", "in_month"),
    Input("in_month", "in_month", "1/(30 d)", "impute", "window", ("in_week",), "30d"),
]


def row(spent: float, week: float, in_week: float, month: float, in_month: float) -> np.ndarray:
    return np.array([spent, week, in_week, month, in_month], dtype=np.float32)


def test_what_is_usual_is_the_range_of_the_means_without_the_event_itself():
    known = usual(INPUTS, 0, row(455.2, (3 * 40 + 455.2) / 4, 4, (10 * 77 + 455.2) / 11, 11))
    assert known == Usual(pytest.approx(40, rel=1e-4), pytest.approx(77, rel=1e-4), "30d")


def test_a_window_with_nothing_but_the_event_tells_nothing():
    assert usual(INPUTS, 0, row(455.2, 455.2, 1, 77, 1)) is None
    known = usual(INPUTS, 0, row(100, 100, 1, 75, 2))
    assert known == Usual(50, 50, "30d")


def test_a_window_that_is_missing_tells_nothing():
    assert usual(INPUTS, 0, row(1, np.nan, 4, np.nan, 4)) is None
    assert usual(INPUTS, 0, row(1, 2, np.nan, 3, np.nan)) is None


def test_counts_are_compared_over_the_same_time_and_means_with_means():
    assert usual(INPUTS, 2, row(1, 1, 5, 1, 30)) == Usual(7, 7, "30d")
    assert usual(INPUTS, 1, row(1, 90, 5, 60, 30)) == Usual(60, 60, "30d")


def test_an_input_of_which_no_other_tells_has_no_usual():
    assert usual(INPUTS, 4, row(1, 1, 1, 1, 1)) is None


def test_a_manifest_that_counts_with_what_is_not_there_stops_nobody():
    alone = [INPUTS[0], Input("month", "month", "EUR", "impute", "window", ("spent", "gone"), "30d", "gone")]
    assert usual(alone, 0, np.array([9.0, 5.0], dtype=np.float32)) == Usual(5, 5, "30d")


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (
            Reason("a", 455.2, 158.3, 0.5, "EUR", Usual(40.2, 77.1, "30d")),
            "455.20 EUR, usually 40 to 77 (30 days), the model expects 158 of such an event",
        ),
        (Reason("a", 0.5, -0.0001281, 0.5, "EUR"), "0.50 EUR, the model expects 0 of such an event"),
        (
            Reason("a", 9.0, 42.7, 0.5, "EUR", Usual(7.25, 7.25)),
            "9.00 EUR, usually 7.25, the model expects 43 of such an event",
        ),
        (Reason("f", 1.0, 0.42, 0.5, "flag"), "yes, the model expects yes of 42 % of such events"),
        (Reason("f", 0.0, 1.3, 0.5, "flag"), "no, the model expects yes of 100 % of such events"),
        (
            Reason("s", 0.62, -0.0001281, 0.5, "share", Usual(0.011, 0.011, "1d")),
            "62 %, usually 1.1 % (1 day), the model expects 0 % of such an event",
        ),
        (Reason("n", 12.0, -3.0, 0.5, "1/d"), "12 a day, the model expects 0 of such an event"),
        (Reason("n", 12.0, 2.4, 0.5, "1/(7 d)"), "12 in 7 days, the model expects 2.4 of such an event"),
        (Reason("t", -4.5, -3.25, 0.5, "°C"), "-4.5 °C, the model expects -3.25 of such an event"),
        (Reason("x", None, 50.0, 0.5), "missing, the model expects 50 of such an event"),
    ],
)  # fmt: skip
def test_a_reason_in_words(reason, sentence):
    assert words.reason(reason) == sentence


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567, "1,234,567"), (999.6, "1,000"), (455.4, "455"), (45.04, "45"), (4.567, "4.57"), (0.0123, "0.012"),
     (1e-5, "1.0e-05"), (0.0, "0"), (-2.0, "-2"), (100.0, "100"), (None, "missing")],
)  # fmt: skip
def test_a_number_has_about_three_digits(value, text):
    assert words.number(value) == text


def test_the_projects_own_specification_says_what_is_usual_of_an_amount():
    of_amount = {entry.over: entry.count for entry in cards().inputs if "amount" in entry.usual_of}
    assert of_amount == {f"{days}d": f"customer_nb_tx_{days}d" for days in (1, 7, 30)}


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"amount": 882.55, "currency": "EUR", "terminal_id": "7"}, ["amount 882.55 EUR", "terminal_id 7"]),
        ({"items": 3, "price.value": 9.5, "price.currency": "SEK"}, ["items 3", "price.value 9.5 SEK"]),
        ({"fee": 1, "amount": 2, "fee_currency": "USD"}, ["fee 1 USD", "amount 2"]),
        ({"load": 0.5, "load_unit": "kN", "ok": True}, ["load 0.5 kN", "ok yes"]),
        ({"currency": "EUR", "amount": 5}, ["currency EUR", "amount 5"]),
        ({"amount_minor": 882, "currency": "EUR"}, ["amount_minor 882", "currency EUR"]),  # 8.82 EUR
        ({"amount": "1,5", "currency": "EUR"}, ["amount 1,5", "currency EUR"]),
        ({"amount": 2, "shop.currency": "EUR"}, ["amount 2", "shop.currency EUR"]),
        ({"amount": 2, "currency": 978}, ["amount 2", "currency 978"]),
    ],
)
def test_a_unit_stands_behind_the_number_that_it_is_of(values, shown):
    assert words.fields(values) == shown
