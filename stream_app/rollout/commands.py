"""Commands for people: one onto the swap log, then the workers' answers, until there is an outcome.

Nothing here decides anything: the log does. If the person leaves while waiting, the command stands and is carried out.
"""

from dataclasses import dataclass

from models import artefact
from models.registry.address import Registered
from schemas.rollout import (
    Abort,
    Canary,
    Freeze,
    GateVerdict,
    Promote,
    Rollback,
    Shadow,
    Unfreeze,
)
from schemas.topics import MODEL_SWAP
from schemas.transactions import ModelRef
from stream_app.kafka.log import read_to_end
from stream_app.rollout.cache import Source, at_hand
from stream_app.rollout.entries import Entry, fold
from stream_app.rollout.order import EFFECT_S, Order
from stream_app.rollout.state import Release, Rollout, describe
from stream_app.rollout.trust import trust
from stream_app.rollout.watch import Outcome, Say, Watch, watching
from stream_app.settings import Settings


@dataclass(frozen=True, slots=True)
class Models:
    """What the swap log says: the state it prescribes, and every record with what became of it, oldest first."""

    rollout: Rollout
    history: list[Entry]


def models(settings: Settings) -> Models:
    """Serving, previous, pending and history, from the log alone."""
    history = fold(read_to_end(settings, MODEL_SWAP), trust=trust(settings))
    return Models(history[-1].after if history else Rollout(), history)


def deploy(  # noqa: PLR0913 - what is announced with a stage is said in one place
    settings: Settings,
    model: Source,
    issuer: str,
    reason: str = "",
    timeout_s: float | None = None,
    on_progress: Say = lambda _: None,
    sha256: str | None = None,
    *,
    gates: GateVerdict | None = None,
) -> Outcome:
    """Put a model into service on every live worker, in two phases.

    Args:
        settings: Where Kafka is, and the time limits.
        model: The artefact, on storage that every worker can read under the same path; its URI; or a version of the
            registry.
        issuer: Who asks.
        reason: Why, for the audit trail.
        timeout_s: How long to wait; by default as long as the workers may take to stage, and a little.
        on_progress: Told each time that something has moved.
        sha256: The digest announced for the file, if not its own. Workers refuse a file with another one.
        gates: What the gates said of it (`stream_app.rollout.gating.admit`).

    Raises:
        models.artefact.ArtefactError: the file is no model.
        stream_app.rollout.publish.NotPublished: the broker did not take the command.
    """
    release = _release(model, sha256)
    with watching(settings) as watch:
        serving = watch.rollout.serving
        if serving is not None and serving.model.sha256 == release.model.sha256:
            return watch.outcome(True, f"{describe(release.model)} serves already")
        order = Order(settings, issuer, reason, timeout_s, on_progress)
        _tell_of_registration(watch, issuer, model)
        return order.stage(watch, release, "deploy", gates=gates)


def try_out(  # noqa: PLR0913 - as deploy
    settings: Settings,
    model: Source | None,
    percent: float | None,
    issuer: str,
    reason: str = "",
    timeout_s: float | None = None,
    on_progress: Say = lambda _: None,
    *,
    gates: GateVerdict | None = None,
) -> Outcome:
    """Let a model score beside the one that serves: as a shadow or, for a share of the customers, as a canary.

    A model that is the candidate already changes its share at once; any other is staged first, as by `deploy`.

    Args:
        settings: Where Kafka is, and the time limits.
        model: The artefact, as of `deploy`; None: the candidate that there is.
        percent: Of the customers, for whom it decides; None: a shadow.
        issuer: Who asks.
        reason: Why, for the audit trail.
        timeout_s: How long to wait.
        on_progress: Told each time that something has moved.
        gates: What the gates said of it (`stream_app.rollout.gating.admit`).

    Raises:
        models.artefact.ArtefactError: the file is no model.
        stream_app.rollout.publish.NotPublished: the broker did not take the command.
    """
    release = None if model is None else _release(model)
    action = "shadow" if percent is None else "canary"
    with watching(settings) as watch:
        order = Order(settings, issuer, reason, timeout_s, on_progress)
        candidate = watch.rollout.candidate
        if release is not None and (candidate is None or candidate.release.model.sha256 != release.model.sha256):
            _tell_of_registration(watch, issuer, model)
            return order.stage(watch, release, action, percent, gates)
        if candidate is None:
            return watch.outcome(False, f"there is no candidate: name one with `stream-app {action} MODEL`")
        if candidate.percent == (percent or 0.0):
            return watch.outcome(True, f"{describe(candidate.release.model)} does that already")
        about = {"stage_id": candidate.stage_id, **order.head}
        command = Shadow(**about) if percent is None else Canary(percent=percent, **about)
        return order.at_once(watch, command, describe(candidate.release.model))


def promote(
    settings: Settings,
    issuer: str,
    reason: str = "",
    timeout_s: float | None = None,
    on_progress: Say = lambda _: None,
) -> Outcome:
    """Put the candidate into service on every live worker, from warm memory.

    Args:
        settings: Where Kafka is.
        issuer: Who asks.
        reason: Why, for the audit trail.
        timeout_s: How long to wait for the workers.
        on_progress: Told each time that something has moved.

    Raises:
        stream_app.rollout.publish.NotPublished: the broker did not take the command.
    """
    with watching(settings) as watch:
        candidate = watch.rollout.candidate
        if candidate is None:
            return watch.outcome(False, "there is no candidate to promote: try one out with `stream-app shadow MODEL`")
        order = Order(settings, issuer, reason, timeout_s, on_progress)
        command = Promote(stage_id=candidate.stage_id, **order.head)
        return order.at_once(watch, command, describe(candidate.release.model))


