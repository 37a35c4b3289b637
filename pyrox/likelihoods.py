"""Likelihoods that the engine knows by name: it finds their calls in a traced log-density, and may do better."""

import math

import jax
import jax.numpy as jnp

from pyrox.typing import Array

# From this many rows on a sum is worth a call of its own.
MANY_ROWS = 32

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@jax.jit
def normal_rows(value: Array, loc: Array, scale: Array) -> Array:
    r"""Sum the log-densities of independent normal values.

    .. math:: \sum_i \log N(x_i; \mu_i, \sigma_i)

    Parameters
    ----------
    value
        Values x, shape ``(n,)``.
    loc, scale
        Means and standard deviations, each of shape ``(n,)`` or ``()``.

    Returns
    -------
    A number.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.likelihoods import normal_rows
    >>> round(float(normal_rows(jnp.zeros(2), 0.0, 1.0)), 4)
    -1.8379
    """
    z = (value - loc) / scale
    return jnp.sum(-0.5 * z * z - HALF_LOG_2PI - jnp.log(scale))
