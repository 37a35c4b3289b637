"""Wrong uses of what comes before and after a run: views of models, prediction, files, reports, settings."""

import tempfile
from pathlib import Path

import numpy as np

import pyrox as px
from pyrox.errors import ModelError, ShapeError, SupportError
from tests.faults.common import KEY, QUIET, Row, program, results


def _other():
    with px.Model() as other:
        px.Normal("q")
    return other


def _discrete():
    with px.Model() as other:
        px.Normal("y", px.Bernoulli("z", 0.5) * px.Normal("mu"), 1.0, observed=1.0)
    return other


VIEWS = [
    Row("do to nobody", lambda m: px.do(m, {"nu": 1.0}), ModelError, ("do", "'nu'", "mu, level")),
    Row("do by a word", lambda m: px.do(m, {"mu": "a"}), ModelError, ("do", "'mu'", "must be numbers")),
    Row("do of another shape", lambda m: px.do(m, {"mu": [1.0, 2.0]}), ShapeError, ("do", "'mu'", "()", "(2,)")),
    Row("do to what is observed", lambda m: px.do(m, {"y": 1.0}), ModelError, ("'y'", "observed", "px.unobserve")),
    Row("do to data", lambda m: px.do(m, {"x": [1.0, 2.0, 3.0]}), ModelError, ("'x'", "px.set_data")),
    Row("do, the arguments exchanged", lambda m: px.do({"mu": 1.0}, m), ModelError, ("do takes a px.Model", "'mu'")),
    Row("do to a model's name", lambda m: px.do("m", {"mu": 1.0}), ModelError, ("px.Model", "'m'")),
    Row("observing nobody", lambda m: px.observe(m, {"nu": 1.0}), ModelError, ("observe", "'nu'", "mu, level")),
    Row("observing again", lambda m: px.observe(m, {"y": [1.0, 2.0, 3.0]}), ModelError, ("'y'", "px.unobserve")),
    Row("observing another shape", lambda m: px.observe(m, {"mu": [1.0]}), ShapeError, ("mu", "(1,)", "()")),
    Row("observing a name", lambda m: px.observe(m, "mu"), ModelError, ("observe", "dict", "'mu'")),
    Row("forgetting what is free", lambda m: px.unobserve(m, ["mu"]), ModelError, ("'mu'", "not observed")),
    Row("forgetting in no model", lambda m: px.unobserve(3, ["mu"]), ModelError, ("unobserve takes a px.Model", "3")),
    Row("non-centring what is observed", lambda m: px.noncenter(m, ["y"]), ModelError, ("'y'", "px.unobserve")),
    Row("non-centring nobody", lambda m: px.noncenter(m, ["nu"]), ModelError, ("'nu'", "mu, level")),
    Row("non-centring data", lambda m: px.noncenter(m, "x"), ModelError, ("'x'", "Data")),
    Row("pruning a name", lambda m: px.prune("m"), ModelError, ("prune takes a px.Model", "'m'")),
    Row(
        "a transform by its word", lambda m: px.change_value_transforms(m, {"mu": "log"}), ModelError, ("'mu'", "'log'")
    ),
    Row("a transform of nobody", lambda m: px.change_value_transforms(m, {"nu": None}), ModelError, ("'nu'",)),
    Row("summing out what is continuous", lambda m: px.marginalize(m, ["mu"]), ModelError, ("'mu'", "no discrete")),
    Row("summing out of a name", lambda m: px.marginalize("m"), ModelError, ("Model", "str")),
    Row("summing out without a model", lambda m: px.marginalize(), ModelError, ("with px.Model()", "model=")),
    Row(
        "recovering what was not summed out",
        lambda m: px.recover_marginals(results(), model=m),
        ModelError,
        ("no discrete",),
    ),
    Row(
        "recovering by another name",
        lambda m: px.recover_marginals(results(), var_names=["mu"], model=_discrete()),
        ModelError,
        ("'mu'", "z"),
    ),
    Row("describing a name", lambda m: px.describe("m"), ModelError, ("px.Model", "'m'")),
    Row("drawing a name", lambda m: px.render("m"), ModelError, ("px.Model", "'m'")),
    Row("a picture of a number", lambda m: px.to_mermaid(3), ModelError, ("px.Model", "3")),
    Row("a picture of no model", lambda m: px.model_to_graphviz(), ModelError, ("with px.Model()",)),
    Row("explaining a name", lambda m: px.explain_compilation("m"), ModelError, ("Model", "str")),
    Row("another form of writing", lambda m: m.str_repr("word"), ModelError, ("'plain'", "'latex'", "'word'")),
    Row("the density of nobody", lambda m: m.compile_logp("nu"), ModelError, ("'nu'", "mu")),
    Row("a point that lacks a value", lambda m: m.compile_logp()({"mu": 1.0}), ModelError, ("'level'", "'mu'")),
    Row("a point of nobody", lambda m: m.point_logps({"nu": 1.0}), ModelError, ("'nu'", "mu")),
    Row("debugging another function", lambda m: m.debug(fn="u"), ModelError, ("'logp'", "'u'")),
    Row("an initial point by a word", lambda m: m.initial_point("a"), ValueError, ("seed", "'a'")),
    Row("a function of a name", lambda m: m.compile_fn("mu"), ModelError, ("compile_fn", "'mu'")),
]


