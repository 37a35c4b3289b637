"""The rule that ends an optimization makes as many errors as it says."""

import numpy as np

from pyrox.vi.stopping import Plateau
from tests.checks import assert_mean

LENGTH, BLOCK = 600, 20


def stops(losses, tolerance):
    """Test twice, as two agreeing tests are needed."""
    plateau = Plateau(BLOCK, tolerance)
    plateau.test(losses)
    return plateau.test(losses)


def test_noise_alone_goes_on_as_often_as_the_level_says():
    losses = np.random.default_rng(0).normal(size=(4000, LENGTH))
    assert_mean(np.array([stops(x, 0.0) for x in losses], float), 0.95)


def test_a_descent_goes_on_and_one_that_is_too_small_ends():
    noise = np.random.default_rng(1).normal(size=(200, LENGTH))
    # From third to third the loss falls by 0.5, seven standard errors of the difference.
    descents = noise - 1.5 * np.arange(LENGTH) / LENGTH
    assert not any(stops(x, 1e-3) for x in descents)
    assert all(stops(x, 2.0) for x in descents)


def test_losses_that_are_not_finite_count_for_nothing():
    losses = np.where(np.arange(LENGTH) % 7 == 0, np.nan, np.linspace(1.0, 0.0, LENGTH))
    assert not stops(losses, 1e-3)
    assert not Plateau(BLOCK).test(np.full(LENGTH, np.nan))


def test_a_restart_forgets_what_agreed():
    plateau = Plateau(BLOCK)
    flat = np.zeros(LENGTH)
    assert not plateau.test(flat)
    plateau.restart()
    assert not plateau.test(flat)
    assert plateau.test(flat)
