"""Arithmetic on long vectors, in forms that compilers turn into vector instructions."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pyrox.typing import Array

# A sum in this many parts keeps as many additions going at a time.
_PARTS = 8
# Shorter vectors gain nothing.
_SHORT = 32
# XLA cuts longer sums into windows of this length; those that do not fill them it tests, number by number.
_WINDOW = 32


def namespace(x: Array) -> ModuleType:
    """Give the module for arrays like this one: JAX's for its own, NumPy for all others."""
    return jnp if isinstance(x, jax.Array) else np


def total(x: Array) -> Array:
    """Give the sum of a vector.

    Parts of equal length are added to one another first: one number that everything is added to would make each
    addition wait for the one before. Their sum is cut into equal windows. Accelerators have ways of their own.
    """
    if x.shape[0] < _SHORT or jax.default_backend() != "cpu":
        return jnp.sum(x)
    windows = -(-x.shape[0] // (_PARTS * _WINDOW))
    window = x.shape[0] // (_PARTS * windows)
    length = windows * window
    parts = [lax.slice(x, (i * length,), ((i + 1) * length,)) for i in range(_PARTS)]
    while len(parts) > 1:
        parts = [a + b for a, b in zip(parts[::2], parts[1::2], strict=True)]
    rest = lax.slice(x, (_PARTS * length,), x.shape)
    whole = _sum_windows(parts[0], window)
    return whole + total(rest) if rest.shape[0] else whole


def _sum_windows(x: Array, window: int) -> Array:
    if x.shape[0] == window:
        return jnp.sum(x)
    return total(lax.reduce_window(x, np.zeros((), x.dtype), lax.add, (window,), (window,), "VALID"))


def inner(a: Array, b: Array) -> Array:
    """Give the inner product of two vectors."""
    return total(a * b)


def apart(function: Callable, *args: Array) -> Array:
    """Compute something in loops of its own, from what lies in memory, and keep the result in memory.

    XLA merges no loops across the border of a branch. That the branch is always taken is hidden from it, but not from
    LLVM, which leaves the other one out.
    """
    args = [jnp.asarray(x) for x in args]
    numbers = [x for x in args if x.size and _is_real(x)]
    if not numbers:
        return function(*args)
    # Of constants, which are short or come first, XLA would know.
    numbers = max(reversed(numbers), key=jnp.size)
    bits = lax.bitcast_convert_type(numbers.reshape(-1)[0], np.dtype(f"uint{8 * numbers.dtype.itemsize}"))
    result = jax.eval_shape(function, *args)
    return lax.cond((bits | 1) != 0, function, lambda *_: jnp.zeros(result.shape, result.dtype), *args)


def _is_real(x: Array) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating) or jnp.issubdtype(x.dtype, jnp.integer)


# Terms of log((1 + s) / (1 - s)) = 2 s + s (2/3 s^2 + 2/5 s^4 + ...): enough of them for |s| < 0.172.
_LOG_SERIES = tuple(2.0 / (2 * k + 1) for k in range(1, 10))
# The logarithm of two in two parts, of which the first has few digits: a whole number times it is exact.
_LOG2_HIGH, _LOG2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_SQRT_HALF_BITS, _EXPONENT_BITS = np.int64(0x3FE6A09E667F3BCD), np.int64(52)
# A double of this exponent holds a small whole number in its last bits.
_WHOLE = 6755399441055744.0


