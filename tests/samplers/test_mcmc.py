"""MCMC, HMC and NUTS as objects, and the functions beside them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyrox as px
from pyrox.samplers import HMC, MCMC, NUTS, fori_collect, hmc, initialize_model

KEY = jax.random.key(0)


def model(y=None):
    mu = px.Normal("mu", 0.0, 2.0)
    tau = px.HalfNormal("tau", 1.0)
    px.Deterministic("twice", 2 * mu)
    px.Normal("y", mu, tau, observed=y)


Y = np.random.default_rng(0).normal(1.0, 0.5, 40)


def run(sampler, num_chains=2, chain_method="parallel", **kwargs):
    mcmc = MCMC(sampler, 300, 400, num_chains, chain_method=chain_method, progress_bar=False)
    mcmc.run(KEY, **kwargs)
    return mcmc


def graph():
    with px.Model() as built:
        mu, tau = px.Normal("mu", 0.0, 2.0), px.HalfNormal("tau", 1.0)
        px.Normal("y", mu, tau, observed=Y)
    return built


SAMPLERS = {
    "nuts": lambda: NUTS(model),
    "hmc": lambda: HMC(model, trajectory_length=3.0),
    "dense": lambda: NUTS(model, dense_mass=True),
    "dense hmc": lambda: HMC(model, dense_mass=True, trajectory_length=3.0),
    "kinetic energy": lambda: NUTS(model, kinetic_fn=lambda m, p: 0.5 * jnp.sum(m * p * p)),
    "median start": lambda: NUTS(model, init_strategy=px.model.init_to_median()),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_finds_the_posterior(name):
    samples = run(SAMPLERS[name](), y=Y).get_samples()
    assert set(samples) == {"mu", "tau", "twice"}
    assert samples["mu"].shape == (800,)
    # The data are 40 draws with a standard error of 0.08: the chains' own error is some tenths of that.
    assert abs(samples["mu"].mean() - Y.mean()) < 0.05
    assert abs(samples["tau"].mean() - Y.std(ddof=1)) < 0.05
    np.testing.assert_allclose(samples["twice"], 2 * samples["mu"])


@pytest.mark.parametrize("method", ["parallel", "sequential", "vectorized"])
def test_chain_methods(method):
    mcmc = run(NUTS(model), 3, method, y=Y)
    grouped = mcmc.get_samples(group_by_chain=True)
    assert grouped["mu"].shape == (3, 400)
    np.testing.assert_array_equal(mcmc.get_samples()["mu"], grouped["mu"].reshape(-1))
    assert len({float(x) for x in grouped["mu"][:, 0]}) == 3


def test_threads_change_nothing():
    first, second = run(NUTS(model), 2, "parallel", y=Y), run(NUTS(model), 2, "sequential", y=Y)
    np.testing.assert_array_equal(first.get_samples()["mu"], second.get_samples()["mu"])


def test_a_graph_is_a_model_too():
    assert abs(run(NUTS(graph())).get_samples()["mu"].mean() - Y.mean()) < 0.05


def test_extra_fields_and_warmup():
    mcmc = MCMC(NUTS(model), 100, 50, 2, progress_bar=False)
    mcmc.run(KEY, y=Y, extra_fields=("num_steps", "potential_energy", "mean_accept_prob", "z"), collect_warmup=True)
    fields = mcmc.get_extra_fields(group_by_chain=True)
    assert fields["num_steps"].shape == (2, 150)
    assert fields["z"]["tau"].shape == (2, 150)
    np.testing.assert_allclose(np.exp(fields["z"]["tau"]), mcmc.get_samples(group_by_chain=True)["tau"])
    assert fields["diverging"].dtype == bool
    assert mcmc.get_extra_fields()["potential_energy"].shape == (300,)


def test_trees_of_any_kind():
    def potential(z):
        return 0.5 * z["a"] ** 2 + 0.5 * jnp.sum((z["b"][0] - 3.0) ** 2)

    mcmc = MCMC(NUTS(potential_fn=potential), 300, 1000, 2, progress_bar=False)
    mcmc.run(KEY, init_params={"a": jnp.zeros(2), "b": [jnp.ones((2, 3))]})
    samples = mcmc.get_samples()
    assert samples["b"][0].shape == (2000, 3)
    np.testing.assert_allclose(samples["b"][0].mean(0), 3.0, atol=0.25)
    mcmc = MCMC(NUTS(potential_fn=lambda x: x**2), 50, 20, constrain_fn=jnp.exp, progress_bar=False)
    mcmc.run(KEY, init_params=1)
    assert np.all(mcmc.get_samples() > 0)


def test_given_starts_are_used():
    mcmc = MCMC(HMC(model, step_size=1e-9, adapt_step_size=False, adapt_mass_matrix=False), 0, 1, progress_bar=False)
    mcmc.run(KEY, y=Y, init_params={"mu": jnp.array(0.7), "tau": jnp.array(0.0)})
    np.testing.assert_allclose(mcmc.get_samples()["mu"], [0.7], atol=1e-5)


def test_the_summary_is_printed(capsys):
    run(NUTS(model), y=Y).print_summary()
    printed = capsys.readouterr().out
    assert "mu" in printed
    assert "Number of divergences: 0" in printed


def test_states_step_by_step():
    sampler = NUTS(model)
    state = sampler.init(KEY, 100, model_kwargs={"y": Y})
    assert int(state.i) == 0
    step = jax.jit(sampler.sample)
    for _ in range(3):
        state = step(state)
    assert int(state.i) == 3
    assert set(state.z) == {"mu", "tau"}
    assert float(state.potential_energy) < 1e3
    assert 0 <= float(state.mean_accept_prob) <= 1
    density = px.model.LogDensity.build(model, (), {"y": Y})
    position = jnp.stack([state.z["mu"], state.z["tau"]])
    np.testing.assert_allclose(-density(position, density.data), state.potential_energy, rtol=1e-10)
    np.testing.assert_allclose(-jax.grad(density)(position, density.data)[0], state.z_grad["mu"], rtol=1e-8)


@pytest.mark.parametrize("algo", ["NUTS", "HMC"])
def test_the_functional_interface(algo):
    start, potential, constrain = initialize_model(KEY, model, Y)
    init_kernel, sample_kernel = hmc(potential, algo=algo)
    state = init_kernel(start, num_warmup=300, trajectory_length=3.0)
    assert int(state.i) == 0
    samples = fori_collect(0, 500, sample_kernel, state, transform=lambda s: constrain(s.z), progbar=False)
    assert abs(np.mean(samples["mu"]) - Y.mean()) < 0.08


def test_the_documented_example_of_the_functional_interface():
    true_coefs = jnp.array([1.0, 2.0, 3.0])
    data = jax.random.normal(jax.random.PRNGKey(2), (2000, 3))
    labels = px.dist.Bernoulli(logits=(true_coefs * data).sum(-1)).sample(jax.random.PRNGKey(3))

    def regression(data, labels):
        coefs = px.primitives.sample("beta", px.dist.Normal(jnp.zeros(3), jnp.ones(3)))
        intercept = px.primitives.sample("intercept", px.dist.Normal(0.0, 10.0))
        return px.primitives.sample("y", px.dist.Bernoulli(logits=(coefs * data + intercept).sum(-1)), obs=labels)

    init_params, potential_fn, constrain_fn = initialize_model(jax.random.PRNGKey(0), regression, data, labels)
    init_kernel, sample_kernel = hmc(potential_fn, algo="NUTS")
    hmc_state = init_kernel(init_params, trajectory_length=10, num_warmup=300)
    samples = fori_collect(0, 500, sample_kernel, hmc_state, transform=lambda state: constrain_fn(state.z))
    # Four posterior standard deviations, which are 0.08, 0.11 and 0.14.
    assert np.all(np.abs(np.mean(samples["beta"], axis=0) - true_coefs) < np.array([0.32, 0.44, 0.56]))


def test_starts_for_several_chains():
    start, potential, _ = initialize_model(jax.random.split(KEY, 3), model, Y)
    assert start["mu"].shape == (3,)
    assert np.isfinite(jax.vmap(potential)(start)).all()


WRONG = {
    "neither": (lambda: NUTS(), px.ModelError, "either a model or a potential_fn"),
    "both": (lambda: HMC(model, lambda x: x), px.ModelError, "either"),
    "a function": (lambda: MCMC(model, 1, 1), px.ModelError, "HMC\\(...\\) or NUTS"),
    "a method": (lambda: MCMC(NUTS(model), 1, 1, chain_method="pmap"), px.ModelError, "parallel, sequential"),
    "no draws": (lambda: MCMC(NUTS(model), 1, 0), ValueError, "num_samples"),
    "before run": (lambda: MCMC(NUTS(model), 1, 1).get_samples(), px.ModelError, "call run first"),
    "a field": (lambda: MCMC(NUTS(model), 1, 1).run(KEY, extra_fields=("depth",)), px.ModelError, "'depth'"),
    "keys": (lambda: MCMC(NUTS(model), 1, 1, 3).run(jax.random.split(KEY, 2), Y), px.ModelError, "one for each"),
    "no start": (lambda: MCMC(NUTS(potential_fn=abs), 1, 1).run(KEY), px.ModelError, "init_params"),
    "part of a start": (
        lambda: MCMC(NUTS(model), 1, 1).run(KEY, Y, init_params={"mu": 0.0}), px.ModelError, "lack 'tau'"
    ),
    "an algorithm": (lambda: hmc(abs, algo="SGLD"), px.ModelError, "'NUTS' or 'HMC'"),
    "no state": (lambda: NUTS(model).sample(None), px.ModelError, "init"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_told(case):
    code, error, words = WRONG[case]
    with pytest.raises(error, match=words):
        code()
