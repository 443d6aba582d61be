"""The report of the gates: measures beside their limits, a result and a sentence for each gate; also as JSON."""

import hashlib
from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum

import msgspec
from msgspec import Struct

from schemas.scoring import ModelRef


class GateResult(StrEnum):
    """The decision of a gate."""

    PASSED = "passed"
    REFUSED = "refused"
    NOT_MEASURED = "not measured"


class Measure(Struct, frozen=True, omit_defaults=True):
    """One figure beside its limits.

    Attributes:
        name: Of the figure.
        value: The figure; None if it could not be measured, which no limit allows.
        least: Lower limit.
        most: Upper limit.
        interval: Confidence interval of the figure. If given, all of it must lie within the limits: a figure that may
            be a breach does not pass.
    """

    name: str
    value: float | None
    least: float | None = None
    most: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def holds(self) -> bool:
        """Whether the figure is within its limits. NaN is not."""
        if self.value is None:
            return False
        low, high = self.interval or (self.value, self.value)
        return (self.least is None or low >= self.least) and (self.most is None or high <= self.most)

    def __str__(self) -> str:
        """The figure and its limit, for people."""
        if self.value is None:
            return f"{self.name} could not be measured"
        spread = f" [{self.interval[0]:.3g}, {self.interval[1]:.3g}]" if self.interval else ""
        return f"{self.name} {self.value:.3g}{spread}{self.limit}"

    @property
    def limit(self) -> str:
        """The limit, for people; empty if there is none."""
        if self.least is not None and self.most is not None:
            return f" (limit {self.least:.3g} to {self.most:.3g})"
        if self.least is not None:
            return f" (limit: at least {self.least:.3g})"
        return f" (limit: at most {self.most:.3g})" if self.most is not None else ""


class Gate(Struct, frozen=True):
    """The result of one gate.

    Attributes:
        name: `alert volume`, `latent stability`, ...
        verdict: The decision. Whether `not measured` refuses depends on the limits: see `passes`.
        passes: Whether the candidate may go on.
        sentence: Value, limit and decision, for people.
        remark: Context that the figures lack.
        why: Why the gate matters.
        measures: The figures.
    """

    name: str
    verdict: GateResult
    passes: bool
    sentence: str
    remark: str
    why: str
    measures: list[Measure]


def judged(name: str, why: str, measures: Sequence[Measure], remark: str = "") -> Gate:
    """A gate that passes when every measure holds; measures without a limit are for information."""
    passes = all(measure.holds for measure in measures)
    verdict = GateResult.PASSED if passes else GateResult.REFUSED
    findings = "; ".join([*map(str, measures), *([remark] if remark else [])])
    return Gate(name, verdict, passes, f"{name} {verdict}: {findings}", remark, why, list(measures))


def not_measured(name: str, why: str, because: str, passes: bool) -> Gate:
    """A gate without anything to measure; the limits decide whether it passes."""
    consequence = "the limits allow that" if passes else "the limits refuse that"
    sentence = f"{name} not measured: {because}; {consequence}"
    return Gate(name, GateResult.NOT_MEASURED, passes, sentence, f"{because}; {consequence}", why, [])


class GateReport(Struct, frozen=True):
    """All gates on one candidate.

    Attributes:
        candidate: The model that is to serve.
        champion: The model that serves.
        made_at: Time of the comparison.
        since: First day of the rows.
        until: Last day of the rows.
        rows: Number of events.
        frauds: Number of rows labelled as fraud; None without labels.
        gates: Results in the order of `models.gates.judge`.
    """

    candidate: ModelRef
    champion: ModelRef
    made_at: datetime
    since: date
    until: date
    rows: int
    frauds: int | None
    gates: list[Gate]

    @property
    def failed(self) -> list[str]:
        """Names of the gates that refuse."""
        return [gate.name for gate in self.gates if not gate.passes]

    @property
    def passed(self) -> bool:
        """Whether no gate refuses."""
        return not self.failed

    @property
    def conclusion(self) -> str:
        """The decision in a sentence."""
        if self.passed:
            return f"{self.candidate} may take the place of {self.champion}: all {len(self.gates)} gates let it pass"
        return f"{self.candidate} may not take the place of {self.champion}: refused for {', '.join(self.failed)}"

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)

    @property
    def digest(self) -> str:
        """The sha256 of the report as JSON, lower-case hexadecimal."""
        return hashlib.sha256(self.encode()).hexdigest()
