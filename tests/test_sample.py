"""px.sample from the outside: results, seeds, caches, warnings and wrong uses."""

import logging
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyrox as px
from pyrox import diagnostics, runner
from pyrox.settings import as_key
from tests import models

QUIET = {"progressbar": False, "compute_convergence_checks": False}
SHORT = {"draws": 50, "tune": 50, "chains": 2, "random_seed": 1, **QUIET}
STATISTICS = {
    "lp", "acceptance_rate", "step_size", "tree_depth", "n_steps", "diverging", "energy", "energy_error",
    "max_energy_error", "reached_max_treedepth",
}  # fmt: skip


@pytest.fixture(scope="module")
def schools():
    return models.eight_schools()


@pytest.fixture(scope="module")
def idata(schools):
    return px.sample(200, tune=300, random_seed=1, model=schools, discard_tuned_samples=False, **QUIET)


def draws(idata, name="theta"):
    return idata["posterior"][name].values


def test_groups_names_dims_and_coords(idata):
    posterior = idata["posterior"]
    assert set(posterior.data_vars) == {"mu", "tau", "z", "theta"}
    assert posterior["theta"].dims == ("chain", "draw", "school")
    assert posterior["theta"].shape == (4, 200, 8)
    assert list(posterior["school"].values) == list("ABCDEFGH")
    assert posterior["mu"].dims == ("chain", "draw")
    assert set(idata["sample_stats"].data_vars) == STATISTICS
    assert idata["sample_stats"]["diverging"].dtype == bool
    assert idata["sample_stats"]["n_steps"].dtype.kind == "i"
    np.testing.assert_array_equal(idata["observed_data"]["y"].values, models.EFFECT)
    assert idata["observed_data"]["y"].dims == ("school",)
    np.testing.assert_array_equal(idata["constant_data"]["effect"].values, models.EFFECT)
    assert idata["warmup_posterior"]["theta"].shape == (4, 300, 8)
    assert idata["warmup_sample_stats"]["lp"].shape == (4, 300)


def test_attributes_tell_where_it_comes_from(idata):
    attrs = idata["posterior"].attrs
    assert attrs["inference_library"] == "pyrox"
    assert attrs["tuning_steps"] == 300
    assert attrs["random_seed"] == 1
    assert attrs["sampling_time"] > 0
    assert "interrupted" not in attrs


def test_deterministics_follow_from_the_draws(idata):
    p = idata["posterior"]
    theta = (p["mu"] + p["tau"] * p["z"]).transpose("chain", "draw", "school")
    np.testing.assert_allclose(p["theta"].values, theta.values)


def test_statistics_are_those_of_the_draws(schools, idata):
    density = px.model.LogDensity.build(schools)
    data = density.current_data()
    values = {n: idata["posterior"][n].values[0, 7] for n in ("mu", "tau", "z")}
    expected = density(density.unconstrain(values, data), data)
    np.testing.assert_allclose(idata["sample_stats"]["lp"].values[0, 7], expected, rtol=1e-9)


def test_results_survive_a_file(idata, tmp_path):
    xarray = pytest.importorskip("xarray")
    idata.to_netcdf(str(tmp_path / "fit.nc"))
    back = xarray.open_dataset(tmp_path / "fit.nc", group="posterior")
    np.testing.assert_array_equal(back["theta"].values, draws(idata))


def test_log_likelihood_on_demand(schools, idata):
    found = px.sample(model=schools, idata_kwargs={"log_likelihood": True}, **SHORT)
    p = found["posterior"]
    z = (models.EFFECT - p["theta"].values) / models.ERROR
    expected = -0.5 * z**2 - np.log(models.ERROR) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(found["log_likelihood"]["y"].values, expected, rtol=1e-10)
    assert found["log_likelihood"]["y"].dims == ("chain", "draw", "school")


def test_labels_can_be_given_afterwards():
    found = px.sample(
        model=models.schools_function,
        model_args=(models.EFFECT, models.ERROR),
        idata_kwargs={"coords": {"school": list("ABCDEFGH")}, "dims": {"theta": ["school"]}},
        **SHORT,
    )
    assert list(found["posterior"]["theta"]["school"].values) == list("ABCDEFGH")


def test_only_the_variables_asked_for(schools):
    found = px.sample(model=schools, var_names=["theta", "mu"], **SHORT)["posterior"]
    assert set(found.data_vars) == {"theta", "mu"}


