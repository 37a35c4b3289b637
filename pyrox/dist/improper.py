"""Improper priors: a density of one, which nothing can be drawn from."""

import jax.numpy as jnp

from pyrox.dist import constraints
from pyrox.dist.distribution import Distribution
from pyrox.typing import Array, Key, Shape


class Flat(Distribution):
    r"""Improper uniform distribution on the real line, :math:`p(x) \propto 1`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.Flat().log_prob(3.0))
    0.0
    """

    support = constraints.real

    def _sample(self, key: Key, shape: Shape) -> Array:
        raise NotImplementedError(f"{type(self).__name__} is improper: it has no draws, so give a proper prior")

    def _log_prob(self, value: Array) -> Array:
        return jnp.zeros_like(value)

    def _mean(self) -> Array:
        return jnp.asarray(jnp.nan)

    _variance = _entropy = _mean


class HalfFlat(Flat):
    r"""Improper uniform distribution on the positive half line, :math:`p(x) \propto 1` for :math:`x > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.HalfFlat().log_prob(-1.0))
    -inf
    """

    support = constraints.positive
