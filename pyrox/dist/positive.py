"""Distributions on the positive half line."""

import jax
import jax.numpy as jnp
from jax.scipy.special import erf, erfinv, gammainc, gammaincc, log_ndtr, ndtr, ndtri

from pyrox.dist import constraints
from pyrox.dist.distribution import Distribution, param
from pyrox.dist.special import HALF_LOG_2PI, LOG_2, LOG_PI, digamma, gammaln, log_or_minus_inf
from pyrox.typing import Array, Key, Shape

_ROOT_2 = 2**0.5


class HalfNormal(Distribution):
    r"""Distribution of the absolute value of a centred normal.

    .. math:: p(x) = \frac{\sqrt{2}}{\sigma \sqrt{\pi}} \exp\left(-\frac{x^2}{2\sigma^2}\right), \quad x > 0

    Parameters
    ----------
    scale
        Scale :math:`\sigma > 0`, in the units of x.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.HalfNormal(1.0).log_prob(1.0)), 4)
    -0.7258
    """

    scale: Array = param(constraints.positive, default=1.0, alias="sigma")
    support = constraints.positive

    def _sample(self, key: Key, shape: Shape) -> Array:
        return self.scale * jnp.abs(jax.random.normal(key, shape))

    def _log_prob(self, value: Array) -> Array:
        z = value / self.scale
        return -0.5 * z * z - (jnp.log(self.scale) + HALF_LOG_2PI - LOG_2)

    def _cdf(self, value: Array) -> Array:
        return erf(value / (self.scale * _ROOT_2))

    def _log_sf(self, value: Array) -> Array:
        return LOG_2 + log_ndtr(-value / self.scale)

    def _icdf(self, q: Array) -> Array:
        return self.scale * _ROOT_2 * erfinv(q)

    def _mean(self) -> Array:
        return self.scale * (2 / jnp.pi) ** 0.5

    def _variance(self) -> Array:
        return self.scale**2 * (1 - 2 / jnp.pi)

    def _entropy(self) -> Array:
        return 0.5 + HALF_LOG_2PI - LOG_2 + jnp.log(self.scale)


class HalfCauchy(Distribution):
    r"""Distribution of the absolute value of a centred Cauchy: infinite mean.

    .. math:: p(x) = \frac{2}{\pi \beta (1 + (x / \beta)^2)}, \quad x > 0

    Parameters
    ----------
    scale
        Median :math:`\beta > 0`, in the units of x.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.HalfCauchy(1.0).cdf(1.0)), 4)
    0.5
    """

    scale: Array = param(constraints.positive, default=1.0, alias="beta")
    support = constraints.positive

    def _sample(self, key: Key, shape: Shape) -> Array:
        return self.scale * jnp.abs(jax.random.cauchy(key, shape))

    def _log_prob(self, value: Array) -> Array:
        z = value / self.scale
        return LOG_2 - LOG_PI - jnp.log(self.scale) - jnp.log1p(z * z)

    def _cdf(self, value: Array) -> Array:
        return 2 / jnp.pi * jnp.arctan(value / self.scale)

    def _log_sf(self, value: Array) -> Array:
        return jnp.log(2 / jnp.pi * jnp.arctan2(self.scale, value))

    def _icdf(self, q: Array) -> Array:
        return self.scale * jnp.tan(0.5 * jnp.pi * q)

    def _mean(self) -> Array:
        return jnp.full_like(self.scale, jnp.inf)

    _variance = _mean

    def _entropy(self) -> Array:
        return jnp.log(2 * jnp.pi * self.scale)


class Exponential(Distribution):
    r"""Exponential distribution.

    .. math:: p(x) = \lambda e^{-\lambda x}, \quad x > 0

    Parameters
    ----------
    rate
        Rate :math:`\lambda > 0`, the inverse of the mean.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.Exponential(2.0).mean)
    0.5
    """

    rate: Array = param(constraints.positive, default=1.0, alias="lam")
    support = constraints.positive

    def _sample(self, key: Key, shape: Shape) -> Array:
        return jax.random.exponential(key, shape) / self.rate

    def _log_prob(self, value: Array) -> Array:
        return jnp.log(self.rate) - self.rate * value

    def _cdf(self, value: Array) -> Array:
        return -jnp.expm1(-self.rate * value)

    def _log_sf(self, value: Array) -> Array:
        return -self.rate * value

    def _icdf(self, q: Array) -> Array:
        return -jnp.log1p(-q) / self.rate

    def _mean(self) -> Array:
        return 1 / self.rate

    def _variance(self) -> Array:
        return 1 / self.rate**2

    def _entropy(self) -> Array:
        return 1 - jnp.log(self.rate)


