"""Before a deploy: the candidate beside the model that serves, on recent data; a verdict for the stage, or a refusal.

A refusal and an override go on record with their reasons; the report of either is kept under its digest.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from models import artefact
from models.data.frame import read
from models.gates.comparison import compare
from models.gates.judge import judge
from models.gates.limits import load_limits
from models.gates.report import GateReport
from schemas.rollout import GateVerdict
from schemas.transactions import ModelRef
from stream_app.rollout.cache import ModelCache, Source, at_hand
from stream_app.rollout.state import Release, describe
from stream_app.rollout.trust import trust
from stream_app.rollout.watch import Say, Watch, watching
from stream_app.settings import Settings


class Refused(Exception):  # noqa: N818 - named after what happened
    """The gates do not let the candidate pass; the message names them, with their figures.

    Attributes:
        report: What each gate said.
    """

    def __init__(self, report: GateReport) -> None:
        said = "; ".join(gate.sentence for gate in report.gates if not gate.passes)
        super().__init__(f"{report.conclusion}. {said}. --override REASON puts it through all the same")
        self.report = report


@dataclass(frozen=True, slots=True)
class Override:
    """Who puts a candidate through whatever the gates say, and why."""

    by: str
    reason: str


def admit(
    settings: Settings,
    model: Source,
    issuer: str,
    data: Path | None,
    override: Override | None = None,
    on_progress: Say = lambda _: None,
) -> GateVerdict | None:
    """Judge a candidate against what serves.

    Args:
        settings: Where Kafka and the cache are, the limits, and where reports are kept.
        model: The candidate's artefact, as of `stream_app.rollout.commands.deploy`.
        issuer: Who asks.
        data: Recent transactions. None: the gates are not asked.
        override: Put it through whatever they say.
        on_progress: Told what is being done.

    Returns:
        What goes into the stage; None where nothing was asked and nothing overridden, or nothing serves yet.

    Raises:
        Refused: a gate refuses, and nobody overrides it.
        ArtefactError, FetchError, DataError, SpecError, LimitsError, EvaluationError: they could not be asked.
    """
    if data is None and override is None:
        return None
    with watching(settings) as watch, at_hand(model) as file:
        serving = watch.rollout.serving
        manifest = artefact.read_manifest(file)
        candidate = ModelRef(manifest.name, manifest.version, artefact.digest(file))
        if serving is None or serving.model.sha256 == candidate.sha256:
            return None
        report = None
        if data is not None:
            on_progress(f"comparing with {describe(serving.model)}")
            report = _report(settings, file, serving, data)
        verdict = _verdict(report, serving.model, override)
        _put_on_record(watch, issuer, candidate, report, verdict)
    if report is not None and not report.passed and override is None:
        raise Refused(report)
    return verdict


def _report(settings: Settings, model: Path, serving: Release, data: Path) -> GateReport:
    """All gates, and the report kept."""
    limits = load_limits(settings.gate_limits)
    kept = ModelCache(settings.model_cache, trust(settings)).fetch(serving.uri, serving.model.sha256)
    champion = artefact.load(kept, serving.model.sha256)
    frame = read(data, labels_needed=False)
    report = judge(compare(artefact.load(model), champion, frame, limits), limits, datetime.now(UTC))
    settings.gate_reports.mkdir(parents=True, exist_ok=True)
    (settings.gate_reports / f"{report.digest}.json").write_bytes(report.encode())
    return report


def _verdict(report: GateReport | None, serving: ModelRef, override: Override | None) -> GateVerdict:
    return GateVerdict(
        passed=report is not None and report.passed,
        against=serving.sha256 if report else "",
        failed=report.failed if report else [],
        report_sha256=report.digest if report else "",
        override_by=override.by if override else "",
        override_reason=override.reason if override else "",
    )


def _put_on_record(
    watch: Watch, issuer: str, candidate: ModelRef, report: GateReport | None, verdict: GateVerdict
) -> None:
    if report is not None:
        effect = "passed" if report.passed else f"refused for {', '.join(report.failed)}"
        watch.record(issuer, "gate", describe(candidate), reason=report.digest, effect=effect)
    if verdict.override_reason:
        over = ", ".join(verdict.failed) or ("no gate" if report else "gates that were not asked")
        watch.record(
            verdict.override_by, "override", describe(candidate), reason=verdict.override_reason, effect=f"over {over}"
        )
