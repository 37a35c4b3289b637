"""Turns of trajectories are found leaf by leaf; here they are looked for in all pieces at once, as they are defined."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyrox.samplers import kernel
from pyrox.samplers.metrics import DiagonalMetric
from pyrox.samplers.nuts import NUTSKernel, Point, _save, _sprout

DEPTH, DIM, TRAJECTORIES = 4, 2, 400
LEAVES = 2**DEPTH


def found_leaf_by_leaf(momenta, inverse_mass):
    """Add leaves with these momenta; tell after each whether a piece that it completes has turned."""
    nuts = NUTSKernel(jnp.array(1.0), DiagonalMetric(inverse_mass))
    zero, seed = jnp.zeros(DIM), jnp.zeros(2, jnp.uint32)
    sprout = _sprout(nuts._start(zero, kernel.init(zero)), jnp.ones((), bool))

    def add(sub, p):
        sub = sub._replace(checkpoints=_save(sub, 1, (sub.edge.momentum, sub.path, sub.product)))
        sub = nuts._add_leaf(sub, Point(zero, p, jnp.zeros(()), zero), jnp.zeros(()), seed)
        return sub, sub.turned

    return jax.lax.scan(add, sprout, momenta)[1]


def is_turning(momenta, velocities, first, last):
    """Tell whether either end of a piece moves against the way between them: the ends count half."""
    way = np.sum(velocities[first : last + 1], axis=0) - 0.5 * (velocities[first] + velocities[last])
    return momenta[first] @ way <= 0 or momenta[last] @ way <= 0


def defined(momenta, velocities):
    """Look at all pieces of 2, 4, 8, ... leaves, where a leaf completes them or the test of one of their halves."""
    turned = np.zeros(LEAVES, bool)
    for size in 2 ** np.arange(1, DEPTH + 1):
        for first in range(0, LEAVES, size):
            middle, last = first + size // 2, first + size - 1
            turned[last] |= is_turning(momenta, velocities, first, last)
            if size > 2:
                # Each half together with the nearest leaf of the other.
                turned[middle] |= is_turning(momenta, velocities, first, middle)
                turned[last] |= is_turning(momenta, velocities, middle - 1, last)
    return turned


@pytest.mark.parametrize("turning", [0.15, 0.3, 0.8])
def test_turns_are_found_where_they_are_defined(turning):
    rng = np.random.default_rng(0)
    # Momenta that go on roughly as they did, and turn sooner or later.
    changes = rng.normal(scale=turning, size=(TRAJECTORIES, LEAVES, DIM))
    momenta = rng.normal(size=(TRAJECTORIES, 1, DIM)) + np.cumsum(changes, axis=1)
    inverse_mass = np.array([1.0, 2.5])
    found = jax.jit(jax.vmap(found_leaf_by_leaf, in_axes=(0, None)))(momenta, inverse_mass)
    expected = np.array([defined(p, inverse_mass * p) for p in momenta])
    np.testing.assert_array_equal(found, expected)
    assert 0.01 < expected.mean() < 0.9
