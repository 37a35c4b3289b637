"""Values that take the place of data: what they must be like."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrox.errors import ModelError, ShapeError
from pyrox.model import missing
from pyrox.model import values as host
from pyrox.model.program import Data


def replace_data(model: Any, new_data: Mapping[str, Any], labels: Mapping[str, tuple], what: str) -> None:
    """Put new values and labels into a model, or leave it as it is where they do not fit.

    Parameters
    ----------
    model
        The model.
    new_data
        New values by name.
    labels
        New labels by dim.
    what
        Who asks for it, which messages begin with.
    """
    arrays = {name: _new_value(model, name, value, what) for name, value in new_data.items()}
    lengths = _new_lengths(model, arrays, labels, what)
    for name, array in arrays.items():
        _check_new_value(model, model[name], array, f"{what}: {name!r}")
    registry = model.registry
    former = {name: model[name].value for name in arrays}, dict(registry.lengths), dict(registry.coords)
    changed = any((model[n].value.shape, model[n].value.dtype) != (a.shape, a.dtype) for n, a in arrays.items())
    changed |= any(registry.lengths[dim] != n for dim, n in lengths.items())
    new_labels = {d: labels.get(d) for d, n in lengths.items() if d in labels or registry.lengths[d] != n}

    def put(values: Mapping[str, np.ndarray], lengths: Mapping[str, int], labels: Mapping[str, tuple | None]) -> None:
        for name, array in values.items():
            model[name].value = array
        registry.lengths.update(lengths)
        registry.coords.update(labels)
        registry.version += changed

    def undo() -> None:
        put(*former)
        model.refresh()

    put(arrays, lengths, new_labels)
    model.refresh_or(undo)


def _new_value(model: Any, name: str, value: Any, what: str) -> np.ndarray:
    """Make an array of the new values of one ``Data``, of its type where that holds them."""
    node = model[name] if name in model else None  # noqa: SIM401 - a Model has no get
    if not isinstance(node, Data):
        known = [d.name for d in model.data_vars] or "none"
        kind = "no variable" if node is None else f"a {type(node).__name__}, not a Data,"
        raise ModelError(f"{what}: the model has {kind} {name!r}; its Data are {known}")
    array = host.as_host(missing.unmask(value), f"{what}: {name!r}")
    missing.require_allowed_gaps(node, array, model.named_vars.values(), f"{what}: {name!r}")
    old = node.value
    if array.ndim != old.ndim:
        raise ShapeError(
            f"{what}: {name!r} has {old.ndim} axes (shape {old.shape}); "
            f"the new values have {array.ndim} (shape {array.shape})"
        )
    if old.dtype.kind == "f" and array.dtype.kind in "biu":
        array = array.astype(old.dtype)
    return array


def _new_lengths(
    model: Any, arrays: Mapping[str, np.ndarray], labels: Mapping[str, tuple], what: str
) -> dict[str, int]:
    """Give the new lengths of dims, and refuse those that do not agree."""
    lengths = {dim: len(values) for dim, values in labels.items()}
    for name, array in arrays.items():
        for dim, n in zip(model[name].dims or (), array.shape, strict=False):
            if dim is None:
                continue
            if lengths.setdefault(dim, n) != n:
                raise ShapeError(f"{what}: {name!r} has length {n} on dim {dim!r}, which gets length {lengths[dim]}")
            old = model.registry.lengths[dim]
            if n != old and model.registry.coords[dim] is not None and dim not in labels:
                raise ShapeError(
                    f"{what}: {name!r} has length {n} on dim {dim!r}, which has {old} labels: "
                    f"give new ones, {what}(..., coords={{{dim!r}: ...}})"
                )
    return lengths


def _check_new_value(model: Any, node: Data, array: np.ndarray, what: str) -> None:
    """Refuse what lies outside the support of a variable observed there."""
    for rv in model.observed_RVs:
        if rv.observed is node and rv.dist.struct.support is not None:
            host.require_support(array, rv.dist.struct.support, f"{what}, observed by {rv.name!r},")
    for name, imputation in missing.imputations(model.named_vars.values()).items():
        struct = imputation.dist.struct
        if imputation.source is node and struct.support is not None:
            full = missing.fill_gaps(np.asarray(array, float), struct.support, len(struct.event_shape))
            host.require_support(full, struct.support, f"{what}, observed by {name!r},")
