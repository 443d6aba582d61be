"""What gates say: measures beside their limits, a verdict, a sentence, and why it matters; for machines as JSON."""

import hashlib
from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum

import msgspec
from msgspec import Struct

from schemas.transactions import ModelRef


class GateResult(StrEnum):
    """What a gate decides."""

    PASSED = "passed"
    REFUSED = "refused"
    NOT_MEASURED = "not measured"


class Measure(Struct, frozen=True, omit_defaults=True):
    """One figure beside its limit.

    Attributes:
        name: What it is.
        value: The figure; None where it could not be had, which no limit allows.
        least: It may not be below.
        most: It may not be above.
        interval: Confidence interval of the figure. Where there is one, all of it must lie within the limits: what
            cannot be told from a breach does not pass.
    """

    name: str
    value: float | None
    least: float | None = None
    most: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def holds(self) -> bool:
        """Within the limits. A NaN is not."""
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
        """The limit, for people; empty where there is none."""
        if self.least is not None and self.most is not None:
            return f" (limit {self.least:.3g} to {self.most:.3g})"
        if self.least is not None:
            return f" (limit: at least {self.least:.3g})"
        return f" (limit: at most {self.most:.3g})" if self.most is not None else ""


class Gate(Struct, frozen=True):
    """What one gate says.

    Attributes:
        name: `alert volume`, `latent stability`, ...
        verdict: What it decides. `not measured` refuses or lets pass as the limits say: see `passes`.
        passes: Whether the candidate may go on.
        sentence: Value, limit and verdict, for people.
        remark: What the figures do not say.
        why: Why it matters.
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
    """A gate that passes when every measure holds.

    Args:
        name: Of the gate.
        why: Why it matters.
        measures: The figures; those without a limit are for information.
        remark: What the figures do not say.
    """
    passes = all(measure.holds for measure in measures)
    verdict = GateResult.PASSED if passes else GateResult.REFUSED
    said = "; ".join([*map(str, measures), *([remark] if remark else [])])
    return Gate(name, verdict, passes, f"{name} {verdict}: {said}", remark, why, list(measures))


def not_measured(name: str, why: str, because: str, passes: bool) -> Gate:
    """A gate that had nothing to measure; the limits decide what that means."""
    consequence = "the limits allow that" if passes else "the limits refuse that"
    sentence = f"{name} not measured: {because}; {consequence}"
    return Gate(name, GateResult.NOT_MEASURED, passes, sentence, f"{because}; {consequence}", why, [])


class GateReport(Struct, frozen=True):
    """All gates on one candidate.

    Attributes:
        candidate: Who wants to serve.
        champion: Whom it is compared with.
        made_at: When.
        since: First day of the rows.
        until: Last day of the rows.
        rows: How many there are.
        frauds: How many of them are labelled so; None without labels.
        gates: What each says, in order.
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
        """No gate refuses."""
        return not self.failed

    @property
    def conclusion(self) -> str:
        """The verdict in a sentence."""
        who = f"{self.candidate.name} {self.candidate.version} ({self.candidate.sha256[:12]})"
        of = f"{self.champion.name} {self.champion.version} ({self.champion.sha256[:12]})"
        if self.passed:
            return f"{who} may take the place of {of}: all {len(self.gates)} gates let it pass"
        return f"{who} may not take the place of {of}: refused for {', '.join(self.failed)}"

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)

    @property
    def digest(self) -> str:
        """The sha256 of the report as JSON, lower-case hexadecimal."""
        return hashlib.sha256(self.encode()).hexdigest()
