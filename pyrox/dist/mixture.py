"""Mixtures of distributions."""
# ruff: noqa: FBT001 - validate_args may be given by position, as documented

from collections.abc import Callable, Sequence
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
from pyrox.dist.special import log_weighted_sum
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
        supports = [c.support for c in self.components]
        fixed = all(constraints.has_fixed_support(s) for s in supports)
        return supports[0] if fixed and len(set(map(repr, supports))) == 1 else constraints.any_of(supports)

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

    def _each(self, value: Array, name: str = "log_prob") -> Array:
        """Give the log-density, or another function, of every component, along a new last axis."""
        if isinstance(self.components, tuple):
            each = [getattr(c, name)(value) for c in self.components]
            return jnp.stack(jnp.broadcast_arrays(*each), axis=-1)
        wide = jnp.expand_dims(value, value.ndim - self._event_axes)
        return getattr(self.components, name)(wide)

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
        return self._log_average(self._each(value))

    def _log_average(self, each: Array) -> Array:
        """Average over the components in logarithms; probabilities are factors, whose slope at zero exists."""
        if isinstance(self.mixing, CategoricalLogits):
            return logsumexp(self._log_weights + each, axis=-1)
        return log_weighted_sum(each, self.mixing.probs)

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
        return jnp.exp(self._log_cdf(value))

    def _log_cdf(self, value: Array) -> Array:
        return self._log_average(self._each(value, "log_cdf"))

    def _log_sf(self, value: Array) -> Array:
        return self._log_average(self._each(value, "log_sf"))

    def _between_ends(self, formula: Callable, value: ArrayLike, low: float, high: float) -> Array:
        # The union of the supports may have gaps: each component knows its own ends.
        return formula(self._as_value(value))

    def _mean(self) -> Array:
        return self._weighted(self._property("mean"))

    def _variance(self) -> Array:
        means, variances = self._property("mean"), self._property("variance")
        mean = self._weighted(means)
        if isinstance(means, list):
            return self._weighted([v + (m - mean) ** 2 for m, v in zip(means, variances, strict=True)])
        apart = means - jnp.expand_dims(mean, mean.ndim - self._event_axes)
        return self._weighted(variances + apart**2)


def _drop_component_axis(constraint: Constraint, event_ndims: int = 0) -> Constraint:
    """Give a support whose bounds do not depend on the component: all components share it."""
    if isinstance(constraint, constraints._Independent):
        base = _drop_component_axis(constraint.base, event_ndims + constraint.reinterpreted_batch_ndims)
        return constraint.replace(base=base)
    bounds = {n: v for n, v in vars(constraint).items() if getattr(v, "ndim", 0) > event_ndims}
    widest = {"lower_bound": jnp.min, "upper_bound": jnp.max}
    changes = {n: widest[n](v, axis=-1 - event_ndims) for n, v in bounds.items() if n in widest}
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

    def _check_shapes(self) -> None:
        self._require_same_size(**{p.name: jnp.shape(getattr(self, p.name))[-1] for p in self.params})

    @property
    def meaning(self) -> Distribution:
        return Mixture(CategoricalProbs(self.weights), Normal(self.loc, self.scale))
