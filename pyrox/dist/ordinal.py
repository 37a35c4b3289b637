"""Labels in order, and counts of labels."""
# ruff: noqa: FBT001 - validate_args may be given by position, as documented

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr, logsumexp, ndtr

from pyrox.dist import constraints
from pyrox.dist.constraints import Constraint, dependent_property
from pyrox.dist.discrete import CategoricalProbs, choose_one
from pyrox.dist.distribution import Distribution, param
from pyrox.dist.special import log_factorial, log_gamma_ratio, log_subtract, pick, softplus, times_log
from pyrox.typing import Array, ArrayLike, Key, Shape


class OrderedLogistic(CategoricalProbs):
    r"""Labels in order: the interval between cutpoints into which a logistic variable falls.

    .. math:: P(y \le k) = \sigma(c_k - \eta)

    Parameters
    ----------
    predictor
        Location :math:`\eta` of the latent variable, any shape.
    cutpoints
        Increasing :math:`c_0 < \dots < c_{K-2}` along the last axis, for K labels.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.OrderedLogistic(0.0, [-1.0, 1.0]).probs.round(3).tolist()
    [0.269, 0.462, 0.269]
    """

    predictor: Array = param(constraints.real, alias="eta")
    cutpoints: Array = param(constraints.ordered_vector, alias="cutpoints")

    def _share_below(self, x: Array) -> Array:
        return jax.nn.sigmoid(x)

    def _log_between(self, low: Array, high: Array, first: Array, last: Array) -> Array:
        # s(b) - s(a) = s(b) s(-a) (1 - exp(a - b)), where an end that is missing has the factor one.
        gap = jnp.where(first | last, -1.0, low - high)
        inner = jnp.where(first | last, 0.0, jnp.log(-jnp.expm1(gap)))
        return inner - jnp.where(last, 0.0, softplus(-high)) - jnp.where(first, 0.0, softplus(low))

    @property
    def probs(self) -> Array:
        """Probabilities of the labels."""
        below = self._share_below(self.cutpoints - self.predictor[..., None])
        ends = jnp.zeros_like(below[..., :1]), jnp.ones_like(below[..., :1])
        return jnp.diff(below, prepend=ends[0], append=ends[1], axis=-1)

    @property
    def num_categories(self) -> int:
        """Number of labels."""
        return self.cutpoints.shape[-1] + 1

    def _log_prob(self, value: Array) -> Array:
        last = self.num_categories - 1
        high = pick(self.cutpoints, jnp.minimum(value, last - 1)) - self.predictor
        low = pick(self.cutpoints, jnp.maximum(value - 1, 0)) - self.predictor
        return self._log_between(low, high, value == 0, value == last)


class OrderedProbit(OrderedLogistic):
    r"""Labels in order: the interval between cutpoints into which a normal variable falls.

    .. math:: P(y \le k) = \Phi((c_k - \eta) / \sigma)

    Parameters
    ----------
    predictor
        Mean :math:`\eta` of the latent variable, any shape.
    cutpoints
        Increasing :math:`c_0 < \dots < c_{K-2}` along the last axis, for K labels.
    scale
        Standard deviation :math:`\sigma > 0` of the latent variable.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.OrderedProbit(0.0, [-1.0, 1.0]).probs.round(3).tolist()
    [0.159, 0.683, 0.159]
    """

    predictor: Array = param(constraints.real, alias="eta")
    cutpoints: Array = param(constraints.ordered_vector, alias="cutpoints")
    scale: Array = param(constraints.positive, default=1.0, alias="sigma")

    def _share_below(self, x: Array) -> Array:
        return ndtr(x / self.scale[..., None])

    def _log_between(self, low: Array, high: Array, first: Array, last: Array) -> Array:
        low, high = low / self.scale, high / self.scale
        turned = ~first & (last | (low + high > 0))  # look from the side of the lower tail
        upper = jnp.where(turned, -low, high)
        lower = jnp.where(turned, -high, low)
        one_sided = first | last
        inner = log_subtract(log_ndtr(upper), log_ndtr(jnp.where(one_sided, upper - 1, lower)))
        return jnp.where(one_sided, log_ndtr(upper), inner)


def Multinomial(  # noqa: N802 - a distribution to those who write it
    total_count: ArrayLike = 1,
    probs: ArrayLike | None = None,
    logits: ArrayLike | None = None,
    validate_args: bool | None = None,
) -> Distribution:
    """Make a multinomial distribution from probabilities or logits.

    Parameters
    ----------
    total_count
        Number of trials.
    probs
        Probabilities of the labels along the last axis.
    logits
        Their logarithms up to a constant, instead.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.Multinomial(3, probs=[0.5, 0.5])
    MultinomialProbs(probs=[0.5, 0.5], total_count=3)
    """
    if choose_one("Multinomial", probs=probs, logits=logits) == "probs":
        return MultinomialProbs(probs, total_count, validate_args=validate_args)
    return MultinomialLogits(logits, total_count, validate_args=validate_args)


