r"""Data that this project knows nothing of: trained by a definition, beside other detectors on the same inputs.

    python -c 'from synccfd import DatasetGenerator as D; \
        D(n_customers=1000, n_terminals=2000, nb_days=45, start_date="2025-01-01", random_state=42) \
        .generate()[2].to_parquet("build/synccfd.parquet")'
    stream-app define build/synccfd.parquet --out build/synccfd.toml
    python -m benchmarks.foreign build/synccfd.parquet --detector build/synccfd.toml --from 2025-02-06

The first command is for an environment of its own, with synccfd 0.1.0. Models are fitted to the days before `--from`,
without the rows that a label calls fraud, and measured on the others. A table on stdout, as docs/quality.md has it.
"""

import argparse
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from benchmarks.detectors import CONTESTANTS
from models.data.frame import read
from models.definition import load
from models.evaluation import metrics_of
from models.inputs import categories_of, matrix
from models.protocol import protocol_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--detector", type=Path, required=True)
    parser.add_argument("--from", dest="since", type=date.fromisoformat, required=True)
    given = parser.parse_args()
    definition = load(given.detector)
    frame = read(given.data, definition=definition)
    day = frame["event_time"].dt.date()
    early = frame.filter((day < given.since) & ~frame["fraud"])
    late = protocol_rows(frame, given.since, blocks=definition.blocks)
    known = categories_of(early, definition.inputs)
    fitted, others = (matrix(rows, definition.inputs, known) for rows in (early, late))
    print(f"{early.height:,} rows to {given.since - timedelta(days=1)}, {late.height:,} from {given.since}")
    print("| | AUC ROC | average precision | card precision@100 |\n|---|---:|---:|---:|")
    for name in ("this model", "plain autoencoder", "kNN", "isolation forest"):
        scores = CONTESTANTS[name](fitted, definition, 0)
        found = metrics_of(np.concatenate([scores(part) for part in np.array_split(others, 40)]), late)
        print(f"| {name} | {found.auc_roc:.3f} | {found.average_precision:.3f} | {found.card_precision_at_100:.3f} |")


if __name__ == "__main__":
    main()
