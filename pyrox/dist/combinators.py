"""Distributions made of distributions: independent events, expanded batches, masks, transforms."""
# ruff: noqa: FBT001 - validate_args may be given by position, as documented

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from pyrox.dist import constraints
from pyrox.dist.constraints import Constraint
from pyrox.dist.distribution import Distribution, option, part
from pyrox.dist.transforms import ComposeTransform, Transform, sum_rightmost
from pyrox.errors import ShapeError
from pyrox.typing import Array, ArrayLike, Key, Shape


class Independent(Distribution):
    """Treat the last batch axes of a distribution as part of its event.

    Parameters
    ----------
    base_dist
        A distribution with at least that many batch axes.
    reinterpreted_batch_ndims
        Number of batch axes, counted from the right, that become event axes.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> d = dist.Independent(dist.Normal(jnp.zeros(3), 1.0), 1)
    >>> d.batch_shape, d.event_shape
    ((), (3,))
    """

    base_dist: Distribution = part()
    reinterpreted_batch_ndims: int = option()

    def __init__(
        self, base_dist: Distribution, reinterpreted_batch_ndims: int, validate_args: bool | None = None
    ) -> None:
        if not 0 <= reinterpreted_batch_ndims <= len(base_dist.batch_shape):
            wanted = f"{reinterpreted_batch_ndims} batch axes to make an event of"
            raise ShapeError(f"Independent: {type(base_dist).__name__} has no {wanted}; it has {base_dist.batch_shape}")
        fields = {"base_dist": base_dist, "reinterpreted_batch_ndims": reinterpreted_batch_ndims}
        self._set(fields, validate_args)

    @property
    def support(self) -> Constraint:
        return constraints.independent(self.base_dist.support, self.reinterpreted_batch_ndims)

    @property
    def reparametrized_params(self) -> list[str]:
        return self.base_dist.reparametrized_params

    @property
    def batch_shape(self) -> Shape:
        shape = self.base_dist.batch_shape
        return shape[: len(shape) - self.reinterpreted_batch_ndims]

    @property
    def event_shape(self) -> Shape:
        shape = self.base_dist.batch_shape
        return shape[len(shape) - self.reinterpreted_batch_ndims :] + self.base_dist.event_shape

    def _sample(self, key: Key, shape: Shape) -> Array:
        return self.base_dist._sample(key, shape)

    def log_prob(self, value: ArrayLike) -> Array:
        """See ``Distribution.log_prob``; the base tells for itself what it counts, as one with a mask does."""
        if self._validate:
            self._validate_value(self._as_value(value))
        return self._added(self.base_dist.log_prob(value))

    def _log_prob(self, value: Array) -> Array:
        return self._added(self.base_dist._log_prob(value))

    def _added(self, log_prob: Array) -> Array:
        full = jnp.broadcast_shapes(log_prob.shape, self.base_dist.batch_shape)
        return sum_rightmost(jnp.broadcast_to(log_prob, full), self.reinterpreted_batch_ndims)

    def _entropy(self) -> Array:
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def _mean(self) -> Array:
        return self.base_dist.mean

    def _variance(self) -> Array:
        return self.base_dist.variance


class Derived(Distribution):
    """A distribution with parameters of its own that means another one, given by ``meaning``."""

    @property
    def meaning(self) -> Distribution:
        """The distribution that this one stands for."""
        raise NotImplementedError(f"{type(self).__name__} must define meaning")

    @property
    def support(self) -> Constraint:
        return self.meaning.support

    @property
    def event_shape(self) -> Shape:
        return self.meaning.event_shape

    def _sample(self, key: Key, shape: Shape) -> Array:
        return self.meaning._sample(key, shape)

    def _log_prob(self, value: Array) -> Array:
        return self.meaning._log_prob(value)

    def _cdf(self, value: Array) -> Array:
        return self.meaning._cdf(value)

    def _log_cdf(self, value: Array) -> Array:
        return self.meaning._log_cdf(value)

    def _log_sf(self, value: Array) -> Array:
        return self.meaning._log_sf(value)

    def _icdf(self, q: Array) -> Array:
        return self.meaning._icdf(q)

    def _mean(self) -> Array:
        return self.meaning._mean()

    def _variance(self) -> Array:
        return self.meaning._variance()

    def _entropy(self) -> Array:
        return self.meaning._entropy()


