"""Simulation-based calibration: ten kinds of models are calibrated, planted bugs are not."""

import os
import signal
from collections import OrderedDict
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyrox as px
from pyrox import dist, simulation
from pyrox.dist import transforms
from pyrox.errors import ModelError, SamplingError
from pyrox.forecast import Runnable
from pyrox.runner import Interrupts
from pyrox.samplers import executables
from pyrox.samplers.metrics import DenseMetric
from pyrox.settings import Settings
from pyrox.simulation import Fits, Outcome, rank_among, simulate
from pyrox.target import target_of
from tests.checks import LEVEL
from tests.sbc_models import DAYS, MODELS, ZEROS, hierarchy, program

# All models together: their quantities are as many comparisons of the suite.
FAMILY = 100 * LEVEL
QUICK = {"simulations": 80, "draws": 39, "tune": 300, "random_seed": 4, "progressbar": False}


def normal(**options):
    with px.Model(**options) as model:
        mu, sigma = px.Normal("mu"), px.HalfNormal("sigma")
        px.Normal("y", mu, sigma, observed=ZEROS)
    return model


def sbc(model, **options):
    return px.sbc(model, **{**QUICK, **options})


@cache
def checked_model(name):
    return sbc(MODELS[name](), level=FAMILY / (len(MODELS) + 1))


# Ten kinds of models


@pytest.mark.parametrize("name", MODELS)
def test_models_are_calibrated(name):
    found = checked_model(name)
    assert found.calibrated, str(found)
    assert found.count == QUICK["simulations"]
    # Chains without so many effective draws would make a weak test.
    assert np.mean(found.fits["ess"] >= 39) > 0.95


def test_a_function_is_calibrated():
    found = sbc(program, model_args=(DAYS, ZEROS[:10]), level=FAMILY / (len(MODELS) + 1))
    assert found.calibrated, str(found)
    assert list(found.ranks.data_vars) == ["direction", "size", "lp"]


# Planted bugs


def test_a_bug_in_the_density_is_seen(monkeypatch):
    right = dist.Weibull._log_prob
    monkeypatch.setattr(dist.Weibull, "_log_prob", lambda self, value: right(self, value) - jnp.log(self.scale))
    found = sbc(MODELS["survival"](), level=FAMILY)
    assert not found.calibrated
    assert found.odd[0].name == "beta"
    assert "its draws are too low" in found.verdict


def test_a_bug_in_the_sampler_is_seen(monkeypatch):
    # Executables are known by the density: those with the bug must not stay, nor those without it be found.
    monkeypatch.setattr(executables, "_executables", OrderedDict())
    monkeypatch.setattr(DenseMetric, "momentum", lambda self, noise: noise * jnp.sqrt(jnp.diag(self.inverse_mass)))
    found = sbc(hierarchy(), level=FAMILY)
    assert not found.calibrated


def test_a_bug_in_a_transform_is_seen(monkeypatch):
    right = transforms.ExpTransform.forward_and_log_det
    monkeypatch.setattr(
        transforms.ExpTransform, "forward_and_log_det", lambda self, x: (right(self, x)[0], -right(self, x)[1])
    )
    found = sbc(hierarchy(), level=FAMILY)
    assert not found.calibrated


def test_the_joint_density_sees_a_posterior_that_forgets_the_data(monkeypatch):
    """Draws from the prior have uniform ranks, whatever the data."""
    right = Fits._data_of
    monkeypatch.setattr(Fits, "_data_of", lambda self, i: right(self, (np.asarray(i) + 1) % 80))
    found = sbc(normal(), level=FAMILY)
    assert [q.name for q in found.odd][:1] == ["lp"]


# Results


@pytest.fixture
def checked():
    return checked_model("hierarchy")


def test_results_are_labelled(checked):
    assert checked.ranks["theta"].dims == ("simulation", "group")
    assert checked.ranks["theta"].shape == checked.truths["theta"].shape == (80, 4)
    assert list(checked.ranks["group"].values) == list("abcd")
    assert checked.data["y"].shape == (80, 12)
    assert set(checked.fits.data_vars) == {"ess", "rhat", "draws", "divergences"}
    assert int(checked.ranks.to_array().min()) >= 0
    assert int(checked.ranks.to_array().max()) <= 39
    assert checked.tests["theta"].dims == ("group",)
    assert checked.ranks.attrs["random_seed"] == 4
    assert {q.name for q in checked.quantities} >= {"mu", "tau", "theta[a]", "lp"}


