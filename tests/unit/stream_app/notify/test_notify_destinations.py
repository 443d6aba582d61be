"""The file of those who are told: what is wrong in it is one line, and filters leave out what nobody wants."""

from pathlib import Path

import pytest

from schemas.drift import DriftSeverity
from schemas.scoring import Severity
from schemas.toml import TomlError
from stream_app.notify.destinations import read
from tests.unit.stream_app.notify.records import alert, anomaly, destination

WHOLE = """
undelivered = "lost/messages.jsonl"

[[destination]]
name = "case-tool"
url = "https://cases.example/hook"
secret_file = "secret"
least_severity = "high"

[[destination]]
name = "team"
format = "slack"
url_file = "slack-url"
topics = ["drift-alerts"]
"""

A = '[[destination]]\nname = "a"\nurl = "http://a"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "destinations.toml"
    path.write_text(text)
    return path


def test_a_file_names_destinations_and_what_is_secret_stands_beside_it(tmp_path: Path) -> None:
    (tmp_path / "slack-url").write_text("https://hooks.example/T0/B0\n")
    (tmp_path / "secret").write_text("whsec_AAAA\n")
    found = read(written(tmp_path, WHOLE))
    case_tool, team = found.each
    assert (case_tool.address, case_tool.secret) == ("https://cases.example/hook", "whsec_AAAA")
    assert (team.address, team.secret, [topic.name for topic in team.reads]) == (
        "https://hooks.example/T0/B0",
        "",
        ["drift-alerts"],
    )
    assert found.undelivered == tmp_path / "lost/messages.jsonl"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "there is no destination"),
        ("[destinations]\na = 1", r"a file of destinations holds \[\[destination\]\] tables"),
        ('[[destination]]\nname = "a"', "destination a: give url or url_file, one of them"),
        ('[[destination]]\nname = "a"\nurl = "file:///etc/passwd"', "must begin with https:// or http://"),
        ('[[destination]]\nname = "a b"\nurl = "http://a"', r"field name: 'a b' is not letters, digits"),
        (f'{A}formt = "slack"', "field formt: is not known: did you mean format"),
        (f'{A}format = "pager"', "'pager' is not known: there are slack"),
        (A + A, "destination a: two have this name"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_destination_and_field(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(TomlError, match=what) as raised:
        read(written(tmp_path, text))
    assert "\n" not in str(raised.value)


def test_a_secret_that_is_not_there_is_named(tmp_path: Path) -> None:
    (found,) = read(written(tmp_path, '[[destination]]\nname = "a"\nurl_file = "gone"')).each
    with pytest.raises(TomlError, match=r"destination a: cannot read its url in .*gone"):
        _ = found.address


def test_filters_are_by_severity_detector_and_input() -> None:
    strict = destination(least_severity="high")
    severities = (Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)
    assert [strict.wants(anomaly(severity=severity)) for severity in severities] == [False, True, True]
    assert [strict.wants(alert(severity)) for severity in DriftSeverity] == [False, False, True]
    assert [destination(detectors=(name,)).wants(anomaly()) for name in ("card-fraud", "other")] == [True, False]
    assert [destination(inputs=(name,)).wants(anomaly()) for name in ("amount", "country")] == [True, False]
    drifted = alert(signal="relation:amount+country")
    assert [destination(inputs=(name,)).wants(drifted) for name in ("country", "shop")] == [True, False]
