"""Expressions of model variables give what JAX gives on numbers; shapes and dims are known at definition."""

import copy
import pickle
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyrox as px
from pyrox.errors import NodeError, ShapeError
from pyrox.handlers import trace
from pyrox.model import Data, Deterministic, LogDensity, Model, Normal, current_model, lift, math, model_dims, set_data
from pyrox.model.naming import by_name

RNG = np.random.default_rng(0)
X, W, FIXED = RNG.normal(size=(3, 4)), RNG.normal(size=4), RNG.normal(size=(3, 4))
JAX_FIXED = jnp.asarray(FIXED)

EXPRESSIONS = {
    "add": lambda x, w: x + w,
    "reflected": lambda x, w: 1 - x / 2 + 2**x,
    "numpy left": lambda x, w: FIXED * x - (FIXED @ w)[:, None],
    "jax left": lambda x, w: JAX_FIXED * x - (JAX_FIXED @ w)[:, None],
    "power": lambda x, w: x**2 + abs(x) ** 0.5 + -x,
    "floor and remainder": lambda x, w: x // 0.3 + x % 0.3,
    "matmul": lambda x, w: x @ w,
    "compare": lambda x, w: (x < 0) & (x <= w) | ~(x > 0.5),
    "numpy compares": lambda x, w: np.less(FIXED, x) & (JAX_FIXED < x),  # noqa: SIM300
    "integer": lambda x, w: x[1],
    "negative integer": lambda x, w: x[-1, -2],
    "column": lambda x, w: x[:, 1],
    "reverse": lambda x, w: x[::-1, 3:0:-2],
    "empty slice": lambda x, w: x[2:1],
    "ellipsis": lambda x, w: x[..., 0],
    "new axis": lambda x, w: x[:, None, 1:],
    "integers": lambda x, w: x[np.array([0, 2, -1, 0])],
    "list": lambda x, w: w[[3, 0]],
    "empty list": lambda x, w: w[[]],
    "pairs": lambda x, w: x[[0, 1], [2, -1]],
    "mixed": lambda x, w: x[np.array([0, 2, 1]), 1],
    "mask": lambda x, w: x[np.array([True, False, True])],
    "full mask": lambda x, w: x[FIXED > 0],
    "numpy functions": lambda x, w: np.exp(x) + np.sqrt(np.abs(x)) + np.maximum(x, 0),
    "numpy sum": lambda x, w: np.sum(x, axis=1),
    "numpy where": lambda x, w: np.where(FIXED > 0, x, 0.0),
    "numpy concatenate": lambda x, w: np.concatenate([x, FIXED]),
    "numpy stack": lambda x, w: np.stack([x[0], w]),
    "numpy einsum": lambda x, w: np.einsum("ij,j->i", x, w),
    "numpy linalg": lambda x, w: np.linalg.norm(x),
    "dot": lambda x, w: np.dot(x, w) + x.dot(w),
    "methods": lambda x, w: x.sum(0) + x.mean(axis=0) + x.std(0) + x.max(0) - x.min(0) + x.cumsum(1)[0],
    "transpose": lambda x, w: x.T,
    "reshape": lambda x, w: x.reshape(2, 6) + x.reshape((2, -1)),
    "flatten": lambda x, w: x.flatten()[::5],
    "scalars": lambda x, w: x * np.float64(2) + np.int64(3) + np.array(1.0),
    "list operand": lambda x, w: w * 2 + [1, 2, 3, 4],
    "iteration": lambda x, w: sum(list(x)),
}


def two_variables():
    with Model():
        return Normal("x", shape=(3, 4)), Normal("w", shape=4)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    f = EXPRESSIONS[name]
    node = f(*two_variables())
    got, want = node.eval({"x": X, "w": W}), np.asarray(f(X, W))
    np.testing.assert_allclose(got, want, rtol=1e-12)
    assert node.shape == got.shape == want.shape
    assert node.dtype == got.dtype


