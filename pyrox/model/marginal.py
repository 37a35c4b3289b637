"""The log-density of a program whose discrete variables are summed out, and the way back to them."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.errors import ModelError
from pyrox.model.axes import Along
from pyrox.model.elimination import Elimination, Table
from pyrox.model.enumeration import EnumerationPlan, Run, find_supports, make_plan, tabulate
from pyrox.model.sites import Sites
from pyrox.typing import Array, Key, Tree


class Marginal:
    r"""Sums over the discrete variables of a program.

    .. math:: \log p(\theta, y) = \log \sum_z p(\theta, z, y)

    Parameters
    ----------
    run
        Runs the program with data, under a handler.
    sites
        Its sites; they learn the supports of the discrete ones.
    data
        The data that it is planned with.

    Attributes
    ----------
    plan
        How the sums are done.
    """

    def __init__(self, run: Run, sites: Sites, data: Tree) -> None:
        self._run, self.sites = run, sites
        self._supports = find_supports(run, sites, data)
        for name, support in self._supports.items():
            site = sites.discrete[name]
            limits = (None, None) if support.is_one else (support.low, support.high)
            sites.discrete[name] = site._replace(low=support.first(site.shape), limits=limits)
        self.plan: EnumerationPlan = make_plan(run, sites, data, self._supports)
        self._chosen = {t.name for t in self.plan.tables}
        self._chains = {name for name, s in self.plan.sums.items() if s.is_chain}

    def check(self, data: Tree) -> None:
        """Refuse data with which discrete variables have other values than those that are summed over."""
        if all(support.is_known for support in self._supports.values()):
            return
        for name, support in find_supports(self._run, self.sites, data).items():
            if not support.equals(self._supports[name]):
                raise ModelError(
                    f"the values of the discrete variable {name!r} have changed with the data: make the model anew"
                )

    def _eliminate(self, position: Array, data: Tree, *, floor: bool = False) -> tuple[Elimination, dict[str, Array]]:
        """Evaluate all tables, and sum the discrete variables out of them; also give the terms without any."""
        names, tables = list(self.plan.sums), self.plan.tables
        keys: list = []

        def single(*fills: Array) -> tuple:
            values = {n: (fill, *self._place(n)) for n, fill in zip(names, fills, strict=True)}
            made, rest, weights, run = tabulate(
                self._run, self.sites, position, data, values, self._chosen.__contains__, self._chains
            )
            # Their arrays would outlive the trace that made them.
            keys[:] = [list(run.indices), [replace(t, array=None) for t in made]]
            return [t.array for t in made], list(run.indices.values()), rest, weights

        mapped = single
        for i in reversed(range(len(names))):
            axes = [0 if names[i] in _enumerated(t) else None for t in tables]
            mapped = jax.vmap(mapped, [0 if j == i else None for j in range(len(names))], (axes, None, None, None))
        arrays, indices, rest, weights = mapped(*(jnp.asarray(s.values()) for s in self.plan.sums.values()))
        made = [self._own(t, a) for t, a in zip(keys[1], arrays, strict=True)]
        if floor:
            made = [replace(t, array=_without_zeros(t.array)) for t in made]
        variables = [s.variable for s in self.plan.sums.values()]
        known = dict(zip(keys[0], indices, strict=True))
        return Elimination(variables, self.plan.order, made, known, weights), rest

    def _place(self, name: str) -> tuple:
        """Give the shape of a variable, and what it follows: its own axes, as far as they are summed out one by one."""
        s = self.plan.sums[name]
        return s.site.shape, {name: tuple(Along(a) if a in s.plate else None for a in range(len(s.site.shape)))}

    def _own(self, table: Table, array: Array) -> Table:
        return replace(self.plan.restrict(table), array=array)

    def terms(self, position: Array, data: Tree) -> dict[str, Array]:
        """Give the terms of the log-density: those without discrete variables by site, and one of all others."""
        elimination, rest = self._eliminate(position, data)
        return {**rest, self.name: elimination.log_sum()}

    @property
    def name(self) -> str:
        """Name of the term in which discrete variables are summed out."""
        return f"sum over {', '.join(self.plan.sums)}"

    def draw(self, position: Array, data: Tree, key: Key) -> dict[str, Array]:
        """Draw the discrete variables given the others."""
        elimination, _ = self._eliminate(position, data)
        drawn = elimination.draw(key)
        return {name: s.pick(drawn[name]) for name, s in self.plan.sums.items()}

    def pointwise(self, position: Array, data: Tree) -> dict[str, Array]:
        """Give the log-probability of each observation of the sites that depend on discrete variables.

        It is that given all other observations; where each has discrete variables of its own, these say nothing.
        """
        elimination, _ = self._eliminate(position, data, floor=True)
        seen = [t for t in elimination.tables if t.name in self.sites.observed]
        found = {t.name: elimination.pointwise(t) for t in seen}
        return {name: jnp.where(x > 0.5 * _floor(x.dtype), x, -jnp.inf) for name, x in found.items()}

    def log_probabilities(self, position: Array, data: Tree) -> dict[str, Array]:
        """Give the log-probabilities of the values of every discrete variable, along a last axis."""
        elimination, _ = self._eliminate(position, data)
        posteriors = elimination.posteriors()
        out = {}
        for name, s in self.plan.sums.items():
            plain = tuple(Along(b) for b in range(len(s.plate)))
            each = elimination.marginal(posteriors[name], (name,), plain, s.variable.plate)
            out[name] = s.split(each)
        return out


def _enumerated(table: Table) -> tuple[str, ...]:
    """Give the variables that a table has axes for as it is evaluated."""
    return table.scope[1:] if table.chain else table.scope


def _floor(dtype: Any) -> float:
    return -1e6 if jnp.finfo(dtype).bits == 64 else -1e4


def _without_zeros(array: Array) -> Array:
    """Let impossible values be next to impossible: what else speaks for them is not forgotten then."""
    return jnp.where(jnp.isneginf(array), _floor(array.dtype), array)


def position_key(position: Array) -> Key:
    """Make a key of the bits of a position: the same draw always gets the same random numbers, whoever asks."""
    bits = jax.lax.bitcast_convert_type(position, jnp.uint32).ravel()
    count = jnp.arange(1, bits.size + 1, dtype=jnp.uint32)
    words = []
    for odd in (np.uint32(0x9E3779B1), np.uint32(0x85EBCA77)):
        factors = count * odd
        factors = (factors ^ (factors >> 15)) * np.uint32(0x2C1B3C6D)
        factors = (factors ^ (factors >> 13)) | np.uint32(1)
        mixed = (bits ^ (bits >> 16)) * factors
        words.append(jnp.sum(mixed ^ (mixed >> 15), dtype=jnp.uint32))
    return jax.random.wrap_key_data(jnp.stack(words))
