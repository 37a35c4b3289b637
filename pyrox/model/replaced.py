"""Copy a model with other data and labels; what goes by labels follows them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from pyrox.errors import ModelError, ShapeError
from pyrox.model.graph import Model, as_labels
from pyrox.model.indexing import take
from pyrox.model.labels import as_scalars, positions_of, write_labels
from pyrox.model.missing import imputations
from pyrox.model.new_data import replace_data
from pyrox.model.nodes import Constant, Expression, Node, _Slot, ancestors
from pyrox.model.program import Data, Deterministic, RandomVariable, Statement
from pyrox.model.rewriting import rewrite

# What messages begin with.
_CALL = "px.predict"


def replaced(model: Model, data: Mapping[str, Any] | None = None, coords: Mapping[str, Any] | None = None) -> Model:
    """Copy a model, with other data and labels; the model stays as it is, whoever uses it meanwhile.

    Data that are not named follow new labels of their dims: they are put in the order of the labels, and indices go on
    to mean the same levels.

    Parameters
    ----------
    model
        The model.
    data
        New values by name of ``Data``.
    coords
        New labels by dim.

    Raises
    ------
    ModelError
        If there is no such ``Data`` or dim, or data do not tell what new levels have.
    ShapeError
        If the new data do not fit together.
    """
    for what, given in (("data", data), ("coords", coords)):
        if not isinstance(given or {}, Mapping):
            raise ModelError(f"{_CALL}: {what} is a dict of new values by name; met {given!r}")
    data, coords = dict(data or {}), dict(coords or {})
    model = rewrite(model)
    model.named_vars = _joined(model.named_vars, data)
    if data or coords:
        _put(model, data, coords)
    return model


def _joined(named: Mapping[str, Statement], data: Mapping[str, Any]) -> dict[str, Statement]:
    """Make one variable again of each that was observed in part, if it is what is predicted.

    It is, if no other variable is made of it, and no new values of it are given.
    """
    out = dict(named)
    for name, parts in imputations(named.values()).items():
        three = parts.whole, parts.observed, parts.unobserved
        others = [node for node in named.values() if node not in three]
        given = parts.source is not None and parts.source.name in data
        if given or any(part in ancestors(others) for part in three):
            continue
        lengths = parts.whole.shape
        seen = Constant(np.zeros(lengths, parts.dist.struct.dtype), label=f"{name}:observed")
        declared = None if parts.whole.dims is None else lengths
        variable = RandomVariable(name, parts.dist, parts.whole.dims, declared, seen, None, None, None)
        variable.infer()
        out[name] = variable
        for part in (parts.observed, parts.unobserved):
            del out[part.name]
    return out


def _put(model: Model, data: dict[str, Any], coords: dict[str, Any]) -> None:
    for name in data:
        if name not in model or not isinstance(model[name], Data):
            known = ", ".join(node.name for node in model.data_vars) or "none"
            what = f"the model has no variable {name!r}" if name not in model else f"{name!r} is no px.Data"
            raise ModelError(f"{_CALL}: {what}; its px.Data are {known}. Only what stands in px.Data can be replaced")
    for dim in coords:
        if dim not in model.registry.lengths:
            known = ", ".join(model.registry.lengths) or "none"
            raise ModelError(f"{_CALL}: the model has no dim {dim!r}; it has {known}")
    _require_labels(model, data, coords)
    moves = {dim: move for dim, labels in coords.items() if (move := _move(model, dim, labels)) is not None}
    _require_movable(model, moves)
    given = {model[name].name for name in data}
    needed = _needed(model)
    follow = {
        node.name: _follow(node, moves, given, needed)
        for node in model.data_vars
        if node.name not in given and (node in needed or _indexes(node, moves))
    }
    data |= {name: value for name, value in follow.items() if value is not None}
    replace_data(model, data, {dim: as_labels(labels, dim) for dim, labels in coords.items()}, _CALL)
    for node in needed:
        for dim, n in zip(node.dims or (), node.value.shape, strict=False):
            length = n if dim is None else model.registry.lengths[dim]
            if length != n:
                raise ShapeError(
                    f"{_CALL}: {node.name!r} has length {n} on dim {dim!r}, which has {length} now: "
                    f"give data={{{node.name!r}: ...}} as well"
                )


def _require_labels(model: Model, data: Mapping[str, Any], coords: Mapping[str, Any]) -> None:
    for name, values in data.items():
        for dim, n in zip(model[name].dims or (), np.shape(values), strict=False):
            labels = model.registry.coords.get(dim)
            if labels is not None and dim not in coords and n != len(labels):
                raise ShapeError(
                    f"{_CALL}: {name!r} has length {n} on dim {dim!r}, which has {len(labels)} labels: "
                    f"give new ones, coords={{{dim!r}: ...}}"
                )


class _Move:
    """How the labels of a dim change: for each new one its former place, -1 where it had none."""

    def __init__(self, dim: str, former: tuple, labels: tuple) -> None:
        self.dim, self.former = dim, former
        self.at = positions_of(labels, former, dim)
        self.new = [label for label, i in zip(as_scalars(labels), self.at, strict=True) if i < 0]
        self.to = positions_of(former, labels, dim)
        self.keeps_places = np.array_equal(self.to, np.arange(len(former)))


def _move(model: Model, dim: str, labels: Any) -> _Move | None:
    former = model.registry.coords[dim]
    return None if former is None else _Move(dim, former, as_labels(labels, dim))


def _needed(model: Model) -> list[Data]:
    """List the data that distributions and expressions need: not those that are only observed."""
    drawn = [node.dist for node in model.named_vars.values() if isinstance(node, RandomVariable)]
    named = [node for node in model.named_vars.values() if isinstance(node, Deterministic)]
    return [node for node in ancestors([*drawn, *named]) if isinstance(node, Data)]


def _indexes(node: Data, moves: Mapping[str, _Move]) -> bool:
    return any(_dim(target, axis) in moves for target, axis, *_ in node.limits)


def _dim(node: Node, axis: int) -> str | None:
    return node.dims[axis] if node.dims is not None else None


def _follow(node: Data, moves: Mapping[str, _Move], given: Iterable[str], needed: Sequence[Data]) -> np.ndarray | None:
    """Give the values of data that are not given anew, where labels have changed; None where nothing has."""
    value = node.value
    for axis, dim in enumerate(node.dims or ()):
        move = moves.get(dim)
        if move is None or np.array_equal(move.at, np.arange(len(move.former))):
            continue
        beside = [other.name for other in needed if other.name in given and dim in (other.dims or ())]
        if move.new or beside:
            why = f"new levels {write_labels(move.new)}" if move.new else f"other labels, {beside[0]!r} other values"
            raise ModelError(
                f"dim {dim!r} has {why}: data {node.name!r} lie along it as well, give data={{{node.name!r}: ...}}"
            )
        value = np.take(value, move.at, axis=axis)
    for target, axis, *_ in node.limits:
        move = moves.get(_dim(target, axis))
        if move is not None and not move.keeps_places:
            value = _renumber(node, value, move)
            break
    return None if value is node.value else value


def _renumber(node: Data, value: np.ndarray, move: _Move) -> np.ndarray:
    new = move.to[value]
    if np.any(new < 0):
        gone = [as_scalars(move.former)[i] for i in np.unique(value[new < 0])]
        raise ModelError(
            f"data {node.name!r} refer to the levels {write_labels(gone)} of dim {move.dim!r}, which the new labels "
            f"lack: give data={{{node.name!r}: ...}}, or keep the labels"
        )
    return new.astype(value.dtype)


def _require_movable(model: Model, moves: Mapping[str, _Move]) -> None:
    """Refuse to move labels away from positions that the model itself holds."""
    for node in ancestors(list(model.named_vars.values())):
        if not isinstance(node, Expression) or node.fn is not take:
            continue
        target = node.inputs[0]
        for axis, item in enumerate(_items(node)):
            move = moves.get(_dim(target, axis)) if target.dims is not None else None
            if move is not None and not isinstance(item, Data) and _misses(item, move):
                raise ModelError(
                    f"{target.name!r} is indexed along dim {move.dim!r} by numbers that stand in the model: its labels "
                    "cannot be moved. Put the index into px.Data, or keep the former labels first, in their order"
                )


def _items(node: Expression) -> list[Any]:
    """Give what stands between the brackets, for each axis of what is indexed."""
    filled = [node.inputs[leaf.index] if isinstance(leaf, _Slot) else leaf for leaf in node.leaves]
    items = jax.tree.unflatten(node.layout, filled)[0][1]
    return [item for item in items if item is not None]


def _misses(item: Any, move: _Move) -> bool:
    """Tell whether an index of the model itself would no longer pick the labels that it did."""
    if isinstance(item, slice):
        return item != slice(None) and not move.keeps_places
    picked = item.value if isinstance(item, Constant) else item
    if not isinstance(picked, int | np.ndarray):
        return False
    return not np.array_equal(move.to[picked], np.arange(len(move.to))[picked])
