"""Names the likely cause of a change from the signals that moved, with the evidence and what to do about it.

Signals that the model can no longer reconstruct are broken; those that it can are a change of the world. Retraining
helps with the second only; trained on a broken field, a model learns the fault.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.distances import Distances
from models.manifest import Manifest
from schemas.drift import DriftCause, StatisticKind
from stream_app.drift.evidence import Evidence, broken_pair
from stream_app.drift.merge import Sums
from stream_app.drift.standardise import DEAD_LETTERS

# An input's residual above this part of the input's own shift: the network does not follow it.
NOT_FOLLOWED = 0.6
# More fields than this do not break at the same moment; the population has changed.
FIELDS_THAT_BREAK_TOGETHER = 2
# Times the usual share beyond the reference's tail quantile, while the distribution as a whole looks as before.
HEAVY_TAIL = 3.0
CALM_PSI = 0.1
# Divided by the events seen, the PSI that sampling alone gives sixteen bins: an attack may be over after few.
PSI_BY_CHANCE = 15.0
# Standard deviations: no fault of the data is that small, what creeps up to it is the world.
CREEPING = 0.15
LOOK_AT_ANOMALIES = "Look at the latest anomalies for the terminals and customers that they share."


@dataclass(frozen=True)
class Cause:
    """The likely cause of an incident.

    Attributes:
        kind: For machines.
        cause: A sentence, with its evidence.
        action: What to do about it.
        retraining_helps: Whether a new model would be a remedy.
    """

    kind: DriftCause
    cause: str
    action: str
    retraining_helps: bool


def likely_cause(evidence: Evidence, manifest: Manifest, total: Sums, far: Mapping[str, Distances]) -> Cause:
    """The likely cause of a change.

    Args:
        evidence: Since the change.
        total: Sums since the change.
        far: Signal to its distances since the change.
    """
    lost = evidence.names("input", StatisticKind.SHARE)
    inputs = evidence.names("input", StatisticKind.MEAN, StatisticKind.SPREAD)
    residuals = evidence.names("residual", StatisticKind.MEAN, StatisticKind.SPREAD)
    if lost:
        return _missing(sorted(lost))
    if inputs and set(manifest.constant).issuperset(inputs):
        return _was_constant(inputs)
    if not inputs and not residuals and evidence.of(DEAD_LETTERS, StatisticKind.SHARE):
        return _refused()
    if not inputs and not _extreme(evidence, inputs, residuals, far):
        return _relation(residuals or broken_pair(manifest, total))
    risks = frozenset(entry.name for entry in manifest.inputs if entry.role == "risk")
    return _of_inputs(evidence, inputs, residuals, risks, far)


def _of_inputs(
    evidence: Evidence, inputs: list[str], residuals: list[str], risks: frozenset[str], far: Mapping[str, Distances]
) -> Cause:
    """The cause of a change that shows in the inputs themselves, or in a few far values of them."""
    extreme = _extreme(evidence, inputs, residuals, far)
    if extreme:
        return _attack_on_few(extreme)
    if len(inputs) > 1 and risks.issuperset(inputs):
        return _attack_where_labels_are(inputs)
    if max(evidence.of(f"input:{name}", StatisticKind.MEAN, StatisticKind.SPREAD) for name in inputs) < CREEPING:
        return _population(inputs, residuals)
    broken = inputs if len(inputs) == 1 else [name for name in inputs if not _follows(name, evidence)]
    if broken and len(inputs) <= FIELDS_THAT_BREAK_TOGETHER:
        return _broken(broken, inputs, [name for name in broken if name in residuals])
    return _population(inputs, residuals)


def _extreme(evidence: Evidence, inputs: list[str], residuals: list[str], far: Mapping[str, Distances]) -> list[str]:
    """Fields with many far values, where the distribution of everything that moved is as before otherwise."""
    moved = [f"input:{name}" for name in inputs] + [f"residual:{name}" for name in residuals]
    if any(far[signal].psi >= CALM_PSI + PSI_BY_CHANCE / evidence.events for signal in moved):
        return []
    seen = dict.fromkeys((*inputs, *residuals, *evidence.names("input", StatisticKind.TAIL)))
    return [name for name in seen if evidence.tails[f"input:{name}"] >= HEAVY_TAIL]


def _follows(name: str, evidence: Evidence) -> bool:
    """Whether the network reconstructs most of the input's shift."""
    both = (StatisticKind.MEAN, StatisticKind.SPREAD)
    return evidence.of(f"residual:{name}", *both) < NOT_FOLLOWED * evidence.of(f"input:{name}", *both)


