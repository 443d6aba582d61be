"""Other people's detectors on the same streams: what they find, how soon, at what cost, and how often nothing is there.

Each as its documentation shows it, with the week that the model was trained on as its reference. An alarm of any column
counts; those within `SAME_INCIDENT` transactions of the first one are one incident. Few starts and no copies:
Evidently takes hundreds of times as long as all the others together.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson

from benchmarks.drift_streams import Model, Rows, alerts
from benchmarks.environments import Unavailable, python_for, run
from benchmarks.material import FOLDER
from models.manifest import Manifest
from schemas.drift import DriftPhase

SAME_INCIDENT = 2048
MEANS_OF = 256  # where ADWIN sees means
WINDOW, REFERENCE_ROWS = 2048, 10_000
ALIBI_BLOCK = 64
ALIBI = Path(__file__).with_name("drift_alibi.py")
PATIENCE_S = 400


@dataclass(frozen=True, slots=True)
class Case:
    """A stream to watch: `begins` transactions come before its drift; None: there is none."""

    kind: str
    rows: Rows
    begins: int | None


@dataclass(frozen=True, slots=True)
class Peer:
    """Who watches.

    Attributes:
        title: As the table names it.
        watch: Reference, the model and the streams to the number of transactions seen at each alarm, stream by stream,
            and its seconds of CPU.
    """

    title: str
    watch: Callable[[Rows, Model, Sequence[Case]], Iterable[tuple[list[int], float]]]


def one_by_one(watch: Callable[[Rows, Model, Case], list[int]]) -> Any:
    """For detectors that need no preparation that is worth sharing."""

    def each(reference: Rows, model: Model, cases: Sequence[Case]) -> Iterator[tuple[list[int], float]]:
        for case in cases:
            begun = time.process_time()
            found = watch(reference, model, case)
            yield found, time.process_time() - begun

    return each


def ours(_: Rows, model: Model, case: Case) -> list[int]:
    """This project: summaries and aggregator."""
    return [a.events_observed for a in alerts(case.rows, model) if a.phase is DriftPhase.RAISED]


def adwin_on_events(_: Rows, __: Model, case: Case) -> list[int]:
    """River's ADWIN as shipped, one for each signal, on every value."""
    from river.drift import ADWIN

    return _adwin(case.rows.signals, ADWIN, 1)


