"""A definition is checked whole: every error names file, entry, field and what would be right."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from models import definition as definitions
from models.data.windows import FEATURES
from models.definition import DefinitionError, cards, complaints, find, load, shipped
from schemas.definition import Definition, Window
from schemas.toml import TomlError

HEAD = 'name = "cards"\n[event]\nid = "id"\ntime = "at"\nentity = "card.token"\n'
AMOUNT = '[[input]]\nname = "amount"\npath = "txn.cents"\nunit = "EUR"\nscale = 0.01\n'
TELLS = 'usual_of = ["amount"]\n'
LABEL = '[label]\ncolumn = "is_fraud"\n'


def window(**fields: str) -> str:
    given = {"entity": "card.token", "aggregate": "mean", "of": "txn.cents", "over": "7d"} | fields
    inside = ", ".join(f'{name} = "{value}"' for name, value in given.items() if value)
    return f'[[input]]\nname = "w"\nwindow = {{ {inside} }}\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "detector.toml"
    path.write_text(text)
    return path


def loaded(folder: Path, text: str) -> Definition:
    return load(written(folder, text))


def test_the_simulators_definition_reads_the_amount_and_every_feature() -> None:
    inputs = cards().inputs
    assert [entry.name for entry in inputs] == ["amount", *FEATURES]
    assert [entry.path for entry in inputs] == ["amount", *(f"features.{name}" for name in FEATURES)]
    assert [entry.name for entry in inputs if entry.missing == "reject"] == ["amount"]


@pytest.mark.parametrize("name", shipped())
def test_what_comes_along_is_right(name: str) -> None:
    assert not list(complaints(find(name)))


REFUSED = {
    AMOUNT.replace("txn.cents", "a..b"): "input amount, field path: 'a..b' is not a path: amount, card.token",
    AMOUNT + 'missing = "ignore"\n': "input amount, field missing: 'ignore' is not known: there are impute, reject",
    AMOUNT + 'kind = "numbr"\n': "input amount, field kind: 'numbr' is not known: did you mean number?",
    AMOUNT.replace('"EUR"', "3"): "input amount, field unit: Expected `str`, got `int`",
    AMOUNT + 'transfrom = "sqrt"\n': "input amount, field transfrom: is not known: did you mean transform?",
    AMOUNT + 'transform = "ratio"\n': "input amount, field transform: 'ratio' is not known: there are none, sqrt",
    AMOUNT + 'usual_of = ["gone"]\n': "input amount, field usual_of: gone is not another input",
    AMOUNT + 'count = "gone"\n': "input amount, field count: gone is not another input",
    AMOUNT + 'over = "a month"\n': "field over: 'a month' is not a length in minutes, hours or days: 5m, 12h, 30d",
    AMOUNT
    + AMOUNT.replace('"amount"', '"n"').replace("EUR", "1/d").replace("cents", "n")
    + 'usual_of = ["amount"]\n': ("input n, field usual_of: amount is in EUR, this in 1/d: it must be the same unit"),
    AMOUNT + AMOUNT: "input amount, field name: amount is declared twice",
    AMOUNT + AMOUNT.replace('"amount"', '"other"'): "input other, field path: txn.cents is declared twice",
    AMOUNT.replace("name =", "nome ="): "input number 1, field nome: is not known: did you mean name?",
    AMOUNT.replace('"txn.cents"', '"card"'): "card and card.token cannot both be values, one is inside",
    AMOUNT.replace('"txn.cents"', '"at"'): "input amount, field path: at is the time of the event already",
    AMOUNT.replace('path = "txn.cents"\n', ""): "field path: exactly one of path, window and clock, not 0",
    AMOUNT + 'clock = "night"\n': "field clock: exactly one of path, window and clock, not 2",
    AMOUNT + "least = 5\nmost = 1\n": "input amount, field most: 1 is below least, which is 5",
    AMOUNT.replace("0.01", "0"): "input amount, field scale: is a number other than 0",
    AMOUNT + 'kind = "category"\n': "input amount, field scale: is for numbers, not for a category",
    "input = []": "it declares no inputs",
    AMOUNT + window(over="1000000000d"): "it would hold 1,000,000,000 hops of 1d, at most 400 are held",
    AMOUNT + window(over="13m"): "input w, field window, field over: 13m is no multiple of its hop, 5m: write '10m'",
    AMOUNT + window(over="30 days"): "input w, field window.over: '30 days' is not a length in minutes",
    AMOUNT + window(agregate="mean"): "input w, field window.agregate: is not known: did you mean aggregate?",
    AMOUNT + window(of="amount"): "field of: amount is the name of an input: write its path, txn.cents",
    AMOUNT + window(of="w"): "field of: w is the name of an input: it is no value of the record: name a path",
    AMOUNT + window(of=""): "field of: is needed, the path of the value whose mean it is",
    AMOUNT + window(of="txn.cents", aggregate="count"): "field of: count looks at no value: leave it out",
    AMOUNT + window(of="label", delay="7d"): "field of: label needs a [label] with the column that has it",
    AMOUNT + window(entity="merchant"): "field delay: is needed, the past of merchant is in many partitions",
    AMOUNT + LABEL + window(of="label"): "field delay: is needed, a label is known only later",
    AMOUNT + window(entity="shop", delay="1h", of="txn.cents", aggregate="std"): (
        "field window, field aggregate: of another entity than card.token there are count, mean, sum"
    ),
    AMOUNT + window(of="country", delay="1h", aggregate="is_new"): "field delay: is_new knows none: leave it out",
    AMOUNT + window(of="card", aggregate="is_new"): "windows over card: card and card.token cannot both be values",
    AMOUNT + window(of="at"): "field of: at is the time of the event: there is since_last",
    AMOUNT + window(of="card.token"): "field of: card.token is an identity, which has no mean: there are distinct",
    AMOUNT + window(entity="merchant", delay="90m"): "field delay: 90m is no multiple of its hop, 1h: write '1h'",
    AMOUNT + "[trainig]\nepochs = 1\n": "[trainig] is not known",
    AMOUNT + '[label]\ncolum = "f"\n': "[label], field colum: is not known: did you mean column?",
}


@pytest.mark.parametrize("broken", REFUSED)
def test_a_wrong_definition_is_refused_in_one_line_that_names_entry_and_field(tmp_path: Path, broken: str) -> None:
    with pytest.raises((DefinitionError, TomlError), match=re.escape(REFUSED[broken])) as refusal:
        loaded(tmp_path, HEAD + broken if not broken.startswith("input =") else broken + "\n" + HEAD)
    assert str(tmp_path / "detector.toml") in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_all_errors_of_a_file_come_in_one_go(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as refusal:
        loaded(tmp_path, '[event]\nid = "a..b"\ntiem = "x"\n[[input]]\nname = "2x"\n[[input]]\npath = "y"\n')
    for part in (
        "name is needed",
        "id: 'a..b'",
        "tiem: is not known",
        "entity: is needed",
        "'2x'",
        "number 2, field name",
    ):
        assert part in str(refusal.value)


def test_what_follows_from_a_window_need_not_be_written(tmp_path: Path) -> None:
    week, count = window(), window(aggregate="count", of="", over="12h").replace('"w"', '"n"')
    month = window(over="30d").replace('"w"', '"month"')
    risk = window(of="label", delay="7d", entity="shop").replace('"w"', '"risk"')
    made = {entry.name: entry for entry in loaded(tmp_path, HEAD + AMOUNT + week + month + count + risk + LABEL).inputs}
    assert (made["w"].role, made["w"].unit, made["w"].over) == ("window", "EUR", "7d")
    assert made["w"].usual_of == ("amount",)
    assert made["month"].usual_of == ("amount", "w")
    assert (made["n"].unit, made["n"].role) == ("1/(12 h)", "window")
    assert (made["risk"].role, made["risk"].unit) == ("risk", "share")


def test_the_hops_of_a_window_follow_from_its_length() -> None:
    lengths = {"12h": (300, 144), "13h": (3600, 13), "12d": (3600, 288), "13d": (86_400, 13), "5m": (300, 1)}
    for over, (hop_s, hops) in lengths.items():
        made = Window("card", "count", over)
        assert (made.hop_s, made.hops) == (hop_s, hops)
    assert Window("card", "mean", "30d", "label", "7d").delay_hops == 7


def test_a_definition_is_found_by_name_by_file_in_the_folder_or_with_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = find("handbook")
    assert find(None) == find("cards-raw")
    assert find(None, own) == own
    path = written(tmp_path, HEAD + AMOUNT)
    assert find(None, own).name == "cards"
    assert find(str(path)) == find("detector.toml")
    assert find("handbook").event.id == "TRANSACTION_ID"
    with pytest.raises(DefinitionError, match="there is no detector handbok: name a file, or did you mean handbook"):
        find("handbok")
    with pytest.raises(TomlError, match="No such file"):
        find("gone.toml")


def test_two_definitions_are_read_together_for_a_comparison() -> None:
    one, other = find("cards"), definitions.segmented(find("handbook"), "TERMINAL_ID")
    assert definitions.together(one, other) == one
    fewer = replace(one, inputs=one.inputs[:2])
    assert [e.name for e in definitions.together(fewer, one).inputs] == [e.name for e in one.inputs]
