"""Algebra of triangular factors, of the sizes where it is done in pieces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyrox import dist
from pyrox.dist.linear import precision_from_tril

RNG = np.random.default_rng(0)


def covariance(*shape):
    root = RNG.normal(size=shape)
    return root @ np.swapaxes(root, -1, -2) + 3 * np.eye(shape[-1])


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (33, 33), (2, 3, 70, 70), (301, 301)])
def test_precisions_from_factors(shape):
    matrix = covariance(*shape)
    found = precision_from_tril(jnp.linalg.cholesky(matrix))
    np.testing.assert_allclose(found @ matrix, np.broadcast_to(np.eye(shape[-1]), shape), atol=1e-12)


@pytest.mark.parametrize("size", [3, 70])
def test_derivatives_of_a_normal_density_by_its_covariance(size):
    y, matrix, direction = RNG.normal(size=size), covariance(size, size), covariance(size, size) / size

    def by_covariance(t):
        return dist.MultivariateNormal(jnp.zeros(size), covariance_matrix=matrix + t * direction).log_prob(y)

    def by_factor(t):
        tril = jnp.linalg.cholesky(matrix + t * direction)
        return dist.MultivariateNormal(jnp.zeros(size), scale_tril=tril).log_prob(y)

    for derivative in (jax.grad, jax.jacfwd, lambda f: jax.grad(jax.grad(f)), jax.hessian):
        np.testing.assert_allclose(*(jax.jit(derivative(f))(0.1) for f in (by_covariance, by_factor)), rtol=1e-9)
