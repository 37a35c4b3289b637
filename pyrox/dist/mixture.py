"""Mixtures of distributions."""
# ruff: noqa: FBT001 - validate_args may be given by position, as documented

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from pyrox.dist import constraints
from pyrox.dist.combinators import Derived
from pyrox.dist.constraints import Constraint
from pyrox.dist.discrete import CategoricalLogits, CategoricalProbs
from pyrox.dist.distribution import Distribution, param, part
from pyrox.dist.real import Normal
from pyrox.errors import ShapeError
from pyrox.typing import Array, ArrayLike, Key, Shape


class Mixture(Distribution):
    r"""One of several distributions, drawn at random.

    .. math:: p(x) = \sum_k w_k f_k(x)

    Weights stay in logarithms where they are given by logits.

    Parameters
    ----------
    mixing
        Weights w along the last axis (a simplex), or a categorical distribution.
    components
        One distribution whose last batch axis counts the components, or a sequence of distributions of one event
        shape.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> two = dist.Mixture(jnp.array([0.5, 0.5]), dist.Normal(jnp.array([-1.0, 1.0]), 1.0))
    >>> float(two.variance)
    2.0
    """

    mixing: Distribution = part()
    components: Any = part()
    reparametrized_params = []

    def __init__(
        self,
        mixing: Distribution | ArrayLike,
        components: Distribution | Sequence[Distribution],
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(mixing, Distribution):
            mixing = CategoricalProbs(mixing, validate_args=validate_args)
        if not isinstance(components, Distribution):
            components = tuple(components)
            if not components or not all(isinstance(c, Distribution) for c in components):
                raise TypeError(f"Mixture: components must be distributions; met {components!r}")
            if len({(c.event_shape, c.is_discrete) for c in components}) > 1:
                raise ShapeError(f"Mixture: components differ in event shape or kind: {components!r}")
        count = len(components) if isinstance(components, tuple) else (components.batch_shape or (0,))[-1]
        if count != mixing.num_categories:
            raise ShapeError(f"Mixture: {mixing.num_categories} weights for {count} components")
        self._set({"mixing": mixing, "components": components}, validate_args)

    @property
    def _first(self) -> Distribution:
        return self.components[0] if isinstance(self.components, tuple) else self.components

    @property
    def support(self) -> Constraint:
        if not isinstance(self.components, tuple):
            return _drop_component_axis(self.components.support)
        kinds = {repr(c.support) for c in self.components}
        return self._first.support if len(kinds) == 1 else constraints.any_of([c.support for c in self.components])

    @property
    def batch_shape(self) -> Shape:
        if isinstance(self.components, tuple):
            return jnp.broadcast_shapes(self.mixing.batch_shape, *(c.batch_shape for c in self.components))
        return jnp.broadcast_shapes(self.mixing.batch_shape, self.components.batch_shape[:-1])

    @property
    def event_shape(self) -> Shape:
        return self._first.event_shape

    @property
    def _log_weights(self) -> Array:
        if isinstance(self.mixing, CategoricalLogits):
            return self.mixing.logits - logsumexp(self.mixing.logits, axis=-1, keepdims=True)
        return jnp.log(self.mixing.probs)

    @property
    def _event_axes(self) -> int:
        return len(self.event_shape)

    def _each(self, value: Array) -> Array:
        """Give the log-density of every component, along a new last axis."""
        if isinstance(self.components, tuple):
            each = [c.log_prob(value) for c in self.components]
            return jnp.stack(jnp.broadcast_arrays(*each), axis=-1)
        wide = jnp.expand_dims(value, value.ndim - self._event_axes)
        return self.components.log_prob(wide)

    def _sample(self, key: Key, shape: Shape) -> Array:
        key_which, key_draw = jax.random.split(key)
        batch = shape[: len(shape) - self._event_axes]
        which = self.mixing._sample(key_which, batch)
        count = self.mixing.num_categories
        if isinstance(self.components, tuple):
            keys = jax.random.split(key_draw, count)
            draws = [c._sample(k, shape) for c, k in zip(self.components, keys, strict=True)]
            draws = jnp.stack(draws, axis=len(batch))
        else:
            draws = self.components._sample(key_draw, (*batch, count, *self.event_shape))
        which = which.reshape(which.shape + (1,) * (1 + self._event_axes))
        return jnp.take_along_axis(draws, which, axis=len(batch)).squeeze(len(batch))

    def _log_prob(self, value: Array) -> Array:
        return logsumexp(self._log_weights + self._each(value), axis=-1)

    def _weighted(self, values: list | Array) -> Array:
        """Average a property of the components, given with their axis before the event's."""
        if isinstance(values, list):
            values = jnp.stack(jnp.broadcast_arrays(*values), axis=-1 - self._event_axes)
        weights = jnp.exp(self._log_weights).reshape(self._log_weights.shape + (1,) * self._event_axes)
        return jnp.sum(weights * values, axis=-1 - self._event_axes)

    def _property(self, name: str) -> list | Array:
        many = self.components
        return [getattr(c, name) for c in many] if isinstance(many, tuple) else getattr(many, name)

    def _cdf(self, value: Array) -> Array:
        if isinstance(self.components, tuple):
            return self._weighted([c._cdf(value) for c in self.components])
        return self._weighted(self.components._cdf(value[..., None]))

    def _mean(self) -> Array:
        return self._weighted(self._property("mean"))

    def _variance(self) -> Array:
        means, variances = self._property("mean"), self._property("variance")
        if isinstance(means, list):
            second = [v + m**2 for m, v in zip(means, variances, strict=True)]
            return self._weighted(second) - self._mean() ** 2
        return self._weighted(variances + means**2) - self._mean() ** 2


def _drop_component_axis(constraint: Constraint) -> Constraint:
    """Give a support whose bounds do not depend on the component: all components share it."""
    bounds = {n: v for n, v in vars(constraint).items() if getattr(v, "ndim", 0) > 0 and v.shape[-1] > 0}
    widest = {"lower_bound": jnp.min, "upper_bound": jnp.max}
    changes = {n: widest[n](v, axis=-1) for n, v in bounds.items() if n in widest}
    return constraint.replace(**changes) if changes else constraint


class NormalMixture(Derived):
    r"""Mixture of normals.

    .. math:: p(x) = \sum_k w_k N(x; \mu_k, \sigma_k)

    Parameters
    ----------
    weights
        Weights w along the last axis, a simplex.
    loc
        Means :math:`\mu_k` along the last axis.
    scale
        Standard deviations :math:`\sigma_k > 0` along the last axis.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.NormalMixture([0.5, 0.5], [-1.0, 1.0], [1.0, 1.0]).variance)
    2.0
    """

    weights: Array = param(constraints.simplex, alias="w")
    loc: Array = param(constraints.real_vector, alias="mu")
    scale: Array = param(constraints.positive_vector, alias="sigma")
    support = constraints.real
    reparametrized_params = []

    @property
    def meaning(self) -> Distribution:
        return Mixture(CategoricalProbs(self.weights), Normal(self.loc, self.scale))
