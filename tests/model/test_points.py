"""Models evaluated at points: log-densities, gradients, expressions, and what is wrong with them."""

import copy

import jax
import numpy as np
import pytest
from scipy import stats

import pyrox as px
from pyrox.errors import ModelError, ShapeError
from pyrox.model import LogDensity

Y = np.array([0.5, 1.0, 2.5])


def model_of_many():
    with px.Model(coords={"group": ["a", "b", "c"]}) as model:
        mu = px.Normal("mu", 1.0, 2.0)
        tau = px.HalfNormal("tau", 1.5)
        theta = px.Normal("theta", mu, tau, dims="group")
        px.Beta("p", 2.0, 3.0)
        px.Uniform("u", -1.0, 3.0)
        px.Potential("pot", -(theta**2).sum())
        y = px.Data("y_data", Y, dims="group")
        px.Normal("y", theta, 0.5, observed=y, dims="group")
    return model


POINT = {"mu": 0.3, "tau": 0.7, "theta": np.array([0.1, -0.2, 0.4]), "p": 0.25, "u": 0.5}


def terms_by_hand(point):
    theta = point["theta"]
    return {
        "mu": stats.norm.logpdf(point["mu"], 1.0, 2.0),
        "tau": stats.halfnorm.logpdf(point["tau"], scale=1.5),
        "theta": stats.norm.logpdf(theta, point["mu"], point["tau"]).sum(),
        "p": stats.beta.logpdf(point["p"], 2.0, 3.0),
        "u": stats.uniform.logpdf(point["u"], -1.0, 4.0),
        "pot": -(theta**2).sum(),
        "y": stats.norm.logpdf(Y, theta, 0.5).sum(),
    }


def test_the_log_density_is_the_sum_of_the_terms():
    model, terms = model_of_many(), terms_by_hand(POINT)
    assert np.isclose(model.compile_logp(jacobian=False)(POINT), sum(terms.values()), rtol=1e-12)
    log_dets = {"tau": np.log(0.7), "p": np.log(0.25 * 0.75), "u": np.log(1.5 * 2.5 / 4)}
    assert np.isclose(model.logp()(POINT), sum(terms.values()) + sum(log_dets.values()), rtol=1e-12)
    some = model.compile_logp(vars=[model["tau"], "y"])(POINT)
    assert np.isclose(some, terms["tau"] + log_dets["tau"] + terms["y"], rtol=1e-12)
    found = model.point_logps(POINT, round_vals=10)
    assert set(found) == set(terms)
    for name, term in terms.items():
        assert np.isclose(found[name], term + log_dets.get(name, 0.0), rtol=1e-8)


def test_terms_element_by_element():
    model = model_of_many()
    elements = model.compile_logp(vars=["theta", "u"], sum=False)(POINT)
    np.testing.assert_allclose(elements[0], stats.norm.logpdf(POINT["theta"], 0.3, 0.7), rtol=1e-12)
    assert elements[1].shape == ()


def test_unconstrained_values_have_pymcs_names():
    model = model_of_many()
    start = model.initial_point()
    assert list(start) == ["mu", "tau_log__", "theta", "p_logodds__", "u_interval__"]
    free = {**POINT, "tau_log__": np.log(0.7), "p_logodds__": np.log(0.25 / 0.75), "u_interval__": np.log(1.5 / 2.5)}
    for name in ("tau", "p", "u"):
        free.pop(name)
    assert np.isclose(model.logp()(free), model.logp()(POINT), rtol=1e-12)
    assert np.isclose(model.logp()(**free), model.logp()(POINT), rtol=1e-12)
    density = LogDensity.build(model)
    assert np.isclose(model.logp()(free), density(density.unconstrain(POINT, density.data), density.data), rtol=1e-12)
    assert [site.label for site in density.free.values()] == list(start)


def test_the_gradient_follows_the_order_of_definition():
    model = model_of_many()
    density = LogDensity.build(model)
    position = density.unconstrain(POINT, density.data)
    expected = jax.grad(density)(position, density.data)
    np.testing.assert_allclose(model.compile_dlogp()(POINT), expected, rtol=1e-10)
    np.testing.assert_allclose(model.dlogp(vars=["theta"])(POINT), expected[2:5], rtol=1e-10)
    without = model.compile_dlogp(jacobian=False)(POINT)
    np.testing.assert_allclose(expected[1] - without[1], 1.0, rtol=1e-10)


