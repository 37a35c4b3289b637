"""Effect handlers: the examples of their documentation, threads, re-entrancy, handlers of one's own.

At the end, every test of the module runs again in eight threads at once, and under JAX's tracer leak checks.
"""

import inspect
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyrox as px
import pyrox.dist as dist
from pyrox.errors import ModelError, ShapeError, SupportError
from pyrox.handlers import (
    LocScaleReparam,
    Messenger,
    TransformReparam,
    block,
    condition,
    do,
    infer_config,
    lift,
    mask,
    reparam,
    replay,
    scale,
    scope,
    seed,
    substitute,
    trace,
    uncondition,
)
from pyrox.model import HalfNormal, LogDensity, Model, Normal, log_density
from pyrox.primitives import deterministic, factor, param, plate, sample

ALONE = set()


def alone(test):
    """Keep a test out of the repetitions: it samples, or leaks on purpose."""
    ALONE.add(test.__name__)
    return test


def two_sites():
    a = sample("a", dist.Normal(0.0, 1.0))
    return sample("b", dist.Normal(a, 1.0))


def graph():
    with Model() as model:
        a = Normal("a", 0.0, 1.0)
        Normal("b", a, 1.0)
    return model


PROGRAMS = pytest.mark.parametrize("program", [two_sites, graph()], ids=["function", "graph"])


@PROGRAMS
def test_trace_records_messages_in_order(program):
    record = trace(seed(program, jax.random.PRNGKey(0))).get_trace()
    assert isinstance(record, OrderedDict)
    assert list(record) == ["a", "b"]
    assert record["a"]["type"] == "sample"
    assert not record["a"]["is_observed"]
    assert record["b"]["fn"].loc == record["a"]["value"]


@PROGRAMS
def test_block(program):
    seeded = seed(program, jax.random.PRNGKey(0))
    hidden = trace(block(seeded)).get_trace()
    assert not {"a", "b"}.intersection(hidden)
    part = trace(block(seeded, lambda site: site["name"] == "a")).get_trace()
    assert list(part) == ["b"]


@PROGRAMS
def test_condition(program):
    record = trace(condition(seed(program, 0), {"a": -1})).get_trace()
    assert record["a"]["value"] == -1
    assert record["a"]["is_observed"]
    by_function = trace(condition(seed(program, 0), substitute_fn=lambda m: -2.0 if m["name"] == "a" else None))
    assert by_function.get_trace()["a"]["value"] == -2


@PROGRAMS
def test_substitute(program):
    record = trace(substitute(seed(program, 0), {"a": -1})).get_trace()
    assert record["a"]["value"] == -1
    assert not record["a"]["is_observed"]
    assert trace(substitute(seed(program, 0), base_param_map={"a": 0.5})).get_trace()["a"]["value"] == 0.5


def test_substitute_base_values_pass_the_transforms():
    fn = dist.TransformedDistribution(dist.Normal(0.0, 1.0), dist.transforms.ExpTransform())
    record = trace(substitute(lambda: sample("x", fn), base_param_map={"x": 1.0})).get_trace()
    assert record["x"]["value"] == pytest.approx(np.e)
    assert record["x"]["intermediates"]
    constrained = substitute(lambda: param("s", 1.0, constraint=dist.constraints.positive), base_param_map={"s": 0.0})
    assert constrained() == 1.0


@PROGRAMS
def test_replay(program):
    first = trace(seed(program, 0)).get_trace()
    again = trace(replay(seed(program, 1), first)).get_trace()
    assert again["a"]["value"] == first["a"]["value"]


def test_seed_as_context_and_as_wrapper():
    with seed(rng_seed=1):
        x = sample("x", dist.Normal(0.0, 1.0))
    assert x == seed(lambda: sample("y", dist.Normal(0.0, 1.0)), rng_seed=1)()
    assert x == seed(lambda: sample("y", dist.Normal(0.0, 1.0)), jax.random.PRNGKey(1))()
    assert x == seed(lambda: sample("y", dist.Normal(0.0, 1.0)), rng=jnp.asarray(1))()


