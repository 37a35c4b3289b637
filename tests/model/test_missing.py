"""Missing observed values: names, dims, densities against closed forms, data that change, wrong uses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import pyrox as px
from pyrox.errors import ModelError, ShapeError, SupportError
from pyrox.model import LogDensity
from tests.checks import assert_counts, assert_distribution, assert_mean

QUIET = {"progressbar": False, "compute_convergence_checks": False}
NAN = np.nan
X = np.array([-1.0, 0.5, 2.0, 0.1, -0.7, 1.3])
Y = np.array([0.2, NAN, 4.1, 1.3, NAN, 3.0])
KNOWN = ~np.isnan(Y)


def regression(y, x, dims="row", **kwargs):
    with px.Model(coords={"row": [f"r{i}" for i in range(len(x))]} if dims else None) as model:
        a, b = px.Normal("a", 0.0, 2.0), px.Normal("b", 0.0, 2.0)
        px.Normal("y", a + b * x, 0.5, observed=y, dims=dims, **kwargs)
    return model


CONTAINERS = {
    "nan": Y,
    "list with None": [None if np.isnan(v) else v for v in Y],
    "masked array": np.ma.masked_array(np.where(KNOWN, Y, -99.0), mask=~KNOWN),
    "object array": np.array([None if np.isnan(v) else v for v in Y], dtype=object),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_way_to_write_a_missing_value(kind):
    model = regression(CONTAINERS[kind], X)
    assert [v.name for v in model.free_RVs] == ["a", "b", "y_unobserved"]
    assert [v.name for v in model.observed_RVs] == ["y_observed"]
    assert [v.name for v in model.deterministics] == ["y"]
    ld = LogDensity.build(model)
    np.testing.assert_array_equal(ld.known_values(ld.data)[0]["y_observed"], Y[KNOWN])


def test_pandas_with_missing_values():
    pd = pytest.importorskip("pandas")
    for series in (pd.Series(Y), pd.Series([0, None, 4, 1, None, 3], dtype="Int64")):
        ld = LogDensity.build(regression(series, X))
        np.testing.assert_array_equal(ld.known_values(ld.data)[0]["y_observed"], series.dropna().to_numpy(float))


def test_names_dims_and_labels():
    model = regression(Y, X)
    assert model["y_unobserved"].dims == ("y_unobserved_dim_0",)
    assert model.coords["y_unobserved_dim_0"] == ("r1", "r4")
    assert model.coords["y_observed_dim_0"] == ("r0", "r2", "r3", "r5")
    assert model["y"].dims == ("row",)
    with px.Model(coords={"i": ["u", "v"]}) as grid:
        px.Normal("y", observed=[[1.0, NAN, 2.0], [NAN, 1.0, 1.0]], dims=("i", None))
    assert grid.coords["y_unobserved_dim_0"] == ("u, 1", "v, 0")
    plain = regression(Y, X, dims=None)
    assert plain.coords["y_unobserved_dim_0"] == (1, 4)


def test_the_posterior_is_that_of_the_complete_cases():
    model, complete = regression(Y, X), regression(Y[KNOWN], X[KNOWN])
    lds = [LogDensity.build(m) for m in (model, complete)]
    for position in jax.random.normal(jax.random.key(0), (3, 2)):
        np.testing.assert_allclose(*[ld(position, ld.data) for ld in lds], rtol=1e-12)
    assert lds[0].drawn == ("y_unobserved",)


def test_missing_outcomes_are_drawn_from_their_distribution():
    idata = px.sample(2000, tune=500, chains=4, random_seed=3, model=regression(Y, X), **QUIET)
    posterior = idata["posterior"]
    assert posterior["y_unobserved"].dims == ("chain", "draw", "y_unobserved_dim_0")
    assert list(posterior["y_unobserved_dim_0"].values) == ["r1", "r4"]
    drawn = posterior["y_unobserved"].values
    np.testing.assert_array_equal(posterior["y"].sel(row=["r1", "r4"]).values, drawn)
    np.testing.assert_array_equal(posterior["y"].values[..., KNOWN], np.broadcast_to(Y[KNOWN], (4, 2000, 4)))
    centre = posterior["a"].values[..., None] + posterior["b"].values[..., None] * X[~KNOWN]
    assert_distribution((drawn - centre) / 0.5, stats.norm.cdf)
    assert list(idata["observed_data"].data_vars) == ["y_observed"]


def covariate(x, y):
    with px.Model() as model:
        m, b = px.Normal("m", 0.0, 2.0), px.Normal("b", 0.0, 2.0)
        full = px.Normal("x", m, 1.0, observed=x)
        px.Normal("y", b * full, 0.5, observed=y)
    return model


def test_a_missing_covariate_is_sampled_with_the_density_of_the_whole():
    x = np.where([False, True, False, True], NAN, [0.3, 9.0, -1.0, 9.0])
    y = np.array([0.5, 1.0, -1.5, 0.2])
    ld = LogDensity.build(covariate(x, y))
    assert ld.drawn == ()
    assert list(ld.free) == ["m", "b", "x_unobserved"]
    m, b, first, second = position = np.array([0.2, 1.1, 0.4, -0.6])
    full = np.array([0.3, first, -1.0, second])
    truth = stats.norm.logpdf([m, b], 0, 2).sum() + stats.norm.logpdf(full, m, 1).sum()
    truth += stats.norm.logpdf(y, b * full, 0.5).sum()
    np.testing.assert_allclose(ld(jnp.asarray(position), ld.data), truth, rtol=1e-12)
    # Given m and b, a missing covariate is normal: the prior and its one outcome put together.
    with px.Model() as known:
        full = px.Normal("x", 0.5, 1.0, observed=x)
        px.Normal("y", 2.0 * full, 0.5, observed=y)
    draws = px.sample(2000, tune=500, chains=4, random_seed=4, model=known, **QUIET)["posterior"]["x_unobserved"].values
    precision = 1.0 + 4.0 / 0.25
    mean = (0.5 + 2.0 * y[[1, 3]] / 0.25) / precision
    chains = draws.reshape(4 * 20, 100, 2).mean(axis=1)  # of 100 draws, all but independent
    assert_mean(chains, mean)
    np.testing.assert_allclose(draws.var(axis=(0, 1)), 1 / precision, rtol=0.15)


TRIL = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [-0.3, 0.5, 1.2]])
ROWS = np.array([[0.4, NAN, 1.1], [NAN, NAN, NAN], [1.0, 0.2, -0.5], [NAN, 0.7, NAN]])


def vectors(rows, use=False):
    with px.Model(coords={"i": list("abcd"), "axis": ["x", "y", "z"]}) as model:
        mu = px.Normal("mu", 0.0, 2.0, dims="axis")
        y = px.MvNormal("y", mu, chol=TRIL, observed=rows, dims=("i", "axis"))
        if use:
            px.Normal("z", y.sum(axis=1), 1.0, observed=np.zeros(4))
    return model


def test_rows_of_a_multivariate_normal_observed_in_part():
    mu, covariance = np.array([0.3, -0.2, 0.9]), TRIL @ TRIL.T
    model = vectors(ROWS)
    assert model["y_unobserved"].shape == (6,)
    assert model.coords["y_unobserved_dim_0"] == ("a, y", "b, x", "b, y", "b, z", "d, x", "d, z")
    assert model.coords["y_observed_dim_0"] == ("a", "c", "d")
    assert model["y_observed"].dims == ("y_observed_dim_0", "axis")
    ld = LogDensity.build(model)
    truth = 0.0
    for row in ROWS:
        seen = ~np.isnan(row)
        if seen.any():
            truth += stats.multivariate_normal(mu[seen], covariance[np.ix_(seen, seen)]).logpdf(row[seen])
    np.testing.assert_allclose(ld.site_terms(jnp.asarray(mu), ld.data)["y_observed"], truth, rtol=1e-12)
    likelihood = ld.log_likelihood(jnp.asarray(mu), ld.data)["y_observed"]
    assert likelihood.shape == (3,)
    np.testing.assert_allclose(likelihood.sum(), truth, rtol=1e-12)


def test_coordinates_that_others_depend_on_have_the_density_of_the_whole():
    ld = LogDensity.build(vectors(ROWS, use=True))
    position = np.array([0.3, -0.2, 0.9, 0.5, 1.0, -1.0, 0.1, 0.4, -0.8])
    full = ROWS.copy()
    full[np.isnan(full)] = position[3:]
    truth = stats.norm.logpdf(position[:3], 0, 2).sum() + stats.norm.logpdf(0, full.sum(axis=1), 1).sum()
    truth += stats.multivariate_normal(position[:3], TRIL @ TRIL.T).logpdf(full).sum()
    np.testing.assert_allclose(ld(jnp.asarray(position), ld.data), truth, rtol=1e-11)
    assert np.isfinite(jax.grad(ld)(jnp.asarray(position), ld.data)).all()
    np.testing.assert_allclose(ld.constrain(jnp.asarray(position), ld.data)["y"], full)


def test_coordinates_are_drawn_given_the_others_of_their_row():
    idata = px.sample(4000, tune=500, chains=4, random_seed=5, model=vectors(ROWS), **QUIET)
    mu, drawn = (idata["posterior"][n].values.reshape(-1, k) for n, k in (("mu", 3), ("y_unobserved", 6)))
    covariance, seen = TRIL @ TRIL.T, np.array([True, False, True])
    gain = covariance[np.ix_(~seen, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
    centre = mu[:, 1] + (ROWS[0][seen] - mu[:, seen]) @ gain[0]
    spread = np.sqrt(covariance[1, 1] - gain @ covariance[np.ix_(seen, ~seen)])
    assert_distribution((drawn[:, 0] - centre) / spread, stats.norm.cdf)
    assert_distribution(np.linalg.solve(TRIL, (drawn[:, 1:4] - mu).T), stats.norm.cdf)


WHOLE = {
    "Dirichlet": (lambda **k: px.Dirichlet("y", np.array([1.0, 2.0, 3.0]), **k), [0.2, 0.3, 0.5]),
    "Multinomial": (lambda **k: px.Multinomial("y", n=5, p=np.array([0.2, 0.3, 0.5]), **k), [1, 2, 2]),
    "MvNormal": (lambda **k: px.MvNormal("y", np.zeros(3), chol=TRIL, **k), [0.1, 0.2, 0.3]),
    "MvStudentT": (lambda **k: px.MvStudentT("y", nu=4.0, mu=np.zeros(3), chol=TRIL, **k), [0.1, 0.2, 0.3]),
}


@pytest.mark.parametrize("family", WHOLE)
def test_whole_draws_of_every_multivariate_family_may_be_missing(family):
    state, row = WHOLE[family]
    with px.Model() as model:
        px.Normal("other")
        state(observed=[row, [NAN] * 3, row])
    with px.Model() as complete:
        px.Normal("other")
        state(observed=[row, row])
    lds = [LogDensity.build(m) for m in (model, complete)]
    np.testing.assert_allclose(*[ld(jnp.zeros(1), ld.data) for ld in lds], rtol=1e-12)
    values = lds[0].constrain(jnp.ones(1), lds[0].data)
    np.testing.assert_array_equal(values["y"][0], row)
    np.testing.assert_array_equal(values["y"][1].ravel(), values["y_unobserved"].ravel())


def test_a_random_walk_with_a_gap_is_bridged():
    path = np.array([0.1, NAN, NAN, 1.0])
    with px.Model() as model:
        sigma = px.HalfNormal("sigma", 1.0)
        px.GaussianRandomWalk("y", sigma=sigma, init_dist=px.Normal.dist(0.0, 1.0), observed=path)
    ld = LogDensity.build(model)
    sigma = float(ld.constrain(jnp.array([0.3]), ld.data)["sigma"])
    truth = stats.norm.logpdf(0.1) + stats.norm.logpdf(1.0, 0.1, sigma * np.sqrt(3))
    np.testing.assert_allclose(ld.site_terms(jnp.array([0.3]), ld.data)["y_observed"], truth, rtol=1e-10)


DISCRETE = {
    "Poisson": (lambda y: px.Poisson("y", px.Gamma("rate", 2.0, 1.0), observed=y), [3, NAN, 2, NAN]),
    "Bernoulli": (lambda y: px.Bernoulli("y", px.Beta("rate", 2.0, 2.0), observed=y), [1, NAN, 0, NAN]),
    "Binomial": (lambda y: px.Binomial("y", 5, px.Beta("rate", 2.0, 2.0), observed=y), [3, NAN, 2, NAN]),
}


@pytest.mark.parametrize("family", DISCRETE)
def test_missing_counts_are_drawn_afterwards(family):
    state, y = DISCRETE[family]
    with px.Model() as model:
        state(y)
    with px.Model() as complete:
        state([v for v in y if not np.isnan(v)])
    lds = [LogDensity.build(m) for m in (model, complete)]
    np.testing.assert_allclose(*[ld(jnp.array([0.3]), ld.data) for ld in lds], rtol=1e-12)
    assert lds[0].drawn == ("y_unobserved",)
    values = px.sample(50, tune=50, chains=2, random_seed=1, model=model, **QUIET)["posterior"]["y"].values
    assert values.dtype.kind == "i"
    np.testing.assert_array_equal(values[..., [0, 2]], np.broadcast_to([y[0], y[2]], (2, 50, 2)))


def test_drawn_counts_follow_their_distribution():
    with px.Model() as model:
        px.Normal("other")
        px.Poisson("y", 2.0, observed=np.ma.masked_array([1, 2, 3], mask=[True, False, True]))
    drawn = px.sample(2000, tune=200, chains=4, random_seed=1, model=model, **QUIET)["posterior"]["y_unobserved"].values
    counts = np.arange(15)
    assert_counts(drawn, counts, stats.poisson(2.0).pmf(counts))


def test_a_missing_count_with_consequences_and_infinitely_many_values_is_refused_with_the_ways_out():
    with px.Model() as model:
        k = px.Poisson("k", 2.0, observed=[1, NAN, 3])
        px.Normal("y", px.Normal("b") * k, 1.0, observed=np.zeros(3))
    with pytest.raises(ModelError, match=r"'k_unobserved' is discrete.*Ways out"):
        LogDensity.build(model)


def test_missing_labels_with_consequences_are_summed_out():
    z = np.array([1.0, NAN, 0.0, NAN, NAN, 1.0])
    y = np.array([1.2, 0.4, -0.1, 2.0, -0.7, 0.8])
    with px.Model() as model:
        p, b = px.Beta("p", 2.0, 2.0), px.Normal("b", 0.0, 2.0)
        full = px.Bernoulli("z", p, observed=z)
        px.Normal("y", b * full, 0.5, observed=y)
    ld = LogDensity.build(model)
    position = jnp.array([0.4, 1.1])
    values = ld.constrain(position, ld.data)
    p, b = float(values["p"]), 1.1
    truth = stats.beta.logpdf(p, 2, 2) + np.log(p * (1 - p)) + stats.norm.logpdf(b, 0, 2)
    weights = np.array([[1 - p], [p]]) * stats.norm.pdf(y, np.array([[0.0], [b]]), 0.5)
    known = ~np.isnan(z)
    truth += np.log(np.where(known, weights[np.nan_to_num(z).astype(int), np.arange(6)], weights.sum(axis=0))).sum()
    np.testing.assert_allclose(ld(position, ld.data), truth, rtol=1e-12)
    np.testing.assert_array_equal(values["z"][known], z[known])
    np.testing.assert_array_equal(values["z"][~known], values["z_unobserved"])


def test_a_bounded_variable_is_imputed_within_its_bounds():
    with px.Model() as model:
        low = px.Normal("low")
        x = px.Uniform("x", low, low + 2.0, observed=[0.4, NAN, 0.8])
        px.Truncated("t", px.Normal.dist(0.0, 1.0), np.array([0.0, 1.0, 2.0]), 3.0, observed=[0.5, NAN, 2.5])
        px.Normal("y", x, 1.0, observed=np.zeros(3))
        px.Normal("w", model["t"], 1.0, observed=np.zeros(3))
    ld = LogDensity.build(model)
    for position in 5 * jax.random.normal(jax.random.key(0), (20, ld.dim)):
        values = ld.constrain(position, ld.data)
        assert 0 <= values["x_unobserved"][0] - values["low"] <= 2
        assert 1 <= values["t_unobserved"][0] <= 3


def with_data(y, x):
    with px.Model() as model:
        x, y = px.Data("x", x, dims="row"), px.Data("y_data", y, dims="row")
        a, b = px.Normal("a", 0.0, 2.0), px.Normal("b", 0.0, 2.0)
        px.Normal("y", a + b * x, 0.5, observed=y, dims="row")
    return model


def test_set_data_with_another_pattern():
    model = with_data(Y, X)
    fewer = np.array([0.2, 1.0, 4.1, NAN, 0.3, 3.0])
    other = np.array([NAN, 1.0, NAN, 1.3, 0.3, 3.0])
    full = np.array([0.2, 1.0, 4.1, 1.3, 0.3, 3.0])
    nothing = np.full(6, NAN)
    shorter = np.array([NAN, 2.0, 3.0])
    for y in (fewer, other, full, nothing, shorter, Y):
        x = X[: len(y)]
        px.set_data({"x": x, "y_data": y}, model)
        known = ~np.isnan(y)
        assert model["y_unobserved"].shape == ((~known).sum(),)
        assert model.coords["y_unobserved_dim_0"] == tuple(np.flatnonzero(~known))
        ld, reference = LogDensity.build(model), LogDensity.build(regression(y[known], x[known], dims=None))
        position = jnp.array([0.3, -0.4])
        np.testing.assert_allclose(ld(position, ld.data), reference(position, reference.data), rtol=1e-12)
        values = ld.constrain(position, ld.data)["y"]
        np.testing.assert_array_equal(values[known], y[known])
    idata = px.sample(20, tune=20, chains=2, model=model, **QUIET)
    assert idata["posterior"]["y_unobserved"].shape == (2, 20, 2)


def test_a_log_density_follows_a_pattern_of_the_same_size():
    model = with_data(Y, X)
    ld = LogDensity.build(model)
    traces = []

    @jax.jit
    def compiled(position, data):
        traces.append(position)
        return ld(position, data)

    position = jnp.array([0.3, -0.4])
    compiled(position, ld.data)
    other = np.array([NAN, 1.0, NAN, 1.3, 0.3, 3.0])
    px.set_data({"y_data": other}, model)
    known = ~np.isnan(other)
    reference = LogDensity.build(regression(other[known], X[known], dims=None))
    np.testing.assert_allclose(compiled(position, ld.current_data()), reference(position, reference.data), rtol=1e-12)
    assert len(traces) == 1
    px.set_data({"y_data": np.where([True] + [False] * 5, NAN, 1.0)}, model)
    with pytest.raises(ModelError, match="build its log-density again"):
        ld.current_data()


def test_vectors_whose_pattern_changes_from_whole_rows_to_parts():
    whole = np.where(np.isnan(ROWS).all(axis=1, keepdims=True), NAN, np.nan_to_num(ROWS))
    with px.Model() as model:
        data = px.Data("data", whole)
        px.MvNormal("y", px.Normal("mu", 0.0, 2.0, shape=3), chol=TRIL, observed=data)
    px.set_data({"data": ROWS}, model)
    lds = [LogDensity.build(m) for m in (model, vectors(ROWS))]
    np.testing.assert_allclose(*[ld(jnp.ones(3), ld.data) for ld in lds], rtol=1e-12)


def test_set_data_refuses_what_cannot_be():
    with px.Model() as model:
        shares = px.Data("shares", [[0.2, 0.3, 0.5], [NAN] * 3])
        px.Dirichlet("y", np.ones(3), observed=shares)
        rates = px.Data("rates", [1.0, NAN])
        px.Exponential("z", px.HalfNormal("s"), observed=rates)
    with pytest.raises(ModelError, match=r"y: the draw at \(0,\).*in part.*Dirichlet"):
        px.set_data({"shares": [[0.2, NAN, 0.5], [0.2, 0.3, 0.5]]}, model)
    assert np.isnan(model["shares"].value[1]).all(), "what was refused is not kept"
    with pytest.raises(SupportError, match=r"'rates', observed by 'z'.*-1\.0 at index 1"):
        px.set_data({"rates": [NAN, -1.0]}, model)
    LogDensity.build(model)


def test_data_of_another_length_than_the_predictors():
    model = with_data(Y, X)
    px.set_data({"y_data": Y[:3]}, model)
    with pytest.raises(ShapeError):
        LogDensity.build(model)


def test_all_values_missing():
    model = regression(np.full(6, NAN), X)
    assert model["y_observed"].shape == (0,)
    idata = px.sample(50, tune=50, chains=2, random_seed=1, model=model, **QUIET)
    assert idata["posterior"]["y_unobserved"].shape == (2, 50, 6)


def test_nothing_else_to_sample():
    with px.Model() as model:
        px.Normal("y", 3.0, 2.0, observed=[1.0, NAN])
    ld = LogDensity.build(model)
    assert list(ld.free) == ["y_unobserved"]
    np.testing.assert_allclose(ld.site_terms(jnp.array([5.0]), ld.data)["y_unobserved"], stats.norm.logpdf(5, 3, 2))


def test_starts_and_transforms_belong_to_the_missing_part():
    with px.Model() as model:
        x = px.HalfNormal("x", observed=[1.0, NAN, NAN], initval=[9.0, 0.5, 0.7])
        px.Normal("y", x, 1.0, observed=np.zeros(3))
    ld = LogDensity.build(model)
    position = ld.initial_position(jax.random.key(0), ld.data)
    np.testing.assert_allclose(ld.constrain(position, ld.data)["x"], [1.0, 0.5, 0.7])
    position = ld.initial_position(jax.random.key(0), ld.data, {"x_unobserved": [0.1, 0.2]})
    np.testing.assert_allclose(ld.constrain(position, ld.data)["x"], [1.0, 0.1, 0.2])


def test_predictive_draws_replicate_what_was_observed_and_keep_what_was_imputed():
    model = regression(Y, X)
    idata = px.sample(100, tune=100, chains=2, random_seed=1, model=model, **QUIET)
    new = px.sample_posterior_predictive(idata, model=model, random_seed=1, progressbar=False)["posterior_predictive"]
    assert new["y_observed"].shape == (2, 100, 4)
    np.testing.assert_array_equal(new["y"].values[..., ~KNOWN], idata["posterior"]["y_unobserved"].values)
    np.testing.assert_array_equal(new["y"].values[..., KNOWN], new["y_observed"].values)
    prior = px.sample_prior_predictive(50, model=model, random_seed=1)
    assert prior["prior"]["y_unobserved"].shape == (1, 50, 2)
    assert prior["prior_predictive"]["y_observed"].shape == (1, 50, 4)


def test_new_predictors_leave_no_value_of_the_old_data():
    model = with_data(Y, X)
    idata = px.sample(100, tune=100, chains=2, random_seed=1, model=model, **QUIET)
    new = px.predict(idata, model=model, data={"x": [0.0, 1.0]}, random_seed=1, progressbar=False)["predictions"]
    assert new["y"].shape[-1] == 2


def covariates(values):
    with px.Model(coords={"row": list("abcdef")}) as model:
        mu, b = px.Normal("mu"), px.Normal("b")
        x = px.Normal("x", mu, 1.0, observed=values(), dims="row")
        px.Normal("y", b * x, 0.1, observed=np.where(KNOWN, Y, 1.0), dims="row")
    return model


def test_prediction_at_new_rows_some_of_whose_covariates_are_unknown():
    x = np.where(KNOWN, X, NAN)
    model = covariates(lambda: px.Data("x_data", x, dims="row"))
    idata = px.sample(500, tune=300, chains=2, random_seed=1, model=model, **QUIET)
    options = {"coords": {"row": ["b", "new", "known"]}, "random_seed": 1, "progressbar": False}
    new = px.predict(idata, model=model, data={"x_data": [NAN, NAN, 3.0]}, **options)["predictions"]
    assert new["x"].sizes["row"] == 3
    np.testing.assert_array_equal(new["x"].sel(row="known").values, 3.0)
    mu, b = (idata["posterior"][name].values for name in ("mu", "b"))
    assert_distribution(new["x"].sel(row="new").values - mu, stats.norm.cdf)
    assert_distribution((new["y"].sel(row="known").values - 3 * b) / 0.1, stats.norm.cdf)
    fixed = covariates(lambda: x)
    with pytest.raises(ShapeError, match=r"px\.Data"):
        px.predict(idata, model=fixed, **options)


@pytest.mark.parametrize("values", [[1.0, NAN], np.ma.masked_array([1.0, 2.0], mask=[False, True])])
def test_functions_of_primitives_impute_nothing(values):
    def program():
        px.Normal("y", px.Normal("mu", 0.0, 1.0), 1.0, observed=values)

    with pytest.raises(SupportError, match="'y' holds nan"):
        LogDensity.build(program)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(np.ma.MaskError, match="size"):
        np.ma.masked_array([1.0, 2.0], mask=[True, False, True])
    with pytest.raises(ShapeError, match=r"y: observed has shape \(5,\).*\(6,\)"):
        regression(np.ma.masked_array(X[:5], mask=[True, False, False, False, False]), X)


def test_a_highest_point_has_no_values_drawn_at_random():
    model = regression(Y, X)
    point = px.find_MAP(model=model, progressbar=False)
    assert set(point) == {"a", "b"}
    complete = px.find_MAP(model=regression(Y[KNOWN], X[KNOWN]), progressbar=False)
    np.testing.assert_allclose(point["b"], complete["b"], rtol=1e-6)
    with pytest.raises(ValueError, match="no variable 'y_unobserved'"):
        px.find_MAP(model=model, vars=["y_unobserved"], progressbar=False)


def test_starts_of_what_is_drawn_afterwards_are_taken():
    start = {"a": 0.0, "y_unobserved": np.zeros(2)}
    px.sample(10, tune=10, chains=2, model=regression(Y, X), initvals=start, **QUIET)


def test_a_saved_model_imputes(tmp_path):
    model = vectors(ROWS)
    idata = px.sample(20, tune=20, chains=2, model=model, **QUIET)
    px.save(model, idata, tmp_path / "fit")
    again, _ = px.load(tmp_path / "fit")
    lds = [LogDensity.build(m) for m in (model, again)]
    np.testing.assert_array_equal(*[ld(jnp.ones(3), ld.data) for ld in lds])
    assert again.coords == model.coords
