"""The signals of an incident in, its likely cause out, with the evidence and what to do about it.

Which signals fire together names the cause: what the model cannot reconstruct is broken, what it can is a change of the
world. Retraining helps with the second alone; trained on a broken field, a model learns the fault.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.manifest import SignalReference
from schemas.drift import SignalShift
from stream_app.drift.standardise import DEAD_LETTERS, Detector, field_of

# An input's residual above this part of the input's own shift: the network does not follow it.
NOT_FOLLOWED = 0.6
# More fields than this do not break at the same moment; the population has changed.
FIELDS_THAT_BREAK_TOGETHER = 2
RISK = "_risk_"
# The reference has 0.1 % of its values beyond the tail quantile; an attack of 1 % of the traffic adds ten times that.
HEAVY_TAIL = 0.005
LOOK_AT_ANOMALIES = "Look at the latest anomalies for the terminals and customers that they share."


@dataclass(frozen=True)
class Cause:
    """What it is likely to be.

    Attributes:
        cause: A sentence, with its evidence.
        action: What to do about it.
        retraining_helps: Whether a new model would be a remedy.
    """

    cause: str
    action: str
    retraining_helps: bool


def likely_cause(
    shifts: Sequence[SignalShift], references: Sequence[SignalReference], tails: Mapping[str, float]
) -> Cause:
    """What these shifts mean together.

    Args:
        shifts: The signals of an incident, the furthest first.
        references: Of the model that saw them.
        tails: Signal to the share of its values, since the change, beyond the tail quantile of its reference.
    """
    lost = [s.signal for s in shifts if s.detector == Detector.SHARE and s.signal != DEAD_LETTERS]
    inputs = _fields(shifts, "input")
    residuals = _fields(shifts, "residual")
    if lost:
        return _missing(sorted(field_of(signal) or signal for signal in lost))
    if not inputs and not residuals:
        return _refused()
    if not inputs:
        extreme = [name for name in residuals if tails[f"input:{name}"] >= HEAVY_TAIL]
        return _attack_on_few(extreme) if extreme else _relation(residuals)
    if len(inputs) > 1 and all(RISK in name for name in inputs):
        return _attack_at_terminals(inputs)
    broken = inputs if len(inputs) == 1 else [name for name in inputs if not _follows(name, shifts, references)]
    if broken and len(inputs) <= FIELDS_THAT_BREAK_TOGETHER:
        return _broken(broken, inputs, [name for name in broken if name in residuals])
    return _population(inputs, residuals)


def _fields(shifts: Sequence[SignalShift], kind: str) -> list[str]:
    """Fields with a shifted signal of this kind, the furthest first, each once."""
    return list(dict.fromkeys(field_of(s.signal) or "" for s in shifts if s.signal.startswith(f"{kind}:")))


def _follows(name: str, shifts: Sequence[SignalShift], references: Sequence[SignalReference]) -> bool:
    """Whether the network reconstructs most of the input's shift: its residual, in the same units, stays small."""
    std = {reference.name: reference.std for reference in references}

    def moved(signal: str) -> float:
        return max((abs(s.shift) * std[signal] for s in shifts if s.signal == signal), default=0.0)

    return moved(f"residual:{name}") < NOT_FOLLOWED * moved(f"input:{name}")


def _missing(names: list[str]) -> Cause:
    return Cause(
        f"{_listed(names)} no longer arrives in part or all of the events: missing more often than the model knows.",
        "Ask the producer what changed, and restore the field; until then the model imputes it.",
        retraining_helps=False,
    )


def _refused() -> Cause:
    return Cause(
        "Records are refused more often, while those accepted look as before: a producer has changed its format.",
        "Look at the reasons in dead-letters, and ask the producer they come from.",
        retraining_helps=False,
    )


def _relation(residuals: list[str]) -> Cause:
    return Cause(
        f"A relation between fields is broken: the model cannot reconstruct {_listed(residuals)} any more, while every "
        "field by itself looks as before. A join or a key upstream is likely to be wrong.",
        f"Compare {_listed(residuals)} with their source for a few customers, and repair it upstream.",
        retraining_helps=False,
    )


def _attack_on_few(extreme: list[str]) -> Cause:
    return Cause(
        f"An attack is likely: a few transactions have extreme values of {_listed(extreme)}, the rest looks as before.",
        LOOK_AT_ANOMALIES,
        retraining_helps=False,
    )


def _attack_at_terminals(inputs: list[str]) -> Cause:
    return Cause(
        f"An attack is likely: the risk of terminals has moved in several windows together ({_listed(inputs)}), and no "
        "other input has.",
        LOOK_AT_ANOMALIES,
        retraining_helps=False,
    )


def _broken(broken: list[str], inputs: list[str], residuals: list[str]) -> Cause:
    others = [name for name in inputs if name not in broken]
    alone = f"only {_listed(others)} moved with it" if others else "no other input moved"
    unexplained = ", and the model cannot reconstruct it from them" if residuals else ""
    return Cause(
        f"Broken, or in another unit: {_listed(broken)}; {alone}{unexplained}.",
        f"Check {_listed(broken)} at its producer (unit, currency, default value), and repair it there.",
        retraining_helps=False,
    )


def _population(inputs: list[str], residuals: list[str]) -> Cause:
    evidence = (
        f"while {_listed(residuals)} can be reconstructed less well than before"
        if residuals
        else "and the model still reconstructs them"
    )
    return Cause(
        f"The population has changed: {_listed(inputs)} moved together, {evidence}.",
        "See whether the business explains it (a campaign, a new country, a holiday); if it lasts, train a new model.",
        retraining_helps=True,
    )


def _listed(names: Sequence[str]) -> str:
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more fields"
    return " and ".join(", ".join(names).rsplit(", ", 1))
