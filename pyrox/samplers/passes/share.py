"""Compute once what a gradient needs at several places.

A native kernel is a row of loops. Where several of them need the exponentials of the same numbers, XLA puts that
function into each of them. For plain arithmetic this is right, since numbers from memory are no faster; exponentials
take twenty times as long, so they get a loop of their own. Divisions take as long as ten products: several by the same
numbers, or by numbers that never change, become products with a reciprocal. The parts of long vectors that are put
together, or padded, are computed where they belong: within a loop over all of it each number would ask which part it is
in.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from pyrox.samplers.passes.jaxprs import bind, dependent, read, run_all, variables
from pyrox.samplers.passes.rewrite import ELEMENTWISE, rewrite
from pyrox.samplers.passes.rules import LONG
from pyrox.samplers.vectors import apart
from pyrox.typing import Array

# Fewer numbers cost less to compute again than a loop of their own.
_MANY = 128
_FUNCTIONS = """
    acos acosh asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt cos cosh digamma div erf erf_inv erfc exp exp2
    expm1 igamma igamma_grad_a igammac lgamma log log1p logistic polygamma pow regularized_incomplete_beta rsqrt sin
    sinh sqrt tan tanh
"""
_REARRANGING = """
    broadcast_in_dim concatenate dynamic_slice expand_dims gather pad reshape rev slice split squeeze transpose
