"""Callbacks of ``px.fit``: functions of the approximation so far, the losses and the number of steps.

They are called at the end of every block of steps, 50 to 500 of them. One that raises StopIteration ends the fit.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["CheckParametersConvergence", "Tracker"]


def _relative(new: np.ndarray, old: np.ndarray) -> np.ndarray:
    return (np.abs(new - old) + 1e-6) / (np.abs(old) + 1e-6)


def _absolute(new: np.ndarray, old: np.ndarray) -> np.ndarray:
    return np.abs(new - old)


_DIFFERENCES = {"relative": _relative, "absolute": _absolute}


class CheckParametersConvergence:
    """End a fit when the parameters of the approximation hardly move.

    ``px.fit(early_stopping=True)``, the default, looks at the losses instead, and needs no tolerance.

    Parameters
    ----------
    every
        Fewest steps between two looks.
    tolerance
        The norm of the differences below which the fit ends.
    diff
        ``"relative"`` or ``"absolute"`` differences.
    ord
        Which norm, as in ``numpy.linalg.norm``.

    Examples
    --------
    >>> import pyrox as px
    >>> check = px.callbacks.CheckParametersConvergence(tolerance=0.05)
    >>> with px.Model():
    ...     x = px.Normal("x", 1.0, 0.5)
    ...     approximation = px.fit(50_000, callbacks=[check], random_seed=1, progressbar=False)
    >>> len(approximation.hist) < 50_000
    True
    """

    def __init__(
        self, every: int = 100, tolerance: float = 1e-3, diff: str = "relative", ord: Any = np.inf
    ) -> None:
        if diff not in _DIFFERENCES:
            raise ValueError(f"diff is 'relative' or 'absolute'; met {diff!r}")
        self.every, self.tolerance, self.diff, self.ord = every, tolerance, diff, ord
        self._last: tuple[int, np.ndarray] | None = None

    def __call__(self, approx: Any, losses: np.ndarray, i: int) -> None:
        """Look at the parameters.

        Raises
        ------
        StopIteration
            If they hardly moved.
        """
        if self._last is not None and i - self._last[0] < self.every:
            return
        now = np.concatenate([np.ravel(x) for x in approx.params.values()])
        last, self._last = self._last, (i, now)
        if last is not None and np.linalg.norm(_DIFFERENCES[self.diff](now, last[1]), self.ord) < self.tolerance:
            raise StopIteration(f"the parameters had converged after {i} steps")


class Tracker:
    """Keep what functions give in the course of a fit, in lists under their names.

    Parameters
    ----------
    **functions
        Each of the approximation, the losses and the number of steps; or of the approximation alone, or of nothing.

    Examples
    --------
    >>> import pyrox as px
    >>> tracker = px.callbacks.Tracker(loss=lambda approx, losses, i: losses[-1])
    >>> with px.Model():
    ...     x = px.Normal("x")
    ...     approximation = px.fit(1000, callbacks=[tracker], random_seed=1, progressbar=False)
    >>> len(tracker["loss"]) > 1
    True
    """

    def __init__(self, **functions: Callable) -> None:
        self._functions, self.hist = functions, {name: [] for name in functions}

    def __getitem__(self, name: str) -> list:
        return self.hist[name]

    def __call__(self, approx: Any, losses: np.ndarray, i: int) -> None:
        """Call the functions."""
        for name, function in self._functions.items():
            count = len(inspect.signature(function).parameters)
            self.hist[name].append(function(*(approx, losses, i)[:count]))