def test_they_depend_on_the_seed_alone(checked):
    again = sbc(hierarchy(), simulations=70, cores=1)
    for name, ranks in again.ranks.data_vars.items():
        np.testing.assert_array_equal(ranks, checked.ranks[name][:70])
    other = sbc(hierarchy(), simulations=70, random_seed=5)
    assert not np.array_equal(other.ranks["mu"], again.ranks["mu"])


def test_truths_are_those_of_the_data(checked):
    truths, data = checked.truths, checked.data["y"].values
    residuals = data - truths["theta"].values[:, np.arange(12) % 4]
    assert 0.6 < residuals.std() < 0.8


def test_the_picture_and_the_page(checked):
    import matplotlib.pyplot as plt

    axes = checked.plot(["mu", "theta"], max_panels=3)
    assert len(axes) == 3
    assert axes[0].get_title().split("\n")[0] in {"mu", *(f"theta[{g}]" for g in "abcd")}
    plt.close(axes[0].figure)
    page = checked._repr_html_()
    assert "No sign of miscalibration" in page
    assert "theta[a]" in page
    with pytest.raises(ModelError, match="'nothing'"):
        checked.plot("nothing")


def test_the_caller_s_data_stay():
    with px.Model() as model:
        y = px.Data("y_data", [5.0, 6.0])
        mu = px.Normal("mu")
        px.Normal("y", mu, 1.0, observed=y)
        found = px.sbc(simulations=10, draws=10, random_seed=1, progressbar=False)
    assert y.eval().tolist() == [5.0, 6.0]
    assert abs(found.data["y"].mean()) < 3
    assert model["y"].observed is y


def test_a_variable_called_lp_keeps_its_name():
    with px.Model() as model:
        lp = px.Normal("lp")
        px.Normal("y", lp, 1.0, observed=[0.0])
    assert list(sbc(model, simulations=5).ranks.data_vars) == ["lp", "lp__"]


def test_what_is_always_the_truth_is_not_tested():
    with px.Model() as model:
        px.Normal("y", px.Normal("mu"), 1.0, observed=[0.0, np.nan, 1.0])
    found = sbc(model)
    np.testing.assert_array_equal(np.isnan(found.tests["y"]), [True, False, True])
    assert {q.name for q in found.quantities} == {"mu", "y[1]", "y_unobserved[1]", "lp"}


def test_some_variables_are_enough():
    found = sbc(normal(), var_names="mu")
    assert list(found.ranks.data_vars) == ["mu", "lp"]


def test_ranks_count_and_break_ties():
    rng = np.random.default_rng(0)
    draws = np.array([[1.0, 2.0, 1.0], [3.0, 2.0, 1.0 + 1e-16], [5.0, 2.0, -1.0]])
    found = [rank_among(np.array([4.0, 2.0, 1.0]), draws, 1.0, rng) for _ in range(200)]
    ranks = np.array([rank for rank, _ in found])
    assert set(ranks[:, 0]) == {2}
    assert set(ranks[:, 1]) == {0, 1, 2, 3}
    assert set(ranks[:, 2]) == {1, 2, 3}
    assert found[0][1].tolist() == [False, True, False]
    # What cancels to nearly nothing is known to the digits of what has cancelled.
    assert rank_among(np.array(1e-20), np.full(9, 3e-20), 1.0, rng)[1]
    assert not rank_among(np.array(1e-20), np.full(9, 3e-20), 1e-19, rng)[1]


def fits_of(model, *, count, lanes, interrupts=None):
    target, key = target_of(model), jax.random.key(3)
    interrupts = interrupts or Interrupts()
    made = simulate(Runnable(model), count, key, show=False, interrupts=interrupts)
    settings = Settings(draws=20, tune=100, chains=1, cores=2)
    names = list(target.density.free)
    fits = Fits(target.density, target.data, made, names, settings, key, interrupts=interrupts, lanes=lanes)
    fits.run(show=False)
    return fits


# What goes wrong


def half_impossible():
    """A density that half of the data rule out."""

    def logp(value, mu):
        return jnp.where(value > 0, -jnp.inf, -0.5 * (value - mu) ** 2)

    def random(key, mu, shape):
        return mu + jax.random.normal(key, shape)

    with px.Model() as model:
        px.CustomDist("y", px.Normal("mu"), logp=logp, random=random, observed=0.0)
    return model


