"""Tell from the losses alone whether an optimization still gets anywhere."""

import numpy as np

# One-sided level of each test, as a normal quantile; so many tests in a row must agree.
_QUANTILE = 1.645
_AGREEING = 2


class Plateau:
    """A test at the end of every block: is the loss lower over the last third of the steps than over the third before.

    Losses are noisy, and independent from step to step. Their variance is taken from differences of neighbours, which
    a trend does not touch. The optimization has arrived when an improvement cannot be told from noise at the 5 % level,
    or is known to be smaller than ``tolerance``, twice in a row.

    Parameters
    ----------
    block
        Number of steps between two tests.
    tolerance
        Improvement, in nats over the last third, that does not count.
    """

    def __init__(self, block: int, tolerance: float = 1e-3) -> None:
        self._block, self._tolerance = block, tolerance
        self._agreeing = 0

    def test(self, losses: np.ndarray) -> bool:
        """Look at all losses since the step size last changed; tell whether it is time to stop."""
        losses = losses[np.isfinite(losses)]
        width = max(2 * self._block, len(losses) // 3)
        if len(losses) < 2 * width:
            return False
        older, newer = losses[-2 * width : -width], losses[-width:]
        variance = np.mean(np.diff(losses[-2 * width :]) ** 2) / 2
        error = np.sqrt(2 * variance / width)
        gain = older.mean() - newer.mean()
        arrived = gain <= _QUANTILE * error or gain + _QUANTILE * error < self._tolerance
        self._agreeing = self._agreeing + 1 if arrived else 0
        return self._agreeing >= _AGREEING

    def restart(self) -> None:
        """Forget what was seen: the step size has changed."""
        self._agreeing = 0
