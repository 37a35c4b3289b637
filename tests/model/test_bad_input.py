"""Wrong input raises at the user's line, and the message names the variable, the value met and the way out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyrox.dist as dist
from pyrox import model as px
from pyrox.errors import ModelError, NodeError, ShapeError, SupportError
from pyrox.model.primitives import sample


@pytest.fixture
def m():
    with px.Model(coords={"school": ["A", "B", "C"]}) as model:
        px.Normal("mu")
        px.Normal("theta", dims="school")
        px.Data("x", [1.0, 2.0, 3.0], dims="school")
        px.Data("i", [0, 1, 2])
        yield model


TABLE = {
    "duplicate": (lambda m: px.Normal("mu"), ModelError, "'mu'.*unique"),
    "unknown dim": (lambda m: px.Normal("a", dims="schol"), ModelError, "a.*'schol'.*school"),
    "dims and shape": (lambda m: px.Normal("a", dims="school", shape=2), ShapeError, r"a.*\(2,\).*\(3,\)"),
    "dims and parameters": (
        lambda m: px.Normal("a", np.zeros(2), 1.0, dims="school"),
        ShapeError,
        r"a.*\(2,\).*school: 3",
    ),
    "dims and observed": (lambda m: px.Normal("a", observed=[1, 2], dims="school"), ShapeError, r"a.*\(2,\).*\(3,\)"),
    "dims of a deterministic": (
        lambda m: px.Deterministic("a", m["mu"], dims="school"),
        ShapeError,
        r"'a'.*\(\).*\(3,\)",
    ),
    "dims of data": (lambda m: px.Data("d", [1.0, 2.0], dims="school"), ShapeError, "'d' has length 2.*'school'.*3"),
    "axes of data": (lambda m: px.Data("d", [[1.0]], dims="school"), ShapeError, "'d' has 2 axes"),
    "name of its dim": (lambda m: px.Normal("school", dims="school"), ModelError, "name of its own dim"),
    "parameters and observed": (
        lambda m: px.Normal("y", np.zeros(3), 1.0, observed=np.zeros(4)),
        ShapeError,
        r"y.*\(3,\).*\(4,\)",
    ),
    "column and row": (
        lambda m: px.Normal("y", m["theta"], 1.0, observed=np.zeros((3, 1))),
        ShapeError,
        r"y.*theta \(3,\).*\(3, 1\)",
    ),
    "two parameters": (lambda m: px.Normal("a", np.zeros(2), np.ones(3)), ShapeError, r"'a'.*\(2,\).*\(3,\)"),
    "infinite observed": (
        lambda m: px.Normal("y", observed=[0.0, np.nan, -np.inf]),
        SupportError,
        "'y' holds -inf at index 2.*NaN where a value is missing",
    ),
    "share missing": (
        lambda m: px.Dirichlet("y", np.ones(3), observed=[[0.2, np.nan, 0.5], [0.2, 0.3, 0.5]]),
        ModelError,
        r"y: the draw at \(0,\).*observed in part.*Dirichlet.*whole draw.*MvNormal",
    ),
    "subsample with gaps": (
        lambda m: px.Normal("y", observed=[0.0, np.nan], total_size=100),
        ModelError,
        "y: total_size.*missing values",
    ),
    "observed outside": (
        lambda m: px.Exponential("y", 1.0, observed=[np.nan, -1.0]),
        SupportError,
        "'y' must be .*-1.0 at index 1",
    ),
    "non-centred family": (
        lambda m: px.Beta("a", 1.0, 1.0, noncentered=True),
        ModelError,
        "a: a Beta cannot be non-centred.*Normal, StudentT",
    ),
    "non-centred data": (
        lambda m: px.Normal("a", observed=[1.0], noncentered=True),
        ModelError,
        "a: only free variables can be non-centred; it is observed",
    ),
    "infinite data": (lambda m: px.Data("d", [[np.inf, 1.0]]), SupportError, r"'d' holds inf at index \(0, 0\)"),
    "text observed": (lambda m: px.Normal("y", observed=["a", "b"]), ModelError, "'y' must be numbers.*factorize"),
    "support": (lambda m: px.HalfNormal("y", observed=[1.0, -2.0]), SupportError, "'y'.*-2.0 at index 1"),
    "integers": (lambda m: px.Poisson("y", 2.0, observed=[1, 0.5]), SupportError, "'y'.*0.5 at index 1"),
    "dependent support": (lambda m: px.Binomial("y", 5, 0.5, observed=[5, 6]), SupportError, "'y'.*6 at index 1"),
    "parameter": (lambda m: px.Normal("y", 0, -1), SupportError, "'y': parameter sigma.*-1"),
    "parameter of many": (lambda m: px.Normal("y", 0, [1.0, 0.0]), SupportError, "parameter sigma.*0.0 at index 1"),
    "no such parameter": (lambda m: px.Normal("y", mean=0), ModelError, "'y'.*'mean'.*mu, sigma, tau"),
    "twice": (lambda m: px.Normal("y", 0, mu=1), ModelError, "'mu' is given twice"),
    "two ways": (lambda m: px.Normal("y", sigma=1, tau=1), ModelError, "does not take 'sigma' together"),
    "too many": (lambda m: px.HalfNormal("y", 1, 2, 3), ModelError, "at most 2 positional"),
    "too few": (lambda m: px.Poisson("y"), ModelError, "'y'.*rate.*mu"),
    "distribution": (lambda m: px.Normal("y", px.Normal.dist()), ModelError, "'y': parameter mu.*not a distribution"),
    "no name": (lambda m: px.Normal(0, 1), ModelError, "is a name.*met 0"),
    "observed variable": (lambda m: px.Normal("y", observed=m["mu"]), ModelError, "'y'.*'mu'.*data"),
    "jnp": (lambda m: jnp.exp(m["mu"]), ModelError, r"'mu'.*px\.math\.f\(x\).*np\.f\(x\).*px\.lift"),
    "jnp sum": (lambda m: jnp.sum(m["theta"]), ModelError, "'theta'.*px.lift"),
    "jnp expression": (lambda m: jnp.stack([m["mu"] + 1]), ModelError, r"expression add\(mu\).*px.lift"),
    "if": (lambda m: 1 if m["mu"] > 0 else 2, NodeError, r"greater\(mu\).*px.math.where"),
    "float": (lambda m: float(m["mu"]), NodeError, "'mu'.*a float"),
    "asarray": (lambda m: np.asarray(m["theta"]), NodeError, "'theta'.*NumPy array"),
    "iterate": (lambda m: list(m["mu"]), NodeError, "'mu' is a scalar"),
    "python max": (lambda m: max(m["mu"], 0), NodeError, "neither true nor false"),
    "ufunc method": (lambda m: np.add.reduce(m["theta"]), NodeError, r"np\.add\.reduce"),
    "shapes": (lambda m: m["theta"] + np.zeros(2), ShapeError, r"theta of shape \(3,\) \(dims school\).*\(2,\)"),
    "index": (lambda m: m["theta"][3], ShapeError, "'theta'.*3 is out of bounds for length 3"),
    "index array": (lambda m: m["theta"][np.array([0, -4])], ShapeError, "-4 is out of bounds"),
    "float index": (lambda m: m["theta"][np.array([0.5])], NodeError, "integers or booleans"),
    "axes": (lambda m: m["theta"][0, 0], ShapeError, "too many indices"),
    "forgotten return": (lambda m: px.Deterministic("d", None), ModelError, "'d' is None.*return"),
    "unknown mask": (lambda m: m["theta"][m["theta"] > 0], NodeError, "px.math.where"),
    "math": (lambda m: px.math.nothing, AttributeError, "nothing.*px.lift"),
    "initval": (lambda m: px.HalfNormal("s", initval=-1.0), SupportError, "initval of 's'.*-1"),
    "initval shape": (lambda m: px.Normal("s", initval=[1.0, 2.0]), ShapeError, r"initval of 's'.*\(2,\)"),
    "initval words": (lambda m: px.Normal("s", initval="prior"), ModelError, "'s' must be numbers"),
    "shape": (lambda m: px.Normal("s", shape=-1), ShapeError, "-1"),
    "set_data name": (lambda m: px.set_data({"q": [1.0]}), ModelError, r"no variable 'q'.*\['x', 'i'\]"),
    "set_data variable": (lambda m: px.set_data({"mu": 1.0}), ModelError, "RandomVariable, not a Data, 'mu'"),
    "set_data axes": (lambda m: px.set_data({"x": [[1.0]]}), ShapeError, "'x' has 1 axes.*have 2"),
    "set_data length": (lambda m: px.set_data({"x": [1.0]}), ShapeError, "'x' has length 1.*'school'.*coords="),
    "set_data coords": (
        lambda m: px.set_data({"x": [1.0]}, coords={"school": ["A", "B"]}),
        ShapeError,
        "'x' has length 1.*length 2",
    ),
    "set_data dim": (lambda m: px.set_data({}, coords={"q": [1]}), ModelError, "no dim 'q'"),
    "dim again": (lambda m: m.add_coord("school", ["A"]), ModelError, "'school' exists already"),
    "dim taken": (lambda m: m.add_coord("chain", [1]), ModelError, "'chain' is taken"),
    "lookup": (lambda m: m["nothing"], KeyError, "no variable 'nothing'"),
}


@pytest.mark.parametrize("case", TABLE)
def test_inside_a_model(m, case):
    run, error, words = TABLE[case]
    before = list(m.named_vars)
    with pytest.raises(error, match=words):
        run(m)
    assert list(m.named_vars) == before, "a refused statement leaves the model as it was"


def model_of(*states):
    with px.Model() as model:
        for state in states:
            state()
    return model


def infinitely_many():
    px.Normal("y", px.Normal("mu") * px.Poisson("k", 2.0), observed=1.0)


def index_out_of_bounds():
    with px.Model() as model:
        i = px.Data("i", [0, 1])
        px.Deterministic("y", px.Normal("a", shape=2)[i])
    px.set_data({"i": [0, 2]}, model)


def support_of_data():
    with px.Model() as model:
        y = px.Data("y_data", [1.0, 2.0])
        px.Exponential("y", 1.0, observed=y)
    px.set_data({"y_data": [1.0, -1.0]}, model)


def set_gaps(state):
    with px.Model() as model:
        x = px.Data("x", [1.0, 2.0, 3.0])
        state(x)
    px.set_data({"x": [1.0, np.nan, 2.0]}, model)


def stale_observed():
    with px.Model() as model:
        x = px.Data("x", [1.0, 2.0])
        px.Normal("y", px.Normal("b") * x, 1.0, observed=[0.0, 1.0])
    px.set_data({"x": [1.0, 2.0, 3.0]}, model)
    px.LogDensity.build(model)


def twice():
    sample("x", dist.Normal(0.0, 1.0))
    sample("x", dist.Normal(0.0, 1.0))


def start(initvals):
    with px.Model() as model:
        low = px.Normal("low")
        px.Uniform("x", low, low + 1.0)
    ld = px.LogDensity.build(model)
    ld.initial_position(jax.random.key(0), ld.data, initvals)


OUTSIDE = {
    "statement": (lambda: px.Normal("x"), ModelError, r"px\.Normal\('x'.*outside a model.*with px\.Model\(\)"),
    "deterministic": (lambda: px.Deterministic("x", 1.0), ModelError, "outside a model"),
    "no model": (px.current_model, ModelError, r"with px\.Model\(\)"),
    "set_data": (lambda: px.set_data({"x": 1}), ModelError, "model="),
    "coords": (lambda: px.Model(coords=["school"]), ModelError, "dict"),
    "nothing": (lambda: px.LogDensity.build(px.Model()), ModelError, "no free variables.*no variables at all"),
    "all observed": (
        lambda: px.LogDensity.build(model_of(lambda: px.Normal("y", observed=[1.0]))),
        ModelError,
        "no free variables; it has observed y",
    ),
    "discrete": (
        lambda: px.LogDensity.build(model_of(infinitely_many)),
        ModelError,
        "'k' is discrete with infinitely many values.*Poisson.*Truncated.*logsumexp",
    ),
    "no program": (lambda: px.LogDensity.build("model"), ModelError, "px.Model or a function"),
    "two sites": (lambda: px.LogDensity.build(twice), ModelError, "'x' is used by two statements"),
    "out of bounds": (index_out_of_bounds, ShapeError, "'i'.*2 is out of bounds for length 2"),
    "support": (support_of_data, SupportError, "'y_data', observed by 'y',.*-1.0 at index 1"),
    "name of a part": (
        lambda: model_of(lambda: px.Normal("y_unobserved"), lambda: px.Normal("y", observed=[0.0, np.nan])),
        ModelError,
        "already has a variable 'y_unobserved'",
    ),
    "missing predictor": (
        lambda: model_of(lambda: px.Normal("y", 2 * px.Data("gappy", [1.0, np.nan]), 1.0)),
        SupportError,
        "y: Data 'gappy' has missing values.*observed=gappy",
    ),
    "set_data NaN": (
        lambda: set_gaps(lambda x: px.Deterministic("y", 2 * x)),
        SupportError,
        "'x' holds nan at index 1.*multiply.* is worked out from it",
    ),
    "set_data NaN observed": (
        lambda: set_gaps(lambda x: px.Normal("y", observed=x)),
        SupportError,
        "'x' holds nan at index 1.*'y' was written with complete data",
    ),
    "stale": (stale_observed, ShapeError, r"y: .*\(2,\).*\(3,\).*set_data"),
    "program observed": (
        lambda: px.LogDensity.build(
            lambda: sample("y", dist.Normal(sample("m", dist.Flat()), 1.0), obs=np.array([np.nan]))
        ),
        SupportError,
        "'y' holds nan",
    ),
    "unknown initval": (lambda: start({"z": 1.0}), ModelError, "'z' is no free variable.*low, x"),
    "initval outside": (lambda: start({"low": 0.0, "x": 2.0}), SupportError, "initval of 'x'.*2.0"),
    "foreign variable": (
        lambda: px.LogDensity.build(foreign()),
        ModelError,
        "'a' has no value here: it belongs to another model",
    ),
}


def foreign():
    with px.Model():
        a = px.Normal("a")
    with px.Model() as model:
        px.Normal("b", a, 1.0)
    return model


@pytest.mark.parametrize("case", OUTSIDE)
def test_outside(case):
    run, error, words = OUTSIDE[case]
    with pytest.raises(error, match=words):
        run()


def test_missing_values():
    ld = px.LogDensity.build(model_of(lambda: px.Normal("a"), lambda: px.Normal("b")))
    with pytest.raises(ModelError, match="missing: b"):
        ld.unconstrain({"a": 1.0}, ld.data)


@pytest.mark.parametrize("dim", ["shcool", "schools", "School"])
def test_data_with_a_misspelt_dim_are_told_of_the_one_that_is_meant(dim):
    with px.Model(coords={"school": ["A", "B", "C"]}) as model:
        with pytest.warns(UserWarning, match=f"'x'.*no dim '{dim}'.*did you mean 'school'") as caught:
            px.Data("x", [1.0, 2.0, 3.0], dims=dim)
        assert caught[0].filename == __file__
        px.Data("z", [1.0, 2.0, 3.0], dims=dim)  # once is enough: the dim is there now
    assert model.dim_lengths == {"school": 3, dim: 3}


@pytest.mark.parametrize(
    ("dims", "value"),
    [
        ("row", np.zeros(3)),
        ("school_2", np.zeros(3)),
        ("shcool", np.zeros(4)),  # of another length
        (("school", "schools"), np.zeros((3, 3))),  # of both: a square
        ("test_obs", np.zeros(3)),
    ],
)
def test_new_dims_of_data_are_taken_silently(dims, value):
    with px.Model(coords={"school": ["A", "B", "C"], "train_obs": [0, 1, 2]}) as model:
        px.Data("x", value, dims=dims)  # a warning would be an error here
    assert set(np.atleast_1d(dims)) <= set(model.dim_lengths)
