"""Products of fixed matrices with vectors: the same numbers from matrices that lie along their longer axis."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxpr_as_fun

import pyrox as px
from pyrox.samplers.passes.hoist import Hoisted
from pyrox.samplers.passes.jaxprs import equations
from pyrox.samplers.passes.orient import orient
from pyrox.samplers.passes.rewrite import rewrite
from pyrox.target import target_of

RNG = np.random.default_rng(8)
X, WIDE, STACK = RNG.normal(size=(30, 4)), RNG.normal(size=(4, 30)), RNG.normal(size=(2, 30, 4))
B = RNG.normal(size=4)

TURNED = {
    "a regression": lambda b, x: jnp.sum(jnp.tanh(x @ b)),
    "the vector first": lambda b, x: jnp.sum(jnp.tanh(jnp.tile(b, 8)[:30] @ x)),
    "the matrix elsewhere too": lambda b, x: jnp.sum(jnp.tanh(x @ b)) + jnp.sum(x * b),
    "two products": lambda b, x: jnp.sum(jnp.tanh(x @ b) * jnp.exp(x @ (2 * b) / 9)),
    "a part of a matrix": lambda b, x: jnp.sum(jnp.tanh(x[:, 1:] @ b[1:])),
    "single precision": lambda b, x: jnp.sum(jnp.tanh(jnp.float32(x) @ jnp.float32(b))),
    "whole numbers": lambda b, x: jnp.sum(jnp.tanh(jnp.round(x).astype(int) @ b)),
    "in a table of the program's own": lambda b, x: jnp.sum(jnp.tanh(X @ b)) + 0 * x[0, 0],
}
LEFT = {
    "wide": lambda b, x: jnp.sum(jnp.tanh(WIDE @ jnp.tile(b, 8)[:30])),
    "wide, in single precision": lambda b, x: jnp.sum(jnp.float32(WIDE) @ jnp.float32(jnp.tile(b, 8)[:30])) + 0 * b[0],
    "several matrices": lambda b, x: jnp.sum(jnp.tanh(STACK @ b)),
    "a matrix that varies": lambda b, x: jnp.sum(jnp.outer(jnp.tile(b, 3), b) @ jnp.ones(4)),
    "a vector that does not": lambda b, x: jnp.sum(b) * jnp.sum(x @ jnp.ones(4)),
    "of matrices": lambda b, x: jnp.sum(x @ jnp.outer(b, b)),
}


def traced(function):
    return rewrite(jax.make_jaxpr(jax.value_and_grad(function))(B, X), {})


def matrices(closed):
    products = [eqn for eqn in equations(closed.jaxpr) if eqn.primitive.name == "dot_general"]
    return [v.aval.shape for eqn in products for v in eqn.invars if v.aval.ndim == 2]


@pytest.mark.parametrize("name", TURNED)
def test_the_same_from_a_matrix_turned(name):
    original = traced(TURNED[name])
    ours = orient(original)
    assert all(rows > columns for rows, columns in matrices(original))
    assert all(rows < columns for rows, columns in matrices(ours))
    tolerance = 1e-5 if name == "single precision" else 1e-12
    for x, y in zip(jaxpr_as_fun(ours)(B, X), jaxpr_as_fun(original)(B, X), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance)


@pytest.mark.parametrize("name", LEFT)
def test_left_alone(name):
    original = traced(LEFT[name])
    assert orient(original) is original


def test_a_wide_matrix_of_whole_numbers_is_converted_once():
    original = traced(lambda b, x: jnp.sum(jnp.tanh((x.T > 0) @ jnp.tile(b, 8)[:30])))
    hoisted = Hoisted(orient(original))
    assert [(x.shape, str(x.dtype)) for x in hoisted.prepare(X)] == [(WIDE.shape, "float64")]
    for x, y in zip(jaxpr_as_fun(orient(original))(B, X), jaxpr_as_fun(original)(B, X), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12)


@pytest.mark.parametrize("name", ["a regression", "a part of a matrix"])
def test_a_matrix_is_turned_once_a_run(name):
    hoisted = Hoisted(orient(traced(TURNED[name])))
    assert [x.shape for x in hoisted.prepare(X) if x.ndim == 2] == matrices(orient(traced(TURNED[name])))[:1]
    rest = jax.make_jaxpr(lambda b, kept: hoisted(kept, b, X))(B, hoisted.prepare(X))
    assert "transpose" not in {eqn.primitive.name for eqn in rest.eqns}


@pytest.mark.native
def test_a_regression_samples_as_it_does_unturned(monkeypatch):
    draws = []
    for change in (orient, lambda closed: closed):
        monkeypatch.setattr("pyrox.samplers.compile.orient", change)
        with px.Model() as model:
            beta = px.Normal("beta", 0.0, 1.0, shape=4)
            px.Bernoulli("y", logit_p=px.math.dot(X, beta), observed=X[:, 0] > 0)
        target = target_of(model)
        program = target.chain_program(target.data)
        assert program.native
        chain = program.start(np.array([0, 5], np.uint32), B, 0, 0.8)
        draws.append(program.advance(chain, target.data, 5)[1])
    np.testing.assert_allclose(*draws, rtol=1e-6, atol=1e-8)
