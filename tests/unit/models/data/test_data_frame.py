"""Parquet files become one layout, or one line that says what is wrong with them."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from models.data.files import DataError
from models.data.frame import digest, read, write
from models.data.simulator import Simulation, simulate
from models.data.windows import FEATURES
from models.definition import find
from schemas.definition import Definition
from tests.unit.models.data.layout import READ, filed

HANDBOOK = {entry.name: entry.path for entry in find("handbook").inputs} | {
    "event_id": "TRANSACTION_ID",
    "event_time": "TX_DATETIME",
    "entity": "CUSTOMER_ID",
    "terminal_id": "TERMINAL_ID",
    "fraud": "TX_FRAUD",
}
# Identities are numbers there, times have no zone, and what counts or averages is float32.
HANDBOOK_TYPES = {
    **dict.fromkeys(HANDBOOK.values(), pl.Float32()),
    **dict.fromkeys(("TRANSACTION_ID", "CUSTOMER_ID", "TERMINAL_ID"), pl.Int32()),
    **dict.fromkeys(("TX_FRAUD", "TX_DURING_WEEKEND", "TX_DURING_NIGHT"), pl.Int8()),
    "TX_DATETIME": pl.Datetime("ns"),
    "TX_AMOUNT": pl.Float64(),
}


@pytest.fixture(scope="module")
def week(week: pl.DataFrame) -> pl.DataFrame:
    """What is read of it."""
    return week.select(READ)


@pytest.fixture(scope="module")
def like_the_handbooks(week: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same week in the Handbook's columns and types."""
    numbered = week.with_columns(
        pl.int_range(pl.len()).alias("event_id"), pl.col("event_time").dt.replace_time_zone(None)
    )
    path = tmp_path_factory.mktemp("handbook") / "week.parquet"
    numbered.drop("currency").rename(HANDBOOK).cast(HANDBOOK_TYPES).sample(
        fraction=1, shuffle=True, seed=1
    ).write_parquet(path)
    return path


def test_the_handbooks_columns_are_read_by_its_definition_under_the_names_of_the_inputs(
    like_the_handbooks: Path,
) -> None:
    frame = read(like_the_handbooks, definition=find("handbook"))
    raw = pl.read_parquet(like_the_handbooks).sort("TX_DATETIME", pl.col("TRANSACTION_ID").cast(pl.String))
    assert frame["event_id"].to_list() == raw["TRANSACTION_ID"].cast(pl.String).to_list()
    assert frame["amount"].equals(raw["TX_AMOUNT"], check_names=False)
    assert frame["fraud"].sum() == raw["TX_FRAUD"].sum()
    for entry in find("handbook").inputs:
        assert frame[entry.name].equals(raw[entry.path].cast(pl.Float64), check_names=False)


def test_the_handbooks_file_has_these_columns(handbook_file: Path) -> None:
    assert {*HANDBOOK.values()} <= {*pl.scan_parquet(handbook_file).collect_schema()}
    assert read(handbook_file, definition=find("handbook")).height == 335_047


def test_both_days_of_a_range_are_in_it(week: pl.DataFrame, tmp_path: Path) -> None:
    write(week, tmp_path / "week.parquet")
    frame = read(tmp_path / "week.parquet", since=date(2024, 3, 6), until=date(2024, 3, 8))
    days = frame["event_time"].dt.date().unique().sort().to_list()
    assert days == [date(2024, 3, day) for day in range(6, 9)]
    before = read(tmp_path / "week.parquet", until=date(2024, 3, 5))
    assert frame.height + before.height == week.filter(pl.col("event_time").dt.date() <= date(2024, 3, 8)).height


def test_what_is_written_is_read_back_the_same(week: pl.DataFrame, tmp_path: Path) -> None:
    write(week, tmp_path / "new" / "week.parquet")
    assert read(tmp_path / "new" / "week.parquet").equals(week)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["week.parquet"]


def test_rows_come_out_in_the_order_of_time_whatever_the_file_has(week: pl.DataFrame, tmp_path: Path) -> None:
    filed(week.sample(fraction=1, shuffle=True, seed=1)).write_parquet(tmp_path / "shuffled.parquet")
    assert read(tmp_path / "shuffled.parquet").equals(week)


def test_a_missing_feature_is_nan_and_further_columns_are_ignored(week: pl.DataFrame, tmp_path: Path) -> None:
    holed = week.with_columns(
        pl.when(pl.int_range(pl.len()) == 0).then(None).otherwise(pl.col("terminal_risk_7d")).name.keep(), colour=1
    )
    filed(holed).write_parquet(tmp_path / "holed.parquet")
    frame = read(tmp_path / "holed.parquet")
    assert frame.columns == READ
    assert frame["terminal_risk_7d"].is_nan().to_list() == [True] + [False] * (week.height - 1)


def test_a_time_in_another_zone_is_the_same_moment(week: pl.DataFrame, tmp_path: Path) -> None:
    there = week.with_columns(pl.col("event_time").dt.convert_time_zone("Asia/Tokyo"))
    filed(there).write_parquet(tmp_path / "tokyo.parquet")
    assert read(tmp_path / "tokyo.parquet").equals(week)


def test_a_missing_file_is_named_with_what_makes_one(tmp_path: Path) -> None:
    _refused(tmp_path / "nothing.parquet", "no data file at", "stream-app simulate")


