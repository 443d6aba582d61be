"""A model calibrated anew: p-values and threshold from recent events, everything else as it is, to the last byte.

What is usual changes sooner than what is fraud: the same score then buys another number of alerts. The outcome is a
model of its own, with its own digest, so that it is deployed, recorded and rolled back as any other.
"""

from datetime import UTC, datetime

import polars as pl
from msgspec.structs import replace

from models import artefact
from models.archive import Archive
from models.calibration import calibrated
from models.evaluation import score_in_batches
from models.inputs import matrix
from models.manifest import Recalibration
from models.training import FEWEST_ROWS, TrainingError


def recalibrate(
    model: Archive,
    frame: pl.DataFrame,
    budget: float | str | None = None,
    version: str | None = None,
    now: datetime | None = None,
) -> Archive:
    """Calibrate to recent events.

    Args:
        model: What is calibrated.
        frame: Recent events, as `models.data.frame.read` returns them, whole days: a night alone is not a day.
        budget: What may alert, in any form of `models.budget`. None: what the model promises already.
        version: Of the new model. None: the old one's with the time behind a plus sign.
        now: Moment of creation. None: the clock's.

    Raises:
        ArtefactError: the model does not run.
        TrainingError: there are too few events.
        BudgetError: the budget is none, or cannot be had on these events.
        DefinitionError: the frame lacks an input.
    """
    if frame.height < FEWEST_ROWS:
        raise TrainingError(f"{frame.height:,} events are too few to calibrate on: give at least {FEWEST_ROWS:,}")
    runtime, at = artefact.run(model), now or datetime.now(UTC)
    manifest = runtime.manifest
    scores = score_in_batches(runtime, matrix(frame, manifest.inputs, manifest.categories))
    asked = budget if budget is not None else manifest.calibration.promise or manifest.calibration.budget
    times = frame["event_time"]
    made = model.described_by(
        replace(
            manifest,
            version=version or f"{manifest.version.partition('+')[0]}+{at:%Y%m%d-%H%M%S}",
            created_at=at,
            calibration=calibrated(scores, frame, asked, times),
            recalibrated=Recalibration(model.sha256, times[0].isoformat(), times[-1].isoformat(), frame.height),
        )
    )
    artefact.run(made)
    return made
