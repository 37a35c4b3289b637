"""Values that take the place of data: what they must be like."""

from typing import Any

import numpy as np

from pyrox.errors import ModelError, ShapeError
from pyrox.model import missing
from pyrox.model import values as host
from pyrox.model.program import Data


def new_value(model: Any, name: str, value: Any) -> np.ndarray:
    """Make an array of the new values of one ``Data``, of its type where that holds them."""
    node = model[name] if name in model else None  # noqa: SIM401 - a Model has no get
    if not isinstance(node, Data):
        known = [d.name for d in model.data_vars] or "none"
        kind = "no variable" if node is None else f"a {type(node).__name__}, not a Data,"
        raise ModelError(f"set_data: the model has {kind} {name!r}; its Data are {known}")
    array = host.as_host(missing.unmask(value), f"set_data: {name!r}")
    missing.require_allowed_gaps(node, array, model.named_vars.values())
    old = node.value
    if array.ndim != old.ndim:
        raise ShapeError(
            f"set_data: {name!r} has {old.ndim} axes (shape {old.shape}); "
            f"the new values have {array.ndim} (shape {array.shape})"
        )
    if old.dtype.kind == "f" and array.dtype.kind in "biu":
        array = array.astype(old.dtype)
    return array


def new_lengths(model: Any, arrays: dict[str, np.ndarray], labels: dict[str, tuple]) -> dict[str, int]:
    """Give the new lengths of dims, and refuse those that do not agree."""
    lengths = {dim: len(values) for dim, values in labels.items()}
    for name, array in arrays.items():
        for dim, n in zip(model[name].dims or (), array.shape, strict=False):
            if dim is None:
                continue
            if lengths.setdefault(dim, n) != n:
                raise ShapeError(f"set_data: {name!r} has length {n} on dim {dim!r}, which gets length {lengths[dim]}")
            old = model.registry.lengths[dim]
            if n != old and model.registry.coords[dim] is not None and dim not in labels:
                raise ShapeError(
                    f"set_data: {name!r} has length {n} on dim {dim!r}, which has {old} labels: "
                    f"give new ones, set_data(..., coords={{{dim!r}: ...}})"
                )
    return lengths


def check_new_value(model: Any, node: Data, array: np.ndarray) -> None:
    """Refuse what lies outside the support of a variable observed there."""
    for rv in model.observed_RVs:
        if rv.observed is node and rv.dist.struct.support is not None:
            host.require_support(array, rv.dist.struct.support, f"set_data: {node.name!r}, observed by {rv.name!r},")
    for name, imputation in missing.imputations(model.named_vars.values()).items():
        struct = imputation.dist.struct
        if imputation.source is node and struct.support is not None:
            full = missing.fill_gaps(np.asarray(array, float), struct.support, len(struct.event_shape))
            host.require_support(full, struct.support, f"set_data: {node.name!r}, observed by {name!r},")
