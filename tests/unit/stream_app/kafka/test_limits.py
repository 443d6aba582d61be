"""Timeouts that the brokers would refuse are named before a worker joins a group."""

from stream_app.kafka.limits import beyond
from stream_app.settings import Settings

USUAL = {
    "group.min.session.timeout.ms": "6000",
    "group.max.session.timeout.ms": "1800000",
    "transaction.max.timeout.ms": "900000",
}


def test_the_defaults_are_within_the_limits_of_usual_brokers():
    assert beyond(Settings(), USUAL) == []
    assert beyond(Settings(), {}) == []


def test_each_timeout_beyond_a_limit_is_named_with_the_limit():
    strict = {"group.max.session.timeout.ms": "9000", "transaction.max.timeout.ms": "10000"}
    assert beyond(Settings(), {**USUAL, **strict}) == [
        "session_timeout_ms is 10000, but the brokers take at most 9000 (group.max.session.timeout.ms)",
        "transaction_timeout_ms is 15000, but the brokers take at most 10000 (transaction.max.timeout.ms)",
    ]
    (sentence,) = beyond(Settings(), {**USUAL, "group.min.session.timeout.ms": "30000"})
    assert "at least 30000" in sentence
