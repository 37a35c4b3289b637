"""Minibatches, callbacks and PyMC's optimizers in px.fit."""

import jax.numpy as jnp
import numpy as np
import pytest

import pyrox as px
from pyrox.errors import ModelError, ShapeError
from pyrox.model import LogDensity

ROWS, SIZE = 4000, 100
rng = np.random.default_rng(5)
X = rng.normal(size=(ROWS, 2))
Y = X @ [1.0, -2.0] + rng.normal(size=ROWS)
COVARIANCE = np.linalg.inv(X.T @ X + np.eye(2) / 100.0)
MEAN, SD = COVARIANCE @ X.T @ Y, np.sqrt(np.diag(COVARIANCE))


def regression(**options):
    with px.Model() as model:
        x, y = px.Minibatch(X, Y, batch_size=SIZE)
        beta = px.Normal("beta", 0.0, 10.0, shape=2)
        px.Normal("y", px.math.dot(x, beta), 1.0, observed=y, **options)
    return model


def test_fit_in_batches_finds_the_posterior_of_all_rows():
    found = px.fit(model=regression(total_size=ROWS), random_seed=1, progressbar=False)
    draws = found.sample(4000, random_seed=2)["posterior"]["beta"].values[0]
    assert found.khat < 0.7  # judged by all rows: near enough that its draws can be weighed
    # The last steps are averaged; what the noise of the batches leaves is small beside the posterior.
    np.testing.assert_allclose(draws.mean(axis=0), MEAN, atol=0.3 * SD.max())
    np.testing.assert_allclose(draws.std(axis=0), SD, rtol=0.25)


def test_each_step_looks_at_one_batch():
    density = LogDensity.build(regression())
    index = density.data["sites"]["minibatch:0"]
    np.testing.assert_array_equal(index, np.arange(ROWS))
    rows = np.array([3, 1, 4])
    data = {**density.data, "sites": {**density.data["sites"], "minibatch:0": jnp.asarray(rows)}}
    beta = np.array([0.5, -1.0])
    errors = Y[rows] - X[rows] @ beta
    expected = -0.5 * (errors**2 + np.log(2 * np.pi)).sum() * ROWS / 3
    np.testing.assert_allclose(density.site_terms(jnp.asarray(beta), data)["y"], expected, rtol=1e-12)


def test_everything_else_looks_at_all_rows():
    whole = LogDensity.build(regression())
    with px.Model() as plain:
        beta = px.Normal("beta", 0.0, 10.0, shape=2)
        px.Normal("y", px.math.dot(X, beta), 1.0, observed=Y)
    other = LogDensity.build(plain)
    position = jnp.asarray([0.3, 0.2])
    np.testing.assert_allclose(whole(position, whole.data), other(position, other.data), rtol=1e-12)
    idata = px.sample(20, tune=20, chains=1, quiet=True, model=regression(), random_seed=1)
    assert idata["observed_data"]["y"].shape == (ROWS,)


def test_batches_of_data_follow_set_data():
    with px.Model(coords={"row": range(ROWS)}) as model:
        x = px.Data("x", X[:, 0], dims="row")
        y = px.Data("y_data", Y, dims="row")
        some_x, some_y = px.Minibatch(x, y, batch_size=50)
        px.Normal("y", px.Normal("slope") * some_x, 1.0, observed=some_y, dims="row")
    px.set_data({"x": X[:300, 0], "y_data": Y[:300]}, model, coords={"row": range(300)})
    found = px.fit(1000, model=model, random_seed=1, progressbar=False).sample(500, random_seed=1)["posterior"]["slope"]
    expected = X[:300, 0] @ Y[:300] / (X[:300, 0] @ X[:300, 0] + 1)
    assert abs(float(found.mean()) - expected) < 0.1  # the posterior's deviation is 0.06
    twin = px.prune(model)
    assert px.fit(200, model=twin, random_seed=1, progressbar=False).losses.size == 200


def test_groups_are_indexed_by_batches():
    group = rng.integers(0, 4, 1000)
    y = np.array([0.0, 1.0, 2.0, 3.0])[group] + rng.normal(size=1000)
    with px.Model():
        some_group, some_y = px.Minibatch(group, y, batch_size=100)
        level = px.Normal("level", 0.0, 10.0, shape=4)
        px.Normal("y", level[some_group], 1.0, observed=some_y, total_size=len(y))
        found = px.fit(random_seed=2, progressbar=False).sample(1000, random_seed=2)["posterior"]["level"].values[0]
    means = np.array([y[group == k].mean() for k in range(4)])
    np.testing.assert_allclose(found.mean(axis=0), means, atol=0.06)  # a posterior deviation


def test_a_saved_model_keeps_its_batches(tmp_path):
    px.save(regression(), None, tmp_path / "m.pyrox")
    model, _ = px.load(tmp_path / "m.pyrox")
    assert model["y"].batch.batch_size == SIZE
    assert px.fit(100, model=model, random_seed=1, progressbar=False).losses.size == 100


