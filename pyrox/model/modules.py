"""Neural networks inside programs: their weights are one parameter, a tree of arrays."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from pyrox.errors import ModelError
from pyrox.model.messenger import apply_stack, make_message
from pyrox.typing import Key, Shape, Tree


def module(name: str, nn: Any, input_shape: Shape | None = None) -> Callable:
    """State a neural network: its weights become the ``param`` site ``name + "$params"``.

    Parameters
    ----------
    name
        Name of the network.
    nn
        A pair ``(init_fn, apply_fn)`` as stax makes them, a Flax module (anything with ``init`` and ``apply``),
        or an Equinox module (a callable pytree).
    input_shape
        Shape of the input, from which the first two kinds work out their weights.

    Returns
    -------
    The network with its weights bound: a function of the input.

    Raises
    ------
    ModelError
        If ``nn`` is none of these, or ``input_shape`` is missing.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from jax.example_libraries import stax
    >>> from pyrox.model.handlers import seed
    >>> from pyrox.model.primitives import module
    >>> with seed(rng_seed=0):
    ...     net = module("net", stax.serial(stax.Dense(4), stax.Relu, stax.Dense(1)), input_shape=(3,))
    >>> net(jnp.ones((10, 3))).shape
    (10, 1)
    """
    start, apply = _as_pair(name, nn, input_shape)
    kwargs = {"rng_key": None, "name": name}
    msg = make_message("param", f"{name}$params", _initial_weights, args=(start,), kwargs=kwargs)
    return partial(apply, apply_stack(msg)["value"])


def _initial_weights(start: Any, *, rng_key: Key | None, name: str, **_kwargs: Any) -> Tree:
    if not callable(start):
        return start
    if rng_key is None:
        raise ModelError(
            f"module({name!r}) draws its first weights and needs randomness: run the program under "
            f"handlers.seed(program, rng_seed=0), or give them by substitute as {name + '$params'!r}"
        )
    return start(rng_key)


def _as_pair(name: str, nn: Any, input_shape: Shape | None) -> tuple[Any, Callable]:
    """Give the first weights, or a function of a key that makes them, and a function of weights and input."""
    if isinstance(nn, tuple) and len(nn) == 2 and all(map(callable, nn)):
        return lambda key: nn[0](key, _required(name, input_shape))[1], nn[1]
    if callable(getattr(nn, "init", None)) and callable(getattr(nn, "apply", None)):
        return lambda key: nn.init(key, jnp.ones(_required(name, input_shape))), nn.apply
    leaves, layout = jax.tree.flatten(nn)
    trained = [i for i, leaf in enumerate(leaves) if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, float)]
    if callable(nn) and trained:
        return [leaves[i] for i in trained], partial(_apply_tree, leaves, layout, trained)
    raise ModelError(
        f"module({name!r}) takes a pair (init_fn, apply_fn) of stax, a Flax module or an Equinox module; met {nn!r}"
    )


def _apply_tree(leaves: list, layout: Any, trained: list[int], weights: list, *args: Any, **kwargs: Any) -> Any:
    filled = list(leaves)
    for i, weight in zip(trained, weights, strict=True):
        filled[i] = weight
    return jax.tree.unflatten(layout, filled)(*args, **kwargs)


def _required(name: str, input_shape: Shape | None) -> Shape:
    if input_shape is None:
        raise ModelError(f"module({name!r}) needs input_shape, from which its weights are worked out")
    return tuple(input_shape)
