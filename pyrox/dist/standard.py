"""Standard forms: a distribution as a map of one that has no location and no scale."""

from functools import singledispatch
from typing import NamedTuple

import jax.numpy as jnp

from pyrox._pytree import static
from pyrox.dist import constraints
from pyrox.dist.combinators import Expanded, Independent, TransformedDistribution
from pyrox.dist.constraints import Constraint
from pyrox.dist.distribution import Distribution, option, part
from pyrox.dist.interval import LogitNormal
from pyrox.dist.lifetimes import HalfStudentT, Weibull
from pyrox.dist.multivariate import MultivariateNormal, MultivariateStudentT
from pyrox.dist.positive import Exponential, Gamma, HalfCauchy, HalfNormal, InverseGamma, LogNormal
from pyrox.dist.real import LocScale, Normal
from pyrox.dist.spatial import ZeroSumNormal
from pyrox.dist.timeseries import GaussianRandomWalk, RandomWalk
from pyrox.dist.transform import IndependentTransform
from pyrox.dist.transforms import (
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    IdentityTransform,
    SigmoidTransform,
    Transform,
    sum_rightmost,
)
from pyrox.dist.vector_transforms import MultivariateAffineTransform, ZeroSumTransform
from pyrox.typing import Array, Key, Shape

# What has a standard form, for messages.
FAMILIES = (
    "Normal, StudentT, Cauchy, Laplace, Logistic, Gumbel, Moyal, SkewNormal, AsymmetricLaplace, LogNormal, "
    "LogitNormal, HalfNormal, HalfCauchy, HalfStudentT, Exponential, Gamma, InverseGamma, Weibull, MvNormal, "
    "MvStudentT, ZeroSumNormal and random walks"
)


class StandardForm(NamedTuple):
    """A draw of a distribution is ``transform(z)``, z a draw of ``base``, which neither location nor scale shape."""

    base: Distribution
    transform: Transform


@singledispatch
def standard_form(d: Distribution) -> StandardForm | None:
    r"""Take location and scale out of a distribution.

    .. math:: z \sim D(0, 1), \quad x = \mu + \sigma z

    Parameters
    ----------
    d
        A distribution.

    Returns
    -------
    The distribution of z, with the batch shape of ``d``, and the map to x; None for a family that has no such form.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.dist.standard import standard_form
    >>> base, transform = standard_form(dist.Normal(5.0, 2.0))
    >>> base, float(transform(1.0))
    (Normal(loc=0.0, scale=1.0), 7.0)
    """
    return None


def _standard(d: Distribution, **unit: float) -> Distribution:
    """Put 0 and 1 in the place of location and scale; the other parameters stay."""
    params = {p.name: getattr(d, p.attribute) for p in d.params}
    return type(d)(**{**params, **unit}).expand(d.batch_shape)


def _noise(shape: Shape, event_dim: int = 0) -> Distribution:
    return Normal(0.0, 1.0).expand(shape).to_event(event_dim)


@standard_form.register
def _(d: LocScale) -> StandardForm:
    return StandardForm(_standard(d, loc=0.0, scale=1.0), AffineTransform(d.loc, d.scale))


@standard_form.register
def _(d: LogNormal) -> StandardForm:
    line = AffineTransform(d.loc, d.scale)
    return StandardForm(_noise(d.batch_shape), ComposeTransform((line, ExpTransform())))


@standard_form.register
def _(d: LogitNormal) -> StandardForm:
    line = AffineTransform(d.loc, d.scale)
    return StandardForm(_noise(d.batch_shape), ComposeTransform((line, SigmoidTransform())))


@standard_form.register(HalfNormal)
@standard_form.register(HalfCauchy)
@standard_form.register(HalfStudentT)
@standard_form.register(Weibull)
def _(d: Distribution) -> StandardForm:
    return StandardForm(_standard(d, scale=1.0), AffineTransform(0.0, d.scale, constraints.positive))


@standard_form.register(Exponential)
@standard_form.register(Gamma)
def _(d: Distribution) -> StandardForm:
    return StandardForm(_standard(d, rate=1.0), AffineTransform(0.0, 1 / d.rate, constraints.positive))


@standard_form.register
def _(d: InverseGamma) -> StandardForm:
    return StandardForm(_standard(d, rate=1.0), AffineTransform(0.0, d.rate, constraints.positive))


@standard_form.register
def _(d: MultivariateNormal) -> StandardForm:
    return StandardForm(_noise(d.batch_shape + d.event_shape, 1), MultivariateAffineTransform(d.loc, d.scale_tril))


@standard_form.register
def _(d: MultivariateStudentT) -> StandardForm:
    size = d.event_shape[0]
    base = MultivariateStudentT(d.df, jnp.zeros(size), jnp.eye(size)).expand(d.batch_shape)
    return StandardForm(base, MultivariateAffineTransform(d.loc, d.scale_tril))


