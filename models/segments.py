"""Chooses the parts of the stream that are watched by themselves, by a text field, and describes what is usual in each.

A field with few values is watched by its most frequent ones. Where these would leave out most of the rows, as with
terminals, its values are dealt to groups by their checksum: the same in every process and at any time.
"""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import polars as pl
from msgspec.structs import replace

from models.manifest import CLIP, LEAST_BEYOND, Manifest, Relations, Segment, Segments, SignalReference, SignalSeason
from models.places import Places
from models.reference import SMALLEST_CLIPPED_STD, Column, signal_columns
from models.relations import products_of
from models.runtime import Scored
from models.season import DIGITS, PRIOR_ROWS, hour_cells

MOST = 16
# With fewer, what is usual is not known well enough: 1,000 rows tell a mean to a thirtieth of a standard deviation.
FEWEST_ROWS = 1000
PRIOR_ROWS_OF_TAIL = 1000.0


def describe(
    field: str,
    values: pl.Series,
    signals: Sequence[SignalReference],
    relations: Relations | None,
    raw: np.ndarray,
    scored: Scored,
    event_times: pl.Series | None = None,
) -> Segments:
    """Which parts are watched, the largest first, and what is usual in each; none where every part is too small.

    Args:
        field: Its name in the event.
        values: Text of each reference row, empty where there is none.
        signals: Of the whole reference.
        relations: Of its inputs.
        raw: float32 [n, inputs], NaN where missing.
        scored: The model's outputs on the same rows.
        event_times: As of `models.reference.signals`.
    """
    groups, watched = _chosen(values)
    numbers = _numbers(groups, list(watched), values)
    cells = None if event_times is None else hour_cells(event_times)
    columns = signal_columns(raw, scored)
    usual = [_Usual(*pair, numbers, cells, len(watched)) for pair in zip(signals, columns, strict=True)]
    products = _products(relations, usual[1 : raw.shape[1] + 1], numbers, cells, len(watched))
    described = [
        _segment(value, (rows, rows / len(values)), i, usual, products)
        for i, (value, rows) in enumerate(watched.items())
    ]
    return Segments(field, groups, described)


def manifest_of(manifest: Manifest, segment: Segment) -> Manifest:
    """The manifest as it would be if the segment were the stream: what watches a stream then watches a segment."""
    return replace(
        manifest,
        signals=[_reference(signal, segment, i, manifest) for i, signal in enumerate(manifest.signals)],
        relations=None if manifest.relations is None else _relations(manifest.relations, segment),
        rows=segment.rows,
        segments=None,
    )


def manifest_at(manifest: Manifest, label: str) -> Manifest:
    """That of the segment with this label, as alerts name it; the manifest itself where no segment has it."""
    segments = manifest.segments
    found = [segment for segment in segments.watched if segments.label(segment) == label] if segments else []
    return manifest_of(manifest, found[0]) if found else manifest


def _chosen(values: pl.Series) -> tuple[int, dict[str, int]]:
    """How many groups there are, and what is watched with its rows."""
    counts = values.filter(values != "").value_counts(name="rows").sort("rows", values.name, descending=[True, False])
    frequent = dict(counts.filter(pl.col("rows") >= FEWEST_ROWS)[:MOST].iter_rows())
    if 2 * sum(frequent.values()) >= len(values):
        return 0, frequent
    sizes = dict.fromkeys(range(MOST), 0)
    for value, rows in counts.iter_rows():
        sizes[crc32(value.encode()) % MOST] += rows
    largest = sorted(sizes, key=lambda group: -sizes[group])
    return MOST, {str(group): sizes[group] for group in largest if sizes[group] >= FEWEST_ROWS}


def _numbers(groups: int, watched: list[str], values: pl.Series) -> np.ndarray:
    """Number of the segment of each row, int64 [n]; 0 where it is in none."""
    places = Places(groups, watched)
    found = {value: places.of(value) for value in values.unique()}
    return np.array([found[value] for value in values], dtype=np.int64)


class _Usual:
    """One signal in every segment. The season is the whole's: a segment has too few rows for each hour."""

    def __init__(
        self, reference: SignalReference, column: Column, numbers: np.ndarray, cells: np.ndarray | None, segments: int
    ) -> None:
        values, kept, own = column
        self.clipped = np.clip((np.where(kept, values, 0.0) - reference.mean) / reference.std, -CLIP, CLIP)
        self.clipped[~kept] = 0.0
        mean = _Means(numbers[kept], segments)
        season, hours = reference.season, None if cells is None else cells[kept]
        clipped = _less(self.clipped[kept], reference.clipped, season.clipped if season else None, hours)
        square = _less(self.clipped[kept] ** 2, reference.square, season.square if season else None, hours)
        width = len(reference.shares)
        bins = np.searchsorted(reference.edges, values[kept])
        counts = np.bincount(numbers[kept] * width + bins, minlength=(segments + 1) * width).reshape(-1, width)[1:]
        self.shares = _shrunk(counts, mean.counts[:, None], np.array(reference.shares), PRIOR_ROWS)
        beyond = _shrunk(mean.total(values[kept] > reference.tail), mean.counts, reference.beyond, PRIOR_ROWS_OF_TAIL)
        # A tail is watched of a segment where it is of the whole; a lighter one than the whole's may be chance.
        self.beyond = np.maximum(beyond, reference.beyond) if reference.beyond >= LEAST_BEYOND else 0 * beyond
        self.missing = _Means(numbers, segments)(~kept)
        self.mean = mean(values[kept])
        self.level = np.stack([mean(clipped), mean.spread(clipped), mean(square), mean.spread(square)])
        self.raw_mean = None if own is None else mean(own[kept])


