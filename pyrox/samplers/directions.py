"""Learn the directions in which a posterior is long or short, from a window of draws and gradients.

The estimate needs matrix factorisations, which a native kernel has not: a chain pauses for it, between two calls.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from pyrox.samplers.kernel import State
from pyrox.typing import Array

# Draws that are kept, and weight of the identity beside them in the estimate.
WINDOW = 200
_SHRINKAGE = 1e-3
# When the metric is renewed: first, how much later each time, and up to which share of the warm-up.
FIRST_RENEWAL = 10
_GROWTH = 1.5
_LAST_SHARE = 0.85


class Window(NamedTuple):
    """The latest draws of the warm-up that moved, with their gradients."""

    draws: Array  # (rows + 1, dim), as a ring; the last row is for what is not kept
    gradients: Array
    count: Array  # rows written so far
    renewal: Array  # the iteration before which the metric is renewed next


def empty_window(rows: int, position: Array) -> Window:
    """Give a window without draws; one of no rows keeps nothing at all."""
    blank = jnp.zeros((rows + 1 if rows else 0, *position.shape), position.dtype)
    return Window(blank, blank, jnp.int32(0), jnp.int32(FIRST_RENEWAL))


def record(window: Window, state: State, use: Array) -> Window:
    """Keep a draw, if it is of use."""
    rows = window.draws.shape[0] - 1
    # A draw of no use goes to a row that nobody reads: cheaper than choosing between two arrays.
    row = jnp.where(use, window.count % rows, rows)
    return window._replace(
        draws=lax.dynamic_update_index_in_dim(window.draws, state.position, row, 0),
        gradients=lax.dynamic_update_index_in_dim(window.gradients, state.gradient, row, 0),
        count=window.count + use,
    )


def last_renewal(num_warmup: Array) -> Array:
    """Give the last iteration of the warm-up before which the metric is renewed."""
    return jnp.floor(_LAST_SHARE * num_warmup).astype(jnp.int32)


def schedule_next(window: Window, num_warmup: Array) -> Window:
    """Plan the next renewal: after half as many iterations again, the last one at its fixed place."""
    last = last_renewal(num_warmup)
    after = jnp.maximum(window.renewal + FIRST_RENEWAL, jnp.floor(_GROWTH * window.renewal).astype(jnp.int32))
    after = jnp.where((window.renewal < last) & (_GROWTH * after > last), last, after)
    return window._replace(renewal=after)


def estimate(window: Window) -> tuple[Array, Array, Array]:
    r"""Estimate an inverse mass :math:`S (I + U (\Lambda - I) U^T) S` from the younger half of all draws.

    .. math:: S_{ii}^2 = \sqrt{\mathrm{var}(q_i) / \mathrm{var}(g_i)}, \qquad A C_g A = C_q

    S is the best diagonal. In the span of the scaled draws and gradients, A minimises the Fisher divergence between the
    posterior and a normal distribution with this covariance: it is the geometric mean of the covariance of the draws
    and the inverse of that of the gradients. U and :math:`\Lambda` are its eigenvectors and eigenvalues.

    Parameters
    ----------
    window
        Draws with their gradients.

    Returns
    -------
    Diagonal of S, shape ``(dim,)``; U, shape ``(dim, n)``; diagonal of :math:`\Lambda`, shape ``(n,)``.

    References
    ----------
    .. [1] Seyboldt, Carlson, Carpenter (2026), Preconditioning Hamiltonian Monte Carlo by minimizing Fisher divergence,
       arXiv:2603.18845.
    """
    rows = window.draws.shape[0] - 1
    n = jnp.clip((window.count + 1) // 2, 1, rows)
    age = (window.count - 1 - jnp.arange(rows)) % rows
    used = ((age < n) & (jnp.arange(rows) < window.count)).astype(window.draws.dtype)[:, None]
    draws, gradients = _centre(window.draws[:-1], used, n), _centre(window.gradients[:-1], used, n)
    tiny = jnp.finfo(draws.dtype).tiny
    ratio = jnp.sqrt((jnp.sum(draws**2, 0) + tiny) / (jnp.sum(gradients**2, 0) + tiny))
    scale = jnp.sqrt(jnp.clip(ratio, 1e-20, 1e20))
    draws, gradients = draws / scale, gradients * scale
    basis = _span(jnp.concatenate([draws, gradients]))
    draws, gradients = _shrunk(draws @ basis, n), _shrunk(gradients @ basis, n)
    values, vectors = _eigh(gradients)
    root, inverse_root = _compose(values**0.5, vectors), _compose(values**-0.5, vectors)
    values, vectors = _eigh(root @ draws @ root)
    stretch, vectors = _eigh(inverse_root @ _compose(values**0.5, vectors) @ inverse_root)
    # Two draws tell no directions.
    return scale, basis @ vectors, jnp.where(n > 2, jnp.clip(stretch, 1e-10, 1e10), 1.0)


def _span(rows: Array) -> Array:
    """Give an orthonormal basis of the span of rows as columns, of all directions where the rows are many."""
    number, dim = rows.shape
    if dim <= number:
        return jnp.eye(dim, dtype=rows.dtype)
    # By the small matrix of products, several times faster than a QR decomposition; a column of zeros where the
    # rows depend on one another.
    values, vectors = _eigh(rows @ rows.T)
    negligible = values < 1e-10 * values[-1]
    return rows.T @ jnp.where(negligible, 0.0, vectors / jnp.sqrt(values))


def _centre(x: Array, used: Array, n: Array) -> Array:
    mean = jnp.sum(x * used, 0) / n
    return (x - mean) * used


def _shrunk(x: Array, n: Array) -> Array:
    identity = jnp.eye(x.shape[1], dtype=x.dtype)
    return (x.T @ x + _SHRINKAGE * identity) / (n + _SHRINKAGE)


def _eigh(matrix: Array) -> tuple[Array, Array]:
    values, vectors = jnp.linalg.eigh(matrix)
    return jnp.maximum(values, jnp.finfo(matrix.dtype).tiny), vectors


def _compose(values: Array, vectors: Array) -> Array:
    return (vectors * values) @ vectors.T