def test_seed_gives_every_site_its_own_numbers():
    record = trace(seed(two_sites, 0)).get_trace()
    assert record["a"]["value"] != record["b"]["value"] - record["a"]["value"]


def test_scale_and_mask_multiply_up():
    record = trace(scale(scale(seed(two_sites, 0), 2.0), 3.0)).get_trace()
    assert record["a"]["scale"] == 6.0
    assert trace(mask(seed(two_sites, 0), mask=False)).get_trace()["b"]["mask"] is False


def test_masks_and_scales_may_be_lists():
    def program():
        sample("x", dist.Normal(0.0, 1.0).expand((2,)))

    nested = mask(mask(program, [True, False]), jnp.array([1.0, 1.0]))
    got, _ = log_density(scale(scale(nested, [2.0, 3.0]), 2.0), (), {}, {"x": jnp.zeros(2)})
    np.testing.assert_allclose(got, 4 * dist.Normal(0.0, 1.0).log_prob(0.0))


def test_a_mask_wider_than_its_site():
    def program():
        x = sample("x", dist.Normal(0.0, 1.0))
        sample("y", dist.Normal(x, 1.0).expand((3,)), obs=jnp.zeros(3))

    keep = jnp.array([True, False, True])
    with pytest.raises(
        ShapeError, match=r"mask: sample 'x' has .* shape \(\), .* mask has shape \(3,\)"
    ):
        log_density(mask(program, keep), (), {}, {"x": 0.0})
    density = LogDensity.build(mask(program, keep))
    with pytest.raises(ShapeError, match=r"sample 'x' .* shape \(\), .* shape \(3,\)"):
        density(jnp.zeros(1), density.data)
    inside = mask(lambda: factor("penalty", -1.0), keep)
    with pytest.raises(ShapeError, match="factor 'penalty'"):
        log_density(inside, (), {}, {})
    with pytest.raises(ShapeError, match=r"sample 'y' .* shape \(3,\), .* shape \(2,\)"):
        log_density(mask(lambda: sample("y", dist.Normal(0.0, 1.0), obs=jnp.zeros(3)), keep[:2]), (), {}, {})
    for single in (jnp.array(True), jnp.ones((1, 1), bool)):
        one = log_density(mask(program, single), (), {}, {"x": 0.0})[0]
        np.testing.assert_allclose(one, log_density(program, (), {}, {"x": 0.0})[0])


def test_seeds_are_ints_of_any_size_and_sign():
    draws = [float(seed(lambda: sample("x", dist.Normal(0.0, 1.0)), s)()) for s in (-1, 2**70 + 1, 2**64 - 2)]
    assert len(set(draws)) == 3


def test_a_model_can_be_built_inside_jit():
    @jax.jit
    def density(x):
        with Model() as model:
            Normal("y", HalfNormal("s", 2.0), 1.0, observed=[1.0, 2.0])
        logdensity = LogDensity.build(model)
        return logdensity(x, logdensity.data)

    with Model() as model:
        Normal("y", HalfNormal("s", 2.0), 1.0, observed=[1.0, 2.0])
    logdensity = LogDensity.build(model)
    np.testing.assert_allclose(density(jnp.ones(1)), logdensity(jnp.ones(1), logdensity.data))


@PROGRAMS
def test_a_handler_of_ones_own_takes_two_lines(program):
    class Fix(Messenger):
        def process_message(self, msg):
            msg["value"] = 7.0

    record = trace(Fix(program)).get_trace()
    assert [site["value"] for site in record.values()] == [7.0, 7.0]


def test_handlers_are_reentrant_and_keep_no_state():
    handler = seed(two_sites, 0)
    recorder = trace(handler)
    first, second = recorder.get_trace(), recorder.get_trace()
    assert first["b"]["value"] == second["b"]["value"]
    with recorder as outer, recorder as inner:
        deterministic("x", 1.0)
    assert list(outer) == list(inner) == ["x"]
    with pytest.raises(RuntimeError), seed(rng_seed=0):
        raise RuntimeError
    assert trace(lambda: deterministic("x", 1.0)).get_trace()["x"]["value"] == 1.0