def _posterior(name, error, *words, trace=None, **options):
    def run(m):
        given = results() if trace is None else trace
        return px.sample_posterior_predictive(given, m, **{**QUIET, **options})

    return Row(name, run, error, words)


def _predict(name, error, *words, **options):
    return Row(name, lambda m: px.predict(results(), model=m, **{**QUIET, **options}), error, words)


PREDICTION = [
    _posterior("draws that are a number", ModelError, "draws come as", trace=3.0),
    _posterior("draws of others", ModelError, "the draws hold other", "mu, level", trace={"other": np.zeros((1, 2))}),
    _posterior("a number for what is drawn", ModelError, "var_names", "met 3", var_names=3),
    _posterior("nobody drawn", ModelError, "var_names", "'nu'", var_names=["nu"]),
    _posterior("nobody held", ModelError, "frozen", "'nu'", frozen=["nu"]),
    _posterior("a prediction seeded by a word", TypeError, "random_seed", "'a'", random_seed="a"),
    _posterior("a dict extended", ModelError, "extend_inferencedata", trace={"mu": 1.0}, extend_inferencedata=True),
    Row("prediction without a model", lambda m: px.sample_posterior_predictive(results()), ModelError, ("model=",)),
    Row("results for a model", lambda m: px.sample_posterior_predictive(m, results()), ModelError, ("model must be",)),
    _predict("new data in a list", ModelError, "px.predict: data is a dict", "[1.0]", data=[1.0]),
    _predict("new data by a word", ModelError, "px.predict: 'x'", "must be numbers", data={"x": "u"}),
    _predict("missing new data", SupportError, "px.predict: 'x'", "nan", "index 1", data={"x": [1.0, np.nan, 2.0]}),
    _predict("new data of two axes", ShapeError, "px.predict: 'x'", "1 axes", "(3, 2)", data={"x": np.ones((3, 2))}),
    _predict(
        "new data that are longer than their new labels",
        ShapeError,
        "px.predict: 'x'",
        "length 2",
        "gets length 1",
        data={"x": [1.0, 2.0]},
        coords={"group": ["d"]},
    ),
    _predict("new data of what is observed", ModelError, "px.predict: 'y'", "no px.Data", data={"y": [1.0, 2.0, 3.0]}),
    _predict("new labels in a list", ModelError, "coords is a dict", "['a']", coords=["a"]),
    _predict("new labels in a word", ModelError, "'group'", "'abc'", coords={"group": "abc"}),
    _predict("a number of new labels", ModelError, "'group'", "list", "met 3", coords={"group": 3}),
    _predict("labels of an unknown dim", ModelError, "px.predict", "'h'", "group", coords={"h": [1]}),
    _predict("a new label twice", ModelError, "'group'", "'a'", "a label of its own", coords={"group": ["a", "a"]}),
    Row(
        "prediction for another model",
        lambda m: px.predict(results(), model=_other()),
        ModelError,
        ("another model", "only here: q"),
    ),
    Row("a prior of the model alone", lambda m: px.sample_prior_predictive(m), ValueError, ("draws", "model=")),
    Row("a prior of nobody", lambda m: px.sample_prior_predictive(5, m, ["nu"]), ModelError, ("'nu'", "mu")),
    Row(
        "a prior by PyMC's word",
        lambda m: px.sample_prior_predictive(model=m, samples=5),
        TypeError,
        ("samples=", "draws="),
    ),
    Row("a plan of a number", lambda m: px.explain_prediction(3, model=m), ModelError, ("draws come as",)),
    Row(
        "Predictive of nothing",
        lambda m: px.model.Predictive(program),
        ModelError,
        ("num_samples", "posterior_samples"),
    ),
    Row(
        "Predictive of two numbers",
        lambda m: px.model.Predictive(program, {"a": np.zeros(3)}, num_samples=5),
        ModelError,
        ("3 draws", "5"),
    ),
    Row(
        "likelihoods of a number", lambda m: px.compute_log_likelihood(3, model=m), ModelError, ("InferenceData", "int")
    ),
    Row(
        "likelihoods of nobody",
        lambda m: px.compute_log_likelihood(results(), var_names=["nu"], model=m),
        ModelError,
        ("'nu'", "y"),
    ),
    Row(
        "named values that are none",
        lambda m: px.compute_deterministics({"q": 1.0}, model=_other()),
        ModelError,
        ("no deterministic",),
    ),
    Row(
        "densities of samples without axis",
        lambda m: px.model.log_likelihood(program, {"a": 1.0}),
        ShapeError,
        ("draws", "()"),
    ),
    Row("no simulations", lambda m: px.sbc(m, simulations=0), ValueError, ("simulations", "at least 2", "0")),
    Row(
        "calibration of nobody",
        lambda m: px.sbc(m, var_names=["nu"], simulations=4, progressbar=False),
        ModelError,
        ("'nu'", "mu"),
    ),
    Row(
        "calibration of what observes nothing",
        lambda m: px.sbc(_other()),
        ModelError,
        ("observes nothing", "observed="),
    ),
    Row("calibration of a name", lambda m: px.sbc("m"), ModelError, ("Model", "str")),
]


