"""An `s3://` URI in, the object's bytes out, by boto3: credentials and endpoint as every AWS tool takes them."""

from urllib.parse import urlsplit

SCHEME = "s3://"


class ObjectStoreError(Exception):
    """The object cannot be had; the message says why."""


def read(uri: str, limit: int) -> bytes:
    """The bytes of an object.

    Args:
        uri: `s3://BUCKET/KEY`.
        limit: A larger one is not read.

    Raises:
        ObjectStoreError: not there, not allowed, nobody answers, or larger than the limit.
    """
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
