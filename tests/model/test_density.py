"""The log-density of graphs and programs against truths written out by hand."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import pyrox.dist as dist
from pyrox import model as px
from pyrox.errors import ModelError
from pyrox.model.handlers import condition, mask, scale, substitute
from pyrox.model.primitives import deterministic, factor, sample

Y = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
SE = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def schools():
    with px.Model(coords={"school": list("ABCDEFGH")}) as model:
        mu = px.Normal("mu", 0, 5)
        tau = px.HalfCauchy("tau", beta=5)
        z = px.Normal("z", 0, 1, dims="school")
        theta = px.Deterministic("theta", mu + tau * z, dims="school")
        px.Normal("y", mu=theta, sigma=SE, observed=Y, dims="school")
    return model


def schools_truth(v):
    prior = (
        stats.norm.logpdf(v["mu"], 0, 5) + stats.halfcauchy.logpdf(v["tau"], scale=5) + stats.norm.logpdf(v["z"]).sum()
    )
    return prior + stats.norm.logpdf(Y, v["mu"] + v["tau"] * v["z"], SE).sum()


def dependent():
    with px.Model() as model:
        low = px.Normal("low", 0, 1)
        width = px.Exponential("width", 1.0)
        x = px.Uniform("x", low, low + width, shape=2)
        px.Potential("soft", -((x.sum() - 1) ** 2))
    return model


def dependent_truth(v):
    x = stats.uniform.logpdf(v["x"], v["low"], v["width"]).sum()
    return stats.norm.logpdf(v["low"]) + stats.expon.logpdf(v["width"]) + x - (np.sum(v["x"]) - 1) ** 2


def simplex():
    with px.Model() as model:
        w = px.Dirichlet("w", [1.0, 2.0, 3.0])
        b = px.Beta("b", 2, 3)
        px.Categorical("k", p=w, observed=[0, 2, 2])
        px.Binomial("n", n=[5, 6], logit_p=px.math.logit(b), observed=[1, 6])
    return model


def simplex_truth(v):
    w, b = np.asarray(v["w"]), float(v["b"])
    prior = stats.dirichlet.logpdf(w / w.sum(), [1, 2, 3]) + stats.beta.logpdf(b, 2, 3)
    return prior + np.log(w)[[0, 2, 2]].sum() + stats.binom.logpmf([1, 6], [5, 6], b).sum()


def regression():
    rng = np.random.default_rng(0)
    group, x = np.array([0, 1, 1, 2, 0]), rng.normal(size=(5, 2))
    with px.Model() as model:
        a = px.Normal("a", shape=3)
        b = px.Normal("b", shape=2)
        rate = px.math.exp(a[group] + x @ b)
        px.Poisson("y", rate, observed=[0, 1, 2, 3, 0])
    regression.rate = lambda v: np.exp(np.asarray(v["a"])[group] + x @ np.asarray(v["b"]))
    return model


def regression_truth(v):
    prior = stats.norm.logpdf(v["a"]).sum() + stats.norm.logpdf(v["b"]).sum()
    return prior + stats.poisson.logpmf([0, 1, 2, 3, 0], regression.rate(v)).sum()


MODELS = {
    "schools": (schools, schools_truth),
    "dependent": (dependent, dependent_truth),
    "simplex": (simplex, simplex_truth),
    "regression": (regression, regression_truth),
}


def free_coordinates(ld, position):
    """Free values without the last share of simplexes: as many numbers as the position has."""
    values = ld.constrain(position, ld.data)
    parts = [values[n][..., :-1] if s.unconstrained_shape != s.shape else values[n] for n, s in ld.free.items()]
    return jnp.concatenate([jnp.ravel(p) for p in parts])


@pytest.mark.parametrize("name", MODELS)
def test_truth_and_jacobian(name):
    build, truth = MODELS[name]
    ld = px.LogDensity.build(build())
    for seed in range(3):
        position = jax.random.normal(jax.random.key(seed), (ld.dim,))
        jacobian = jnp.linalg.slogdet(jax.jacobian(lambda q: free_coordinates(ld, q))(position))[1]
        want = truth(ld.constrain(position, ld.data)) + jacobian
        np.testing.assert_allclose(ld(position, ld.data), want, rtol=1e-9)
        assert np.isfinite(jax.grad(ld)(position, ld.data)).all()


@pytest.mark.parametrize("name", MODELS)
def test_round_trip_and_vmap(name):
    ld = px.LogDensity.build(MODELS[name][0]())
    positions = jax.random.normal(jax.random.key(0), (4, ld.dim))
    values = jax.vmap(ld.constrain, (0, None))(positions, ld.data)
    for i in range(4):
        back = ld.unconstrain({n: values[n][i] for n in ld.free}, ld.data)
        np.testing.assert_allclose(back, positions[i], rtol=1e-6, atol=1e-9)


def test_structure():
    ld = px.LogDensity.build(schools())
    assert ld.dim == 10
    assert list(ld.free) == ["mu", "tau", "z"]
    assert ld.observed == ("y",)
    assert ld.deterministics == ("theta",)
    assert list(ld.constrain(jnp.zeros(10), ld.data)) == ["mu", "tau", "z", "theta"]


@pytest.mark.parametrize("name", ["schools", "dependent", "simplex"])
def test_the_jaxpr_is_plain(name):
    ld = px.LogDensity.build(MODELS[name][0]())
    jaxpr = jax.make_jaxpr(ld)(jnp.zeros(ld.dim), ld.data)
    used = {eqn.primitive.name for eqn in jaxpr.eqns}
    assert not used & {"scatter", "scatter-add", "sort", "pure_callback", "io_callback", "while"}
    sizes = {np.size(c) for c in jaxpr.consts}
    assert not sizes & {np.size(x) for x in jax.tree.leaves(ld.data)}, "arrays are arguments, not constants"


def test_new_data_of_equal_shape_do_not_retrace():
    with px.Model() as model:
        x = px.Data("x", [1.0, 2.0, 3.0])
        b = px.Normal("b")
        px.Normal("y", b * x, 1.0, observed=[0.0, 1.0, 2.0])
    ld = px.LogDensity.build(model)
    traced = []

    @jax.jit
    def f(position, data):
        traced.append(1)
        return ld(position, data)

    q = jnp.ones(1)
    first = f(q, ld.current_data())
    px.set_data({"x": [0.0, 1.0, 2.0]}, model)
    second = f(q, ld.current_data())
    assert len(traced) == 1
    assert first != second
    assert second == pytest.approx(4 * stats.norm.logpdf(0) - 0.5)
    px.set_data({"x": np.zeros(4)}, model)
    with pytest.raises(Exception, match=r"changed|shape"):
        ld.current_data()


def test_two_builds_of_one_cell_have_one_jaxpr():
    texts = set()
    for shift in (0.0, 1.0):
        with px.Model() as model:
            b = px.Normal("b", shape=2)
            px.Normal("y", (Y.reshape(4, 2) + shift) @ b, SE[:4] + shift, observed=Y[:4] + shift)
        ld = px.LogDensity.build(model)
        texts.add(str(jax.make_jaxpr(ld)(jnp.zeros(2), ld.data)))
    assert len(texts) == 1


def program(x, y=None, use_scale=True):
    b = sample("b", dist.Normal(0.0, 1.0).expand((2,)))
    sigma = sample("sigma", dist.HalfNormal(1.0)) if use_scale else 1.0
    deterministic("mean", x @ b)
    factor("penalty", -jnp.sum(b**2))
    sample("y", dist.Normal(x @ b, sigma), obs=y)


def test_functions_take_their_arrays_as_data():
    x, y = np.ones((3, 2)), np.arange(3.0)
    ld = px.LogDensity.build(program, (x,), {"y": y})
    q = jnp.array([0.3, -0.2, 0.1])
    v = ld.constrain(q, ld.data)
    want = stats.norm.logpdf(v["b"]).sum() + stats.halfnorm.logpdf(v["sigma"]) + 0.1 - np.sum(v["b"] ** 2)
    want += stats.norm.logpdf(y, x @ v["b"], v["sigma"]).sum()
    np.testing.assert_allclose(ld(q, ld.data), want)
    assert not jax.make_jaxpr(ld)(q, ld.data).consts
    assert len(jax.tree.leaves(ld.data)) == 2
    assert px.LogDensity.build(program, (x, y), {"use_scale": False}).dim == 2


def test_functions_that_look_into_their_arguments_still_work():
    def counted(group, y):
        a = sample("a", dist.Normal(0.0, 1.0).expand((int(group.max()) + 1,)))
        sample("y", dist.Normal(a[group], 1.0), obs=y)

    assert px.LogDensity.build(counted, (np.array([0, 2, 1]), np.zeros(3))).dim == 3


def test_closed_over_observations_are_data():
    ld = px.LogDensity.build(lambda: sample("y", dist.Normal(sample("m", dist.Normal(0.0, 1.0)), 1.0), obs=Y[0:1]))
    assert len(jax.tree.leaves(ld.data)) == 1


def test_handlers_around_a_program():
    base = schools()
    fixed = px.LogDensity.build(substitute(base, {"tau": 2.0}))
    assert list(fixed.free) == ["mu", "z"]
    q = jnp.arange(9.0) / 10
    whole = px.LogDensity.build(base)
    position = whole.unconstrain({"mu": q[0], "tau": 2.0, "z": q[1:]}, whole.data)
    np.testing.assert_allclose(fixed(q, fixed.data), whole(position, whole.data) - np.log(2.0))
    assert px.LogDensity.build(condition(base, {"z": np.zeros(8)})).dim == 2
    doubled = px.LogDensity.build(scale(base, 2.0))
    plain = sum(v for n, v in whole.site_terms(position, whole.data).items() if "Jacobian" not in n)
    np.testing.assert_allclose(doubled(position, doubled.data), 2 * plain + np.log(2.0))
    masked = px.LogDensity.build(mask(base, mask=False))
    np.testing.assert_allclose(masked(position, masked.data), np.log(2.0))


def test_data_are_scaled_by_handlers_only_once_and_factors_too():
    ld = px.LogDensity.build(scale(lambda: (sample("x", dist.Normal(0.0, 1.0)), factor("f", 3.0))[0], 2.0))
    np.testing.assert_allclose(ld(jnp.zeros(1), ld.data), 2 * stats.norm.logpdf(0) + 6)


def test_initial_position():
    ld = px.LogDensity.build(schools())
    key = jax.random.key(0)
    position = ld.initial_position(key, ld.data)
    assert np.abs(position).max() <= 2
    again = ld.initial_position(key, ld.data, {"tau": 3.0, "z": 0.5})
    values = ld.constrain(again, ld.data)
    np.testing.assert_allclose(values["tau"], 3.0)
    np.testing.assert_allclose(values["z"], 0.5)
    assert values["mu"] == position[0]
    many = jax.vmap(lambda k: ld.initial_position(k, ld.data))(jax.random.split(key, 3))
    assert many.shape == (3, 10)


def test_initval_of_statements_and_dependent_supports():
    with px.Model() as model:
        low = px.Normal("low", initval=-1.0)
        px.Uniform("x", low, low + 2.0, initval=0.5)
    ld = px.LogDensity.build(model)
    values = ld.constrain(ld.initial_position(jax.random.key(0), ld.data), ld.data)
    np.testing.assert_allclose([values["low"], values["x"]], [-1.0, 0.5])


def test_explain_marks_what_is_not_finite():
    with px.Model() as model:
        a = px.Normal("a")
        px.Normal("b", px.math.log(a), 1.0)
        px.Normal("y", a, 1.0, observed=1.0)
    ld = px.LogDensity.build(model)
    table = ld.explain(jnp.array([-1.0, 0.0]), ld.data).splitlines()
    assert [row.split()[0] for row in table[:4]] == ["site", "a", "b", "y"]
    assert "log-density is not finite" in table[2]
    assert "not finite" not in table[3]
    assert table[4].startswith("The variable 'b' has log-density nan")
    assert table[5].startswith("  its parameter loc (mu) must be")
    assert len(table) == 6
    assert len(ld.explain(jnp.array([1.0, 0.0]), ld.data).splitlines()) == 4, "where all is well nothing is added"


def test_observed_by_data():
    with px.Model() as model:
        y = px.Data("y_data", [1, 0, 1])
        px.Bernoulli("y", px.Beta("p", 1, 1), observed=y)
    ld = px.LogDensity.build(model)
    np.testing.assert_allclose(ld.site_terms(jnp.zeros(1), ld.data)["y"], 3 * np.log(0.5))
    px.set_data({"y_data": [0, 0, 0]}, model)
    np.testing.assert_allclose(ld.site_terms(jnp.ones(1), ld.current_data())["y"], 3 * np.log(1 / (1 + np.e)))


def test_data_of_a_wrapped_model_are_read_again():
    with px.Model() as model:
        x = px.Data("x", [1.0, 2.0])
        px.Normal("y", px.Normal("b") * x, 1.0, observed=[0.0, 0.0])
    ld = px.LogDensity.build(scale(model, 1.0))
    px.set_data({"x": [3.0, 4.0]}, model)
    np.testing.assert_array_equal(ld.current_data()["sites"]["x"], [3.0, 4.0])


def test_whole_numbers_in_expressions_are_fractions_from_the_start():
    with px.Model() as model:
        px.Deterministic("y", px.Normal("b") * np.array([1, 2]) + np.array([3, 4]))
    ld = px.LogDensity.build(model)
    assert {a.dtype.kind for a in jax.tree.leaves(ld.data)} == {"f"}


def test_a_copied_model_is_a_model():
    model = copy.deepcopy(schools())
    assert np.isfinite(px.LogDensity.build(model)(jnp.zeros(10), px.LogDensity.build(model).data))


def test_many_bernoulli_terms_are_summed_without_loss():
    # The sum over observations has a formula of its own: it must be that of the terms, in both tails too.
    rng = np.random.default_rng(0)
    for n in (1, 7, 511, 5000):
        x = np.concatenate([rng.normal(0, 3, n), [-800.0, 0.0, 800.0]])
        y = rng.integers(0, 2, n + 3)
        with px.Model() as model:
            shift = px.Normal("shift", 0.0, 1.0)
            px.Bernoulli("y", logit_p=shift + x, observed=y)
        density = px.LogDensity.build(model)

        def terms(s, x=x, y=y):
            return dist.Normal(0.0, 1.0).log_prob(s) + dist.BernoulliLogits(s + x).log_prob(y).sum()

        for s in (-0.3, 2.0):
            value, grad = jax.value_and_grad(density)(jnp.array([s]), density.data)
            true_value, true_grad = jax.value_and_grad(terms)(s)
            np.testing.assert_allclose(value, true_value, rtol=1e-13)
            np.testing.assert_allclose(grad[0], true_grad, rtol=1e-10)


def test_a_transform_of_ones_own():
    with px.Model() as model:
        px.Normal("cut", 0.0, 2.0, shape=3, transform=dist.transforms.OrderedTransform(), initval=[-1.0, 0.0, 2.0])
        steps = [dist.transforms.AffineTransform(0.0, 2.0), dist.transforms.ExpTransform()]
        px.Gamma("rate", 2.0, 1.0, transform=dist.transforms.ComposeTransform(steps))
    density = px.LogDensity.build(model)
    values = {"cut": jnp.array([-1.0, 0.0, 2.0]), "rate": jnp.array(0.7)}
    position = density.unconstrain(values, density.data)
    found = density.constrain(position, density.data)
    for name, value in values.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12)
    data = density.data
    jacobian = jax.jacobian(lambda q: jnp.concatenate([jnp.ravel(x) for x in density.constrain(q, data).values()]))
    log_det = np.linalg.slogdet(jacobian(position))[1]
    prior = stats.norm(0, 2).logpdf([-1.0, 0.0, 2.0]).sum() + stats.gamma(2.0).logpdf(0.7)
    np.testing.assert_allclose(density(position, density.data), prior + log_det, rtol=1e-10)
    start = density.initial_position(jax.random.key(0), density.data)
    np.testing.assert_allclose(density.constrain(start, density.data)["cut"], [-1.0, 0.0, 2.0], atol=1e-12)
    with pytest.raises(ModelError, match=r"transform is one of px\.dist\.transforms; met 'ordered'"), px.Model():
        px.Normal("x", transform="ordered")
