"""Conjugate models, whose posterior and evidence are known: what fits, and how well."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import pyrox.dist as dist
from pyrox.dist import constraints
from pyrox.model.primitives import param, plate, sample
from pyrox.vi import (
    ELBO,
    SVI,
    AutoContinuousELBO,
    AutoDiagonalNormal,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    RenyiELBO,
)

RNG = np.random.default_rng(20)
unit = constraints.unit_interval
FLIPS = RNG.binomial(1, 0.3, 40)
COUNTS = RNG.poisson(4.0, 30)
REALS = RNG.normal(1.5, 2.0, 25)
X = RNG.normal(size=(60, 3)) @ np.array([[1.0, 0.6, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 1.0]])
Y = X @ np.array([0.5, -1.0, 2.0]) + RNG.normal(0, 0.7, 60)


class Conjugate(NamedTuple):
    """A model, a guide whose family holds the posterior, and the truth."""

    model: object
    guide: object
    args: tuple
    site: str
    mean: np.ndarray
    sd: np.ndarray
    log_evidence: float
    posterior: object  # of the parameters: the fitted distribution


def normal_normal():
    prior_sd, noise = 3.0, 2.0

    def model(y):
        mu = sample("mu", dist.Normal(0.0, prior_sd))
        with plate("row", len(REALS)):
            sample("y", dist.Normal(mu, noise), obs=y)

    def guide(y):
        sample("mu", dist.Normal(param("loc", 0.0), param("scale", 1.0, constraint=constraints.positive)))

    precision = 1 / prior_sd**2 + len(REALS) / noise**2
    mean, sd = REALS.sum() / noise**2 / precision, precision**-0.5
    covariance = noise**2 * np.eye(len(REALS)) + prior_sd**2
    evidence = stats.multivariate_normal(np.zeros(len(REALS)), covariance).logpdf(REALS)
    return Conjugate(
        model, guide, (REALS,), "mu", mean, sd, evidence, lambda p: dist.Normal(p["loc"], p["scale"])
    )  # fmt: skip


def beta_bernoulli():
    def model(y):
        p = sample("p", dist.Beta(2.0, 3.0))
        with plate("row", len(FLIPS)):
            sample("y", dist.Bernoulli(p), obs=y)

    def guide(y):
        sample("p", fitted(param("mean", 0.5, constraint=unit), param("size", 4.0, constraint=constraints.positive)))

    def fitted(mean, size):  # coordinates that do not pull against one another
        return dist.Beta(mean * size, (1 - mean) * size)

    a, b = 2.0 + FLIPS.sum(), 3.0 + len(FLIPS) - FLIPS.sum()
    truth = stats.beta(a, b)
    evidence = special.betaln(a, b) - special.betaln(2.0, 3.0)
    return Conjugate(
        model, guide, (FLIPS,), "p", truth.mean(), truth.std(), evidence, lambda q: fitted(q["mean"], q["size"])
    )  # fmt: skip


def gamma_poisson():
    def model(y):
        rate = sample("rate", dist.Gamma(2.0, 0.5))
        with plate("row", len(COUNTS)):
            sample("y", dist.Poisson(rate), obs=y)

    def guide(y):
        positive = constraints.positive
        sample("rate", fitted(param("mean", 5.0, constraint=positive), param("size", 50.0, constraint=positive)))

    def fitted(mean, size):
        return dist.Gamma(size, size / mean)

    a, b = 2.0 + COUNTS.sum(), 0.5 + len(COUNTS)
    truth = stats.gamma(a, scale=1 / b)
    evidence = (
        2.0 * np.log(0.5) - special.gammaln(2.0) + special.gammaln(a) - a * np.log(b)
        - special.gammaln(COUNTS + 1).sum()
    )  # fmt: skip
    return Conjugate(
        model, guide, (COUNTS,), "rate", truth.mean(), truth.std(), evidence, lambda q: fitted(q["mean"], q["size"])
    )  # fmt: skip


SCALARS = {f.__name__: f for f in (normal_normal, beta_bernoulli, gamma_poisson)}


def regression(x, y):
    beta = sample("beta", dist.Normal(0.0, 2.0).expand((3,)))
    with plate("row", 60):
        sample("y", dist.Normal(x @ beta, 0.7), obs=y)


PRECISION = X.T @ X / 0.7**2 + np.eye(3) / 4
COVARIANCE = np.linalg.inv(PRECISION)
MEAN = COVARIANCE @ X.T @ Y / 0.7**2
EVIDENCE = stats.multivariate_normal(np.zeros(60), 0.49 * np.eye(60) + 4 * X @ X.T).logpdf(Y)


def falling_adam(size, steps):
    """Smaller and smaller steps: the noise of the last ones does not stay in the parameters."""
    import optax

    return optax.adam(optax.exponential_decay(size, steps, 1e-3))


def assert_bound(svi, state, args, log_evidence):
    """The bound equals the evidence within the error of its estimate."""
    evaluate = jax.jit(lambda key: svi.evaluate(state.replace(rng_key=key), *args))
    losses = np.array([float(evaluate(key)) for key in jax.random.split(jax.random.key(1), 50)])
    error = losses.std() / np.sqrt(len(losses))
    assert abs(-losses.mean() - log_evidence) < 5 * error + 1e-3


@pytest.mark.parametrize("name", SCALARS)
def test_moments_and_evidence(name):
    case = SCALARS[name]()
    svi = SVI(case.model, case.guide, falling_adam(0.05, 4000), ELBO(4, sticking_the_landing=True))
    result = svi.run(jax.random.key(0), 4000, *case.args, progress_bar=False, early_stopping=False)
    fitted = case.posterior(result.params)
    np.testing.assert_allclose(fitted.mean, case.mean, rtol=0.01)
    np.testing.assert_allclose(np.sqrt(fitted.variance), case.sd, rtol=0.01)
    assert_bound(svi, result.state, case.args, case.log_evidence)


@pytest.mark.parametrize("guide_class", [AutoMultivariateNormal, AutoLowRankMultivariateNormal])
def test_regression(guide_class):
    options = {"rank": 3} if guide_class is AutoLowRankMultivariateNormal else {}
    guide = guide_class(regression, **options)
    svi = SVI(regression, guide, falling_adam(0.03, 8000), AutoContinuousELBO(4, sticking_the_landing=True))
    result = svi.run(jax.random.key(0), 8000, X, Y, progress_bar=False, early_stopping=False)
    posterior = guide.posterior(result.params)
    np.testing.assert_allclose(posterior.mean, MEAN, rtol=0.01)
    np.testing.assert_allclose(np.sqrt(posterior.variance), np.sqrt(np.diag(COVARIANCE)), rtol=0.01)
    assert_bound(svi, result.state, (X, Y), EVIDENCE)


def test_mean_field_matches_the_precisions():
    # The independent normals closest to a normal have its mean, and the inverses of its precisions.
    guide = AutoDiagonalNormal(regression)
    svi = SVI(regression, guide, falling_adam(0.02, 8000), AutoContinuousELBO(10))
    params = svi.run(jax.random.key(0), 8000, X, Y, progress_bar=False, early_stopping=False).params
    np.testing.assert_allclose(params["auto_loc"], MEAN, rtol=0.01)
    np.testing.assert_allclose(params["auto_scale"], np.diag(PRECISION) ** -0.5, rtol=0.01)


def test_tighter_bounds():
    # At a guide that is off, more weighed draws come nearer to the evidence, and never pass it.
    case = normal_normal()
    params = {"loc": jnp.asarray(case.mean + case.sd), "scale": jnp.asarray(1.3 * case.sd)}
    keys = jax.random.split(jax.random.key(3), 4000)

    def bound(objective):
        loss = jax.jit(jax.vmap(lambda k: objective.loss(k, params, case.model, case.guide, *case.args)))
        draws = -np.asarray(loss(keys))
        return draws.mean(), draws.std() / np.sqrt(len(draws))

    elbo, renyi, tight = bound(ELBO()), bound(RenyiELBO(alpha=0, num_particles=2)), bound(RenyiELBO(0, 20))
    middle = bound(RenyiELBO(alpha=0.5, num_particles=2))
    for low, high in ((elbo, middle), (middle, renyi), (renyi, tight)):
        assert high[0] - low[0] > 3 * np.hypot(low[1], high[1])
    assert tight[0] < case.log_evidence + 5 * tight[1]
    assert case.log_evidence - elbo[0] > 0.3
