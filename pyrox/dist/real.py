"""Distributions on the whole real line."""

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr, ndtr, ndtri

from pyrox.dist import constraints
from pyrox.dist.distribution import Distribution, param
from pyrox.dist.special import (
    EULER_GAMMA,
    HALF_LOG_2PI,
    LOG_2,
    LOG_PI,
    betainc,
    digamma,
    log_gamma_ratio,
    log_or_minus_inf,
    softplus,
)
from pyrox.likelihoods import MANY_ROWS, normal_rows
from pyrox.typing import Array, ArrayLike, Key, Shape


class LocScale(Distribution):
    r"""A standard distribution of z, moved and stretched: :math:`x = \mathrm{loc} + \mathrm{scale} \cdot z`.

    A family defines the standard case: ``_draw(key, shape)``, ``_log_density(z)`` and, where they exist,
    ``_below(z)`` (the cdf), ``_log_below(z)`` and ``_log_above(z)`` (logarithms of both tails), ``_quantile(q)``,
    ``_moments()`` (mean and variance of z) and ``_spread()`` (its entropy).

    Parameters
    ----------
    loc
        Location, any shape.
    scale
        Scale, positive, in the units of x.
    """

    loc: Array = param(constraints.real, default=0.0, alias="mu")
    scale: Array = param(constraints.positive, default=1.0, alias="sigma")
    support = constraints.real

    def _draw(self, key: Key, shape: Shape) -> Array:
        raise NotImplementedError(f"{type(self).__name__} cannot be sampled")

    def _log_density(self, z: Array) -> Array:
        raise NotImplementedError(f"{type(self).__name__} has no density")

    def _below(self, z: Array) -> Array:
        raise NotImplementedError(f"{type(self).__name__} has no closed cdf")

    def _log_below(self, z: Array) -> Array:
        return log_or_minus_inf(self._below(z))

    def _log_above(self, z: Array) -> Array:
        return log_or_minus_inf(1 - self._below(z))

    def _quantile(self, q: Array) -> Array:
        raise NotImplementedError(f"{type(self).__name__} has no closed quantile function")

    def _moments(self) -> tuple[ArrayLike, ArrayLike]:
        raise NotImplementedError(f"{type(self).__name__} has no closed moments")

    def _spread(self) -> ArrayLike:
        raise NotImplementedError(f"{type(self).__name__} has no closed entropy")

    def _sample(self, key: Key, shape: Shape) -> Array:
        return self.loc + self.scale * self._draw(key, shape)

    def _log_prob(self, value: Array) -> Array:
        return self._log_density((value - self.loc) / self.scale) - jnp.log(self.scale)

    def _cdf(self, value: Array) -> Array:
        return self._below((value - self.loc) / self.scale)

    def _log_cdf(self, value: Array) -> Array:
        return self._log_below((value - self.loc) / self.scale)

    def _log_sf(self, value: Array) -> Array:
        return self._log_above((value - self.loc) / self.scale)

    def _icdf(self, q: Array) -> Array:
        return self.loc + self.scale * self._quantile(q)

    def _mean(self) -> Array:
        return self.loc + self.scale * self._moments()[0]

    def _variance(self) -> Array:
        return self.scale**2 * self._moments()[1]

    def _entropy(self) -> Array:
        return self._spread() + jnp.log(self.scale)


class Symmetric(LocScale):
    """A location-scale family that is symmetric about its location: upper tails are as exact as lower ones."""

    def _log_above(self, z: Array) -> Array:
        return self._log_below(-z)


class Normal(Symmetric):
    r"""Normal distribution.

    .. math:: p(x) = \frac{1}{\sigma \sqrt{2\pi}} \exp\left(-\frac{(x - \mu)^2}{2\sigma^2}\right)

    Parameters
    ----------
    loc
        Mean :math:`\mu`, any shape.
    scale
        Standard deviation :math:`\sigma > 0`, in the units of x.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.Normal(0.0, 1.0).log_prob(0.0)), 4)
    -0.9189
    """

    def _draw(self, key: Key, shape: Shape) -> Array:
        return jax.random.normal(key, shape)

    def _log_density(self, z: Array) -> Array:
        return -0.5 * z * z - HALF_LOG_2PI

    def log_prob_sum(self, value: Array) -> Array:
        # A family derived from this one may have another density.
        if type(self) is not Normal or jnp.ndim(value) != 1 or jnp.size(value) < MANY_ROWS:
            return super().log_prob_sum(value)
        dtype = jnp.result_type(value, self.loc, self.scale, 1.0)
        return normal_rows(*(jnp.asarray(x, dtype) for x in (value, self.loc, self.scale)))

    def _below(self, z: Array) -> Array:
        return ndtr(z)

    def _log_below(self, z: Array) -> Array:
        return log_ndtr(z)

    def _quantile(self, q: Array) -> Array:
        return ndtri(q)

    def _moments(self) -> tuple[ArrayLike, ArrayLike]:
        return 0.0, 1.0

    def _spread(self) -> ArrayLike:
        return 0.5 + HALF_LOG_2PI


