"""Rewrite a traced function so that the CPU backend can emit it as one native kernel.

The emitter of native kernels knows no scatter (the gradient of indexing) and no library matrix product.
An interpreter over the jaxpr replaces those for which a plain loop is as good or better, and leaves every other
primitive as it is. A rule returns None for a pattern it does not cover: ``unsupported`` names what remains.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from pyrox.typing import Array

# Rows in a row often belong to one group: their load-add-store chain is broken by dealing them to this many
# accumulators (measured: four halve the gradient of a hierarchical model, eight gain nothing more).
LANES = 4
# Above this many multiplications a matrix product is the library's business.
SMALL_MATMUL = 4096

_ELEMENTWISE = """
    abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil clamp clz
    convert_element_type copy cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt igamma
    igamma_grad_a igammac imag integer_pow is_finite le le_to lgamma log log1p logistic lt lt_to max min mul ne neg
    nextafter not or polygamma population_count pow real reduce_precision regularized_incomplete_beta rem round
    rsqrt select_n shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square stop_gradient sub
    tan tanh xor
"""
_STRUCTURAL = """
    argmax argmin broadcast broadcast_in_dim concatenate conv_general_dilated cummax cummin cumprod cumsum
    dynamic_slice dynamic_update_slice empty empty2 expand_dims gather iota pad reduce_and reduce_max reduce_min
    reduce_or reduce_prod reduce_sum reshape rev slice split squeeze stack tile transpose unstack
