"""Statements of programs: each makes a message for the effect handlers."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pyrox.dist import Distribution
from pyrox.dist.constraints import Constraint
from pyrox.errors import ModelError, ShapeError
from pyrox.model import values as host
from pyrox.model.messenger import Message, apply_stack, handler_depth, has_tracer, make_message, shape_of
from pyrox.model.modules import module
from pyrox.model.plates import plate, subsample
from pyrox.typing import Array, ArrayLike, Key, Shape

__all__ = ["data", "deterministic", "factor", "module", "param", "plate", "sample", "subsample"]


def sample(
    name: str, fn: Any, obs: Any = None, rng_key: Key | None = None, sample_shape: Shape = (), **fields: Any
) -> Any:
    """Draw from a distribution, or observe a value of it.

    Parameters
    ----------
    name
        Name of the site.
    fn
        A distribution, or a function of ``rng_key`` and ``sample_shape``.
    obs
        Observed value.
    rng_key
        A JAX key; under ``handlers.seed`` none is needed.
    sample_shape
        Shape of independent draws of the whole batch.
    **fields
        Further fields of the message: ``infer``, ``scale``, ``dims``.

    Returns
    -------
    The value: drawn, observed, or set by a handler.

    Raises
    ------
    ModelError
        If there is nothing to draw with.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.handlers import seed
    >>> from pyrox.model.primitives import sample
    >>> with seed(rng_seed=0):
    ...     sample("x", dist.Normal(0.0, 1.0), sample_shape=(2,)).shape
    (2,)
    """
    if isinstance(fn, type):
        raise ModelError(
            f"sample({name!r}) takes a distribution, not the class {fn.__name__}: write {fn.__name__}(...)"
        )
    kwargs = {"rng_key": rng_key, "sample_shape": tuple(sample_shape)}
    msg = make_message("sample", name, fn, kwargs=kwargs, value=obs, is_observed=obs is not None, **fields)
    if not isinstance(fn, Distribution) and not callable(fn):
        raise ModelError(f"sample({name!r}) takes a distribution, or a function of a key; met {fn!r}")
    if isinstance(obs, str):
        raise ModelError(f"sample({name!r}): obs are numbers; met {obs!r}")
    apply_stack(msg)
    if obs is None and msg["infer"].get("exact"):
        _require_exact(msg)
    return msg["value"]


def _require_exact(msg: Message) -> None:
    """Refuse a handler's value of another shape, where what follows relies on the shape."""
    met, wanted = np.shape(msg["value"]), shape_of(msg)
    if wanted is not None and met != wanted:
        raise ShapeError(f"{msg['name']}: a handler has given it a value of shape {met}, the variable has {wanted}")


def param(name: str, init_value: Any = None, **kwargs: Any) -> Any:
    """State an optimizable parameter.

    Parameters
    ----------
    name
        Name of the site.
    init_value
        Value to start from, returned unless a handler sets another; or a function of a JAX key that gives one,
        which needs ``handlers.seed``.
    **kwargs
        ``constraint=``: the set that the parameter stays in.

    Returns
    -------
    The value.

    Raises
    ------
    SupportError
        If the value to start from lies outside the constraint.

    Examples
    --------
    >>> from pyrox.model.primitives import param
    >>> param("loc", 0.5)
    0.5
    """
    if callable(init_value):
        made = {"rng_key": None, "name": name, **kwargs}
        return apply_stack(make_message("param", name, _drawn, args=(init_value,), kwargs=made))["value"]
    constraint = kwargs.get("constraint")
    if constraint is not None and not isinstance(constraint, Constraint):
        raise ModelError(f"param({name!r}): constraint is one of px.dist.constraints; met {constraint!r}")
    if constraint is not None and init_value is not None and not has_tracer((constraint, init_value)):
        host.require_support(np.asarray(init_value), constraint, f"param {name!r}: its value to start from")
    msg = make_message("param", name, _initial, args=(init_value,), kwargs=kwargs)
    value = apply_stack(msg)["value"]
    if value is None:
        raise ModelError(f"param({name!r}) has no value: give the one to start from, param({name!r}, 1.0)")
    return value


def _initial(init_value: Any, **_kwargs: Any) -> Any:
    return init_value


def _drawn(init_fn: Callable, *, rng_key: Key | None, name: str, **_kwargs: Any) -> Any:
    if rng_key is None:
        raise ModelError(
            f"param({name!r}) draws its start and needs randomness: run the program under "
            "handlers.seed(program, rng_seed=0), or give a value by substitute"
        )
    return init_fn(rng_key)


def _identity(value: Any) -> Any:
    return value


def _require_value(value: Any, what: str) -> None:
    if value is None:
        raise ModelError(f"{what} is None: was a `return` forgotten in the function that makes it?")
    if isinstance(value, str):
        raise ModelError(f"{what} takes an array; met {value!r}")


def deterministic(name: str, value: Any, **fields: Any) -> Any:
    """Record a value that follows from others.

    Parameters
    ----------
    name
        Name of the site.
    value
        Array to record.
    **fields
        Further fields of the message: ``dims``.

    Returns
    -------
    ``value``.

    Examples
    --------
    >>> from pyrox.model.primitives import deterministic
    >>> deterministic("twice", 2 * 3.0)
    6.0
    """
    _require_value(value, f"deterministic({name!r})")
    return apply_stack(make_message("deterministic", name, _identity, args=(value,), value=value, **fields))["value"]


def factor(name: str, log_factor: ArrayLike, **fields: Any) -> None:
    """Add a term to the log-density.

    Parameters
    ----------
    name
        Name of the site.
    log_factor
        The term; an array is summed.
    **fields
        Further fields of the message.

    Examples
    --------
    >>> from pyrox.model.handlers import trace
    >>> from pyrox.model.primitives import factor
    >>> trace(lambda: factor("penalty", -1.0)).get_trace()["penalty"]["value"]
    -1.0
    """
    _require_value(log_factor, f"factor({name!r})")
    apply_stack(make_message("factor", name, _identity, args=(log_factor,), value=log_factor, **fields))


def data(name: str, value: ArrayLike, *, hidden: bool = False, **fields: Any) -> Array:
    """State a value that is data: handlers can replace it, and densities take it as an argument.

    Parameters
    ----------
    name
        Name of the site.
    value
        The data.
    hidden
        Whether the data are no variable of the model (an array inside an expression): traces leave them out.
    **fields
        Further fields of the message: ``dims``.

    Returns
    -------
    The value, or what a handler put in its place.

    Examples
    --------
    >>> from pyrox.model.handlers import substitute
    >>> from pyrox.model.primitives import data
    >>> substitute(lambda: data("x", 1.0), {"x": 2.0})()
    2.0
    """
    msg = make_message("constant" if hidden else "data", name, _identity, args=(value,), **fields)
    return apply_stack(msg)["value"]


def in_program() -> bool:
    """Tell whether any handler is active."""
    return handler_depth() > 0
