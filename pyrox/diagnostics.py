"""Judge a run: divergences, tree depth, R-hat and effective sample sizes; summaries of draws."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from pyrox.errors import ShapeError
from pyrox.mixing import (
    autocorrelation,
    autocovariance,
    effective_sample_size,
    gelman_rubin,
    rank_rhat_and_ess,
    split_gelman_rubin,
)
from pyrox.report import Finding, Report, diagnose, examine

__all__ = [
    "ConvergenceWarning", "Finding", "Report", "autocorrelation", "autocovariance", "diagnose", "effective_sample_size",
    "examine", "gelman_rubin", "hpdi", "print_summary", "rank_rhat_and_ess", "split_gelman_rubin", "summary",
    "warn_all",
]  # fmt: skip


class ConvergenceWarning(UserWarning):
    """Draws that should not be trusted yet.

    Examples
    --------
    >>> import warnings
    >>> import pyrox as px
    >>> with px.Model(), warnings.catch_warnings():
    ...     x = px.Normal("x")
    ...     warnings.simplefilter("ignore", px.ConvergenceWarning)  # or "error"
    ...     idata = px.sample(10, tune=10, progressbar=False)
    >>> idata.posterior.sizes["draw"]
    10
    """


def warn_all(findings: list[str], stacklevel: int = 2) -> None:
    """Issue each finding as a warning, at the line that called the caller.

    Parameters
    ----------
    findings
        What to say.
    stacklevel
        How many callers up the line to blame is.

    Examples
    --------
    >>> from pyrox.diagnostics import warn_all
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_all(["R-hat of x is 1.4"])
    >>> caught[0].category.__name__
    'ConvergenceWarning'
    """
    for sentence in findings:
        warnings.warn(sentence, ConvergenceWarning, stacklevel=stacklevel + 1)


def hpdi(x: ArrayLike, prob: float = 0.9, axis: int = 0) -> np.ndarray:
    r"""Find the highest posterior density interval: the narrowest that holds a share of the draws.

    .. math:: [x_{(i)}, x_{(i + k)}], \qquad i = \arg\min_j x_{(j + k)} - x_{(j)}, \qquad
              k = \lfloor N \cdot \mathrm{prob} \rfloor

    over the sorted draws :math:`x_{(0)} \le \dots \le x_{(N-1)}`. Of several equally narrow ones the lowest counts.

    Parameters
    ----------
    x
        Draws, of any shape with at least one draw along ``axis``.
    prob
        Probability mass of the interval, above 0 and at most 1.
    axis
        The axis of the draws.

    Returns
    -------
    The shape of ``x``, with lower and upper bound in place of the draws along ``axis``; NaN if a draw is NaN.

    Raises
    ------
    ValueError
        If ``prob`` is no probability.
    ShapeError
        If there are no draws.

    Examples
    --------
    >>> from pyrox.diagnostics import hpdi
    >>> hpdi([0.0, 5.0, 5.1, 5.2, 5.3, 9.0], prob=0.6)
    array([5. , 5.3])

    References
    ----------
    .. [1] Chen and Shao (1999), Monte Carlo estimation of Bayesian credible and HPD intervals, Journal of
       Computational and Graphical Statistics 8.
    """
    x = np.asarray(x)
    if not x.ndim or not x.shape[axis]:
        raise ShapeError(f"hpdi needs at least one draw along axis {axis}, not the shape {x.shape}")
    return np.moveaxis(_narrowest(np.sort(np.moveaxis(x, axis, 0), axis=0), _probability(prob)), 0, axis)


def _probability(prob: float) -> float:
    if not 0 < prob <= 1:
        raise ValueError(f"prob is the mass of an interval, above 0 and at most 1, not {prob}")
    return prob


def _narrowest(ordered: np.ndarray, prob: float) -> np.ndarray:
    """Find the narrowest interval of draws sorted along the first axis; gives ``(2, *event)``."""
    draws = len(ordered)
    steps = min(int(prob * draws), draws - 1)
    # Whole numbers and booleans are subtracted as floats: their differences may not fit their type.
    lower, upper = ordered[: draws - steps].astype(np.float64), ordered[steps:].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        widths = upper - lower
    widths[np.isnan(widths)] = np.inf  # between equal infinities, or beside a NaN
    at = np.argmin(widths, axis=0)[None]
    bounds = np.concatenate([np.take_along_axis(ordered, i, axis=0) for i in (at, at + steps)])
    return np.where(ordered[-1:] == ordered[-1:], bounds, np.nan) if bounds.dtype.kind == "f" else bounds


def summary(samples: Any, prob: float = 0.9, group_by_chain: bool = True) -> dict[str, dict[str, np.ndarray]]:  # noqa: FBT001, FBT002
    r"""Summarise draws: mean, deviation, median, narrowest interval, effective sample size and R-hat.

    Parameters
    ----------
    samples
        Draws: a dict of arrays of shape ``(chain, draw, *event)``, or any pytree of them, or one array.
    prob
        Probability mass of the interval, above 0 and at most 1.
    group_by_chain
        False if the arrays have the shape ``(draw, *event)``, of one chain or of chains in a row.

    Returns
    -------
    For each array, under its name, a dict of arrays of shape ``event``: ``mean``, ``std``, ``median``, the bounds
    of :func:`hpdi` under names such as ``5.0%`` and ``95.0%``, ``n_eff`` by :func:`effective_sample_size` and
    ``r_hat`` by :func:`split_gelman_rubin`. Names inside nested collections are joined by dots; what has no name is
    ``Param:0``, ``Param:1``, … R-hat of fewer than four draws, and the deviation of one, are NaN. Arrays without
    draws are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrox.diagnostics import summary
    >>> rng = np.random.default_rng(0)
    >>> table = summary({"mu": rng.normal(3.0, 1.0, size=(4, 500))})
    >>> {name: round(float(value), 2) for name, value in table["mu"].items()}
    {'mean': 2.97, 'std': 1.0, 'median': 2.97, '5.0%': 1.42, '95.0%': 4.64, 'n_eff': 1968.46, 'r_hat': 1.0}
    """
    _probability(prob)
    table = {}
    for name, x in _named(samples):
        least = 2 if group_by_chain else 1
        if x.ndim < least:
            expected = "(chain, draw, ...)" if group_by_chain else "(draw, ...)"
            raise ShapeError(f"{name} must have the shape {expected}, not {x.shape}")
        x = x if group_by_chain else x[None]
        if x.shape[0] * x.shape[1]:
            table[name] = _columns(x, prob)
    return table


def _columns(x: np.ndarray, prob: float) -> dict[str, np.ndarray]:
    chains, draws, *event = x.shape
    flat = x.reshape(chains * draws, *event)
    ordered = np.sort(flat, axis=0)
    size = len(flat)
    with np.errstate(invalid="ignore", over="ignore"):
        middle = (ordered[(size - 1) // 2].astype(np.float64) + ordered[size // 2]) / 2
        lower, upper = _narrowest(ordered, prob)
        return {
            "mean": np.mean(flat, axis=0, dtype=np.float64),
            "std": np.std(flat, axis=0, dtype=np.float64, ddof=1) if size > 1 else np.full(event, np.nan),
            "median": np.where(ordered[-1] == ordered[-1], middle, np.nan),  # NaN sorts last
            f"{50 * (1 - prob):.1f}%": lower,
            f"{50 * (1 + prob):.1f}%": upper,
            "n_eff": effective_sample_size(x),
            "r_hat": split_gelman_rubin(x) if draws >= 4 else np.full(event, np.nan),
        }


def _named(samples: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Give the arrays of a collection with their names, those of a dict in its own order."""
    if isinstance(samples, Mapping):
        for name, value in samples.items():
            for path, leaf in jax.tree_util.tree_leaves_with_path(value):
                yield ".".join([str(name), *map(_key_name, path)]), np.asarray(leaf)
        return
    for i, (path, leaf) in enumerate(jax.tree_util.tree_leaves_with_path(samples)):
        named = path and isinstance(path[0], jax.tree_util.GetAttrKey)
        yield ".".join(map(_key_name, path)) if named else f"Param:{i}", np.asarray(leaf)


