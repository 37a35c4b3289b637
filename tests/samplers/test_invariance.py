"""Kernels leave their target alone: chains that begin in it stay in it, whatever step size and metric.

That needs no convergence, and sees most mistakes of detailed balance: weights, U-turn tests, directions, divergences.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from pyrox import dist
from pyrox.samplers import State, kernel
from pyrox.samplers.compile import ChainProgram
from pyrox.samplers.hmc import HMCKernel
from pyrox.samplers.metrics import CustomMetric, DenseMetric, DiagonalMetric, LowRankMetric, RankOneMetric
from pyrox.samplers.nuts import NUTSKernel, Origin, _sprout, _turn_round
from pyrox.samplers.recipe import Recipe

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


def assert_same_law(one, other, log_density, tests):
    """Compare two samples: their numbers, products of neighbours, and the log-density, which sees wrong acceptance."""

    def told(x):
        density = np.asarray(jax.vmap(log_density)(x))
        return np.concatenate([x, x * np.roll(x, 1, axis=1), density[:, None]], axis=1).T

    pairs = list(zip(told(np.asarray(one)), told(np.asarray(other)), strict=True))
    for a, b in pairs:
        assert stats.ks_2samp(a, b).pvalue > LEVEL / (tests * len(pairs))


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
    assert_same_law(ends, fresh, target.log_prob, len(TARGETS) * len(SETTINGS))


# Every kernel with every metric, in one target of all three kinds

DIM = 5
INVERSE_MASS = jnp.array([1.0, 0.5, 2.0, 0.7, 1.4])
DIRECTIONS = jnp.linalg.qr(jax.random.normal(jax.random.key(3), (DIM, 2)))[0]
STRETCH = jnp.array([3.0, 0.4])


def own_energy(inverse_mass, momentum):
    """The energy of normal momenta, as a user would write it."""
    return 0.5 * jnp.sum(inverse_mass * momentum**2)


def own_dense_energy(inverse_mass, momentum):
    return 0.5 * momentum @ inverse_mass @ momentum


DENSE = DenseMetric.unit(INVERSE_MASS).with_directions(jnp.sqrt(INVERSE_MASS), DIRECTIONS, STRETCH)
METRICS = {
    "diag": DiagonalMetric(INVERSE_MASS),
    "rank_one": RankOneMetric(INVERSE_MASS, DIRECTIONS[:, 0] * jnp.sqrt(INVERSE_MASS), STRETCH[0]),
    "dense": DENSE,
    "low_rank": LowRankMetric(jnp.sqrt(INVERSE_MASS), DIRECTIONS, STRETCH),
    "custom": CustomMetric(DiagonalMetric(INVERSE_MASS), own_energy),
    "custom dense": CustomMetric(DENSE, own_dense_energy),
}
KERNELS = {
    "nuts": lambda step_size, metric, length: NUTSKernel(step_size, metric),
    "hmc": lambda step_size, metric, length: HMCKernel(step_size, metric, length),
    "careful nuts": lambda step_size, metric, length: NUTSKernel(step_size, metric, careful=jnp.array(0.5)),
    "nuts of one or two a point": lambda step_size, metric, length: NUTSKernel(1.5 * step_size, metric, strides=True),
    "nuts of three or four": lambda step_size, metric, length: NUTSKernel(0.8 * step_size, metric, strides=True),
    "mixed": lambda step_size, metric, length: NUTSKernel(
        step_size, metric, trajectory_length=2 * length, mixed=True
    ),
    "mixed twice": lambda step_size, metric, length: NUTSKernel(
        step_size, metric, trajectory_length=2 * length, repeats=jnp.int32(2), strides=True, mixed=True
    ),
    "careful hmc": lambda step_size, metric, length: HMCKernel(step_size, metric, length, jnp.array(0.5)),
}


def mixed_log_density(position):
    parts = TARGETS.values()
    pieces = position[:3], jnp.full(3, position[3]), jnp.full(3, position[4])
    normal, heavy, wall = (target.log_prob(x) for target, x in zip(parts, pieces, strict=True))
    return normal + heavy / 3 + wall / 3


def sample_mixed(key, count):
    draws = [t.sample(k, (count,)) for t, k in zip(TARGETS.values(), jax.random.split(key, 3), strict=True)]
    return jnp.concatenate([draws[0], draws[1][:, :1], draws[2][:, :1]], axis=1)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_with_every_metric_leaves_it_alone(name, metric):
    value_and_grad = jax.value_and_grad(mixed_log_density)

    @jax.jit
    @jax.vmap
    def run(key, start):
        k = KERNELS[name](jnp.array(0.5), METRICS[metric], jnp.array(1.5))
        states, _ = jax.lax.scan(
            lambda s, key: (k.step(key, s, value_and_grad, jnp.int32(4))[0], None),
            kernel.init(start), jax.random.split(key, STEPS + 1),
        )  # fmt: skip
        return states.position

    key_start, key_run = jax.random.split(jax.random.key(13))
    starts = sample_mixed(key_start, CHAINS)
    ends = run(jax.random.split(key_run, CHAINS), starts)
    assert np.mean(ends != starts) > 0.5, "chains move"
    fresh = sample_mixed(jax.random.key(14), CHAINS)
    assert_same_law(ends, fresh, mixed_log_density, len(KERNELS) * len(METRICS))


class Striding(Recipe):
    """A recipe whose metric is taken to know the posterior's width, though nothing has been learnt."""

    def kernel(self, position):
        return super().kernel(position).replace(strides=True)


