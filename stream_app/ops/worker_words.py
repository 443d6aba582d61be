"""What is wrong with Kafka and the workers, in words; None where nothing is."""

from datetime import datetime, timedelta

from stream_app.ops.facts import Facts, Found, WorkerRow, span
from stream_app.ops.input_words import WORKER

BACKLOG_S = 5.0


def kafka_away(facts: Facts) -> Found | None:
    """Nothing has come from the brokers for a while."""
    if facts.silent_since is None:
        return None
    remedy = f"look at the brokers ({facts.brokers}); workers go on by themselves once these answer"
    return f"Kafka has not answered since {_clock(facts.silent_since, facts.at)}", remedy


def stalled(facts: Facts) -> Found | None:
    """A pipeline that only a restart helps."""
    stalled = next((row for row in facts.live if not row.vitals.alive), None)
    if stalled is None:
        return None
    why = stalled.vitals.state.partition(": restart")[0]
    return f"{stalled.id} stands still. {why}", "restart it"


def unread(facts: Facts) -> Found | None:
    """Partitions that no worker reads, and whose they were."""
    if not facts.unread:
        return None
    lost = _missed(facts)
    if not lost and facts.live:
        return None  # they are being given out
    which = f"partition {', '.join(map(str, facts.unread))}{_waiting(facts, 'where')}"
    if not lost:
        return f"Nobody reads {which}", WORKER
    since = _clock(min(row.heard_at for row in lost), facts.at)
    what = f"{_names(lost)} lost since {since}, and nobody has taken over {which}"
    return what, "see whether it still runs, or start another, `stream-app worker`"


def not_ready(facts: Facts) -> Found | None:
    """A worker that takes no part, though it is alive; or none has been given anything to read."""
    idle = next((row for row in facts.live if row.vitals.alive and not row.vitals.ready), None)
    if idle is None:
        is_nobody = facts.live and not any(row.partitions for row in facts.live)
        what = f"No worker has a partition yet{_waiting(facts, 'and')}"
        return (what, "normal for some seconds after a start, for a minute after an outage") if is_nobody else None
    why = idle.vitals.state
    return (f"{idle.id} takes no part: {why}", "") if why else (f"{idle.id} takes no part", "see its page or its log")


def backlog(facts: Facts) -> Found | None:
    """More than some seconds of work wait."""
    lag, rate = sum(row.lag for row in facts.live), sum(v.events_per_second for v in facts.figures)
    if lag <= max(rate, 1) * BACKLOG_S:
        return None
    if rate < 1:
        return f"{lag:,} events wait and none is being scored", "see the workers below"
    return f"Working off a backlog of {lag:,} events, about {span(lag / rate)} at the present rate", ""


def gone(facts: Facts) -> Found | None:
    """A worker was lost, and others do its work."""
    lost = [row for row in facts.lost if row not in _missed(facts)]
    if not lost:
        return None
    since = _clock(min(row.heard_at for row in lost), facts.at)
    return f"{_names(lost)} lost since {since}, the others do the work", "see whether it still runs"


def _waiting(facts: Facts, word: str) -> str:
    lag = sum(found.lag for found in facts.unread.values())
    return f", {word} {lag:,} events wait" if lag else ""


def _missed(facts: Facts) -> list[WorkerRow]:
    """The lost workers whose work nobody does."""
    return [row for row in facts.lost if not facts.live or facts.unread.keys() & set(row.partitions)]


def _names(rows: list[WorkerRow]) -> str:
    return f"{', '.join(row.id for row in rows)} {'is' if len(rows) == 1 else 'are'}"


def _clock(moment: datetime, at: datetime) -> str:
    return f"{moment:%H:%M:%S}" if at - moment < timedelta(hours=12) else f"{moment:%Y-%m-%d %H:%M:%S}"
