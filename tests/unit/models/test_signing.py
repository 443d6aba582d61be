"""A signature says who let it go, and holds for that alone."""

import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from models.signing import (
    Keyring,
    Purpose,
    SignatureError,
    artefact_signer,
    new_key,
    read_key,
    sign_artefact,
)

SHA256 = "ab" * 32


@pytest.fixture
def key(tmp_path):
    return new_key(tmp_path / "keys" / "ann.key")


@pytest.fixture
def keys(key):
    return Keyring({"ann": key.public})


def test_a_private_key_is_for_its_owner_alone_and_read_again_is_the_same(tmp_path, key):
    path = tmp_path / "keys" / "ann.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key(path).public == key.public


def test_a_key_is_never_overwritten(tmp_path, key):
    before = (tmp_path / "keys" / "ann.key").read_bytes()
    with pytest.raises(FileExistsError):
        new_key(tmp_path / "keys" / "ann.key")
    assert (tmp_path / "keys" / "ann.key").read_bytes() == before


def test_a_key_that_others_can_read_is_not_used(tmp_path, key):
    path = tmp_path / "keys" / "ann.key"
    path.chmod(0o640)
    with pytest.raises(SignatureError, match=f"chmod 600 {path}"):
        read_key(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no key",
        X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    ],
)
def test_what_is_no_ed25519_key_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "no.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SignatureError, match=r"stream-app keys new") as caught:
        read_key(path)
    assert "\n" not in str(caught.value)


def test_a_trusted_signature_names_its_signer(key, keys):
    assert keys.signer(Purpose.COMMAND, b"m", key.key_id, key.sign(Purpose.COMMAND, b"m")) == "ann"


def test_a_signature_holds_for_no_other_message_purpose_or_key(tmp_path, key, keys):
    signature = key.sign(Purpose.COMMAND, b"m")
    other = new_key(tmp_path / "other.key")
    for purpose, message, key_id, made in (
        (Purpose.COMMAND, b"n", key.key_id, signature),
        (Purpose.ARTEFACT, b"m", key.key_id, signature),
        (Purpose.COMMAND, b"m", key.key_id, b"short"),
        (Purpose.COMMAND, b"m", key.key_id, other.sign(Purpose.COMMAND, b"m")),
        (Purpose.COMMAND, b"m", other.key_id, other.sign(Purpose.COMMAND, b"m")),
        (Purpose.COMMAND, b"m", "", signature),
    ):
        with pytest.raises(SignatureError):
            keys.signer(purpose, message, key_id, made)


@pytest.mark.parametrize("text", ["", "?", "AAAA", "é"])
def test_a_trusted_key_that_is_none_is_named(text):
    with pytest.raises(SignatureError, match=r"trusted_keys\.bob"):
        Keyring({"bob": text})


def test_the_signature_beside_an_artefact_is_over_its_digest(tmp_path, key, keys):
    path = sign_artefact(tmp_path / "m.pt", SHA256, key)
    assert path.name == "m.pt.sig"
    assert artefact_signer(keys, SHA256, path.read_bytes()) == "ann"
    with pytest.raises(SignatureError, match="does not hold"):
        artefact_signer(keys, "cd" * 32, path.read_bytes())


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff", b"[" * 5000, b'{"key_id":1}'])
def test_no_signature_or_nonsense_is_no_signature(keys, content):
    with pytest.raises(SignatureError, match="stream-app sign"):
        artefact_signer(keys, SHA256, content)
