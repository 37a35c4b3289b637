"""Draws as diagnostics see them: arrays, and names for their elements."""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from pyrox.separation import find_repeats


class LabelledDraws:
    """The variables of a posterior, and names for their elements."""

    def __init__(self, posterior: Any) -> None:
        # What is computed from the variables that the sampler moves, and on what the distributions of these depend,
        # as far as results tell.
        self.derived = frozenset(json.loads(posterior.attrs.get("derived", "[]")))
        self._depends = json.loads(posterior.attrs.get("depends", "null"))
        self.tuned = posterior.attrs.get("tuning_steps") != 0
        self.shape = tuple(int(posterior.sizes[dim]) for dim in ("chain", "draw"))
        self._arrays = {str(n): x.transpose("chain", "draw", ...) for n, x in posterior.data_vars.items()}
        self.values = {n: x.values for n, x in self._arrays.items() if x.size and x.dtype.kind in "fiub"}

    def label(self, name: str, index: tuple[int, ...]) -> str:
        """Name one element, by the labels of its axes."""
        if not index:
            return name
        array = self._arrays[name]
        labels = [
            _write(array.coords[dim].values[i]) if dim in array.coords else str(i)
            for dim, i in zip(array.dims[2:], index, strict=True)
        ]
        return f"{name}[{', '.join(labels)}]"

    @cached_property
    def repeats(self) -> np.ndarray:
        """Which draws repeat the one before, shape ``(chain, draw)``."""
        return find_repeats(list(self.values.values())) if self.values else np.zeros(self.shape, bool)

    def may_rule(self, name: str, other: str) -> bool:
        """Tell whether the distribution of another variable depends on this one; True where that is not known."""
        return self._depends is None or name in self._depends.get(other, ())

    def element(self, name: str, index: tuple[int, ...]) -> np.ndarray:
        """Give the draws of one element, shape ``(chain, draw)``."""
        return self.values[name][(slice(None), slice(None), *index)]


def _write(label: Any) -> str:
    return str(np.datetime_as_string(label, unit="auto")) if isinstance(label, np.datetime64) else str(label)


def worst(statistic: Mapping[str, np.ndarray]) -> list[tuple[float, str, tuple[int, ...]]]:
    """Give the largest value of each variable and where it is, the largest of all first; NaN are left out."""
    found = []
    for name, values in statistic.items():
        flat = np.ravel(values)
        if flat.size and not np.all(np.isnan(flat)):
            at = int(np.nanargmax(flat))
            index = tuple(int(i) for i in np.unravel_index(at, np.shape(values)))
            found.append((float(flat[at]), name, index))
    return sorted(found, key=lambda entry: -entry[0])


def join_words(words: list[str]) -> str:
    """Write a list as a sentence does."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