MATH = {
    "exp log sqrt": lambda m, x: m.exp(x) + m.log(m.abs(x)) + m.sqrt(m.sqr(x)),
    "logistic": lambda m, x: m.sigmoid(x) + m.invlogit(x) + m.logit(m.sigmoid(x)),
    "switch": lambda m, x: m.switch(m.gt(x, 0), x, 0.0) + m.where(m.le(x, 0), 1.0, x),
    "logic": lambda m, x: m.and_(m.ge(x, 0), m.lt(x, 1)) | m.or_(m.eq(x, 0), m.neq(x, x)),
    "softplus": lambda m, x: m.log1pexp(x) + m.log1mexp(-m.abs(x)),
    "logsumexp": lambda m, x: m.logsumexp(x, axis=1) + m.sum(x, axis=1),
    "softmax": lambda m, x: m.softmax(x, axis=-1) + m.log_softmax(x, axis=0),
    "erf": lambda m, x: m.erf(x) + m.invprobit(x) + m.gammaln(m.abs(x) + 1),
    "stack": lambda m, x: m.stack([x, 2 * x]) + m.concatenate([x[None], x[None]]),
    "dot": lambda m, x: m.dot(x, x.T) + m.matmul(x, x.T),
    "linear algebra": lambda m, x: m.logdet(m.dot(x, x.T)),
    "clip": lambda m, x: m.clip(x, -0.5, 0.5) + m.maximum(x, 0) + m.minimum(x, 0),
    "all of jax.nn": lambda m, x: m.relu(x) + m.silu(x),
}


@pytest.mark.parametrize("name", MATH)
def test_math_on_variables_and_on_arrays(name):
    node = MATH[name](math, two_variables()[0])
    np.testing.assert_allclose(node.eval({"x": X}), MATH[name](math, jnp.asarray(X)), rtol=1e-12)


def test_lift_several_outputs():
    x, _ = two_variables()
    q, r = lift(jnp.linalg.qr)(x)
    assert q.shape == (3, 3)
    np.testing.assert_allclose((q @ r).eval({"x": X}), X, rtol=1e-10)


def test_a_function_that_looks_into_its_array_keeps_it():
    def repeat(x, counts):
        return jnp.repeat(x, counts, total_repeat_length=int(np.sum(np.asarray(counts))))

    with Model() as model:
        x = Normal("x", shape=2)
        Deterministic("y", lift(repeat)(x, np.array([1, 2])))
    assert model["y"].shape == (3,)
    assert LogDensity.build(model).data["sites"] == {}


def test_long_chains_do_not_recurse():
    with Model() as model:
        a = Normal("a")
        e = a
        for _ in range(5000):
            e = e + 0.001
        Normal("y", e, 1.0, observed=5.0)
    ld = LogDensity.build(model)
    assert ld(jnp.zeros(1), ld.data) == pytest.approx(-2 * 0.9189385332046727)


def test_arrays_in_expressions_are_copied():
    x = np.ones(3)
    with Model():
        y = Normal("b") * x
    x[:] = 100
    np.testing.assert_array_equal(y.eval({"b": 1.0}), np.ones(3))


def test_dims_and_coords():
    with Model(coords={"school": ["A", "B"]}) as model:
        model.add_coord("time", length=3)
        mu = Normal("mu")
        Normal("theta", mu, 1.0, dims=("school", "time"))
        Data("x", [1.0, 2.0], dims="row", coords={"row": ["r", "s"]})
        Data("z", [1.0, 2.0, 3.0], dims="col")
    assert model["theta"].shape == (2, 3)
    assert model.coords == {"school": ("A", "B"), "time": None, "row": ("r", "s"), "col": None}
    assert model_dims(model) == {"mu": None, "theta": ("school", "time"), "x": ("row",), "z": ("col",)}
    assert [v.name for v in model.free_RVs] == ["mu", "theta"]
    assert model.dim_lengths["time"] == 3


