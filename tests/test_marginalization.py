"""Discrete variables in the everyday calls: summed out by samplers, recovered afterwards."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import pyrox as px
import pyrox.dist as dist
from pyrox.model import LogDensity
from pyrox.primitives import plate, sample
from tests.checks import assert_mean

QUIET = {"progressbar": False, "quiet": True, "compute_convergence_checks": False}
LEVELS = np.array([-2.0, 0.0, 3.0])


def mixture_rows(rows=60):
    rng = np.random.default_rng(0)
    return LEVELS[rng.choice(3, p=[0.3, 0.5, 0.2], size=rows)] + rng.normal(size=rows)


def mixture(y, **options):
    with px.Model(coords={"row": range(100, 100 + len(y))}) as model:
        w = px.Dirichlet("w", np.ones(3))
        mu = px.Normal("mu", LEVELS, 1.0)
        z = px.Categorical("z", w, dims="row", **options)
        px.Deterministic("loc", mu[z], dims="row")
        px.Normal("y", mu[z], 1.0, observed=px.Data("seen", y, dims="row"), dims="row")
    return model


def written_out(y):
    with px.Model() as model:
        w = px.Dirichlet("w", np.ones(3))
        mu = px.Normal("mu", LEVELS, 1.0)
        px.NormalMixture("y", w, mu, np.ones(3), observed=y)
    return model


def chain_rows(steps=40):
    rng = np.random.default_rng(1)
    z = [0]
    for _ in range(steps - 1):
        z.append(rng.choice(2, p=[[0.9, 0.1], [0.2, 0.8]][z[-1]]))
    return 2.0 * np.array(z) + rng.normal(size=steps)


def chain(y):
    with px.Model() as model:
        P = px.Dirichlet("P", np.array([[9.0, 1.0], [2.0, 8.0]]))
        gap = px.HalfNormal("gap", 3.0)
        z = px.DiscreteMarkovChain("z", P=P, init_dist=px.Categorical.dist(p=[0.6, 0.4]), shape=len(y))
        px.Normal("y", gap * z, 1.0, observed=y)
    return model


def forward_backward(y, P, gap):
    """By hand, with probabilities and scaling: the log-evidence, and the probabilities of states."""
    likelihood = stats.norm.pdf(y[:, None], gap * np.arange(2), 1.0)
    forward, scales = np.zeros_like(likelihood), np.zeros(len(y))
    for t in range(len(y)):
        state = (np.array([0.6, 0.4]) if t == 0 else forward[t - 1] @ P) * likelihood[t]
        scales[t] = state.sum()
        forward[t] = state / scales[t]
    backward = np.ones_like(forward)
    for t in reversed(range(len(y) - 1)):
        backward[t] = P @ (likelihood[t + 1] * backward[t + 1]) / scales[t + 1]
    return np.log(scales).sum(), forward * backward


def positions(density, count=5):
    return np.asarray(jax.random.normal(jax.random.key(0), (count, density.dim)))


def test_a_mixture_is_the_written_out_one():
    y = mixture_rows()
    summed, by_hand = LogDensity.build(mixture(y)), LogDensity.build(written_out(y))
    for q in positions(summed):
        for got, want in zip(*(jax.value_and_grad(d)(q, d.data) for d in (summed, by_hand)), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)
        got, want = (d.log_likelihood(q, d.data)["y"] for d in (summed, by_hand))
        np.testing.assert_allclose(got, want, rtol=1e-10)


def test_a_mixture_in_closed_form():
    y = mixture_rows()
    density = LogDensity.build(mixture(y))
    q = positions(density, 1)[0]
    v = density.constrain(q, density.data)
    each = np.log(v["w"]) + stats.norm.logpdf(y[:, None], v["mu"], 1.0)
    np.testing.assert_allclose(density.log_likelihood(q, density.data)["y"], logsumexp(each, axis=1), rtol=1e-10)
    logs = density.marginal.log_probabilities(q, density.data)["z"]
    np.testing.assert_allclose(logs, each - logsumexp(each, axis=1)[:, None], rtol=1e-10)
    np.testing.assert_array_equal(v["loc"], v["mu"][v["z"]])


def test_a_chain_by_hand():
    y = chain_rows()
    density = LogDensity.build(chain(y))
    for q in positions(density):
        v = density.constrain(q, density.data)
        evidence, states = forward_backward(y, np.asarray(v["P"]), float(v["gap"]))
        terms = density.site_terms(q, density.data)
        np.testing.assert_allclose(terms[density.marginal.name], evidence, rtol=1e-10)
        logs = density.marginal.log_probabilities(q, density.data)["z"]
        np.testing.assert_allclose(np.exp(logs), states, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("far", [1.0, 1e3])
def test_derivatives_of_a_chain_at_any_magnitude(far):
    """Probabilities within their range, logarithms beyond: the same function."""
    chain = dist.DiscreteMarkovChain([[0.7, 0.3], [0.4, 0.6]], None, 30)
    seen = far * jax.random.normal(jax.random.key(2), (30, 2))

    def by_steps(start, moves, emission):
        state = start + emission[0]
        for now in emission[1:]:
            state = jax.scipy.special.logsumexp(state[:, None] + moves, axis=0) + now
        return jax.scipy.special.logsumexp(state)

    inputs = chain.log_start, chain.log_moves, seen
    for got, want in zip(*(jax.value_and_grad(f, (0, 1, 2))(*inputs) for f in (dist.markov.log_evidence, by_steps)),
                         strict=True):  # fmt: skip
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), got, want)


def test_second_derivatives_of_a_chain():
    density = LogDensity.build(chain(chain_rows(8)))
    q, step = positions(density, 1)[0], 1e-5
    gradient, steps = jax.jit(jax.grad(density)), step * np.eye(density.dim)
    want = [(gradient(q + d, density.data) - gradient(q - d, density.data)) / (2 * step) for d in steps]
    np.testing.assert_allclose(jax.hessian(density)(q, density.data), want, rtol=1e-6, atol=1e-6)


@pytest.mark.native
@pytest.mark.parametrize("make", [lambda: mixture(mixture_rows()), lambda: chain(chain_rows())])
def test_the_native_path_stays(make):
    assert px.explain_compilation(make()).native


@pytest.fixture(scope="module")
def sampled():
    model = chain(chain_rows())
    options = QUIET | {"idata_kwargs": {"log_likelihood": True}}
    return model, px.sample(800, tune=500, random_seed=1, model=model, **options)


def test_recovered_states_agree_with_forward_backward(sampled):
    """Averaged over the posterior: the draws of states against the mean of their exact probabilities."""
    model, idata = sampled
    posterior = idata["posterior"]
    exact = np.array([
        forward_backward(chain_rows(), P, gap)[1][:, 1]
        for P, gap in zip(posterior["P"].values.reshape(-1, 2, 2), posterior["gap"].values.ravel(), strict=True)
    ])  # fmt: skip
    drawn = posterior["z"].values.reshape(len(exact), -1)
    assert drawn.dtype.kind == "i"
    assert_mean(drawn - exact, np.zeros(drawn.shape[1]))
    found = px.recover_marginals(idata, model=model, random_seed=2, extend_inferencedata=False)
    np.testing.assert_allclose(np.exp(found["lp_z"].values)[..., 1].reshape(exact.shape), exact, atol=1e-9)
    assert_mean(found["z"].values.reshape(exact.shape) - exact, np.zeros(drawn.shape[1]))
    assert found["lp_z"].dims == ("chain", "draw", "z_dim_0", "z_value")


def test_the_log_likelihood_has_no_discrete_variables_in_it(sampled):
    model, idata = sampled
    assert idata["log_likelihood"]["y"].shape == (4, 800, 40)
    again = px.compute_log_likelihood(idata, model=model, extend_inferencedata=False, progressbar=False)
    np.testing.assert_allclose(again["y"].values, idata["log_likelihood"]["y"].values, rtol=1e-8)


def test_draws_do_not_depend_on_how_they_are_turned(sampled):
    model, idata = sampled
    shorter = px.sample(300, tune=500, random_seed=1, model=model, cores=1, **QUIET)
    np.testing.assert_array_equal(shorter["posterior"]["z"].values, idata["posterior"]["z"].values[:, :300])


def test_recovering_extends_the_results():
    model = mixture(mixture_rows())
    idata = px.sample(100, tune=200, random_seed=1, model=model, **QUIET)
    before = idata["posterior"]["mu"].values.copy()
    same = px.recover_marginals(idata, model=model, random_seed=5)
    assert same is idata
    posterior = idata["posterior"]
    np.testing.assert_array_equal(posterior["mu"].values, before)
    assert posterior["lp_z"].dims == ("chain", "draw", "row", "z_value")
    assert posterior["z_value"].values.tolist() == [0, 1, 2]
    assert posterior["z"]["row"].values[0] == 100
    chosen = np.take_along_axis(posterior["mu"].values, posterior["z"].values, axis=-1)
    np.testing.assert_array_equal(posterior["loc"].values, chosen)
    predicted = px.sample_posterior_predictive(idata, model=model, random_seed=1, progressbar=False)
    assert predicted["posterior_predictive"]["y"].shape == (4, 100, 60)


def test_mixture_means_are_those_of_the_written_out_one():
    y = mixture_rows()
    draws = [
        px.sample(1000, tune=500, chains=8, random_seed=seed, model=model, **QUIET)["posterior"]["mu"].values
        for seed, model in enumerate((mixture(y), written_out(y)))
    ]
    assert_mean(draws[0].mean(axis=1) - draws[1].mean(axis=1), np.zeros(3))


def test_the_plan_is_told_and_kept(caplog):
    model = mixture(mixture_rows())
    with caplog.at_level(logging.INFO, "pyrox"):
        idata = px.sample(20, tune=20, random_seed=1, model=model, **QUIET | {"quiet": False})
    assert "z: 60 elements of 3 values, one by one" in caplog.text
    assert "one by one" in idata["posterior"].attrs["summed_out"]
    caplog.clear()
    with caplog.at_level(logging.INFO, "pyrox"):
        px.sample(20, tune=20, random_seed=1, model=model, **QUIET)
    assert not caplog.text


def test_other_data_of_the_same_shape():
    model, y = mixture(mixture_rows()), mixture_rows()[::-1].copy()
    density = LogDensity.build(model)
    px.set_data({"seen": y}, model)
    other = LogDensity.build(mixture(y))
    q = positions(density, 1)[0]
    np.testing.assert_allclose(density(q, density.current_data()), other(q, other.data), rtol=1e-12)


def test_a_function_with_arguments_and_plates():
    def program(y):
        mu = sample("mu", dist.Normal(LEVELS, 1.0))
        w = sample("w", dist.Dirichlet(jnp.ones(3)))
        with plate("row", len(y)):
            z = sample("z", dist.Categorical(w), infer={"enumerate": "parallel"})
            sample("y", dist.Normal(mu[z], 1.0), obs=y)

    y = mixture_rows()
    idata = px.sample(50, tune=100, random_seed=1, model=program, model_args=(y,), **QUIET)
    assert idata["posterior"]["z"].dims == ("chain", "draw", "row")
    found = px.recover_marginals(
        idata, model=px.marginalize(program, "z"), model_args=(y,), random_seed=1, extend_inferencedata=False
    )
    assert found["lp_z"].shape == (4, 50, 60, 3)


@pytest.mark.parametrize("method", ["advi", "laplace", "pathfinder"])
def test_approximations_and_modes(method):
    model = mixture(mixture_rows())
    idata = px.fit(method=method, model=model, random_seed=1, progressbar=False).sample(20, random_seed=1)
    assert idata["posterior"]["z"].shape == (1, 20, 60)


def test_a_mode_leaves_out_what_is_drawn():
    assert set(px.find_MAP(model=mixture(mixture_rows()), progressbar=False)) == {"w", "mu"}


def test_change_points_and_binomials():
    counts = np.array([4, 5, 3, 4, 6, 1, 0, 1, 2, 0])
    with px.Model() as model:
        early, late = px.Exponential("early", 0.5), px.Exponential("late", 0.5)
        change = px.DiscreteUniform("change", 0, 10)
        px.Poisson("n", px.math.where(np.arange(10) < change, early, late), observed=counts)
    density = LogDensity.build(model)
    q = positions(density, 1)[0]
    v = density.constrain(q, density.data)
    logs = [
        stats.poisson.logpmf(counts[:k], v["early"]).sum() + stats.poisson.logpmf(counts[k:], v["late"]).sum()
        for k in range(11)
    ]
    terms = density.site_terms(q, density.data)
    np.testing.assert_allclose(terms[density.marginal.name], logsumexp(logs) - np.log(11), rtol=1e-10)
    assert str(density.explain(q, density.data)).count("sum over change") == 1


BAD = {
    "no such": (lambda m: px.marginalize(m, ["q"]), "marginalize: the model has no variable 'q'.*are z"),
    "continuous": (lambda m: px.marginalize(m, ["mu"]), "'mu' is no discrete variable"),
    "observed": (lambda m: px.marginalize(m, "y"), "'y' is observed"),
    "left out": (lambda m: LogDensity.build(px.marginalize(m, [])), "'z' is discrete.*px.marginalize"),
    "no program": (lambda _: px.marginalize(3, ["z"]), "must be a Model"),
    "recover what": (
        lambda m: px.recover_marginals({"mu": np.zeros((1, 2, 3)), "w": np.ones((1, 2, 3)) / 3}, model=m,
                                       var_names="mu", extend_inferencedata=False),
        "'mu' was not summed out; what was: z",
    ),
    "recover from": (
        lambda m: px.recover_marginals({"mu": np.zeros((1, 2, 3))}, model=m, extend_inferencedata=False),
        "the draws lack w",
    ),
    "recover into": (
        lambda m: px.recover_marginals({"mu": np.zeros((1, 2, 3)), "w": np.ones((1, 2, 3)) / 3}, model=m),
        "extend_inferencedata=False",
    ),
    "nothing to recover": (
        lambda _: px.recover_marginals({"mu": np.zeros((1, 2, 3))}, model=written_out(mixture_rows())),
        "no discrete variables",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    call, told = BAD[name]
    with pytest.raises(px.ModelError, match=told):
        call(mixture(mixture_rows(5)))


def test_marginalize_gives_a_model_of_the_same_results():
    model = mixture(mixture_rows())
    marginal = px.marginalize(model, "z")
    assert marginal is not model
    assert str(px.explain_marginalization(marginal)) == str(px.explain_marginalization(model))
    nothing = px.explain_marginalization(written_out(mixture_rows()))
    assert not nothing.order
    assert str(nothing) == "The model has no discrete variables: nothing is summed out."
    with px.Model() as loose:
        px.Normal("a")
        px.Bernoulli("k", 0.5)
    told = str(px.explain_marginalization(loose))
    assert "No discrete variable has to be summed out" in told
    assert "k: drawn given the others" in told
    a, b = (px.sample(20, tune=50, random_seed=1, model=m, **QUIET)["posterior"]["z"].values for m in (model, marginal))
    np.testing.assert_array_equal(a, b)


def test_occupancy_in_closed_form():
    """Where nobody is, nothing can be seen: probabilities of zero, with derivatives."""
    seen = np.array([[0, 0, 0], [1, 0, 1], [0, 0, 0], [0, 1, 0]])
    with px.Model() as model:
        psi, p, rate = px.Beta("psi", 1, 1), px.Beta("p", 1, 1), px.Exponential("rate", 1.0)
        z = px.Bernoulli("z", psi, shape=4)
        px.Bernoulli("y", p * z[:, None], observed=seen)
        px.Poisson("n", rate * z, observed=[0, 2, 0, 1])

    def by_hand(v):
        there = seen @ np.ones(3) * jnp.log(v["p"]) + (3 - seen.sum(1)) * jnp.log1p(-v["p"])
        there = there + jax.scipy.stats.poisson.logpmf(np.array([0, 2, 0, 1]), v["rate"]) + jnp.log(v["psi"])
        away = jnp.where(seen.any(axis=1), -jnp.inf, jnp.log1p(-v["psi"]))
        return jnp.logaddexp(there, away).sum()

    density = LogDensity.build(model)
    q = positions(density, 1)[0]

    def summed(q):
        return density.site_terms(q, density.data)[density.marginal.name]

    got = jax.value_and_grad(summed)(q)
    want = jax.value_and_grad(lambda q: by_hand(density.constrain(q, density.data, jax.random.key(0))))(q)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8), got, want)
    logs = density.marginal.log_probabilities(q, density.data)["z"]
    np.testing.assert_array_equal(np.isneginf(logs[:, 0]), seen.any(axis=1))
