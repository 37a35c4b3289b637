"""Special functions of log-densities, each with a derivative that shares the work of its value."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from pyrox.likelihoods import HALF_LOG_2PI, sum_log1p
from pyrox.typing import Array

LOG_2 = 0.6931471805599453
LOG_PI = 1.1447298858494002
EULER_GAMMA = 0.5772156649015329

__all__ = [
    "bernoulli_logits_sum", "betainc", "betaln", "digamma", "gammaln", "log_binomial", "log_factorial",
    "log_or_minus_inf", "log_subtract", "log_weighted_sum", "logits_log_prob", "pick", "softplus",
    "times_log", "times_log1p",
]  # fmt: skip


def log_or_minus_inf(x: Array) -> Array:
    """Compute the logarithm of nonnegative numbers: at zero -inf, with slope zero rather than infinite."""
    some = x > 0
    return jnp.where(some, jnp.log(jnp.where(some, x, 1)), -jnp.inf)


def times_log(count: Array, x: Array) -> Array:
    r"""Compute :math:`k \log x` with :math:`0 \log 0 = 0`; where x is 0 its slope counts as zero, not as infinite."""
    none, zero = count == 0, x == 0
    logs = count * jnp.log(jnp.where(none | zero, 1, x))
    return jnp.where(none, 0, jnp.where(zero, jnp.where(count > 0, -jnp.inf, jnp.inf), logs))


def times_log1p(count: Array, x: Array) -> Array:
    r"""Compute :math:`k \log(1 + x)` like ``times_log``, with all digits of a small x."""
    none, zero = count == 0, x == -1
    logs = count * jnp.log1p(jnp.where(none | zero, 0, x))
    return jnp.where(none, 0, jnp.where(zero, jnp.where(count > 0, -jnp.inf, jnp.inf), logs))


def log_subtract(large: Array, small: Array) -> Array:
    """Compute ``log(exp(large) - exp(small))`` without leaving logarithms."""
    apart = small < large
    gap = jnp.where(apart, small - large, -1.0)
    near = gap > -LOG_2
    shrunk = jnp.where(
        near, jnp.log(-jnp.expm1(jnp.where(near, gap, -0.5))), jnp.log1p(-jnp.exp(jnp.where(near, -1.0, gap)))
    )
    return jnp.where(apart, large + shrunk, -jnp.inf)


def log_weighted_sum(logs: Array, weights: Array) -> Array:
    r"""Compute :math:`\log \sum_k w_k e^{l_k}` over the last axis; a weight of zero has its slope all the same."""
    top = jax.lax.stop_gradient(jnp.max(jnp.where(weights > 0, logs, -jnp.inf), axis=-1, keepdims=True))
    top = jnp.where(jnp.isfinite(top), top, 0)
    reach = 0.9 * math.log(jnp.finfo(logs.dtype).max)
    total = jnp.sum(weights * jnp.exp(jnp.minimum(logs - top, reach)), axis=-1)
    return top[..., 0] + log_or_minus_inf(total)


def _sigmoid_parts(x: Array) -> tuple[Array, Array, Array]:
    """Give ``log(1 + exp(-|x|))``, ``sigmoid(x)`` and ``sigmoid(-x)`` from one exponential."""
    # The choice of branches, not abs, so that second derivatives at zero are right.
    decay = jnp.exp(jnp.where(x >= 0, -x, x))
    large = 1 / (1 + decay)
    small = decay * large
    return jnp.log1p(decay), jnp.where(x >= 0, large, small), jnp.where(x >= 0, small, large)


@jax.custom_jvp
def softplus(x: Array) -> Array:
    r"""Compute :math:`\log(1 + e^x)`."""
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


@softplus.defjvp
def _softplus_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    log_term, up, _ = _sigmoid_parts(x)
    return jnp.maximum(x, 0) + log_term, up * dx


@jax.custom_jvp
def logits_log_prob(logits: Array, successes: Array, trials: Any) -> Array:
    r"""Compute :math:`k \log \sigma(x) + (n - k) \log \sigma(-x)`: sums of like signs only, exact in both tails.

    Differentiable in the logits alone: counts are data.
    """
    return _logits_value(logits, successes, trials, jnp.log1p(jnp.exp(-jnp.abs(logits))))


def _logits_value(x: Array, k: Array, n: Any, log_term: Array) -> Array:
    return -(k * jnp.maximum(-x, 0) + (n - k) * jnp.maximum(x, 0) + n * log_term)


@logits_log_prob.defjvp
def _logits_log_prob_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    x, k, n = primals
    log_term, up, down = _sigmoid_parts(x)
    return _logits_value(x, k, n, log_term), (k * down - (n - k) * up) * tangents[0]


@jax.custom_jvp
def bernoulli_logits_sum(logits: Array, successes: Array) -> Array:
    """Compute the sum of ``logits_log_prob(logits, successes, 1)``, with a single exponential for each logit."""
    return _bernoulli_sum(logits, successes, jnp.exp(-jnp.abs(logits)))


def _bernoulli_sum(x: Array, k: Array, decay: Array) -> Array:
    return -(jnp.sum(k * jnp.maximum(-x, 0) + (1 - k) * jnp.maximum(x, 0)) + sum_log1p(decay))


@bernoulli_logits_sum.defjvp
def _bernoulli_logits_sum_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    x, k = primals
    decay = jnp.exp(jnp.where(x >= 0, -x, x))
    large = 1 / (1 + decay)
    up = jnp.where(x >= 0, large, decay * large)
    return _bernoulli_sum(x, k, decay), jnp.sum((k - up) * tangents[0])


# For x > 0, Stirling's series at z >= 8; smaller arguments are moved there by eight factors,
# whose product x (x + 1) ... (x + 7) is, with y = x (x + 7), only y (y + 6) (y + 10) (y + 12).
_SHIFT = 8


def _moved(x: Array) -> tuple[Array, Array, Array]:
    """Give the argument of the series, y (one where nothing is moved) and whether it is moved."""
    small = x < _SHIFT
    return jnp.where(small, x + _SHIFT, x), jnp.where(small, x * (x + 7), 1.0), small


def _product(y: Array) -> Array:
    return (y * (y + 6)) * ((y + 10) * (y + 12))


def _series(w: Array) -> Array:
    """Sum the series of log-gamma at ``1 / w``: what is left beside ``(z - 1/2) log z - z``."""
    u = w * w
    tail = 1 / 1188 - u * (691 / 360360 - u / 156)
    return w * (1 / 12 - u * (1 / 360 - u * (1 / 1260 - u * (1 / 1680 - u * tail))))


def _slope(w: Array) -> Array:
    """Sum the series of digamma at ``1 / w``: what is left beside ``log z``."""
    u = w * w
    tail = 1 / 132 - u * (691 / 32760 - u * (1 / 12 - u * 3617 / 8160))
    return -w * 0.5 - u * (1 / 12 - u * (1 / 120 - u * (1 / 252 - u * (1 / 240 - u * tail))))


def _moved_slope(x: Array, y: Array, small: Array) -> Array:
    """Give the sum of ``1 / (x + i)`` over the eight factors: zero where nothing was moved."""
    first, second = y * (y + 6), (y + 10) * (y + 12)
    total = ((2 * y + 6) * second + (2 * y + 22) * first) / (first * second)
    return jnp.where(small, (2 * x + 7) * total, 0.0)


@jax.custom_jvp
def gammaln(x: Array) -> Array:
    """Compute the logarithm of the gamma function of positive numbers."""
    return _gammaln_and_digamma(x)[0]


def _gammaln_and_digamma(x: Array) -> tuple[Array, Array]:
    x = jnp.asarray(x, float) if not jnp.issubdtype(jnp.result_type(x), jnp.inexact) else x
    z, y, small = _moved(x)
    log_z, w = jnp.log(z), 1 / z
    moved = jnp.where(small, jnp.log(_product(y)), 0.0)
    value = (z - 0.5) * log_z - z + HALF_LOG_2PI + _series(w) - moved
    return jnp.where(x == jnp.inf, jnp.inf, value), log_z + _slope(w) - _moved_slope(x, y, small)


@gammaln.defjvp
def _gammaln_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    value, slope = _gammaln_and_digamma(primals[0])
    return value, slope * tangents[0]


def digamma(x: Array) -> Array:
    """Compute the derivative of ``gammaln``."""
    return _gammaln_and_digamma(x)[1]


@jax.custom_jvp
def log_gamma_ratio(x: Array, step: Array) -> Array:
    r"""Compute :math:`\log \Gamma(x + s) - \log \Gamma(x)` without subtracting large numbers, for s >= 0."""
    return _ratio_and_slopes(x, step)[0]


def _ratio_and_slopes(x: Array, step: Array) -> tuple[Array, Array, Array]:
    z, y, small = _moved(x)
    log_z, w = jnp.log(z), 1 / z
    end = z + step
    there = 1 / end
    grown = jnp.log1p(step * w)
    far = x + step
    y_far = jnp.where(small, far * (far + 7), 1.0)
    moved = jnp.where(small, jnp.log(_product(y_far) / _product(y)), 0.0)
    value = (end - 0.5) * grown + step * (log_z - 1) + _series(there) - _series(w) - moved
    at_end = _slope(there) - _moved_slope(far, y_far, small)
    apart = grown + at_end - (_slope(w) - _moved_slope(x, y, small))
    return value, apart, log_z + grown + at_end


@log_gamma_ratio.defjvp
def _log_gamma_ratio_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    value, by_x, by_step = _ratio_and_slopes(*primals)
    dx, dstep = tangents
    total = by_x * dx
    return value, total if dstep.dtype == jax.dtypes.float0 else total + by_step * dstep


def betaln(a: Array, b: Array) -> Array:
    """Compute the logarithm of the beta function."""
    return gammaln(a) - log_gamma_ratio(b, a)


@jax.custom_jvp
def betainc(a: Array, b: Array, x: Array) -> Array:
    """Compute the regularised incomplete beta function, with derivatives in all three arguments."""
    a, b, x = jnp.broadcast_arrays(*(jnp.asarray(v, float) for v in (a, b, x)))
    return jax.scipy.special.betainc(a, b, x)


def _betainc_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    a, b, x = jnp.broadcast_arrays(*(jnp.asarray(v, float) for v in primals))
    value = jax.scipy.special.betainc(a, b, x)
    is_zero = [isinstance(t, jax.custom_derivatives.SymbolicZero) for t in tangents]
    slope = jnp.zeros_like(value)
    if not is_zero[2]:
        density = jnp.exp(times_log(a - 1, x) + times_log1p(b - 1, -x) - betaln(a, b))
        slope = slope + density * tangents[2]
    for i in (0, 1):
        if not is_zero[i]:
            ways = tuple(jnp.full_like(v, float(i == j)) for j, v in enumerate((a, b, x)))
            slope = slope + jax.jvp(_betainc_by_fraction, (a, b, x), ways)[1] * tangents[i]
    return value, slope


betainc.defjvp(_betainc_jvp, symbolic_zeros=True)


def _betainc_by_fraction(a: Array, b: Array, x: Array) -> Array:
    """Compute the same by a continued fraction, which can be differentiated in a and b."""
    turned = x > (a + 1) / (a + b + 2)  # where the fraction of the complement converges fast
    a, b, x = jnp.where(turned, b, a), jnp.where(turned, a, b), jnp.where(turned, 1 - x, x)
    inside = (x > 0) & (x < 1)
    x = jnp.where(inside, x, 0.5)

    # Lentz: numerators and denominators as a running product of their ratios.
    def add(ratio: Array, state: tuple) -> tuple:
        c, d, value = state
        d, c = 1 / (1 + ratio * d), 1 + ratio / c
        return c, d, value * c * d

    def pair(state: tuple) -> tuple:
        m, parts, _ = state
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        new = add(odd, add(even, parts))
        return m + 1, new, jnp.any(jnp.abs(new[2] / parts[2] - 1) > 1e-15)

    d = 1 / (1 - (a + b) * x / (a + 1))
    start = 1.0, (jnp.ones_like(x), d, d), jnp.asarray(True)  # noqa: FBT003
    fraction = jax.lax.while_loop(lambda state: state[2] & (state[0] < 500), pair, start)[1][2]
    part = jnp.exp(a * jnp.log(x) + b * jnp.log1p(-x) - betaln(a, b)) / a * fraction
    part = jnp.where(inside, part, 0.0)
    return jnp.where(turned, 1 - part, part)


# log k! - (k log k - k) for k = 0 .. 15, where the asymptotic series is not yet exact.
_REST = (
    0.0, 1.0, 1.3068528194400546, 1.4959226032237258, 1.6328763858683832, 1.7403021806115442,
    1.828694396641771, 1.9037903176782212, 1.9690705693065629, 2.0268062840554952, 2.0785616431350586, 2.12545984509181,
    2.168334698205882, 2.207822206123445, 2.244418568125061, 2.2785183673077407,
)  # fmt: skip


def _factorial_rest(k: Array) -> Array:
    r"""Compute :math:`\log k! - (k \log k - k)`, which stays small, for whole numbers."""
    small = jnp.asarray(_REST, k.dtype)[jnp.clip(k, 0, 15).astype(int)]
    large = jnp.maximum(k, 15.0)
    u = 1 / (large * large)
    series = (1 / 12 - u * (1 / 360 - u * (1 / 1260 - u * (1 / 1680 - u * (1 / 1188 - u * 691 / 360360))))) / large
    return jnp.where(k < 16, small, HALF_LOG_2PI + 0.5 * jnp.log(large) + series)


def _xlogx(x: Array) -> Array:
    return x * jnp.log(jnp.maximum(x, 1))


def log_factorial(count: Array) -> Array:
    """Compute the logarithm of the factorial of whole numbers; a constant to differentiation."""
    k = jax.lax.stop_gradient(jnp.asarray(count).astype(float))
    return _xlogx(k) - k + _factorial_rest(k)


def log_binomial(n: Array, k: Array) -> Array:
    """Compute the logarithm of the binomial coefficient of whole numbers; a constant to differentiation."""
    n, k = (jax.lax.stop_gradient(jnp.asarray(c).astype(float)) for c in (n, k))
    # k log(n / k) + m log(n / m) has terms of one sign: no cancellation where factorials are huge.
    m = n - k
    few, many, safe = jnp.minimum(k, m), jnp.maximum(k, m), jnp.maximum(n, 1)
    whole = few * jnp.log(safe / jnp.maximum(few, 1)) - many * jnp.log1p(-few / safe)
    return whole + _factorial_rest(n) - _factorial_rest(k) - _factorial_rest(m)


def pick(table: Array, index: Array) -> Array:
    """Take one entry of the last axis for each index; batch axes broadcast."""
    size, index = table.shape[-1], index.astype(int)  # bytes may not count as far as there are entries
    if size <= 64 or table.size >= size * index.size:
        # Comparing is elementwise work; indexing would have a scatter for its derivative.
        hit = index[..., None] == jnp.arange(size, dtype=index.dtype)
        return jnp.sum(jnp.where(hit, table, 0), axis=-1)
    shape = jnp.broadcast_shapes(table.shape[:-1], index.shape)
    table, index = jnp.broadcast_to(table, (*shape, size)), jnp.broadcast_to(index, shape)
    return jnp.take_along_axis(table, index[..., None], axis=-1)[..., 0]
