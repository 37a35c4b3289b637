"""Find out how a vector of a traced function is linear in what varies: by columns, matrices and tables of groups."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from pyrox.typing import Array, ArrayLike

# Most columns of each kind: many more are no gain, and sums of sums could have any number.
MOST_SHARED, MOST_GROUPED = 512, 8
# Most operations on the way back from a mean.
_DEEPEST = 100


class Grouped(NamedTuple):
    """Rows ``coefficient * table[index]``; ``key`` tells whether two indices are the same."""

    key: Any
    index: Array
    coefficient: Array
    table: Array


class LinearRows(NamedTuple):
    """Rows ``offset + sum(u @ columns) + sum(coefficient * table[index])``; only u and the tables vary."""

    offset: Array | None = None  # None where it is zero
    dense: tuple[tuple[Array, Array], ...] = ()  # columns (p, n) and u (p,)
    grouped: tuple[Grouped, ...] = ()

    @property
    def num_dense(self) -> int:
        """Number of the u that all rows share."""
        return sum(u.shape[0] for _, u in self.dense)

    def astype(self, dtype: Any) -> "LinearRows":
        """Give it in another dtype."""
        offset = None if self.offset is None else self.offset.astype(dtype)
        dense = tuple((x.astype(dtype), u.astype(dtype)) for x, u in self.dense)
        grouped = (Grouped(k, i, c.astype(dtype), table.astype(dtype)) for k, i, c, table in self.grouped)
        return LinearRows(offset, dense, tuple(grouped))

    def plus(self, other: "LinearRows") -> "LinearRows | None":
        """Add another one; None if there are too many columns in all."""
        offsets = [x for x in (self.offset, other.offset) if x is not None]
        total = LinearRows(sum(offsets) if offsets else None, self.dense + other.dense, self.grouped + other.grouped)
        return None if total.num_dense > MOST_SHARED or len(total.grouped) > MOST_GROUPED else total

    def times_fixed(self, factor: ArrayLike) -> "LinearRows":
        """Multiply each row by a number that does not vary."""
        offset = None if self.offset is None else self.offset * factor
        dense = tuple((columns * factor, u) for columns, u in self.dense)
        grouped = tuple(g._replace(coefficient=g.coefficient * factor) for g in self.grouped)
        return LinearRows(offset, dense, grouped)

    def times_scalar(self, factor: Array) -> "LinearRows":
        """Multiply all rows by a number that varies: it goes to what is multiplied with them."""
        dense = tuple((columns, u * factor) for columns, u in self.dense)
        if self.offset is not None:
            dense = *dense, (self.offset[None], factor[None])
        return LinearRows(None, dense, tuple(g._replace(table=g.table * factor) for g in self.grouped))


class Tracing(NamedTuple):
    """A jaxpr that is being run: what makes each variable, its value, and whether it varies."""

    makers: dict[Any, Any]
    env: dict[Any, Any]
    varying: set
    known: dict[Any, LinearRows | None]  # what was found of variables already
    keys: dict[Any, int]  # by variable, the same for those that were made in the same way
    ways: dict[tuple, int]

    @classmethod
    def of(cls, closed: core.ClosedJaxpr, args: Any) -> "Tracing":
        """Begin to run a jaxpr whose first argument varies."""
        jaxpr = closed.jaxpr
        env = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*closed.consts, *args), strict=True))
        return cls({}, env, set(jaxpr.invars[:1]), {}, {v: -i for i, v in enumerate(env, 1)}, {})

    def add(self, eqn: Any, values: list) -> None:
        """Take in the results of an equation."""
        self.env.update(zip(eqn.outvars, values, strict=True))
        self.makers.update(dict.fromkeys(eqn.outvars, eqn))
        if any(self.varies(v) for v in eqn.invars):
            self.varying.update(eqn.outvars)
            return
        way = eqn.primitive.name, str(eqn.params), *(self.key(v) for v in eqn.invars)
        for i, v in enumerate(eqn.outvars):
            self.keys[v] = self.ways.setdefault((i, *way), len(self.ways))

    def key(self, v: Any) -> Any:
        """Name a variable that does not vary by how it was made."""
        return repr(v.val) if isinstance(v, core.Literal) else self.keys[v]

    def read(self, v: Any) -> Any:
        """Give the value of a variable or literal."""
        return v.val if isinstance(v, core.Literal) else self.env[v]

    def varies(self, v: Any) -> bool:
        """Tell whether a variable depends on the position."""
        return not isinstance(v, core.Literal) and v in self.varying

    def maker(self, v: Any) -> Any:
        """Give the equation that makes a variable; None for an argument."""
        return None if isinstance(v, core.Literal) else self.makers.get(v)

    def scalar(self, v: Any) -> Array | None:
        """Give the one number that a vector repeats; None if it is not known to."""
        if v.aval.size == 1:
            return jnp.reshape(self.read(v), ())
        eqn = self.maker(v)
        if eqn is not None and eqn.primitive.name == "broadcast_in_dim" and eqn.invars[0].aval.size == 1:
            return jnp.reshape(self.read(eqn.invars[0]), ())
        return None


def linear_rows(tracing: Tracing, v: Any, n: int, depth: int = 0) -> LinearRows | None:
    """Give a variable as ``n`` rows that are linear in what varies, or None if they are not seen to be."""
    if not tracing.varies(v):
        return LinearRows(jnp.broadcast_to(tracing.read(v), (n,))) if v.aval.shape in ((), (1,), (n,)) else None
    if v.aval.shape not in ((), (1,), (n,)) or not jnp.issubdtype(v.aval.dtype, jnp.floating):
        return None
    number = tracing.scalar(v)
    if number is not None:
        return LinearRows(None, ((jnp.ones((1, n), number.dtype), number[None]),))
    if v not in tracing.known:
        eqn = tracing.maker(v)
        rule = _RULES.get(eqn.primitive.name) if eqn is not None and depth < _DEEPEST else None
        tracing.known[v] = None if rule is None else rule(tracing, eqn, n, depth + 1)
    return tracing.known[v]


def _sum(tracing: Tracing, eqn: Any, n: int, depth: int) -> LinearRows | None:
    left, right = (linear_rows(tracing, v, n, depth) for v in eqn.invars)
    return None if left is None or right is None else left.plus(right)


def _difference(tracing: Tracing, eqn: Any, n: int, depth: int) -> LinearRows | None:
    left, right = (linear_rows(tracing, v, n, depth) for v in eqn.invars)
    return None if left is None or right is None else left.plus(right.times_fixed(-1.0))


def _negative(tracing: Tracing, eqn: Any, n: int, depth: int) -> LinearRows | None:
    rows = linear_rows(tracing, eqn.invars[0], n, depth)
    return None if rows is None else rows.times_fixed(-1.0)


def _product(tracing: Tracing, eqn: Any, n: int, depth: int) -> LinearRows | None:
    for factor, other in _both_ways(eqn.invars):
        if not tracing.varies(factor):
            rows = linear_rows(tracing, other, n, depth)
            return None if rows is None else rows.times_fixed(tracing.read(factor))
    for factor, other in _both_ways(eqn.invars):
        number = tracing.scalar(factor)
        if number is not None:
            rows = linear_rows(tracing, other, n, depth)
            return None if rows is None else rows.times_scalar(number)
    return None


def _quotient(tracing: Tracing, eqn: Any, n: int, depth: int) -> LinearRows | None:
    above, below = eqn.invars
    number = tracing.scalar(below) if tracing.varies(below) else None
    if tracing.varies(below) and number is None:
        return None
    rows = linear_rows(tracing, above, n, depth)
    if rows is None:
        return None
    return rows.times_fixed(1 / tracing.read(below)) if number is None else rows.times_scalar(1 / number)


def _same(tracing: Tracing, eqn: Any, n: int, depth: int) -> LinearRows | None:
    (v,) = eqn.invars
    return linear_rows(tracing, v, n, depth) if v.aval.shape == (n,) else None


def _converted(tracing: Tracing, eqn: Any, n: int, depth: int) -> LinearRows | None:
    """Pass through what loses no digits."""
    before, after = eqn.invars[0].aval.dtype, eqn.outvars[0].aval.dtype
    return _same(tracing, eqn, n, depth) if jnp.promote_types(before, after) == after else None


def _matrix_product(tracing: Tracing, eqn: Any, n: int, _: int) -> LinearRows | None:
    contracted, batch = eqn.params["dimension_numbers"]
    for (matrix, axis), (vector, _) in _both_ways(zip(eqn.invars, contracted, strict=True)):
        if matrix.aval.ndim == 2 and vector.aval.ndim == 1 and axis and not batch[0] and not tracing.varies(matrix):
            x = tracing.read(matrix)
            return LinearRows(None, ((x.T if axis[0] == 1 else x, tracing.read(vector)),))
    return None


def _rows_of_groups(tracing: Tracing, eqn: Any, n: int, _: int) -> LinearRows | None:
    """Read numbers from a table, one a row."""
    if not _takes_rows(tracing, eqn, ()):
        return None
    index, offset = _index_of(tracing, eqn, n)
    table, one = tracing.read(eqn.invars[0]), jnp.ones(n, eqn.outvars[0].aval.dtype)
    return LinearRows(offset, (), (Grouped(_key_of(tracing, eqn), index, one, table),))


def _sum_of_columns(tracing: Tracing, eqn: Any, n: int, _: int) -> LinearRows | None:
    """Sum a product of a matrix with coefficients, of all rows or of the group of each, along its columns."""
    product = tracing.maker(eqn.invars[0])
    if eqn.params["axes"] != (1,) or product is None or product.primitive.name != "mul":
        return None
    for matrix, other in _both_ways(product.invars):
        maker = tracing.maker(other)
        if tracing.varies(matrix) or maker is None or matrix.aval.ndim != 2:
            continue
        x, u = tracing.read(matrix), tracing.read(maker.invars[0])
        if maker.primitive.name == "broadcast_in_dim" and maker.params["broadcast_dimensions"] == (1,):
            return LinearRows(None, ((x.T, u),)) if u.shape == x.shape[1:] else None
        if maker.primitive.name == "gather" and _takes_rows(tracing, maker, x.shape[1:]):
            (index, offset), key = _index_of(tracing, maker, n), _key_of(tracing, maker)
            grouped = tuple(Grouped(key, index, x[:, j], u[:, j]) for j in range(x.shape[1]))
            return LinearRows(offset, (), grouped) if len(grouped) <= MOST_GROUPED else None
    return None


def _takes_rows(tracing: Tracing, eqn: Any, row: tuple[int, ...]) -> bool:
    """Tell whether a gather reads whole rows ``row`` of a table by one index that does not vary."""
    table, indices = eqn.invars
    d = eqn.params["dimension_numbers"]
    return (
        table.aval.shape[1:] == row
        and not tracing.varies(indices)
        and tuple(eqn.params["slice_sizes"]) == (1, *row)
        and (tuple(d.collapsed_slice_dims), tuple(d.start_index_map)) == ((0,), (0,))
        and tuple(d.offset_dims) == tuple(range(1, 1 + len(row)))
        and not d.operand_batching_dims
        and indices.aval.shape[1:] == (1,)
        and (eqn.params["fill_value"] is None or np.isnan(eqn.params["fill_value"]))
    )


def _index_of(tracing: Tracing, eqn: Any, n: int) -> tuple[Array, Array | None]:
    """Give the row of the table that each reads, inside it, and an offset: NaN where the gather would read none."""
    table, indices = eqn.invars
    d = lax.GatherDimensionNumbers(offset_dims=(), collapsed_slice_dims=(0,), start_index_map=(0,))
    index = lax.gather(
        jnp.arange(table.aval.shape[0], dtype=jnp.int32), tracing.read(indices), d, (1,),
        mode=eqn.params["mode"], fill_value=-1,
    )  # fmt: skip
    if eqn.params["mode"] != lax.GatherScatterMode.FILL_OR_DROP:
        return index, None
    return jnp.maximum(index, 0), jnp.where(index < 0, jnp.nan, jnp.zeros(n, table.aval.dtype))


def _key_of(tracing: Tracing, eqn: Any) -> tuple:
    return eqn.invars[0].aval.shape[0], str(eqn.params["mode"]), tracing.key(eqn.invars[1])


def _both_ways(pair: Any) -> tuple:
    first, second = pair
    return (first, second), (second, first)


_RULES: dict[str, Callable] = {
    "add": _sum,
    "add_any": _sum,
    "sub": _difference,
    "neg": _negative,
    "mul": _product,
    "div": _quotient,
    "broadcast_in_dim": _same,
    "convert_element_type": _converted,
    "copy": _same,
    "reshape": _same,
    "dot_general": _matrix_product,
    "gather": _rows_of_groups,
    "reduce_sum": _sum_of_columns,
}