"""
_RANDOM = "random_bits random_fold_in random_seed random_split random_unwrap random_wrap threefry2x32"
_CONTROL = "cond custom_jvp_call custom_vjp_call jit pjit scan while closed_call"
NATIVE = frozenset(f"{_ELEMENTWISE} {_STRUCTURAL} {_RANDOM} {_CONTROL}".split())
INLINED = frozenset({"jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call"})


def loop_scatter(
    operand: Array, indices: Array, updates: Array, *, dimension_numbers: Any, mode: Any, add: bool, **_: Any
) -> Array | None:
    """Add or write rows one after another; sums are dealt to a few accumulators."""
    d = dimension_numbers
    axes = d.scatter_dims_to_operand_dims
    if d.inserted_window_dims != axes or axes != tuple(sorted(axes)) or d.operand_batching_dims or not axes:
        return None
    rest = tuple(i for i in range(operand.ndim) if i not in axes)
    sizes, row = tuple(operand.shape[i] for i in axes), tuple(operand.shape[i] for i in rest)
    if tuple(updates.shape[i] for i in d.update_window_dims) != row:
        return None
    # Bring everything into the form rows[index] += update, with one number as index.
    table = jnp.transpose(operand, axes + rest).reshape((-1, *row))
    updates = jnp.moveaxis(updates, d.update_window_dims, range(updates.ndim - len(row), updates.ndim))
    updates, indices = updates.reshape((-1, *row)), indices.reshape(-1, len(axes))
    if mode == lax.GatherScatterMode.CLIP:
        indices = jnp.clip(indices, 0, jnp.array(sizes, indices.dtype) - 1)
    inside = jnp.all((indices >= 0) & (indices < jnp.array(sizes, indices.dtype)), axis=1)
    strides = [int(np.prod(sizes[i + 1 :], dtype=int)) for i in range(len(sizes))]
    flat = sum(indices[:, i] * stride for i, stride in enumerate(strides))
    out = _scatter_rows(table, jnp.where(inside, flat, 0), inside, updates, add=add)
    return jnp.transpose(out.reshape(sizes + row), np.argsort(axes + rest))


def _scatter_rows(table: Array, index: Array, inside: Array, updates: Array, *, add: bool) -> Array:
    n, zeros = updates.shape[0], (jnp.zeros((), index.dtype),) * (table.ndim - 1)

    def put_row(k: Array, out: Array) -> Array:
        at = (lax.dynamic_index_in_dim(index, k, keepdims=False), *zeros)
        old = lax.dynamic_slice(out, at, (1, *table.shape[1:]))
        new = lax.dynamic_slice_in_dim(updates, k, 1)
        # Out of bounds means dropped, as in the primitive.
        counts = lax.dynamic_index_in_dim(inside, k, keepdims=False)
        return lax.dynamic_update_slice(out, jnp.where(counts, old + new if add else new, old), at)

    lanes = LANES if add and n >= 4 * LANES and n >= 2 * table.shape[0] else 1

    def put_rows(k: Array, outs: tuple) -> tuple:
        return tuple(put_row(lanes * k + lane, out) for lane, out in enumerate(outs))

    outs = lax.fori_loop(0, n // lanes, put_rows, (table, *[jnp.zeros_like(table)] * (lanes - 1)))
    first = lax.fori_loop(n // lanes * lanes, n, put_row, outs[0]) if n % lanes else outs[0]
    return sum(outs[1:], start=first)


def loop_cumsum(x: Array, *, axis: int, reverse: bool) -> Array | None:
    """Add up one element after another."""
    if x.ndim != 1:
        return None
    n = x.shape[0]

    def body(k: Array, carry: tuple) -> tuple:
        out, total = carry
        j = n - 1 - k if reverse else k
        total = total + lax.dynamic_index_in_dim(x, j, keepdims=False)
        return lax.dynamic_update_index_in_dim(out, total, j, 0), total

    return lax.fori_loop(0, n, body, (jnp.zeros_like(x), jnp.zeros((), x.dtype)))[0]


def reduce_matmul(a: Array, b: Array, *, dimension_numbers: Any, **_: Any) -> Array | None:
    """Multiply small matrices, or batches of vectors, as a broadcast product and a sum."""
    (ca, cb), (ba, bb) = dimension_numbers
    free_a = tuple(i for i in range(a.ndim) if i not in ca + ba)
    free_b = tuple(i for i in range(b.ndim) if i not in cb + bb)
    contracted = int(np.prod([a.shape[i] for i in ca], dtype=int))
    if (ca and not ba and not (free_a and free_b)) or a.size * b.size // max(contracted, 1) > SMALL_MATMUL:
        return None
    a, b = jnp.transpose(a, ba + free_a + ca), jnp.transpose(b, bb + free_b + cb)
    batch, inner = a.shape[: len(ba)], a.shape[a.ndim - len(ca) :]
    a = a.reshape(batch + a.shape[len(ba) : a.ndim - len(ca)] + (1,) * len(free_b) + inner)
    b = b.reshape(batch + (1,) * len(free_a) + b.shape[len(bb) : b.ndim - len(cb)] + inner)
    product = a * b
    return jnp.sum(product, axis=tuple(range(product.ndim - len(ca), product.ndim)))


RULES: dict[str, Callable] = {
    "scatter-add": partial(loop_scatter, add=True),
    "scatter_add": partial(loop_scatter, add=True),
    "scatter": partial(loop_scatter, add=False),
    "cumsum": loop_cumsum,
    "dot_general": reduce_matmul,
}


def rewrite(closed: core.ClosedJaxpr, rules: Mapping[str, Callable] = RULES) -> core.ClosedJaxpr:
    """Inline calls and apply the rules throughout, in the bodies of loops and branches too.

    Without rules the primitives stay as they are, and equal computations get equal equations.
    """
    rewritten = jax.make_jaxpr(lambda *args: evaluate(closed.jaxpr, closed.consts, args, rules))
    return rewritten(*[jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in closed.jaxpr.invars])


def evaluate(jaxpr: core.Jaxpr, consts: Any, args: Any, rules: Mapping[str, Callable] = MappingProxyType({})) -> list:
    """Run a jaxpr, with rules in place of the primitives that have one."""
    env = dict(zip(jaxpr.constvars, consts, strict=True)) | dict(zip(jaxpr.invars, args, strict=True))

    def read(v: Any) -> Any:
        return v.val if isinstance(v, core.Literal) else env[v]

    for eqn in jaxpr.eqns:
        outs = _run(eqn, [read(v) for v in eqn.invars], rules)
        env.update(zip(eqn.outvars, outs, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _run(eqn: Any, inputs: list, rules: Mapping[str, Callable]) -> list:
    name = eqn.primitive.name
    if name in INLINED:
        inner = eqn.params.get("jaxpr") or eqn.params["call_jaxpr"]
        return evaluate(inner.jaxpr, inner.consts, inputs, rules)
    out = rules[name](*inputs, **eqn.params) if name in rules else None
    if out is None:
        params = eqn.params
        if name in ("scan", "while", "cond"):
            params = {k: _rewrite_param(v, rules) for k, v in params.items()}
        out = eqn.primitive.bind(*inputs, **eqn.primitive.get_bind_params(params))
    return out if eqn.primitive.multiple_results else [out]


def _rewrite_param(value: Any, rules: Mapping[str, Callable]) -> Any:
    if isinstance(value, core.ClosedJaxpr):
        return rewrite(value, rules)
    if isinstance(value, tuple) and value and all(isinstance(v, core.ClosedJaxpr) for v in value):
        return tuple(rewrite(v, rules) for v in value)
    return value


def inner_jaxprs(jaxpr: core.Jaxpr) -> Iterator[core.ClosedJaxpr]:
    """Iterate over the closed jaxprs in the parameters of equations, at every depth."""
    for eqn in equations(jaxpr):
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if isinstance(inner, core.ClosedJaxpr):
                    yield inner


def equations(jaxpr: core.Jaxpr) -> Iterator[Any]:
    """Iterate over the equations of a jaxpr and of all those inside it."""
    for eqn in jaxpr.eqns:
        yield eqn
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if isinstance(inner, core.ClosedJaxpr):
                    yield from equations(inner.jaxpr)
                elif isinstance(inner, core.Jaxpr):
                    yield from equations(inner)


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
