"""No value outlives its trace: programs of all kinds run while JAX looks for leaks.

``pytest --leaks`` looks in every test.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyrox as px
from pyrox import dist, handlers, vi
from pyrox.primitives import deterministic, param, plate, sample

KEY = jax.random.key(0)


def regression():
    with px.Model(coords={"group": ["a", "b", "c"]}) as model:
        level = px.Normal("level", px.Normal("mu"), px.HalfNormal("tau"), dims="group", noncentered=True)
        index = px.Data("index", [0, 1, 2, 1])
        px.Deterministic("mean", px.lift(jnp.tanh)(level), dims="group")
        px.Potential("penalty", -(level.sum() ** 2))
        px.Normal("y", level[index], 1.0, observed=[0.1, np.nan, 0.3, 0.4])
    return model


def mixture():
    with px.Model() as model:
        mu = px.Normal("mu", 0.0, 3.0, shape=2)
        z = px.Bernoulli("z", 0.3, shape=4)
        px.Normal("y", mu[z], 1.0, observed=np.arange(4.0))
    return model


def constrained():
    with px.Model() as model:
        w = px.Dirichlet("w", np.ones(3))
        chol, _, _ = px.LKJCholeskyCov("chol", 1.0, 2, px.HalfNormal.dist(1.0))
        px.CustomDist("own", w[0], logp=lambda v, rate: -rate * v**2, random=lambda key, rate, shape: jnp.zeros(shape))
        px.Truncated("t", px.Normal.dist(w[1], 1.0), lower=0.0)
        px.Potential("use", -(chol.sum() ** 2))
    return model


def plates(y=None):
    tau = sample("tau", dist.HalfNormal(1.0))
    with plate("group", 3):
        with handlers.reparam(config={"theta": handlers.LocScaleReparam(0.0)}):
            theta = sample("theta", dist.Normal(0.0, tau))
        deterministic("twice", 2 * theta)
        with handlers.scale(scale_factor=2.0), handlers.mask(mask=jnp.array([True, False, True])):
            sample("y", dist.Normal(theta, 1.0), obs=y)


def plates_of_data():
    plates(jnp.arange(3.0))


PROGRAMS = {"regression": regression, "mixture": mixture, "constrained": constrained, "plates": lambda: plates_of_data}


@pytest.mark.parametrize("name", PROGRAMS)
def test_densities_and_handlers_leak_nothing(name):
    with jax.checking_leaks():
        program = PROGRAMS[name]()
        density = px.model.LogDensity.build(program)
        value, grad = jax.jit(jax.value_and_grad(density))(0.1 * jnp.ones(density.dim), density.data)
        assert np.isfinite(value)
        assert np.all(np.isfinite(grad))
        named = jax.jit(density.constrain)(jnp.zeros(density.dim), density.data)
        assert set(density.free) <= set(named)
        record = jax.jit(lambda key: handlers.seed(program, key)())(KEY)
        del record
        traced = handlers.trace(handlers.seed(program, KEY)).get_trace()
        free = {n: site["value"] for n, site in traced.items() if site["type"] == "sample" and not site["is_observed"]}
        again = handlers.trace(handlers.seed(handlers.condition(program, free), KEY)).get_trace()
        assert all(again[n]["is_observed"] for n in free)


def test_runs_leak_nothing():
    model = regression()
    with jax.checking_leaks():
        idata = px.sample(5, tune=5, chains=1, model=model, random_seed=1, quiet=True)
        px.predict(idata, {"index": [0, 0]}, model=model, random_seed=1, progressbar=False)
        with pytest.warns(UserWarning, match="penalty"):
            px.sample_prior_predictive(5, px.do(model, {"mu": 1.0}), ["y_observed"], random_seed=1)


def test_steps_of_variational_inference_leak_nothing():
    def guide():
        loc = param("loc", 0.0)
        sample("tau", dist.LogNormal(loc, param("scale", 1.0, constraint=dist.constraints.positive)))
        with plate("group", 3):
            sample("theta", dist.Normal(0.0, 1.0))

    def program():
        tau = sample("tau", dist.HalfNormal(1.0))
        with plate("group", 3):
            sample("y", dist.Normal(sample("theta", dist.Normal(0.0, tau)), 1.0), obs=jnp.arange(3.0))

    with jax.checking_leaks():
        svi = vi.SVI(program, guide, vi.optim.Adam(0.1), vi.ELBO())
        state = svi.init(KEY)
        state, loss = svi.update(state)
        assert np.isfinite(loss)
