"""Parts of a distribution: some of its independent copies, some coordinates of its vectors."""

import math
from functools import singledispatch
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from pyrox.dist import constraints
from pyrox.dist.combinators import Expanded
from pyrox.dist.constraints import Constraint
from pyrox.dist.distribution import Distribution, Param, Part, _fields, part
from pyrox.dist.linear import half_log_det
from pyrox.dist.multivariate import LowRankMultivariateNormal, MultivariateNormal
from pyrox.dist.real import Normal
from pyrox.dist.special import HALF_LOG_2PI
from pyrox.dist.timeseries import GaussianRandomWalk, RandomWalk
from pyrox.errors import ShapeError
from pyrox.typing import Array, Key, Shape

# Copies


def take_batch(d: Distribution, index: Array) -> Distribution:
    """Take some of the independent copies of a distribution.

    Parameters
    ----------
    d
        A distribution.
    index
        Positions in its batch, all axes of the batch counted through in one; shape ``(k,)``.

    Returns
    -------
    A distribution of batch shape ``(k,)``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> from pyrox.dist.parts import take_batch
    >>> take_batch(dist.Normal(jnp.array([1.0, 2.0, 3.0]), 1.0), jnp.array([2, 0])).loc.tolist()
    [3.0, 1.0]
    """
    core, batch = d, d.batch_shape
    while isinstance(core, Expanded):
        core = core.base_dist
    if any(isinstance(f, Part) for f in _fields(type(core))):
        return Selected(d, index)  # what is inside has batches of its own
    values = {}
    for f in _fields(type(core)):
        value = getattr(core, f.attribute)
        values[f.name] = _take(value, batch, f.event_dim, index) if isinstance(f, Param) else value
    taken = object.__new__(type(core))
    taken._set(values, validate_args=False)
    return taken.expand(index.shape)


def _take(value: Any, batch: Shape, event_dim: int, index: Array) -> Any:
    if value is None:
        return None
    shape = jnp.shape(value)
    own, event = shape[: len(shape) - event_dim], shape[len(shape) - event_dim :]
    if all(n == 1 for n in own):  # one for all copies
        return value if not own else jnp.reshape(value, event)
    return _rows(jnp.broadcast_to(value, (*batch, *event)), len(batch))[index]


def _rows(value: Array, ndim: int) -> Array:
    """Put the first ``ndim`` axes into one."""
    return jnp.reshape(value, (-1, *jnp.shape(value)[ndim:]))


class Selected(Distribution):
    """Some copies of a distribution whose parameters cannot be taken apart; all are evaluated.

    Parameters
    ----------
    base_dist
        A distribution.
    index
        Positions in its batch, all axes counted through in one.
    """

    base_dist: Distribution = part()
    index: Array = part()

    @property
    def support(self) -> Constraint:
        base = self.base_dist.support
        if base.event_dim:
            return base  # bounds that differ between vectors do not occur
        batch = self.base_dist.batch_shape
        take = lambda bound: _take(bound, batch, 0, self.index) if jnp.ndim(bound) else bound  # noqa: E731
        return jax.tree.map(take, base)

    @property
    def batch_shape(self) -> Shape:
        return jnp.shape(self.index)

    @property
    def event_shape(self) -> Shape:
        return self.base_dist.event_shape

    def _sample(self, key: Key, shape: Shape) -> Array:
        lead, base = shape[: len(shape) - len(self.event_shape) - 1], self.base_dist
        draws = base._sample(key, (*lead, *base.batch_shape, *base.event_shape))
        return jnp.reshape(draws, (*lead, -1, *base.event_shape))[(*(slice(None),) * len(lead), self.index)]

    def _log_prob(self, value: Array) -> Array:
        base = self.base_dist
        lead = value.shape[: value.ndim - len(self.event_shape) - 1]
        blank = jnp.zeros((*lead, *base.batch_shape, *base.event_shape), value.dtype)
        axis = (slice(None),) * len(lead)
        # Copies that are not asked for get members of the support, so that they make no NaN.
        rows = jnp.reshape(base.support.feasible_like(blank), (*lead, -1, *base.event_shape))
        full = rows.at[(*axis, self.index)].set(value).reshape(blank.shape)
        log_prob = jnp.broadcast_to(base._log_prob(full), (*lead, *base.batch_shape))
        return jnp.reshape(log_prob, (*lead, -1))[(*axis, self.index)]

    def _mean(self) -> Array:
        return _rows(self.base_dist.mean, len(self.base_dist.batch_shape))[self.index]

    def _variance(self) -> Array:
        return _rows(self.base_dist.variance, len(self.base_dist.batch_shape))[self.index]


