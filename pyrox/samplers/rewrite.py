"""Rewrite a traced function so that the CPU backend can emit it as one native kernel.

The emitter of native kernels knows no scatter (the gradient of indexing) and no library matrix product.
An interpreter over the jaxpr replaces those for which a plain loop is as good or better, and leaves every other
primitive as it is. A rule returns None for a pattern it does not cover: ``unsupported`` names what remains.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from pyrox.samplers.schedule import schedule
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


class _Rows(NamedTuple):
    """A scatter in the form ``table[index] += updates``, with one number as index."""

    table: Array
    index: Array
    inside: Array | None  # None where every index is promised to be in bounds
    updates: Array
    restore: Callable[[Array], Array]


def loop_scatter(operand: Array, indices: Array, updates: Array, *, add: bool, **params: Any) -> Array | None:
    """Add or write rows one after another; sums are dealt to a few accumulators."""
    rows = _as_rows(operand, indices, updates, **params)
    return None if rows is None else rows.restore(_scatter_rows(*rows[:4], add=add))


def loop_scatters(operands: list[Array], indices: Array, updates: list[Array], **params: Any) -> list[Array] | None:
    """Add to several arrays of one shape at the same indices, side by side in one loop."""
    rows = [_as_rows(o, indices, u, **params) for o, u in zip(operands, updates, strict=True)]
    if any(row is None for row in rows):
        return None
    tables, all_updates = (jnp.stack([getattr(row, part) for row in rows], -1) for part in ("table", "updates"))
    out = _scatter_rows(tables, rows[0].index, rows[0].inside, all_updates, add=True)
    return [row.restore(out[..., i]) for i, row in enumerate(rows)]


def _as_rows(
    operand: Array, indices: Array, updates: Array, *, dimension_numbers: Any, mode: Any, **_: Any
) -> _Rows | None:
    d = dimension_numbers
    axes = d.scatter_dims_to_operand_dims
    if d.inserted_window_dims != axes or axes != tuple(sorted(axes)) or d.operand_batching_dims or not axes:
        return None
    rest = tuple(i for i in range(operand.ndim) if i not in axes)
    sizes, row = tuple(operand.shape[i] for i in axes), tuple(operand.shape[i] for i in rest)
    if tuple(updates.shape[i] for i in d.update_window_dims) != row:
        return None
    table = jnp.transpose(operand, axes + rest).reshape((-1, *row))
    updates = jnp.moveaxis(updates, d.update_window_dims, range(updates.ndim - len(row), updates.ndim))
    updates, indices = updates.reshape((-1, *row)), indices.reshape(-1, len(axes))
    inside = None
    if mode == lax.GatherScatterMode.CLIP:
        indices = jnp.clip(indices, 0, jnp.array(sizes, indices.dtype) - 1)
    elif mode != lax.GatherScatterMode.PROMISE_IN_BOUNDS:
        inside = jnp.all((indices >= 0) & (indices < jnp.array(sizes, indices.dtype)), axis=1)
    strides = [int(np.prod(sizes[i + 1 :], dtype=int)) for i in range(len(sizes))]
    flat = sum(indices[:, i] * stride for i, stride in enumerate(strides))
    back = np.argsort(axes + rest)
    return _Rows(table, flat, inside, updates, lambda out: jnp.transpose(out.reshape(sizes + row), back))


def _scatter_rows(table: Array, index: Array, inside: Array | None, updates: Array, *, add: bool) -> Array:
    n, length = updates.shape[0], table.shape[0]
    if inside is not None:
        # Out of bounds means dropped, as in the primitive: to a row that nobody reads.
        index = jnp.where(inside, index, length)
        table = jnp.concatenate([table, jnp.zeros_like(table, shape=(1, *table.shape[1:]))])
    # Of numbers without a sign JAX need not ask whether they count from the end.
    index, unsigned = index.astype(np.uint32), np.uint32
    zeros, one_row = (unsigned(0),) * (table.ndim - 1), (1, *table.shape[1:])

    def put_row(k: Array, out: Array) -> Array:
        k = k.astype(unsigned)
        at = (lax.dynamic_index_in_dim(index, k, keepdims=False), *zeros)
        new = lax.dynamic_slice(updates, (k, *zeros), one_row)
        return lax.dynamic_update_slice(out, lax.dynamic_slice(out, at, one_row) + new if add else new, at)

    lanes = LANES if add and n >= 4 * LANES and n >= 2 * length else 1

    def put_rows(k: Array, outs: tuple) -> tuple:
        return tuple(put_row(lanes * k + lane, out) for lane, out in enumerate(outs))

    outs = (table, *[jnp.zeros_like(table)] * (lanes - 1))
    outs = lax.fori_loop(0, n // lanes, put_rows, outs)
    first = outs[0]
    if n % lanes:
        first = lax.fori_loop(n // lanes * lanes, n, put_row, first)
    return sum(outs[1:], start=first)[:length]


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
    """Inline calls, compute equal things once, and apply the rules throughout, in the bodies of loops and branches too.

    Without rules the primitives stay as they are, and equal computations get equal equations.
    """
    flat = _retrace(closed, MappingProxyType({}))
    return _retrace(flat, rules) if rules else flat


def _retrace(closed: core.ClosedJaxpr, rules: Mapping[str, Callable]) -> core.ClosedJaxpr:
    rewritten = jax.make_jaxpr(lambda *args: evaluate(closed.jaxpr, closed.consts, args, rules))
    return rewritten(*[jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in closed.jaxpr.invars])


def evaluate(jaxpr: core.Jaxpr, consts: Any, args: Any, rules: Mapping[str, Callable] = MappingProxyType({})) -> list:
    """Run a jaxpr, with rules in place of the primitives that have one."""
    env = dict(zip(jaxpr.constvars, _shared(consts), strict=True)) | dict(zip(jaxpr.invars, args, strict=True))
    known: dict[tuple, tuple] = {}

    def read(v: Any) -> Any:
        return v.val if isinstance(v, core.Literal) else env[v]

    for eqns in schedule(jaxpr.eqns) if rules else [[eqn] for eqn in jaxpr.eqns]:
        inputs = [[read(v) for v in eqn.invars] for eqn in eqns]
        together = loop_scatters(*_by_role(inputs), **eqns[0].params) if len(eqns) > 1 else None
        for i, eqn in enumerate(eqns):
            outs = [together[i]] if together else _run_once(eqn, inputs[i], rules, known)
            env.update(zip(eqn.outvars, outs, strict=True))
    return [read(v) for v in jaxpr.outvars]


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


def _run_once(eqn: Any, inputs: list, rules: Mapping[str, Callable], known: dict[tuple, tuple]) -> list:
    """Run an equation, or find what an equal one has given."""
    operands = tuple(repr(v.val) + str(v.aval) if isinstance(v, core.Literal) else id(x)
                     for v, x in zip(eqn.invars, inputs, strict=True))  # fmt: skip
    key = eqn.primitive, operands, tuple(sorted(eqn.params.items()))
    try:
        found = known.get(key)
    except TypeError:  # parameters that cannot be compared
        return _run(eqn, inputs, rules)
    if found is None or eqn.effects:
        # The inputs are kept as well: an identity counts as long as its object lives.
        found = known[key] = _run(eqn, inputs, rules), inputs
    return found[0]


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
        return _retrace(value, rules)
    if isinstance(value, tuple) and value and all(isinstance(v, core.ClosedJaxpr) for v in value):
        return tuple(_retrace(v, rules) for v in value)
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
