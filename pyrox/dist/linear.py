"""Triangular factors: solving, determinants, factors of inverses."""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from pyrox.typing import Array


def transpose(matrix: Array) -> Array:
    """Swap the last two axes."""
    return jnp.swapaxes(matrix, -2, -1)


def solve_lower(tril: Array, vectors: Array, *, transposed: bool = False) -> Array:
    """Solve ``tril @ z = x``, or with its transpose, for the vectors along the last axis of x; batch axes broadcast."""
    trans = 1 if transposed else 0
    if tril.ndim == 2:  # one factor for all: a single solve with many right-hand sides
        columns = vectors.reshape(-1, vectors.shape[-1]).T
        return solve_triangular(tril, columns, lower=True, trans=trans).T.reshape(vectors.shape)
    batch = jnp.broadcast_shapes(tril.shape[:-2], vectors.shape[:-1])
    tril = jnp.broadcast_to(tril, (*batch, *tril.shape[-2:]))
    vectors = jnp.broadcast_to(vectors, (*batch, vectors.shape[-1]))
    return solve_triangular(tril, vectors[..., None], lower=True, trans=trans)[..., 0]


@jax.custom_jvp
def gaussian_exponent(apart: Array, covariance: Array) -> Array:
    r"""Compute :math:`-\frac12 x^T \Sigma^{-1} x - \frac12 \log |\Sigma|`.

    Its derivative is written through the inverse, which costs less than differentiating the Cholesky factor.
    """
    return _exponent(apart, covariance)[0]


def _exponent(apart: Array, covariance: Array) -> tuple[Array, Array, Array]:
    tril = jnp.linalg.cholesky(covariance)
    z = solve_lower(tril, apart)
    return -0.5 * jnp.sum(z * z, axis=-1) - half_log_det(tril), tril, z


def _exponent_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    value, tril, z = _exponent(*primals)
    weights = solve_lower(tril, z, transposed=True)  # the inverse times x
    d_apart, d_covariance = tangents
    slope = jnp.zeros_like(value)
    if not isinstance(d_apart, jax.custom_derivatives.SymbolicZero):
        slope = slope - jnp.sum(weights * d_apart, axis=-1)
    if not isinstance(d_covariance, jax.custom_derivatives.SymbolicZero):
        identity = jnp.broadcast_to(jnp.eye(tril.shape[-1], dtype=tril.dtype), tril.shape)
        half = solve_triangular(tril, identity, lower=True)
        trace = jnp.sum((transpose(half) @ half) * d_covariance, axis=(-2, -1))
        if d_covariance.ndim == 2:
            stretched = weights @ d_covariance
        else:
            stretched = jnp.einsum("...i,...ij->...j", weights, d_covariance)
        slope = slope + 0.5 * (jnp.sum(stretched * weights, axis=-1) - trace)
    return value, slope


gaussian_exponent.defjvp(_exponent_jvp, symbolic_zeros=True)


def half_log_det(tril: Array) -> Array:
    """Give the log-determinant of a triangular matrix: half that of the matrix it is a factor of."""
    return jnp.sum(jnp.log(jnp.diagonal(tril, axis1=-2, axis2=-1)), axis=-1)


def tril_of_precision(precision: Array) -> Array:
    """Give the lower factor of the inverse of a positive-definite matrix, without inverting it."""
    # With the axes reversed, the Cholesky factor of the precision is an upper factor, whose inverse is lower.
    flipped = jnp.linalg.cholesky(precision[..., ::-1, ::-1])
    upper = transpose(flipped)[..., ::-1, ::-1]
    identity = jnp.broadcast_to(jnp.eye(precision.shape[-1], dtype=precision.dtype), precision.shape)
    return solve_triangular(upper, identity, lower=True)
