"""The models that the pipeline serves: one object, replaced whole between two batches, so no batch sees half a swap."""

from dataclasses import dataclass

from models.runtime import Runtime
from schemas.scoring import ModelRef


@dataclass(frozen=True, slots=True)
class SecondModel:
    """A model that scores beside the one in service, on the same batches.

    Attributes:
        trial_id: The stage of a candidate, or the activation after which the previous model stays for comparison.
        runtime: Loaded, checked and warmed up.
        model: Its identity.
        percent: Share of the customers for whom it decides; 0 for a shadow.
        is_candidate: It is on trial. Otherwise it is the previous model, and the model in service is on trial.
    """

    trial_id: str
    runtime: Runtime
    model: ModelRef
    percent: float
    is_candidate: bool


@dataclass(frozen=True, slots=True)
class Serving:
    """The model in service on this worker.

    Attributes:
        runtime: Loaded, checked and warmed up.
        model: Its identity in the swap log.
        previous: The model that a rollback would serve; None where there is none.
        command_id: The command that put it in service; `applied` on `model-status` answers it.
        second: The model that scores beside it; None where it is alone.
    """

    runtime: Runtime
    model: ModelRef
    previous: ModelRef | None
    command_id: str
    second: SecondModel | None = None

    @property
    def budget(self) -> float:
        """Share of the events that the model was calibrated to alert on."""
        return self.runtime.manifest.calibration.budget

    @property
    def candidate(self) -> ModelRef | None:
        """The second model if it is the one on trial."""
        return self.second.model if self.second is not None and self.second.is_candidate else None

    @property
    def percent(self) -> float:
        """Share of the customers for whom the second model decides."""
        return self.second.percent if self.second is not None else 0.0
