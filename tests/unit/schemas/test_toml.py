"""Files that people wrote: what can be read is read, and what cannot is said in one line with what is allowed."""

from pathlib import Path
from typing import Literal

import msgspec
import pytest
from msgspec import Struct

from schemas.toml import TomlError, among, read_toml, where_and_what


class Inner(Struct, forbid_unknown_fields=True):
    colour: Literal["red", "green"] = "red"


class Outer(Struct, forbid_unknown_fields=True):
    inner: Inner


def complaint(document: object) -> str:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(document, Outer)
    return where_and_what(caught.value, Outer)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfport = 1\n")
    assert read_toml(tmp_path / "a.toml") == {"port": 1}


def test_a_file_in_another_encoding_is_named_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b'a = 1\nname = "M\xfcller"\n')
    with pytest.raises(TomlError, match=r"a\.toml, line 2, is not UTF-8: save"):
        read_toml(tmp_path / "a.toml")


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(TomlError, match="Is a directory"):
        read_toml(tmp_path)


def test_a_name_that_is_not_known_is_told_the_one_meant_or_else_all() -> None:
    assert among("web-port", ["web_port", "app_id"]) == "did you mean web_port?"
    assert among("Security.Protocol", ["security.protocol", "acks"]) == "did you mean security.protocol?"
    assert among("quite_else", ["web_port", "app_id"]) == "there are app_id, web_port"


def test_an_unknown_field_and_a_word_of_an_enumeration_list_what_is_allowed_there() -> None:
    assert complaint({"inner": {"kolour": "red"}}) == ", field inner: kolour is not known: did you mean colour?"
    assert complaint({"inner": {"x": 1}}) == ", field inner: x is not known: there are colour"
    assert complaint({"inner": {"colour": "blue"}}) == (
        ", field inner.colour: Invalid enum value 'blue': there are red, green"
    )
