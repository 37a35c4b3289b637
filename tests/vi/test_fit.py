"""px.fit and px.find_MAP: results, truth, verdicts, and what goes wrong."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import EFFECT, ERROR, eight_schools, schools_function
from scipy import stats

import pyrox as px
from pyrox.vi import psis
from pyrox.vi.lbfgs import Path as Descent
from pyrox.vi.loop import FitJob, Position, UpdateLoop
from pyrox.vi.optim import Adam, as_optimizer

Y = np.array([0.3, 1.2, -0.4, 2.0])
METHODS = ("advi", "fullrank_advi", "lowrank_advi", "flow", "laplace", "pathfinder")


def correlated():
    """A posterior that is exactly normal, badly scaled and correlated."""
    x = np.column_stack([np.ones(50), 100 + np.linspace(-3, 3, 50)])
    y = x @ np.array([5.0, 2.0]) + np.sin(np.arange(50))
    with px.Model(coords={"term": ["one", "x"]}) as model:
        beta = px.Normal("beta", 0.0, 100.0, dims="term")
        px.Normal("y", px.math.dot(x, beta), 1.0, observed=y)
    covariance = np.linalg.inv(x.T @ x + np.eye(2) / 1e4)
    return model, covariance @ x.T @ y, covariance


@pytest.mark.parametrize("method", ["fullrank_advi", "laplace", "pathfinder"])
def test_exact_posterior(method):
    model, mean, covariance = correlated()
    approximation = px.fit(20_000, method, model, 1, progressbar=False)
    idata = approximation.sample(4000, random_seed=2)
    draws = idata["posterior"]["beta"].values[0]
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.1 * sd.max())
    np.testing.assert_allclose(draws.std(axis=0), sd, rtol=0.1)
    assert np.corrcoef(draws.T)[0, 1] < -0.99
    assert approximation.khat < 0.7
    assert idata["posterior"]["beta"].dims == ("chain", "draw", "term")
    assert set(idata["observed_data"]) == {"y"}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_results(method):
    with px.Model() as model:
        mu = px.Normal("mu", 0.0, 5.0)
        sigma = px.HalfNormal("sigma", 2.0)
        px.Normal("y", mu, sigma, observed=Y)
        px.Deterministic("twice", 2 * mu)
    approximation = px.fit(3000, method, model, 1, progressbar=False)
    posterior = approximation.sample(200)["posterior"]
    assert posterior.sizes["chain"] == 1
    assert posterior.sizes["draw"] == 200
    np.testing.assert_allclose(posterior["twice"], 2 * posterior["mu"])
    assert (posterior["sigma"] > 0).all()
    assert len(approximation.losses)
    assert approximation.verdict in repr(approximation)
    assert approximation.hist is approximation.losses


def test_same_seed_same_draws():
    runs = [px.fit(500, "advi", eight_schools(), 3, progressbar=False).sample(50) for _ in range(2)]
    np.testing.assert_array_equal(*[r["posterior"]["mu"] for r in runs])


def test_pieces_do_not_change_a_bit():
    def noisy(params, key, data):
        return jnp.sum((params - data) ** 2 * (1 + 0.1 * jax.random.normal(key, params.shape)))

    optim = as_optimizer(Adam(0.03))
    ends = []
    for pieces in ([200] * 4, [1] * 7 + [93] * 9, [150, 1, 649]):
        loop = UpdateLoop(noisy, optim, 100, averaged=True, rated=True)
        position = Position(optim.init(jnp.zeros(5)), jax.random.key_data(jax.random.key(1)))
        job = FitJob(loop, position, jnp.linspace(0.1, 3.0, 5), 800)
        for n in pieces:
            job.advance(n)
        ends.append([*jax.tree.leaves(job.best[2]), job.losses])
    for other in ends[1:]:
        for a, b in zip(ends[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_functions_and_start():
    approximation = px.fit(
        2000, model=schools_function, model_args=(EFFECT, ERROR), random_seed=1, start={"mu": 1.0}, progressbar=False
    )
    assert approximation.sample(10)["posterior"]["theta"].shape == (1, 10, 8)


def test_losses_can_be_plotted():
    import matplotlib as mpl

    mpl.use("Agg")
    with px.Model():
        px.Normal("x", 0.0, 1.0)
        axes = px.fit(300, random_seed=0, progressbar=False).plot_loss()
    assert axes.get_ylabel() == "loss"


@pytest.mark.parametrize("wrong", [{"n": 0}, {"method": "magic"}, {"obj_n_mc": 0}, {"n": 2.5}, {"num_paths": True}])
def test_wrong_arguments(wrong):
    with px.Model() as model:
        px.Normal("x", 0.0, 1.0)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        px.fit(**{"model": model, "progressbar": False, **wrong})


def test_a_flat_direction_has_no_laplace():
    with px.Model() as model:
        x = px.Normal("x", 0.0, 1.0)
        y = px.Flat("y")
        px.Potential("held", -0.5 * (x + 0.0 * y) ** 2)
    with pytest.raises(px.ModelError, match="along y"):
        px.fit(100, "laplace", model, 0, progressbar=False)


# find_MAP


def test_map_is_that_of_the_variables():
    with px.Model():
        px.Gamma("rate", 3.0, 2.0)
        point = px.find_MAP(progressbar=False, include_transformed=True)
    np.testing.assert_allclose(point["rate"], np.exp(point["rate_log__"]), rtol=1e-12)
    np.testing.assert_allclose(point["rate"], 1.0, rtol=1e-5)  # of the density of rate, not of its logarithm
    assert point.converged
    assert "reached from 4 of 4 starts" in repr(point)


def test_map_of_several_variables():
    model, mean, _ = correlated()
    point = px.find_MAP(model=model, progressbar=False)
    np.testing.assert_allclose(point["beta"], mean, rtol=1e-4)
    assert set(px.find_MAP(model=model, vars=["beta"], progressbar=False)) == {"beta"}
    with pytest.raises(ValueError, match="'gamma'"):
        px.find_MAP(model=model, vars=["gamma"], progressbar=False)


def test_map_takes_the_best_of_its_starts():
    with px.Model():
        x = px.Flat("x")
        px.Potential("two", px.math.logsumexp(px.math.stack([-20 * (x - 2) ** 2, 1 - 20 * (x + 2) ** 2]), axis=0))
        point = px.find_MAP(progressbar=False, num_starts=8)
    np.testing.assert_allclose(point["x"], -2.0, atol=1e-4)


def test_map_without_an_end_warns():
    with px.Model():
        x = px.Flat("x")
        px.Potential("uphill", x)
        with pytest.warns(UserWarning, match=r"find_MAP did not converge.*along x"):
            px.find_MAP(progressbar=False, maxeval=20)


# Parts


def test_descent_finds_the_valley():
    def rosenbrock(x, data):
        return ((1 - x[:-1]) ** 2).sum() + data * ((x[1:] - x[:-1] ** 2) ** 2).sum()

    descent = Descent(rosenbrock, np.full(6, -1.2), np.asarray(100.0), 500)
    while descent.done < descent.total:
        descent.advance(37)
    assert descent.converged
    np.testing.assert_allclose(descent.at.position, 1.0, atol=1e-4)
    assert len(descent.trajectory()[0]) < 120


@pytest.mark.parametrize("shape", [0.1, 0.4, 0.8, 1.2])
def test_pareto_shapes(shape):
    rng = np.random.default_rng(0)
    found = [psis.smooth(np.log(stats.genpareto(shape).rvs(4000, random_state=rng))).khat for _ in range(50)]
    # The estimate leans towards 1/2 by its prior; its mean must be near, with the error of fifty.
    assert abs(np.mean(found) - shape) < 0.06


def test_smoothed_weights():
    rng = np.random.default_rng(1)
    x = rng.standard_t(8, 5000)
    smooth = psis.smooth(stats.norm.logpdf(x) - stats.t(8).logpdf(x))
    assert smooth.khat < 0.5
    weights = np.exp(smooth.log_weights)
    np.testing.assert_allclose(weights.sum(), 1.0)
    np.testing.assert_allclose((weights * x**2).sum(), 1.0, atol=0.1)
    assert psis.smooth(np.zeros(1000)).khat == -np.inf
    with pytest.raises(ValueError, match="no importance ratio is finite"):
        psis.smooth(np.full(100, -np.inf))


def test_verdicts():
    assert "good" in psis.verdict(0.2)
    assert "usable" in psis.verdict(0.6)
    assert "misses" in psis.verdict(0.9)
    assert "misses" in psis.verdict(np.inf)


def test_positions_are_draws_in_unconstrained_space():
    model, mean, covariance = correlated()
    approximation = px.fit(method="pathfinder", model=model, random_seed=0, progressbar=False)
    positions = approximation.positions(jax.random.key(0), 50)
    assert positions.shape == (50, 2)
    apart = np.einsum("ni,ij,nj->n", positions - mean, np.linalg.inv(covariance), positions - mean)
    assert 0.5 < apart.mean() / 2 < 2.0


FOLDER = Path(__file__).parents[3] / "shared" / "posteriordb"
REFERENCES = (
    "earnings-logearn_interaction", "arK-arK", "low_dim_gauss_mix-low_dim_gauss_mix",
    "hmm_example-hmm_example", "nes1976-nes", "garch-garch11",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER.exists(), reason="the reference posteriors are not here")
@pytest.mark.parametrize("name", REFERENCES)
def test_reference_posteriors(name):
    from test_posteriordb import MODELS

    stored = json.loads((FOLDER / f"{name}.json").read_text())
    approximation = px.fit(20_000, "fullrank_advi", MODELS[name](stored["data"]), 1, progressbar=False)
    assert approximation.khat < 0.7
    posterior = approximation.sample(4000, random_seed=2)["posterior"]
    assert posterior.sizes["draw"] == 4000
    for scalar, moments in stored["reference"].items():
        variable, _, index = scalar.partition("[")
        values = posterior[variable].values[0]
        values = values[:, int(index[:-1]) - 1] if index else values
        assert abs(values.mean() - moments["mean"]) < 0.1 * moments["sd"], scalar
