"""Counts and amounts with a probability of zero of its own."""

import jax
import jax.numpy as jnp

from pyrox.dist import constraints
from pyrox.dist.combinators import Derived
from pyrox.dist.constraints import Constraint
from pyrox.dist.counts import NegativeBinomial2, Poisson
from pyrox.dist.discrete import BinomialProbs
from pyrox.dist.distribution import Distribution, param, part
from pyrox.dist.positive import Gamma, LogNormal
from pyrox.dist.special import log_or_minus_inf, log_weighted_sum
from pyrox.typing import Array, Key, Shape


class ZeroInflated(Distribution):
    r"""Counts with extra zeros.

    .. math:: p(0) = g + (1 - g) f(0), \quad p(k) = (1 - g) f(k)

    Parameters
    ----------
    base_dist
        A distribution f of counts.
    gate
        Probability g of an extra zero, in [0, 1].

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.ZeroInflated(dist.Poisson(4.0), 0.5).mean)
    2.0
    """

    base_dist: Distribution = part()
    gate: Array = param(constraints.unit_interval)
    reparametrized_params = []

    @property
    def support(self) -> Constraint:
        return self.base_dist.support

    @property
    def batch_shape(self) -> Shape:
        return jnp.broadcast_shapes(self.base_dist.batch_shape, jnp.shape(self.gate))

    def _sample(self, key: Key, shape: Shape) -> Array:
        key_gate, key_count = jax.random.split(key)
        closed = jax.random.uniform(key_gate, shape) < self.gate
        return jnp.where(closed, 0, self.base_dist._sample(key_count, shape))

    def _log_prob(self, value: Array) -> Array:
        # Weights as factors, not in logarithms: a gate that has rounded to zero or one keeps its slope.
        counted = self.base_dist._log_prob(value)
        parts = jnp.stack(jnp.broadcast_arrays(jnp.where(value == 0, 0.0, -jnp.inf), counted), axis=-1)
        weights = jnp.stack([self.gate, 1 - self.gate], axis=-1)
        return log_weighted_sum(parts, weights)

    def _cdf(self, value: Array) -> Array:
        return self.gate + (1 - self.gate) * self.base_dist.cdf(value)

    def _log_sf(self, value: Array) -> Array:
        return log_or_minus_inf(1 - self.gate) + self.base_dist.log_sf(value)

    def _mean(self) -> Array:
        return (1 - self.gate) * self.base_dist._mean()

    def _variance(self) -> Array:
        mean, variance = self.base_dist._mean(), self.base_dist._variance()
        return (1 - self.gate) * (variance + self.gate * mean**2)


class ZeroInflatedPoisson(Derived):
    r"""Poisson counts with extra zeros.

    .. math:: p(0) = g + (1 - g) e^{-\lambda}, \quad p(k) = (1 - g) \frac{\lambda^k e^{-\lambda}}{k!}

    Parameters
    ----------
    gate
        Probability g of an extra zero, in [0, 1].
    rate
        Mean :math:`\lambda > 0` of the others.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.ZeroInflatedPoisson(0.5, 4.0).mean)
    2.0
    """

    gate: Array = param(constraints.unit_interval)
    rate: Array = param(constraints.positive, default=1.0, alias="mu")
    support = constraints.nonnegative_integer

    @property
    def meaning(self) -> Distribution:
        return ZeroInflated(Poisson(self.rate), self.gate)


class ZeroInflatedBinomial(Derived):
    r"""Binomial counts with extra zeros.

    .. math:: p(0) = g + (1 - g) (1 - p)^n, \quad p(k) = (1 - g) \binom{n}{k} p^k (1 - p)^{n - k}

    Parameters
    ----------
    gate
        Probability g of an extra zero, in [0, 1].
    probs
        Probability p of success, in [0, 1].
    total_count
        Number n of trials.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.ZeroInflatedBinomial(0.5, 0.5, 8).mean)
    2.0
    """

    gate: Array = param(constraints.unit_interval)
    probs: Array = param(constraints.unit_interval, alias="p")
    total_count: Array = param(constraints.nonnegative_integer, default=1, alias="n")
    reparametrized_params = []

    @property
    def meaning(self) -> Distribution:
        return ZeroInflated(BinomialProbs(self.probs, self.total_count), self.gate)


