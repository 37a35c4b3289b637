"""What does not depend on the position is computed once, and the rest gives the same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyrox.samplers.passes.hoist import Hoisted
from pyrox.samplers.passes.rewrite import rewrite

RNG = np.random.default_rng(0)
X, SCALE, COUNTS = RNG.normal(size=5), np.exp(RNG.normal(size=5)), RNG.poisson(3.0, 5).astype(float)


def normal(x, scale, counts):
    factorials = jax.scipy.special.gammaln(counts + 1)
    return jnp.sum(-0.5 * (x / scale) ** 2 - jnp.log(scale)) + jnp.sum(counts * x - factorials)


def nothing_fixed(x, scale, counts):
    return jnp.sum(x**2)


def nothing_moves(x, scale, counts):
    return jnp.sum(jnp.log(scale)) * jnp.ones(())


def a_loop(x, scale, counts):
    fixed = jax.lax.fori_loop(0, 5, lambda i, s: s + jnp.log(jnp.asarray(scale)[i]), 0.0)
    return fixed * jnp.sum(x) + jax.lax.scan(lambda c, a: (c * a[0] + a[1], c), 1.0, (x, counts))[0]


@pytest.mark.parametrize("function", [normal, nothing_fixed, nothing_moves, a_loop])
def test_the_parts_make_up_the_whole(function):
    traced = rewrite(jax.make_jaxpr(jax.value_and_grad(function))(X, SCALE, COUNTS))
    hoisted = Hoisted(traced)
    prepared = hoisted.prepare(SCALE, COUNTS)
    found = hoisted(prepared, X, SCALE, COUNTS)
    for ours, theirs in zip(found, jax.value_and_grad(function)(X, SCALE, COUNTS), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_known_logarithms_are_taken_once():
    def names(part, *args):
        return {eqn.primitive.name for eqn in jax.make_jaxpr(part)(*args).eqns}

    hoisted = Hoisted(jax.make_jaxpr(normal)(X, SCALE, COUNTS))
    prepared = hoisted.prepare(SCALE, COUNTS)
    assert "log" in names(hoisted.prepare, SCALE, COUNTS)
    assert "log" not in names(lambda x: hoisted(prepared, x, SCALE, COUNTS), X)


def test_what_only_rearranges_is_done_again():
    hoisted = Hoisted(jax.make_jaxpr(lambda x, a: x + jnp.broadcast_to(a, (1000, 5)))(X, SCALE))
    assert hoisted.prepare(SCALE) == []
    np.testing.assert_allclose(hoisted([], X, SCALE)[0], np.broadcast_to(X + SCALE, (1000, 5)))
