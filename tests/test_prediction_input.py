"""Prediction: forms of draws, functions, other models, bad input, interruption."""

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

import pyrox as px
from pyrox import dist, drawwise, primitives, results
from pyrox.errors import ModelError, SamplingError, ShapeError
from tests.checks import assert_distribution
from tests.fits import NAMES, QUIET, draw_hierarchy, hierarchy, known_draws, regression

# Forms of draws


def test_forms_of_draws_agree():
    model, values = hierarchy(), draw_hierarchy(40)
    idata = known_draws(model, values)
    posterior = results.groups_of(idata)["posterior"]
    whole = px.sample_posterior_predictive(idata, model, **QUIET)["posterior_predictive"]["y"].values
    points = [{name: x[0, i] for name, x in values.items()} for i in range(40)]

    def drawn(trace, **options):
        found = px.sample_posterior_predictive(trace, model, **QUIET, **options)["posterior_predictive"]
        return found["y"].transpose(..., "row")

    np.testing.assert_array_equal(drawn(posterior).values, whole)
    np.testing.assert_array_equal(drawn(values).values, whole)
    np.testing.assert_array_equal(drawn(points).values, whole[:1])
    np.testing.assert_array_equal(drawn({name: x[0] for name, x in values.items()}).values, whole[:1])
    # Thinned and stacked ones are told by their labels.
    np.testing.assert_array_equal(drawn(posterior.isel(draw=slice(None, None, 5))).values, whole[:, ::5])
    stacked = drawn(posterior.stack(sample=["chain", "draw"]))
    assert stacked.dims == ("sample", "row")
    np.testing.assert_array_equal(stacked.unstack("sample").transpose("chain", "draw", "row").values, whole)
    renamed = drawn(posterior.rename(draw="iteration"), sample_dims=["chain", "iteration"])
    assert renamed.dims == ("chain", "iteration", "row")
    np.testing.assert_array_equal(renamed.values, whole)


def test_one_point():
    model = regression([1.0, 2.0], [1.0, 2.0])
    drawn = px.sample_posterior_predictive({"slope": 3.0}, model, **QUIET)["posterior_predictive"]
    assert drawn["y"].shape == (1, 1, 2)


def test_results_do_not_depend_on_batches_or_on_what_else_is_drawn(monkeypatch):
    model, values = hierarchy(), draw_hierarchy(150)
    whole = px.sample_posterior_predictive(values, model, **QUIET)["posterior_predictive"]["y"].values
    more = px.sample_posterior_predictive(values, model, ["tau", "y"], frozen=["theta", "tau"], **QUIET)
    np.testing.assert_array_equal(more["posterior_predictive"]["y"].values, whole)
    monkeypatch.setattr(drawwise, "_BATCH", 16)
    monkeypatch.setattr(drawwise, "available_cores", lambda: 3)
    parts = px.sample_posterior_predictive(values, model, **QUIET)["posterior_predictive"]["y"].values
    np.testing.assert_array_equal(parts, whole)
    other = px.sample_posterior_predictive(values, model, progressbar=False, random_seed=2)
    assert not np.any(other["posterior_predictive"]["y"].values == whole)


def test_dicts_of_arrays_and_extension():
    model, values = hierarchy(), draw_hierarchy(10)
    plain = px.sample_posterior_predictive(values, model, return_inferencedata=False, **QUIET)
    assert plain["y"].shape == (2, 10, 8)
    assert px.sample_prior_predictive(7, model, return_inferencedata=False)["theta"].shape == (7, 4)
    idata = known_draws(model, values)
    same = px.sample_posterior_predictive(idata, model, extend_inferencedata=True, **QUIET)
    assert same is idata
    np.testing.assert_array_equal(idata["posterior_predictive"]["y"].values, plain["y"])
    px.sample_posterior_predictive(idata, model, extend_inferencedata=True, progressbar=False, random_seed=5)
    assert not np.array_equal(idata["posterior_predictive"]["y"].values, plain["y"])
    px.predict(idata, model=model, extend_inferencedata=True, **QUIET)
    assert {"predictions", "predictions_constant_data"} <= set(results.groups_of(idata))


# Functions of primitives


