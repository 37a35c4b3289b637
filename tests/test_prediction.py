"""Prediction: closed forms, what keeps its draws and what does not, labels."""

import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import pyrox as px
from pyrox import results
from pyrox.drawwise import calls_libraries
from pyrox.errors import ShapeError
from pyrox.model.fingerprint import fingerprint
from tests.checks import assert_counts, assert_distribution, assert_mean
from tests.fits import NAMES, QUIET, draw_hierarchy, hierarchy, known_draws, regression

# Closed forms


def test_new_groups_come_from_the_population_and_known_ones_keep_their_draws():
    model, values = hierarchy(), draw_hierarchy()
    idata = known_draws(model, values)
    found = px.predict(idata, {"group_idx": [0, 1, 1]}, {"group": ["new", "b"]}, model, **QUIET)["predictions"]
    theta, y = found["theta"].values, found["y"].values
    assert found["theta"].dims == ("chain", "draw", "group")
    assert found["group"].values.tolist() == ["new", "b"]
    np.testing.assert_array_equal(theta[..., 1], values["theta"][..., 1])
    # What is new, standardised by its own parents, is a standard normal: draw by draw.
    assert_distribution((theta[..., 0] - values["mu"]) / values["tau"], stats.norm.cdf)
    assert_distribution((y[..., 0] - theta[..., 0]) / 0.5, stats.norm.cdf)
    assert_distribution((y[..., 2] - theta[..., 1]) / 0.5, stats.norm.cdf)
    # The moments by hand: E = E[mu], Var = E[tau^2] + Var[mu] + 0.25.
    centred = (y[..., 0] - values["mu"].mean()).ravel()
    variance = np.mean(values["tau"] ** 2) + values["mu"].var() + 0.25
    assert_mean(centred, 0.0)
    assert_mean(centred**2, variance)


def test_new_groups_of_a_noncentred_model():
    model, values = hierarchy(centred=False), draw_hierarchy(name="z")
    found = px.predict(known_draws(model, values), coords={"group": [*NAMES, "new"]}, model=model, **QUIET)
    theta, z = found["predictions"]["theta"].values, found["predictions"]["z"].values
    np.testing.assert_array_equal(z[..., :4], values["z"])
    np.testing.assert_allclose(theta, values["mu"][..., None] + values["tau"][..., None] * z, rtol=1e-12)
    assert_distribution(z[..., 4], stats.norm.cdf)


def test_posterior_predictive_moments():
    with px.Model() as model:
        mu = px.Normal("mu")
        px.Normal("y", mu, 2.0, observed=np.zeros(3))
    mu = np.random.default_rng(1).normal(size=(4, 1000))
    drawn = px.sample_posterior_predictive({"mu": mu}, model, **QUIET)["posterior_predictive"]["y"].values
    assert_distribution((drawn - mu[..., None]) / 2.0, stats.norm.cdf)
    assert_mean(drawn.reshape(-1, 3).prod(axis=1), np.mean(mu**3))  # independent given mu


def test_prior_predictive_moments():
    with px.Model(coords={"k": range(3)}):
        mu = px.Normal("mu", 1.0, 2.0)
        theta = px.Normal("theta", mu, 1.0, dims="k")
        px.Deterministic("twice", 2 * theta, dims="k")
        px.Poisson("n", px.math.exp(0.1 * mu), observed=[1, 2])
        px.Normal("y", theta, 0.5, observed=np.zeros(3), dims="k")
        prior = px.sample_prior_predictive(4000, random_seed=3)
    assert set(prior["prior"].data_vars) == {"mu", "theta", "twice"}
    assert set(prior["prior_predictive"].data_vars) == {"n", "y"}
    mu, theta = prior["prior"]["mu"].values[0], prior["prior"]["theta"].values[0]
    assert_distribution(mu, stats.norm(1.0, 2.0).cdf)
    assert_distribution(theta - mu[:, None], stats.norm.cdf)
    assert_distribution(prior["prior_predictive"]["y"].values[0][:, 0], stats.norm(1.0, np.sqrt(5.25)).cdf)
    np.testing.assert_allclose(prior["prior"]["twice"].values[0], 2 * theta)
    assert_mean(prior["prior_predictive"]["n"].values[0] - np.exp(0.1 * mu)[:, None], np.zeros(2))
    assert prior["prior_predictive"]["y"].dims == ("chain", "draw", "k")
    assert "observed_data" in results.groups_of(prior)


