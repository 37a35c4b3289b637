"""The base of all distributions: parameters declared once, everything else follows."""
# ruff: noqa: FBT001 - validate_args may be given by position, as documented

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox._pytree import register, show
from pyrox.config import is_validation_enabled
from pyrox.dist import constraints
from pyrox.dist.constraint import Constraint, _AnyOf
from pyrox.dist.special import log_or_minus_inf
from pyrox.dist.transforms import biject_to
from pyrox.errors import ShapeError, SupportError
from pyrox.typing import Array, ArrayLike, Key, Shape

REQUIRED = inspect.Parameter.empty


class Field:
    """What a distribution is made of: one declared attribute.

    ``name`` is the constructor's argument, ``attribute`` where the value is kept: they differ where the public
    attribute is worked out from what was given.
    """

    def __init__(self, default: Any = REQUIRED) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name
        self.name = name.lstrip("_")


class Param(Field):
    """An array parameter, with its domain."""

    def __init__(self, constraint: Constraint, default: Any, alias: str | None) -> None:
        Field.__init__(self, default)
        self.constraint = constraint
        self.alias = alias

    @property
    def event_dim(self) -> int:
        return self.constraint.event_dim


def param(constraint: Constraint, default: Any = REQUIRED, alias: str | None = None) -> Any:
    """Declare an array parameter.

    Parameters
    ----------
    constraint
        Its domain; ``constraint.event_dim`` trailing axes belong to one event, the others are batch axes.
    default
        Its value where none is given.
    alias
        The name that model statements accept beside its own.
    """
    return Param(constraint, default, alias)


def option(default: Any = REQUIRED) -> Any:
    """Declare an argument that is part of the structure: hashable, never traced."""
    return Option(default)


def part(default: Any = REQUIRED) -> Any:
    """Declare an argument that is itself a distribution, transform or tree of arrays."""
    return Part(default)


class Option(Field):
    """A structural argument."""


class Part(Field):
    """An argument that is a tree of arrays."""


def _fields(cls: type) -> list[Field]:
    # A class's own fields come first, in its own order; what it inherits follows.
    # Whatever a class redefines, a property say, hides the field of that name.
    seen: dict[str, Any] = {}
    for base in cls.__mro__:
        for name, field in vars(base).items():
            seen.setdefault(name, field)
    return [field for field in seen.values() if isinstance(field, Field)]


def _signature(fields: list[Field]) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = [inspect.Parameter(f.name, kind, default=f.default) for f in fields]
    return inspect.Signature([*names, inspect.Parameter("validate_args", kind, default=None)])


