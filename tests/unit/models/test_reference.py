import numpy as np
import pytest

from models.inputs import matrix
from models.manifest import signal_layout
from models.reference import BINS, inner_edges


def shares(values: np.ndarray) -> np.ndarray:
    edges = inner_edges(values)
    return np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) / len(values)


def test_a_continuous_signal_has_bins_of_equal_count():
    got = shares(np.random.default_rng(0).normal(size=20_000).astype(np.float32))
    assert len(got) == BINS
    np.testing.assert_allclose(got, 1 / BINS, atol=1e-3)


def test_a_flag_has_two_bins():
    np.testing.assert_allclose(shares(np.repeat([0.0, 1.0], [700, 300])), [0.7, 0.3])


def test_a_heavy_zero_has_its_own_bin():
    values = np.concatenate([np.zeros(970), np.linspace(0.1, 1, 30)])
    np.testing.assert_allclose(shares(values), [0.97, 0.03])


def test_a_constant_has_one_bin():
    assert inner_edges(np.full(100, 3.0)).size == 0


@pytest.mark.parametrize("seed", range(5))
def test_no_bin_but_the_last_is_empty_or_tiny_for_counts(seed):
    values = np.random.default_rng(seed).poisson(4, 10_000).astype(np.float32)
    assert (shares(values)[:-1] > 0.01).all()


def test_the_manifest_has_every_signal_in_order_with_shares_that_sum_to_one(trained):
    manifest = trained.manifest
    assert manifest.signal_names == signal_layout(manifest.inputs, manifest.latent_size)
    for signal in manifest.signals:
        assert sum(signal.shares) == pytest.approx(1)
        assert len(signal.shares) == len(signal.edges) + 1
        assert signal.edges == sorted(signal.edges)
        assert signal.std > 0


def test_missing_values_do_not_shift_the_reference(trained, week):
    from models.reference import signals

    raw = matrix(week, trained.manifest.inputs)
    raw[::2, 4] = np.nan
    got = {s.name: s for s in signals(trained.manifest.inputs, raw, trained.runtime.score(raw))}
    there = trained.runtime.score(raw[1::2]).standardised[:, 4]
    name = f"input:{trained.manifest.inputs[4].name}"
    assert got[name].mean == pytest.approx(there.mean(), abs=1e-3)
    assert got[name].std == pytest.approx(there.std(), rel=1e-3)


def test_the_latent_reference_has_the_shape_of_the_latent(trained, week):
    scored = trained.runtime.score(matrix(week, trained.manifest.inputs))
    np.testing.assert_allclose(trained.manifest.latent_mean, scored.latent.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(trained.manifest.latent_covariance, np.cov(scored.latent.T, ddof=0), atol=1e-2)


def test_golden_rows_hold_a_row_with_missing_values_and_one_far_out(trained):
    golden = trained.manifest.golden
    assert any(None in row.inputs for row in golden)
    assert max(row.score for row in golden) > 1000 * np.median([row.score for row in golden])
