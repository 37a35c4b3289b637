"""Distributions on intervals."""

import jax
import jax.numpy as jnp
from jax.scipy.special import i0e, i1e, log_ndtr, ndtr, ndtri, xlog1py, xlogy

from pyrox.dist import constraints
from pyrox.dist.constraints import Constraint, dependent_property
from pyrox.dist.distribution import Distribution, param
from pyrox.dist.special import EULER_GAMMA, HALF_LOG_2PI, LOG_2, betainc, betaln, digamma, log_or_minus_inf
from pyrox.typing import Array, Key, Shape


class Uniform(Distribution):
    r"""Uniform distribution between two bounds.

    .. math:: p(x) = \frac{1}{b - a}, \quad a \le x \le b

    Parameters
    ----------
    low
        Lower bound a, any shape.
    high
        Upper bound :math:`b > a`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.Uniform(0.0, 4.0).mean)
    2.0
    """

    low: Array = param(constraints.dependent, default=0.0, alias="lower")
    high: Array = param(constraints.dependent, default=1.0, alias="upper")

    @dependent_property
    def support(self) -> Constraint:
        return constraints.interval(self.low, self.high)

    def _validate_parameters(self) -> None:
        Distribution._validate_parameters(self)
        self._require_ordered("low", "high")

    def _sample(self, key: Key, shape: Shape) -> Array:
        return self.low + (self.high - self.low) * jax.random.uniform(key, shape)

    def _log_prob(self, value: Array) -> Array:
        return jnp.broadcast_to(-jnp.log(self.high - self.low), jnp.shape(value))

    def _cdf(self, value: Array) -> Array:
        return (value - self.low) / (self.high - self.low)

    def _icdf(self, q: Array) -> Array:
        return self.low + (self.high - self.low) * q

    def _mean(self) -> Array:
        return 0.5 * (self.low + self.high)

    def _variance(self) -> Array:
        return (self.high - self.low) ** 2 / 12

    def _entropy(self) -> Array:
        return jnp.log(self.high - self.low)


class Beta(Distribution):
    r"""Beta distribution on the unit interval.

    .. math:: p(x) = \frac{x^{\alpha - 1} (1 - x)^{\beta - 1}}{B(\alpha, \beta)}

    Parameters
    ----------
    concentration1
        Weight of success :math:`\alpha > 0`.
    concentration0
        Weight of failure :math:`\beta > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.Beta(2.0, 2.0).log_prob(0.5)), 4)
    0.4055
    """

    concentration1: Array = param(constraints.positive, alias="alpha")
    concentration0: Array = param(constraints.positive, alias="beta")
    support = constraints.unit_interval

    def _sample(self, key: Key, shape: Shape) -> Array:
        return jax.random.beta(key, self.concentration1, self.concentration0, shape)

    def _log_prob(self, value: Array) -> Array:
        a, b = self.concentration1, self.concentration0
        return xlogy(a - 1, value) + xlog1py(b - 1, -value) - betaln(a, b)

    def _cdf(self, value: Array) -> Array:
        return betainc(self.concentration1, self.concentration0, value)

    def _log_sf(self, value: Array) -> Array:
        # Each side from the end that it is near to, where its digits are.
        below, above = self._cdf(value), betainc(self.concentration0, self.concentration1, 1 - value)
        return jnp.where(below < 0.5, jnp.log1p(-jnp.minimum(below, 0.5)), log_or_minus_inf(above))

    def _mean(self) -> Array:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    def _variance(self) -> Array:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total**2 * (total + 1))

    def _entropy(self) -> Array:
        a, b = self.concentration1, self.concentration0
        digammas = (a - 1) * digamma(a) + (b - 1) * digamma(b) - (a + b - 2) * digamma(a + b)
        return betaln(a, b) - digammas


