"""Compute once what a gradient needs at several places.

A native kernel is a row of loops. Where several of them need the exponentials of the same numbers, XLA puts that
function into each of them. For plain arithmetic this is right, since numbers from memory are no faster; exponentials
take twenty times as long, so they get a loop of their own. Divisions take as long as ten products: several by the same
numbers, or by numbers that never change, become products with a reciprocal.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from pyrox.samplers.passes.jaxprs import bind, dependent, read, variables
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
    return _run_anew(_with_loops, flat, shared) if shared else flat


def _run_anew(run: Any, closed: core.ClosedJaxpr, found: set) -> core.ClosedJaxpr:
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


def _with_loops(eqns: Sequence[Any], env: dict, shared: set) -> None:
    """Run equations, those that give what is shared in loops of their own."""
    for eqn in eqns:
        inputs = [read(v, env) for v in eqn.invars]
        if shared.isdisjoint(eqn.outvars):
            outs = bind(eqn, inputs)
        else:
            outs = [apart(lambda *x, eqn=eqn: bind(eqn, list(x))[0], *inputs)]
        env.update(zip(eqn.outvars, outs, strict=True))
