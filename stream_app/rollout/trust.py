"""Who may command, and whose models may be loaded: signatures in, the signer or a complaint out, as settings say.

A command is signed over the name of its topic and its value, so that it cannot be written again under a
prefix that it was not given for; the log itself refuses an id that it has seen. An artefact is signed over its digest.
A pure function of record and settings: all workers with the same settings read the same log in the same way.
"""

from dataclasses import dataclass
from typing import NamedTuple

from models.signing import Keyring, Purpose, SignatureError, SigningKey, artefact_signer, read_key
from schemas.topics import MODEL_SWAP
from stream_app.kafka import topics
from stream_app.kafka.log import Record
from stream_app.kafka.records import headers_of
from stream_app.settings import Settings, SettingsError, Signatures

SIGNATURE_HEADER = "signature"
KEY_ID_HEADER = "key-id"


class Checked(NamedTuple):
    """Who signed; or why that is not known, empty where all is well or nobody asks."""

    signer: str = ""
    complaint: str = ""


@dataclass(frozen=True, slots=True)
class Trust:
    """What settings say about signatures.

    Attributes:
        policy: `off` looks at none, `warn` accepts what it complains of, `require` refuses it.
        keys: Whose signatures count.
        topic: Full name of the topic that commands are signed for.
    """

    policy: Signatures = Signatures.OFF
    keys: Keyring = Keyring({})  # noqa: RUF009 - it is never changed
    topic: str = ""

    @property
    def required(self) -> bool:
        """What is not signed by a trusted key has no effect."""
        return self.policy is Signatures.REQUIRE

    def command(self, record: Record) -> Checked:
        """Who gave a command. Never raises, whatever the record holds."""
        if self.policy is Signatures.OFF:
            return Checked()
        headers = {name: value for name, value in headers_of(record) or () if isinstance(value, bytes)}
        if SIGNATURE_HEADER not in headers:
            return Checked(complaint="it is not signed")
        key_id = headers.get(KEY_ID_HEADER, b"").decode(errors="replace")
        message = signed_bytes(self.topic, record.value() or b"")
        try:
            return Checked(self.keys.signer(Purpose.COMMAND, message, key_id, headers[SIGNATURE_HEADER]))
        except SignatureError as error:
            return Checked(complaint=str(error))

    def artefact(self, sha256: str, signature: bytes | None) -> Checked:
        """Who released the artefact with this digest, by the content of its `.sig` file."""
        if self.policy is Signatures.OFF:
            return Checked()
        try:
            return Checked(artefact_signer(self.keys, sha256, signature))
        except SignatureError as error:
            return Checked(complaint=str(error))


UNCHECKED = Trust()


def trust(settings: Settings) -> Trust:
    """What the settings say.

    Raises:
        SettingsError: a key is none, or signatures are required and no key is trusted.
    """
    try:
        keys = Keyring(settings.trusted_keys)
    except SignatureError as error:
        raise SettingsError(str(error)) from error
    if settings.signatures is Signatures.REQUIRE and not settings.trusted_keys:
        raise SettingsError("signatures = require, and trusted_keys is empty: `stream-app keys new NAME.key` makes one")
    return Trust(settings.signatures, keys, topics.name(settings, MODEL_SWAP))


def signing_key(settings: Settings) -> SigningKey | None:
    """The key that this process signs its commands with; None where it has none.

    Raises:
        SettingsError: it cannot be used, or what it signs would be refused.
    """
    required = settings.signatures is Signatures.REQUIRE
    if settings.signing_key is None:
        if required:
            raise SettingsError("signatures = require, and signing_key is not set: this process could command nothing")
        return None
    try:
        key = read_key(settings.signing_key)
    except SignatureError as error:
        raise SettingsError(f"signing_key: {error}") from error
    if required and key.key_id not in trust(settings).keys:
        raise SettingsError(f"signing_key: {key.public} is not in trusted_keys: what it signs would be refused")
    return key


def signature_headers(key: SigningKey, topic: str, value: bytes) -> dict[str, str | bytes | None]:
    """The headers of a command signed for that topic."""
    signature = key.sign(Purpose.COMMAND, signed_bytes(topic, value))
    return {SIGNATURE_HEADER: signature, KEY_ID_HEADER: key.key_id.encode()}


def signed_bytes(topic: str, value: bytes) -> bytes:
    """What the signature of a command is over. A topic's name holds no zero byte."""
    return topic.encode() + b"\0" + value
