"""The base of all constraints, and those of single numbers."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from pyrox._pytree import Pytree, show, static
from pyrox.typing import Array, ArrayLike


class Constraint(Pytree):
    """A set of values.

    Calling it tells, for each event of a batch, whether it belongs: shape ``value.shape`` without the
    last ``event_dim`` axes. ``feasible_like(x)`` gives some member, of the shape of x, to stand in for values outside.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> class Even(constraints.Constraint):
    ...     is_discrete = True
    ...     def __call__(self, x):
    ...         return x % 2 == 0
    ...     def feasible_like(self, x):
    ...         return jnp.zeros_like(x)
    >>> Even()(jnp.array([1, 2])).tolist()
    [False, True]
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


def _is_whole(x: ArrayLike) -> Array:
    # JAX would compile a step for every shape of NumPy's arrays.
    return x == (np if isinstance(x, np.ndarray) else jnp).floor(x)


def _is(bound: Any, number: float) -> bool:
    return isinstance(bound, int | float) and bound == number


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else show(value) if hasattr(value, "dtype") else str(value)


class dependent_property(property):
    """A support that depends on parameters: a property that still tells kind and event dimension on the class.

    Parameters
    ----------
    fget
        Function of the distribution that gives its support.
    is_discrete
        Whether all supports of the family are discrete.
    event_dim
        Number of axes of an event.

    Examples
    --------
    >>> from pyrox.dist import constraints
    >>> class Dice:
    ...     def __init__(self, faces):
    ...         self.faces = faces
    ...     @constraints.dependent_property(is_discrete=True)
    ...     def support(self):
    ...         return constraints.integer_interval(1, self.faces)
    >>> Dice.support.is_discrete, Dice(6).support
    (True, IntegerInterval(1, 6))
    """

    def __init__(self, fget: Callable | None = None, *, is_discrete: bool = False, event_dim: int = 0) -> None:
        super().__init__(fget)
        self.is_discrete = is_discrete
        self.event_dim = event_dim

    def __call__(self, fget: Callable) -> "dependent_property":
        return dependent_property(fget, is_discrete=self.is_discrete, event_dim=self.event_dim)


class _Dependent(Constraint):
    """Stand for a support that follows from a distribution's parameters: it has no members of its own.

    Examples
    --------
    >>> from pyrox.dist import constraints
    >>> constraints.dependent
    Dependent
    """

    said = "as its distribution says"

    def __call__(self, x: ArrayLike) -> Array:
        raise ValueError("a dependent constraint has no members of its own: ask the distribution for its support")


class _Real(Constraint):
    """Require finite real numbers.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> constraints.real(jnp.array([0.5, jnp.inf])).tolist()
    [True, False]
    """

    said = "a finite real number"

    def __call__(self, x: ArrayLike) -> Array:
        return (x > -jnp.inf) & (x < jnp.inf)

    def feasible_like(self, x: Array) -> Array:
        return jnp.zeros_like(x)


class _GreaterThan(Constraint):
    """Require finite numbers greater than a bound; ``positive`` is ``greater_than(0.0)``.

    Parameters
    ----------
    lower_bound
        Number or array, of a shape that broadcasts with the values.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> constraints.greater_than(1.0)(jnp.array([1.0, 2.0])).tolist()
    [False, True]
    """

    lower_bound: ArrayLike

    @property
    def said(self) -> str:
        return "positive" if _is(self.lower_bound, 0) else "greater than {lower_bound}"

    def __call__(self, x: ArrayLike) -> Array:
        return (x > self.lower_bound) & (x < jnp.inf)

    def feasible_like(self, x: Array) -> Array:
        return jnp.broadcast_to(self.lower_bound + 1.0, jnp.shape(x)).astype(x.dtype)


class _GreaterThanEq(Constraint):
    """Require finite numbers not below a bound; ``nonnegative`` is ``greater_than_eq(0.0)``.

    Parameters
    ----------
    lower_bound
        Number or array, of a shape that broadcasts with the values.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> constraints.nonnegative(jnp.array([-1.0, 0.0])).tolist()
    [False, True]
    """

    lower_bound: ArrayLike

    @property
    def said(self) -> str:
        return "nonnegative" if _is(self.lower_bound, 0) else "at least {lower_bound}"

    def __call__(self, x: ArrayLike) -> Array:
        return (x >= self.lower_bound) & (x < jnp.inf)

    def feasible_like(self, x: Array) -> Array:
        return jnp.broadcast_to(self.lower_bound + 1.0, jnp.shape(x)).astype(x.dtype)


class _LessThan(Constraint):
    """Require finite numbers less than a bound.

    Parameters
    ----------
    upper_bound
        Number or array, of a shape that broadcasts with the values.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> constraints.less_than(1.0)(jnp.array([0.0, 1.0])).tolist()
    [True, False]
    """

    said = "less than {upper_bound}"
    upper_bound: ArrayLike

    def __call__(self, x: ArrayLike) -> Array:
        return (x < self.upper_bound) & (x > -jnp.inf)

    def feasible_like(self, x: Array) -> Array:
        return jnp.broadcast_to(self.upper_bound - 1.0, jnp.shape(x)).astype(x.dtype)


class _LessThanEq(Constraint):
    """Require finite numbers not above a bound.

    Parameters
    ----------
    upper_bound
        Number or array, of a shape that broadcasts with the values.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> constraints.less_than_eq(1.0)(jnp.array([1.0, 2.0])).tolist()
    [True, False]
    """

    said = "at most {upper_bound}"
    upper_bound: ArrayLike

    def __call__(self, x: ArrayLike) -> Array:
        return (x <= self.upper_bound) & (x > -jnp.inf)

    def feasible_like(self, x: Array) -> Array:
        return jnp.broadcast_to(self.upper_bound - 1.0, jnp.shape(x)).astype(x.dtype)


