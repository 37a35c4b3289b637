"""Labels of dims: find them, compare them, write them out."""

from collections import Counter
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


def positions_of(labels: Iterable[Any], among: Iterable[Any], dim: str | None = None) -> np.ndarray:
    """Find each label among others; -1 where it is not. Equal ones are found in their places.

    Parameters
    ----------
    labels
        What is looked for.
    among
        Where it is looked for.
    dim
        Whose labels they are, for messages.

    Raises
    ------
    ModelError
        If one that is looked for occurs there twice.

    Examples
    --------
    >>> positions_of(["b", "x"], ["a", "b"]).tolist()
    [1, -1]
    >>> positions_of(["a", "a", "b"], ["a", "a", "b"]).tolist()
    [0, 1, 2]
    """
    wanted, there = as_scalars(labels), as_scalars(among)
    if wanted == there:
        return np.arange(len(there))
    places = {label: i for i, label in enumerate(there)}
    if len(places) < len(there):
        counts = Counter(there)
        doubled = [label for label in dict.fromkeys(wanted) if counts[label] > 1]
        if doubled:
            raise ModelError(
                f"dim {dim!r} has several elements with the label {write_labels(doubled)}: levels are matched by their "
                "labels, and nothing tells these apart. Give each element a label of its own, in the model as well"
            )
    return np.array([places.get(label, -1) for label in wanted], int)


def write_labels(labels: Sequence[Any]) -> str:
    """Write out some labels."""
    shown = ", ".join(_write(x) for x in labels[:_SHOWN])
    return shown + (", ..." if len(labels) > _SHOWN else "")


def _write(label: Any) -> str:
    return str(np.datetime_as_string(label, unit="auto")) if isinstance(label, np.datetime64) else repr(label)
