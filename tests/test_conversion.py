"""Draws of another algorithm become results like those of px.sample."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyrox as px
import pyrox.dist as dist
from pyrox.errors import ModelError, ShapeError, SupportError
from pyrox.model import LogDensity
from pyrox.primitives import deterministic, plate, sample
from pyrox.results import groups_of


def line():
    with px.Model(coords={"row": list("abc"), "kind": ["x", "y"]}) as model:
        x = px.Data("x", np.arange(3.0), dims="row")
        slope = px.Normal("slope", dims="kind")
        sigma = px.HalfNormal("sigma", 1.0)
        mean = px.Deterministic("mean", slope[0] * x + slope[1], dims="row")
        px.Normal("y", mean, sigma, observed=[1.0, 2.0, 3.0], dims="row")
    return model


def draws(seed=1):
    rng = np.random.default_rng(seed)
    return {"slope": rng.normal(size=(2, 5, 2)), "sigma": np.exp(rng.normal(size=(2, 5)))}


def test_values_by_name_get_dims_coords_and_what_follows():
    values = draws()
    groups = groups_of(px.to_inference_data(values, model=line(), sample_stats={"lp": np.zeros((2, 5))}))
    posterior = groups["posterior"]
    assert set(groups) == {"posterior", "sample_stats", "observed_data", "constant_data"}
    assert posterior["slope"].dims == ("chain", "draw", "kind")
    assert posterior["mean"].dims == ("chain", "draw", "row")
    assert posterior["row"].values.tolist() == list("abc")
    for name, x in values.items():
        np.testing.assert_array_equal(posterior[name], x)
    expected = values["slope"][..., :1] * np.arange(3.0) + values["slope"][..., 1:]
    np.testing.assert_allclose(posterior["mean"], expected, rtol=1e-12)
    np.testing.assert_array_equal(groups["observed_data"]["y"], [1.0, 2.0, 3.0])


def test_positions_are_those_of_the_log_density():
    model, values = line(), draws()
    density = LogDensity.build(model)
    positions = np.concatenate([values["slope"], np.log(values["sigma"])[..., None]], axis=-1)
    posterior = groups_of(px.to_inference_data(positions, model=model))["posterior"]
    for name, x in values.items():
        np.testing.assert_allclose(posterior[name], x, rtol=1e-12)
    place = jax.vmap(lambda v: density.unconstrain(v, density.data))
    np.testing.assert_allclose(place({n: jnp.asarray(x[0]) for n, x in values.items()}), positions[0], rtol=1e-12)


def test_results_go_on_like_those_of_px_sample():
    model = line()
    idata = px.to_inference_data(draws(), model=model)
    predicted = px.predict(idata, model=model, random_seed=1, progressbar=False)
    assert groups_of(predicted)["predictions"]["y"].dims == ("chain", "draw", "row")
    terms = px.compute_log_likelihood(idata, model=model, extend_inferencedata=False, progressbar=False)
    assert terms["y"].shape == (2, 5, 3)


def test_functions_take_labels():
    def program(y):
        with plate("row", len(y)):
            x = sample("x", dist.Normal(0.0, 1.0))
            deterministic("twice", 2 * x)
            sample("y", dist.Normal(x, 1.0), obs=y)

    labels = {"row": list("abc")}
    idata = px.to_inference_data(np.ones((1, 4, 3)), model=program, model_args=(np.zeros(3),), coords=labels)
    twice = groups_of(idata)["posterior"]["twice"].sel(row="b")
    assert twice.values.tolist() == [[2.0] * 4]


MISUSES = {
    "a missing variable": (ModelError, r"lack sigma", lambda d: {"slope": d["slope"]}),
    "a name of none": (ModelError, r"'z' have no place", lambda d: {**d, "z": d["sigma"]}),
    "another shape": (ShapeError, r"'slope' have the shape \(chain, draw, 2\)", lambda d: {**d, "slope": d["sigma"]}),
    "other draws": (ShapeError, r"same chains and draws", lambda d: {**d, "sigma": d["sigma"][:, :3]}),
    "outside": (SupportError, r"'sigma' lie in its support; met -", lambda d: {**d, "sigma": -d["sigma"]}),
    "not a number": (SupportError, r"'slope'", lambda d: {**d, "slope": d["slope"] * np.nan}),
    "flat positions": (ShapeError, r"positions\[None\] is one chain", lambda _: np.zeros((5, 3))),
    "wrong dimension": (ShapeError, r"\(chain, draw, 3\).*slope, sigma", lambda _: np.zeros((1, 5, 4))),
}


@pytest.mark.parametrize(("kind", "message", "change"), MISUSES.values(), ids=MISUSES)
def test_wrong_draws_are_named(kind, message, change):
    with pytest.raises(kind, match=message):
        px.to_inference_data(change(draws()), model=line())


def test_statistics_have_chains_and_draws():
    with pytest.raises(ShapeError, match="'lp' begins with"):
        px.to_inference_data(draws(), model=line(), sample_stats={"lp": np.zeros(5)})


def test_discrete_variables_are_drawn_given_the_others():
    with px.Model() as model:
        w = px.Beta("w", 1, 1)
        z = px.Bernoulli("z", w)
        px.Normal("y", z * 50.0, 1.0, observed=50.0)
    idata = px.to_inference_data({"w": np.full((1, 8), 0.5)}, model=model)
    assert np.all(groups_of(idata)["posterior"]["z"] == 1)  # the odds are exp(1250)
    with pytest.raises(ModelError, match="'z' have no place: it is drawn given the others"):
        px.to_inference_data({"w": np.full((1, 8), 0.5), "z": np.ones((1, 8), int)}, model=model)