def test_models_in_several_blocks_nested_and_in_threads():
    with Model() as outer:
        Normal("a")
        with Model("inner") as inner:
            Normal("a", outer["a"], 1.0)
            assert current_model() is inner
        assert current_model() is outer
    with outer:
        Normal("b", outer["inner::a"], 1.0)
    assert list(outer.named_vars) == ["a", "inner::a", "b"]
    assert list(inner.named_vars) == ["inner::a"]
    assert inner["a"] is outer["inner::a"]

    sizes = []

    def build(n):
        with Model() as model:
            for i in range(n):
                Normal(f"x{i}")
        sizes.append((n, len(model.named_vars)))

    threads = [threading.Thread(target=build, args=(n,)) for n in range(1, 9)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert all(n == size for n, size in sizes)
    assert len(sizes) == 8


def test_set_data_keeps_or_changes_the_version():
    with Model(coords={"obs": [0, 1]}) as model:
        x = Data("x", [1.0, 2.0], dims="obs")
        b = Normal("b")
        Normal("y", b * x, 1.0, observed=[0.0, 1.0], dims="obs")
        version = model.structure_version
        set_data({"x": [5, 6]})
        assert model.structure_version == version
        assert x.eval().dtype == float
        set_data({"x": [5.0, 6.0, 7.0]}, coords={"obs": [7, 8, 9]})
    assert model.structure_version != version
    assert model["y"].shape == (3,)
    assert model.coords["obs"] == (7, 8, 9)


def test_prediction_without_dims_follows_the_data():
    with Model() as model:
        x = Data("x", [1.0, 2.0])
        Normal("y", Normal("b") * x, 1.0, observed=[0.0, 1.0])
        set_data({"x": [1.0, 2.0, 3.0]})
    assert model["y"].shape == (3,)


def test_data_as_index_stay_in_bounds():
    with Model() as model:
        i = Data("i", [0, 1, 1])
        Deterministic("y", Normal("a", shape=2)[i])
        set_data({"i": [1, 0, 1]})
    np.testing.assert_array_equal(model["y"].eval({"a": [10.0, 20.0]}), [20.0, 10.0, 20.0])


def test_equal_means_identical():
    x, w = two_variables()
    assert x == x
    assert x != w
    assert {x: 1}[x] == 1


def test_eval_draws_what_is_not_given():
    x, _ = two_variables()
    assert (x + 1).eval().shape == (3, 4)
    assert jax.numpy.ndim(x[0, 0].eval()) == 0


ROWS, COLUMNS = np.array([0, 2]), np.array([True, False, True, False])


@pytest.mark.parametrize(
    "item",
    [
        (ROWS, -1), (-1, ROWS), (-1, COLUMNS), (ROWS, 1), (-2,), (slice(None), -1), (-1, -1), (Ellipsis, -1),
        (None, -1), (ROWS[:, None], np.array([0, 1])), (-1, slice(1, 3)),
        (ROWS, slice(None, None, -1)), (np.array([-1, -2]), -1),
    ],
    ids=str,
)  # fmt: skip
def test_mixed_indices_mean_what_numpy_means(item):
    values = np.arange(12.0).reshape(3, 4)
    with Model():
        table = Normal("table", shape=(3, 4))
        np.testing.assert_array_equal(table[item].eval({"table": values}), values[item])


def test_indices_keep_their_meaning_when_data_grow_or_shrink():
    with Model() as model:
        x = Data("x", [0.0, 1.0, 2.0])
        last, ends, mask = x[-1], x[np.array([-1, 0])], x[np.array([True, False, True])]
        for name, part in {"last": last, "ends": ends, "mask": mask, "second": x[2]}.items():
            Deterministic(name, part)
    set_data({"x": np.arange(5.0)}, model)
    assert last.eval() == 4.0
    np.testing.assert_array_equal(ends.eval(), [4.0, 0.0])
    with pytest.raises(ShapeError, match=r"Data 'x'.*mask of length 3 does not fit length 5"):
        trace(model).get_trace()
    set_data({"x": [7.0, 8.0]}, model)
    with pytest.raises(ShapeError, match="Data 'x' on axis 0: 2 is out of bounds for length 2"):
        model["second"].eval()


def test_a_dim_that_shrinks_below_an_index_is_told():
    with Model(coords={"g": range(3)}) as model:
        Normal("y", Normal("level", dims="g")[np.array([0, 1, 2])], 1.0, observed=[1.0, 2.0, 3.0])
    model.set_dim("g", 2)
    with pytest.raises(ShapeError, match="'level' on axis 0: 2 is out of bounds for length 2"):
        LogDensity.build(model)


@pytest.mark.parametrize(
    ("item", "error", "words"),
    [
        (np.array([True, False]), ShapeError, "mask of length 2 does not fit length 3"),
        (np.ones((3, 2), bool), ShapeError, "on axis 1: a mask of length 2 does not fit length 4"),
        (slice(1.5, None), NodeError, "bounds of a slice must be plain integers"),
        (slice(None, np.float64(1)), NodeError, "bounds of a slice must be plain integers"),
    ],
    ids=str,
)
def test_indices_that_numpy_refuses_are_refused(item, error, words):
    with Model():
        table = Normal("table", shape=(3, 4))
        with pytest.raises(error, match=f"'table'.*{words}"):
            table[item]


def test_what_follows_from_the_shape_is_a_number():
    x, _ = two_variables()
    assert (np.shape(x), np.ndim(x), np.size(x), px.math.shape(x)) == ((3, 4), 2, 12, (3, 4))
    with pytest.raises(NodeError, match="whether RandomVariable 'x' contains 3"):
        3 in x  # noqa: B015 - the question is the mistake


def grouped():
    with Model(coords={"g": ["a", "b"]}) as model:
        group, y = Data("group", [0, 1, 0]), Data("y_data", [1.0, 2.0, 3.0])
        level = Normal("level", dims="g")
        Normal("y", level[group], 1.0, observed=y)
    return model


def test_a_group_can_grow_with_its_data():
    model = grouped()
    set_data({"group": [0, 1, 2]}, model, coords={"g": ["a", "b", "c"]})
    assert model["level"].shape == (3,)


def test_a_group_cannot_shrink_below_its_data():
    model = grouped()
    set_data({"group": [0, 1, 2]}, model, coords={"g": ["a", "b", "c"]})
    with pytest.raises(ShapeError, match=r"Data 'group'.*2 is out of bounds for length 2"):
        model.set_dim("g", 2, ["a", "b"])
    assert model["level"].shape == (3,)
    assert model.coords["g"] == ("a", "b", "c")
    with pytest.raises(ShapeError, match="7 is out of bounds for length 3"):
        set_data({"group": [0, 1, 7]}, model)
    assert model["group"].value.tolist() == [0, 1, 2]


@jax.jit
def doubled(x):
    return 2 * x


def _of_every_kind() -> px.Model:
    with px.Model(coords={"g": [0, 1, 2]}) as model:
        a = px.Normal("a", 0, 1)
        b = px.HalfNormal("b", 1.0, dims="g")
        x = px.Data("x", np.arange(3.0))
        _, log_det = px.lift(jnp.linalg.slogdet)(px.math.eye(2) * (1 + b[:2]))
        parts = a * b + px.math.exp(x) - np.log(b) + b.sum() + b[np.array([0, 0, 1])] + b.astype(jnp.float32)
        px.Deterministic("d", px.lift(doubled)(parts) + px.math.softmax(b) + log_det + (-b) ** 2)
        px.Normal("y", model["d"], b, observed=np.zeros(3))
        px.Potential("p", -px.math.logsumexp(b))
    return model


@pytest.mark.parametrize("copied", [lambda m: pickle.loads(pickle.dumps(m)), copy.copy, copy.deepcopy])
def test_models_are_pickled_and_copied(copied):
    model = _of_every_kind()
    again = copied(model)
    assert list(again.named_vars) == list(model.named_vars)
    density, other = LogDensity.build(model), LogDensity.build(again)
    position = jnp.linspace(-1.0, 1.0, density.dim)
    np.testing.assert_array_equal(density(position, density.data), other(position, other.data))
    np.testing.assert_array_equal(model["d"].eval({"a": 0.5}), again["d"].eval({"a": 0.5}))


def test_functions_are_pickled_by_their_names():
    places = (jnp, jnp.linalg, jax.scipy.special, jax.nn)
    found = [getattr(place, name) for place in places for name in dir(place) if not name.startswith("_")]
    public = [f for f in found if callable(f) and not isinstance(f, type)]
    assert len(public) > 400
    for fn in public:
        assert pickle.loads(pickle.dumps(by_name(fn))) is fn
    with px.Model() as model:
        px.Deterministic("twice", px.lift(lambda x: 2 * x)(px.Normal("x")))
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(model)