def _two(separate):
    with px.Model() as model:
        x, y = (px.Minibatch(a, batch_size=50) for a in (X, Y)) if separate else (px.Minibatch(X, batch_size=50), Y)
        px.Normal("y", px.math.dot(x, px.Normal("beta", shape=2)), 1.0, observed=y)
    px.fit(100, model=model, progressbar=False)


def _latent():
    with px.Model() as model:
        x, y = px.Minibatch(X[:, 0], Y, batch_size=50)
        px.Normal("y", px.Normal("z", x, 1.0), 1.0, observed=y)
    px.fit(100, model=model, progressbar=False)


def _shared():
    some = px.Minibatch(Y, batch_size=50)
    for first in (some, px.Minibatch(Y, batch_size=40)):
        with px.Model():
            px.Normal("a", px.Normal("mu"), 1.0, observed=first)
            px.Normal("b", 0.0, 1.0, observed=some)


WRONG = {
    "lengths": (lambda: px.Minibatch(X, Y[:10], batch_size=5), ShapeError, "10 and 4000 rows"),
    "larger": (lambda: px.Minibatch(Y[:10], batch_size=11), ShapeError, "batch_size=11, but the data have 10 rows"),
    "size": (lambda: px.Minibatch(Y, batch_size=0), ModelError, "batch_size is a whole number of at least 1; met 0"),
    "number": (lambda: px.Minibatch(3.0, batch_size=1), ShapeError, "argument 0 of Minibatch has no rows"),
    "separate": (lambda: _two(separate=True), ModelError, "y depends on the rows of a Minibatch, .*not those"),
    "one alone": (lambda: _two(separate=False), ModelError, "y depends on the rows of a Minibatch"),
    "latent": (_latent, ModelError, "z depends on the rows of a Minibatch, and is a variable of single rows"),
    "two models": (_shared, ModelError, "a Minibatch belongs to one model"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_batched_is_told(case):
    call, error, words = WRONG[case]
    with pytest.raises(error, match=words):
        call()


def test_variables_are_not_batched():
    with px.Model():
        x = px.Normal("x", shape=10)
        with pytest.raises(ModelError, match=r"is data, an array or px.Data; met RandomVariable 'x'"):
            px.Minibatch(x, batch_size=2)


def conjugate():
    with px.Model() as model:
        mu = px.Normal("mu", 0.0, 10.0)
        px.Normal("y", mu, 1.0, observed=[1.0, 2.0, 3.0])
    return model


PRECISION = 3 + 1 / 100


@pytest.mark.parametrize(
    "optimizer",
    [
        px.adam(learning_rate=0.01), px.adamax(0.02), px.adagrad(0.1), px.adagrad_window(learning_rate=0.02, n_win=20),
        px.adadelta(), px.rmsprop(0.01), px.sgd(0.01), px.momentum(0.001), px.nesterov_momentum(0.001),
    ],
    ids=["adam", "adamax", "adagrad", "adagrad_window", "adadelta", "rmsprop", "sgd", "momentum", "nesterov_momentum"],
)  # fmt: skip
def test_optimizers_under_pymcs_names(optimizer):
    found = px.fit(2000, model=conjugate(), obj_optimizer=optimizer, random_seed=1, progressbar=False)
    draws = found.sample(4000, random_seed=1)["posterior"]["mu"].values
    assert abs(draws.mean() - 6 / PRECISION) < 0.05
    assert abs(draws.std() * PRECISION**0.5 - 1) < 0.05


def test_callbacks_see_the_fit_and_may_end_it():
    tracker = px.callbacks.Tracker(
        mean=lambda approx: approx.params["loc"], steps=lambda approx, losses, i: (i, len(losses)), nothing=lambda: 0
    )
    check = px.callbacks.CheckParametersConvergence(every=100, tolerance=1e-2, diff="absolute")
    options = {"early_stopping": False, "random_seed": 1, "progressbar": False}
    found = px.fit(20_000, model=conjugate(), callbacks=[tracker, check], **options)
    assert found.converged
    assert found.hist.size < 20_000
    assert tracker["steps"][-1] == (found.hist.size, found.hist.size)
    assert len(tracker["nothing"]) == len(tracker["mean"]) > 1
    assert tracker["mean"][0].shape == (1,)


def test_callbacks_change_nothing():
    options = {"model": conjugate(), "random_seed": 1, "progressbar": False}
    watched, alone = px.fit(2000, callbacks=[lambda *_: None], **options), px.fit(2000, **options)
    np.testing.assert_array_equal(watched.losses, alone.losses)


def test_errors_of_callbacks_come_out():
    def broken(approx, losses, i):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        px.fit(model=conjugate(), callbacks=[broken], progressbar=False)
    with pytest.raises(ValueError, match="'relative' or 'absolute'"):
        px.callbacks.CheckParametersConvergence(diff="other")
