"""Learn whether a rounded gradient serves a chain between the points of its trajectories."""

import jax.numpy as jnp

from pyrox._pytree import Pytree
from pyrox.samplers.adaptation import Moment
from pyrox.samplers.kernel import Gradients, Info, Kernel, State
from pyrox.samplers.vectors import do_if, inner
from pyrox.typing import Array

# Every how many iterations of the warm-up a rounded gradient is compared with the exact one.
_PERIOD = 10


class RoundedGradients(Pytree):
    r"""Whether points between are passed with a rounded gradient: as long as it is hardly wrong.

    .. math:: \lVert \tilde g - g \rVert_{M^{-1}} \le 0.05

    Draws are exact with any gradient, but energies are kept only by one that fits them: over a trajectory they change
    by about as much as the gradient is wrong, in units of the posterior. Rounding is far from that, unless large
    numbers cancel: where rows are known to six digits, or their positions lie far from zero.

    Attributes
    ----------
    tolerance
        The constant 0.05.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import DiagonalMetric, NUTSKernel, State
    >>> kernel = NUTSKernel(1.0, DiagonalMetric(jnp.ones(2)), rounded=0.0)
    >>> _, kernel = RoundedGradients().start(kernel, State(jnp.ones(2), jnp.zeros(()), jnp.zeros(2)))
    >>> kernel.rounded
    0.0
    """

    tolerance: float = 0.05

    def start(self, kernel: Kernel, state: State) -> tuple[tuple, Kernel]:
        return (), kernel

    def search(self, mine: tuple, kernel: Kernel, info: Info) -> tuple[tuple, Kernel, Array]:
        return mine, kernel, jnp.ones((), bool)

    def update(self, mine: tuple, kernel: Kernel, moment: Moment) -> tuple[tuple, Kernel, Array]:
        error = moment.rounding_error
        serves = (error <= self.tolerance).astype(error.dtype)
        # Below zero nobody has looked; not a number serves nobody.
        return mine, kernel.replace(rounded=jnp.where(error < 0, kernel.rounded, serves)), moment.renewed


def rounding_error(iteration: Array, kernel: Kernel, state: State, gradients: Gradients) -> Array:
    """Give by how much the rounded gradient of a state is wrong, in the metric's units; -1 where nobody looks."""
    unknown = jnp.full_like(state.log_density, -1.0)
    if gradients.rounded is None:
        return unknown

    def compare(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        position, gradient, _ = carry
        wrong = gradients.rounded(position) - gradient
        # Written over the position: of what stays as it is XLA would compute the gradient in any case, outside.
        return wrong, gradient, jnp.sqrt(inner(wrong, kernel.metric.velocity(wrong)))

    look = iteration % _PERIOD == 0
    (_, _, error), _ = do_if(look, compare, (state.position, state.gradient, unknown), costly=True)
    return error
