"""Wrong uses of what models are written in: names, distributions, dims, data, expressions."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

import pyrox as px
from pyrox import dist
from pyrox.errors import ModelError, NodeError, ShapeError, SupportError
from tests.faults.common import Row, inside

_P = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})


def _row(name, run, error, *words):
    return Row(name, inside(run), error, words)


MODELS = [
    _row("a statement without a name", lambda m: px.Normal(mu=0, sigma=1), ModelError, "Normal", "name", "met None"),
    _row("a variable for a name", lambda m: px.Normal(m["mu"], 1.0), ModelError, 'px.Normal("x", ...)', "'mu'"),
    _row("an empty name", lambda m: px.Normal("", 0, 1), ModelError, "name", "met ''"),
    Row("labels in the place of the name", lambda m: px.Model({"a": [1]}), ModelError, ("name is a str", "coords=")),
    Row("a text for labels", lambda m: px.Model(coords={"d": "ABC"}), ModelError, ("'d'", "a list", "'ABC'")),
    Row("a length for labels", lambda m: px.Model(coords={"d": 3}), ModelError, ("'d'", "add_coord('d', length=3)")),
    Row("labels of two axes", lambda m: px.Model(coords={"d": np.zeros((2, 2))}), ShapeError, ("'d'", "one-dim")),
    Row("a number for a dim", lambda m: px.Model(coords={1: [2]}), ModelError, ("name of a dim", "met 1")),
    Row("no labels, no length", lambda m: m.add_coord("h"), ModelError, ("'h'", "values or a length")),
    Row("a length below 0", lambda m: m.add_coord("h", length=-1), ShapeError, ("'h'", "not negative", "-1")),
    Row("half a length", lambda m: m.set_dim("group", 2.5), ShapeError, ("'group'", "whole number", "2.5")),
    Row("set_dim without anything", lambda m: m.set_dim("group"), ModelError, ("'group'", "new_length=")),
    _row("a misspelt dim", lambda m: px.Normal("a", dims="gruop"), ModelError, "'gruop'", "did you mean 'group'?"),
    Row("set_dim of an unknown dim", lambda m: m.set_dim("h", 2), ModelError, ("'h'", "group", "add_coord")),
    Row("a list for coords", lambda m: m.add_coords(["h"]), ModelError, ("dict", "['h']")),
    Row("an unknown attribute", lambda m: m.nothing, AttributeError, ("'nothing'",)),
    Row("no model around", lambda m: px.Normal("z"), ModelError, ("'z'", "with px.Model()")),
    Row("bounded by Bound", lambda m: px.Bound, AttributeError, ("Bound", "px.Truncated")),
    Row("data by PyMC's old name", lambda m: px.MutableData, AttributeError, ("MutableData", "px.Data")),
    Row("a step method", lambda m: px.Metropolis, AttributeError, ("Metropolis", "no-U-turn")),
]

DISTRIBUTIONS = [
    _row("a misspelt parameter", lambda m: px.Normal("a", sgima=1), ModelError, "'a'", "'sgima'", "sigma"),
    _row("sd for sigma", lambda m: px.Normal("a", 0, sd=1), ModelError, "'a'", "'sd'", "mu, sigma"),
    _row(
        "the name of a variable", lambda m: px.Normal("a", "mu", 1), ModelError, "'a'", "mu", "variables of the model"
    ),
    _row("a forgotten return", lambda m: px.Normal("a", None, 1), ModelError, "'a'", "mu is None", "return", "0.0"),
    _row("texts for numbers", lambda m: px.Normal("a", ["b", "c"]), ModelError, "'a'", "mu", "factorize"),
    _row("a model for a number", lambda m: px.Normal("a", m), ModelError, "'a'", "mu", "variables of the model"),
    _row("a dict for numbers", lambda m: px.Normal("a", {"b": 1}), ModelError, "'a'", "mu", "numbers", "{'b': 1}"),
    _row("a function for numbers", lambda m: px.Normal("a", lambda: 1), ModelError, "'a'", "mu", "function"),
    _row("rows of two lengths", lambda m: px.Normal("a", [[1], [1, 2]]), ShapeError, "'a'", "mu", "makes no array"),
    _row("a missing parameter", lambda m: px.Normal("a", np.nan), SupportError, "'a'", "mu", "cannot be missing"),
    _row("an infinite scale", lambda m: px.Normal("a", 0, np.inf), SupportError, "'a'", "sigma", "met inf"),
    _row("a complex mean", lambda m: px.Normal("a", 1j), ModelError, "'a'", "mu", "real numbers", "1j"),
    _row("a probability above 1", lambda m: px.Bernoulli("a", 1.5), SupportError, "'a'", "p must", "[0, 1]", "1.5"),
    _row("p and logit_p", lambda m: px.Bernoulli("a", p=0.5, logit_p=0.0), ModelError, "'a'", "one of p and logit_p"),
    _row("neither p nor logit_p", lambda m: px.Bernoulli("a"), ModelError, "'a'", "p and logit_p", "neither"),
    _row(
        "weights that sum to 1.4", lambda m: px.Categorical("a", [0.5, 0.9]), SupportError, "'a'", "p must", "simplex"
    ),
    _row("bounds exchanged", lambda m: px.Uniform("a", 1.0, 0.0), SupportError, "'a'", "upper", "lower=1.0"),
    _row("bounds that are equal", lambda m: px.Uniform("a", 1.0, 1.0), SupportError, "'a'", "greater than lower"),
    _row(
        "truncated to nothing", lambda m: px.TruncatedNormal("a", 0, 1, lower=2, upper=1), SupportError, "'a'", "upper"
    ),
    _row("whole bounds exchanged", lambda m: px.DiscreteUniform("a", 5, 3), SupportError, "'a'", "lower=5", "upper=3"),
    _row("a peak outside", lambda m: px.Triangular("a", lower=0.0, c=5.0, upper=1.0), SupportError, "'a'", "c must"),
    _row("a negative precision", lambda m: px.Normal("a", 0, tau=-1.0), SupportError, "'a'", "sigma must be positive"),
    _row("fewer than no trials", lambda m: px.Binomial("a", -1, 0.5), SupportError, "'a'", "n must", "-1"),
    _row("one and a half trials", lambda m: px.Binomial("a", 1.5, 0.5), SupportError, "'a'", "n must", "1.5"),
    _row("trials without p", lambda m: px.Binomial("a", 5), ModelError, "'a'", "p and logit_p", "neither"),
    _row("a negative rate", lambda m: px.Poisson("a", -1), SupportError, "'a'", "mu must be positive", "-1"),
    _row("one concentration", lambda m: px.Dirichlet("a", 1.0), ShapeError, "'a'", "at least 1 axes"),
    _row("a negative concentration", lambda m: px.Dirichlet("a", [-1.0, 1.0]), SupportError, "'a'", "positive"),
    _row(
        "no positive definite matrix",
        lambda m: px.MvNormal("a", np.zeros(2), cov=[[1.0, 2.0], [2.0, 1.0]]),
        SupportError,
        "'a'",
        "cov",
        "positive-definite",
    ),
    _row(
        "no covariance", lambda m: px.MvNormal("a", np.zeros(2)), ModelError, "'a'", "cov and tau and chol", "neither"
    ),
    _row("a vector for a matrix", lambda m: px.MvNormal("a", np.zeros(2), cov=np.ones(2)), ShapeError, "'a'", "square"),
    _row(
        "a mean of another length",
        lambda m: px.MvNormal("a", np.zeros(3), cov=np.eye(2)),
        ShapeError,
        "'a'",
        "mu (3,)",
        "cov (2, 2)",
    ),
    _row(
        "an upper triangle for chol",
        lambda m: px.MvNormal("a", np.zeros(2), chol=[[1.0, 0.5], [0.0, 1.0]]),
        SupportError,
        "'a'",
        "chol",
        "lower triangular",
    ),
    _row(
        "a variable truncated",
        lambda m: px.Truncated("a", m["mu"], 0),
        ModelError,
        "'a'",
        "dist",
        "px.Normal.dist",
        "'mu'",
    ),
    _row("a variable censored", lambda m: px.Censored("a", m["mu"], 0, 1), ModelError, "'a'", "px.Normal.dist", "'mu'"),
    _row(
        "variables mixed",
        lambda m: px.Mixture("a", [0.5, 0.5], [m["mu"], px.Normal.dist()]),
        ModelError,
        "'a'",
        "comp_dists",
        "px.Normal.dist",
        "'mu'",
    ),
    _row(
        "a weight too many",
        lambda m: px.Mixture("a", [0.5, 0.2, 0.3], [px.Normal.dist(), px.Normal.dist(1)]),
        ShapeError,
        "'a'",
        "3 weights for 2",
    ),
    _row(
        "weights that sum to 0.7",
        lambda m: px.Mixture("a", [0.5, 0.2], [px.Normal.dist(), px.Normal.dist(1)]),
        SupportError,
        "'a'",
        "simplex",
        "[0.5, 0.2]",
    ),
    _row(
        "a count beside a length",
        lambda m: px.Mixture("a", [0.5, 0.5], [px.Normal.dist(), px.Poisson.dist(1)]),
        ShapeError,
        "'a'",
        "differ in event shape or kind",
    ),
    _row("correlations of one", lambda m: px.LKJCorr("a", n=1, eta=1), ShapeError, "'a'", "n must", "at least 2"),
    _row("no deviations", lambda m: px.LKJCholeskyCov("a", 1.0, 2), ModelError, "'a' needs parameter sd_dist"),
    _row(
        "a variable of deviations",
        lambda m: px.LKJCholeskyCov("a", 1.0, 2, m["mu"]),
        ModelError,
        "'a'",
        "sd_dist",
        "without a name",
        "'mu'",
    ),
    _row(
        "deviations that may be negative",
        lambda m: px.LKJCholeskyCov("a", 1.0, 2, px.Normal.dist()),
        ModelError,
        "'a'",
        "sd_dist",
        "positive",
        "Normal",
    ),
    _row(
        "an unknown size",
        lambda m: px.LKJCholeskyCov("a", 1.0, m["mu"], px.HalfNormal.dist()),
        ModelError,
        "'a'",
        "parameter n must be known",
        "'mu'",
    ),
    _row(
        "a walk without steps", lambda m: px.GaussianRandomWalk("a", 0.0, 1.0), ModelError, "'a' needs steps=, shape="
    ),
    _row("no coefficients", lambda m: px.AR("a", shape=5), ModelError, "'a' needs parameter rho"),
    _row(
        "cut points out of order", lambda m: px.OrderedLogistic("a", 0.0, [1.0, 0.0]), SupportError, "'a'", "increasing"
    ),
    _row("no density", lambda m: px.CustomDist("a", 1.0), ModelError, "logp="),
    _row("a number for a density", lambda m: px.CustomDist("a", 1.0, logp=3), ModelError, "logp", "function", "met 3"),
    _row(
        "a density without return",
        lambda m: px.CustomDist("a", m["mu"], logp=lambda v, mu: None, observed=np.zeros(3)),
        ModelError,
        "'a'",
        "logp",
        "None",
        "return",
    ),
    _row(
        "a density of another shape",
        lambda m: px.CustomDist("a", m["mu"], logp=lambda v, mu: jnp.zeros(7), observed=np.zeros(3)),
        ShapeError,
        "'a'",
        "(7,)",
        "(3,)",
    ),
    _row(
        "a density in NumPy",
        lambda m: px.CustomDist("a", m["mu"], logp=lambda v, mu: np.exp(v - mu), observed=np.zeros(3)),
        NodeError,
        "'a'",
        "logp",
        "jax.numpy",
    ),
    _row(
        "a density that asks if",
        lambda m: px.CustomDist("a", m["mu"], logp=lambda v, mu: mu if mu > 0 else v),
        NodeError,
        "'a'",
        "logp",
        "jnp.where",
    ),
    _row("one-sided neighbours", lambda m: px.ICAR("a", W=np.array([[0, 1], [0, 0]])), ModelError, "'a'", "symmetric"),
    _row(
        "rows that do not sum to one",
        lambda m: px.DiscreteMarkovChain("a", P=[[0.5, 0.6], [0.5, 0.5]], shape=5),
        SupportError,
        "'a'",
        "P must",
        "simplex",
    ),
    _row("sums to zero of nothing", lambda m: px.ZeroSumNormal("a", 1.0), ShapeError, "'a'", "shape=, dims="),
    _row("a transform by its name", lambda m: px.Normal("a", transform="log"), ModelError, "'a'", "transform", "'log'"),
    _row(
        "a transform's class",
        lambda m: px.HalfNormal("a", 1, transform=dist.transforms.ExpTransform),
        ModelError,
        "'a'",
        "transform is one of",
    ),
    _row("a start by another name", lambda m: px.Normal("a", testval=3), ModelError, "'a'", "'testval'"),
    _row("numbers after a distribution", lambda m: px.Normal.dist() + 1, NodeError, "Normal()", "without a name"),
    Row(
        "a negative scale, validated",
        lambda m: dist.Normal(0.0, -1.0, validate_args=True),
        SupportError,
        ("scale", "-1"),
    ),
    Row("a parameter of PyMC's", lambda m: dist.Normal(mu=0.0), TypeError, ("Normal", "'mu'")),
    Row(
        "lengths that differ", lambda m: dist.Normal(jnp.zeros(2), jnp.ones(3)), ShapeError, ("loc (2,)", "scale (3,)")
    ),
    Row("an event of nothing", lambda m: dist.Normal(0.0, 1.0).to_event(1), ShapeError, ("Normal", "1 batch axes")),
    Row("expanded to another shape", lambda m: dist.Normal(jnp.zeros(2)).expand((3,)), ShapeError, ("(2,)", "(3,)")),
    Row("a bijection onto a number", lambda m: dist.biject_to(3), NotImplementedError, ("3", "bijection")),
]

DIMS = [
    _row("a dim twice", lambda m: px.Normal("a", dims=("group", "group")), ShapeError, "'a'", "one dim twice"),
    _row("a number for dims", lambda m: px.Normal("a", dims=3), ModelError, "'a'", "dims are names", "met 3"),
    _row("an unknown dim", lambda m: px.Normal("a", dims="grup"), ModelError, "a", "'grup'", "group"),
    _row("half a shape", lambda m: px.Normal("a", shape=2.0), ShapeError, "'a'", "whole numbers", "2.0"),
    _row("a dim for a shape", lambda m: px.Normal("a", shape="group"), ShapeError, "'a'", "'group'"),
    _row("size and shape", lambda m: px.Normal("a", size=3), ModelError, "'a'", "shape="),
    _row(
        "dims in the model's place",
        lambda m: px.Deterministic("a", m["mu"], "group"),
        ModelError,
        "'a'",
        "dims='group'",
    ),
    _row("observed texts", lambda m: px.Normal("a", observed=["u", "v"]), ModelError, "'a'", "factorize"),
    _row("a table with texts", lambda m: px.Normal("a", observed=_P), ModelError, "'a'", "not numbers", "'x'"),
    _row(
        "observed categories",
        lambda m: px.Categorical("a", [0.5, 0.5], observed=pd.Categorical(["u", "v"])),
        ModelError,
        "'a'",
        "not numbers",
    ),
    _row(
        "categories counted from one",
        lambda m: px.Categorical("a", [0.3, 0.7], observed=[1, 2]),
        SupportError,
        "'a'",
        "from 0 to 1",
        "2",
    ),
    _row("a coin that shows 2", lambda m: px.Bernoulli("a", 0.5, observed=[0, 2]), SupportError, "'a'", "0 or 1", "2"),
    _row(
        "observed dates",
        lambda m: px.Normal("a", observed=pd.Series(pd.date_range("2020", periods=2))),
        ModelError,
        "'a'",
        "datetime64",
    ),
    _row("complex observations", lambda m: px.Normal("a", observed=[1j]), ModelError, "'a'", "real numbers"),
    _row(
        "observed rows of two lengths",
        lambda m: px.Normal("a", observed=[[1.0], [1, 2]]),
        ShapeError,
        "'a'",
        "no array",
    ),
    _row(
        "total_size by a word",
        lambda m: px.Normal("a", observed=[1.0], total_size="all"),
        ModelError,
        "a",
        "total_size",
        "'all'",
    ),
    _row("data that are None", lambda m: px.Data("d", None), ModelError, "'d'", "None", "return"),
    _row("data of texts", lambda m: px.Data("d", ["u"]), ModelError, "'d'", "factorize"),
    _row("data of a variable", lambda m: px.Data("d", m["mu"]), NodeError, "'mu'", "NumPy array"),
    _row("a dict of data", lambda m: px.Data("d", {"u": 1}), ModelError, "'d'", "not numbers"),
    _row("complex data", lambda m: px.Data("d", [1j]), ModelError, "'d'", "real numbers"),
    Row("a list of new data", lambda m: px.set_data([1.0], m), ModelError, ("set_data", "dict", "[1.0]")),
    Row("new data None", lambda m: px.set_data({"x": None}, m), ModelError, ("'x'", "None", "return")),
    Row("a text for new data", lambda m: px.set_data({"x": "u"}, m), ModelError, ("'x'", "must be numbers")),
    Row("new data by the variable", lambda m: px.set_data({m["x"]: [1.0]}, m), ModelError, ("Data 'x'", "['x']")),
    Row("new data in no model", lambda m: px.set_data({"x": [1.0]}, "model"), ModelError, ("px.Model", "'model'")),
    Row(
        "a list of new labels", lambda m: px.set_data({"x": [1.0]}, m, coords=["a"]), ModelError, ("coords is a dict",)
    ),
    Row(
        "a length for new labels",
        lambda m: px.set_data({"x": [1.0]}, m, coords={"group": 1}),
        ModelError,
        ("'group'", "list"),
    ),
    Row("a batch of none", lambda m: px.Minibatch([1, 2, 3], batch_size=0), ModelError, ("batch_size", "at least 1")),
    Row(
        "a batch of all and more",
        lambda m: px.Minibatch([1, 2, 3], batch_size=5),
        ShapeError,
        ("batch_size=5", "3 rows"),
    ),
    Row(
        "batches of two lengths", lambda m: px.Minibatch([1, 2, 3], [1, 2], batch_size=2), ShapeError, ("2 and 3 rows",)
    ),
    Row("a batch of a number", lambda m: px.Minibatch(3.0, batch_size=1), ShapeError, ("no rows", "single number")),
    Row("a batch of texts", lambda m: px.Minibatch(["u"], batch_size=1), ModelError, ("Minibatch", "must be numbers")),
]

EXPRESSIONS = [
    Row(
        "an element assigned",
        lambda m: m["level"].__setitem__(0, 1.0),
        NodeError,
        ("'level'", "in place", "px.math.where", ".at[index].set"),
    ),
    Row(
        "a column of labels for an index",
        lambda m: m["level"][pd.Series(["a", "b"], dtype=object)],
        ModelError,
        ("'level'", "not numbers", "factorize"),
    ),
    Row(
        "a product that does not fit",
        lambda m: m["level"] @ np.zeros((2, 2)),
        ShapeError,
        ("level of shape (3,)", "(2, 2)"),
    ),
    Row("a shape of another size", lambda m: m["level"].reshape(2, 2), ShapeError, ("level of shape (3,)", "(2, 2)")),
    Row("an axis too many", lambda m: m["level"].sum(axis=3), ShapeError, ("level", "axis 3", "out of bounds")),
    Row(
        "an axis by its dim",
        lambda m: px.math.sum(m["level"], axis="group"),
        NodeError,
        ("'group'", "level", "by its number"),
    ),
    Row("jnp.exp of a variable", lambda m: jnp.exp(m["mu"]), NodeError, ("'mu'", "px.math.f(x)", "np.f(x)", "px.lift")),
    Row("jnp.where of a condition", lambda m: jnp.where(m["mu"] > 0, 1.0, 0.0), NodeError, ("greater(mu)", "px.lift")),
    Row("jnp.sum of a variable", lambda m: jnp.sum(m["level"]), NodeError, ("'level'", "px.lift")),
    Row("a softmax of JAX", lambda m: jax.nn.softmax(m["level"]), NodeError, ("'level'", "px.lift")),
    Row("a stack of JAX", lambda m: jnp.stack([m["mu"], m["mu"]]), NodeError, ("'mu'", "px.lift")),
    Row("a variable for a slice", lambda m: m["level"][: m["mu"]], NodeError, ("'level'", "plain integers", "'mu'")),
    Row("a variable by its name", lambda m: px.math.exp("mu"), NodeError, ("exp", "model['mu']")),
    Row("the exponential of None", lambda m: px.math.exp(None), NodeError, ("exp", "None", "return")),
    Row("a text added", lambda m: m["mu"] + "level", NodeError, ("add", "mu", "model['level']")),
    Row("None added", lambda m: m["mu"] + None, NodeError, ("add", "mu", "None", "return")),
    Row("stacks of two heights", lambda m: px.math.stack([m["level"], m["mu"]]), ShapeError, ("stack", "level", "mu")),
    Row("a label for an index", lambda m: m["level"]["a"], NodeError, ("'level'", "axis 0", "'a'")),
    Row("a mean for an index", lambda m: m["level"][m["mu"]], NodeError, ("'level'", "'mu'", "integers")),
    Row("a fraction for an index", lambda m: m["level"][1.5], NodeError, ("'level'", "1.5")),
    Row(
        "a mask of another length",
        lambda m: m["level"][[True, False]],
        ShapeError,
        ("'level'", "mask of length 2", "3"),
    ),
    Row("and of variables", lambda m: m["mu"] and m["level"], NodeError, ("'mu'", "px.math.where")),
    Row("a chain of comparisons", lambda m: 0 < m["mu"] < 1, NodeError, ("greater(mu)", "px.math.where")),
    Row("a range", lambda m: range(m["mu"]), NodeError, ("'mu'", "an int")),
    Row("digits of a variable", lambda m: f"{m['mu']:.2f}", NodeError, ("'mu'", "'.2f'", "no value")),
    Row("a gradient with JAX", lambda m: jax.grad(lambda v: v**2)(m["mu"]), NodeError, ("'mu'", "px.lift")),
    Row("vmap over a variable", lambda m: jax.vmap(lambda v: v)(m["level"]), NodeError, ("'level'", "px.lift")),
    Row("a number lifted", lambda m: px.lift(3), NodeError, ("px.lift", "function", "met 3")),
    Row("NumPy lifted", lambda m: px.lift(np.exp)(m["mu"]), NodeError, ("exp", "jax.numpy")),
    Row("float() lifted", lambda m: px.lift(lambda v: float(v))(m["mu"]), NodeError, ("<lambda>", "without float()")),
    Row("an if lifted", lambda m: px.lift(lambda v: v if v > 0 else -v)(m["mu"]), NodeError, ("<lambda>", "jnp.where")),
    Row(
        "a lifted function without return", lambda m: px.lift(lambda v: None)(m["mu"]), NodeError, ("None", "`return`")
    ),
    Row("a lifted text", lambda m: px.lift(lambda v: "u")(m["mu"]), ShapeError, ("<lambda>", "mu", "str")),
    Row("a lifted function of two", lambda m: px.lift(lambda u, v: u)(m["mu"]), ShapeError, ("mu", "missing", "'v'")),
    Row("where without else", lambda m: px.math.where(m["mu"] > 0, 1), NodeError, ("where", "greater(mu)", "None")),
    _row("a text named", lambda m: px.Deterministic("d", "u"), ModelError, "'d'", "must be numbers"),
    _row("a function named", lambda m: px.Deterministic("d", lambda: 1), ModelError, "'d'", "objects, not numbers"),
    _row(
        "a distribution named", lambda m: px.Deterministic("d", px.Normal.dist()), ModelError, "'d'", "give it a name"
    ),
    _row("a penalty of None", lambda m: px.Potential("d", None), ModelError, "'d'", "None", "return"),
    _row("a penalty by a distribution", lambda m: px.Potential("d", px.Normal.dist()), ModelError, "'d'", "not a dist"),
    Row("the density of a number", lambda m: px.logp(3.0, 1.0), ModelError, ("px.logp", "px.Normal.dist", "3.0")),
    Row("the density at a text", lambda m: px.logp(m["mu"], "u"), NodeError, ("log_density", "'u'")),
    Row("a draw by name", lambda m: px.draw("mu"), ModelError, ("px.draw", "model['mu']")),
    Row("a draw of a number", lambda m: px.draw(3), ModelError, ("px.draw", "met 3")),
    Row("no draws", lambda m: px.draw(m["mu"], draws=0), ValueError, ("draws", "at least 1")),
    Row("a value of another shape", lambda m: m["mu"].eval({"mu": [1.0, 2.0]}), ShapeError, ("'mu'", "()", "(2,)")),
    _row(
        "a dim that shrinks alone",
        lambda m: m.set_dim("group", 2) or px.model.LogDensity.build(m),
        ShapeError,
        "level",
        "(2,)",
        "(3,)",
    ),
]

AREAS = {"models": MODELS, "distributions": DISTRIBUTIONS, "dims and data": DIMS, "expressions": EXPRESSIONS}