def program(x, y=None):
    slope = primitives.sample("slope", dist.Normal(0.0, 1.0))
    primitives.deterministic("mean", slope * x)
    with primitives.plate("row", len(x)):
        return primitives.sample("y", dist.Normal(slope * x, 1.0), obs=y)


def test_functions_of_primitives():
    x = np.array([0.0, 10.0])
    values = {"slope": np.random.default_rng(0).normal(size=(1, 2000))}
    drawn = px.sample_posterior_predictive(values, program, model_args=(x,), **QUIET)["posterior_predictive"]
    assert set(drawn.data_vars) == {"y"}
    assert drawn["y"].dims == ("chain", "draw", "row")
    assert_distribution(drawn["y"].values - values["slope"][..., None] * x, stats.norm.cdf)
    again = px.sample_posterior_predictive(values, program, model_args=(x, np.zeros(2)), **QUIET)
    np.testing.assert_array_equal(again["posterior_predictive"]["y"].values, drawn["y"].values)
    assert "observed_data" in results.groups_of(again)
    found = px.predict(values, model=program, model_args=(np.ones(3),), var_names=["y", "mean"], **QUIET)
    assert found["predictions"]["y"].shape == (1, 2000, 3)
    prior = px.sample_prior_predictive(20, program, model_kwargs={"x": x, "y": x})
    assert set(prior["prior"].data_vars) == {"slope", "mean"}
    assert prior["prior_predictive"]["y"].shape == (1, 20, 2)
    with pytest.raises(ModelError, match="model_args"):
        px.predict(values, {"x": [1.0]}, model=program)


# Other models, views


def test_draws_of_another_model():
    model, values = hierarchy(), draw_hierarchy(10)
    idata = known_draws(model, values)
    with px.Model(coords={"group": NAMES}) as other:
        mu, tau = px.Normal("mu", 0.0, 5.0), px.HalfNormal("tau", 3.0)
        px.Normal("theta", mu, tau, dims="group")
        px.Normal("y_new", mu, 1.0, observed=[0.0])
    with pytest.raises(ModelError, match="only there: group_idx, y; only here: y_new; stated otherwise: tau"):
        px.predict(idata, model=other)
    with pytest.warns(UserWarning, match="taken by name"):
        px.sample_posterior_predictive(idata, other, **QUIET)
    with px.Model() as wrong:
        px.Normal("y", px.Normal("theta", shape=3), 1.0, observed=np.zeros(3))
    with pytest.raises(ShapeError, match=r"theta.*length 3.*4"):
        px.sample_posterior_predictive(idata, wrong, **QUIET)
    # Of unknown draws nothing is known.
    px.sample_posterior_predictive(values, model, **QUIET)


def test_views_of_the_model_are_no_other_models():
    model, values = hierarchy(), draw_hierarchy(400)
    idata = known_draws(model, values)
    view = px.do(model, {"mu": 100.0})
    found = px.predict(idata, coords={"group": ["new"]}, data={"group_idx": [0]}, model=view, **QUIET)
    assert np.all(found["predictions"]["theta"].values > 50.0)
    px.sample_posterior_predictive(idata, view, **QUIET)


# Bad input


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"data": {"foo": [1.0]}}, ModelError, "no variable 'foo'; its px.Data are group_idx"),
        ({"data": {"mu": 1.0}}, ModelError, "'mu' is no px.Data"),
        ({"coords": {"foo": [1.0]}}, ModelError, "no dim 'foo'; it has group"),
        ({"data": {"group_idx": [[0]]}}, ShapeError, "1 axes"),
        ({"data": {"group_idx": [0, 5]}}, ShapeError, "5 is out of bounds for length 4"),
        ({"coords": {"group": ["a", "x"]}}, ModelError, "refer to the levels 'b', 'c', 'd'"),
        ({"coords": {"group": ["a", "a"]}}, ModelError, "dim 'group' has several elements with the label 'a'"),
        ({"var_names": ["foo"]}, ModelError, "var_names: the model has no variable 'foo'"),
        ({"frozen": ["foo"]}, ModelError, "frozen: the model has no variable 'foo'"),
        ({"coords": {"group": [*NAMES, "e"]}, "frozen": ["theta"]}, ShapeError, "'theta' cannot keep its draws"),
    ],
)
def test_bad_input(options, kind, message):
    model = hierarchy()
    with pytest.raises(kind, match=message):
        px.predict(known_draws(model, draw_hierarchy(5)), model=model, **options, **QUIET)


