"""Distributions given by numbers or functions: point masses, tables, densities of the user's own."""
# ruff: noqa: FBT001 - validate_args may be given by position, as documented

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import constraints
from pyrox.dist.constraints import Constraint, dependent_property
from pyrox.dist.distribution import Distribution, option, param, part
from pyrox.errors import ModelError, ShapeError, SupportError
from pyrox.typing import Array, ArrayLike, Key, Shape


class Delta(Distribution):
    r"""All probability at one point.

    .. math:: \log p(v) = \ell, \quad \log p(x) = -\infty \text{ elsewhere}

    Parameters
    ----------
    value
        The point v.
    log_density
        Value :math:`\ell` of the log-density there.
    event_ndim
        Number of last axes of ``value`` that form one event.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.Delta(2.0).log_prob(2.0)), float(dist.Delta(2.0).log_prob(1.0))
    (0.0, -inf)
    """

    value: Array = param(constraints.dependent, default=0.0, alias="c")
    log_density: Array = param(constraints.real, default=0.0)
    event_ndim: int = option(default=0)
    reparametrized_params = ["value", "log_density"]

    def _set(self, values: dict[str, Any], validate_args: bool | None) -> None:
        # A point may be whole or not: it keeps its type.
        Distribution._set(self, values, validate_args)
        if not 0 <= self.event_ndim <= jnp.ndim(self.value):
            raise ShapeError(f"Delta: a value of shape {jnp.shape(self.value)} has no {self.event_ndim} event axes")
        kept = values["value"]
        if not jnp.issubdtype(jnp.result_type(kept), jnp.inexact):
            object.__setattr__(self, "value", jnp.asarray(kept))

    @property
    def support(self) -> Constraint:
        return constraints.independent(constraints.real, self.event_ndim)

    @property
    def is_discrete(self) -> bool:
        return False

    @property
    def batch_shape(self) -> Shape:
        shape = jnp.shape(self.value)
        return jnp.broadcast_shapes(shape[: len(shape) - self.event_ndim], jnp.shape(self.log_density))

    @property
    def event_shape(self) -> Shape:
        shape = jnp.shape(self.value)
        return shape[len(shape) - self.event_ndim :]

    def _sample(self, key: Key, shape: Shape) -> Array:
        return jnp.broadcast_to(self.value, shape)

    def _log_prob(self, value: Array) -> Array:
        same = jnp.all(value == self.value, axis=tuple(range(-self.event_ndim, 0)))
        return jnp.where(same, self.log_density, -jnp.inf)

    def _mean(self) -> Array:
        return self.value

    def _variance(self) -> Array:
        return jnp.zeros(())


class PRNGIdentity(Distribution):
    """Distribution of fresh PRNG keys, to be drawn under a seed; it has no density.

    Examples
    --------
    >>> import jax
    >>> import pyrox.dist as dist
    >>> dist.PRNGIdentity().sample(jax.random.PRNGKey(0), (3,)).shape
    (3, 2)
    """

    support = constraints.dependent

    @property
    def event_shape(self) -> Shape:
        return (2,)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        """Split a key; new-style keys give new-style keys, without the last axis."""
        count = int(np.prod(sample_shape, dtype=int))
        keys = jax.random.split(key, count)
        return keys.reshape(*sample_shape, *keys.shape[1:])


class Interpolated(Distribution):
    r"""Distribution with a density given by its values at points, linear in between.

    .. math:: p(x) \propto f_i + (f_{i+1} - f_i) \frac{x - x_i}{x_{i+1} - x_i}, \quad x_i \le x \le x_{i+1}

    Parameters
    ----------
    x_points
        Increasing points :math:`x_i`, along the last axis.
    pdf_points
        Values :math:`f_i \ge 0` there, up to a factor.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> float(dist.Interpolated([0.0, 1.0, 2.0], [0.0, 1.0, 0.0]).mean)
    1.0
    """

    x_points: Array = param(constraints.ordered_vector, alias="x_points")
    pdf_points: Array = param(constraints.independent(constraints.nonnegative, 1), alias="pdf_points")

    def _check_shapes(self) -> None:
        self._require_same_size(x_points=jnp.shape(self.x_points)[-1], pdf_points=jnp.shape(self.pdf_points)[-1])

    @dependent_property
    def support(self) -> Constraint:
        return constraints.interval(self.x_points[..., 0], self.x_points[..., -1])

    @property
    def _pieces(self) -> tuple[Array, Array, Array]:
        """Give widths, normalised heights and the cdf at the points."""
        widths = jnp.diff(self.x_points, axis=-1)
        heights = self.pdf_points
        masses = 0.5 * widths * (heights[..., 1:] + heights[..., :-1])
        total = jnp.sum(masses, axis=-1, keepdims=True)
        below = jnp.cumsum(masses / total, axis=-1)
        return widths, heights / total, jnp.concatenate([jnp.zeros_like(below[..., :1]), below], axis=-1)

    def _find(self, table: Array, value: Array) -> Callable[[Array], Array]:
        """Find the piece whose entries of a rising table enclose each value; give how to read other tables there."""
        last = table.shape[-1] - 2
        piece = jnp.clip(jnp.sum(table[..., 1:-1] <= value[..., None], axis=-1), 0, last)
        hit = piece[..., None] == jnp.arange(last + 1)
        return lambda other: jnp.sum(jnp.where(hit, other, 0), axis=-1)

    def _sample(self, key: Key, shape: Shape) -> Array:
        return self._icdf(jax.random.uniform(key, shape))

    def _log_prob(self, value: Array) -> Array:
        widths, heights, _ = self._pieces
        read = self._find(self.x_points, value)
        along = (value - read(self.x_points[..., :-1])) / read(widths)
        height = read(heights[..., :-1]) * (1 - along) + read(heights[..., 1:]) * along
        return jnp.where(height > 0, jnp.log(jnp.where(height > 0, height, 1)), -jnp.inf)

    def _cdf(self, value: Array) -> Array:
        widths, heights, below = self._pieces
        value = jnp.clip(value, self.x_points[..., 0], self.x_points[..., -1])
        read = self._find(self.x_points, value)
        step = value - read(self.x_points[..., :-1])
        slope = read((heights[..., 1:] - heights[..., :-1]) / widths)
        return read(below[..., :-1]) + step * (read(heights[..., :-1]) + 0.5 * slope * step)

    def _icdf(self, q: Array) -> Array:
        widths, heights, below = self._pieces
        read = self._find(below, q)
        start, rest = read(heights[..., :-1]), q - read(below[..., :-1])
        slope = read((heights[..., 1:] - heights[..., :-1]) / widths)
        # The root of the quadratic in the form that does not cancel, and is right for a flat piece.
        root = jnp.sqrt(jnp.maximum(start**2 + 2 * slope * rest, 0))
        deep = start + root
        return read(self.x_points[..., :-1]) + jnp.where(deep > 0, 2 * rest / jnp.where(deep > 0, deep, 1), 0)

    def _moment(self, order: int) -> Array:
        # The integral of a cubic at most over each piece: Simpson's rule is exact.
        _, heights, _ = self._pieces
        x = self.x_points
        middle, half = 0.5 * (x[..., 1:] + x[..., :-1]), 0.5 * (heights[..., 1:] + heights[..., :-1])
        ends = x**order * heights
        each = (ends[..., 1:] + ends[..., :-1] + 4 * middle**order * half) / 6
        return jnp.sum(jnp.diff(x, axis=-1) * each, axis=-1)

    def _mean(self) -> Array:
        return self._moment(1)

    def _variance(self) -> Array:
        return self._moment(2) - self._moment(1) ** 2


