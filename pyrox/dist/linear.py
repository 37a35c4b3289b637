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
        trace = jnp.sum(precision_from_tril(tril) * d_covariance, axis=(-2, -1))
        if d_covariance.ndim == 2:
            stretched = weights @ d_covariance
        else:
            stretched = jnp.einsum("...i,...ij->...j", weights, d_covariance)
        slope = slope + 0.5 * (jnp.sum(stretched * weights, axis=-1) - trace)
    return value, slope


gaussian_exponent.defjvp(_exponent_jvp, symbolic_zeros=True)


def precision_from_tril(tril: Array) -> Array:
    r"""Give the inverse of :math:`L L^T`, from halves of the factor.

    .. math::
        L = \begin{pmatrix} A & 0 \\ B & C \end{pmatrix}, \qquad
        L^{-1} = \begin{pmatrix} A^{-1} & 0 \\ -C^{-1} B A^{-1} & C^{-1} \end{pmatrix}

    and again for A and C: most of it is matrix products, none of which are with zeros. That is less than half the
    arithmetic of a solution for all columns and one product.
    """
    # Smaller pieces take longer to call for than to compute; accelerators would rather have a single one.
    smallest = max(64, tril.shape[-1] // 8) if jax.default_backend() == "cpu" else tril.shape[-1]
    return _squared(_inverse(tril, smallest), smallest)


def _inverse(tril: Array, smallest: int) -> Array:
    n = tril.shape[-1]
    if n <= smallest:
        identity = jnp.broadcast_to(jnp.eye(n, dtype=tril.dtype), tril.shape)
        return solve_triangular(tril, identity, lower=True)
    half = n // 2
    upper, lower = _inverse(tril[..., :half, :half], smallest), _inverse(tril[..., half:, half:], smallest)
    corner = -lower @ (tril[..., half:, :half] @ upper)
    return _in_quarters(upper, jnp.zeros_like(transpose(corner)), corner, lower)


def _squared(tril: Array, smallest: int) -> Array:
    """Give the product of a lower factor's transpose with the factor."""
    n = tril.shape[-1]
    if n <= smallest:
        return transpose(tril) @ tril
    half = n // 2
    upper, corner, lower = tril[..., :half, :half], tril[..., half:, :half], tril[..., half:, half:]
    both = transpose(corner) @ lower
    first = _squared(upper, smallest) + transpose(corner) @ corner
    return _in_quarters(first, both, transpose(both), _squared(lower, smallest))


def _in_quarters(first: Array, second: Array, third: Array, fourth: Array) -> Array:
    rows = jnp.concatenate([first, second], axis=-1), jnp.concatenate([third, fourth], axis=-1)
    return jnp.concatenate(rows, axis=-2)


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
