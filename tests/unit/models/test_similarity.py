"""Similarity of representations: the published formula, for one pair or for many blocks at once."""

import numpy as np
import pytest

from models.similarity import linear_cka

BLOCKS, ROWS = 5, 64


def blocks(seed: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(BLOCKS, ROWS, width))


def test_cka_is_the_published_formula_in_kernels():
    """Kornblith et al. 2019, equation 1 with linear kernels: HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))."""
    x, y = blocks(1, 6)[0], blocks(2, 3)[0] + blocks(1, 6)[0][:, :3]
    centring = np.eye(ROWS) - 1 / ROWS
    k, m = (centring @ z @ z.T @ centring for z in (x, y))
    assert linear_cka(x, y) == pytest.approx(np.sum(k * m) / np.sqrt(np.sum(k * k) * np.sum(m * m)))


def test_blocks_are_compared_each_for_itself():
    x, y = blocks(1, 4), blocks(2, 3)
    assert linear_cka(x, y) == pytest.approx([float(linear_cka(a, b)) for a, b in zip(x, y, strict=True)])


def test_rotation_scale_and_place_change_nothing_and_unrelated_blocks_are_not_alike():
    x = blocks(1, 3)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    assert linear_cka(x, 5 * x @ rotation + 1) == pytest.approx([1.0] * BLOCKS)
    assert linear_cka(x, blocks(2, 3)).max() < 0.2


def test_a_constant_representation_has_no_similarity():
    assert np.isnan(linear_cka(blocks(1, 3)[0], np.ones((ROWS, 3))))
