"""What a chain is made of: its kernel, its metric, and what it learns."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import jax.numpy as jnp

from pyrox.samplers.adaptation import Adapter, DualAveraging, FixedStepSize
from pyrox.samplers.hmc import HMCKernel
from pyrox.samplers.kernel import Kernel
from pyrox.samplers.metric_adaptation import FisherDiagonal, FixedMetric, WelfordWindows
from pyrox.samplers.metrics import CustomMetric, DenseMetric, DiagonalMetric
from pyrox.samplers.nuts import NUTSKernel
from pyrox.typing import Array, ArrayLike


@dataclass(frozen=True)
class Recipe:
    """The choices that a chain is compiled for.

    Parameters
    ----------
    algorithm
        ``"nuts"`` or ``"hmc"``.
    dense
        Whether the mass matrix is dense.
    adaptation
        How the metric is learnt: ``"fisher"`` (draws and gradients; diagonal only), ``"welford"`` (draws, in growing
        windows) or None.
    adapt_step_size
        Whether the step size is learnt.
    step_size
        The step size, or where the search for the first one begins.
    trajectory_length
        Time that a trajectory of ``"hmc"`` lasts.
    max_tree_depth
        Most doublings of a trajectory.
    kinetic_fn
        Kinetic energy of the user's own.
    """

    algorithm: str = "nuts"
    dense: bool = False
    adaptation: str | None = "fisher"
    adapt_step_size: bool = True
    step_size: float = 0.1
    trajectory_length: float = 2 * math.pi
    max_tree_depth: int = 10
    kinetic_fn: Callable | None = None

    def with_depth(self, max_tree_depth: int) -> "Recipe":
        """Give the recipe with another limit of doublings."""
        return replace(self, max_tree_depth=int(max_tree_depth))

    def kernel(self, position: Array) -> Kernel:
        """Make the kernel before it has learnt anything."""
        metric = (DenseMetric if self.dense else DiagonalMetric).unit(position)
        if self.kinetic_fn is not None:
            metric = CustomMetric(metric, self.kinetic_fn)
        one = jnp.ones((), position.dtype)
        if self.algorithm == "hmc":
            return HMCKernel(one, metric, self.trajectory_length * one)
        return NUTSKernel(one, metric, self.max_tree_depth)

    def adapters(self, target_accept: ArrayLike) -> tuple[Adapter, ...]:
        """Give what a chain learns: its metric, then the step size for it."""
        metric = {"fisher": FisherDiagonal, "welford": WelfordWindows, None: FixedMetric}[self.adaptation]()
        if self.adapt_step_size:
            return metric, DualAveraging(target_accept, self.step_size)
        return metric, FixedStepSize(self.step_size)


STANDARD = Recipe()