class _Means:
    """Means by segment.

    Args:
        numbers: int64 [n].
        segments: How many there are, numbers from 1.
    """

    def __init__(self, numbers: np.ndarray, segments: int) -> None:
        self._numbers = numbers
        self._width = segments + 1
        self.counts = np.bincount(numbers, minlength=self._width)[1:]

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sums, float64 [segments]."""
        return np.bincount(self._numbers, weights=values, minlength=self._width)[1:]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Means, float64 [segments]; 0 where there is nothing."""
        mean: np.ndarray = self.total(values) / np.maximum(self.counts, 1)
        return mean

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Standard deviations, float64 [segments], none so small that rounding alarms."""
        around = np.concatenate([[0.0], self(values)])[self._numbers]
        spread: np.ndarray = np.maximum(np.sqrt(self((values - around) ** 2)), SMALLEST_CLIPPED_STD)
        return spread


def _less(values: np.ndarray, overall: float, season: list[float] | None, cells: np.ndarray | None) -> np.ndarray:
    """Without what is usual in the whole at the same hours."""
    usual = overall if season is None or cells is None else np.array(season)[cells]
    less: np.ndarray = values - usual
    return less


def _shrunk(found: np.ndarray, of: np.ndarray, usual: np.ndarray | float, prior_rows: float) -> np.ndarray:
    shares: np.ndarray = (found + prior_rows * usual) / (of + prior_rows)
    return shares


def _products(
    relations: Relations | None, inputs: Sequence[_Usual], numbers: np.ndarray, cells: np.ndarray | None, segments: int
) -> np.ndarray:
    """Level and standard deviation of each product, float64 [2, products, segments]."""
    if relations is None:
        return np.zeros((2, 0, segments))
    clipped = np.stack([entry.clipped for entry in inputs], axis=1)
    products = products_of(clipped, np.array(relations.weights), np.array(relations.centre)).T
    mean = _Means(numbers, segments)
    less = [
        _less(product, relations.mean[i], relations.season[i] if relations.season else None, cells)
        for i, product in enumerate(products)
    ]
    return np.stack([[mean(product) for product in less], [mean.spread(product) for product in less]])


def _segment(value: str, size: tuple[int, float], i: int, usual: Sequence[_Usual], products: np.ndarray) -> Segment:
    level = np.stack([signal.level[:, i] for signal in usual], axis=1).round(DIGITS).tolist()
    return Segment(
        value=value,
        rows=size[0],
        share=size[1],
        mean=[float(signal.mean[i]) for signal in usual],
        shares=[signal.shares[i].round(DIGITS).tolist() for signal in usual],
        beyond=[float(signal.beyond[i]) for signal in usual],
        missing=[float(signal.missing[i]) for signal in usual],
        clipped=level[0],
        clipped_std=level[1],
        square=level[2],
        square_std=level[3],
        raw_mean=[float(signal.raw_mean[i]) for signal in usual if signal.raw_mean is not None],
        products=products[0, :, i].round(DIGITS).tolist(),
        products_std=products[1, :, i].round(DIGITS).tolist(),
    )


def _reference(whole: SignalReference, segment: Segment, i: int, manifest: Manifest) -> SignalReference:
    is_input = 1 <= i <= len(manifest.inputs)
    return replace(
        whole,
        mean=segment.mean[i],
        shares=segment.shares[i],
        beyond=segment.beyond[i],
        missing=segment.missing[i],
        clipped=whole.clipped + segment.clipped[i],
        clipped_std=segment.clipped_std[i],
        square=whole.square + segment.square[i],
        square_std=segment.square_std[i],
        raw_mean=segment.raw_mean[i - 1] if is_input else None,
        season=None if whole.season is None else _season(whole, whole.season, segment, i),
    )


def _season(whole: SignalReference, season: SignalSeason, segment: Segment, i: int) -> SignalSeason:
    """The whole's, from the segment's level; bins keep their ratio to the whole's."""
    shares = np.array(season.shares) * (np.array(segment.shares[i]) / np.maximum(whole.shares, 1e-9))
    return SignalSeason(
        clipped=[usual + segment.clipped[i] for usual in season.clipped],
        square=[usual + segment.square[i] for usual in season.square],
        shares=(shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-9)).tolist(),
    )


def _relations(whole: Relations, segment: Segment) -> Relations:
    mean = (np.array(whole.mean) + segment.products).tolist()
    season = whole.season and (np.array(whole.season) + np.array(segment.products)[:, None]).tolist()
    return replace(whole, mean=mean, std=segment.products_std, season=season)
