"""Finds the files that DATA names, and opens each by what it holds: parquet, CSV or JSON lines, gzipped or not."""

import gzip
import io
import zlib
from collections.abc import Sequence
from difflib import get_close_matches
from glob import glob, has_magic
from pathlib import Path

import polars as pl

from schemas.errors import UserError

SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".json")
READABLE = "parquet, CSV (UTF-8) and JSON lines are read, gzipped or not"
PARQUET, GZIP = b"PAR1", b"\x1f\x8b"
OTHERS = {
    b"PK\x03\x04": "a zip archive (a spreadsheet and a model are such, too)",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"ARROW1": "an Arrow file",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"\x89HDF": "an HDF5 file",
    b"%PDF": "a PDF",
    b"SQLite": "a SQLite database",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}
SEPARATORS = ",;\t|"
HEAD_BYTES = 65_536


class DataError(UserError):
    """The data cannot be used; the message is one line that says why, and what to do."""


def find(paths: Sequence[Path]) -> list[Path]:
    """The files that paths, patterns and folders of parts name, each once, in that order.

    Raises:
        DataError: one of them names none.
    """
    return list(dict.fromkeys(file for path in paths for file in _files_of(path)))


def scan(file: Path) -> pl.LazyFrame:
    """The columns of one file as they are; of CSV all are text, so that an id keeps its zeros.

    Raises:
        DataError: it is not one of those that are read.
    """
    try:
        with file.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
        content = gzip.decompress(file.read_bytes()) if head.startswith(GZIP) else None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from error
    source = file if content is None else io.BytesIO(content)
    head = head if content is None else content[:HEAD_BYTES]
    try:
        if head.startswith(PARQUET):
            lazy = pl.scan_parquet(source, hive_partitioning=False)
        elif (text := _text(file, head)).startswith("{"):
            lazy = pl.scan_ndjson(source, infer_schema_length=None)
        else:
            lazy = pl.scan_csv(source, separator=_separator(file, text), infer_schema=False)
        lazy.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        kind = "parquet file: it is cut short or damaged, copy it again" if head.startswith(PARQUET) else "data file"
        raise DataError(f"{file} is not a readable {kind} ({first_line(error)})") from error
    return lazy


def first_line(error: Exception) -> str:
    """What a library says, without its hints."""
    return str(error).strip().split("\n", 1)[0]


def _files_of(path: Path) -> list[Path]:
    if path.is_dir():
        parts = sorted(part for part in path.rglob("*") if part.is_file() and _is_part(part.relative_to(path)))
        if not parts:
            raise DataError(f"the folder {path} holds no data files: {READABLE}")
        return parts
    if path.exists():
        return [path]
    if has_magic(str(path)):
        matches = [file for match in sorted(glob(str(path), recursive=True)) for file in _files_of(Path(match))]  # noqa: PTH207 - patterns may begin at the root
        if not matches:
            raise DataError(f"no data file at {path}: nothing matches the pattern")
        return matches
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, beside, 1)
    advice = f"is it {path.with_name(near[0])}?" if near else "`stream-app simulate NEW.parquet` makes one to try with"
    raise DataError(f"no data file at {path}: {advice}")


def _is_part(name: Path) -> bool:
    """Writers of parts leave marks beside them, such as `_SUCCESS` and `.part-0.crc`."""
    hidden = any(part.startswith(("_", ".")) for part in name.parts)
    return not hidden and any(suffix in SUFFIXES for suffix in name.suffixes)


def _text(file: Path, head: bytes) -> str:
    """The beginning of a text file.

    Raises:
        DataError: it is none that is read.
    """
    if not head.strip():
        raise DataError(f"{file} is empty: {READABLE}")
    other = next((name for magic, name in OTHERS.items() if head.startswith(magic)), None)
    if other is None and b"\0" in head:
        other = "neither text nor parquet"
    if other is not None:
        raise DataError(f"{file} is {other}: {READABLE}")
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # not merely cut in two at the end
            raise DataError(f"{file} is text, but not in UTF-8: save it as UTF-8") from error
        text = head[: error.start].decode("utf-8-sig")
    text = text.lstrip()
    if text.startswith("[") and text[1:].lstrip().startswith("{"):
        raise DataError(f"{file} is one JSON array: write its objects one on a line (jq -c '.[]')")
    return text


def _separator(file: Path, text: str) -> str:
    header = text.split("\n", 1)[0]
    separator = max(SEPARATORS, key=header.count)
    if separator not in header:
        raise DataError(f"{file} is neither parquet, CSV nor JSON lines: it begins with {header[:40]!r}")
    return separator
