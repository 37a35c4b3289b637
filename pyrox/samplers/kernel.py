"""What every transition kernel is made of: a State that is carried, an Info that is reported, and a step."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np

from pyrox.samplers.counter import uniform
from pyrox.typing import Array, Key

# Of a position; for a kernel that rounds also of a flag that asks for less precision.
ValueAndGrad = Callable[..., tuple[Array, Array]]

# The part of its step that a kernel takes when it is careful, and the number whose random number tells when.
_CAREFUL_PART = 0.25
_CAREFUL_NUMBER = np.int32(-(2**31))


class State(NamedTuple):
    """Where a chain is.

    ``log_density`` is NaN as long as it is unknown: the next step then only evaluates it. So the gradient
    stands in the program once, which halves its compilation.

    Attributes
    ----------
    position
        Where it is, shape ``(dim,)``.
    log_density
        Log-density there, or NaN.
    gradient
        Its gradient, shape ``(dim,)``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import State
    >>> q = jnp.array([1.0, 2.0])
    >>> State(q, log_density=-0.5 * jnp.sum(q**2), gradient=-q).log_density.item()
    -2.5
    """

    position: Array
    log_density: Array
    gradient: Array


class Info(NamedTuple):
    """What a transition reports, under the names of ArviZ's ``sample_stats``.

    Attributes
    ----------
    lp
        Log-density of the new position.
    acceptance_rate
        Mean acceptance of the points of the trajectory, or of its end alone where only that was asked for.
    step_size
        Time step of the leapfrog integrator.
    tree_depth
        Number of doublings, from one leapfrog on; 0 without.
    n_steps
        Number of leapfrog steps, each a gradient.
    diverging
        Whether the energy was lost at a point of the trajectory that was asked for.
    energy
        Sum of potential and kinetic energy of the new state.
    energy_error
        Its difference from the energy of the start.
    max_energy_error
        The largest such difference on the way.
    reached_max_treedepth
        Whether the trajectory was cut off at its greatest length.

    Examples
    --------
    >>> from pyrox.samplers import Info
    >>> Info._fields[:3]
    ('lp', 'acceptance_rate', 'step_size')
    """

    lp: Array
    acceptance_rate: Array
    step_size: Array
    tree_depth: Array
    n_steps: Array
    diverging: Array
    energy: Array
    energy_error: Array
    max_energy_error: Array
    reached_max_treedepth: Array


class Kernel(Protocol):
    """A Markov kernel for one chain, as a frozen pytree of its tuning parameters."""

    step_size: Array
    metric: Any
    careful: Array

    def replace(self, **changes: Any) -> Any:
        """Give the kernel with other tuning."""
        ...

    def step(self, key: Key, state: State, value_and_grad: ValueAndGrad, max_tree_depth: Array) -> tuple[State, Info]:
        """Make one transition."""
        ...


def join_infos(before: Info, last: Info, repeats: Array) -> Info:
    """Report what transitions of one step have made together."""
    worse = jnp.abs(before.max_energy_error) > jnp.abs(last.max_energy_error)
    shorter = (before.step_size > 0) & (before.step_size < last.step_size)
    return last._replace(
        acceptance_rate=before.acceptance_rate + last.acceptance_rate / repeats,
        step_size=jnp.where(shorter, before.step_size, last.step_size),
        tree_depth=jnp.maximum(before.tree_depth, last.tree_depth),
        n_steps=before.n_steps + last.n_steps,
        diverging=before.diverging | last.diverging,
        max_energy_error=jnp.where(worse, before.max_energy_error, last.max_energy_error),
        reached_max_treedepth=before.reached_max_treedepth | last.reached_max_treedepth,
    )


def choose_step_size(kernel: Kernel, seed: Array, dtype: np.dtype) -> Array:
    """Give the step size of a transition: a quarter of the kernel's, in the share of transitions that are careful.

    References
    ----------
    .. [1] Neal (2011), MCMC using Hamiltonian dynamics, Handbook of Markov Chain Monte Carlo, section 5.4.2.2: step
       sizes at random, for regions where the usual one is rejected again and again.
    """
    careful = uniform(seed, _CAREFUL_NUMBER, dtype) < kernel.careful
    return jnp.where(careful, _CAREFUL_PART, 1.0) * kernel.step_size


def init(position: Array) -> State:
    """Start a chain at a position whose log-density is not known yet."""
    return State(position, jnp.full((), jnp.nan, position.dtype), jnp.zeros_like(position))
