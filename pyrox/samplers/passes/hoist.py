"""Take what does not depend on the position out of a traced log-density, so that it is computed once a call.

Logarithms of known scales, log-factorials of counts, factors of known covariance matrices: a chain evaluates its
gradient thousands of times a call, these stay the same. XLA moves some of them out of nested loops, not all.
"""

from jax.extend import core

from pyrox.samplers.passes.jaxprs import count_bytes, dependent, needed, read, run_all, variables
from pyrox.typing import Array

# What only rearranges numbers costs less to do again than to read from memory.
_REARRANGING = frozenset({
    "broadcast", "broadcast_in_dim", "convert_element_type", "copy", "expand_dims", "iota", "reshape", "rev", "slice",
    "squeeze", "transpose",
})  # fmt: skip
# What these read lies in memory in any case, so that it had better be put in order once.
_READERS = frozenset({"cond", "dot_general", "scan", "while"})
_COPIED = frozenset({"convert_element_type", "slice", "transpose"})
# What takes so much longer than the rest that it had better be done once a run.
_LONG = frozenset({"cholesky", "dot_general", "scan", "triangular_solve", "while"})
# Bytes that chains had better share.
_MANY = 2**20


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
        moving = dependent(jaxpr.eqns, jaxpr.invars[:varying])
        rest = [eqn for eqn in jaxpr.eqns if eqn.effects or not moving.isdisjoint(eqn.outvars)]
        fixed = [eqn for eqn in jaxpr.eqns if not eqn.effects and moving.isdisjoint(eqn.outvars)]
        wanted = {v for eqn in rest for v in variables(eqn.invars)} | set(variables(jaxpr.outvars))
        in_memory = {v for eqn in rest if eqn.primitive.name in _READERS for v in variables(eqn.invars)}
        self._kept, again = _choose(fixed, wanted, in_memory)
        self._fixed, self._rest = needed(fixed, self._kept), [*again, *rest]
        self.takes_long = any(eqn.primitive.name in _LONG for eqn in self._fixed) or count_bytes(self._kept) >= _MANY

    def prepare(self, *fixed: Array) -> list[Array]:
        """Compute what does not change, from the fixed arguments."""
        env = self._environment(dict(zip(self._closed.jaxpr.invars[self._varying :], fixed, strict=True)))
        run_all(self._fixed, env)
        return [env[v] for v in self._kept]

    def __call__(self, prepared: list[Array], *args: Array) -> list[Array]:
        """Compute the rest, from all arguments."""
        env = self._environment(dict(zip(self._closed.jaxpr.invars, args, strict=True)))
        env.update(zip(self._kept, prepared, strict=True))
        run_all(self._rest, env)
        return [read(v, env) for v in self._closed.jaxpr.outvars]

    def _environment(self, env: dict) -> dict:
        return env | dict(zip(self._closed.jaxpr.constvars, self._closed.consts, strict=True))


def _choose(fixed: list, wanted: set, in_memory: set) -> tuple[list, list]:
    """Give the results that are worth keeping, and the equations that had better be run again each time."""
    kept, again = [], []
    for eqn in reversed(fixed):
        outs = [v for v in eqn.outvars if v in wanted]
        copied = eqn.primitive.name in _COPIED and not in_memory.isdisjoint(outs)
        if outs and eqn.primitive.name in _REARRANGING and not copied:
            again.append(eqn)
            wanted.update(variables(eqn.invars))
        else:
            kept += outs
    return kept, again[::-1]
