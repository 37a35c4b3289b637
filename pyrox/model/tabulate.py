"""Tabulate the terms of a program for sums over its discrete variables."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from pyrox.dist.transforms import IdentityTransform
from pyrox.errors import ModelError
from pyrox.model.messenger import Message, transform_of
from pyrox.model.sites import Density, Sites, chain_of, masked
from pyrox.typing import Array, Tree

JACOBIAN = " (Jacobian)"


class Tabulate(Density):
    """Keep the terms of chosen sites element by element, with discrete variables at given values.

    Parameters
    ----------
    sites, position, data
        As of a density.
    values
        Values of the discrete variables.
    chosen
        Tells whether the term of a site is kept by elements; the others are summed.
    chains
        Names of the Markov chains, of which the parameters are kept.
    """

    def __init__(
        self, sites: Sites, position: Array, data: Tree, values: Mapping[str, Array],
        chosen: Callable[[str], bool], chains: Sequence[str],
    ) -> None:  # fmt: skip
        Density.__init__(self, sites, position, data)
        self.discrete, self._chosen, self._chains = values, chosen, chains
        self.tables: dict[str, Array] = {}
        self.chains: dict[str, tuple[Array, Array]] = {}
        self.weights: list[Any] = []
        self.weight_of: dict[str, int | None] = {}

    def enumerate(self, msg: Message) -> Array:
        """Give the value of a discrete variable, and keep its log-probability."""
        name, value = msg["name"], self.discrete[msg["name"]]
        if name not in self._chains:
            self._keep(msg, msg["fn"].log_prob(value))
            low, high = self.sites.discrete[name].limits
            return value if low is None else jnp.clip(value, low, high)
        if msg["mask"] is not None:
            raise ModelError(f"a mask hides a part of the Markov chain {name!r}, which cannot be summed out then")
        chain, batch = chain_of(msg["fn"]), tuple(msg["fn"].batch_shape)
        start, moves = chain.log_start, chain.log_moves
        self.chains[name] = (
            jnp.broadcast_to(start, (*batch, start.shape[-1])),
            jnp.broadcast_to(moves, (*batch, *moves.shape[-2 - chain.time_varying :])),
        )
        self._weigh(msg, name)
        return value

    def _keep(self, msg: Message, term: Array, name: str | None = None) -> None:
        name = msg["name"] if name is None else name
        self.tables[name] = term if name.endswith(JACOBIAN) else masked(msg, jnp.asarray(term))
        if name.endswith(JACOBIAN):
            self.weight_of[name] = None
        else:
            self._weigh(msg, name)

    def _weigh(self, msg: Message, name: str) -> None:
        scale = msg["scale"]
        if scale is None:
            self.weight_of[name] = None
            return
        same = [i for i, w in enumerate(self.weights) if w is scale or _are_equal_numbers(w, scale)]
        if not same:
            self.weights.append(scale)
        self.weight_of[name] = same[0] if same else len(self.weights) - 1

    def constrain(self, msg: Message) -> Array:
        name = msg["name"]
        if not (self._chosen(name) or self._chosen(name + JACOBIAN)):
            return Density.constrain(self, msg)
        transform = transform_of(msg)
        value, log_det = transform.forward_and_log_det(self.slice(name))
        self._keep(msg, msg["fn"].log_prob_inside(value))
        if not isinstance(transform, IdentityTransform):
            self._keep(msg, log_det, name + JACOBIAN)
        return value

    def observe(self, msg: Message, value: Array) -> Array:
        if not self._chosen(msg["name"]):
            return Density.observe(self, msg, value)
        value = jnp.asarray(value)
        self._keep(msg, msg["fn"].log_prob(value))
        return value

    def add_factor(self, msg: Message) -> None:
        if self._chosen(msg["name"]):
            self._keep(msg, msg["value"])
        else:
            Density.add_factor(self, msg)


def _are_equal_numbers(a: Any, b: Any) -> bool:
    return isinstance(a, int | float) and isinstance(b, int | float) and a == b
