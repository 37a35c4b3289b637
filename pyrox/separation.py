"""What sets some draws apart from others: by rank, with the autocorrelation of the chains counted in."""

import numpy as np

from pyrox.mixing import by_blocks, effective_sample_size, rank_scores


def rotation_scores(x: np.ndarray, series: np.ndarray) -> np.ndarray:
    r"""Measure how closely each quantity goes with a series, against all rotations of that series.

    .. math:: z = \frac{S - \mathrm{E} S}{\sqrt{\mathrm{Var} S}}, \qquad
              S = \sum_c w_c \sum_n s_{c, n}\, d_{c, n}

    with the normal scores :math:`s` of the quantity and the series :math:`d`, which could as well have begun at any
    other draw of its chain: mean and variance are those over independent rotations within the chains. Rotations keep
    the autocorrelation of both, so that a slow chain is no false alarm, and a chain that differs from others as a
    whole is none either. If the two are independent, z is about standard normal. The weight :math:`w` of a chain is
    the variance that independent draws would give its sum, over the one it has: chains in which the series comes in
    a few long stretches tell little, and must not drown the others.

    Parameters
    ----------
    x
        Draws of shape ``(chain, draw, *event)``.
    series
        Shape ``(chain, draw)``: which draws diverged, or the values of another quantity.

    Returns
    -------
    Shape ``(*event, 2)``: z of the values, positive where they are high with the series, and z of their distances from
    the median. What is constant or NaN gives NaN.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(4, 500, 2))
    >>> z = rotation_scores(x, x[..., 0] < -1.5)
    >>> bool(z[0, 0] < -10), bool(abs(z[1, 0]) < 4)
    (True, True)

    References
    ----------
    .. [1] Lancaster et al. (2018), Surrogate data for hypothesis testing of physical systems, Physics Reports 748.
    """
    draws = x.shape[1]
    target = series - np.mean(series, axis=1, keepdims=True)
    power = np.abs(np.fft.fft(target, axis=1)) ** 2

    def statistic(block: np.ndarray) -> np.ndarray:
        found = np.empty((len(block), 2))
        middle = np.median(block, axis=(1, 2), keepdims=True)
        for column, values in enumerate((block, np.abs(block - middle))):
            scores = rank_scores(values)
            scores -= np.mean(scores, axis=2, keepdims=True)
            sums = np.einsum("ecd,cd->ec", scores, target)
            # The variance over the rotations of one chain is a sum over frequencies; chains rotate independently.
            variance = np.sum(np.abs(np.fft.fft(scores, axis=2)) ** 2 * power, axis=2) / draws**2
            told = variance > 1e-12 * draws
            independent = np.sum(scores**2, axis=2) * np.sum(target**2, axis=1) / draws
            weights = np.where(told, independent / np.where(told, variance, 1.0), 0.0)
            deviation = np.sqrt(np.sum(weights**2 * variance, axis=1))
            known = told.any(axis=1)
            found[:, column] = np.where(known, np.sum(weights * sums, axis=1) / np.where(known, deviation, 1.0), np.nan)
        found[np.isnan(block).any(axis=(1, 2))] = np.nan
        return found

    return by_blocks(np.asarray(x, np.float64), statistic)


