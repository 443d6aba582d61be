"""The receipt of one anomaly: its score and reasons, derived again from its record and its model, and what differs."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from models.passing import PassingValue, smallest_change
from models.runtime import Runtime, Scored
from schemas.scoring import Anomaly, Reason
from schemas.topics import ANOMALIES, TRANSACTIONS
from stream_app.kafka.log import read_backwards, read_to_end
from stream_app.kafka.records import RecordDecoder
from stream_app.kafka.topics import name, present_id
from stream_app.pipeline.batch import Decoded
from stream_app.replay.log_decoder import Tell
from stream_app.replay.rescore import ReplayError, Rescorer
from stream_app.settings import Settings

TOLERANCE = 1e-5  # relative, of scores: the promise of "same log, same decisions"
SHARE_TOLERANCE = 1e-4  # of shares and reconstructions, which are differences of nearly equal numbers


@dataclass(frozen=True, slots=True)
class Receipt:
    """A published anomaly, and the score and reasons that its record and model give now.

    Attributes:
        anomaly: As it was published.
        score: None where the record is refused.
        threshold: The model's.
        reasons: Most important first.
        differences: One sentence for each difference; empty where the result is the same.
        passing: The smallest change with which it would have passed (`models.passing`); empty where none is known.
    """

    anomaly: Anomaly
    score: float | None
    threshold: float
    reasons: list[Reason]
    differences: list[str]
    passing: list[PassingValue]


def receipt(settings: Settings, anomaly: Anomaly, runtime: Runtime, tell: Tell = lambda _: None) -> Receipt:
    """Derive an anomaly again.

    Args:
        settings: Where the topics are.
        anomaly: As it was published.
        runtime: The model.
        tell: Called with how far the past of its record has been counted.

    Raises:
        ReplayError: the input no longer holds the record, or what its windows looked back on.
        BrokerError: the input cannot be read.
    """
    place = anomaly.source
    if place.topic_id and place.topic_id != present_id(settings):
        raise ReplayError(f"{place.topic} was deleted and made again since: the record is gone with the topic before")
    found = list(read_to_end(settings, TRANSACTIONS, bounds={place.partition: (place.offset, place.offset + 1)}))
    if not found:
        raise ReplayError(f"{place.topic} no longer holds offset {place.offset} of partition {place.partition}")
    rescore = Rescorer(settings, runtime, top=max(len(anomaly.explanation), 1), tell=tell)
    rescore.decode.scored_at = anomaly.scored_at
    decoded, scored, reasoned = rescore(found)
    threshold = runtime.manifest.calibration.threshold
    differences = []
    if runtime.sha256 != anomaly.model.sha256:
        differences.append(f"another model: {runtime.sha256[:12]} and not {anomaly.model.sha256[:12]}")
    if not len(decoded.rows):
        differences.append(f"the record is refused: {decoded.refused[0].sentence}")
        return Receipt(anomaly, None, threshold, [], differences, [])
    now = float(scored.score[0])
    given = rescore.reasons(0, decoded, scored, reasoned) if len(reasoned.rows) else []
    differences += _differences(anomaly, now, threshold, given)
    if differences and not rescore.decode.is_whole(place.partition, anomaly.event_time):
        raise ReplayError(f"{rescore.decode.remark}; the values of the reasons stand in the anomaly itself")
    return Receipt(anomaly, now, threshold, given, differences, _passing(runtime, decoded, scored, given))


def _passing(runtime: Runtime, decoded: Decoded, scored: Scored, given: list[Reason]) -> list[PassingValue]:
    columns = [runtime.manifest.definition.column(reason.feature) for reason in given]
    return smallest_change(runtime, decoded.inputs[0], scored.reconstruction[0], columns)


def _differences(anomaly: Anomaly, now: float, threshold: float, given: list[Reason]) -> Iterator[str]:
    if not np.isclose(now, anomaly.score, rtol=TOLERANCE, atol=0):
        yield f"score {now:.6g} and not {anomaly.score:.6g}"
    if not np.isclose(threshold, anomaly.threshold, rtol=TOLERANCE, atol=0):
        yield f"threshold {threshold:.6g} and not {anomaly.threshold:.6g}"
    if [r.feature for r in given] != [r.feature for r in anomaly.explanation]:
        names = ", ".join(r.feature for r in given) or "none"
        yield f"reasons {names} and not {', '.join(r.feature for r in anomaly.explanation)}"
        return
    for then, r in zip(anomaly.explanation, given, strict=True):
        for what, old, new in (("value", then.value, r.value), ("expected", then.expected, r.expected)):
            if (old is None) is not (new is None) or not np.isclose(new or 0, old or 0, rtol=SHARE_TOLERANCE):
                yield f"{what} of {r.feature} {new} and not {old}"
        if not np.isclose(r.share, then.share, rtol=SHARE_TOLERANCE, atol=SHARE_TOLERANCE):
            yield f"share of {r.feature} {r.share:.4f} and not {then.share:.4f}"


def published(settings: Settings, wanted: str) -> Anomaly:
    """The newest anomaly with this id, or of the event with this id.

    Raises:
        ReplayError: there is none.
        BrokerError: they cannot be read.
    """
    text, decoder = msgspec.json.encode(wanted), RecordDecoder[Anomaly](Anomaly)
    for stretch in read_backwards(settings, ANOMALIES):
        candidates = (message for message in stretch if text in (message.value() or b""))
        of_it = [a for _, a in decoder.each(candidates) if wanted in (a.anomaly_id, a.event_id)]
        if of_it:
            return max(of_it, key=lambda anomaly: anomaly.scored_at)
    raise ReplayError(
        f"{name(settings, ANOMALIES)} holds no anomaly {wanted}: give the id of an event, or "
        "TOPIC:TOPIC-ID:PARTITION:OFFSET; see `stream-app consume anomalies`"
    )