class Cauchy(Symmetric):
    r"""Cauchy distribution: no mean, no variance.

    .. math:: p(x) = \frac{1}{\pi \beta \left(1 + ((x - \alpha) / \beta)^2\right)}

    Parameters
    ----------
    loc
        Median :math:`\alpha`, any shape.
    scale
        Half width at half maximum :math:`\beta > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.Cauchy(0.0, 1.0).log_prob(0.0)), 4)
    -1.1447
    """

    loc: Array = param(constraints.real, default=0.0, alias="alpha")
    scale: Array = param(constraints.positive, default=1.0, alias="beta")

    def _draw(self, key: Key, shape: Shape) -> Array:
        return jax.random.cauchy(key, shape)

    def _log_density(self, z: Array) -> Array:
        return -LOG_PI - jnp.log1p(z * z)

    def _below(self, z: Array) -> Array:
        return jnp.arctan2(1.0, -z) / jnp.pi  # keeps its digits in the lower tail

    def _quantile(self, q: Array) -> Array:
        return -1 / jnp.tan(jnp.pi * q)

    def _moments(self) -> tuple[ArrayLike, ArrayLike]:
        return jnp.nan, jnp.nan

    def _spread(self) -> ArrayLike:
        return jnp.log(4 * jnp.pi)


class StudentT(Symmetric):
    r"""Student's t distribution.

    .. math:: p(x) = \frac{\Gamma(\frac{\nu + 1}{2})}{\Gamma(\frac{\nu}{2}) \sqrt{\pi \nu} \sigma}
        \left(1 + \frac{1}{\nu} \left(\frac{x - \mu}{\sigma}\right)^2\right)^{-\frac{\nu + 1}{2}}

    Parameters
    ----------
    df
        Degrees of freedom :math:`\nu > 0`.
    loc
        Location :math:`\mu`, any shape.
    scale
        Scale :math:`\sigma > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.StudentT(3.0).log_prob(0.0)), 4)
    -1.0009
    """

    df: Array = param(constraints.positive, alias="nu")
    reparametrized_params = ["df", "loc", "scale"]

    def _draw(self, key: Key, shape: Shape) -> Array:
        return jax.random.t(key, self.df, shape)

    def _log_prob(self, value: Array) -> Array:
        z = (value - self.loc) / self.scale
        half = 0.5 * self.df
        constant = log_gamma_ratio(half, 0.5) - 0.5 * (LOG_PI + jnp.log(self.df)) - jnp.log(self.scale)
        return constant - (half + 0.5) * jnp.log1p(z * z / self.df)

    def _below(self, z: Array) -> Array:
        square = z * z
        tail = 0.5 * betainc(0.5 * self.df, 0.5, self.df / (self.df + square))
        # Around the median the distance from it is what keeps its digits.
        near = square < self.df
        inner = 0.5 * betainc(0.5, 0.5 * self.df, jnp.where(near, square / (self.df + square), 0.5))
        return jnp.where(near, 0.5 + jnp.sign(z) * inner, jnp.where(z > 0, 1 - tail, tail))

    def _quantile(self, q: Array) -> ArrayLike:
        return Distribution._icdf(StudentT(self.df), q)

    def _moments(self) -> tuple[ArrayLike, ArrayLike]:
        variance = jnp.where(self.df > 2, self.df / jnp.where(self.df > 2, self.df - 2, 1), jnp.inf)
        return jnp.where(self.df > 1, 0.0, jnp.nan), jnp.where(self.df > 1, variance, jnp.nan)

    def _spread(self) -> ArrayLike:
        half = 0.5 * self.df
        log_beta = 0.5 * LOG_PI - log_gamma_ratio(half, 0.5)
        return (half + 0.5) * (digamma(half + 0.5) - digamma(half)) + 0.5 * jnp.log(self.df) + log_beta