class Mixing(Recipe):
    """A recipe that is taken to know how long trajectories are to be."""

    def kernel(self, position):
        return super().kernel(position).replace(
            trajectory_length=2 * np.ones((), position.dtype), repeats=np.int32(2), mixed=True
        )


@pytest.mark.native
@pytest.mark.parametrize(
    ("algorithm", "kind"), [("nuts", Recipe), ("nuts", Striding), ("nuts", Mixing), ("hmc", Recipe)]
)
def test_the_compiled_chain_leaves_it_alone(algorithm, kind):
    """The native kernel of a whole chain: emitted by another compiler than the kernels above."""
    recipe = kind(algorithm, None, adapt_step_size=False, step_size=0.4, trajectory_length=1.3, max_tree_depth=5)
    program = ChainProgram(lambda q, _: mixed_log_density(q), DIM, jnp.zeros(0), recipe=recipe)
    assert program.native
    count = CHAINS // 2
    starts = np.asarray(sample_mixed(jax.random.key(15), count))
    words = np.random.default_rng(0).integers(0, 2**32, (count, 2), dtype=np.uint32)
    chains = (program.start(w, start, 0, 0.8) for w, start in zip(words, starts, strict=True))
    ends = np.stack([program.advance(chain, jnp.zeros(0), STEPS)[1][-1] for chain in chains])
    assert np.mean(ends != starts) > 0.5, "chains move"
    assert_same_law(ends, sample_mixed(jax.random.key(16), CHAINS), mixed_log_density, len(KERNELS))


def test_the_integrator_is_reversible_and_keeps_energy():
    target = TARGETS["correlated normal"]
    value_and_grad = jax.value_and_grad(lambda q: log_density(target, q))
    errors = []
    for step_size in (0.1, 0.05):
        nuts = NUTSKernel(jnp.array(step_size), DiagonalMetric(jnp.ones(3)))
        steps = round(1 / step_size)
        origin = Origin(jnp.int32(1), jnp.zeros(()), jnp.zeros((), bool), jnp.zeros(2, jnp.uint32))

        def travel(position, momentum, *, back, steps=steps, nuts=nuts, origin=origin):
            state = State(position, *value_and_grad(position))
            trajectory, _ = nuts._start(momentum, state, nuts.step_size)
            dt = -nuts.step_size if back else nuts.step_size
            sub = _sprout(_turn_round(trajectory, jnp.asarray(back)), dt)
            for _ in range(steps):
                sub = nuts._grow(sub, dt, jnp.int32(64), origin, value_and_grad)
            return sub.end.position, sub.end.momentum

        def energy(position, momentum, nuts=nuts):
            speed = nuts.metric.velocity(momentum)
            return float(nuts.metric.kinetic_energy(momentum, speed) - value_and_grad(position)[0])

        start = jnp.array([1.0, 1.0, 1.0]), jax.random.normal(jax.random.key(1), (3,))
        there = travel(*start, back=False)
        errors.append(abs(energy(*there) - energy(*start)))
        for found, expected in zip(travel(*there, back=True), start, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-10)
    # The error is of second order: half the step, a quarter of it.
    assert 3 < errors[0] / errors[1] < 5
