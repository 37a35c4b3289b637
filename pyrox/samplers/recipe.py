"""What a chain is made of: its kernel, its metric, and what it learns."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from pyrox.samplers.adaptation import Adapter, DualAveraging, FixedStepSize
from pyrox.samplers.directions import WINDOW
from pyrox.samplers.hmc import HMCKernel
from pyrox.samplers.kernel import Kernel
from pyrox.samplers.length_adaptation import Repetition, TrajectoryLength
from pyrox.samplers.metric_adaptation import (
    FirstScales,
    FisherDiagonal,
    FisherDirection,
    FixedMetric,
    WelfordWindows,
)
from pyrox.samplers.metrics import CustomMetric, DenseMetric, DiagonalMetric, LowRankMetric, Metric, RankOneMetric
from pyrox.samplers.nuts import NUTSKernel
from pyrox.typing import Array


class Adaptation(NamedTuple):
    """A way to learn the metric.

    Attributes
    ----------
    metric
        Its kind of metric.
    adapters
        What learns along the way, in this order.
    directions
        Whether directions are learnt as well, from a window of draws and gradients; see ``directions.py``.
    num_warmup
        Iterations of warm-up that suffice.
    """

    metric: type[Metric]
    adapters: tuple[type[Adapter], ...]
    directions: bool
    num_warmup: int


ADAPTATIONS: dict[str, Adaptation] = {
    "rank_one": Adaptation(RankOneMetric, (FisherDiagonal, FisherDirection), directions=False, num_warmup=500),
    "diag": Adaptation(DiagonalMetric, (FisherDiagonal,), directions=False, num_warmup=500),
    "low_rank": Adaptation(LowRankMetric, (FirstScales,), directions=True, num_warmup=500),
    "dense": Adaptation(DenseMetric, (FirstScales,), directions=True, num_warmup=500),
    "stan": Adaptation(DiagonalMetric, (WelfordWindows,), directions=False, num_warmup=1000),
}
# The one that suits the number of dimensions.
AUTO = "auto"
# Up to this number a dense metric costs a leapfrog next to nothing, and is known after a few hundred draws.
_FEW_DIMENSIONS = 64
_FIXED = Adaptation(DiagonalMetric, (FixedMetric,), directions=False, num_warmup=500)


# From so many dimensions on, points of trajectories may be several leapfrogs apart.
_MANY_DIMENSIONS = 8


@dataclass(frozen=True)
class Recipe:
    """The choices that a chain is compiled for.

    Parameters
    ----------
    algorithm
        ``"nuts"`` or ``"hmc"``.
    adaptation
        How the metric is learnt, one of ``ADAPTATIONS``; ``"auto"`` is ``"dense"`` in few dimensions and ``"rank_one"``
        in many; None leaves the metric the identity.
    adapt_step_size
        Whether the step size is learnt.
    step_size
        The step size, or where the search for the first one begins.
    trajectory_length
        Time that a trajectory of ``"hmc"`` lasts.
    mixed
        Whether most transitions of ``"nuts"`` have a length that is learnt from those that look for turns; see
        ``NUTSKernel``. Not with ``"stan"``, no adaptation or a kinetic energy of the user's own.
    max_tree_depth
        Most doublings of a trajectory.
    kinetic_fn
        Kinetic energy of the user's own.
    strides
        Whether points of trajectories may be several leapfrogs apart; see ``NUTSKernel``.
    rounding
        Whether there is a rounded gradient; the warm-up finds out whether it serves.

    Examples
    --------
    >>> from pyrox.samplers import Recipe
    >>> Recipe(adaptation="stan").with_depth(8).max_tree_depth
    8
    """

    algorithm: str = "nuts"
    adaptation: str | None = "rank_one"
    adapt_step_size: bool = True
    step_size: float = 0.1
    trajectory_length: float = 2 * math.pi
    max_tree_depth: int = 10
    kinetic_fn: Callable | None = None
    strides: bool = True
    mixed: bool = True
    rounding: bool = False

    def __post_init__(self) -> None:
        if self.adaptation is not None:
            require_adaptation(self.adaptation)

    @property
    def _adaptation(self) -> Adaptation:
        if self.adaptation == AUTO:
            raise ValueError("resolve(dim) comes first: a recipe with adaptation='auto' leaves open what is learnt")
        return _FIXED if self.adaptation is None else ADAPTATIONS[self.adaptation]

    @property
    def window(self) -> int:
        """Number of draws, with their gradients, that a chain keeps to learn directions from."""
        return WINDOW if self._adaptation.directions else 0

    def resolve(self, dim: int) -> "Recipe":
        """Give the recipe for a posterior of so many dimensions: with one adaptation in place of ``"auto"``."""
        if self.adaptation != AUTO:
            return self
        return replace(self, adaptation="dense" if dim <= _FEW_DIMENSIONS else "rank_one")

    def with_depth(self, max_tree_depth: int) -> "Recipe":
        """Give the recipe with another limit of doublings."""
        return replace(self, max_tree_depth=int(max_tree_depth))

    def kernel(self, position: Array) -> Kernel:
        """Make the kernel before it has learnt anything."""
        metric = self._adaptation.metric.unit(position)
        if self.kinetic_fn is not None:
            metric = CustomMetric(metric, self.kinetic_fn)
        one = np.ones((), position.dtype)
        if self.algorithm == "hmc":
            return HMCKernel(one, metric, self.trajectory_length * one, 0 * one)
        # In few dimensions a narrow direction, rather than the width of the others, is likely to decide how long steps
        # are.
        strides = self.strides and self._knows_widths and position.shape[0] >= _MANY_DIMENSIONS
        mixed = self.mixed and self._knows_widths
        return NUTSKernel(
            one,
            metric,
            self.max_tree_depth,
            careful=0 * one,
            trajectory_length=0 * one,
            repeats=np.int32(1),
            rounded=np.int32(0),
            strides=strides,
            mixed=mixed,
            rounding=self.rounding,
        )

    def passes_points(self, dim: int) -> bool:
        """Tell whether trajectories in so many dimensions pass points that nobody asks for more than the gradient."""
        kernel = self.kernel(np.ones(dim))
        return isinstance(kernel, NUTSKernel) and (kernel.strides or kernel.mixed)

    @property
    def _knows_widths(self) -> bool:
        """Whether times are long or short as the posterior is wide: Stan's metric is the identity for a while."""
        return self.adaptation not in (None, "stan") and self.kinetic_fn is None

    def adapters(self, target_accept: Array) -> tuple[Adapter, ...]:
        """Give what a chain learns: its metric, then the step size for it."""
        adapters = [adapter() for adapter in self._adaptation.adapters]
        if self._knows_widths and self.algorithm == "nuts":
            # Learnt where it is not used, too: a chain may go on where it is.
            adapters += [TrajectoryLength(), Repetition()]
        if self.adapt_step_size:
            return *adapters, DualAveraging(target_accept, self.step_size)
        return *adapters, FixedStepSize(self.step_size)


def require_adaptation(name: Any) -> None:
    """Raise unless a value names a way to learn the metric."""
    if not isinstance(name, str) or name not in (AUTO, *ADAPTATIONS):
        raise ValueError(f"adaptation is one of {', '.join(map(repr, (AUTO, *ADAPTATIONS)))}, not {name!r}")


STANDARD = Recipe(adaptation=AUTO)
