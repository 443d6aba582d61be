"""Messages as destinations take them: Standard Webhooks with the whole detail, Slack, Teams.

A webhook is signed as standardwebhooks.com says: HMAC-SHA256 over id, timestamp and body, so that a receiver knows who
sent it, and when, and that nothing was changed. Any of that specification's libraries verifies it.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Any

import msgspec

from schemas.toml import TomlError
from stream_app.notify.notification import Notification

SECRET_PREFIX = "whsec_"  # noqa: S105 - the specification's own, no secret
CONTENT = {"Content-Type": "application/json", "User-Agent": "stream-app-notify"}
LONGEST_TEXT = 3000  # of a Slack section
COLOURS = {"critical": "attention", "high": "warning", "medium": "warning", "warning": "warning"}


def body(notification: Notification, form: str) -> bytes:
    """The same bytes each time."""
    writers = {"webhook": _webhook, "slack": _slack, "teams": _teams}
    return msgspec.json.encode(writers[form](notification))


def headers(key: str, content: bytes, now_s: int, secret: bytes | None) -> dict[str, str]:
    """Of one try; without a secret the message is not signed.

    Args:
        key: Of the message.
        content: Its body.
        now_s: Seconds since 1970.
        secret: From `signing_key`.
    """
    named = {**CONTENT, "webhook-id": key, "webhook-timestamp": str(now_s)}
    if secret is not None:
        named["webhook-signature"] = signature(secret, key, now_s, content)
    return named


def signing_key(secret: str) -> bytes:
    """The bytes of a secret as it is given to people.

    Raises:
        TomlError: it is not in base64.
    """
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise TomlError(f"the secret of a webhook is {SECRET_PREFIX} and 24 to 64 bytes in base64") from error


def signature(secret: bytes, key: str, now_s: int, content: bytes) -> str:
    """As the specification has it, version 1."""
    signed = hmac.new(secret, f"{key}.{now_s}.".encode() + content, hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"


def _webhook(notification: Notification) -> dict[str, Any]:
    data = {"severity": notification.severity, "summary": notification.sentence, **notification.detail}
    return {"type": notification.kind, "timestamp": notification.at, "data": data}


def _slack(notification: Notification) -> dict[str, Any]:
    text = notification.sentence
    for sign, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # or an id could be a link, or call everybody
        text = text.replace(sign, written)
    return {"text": text[:LONGEST_TEXT]}


def _teams(notification: Notification) -> dict[str, Any]:
    colour = COLOURS.get(notification.severity, "default")
    plain = {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": notification.sentence, "color": colour}]}
    card = {"type": "AdaptiveCard", "version": "1.4", "body": [plain]}
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}
