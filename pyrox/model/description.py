"""What a program states: its sites, as a table of text or for notebooks, and as LaTeX."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pyrox import _html as html
from pyrox.errors import ModelError
from pyrox.model import latex
from pyrox.typing import Shape

_ARROW = "<-- "
_LABELS = 8  # of a dim, that a table shows
_GROUPS = {
    "free": "Free variables",
    "param": "Parameters to optimize",
    "observed": "Observed variables",
    "deterministic": "Deterministics",
    "factor": "Potentials",
    "data": "Data",
    "plate": "Plates",
}


@dataclass(frozen=True)
class Law:
    """How a site is distributed.

    Attributes
    ----------
    name
        The name of the distribution.
    args
        Its parameters by name: the name of a site, a function of sites or numbers, as text; the distributions that it
        is made of, as laws.
    """

    name: str
    args: tuple[tuple[str, "str | Law | tuple[Law, ...]"], ...] = ()

    def filled(self, texts: Mapping[str, str]) -> "Law":
        """Put texts in the place of parameters; without any, only the name is known."""

        def fill(value: "str | Law | tuple[Law, ...]") -> "str | Law | tuple[Law, ...]":
            if isinstance(value, str):
                return texts[value]
            return value.filled(texts) if isinstance(value, Law) else tuple(law.filled(texts) for law in value)

        kept = [(n, v) for n, v in self.args if not isinstance(v, str) or v in texts]
        return Law(self.name, tuple((n, fill(v)) for n, v in kept) if texts else ())

    def __str__(self) -> str:
        def write(value: "str | Law | tuple[Law, ...]") -> str:
            return str(value) if isinstance(value, str | Law) else f"[{', '.join(map(str, value))}]"

        return f"{self.name}({', '.join(f'{n}={write(v)}' for n, v in self.args)})" if self.args else self.name

    def formula(self, names: Mapping[str, object]) -> str:
        """Write it in LaTeX, its parameters in their order."""

        def write(value: "str | Law | tuple[Law, ...]") -> str:
            if isinstance(value, str):
                return latex.expression(value, names)
            return value.formula(names) if isinstance(value, Law) else ",\\ ".join(law.formula(names) for law in value)

        inside = ",\\ ".join(write(v) for _, v in self.args)
        return f"{latex.operator(self.name)}({inside})"


@dataclass(frozen=True)
class Site:
    """One site of a program.

    Attributes
    ----------
    name, kind
        Its name; ``"free"``, ``"observed"``, ``"param"``, ``"deterministic"``, ``"factor"``, ``"data"`` or ``"plate"``.
    law
        How it is distributed, if it is random.
    support
        Where its values lie, if it is random.
    values
        Of data, their type and the first of them.
    shape, event_dim
        Of its value.
    dims
        Names of the axes, None where they have none.
    parents
        The sites that it depends on directly.
    observed
        The sites that its observed values come from.
    problem
        What is wrong with it, if anything.
    """

    name: str
    kind: str
    law: Law | None = None
    support: str = ""
    values: str = ""
    shape: Shape = ()
    event_dim: int = 0
    dims: tuple[str | None, ...] = ()
    parents: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
    problem: str = ""

    @property
    def distribution(self) -> str:
        """How it is distributed, with the names of what its parameters are made of."""
        return str(self.law or "")

    @property
    def axes(self) -> tuple[tuple[str | None, int], ...]:
        """Name and length of each axis; no name is None."""
        named = [*self.dims, *[None] * (len(self.shape) - len(self.dims))]
        return tuple(zip(named, (int(n) for n in self.shape), strict=True))

    def formula(self, names: Mapping[str, object]) -> str:
        """Write in LaTeX what it states."""
        head = latex.name(self.name)
        if self.law is not None:
            return f"{head} &\\sim {self.law.formula(names)}"
        above = latex.expression(f"f({', '.join(self.parents)})", names) if self.parents else latex.text("constant")
        return f"{head} &= {above}" + (f" \\quad {latex.text('(potential)')}" if self.kind == "factor" else "")

    def statement(self) -> tuple[str, str]:
        """Write in two parts what it states."""
        if self.law is not None:
            return self.name, f"~ {self.law}"
        kind = {"deterministic": "Deterministic", "factor": "Potential"}.get(self.kind, self.kind)
        return self.name, f"~ {kind}(f({', '.join(self.parents)}))" if self.parents else f"~ {kind}"


@dataclass(frozen=True)
class Description:
    """The sites of a program, in the order of their statements; printed, or shown in a notebook, a table.

    Attributes
    ----------
    sites
        By name.
    problem
        The first inconsistency: where it stands, and what is wrong; empty if there is none.
    name
        The name of the model, if it has one.
    dims
        Length and labels of each dim of a model; no labels are None.
    """

    sites: Mapping[str, Site]
    problem: str = ""
    name: str = ""
    dims: Mapping[str, tuple[int, tuple | None]] = field(default_factory=dict)

    @property
    def num_parameters(self) -> int:
        """How many numbers the free variables hold."""
        return sum(int(np.prod(site.shape)) for site in self.sites.values() if site.kind == "free")

    def str_repr(self, formatting: str = "plain") -> str:
        """Write the statements of random variables, deterministics and potentials.

        Parameters
        ----------
        formatting
            ``"plain"``, a line for each, or ``"latex"``.
        """
        stated = [site for site in self.sites.values() if site.kind not in ("data", "plate", "?")]
        if formatting == "latex":
            lines = " \\\\\n".join(site.formula(self.sites) for site in stated)
            return f"$$\\begin{{aligned}}\n{lines}\n\\end{{aligned}}$$" if lines else ""
        if formatting != "plain":
            raise ModelError(f"formatting is 'plain' or 'latex'; met {formatting!r}")
        parts = [site.statement() for site in stated]
        width = max((len(head) for head, _ in parts), default=0)
        return "\n".join(f"{head.rjust(width)} {rest}" for head, rest in parts)

    def __str__(self) -> str:
        rows = [("site", "kind", "distribution", "support", "shape", "dims", "depends on", "")]
        for site in self.sites.values():
            at = len(site.shape) - site.event_dim
            batch, event = site.shape[:at], site.shape[at:]
            shape = f"{_plain(batch)} | {_plain(event)}" if site.event_dim else _plain(batch)
            dims = ", ".join(d or "." for d in site.dims)
            problem = _ARROW + site.problem if site.problem else ""
            stated, parents = site.distribution or site.values, ", ".join(site.parents)
            rows.append((site.name, site.kind, stated, site.support, shape, dims, parents, problem))
        widths = [max(len(row[i]) for row in rows) for i in range(7)]
        lines = ["  ".join([*(c.ljust(w) for c, w in zip(r, widths, strict=False)), r[7]]).rstrip() for r in rows]
        if self.problem and not any(site.problem for site in self.sites.values()):
            lines.append(_ARROW + self.problem)
        lines += [f"dim {dim} ({n}): {_some(labels)}" for dim, (n, labels) in self.dims.items() if labels is not None]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_latex_(self) -> str:
        return self.str_repr("latex")

    def _repr_html_(self) -> str:
        groups = [(title, [_row(s) for s in self.sites.values() if s.kind == kind]) for kind, title in _GROUPS.items()]
        groups.append(("Not understood", [_row(s) for s in self.sites.values() if s.kind not in _GROUPS]))
        dims = [(html.code(dim), n, html.faint(_some(labels))) for dim, (n, labels) in self.dims.items()]
        return html.section(
            f"Model {self.name}".strip(),
            html.note(self.problem) if self.problem else "",
            html.table(("variable", "distribution", "dims", "support"), groups),
            html.table(("dim", "length", "labels"), [("", dims)]),
            facts=_count(self),
        )


def _plain(shape: Shape) -> str:
    return str(tuple(int(n) for n in shape))


def _row(site: Site) -> tuple:
    dims = ", ".join(f"{dim} ({n})" if dim else str(n) for dim, n in site.axes)
    stated = site.distribution or site.values
    if site.kind in ("deterministic", "factor"):
        stated = f"f({', '.join(site.parents)})" if site.parents else "constant"
    seen = html.faint(f"\nobserved: {', '.join(site.observed)}") if site.observed else ""
    wrong = html.note(site.problem) if site.problem else ""
    return html.code(site.name), html.Markup(html.code(stated) + seen + wrong), dims, site.support


def _count(description: Description) -> list[str]:
    kinds = [site.kind for site in description.sites.values()]
    facts = [f"{kinds.count('free')} free ({description.num_parameters} parameters)"]
    return facts + [f"{kinds.count(k)} {k}" for k in ("observed", "deterministic", "data") if k in kinds]


def _some(labels: tuple | None) -> str:
    shown = [str(label) for label in (labels or ())[:_LABELS]]
    return ", ".join(shown) + (", …" if len(labels or ()) > _LABELS else "")
