"""A second model sees every row, decides what it is to decide, and can take nothing down."""

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from models import artefact
from models.manifest import Calibration
from models.runtime import Runtime, Scored
from schemas.comparison import TAIL, Pairs
from stream_app.pipeline.compare import SecondScorer
from stream_app.pipeline.comparison_counter import BLOCK, ComparisonCounter
from stream_app.pipeline.decode import Decoder
from stream_app.pipeline.serving import SecondModel, Serving
from stream_app.testing.tiny_model import DEFINITION, tiny_model
from tests.unit.stream_app.pipeline.rows import encoded, raw

CUSTOMERS = [f"customer-{n}" for n in range(500)]
RAW = raw(*(encoded(customer_id=c, amount=float(n % 5)) for n, c in enumerate(CUSTOMERS)))
DECODED = Decoder(DEFINITION, 10_000)(RAW)


@dataclass(frozen=True)
class Pair:
    """Two models; the second alerts on what the first finds ordinary."""

    first: Runtime
    second: Runtime

    def scorer(
        self, percent: float = 0.0, second: object = None, is_candidate: bool = True, clock=None
    ) -> SecondScorer:
        model = second or self.second
        beside = SecondModel("s2", model, ref("2"), percent, is_candidate)
        serving = Serving(self.first, ref("1"), None, "a", beside)
        return SecondScorer(serving, beside, "w1", None, *([clock] if clock else []))


def ref(version: str):
    return SimpleNamespace(name="tiny", version=version, sha256=version * 64)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("models")
    tiny_model(folder / "1.pt", "1")
    tiny_model(folder / "2.pt", "2", centre=4.0)
    return Pair(*(artefact.load(Path(folder / f"{v}.pt")) for v in "12"))


class Broken:
    """A model that does what the test says instead of scoring."""

    def __init__(self, pair: Pair, does) -> None:
        self.manifest, self._inner, self._does = pair.second.manifest, pair.second, does

    def score(self, inputs: np.ndarray) -> Scored:
        return self._does(self._inner.score(inputs))


def run(pair: Pair, scorer: SecondScorer):
    return scorer.decide(RAW, DECODED, pair.first.score(DECODED.inputs), took_s=1.0)


def test_a_shadow_scores_everything_and_decides_nothing(pair: Pair) -> None:
    scorer = pair.scorer()
    (alone,) = run(pair, scorer)
    assert (alone.author.model.version, alone.decoded) == ("1", DECODED)
    found = scorer.drain()
    assert (found.rows, found.decided, found.errors, found.trial_id) == (500, 0, 0, "s2")
    # Amounts 0 to 4, risk 0: squared distance from 0, and from (4, 4), at a threshold of 10 each.
    assert found.alerts == Pairs(both=100, only_champion=0, only_candidate=400)
    assert found.similarities == []  # the candidate's latent is the same, far out, for all of these rows
    assert scorer.drain() is None


def test_after_an_activation_the_previous_model_is_the_champion(pair: Pair) -> None:
    scorer = pair.scorer(is_candidate=False)
    run(pair, scorer)
    found = scorer.drain()
    assert (found.champion, found.candidate) == ("2" * 64, "1" * 64)
    assert found.alerts == Pairs(both=100, only_champion=400, only_candidate=0)


def test_a_canary_decides_for_its_customers_by_its_own_scores(pair: Pair) -> None:
    scorer = pair.scorer(percent=30.0)
    ours, theirs = run(pair, scorer)
    assert [part.author.model.version for part in (ours, theirs)] == ["1", "2"]
    assert sorted([*ours.decoded.rows, *theirs.decoded.rows]) == DECODED.rows.tolist()
    assert not set(ours.decoded.entities) & set(theirs.decoded.entities)
    assert 100 < len(theirs.decoded.rows) < 200
    assert theirs.scored.score.tolist() == pair.second.score(DECODED.inputs[theirs.decoded.rows]).score.tolist()
    assert (scorer.drain().decided, theirs.decoded.refused) == (len(theirs.decoded.rows), [])


