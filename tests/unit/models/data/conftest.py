from datetime import date

import polars as pl
import pytest

from models.data.simulator import Simulation, simulate


@pytest.fixture(scope="session")
def week() -> pl.DataFrame:
    """A week of a small world, about 13,000 transactions."""
    return simulate(Simulation(days=7, start=date(2024, 3, 4), customers=1000, seed=3))
