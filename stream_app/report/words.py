"""A drift alert in words, for terminal and page alike: what moved, how far, and the effect on decisions."""

from datetime import timedelta

from schemas.drift import DriftAlert, SignalShift, StatisticKind
from stream_app.drift.standardise import DEAD_LETTERS

BAR_CELLS = 16
BAR_PARTS = " ▏▎▍▌▋▊▉"


def signal_name(signal: str) -> str:
    """The display name of a signal."""
    kind, _, name = signal.partition(":")
    if signal == DEAD_LETTERS:
        return "refused records"
    return {"input": name, "residual": f"residual of {name}", "latent": f"latent {name}"}.get(kind, signal)


def shift_words(shift: SignalShift) -> str:
    """How far a signal moved, in the unit of its statistic."""
    match shift.detector:
        case StatisticKind.SHARE:
            return f"{shift.shift:.1%} {'refused' if shift.signal == DEAD_LETTERS else 'missing'}"
        case StatisticKind.MEAN:
            return f"{shift.shift:+.2f} sd"
        case other:
            return f"{other} {shift.shift:+.2f}"


def levels(shift: SignalShift) -> str:
    """Reference and current level as the model sees the signal; empty for a share, which the shift already gives."""
    if shift.detector is StatisticKind.SHARE:
        return ""
    return f"{shift.reference:.3g} → {shift.current:.3g}"


def bar(value: float, largest: float) -> str:
    """A bar of at most `BAR_CELLS` cells, to an eighth of a cell."""
    eighths = round(abs(value) / largest * BAR_CELLS * 8) if largest else 0
    whole, rest = divmod(max(eighths, 1), 8)
    return "█" * whole + BAR_PARTS[rest].strip()


def duration(span: timedelta) -> str:
    """A span of time in its two largest units."""
    minutes = round(span.total_seconds() / 60)
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (rest, "min")) if count]
    return " ".join(parts[:2]) or "less than a minute"


def alert_rate(alert: DriftAlert) -> str:
    """The share of events that alert, before and now."""
    before, now = alert.alert_rate_before, alert.alert_rate_now
    factor = f", {now / before:.1f} times as many alerts" if before and not 0.95 < now / before < 1.05 else ""
    return f"{before:.2%} → {now:.2%}{factor}"


def to_do(alert: DriftAlert, over: str) -> str:
    """What to do about an incident; nothing about what a model has raised that has left.

    Args:
        over: Why it is over; empty while it lasts.
    """
    return f"nothing more: {over}" if alert.swap is not None and over else alert.action


def retraining(alert: DriftAlert) -> str:
    """Whether a new model would be a remedy."""
    if alert.swap is not None:
        return "would not help: the model that served before fits this stream; look at how this one was trained."
    if alert.retraining_helps:
        return "would help, if the change lasts: train on data from after it."
    return "would not help: the new model would learn the fault as if it were normal."
