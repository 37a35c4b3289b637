"""Test whether ranks are uniform: exact p-values and simultaneous bands of their distribution function.

Of N independent ranks among L draws, each 0, ..., L with the same probability, the number c_i of those below i has the
binomial distribution with probability i / (L + 1). A curve of counts is as odd as its oddest point, by the smaller of
the two binomial tails; how often uniform ranks have a point that odd follows from the counts being a Markov chain.
"""

import math
from functools import lru_cache

import numpy as np

from pyrox.errors import ShapeError
from pyrox.typing import ArrayLike

# No p-value below this one is told apart from zero: the sums of probabilities have no more digits.
LEAST_PVALUE = 1e-12
_NEGLIGIBLE = 1e-20  # a probability that changes no sum


def rank_pvalues(ranks: ArrayLike, num_draws: int) -> np.ndarray:
    r"""Test that ranks are uniform, by the oddest point of their distribution function.

    .. math:: p = P\big(\min_i t_i(C_i) \le \min_i t_i(c_i)\big), \quad
              t_i(c) = 2 \min\{P(C_i \le c), P(C_i \ge c)\}

    Parameters
    ----------
    ranks
        Whole numbers from 0 to ``num_draws``, shape ``(simulation, *event)``.
    num_draws
        Draws among which each truth was ranked.

    Returns
    -------
    The p-value of every element, shape ``event``; it is exact, and at least 1e-12.

    Raises
    ------
    ShapeError
        If there are no ranks.

    Examples
    --------
    >>> even = np.repeat(np.arange(20), 10)  # each rank ten times
    >>> rank_pvalues(even, 19).round(2)
    np.float64(1.0)
    >>> bool(rank_pvalues(even // 2, 19) < 1e-6)
    True

    References
    ----------
    .. [1] Säilynoja, Bürkner and Vehtari (2022), Graphical test for discrete uniformity and its applications in
       goodness-of-fit evaluation and multiple sample comparison, Statistics and Computing 32.
    """
    ranks = np.asarray(ranks)
    if ranks.ndim < 1 or not len(ranks):
        raise ShapeError(f"rank_pvalues needs ranks of shape (simulation, ...), not {ranks.shape}")
    tails = _tails(len(ranks), num_draws)
    flat = ranks.reshape(len(ranks), -1)
    oddest = [tails[np.arange(num_draws), _counts(column, num_draws)].min() for column in flat.T]
    found = {t: max(1.0 - _coverage(len(ranks), num_draws, t), LEAST_PVALUE) for t in set(oddest)}
    return np.array([found[t] for t in oddest]).reshape(ranks.shape[1:])[()]


def _counts(ranks: np.ndarray, num_draws: int) -> np.ndarray:
    """Count the ranks below 1, ..., ``num_draws``."""
    return np.cumsum(np.bincount(ranks, minlength=num_draws + 1))[:-1]


def rank_band(num_simulations: int, num_draws: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Give the band that the counts of uniform ranks leave anywhere with at most a probability.

    Parameters
    ----------
    num_simulations, num_draws
        Number of ranks, and of draws among which each was found.
    level
        The probability.

    Returns
    -------
    The least and the greatest number of ranks below 1, ..., ``num_draws`` inside the band.

    Examples
    --------
    >>> low, high = rank_band(100, 3, 0.05)
    >>> low, high
    (array([15, 39, 65]), array([35, 61, 84]))
    """
    tails = _tails(num_simulations, num_draws)
    candidates = np.unique(tails[tails < level])
    low, high = 0, len(candidates)  # the widest band that is still left with at most this probability
    while low < high:
        middle = (low + high) // 2
        if 1.0 - _coverage(num_simulations, num_draws, candidates[middle]) <= level:
            low = middle + 1
        else:
            high = middle
    inside = tails > (candidates[low - 1] if low else -1.0)
    return inside.argmax(axis=1), num_simulations - inside[:, ::-1].argmax(axis=1)


@lru_cache(maxsize=8)
def _tails(num_simulations: int, num_draws: int) -> np.ndarray:
    """Tabulate twice the smaller tail probability of each count ``(num_draws, num_simulations + 1)``."""
    counts = np.arange(num_simulations + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
    chances = np.arange(1, num_draws + 1)[:, None] / (num_draws + 1)
    log_pmf = factorials[-1] - factorials - factorials[::-1]
    pmf = np.exp(log_pmf + counts * np.log(chances) + counts[::-1] * np.log1p(-chances))
    below, above = np.cumsum(pmf, axis=1), np.cumsum(pmf[:, ::-1], axis=1)[:, ::-1]
    return np.minimum(2 * np.minimum(below, above), 1.0)


def _coverage(num_simulations: int, num_draws: int, odd: float) -> float:
    """Give the probability that uniform ranks have no point as odd as this.

    Ranks of each value come as independent Poisson numbers, given their sum: each step adds one of them.
    """
    inside = _tails(num_simulations, num_draws) > odd
    step = _poisson(num_simulations / (num_draws + 1), num_simulations)
    step = step[: 1 + np.flatnonzero(step > _NEGLIGIBLE).max()]
    chances = np.zeros(num_simulations + 1)
    chances[0] = 1.0
    for allowed in (*inside, np.arange(num_simulations + 1) == num_simulations):
        chances = np.where(allowed, np.convolve(chances, step)[: num_simulations + 1], 0.0)
    return float(chances[-1] / _poisson(num_simulations, num_simulations)[-1])


@lru_cache(maxsize=8)
def _poisson(mean: float, most: int) -> np.ndarray:
    numbers = np.arange(most + 1)
    return np.exp(numbers * math.log(mean) - mean - np.concatenate([[0.0], np.cumsum(np.log(numbers[1:]))]))
