"""Plan how the discrete variables of a program are summed out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist.markov import log_sum_exp
from pyrox.errors import ModelError
from pyrox.model.axes import Along, Follows
from pyrox.model.elimination import Table, Variable, find_order
from pyrox.model.site import DiscreteSite
from pyrox.model.sites import Sites, Values
from pyrox.model.spread import Spread, SpreadRun
from pyrox.model.tabulate import JACOBIAN, Tabulate
from pyrox.typing import Array, Shape, Tree

# Elements that cannot be summed out one by one are enumerated together, as long as they have no more values than so:
# the model is evaluated that many times for one gradient.
MOST_JOINT = 1024
# Most numbers of one table.
MOST_NUMBERS = 2**24
WAYS_OUT = (
    "write the model so that each element of it has observations of its own, sum it out by hand (px.Mixture, or "
    "px.Potential with px.math.logsumexp), or make it continuous"
)

Run = Callable[[Tree, Any], None]


class Support(NamedTuple):
    """The values of a discrete variable: whole numbers from ``low`` to ``high``, which may differ by element."""

    low: np.ndarray
    high: np.ndarray
    is_known: bool  # whether they are the same with any data

    @property
    def count(self) -> int:
        """Number of values of the element that has most."""
        return int(np.max(self.high - self.low)) + 1

    @property
    def is_one(self) -> bool:
        """Whether all elements have the same values."""
        return bool(np.all(self.low == np.ravel(self.low)[0]) and np.all(self.high == np.ravel(self.high)[0]))

    def equals(self, other: "Support") -> bool:
        """Tell whether another support has the same values."""
        return np.array_equal(self.low, other.low) and np.array_equal(self.high, other.high)

    def first(self, shape: Shape) -> np.ndarray:
        """Give the first value: one number, or one for each element."""
        return np.ravel(self.low)[0] if self.is_one else np.broadcast_to(self.low, shape)


class Bounds(Values):
    """Find the bounds of the supports of discrete variables."""

    def __init__(self, sites: Sites, position: Array, data: Tree) -> None:
        Values.__init__(self, sites, position, data)
        self.discrete = placeholders(sites)
        self.bounds: dict[str, tuple[Any, Any]] = {}

    def enumerate(self, msg: Any) -> Array:
        """See a discrete variable."""
        support, name = msg["fn"].support, msg["name"]
        support = getattr(support, "base", support)
        bounds = getattr(support, "lower_bound", 0), getattr(support, "upper_bound", 1)
        self.bounds[name] = tuple(jnp.asarray(bound) for bound in bounds)
        return self.discrete[name]


def placeholders(sites: Sites) -> dict[str, Array]:
    """Give values of the discrete variables where any values do."""
    return {name: jnp.full(site.shape, site.low, int) for name, site in sites.discrete.items()}


def find_supports(run: Run, sites: Sites, data: Tree) -> dict[str, Support]:
    """Work out the values of each discrete variable.

    Raises
    ------
    ModelError
        If they depend on other variables.
    """

    def bounds(position: Array, data: Tree, values: dict[str, Array]) -> dict:
        handler = Bounds(sites, position, data)
        handler.discrete = values
        run(data, handler)
        return handler.bounds

    data = jax.tree.map(jnp.asarray, data)
    args = jnp.zeros(sites.dim), data, placeholders(sites)
    closed, shapes = jax.make_jaxpr(bounds, return_shape=True)(*args)
    of_data, of_values = [{"data": ()} for _ in jax.tree.leaves(data)], [{n: ()} for n in sorted(args[2])]
    follows: list[Follows] = [{"others": ()}, *of_data, *of_values]
    spread = [Spread(x, jnp.shape(x), f) for x, f in zip(jax.tree.leaves(args), follows, strict=True)]
    outs: list[Spread] = []
    jax.eval_shape(lambda: outs.extend(SpreadRun()(closed, spread)))
    known = {}
    for name, ends in jax.tree.unflatten(jax.tree.structure(shapes), outs).items():
        known[name] = not any("data" in end.follows for end in ends)
        if any(end.follows.keys() - {"data"} for end in ends):
            raise ModelError(
                f"the values of the discrete variable {name!r} depend on other variables, and cannot be listed: "
                "give it bounds that are known, and probabilities of zero where a value is impossible"
            )
    found = jax.jit(bounds)(*args)
    for name, ends in found.items():
        if not all(np.isfinite(end).all() for end in ends):
            raise ModelError(f"the discrete variable {name!r} has no last value: cut it off, px.Truncated(upper=...)")
    whole = {name: [np.asarray(end).astype(int) for end in found[name]] for name in sites.discrete}
    return {name: Support(*ends, known[name]) for name, ends in whole.items()}


@dataclass(frozen=True)
class Sum:
    """How one variable is summed out.

    Attributes
    ----------
    site, support
        The variable.
    plate
        Its axes whose elements are summed out one by one.
    joint
        Its other axes, whose elements are enumerated together.
    is_chain
        Whether it is a Markov chain, summed out along its last axis by the forward algorithm.
    """

    name: str
    site: DiscreteSite
    support: Support
    plate: tuple[int, ...]
    joint: tuple[int, ...]
    is_chain: bool

    @property
    def count(self) -> int:
        """Number of values to try."""
        return self.support.count ** int(np.prod([self.site.shape[a] for a in self.joint], dtype=int))

    @property
    def variable(self) -> Variable:
        """What elimination knows of it."""
        return Variable(self.name, self.count, tuple(self.site.shape[a] for a in self.plate), self.is_chain)

    def _numbers(self) -> np.ndarray:
        """Count the values to try from zero on: ``(count, *shape)``, at length one where they are the same."""
        together = int(np.prod([self.site.shape[a] for a in self.joint], dtype=int))
        digits = np.indices((self.support.count,) * together).reshape(together, -1).T
        return digits.reshape(self.count, *(n if a in self.joint else 1 for a, n in enumerate(self.site.shape)))

    def values(self) -> np.ndarray:
        """List the values to try; those beyond the support of an element count for nothing there."""
        return self._numbers() + self.support.first(self.site.shape)

    def pick(self, drawn: Array) -> Array:
        """Give the values whose numbers were drawn for each element of the plate."""
        chosen, first = jnp.asarray(self._numbers())[drawn], jnp.ndim(drawn)
        # Axes of the plate first, then those of the value, of which the plate's have length one.
        chosen = jnp.squeeze(chosen, tuple(first + a for a in self.plate))
        chosen = jnp.moveaxis(chosen, range(first), self.plate) if self.plate else chosen
        return chosen + self.support.first(self.site.shape)

    def split(self, logs: Array) -> Array:
        """Make of log-probabilities ``(count, *plate)`` those of each element, its values along a last axis."""
        values = self._numbers()  # (count, *shape), the plate's axes at length one
        wide = jnp.expand_dims(logs, [1 + a for a in self.joint]) if self.joint else logs
        each = [log_sum_exp(jnp.where(values == k, wide, -jnp.inf), 0) for k in range(self.support.count)]
        return jnp.broadcast_to(jnp.stack(each, -1), (*self.site.shape, self.support.count))

    def __str__(self) -> str:
        shape, count = self.site.shape, self.support.count
        elements = int(np.prod([shape[a] for a in self.plate], dtype=int))
        if self.is_chain:
            steps, copies = shape[-1], elements // shape[-1]
            many = f"{copies} chains of {steps} steps" if copies > 1 else f"a chain of {steps} steps"
            return f"{self.name}: {many}, {count} states, by the forward algorithm"
        if int(np.prod([shape[a] for a in self.joint], dtype=int)) > 1:
            together = int(np.prod([shape[a] for a in self.joint], dtype=int))
            copies = f"{elements} times " if self.plate else ""
            return f"{self.name}: {copies}{together} elements of {count} values together, {self.count} combinations"
        if not self.plate:
            return f"{self.name}: {count} values"
        return f"{self.name}: {elements} elements of {count} values, one by one"


@dataclass(frozen=True)
class EnumerationPlan:
    """How the discrete variables of a model are summed out.

    Attributes
    ----------
    sums
        By variable.
    order
        The variables in the order in which they are summed out.
    tables
        The terms that depend on discrete variables, without numbers.
    numbers
        Numbers of all tables: what one evaluation of the log-density costs.
    drawn
        Discrete variables on which nothing depends: they need no sum, and are drawn.

    Examples
    --------
    >>> import pyrox as px
    >>> from pyrox.model import LogDensity
    >>> with px.Model() as model:
    ...     k = px.Categorical("k", [0.3, 0.7])
    ...     y = px.Normal("y", k * 5.0, px.HalfNormal("s"), observed=4.8)
    >>> LogDensity.build(model).marginal.plan.order
    ('k',)
    """

    sums: Mapping[str, Sum]
    order: tuple[str, ...]
    tables: tuple[Table, ...]
    numbers: int
    drawn: tuple[str, ...] = ()

    def restrict(self, table: Table) -> Table:
        """Keep of what a table follows the axes whose elements are summed out one by one."""
        return _restrict(table, self.sums)

    def __str__(self) -> str:
        if not self.order and not self.drawn:
            return "The model has no discrete variables: nothing is summed out."
        drawn = [f"  {name}: drawn given the others, nothing depends on it" for name in self.drawn]
        if not self.order:
            return "\n".join(["No discrete variable has to be summed out:", *drawn])
        lines = [*(f"  {self.sums[name]}" for name in self.order), *drawn]
        lines.append(f"  tables of {self.numbers} numbers in all")
        return "\n".join(["Discrete variables are summed out exactly:", *lines])

    __repr__ = __str__


def make_plan(run: Run, sites: Sites, data: Tree, supports: Mapping[str, Support]) -> EnumerationPlan:
    """Find out how the discrete variables can be summed out.

    Raises
    ------
    ModelError
        If they cannot; it names the variable and the site that keeps it from that.
    """
    chains = {name for name, site in sites.discrete.items() if site.is_chain and site.shape[-1] > 1}
    while True:
        tables, weights = tabulate_shapes(run, sites, data, chains)
        mixed = {name: _mixed_axes(name, site.shape, tables) for name, site in sites.discrete.items()}
        broken = {name for name in chains if len(sites.discrete[name].shape) - 1 in mixed[name]}
        if not broken:
            break
        chains -= broken
    joint = {name: set(axes) for name, axes in mixed.items()}
    while True:
        sums = {
            name: _sum(name, site, supports[name], joint[name], tables, is_chain=name in chains)
            for name, site in sites.discrete.items()
        }
        variables = [s.variable for s in sums.values()]
        restricted = [_restrict(t, sums) for t in tables]
        order, stuck = find_order(variables, restricted, MOST_NUMBERS)
        if not stuck:
            break
        _enumerate_more(stuck, sums, joint, tables)
    _require_one_weight(sums, restricted, weights)
    numbers = sum(
        int(np.prod([sums[n].count for n in t.scope])) * int(np.prod(t.rows)) for t in restricted if not t.chain
    ) + sum(s.support.count**2 * int(np.prod(s.variable.plate)) for s in sums.values() if s.is_chain)
    return EnumerationPlan(sums, tuple(order), tuple(restricted), numbers)


def _mixed_axes(name: str, shape: Shape, tables: Sequence[Table]) -> set[int]:
    """Find the axes of a variable that some site does not follow."""
    mixed = {a for a, n in enumerate(shape) if n == 1}
    for table in tables:
        if name in table.scope and not table.chain:
            mixed |= {a for a, along in enumerate(table.maps[name]) if along is None}
    return mixed


def _sum(
    name: str, site: DiscreteSite, support: Support, joint: set[int], tables: Sequence[Table], *, is_chain: bool
) -> Sum:
    together = int(np.prod([site.shape[a] for a in joint], dtype=int))
    if together * np.log(support.count) > np.log(MOST_JOINT) + 1e-9 and together > 1:
        guilty = [t.name for t in tables if name in t.scope and any(a is None for a in t.maps[name])]
        why = f"{guilty[-1]!r} depends on all of them at once" if guilty else "other variables tie them together"
        raise ModelError(
            f"the discrete variable {name!r} has {together} elements of {support.count} values that cannot be summed "
            f"out one by one: {why.replace(JACOBIAN, '')}. Together they have {support.count}**{together} "
            f"combinations; at most {MOST_JOINT} are enumerated. Ways out: {WAYS_OUT}"
        )
    if support.count > MOST_NUMBERS:
        raise ModelError(f"the discrete variable {name!r} has {support.count} values: too many to sum over. {WAYS_OUT}")
    plate = tuple(a for a in range(len(site.shape)) if a not in joint)
    return Sum(name, site, support, plate, tuple(sorted(joint)), is_chain)


def _restrict(table: Table, sums: Mapping[str, Sum]) -> Table:
    maps = {}
    for name, axes in table.maps.items():
        own = sums[name].plate[:-1] if table.chain and name == table.scope[0] else sums[name].plate
        maps[name] = tuple(axes[a] for a in own)
    return Table(table.name, table.scope, table.rows, maps, table.array, table.weight, table.chain)


def _enumerate_more(
    stuck: Sequence[str], sums: Mapping[str, Sum], joint: dict[str, set[int]], tables: Sequence[Table]
) -> None:
    """Enumerate all elements together of the variable of which that takes least."""
    possible = [sums[name] for name in stuck if sums[name].plate and not sums[name].is_chain]
    sizes = {s.name: int(np.prod(s.site.shape)) * np.log(s.support.count) for s in possible}
    name = min(sizes, key=sizes.get, default=None)
    if name is None or sizes[name] > np.log(MOST_JOINT) + 1e-9:
        shared = [t.name for t in tables if sum(n in t.scope for n in stuck) > 1]
        raise ModelError(
            f"the discrete variables {', '.join(map(repr, stuck))} cannot be summed out: their elements depend on one "
            f"another in a way that leaves no order{f', through {shared[0]!r}' if shared else ''}. Ways out: {WAYS_OUT}"
        )
    joint[name] = set(range(len(sums[name].site.shape)))


def _require_one_weight(sums: Mapping[str, Sum], tables: Sequence[Table], weights: Sequence[Shape]) -> None:
    """Refuse variables with elements whose terms are multiplied by different numbers: the sum would have no meaning."""
    for s in sums.values():
        mine = [t for t in tables if s.name in t.scope]
        if len({t.weight for t in mine}) > 1 and s.plate:
            told = ", ".join(t.name for t in mine if t.weight is not None)
            raise ModelError(
                f"the discrete variable {s.name!r} and what depends on it are scaled differently ({told}), as by "
                "total_size= or a plate that draws a subsample: put all of them into the plate, or sum the variable "
                "out by hand with px.Mixture"
            )
        if any(t.weight is not None and weights[t.weight] for t in mine):
            raise ModelError(f"what depends on the discrete variable {s.name!r} is scaled by an array: give one number")


def tabulate_shapes(run: Run, sites: Sites, data: Tree, chains: set[str]) -> tuple[list[Table], list[Shape]]:
    """Find the tables of all terms that depend on discrete variables, without numbers, and the shapes of weights."""
    found: list = []

    def probe() -> None:
        values = {
            name: (jnp.full((1,) * len(s.shape), np.min(s.low), int), s.shape, _all_axes(name, s.shape))
            for name, s in sites.discrete.items()
        }
        tables, _, weights, _ = tabulate(run, sites, jnp.zeros(sites.dim), data, values, lambda _: True, chains)
        found.append(([replace(t, array=None) for t in tables], [jnp.shape(w) for w in weights]))

    jax.eval_shape(probe)
    return found[-1]


def _all_axes(name: str, shape: Shape) -> Follows:
    return {name: tuple(Along(a) if n > 1 else None for a, n in enumerate(shape))}


def tabulate(
    run: Run, sites: Sites, position: Array, data: Tree, values: Mapping[str, tuple], chosen: Callable[[str], bool],
    chains: set[str],
) -> tuple[list[Table], dict[str, Array], list, SpreadRun]:  # fmt: skip
    """Run the program with discrete variables at given values.

    Parameters
    ----------
    values
        For each discrete variable its array, its shape written out, and what it follows.
    chosen
        Tells which terms are kept by elements.
    chains
        Markov chains whose parameters are kept.

    Returns
    -------
    The tables, without axes of values; the other terms; the weights; and the run.
    """
    known: list = []

    def terms(position: Array, data: Tree, zs: dict[str, Array]) -> tuple:
        handler = Tabulate(sites, position, data, zs, chosen, chains)
        run(data, handler)
        known.append(handler.weight_of)
        return handler.tables, handler.chains, handler.terms, handler.weights

    structs = {n: jax.ShapeDtypeStruct(shape, int) for n, (_, shape, _) in values.items()}
    closed, shapes = jax.make_jaxpr(terms, return_shape=True)(position, data, structs)
    plain = [Spread(x, tuple(jnp.shape(x)), {}) for x in jax.tree.leaves((position, data))]
    own = jax.tree.leaves({n: Spread(*v) for n, v in values.items()}, is_leaf=lambda x: isinstance(x, Spread))
    spread_run = SpreadRun()
    outs = jax.tree.unflatten(jax.tree.structure(shapes), spread_run(closed, [*plain, *own]))
    tables, chain_parts, rest, weights = outs
    made = [_table(name, x, known[-1][name], sites) for name, x in tables.items() if x.follows]
    rest = {n: x.full for n, x in rest.items()} | {
        n: _summed(x, None if known[-1][n] is None else weights[known[-1][n]].full)
        for n, x in tables.items() if not x.follows
    }  # fmt: skip
    for name, parts in chain_parts.items():
        varying = len(parts[1].shape) - len(parts[0].shape) - 1
        for kind, x, extra in zip(("start", "moves"), parts, (1, 2 + varying), strict=True):
            made.append(_chain_table(name, kind, x, extra, known[-1][name], sites))
    return made, rest, [w.full for w in weights], spread_run


def _summed(x: Spread, weight: Any) -> Array:
    summed = jnp.sum(x.full)
    return summed if weight is None else jnp.sum(x.full * weight)


def _table(name: str, x: Spread, weight: int | None, sites: Sites) -> Table:
    scope = tuple(n for n in sites.discrete if n in x.follows)
    return Table(name, scope, x.shape, dict(x.follows), x.array, weight)


def _chain_table(name: str, kind: str, x: Spread, extra: int, weight: int | None, sites: Sites) -> Table:
    """Make a table of the parameters of a chain; its last axes are states, and moves."""
    rows = x.shape[: len(x.shape) - extra]
    stored = jnp.shape(x.array)
    array = jnp.broadcast_to(x.array, (*stored[: len(rows)], *x.shape[len(rows) :]))
    own = (*(Along(a) for a in range(len(rows))), None)
    others = {n: x.follows[n] for n in sites.discrete if n in x.follows}
    return Table(name, (name, *others), rows, {name: own, **others}, array, weight, kind)