def test_under_jit_vmap_and_leak_checks():
    draw = lambda key: seed(two_sites, key)()  # noqa: E731
    keys = jax.random.split(jax.random.key(0), 5)
    with jax.check_tracer_leaks():
        drawn = jax.jit(jax.vmap(draw))(keys)
    np.testing.assert_allclose(drawn, [draw(k) for k in keys], rtol=1e-12)


@PROGRAMS
def test_do(program):
    record = trace(do(seed(program, 0), {"a": 50.0})).get_trace()
    assert record["b"]["fn"].loc == 50.0
    assert record["a"]["value"] == trace(seed(program, 0)).get_trace()["a"]["value"]
    # Counterfactual: the site that goes on is conditioned, its effect sees the intervention.
    record = trace(condition(do(seed(program, 0), {"a": 50.0}), {"a": 1.0})).get_trace()
    assert (record["a"]["value"], record["b"]["fn"].loc) == (1.0, 50.0)


@PROGRAMS
def test_scope(program):
    with trace() as record, seed(rng_seed=0):
        scope(program, "x")()
        scope(scope(program, "y"), "z", divider=".")()
    assert list(record) == ["x/a", "x/b", "z.y/a", "z.y/b"]


def test_scope_renames_plates():
    def plated():
        with plate("n", 2):
            sample("a", dist.Normal(0.0, 1.0))

    record = trace(scope(seed(plated, 0), "x")).get_trace()
    assert list(record) == ["x/n", "x/a"]
    assert record["x/a"]["plates"][0].name == "x/n"


@PROGRAMS
def test_uncondition(program):
    record = trace(seed(uncondition(condition(program, {"b": 1e9})), 0)).get_trace()
    assert not record["b"]["is_observed"]
    assert record["b"]["value"] != 1e9
    assert record["b"]["infer"]["obs"] == 1e9


@PROGRAMS
def test_infer_config(program):
    config = lambda site: {"mark": site["name"]}  # noqa: E731
    record = trace(infer_config(seed(program, 0), config)).get_trace()
    assert [site["infer"]["mark"] for site in record.values()] == ["a", "b"]
    assert "mark" not in trace(seed(program, 0)).get_trace()["a"]["infer"]


def test_lift():
    def program():
        return param("s", jnp.ones(3)), param("t", 2.0)

    lifted = lift(program, {"s": dist.Normal(0.0, 1.0)})
    record = trace(seed(lifted, 0)).get_trace()
    assert (record["s"]["type"], record["t"]["type"]) == ("sample", "param")
    assert record["s"]["value"].shape == (3,)
    everything = trace(seed(lift(program, lambda msg: dist.Gamma(1.0, 1.0)), 0)).get_trace()
    assert {site["type"] for site in everything.values()} == {"sample"}


@PROGRAMS
@pytest.mark.parametrize("centered", [0.0, 0.4, 1.0, None])
def test_loc_scale_reparam_leaves_the_distribution(program, centered):
    def values(key):
        return trace(seed(reparam(program, {"b": LocScaleReparam(centered)}), key)).get_trace()

    record = values(0)
    assert record["b"]["type"] == "deterministic"
    # The density of the auxiliary variable is that of the variable times the derivative of the map between them.
    c = 0.5 if centered is None else centered
    a, z = record["a"]["value"], record["b_decentered"]["value"]
    np.testing.assert_allclose(record["b"]["value"], a + (z - c * a))
    assert ("b_centered" in record) == (centered is None)


def test_reparam_in_plates_and_events():
    shifted = dist.TransformedDistribution(dist.Normal(0.0, 1.0), dist.transforms.AffineTransform(5.0, 2.0))

    def program():
        with plate("n", 3):
            sample("x", shifted)
            sample("y", dist.StudentT(4.0, jnp.ones(2), 3.0).to_event(1))

    wrapped = reparam(program, {"x": TransformReparam(), "y": LocScaleReparam(0.0)})
    ld = LogDensity.build(wrapped)
    assert {n: s.shape for n, s in ld.free.items()} == {"x_base": (3,), "y_decentered": (3, 2)}
    values = ld.constrain(jnp.ones(9), ld.data)
    np.testing.assert_allclose(values["x"], 7.0)
    np.testing.assert_allclose(values["y"], 4.0)


