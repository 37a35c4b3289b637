"""Explain a program: its sites, their distributions, shapes and dims, and what depends on what."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox._pytree import show
from pyrox.dist import Distribution, Expanded, Independent
from pyrox.errors import ModelError, ShapeError
from pyrox.model.handlers import block
from pyrox.model.messenger import Message, Messenger, require_new, shape_of
from pyrox.model.sites import dims_of, holds_copies
from pyrox.typing import Shape

_ARROW = "<-- "


@dataclass(frozen=True)
class Site:
    """One site of a program.

    Attributes
    ----------
    name, kind
        Its name; ``"free"``, ``"observed"``, ``"param"``, ``"deterministic"``, ``"factor"``, ``"data"`` or ``"plate"``.
    distribution
        How it is distributed, with the names of what its parameters are made of.
    shape, event_dim
        Of its value.
    dims
        Names of the axes, None where they have none.
    parents
        The sites that it depends on directly.
    problem
        What is wrong with it, if anything.
    """

    name: str
    kind: str
    distribution: str = ""
    shape: Shape = ()
    event_dim: int = 0
    dims: tuple[str | None, ...] = ()
    parents: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Description:
    """The sites of a program, in the order of their statements; printed, a table.

    Attributes
    ----------
    sites
        By name.
    problem
        The first inconsistency: where it stands, and what is wrong; empty if there is none.
    """

    sites: Mapping[str, Site]
    problem: str = ""

    def __str__(self) -> str:
        rows = [("site", "kind", "distribution", "shape", "dims", "depends on", "")]
        for site in self.sites.values():
            at = len(site.shape) - site.event_dim
            batch, event = site.shape[:at], site.shape[at:]
            shape = f"{_plain(batch)} | {_plain(event)}" if site.event_dim else _plain(batch)
            dims = ", ".join(d or "." for d in site.dims)
            problem = _ARROW + site.problem if site.problem else ""
            rows.append((site.name, site.kind, site.distribution, shape, dims, ", ".join(site.parents), problem))
        widths = [max(len(row[i]) for row in rows) for i in range(6)]
        lines = ["  ".join([*(c.ljust(w) for c, w in zip(r, widths, strict=False)), r[6]]).rstrip() for r in rows]
        if self.problem and not any(site.problem for site in self.sites.values()):
            lines.append(_ARROW + self.problem)
        return "\n".join(lines)

    __repr__ = __str__


@dataclass(frozen=True)
class Drawing:
    """A picture of a program.

    Attributes
    ----------
    source
        The graph in the DOT language of Graphviz.
    description
        What it shows.
    """

    source: str
    description: Description

    def __str__(self) -> str:
        return self.source

    def to_graphviz(self) -> Any:
        """Give a ``graphviz.Source``, which notebooks show and ``.render(path)`` writes."""
        try:
            import graphviz
        except ImportError:
            raise ModelError(
                "pictures need the package graphviz: pip install 'pyrox[graph]'; "
                "print(drawing.source) gives the graph in the DOT language"
            ) from None
        return graphviz.Source(self.source)


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
    site   kind  distribution              shape  dims    depends on
    tau    free  HalfNormal(scale=5)       ()
    theta  free  Normal(loc=0, scale=tau)  (2,)   school  tau
    """
    found = _Structure(None)
    problem, first = _attempt(lambda: jax.eval_shape(lambda: _run(program, args, kwargs, found)))
    graph = _Dependence({}, {}) if problem else _dependence(program, args, kwargs, found)
    sites = {}
    for name, msg in found.messages.items():
        texts, parents = graph.texts.get(name, {}), graph.parents.get(name, ())
        sites[name] = _describe_site(msg, texts, parents)
    if problem and first is None:
        problem = f"after {list(sites)[-1]}: {problem}" if sites else problem
    elif problem:
        if first in sites:
            sites[first] = Site(**{**vars(sites[first]), "problem": problem})
        else:
            sites[first] = Site(first, "?", problem=problem)
    return Description(sites, f"{first}: {problem}" if first and problem else problem)


