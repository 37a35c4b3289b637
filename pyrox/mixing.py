"""How well chains mix: autocovariance, effective sample size and R-hat, on NumPy and for many quantities at once.

Quantities are computed block by block, so that a block stays in the processor's cache and memory stays small beside
the draws. NaN or infinite draws make moments undefined: the result is NaN for the quantities concerned, silently.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pyrox.errors import ShapeError

# Elements of a block: small enough for the cache, large enough for the cost of a NumPy call to vanish.
_BLOCK = 1 << 16
# The C library returns freed memory to the system, and paging it in anew for every block takes half as long as the
# work, until it has freed a piece of this many bytes: then it keeps what is smaller.
_KEPT_BYTES = 1 << 24
_MIN_DRAWS = 4

Statistic = Callable[[np.ndarray], np.ndarray]


def autocovariance(x: ArrayLike, axis: int = 0) -> np.ndarray:
    r"""Compute the autocovariance of a series at every lag.

    .. math:: \gamma_t = \frac{1}{N} \sum_{n=1}^{N-t} (x_n - \bar x)(x_{n+t} - \bar x)

    The sum is divided by :math:`N` at every lag: it is biased towards zero, but much less noisy at long lags than if
    it were divided by :math:`N - t`.

    Parameters
    ----------
    x
        Draws, of any shape with at least one draw along ``axis``.
    axis
        The axis of the draws.

    Returns
    -------
    Lags 0 to N - 1 along ``axis``, of the shape of ``x``. Series with draws that are not finite are NaN throughout.

    Examples
    --------
    >>> from pyrox.diagnostics import autocovariance
    >>> autocovariance([1.0, 2.0, 3.0, 4.0]).round(4)
    array([ 1.25  ,  0.3125, -0.375 , -0.5625])

    References
    ----------
    .. [1] Geyer (1992), Practical Markov chain Monte Carlo, Statistical Science 7.
    """
    series = np.moveaxis(_floats(x), axis, -1)
    if not series.shape[-1]:
        raise ShapeError(f"autocovariance needs at least one draw, axis {axis} of shape {np.shape(x)} has none")
    with np.errstate(invalid="ignore", over="ignore"):
        return np.moveaxis(_correlate(_power(_centred(series)), series.shape[-1]), -1, axis)


def autocorrelation(x: ArrayLike, axis: int = 0) -> np.ndarray:
    r"""Compute the autocorrelation of a series at every lag.

    .. math:: \rho_t = \gamma_t / \gamma_0

    with the autocovariance :math:`\gamma_t` of :func:`autocovariance`.

    Parameters
    ----------
    x
        Draws, of any shape with at least one draw along ``axis``.
    axis
        The axis of the draws.

    Returns
    -------
    Lags 0 to N - 1 along ``axis``, of the shape of ``x``. Constant series, which have no autocorrelation, and series
    with draws that are not finite are NaN throughout.

    Examples
    --------
    >>> from pyrox.diagnostics import autocorrelation
    >>> autocorrelation([1.0, 2.0, 3.0, 4.0]).round(4)
    array([ 1.  ,  0.25, -0.3 , -0.45])
    """
    covariance = autocovariance(x, axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        return covariance / np.take(covariance, [0], axis)


def effective_sample_size(x: ArrayLike) -> np.ndarray:
    r"""Estimate how many independent draws would tell as much about the mean.

    .. math:: N_\mathrm{eff} = \frac{M N}{-1 + 2 \sum_{t} \hat\rho_t}, \qquad
              \hat\rho_t = 1 - \frac{W - \bar\gamma_t}{\widehat{\mathrm{var}}^+}

    with :math:`\bar\gamma_t` the mean over chains of the autocovariance. The sum ends where pairs
    :math:`\hat\rho_{2t} + \hat\rho_{2t+1}` cease to be positive, and pairs are made to decrease (Geyer's initial
    monotone sequence). At most :math:`M N \log_{10}(M N)` is returned, which antithetic chains can reach.

    Parameters
    ----------
    x
        Draws of shape ``(chain, draw, *event)``. Chains are not split; ArviZ calls this ``ess(method="identity")``.

    Returns
    -------
    Shape ``event``. Constant quantities give ``chain * draw``, as in ArviZ; fewer than four draws, or draws that are
    not finite, NaN.

    Raises
    ------
    ShapeError
        If there is no axis of chains and draws.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrox.diagnostics import effective_sample_size
    >>> rng = np.random.default_rng(0)
    >>> independent = rng.normal(size=(4, 1000))
    >>> effective_sample_size(independent).round()
    np.float64(3912.0)
    >>> effective_sample_size(np.repeat(independent, 10, axis=1)).round()  # every draw ten times tells no more
    np.float64(4013.0)

    References
    ----------
    .. [1] Geyer, Introduction to Markov Chain Monte Carlo, Handbook of Markov Chain Monte Carlo (2011).
    .. [2] Stan Reference Manual, Effective sample size.
    .. [3] Vehtari et al. (2021), Rank-normalization, folding, and localization: an improved R-hat, Bayesian
       Analysis 16.
    """
    x = _draws(x, "effective_sample_size")
    if x.shape[1] < _MIN_DRAWS or not x.shape[0]:
        return np.full(x.shape[2:], np.nan)[()]
    return by_blocks(x, lambda block: _effective(_Moments.of(_scaled(block))))


def gelman_rubin(x: ArrayLike) -> np.ndarray:
    r"""Compare the variance between chains with that within: R-hat.

    .. math:: \hat R = \sqrt{\widehat{\mathrm{var}}^+ / W}, \qquad
              \widehat{\mathrm{var}}^+ = \frac{N - 1}{N} W + \mathrm{var}(\bar x_1, \dots, \bar x_M)

    with the mean :math:`W` of the chains' variances. It approaches one as the chains come to agree.

    Parameters
    ----------
    x
        Draws of shape ``(chain, draw, *event)``, at least two chains and two draws.

    Returns
    -------
    Shape ``event``. A quantity that is the same in all draws has no R-hat: NaN. If every chain stands still, but not
    all at one place, it is infinite. Draws that are not finite give NaN.

    Raises
    ------
    ShapeError
        If there are fewer than two chains or two draws.

    Examples
    --------
    >>> from pyrox.diagnostics import gelman_rubin
    >>> gelman_rubin([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]).round(4)
    np.float64(1.0801)

    References
    ----------
    .. [1] Gelman and Rubin (1992), Inference from iterative simulation using multiple sequences, Statistical
       Science 7.
    """
    x = _draws(x, "gelman_rubin")
    if min(x.shape[:2]) < 2:
        raise ShapeError(f"gelman_rubin needs at least 2 chains and 2 draws, not the shape {x.shape}")
    return by_blocks(x, lambda block: _rhat(_Moments.of(_scaled(block))))


def split_gelman_rubin(x: ArrayLike) -> np.ndarray:
    r"""Compare first and second halves of all chains with one another: split R-hat.

    This is :func:`gelman_rubin` of the :math:`2 M` half chains, so that it sees a drift that chains share, and works
    with a single chain. Of an odd number of draws the middle one is left out.

    Parameters
    ----------
    x
        Draws of shape ``(chain, draw, *event)``, at least four draws.

    Returns
    -------
    Shape ``event``; what is constant or not finite gives the values named at :func:`gelman_rubin`.

    Raises
    ------
    ShapeError
        If there are fewer than four draws.

    Examples
    --------
    >>> from pyrox.diagnostics import split_gelman_rubin
    >>> split_gelman_rubin([[1.0, 2.0, 1.0, 5.0, 4.0, 5.0]]).round(4)
    np.float64(4.1633)

    References
    ----------
    .. [1] Gelman et al. (2013), Bayesian Data Analysis, third edition, section 11.4.
    """
    x = _draws(x, "split_gelman_rubin")
    if x.shape[1] < _MIN_DRAWS or not x.shape[0]:
        raise ShapeError(f"split_gelman_rubin needs at least {_MIN_DRAWS} draws of a chain, not the shape {x.shape}")
    return by_blocks(x, lambda block: _rhat(_Moments.of(_split(_scaled(block)))))


def rank_rhat_and_ess(x: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    r"""Compute rank-normalised R-hat and bulk effective sample size together.

    Draws of the split chains are replaced by :math:`z = \Phi^{-1}\big((r - 3/8) / (S + 1/4)\big)`, with the rank
    :math:`r` (mean rank for ties) among all :math:`S` draws: heavy tails do no harm. R-hat is the larger of those of
    :math:`z` and of the ranks of :math:`|x - \mathrm{median}|`, which sees chains of different scale.

    Parameters
    ----------
    x
        Draws of shape ``(chain, draw, *event)``.

    Returns
    -------
    R-hat and bulk effective sample size, each of shape ``event``; ArviZ calls them ``rhat(method="rank")`` and
    ``ess(method="bulk")``. Infinite draws are ranked like others. NaN draws, or fewer than four, give NaN. Of
    constant quantities R-hat is NaN, and the effective sample size the number of draws.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrox.diagnostics import rank_rhat_and_ess
    >>> x = np.random.default_rng(0).normal(size=(4, 1000))
    >>> rhat, ess = rank_rhat_and_ess(np.exp(5 * x))  # the same as that of x
    >>> print(f"{rhat:.3f} {ess:.0f}")
    1.001 3926

    References
    ----------
    .. [1] Vehtari et al. (2021), Rank-normalization, folding, and localization: an improved R-hat, Bayesian
       Analysis 16.
    """
    x = _draws(x, "rank_rhat_and_ess")
    if x.shape[1] < _MIN_DRAWS or not x.shape[0]:
        return np.full(x.shape[2:], np.nan)[()], np.full(x.shape[2:], np.nan)[()]
    both = by_blocks(x, _rank_statistics)
    return both[..., 0], both[..., 1]


def _floats(x: ArrayLike) -> np.ndarray:
    return np.asarray(x, dtype=np.float64)


def _draws(x: ArrayLike, name: str) -> np.ndarray:
    x = np.asarray(x)
    if x.ndim < 2:
        raise ShapeError(f"{name} needs draws of shape (chain, draw, ...), not {x.shape}; for one chain pass x[None]")
    return x


def by_blocks(x: np.ndarray, statistic: Statistic) -> np.ndarray:
    """Apply a statistic to contiguous blocks ``(element, chain, draw)``; gives the shape ``(*event, *statistic)``."""
    chains, draws, *event = x.shape
    flat = x.reshape(chains, draws, int(np.prod(event)))
    step = max(1, _BLOCK // max(1, chains * draws))
    np.empty(_KEPT_BYTES, np.uint8)  # freed at once, and never touched
    # At least one block, though it be empty, tells the shape of the statistic.
    starts = range(0, max(1, flat.shape[2]), step)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        blocks = (np.ascontiguousarray(np.moveaxis(flat[:, :, at : at + step], 2, 0), np.float64) for at in starts)
        found = np.concatenate([statistic(block) for block in blocks])
    return found.reshape((*event, *found.shape[1:]))[()]


def _scaled(x: np.ndarray) -> np.ndarray:
    """Shift and scale each element, which R-hat and ESS do not see, against cancellation and overflow."""
    x = x - x[:, :1, :1]
    # Zero stays zero: such an element is constant.
    peak = np.max(np.abs(x), axis=(1, 2), keepdims=True, initial=0.0)
    return np.divide(x, peak, out=x, where=peak != 0)


def _centred(x: np.ndarray) -> np.ndarray:
    # The mean of equal numbers may differ from them in the last digit; that of their differences is exactly zero.
    x = x - x[..., :1]
    return x - np.mean(x, axis=-1, keepdims=True)


def _split(x: np.ndarray) -> np.ndarray:
    """Halve the chains: ``(element, 2 chain, draw // 2)``."""
    half = x.shape[-1] // 2
    return np.concatenate([x[..., :half], x[..., x.shape[-1] - half :]], axis=-2)


class _Moments(NamedTuple):
    """Moments of blocks ``(element, chain, draw)``: centred chains, mean of their variances, variance of their means.

    Of what is constant the variances are exactly zero.
    """

    centred: np.ndarray
    within: np.ndarray
    between: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> "_Moments":
        first = x[..., :1]
        centred = x - first
        mean = np.mean(centred, axis=-1, keepdims=True)
        centred -= mean
        within = np.mean(np.einsum("ecd,ecd->ec", centred, centred), axis=-1) / (x.shape[-1] - 1)
        means = _centred((first + mean)[..., 0])
        return cls(centred, within, np.sum(means * means, axis=-1) / max(1, means.shape[-1] - 1))


def _rhat(moments: _Moments) -> np.ndarray:
    draws = moments.centred.shape[-1]
    return np.sqrt(moments.between / moments.within + (draws - 1) / draws)


def _effective(moments: _Moments) -> np.ndarray:
    """Estimate the effective sample size."""
    centred, within, between = moments
    _, chains, draws = centred.shape
    # The mean over chains may be taken before the transform back, which is linear.
    covariance = _correlate(np.mean(_power(centred), axis=1), draws)
    total = within * (draws - 1) / draws + between
    rho = 1 - (within[:, None] - covariance) / total[:, None]
    rho[:, 0] = 1.0
    size = chains * draws
    ess = size / np.maximum(_autocorrelation_time(rho), 1 / np.log10(size))
    ess[np.isnan(total)] = np.nan
    ess[total == 0] = size
    return ess


def _autocorrelation_time(rho: np.ndarray) -> np.ndarray:
    """Sum autocorrelations ``(element, lag)`` over Geyer's initial monotone sequence, as Stan and ArviZ do."""
    draws = rho.shape[1]
    last = max(0, (draws - 3) // 2)  # no pair beyond: the last lags hold nothing but noise
    even = rho[:, 0 : 2 * last + 1 : 2]
    pairs = even + rho[:, 1 : 2 * last + 2 : 2]
    # The sequence ends at the first pair that is not positive. Half of that pair's even lag is counted still, which
    # lessens the bias for antithetic chains.
    stops = ~(pairs > 0)
    stops[:, -1] = True
    end = np.argmax(stops, axis=1)
    before = np.arange(last + 1) < end[:, None]
    decreasing = np.minimum.accumulate(pairs, axis=1)
    at_end = np.take_along_axis(even, end[:, None], axis=1)[:, 0]
    pair_at_end = np.take_along_axis(pairs, end[:, None], axis=1)[:, 0]
    at_end = np.where(pair_at_end >= 0, at_end, np.maximum(at_end, 0.0))
    return -1 + 2 * np.sum(decreasing, axis=1, where=before) + at_end


def _power(centred: np.ndarray) -> np.ndarray:
    """Compute the power spectrum of series along the last axis, padded so that no lag wraps around."""
    spectrum = np.fft.rfft(centred, _fast_length(2 * centred.shape[-1]), axis=-1)
    return spectrum.real**2 + spectrum.imag**2


def _correlate(power: np.ndarray, draws: int) -> np.ndarray:
    return np.fft.irfft(power, _fast_length(2 * draws), axis=-1)[..., :draws] / draws


def _fast_length(least: int) -> int:
    """Find the smallest even length with factors 2, 3 and 5 alone, for which the transform is fast."""
    best = 1 << max(1, (least - 1).bit_length())
    five = 1
    while five < best:
        three = five
        while three < best:
            two = three << max(1, (-(-least // three) - 1).bit_length())
            best = min(best, two)
            three *= 3
        five *= 5
    return best


def _rank_statistics(x: np.ndarray) -> np.ndarray:
    """Give rank-normalised R-hat and bulk ESS ``(element, 2)`` of blocks ``(element, chain, draw)``."""
    x = _split(x)
    shape, size = x.shape, x.shape[1] * x.shape[2]
    flat = x.reshape(len(x), size)
    order = _flat_argsort(flat)
    ordered = np.take(flat, order)
    undefined = np.isnan(ordered[:, -1])  # NaN sorts last
    z = _Moments.of(_unsort(order, _normal_scores(ordered)).reshape(shape))
    median = (ordered[:, (size - 1) // 2] + ordered[:, size // 2]) / 2
    folded = np.abs(ordered - median[:, None])
    # Folding falls and then rises: the stable sort finds the two runs and merges them, at a fraction of the cost.
    inner = _flat_argsort(folded, kind="stable")
    scores = _normal_scores(np.take(folded, inner))
    z_folded = _Moments.of(_unsort(np.take(order, inner), scores).reshape(shape))
    # Two values of equal weight fold to one, which has no R-hat: the other alone counts then.
    rhat = np.fmax(_rhat(z), _rhat(z_folded))
    found = np.stack([rhat, _effective(z)], axis=-1)
    found[undefined] = np.nan
    return found


def rank_scores(x: np.ndarray) -> np.ndarray:
    """Replace each element of a block ``(element, chain, draw)`` by the normal quantiles of its ranks."""
    flat = x.reshape(len(x), -1)
    order = _flat_argsort(flat)
    return _unsort(order, _normal_scores(np.take(flat, order))).reshape(x.shape)


def _flat_argsort(rows: np.ndarray, kind: str = "quicksort") -> np.ndarray:
    """Sort each row; the indices are those of the flattened array, with which taking is faster than along an axis."""
    order = np.argsort(rows, axis=1, kind=kind)
    order += np.arange(len(rows))[:, None] * rows.shape[1]
    return order


def _unsort(order: np.ndarray, values: np.ndarray) -> np.ndarray:
    out = np.empty(values.size)
    out[order] = values
    return out


def _normal_scores(ordered: np.ndarray) -> np.ndarray:
    """Replace sorted values ``(element, S)`` by the normal quantiles of their ranks, ties by that of the mean rank."""
    size = ordered.shape[1]
    scores = _score_table(size)
    out = np.broadcast_to(scores[::2], ordered.shape).copy()
    tied = np.zeros(ordered.shape, bool)  # with the next one
    np.equal(ordered[:, 1:], ordered[:, :-1], out=tied[:, :-1])
    at = np.flatnonzero(tied)
    if at.size:
        # Each run of neighbours that are tied is a group, from ``first`` to ``final``.
        breaks = np.diff(at) > 1
        first, final = at[np.r_[True, breaks]], at[np.r_[breaks, True]] + 1
        lengths = final - first + 1
        members = np.repeat(first - np.cumsum(lengths) + lengths, lengths) + np.arange(np.sum(lengths))
        out.ravel()[members] = np.repeat(scores[first % size + final % size], lengths)
    return out


@lru_cache(maxsize=2)
def _score_table(size: int) -> np.ndarray:
    """Tabulate the normal quantiles of the ranks 1, 1.5, 2, …, ``size`` (Blom's approximation)."""
    lower = np.array([normal_quantile((1 + i / 2 - 3 / 8) / (size + 1 / 4)) for i in range(size - 1)])
    return np.concatenate([lower, [0.0], -lower[::-1]])


def normal_quantile(p: float) -> float:
    """Invert the normal distribution function below one half: Abramowitz and Stegun 26.2.23, then Halley's steps."""
    t = math.sqrt(-2 * math.log(p))
    x = (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))) - t
    for _ in range(2):  # from an error of 5e-4, each step cubes
        excess = (math.erfc(-x / math.sqrt(2)) / 2 - p) * math.sqrt(2 * math.pi) * math.exp(x * x / 2)
        x -= excess / (1 + x * excess / 2)
    return x
