"""Where a sampler's log-density comes from: a program of primitives, or a potential energy of any tree of arrays."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from pyrox.errors import ModelError
from pyrox.model import LogDensity, handlers, init_to_uniform
from pyrox.samplers.positions import PositionMap
from pyrox.typing import Array, Key, Tree


class ModelSource:
    """The log-density of a program.

    Parameters
    ----------
    model
        A Model or a function of primitives.
    args, kwargs
        Its arguments.
    init_strategy
        Function of a message that gives the start of a site.
    init_params
        Unconstrained starts by site name, with a leading chain axis for several chains; None draws them.
    """

    def __init__(
        self, model: Callable, args: tuple, kwargs: Mapping[str, Any], init_strategy: Callable, init_params: Any
    ) -> None:
        self.density = LogDensity.build(model, args, kwargs)
        self.data = jax.tree.map(jnp.asarray, self.density.current_data())
        self.dim, self.log_density = self.density.dim, self.density
        self._run, self._strategy, self._init_params = (model, args, kwargs), init_strategy, init_params

    def start(self, chain: int, key: Key, num_chains: int) -> Array:
        """Give a starting position of a chain."""
        if self._init_params is not None:
            given = _of_chain(self._init_params, chain, num_chains)
            if not isinstance(given, Mapping):
                raise ModelError(f"init_params is a dict of unconstrained values by variable; met {given!r}")
            missing = [name for name in self.density.free if name not in given]
            if missing:
                raise ModelError(f"init_params lack {missing[0]!r}; they need {', '.join(self.density.free)}")
            return jnp.concatenate([jnp.ravel(jnp.asarray(given[name], float)) for name in self.density.free])
        model, args, kwargs = self._run
        with handlers.block():
            program = handlers.substitute(handlers.seed(model, key), substitute_fn=self._strategy)
            record = handlers.trace(program).get_trace(*args, **kwargs)
        return self.density.unconstrain({name: record[name]["value"] for name in self.density.free}, self.data)

    def unravel(self, position: Array) -> dict[str, Array]:
        """Give the unconstrained values by site name."""
        return {
            name: position[..., site.start : site.stop].reshape(*position.shape[:-1], *site.unconstrained_shape)
            for name, site in self.density.free.items()
        }

    def ravel(self, z: Mapping[str, Array]) -> Array:
        """Give the position of unconstrained values."""
        return jnp.concatenate([jnp.ravel(z[name]) for name in self.density.free])

    def values(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """Give constrained and deterministic values of positions ``(chain, draw, dim)``."""
        return PositionMap(self.density.constrain, self.dim, self.data)(positions, self.data)


class PotentialSource:
    """The log-density of a potential energy.

    Parameters
    ----------
    potential_fn
        Function of a tree of arrays: minus the log-density, up to a constant.
    init_params
        A tree of starts, with a leading chain axis for several chains.
    num_chains
        Number of chains.
    """

    def __init__(self, potential_fn: Callable, init_params: Tree, num_chains: int) -> None:
        if init_params is None:
            raise ModelError("a sampler of potential_fn needs init_params: a tree of starting values")
        self._init_params, self.data = init_params, ()
        first, self.unravel_one = ravel_pytree(jax.tree.map(_as_float, _of_chain(init_params, 0, num_chains)))
        self.dim = first.shape[0]
        self.log_density = lambda position, data: -potential_fn(self.unravel_one(position))

    def start(self, chain: int, key: Key, num_chains: int) -> Array:
        """Give the starting position of a chain."""
        return self.ravel(_of_chain(self._init_params, chain, num_chains))

    def unravel(self, position: Array) -> Tree:
        """Give the tree at a position, or at positions with leading axes."""
        lead = position.shape[:-1]
        many = jax.vmap(self.unravel_one)(jnp.reshape(position, (-1, self.dim)))
        return jax.tree.map(lambda x: x.reshape(lead + x.shape[1:]), many)

    def ravel(self, z: Tree) -> Array:
        """Give the position of a tree."""
        return ravel_pytree(jax.tree.map(_as_float, z))[0]

    def values(self, positions: np.ndarray) -> Tree:
        """Give the trees at positions ``(chain, draw, dim)``."""
        return jax.tree.map(np.asarray, self.unravel(jnp.asarray(positions)))


Source = ModelSource | PotentialSource


def _of_chain(tree: Tree, chain: int, num_chains: int) -> Tree:
    return tree if num_chains == 1 else jax.tree.map(lambda x: jnp.asarray(x)[chain], tree)


def _as_float(x: Any) -> Array:
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(float)


def initialize_model(
    rng_key: Key,
    model: Callable,
    *model_args: Any,
    init_strategy: Callable = init_to_uniform(),  # noqa: B008 - the documented default, which has no state
    **model_kwargs: Any,
) -> tuple[dict[str, Array], Callable, Callable]:
    """Turn a model into what samplers of potentials need.

    Parameters
    ----------
    rng_key
        A JAX key, or an array of keys: starts then have its batch shape.
    model
        A Model or a function of primitives.
    *model_args, **model_kwargs
        Its arguments.
    init_strategy
        Function of a message that gives the start of a site.

    Returns
    -------
    Unconstrained starting values by site name; the potential energy, a function of such values; and the function that
    constrains them.

    Examples
    --------
    >>> import jax
    >>> import pyrox as px
    >>> from pyrox.samplers import initialize_model
    >>> def model():
    ...     px.HalfNormal("scale", 1.0)
    >>> start, potential, constrain = initialize_model(jax.random.key(0), model)
    >>> bool(constrain(start)["scale"] > 0)
    True
    """
    source = ModelSource(model, model_args, model_kwargs, init_strategy, None)

    def one(key: Key) -> dict[str, Array]:
        return source.unravel(source.start(0, key, 1))

    starts = one
    keys = as_typed_key(rng_key)
    for _ in range(keys.ndim):
        starts = jax.vmap(starts)

    def potential_fn(z: Mapping[str, Array]) -> Array:
        return -source.log_density(source.ravel(z), source.data)

    def constrain_fn(z: Mapping[str, Array]) -> dict[str, Array]:
        return source.density.constrain(source.ravel(z), source.data)

    return starts(keys), potential_fn, constrain_fn


def as_typed_key(key: Any) -> Key:
    """Accept keys of both of JAX's kinds."""
    if not isinstance(key, jax.Array | np.ndarray):
        raise ModelError(f"rng_key is a JAX key, jax.random.key(0); met {key!r}")
    key = jnp.asarray(key)
    return key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)
