"""Find out whether a rounded gradient serves a chain: compare it with the exact one, now and then during warm-up.

Draws are exact with any gradient, but energies are kept only by one that fits them: over a trajectory they change by
about as much as the gradient is wrong, in units of the posterior. Rounding is far from that, unless large numbers
cancel: columns are large and vary little, or the likelihood is so narrow that six digits matter.
"""

import jax.numpy as jnp

from pyrox.samplers.kernel import Kernel, State
from pyrox.samplers.vectors import do_if, inner
from pyrox.typing import Array

# Every how many iterations of the warm-up the gradients are compared, and the difference up to which one serves.
PERIOD = 10
_TOLERANCE = 0.05


def begin_comparison(comparing: Array, kernel: Kernel, state: State) -> tuple[Kernel, State]:
    """Let the next step evaluate the rounded gradient where the chain is, and make no transition."""
    unknown = jnp.where(comparing, jnp.nan, state.log_density)
    rounded, repeats = jnp.where(comparing, 2, kernel.rounded), jnp.where(comparing, 1, kernel.repeats)
    kernel = kernel.replace(rounded=rounded.astype(jnp.int32), repeats=repeats.astype(jnp.int32))
    return kernel, state._replace(log_density=unknown)


def finish_comparison(comparing: Array, kernel: Kernel, exact: State, rounded: State) -> Kernel:
    r"""Use the rounded gradient from now on if it is hardly wrong.

    .. math:: \lVert \tilde g - g \rVert_{M^{-1}} \le 0.05
    """

    def compare(_: Array) -> Array:
        wrong = rounded.gradient - exact.gradient
        # Not a number serves nobody.
        return (inner(wrong, kernel.metric.velocity(wrong)) <= _TOLERANCE**2).astype(jnp.int32)

    return kernel.replace(rounded=do_if(comparing, compare, kernel.rounded, costly=True)[0])
