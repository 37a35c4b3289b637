"""Any expression of supported operations gives the value and the gradient of the same plain JAX expression.

Hypothesis writes the expressions, the same ones in every run, and shortens those that fail.
"""

import operator
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.scipy import special

import pyrox as px
from pyrox.errors import ShapeError
from pyrox.model import LogDensity

# The same examples in every run, kept nowhere.
bounded = partial(
    settings, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False, phases=[Phase.generate],
)

# What variables are worth, and data and constants beside them.
RNG = np.random.default_rng(0)
VARIABLES = {"s": np.array(0.7), "v": RNG.normal(size=3), "m": RNG.normal(size=(2, 3))}
DATA = {"d": RNG.normal(size=(2, 3)), "k": np.array([2, 0, 1])}
CONSTANTS = [2, -0.5, np.float64(1.5), RNG.normal(size=3), RNG.normal(size=(2, 1)), np.array([1, 2, 3]), [1.0, 0.0]]


class Op(NamedTuple):
    """One operation, as it is written for nodes, and in plain JAX."""

    arity: int
    node: Callable
    jax: Callable
    lists: bool = False  # whether lists of numbers stand for arrays, as they do in NumPy but not in JAX


def same(arity, *functions):
    """Operations that are written alike in both."""
    return [Op(arity, f, f, lists=True) for f in functions]


def named(arity, names, node=np):
    """Ufuncs, or functions of ``px.math``, that JAX has under the same name."""
    return [Op(arity, getattr(node, n), getattr(jnp, n), lists=node is np) for n in names.split()]


def axis_of(x, number):
    return number % max(x.ndim, 1)


def along(name, number, **options):
    """A function along some axis; of a scalar, none."""
    def apply(module, x):
        return getattr(module, name)(x, axis=axis_of(x, number) if x.ndim else None, **options)

    return Op(1, partial(apply, np), partial(apply, jnp))


def method(name, *args, **options):
    return same(1, lambda x: getattr(x, name)(*args, **options))[0]


def quotient(x, y):
    return x / (1 + abs(y))


def power(x, y):
    return (1 + abs(x)) ** y


