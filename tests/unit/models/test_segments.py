"""Segments: chosen by what is frequent, known by what is usual in them, the same for whoever asks."""

import numpy as np
import polars as pl
import pytest

from models.definition import cards, segmented
from models.inputs import matrix
from models.manifest import CLIP, Manifest
from models.places import Places
from models.recipe import TrainingConfig
from models.season import hour_cells
from models.segments import FEWEST_ROWS, MOST, manifest_of
from models.training import TrainingError, train


def trained_by(frame: pl.DataFrame, field: str) -> Manifest:
    _, manifest = train(frame, segmented(cards(), field), TrainingConfig(epochs=1), "m", "1")
    return manifest


@pytest.fixture(scope="module")
def by_channel(week: pl.DataFrame) -> pl.DataFrame:
    """Rows by channel: four fifths shop, a few with none, the rest web."""
    row = pl.int_range(pl.len())
    web = pl.when(row % 5 == 0).then(pl.lit("web")).otherwise(pl.lit("shop"))
    return week.with_columns(channel=pl.when(row % 100 == 1).then(pl.lit("")).otherwise(web))


@pytest.fixture(scope="module")
def manifest(by_channel: pl.DataFrame) -> Manifest:
    return trained_by(by_channel, "channel")


def test_the_frequent_values_are_watched_the_largest_first(manifest, by_channel):
    segments = manifest.segments
    assert (segments.field, segments.groups) == ("channel", 0)
    counts = by_channel["channel"].value_counts()
    rows = dict(zip(counts["channel"], counts["count"], strict=True))
    assert [(s.value, s.rows) for s in segments.watched] == [("shop", rows["shop"]), ("web", rows["web"])]
    assert segments.watched[1].share == pytest.approx(rows["web"] / by_channel.height)
    assert [segments.label(s) for s in segments.watched] == ["channel=shop", "channel=web"]


def test_a_field_with_thousands_of_values_is_watched_in_groups(week):
    twice = pl.concat([week, week, week])
    segments = trained_by(twice.sort("event_time"), "terminal_id").segments
    assert segments.groups == MOST
    assert len({s.value for s in segments.watched}) == len(segments.watched) == MOST
    assert sum(s.share for s in segments.watched) == pytest.approx(1)
    assert segments.label(segments.watched[0]) == f"terminal_id=group {segments.watched[0].value} of {MOST}"
    places = Places(segments.groups, (s.value for s in segments.watched))
    counts = np.bincount([places.of(value) for value in twice["terminal_id"]], minlength=MOST + 1)
    assert counts.tolist() == [0, *(s.rows for s in segments.watched)]


def test_what_is_usual_in_a_segment_is_that_of_its_rows(manifest, by_channel):
    is_web = (by_channel["channel"] == "web").to_numpy()
    whole, own = manifest.signals[1], manifest_of(manifest, manifest.segments.watched[1]).signals[1]
    raw = matrix(by_channel, manifest.inputs)[:, 0]
    assert own.raw_mean == pytest.approx(raw[is_web].mean(), rel=1e-5)
    assert (own.name, own.std, own.tail, own.edges) == (whole.name, whole.std, whole.tail, whole.edges)
    assert sum(own.shares) == pytest.approx(1, abs=1e-3)
    cells = hour_cells(by_channel["event_time"])[is_web]
    usual = np.array(own.season.clipped)[cells].mean()
    level = manifest.segments.watched[1].clipped[1]
    assert usual == pytest.approx(np.array(whole.season.clipped)[cells].mean() + level, abs=1e-3)
    assert own.clipped == pytest.approx(whole.clipped + level)
    assert np.abs(own.season.clipped).max() <= CLIP + 1
    np.testing.assert_allclose(np.sum(own.season.shares, axis=1), 1)


def test_a_segment_like_the_whole_is_known_as_the_whole(week):
    everything = trained_by(week.with_columns(channel=pl.lit("shop")), "channel")
    whole, own = everything.signals, manifest_of(everything, everything.segments.watched[0]).signals
    for mine, all_of_it in zip(own, whole, strict=True):
        assert mine.clipped == pytest.approx(all_of_it.clipped, abs=0.01)
        assert mine.clipped_std == pytest.approx(all_of_it.clipped_std, rel=0.01)
        assert mine.square == pytest.approx(all_of_it.square, abs=0.02)
        assert mine.mean == pytest.approx(all_of_it.mean, abs=1e-3)
        np.testing.assert_allclose(mine.shares, all_of_it.shares, atol=1e-3)


def test_the_manifest_says_it_to_whoever_reads_it(manifest):
    assert Manifest.decode(manifest.encode()) == manifest
    assert manifest.definition.segments.by == "channel"


def test_a_manifest_from_before_there_were_segments_has_none(trained):
    assert trained.manifest.segments is None
    older = trained.manifest.encode().replace(b',"segments":null', b"")
    assert b"segments" not in older
    assert Manifest.decode(older).segments is None


def test_the_whole_is_known_in_the_same_way_with_and_without_segments(by_channel, manifest):
    plain = trained_by(by_channel, "")
    assert (plain.signals, plain.relations) == (manifest.signals, manifest.relations)


@pytest.mark.parametrize(
    ("field", "complaint"),
    [
        ("city", "drift cannot be watched by city: the data has no such column"),
        ("amount", "drift cannot be watched by amount: name a field that holds text"),
        ("features", "drift cannot be watched by features: the data has no such column"),
        ("transaction_id", f"no transaction_id has {FEWEST_ROWS:,} events"),
    ],
)
def test_a_field_that_nothing_can_be_watched_by_is_refused_in_one_line(week, field, complaint):
    with pytest.raises(TrainingError, match=complaint):
        trained_by(week, field)