def kernel(a):
    return jnp.exp(-0.5 * (a[:, None] - a[None, :]) ** 2) + 1e-9 * jnp.eye(a.shape[0])


def test_values_of_a_gaussian_process_at_new_labels_are_drawn_given_the_known_ones():
    x = np.array([0.0, 1.0, 2.0])
    with px.Model(coords={"x": x}) as model:
        at = px.Data("at", x, dims="x")
        f = px.MvNormal("f", 0.0, cov=px.lift(kernel)(at), dims="x")
        px.Normal("y", f, 0.1, observed=np.zeros(3), dims="x")
    values = np.random.default_rng(0).normal(size=(2, 3000, 3))
    new = np.array([2.0, 0.5, 0.0, 1.0])
    found = px.predict(known_draws(model, {"f": values}), {"at": new}, {"x": new}, model, **QUIET)
    f = found["predictions"]["f"].values
    np.testing.assert_array_equal(f[..., [2, 3, 0]], values)
    across = np.exp(-0.5 * (0.5 - x) ** 2)
    weights = np.linalg.solve(np.asarray(kernel(x)), across)
    spread = np.sqrt(1 + 1e-9 - across @ weights)
    assert_distribution((f[..., 1] - values @ weights) / spread, stats.norm.cdf)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, lambda f: lambda a: jax.lax.map(f, a[None])[0]])
def test_programs_that_factorise_matrices_are_found(wrap):
    # Factorised many at a time, they made px.predict of a Gaussian process hang in notebooks.
    matrix = jax.ShapeDtypeStruct((40, 40), float)
    for fn in (jnp.linalg.cholesky, jnp.linalg.inv, lambda a: jnp.linalg.eigh(a)[0], lambda a: jnp.linalg.qr(a)[0]):
        assert calls_libraries(wrap(fn), matrix)
    assert not calls_libraries(wrap(lambda a: jnp.exp(a) @ a), matrix)


def test_random_walks_go_on_from_where_they_were():
    with px.Model(coords={"t": range(5)}) as model:
        walk = px.GaussianRandomWalk("walk", sigma=2.0, dims="t")
        px.Normal("y", walk, 0.1, observed=np.zeros(5), dims="t")
    values = np.random.default_rng(0).normal(size=(2, 2000, 5))
    idata = known_draws(model, {"walk": values})
    found = px.predict(idata, coords={"t": range(2, 8)}, model=model, **QUIET)["predictions"]
    walk = found["walk"].values
    np.testing.assert_array_equal(walk[..., :3], values[..., 2:])
    assert_distribution(np.diff(walk[..., 2:], axis=-1) / 2.0, stats.norm.cdf)
    assert model["walk"].shape == (5,)


def test_autoregressions_go_on_from_where_they_were():
    with px.Model(coords={"t": range(5)}) as model:
        series = px.AR("series", [0.5, 1.2, -0.4], 2.0, constant=True, dims="t")
        px.Normal("y", series, 0.1, observed=np.zeros(5), dims="t")
    values = np.random.default_rng(0).normal(size=(1, 4000, 5)) * 10
    idata = known_draws(model, {"series": values})
    found = px.predict(idata, coords={"t": range(2, 9)}, model=model, random_seed=1, progressbar=False)["predictions"]
    series = found["series"].values
    np.testing.assert_array_equal(series[..., :3], values[..., 2:])
    noise = series[..., 3:] - 0.5 - 1.2 * series[..., 2:-1] + 0.4 * series[..., 1:-2]
    assert_distribution(noise[..., 0].ravel() / 2.0, stats.norm.cdf)
    assert_distribution(noise[..., -1].ravel() / 2.0, stats.norm.cdf)
    with pytest.raises(px.ModelError, match="AR draws all elements along that dim together"):
        px.predict(idata, coords={"t": range(4, 9)}, model=model, progressbar=False)


