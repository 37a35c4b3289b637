"""Missing values: what was observed of a variable, what was not, and the whole.

A variable ``y`` some of whose observed values are missing becomes three: ``y_observed``, what was seen;
``y_unobserved``, the rest, a free variable; and ``y``, both in their places.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import Distribution, MultivariateNormal
from pyrox.dist.constraints import covers_reals
from pyrox.dist.parts import SeenCoordinates, UnseenCoordinates, as_normal, require_rows, take_batch
from pyrox.errors import ModelError, ShapeError, SupportError
from pyrox.model import values as host
from pyrox.model.nodes import Constant, Expression, Node, ancestors, describe
from pyrox.model.program import Data, Deterministic, DistExpression, RandomVariable, Statement
from pyrox.typing import Array, Shape

# What the names of the two parts end in.
SUFFIXES = "_observed", "_unobserved"

# Taking users' data in


def unmask(value: Any) -> Any:
    """Write what a container marks as missing (a mask, None, pandas' NA) as NaN; leave what has nothing missing."""
    if isinstance(value, np.ma.MaskedArray):
        return np.where(np.ma.getmaskarray(value), np.nan, value.data) if np.ma.is_masked(value) else value.data
    if hasattr(value, "isna") and hasattr(value, "to_numpy"):  # pandas
        gone = np.asarray(value.isna())
        if gone.any() and (plain := value.to_numpy()).dtype == object:
            return np.where(gone, np.nan, plain)
    return value


def find_gaps(observed: Any, what: str) -> np.ndarray | None:
    """Give observed values as an array of floats if some are missing (NaN), else None."""
    value = observed.eval() if isinstance(observed, Node) else host.as_host(observed, what)
    if value.dtype.kind != "f" or not np.isnan(value).any():
        return None
    host.require_not_infinite(value, what)
    if isinstance(observed, Node) and not isinstance(observed, Data):
        raise ModelError(
            f"{what} is an expression of data with missing values: give the Data themselves, "
            "px.Data(name, values), worked out before"
        )
    return value


# Nodes


class Pattern(NamedTuple):
    """What is missing in an array, found out anew whenever its data change.

    Attributes
    ----------
    values
        The array, NaN where something is missing.
    event_dim
        Number of axes of one draw.
    """

    values: np.ndarray
    event_dim: int

    @property
    def batch(self) -> Shape:
        return self.values.shape[: self.values.ndim - self.event_dim]

    @property
    def event(self) -> Shape:
        return self.values.shape[self.values.ndim - self.event_dim :]

    @property
    def present(self) -> np.ndarray:
        return ~np.isnan(self.values)

    @property
    def rows(self) -> np.ndarray:
        """The present ones in each draw, a row for each."""
        return self.present.reshape(int(np.prod(self.batch)), int(np.prod(self.event)))

    @property
    def is_ragged(self) -> bool:
        """Whether a draw was observed in part."""
        return bool(np.any(self.rows.any(axis=1) & ~self.rows.all(axis=1)))

    def draws(self, which: np.ndarray) -> np.ndarray:
        return self.values.reshape(-1, *self.event)[which]


def _positions(flags: np.ndarray) -> np.ndarray:
    return np.flatnonzero(flags).astype(jax.dtypes.canonicalize_dtype(np.int64))


def _classes(pattern: Pattern, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the different rows, and which of them each one is."""
    patterns, index = np.unique(pattern.rows[which], axis=0, return_inverse=True)
    return patterns, index.reshape(-1).astype(jax.dtypes.canonicalize_dtype(np.int64))


def _seen(pattern: Pattern) -> np.ndarray:
    return _positions(pattern.rows.any(axis=1))


def _torn(pattern: Pattern) -> np.ndarray:
    return _positions(~pattern.rows.all(axis=1))


# What a model keeps of a pattern, by name.
_PARTS: dict[str, Callable[[Pattern], np.ndarray]] = {
    "present": lambda p: p.present,
    # whole draws
    "observed": lambda p: p.draws(p.rows.all(axis=1)),
    "observed index": lambda p: _positions(p.rows.all(axis=1)),
    "missing index": lambda p: _positions(~p.rows.all(axis=1)),
    # coordinates of draws: rows of which anything was seen, rows of which anything was not
    "seen": lambda p: p.draws(_seen(p)),
    "seen index": _seen,
    "seen patterns": lambda p: _classes(p, _seen(p))[0],
    "seen classes": lambda p: _classes(p, _seen(p))[1],
    "torn": lambda p: p.draws(_torn(p)),
    "torn index": _torn,
    "torn patterns": lambda p: _classes(p, _torn(p))[0],
    "torn classes": lambda p: _classes(p, _torn(p))[1],
    "torn elements": lambda p: _positions(~p.rows[_torn(p)]),
    "elements": lambda p: _positions(~p.present),
}
# Those that are data, whatever shape the variable has.
_OF_DATA = ("observed", "seen")


class Gaps(Node):
    """What is missing of a variable: it follows its data, and knows when they no longer belong to its parameters.

    Parameters
    ----------
    dist
        Distribution of the whole variable.
    source
        The data: a ``Data``, or an array that never changes.
    label
        Name of the variable.
    dims
        Names of its axes.
    """

    struct = jax.ShapeDtypeStruct((), np.dtype(bool))

    def __init__(self, dist: DistExpression, source: Data | np.ndarray, label: str, dims: tuple | None) -> None:
        self.inputs = (dist, source) if isinstance(source, Data) else (dist,)
        self.fixed = None if isinstance(source, Data) else source
        self.label, self.dims = label, dims
        self.declared: Shape | None = None

    def compute(self, inputs: Any) -> bool:
        return True

    @property
    def source(self) -> Data | None:
        """The data, where they may change."""
        return self.inputs[1] if len(self.inputs) > 1 else None

    @property
    def values(self) -> np.ndarray:
        """The data as they stand."""
        return np.asarray(self.fixed if self.source is None else self.source.value, float)

    @property
    def pattern(self) -> Pattern:
        """What is missing at the moment; nothing, where the variable has another shape than its data (prediction)."""
        law, values = self.inputs[0].struct, self.values
        shape = values.shape if self.declared is None else self.declared
        pairs = zip_longest(law.shape[::-1], shape[::-1])
        shape = tuple(s if n in (None, 1) else n for n, s in pairs)[::-1]
        return Pattern(values if shape == values.shape else np.zeros(shape), len(law.event_shape))


class PatternPart(Constant):
    """A part of what is known of incomplete data: like a constant, but it follows ``set_data``.

    Parameters
    ----------
    gaps
        What is missing.
    part
        Which part.
    dtype
        Type of its elements, where it is not that of the data.
    """

    def __init__(self, gaps: Gaps, part: str, dtype: Any = None) -> None:
        self.inputs, self.part, self._dtype = (gaps,), part, dtype
        self.label = f"{gaps.label}:{part}"

    @property
    def gaps(self) -> Gaps:
        """What is missing."""
        return self.inputs[0]

    @property
    def value(self) -> np.ndarray:
        pattern = self.gaps.pattern
        if self.part in _OF_DATA:
            pattern = Pattern(self.gaps.values, pattern.event_dim)
        value = _PARTS[self.part](pattern)
        return value if self._dtype is None else value.astype(self._dtype)

    @property
    def struct(self) -> jax.ShapeDtypeStruct:
        value = self.value
        return jax.ShapeDtypeStruct(value.shape, value.dtype)


def take_rows(d: Distribution, present: Array, index: Array) -> Distribution:
    """Take those draws of a whole variable that an index lists."""
    return take_batch(_whole(d, present), index)


def _whole(d: Distribution, present: Array) -> Distribution:
    batch = present.shape[: present.ndim - d.event_dim]
    pairs = zip(d.batch_shape[::-1], batch[::-1], strict=False)
    if len(d.batch_shape) > len(batch) or any(a not in (1, b) for a, b in pairs):
        raise ShapeError(
            f"its distribution has batch shape {d.batch_shape}, its data with missing values {present.shape}: "
            "give both one length (px.set_data)"
        )
    return d.expand(batch)


def _normal_rows(d: Distribution, present: Array, index: Array) -> tuple[MultivariateNormal, Array]:
    """Give the vectors that an index lists, and which of their coordinates are there."""
    whole = _whole(d, present)
    normal, rows = require_rows(whole, whole.batch_shape), present.reshape(-1, *d.event_shape)
    tril = normal.scale_tril
    return MultivariateNormal(normal.loc[index], scale_tril=tril if tril.ndim == 2 else tril[index]), rows[index]


def seen_coordinates(d: Distribution, present: Array, index: Array, patterns: Array, which: Array) -> Distribution:
    """Give the distribution of those coordinates of normal vectors that were observed."""
    normal, seen = _normal_rows(d, present, index)
    return SeenCoordinates(normal, seen, patterns, which)


def unseen_coordinates(
    d: Distribution, present: Array, index: Array, patterns: Array, which: Array, elements: Array, observed: Array,
    seen_index: Array,
) -> Distribution:  # fmt: skip
    """Give the distribution of those coordinates of normal vectors that were not observed, given the others."""
    normal, seen = _normal_rows(d, present, index)
    rows = jnp.zeros((present.size // d.event_shape[0], *d.event_shape)).at[seen_index].set(observed)
    return UnseenCoordinates(normal, seen, patterns, which, rows[index], elements)


def join_rows(present: Array, observed: Array, index: Array, missing: Array, missing_index: Array) -> Array:
    """Put whole draws in their places."""
    _require_places(observed, index)
    event = observed.shape[1:]
    if jnp.issubdtype(missing.dtype, jnp.integer) and missing.shape[0]:
        # Each place reads one element: discrete variables can then be summed out one by one.
        count = present.size // int(np.prod(event))
        places = jnp.zeros(count, int).at[missing_index].set(jnp.arange(missing.shape[0]))
        known = jnp.zeros((count, *event), missing.dtype).at[index].set(observed)
        return jnp.where(present, known.reshape(present.shape), missing[places].reshape(present.shape))
    rows = jnp.zeros((present.size // int(np.prod(event)), *event), jnp.result_type(missing))
    rows = rows.at[index].set(observed, mode="promise_in_bounds", unique_indices=True)
    rows = rows.at[missing_index].set(missing, mode="promise_in_bounds", unique_indices=True)
    return rows.reshape(present.shape)


def join_coordinates(present: Array, observed: Array, index: Array, missing: Array, elements: Array) -> Array:
    """Put coordinates of vectors in their places."""
    _require_places(observed, index)
    rows = jnp.zeros((present.size // observed.shape[-1], observed.shape[-1]))
    rows = rows.at[index].set(observed, mode="promise_in_bounds", unique_indices=True)
    flat = jnp.ravel(rows).at[elements].set(missing, mode="promise_in_bounds", unique_indices=True)
    return flat.reshape(present.shape)


def _require_places(observed: Array, index: Array) -> None:
    if observed.shape[0] != index.shape[0]:
        raise ShapeError(
            f"observed values with missing ones are of {observed.shape[0]} rows, and do not fit the {index.shape[0]} "
            "worked out from them now: put them into px.Data and give new ones too, NaN where they are unknown"
        )


# The three variables


class Imputation(NamedTuple):
    """What stands for a variable with missing values.

    Attributes
    ----------
    whole
        Both parts in their places.
    observed, unobserved
        The parts.
    """

    whole: Deterministic
    observed: RandomVariable
    unobserved: RandomVariable

    @property
    def dist(self) -> DistExpression:
        """The distribution of the whole."""
        return self.observed.dist.inputs[0]

    @property
    def source(self) -> Data | None:
        """The data, where they may change."""
        return self.observed.observed.gaps.source


def imputations(statements: Iterable[Statement]) -> dict[str, Imputation]:
    """Find the variables with missing values, by name."""
    found = {}
    for node in statements:
        made = node.inputs[0] if type(node) is Deterministic else None
        if isinstance(made, Expression) and made.fn in (join_rows, join_coordinates):
            _, observed, _, unobserved, _ = made.inputs
            found[node.name] = Imputation(node, observed, unobserved)
    return found


def fill_gaps(values: np.ndarray, support: Any, event_dim: int) -> np.ndarray:
    """Put members of the support where values are missing, so that the others can be checked as they stand."""
    pattern = Pattern(values, event_dim)
    if support is None or covers_reals(support):
        present = values[pattern.present]
        return np.where(pattern.present, values, present[0] if present.size else 0.0)
    whole = np.all(pattern.present, axis=tuple(range(values.ndim - event_dim, values.ndim)), keepdims=True)
    with jax.ensure_compile_time_eval():
        return np.where(whole, values, np.asarray(support.feasible_like(jnp.zeros(values.shape))))


def impute(template: RandomVariable, source: Data | np.ndarray) -> list[Statement]:
    """Make the three variables that stand for one.

    Parameters
    ----------
    template
        The variable, with the missing values filled in.
    source
        Its data.

    Returns
    -------
    What was observed, what was not, and the whole.

    Raises
    ------
    ModelError
        If draws of a family are observed in part that can only be observed as a whole.
    """
    name, dist, event_dim = template.name, template.dist, len(template.dist.struct.event_shape)
    if template.total_size is not None:
        raise ModelError(f"{name}: total_size is for subsamples of complete data; met missing values")
    pattern = Pattern(np.asarray(source.value if isinstance(source, Data) else source, float), event_dim)
    torn = event_dim > 0 and _has_coordinates(dist) and (pattern.is_ragged or isinstance(source, Data))
    _require_whole_draws(name, dist, pattern, torn=torn)
    parts = [f"{name}{suffix}" for suffix in SUFFIXES]

    gaps = Gaps(dist, source, name, template.dims)

    def part(of: str, dtype: Any = None) -> PatternPart:
        return PatternPart(gaps, of, dtype)

    event_dims = (None,) * event_dim if template.dims is None else template.dims[template.ndim - event_dim :]
    present, seen_dims = part("present"), (f"{parts[0]}_dim_0", *event_dims)
    if torn:
        taken = present, part("seen index"), part("seen patterns"), part("seen classes")
        seen = _variable(parts[0], DistExpression(seen_coordinates, (dist, *taken), {}), seen_dims, part("seen"))
        torn_parts = [part(f"torn {x}") for x in ("index", "patterns", "classes", "elements")]
        given = DistExpression(unseen_coordinates, (dist, present, *torn_parts, seen, taken[1]), {})
        rest = _variable(parts[1], given, (f"{parts[1]}_dim_0",))
        joined = Expression(join_coordinates, (present, seen, taken[1], rest, part("elements")), {})
    else:
        index = [part("observed index"), part("missing index")]
        laws = [DistExpression(take_rows, (dist, present, i), {}) for i in index]
        seen = _variable(parts[0], laws[0], seen_dims, part("observed", dist.struct.dtype))
        rest = _variable(parts[1], laws[1], (f"{parts[1]}_dim_0", *event_dims))
        joined = Expression(join_rows, (present, seen, index[0], rest, index[1]), {})
    whole = Deterministic(name, joined, template.dims)
    rest.transform = template.transform
    if template.initval is not None:
        at = _PARTS["elements" if torn else "missing index"](pattern)
        rest.initval = template.initval.reshape(-1, *(() if torn else pattern.event))[at]
    return [seen, rest, whole]


def _variable(name: str, dist: DistExpression, dims: tuple, observed: Node | None = None) -> RandomVariable:
    shape = dist.struct.shape
    struct = jax.ShapeDtypeStruct(shape, dist.struct.dtype)
    return RandomVariable(name, dist, dims, shape, observed, None, None, struct)


def _has_coordinates(dist: DistExpression) -> bool:
    found = []
    jax.eval_shape(lambda d: found.append(as_normal(d) is not None), dist.abstract)
    return found[0] and len(dist.struct.event_shape) == 1


def _require_whole_draws(name: str, dist: DistExpression, pattern: Pattern, *, torn: bool) -> None:
    if not pattern.is_ragged or torn:
        return
    at = int(np.flatnonzero(pattern.rows.any(axis=1) & ~pattern.rows.all(axis=1))[0])
    where = tuple(int(i) for i in np.unravel_index(at, pattern.batch))
    raise ModelError(
        f"{name}: the draw at {where if where else 'hand'} of shape {pattern.event} is observed in part, which a "
        f"{dist.fn.__name__} cannot be: write the whole draw as missing (NaN), or leave it out. Parts of a draw can be "
        "missing of MvNormal, LowRankMultivariateNormal and GaussianRandomWalk with normal first value"
    )


# Data that change


def follow(variable: Statement, registry: Any) -> bool:
    """Give the dim of a part its present length and labels; tell whether what is missing has changed."""
    fn = getattr(variable.dist, "fn", None) if isinstance(variable, RandomVariable) else None
    if fn not in (take_rows, seen_coordinates, unseen_coordinates):
        return False
    base, present, index = variable.dist.inputs[:3]
    gaps, dim = present.gaps, variable.dims[0]
    gaps.declared = None if gaps.dims is None else tuple(
        n if d is None else registry.lengths[d] for d, n in zip(gaps.dims, gaps.values.shape, strict=True)
    )  # fmt: skip
    pattern = gaps.pattern
    _require_whole_draws(gaps.label, base, pattern, torn=fn is not take_rows)
    shape = pattern.values.shape if fn is unseen_coordinates else pattern.batch
    positions = _PARTS["elements"](pattern) if fn is unseen_coordinates else index.value
    former = registry.lengths.get(dim), registry.coords.get(dim)
    now = len(positions), _labels(positions, shape, gaps.dims, registry.coords)
    registry.lengths[dim], registry.coords[dim] = now
    if former[0] not in (None, now[0]):
        variable.initval = None  # it was that of another pattern
    return former != now


def _labels(positions: np.ndarray, shape: Shape, dims: tuple | None, coords: Mapping[str, tuple | None]) -> tuple:
    """Label positions by what labels the axes: one label, or several joined by commas."""
    if not shape:
        return tuple(positions.tolist())
    columns = []
    for axis, index in enumerate(np.unravel_index(positions, shape)):
        known = coords.get(dims[axis]) if dims is not None and dims[axis] is not None else None
        columns.append([i if known is None else known[i] for i in index.tolist()])
    if len(columns) == 1:
        return tuple(columns[0])
    return tuple(", ".join(map(str, row)) for row in zip(*columns, strict=True))


def require_allowed_gaps(data: Data, array: np.ndarray, statements: Iterable[Statement], what: str) -> None:
    """Refuse new values with missing ones, unless they are for nothing but a variable that imputes them."""
    if array.dtype.kind not in "fc" or np.isfinite(array).all():
        return
    host.require_not_infinite(array, what)
    users = [n for n in ancestors(list(statements)) if data in n.inputs and not isinstance(n, Gaps)]
    if not users:
        return
    node = users[0]
    if isinstance(node, RandomVariable) and node.observed is data:
        reason = f"{node.name!r} was written with complete data: to impute, it needs missing ones from the start"
    else:
        reason = f"{describe(node)} is worked out from it, and only observed= imputes: remove or replace them first"
    host.require_finite(array, what, reason)


def require_complete_inputs(node: Statement) -> None:
    """Refuse a statement that calculates with incomplete data."""
    todo, done = list(node.inputs), set()
    while todo:
        above = todo.pop()
        if above in done or isinstance(above, PatternPart):
            continue
        done.add(above)
        if isinstance(above, Data) and above.value.dtype.kind == "f" and np.isnan(above.value).any():
            raise SupportError(
                f"{node.name}: Data {above.name!r} has missing values ({int(np.isnan(above.value).sum())} NaN), which "
                f"nothing can be worked out from. To impute them, give them a distribution: "
                f'px.Normal("x", ..., observed={above.name})'
            )
        if not isinstance(above, Statement):
            todo.extend(above.inputs)
