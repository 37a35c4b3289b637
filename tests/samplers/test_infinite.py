"""An infinite density is never entered."""

import jax.numpy as jnp
import numpy as np
import pytest

from pyrox.samplers.compile import ChainProgram
from pyrox.samplers.recipe import Recipe


@pytest.mark.parametrize("algorithm", ["nuts", "hmc"])
def test_a_hole_of_infinite_density_is_a_divergence(algorithm):
    def holed(position, data):
        value = -0.5 * jnp.sum(position**2)
        return jnp.where(position[0] > 1.0, jnp.inf, value)

    program = ChainProgram(holed, 2, (), recipe=Recipe(algorithm=algorithm, trajectory_length=2.0))
    chain = program.start(np.array([0, 1], np.uint32), np.zeros(2), 200, 0.8)
    _, draws, stats = program.advance(chain, (), 800)
    assert np.all(draws[:, 0] <= 1.0)
    assert np.all(np.isfinite(stats[:, 0]))
    assert np.unique(draws[:, 0]).size > 100
