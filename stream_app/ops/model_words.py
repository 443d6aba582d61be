"""What is wrong with the model that decides, or with one on trial, in words; None where nothing is."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from math import log
from textwrap import shorten

from models.words import quantity
from schemas.comparison import GuardDecision
from schemas.drift import DriftSeverity
from schemas.rollout import P_VALUE_LEVELS
from schemas.scoring import ModelRef
from schemas.topics import DRIFT_SUMMARIES
from stream_app.drift.published import RaisedAlert, ended
from stream_app.ops.facts import Facts, Found, ago

NEWS = timedelta(minutes=30)
FRESH = timedelta(hours=1)  # for so long, a flood is put down to the model that was put in service
FLOOD_TIMES = 3.0  # the usual share of alerts
FLOOD_LEAST = 20  # alerts: of fewer, a share says little
LEAST_USUAL = 0.001
CALIBRATION_LEAST = 2000  # events of a day
CALIBRATION_FACTOR = 1.25  # that a share of p-values may be off: healthy days of the Handbook are within 1.12
ASIDE = re.compile(r" \([^()]*\)")
CAUSE_CHARACTERS = 120


def guard(facts: Facts) -> Found | None:
    """The guard finds a model bad that decides something, and has not taken it back: it may not, or is about to."""
    return _found_bad(facts, {"watch": "deployed", "canary": "a canary begun"}, "`stream-app rollback`")


def shadow(facts: Facts) -> Found | None:
    """It finds one bad that decides nothing."""
    return _found_bad(facts, {"shadow": "a shadow begun"}, "`stream-app abort`")


def _found_bad(facts: Facts, modes: Mapping[str, str], remedy: str) -> Found | None:
    """A trial in one of these modes that the guard would end."""
    trial = facts.trial
    report = trial.guard if trial is not None else None
    if trial is None or report is None or trial.mode not in modes or report.finding is not GuardDecision.ROLL_BACK:
        return None
    why = f"is worse than {_model(trial.against)} by the guard after {report.rows:,} events"
    if (flood := _share(facts)) is not None and trial.mode == "watch":
        why = _alerts_on(*flood)
    elif bad := next((e for e in report.evidence if e.against >= 1), None):
        why = f"{why} ({bad.signal}: {bad.sentence})"
    return f"{_fresh(trial.model, modes[trial.mode], trial.since, trial.issuer, facts.at)}, {why}", remedy


def flood(facts: Facts) -> Found | None:
    """Far more alerts than before the latest swap, where the guard has not found out yet, or is off."""
    swap, share = facts.swap, _share(facts)
    if guard(facts) is not None or swap is None or facts.serving is None or share is None or facts.at - swap.at > FRESH:
        return None
    how = "deployed" if swap.left is None else "returned to"
    remedy = "`stream-app rollback`" if facts.previous is not None else "deploy another model, `stream-app deploy`"
    why = _alerts_on(*share, by="was usual" if facts.previous is not None else "is its budget")
    return f"{_fresh(facts.serving, how, swap.at, swap.issuer, facts.at)}, {why}", remedy


def volume(facts: Facts) -> Found | None:
    """Far more alerts than usual, of a model that has served for long."""
    share = _share(facts)
    if share is None or (facts.swap is not None and facts.at - facts.swap.at <= FRESH):
        return None
    return f"The model in service {_alerts_on(*share)}", "`stream-app drift explain`"


def calibration(facts: Facts) -> Found | None:
    """Its p-values are not uniform over a day, so that its threshold keeps no budget."""
    counted = [row.vitals.p_values for row in facts.live if row.serving == facts.serving and row.vitals.p_values]
    scored = sum(of.scored for of in counted)
    if facts.serving is None or scored < CALIBRATION_LEAST:
        return None
    shares = [sum(of.at_most[place] for of in counted) / scored for place in range(len(P_VALUE_LEVELS))]
    off, level, share = max(
        (abs(log(max(share, 1e-9) / level)), level, share) for level, share in zip(P_VALUE_LEVELS, shares, strict=True)
    )
    if off <= log(CALIBRATION_FACTOR):
        return None
    shown, promised = quantity(share, "share"), quantity(level, "share")
    off_by = f"{shown} of a day's events score as {promised} should"
    what = f"The calibration of {_model(facts.serving)} does not hold: {off_by}"
    moved = "`stream-app drift explain` says what moved; where it stays so, " if drift(facts) is not None else ""
    return what, f"{moved}`stream-app recalibrate`"


def _share(facts: Facts) -> tuple[float, float] | None:
    """Share of alerts under the model in service, and the usual one, where it is far above that."""
    rows = [row for row in facts.live if row.serving == facts.serving]
    volumes = [row.vitals.volume for row in rows if row.vitals.volume is not None]
    scored, alerts = sum(v.scored for v in volumes), sum(v.anomalies for v in volumes)
    if alerts < FLOOD_LEAST or not scored:
        return None
    usual = sum(v.usual * v.scored for v in volumes) / scored
    return (alerts / scored, usual) if alerts / scored > FLOOD_TIMES * max(usual, LEAST_USUAL) else None


def _alerts_on(share: float, usual: float, by: str = "was usual") -> str:
    return f"alerts on {quantity(share, 'share')} where {quantity(usual, 'share')} {by}"


def taken_back(facts: Facts) -> Found | None:
    """What the guard did by itself a short while ago, and nothing has come after."""
    guarded = facts.guarded
    if guarded is None or facts.trial is not None or facts.at - guarded.at > NEWS:
        return None
    if facts.swap is not None and facts.swap.at > guarded.at:
        return None
    what = f"The guard took {_model(guarded.left)} back {ago(guarded.at, facts.at)}, {_model(guarded.serves)} decides"
    return what, "`stream-app audit --action rollback` has its reasons"


def models_differ(facts: Facts) -> Found | None:
    """Workers that decide by different models."""
    if len(facts.served) < 2:
        return None
    names = " and ".join(map(_model, facts.served.values()))
    return f"Workers serve {names}", "normal for a moment during a swap; restart one that stays behind"


def drift(facts: Facts) -> Found | None:
    """The worst incident that is not over, the newest of such."""
    lasting = [a for a in facts.alerts if _lasts(a, facts) and a.alert.severity is not DriftSeverity.INFO]
    worst = max(lasting, key=lambda a: list(DriftSeverity).index(a.alert.severity), default=None)
    if worst is None:
        return None
    first, _, _ = worst.alert.cause.partition(". ")
    told = first if worst.alert.swap is None else ASIDE.sub("", first)  # who deployed it is told by another sentence
    for mark in ("; ", ", while "):  # what the evidence is, `drift explain` tells whole
        told = told.partition(mark)[0] if len(told) > CAUSE_CHARACTERS else told
    cause = shorten(told.rstrip("."), CAUSE_CHARACTERS, placeholder=" …")
    explain = f"`stream-app drift explain {worst.alert.alert_id}`"
    return f"Drift, {worst.alert.severity}: {cause}", explain if worst.alert.swap is None else "`stream-app rollback`"


def _lasts(raised: RaisedAlert, facts: Facts) -> bool:
    """Whether an incident is not over. Nothing ends one whose summaries are no longer kept: then time does."""
    return not ended(raised.alert, facts.serving) and facts.at - raised.at < DRIFT_SUMMARIES.retention


def _fresh(model: ModelRef, how: str, since: datetime, issuer: str, at: datetime) -> str:
    return f"{_model(model)}, {how} {ago(since, at)} by {issuer}"


def _model(model: ModelRef) -> str:
    return f"{model.name} {model.version}"
