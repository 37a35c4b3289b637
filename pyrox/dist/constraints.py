"""Say where values live: each constraint tests membership and knows its event dimension."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from pyrox._pytree import Pytree, show, static
from pyrox.typing import Array, ArrayLike, Shape

# Sums and norms of d numbers carry rounding errors: membership is tested up to this much.
_TOLERANCE = 1e-6


class Constraint(Pytree):
    """A set of values.

    Calling it tells, for each event of a batch, whether it belongs: shape ``value.shape`` without the
    last ``event_dim`` axes. ``feasible_like(shape)`` gives some member, to stand in for values outside.
    """

    event_dim = 0
    is_discrete = False

    def __call__(self, x: ArrayLike) -> Array:
        raise NotImplementedError(f"{type(self).__name__} must define __call__")

    def feasible_like(self, x: Array) -> Array:
        """Give a member of the set with the shape and dtype of ``x``."""
        raise NotImplementedError(f"{type(self).__name__} must define feasible_like")

    def check(self, x: ArrayLike) -> Array:
        """Tell which events of a batch belong to the set."""
        return self(x)

    said = ""

    def __str__(self) -> str:
        # Read in an error: "scale must be positive", "probs must be in the interval [0, 1]".
        return self.said.format(**{k: _number(v) for k, v in vars(self).items()}) or repr(self)

    def __repr__(self) -> str:
        name = type(self).__name__.lstrip("_")
        inside = ", ".join(show(v) for v in vars(self).values())
        return f"{name}({inside})" if inside else name


def _is(bound: Any, number: float) -> bool:
    return isinstance(bound, int | float) and bound == number


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else show(value) if hasattr(value, "dtype") else str(value)


class dependent_property(property):
    """A support that depends on parameters: a property that still tells kind and event dimension on the class."""

    def __init__(self, fget: Callable | None = None, *, is_discrete: bool = False, event_dim: int = 0) -> None:
        super().__init__(fget)
        self.is_discrete = is_discrete
        self.event_dim = event_dim

    def __call__(self, fget: Callable) -> "dependent_property":
        return dependent_property(fget, is_discrete=self.is_discrete, event_dim=self.event_dim)


class _Dependent(Constraint):
    said = "as its distribution says"

    def __call__(self, x: ArrayLike) -> Array:
        raise ValueError("a dependent constraint has no members of its own: ask the distribution for its support")


class _Real(Constraint):
    said = "a finite real number"

    def __call__(self, x: ArrayLike) -> Array:
        return jnp.isfinite(x)

    def feasible_like(self, x: Array) -> Array:
        return jnp.zeros_like(x)


class _GreaterThan(Constraint):
    lower_bound: ArrayLike

    @property
    def said(self) -> str:
        return "positive" if _is(self.lower_bound, 0) else "greater than {lower_bound}"

    def __call__(self, x: ArrayLike) -> Array:
        return (x > self.lower_bound) & (x < jnp.inf)

    def feasible_like(self, x: Array) -> Array:
        return jnp.broadcast_to(self.lower_bound + 1.0, jnp.shape(x)).astype(x.dtype)


class _GreaterThanEq(Constraint):
    lower_bound: ArrayLike

    @property
    def said(self) -> str:
        return "nonnegative" if _is(self.lower_bound, 0) else "at least {lower_bound}"

    def __call__(self, x: ArrayLike) -> Array:
        return (x >= self.lower_bound) & (x < jnp.inf)

    def feasible_like(self, x: Array) -> Array:
        return jnp.broadcast_to(self.lower_bound + 1.0, jnp.shape(x)).astype(x.dtype)


class _LessThan(Constraint):
    said = "less than {upper_bound}"
    upper_bound: ArrayLike

    def __call__(self, x: ArrayLike) -> Array:
        return (x < self.upper_bound) & (x > -jnp.inf)

    def feasible_like(self, x: Array) -> Array:
        return jnp.broadcast_to(self.upper_bound - 1.0, jnp.shape(x)).astype(x.dtype)


class _LessThanEq(Constraint):
    said = "at most {upper_bound}"
    upper_bound: ArrayLike

    def __call__(self, x: ArrayLike) -> Array:
        return (x <= self.upper_bound) & (x > -jnp.inf)

    def feasible_like(self, x: Array) -> Array:
        return jnp.broadcast_to(self.upper_bound - 1.0, jnp.shape(x)).astype(x.dtype)


class _Interval(Constraint):
    said = "in the interval [{lower_bound}, {upper_bound}]"
    lower_bound: ArrayLike
    upper_bound: ArrayLike

    def __call__(self, x: ArrayLike) -> Array:
        return (x >= self.lower_bound) & (x <= self.upper_bound)

    def feasible_like(self, x: Array) -> Array:
        middle = 0.5 * (jnp.asarray(self.lower_bound) + self.upper_bound)
        return jnp.broadcast_to(middle, jnp.shape(x)).astype(x.dtype)


class _Boolean(Constraint):
    is_discrete = True
    said = "0 or 1"

    def __call__(self, x: ArrayLike) -> Array:
        return (x == 0) | (x == 1)

    def feasible_like(self, x: Array) -> Array:
        return jnp.zeros_like(x)


class _Integer(Constraint):
    is_discrete = True
    said = "an integer"

    def __call__(self, x: ArrayLike) -> Array:
        return jnp.isfinite(x) & (x == jnp.floor(x))

    def feasible_like(self, x: Array) -> Array:
        return jnp.zeros_like(x)


class _IntegerInterval(Constraint):
    is_discrete = True
    said = "an integer from {lower_bound} to {upper_bound}"
    lower_bound: ArrayLike
    upper_bound: ArrayLike

    def __call__(self, x: ArrayLike) -> Array:
        return (x >= self.lower_bound) & (x <= self.upper_bound) & (x == jnp.floor(x))

    def feasible_like(self, x: Array) -> Array:
        return jnp.broadcast_to(self.lower_bound, jnp.shape(x)).astype(x.dtype)


class _IntegerGreaterThan(Constraint):
    """Integers from ``lower_bound`` on."""

    is_discrete = True
    lower_bound: ArrayLike

    @property
    def said(self) -> str:
        return "a nonnegative integer" if _is(self.lower_bound, 0) else "an integer of at least {lower_bound}"

    def __call__(self, x: ArrayLike) -> Array:
        return (x >= self.lower_bound) & (x == jnp.floor(x)) & (x < jnp.inf)

    def feasible_like(self, x: Array) -> Array:
        return jnp.broadcast_to(self.lower_bound, jnp.shape(x)).astype(x.dtype)


class _Multinomial(Constraint):
    event_dim = 1
    is_discrete = True
    said = "counts that sum to {upper_bound}"
    upper_bound: ArrayLike

    def __call__(self, x: ArrayLike) -> Array:
        return jnp.all((x >= 0) & (x == jnp.floor(x)), axis=-1) & (jnp.sum(x, axis=-1) == self.upper_bound)

    def feasible_like(self, x: Array) -> Array:
        total = jnp.broadcast_to(self.upper_bound, jnp.shape(x)[:-1])[..., None].astype(x.dtype)
        return jnp.concatenate([total, jnp.zeros_like(x[..., 1:])], axis=-1)


class _Independent(Constraint):
    """Events of a base constraint, put together: all must belong."""

    said = "{base}"
    base: Constraint
    reinterpreted_batch_ndims: int = static()

    @property
    def event_dim(self) -> int:
        return self.base.event_dim + self.reinterpreted_batch_ndims

    @property
    def is_discrete(self) -> bool:
        return self.base.is_discrete

    def __call__(self, x: ArrayLike) -> Array:
        inside = self.base(x)
        return jnp.all(inside, axis=tuple(range(inside.ndim - self.reinterpreted_batch_ndims, inside.ndim)))

    def feasible_like(self, x: Array) -> Array:
        return self.base.feasible_like(x)


class _AnyOf(Constraint):
    """What belongs to one set or another; the first stands for all where a member is needed."""

    said = "in the support of a component"
    parts: tuple[Constraint, ...]

    @property
    def event_dim(self) -> int:
        return self.parts[0].event_dim

    @property
    def is_discrete(self) -> bool:
        return self.parts[0].is_discrete

    def __call__(self, x: ArrayLike) -> Array:
        inside = self.parts[0](x)
        for part in self.parts[1:]:
            inside = inside | part(x)
        return inside

    def feasible_like(self, x: Array) -> Array:
        return self.parts[0].feasible_like(x)


def any_of(parts: Sequence[Constraint]) -> Constraint:
    """Make the union of sets."""
    return _AnyOf(tuple(parts))


class _RealVector(Constraint):
    event_dim = 1
    said = "a vector of finite real numbers"

    def __call__(self, x: ArrayLike) -> Array:
        return jnp.all(jnp.isfinite(x), axis=-1)

    def feasible_like(self, x: Array) -> Array:
        return jnp.zeros_like(x)


class _Simplex(Constraint):
    event_dim = 1
    said = "a simplex (nonnegative numbers that sum to one)"

    def __call__(self, x: ArrayLike) -> Array:
        return jnp.all(x >= 0, axis=-1) & (jnp.abs(jnp.sum(x, axis=-1) - 1) < _TOLERANCE)

    def feasible_like(self, x: Array) -> Array:
        return jnp.full_like(x, 1 / x.shape[-1])


class _SumToOne(Constraint):
    event_dim = 1
    said = "a vector of numbers that sum to one"

    def __call__(self, x: ArrayLike) -> Array:
        x = jnp.asarray(x)
        return jnp.abs(jnp.sum(x, axis=-1) - 1) < _TOLERANCE * (1 + jnp.max(jnp.abs(x), axis=-1))

    def feasible_like(self, x: Array) -> Array:
        return jnp.full_like(x, 1 / x.shape[-1])


class _OrderedVector(Constraint):
    event_dim = 1
    said = "a strictly increasing vector"

    def __call__(self, x: ArrayLike) -> Array:
        return jnp.all(jnp.diff(x, axis=-1) > 0, axis=-1)

    def feasible_like(self, x: Array) -> Array:
        return jnp.broadcast_to(jnp.arange(x.shape[-1], dtype=x.dtype), x.shape)


class _ZeroSum(Constraint):
    said = "of zero sum over the last {ndims} axes"
    ndims: int = static(default=1)

    @property
    def event_dim(self) -> int:
        return self.ndims

    def __call__(self, x: ArrayLike) -> Array:
        x = jnp.asarray(x)
        scale = 1 + jnp.max(jnp.abs(x), axis=tuple(range(-self.ndims, 0)))
        inside = jnp.all(jnp.isfinite(x), axis=tuple(range(-self.ndims, 0)))
        for axis in range(-self.ndims, 0):
            off = jnp.abs(jnp.sum(x, axis=axis))
            inside &= jnp.max(off, axis=tuple(range(1 - self.ndims, 0))) <= _TOLERANCE * scale
        return inside

    def feasible_like(self, x: Array) -> Array:
        return jnp.zeros_like(x)


def _is_lower(x: Array) -> Array:
    return jnp.all(jnp.tril(x) == x, axis=(-2, -1)) & jnp.all(jnp.diagonal(x, axis1=-2, axis2=-1) > 0, axis=-1)


def _identity_like(x: Array) -> Array:
    return jnp.broadcast_to(jnp.eye(x.shape[-1], dtype=x.dtype), x.shape)


class _LowerCholesky(Constraint):
    event_dim = 2
    said = "a lower triangular matrix with a positive diagonal"

    def __call__(self, x: ArrayLike) -> Array:
        return _is_lower(jnp.asarray(x))

    def feasible_like(self, x: Array) -> Array:
        return _identity_like(x)


class _CorrCholesky(Constraint):
    event_dim = 2
    said = "the Cholesky factor of a correlation matrix (rows of length one)"

    def __call__(self, x: ArrayLike) -> Array:
        norm = jnp.sum(jnp.square(x), axis=-1)
        return _is_lower(jnp.asarray(x)) & jnp.all(jnp.abs(norm - 1) < _TOLERANCE, axis=-1)

    def feasible_like(self, x: Array) -> Array:
        return _identity_like(x)


def _is_positive_definite(x: Array) -> Array:
    symmetric = jnp.all(jnp.abs(x - jnp.swapaxes(x, -2, -1)) <= _TOLERANCE * (1 + jnp.abs(x)), axis=(-2, -1))
    return symmetric & (jnp.linalg.eigvalsh(x)[..., 0] > 0)


class _PositiveDefinite(Constraint):
    event_dim = 2
    said = "a positive-definite symmetric matrix"

    def __call__(self, x: ArrayLike) -> Array:
        return _is_positive_definite(jnp.asarray(x))

    def feasible_like(self, x: Array) -> Array:
        return _identity_like(x)


class _CorrMatrix(Constraint):
    event_dim = 2
    said = "a correlation matrix"

    def __call__(self, x: ArrayLike) -> Array:
        diagonal = jnp.diagonal(x, axis1=-2, axis2=-1)
        return _is_positive_definite(jnp.asarray(x)) & jnp.all(jnp.abs(diagonal - 1) < _TOLERANCE, axis=-1)

    def feasible_like(self, x: Array) -> Array:
        return _identity_like(x)


def has_fixed_support(constraint: Any) -> bool:
    """Tell whether membership depends on no parameter."""
    return isinstance(constraint, Constraint) and all(
        isinstance(v, int | float) or has_fixed_support(v) for v in vars(constraint).values()
    )


def covers_reals(constraint: Constraint) -> bool:
    """Tell whether every array of finite real numbers belongs."""
    while isinstance(constraint, _Independent):
        constraint = constraint.base
    return isinstance(constraint, _Real | _RealVector)


def is_real(constraint: Constraint) -> bool:
    """Tell whether a constraint says nothing but how real numbers are ordered."""
    return covers_reals(constraint) or isinstance(constraint, _OrderedVector)


def event_shape_of(constraint: Constraint, shape: Shape) -> Shape:
    """Give the event part of the shape of a value."""
    return tuple(shape[len(shape) - constraint.event_dim :])


boolean = _Boolean()
circular = _Interval(-math.pi, math.pi)
corr_cholesky = _CorrCholesky()
corr_matrix = _CorrMatrix()
dependent = _Dependent()
greater_than = _GreaterThan
greater_than_eq = _GreaterThanEq
independent = _Independent
integer = _Integer()
integer_interval = _IntegerInterval
integer_greater_than = _IntegerGreaterThan
interval = _Interval
less_than = _LessThan
less_than_eq = _LessThanEq
lower_cholesky = _LowerCholesky()
multinomial = _Multinomial
nonnegative = _GreaterThanEq(0.0)
nonnegative_integer = _IntegerGreaterThan(0)
ordered_vector = _OrderedVector()
positive = _GreaterThan(0.0)
positive_definite = _PositiveDefinite()
positive_integer = _IntegerGreaterThan(1)
positive_vector = _Independent(positive, 1)
real = _Real()
real_vector = _RealVector()
simplex = _Simplex()
sum_to_one = _SumToOne()
unit_interval = _Interval(0.0, 1.0)
zero_sum = _ZeroSum
