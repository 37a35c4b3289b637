"""Numbers from a counter are uniform, and those of neighbouring counters and seeds are independent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from pyrox.samplers.counter import noise_and_seed, uniform
from pyrox.samplers.kernel import _CAREFUL_NUMBER

# Chance that this module raises one false alarm.
LEVEL = 1e-4
TESTS = 70


def keys_in_a_row(number, dim=3, dtype=jnp.float64):
    words = jnp.stack([jnp.full(number, 5), 8 + jnp.arange(number)], axis=1).astype(jnp.uint32)
    keys = jax.random.wrap_key_data(words)
    return jax.vmap(lambda key: noise_and_seed(key, dim, dtype, jnp.ones((), bool)))(keys)


@pytest.fixture(scope="module")
def numbers():
    """Streams of 256 numbers of 2000 seeds, of keys next to each other: ``(seed, counter)``."""
    seeds = keys_in_a_row(2000)[1]
    counters = jnp.concatenate([jnp.arange(240), -jnp.arange(1, 17)])
    return np.asarray(jax.vmap(lambda seed: uniform(seed, counters, jnp.float64))(seeds))


def test_they_lie_between_zero_and_one(numbers):
    assert 0 < numbers.min() < numbers.max() < 1


def test_they_are_uniform(numbers):
    for part in (numbers.ravel(), numbers[:, 0], numbers[:, 1], numbers[:, -1], numbers[0], numbers[1]):
        assert stats.kstest(part, "uniform").pvalue > LEVEL / TESTS
    # The finest bits, of which a comparison with a small probability consists.
    fine = np.histogram(numbers[numbers < 2**-8] * 2**8, bins=16, range=(0, 1))[0]
    assert stats.chisquare(fine).pvalue > LEVEL / TESTS


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 8, 16, 128])
def test_neighbours_are_independent(numbers, lag):
    for a, b in ((numbers[:, :-lag], numbers[:, lag:]), (numbers[:-lag], numbers[lag:])):
        table, _, _ = np.histogram2d(a.ravel(), b.ravel(), bins=16, range=[[0, 1], [0, 1]])
        assert stats.chi2_contingency(table).pvalue > LEVEL / TESTS


def test_streams_of_seeds_a_bit_apart_are_independent():
    counters = jnp.arange(4096)
    one = np.asarray(uniform(jnp.array([7, 9], jnp.uint32), counters, jnp.float64))
    for other in ([6, 9], [7, 8], [7, 9 + 2**31], [9, 7]):
        two = np.asarray(uniform(jnp.array(other, jnp.uint32), counters, jnp.float64))
        table, _, _ = np.histogram2d(one, two, bins=8, range=[[0, 1], [0, 1]])
        assert stats.chi2_contingency(table).pvalue > LEVEL / TESTS


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
def test_noise_is_normal_and_independent_of_its_neighbours(dtype):
    noise = np.asarray(keys_in_a_row(20_000, dtype=dtype)[0])
    assert noise.dtype == dtype
    assert np.all(np.isfinite(noise))
    for x in (noise[:, 0], noise[:, 2], noise.ravel()):
        assert stats.kstest(x, "norm").pvalue > LEVEL / TESTS
    for x, y in ((noise[1:, 0], noise[:-1, 0]), (noise[:, 0], noise[:, 1]), (noise[1:, 0] ** 2, noise[:-1, 1] ** 2)):
        assert stats.pearsonr(x, y).pvalue > LEVEL / TESTS


@pytest.mark.parametrize(("dim", "one", "other"), [(2, 0, 1), (3, 0, 2), (4, 1, 3)])
def test_two_numbers_of_one_angle_are_independent(dim, one, other):
    noise = np.asarray(keys_in_a_row(20_000, dim=dim)[0])
    x, y = noise[:, one], noise[:, other]
    for a, b in ((x, y), (x**2, y**2), (x, y**2), (x**2, y), (x + y, x - y)):
        assert stats.pearsonr(a, b).pvalue > LEVEL / TESTS
    angle, radius = np.arctan2(y, x), x**2 + y**2
    assert stats.kstest(angle, "uniform", (-np.pi, 2 * np.pi)).pvalue > LEVEL / TESTS
    assert stats.kstest(radius, "chi2", (2,)).pvalue > LEVEL / TESTS


def test_single_precision_has_them_too():
    seed = jnp.array([1, 2], jnp.uint32)
    found = uniform(seed, jnp.arange(1000), jnp.float32)
    assert found.dtype == jnp.float32
    assert 0 < found.min() < found.max() < 1


def test_the_choice_of_careful_transitions_is_independent_of_all_others():
    seeds = keys_in_a_row(2000)[1]
    others = jnp.concatenate([jnp.arange(32), -jnp.arange(1, 33)])
    choice = jax.vmap(lambda seed: uniform(seed, _CAREFUL_NUMBER, jnp.float64))(seeds)
    numbers = jax.vmap(lambda seed: uniform(seed, others, jnp.float64))(seeds)
    bound = stats.norm.isf(LEVEL / TESTS / (2 * len(others))) / np.sqrt(len(seeds))
    assert np.abs(np.corrcoef(choice, numbers.T)[0, 1:]).max() < bound
