"""Statements of what is not random: data, named expressions, and terms of the log-density."""

import warnings
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from pyrox.errors import ModelError, ShapeError
from pyrox.model import missing, primitives, program, spelling
from pyrox.model import values as host
from pyrox.model.graph import Model, enclosing_model
from pyrox.model.nodes import Constant, Node, call, contains_node
from pyrox.model.program import DistExpression
from pyrox.model.variables import declared_shape, plain, require_place


def _as_node(value: Any, what: str) -> Node:
    if isinstance(value, DistExpression):
        raise ModelError(f"{what} takes values, not a distribution: give it a name, px.Normal('x', ...)")
    if isinstance(value, Node):
        return value
    if contains_node(value):
        return call(jnp.asarray, value) if not isinstance(value, list | tuple) else call(jnp.stack, list(value))
    return Constant(host.as_host(value, what))


def _place(model: Any, kind: str, name: Any) -> Model | None:
    """Give the model that a statement belongs to; None where it is part of a program."""
    if isinstance(model, str | tuple | list):
        raise ModelError(f"px.{kind}({name!r}, ...): write dims={model!r}; the third argument is a model")
    if model is not None:
        return model
    require_place(enclosing_model(), kind, name)
    return enclosing_model()


def _state_expression(kind: type, name: str, var: Any, model: Any, dims: Any) -> Any:
    label = kind.__name__
    model = _place(model, label, name)
    what = f"{label} {name!r}"
    dims = host.as_dims(dims, what)
    if model is None:
        if kind is program.Potential:
            primitives.factor(name, jnp.asarray(plain(var)), dims=dims)
            return var
        return primitives.deterministic(name, jnp.asarray(plain(var)), dims=dims)
    full = model.full_name(name, label, dims)
    node = kind(full, _as_node(var, what), dims)
    if dims is not None:
        declared = declared_shape(model, what, dims, node.shape)
        if declared != node.shape:
            raise ShapeError(f"{what}: its value has shape {node.shape}, but dims {dims} have lengths {declared}")
    return model.register(node)


def Deterministic(name: str, var: Any, model: Model | None = None, dims: Any = None) -> Any:  # noqa: N802 - a statement
    """Name an expression, so that its values are kept.

    Parameters
    ----------
    name
        Name of the variable.
    var
        The expression.
    model
        The model; the enclosing one by default.
    dims
        Names of its axes.

    Returns
    -------
    The named variable.

    Examples
    --------
    >>> from pyrox.model import Deterministic, Model, Normal
    >>> with Model():
    ...     x = Normal("x", shape=3)
    ...     y = Deterministic("y", x**2)
    >>> y.shape
    (3,)
    """
    return _state_expression(program.Deterministic, name, var, model, dims)


def Potential(name: str, var: Any, model: Model | None = None, dims: Any = None) -> Any:  # noqa: N802
    """Add a term to the log-density.

    Parameters
    ----------
    name
        Name of the term.
    var
        The term; all its elements are added.
    model
        The model; the enclosing one by default.
    dims
        Names of its axes.

    Returns
    -------
    The named term.

    Examples
    --------
    >>> from pyrox.model import Model, Normal, Potential
    >>> with Model():
    ...     x = Normal("x", shape=3)
    ...     penalty = Potential("sums_to_zero", -50 * x.sum() ** 2)
    """
    return _state_expression(program.Potential, name, var, model, dims)


def Data(  # noqa: N802
    name: str,
    value: Any,
    *,
    dims: Any = None,
    coords: Mapping[str, Any] | None = None,
    infer_dims_and_coords: bool = False,
    model: Model | None = None,
) -> Any:
    """State data that ``set_data`` can replace.

    Parameters
    ----------
    name
        Name of the data.
    value
        Numbers: a list, an array, a pandas Series or DataFrame.
    dims
        Names of its axes; a dim that the model lacks gets the length of its axis.
    coords
        Labels of dims.
    infer_dims_and_coords
        Whether to take dims and labels, where they are not given, from the index and the columns of a pandas object,
        or from an xarray DataArray.
    model
        The model; the enclosing one by default.

    Returns
    -------
    A variable of the model; inside a program, an array.

    Warns
    -----
    UserWarning
        If a new dim looks like a misspelt one of the model, which has the same length.

    Examples
    --------
    >>> from pyrox.model import Data, Model
    >>> with Model():
    ...     x = Data("x", [1.0, 2.0], dims="obs")
    >>> x.dims, x.shape
    (('obs',), (2,))
    """
    model = _place(model, "Data", name)
    what = f"Data {name!r}"
    if infer_dims_and_coords:
        dims, coords = _read_labels(value, dims, coords or {}, what)
    dims = host.as_dims(dims, what)
    if model is None:
        return primitives.data(name, jnp.asarray(plain(value)), dims=dims)
    full = model.full_name(name, "Data", dims)
    array = host.as_host(missing.unmask(value), what)
    host.require_not_infinite(array, what)
    if coords:
        model.add_coords(coords)
    if dims is not None:
        _adopt_dims(model, what, dims, array)
    return model.register(program.Data(full, array, dims))


def _read_labels(value: Any, dims: Any, coords: Mapping[str, Any], what: str) -> tuple[Any, dict[str, Any]]:
    """Read names and labels of the axes of a pandas or xarray object."""
    if hasattr(value, "dims") and hasattr(value, "coords"):
        axes = [(dim, value.coords[dim].values if dim in value.coords else None) for dim in value.dims]
    elif hasattr(value, "index") and hasattr(value, "to_numpy"):
        indices = [value.index, value.columns] if hasattr(value, "columns") else [value.index]
        axes = [(index.name, index) for index in indices]
    else:
        raise ModelError(f"{what}: infer_dims_and_coords=True needs a pandas or xarray object; met {type(value)}")
    if dims is None:
        unnamed = [i for i, (dim, _) in enumerate(axes) if dim is None]
        if unnamed:
            raise ModelError(f"{what}: axis {unnamed[0]} has no name to take for a dim: df.rename_axis(...), or dims=")
        dims = tuple(str(dim) for dim, _ in axes)
    names = host.as_dims(dims, what)
    found = {dim: labels for dim, (_, labels) in zip(names, axes, strict=False) if dim and labels is not None}
    return names, {**found, **coords}


def _adopt_dims(model: Model, what: str, dims: tuple, array: np.ndarray) -> None:
    if len(dims) != array.ndim:
        raise ShapeError(f"{what} has {array.ndim} axes (shape {array.shape}), but dims {dims} name {len(dims)}")
    for dim, n in zip(dims, array.shape, strict=True):
        if dim is None:
            continue
        if dim not in model.dim_lengths:
            _warn_if_misspelt(model, what, dim, n, dims)
            model.add_coord(dim, length=n)
        if model.dim_lengths[dim] != n:
            raise ShapeError(f"{what} has length {n} on dim {dim!r}, which has length {model.dim_lengths[dim]}")


def _warn_if_misspelt(model: Model, what: str, dim: str, length: int, beside: tuple) -> None:
    """Warn of a new dim that differs from a known one of its length by its spelling alone."""
    known = [name for name, n in model.dim_lengths.items() if n == length and name not in beside]
    near = spelling.nearest(dim, known)
    if near is not None and spelling.looks_misspelt(dim, near):
        warnings.warn(
            f"{what}: the model has no dim {dim!r}, which becomes a new one of length {length}; did you mean {near!r}? "
            f"If not, state it first, model.add_coord({dim!r}, length={length})",
            stacklevel=4,
        )
