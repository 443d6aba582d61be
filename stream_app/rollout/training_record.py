"""A stage in, the record of how its model was trained out: training needs no broker, so it is told at the deploy."""

from models.artefact import ArtefactError, read_manifest
from schemas.rollout import AuditRecord, Stage
from stream_app.audit.record import audit_record
from stream_app.rollout.cache import FetchError, local_path


def training_record(stage: Stage, subject: str) -> AuditRecord | None:
    """What the manifest says of the training; None where the artefact cannot be read from here.

    Args:
        stage: The command that puts the model before the workers.
        subject: The model for people.
    """
    try:
        m = read_manifest(local_path(stage.uri))
    except (ArtefactError, FetchError):
        return None
    effect = (
        f"trained at {m.created_at.isoformat(timespec='seconds')} on {m.rows} rows from {m.trained_from} to "
        f"{m.trained_until} (data sha256 {m.data_sha256}), seed {m.seed}, code {m.code_version}"
    )
    return audit_record(stage.issuer, "train", subject, effect=effect, command_id=stage.command_id)
