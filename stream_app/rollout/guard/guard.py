"""Comparisons of two models in, a finding out: roll the new one back, promote it, or watch on; and why.

A sequential test that may be looked at after every commit. Each signal is a bet (`evidence`) against "the candidate is
as good as another training of the champion would be", with the tolerances that retrainings need (ADR 24, ADR 34). The
error is shared out: a candidate within all tolerances is ever rolled back with probability `guard_error` at most.
A promotion needs evidence of the opposite in every signal that has a say in it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from schemas.comparison import TAIL, Comparison, GuardDecision, GuardReport, GuardSignal, Pairs
from stream_app.rollout.guard import betting
from stream_app.settings import Settings

# Each signal's share of the error: most to what shows in few rows, little to what is beyond doubt where it is at all.
SIGNALS = {
    "alerts": 0.15,
    "agreement": 0.1,
    "scores": 0.15,
    "tail": 0.35,
    "latents": 0.2,
    "latency": 0.025,
    "errors": 0.025,
}
PROMOTION_FACTOR = 1.3  # a promotion shows that alerts are within this factor, both ways: what an incident would exceed
# Retrainings move the share of rows below a p-value by 12 % on the whole, by night by up to a half.
SCORES_FACTOR, SCORES_PROMOTION_FACTOR = 1.6, 1.25
TAIL_STEP = 0.15  # log p-values that far apart: 16 %
TAIL_SHARE = 0.25  # of the rows near the threshold, on one side: retrainings have 0.09 to 0.13
DISAGREEMENT = 0.2  # share of alerts that are of one model alone: retrainings have 0.03 to 0.07
SLOW_FACTOR = 3.0  # times the champion's scoring time: then the thread has little left for anything else
SLOW_SHARE = 0.5  # of the commits
ERRORS_SHARE = 0.001  # of the rows
NO_PAIRS = Pairs(0, 0, 0)


@dataclass
class TrialTotals:
    """Everything that was compared in one trial."""

    champion: str
    candidate: str
    rows: int = 0
    errors: int = 0
    alerts: Pairs = NO_PAIRS
    levels: list[float] = field(default_factory=list)
    exceedances: list[Pairs] = field(default_factory=list)
    tail: np.ndarray = field(default_factory=lambda: np.zeros(len(TAIL), dtype=np.int64))
    similarities: list[float] = field(default_factory=list)
    commits: int = 0
    slow: int = 0
    champion_s: float = 0.0
    candidate_s: float = 0.0

    def add(self, c: Comparison) -> None:
        """Count one comparison in."""
        self.rows += c.rows
        self.errors += c.errors
        self.alerts = _sum(self.alerts, c.alerts)
        if self.levels != c.levels:
            self.levels, self.exceedances = c.levels, [NO_PAIRS] * len(c.levels)
        self.exceedances = [_sum(a, b) for a, b in zip(self.exceedances, c.exceedances, strict=True)]
        self.tail = self.tail + np.array(c.tail_shift)
        self.similarities += c.similarities
        self.commits += 1
        self.slow += bool(c.skipped) or c.candidate_seconds > SLOW_FACTOR * c.champion_seconds
        self.champion_s += c.champion_seconds
        self.candidate_s += c.candidate_seconds


class Guard:
    """The totals of the trial that was heard of last, and the finding on it."""

    def __init__(self, settings: Settings) -> None:
        self._limits = {signal: math.log(1 / (share * settings.guard_error)) for signal, share in SIGNALS.items()}
        self._promote = math.log(1 / settings.guard_error)
        self._settings = settings
        self._trial_id = ""
        self._totals = TrialTotals("", "")

    def read(self, comparison: Comparison) -> None:
        """Take one comparison in; the first of another trial begins anew.

        Raises:
            ValueError: its counts cannot be of one and the same rows.
        """
        _check(comparison)
        if comparison.trial_id != self._trial_id:
            self._trial_id = comparison.trial_id
            self._totals = TrialTotals(comparison.champion, comparison.candidate)
        self._totals.add(comparison)

    def report(self, trial_id: str) -> GuardReport | None:
        """The finding on a trial; None where nothing was heard of it yet."""
        if not trial_id or trial_id != self._trial_id:
            return None
        totals = self._totals
        found = [self._judged(signal, *look(totals, self._settings)) for signal, look in LOOKS.items()]
        finding, sentence = self._finding(found, totals.rows)
        return GuardReport(trial_id, totals.champion, totals.candidate, totals.rows, finding, sentence, found)

    def _judged(self, signal: str, against: float, favour: float | None, sentence: str) -> GuardSignal:
        in_favour = None if favour is None else round(favour / self._promote, 4)
        return GuardSignal(signal, sentence, round(against / self._limits[signal], 4), in_favour)

    def _finding(self, found: list[GuardSignal], rows: int) -> tuple[GuardDecision, str]:
        if bad := [e for e in found if e.against >= 1]:
            reasons = "; ".join(f"{e.signal}: {e.sentence}" for e in bad)
            return GuardDecision.ROLL_BACK, f"roll back after {rows:,} events: {reasons}"
        open_ = [e.signal for e in found if e.in_favour is not None and e.in_favour < 1]
        if not open_ and rows >= self._settings.guard_promote_events:
            return GuardDecision.PROMOTE, f"promote: as good as the champion on {rows:,} events, by every signal"
        worst = max(found, key=lambda e: e.against)
        left = f", not yet sure of {', '.join(open_)}" if open_ else ""
        told = f"most against it, {max(worst.against, 0):.0%} of what is needed: {worst.signal}, {worst.sentence}"
        return GuardDecision.WATCH, f"keep watching after {rows:,} events{left}; {told}"


Look = Callable[[TrialTotals, Settings], tuple[float, float | None, str]]


def _alerts(t: TrialTotals, settings: Settings) -> tuple[float, float | None, str]:
    factor = 1 + settings.guard_alert_tolerance
    up, down = betting.more(t.alerts, factor)[0], betting.fewer(t.alerts, factor)[0]
    fair = min(betting.more(t.alerts, PROMOTION_FACTOR)[1], betting.fewer(t.alerts, PROMOTION_FACTOR)[1])
    a = t.alerts
    said = f"{a.both + a.only_candidate} alerts, {a.both + a.only_champion} of the champion"
    return betting.average([up, down]), fair, said


def _agreement(t: TrialTotals, _: Settings) -> tuple[float, float | None, str]:
    against, fair = betting.disagree(t.alerts, DISAGREEMENT)
    apart = t.alerts.only_candidate + t.alerts.only_champion
    return against, fair, f"{apart} of {apart + t.alerts.both} alerts are of one model alone"


def _scores(t: TrialTotals, _: Settings) -> tuple[float, float | None, str]:
    if not t.exceedances or not t.rows:
        return 0.0, 0.0, "nothing compared yet"
    sides = [(side, pairs) for pairs in t.exceedances for side in (betting.more, betting.fewer)]
    shares = (
        f"{level:g}: {(p.both + p.only_candidate) / t.rows:.1%}, champion {(p.both + p.only_champion) / t.rows:.1%}"
        for level, p in zip(t.levels, t.exceedances, strict=True)
    )
    return (
        betting.average([side(pairs, SCORES_FACTOR)[0] for side, pairs in sides]),
        min(side(pairs, SCORES_PROMOTION_FACTOR)[1] for side, pairs in sides),
        f"share of p-values below {'; '.join(shares)}",
    )


def _tail(t: TrialTotals, _: Settings) -> tuple[float, float | None, str]:
    centres = np.array(TAIL)
    more, fewer = (int(t.tail[side * centres > TAIL_STEP].sum()) for side in (1, -1))
    said = (
        f"of {int(t.tail.sum())} rows near the threshold {more} are stranger to it by "
        f"{math.exp(TAIL_STEP) - 1:.0%} and more, {fewer} less so"
    )
    return betting.apart(t.tail.tolist(), TAIL_STEP, TAIL_SHARE), None, said


def _latents(t: TrialTotals, settings: Settings) -> tuple[float, float | None, str]:
    floor = settings.guard_latent_similarity
    gaps = floor - np.array(t.similarities)
    against = betting.log_e(gaps, np.ones(len(gaps)), 1 - floor)
    fair = betting.log_e(-gaps, np.ones(len(gaps)), floor)
    mean = float(np.mean(t.similarities)) if t.similarities else float("nan")
    return against, fair, f"linear CKA {mean:.2f} with the champion's latents, {floor:g} is the least"


def _latency(t: TrialTotals, _: Settings) -> tuple[float, float | None, str]:
    counts = (t.slow, t.commits - t.slow)
    against = betting.log_e((1 - SLOW_SHARE, -SLOW_SHARE), counts, SLOW_SHARE)
    times = t.candidate_s / t.champion_s if t.champion_s else float("nan")
    return against, None, f"{times:.1f} times the champion's scoring time, {t.slow} of {t.commits} commits slow"


def _errors(t: TrialTotals, _: Settings) -> tuple[float, float | None, str]:
    payoffs = (1 - ERRORS_SHARE, -ERRORS_SHARE)
    return betting.log_e(payoffs, (t.errors, t.rows), ERRORS_SHARE), None, f"{t.errors} rows could not be scored"


LOOKS: Mapping[str, Look] = dict(
    zip(SIGNALS, (_alerts, _agreement, _scores, _tail, _latents, _latency, _errors), strict=True)
)


def _check(c: Comparison) -> None:
    """Whoever wrote it: what does not fit together must not be added up.

    Raises:
        ValueError: it does not.
    """
    if len(c.exceedances) != len(c.levels) or len(c.tail_shift) != len(TAIL):
        raise ValueError("it has other columns than a comparison has")
    counts = [p.both + p.only_champion + p.only_candidate for p in (c.alerts, *c.exceedances)]
    if max(*counts, sum(c.tail_shift)) > c.rows:
        raise ValueError(f"it counts more than its {c.rows} rows")


def _sum(a: Pairs, b: Pairs) -> Pairs:
    return Pairs(a.both + b.both, a.only_champion + b.only_champion, a.only_candidate + b.only_candidate)
