"""Each rule gives what the primitive it replaces gives, and what cannot be emitted is named."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyrox import dist
from pyrox.samplers.passes.jaxprs import equations
from pyrox.samplers.passes.rewrite import evaluate, rewrite, unsupported

RNG = np.random.default_rng(0)
X = RNG.normal(size=12)
FEW = np.array([0, 3, 3, 11])
MANY = RNG.integers(0, 12, 101)
TABLE = RNG.normal(size=(12, 3))
LONG = RNG.normal(size=300)

def spd(x):
    return 2 * jnp.eye(12) + jnp.outer(x, x) + jnp.exp(-((x[:, None] - x) ** 2))


def triangular(x, lower, trans, left):
    """Solve with each kind of triangle, from each side."""
    half = jnp.tril(spd(x)) if lower else jnp.triu(spd(x))
    rhs = jnp.sin(jnp.outer(x, jnp.arange(1.0, 4.0)))
    return jnp.sum(
        jax.lax.linalg.triangular_solve(half, rhs if left else rhs.T, left_side=left, lower=lower, transpose_a=trans)
    )


FUNCTIONS = {
    "gather, few rows": (lambda x: jnp.sum(jnp.sin(x[FEW])), X),
    "gather, many rows": (lambda x: jnp.sum(jnp.sin(x[MANY]) * jnp.arange(101.0)), X),
    "gather of a table": (lambda x: jnp.sum(jnp.sin(x[MANY]) * jnp.arange(101.0)[:, None]), TABLE),
    "gather with two axes of indices": (lambda x: jnp.sum(jnp.sin(x[MANY[:100].reshape(10, 10)])), X),
    "two gathers": (lambda x: jnp.sum(x[MANY] * jnp.exp(x[MANY[::-1]])), X),
    "two gathers at the same rows": (lambda x: jnp.sum(jnp.sin(x[:5][MANY % 5]) * jnp.cos(x[5:10][MANY % 5])), X),
    "a gather of what was gathered": (lambda x: jnp.sum(jnp.sin(jnp.sin(x[MANY])[MANY]) * x[MANY]), X),
    "segment sum": (lambda x: jnp.sum(jax.ops.segment_sum(x, jnp.arange(12) % 5, 5) ** 2), X),
    "cumulative sum": (lambda x: jnp.sum(jnp.cumsum(x) ** 2), X),
    "reverse cumulative sum": (lambda x: jnp.sum(jax.lax.cumsum(x, reverse=True) ** 3), X),
    "cumulative sum of rows": (lambda x: jnp.sum(jnp.cumsum(x, axis=0) ** 2 + jnp.cumsum(x, axis=1) ** 3), TABLE),
    "cumulative sum of a long vector": (lambda x: jnp.sum(jnp.cumsum(x) ** 2), LONG),
    "reverse cumulative sum of one": (lambda x: jnp.sum(jax.lax.cumsum(x, reverse=True) ** 3), LONG),
    "cumulative sum in equal runs": (lambda x: jnp.sum(jnp.cumsum(x[:256]) ** 2) + x[299], LONG),
    "cumulative sum of whole numbers": (lambda x: jnp.sum(x**2 * jnp.cumsum((x > 0).astype(int))), LONG),
    "repetition": (lambda x: jnp.sum(jnp.sin(jnp.repeat(x, MANY[:12], total_repeat_length=150))), X),
    "many logarithms": (lambda x: jnp.sum(jnp.log(x**2) * x + jnp.log1p(jnp.exp(x))), LONG),
    "cumulative sum in logs": (lambda x: jnp.sum(jax.lax.cumlogsumexp(x) * jnp.arange(12.0)), X),
    "its reverse": (lambda x: jnp.sum(jax.lax.cumlogsumexp(x, reverse=True) * jnp.arange(12.0)), X),
    "small Cholesky factor": (lambda x: jnp.sum(jnp.linalg.cholesky(spd(x)) ** 3), X),
    "small Gaussian": (lambda x: dist.MultivariateNormal(x, covariance_matrix=spd(x)).log_prob(X + 1), X),
    "small triangular systems": (lambda x: sum(triangular(x, *flags) for flags in product([False, True], repeat=3)), X),
    "small matrix product": (lambda x: jnp.sum((TABLE @ x.reshape(3, 4)) ** 2), X),
    "outer product": (lambda x: jnp.sum(jnp.outer(x, x) @ jnp.outer(x, x)), X),
    "matrix times vector": (lambda x: jnp.sum((TABLE.T @ x) ** 2), X),
    "rule inside scan": (lambda x: jax.lax.scan(lambda c, a: (c + jnp.sum(x[FEW]) * a, c), 0.0, x)[0], X),
    "rule inside cond": (lambda x: jax.lax.cond(x[0] > 0, lambda: jnp.sum(x[FEW] ** 2), lambda: jnp.sum(x**4)), X),
    "rule inside jit": (lambda x: jax.jit(lambda y: jnp.sum(jnp.cumsum(y[FEW])))(x), X),
    "custom derivative": (lambda x: jnp.sum(jax.nn.softplus(x[FEW])), X),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_rewritten_gradient_is_the_gradient(name):
    function, x = FUNCTIONS[name]
    traced = jax.make_jaxpr(jax.value_and_grad(function))(x)
    rewritten = rewrite(traced)
    assert not unsupported(rewritten)
    found = jax.jit(lambda x: evaluate(rewritten.jaxpr, rewritten.consts, [x]))(x)
    for ours, theirs in zip(found, jax.value_and_grad(function)(x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["cumulative sum of a long vector", "reverse cumulative sum of one"])
def test_rules_hold_in_single_precision(name):
    function, x = FUNCTIONS[name]
    x = np.float32(x)
    rewritten = rewrite(jax.make_jaxpr(jax.value_and_grad(function))(x))
    assert not {"cumsum"} & {e.primitive.name for e in equations(rewritten.jaxpr)}
    found = jax.jit(lambda x: evaluate(rewritten.jaxpr, rewritten.consts, [x]))(x)
    for ours, theirs in zip(found, jax.value_and_grad(function)(np.float64(x)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("reverse", [False, True])
def test_an_infinite_number_counts_in_the_sums_after_it_alone(reverse):
    x = LONG.copy()
    x[150] = -np.inf
    rewritten = rewrite(jax.make_jaxpr(lambda x: jax.lax.cumsum(x, reverse=reverse))(x))
    (found,) = evaluate(rewritten.jaxpr, rewritten.consts, [x])
    np.testing.assert_allclose(found, jax.lax.cumsum(x, reverse=reverse))


def test_scatters_over_the_same_rows_share_a_loop():
    rows = MANY % 5

    def loops(function):
        rewritten = rewrite(jax.make_jaxpr(jax.grad(function))(X))
        return sum(e.primitive.name == "while" or e.primitive.name == "scan" for e in equations(rewritten.jaxpr))

    assert loops(lambda x: jnp.sum(jnp.sin(x[:5][rows]) * jnp.cos(x[5:10][rows]))) == loops(
        lambda x: jnp.sum(jnp.sin(x[:5][rows]))
    )


def test_equal_equations_are_run_once_and_zeros_keep_their_sign():
    def function(x):
        return jnp.sin(x) * jnp.sin(x) + jnp.where(x > 0, 0.0, -0.0) * jnp.where(x > 0, -0.0, 0.0)

    rewritten = rewrite(jax.make_jaxpr(function)(X), {})
    assert sum(e.primitive.name == "sin" for e in equations(rewritten.jaxpr)) == 1
    for x in (1.0, -1.0):
        (found,) = evaluate(*(rewritten.jaxpr, rewritten.consts), [jnp.full(12, x)])
        np.testing.assert_array_equal(np.signbit(found), np.signbit(function(jnp.full(12, x))))


def test_rows_out_of_bounds_are_dropped():
    def put(x, rows):
        return jnp.zeros(5).at[rows].add(x)

    rows = jnp.array([0, 4, 5, 7, 1, 1])
    x = jnp.arange(6.0)
    rewritten = rewrite(jax.make_jaxpr(put)(x, rows))
    assert "scatter-add" not in {e.primitive.name for e in equations(rewritten.jaxpr)}
    np.testing.assert_array_equal(evaluate(rewritten.jaxpr, rewritten.consts, [x, rows])[0], put(x, rows))


@pytest.mark.parametrize("mode", ["clip", "drop", "fill", "promise_in_bounds"])
def test_rows_out_of_bounds_follow_the_mode(mode):
    rows = np.array([0, 2]) if mode == "promise_in_bounds" else np.array([0, 7])

    def put(x):
        taken = jnp.take(x, rows, mode="clip" if mode == "promise_in_bounds" else mode if mode != "drop" else "fill")
        written = jnp.zeros(3).at[rows].add(x[:2], mode=mode) + jnp.zeros(3).at[rows].set(2 * x[:2], mode=mode)
        return jnp.sum(jnp.where(jnp.isnan(taken), 0.0, taken) ** 2) + jnp.sum(written**3)

    x = jnp.arange(1.0, 4.0)
    rewritten = rewrite(jax.make_jaxpr(jax.value_and_grad(put))(x))
    found = evaluate(rewritten.jaxpr, rewritten.consts, [x])
    for ours, theirs in zip(found, jax.value_and_grad(put)(x), strict=True):
        np.testing.assert_allclose(ours, theirs)


def test_the_ordinary_path_keeps_its_primitives():
    traced = jax.make_jaxpr(jax.grad(lambda x: jnp.sum(jnp.cumsum(x[MANY]))))(X)
    kept = {e.primitive.name for e in equations(rewrite(traced, {}).jaxpr)}
    assert {"scatter-add", "cumsum"} <= kept


@pytest.mark.parametrize(
    ("function", "primitive"),
    [
        (lambda x: jnp.sum(jnp.sort(x)), "sort"),
        (lambda x: jnp.sum(jnp.linalg.cholesky(jnp.eye(60) + x[0])), "cholesky"),
        (lambda x: jnp.sum(jnp.abs(jnp.fft.fft(x))), "fft"),
        (lambda x: jnp.sum(jnp.ones((60, 60)) @ jnp.outer(jnp.ones(60), jnp.ones(60) * x[0])), "dot_general"),
        (lambda x: jax.pure_callback(lambda a: a, jax.ShapeDtypeStruct((), x.dtype), x[0]), "pure_callback"),
    ],
)
def test_what_cannot_be_emitted_is_named(function, primitive):
    assert primitive in unsupported(rewrite(jax.make_jaxpr(function)(X)))
