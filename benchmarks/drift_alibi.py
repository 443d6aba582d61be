"""alibi-detect's online MMD over streams, in its own environment: an .npz of matrices in, a JSON of alarms out.

    python drift_alibi.py STREAMS.npz FOUND.json

The first matrix is the reference, float32 [blocks, inputs]. Its expected run time is that of a stream without a season.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from alibi_detect.cd import MMDDriftOnline

ERT = 4000  # blocks of 64 between two false alarms: 4 in a million transactions
BOOTSTRAPS = 8000  # the fewest that its quantiles accept for that
BLOCKS_AT_ONCE = 8


def main() -> None:
    torch.set_num_threads(1)
    np.random.seed(0)  # it draws with both
    torch.manual_seed(0)
    given = np.load(sys.argv[1])
    reference, *streams = (given[name] for name in sorted(given.files, key=lambda name: int(name.removeprefix("arr_"))))
    detector = MMDDriftOnline(
        reference, ert=ERT, window_size=BLOCKS_AT_ONCE, n_bootstraps=BOOTSTRAPS, backend="pytorch", verbose=False
    )
    answers = []
    for stream in streams:
        detector.reset_state()
        begun, alarms = time.process_time(), []
        for number, block in enumerate(stream, start=1):
            if detector.predict(block)["data"]["is_drift"]:
                alarms.append(number)
                detector.reset_state()
        answers.append({"alarms": alarms, "cpu_seconds": time.process_time() - begun})
    Path(sys.argv[2]).write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