def abort(
    settings: Settings,
    issuer: str,
    reason: str = "",
    timeout_s: float | None = None,
    on_progress: Say = lambda _: None,
) -> Outcome:
    """Drop what is staged or, where nothing is, the candidate. What serves goes on serving.

    Args:
        settings: Where Kafka is.
        issuer: Who asks.
        reason: Why, for the audit trail.
        timeout_s: How long to wait for the workers.
        on_progress: Told each time that something has moved.

    Raises:
        stream_app.rollout.publish.NotPublished: the broker did not take the command.
    """
    with watching(settings) as watch:
        order = Order(settings, issuer, reason, timeout_s, on_progress)
        pending, candidate = watch.rollout.pending, watch.rollout.candidate
        if pending is not None:
            command, name = Abort(stage_id=pending.stage_id, **order.head), describe(pending.release.model)
            watch.issue(command, name)
            outcome = watch.taken(command.command_id, order.limit_s, f"{name} is no longer staged")
            return watch.conclude(outcome, "abort", name)
        if candidate is None:
            return watch.outcome(False, "nothing is staged and there is no candidate: there is nothing to abort")
        command = Abort(stage_id=candidate.stage_id, **order.head)
        return order.at_once(watch, command, describe(candidate.release.model))


def freeze(settings: Settings, frozen: bool, issuer: str, reason: str = "", timeout_s: float = EFFECT_S) -> Outcome:
    """Forbid automatic promotion and rollback, or allow them again. What people command has its effect as before.

    Args:
        settings: Where Kafka is.
        frozen: Whether to forbid.
        issuer: Who asks.
        reason: Why, for the audit trail.
        timeout_s: How long to wait for the log.

    Raises:
        stream_app.rollout.publish.NotPublished: the broker did not take the command.
    """
    said = "automatic action is frozen: the guard only reports" if frozen else "automatic action is allowed again"
    with watching(settings) as watch:
        if watch.rollout.frozen is frozen:
            return watch.outcome(True, said)
        order = Order(settings, issuer, reason, timeout_s)
        command = Freeze(**order.head) if frozen else Unfreeze(**order.head)
        watch.issue(command, "automatic action")
        outcome = watch.taken(command.command_id, timeout_s, said)
        return watch.conclude(outcome, type(command).__name__.lower(), "automatic action")


def rollback(
    settings: Settings,
    issuer: str,
    reason: str = "",
    timeout_s: float | None = None,
    on_progress: Say = lambda _: None,
    to: str | None = None,
) -> Outcome:
    """Drop the candidate or, where there is none, put the previous model back into service, at once.

    A second rollback undoes the first. A model that is neither the serving nor the previous one is not warm: it is
    staged from where it came before, in two phases.

    Args:
        settings: Where Kafka is.
        issuer: Who asks.
        reason: Why, for the audit trail.
        timeout_s: How long to wait for the workers.
        on_progress: Told each time that something has moved.
        to: Which model shall decide alone: its version, or the start of its digest.

    Raises:
        stream_app.rollout.publish.NotPublished: the broker did not take the command.
    """
    with watching(settings) as watch:
        rollout = watch.rollout
        usual = rollout.serving if rollout.candidate is not None else rollout.previous
        release = usual if to is None else watch.release(to)
        if release is None and to is not None:
            return watch.outcome(False, f"no model {to} was ever staged: `stream-app models` lists them")
        if release is None:
            return watch.outcome(
                False, "there is no previous model to go back to: deploy one with `stream-app deploy MODEL`"
            )
        order = Order(settings, issuer, reason, timeout_s, on_progress)
        warm = [kept.model.sha256 for kept in (rollout.serving, rollout.previous) if kept is not None]
        if release.model.sha256 not in warm:
            return order.stage(watch, release, "rollback")
        if rollout.candidate is None and release == rollout.serving:
            return watch.outcome(True, f"{describe(release.model)} serves already")
        command = Rollback(to=release.model.sha256, **order.head)
        return order.at_once(watch, command, describe(release.model))


def _release(model: Source, sha256: str | None = None) -> Release:
    with at_hand(model) as file:
        manifest = artefact.read_manifest(file)
        ref = ModelRef(manifest.name, manifest.version, sha256 or artefact.digest(file))
    if isinstance(model, Registered):
        return Release(ref, model.uri)
    return Release(ref, model if isinstance(model, str) else model.resolve().as_uri())


def _tell_of_registration(watch: Watch, issuer: str, model: Source | None) -> None:
    """Training and registering need no broker: they go on record with the stage of what came of them."""
    if isinstance(model, Registered):
        at = f"{model.registered_at.isoformat(timespec='seconds')} from run {model.run_id}"
        watch.record(
            issuer, "register", f"models:/{model.name}/{model.version}", effect=f"sha256 {model.sha256}, at {at}"
        )
