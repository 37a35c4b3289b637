"""Lay the arrays of a tree end to end: a call with one array of each type costs a tenth of one with many."""

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.typing import Array, Tree


class Packing:
    """How the arrays of a tree lie in one vector of each type.

    Parameters
    ----------
    template
        A tree of shapes and dtypes, without leading axes.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrox.samplers.packing import Packing
    >>> tree = {"x": np.arange(3.0), "n": np.int32(7), "y": np.ones((2, 2))}
    >>> packing = Packing(tree)
    >>> packed = packing.pack(tree, np)
    >>> [x.tolist() for x in packed]
    [[7], [0.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0]]
    >>> packing.unpack(packed)["x"]
    array([0., 1., 2.])
    """

    def __init__(self, template: Tree) -> None:
        leaves, self._tree = jax.tree.flatten(template)
        self._dtypes = list(dict.fromkeys(np.dtype(x.dtype) for x in leaves))
        lengths = dict.fromkeys(self._dtypes, 0)
        self._places = []
        for leaf in leaves:
            dtype, shape = np.dtype(leaf.dtype), tuple(leaf.shape)
            end = lengths[dtype] + int(np.prod(shape))
            self._places.append((self._dtypes.index(dtype), slice(lengths[dtype], end), shape))
            lengths[dtype] = end
        self.shapes = [jax.ShapeDtypeStruct((length,), dtype) for dtype, length in lengths.items()]

    def pack(self, tree: Tree, numpy: ModuleType = jnp) -> list[Array]:
        """Give one vector of each type; leading axes, which all arrays share, stay."""
        parts: list[list[Any]] = [[] for _ in self._dtypes]
        for leaf, (number, place, shape) in zip(jax.tree.leaves(tree), self._places, strict=True):
            leading = leaf.shape[: leaf.ndim - len(shape)]
            parts[number].append(leaf.reshape(*leading, place.stop - place.start))
        return [numpy.concatenate(part, axis=-1) for part in parts]

    def unpack(self, packed: list[Array]) -> Tree:
        """Give the tree back: views, where the vectors are NumPy's."""
        leading = packed[0].shape[:-1]
        leaves = [packed[i][..., place].reshape((*leading, *shape)) for i, place, shape in self._places]
        return jax.tree.unflatten(self._tree, leaves)
