"""What the pipeline reads at each batch boundary: one object, replaced whole: no batch sees half a swap."""

from dataclasses import dataclass

from models.runtime import Runtime
from schemas.transactions import ModelRef


@dataclass(frozen=True, slots=True)
class Second:
    """A model that scores beside the one in service, on the same batches.

    Attributes:
        trial_id: What it is compared for: the stage of a candidate, or the activation after which the previous model
            stays for comparison.
        runtime: Loaded, checked and warmed up.
        model: Its identity.
        percent: Of the customers, for whom it decides; 0: for nobody.
        is_candidate: It is on trial. Otherwise it is the previous model, and what serves is on trial.
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
        model: Its identity, as the log names it.
        previous: What a rollback would serve; None where there is none.
        command_id: The command that put it in service: what `applied` on `model-status` answers.
        second: What scores beside it; None where nothing does.
    """

    runtime: Runtime
    model: ModelRef
    previous: ModelRef | None
    command_id: str
    second: Second | None = None

    @property
    def candidate(self) -> ModelRef | None:
        """The second model, where that is the one on trial."""
        return self.second.model if self.second is not None and self.second.is_candidate else None

    @property
    def percent(self) -> float:
        """Share of the customers for whom the second model decides."""
        return self.second.percent if self.second is not None else 0.0