# Coordinates of normal vectors


@singledispatch
def as_normal(d: Distribution) -> MultivariateNormal | None:
    """Write a distribution of vectors as a multivariate normal; None where it is none."""
    return None


@as_normal.register
def _(d: MultivariateNormal) -> MultivariateNormal:
    return d


@as_normal.register
def _(d: LowRankMultivariateNormal) -> MultivariateNormal:
    return MultivariateNormal(d.loc, covariance_matrix=d.covariance_matrix)


@as_normal.register
def _(d: Expanded) -> MultivariateNormal | None:
    normal = as_normal(d.base_dist)
    if normal is None:
        return None
    return MultivariateNormal(jnp.broadcast_to(normal.loc, d.batch_shape + d.event_shape), scale_tril=normal.scale_tril)


@as_normal.register
def _(d: GaussianRandomWalk) -> MultivariateNormal | None:
    return as_normal(d.meaning)


@as_normal.register
def _(d: RandomWalk) -> MultivariateNormal | None:
    first, step = _plain(d.init_dist), _plain(d.innovation_dist)
    if not (isinstance(first, Normal) and isinstance(step, Normal)):
        return None
    later = jnp.arange(d.num_steps) > 0
    loc, scale = (
        jnp.where(later, jnp.expand_dims(getattr(step, n), -1), jnp.expand_dims(getattr(first, n), -1))
        for n in ("loc", "scale")
    )
    # A walk is the sum of its steps so far.
    tril = jnp.tril(jnp.broadcast_to(scale[..., None, :], (*scale.shape[:-1], d.num_steps, d.num_steps)))
    return MultivariateNormal(jnp.cumsum(loc, axis=-1), scale_tril=tril)


def _plain(d: Distribution) -> Distribution:
    while isinstance(d, Expanded):
        d = d.base_dist
    return d


class _FiniteWhere(Constraint):
    """Vectors that are finite at the coordinates that count."""

    said = "finite where it was observed"
    event_dim = 1
    counts: Array

    def __call__(self, x: Array) -> Array:
        return jnp.all(jnp.isfinite(x) | ~self.counts, axis=-1)

    def feasible_like(self, x: Array) -> Array:
        return jnp.zeros_like(x)


class _Whitening:
    """Solve with the covariances of the coordinates that were seen, once for every pattern of them."""

    def __init__(self, normal: MultivariateNormal, seen: Array, patterns: Array, which: Array) -> None:
        covariance = normal.covariance_matrix
        if covariance.ndim > 2:  # every vector has its own
            patterns, which = seen, slice(None)
        both = patterns[..., :, None] & patterns[..., None, :]
        identity = jnp.eye(covariance.shape[-1], dtype=covariance.dtype)
        # A coordinate that was not seen becomes a standard normal of its own, at its mean.
        tril = jnp.linalg.cholesky(jnp.where(both, covariance, identity))
        inverse = solve_triangular(tril, jnp.broadcast_to(identity, tril.shape), lower=True)
        self.half, self.log_det, self.covariance = inverse[which], half_log_det(tril)[which], covariance

    def whiten(self, apart: Array) -> Array:
        return jnp.einsum("...ij,...j->...i", self.half, apart)

    def update(self, apart: Array) -> Array:
        """Give what the coordinates that were seen say about all of them."""
        weights = jnp.einsum("...ji,...j->...i", self.half, self.whiten(apart))
        return jnp.einsum("...ij,...j->...i", self.covariance, weights)


