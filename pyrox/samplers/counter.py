"""The random numbers of a transition: from one call of JAX's generator, and from a counter inside.

A call costs more than the gradient of a small model. So there is one, for the momentum and a seed; the numbers that
every point needs follow from the seed and a counter by two rounds of a mixing function of 32 bits.
"""

import math

import jax.numpy as jnp
import numpy as np
from jax import random

from pyrox.samplers import vectors
from pyrox.typing import Array, Key

_UNIT = 2.0**-24
# Taylor's series of the sine, divided by its argument, and of the cosine, in squares: a right angle to eleven digits.
_SINE = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(8))
_COSINE = tuple((-1) ** k / math.factorial(2 * k) for k in range(9))


def noise_and_seed(key: Key, dim: int, dtype: np.dtype, wanted: Array) -> tuple[Array, Array]:
    r"""Draw standard normal numbers, and a seed for ``uniform``, by one call of JAX's generator.

    .. math:: (x, y) = \sqrt{-2 \log u} \, (\pm \cos t, \sin t), \qquad t = \pi (v - 1/2)

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

    References
    ----------
    .. [1] Box and Muller (1958), A note on the generation of random normal deviates, Annals of Mathematical Statistics
       29: two numbers from a logarithm and an angle, all arithmetic; the inverse of the distribution takes five times
       as long.
    """
    width, digits = (np.uint64, 53) if np.dtype(dtype).itemsize == 8 else (np.uint32, 24)
    half = -(-dim // 2)
    bits = random.bits(key, (2 * half + 2,), width)

    def draw(_: Array) -> Array:
        whole = (bits[: 2 * half] >> width(np.iinfo(width).bits - digits)).astype(dtype)
        u = (whole + 0.5) * jnp.asarray(2.0**-digits, dtype)
        log = vectors.log if digits == 53 else jnp.log
        angle, radius = np.pi * (u[half:] - 0.5), jnp.sqrt(-2 * log(u[:half]))
        # The last bit of its word is none of the angle's.
        left = (bits[half : 2 * half] & width(1)) == 1
        square = angle * angle
        cosine, sine = _polynomial(_COSINE, square), angle * _polynomial(_SINE, square)
        return jnp.concatenate([radius * jnp.where(left, -cosine, cosine), radius * sine])[:dim]

    # In a loop of their own: else they would be computed anew in every loop that uses them.
    noise, _ = vectors.do_if(wanted, draw, jnp.ones(dim, dtype))
    return noise, bits[2 * half :].astype(np.uint32)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    value = jnp.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        value = c + x * value
    return value


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
