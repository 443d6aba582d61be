"""How well an alert budget is kept, day by day, with a calibration that stays and one that is renewed.

    python -m benchmarks.budget
    python -m benchmarks.budget --days 4

The model of the Handbook's first week, for 200 alerts a day, on the four weeks after it: as they are, and growing, with
twice as many customers at their end and amounts that rise by 1 % a day. A day is within the budget when its alerts
differ from it by at most a fifth. `recalibrate` takes the seven days before, or so many.

It also prints the share of p-values at or below some levels, day by day: of a healthy stream they are uniform; and what
becomes of "at most 30 % false" in the week after the training, which is before the test week.
"""

import argparse
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import polars as pl

from benchmarks import handbook, recipes
from models.calibration import calibrated
from models.definition import find
from models.inputs import matrix
from models.manifest import Calibration
from models.protocol import DAY
from models.recipe import TrainingConfig
from models.runtime import one_thread, run
from models.training import train

A_DAY = 200
WITHIN = 0.2
LEVELS = (0.05, 0.1, 0.25, 0.5)

Renewed = Callable[[int], int]
"""The day, counted from the first after the training, on which the calibration of a day was made; 0: in training."""


def growing(frame: pl.DataFrame) -> pl.DataFrame:
    """The same events with half of the customers at first, and amounts that rise."""
    day = (pl.col("event_time") - pl.col("event_time").min()).dt.total_days()
    dearer = 1.01**day
    joined = pl.col("entity").hash(1) % 1000 < 500 + (500 * day / 34).cast(pl.UInt64)
    amounts = pl.col("^(amount|customer_avg_amount_.*)$")
    return frame.filter(joined).with_columns(amounts * dearer)


def days_kept(frame: pl.DataFrame, before: timedelta) -> tuple[dict[str, list[float]], np.ndarray]:
    """Alerts of each day as a share of the budget, by how often it is renewed; and the p-values by level [days, 4]."""
    definition, budget = find("handbook"), f"{A_DAY} a day"
    week = frame.filter(DAY.is_between(*recipes.WEEK))
    with one_thread():
        graph, manifest = train(week, definition, TrainingConfig(budget=budget), "m", "1")
        scores = run(graph, matrix(frame, definition.inputs, manifest.categories)).score
    scored = frame.with_columns(pl.Series("score", scores), DAY.alias("day"))
    first = recipes.WEEK[1] + timedelta(days=1)
    days = [first + timedelta(days=number) for number in range((frame["event_time"][-1].date() - first).days + 1)]

    def made_on(number: int) -> Calibration:
        if number == 0:
            return manifest.calibration
        until = first + timedelta(days=number)
        rows = scored.filter(pl.col("day").is_between(until - before, until, closed="left"))
        return calibrated(rows["score"].to_numpy(), rows, budget, rows["event_time"])

    of_day = [scored.filter(pl.col("day") == day)["score"].to_numpy() for day in days]
    plans: dict[str, Renewed] = {
        "never": lambda _: 0,
        "every week": lambda number: number // 7 * 7,
        "every day": lambda number: number,
    }
    found = {
        name: [float((of_day[i] >= made_on(plan(i)).threshold).sum() / A_DAY) for i in range(len(days))]
        for name, plan in plans.items()
    }
    p_values = [manifest.calibration.p_values(one) for one in of_day]
    return found, np.array([[float((values <= level).mean()) for level in LEVELS] for values in p_values])


def false_alerts(frame: pl.DataFrame, promised: tuple[int, ...] = (20, 30, 50)) -> list[tuple[int, int, float]]:
    """Promised percentage, alerts in the week after the training, and the share of them that is false."""
    definition = find("handbook")
    week = frame.filter(DAY.is_between(*recipes.WEEK))
    after = frame.filter(DAY.is_between(recipes.WEEK[1] + timedelta(days=1), recipes.WEEK[1] + timedelta(days=7)))
    config = TrainingConfig()
    held_out = week[int(week.height * (1 - config.held_out)) :]
    with one_thread():
        graph, _ = train(week, definition, config, "m", "1")
        known, later = (run(graph, matrix(rows, definition.inputs)).score for rows in (held_out, after))
    found = []
    for most in promised:
        threshold = calibrated(known, held_out, f"at most {most} % false", held_out["event_time"]).threshold
        alerts = later >= threshold
        found.append((most, int(alerts.sum()), float(1 - after["fraud"].to_numpy()[alerts].mean())))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=7, help="how many days a calibration takes")
    before, frame = timedelta(days=parser.parse_args().days), handbook.transactions()
    print("| stream | calibrated anew | days within a fifth | least | most |\n|---|---|---:|---:|---:|")
    for name, rows in (("as it is", frame), ("growing", growing(frame))):
        found, p_values = days_kept(rows, before)
        for plan, ratios in found.items():
            kept = np.mean(np.abs(np.array(ratios) - 1) <= WITHIN)
            print(f"| {name} | {plan} | {kept:.0%} | {min(ratios):.2f} | {max(ratios):.2f} |")
        spread = ", ".join(
            f"{level:g}: {low:.3f} to {high:.3f}"
            for level, low, high in zip(LEVELS, p_values.min(axis=0), p_values.max(axis=0), strict=True)
        )
        print(f"{name}: share of p-values at or below, by day: {spread}\n")
    print("| at most false | alerts | false |\n|---:|---:|---:|")
    for most, alerts, share in false_alerts(frame):
        print(f"| {most} % | {alerts} | {share:.0%} |")


if __name__ == "__main__":
    main()
