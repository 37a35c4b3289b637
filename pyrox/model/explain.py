"""Explain a program: its sites, their distributions, shapes and dims, and what depends on what."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox._pytree import show
from pyrox.dist import Distribution, Expanded, Independent, constraints
from pyrox.dist.packed import Packed
from pyrox.errors import ModelError, ShapeError
from pyrox.model import picture
from pyrox.model.description import Description, Law, Site
from pyrox.model.handlers import block
from pyrox.model.messenger import Message, Messenger, require_new, shape_of
from pyrox.model.refusals import require_no_builder
from pyrox.model.sites import dims_of, holds_copies
from pyrox.typing import Shape

_PREVIEWED = 5  # first values of data that are shown
def describe(program: Callable, *args: Any, **kwargs: Any) -> Description:
    """List the sites of a program: distribution, shape, dims and dependence, without computing anything.

    Parameters
    ----------
    program
        A Model, or a function of primitives.
    *args, **kwargs
        Its arguments.

    Returns
    -------
    The description, which prints as a table. If shapes do not fit together, the table ends with the first site where
    that shows, and says what is wrong.

    Examples
    --------
    >>> from pyrox.model import HalfNormal, Model, Normal, describe
    >>> with Model(coords={"school": ["A", "B"]}) as model:
    ...     tau = HalfNormal("tau", 5.0)
    ...     theta = Normal("theta", 0.0, tau, dims="school")
    >>> describe(model)
    site   kind  distribution              support   shape  dims    depends on
    tau    free  HalfNormal(scale=5)       positive  ()
    theta  free  Normal(loc=0, scale=tau)  real      (2,)   school  tau
    dim school (2): A, B
    """
    if not callable(program):
        raise ModelError(f"a px.Model or a function of primitives is described; met {program!r}")
    found = _Structure(None)
    problem, first = _attempt(lambda: jax.eval_shape(lambda: _run(program, args, kwargs, found)))
    graph = _Dependence({}, {}, {}) if problem else _dependence(program, args, kwargs, found)
    sites = {name: _describe_site(msg, graph) for name, msg in found.messages.items()}
    if problem and first is None:
        problem = f"after {list(sites)[-1]}: {problem}" if sites else problem
    elif problem:
        sites[first] = replace(sites.get(first, Site(first, "?")), problem=problem)
    # A Model has coords; this module lies below that of Model.
    coords, lengths = getattr(program, "coords", {}), getattr(program, "dim_lengths", {})
    return Description(
        sites,
        f"{first}: {problem}" if first and problem else problem,
        getattr(program, "name", "") if lengths or coords else "",
        {dim: (n, coords.get(dim)) for dim, n in lengths.items()},
    )


def render(program: Callable, *args: Any, **kwargs: Any) -> picture.Drawing:
    """Draw the sites of a program and what depends on what; a frame stands around those that share plates or dims.

    Parameters
    ----------
    program
        A Model, or a function of primitives.
    *args, **kwargs
        Its arguments.

    Returns
    -------
    The drawing: notebooks show it, ``to_graphviz()`` gives a graph of the package graphviz, ``source`` and ``mermaid``
    the text in these languages. ``px.to_graphviz`` has more options.

    Raises
    ------
    ShapeError
        If shapes do not fit together; ``describe`` shows where.

    Examples
    --------
    >>> from pyrox.model import Model, Normal, render
    >>> with Model() as model:
    ...     a = Normal("a", 0.0, 1.0)
    ...     b = Normal("b", a, 1.0)
    >>> '"a" -> "b"' in render(model).source
    True
    """
    return picture.draw(describe(program, *args, **kwargs))


# The run that finds the sites


class _Structure(Messenger):
    """Record the statements of a program that runs on placeholders, and check the shapes of observed values."""

    def __init__(self, inputs: Mapping[str, Any] | None) -> None:
        self.messages: dict[str, Message] = {}
        self.parts: dict[str, dict[str, Any]] = {}
        self.inputs = inputs

    def process_message(self, msg: Message) -> None:
        name, kind = msg["name"], msg["type"]
        if kind == "constant":
            return
        require_new(self.messages, msg)
        # What is kept of a run must hold no placeholder of it: that would be a leak.
        self.messages[name] = record = {"name": name, "type": kind, "dims": dims_of(msg), "args": ()}
        if kind == "plate":
            record["args"] = msg["args"]
            msg["value"] = np.zeros(msg["args"][1], int) if msg["value"] is None else msg["value"]
            return
        if kind == "sample" and isinstance(msg["fn"], Distribution):
            core = _core(msg["fn"])
            record.update(shape=shape_of(msg), event_dim=msg["fn"].event_dim, observed=msg["is_observed"])
            record.update(law=_outline(core), support=_tell_support(msg))
            if msg["is_observed"]:
                self._require_fit(msg, record)
        value = _abstract(msg, record)
        if kind == "data":
            record["preview"] = _preview(msg["args"][0])
        if self.inputs is not None:
            self.parts[name] = _parts(msg["fn"] if kind == "sample" else None, value)
            if kind == "sample" and msg["is_observed"]:
                self.parts[name][_SEEN] = value
        record["struct"] = jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x)), value)
        # What comes after sees a stand-in, so that dependence on this site can be told from that on its parents.
        msg["value"] = value if self.inputs is None or name not in self.inputs else self.inputs[name]

    def _require_fit(self, msg: Message, record: Message) -> None:
        seen, wanted = jnp.shape(msg["value"]), record["shape"]
        if seen != wanted and (
            msg["infer"].get("exact", False) or not holds_copies(seen, wanted, msg["fn"].event_dim)
        ):
            error = ShapeError(f"the observed values have shape {seen}, its distribution {wanted}")
            error.site = msg["name"]
            raise error
        record["shape"] = seen


def _abstract(msg: Message, record: Message) -> Any:
    """Give the value of a statement, or a stand-in of its shape."""
    if msg["value"] is not None:
        return jax.tree.map(jnp.asarray, msg["value"])
    if "shape" in record:
        return jnp.zeros(record["shape"], jnp.result_type(int if msg["fn"].is_discrete else float))
    if msg["type"] in ("data", "deterministic", "factor") or not callable(msg["args"][0] if msg["args"] else None):
        return jax.tree.map(jnp.asarray, msg["fn"](*msg["args"], **msg["kwargs"]))
    return jax.tree.map(jnp.asarray, msg["fn"](*msg["args"], **{**msg["kwargs"], "rng_key": jax.random.key(0)}))


def _run(program: Callable, args: tuple, kwargs: dict, handler: Messenger) -> None:
    with block(), handler:
        returned = program(*args, **kwargs)
    require_no_builder(program, returned)


def _attempt(run: Callable) -> tuple[str, str | None]:
    """Run; give what is wrong and the site that it names, if shapes do not fit."""
    try:
        run()
    except (ShapeError, TypeError, ValueError) as error:
        site = getattr(error, "site", None)
        if isinstance(error, ModelError) and site is None:
            raise
        text = str(error).strip().split("\n")[0]
        return text.removeprefix(f"{site}: "), site
    return "", None


# Dependence, read from the operations between the sites


@dataclass(frozen=True)
class _Dependence:
    parents: dict[str, tuple[str, ...]]
    seen: dict[str, tuple[str, ...]]
    texts: dict[str, dict[str, str]]


def _dependence(program: Callable, args: tuple, kwargs: dict, found: _Structure) -> _Dependence:
    structs = {n: m["struct"] for n, m in found.messages.items() if "struct" in m}
    known: dict[str, dict[str, Any]] = {}

    def trace(inputs: dict[str, Any]) -> dict[str, Any]:
        handler = _Structure(inputs)
        _run(program, args, kwargs, handler)
        known.update({n: {p: jax.tree.map(_number, x) for p, x in handler.parts[n].items()} for n in structs})
        return {n: handler.parts[n] for n in structs}

    closed, shapes = jax.make_jaxpr(trace, return_shape=True)(structs)
    names = [n for n, struct in sorted(structs.items()) for _ in jax.tree.leaves(struct)]
    sources, own = _sources(closed.jaxpr, names)
    variables = jax.tree.unflatten(jax.tree.structure(shapes), closed.jaxpr.outvars)
    found = _Dependence({}, {}, {})

    def above(name: str, parts: Any) -> tuple[str, ...]:
        leaves = jax.tree.leaves(parts, is_leaf=lambda x: not isinstance(x, dict | list | tuple))
        reached = set().union(*map(sources, leaves)) - {name}
        return tuple(n for n in structs if n in reached)

    for name, parts in variables.items():
        found.seen[name] = above(name, parts.pop(_SEEN, ()))
        found.parents[name] = above(name, parts)
        found.texts[name] = {
            p: _tell(known[name][p], variable, own, [n for n in structs if n in sources(variable)])
            for p, variable in parts.items() if not isinstance(variable, dict | list | tuple)
        }  # fmt: skip
    return found


# Among the parts of a site: its observed values.
_SEEN = "observed values"


def _parts(fn: Any, value: Any) -> dict[str, Any]:
    """Split what a site is made of: the parameters of its distribution by name, else its value."""
    if not isinstance(fn, Distribution):
        return {"": value}
    rest = {f"#{i}": leaf for i, leaf in enumerate(jax.tree.leaves(fn))}
    return {**_parameters(_core(fn)), **rest}


def _parameters(core: Distribution, path: str = "") -> dict[str, Any]:
    """Give the parameters of a distribution, and of those it is made of, by their path."""
    named = {f"{path}{p.name}": getattr(core, p.attribute) for p in core.params}
    for name, inner in _components(core):
        named |= _parameters(inner, f"{path}{name}.")
    return {n: v for n, v in named.items() if v is not None}


def _components(core: Distribution) -> list[tuple[str, Distribution]]:
    """List the distributions that one is made of."""
    found = []
    for name, value in vars(core).items():
        items = enumerate(value) if isinstance(value, list | tuple) else [("", value)]
        found += [(f"{name}.{i}".rstrip("."), _core(d)) for i, d in items if isinstance(d, Distribution)]
    return found


def _outline(core: Distribution, path: str = "") -> Law:
    """Write a distribution with the path of each parameter in its place."""
    laws: dict[str, Any] = {}
    for name, inner in _components(core):
        field, _, item = name.partition(".")
        law = _outline(inner, f"{path}{name}.")
        laws[field] = (*laws.get(field, ()), law) if item else law
    params = {p.name: f"{path}{p.name}" for p in core.params if getattr(core, p.attribute) is not None}
    # BernoulliProbs and BernoulliLogits are Bernoulli, as the name of the parameter tells.
    kind = re.sub("^_|Probs$|Logits$", "", type(core).__name__)
    return Law(kind, tuple({**laws, **params}.items()))


def _tell_support(msg: Message) -> str:
    """Say where values lie, in a few words."""
    transform = None if msg["is_observed"] else msg["infer"].get("transform")
    support = msg["fn"].support if transform is None else transform.codomain
    if not constraints.has_fixed_support(support):
        return "as its parameters say"
    said = re.sub(r" \(.*\)", "", str(support)).removeprefix("in the interval ")
    said = re.sub(r"^(an|a|the) ", "", said)
    return said.replace("finite real numbers", "reals").replace("finite real number", "real")


def _preview(value: Any) -> str:
    if isinstance(value, jax.core.Tracer) or not hasattr(value, "dtype"):
        return ""
    first = ", ".join(f"{x:.4g}" for x in np.ravel(value)[:_PREVIEWED])
    return f"{value.dtype}: {first}{', …' if np.size(value) > _PREVIEWED else ''}"


def _number(value: Any) -> Any:
    """Give an array whose numbers are known, else its shape."""
    if isinstance(value, jax.core.Tracer):
        return jax.ShapeDtypeStruct(value.shape, value.dtype)
    return np.asarray(value)


def _core(fn: Distribution) -> Distribution:
    while isinstance(fn, Expanded | Independent | Packed):
        fn = fn.base_dist
    return fn


def _sources(jaxpr: Any, names: list[str]) -> tuple[Callable[[Any], frozenset], dict]:
    """Find the inputs that each variable of a jaxpr is computed from."""
    own = dict(zip(jaxpr.invars, names, strict=True))
    reached: dict[Any, frozenset] = {variable: frozenset([name]) for variable, name in own.items()}

    def sources(variable: Any) -> frozenset:
        # Literals are not hashable, and depend on nothing.
        return frozenset() if hasattr(variable, "val") else reached.get(variable, frozenset())

    for eqn in jaxpr.eqns:
        above = frozenset().union(*(sources(v) for v in eqn.invars))
        reached.update(dict.fromkeys(eqn.outvars, above))
    return sources, own


def _tell(value: Any, variable: Any, own: dict, parents: Iterable[str]) -> str:
    """Write a parameter: the site that it is, a function of sites, or the number that it is."""
    parents = list(parents)
    if not hasattr(variable, "val") and variable in own:
        return own[variable]
    if parents:
        return f"f({', '.join(parents)})"
    if hasattr(variable, "val"):
        value = variable.val
    if isinstance(value, jax.ShapeDtypeStruct):
        return f"array{list(value.shape)}" if value.shape else "number"
    return show(np.asarray(value)) if np.ndim(value) else f"{np.asarray(value).item():.4g}".replace("e+00", "")


def _describe_site(msg: Message, graph: _Dependence) -> Site:
    name, kind = msg["name"], msg["type"]
    texts, parents, seen = graph.texts.get(name, {}), graph.parents.get(name, ()), graph.seen.get(name, ())
    if kind == "plate":
        size, taken = msg["args"]
        return Site(name, kind, values="" if size == taken else f"{taken} of {size}", shape=(taken,))
    if "law" not in msg:
        shape = tuple(msg["struct"].shape) if hasattr(msg.get("struct"), "shape") else ()
        values = msg.get("preview", "")
        return Site(name, kind, values=values, shape=shape, dims=_axes(msg["dims"], shape), parents=parents)
    kind, shape = "observed" if msg["observed"] else "free", tuple(int(n) for n in msg["shape"])
    return Site(
        name, kind, law=msg["law"].filled(texts), support=msg["support"], shape=shape, event_dim=msg["event_dim"],
        dims=_axes(msg["dims"], shape), parents=parents, observed=seen,
    )  # fmt: skip


def _axes(dims: tuple | None, shape: Shape) -> tuple[str | None, ...]:
    return tuple(dims) if dims is not None and len(dims) == len(shape) else ()
