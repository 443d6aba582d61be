"""A worker's own say on a staged model that has loaded: its gates' verdict, its cost here, its golden rows.

What a person may override is the comparison on data. What a worker finds itself, that the model is far slower than what
serves or lets absurd values pass, protects the stream and stands.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from models.gates.judge import without_data
from models.gates.limits import Limits, load_limits
from models.runtime import Runtime
from schemas.definition import Definition
from schemas.errors import UserError
from schemas.rollout import GateVerdict
from schemas.scoring import ModelRef
from stream_app.pipeline.serving import Serving
from stream_app.rollout.state import Pending
from stream_app.rollout.trust import UNCHECKED, Trust
from stream_app.settings import GatePolicy


@dataclass(frozen=True, slots=True)
class Admission:
    """The rules of one worker.

    Attributes:
        policy: Whether a stage needs a verdict.
        limits: How far a candidate may differ.
        trust: Whose commands count.
        require_readable: Raises a UserError where records cannot be read here as a definition says.
    """

    policy: GatePolicy = GatePolicy.OFF
    limits: Limits = field(default_factory=load_limits)
    trust: Trust = UNCHECKED
    require_readable: Callable[[Definition], None] = lambda _: None

    def objection(self, pending: Pending, candidate: Runtime, serving: Serving | None) -> str:
        """Why the staged model may not serve here, for people; empty when it may.

        Where nothing serves, there is nothing to compare with: only the golden rows speak.

        Args:
            pending: The stage.
            candidate: Its model, loaded.
            serving: What serves; the pipeline may be scoring with it meanwhile.
        """
        try:
            self.require_readable(candidate.manifest.definition)
        except UserError as error:
            return str(error)
        if serving is not None and self.policy is GatePolicy.REQUIRE:
            lacking = lacks(pending.gates, serving.model)
            if lacking:
                return lacking
        return "; ".join(without_data(candidate, serving.runtime if serving else None, self.limits))


def lacks(verdict: GateVerdict | None, serving: ModelRef) -> str:
    """What is missing of a verdict where one is required; empty when nothing is.

    Args:
        verdict: What came with the stage.
        serving: What serves: a verdict on a comparison with another model is none.
    """
    what_to_do = "give it again with --gate-data DATA, or with --override REASON"
    if verdict is None:
        return f"gates are required and none has looked at it: {what_to_do}"
    if verdict.override_reason and verdict.override_by:
        return ""
    if not verdict.passed:
        return f"the gates refused it for {', '.join(verdict.failed) or 'no reason given'}: {what_to_do}"
    if verdict.against != serving.sha256:
        against = verdict.against[:12] or "nothing"
        return f"it was compared with {against} and {serving.sha256[:12]} serves: {what_to_do}"
    return ""
