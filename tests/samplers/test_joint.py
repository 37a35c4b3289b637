"""Joint tests (Geweke 2004): parameters given data and data given parameters, in turn, leave the joint law alone.

One simulator draws parameters from the prior and data given them. The other goes on from there: a transition of the
sampler given the data, new data given the parameters, and so on. Where prior, density, transforms, data and kernel fit
together, both have one law; neither warm-up nor convergence has a part in it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from pyrox.model import LogDensity
from pyrox.model.forward import Program, forward
from pyrox.samplers import kernel
from pyrox.samplers.metrics import DiagonalMetric
from pyrox.samplers.nuts import NUTSKernel
from tests.checks import LEVEL
from tests.sbc_models import MODELS

CHAINS, TURNS = 2048, 3
# Of different transforms: a simplex, an interval, a non-centred vector, a Cholesky factor
NAMES = "ordinal", "survival", "hierarchy", "gaps"
STEP_SIZE = 0.3


def simulators(model):
    """Give the two simulators, functions of a key; both give parameters, data and their joint log-density."""
    density, program = LogDensity.build(model), Program(model)
    program.inspect()
    names = [*density.free, *density.observed]
    prior = forward(program, names, None)
    renew = forward(program, density.observed, density.observed)

    def data_of(values):
        observed = {name: values[name] for name in density.observed}
        return {**density.data, "closed": {**density.data["closed"], **observed}}

    def told(values, position):
        return {**values, "lp": density(position, data_of(values))}

    def independent(key):
        values = prior(({}, key), program.data)
        return told(values, density.unconstrain(values, data_of(values)))

    def turn(carry, key):
        values, position = carry
        data = data_of(values)
        nuts = NUTSKernel(jnp.array(STEP_SIZE), DiagonalMetric.unit(position))
        state = kernel.init(position)
        for step in range(2):  # the first one evaluates the start
            key_step = jax.random.fold_in(key, step)
            state, _ = nuts.step(key_step, state, lambda q: jax.value_and_grad(density)(q, data), jnp.int32(4))
        free = density.constrain(state.position, data)
        free = {name: free[name] for name in density.free}
        return ({**free, **renew((free, jax.random.fold_in(key, 2)), program.data)}, state.position), None

    def successive(key):
        values = prior(({}, key), program.data)
        start = values, density.unconstrain(values, data_of(values))
        (values, position), _ = jax.lax.scan(turn, start, jax.random.split(jax.random.fold_in(key, 1), TURNS))
        return told(values, position)

    return [jax.jit(jax.vmap(simulator)) for simulator in (independent, successive)]


@pytest.mark.parametrize("name", NAMES)
def test_both_simulators_have_one_law(name):
    independent, successive = simulators(MODELS[name]())
    one = independent(jax.random.split(jax.random.key(1), CHAINS))
    other = successive(jax.random.split(jax.random.key(2), CHAINS))
    start = independent(jax.random.split(jax.random.key(2), CHAINS))
    free = next(iter(one))
    assert np.mean(np.asarray(other[free]) != np.asarray(start[free])) > 0.5, "chains move"
    for quantity in one:
        a, b = (np.asarray(x[quantity], float).reshape(CHAINS, -1) for x in (one, other))
        for i in range(a.shape[1]):
            assert stats.ks_2samp(a[:, i], b[:, i]).pvalue > LEVEL, f"{quantity}, element {i}"