class Laplace(Symmetric):
    r"""Laplace distribution.

    .. math:: p(x) = \frac{1}{2b} \exp\left(-\frac{|x - \mu|}{b}\right)

    Parameters
    ----------
    loc
        Median :math:`\mu`, any shape.
    scale
        Mean distance :math:`b > 0` from it.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.Laplace(0.0, 1.0).log_prob(0.0)), 4)
    -0.6931
    """

    loc: Array = param(constraints.real, default=0.0, alias="mu")
    scale: Array = param(constraints.positive, default=1.0, alias="b")

    def _draw(self, key: Key, shape: Shape) -> Array:
        return jax.random.laplace(key, shape)

    def _log_density(self, z: Array) -> Array:
        return -jnp.abs(z) - LOG_2

    def _below(self, z: Array) -> Array:
        tail = 0.5 * jnp.exp(-jnp.abs(z))
        return jnp.where(z < 0, tail, 1 - tail)

    def _log_below(self, z: Array) -> Array:
        return jnp.where(z < 0, z - LOG_2, jnp.log1p(-0.5 * jnp.exp(-jnp.abs(z))))

    def _quantile(self, q: Array) -> Array:
        return jnp.where(q < 0.5, jnp.log(2 * q), -jnp.log(2 - 2 * q))

    def _moments(self) -> tuple[ArrayLike, ArrayLike]:
        return 0.0, 2.0

    def _spread(self) -> ArrayLike:
        return 1 + LOG_2


class Logistic(Symmetric):
    r"""Logistic distribution.

    .. math:: p(x) = \frac{e^{-z}}{s (1 + e^{-z})^2}, \quad z = (x - \mu) / s

    Parameters
    ----------
    loc
        Mean :math:`\mu`, any shape.
    scale
        Scale :math:`s > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.Logistic(0.0, 1.0).cdf(0.0))
    0.5
    """

    loc: Array = param(constraints.real, default=0.0, alias="mu")
    scale: Array = param(constraints.positive, default=1.0, alias="s")

    def _draw(self, key: Key, shape: Shape) -> Array:
        return jax.random.logistic(key, shape)

    def _log_density(self, z: Array) -> Array:
        return -z - 2 * softplus(-z)

    def _below(self, z: Array) -> Array:
        return jax.nn.sigmoid(z)

    def _log_below(self, z: Array) -> Array:
        return -softplus(-z)

    def _quantile(self, q: Array) -> Array:
        return jnp.log(q) - jnp.log1p(-q)

    def _moments(self) -> tuple[ArrayLike, ArrayLike]:
        return 0.0, jnp.pi**2 / 3

    def _spread(self) -> ArrayLike:
        return 2.0


class Gumbel(LocScale):
    r"""Gumbel distribution of largest values.

    .. math:: p(x) = \frac{1}{\beta} e^{-(z + e^{-z})}, \quad z = (x - \mu) / \beta

    Parameters
    ----------
    loc
        Mode :math:`\mu`, any shape.
    scale
        Scale :math:`\beta > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.Gumbel(0.0, 1.0).log_prob(0.0))
    -1.0
    """

    loc: Array = param(constraints.real, default=0.0, alias="mu")
    scale: Array = param(constraints.positive, default=1.0, alias="beta")

    def _draw(self, key: Key, shape: Shape) -> Array:
        return jax.random.gumbel(key, shape)

    def _log_density(self, z: Array) -> Array:
        return -z - jnp.exp(-z)

    def _below(self, z: Array) -> Array:
        return jnp.exp(-jnp.exp(-z))

    def _log_below(self, z: Array) -> Array:
        return -jnp.exp(-z)

    def _log_above(self, z: Array) -> Array:
        small = jnp.exp(-jnp.maximum(z, 30))  # 1 - exp(-s) is s to all digits
        return jnp.where(z > 30, -z - 0.5 * small, jnp.log(-jnp.expm1(-jnp.exp(-jnp.minimum(z, 30)))))

    def _quantile(self, q: Array) -> Array:
        return -jnp.log(-jnp.log(q))

    def _moments(self) -> tuple[ArrayLike, ArrayLike]:
        return EULER_GAMMA, jnp.pi**2 / 6

    def _spread(self) -> ArrayLike:
        return 1 + EULER_GAMMA
