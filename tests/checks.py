"""Test random numbers at one false-alarm rate for the whole suite."""

from collections.abc import Callable

import numpy as np
from scipy import stats

# The chance that a run of the whole suite raises one false alarm, and a bound on how many comparisons it makes.
SUITE_LEVEL = 1e-3
NUM_COMPARISONS = 4000
LEVEL = SUITE_LEVEL / NUM_COMPARISONS


def assert_mean(samples: np.ndarray, truth: np.ndarray) -> None:
    """Test E[f] = truth, two-sided; ``samples`` has shape (independent, *event): draws, or means of chains."""
    samples, truth = np.asarray(samples, float), np.asarray(truth, float)
    count = len(samples)
    error = samples.std(axis=0, ddof=1) / np.sqrt(count)
    apart = np.abs(samples.mean(axis=0) - truth)
    limit = stats.t.isf(LEVEL / (2 * max(1, truth.size)), df=count - 1)
    # What never varies must be equal up to rounding.
    bad = apart > limit * error + 1e-9 * (1 + np.abs(truth))
    assert not np.any(bad), f"mean {samples.mean(axis=0)} is {np.max(apart / error):.1f} standard errors from {truth}"


def assert_distribution(samples: np.ndarray, cdf: Callable[[np.ndarray], np.ndarray]) -> None:
    """Test that real draws follow a continuous distribution function (Kolmogorov-Smirnov)."""
    result = stats.kstest(np.asarray(samples, float).ravel(), lambda x: np.asarray(cdf(x), float))
    assert result.pvalue > LEVEL, f"draws do not follow the cdf: KS distance {result.statistic:.4f}"


def assert_counts(samples: np.ndarray, values: np.ndarray, probabilities: np.ndarray, fewest: float = 20.0) -> None:
    """Test that draws follow the probabilities of whole numbers (chi-square; rare values are pooled)."""
    samples = np.asarray(samples).ravel()
    expected = np.asarray(probabilities, float) * samples.size
    observed = np.asarray([np.count_nonzero(samples == v) for v in values], float)
    common = expected >= fewest
    rest = samples.size - expected[common].sum()
    expected = np.append(expected[common], max(rest, 0.0))
    observed = np.append(observed[common], samples.size - observed[common].sum())
    if expected[-1] < fewest:  # too little left over for a cell of its own
        tail = stats.binom.sf(observed[-1] - 1, samples.size, min(1.0, max(expected[-1], 1e-9) / samples.size))
        assert tail > LEVEL, f"{observed[-1]:.0f} rare draws where {expected[-1]:.2g} were expected"
        expected, observed = expected[:-1], observed[:-1]
    if expected.size > 1:
        statistic = np.sum((observed - expected) ** 2 / expected)
        pvalue = stats.chi2.sf(statistic, expected.size - 1)
        assert pvalue > LEVEL, f"draws do not follow the probabilities: chi-square {statistic:.1f}, p = {pvalue:.1e}"
