"""Non-centring: samplers see a variable through its standard form, everybody else sees the variable itself."""

from copy import copy

import jax

from pyrox.errors import ModelError
from pyrox.model.messenger import require_standard_form
from pyrox.model.program import RandomVariable


def noncenter_variable(variable: RandomVariable) -> RandomVariable:
    """Give a copy of a variable that is explored through its standard form.

    Raises
    ------
    ModelError
        If it is observed, has a transform of its own, or a distribution without location and scale.
    """
    if variable.observed is not None:
        raise ModelError(f"{variable.name}: only free variables can be non-centred; it is observed")
    if variable.transform is not None:
        raise ModelError(f"{variable.name}: noncentered=True and transform= exclude each other")
    jax.eval_shape(lambda d: require_standard_form(d, variable.name).transform, variable.dist.abstract)
    twin = copy(variable)
    twin.noncentered = True
    return twin
