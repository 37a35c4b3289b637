"""Reference posteriors: draws of px.sample agree with moments computed elsewhere."""

import importlib.util
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.ode import odeint

import pyrox as px
from pyrox.dist import transforms

FOLDER = Path(__file__).parents[2] / "shared" / "posteriordb"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the reference posteriors are not here")


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("posteriordb_check", FOLDER / "check.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def eight_schools(d):
    with px.Model() as model:
        mu = px.Normal("mu", 0, 5)
        tau = px.HalfCauchy("tau", 5)
        eta = px.Normal("eta", 0, 1, shape=d["J"])
        theta = px.Deterministic("theta", mu + tau * eta)
        px.Normal("y", theta, np.array(d["sigma"], float), observed=d["y"])
    return model


def kidiq(d):
    with px.Model() as model:
        beta = px.Flat("beta", shape=2)
        sigma = px.HalfCauchy("sigma", 2.5)
        px.Normal("y", beta[0] + beta[1] * np.array(d["mom_iq"]), sigma, observed=np.array(d["kid_score"], float))
    return model


def earnings(d):
    height, male = np.array(d["height"], float), np.array(d["male"], float)
    with px.Model() as model:
        beta = px.Flat("beta", shape=4)
        sigma = px.HalfFlat("sigma")
        mean = beta[0] + beta[1] * height + beta[2] * male + beta[3] * height * male
        px.Normal("y", mean, sigma, observed=np.log(d["earn"]))
    return model


def nes(d):
    age = np.array(d["age_discrete"])
    ages = [age == 2, age == 3, age == 4]
    columns = [np.ones(len(age)), d["real_ideo"], d["race_adj"], *ages, d["educ1"], d["gender"], d["income"]]
    with px.Model() as model:
        beta = px.Flat("beta", shape=9)
        sigma = px.HalfFlat("sigma")
        px.Normal("y", np.column_stack(columns).astype(float) @ beta, sigma, observed=np.array(d["partyid7"], float))
    return model


def autoregression(d):
    y, order = np.array(d["y"]), d["K"]
    lagged = np.column_stack([y[order - k : len(y) - k] for k in range(1, order + 1)])
    with px.Model() as model:
        alpha = px.Normal("alpha", 0, 10)
        beta = px.Normal("beta", 0, 10, shape=order)
        sigma = px.HalfCauchy("sigma", 2.5)
        px.Normal("y", alpha + lagged @ beta, sigma, observed=y[order:])
    return model


def garch(d):
    y = np.array(d["y"])

    def scales(mu, constant, arch, persistence):
        def step(variance, square):
            return constant + arch * square + persistence * variance, variance

        return jnp.sqrt(jax.lax.scan(step, d["sigma1"] ** 2, (y - mu) ** 2)[1])

    with px.Model() as model:
        mu = px.Flat("mu")
        alpha0 = px.HalfFlat("alpha0")
        weights = px.Dirichlet("weights", np.ones(3))  # flat in any two of its three parts
        alpha1, beta1 = px.Deterministic("alpha1", weights[0]), px.Deterministic("beta1", weights[1])
        px.Normal("y", mu, px.lift(scales)(mu, alpha0, alpha1, beta1), observed=y)
    return model


def lotka_volterra(d):
    times = np.array([0.0, *d["ts"]])

    # On the log scale no solution leaves the positive numbers, however badly the solver is asked to start.
    def slope(state, _, theta):
        prey, predator = jnp.exp(state)
        return jnp.stack([theta[0] - theta[1] * predator, theta[3] * prey - theta[2]])

    def log_populations(theta, start):
        return odeint(slope, jnp.log(start), times, theta, rtol=1e-7, atol=1e-7, mxstep=1000)

    # Far starts find cycles of another length, which fit worse: this one has the means of the data.
    counts = np.vstack([d["y_init"], d["y"]]).astype(float)
    prey, predators = counts.mean(axis=0)
    with px.Model() as model:
        theta = px.TruncatedNormal(
            "theta", [1.0, 0.05, 1.0, 0.05], [0.5, 0.05, 0.5, 0.05], lower=0,
            initval=[0.5, 0.5 / predators, 0.5, 0.5 / prey],
        )  # fmt: skip
        start = px.LogNormal("z_init", np.log(10), 1, shape=2, initval=counts[0])
        sigma = px.LogNormal("sigma", -1, 1, shape=2)
        px.LogNormal("y", px.lift(log_populations)(theta, start), sigma, observed=counts)
    return model


def gaussian_process(d):
    x = np.array(d["x"], float)
    squares, jitter = (x[:, None] - x) ** 2, 1e-10 * np.eye(d["N"])
    with px.Model() as model:
        rho = px.Gamma("rho", 25, 4)
        alpha = px.HalfNormal("alpha", 2)
        z = px.Normal("z", 0, 1, shape=d["N"])
        factor = px.math.cholesky(alpha**2 * px.math.exp(-0.5 * squares / rho**2) + jitter)
        f = px.Deterministic("f", factor @ z)
        px.Poisson("k", px.math.exp(f), observed=d["k"])
    return model


def mixture(d):
    with px.Model() as model:
        # One wide component for all data is a mode of its own, far below: start from two.
        start = np.quantile(d["y"], [0.25, 0.75])
        mu = px.Normal("mu", 0, 2, shape=2, transform=transforms.OrderedTransform(), initval=start)
        sigma = px.HalfNormal("sigma", 2, shape=2)
        theta = px.Beta("theta", 5, 5)
        px.NormalMixture("y", px.math.stack([theta, 1 - theta]), mu, sigma, observed=d["y"])
    return model


def hidden_markov(d):
    y = np.array(d["y"])

    def log_likelihood(to, mu):
        emissions, to = -0.5 * (y[:, None] - mu) ** 2, jnp.log(to)

        def step(forward, emission):
            return jax.nn.logsumexp(forward[:, None] + to, axis=0) + emission, None

        return jax.nn.logsumexp(jax.lax.scan(step, emissions[0], emissions[1:])[0])

    ordered_positive = transforms.ComposeTransform([transforms.OrderedTransform(), transforms.ExpTransform()])
    with px.Model() as model:
        to = px.math.stack([px.Dirichlet(f"theta{j}", np.ones(2)) for j in (1, 2)])
        mu = px.TruncatedNormal("mu", [3.0, 10.0], 1, lower=0, transform=ordered_positive)
        px.Potential("y", px.lift(log_likelihood)(to, mu))
    return model


def elimination(d):
    times = np.array([d["t0"], *d["times"]], float)

    def slope(amount, t, absorption, half, rate):
        supply = d["D"] * absorption / d["V"] * jnp.exp(-absorption * t)
        return supply - rate / d["V"] * amount / (half + amount)

    def amounts(*rates):
        return odeint(slope, 0.0, times, *rates, rtol=1e-7, atol=1e-7, mxstep=1000)[1:]

    # What the data tell is the rate at a typical amount; half and rate go to infinity together, along a ridge.
    typical = np.mean(d["C_hat"])
    with px.Model() as model:
        absorption, half = (px.HalfCauchy(name, 1, initval=1.0) for name in ("k_a", "K_m"))
        relative = px.HalfFlat("relative", initval=1 / (1 + typical))
        rate = px.Deterministic("V_m", relative * (half + typical))
        px.Potential("prior of V_m", px.math.log(half + typical) - px.math.log1p(rate**2))
        sigma = px.HalfCauchy("sigma", 1)
        px.LogNormal("C", px.math.log(px.lift(amounts)(absorption, half, rate)), sigma, observed=d["C_hat"])
    return model


def diamonds(d):
    columns = np.array(d["X"])[:, 1:]
    columns = columns - columns.mean(axis=0)
    # Columns are nearly collinear: the coefficients are walked in the shape that least squares gives them.
    residuals = np.linalg.lstsq(np.insert(columns, 0, 1, axis=1), d["Y"], rcond=None)[1]
    covariance = np.linalg.inv(columns.T @ columns * d["N"] / residuals + np.eye(columns.shape[1]))
    shape = transforms.MultivariateAffineTransform(np.zeros(len(covariance)), np.linalg.cholesky(covariance))
    with px.Model() as model:
        b = px.Normal("b", 0, 1, shape=columns.shape[1], transform=shape)
        intercept = px.StudentT("Intercept", 3, 8, 10)
        sigma = px.HalfStudentT("sigma", 3, 10)
        px.Normal("y", intercept + columns @ b, sigma, observed=d["Y"])
    return model


MODELS = {
    "eight_schools-eight_schools_noncentered": eight_schools,
    "kidiq-kidscore_momiq": kidiq,
    "earnings-logearn_interaction": earnings,
    "nes1976-nes": nes,
    "arK-arK": autoregression,
    "garch-garch11": garch,
    "hudson_lynx_hare-lotka_volterra": lotka_volterra,
    "gp_pois_regr-gp_pois_regr": gaussian_process,
    "low_dim_gauss_mix-low_dim_gauss_mix": mixture,
    "hmm_example-hmm_example": hidden_markov,
    "one_comp_mm_elim_abs-one_comp_mm_elim_abs": elimination,
    "diamonds-diamonds": diamonds,
}


@pytest.mark.parametrize("name", MODELS)
def test_posterior(reference, name):
    with MODELS[name](reference.load(name)["data"]):
        idata = px.sample(random_seed=1, progressbar=False, compute_convergence_checks=False)
    report = reference.check(name, {n: x.values for n, x in idata["posterior"].data_vars.items()})
    print(report)
    assert report.ok, str(report)
