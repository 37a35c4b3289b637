"""Special functions against SciPy, and their derivatives; log-odds in the tails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from pyrox import dist
from pyrox.dist import special as own

X = np.concatenate([10.0 ** np.linspace(-300, 300, 61), np.linspace(1e-3, 40, 401)])


def test_log_gamma_and_its_derivatives():
    np.testing.assert_allclose(own.gammaln(jnp.asarray(X)), special.gammaln(X), rtol=1e-13, atol=2e-14)
    np.testing.assert_allclose(own.digamma(jnp.asarray(X)), special.digamma(X), rtol=1e-13, atol=1e-14)
    slope = jax.vmap(jax.grad(own.gammaln))(jnp.asarray(X))
    np.testing.assert_allclose(slope, special.digamma(X), rtol=1e-13, atol=1e-14)
    x = X[(X > 1e-100) & (X < 1e100)]
    second = jax.vmap(jax.grad(jax.grad(own.gammaln)))(jnp.asarray(x))
    np.testing.assert_allclose(second, special.polygamma(1, x), rtol=1e-9)


@pytest.mark.parametrize("x", [1e-5, 0.3, 7.9, 8.0, 300.0, 1e10])
def test_log_gamma_ratio(x):
    steps = np.array([0, 1, 2, 10, 1000])
    truth = [np.sum(np.log(x + np.arange(s))) for s in steps]
    np.testing.assert_allclose(own.log_gamma_ratio(x, jnp.asarray(steps)), truth, rtol=1e-13, atol=1e-14)
    by_x = jax.vmap(jax.grad(own.log_gamma_ratio), (None, 0))(x, jnp.asarray(steps, float))
    np.testing.assert_allclose(by_x, [np.sum(1 / (x + np.arange(s))) for s in steps], rtol=1e-10, atol=1e-15)
    by_step = jax.vmap(jax.grad(own.log_gamma_ratio, 1), (None, 0))(x, jnp.asarray(steps, float))
    np.testing.assert_allclose(by_step, special.digamma(x + steps), rtol=1e-10, atol=1e-12)


def test_factorials():
    k = np.concatenate([np.arange(40), 10 ** np.arange(2, 15)])
    np.testing.assert_allclose(own.log_factorial(k), special.gammaln(k + 1.0), rtol=1e-13, atol=1e-14)
    n, k = np.array([0, 5, 10, 10, 100, 10**9]), np.array([0, 2, 0, 10, 50, 1])
    truth = [0, np.log(10), 0, 0, np.log(special.binom(100, 50)), np.log(1e9)]
    np.testing.assert_allclose(own.log_binomial(n, k), truth, rtol=1e-13, atol=1e-13)


def test_bernoulli_logits_are_exact_in_both_tails():
    x = jnp.array([-800.0, -40.0, 0.0, 40.0, 800.0])
    np.testing.assert_allclose(dist.BernoulliLogits(x).log_prob(1), -np.logaddexp(0, -np.asarray(x)), rtol=1e-14)
    slope = jax.grad(lambda x: jnp.sum(dist.BernoulliLogits(x).log_prob(1)))(x)
    np.testing.assert_allclose(slope, special.expit(-np.asarray(x)), rtol=1e-12)
    curve = jax.grad(jax.grad(lambda x: dist.BernoulliLogits(x).log_prob(0)))(0.0)
    np.testing.assert_allclose(curve, -0.25)


def test_negative_binomial_approaches_the_poisson():
    k = jnp.arange(10)
    many = dist.NegativeBinomial2(3.0, 1e13).log_prob(k)
    np.testing.assert_allclose(many, dist.Poisson(3.0).log_prob(k), rtol=1e-10)


def test_covariance_gradient_is_that_through_the_factor():
    random = np.random.default_rng(0)
    a = random.normal(size=(4, 4))
    covariance, x = jnp.asarray(a @ a.T + np.eye(4)), jnp.asarray(random.normal(size=(3, 4)))

    def by_covariance(c, loc):
        return jnp.sum(dist.MultivariateNormal(loc, c).log_prob_inside(x))

    def by_factor(c, loc):
        return jnp.sum(dist.MultivariateNormal(loc, scale_tril=jnp.linalg.cholesky(c)).log_prob_inside(x))

    own_slopes, plain = (jax.grad(f, argnums=(0, 1))(covariance, jnp.ones(4)) for f in (by_covariance, by_factor))
    for ours, theirs in zip(own_slopes, plain, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_pick_of_large_tables_indexes():
    table = jnp.log(jnp.arange(1.0, 101.0))
    index = jnp.array([0, 99, 7])
    np.testing.assert_allclose(own.pick(table, index), table[index])