class CustomDist(Distribution):
    """Distribution of the user's own, from plain JAX functions.

    Parameters
    ----------
    params
        Tuple of arrays; the functions get them after their first arguments.
    log_prob
        Function ``log_prob(value, *params)``: the log-density, without the event axes.
    random
        Function ``random(key, *params, shape)``, to draw; None if it cannot be drawn.
    support
        Constraint on the values; the real numbers, one for each axis of an event, by default.
    event_shape
        Shape of one draw of one copy.
    batch_shape
        Shape of the copies; by default what the shapes of the parameters broadcast to.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> d = dist.CustomDist((2.0,), log_prob=lambda x, rate: -rate * x, support=dist.constraints.positive)
    >>> float(d.log_prob(1.0))
    -2.0
    """

    parameters: tuple[Array, ...] = part()
    density: Callable = option()
    random: Callable | None = option(default=None)
    given_support: Constraint = part()
    given_event_shape: Shape = option(default=())
    given_batch_shape: Shape | None = option(default=None)

    def __init__(
        self,
        params: tuple[ArrayLike, ...],
        log_prob: Callable,
        random: Callable | None = None,
        support: Constraint | None = None,
        event_shape: Shape = (),
        batch_shape: Shape | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if not callable(log_prob):
            raise ModelError(f"CustomDist: the log-density (logp) is a function of the value; met {log_prob!r}")
        if support is None:
            support = constraints.independent(constraints.real, len(event_shape)) if event_shape else constraints.real
        if support.event_dim != len(event_shape):
            told = f"support {support!r} is of {support.event_dim} event axes, event_shape {event_shape} of"
            raise SupportError(f"CustomDist: {told} {len(event_shape)}")
        fields = {"parameters": tuple(jnp.asarray(p) for p in params), "density": log_prob, "random": random}
        fields |= {"given_support": support, "given_event_shape": tuple(event_shape)}
        self._set(fields | {"given_batch_shape": batch_shape}, validate_args)

    @property
    def support(self) -> Constraint:
        return self.given_support

    @property
    def batch_shape(self) -> Shape:
        if self.given_batch_shape is not None:
            return self.given_batch_shape
        return jnp.broadcast_shapes(*(jnp.shape(p) for p in self.parameters))

    @property
    def event_shape(self) -> Shape:
        return self.given_event_shape

    def _sample(self, key: Key, shape: Shape) -> Array:
        if self.random is None:
            raise NotImplementedError("this CustomDist cannot be sampled: give it random=")
        drawn = self.random(key, *self.parameters, shape=shape)
        if jnp.shape(drawn) != tuple(shape):
            raise ShapeError(f"CustomDist: random gave shape {jnp.shape(drawn)} where {tuple(shape)} was asked for")
        return drawn

    def _log_prob(self, value: Array) -> Array:
        found = self.density(value, *self.parameters)
        if found is None:
            raise ModelError("the log-density (logp) returns None: was its `return` forgotten?")
        batch = jnp.shape(value)[: jnp.ndim(value) - len(self.event_shape)]
        try:
            fits = jnp.broadcast_shapes(jnp.shape(found), batch) == batch
        except ValueError:
            fits = False
        if not fits:
            raise ShapeError(f"the log-density (logp) has shape {jnp.shape(found)} where the values have {batch}")
        return found