def test_a_truncated_file_is_named(week: pl.DataFrame, tmp_path: Path) -> None:
    write(week, tmp_path / "whole.parquet")
    (tmp_path / "half.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:-1000])
    _refused(tmp_path / "half.parquet", "is not a readable parquet file: it is cut short or damaged")


def test_missing_columns_are_named_in_the_files_own_words(
    week: pl.DataFrame, like_the_handbooks: Path, tmp_path: Path
) -> None:
    filed(week.drop("amount", "fraud")).write_parquet(tmp_path / "own.parquet")
    _refused(tmp_path / "own.parquet", "lacks the columns amount, fraud")
    pl.read_parquet(like_the_handbooks).drop("TX_AMOUNT").write_parquet(tmp_path / "theirs.parquet")
    _refused(tmp_path / "theirs.parquet", "lacks the columns TX_AMOUNT", definition=find("handbook"))


def test_values_that_must_be_there_are_asked_for_by_column(week: pl.DataFrame, tmp_path: Path) -> None:
    first = pl.int_range(pl.len()) == 0
    week.with_columns(
        amount=pl.when(first).then(float("nan")).otherwise("amount"),
        entity=pl.when(first).then(None).otherwise("entity"),
    ).pipe(filed).write_parquet(tmp_path / "holed.parquet")
    _refused(tmp_path / "holed.parquet", "rows without a value in customer_id, amount")


def test_a_column_of_another_type_is_one_line(week: pl.DataFrame, tmp_path: Path) -> None:
    filed(week.with_columns(amount=pl.lit("much"))).write_parquet(tmp_path / "words.parquet")
    _refused(tmp_path / "words.parquet", "column amount: 'much'", "is not a number")


def test_a_range_without_transactions_says_which_days_there_are(week: pl.DataFrame, tmp_path: Path) -> None:
    write(week, tmp_path / "week.parquet")
    with pytest.raises(DataError, match=r"from 2019-01-01 to 2019-01-31: it holds 2024-03-04 to 2024-03-10$"):
        read(tmp_path / "week.parquet", since=date(2019, 1, 1), until=date(2019, 1, 31))


def test_a_file_without_rows_is_refused(week: pl.DataFrame, tmp_path: Path) -> None:
    filed(week.clear()).write_parquet(tmp_path / "empty.parquet")
    _refused(tmp_path / "empty.parquet", "holds no events")


def test_the_digest_is_of_the_rows_and_not_of_the_file(week: pl.DataFrame, tmp_path: Path) -> None:
    filed(week).write_parquet(tmp_path / "other.parquet", compression="gzip", row_group_size=100)
    assert digest(read(tmp_path / "other.parquet")) == digest(week)


@pytest.mark.parametrize("column", ["event_id", "event_time", "amount", *FEATURES[:3], "fraud"])
def test_the_digest_changes_with_any_value(week: pl.DataFrame, column: str) -> None:
    swapped = week.with_columns(week[column].gather([1, 0, *range(2, week.height)]))
    twisted = week.with_columns(week[column].reverse())
    assert digest(twisted) != digest(week)
    assert (digest(swapped) == digest(week)) == swapped.equals(week)


def _refused(path: Path, *parts: str, definition: Definition | None = None) -> None:
    with pytest.raises(DataError) as caught:
        read(path, definition=definition)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    assert all(part in line for part in parts), line


def test_a_file_without_labels_is_read_only_where_none_are_needed(tmp_path: Path) -> None:
    labelled, bare = tmp_path / "labelled.parquet", tmp_path / "bare.parquet"
    frame = simulate(Simulation(days=1, customers=50)).select(READ)
    write(frame, labelled)
    filed(frame.drop("fraud")).write_parquet(bare)
    with pytest.raises(DataError, match="lacks the columns fraud, which the detector card-fraud reads"):
        read(bare)
    assert read(bare, labels_needed=False).equals(frame.drop("fraud"))
    assert read(labelled, labels_needed=False).equals(read(labelled))
    filed(frame.drop("amount", "fraud")).write_parquet(bare)
    with pytest.raises(DataError, match="amount"):
        read(bare, labels_needed=False)


def test_a_label_that_is_not_known_is_legitimate_or_stays_unknown_as_is_asked_for(tmp_path: Path) -> None:
    frame = simulate(Simulation(days=1, customers=50)).select(READ)
    holed = frame.with_columns(fraud=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col("fraud")))
    write(holed, tmp_path / "holed.parquet")
    assert read(tmp_path / "holed.parquet")["fraud"].null_count() == 0
    assert read(tmp_path / "holed.parquet", published=True).equals(holed)


def test_a_further_column_is_kept_as_text_where_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "with.parquet"
    row = pl.int_range(pl.len())
    frame = simulate(Simulation(days=1, customers=20)).with_columns(code=pl.when(row > 0).then(row))
    write(frame, path)
    kept = read(path, also=["code"])
    assert kept.columns == [*READ, "code"]
    assert kept.sort(kept["code"].str.len_chars())["code"][0] == ""
    assert set(kept["code"]) == {"", *map(str, range(1, frame.height))}
    assert read(path, also=["country", "code"]).columns == [*READ, "country", "code"]
    assert read(path).columns == read(path, also=["channel", "amount"]).columns == READ


def test_rows_that_a_producer_sent_twice_are_read_once_and_that_is_said(
    week: pl.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(pl.concat([week, week[:30]]), tmp_path / "twice.parquet")
    assert read(tmp_path / "twice.parquet").equals(week)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/twice.parquet: 30 rows stand there more than once, one of each is kept"
    ]