def adwin_on_means(_: Rows, __: Model, case: Case) -> list[int]:
    """The same on means; looking at each, since as shipped it would look at every 32nd."""
    from river.drift import ADWIN

    signals = case.rows.signals[:, : len(case.rows) // MEANS_OF * MEANS_OF]
    blocks = signals.reshape(len(signals), -1, MEANS_OF)
    known = np.maximum((~np.isnan(blocks)).sum(axis=2), 1)
    return _adwin(np.nansum(blocks, axis=2) / known, lambda: ADWIN(clock=1), MEANS_OF)


def _adwin(columns: np.ndarray, make: Callable[[], Any], step: int) -> list[int]:
    found = set()
    for column in columns.astype(np.float64):
        detector = make()
        for number, value in enumerate(column.tolist(), start=1):
            if value == value:  # noqa: PLR0124 - one NaN poisons it
                detector.update(value)
                if detector.drift_detected:
                    found.add(number * step)
    return sorted(found)


def evidently(reference: Rows, model: Model, case: Case) -> list[int]:
    """Its data-drift preset on windows of the inputs, from the first with drift in it until it has found the drift."""
    names = [entry.name for entry in model.manifest.inputs]
    chosen = own_inputs(model.manifest)
    before = _dataset(reference.raw[chosen][:, :: -(-len(reference) // REFERENCE_ROWS)], [names[i] for i in chosen])
    found = []
    for end in range(WINDOW, len(case.rows) + 1, WINDOW):
        if case.begins is not None and end <= case.begins:
            continue
        now = _dataset(case.rows.raw[chosen][:, end - WINDOW : end], [names[i] for i in chosen])
        if _preset_drifts(now, before):
            found.append(end)
            if case.begins is not None:
                break
    return found


def _dataset(columns: np.ndarray, names: list[str]) -> Any:
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what its imports use of others
        from evidently import DataDefinition, Dataset

    return Dataset.from_pandas(
        pd.DataFrame(columns.T, columns=names), data_definition=DataDefinition(numerical_columns=names)
    )


def _preset_drifts(now: Any, before: Any) -> bool:
    """Whether any column of a window has drifted by the preset's own method and threshold."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scipy and numpy on columns that hold nothing
        try:
            metrics = Report([DataDriftPreset()]).run(now, before).dict()["metrics"]
        except ValueError:  # a column without a single value: it refuses to look, which nobody overlooks
            return True
    columns = [metric for metric in metrics if "column" in metric["config"]]
    return any(
        (value < limit) if "p_value" in method else (value >= limit)
        for metric in columns
        for value, limit, method in [
            (float(metric["value"]), float(metric["config"]["threshold"]), metric["config"]["method"])
        ]
    )


def alibi(reference: Rows, model: Model, cases: Sequence[Case]) -> Iterator[tuple[list[int], float]]:
    """alibi-detect's online MMD on means of blocks of the standardised inputs, in an environment of its own.

    On single transactions its limits take many minutes to configure, and each transaction half a millisecond.

    Raises:
        Unavailable: its environment cannot be made here, or it fails in it.
    """
    python = python_for("alibi", FOLDER / "venvs")
    columns = [1 + i for i in own_inputs(model.manifest)]
    streams = [_block_means(rows.signals[columns]) for rows in (reference, *(case.rows for case in cases))]
    with TemporaryDirectory() as folder:
        given, answered = Path(folder) / "streams.npz", Path(folder) / "found.json"
        np.savez(given, *streams)
        run("alibi-detect", [str(python), str(ALIBI), str(given), str(answered)], PATIENCE_S)
        answers = orjson.loads(answered.read_bytes())
    for answer in answers:
        yield [block * ALIBI_BLOCK for block in answer["alarms"]], answer["cpu_seconds"]


def _block_means(signals: np.ndarray) -> np.ndarray:
    """float32 [blocks, signals]; what is missing everywhere in a block counts as the reference's mean."""
    whole = signals[:, : signals.shape[1] // ALIBI_BLOCK * ALIBI_BLOCK]
    means = np.nan_to_num(whole).reshape(len(whole), -1, ALIBI_BLOCK).mean(axis=2)
    return np.ascontiguousarray(means.T, dtype=np.float32)


def own_inputs(manifest: Manifest) -> list[int]:
    """Columns of the inputs that do not follow from the calendar: any window of hours differs from a week in those."""
    return [i for i, entry in enumerate(manifest.inputs) if entry.role != "calendar"]


PEERS = (
    Peer("this project", one_by_one(ours)),
    Peer("River's ADWIN as shipped, every value of every signal", one_by_one(adwin_on_events)),
    Peer(f"River's ADWIN on means of {MEANS_OF}", one_by_one(adwin_on_means)),
    Peer(f"Evidently's data-drift preset on windows of {WINDOW:,}, inputs", one_by_one(evidently)),
    Peer(f"alibi-detect's online MMD on means of {ALIBI_BLOCK}, inputs", alibi),
)


def compared(peer: Peer, reference: Rows, model: Model, cases: Sequence[Case]) -> dict[str, Any]:
    """One row of the table, or why there is none."""
    try:
        watched = list(peer.watch(reference, model, cases))
    except Unavailable as reason:
        return {"peer": peer.title, "skipped": str(reason)}
    delays, false, quiet, seconds = [], 0, 0, 0.0
    for case, (found, cpu) in zip(cases, watched, strict=True):
        if case.begins is None:
            false, quiet, seconds = false + incidents(found), quiet + len(case.rows), seconds + cpu
        else:
            delays.append(next((at - case.begins for at in found if at > case.begins), None))
    return {
        "peer": peer.title,
        "delays": delays,
        "false_incidents": false,
        "undrifted_events": quiet,
        "us_per_event": seconds / quiet * 1e6,
    }


def incidents(found: Sequence[int]) -> int:
    """How many: an alarm opens one, which takes what follows within `SAME_INCIDENT`."""
    count, until = 0, -1
    for at in found:
        if at > until:
            count, until = count + 1, at + SAME_INCIDENT
    return count


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """As Markdown, line by line."""
    yield "| detector | found | median delay | P90 | false incidents in a million | with a season | µs/event |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for row in rows:
        if "skipped" in row:
            yield f"| {row['peer']} | not measured: {row['skipped']} | | | | | |"
            continue
        delays = sorted(delay if delay is not None else np.inf for delay in row["delays"])
        found = sum(np.isfinite(delays))
        yield (
            f"| {row['peer']} | {found} of {len(delays)} | {_delay(delays, 0.5)} | {_delay(delays, 0.9)} "
            f"| {_per_million(row)} | {_per_million(row['with_season'])} | {row['us_per_event']:,.1f} |"
        )
    yield ""
    never = 1e6 / SAME_INCIDENT
    yield f"At {never:,.0f} incidents in a million a detector is never silent: near that, it finds by chance."


def _per_million(row: dict[str, Any]) -> str:
    return f"{1e6 * row['false_incidents'] / row['undrifted_events']:,.1f}" if "delays" in row else "not measured"


def _delay(delays: Sequence[float], quantile: float) -> str:
    """Of all drifts, found or not."""
    value = float(np.quantile(delays, quantile, method="higher"))
    return f"{value:,.0f}" if np.isfinite(value) else "not found"
