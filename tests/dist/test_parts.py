"""Standard forms and parts of distributions, against the distributions they come from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import pyrox.dist as dist
from pyrox.dist import biject_to
from pyrox.dist.parts import SeenCoordinates, UnseenCoordinates, as_normal, require_rows, take_batch
from pyrox.dist.standard import standard_form
from pyrox.dist.transforms import ComposeTransform, ExpTransform
from tests.checks import assert_mean

TRIL = jnp.array([[1.0, 0.0, 0.0], [0.3, 2.0, 0.0], [0.1, -0.4, 0.7]])
PAIR = jnp.array([0.5, 2.0])
WALK = dist.RandomWalk(dist.StudentT(3.0, 1.0, jnp.array([2.0, 3.0])), dist.Normal(1.0, 5.0), 4)
VECTOR_WALK = dist.RandomWalk(
    dist.MultivariateNormal(jnp.arange(3.0), scale_tril=TRIL),
    dist.MultivariateNormal(jnp.zeros(3), scale_tril=2 * TRIL),
    4,
)
STANDARD = {
    "normal": dist.Normal(jnp.array([1.0, 2.0]), 3.0),
    "student": dist.StudentT(jnp.array([3.0, 4.0]), 1.0, 2.0),
    "cauchy": dist.Cauchy(1.0, 2.0),
    "laplace": dist.Laplace(1.0, PAIR),
    "logistic": dist.Logistic(1.0, 2.0),
    "gumbel": dist.Gumbel(1.0, 2.0),
    "moyal": dist.Moyal(1.0, 2.0),
    "skewed": dist.SkewNormal(1.0, 2.0, 3.0),
    "asymmetric": dist.AsymmetricLaplace(1.0, 2.0, 0.5),
    "lognormal": dist.LogNormal(1.0, PAIR),
    "logitnormal": dist.LogitNormal(1.0, 2.0),
    "halfnormal": dist.HalfNormal(PAIR),
    "halfcauchy": dist.HalfCauchy(2.0),
    "halfstudent": dist.HalfStudentT(3.0, 2.0),
    "exponential": dist.Exponential(2.0),
    "gamma": dist.Gamma(3.0, PAIR),
    "inversegamma": dist.InverseGamma(3.0, 2.0),
    "weibull": dist.Weibull(2.0, 3.0),
    "mvnormal": dist.MultivariateNormal(jnp.arange(6.0).reshape(2, 3), scale_tril=TRIL),
    "mvnormal of covariance": dist.MultivariateNormal(jnp.arange(3.0), covariance_matrix=TRIL @ TRIL.T),
    "mvstudent": dist.MultivariateStudentT(3.0, jnp.arange(3.0), TRIL),
    "zerosum": dist.ZeroSumNormal(PAIR, (4,)),
    "zerosum of two axes": dist.ZeroSumNormal(2.0, (3, 4)),
    "walk from zero": dist.GaussianRandomWalk(PAIR, 5),
    "walk": WALK,
    "walk of vectors": VECTOR_WALK,
    "walk from anywhere": dist.RandomWalk(dist.Normal(0.5, 2.0), dist.Normal(0.0, 1.0).expand(()), 3),
    "event": dist.Normal(jnp.zeros(3), 2.0).to_event(1),
    "expanded": dist.Normal(1.0, 2.0).expand((2, 3)).to_event(1),
    "transformed": dist.TransformedDistribution(dist.Normal(1.0, 2.0), ExpTransform()),
}


@pytest.mark.parametrize("name", STANDARD)
def test_the_density_is_that_of_the_standard_form_after_the_change_of_variables(name):
    d = STANDARD[name]
    base, transform = standard_form(d)
    assert base.batch_shape == d.batch_shape
    whole = ComposeTransform((biject_to(base.support), transform))
    value = d.sample(jax.random.key(1), (2,))
    position = whole.inverse(value)
    again, log_det = whole.forward_and_log_det(position)
    np.testing.assert_allclose(again, value, rtol=1e-9, atol=1e-9)
    z, log_det_below = biject_to(base.support).forward_and_log_det(position)
    centred = jnp.sum(d.log_prob(value)) + jnp.sum(log_det)
    np.testing.assert_allclose(jnp.sum(base.log_prob(z)) + jnp.sum(log_det_below), centred, rtol=1e-9)


@pytest.mark.parametrize("name", STANDARD)
def test_draws_of_the_standard_form_lead_to_the_distribution(name):
    d = STANDARD[name]
    base, transform = standard_form(d)
    draws = transform(base.sample(jax.random.key(2), (4000,)))
    assert draws.shape[1:] == d.batch_shape + d.event_shape
    # A bounded function has moments whatever the family.
    squash = lambda x: np.tanh(np.asarray(x) / 3)  # noqa: E731
    reference = squash(d.sample(jax.random.key(3), (20_000,)))
    spread = reference.std(axis=0) / np.sqrt(len(reference))
    apart = np.abs(squash(draws).mean(axis=0) - reference.mean(axis=0))
    assert np.all(apart <= 6 * np.hypot(spread, squash(draws).std(axis=0) / np.sqrt(4000)))  # false alarm: 2e-9 each


@pytest.mark.parametrize("d", [dist.Beta(1.0, 1.0), dist.Poisson(1.0), dist.Dirichlet(jnp.ones(3)), dist.Flat()])
def test_families_without_location_and_scale_have_no_standard_form(d):
    assert standard_form(d) is None


INDEX = jnp.array([4, 0, 3])
TAKEN = {
    "scalars": dist.Normal(1.0, 2.0).expand((5,)),
    "one array": dist.Normal(jnp.arange(5.0), 2.0),
    "both": dist.StudentT(jnp.arange(1.0, 6.0), 0.0, jnp.arange(2.0, 7.0)),
    "two axes": dist.Normal(jnp.arange(3.0)[:, None], jnp.arange(1.0, 3.0)),
    "vectors": dist.MultivariateNormal(jnp.arange(15.0).reshape(5, 3), scale_tril=TRIL),
    "shares": dist.Dirichlet(jnp.arange(1.0, 16.0).reshape(5, 3)),
    "counts": dist.Poisson(jnp.arange(1.0, 6.0)),
    "bounds": dist.Uniform(jnp.arange(5.0), jnp.arange(5.0) + 2),
    "truncated": dist.Truncated(dist.Normal(jnp.arange(5.0), 1.0), jnp.arange(5.0) - 0.5, jnp.arange(5.0) + 1),
    "mixture": dist.NormalMixture(jnp.array([0.3, 0.7]), jnp.arange(10.0).reshape(5, 2), jnp.ones(2)),
    "inflated": dist.ZeroInflated(dist.Poisson(jnp.arange(1.0, 6.0)), 0.3),
}


MEANS = {"truncated": stats.truncnorm(-0.5, 1.0).mean() + np.arange(5.0)}


@pytest.mark.parametrize("name", TAKEN)
def test_copies_of_a_batch(name):
    d = TAKEN[name]
    part, flat = take_batch(d, INDEX), lambda x, n: jnp.reshape(x, (-1, *jnp.shape(x)[n:]))
    assert part.batch_shape == (3,)
    assert part.event_shape == d.event_shape
    value = d.sample(jax.random.key(0))
    rows = flat(value, len(d.batch_shape))[INDEX]
    np.testing.assert_allclose(part.log_prob(rows), d.log_prob(value).ravel()[INDEX], rtol=1e-12)
    for gradient in jax.tree.leaves(jax.grad(lambda x: jnp.sum(take_batch(x, INDEX).log_prob(rows)))(d)):
        assert np.isfinite(gradient).all()
    draws = part.sample(jax.random.key(1), (20_000,))
    assert draws.shape == (20_000, 3, *d.event_shape)
    mean = MEANS.get(name)  # where the family has no closed one
    assert_mean(draws, flat(d.mean if mean is None else mean, len(d.batch_shape))[INDEX])
    if not d.is_discrete:
        onto = biject_to(part.support)
        assert np.isfinite(part.log_prob(onto(jnp.zeros(onto.inverse_shape(rows.shape))))).all()


SEEN = np.array([[True, False, True], [False, False, True], [True, False, True], [True, True, True]])


def parts(d):
    patterns, which = np.unique(SEEN, axis=0, return_inverse=True)
    return d, jnp.asarray(SEEN), jnp.asarray(patterns), jnp.asarray(which.reshape(-1))


@pytest.mark.parametrize("batched", [False, True])
def test_coordinates_of_normal_vectors(batched):
    tril = TRIL * jnp.arange(1.0, 5.0)[:, None, None] if batched else TRIL
    loc = jnp.arange(12.0).reshape(4, 3) / 3
    d = dist.MultivariateNormal(loc, scale_tril=tril)
    values = np.asarray(d.sample(jax.random.key(0)))
    holes = np.where(SEEN, values, np.nan)
    seen = SeenCoordinates(*parts(d))
    elements = jnp.asarray(np.flatnonzero(~SEEN))
    unseen = UnseenCoordinates(*parts(d), jnp.asarray(holes), elements)
    mean, variance = [], []
    for i, row in enumerate(SEEN):
        covariance, centre = np.asarray(d.covariance_matrix[i] if batched else d.covariance_matrix), np.asarray(loc[i])
        marginal = stats.multivariate_normal(centre[row], covariance[np.ix_(row, row)])
        np.testing.assert_allclose(seen.log_prob(holes)[i], marginal.logpdf(values[i][row]), rtol=1e-10)
        gain = covariance[np.ix_(~row, row)] @ np.linalg.inv(covariance[np.ix_(row, row)])
        mean.append(centre[~row] + gain @ (values[i][row] - centre[row]))
        variance.append(np.diag(covariance[np.ix_(~row, ~row)] - gain @ covariance[np.ix_(row, ~row)]))
    np.testing.assert_allclose(unseen.mean, np.concatenate(mean), rtol=1e-10)
    draws = unseen.sample(jax.random.key(1), (50_000,))
    assert_mean(draws, np.concatenate(mean))
    assert_mean((draws - np.concatenate(mean)) ** 2, np.concatenate(variance))
    total = seen.log_prob(holes).sum() + unseen.log_prob(jnp.asarray(values[~SEEN]))
    np.testing.assert_allclose(total, d.log_prob(values).sum(), rtol=1e-10)
    assert_mean(seen.sample(jax.random.key(2), (20_000,))[:, SEEN], np.asarray(loc)[SEEN])


def test_gradients_through_missing_coordinates_are_finite():
    holes = jnp.asarray(np.where(SEEN, 1.0, np.nan))

    def total(loc, tril):
        d = dist.MultivariateNormal(loc, scale_tril=tril)
        unseen = UnseenCoordinates(*parts(d), holes, jnp.asarray(np.flatnonzero(~SEEN)))
        return SeenCoordinates(*parts(d)).log_prob(holes).sum() + unseen.log_prob(jnp.zeros(4))

    for gradient in jax.grad(total, (0, 1))(jnp.zeros((4, 3)), TRIL):
        assert np.isfinite(gradient).all()


def test_walks_of_normal_steps_are_multivariate_normal():
    walk = dist.RandomWalk(dist.Normal(0.5, PAIR), dist.Normal(1.0, 3.0), 4)
    for d in (walk, dist.GaussianRandomWalk(PAIR, 4), walk.expand((3, 2))):
        normal, value = as_normal(d), d.sample(jax.random.key(0), (5,))
        np.testing.assert_allclose(normal.log_prob(value), d.log_prob(value), rtol=1e-9)
        rows = require_rows(d, d.batch_shape)
        assert rows.batch_shape == (int(np.prod(d.batch_shape)),)
    assert as_normal(WALK) is None
