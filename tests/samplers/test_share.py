"""What several loops of a kernel need is computed once, and nothing else changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyrox import dist
from pyrox.samplers import ChainProgram
from pyrox.samplers.compile import as_kernel
from pyrox.samplers.passes.hoist import Hoisted
from pyrox.samplers.passes.jaxprs import equations
from pyrox.samplers.passes.rewrite import evaluate, rewrite
from pyrox.samplers.passes.share import share

RNG = np.random.default_rng(0)
LONG = RNG.normal(size=300)
SCALES, Y = np.exp(RNG.normal(size=300)), RNG.normal(size=300)


def volatility(x):
    sigma = jnp.exp(0.1 * jnp.exp(x[0]) * jnp.cumsum(x))
    return jnp.sum(dist.StudentT(4.0 + jnp.exp(x[1]), 0.0, sigma).log_prob(Y))


FUNCTIONS = {
    "volatility": volatility,
    "springs": lambda x: -jnp.sum((x / SCALES) ** 2) - jnp.sum(jnp.diff(x / SCALES) ** 2),
    "a scale of all": lambda x: jnp.sum((x / jnp.exp(x[0])) ** 3) + jnp.sum(jnp.sin(x / jnp.exp(x[0]))),
    "squares of inverses": lambda x: jnp.sum(jnp.exp(x) ** -2 * Y) + jnp.sum(jnp.cos(Y / jnp.exp(x))),
    "logarithms of exponentials": lambda x: jnp.sum(jnp.log(jnp.exp(x)) * x + jnp.sin(jnp.exp(x))),
    "logarithms of complex numbers": lambda x: jnp.sum(jnp.log(jnp.exp(9j * x)).imag * Y),
    "divided by itself": lambda x: jnp.sum(jnp.floor(x / x) * x + x / jnp.abs(x)),
    "by zeros that do not count": lambda x: jnp.sum(jnp.where(Y > 0, x / np.maximum(Y, 0.0), 0.0) ** 2),
    "logistic": lambda x: jnp.sum(dist.Bernoulli(logits=x * Y + x[0]).log_prob((Y > 0).astype(float))),
    "mixture": lambda x: jnp.sum(jnp.logaddexp(dist.Normal(x[0], 1.0).log_prob(x), dist.Cauchy(x[1]).log_prob(x))),
    "counts": lambda x: jnp.sum(dist.NegativeBinomial2(jnp.exp(x), jnp.exp(x[0])).log_prob(np.arange(300) % 7)),
    "a column beside a row": lambda x: jnp.sum(jnp.sin(jnp.exp(x)[:, None] / jnp.exp(x[:7]))),
    "parts put together": lambda x: jnp.sum(jnp.sin(jnp.concatenate([jnp.exp(x[:200]), x[200:] ** 2])) * Y),
    "arithmetic put together": lambda x: jnp.sum(
        jnp.cos(jnp.concatenate([2 * x[:100] - 1, x[100:] * x[:200] - x[3], Y[:5], -x[:1]])) * x[7]
    ),
    "differences of differences": lambda x: jnp.sum(jnp.diff(x * Y, n=2) ** 2) + jnp.sum((x[3:] - 2 * x[:-3]) ** 4),
    "whole numbers": lambda x: jnp.sum(x * (jnp.arange(300) // jnp.sum(x > 0) + (x > 0) // 2)),
    "padding": lambda x: jnp.sum(jnp.sin(jnp.pad(jnp.tanh(x), (3, 4), constant_values=0.5)) ** 2),
    "cuts": lambda x: jnp.sum(jnp.sin(jax.lax.pad(jnp.tanh(x), 0.0, [(-3, -4, 1)])) ** 2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_gradient_stays_the_gradient(name):
    function = jax.value_and_grad(FUNCTIONS[name])
    kernel = as_kernel(jax.make_jaxpr(function)(LONG))
    found = jax.jit(lambda x: evaluate(kernel.jaxpr, kernel.consts, [x]))(LONG)
    for ours, theirs in zip(found, function(LONG), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.native
@pytest.mark.parametrize("name", ["volatility", "squares of inverses", "mixture"])
def test_exponentials_of_many_numbers_are_computed_once(name):
    kernel = as_kernel(jax.make_jaxpr(jax.value_and_grad(FUNCTIONS[name]))(LONG))
    wanted = sum(e.primitive.name == "exp" and e.outvars[0].aval.shape == (300,) for e in equations(kernel.jaxpr))
    compiled = jax.jit(lambda x: evaluate(kernel.jaxpr, kernel.consts, [x])).lower(LONG).compile()
    assert 0 < compiled.as_text().count("f64[300]{0} exponential(") <= wanted


def names(closed):
    return [e.primitive.name for e in equations(closed.jaxpr)]


def test_what_one_loop_needs_stays_in_it():
    traced = jax.make_jaxpr(lambda x: jnp.sum(jnp.exp(x) * x))(LONG)
    assert names(share(traced)) == names(traced)
    assert "cond" in names(share(jax.make_jaxpr(lambda x: (jnp.sum(jnp.exp(x)), jnp.exp(x)))(LONG)))


def test_parts_of_long_vectors_are_computed_where_they_belong():
    def parts(x):
        return jnp.concatenate([2 * x[:100], -x]), jnp.pad(x + 1, (3, 4), constant_values=0.5)

    shared = share(jax.make_jaxpr(parts)(LONG))
    assert not {"pad", "concatenate"} & set(names(shared))
    assert "dynamic_update_slice" in names(shared)
    for x in (LONG, np.float32(LONG)):
        shared = share(jax.make_jaxpr(parts)(x))
        for ours, theirs in zip(evaluate(shared.jaxpr, shared.consts, [x]), parts(jnp.asarray(x)), strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
    copies = jax.make_jaxpr(lambda x: jnp.concatenate([x, jnp.sin(x)]))(LONG)
    assert names(share(copies)) == names(copies)


def test_long_arithmetic_is_not_done_again_for_parts_of_vectors():
    def powers(x):
        for _ in range(50):
            x = x * x
        return jnp.pad(x, 2)

    assert names(share(jax.make_jaxpr(powers)(LONG))) == names(rewrite(jax.make_jaxpr(powers)(LONG), {}))


@pytest.mark.native
@pytest.mark.parametrize(
    "function",
    [lambda x: 1 / (1 + x**2), lambda x: 2.5**x, lambda x: jnp.pad(x, (3, 0)), lambda x: jnp.pad(x, (0, 3))],
)
def test_no_border_between_loops_is_seen_through(function):
    kernel = as_kernel(jax.make_jaxpr(lambda x: (jnp.sum(function(x)), jnp.sin(function(x))))(LONG))
    compiled = jax.jit(lambda x: evaluate(kernel.jaxpr, kernel.consts, [x])).lower(LONG).compile()
    assert names(kernel).count("cond") == compiled.as_text().count(" conditional(") > 0


def test_few_numbers_are_computed_again():
    traced = jax.make_jaxpr(lambda x: (jnp.sum(jnp.exp(x)), jnp.exp(x) * 2))(LONG[:5])
    assert "cond" not in names(share(traced))


def test_reciprocals_of_data_are_computed_once_a_call():
    traced = jax.make_jaxpr(jax.value_and_grad(lambda x, s: jnp.sum(jnp.sin(x / s))))(LONG, SCALES)
    hoisted = Hoisted(as_kernel(traced))
    rest = jax.make_jaxpr(hoisted)(hoisted.prepare(SCALES), LONG, SCALES)
    assert "div" in names(traced)
    assert "div" not in names(rest)


@pytest.mark.parametrize("x", [np.inf, -np.inf, np.nan, 800.0, -800.0])
def test_overflow_gives_no_finite_density_out_of_nothing(x):
    def function(x):
        return dist.Normal(0.0, jnp.exp(x)).log_prob(Y).sum()

    kernel = as_kernel(jax.make_jaxpr(jax.value_and_grad(function))(LONG))
    value, _ = jax.jit(lambda x: evaluate(kernel.jaxpr, kernel.consts, [x]))(np.where(np.arange(300) == 7, x, LONG))
    # A scale of zero has a density of zero away from the location; one without bound everywhere.
    assert not value > function(LONG)


@pytest.mark.native
def test_a_native_chain_draws_what_an_ordinary_one_draws():
    def density(x, data):
        return volatility(x) - 0.5 * jnp.sum(x**2) - jnp.sum((x / data) ** 2)

    chains = []
    for fused in (True, False):
        program = ChainProgram(density, 300, SCALES, fused=fused)
        assert program.native == fused
        key = jax.random.key_data(jax.random.key(0))
        chain = program.start(key, 0.1 * LONG, num_warmup=30, target_accept=0.8)
        chains.append(program.advance(chain, SCALES, 12)[1])
    np.testing.assert_allclose(*chains, rtol=1e-4, atol=1e-6)
