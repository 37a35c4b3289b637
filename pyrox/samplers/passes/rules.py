"""What stands in for primitives that the emitter of native kernels lacks: loops, as good or better inside a kernel.

A rule gives the same result as the primitive, or None for a pattern that it does not cover.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pyrox.samplers import vectors
from pyrox.typing import Array

# Rows in a row often belong to one group: their load-add-store chain is broken by dealing them to this many
# accumulators (measured: four halve the gradient of a hierarchical model, eight gain nothing more).
LANES = 4
# Above this many multiplications a matrix product is the library's business.
SMALL_MATMUL = 4096
# Above this many rows a matrix is factorised by the library.
SMALL_FACTOR = 24
# From this many numbers on a function is worth more code.
LONG = 16
# Parts of a cumulative sum that go on side by side, and the length from which on that pays.
RUNS, LONG_RUN = 16, 128


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
    if rows is None:
        return None
    return rows.restore(_scatter_rows([rows.table], rows.index, rows.inside, [rows.updates], add=add)[0])


def loop_scatters(operands: list[Array], indices: Array, updates: list[Array], **params: Any) -> list[Array] | None:
    """Add to several arrays of one shape at the same indices, side by side in one loop."""
    rows = [_as_rows(o, indices, u, **params) for o, u in zip(operands, updates, strict=True)]
    if any(row is None for row in rows):
        return None
    tables, all_updates = ([getattr(row, part) for row in rows] for part in ("table", "updates"))
    outs = _scatter_rows(tables, rows[0].index, rows[0].inside, all_updates, add=True)
    return [row.restore(out) for row, out in zip(rows, outs, strict=True)]


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


def _scatter_rows(
    tables: list[Array], index: Array, inside: Array | None, updates: list[Array], *, add: bool
) -> list[Array]:
    """Put rows into tables of equal length, all at the same indices."""
    n, length = index.shape[0], tables[0].shape[0]
    if inside is not None:
        # Out of bounds means dropped, as in the primitive: to a row that nobody reads.
        index = jnp.where(inside, index, length)
        tables = [jnp.concatenate([x, jnp.zeros_like(x, shape=(1, *x.shape[1:]))]) for x in tables]
    lanes = LANES if add and n >= 4 * LANES and n >= 2 * length else 1
    rounds = n // lanes
    # Of numbers without a sign JAX need not ask whether they count from the end.
    index, unsigned = index.astype(np.uint32), np.uint32

    def put_row(table: Array, at: Array, update: Array) -> Array:
        at = (at, *(unsigned(0),) * (table.ndim - 1))
        new = lax.dynamic_slice(table, at, update.shape) + update if add else update
        return lax.dynamic_update_slice(table, new, at)

    def put(k: Array, lanes: list[list[Array]], index: Array, updates: list[Array]) -> list[list[Array]]:
        """Put a row into the tables of each lane; rows are read together, since each read asks for the bounds."""
        at, new = (read_row(x, k) for x in (index, updates))
        return [
            [put_row(table, at[i], x[i : i + 1]) for table, x in zip(lane, new, strict=True)]
            for i, lane in enumerate(lanes)
        ]

    def read_row(arrays: Any, k: Array) -> Any:
        k = k.astype(unsigned)
        return jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, k, keepdims=False), arrays)

    def deal(start: int, lanes: int) -> tuple:
        """Cut rows from a start on into as many side by side as there are lanes."""
        stop = start + (n - start) // lanes * lanes
        return jax.tree.map(lambda x: x[start:stop].reshape(-1, lanes, *x.shape[1:]), (index, updates))

    outs = [tables, *[[jnp.zeros_like(x) for x in tables]] * (lanes - 1)]
    dealt = deal(0, lanes)
    outs = lax.fori_loop(0, rounds, lambda k, outs: put(k, outs, *dealt), outs)
    first, done = outs[0], rounds * lanes
    if done < n:
        rest = deal(done, 1)
        (first,) = lax.fori_loop(0, n - done, lambda k, outs: put(k, outs, *rest), [first])
    sums = (sum(others, start=x) for x, *others in zip(first, *outs[1:], strict=True))
    return [x[:length] for x in sums]


def loop_cumsum(x: Array, *, axis: int, reverse: bool) -> Array:
    """Add up one element, or row, after another; of a long vector several parts side by side."""
    if x.ndim == 1 and x.shape[0] >= LONG_RUN:
        return _cumsum_in_runs(x, reverse=reverse)
    return _accumulate(x, jnp.add, axis=axis, reverse=reverse)


def _cumsum_in_runs(x: Array, *, reverse: bool) -> Array:
    length = x.shape[0] // RUNS
    runs, rest, zero = x[: RUNS * length].reshape(RUNS, length), x[RUNS * length :], np.uint32(0)

    def column(k: Array, carry: tuple) -> tuple:
        out, sums = carry
        at = zero, (length - 1 - k if reverse else k).astype(np.uint32)
        sums = sums + lax.dynamic_slice(runs, at, (RUNS, 1))
        return lax.dynamic_update_slice(out, sums, at), sums

    out, sums = lax.fori_loop(0, length, column, (jnp.zeros_like(runs), jnp.zeros((RUNS, 1), x.dtype)))
    ones = np.ones((RUNS, RUNS), bool)
    # Chosen, not multiplied by zero: an infinite sum counts only where it comes earlier.
    before = np.triu(ones, 1) if reverse else np.tril(ones, -1)
    earlier = jnp.sum(jnp.where(before, sums[:, 0], 0), axis=1, dtype=x.dtype)
    if not rest.shape[0]:
        return vectors.apart(lambda a, b: a + b[:, None], out, earlier).reshape(-1)
    rest = _accumulate(rest, jnp.add, axis=0, reverse=reverse)
    if reverse:
        earlier = earlier + rest[0]
    else:
        rest = rest + (earlier[-1] + sums[-1, 0])
    whole = vectors.apart(lambda a, b: a + b[:, None], out, earlier)
    return vectors.apart(lambda *parts: jnp.concatenate(parts), whole.reshape(-1), rest)


def loop_cumlogsumexp(x: Array, *, axis: int, reverse: bool) -> Array:
    """Add up in logs one element, or row, after another."""
    return _accumulate(x, jnp.logaddexp, axis=axis, reverse=reverse)


def _accumulate(x: Array, combine: Callable, *, axis: int, reverse: bool) -> Array:
    rows = jnp.moveaxis(x, axis, 0)
    n = rows.shape[0]
    if n == 0:
        return x

    def body(k: Array, carry: tuple) -> tuple:
        out, total = carry
        j = n - 1 - k if reverse else k
        total = combine(total, lax.dynamic_index_in_dim(rows, j, 0, keepdims=False))
        return lax.dynamic_update_index_in_dim(out, total, j, 0), total

    first = rows[-1 if reverse else 0]
    out = lax.dynamic_update_index_in_dim(jnp.zeros_like(rows), first, n - 1 if reverse else 0, 0)
    return jnp.moveaxis(lax.fori_loop(1, n, body, (out, first))[0], 0, axis)


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


def loop_cholesky(matrix: Array, *, symmetrize_input: bool = True, **_: Any) -> Array | None:
    """Factor a small positive definite matrix by columns."""
    if matrix.ndim != 2 or matrix.shape[0] > SMALL_FACTOR:
        return None
    if symmetrize_input:
        matrix = 0.5 * (matrix + matrix.T)
    rows = jnp.arange(matrix.shape[0])

    def column(j: Array, lower: Array) -> Array:
        rest = lax.dynamic_index_in_dim(matrix, j, 1, keepdims=False)
        rest = rest - jnp.sum(lower * lax.dynamic_index_in_dim(lower, j, 0), axis=1)
        # Of a matrix that is not positive definite the pivot, and all that follows from it, becomes NaN.
        pivot = jnp.sqrt(lax.dynamic_index_in_dim(rest, j, keepdims=False))
        return lax.dynamic_update_index_in_dim(lower, jnp.where(rows >= j, rest / pivot, 0.0), j, 1)

    return lax.fori_loop(0, matrix.shape[0], column, jnp.zeros_like(matrix))


def loop_triangular_solve(
    a: Array, b: Array, *, left_side: bool, lower: bool, transpose_a: bool, unit_diagonal: bool, **_: Any
) -> Array | None:
    """Solve a small triangular system by rows."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] > SMALL_FACTOR:
        return None
    # Bring everything into the form L x = b with L lower triangular.
    if transpose_a == left_side:
        a, lower = a.T, not lower
    if not left_side:
        b = b.T
    if not lower:
        a, b = a[::-1, ::-1], b[::-1]

    def row(i: Array, x: Array) -> Array:
        own = lax.dynamic_index_in_dim(a, i, 0, keepdims=False)
        # Rows from i on are still zero, so that only those above count.
        new = lax.dynamic_index_in_dim(b, i, 0, keepdims=False) - jnp.sum(own[:, None] * x, axis=0)
        new = new if unit_diagonal else new / lax.dynamic_index_in_dim(own, i, keepdims=False)
        return lax.dynamic_update_index_in_dim(x, new, i, 0)

    x = lax.fori_loop(0, a.shape[0], row, jnp.zeros_like(b))
    x = x if lower else x[::-1]
    return x if left_side else x.T