def _log_ways(total_count: Array, value: Array) -> Array:
    return log_factorial(total_count) - jnp.sum(log_factorial(value), axis=-1)


class MultinomialProbs(Distribution):
    r"""Counts of K labels in n independent trials, by their probabilities.

    .. math:: p(x) = \frac{n!}{\prod_k x_k!} \prod_k p_k^{x_k}

    Parameters
    ----------
    probs
        Probabilities along the last axis, a simplex.
    total_count
        Number n of trials.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.MultinomialProbs([0.25, 0.75], 4).mean.tolist()
    [1.0, 3.0]
    """

    probs: Array = param(constraints.simplex, alias="p")
    total_count: Array = param(constraints.nonnegative_integer, default=1, alias="n")

    @dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Constraint:
        return constraints.multinomial(self.total_count)

    @property
    def event_shape(self) -> Shape:
        return jnp.shape(self.probs)[-1:]

    def _sample(self, key: Key, shape: Shape) -> Array:
        total = jnp.broadcast_to(self.total_count, shape[:-1])
        probs = jnp.broadcast_to(self.probs, shape)
        return jax.random.multinomial(key, total.astype(float), probs).astype(int)

    def _log_prob(self, value: Array) -> Array:
        return _log_ways(self.total_count, value) + jnp.sum(times_log(value, self.probs), axis=-1)

    def _mean(self) -> Array:
        return self.total_count[..., None] * self.probs

    def _variance(self) -> Array:
        return self.total_count[..., None] * self.probs * (1 - self.probs)


class MultinomialLogits(MultinomialProbs):
    r"""Counts of K labels in n independent trials, by their logits.

    .. math:: p(x) = \frac{n!}{\prod_k x_k!} \prod_k \mathrm{softmax}(\ell)_k^{x_k}

    Parameters
    ----------
    logits
        Log-probabilities up to a constant, along the last axis.
    total_count
        Number n of trials.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.MultinomialLogits([0.0, 0.0], 4).mean.tolist()
    [2.0, 2.0]
    """

    logits: Array = param(constraints.real_vector, alias="logit_p")
    total_count: Array = param(constraints.nonnegative_integer, default=1, alias="n")

    @property
    def probs(self) -> Array:
        """Probabilities of the labels."""
        return jax.nn.softmax(self.logits, axis=-1)

    def _log_prob(self, value: Array) -> Array:
        chosen = jnp.sum(value * self.logits, axis=-1) - self.total_count * logsumexp(self.logits, axis=-1)
        return _log_ways(self.total_count, value) + chosen


class DirichletMultinomial(Distribution):
    r"""Counts of labels whose probabilities are drawn from a Dirichlet distribution.

    .. math:: p(x) = \frac{n!\, \Gamma(A)}{\Gamma(n + A)} \prod_k \frac{\Gamma(x_k + a_k)}{x_k!\, \Gamma(a_k)},
        \quad A = \sum_k a_k

    Parameters
    ----------
    concentration
        Weights :math:`a_k > 0` along the last axis.
    total_count
        Number n of trials.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.DirichletMultinomial([1.0, 3.0], 4).mean.tolist()
    [1.0, 3.0]
    """

    concentration: Array = param(constraints.positive_vector, alias="a")
    total_count: Array = param(constraints.nonnegative_integer, default=1, alias="n")

    @dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Constraint:
        return constraints.multinomial(self.total_count)

    @property
    def event_shape(self) -> Shape:
        return jnp.shape(self.concentration)[-1:]

    def _sample(self, key: Key, shape: Shape) -> Array:
        key_probs, key_count = jax.random.split(key)
        probs = jax.random.dirichlet(key_probs, self.concentration, shape[:-1])
        return MultinomialProbs(probs, self.total_count)._sample(key_count, shape)

    def _log_prob(self, value: Array) -> Array:
        a = self.concentration
        total, n = jnp.sum(a, axis=-1), self.total_count
        each = jnp.sum(log_gamma_ratio(a, value), axis=-1)
        return _log_ways(n, value) + each - log_gamma_ratio(total, n)

    def _mean(self) -> Array:
        return self.total_count[..., None] * self._share()

    def _share(self) -> Array:
        return self.concentration / jnp.sum(self.concentration, axis=-1, keepdims=True)

    def _variance(self) -> Array:
        total = jnp.sum(self.concentration, axis=-1, keepdims=True)
        n, share = self.total_count[..., None], self._share()
        return n * share * (1 - share) * (n + total) / (1 + total)