class Kumaraswamy(Distribution):
    r"""Kumaraswamy distribution: much like the beta, with a closed cdf.

    .. math:: p(x) = a b x^{a - 1} (1 - x^a)^{b - 1}, \quad 0 \le x \le 1

    Parameters
    ----------
    concentration1
        Exponent a > 0.
    concentration0
        Exponent b > 0.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.Kumaraswamy(1.0, 1.0).mean), 4)
    0.5
    """

    concentration1: Array = param(constraints.positive, alias="a")
    concentration0: Array = param(constraints.positive, alias="b")
    support = constraints.unit_interval

    def _sample(self, key: Key, shape: Shape) -> Array:
        return self._icdf(jax.random.uniform(key, shape))

    def _log_prob(self, value: Array) -> Array:
        a, b = self.concentration1, self.concentration0
        power = jnp.exp(xlogy(a, value))
        return jnp.log(a) + jnp.log(b) + xlogy(a - 1, value) + xlog1py(b - 1, -power)

    def _cdf(self, value: Array) -> Array:
        return -jnp.expm1(self._log_sf(value))

    def _log_sf(self, value: Array) -> Array:
        return self.concentration0 * jnp.log1p(-(value**self.concentration1))

    def _icdf(self, q: Array) -> Array:
        return (-jnp.expm1(jnp.log1p(-q) / self.concentration0)) ** (1 / self.concentration1)

    def _moment(self, order: int) -> Array:
        a, b = self.concentration1, self.concentration0
        return b * jnp.exp(betaln(1 + order / a, b))

    def _mean(self) -> Array:
        return self._moment(1)

    def _variance(self) -> Array:
        return self._moment(2) - self._moment(1) ** 2

    def _entropy(self) -> Array:
        a, b = self.concentration1, self.concentration0
        harmonic = digamma(b + 1) + EULER_GAMMA
        return (1 - 1 / b) + (1 - 1 / a) * harmonic - jnp.log(a) - jnp.log(b)


class LogitNormal(Distribution):
    r"""Distribution of the logistic function of a normal variable.

    .. math:: p(x) = \frac{1}{x (1 - x) \sigma \sqrt{2\pi}}
        \exp\left(-\frac{(\mathrm{logit}\, x - \mu)^2}{2\sigma^2}\right), \quad 0 < x < 1

    Parameters
    ----------
    loc
        Mean :math:`\mu` of logit x.
    scale
        Standard deviation :math:`\sigma > 0` of logit x.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.LogitNormal(0.0, 1.0).cdf(0.5))
    0.5
    """

    loc: Array = param(constraints.real, default=0.0, alias="mu")
    scale: Array = param(constraints.positive, default=1.0, alias="sigma")
    support = constraints.unit_interval

    def _sample(self, key: Key, shape: Shape) -> Array:
        return jax.nn.sigmoid(self.loc + self.scale * jax.random.normal(key, shape))

    def _log_prob(self, value: Array) -> Array:
        # The ends have density zero; the nearest numbers inside stand for them, far down already.
        kind = jnp.finfo(value.dtype)
        inside = jnp.clip(value, kind.tiny, 1 - kind.epsneg)
        log_up, log_down = jnp.log(inside), jnp.log1p(-inside)
        z = (log_up - log_down - self.loc) / self.scale
        return -0.5 * z * z - (jnp.log(self.scale) + HALF_LOG_2PI) - log_up - log_down

    def _cdf(self, value: Array) -> Array:
        return ndtr(self._standard(value))

    def _log_cdf(self, value: Array) -> Array:
        return log_ndtr(self._standard(value))

    def _log_sf(self, value: Array) -> Array:
        return log_ndtr(-self._standard(value))

    def _standard(self, value: Array) -> Array:
        return (jnp.log(value) - jnp.log1p(-value) - self.loc) / self.scale

    def _icdf(self, q: Array) -> Array:
        return jax.nn.sigmoid(self.loc + self.scale * ndtri(q))


