"""Distributions on counts."""

import jax
import jax.numpy as jnp
from jax.scipy.special import gammainc, gammaincc

from pyrox.dist import constraints
from pyrox.dist.constraints import Constraint, dependent_property
from pyrox.dist.distribution import Distribution, param
from pyrox.dist.special import (
    betainc,
    log_binomial,
    log_factorial,
    log_gamma_ratio,
    log_or_minus_inf,
    log_subtract,
    times_log,
    times_log1p,
)
from pyrox.typing import Array, Key, Shape


class Poisson(Distribution):
    r"""Poisson distribution.

    .. math:: p(k) = \frac{\lambda^k e^{-\lambda}}{k!}, \quad k = 0, 1, \dots

    Parameters
    ----------
    rate
        Mean :math:`\lambda > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.Poisson(2.0).log_prob(0)), 4)
    -2.0
    """

    rate: Array = param(constraints.positive, alias="mu")
    support = constraints.nonnegative_integer

    def _sample(self, key: Key, shape: Shape) -> Array:
        return jax.random.poisson(key, self.rate, shape)

    def _log_prob(self, value: Array) -> Array:
        return times_log(value, self.rate) - self.rate - log_factorial(value)

    def _cdf(self, value: Array) -> Array:
        return gammaincc(value + 1.0, self.rate)

    def _log_sf(self, value: Array) -> Array:
        return log_or_minus_inf(gammainc(value + 1.0, self.rate))

    def _mean(self) -> Array:
        return self.rate

    _variance = _mean


class Geometric(Distribution):
    r"""Number of failures before the first success, counted from zero (PyMC counts the trials, from one).

    .. math:: p(k) = p (1 - p)^k, \quad k = 0, 1, \dots

    Parameters
    ----------
    probs
        Probability p of success, in (0, 1].

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.Geometric(0.25).mean)
    3.0
    """

    probs: Array = param(constraints.unit_interval, alias="p")
    support = constraints.nonnegative_integer

    def _sample(self, key: Key, shape: Shape) -> Array:
        return jax.random.geometric(key, self.probs, shape) - 1

    def _log_prob(self, value: Array) -> Array:
        return times_log1p(value, -self.probs) + jnp.log(self.probs)

    def _cdf(self, value: Array) -> Array:
        return -jnp.expm1(self._log_sf(value))

    def _log_sf(self, value: Array) -> Array:
        return (value + 1) * jnp.log1p(-self.probs)

    def _mean(self) -> Array:
        return (1 - self.probs) / self.probs

    def _variance(self) -> Array:
        return (1 - self.probs) / self.probs**2

    def _entropy(self) -> Array:
        entropy = jax.scipy.special.entr(self.probs) + jax.scipy.special.entr(1 - self.probs)
        return entropy / self.probs


class GeometricTrials(Geometric):
    r"""Number of trials up to the first success, counted from one: PyMC's Geometric.

    .. math:: p(k) = p (1 - p)^{k - 1}, \quad k = 1, 2, \dots

    Parameters
    ----------
    probs
        Probability p of success, in (0, 1].

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.GeometricTrials(0.25).mean)
    4.0
    """

    support = constraints.positive_integer

    def _sample(self, key: Key, shape: Shape) -> Array:
        return jax.random.geometric(key, self.probs, shape)

    def _log_prob(self, value: Array) -> Array:
        return Geometric._log_prob(self, value - 1)

    def _log_sf(self, value: Array) -> Array:
        return Geometric._log_sf(self, value - 1)

    def _mean(self) -> Array:
        return 1 / self.probs


