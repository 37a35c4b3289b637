"""Give a second gradient that multiplies with large matrices in single precision.

Where a gradient reads megabytes, half of them take half the time. Between the points of a trajectory whose energies are
asked for any gradient will do that is a function of the position alone: the map that leapfrogs make stays reversible
and keeps volumes, and what is accepted depends on energies of full precision. Only products with matrices are rounded.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from pyrox.likelihoods import ADDITIVE
from pyrox.samplers.passes.jaxprs import bind, count_bytes, dependent, read
from pyrox.samplers.passes.orient import fixed_matrix
from pyrox.samplers.passes.rewrite import prune, rewrite
from pyrox.typing import Array

# The fewest bytes of a matrix: less would not make up for the time that it takes to compile a second gradient.
_LARGE = 2**22


def in_single_precision(closed: core.ClosedJaxpr) -> core.ClosedJaxpr | None:
    """Give the gradient of a traced density with its products with large matrices in single precision.

    Parameters
    ----------
    closed
        The log-density and its gradient; the first argument varies, the others are data.

    Returns
    -------
    The gradient alone, of the same arguments; None where there is no large matrix of doubles.
    """
    flat = rewrite(closed, {}, ADDITIVE)
    jaxpr = flat.jaxpr
    varying = dependent(jaxpr.eqns, jaxpr.invars[:1])
    large = [eqn for eqn in jaxpr.eqns if _is_large(eqn, varying)]
    if not large:
        return None

    def gradient(*args: Array) -> list:
        env = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*flat.consts, *args), strict=True))
        rounded: dict[Any, Array] = {}
        for eqn in jaxpr.eqns:
            inputs = [read(v, env) for v in eqn.invars]
            outs = _multiply(eqn, inputs, rounded) if eqn in large else bind(eqn, inputs)
            env.update(zip(eqn.outvars, outs, strict=True))
        return [read(jaxpr.outvars[1], env)]

    return prune(jax.make_jaxpr(gradient)(*[jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in jaxpr.invars]))


def _is_large(eqn: Any, varying: set) -> bool:
    side = fixed_matrix(eqn, varying)
    doubles = {v.aval.dtype for v in (*eqn.invars, *eqn.outvars)} == {jnp.dtype("float64")}
    return side is not None and doubles and count_bytes([eqn.invars[side]]) >= _LARGE


def _multiply(eqn: Any, inputs: list, rounded: dict[Any, Array]) -> list[Array]:
    """Run a product in single precision; what is rounded once is kept."""
    single = jnp.dtype("float32")
    for v, x in zip(eqn.invars, inputs, strict=True):
        rounded[v] = rounded[v] if v in rounded else lax.convert_element_type(x, single)
    (product,) = bind(eqn, [rounded[v] for v in eqn.invars], preferred_element_type=single)
    return [lax.convert_element_type(product, inputs[0].dtype)]
