"""The random numbers of a transition: from one call of JAX's generator, and from a counter inside.

A call costs more than the gradient of a small model. So there is one, for the momentum and a seed; the numbers that
every point needs follow from the seed and a counter by two rounds of a mixing function of 32 bits.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax, random

from pyrox.samplers.vectors import do_if
from pyrox.typing import Array, Key

_UNIT = 2.0**-24


def noise_and_seed(key: Key, dim: int, dtype: np.dtype, wanted: Array) -> tuple[Array, Array]:
    r"""Draw standard normal numbers, and a seed for ``uniform``, by one call of JAX's generator.

    .. math:: x = \sqrt 2 \, \mathrm{erf}^{-1}(2 u - 1)

    Parameters
    ----------
    key
        A JAX key.
    dim
        How many normal numbers.
    dtype
        Of the normal numbers.
    wanted
        Whether they are: else all are one.

    Returns
    -------
    The normal numbers, shape ``(dim,)``; two words, shape ``(2,)``.
    """
    width, digits = (np.uint64, 53) if np.dtype(dtype).itemsize == 8 else (np.uint32, 24)
    bits = random.bits(key, (dim + 2,), width)

    def draw(_: Array) -> Array:
        whole = (bits[:dim] >> width(np.iinfo(width).bits - digits)).astype(dtype)
        u = (whole + 0.5) * jnp.asarray(2.0**-digits, dtype)
        return np.sqrt(2.0).astype(dtype) * lax.erf_inv(2 * u - 1)

    # In a loop of their own: else they would be computed anew in every loop that uses them.
    noise, _ = do_if(wanted, draw, jnp.ones(dim, dtype))
    return noise, bits[dim:].astype(np.uint32)


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