OPERATORS = [
    Op(2, quotient, quotient), Op(2, power, power),
    *same(2, operator.add, operator.sub, operator.mul, operator.matmul, operator.mod, operator.floordiv),
    *same(2, operator.lt, operator.le, operator.gt, operator.ge),
    *same(1, operator.neg, operator.pos, abs, lambda x: 2 - x, lambda x: 3 / (2 + x * x), lambda x: 2.0**x),
    *same(1, lambda x: x.T, lambda x: x**2, lambda x: x**3, lambda x: ~(x > 0), lambda x: (x > 0) & (x < 1) | (x < -1)),
]  # fmt: skip
INDEXING = same(
    1, lambda x: x[..., None], lambda x: x[None], lambda x: x[..., ::-1], lambda x: x[..., 0], lambda x: x[-1],
    lambda x: x[..., 1:], lambda x: x[np.array([1, 0, 1])], lambda x: x[..., np.array([True, False, True])],
    lambda x: x[:, 1], lambda x: x[[0, -1], [1, 0]],
)  # fmt: skip
UFUNCS = [
    *named(1, "sin cos tanh arctan arcsinh square cbrt sign negative absolute rint"),
    *named(2, "maximum minimum hypot logaddexp arctan2 add subtract multiply fmax copysign greater less_equal"),
    Op(1, lambda x: np.exp(np.tanh(x)), lambda x: jnp.exp(jnp.tanh(x))),
    Op(1, lambda x: np.log1p(np.abs(x)), lambda x: jnp.log1p(jnp.abs(x))),
    Op(1, lambda x: np.sqrt(1 + np.square(x)), lambda x: jnp.sqrt(1 + jnp.square(x))),
    Op(1, lambda x: np.expm1(-np.abs(x)), lambda x: jnp.expm1(-jnp.abs(x))),
]
FUNCTIONS = [
    *(along(name, n) for n in (0, 1) for name in ("sum", "mean", "prod", "max", "min", "cumsum", "flip", "sort")),
    along("var", 0), along("std", 1, ddof=0), along("sum", 0, keepdims=True), along("mean", 1, keepdims=True),
    *(method(name) for name in ("sum", "mean", "prod", "max", "min", "std", "var", "flatten", "ravel", "squeeze")),
    method("reshape", -1), method("reshape", (3, -1)), method("clip", -0.5, 0.5), method("repeat", 2, axis=0),
    method("astype", float), method("sum", axis=-1), method("swapaxes", 0, -1), method("transpose"),
    *named(1, "ravel transpose diff"),
    Op(2, np.dot, jnp.dot), Op(2, np.outer, jnp.outer), Op(2, np.inner, jnp.inner),
    Op(2, lambda x, y: np.where(x > 0, x, y), lambda x, y: jnp.where(x > 0, x, y)),
    Op(2, lambda x, y: np.stack([x, y]), lambda x, y: jnp.stack([x, jnp.asarray(y)])),
    Op(2, lambda x, y: np.concatenate([x, y]), lambda x, y: jnp.concatenate([x, jnp.asarray(y)])),
    Op(2, lambda x, y: np.einsum("...i,...i->...", x, y), lambda x, y: jnp.einsum("...i,...i->...", x, y)),
    Op(1, lambda x: np.roll(x, 1), lambda x: jnp.roll(x, 1)), Op(1, lambda x: np.tile(x, 2), lambda x: jnp.tile(x, 2)),
    Op(1, lambda x: np.broadcast_to(x, (2, *x.shape)), lambda x: jnp.broadcast_to(x, (2, *x.shape))),
    Op(1, lambda x: np.linalg.norm(x), lambda x: jnp.linalg.norm(x)), Op(1, np.atleast_2d, jnp.atleast_2d),
    Op(1, lambda x: np.clip(x, -1.0, 1.0), lambda x: jnp.clip(x, -1.0, 1.0)),
    Op(1, lambda x: np.expand_dims(x, -1), lambda x: jnp.expand_dims(x, -1)),
]  # fmt: skip
MATH = [
    *named(1, "tanh sin square cumsum ravel", px.math), *named(2, "maximum logaddexp dot matmul subtract", px.math),
    Op(1, px.math.sigmoid, jax.nn.sigmoid), Op(1, px.math.invlogit, jax.nn.sigmoid),
    Op(1, px.math.log1pexp, jax.nn.softplus), Op(1, px.math.sqr, jnp.square), Op(1, px.math.erf, special.erf),
    Op(1, lambda x: px.math.softmax(1.0 * x), lambda x: jax.nn.softmax(1.0 * x, axis=-1)),
    Op(1, lambda x: px.math.log_softmax(1.0 * x), lambda x: jax.nn.log_softmax(1.0 * x)),
    Op(1, lambda x: px.math.logsumexp(x, axis=-1), lambda x: special.logsumexp(x, axis=-1)),
    Op(1, lambda x: px.math.logit(px.math.sigmoid(x)), lambda x: special.logit(jax.nn.sigmoid(x))),
    Op(1, lambda x: px.math.gammaln(1 + abs(x)), lambda x: special.gammaln(1 + abs(x))),
    Op(1, px.math.normcdf, special.ndtr), Op(1, px.math.relu, jax.nn.relu), Op(1, px.math.silu, jax.nn.silu),
    Op(1, px.math.flatten, jnp.ravel), Op(1, px.math.log1mexp, lambda x: jnp.log1p(-jnp.exp(x))),
    Op(2, lambda x, y: px.math.switch(px.math.gt(x, y), x, 0.0), lambda x, y: jnp.where(x > y, x, 0.0)),
    Op(2, lambda x, y: px.math.stack([x, y], axis=-1), lambda x, y: jnp.stack([x, jnp.asarray(y)], axis=-1)),
    Op(1, px.lift(lambda x: jnp.sinh(x) / 3), lambda x: jnp.sinh(x) / 3),
]  # fmt: skip
FAMILIES = {"operators": OPERATORS, "indexing": INDEXING, "ufuncs": UFUNCS, "functions": FUNCTIONS, "px.math": MATH}
OPS = [op for family in FAMILIES.values() for op in family]
# What each operation is applied to, by number of the leaf: of every kind with every kind, where that can be.
ALONE = [(2,), (4,)]
PAIRS = [(0, 1), (1, 1), (4, 2), ((3,), 2), (0, (6,))]

