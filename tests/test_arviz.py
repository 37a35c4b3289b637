"""What pyrox returns works with ArviZ as it is: model comparison, summaries, plots, joining, files; on 0.x and 1.x."""

import importlib

import matplotlib as mpl
import numpy as np
import pytest

import pyrox as px
from pyrox import results

mpl.use("Agg")

# Names of the same plots in both generations of ArviZ; None where one has it not.
PLOTS = [
    ("plot_ppc", "plot_ppc_dist", {}),
    ("plot_forest", "plot_forest", {"var_names": ["theta", "mu"]}),
    ("plot_trace", "plot_trace", {"var_names": ["mu"]}),
    (None, "plot_trace_dist", {"var_names": ["mu", "theta"]}),
    ("plot_posterior", "plot_dist", {"var_names": ["mu", "tau"]}),
    ("plot_energy", "plot_energy", {}),
    ("plot_pair", "plot_pair", {"var_names": ["mu", "tau"]}),
    ("plot_rank", "plot_rank", {"var_names": ["mu"]}),
    ("plot_ess", "plot_ess", {"var_names": ["mu"]}),
    ("plot_autocorr", "plot_autocorr", {"var_names": ["mu"]}),
    ("plot_parallel", "plot_parallel", {"var_names": ["mu", "tau"]}),
    ("plot_bpv", "plot_ppc_tstat", {}),
    (None, "plot_ppc_pit", {}),
    (None, "plot_loo_pit", {}),
    (None, "plot_ppc_interval", {}),
    (None, "plot_prior_posterior", {"var_names": ["mu"]}),
    (None, "plot_psense_dist", {"var_names": ["mu"]}),
]
OLD = results.has_inference_data()
# What ArviZ itself does that is about to change is none of our business.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The figure layout has changed"),
]


@pytest.fixture(scope="module")
def az():
    results.load_arviz()
    return importlib.import_module("arviz")


def build(*, pooled=False):
    rng = np.random.default_rng(0)
    county = np.repeat(np.arange(5), 12)
    y = rng.normal(np.array([-2.0, -1.0, 0.0, 1.0, 2.0])[county], 0.7)
    with px.Model(coords={"county": list("abcde"), "home": np.arange(60)}) as model:
        index = px.Data("index", county, dims="home")
        mu = px.Normal("mu", 0.0, 2.0)
        if pooled:
            mean = mu + 0.0 * index
        else:
            tau = px.HalfNormal("tau", 2.0)
            theta = px.Normal("theta", mu, tau, dims="county")
            mean = px.Deterministic("mean", theta[index], dims="home")
        px.Normal("y", mean, px.HalfNormal("sigma", 1.0), observed=y, dims="home")
    return model


@pytest.fixture(scope="module")
def fits():
    out = {}
    for name, pooled in (("groups", False), ("pooled", True)):
        with build(pooled=pooled) as model:
            idata = px.sample(500, tune=500, chains=4, random_seed=1, quiet=True, idata_kwargs={"log_prior": True})
            px.compute_log_likelihood(idata, progressbar=False)
            px.sample_posterior_predictive(idata, extend_inferencedata=True, random_seed=1, progressbar=False)
            prior = px.sample_prior_predictive(300, random_seed=1)
        join(idata, prior)
        out[name] = model, idata
    return out


def join(idata, other):
    """Put results together as users of each generation do."""
    idata.extend(other) if OLD else idata.update(other)


def test_groups(fits):
    _, idata = fits["groups"]
    groups = results.groups_of(idata)
    assert {
        "posterior", "sample_stats", "log_likelihood", "log_prior", "posterior_predictive", "prior", "prior_predictive",
        "observed_data", "constant_data",
    } <= set(groups)  # fmt: skip
    for group in ("posterior_predictive", "prior_predictive", "log_likelihood"):
        assert groups[group]["y"].dims == ("chain", "draw", "home")
        assert groups[group]["home"].values.tolist() == list(range(60))
    assert groups["prior"]["theta"].dims == ("chain", "draw", "county")
    assert groups["prior"]["county"].values.tolist() == list("abcde")


