"""An `s3://` or `http(s)://` URI in, the object's bytes out: nothing larger than the limit, nothing after the patience.

Of S3 by boto3, with credentials and endpoint as every AWS tool takes them; of the web by a plain GET without any: that
is how MLflow's server hands out what it keeps.
"""

from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

SCHEMES = ("s3://", "http://", "https://")
PATIENCE_S = 30.0


class ObjectStoreError(Exception):
    """The object cannot be had; the message says why."""


def read(uri: str, limit: int) -> bytes:
    """The bytes of an object.

    Args:
        uri: `s3://BUCKET/KEY`, or an `http(s)://` URL.
        limit: A larger one is not read.

    Raises:
        ObjectStoreError: not there, not allowed, nobody answers, or larger than the limit.
    """
    return _from_s3(uri, limit) if uri.startswith("s3://") else _from_web(uri, limit)


def _from_web(uri: str, limit: int) -> bytes:
    try:
        with urlopen(uri, timeout=PATIENCE_S) as answer:  # noqa: S310 - its callers know the scheme
            content = bytes(answer.read(limit + 1))
    except HTTPError as error:
        raise ObjectStoreError(f"the server says {error.code} {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise ObjectStoreError(" ".join(str(getattr(error, "reason", error)).split())) from error
    if len(content) > limit:
        raise ObjectStoreError(f"it is larger than the {limit:,} bytes that are read at most")
    return content


def _from_s3(uri: str, limit: int) -> bytes:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise ObjectStoreError("boto3 is not installed: pip install 'stream-app[registry]'") from error
    place = urlsplit(uri)
    try:
        answer = boto3.client("s3").get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))
        if answer["ContentLength"] > limit:
            raise ObjectStoreError(f"it has {answer['ContentLength']:,} bytes, at most {limit:,} are read")
        return bytes(answer["Body"].read(limit))
    except (BotoCoreError, ClientError) as error:
        raise ObjectStoreError(" ".join(str(error).split())) from error
