"""What `doctor` finds of the segments by which drift is watched: whether events are in each of them."""

from collections.abc import Iterator

from schemas.drift import DriftSummary
from schemas.errors import UserError
from schemas.topics import DRIFT_SUMMARIES
from stream_app.cli.diagnosis import Diagnosis
from stream_app.drift.unmatched import SegmentCounts
from stream_app.kafka.log import read_backwards
from stream_app.kafka.records import RecordDecoder
from stream_app.rollout import artefacts, commands
from stream_app.rollout.state import Release
from stream_app.settings import Settings


def watched_segments(settings: Settings) -> Iterator[Diagnosis]:
    """Whether events are in each segment that the serving model watches."""
    serving = commands.models(settings).rollout.serving
    if serving is None:
        return
    try:
        segments = artefacts.read(serving.uri).manifest.segments
    except UserError:
        return  # it has a line of its own
    if segments is None:
        return
    counts = _counted(settings, serving, SegmentCounts(segments))
    if counts.unmatched:
        says = f"no event is in {', '.join(counts.unmatched)} among the latest {counts.scored:,}"
        advice = f"see how events write {segments.field}: the model knows the values of the data it was trained on"
        yield Diagnosis("segments", False, says, advice)
    elif not counts.undecided:
        yield Diagnosis("segments", True, f"events are in each of those watched by {segments.field}")


def _counted(settings: Settings, serving: Release, counts: SegmentCounts) -> SegmentCounts:
    """The newest summaries, as many as it takes."""
    decoder = RecordDecoder[DriftSummary](DriftSummary)
    for stretch in read_backwards(settings, DRIFT_SUMMARIES):
        for _, summary in decoder.each(stretch):
            if summary.model_sha256 == serving.model.sha256:
                counts.add(summary)
        if not counts.undecided:
            break
    return counts
