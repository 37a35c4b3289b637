"""Log-likelihoods, log-priors, deterministic values at given draws; px.draw, px.logp and their kin: against SciPy."""

import numpy as np
import pytest
from scipy import stats

import pyrox as px
from pyrox import dist, primitives, results
from pyrox.errors import ModelError, ShapeError
from tests.checks import assert_distribution
from tests.fits import draw_hierarchy, hierarchy, known_draws

SILENT = {"progressbar": False}


def draws_of_counts():
    rng = np.random.default_rng(0)
    return {"rate": rng.gamma(2.0, size=(2, 30, 3)), "weights": rng.dirichlet([1.0, 2.0], (2, 30))}


@pytest.fixture
def model():
    with px.Model(coords={"site": ["u", "v", "w"], "kind": ["k", "l"], "row": range(4)}) as model:
        rate = px.Gamma("rate", 2.0, 1.0, dims="site")
        weights = px.Dirichlet("weights", [1.0, 2.0], dims="kind")
        px.Deterministic("twice", 2 * rate, dims="site")
        px.Poisson("n", rate, observed=[3, 0, 1], dims="site")
        px.MvNormal("pair", weights, cov=np.eye(2), observed=np.ones((4, 2)), dims=("row", "kind"))
    return model


def test_log_likelihood(model):
    values = draws_of_counts()
    idata = known_draws(model, values)
    assert px.compute_log_likelihood(idata, model=model, **SILENT) is idata
    found = idata["log_likelihood"]
    assert found["n"].dims == ("chain", "draw", "site")
    assert found["pair"].dims == ("chain", "draw", "row")
    np.testing.assert_allclose(found["n"].values, stats.poisson.logpmf([3, 0, 1], values["rate"]), rtol=1e-10)
    truth = stats.norm.logpdf(1.0, values["weights"]).sum(axis=-1)
    np.testing.assert_allclose(found["pair"].values, np.repeat(truth[..., None], 4, axis=-1), rtol=1e-10)
    part = px.compute_log_likelihood(idata, var_names=["n"], extend_inferencedata=False, model=model, **SILENT)
    assert set(part.data_vars) == {"n"}


def test_log_prior(model):
    values = draws_of_counts()
    idata = px.compute_log_prior(known_draws(model, values), model=model, **SILENT)
    found = idata["log_prior"]
    assert found["rate"].dims == ("chain", "draw", "site")
    assert found["weights"].dims == ("chain", "draw")
    np.testing.assert_allclose(found["rate"].values, stats.gamma.logpdf(values["rate"], 2.0), rtol=1e-10)
    flat = values["weights"].reshape(-1, 2)
    truth = np.array([stats.dirichlet.logpdf(w / w.sum(), [1.0, 2.0]) for w in flat]).reshape(2, 30)
    np.testing.assert_allclose(found["weights"].values, truth, rtol=1e-8)


def test_deterministics(model):
    values = draws_of_counts()
    posterior = results.groups_of(known_draws(model, values))["posterior"]
    found = px.compute_deterministics(posterior, model=model, **SILENT)
    assert set(found.data_vars) == {"twice"}
    assert found["twice"].dims == ("chain", "draw", "site")
    np.testing.assert_allclose(found["twice"].values, 2 * values["rate"])
    merged = px.compute_deterministics(found.merge(posterior), model=model, merge_dataset=True, **SILENT)
    assert set(merged.data_vars) == {"rate", "weights", "twice"}
    thinned = px.compute_deterministics(posterior.isel(draw=slice(None, None, 7)), model=model, **SILENT)
    np.testing.assert_array_equal(thinned["draw"].values, posterior["draw"].values[::7])
    stacked = posterior.stack(sample=["chain", "draw"])
    assert px.compute_deterministics(stacked, model=model, **SILENT)["twice"].dims == ("sample", "site")


