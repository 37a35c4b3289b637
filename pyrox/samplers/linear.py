"""Find out how a vector of a traced function is linear in what varies: by columns, matrices and tables of groups."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jax.extend import core

from pyrox.typing import Array, ArrayLike


class Grouped(NamedTuple):
    """Rows ``coefficient * table[index]``; ``key`` tells whether two indices are the same."""

    key: Any
    index: Array
    coefficient: Array
    table: Array


class LinearRows(NamedTuple):
    """A vector ``offset + sum(matrix @ u) + sum(coefficient * table[index])``; only u and the tables vary."""

    offset: Array | None = None  # None where it is zero
    dense: tuple[tuple[Array, Array], ...] = ()
    grouped: tuple[Grouped, ...] = ()

    @property
    def num_dense(self) -> int:
        """Number of the u that all rows share."""
        return sum(u.shape[0] for _, u in self.dense)

    def plus(self, other: "LinearRows") -> "LinearRows":
        """Add another one."""
        offsets = [x for x in (self.offset, other.offset) if x is not None]
        return LinearRows(sum(offsets) if offsets else None, self.dense + other.dense, self.grouped + other.grouped)

    def times_fixed(self, factor: ArrayLike) -> "LinearRows":
        """Multiply each row by a number that does not vary."""
        offset = None if self.offset is None else self.offset * factor
        dense = tuple((matrix * jnp.reshape(factor, (-1, 1)), u) for matrix, u in self.dense)
        grouped = tuple(g._replace(coefficient=g.coefficient * factor) for g in self.grouped)
        return LinearRows(offset, dense, grouped)

    def times_scalar(self, factor: Array) -> "LinearRows":
        """Multiply all rows by a number that varies: it goes to what is multiplied with them."""
        dense = tuple((matrix, u * factor) for matrix, u in self.dense)
        if self.offset is not None:
            dense = *dense, (self.offset[:, None], factor[None])
        return LinearRows(None, dense, tuple(g._replace(table=g.table * factor) for g in self.grouped))


class Tracing(NamedTuple):
    """A jaxpr that is being run: what makes each variable, its value, and whether it varies."""

    makers: dict[Any, Any]
    env: dict[Any, Any]
    varying: set

    @classmethod
    def of(cls, closed: core.ClosedJaxpr, args: Any) -> "Tracing":
        """Begin to run a jaxpr whose first argument varies."""
        jaxpr = closed.jaxpr
        known = zip((*jaxpr.constvars, *jaxpr.invars), (*closed.consts, *args), strict=True)
        return cls({}, dict(known), set(jaxpr.invars[:1]))

    def add(self, eqn: Any, values: list) -> None:
        """Take in the results of an equation."""
        self.env.update(zip(eqn.outvars, values, strict=True))
        self.makers.update(dict.fromkeys(eqn.outvars, eqn))
        if any(self.varies(v) for v in eqn.invars):
            self.varying.update(eqn.outvars)

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
        if _size(v) == 1:
            return jnp.reshape(self.read(v), ())
        eqn = self.maker(v)
        if eqn is not None and eqn.primitive.name == "broadcast_in_dim" and _size(eqn.invars[0]) == 1:
            return jnp.reshape(self.read(eqn.invars[0]), ())
        return None

    def key(self, v: Any) -> Any:
        """Name a variable by how it was made."""
        eqn = self.maker(v)
        if eqn is None:
            return repr(v.val) if isinstance(v, core.Literal) else id(v)
        at = eqn.outvars.index(v)
        return eqn.primitive.name, at, str(eqn.params), *(self.key(u) for u in eqn.invars)


def linear_rows(tracing: Tracing, v: Any, n: int) -> LinearRows | None:
    """Give a variable as ``n`` rows that are linear in what varies, or None if they are not seen to be."""
    if not tracing.varies(v):
        return LinearRows(jnp.broadcast_to(tracing.read(v), (n,))) if v.aval.shape in ((), (1,), (n,)) else None
    number = tracing.scalar(v)
    if number is not None:
        return LinearRows(None, ((jnp.ones((n, 1), number.dtype), number[None]),))
    eqn = tracing.maker(v)
    if eqn is None or v.aval.shape != (n,) or eqn.primitive.name not in _RULES:
        return None
    return _RULES[eqn.primitive.name](tracing, eqn, n)


def _sum(tracing: Tracing, eqn: Any, n: int) -> LinearRows | None:
    left, right = (linear_rows(tracing, v, n) for v in eqn.invars)
    return None if left is None or right is None else left.plus(right)


def _difference(tracing: Tracing, eqn: Any, n: int) -> LinearRows | None:
    left, right = (linear_rows(tracing, v, n) for v in eqn.invars)
    return None if left is None or right is None else left.plus(right.times_fixed(-1.0))


def _negative(tracing: Tracing, eqn: Any, n: int) -> LinearRows | None:
    rows = linear_rows(tracing, eqn.invars[0], n)
    return None if rows is None else rows.times_fixed(-1.0)


def _product(tracing: Tracing, eqn: Any, n: int) -> LinearRows | None:
    for factor, other in (eqn.invars, eqn.invars[::-1]):
        if not tracing.varies(factor):
            rows = linear_rows(tracing, other, n)
            return None if rows is None else rows.times_fixed(tracing.read(factor))
    for factor, other in (eqn.invars, eqn.invars[::-1]):
        number = tracing.scalar(factor)
        if number is not None:
            rows = linear_rows(tracing, other, n)
            return None if rows is None else rows.times_scalar(number)
    return None


def _quotient(tracing: Tracing, eqn: Any, n: int) -> LinearRows | None:
    above, below = eqn.invars
    number = tracing.scalar(below)
    if tracing.varies(below) and number is None:
        return None
    rows = linear_rows(tracing, above, n)
    if rows is None:
        return None
    return rows.times_scalar(1 / number) if tracing.varies(below) else rows.times_fixed(1 / tracing.read(below))


def _same(tracing: Tracing, eqn: Any, n: int) -> LinearRows | None:
    return linear_rows(tracing, eqn.invars[0], n) if eqn.invars[0].aval.shape == (n,) else None


def _matrix_product(tracing: Tracing, eqn: Any, n: int) -> LinearRows | None:
    contracted, batch = eqn.params["dimension_numbers"]
    for (matrix, axis), (vector, _) in _both_ways(zip(eqn.invars, contracted, strict=True)):
        if matrix.aval.ndim == 2 and vector.aval.ndim == 1 and axis and not batch[0] and not tracing.varies(matrix):
            x, u = tracing.read(matrix), tracing.read(vector)
            return LinearRows(None, (((x if axis[0] == 1 else x.T).astype(u.dtype), u),))
    return None


def _rows_of_groups(tracing: Tracing, eqn: Any, n: int) -> LinearRows | None:
    """Read numbers from a table, one a row."""
    if not _takes_rows(tracing, eqn, ()):
        return None
    index, offset = _index_of(tracing, eqn)
    table, one = tracing.read(eqn.invars[0]), jnp.ones(n, eqn.outvars[0].aval.dtype)
    return LinearRows(offset, (), (Grouped(_key_of(tracing, eqn), index, one, table),))


def _sum_of_columns(tracing: Tracing, eqn: Any, n: int) -> LinearRows | None:
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
            return LinearRows(None, ((x.astype(u.dtype), u),)) if u.shape == x.shape[1:] else None
        if maker.primitive.name == "gather" and _takes_rows(tracing, maker, x.shape[1:]):
            (index, offset), key = _index_of(tracing, maker), _key_of(tracing, maker)
            grouped = (Grouped(key, index, x[:, j].astype(u.dtype), u[:, j]) for j in range(x.shape[1]))
            return LinearRows(offset, (), tuple(grouped))
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
    )


def _index_of(tracing: Tracing, eqn: Any) -> tuple[Array, Array | None]:
    """Give the row of the table that each reads, and an offset: NaN where the gather would read none."""
    table, indices = eqn.invars
    d = lax.GatherDimensionNumbers(offset_dims=(), collapsed_slice_dims=(0,), start_index_map=(0,))
    index = lax.gather(
        jnp.arange(table.aval.shape[0], dtype=jnp.int32), tracing.read(indices), d, (1,),
        mode=eqn.params["mode"], fill_value=-1,
    )  # fmt: skip
    if eqn.params["mode"] != lax.GatherScatterMode.FILL_OR_DROP:
        return index, None
    return jnp.maximum(index, 0), jnp.where(index < 0, jnp.nan, jnp.zeros((), table.aval.dtype))


def _key_of(tracing: Tracing, eqn: Any) -> tuple:
    return eqn.invars[0].aval.shape[0], str(eqn.params["mode"]), tracing.key(eqn.invars[1])


def _both_ways(pair: Any) -> tuple:
    first, second = pair
    return (first, second), (second, first)


def _size(v: Any) -> int:
    return int(v.aval.size)


_RULES: dict[str, Callable] = {
    "add": _sum,
    "add_any": _sum,
    "sub": _difference,
    "neg": _negative,
    "mul": _product,
    "div": _quotient,
    "broadcast_in_dim": _same,
    "convert_element_type": _same,
    "copy": _same,
    "reshape": _same,
    "dot_general": _matrix_product,
    "gather": _rows_of_groups,
    "reduce_sum": _sum_of_columns,
}
