"""Copies of models in which some statements are others."""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any

from pyrox.errors import ModelError
from pyrox.model.fingerprint import fingerprint
from pyrox.model.graph import Model, Registry
from pyrox.model.minibatch import BatchIndex, find_batch
from pyrox.model.missing import Gaps, PatternPart, follow
from pyrox.model.nodes import Constant, Node
from pyrox.model.program import Data, DistExpression, RandomVariable, Statement


def rewrite(
    model: Model,
    replaced: Mapping[Statement, Statement] | None = None,
    dropped: Iterable[Statement] = (),
    added: Sequence[Statement] = (),
) -> Model:
    """Copy a model with other statements in the place of some; data, dims and labels are copied along.

    Parameters
    ----------
    model
        The model, which stays as it is.
    replaced
        New statements, written in terms of the model's own variables, by the ones that they replace.
    dropped
        Statements to leave out.
    added
        Statements that there are more.

    Returns
    -------
    The new model, which knows where it comes from (``origins``).

    Raises
    ------
    ModelError
        If the new statements depend on one another in a circle, or the model is a part of another.
    """
    require_model(model, "rewrite")
    replaced, dropped = dict(replaced or {}), set(dropped)
    own = list(model.named_vars.values())
    stated = [replaced.get(node, node) for node in own if node not in dropped] + list(added)
    twins = _copy_nodes(stated, replaced, {*own, *stated})
    new = copy(model)
    new.parent, new.registry, new.named_vars = None, Registry(), {}
    new.registry.lengths, new.registry.coords = dict(model.registry.lengths), dict(model.registry.coords)
    new.registry.version = model.registry.version
    new.origins = model.origins | {fingerprint(model)}
    registered = set(stated)
    for old, twin in twins.items():  # each after what it depends on
        if isinstance(old, Statement) and old not in registered:
            raise ModelError(f"the model depends on {old.name!r}, which was to be left out")
        if isinstance(old, Statement):
            follow(twin, new.registry)
            new.register(twin)
    for dim in (f"{node.name}_dim_0" for node in dropped):  # dims that stand for what is no longer there
        if all(dim not in (node.dims or ()) for node in new.named_vars.values()):
            new.registry.lengths.pop(dim, None), new.registry.coords.pop(dim, None)
    return new


def _copy_nodes(targets: list[Node], replaced: Mapping[Node, Node], known: set[Node]) -> dict[Node, Node]:
    """Copy nodes, each after its inputs; what follows from constants alone is shared."""
    twins: dict[Node, Node] = {}
    open_nodes: set[Node] = set()
    todo = list(reversed(targets))
    while todo:
        node = todo[-1]
        if node in twins:
            todo.pop()
            continue
        inputs = [replaced.get(i, i) for i in node.inputs]
        waiting = [i for i in inputs if i not in twins]
        if not waiting:
            twins[todo.pop()] = _copy_node(node, tuple(twins[i] for i in inputs), known)
            continue
        if node in open_nodes and any(i in open_nodes for i in waiting):
            raise ModelError(f"{_name(node)} would depend on itself: an intervention may use only what comes before it")
        open_nodes.add(node)
        todo.extend(reversed(waiting))
    for old, twin in twins.items():
        if isinstance(old, Data):
            limits = ((twins.get(replaced.get(n, n)), *rest) for n, *rest in old.limits)
            twin.limits = [limit for limit in limits if limit[0] is not None]
    return twins


def _name(node: Node) -> str:
    return repr(node.name) if node.name is not None else "the intervention"


def _copy_node(node: Node, inputs: tuple[Node, ...], known: set[Node]) -> Node:
    if isinstance(node, Statement) and node not in known:
        raise ModelError(f"the model depends on {node.name!r}, which belongs to another one: rewrite the whole model")
    sized = isinstance(node, DistExpression) and getattr(node.fn, "sized", ())
    follows_data = isinstance(node, Statement | PatternPart | Gaps | BatchIndex) or sized
    if isinstance(node, Constant) and not follows_data:
        return node
    if not follows_data and all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
        return node
    twin = copy(node)
    if sized:
        twin.fn = copy(node.fn)  # it holds the length of a series, which follows the dims of its own model
    if isinstance(node, RandomVariable):
        twin.dist, twin.observed = inputs[0], inputs[1] if len(inputs) > 1 else None
        twin.batch = None if twin.observed is None else find_batch(twin.observed)
    twin.inputs = inputs
    twin.infer()
    return twin


def require_model(model: Any, what: str) -> None:
    """Refuse what is no model."""
    if not isinstance(model, Model):
        raise ModelError(f"{what} takes a px.Model; met {model!r}")


def named(model: Model, variable: Any, what: str) -> Statement:
    """Find a variable of a model, by name or by itself."""
    require_model(model, what)
    if isinstance(variable, Node):
        if variable.name is None or variable.name not in model or model[variable.name] is not variable:
            raise ModelError(f"{what}: {variable!r} is no variable of this model; it has {', '.join(model.named_vars)}")
        return variable
    if not isinstance(variable, str) or variable not in model:
        raise ModelError(f"{what}: the model has no variable {variable!r}; it has {', '.join(model.named_vars)}")
    return model[variable]