def test_markov_chains_go_on_from_where_they_were():
    moves = np.array([[0.8, 0.2], [0.4, 0.6]])
    with px.Model(coords={"t": range(4)}) as model:
        state = px.DiscreteMarkovChain("state", P=moves, dims="t")
        px.Normal("y", 3.0 * state, 0.1, observed=np.zeros(4), dims="t")
    values = np.random.default_rng(0).integers(0, 2, (2, 3000, 4))
    idata = known_draws(model, {"state": values})
    found = px.predict(idata, coords={"t": range(1, 6)}, model=model, **QUIET)["predictions"]
    state = found["state"].values
    np.testing.assert_array_equal(state[..., :3], values[..., 1:])
    for last in (0, 1):
        ahead = state[values[..., -1] == last][:, 3:]
        two = np.array([moves[last, i] * moves[i, j] for i in (0, 1) for j in (0, 1)])
        assert_counts(2 * ahead[:, 0] + ahead[:, 1], np.arange(4), two)
    assert_mean((found["y"].values - 3.0 * state).reshape(-1, 5), np.zeros(5))


def test_markov_chains_do_not_grow_at_their_beginning():
    with px.Model(coords={"t": [1, 2]}) as model:
        state = px.DiscreteMarkovChain("state", P=np.full((2, 2), 0.5), dims="t")
        px.Normal("y", 3.0 * state, 0.1, observed=np.zeros(2), dims="t")
    idata = known_draws(model, {"state": np.zeros((1, 5, 2), int)})
    with pytest.raises(px.ModelError, match="draws all elements along that dim together"):
        px.predict(idata, coords={"t": [0, 1, 2]}, model=model, **QUIET)


def test_lengths_that_a_distribution_takes_from_its_dims_follow_them():
    with px.Model(coords={"group": NAMES}) as model:
        theta = px.ZeroSumNormal("theta", 1.0, dims="group")
        px.Normal("y", theta, 1.0, observed=np.zeros(4), dims="group")
    before = fingerprint(model)
    values = np.random.default_rng(0).normal(size=(1, 3, 4))
    idata = known_draws(model, {"theta": values})
    found = px.predict(idata, coords={"group": ["d", "a"]}, model=model, **QUIET)
    assert found["predictions"]["y"].shape == (1, 3, 2)
    assert json.loads(found["predictions"].attrs["frozen"]) == ["theta"]
    model.set_dim("group", coord_values=["a", "b"])
    assert fingerprint(model) == before
    assert px.draw(model["theta"]).shape == (2,)


# Shapes and labels


@pytest.mark.parametrize("n", [1, 3, 7, 20])
def test_the_observed_shape_follows_the_new_data(n):
    model = regression(np.arange(7.0), np.zeros(7))
    idata = known_draws(model, {"slope": np.ones((1, 4))})
    found = px.predict(idata, {"x": np.zeros(n)}, model=model, **QUIET)
    assert found["predictions"]["y"].shape == (1, 4, n)
    assert found["predictions_constant_data"]["x"].shape == (n,)
    assert model["y"].shape == model["x"].shape == (7,)


def test_replicates_of_one_parameter_keep_the_observed_shape():
    with px.Model() as model:
        px.Normal("y", px.Normal("mu"), 1.0, observed=np.zeros(5))
    found = px.predict(known_draws(model, {"mu": np.ones((1, 4))}), model=model, **QUIET)
    assert found["predictions"]["y"].shape == (1, 4, 5)


def test_observed_data_need_no_dummy_of_the_new_length():
    with px.Model(coords={"row": range(6)}) as model:
        x, y = px.Data("x", np.arange(6.0), dims="row"), px.Data("y_data", np.zeros(6), dims="row")
        px.Normal("y", px.Normal("slope") * x, 1.0, observed=y, dims="row")
    idata = known_draws(model, {"slope": np.ones((1, 4))})
    found = px.predict(idata, {"x": [1.0, 2.0]}, {"row": ["u", "v"]}, model, **QUIET)["predictions"]
    assert found["y"].dims == ("chain", "draw", "row")
    assert found["row"].values.tolist() == ["u", "v"]


def test_a_model_observed_in_part_is_predicted_as_a_whole():
    x, y = np.arange(6.0), np.arange(6.0)
    y[2] = np.nan
    model = regression(x, y)
    idata = known_draws(model, {"slope": np.full((1, 500), 3.0), "y_unobserved": np.zeros((1, 500, 1))})
    found = px.predict(idata, {"x": [10.0, 20.0]}, model=model, **QUIET)["predictions"]
    assert_mean(found["y"].values[0], [30.0, 60.0])
    assert model["y"].shape == (6,)
    assert set(model.named_vars) == {"x", "slope", "y_observed", "y_unobserved", "y"}