def _log_of_normal(x: Array, lost: Array | None = None) -> Array:
    r"""Give log(x), or log(x + lost) where x has lost that by rounding, for positive doubles of full precision.

    .. math:: \log(2^k (1 + f)) = k \log 2 + f - (f^2 / 2 - s (f^2 / 2 + R(s^2))), \quad s = f / (2 + f)

    Arithmetic alone, so that it becomes vector instructions; calls of a library would keep all of a loop from it.

    References
    ----------
    .. [1] Tang (1990), Table-driven implementation of the logarithm function in IEEE floating-point arithmetic, ACM
       Transactions on Mathematical Software 16; Muller (2016), Elementary Functions.
    """
    bits = lax.bitcast_convert_type(x, np.int64)
    exponent = (bits - _SQRT_HALF_BITS) >> _EXPONENT_BITS
    f = lax.bitcast_convert_type(bits - (exponent << _EXPONENT_BITS), np.float64) - 1.0
    # Whole numbers become doubles by their bits: the conversion has no vector instruction everywhere.
    k = lax.bitcast_convert_type(exponent + np.float64(_WHOLE).view(np.int64), np.float64) - _WHOLE
    s = f / (2.0 + f)
    z = s * s
    series = z * _LOG_SERIES[-1]
    for c in _LOG_SERIES[-2::-1]:
        series = z * (c + series)
    half_square = 0.5 * f * f
    correction = 0.0
    if lost is not None:
        # lost / x: as small as the last bit, so that a few digits of 1 / (1 + f) are enough.
        power = lax.bitcast_convert_type((1023 - jnp.minimum(exponent, 1023)) << _EXPONENT_BITS, np.float64)
        correction = lost * power * (1.0 - f + f * f)
    return k * _LOG2_HIGH - ((half_square - (s * (half_square + series) + (k * _LOG2_LOW + correction))) - f)


def log(x: Array) -> Array:
    """Give the natural logarithm of doubles, to the last bit or so."""
    inside = (x > 0) & (x < np.inf)
    outside = jnp.where(x == 0, -np.inf, jnp.where(x > 0, x, np.nan))
    return jnp.where(inside, _log_of_normal(jnp.where(inside, x, 1.0)), outside)


def log1p(x: Array) -> Array:
    """Give log(1 + x) of doubles, to the last bit or so."""
    y = 1.0 + x
    inside = (y > 0) & (y < np.inf)
    y = jnp.where(inside, y, 1.0)
    lost = x - (y - 1.0)  # what rounding took from the sum
    outside = jnp.where(x == -1, -np.inf, jnp.where(x > 0, x, np.nan))
    return jnp.where(inside, _log_of_normal(y, lost), outside)


_select_up_to: ContextVar[float] = ContextVar("select_up_to", default=0)


@contextlib.contextmanager
def selecting(up_to: float) -> Iterator[None]:
    """Let what is traced meanwhile do without small loops where so many numbers at most are concerned.

    Inside a native kernel a loop costs nothing. Elsewhere each is a task of its own, and an accelerator asks the host
    before every round: to compute what may not be needed, and to select, costs less there.
    """
    token = _select_up_to.set(up_to)
    try:
        yield
    finally:
        _select_up_to.reset(token)


def do_if(condition: Array, change: Callable, carry: Any, *, costly: bool = False) -> tuple[Any, Array]:
    """Change something or leave it; tell how often it was changed.

    A loop of one round or none works in place, where a branch would copy; what is costly always becomes one.
    """
    if not costly and _are_few(carry):
        changed = jax.tree.map(lambda new, old: jnp.where(condition, new, old), change(carry), carry)
        return changed, condition.astype(jnp.int32)
    rounds, carry = lax.while_loop(
        lambda c: c[0] < condition.astype(jnp.int32), lambda c: (c[0] + 1, change(c[1])), (jnp.int32(0), carry)
    )
    return carry, rounds


def find_last(test: Callable[[Any, Array], Array], data: Any, low: Array, high: Array, length: int) -> Array:
    """Give the last number from low to high, of all below a length, for which a test of data holds, or low - 1."""
    if _are_few(data):
        numbers = jnp.arange(length, dtype=jnp.int32)
        holds = jax.vmap(test, in_axes=(None, 0))(data, numbers) & (low <= numbers) & (numbers <= high)
        return jnp.max(jnp.where(holds, numbers, low - 1))
    number, found = lax.while_loop(
        lambda c: (c[0] >= low) & ~c[1], lambda c: (c[0] - 1, test(data, c[0])), (high, jnp.zeros((), bool))
    )
    return jnp.where(found, number + 1, low - 1)


def _are_few(data: Any) -> bool:
    return sum(np.size(x) for x in jax.tree.leaves(data)) <= _select_up_to.get()
