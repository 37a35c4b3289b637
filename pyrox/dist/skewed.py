"""Distributions on the real line that lean to one side."""

import jax
import jax.numpy as jnp
from jax.scipy.special import erf, erfc, log_ndtr, ndtri

from pyrox.dist import constraints
from pyrox.dist.distribution import Distribution, param
from pyrox.dist.real import LocScale
from pyrox.dist.special import EULER_GAMMA, HALF_LOG_2PI, LOG_2, log_subtract
from pyrox.typing import Array, ArrayLike, Key, Shape


class AsymmetricLaplace(LocScale):
    r"""Laplace distribution with different slopes on its two sides.

    .. math:: p(x) = \frac{1}{b (\kappa + 1 / \kappa)} \exp\left(-\kappa^s |x - \mu| / b\right),
        \quad s = \mathrm{sign}(x - \mu)

    Parameters
    ----------
    loc
        Mode :math:`\mu`, any shape.
    scale
        Scale :math:`b > 0`.
    asymmetry
        Ratio :math:`\kappa > 0`: above one, the left tail is the heavier.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.AsymmetricLaplace(0.0, 1.0, 1.0).log_prob(0.0)), 4)
    -0.6931
    """

    loc: Array = param(constraints.real, default=0.0, alias="mu")
    scale: Array = param(constraints.positive, default=1.0, alias="scale")
    asymmetry: Array = param(constraints.positive, default=1.0, alias="kappa")

    def _draw(self, key: Key, shape: Shape) -> Array:
        rise, fall = jax.random.exponential(key, (2, *shape))
        return rise / self.asymmetry - fall * self.asymmetry

    def _log_density(self, z: Array) -> Array:
        k = self.asymmetry
        return jnp.where(z < 0, z / k, -z * k) - jnp.log(k + 1 / k)

    def _below(self, z: Array) -> Array:
        k = self.asymmetry
        left = k**2 / (1 + k**2) * jnp.exp(jnp.minimum(z, 0) / k)
        return jnp.where(z < 0, left, 1 - jnp.exp(-k * jnp.maximum(z, 0)) / (1 + k**2))

    def _log_below(self, z: Array) -> Array:
        k = self.asymmetry
        right = jnp.log1p(-jnp.exp(-k * jnp.maximum(z, 0)) / (1 + k**2))
        return jnp.where(z < 0, z / k - jnp.log1p(1 / k**2), right)

    def _log_above(self, z: Array) -> Array:
        return AsymmetricLaplace(asymmetry=1 / self.asymmetry)._log_below(-z)

    def _quantile(self, q: Array) -> Array:
        k = self.asymmetry
        at_mode = k**2 / (1 + k**2)
        left = k * jnp.log(jnp.minimum(q / at_mode, 1))
        return jnp.where(q < at_mode, left, -jnp.log(jnp.minimum((1 - q) * (1 + k**2), 1)) / k)

    def _moments(self) -> tuple[ArrayLike, ArrayLike]:
        k = self.asymmetry
        return 1 / k - k, 1 / k**2 + k**2

    def _spread(self) -> ArrayLike:
        return 1 + jnp.log(self.asymmetry + 1 / self.asymmetry)