def test_doubled_labels_are_refused_only_where_they_have_to_be_matched():
    with px.Model(coords={"school": ["A", "A", "B"]}) as model:
        x = px.Data("x", [1.0, 1.0, 1.0], dims="school")
        theta = px.Normal("theta", dims="school")
        px.Normal("y", theta * x, 1e-6, observed=[0.0, 0.0, 0.0], dims="school")
    idata = known_draws(model, {"theta": np.broadcast_to([1.0, 2.0, 3.0], (1, 5, 3))})

    def drawn(**options):
        return px.predict(idata, model=model, **options, **QUIET)["predictions"]["y"].values[0, 0]

    whole = px.sample_posterior_predictive(idata, model, **QUIET)["posterior_predictive"]["y"]
    assert whole.sel(school="A").shape == (1, 5, 2)
    np.testing.assert_allclose(whole.values[0, 0], [1.0, 2.0, 3.0], atol=1e-4)
    np.testing.assert_allclose(drawn(data={"x": [2.0, 3.0, 4.0]}), [2.0, 6.0, 12.0], atol=1e-4)
    np.testing.assert_allclose(drawn(data={"x": [5.0]}, coords={"school": ["B"]}), [15.0], atol=1e-4)
    for labels in (["A", "B"], ["B", "A", "A"]):
        with pytest.raises(ModelError, match=r"dim 'school' has several elements with the label 'A'.*of its own"):
            drawn(data={"x": np.ones(len(labels))}, coords={"school": labels})


def test_new_data_of_another_length_need_labels_where_there_are_some():
    with px.Model(coords={"row": list("abc")}) as model:
        x, w = px.Data("x", [1.0, 2.0, 3.0], dims="row"), px.Data("w", [1.0, 1.0, 1.0], dims="row")
        px.Normal("y", px.Normal("slope") * x * w, 1.0, observed=[0.0, 0.0, 0.0], dims="row")
    idata = known_draws(model, {"slope": np.ones((1, 3))})
    with pytest.raises(ShapeError, match=r"'x' has length 2 on dim 'row', which has 3 labels.*coords"):
        px.predict(idata, {"x": [1.0, 2.0]}, model=model)
    with pytest.raises(ModelError, match="data 'w' lie along it as well"):
        px.predict(idata, {"x": [1.0, 2.0]}, {"row": ["a", "b"]}, model)
    with pytest.raises(ModelError, match="new levels 'd'"):
        px.predict(idata, coords={"row": ["a", "d"]}, model=model)
    found = px.predict(idata, coords={"row": ["c", "a"]}, model=model, **QUIET)
    assert found["predictions_constant_data"]["x"].values.tolist() == [3.0, 1.0]


def test_indices_that_stand_in_the_model_cannot_be_moved():
    with px.Model(coords={"group": NAMES}) as model:
        theta = px.Normal("theta", dims="group")
        px.Normal("y", theta[np.array([0, 1, 3])], 1.0, observed=np.zeros(3))
    idata = known_draws(model, {"theta": np.ones((1, 3, 4))})
    with pytest.raises(ModelError, match=r"'theta' is indexed along dim 'group' by numbers"):
        px.predict(idata, coords={"group": NAMES[::-1]}, model=model)
    px.predict(idata, coords={"group": [*NAMES, "e"]}, model=model, **QUIET)


def test_levels_that_are_drawn_together_cannot_be_added():
    with px.Model(coords={"group": NAMES}) as model:
        theta = px.ZeroSumNormal("theta", 1.0, dims="group")
        px.Normal("y", theta, 1.0, observed=np.zeros(4), dims="group")
    idata = known_draws(model, {"theta": np.zeros((1, 3, 4))})
    with pytest.raises(ModelError, match=r"'theta': 1 of 5 levels of group are new.*ZeroSumNormal draws all"):
        px.predict(idata, coords={"group": [*NAMES, "e"]}, model=model)


