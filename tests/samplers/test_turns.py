"""Turns of trajectories are found leaf by leaf; here they are looked for in all pieces at once, as they are defined."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyrox.diagnostics import rank_rhat_and_ess
from pyrox.samplers import DenseMetric, DiagonalMetric, NUTSKernel, RankOneMetric, State
from pyrox.samplers.nuts import End, Origin, Path, Way, _save_end, _sprout, _turn_round
from tests import checks

DEPTH, DIM, TRAJECTORIES = 4, 2, 400
LEAVES = 2**DEPTH
ORIGIN = Origin(jnp.int32(1), jnp.zeros(()), jnp.zeros((), bool), jnp.zeros(2, jnp.uint32))


def begin(nuts, state, momentum, dt):
    """Give the trajectory of one point, about to grow in the direction of ``dt``."""
    trajectory, _ = nuts._start(momentum, state, jnp.abs(dt))
    return _turn_round(trajectory, jnp.asarray(dt < 0))


def found_leaf_by_leaf(positions, momenta, dt):
    """Add the second half of a trajectory; tell after each leaf whether a piece, or the whole, has turned."""
    nuts, zero = NUTSKernel(jnp.array(1.0), DiagonalMetric(jnp.ones(DIM))), jnp.zeros(DIM)
    far, near = (
        End(positions[i], momenta[i], Way(momenta[i], velocity), positions[i] - 0.5 * dt * momenta[i - 1])
        for i, velocity in ((0, zero), (LEAVES - 1, momenta[LEAVES - 1]))
    )
    trajectory = begin(nuts, State(positions[0], jnp.zeros(()), zero), zero, dt)

    def add(sub, leaf):
        position, momentum = leaf
        sub = _save_end(sub)
        path = Path(position, Way(momentum, momentum), sub.end.way.velocity, jnp.zeros(()), zero)
        sub = nuts._add_leaf(sub, path, dt, jnp.int32(LEAVES), ORIGIN)
        return sub._replace(whole_turned=jnp.zeros((), bool)), (sub.turned, sub.whole_turned)

    start = _sprout(trajectory._replace(near=near, far=far), dt)
    return jax.lax.scan(add, start, (positions[LEAVES:], momenta[LEAVES:]))[1]


def is_turning(positions, momenta, first, last):
    """Tell whether either end of a piece moves against the way from halfway before it to halfway after it."""
    halfway = positions[first] - (0.5 * momenta[first - 1] if first else 0.0)
    way = positions[last] + 0.5 * momenta[last] - halfway
    return momenta[first] @ way <= 0 or momenta[last] @ way <= 0


def defined(positions, momenta):
    """Look at all pieces of 2, 4, 8, ... leaves, where a leaf completes them or the test of one of their halves.

    Returns whether pieces of the second half have turned, and the whole.
    """
    turned = np.zeros((2, 2 * LEAVES), bool)
    for size in 2 ** np.arange(1, DEPTH + 2):
        for first in range(0, 2 * LEAVES, size):
            middle, last = first + size // 2, first + size - 1
            of = turned[int(size == 2 * LEAVES)]
            of[last] |= is_turning(positions, momenta, first, last)
            if size > 2:
                # Each half together with the nearest leaf of the other.
                of[middle] |= is_turning(positions, momenta, first, middle)
                of[last] |= is_turning(positions, momenta, middle - 1, last)
    return turned[:, LEAVES:]


@pytest.mark.parametrize("dt", [1.0, -1.0])
@pytest.mark.parametrize("turning", [0.2, 0.3, 0.8])
def test_turns_are_found_where_they_are_defined(turning, dt):
    rng = np.random.default_rng(0)
    # Momenta that go on roughly as they did, and turn sooner or later; positions far from zero that follow them.
    changes = rng.normal(scale=turning, size=(TRAJECTORIES, 2 * LEAVES, DIM))
    momenta = rng.normal(size=(TRAJECTORIES, 1, DIM)) + np.cumsum(changes, axis=1)
    ways = np.cumsum(momenta * np.array([1.0, 2.5]) + rng.normal(scale=0.1, size=momenta.shape), axis=1)
    expected = np.array([defined(q, p) for q, p in zip(ways, momenta, strict=True)])
    pieces, whole = jax.jit(jax.vmap(found_leaf_by_leaf, in_axes=(0, 0, None)))(1e6 + dt * ways, momenta, dt)
    np.testing.assert_array_equal(pieces, expected[:, 0])
    # Where a piece has turned, nobody asks about the whole.
    np.testing.assert_array_equal(whole & ~pieces, expected[:, 1] & ~expected[:, 0])
    assert 0.01 < expected[:, 0].mean() < 0.9
    assert (expected[:, 1] & ~expected[:, 0])[:, [0, -1]].any(axis=0).all()


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
    q, p = jnp.array([2.5, 3.2]), jnp.array([0.3, -0.4])
    sub = _sprout(begin(nuts, State(q, *value_and_grad(q)), p, dt), dt)
    ends = [sub.end]
    for _ in range(7):
        sub = nuts._grow(sub, dt, jnp.int32(8), ORIGIN, value_and_grad)
        ends.append(sub.end)
    velocities = jnp.stack([metric.velocity(end.momentum) for end in ends])
    (trajectory, _), (first, before) = (sub.checkpoints.halfway[level] for level in (0, 1))
    last = sub.end.position + 0.5 * dt * sub.end.way.velocity
    close = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(last - trajectory, dt * velocities.sum(axis=0), **close)
    np.testing.assert_allclose(last - first, dt * velocities[1:].sum(axis=0), **close)
    # The trajectory had one point, which was both its ends.
    np.testing.assert_allclose(before, trajectory, **close)
    np.testing.assert_allclose(ends[4].halfway - ends[2].halfway, dt * velocities[2:4].sum(axis=0), **close)


@pytest.mark.parametrize("dt", [0.4, -0.4])
@pytest.mark.parametrize("stride", [2, 4])
def test_strides_lead_along_the_same_trajectory(stride, dt):
    metric = RankOneMetric(jnp.array([1.0, 2.5]), jnp.array([0.6, 0.8 * 2.5**0.5]), jnp.array(0.3))
    value_and_grad = jax.value_and_grad(lambda q: -jnp.sum(jnp.cosh(q - 3.0)))
    nuts, q = NUTSKernel(jnp.array(0.4), metric), jnp.array([2.5, 3.2])
    start = _sprout(begin(nuts, State(q, *value_and_grad(q)), jnp.array([0.3, -0.4]), dt), dt)

    def ends(stride, number):
        sub, ends = start, []
        for _ in range(number):
            origin = ORIGIN._replace(stride=jnp.int32(stride))
            sub = nuts._grow(sub, dt, jnp.int32(8), origin, value_and_grad)
            ends.append(sub.end)
        return ends

    for fast, slow in zip(ends(stride, 8 // stride), ends(1, 8)[stride - 1 :: stride], strict=True):
        jax.tree.map(np.testing.assert_array_equal, fast, slow)


def drawn(step_size, depth, count=200, **choices):
    """Give the step counts and depths of some transitions in many dimensions."""
    value_and_grad = jax.value_and_grad(lambda q: -0.5 * jnp.sum(q**2))
    nuts = NUTSKernel(jnp.array(step_size), DiagonalMetric(jnp.ones(30)), **choices)

    @jax.jit
    @jax.vmap
    def step(key):
        q = jax.random.normal(jax.random.fold_in(key, 1), (30,))  # not of the momentum's random numbers
        _, info = nuts.step(key, State(q, *value_and_grad(q)), value_and_grad, jnp.int32(depth))
        return info.n_steps, info.tree_depth, info.reached_max_treedepth

    return step(jax.random.split(jax.random.key(0), count))


@pytest.mark.parametrize(
    ("step_size", "strides"), [(0.9, {1}), (0.8, {1, 2}), (0.5, {1}), (0.4, {3, 4}), (0.1, {3, 4})]
)
def test_points_are_further_apart_where_steps_are_short(step_size, strides):
    steps, depths, _ = drawn(step_size, 10, strides=True)
    # Trajectories of this posterior are whole: one, three, seven or more points.
    found = [{s for s in (1, 2, 3, 4) if n / s + 1 in (2, 4, 8, 16, 32, 64)} & strides for n in np.asarray(steps)]
    assert all(len(one) == 1 for one in found)
    assert set.union(*found) == strides
    assert np.all(steps < 2**depths)


def test_careful_transitions_have_a_point_after_every_leapfrog():
    with_strides = drawn(0.3, 10, strides=True, careful=jnp.array(0.1))
    for found, expected in zip(with_strides, drawn(0.3, 10, careful=jnp.array(0.1)), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_strides_do_not_reach_beyond_the_greatest_depth(depth):
    steps, depths, reached = drawn(0.01, depth, strides=True)
    assert np.all(depths == depth)
    assert np.all(reached)
    # Several leapfrogs a point as soon as the depth allows for more than one such point.
    assert set(np.asarray(steps)) == {1: {1}, 2: {3}, 3: {7}, 4: {9, 12}}[depth]


def test_nine_in_ten_of_a_known_length_are_one_trajectory_of_a_part_of_it():
    found = drawn(0.4, 10, 4000, trajectory_length=jnp.array(16.0), mixed=True)
    steps, depths, reached = (np.asarray(x) for x in found)
    turning = steps < 20
    checks.assert_mean(turning, np.array(0.1))
    assert steps[turning].max() <= 15
    # From half the length on, which is twenty steps.
    checks.assert_counts(steps[~turning], np.arange(21, 41), np.full(20, 1 / 20))
    np.testing.assert_array_equal(depths[~turning], np.floor(np.log2(steps[~turning])) + 1)
    assert not reached.any()


def test_a_length_beyond_the_greatest_depth_is_cut_off():
    steps, depths, reached = (np.asarray(x) for x in drawn(0.4, 4, 400, trajectory_length=jnp.array(16.0), mixed=True))
    cut = steps == 15
    assert cut.mean() > 0.8
    np.testing.assert_array_equal(depths[cut], 4)
    assert reached[cut].mean() > 0.8


def test_careful_transitions_always_look_for_turns():
    known = drawn(0.4, 10, careful=jnp.array(1.0), trajectory_length=jnp.array(16.0), mixed=True)
    for found, expected in zip(known, drawn(0.4, 10, careful=jnp.array(1.0)), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("step_size", [0.1912, 0.25, 0.3535])
def test_no_narrow_direction_is_mirrored_for_ever(step_size):
    # Four leapfrogs make half a turn of the narrow direction, three do, or four make a whole one.
    scales = jnp.array([0.25, 1.0])
    value_and_grad = jax.value_and_grad(lambda q: -0.5 * jnp.sum((q / scales) ** 2))
    nuts = NUTSKernel(jnp.array(step_size), DiagonalMetric(jnp.ones(2)), strides=True)

    @jax.jit
    @jax.vmap
    def chain(key):
        def step(state, key):
            state, _ = nuts.step(key, state, value_and_grad, jnp.int32(10))
            return state, state.position

        q = scales * jax.random.normal(key, (2,))
        return jax.lax.scan(step, State(q, *value_and_grad(q)), jax.random.split(key, 1000))[1]

    draws = np.asarray(chain(jax.random.split(jax.random.key(0), 4)))
    rhat, ess = rank_rhat_and_ess(draws**2)
    # One stride for all transitions gives an effective sample of the size of the number of chains.
    assert np.all(ess > 400)
    assert np.all(rhat < 1.02)


def test_the_energy_of_the_start_is_that_of_its_momentum():
    metric = RankOneMetric(jnp.array([1.0, 2.5]), jnp.array([0.6, 0.8 * 2.5**0.5]), jnp.array(0.3))
    p, g = jnp.array([0.3, -0.4]), jnp.array([2.0, -5.0])
    nuts = NUTSKernel(jnp.array(0.9), metric)
    _, energy = nuts._start(p, State(p, jnp.zeros(()), g), nuts.step_size)
    np.testing.assert_allclose(energy, 0.5 * p @ metric.velocity(p), rtol=1e-14)