class Distribution:
    r"""A probability distribution over arrays, with batches of independent copies.

    A new distribution declares its parameters, its ``support`` and defines

    - ``_sample(key, shape)``: draws of the whole output shape, sample, batch and event axes together;
    - ``_log_prob(value)``: the log-density of values inside the support;
    - where they exist: ``_mean()``, ``_variance()``, ``_cdf(value)``, ``_icdf(q)``, ``_entropy()``;
    - ``event_shape``, if an event is more than a number.

    Constructor, ``arg_constraints``, ``reparametrized_params``, ``batch_shape``, pytree, validation and ``repr``
    follow from the declarations.

    Parameters
    ----------
    batch_shape
        Shape of the independent copies; inferred from the parameters.
    event_shape
        Shape of one draw; inferred from the parameters.
    validate_args
        Whether to check parameters and values; None follows ``enable_validation``.

    Examples
    --------
    >>> import jax
    >>> import pyrox.dist as dist
    >>> d = dist.Normal(jax.numpy.zeros(3), 1.0)
    >>> d.batch_shape, d.sample(jax.random.key(0), (10,)).shape, d.to_event(1).log_prob(jax.numpy.zeros(3)).shape
    ((3,), (10, 3), ())
    """

    support: Any = None
    arg_constraints: dict[str, Constraint] = {}
    reparametrized_params: list[str] = []
    params: tuple[Param, ...] = ()
    has_atoms: bool = False  # whether single points of a continuous support have probability
    _default_validate_args: bool | None = None

    def __init__(self, batch_shape: Shape = (), event_shape: Shape = (), validate_args: bool | None = None) -> None:
        raise TypeError("Distribution is abstract: use one of its subclasses")

    def __init_subclass__(cls) -> None:
        fields = _fields(cls)
        cls.params = tuple(f for f in fields if isinstance(f, Param))
        cls.arg_constraints = {p.name: p.constraint for p in cls.params}
        if "reparametrized_params" not in vars(cls):
            smooth = not getattr(cls.support, "is_discrete", False)
            cls.reparametrized_params = [p.name for p in cls.params if not p.constraint.is_discrete] if smooth else []
        if "__init__" not in vars(cls):
            cls.__init__ = _generic_init
            cls.__signature__ = _signature(fields)
        else:
            own = inspect.signature(cls.__init__)
            cls.__signature__ = own.replace(parameters=list(own.parameters.values())[1:])
        leaves = tuple(f.attribute for f in fields if isinstance(f, Param | Part))
        register(cls, leaves, (*(f.attribute for f in fields if isinstance(f, Option)), "_validate"))

    def _set(self, values: dict[str, Any], validate_args: bool | None) -> None:
        """Store the fields, arrays as arrays, and check them where asked for."""
        for f in _fields(type(self)):
            value = values[f.name]
            object.__setattr__(self, f.attribute, _as_parameter(f, value) if isinstance(f, Param) else value)
        self._check_shapes()
        self._require_broadcast()
        if validate_args is None:
            validate_args = self._default_validate_args
        validate = is_validation_enabled() if validate_args is None else bool(validate_args)
        object.__setattr__(self, "_validate", validate)
        if validate:
            self._validate_parameters()

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"distributions do not change: make a new {type(self).__name__} instead of setting {name}")

    @staticmethod
    def set_default_validate_args(value: bool | None) -> None:
        """Check, or do not check, the arguments of every distribution; None follows ``enable_validation``."""
        if value not in (True, False, None):
            raise ValueError(f"validate_args is True, False or None, not {value!r}")
        Distribution._default_validate_args = value

    # Shapes

    @property
    def batch_shape(self) -> Shape:
        """Shape of the independent, possibly different copies."""
        given = [(p, v) for p in self.params if (v := getattr(self, p.attribute)) is not None]
        return jnp.broadcast_shapes(*(_batch_part(p, v) for p, v in given))

    @property
    def event_shape(self) -> Shape:
        """Shape of one draw of one copy."""
        return ()

    @property
    def event_dim(self) -> int:
        """Number of axes of one draw of one copy."""
        return len(self.event_shape)

    @property
    def is_discrete(self) -> bool:
        """Whether draws are counts or labels."""
        return bool(self.support.is_discrete)

    # Draws

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        """Draw.

        Parameters
        ----------
        key
            A JAX PRNG key.
        sample_shape
            Shape of the independent draws of the whole batch.

        Returns
        -------
        Array of shape ``sample_shape + batch_shape + event_shape``.
        """
        return self._sample(key, (*sample_shape, *self.batch_shape, *self.event_shape))

    def sample_with_intermediates(self, key: Key, sample_shape: Shape = ()) -> tuple[Array, list]:
        """Draw; also return the values that transforms went through (none here)."""
        return self.sample(key, sample_shape), []

    def transform_with_intermediates(self, base_value: ArrayLike) -> tuple[Array, list]:
        """Map a draw of the base distribution to one of this; also return what the transforms went through."""
        return jnp.asarray(base_value), []

    def _sample(self, key: Key, shape: Shape) -> Array:
        raise NotImplementedError(f"{type(self).__name__} cannot be sampled")

    # Density

    def log_prob(self, value: ArrayLike) -> Array:
        """Evaluate the log-density; -inf outside the support.

        Parameters
        ----------
        value
            Array whose shape ends in, or broadcasts with, ``batch_shape + event_shape``.

        Returns
        -------
        Array of the broadcast batch shape, without the event axes.
        """
        value = self._as_value(value)
        if self._validate:
            self._validate_value(value)
        inside = self.support(value)
        # Formulas see only members: what they would give elsewhere cannot leak NaN into a gradient.
        apart = inside.reshape(inside.shape + (1,) * self.support.event_dim)
        safe = jnp.where(apart, value, self.support.feasible_like(jnp.broadcast_to(value, _shape_with(apart, value))))
        return jnp.where(inside, self._log_prob(safe), -jnp.inf)

    def log_prob_inside(self, value: Array) -> Array:
        """Evaluate the log-density of values known to be in the support, without testing it."""
        return self._log_prob(value)

    def log_prob_sum(self, value: Array) -> Array:
        """Evaluate the sum of ``log_prob_inside`` over all copies: families override it where that is cheaper."""
        return jnp.sum(self._log_prob(value))

    def _log_prob(self, value: Array) -> Array:
        raise NotImplementedError(f"{type(self).__name__} has no density")

    def _as_value(self, value: ArrayLike) -> Array:
        """Make an array in which arithmetic is safe: no whole numbers on a line, no bytes to overflow as counts."""
        value = jnp.asarray(value)
        whole = jnp.issubdtype(value.dtype, jnp.integer) or value.dtype == bool
        return value.astype(int if self.is_discrete else float) if whole else value

    def cdf(self, value: ArrayLike) -> Array:
        """Evaluate the cumulative distribution function, the probability of at most ``value``."""
        return self._between_ends(self._cdf, value, 0.0, 1.0)

    def log_cdf(self, value: ArrayLike) -> Array:
        """Evaluate the logarithm of the cdf: exact in the lower tail where the family has a form for it."""
        return self._between_ends(self._log_cdf, value, -jnp.inf, 0.0)

    def log_sf(self, value: ArrayLike) -> Array:
        """Evaluate the log-probability of more than ``value``: exact in the upper tail where a form is known."""
        return self._between_ends(self._log_sf, value, 0.0, -jnp.inf)

    def _between_ends(self, formula: Callable[[Array], Array], value: ArrayLike, low: float, high: float) -> Array:
        """Apply a formula inside the support; the ends, and what lies beyond, are known and have no slope."""
        if self.event_shape:
            raise NotImplementedError(f"{type(self).__name__} draws arrays, which have no cdf")
        value = self._as_value(value)
        at = jnp.floor(value) if self.is_discrete else value
        inside = self.support(at)
        if isinstance(self.support, constraints._Interval) and not self.has_atoms:
            inside = inside & (at > self.support.lower_bound) & (at < self.support.upper_bound)
        member = self.support.feasible_like(jnp.broadcast_to(at, _shape_with(inside, at)))
        beyond = jnp.where(at > member, high, jnp.where(at < member, low, jnp.nan))
        return jnp.where(inside, formula(jnp.where(inside, at, member)), beyond)

    def icdf(self, q: ArrayLike) -> Array:
        """Evaluate the quantile function at probabilities ``q``."""
        return self._icdf(jnp.asarray(q, float))

    def entropy(self) -> Array:
        """Give the entropy of each copy, in nats; shape ``batch_shape``."""
        return jnp.broadcast_to(self._entropy(), self.batch_shape)

    def _cdf(self, value: Array) -> Array:
        raise NotImplementedError(f"{type(self).__name__} has no closed cdf")

    def _log_cdf(self, value: Array) -> Array:
        return log_or_minus_inf(self._cdf(value))

    def _log_sf(self, value: Array) -> Array:
        return log_or_minus_inf(1 - self._cdf(value))

    def _icdf(self, q: Array) -> Array:
        if type(self)._cdf is Distribution._cdf:
            raise NotImplementedError(f"{type(self).__name__} has no quantile function")
        return quantile(self, q)

    def _entropy(self) -> Array:
        raise NotImplementedError(f"{type(self).__name__} has no closed entropy")

    # Moments

    @property
    def mean(self) -> Array:
        """Mean, of shape ``batch_shape + event_shape``; NaN where it does not exist."""
        return jnp.broadcast_to(self._mean(), self.batch_shape + self.event_shape)

    @property
    def variance(self) -> Array:
        """Variance of each element, of shape ``batch_shape + event_shape``; NaN or inf where it does not exist."""
        return jnp.broadcast_to(self._variance(), self.batch_shape + self.event_shape)

    def _mean(self) -> Array:
        raise NotImplementedError(f"{type(self).__name__} has no closed mean")

    def _variance(self) -> Array:
        raise NotImplementedError(f"{type(self).__name__} has no closed variance")

    # Checks

    def _validate_parameters(self) -> None:
        for p in self.params:
            value = getattr(self, p.attribute)
            if isinstance(value, jax.Array | np.ndarray) and p.constraint is not constraints.dependent:
                _require(p.constraint, value, f"{type(self).__name__}: parameter {p.name}")

    def _require_ordered(self, low: str, high: str) -> None:
        """Raise an error unless one parameter lies below another."""
        ends = getattr(self, low), getattr(self, high)
        if ends[0] is not None and ends[1] is not None:
            self._require_that(jnp.asarray(ends[1]) > ends[0], f"{high} must be greater than {low}", low, high)

    def _require_that(self, holds: Array, what: str, *names: str) -> None:
        """Raise an error unless a condition on several parameters holds; traced values pass unseen."""
        if not isinstance(holds, jax.core.Tracer) and not bool(jnp.all(holds)):
            told = ", ".join(f"{name}={show(getattr(self, name))}" for name in names)
            raise SupportError(f"{type(self).__name__}: parameter {what}; met {told}")

    def _require_same_size(self, **sizes: int) -> None:
        """Raise an error unless the axes that belong together have one length (or length one)."""
        if len({n for n in sizes.values() if n != 1}) > 1:
            told = ", ".join(f"{name} {n}" for name, n in sizes.items())
            raise ShapeError(f"{type(self).__name__}: lengths of parameters do not fit together: {told}")

    def _require_broadcast(self) -> None:
        """Raise an error that names the parameters and their shapes unless they broadcast together."""
        try:
            _ = self.batch_shape
        except ShapeError:
            raise
        except ValueError:
            shapes = {f.name: _told_shape(getattr(self, f.attribute)) for f in _fields(type(self))}
            told = ", ".join(f"{name} {shape}" for name, shape in shapes.items() if shape)
            raise ShapeError(f"{type(self).__name__}: parameters do not broadcast together: {told}") from None

    def _check_shapes(self) -> None:
        """Check the lengths of event axes; families of vectors override it."""

    def _validate_value(self, value: Array) -> None:
        ndim, what = len(self.event_shape), f"{type(self).__name__}: a value of shape {value.shape}"
        if ndim and value.shape[len(value.shape) - ndim :] != self.event_shape:
            raise ShapeError(f"{what} does not end in the event shape {self.event_shape}")
        try:
            jnp.broadcast_shapes(value.shape[: value.ndim - ndim], self.batch_shape)
        except ValueError:
            raise ShapeError(f"{what} does not fit batch shape {self.batch_shape}") from None
        _require(self.support, value, f"{type(self).__name__}: value")

    def __repr__(self) -> str:
        given = [(f.name, v) for f in _fields(type(self)) if (v := getattr(self, f.attribute)) is not None]
        return f"{type(self).__name__}({', '.join(f'{name}={show(value)}' for name, value in given)})"

    def __iter__(self) -> Iterator:
        raise TypeError(f"{type(self).__name__} is a distribution, not a sequence: use .sample(key, (n,)) for draws")