def test_the_seed_alone_decides(schools, monkeypatch):
    first = px.sample(model=schools, cores=1, **SHORT)
    assert not np.array_equal(draws(first), draws(px.sample(model=schools, **SHORT | {"random_seed": 2})))
    again = px.sample(model=schools, cores=2, **SHORT)
    np.testing.assert_array_equal(draws(first), draws(again))
    with_bar = px.sample(model=schools, **SHORT | {"progressbar": True})
    np.testing.assert_array_equal(draws(first), draws(with_bar))
    monkeypatch.setattr(runner, "_GROWTH", 3)
    monkeypatch.setattr(runner, "CHUNK_SECONDS", 1e-3)
    np.testing.assert_array_equal(draws(first), draws(px.sample(model=schools, **SHORT)))
    with_key = px.sample(model=schools, **SHORT | {"random_seed": jax.random.key(1)})
    np.testing.assert_array_equal(draws(first), draws(with_key))


def test_a_longer_run_begins_with_the_shorter_one(schools):
    short = px.sample(model=schools, **SHORT)
    longer = px.sample(model=schools, **SHORT | {"draws": 80})
    np.testing.assert_array_equal(draws(short), draws(longer)[:, :50])


def test_chains_do_not_depend_on_their_number(schools):
    two, three = px.sample(model=schools, **SHORT), px.sample(model=schools, **SHORT | {"chains": 3})
    np.testing.assert_array_equal(draws(two), draws(three)[:2])


class Compilations(logging.Handler):
    """Collect what JAX says it compiles."""

    def __init__(self):
        logging.Handler.__init__(self)
        self.found = []

    def emit(self, record):
        message = record.getMessage()
        if "Finished XLA compilation" in message or message.startswith("Compiling"):
            self.found.append(message)

    def __enter__(self):
        self.logger = logging.getLogger("jax")
        self.level = self.logger.level
        self.logger.addHandler(self)
        self.logger.setLevel(logging.DEBUG)
        jax.config.update("jax_log_compiles", True)
        return self

    def __exit__(self, *exc):
        jax.config.update("jax_log_compiles", False)
        self.logger.setLevel(self.level)
        self.logger.removeHandler(self)


def test_compilations_are_seen():
    with Compilations() as compilations:
        jax.jit(lambda x: x * 3.25)(np.arange(5.0)).block_until_ready()
    assert compilations.found


def test_nothing_is_compiled_twice():
    model = models.eight_schools()
    px.sample(model=model, **SHORT)
    with Compilations() as compilations:
        first = px.sample(model=model, **SHORT)
        px.set_data({"effect": models.EFFECT * 2}, model)
        second = px.sample(model=model, **SHORT | {"random_seed": 3, "draws": 70, "tune": 30, "target_accept": 0.9})
        rebuilt = px.sample(model=models.eight_schools(), **SHORT)
    assert not compilations.found
    np.testing.assert_array_equal(draws(first), draws(rebuilt))
    assert draws(second).mean() > draws(first).mean()
    np.testing.assert_array_equal(second["observed_data"]["y"].values, models.EFFECT * 2)


def test_new_shapes_are_compiled_anew():
    x = np.linspace(-1, 1, 20)
    with px.Model() as model:
        slope = px.Normal("slope", 0, 1)
        data, y = px.Data("x", x), px.Data("y_data", 2 * x)
        px.Normal("y", slope * data, 0.1, observed=y)
    assert abs(px.sample(model=model, **SHORT)["posterior"]["slope"].values.mean() - 2) < 0.2
    longer = np.linspace(-1, 1, 30)
    px.set_data({"x": longer, "y_data": -longer}, model)
    found = px.sample(model=model, **SHORT)
    assert found["observed_data"]["y"].shape == (30,)
    assert abs(found["posterior"]["slope"].values.mean() + 1) < 0.2


def test_a_function_is_a_model_too(schools):
    found = px.sample(model=models.schools_function, model_args=(models.EFFECT, models.ERROR), **SHORT)
    np.testing.assert_allclose(draws(found)[:, :5], draws(px.sample(model=schools, **SHORT))[:, :5], rtol=1e-6)
    assert found["posterior"]["theta"].dims == ("chain", "draw", "theta_dim_0")
    np.testing.assert_array_equal(found["observed_data"]["y"].values, models.EFFECT)