def test_initial_points_are_means_or_what_was_asked_for():
    with px.Model() as model:
        px.Normal("a", 5.0, 1.0)
        px.Exponential("b", 4.0)
        px.Normal("c", 0.0, 1.0, shape=2, initval=[1.0, 2.0])
        px.Cauchy("d", 3.0, 1.0)  # without a mean
        px.Normal("e", 0.0, 1.0, shape=2, transform=px.distributions.transforms.ordered)
        px.Poisson("f", 7.2)
        px.Dirichlet("g", [1.0, 1.0, 2.0])
    start = model.initial_point()
    np.testing.assert_allclose([start["a"], start["b_log__"]], [5.0, np.log(0.25)])
    np.testing.assert_array_equal(start["c"], [1.0, 2.0])
    assert start["f"] == 7
    assert np.isfinite(model.logp()(start))
    again, other = model.initial_point(3), model.initial_point(4)
    np.testing.assert_array_equal(again["c"], [1.0, 2.0])
    assert again["a"] != other["a"]
    assert np.isfinite(model.logp()(again))
    np.testing.assert_array_equal(model.initial_point(3)["a"], again["a"])
    shapes = model.eval_rv_shapes()
    assert shapes["g"] == (3,)
    assert shapes["g_simplex__"] == (2,)


def test_new_data_count_and_compile_nothing():
    model = model_of_many()
    logp, gradient, y = model.compile_logp(vars=["y"]), model.compile_dlogp(), model.compile_fn(2 * model["y_data"])
    before = logp(POINT), gradient(POINT)
    px.set_data({"y_data": Y + 1}, model)
    assert np.isclose(logp(POINT), stats.norm.logpdf(Y + 1, POINT["theta"], 0.5).sum())
    assert logp(POINT) != before[0]
    assert not np.array_equal(gradient(POINT), before[1])
    np.testing.assert_array_equal(y({}), 2 * (Y + 1))


def test_discrete_variables_have_values_too():
    with px.Model() as model:
        k = px.Bernoulli("k", 0.3)
        px.Normal("x", 2.0 * k, 1.0, observed=1.5)
    expected = np.log(0.3) + stats.norm.logpdf(1.5, 2.0, 1.0)
    assert np.isclose(model.logp()({"k": 1}), expected)
    assert model.dlogp()({"k": 1}).shape == (0,)


def test_expressions():
    model = model_of_many()
    theta, mu = model["theta"], model["mu"]
    function = model.compile_fn([theta.sum() + mu, model["y"], model["y_data"]])
    total, seen, data = function(POINT)
    assert np.isclose(total, POINT["theta"].sum() + 0.3)
    np.testing.assert_array_equal(seen, Y)
    np.testing.assert_array_equal(data, Y)
    assert model.compile_fn(mu + model["tau"], inputs=["tau", mu], point_fn=False)(2.0, 1.0) == 3.0
    start = model.initial_point()
    assert np.isclose(model.compile_fn(model["tau"])(start), np.exp(start["tau_log__"]))  # by its unconstrained value


def test_a_weighted_variable_has_its_weight():
    with px.Model() as model:
        px.Normal("y", 0.0, 1.0, observed=Y, total_size=30)
        px.Normal("x")
    assert np.isclose(model.point_logps({"x": 0.0}, 10)["y"], 10 * stats.norm.logpdf(Y).sum())