def _garbage(_):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fit.pyrox"
        path.write_bytes(b"hello")
        px.load(path)


KEPT = [
    Row("saving a program", lambda m: px.save(program, None, "a.pyrox"), ModelError, ("px.Model", "function")),
    Row("saving a number for results", lambda m: px.save(m, 3, "a.pyrox"), ModelError, ("results of px.sample", "int")),
    Row("saving to a number", lambda m: px.save(m, None, 3), TypeError, ("px.save", "path", "int")),
    Row("loading a number", lambda m: px.load(3), TypeError, ("px.load", "path", "int")),
    Row("loading what is not there", lambda m: px.load("nowhere.pyrox"), FileNotFoundError, ("nowhere.pyrox",)),
    Row("loading another file", _garbage, ModelError, ("fit.pyrox", "px.save")),
    Row("resuming results", lambda m: px.resume(results(), model=m), TypeError, ("px.resume", "path")),
    Row("continuing nothing", lambda m: px.continue_sampling(None, 10, model=m), ModelError, ("px.sample", "NoneType")),
    Row("continuing backwards", lambda m: px.continue_sampling(results(), -1, model=m), ValueError, ("draws", "-1")),
    Row(
        "continuing another model",
        lambda m: px.continue_sampling(results(), 5, model=_other()),
        ModelError,
        ("another model", "'mu'", "q"),
    ),
    Row(
        "continuing a prior",
        lambda m: px.continue_sampling(px.sample_prior_predictive(5, m), 5, model=m),
        ModelError,
        ("'sampler_state'",),
    ),
    Row("judging nothing", lambda m: px.diagnose(None), ModelError, ("px.sample", "NoneType")),
    Row("judging a dict", lambda m: px.diagnose({"mu": [1.0]}), ModelError, ("px.sample", "dict")),
    Row("judging a model", lambda m: px.diagnose(m), ModelError, ("px.sample", "Model")),
    Row(
        "judging a prior",
        lambda m: px.diagnose(px.sample_prior_predictive(5, m)),
        ModelError,
        ("no group 'posterior'",),
    ),
    Row("a plot that is none", lambda m: px.plot_nothing, AttributeError, ("'plot_nothing'",)),
    Row("an interval of no mass", lambda m: px.diagnostics.hpdi([1.0, 2.0], prob=0), ValueError, ("prob", "0")),
    Row("an interval of no draws", lambda m: px.diagnostics.hpdi([]), ShapeError, ("draw", "(0,)")),
]


def _prior(name, error, *words, of=px.Normal, lower=0.0, upper=1.0, guess=None, **options):
    guess = {"mu": 0.0, "sigma": 1.0} if guess is None else guess
    return Row(name, lambda m: px.find_constrained_prior(of, lower, upper, guess, **options), error, words)


def _open_validation(_):
    with px.validation_enabled("no"):
        pass


SETTINGS = [
    Row("precision by another word", lambda m: px.set_precision("double"), ValueError, ("'float64'", "'double'")),
    Row("a platform by its library", lambda m: px.set_platform("cuda"), ValueError, ("'gpu'", "'cuda'")),
    Row("no devices", lambda m: px.set_host_device_count(0), ValueError, ("at least 1", "0")),
    Row("validation by a word", lambda m: px.enable_validation("no"), TypeError, ("True or False", "'no'")),
    Row("a block of validation by a word", _open_validation, TypeError, ("True or False", "'no'")),
    Row("a number for a folder", lambda m: px.set_compilation_cache(3), TypeError, ("folder", "3")),
    _prior("prior bounds exchanged", ModelError, "lower < upper", "lower=2", lower=2.0),
    _prior("a mass above 1", ModelError, "mass", "1.5", mass=1.5),
    _prior("a prior of a number", ModelError, "px.Gamma", "met 3", of=3),
    _prior("nothing to find", ModelError, "init_guess", "{}", guess={}),
    _prior("a misspelt parameter to find", ModelError, "'sgma'", "sigma", guess={"mu": 0.0, "sgma": 1.0}),
    _prior("a guess outside", SupportError, "scale", "positive", "-1", guess={"mu": 0.0, "sigma": -1.0}),
    _prior(
        "a prior that cannot be",
        ModelError,
        "no Gamma",
        "-2",
        "another init_guess",
        of=px.Gamma,
        lower=-2.0,
        upper=-1.0,
        guess={"alpha": 1.0, "beta": 1.0},
    ),
    Row("a key for a count", lambda m: px.sample_prior_predictive(KEY, m), ValueError, ("draws", "whole number")),
]

AREAS = {"views": VIEWS, "prediction": PREDICTION, "kept": KEPT, "settings": SETTINGS}
