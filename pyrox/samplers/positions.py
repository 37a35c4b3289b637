"""Turn many positions into named values, in batches of a fixed length."""

from collections.abc import Callable

import jax
import numpy as np

from pyrox.config import number_dtype
from pyrox.samplers.executables import compile_function
from pyrox.typing import Array, Tree

# Numbers that one call may give back, and most positions of a call.
_BATCH_NUMBERS = 2**22
_BATCH = 1024


class PositionMap:
    """A function of a position, compiled once for any number of them.

    Memory stays bounded by a batch, and runs of other lengths compile nothing. A draw always takes the same place in
    a batch, so that its values are the same to the last bit, however many are turned at a time.

    Parameters
    ----------
    function
        Function of a position ``(dim,)`` and of data that gives a mapping of names to arrays.
    dim
        Length of a position.
    data
        A tree of arrays with the shapes and dtypes to compile for.
    """

    def __init__(self, function: Callable[[Array, Tree], dict], dim: int, data: Tree) -> None:
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), data)
        position = jax.ShapeDtypeStruct((dim,), number_dtype())
        numbers = sum(x.size for x in jax.tree.leaves(jax.eval_shape(function, position, shapes)))
        self._batch = int(np.clip(2 ** int(np.log2(_BATCH_NUMBERS / max(numbers, 1))), 1, _BATCH))
        positions = jax.ShapeDtypeStruct((self._batch, dim), position.dtype)
        self._executable = compile_function(jax.vmap(function, in_axes=(0, None)), positions, shapes)

    def __call__(self, positions: np.ndarray, data: Tree, first: int = 0) -> dict[str, np.ndarray]:
        """Give the values, with the leading axes of positions ``(chain, draw, dim)``; the first draw has a number."""
        chains = [self._turn(chain, data, first % self._batch) for chain in positions]
        return {name: np.stack([chain[name] for chain in chains]) for name in chains[0]}

    def _turn(self, positions: np.ndarray, data: Tree, ahead: int) -> dict[str, np.ndarray]:
        padded = np.concatenate([np.zeros((ahead, positions.shape[-1]), positions.dtype), positions])
        pieces = []
        for begin in range(0, max(len(padded), 1), self._batch):
            piece = padded[begin : begin + self._batch]
            filling = np.zeros((self._batch - len(piece), padded.shape[-1]), padded.dtype)
            values = self._executable(np.concatenate([piece, filling]), data)
            pieces.append({name: np.asarray(x)[: len(piece)] for name, x in values.items()})
        return {name: np.concatenate([piece[name] for piece in pieces])[ahead:] for name in pieces[0]}
