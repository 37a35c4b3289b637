"""Sum discrete variables out of a sum of tables, one after the other, and go back to draw or weigh them.

A table is the logarithm of a factor: its first axes enumerate the values of the variables in its *scope*, its last
axes, the *rows*, are elements of the model. Each variable has elements of its own (its *plate*); a table says how its
rows belong to them. A variable can be summed out as soon as every other variable in its tables has one element for
each of its own: its tables are then added up element by element, and what remains is one table without it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist.markov import draw_states, filter_states, log_evidence, log_sum_exp, smooth_states
from pyrox.model.axes import Along, index_of
from pyrox.model.spread import total
from pyrox.typing import Array, Key, Shape


class Variable(NamedTuple):
    """One variable to be summed out.

    Attributes
    ----------
    name
        Its name.
    count
        Number of its values: of one element, or of all elements that are enumerated together.
    plate
        Lengths of the axes along which its elements are summed out one by one.
    chain
        Whether it is a Markov chain along the last of them.
    """

    name: str
    count: int
    plate: Shape
    chain: bool = False


@dataclass(frozen=True)
class Table:
    """The logarithm of a factor.

    Attributes
    ----------
    name
        The site that it came from.
    scope
        The variables that it depends on, in the order of its axes.
    rows
        Lengths of its row axes; the array may have length one where it is constant.
    maps
        For each variable of the scope, the row axis that each axis of its plate follows.
    array
        The numbers; None while a plan is made.
    weight
        Number of what its log-density is multiplied by; None for nothing.
    chain
        ``"start"`` or ``"moves"`` for the parameters of a Markov chain, whose states are further axes at the end.
    """

    name: str
    scope: tuple[str, ...]
    rows: Shape
    maps: Mapping[str, tuple[Along, ...]]
    array: Any = None
    weight: int | None = None
    chain: str | None = None

    @property
    def stored(self) -> Shape:
        """Lengths of the row axes as stored."""
        first = len(self.scope)
        return tuple(jnp.shape(self.array)[first : first + len(self.rows)])

    def fits(self, variable: Variable) -> bool:
        """Tell whether each other variable has one element for each element of this one."""
        own = self.maps[variable.name]
        others = [along for name in self.scope if name != variable.name for along in self.maps[name]]
        return all(_place(along, own) is not None for along in others)


def _place(along: Along, own: Sequence[Along]) -> Along | None:
    """Give the same following along the plate of a variable, whose axes follow ``own``; None where there is none."""
    for i, mine in enumerate(own):
        if mine.axis == along.axis and mine.index in (None, along.index):
            return Along(i, along.index if mine.index is None else None)
    return None


@dataclass(frozen=True)
class Clique:
    """What stands together when a variable is summed out: one table, by elements of the variable.

    Attributes
    ----------
    variable
        The variable.
    joint
        All its tables added up, its own axis first: ``(K, K of the others, elements)``.
    start, moves
        Parameters of a Markov chain.
    """

    variable: Variable
    joint: Table
    start: Table | None = None
    moves: Table | None = None

    @property
    def others(self) -> tuple[str, ...]:
        """The variables that stand with it, and are summed out later."""
        return self.joint.scope[1:]


class Elimination:
    """Sums of tables over variables.

    Parameters
    ----------
    variables
        The variables.
    order
        Their names, in the order in which they are summed out.
    tables
        The tables.
    indices
        Index arrays by key.
    weights
        What log-densities are multiplied by.
    """

    def __init__(
        self,
        variables: Sequence[Variable],
        order: Sequence[str],
        tables: Sequence[Table],
        indices: Mapping[Any, Array],
        weights: Sequence[Any],
    ) -> None:
        self.variables = {v.name: v for v in variables}
        self.tables, self.indices, self.weights = list(tables), indices, weights
        self.cliques: list[Clique] = []
        left = list(tables)
        for name in order:
            variable = self.variables[name]
            mine = [t for t in left if name in t.scope]
            left = [t for t in left if name not in t.scope]
            clique = self._gather(variable, mine)
            self.cliques.append(clique)
            left.append(self._sum_out(clique))
        self.remaining = left

    def log_sum(self) -> Array:
        """Give the sum over all variables, a scalar."""
        parts = [self._weighted(t, total(t.array, t.stored, t.rows)) for t in self.remaining]
        return sum(parts[1:], start=parts[0]) if parts else jnp.zeros(())

    def _weighted(self, table: Table, array: Array) -> Array:
        return array if table.weight is None else array * self.weights[table.weight]

    # Forwards

    def _gather(self, variable: Variable, tables: list[Table]) -> Clique:
        """Add up the tables of a variable, by its elements."""
        if len({t.weight for t in tables}) > 1:  # only possible without a plate: all is one term
            tables = [replace(t, array=self._weighted(t, t.array), weight=None) for t in tables]
        own = {t.chain: t for t in tables if t.chain}
        by_element = [self._to_elements(t, variable) for t in tables if not t.chain]
        scope = (variable.name, *(n for n in self.variables if n != variable.name
                                  and any(n in t.scope for t in tables)))  # fmt: skip
        arrays = [_arrange(t, scope) for t in by_element]
        if not arrays:  # a chain that nothing depends on
            arrays = [jnp.zeros((variable.count,) + (1,) * (len(scope) - 1 + len(variable.plate)))]
        maps = join_maps([*own.values(), *by_element])
        array = sum(arrays[1:], start=arrays[0])
        joint = Table(variable.name, scope, variable.plate, maps, array, tables[0].weight)
        return Clique(variable, joint, own.get("start"), own.get("moves"))

    def _to_elements(self, table: Table, variable: Variable) -> Table:
        """Add up the rows of each element of a variable."""
        own, first = table.maps[variable.name], len(table.scope)
        used = [along.axis for along in own]
        array, stored = table.array, table.stored
        spare = [a for a in range(len(table.rows)) if a not in used]
        array = jnp.moveaxis(array, [first + a for a in (*dict.fromkeys(used), *spare)], range(first, array.ndim))
        array = total(array, [stored[a] for a in spare], [table.rows[a] for a in spare])
        for i, axis in enumerate(dict.fromkeys(used)):
            to = [b for b, along in enumerate(own) if along.axis == axis]
            if len(to) > 1 or own[to[0]].index is not None:
                array = self._segment(array, first + i, table.rows[axis], [own[b] for b in to],
                                      [variable.plate[b] for b in to])  # fmt: skip
        # A row axis that several plate axes follow has become one flat axis for all of them.
        groups = [[b for b, along in enumerate(own) if along.axis == axis] for axis in dict.fromkeys(used)]
        shape = list(array.shape[:first])
        for i, to in enumerate(groups):
            shape += [variable.plate[b] for b in to] if len(to) > 1 else [array.shape[first + i]]
        array = array.reshape(shape)
        flat = [b for to in groups for b in to]
        array = jnp.moveaxis(array, range(first, array.ndim), [first + b for b in flat])
        others = {n: tuple(_place(a, own) for a in table.maps[n]) for n in table.scope if n != variable.name}
        plain = tuple(Along(b) for b in range(len(own)))
        return replace(table, rows=variable.plate, maps={**others, variable.name: plain}, array=array)

    def _segment(self, array: Array, axis: int, length: int, own: list[Along], sizes: list[int]) -> Array:
        """Add up slices that belong to one element."""
        flat = self._flat_index(own, length, sizes)
        rows = jnp.moveaxis(jnp.broadcast_to(array, (*array.shape[:axis], length, *array.shape[axis + 1 :])), axis, 0)
        sums = jnp.zeros((int(np.prod(sizes)), *rows.shape[1:]), rows.dtype).at[flat].add(rows, mode="clip")
        return jnp.moveaxis(sums, 0, axis)

    def _flat_index(self, own: Sequence[Along], length: int, sizes: Sequence[int]) -> Array:
        flat = 0
        for along, size in zip(own, sizes, strict=True):
            flat = flat * size + (np.arange(length) if along.index is None else index_of(along.index, self.indices))
        return flat

    def _sum_out(self, clique: Clique) -> Table:
        joint, variable = clique.joint, clique.variable
        maps = {n: joint.maps[n] for n in clique.others}
        if variable.chain:
            array, rows = log_evidence(*self._chain(clique)), joint.rows[:-1]
        else:
            array, rows = log_sum_exp(joint.array, 0), joint.rows
        return Table(variable.name, clique.others, rows, maps, array, joint.weight)

    def _chain(self, clique: Clique) -> tuple[Array, Array, Array]:
        """Arrange start, moves and emissions of a chain: time first, states last, variables and copies between."""
        joint, steps = clique.joint, clique.variable.plate[-1]
        emission = jnp.moveaxis(joint.array, (0, -1), (-1, 0))
        emission = jnp.broadcast_to(emission, (steps, *emission.shape[1:]))
        start = _arrange(clique.start, joint.scope, skip=1)
        moves = _arrange(clique.moves, joint.scope, skip=1)
        between = jnp.broadcast_shapes(emission.shape[1:-1], start.shape[:-1])
        if moves.ndim > start.ndim + 1:  # a matrix for each move
            moves = jnp.moveaxis(moves, -3, 0)
            between = jnp.broadcast_shapes(between, moves.shape[1:-2])
            moves = jnp.broadcast_to(moves, (steps - 1, *between, *moves.shape[-2:]))
        else:
            between = jnp.broadcast_shapes(between, moves.shape[:-2])
        count = clique.variable.count
        return (
            jnp.broadcast_to(start, (*between, count)), moves, jnp.broadcast_to(emission, (steps, *between, count))
        )  # fmt: skip

    # Backwards

    def draw(self, key: Key) -> dict[str, Array]:
        """Draw the variables given everything else: the number of a value for each element."""
        drawn: dict[str, Array] = {}
        for i, clique in enumerate(reversed(self.cliques)):
            drawn[clique.variable.name] = self._draw_one(jax.random.fold_in(key, i), clique, drawn)
        return drawn

    def _draw_one(self, key: Key, clique: Clique, drawn: Mapping[str, Array]) -> Array:
        variable, joint = clique.variable, clique.joint
        if variable.chain:
            start, moves, emission = self._chain(clique)
            filtered, between = filter_states(start, moves, emission), joint.rows[:-1]
            if moves.ndim > start.ndim + 1:
                moves = self._choose(moves, 1, clique, drawn, between)
            else:
                moves = jnp.broadcast_to(moves, (*start.shape, start.shape[-1]))
                moves = self._choose(moves, 0, clique, drawn, between)
            filtered = self._choose(filtered, 1, clique, drawn, between)
            return jnp.moveaxis(draw_states(key, filtered, moves), 0, -1)
        logits = self._choose(joint.array, 1, clique, drawn, joint.rows)
        return jax.random.categorical(key, logits, axis=0)

    def _choose(self, array: Array, first: int, clique: Clique, drawn: Mapping[str, Array], rows: Shape) -> Array:
        """Take the values drawn for the other variables; their axes begin at ``first``, the rows come next."""
        count = len(clique.others)
        tail = array.shape[first + count + len(rows) :]
        array = jnp.broadcast_to(array, (*array.shape[: first + count], *rows, *tail))
        for name in clique.others:
            at = self._at_elements(drawn[name], clique.joint.maps[name], rows, 0)
            at = at.reshape((1,) * (array.ndim - len(rows) - len(tail)) + at.shape + (1,) * len(tail))
            array = jnp.take_along_axis(array, at, axis=first).squeeze(first)
        return array

    def _at_elements(self, values: Array, maps: Sequence[Along], rows: Shape, first: int) -> Array:
        """Read values by elements of one variable, whose axes begin at ``first``, at rows that follow them."""
        if not maps:
            return jnp.broadcast_to(values.reshape(values.shape + (1,) * len(rows)), (*values.shape[:first], *rows))
        index: list[Any] = [slice(None)] * first
        for along in maps:
            length = rows[along.axis]
            at = np.arange(length) if along.index is None else index_of(along.index, self.indices)
            index.append(jnp.asarray(at).reshape([length if a == along.axis else 1 for a in range(len(rows))]))
        return jnp.broadcast_to(values[tuple(index)], (*values.shape[:first], *rows))

    def posteriors(self) -> dict[str, Table]:
        """Give, for each variable, the log-probabilities of its values and those of the others in its clique."""
        known: dict[str, Table] = {}
        for clique in reversed(self.cliques):
            joint, rows = clique.joint, clique.joint.rows
            if clique.variable.chain:
                start, moves, emission = self._chain(clique)
                given = smooth_states(filter_states(start, moves, emission), moves)
                given = jnp.moveaxis(given, (0, -1), (-1, 0))
            else:
                sums = log_sum_exp(joint.array, 0)[None]
                given = joint.array - jnp.where(jnp.isfinite(sums), sums, 0)  # of what is impossible all parts are
            given = jnp.broadcast_to(given, (*given.shape[: len(joint.scope)], *rows))
            if clique.others:
                given = given + self._weigh(clique, known)[None]
            known[clique.variable.name] = replace(joint, array=given)
        return known

    def _weigh(self, clique: Clique, known: Mapping[str, Table]) -> Array:
        """Give the log-probabilities of the other variables of a clique, at its elements."""
        first = next(c.variable.name for c in self.cliques if c.variable.name in clique.others)
        return self.marginal(known[first], clique.others, clique.joint.maps[first], clique.joint.rows)

    def marginal(self, posterior: Table, scope: Sequence[str], maps: Sequence[Along], rows: Shape) -> Array:
        """Give the log-probabilities of some variables of a clique at rows that follow the elements of its first."""
        away = tuple(i for i, name in enumerate(posterior.scope) if name not in scope)
        array = log_sum_exp(posterior.array, away) if away else posterior.array
        left = [name for name in posterior.scope if name in scope]
        array = jnp.transpose(array, [*(left.index(n) for n in scope), *range(len(left), array.ndim)])
        return self._at_elements(array, maps, rows, len(left))

    def pointwise(self, table: Table) -> Array:
        r"""Give the log-probability of each row given all other rows.

        .. math:: \log p(y_i \mid y_{-i}) = -\log E[1 / p(y_i \mid z) \mid y]
        """
        owner = next(c for c in self.cliques if c.variable.name in table.scope)
        name = owner.variable.name
        weight = self.marginal(self._posteriors[name], table.scope, table.maps[name], table.rows)
        return -log_sum_exp(weight - table.array, tuple(range(len(table.scope))))

    @property
    def _posteriors(self) -> dict[str, Table]:
        if "_known" not in self.__dict__:
            self._known = self.posteriors()
        return self._known


def join_maps(tables: Sequence[Table]) -> dict[str, tuple[Along, ...]]:
    """Put together what tables of one row space say of their variables."""
    return {name: along for t in tables for name, along in t.maps.items()}


def _arrange(table: Table, scope: Sequence[str], skip: int = 0) -> Array:
    """Bring the axes of variables into an order, at length one where a table does not depend on one."""
    names = table.scope if not table.chain else table.scope[1:]
    wanted = scope[skip:]
    rest = table.array.ndim - len(names)
    array = jnp.transpose(
        table.array, [*(names.index(n) for n in wanted if n in names), *range(len(names), len(names) + rest)]
    )
    missing = [i for i, n in enumerate(wanted) if n not in names]
    return jnp.expand_dims(array, missing)


def find_order(variables: Sequence[Variable], tables: Sequence[Table], limit: int) -> tuple[list[str], list[str]]:
    """Find an order in which variables can be summed out, the cheapest first.

    Returns
    -------
    The order, and the variables that cannot be summed out so, or only by tables of more than ``limit`` numbers.
    """
    left, order, rest = list(tables), [], {v.name: v for v in variables}
    counts = {v.name: v.count for v in variables}
    while rest:
        costs = {}
        for variable in rest.values():
            mine = [t for t in left if variable.name in t.scope]
            if all(_can_go(t, variable) for t in mine) and _agree(mine, variable):
                scope = {n for t in mine for n in t.scope}
                costs[variable.name] = int(np.prod([counts[n] for n in scope])) * int(np.prod(variable.plate))
        name = min(costs, key=costs.get, default=None)
        if name is None or costs[name] > limit:
            return order, list(rest)
        variable = rest.pop(name)
        mine = [t for t in left if name in t.scope]
        scope = tuple(n for n in counts if n != name and any(n in t.scope for t in mine))
        rows = variable.plate[:-1] if variable.chain else variable.plate
        maps = {n: a for t in mine for n, a in _seen_from(t, variable).items()}
        left = [t for t in left if name not in t.scope] + [Table(name, scope, rows, maps)]
        order.append(name)
    return order, []


def _can_go(table: Table, variable: Variable) -> bool:
    if table.chain is not None and table.scope[0] != variable.name:
        return False  # the chain has to go first
    if not table.fits(variable):
        return False
    last = len(variable.plate) - 1
    return not variable.chain or all(a.axis != last for maps in _seen_from(table, variable).values() for a in maps)


def _seen_from(table: Table, variable: Variable) -> dict[str, tuple]:
    own = table.maps[variable.name]
    return {n: tuple(_place(a, own) for a in table.maps[n]) for n in table.scope if n != variable.name}


def _agree(tables: Sequence[Table], variable: Variable) -> bool:
    """Tell whether all tables of a variable see the others in the same places."""
    seen: dict[str, tuple] = {}
    for table in tables:
        for name, maps in _seen_from(table, variable).items():
            if seen.setdefault(name, maps) != maps:
                return False
    return True
