"""The Fraud Detection Handbook's transactions: where the file is looked for, and what makes it.

    python -m benchmarks.handbook             download 35 days (64 MB) and write data/handbook.parquet; `make data`
    python -m benchmarks.handbook FOLDER      the same from the folder `data` of a clone of their repository

Tests and benchmarks run on the simulator's transactions without it. With it, the tests of the Handbook's published
figures run too, and the benchmarks measure on it. `HANDBOOK_DATA` names a file at another place.
"""

import argparse
import hashlib
import io
import os
import sys
from datetime import date, timedelta
from pathlib import Path
from urllib.request import urlopen

import pandas as pd
import polars as pl

from models.data.frame import read, store
from models.definition import find

PATH = Path(os.environ.get("HANDBOOK_DATA") or Path(__file__).parents[1] / "data" / "handbook.parquet")
MISSING = f"the Fraud Detection Handbook's transactions are not at {PATH}: `make data` gets them"
REPOSITORY = "Fraud-Detection-Handbook/simulated-data-transformed"
COMMIT = "6e3ca5849b4681430388056d3f1dcfb41d4e8269"
FIRST, DAYS = date(2018, 7, 11), 35
# of all days in their order: they are pickles, and unpickling runs what they contain
SHA256 = "33d9fdd06e44230c105427553539c3543ccadeff8cd9eac3542762c35c2fa63c"


def transactions(since: date | None = None, until: date | None = None) -> pl.DataFrame:
    """The transactions of these days, by the Handbook's definition."""
    return read(PATH, since, until, definition=find("handbook")).rename({"TERMINAL_ID": "terminal_id"})


def columns() -> list[str]:
    """What is kept of the Handbook's columns."""
    definition = find("handbook")
    event, label = definition.event, definition.label
    own = (event.id, event.time, event.entity, *event.show, *(entry.path for entry in definition.inputs))
    return [*dict.fromkeys(own), *([label.column] if label else []), "TX_FRAUD_SCENARIO"]


def names() -> list[str]:
    """One file for each day."""
    return [f"{FIRST + timedelta(days=day)}.pkl" for day in range(DAYS)]


def downloaded(name: str) -> bytes:
    """A file of the Handbook's repository."""
    with urlopen(f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/data/{name}", timeout=60) as answer:
        content: bytes = answer.read()
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="where the days are; without it they are downloaded")
    folder = parser.parse_args().folder
    try:
        days = [(folder / name).read_bytes() if folder else downloaded(name) for name in names()]
    except OSError as error:
        sys.exit(f"no file of {REPOSITORY} can be read: {error}")
    if hashlib.sha256(b"".join(days)).hexdigest() != SHA256:
        sys.exit("these are not the Handbook's files: their sha256 differs, so they are not unpickled")
    frame = pl.from_pandas(pd.concat([pd.read_pickle(io.BytesIO(day)) for day in days]))
    store(frame.select(pl.col(*columns())).with_columns(pl.col("^.*_WINDOW$").cast(pl.Float32)), PATH)
    sys.stdout.write(f"{PATH}\n")


if __name__ == "__main__":
    main()