def test_data_without_a_start_are_left_out_and_those_side_by_side_are_each_its_own(monkeypatch):
    monkeypatch.setattr(simulation, "_MAX_STARTS", 2)
    # On threads, and side by side as on accelerators.
    alone, together = (fits_of(half_impossible(), count=12, lanes=lanes) for lanes in (None, 4))
    impossible = alone._simulations.data["y"] > 0
    assert 0 < impossible.sum() < 12
    for fits in (alone, together):
        np.testing.assert_array_equal(fits.outcomes == Outcome.FITTED, ~impossible)
        np.testing.assert_array_equal(fits.outcomes == Outcome.NO_START, impossible)
    # Chaos tells the two programs apart, but each truth lies where it lies.
    apart = np.abs(alone.ranks["mu"] - together.ranks["mu"])[~impossible]
    assert np.mean(apart) < 4


def test_truths_beyond_a_transform_are_left_out_and_told():
    ordered = dist.transforms.OrderedTransform()
    with px.Model() as model:
        cuts = px.Normal("cuts", 0.0, 1.0, shape=2, transform=ordered)
        px.Normal("y", cuts, 1.0, observed=np.zeros(2))
    found = sbc(model, simulations=20)
    ascending = int(np.sum(np.diff(found.truths["cuts"].values) > 0))
    assert ascending == found.count < 20
    assert any("truths of cuts have no log-density" in text for text in found.warnings())


def test_if_nothing_can_be_fitted_it_says_so():
    with px.Model() as model:
        x = px.Normal("x", -5.0, 0.1, transform=dist.transforms.ExpTransform())
        px.Normal("y", x, 1.0, observed=0.0)
    with pytest.raises(SamplingError, match=r"none of 5 data sets .* 5 truths have no log-density \(x\)"):
        sbc(model, simulations=5)


def nothing_observed():
    with px.Model() as model:
        px.Normal("x")
    return model


def potential():
    with px.Model() as model:
        x = px.Normal("x")
        px.Normal("y", x, 1.0, observed=0.0)
        px.Potential("penalty", -(x**2))
    return model


def subsample():
    with px.Model() as model:
        x = px.Normal("x")
        px.Normal("y", x, 1.0, observed=[0.0, 1.0], total_size=100)
    return model


def flat():
    with px.Model() as model:
        x = px.Flat("x")
        px.Normal("y", x, 1.0, observed=0.0)
    return model


@pytest.mark.parametrize(
    ("make", "options", "error", "words"),
    [
        (nothing_observed, {}, ModelError, "observes nothing"),
        (potential, {}, ModelError, "'penalty' is a Potential"),
        (subsample, {}, ModelError, "'y' is weighed"),
        (flat, {}, ModelError, "'x' cannot be drawn"),
        (normal, {"var_names": ["nu"]}, ModelError, "no variable 'nu'"),
        (normal, {"var_names": []}, ModelError, "no variable is named"),
        (normal, {"simulations": 1}, ValueError, "simulations must be"),
        (normal, {"draws": 2}, ValueError, "draws must be"),
        (normal, {"level": 1.5}, ValueError, "level must lie"),
        (normal, {"chains": 4}, TypeError, "chains"),
        (normal, {"max_treedepth": 0}, ValueError, "max_treedepth"),
    ],
)
def test_wrong_use(make, options, error, words):
    with pytest.raises(error, match=words):
        sbc(make(), **options)


@pytest.mark.parametrize(("presses", "least"), [(1, 6), (2, 5)])
def test_ctrl_c_keeps_what_is_done(monkeypatch, presses, least):
    monkeypatch.setattr(signal, "default_int_handler", signal.default_int_handler)
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    fit, done = Fits._fit, []

    def fit_and_press(self, numbers):
        done.append(numbers)
        if len(done) == 6:
            for _ in range(presses):
                before = self._interrupts.count
                os.kill(os.getpid(), signal.SIGINT)
                while self._interrupts.count == before:
                    pass
        fit(self, numbers)

    monkeypatch.setattr(Fits, "_fit", fit_and_press)
    try:
        found = sbc(normal(), cores=1)
    finally:
        signal.signal(signal.SIGINT, former)
    assert least <= found.count < 20
    assert next(found.warnings()).startswith(f"Interrupted: {found.count} of 80")
    assert found.ranks["simulation"].values.tolist() == list(range(found.count))