def join(*parts: Array, dimension: int) -> Array | None:
    """Put long vectors together as they lie in memory; in one loop with others each number would ask which it is."""
    few = len(parts) == 1 or sum(x.size for x in parts) < LONG_RUN
    if few or parts[0].ndim != 1 or not jnp.issubdtype(parts[0].dtype, jnp.floating):
        return None
    return vectors.apart(lambda *x: lax.concatenate(x, dimension), *parts)


def join_padding(x: Array, padding: Array, *, padding_config: Any) -> Array | None:
    """Lengthen a long vector at its ends."""
    if x.ndim != 1 or min(padding_config[0]) < 0 or padding_config[0][2]:
        return None
    low, high = (jnp.full(n, padding, x.dtype) for n in padding_config[0][:2])
    return join(low, x, high, dimension=0)


def vector_sum(x: Array, *, axes: tuple[int, ...], **_: Any) -> Array | None:
    """Sum all numbers of an array, several at a time."""
    return vectors.total(x.reshape(-1)) if len(axes) == jnp.ndim(x) and _many_doubles(x) else None


def _many_doubles(x: Array) -> bool:
    return jnp.size(x) >= LONG and jnp.result_type(x) == np.float64


def vector_log(x: Array, **_: Any) -> Array | None:
    """Take the logarithms of many doubles."""
    return vectors.log(x) if _many_doubles(x) else None


def vector_log1p(x: Array, **_: Any) -> Array | None:
    """Take the logarithms of many doubles above one."""
    return vectors.log1p(x) if _many_doubles(x) else None


def platform_of_kernels(*, platforms: tuple, **_: Any) -> np.int32:
    """Choose the branch for CPUs."""
    named = (i for i, names in enumerate(platforms) if names is None or "cpu" in names)
    return np.int32(next(named))


RULES: dict[str, Callable] = {
    "scatter-add": partial(loop_scatter, add=True),
    "scatter_add": partial(loop_scatter, add=True),
    "scatter": partial(loop_scatter, add=False),
    "cholesky": loop_cholesky,
    "concatenate": join,
    "cumlogsumexp": loop_cumlogsumexp,
    "cumsum": loop_cumsum,
    "dot_general": reduce_matmul,
    "log": vector_log,
    "log1p": vector_log1p,
    "pad": join_padding,
    "platform_index": platform_of_kernels,
    "reduce_sum": vector_sum,
    "triangular_solve": loop_triangular_solve,
}
