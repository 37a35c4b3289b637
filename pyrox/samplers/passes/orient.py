"""Turn fixed matrices so that the longer axis comes last, and so lies in a row in memory, as numbers of the product.

A product with a vector goes through a matrix by pieces as long as the processor's vectors. Short rows are cut into few
of them: each row has to be added up on its own, and what is left at its end gone through number by number. So a
regression with twenty columns spends two to three times as long on its products as one with its matrix turned.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from pyrox.samplers.passes.jaxprs import bind, dependent, run_replacing
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
    if not any(_lies_badly(eqn, varying) for eqn in jaxpr.eqns):
        return closed

    def turned(*args: Array) -> list:
        known: dict[tuple, Array] = {}

        def replace(eqn: Any, inputs: list) -> list | None:
            side = fixed_matrix(eqn, varying)
            return _multiply(eqn, inputs, side, known) if _lies_badly(eqn, varying) else None

        return run_replacing(closed, args, replace)

    return jax.make_jaxpr(turned)(*[jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in jaxpr.invars])


def _multiply(eqn: Any, inputs: list, side: int, known: dict[tuple, Array]) -> list:
    """Run a product with its matrix as it had better be; what a matrix becomes is kept."""
    matrix = eqn.invars[side]
    dtype = eqn.outvars[0].aval.dtype if _is_mixed(eqn, side) else matrix.aval.dtype
    if (matrix, dtype) not in known:
        converted = lax.convert_element_type(inputs[side], dtype)
        known[matrix, dtype] = jnp.transpose(converted) if _is_tall(matrix) else converted
    inputs[side] = known[matrix, dtype]
    contracted, batch = eqn.params["dimension_numbers"]
    if _is_tall(matrix):
        contracted = tuple((1 - axes[0],) if i == side else axes for i, axes in enumerate(contracted))
    return bind(eqn, inputs, dimension_numbers=(contracted, batch))


def _is_tall(matrix: Any) -> bool:
    rows, columns = matrix.aval.shape
    return rows > columns


def _lies_badly(eqn: Any, varying: set) -> bool:
    """Tell whether an equation is a product with a fixed matrix that had better be turned, or converted."""
    side = fixed_matrix(eqn, varying)
    return side is not None and (_is_tall(eqn.invars[side]) or _is_mixed(eqn, side))


def _is_mixed(eqn: Any, side: int) -> bool:
    """Tell whether a product would convert its matrix each time."""
    matrix, vector, result = (v.aval.dtype for v in (eqn.invars[side], eqn.invars[1 - side], eqn.outvars[0]))
    return matrix != vector == result


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
