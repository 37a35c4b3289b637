"""Turns of trajectories are found leaf by leaf; here they are looked for in all pieces at once, as they are defined."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyrox.samplers import kernel
from pyrox.samplers.metrics import DenseMetric, DiagonalMetric, RankOneMetric
from pyrox.samplers.nuts import Leaf, NUTSKernel, Point, _save

DEPTH, DIM, TRAJECTORIES = 4, 2, 400
LEAVES = 2**DEPTH


def found_leaf_by_leaf(positions, momenta, dt):
    """Add leaves with these positions and momenta; tell after each whether a piece that it completes has turned."""
    nuts = NUTSKernel(jnp.array(1.0), DiagonalMetric(jnp.ones(DIM)))
    zero, seed = jnp.zeros(DIM), jnp.zeros(2, jnp.uint32)
    sprout = nuts._sprout(nuts._start(zero, kernel.init(positions[0])), dt > 0, dt)

    def add(sub, leaf):
        saved, _ = _save(sub, 1, Leaf(sub.halfway, sub.edge.momentum))
        point = Point(*leaf, jnp.zeros(()), zero)
        sub = nuts._add_leaf(sub._replace(checkpoints=saved), point, dt, jnp.zeros(()), seed)
        return sub, sub.turned

    return jax.lax.scan(add, sprout, (positions, momenta))[1]


def is_turning(positions, momenta, first, last):
    """Tell whether either end of a piece moves against the way from halfway before it to halfway after it."""
    halfway = positions[first] - (0.5 * momenta[first - 1] if first else 0.0)
    way = positions[last] + 0.5 * momenta[last] - halfway
    return momenta[first] @ way <= 0 or momenta[last] @ way <= 0


def defined(positions, momenta):
    """Look at all pieces of 2, 4, 8, ... leaves, where a leaf completes them or the test of one of their halves."""
    turned = np.zeros(LEAVES, bool)
    for size in 2 ** np.arange(1, DEPTH + 1):
        for first in range(0, LEAVES, size):
            middle, last = first + size // 2, first + size - 1
            turned[last] |= is_turning(positions, momenta, first, last)
            if size > 2:
                # Each half together with the nearest leaf of the other.
                turned[middle] |= is_turning(positions, momenta, first, middle)
                turned[last] |= is_turning(positions, momenta, middle - 1, last)
    return turned


@pytest.mark.parametrize("dt", [1.0, -1.0])
@pytest.mark.parametrize("turning", [0.15, 0.3, 0.8])
def test_turns_are_found_where_they_are_defined(turning, dt):
    rng = np.random.default_rng(0)
    # Momenta that go on roughly as they did, and turn sooner or later; positions far from zero that follow them.
    changes = rng.normal(scale=turning, size=(TRAJECTORIES, LEAVES, DIM))
    momenta = rng.normal(size=(TRAJECTORIES, 1, DIM)) + np.cumsum(changes, axis=1)
    ways = np.cumsum(momenta * np.array([1.0, 2.5]) + rng.normal(scale=0.1, size=momenta.shape), axis=1)
    expected = np.array([defined(q, p) for q, p in zip(ways, momenta, strict=True)])
    found = jax.jit(jax.vmap(found_leaf_by_leaf, in_axes=(0, 0, None)))(1e6 + dt * ways, momenta, dt)
    np.testing.assert_array_equal(found, expected)
    assert 0.01 < expected.mean() < 0.9


@pytest.mark.parametrize("dt", [0.9, -0.9])
@pytest.mark.parametrize(
    "metric",
    [
        DiagonalMetric(jnp.array([1.0, 2.5])),
        RankOneMetric(jnp.array([1.0, 2.5]), jnp.array([0.6, 0.8 * 2.5**0.5]), jnp.array(0.3)),
        DenseMetric(jnp.array([[1.0, 0.5], [0.5, 2.5]]), jnp.eye(2)),
    ],
)
def test_the_way_of_a_piece_is_the_sum_of_velocities(metric, dt):
    value_and_grad = jax.value_and_grad(lambda q: -jnp.sum(jnp.cosh(q - 3.0)))
    nuts = NUTSKernel(jnp.array(0.9), metric)
    q = jnp.array([2.5, 3.2])
    points = [Point(q, jnp.array([0.3, -0.4]), *value_and_grad(q))]
    for _ in range(7):
        points.append(nuts._leapfrog(points[-1], nuts._way(points[-1], dt), dt, value_and_grad))
    velocities = jnp.stack([metric.velocity(p.momentum) for p in points])
    first, last = nuts._last(points[0], -dt), nuts._last(points[-1], dt)
    np.testing.assert_allclose(last.halfway - first.halfway, dt * velocities.sum(axis=0), rtol=1e-12, atol=1e-12)
    second = Leaf(0.5 * (points[0].position + points[1].position), points[1].momentum)
    np.testing.assert_allclose(second.halfway, nuts._last(points[1], -dt).halfway, rtol=1e-12)
    opposite = nuts._opposite(second, points[0], dt)
    np.testing.assert_allclose(opposite.halfway, nuts._last(points[1], dt).halfway, rtol=1e-12)
