"""Turn many positions into named values, in batches of a fixed length."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.samplers.compile import compile_function
from pyrox.typing import Array, Tree

# Numbers that one call may give back, and most positions of a call.
_BATCH_NUMBERS = 2**22
_BATCH = 1024


class PositionMap:
    """A function of a position, compiled once for any number of them.

    Memory stays bounded by a batch, and runs of other lengths compile nothing.

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
        position = jax.ShapeDtypeStruct((dim,), jnp.zeros(()).dtype)
        numbers = sum(x.size for x in jax.tree.leaves(jax.eval_shape(function, position, shapes)))
        self._batch = int(np.clip(_BATCH_NUMBERS // max(numbers, 1), 1, _BATCH))
        positions = jax.ShapeDtypeStruct((self._batch, dim), position.dtype)
        self._executable = compile_function(jax.vmap(function, in_axes=(0, None)), positions, shapes)

    def __call__(self, positions: np.ndarray, data: Tree) -> dict[str, np.ndarray]:
        """Give the values, with the leading axes of positions ``(chain, draw, dim)``."""
        flat = positions.reshape(-1, positions.shape[-1])
        pieces = []
        for begin in range(0, max(len(flat), 1), self._batch):
            piece = flat[begin : begin + self._batch]
            padded = np.concatenate([piece, np.zeros((self._batch - len(piece), flat.shape[-1]), flat.dtype)])
            pieces.append({name: np.asarray(x)[: len(piece)] for name, x in self._executable(padded, data).items()})
        joined = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
        return {name: x.reshape(*positions.shape[:-1], *x.shape[1:]) for name, x in joined.items()}
