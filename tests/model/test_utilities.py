"""Inference utilities, on functions and on models."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import pyrox as px
import pyrox.dist as dist
from pyrox.dist import transforms
from pyrox.errors import ModelError, ShapeError
from pyrox.handlers import condition, do, mask, scale, seed, substitute, trace
from pyrox.model import (
    LogDensity,
    Predictive,
    constrain_fn,
    find_valid_initial_params,
    init_to_feasible,
    init_to_median,
    init_to_prior,
    init_to_uniform,
    init_to_value,
    log_density,
    log_likelihood,
    potential_energy,
    transform_fn,
)
from pyrox.primitives import deterministic, factor, param, plate, sample
from tests.model.programs import PYROX, RandomProgram, some_value

Y = np.array([0.5, -1.0, 2.0])


def function(y=None):
    mu = sample("mu", dist.Normal(0.0, 2.0))
    tau = sample("tau", dist.HalfNormal(1.0))
    deterministic("ratio", mu / tau)
    with plate("n", 3):
        sample("y", dist.Normal(mu, tau), obs=y)


def graph():
    with px.Model() as model:
        mu = px.Normal("mu", 0.0, 2.0)
        tau = px.HalfNormal("tau", 1.0)
        px.Deterministic("ratio", mu / tau)
        px.Normal("y", mu, tau, observed=Y)
    return model


PROGRAMS = pytest.mark.parametrize(("model", "args"), [(function, (Y,)), (graph(), ())], ids=["function", "graph"])
POINT = {"mu": 0.3, "tau": 0.7}
UNCONSTRAINED = {"mu": 0.3, "tau": np.log(0.7)}


def truth(mu, tau):
    prior = stats.norm.logpdf(mu, 0, 2) + stats.halfnorm.logpdf(tau)
    return prior + stats.norm.logpdf(Y, mu, tau).sum()


@PROGRAMS
def test_log_density(model, args):
    value, record = log_density(model, args, {}, POINT)
    np.testing.assert_allclose(value, truth(**POINT))
    assert record["y"]["is_observed"]
    jitted = jax.jit(lambda p: log_density(model, args, None, p)[0])
    np.testing.assert_allclose(jitted(POINT), truth(**POINT))
    with pytest.raises(ModelError, match=r"'tau'.*substitute"):
        log_density(model, args, {}, {"mu": 0.0})


@PROGRAMS
def test_potential_energy_and_constrain(model, args):
    given = {"tau": transforms.ExpTransform()}
    for inv_transforms in (given, None):
        energy = potential_energy(model, args, {}, inv_transforms, UNCONSTRAINED)
        np.testing.assert_allclose(energy, -truth(**POINT) - np.log(0.7))
        values = constrain_fn(model, args, {}, inv_transforms, UNCONSTRAINED)
        np.testing.assert_allclose([values["mu"], values["tau"]], [0.3, 0.7])
    np.testing.assert_allclose(transform_fn(given, POINT, invert=True)["tau"], UNCONSTRAINED["tau"])


def test_transformed_distributions_live_in_their_base():
    lognormal = dist.TransformedDistribution(dist.Normal(1.0, 2.0), transforms.ExpTransform())

    def program():
        return sample("x", lognormal)

    base, _ = log_density(program, (), {}, {"x": 0.3}, skip_dist_transforms=True)
    np.testing.assert_allclose(base, stats.norm.logpdf(0.3, 1, 2))
    np.testing.assert_allclose(potential_energy(program, (), {}, None, {"x": 0.3}), -stats.norm.logpdf(0.3, 1, 2))
    np.testing.assert_allclose(constrain_fn(program, (), {}, {}, {"x": 0.3})["x"], np.exp(0.3))
    params, valid = find_valid_initial_params(jax.random.key(0), program, init_strategy=init_to_value({"x": np.e}))
    assert valid
    np.testing.assert_allclose(params["x"], 1.0)


@pytest.mark.parametrize("seed_of_program", range(12))
def test_the_flat_density_agrees_with_the_named_one(seed_of_program):
    program = RandomProgram(seed_of_program)
    given = substitute(substitute(program, substitute_fn=some_value(np.random.default_rng(0))), program.indices)
    record = trace(given).get_trace(PYROX)
    program.observed = {name: np.asarray(record[name]["value"]) for name in program.observed}
    values = {n: s["value"] for n, s in record.items() if s["type"] == "sample" and n not in program.observed}
    if not values:
        pytest.skip("nothing is free")
    ld = LogDensity.build(substitute(program, program.indices), (PYROX,))
    position = ld.unconstrain(values, ld.data)
    terms = ld.site_terms(position, ld.data)
    jacobian = sum(term for name, term in terms.items() if "Jacobian" in name)
    want, _ = log_density(program, (PYROX,), {}, {**values, **program.indices})
    np.testing.assert_allclose(ld(position, ld.data) - jacobian, want, rtol=1e-8)


def test_outside_the_support_the_density_is_nil():
    program = lambda: sample("x", dist.HalfNormal(1.0))  # noqa: E731
    assert log_density(program, (), {}, {"x": -1.0})[0] == -np.inf
    assert jax.jit(lambda x: log_density(program, (), {}, {"x": x})[0])(-1.0) == -np.inf


def test_densities_weigh_factors_masks_and_scales():
    def program():
        with scale(scale_factor=2.0):
            factor("f", jnp.array([1.0, 2.0]))

    assert log_density(program, (), {}, {})[0] == 6.0


@PROGRAMS
def test_log_likelihood(model, args):
    draws = {"mu": np.array([0.0, 1.0]), "tau": np.array([1.0, 2.0]), "ratio": np.zeros(2)}
    got = log_likelihood(model, draws, *args)
    assert list(got) == ["y"]
    np.testing.assert_allclose(got["y"], [stats.norm.logpdf(Y, 0, 1), stats.norm.logpdf(Y, 1, 2)])
    with pytest.raises(ModelError, match="lack the site 'tau'"):
        log_likelihood(model, {"mu": np.zeros(2)}, *args)
    with pytest.raises(ShapeError, match=r"'mu' have shape \(3,\)"):
        log_likelihood(model, {"mu": np.zeros((2, 3)), "tau": np.ones((2, 3))}, *args)


@PROGRAMS
def test_log_likelihood_leaves_out_what_a_mask_does(model, args):
    draws = {"mu": np.zeros(2), "tau": np.ones(2)}
    kept = jnp.array([True, False, True])
    got = log_likelihood(mask(model, [True, False, True]), draws, *args)["y"]
    np.testing.assert_allclose(got, jnp.where(kept, log_likelihood(model, draws, *args)["y"], 0.0))
    logdensity = LogDensity.build(mask(model, [True, False, True]), args)
    flat = logdensity.log_likelihood(jnp.zeros(logdensity.dim), logdensity.data)["y"]
    np.testing.assert_array_equal(flat[1], 0.0)


@PROGRAMS
@pytest.mark.parametrize("parallel", [False, True])
def test_predictive(model, args, parallel):
    number = 4000
    draws = {"mu": jnp.full(number, 5.0), "tau": jnp.full(number, 0.5)}
    got = Predictive(model, draws, parallel=parallel).get_samples(jax.random.key(0))
    assert sorted(got) == ["ratio", "y"]
    assert got["y"].shape == (number, 3)
    # 3 * 4000 draws of sd 0.5: their mean has an error of 0.005, this is 6 of them.
    assert abs(got["y"].mean() - 5.0) < 0.03
    np.testing.assert_allclose(got["y"].std(), 0.5, rtol=0.05)
    assert len(np.unique(got["y"])) == 3 * number


@PROGRAMS
def test_prior_predictive(model, args):
    predictive = Predictive(model, num_samples=10, return_sites=["mu", "y"], parallel=True)
    got = predictive.get_samples(jax.random.key(0))
    assert {n: x.shape for n, x in got.items()} == {"mu": (10,), "y": (10, 3)}
    again = Predictive(model, num_samples=10, return_sites=["mu", "y"]).get_samples(jax.random.key(0))
    np.testing.assert_allclose(got["y"], again["y"])


def test_predictive_keeps_what_handlers_condition_on():
    model = graph()
    got = Predictive(condition(model, {"tau": 1.0}), {"mu": jnp.zeros(5)}, return_sites=["tau", "y"])
    got = got.get_samples(jax.random.key(0))
    np.testing.assert_array_equal(got["tau"], np.ones(5))
    assert not np.any(got["y"] == Y)
    moved = Predictive(do(model, {"mu": 100.0}), {"tau": jnp.ones(5)}).get_samples(jax.random.key(0))
    assert np.all(moved["y"] > 50)


def test_predictive_with_a_guide_and_params():
    def model(y=None):
        x = sample("x", dist.Normal(0.0, 1.0))
        sample("y", dist.Normal(x + param("shift", 0.0), 0.01), obs=y)

    def guide(y=None):
        sample("x", dist.Normal(param("loc", 0.0), 0.01))

    predictive = Predictive(model, guide=guide, params={"loc": 7.0, "shift": 3.0}, num_samples=20)
    got = predictive.get_samples(jax.random.key(0))
    assert list(got) == ["y"]
    np.testing.assert_allclose(got["y"], 10.0, atol=0.2)


def test_predictive_refuses_what_cannot_be():
    with pytest.raises(ModelError, match="needs num_samples"):
        Predictive(function)
    with pytest.raises(ModelError, match="3 draws, num_samples is 4"):
        Predictive(function, {"mu": jnp.zeros(3)}, num_samples=4)
    with pytest.raises(ShapeError, match=r"mu \(3,\), tau \(4,\)"):
        Predictive(function, {"mu": jnp.zeros(3), "tau": jnp.ones(4)})
    with pytest.raises(ShapeError, match=r"'mu' have shape \(3,\) for each draw, the site \(\)"):
        Predictive(function, {"mu": jnp.zeros((2, 3))}).get_samples(jax.random.key(0))
    with pytest.raises(ModelError, match=r"no site 'z'.*mu, tau"):
        Predictive(function, num_samples=2, return_sites=["z"]).get_samples(jax.random.key(0))
    with pytest.raises(ModelError, match=r"model is a px.Model or a function"):
        Predictive(3, num_samples=2)
    for number in (-1, 2.5):
        with pytest.raises(ModelError, match=f"num_samples is a whole number, not negative; met {number}"):
            Predictive(function, num_samples=number)


def test_predictive_can_be_asked_again_and_takes_an_int():
    predictive = Predictive(function, num_samples=2, return_sites=(name for name in ["mu"]))
    first = predictive.get_samples(3)
    again = predictive.get_samples(jax.random.key(3))
    assert list(first) == list(again) == ["mu"]
    np.testing.assert_array_equal(first["mu"], again["mu"])


def test_a_start_of_the_wrong_shape_names_the_site():
    def program():
        sample("x", dist.Normal(0.0, 1.0).expand((8,)))

    with pytest.raises(ShapeError, match=r"start of 'x' has shape \(3,\), the variable \(8,\)"):
        find_valid_initial_params(0, program, init_strategy=init_to_value({"x": jnp.zeros(3)}))


STRATEGIES = {
    "uniform": init_to_uniform(), "median": init_to_median(), "prior": init_to_prior(), "feasible": init_to_feasible(),
    "value": init_to_value({"tau": 0.7}),
}  # fmt: skip


@PROGRAMS
@pytest.mark.parametrize("name", STRATEGIES)
def test_find_valid_initial_params(model, args, name):
    key = jax.random.key(0)
    params, valid = find_valid_initial_params(key, model, *args, init_strategy=STRATEGIES[name])
    assert valid
    assert sorted(params) == ["mu", "tau"]
    assert np.isfinite(potential_energy(model, args, {}, None, params))
    if name == "value":
        np.testing.assert_allclose(params["tau"], np.log(0.7))


def test_starts_in_batches_and_of_parameters():
    keys = jax.random.split(jax.random.PRNGKey(0), 4)
    params, valid = find_valid_initial_params(keys, function, Y)
    assert params["mu"].shape == valid.shape == (4,)

    def program():
        s = param("s", 3.0, constraint=dist.constraints.positive)
        sample("x", dist.Normal(0.0, s))

    assert list(find_valid_initial_params(keys[0], program)[0]) == ["x"]
    params, _ = find_valid_initial_params(keys[0], program, param_as_improper=True, prototype_params={"s": 0, "x": 0})
    np.testing.assert_allclose(params["s"], np.log(3.0))


def test_no_valid_start_is_told():
    def program():
        x = sample("x", dist.Normal(0.0, 1.0))
        factor("never", jnp.where(x > 1e9, 0.0, -jnp.inf))

    assert not find_valid_initial_params(jax.random.key(0), program)[1]
    with pytest.raises(ModelError, match="'k' is discrete"):
        find_valid_initial_params(jax.random.key(0), lambda: sample("k", dist.Poisson(2.0)))
    with pytest.raises(ModelError, match="no free continuous"):
        find_valid_initial_params(jax.random.key(0), lambda: None)


def test_a_support_that_depends_on_another_site():
    def program():
        low = sample("low", dist.Normal(0.0, 1.0))
        sample("x", dist.Uniform(low, low + 2.0))

    params = {"low": 1.0, "x": 0.0}
    np.testing.assert_allclose(constrain_fn(program, (), {}, None, params)["x"], 2.0)
    ld = LogDensity.build(program)
    energy = potential_energy(program, (), {}, None, params)
    np.testing.assert_allclose(-energy, ld(jnp.array([1.0, 0.0]), ld.data))


def test_the_median_of_vectors_lies_in_their_support():
    program = seed(lambda: sample("w", dist.Dirichlet(jnp.ones(3))), 0)
    np.testing.assert_allclose(substitute(program, substitute_fn=init_to_median())().sum(), 1.0)
    flat = substitute(seed(lambda: sample("w", dist.Flat()), 0), substitute_fn=init_to_median())()
    assert abs(flat) <= 2


@pytest.mark.parametrize("strategy", [init_to_uniform, init_to_feasible, init_to_prior, init_to_median])
def test_strategies_without_the_call(strategy):
    def program():
        tau = sample("tau", dist.HalfNormal(1.0))
        sample("x", dist.Normal(0.0, tau).expand((2,)))

    bare, called = (find_valid_initial_params(3, program, init_strategy=s)[0] for s in (strategy, strategy()))
    for name, start in called.items():
        np.testing.assert_array_equal(bare[name], start)


def test_values_are_no_strategy_without_them():
    with pytest.raises(ValueError, match="init_to_value needs its values"):
        find_valid_initial_params(0, lambda: sample("x", dist.Normal()), init_strategy=init_to_value)
