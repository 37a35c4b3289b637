"""Let products with matrices be made in single precision wherever a flag asks for it.

Half of the bytes take half the time to read, and twice as many numbers fit into a vector of the processor. Between the
points of a trajectory whose energies are asked for any function of the position will do as a gradient: the map that
leapfrogs make stays reversible and keeps volumes, and what is accepted depends on energies of full precision.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from pyrox.samplers.passes.jaxprs import bind, count_bytes, dependent, run_replacing
from pyrox.samplers.passes.orient import fixed_matrix
from pyrox.typing import Array

# The fewest bytes of a matrix of doubles; smaller ones take less time than the rest of a leapfrog.
_LARGE = 2**16
_SINGLE, _DOUBLE = jnp.dtype("float32"), jnp.dtype("float64")


def flag_single_precision(closed: core.ClosedJaxpr) -> core.ClosedJaxpr | None:
    """Give a traced function another argument: whether its products with fixed matrices are made in single precision.

    Parameters
    ----------
    closed
        A function of which the first argument varies; the others are data.

    Returns
    -------
    A function of the first argument, the flag, and the data; None where no large matrix of doubles is multiplied.
    """
    jaxpr = closed.jaxpr
    varying = dependent(jaxpr.eqns, jaxpr.invars[:1])
    if not any(_is_large(eqn, varying) for eqn in jaxpr.eqns):
        return None

    def flagged(position: Array, single: Array, *data: Array) -> list:
        rounded: dict[Any, Array] = {}

        def replace(eqn: Any, inputs: list) -> list | None:
            if not _is_large(eqn, varying):
                return None
            side = fixed_matrix(eqn, varying)
            matrix = eqn.invars[side]
            if matrix not in rounded:
                rounded[matrix] = lax.convert_element_type(inputs[side], _SINGLE)
            return [_multiply(eqn, side, single, rounded[matrix], *inputs)]

        return run_replacing(closed, (position, *data), replace)

    position, *data = (jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in jaxpr.invars)
    return jax.make_jaxpr(flagged)(position, jax.ShapeDtypeStruct((), bool), *data)


def _is_large(eqn: Any, varying: set) -> bool:
    side = fixed_matrix(eqn, varying)
    doubles = {v.aval.dtype for v in (*eqn.invars, *eqn.outvars)} == {_DOUBLE}
    return side is not None and doubles and count_bytes([eqn.invars[side]]) >= _LARGE


def _multiply(eqn: Any, side: int, single: Array, rounded: Array, *inputs: Array) -> Array:
    """Run a product with the rounded matrix, which is one of its inputs, or else as it is."""

    def in_single(rounded: Array, *inputs: Array) -> Array:
        pair = [lax.convert_element_type(x, _SINGLE) for x in inputs]
        pair[side] = rounded
        return lax.convert_element_type(bind(eqn, pair, preferred_element_type=_SINGLE)[0], _DOUBLE)

    def in_double(_: Array, *inputs: Array) -> Array:
        return bind(eqn, list(inputs))[0]

    return lax.cond(single, in_single, in_double, rounded, *inputs)