def test_draws_that_lack_a_variable():
    model, values = hierarchy(), draw_hierarchy(5)
    del values["theta"]
    with pytest.raises(ModelError, match="the draws lack theta, which y needs"):
        px.sample_posterior_predictive(values, model, **QUIET)
    drawn = px.sample_posterior_predictive(values, model, ["theta", "y"], **QUIET)
    assert json.loads(drawn["posterior_predictive"].attrs["redrawn"]) == {"theta": "as asked for"}


@pytest.mark.parametrize(
    ("trace", "kind", "message"),
    [
        (3.0, ModelError, "draws come as"),
        (None, ModelError, "what px.sample returns"),
        (regression([1.0], [1.0]), ModelError, "met Model"),
        ([], ModelError, "one dict"),
        ([{"slope": 1.0}, {}], ModelError, "lack 'slope'"),
        ({"other": 1.0}, ModelError, "the draws hold other"),
        ({"slope": np.zeros((1, 2, 3, 4))}, ShapeError, "chain, draw"),
    ],
)
def test_bad_draws(trace, kind, message):
    with pytest.raises(kind, match=message):
        px.sample_posterior_predictive(trace, regression([1.0], [1.0]), **QUIET)


def test_other_bad_arguments():
    model = regression([1.0], [1.0])
    with pytest.raises(TypeError, match="did you mean draws"):
        px.sample_prior_predictive(model=model, drows=3)
    with pytest.raises(ValueError, match="draws"):
        px.sample_prior_predictive(0, model)
    with pytest.raises(ModelError, match="extend_inferencedata"):
        px.sample_posterior_predictive({"slope": 1.0}, model, extend_inferencedata=True)
    with pytest.raises(ModelError, match="no model here"):
        px.sample_prior_predictive()
    with pytest.raises(TypeError, match="idata_kwargs"):
        px.sample_prior_predictive(model=model, idata_kwargs={"foo": 1})
    with px.Model() as unobserved:
        px.Normal("mu")
    with pytest.raises(ModelError, match="observes nothing"):
        px.sample_posterior_predictive({"mu": 1.0}, unobserved)


def test_improper_priors():
    with px.Model() as model:
        px.Normal("y", px.Flat("mu"), px.HalfFlat("sigma"), observed=[0.0, 1.0])
    with pytest.raises(ModelError, match="'mu' cannot be drawn"):
        px.sample_prior_predictive(10, model)
    drawn = px.sample_posterior_predictive({"mu": np.zeros((1, 9)), "sigma": np.ones((1, 9))}, model, **QUIET)
    assert drawn["posterior_predictive"]["y"].shape == (1, 9, 2)


def test_potentials_have_no_part_in_the_prior():
    with px.Model() as model:
        px.Potential("penalty", -(px.Normal("x") ** 2))
    with pytest.warns(UserWarning, match="penalty"):
        px.sample_prior_predictive(10, model)


_INTERRUPTED = """
import os, signal, threading, warnings
import numpy as np
import pyrox as px
with px.Model() as model:
    slow = px.lift(lambda x: jax.lax.fori_loop(0, 200_000, lambda i, v: v + jnp.sin(v), x))
    px.Normal("y", slow(px.Normal("x")), 1.0, observed=[0.0])
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin without it
threading.Timer(4.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    found = px.sample_posterior_predictive({"x": np.zeros((2, 100_000))}, model, progressbar=False)
kept = found["posterior_predictive"]["y"].sizes["draw"]
print(0 < kept < 100_000, [str(w.message) for w in caught if "interrupted" in str(w.message)] != [])
"""


def test_ctrl_c_keeps_what_is_drawn():
    code = "import jax, jax.numpy as jnp" + _INTERRUPTED
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert out.stdout.split() == ["True", "True"], out.stderr[-2000:]


def test_ctrl_c_before_anything_is_drawn(monkeypatch):
    monkeypatch.setattr(drawwise.Runner, "run", lambda self: False)
    with pytest.raises(SamplingError, match="before anything"):
        px.sample_posterior_predictive({"slope": 1.0}, regression([1.0], [1.0]), **QUIET)
