"""Labels of dims: find them, compare them, write them out."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pyrox.errors import ModelError

_SHOWN = 5


def as_scalars(labels: Iterable[Any]) -> list:
    """Give labels as plain values that compare, whatever array they lie in."""
    array = np.asarray(labels)
    if array.dtype.kind == "M":
        return list(array.astype("datetime64[ns]"))
    return array.tolist() if array.ndim == 1 else list(map(tuple, array.tolist()))


def positions_of(labels: Iterable[Any], among: Iterable[Any]) -> np.ndarray:
    """Find each label among others; -1 where it is not.

    Raises
    ------
    ModelError
        If one of the others occurs twice.

    Examples
    --------
    >>> positions_of(["b", "x"], ["a", "b"]).tolist()
    [1, -1]
    """
    places: dict[Any, int] = {}
    for i, label in enumerate(as_scalars(among)):
        if places.setdefault(label, i) != i:
            raise ModelError(f"the label {label!r} occurs twice: nothing tells its elements apart")
    return np.array([places.get(label, -1) for label in as_scalars(labels)], int)


def write_labels(labels: Sequence[Any]) -> str:
    """Write out some labels."""
    shown = ", ".join(_write(x) for x in labels[:_SHOWN])
    return shown + (", ..." if len(labels) > _SHOWN else "")


def _write(label: Any) -> str:
    return str(np.datetime_as_string(label, unit="auto")) if isinstance(label, np.datetime64) else repr(label)
