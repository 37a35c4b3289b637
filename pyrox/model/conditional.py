"""Draw elements of a variable given its other elements."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import AR, DiscreteMarkovChain, Distribution, GaussianRandomWalk, MultivariateNormal, RandomWalk
from pyrox.dist.combinators import Expanded
from pyrox.errors import ModelError
from pyrox.typing import Array, Key

# By axis of a value: which of its slices are known, None where all are.
Known = Sequence[np.ndarray | None]


def merge(dist: Distribution, value: Array, known: Known, key: Key) -> Array:
    """Keep the known elements of a value and draw the others from the distribution, given the known ones.

    Parameters
    ----------
    dist
        The distribution.
    value
        A draw of the whole batch; its unknown elements count for nothing.
    known
        Which slices are known, by axis; an element is known if all its slices are.
    key
        A JAX key.

    Raises
    ------
    ModelError
        If an axis that the distribution draws together has unknown slices, and there is no rule for that.
    """
    fresh = dist.sample(key)
    batch_dim = value.ndim - dist.event_dim
    if any(flags is not None and not flags.all() for flags in known[batch_dim:]):
        # Copies that are not known at all have nothing to be conditioned on.
        given = _condition(dist, value, fresh, known[-1], jax.random.fold_in(key, 1))
        fresh = jnp.where(_mask(known[:batch_dim], value.ndim), given, fresh)
    return jnp.where(_mask(known, value.ndim), value, fresh)


def _mask(known: Known, ndim: int) -> np.ndarray:
    """Combine flags of the first axes of a value into one array that broadcasts with it."""
    mask = np.ones((1,) * ndim, bool)
    for axis, flags in enumerate(known):
        if flags is not None:
            mask = mask & np.reshape(flags, (-1,) + (1,) * (ndim - 1 - axis))
    return mask


def _condition(dist: Distribution, value: Array, fresh: Array, known: np.ndarray, key: Key) -> Array:
    """Turn a joint draw of the last axis into one given those elements that are known."""
    whole = _inner(dist)
    if not known.any():
        return fresh
    if isinstance(whole, MultivariateNormal):
        return _condition_normal(whole, value, fresh, known)
    if isinstance(whole, GaussianRandomWalk | RandomWalk) and _is_beginning(known):
        last = int(known.sum()) - 1
        return fresh + (value - fresh)[..., last, None]  # steps do not depend on where the walk has come to
    if isinstance(whole, AR) and _is_beginning(known):
        return _continue_autoregression(whole, value, fresh, int(known.sum()))
    if isinstance(whole, DiscreteMarkovChain) and _is_beginning(known):
        return whole.continue_path(key, value[..., : int(known.sum())])
    raise ModelError(
        f"{type(whole).__name__} draws all elements of its last {dist.event_dim} axes together: new ones cannot be "
        "drawn given those that are known"
    )


def _condition_normal(normal: MultivariateNormal, value: Array, fresh: Array, known: np.ndarray) -> Array:
    r"""Condition a normal vector (Matheron's rule).

    .. math:: x_u + \Sigma_{uk} \Sigma_{kk}^{-1} (v_k - x_k)
    """
    at = np.flatnonzero(known)
    covariance = normal.covariance_matrix
    across, within = covariance[..., :, at], covariance[..., at[:, None], at]
    gap = (value - fresh)[..., at, None]
    return fresh + jnp.squeeze(across @ jnp.linalg.solve(within, gap), -1)


def _continue_autoregression(series: AR, value: Array, fresh: Array, count: int) -> Array:
    r"""Have a series go on after its first values: what it differs by from a fresh one follows its coefficients.

    .. math:: d_t = \sum_{i=1}^p \rho_i d_{t-i}, \qquad d_t = v_t - x_t \text{ where } v_t \text{ is known}
    """
    order, length = series.order, value.shape[-1]
    gaps = jnp.where(np.arange(length) < count, value - fresh, 0.0)
    first = max(count, order)
    backwards = jnp.flip(series.rho[..., -order:], axis=-1)  # oldest first, as the values are

    def step(recent: Array, _: None) -> tuple[Array, Array]:
        new = jnp.sum(backwards * recent, axis=-1, keepdims=True)
        return jnp.concatenate([recent[..., 1:], new], axis=-1), new[..., 0]

    later = jax.lax.scan(step, gaps[..., first - order : first], None, length - first)[1]
    return fresh + jnp.concatenate([gaps[..., :first], jnp.moveaxis(later, 0, -1)], axis=-1)


def _inner(dist: Distribution) -> Distribution:
    return dist.base_dist if isinstance(dist, Expanded) else dist


def _is_beginning(known: np.ndarray) -> bool:
    return bool(known[: known.sum()].all())


def can_condition(dist: Distribution, known: np.ndarray) -> bool:
    """Tell whether the unknown elements of the last axis can be drawn given the others."""
    whole = _inner(dist)
    if isinstance(whole, AR) and known.sum() < whole.order:  # what came before the known ones is out of sight
        return False
    series = isinstance(whole, GaussianRandomWalk | RandomWalk | AR | DiscreteMarkovChain) and whole.event_dim == 1
    return (series and _is_beginning(known)) or isinstance(whole, MultivariateNormal)
