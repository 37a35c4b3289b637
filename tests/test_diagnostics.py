"""Diagnostics against direct formulas, ArviZ and NumPyro; what is undefined; the table; findings of a run."""

import json
import subprocess
import sys
import time
import warnings
from collections import namedtuple

import numpy as np
import pytest
from scipy import stats

import pyrox as px
from pyrox import diagnostics as d
from pyrox.report import LEVEL
from pyrox.results import has_inference_data, load_arviz
from pyrox.separation import energy_fraction, rotation_scores
from tests import checks, models

DIAGNOSTICS = {"effective_sample_size": d.effective_sample_size, "split_gelman_rubin": d.split_gelman_rubin}


def autoregressive(coefficient, shape, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    for i in range(1, shape[1]):
        x[:, i] = coefficient * x[:, i - 1] + np.sqrt(1 - coefficient**2) * x[:, i]
    return x + shift * np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))


def stuck(seed=0):
    x = np.random.default_rng(seed).normal(size=(4, 101, 2))
    x[1] = x[1, :1]
    return x


rng = np.random.default_rng(7)
CHAINS = {
    "independent": rng.normal(size=(4, 200, 3)),
    "slow": autoregressive(0.9, (4, 201, 3)),
    "very slow": autoregressive(0.999, (3, 300, 2)),
    "antithetic": autoregressive(-0.9, (4, 200, 3)),
    "apart": autoregressive(0.5, (4, 100, 2), shift=1.0),
    "heavy tails": rng.standard_cauchy(size=(4, 150, 2)),
    "one chain": autoregressive(0.3, (1, 99, 2)),
    "two chains of different scale": rng.normal(size=(2, 100, 2)) * np.array([1.0, 5.0])[:, None, None],
    "whole numbers": rng.poisson(1.5, size=(4, 100, 2)),
    "booleans": rng.random((4, 100, 2)) < 0.3,
    "even booleans": np.arange(400).reshape(4, 100, 1) // 3 % 2 == 0,
    "one chain stuck": stuck(),
    "far from zero": 1e6 + rng.normal(size=(4, 100, 1)),
    "matrix": rng.normal(size=(2, 50, 2, 3)),
    **{f"{n} draws": rng.normal(size=(4, n, 2)) for n in (4, 5, 6, 7, 8, 9, 10, 11, 12, 13)},
}


@pytest.fixture(params=CHAINS)
def x(request):
    return CHAINS[request.param]


def arviz(statistic, x, **options):
    """ArviZ's statistic for each element of an array, in either generation."""
    import xarray as xr

    data = xr.Dataset({"x": (("chain", "draw", *(f"d{i}" for i in range(x.ndim - 2))), x)})
    found = getattr(load_arviz(), statistic)(data, **options)
    return found["x"].values


# --- Direct formulas ---


def test_autocovariance_is_its_sum():
    x = autoregressive(0.7, (3, 37))
    centred = x - x.mean(axis=1, keepdims=True)
    expected = [[np.sum(c[: 37 - t] * c[t:]) / 37 for t in range(37)] for c in centred]
    np.testing.assert_allclose(d.autocovariance(x, axis=1), expected, atol=1e-14)
    np.testing.assert_allclose(d.autocovariance(x.T), np.transpose(expected), atol=1e-14)
    np.testing.assert_allclose(d.autocovariance(x, axis=-1), expected, atol=1e-14)
    np.testing.assert_allclose(d.autocorrelation(x.T)[:, 1], np.array(expected[1]) / expected[1][0], atol=1e-13)


def test_no_lag_wraps_around():
    for n in (1, 2, 3, 5, 16, 17, 97, 128):
        x = np.zeros(n)
        x[0], x[-1] = 1.0, 1.0
        centred = x - x.mean()
        expected = np.correlate(centred, centred, "full")[n - 1 :] / n
        np.testing.assert_allclose(d.autocovariance(x), expected, atol=1e-14)