def quantile(d: Distribution, q: Array, support: Constraint | None = None) -> Array:
    """Invert the cdf by halving over the support; one Newton step then gives digits and derivatives."""
    shape = jnp.broadcast_shapes(q.shape, d.batch_shape)
    q = jnp.broadcast_to(q, shape)
    fixed, level = jax.lax.stop_gradient((d, q))
    if d.is_discrete:
        at, reach = jnp.floor, 2.0**53
    else:
        support, reach = fixed.support if support is None else jax.lax.stop_gradient(support), 740.0
        whole = isinstance(support, constraints._Real | _AnyOf)
        at = jnp.sinh if whole else biject_to(support)  # sinh evens out the magnitudes of the real line

    def halve(_: Any, ends: tuple) -> tuple:
        low, high = ends
        middle = 0.5 * (low + high)
        below = fixed.cdf(at(middle)) < level
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    ends = jnp.full(shape, -reach, float), jnp.full(shape, reach, float)
    high = jax.lax.fori_loop(0, 64 + 44 * d.is_discrete, halve, ends)[1]
    x = at(high)
    if d.is_discrete:
        return jnp.maximum(x, getattr(d.support, "lower_bound", -jnp.inf)).astype(int)
    density = jnp.exp(fixed._log_prob(x))
    usable = jnp.isfinite(density) & (density > 0)
    step = jnp.where(usable, (d.cdf(x) - q) / jnp.where(usable, density, 1), 0)
    return x - step


