"""Limits come from a file over the defaults; what is wrong in it is one line that names the field."""

import pytest

from models.gates.limits import LimitsError, load_limits
from schemas.toml import TomlError


def test_a_file_replaces_what_it_names_and_nothing_else(tmp_path):
    file = tmp_path / "limits.toml"
    file.write_text("[volume]\nratio_most = 1.5\n")
    found, defaults = load_limits(file), load_limits()
    assert found.volume.ratio_most == 1.5
    assert found.volume.ratio_least == defaults.volume.ratio_least
    assert (found.stability, found.accuracy) == (defaults.stability, defaults.accuracy)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[volume]\nratio_most = 0.5\n", "volume.ratio_most"),
        ("[volume]\nratio = 1.1\n", "field volume: ratio is not known: there are"),
        ("[speed]\nmost = 1\n", "speed is not known: there are accuracy, agreement"),
        ("volume = 3\n", "volume"),
        (
            "[accuracy]\nwithout_labels = 'maybe'\n",
            "accuracy.without_labels: Invalid enum value 'maybe': there are refuse, allow",
        ),
        ("[volume", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path, text, says):
    file = tmp_path / "limits.toml"
    file.write_text(text)
    with pytest.raises((LimitsError, TomlError), match=r"limits\.toml") as caught:
        load_limits(file)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
