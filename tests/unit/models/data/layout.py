"""The simulator's columns as its file has them, and as they are read."""

import polars as pl

from models.data.windows import FEATURES

READ = ["event_id", "event_time", "entity", "amount", *FEATURES, "fraud", "currency", "terminal_id"]


def filed(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame with the names that the simulator's definition looks for."""
    return frame.rename({"event_id": "transaction_id", "entity": "customer_id"}, strict=False)
