"""Kullback-Leibler divergences: closed forms by pairs of families, otherwise an estimate that says so."""

import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp

from pyrox.dist.combinators import Derived, Expanded, Independent
from pyrox.dist.counts import Geometric, GeometricTrials, Poisson
from pyrox.dist.custom import Delta
from pyrox.dist.discrete import (
    BernoulliLogits,
    BernoulliProbs,
    BinomialLogits,
    BinomialProbs,
    CategoricalLogits,
    CategoricalProbs,
)
from pyrox.dist.distribution import Distribution
from pyrox.dist.interval import Beta, Uniform
from pyrox.dist.linear import half_log_det, solve_lower, transpose
from pyrox.dist.multivariate import Dirichlet, MultivariateNormal
from pyrox.dist.positive import Exponential, Gamma, HalfNormal, InverseGamma, LogNormal
from pyrox.dist.real import Cauchy, Gumbel, Laplace, Normal
from pyrox.dist.special import EULER_GAMMA, betaln, digamma, gammaln, softplus, times_log1p
from pyrox.dist.transforms import sum_rightmost
from pyrox.errors import ShapeError
from pyrox.typing import Array, Key

_FORMULAS: dict[tuple[type, type], Callable[..., Array]] = {}


def register_kl(p: type, q: type) -> Callable:
    """Register a formula ``f(p, q)`` for the divergence between two families and their subclasses.

    Parameters
    ----------
    p, q
        The families, classes of distributions.

    Returns
    -------
    A decorator of the formula, a function of two distributions.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> class Unit(dist.Uniform):
    ...     pass
    >>> @dist.register_kl(Unit, dist.Exponential)
    ... def divergence(p, q):
    ...     return q.rate / 2 - jnp.log(q.rate)
    >>> float(dist.kl_divergence(Unit(0.0, 1.0), dist.Exponential(1.0)))
    0.5
    """

    def keep(formula: Callable[..., Array]) -> Callable[..., Array]:
        _FORMULAS[p, q] = formula
        return formula

    return keep


def _formula(p: type, q: type) -> Callable[..., Array] | None:
    for above in p.__mro__:
        for beside in q.__mro__:
            if (above, beside) in _FORMULAS:
                return _FORMULAS[above, beside]
    return None


def _meaning(d: Distribution) -> Distribution:
    """Give what a distribution stands for, where its density is wholly that of another."""
    return d.meaning if isinstance(d, Derived) and type(d)._log_prob is Derived._log_prob else d


def kl_divergence(p: Distribution, q: Distribution, key: Key | None = None, num_samples: int = 10_000) -> Array:
    r"""Give the Kullback-Leibler divergence from q to p.

    .. math:: KL(p \| q) = E_p[\log p(x) - \log q(x)]

    Parameters
    ----------
    p
        The distribution of the expectation.
    q
        The distribution that stands in for it.
    key
        Where no closed form is registered: the key of a Monte Carlo estimate.
    num_samples
        Number of its draws.

    Returns
    -------
    Array of the broadcast batch shape.

    Warns
    -----
    UserWarning
        When the result is an estimate; the message tells its standard error.

    Raises
    ------
    NotImplementedError
        If no closed form is registered and no key was given.
    ShapeError
        If draws of the two have different shapes, or count different numbers of categories.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.kl_divergence(dist.Normal(1.0, 1.0), dist.Normal(0.0, 1.0)))
    0.5
    """
    if isinstance(p, Expanded) or isinstance(q, Expanded):
        shape = jnp.broadcast_shapes(p.batch_shape, q.batch_shape)
        p, q = (d.base_dist if isinstance(d, Expanded) else d for d in (p, q))
        return jnp.broadcast_to(kl_divergence(p, q, key, num_samples), shape)
    if p.event_shape != q.event_shape:
        told = f"{type(p).__name__} draws shape {p.event_shape}, {type(q).__name__} {q.event_shape}"
        raise ShapeError(f"divergence between distributions of different events: {told}")
    for one, other in ((p, q), (_meaning(p), _meaning(q))):
        formula = _formula(type(one), type(other))
        if formula is not None:
            return formula(one, other)
    pair = f"{type(p).__name__} and {type(q).__name__}"
    if key is None:
        raise NotImplementedError(f"no closed divergence between {pair}: give a key for a Monte Carlo estimate")
    draws = p.sample(key, (num_samples,))
    ratio = p.log_prob(draws) - q.log_prob(draws)
    estimate = jnp.mean(ratio, axis=0)
    error = jnp.std(ratio, axis=0) / num_samples**0.5
    told = "" if isinstance(error, jax.core.Tracer) else f", standard error {float(jnp.max(error)):.2g}"
    warnings.warn(f"divergence between {pair}: Monte Carlo estimate of {num_samples} draws{told}", stacklevel=2)
    return estimate


