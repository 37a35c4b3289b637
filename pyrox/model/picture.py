"""Draw a description: sites, what depends on what, and plates around those that share dims; as Graphviz and Mermaid."""

import shutil
import subprocess
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pyrox.errors import ModelError, ShapeError
from pyrox.model.description import Description, Site

# PyMC's names of the kinds of nodes, which formatters may use as well.
_KINDS = {
    "free": "Free Random Variable",
    "observed": "Observed Random Variable",
    "param": "Param",
    "deterministic": "Deterministic",
    "factor": "Potential",
    "data": "Data",
}
_STYLES = {
    "free": {"shape": "ellipse"},
    "observed": {"shape": "ellipse", "style": "filled", "fillcolor": "lightgray"},
    "param": {"shape": "plaintext"},
    "deterministic": {"shape": "box"},
    "factor": {"shape": "octagon", "style": "filled", "fillcolor": "lightgray"},
    "data": {"shape": "box", "style": "rounded, filled", "fillcolor": "aliceblue"},
}
_MERMAID = {
    "free": '(["{}"])',
    "observed": '(["{}"]):::observed',
    "param": '>"{}"]',
    "deterministic": '["{}"]',
    "factor": '{{{{"{}"}}}}:::factor',
    "data": '("{}"):::data',
}
_CLASSES = (
    "classDef observed fill:#d3d3d3,stroke:#333,color:#000",
    "classDef factor fill:#d3d3d3,stroke:#333,color:#000",
    "classDef data fill:#f0f8ff,stroke:#333,color:#000",
)
_NO_DOT = (
    "needs the program dot of Graphviz, which is not installed: apt install graphviz, brew install graphviz or "
    "conda install graphviz. The text of the graph needs none: save='graph.dot', or px.to_mermaid"
)
_KEYWORDS = {"node", "edge", "graph", "digraph", "subgraph", "strict"}
_TEXTS = (".dot", ".gv")
_SECONDS = 60.0
_WIDTH = 32  # of a line in a node

Formatters = Mapping[str, Callable[[Site], Mapping[str, Any]]]
Axes = tuple[tuple[str | None, int], ...]


@dataclass
class Plate:
    """A frame around what is repeated.

    Attributes
    ----------
    axes
        The axes along which it repeats, those of the plates around it left out.
    sites
        What stands directly inside.
    plates
        The plates inside.
    """

    axes: Axes
    sites: list[Site] = field(default_factory=list)
    plates: list["Plate"] = field(default_factory=list)

    def label(self, *, lengths: bool = True) -> str:
        """Name the axes."""
        return " x ".join((f"{dim} ({n})" if lengths else dim) if dim else str(n) for dim, n in self.axes)


class Mermaid(str):
    """A graph in the language of Mermaid; notebooks that know it show the picture."""

    __slots__ = ()

    def _repr_markdown_(self) -> str:
        return f"```mermaid\n{self}\n```"


@dataclass(frozen=True)
class Drawing:
    """A picture of a program.

    Attributes
    ----------
    source
        The graph in the DOT language of Graphviz.
    mermaid
        The graph in the language of Mermaid.
    description
        What it shows.
    """

    source: str
    mermaid: Mermaid
    description: Description

    def __str__(self) -> str:
        return self.source

    def to_graphviz(self) -> Any:
        """Give a ``graphviz.Digraph``, which notebooks show and ``.render(path)`` writes."""
        try:
            import graphviz
        except ImportError:
            raise ModelError(
                "graphs of Graphviz need the package graphviz: pip install 'pyrox[graph]'. Without it, px.to_mermaid "
                "gives the graph in the language of Mermaid, and px.render(...).save('graph.dot') in the DOT language"
            ) from None
        return graphviz.Digraph(body=[f"{line}\n" for line in self.source.splitlines()[1:-1]])

    def save(self, path: Any) -> None:
        """Write the picture to a file.

        Parameters
        ----------
        path
            Its ending says how: ``.dot`` or ``.gv`` is the text, ``.mmd`` that of Mermaid; ``.svg``, ``.png``, ``.pdf``
            and others are made by the program dot of Graphviz.

        Raises
        ------
        ModelError
            If that program is needed and not installed.
        """
        path = Path(path)
        if path.suffix in _TEXTS:
            path.write_text(self.source + "\n")
        elif path.suffix == ".mmd":
            path.write_text(self.mermaid + "\n")
        else:
            path.write_bytes(_run_dot(self.source, path.suffix.removeprefix(".") or "png"))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        shown = {"text/plain": self.source}
        if shutil.which("dot"):
            return {**shown, "image/svg+xml": _run_dot(self.source, "svg").decode()}
        return {**shown, "text/markdown": self.mermaid._repr_markdown_()}


