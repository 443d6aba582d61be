"""What the pipeline reads at each batch boundary: one object, replaced whole: no batch sees half a swap."""

from dataclasses import dataclass

from models.runtime import Runtime
from schemas.transactions import ModelRef


@dataclass(frozen=True, slots=True)
class Serving:
    """The model in service on this worker.

    Attributes:
        runtime: Loaded, checked and warmed up.
        model: Its identity, as the log names it.
        previous: What a rollback would serve; None where there is none.
        command_id: The command that put it in service: what `applied` on `model-status` answers.
    """

    runtime: Runtime
    model: ModelRef
    previous: ModelRef | None
    command_id: str
