"""Turn the states of chains into named arrays, and back: what files can hold."""

from collections.abc import Mapping

import jax
import numpy as np

from pyrox.samplers.chain import ChainState
from pyrox.samplers.compile import ChainProgram

# What nothing reads any more once the warm-up is over.
_OF_WARMUP = ("adapters", "window")


def unstack(chain: ChainState, lanes: int | None) -> list[ChainState]:
    """Take chains that advance side by side apart; one alone is a list of one."""
    if lanes is None:
        return [chain]
    return [jax.tree.map(lambda x, i=i: np.asarray(x)[i], chain) for i in range(lanes)]


def to_arrays(chains: list[ChainState]) -> dict[str, np.ndarray]:
    """Name every array of the states, each with a leading axis of chains.

    Without what only the warm-up needs, if all chains have left it behind.
    """
    over = all(chain.iteration >= chain.num_warmup for chain in chains)
    named: dict[str, list] = {}
    for chain in chains:
        for name, leaf in _leaves(chain).items():
            if np.size(leaf) and not (over and name.startswith(_OF_WARMUP)):
                named.setdefault(name, []).append(np.asarray(leaf))
    return {name: np.stack(leaves) for name, leaves in named.items()}


def from_arrays(arrays: Mapping[str, np.ndarray], program: ChainProgram, dim: int) -> list[ChainState]:
    """Make states of named arrays.

    Parameters
    ----------
    arrays
        What ``to_arrays`` has given.
    program
        What is to advance the chains.
    dim
        Length of a position.

    Raises
    ------
    ValueError
        If the arrays do not belong to such a chain.
    """
    blank = program.start(np.zeros(2, np.uint32), np.zeros(dim), 0, 0.5)
    expected, tree = _leaves(blank), jax.tree.structure(blank)
    count = len(arrays["iteration"])
    over = bool(np.all(np.asarray(arrays["iteration"]) >= np.asarray(arrays["num_warmup"])))
    filled = {}
    for name, leaf in expected.items():
        leaf = np.asarray(leaf)
        if name in arrays:
            stored = np.asarray(arrays[name])
            if stored.shape[1:] != leaf.shape:
                raise ValueError(f"{name} has shape {stored.shape[1:]}, a chain of this model needs {leaf.shape}")
            filled[name] = stored.astype(leaf.dtype)
        elif leaf.size and not (over and name.startswith(_OF_WARMUP)):
            raise ValueError(f"{name} is missing")
        else:
            filled[name] = np.broadcast_to(leaf, (count, *leaf.shape))
    return [jax.tree.unflatten(tree, [filled[name][i] for name in expected]) for i in range(count)]


def _leaves(chain: ChainState) -> dict[str, np.ndarray]:
    found, _ = jax.tree_util.tree_flatten_with_path(chain)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in found}
