"""Choose what to look at in draws that are too many for memory: the elements that mix worst."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyrox.mixing import rank_rhat_and_ess

# Numbers that may be in memory at a time.
_NUMBERS = 2**22


def screen(posterior: Any) -> Any:
    """Leave out of a large posterior what mixes well, reading it in blocks.

    Parameters
    ----------
    posterior
        Dataset of the draws, with dims ``chain`` and ``draw``, which may lie in a file.

    Returns
    -------
    The dataset, or one with fewer labels along long dims: those of the largest R-hat and of the smallest effective
    sample sizes, so that the worst of all are the worst of these.
    """
    worst: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for values in posterior.data_vars.values():
        if values.size > _NUMBERS and values.ndim > 2:
            dim = max(values.dims[2:], key=lambda dim: values.sizes[dim])
            worst.setdefault(dim, []).append(_score(values, dim))
    for dim, scores in worst.items():
        rhats, sizes = (np.max(part, axis=0) for part in zip(*scores, strict=True))
        with_dim = [values for values in posterior.data_vars.values() if dim in values.dims]
        numbers = sum(values.size for values in with_dim) // posterior.sizes[dim]
        half = max(1, _NUMBERS // (2 * numbers))
        kept = np.union1d(np.argsort(rhats)[-half:], np.argsort(sizes)[-half:])
        posterior = posterior.isel({dim: kept})
    return posterior


def _score(values: Any, dim: str) -> tuple[np.ndarray, np.ndarray]:
    """Give the largest R-hat and the largest negative effective sample size along a dim."""
    rhats, sizes = [], []
    for block in _blocks(values.transpose("chain", "draw", dim, ...), dim):
        rhat, ess = rank_rhat_and_ess(block)
        rhats.append(_largest(rhat))
        sizes.append(_largest(-ess))
    return np.concatenate(rhats), np.concatenate(sizes)


def _largest(statistic: np.ndarray) -> np.ndarray:
    known = np.where(np.isnan(statistic), -np.inf, statistic)  # constants have no R-hat
    return known.reshape(len(known), -1).max(axis=1)


def _blocks(values: Any, dim: str) -> Iterator[np.ndarray]:
    length = values.sizes[dim]
    step = max(1, _NUMBERS * length // values.size)
    for begin in range(0, length, step):
        yield values.isel({dim: slice(begin, begin + step)}).values
