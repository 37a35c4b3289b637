"""From model to model: do, observe, unobserve, prune, transforms, non-centring; against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import pyrox as px
from pyrox.errors import ModelError, ShapeError, SupportError
from pyrox.model import LogDensity
from pyrox.model.fingerprint import fingerprint
from pyrox.model.primitives import sample
from tests.checks import assert_distribution, assert_mean

QUIET = {"progressbar": False, "compute_convergence_checks": False}


def chain(length=3):
    """A linear Gaussian model c -> t -> y, c -> y."""
    with px.Model(coords={"row": [f"r{i}" for i in range(length)]}) as model:
        shift = px.Data("shift", np.zeros(length), dims="row")
        c = px.Normal("c", shift, 1.0, dims="row")
        t = px.Normal("t", 0.8 * c, 0.6, dims="row")
        double = px.Deterministic("double", 2 * t, dims="row")
        px.Normal("y", 0.5 * double + 1.5 * c, 0.5, dims="row")
        px.Normal("aside")
    return model


def draws(model, name, count=4000):
    prior = px.sample_prior_predictive(count, model=model, random_seed=1)
    group = next(g for g in ("prior", "prior_predictive") if g in prior and name in prior[g])
    return prior[group][name].values[0]


def test_do_cuts_the_causes_off_and_keeps_the_effects():
    model = chain()
    # Seen and done differ: E[y | t = 2] has what t says about c, E[y | do(t = 2)] has not.
    done = px.do(model, {"t": 2.0})
    assert_mean(draws(done, "y"), np.full(3, 2.0))
    assert_mean((draws(done, "y") - 2.0) ** 2, np.full(3, 1.5**2 + 0.5**2))
    assert_mean(draws(done, "c"), np.zeros(3))
    seen = px.observe(model, {"t": np.full(3, 2.0)})
    posterior = px.sample(1000, tune=500, chains=4, random_seed=1, model=seen, **QUIET)["posterior"]
    gain = 0.8 / (0.8**2 + 0.6**2)
    chains = posterior["y"].values.reshape(40, 100, 3).mean(axis=1)
    assert_mean(chains, np.full(3, 2.0 + 1.5 * gain * 2.0))


@pytest.mark.parametrize("key", ["name", "variable"])
@pytest.mark.parametrize("shared", [True, False])
def test_do_with_numbers(key, shared):
    model = chain()
    done = px.do(model, {"t" if key == "name" else model["t"]: [1, 2, 3]}, make_interventions_shared=shared)
    assert [v.name for v in done.data_vars] == (["shift", "t"] if shared else ["shift"])
    assert done["t"].dims == ("row",)
    np.testing.assert_array_equal(done["t"].eval(), [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(done["double"].eval(), [2.0, 4.0, 6.0])
    assert model["t"] in model.free_RVs, "the model given stays as it is"
    if shared:
        px.set_data({"t": [0.0, 0.0, 1.0]}, done)
        np.testing.assert_array_equal(done["double"].eval(), [0.0, 0.0, 2.0])


def test_do_with_expressions_of_what_comes_later():
    model = chain()
    done = px.do(model, {"c": model["aside"] * np.ones(3)})
    assert list(done.named_vars).index("aside") < list(done.named_vars).index("c")
    prior = px.sample_prior_predictive(100, model=done, random_seed=0)["prior"]
    np.testing.assert_array_equal(prior["c"].values[0], np.repeat(prior["aside"].values[0][:, None], 3, axis=1))


def test_do_and_prune():
    with px.Model() as model:
        c = px.Normal("c")
        t = px.Normal("t", c, 1.0)
        px.Normal("y", 2 * t, 1.0, observed=1.0)
    assert set(px.do(model, {"t": 1.0}).named_vars) == {"c", "t", "y"}
    assert set(px.do(model, {"t": 1.0}, prune_vars=True).named_vars) == {"t", "y"}


def test_data_dims_and_coords_of_the_new_model_are_its_own():
    model = chain()
    done = px.do(model, {"t": 0.0})
    assert done.coords == model.coords
    px.set_data({"shift": np.ones(2), "t": np.zeros(2)}, done, coords={"row": ["u", "v"]})
    assert done["y"].shape == (2,)
    assert done.coords["row"] == ("u", "v")
    assert model["y"].shape == (3,)
    assert model.coords["row"] == ("r0", "r1", "r2")
    np.testing.assert_array_equal(model["shift"].eval(), np.zeros(3))
    px.set_data({"shift": np.full(3, 7.0)}, model)
    np.testing.assert_array_equal(done["shift"].eval(), np.ones(2))


def test_lengths_of_series_are_those_of_their_own_model():
    with px.Model(coords={"time": range(4)}) as model:
        step = px.Data("step", np.zeros(4), dims="time")
        x = px.GaussianRandomWalk("x", 0.0, 1.0, init_dist=px.Normal.dist(), dims="time")
        px.Normal("y", x + step, 1.0, dims="time")
    seen = px.observe(model, {"y": np.zeros(4)})
    longer = px.do(model, {"y": np.zeros(4)})
    px.set_data({"step": np.zeros(6), "y": np.zeros(6)}, longer, coords={"time": range(6)})
    assert longer["x"].shape == (6,)
    for other in (model, seen):
        assert other["x"].shape == (4,)
        LogDensity.build(other)
        assert other["x"].dist.fn.known["num_steps"] == 4


def test_indices_are_checked_in_the_new_model_too():
    with px.Model() as model:
        i = px.Data("i", [0, 1, 1])
        px.Normal("y", px.Normal("a", shape=2)[i], 1.0)
    done = px.do(model, {"a": [5.0, 6.0]})
    with pytest.raises(ShapeError, match=r"'i'.*2 is out of bounds"):
        px.set_data({"i": [0, 1, 2]}, done)
    px.set_data({"i": [1]}, done)
    assert done["y"].shape == (1,)
    assert model["y"].shape == (3,)


def test_a_model_knows_where_it_comes_from():
    model = chain()
    once = px.do(model, {"t": 0.0})
    twice = px.observe(once, {"y": np.ones(3)})
    assert model.origins == frozenset()
    assert once.origins == {fingerprint(model)}
    assert twice.origins == {fingerprint(model), fingerprint(once)}


def test_predictions_under_an_intervention_from_a_fit_of_the_origin():
    with px.Model() as model:
        b = px.Normal("b", 0.0, 2.0)
        t = px.Normal("t", 0.0, 1.0, shape=4)
        px.Normal("y", b * t, 0.1, shape=4)
    seen = px.observe(model, {"t": [1.0, 2.0, 3.0, 4.0], "y": [2.0, 4.1, 5.9, 8.0]})
    idata = px.sample(500, tune=300, chains=2, random_seed=1, model=seen, **QUIET)
    done = px.do(px.unobserve(seen, ["t"]), {"t": np.full(4, 10.0)})
    new = px.sample_posterior_predictive(idata, model=done, random_seed=1, progressbar=False)["posterior_predictive"]
    np.testing.assert_allclose(new["y"].values.mean(axis=(0, 1)), 20.0, atol=0.3)


def test_observe_is_the_same_as_having_observed():
    y = np.array([0.3, -0.2, 1.4])
    with px.Model() as stated:
        mu = px.Normal("mu")
        px.Normal("y", mu, 1.0, observed=y)
    with px.Model() as free:
        mu = px.Normal("mu")
        px.Normal("y", mu, 1.0, shape=3)
    lds = [LogDensity.build(m) for m in (stated, px.observe(free, {"y": y}))]
    assert [list(ld.free) for ld in lds] == [["mu"], ["mu"]]
    np.testing.assert_allclose(*[ld(jnp.array([0.4]), ld.data) for ld in lds], rtol=1e-13)
    back = px.unobserve(stated, ["y"])
    assert [v.name for v in back.free_RVs] == ["mu", "y"]
    assert back["y"].shape == (3,)


def test_observe_with_missing_values_and_back():
    model = px.observe(chain(), {"y": [1.0, np.nan, 2.0]})
    assert model["y_unobserved"].shape == (1,)
    assert model.coords["y_unobserved_dim_0"] == ("r1",)
    freed = px.unobserve(model, ["y"])
    assert [v.name for v in freed.free_RVs] == ["c", "t", "y", "aside"]
    assert "y_unobserved" not in freed
    assert "y_unobserved_dim_0" not in freed.coords
    assert fingerprint(freed) == fingerprint(chain())
    px.set_data({"shift": np.ones(2)}, freed, coords={"row": ["u", "v"]})
    assert freed["y"].shape == (2,)
    assert model["y"].shape == (3,)


def test_observe_with_data_of_the_model():
    with px.Model() as model:
        data = px.Data("data", [1.0, 2.0])
        px.Normal("y", px.Normal("mu"), 1.0, shape=2)
    seen = px.observe(model, {"y": data})
    ld = LogDensity.build(seen)
    px.set_data({"data": [5.0, 6.0]}, seen)
    np.testing.assert_array_equal(ld.known_values(ld.current_data())[0]["y"], [5.0, 6.0])
    np.testing.assert_array_equal(model["data"].eval(), [1.0, 2.0])


def test_interventions_on_imputed_covariates():
    with px.Model() as model:
        x = px.Normal("x", 0.0, 1.0, observed=[1.0, np.nan, 3.0])
        px.Normal("y", 2 * x, 0.1, observed=[2.0, 4.0, 6.0])
    with pytest.raises(ModelError, match=r"do: 'x' is observed.*unobserve\(model, \['x'\]\)"):
        px.do(model, {"x": np.ones(3)})
    done = px.do(px.unobserve(model, ["x"]), {"x": np.ones(3)})
    assert list(done.named_vars) == ["x", "y"]
    copy = px.prune(model)
    assert list(copy.named_vars) == ["x_observed", "x_unobserved", "x", "y"]
    lds = [LogDensity.build(m) for m in (model, copy)]
    np.testing.assert_allclose(*[ld(jnp.array([2.2]), ld.data) for ld in lds])


def test_prune():
    model = px.observe(chain(), {"t": np.ones(3)})
    assert list(px.prune(model).named_vars) == ["shift", "c", "t"]
    assert list(px.prune(model, keep=["double"]).named_vars) == ["shift", "c", "t", "double"]
    with px.Model() as weighed:
        px.Potential("penalty", -(px.Normal("a") ** 2))
        px.Normal("b")
    assert list(px.prune(weighed).named_vars) == ["a", "penalty"]


def test_change_value_transforms_changes_the_space_and_not_the_density():
    with px.Model() as model:
        s = px.HalfNormal("s", 1.0, initval=0.7)
        px.Normal("y", 0.0, s, observed=0.4)
    square = px.dist.transforms.ComposeTransform(
        [px.dist.transforms.ExpTransform(), px.dist.transforms.PowerTransform(2.0)]
    )
    changed = px.change_value_transforms(model, {"s": square})
    lds = [LogDensity.build(m) for m in (model, changed)]
    u = 0.3
    values = [ld.constrain(jnp.array([x]), ld.data)["s"] for ld, x in zip(lds, (u, u / 2), strict=True)]
    np.testing.assert_allclose(*values)
    a, b = (ld(jnp.array([x]), ld.data) for ld, x in zip(lds, (u, u / 2), strict=True))
    np.testing.assert_allclose(b - a, np.log(2.0))
    back = px.change_value_transforms(changed, {"s": None})
    assert LogDensity.build(back)(jnp.array([u]), lds[0].data) == a


def test_submodels_are_rewritten_with_the_whole():
    with px.Model() as model:
        mu = px.Normal("mu")
        with px.Model("inner") as inner:
            x = px.Normal("x", mu, 1.0)
        px.Normal("y", x, 1.0, observed=1.0)
    done = px.do(model, {"inner::x": 2.0})
    assert list(done.named_vars) == ["mu", "inner::x", "y"]
    with pytest.raises(ModelError, match="depends on 'mu', which belongs to another"):
        px.observe(inner, {"x": 2.0})


def test_rewriting_inside_a_with_block_makes_no_submodel():
    model = chain()
    with model:
        done = px.do(model, {"t": 0.0})
    assert done.parent is None
    assert "t" in model.named_vars
    assert model["t"] in model.free_RVs


REFUSED = {
    "no variable": (lambda m: px.do(m, {"q": 1.0}), ModelError, "do: the model has no variable 'q'; it has shift, c"),
    "other model": (lambda m: px.do(m, {chain()["t"]: 1.0}), ModelError, "do: .*'t'.*is no variable of this model"),
    "nothing": (lambda m: px.do(m, {}), ModelError, "do takes a dict"),
    "observed": (
        lambda m: px.do(px.observe(m, {"y": np.ones(3)}), {"y": 1.0}),
        ModelError,
        r"do: 'y' is observed.*px.unobserve\(model, \['y'\]\)",
    ),
    "data": (lambda m: px.do(m, {"shift": 1.0}), ModelError, "do: 'shift' is Data.*set_data"),
    "shape": (lambda m: px.do(m, {"t": [1.0, 2.0]}), ShapeError, r"do: 't' has shape \(3,\), the value \(2,\)"),
    "shape of an expression": (lambda m: px.do(m, {"t": m["aside"]}), ShapeError, r"'t' has shape \(3,\).*\(\)"),
    "itself": (lambda m: px.do(m, {"t": m["t"] + 1}), ModelError, "'t' uses the variable itself"),
    "effect": (lambda m: px.do(m, {"t": m["y"] * 2}), ModelError, "'t' uses 'y', which depends on 't'"),
    "two in a circle": (
        lambda m: px.do(m, {"c": m["aside"] * np.ones(3), "aside": px.math.sum(m["shift"]) + px.math.sum(m["c"])}),
        ModelError,
        "would depend on itself",
    ),
    "foreign expression": (lambda m: px.do(m, {"t": 2 * chain()["c"]}), ModelError, "uses 'c' of another model"),
    "missing value": (lambda m: px.do(m, {"t": np.nan}), SupportError, "do: the value of 't' holds nan"),
    "observed again": (
        lambda m: px.observe(px.observe(m, {"y": np.ones(3)}), {"y": np.ones(3)}),
        ModelError,
        "'y' is no free variable; it is observed already.*unobserve",
    ),
    "deterministic": (lambda m: px.observe(m, {"double": 1.0}), ModelError, "'double' is no free.*Deterministic"),
    "observed shape": (lambda m: px.observe(m, {"y": np.ones(4)}), ShapeError, r"y: observed has shape \(4,\)"),
    "text": (lambda m: px.observe(m, {"y": ["a", "b", "c"]}), ModelError, "observed of 'y' must be numbers"),
    "free already": (lambda m: px.unobserve(m, ["y"]), ModelError, "unobserve: 'y' is not observed"),
    "empty": (lambda m: px.prune(m), ModelError, "prune: nothing is observed"),
    "transform": (lambda m: px.change_value_transforms(m, {"t": "log"}), ModelError, "'t' takes one of px.dist.tran"),
    "transform of data": (lambda m: px.change_value_transforms(m, {"shift": None}), ModelError, "'shift' is no free"),
    "non-centred data": (lambda m: px.noncenter(m, ["double"]), ModelError, "'double' is no free variable"),
    "non-centred nothing": (lambda m: px.noncenter(m, []), ModelError, "noncenter takes names"),
    "non-centred model": (lambda m: px.noncenter(3, ["x"]), ModelError, "noncenter takes a Model or a function"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_uses_are_named(case):
    run, error, words = REFUSED[case]
    model = chain()
    before = list(model.named_vars)
    with pytest.raises(error, match=words):
        run(model)
    assert list(model.named_vars) == before


# Non-centring

Y = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
SPREAD = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def schools(**options):
    with px.Model(coords={"school": list("ABCDEFGH")}) as model:
        mu, tau = px.Normal("mu", 0.0, 5.0), px.HalfNormal("tau", 5.0)
        theta = px.Normal("theta", mu, tau, dims="school", **options)
        px.Normal("y", theta, SPREAD, observed=Y, dims="school")
    return model


def test_the_noncentred_density_is_the_centred_one_after_the_change_of_variables():
    centred, noncentred = schools(), px.noncenter(schools(), ["theta"])
    lds = [LogDensity.build(m) for m in (centred, noncentred)]
    position = np.concatenate([[1.5, 0.7], np.linspace(-2, 2, 8)])
    tau = np.exp(0.7)
    moved = np.concatenate([position[:2], 1.5 + tau * position[2:]])
    a, b = (ld(jnp.asarray(x), ld.data) for ld, x in zip(lds, (moved, position), strict=True))
    np.testing.assert_allclose(b, a + 8 * np.log(tau), rtol=1e-12)
    values = [ld.constrain(jnp.asarray(x), ld.data) for ld, x in zip(lds, (moved, position), strict=True)]
    np.testing.assert_allclose(values[1]["theta"], values[0]["theta"], rtol=1e-14)
    terms = [ld.site_terms(jnp.asarray(x), ld.data) for ld, x in zip(lds, (moved, position), strict=True)]
    np.testing.assert_allclose(terms[1]["theta"], terms[0]["theta"], rtol=1e-12)


def test_a_narrow_scale_costs_no_digits():
    with px.Model() as model:
        tau = px.HalfNormal("tau", 1.0)
        px.Normal("theta", 1000.0, tau, noncentered=True)
    ld = LogDensity.build(model)
    gradient = jax.grad(ld)(jnp.array([-30.0, 1.3]), ld.data)
    np.testing.assert_allclose(gradient, [1.0, -1.3], rtol=1e-12)


@pytest.mark.parametrize("way", ["statement", "function", "program"])
def test_every_way_to_say_it(way):
    if way == "statement":
        model = schools(noncentered=True)
    elif way == "function":
        model = px.noncenter(schools(), "theta")
    else:

        def program():
            mu, tau = px.Normal("mu", 0.0, 5.0), px.HalfNormal("tau", 5.0)
            theta = px.Normal("theta", mu, tau, shape=8)
            px.Normal("y", theta, SPREAD, observed=Y)

        model = px.noncenter(program, ["theta"])
    ld = LogDensity.build(model)
    reference = LogDensity.build(schools(noncentered=True))
    position = jnp.linspace(-1.0, 1.0, 10)
    np.testing.assert_allclose(ld(position, ld.data), reference(position, reference.data), rtol=1e-13)


def test_sampling_gives_the_same_posterior_under_the_same_names():
    found = {}
    for name, model in (("centred", schools()), ("noncentred", schools(noncentered=True))):
        settings = {"draws": 4000, "tune": 1000, "chains": 4, "target_accept": 0.95}
        found[name] = px.sample(**settings, random_seed=5, model=model, **QUIET)["posterior"]
    assert set(found["noncentred"].data_vars) == {"mu", "tau", "theta"}
    assert found["noncentred"]["theta"].dims == ("chain", "draw", "school")
    # Against the exact posterior of theta, by integrating tau and mu out on a grid.
    tau = np.linspace(1e-3, 30, 4000)
    variance = SPREAD**2 + tau[:, None] ** 2
    precision = (1 / variance).sum(axis=1) + 1 / 25
    centre = (Y / variance).sum(axis=1) / precision
    log_weight = stats.halfnorm.logpdf(tau, scale=5) + stats.norm.logpdf(Y, 0, np.sqrt(variance)).sum(axis=1)
    log_weight += 0.5 * (centre**2 * precision - np.log(precision))
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    mean = (tau[:, None] ** 2 * Y + SPREAD**2 * centre[:, None]) / variance
    truth = {"mu": weight @ centre, "tau": weight @ tau, "theta": weight @ mean}
    for name, value in truth.items():
        batches = found["noncentred"][name].values.reshape(40, 400, -1).mean(axis=1)
        assert_mean(batches.squeeze(), value)


FAMILIES = {
    "StudentT": lambda m, s: px.StudentT("x", 4.0, m, s, shape=3, noncentered=True),
    "Laplace": lambda m, s: px.Laplace("x", m, s, shape=3, noncentered=True),
    "LogNormal": lambda m, s: px.LogNormal("x", m, s, shape=3, noncentered=True),
    "Exponential": lambda m, s: px.Exponential("x", s, shape=3, noncentered=True),
    "MvNormal": lambda m, s: px.MvNormal("x", m * np.ones(3), chol=s * np.eye(3), noncentered=True),
    "ZeroSumNormal": lambda m, s: px.ZeroSumNormal("x", s, shape=3, noncentered=True),
    "GaussianRandomWalk": lambda m, s: px.GaussianRandomWalk("x", m, s, shape=3, noncentered=True),
    "MvGaussianRandomWalk": lambda m, s: px.MvGaussianRandomWalk(
        "x", m, chol=s * np.eye(2), shape=(3, 2), noncentered=True
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family):
    with px.Model() as model:
        m, s = px.Normal("m"), px.HalfNormal("s")
        x = FAMILIES[family](m, s)
        px.Normal("y", x, 1.0, observed=np.full(x.shape, 0.5))
    ld = LogDensity.build(model)
    position = 0.3 * jax.random.normal(jax.random.key(0), (ld.dim,))
    centred = LogDensity.build(px.change_value_transforms(model, {"x": None}))
    values = ld.constrain(position, ld.data)
    moved = centred.unconstrain(values, centred.data)
    np.testing.assert_allclose(centred.constrain(moved, ld.data)["x"], values["x"], rtol=1e-8)
    # Two densities of one model differ by the Jacobian of the map between their positions.
    jacobian = jax.jacobian(lambda q: centred.unconstrain(ld.constrain(q, ld.data), ld.data))(position)
    expected = centred(moved, centred.data) + np.linalg.slogdet(jacobian)[1]
    np.testing.assert_allclose(ld(position, ld.data), expected, rtol=1e-9)
    assert np.isfinite(jax.grad(ld)(position, ld.data)).all()


def test_starts_interventions_and_observations_are_those_of_the_variable():
    model = schools(noncentered=True)
    ld = LogDensity.build(model)
    start = {"mu": 1.0, "tau": 2.0, "theta": np.arange(8.0)}
    position = ld.initial_position(jax.random.key(0), ld.data, start)
    np.testing.assert_allclose(position, [1.0, np.log(2.0), *(np.arange(8.0) - 1) / 2], atol=1e-12)
    done = px.do(model, {"theta": np.arange(8.0)})
    assert list(LogDensity.build(done).free) == ["mu", "tau"]
    seen = px.observe(model, {"theta": np.arange(8.0)})
    at = jnp.array([1.0, 0.5])
    lds = [LogDensity.build(m) for m in (seen, px.observe(schools(), {"theta": np.arange(8.0)}))]
    np.testing.assert_allclose(*[x(at, x.data) for x in lds])
    again = LogDensity.build(px.unobserve(seen, ["theta"]))
    np.testing.assert_allclose(again(jnp.ones(10), again.data), ld(jnp.ones(10), ld.data))


def test_predictive_draws_are_those_of_the_variable():
    model = schools(noncentered=True)
    prior = px.sample_prior_predictive(2000, model=model, random_seed=1)["prior"]
    z = (prior["theta"].values[0] - prior["mu"].values[0][:, None]) / prior["tau"].values[0][:, None]
    assert_distribution(z, stats.norm.cdf)
    idata = px.sample(200, tune=200, chains=2, random_seed=1, model=model, **QUIET)
    new = px.sample_posterior_predictive(idata, model=model, random_seed=1, progressbar=False)["posterior_predictive"]
    z = (new["y"].values - idata["posterior"]["theta"].values) / SPREAD
    assert_distribution(z, stats.norm.cdf)


def test_weights_and_masks_apply_to_the_variable():
    def program():
        m, s = sample("m", px.dist.Normal(0.0, 1.0)), sample("s", px.dist.HalfNormal(1.0))
        with px.handlers.scale(scale_factor=3.0), px.handlers.mask(mask=np.array([True, False])):
            sample("x", px.dist.Normal(m, s).expand((2,)))

    ld, centred = LogDensity.build(px.noncenter(program, ["x"])), LogDensity.build(program)
    position = jnp.array([0.4, 0.3, 1.2, -0.7])
    values = ld.constrain(position, ld.data)
    moved = centred.unconstrain(values, centred.data)
    expected = centred(moved, centred.data) + 2 * 0.3
    np.testing.assert_allclose(ld(position, ld.data), expected, rtol=1e-12)


def test_what_the_sampler_saw_is_kept_if_it_is_asked_for():
    names = ["mu", "tau", "theta", "theta_decentered"]
    settings = {"draws": 50, "tune": 50, "chains": 2, "random_seed": 1, "discard_tuned_samples": False}
    idata = px.sample(**settings, model=schools(noncentered=True), var_names=names, **QUIET)
    for group in ("posterior", "warmup_posterior"):
        found = idata[group]
        assert found["theta_decentered"].dims == ("chain", "draw", "school")
        np.testing.assert_allclose(found["mu"] + found["tau"] * found["theta_decentered"], found["theta"])
    with pytest.raises(ModelError, match="no variable 'theta_decentered'"):
        px.sample(model=schools(), var_names=names, **QUIET)
