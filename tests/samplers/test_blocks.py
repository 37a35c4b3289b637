"""One pass over a large matrix: the same log-density and gradient, wherever rows depend on no other rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxpr_as_fun

import pyrox as px
from pyrox.dist import Bernoulli, NegativeBinomial2, Normal, Poisson, StudentT
from pyrox.dist.special import bernoulli_logits_sum
from pyrox.samplers.passes.blocks import in_blocks
from pyrox.samplers.passes.hoist import Hoisted
from pyrox.samplers.passes.jaxprs import equations
from pyrox.samplers.passes.rewrite import rewrite, unsupported
from pyrox.target import target_of

ROWS, COLUMNS, GROUPS = 2011, 131, 7  # not divisible into equal blocks
RNG = np.random.default_rng(3)
X, X2 = RNG.normal(size=(2, ROWS, COLUMNS)) / 10
WIDE, SQUARE, WHOLE = X[:2010].reshape(67, -1), RNG.normal(size=(520, 520)) / 20, RNG.integers(-2, 3, X.shape)
MORE = RNG.normal(size=(2500, COLUMNS))
GROUP, ERRORS = RNG.integers(0, GROUPS, ROWS), RNG.uniform(0.5, 2.0, ROWS)
Y, COUNTS, BINARY = RNG.normal(size=ROWS), RNG.poisson(2.0, ROWS), RNG.binomial(1, 0.4, ROWS)


def _sum(d, y):
    return jnp.sum(d.log_prob(y))


@jax.jit
def sum_log1p(x):
    return jnp.sum(x) / 2


ONE_PASS = {
    "logistic": lambda b: _sum(Bernoulli(logits=b[0] + X @ b[1:]), BINARY),
    "logistic, all at once": lambda b: bernoulli_logits_sum(b[0] + X @ b[1:], 1.0 * BINARY),
    "counts": lambda b: _sum(Poisson(jnp.exp(X @ b[1:])), COUNTS),
    "overdispersed counts": lambda b: _sum(NegativeBinomial2(jnp.exp(X @ b[1:]), jnp.exp(b[0])), COUNTS),
    "heavy tails": lambda b: _sum(StudentT(4.0, X @ b[1:], jnp.exp(b[0]) * ERRORS), Y),
    "a matrix of rows and columns exchanged": lambda b: _sum(Poisson(jnp.exp(b[1:] @ X.T)), COUNTS),
    "mean and scale": lambda b: _sum(Normal(X @ b[1:], jnp.exp(X2 @ b[:-1])), Y),
    "the same matrix for mean and scale": lambda b: _sum(Normal(X @ b[1:], jnp.exp(X @ b[:-1])), Y),
    "groups": lambda b: _sum(Bernoulli(logits=b[:GROUPS][GROUP] + X @ b[1:]), BINARY),
    "slopes of groups": lambda b: _sum(Bernoulli(logits=b[:GROUPS][GROUP] * (X @ b[1:])), BINARY),
    "a quadratic form": lambda b: -jnp.sum((X @ b[1:]) ** 2) + 2 * jnp.sum(b * b),
    "squares by hand": lambda b: (lambda r: -0.5 * (r @ r) / b[0] ** 2)(Y - X @ b[1:]),
    "rows counted": lambda b: 0.1 * jnp.sum(X @ b[1:] > 0, dtype=jnp.int32) + ONE_PASS["counts"](b),
    "single precision": lambda b: _sum(Bernoulli(logits=jnp.float32(np.c_[X, X2]) @ jnp.tile(b[1:], 2)), BINARY),
    "whole numbers": lambda b: _sum(Bernoulli(logits=WHOLE @ b[1:]), BINARY),
    "a square": lambda b: _sum(Normal(SQUARE @ jnp.tile(b, 5)[:520], 1.0), jnp.tile(b, 5)[:520] ** 2),
    "another function of the name": lambda b: ONE_PASS["counts"](b) + sum_log1p(X @ b[1:]),
    "beside one that needs more": lambda b: ONE_PASS["counts"](b) + MORE_PASSES["probabilities of all rows"](b),
    "more columns than rows": lambda b: _sum(Bernoulli(logits=WIDE @ jnp.tile(b[1:], 30)), BINARY[:67]),
}
MORE_PASSES = {
    "probabilities of all rows": lambda b: _sum(px.dist.Categorical(logits=MORE @ b[1:]), 3),
    "the rest from the mean": lambda b: (lambda m: -jnp.sum((m - jnp.mean(m)) ** 4))(X @ b[1:]),
    "one product after another": lambda b: jnp.sum(jnp.tanh(jnp.tanh(X @ b[1:]) @ X)),
    "neighbours": lambda b: (lambda m: _sum(Normal(m[:-1], 1.0), Y[1:] + m[1:] ** 2))(X @ b[1:]),
    "a small matrix": lambda b: _sum(Bernoulli(logits=X[:500] @ b[1:]), BINARY[:500]),
    "no matrix": lambda b: _sum(Normal(0.0, 1.0), b),
}
POSITION = RNG.normal(size=COLUMNS + 1) / 5


@pytest.fixture(autouse=True)
def smaller_matrices_are_large(monkeypatch):
    monkeypatch.setattr("pyrox.samplers.passes.blocks._LARGE", 2**21)


def traced(log_density):
    return jax.make_jaxpr(jax.value_and_grad(log_density))(POSITION)


def number_of_large_operands(closed):
    products = [eqn for eqn in equations(closed.jaxpr) if eqn.primitive.name == "dot_general"]
    return sum(v.aval.size >= WIDE.size for eqn in products for v in eqn.invars)


@pytest.mark.parametrize("name", ONE_PASS)
def test_the_same_from_one_pass(name):
    original = traced(ONE_PASS[name])
    blocks = in_blocks(original)
    assert number_of_large_operands(blocks) < number_of_large_operands(original)
    value, grad = jaxpr_as_fun(original)(POSITION)
    for ours in (blocks, rewrite(blocks)):
        ours_value, ours_grad = jaxpr_as_fun(ours)(POSITION)
        np.testing.assert_allclose(ours_value, value, rtol=1e-12)
        np.testing.assert_allclose(ours_grad, grad, rtol=1e-9, atol=1e-11 * np.abs(grad).max())


@pytest.mark.parametrize("name", MORE_PASSES)
def test_left_alone(name):
    original = traced(MORE_PASSES[name])
    assert in_blocks(original) is original


def test_tracing_again_gives_the_same_program():
    # Otherwise no other session would find it among the compiled ones.
    one, other = (str(in_blocks(traced(ONE_PASS["mean and scale"])).jaxpr) for _ in range(2))
    assert one == other


def test_blocks_are_cut_once():
    hoisted = Hoisted(rewrite(in_blocks(traced(ONE_PASS["logistic"]))))
    assert sum(x.size for x in hoisted.prepare()) >= X.size
    assert hoisted.takes_long


@pytest.mark.native
def test_a_regression_samples_as_it_does_without_blocks(monkeypatch):
    draws = []
    for change in (in_blocks, lambda closed: closed):
        monkeypatch.setattr("pyrox.samplers.compile.in_blocks", change)
        with px.Model() as model:
            beta = px.Normal("beta", 0.0, 1.0, shape=COLUMNS)
            px.Bernoulli("y", logit_p=px.math.dot(X, beta), observed=BINARY)
        target = target_of(model)
        program = target.chain_program(target.data)
        assert program.native
        chain = program.start(np.array([0, 5], np.uint32), POSITION[1:], 0, 0.8)
        draws.append(program.advance(chain, target.data, 5)[1])
    assert not np.array_equal(*draws)  # sums in another order
    np.testing.assert_allclose(*draws, rtol=1e-6, atol=1e-8)


def test_nothing_new_for_the_emitter():
    for log_density in ONE_PASS.values():
        original = traced(log_density)
        assert set(unsupported(rewrite(in_blocks(original)))) <= set(unsupported(rewrite(original)))