class Expanded(Derived):
    """Repeat a distribution over a larger batch, without copying its parameters.

    Parameters
    ----------
    base_dist
        Any distribution.
    shape
        The new batch shape, to which the old one must broadcast.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.Normal(0.0, 1.0).expand((3,)).batch_shape
    (3,)
    """

    base_dist: Distribution = part()
    shape: Shape = option()

    def __init__(self, base_dist: Distribution, shape: Sequence[int], validate_args: bool | None = None) -> None:
        old, new = base_dist.batch_shape, tuple(int(n) for n in shape)
        fits = len(old) <= len(new) and all(o in (1, n) for o, n in zip(old[::-1], new[::-1], strict=False))
        if not fits:
            raise ShapeError(f"a {type(base_dist).__name__} of batch shape {old} cannot expand to {new}")
        self._set({"base_dist": base_dist, "shape": new}, validate_args)

    @property
    def meaning(self) -> Distribution:
        return self.base_dist

    @property
    def reparametrized_params(self) -> list[str]:
        return self.base_dist.reparametrized_params

    @property
    def batch_shape(self) -> Shape:
        return self.shape

    def _log_prob(self, value: Array) -> Array:
        log_prob = self.base_dist._log_prob(value)
        return jnp.broadcast_to(log_prob, jnp.broadcast_shapes(log_prob.shape, self.shape))

    def log_prob_sum(self, value: Array) -> Array:
        shape = (*self.shape, *self.event_shape)
        return self.base_dist.log_prob_sum(jnp.broadcast_to(value, jnp.broadcast_shapes(jnp.shape(value), shape)))


class Masked(Derived):
    """Leave some copies out of the log-density.

    Parameters
    ----------
    base_dist
        Any distribution.
    mask
        Booleans that broadcast with its batch shape: False copies count zero.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> d = dist.Normal(0.0, 1.0).expand((2,)).mask(jnp.array([True, False]))
    >>> d.log_prob(jnp.zeros(2)).round(4).tolist()
    [-0.9189, 0.0]
    """

    base_dist: Distribution = part()
    kept: Array = part()

    def __init__(self, base_dist: Distribution, mask: ArrayLike, validate_args: bool | None = None) -> None:
        self._set({"base_dist": base_dist, "kept": jnp.asarray(mask, bool)}, validate_args)

    @property
    def meaning(self) -> Distribution:
        return self.base_dist

    @property
    def reparametrized_params(self) -> list[str]:
        return self.base_dist.reparametrized_params

    @property
    def batch_shape(self) -> Shape:
        return jnp.broadcast_shapes(self.base_dist.batch_shape, jnp.shape(self.kept))

    def log_prob(self, value: ArrayLike) -> Array:
        return jnp.where(self.kept, self.base_dist.log_prob(value), 0.0)

    def _log_prob(self, value: Array) -> Array:
        return jnp.where(self.kept, self.base_dist._log_prob(value), 0.0)

    def _entropy(self) -> Array:
        return jnp.where(self.kept, self.base_dist.entropy(), 0.0)