class DiscreteUniform(Distribution):
    r"""Every whole number between two bounds, equally often.

    .. math:: p(k) = \frac{1}{b - a + 1}, \quad k = a, \dots, b

    Parameters
    ----------
    low
        Lower bound a, an integer.
    high
        Upper bound :math:`b \ge a`, which belongs to the values.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.DiscreteUniform(1, 6).mean)
    3.5
    """

    low: Array = param(constraints.integer, default=0, alias="lower")
    high: Array = param(constraints.integer, default=1, alias="upper")

    @dependent_property(is_discrete=True)
    def support(self) -> Constraint:
        return constraints.integer_interval(self.low, self.high)

    def _validate_parameters(self) -> None:
        Distribution._validate_parameters(self)
        self._require_that(self.high >= self.low, "high must be at least low", "low", "high")

    @property
    def _count(self) -> Array:
        return (self.high - self.low + 1).astype(float)

    def _sample(self, key: Key, shape: Shape) -> Array:
        return jax.random.randint(key, shape, self.low, self.high + 1)

    def _log_prob(self, value: Array) -> Array:
        return jnp.broadcast_to(-jnp.log(self._count), jnp.broadcast_shapes(jnp.shape(value), self.batch_shape))

    def _cdf(self, value: Array) -> Array:
        return (value - self.low + 1) / self._count

    def _mean(self) -> Array:
        return 0.5 * (self.low + self.high)

    def _variance(self) -> Array:
        return (self._count**2 - 1) / 12

    def _entropy(self) -> Array:
        return jnp.log(self._count)


class GammaPoisson(Distribution):
    r"""Poisson counts whose rate is drawn from a gamma distribution.

    .. math:: p(k) = \binom{k + \alpha - 1}{k} \frac{\beta^\alpha}{(1 + \beta)^{\alpha + k}}

    Parameters
    ----------
    concentration
        Shape :math:`\alpha > 0` of the gamma distribution.
    rate
        Its rate :math:`\beta > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.GammaPoisson(3.0, 2.0).mean)
    1.5
    """

    concentration: Array = param(constraints.positive, alias="alpha")
    rate: Array = param(constraints.positive, default=1.0, alias="beta")
    support = constraints.nonnegative_integer

    def _sample(self, key: Key, shape: Shape) -> Array:
        key_rate, key_count = jax.random.split(key)
        rate = jax.random.gamma(key_rate, self.concentration, shape) / self.rate
        return jax.random.poisson(key_count, rate, shape)

    def _log_prob(self, value: Array) -> Array:
        a, odds = self.concentration, jnp.log1p(self.rate)
        base = a * (jnp.log(self.rate) - odds) - value * odds
        return base + log_gamma_ratio(a, value) - log_factorial(value)

    def _cdf(self, value: Array) -> Array:
        q = self.rate / (1 + self.rate)
        return betainc(self.concentration, value + 1.0, q)

    def _log_sf(self, value: Array) -> Array:
        return log_or_minus_inf(betainc(value + 1.0, self.concentration, 1 / (1 + self.rate)))

    def _mean(self) -> Array:
        return self.concentration / self.rate

    def _variance(self) -> Array:
        return self.concentration / self.rate**2 * (1 + self.rate)


class NegativeBinomial2(Distribution):
    r"""Negative binomial counts by their mean and how little they are overdispersed.

    .. math:: p(k) = \binom{k + \alpha - 1}{k} \left(\frac{\alpha}{\mu + \alpha}\right)^\alpha
        \left(\frac{\mu}{\mu + \alpha}\right)^k

    Parameters
    ----------
    mean_count
        Mean :math:`\mu > 0`.
    concentration
        Dispersion :math:`\alpha > 0`: the variance is :math:`\mu + \mu^2 / \alpha`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.NegativeBinomial2(3.0, 2.0).variance)
    7.5
    """

    mean_count: Array = param(constraints.positive, alias="mu")
    concentration: Array = param(constraints.positive, alias="alpha")
    support = constraints.nonnegative_integer

    def _sample(self, key: Key, shape: Shape) -> Array:
        return GammaPoisson(self.concentration, self.concentration / self.mean_count)._sample(key, shape)

    def _log_prob(self, value: Array) -> Array:
        a, log_mean = self.concentration, jnp.log(self.mean_count)
        # (mu + a) once, in logs of the ratio: large concentrations approach the Poisson without cancelling.
        grown = jnp.log1p(self.mean_count / a)
        base = value * (log_mean - jnp.log(a) - grown) - a * grown
        return base + log_gamma_ratio(a, value) - log_factorial(value)

    def _cdf(self, value: Array) -> Array:
        q = self.concentration / (self.mean_count + self.concentration)
        return betainc(self.concentration, value + 1.0, q)

    def _log_sf(self, value: Array) -> Array:
        return log_or_minus_inf(
            betainc(value + 1.0, self.concentration, self.mean_count / (self.mean_count + self.concentration))
        )

    def _mean(self) -> Array:
        return self.mean_count

    def _variance(self) -> Array:
        return self.mean_count + self.mean_count**2 / self.concentration