def _missing(names: list[str]) -> Cause:
    return Cause(
        DriftCause.FIELD_MISSING,
        f"{listed(names)} no longer arrives in part or all of the events: missing more often than the model knows.",
        "Ask the producer what changed, and restore the field; until then the model imputes it.",
        retraining_helps=False,
    )


def _refused() -> Cause:
    return Cause(
        DriftCause.REFUSALS,
        "Records are refused more often, while those accepted look as before: a producer has changed its format.",
        "Look at the reasons in dead-letters, and ask the producer they come from.",
        retraining_helps=False,
    )


def _was_constant(names: list[str]) -> Cause:
    return Cause(
        DriftCause.FIELD_BROKEN,
        f"{listed(names)} had one value in all of the training, and has others now: the model knows nothing of "
        f"{'it' if len(names) == 1 else 'them'}, and scores the rest.",
        "See whether its producer is right now, or was then; if it is to vary, train on events in which it does.",
        retraining_helps=True,
    )


def _relation(residuals: list[str]) -> Cause:
    return Cause(
        DriftCause.RELATION_BROKEN,
        f"A relation between fields is broken: the model cannot reconstruct {listed(residuals)} any more, while every "
        "field by itself looks as before. A join or a key upstream is likely to be wrong.",
        f"Compare {listed(residuals)} with their source for a few customers, and repair it upstream.",
        retraining_helps=False,
    )


def _attack_on_few(extreme: list[str]) -> Cause:
    return Cause(
        DriftCause.ATTACK,
        f"An attack is likely: a few events have extreme values of {listed(extreme)}, the rest looks as before.",
        LOOK_AT_ANOMALIES,
        retraining_helps=False,
    )


def _attack_where_labels_are(inputs: list[str]) -> Cause:
    return Cause(
        DriftCause.ATTACK,
        f"An attack is likely: the share of frauds has moved in several windows together ({listed(inputs)}), and no "
        "other input has.",
        LOOK_AT_ANOMALIES,
        retraining_helps=False,
    )


def _broken(broken: list[str], inputs: list[str], residuals: list[str]) -> Cause:
    others = [name for name in inputs if name not in broken]
    alone = f"only {listed(others)} moved with it" if others else "no other input moved"
    unexplained = ", and the model cannot reconstruct it from them" if residuals else ""
    return Cause(
        DriftCause.FIELD_BROKEN,
        f"Broken, or in another unit: {listed(broken)}; {alone}{unexplained}.",
        f"Check {listed(broken)} at its producer (unit, currency, default value), and repair it there.",
        retraining_helps=False,
    )


def _population(inputs: list[str], residuals: list[str]) -> Cause:
    evidence = (
        f"while {listed(residuals)} can be reconstructed less well than before"
        if residuals
        else "and the model still reconstructs them"
    )
    return Cause(
        DriftCause.POPULATION,
        f"The population has changed: {listed(inputs)} moved together, {evidence}.",
        "See whether the business explains it (a campaign, a new country, a holiday); if it lasts, train a new model.",
        retraining_helps=True,
    )


def listed(names: Sequence[str]) -> str:
    """Names for a sentence, of many the first three."""
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more fields"
    return " and ".join(", ".join(names).rsplit(", ", 1))
