"""Pareto-smoothed importance sampling: weights, and how far they can be trusted."""

from typing import NamedTuple

import numpy as np

from pyrox.typing import Key

GOOD, USABLE = 0.5, 0.7


class Smoothed(NamedTuple):
    """Importance weights.

    Attributes
    ----------
    log_weights
        Logs of normalised weights.
    khat
        Shape of the tail of the raw weights: of k > 1/2 the variance is infinite, above 0.7 they are no use.
    """

    log_weights: np.ndarray
    khat: float


def fit_pareto(excess: np.ndarray) -> tuple[float, float]:
    r"""Fit a generalised Pareto distribution to positive numbers; give its shape and scale.

    Parameters
    ----------
    excess
        The numbers, sorted.

    References
    ----------
    .. [1] Zhang and Stephens (2009), A new and efficient estimation method for the generalized Pareto distribution.
    """
    n = excess.size
    count = 30 + int(n**0.5)
    quartile = excess[int(n / 4 + 0.5) - 1]
    theta = 1 / excess[-1] + (1 - np.sqrt(count / (np.arange(1, count + 1) - 0.5))) / (3 * quartile)
    shape = np.mean(np.log1p(-theta[:, None] * excess[None, :]), axis=1)
    profile = n * (np.log(-theta / shape) - shape - 1)
    weight = 1 / np.sum(np.exp(np.clip(profile[None, :] - profile[:, None], None, 700)), axis=1)
    best = np.sum(theta * weight) / np.sum(weight)
    k = np.mean(np.log1p(-best * excess))
    scale = -k / best
    return (n * k + 5) / (n + 10), scale  # a weak prior, worth ten numbers at 1/2


def smooth(log_ratios: np.ndarray) -> Smoothed:
    r"""Smooth importance ratios :math:`p(x_s) / q(x_s)`, and give their tail's shape.

    The largest ones are replaced by quantiles of the Pareto distribution that fits them.

    Parameters
    ----------
    log_ratios
        Logs of the ratios of draws from q; those of -inf count as zero.

    Raises
    ------
    ValueError
        If none is finite.

    References
    ----------
    .. [1] Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling.
    """
    raw = np.asarray(log_ratios, float)
    raw = np.where(np.isnan(raw), -np.inf, raw)
    if not np.isfinite(raw).any():
        raise ValueError("no importance ratio is finite: the approximation lies where the density is zero")
    logs, n = raw - raw.max(), raw.size
    tail = int(min(0.2 * n, 3 * n**0.5))
    order = np.argsort(logs)
    khat = np.inf
    if tail >= 5:
        cut = logs[order[-tail - 1]]
        excess = np.exp(logs[order[-tail:]]) - np.exp(cut)
        if excess[-1] <= 1e-6:
            khat = -np.inf  # all the same but for rounding: the approximation is exact
        elif np.isfinite(cut) and excess[0] > 0:
            khat, scale = fit_pareto(excess)
            p = (np.arange(tail) + 0.5) / tail
            ideal = -scale * np.log1p(-p) if abs(khat) < 1e-12 else scale * np.expm1(-khat * np.log1p(-p)) / khat
            logs[order[-tail:]] = np.minimum(np.log(np.exp(cut) + ideal), 0.0)
    logs = logs - np.logaddexp.reduce(logs)
    return Smoothed(logs, float(khat))


def resample(rng: np.random.Generator, log_weights: np.ndarray, count: int) -> np.ndarray:
    """Draw indices with probabilities in proportion to weights."""
    weights = np.exp(log_weights - np.max(log_weights))
    return rng.choice(log_weights.size, size=count, p=weights / weights.sum())


def verdict(khat: float) -> str:
    """Say in plain words what a tail's shape means."""
    told = f"Pareto k-hat = {khat:.2f}" if np.isfinite(khat) else "Pareto k-hat is below 0" if khat < 0 else "no k-hat"
    if khat <= GOOD:
        return f"{told}: good, the approximation is close to the posterior"
    if khat <= USABLE:
        return f"{told}: usable, means are about right; intervals may be too narrow"
    return f"{told}: not good, the approximation misses the posterior; use px.sample, or a richer method"


def as_generator(key: Key) -> np.random.Generator:
    """Make NumPy's random numbers follow from a key."""
    from jax.random import key_data

    return np.random.default_rng(np.asarray(key_data(key)).ravel())