class NegativeBinomial(Distribution):
    r"""Number of failures before the n-th success.

    .. math:: p(k) = \binom{k + n - 1}{k} p^n (1 - p)^k

    Parameters
    ----------
    total_count
        Number n > 0 of successes, not necessarily whole.
    probs
        Probability p of success, in (0, 1).

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.NegativeBinomial(3.0, 0.5).mean)
    3.0
    """

    total_count: Array = param(constraints.positive, alias="n")
    probs: Array = param(constraints.unit_interval, alias="p")
    support = constraints.nonnegative_integer

    def _sample(self, key: Key, shape: Shape) -> Array:
        return GammaPoisson(self.total_count, self.probs / (1 - self.probs))._sample(key, shape)

    def _log_prob(self, value: Array) -> Array:
        n = self.total_count
        odds = n * jnp.log(self.probs) + times_log1p(value, -self.probs)
        return odds + log_gamma_ratio(n, value) - log_factorial(value)

    def _cdf(self, value: Array) -> Array:
        return betainc(self.total_count, value + 1.0, self.probs)

    def _log_sf(self, value: Array) -> Array:
        return log_or_minus_inf(betainc(value + 1.0, self.total_count, 1 - self.probs))

    def _mean(self) -> Array:
        return self.total_count * (1 - self.probs) / self.probs

    def _variance(self) -> Array:
        return self.total_count * (1 - self.probs) / self.probs**2


class BetaBinomial(Distribution):
    r"""Binomial counts whose probability of success is drawn from a beta distribution.

    .. math:: p(k) = \binom{n}{k} \frac{B(k + \alpha, n - k + \beta)}{B(\alpha, \beta)}

    Parameters
    ----------
    concentration1
        Weight of success :math:`\alpha > 0`.
    concentration0
        Weight of failure :math:`\beta > 0`.
    total_count
        Number n of trials, a nonnegative integer.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.BetaBinomial(1.0, 1.0, 10).mean)
    5.0
    """

    concentration1: Array = param(constraints.positive, alias="alpha")
    concentration0: Array = param(constraints.positive, alias="beta")
    total_count: Array = param(constraints.nonnegative_integer, default=1, alias="n")

    @dependent_property(is_discrete=True)
    def support(self) -> Constraint:
        return constraints.integer_interval(0, self.total_count)

    def _sample(self, key: Key, shape: Shape) -> Array:
        key_probs, key_count = jax.random.split(key)
        probs = jax.random.beta(key_probs, self.concentration1, self.concentration0, shape)
        return jax.random.binomial(key_count, self.total_count, probs, shape).astype(int)

    def _log_prob(self, value: Array) -> Array:
        a, b = self.concentration1, self.concentration0
        n = self.total_count
        ratio = log_gamma_ratio(a, value) + log_gamma_ratio(b, n - value) - log_gamma_ratio(a + b, n)
        return log_binomial(n, value) + ratio

    def _mean(self) -> Array:
        return self.total_count * self.concentration1 / (self.concentration1 + self.concentration0)

    def _variance(self) -> Array:
        total = self.concentration1 + self.concentration0
        share = self.concentration1 * self.concentration0 / total**2
        return self.total_count * share * (total + self.total_count) / (total + 1)


