"""An id of blanks is none, by one rule for data files and the stream."""

import msgspec
import pytest

from models.data.files import DataError
from models.data.frame import read
from models.definition import complete
from schemas.definition import Definition, EventFields, Input
from schemas.scoring import RefusalCode
from stream_app.pipeline.batch import Raw
from stream_app.pipeline.decode import Decoder

DEFINITION = complete(Definition("blank", EventFields("id", "at", "card"), (Input("amount", "amount"),)))
BLANK = [" ", "   ", "\t", "\n", "\u00a0", "\u3000", "\u2003 \u0085"]
NOT_BLANK = ["x", " x", "é", "\u200b", "\u0000", "\u001c", "日"]


def event(**given: str) -> bytes:
    return msgspec.json.encode({"id": "1", "at": "2026-01-01T00:00:00Z", "card": "c", "amount": 1.0} | given)


@pytest.mark.parametrize("field", ["id", "card"])
@pytest.mark.parametrize("text", [*BLANK, *NOT_BLANK])
def test_a_file_and_the_stream_refuse_the_same(text: str, field: str, tmp_path) -> None:
    values = [event(id="first"), event(**{field: text}), event(id="last")]
    decoded = Decoder(DEFINITION, 10_000)(Raw(values, (), (), (), {}))
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(values))
    if text in NOT_BLANK:
        assert decoded.rows.tolist() == [0, 1, 2]
        assert read(tmp_path / "events.jsonl", definition=DEFINITION).height == 3
        return
    assert decoded.rows.tolist() == [0, 2]
    assert [(r.row, r.code, r.sentence) for r in decoded.refused] == [
        (1, RefusalCode.OUT_OF_RANGE, f"{field} is blank")
    ]
    with pytest.raises(DataError, match=f"rows without a value in {field}"):
        read(tmp_path / "events.jsonl", definition=DEFINITION)
