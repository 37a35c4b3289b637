"""Say why an operation on model variables cannot be done, and what to do instead."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from pyrox.errors import ModelError, NodeError, ShapeError

WAYS_OUT = (
    "a model variable has no value while the model is being written. Use px.math.f(x), NumPy's np.f(x) or operators, "
    "or px.lift(f)(x) for any JAX function f"
)
# What JAX raises when a function needs numbers where it got a placeholder.
NEEDS_NUMBERS = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)
_WITHOUT_NUMBERS = (
    "write it with jax.numpy where it uses NumPy or SciPy, with jnp.where or jax.lax.cond where it asks `if`, and "
    "without float(), int() and .item()"
)


class Valueless:
    """What Python asks of values, and what has none must refuse."""

    def _told(self) -> str:
        """Name the object in messages."""
        raise NotImplementedError

    def __bool__(self) -> bool:
        raise NodeError(
            f"{self._told()} is neither true nor false: {WAYS_OUT}. "
            "Instead of an if, write px.math.where(condition, a, b)"
        )

    def _refuse(self, kind: str) -> Any:
        raise NodeError(f"{self._told()} cannot be turned into {kind}: {WAYS_OUT}")

    def __contains__(self, item: Any) -> bool:
        raise NodeError(f"whether {self._told()} contains {item!r} is not known: {WAYS_OUT}")

    def __setitem__(self, index: Any, value: Any) -> None:
        raise NodeError(
            f"{self._told()} cannot be changed in place: px.math.where(condition, a, b) makes another one, or "
            "px.lift(lambda x, v: x.at[index].set(v))"
        )

    def __float__(self) -> float:
        return self._refuse("a float")

    def __int__(self) -> int:
        return self._refuse("an int")

    def __index__(self) -> int:
        return self._refuse("an int")

    def __complex__(self) -> complex:
        return self._refuse("a complex number")

    def __format__(self, form: str) -> str:
        return self._refuse(f"text by the format {form!r}") if form else str(self)

    def __array__(self, *_args: Any, **_kwargs: Any) -> np.ndarray:
        return self._refuse("a NumPy array")


def needs_numbers(what: str, error: Exception) -> NodeError:
    """Say that a function asks for numbers where JAX has placeholders."""
    return NodeError(
        f"{what} asks for numbers that are not known while JAX traces it: {_WITHOUT_NUMBERS} ({first_line(error)})"
    )


def not_applicable(name: str, told: str, leaves: Iterable[Any], error: Exception, *, nameless: bool) -> Exception:
    """Say that a function cannot be applied to what it was given.

    Parameters
    ----------
    name, told
        The function, and the variables with their shapes.
    leaves
        All that it was given.
    error
        What it raised.
    nameless
        Whether a distribution without a name is among the variables.
    """
    name = name.lstrip("_")
    words = [leaf for leaf in leaves if isinstance(leaf, str)]
    if words and not isinstance(error, ShapeError):
        return strange_operand(name, words[0], told)
    if "NoneType" in str(error):
        return strange_operand(name, None, told)
    if nameless:
        return NodeError(
            f"{name} cannot be applied to {told}: a distribution without a name has no value. Make a variable of it, "
            'px.Normal("x", ...), or give it to a statement that takes one: px.Truncated, px.Mixture, px.logp'
        )
    return ShapeError(f"{name} cannot be applied to {told}: {error}")


def strange_operand(name: str, word: Any, told: str = "") -> NodeError:
    """Say that a text, or nothing, stands where a variable or a number belongs."""
    met = f"{word!r}" + (f" beside {told}" if told else "")
    if word is None:
        return NodeError(f"{name} cannot be applied to {met}: was a `return` forgotten in the function that makes it?")
    return NodeError(
        f"{name} cannot be applied to {met}: a variable stands there itself, model[{word!r}], "
        "and an axis is told by its number"
    )


def returns_nothing(name: str) -> NodeError:
    """Say that a lifted function returns no array."""
    return NodeError(f"{name} returns None: was its `return` forgotten? px.lift takes a function that returns arrays")


def require_function(fn: Any, what: str) -> Callable:
    """Refuse what cannot be called."""
    if not callable(fn):
        raise NodeError(f"{what} takes a function; met {fn!r}")
    return fn


def require_no_builder(program: Callable, returned: Any) -> None:
    """Refuse a function that writes a model and returns it where a function of primitives is run."""
    # A Model is known by what it has: this module lies below its own.
    if isinstance(getattr(returned, "named_vars", None), dict):
        name = program_name(program)
        raise ModelError(f"{name}() returns a px.Model: give that, by calling the function, model={name}(...)")


def program_name(program: Callable) -> str:
    """Name a program in messages."""
    return getattr(program, "__name__", None) or type(program).__name__


def first_line(error: Exception) -> str:
    """Give the first sentence of a long message."""
    return str(error).strip().split("\n")[0][:200]
