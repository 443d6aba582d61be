"""Ed25519 signatures: a digest identifies a file or a command, a signature shows who released it.

NAME.key        a private key, PKCS#8 PEM, for its owner's eyes only
MODEL.pt.sig    detached, beside the artefact: the signer's key id, and the signature over the artefact's digest

A public key is 32 bytes in base64; its id is the start of their sha256. Signed bytes begin with their purpose, so
that no signature can be taken for one of another kind. `cryptography` takes 40 ms to import, and every command reads
the swap log: it is imported where there is a key.
"""

import binascii
import hashlib
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from models.replacing import replacing
from schemas.errors import UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_ID_LENGTH = 16
SIGNATURE_MAX_BYTES = 4096
SUFFIX = ".sig"


class Purpose(StrEnum):
    """What a signature is for."""

    ARTEFACT = "stream-app artefact"
    COMMAND = "stream-app command"


class SignatureError(UserError):
    """No valid signature of a trusted key, or a key that cannot be used; the message says which, and what to do."""


class Detached(Struct, frozen=True):
    """The content of a `.sig` file. The digest in it is for people: what counts is the digest of the artefact."""

    key_id: str
    sha256: str
    signature: bytes


class SigningKey:
    """A private key in memory."""

    def __init__(self, key: "Ed25519PrivateKey") -> None:
        self._key = key
        raw = key.public_key().public_bytes_raw()
        self.public = b64encode(raw).decode()
        self.key_id = key_id(raw)

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        """The signature, 64 bytes."""
        return self._key.sign(_framed(purpose, message))


class Keyring:
    """The public keys whose signatures count.

    Args:
        trusted: Name -> public key in base64, as `stream-app keys new` prints it.

    Raises:
        SignatureError: naming the entry that is no public key.
    """

    def __init__(self, trusted: Mapping[str, str]) -> None:
        self._keys: dict[str, tuple[str, Ed25519PublicKey]] = {}
        for name, text in trusted.items():
            try:
                raw = b64decode(text, validate=True)
                self._keys[key_id(raw)] = (name, _public_key(raw))
            except (binascii.Error, ValueError) as error:
                raise SignatureError(f"trusted_keys.{name} is no ed25519 public key of 32 bytes in base64") from error

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._keys

    def signer(self, purpose: Purpose, message: bytes, key_id: str, signature: bytes) -> str:
        """The name of the trusted key that made the signature.

        Raises:
            SignatureError: the key is not trusted, or the signature is not of this message.
        """
        if key_id not in self._keys:
            raise SignatureError(f"it is signed with the key {key_id[:64]!r}, which is not in trusted_keys")
        from cryptography.exceptions import InvalidSignature

        name, key = self._keys[key_id]
        try:
            key.verify(signature, _framed(purpose, message))
        except InvalidSignature as error:
            raise SignatureError(f"its signature by {name} does not hold: it was signed as another") from error
        return name


def key_id(public: bytes) -> str:
    """The id of a public key: the start of the sha256 of its 32 bytes, lower-case hexadecimal."""
    return hashlib.sha256(public).hexdigest()[:KEY_ID_LENGTH]


def new_key(path: Path) -> SigningKey:
    """Make a key and write it to a file that only its owner can read. Never overwrites one.

    Raises:
        OSError: it cannot be written, or is there already.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    return SigningKey(key)


def read_key(path: Path) -> SigningKey:
    """Read a private key.

    Raises:
        SignatureError: it cannot be read, is no ed25519 key, or others than its owner may read it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        if path.stat().st_mode & 0o077:
            raise SignatureError(f"{path} can be read by others than its owner: chmod 600 {path}")
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise SignatureError(f"cannot read key {path}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{path} is no private key in PEM: make one with `stream-app keys new {path}`") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError(f"{path} is no ed25519 key: make one with `stream-app keys new`")
    return SigningKey(key)


def sign_artefact(model: Path, sha256: str, key: SigningKey) -> Path:
    """Write the detached signature beside an artefact.

    Args:
        model: The artefact.
        sha256: Its digest.
        key: Who lets it go.

    Returns:
        The signature's file.
    """
    detached = Detached(key.key_id, sha256, key.sign(Purpose.ARTEFACT, sha256.encode()))
    path = model.with_name(model.name + SUFFIX)
    with replacing(path) as partial:
        partial.write_bytes(msgspec.json.encode(detached) + b"\n")
    return path


def artefact_signer(keys: Keyring, sha256: str, signature: bytes | None) -> str:
    """The name of the trusted key that signed the artefact with this digest.

    Args:
        keys: The trusted keys.
        sha256: The digest.
        signature: The content of its `.sig` file; None where there is none.

    Raises:
        SignatureError: no trusted key signed it; the message says why.
    """
    if signature is None:
        raise SignatureError("it is not signed: stream-app sign MODEL")
    try:
        detached = msgspec.json.decode(signature[:SIGNATURE_MAX_BYTES], type=Detached)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise SignatureError("its signature cannot be read: stream-app sign MODEL") from error
    return keys.signer(Purpose.ARTEFACT, sha256.encode(), detached.key_id, detached.signature)


def _public_key(raw: bytes) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(raw)


def _framed(purpose: Purpose, message: bytes) -> bytes:
    return purpose.encode() + b"\0" + message
