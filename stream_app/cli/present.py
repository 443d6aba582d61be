"""What `doctor` finds wrong with what runs at this moment: a line for each condition that holds."""

from collections.abc import Iterator

from stream_app.cli.diagnosis import Diagnosis
from stream_app.cli.overview import Observer
from stream_app.settings import Settings


def at_present(settings: Settings) -> Iterator[Diagnosis]:
    """What is wrong with what runs; the headline where nothing is."""
    with Observer(settings) as observer:
        observer.follow(settings.heartbeat_interval_s)
        seen = observer.overview()
    for condition in seen.wrong:
        yield Diagnosis(condition.kind, False, condition.what, condition.remedy)
    if not seen.wrong:
        yield Diagnosis("now", True, seen.verdict.sentence)