WRONG = {
    "missing": (lambda m: m.logp()({"mu": 1.0}), ModelError, "lacks the variable 'tau', or .*'tau_log__'; it has 'mu'"),
    "strange": (lambda m: m.logp()({**POINT, "zzz": 1.0}), ModelError, "the point holds 'zzz', which is no variable"),
    "shape": (lambda m: m.logp()({**POINT, "theta": np.zeros(2)}), ShapeError, r"of shape \(2,\), where \(3,\)"),
    "vars": (lambda m: m.compile_logp(vars=["y_data"]), ModelError, "'y_data' is no random variable and no potential"),
    "expression": (lambda m: m.compile_fn(3), ModelError, "compile_fn takes variables and expressions"),
    "reach": (lambda m: m.compile_fn(m["theta"] + 1)({"mu": 1.0}), ModelError, "the point lacks 'theta'"),
    "inputs": (lambda m: m.compile_fn(m["mu"], point_fn=False), ModelError, "needs inputs="),
    "fn": (lambda m: m.debug(fn="x"), ModelError, "fn is 'logp', 'dlogp' or 'random'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_told(case):
    call, error, words = WRONG[case]
    with pytest.raises(error, match=words):
        call(model_of_many())


def test_debug_names_parameters_and_values(capsys):
    with px.Model() as model:
        scale = px.Normal("scale", 0.0, 1.0, shape=2)
        px.Normal("y", 0.0, scale, observed=[0.5, 1.0])
        px.Exponential("z", 1.0)
    model.debug({"scale": [1.0, -2.0], "z": 1.0})
    told = capsys.readouterr().out
    assert "The variable 'y' has log-density nan (1 of 2 terms are not finite, the first at 1)" in told
    assert "its parameter scale (sigma) must be positive; met -2. at 1" in told
    assert "'z'" not in told.split("\n\n")[1]
    model.debug({"scale": [1.0, 2.0], "z": -1.0})
    assert "its value must be" in capsys.readouterr().out
    model.debug({"scale": [1.0, 2.0], "z": 1.0}, fn="dlogp", verbose=True)
    told = capsys.readouterr().out
    assert "No problems found" in told
    assert "scale: " in told


def test_debug_of_gradients_and_draws(capsys):
    with px.Model() as model:
        x = px.Normal("x", 0.0, 1.0)
        px.Potential("root", px.math.sqrt(abs(x)))
    model.debug({"x": 0.0})
    assert "No problems found" in capsys.readouterr().out
    model.debug({"x": 0.0}, fn="dlogp")
    assert "The gradient with respect to 'x' is not finite" in capsys.readouterr().out
    model.debug(fn="random")
    assert "No problems found" in capsys.readouterr().out
    with px.Model() as model:
        px.Normal("x", 0.0, np.exp(px.Normal("huge", 1000.0, 1.0)))
    model.debug(fn="random")
    assert "The variable 'x' was drawn as" in capsys.readouterr().out


def test_copies_go_their_own_way():
    model = model_of_many()
    for twin in (model.copy(), copy.deepcopy(model)):
        px.set_data({"y_data": Y + 1}, twin)
        np.testing.assert_array_equal(model["y_data"].get_value(), Y)
        assert twin["theta"] is not model["theta"]


def test_nested_models_and_contexts():
    with px.Model() as model:
        assert px.modelcontext(None) is model is px.Model.get_context()
        with px.Model(name="sub") as sub:
            x = px.Normal("x")
            assert sub["x"] is sub.x is model["sub::x"] is x
            assert px.modelcontext(None) is sub
        px.Normal("y", x, 1.0, observed=0.5)
    assert model.isroot
    assert sub.root is model
    assert not sub.isroot
    assert sub.prefix == "sub"
    assert list(model.initial_point()) == ["sub::x"]
    assert px.modelcontext(sub) is sub
    assert px.Model.get_context(error_if_none=False) is None
    with pytest.raises(ModelError, match="there is no model here"):
        px.modelcontext(None)


def test_lists_of_variables():
    model = model_of_many()
    with model:
        px.Deterministic("twice", 2 * model["mu"])
    names = lambda nodes: [n.name for n in nodes]  # noqa: E731
    assert names(model.free_RVs) == ["mu", "tau", "theta", "p", "u"]
    assert names(model.basic_RVs) == ["mu", "tau", "theta", "p", "u", "y"]
    assert names(model.unobserved_RVs) == ["mu", "tau", "theta", "p", "u", "twice"]
    assert names(model.observed_RVs) == ["y"]
    assert names(model.potentials) == ["pot"]
    assert names(model.data_vars) == ["y_data"]