def test_loo_and_compare(az, fits):
    groups, pooled = (fits[name][1] for name in ("groups", "pooled"))
    elpd = az.loo(groups)
    y = results.groups_of(groups)["log_likelihood"]["y"]
    # Near the log of the mean likelihood: what is left out of it is worth about one parameter an element.
    lpd = np.log(np.exp(y.values).mean(axis=(0, 1))).sum()
    value = float(elpd.elpd_loo if OLD else elpd.elpd)
    assert lpd - 12.0 < value < lpd
    table = az.compare({"groups": groups, "pooled": pooled})
    assert list(table.index) == ["groups", "pooled"]


def test_summary(az, fits):
    table = az.summary(fits["groups"][1], var_names=["mu", "theta"])
    assert list(table.index) == ["mu", "theta[a]", "theta[b]", "theta[c]", "theta[d]", "theta[e]"]
    assert np.all(table["r_hat"].astype(float) < 1.1)


@pytest.mark.parametrize("names", PLOTS, ids=lambda x: x if isinstance(x, str) else None)
def test_plots(az, fits, names):
    name, options = names[0 if OLD else 1], names[2]
    if name is None:
        pytest.skip("this generation of ArviZ has no such plot")
    plt = importlib.import_module("matplotlib.pyplot")
    try:
        getattr(az, name)(fits["groups"][1], **options)
        figure = plt.gcf()
        figure.canvas.draw()
        assert any(len(ax.get_children()) > 10 for ax in figure.axes)
    finally:
        plt.close("all")


def test_prior_predictive_plot(az, fits):
    plt = importlib.import_module("matplotlib.pyplot")
    idata = fits["groups"][1]
    if OLD:
        az.plot_ppc(idata, group="prior", num_pp_samples=20)
    else:
        az.plot_ppc_dist(idata, group="prior_predictive", num_samples=20)
    plt.gcf().canvas.draw()
    plt.close("all")


def test_predictions_join_what_is_there(az, fits):
    model, idata = fits["groups"]
    new = px.predict(
        idata, {"index": [0, 5]}, {"county": [*"abcde", "f"], "home": [100, 101]}, model, random_seed=1,
        progressbar=False,
    )  # fmt: skip
    copied = idata.copy()
    join(copied, new)
    assert copied["predictions"]["y"].sizes["home"] == 2
    assert copied["predictions"]["theta"]["county"].values.tolist() == [*"abcde", "f"]
    assert copied["posterior"]["theta"].sizes["county"] == 5
    assert len(az.summary(copied["predictions"].to_dataset() if not OLD else copied["predictions"])) > 0


def test_extract_and_thin(az, fits):
    model, idata = fits["groups"]
    stacked = az.extract(idata, num_samples=40)
    drawn = px.sample_posterior_predictive(stacked, model, random_seed=1, progressbar=False)["posterior_predictive"]
    assert drawn["y"].sizes == {"sample": 40, "home": 60}
    whole = results.groups_of(idata)["posterior_predictive"]["y"]  # drawn with the same seed
    chain, draw = int(stacked["chain"][7]), int(stacked["draw"][7])
    np.testing.assert_array_equal(drawn["y"].values[7], whole.sel(chain=chain, draw=draw).values)
    thinned = idata["posterior"].isel(draw=slice(None, None, 10))
    again = px.sample_posterior_predictive(thinned, model, random_seed=1, progressbar=False)["posterior_predictive"]
    np.testing.assert_array_equal(again["y"].values, whole.values[:, ::10])


def test_files_keep_the_hash(az, fits, tmp_path):
    model, idata = fits["groups"]
    idata.to_netcdf(tmp_path / "fit.nc")
    again = az.from_netcdf(tmp_path / "fit.nc")
    options = {"coords": {"county": ["f"], "home": [0]}, "data": {"index": [0]}, "model": model}
    options |= {"progressbar": False, "random_seed": 2}
    one, other = px.predict(again, **options), px.predict(idata, **options)
    np.testing.assert_array_equal(one["predictions"]["y"].values, other["predictions"]["y"].values)
    with pytest.raises(px.ModelError, match="another model"):
        px.predict(again, model=build(pooled=True))


def test_prior_sensitivity(az, fits):
    if OLD:
        pytest.skip("this generation of ArviZ has no such analysis")
    table = az.psense_summary(fits["groups"][1], var_names=["mu", "tau"])
    assert list(table.index) == ["mu", "tau"]
