"""Free variables that say nothing about any other: no sampler needs them, they are drawn from their distribution."""

from collections.abc import Collection

from pyrox.model.graph import Model
from pyrox.model.missing import imputations
from pyrox.model.nodes import Node, ancestors
from pyrox.model.program import Potential, RandomVariable


def find_leaves(model: Model) -> dict[str, bool]:
    """Find missing values and discrete variables that no other variable and no potential depends on.

    Given the other variables, the density integrates to one over them, so that the posterior of the others is that
    without them.

    Parameters
    ----------
    model
        The model.

    Returns
    -------
    By name, whether the variable is discrete, in the order of their definition.
    """
    statements = list(model.named_vars.values())
    imputed = {i.unobserved for i in imputations(statements).values()}
    candidates = {
        node
        for node in statements
        if isinstance(node, RandomVariable) and node.observed is None
        and (node in imputed or node.dist.struct.is_discrete)
    }  # fmt: skip
    if not candidates:
        return {}
    needed: set[Node] = set()
    for node in reversed(ancestors(statements)):
        weighs = isinstance(node, Potential | RandomVariable) and node not in candidates
        if weighs or node in needed:
            needed.update(node.inputs)
    return {n.name: n.dist.struct.is_discrete for n in statements if n in candidates - needed}


def find_effects(model: Model, names: Collection[str]) -> set[str]:
    """Find the named variables that follow from some, these included."""
    reached: set[Node] = set()
    for node in ancestors(list(model.named_vars.values())):
        if node.name in names or reached.intersection(node.inputs):
            reached.add(node)
    return {node.name for node in reached if node.name is not None}
