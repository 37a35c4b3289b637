"""NUTS leaves its target alone: chains that begin in it stay in it, whatever step size and metric.

That needs no convergence, and sees most mistakes of detailed balance: weights, U-turn tests, directions, divergences.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from pyrox import dist
from pyrox.samplers import kernel
from pyrox.samplers.metrics import DiagonalMetric
from pyrox.samplers.nuts import NUTSKernel

# Chance that this module raises one false alarm, whatever its number of comparisons.
LEVEL = 1e-4
CHAINS, STEPS = 4096, 5

CHOLESKY = jnp.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.3, 0.2, 0.5]])
TARGETS = {
    "correlated normal": dist.MultivariateNormal(jnp.array([1.0, 0.0, -2.0]), scale_tril=CHOLESKY),
    "heavy tails": dist.StudentT(5.0, 0.0, jnp.ones(3)).to_event(1),
    "a wall at zero": dist.Gamma(2.0, jnp.ones(3)).to_event(1),
}
SETTINGS = {"small steps": (0.1, 3), "good steps": (0.5, 6), "large steps": (0.9, 5), "a single leapfrog": (0.7, 1)}


def log_density(target, position):
    return target.log_prob(position)


@jax.jit
def end_and_steps(target, key, start, step_size, depth):
    """Run one chain from a start."""
    value_and_grad = jax.value_and_grad(lambda q: log_density(target, q))
    nuts = NUTSKernel(step_size, DiagonalMetric(jnp.array([1.0, 0.5, 2.0])))

    def step(state, key):
        state, info = nuts.step(key, state, value_and_grad, depth)
        return state, info

    # The first step evaluates the start, the others move.
    state, infos = jax.lax.scan(step, kernel.init(start), jax.random.split(key, STEPS + 1))
    return state.position, infos.n_steps[1:]


chains_of = jax.jit(jax.vmap(end_and_steps, in_axes=(None, 0, 0, None, None)))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", TARGETS)
def test_the_target_is_left_alone(name, setting):
    target, (step_size, depth) = TARGETS[name], SETTINGS[setting]
    key_start, key_run = jax.random.split(jax.random.key(11))
    starts = target.sample(key_start, (CHAINS,))
    ends, steps = chains_of(target, jax.random.split(key_run, CHAINS), starts, jnp.array(step_size), jnp.int32(depth))
    assert np.mean(ends != starts) > 0.5, "chains move"
    assert steps.max() <= 2**depth - 1
    fresh = np.asarray(target.sample(jax.random.key(12), (CHAINS,)))
    comparisons = len(TARGETS) * len(SETTINGS) * 6
    for combine in (lambda x: x, lambda x: x * np.roll(x, 1, axis=1)):
        for a, b in zip(combine(np.asarray(ends)).T, combine(fresh).T, strict=True):
            assert stats.ks_2samp(a, b).pvalue > LEVEL / comparisons


def test_the_integrator_is_reversible_and_keeps_energy():
    target = TARGETS["correlated normal"]
    value_and_grad = jax.value_and_grad(lambda q: log_density(target, q))
    errors = []
    for step_size in (0.1, 0.05):
        nuts = NUTSKernel(jnp.array(step_size), DiagonalMetric(jnp.ones(3)))
        state, _ = nuts.step(jax.random.key(0), kernel.init(jnp.array([1.0, 1.0, 1.0])), value_and_grad, jnp.int32(1))
        start = nuts._start(jax.random.normal(jax.random.key(1), (3,)), state).left
        steps = round(1 / step_size)

        def travel(point, dt, steps=steps, nuts=nuts):
            for _ in range(steps):
                point = nuts._leapfrog(point, dt, value_and_grad)
            return point

        def energy(point, nuts=nuts):
            speed = nuts.metric.velocity(point.momentum)
            return float(nuts.metric.kinetic_energy(point.momentum, speed) - point.log_density)

        there = travel(start, nuts.step_size)
        errors.append(abs(energy(there) - energy(start)))
        for found, expected in zip(travel(there, -nuts.step_size), start, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-10)
    # The error is of second order: half the step, a quarter of it.
    assert 3 < errors[0] / errors[1] < 5