def test_rhat_is_its_formula(x):
    values = np.asarray(x, float)
    draws = values.shape[1]
    halves = np.concatenate([values[:, : draws // 2], values[:, (draws + 1) // 2 :]])
    for statistic, chains, of in ((d.split_gelman_rubin, halves, x), (d.gelman_rubin, halves, halves)):
        found, n = statistic(of), chains.shape[1]
        within = chains.var(axis=1, ddof=1).mean(axis=0)
        total = (n - 1) / n * within + chains.mean(axis=1).var(axis=0, ddof=1)
        np.testing.assert_allclose(found, np.sqrt(total / within), rtol=1e-9)


def test_effective_sizes_of_known_chains():
    for coefficient in (0.0, 0.5, 0.9):
        x = autoregressive(coefficient, (4, 5000, 20), seed=3)
        expected = 20_000 * (1 - coefficient) / (1 + coefficient)
        assert abs(np.mean(d.effective_sample_size(x)) / expected - 1) < 0.08


def test_hpdi_is_the_narrowest():
    x = np.random.default_rng(1).gamma(2.0, size=(57, 2, 3))
    for prob in (0.1, 0.5, 0.9, 0.99, 1.0):
        found = d.hpdi(x, prob)
        assert found.shape == (2, 2, 3)
        steps = min(int(prob * 57), 56)
        for index in np.ndindex(2, 3):
            s = np.sort(x[:, *index])
            pairs = [(s[i + steps] - s[i], s[i], s[i + steps]) for i in range(57 - steps)]
            assert tuple(found[:, *index]) == min(pairs)[1:]
    np.testing.assert_array_equal(d.hpdi(np.moveaxis(x, 0, 1), axis=1), np.moveaxis(d.hpdi(x), 0, 1))
    assert d.hpdi([True, False, True, True], 0.5).tolist() == [True, True]
    assert d.hpdi(np.array([0, 0, 255], np.uint8), 0.7).tolist() == [0, 255]
    assert d.hpdi([-np.inf, -np.inf, 1.0, 2.0, 2.0], 0.4).tolist() == [1.0, 2.0]


def test_scale_and_place_do_not_matter():
    x = autoregressive(0.5, (4, 100))
    for statistic in (d.gelman_rubin, d.split_gelman_rubin, d.effective_sample_size):
        for scale in (1e-250, 1e250):
            np.testing.assert_allclose(statistic(scale * x), statistic(x), rtol=1e-10)


# --- ArviZ and NumPyro ---


def test_arviz_agrees(x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ArviZ divides by zero where a chain stands still
        split = arviz("rhat", x, method="split") if len(x) > 1 else None
        rank = arviz("rhat", x, method="rank") if len(x) > 1 else None
        identity, bulk = (arviz("ess", x, method=method) for method in ("identity", "bulk"))
        mean = arviz("ess", x, method="mean")
    rhat, ess = d.rank_rhat_and_ess(x)
    if len(x) > 1:
        np.testing.assert_allclose(rhat, rank, rtol=1e-10)
        np.testing.assert_allclose(d.split_gelman_rubin(x), split, rtol=1e-9)
    np.testing.assert_allclose(ess, bulk, rtol=1e-10)
    np.testing.assert_allclose(d.effective_sample_size(x), identity, rtol=1e-9)
    half = x.shape[1] // 2
    halves = np.concatenate([x[:, :half], x[:, x.shape[1] - half :]])
    if half >= 4:
        np.testing.assert_allclose(d.effective_sample_size(halves), mean, rtol=1e-9)


@pytest.mark.parametrize("prob", [0.1, 0.5, 0.9, 0.94])
def test_arviz_has_the_same_interval(prob):
    x = CHAINS["independent"]
    option = {"hdi_prob": prob} if has_inference_data() else {"prob": prob}
    expected = np.moveaxis(arviz("hdi", x, **option), -1, 0)
    np.testing.assert_array_equal(d.hpdi(x.reshape(-1, 3), prob), expected)


PEER = """
import sys, numpy as np
from numpyro import diagnostics as d
with np.load(sys.argv[1]) as file:
    x = {name: file[name] for name in file}
out = {}
for name, v in x.items():
    out[f"{name}/autocovariance"] = d.autocovariance(v, axis=1)
    out[f"{name}/autocorrelation"] = d.autocorrelation(v, axis=1)
    out[f"{name}/effective_sample_size"] = d.effective_sample_size(v)
    out[f"{name}/split_gelman_rubin"] = d.split_gelman_rubin(v)
    out[f"{name}/hpdi"] = d.hpdi(v.reshape(-1, *v.shape[2:]), 0.8)
    if len(v) > 1:
        out[f"{name}/gelman_rubin"] = d.gelman_rubin(v)
np.savez(sys.argv[2], **out)
"""


def test_numpyro_agrees(tmp_path):
    pytest.importorskip("numpyro", exc_type=ImportError)
    x = {n: np.asarray(v, float) for n, v in CHAINS.items() if v.shape[1] > 20 and "stuck" not in n}
    np.savez(tmp_path / "in.npz", **x)
    # In a process of its own: importing NumPyro changes settings of JAX.
    subprocess.run([sys.executable, "-c", PEER, tmp_path / "in.npz", tmp_path / "out.npz"], check=True)
    with np.load(tmp_path / "out.npz") as file:
        for key in file:
            name, statistic = key.split("/")
            flat = x[name].reshape(-1, *x[name].shape[2:])
            if statistic == "hpdi":
                np.testing.assert_array_equal(d.hpdi(flat, 0.8), file[key])
            elif statistic.startswith("auto"):
                np.testing.assert_allclose(getattr(d, statistic)(x[name], axis=1), file[key], atol=1e-12)
            elif statistic != "effective_sample_size":
                np.testing.assert_allclose(getattr(d, statistic)(x[name]), file[key], rtol=1e-9)
            elif name not in ("antithetic", "very slow"):
                # NumPyro does not count the last even lag, which Stan and ArviZ do.
                np.testing.assert_allclose(d.effective_sample_size(x[name]), file[key], rtol=0.1)


# --- What is undefined ---


def test_constant_chains():
    for value in (0.0, 0.1, 1 / 3, 1e300):
        x = np.full((3, 7, 2), value)
        x[:, :, 1] = np.arange(3.0)[:, None] * 0.1
        assert np.isnan(d.gelman_rubin(x)[0])
        assert np.isnan(d.split_gelman_rubin(x)[0])
        assert d.gelman_rubin(x)[1] == d.split_gelman_rubin(x)[1] == np.inf
        assert d.effective_sample_size(x)[0] == 21
        assert d.effective_sample_size(x)[1] <= 6
        rhat, ess = d.rank_rhat_and_ess(x)
        assert np.isnan(rhat[0])
        assert rhat[1] == np.inf
        assert ess[0] == 18  # without the middle draws
        assert not d.autocovariance(x, axis=1)[..., 0].any()
        assert np.isnan(d.autocorrelation(x, axis=1)[..., 0]).all()
        assert d.hpdi(x[0])[:, 0].tolist() == [value, value]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_draws_that_are_not_finite_spoil_only_their_own(bad):
    x = np.random.default_rng(0).normal(size=(4, 50, 3))
    clean = {n: f(x) for n, f in DIAGNOSTICS.items()}
    x[2, 7, 1] = bad
    for name, statistic in DIAGNOSTICS.items():
        found = statistic(x)
        assert np.isnan(found[1])
        np.testing.assert_allclose(found[[0, 2]], clean[name][[0, 2]])
    covariance = d.autocovariance(x, axis=1)
    assert np.isnan(covariance[2, :, 1]).all()
    assert np.isnan(covariance).sum() == 50
    rhat, ess = d.rank_rhat_and_ess(x)
    assert np.isnan(rhat).tolist() == np.isnan(ess).tolist() == [False, bool(np.isnan(bad)), False]
    interval = d.hpdi(x[2])
    assert np.isnan(interval).any(axis=0).tolist() == [False, bool(np.isnan(bad)), False]


def test_few_draws_and_wrong_shapes():
    assert np.isnan(d.effective_sample_size(np.ones((2, 3, 5)))).all()
    assert np.isnan(d.rank_rhat_and_ess(np.ones((2, 3, 5)))).all()
    assert d.effective_sample_size(np.ones((2, 10, 0))).shape == (0,)
    assert d.rank_rhat_and_ess(np.ones((2, 10, 0)))[1].shape == (0,)
    assert np.isfinite(d.gelman_rubin(np.random.default_rng(0).normal(size=(2, 2))))
    with pytest.raises(px.ShapeError, match=r"at least 2 chains and 2 draws, not the shape \(1, 9\)"):
        d.gelman_rubin(np.zeros((1, 9)))
    with pytest.raises(px.ShapeError, match="at least 4 draws"):
        d.split_gelman_rubin(np.zeros((4, 3)))
    with pytest.raises(px.ShapeError, match=r"for one chain pass x\[None\]"):
        d.effective_sample_size(np.zeros(9))
    with pytest.raises(px.ShapeError, match="at least one draw"):
        d.hpdi(np.zeros((0, 3)))
    with pytest.raises(px.ShapeError, match="at least one draw"):
        d.autocovariance(np.zeros((3, 0)), axis=1)
    for prob in (0.0, 1.1, np.nan):
        with pytest.raises(ValueError, match="prob is the mass"):
            d.hpdi(np.zeros(3), prob)


# --- The table ---


def test_summary_gathers_the_statistics(capsys):
    samples = {"z": CHAINS["slow"], "a": CHAINS["matrix"], "k": CHAINS["whole numbers"]}
    table = d.summary(samples, prob=0.8)
    assert list(table) == ["z", "a", "k"]
    for name, x in samples.items():
        flat = x.reshape(-1, *x.shape[2:])
        assert list(table[name]) == ["mean", "std", "median", "10.0%", "90.0%", "n_eff", "r_hat"]
        expected = flat.mean(0), flat.std(0, ddof=1), np.median(flat, 0), *d.hpdi(flat, 0.8)
        expected = *expected, d.effective_sample_size(x), d.split_gelman_rubin(x)
        for found, value in zip(table[name].values(), expected, strict=True):
            np.testing.assert_allclose(found, value)
    d.print_summary(samples)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["mean", "std", "median", "5.0%", "95.0%", "n_eff", "r_hat"]
    assert [line.split()[0] for line in lines[1:]] == [
        "z[0]", "z[1]", "z[2]", "a[0,0]", "a[0,1]", "a[0,2]", "a[1,0]", "a[1,1]", "a[1,2]", "k[0]", "k[1]",
    ]  # fmt: skip
    assert len({len(line) for line in lines}) == 1


def test_summary_of_any_collection(capsys):
    x = np.random.default_rng(0).normal(size=(2, 50))
    Point = namedtuple("Point", "loc scale")
    assert list(d.summary(x)) == ["Param:0"]
    assert list(d.summary([x, (x, x)])) == ["Param:0", "Param:1", "Param:2"]
    assert list(d.summary(Point(x, {"a": x}))) == ["loc", "scale.a"]
    assert list(d.summary({"net": {"w": x, "b": [x]}, "mu": x})) == ["net.b.0", "net.w", "mu"]
    assert list(d.summary({"nothing": x[:0], "mu": x})) == ["mu"]
    ungrouped = d.summary({"mu": x.ravel()}, group_by_chain=False)["mu"]
    np.testing.assert_allclose(ungrouped["r_hat"], d.split_gelman_rubin(x.reshape(1, -1)))
    short = d.summary({"mu": x[:1, :1]})["mu"]
    assert np.isnan([short[name] for name in ("std", "n_eff", "r_hat")]).all()
    assert short["mean"] == short["5.0%"] == x[0, 0]
    d.print_summary({})
    d.print_summary({"tiny": 1e-9 * x, "huge": 1e12 * x, "constant": np.ones((2, 9)), "lost": np.full((2, 9), np.nan)})
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "no draws"
    assert "e-" in out[2]
    assert "e+" in out[3]
    assert out[4].split() == ["constant", "1.00", "0.00", "1.00", "1.00", "1.00", "18.00", "nan"]
    assert out[5].split() == ["lost", *["nan"] * 7]
    with pytest.raises(px.ShapeError, match=r"mu must have the shape \(chain, draw, ...\), not \(100,\)"):
        d.summary({"mu": x.ravel()})


# --- Findings ---


def statistics(chains, draws):
    return {"diverging": np.zeros((chains, draws), bool), "reached_max_treedepth": np.zeros((chains, draws), bool)}


def check(**variables):
    import xarray as xr

    data = {n: (("chain", "draw", *(f"{n}{i}" for i in range(v.ndim - 2))), v) for n, v in variables.items()}
    chains, draws = next(iter(variables.values())).shape[:2]
    return " ".join(map(str, d.examine(xr.Dataset(data), statistics(chains, draws), 10)))


def test_careful_transitions_are_no_reason_for_deeper_trees():
    import xarray as xr

    careful = np.arange(200) % 10 == 0
    steps = np.where(careful, 0.025, 0.1) * np.ones((4, 1))
    x = np.random.default_rng(0).normal(size=(4, 200))
    data = xr.Dataset({"x": (("chain", "draw"), x)})
    stats = {**statistics(4, 200), "step_size": steps, "reached_max_treedepth": np.tile(careful, (4, 1))}
    assert "tree depth" not in " ".join(map(str, d.examine(data, stats, 10)))
    stats["reached_max_treedepth"] = np.tile(~careful, (4, 1))
    assert "tree depth of 10: 100% of its gradients" in " ".join(map(str, d.examine(data, stats, 10)))
    # One in twenty-five, which take nearly half of the gradients.
    cut = np.tile(np.arange(200) % 25 == 1, (4, 1))
    stats |= {"reached_max_treedepth": cut, "n_steps": np.where(cut, 1023, 50)}
    assert "tree depth of 10: 49% of its gradients" in " ".join(map(str, d.examine(data, stats, 10)))
    assert "tree depth" not in " ".join(map(str, d.examine(data, stats | {"n_steps": np.ones((4, 200))}, 10)))


def test_findings_name_the_worst_element():
    good = np.random.default_rng(0).normal(size=(4, 200))
    bad = np.random.default_rng(1).normal(size=(4, 200, 2, 3))
    assert check(good=good, constant=np.ones((4, 200, 2)), lost=np.full((4, 200), np.nan)) == ""
    bad[1, :, 1, 2] += 3.0
    found = check(good=good, bad=bad, empty=np.ones((4, 200, 0)))
    rhat = np.max(arviz("rhat", bad))
    ess = np.min(arviz("ess", bad))
    assert f"some parameters (worst: bad[1, 2], {rhat:.3f})" in found
    assert f"some parameters (worst: bad[1, 2], {ess / 4:.0f})" in found
    assert check(stuck=np.broadcast_to(np.arange(4.0)[:, None], (4, 200))).count("(worst: stuck, inf)") == 1


def test_a_thousand_parameters_take_no_time():
    x = np.random.default_rng(0).normal(size=(4, 1000, 1000))
    # Processor time, best of five: a machine that is busy otherwise must not fail this.
    spent = []
    for _ in range(5):
        began = time.process_time()
        assert check(x=x).count("rhat") <= 1
        spent.append(time.process_time() - began)
    assert min(spent) < 0.8


def test_nothing_heavy_is_imported():
    code = "import sys, pyrox.diagnostics; print([m for m in ('scipy.stats', 'arviz', 'xarray') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# --- The report ---


def labelled(chains=4, draws=1000, **arrays):
    """Groups as results have them, of posterior variables and of statistics (those whose name begins with s_)."""
    import xarray as xr

    groups = {"posterior": {}, "sample_stats": statistics(chains, draws)}
    for name, x in arrays.items():
        groups["sample_stats" if name.startswith("s_") else "posterior"][name.removeprefix("s_")] = x
    return {
        group: xr.Dataset(
            {n: (("chain", "draw", *(f"{n}{i}" for i in range(x.ndim - 2))), x) for n, x in variables.items()}
        )
        for group, variables in groups.items()
    }


def kinds(report):
    return [finding.kind for finding in report]


def slow_noise(seed, shape, coefficient=0.8):
    return autoregressive(coefficient, shape, seed)


def hierarchy(seed, coefficient=0.8):
    """A scale whose logarithm wanders, and what it scales."""
    log_scale = slow_noise(seed, (4, 1000), coefficient)
    return log_scale, np.exp(log_scale)[..., None] * slow_noise(seed + 1, (4, 1000, 6), 0.0)


def test_the_scale_of_a_funnel_is_named():
    log_scale, x = hierarchy(0)
    other = slow_noise(5, (4, 1000, 3))
    # Divergences where the scale is small, by chance: not all draws there diverge.
    diverging = np.random.default_rng(1).random((4, 1000)) < 0.1 * (log_scale < -1.2)
    for scale, name in ((log_scale, "scale * z"), (np.exp(log_scale), "tau * z")):
        report = d.diagnose(labelled(other=other, x=x, tau=scale, s_diverging=diverging))
        finding = report.findings[0]
        assert finding.kind == "divergences"
        assert finding.variables == ("tau", "x")
        assert "low values of tau" in finding.message
        assert f"write x as location + {name}" in finding.remedy
        assert str(int(diverging.sum())) in finding.message


def test_a_hierarchy_that_should_be_centred_is_told_from_one_that_should_not():
    log_scale, x = hierarchy(0)
    diverging = np.random.default_rng(1).random((4, 1000)) < 0.1 * (log_scale < -1.2)
    finding = d.diagnose(labelled(z=x, tau=np.exp(-log_scale), s_diverging=diverging)).findings[0]
    assert finding.variables == ("tau", "z")
    assert "high values of tau" in finding.message
    assert "if tau multiplies z, centre it" in finding.remedy


def test_what_is_computed_from_others_is_not_to_be_noncentred():
    log_scale, x = hierarchy(0)
    diverging = np.random.default_rng(1).random((4, 1000)) < 0.1 * (log_scale < -1.2)
    draws = labelled(twice=2 * x, x=x, tau=np.exp(log_scale), log_tau=log_scale, s_diverging=diverging)
    draws["posterior"].attrs["derived"] = json.dumps(["twice", "tau"])
    finding = d.diagnose(draws).findings[0]
    assert finding.variables == ("log_tau", "x")
    assert "px.noncenter(model, ['x'])" in finding.remedy
    assert "give log_tau a prior" in finding.remedy
    del draws["posterior"]["log_tau"]
    finding = d.diagnose(draws).findings[0]
    assert finding.variables == ("tau", "x")
    assert "choose priors under which tau has less mass at low values" in finding.remedy


def test_only_what_depends_on_a_scale_is_to_be_noncentred_by_it():
    log_scale, x = hierarchy(0)
    diverging = np.random.default_rng(1).random((4, 1000)) < 0.1 * (log_scale < -1.2)
    draws = labelled(noise=x[..., 0], x=x, tau=log_scale, s_diverging=diverging)
    draws["posterior"].attrs["depends"] = json.dumps({"noise": [], "tau": [], "x": ["tau"]})
    finding = d.diagnose(draws).findings[0]
    assert finding.variables == ("tau", "x")
    assert "px.noncenter(model, ['x'])" in finding.remedy
    draws["posterior"].attrs["depends"] = json.dumps({"noise": [], "tau": [], "x": []})
    finding = d.diagnose(draws).findings[0]
    assert "low values of tau" in finding.message
    assert "noncenter" not in finding.remedy


def test_results_tell_what_is_computed_and_what_depends_on_what():
    def statements():
        tau = px.HalfNormal("tau", 1.0)
        scale = px.Deterministic("scale", 3 * tau)
        px.Deterministic("twice", 2 * px.Normal("x", 0.0, scale, shape=2))
        px.Normal("z", 0.0, tau, noncentered=True)

    with px.Model() as model:
        statements()
    short = {"tune": 10, "chains": 1, "progressbar": False, "quiet": True}
    attrs = px.sample(10, model=model, **short)["posterior"].attrs
    assert json.loads(attrs["derived"]) == ["scale", "twice", "z"]
    assert json.loads(attrs["depends"]) == {"tau": [], "x": ["tau", "scale"], "z": ["tau"]}
    attrs = px.sample(10, model=statements, **short)["posterior"].attrs
    assert json.loads(attrs["derived"]) == ["scale", "twice", "z"]
    assert "depends" not in attrs


def test_one_divergence_and_labels_of_dates_are_written_as_people_write_them():
    x = np.random.default_rng(0).normal(size=(4, 1000, 2))
    diverging = np.zeros((4, 1000), bool)
    diverging[0, 0] = True
    draws = labelled(x=x, s_diverging=diverging)
    draws["posterior"] = draws["posterior"].assign_coords(x0=np.array(["2024-01-01", "2024-01-02"], "datetime64[ns]"))
    report = d.diagnose(draws)
    assert "There was 1 divergence after tuning." in report.findings[0].message
    assert {q.name for q in report.worst} <= {"x[2024-01-01]", "x[2024-01-02]"}


def test_divergences_are_placed_on_either_side_and_in_the_middle():
    x = slow_noise(2, (4, 1000, 4), 0.5)
    where = {
        "high values of x[2]": x[..., 2] > 1.5, "low values of x[1]": x[..., 1] < -1.5,
        "central values of x[0]": np.abs(x[..., 0]) < 0.1, "extreme values of x[3]": np.abs(x[..., 3]) > 2,
    }  # fmt: skip
    for place, diverging in where.items():
        report = d.diagnose(labelled(x=x, s_diverging=diverging))
        assert place in str(report)
        assert report.findings[0].variables == (place[-4:],)


def test_divergences_at_random_name_nobody():
    # The level is that of a whole run; with chains as slow as these it must hold too, and over many variables.
    named = 0
    runs = 200
    for seed in range(runs):
        x = slow_noise(seed, (4, 500, 10), 0.9)
        clustered = slow_noise(10_000 + seed, (4, 500), 0.9) > 1.5
        report = d.diagnose(labelled(4, 500, x=x, s_diverging=clustered))
        named += bool(report.findings[0].variables)
    assert stats.binom.sf(named - 1, runs, LEVEL) > checks.LEVEL


def test_a_ruler_of_spread_is_suspected_of_one_run_in_a_hundred():
    named, runs = 0, 200
    for seed in range(runs):
        log_scale, x = hierarchy(3 * seed)
        report = d.diagnose(labelled(tau=log_scale, x=x, s_diverging=slow_noise(seed + 7000, (4, 1000)) > 2))
        named += bool(report.findings[0].variables)
    assert stats.binom.sf(named - 1, runs, 0.01 + LEVEL) > checks.LEVEL


def test_rotation_scores_are_standard_normal_without_a_link():
    scores = []
    for seed in range(100):
        z = rotation_scores(slow_noise(seed, (4, 200, 5), 0.7), slow_noise(seed + 999, (4, 200), 0.7))
        scores.append(np.mean(z**2))
    checks.assert_mean(np.array(scores), np.array(1.0))
    exact = rotation_scores(np.ones((2, 50)), np.ones((2, 50)))
    assert np.isnan(exact).all()


def test_a_chain_with_most_of_the_divergences_does_not_hide_where_the_others_gather():
    log_scale, x = hierarchy(0)
    diverging = (log_scale < -2.5) & (np.random.default_rng(1).random(log_scale.shape) < 0.5)
    diverging[3, 200:700] = True
    assert d.diagnose(labelled(tau=log_scale, x=x, s_diverging=diverging)).findings[0].variables == ("tau", "x")


def test_divergences_of_draws_that_repeat_a_place_count_once_there():
    # Where a chain rests, the transition that came there did not diverge; those that fail to leave do.
    log_scale, x = hierarchy(0)
    diverging = np.zeros(log_scale.shape, bool)
    for chain, draw in zip(*np.nonzero(log_scale < -2.5), strict=True):
        rest = slice(draw, draw + 4)
        log_scale[chain, rest], x[chain, rest] = log_scale[chain, draw], x[chain, draw]
        diverging[chain, draw + 1 : draw + 4] = True
    assert d.diagnose(labelled(tau=log_scale, x=x, s_diverging=diverging)).findings[0].variables[:1] == ("tau",)


def test_chains_that_disagree_are_named():
    x = slow_noise(0, (4, 500, 3), 0.5)
    x[2, :, 1] += 6.0
    finding = d.diagnose(labelled(4, 500, x=x)).findings[0]
    assert finding.kind == "disagreement"
    assert finding.chains == (2,)
    assert finding.variables == ("x[1]",)
    assert str(finding).startswith("Chain 2 disagrees with the others in x[1] (means of x[1] by chain:")
    x[0, :, 1] += 6.0
    finding = d.diagnose(labelled(4, 500, x=x)).findings[0]
    assert finding.chains == (0, 1, 2, 3)
    assert "two groups" in finding.message
    six = slow_noise(1, (6, 500), 0.5)
    six[[1, 4]] -= 5.0
    assert d.diagnose(labelled(6, 500, x=six)).findings[0].message.startswith("Chains 1 and 4 disagree with the others")


def test_chains_that_agree_are_left_alone():
    # Slow chains raise R-hat by chance; none of them may be called odd. Autocorrelation time 20, 10 variables.
    odd, runs = 0, 200
    for seed in range(runs):
        odd += "disagreement" in kinds(d.diagnose(labelled(4, 500, x=slow_noise(seed, (4, 500, 10), 0.95))))
    assert stats.binom.sf(odd - 1, runs, 0.01) > checks.LEVEL


def test_a_chain_that_is_stuck_is_named():
    x = slow_noise(0, (4, 500, 3), 0.5)
    still = x.copy()
    still[1] = still[1, :1] + 9.0
    report = d.diagnose(labelled(4, 500, x=still))
    assert kinds(report)[0] == "stuck"
    assert "disagreement" not in kinds(report)
    assert report.findings[0].chains == (1,)
    assert "from draw 1 on it does not move for 499 draws" in str(report)
    assert "start it elsewhere" in report.findings[0].remedy
    late = x.copy()
    late[2, 440:] = late[2, 440]
    report = d.diagnose(labelled(4, 500, x=late))
    assert report.findings[0].chains == (2,)
    assert "from draw 441 on it does not move for 59 draws" in str(report)
    assert "steps are too long" in report.findings[0].remedy  # a start elsewhere would end there, too
    steps = np.full((4, 500), 0.5)
    steps[3] = 1e-4
    crawling = d.diagnose(labelled(4, 500, x=x, s_step_size=steps))
    assert crawling.findings[0].chains == (3,)
    assert "its step size is 0.0001 where the others' is 0.5" in str(crawling)


def test_divergences_of_a_chain_that_stands_still_count_once():
    # One draw that is repeated, with a divergence each time, at a place where the others do not diverge.
    x = np.random.default_rng(5).normal(size=(4, 500))
    diverging = x < -1.8
    x[1, 200:240], diverging[1, 200:240] = 1.5, True
    report = d.diagnose(labelled(4, 500, x=x, s_diverging=diverging))
    assert "They gather at low values of x" in str(report)


def test_energy_that_mixes_badly_is_named_with_what_it_goes_with():
    log_scale, x = hierarchy(0, 0.9)
    energy = autoregressive(0.2, (4, 1000), 3)
    energy[2] = 5 * log_scale[2] + energy[2] * 0.3
    report = d.diagnose(labelled(tau=log_scale, x=x, s_energy=energy))
    finding = next(f for f in report if f.kind == "energy")
    assert finding.chains == (2,)
    assert finding.variables[0] == "tau"
    assert "in chain 2: its Bayesian fraction" in finding.message
    reference = np.asarray(load_arviz().bfmi(energy)) if has_inference_data() else None
    if reference is not None:
        np.testing.assert_allclose(energy_fraction(energy), reference)


def test_a_good_run_has_no_findings_and_reports_travel_as_text():
    rng = np.random.default_rng(0)
    good = labelled(x=rng.normal(size=(4, 1000, 5)), s_energy=rng.normal(size=(4, 1000)))
    report = d.diagnose(good)
    assert not report
    assert str(report).splitlines()[:2] == ["no findings", "4 chains of 1000 draws, 0 divergences"]
    assert "no findings" in report._repr_html_()
    bad = d.diagnose(labelled(**{"a<b": np.arange(4000.0).reshape(4, 1000)}))
    assert d.Report.from_json(bad.to_json()) == bad
    assert "a&lt;b" in bad._repr_html_()
    assert "a<b" not in bad._repr_html_()
    assert str(bad).splitlines()[0] == f"{len(bad)} findings"


def test_warnings_are_the_findings():
    data = labelled(x=slow_noise(0, (4, 1000), 0.99), s_diverging=np.random.default_rng(0).random((4, 1000)) < 0.01)
    stats = {n: x.values for n, x in data["sample_stats"].items()}
    found = [str(finding) for finding in d.examine(data["posterior"], stats, 10)]
    assert found == [str(f) for f in d.diagnose(data)]
    assert len(found) > 1


def test_elements_are_named_by_their_labels():
    import xarray as xr

    x = np.random.default_rng(0).normal(size=(4, 500, 3))
    x[1, :, 2] += 5.0
    data = labelled(4, 500, x=x)
    data["posterior"] = xr.Dataset({"x": (("chain", "draw", "city"), x)}, coords={"city": ["Rome", "Oslo", "Bonn"]})
    assert d.diagnose(data).findings[0].variables == ("x[Bonn]",)


@pytest.mark.slow
def test_a_sampled_funnel_and_modes():
    with px.Model(coords={"school": list("ABCDEFGH")}) as schools:
        mu, tau = px.Normal("mu", 0, 5), px.HalfCauchy("tau", 5)
        px.Normal("y", px.Normal("theta", mu, tau, dims="school"), models.ERROR, observed=models.EFFECT)
    with px.Model() as modes:
        px.NormalMixture("x", np.array([0.5, 0.5]), np.array([-10.0, 10.0]), np.array([1.0, 1.0]))
    quiet = {"progressbar": False, "compute_convergence_checks": False, "random_seed": 3}
    findings = d.diagnose(px.sample(model=schools, **quiet)).findings
    # In some runs a chain stands still for a while besides, which no variable explains.
    finding = next(f for f in findings if f.kind == "divergences")
    assert finding.variables[:2] == ("tau", "theta")
    apart = d.diagnose(px.sample(model=modes, chains=8, **quiet)).findings[0]
    assert apart.kind == "disagreement"