LEAVES = len(VARIABLES) + len(DATA)
MOST_STEPS, MOST_NUMBERS = 6, 60


class Step(NamedTuple):
    """An operation, and what it is applied to: earlier values by number, or constants."""

    op: Op
    operands: tuple


def operand(values, which):
    return values[which] if isinstance(which, int) else CONSTANTS[which[0]]


@st.composite
def programs(draw):
    """Write a few operations, each of what came before it; those that JAX refuses come with the number one."""
    values = [jnp.asarray(x) for x in (*VARIABLES.values(), *DATA.values())]
    steps, refused = [], []
    for _ in range(draw(st.integers(1, MOST_STEPS))):
        op = draw(st.sampled_from(OPS))
        # The newest values more often than others: expressions grow deep.
        place = st.integers(0, len(values) - 1).map(lambda i: len(values) - 1 - i)
        operands = [draw(place)]
        if op.arity == 2:
            constant = st.integers(0, len(CONSTANTS) - 1).map(lambda i: (i,))
            other = draw(st.one_of(place, constant))
            operands = [*operands, other] if draw(st.booleans()) else [other, *operands]
        step = Step(op, tuple(operands))
        try:
            value = apply_in_jax(step, values)
        except (TypeError, ValueError, IndexError):
            refused.append((step, len(values)))
            continue
        if value.size <= MOST_NUMBERS:
            values.append(value)
            steps.append(step)
    return steps, refused


def apply_in_jax(step, values):
    operands = [operand(values, which) for which in step.operands]
    return step.op.jax(*(jnp.asarray(x) if isinstance(x, list | np.ndarray) else x for x in operands))


def apply_to_nodes(step, values):
    operands = [operand(values, which) for which in step.operands]
    return step.op.node(*(np.asarray(x) if isinstance(x, list) and not step.op.lists else x for x in operands))


def in_jax(steps, variables):
    values = [jnp.asarray(x) for x in (*map(variables.get, VARIABLES), *DATA.values())]
    for step in steps:
        values.append(apply_in_jax(step, values))
    return values[LEAVES:]


def total(values):
    """Use all values, each number with a weight of its own."""
    return sum(jnp.sum(jnp.asarray(x, float) * np.cos(np.arange(x.size)).reshape(x.shape)) for x in values)


def write(steps):
    with px.Model() as model:
        values = [px.Flat(name, shape=x.shape) for name, x in VARIABLES.items()]
        values += [px.Data(name, x) for name, x in DATA.items()]
        for step in steps:
            values.append(apply_to_nodes(step, values))
    return model, values


