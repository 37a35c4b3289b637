"""A model that is run forward from draws: what it needs, what is drawn anew, and how the results are labelled."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

import jax
import numpy as np

from pyrox import results
from pyrox.draws import Draws, read_draws
from pyrox.drawwise import map_draws
from pyrox.errors import ModelError
from pyrox.model import Model, RandomVariable, current_model
from pyrox.model.forward import Program, Site, forward, known_values
from pyrox.model.nodes import ancestors
from pyrox.model.program import Data
from pyrox.plan import AS_ASKED, Plan, Planner, statements_above
from pyrox.samplers.executables import compile_function
from pyrox.settings import as_key
from pyrox.target import model_attrs
from pyrox.typing import Array, Key, Shape, Tree

_FREE, _OBSERVED, _NAMED = "sample", "observed", "deterministic"


class Runnable:
    """A model with its sites, and the data of the moment.

    Parameters
    ----------
    model
        A Model, a function of primitives, or None for the enclosing ``with`` block's model.
    args, kwargs
        Arguments of a function.

    Attributes
    ----------
    graph
        The Model; None for a function.
    sites
        What it states, a ``Site`` by name.
    coords
        Labels of its dims.
    """

    def __init__(self, model: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> None:
        function = current_model() if model is None else model
        if not callable(function):
            raise ModelError(f"model must be a Model or a function of primitives, not {type(function).__name__}")
        self.graph = function if isinstance(function, Model) else None
        # What results keep to tell their model by.
        self.attrs = {} if self.graph is None else model_attrs(self.graph)
        if self.graph is not None and (args or kwargs):
            raise ModelError("model_args and model_kwargs are for functions: a Model takes its data from px.Data")
        self.program = Program(function, args, kwargs)
        self.sites: Mapping[str, Site] = self.program.inspect()
        self.coords = dict(self.graph.coords) if self.graph is not None else {}
        self._lengths = dict(self.graph.dim_lengths) if self.graph is not None else {}
        self.data: Tree = jax.device_put(self.program.data)

    def of_kind(self, *kinds: str) -> list[str]:
        """List the names of sites."""
        return [name for name, site in self.sites.items() if site.kind in kinds]

    @property
    def dims(self) -> dict[str, tuple | None]:
        """Names of the axes of every site."""
        return {name: site.dims for name, site in self.sites.items()}

    @property
    def ndims(self) -> dict[str, int]:
        """Number of axes of every site."""
        return {name: len(site.shape) for name, site in self.sites.items()}

    @property
    def key(self) -> Key:
        """A key where nothing is drawn."""
        return as_key(0)

    def require_names(self, names: Iterable[str], kinds: Iterable[str], what: str) -> None:
        """Refuse names of what is not there."""
        known = self.of_kind(*kinds)
        for name in names:
            if name not in known:
                raise ModelError(f"{what}: the model has no variable {name!r}; it has {', '.join(known) or 'none'}")

    def known_values(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Give the observed values, and the named data: those that have the present lengths of their dims."""
        function = known_values(self.program)
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), self.data)
        known = jax.tree.map(np.asarray, compile_function(function, shapes)(self.data))
        return tuple({name: x for name, x in group.items() if self._fits(name, x.shape)} for group in known)

    def _fits(self, name: str, shape: Shape) -> bool:
        dims = self.sites[name].dims or ()
        return all(self._lengths.get(dim, n) == n for dim, n in zip(dims, shape, strict=False))


def seed_of(random_seed: Any) -> tuple[Key, int | None]:
    """Make a key of a seed; also give the seed to keep with results, where it is a number."""
    if isinstance(random_seed, np.random.Generator):
        random_seed = int(random_seed.integers(2**63))
    return as_key(random_seed), int(random_seed) if isinstance(random_seed, Integral) else None


def draw_forward(
    runnable: Runnable,
    wanted: Sequence[str],
    values: Mapping[str, np.ndarray],
    identity: np.ndarray,
    key: Key,
    *,
    anew: Collection[str] | None = None,
    known: Mapping[str, tuple] | None = None,
    **options: Any,
) -> dict[str, np.ndarray]:
    """Run a model once for every row of ``identity``; see ``map_draws`` for the options."""
    single = forward(runnable.program, wanted, anew, known)

    def function(draw: tuple[dict, Array], data: Tree) -> dict[str, Array]:
        own = data["key"]
        for i in range(draw[1].shape[0]):
            own = jax.random.fold_in(own, draw[1][i])
        return single((draw[0], own), data["data"])

    return map_draws(function, (dict(values), identity), {"key": key, "data": runnable.data}, **options)


