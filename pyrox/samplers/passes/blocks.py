r"""Read large matrices from memory once for a gradient instead of twice.

A regression's gradient needs two products with its matrix: :math:`\eta = X b`, and :math:`X^T r`, where each r follows
from the :math:`\eta` of its own row. A matrix larger than the caches comes from memory for each of them, which takes
longer than all the arithmetic. So the rows are gone through by blocks that the caches hold: both products with a block,
then the next one. The blocks are copies: whatever they are cut from stays in memory as well.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from pyrox.likelihoods import ADDITIVE
from pyrox.samplers.passes.jaxprs import bind, count_bytes, dependent, equations, needed, read, run_all, variables
from pyrox.samplers.passes.orient import is_tall, multiply
from pyrox.samplers.passes.rewrite import ELEMENTWISE, rewrite
from pyrox.typing import Array

# Bytes of a block, which the second cache holds, and the fewest bytes of a matrix that no last cache has room for.
_BLOCK, _LARGE = 2**19, 2**25
# Each block has code of its own, which takes 20 to 40 ms to compile.
_MOST_BLOCKS = 128
_ELEMENTWISE = frozenset(ELEMENTWISE.split())
_NUMBER_TIMES_VECTOR = ((), ()), ((), ())


class _Product(NamedTuple):
    """A product of a fixed matrix with a vector that varies, and the axis that it sums along."""

    eqn: Any
    matrix: Any
    vector: Any
    axis: int


class _Pass(NamedTuple):
    """What is done with the rows, block by block, and around it."""

    axes: dict[Any, int]  # the matrices, and the axis of their rows
    early: list[Any]  # equations that come before
    first: list[_Product]  # a number for each row
    local: list[Any]  # equations that go on from there, row by row
    sums: list[Any]  # sums over the rows of what these give
    last: list[_Product]  # sums over the rows of the matrices
    late: list[Any]  # equations that come after

    @property
    def rows(self) -> int:
        """Number of rows."""
        return next(m.aval.shape[axis] for m, axis in self.axes.items())

    @property
    def results(self) -> list:
        """The variables that are sums over the rows."""
        return [eqn.outvars[0] for eqn in (*self.sums, *(p.eqn for p in self.last))]

    @property
    def eqns(self) -> list:
        """The equations inside."""
        return [*(p.eqn for p in self.first), *self.local, *self.sums, *(p.eqn for p in self.last)]


def in_blocks(closed: core.ClosedJaxpr) -> core.ClosedJaxpr:
    """Give a traced gradient with one pass over its large matrices, where it allows that.

    Parameters
    ----------
    closed
        A function of which the first argument varies; the others are data.

    Returns
    -------
    The same function where there is nothing to gain.
    """
    if not any(map(_is_large, equations(closed.jaxpr))):
        return closed
    flat = rewrite(closed, {}, ADDITIVE)
    found = _find(flat.jaxpr)
    if found is None:
        return closed
    shapes = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in flat.jaxpr.invars]
    return jax.make_jaxpr(lambda *args: _evaluate(flat, found, args))(*shapes)


def _is_large(eqn: Any) -> bool:
    return eqn.primitive.name == "dot_general" and max(count_bytes([v]) for v in eqn.invars) >= _LARGE


def _find(jaxpr: core.Jaxpr) -> _Pass | None:
    """Find the products with the large matrices of as many rows each, and what is done around them."""
    products = _products(jaxpr)
    rows = {p.matrix: 1 - p.axis for p in reversed(products)}  # what the first product gives
    axes = {p.matrix: p.axis for p in products if p.axis == rows[p.matrix]}
    numbers = {m: m.aval.shape[axis] for m, axis in axes.items()}
    for n in sorted(set(numbers.values()), reverse=True):
        alike = {m: axis for m, axis in axes.items() if numbers[m] == n}
        first = [p for p in products if p.matrix in alike and p.axis != axes[p.matrix]]
        last = [p for p in products if p.matrix in alike and p.axis == axes[p.matrix]]
        found = _sort(jaxpr, _Pass(alike, [], first, [], [], last, []))
        if found is not None:
            return found
    return None


def _products(jaxpr: core.Jaxpr) -> list[_Product]:
    varying, products = dependent(jaxpr.eqns, jaxpr.invars[:1]), []
    for eqn in filter(_is_large, jaxpr.eqns):
        if varying.isdisjoint(eqn.outvars):
            continue
        contracted, batch = eqn.params["dimension_numbers"]
        for matrix, vector, axes in zip(eqn.invars, eqn.invars[::-1], contracted, strict=True):
            if (matrix.aval.ndim, vector.aval.ndim, len(axes)) == (2, 1, 1) and not batch[0] and matrix not in varying:
                products.append(_Product(eqn, matrix, vector, axes[0]))
    return products


def _sort(jaxpr: core.Jaxpr, found: _Pass) -> _Pass | None:
    """Sort the other equations to their places; None where one pass over the rows is not enough."""
    first, last = ({p.eqn for p in some} for some in (found.first, found.last))
    by_row, after = set(), set()  # variables that come of the first products row by row, and those that need all rows
    for eqn in jaxpr.eqns:
        needs = set(variables(eqn.invars))
        begun, over = not by_row.isdisjoint(needs), not after.isdisjoint(needs)
        if eqn in first | last:
            if over or (begun and eqn in first):
                return None
            (by_row if eqn in first else after).update(eqn.outvars)
        elif not begun and not over:
            found.early.append(eqn)
        elif not over and _is_row_by_row(eqn, found.rows):
            found.local.append(eqn)
            by_row.update(eqn.outvars)
        else:
            (found.sums if not over and _is_sum(eqn, found.rows) else found.late).append(eqn)
            after.update(eqn.outvars)
    wanted = {p.vector for p in found.last} | {v for eqn in found.sums for v in variables(eqn.invars)}
    local = needed(found.local, wanted)
    inside = {*first, *last, *local, *found.sums, *found.early}
    return found._replace(local=local, late=[eqn for eqn in jaxpr.eqns if eqn not in inside])


def _is_row_by_row(eqn: Any, rows: int) -> bool:
    shapes = {v.aval.shape for v in (*eqn.invars, *eqn.outvars)}
    stretches = eqn.primitive.name == "dot_general" and eqn.params["dimension_numbers"] == _NUMBER_TIMES_VECTOR
    return (eqn.primitive.name in _ELEMENTWISE or stretches) and not eqn.effects and shapes <= {(), (rows,)}


def _is_sum(eqn: Any, rows: int) -> bool:
    adds = eqn.primitive.name in ("reduce_sum", "dot_general") or _is_additive(eqn)
    return adds and {v.aval.shape for v in eqn.invars} == {(rows,)} and eqn.outvars[0].aval.shape == ()


def _is_additive(eqn: Any) -> bool:
    """Tell whether an equation calls one of the functions that are known to add up, not only another of its name."""
    function = ADDITIVE.get(eqn.params.get("name"))
    if function is None:
        return False
    shapes = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in eqn.invars]
    (known,) = jax.make_jaxpr(function)(*shapes).eqns
    return str(known.params["jaxpr"]) == str(eqn.params["jaxpr"])


def _add_up(eqn: Any, rows: list[Array]) -> Array:
    """Give the sum of some rows."""
    function = ADDITIVE.get(eqn.params.get("name"))
    return bind(eqn, rows)[0] if function is None else function(*rows)


def _evaluate(closed: core.ClosedJaxpr, found: _Pass, args: Any) -> list:
    """Run a function: what comes before the pass over the rows, the pass, and what comes after."""
    jaxpr = closed.jaxpr
    env = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*closed.consts, *args), strict=True))
    run_all(found.early, env)
    wanted = {v for eqn in found.late for v in variables(eqn.invars)}.union(variables(jaxpr.outvars))
    env.update(_go_through(found, env, wanted))
    run_all(found.late, env)
    return [read(v, env) for v in jaxpr.outvars]


def _go_through(found: _Pass, env: dict, wanted: set) -> dict:
    """Give the sums over the rows, and of what is found on the way the rows that are wanted."""
    n = found.rows
    length = -(-n // min(-(-count_bytes(found.axes) // _BLOCK), _MOST_BLOCKS))
    blocks = -(-n // length)
    # The last block begins within the one before.
    starts = [min(i * length, n - length) for i in range(blocks)]
    pieces = {m: [lax.slice_in_dim(env[m], s, s + length, axis=axis) for s in starts] for m, axis in found.axes.items()}
    # In order: a program traced again must be the same one.
    tall = [m for m, some in pieces.items() if is_tall(some[0].shape)]
    pieces |= {m: [jnp.transpose(piece) for piece in pieces[m]] for m in tall}
    kept = [v for eqn in found.eqns for v in eqn.outvars if v in wanted and v not in found.results]
    outside = [v for eqn in found.eqns for v in variables(eqn.invars) if v in env and v.aval.shape == (n,)]
    numbers = {eqn.outvars[0]: eqn.invars[0] for eqn in found.early if _repeats_number(eqn)}
    given = [v for v in dict.fromkeys(outside) if v not in numbers]

    def multiply_piece(product: _Product, i: Array, vector: Array) -> Array:
        """Multiply with a piece of a matrix, chosen by code: a copy would cost as much as reading all twice."""

        def by(piece: Array) -> Callable:
            sides = [v is product.matrix for v in product.eqn.invars]
            turned = [sides.index(True)] if product.matrix in tall else []
            return lambda x: multiply(product.eqn, [piece if side else x for side in sides], turned)[0]

        return lax.switch(i, [by(piece) for piece in pieces[product.matrix]], vector)

    def block(i: Array, carry: tuple) -> tuple:
        start = jnp.minimum(i * length, n - length)
        local = env | {v: lax.dynamic_slice(env[v], (start,), (length,)) for v in given}
        local.update((v, jnp.full(length, read(number, env))) for v, number in numbers.items())
        local.update((p.eqn.outvars[0], multiply_piece(p, i, env[p.vector])) for p in found.first)
        run_all(found.local, local)
        new = jnp.arange(length, dtype=jnp.int32) >= i * length - start

        def only_new(v: Any) -> Array:
            return jnp.where(new, local[v], 0) if n % length else local[v]

        sums = [_add_up(eqn, [only_new(v) for v in eqn.invars]) for eqn in found.sums]
        sums += [multiply_piece(p, i, only_new(p.vector)) for p in found.last]
        totals = [total + x for total, x in zip(carry[0], sums, strict=True)]
        return totals, [lax.dynamic_update_slice(x, local[v], (start,)) for v, x in zip(kept, carry[1], strict=True)]

    blank = tuple([jnp.zeros(v.aval.shape, v.aval.dtype) for v in some] for some in (found.results, kept))
    totals, rows = lax.fori_loop(jnp.int32(0), jnp.int32(blocks), block, blank)
    return dict(zip((*found.results, *kept), (*totals, *rows), strict=True))


def _repeats_number(eqn: Any) -> bool:
    return eqn.primitive.name == "broadcast_in_dim" and eqn.invars[0].aval.shape == ()
