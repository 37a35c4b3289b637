"""Small pieces of HTML for notebooks: they take the colours of the page, light or dark, and escape what they show."""

import html
import math
import sys
from collections.abc import Iterable, Sequence

_LINE = "1px solid rgba(128, 128, 128, 0.35)"
_CELL = "text-align: left; vertical-align: top; padding: 0.25em 0.9em 0.25em 0; white-space: pre-wrap; max-width: 40em;"
_HEAD = f"{_CELL} font-weight: 600; border-bottom: {_LINE};"
_TABLE = "border-collapse: collapse; border: none; background: transparent; color: inherit; margin: 0 0 0.4em 0;"
_ROW = "background: transparent; color: inherit; border: none;"
_GROUP = "font-weight: 600; text-align: left; padding: 0.5em 0 0.2em 0;"
_NOTE = "border-left: 3px solid {colour}; padding: 0.1em 0.7em; margin: 0.3em 0;"
_POINTS = 200
_COLOURS = {"good": "#3a9d5d", "bad": "#d9822b"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(text: object) -> str:
    """Write text so that it shows as it is."""
    return text if isinstance(text, Markup) else html.escape(str(text))


def code(text: object) -> Markup:
    """Show a name or an expression of code."""
    return Markup(f'<code style="background: transparent; color: inherit;">{escape(text)}</code>') if text else Markup()


def faint(text: object) -> Markup:
    """Show what matters less."""
    return Markup(f'<span style="opacity: 0.65;">{escape(text)}</span>')


def table(head: Sequence[object], groups: Iterable[tuple[str, Iterable[Sequence[object]]]]) -> Markup:
    """Write a table.

    Parameters
    ----------
    head
        The heading of each column; none shows no heading.
    groups
        Rows of cells under a title each; no title is ``""``, and groups without rows are left out.
    """
    lines = []
    for title, rows in groups:
        cells = ["".join(f'<td style="{_CELL}">{escape(c)}</td>' for c in row) for row in rows]
        if cells and title:
            lines.append(f'<tr style="{_ROW}"><th colspan="{len(head)}" style="{_GROUP}">{escape(title)}</th></tr>')
        lines += [f'<tr style="{_ROW}">{row}</tr>' for row in cells]
    top = "".join(f'<th style="{_HEAD}">{escape(name)}</th>' for name in head)
    top = f'<thead><tr style="{_ROW}">{top}</tr></thead>' if any(head) else ""
    return Markup(f'<table style="{_TABLE}">{top}<tbody>{"".join(lines)}</tbody></table>') if lines else Markup()


def note(text: object, kind: str = "bad") -> Markup:
    """Write a sentence that is to be seen: ``kind`` is ``"good"`` or ``"bad"``."""
    return Markup(f'<div style="{_NOTE.format(colour=_COLOURS[kind])}">{escape(text)}</div>')


def details(title: object, body: object) -> Markup:
    """Write what shows when its title is clicked; nothing if there is no body."""
    return Markup(f"<details><summary>{escape(title)}</summary>{escape(body)}</details>") if body else Markup()


def curve(values: Sequence[float], width: int = 240, height: int = 48) -> Markup:
    """Draw numbers as a small line; what is not finite is left out."""
    points = [(i, v) for i, v in enumerate(map(float, values)) if math.isfinite(v)]
    if len(points) < 2:
        return Markup()
    points = points[:: max(1, len(points) // _POINTS)]
    low, high = min(v for _, v in points), max(v for _, v in points)
    right, across = points[-1][0] or 1, (high - low) or 1.0
    x, y = (width - 2) / right, (height - 2) / across
    where = " ".join(f"{1 + x * i:.1f},{1 + y * (high - v):.1f}" for i, v in points)
    line = f'<polyline points="{where}" fill="none" stroke="currentColor" stroke-width="1.2" opacity="0.8"/>'
    return Markup(f'<svg width="{width}" height="{height}" role="img" style="vertical-align: middle;">{line}</svg>')


def section(title: object, *parts: object, facts: Sequence[str] = ()) -> str:
    """Write a whole: a title with facts beside it, and parts below."""
    beside = faint(" · ".join(facts)) if facts else ""
    head = f'<div style="margin: 0 0 0.4em 0;"><strong>{escape(title)}</strong>&ensp;{beside}</div>'
    return f'<div style="line-height: 1.4;">{head}{"".join(escape(p) for p in parts if p)}</div>'


def in_notebook() -> bool:
    """Tell whether output goes to a notebook."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"
