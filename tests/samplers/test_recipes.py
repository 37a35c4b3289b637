"""Every kernel, metric and way to learn it: natively compiled, right, and tuned to the target."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from pyrox.samplers.chain import Phase
from pyrox.samplers.compile import ChainProgram
from pyrox.samplers.kernel import Info, init
from pyrox.samplers.metrics import DenseMetric, DiagonalMetric, cholesky, invert_lower
from pyrox.samplers.recipe import Recipe

COLUMN = {name: i for i, name in enumerate(Info._fields)}
DIM = 4
ROOT = np.array([[0.05, 0, 0, 0], [0.8, 0.3, 0, 0], [-2.0, 4.0, 3.0, 0], [0.0, 5.0, -9.0, 20.0]])
COVARIANCE = ROOT @ ROOT.T
PRECISION = jnp.array(np.linalg.inv(COVARIANCE))
# Chance that this module raises one false alarm.
LEVEL = 1e-4


def correlated(position, data):
    return -0.5 * (position - data) @ (PRECISION @ (position - data))


def relativistic(inverse_mass, momentum):
    return jnp.sum(jnp.sqrt(1 + inverse_mass * momentum**2))


RECIPES = {
    "fisher": Recipe(),
    "welford": Recipe(adaptation="welford"),
    "dense": Recipe(adaptation="welford", dense=True),
    "hmc": Recipe(algorithm="hmc", trajectory_length=1.5),
    "dense hmc": Recipe(algorithm="hmc", adaptation="welford", dense=True, trajectory_length=1.5),
    "fixed": Recipe(adaptation=None, adapt_step_size=False, step_size=0.03),
}


def run(recipe, num_warmup=1000, num_draws=1000, seed=1):
    program = ChainProgram(correlated, DIM, jnp.zeros(DIM), recipe=recipe)
    assert program.native, program.obstacles
    chain = program.start(np.array([0, seed], np.uint32), np.ones(DIM), num_warmup, 0.8)
    chain, _, _ = program.advance(chain, jnp.zeros(DIM), num_warmup)
    chain, draws, info = program.advance(chain, jnp.zeros(DIM), num_draws)
    return chain, draws, {name: info[:, i] for name, i in COLUMN.items()}


# A fixed trajectory with a diagonal metric mixes too slowly here for batches of 50 draws to be independent: that HMC is
# right, its invariance shows below.
@pytest.mark.parametrize("name", [name for name in RECIPES if name not in ("fixed", "hmc")])
def test_draws_have_the_moments_of_the_target(name):
    _, draws, info = run(RECIPES[name])
    z = np.linalg.solve(ROOT, draws.T).T  # standard normal if the draws are right
    batches = z[:1000].reshape(20, 50, DIM).mean(1)
    t = batches.mean(0) / (batches.std(0, ddof=1) / np.sqrt(20))
    assert np.abs(t).max() < stats.t.isf(LEVEL / (2 * DIM * len(RECIPES)), 19)
    assert np.all(info["n_steps"] >= 1)
    assert not info["diverging"].any()


@pytest.mark.parametrize("name", ["welford", "dense", "hmc", "dense hmc"])
def test_the_step_size_meets_its_target(name):
    _, _, info = run(RECIPES[name])
    # A fixed trajectory loses its acceptance all at once where the integrator becomes unstable, and settles below that.
    assert 0.65 < info["acceptance_rate"].mean() < (0.99 if "hmc" in name else 0.95)


def test_a_dense_metric_learns_the_covariance():
    chain, _, dense = run(RECIPES["dense"])
    _, _, diagonal = run(RECIPES["fisher"])
    learnt = np.asarray(chain.kernel.metric.inverse_mass)
    scales = np.sqrt(np.diag(COVARIANCE))
    np.testing.assert_allclose(learnt / np.outer(scales, scales), COVARIANCE / np.outer(scales, scales), atol=0.3)
    root = np.asarray(chain.kernel.metric.mass_sqrt)
    np.testing.assert_allclose(root @ root.T @ learnt, np.eye(DIM), atol=1e-6)
    assert dense["n_steps"].mean() < 0.6 * diagonal["n_steps"].mean(), "that saves gradients"


def test_what_is_fixed_stays():
    chain, _, info = run(RECIPES["fixed"])
    assert np.all(info["step_size"] == 0.03)
    np.testing.assert_array_equal(chain.kernel.metric.inverse_mass, np.ones(DIM))


def test_a_trajectory_lasts_as_long_as_asked_for():
    chain, _, info = run(RECIPES["hmc"])
    assert np.all(info["n_steps"] == np.clip(np.ceil(1.5 / float(chain.kernel.step_size)), 1, 1023))


def test_a_kinetic_energy_of_ones_own():
    recipe = Recipe(adaptation="welford", kinetic_fn=relativistic)
    program = ChainProgram(lambda q, d: -0.5 * jnp.sum(q**2), DIM, (), recipe=recipe)
    chain = program.start(np.array([0, 1], np.uint32), np.ones(DIM), 200, 0.8)
    chain, draws, _ = program.advance(chain, (), 1000)
    assert chain.phase == Phase.TRANSITION
    assert np.all(np.isfinite(draws))


def test_short_warmups_are_no_trouble():
    for recipe in RECIPES.values():
        for num_warmup in (0, 1, 7, 60):
            _, draws, _ = run(recipe, num_warmup=num_warmup, num_draws=20)
            assert np.all(np.isfinite(draws))


@pytest.mark.parametrize("dim", [1, 2, 5, 30])
def test_cholesky_and_inverse_by_loops(dim):
    a = np.random.default_rng(dim).normal(size=(dim, dim))
    matrix = jnp.array(a @ a.T + np.eye(dim))
    lower = cholesky(matrix)
    np.testing.assert_allclose(lower, np.linalg.cholesky(matrix), atol=1e-12)
    np.testing.assert_allclose(invert_lower(lower) @ lower, np.eye(dim), atol=1e-10)


@pytest.mark.parametrize("metric", [DiagonalMetric, DenseMetric])
def test_momenta_have_the_mass_as_covariance(metric):
    inverse = jnp.array([0.25, 4.0]) if metric is DiagonalMetric else jnp.array([[2.0, 0.9], [0.9, 0.5]])
    m = metric.unit(jnp.zeros(2)).with_inverse_mass(inverse)
    p = jax.vmap(m.sample_momentum)(jax.random.split(jax.random.key(0), 40_000))
    mass = np.linalg.inv(np.diag(inverse) if metric is DiagonalMetric else inverse)
    # The error of a covariance of n draws is of order mass / sqrt(n): five of those.
    np.testing.assert_allclose(np.cov(p.T), mass, atol=0.025 * np.abs(mass).max() * 2)
    # Its mean is dim / 2, with standard error sqrt(dim / 2 / n).
    assert abs(jax.vmap(m.kinetic_energy)(p).mean() - 1.0) < 0.03


def test_hmc_leaves_its_target_alone():
    kernel = Recipe(algorithm="hmc", trajectory_length=1.2).kernel(jnp.ones(DIM)).replace(step_size=jnp.array(0.4))
    value_and_grad = jax.value_and_grad(lambda q: -0.5 * jnp.sum(q**2))

    def chain(key, start):
        def step(state, key):
            return kernel.step(key, state, value_and_grad, jnp.int32(10))[0], None

        return jax.lax.scan(step, init(start), jax.random.split(key, 5))[0].position

    starts = jax.random.normal(jax.random.key(5), (4096, DIM))
    ends = np.asarray(jax.jit(jax.vmap(chain))(jax.random.split(jax.random.key(6), 4096), starts))
    assert np.mean(ends != starts) > 0.9
    for x in ends.T:
        assert stats.kstest(x, "norm").pvalue > LEVEL / DIM
    assert stats.kstest((ends**2).sum(1), "chi2", args=(DIM,)).pvalue > LEVEL
