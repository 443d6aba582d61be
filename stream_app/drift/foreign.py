"""Whether a summary can be of the model that it names: whoever adds its sums to others asks first."""

from models.manifest import HOURS, Manifest
from schemas.drift import DriftSummary, SignalSums


class ForeignSummaryError(ValueError):
    """A summary that cannot be of the model that it names; the message says why."""


def check(summary: DriftSummary, manifest: Manifest) -> None:
    """Refuse sums without the columns of the model, or of more than the summary's own events.

    Raises:
        ForeignSummaryError: the manifest is of another model, or nobody's summary looks like this.
    """
    if summary.signals != manifest.signal_names:
        raise ForeignSummaryError("it has other signals than its model")
    parts = [(part.scored, part.sums) for part in summary.by_segment.values()]
    if sum(scored for scored, _ in parts) > summary.scored:
        raise ForeignSummaryError("its segments have more events than it has")
    widths = _widths_of(manifest)
    for scored, sums in [(summary.scored, summary.sums), *parts]:
        if sums is not None and (_widths(sums) != widths or max(sums.missing) > scored):
            raise ForeignSummaryError("its sums have other columns than its model, or more values than events")


def _widths(sums: SignalSums) -> list[int]:
    columns = (sums.missing, sums.mean, sums.tail, sums.clipped, sums.squares, sums.products, sums.raw, sums.hours)
    return [*(len(column) for column in columns), *map(len, sums.histogram)]


def _widths_of(manifest: Manifest) -> list[int]:
    signals, components = len(manifest.signals), len(manifest.relations.weights) if manifest.relations else 0
    products = components * (components + 1) // 2
    return [*[signals] * 5, products, len(manifest.inputs), HOURS, *(len(signal.shares) for signal in manifest.signals)]