class ZeroInflatedNegativeBinomial(Derived):
    r"""Negative binomial counts with extra zeros.

    .. math:: p(0) = g + (1 - g) f(0), \quad p(k) = (1 - g) f(k)

    Parameters
    ----------
    gate
        Probability g of an extra zero, in [0, 1].
    mean_count
        Mean :math:`\mu > 0` of the others.
    concentration
        Their dispersion :math:`\alpha > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.ZeroInflatedNegativeBinomial(0.5, 4.0, 2.0).mean)
    2.0
    """

    gate: Array = param(constraints.unit_interval)
    mean_count: Array = param(constraints.positive, alias="mu")
    concentration: Array = param(constraints.positive, alias="alpha")
    support = constraints.nonnegative_integer

    @property
    def meaning(self) -> Distribution:
        return ZeroInflated(NegativeBinomial2(self.mean_count, self.concentration), self.gate)


class Hurdle(Distribution):
    r"""Zero or not, and if not, a draw of a distribution given that it is positive.

    .. math:: p(0) = 1 - \psi, \quad p(x) = \psi \frac{f(x)}{P(X > 0)}

    Parameters
    ----------
    base_dist
        A distribution f of counts, or of positive amounts.
    probs
        Probability :math:`\psi` of passing the hurdle, in [0, 1].

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.Hurdle(dist.Gamma(2.0, 1.0), 0.5).mean)
    1.0
    """

    base_dist: Distribution = part()
    probs: Array = param(constraints.unit_interval, alias="psi")
    reparametrized_params = []

    @property
    def support(self) -> Constraint:
        discrete = self.base_dist.is_discrete
        return constraints.nonnegative_integer if discrete else constraints.nonnegative

    @property
    def batch_shape(self) -> Shape:
        return jnp.broadcast_shapes(self.base_dist.batch_shape, jnp.shape(self.probs))

    def _log_zero(self) -> Array:
        """Give the base's own log-probability of zero; -inf for amounts."""
        if not self.base_dist.is_discrete:
            return jnp.asarray(-jnp.inf)
        return self.base_dist._log_prob(jnp.zeros((), int))

    def _sample(self, key: Key, shape: Shape) -> Array:
        key_hurdle, key_base = jax.random.split(key)
        if self.base_dist.is_discrete:  # the quantiles above the share of zeros
            zero = jnp.exp(self._log_zero())
            base = self.base_dist._icdf(zero + (1 - zero) * jax.random.uniform(key_base, shape))
            base = jnp.maximum(base, 1)
        else:
            base = self.base_dist._sample(key_base, shape)
        return jnp.where(jax.random.uniform(key_hurdle, shape) < self.probs, base, 0)

    def _log_prob(self, value: Array) -> Array:
        above = jnp.where(value > 0, value, 1)
        passed = log_or_minus_inf(self.probs) + self.base_dist._log_prob(above) - self._log_positive()
        return jnp.where(value == 0, log_or_minus_inf(1 - self.probs), passed)

    def _log_positive(self) -> Array:
        """Give the base's own log-probability of passing."""
        return jnp.log(-jnp.expm1(self._log_zero()))

    def _cdf(self, value: Array) -> Array:
        return -jnp.expm1(self._log_sf(value))

    def _log_sf(self, value: Array) -> Array:
        return log_or_minus_inf(self.probs) + self.base_dist.log_sf(value) - self._log_positive()

    def _mean(self) -> Array:
        return self.probs * self.base_dist._mean() / -jnp.expm1(self._log_zero())

    def _variance(self) -> Array:
        mean = self.base_dist._mean()
        second = (self.base_dist._variance() + mean**2) / -jnp.expm1(self._log_zero())
        return self.probs * second - self._mean() ** 2


