"""Before a model is staged: it is compared with the model that serves, on recent data.

A refusal and an override go on record with their reasons; the report of either is kept under its digest.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from models import artefact
from models.archive import Archive
from models.data.frame import read
from models.definition import find, together
from models.gates.comparison import compare
from models.gates.judge import judge
from models.gates.limits import load_limits
from models.gates.report import GateReport
from schemas.rollout import GateVerdict
from stream_app.rollout.artefacts import ModelCache
from stream_app.rollout.client import CommandSession
from stream_app.rollout.commands import Refused
from stream_app.rollout.state import Release
from stream_app.rollout.trust import trust
from stream_app.settings import Settings


@dataclass(frozen=True, slots=True)
class Gates:
    """The gates, as a deploy asks them.

    Attributes:
        settings: Limits, the cache, and where reports are kept.
        data: Recent events. None: the gates are not asked, there is an override.
        override: Why the model is put through whatever they find; empty: it is not.
    """

    settings: Settings
    data: Path | None
    override: str = ""

    def __call__(self, session: CommandSession, candidate: Archive) -> GateVerdict | None:
        """The verdict that goes into the stage; None where nothing serves that it could be compared with.

        Raises:
            Refused: a gate refuses, and there is no override.
            UserError: they could not be asked: no artefact, data that cannot be read, no row to measure on.
        """
        serving = session.rollout.serving
        if serving is None or serving.model.sha256 == candidate.sha256:
            return None
        report = None
        if self.data is not None:
            session.progress(f"comparing with {serving.model}")
            report = self._report(candidate, serving, self.data)
        verdict = GateVerdict(
            passed=report is not None and report.passed,
            against=serving.model.sha256 if report else "",
            failed=report.failed if report else [],
            report_sha256=report.digest if report else "",
            override_by=session.order.issuer if self.override else "",
            override_reason=self.override,
        )
        _record(session, candidate, report, verdict)
        if report is not None and not report.passed and not self.override:
            raise Refused(report)
        return verdict

    def _report(self, candidate: Archive, serving: Release, data: Path) -> GateReport:
        """Of all gates, and kept."""
        limits = load_limits(self.settings.gate_limits)
        cache = ModelCache(self.settings.model_cache, trust(self.settings))
        champion = artefact.load(cache.fetch(serving.uri, serving.model.sha256), serving.model.sha256)
        both = together(candidate.manifest.definition, champion.manifest.definition)
        frame = read(data, definition=find(self.settings.detector, both), labels_needed=False)
        report = judge(compare(artefact.run(candidate), champion, frame, limits), limits, datetime.now(UTC))
        self.settings.gate_reports.mkdir(parents=True, exist_ok=True)
        (self.settings.gate_reports / f"{report.digest}.json").write_bytes(report.encode())
        return report


def _record(session: CommandSession, candidate: Archive, report: GateReport | None, verdict: GateVerdict) -> None:
    name = str(candidate.ref)
    if report is not None:
        effect = "passed" if report.passed else f"refused for {', '.join(report.failed)}"
        session.record("gate", name, reason=report.digest, effect=effect)
    if verdict.override_reason:
        over = ", ".join(verdict.failed) or ("no gate" if report else "gates that were not asked")
        session.record("override", name, reason=verdict.override_reason, effect=f"over {over}")
