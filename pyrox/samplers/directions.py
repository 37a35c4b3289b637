"""Learn the directions in which a posterior is long or short, from a window of draws and gradients.

The estimate needs matrix factorisations, which a native kernel has not: a chain pauses for it, between two calls, and
it is made by NumPy, which has nothing to compile.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from pyrox.samplers.kernel import State
from pyrox.samplers.metric_adaptation import missing_squares
from pyrox.samplers.vectors import namespace
from pyrox.typing import Array

# Draws that are kept, and weight of the identity beside them in the estimate.
WINDOW = 200
_SHRINKAGE = 1e-3
# When the metric is renewed: first, how much later each time, and last, as a share of the warm-up. The rest is for the
# step size: corners of a posterior that call for smaller steps are seldom met.
_FIRST_RENEWAL = 12
_GROWTH = 3
_LAST_SHARE = 0.5
# Fewer draws than this tell nothing.
_FEWEST = 5


class Window(NamedTuple):
    """The latest draws of the warm-up that moved, with their gradients."""

    draws: Array  # (rows + 1, dim), as a ring; the last row is for what is not kept
    gradients: Array
    count: Array  # rows written so far
    renewal: Array  # the iteration before which the metric is renewed next
    renewed: Array  # whether it has been, since the last transition
    misfit: Array  # how far from normal the posterior was found to be; see ``estimate``


def empty_window(rows: int, position: Array, num_warmup: Array) -> Window:
    """Give a window without draws; one of no rows keeps nothing at all."""
    blank = jnp.zeros((rows + 1 if rows else 0, *position.shape), position.dtype)
    one = jnp.ones((), position.dtype)
    renewal = jnp.asarray(first_renewal(num_warmup), jnp.int32)
    return Window(blank, blank, jnp.int32(0), renewal, renewed=jnp.zeros((), bool), misfit=one)


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


def first_renewal(num_warmup: Array) -> Array:
    """Give the first iteration before which the metric is renewed, earlier in a short warm-up."""
    return namespace(num_warmup).minimum(_FIRST_RENEWAL, num_warmup // 3)


def last_renewal(num_warmup: Array) -> Array:
    """Give the last iteration of the warm-up before which the metric is renewed."""
    return (_LAST_SHARE * num_warmup).astype(np.int32)


def schedule_next(window: Window, num_warmup: Array) -> Window:
    """Plan the next renewal: after three times as many iterations, the last one at its fixed place."""
    xp, last = namespace(window.draws), last_renewal(num_warmup)
    after = _GROWTH * xp.maximum(window.renewal, 1)
    return window._replace(renewal=xp.where((window.renewal < last) & (2 * after > last), last, after))


def estimate(window: Window) -> tuple[Array, Array, Array, Array]:
    r"""Estimate an inverse mass :math:`S (I + U (\Lambda - I) U^T) S` from the younger half of all draws.

    .. math:: S_{ii}^2 = \sqrt{\mathrm{var}(q_i) / \mathrm{var}(g_i)}, \qquad A C_g A = C_q

    S is the best diagonal. In the span of the scaled draws and gradients, A minimises the Fisher divergence between the
    posterior and a normal distribution with this covariance: it is the geometric mean of the covariance of the draws
    and the inverse of that of the gradients. U and :math:`\Lambda` are its eigenvectors and eigenvalues.

    In units of this metric draws and gradients have the same covariance, :math:`A^{1/2} C_g A^{1/2}`: the identity if
    the posterior is normal. Where it is narrow in some places and wide in others gradients vary more than a normal
    posterior's, and the largest eigenvalue tells how much.

    Parameters
    ----------
    window
        Draws with their gradients.

    Returns
    -------
    Diagonal of S, shape ``(dim,)``; U, shape ``(dim, n)``; diagonal of :math:`\Lambda`, shape ``(n,)``; that largest
    eigenvalue over what it comes to by chance, at least one. Of NumPy's arrays NumPy's arrays.

    References
    ----------
    .. [1] Seyboldt, Carlson, Carpenter (2026), Preconditioning Hamiltonian Monte Carlo by minimizing Fisher divergence,
       arXiv:2603.18845.
    """
    xp, dtype = namespace(window.draws), window.draws.dtype
    rows = window.draws.shape[0] - 1
    n = xp.clip((window.count + 1) // 2, 1, rows).astype(dtype)
    age = (window.count - 1 - np.arange(rows)) % rows
    used = ((age < n) & (np.arange(rows) < window.count)).astype(dtype)[:, None]
    draws, gradients = _centre(window.draws[:-1], used, n), _centre(window.gradients[:-1], used, n)
    tiny, (squares, slopes) = np.finfo(dtype).tiny, ((x**2).sum(0) for x in (draws, gradients))
    missing = missing_squares(squares, slopes, n)
    ratio = xp.sqrt((squares + tiny) / (slopes + missing + tiny))
    scale = xp.sqrt(xp.clip(ratio, 1e-20, 1e20))
    draws, gradients = draws / scale, gradients * scale
    basis = _span(xp.concatenate([draws, gradients]))
    missing = (basis.T * (missing * scale**2)) @ basis
    draws, gradients = _shrunk(draws @ basis, n), _shrunk(gradients @ basis, n) + missing / n
    values, vectors = _eigh(gradients)
    root, inverse_root = _compose(values**0.5, vectors), _compose(values**-0.5, vectors)
    values, vectors = _eigh(root @ draws @ root)
    stretch, vectors = _eigh(inverse_root @ _compose(values**0.5, vectors) @ inverse_root)
    # Draws depend on one another: they vary by chance as a third as many would.
    misfit = xp.sqrt(values[-1]) / (1 + xp.sqrt(3 * len(values) / n)) ** 2
    return scale, basis @ vectors, xp.clip(stretch, 1e-10, 1e10), xp.maximum(misfit, 1.0).astype(dtype)


def knows_enough(window: Window) -> Array:
    """Tell whether a window has draws enough for an estimate."""
    return window.count >= _FEWEST


def _span(rows: Array) -> Array:
    """Give an orthonormal basis of the span of rows as columns, of all directions where the rows are many."""
    number, dim = rows.shape
    if dim <= number:
        return np.eye(dim, dtype=rows.dtype)
    # By the small matrix of products, several times faster than a QR decomposition; a column of zeros where the
    # rows depend on one another.
    values, vectors = _eigh(rows @ rows.T)
    negligible = values < 1e-10 * values[-1]
    xp = namespace(rows)
    return rows.T @ xp.where(negligible, 0.0, vectors / xp.sqrt(values))


def _centre(x: Array, used: Array, n: Array) -> Array:
    mean = (x * used).sum(0) / n
    return (x - mean) * used


def _shrunk(x: Array, n: Array) -> Array:
    identity = np.eye(x.shape[1], dtype=x.dtype)
    return (x.T @ x + _SHRINKAGE * identity) / (n + _SHRINKAGE)


def _eigh(matrix: Array) -> tuple[Array, Array]:
    xp = namespace(matrix)
    # NumPy raises where numbers are not finite; such a window tells nothing.
    matrix = xp.where(xp.isfinite(matrix).all(), matrix, np.eye(len(matrix), dtype=matrix.dtype))
    values, vectors = xp.linalg.eigh(matrix)
    return xp.maximum(values, np.finfo(matrix.dtype).tiny), vectors


def _compose(values: Array, vectors: Array) -> Array:
    return (vectors * values) @ vectors.T
