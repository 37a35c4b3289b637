"""Arithmetic on long vectors gives what NumPy gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyrox.samplers import vectors

RNG = np.random.default_rng(0)
LOGS = {"log": (vectors.log, np.log), "log1p": (vectors.log1p, np.log1p)}


@pytest.mark.parametrize("n", [1, 31, 32, 100, 256, 257, 1001, 9001])
def test_sums(n):
    a, b = RNG.normal(size=(2, n))
    np.testing.assert_allclose(vectors.total(jnp.asarray(a)), a.sum(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(vectors.inner(jnp.asarray(a), jnp.asarray(b)), a @ b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", LOGS)
def test_logarithms_are_right_to_the_last_bit(name):
    ours, theirs = LOGS[name]
    x = np.concatenate([np.exp(RNG.normal(size=20_000) * scale) for scale in (1e-8, 1e-3, 0.1, 1.0, 10.0, 100.0)])
    if name == "log1p":
        x = np.concatenate([x, -np.exp(-np.abs(x)), RNG.normal(size=20_000) * 10.0 ** -RNG.integers(1, 18, 20_000)])
        # Of numbers below the normal range XLA makes zeros.
        x = x[(x > -1) & (np.abs(x) > np.finfo(float).tiny)]
    exact = theirs(x.astype(np.longdouble))
    found = np.asarray(jax.jit(ours)(x))
    away = np.abs(found - exact) / np.spacing(np.abs(exact.astype(float)))
    assert away.max() < 1.5


@pytest.mark.parametrize("name", LOGS)
def test_logarithms_at_the_edges(name):
    ours, theirs = LOGS[name]
    edges = np.array([0.0, -0.0, 1.0, -1.0, -2.0, np.inf, -np.inf, np.nan, 1.7e308, 2.3e-308])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(jax.jit(ours)(edges), theirs(edges), rtol=1e-15)


@pytest.mark.parametrize("up_to", [0, 3])
@pytest.mark.parametrize("condition", [True, False])
def test_what_is_changed_if_so_is_the_same_in_a_loop_and_selected(condition, up_to):
    def change(condition, carry):
        with vectors.selecting(up_to):
            return vectors.do_if(condition, lambda c: {"x": c["x"] + 1, "n": c["n"] * 2}, carry)

    carry = {"x": jnp.array([1.0, 2.0]), "n": jnp.int32(3)}
    loops = "while" in str(jax.make_jaxpr(change)(condition, carry))
    assert loops == (up_to < 3)
    changed, rounds = jax.jit(change)(condition, carry)
    np.testing.assert_array_equal(changed["x"], [2.0, 3.0] if condition else [1.0, 2.0])
    assert changed["n"] == (6 if condition else 3)
    assert rounds == condition


@pytest.mark.parametrize("up_to", [0, np.inf])
def test_the_last_number_that_passes_a_test_is_found_with_and_without_a_loop(up_to):
    data = jnp.array([0.0, 1.0, 0.0, 1.0, 0.0])

    def find(low, high):
        return vectors.find_last(lambda data, i: data[i] > 0, data, low, high, 5)

    with vectors.selecting(up_to):
        traced = jax.make_jaxpr(find)(0, 0)
        found = [int(find(low, high)) for low, high in [(0, 4), (0, 2), (0, 0), (4, 4), (2, 3), (3, 2)]]
    assert ("while" in str(traced)) == (up_to == 0)
    assert found == [3, 1, -1, 3, 3, 2]


@pytest.mark.parametrize("up_to", [0, np.inf])
def test_only_costly_changes_stay_loops_where_numbers_are_few(up_to):
    for costly in (False, True):
        with vectors.selecting(up_to):
            traced = jax.make_jaxpr(lambda c: vectors.do_if(c, lambda x: 2 * x, jnp.ones(3), costly=costly))(True)  # noqa: B023
            (changed, times), (left, never) = (
                vectors.do_if(jnp.array(c), lambda x: 2 * x, jnp.ones(3), costly=costly) for c in (True, False)
            )
        assert ("while" in str(traced)) == (costly or up_to == 0)
        np.testing.assert_array_equal([*changed, times, *left, never], [2, 2, 2, 1, 1, 1, 1, 0])