def check(steps, refused=()):
    """Compare a program's values, and the gradient of all of them together, with plain JAX."""
    model, values = write(steps)
    expected = in_jax(steps, VARIABLES)
    for node, value in zip(values[LEAVES:], expected, strict=True):
        assert node.shape == value.shape
        assert node.dtype == value.dtype
        np.testing.assert_allclose(node.eval(VARIABLES), value, rtol=1e-12, atol=1e-12)
    with model:
        px.Potential("total", px.lift(total)(values[LEAVES:]) if steps else values[0])
        for step, known in refused:
            with pytest.raises((ShapeError, TypeError, ValueError, IndexError)):
                apply_to_nodes(step, values[:known])
    density = LogDensity.build(model)
    position = density.unconstrain(VARIABLES, density.data)
    value, gradient = jax.value_and_grad(density)(position, density.data)
    wanted, gradients = jax.value_and_grad(lambda v: total(in_jax(steps, v)) if steps else v["s"])(
        {name: jnp.asarray(x) for name, x in VARIABLES.items()}
    )
    np.testing.assert_allclose(value, wanted, rtol=1e-10, atol=1e-10)
    parts = np.concatenate([np.ravel(gradients[name]) for name in density.free])
    np.testing.assert_allclose(gradient, parts, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_operation_on_every_kind(family):
    leaves, steps = [jnp.asarray(x) for x in (*VARIABLES.values(), *DATA.values())], []
    for op in FAMILIES[family]:
        before = len(steps)
        for operands in ALONE if op.arity == 1 else PAIRS:
            step = Step(op, operands)
            with suppress(TypeError, ValueError, IndexError):
                apply_in_jax(step, leaves)
                steps.append(step)
        assert len(steps) > before, "no operands suit"
    check(steps)


@bounded(max_examples=80)
@given(programs())
def test_values_and_gradients_are_those_of_jax(program):
    check(*program)


@st.composite
def indices(draw):
    """Write an array's shape and an index of it: slices, new axes, ellipses, whole numbers, arrays, masks."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=3))
    kind = draw(st.sampled_from(["basic", "integers", "mask", "mixed"]))
    if kind == "basic":
        return shape, draw(hnp.basic_indices(shape, allow_newaxis=True))
    if kind == "integers":
        return shape, draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3)))
    if kind == "mask":
        return shape, draw(hnp.arrays(bool, shape[: draw(st.integers(1, len(shape)))]))
    first = draw(hnp.arrays(int, draw(st.integers(1, 3)), elements=st.integers(-shape[0], shape[0] - 1)))
    return shape, (first, *(draw(st.sampled_from([slice(None), slice(None, None, -1), -1])) for _ in shape[1:]))


@bounded(max_examples=60)
@given(indices())
def test_any_index_means_what_numpy_means(case):
    shape, index = case
    values = np.random.default_rng(1).normal(size=shape)
    with px.Model() as model:
        x = px.Flat("x", shape=shape)
        part = x[index]
        px.Potential("squares", px.math.sum(part**2))
    expected = values[index]
    np.testing.assert_array_equal(part.eval({"x": values}), expected)
    assert part.shape == expected.shape
    # The derivative of a sum of squares: twice each element, as often as the index picks it.
    density = LogDensity.build(model)
    gradient = jax.grad(density)(jnp.ravel(values), density.data)
    picked = np.zeros(shape)
    np.add.at(picked, index, 1.0)
    np.testing.assert_allclose(gradient, np.ravel(2 * values * picked), rtol=1e-12)


@bounded(max_examples=40)
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3), st.sampled_from(["a", "b", "both"]))
def test_shapes_broadcast_as_in_numpy(shapes, which):
    one, two = (np.random.default_rng(i).normal(size=s) for i, s in enumerate(shapes.input_shapes))
    with px.Model():
        a = px.Normal("a", shape=one.shape) if which != "b" else one
        b = px.Normal("b", shape=two.shape) if which != "a" else two
        node = a * b - b
    known = {name: x for name, x, n in (("a", one, a), ("b", two, b)) if isinstance(n, px.model.RandomVariable)}
    assert node.shape == shapes.result_shape
    np.testing.assert_allclose(node.eval(known), one * two - two, rtol=1e-12)


@bounded(max_examples=40)
@given(hnp.array_shapes(max_dims=2, max_side=3), hnp.array_shapes(max_dims=2, max_side=3))
def test_shapes_that_do_not_fit_are_refused_at_the_line(one, two):
    with px.Model():
        a, b = px.Normal("a", shape=one), px.Normal("b", shape=two)
        try:
            shape = np.broadcast_shapes(one, two)
        except ValueError:
            with pytest.raises(ShapeError, match=r"add cannot be applied to a of shape .*, b of shape"):
                a + b
        else:
            assert (a + b).shape == shape