class HurdlePoisson(Derived):
    r"""Zero, or a Poisson count given that it is positive.

    .. math:: p(0) = 1 - \psi, \quad p(k) = \psi \frac{\lambda^k e^{-\lambda}}{k! (1 - e^{-\lambda})}

    Parameters
    ----------
    probs
        Probability :math:`\psi` of a positive count, in [0, 1].
    rate
        Rate :math:`\lambda > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.HurdlePoisson(0.75, 3.0).log_prob(0)), 4)
    -1.3863
    """

    probs: Array = param(constraints.unit_interval, alias="psi")
    rate: Array = param(constraints.positive, alias="mu")
    support = constraints.nonnegative_integer

    @property
    def meaning(self) -> Distribution:
        return Hurdle(Poisson(self.rate), self.probs)


class HurdleNegativeBinomial(Derived):
    r"""Zero, or a negative binomial count given that it is positive.

    .. math:: p(0) = 1 - \psi, \quad p(k) = \psi \frac{f(k)}{1 - f(0)}

    Parameters
    ----------
    probs
        Probability :math:`\psi` of a positive count, in [0, 1].
    mean_count
        Mean :math:`\mu > 0` of f.
    concentration
        Its dispersion :math:`\alpha > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.HurdleNegativeBinomial(0.75, 3.0, 2.0).log_prob(0)), 4)
    -1.3863
    """

    probs: Array = param(constraints.unit_interval, alias="psi")
    mean_count: Array = param(constraints.positive, alias="mu")
    concentration: Array = param(constraints.positive, alias="alpha")
    support = constraints.nonnegative_integer

    @property
    def meaning(self) -> Distribution:
        return Hurdle(NegativeBinomial2(self.mean_count, self.concentration), self.probs)


class HurdleGamma(Derived):
    r"""Zero, or a gamma amount.

    .. math:: p(0) = 1 - \psi, \quad p(x) = \psi \frac{\beta^\alpha}{\Gamma(\alpha)} x^{\alpha - 1} e^{-\beta x}

    Parameters
    ----------
    probs
        Probability :math:`\psi` of a positive amount, in [0, 1].
    concentration
        Shape :math:`\alpha > 0`.
    rate
        Rate :math:`\beta > 0`.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.HurdleGamma(0.5, 2.0, 1.0).mean)
    1.0
    """

    probs: Array = param(constraints.unit_interval, alias="psi")
    concentration: Array = param(constraints.positive, alias="alpha")
    rate: Array = param(constraints.positive, default=1.0, alias="beta")
    support = constraints.nonnegative

    @property
    def meaning(self) -> Distribution:
        return Hurdle(Gamma(self.concentration, self.rate), self.probs)


class HurdleLogNormal(Derived):
    r"""Zero, or a log-normal amount.

    .. math:: p(0) = 1 - \psi, \quad p(x) = \psi \frac{1}{x \sigma \sqrt{2\pi}} e^{-(\log x - \mu)^2 / 2\sigma^2}

    Parameters
    ----------
    probs
        Probability :math:`\psi` of a positive amount, in [0, 1].
    loc
        Mean :math:`\mu` of log x.
    scale
        Standard deviation :math:`\sigma > 0` of log x.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.HurdleLogNormal(0.5, 0.0, 1.0).log_prob(0.0)), 4)
    -0.6931
    """

    probs: Array = param(constraints.unit_interval, alias="psi")
    loc: Array = param(constraints.real, default=0.0, alias="mu")
    scale: Array = param(constraints.positive, default=1.0, alias="sigma")
    support = constraints.nonnegative

    @property
    def meaning(self) -> Distribution:
        return Hurdle(LogNormal(self.loc, self.scale), self.probs)