class TransformedDistribution(Distribution):
    r"""The distribution of a transformed draw, :math:`y = f(x)`, :math:`x \sim` base.

    .. math:: \log p(y) = \log p_x(f^{-1}(y)) - \log |\det f'(f^{-1}(y))|

    Parameters
    ----------
    base_distribution
        The distribution of x.
    transforms
        One transform or a list, the first applied first.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> d = dist.TransformedDistribution(dist.Normal(0.0, 1.0), dist.transforms.ExpTransform())
    >>> round(float(d.log_prob(1.0)), 4) == round(float(dist.LogNormal(0.0, 1.0).log_prob(1.0)), 4)
    True
    """

    base_dist: Distribution = part()
    transforms: tuple[Transform, ...] = part()

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Transform | Sequence[Transform],
        validate_args: bool | None = None,
    ) -> None:
        chain = (transforms,) if isinstance(transforms, Transform) else tuple(transforms)
        if not all(isinstance(t, Transform) for t in chain):
            raise TypeError(f"TransformedDistribution takes transforms, not {transforms!r}")
        needed = ComposeTransform(chain).event_dim
        missing = needed - base_distribution.event_dim
        base = base_distribution.to_event(missing) if missing > 0 else base_distribution
        self._set({"base_dist": base, "transforms": chain}, validate_args)

    @property
    def _map(self) -> ComposeTransform:
        return ComposeTransform(self.transforms)

    @property
    def support(self) -> Constraint:
        codomain = self.transforms[-1].codomain if self.transforms else self.base_dist.support
        extra = self.event_dim - codomain.event_dim
        return constraints.independent(codomain, extra) if extra > 0 else codomain

    @property
    def reparametrized_params(self) -> list[str]:
        return self.base_dist.reparametrized_params

    @property
    def _shape(self) -> Shape:
        return self._map.forward_shape(self.base_dist.batch_shape + self.base_dist.event_shape)

    @property
    def batch_shape(self) -> Shape:
        return self._shape[: len(self._shape) - self.event_dim]

    @property
    def event_shape(self) -> Shape:
        return self._shape[len(self._shape) - self.event_dim :]

    @property
    def event_dim(self) -> int:
        return max(self._map.event_dim, self.base_dist.event_dim)

    def _sample(self, key: Key, shape: Shape) -> Array:
        return self._map(self.base_dist._sample(key, self._map.inverse_shape(shape)))

    def sample_with_intermediates(self, key: Key, sample_shape: Shape = ()) -> tuple[Array, list]:
        return self.transform_with_intermediates(self.base_dist.sample(key, sample_shape))

    def transform_with_intermediates(self, base_value: ArrayLike) -> tuple[Array, list]:
        x, passed = jnp.asarray(base_value), []
        for transform in self.transforms:
            y, kept = transform.call_with_intermediates(x)
            passed.append([x, kept])
            x = y
        return x, passed

    def log_prob(self, value: ArrayLike, intermediates: Any = None) -> Array:
        """See ``Distribution.log_prob``; ``intermediates`` of a draw spare the inverse transforms."""
        if intermediates:
            return self._log_prob_from(intermediates)
        return Distribution.log_prob(self, value)

    def _log_prob(self, value: Array) -> Array:
        x = self._map.inverse(value)
        # What the last codomain lets pass may still come from outside the base's support.
        return self.base_dist.log_prob(x) - self._log_det(self._map.forward_and_log_det(x)[1], self._map.event_dim)

    def _log_prob_from(self, passed: list) -> Array:
        total = self.base_dist.log_prob(passed[0][0])
        for transform, (x, kept) in zip(self.transforms, passed, strict=True):
            total = total - self._log_det(transform.log_abs_det_jacobian(x, None, kept), transform.event_dim)
        return total

    def _log_det(self, log_det: Array, event_dim: int) -> Array:
        return sum_rightmost(jnp.asarray(log_det), self.event_dim - event_dim)


def to_event(self: Distribution, reinterpreted_batch_ndims: int | None = None) -> Distribution:
    """Treat the rightmost batch axes as event axes (all of them by default)."""
    ndims = len(self.batch_shape) if reinterpreted_batch_ndims is None else reinterpreted_batch_ndims
    return Independent(self, ndims) if ndims else self


def expand(self: Distribution, batch_shape: Sequence[int]) -> Distribution:
    """Repeat over a larger batch; parameters are not copied."""
    return self if tuple(batch_shape) == self.batch_shape else Expanded(self, batch_shape)


def mask(self: Distribution, mask: ArrayLike) -> Distribution:
    """Count only the copies where ``mask`` is True in the log-density."""
    return Masked(self, mask)


# The base class cannot name its own combinators without a cycle of imports.
Distribution.to_event, Distribution.expand, Distribution.mask = to_event, expand, mask
