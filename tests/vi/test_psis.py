"""Pareto-smoothed weights against ArviZ's."""

import arviz
import numpy as np
import pytest

from pyrox.vi import psis


def of_arviz(log_weights):
    """Give ArviZ's weights and shape; its newer generation takes negative log-weights."""
    if hasattr(arviz, "psislw"):
        found, khat = arviz.psislw(log_weights)
    else:
        from arviz_stats.base import array_stats

        found, khat = array_stats.psislw(-log_weights)
    return np.asarray(found), float(khat)


@pytest.mark.parametrize("count", [200, 500, 2000])
@pytest.mark.parametrize("scale", [0.3, 0.7, 1.5])
def test_weights_and_shape_are_those_of_arviz(scale, count):
    log_weights = scale * np.random.default_rng(count).standard_normal(count)
    found, (expected, khat) = psis.smooth(log_weights), of_arviz(log_weights)
    # The two differ by a draw or so in what they call the tail.
    assert found.khat == pytest.approx(khat, abs=0.015)
    np.testing.assert_allclose(found.log_weights, expected, atol=0.05)
