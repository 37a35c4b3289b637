"""Distributions of waiting times, sizes and other positive quantities with a shape of their own."""

import jax
import jax.numpy as jnp
from jax.scipy.special import i0e, i1e, log_ndtr

from pyrox.dist import constraints
from pyrox.dist.combinators import Derived
from pyrox.dist.constraints import Constraint, dependent_property
from pyrox.dist.distribution import Distribution, param
from pyrox.dist.positive import Gamma
from pyrox.dist.real import StudentT
from pyrox.dist.special import EULER_GAMMA, HALF_LOG_2PI, LOG_2, betainc, gammaln, log_gamma_ratio, log_subtract
from pyrox.typing import Array, Key, Shape


class Chi2(Derived):
    r"""Chi-squared distribution: the sum of squares of k standard normals.

    .. math:: p(x) = \frac{x^{k/2 - 1} e^{-x/2}}{2^{k/2} \Gamma(k/2)}, \quad x > 0

    Parameters
    ----------
    df
        Degrees of freedom k > 0.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.Chi2(3.0).variance)
    6.0
    """

    df: Array = param(constraints.positive, alias="nu")
    support = constraints.positive

    @property
    def meaning(self) -> Distribution:
        return Gamma(0.5 * self.df, 0.5)


class HalfStudentT(Distribution):
    r"""Distribution of the absolute value of a centred Student's t.

    .. math:: p(x) = 2\, t_\nu(x / \sigma) / \sigma, \quad x > 0

    Parameters
    ----------
    df
        Degrees of freedom :math:`\nu > 0`.
    scale
        Scale :math:`\sigma > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.HalfStudentT(1.0, 1.0).cdf(1.0)), 4)
    0.5
    """

    df: Array = param(constraints.positive, alias="nu")
    scale: Array = param(constraints.positive, default=1.0, alias="sigma")
    support = constraints.positive

    @property
    def _whole(self) -> StudentT:
        return StudentT(self.df, 0.0, self.scale)

    def _sample(self, key: Key, shape: Shape) -> Array:
        return jnp.abs(self._whole._sample(key, shape))

    def _log_prob(self, value: Array) -> Array:
        return LOG_2 + self._whole._log_prob(value)

    def _cdf(self, value: Array) -> Array:
        z = value / self.scale
        return betainc(0.5, 0.5 * self.df, z * z / (self.df + z * z))

    def _log_sf(self, value: Array) -> Array:
        return LOG_2 + self._whole._log_sf(value)

    def _mean(self) -> Array:
        half = 0.5 * jnp.where(self.df > 1, self.df, 2.0)
        ratio = jnp.exp(log_gamma_ratio(half, 0.5)) / (half - 0.5)
        return jnp.where(self.df > 1, self.scale * jnp.sqrt(self.df / jnp.pi) * ratio, jnp.inf)

    def _variance(self) -> Array:
        above = jnp.where(self.df > 2, self.df, 3.0)
        return jnp.where(self.df > 2, self.scale**2 * above / (above - 2) - self._mean() ** 2, jnp.inf)

    def _entropy(self) -> Array:
        return self._whole._entropy() - LOG_2


class InverseGaussian(Distribution):
    r"""Inverse Gaussian distribution: when a drifting Brownian motion first reaches a level.

    .. math:: p(x) = \sqrt{\frac{\lambda}{2\pi x^3}} \exp\left(-\frac{\lambda (x - \mu)^2}{2 \mu^2 x}\right)

    Parameters
    ----------
    loc
        Mean :math:`\mu > 0`.
    concentration
        Shape :math:`\lambda > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.InverseGaussian(2.0, 4.0).variance)
    2.0
    """

    loc: Array = param(constraints.positive, default=1.0, alias="mu")
    concentration: Array = param(constraints.positive, default=1.0, alias="lam")
    support = constraints.positive

    def _sample(self, key: Key, shape: Shape) -> Array:
        key_normal, key_side = jax.random.split(key)
        m = self.loc / self.concentration
        y = m * jax.random.normal(key_normal, shape) ** 2
        # The smaller root of the quadratic, written without subtracting nearly equal numbers.
        root = 2 / (2 + y + jnp.sqrt(y * (4 + y)))
        small = jax.random.uniform(key_side, shape) < 1 / (1 + root)
        return self.loc * jnp.where(small, root, 1 / root)

    def _log_prob(self, value: Array) -> Array:
        apart = (value - self.loc) / self.loc
        constant = 0.5 * jnp.log(self.concentration) - HALF_LOG_2PI
        return constant - 1.5 * jnp.log(value) - 0.5 * self.concentration * apart * apart / value

    def _cdf(self, value: Array) -> Array:
        return jnp.exp(self._log_cdf(value))

    def _log_parts(self, value: Array) -> tuple[Array, Array]:
        """Give the standardised distance from the mean, and the log-probability of the reflected motion."""
        root, ratio = jnp.sqrt(self.concentration / value), value / self.loc
        return root * (ratio - 1), 2 * self.concentration / self.loc + log_ndtr(-root * (ratio + 1))

    def _log_cdf(self, value: Array) -> Array:
        z, reflected = self._log_parts(value)
        return jnp.logaddexp(log_ndtr(z), reflected)

    def _log_sf(self, value: Array) -> Array:
        z, reflected = self._log_parts(value)
        return log_subtract(log_ndtr(-z), reflected)

    def _mean(self) -> Array:
        return self.loc

    def _variance(self) -> Array:
        return self.loc**3 / self.concentration


