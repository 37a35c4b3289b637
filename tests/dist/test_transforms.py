"""Transforms: round trips, determinants, extremes, and a bijection onto every set."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyrox import dist
from pyrox.dist import biject_to, constraints
from pyrox.dist.transforms import Transform
from tests.cases import CONSTRAINTS, TRANSFORMS

FINITE = [c for c in TRANSFORMS if c.unbounded]
BIJECTIVE = [c for c in TRANSFORMS if c.bijective]


def events(case) -> tuple[Transform, jnp.ndarray]:
    return case.make(), jnp.asarray(case.points)


def independent_part(y: jnp.ndarray, constraint) -> jnp.ndarray:
    """Give coordinates of an image that vary freely: as many as there are inputs."""
    constraint = getattr(constraint, "base", constraint)
    if isinstance(constraint, constraints._Simplex | constraints._SumToOne):
        return y[:-1]
    if isinstance(constraint, constraints._CorrCholesky | constraints._CorrMatrix):
        return y[jnp.tril_indices(y.shape[-1], -1)]
    if isinstance(constraint, constraints._LowerCholesky | constraints._PositiveDefinite):
        return y[jnp.tril_indices(y.shape[-1])]
    return y.ravel()


@pytest.mark.parametrize("case", BIJECTIVE, ids=str)
def test_inverse_undoes_forward(case):
    transform, x = events(case)
    np.testing.assert_allclose(transform.inv(transform(x)), x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", TRANSFORMS, ids=str)
def test_image_lies_in_the_codomain(case):
    transform, x = events(case)
    assert np.all(np.asarray(transform.codomain(transform(x))))
    assert np.all(np.asarray(transform.domain(x)))


@pytest.mark.parametrize("case", BIJECTIVE, ids=str)
def test_log_determinant_is_that_of_the_jacobian(case):
    transform, x = events(case)
    y, kept = transform.call_with_intermediates(x)
    log_det = transform.log_abs_det_jacobian(x, y)
    np.testing.assert_allclose(transform.log_abs_det_jacobian(x, y, kept), log_det, rtol=1e-12)
    for one, expected in zip(x, jnp.broadcast_to(log_det, x.shape[:1]), strict=True):
        free = lambda u, shape=one.shape: independent_part(transform(u.reshape(shape)), transform.codomain)  # noqa: E731
        coordinates = one.ravel()
        if isinstance(transform.domain, constraints._LowerCholesky | constraints._CorrCholesky):
            strict = isinstance(transform.domain, constraints._CorrCholesky)
            rows, columns = jnp.tril_indices(one.shape[-1], -1 if strict else 0)
            coordinates = one[rows, columns]
            free = lambda u, m=one, r=rows, c=columns, s=strict: independent_part(  # noqa: E731
                transform(_unit_rows(m.at[r, c].set(u)) if s else m.at[r, c].set(u)), transform.codomain
            )
        jacobian = np.asarray(jax.jacobian(free)(coordinates)).reshape(-1, coordinates.size)
        # The volume a map onto a flat subspace spans; for a square matrix, its determinant.
        volume = 0.5 * np.linalg.slogdet(jacobian.T @ jacobian)[1]
        np.testing.assert_allclose(volume, expected, rtol=1e-8, atol=1e-8)


def _unit_rows(tril):
    strict = jnp.tril(tril, -1)
    return strict + jnp.diag(jnp.sqrt(1 - jnp.sum(strict**2, axis=-1)))


@pytest.mark.parametrize("case", TRANSFORMS, ids=str)
def test_shapes(case):
    transform, x = events(case)
    batch = jnp.broadcast_to(x, (2, *x.shape))
    y = transform(batch)
    assert y.shape == transform.forward_shape(batch.shape)
    assert transform.inverse_shape(y.shape) == batch.shape
    log_det = transform.forward_and_log_det(batch)[1]
    assert jnp.shape(log_det) == batch.shape[: batch.ndim - transform.domain.event_dim]


@pytest.mark.parametrize("case", TRANSFORMS, ids=str)
def test_jit_and_pytree(case):
    transform, x = events(case)
    again = jax.tree.unflatten(jax.tree.structure(transform), jax.tree.leaves(transform))
    compiled = jax.jit(lambda t, v: t.forward_and_log_det(v))(again, x)
    for a, b in zip(compiled, transform.forward_and_log_det(x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("case", FINITE, ids=str)
@pytest.mark.parametrize("size", [30.0, 700.0, -700.0])
def test_extreme_inputs_stay_finite(case, size):
    transform, x = events(case)
    signs = jnp.sign(jnp.asarray(np.random.default_rng(0).normal(size=x.shape)))
    for extreme in (jnp.full_like(x, size), size * signs):
        y, log_det = transform.forward_and_log_det(extreme)
        assert not np.any(np.isnan(y))
        assert np.all(np.isfinite(log_det))
        gradient = jax.grad(lambda v: jnp.sum(transform.forward_and_log_det(v)[1]))(extreme)
        assert np.all(np.isfinite(gradient))
        through = jax.vjp(transform, extreme)[1](jnp.ones_like(y))[0]
        assert not np.any(np.isnan(through))


@pytest.mark.parametrize("case", FINITE, ids=str)
def test_gradient_at_the_origin(case):
    transform, x = events(case)
    zero = jnp.zeros_like(x)
    f = lambda v: jnp.sum(transform(v)) + jnp.sum(transform.forward_and_log_det(v)[1])  # noqa: E731
    way = jnp.asarray(np.random.default_rng(1).normal(size=x.shape))
    slope = (f(zero + 1e-6 * way) - f(zero - 1e-6 * way)) / 2e-6
    np.testing.assert_allclose(jnp.sum(jax.grad(f)(zero) * way), slope, rtol=1e-6, atol=1e-7)


CONTINUOUS = [(c, m) for c, m, _ in CONSTRAINTS if not c.is_discrete]


@pytest.mark.parametrize(("constraint", "members"), CONTINUOUS, ids=[repr(c) for c, _ in CONTINUOUS])
def test_biject_to_reaches_every_set(constraint, members):
    transform = biject_to(constraint)
    shape = transform.inverse_shape(jnp.shape(jnp.asarray(members)))
    x = jnp.asarray(np.random.default_rng(2).normal(size=shape))
    assert np.all(np.asarray(constraint(transform(x))))
    np.testing.assert_allclose(transform.inv(transform(x)), x, rtol=1e-9, atol=1e-9)


def test_no_bijection_onto_counts():
    with pytest.raises(NotImplementedError, match="nonnegative integer"):
        biject_to(constraints.nonnegative_integer)


def test_intermediates_spare_the_inverse():
    d = dist.TransformedDistribution(dist.Normal(0.0, 1.0), [dist.transforms.ExpTransform()])
    value, passed = d.sample_with_intermediates(jax.random.key(0), (3,))
    np.testing.assert_allclose(d.log_prob(value, passed), d.log_prob(value), rtol=1e-12)
