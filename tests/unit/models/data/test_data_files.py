"""Files as people have them: read, whatever form and types their writer chose, or refused by a line that helps."""

import gzip
import re
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from models.data.events import encode
from models.data.files import DataError
from models.data.frame import digest, read
from models.data.windows import FEATURES
from tests.unit.models.data.layout import READ, filed

ROW = pl.int_range(pl.len())
COLUMN = "event_time"
FRAME = {"transaction_id": "event_id", "customer_id": "entity"}


@pytest.fixture(scope="module")
def day(week: pl.DataFrame) -> pl.DataFrame:
    """A few rows without further columns."""
    return filed(week[:400].select(READ))


def written(frame: pl.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)
    return path


def as_csv(frame: pl.DataFrame, folder: Path) -> Path:
    frame.with_columns(pl.col(COLUMN).dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ")).write_csv(folder / "day.csv")
    return folder / "day.csv"


def as_semicolons(frame: pl.DataFrame, folder: Path) -> Path:
    frame.write_csv(folder / "day.txt", separator=";", include_bom=True)
    return folder / "day.txt"


def as_json_lines(frame: pl.DataFrame, folder: Path) -> Path:
    frame.write_ndjson(folder / "day.jsonl")
    return folder / "day.jsonl"


def as_events(frame: pl.DataFrame, folder: Path) -> Path:
    labels = frame["fraud"].to_list()
    lines = [
        value[:-1] + f',"fraud":{str(fraud).lower()}}}'.encode()
        for (_, value, _), fraud in zip(encode(frame.rename(FRAME)), labels, strict=True)
    ]
    (folder / "events.jsonl").write_bytes(b"\n".join(lines))
    return folder / "events.jsonl"


def as_parts(frame: pl.DataFrame, folder: Path) -> Path:
    written(frame[::2], folder / "day.parquet" / "part-1.snappy.parquet")
    as_csv(frame[1::2], folder / "day.parquet")
    (folder / "day.parquet" / "_SUCCESS").touch()
    (folder / "day.parquet" / ".part-1.snappy.parquet.crc").write_bytes(b"crc!")
    return folder / "day.parquet"


def as_pattern(frame: pl.DataFrame, folder: Path) -> Path:
    written(frame[::2], folder / "day-1.parquet")
    written(frame[1::2], folder / "day-2.parquet")
    return folder / "day-*.parquet"


def gzipped(form: Callable[[pl.DataFrame, Path], Path]) -> Callable[[pl.DataFrame, Path], Path]:
    def pack(frame: pl.DataFrame, folder: Path) -> Path:
        plain = form(frame, folder)
        packed = folder / f"{plain.name}.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        return packed

    return pack


def as_parquet(frame: pl.DataFrame, folder: Path) -> Path:
    return written(frame, folder / "day.parquet")


FORMS = {
    "csv": as_csv,
    "csv with semicolons and a byte-order mark": as_semicolons,
    "json lines": as_json_lines,
    "events as they are on the stream": as_events,
    "a folder of parts": as_parts,
    "a pattern": as_pattern,
    "gzipped csv": gzipped(as_csv),
    "gzipped json lines": gzipped(as_json_lines),
    "gzipped parquet": gzipped(as_parquet),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_rows_are_the_same_data_in_any_form(day: pl.DataFrame, form: str, tmp_path: Path) -> None:
    assert digest(read(FORMS[form](day, tmp_path))) == digest(day.rename(FRAME))


def test_several_files_are_read_as_one(day: pl.DataFrame, tmp_path: Path) -> None:
    first, second = written(day[:100], tmp_path / "1.parquet"), as_csv(day[100:], tmp_path)
    assert read([second, first, first]).equals(day.rename(FRAME))


def text(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String)


def epoch(unit: str) -> pl.Expr:
    return pl.col(COLUMN).dt.epoch(unit)  # type: ignore[arg-type]


SAME = {
    "amounts as text": text("amount"),
    "amounts as decimals": pl.col("amount").cast(pl.Decimal(12, 2)),
    "a feature as categories": text("customer_nb_tx_7d").cast(pl.Categorical),
    "a flag as truth": pl.col("during_night").cast(pl.Boolean),
    "seconds": epoch("s"),
    "milliseconds": epoch("ms"),
    "microseconds": epoch("us"),
    "nanoseconds": epoch("ns"),
    "milliseconds with gaps once": epoch("ms").cast(pl.Float64),
    "seconds as text": epoch("s").cast(pl.String),
    "times without a zone": pl.col(COLUMN).dt.replace_time_zone(None).cast(pl.Datetime("ms")),
    "times in a zone": pl.col(COLUMN).dt.convert_time_zone("Asia/Kolkata").cast(pl.Datetime("ns", "Asia/Kolkata")),
    "times as text": pl.col(COLUMN).dt.to_string("%Y-%m-%d %H:%M:%S%.f"),
    "times as text with an offset": pl.col(COLUMN)
    .dt.convert_time_zone("Asia/Kolkata")
    .dt.to_string("%Y-%m-%dT%H:%M:%S%.f%:z"),
    "labels as yes and no": pl.when("fraud").then(pl.lit("Yes")).otherwise(pl.lit("no")).alias("fraud"),
    "labels as text": text("fraud").str.to_titlecase(),
    "labels as numbers with gaps once": pl.col("fraud").cast(pl.Float64),
    "legitimate rows without a label": pl.when("fraud").then("fraud").alias("fraud"),
}


@pytest.mark.parametrize("how", SAME)
def test_a_column_may_be_written_in_several_ways(day: pl.DataFrame, how: str, tmp_path: Path) -> None:
    assert read(written(day.with_columns(SAME[how]), tmp_path / "day.parquet")).equals(day.rename(FRAME))


def test_rows_without_a_label_count_as_legitimate_and_that_is_said(
    day: pl.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = day.with_columns(fraud=pl.when(ROW > 2).then("fraud"))
    read(written(frame, tmp_path / "day.parquet"))
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/day.parquet: 3 rows have no label, they count as legitimate"
    ]


def test_the_time_zone_of_the_machine_changes_nothing(
    day: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    naive = written(day.with_columns(pl.col(COLUMN).dt.replace_time_zone(None)), tmp_path / "day.parquet")
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    time.tzset()
    try:
        assert digest(read(naive)) == digest(day.rename(FRAME))
    finally:
        monkeypatch.undo()
        time.tzset()


def test_names_of_columns_may_be_in_capitals(day: pl.DataFrame, tmp_path: Path) -> None:
    shouted = day.rename({name: name.upper() for name in day.columns})
    assert read(written(shouted, tmp_path / "day.parquet")).equals(day.rename(FRAME))


def test_an_id_that_a_gap_made_floating_point_is_the_id_of_the_stream(day: pl.DataFrame, tmp_path: Path) -> None:
    numbered = day.with_columns(customer_id=(ROW % 7).cast(pl.Float64), code=pl.when(ROW > 0).then(ROW % 3 / 1.0))
    frame = read(written(numbered, tmp_path / "day.parquet"), also=["code"])
    assert set(frame["entity"]) == {*map(str, range(7))}
    assert set(frame["code"]) == {"", "0", "1", "2"}


def test_an_id_in_a_csv_keeps_its_zeros(day: pl.DataFrame, tmp_path: Path) -> None:
    assert set(read(as_csv(day.with_columns(customer_id=pl.lit("007")), tmp_path))["entity"]) == {"007"}


def once(name: str, value: object) -> pl.Expr:
    """A column with this value in one row."""
    return pl.when(ROW == 3).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)


REFUSED = {
    "has 1 values of amount below 0, -5.0 is one: leave those rows out": once("amount", -5.0),
    "column amount: inf (1 values, the first in row 4) is not a number that a 32-bit": once("amount", float("inf")),
    "column terminal_risk_7d: -inf (1 values, the first in row 4) is not a": once("terminal_risk_7d", -float("inf")),
    "column amount: 1e+39 (1 values, the first in row 4) is not a number that a 32-bit": once("amount", 1e39),
    "column amount: '-1e39' (1 values, the first in row 4) is not a number": once("amount", "-1e39"),
    "without a value in customer_id: fill them": once("customer_id", ""),
    "without a value in customer_id, amount: fill them": [once("customer_id", " \t"), once("amount", float("nan"))],
    "without a value in event_time: fill them": once("event_time", None),
    "ids of more than 1,024 characters": once("customer_id", "x" * 2000),
    "holds 1 ('again' is one) ids of events in different rows": pl.when(ROW < 2)
    .then(pl.lit("again"))
    .otherwise("transaction_id")
    .alias("transaction_id"),
    "column amount: '5,20' (400 values, the first in row 1) is not a number": pl.lit("5,20").alias("amount"),
    "column customer_nb_tx_7d: 2024-03-04 (400 values, the first in row 1) is not a number": pl.col(COLUMN)
    .dt.date()
    .alias(FEATURES[4]),
    "column fraud: 2 (400 values, the first in row 1) is not yes or no": pl.lit(2).alias("fraud"),
    "column event_time: '04.03.2024 12:00' (400 values, the first in row 1) is not a time": pl.lit(
        "04.03.2024 12:00"
    ).alias(COLUMN),
    "column event_time: 42 (400 values, the first in row 1) is not a time": pl.lit(42).alias(COLUMN),
    "holds times from 1970-01-20 18:51:50 to 1970": epoch("s").cast(pl.Datetime("ms")),
    "column customer_id: 1e+17 (400 values, the first in row 1) is not an id": pl.lit(1e17).alias("customer_id"),
}


@pytest.mark.parametrize("complaint", REFUSED)
def test_what_cannot_be_used_is_refused_with_what_to_do(day: pl.DataFrame, complaint: str, tmp_path: Path) -> None:
    path = written(day.with_columns(REFUSED[complaint]), tmp_path / "day.parquet")
    with pytest.raises(DataError, match=re.escape(complaint)) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04rest", "is a zip archive"),
        (b"\xff\xfea\x00", "is text in UTF-16"),
        (b"a\x00b", "is neither text nor parquet"),
        ("Straße;Größe\n".encode("latin-1") * 9, "not in UTF-8: save it as UTF-8"),
        (b"just words\n", "is neither parquet, CSV nor JSON lines: it begins with 'just words'"),
        (b'[{"amount": 1}]', "is one JSON array"),
        (b'{"amount": \n 1}', "is not a readable data file"),
        (b"\x1f\x8bcut", "cannot read"),
        (b"amount,fraud\n1,0\n", "lacks the columns transaction_id"),
    ],
)
def test_a_file_that_is_none_of_them_is_named_for_what_it_is(content: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "day.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(complaint)):
        read(path)


def test_a_missing_file_is_looked_for_beside_its_name(day: pl.DataFrame, tmp_path: Path) -> None:
    written(day, tmp_path / "history.parquet")
    with pytest.raises(DataError, match=r"no data file at .*histroy.parquet: is it .*/history.parquet\?$"):
        read(tmp_path / "histroy.parquet")
    with pytest.raises(DataError, match=r"simulate NEW\.parquet"):
        read(tmp_path / "else.csv")
    with pytest.raises(DataError, match="nothing matches the pattern"):
        read(tmp_path / "else*.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no data files: parquet, CSV"):
        read(tmp_path / "empty")
