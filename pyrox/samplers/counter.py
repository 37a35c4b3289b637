"""Uniform numbers from a counter: cheap enough to be drawn at every leapfrog.

JAX's own generator costs more than the gradient of a small model. It makes the seed of each transition; the numbers
inside follow from the seed and a counter by two rounds of a mixing function of 32 bits.
"""

import jax.numpy as jnp
import numpy as np
from jax import random

from pyrox.typing import Array, Key

_UNIT = 2.0**-24


def seed_of(key: Key) -> Array:
    """Give the two words that a key consists of."""
    return random.key_data(key).reshape(-1)[:2].astype(np.uint32)


def uniform(seed: Array, counter: Array, dtype: np.dtype) -> Array:
    r"""Give the number in (0, 1) that belongs to a counter.

    .. math:: u = \frac{\lfloor m(m(c \oplus s_0) + s_1) / 2^8 \rfloor + 1/2}{2^{24}}

    where m mixes the bits of a word one to one.

    Parameters
    ----------
    seed
        Two words, different for each stream of numbers.
    counter
        A whole number, different for each number of a stream.
    dtype
        Of the result.

    Returns
    -------
    A number of the counter's shape.

    References
    ----------
    .. [1] Appleby (2008), MurmurHash3: multiply and shift rounds that mix a word; Wellons (2018), Prospecting for hash
       functions: the constants with the least bias.
    """
    word = _mix(_mix(counter.astype(np.uint32) ^ seed[0]) + seed[1])
    return ((word >> np.uint32(8)).astype(dtype) + 0.5) * jnp.asarray(_UNIT, dtype)


def _mix(word: Array) -> Array:
    word = (word ^ (word >> np.uint32(16))) * np.uint32(0x7FEB352D)
    word = (word ^ (word >> np.uint32(15))) * np.uint32(0x846CA68B)
    return word ^ (word >> np.uint32(16))