def _generic_init(self: Distribution, *args: Any, **kwargs: Any) -> None:
    try:
        bound = type(self).__signature__.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{type(self).__name__}{type(self).__signature__}: {error}") from None
    bound.apply_defaults()
    validate_args = bound.arguments.pop("validate_args")
    self._set(bound.arguments, validate_args)


def _as_parameter(field: Param, value: Any) -> Any:
    """Make an array of a parameter: whole numbers become floats where the domain is continuous."""
    if not isinstance(value, int | float | bool | complex | list | tuple | np.ndarray | np.generic | jax.Array):
        return value  # a placeholder of a JAX transformation
    array = jnp.asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        array = array.astype(int if field.constraint.is_discrete else float)
    if array.ndim < field.event_dim:
        raise ShapeError(f"parameter {field.name} needs at least {field.event_dim} axes, not shape {array.shape}")
    return array


def _told_shape(value: Any) -> str:
    """Name the shape of a parameter in messages; that of a distribution's batch."""
    if isinstance(value, tuple | list):
        return ", ".join(filter(None, map(_told_shape, value)))
    if isinstance(value, Distribution):
        return f"of batch shape {value.batch_shape}"
    return str(jnp.shape(value)) if hasattr(value, "shape") else ""


def _batch_part(field: Param, value: Any) -> Shape:
    shape = jnp.shape(value)
    return shape[: len(shape) - field.event_dim]


def _shape_with(inside: Array, value: Array) -> Shape:
    return jnp.broadcast_shapes(inside.shape, value.shape)


def _require(constraint: Constraint, value: Array, what: str) -> None:
    """Raise an error that shows the first offending event; traced values pass unseen."""
    if isinstance(value, jax.core.Tracer):
        return
    inside = constraint(value)
    if isinstance(inside, jax.core.Tracer) or bool(jnp.all(inside)):
        return
    where = tuple(int(i) for i in np.argwhere(~np.asarray(inside))[0])
    at = f" at index {where}" if where else ""
    apart = inside.reshape(inside.shape + (1,) * constraint.event_dim)
    bad = np.asarray(jnp.broadcast_to(value, _shape_with(apart, value)))
    raise SupportError(f"{what} must be {constraint}; met {bad[where].tolist()}{at}")
