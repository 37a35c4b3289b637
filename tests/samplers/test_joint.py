"""Joint tests (Geweke 2004): parameters given data and data given parameters, in turn, leave the joint law alone.

One simulator draws parameters from the prior and data given them. The other goes on from there: a transition of the
sampler given the data, new data given the parameters, and so on. Where prior, density, transforms, data and kernel fit
together, both have one law; neither warm-up nor convergence has a part in it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import pyrox as px
from pyrox.model import LogDensity
from pyrox.model.forward import Program, forward
from pyrox.samplers import kernel
from pyrox.samplers.metrics import DiagonalMetric
from pyrox.samplers.nuts import NUTSKernel
from tests.checks import LEVEL

CHAINS, TURNS = 4096, 8
STEP_SIZE = 0.2


def everything():
    """Parameters of all kinds: positive, an interval, a simplex, a Cholesky factor, a vector that is not centred."""
    with px.Model() as model:
        scale, shape = px.HalfNormal("scale", 1.0), px.Uniform("shape", 0.5, 3.0)
        shares = px.Dirichlet("shares", np.array([2.0, 1.0, 3.0]))
        theta = px.Normal("theta", 0.3, scale, shape=3, noncentered=True)
        chol, _, _ = px.LKJCholeskyCov("chol", n=3, eta=2.0, sd_dist=px.HalfNormal.dist(1.0))
        px.MvNormal("y", theta, chol=chol, observed=np.zeros((4, 3)))
        px.Gamma("waits", shape, px.math.exp(theta[0]), observed=np.ones(3))
        px.Categorical("kinds", shares, observed=np.zeros(5, int))
    return model


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
            state, _ = nuts.step(key_step, state, lambda q: jax.value_and_grad(density)(q, data), jnp.int32(3))
        free = density.constrain(state.position, data)
        free = {name: free[name] for name in density.free}
        return ({**free, **renew((free, jax.random.fold_in(key, 2)), program.data)}, state.position), None

    def successive(key):
        values = prior(({}, key), program.data)
        start = values, density.unconstrain(values, data_of(values))
        (values, position), _ = jax.lax.scan(turn, start, jax.random.split(jax.random.fold_in(key, 1), TURNS))
        return told(values, position)

    return [jax.jit(jax.vmap(simulator)) for simulator in (independent, successive)]


def test_both_simulators_have_one_law():
    independent, successive = simulators(everything())
    one = independent(jax.random.split(jax.random.key(1), CHAINS))
    other = successive(jax.random.split(jax.random.key(2), CHAINS))
    start = independent(jax.random.split(jax.random.key(2), CHAINS))
    free = next(iter(one))
    assert np.mean(np.asarray(other[free]) != np.asarray(start[free])) > 0.5, "chains move"
    for quantity in one:
        a, b = (np.asarray(x[quantity], float).reshape(CHAINS, -1) for x in (one, other))
        for i in range(a.shape[1]):
            assert stats.ks_2samp(a[:, i], b[:, i]).pvalue > LEVEL, f"{quantity}, element {i}"
