"""The figures of a model beside the trivial baselines, by the protocol of the Fraud Detection Handbook."""

import time
from collections.abc import Callable, Sequence
from datetime import date

import numpy as np
import polars as pl
from msgspec import Struct
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score

from models.inputs import matrix
from models.manifest import Quality
from models.protocol import BATCH, DAY, TOP_CARDS, EvaluationError, of_days, protocol_rows
from models.runtime import Runtime, one_thread
from schemas.definition import Input

TIMED_BATCHES = 50


class Evaluation(Struct, frozen=True):
    """What `stream-app evaluate` prints.

    Attributes:
        model: Name of the model.
        version: Its version.
        sha256: Its identity.
        since: First day measured.
        until: Last day measured.
        rows: Events measured.
        left_out: Events of customers already known as compromised, not measured.
        frauds: Frauds among `rows`.
        auc_roc: Area under the ROC curve.
        average_precision: Mean precision over the recall steps.
        card_precision_at_100: See `card_precision`.
        threshold: The score from which on the model alerts.
        alert_rate: Share of `rows` that alert.
        alert_precision: Share of frauds among the alerts; None without alerts.
        alert_recall: Share of the frauds that alert.
        baselines: The same three figures for scores that need no training (see `baselines`).
        us_per_event: Scoring time by batches of 1024 on one thread, median, microseconds.
    """

    model: str
    version: str
    sha256: str
    since: date
    until: date
    rows: int
    left_out: int
    frauds: int
    auc_roc: float
    average_precision: float
    card_precision_at_100: float
    threshold: float
    alert_rate: float
    alert_precision: float | None
    alert_recall: float
    baselines: dict[str, Quality]
    us_per_event: float


def evaluate(runtime: Runtime, frame: pl.DataFrame, since: date | None = None, until: date | None = None) -> Evaluation:
    """Measure a model.

    Args:
        runtime: The loaded model.
        frame: Labelled events, and before `since` the history that makes compromised customers known.
        since: First day to measure. None: the first of the frame.
        until: Last day to measure. None: the last of the frame.

    Raises:
        EvaluationError: no rows in these days, or not both frauds and legitimate events among them.
        DefinitionError: the frame lacks an input of the model.
    """
    rows = protocol_rows(frame, since, until, blocks=runtime.manifest.definition.blocks)
    inputs = matrix(rows, runtime.manifest.inputs, runtime.manifest.categories)
    scores = score_in_batches(runtime, inputs)
    quality = metrics_of(scores, rows)
    fraud = rows["fraud"].to_numpy()
    alerts = scores >= runtime.manifest.calibration.threshold
    return Evaluation(
        model=runtime.manifest.name,
        version=runtime.manifest.version,
        sha256=runtime.sha256,
        since=rows["event_time"][0].date(),
        until=rows["event_time"][-1].date(),
        rows=rows.height,
        left_out=of_days(frame, since, until).height - rows.height,
        frauds=int(fraud.sum()),
        auc_roc=quality.auc_roc,
        average_precision=quality.average_precision,
        card_precision_at_100=quality.card_precision_at_100,
        threshold=runtime.manifest.calibration.threshold,
        alert_rate=float(alerts.mean()),
        alert_precision=float(fraud[alerts].mean()) if alerts.any() else None,
        alert_recall=float(alerts[fraud].mean()),
        baselines=baselines(rows, runtime.manifest.inputs, inputs),
        us_per_event=us_per_event(runtime, inputs),
    )


def metrics_of(scores: np.ndarray, frame: pl.DataFrame) -> Quality:
    """The three figures of any scores, wherever they come from.

    Args:
        scores: float [rows], higher is stranger.
        frame: The labelled rows that they belong to, in the same order.

    Raises:
        EvaluationError: not both classes in the frame.
    """
    fraud = frame["fraud"].to_numpy()
    if fraud.all() or not fraud.any():
        raise EvaluationError(f"{int(fraud.sum())} frauds among {len(fraud)} events: both kinds are needed to measure")
    return Quality(
        auc_roc=float(roc_auc_score(fraud, scores)),
        average_precision=float(average_precision_score(fraud, scores)),
        card_precision_at_100=card_precision(scores, frame),
    )


def card_precision(scores: np.ndarray, frame: pl.DataFrame, top: int = TOP_CARDS) -> float:
    """Mean over the days of the share of compromised customers among the `top` of highest score.

    A customer scores as their strangest event of the day, and is compromised when one of them is a fraud. Who was
    found leaves all later days. The divisor is `top` on days with fewer customers too (Handbook, section 4.3.4).
    """
    cards = (
        frame.select("entity", "fraud", DAY.alias("day"))
        .with_columns(pl.Series("score", scores))
        .group_by("day", "entity")
        .agg(pl.col("score").max(), pl.col("fraud").any())
        .sort("day", "score", "entity", descending=[False, True, False])
    )
    found: set[str] = set()
    shares = []
    for day in cards.partition_by("day", maintain_order=True):
        listed = day.filter(~pl.col("entity").is_in(list(found))).head(top)
        hits = listed.filter("fraud")["entity"].to_list()
        found.update(hits)
        shares.append(len(hits) / top)
    return float(np.mean(shares))


def baselines(rows: pl.DataFrame, inputs: Sequence[Input], raw: np.ndarray) -> dict[str, Quality]:
    """What scores that anybody has at hand reach on the same rows.

    `random` is chance; the first number of the event itself, as the amount, is that alone; `isolation_forest` is
    scikit-learn's with its defaults on the raw inputs, fitted on these very rows without their labels (which favours
    it: the model has not seen them).

    Args:
        rows: Labelled.
        inputs: Of the model.
        raw: float32 [rows, inputs], NaN where missing.
    """
    filled = np.where(np.isnan(raw).all(axis=0), np.float32(0), raw)
    complete = np.where(np.isnan(filled), np.nanmedian(filled, axis=0), filled)
    forest = IsolationForest(random_state=0).fit(complete)
    numbers = [(i, entry) for i, entry in enumerate(inputs) if entry.role == "own" and entry.kind == "number"]
    scores = {
        "random": np.random.default_rng(0).random(rows.height),
        **{entry.name: complete[:, column] for column, entry in numbers[:1]},
        "isolation_forest": -forest.score_samples(complete),
    }
    return {name: metrics_of(values, rows) for name, values in scores.items()}


def score_in_batches(runtime: Runtime, inputs: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """Scores, float32 [n], by batches as large as the stream's."""
    with one_thread():
        return np.concatenate([runtime.score(inputs[i : i + batch]).score for i in range(0, len(inputs), batch)])


def us_per_event(runtime: Runtime, inputs: np.ndarray, clock: Callable[[], float] = time.perf_counter) -> float:
    """Median scoring time for one event in a batch of 1024 on one thread, microseconds."""
    batch = np.resize(inputs, (BATCH, inputs.shape[1]))
    seconds = []
    with one_thread():
        for _ in range(TIMED_BATCHES):
            start = clock()
            runtime.score(batch)
            seconds.append(clock() - start)
    return float(np.median(seconds)) / BATCH * 1e6