class Triangular(Distribution):
    r"""Triangular distribution.

    .. math:: p(x) = \frac{2 (x - a)}{(b - a)(c - a)} \text{ below the peak c, }
        \frac{2 (b - x)}{(b - a)(b - c)} \text{ above}

    Parameters
    ----------
    low
        Lower end a.
    peak
        Mode c, between the ends.
    high
        Upper end b.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.Triangular(0.0, 1.0, 2.0).log_prob(1.0))
    0.0
    """

    low: Array = param(constraints.dependent, default=0.0, alias="lower")
    peak: Array = param(constraints.dependent, default=0.5, alias="c")
    high: Array = param(constraints.dependent, default=1.0, alias="upper")

    @dependent_property
    def support(self) -> Constraint:
        return constraints.interval(self.low, self.high)

    def _validate_parameters(self) -> None:
        Distribution._validate_parameters(self)
        self._require_ordered("low", "high")
        inside = (self.low <= self.peak) & (self.peak <= self.high)
        self._require_that(inside, "peak must lie between low and high", "low", "peak", "high")

    def _sides(self, value: Array) -> tuple[Array, Array, Array]:
        left = value < self.peak
        reach = jnp.where(left, value - self.low, self.high - value)
        base = jnp.where(left, self.peak - self.low, self.high - self.peak)
        return left, reach, jnp.where(base > 0, base, 1.0)

    def _sample(self, key: Key, shape: Shape) -> Array:
        return self._icdf(jax.random.uniform(key, shape))

    def _log_prob(self, value: Array) -> Array:
        _, reach, base = self._sides(value)
        flat = (self.peak == self.low) & (value == self.peak) & (self.high > self.low)
        height = jnp.where(flat, 1.0, reach / base)
        return LOG_2 - jnp.log(self.high - self.low) + jnp.log(height)

    def _cdf(self, value: Array) -> Array:
        left, share = self._share(value)
        return jnp.where(left, share, 1 - share)

    def _log_sf(self, value: Array) -> Array:
        left, share = self._share(value)
        return log_or_minus_inf(jnp.where(left, 1 - share, share))

    def _share(self, value: Array) -> tuple[Array, Array]:
        """Tell which side of the peak it is, and give the probability between the value and the end on that side."""
        left, reach, base = self._sides(value)
        return left, reach**2 / (base * (self.high - self.low))

    def _icdf(self, q: Array) -> Array:
        width = self.high - self.low
        up = self.low + jnp.sqrt(q * width * (self.peak - self.low))
        down = self.high - jnp.sqrt((1 - q) * width * (self.high - self.peak))
        return jnp.where(q * width < self.peak - self.low, up, down)

    def _mean(self) -> Array:
        return (self.low + self.peak + self.high) / 3

    def _variance(self) -> Array:
        a, b, c = self.low, self.high, self.peak
        return (a * a + b * b + c * c - a * b - a * c - b * c) / 18

    def _entropy(self) -> Array:
        return 0.5 + jnp.log((self.high - self.low) / 2)


class VonMises(Distribution):
    r"""Von Mises distribution on the circle.

    .. math:: p(x) = \frac{e^{\kappa \cos(x - \mu)}}{2\pi I_0(\kappa)}, \quad -\pi \le x \le \pi

    ``mean`` is the circular mean, ``variance`` the circular variance :math:`1 - I_1(\kappa) / I_0(\kappa)`.

    Parameters
    ----------
    loc
        Mean direction :math:`\mu`, in radians.
    concentration
        Concentration :math:`\kappa > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.VonMises(0.0, 1.0).log_prob(0.0)), 4)
    -1.0738
    """

    loc: Array = param(constraints.real, default=0.0, alias="mu")
    concentration: Array = param(constraints.positive, default=1.0, alias="kappa")
    support = constraints.circular

    def _sample(self, key: Key, shape: Shape) -> Array:
        kappa = jnp.broadcast_to(self.concentration, shape).astype(float)
        # Best and Fisher: rejection from a wrapped Cauchy; for a tiny concentration its limit keeps the digits.
        root = 1 + jnp.sqrt(1 + 4 * kappa**2)
        rho = 2 * kappa / (root + jnp.sqrt(2 * root))
        s = jnp.where(kappa < 1e-5, 1 / jnp.maximum(kappa, 1e-300), (1 + rho**2) / (2 * jnp.where(rho > 0, rho, 1)))

        def propose(state: tuple) -> tuple:
            angle, done, key = state
            key, key_step = jax.random.split(key)
            u = jax.random.uniform(key_step, (3, *shape), minval=jnp.finfo(float).tiny)
            z = jnp.cos(jnp.pi * u[0])
            w = (1 + s * z) / (s + z)
            y = kappa * (s - w)
            good = (y * (2 - y) > u[1]) | (jnp.log(y / u[1]) + 1 >= y)
            fresh = jnp.sign(u[2] - 0.5) * jnp.arccos(jnp.clip(w, -1, 1))
            return jnp.where(done, angle, fresh), done | good, key

        start = jnp.zeros(shape), jnp.zeros(shape, bool), key
        angle = jax.lax.while_loop(lambda state: ~jnp.all(state[1]), propose, start)[0]
        return jnp.mod(angle + self.loc + jnp.pi, 2 * jnp.pi) - jnp.pi

    def _log_prob(self, value: Array) -> Array:
        fall = -2 * self.concentration * jnp.sin(0.5 * (value - self.loc)) ** 2
        return fall - jnp.log(2 * jnp.pi * i0e(self.concentration))

    def _mean(self) -> Array:
        return jnp.mod(self.loc + jnp.pi, 2 * jnp.pi) - jnp.pi

    def _variance(self) -> Array:
        return 1 - i1e(self.concentration) / i0e(self.concentration)

    def _entropy(self) -> Array:
        k, bessel = self.concentration, i0e(self.concentration)
        return jnp.log(2 * jnp.pi * bessel) + k * (1 - i1e(k) / bessel)