@PROGRAMS
def test_densities_of_reparametrised_programs(program):
    ld = LogDensity.build(reparam(program, {"b": LocScaleReparam(0.0)}))
    position = jnp.array([0.3, -0.4])
    np.testing.assert_allclose(ld(position, ld.data), dist.Normal(0.0, 1.0).log_prob(position).sum())


def labels_and_data():
    """The data of the documentation, drawn with the random numbers and the precision of its time."""
    with jax.threefry_partitionable(False):
        data = jax.random.normal(jax.random.PRNGKey(0), (3000, 3), jnp.float32)
        probability = jax.nn.sigmoid(jnp.sum(jnp.arange(1.0, 4.0, dtype=jnp.float32) * data, axis=-1))
        uniform = jax.random.uniform(jax.random.PRNGKey(1), (3000,), jnp.float32)
    return np.asarray(data, float), np.asarray(uniform < probability, int)


def logistic_regression(data, labels):
    columns = data.shape[1]
    coefs = sample("coefs", dist.Normal(jnp.zeros(columns), jnp.ones(columns)))
    intercept = sample("intercept", dist.Normal(0.0, 10.0))
    logits = jnp.sum(coefs * data + intercept, axis=-1)
    return sample("obs", dist.Bernoulli(logits=logits), obs=labels)


def log_predictive_density(rng_key, params, model, *args):
    def log_likelihood(rng_key, params):
        site = trace(substitute(seed(model, rng_key), params)).get_trace(*args)["obs"]
        return site["fn"].log_prob(site["value"])

    n = next(iter(params.values())).shape[0]
    log_lk_vals = jax.vmap(log_likelihood)(jax.random.split(rng_key, n), params)
    return jnp.sum(jax.scipy.special.logsumexp(log_lk_vals, 0) - jnp.log(n))


@alone
def test_log_predictive_density_example():
    data, labels = labels_and_data()
    idata = px.sample(
        1000, tune=1000, chains=1, model=logistic_regression, model_args=(data, labels), random_seed=2,
        progressbar=False, compute_convergence_checks=False,
    )  # fmt: skip
    draws = {n: jnp.asarray(idata["posterior"][n].values[0]) for n in ("coefs", "intercept")}
    # The documentation prints 0.96, 2.05, 3.18 and -0.03, with standard deviations 0.07, 0.09, 0.13 and 0.02.
    np.testing.assert_allclose(draws["coefs"].mean(0), [0.96, 2.05, 3.18], atol=0.03)
    np.testing.assert_allclose(draws["intercept"].mean(), -0.03, atol=0.015)
    found = log_predictive_density(jax.random.PRNGKey(2), draws, logistic_regression, data, labels)
    np.testing.assert_allclose(found, -874.89813, atol=0.5)


def wrong_replay():
    record = trace(seed(lambda: sample("x", dist.Normal(jnp.zeros(2), 1.0)), 0)).get_trace()
    replay(lambda: sample("x", dist.Normal(jnp.zeros(3), 1.0)), record)()


def leaked(value):
    """A placeholder of a jit that is over."""
    kept = []
    jax.jit(kept.append)(value)
    return kept[0]


@pytest.mark.leaks
@alone
@pytest.mark.parametrize(
    "run",
    [
        lambda: seed(lambda: sample("x", dist.Normal(leaked(1.0), 1.0)), 0)(),
        lambda: log_density(lambda: sample("x", dist.Normal(0.0, 1.0)), (), {}, {"x": leaked(1.0)}),
        lambda: LogDensity.build(lambda: sample("x", dist.Normal(leaked(1.0), 1.0)))(jnp.zeros(1), BLANK),
    ],
    ids=["draw", "density", "flat density"],
)
def test_a_tracer_leak_names_the_site(run):
    with pytest.raises(ModelError, match=r"'x'.*tracer leak.*Return it"):
        run()


