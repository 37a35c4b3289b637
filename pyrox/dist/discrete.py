"""Distributions on labels and bounded counts, by probabilities or by logits."""
# ruff: noqa: FBT001 - validate_args may be given by position, as documented

import jax
import jax.numpy as jnp
from jax.scipy.special import entr, logsumexp

from pyrox.dist import constraints
from pyrox.dist.constraints import Constraint, dependent_property
from pyrox.dist.distribution import Distribution, param
from pyrox.dist.special import (
    bernoulli_logits_sum,
    betainc,
    log_binomial,
    log_or_minus_inf,
    logits_log_prob,
    pick,
    softplus,
    times_log,
    times_log1p,
)
from pyrox.typing import Array, ArrayLike, Key, Shape


def choose_one(name: str, **given: ArrayLike | None) -> str:
    """Tell which one of the alternative parameters was given; an error if none or several were."""
    chosen = [n for n, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise ValueError(f"{name} takes one of {' and '.join(given)}; met {' and '.join(chosen) or 'neither'}")
    return chosen[0]


def Bernoulli(  # noqa: N802 - a distribution to those who write it
    probs: ArrayLike | None = None, logits: ArrayLike | None = None, validate_args: bool | None = None
) -> Distribution:
    """Make a Bernoulli distribution from probabilities or logits.

    Parameters
    ----------
    probs
        Probability of 1.
    logits
        Log-odds of 1, instead.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.Bernoulli(logits=0.0)
    BernoulliLogits(logits=0.0)
    """
    if choose_one("Bernoulli", probs=probs, logits=logits) == "probs":
        return BernoulliProbs(probs, validate_args=validate_args)
    return BernoulliLogits(logits, validate_args=validate_args)


def Binomial(  # noqa: N802
    total_count: ArrayLike = 1,
    probs: ArrayLike | None = None,
    logits: ArrayLike | None = None,
    validate_args: bool | None = None,
) -> Distribution:
    """Make a binomial distribution from probabilities or logits.

    Parameters
    ----------
    total_count
        Number of trials.
    probs
        Probability of success.
    logits
        Log-odds of success, instead.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.Binomial(10, probs=0.5)
    BinomialProbs(probs=0.5, total_count=10)
    """
    if choose_one("Binomial", probs=probs, logits=logits) == "probs":
        return BinomialProbs(probs, total_count, validate_args=validate_args)
    return BinomialLogits(logits, total_count, validate_args=validate_args)


def Categorical(  # noqa: N802
    probs: ArrayLike | None = None, logits: ArrayLike | None = None, validate_args: bool | None = None
) -> Distribution:
    """Make a categorical distribution from probabilities or logits.

    Parameters
    ----------
    probs
        Probabilities of the labels 0, 1, ... along the last axis.
    logits
        Their logarithms up to a constant, instead.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.Categorical(probs=[0.5, 0.5])
    CategoricalProbs(probs=[0.5, 0.5])
    """
    if choose_one("Categorical", probs=probs, logits=logits) == "probs":
        return CategoricalProbs(probs, validate_args=validate_args)
    return CategoricalLogits(logits, validate_args=validate_args)


class BernoulliProbs(Distribution):
    r"""Bernoulli distribution by its probability.

    .. math:: p(1) = p, \quad p(0) = 1 - p

    Parameters
    ----------
    probs
        Probability p of 1, in [0, 1].

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.BernoulliProbs(0.25).log_prob(1)), 4)
    -1.3863
    """

    probs: Array = param(constraints.unit_interval, alias="p")
    support = constraints.boolean

    def _sample(self, key: Key, shape: Shape) -> Array:
        return (jax.random.uniform(key, shape) < self.probs).astype(int)

    def _log_prob(self, value: Array) -> Array:
        return times_log(1, jnp.where(value == 1, self.probs, 1 - self.probs))

    def _cdf(self, value: Array) -> Array:
        return jnp.where(value < 0, 0.0, jnp.where(value < 1, 1 - self.probs, 1.0))

    def _mean(self) -> Array:
        return self.probs

    def _variance(self) -> Array:
        return self.probs * (1 - self.probs)

    def _entropy(self) -> Array:
        return entr(self.probs) + entr(1 - self.probs)


class BernoulliLogits(BernoulliProbs):
    r"""Bernoulli distribution by its log-odds, exact in both tails.

    .. math:: p(1) = \frac{1}{1 + e^{-\ell}}

    Parameters
    ----------
    logits
        Log-odds :math:`\ell` of 1, any shape.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.BernoulliLogits(-800.0).log_prob(1))
    -800.0
    """

    logits: Array = param(constraints.real, alias="logit_p")

    @property
    def probs(self) -> Array:
        """Probability of 1."""
        return jax.nn.sigmoid(self.logits)

    def _log_prob(self, value: Array) -> Array:
        return -softplus(jnp.where(value == 1, -self.logits, self.logits))

    def log_prob_sum(self, value: Array) -> Array:
        logits, value = jnp.broadcast_arrays(self.logits, value)
        return bernoulli_logits_sum(logits, value)

    def _entropy(self) -> Array:
        return -self.probs * jax.nn.log_sigmoid(self.logits) - (1 - self.probs) * jax.nn.log_sigmoid(-self.logits)


class BinomialProbs(Distribution):
    r"""Binomial distribution by the probability of success.

    .. math:: p(k) = \binom{n}{k} p^k (1 - p)^{n - k}

    Parameters
    ----------
    probs
        Probability p of success, in [0, 1].
    total_count
        Number n of trials, a nonnegative integer.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.BinomialProbs(0.5, 4).log_prob(2)), 4)
    -0.9808
    """

    probs: Array = param(constraints.unit_interval, alias="p")
    total_count: Array = param(constraints.nonnegative_integer, default=1, alias="n")

    @dependent_property(is_discrete=True)
    def support(self) -> Constraint:
        return constraints.integer_interval(0, self.total_count)

    def _sample(self, key: Key, shape: Shape) -> Array:
        return jax.random.binomial(key, self.total_count, self.probs, shape).astype(int)

    def _log_prob(self, value: Array) -> Array:
        odds = times_log(value, self.probs) + times_log1p(self.total_count - value, -self.probs)
        return log_binomial(self.total_count, value) + odds

    def _cdf(self, value: Array) -> Array:
        return self._share(self.total_count - value, value + 1, 1 - self.probs, 1.0)

    def _log_sf(self, value: Array) -> Array:
        return log_or_minus_inf(self._share(value + 1, self.total_count - value, self.probs, 0.0))

    def _share(self, a: Array, b: Array, probs: Array, last: float) -> Array:
        """Give an incomplete beta function; at the last value, where it has no meaning, what is known."""
        ends = (a <= 0) | (b <= 0)
        return jnp.where(ends, last, betainc(jnp.where(ends, 1, a), jnp.where(ends, 1, b), probs))

    def _mean(self) -> Array:
        return self.total_count * self.probs

    def _variance(self) -> Array:
        return self.total_count * self.probs * (1 - self.probs)


class BinomialLogits(BinomialProbs):
    r"""Binomial distribution by the log-odds of success, exact in both tails.

    .. math:: p(k) = \binom{n}{k} \frac{e^{k \ell}}{(1 + e^\ell)^n}

    Parameters
    ----------
    logits
        Log-odds :math:`\ell` of success, any shape.
    total_count
        Number n of trials, a nonnegative integer.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.BinomialLogits(0.0, 4).log_prob(2)), 4)
    -0.9808
    """

    logits: Array = param(constraints.real, alias="logit_p")
    total_count: Array = param(constraints.nonnegative_integer, default=1, alias="n")

    @property
    def probs(self) -> Array:
        """Probability of success."""
        return jax.nn.sigmoid(self.logits)

    def _log_prob(self, value: Array) -> Array:
        odds = logits_log_prob(self.logits, value, self.total_count)
        return log_binomial(self.total_count, value) + odds


class CategoricalProbs(Distribution):
    r"""Categorical distribution by its probabilities.

    .. math:: p(k) = p_k, \quad k = 0, \dots, K - 1

    Parameters
    ----------
    probs
        Probabilities of the K labels along the last axis, a simplex.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.CategoricalProbs([0.25, 0.75]).log_prob(0)), 4)
    -1.3863
    """

    probs: Array = param(constraints.simplex, alias="p")

    @dependent_property(is_discrete=True)
    def support(self) -> Constraint:
        return constraints.integer_interval(0, self.num_categories - 1)

    @property
    def num_categories(self) -> int:
        """Number of labels."""
        return self.probs.shape[-1]

    def _sample(self, key: Key, shape: Shape) -> Array:
        return jax.random.categorical(key, jnp.log(self.probs), axis=-1, shape=shape)

    def _log_prob(self, value: Array) -> Array:
        return times_log(1, pick(self.probs, value))

    def _cdf(self, value: Array) -> Array:
        below = jnp.arange(self.num_categories) <= jnp.floor(value)[..., None]
        return jnp.sum(jnp.where(below, self.probs, 0), axis=-1)

    def _mean(self) -> Array:
        return jnp.sum(self.probs * jnp.arange(self.num_categories), axis=-1)

    def _variance(self) -> Array:
        apart = jnp.arange(self.num_categories) - self._mean()[..., None]
        return jnp.sum(self.probs * apart**2, axis=-1)

    def _entropy(self) -> Array:
        return jnp.sum(entr(self.probs), axis=-1)


class CategoricalLogits(CategoricalProbs):
    r"""Categorical distribution by its logits.

    .. math:: p(k) = \frac{e^{\ell_k}}{\sum_j e^{\ell_j}}

    Parameters
    ----------
    logits
        Log-probabilities of the K labels up to a constant, along the last axis.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.CategoricalLogits([0.0, 0.0]).log_prob(0)), 4)
    -0.6931
    """

    logits: Array = param(constraints.real_vector, alias="logit_p")

    @property
    def probs(self) -> Array:
        """Probabilities of the labels."""
        return jax.nn.softmax(self.logits, axis=-1)

    @property
    def num_categories(self) -> int:
        """Number of labels."""
        return self.logits.shape[-1]

    def _sample(self, key: Key, shape: Shape) -> Array:
        return jax.random.categorical(key, self.logits, axis=-1, shape=shape)

    def _log_prob(self, value: Array) -> Array:
        return pick(self.logits, value) - logsumexp(self.logits, axis=-1)
