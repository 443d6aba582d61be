"""What must hold of decoding whatever the bytes: shared by the mutations, by hypothesis and by the fuzzer."""

from collections.abc import Sequence

import numpy as np

from stream_app.pipeline.batch import Decoded, Raw
from stream_app.pipeline.decode import Decoder
from stream_app.testing.tiny_model import DEFINITION, segments_of

LIMIT = 100_000
SEED_RECORDS = [
    b'{"transaction_id":"1","event_time":"2018-07-25T00:00:31Z","customer_id":"c1","amount":57.16,'
    b'"features":{"terminal_risk_7d":0.5}}',
    b'{"transaction_id":"2","event_time":"2018-07-25T00:00:31.020+02:00","customer_id":"c\\u00fc","amount":0,'
    b'"features":{"terminal_risk_7d":null},"currency":"EUR","more":[1,{"x":[]}]}',
    b'{"amount":1e3,"customer_id":"c","event_time":"1990-01-01T00:00:00Z","transaction_id":"3"}',
]
DECODER = Decoder(DEFINITION, LIMIT, segments_of("currency", "EUR", "USD"))


def raw(values: Sequence[bytes | None]) -> Raw:
    """A micro-batch of one partition."""
    count = len(values)
    return Raw(values, [0] * count, list(range(count)), [], {0: (0, count)})


def decoded(values: Sequence[bytes | None]) -> Decoded:
    """What becomes of the records, each of which has exactly one outcome, and no number that is not finite."""
    outcome = DECODER(raw(values))
    places = [*outcome.rows.tolist(), *(refusal.row for refusal in outcome.refused)]
    assert sorted(places) == list(range(len(values))), "scored and refused, or neither"
    assert not np.isinf(outcome.inputs).any()
    assert not np.isnan(outcome.inputs[:, 0]).any(), "the amount may not be missing"
    assert outcome.segments is not None
    columns = (outcome.inputs, outcome.event_ids, outcome.entities, outcome.event_times, outcome.segments)
    assert {len(column) for column in columns} == {len(outcome.rows)}
    assert all(refusal.sentence and "\n" not in refusal.sentence for refusal in outcome.refused)
    return outcome


def alone(values: Sequence[bytes | None]) -> list[tuple[object, ...]]:
    """The fate of each record when it comes by itself, to compare with `together`."""
    return [fate for value in values for fate in together([value])]


def together(values: Sequence[bytes | None]) -> list[tuple[object, ...]]:
    """The fate of each record when they come in one micro-batch."""
    outcome = decoded(values)
    fates: dict[int, tuple[object, ...]] = {refusal.row: (refusal.code,) for refusal in outcome.refused}
    for place, row in enumerate(outcome.rows.tolist()):
        identity = outcome.event_ids[place], outcome.entities[place], outcome.event_times[place]
        segment = None if outcome.segments is None else int(outcome.segments[place])
        fates[row] = (*identity, outcome.inputs[place].tobytes(), segment)
    return [fates[row] for row in range(len(values))]