def _run_dot(source: str, format: str) -> bytes:
    program = shutil.which("dot")
    if program is None:
        raise ModelError(f"a picture as .{format} {_NO_DOT}")
    command = [program, f"-T{format}"]
    done = subprocess.run(command, input=source.encode(), capture_output=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise ModelError(f"dot could not draw the graph as .{format}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def draw(
    description: Description,
    *,
    var_names: Iterable[str] | None = None,
    formatting: str = "plain",
    node_formatters: Formatters | None = None,
    graph_attr: Mapping[str, Any] | None = None,
    include_dim_lengths: bool = True,
) -> Drawing:
    """Draw a description; see ``to_graphviz``."""
    if description.problem:
        raise ShapeError(f"the program is not consistent, describe(...) shows where: {description.problem}")
    if formatting not in ("plain", "plain_with_params"):
        raise ModelError(f"formatting is 'plain' or 'plain_with_params'; met {formatting!r}")
    sites = _choose(description, var_names)
    look = {s.name: {"label": _label(s, formatting), **_STYLES.get(s.kind, {"shape": "box"})} for s in sites}
    for kind, form in (node_formatters or {}).items():
        if kind not in {*_KINDS, *_KINDS.values()}:
            raise ModelError(f"node_formatters: no kind of node {kind!r}; the kinds are {', '.join(_KINDS.values())}")
        look |= {s.name: {**look[s.name], **form(s)} for s in sites if kind in (s.kind, _KINDS.get(s.kind))}
    whole = nest(sites)
    shown = {s.name for s in sites}
    edges = [(p, s.name, "") for s in sites for p in s.parents if p in shown]
    edges += [(s.name, p, "observed") for s in sites for p in s.observed if p in shown and p not in s.parents]
    return Drawing(
        _write_dot(whole, look, edges, graph_attr or {}, lengths=include_dim_lengths),
        _write_mermaid(whole, look, edges, lengths=include_dim_lengths),
        replace(description, sites={s.name: s for s in sites}),
    )


def _choose(description: Description, var_names: Iterable[str] | None) -> list[Site]:
    """Take the named sites with all that they depend on; all sites if none are named."""
    sites = {n: s for n, s in description.sites.items() if s.kind != "plate"}
    if var_names is None:
        return list(sites.values())
    todo = [var_names] if isinstance(var_names, str) else list(var_names)
    unknown = [n for n in todo if n not in sites]
    if unknown:
        raise ModelError(f"var_names: the model has no variable {unknown[0]!r}; it has {', '.join(sites)}")
    wanted: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in wanted and name in sites:
            wanted.add(name)
            todo += [*sites[name].parents, *sites[name].observed]
    return [s for n, s in sites.items() if n in wanted]


def _label(site: Site, formatting: str) -> str:
    if site.law is None:
        return f"{site.name}\n{_KINDS.get(site.kind, site.kind)}"
    if formatting == "plain":
        return f"{site.name}\n~ {site.law.name}"
    return f"{site.name}\n~ {textwrap.fill(str(site.law), _WIDTH, break_long_words=False)}"


# Plates


def nest(sites: Iterable[Site]) -> Plate:
    """Put sites into plates: one for every set of axes, inside the largest whose dims are among its own.

    Dims are known by name. Axes without a name make a plate by their lengths, for what has the same shape.
    """
    plates: dict[tuple[frozenset, tuple[int, ...]], Plate] = {(frozenset(), ()): Plate(())}
    for site in sites:
        key = frozenset(d for d, _ in site.axes if d), tuple(n for d, n in site.axes if d is None)
        plates.setdefault(key, Plate(site.axes)).sites.append(site)
    for (dims, nameless), plate in plates.items():
        around = [k for k in plates if not k[1] and k[0] <= dims and k != (dims, nameless)]
        if around:
            outer = max(around, key=lambda k: len(k[0]))
            plate.axes = tuple((d, n) for d, n in plate.axes if d not in outer[0])
            plates[outer].plates.append(plate)
    return plates[frozenset(), ()]


# Texts


Look = Mapping[str, Mapping[str, Any]]


def _write_dot(whole: Plate, look: Look, edges: Collection, graph_attr: Mapping[str, Any], *, lengths: bool) -> str:
    count = iter(range(1, 10**9))

    def write(plate: Plate, depth: int) -> Iterator[str]:
        indent = "  " * depth
        for site in plate.sites:
            inside = ", ".join(f"{n}={_write_value(v)}" for n, v in look[site.name].items())
            yield f"{indent}{_quote(site.name)} [{inside}]"
        for inner in plate.plates:
            yield f"{indent}subgraph cluster_{next(count)} {{"
            yield f"{indent}  label={_quote(inner.label(lengths=lengths))}"
            yield f"{indent}  labeljust=r; labelloc=b; style=rounded"
            yield from write(inner, depth + 1)
            yield f"{indent}}}"

    lines = [f"  {name}={_write_value(value)}" for name, value in graph_attr.items()]
    lines += write(whole, 1)
    for tail, head, kind in edges:
        style = " [style=dashed, arrowhead=none]" if kind else ""
        lines.append(f"  {_quote(tail)} -> {_quote(head)}{style}")
    return "\n".join(["digraph {", *lines, "}"])


def _write_value(value: Any) -> str:
    text = str(value)
    return text if text.isidentifier() and text.lower() not in _KEYWORDS else _quote(text)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _write_mermaid(whole: Plate, look: Look, edges: Collection, *, lengths: bool) -> Mermaid:
    keys = {name: f"n{i}" for i, name in enumerate(look)}
    count = iter(range(1, 10**9))

    def write(plate: Plate, depth: int) -> Iterator[str]:
        indent = "  " * depth
        for site in plate.sites:
            text = _escape(look[site.name]["label"])
            yield f"{indent}{keys[site.name]}{_MERMAID.get(site.kind, _MERMAID['deterministic']).format(text)}"
        for inner in plate.plates:
            yield f'{indent}subgraph plate{next(count)}["{_escape(inner.label(lengths=lengths))}"]'
            yield from write(inner, depth + 1)
            yield f"{indent}end"

    lines = ["graph TD", *write(whole, 1)]
    lines += [f"  {keys[tail]} {'-.-' if kind else '-->'} {keys[head]}" for tail, head, kind in edges]
    used = [line for line in _CLASSES if any(f":::{line.split()[1]}" in other for other in lines)]
    return Mermaid("\n".join([*lines, *(f"  {line}" for line in used)]))


def _escape(text: str) -> str:
    for char, written in (("&", "#amp;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;"), ("\n", "<br/>")):
        text = text.replace(char, written)
    return text


def to_graphviz(
    description: Description,
    *,
    save: Any = None,
    figsize: tuple[float, float] | None = None,
    dpi: int = 300,
    graph_attr: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Draw a description as a ``graphviz.Digraph``, and write it to a file if ``save`` names one."""
    size = {} if figsize is None else {"size": f"{figsize[0]},{figsize[1]}!"}
    drawing = draw(description, graph_attr={**size, **(graph_attr or {})}, **options)
    if save is not None:
        fine = {"dpi": dpi, **size, **(graph_attr or {})}
        draw(description, graph_attr=fine, **options).save(save)
    return drawing.to_graphviz()