class Gamma(Distribution):
    r"""Gamma distribution.

    .. math:: p(x) = \frac{\beta^\alpha}{\Gamma(\alpha)} x^{\alpha - 1} e^{-\beta x}, \quad x > 0

    Parameters
    ----------
    concentration
        Shape :math:`\alpha > 0`.
    rate
        Rate :math:`\beta > 0`, an inverse scale.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.Gamma(3.0, 2.0).mean)
    1.5
    """

    concentration: Array = param(constraints.positive, alias="alpha")
    rate: Array = param(constraints.positive, default=1.0, alias="beta")
    support = constraints.positive

    def _sample(self, key: Key, shape: Shape) -> Array:
        return jax.random.gamma(key, self.concentration, shape) / self.rate

    def _log_prob(self, value: Array) -> Array:
        constant = self.concentration * jnp.log(self.rate) - gammaln(self.concentration)
        return constant + (self.concentration - 1) * jnp.log(value) - self.rate * value

    def _cdf(self, value: Array) -> Array:
        return gammainc(self.concentration, self.rate * value)

    def _log_sf(self, value: Array) -> Array:
        return log_or_minus_inf(gammaincc(self.concentration, self.rate * value))

    def _mean(self) -> Array:
        return self.concentration / self.rate

    def _variance(self) -> Array:
        return self.concentration / self.rate**2

    def _entropy(self) -> Array:
        a = self.concentration
        return a - jnp.log(self.rate) + gammaln(a) + (1 - a) * digamma(a)


class InverseGamma(Distribution):
    r"""Distribution of the reciprocal of a gamma variable.

    .. math:: p(x) = \frac{\beta^\alpha}{\Gamma(\alpha)} x^{-\alpha - 1} e^{-\beta / x}, \quad x > 0

    Parameters
    ----------
    concentration
        Shape :math:`\alpha > 0`.
    rate
        Scale :math:`\beta > 0` of x: the rate of :math:`1 / x`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.InverseGamma(3.0, 2.0).mean)
    1.0
    """

    concentration: Array = param(constraints.positive, alias="alpha")
    rate: Array = param(constraints.positive, default=1.0, alias="beta")
    support = constraints.positive

    def _sample(self, key: Key, shape: Shape) -> Array:
        return self.rate / jax.random.gamma(key, self.concentration, shape)

    def _log_prob(self, value: Array) -> Array:
        constant = self.concentration * jnp.log(self.rate) - gammaln(self.concentration)
        return constant - (self.concentration + 1) * jnp.log(value) - self.rate / value

    def _cdf(self, value: Array) -> Array:
        return gammaincc(self.concentration, self.rate / value)

    def _log_sf(self, value: Array) -> Array:
        return log_or_minus_inf(gammainc(self.concentration, self.rate / value))

    def _mean(self) -> Array:
        a = self.concentration
        return jnp.where(a > 1, self.rate / jnp.where(a > 1, a - 1, 1), jnp.inf)

    def _variance(self) -> Array:
        a = jnp.where(self.concentration > 2, self.concentration, 3)
        return jnp.where(self.concentration > 2, (self.rate / (a - 1)) ** 2 / (a - 2), jnp.inf)

    def _entropy(self) -> Array:
        a = self.concentration
        return a + jnp.log(self.rate) + gammaln(a) - (1 + a) * digamma(a)


class LogNormal(Distribution):
    r"""Distribution of the exponential of a normal variable.

    .. math:: p(x) = \frac{1}{x \sigma \sqrt{2\pi}} \exp\left(-\frac{(\log x - \mu)^2}{2\sigma^2}\right), \quad x > 0

    Parameters
    ----------
    loc
        Mean :math:`\mu` of :math:`\log x`.
    scale
        Standard deviation :math:`\sigma > 0` of :math:`\log x`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.LogNormal(0.0, 1.0).cdf(1.0))
    0.5
    """

    loc: Array = param(constraints.real, default=0.0, alias="mu")
    scale: Array = param(constraints.positive, default=1.0, alias="sigma")
    support = constraints.positive

    def _sample(self, key: Key, shape: Shape) -> Array:
        return jnp.exp(self.loc + self.scale * jax.random.normal(key, shape))

    def _log_prob(self, value: Array) -> Array:
        log_value = jnp.log(value)
        z = (log_value - self.loc) / self.scale
        return -0.5 * z * z - log_value - (jnp.log(self.scale) + HALF_LOG_2PI)

    def _cdf(self, value: Array) -> Array:
        return ndtr((jnp.log(value) - self.loc) / self.scale)

    def _log_cdf(self, value: Array) -> Array:
        return log_ndtr((jnp.log(value) - self.loc) / self.scale)

    def _log_sf(self, value: Array) -> Array:
        return log_ndtr((self.loc - jnp.log(value)) / self.scale)

    def _icdf(self, q: Array) -> Array:
        return jnp.exp(self.loc + self.scale * ndtri(q))

    def _mean(self) -> Array:
        return jnp.exp(self.loc + 0.5 * self.scale**2)

    def _variance(self) -> Array:
        return jnp.expm1(self.scale**2) * jnp.exp(2 * self.loc + self.scale**2)

    def _entropy(self) -> Array:
        return self.loc + 0.5 + HALF_LOG_2PI + jnp.log(self.scale)