class ExGaussian(Distribution):
    r"""Sum of a normal and an exponential variable.

    .. math:: p(x) = \frac{1}{\nu} \exp\left(\frac{\mu - x}{\nu} + \frac{\sigma^2}{2\nu^2}\right)
        \Phi\left(\frac{x - \mu}{\sigma} - \frac{\sigma}{\nu}\right)

    Parameters
    ----------
    loc
        Mean :math:`\mu` of the normal part.
    scale
        Its standard deviation :math:`\sigma > 0`.
    tail
        Mean :math:`\nu > 0` of the exponential part.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.ExGaussian(1.0, 1.0, 2.0).mean)
    3.0
    """

    loc: Array = param(constraints.real, default=0.0, alias="mu")
    scale: Array = param(constraints.positive, default=1.0, alias="sigma")
    tail: Array = param(constraints.positive, default=1.0, alias="nu")
    support = constraints.real

    def _sample(self, key: Key, shape: Shape) -> Array:
        key_normal, key_tail = jax.random.split(key)
        normal = jax.random.normal(key_normal, shape)
        return self.loc + self.scale * normal + self.tail * jax.random.exponential(key_tail, shape)

    def _log_tail(self, value: Array) -> tuple[Array, Array]:
        z, ratio = (value - self.loc) / self.scale, self.scale / self.tail
        return z, ratio * (0.5 * ratio - z) + log_ndtr(z - ratio)

    def _log_prob(self, value: Array) -> Array:
        return self._log_tail(value)[1] - jnp.log(self.tail)

    def _cdf(self, value: Array) -> Array:
        return jnp.exp(self._log_cdf(value))

    def _log_cdf(self, value: Array) -> Array:
        z, log_tail = self._log_tail(value)
        return log_subtract(log_ndtr(z), log_tail)

    def _log_sf(self, value: Array) -> Array:
        z, log_tail = self._log_tail(value)
        return jnp.logaddexp(log_ndtr(-z), log_tail)

    def _mean(self) -> Array:
        return self.loc + self.tail

    def _variance(self) -> Array:
        return self.scale**2 + self.tail**2


class SkewNormal(LocScale):
    r"""Skew normal distribution.

    .. math:: p(x) = \frac{2}{\sigma} \phi(z) \Phi(\alpha z), \quad z = (x - \mu) / \sigma

    Parameters
    ----------
    loc
        Location :math:`\mu`: the mean where :math:`\alpha = 0`.
    scale
        Scale :math:`\sigma > 0`.
    skewness
        Slant :math:`\alpha`: positive leans to the right.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.SkewNormal(0.0, 1.0, 0.0).log_prob(0.0)), 4)
    -0.9189
    """

    loc: Array = param(constraints.real, default=0.0, alias="mu")
    scale: Array = param(constraints.positive, default=1.0, alias="sigma")
    skewness: Array = param(constraints.real, default=0.0, alias="alpha")

    @property
    def _lean(self) -> Array:
        return self.skewness / jnp.sqrt(1 + self.skewness**2)

    def _draw(self, key: Key, shape: Shape) -> Array:
        u, v = jax.random.normal(key, (2, *shape))
        return self._lean * jnp.abs(u) + jnp.sqrt(1 - self._lean**2) * v

    def _log_density(self, z: Array) -> Array:
        return LOG_2 - HALF_LOG_2PI - 0.5 * z * z + log_ndtr(self.skewness * z)

    def _moments(self) -> tuple[ArrayLike, ArrayLike]:
        mean = self._lean * (2 / jnp.pi) ** 0.5
        return mean, 1 - mean**2


class Moyal(LocScale):
    r"""Moyal distribution, an approximation of energy loss.

    .. math:: p(x) = \frac{1}{\sigma \sqrt{2\pi}} e^{-(z + e^{-z}) / 2}, \quad z = (x - \mu) / \sigma

    Parameters
    ----------
    loc
        Mode :math:`\mu`, any shape.
    scale
        Scale :math:`\sigma > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.Moyal(0.0, 1.0).log_prob(0.0)), 4)
    -1.4189
    """

    def _draw(self, key: Key, shape: Shape) -> Array:
        return -2 * jnp.log(jnp.abs(jax.random.normal(key, shape)))

    def _log_density(self, z: Array) -> Array:
        return -0.5 * (z + jnp.exp(-z)) - HALF_LOG_2PI

    def _below(self, z: Array) -> Array:
        return erfc(jnp.exp(-0.5 * z) / 2**0.5)

    def _log_below(self, z: Array) -> Array:
        return LOG_2 + log_ndtr(-jnp.exp(-0.5 * z))

    def _log_above(self, z: Array) -> Array:
        return jnp.log(erf(jnp.exp(-0.5 * z) / 2**0.5))

    def _quantile(self, q: Array) -> Array:
        return -2 * jnp.log(-ndtri(0.5 * q))

    def _moments(self) -> tuple[ArrayLike, ArrayLike]:
        return EULER_GAMMA + LOG_2, jnp.pi**2 / 2

    def _spread(self) -> ArrayLike:
        return HALF_LOG_2PI + 0.5 * (EULER_GAMMA + LOG_2 + 1)
