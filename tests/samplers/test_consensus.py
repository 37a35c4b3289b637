"""Merging subposteriors: Gaussian ones have a known product."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyrox as px
from pyrox.samplers import consensus, parametric, parametric_draws
from tests.checks import assert_mean

MEANS = np.array([[0.0, 1.0, -2.0], [1.0, 3.0, 0.0], [-1.0, 2.0, 1.0]])
FACTORS = np.array([
    [[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.2, 0.1, 0.5]],
    [[0.5, 0.0, 0.0], [-0.3, 0.8, 0.0], [0.0, 0.4, 1.0]],
    [[2.0, 0.0, 0.0], [0.0, 0.6, 0.0], [0.3, -0.2, 0.7]],
])  # fmt: skip


def exact_draws(i, count=400):
    """Draws whose mean and covariance are exactly those wanted."""
    z = np.random.default_rng(i).normal(size=(count, 3))
    z -= z.mean(axis=0)
    z = z @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T)).T)
    return MEANS[i] + z @ FACTORS[i].T


def collection(x):
    # Names sort to the order of the numbers; shapes are as different as can be.
    return {"a": jnp.asarray(x[:, 0]), "b": (jnp.asarray(x[:, 1:].reshape(-1, 2, 1)),)}


def row(tree):
    return np.concatenate([np.asarray(x).reshape(len(x), -1) for x in jax.tree.leaves(tree)], axis=1)


SUBPOSTERIORS = [collection(exact_draws(i, 400 + 100 * i)) for i in range(3)]
EQUAL = [collection(exact_draws(i)) for i in range(3)]


def product(*, diagonal=False):
    covariances = FACTORS @ FACTORS.swapaxes(1, 2)
    if diagonal:
        covariances = np.stack([np.diag(np.diag(c)) for c in covariances])
    precisions = np.linalg.inv(covariances)
    covariance = np.linalg.inv(precisions.sum(axis=0))
    return covariance @ np.einsum("sij,sj->i", precisions, MEANS), covariance


def test_parametric_is_the_product():
    mean, covariance = parametric(SUBPOSTERIORS)
    np.testing.assert_allclose(mean, product()[0], rtol=1e-12)
    np.testing.assert_allclose(covariance, product()[1], rtol=1e-12, atol=1e-14)
    mean, variance = parametric(SUBPOSTERIORS, diagonal=True)
    np.testing.assert_allclose(mean, product(diagonal=True)[0], rtol=1e-12)
    np.testing.assert_allclose(variance, np.diag(product(diagonal=True)[1]), rtol=1e-12)


@pytest.mark.parametrize("diagonal", [False, True])
def test_parametric_draws_follow_the_product(diagonal):
    found = parametric_draws(SUBPOSTERIORS, 4000, diagonal, jax.random.key(5))
    assert jax.tree.map(jnp.shape, found) == {"a": (4000,), "b": ((4000, 2, 1),)}
    mean, covariance = product(diagonal=diagonal)
    centred = row(found) - mean
    assert_mean(row(found), mean)
    assert_mean(centred[:, :, None] * centred[:, None, :], covariance)


@pytest.mark.parametrize("diagonal", [False, True])
def test_consensus_is_the_weighted_mean(diagonal):
    found = row(consensus(EQUAL, diagonal=diagonal))
    mean, covariance = product(diagonal=diagonal)
    np.testing.assert_allclose(found.mean(axis=0), mean, rtol=1e-12)
    weights = FACTORS @ FACTORS.swapaxes(1, 2)
    weights = np.linalg.inv(np.stack([np.diag(np.diag(w)) for w in weights]) if diagonal else weights)
    expected = sum(w @ row(e)[17] for w, e in zip(weights, EQUAL, strict=True))
    np.testing.assert_allclose(found[17], covariance @ expected, rtol=1e-10)


def test_consensus_of_independent_gaussians_follows_the_product():
    key = jax.random.key(2)
    parts = [
        collection(MEANS[i] + np.asarray(jax.random.normal(jax.random.fold_in(key, i), (20_000, 3))) @ FACTORS[i].T)
        for i in range(3)
    ]
    mean, covariance = product()
    for found in (consensus(parts), consensus(parts, num_draws=3000, rng_key=key)):
        centred = row(found) - mean
        # The estimated moments of 20 000 draws are off by less than a standard error of 3000.
        np.testing.assert_allclose(centred.mean(axis=0), 0.0, atol=0.1)
        np.testing.assert_allclose(np.cov(centred.T), covariance, atol=0.1)


def test_keys_and_sizes():
    a = consensus(SUBPOSTERIORS, num_draws=7)
    assert jax.tree.map(jnp.shape, a) == {"a": (7,), "b": ((7, 2, 1),)}
    np.testing.assert_array_equal(row(a), row(consensus(SUBPOSTERIORS, 7, rng_key=jax.random.PRNGKey(0))))
    assert (row(a) != row(consensus(SUBPOSTERIORS, 7, rng_key=jax.random.key(1)))).all()
    draws = parametric_draws(SUBPOSTERIORS, 7)
    np.testing.assert_array_equal(row(draws), row(parametric_draws(SUBPOSTERIORS, 7, rng_key=jax.random.PRNGKey(0))))
    one = consensus(SUBPOSTERIORS[:1])
    np.testing.assert_allclose(row(one), row(SUBPOSTERIORS[0]), rtol=1e-10)


def test_scalars_scales_and_dtypes():
    x = np.random.default_rng(0).normal(size=(2, 50))
    mean, covariance = parametric([{"x": v} for v in x])
    variances = x.var(axis=1, ddof=1)
    np.testing.assert_allclose(covariance, [[1 / np.sum(1 / variances)]])
    np.testing.assert_allclose(mean, [np.sum(x.mean(axis=1) / variances) / np.sum(1 / variances)])
    wide = [e | {"a": 1e9 * e["a"]} for e in EQUAL]
    scale = np.array([1e9, 1.0, 1.0])
    np.testing.assert_allclose(parametric(wide)[1] / np.outer(scale, scale), product()[1], rtol=1e-9, atol=1e-12)
    mixed = [{"n": jnp.arange(9) % 4, "x": jnp.asarray(v[:9], jnp.float32)} for v in x]
    found = consensus(mixed, diagonal=True)
    assert found["n"].dtype == np.float64
    assert found["x"].dtype == np.float32
    np.testing.assert_allclose(found["n"], np.arange(9) % 4, rtol=1e-6)


WRONG = {
    "nothing": (lambda: consensus([]), px.ShapeError, "no subposteriors"),
    "counts differ": (lambda: consensus(SUBPOSTERIORS), px.ShapeError, r"\[400, 500, 600\] draws; give num_draws"),
    "names differ": (lambda: parametric([{"a": np.ones(3)}, {"b": np.ones(3)}]), px.ShapeError, "subposterior 1 has"),
    "shapes differ": (
        lambda: parametric([{"a": np.ones((3, 2))}, {"a": np.ones((3, 1))}]), px.ShapeError, "subposterior 1 has",
    ),
    "draws differ": (lambda: parametric([{"a": np.ones(3), "b": np.ones(4)}]), px.ShapeError, "same draws"),
    "one draw": (lambda: parametric([{"a": np.ones(1)}]), px.ShapeError, "at least 2"),
    "constant": (
        lambda: parametric([{"a": np.arange(3.0), "b": np.ones(3)}]), ValueError, r"subposterior 0 the numbers \[1\]",
    ),
    "too few": (lambda: parametric([{"a": np.eye(3)}]), px.ShapeError, "3 draws of 3 numbers.*diagonal=True"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_told(case):
    call, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        call()
