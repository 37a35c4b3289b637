"""Order the equations of a traced function so that scatters over the same rows come together."""

import heapq
from collections import defaultdict
from typing import Any

from jax.extend import core

_SCATTER_ADD = ("scatter-add", "scatter_add")


def schedule(eqns: list[Any]) -> list[list[Any]]:
    """Put scatters that add arrays of one shape at the same indices side by side, as far as none depends on another.

    Parameters
    ----------
    eqns
        Equations of a jaxpr, in order.

    Returns
    -------
    The equations in an order that respects what depends on what, each in a list with those that go with it.
    """
    units = [[i] for i in range(len(eqns))]
    for group in _groups(eqns):
        units[group[0]] = group
        for i in group[1:]:
            units[i] = []
    order = _sort([unit for unit in units if unit], eqns)
    return [[eqns[i] for i in unit] for unit in order or [[i] for i in range(len(eqns))]]


def _groups(eqns: list[Any]) -> list[list[int]]:
    alike = defaultdict(list)
    for i, eqn in enumerate(eqns):
        if eqn.primitive.name in _SCATTER_ADD:
            operand, indices, updates = eqn.invars
            kind = eqn.params["dimension_numbers"], str(eqn.params["mode"]), str(operand.aval), str(updates.aval)
            alike[(id(indices), *kind)].append(i)
    return [group for group in alike.values() if len(group) > 1]


def _sort(units: list[list[int]], eqns: list[Any]) -> list[list[int]] | None:
    """Sort units by what they need, the earliest first; None where they need one another."""
    makers = {v: u for u, unit in enumerate(units) for i in unit for v in eqns[i].outvars}
    needed = [set() for _ in units]
    users = defaultdict(list)
    for u, unit in enumerate(units):
        inputs = {v for i in unit for v in eqns[i].invars if not isinstance(v, core.Literal)}
        needed[u] = {makers[v] for v in inputs if v in makers}
        for maker in needed[u]:
            users[maker].append(u)
    waiting = [len(makers_) for makers_ in needed]
    ready = [(units[u][0], u) for u in range(len(units)) if not waiting[u]]
    heapq.heapify(ready)
    order = []
    while ready:
        _, u = heapq.heappop(ready)
        order.append(units[u])
        for user in users[u]:
            waiting[user] -= 1
            if not waiting[user]:
                heapq.heappush(ready, (units[user][0], user))
    return order if len(order) == len(units) else None
