"""Tell whether a model and its data are those of an earlier run."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.config import number_dtype
from pyrox.errors import ModelError
from pyrox.samplers.chain import ChainState
from pyrox.samplers.compile import ChainProgram
from pyrox.samplers.passes.jaxprs import inner_jaxprs
from pyrox.typing import Tree

_ADDRESS = re.compile(r"0x[0-9a-f]+")


def hash_data(data: Tree) -> dict[str, str]:
    """Give a hash of every array of the data, by its name."""
    found, _ = jax.tree_util.tree_flatten_with_path(data)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): _hash(np.asarray(leaf)) for path, leaf in found}


def _hash(array: np.ndarray) -> str:
    return hashlib.sha256(f"{array.dtype}{array.shape}".encode() + array.tobytes()).hexdigest()[:16]


def hash_function(function: Callable, dim: int, data: Tree) -> str:
    """Give a hash of what a function computes: its operations, and the constants among them.

    Parameters
    ----------
    function
        Function of a position ``(dim,)`` and of data.
    dim
        Length of a position.
    data
        A tree of arrays.
    """
    position = jax.ShapeDtypeStruct((dim,), number_dtype())
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), data)
    traced = jax.make_jaxpr(function)(position, shapes)
    digest = hashlib.sha256(_ADDRESS.sub("", str(traced)).encode())
    for part in (traced, *inner_jaxprs(traced.jaxpr)):
        for const in part.consts:
            if jnp.issubdtype(const.dtype, jax.dtypes.prng_key):
                const = jax.random.key_data(const)
            digest.update(_hash(np.asarray(const)).encode())
    return digest.hexdigest()[:16]


def require_same_data(data: Tree, former: Mapping[str, str], what: str) -> None:
    """Raise ModelError if data are not those of an earlier run.

    Parameters
    ----------
    data
        The present data.
    former
        The hashes of then.
    what
        What the data must fit, for the message.
    """
    present = hash_data(data)
    if present == dict(former):
        return
    changed = sorted(name for name in {*present, *former} if present.get(name) != former.get(name))
    named = ", ".join(repr(name.partition("/")[2]) for name in changed)
    raise ModelError(f"the data are not those of {what}; what differs: {named}. Bring back the data of then")


def require_same_density(program: ChainProgram, chains: Sequence[ChainState], data: Tree, what: str) -> None:
    """Raise ModelError if the log-density or its gradient at the chains' positions is not what it was.

    Parameters
    ----------
    program
        The compiled chain of the present model.
    chains
        Where an earlier run left its chains.
    data
        The present data.
    what
        What the model must fit, for the message.
    """
    reached = [chain for chain in chains if not np.isnan(chain.state.log_density)]
    if len(reached) < len(chains):
        return  # not even evaluated then
    anew = [program.start(chain.key, chain.state.position, 0, 0.5) for chain in chains]
    anew = program.evaluate(anew, data)
    tolerance = 1e-3 if program.dtype == np.float32 else 1e-6
    for i, (then, now) in enumerate(zip(chains, anew, strict=True)):
        pairs = [(then.state.log_density, now.state.log_density), (then.state.gradient, now.state.gradient)]
        if not all(np.allclose(b, a, rtol=tolerance, atol=tolerance * _scale(a)) for a, b in pairs):
            raise ModelError(
                f"the model is not that of {what}: at the position of chain {i} its log-density was "
                f"{float(then.state.log_density):.8g} and is now {float(now.state.log_density):.8g}"
                + ("" if not np.isclose(*pairs[0]) else ", with another gradient")
                + ". Bring back the model of then"
            )


def _scale(x: Any) -> float:
    return 1.0 + float(np.max(np.abs(x), initial=0.0))
