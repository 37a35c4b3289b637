"""Turn fixed matrices so that the longer axis comes last, and so lies in a row in memory.

A product with a vector goes through a matrix by pieces as long as the processor's vectors. Short rows are cut into few
of them: each row has to be added up on its own, and what is left at its end gone through number by number. So a
regression with twenty columns spends two to three times as long on its products as one with its matrix turned.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from pyrox.samplers.passes.jaxprs import bind, dependent, read
from pyrox.typing import Array


def orient(closed: core.ClosedJaxpr) -> core.ClosedJaxpr:
    """Give a traced function whose products of fixed matrices with vectors read these along the longer axis.

    Parameters
    ----------
    closed
        A function of which the first argument varies; the others are data.

    Returns
    -------
    The same function where every matrix lies well.
    """
    jaxpr = closed.jaxpr
    varying = dependent(jaxpr.eqns, jaxpr.invars[:1])
    if not any(_tall_matrices(eqn, varying) for eqn in jaxpr.eqns):
        return closed

    def turned(*args: Array) -> list:
        env = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*closed.consts, *args), strict=True))
        wide: dict[Any, Array] = {}
        for eqn in jaxpr.eqns:
            inputs = [read(v, env) for v in eqn.invars]
            sides = _tall_matrices(eqn, varying)
            for side in sides:
                matrix = eqn.invars[side]
                inputs[side] = wide[matrix] = wide[matrix] if matrix in wide else jnp.transpose(inputs[side])
            env.update(zip(eqn.outvars, multiply(eqn, inputs, sides), strict=True))
        return [read(v, env) for v in jaxpr.outvars]

    return jax.make_jaxpr(turned)(*[jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in jaxpr.invars])


def is_tall(shape: tuple[int, ...]) -> bool:
    """Tell whether a matrix has more rows than columns."""
    return shape[0] > shape[1]


def multiply(eqn: Any, inputs: list, turned: list[int]) -> list:
    """Run an equation; it is a product if any of its inputs, those with the numbers given, is a matrix turned."""
    if not turned:
        return bind(eqn, inputs)
    contracted, batch = eqn.params["dimension_numbers"]
    contracted = tuple(
        tuple(1 - axis for axis in axes) if side in turned else axes for side, axes in enumerate(contracted)
    )
    return bind(eqn, inputs, dimension_numbers=(contracted, batch))


def fixed_matrix(eqn: Any, varying: set) -> int | None:
    """Give which input of a product with a vector that varies is a matrix that does not; None if it is no such one."""
    if eqn.primitive.name != "dot_general" or varying.isdisjoint(eqn.outvars):
        return None
    (contracted, _), (batched, _) = eqn.params["dimension_numbers"]
    dims = [v.aval.ndim for v in eqn.invars]
    if sorted(dims) != [1, 2] or batched or len(contracted) != 1:
        return None
    side = dims.index(2)
    return None if eqn.invars[side] in varying else side


def _tall_matrices(eqn: Any, varying: set) -> list[int]:
    side = fixed_matrix(eqn, varying)
    return [] if side is None or not is_tall(eqn.invars[side].aval.shape) else [side]