@pytest.mark.parametrize("centred", [True, False])
def test_sampling_keeps_the_same_terms(centred):
    model, wanted = hierarchy(centred=centred), {"log_likelihood": True, "log_prior": True}
    idata = px.sample(20, tune=100, chains=2, quiet=True, model=model, idata_kwargs=wanted, random_seed=1)
    for group, call in (("log_likelihood", px.compute_log_likelihood), ("log_prior", px.compute_log_prior)):
        kept = results.groups_of(idata)[group]
        again = call(idata, model=model, extend_inferencedata=False, **SILENT)
        assert set(again.data_vars) == set(kept.data_vars) != set()
        for name in kept.data_vars:
            np.testing.assert_allclose(again[name].values, kept[name].values, rtol=1e-9)
            assert again[name].dims == kept[name].dims
    more = px.continue_sampling(idata, 5, quiet=True, model=model)
    assert results.groups_of(more)["log_prior"].sizes["draw"] == 25


def test_discrete_variables_are_summed_out_of_the_likelihood():
    y = np.array([0.1, 5.2, 4.9])
    with px.Model() as model:
        p = px.Beta("p", 1.0, 1.0)
        z = px.Bernoulli("z", p, shape=3)
        px.Normal("y", 5.0 * z, 1.0, observed=y)
    p = np.linspace(0.1, 0.9, 7)[None]
    found = px.compute_log_likelihood({"p": p}, model=model, extend_inferencedata=False, **SILENT)
    truth = np.log((1 - p[..., None]) * stats.norm.pdf(y) + p[..., None] * stats.norm.pdf(y, 5.0))
    np.testing.assert_allclose(found["y"].values, truth, rtol=1e-10)


def test_terms_of_functions():
    def program(y):
        mu = primitives.sample("mu", dist.Normal(0.0, 1.0))
        primitives.deterministic("twice", 2 * mu)
        primitives.sample("y", dist.Normal(mu, 1.0), obs=y)

    y, mu = np.array([0.0, 1.0, 2.0]), np.linspace(-1, 1, 10)[None]
    options = {"model": program, "model_args": (y,), "progressbar": False}
    found = px.compute_log_likelihood({"mu": mu}, extend_inferencedata=False, **options)
    np.testing.assert_allclose(found["y"].values, stats.norm.logpdf(y, mu[..., None]), rtol=1e-10)
    found = px.compute_log_prior({"mu": mu}, extend_inferencedata=False, **options)
    np.testing.assert_allclose(found["mu"].values, stats.norm.logpdf(mu), rtol=1e-10)
    assert np.array_equal(px.compute_deterministics({"mu": mu}, **options)["twice"].values, 2 * mu)


def test_variables_observed_in_part():
    with px.Model() as model:
        px.Normal("y", px.Normal("mu"), 1.0, observed=[0.0, np.nan, 2.0])
    values = {"mu": np.zeros((1, 4)), "y_unobserved": np.full((1, 4, 1), 5.0)}
    found = px.compute_log_likelihood(values, model=model, extend_inferencedata=False, **SILENT)
    np.testing.assert_allclose(found["y_observed"].values[0, 0], stats.norm.logpdf([0.0, 2.0]), rtol=1e-10)
    whole = px.compute_deterministics(values, model=model, **SILENT)["y"].values
    assert whole[0, 0].tolist() == [0.0, 5.0, 2.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: px.compute_log_likelihood({"rate": np.ones((1, 2, 3))}, model=m), "extend_inferencedata=False"),
        (
            lambda m: px.compute_log_likelihood({"rate": np.ones((1, 2, 3))}, model=m, extend_inferencedata=False),
            "lack weights, which n, pair needs",
        ),
        (lambda m: px.compute_log_likelihood({}, model=m, var_names=["rate"]), "no variable 'rate'; it has n, pair"),
        (lambda m: px.compute_log_prior({}, model=m, var_names=["n"]), "no variable 'n'; it has rate, weights"),
        (lambda m: px.compute_deterministics({}, model=m, var_names="n"), "no variable 'n'; it has twice"),
    ],
)
def test_bad_input(call, message, model):
    with pytest.raises(ModelError, match=message):
        call(model)


def test_shapes_and_arguments_are_checked(model):
    with pytest.raises(ShapeError, match="'rate'"):
        px.compute_deterministics({"rate": np.ones((1, 2, 4))}, model=model, **SILENT)
    with pytest.raises(TypeError, match="compute_log_likelihood does not take"):
        px.compute_log_likelihood({}, model=model, foo=1)
    with px.Model() as empty:
        px.Normal("x")
    with pytest.raises(ModelError, match="no observed variable"):
        px.compute_log_likelihood({}, model=empty)
    other = hierarchy()
    idata = known_draws(other, draw_hierarchy(5))
    with px.Model(coords={"group": other.coords["group"]}) as similar:
        mu, tau = px.Normal("mu"), px.HalfNormal("tau", 1.0)
        px.Normal("y", mu, tau, observed=[1.0])
    with pytest.warns(UserWarning, match="another model"):
        px.compute_log_likelihood(idata, model=similar, extend_inferencedata=False, **SILENT)


