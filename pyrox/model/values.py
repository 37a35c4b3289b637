"""Take users' data in: lists, NumPy and JAX arrays, pandas and xarray objects become checked NumPy arrays."""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from pyrox.errors import ModelError, NodeError, ShapeError, SupportError
from pyrox.typing import Shape

# A constraint, or None where the support depends on parameters.
Support = Any


_OF_LABELS = " (labels: pandas.factorize(labels)[0] gives their indices)"


def is_array(value: Any) -> bool:
    """Tell whether a value has axes of its own: NumPy, JAX, pandas or xarray, at least one-dimensional."""
    if isinstance(value, np.ndarray | jax.Array) or hasattr(value, "to_numpy"):
        return len(getattr(value, "shape", ())) > 0
    return False


def as_literal(value: Any) -> Any:
    """Make a plain Python number of NumPy's and JAX's scalars; leave everything else."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    if isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer) and value.ndim == 0:
        return value.item() if not jax.numpy.issubdtype(value.dtype, jax.dtypes.extended) else value
    return value


def as_host(value: Any, what: str) -> np.ndarray:
    """Copy data into a NumPy array that nobody else can change.

    Parameters
    ----------
    value
        Numbers in any usual container.
    what
        How errors call it.
    """
    if isinstance(value, jax.core.Tracer):
        raise ModelError(
            f"{what} is a traced JAX value: a Model holds numbers. Inside jit, write the model as a function"
        )
    if value is None:
        raise ModelError(f"{what} is None: was a `return` forgotten in the function that makes it?")
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise SupportError(f"{what} has masked values: remove them first")
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    try:
        array = np.array(value)
    except NodeError:
        raise
    except ValueError as error:
        raise ShapeError(f"{what} makes no array: {error}") from None
    if array.dtype == object:
        try:
            array = array.astype(float)
        except (TypeError, ValueError):
            met = array.ravel()[:3].tolist()
            hint = _OF_LABELS if any(isinstance(item, str) for item in met) else ""
            raise ModelError(f"{what} holds objects, not numbers: {met} ...{hint}") from None
    if array.dtype.kind == "c":
        met = array.ravel()[:3].tolist()
        raise ModelError(f"{what} must be real numbers; met {met} ...: give real and imaginary parts apart")
    if array.dtype.kind not in "biuf":
        raise ModelError(
            f"{what} must be numbers; met {array.dtype}: {array.ravel()[:3].tolist()} ... "
            + _OF_LABELS.lstrip()
        )
    array = array.astype(jax.dtypes.canonicalize_dtype(array.dtype))
    array.flags.writeable = False
    return array


def require_finite(array: np.ndarray, what: str, way_out: str) -> None:
    """Raise an error that shows the first NaN or infinity."""
    if array.dtype.kind not in "fc" or np.isfinite(array).all():
        return
    bad = ~np.isfinite(array)
    where = tuple(int(i) for i in np.argwhere(bad)[0])
    at = f" at index {where if len(where) > 1 else where[0]}" if where else ""
    raise SupportError(
        f"{what} holds {array[where]}{at} ({int(bad.sum())} of {array.size} values are not finite): {way_out}"
    )


def require_known_finite(value: Any, what: str, way_out: str) -> None:
    """Raise an error that shows the first NaN or infinity of an array whose numbers are known; others pass unseen."""
    if not isinstance(value, jax.core.Tracer):
        require_finite(np.asarray(value), what, way_out)


def require_not_infinite(array: np.ndarray, what: str) -> None:
    """Raise an error that shows the first infinity; NaN may mean that a value is missing."""
    gone = array.dtype.kind in "fc" and np.isnan(array)
    require_finite(np.where(gone, 0, array), what, "remove or replace them (NaN where a value is missing)")


def require_support(array: np.ndarray, support: Support, what: str) -> None:
    """Raise an error that shows the first event outside a set."""
    # A check, not a part of the program that a JAX transformation may be looking at.
    with jax.ensure_compile_time_eval():
        inside = np.asarray(support(array))
    if inside.all():
        return
    where = tuple(int(i) for i in np.argwhere(~inside)[0])
    at = f" at index {where if len(where) > 1 else where[0]}" if where else ""
    met = np.asarray(array)[where].tolist()
    raise SupportError(f"{what} must be {support}; met {met}{at}")


def as_shape(shape: Any, what: str) -> Shape | None:
    """Make a tuple of ints of a shape, or an int."""
    if shape is None:
        return None
    items = shape if isinstance(shape, tuple | list | np.ndarray) else (shape,)
    if not all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 0 for n in items):
        raise ShapeError(f"{what}: shape must be whole numbers that are not negative; met {shape!r}")
    return tuple(int(n) for n in items)


def as_dims(dims: Any, what: str) -> tuple[str | None, ...] | None:
    """Make a tuple of names of dims, or one name."""
    if dims is None:
        return None
    items = (dims,) if isinstance(dims, str) else tuple(dims) if isinstance(dims, Iterable) else (dims,)
    if not all(d is None or isinstance(d, str) for d in items):
        raise ModelError(f'{what}: dims are names of axes, dims="school" or dims=("school", "year"); met {dims!r}')
    named = [d for d in items if d is not None]
    if len(set(named)) < len(named):
        raise ShapeError(f"{what}: dims {items} name one dim twice: give the second axis a dim of its own")
    return items
