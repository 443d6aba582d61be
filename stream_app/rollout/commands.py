"""Deploy and rollback for people: a command onto the swap log, then the workers' answers, until there is an outcome.

Nothing here decides anything: the log does. If the person leaves while waiting, the command stands and is carried out.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from models import artefact
from schemas.rollout import Rollback, Stage
from schemas.topics import MODEL_SWAP
from schemas.transactions import ModelRef
from stream_app.kafka.log import read_to_end
from stream_app.rollout.follower import describe
from stream_app.rollout.state import Entry, Rollout, fold
from stream_app.rollout.watch import Outcome, Say, watching
from stream_app.settings import Settings

GRACE_S = 5.0  # the controller's own time limit ends first, so that its reasons can be told
STAGE_VALID_FOR = timedelta(hours=1)  # a stage may wait for a first worker, not go live by surprise weeks later
ROLLBACK_VALID_FOR = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Models:
    """What the swap log says: the state it prescribes, and every record with what became of it, oldest first."""

    rollout: Rollout
    history: list[Entry]


def models(settings: Settings) -> Models:
    """Serving, previous, pending and history, from the log alone."""
    history = fold(read_to_end(settings, MODEL_SWAP))
    return Models(history[-1].after if history else Rollout(), history)


def deploy(
    settings: Settings,
    model: Path,
    issuer: str,
    reason: str = "",
    timeout_s: float | None = None,
    on_progress: Say = lambda _: None,
    sha256: str | None = None,
) -> Outcome:
    """Put a model into service on every live worker, in two phases.

    Args:
        settings: Where Kafka is, and the time limits.
        model: The artefact, on storage that every worker can read under the same path.
        issuer: Who asks.
        reason: Why, for the audit trail.
        timeout_s: How long to wait; by default as long as the workers may take to stage, and a little.
        on_progress: Told each time that something has moved.
        sha256: The digest announced for the file, if not its own. Workers refuse a file with another one.

    Raises:
        models.artefact.ArtefactError: the file is no model.
        stream_app.rollout.publish.NotPublished: the broker did not take the command.
    """
    manifest = artefact.read_manifest(model)
    ref = ModelRef(manifest.name, manifest.version, sha256 or artefact.digest(model))
    with watching(settings) as watch:
        if watch.rollout.serving is not None and watch.rollout.serving.model.sha256 == ref.sha256:
            return watch.outcome(True, f"{describe(ref)} serves already")
        now = datetime.now(UTC)
        stage = Stage(
            command_id=uuid4().hex,
            issuer=issuer,
            issued_at=now,
            expires_at=now + STAGE_VALID_FOR,
            reason=reason,
            uri=model.resolve().as_uri(),
            model=ref,
        )
        watch.issue(stage, describe(ref))
        on_progress(f"staging {describe(ref)}")
        limit = settings.stage_timeout_s + GRACE_S if timeout_s is None else timeout_s
        return watch.conclude(watch.staged(stage, limit, on_progress), "deploy", describe(ref))


def rollback(
    settings: Settings,
    issuer: str,
    reason: str = "",
    timeout_s: float = 10.0,
    on_progress: Say = lambda _: None,
) -> Outcome:
    """Put the previous model back into service on every live worker, at once. A second rollback undoes the first.

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
        if watch.rollout.previous is None:
            return watch.outcome(
                False, "there is no previous model to go back to: deploy one with `stream-app deploy MODEL`"
            )
        subject = describe(watch.rollout.previous.model)
        now = datetime.now(UTC)
        command = Rollback(
            command_id=uuid4().hex, issuer=issuer, issued_at=now, expires_at=now + ROLLBACK_VALID_FOR, reason=reason
        )
        watch.issue(command, subject)
        on_progress(f"rolling back to {subject}")
        return watch.conclude(watch.applied(command.command_id, timeout_s, on_progress), "rollback", subject)
