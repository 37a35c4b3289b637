r"""Take the rows out of normal likelihoods with linear means: what they say fits into a few numbers.

With independent rows and one scale the rows :math:`y` matter only through the squares

.. math:: \lVert y - X u \rVert^2 = \lVert z - R u \rVert^2 + \mathrm{const}, \qquad X = Q R, \quad z = Q^T y

and R has as many rows as u has numbers, however many y has. Of a table of groups R is block-diagonal: a few numbers a
group. Q and R follow from the data alone, and are computed once a call. Orthogonal factors, unlike the products
:math:`X^T X`, lose no digits where columns are nearly dependent.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from pyrox.likelihoods import HALF_LOG_2PI, normal_rows
from pyrox.samplers.linear import LinearRows, Tracing, linear_rows
from pyrox.samplers.rewrite import bind
from pyrox.typing import Array, Tree

# Reading and writing a group's number costs as much as this many multiplications.
_INDEXING = 5
# How many times less work there must be afterwards.
_WORTHWHILE = 2
# Most numbers that all rows share, and that a group has: to find the factors takes their squares times the rows.
_MOST_SHARED, _MOST_GROUPED = 512, 8
_CALLS = frozenset({"jit", "pjit"})


class Reduction(NamedTuple):
    """What became of one likelihood."""

    rows: int
    numbers: int


def reduce_rows(log_density: Callable, *shapes: Tree) -> tuple[Callable, list[Reduction]]:
    """Give a log-density that computes the same from fewer numbers, where it can, and what was reduced.

    Parameters
    ----------
    log_density
        Function of a position ``(dim,)`` and a tree of data.
    shapes
        Shapes of its arguments.

    Returns
    -------
    The same function where nothing was found.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from pyrox.likelihoods import HALF_LOG_2PI, normal_rows
    >>> from pyrox.samplers.least_squares import reduce_rows
    >>> position, data = jnp.array([1.0, 2.0]), {"x": jnp.arange(50.0), "y": jnp.ones(50)}
    >>> log_density = lambda q, data: normal_rows(data["y"], q[0] + q[1] * data["x"], 1.0)
    >>> reduced, found = reduce_rows(log_density, position, data)
    >>> found
    [Reduction(rows=50, numbers=2)]
    >>> bool(jnp.allclose(reduced(position, data), log_density(position, data)))
    True
    """
    traced = jax.make_jaxpr(log_density)(*shapes)
    if not _holds_marks(traced.jaxpr):
        return log_density, []
    # Inlined first: two calls of one function share their variables.
    arguments = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in traced.jaxpr.invars]
    flat = jax.make_jaxpr(lambda *args: _inline(traced, args))(*arguments)
    found: list[Reduction] = []

    def reduced(position: Array, data: Tree) -> Array:
        found.clear()
        return _evaluate(flat, [position, *jax.tree.leaves(data)], found)

    jax.eval_shape(reduced, *shapes)
    return (reduced, found) if found else (log_density, [])


def _is_marked(eqn: Any) -> bool:
    return eqn.primitive.name in _CALLS and eqn.params["name"] == normal_rows.__name__


def _holds_marks(jaxpr: core.Jaxpr) -> bool:
    calls = (eqn for eqn in jaxpr.eqns if eqn.primitive.name in _CALLS)
    return any(_is_marked(eqn) or _holds_marks(eqn.params["jaxpr"].jaxpr) for eqn in calls)


def _inline(closed: core.ClosedJaxpr, args: Any) -> list:
    """Run a jaxpr with the calls in it inlined, but for the marked ones."""
    tracing = Tracing.of(closed, args)
    for eqn in closed.jaxpr.eqns:
        inputs = [tracing.read(v) for v in eqn.invars]
        opened = eqn.primitive.name in _CALLS and not _is_marked(eqn)
        tracing.add(eqn, _inline(eqn.params["jaxpr"], inputs) if opened else bind(eqn, inputs))
    return [tracing.read(v) for v in closed.jaxpr.outvars]


def _evaluate(closed: core.ClosedJaxpr, args: list, found: list[Reduction]) -> Array:
    """Run a jaxpr, with reductions in place of the marked calls that have one."""
    tracing = Tracing.of(closed, args)
    for eqn in closed.jaxpr.eqns:
        value = _reduce(tracing, eqn, found) if _is_marked(eqn) else None
        tracing.add(eqn, bind(eqn, [tracing.read(v) for v in eqn.invars]) if value is None else [value])
    return tracing.read(closed.jaxpr.outvars[0])


def _reduce(tracing: Tracing, eqn: Any, found: list[Reduction]) -> Array | None:
    value, loc, scale = eqn.invars
    n, number = value.aval.size, tracing.scalar(scale)
    shapes = {v.aval.shape for v in eqn.invars} - {(), (1,)}
    if shapes != {(n,)} or tracing.varies(value) or (number is None and tracing.varies(scale)):
        return None
    rows, y, scales = linear_rows(tracing, loc, n), tracing.read(value), tracing.read(scale)
    if rows is None or not _is_worthwhile(rows, n):
        return None
    if number is None:
        y, rows = y / scales, rows.times_fixed(1 / scales)
        squares, log_scales = _squares(y, rows), jnp.sum(jnp.log(scales))
    else:
        squares, log_scales = _squares(y, rows) / number**2, n * jnp.log(number)
    found.append(Reduction(n, rows.num_dense + sum(g.table.shape[0] for g in rows.grouped)))
    return -0.5 * squares - log_scales - n * HALF_LOG_2PI


def _is_worthwhile(rows: LinearRows, n: int) -> bool:
    shared, grouped = rows.num_dense, len(rows.grouped)
    if shared > _MOST_SHARED or grouped > _MOST_GROUPED or len({g.key for g in rows.grouped}) > 1:
        return False
    groups = rows.grouped[0].table.shape[0] if grouped else 0
    before = n * (2 * shared + 2 * _INDEXING * grouped + 4)
    after = 2 * shared**2 + groups * grouped * (grouped + 1 + 2 * shared) + 4 * (groups * grouped + shared)
    return before >= _WORTHWHILE * after


def _squares(y: Array, rows: LinearRows) -> Array:
    """Sum the squares of ``y - rows``, by modified Gram-Schmidt: the groups' columns first, then those of all rows."""
    rest = y if rows.offset is None else y - rows.offset
    matrix, shared = (jnp.concatenate(x, -1) for x in zip(*rows.dense, strict=True)) if rows.dense else (None, None)
    columns, total = [g.coefficient for g in rows.grouped], 0.0
    for j, (_, index, _, table) in enumerate(rows.grouped):
        add_up = partial(_add_up, index=index, size=table.shape[0])
        norm = jnp.sqrt(add_up(columns[j] ** 2))
        unit = columns[j] * _inverse(norm)[index]
        height = add_up(unit * rest)
        rest = rest - unit * height[index]
        along = norm * table - height
        for i in range(j + 1, len(columns)):
            height = add_up(unit * columns[i])
            columns[i] = columns[i] - unit * height[index]
            along = along + height * rows.grouped[i].table
        if matrix is not None:
            heights = lax.map(lambda x, unit=unit, add_up=add_up: add_up(unit * x), matrix.T)
            matrix = matrix - unit[:, None] * heights.T[index]
            along = along + shared @ heights
        total = total + jnp.sum(along**2)
    if matrix is not None:
        factor, heights, rest = _orthogonalise(matrix, rest)
        total = total + jnp.sum((factor @ shared - heights) ** 2)
    return total + jnp.sum(rest**2)