# px.draw


def test_draw():
    with px.Model():
        x = px.Data("x", [1.0, 2.0])
        mu = px.Normal("mu", 3.0, 1.0)
        y = px.Normal("y", mu * x, 0.5, observed=[0.0, 0.0])
        total = y.sum()
    drawn_mu, drawn_y, drawn_total = px.draw([mu, y, total], 2000, random_seed=1)
    assert drawn_y.shape == (2000, 2)
    np.testing.assert_allclose(drawn_total, drawn_y.sum(axis=1))  # drawn jointly
    assert_distribution(drawn_mu - 3.0, stats.norm.cdf)
    assert_distribution((drawn_y - drawn_mu[:, None] * [1.0, 2.0]) / 0.5, stats.norm.cdf)
    assert px.draw(y).shape == (2,)
    np.testing.assert_array_equal(px.draw(mu, 5, random_seed=2), px.draw(mu, 5, random_seed=2))


def test_draw_distributions():
    assert_distribution(px.draw(px.Exponential.dist(2.0), 3000, random_seed=1), stats.expon(scale=0.5).cdf)
    assert px.draw(px.Normal.dist(0.0, 1.0, shape=(2, 3)), 4).shape == (4, 2, 3)
    assert px.draw(dist.Dirichlet(np.ones(3))).shape == (3,)
    with pytest.raises(ModelError, match=r"px.draw takes variables"):
        px.draw(3.0)
    with pytest.raises(ValueError, match="draws"):
        px.draw(px.Normal.dist(0.0, 1.0), 0)


# px.logp, px.logcdf, px.icdf


def test_densities_as_expressions():
    values = np.array([-1.0, 0.5, 3.0])
    normal = px.Normal.dist(1.0, 2.0)
    np.testing.assert_allclose(px.logp(normal, values).eval(), stats.norm.logpdf(values, 1.0, 2.0), rtol=1e-12)
    np.testing.assert_allclose(px.logcdf(normal, values).eval(), stats.norm.logcdf(values, 1.0, 2.0), rtol=1e-12)
    np.testing.assert_allclose(px.icdf(normal, [0.1, 0.9]).eval(), stats.norm.ppf([0.1, 0.9], 1.0, 2.0), rtol=1e-12)
    assert float(px.logp(px.Exponential.dist(1.0), -1.0).eval()) == -np.inf
    np.testing.assert_allclose(px.logp(dist.Poisson(2.0), 3), stats.poisson.logpmf(3, 2.0), rtol=1e-12)


def test_densities_inside_a_model():
    with px.Model() as model:
        mu = px.Normal("mu", 0.0, 1.0)
        px.Potential("seen", px.logp(px.Normal.dist(mu, 2.0), np.array([1.0, 3.0])).sum())
        px.Deterministic("own", px.logp(mu, mu))
        px.Deterministic("tail", px.logcdf(mu, 0.3))
    target = px.model.LogDensity.build(model)
    position = np.array([0.7])
    expected = stats.norm.logpdf(0.7) + stats.norm.logpdf([1.0, 3.0], 0.7, 2.0).sum()
    np.testing.assert_allclose(target(position, target.data), expected, rtol=1e-12)
    found = px.compute_deterministics({"mu": np.full((1, 1), 0.7)}, model=model, **SILENT)
    np.testing.assert_allclose(found["own"].values, stats.norm.logpdf(0.7), rtol=1e-12)
    np.testing.assert_allclose(found["tail"].values, stats.norm.logcdf(0.3), rtol=1e-12)


def test_densities_of_what_has_none():
    with px.Model():
        x = px.Normal("x")
        with pytest.raises(ModelError, match=r"px.logp takes a random variable.*expression"):
            px.logp(x + 1.0, 0.0)
    with pytest.raises(NotImplementedError, match="cdf"):
        px.logcdf(px.MvNormal.dist(np.zeros(2), cov=np.eye(2)), np.zeros(2))
