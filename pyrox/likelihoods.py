"""Sums over rows that the engine finds in a traced log-density, and may compute from fewer numbers or by blocks."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from pyrox.typing import Array

# From this many rows on a sum is worth a call of its own.
MANY_ROWS = 32

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def _sum_of_normal_rows(value: Array, loc: Array, scale: Array) -> Array:
    z = (value - loc) / scale
    return jnp.sum(-0.5 * z * z - HALF_LOG_2PI - jnp.log(scale))


_marked = jax.jit(_sum_of_normal_rows)


# Its own rule of derivatives is the mark: what comes of differentiating it is traced as plain arithmetic.
@jax.custom_jvp
def normal_rows(value: Array, loc: Array, scale: Array) -> Array:
    r"""Sum the log-densities of independent normal values.

    .. math:: \sum_i \log N(x_i; \mu_i, \sigma_i)

    Parameters
    ----------
    value
        Values x, shape ``(n,)``.
    loc, scale
        Means and standard deviations, each of shape ``(n,)`` or ``()``; all of one floating dtype.

    Returns
    -------
    A number.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.likelihoods import normal_rows
    >>> round(float(normal_rows(jnp.zeros(2), jnp.array(0.0), jnp.array(1.0))), 4)
    -1.8379
    """
    return _marked(value, loc, scale)


@normal_rows.defjvp
def _normal_rows_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return jax.jvp(_sum_of_normal_rows, primals, tangents)


def is_normal_rows(eqn: Any) -> bool:
    """Tell whether an equation of a jaxpr is a call of ``normal_rows``, and of nothing that was made from it."""
    if eqn.primitive.name != "custom_jvp_call" or len(eqn.invars) != 3 or eqn.outvars[0].aval.shape:
        return False
    inside = eqn.params["call_jaxpr"].eqns
    return len(inside) == 1 and inside[0].params.get("name") == _sum_of_normal_rows.__name__


# A product of this many factors between 1 and 2 stays far below the largest number.
_FACTORS = {"float64": 512, "float32": 64}


@jax.jit
def sum_log1p(u: Array) -> Array:
    r"""Compute :math:`\sum_i \log(1 + u_i)` for :math:`0 \le u_i \le 1`.

    A logarithm costs as much as ten multiplications: the factors are multiplied in lanes, one logarithm for each.
    """
    lanes = max(8, -(-u.size // _FACTORS.get(str(u.dtype), 8)))
    rows = -(-u.size // lanes)
    padded = jnp.pad(jnp.ravel(u), (0, lanes * rows - u.size)).reshape(rows, lanes)
    return jnp.sum(jnp.log(jnp.prod(1 + padded, axis=0)))