def _add_up(x: Array, index: Array, size: int) -> Array:
    """Add up the numbers of each group."""
    return jnp.zeros(size, x.dtype).at[index].add(x, mode="promise_in_bounds")


def _orthogonalise(matrix: Array, rest: Array) -> tuple[Array, Array, Array]:
    """Give the triangular factor of a matrix, the heights of a vector along the orthogonal one, and what remains."""
    numbers = jnp.arange(matrix.shape[1])

    def column(j: Array, carry: tuple) -> tuple:
        matrix, factor, heights, rest = carry
        own = lax.dynamic_index_in_dim(matrix, j, 1, keepdims=False)
        norm = jnp.sqrt(jnp.sum(own**2))
        unit = own * _inverse(norm)
        later = jnp.where(numbers > j, unit @ matrix, 0.0)
        height = jnp.sum(unit * rest)
        factor = lax.dynamic_update_index_in_dim(factor, jnp.where(numbers == j, norm, later), j, 0)
        return matrix - unit[:, None] * later, factor, jnp.where(numbers == j, height, heights), rest - unit * height

    blank = jnp.zeros((matrix.shape[1], matrix.shape[1]), matrix.dtype)
    _, factor, heights, rest = lax.fori_loop(0, len(numbers), column, (matrix, blank, blank[0], rest))
    return factor, heights, rest


def _inverse(x: Array) -> Array:
    return jnp.where(x > 0, 1 / x, 0.0)
