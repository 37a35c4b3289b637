"""Divergences: closed forms against a sum or integral, and the estimate that says it is one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from pyrox import dist
from pyrox.errors import ShapeError

COVARIANCES = np.array([[[2.0, 0.6], [0.6, 1.0]], [[1.0, -0.2], [-0.2, 3.0]]])
CONTINUOUS = [
    (dist.Normal(0.0, 1.0), dist.Normal(1.0, 2.0), -20, 20),
    (dist.LogNormal(0.0, 0.5), dist.LogNormal(0.5, 0.7), 1e-9, 60),
    (dist.HalfNormal(1.0), dist.HalfNormal(2.0), 1e-12, 20),
    (dist.Cauchy(0.0, 1.0), dist.Cauchy(1.0, 2.0), -np.inf, np.inf),
    (dist.Laplace(0.0, 1.0), dist.Laplace(1.0, 2.0), -50, 50),
    (dist.Gumbel(0.0, 1.0), dist.Gumbel(1.0, 2.0), -6, 60),
    (dist.Exponential(2.0), dist.Exponential(0.7), 1e-12, 40),
    (dist.Gamma(2.0, 3.0), dist.Gamma(1.5, 1.0), 1e-12, 30),
    (dist.InverseGamma(4.0, 3.0), dist.InverseGamma(3.0, 1.0), 1e-3, 3000),
    (dist.Beta(2.0, 3.0), dist.Beta(1.5, 1.0), 1e-12, 1 - 1e-12),
    (dist.Uniform(0.0, 1.0), dist.Uniform(-1.0, 2.0), 0, 1),
    (dist.Chi2(3.0), dist.Chi2(5.0), 1e-12, 80),
    (dist.Chi2(3.0), dist.Gamma(2.0, 1.0), 1e-12, 80),
]
DISCRETE = [
    (dist.BernoulliProbs(0.3), dist.BernoulliLogits(1.0), 2),
    (dist.BinomialProbs(0.3, 6), dist.BinomialProbs(0.6, 6), 7),
    (dist.CategoricalProbs([0.2, 0.8]), dist.CategoricalProbs([0.6, 0.4]), 2),
    (dist.CategoricalLogits([0.2, 0.8]), dist.CategoricalLogits([0.6, 0.4]), 2),
    (dist.Poisson(2.0), dist.Poisson(3.0), 60),
    (dist.Geometric(0.4), dist.Geometric(0.2), 200),
    (dist.GeometricTrials(0.4), dist.GeometricTrials(0.2), 200),
    (dist.GeometricTrials(0.4), dist.Geometric(0.2), 200),
    (dist.BinomialLogits(0.3, 6), dist.BinomialLogits(-1.0, 6), 7),
    (dist.BinomialLogits(0.3, 6), dist.BinomialProbs(0.6, 6), 7),
    (dist.OrderedLogistic(0.3, [-1.0, 1.0]), dist.OrderedProbit(0.0, [-0.5, 1.0]), 3),
]


@pytest.mark.parametrize(("p", "q", "low", "high"), CONTINUOUS, ids=lambda v: type(v).__name__)
def test_integral(p, q, low, high):
    ratio = jax.jit(lambda x: jnp.exp(p.log_prob(x)) * (p.log_prob(x) - q.log_prob(x)))
    truth = integrate.quad(lambda x: float(ratio(x)), low, high, limit=200, epsabs=1e-10)[0]
    np.testing.assert_allclose(dist.kl_divergence(p, q), truth, rtol=1e-5)


@pytest.mark.parametrize(("p", "q", "count"), DISCRETE, ids=lambda v: type(v).__name__)
def test_sum(p, q, count):
    x = jnp.arange(count)
    x = x[p.support(x)]
    truth = jnp.sum(jnp.exp(p.log_prob(x)) * (p.log_prob(x) - q.log_prob(x)))
    np.testing.assert_allclose(dist.kl_divergence(p, q), truth, rtol=1e-8)


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (dist.MultivariateNormal(np.zeros(2), COVARIANCES[0]), dist.MultivariateNormal(np.ones(2), COVARIANCES[1])),
        (dist.Dirichlet([1.0, 2.0, 3.0]), dist.Dirichlet([2.0, 2.0, 1.0])),
    ],
    ids=["MultivariateNormal", "Dirichlet"],
)
def test_closed_form_lies_within_the_estimate(p, q):
    draws = p.sample(jax.random.key(3), (40_000,))
    ratio = np.asarray(p.log_prob(draws) - q.log_prob(draws))
    assert abs(dist.kl_divergence(p, q) - ratio.mean()) < 5.5 * ratio.std() / len(ratio) ** 0.5


def test_values_that_the_other_cannot_give():
    beyond = dist.kl_divergence(dist.Geometric([0.3, 0.4]), dist.GeometricTrials(0.3))
    np.testing.assert_array_equal(beyond, [np.inf, np.inf])
    assert dist.kl_divergence(dist.Uniform(0.0, 2.0), dist.Uniform(0.0, 1.0)) == np.inf
    assert dist.kl_divergence(dist.Geometric(0.5), dist.Geometric(1.0)) == np.inf
    assert dist.kl_divergence(dist.Geometric(1.0), dist.Geometric(1.0)) == 0.0
    pairs = [
        (dist.HalfNormal(1.0), dist.Normal(0.0, 1.0)),
        (dist.TruncatedNormal(0.0), dist.TruncatedNormal(1.0)),
        (dist.Pareto(1.0, 2.0), dist.Pareto(2.0, 2.0)),
        (dist.Normal(0.0, 1.0).mask(False), dist.Normal(1.0, 1.0)),
    ]
    for p, q in pairs:
        with pytest.raises(NotImplementedError, match="no closed divergence"):
            dist.kl_divergence(p, q)
    with pytest.raises(ShapeError, match="2 and 3 categories"):
        dist.kl_divergence(dist.CategoricalProbs([0.5, 0.5]), dist.CategoricalProbs([0.2, 0.3, 0.5]))
    with pytest.raises(ShapeError, match=r"Dirichlet draws shape \(2,\), Dirichlet \(3,\)"):
        dist.kl_divergence(dist.Dirichlet(jnp.ones(2)), dist.Dirichlet(jnp.ones(3)))


def test_log_odds_that_round_to_certainty():
    p, q = dist.BinomialLogits(45.0, 3), dist.BinomialLogits(40.0, 3)
    tail = np.exp(-45.0), np.exp(-40.0)
    np.testing.assert_allclose(dist.kl_divergence(p, q), 3 * (tail[1] - tail[0] - 5 * tail[0]), rtol=1e-6, atol=1e-30)


def test_independent_sums():
    p, q = dist.Normal(jnp.zeros(3), 1.0), dist.Normal(1.0, jnp.ones(3))
    np.testing.assert_allclose(dist.kl_divergence(p.to_event(1), q.to_event(1)), 1.5)


def test_estimate_says_that_it_is_one():
    p, q = dist.Normal(0.0, 1.0), dist.StudentT(5.0)
    with pytest.raises(NotImplementedError, match="key"):
        dist.kl_divergence(p, q)
    with pytest.warns(UserWarning, match="Monte Carlo estimate of 10000 draws, standard error"):
        assert 0 < dist.kl_divergence(p, q, key=jax.random.key(0)) < 0.1


def test_point_masses_keys_and_errors():
    point = dist.Delta(jnp.arange(3.0), event_ndim=1)
    assert point.event_shape == (3,)
    assert point.log_prob(jnp.arange(3.0)) == 0.0
    assert dist.PRNGIdentity().sample(jax.random.PRNGKey(0), (4,)).shape == (4, 2)
    with pytest.raises(ValueError, match="2 weights for 3 components"):
        dist.Mixture([0.5, 0.5], dist.Normal(jnp.zeros(3), 1.0))
    with pytest.raises(ValueError, match="symmetric"):
        dist.CAR(jnp.zeros(2), [[0.0, 1.0], [0.5, 0.0]], 0.5)
    with pytest.raises(ValueError, match="num_steps"):
        dist.RandomWalk(dist.Normal(), dist.Normal(), 0)
    with pytest.raises(NotImplementedError, match="improper"):
        dist.Flat().sample(jax.random.key(0))
    with pytest.raises(ValueError, match="one of probs and logits"):
        dist.Bernoulli(probs=0.5, logits=0.0)