class Forecast:
    """A model to be run forward from draws.

    Parameters
    ----------
    runnable
        The model, with the data that it is run at.
    trace, sample_dims
        The draws, and the names of their axes.
    var_names
        What is wanted; free variables among it are drawn anew. None wants what ``default`` chooses.
    frozen
        What keeps its values, whatever has changed.
    strict
        Whether draws of another model are refused, or taken by name; if so, all that new data can change is wanted.
    given
        Names of data that have been given new values. An observed variable of which others are made keeps those.
    """

    def __init__(
        self,
        runnable: Runnable,
        trace: Any,
        *,
        sample_dims: Sequence[str] | None = None,
        var_names: Sequence[str] | None = None,
        frozen: Sequence[str] = (),
        strict: bool = False,
        given: Iterable[str] = (),
    ) -> None:
        self.runnable = runnable
        self.draws: Draws = read_draws(trace, runnable.ndims, sample_dims)
        runnable.require_names(var_names or (), (_FREE, _OBSERVED, _NAMED), "var_names")
        runnable.require_names(frozen, (_FREE, _OBSERVED), "frozen")
        self.strange = find_strange(runnable, self.draws.attrs)
        if self.strange and strict:
            raise ModelError(
                f"the draws are of another model than the one given ({self.strange}). Give the model that they were "
                "drawn from, or one made of it by px.do, px.observe and the like; px.sample_posterior_predictive takes "
                "draws by name"
            )
        if runnable.graph is None:
            self.plan = _plan_function(runnable, self.draws, var_names, frozen)
        else:
            held = [*frozen, *_given_predictors(runnable.graph, given)]
            self.plan = _plan_graph(
                runnable, self.draws, var_names, held, strict=strict, stranger=bool(self.strange)
            )

    def run(self, key: Key, **options: Any) -> dict[str, np.ndarray]:
        """Draw; see ``map_draws`` for the options."""
        plan = self.plan
        known = {name: plan.known(name) for name in plan.partly}
        values = plan.values(self.draws)
        return draw_forward(
            self.runnable, plan.wanted, values, self.draws.identity, key,
            anew={*plan.observed, *plan.anew}, known=known, **options,
        )  # fmt: skip

    @property
    def attrs(self) -> dict[str, str]:
        """Say what kept its draws, and what was drawn anew and why."""
        plan = self.plan
        told = {"frozen": plan.frozen, "redrawn": {**plan.partly, **plan.anew}, "new_levels": plan.new_levels}
        return {name: json.dumps(value, default=str) for name, value in told.items()}

    def warnings(self, found: Mapping[str, np.ndarray]) -> list[str]:
        """Say what the user should know about the draws, and whether Ctrl-C has left some out."""
        told = []
        if self.strange:
            told.append(
                f"the draws are of another model than the one given ({self.strange}): they are taken by name"
            )
        if cut_short(self.draws, found):
            sizes, reached = self.draws.sizes, len(next(iter(found.values())))
            told.append(f"interrupted: {reached // int(np.prod(sizes[:-1]))} of {sizes[-1]} draws are kept")
        return told

    def message(self) -> str:
        """Say what was drawn anew without having been asked for."""
        return "; ".join(self.plan.changes(unasked=True))


def cut_short(draws: Draws, found: Mapping[str, np.ndarray]) -> bool:
    """Tell whether Ctrl-C has left draws out."""
    return len(next(iter(found.values()))) < draws.count


def find_strange(runnable: Runnable, attrs: Mapping[str, Any]) -> str:
    """Say how the model of some draws differs from this one; nothing if it is this one, or one it was derived from."""
    graph, then = runnable.graph, attrs.get("model_hash")
    if graph is None or then is None or then == runnable.attrs["model_hash"] or then in graph.origins:
        return ""
    former, present = (json.loads(known.get("model_parts", "{}")) for known in (attrs, runnable.attrs))
    told = {
        "only there": [name for name in former if name not in present],
        "only here": [name for name in present if name not in former],
        "stated otherwise": [name for name in former if name in present and former[name] != present[name]],
    }
    return "; ".join(f"{how}: {', '.join(names)}" for how, names in told.items() if names) or "hashes differ"


