"""Take what does not depend on the position out of a traced log-density, so that it is computed once a call.

Logarithms of known scales, log-factorials of counts, factors of known covariance matrices: a chain evaluates its
gradient thousands of times a call, these stay the same. XLA moves some of them out of nested loops, not all.
"""

from collections.abc import Sequence
from typing import Any

from jax.extend import core

from pyrox.samplers.rewrite import bind
from pyrox.typing import Array

# What only rearranges numbers costs less to do again than to read from memory.
_REARRANGING = frozenset({
    "broadcast", "broadcast_in_dim", "convert_element_type", "copy", "expand_dims", "iota", "reshape", "rev", "slice",
    "squeeze", "transpose",
})  # fmt: skip
# What takes so much longer than the rest that it had better be done once a run.
_LONG = frozenset({"cholesky", "dot_general", "scan", "triangular_solve", "while"})


class Hoisted:
    """A traced function in two parts: what follows from its fixed arguments alone, and the rest.

    Parameters
    ----------
    closed
        The function.
    varying
        How many of its arguments, the first ones, change from call to call.

    Attributes
    ----------
    takes_long
        Whether what does not change had better be computed once a run, rather than once a call.
    """

    def __init__(self, closed: core.ClosedJaxpr, varying: int = 1) -> None:
        self._closed, self._varying = closed, varying
        jaxpr = closed.jaxpr
        moving = set(jaxpr.invars[:varying])
        fixed, rest = [], []
        for eqn in jaxpr.eqns:
            if eqn.effects or not moving.isdisjoint(_variables(eqn.invars)):
                moving.update(eqn.outvars)
                rest.append(eqn)
            else:
                fixed.append(eqn)
        needed = {v for eqn in rest for v in _variables(eqn.invars)} | set(_variables(jaxpr.outvars))
        self._kept, again = _choose(fixed, needed)
        self._fixed, self._rest = _needed_for(fixed, self._kept), [*again, *rest]
        self.takes_long = any(eqn.primitive.name in _LONG for eqn in self._fixed)

    def prepare(self, *fixed: Array) -> list[Array]:
        """Compute what does not change, from the fixed arguments."""
        env = self._environment(dict(zip(self._closed.jaxpr.invars[self._varying :], fixed, strict=True)))
        _run_all(self._fixed, env)
        return [env[v] for v in self._kept]

    def __call__(self, prepared: list[Array], *args: Array) -> list[Array]:
        """Compute the rest, from all arguments."""
        env = self._environment(dict(zip(self._closed.jaxpr.invars, args, strict=True)))
        env.update(zip(self._kept, prepared, strict=True))
        _run_all(self._rest, env)
        return [_read(v, env) for v in self._closed.jaxpr.outvars]

    def _environment(self, env: dict) -> dict:
        return env | dict(zip(self._closed.jaxpr.constvars, self._closed.consts, strict=True))


def _choose(fixed: list, needed: set) -> tuple[list, list]:
    """Give the results that are worth keeping, and the equations that had better be run again each time."""
    kept, again = [], []
    for eqn in reversed(fixed):
        wanted = [v for v in eqn.outvars if v in needed]
        if wanted and eqn.primitive.name in _REARRANGING:
            again.append(eqn)
            needed.update(_variables(eqn.invars))
        else:
            kept += wanted
    return kept, again[::-1]


def _needed_for(eqns: list, results: list) -> list:
    live, found = set(results), []
    for eqn in reversed(eqns):
        if not live.isdisjoint(eqn.outvars):
            found.append(eqn)
            live.update(_variables(eqn.invars))
    return found[::-1]


def _variables(atoms: Sequence[Any]) -> list:
    return [v for v in atoms if not isinstance(v, core.Literal)]


def _read(v: Any, env: dict) -> Any:
    return v.val if isinstance(v, core.Literal) else env[v]


def _run_all(eqns: list, env: dict) -> None:
    for eqn in eqns:
        env.update(zip(eqn.outvars, bind(eqn, [_read(v, env) for v in eqn.invars]), strict=True))
