"""A coverage-guided fuzzer on the decoder: `make fuzz`. It ends by itself after a million inputs, or at a broken one.

An input is one or more records, cut at a byte that no JSON may hold, so that what is found includes micro-batches whose
records are mistaken for each other. An input that breaks a promise is left in `build/fuzz/` and ends the run.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["stream_app.pipeline.decode", "stream_app.pipeline.formats", "json"]):
    from tests.decoding import SEED_RECORDS, alone, together

RUNS = 1_000_000
CUT = b"\x1e"
MOST_CUTS = 3
FOLDER = Path("build/fuzz")
WORDS = [
    *("transaction_id", "customer_id", "event_time", "amount", "features", "terminal_risk_7d", "1e999", "-1", "null"),
    *("NaN", "Infinity", "true", "[[[[", "}}}}", "\\\\ud800", "\\\\u0000", "2018-07-25T00:00:31Z", "\\x1e", "\\x0a"),
]


def broken(data: bytes) -> None:
    """Raises where a promise does not hold."""
    records = data.split(CUT, MOST_CUTS)
    assert together(records) == alone(records), "a record's fate depends on its neighbours"


def main() -> None:
    corpus = FOLDER / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, record in enumerate([*SEED_RECORDS, CUT.join(SEED_RECORDS)]):
        (corpus / f"seed-{number}").write_bytes(record)
    (FOLDER / "words").write_text("".join(f'"{word}"\n' for word in WORDS))
    options = [
        f"-runs={RUNS}",
        f"-dict={FOLDER}/words",
        f"-artifact_prefix={FOLDER}/",
        "-max_len=2048",
        "-seed=20260711",
    ]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:], str(corpus)], broken)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
