"""Plates, subsampling, modules and parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.example_libraries import stax

import pyrox as px
import pyrox.dist as dist
from pyrox.errors import ModelError, ShapeError, SupportError
from pyrox.handlers import replay, seed, substitute, trace
from pyrox.model import LogDensity, log_density
from pyrox.primitives import deterministic, factor, module, param, plate, sample, subsample


def record_of(program, key=0):
    return trace(seed(program, key)).get_trace()


def nested():
    with plate("a", 3):
        sample("x", dist.Normal(0.0, 1.0))
        with plate("b", 2):
            sample("y", dist.Dirichlet(jnp.ones(4)))
            deterministic("d", jnp.zeros((2, 3)))
    with plate("c", 5, dim=-2):
        sample("z", dist.Normal(jnp.zeros(7), 1.0))


def test_plates_broadcast_and_find_their_axes():
    record = record_of(nested)
    assert list(record) == ["a", "x", "b", "y", "d", "c", "z"]
    assert [jnp.shape(record[n]["value"]) for n in "xyz"] == [(3,), (2, 3, 4), (5, 7)]
    assert record["y"]["plates"] == (("b", -2, 2), ("a", -1, 3))
    np.testing.assert_array_equal(record["a"]["value"], [0, 1, 2])


def test_a_plate_can_be_entered_again_and_stated_again():
    def program():
        rows = plate("rows", 4)
        with rows:
            sample("x", dist.Normal(0.0, 1.0))
        with rows, plate("columns", 2), rows_of(1):
            sample("y", dist.Normal(0.0, 1.0))
        with plate("rows", 4):
            sample("z", dist.Normal(0.0, 1.0))

    def rows_of(n):
        return plate("one", n)

    record = record_of(program)
    assert record["y"]["value"].shape == (1, 2, 4)
    assert record["z"]["value"].shape == (4,)


def test_sample_shape_joins_the_batch():
    def program():
        with plate("a", 3):
            return sample("x", dist.Normal(0.0, 1.0), sample_shape=(2, 1))

    assert seed(program, 0)().shape == (2, 3)


def subsampled(y):
    mu = sample("mu", dist.Normal(0.0, 1.0))
    with plate("rows", 100, subsample_size=10) as rows:
        assert rows.shape == (10,)
        factor("f", mu)
        sample("y", dist.Normal(mu, 1.0), obs=subsample(y))


def test_subsampling_scales_and_draws_different_rows():
    y = jnp.arange(100.0)
    first, second = (record_of(lambda: subsampled(y), key) for key in (0, 1))
    chosen = np.asarray(first["rows"]["value"])
    assert len(set(chosen.tolist())) == 10
    assert set(chosen.tolist()) != set(np.asarray(second["rows"]["value"]).tolist())
    np.testing.assert_array_equal(first["y"]["value"], chosen)
    assert first["y"]["scale"] == 10.0
    ld = LogDensity.build(seed(subsampled, 0), (y,))
    ours = dict(ld.site_terms(jnp.array([0.5]), ld.data))
    rows = trace(seed(subsampled, 0)).get_trace(y)["rows"]["value"]
    np.testing.assert_allclose(ours["y"], 10 * dist.Normal(0.5, 1.0).log_prob(y[rows]).sum(), rtol=1e-12)
    np.testing.assert_allclose(ours["f"], 10 * 10 * 0.5)


def test_subsampling_is_unbiased():
    # The mean over all subsamples of one row, each with the scale of 4, is the whole density.
    y = jnp.array([1.0, 2.0, 3.0, 4.0])

    def program():
        with plate("rows", 4, subsample_size=1):
            sample("y", dist.Normal(0.0, 1.0), obs=subsample(y))

    each = [log_density(program, (), {}, {"rows": jnp.array([i])})[0] for i in range(4)]
    np.testing.assert_allclose(np.mean(each), dist.Normal(0.0, 1.0).log_prob(y).sum())


def test_replay_keeps_the_subsample():
    y = jnp.arange(100.0)
    first = record_of(lambda: subsampled(y))
    again = trace(replay(seed(lambda: subsampled(y), 1), first)).get_trace()
    np.testing.assert_array_equal(again["rows"]["value"], first["rows"]["value"])


def schools(effect, error):
    mu = sample("mu", dist.Normal(0.0, 5.0))
    tau = sample("tau", dist.HalfCauchy(5.0))
    with plate("school", 8):
        theta = sample("theta", dist.Normal(mu, tau))
        sample("y", dist.Normal(theta, error), obs=effect)


def test_plates_cost_nothing_in_a_density():
    effect, error = jnp.arange(8.0), jnp.ones(8)

    def flat(effect, error):
        mu = sample("mu", dist.Normal(0.0, 5.0))
        tau = sample("tau", dist.HalfCauchy(5.0))
        theta = sample("theta", dist.Normal(mu, tau).expand((8,)))
        sample("y", dist.Normal(theta, error), obs=effect)

    texts = []
    for program in (schools, flat):
        ld = LogDensity.build(program, (effect, error))
        texts.append(str(jax.make_jaxpr(ld)(jnp.zeros(ld.dim), ld.data)))
    assert texts[0] == texts[1]
    assert "scatter" not in texts[0]


def test_sampling_names_axes_after_plates():
    idata = px.sample(
        50, tune=50, chains=2, model=schools, model_args=(np.arange(8.0), np.ones(8)), random_seed=0,
        progressbar=False, compute_convergence_checks=False,
    )  # fmt: skip
    assert idata["posterior"]["theta"].dims == ("chain", "draw", "school")


def test_statements_of_the_front_end_work_in_plates():
    def program():
        with plate("school", 8):
            return px.Normal("theta", 0.0, 1.0)

    assert seed(program, 0)().shape == (8,)


def test_module_of_stax():
    net = stax.serial(stax.Dense(4), stax.Relu, stax.Dense(1))

    def program(x):
        return module("net", net, input_shape=(3,))(x)

    record = trace(seed(program, 0)).get_trace(jnp.ones((10, 3)))
    weights = record["net$params"]["value"]
    assert record["net$params"]["type"] == "param"
    assert seed(program, 0)(jnp.ones((10, 3))).shape == (10, 1)
    zero = jax.tree.map(jnp.zeros_like, weights)
    np.testing.assert_array_equal(substitute(program, {"net$params": zero})(jnp.ones((2, 3))), np.zeros((2, 1)))


class Linen:
    """What of a Flax module ``module`` relies on."""

    def init(self, key, x):
        return {"w": jax.random.normal(key, (x.shape[-1], 2))}

    def apply(self, weights, x):
        return x @ weights["w"]


@jax.tree_util.register_pytree_node_class
class Tree:
    """What of an Equinox module ``module`` relies on."""

    def __init__(self, w, size):
        self.w, self.size = w, size

    def tree_flatten(self):
        return (self.w, self.size), None

    @classmethod
    def tree_unflatten(cls, _aux, children):
        return cls(*children)

    def __call__(self, x):
        return self.size * (x @ self.w)


@pytest.mark.parametrize("net", [Linen(), Tree(jnp.ones((3, 2)), 2)], ids=["init and apply", "callable tree"])
def test_module_of_other_libraries(net):
    with trace() as record, seed(rng_seed=0):
        out = module("net", net, input_shape=(3,))(jnp.ones((5, 3)))
    assert out.shape == (5, 2)
    weights = record["net$params"]["value"]
    doubled = jax.tree.map(lambda w: 2 * w, weights)
    with substitute(param_map={"net$params": doubled}):
        np.testing.assert_allclose(module("net", net, input_shape=(3,))(jnp.ones((5, 3))), 2 * out)


def test_module_of_equinox():
    equinox = pytest.importorskip("equinox")
    net = equinox.nn.MLP(3, 2, 8, 2, key=jax.random.key(0))
    x = jnp.ones((5, 3))
    np.testing.assert_array_equal(jax.vmap(module("net", net))(x), jax.vmap(net)(x))


def test_module_of_flax():
    linen = pytest.importorskip("flax.linen")
    with seed(rng_seed=0):
        assert module("net", linen.Dense(2), input_shape=(5, 3))(jnp.ones((5, 3))).shape == (5, 2)


def test_param_draws_its_start():
    assert seed(lambda: param("w", lambda key: jax.random.normal(key, (3,))), 0)().shape == (3,)


def two_sizes():
    with plate("a", 3):
        sample("x", dist.Normal(jnp.zeros(4), 1.0))


def two_plates_on_one_axis():
    with plate("a", 3, dim=-1), plate("b", 4, dim=-1):
        pass


def subsample_twice():
    for name in "xy":
        with plate("a", 10, subsample_size=2):
            sample(name, dist.Normal(0.0, 1.0))


def stated_with_another_size():
    for size in (2, 3):
        with plate("a", size):
            sample(f"x{size}", dist.Normal(0.0, 1.0))


def wrong_data():
    with plate("a", 3):
        sample("x", dist.Normal(0.0, 1.0), obs=jnp.zeros(4))


def inside_a_model():
    with px.Model(), plate("a", 3):
        px.Normal("x", 0.0, 1.0)


def inside_itself():
    a = plate("a", 3)
    with a, a:
        sample("x", dist.Normal(0.0, 1.0))


def wrong_subsample():
    with plate("a", 10, subsample_size=2):
        subsample(jnp.zeros(9))


BAD = {
    "size": (two_sizes, ShapeError, r"x: .*\(4,\).*plate 'a', of shape \(3,\)"),
    "observed": (wrong_data, ShapeError, r"x: .*\(4,\).*plate 'a', of shape \(3,\)"),
    "axis": (two_plates_on_one_axis, ShapeError, r"'a' \(size 3\) and 'b' \(size 4\) both have dim=-1"),
    "twice": (subsample_twice, ModelError, "'a' draws its subsample twice: make it once"),
    "again": (stated_with_another_size, ShapeError, r"'a' is stated with .*\(2, 2\), then with \(3, 3\)"),
    "itself": (inside_itself, ModelError, "plate 'a' stands inside itself"),
    "model": (inside_a_model, ModelError, "'a' stands inside `with px.Model.*dims="),
    "subsample": (wrong_subsample, ShapeError, r"\(9,\).*plate 'a' has size 10"),
    "dim": (lambda: plate("a", 3, dim=0), ShapeError, "counts batch axes from the right.*met 0"),
    "whole": (lambda: plate("a", 2.5), ShapeError, "size is a whole number.*2.5"),
    "more": (lambda: plate("a", 2, subsample_size=3), ShapeError, "size 2 cannot give 3"),
    "start": (
        lambda: param("s", -1.0, constraint=dist.constraints.positive),
        SupportError,
        "param 's'.*positive; met -1.0",
    ),
    "network": (lambda: module("net", 3), ModelError, r"'net'.*\(init_fn, apply_fn\).*met 3"),
    "shape of input": (lambda: module("net", stax.Dense(1)), ModelError, "'net'.*needs input_shape"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    run, error, words = BAD[case]
    with pytest.raises(error, match=words):
        record_of(run)


def test_randomness_is_asked_for():
    for run, words in (
        (lambda: plate("a", 3, subsample_size=2), "'a' draws 2 of 3.*seed"),
        (lambda: module("net", stax.Dense(1), (2,)), "'net'.*first weights.*seed"),
        (lambda: param("w", lambda key: key), "'w'.*seed"),
    ):
        with pytest.raises(ModelError, match=words):
            run()