class _Interval(Constraint):
    """Require numbers between two bounds, or at one of them.

    ``unit_interval`` is ``interval(0.0, 1.0)``, ``circular`` goes from -π to π.

    Parameters
    ----------
    lower_bound
        Number or array, of a shape that broadcasts with the values.
    upper_bound
        The same for the other end.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> constraints.unit_interval(jnp.array([0.0, 0.5, 1.5])).tolist()
    [True, True, False]
    """

    said = "in the interval [{lower_bound}, {upper_bound}]"
    lower_bound: ArrayLike
    upper_bound: ArrayLike

    def __call__(self, x: ArrayLike) -> Array:
        return (x >= self.lower_bound) & (x <= self.upper_bound)

    def feasible_like(self, x: Array) -> Array:
        middle = 0.5 * (jnp.asarray(self.lower_bound) + self.upper_bound)
        return jnp.broadcast_to(middle, jnp.shape(x)).astype(x.dtype)


class _Boolean(Constraint):
    """Require zeros and ones.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> constraints.boolean(jnp.array([0, 1, 2])).tolist()
    [True, True, False]
    """

    is_discrete = True
    said = "0 or 1"

    def __call__(self, x: ArrayLike) -> Array:
        return (x == 0) | (x == 1)

    def feasible_like(self, x: Array) -> Array:
        return jnp.zeros_like(x)


class _Integer(Constraint):
    """Require whole numbers.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> constraints.integer(jnp.array([-3.0, 0.5])).tolist()
    [True, False]
    """

    is_discrete = True
    said = "an integer"

    def __call__(self, x: ArrayLike) -> Array:
        return (x > -jnp.inf) & (x < jnp.inf) & _is_whole(x)

    def feasible_like(self, x: Array) -> Array:
        return jnp.zeros_like(x)


class _IntegerInterval(Constraint):
    """Require whole numbers from one bound to another, both included.

    Parameters
    ----------
    lower_bound
        Number or array, of a shape that broadcasts with the values.
    upper_bound
        The same for the other end.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> constraints.integer_interval(1, 6)(jnp.array([0, 1, 6])).tolist()
    [False, True, True]
    """

    is_discrete = True
    said = "an integer from {lower_bound} to {upper_bound}"
    lower_bound: ArrayLike
    upper_bound: ArrayLike

    def __call__(self, x: ArrayLike) -> Array:
        return (x >= self.lower_bound) & (x <= self.upper_bound) & _is_whole(x)

    def feasible_like(self, x: Array) -> Array:
        return jnp.broadcast_to(self.lower_bound, jnp.shape(x)).astype(x.dtype)


class _IntegerGreaterThan(Constraint):
    """Require whole numbers from a bound on, the bound included.

    ``nonnegative_integer`` begins at 0, ``positive_integer`` at 1.

    Parameters
    ----------
    lower_bound
        Number or array, of a shape that broadcasts with the values.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> constraints.positive_integer(jnp.array([0, 1, 2])).tolist()
    [False, True, True]
    """

    is_discrete = True
    lower_bound: ArrayLike

    @property
    def said(self) -> str:
        return "a nonnegative integer" if _is(self.lower_bound, 0) else "an integer of at least {lower_bound}"

    def __call__(self, x: ArrayLike) -> Array:
        return (x >= self.lower_bound) & _is_whole(x) & (x < jnp.inf)

    def feasible_like(self, x: Array) -> Array:
        return jnp.broadcast_to(self.lower_bound, jnp.shape(x)).astype(x.dtype)


class _Multinomial(Constraint):
    """Require vectors of counts with a given sum.

    Parameters
    ----------
    upper_bound
        The sum; an array has one for each vector of the batch.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> constraints.multinomial(3)(jnp.array([[1, 2, 0], [1, 1, 0]])).tolist()
    [True, False]
    """

    event_dim = 1
    is_discrete = True
    said = "counts that sum to {upper_bound}"
    upper_bound: ArrayLike

    def __call__(self, x: ArrayLike) -> Array:
        return ((x >= 0) & _is_whole(x)).all(axis=-1) & (x.sum(axis=-1) == self.upper_bound)

    def feasible_like(self, x: Array) -> Array:
        total = jnp.broadcast_to(self.upper_bound, jnp.shape(x)[:-1])[..., None].astype(x.dtype)
        return jnp.concatenate([total, jnp.zeros_like(x[..., 1:])], axis=-1)


class _Independent(Constraint):
    """Require that all elements of an event belong; ``positive_vector`` is ``independent(positive, 1)``.

    Parameters
    ----------
    base
        Constraint of the elements.
    reinterpreted_batch_ndims
        Number of axes that become part of one event.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> constraints.positive_vector(jnp.array([[1.0, 2.0], [1.0, -2.0]])).tolist()
    [True, False]
    """

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
        return inside.all(axis=tuple(range(inside.ndim - self.reinterpreted_batch_ndims, inside.ndim)))

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
    """Make the union of sets.

    Parameters
    ----------
    parts
        Constraints; the first gives the member that stands in for values outside.

    Returns
    -------
    A constraint.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> either = constraints.any_of([constraints.less_than(-1.0), constraints.greater_than(1.0)])
    >>> either(jnp.array([-2.0, 0.0, 2.0])).tolist()
    [True, False, True]
    """
    return _AnyOf(tuple(parts))