def render(program: Callable, *args: Any, **kwargs: Any) -> Drawing:
    """Draw the sites of a program and what depends on what; a frame stands around those that share plates or dims.

    Parameters
    ----------
    program
        A Model, or a function of primitives.
    *args, **kwargs
        Its arguments.

    Returns
    -------
    The drawing, as text in the DOT language; ``to_graphviz()`` makes a picture of it.

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
    description = describe(program, *args, **kwargs)
    if description.problem:
        raise ShapeError(f"the program is not consistent, describe(...) shows where: {description.problem}")
    return Drawing(_dot(description), description)


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
            record.update(law=type(core).__name__, params=[p.name for p in core.params])
            if msg["is_observed"]:
                self._require_fit(msg, record)
        value = _abstract(msg, record)
        if self.inputs is not None:
            self.parts[name] = _parts(msg["fn"] if kind == "sample" else None, value)
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
        program(*args, **kwargs)


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
    parents: dict[str, tuple[str, ...]] = {}
    texts: dict[str, dict[str, str]] = {}
    for name, parts in variables.items():
        reached = [sources(v) for v in jax.tree.leaves(parts, is_leaf=lambda x: not isinstance(x, dict | list | tuple))]
        above = set().union(*reached) - {name}
        parents[name] = tuple(n for n in structs if n in above)
        texts[name] = {
            p: _tell(known[name][p], variable, own, [n for n in structs if n in sources(variable)])
            for p, variable in parts.items() if not isinstance(variable, dict | list | tuple)
        }  # fmt: skip
    return _Dependence(parents, texts)


def _parts(fn: Any, value: Any) -> dict[str, Any]:
    """Split what a site is made of: the parameters of its distribution by name, else its value."""
    if not isinstance(fn, Distribution):
        return {"": value}
    core = _core(fn)
    named = {p.name: getattr(core, p.attribute) for p in core.params}
    rest = {f"#{i}": leaf for i, leaf in enumerate(jax.tree.leaves(fn))}
    return {**{n: v for n, v in named.items() if v is not None}, **rest}


def _number(value: Any) -> Any:
    """Give an array whose numbers are known, else its shape."""
    if isinstance(value, jax.core.Tracer):
        return jax.ShapeDtypeStruct(value.shape, value.dtype)
    return np.asarray(value)


def _core(fn: Distribution) -> Distribution:
    while isinstance(fn, Expanded | Independent):
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


def _describe_site(msg: Message, texts: Mapping[str, str], parents: tuple[str, ...]) -> Site:
    name, kind = msg["name"], msg["type"]
    if kind == "plate":
        size, taken = msg["args"]
        return Site(name, kind, "" if size == taken else f"{taken} of {size}", (taken,))
    if "law" not in msg:
        shape = tuple(msg["struct"].shape) if hasattr(msg.get("struct"), "shape") else ()
        return Site(name, kind, "", shape, 0, _axes(msg["dims"], shape), parents)
    inside = ", ".join(f"{p}={texts[p]}" for p in msg["params"] if p in texts)
    label = f"{msg['law']}({inside})" if texts else msg["law"]
    kind, shape = "observed" if msg["observed"] else "free", msg["shape"]
    return Site(name, kind, label, shape, msg["event_dim"], _axes(msg["dims"], shape), parents)


def _axes(dims: tuple | None, shape: Shape) -> tuple[str | None, ...]:
    return tuple(dims) if dims is not None and len(dims) == len(shape) else ()


def _plain(shape: Shape) -> str:
    return str(tuple(int(n) for n in shape))


# The picture

_STYLES = {
    "free": "shape=ellipse",
    "observed": "shape=ellipse, style=filled, fillcolor=lightgray",
    "param": "shape=plaintext",
    "deterministic": "shape=box",
    "factor": "shape=box, style=filled, fillcolor=lightgray",
    "data": "shape=box, style=rounded",
}


def _dot(description: Description) -> str:
    sites = {n: s for n, s in description.sites.items() if s.kind != "plate"}
    groups: dict[tuple, list[Site]] = {}
    for site in sites.values():
        named = tuple((d, n) for d, n in zip(site.dims, site.shape, strict=False) if d is not None)
        groups.setdefault(named, []).append(site)
    lines = ["digraph {"]
    for i, (named, members) in enumerate(groups.items()):
        inner = [f"  {_quote(s.name)} [label={_quote(_label(s))}, {_STYLES.get(s.kind, 'shape=box')}]" for s in members]
        if named:
            label = " x ".join(f"{d} ({n})" for d, n in named)
            inner = [f"  subgraph cluster_{i} {{", f"    label={_quote(label)}", *(f"  {x}" for x in inner), "  }"]
        lines += inner
    lines += [f"  {_quote(p)} -> {_quote(s.name)}" for s in sites.values() for p in s.parents if p in sites]
    return "\n".join([*lines, "}"])


def _label(site: Site) -> str:
    head = site.distribution.split("(")[0]
    return f"{site.name}\n{head or site.kind}"


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