BLANK = {"args": {}, "closed": {}, "sites": {}}


POSITIVE = dist.HalfNormal(1.0)


def positive():
    return sample("x", POSITIVE)


def eight():
    """A graph whose expressions rely on the shape of a variable."""
    with Model() as model:
        Normal("y", Normal("x", shape=8)[np.array([0, 7])], 1.0)
    return model


WRONG_SHAPE = r"x: a handler has given it a value of shape \(3,\), the variable has \(8,\)"


@pytest.mark.parametrize(
    ("run", "error", "words"),
    [
        (wrong_replay, ShapeError, r"'x' has shape \(2,\), the site \(3,\)"),
        (
            lambda: substitute(lambda: sample("x", POSITIVE), {"x": -1.0})(),
            SupportError,
            "substitute: the value of 'x' must be .*; met -1.0",
        ),
        (
            lambda: condition(lambda: sample("x", POSITIVE), {"x": jnp.array([1.0, -2.0])})(),
            SupportError,
            "condition: the value of 'x'.*met -2.0 at index 1",
        ),
        (lambda: reparam(positive, {"x": LocScaleReparam(0)})(), ModelError, "'x' is a HalfNormal.*no loc and scale"),
        (lambda: reparam(positive, {"x": TransformReparam()})(), ModelError, "'x' is a HalfNormal.*not a transformed"),
        (
            lambda: reparam(lambda: sample("x", POSITIVE, obs=1.0), {"x": TransformReparam()})(),
            ModelError,
            "'x' is observed",
        ),
        (lambda: scope(lambda: None, ""), ModelError, "prefix"),
        (lambda: replay(positive, {"x": 1.0}), ModelError, "'x' is a value: substitute"),
        (lambda: seed(positive, [0, 1]), ValueError, "an int or a JAX key"),
        (lambda: seed(positive, 0.5), ValueError, "an int or a JAX key"),
        *(
            (lambda handler=handler: seed(handler(eight(), {"x": [0.0, 0.0, 0.0]}), 0)(), ShapeError, WRONG_SHAPE)
            for handler in (substitute, condition, do)
        ),
        (lambda: log_density(eight(), (), {}, {"x": jnp.zeros(3)}), ShapeError, WRONG_SHAPE),
    ],
)
def test_bad_input(run, error, words):
    with pytest.raises(error, match=words):
        run()


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda: sample("x", dist.Normal(0.0, 1.0)), "handlers.seed"),
        (lambda: trace(lambda: [deterministic("x", 1.0), factor("x", 1.0)]).get_trace(), "two statements"),
        (lambda: sample("x", dist.Normal), "not the class"),
        (lambda: sample("x", 3.0), "'x'.*a distribution, or a function of a key; met 3.0"),
        (lambda: sample(dist.Normal(0.0, 1.0), "x"), "a str"),
    ],
)
def test_errors(run, words):
    with pytest.raises(ModelError, match=words):
        run()


def every_test():
    """Every test of the module but those of whole processes, as calls without arguments."""
    for name, test in sorted(globals().items()):
        marks = getattr(test, "pytestmark", [])
        if not name.startswith("test_") or name in AGAIN or name in ALONE:
            continue
        cases = [{}]
        for mark in marks:
            names = mark.args[0] if isinstance(mark.args[0], tuple) else (mark.args[0],)
            rows = [row if len(names) > 1 else (row,) for row in mark.args[1]]
            cases = [{**case, **dict(zip(names, row, strict=True))} for case in cases for row in rows]
        assert set(inspect.signature(test).parameters) == set(cases[0])
        for case in cases:
            yield lambda test=test, case=case: test(**case)


def test_everything_in_eight_threads():
    tests = list(every_test())
    assert len(tests) > 40
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(test) for test in tests * 3]:
            done.result()


def test_everything_under_leak_checks():
    with jax.check_tracer_leaks():
        for test in every_test():
            test()


AGAIN = ("test_everything_in_eight_threads", "test_everything_under_leak_checks")