@given(st.lists(st.floats(0.01, 100.0), min_size=2, max_size=2).map(sorted))
def test_a_larger_share_holds_the_smaller_one(pair: Pair, shares: list[float]) -> None:
    small, large = (pair.scorer(percent=share)._chosen(CUSTOMERS) for share in shares)
    assert not (small & ~large).any()
    assert pair.scorer(percent=100.0)._chosen(CUSTOMERS).all()


def nan_for_some(said: Scored) -> Scored:
    return replace(said, score=np.where(np.arange(len(said.score)) % 2, np.nan, said.score).astype(np.float32))


def test_where_the_canary_scores_nan_the_champion_decides(pair: Pair) -> None:
    scorer = pair.scorer(percent=100.0, second=Broken(pair, nan_for_some))
    ours, theirs = run(pair, scorer)
    assert (ours.decoded.rows % 2 == 1).all()
    assert (theirs.decoded.rows % 2 == 0).all()
    found = scorer.drain()
    assert (found.errors, found.rows, found.decided) == (250, 250, 250)


def explode(_: Scored) -> Scored:
    raise RuntimeError("out of memory")


def no_columns(said: Scored) -> Scored:
    return replace(said, contributions=said.contributions[:, :1])


@pytest.mark.parametrize("does", [explode, no_columns, lambda said: None, lambda said: said.take(np.arange(3))])
def test_a_canary_that_fails_leaves_every_decision_to_the_champion(pair: Pair, does) -> None:
    scorer = pair.scorer(percent=100.0, second=Broken(pair, does))
    (alone,) = run(pair, scorer)
    assert (alone.author.model.version, len(alone.decoded.rows)) == ("1", 500)
    assert (scorer.drain().errors, scorer.drain()) == (500, None)


def test_a_canary_that_is_many_times_slower_is_left_out_until_it_has_rested(pair: Pair) -> None:
    times = iter([0.0, 0.0, 20.0, 99.0, 101.0, 101.0, 102.0])  # started, from 0 to 20 s; then at 99 s, and at 101 s
    scorer = pair.scorer(percent=100.0, clock=lambda: next(times))
    assert [len(run(pair, scorer)) for _ in range(3)] == [2, 1, 2]
    assert scorer.drain().skipped == 500


def test_near_the_threshold_another_calibration_shows_in_every_row(pair: Pair) -> None:
    """The same scores; the candidate holds each for a third rarer. Nobody looks at what is ordinary or far beyond."""
    scores = np.array([0.5, 10.0, 11.0, 12.0, 40.0])  # ordinary; three near the threshold; far beyond it
    calibration = Calibration(0.01, 10.0, [1.0, 9.0, 13.0, 14.0], [1.0, 0.01, 0.01, 0.0001])
    rarer = replaced(calibration, exceedance=[p * 0.75 for p in calibration.exceedance])
    first, second = (
        SimpleNamespace(runtime=SimpleNamespace(manifest=replaced(side.manifest, calibration=with_its)))
        for side, with_its in ((pair.first, calibration), (pair.second, rarer))
    )
    second.is_candidate = True
    counter = ComparisonCounter(first, second)
    said = pair.first.score(DECODED.inputs[: len(scores)])
    rescored = replace(said, score=scores)
    counter.add(rescored, rescored, np.ones(len(scores), dtype=bool))
    shift = dict(zip(TAIL, counter.drain().tail_shift, strict=True))
    assert {centre: count for centre, count in shift.items() if count} == {0.3: 3}


def test_latents_are_compared_in_blocks_over_the_batches_and_a_constant_block_is_no_evidence(pair: Pair) -> None:
    counter = ComparisonCounter(
        Serving(pair.first, ref("1"), None, "a"), SecondModel("s2", pair.second, ref("2"), 0.0, is_candidate=True)
    )
    latent = np.random.default_rng(0).normal(size=(2 * BLOCK, 1)).astype(np.float32)
    outputs = pair.first.score(DECODED.inputs[: 2 * BLOCK])
    for latents in (latent, np.ones_like(latent)):
        first, second = replace(outputs, latent=latents), replace(outputs, latent=-latents)
        for part in (np.arange(100), np.arange(100, 2 * BLOCK)):
            counter.add(first.take(part), second.take(part), np.ones(len(part), dtype=bool))
    assert counter.drain().similarities == [1.0, 1.0]