@pytest.mark.parametrize("labels", [["d", "b"], ["d", "c", "b", "a"], ["a", "b", "c", "d"], ["c"]])
def test_levels_are_matched_by_label(labels):
    model, values = hierarchy(), draw_hierarchy(50)
    at = [NAMES.index(label) for label in labels]
    found = px.predict(
        known_draws(model, values), {"group_idx": range(len(labels))}, {"group": labels}, model, var_names=["y"],
        frozen=["theta"], **QUIET,
    )  # fmt: skip
    exact = px.sample_posterior_predictive(
        {**values, "theta": values["theta"][..., at]}, model=hierarchy(labels=labels, rows=len(labels)), **QUIET
    )
    np.testing.assert_array_equal(found["predictions"]["y"].values, exact["posterior_predictive"]["y"].values)


def test_data_along_a_dim_and_indices_follow_its_labels():
    with px.Model(coords={"group": NAMES}) as model:
        level = px.Data("level", [10.0, 20.0, 30.0, 40.0], dims="group")
        group = px.Data("group_idx", [0, 1, 2, 3, 3])
        theta = px.Normal("theta", level, 1.0, dims="group")
        px.Normal("y", theta[group], 1e-6, observed=np.zeros(5))
    values = np.random.default_rng(0).normal(size=(1, 20, 4))
    idata = known_draws(model, {"theta": values})
    found = px.predict(idata, coords={"group": NAMES[::-1]}, model=model, **QUIET)
    assert found["predictions_constant_data"]["level"].values.tolist() == [40.0, 30.0, 20.0, 10.0]
    assert found["predictions_constant_data"]["group_idx"].values.tolist() == [3, 2, 1, 0, 0]
    np.testing.assert_allclose(found["predictions"]["y"].values, values[..., [0, 1, 2, 3, 3]], atol=1e-4)
    assert json.loads(found["predictions"].attrs["frozen"]) == ["theta"]


def test_labels_of_dates_are_matched():
    days = np.arange("2024-01-01", "2024-01-05", dtype="datetime64[D]")
    with px.Model(coords={"day": days}) as model:
        level = px.Normal("level", dims="day")
        px.Normal("y", level, 1.0, observed=np.zeros(4), dims="day")
    idata = known_draws(model, {"level": np.random.default_rng(0).normal(size=(1, 5, 4))})
    plan = px.explain_prediction(idata, coords={"day": days[2:]}, model=model)
    assert plan.frozen == ["level"]
    plan = px.explain_prediction(idata, coords={"day": days + np.timedelta64(1, "D")}, model=model)
    assert set(plan.partly) == {"level"}
    assert "1 of 4 levels of day are new (2024-01-05)" in plan.partly["level"]


# What is kept, what is drawn anew


def chain_of_variables():
    with px.Model() as model:
        x = px.Data("x", [1.0, 2.0])
        a = px.Normal("a")
        b = px.Normal("b", a, 1.0)
        c = px.Normal("c", 0.0, 1.0)
        d = px.Normal("d", x.sum() * c, 1.0)
        px.Normal("y", b + d + x, 1.0, observed=[0.0, 0.0])
    return model, known_draws(model, {name: np.full((1, 300), 7.0) for name in "abcd"})


def test_nothing_is_drawn_anew_without_cause():
    model, idata = chain_of_variables()
    plan = px.explain_prediction(idata, model=model)
    assert (plan.frozen, plan.anew, plan.partly, plan.observed) == (["a", "b", "c", "d"], {}, {}, ["y"])
    assert str(plan) == "keep their draws: a, b, c, d\ndrawn from their distributions: y"


def test_what_is_named_is_drawn_anew_and_what_depends_on_it():
    model, idata = chain_of_variables()
    drawn = px.sample_posterior_predictive(idata, model, ["a", "y"], **QUIET)["posterior_predictive"]
    assert set(drawn.data_vars) == {"a", "y"}
    assert set(json.loads(drawn.attrs["redrawn"])) == {"a", "b"}
    assert json.loads(drawn.attrs["frozen"]) == ["c", "d"]
    assert_distribution(drawn["a"].values, stats.norm.cdf)
    held = px.sample_posterior_predictive(idata, model, ["a", "y"], frozen=["b"], **QUIET)["posterior_predictive"]
    assert json.loads(held.attrs["frozen"]) == ["b", "c", "d"]


