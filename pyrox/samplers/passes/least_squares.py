r"""Take the rows out of normal likelihoods with linear means: what they say fits into a few numbers.

With independent rows and one scale the rows :math:`y` matter only through the squares

.. math:: \lVert y - X u \rVert^2 = \lVert z - R u \rVert^2 + \mathrm{const}, \qquad X = Q R, \quad z = Q^T y

and R has as many rows as u has numbers, however many y has. Of a table of groups R is block-diagonal: a few numbers a
group. Q and R follow from the data alone, and are computed once a run. Orthogonal factors, unlike the products
:math:`X^T X`, lose no digits where columns are nearly dependent.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from pyrox.likelihoods import HALF_LOG_2PI, is_normal_rows
from pyrox.samplers.passes.jaxprs import bind
from pyrox.samplers.passes.linear import LinearRows, Tracing, linear_rows
from pyrox.typing import Array, Tree

# Reading and writing a group's number costs as much as this many multiplications.
_INDEXING = 5
# How many times less work there must be afterwards.
_WORTHWHILE = 2
# Most multiplications for the factor of what all rows share: seconds.
_MOST_WORK = 2**31
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
    >>> from pyrox.likelihoods import normal_rows
    >>> from pyrox.samplers.passes.least_squares import reduce_rows
    >>> position, data = jnp.array([1.0, 2.0]), {"x": jnp.arange(50.0), "y": jnp.ones(50)}
    >>> log_density = lambda q, data: normal_rows(data["y"], q[0] + q[1] * data["x"], 1.0)
    >>> reduced, found = reduce_rows(log_density, position, data)
    >>> found
    [Reduction(rows=50, numbers=2)]
    >>> bool(jnp.allclose(reduced(position, data), log_density(position, data)))
    True
    """
    traced = jax.make_jaxpr(log_density)(*shapes)
    if not _holds_normal_rows(traced.jaxpr):
        return log_density, []
    # Inlined first: two calls of one function share their variables.
    arguments = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in traced.jaxpr.invars]
    flat = jax.make_jaxpr(lambda *args: _inline(traced, args))(*arguments)

    def reduced(position: Array, data: Tree) -> Array:
        return _evaluate(flat, [position, *jax.tree.leaves(data)], [])

    found: list[Reduction] = []
    jax.eval_shape(lambda *args: _evaluate(flat, list(args), found), *arguments)
    return (reduced, found) if found else (log_density, [])


def _holds_normal_rows(jaxpr: core.Jaxpr) -> bool:
    calls = (eqn.params["jaxpr"].jaxpr for eqn in jaxpr.eqns if eqn.primitive.name in _CALLS)
    return any(map(is_normal_rows, jaxpr.eqns)) or any(map(_holds_normal_rows, calls))


def _inline(closed: core.ClosedJaxpr, args: Any) -> list:
    """Run a jaxpr with the calls in it inlined."""
    tracing = Tracing.of(closed, args)
    for eqn in closed.jaxpr.eqns:
        inputs = [tracing.read(v) for v in eqn.invars]
        inlined = eqn.primitive.name in _CALLS
        tracing.add(eqn, _inline(eqn.params["jaxpr"], inputs) if inlined else bind(eqn, inputs))
    return [tracing.read(v) for v in closed.jaxpr.outvars]


def _evaluate(closed: core.ClosedJaxpr, args: list, found: list[Reduction]) -> Array:
    """Run a jaxpr, with reductions in place of the likelihoods that have one; append what they are."""
    tracing = Tracing.of(closed, args)
    for eqn in closed.jaxpr.eqns:
        value = _reduce(tracing, eqn, found) if is_normal_rows(eqn) else None
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
    rows = rows.astype(y.dtype)
    found.append(Reduction(n, rows.num_dense + sum(g.table.shape[0] for g in rows.grouped)))
    if number is None:
        squares = _squares(y / scales, rows.times_fixed(1 / scales), jnp.ones((), y.dtype))
        return -0.5 * squares - jnp.sum(jnp.log(scales)) - n * HALF_LOG_2PI
    return -0.5 * _squares(y, rows, number) - n * jnp.log(number) - n * HALF_LOG_2PI