class Pareto(Distribution):
    r"""Pareto distribution: power-law tail beyond a smallest value.

    .. math:: p(x) = \frac{\alpha m^\alpha}{x^{\alpha + 1}}, \quad x \ge m

    Parameters
    ----------
    alpha
        Exponent :math:`\alpha > 0`.
    scale
        Smallest value m > 0.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.Pareto(3.0, 2.0).mean)
    3.0
    """

    alpha: Array = param(constraints.positive, alias="alpha")
    scale: Array = param(constraints.positive, default=1.0, alias="m")

    @dependent_property
    def support(self) -> Constraint:
        return constraints.greater_than_eq(self.scale)

    def _sample(self, key: Key, shape: Shape) -> Array:
        return self.scale * jnp.exp(jax.random.exponential(key, shape) / self.alpha)

    def _log_prob(self, value: Array) -> Array:
        constant = jnp.log(self.alpha) + self.alpha * jnp.log(self.scale)
        return constant - (self.alpha + 1) * jnp.log(value)

    def _cdf(self, value: Array) -> Array:
        return -jnp.expm1(self._log_sf(value))

    def _log_sf(self, value: Array) -> Array:
        return -self.alpha * jnp.log(value / self.scale)

    def _icdf(self, q: Array) -> Array:
        return self.scale * jnp.exp(-jnp.log1p(-q) / self.alpha)

    def _mean(self) -> Array:
        a = jnp.where(self.alpha > 1, self.alpha, 2.0)
        return jnp.where(self.alpha > 1, a * self.scale / (a - 1), jnp.inf)

    def _variance(self) -> Array:
        a = jnp.where(self.alpha > 2, self.alpha, 3.0)
        return jnp.where(self.alpha > 2, self.scale**2 * a / ((a - 1) ** 2 * (a - 2)), jnp.inf)

    def _entropy(self) -> Array:
        return jnp.log(self.scale / self.alpha) + 1 / self.alpha + 1


class Rice(Distribution):
    r"""Rice distribution: the length of a plane vector with normal noise.

    .. math:: p(x) = \frac{x}{\sigma^2} \exp\left(-\frac{x^2 + \nu^2}{2\sigma^2}\right)
        I_0\left(\frac{x \nu}{\sigma^2}\right), \quad x > 0

    Parameters
    ----------
    nu
        Length :math:`\nu \ge 0` without noise.
    scale
        Standard deviation :math:`\sigma > 0` of the noise along each axis.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.Rice(0.0, 1.0).mean), 4)
    1.2533
    """

    nu: Array = param(constraints.nonnegative, alias="nu")
    scale: Array = param(constraints.positive, default=1.0, alias="sigma")
    support = constraints.positive

    def _sample(self, key: Key, shape: Shape) -> Array:
        x, y = jax.random.normal(key, (2, *shape))
        return jnp.hypot(self.nu + self.scale * x, self.scale * y)

    def _log_prob(self, value: Array) -> Array:
        z, length = value / self.scale, self.nu / self.scale
        bessel = jnp.log(i0e(z * length))
        return jnp.log(z) - 0.5 * (z - length) ** 2 + bessel - jnp.log(self.scale)

    def _mean(self) -> Array:
        t = 0.25 * (self.nu / self.scale) ** 2
        return self.scale * (jnp.pi / 2) ** 0.5 * ((1 + 2 * t) * i0e(t) + 2 * t * i1e(t))

    def _variance(self) -> Array:
        return 2 * self.scale**2 + self.nu**2 - self._mean() ** 2


class Weibull(Distribution):
    r"""Weibull distribution.

    .. math:: p(x) = \frac{\alpha}{\beta} \left(\frac{x}{\beta}\right)^{\alpha - 1} e^{-(x / \beta)^\alpha}, \quad x > 0

    Parameters
    ----------
    scale
        Scale :math:`\beta > 0`.
    concentration
        Shape :math:`\alpha > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.Weibull(2.0, 1.0).mean), 4)
    2.0
    """

    scale: Array = param(constraints.positive, alias="beta")
    concentration: Array = param(constraints.positive, alias="alpha")
    support = constraints.positive

    def _sample(self, key: Key, shape: Shape) -> Array:
        return self.scale * jax.random.exponential(key, shape) ** (1 / self.concentration)

    def _log_prob(self, value: Array) -> Array:
        log_z = jnp.log(value) - jnp.log(self.scale)
        a = self.concentration
        return jnp.log(a) - jnp.log(self.scale) + (a - 1) * log_z - jnp.exp(a * log_z)

    def _cdf(self, value: Array) -> Array:
        return -jnp.expm1(self._log_sf(value))

    def _log_sf(self, value: Array) -> Array:
        return -((value / self.scale) ** self.concentration)

    def _icdf(self, q: Array) -> Array:
        return self.scale * (-jnp.log1p(-q)) ** (1 / self.concentration)

    def _mean(self) -> Array:
        return self.scale * jnp.exp(gammaln(1 + 1 / self.concentration))

    def _variance(self) -> Array:
        return self.scale**2 * jnp.exp(gammaln(1 + 2 / self.concentration)) - self._mean() ** 2

    def _entropy(self) -> Array:
        a = self.concentration
        return EULER_GAMMA * (1 - 1 / a) + jnp.log(self.scale / a) + 1
