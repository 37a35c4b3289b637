"""Say where values live: each constraint tests membership and knows its event dimension."""

import math
from typing import Any

import jax.numpy as jnp

from pyrox._pytree import static
from pyrox.dist.constraint import (
    Constraint,
    _Boolean,
    _Dependent,
    _GreaterThan,
    _GreaterThanEq,
    _Independent,
    _Integer,
    _IntegerGreaterThan,
    _IntegerInterval,
    _Interval,
    _LessThan,
    _LessThanEq,
    _Multinomial,
    _Real,
    any_of,
    dependent_property,
)
from pyrox.typing import Array, ArrayLike, Shape

__all__ = [
    "Constraint",
    "any_of",
    "boolean",
    "circular",
    "corr_cholesky",
    "corr_matrix",
    "dependent",
    "dependent_property",
    "greater_than",
    "greater_than_eq",
    "independent",
    "integer",
    "integer_greater_than",
    "integer_interval",
    "interval",
    "less_than",
    "less_than_eq",
    "lower_cholesky",
    "multinomial",
    "nonnegative",
    "nonnegative_integer",
    "ordered_vector",
    "positive",
    "positive_definite",
    "positive_integer",
    "positive_vector",
    "real",
    "real_vector",
    "simplex",
    "sum_to_one",
    "unit_interval",
    "zero_sum",
]

# Sums and norms of d numbers carry rounding errors: membership is tested up to this much.
_TOLERANCE = 1e-6


class _RealVector(Constraint):
    """Require vectors of finite real numbers.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> constraints.real_vector(jnp.array([[0.0, 1.0], [0.0, jnp.nan]])).tolist()
    [True, False]
    """

    event_dim = 1
    said = "a vector of finite real numbers"

    def __call__(self, x: ArrayLike) -> Array:
        return jnp.all(jnp.isfinite(x), axis=-1)

    def feasible_like(self, x: Array) -> Array:
        return jnp.zeros_like(x)


class _Simplex(Constraint):
    """Require vectors of nonnegative numbers that sum to one.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> constraints.simplex(jnp.array([[0.2, 0.8], [0.5, 0.6]])).tolist()
    [True, False]
    """

    event_dim = 1
    said = "a simplex (nonnegative numbers that sum to one)"

    def __call__(self, x: ArrayLike) -> Array:
        return jnp.all(x >= 0, axis=-1) & (jnp.abs(jnp.sum(x, axis=-1) - 1) < _TOLERANCE)

    def feasible_like(self, x: Array) -> Array:
        return jnp.full_like(x, 1 / x.shape[-1])


class _SumToOne(Constraint):
    """Require vectors of numbers, be they negative, that sum to one.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> constraints.sum_to_one(jnp.array([[-0.5, 1.5], [0.5, 0.6]])).tolist()
    [True, False]
    """

    event_dim = 1
    said = "a vector of numbers that sum to one"

    def __call__(self, x: ArrayLike) -> Array:
        x = jnp.asarray(x)
        return jnp.abs(jnp.sum(x, axis=-1) - 1) < _TOLERANCE * (1 + jnp.max(jnp.abs(x), axis=-1))

    def feasible_like(self, x: Array) -> Array:
        return jnp.full_like(x, 1 / x.shape[-1])


class _OrderedVector(Constraint):
    """Require strictly increasing vectors.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> constraints.ordered_vector(jnp.array([[1.0, 2.0], [2.0, 2.0]])).tolist()
    [True, False]
    """

    event_dim = 1
    said = "a strictly increasing vector"

    def __call__(self, x: ArrayLike) -> Array:
        return jnp.all(jnp.diff(x, axis=-1) > 0, axis=-1)

    def feasible_like(self, x: Array) -> Array:
        return jnp.broadcast_to(jnp.arange(x.shape[-1], dtype=x.dtype), x.shape)


class _ZeroSum(Constraint):
    """Require numbers that sum to zero along each of the last axes.

    Parameters
    ----------
    ndims
        Number of axes.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> constraints.zero_sum(1)(jnp.array([[-1.0, 1.0], [1.0, 1.0]])).tolist()
    [True, False]
    """

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
    """Require lower triangular matrices with a positive diagonal: Cholesky factors.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> bool(constraints.lower_cholesky(jnp.array([[2.0, 0.0], [-1.0, 1.0]])))
    True
    """

    event_dim = 2
    said = "a lower triangular matrix with a positive diagonal"

    def __call__(self, x: ArrayLike) -> Array:
        return _is_lower(jnp.asarray(x))

    def feasible_like(self, x: Array) -> Array:
        return _identity_like(x)


class _CorrCholesky(Constraint):
    """Require Cholesky factors of correlation matrices: their rows have length one.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> bool(constraints.corr_cholesky(jnp.array([[1.0, 0.0], [0.6, 0.8]])))
    True
    """

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
    """Require symmetric positive-definite matrices.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> bool(constraints.positive_definite(jnp.array([[2.0, 1.0], [1.0, 2.0]])))
    True
    """

    event_dim = 2
    said = "a positive-definite symmetric matrix"

    def __call__(self, x: ArrayLike) -> Array:
        return _is_positive_definite(jnp.asarray(x))

    def feasible_like(self, x: Array) -> Array:
        return _identity_like(x)


class _CorrMatrix(Constraint):
    """Require correlation matrices.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> bool(constraints.corr_matrix(jnp.array([[1.0, 0.3], [0.3, 1.0]])))
    True
    """

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
