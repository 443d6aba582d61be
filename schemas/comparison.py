"""Two models on the same transactions: the counts of a worker, and the guard's judgement of them."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from schemas.scoring import Count, NonEmpty, Sha256


class Pairs(Struct, frozen=True):
    """Events that both models pick out, or one of them alone."""

    both: Count
    only_champion: Count
    only_candidate: Count


Similarity = Annotated[float, Meta(ge=-0.01, le=1.01)]  # of 0 to 1, up to rounding


class Comparison(Struct, frozen=True):
    """Champion and candidate on the rows of one commit of one worker, written in the transaction of that commit.

    The champion is what served when the trial began, the candidate what is on trial: after an activation the champion
    is the previous model and the candidate serves.
    """

    trial_id: Annotated[NonEmpty, Meta(description="the stage of a shadow or canary, or the activation after it")]
    worker: NonEmpty
    champion: Sha256
    candidate: Sha256
    rows: Annotated[Count, Meta(description="scored by both")]
    errors: Annotated[Count, Meta(description="rows that the candidate could not score: the champion decided")]
    skipped: Annotated[Count, Meta(description="rows that were not tried: the second model was too slow to keep up")]
    decided: Annotated[Count, Meta(description="rows that a canary decided")]
    alerts: Annotated[Pairs, Meta(description="at or over each model's own threshold")]
    levels: list[float]
    exceedances: Annotated[list[Pairs], Meta(description="p-value at most the level, one for each of `levels`")]
    tail_shift: Annotated[
        list[Count], Meta(description="near the threshold, log of champion's by candidate's p-value: counts of `TAIL`")
    ]
    similarities: Annotated[list[Similarity], Meta(description="linear CKA of both latents, by block of 64 rows")]
    champion_seconds: Annotated[float, Meta(ge=0, description="scoring time of the rows that both scored")]
    candidate_seconds: Annotated[float, Meta(ge=0)]


TAIL = tuple(step / 10 for step in range(-10, 11))
"""Centres of the bins of `tail_shift`; the outer two are open."""


class GuardDecision(StrEnum):
    """What the guard advises."""

    WATCH = "watch"
    PROMOTE = "promote"
    ROLL_BACK = "roll_back"


class GuardSignal(Struct, frozen=True):
    """One signal of the guard.

    `against` is how much speaks against the candidate, as a share of what is needed to roll it back: log e-value by log
    of the limit. `in_favour` likewise for a promotion, where the signal has a say in it.
    """

    signal: str
    sentence: str
    against: float
    in_favour: float | None = None


class GuardReport(Struct, frozen=True):
    """The guard's finding on a trial, and why."""

    trial_id: NonEmpty
    champion: Sha256
    candidate: Sha256
    rows: Count
    finding: GuardDecision
    sentence: str
    evidence: list[GuardSignal]