@standard_form.register
def _(d: ZeroSumNormal) -> StandardForm:
    ndims = d.event_dim
    free = ZeroSumTransform(ndims)  # an isometry: in its coordinates the numbers are independent
    stretch = AffineTransform(0.0, jnp.reshape(d.scale, jnp.shape(d.scale) + (1,) * ndims))
    shape = free.inverse_shape(d.batch_shape + d.event_shape)
    return StandardForm(_noise(shape, ndims), ComposeTransform((stretch, free)))


@standard_form.register
def _(d: Expanded) -> StandardForm | None:
    form = standard_form(d.base_dist)
    return form and StandardForm(form.base.expand(d.shape), form.transform)


@standard_form.register
def _(d: Independent) -> StandardForm | None:
    form, ndims = standard_form(d.base_dist), d.reinterpreted_batch_ndims
    return form and StandardForm(form.base.to_event(ndims), IndependentTransform(form.transform, ndims))


@standard_form.register
def _(d: TransformedDistribution) -> StandardForm | None:
    form = standard_form(d.base_dist)
    return form and StandardForm(form.base, ComposeTransform((form.transform, *d.transforms)))


# Random walks: their steps are independent


class Increments(Distribution):
    """A first value and the steps after it, along the axis of time.

    Parameters
    ----------
    innovation_dist
        Distribution of a step.
    init_dist
        Distribution of the first value.
    num_steps
        Length of the series.
    """

    innovation_dist: Distribution = part()
    init_dist: Distribution = part()
    num_steps: int = option()

    @property
    def support(self) -> Constraint:
        return constraints.independent(constraints.real, self.event_dim)

    @property
    def batch_shape(self) -> Shape:
        return jnp.broadcast_shapes(self.innovation_dist.batch_shape, self.init_dist.batch_shape)

    @property
    def event_shape(self) -> Shape:
        return (self.num_steps, *self.init_dist.event_shape)

    def _sample(self, key: Key, shape: Shape) -> Array:
        return jnp.diff(self._walk._sample(key, shape), axis=-self.event_dim, prepend=0.0)

    @property
    def _walk(self) -> RandomWalk:
        return RandomWalk(self.innovation_dist, self.init_dist, self.num_steps)

    def _log_prob(self, value: Array) -> Array:
        value = jnp.broadcast_to(value, jnp.broadcast_shapes(value.shape, self.batch_shape + self.event_shape))
        steps = jnp.moveaxis(value, -self.event_dim, 0)
        return self.init_dist._log_prob(steps[0]) + jnp.sum(self.innovation_dist._log_prob(steps[1:]), axis=0)


class WalkTransform(Transform):
    """Add up the images of steps, along the axis of time.

    Parameters
    ----------
    first, step
        Maps of the first value and of each step.
    ndims
        Number of axes of one value.
    """

    first: Transform
    step: Transform
    ndims: int = static(default=0)

    @property
    def domain(self) -> Constraint:
        return constraints.independent(constraints.real, self.ndims + 1)

    codomain = domain

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        z = jnp.moveaxis(x, -self.ndims - 1, 0)
        start, log_det = self.first.forward_and_log_det(z[0])
        steps, log_dets = self.step.forward_and_log_det(z[1:])
        path = jnp.cumsum(jnp.concatenate([start[None], steps]), axis=0)
        total = self._summed(log_det, self.first) + jnp.sum(self._summed(log_dets, self.step), axis=0)
        return jnp.moveaxis(path, 0, -self.ndims - 1), total

    def _summed(self, log_det: Array, part: Transform) -> Array:
        return sum_rightmost(log_det, self.ndims - part.event_dim)

    def inverse(self, y: Array) -> Array:
        path = jnp.moveaxis(y, -self.ndims - 1, 0)
        start, steps = self.first.inverse(path[0]), self.step.inverse(jnp.diff(path, axis=0))
        return jnp.moveaxis(jnp.concatenate([start[None], steps]), 0, -self.ndims - 1)


@standard_form.register
def _(d: RandomWalk) -> StandardForm | None:
    ndims = d.event_dim - 1
    step = standard_form(d.innovation_dist)
    # A first value without a standard form stays as it is.
    first = standard_form(d.init_dist) or StandardForm(d.init_dist, IdentityTransform(ndims))
    if step is None or not all(constraints.covers_reals(x.base.support) for x in (step, first)):
        return None
    return StandardForm(
        Increments(step.base, first.base, d.num_steps), WalkTransform(first.transform, step.transform, ndims)
    )


@standard_form.register
def _(d: GaussianRandomWalk) -> StandardForm | None:
    return standard_form(d.meaning)
