"""The three steps of a drift report: read the topics, re-score events, compute what the page shows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from models import archive, artefact
from models.manifest import Manifest
from models.runtime import Runtime
from models.segments import manifest_at
from schemas.drift import DriftAlert, DriftPhase, DriftSummary
from schemas.rollout import Stage
from schemas.scoring import ModelRef
from schemas.topics import DRIFT_ALERTS, DRIFT_SUMMARIES
from stream_app.drift.foreign import ForeignSummaryError, check
from stream_app.drift.merge import Sums
from stream_app.drift.published import published
from stream_app.drift.standardise import field_of
from stream_app.kafka.log import Record, read_to_end
from stream_app.kafka.records import RecordDecoder
from stream_app.report import rows, view
from stream_app.report.alerts import ReportError
from stream_app.report.comparison import FEWEST_ROWS, Column, ReferenceComparison, compare
from stream_app.report.history import History, total
from stream_app.report.rows import Advance, Rows
from stream_app.report.view import View
from stream_app.report.window import ReportWindow, resolve
from stream_app.rollout.artefacts import FetchError, ModelCache
from stream_app.rollout.swap_log import read_swap_log
from stream_app.rollout.trust import trust
from stream_app.settings import Settings

NEEDED = ("evidently", "matplotlib", "pandas")
# A picture has no more points than can be told apart.
MOST_BLOCKS = 240
PROGRESS_EVERY = 500  # summaries


@dataclass(frozen=True)
class Gathered:
    """The topics' contents for one window.

    Attributes:
        window: Span of event time.
        history: All summaries of the topic.
        incidents: Alerts of the window, oldest first, each with its model's manifest (None if the model is gone).
        runtime: The model that scored last.
        events: Events scored in the window, to the nearest summary.
    """

    window: ReportWindow
    history: History
    incidents: Sequence[tuple[DriftAlert, Manifest | None]]
    runtime: Runtime
    events: int


class SignalFigure(Struct, frozen=True):
    """One signal over the whole window: its mean in reference standard deviations, its distances from the reference."""

    name: str
    shift_sd: float
    psi: float
    js: float


class LevelFigure(Struct, frozen=True):
    """Mean of one input in its own unit, over the reference rows and over the current rows since the change."""

    name: str
    unit: str
    reference: float
    current: float


class IncidentFigures(Struct, frozen=True):
    """One alert of the window, with the levels of the inputs that moved."""

    alert: DriftAlert
    levels: list[LevelFigure]


class Figures(Struct, frozen=True):
    """The figures of the page, also printed as JSON."""

    made_at: datetime
    window: ReportWindow
    model: ModelRef
    events: int
    alert_rate: float
    incidents: list[IncidentFigures]
    signals: list[SignalFigure]
    reference: str
    reference_rows: int
    current: str
    current_rows: int
    columns: list[Column]


@dataclass(frozen=True)
class DriftReport:
    """The content of the page.

    Attributes:
        figures: Key figures.
        views: Plot data of each incident; None if its model or its blocks are gone.
        overview: Plot data of a window without incidents.
        comparison: Evidently's findings; None if there are too few rows.
    """

    figures: Figures
    views: Sequence[View | None]
    overview: View | None
    comparison: ReferenceComparison | None


def check_installed() -> None:
    """Check the extra `report` before anything is read.

    Raises:
        ReportError: a package of the extra is missing.
    """
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        raise ReportError(
            f"{', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not installed: "
            'a report needs the extra `report`, pip install "stream-app[report]"'
        )


def gather(settings: Settings, window: str, tell: Callable[[str], None]) -> Gathered:
    """Read summaries, alerts and the swap log.

    Raises:
        ReportError: nothing was scored, or nothing in this window.
        BrokerError: a topic cannot be read.
        FetchError, ArtefactError: the model that scored last cannot be fetched or loaded.
    """
    uris = _uris(settings)
    manifest = cache(partial(_manifest, settings, uris))
    summaries = read_to_end(settings, DRIFT_SUMMARIES)
    history = history_of(summaries, settings.drift_block_events, manifest, tell)
    if history.latest_model is None:
        raise ReportError("nothing has been scored yet: there is nothing to report on (stream-app status)")
    span = resolve(window, history.spans)
    tell("alerts and models")
    raised = published(read_to_end(settings, DRIFT_ALERTS))
    alerts = [incident.alert for incident in raised if lasts_into(span, incident.alert, history)]
    path = _fetch(settings, uris, history.latest_model)
    return Gathered(
        window=span,
        history=history,
        incidents=[(alert, manifest(alert.model.sha256)) for alert in alerts],
        runtime=artefact.load(path, history.latest_model),
        events=sum(s.scored for s in history.spans if s.first <= span.until and s.last >= span.since),
    )


def rescore(settings: Settings, gathered: Gathered, reference: Path | None, advance: Advance) -> tuple[Rows, Rows]:
    """Reference rows and current rows, by the model that scored last.

    Args:
        reference: Training data; None: the first rows that the input topic holds before the window.
        advance: Called with the number of `gathered.events` read so far.

    Raises:
        DataError: the training data cannot be used.
        BrokerError: the input topic cannot be read.
    """
    runtime, spans, window = gathered.runtime, gathered.history.spans, gathered.window
    before = (
        rows.before_window(settings, runtime, spans, window, lambda done: None)
        if reference is None
        else rows.of_file(reference, runtime)
    )
    return before, rows.of_window(settings, runtime, spans, window, advance)


def compose(gathered: Gathered, reference: Rows, current: Rows) -> DriftReport:
    """The content of the page."""
    window, manifest = gathered.window, gathered.runtime.manifest
    sha256 = gathered.runtime.sha256
    blocks = gathered.history.blocks(sha256, window.since, window.until, MOST_BLOCKS)
    enough = min(len(reference.values), len(current.values)) >= FEWEST_ROWS
    comparison = compare(reference, current) if enough else None
    sums = total(blocks) if blocks else None
    figures = Figures(
        made_at=datetime.now(UTC),
        window=window,
        model=ModelRef(manifest.name, manifest.version, sha256),
        events=gathered.events,
        alert_rate=sums.anomalies / sums.scored if sums else 0.0,
        incidents=[
            IncidentFigures(alert, _levels(alert, manifest, reference.values, current.after(alert.since)))
            for alert, _ in gathered.incidents
        ],
        signals=_signals(manifest, sums) if sums else [],
        reference=reference.source,
        reference_rows=len(reference.values),
        current=current.source,
        current_rows=len(current.values),
        columns=comparison.columns if comparison else [],
    )
    views = [_view(gathered, alert, of_model) for alert, of_model in gathered.incidents]
    return DriftReport(figures, views, view.of_window(manifest, blocks) if blocks and not views else None, comparison)


def lasts_into(window: ReportWindow, alert: DriftAlert, history: History) -> bool:
    """Whether an incident was in a window. One that is not over lasts for as long as its model has scored."""
    if alert.since > window.until:
        return False
    if alert.raised_at >= window.since:
        return True
    return alert.phase is not DriftPhase.OVER and any(
        span.model_sha256 == alert.model.sha256 and span.first <= window.until and span.last >= window.since
        for span in history.spans
    )


def history_of(
    summaries: Iterable[Record],
    block_events: int,
    manifest_of: Callable[[str], Manifest | None],
    tell: Callable[[str], None],
) -> History:
    """What the topic holds; of a model whose manifest is gone, where it has scored and no sums."""
    history, decoder = History(block_events), RecordDecoder[DriftSummary](DriftSummary)
    for count, message in enumerate(summaries):
        if count % PROGRESS_EVERY == 0:
            tell(f"reading what was scored: {count:,} summaries")
        summary = decoder.read(message)
        if summary is None:
            continue
        manifest = manifest_of(summary.model_sha256)
        if manifest is None:
            history.add(replace(summary, sums=None, by_segment={}))
            continue
        try:
            check(summary, manifest)
        except ForeignSummaryError as error:
            decoder.refuse(message, str(error))
        else:
            history.add(summary)
    return history


def _uris(settings: Settings) -> dict[str, str]:
    """Model digest to the URI that it was staged from."""
    entries = read_swap_log(settings).entries
    stages = (entry.command for entry in entries if isinstance(entry.command, Stage) and not entry.refused)
    return {stage.model.sha256: stage.uri for stage in stages}


def _fetch(settings: Settings, uris: dict[str, str], sha256: str) -> Path:
    return ModelCache(settings.model_cache, trust(settings)).fetch(uris.get(sha256, f"model {sha256[:12]}"), sha256)


def _manifest(settings: Settings, uris: dict[str, str], sha256: str) -> Manifest | None:
    try:
        return archive.read(_fetch(settings, uris, sha256)).manifest
    except (FetchError, archive.ArtefactError):  # an old model may be gone; its alerts still have their words
        return None


def _view(gathered: Gathered, alert: DriftAlert, manifest: Manifest | None) -> View | None:
    window = gathered.window
    blocks = gathered.history.blocks(alert.model.sha256, window.since, window.until, MOST_BLOCKS, alert.segment)
    return view.of_incident(alert, manifest_at(manifest, alert.segment), blocks) if manifest and blocks else None


def _signals(manifest: Manifest, sums: Sums) -> list[SignalFigure]:
    far = view.signal_distances(manifest, sums)
    means = zip(manifest.signals, sums.mean.tolist(), strict=True)
    return [SignalFigure(s.name, (mean - s.mean) / s.std, far[s.name].psi, far[s.name].js) for s, mean in means]


def _levels(alert: DriftAlert, manifest: Manifest, reference: np.ndarray, current: np.ndarray) -> list[LevelFigure]:
    """Means of the inputs that moved, without missing values; an input that is all missing on one side is left out.

    Rows are not split by segment, so an incident in one segment has no levels.
    """
    if alert.segment:
        return []
    moved = {field_of(shift.signal) for shift in alert.signals}
    figures = []
    for column, entry in enumerate(manifest.inputs):
        before, now = (part[:, column][~np.isnan(part[:, column])] for part in (reference, current))
        if entry.name in moved and len(before) and len(now):
            figures.append(LevelFigure(entry.name, entry.unit, float(before.mean()), float(now.mean())))
    return figures