def _is_worthwhile(rows: LinearRows, n: int) -> bool:
    shared, grouped = rows.num_dense, len(rows.grouped)
    if len({g.key for g in rows.grouped}) > 1 or n * shared**2 > _MOST_WORK:
        return False
    groups = rows.grouped[0].table.shape[0] if grouped else 0
    before = n * (2 * shared + 2 * _INDEXING * grouped + 4)
    after = 2 * shared**2 + groups * grouped * (grouped + 1 + 2 * shared) + 4 * (groups * grouped + shared)
    return before >= _WORTHWHILE * after


class _Columns(NamedTuple):
    """What tables and numbers are multiplied with."""

    grouped: Array  # (k, n)
    index: Array  # the group of each row
    groups: int
    shared: Array  # (p, n)

    def at(self, tables: Array, u: Array) -> Array:
        """Give the rows for tables ``(k, groups)`` and numbers ``(p,)``."""
        return jnp.sum(self.grouped * tables[:, self.index], 0) + u @ self.shared

    def add_up(self, x: Array) -> Array:
        """Add up the numbers of each group; the index lies inside."""
        return jnp.zeros(self.groups, x.dtype).at[self.index].add(x, mode="promise_in_bounds")


class _Factors(NamedTuple):
    """Columns made orthogonal, and the triangular factors that tell how far the old ones go along them."""

    columns: _Columns  # of length one, or zero
    grouped: Array  # (k, k, groups)
    across: Array  # (k, p, groups)
    shared: Array  # (p, p)

    def along(self, tables: Array, u: Array) -> tuple[Array, Array]:
        """Give how far the rows of tables and numbers go along the orthogonal columns."""
        return jnp.sum(self.grouped * tables, 1) + jnp.sum(self.across * u[:, None], 1), self.shared @ u

    def heights(self, rest: Array) -> tuple[Array, Array, Array]:
        """Give how far a vector goes along the orthogonal columns, and what remains of it."""
        found = []
        for unit in self.columns.grouped:
            found.append(self.columns.add_up(unit * rest))
            rest = rest - unit * found[-1][self.columns.index]

        def step(rest: Array, unit: Array) -> tuple[Array, Array]:
            height = jnp.sum(unit * rest)
            return rest - unit * height, height

        rest, heights = lax.scan(step, rest, self.columns.shared)
        return _stack(found, (0, self.columns.groups), rest.dtype), heights, rest

    def solve(self, tables: Array, u: Array) -> tuple[Array, Array]:
        """Give the tables and numbers that go so far; those of columns that say hardly anything new are zero."""
        p, least = len(u), float(np.sqrt(np.finfo(u.dtype).eps))

        def number(i: Array, found: Array) -> Array:
            j = p - 1 - i
            row = lax.dynamic_index_in_dim(self.shared, j, 0, keepdims=False)
            own = lax.dynamic_index_in_dim(row, j, 0, keepdims=False)
            missing = lax.dynamic_index_in_dim(u, j, 0, keepdims=False) - jnp.sum(row * found)
            return lax.dynamic_update_index_in_dim(found, missing * _inverse(own, least), j, 0)

        found = lax.fori_loop(0, p, number, jnp.zeros_like(u)) if p else u
        table = jnp.zeros_like(tables)
        for j in range(len(tables) - 1, -1, -1):
            missing = tables[j] - jnp.sum(self.grouped[j] * table, 0) - jnp.sum(self.across[j] * found[:, None], 0)
            table = table.at[j].set(missing * _inverse(self.grouped[j, j], least))
        return table, found


def _squares(y: Array, rows: LinearRows, scale: Array) -> Array:
    """Sum the squares of ``(y - rows) / scale``.

    Measured from the least-squares solution: so nothing cancels where y is far from zero.
    """
    columns, tables, u = _columns(rows, len(y), y.dtype)
    y = y if rows.offset is None else y - rows.offset
    factors = _factor(columns)
    first_tables, first_u = factors.solve(*factors.heights(y)[:2])
    *heights, rest = factors.heights(y - columns.at(first_tables, first_u))
    along = factors.along(tables - first_tables, u - first_u)
    size = jnp.max(jnp.abs(rest), initial=0.0)
    length = size * jnp.sqrt(jnp.sum((rest * _inverse(size)) ** 2))
    off = [(a - b) / scale for a, b in zip(along, heights, strict=True)]
    return jnp.sum(off[0] ** 2) + jnp.sum(off[1] ** 2) + (length / scale) ** 2