"""
_COSTLY = frozenset(_FUNCTIONS.split())
# What is done again for the parts of joined vectors, and the most equations of it.
_PLAIN = frozenset({
    "abs", "add", "add_any", "broadcast_in_dim", "convert_element_type", "copy", "expand_dims", "integer_pow", "max",
    "min", "mul", "neg", "reshape", "select_n", "slice", "square", "squeeze", "sub",
})  # fmt: skip
_MOST_AGAIN = 16
# What XLA computes within the loops that need it.
_FUSED = frozenset(f"{ELEMENTWISE} {_REARRANGING}".split())


def share(closed: core.ClosedJaxpr) -> core.ClosedJaxpr:
    """Give a traced gradient that computes costly functions once.

    Parameters
    ----------
    closed
        A function of which the first argument varies; the others are data.
    """
    flat = rewrite(closed, {})
    divisors = _worthwhile_divisors(flat.jaxpr)
    if divisors or _undoes(flat.jaxpr):
        flat = rewrite(_run_anew(_simplify, flat, divisors), {})
    shared = _costly_and_shared(flat.jaxpr)
    joins = _joins(flat.jaxpr, shared)
    return _run_anew(_with_loops, flat, (shared, joins)) if shared or joins else flat


def _run_anew(run: Any, closed: core.ClosedJaxpr, found: Any) -> core.ClosedJaxpr:
    jaxpr = closed.jaxpr

    def function(*args: Array) -> list[Array]:
        env = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*closed.consts, *args), strict=True))
        run(jaxpr.eqns, env, found)
        return [read(v, env) for v in jaxpr.outvars]

    return jax.make_jaxpr(function)(*[jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in jaxpr.invars])


def _worthwhile_divisors(jaxpr: core.Jaxpr) -> set:
    """Give the variables whose reciprocals are worthwhile: numbers, what never changes, what is divided by again."""
    varying, met, worthwhile = dependent(jaxpr.eqns, jaxpr.invars[:1]), set(), set()
    for eqn in jaxpr.eqns:
        v, out = _divisor(eqn), next(iter(eqn.outvars), None)
        if v is None or out not in varying or out.aval.size < LONG:
            continue
        if v not in varying or v.aval.size == 1 or v in met:
            worthwhile.add(v)
        met.add(v)
    return worthwhile


def _divisor(eqn: Any) -> Any:
    """Give the variable that an equation divides by, if it does."""
    inverts = eqn.primitive.name == "integer_pow" and eqn.params["y"] < 0
    if not inverts and eqn.primitive.name != "div":
        return None
    v = eqn.invars[-1]
    # In single precision reciprocals of large numbers are lost too soon.
    if isinstance(v, core.Literal) or v.aval.dtype != jnp.float64:
        return None
    # What is divided by itself is one.
    return v if inverts or eqn.invars[0] is not v else None


def _undoes(jaxpr: core.Jaxpr) -> bool:
    """Tell whether there are logarithms of exponentials."""
    exponentials = {eqn.outvars[0] for eqn in jaxpr.eqns if _is_exponential(eqn)}
    return any(eqn.primitive.name == "log" and not exponentials.isdisjoint(variables(eqn.invars)) for eqn in jaxpr.eqns)


def _is_exponential(eqn: Any) -> bool:
    # Logarithms of complex numbers give an angle of one turn only.
    return eqn.primitive.name == "exp" and jnp.issubdtype(eqn.outvars[0].aval.dtype, jnp.floating)


def _simplify(eqns: Sequence[Any], env: dict, divisors: set) -> None:
    """Run equations with reciprocals of the divisors, and without logarithms of exponentials."""
    exponents: dict[Any, Any] = {}
    for eqn in eqns:
        inputs, divisor = [read(v, env) for v in eqn.invars], _divisor(eqn)
        v = next(iter(variables(eqn.invars)), None)
        if _is_exponential(eqn):
            exponents[eqn.outvars[0]] = inputs[0]
        if eqn.primitive.name == "log" and v in exponents:
            outs = [exponents[v]]
        elif divisor in divisors and eqn.primitive.name == "div":
            outs = [inputs[0] * (1 / jnp.asarray(env[divisor]))]
        elif divisor in divisors:
            outs = [(1 / jnp.asarray(env[divisor])) ** -eqn.params["y"]]
        else:
            outs = bind(eqn, inputs)
        env.update(zip(eqn.outvars, outs, strict=True))


def _costly_and_shared(jaxpr: core.Jaxpr) -> set:
    """Give the results of costly functions that several loops need, seen from the last equation to the first."""
    varying, shared = dependent(jaxpr.eqns, jaxpr.invars[:1]), set()
    loops: dict[Any, set] = {v: {"results"} for v in variables(jaxpr.outvars)}  # those that a variable is needed in
    for eqn in reversed(jaxpr.eqns):
        needed_in = set().union(*(loops.get(v, ()) for v in eqn.outvars))
        out = next(iter(eqn.outvars), None)
        costly = eqn.primitive.name in _COSTLY and out in varying and jnp.issubdtype(out.aval.dtype, jnp.floating)
        if costly and out.aval.size >= _MANY and len(needed_in) > 1:
            shared.add(out)
        if out in shared or eqn.primitive.name not in _FUSED:
            needed_in = {out}
        for v in variables(eqn.invars):
            loops.setdefault(v, set()).update(needed_in)
    return shared


class _Join(NamedTuple):
    """Arithmetic that gives the parts of a long vector, from what lies in memory, and where they belong."""

    eqns: list[Any]
    given: list[Any]  # the variables that the arithmetic starts from
    starts: list[int]  # of the inputs of the join that are parts


def _joins(jaxpr: core.Jaxpr, shared: set) -> dict[Any, _Join]:
    """Give the joins of which the parts can be computed where they belong, by the variable that each gives."""
    numbers = {v: i for i, eqn in enumerate(jaxpr.eqns) for v in eqn.outvars}
    varying, found = dependent(jaxpr.eqns, jaxpr.invars[:1]), {}
    for eqn in jaxpr.eqns:
        if varying.isdisjoint(eqn.outvars):
            continue
        starts, inside, given, waiting = _starts(eqn), set(), {}, variables(eqn.invars)
        while starts and waiting and len(inside) <= _MOST_AGAIN:
            v = waiting.pop()
            i = numbers.get(v)
            if i is not None and v not in shared and _is_plain(jaxpr.eqns[i]):
                waiting += variables(jaxpr.eqns[i].invars) if i not in inside else []
                inside.add(i)
            else:
                given[v] = None
        if 0 < len(inside) <= _MOST_AGAIN:
            found[eqn.outvars[0]] = _Join([jaxpr.eqns[i] for i in sorted(inside)], list(given), starts)
    return found


def _starts(eqn: Any) -> list[int]:
    """Give where the parts of a long vector begin, if an equation joins some."""
    out = next(iter(eqn.outvars), None)
    if out is None or out.aval.ndim != 1 or out.aval.size < _MANY or not jnp.issubdtype(out.aval.dtype, jnp.floating):
        return []
    if eqn.primitive.name == "pad":
        ((low, high, between),) = eqn.params["padding_config"]
        return [] if min(low, high) < 0 or between else [low]
    if eqn.primitive.name == "concatenate" and len(eqn.invars) > 1:
        return np.cumsum([0, *(v.aval.size for v in eqn.invars[:-1])]).tolist()
    return []


def _is_plain(eqn: Any) -> bool:
    """Tell whether an equation costs no more to run again than to read what it gave."""
    return eqn.primitive.name in _PLAIN and not eqn.effects


def _run_join(eqn: Any, join: _Join, *given: Array) -> Array:
    env = dict(zip(join.given, given, strict=True))
    run_all(join.eqns, env)
    aval, parts = eqn.outvars[0].aval, [read(v, env) for v in eqn.invars]
    out = jnp.full(aval.shape, parts.pop() if eqn.primitive.name == "pad" else 0, aval.dtype)
    for part, start in zip(parts, join.starts, strict=True):
        out = lax.dynamic_update_slice(out, part, (np.int32(start),))
    return out


def _with_loops(eqns: Sequence[Any], env: dict, found: tuple[set, dict]) -> None:
    """Run equations, those that give what is shared in loops of their own, and joins part by part."""
    shared, joins = found
    for eqn in eqns:
        join = joins.get(next(iter(eqn.outvars), None))
        if join is not None:
            outs = [apart(lambda *x, eqn=eqn, join=join: _run_join(eqn, join, *x), *(env[v] for v in join.given))]
        elif shared.isdisjoint(eqn.outvars):
            outs = bind(eqn, [read(v, env) for v in eqn.invars])
        else:
            outs = [apart(lambda *x, eqn=eqn: bind(eqn, list(x))[0], *(read(v, env) for v in eqn.invars))]
        env.update(zip(eqn.outvars, outs, strict=True))