@register_kl(Independent, Independent)
def _(p: Independent, q: Independent) -> Array:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("divergence between Independents of different numbers of axes")
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(Normal, Normal)
@register_kl(LogNormal, LogNormal)
def _(p: Normal, q: Normal) -> Array:
    ratio, apart = p.scale / q.scale, (p.loc - q.loc) / q.scale
    return 0.5 * (ratio**2 + apart**2 - 1) - jnp.log(ratio)


@register_kl(HalfNormal, HalfNormal)
def _(p: HalfNormal, q: HalfNormal) -> Array:
    ratio = p.scale / q.scale
    return 0.5 * (ratio**2 - 1) - jnp.log(ratio)


@register_kl(Cauchy, Cauchy)
def _(p: Cauchy, q: Cauchy) -> Array:
    return jnp.log(((p.scale + q.scale) ** 2 + (p.loc - q.loc) ** 2) / (4 * p.scale * q.scale))


@register_kl(Laplace, Laplace)
def _(p: Laplace, q: Laplace) -> Array:
    ratio, apart = p.scale / q.scale, jnp.abs(p.loc - q.loc)
    return -jnp.log(ratio) + apart / q.scale + ratio * jnp.exp(-apart / p.scale) - 1


@register_kl(Gumbel, Gumbel)
def _(p: Gumbel, q: Gumbel) -> Array:
    ratio, apart = p.scale / q.scale, (p.loc - q.loc) / q.scale
    return -jnp.log(ratio) + EULER_GAMMA * (ratio - 1) + apart + jnp.exp(gammaln(1 + ratio) - apart) - 1


@register_kl(Exponential, Exponential)
def _(p: Exponential, q: Exponential) -> Array:
    ratio = q.rate / p.rate
    return ratio - 1 - jnp.log(ratio)


@register_kl(Gamma, Gamma)
@register_kl(InverseGamma, InverseGamma)
def _(p: Gamma, q: Gamma) -> Array:
    a, b = p.concentration, q.concentration
    ratio = q.rate / p.rate
    return (a - b) * digamma(a) - gammaln(a) + gammaln(b) - b * jnp.log(ratio) + a * (ratio - 1)


@register_kl(Beta, Beta)
def _(p: Beta, q: Beta) -> Array:
    a, b, c, d = p.concentration1, p.concentration0, q.concentration1, q.concentration0
    digammas = (a - c) * digamma(a) + (b - d) * digamma(b) + (c - a + d - b) * digamma(a + b)
    return betaln(c, d) - betaln(a, b) + digammas


@register_kl(Dirichlet, Dirichlet)
def _(p: Dirichlet, q: Dirichlet) -> Array:
    a, b = p.concentration, q.concentration
    total = jnp.sum(a, axis=-1)
    logs = gammaln(total) - gammaln(jnp.sum(b, axis=-1)) + jnp.sum(gammaln(b) - gammaln(a), axis=-1)
    return logs + jnp.sum((a - b) * (digamma(a) - digamma(total)[..., None]), axis=-1)


@register_kl(Uniform, Uniform)
def _(p: Uniform, q: Uniform) -> Array:
    inside = (q.low <= p.low) & (p.high <= q.high)
    return jnp.where(inside, jnp.log((q.high - q.low) / (p.high - p.low)), jnp.inf)


def _relative(p: Array, q: Array) -> Array:
    return jnp.where(p > 0, p * (jnp.log(jnp.where(p > 0, p, 1)) - jnp.log(q)), 0)


