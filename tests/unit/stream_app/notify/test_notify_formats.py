"""What destinations are sent: signed as the specification says, with the whole detail, without markup from records."""

import base64
import json

import pytest

from schemas.scoring import Severity
from schemas.toml import TomlError
from stream_app.notify import formats
from stream_app.notify.notification import WHOLE, of_a_test, of_anomalies, of_drift
from tests.unit.stream_app.notify.records import AT, alert, anomaly

SPECIFIED = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330


def test_a_signature_is_that_of_the_specifications_own_example() -> None:
    secret, key, now_s = SPECIFIED
    given = formats.headers(key, b'{"test": 2432232314}', now_s, formats.signing_key(secret))
    assert given["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert (given["webhook-id"], given["webhook-timestamp"]) == (key, "1614265330")


def test_without_a_secret_nothing_is_signed_and_one_that_is_none_is_refused() -> None:
    assert "webhook-signature" not in formats.headers("k", b"", 1, None)
    with pytest.raises(TomlError, match="24 to 64 bytes in base64"):
        formats.signing_key("whsec_not base64")


def test_anomalies_of_an_entity_are_one_message_with_the_strangest_in_front_and_the_whole_detail() -> None:
    several = [anomaly(1), anomaly(2, severity=Severity.CRITICAL), anomaly(3)]
    told = json.loads(formats.body(of_anomalies(several), "webhook"))
    assert told["type"] == "anomaly.raised"
    assert told["data"]["summary"] == (
        "critical: card-fraud finds 3 events, e2 the strangest, of 596 anomalous: "
        "amount 455.20 EUR, expected 158.00 EUR"
    )
    assert (told["data"]["count"], told["data"]["entity"]) == (3, "596")
    assert [entry["event_id"] for entry in told["data"]["anomalies"]] == ["e1", "e2", "e3"]
    assert of_anomalies(several).key == several[0].anomaly_id


def test_of_very_many_the_first_are_whole_and_the_others_ids() -> None:
    detail = of_anomalies([anomaly(number) for number in range(WHOLE + 5)]).detail
    assert (detail["count"], len(detail["anomalies"]), len(detail["more"])) == (WHOLE + 5, WHOLE, 5)


def test_a_drift_incident_has_a_key_for_each_of_its_phases() -> None:
    told = of_drift(alert(), AT)
    assert (told.key, told.kind, told.severity) == ("drift:1:raised", "drift.raised", "warning")
    assert told.sentence.endswith("amount has doubled. Ask the producer.")


@pytest.mark.parametrize("form", ["slack", "teams"])
def test_an_id_calls_nobody_and_is_no_link(form: str) -> None:
    hostile = of_anomalies([anomaly(entity="<!channel> [a](http://b) & co")])
    content = json.loads(formats.body(hostile, form))
    if form == "slack":
        assert "&lt;!channel&gt;" in content["text"]
        assert "&amp; co" in content["text"]
    else:
        (block,) = content["attachments"][0]["content"]["body"]
        assert block["type"] == "RichTextBlock"  # its text is no markdown
        assert "<!channel> [a](http://b) & co" in block["inlines"][0]["text"]


def test_a_test_says_that_nothing_has_happened() -> None:
    assert "nothing has happened" in of_a_test("team", AT).sentence
    assert base64.b64decode(SPECIFIED[0].removeprefix("whsec_")) == formats.signing_key(SPECIFIED[0])
