"""The commands of an operator: each opens one session, writes at most one command and returns its outcome.

All raise `NotPublished` where the broker does not take the command, and `BrokerUnavailable` where the logs cannot be
read.
"""

from collections.abc import Callable

from msgspec.structs import replace

from models.archive import Archive, ArtefactError
from models.gates.report import GateReport
from models.registry.address import Registered
from schemas.rollout import Abort, Canary, Freeze, GateVerdict, Promote, Rollback, Shadow, Unfreeze
from stream_app.rollout import artefacts
from stream_app.rollout.artefacts import FetchError, Source
from stream_app.rollout.client import CommandSession, Order, Outcome
from stream_app.rollout.state import Release
from stream_app.rollout.swap_log import SwapLog, read_swap_log
from stream_app.settings import Settings

NAMED_MOST = 5

Gate = Callable[[CommandSession, Archive], GateVerdict | None]
"""Judges a model before it is staged: the verdict for the stage, or an exception. See `stream_app.rollout.gating`."""


class Refused(Exception):  # noqa: N818 - named after what happened
    """The gates do not let the model pass; the message names them, with their figures.

    Attributes:
        report: Of every gate.
    """

    def __init__(self, report: GateReport) -> None:
        reasons = "; ".join(gate.sentence for gate in report.gates if not gate.passes)
        super().__init__(f"{report.conclusion}. {reasons}. --override REASON puts it through all the same")
        self.report = report


def models(settings: Settings) -> SwapLog:
    """Serving, previous, pending and history, from the log alone."""
    return read_swap_log(settings)


def ungated(_: CommandSession, __: Archive) -> None:
    """The gates are not asked."""


def deploy(settings: Settings, order: Order, model: Source, gate: Gate = ungated, sha256: str | None = None) -> Outcome:
    """Put a model into service on every live worker, in two phases.

    What serves already is taken from its new place where the old one does not have it any more.

    Args:
        settings: Where Kafka is, and the time limits.
        order: Who commands, and why.
        model: The artefact, on storage that every worker can read under the same path; its URI; or a version of the
            registry.
        gate: Asked where another model serves.
        sha256: The digest announced for the file, if not its own. Workers refuse a file with another one.

    Raises:
        ArtefactError, FetchError: the model cannot be had, or is none.
        Refused: by the gate.
    """
    archive = artefacts.read(model)
    release = _release(model, archive, sha256)
    with CommandSession(settings, order) as session:
        serving = session.rollout.serving
        is_serving = serving is not None and serving.model.sha256 == release.model.sha256
        if serving is not None and is_serving and (serving.uri == release.uri or _is_there(serving)):
            return session.outcome(True, f"{serving.model} serves already")
        if taken := _taken(session, release):
            return session.outcome(False, taken)
        known = GateVerdict(passed=False, override_by=order.issuer, override_reason="it serves already")
        gates = known if is_serving else gate(session, archive)
        _record_origin(session, model, archive, release)
        return session.stage(release, "deploy", gates=gates)


def try_out(
    settings: Settings, order: Order, model: Source | None, percent: float | None, gate: Gate = ungated
) -> Outcome:
    """Let a model score beside the one that serves: as a shadow or, for a share of the customers, as a canary.

    A model that is the candidate already changes its share at once; any other is staged first, as by `deploy`.

    Args:
        settings: Where Kafka is, and the time limits.
        order: Who commands, and why.
        model: The artefact, as of `deploy`; None: the candidate that there is.
        percent: Of the customers, for whom it decides; None: a shadow.
        gate: Asked where the model is not the candidate yet.

    Raises:
        ArtefactError, FetchError: the model cannot be had, or is none.
        Refused: by the gate.
    """
    archive = None if model is None else artefacts.read(model)
    action = "shadow" if percent is None else "canary"
    with CommandSession(settings, order) as session:
        candidate = session.rollout.candidate
        if (
            model is not None
            and archive is not None
            and (candidate is None or candidate.release.model.sha256 != archive.sha256)
        ):
            release = _release(model, archive)
            if taken := _taken(session, release):
                return session.outcome(False, taken)
            gates = gate(session, archive)
            _record_origin(session, model, archive, release)
            return session.stage(release, action, percent, gates)
        if candidate is None:
            return session.outcome(False, f"there is no candidate: name one with `stream-app {action} MODEL`")
        name = str(candidate.release.model)
        if candidate.percent == (percent or 0.0):
            return session.outcome(True, f"{name} does that already")
        head = {"stage_id": candidate.stage_id, **order.head()}
        return session.at_once(Shadow(**head) if percent is None else Canary(percent=percent, **head), name)


def promote(settings: Settings, order: Order) -> Outcome:
    """Put the candidate into service on every live worker, from warm memory."""
    with CommandSession(settings, order) as session:
        candidate = session.rollout.candidate
        if candidate is None:
            return session.outcome(
                False, "there is no candidate to promote: try one out with `stream-app shadow MODEL`"
            )
        command = Promote(stage_id=candidate.stage_id, **order.head())
        return session.at_once(command, str(candidate.release.model))