class SeenCoordinates(Distribution):
    """Those coordinates of normal vectors that were observed: their marginal distribution.

    Parameters
    ----------
    base_dist
        Multivariate normal of batch shape ``(n,)``, or of none.
    seen
        Which coordinates count, ``(n, d)``; values are NaN at the others.
    patterns, which
        The different rows of ``seen``, and which of them each one is.
    """

    base_dist: MultivariateNormal = part()
    seen: Array = part()
    patterns: Array = part()
    which: Array = part()

    @property
    def support(self) -> Constraint:
        return _FiniteWhere(self.seen)

    @property
    def batch_shape(self) -> Shape:
        return jnp.shape(self.seen)[:-1]

    @property
    def event_shape(self) -> Shape:
        return jnp.shape(self.seen)[-1:]

    def _sample(self, key: Key, shape: Shape) -> Array:
        return jnp.where(self.seen, self.base_dist._sample(key, shape), jnp.nan)

    def _log_prob(self, value: Array) -> Array:
        whitening = _Whitening(self.base_dist, self.seen, self.patterns, self.which)
        z = whitening.whiten(jnp.where(self.seen, value - self.base_dist.loc, 0.0))
        count = jnp.sum(self.seen, axis=-1)
        return -0.5 * jnp.sum(z * z, axis=-1) - whitening.log_det - count * HALF_LOG_2PI

    def _mean(self) -> Array:
        return jnp.where(self.seen, self.base_dist.loc, jnp.nan)

    def _variance(self) -> Array:
        return jnp.where(self.seen, self.base_dist.variance, jnp.nan)


class UnseenCoordinates(Distribution):
    r"""Those coordinates of normal vectors that were not observed, given the others of the same vector.

    .. math:: x_m \mid x_o \sim N\left(\mu_m + \Sigma_{mo} \Sigma_{oo}^{-1} (x_o - \mu_o),\;
        \Sigma_{mm} - \Sigma_{mo} \Sigma_{oo}^{-1} \Sigma_{om}\right)

    Parameters
    ----------
    base_dist
        Multivariate normal of batch shape ``(n,)``, or of none.
    seen, patterns, which
        As in ``SeenCoordinates``.
    values
        What was observed, ``(n, d)``; elsewhere anything.
    elements
        Positions of the others in ``(n, d)``, both axes counted through in one; shape ``(k,)``.
    """

    base_dist: MultivariateNormal = part()
    seen: Array = part()
    patterns: Array = part()
    which: Array = part()
    values: Array = part()
    elements: Array = part()
    support = constraints.real_vector

    @property
    def batch_shape(self) -> Shape:
        return ()

    @property
    def event_shape(self) -> Shape:
        return jnp.shape(self.elements)

    def _given(self, value: Array) -> Array:
        """Put the vectors together."""
        known = jnp.where(self.seen, self.values, 0.0)
        lead = value.shape[:-1]
        rows = jnp.broadcast_to(jnp.ravel(known), (*lead, known.size))
        return rows.at[..., self.elements].set(value).reshape(*lead, *known.shape)

    def _update(self, start: Array) -> Array:
        """Move draws, or means, of whole vectors to what was observed of them."""
        whitening = _Whitening(self.base_dist, self.seen, self.patterns, self.which)
        moved = start + whitening.update(jnp.where(self.seen, self.values - start, 0.0))
        return jnp.reshape(moved, (*moved.shape[:-2], -1))[..., self.elements]

    def _sample(self, key: Key, shape: Shape) -> Array:
        return self._update(self.base_dist._sample(key, (*shape[:-1], *jnp.shape(self.seen))))

    def _log_prob(self, value: Array) -> Array:
        seen = SeenCoordinates(self.base_dist, self.seen, self.patterns, self.which, validate_args=False)
        whole = self.base_dist._log_prob(self._given(value))
        return jnp.sum(whole - seen._log_prob(self.values), axis=-1)

    def _mean(self) -> Array:
        return self._update(jnp.broadcast_to(self.base_dist.loc, jnp.shape(self.seen)))


def require_rows(d: Distribution, batch: Shape) -> MultivariateNormal:
    """Give a normal distribution of vectors all of a batch, in one axis."""
    normal = as_normal(d)
    if normal is None:
        raise ShapeError(f"{type(d).__name__} is no multivariate normal distribution")
    rows = math.prod(batch)
    loc = _rows(jnp.broadcast_to(normal.loc, (*batch, *normal.event_shape)), len(batch))
    tril = normal.scale_tril
    if tril.ndim > 2:
        tril = _rows(jnp.broadcast_to(tril, (*batch, *tril.shape[-2:])), len(batch))
    return MultivariateNormal(loc.reshape(rows, -1), scale_tril=tril)
