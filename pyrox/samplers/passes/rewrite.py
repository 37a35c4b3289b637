"""Rewrite a traced function so that the CPU backend can emit it as one native kernel.

The emitter of native kernels knows no scatter (the gradient of indexing) and no library matrix product.
An interpreter over the jaxpr replaces those for which a plain loop is as good or better, and leaves every other
primitive as it is. A rule returns None for a pattern it does not cover: ``unsupported`` names what remains.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from pyrox.samplers.passes.jaxprs import bind, equations, needed, read, variables
from pyrox.samplers.passes.rules import RULES, loop_scatters
from pyrox.samplers.passes.schedule import schedule

ELEMENTWISE = """
    abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e bitcast_convert_type cbrt
    ceil clamp clz convert_element_type copy cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt igamma
    igamma_grad_a igammac imag integer_pow is_finite le le_to lgamma log log1p logistic lt lt_to max min mul ne neg
    nextafter not or polygamma population_count pow real reduce_precision regularized_incomplete_beta rem round
    rsqrt select_n shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square stop_gradient sub
    tan tanh xor
"""
_STRUCTURAL = """
    argmax argmin broadcast broadcast_in_dim concatenate conv_general_dilated cummax cummin cumprod cumsum
    dynamic_slice dynamic_update_slice empty empty2 expand_dims gather iota pad reduce_and reduce_max reduce_min
    reduce_or reduce_prod reduce_sum reduce_window_sum reshape rev slice split squeeze stack tile transpose unstack
"""
_RANDOM = "random_bits random_fold_in random_seed random_split random_unwrap random_wrap threefry2x32"
_CONTROL = "cond custom_jvp_call custom_vjp_call jit pjit scan while closed_call"
NATIVE = frozenset(f"{ELEMENTWISE} {_STRUCTURAL} {_RANDOM} {_CONTROL}".split())
INLINED = frozenset({"jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call"})


def rewrite(closed: core.ClosedJaxpr, rules: Mapping[str, Callable] = RULES) -> core.ClosedJaxpr:
    """Inline calls, compute equal things once, and apply the rules throughout, in the bodies of loops and branches too.

    Without rules the primitives stay as they are, and equal computations get equal equations.
    """
    flat = _retrace(closed, MappingProxyType({}))
    return _retrace(flat, rules) if rules else flat


def _retrace(closed: core.ClosedJaxpr, rules: Mapping[str, Callable]) -> core.ClosedJaxpr:
    rewritten = jax.make_jaxpr(lambda *args: evaluate(closed.jaxpr, closed.consts, args, rules))
    return prune(rewritten(*[jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in closed.jaxpr.invars]))


def prune(closed: core.ClosedJaxpr) -> core.ClosedJaxpr:
    """Leave out the equations on which no result depends."""
    jaxpr = closed.jaxpr
    return closed.replace(jaxpr=jaxpr.replace(eqns=needed(jaxpr.eqns, variables(jaxpr.outvars))))


def evaluate(
    jaxpr: core.Jaxpr, consts: Any, args: Any, rules: Mapping[str, Callable] = MappingProxyType({})
) -> list:
    """Run a jaxpr, with rules in place of the primitives that have one; calls are inlined."""
    env = dict(zip(jaxpr.constvars, _shared(consts), strict=True)) | dict(zip(jaxpr.invars, args, strict=True))
    known: dict[tuple, tuple] = {}
    for eqns in schedule(jaxpr.eqns) if rules else [[eqn] for eqn in jaxpr.eqns]:
        inputs = [[read(v, env) for v in eqn.invars] for eqn in eqns]
        together = loop_scatters(*_by_role(inputs), **eqns[0].params) if len(eqns) > 1 else None
        for i, eqn in enumerate(eqns):
            outs = [together[i]] if together else _run_once(eqn, inputs[i], known, rules)
            env.update(zip(eqn.outvars, outs, strict=True))
    return [read(v, env) for v in jaxpr.outvars]


def _shared(consts: Any) -> list:
    """Give equal arrays among the constants as one, so that what is computed from them is computed once."""
    first: dict[tuple, Any] = {}

    def share(x: Any) -> Any:
        if isinstance(x, jax.core.Tracer) or not isinstance(x, np.ndarray | jax.Array):
            return x
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return x
        return first.setdefault((x.shape, str(x.dtype), np.asarray(x).tobytes()), x)

    return [share(x) for x in consts]


def _by_role(inputs: list[list]) -> tuple[list, Any, list]:
    operands, indices, updates = zip(*inputs, strict=True)
    return list(operands), indices[0], list(updates)


def _run_once(eqn: Any, inputs: list, known: dict[tuple, tuple], *how: Any) -> list:
    """Run an equation, or find what an equal one has given."""
    operands = tuple(repr(v.val) + str(v.aval) if isinstance(v, core.Literal) else id(x)
                     for v, x in zip(eqn.invars, inputs, strict=True))  # fmt: skip
    key = eqn.primitive, operands, tuple(sorted(eqn.params.items()))
    try:
        found = known.get(key)
    except TypeError:  # parameters that cannot be compared
        return _run(eqn, inputs, *how)
    if found is None or eqn.effects:
        # The inputs are kept as well: an identity counts as long as its object lives.
        found = known[key] = _run(eqn, inputs, *how), inputs
    return found[0]


def _run(eqn: Any, inputs: list, rules: Mapping[str, Callable]) -> list:
    name = eqn.primitive.name
    if name in INLINED:
        inner = eqn.params.get("jaxpr") or eqn.params["call_jaxpr"]
        return evaluate(inner.jaxpr, inner.consts, inputs, rules)
    if name == "cond" and not isinstance(inputs[0], jax.core.Tracer):
        inner = eqn.params["branches"][int(np.clip(inputs[0], 0, len(eqn.params["branches"]) - 1))]
        return evaluate(inner.jaxpr, inner.consts, inputs[1:], rules)
    out = rules[name](*inputs, **eqn.params) if name in rules else None
    if out is None:
        return bind(eqn, inputs, **_rewrite_inside(eqn, rules))
    return out if eqn.primitive.multiple_results else [out]


def _rewrite_inside(eqn: Any, rules: Mapping[str, Callable]) -> dict:
    """Give the parameters of an equation that hold loops and branches, rewritten."""
    if not rules or eqn.primitive.name not in ("scan", "while", "cond"):
        return {}
    return {k: _rewrite_param(v, rules) for k, v in eqn.params.items()}


def _rewrite_param(value: Any, rules: Mapping[str, Callable]) -> Any:
    if isinstance(value, core.ClosedJaxpr):
        return _retrace(value, rules)
    if isinstance(value, tuple) and value and all(isinstance(v, core.ClosedJaxpr) for v in value):
        return tuple(_retrace(v, rules) for v in value)
    return value


def unsupported(closed: core.ClosedJaxpr) -> list[str]:
    """Name the primitives of a rewritten function that keep it off the native path; empty if none does."""
    return sorted({e.primitive.name for e in equations(closed.jaxpr) if not _is_native(e)})


def _is_native(eqn: Any) -> bool:
    if eqn.primitive.name != "dot_general":
        return eqn.primitive.name in NATIVE
    # Products with a vector are loops of the emitter's own; others are library calls.
    (ca, cb), (ba, _) = eqn.params["dimension_numbers"]
    a, b = (v.aval for v in eqn.invars)
    return not ba and (a.ndim <= len(ca) or b.ndim <= len(cb))
