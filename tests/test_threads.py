"""Threads that build, sample and predict at once get what each would have got alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import pyrox as px
from tests.fits import QUIET, known_draws, regression

RUN = {"draws": 60, "tune": 60, "chains": 2, "cores": 1, "random_seed": 3, "quiet": True, "progressbar": False}
FAMILIES = (px.Normal, px.Laplace, px.Logistic, px.Gumbel)


def build_and_sample(number, gate=None):
    """Write one of eight models, statement by statement beside the others, and sample it."""
    with px.Model(coords={"row": np.arange(number + 2)}):
        if gate is not None:
            gate.wait()
        mu = px.Normal("mu", 0.0, 1.0 + number)
        scale = px.HalfNormal("scale", 1.0)
        x = FAMILIES[number % 4]("x", mu, scale, dims="row")
        px.Normal("y", x, 1.0, observed=np.arange(number + 2.0), dims="row")
        if gate is not None:
            gate.wait()
        drawn = px.sample(**RUN)["posterior"]
    assert px.Model.get_context(error_if_none=False) is None
    return {name: drawn[name].values for name in ("mu", "scale", "x")}


def test_eight_threads_with_eight_models():
    gate = threading.Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda number: build_and_sample(number, gate), range(8)))
    for number, found in enumerate(together):
        alone = build_and_sample(number)
        for name, values in alone.items():
            assert values.shape[2:] == ((number + 2,) if name == "x" else ())
            np.testing.assert_array_equal(found[name], values, err_msg=f"model {number}, {name}")


def test_predictions_leave_the_model_to_other_threads():
    model = regression([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    idata = known_draws(model, {"slope": np.ones((1, 4))})
    expected = px.sample_posterior_predictive(idata, model, **QUIET)["posterior_predictive"]["y"].values
    predicted = px.predict(idata, {"x": [5.0, 6.0]}, model=model, **QUIET)["predictions"]["y"].values
    version = model.structure_version
    done, wrong = threading.Event(), []

    def predict():
        for _ in range(12):
            found = px.predict(idata, {"x": [5.0, 6.0]}, model=model, **QUIET)["predictions"]["y"].values
            if not np.array_equal(found, predicted):
                wrong.append(found)
        done.set()

    worker = threading.Thread(target=predict)
    worker.start()
    looked = 0
    while not done.is_set():
        np.testing.assert_array_equal(model["x"].eval(), [1.0, 2.0, 3.0])
        assert model["y"].shape == (3,)
        assert model.structure_version == version
        looked += 1
    worker.join()
    assert looked > 12
    assert not wrong
    np.testing.assert_array_equal(
        px.sample_posterior_predictive(idata, model, **QUIET)["posterior_predictive"]["y"].values, expected
    )


def test_predictions_side_by_side_at_different_data():
    model = regression([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    idata = known_draws(model, {"slope": np.ones((1, 4))})

    def predict(n):
        return px.predict(idata, {"x": np.arange(n + 1.0)}, model=model, **QUIET)["predictions"]["y"].values

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(predict, range(4)))
    for n, found in enumerate(together):
        assert found.shape == (1, 4, n + 1)
        np.testing.assert_array_equal(found, predict(n))
