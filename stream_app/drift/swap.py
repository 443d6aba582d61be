"""Tells whether an incident began with a swap: then the model is its cause, and the remedy is a rollback.

A model that came into service a moment before an incident began is judged as its cause, unless the same was away under
the model before it, or the swap was itself a rollback: then the stream has changed, and the model does not matter.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from schemas.drift import DriftAlert, DriftCause
from schemas.scoring import ModelRef
from stream_app.drift.cause import Cause, listed
from stream_app.drift.detectors import blocks_of
from stream_app.drift.evidence import Evidence
from stream_app.drift.standardise import DEAD_LETTERS, field_of
from stream_app.rollout.swap_log import Swap

# Events after the swap within which the beginning of an incident counts as the swap's: where chance places it.
AT_THE_SWAP = 256
# The same where only what the model makes of the stream has moved: such a shift is smaller, and placed less exactly.
OF_THE_MODEL_ALONE = 2048


@dataclass(frozen=True)
class ServiceStart:
    """How a model came to score what another one had scored until then.

    Attributes:
        swap: The latest swap to the model, asked for when an incident is described; None where it is not known.
        known: What was away in the stream under the models before: inputs, refused records.
    """

    swap: Callable[[], Swap | None]
    known: frozenset[str]

    def causing(self, evidence: Evidence, begins: int, block_events: int) -> Swap | None:
        """The swap that caused a change; None where none did.

        Args:
            evidence: Since the change.
            begins: How many blocks of the model stand before it.
            block_events: Events in a block.
        """
        moved = evidence.moved_signals
        nearby = OF_THE_MODEL_ALONE if _of_the_model(moved) else AT_THE_SWAP
        if begins > blocks_of(nearby, block_events) or self.known & facts(moved):
            return None
        swap = self.swap()
        return swap if swap is not None and swap.before is not None and swap.left is None else None


def swap_cause(swap: Swap, before: ModelRef, evidence: Evidence) -> Cause:
    """The cause that a swap is, with the evidence and what to do about it."""
    moved = evidence.moved_signals
    of_model = _of_the_model(moved)
    names = listed([name.replace(":", " ") for name in moved] if of_model else sorted(facts(moved)))
    shown = (
        f"Only what it makes of the stream has moved ({names}), no input has."
        if of_model
        else f"Away from what it was trained on since its first events: {names}."
    )
    return Cause(
        DriftCause.SWAP,
        f"Began with the swap to {swap.model.name} {swap.model.version} (deployed {swap.at:%Y-%m-%d %H:%M:%S} UTC by "
        f"{swap.issuer}): the model, not the population. {shown}",
        f"Return to {before.name} {before.version}: stream-app rollback",
        retraining_helps=False,
    )


def facts(signals: Iterable[str]) -> frozenset[str]:
    """What signals tell of the stream itself, whichever model reads it: inputs, refused records."""
    return frozenset(field_of(signal) or signal for signal in signals if field_of(signal) or signal == DEAD_LETTERS)


def facts_of(alerts: Iterable[DriftAlert]) -> frozenset[str]:
    """The same of alerts."""
    return facts(shift.signal for alert in alerts for shift in alert.signals)


def _of_the_model(signals: Iterable[str]) -> bool:
    """Whether these depend on the model: none is an input, a relation of inputs, or the share of refused records."""
    return all(signal == "score" or signal.startswith(("latent:", "residual:")) for signal in signals)