def test_what_depends_on_changed_data_is_drawn_anew_and_said_so(caplog):
    model, idata = chain_of_variables()
    with caplog.at_level(logging.INFO, "pyrox"):
        found = px.predict(idata, {"x": [3.0, 4.0]}, model=model, **QUIET)
    assert [r.getMessage() for r in caplog.records] == [
        "d is drawn anew: it depends on the data x, which have changed"
    ]
    assert set(found["predictions"].data_vars) == {"d", "y"}
    plan = px.explain_prediction(idata, {"x": [3.0, 4.0]}, model=model, frozen=["d"])
    assert plan.anew == {}
    assert px.explain_prediction(idata, {"x": [1.0, 2.0]}, model=model).anew == {}  # equal data have not changed


def test_set_data_before_the_call_counts_as_well():
    model, idata = chain_of_variables()
    px.set_data({"x": [3.0, 4.0, 5.0]}, model)
    drawn = px.sample_posterior_predictive(idata, model, predictions=True, **QUIET)
    assert drawn["predictions"]["y"].shape == (1, 300, 3)
    assert set(json.loads(drawn["predictions"].attrs["redrawn"])) == {"d"}


def test_effects_of_rows_without_labels_are_drawn_anew_at_other_rows():
    with px.Model() as model:
        x = px.Data("x", np.arange(4.0), dims="row")
        eps = px.Normal("eps", 0.0, 1.0, dims="row")
        px.Normal("y", x + eps, 1.0, observed=np.zeros(4), dims="row")
    idata = known_draws(model, {"eps": np.full((1, 500, 4), 9.0)})
    assert px.explain_prediction(idata, model=model).frozen == ["eps"]
    for rows in (np.ones(4), np.ones(6)):
        found = px.predict(idata, {"x": rows}, model=model, **QUIET)["predictions"]
        assert_mean(found["eps"].values[0], np.zeros(len(rows)))


def test_an_observed_predictor_that_is_given_keeps_its_values():
    with px.Model() as model:
        x = px.Normal("x", 0.0, 1.0, observed=px.Data("x_data", np.zeros(4)))
        px.Normal("y", px.Normal("slope") * x, 1e-6, observed=np.zeros(4))
    idata = known_draws(model, {"slope": np.full((1, 10), 2.0)})
    found = px.predict(idata, {"x_data": [5.0, 6.0, 7.0, 8.0]}, model=model, **QUIET)["predictions"]
    np.testing.assert_allclose(found["y"].values[0, 0], [10.0, 12.0, 14.0, 16.0], atol=1e-4)
    replicated = px.predict(idata, model=model, **QUIET)["predictions"]
    assert np.ptp(replicated["x"].values) > 0.1
    held = px.predict(idata, model=model, frozen=["x"], **QUIET)["predictions"]
    np.testing.assert_allclose(held["y"].values, 0.0, atol=1e-4)


def test_discrete_variables_that_were_summed_out_are_drawn():
    with px.Model() as model:
        p = px.Beta("p", 1.0, 1.0)
        z = px.Bernoulli("z", p, shape=3)
        px.Normal("y", 10.0 * z, 0.1, observed=[0.0, 10.0, 10.0])
    idata = known_draws(model, {"p": np.full((1, 2000), 0.3)})
    drawn = px.sample_posterior_predictive(idata, model, **QUIET)["posterior_predictive"]
    assert_mean((drawn["y"].values[0] > 5.0).astype(float), np.full(3, 0.3))


# The model is left as it is


def test_the_model_is_left_as_it_is_also_after_an_error():
    model = hierarchy()
    idata = known_draws(model, draw_hierarchy(20))
    before = model.coords, model.structure_version, model["group_idx"].eval().tolist(), fingerprint(model)
    px.predict(idata, {"group_idx": [0, 4]}, {"group": [*NAMES, "new"]}, model, **QUIET)
    with pytest.raises(ShapeError):
        px.predict(idata, {"group_idx": [0, 9]}, {"group": [*NAMES, "new"]}, model, **QUIET)
    assert before == (model.coords, model.structure_version, model["group_idx"].eval().tolist(), fingerprint(model))
    assert model["theta"].shape == (4,)
