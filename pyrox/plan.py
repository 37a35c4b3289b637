"""Decide which variables keep their draws, and which are drawn anew, when a model runs at other data."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pyrox.draws import Draws
from pyrox.errors import ModelError, ShapeError
from pyrox.model import Model, RandomVariable
from pyrox.model.conditional import can_condition
from pyrox.model.forward import Site
from pyrox.model.labels import as_scalars, positions_of, write_labels
from pyrox.model.nodes import Node
from pyrox.model.program import Data, Statement

AS_ASKED = "as asked for"
_EMPTY = "it has no elements"
_SUMMED = "it is discrete, and was summed out"


@dataclass
class Plan:
    """What becomes of every variable.

    Attributes
    ----------
    frozen
        Names of the variables that keep their draws, or their observed values.
    anew
        Variables that are drawn anew, with the reason.
    partly
        Variables of which some elements keep their draws, matched by label, and the others are drawn given those.
    new_levels
        By dim, the labels that the draws do not have.
    wanted
        Names of what is given back.
    """

    wanted: tuple[str, ...] = ()
    frozen: list[str] = field(default_factory=list)
    anew: dict[str, str] = field(default_factory=dict)
    partly: dict[str, str] = field(default_factory=dict)
    new_levels: dict[str, list] = field(default_factory=dict)
    matches: dict[str, list[np.ndarray | None]] = field(default_factory=dict)
    observed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"keep their draws: {', '.join(self.frozen) or 'none'}"]
        lines += self.changes()
        lines += [f"drawn from their distributions: {', '.join(self.observed)}"] if self.observed else []
        return "\n".join(lines)

    __repr__ = __str__

    def changes(self, *, unasked: bool = False) -> list[str]:
        """Say what is drawn anew of free variables and why; ``unasked`` leaves out what was asked for."""
        told = [f"{name} keeps its draws in part: {why}" for name, why in self.partly.items()]
        return told + [
            f"{name} is drawn anew: {why}"
            for name, why in self.anew.items()
            if not (unasked and why in (AS_ASKED, _EMPTY))
        ]

    def known(self, name: str) -> tuple[np.ndarray | None, ...]:
        """Tell by axis which elements of a variable have draws."""
        return tuple(None if at is None else at >= 0 for at in self.matches[name])

    def values(self, draws: Draws) -> dict[str, np.ndarray]:
        """Give the draws of every variable that has some, put where their labels are now."""
        values = {}
        for name, match in self.matches.items():
            x = draws.flat(name)
            for axis, at in enumerate(match):
                if at is not None:
                    x = np.take(x, np.maximum(at, 0), axis=axis + 1)
            values[name] = x
        return values


class Planner:
    """Make the plan of a graph.

    Parameters
    ----------
    model
        The graph, with the data of the moment.
    sites
        What it states, with the shapes of the moment.
    draws
        The draws.
    redraw, frozen
        Names of variables that are drawn anew, or keep their values, whatever has changed.
    stranger
        Whether the draws are of another model: then their shapes must be those of the variables.
    """

    def __init__(
        self, model: Model, sites: Mapping[str, Site], draws: Draws, redraw: Sequence[str], frozen: Sequence[str],
        *, stranger: bool = False,
    ) -> None:  # fmt: skip
        self.model, self.sites, self.draws, self.redraw, self.held = model, sites, draws, redraw, frozen
        self.stranger = stranger
        self.others = {data.name for data in model.data_vars if self._differs(data)}
        self.moved = {
            dim
            for data in model.data_vars
            for dim in data.dims or ()
            if dim is not None and model.coords[dim] is None and (data.name in self.others or self._resized(data))
        }

    def make(self, wanted: tuple[str, ...]) -> Plan:
        """Decide for every variable that what is wanted needs."""
        plan = Plan(wanted)
        needed = {node.name for node in statements_above([self.model[name] for name in wanted])}
        missing = []
        for name, node in self.model.named_vars.items():
            if not isinstance(node, RandomVariable) or name not in needed:
                continue
            if node.observed is not None:
                (plan.frozen if name in self.held else plan.observed).append(name)
            elif 0 in self.sites[name].shape:
                plan.anew[name] = _EMPTY
            elif name in self.draws:
                self._decide(plan, node)
            elif name in self.redraw:
                plan.anew[name] = AS_ASKED
            elif self.sites[name].is_discrete:
                plan.anew[name] = _SUMMED
            else:
                missing.append(name)
        if missing:
            raise ModelError(
                f"the draws lack {', '.join(missing)}, which {', '.join(wanted)} needs. They hold "
                f"{', '.join(self.draws.arrays) or 'nothing'}. Nothing is drawn from the prior by itself: name it in "
                "var_names= if that is what you want, or sample with these variables kept"
            )
        return plan

    def _decide(self, plan: Plan, node: RandomVariable) -> None:
        name = node.name
        above = direct_statements(node)
        parents = [p.name for p in above if p.name in plan.anew]
        changed = [p.name for p in above if p.name in self.others]
        if name in self.redraw:
            plan.anew[name] = AS_ASKED
        elif name not in self.held and parents:
            plan.anew[name] = f"it depends on {parents[0]}"
        elif name not in self.held and changed:
            plan.anew[name] = f"it depends on the data {changed[0]}, which have changed"
        else:
            self._match(plan, node)

    def _match(self, plan: Plan, node: RandomVariable) -> None:
        """Find where each element of a variable has its draws."""
        name, shape, former = node.name, self.sites[node.name].shape, self.draws.shape(node.name)
        if len(shape) != len(former):
            raise ShapeError(f"the draws of {name!r} have shape {former} each, the variable {shape}: another model?")
        matches: list[np.ndarray | None] = []
        for axis, n in enumerate(shape):
            dim = node.dims[axis] if node.dims is not None else None
            at, why = self._match_axis(name, axis, dim, n, former[axis])
            if why is not None:
                if name in self.held or self.stranger:
                    raise ShapeError(f"{name!r} cannot keep its draws: {why}")
                plan.anew[name] = why
                return
            matches.append(at)
        self._settle(plan, node, matches)

    def _match_axis(
        self, name: str, axis: int, dim: str | None, n: int, former: int
    ) -> tuple[np.ndarray | None, str | None]:
        labels = None if dim is None else self.model.coords[dim]
        then = self.draws.dims.get(name)
        old = self.draws.coords.get(then[axis]) if then is not None else None
        if labels is None or old is None:
            where = f"axis {axis}" if dim is None else f"dim {dim!r}"
            if n != former:
                return None, f"its {where} has length {n}, the draws {former}, and no labels tell which are which"
            if dim in self.moved:
                return None, f"its {where} has other data than the draws, and no labels tell which are which"
            return None, None
        at = positions_of(labels, old, dim)
        return (None if n == former and np.array_equal(at, np.arange(n)) else at), None

    def _settle(self, plan: Plan, node: RandomVariable, matches: list[np.ndarray | None]) -> None:
        name, told = node.name, []
        for dim, at in zip(node.dims or (), matches, strict=False):
            if at is not None and np.any(at < 0):
                fresh = [label for label, i in zip(as_scalars(self.model.coords[dim]), at, strict=True) if i < 0]
                plan.new_levels[dim] = fresh
                told.append(f"{len(fresh)} of {len(at)} levels of {dim} are new ({write_labels(fresh)})")
        if not told:
            plan.frozen.append(name)
        elif name in self.held:
            raise ShapeError(f"{name!r} cannot keep its draws, as frozen= asks: {' and '.join(told)}")
        elif any(at is not None and np.all(at < 0) for at in matches):
            plan.anew[name] = f"{' and '.join(told)}, drawn from the population"
            return
        else:
            event = matches[len(matches) - self.sites[name].event_dim :]
            together = any(at is not None and np.any(at < 0) for at in event)
            only_last = matches[-1] is not None and all(at is None for at in event[:-1])
            if together and not (only_last and can_condition(node.dist.abstract, matches[-1] >= 0)):
                raise ModelError(
                    f"{name!r}: {' and '.join(told)}, but {type(node.dist.abstract).__name__} draws all elements along "
                    f"that dim together, so that these cannot be added. var_names=[{name!r}, ...] draws all of it anew"
                )
            given = "given those that are known" if together else "from the population"
            plan.partly[name] = f"{' and '.join(told)}, drawn {given}"
        plan.matches[name] = matches

    # Data that are not what they were

    def _resized(self, data: Data) -> bool:
        return bool(self.draws.data) and self.draws.data.get(data.name, ((), data.value))[1].shape != data.value.shape

    def _differs(self, data: Data) -> bool:
        """Tell whether data differ where their labels are the same; indices count by the labels they stand for."""
        if self.draws.data is None or data.name not in self.draws.data:
            return False
        dims, then = self.draws.data[data.name]
        now = data.value
        if then.ndim != now.ndim:
            return True
        for axis, dim in enumerate(data.dims or (None,) * now.ndim):
            labels, old = self.model.coords.get(dim), self.draws.coords.get(dims[axis])
            if labels is None or old is None:
                if then.shape[axis] != now.shape[axis]:
                    return True
                continue
            at = positions_of(labels, old, dim)
            now, then = np.compress(at >= 0, now, axis=axis), np.take(then, at[at >= 0], axis=axis)
        for node, axis, *_ in data.limits:
            dim = node.dims[axis] if node.dims is not None else None
            labels, old = self.model.coords.get(dim), self.draws.coords.get(dim)
            if labels is not None and old is not None:
                return not np.array_equal(_meant(labels, now), _meant(old, then))
        return not np.array_equal(now, then)


def _meant(labels: Iterable[Any], index: np.ndarray) -> np.ndarray:
    """Give the labels that indices stand for."""
    known = np.empty(len(scalars := as_scalars(labels)), object)
    known[:] = scalars
    return known[index.astype(int)]


def direct_statements(node: RandomVariable) -> list[Statement]:
    """List the data and random variables that a variable's distribution is made of, without what lies above them."""
    found: dict[Statement, None] = {}
    todo: list[Node] = [node.dist]
    seen: set[Node] = set()
    while todo:
        part = todo.pop()
        if part in seen:
            continue
        seen.add(part)
        if isinstance(part, RandomVariable | Data):
            found[part] = None
        else:
            todo.extend(part.inputs)
    return list(found)


def statements_above(targets: Sequence[Node]) -> list[Statement]:
    """List the named nodes that some nodes need to be computed or drawn, themselves included."""
    found: dict[Node, None] = {}
    todo = list(targets)
    while todo:
        node = todo.pop()
        if node in found:
            continue
        found[node] = None
        todo.extend((node.dist,) if isinstance(node, RandomVariable) else node.inputs)
    return [node for node in found if isinstance(node, Statement)]