def _columns(rows: LinearRows, n: int, dtype: Any) -> tuple[_Columns, Array, Array]:
    """Stack columns, each divided by its largest number, and what they are multiplied with, times that number."""
    none = (jnp.zeros((0, n), dtype), jnp.zeros(0, dtype))
    shared, u = (jnp.concatenate(x) for x in zip(none, *rows.dense, strict=True))
    groups = rows.grouped[0].table.shape[0] if rows.grouped else 0
    grouped, tables = jnp.zeros((0, n), dtype), jnp.zeros((0, groups), dtype)
    index = jnp.zeros(n, int)
    if rows.grouped:
        grouped, tables = (jnp.stack([g[i] for g in rows.grouped]) for i in (2, 3))
        index = rows.grouped[0].index
    sizes = [jnp.max(jnp.abs(x), axis=1, initial=0.0) for x in (grouped, shared)]
    grouped, shared = (x * _inverse(size)[:, None] for x, size in zip((grouped, shared), sizes, strict=True))
    return _Columns(grouped, index, groups, shared), tables * sizes[0][:, None], u * sizes[1]


def _factor(columns: _Columns) -> _Factors:
    """Make columns orthogonal by modified Gram-Schmidt: the groups' first, then those of all rows."""
    grouped, index, groups, shared = columns
    units, factor, across, rests = [], [], [], list(grouped)
    for j in range(len(grouped)):
        norm = jnp.sqrt(columns.add_up(rests[j] ** 2))
        unit = rests[j] * _inverse(norm)[index]
        later = [columns.add_up(unit * x) for x in rests[j + 1 :]]
        rests[j + 1 :] = [x - unit * h[index] for x, h in zip(rests[j + 1 :], later, strict=True)]
        shared_height = lax.map(lambda x, unit=unit: columns.add_up(unit * x), shared)
        shared = shared - unit * shared_height[:, index]
        units.append(unit)
        factor.append(jnp.stack([*[jnp.zeros_like(norm)] * j, norm, *later]))
        across.append(shared_height)
    shared, triangle = _orthogonalise(shared)
    k, p, dtype = len(grouped), len(shared), shared.dtype
    return _Factors(
        columns._replace(grouped=_stack(units, grouped.shape, dtype), shared=shared),
        _stack(factor, (k, k, groups), dtype),
        _stack(across, (k, p, groups), dtype),
        triangle,
    )


def _stack(rows: list, shape: tuple[int, ...], dtype: Any) -> Array:
    return jnp.stack(rows) if rows else jnp.zeros(shape, dtype)


def _orthogonalise(columns: Array) -> tuple[Array, Array]:
    """Make columns ``(p, n)`` orthogonal, each of length one or zero, and give their triangular factor."""
    numbers = jnp.arange(len(columns))

    def make_orthogonal(j: Array, carry: tuple) -> tuple:
        columns, factor = carry
        own = lax.dynamic_index_in_dim(columns, j, 0, keepdims=False)
        norm = jnp.sqrt(jnp.sum(own**2))
        unit = own * _inverse(norm)
        later = jnp.where(numbers > j, columns @ unit, 0.0)
        factor = lax.dynamic_update_index_in_dim(factor, jnp.where(numbers == j, norm, later), j, 0)
        return lax.dynamic_update_index_in_dim(columns - later[:, None] * unit, unit, j, 0), factor

    blank = jnp.zeros((len(columns), len(columns)), columns.dtype)
    return lax.fori_loop(0, len(columns), make_orthogonal, (columns, blank)) if len(columns) else (columns, blank)


def _inverse(x: Array, least: float = 0.0) -> Array:
    """Give 1 / x, and 0 of what is not above the least: a column that is all zero has no direction."""
    return jnp.where(x > least, 1 / x, 0.0)