def abort(settings: Settings, order: Order) -> Outcome:
    """Drop what is staged or, where nothing is, the candidate. What serves goes on serving."""
    with CommandSession(settings, order) as session:
        pending, candidate = session.rollout.pending, session.rollout.candidate
        if pending is not None:
            name = str(pending.release.model)
            command = Abort(stage_id=pending.stage_id, **order.head())
            return session.logged(command, name, f"{name} is no longer staged")
        if candidate is None:
            return session.outcome(False, "nothing is staged and there is no candidate: there is nothing to abort")
        command = Abort(stage_id=candidate.stage_id, **order.head())
        return session.at_once(command, str(candidate.release.model))


def freeze(settings: Settings, order: Order, frozen: bool) -> Outcome:
    """Forbid automatic promotion and rollback, or allow them again. Operators' commands have their effect as before."""
    state = "automatic action is frozen: the guard only reports" if frozen else "automatic action is allowed again"
    with CommandSession(settings, order) as session:
        if session.rollout.frozen is frozen:
            return session.outcome(True, state)
        command = Freeze(**order.head()) if frozen else Unfreeze(**order.head())
        return session.logged(command, "automatic action", state)


def rollback(settings: Settings, order: Order, to: str | None = None) -> Outcome:
    """Drop the candidate or, where there is none, put the previous model back into service, at once.

    Without `to` it never returns to what was rolled back from, unless that has been deployed or promoted since. A model
    that is not warm is staged from where it came before, in two phases.

    Args:
        settings: Where Kafka is.
        order: Who commands, and why.
        to: Which model shall decide alone: its version, or the start of its digest.
    """
    with CommandSession(settings, order) as session:
        rollout = session.rollout
        found = session.log.staged(to) if to is not None else [rollout.way_back] if rollout.way_back else []
        if not found:
            return session.outcome(False, _nothing(session, to))
        if len(found) > 1:
            which = ", ".join(release.model.sha256[:12] for release in found)
            return session.outcome(False, f"{len(found)} models are called {to}: name the one by its digest ({which})")
        (release,) = found
        warm = [kept.model.sha256 for kept in (rollout.serving, rollout.previous) if kept is not None]
        if release.model.sha256 not in warm:
            no_gate = GateVerdict(passed=False, override_by=order.issuer, override_reason="a rollback asks no gate")
            return session.stage(release, "rollback", gates=no_gate)
        if rollout.candidate is None and rollout.serving is not None and release.model == rollout.serving.model:
            return session.outcome(True, f"{release.model} serves already")
        command = Rollback(to=release.model.sha256, **order.head())
        return session.at_once(command, str(release.model))


def _nothing(session: CommandSession, to: str | None) -> str:
    """Why there is no model to roll back to, and what could be named."""
    if to is not None:
        return f"no model {to} was ever staged: `stream-app models` lists them"
    serving = session.rollout.serving
    others = [model for model in session.log.tried if serving is None or model.sha256 != serving.model.sha256]
    if not others:
        return "there is no previous model to go back to: deploy one with `stream-app deploy MODEL`"
    named = ", ".join(map(str, others[:NAMED_MOST]))
    return (
        f"nothing is left to go back to that was not rolled back from: {named} may be named all the same, "
        "`stream-app rollback --to MODEL`, or deploy another with `stream-app deploy MODEL`"
    )


def _taken(session: CommandSession, release: Release) -> str:
    """What is wrong with the model's name and version; empty: no other model has them."""
    model = release.model
    namesakes = [t for t in session.log.tried if (t.name, t.version) == (model.name, model.version)]
    if not namesakes or model in namesakes:
        return ""
    return (
        f"{namesakes[0]} has served or was tried out, and {model} is another model of that version: "
        "train it again with another --version"
    )


def _is_there(release: Release) -> bool:
    """Whether its address still has it."""
    try:
        return artefacts.read(release.uri).sha256 == release.model.sha256
    except (FetchError, ArtefactError):
        return False


def _release(model: Source, archive: Archive, sha256: str | None = None) -> Release:
    ref = archive.ref if sha256 is None else replace(archive.ref, sha256=sha256)
    return Release(ref, artefacts.uri_of(model))


def _record_origin(session: CommandSession, model: Source, archive: Archive, release: Release) -> None:
    """Training and registering need no broker: they go on record with the stage of what came of them."""
    m = archive.manifest
    if (new := m.recalibrated) is not None:
        session.record(
            "recalibrate",
            str(release.model),
            effect=f"calibrated at {m.created_at.isoformat(timespec='seconds')} on {new.rows} rows from {new.since} to "
            f"{new.until} for {m.calibration.promise or f'{m.calibration.budget:.3%}'}; otherwise {new.sha256}",
        )
        return
    session.record(
        "train",
        str(release.model),
        effect=f"trained at {m.created_at.isoformat(timespec='seconds')} on {m.rows} rows from {m.trained_from} to "
        f"{m.trained_until} (data sha256 {m.data_sha256}), seed {m.seed}, code {m.code_version}",
    )
    if isinstance(model, Registered):
        at = f"{model.registered_at.isoformat(timespec='seconds')} from run {model.run_id}"
        session.record("register", f"models:/{model.name}/{model.version}", effect=f"sha256 {model.sha256}, at {at}")