def _given_predictors(graph: Model, given: Iterable[str]) -> list[str]:
    """List the observed variables whose data are given anew, and of which other variables are made."""
    given = set(given)
    found = []
    for node in graph.observed_RVs:
        sources = {above.name for above in ancestors([node.observed])}
        others = [other.dist for other in graph.named_vars.values() if isinstance(other, RandomVariable)]
        if sources & given and node in ancestors(others):
            found.append(node.name)
    return found


def _plan_graph(
    runnable: Runnable, draws: Draws, var_names: Sequence[str] | None, frozen: Sequence[str], *, strict: bool,
    stranger: bool,
) -> Plan:  # fmt: skip
    graph = runnable.graph
    redraw = [name for name in var_names or () if runnable.sites[name].kind == _FREE and name not in frozen]
    planner = Planner(graph, runnable.sites, draws, redraw, frozen, stranger=stranger)
    if var_names is not None:
        return planner.make(tuple(var_names))
    observed = [name for name in runnable.of_kind(_OBSERVED) if name not in frozen]
    if not observed:
        raise ModelError("the model observes nothing: say in var_names= what to draw")
    kinds = (Data,) if strict else ()

    def follows(name: str) -> bool:
        """Tell whether a named expression can have other values than it had."""
        above = statements_above([graph[name]])
        free = [node for node in above if isinstance(node, RandomVariable) and node.observed is None]
        return all(node.name in draws for node in free) and any(
            isinstance(node, kinds) or (isinstance(node, RandomVariable) and node.observed is not None)
            for node in above
        )

    named = [name for name in runnable.of_kind(_NAMED) if follows(name)]
    wanted = [name for name in runnable.sites if name in named or name in observed]
    plan = planner.make(tuple(wanted))
    if strict:
        extra = {name for name in (*plan.anew, *plan.partly) if 0 not in runnable.sites[name].shape}
        below = {n for n in runnable.of_kind(_NAMED) if extra & {node.name for node in statements_above([graph[n]])}}
        plan = planner.make(tuple(n for n in runnable.sites if n in {*wanted, *extra, *below}))
    return plan


def _plan_function(
    runnable: Runnable, draws: Draws, var_names: Sequence[str] | None, frozen: Sequence[str]
) -> Plan:
    """Plan for a function, whose dependencies are not known: what is given by name and fits is kept."""
    plan = Plan()
    observed = runnable.of_kind(_OBSERVED)
    plan.observed = [name for name in observed if name not in frozen]
    missing = []
    for name in runnable.of_kind(_FREE):
        shape = runnable.sites[name].shape
        if name in (var_names or ()) and name not in frozen:
            plan.anew[name] = AS_ASKED
        elif name in draws and draws.shape(name) == shape:
            plan.frozen.append(name)
            plan.matches[name] = [None] * len(shape)
        elif name in draws:
            plan.anew[name] = f"it has shape {shape}, the draws {draws.shape(name)}"
        elif draws.observed is None or name in draws.observed:
            plan.observed.append(name)
        else:
            missing.append(name)
    if missing:
        raise ModelError(
            f"the draws lack {', '.join(missing)}; they hold {', '.join(draws.arrays) or 'nothing'}. Nothing is drawn "
            "from the prior by itself: name it in var_names= if that is what you want"
        )
    plan.wanted = tuple(n for n in runnable.sites if n in plan.observed) if var_names is None else tuple(var_names)
    if not plan.wanted:
        raise ModelError("the function observes nothing, and the draws hold all that it draws: give var_names=")
    return plan


def check_idata_kwargs(idata_kwargs: Mapping[str, Any] | None) -> tuple[dict, dict]:
    """Give the dims and coords that replace those of the model."""
    extra = dict(idata_kwargs or {})
    strange = [name for name in extra if name not in ("coords", "dims")]
    if strange:
        raise TypeError(f"idata_kwargs takes coords and dims, not {strange[0]!r}")
    return dict(extra.get("dims", {})), dict(extra.get("coords", {}))


def assemble(datasets: Mapping[str, Any]) -> Any:
    """Join groups that are not empty."""
    return results.assemble({name: data for name, data in datasets.items() if data.data_vars})