def _key_name(key: Any) -> str:
    return jax.tree_util.keystr((key,), simple=True)


def print_summary(samples: Any, prob: float = 0.9, group_by_chain: bool = True) -> None:  # noqa: FBT001, FBT002
    r"""Print the table of :func:`summary`, one line for each number.

    Parameters
    ----------
    samples
        Draws: a dict of arrays of shape ``(chain, draw, *event)``, or any pytree of them, or one array.
    prob
        Probability mass of the interval, above 0 and at most 1.
    group_by_chain
        False if the arrays have the shape ``(draw, *event)``, of one chain or of chains in a row.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrox.diagnostics import print_summary
    >>> rng = np.random.default_rng(0)
    >>> print_summary({"mu": rng.normal(3.0, 1.0, size=(4, 500)), "tau": rng.gamma(2.0, size=(4, 500, 2))})
                mean       std    median      5.0%     95.0%     n_eff     r_hat
    mu          2.97      1.00      2.97      1.42      4.64   1968.46      1.00
    tau[0]      2.05      1.44      1.72      0.10      3.96   1991.33      1.00
    tau[1]      2.02      1.44      1.67      0.04      3.96   2031.37      1.00
    """
    rows = {}
    for name, columns in summary(samples, prob, group_by_chain).items():
        for index in np.ndindex(columns["mean"].shape):
            label = f"{name}[{','.join(map(str, index))}]" if index else name
            rows[label] = _cells({header: float(values[index]) for header, values in columns.items()})
    if not rows:
        print("no draws")
        return
    label_width = max(map(len, rows))
    headers = list(next(iter(rows.values())))
    width = max(10, 1 + max(len(cell) for row in rows.values() for cell in row.values()))
    print(" " * label_width + "".join(f"{header:>{width}}" for header in headers))
    for label, row in rows.items():
        print(f"{label:<{label_width}}" + "".join(f"{cell:>{width}}" for cell in row.values()))


def _cells(row: dict[str, float]) -> dict[str, str]:
    """Write with two decimals; the moments of what is too small or large for it with three digits and an exponent."""
    moments = [abs(value) for name, value in row.items() if name not in ("n_eff", "r_hat") and np.isfinite(value)]
    plain = 0.01 <= max(moments, default=0.0) < 1e7 or not any(moments)
    style = {name: ".2f" if plain or name in ("n_eff", "r_hat") else ".2e" for name in row}
    return {name: f"{value:{style[name]}}" for name, value in row.items()}
