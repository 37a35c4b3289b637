"""Draw variables of a model, or distributions, without any posterior."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import Distribution
from pyrox.drawwise import map_draws
from pyrox.errors import ModelError
from pyrox.forecast import seed_of
from pyrox.model.nodes import Node, ancestors, describe
from pyrox.model.program import RandomVariable
from pyrox.settings import require_count
from pyrox.typing import Array, Key, Tree


def draw(vars: Any, draws: int = 1, random_seed: int | Key | None = None) -> Any:
    """Draw variables jointly from their distributions, observed ones too.

    Parameters
    ----------
    vars
        A variable or an expression of a model, or ``px.Normal.dist(...)``; or a list of them.
    draws
        Number of draws.
    random_seed
        A whole number or a JAX key; None draws one.

    Returns
    -------
    An array of shape ``(draws, *shape)``, without the first axis if ``draws`` is 1; a list of arrays for a list.

    Raises
    ------
    ModelError
        If there is something else than variables, expressions and distributions.

    Examples
    --------
    >>> import pyrox as px
    >>> px.draw(px.Normal.dist(0.0, 1.0, shape=3), draws=10, random_seed=1).shape
    (10, 3)
    """
    require_count("draws", draws, 1)
    if isinstance(vars, str):
        raise ModelError(f"px.draw takes variables themselves, model[{vars!r}]; met {vars!r}")
    several = isinstance(vars, Sequence)
    targets = list(vars) if several else [vars]
    for target in targets:
        if not isinstance(target, Node | Distribution):
            raise ModelError(f"px.draw takes variables, expressions or distributions; met {describe(target)}")
    key, _ = seed_of(random_seed)
    order = ancestors([target for target in targets if isinstance(target, Node)])

    def single(number: Array, data: Tree) -> dict[str, Array]:
        own = jax.random.fold_in(data["key"], number)
        values: dict[Any, Any] = {}
        for i, node in enumerate(order):
            values[node] = _draw_node(node, jax.random.fold_in(own, i), values)
        last = jax.random.fold_in(own, len(order))
        drawn = [_as_array(values.get(t, t), jax.random.fold_in(last, i)) for i, t in enumerate(targets)]
        return {str(i): x for i, x in enumerate(drawn)}

    found = map_draws(single, np.arange(draws, dtype=np.uint32), {"key": key})
    arrays = [found[str(i)][0] if draws == 1 else found[str(i)] for i in range(len(targets))]
    return arrays if several else arrays[0]


def _draw_node(node: Node, key: Key, values: dict[Any, Any]) -> Any:
    if isinstance(node, RandomVariable):
        dist = values[node.dist]
        return dist.expand(node.shape[: node.ndim - dist.event_dim]).sample(key)
    return node.draw(lambda: key, values)


def _as_array(value: Any, key: Key) -> Array:
    return value.sample(key) if isinstance(value, Distribution) else jnp.asarray(value)
