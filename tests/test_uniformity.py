"""The test of uniform ranks is exact, its band is the same test, and it sees what it should."""

from itertools import product

import numpy as np
import pytest

from pyrox.errors import ShapeError
from pyrox.uniformity import LEAST_PVALUE, rank_band, rank_pvalues
from tests.checks import assert_mean


@pytest.mark.parametrize(("simulations", "draws"), [(4, 2), (5, 3), (7, 1), (2, 9)])
def test_pvalues_are_exact(simulations, draws):
    """Of all outcomes, that are equally probable, the share with a p-value up to p is p."""
    every = np.array(list(product(range(draws + 1), repeat=simulations))).T
    pvalues = rank_pvalues(every, draws)
    for p in np.unique(pvalues):
        assert np.mean(pvalues <= p + 1e-9) == pytest.approx(p, abs=1e-9)


@pytest.mark.parametrize(("simulations", "draws"), [(30, 9), (100, 63), (500, 19)])
def test_the_band_is_the_test(simulations, draws):
    rng = np.random.default_rng(0)
    ranks = rng.integers(0, draws + 1, (simulations, 1000))
    counts = np.stack([np.cumsum(np.bincount(r, minlength=draws + 1))[:-1] for r in ranks.T])
    for level in (0.05, 0.3):
        low, high = rank_band(simulations, draws, level)
        outside = np.any((counts < low) | (counts > high), axis=1)
        np.testing.assert_array_equal(outside, rank_pvalues(ranks, draws) <= level)
        assert_mean(outside.astype(float), np.mean(rank_pvalues(ranks, draws) <= level))
        assert outside.any()


def test_false_alarms_are_as_many_as_stated():
    ranks = np.random.default_rng(1).integers(0, 51, (120, 4000))
    pvalues = rank_pvalues(ranks, 50)
    for level in (0.01, 0.1, 0.5):
        # Exact, but for the steps of a discrete distribution.
        reached = pvalues[pvalues <= level].max()
        assert level - reached < 0.2 * level
        assert_mean((pvalues <= level).astype(float), reached)


@pytest.mark.parametrize(("shift", "scale"), [(0.5, 1.0), (0.0, 0.6), (0.0, 1.7)])
def test_wrong_posteriors_are_seen(shift, scale):
    rng = np.random.default_rng(2)
    truths, draws = rng.normal(size=(200, 300)), shift + scale * rng.normal(size=(50, 200, 300))
    pvalues = rank_pvalues((draws < truths).sum(axis=0), 50)
    assert np.mean(pvalues < 0.01) > 0.9


def test_shapes_and_extremes():
    assert rank_pvalues(np.zeros((50, 2, 3), int), 9).shape == (2, 3)
    assert rank_pvalues(np.zeros(50, int), 9) == LEAST_PVALUE
    assert rank_pvalues(np.full(50, 9), 9) == LEAST_PVALUE
    with pytest.raises(ShapeError, match="rank_pvalues"):
        rank_pvalues(np.zeros((0, 3), int), 9)
    low, high = rank_band(10, 3, 1e-300)
    np.testing.assert_array_equal((low, high), (np.zeros(3), np.full(3, 10)))