class HyperGeometric(Distribution):
    r"""Number of marked items among n drawn without replacement from N, of which k are marked.

    .. math:: p(x) = \binom{k}{x} \binom{N - k}{n - x} \Big/ \binom{N}{n}

    Parameters
    ----------
    population
        Number N of items.
    marked
        Number k of marked items.
    drawn
        Number n of items drawn.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.HyperGeometric(50, 10, 5).mean)
    1.0
    """

    population: Array = param(constraints.nonnegative_integer, alias="N")
    marked: Array = param(constraints.nonnegative_integer, alias="k")
    drawn: Array = param(constraints.nonnegative_integer, alias="n")

    @dependent_property(is_discrete=True)
    def support(self) -> Constraint:
        fewest = jnp.maximum(0, self.drawn + self.marked - self.population)
        return constraints.integer_interval(fewest, jnp.minimum(self.drawn, self.marked))

    def _validate_parameters(self) -> None:
        Distribution._validate_parameters(self)
        for name in ("marked", "drawn"):
            fits = getattr(self, name) <= self.population
            self._require_that(fits, f"{name} must be at most population", name, "population")

    def _sample(self, key: Key, shape: Shape) -> Array:
        # Draw one item after another; those that the batch draws fewer of stop counting.
        drawn = jnp.broadcast_to(self.drawn, shape)

        def take(step: Array, state: tuple) -> tuple:
            found, key = state
            key, key_item = jax.random.split(key)
            chance = (self.marked - found) / jnp.maximum(self.population - step, 1)
            hit = (jax.random.uniform(key_item, shape) < chance) & (step < drawn)
            return found + hit, key

        most = jnp.max(drawn) if drawn.size else 0
        return jax.lax.fori_loop(0, most, take, (jnp.zeros(shape, int), key))[0]

    def _log_prob(self, value: Array) -> Array:
        others = self.population - self.marked
        ways = log_binomial(self.marked, value) + log_binomial(others, self.drawn - value)
        return ways - log_binomial(self.population, self.drawn)

    def _mean(self) -> Array:
        return self.drawn * self.marked / self.population

    def _variance(self) -> Array:
        share = self.marked / self.population
        return self.drawn * share * (1 - share) * (self.population - self.drawn) / (self.population - 1)


class DiscreteWeibull(Distribution):
    r"""Discrete Weibull distribution.

    .. math:: p(k) = q^{k^\beta} - q^{(k + 1)^\beta}, \quad k = 0, 1, \dots

    Parameters
    ----------
    probs
        Base q of the survival function, in (0, 1).
    concentration
        Exponent :math:`\beta > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.DiscreteWeibull(0.5, 1.0).log_prob(0)), 4)
    -0.6931
    """

    probs: Array = param(constraints.unit_interval, alias="q")
    concentration: Array = param(constraints.positive, alias="beta")
    support = constraints.nonnegative_integer

    def _survivors(self, k: Array) -> Array:
        """Give log P(at least k)."""
        above = jnp.where(k > 0, k, 1).astype(float)
        return times_log(jnp.where(k > 0, jnp.exp(self.concentration * jnp.log(above)), 0.0), self.probs)

    def _sample(self, key: Key, shape: Shape) -> Array:
        uniform = jax.random.uniform(key, shape, minval=jnp.finfo(float).tiny)
        steps = (jnp.log(uniform) / jnp.log(self.probs)) ** (1 / self.concentration)
        return jnp.maximum(jnp.ceil(steps) - 1, 0).astype(int)

    def _log_prob(self, value: Array) -> Array:
        return log_subtract(self._survivors(value), self._survivors(value + 1))

    def _cdf(self, value: Array) -> Array:
        return -jnp.expm1(self._log_sf(value))

    def _log_sf(self, value: Array) -> Array:
        return self._survivors(value + 1)