def closure_model(c):
    arr = jnp.array([c, c, c])
    inner = jax.jit(lambda x: x - arr[0])

    def model():
        x = px.Normal("x", 0.0, 100.0)
        px.Normal("y", inner(x), 1.0, observed=jnp.array([0.0]))

    return model


def loop_model(c):
    arr = jnp.array([c, c])
    inner = jax.jit(lambda x: x - arr[1])

    def model():
        x = px.Normal("x", 0.0, 100.0)
        shifted = jax.lax.fori_loop(0, 1, lambda _, v: inner(v), x)
        px.Normal("y", shifted, 1.0, observed=jnp.array([0.0]))

    return model


def callback_model(c):
    def model():
        x = px.Normal("x", 0.0, 100.0)
        shift = jax.pure_callback(lambda: np.float64(c), jax.ShapeDtypeStruct((), np.float64))
        px.Normal("y", x - shift, 1.0, observed=jnp.array([0.0]))

    return model


@pytest.mark.parametrize("fused", [None, False])
@pytest.mark.parametrize("make", [closure_model, loop_model, callback_model])
def test_what_functions_close_over_is_never_stale(make, fused):
    for c in (1.0, 50.0):
        found = px.sample(400, tune=400, chains=2, random_seed=1, model=make(c), fused=fused, **QUIET)
        assert abs(found["posterior"]["x"].values.mean() - c) < 1.0


def test_a_key_inside_a_model_is_no_trouble():
    key = jax.random.key(3)

    def model():
        x = px.Normal("x", jax.random.normal(key), 1.0)
        px.Normal("y", x, 1.0, observed=jnp.array(0.0))

    assert np.isfinite(draws(px.sample(model=model, **SHORT), "x")).all()


@pytest.mark.native
def test_fused_can_be_insisted_on(schools):
    assert px.sample(model=schools, fused=True, **SHORT)["posterior"].attrs["native_kernel"] == 1
    with px.Model() as model:
        px.MvNormal("x", np.zeros(2), cov=np.eye(2))
        px.Potential("sorted", px.math.sort(px.Normal("z", 0.0, 1.0, shape=3)).sum())
    with pytest.raises(px.SamplingError, match="sort"):
        px.sample(model=model, fused=True, **SHORT)


@pytest.mark.native
def test_large_sums_run_natively_too():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2000, 3)), rng.normal(size=2000)

    def model(x, y):
        beta = px.Normal("beta", 0.0, 1.0, shape=3)
        px.Normal("y", (beta * x).sum(-1), 1.0, observed=y)

    found = px.sample(model=model, model_args=(x, y), fused=True, **SHORT)
    assert found["posterior"].attrs["native_kernel"] == 1


def test_booleans_are_kept_as_numbers():
    with px.Model() as model:
        mu = px.Normal("mu", 0.0, 1.0)
        px.Deterministic("positive", mu > 0)
    found = px.sample(model=model, **SHORT)
    assert found["posterior"]["positive"].dtype == np.int8
    np.testing.assert_array_equal(draws(found, "positive"), draws(found, "mu") > 0)


def test_the_ordinary_path_samples_the_same_posterior(schools):
    ordinary = px.sample(model=schools, fused=False, random_seed=1, **QUIET)
    native = px.sample(model=schools, random_seed=2, **QUIET)
    assert ordinary["posterior"].attrs["native_kernel"] == 0
    assert native["posterior"].attrs["native_kernel"] == 1
    # 4 standard errors, at a few hundred effective draws of a standard deviation of about 6.
    np.testing.assert_allclose(draws(ordinary).mean((0, 1)), draws(native).mean((0, 1)), atol=1.2)


def test_starts_are_where_they_are_asked_for(schools):
    values = {"mu": 1.5, "tau": 2.5, "z": np.zeros(8)}
    settings = SHORT | {"tune": 1, "draws": 1, "discard_tuned_samples": False}
    for initvals in (values, [values, values]):
        px.sample(model=schools, initvals=initvals, **settings)
    with pytest.raises(ValueError, match="initvals must be a mapping"):
        px.sample(model=schools, initvals=[values] * 3, **settings)


