"""The incident's trainings, as in `stream_app.testing.incident`, on the Fraud Detection Handbook's transactions."""

from datetime import date

from models.recipe import TrainingConfig
from stream_app.testing.incident import Recipe

TEST_WEEK = (date(2018, 7, 25), date(2018, 7, 31))
WEEK = (date(2018, 7, 11), date(2018, 7, 17))
CHAMPION = Recipe(*WEEK, TrainingConfig())
SHIFTED = Recipe(date(2018, 7, 14), date(2018, 7, 20), TrainingConfig(seed=1, hidden=128, latent=5))
EQUAL = Recipe(*WEEK, TrainingConfig(seed=2))