def odd_chains(x: np.ndarray, limit: float) -> tuple[int, ...]:
    """Name the chains that stand apart from the rest, by the widest gap between the means of the ranks.

    Parameters
    ----------
    x
        Draws of one quantity, shape ``(chain, draw)``.
    limit
        Standard errors that a gap must reach. They count the autocorrelation, and the spread of a chain's halves.

    Returns
    -------
    Numbers of the chains on the side with fewer of them, of all chains if both have as many; empty if no gap is wide.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(4, 200))
    >>> odd_chains(x, 5.0)
    ()
    >>> x[2] += 3
    >>> odd_chains(x, 5.0)
    (2,)
    """
    chains, draws = x.shape
    scores = rank_scores(np.asarray(x, np.float64)[None])[0]
    means = scores.mean(axis=1)
    sizes = np.array([effective_sample_size(chain[None]) for chain in scores])
    halves = scores[:, : draws // 2].mean(axis=1) - scores[:, draws - draws // 2 :].mean(axis=1)
    errors = np.sqrt(scores.var(axis=1) / np.maximum(sizes, 1.0) + (halves / 2) ** 2)
    order = np.argsort(means)
    ordered, ordered_errors = means[order], errors[order]
    gaps = np.diff(ordered) / np.maximum(np.hypot(ordered_errors[1:], ordered_errors[:-1]), 1e-12)
    # Of gaps that all count, the widest in the ranks themselves splits best.
    candidates = np.where(gaps > limit, np.diff(ordered), 0.0)
    if not np.any(candidates > 0):
        return ()
    at = int(np.argmax(candidates)) + 1
    low, high = order[:at], order[at:]
    few = low if len(low) < len(high) else high if len(high) < len(low) else np.arange(chains)
    return tuple(sorted(int(c) for c in few))


def find_repeats(variables: list[np.ndarray]) -> np.ndarray:
    """Tell which draws repeat the one before, in all variables.

    Parameters
    ----------
    variables
        Draws, each of shape ``(chain, draw, *event)``.

    Returns
    -------
    Shape ``(chain, draw)``; the first draw of a chain repeats none.

    Examples
    --------
    >>> find_repeats([np.array([[1.0, 2.0, 2.0, 3.0]])])
    array([[False, False,  True, False]])
    """
    repeats = np.ones(variables[0].shape[:2], bool)
    repeats[:, :1] = False
    for x in variables:
        if not repeats.any():
            break
        same = (x[:, 1:] == x[:, :-1]) | (np.isnan(x[:, 1:]) & np.isnan(x[:, :-1]))
        repeats[:, 1:] &= same.reshape(*same.shape[:2], -1).all(axis=2)
    return repeats


def longest_rest(repeats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the longest run of draws in which nothing moves.

    Parameters
    ----------
    repeats
        Which draws repeat the one before, shape ``(chain, draw)``.

    Returns
    -------
    For each chain the number of such draws in a row, and the draw at which they begin.

    Examples
    --------
    >>> longest_rest(find_repeats([np.array([[1.0, 2.0, 2.0, 2.0, 3.0]])]))
    (array([2]), array([2]))
    """
    lengths, begins = np.zeros((2, len(repeats)), int)
    for chain, row in enumerate(repeats):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]])))
        runs = edges[1::2] - edges[::2]
        if runs.size:
            lengths[chain], begins[chain] = runs.max(), edges[::2][runs.argmax()]
    return lengths, begins


def any_while_resting(marks: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    """Tell of each draw whether it, or one that repeats it, is marked.

    Parameters
    ----------
    marks
        Which draws are marked, shape ``(chain, draw)``.
    repeats
        Which draws repeat the one before, of the same shape.

    Returns
    -------
    Shape ``(chain, draw)``: the same for all draws at one place.

    Examples
    --------
    >>> marks = np.array([[False, False, True, False]])
    >>> any_while_resting(marks, np.array([[False, True, True, False]]))
    array([[ True,  True,  True, False]])
    """
    places = np.cumsum(np.pad(~repeats[:, 1:], ((0, 0), (1, 0)), constant_values=True).ravel()) - 1
    return (np.bincount(places, weights=marks.ravel()) > 0)[places].reshape(marks.shape)


def energy_fraction(energy: np.ndarray) -> np.ndarray:
    r"""Compute the energy Bayesian fraction of missing information of each chain.

    .. math:: \mathrm{BFMI} = \frac{\sum_n (E_n - E_{n-1})^2}{\sum_n (E_n - \bar E)^2}

    Parameters
    ----------
    energy
        Shape ``(chain, draw)``.

    Returns
    -------
    Shape ``(chain,)``; about one where momenta reach all energies at once. NaN for a chain of constant energy.

    Examples
    --------
    >>> energy_fraction(np.array([[1.0, 3.0, 2.0, 4.0]]))
    array([1.8])

    References
    ----------
    .. [1] Betancourt (2016), Diagnosing suboptimal cotangent disintegrations in Hamiltonian Monte Carlo,
       arXiv:1604.00695.
    """
    spread = energy - np.mean(energy, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sum(np.diff(energy, axis=1) ** 2, axis=1) / np.sum(spread**2, axis=1)
