"""What a definition reads beside the value of a record: its key, its timestamp, its headers."""

from stream_app.kafka.log import Record
from stream_app.kafka.records import headers_of, milliseconds_of

HEADERS = "$headers."


def of_record(record: Record, path: str) -> str | int | None:
    """What stands there: text, of a timestamp milliseconds; None where it is missing or no text."""
    if path == "$timestamp":
        return milliseconds_of(record)
    if path == "$key":
        found = record.key()
    else:
        headers = headers_of(record) or []
        found = next((value for name, value in headers if name == path.removeprefix(HEADERS)), None)
    try:
        return None if not found else found.decode()
    except UnicodeDecodeError:
        return None