def test_it_runs_inside_the_with_block():
    with models.eight_schools():
        assert draws(px.sample(**SHORT)).shape == (2, 50, 8)


def test_float32():
    px.set_precision("float32")
    try:
        found = px.sample(model=models.eight_schools(), random_seed=1, **QUIET)
    finally:
        px.set_precision("float64")
    assert draws(found).dtype == np.float32
    assert abs(found["posterior"]["mu"].values.mean() - 4.4) < 0.7


def test_precision_may_change_after_the_model_was_written():
    with px.Model() as model:
        x = px.Data("x", np.arange(4.0))
        group = px.Data("group", [0, 1, 0, 1])
        slope = px.Normal("slope", shape=2)
        px.Normal("y", slope[group] * x, 1.0, observed=2 * np.arange(4.0))
    px.set_precision("float32")
    try:
        found = px.sample(50, tune=50, chains=1, model=model, random_seed=1, quiet=True)
    finally:
        px.set_precision("float64")
    assert draws(found, "slope").dtype == np.float32
    again = px.sample(50, tune=50, chains=1, model=model, random_seed=1, quiet=True)
    assert draws(again, "slope").dtype == np.float64


def findings(**kwargs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        px.sample(progressbar=False, random_seed=1, **kwargs)
    assert all(w.filename == __file__ for w in caught), "warnings point at the user's line"
    return " ".join(str(w.message) for w in caught if issubclass(w.category, px.ConvergenceWarning))


def test_a_good_run_is_silent():
    with px.Model() as model:
        px.Normal("x", 0.0, 1.0, shape=3)
    assert findings(model=model) == ""


def test_divergences_are_reported_in_familiar_words():
    with px.Model() as model:
        v = px.Normal("v", 0.0, 3.0)
        px.Normal("x", 0.0, np.exp(v / 2), shape=9)
    found = findings(model=model, target_accept=0.8)
    assert "divergences after tuning. Increase `target_accept` or reparameterize." in found


def test_without_tuning_that_is_what_is_blamed():
    with px.Model() as model:
        mu, tau = px.Normal("mu", 0.0, 5.0), px.HalfNormal("tau", 5.0)
        px.Normal("y", px.Normal("theta", mu, tau, shape=8), 1e-3, observed=np.arange(8.0))
    found = findings(model=model, tune=0, draws=200)
    assert found.startswith("Nothing was adapted: tune=0 leaves the step size")
    assert "divergences." in found
    assert "target_accept" not in found
    assert "after tuning" not in found
    idata = px.sample(200, tune=0, model=model, random_seed=1, quiet=True)
    assert px.diagnose(idata).findings[0].kind == "untuned"
    good = diagnostics.examine(idata["posterior"].isel(draw=slice(20)), {})
    assert [finding.kind for finding in good] == ["too little"], "nothing else is said of a run that is only short"


def test_short_single_and_stuck_runs_are_reported():
    with px.Model() as model:
        px.Normal("x", 0.0, 1.0)
    assert "number of samples is too small" in findings(model=model, draws=20, tune=20)
    assert "Only one chain" in findings(model=model, draws=200, chains=1)
    with px.Model() as model:
        x = px.Normal("x", 0.0, 10.0)
        px.Potential("two_modes", px.math.logsumexp(px.math.stack([-50 * (x - 8) ** 2, -50 * (x + 8) ** 2])))
    found = findings(model=model, initvals=[{"x": 8.0}, {"x": -8.0}, {"x": 8.0}, {"x": -8.0}])
    assert "rhat statistic is larger than 1.01" in found
    assert "(worst: x," in found


def test_a_low_tree_depth_is_reported():
    with px.Model() as model:
        px.MvNormal("x", np.zeros(2), cov=np.array([[1.0, 0.999], [0.999, 1.0]]))
    assert "reached the maximum tree depth of 2" in findings(model=model, max_treedepth=2, draws=200, tune=200)


def impossible():
    with px.Model() as model:
        a = px.Normal("a", 0.0, 1.0)
        px.Potential("wall", px.math.where(a > 100, 0.0, -np.inf))
    return model


WRONG = {
    "negative draws": (lambda m: px.sample(-1, model=m), ValueError, "draws must be a whole number.*not -1"),
    "draws as float": (lambda m: px.sample(10.5, model=m), ValueError, "draws must be a whole number"),
    "no chains": (lambda m: px.sample(chains=0, model=m), ValueError, "chains must be a whole number of at least 1"),
    "negative tune": (lambda m: px.sample(tune=-5, model=m), ValueError, "tune must be a whole number of at least 0"),
    "acceptance of one": (lambda m: px.sample(target_accept=1.0, model=m), ValueError, "target_accept must lie"),
    "huge trees": (lambda m: px.sample(max_treedepth=40, model=m), ValueError, "max_treedepth is at most 20.*40"),
    "seed as text": (lambda m: px.sample(random_seed="1", model=m), TypeError, "random_seed must be a whole number"),
    "seed as bool": (lambda m: px.sample(random_seed=True, model=m), TypeError, "random_seed"),
    "seed as float": (lambda m: px.sample(random_seed=1.5, model=m), TypeError, "not 1.5"),
    "huge seed": (lambda m: px.sample(random_seed=2**80, model=m), ValueError, "64 bits"),
    "no model": (lambda m: px.sample(), px.ModelError, "with px.Model()"),
    "model of another kind": (lambda m: px.sample(model=3), px.ModelError, "Model or a function"),
    "unknown variable": (lambda m: px.sample(model=m, var_names=["muu"]), px.ModelError, "no variable 'muu'.*mu, tau"),
    "unknown initval": (lambda m: px.sample(model=m, initvals={"nu": 1.0}, **QUIET), px.ModelError, "'nu'"),
    "initval outside": (lambda m: px.sample(model=m, initvals={"tau": -1.0}, **QUIET), px.SupportError, "'tau'"),
    "unknown option": (lambda m: px.sample(model=m, idata_kwargs={"colour": 1}), TypeError, "colour"),
    "arguments of a graph": (
        lambda m: px.sample(model=m, model_args=(1.0,)), px.ModelError, "model_args and model_kwargs are for functions"
    ),
    "empty model": (lambda m: px.sample(model=px.Model()), px.ModelError, "no free variables"),
    "impossible start": (
        lambda m: px.sample(model=impossible(), **QUIET), px.InitializationError, "(?s)100 tries.*wall.*<--"
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_told(schools, case):
    code, error, words = WRONG[case]
    with pytest.raises(error, match=words):
        code(schools)


def test_a_discrete_free_variable_is_named():
    with px.Model() as model:
        px.Poisson("count", 3.0)
    with pytest.raises(px.ModelError, match="'count' is discrete"):
        px.sample(model=model)


@pytest.mark.parametrize("seed", [0, 7, -1, np.int64(3), 2**40])
def test_seeds(seed):
    assert as_key(seed) == as_key(int(seed))
    assert as_key(None) != as_key(None)


@pytest.mark.parametrize("init", ["pathfinder", "advi"])
def test_chains_start_from_an_approximation(init):
    with px.Model() as model:
        x = px.Normal("x", 1000.0, 1.0, shape=3)
        px.Normal("y", x, 1.0, observed=np.full(3, 1001.0))
    options = {"tune": 20, "random_seed": 1, "model": model, "discard_tuned_samples": False, **QUIET}
    found = px.sample(5, init=init, **options)
    first = found["warmup_posterior"]["x"].values[:, 0]
    assert np.abs(first - 1000.5).max() < 10, "not at random, a thousand away"
    assert len(np.unique(first[:, 0])) == 4, "each chain starts elsewhere"
    again = px.sample(5, init=init, **options)
    np.testing.assert_array_equal(again["posterior"]["x"].values, found["posterior"]["x"].values)


def test_a_start_that_is_not_known_is_refused():
    with px.Model() as model:
        px.Normal("x", 0.0, 1.0)
    with pytest.raises(ValueError, match=r"init is one of 'auto'.*not 'map'"):
        px.sample(init="map", model=model)
    with pytest.raises(ValueError, match="one mapping of names to values"):
        px.sample(init="advi", initvals=[{"x": 0.0}] * 4, model=model)


def test_the_report_is_kept_with_the_results():
    with px.Model() as model:
        px.Normal("x", 0.0, 1.0)
    with pytest.warns(px.ConvergenceWarning, match="too small"):
        found = px.sample(20, tune=20, random_seed=1, model=model, progressbar=False)
    report = px.Report.from_json(found["posterior"].attrs["findings"])
    assert [finding.kind for finding in report] == ["too little"]