@register_kl(BernoulliProbs, BernoulliProbs)
def _(p: BernoulliProbs, q: BernoulliProbs) -> Array:
    return _relative(p.probs, q.probs) + _relative(1 - p.probs, 1 - q.probs)


@register_kl(BernoulliLogits, BernoulliLogits)
def _(p: BernoulliLogits, q: BernoulliLogits) -> Array:
    up = softplus(-q.logits) - softplus(-p.logits)
    return p.probs * up + jax.nn.sigmoid(-p.logits) * (softplus(q.logits) - softplus(p.logits))


@register_kl(Delta, Distribution)
def _(p: Delta, q: Distribution) -> Array:
    return p.log_density - q.log_prob(p.value)


@register_kl(BinomialProbs, BinomialProbs)
def _(p: BinomialProbs, q: BinomialProbs) -> Array:
    return _of_trials(p, q, _relative(p.probs, q.probs) + _relative(1 - p.probs, 1 - q.probs))


@register_kl(BinomialLogits, BinomialLogits)
def _(p: BinomialLogits, q: BinomialLogits) -> Array:
    return _of_trials(p, q, kl_divergence(BernoulliLogits(p.logits), BernoulliLogits(q.logits)))


def _of_trials(p: BinomialProbs, q: BinomialProbs, one: Array) -> Array:
    """Give the divergence of all trials from that of one."""
    unequal = jnp.where(p.total_count > q.total_count, jnp.inf, jnp.nan)  # unreachable values, or no closed form
    return jnp.where(p.total_count == q.total_count, p.total_count * one, unequal)


def _require_same_categories(p: CategoricalProbs, q: CategoricalProbs) -> None:
    counts = [d.probs.shape[-1] for d in (p, q)]
    if counts[0] != counts[1]:
        raise ShapeError(f"divergence between {counts[0]} and {counts[1]} categories: both need the same")


@register_kl(CategoricalProbs, CategoricalProbs)
def _(p: CategoricalProbs, q: CategoricalProbs) -> Array:
    _require_same_categories(p, q)
    return jnp.sum(_relative(p.probs, q.probs), axis=-1)


@register_kl(CategoricalLogits, CategoricalLogits)
def _(p: CategoricalLogits, q: CategoricalLogits) -> Array:
    _require_same_categories(p, q)
    apart = jax.nn.log_softmax(p.logits) - jax.nn.log_softmax(q.logits)
    return jnp.sum(p.probs * apart, axis=-1)


@register_kl(Poisson, Poisson)
def _(p: Poisson, q: Poisson) -> Array:
    return p.rate * jnp.log(p.rate / q.rate) - p.rate + q.rate


@register_kl(Geometric, Geometric)
@register_kl(GeometricTrials, GeometricTrials)
def _(p: Geometric, q: Geometric) -> Array:
    failures = (1 - p.probs) / p.probs
    return jnp.log(p.probs / q.probs) + times_log1p(failures, -p.probs) - times_log1p(failures, -q.probs)


@register_kl(Geometric, GeometricTrials)
def _(p: Geometric, q: GeometricTrials) -> Array:
    # Zero failures are no number of trials.
    return jnp.full(jnp.broadcast_shapes(p.batch_shape, q.batch_shape), jnp.inf)


@register_kl(GeometricTrials, Geometric)
def _(p: GeometricTrials, q: Geometric) -> Array:
    # A number of trials read as one of failures: one failure more.
    return kl_divergence(Geometric(p.probs), Geometric(q.probs)) - jnp.log1p(-q.probs)


@register_kl(MultivariateNormal, MultivariateNormal)
def _(p: MultivariateNormal, q: MultivariateNormal) -> Array:
    order, tril = p.event_shape[0], q.scale_tril
    white = solve_lower(tril[..., None, :, :], transpose(p.scale_tril))
    apart = solve_lower(tril, p.loc - q.loc)
    distance = jnp.sum(white * white, axis=(-2, -1)) + jnp.sum(apart * apart, axis=-1)
    return half_log_det(tril) - half_log_det(p.scale_tril) + 0.5 * (distance - order)
