"""Hamiltonian Monte Carlo with trajectories of a fixed length."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from pyrox._pytree import Pytree
from pyrox.samplers.counter import noise_and_seed, uniform
from pyrox.samplers.kernel import Info, State, ValueAndGrad, choose_step_size
from pyrox.samplers.metrics import Metric
from pyrox.samplers.nuts import MAX_ENERGY_ERROR
from pyrox.typing import Array, Key


class Path(NamedTuple):
    """A trajectory in progress."""

    position: Array
    momentum: Array
    gradient: Array
    log_density: Array
    num_steps: Array


class HMCKernel(Pytree):
    """Hamiltonian Monte Carlo: a trajectory of fixed length, accepted or rejected at its end.

    Parameters
    ----------
    step_size
        Time step of the leapfrog integrator.
    metric
        The kinetic energy.
    trajectory_length
        Time that a trajectory lasts; it has at least one step and at most ``2 ** max_tree_depth - 1``.
    careful
        Share of transitions that take a quarter of the step.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import DiagonalMetric, HMCKernel, State
    >>> value_and_grad = jax.value_and_grad(lambda q: -0.5 * jnp.sum(q**2))
    >>> kernel = HMCKernel(0.2, DiagonalMetric(jnp.ones(2)), trajectory_length=1.5)
    >>> position = jnp.zeros(2)
    >>> state = State(position, *value_and_grad(position))
    >>> state, info = kernel.step(jax.random.key(0), state, value_and_grad, max_tree_depth=10)
    >>> state.position.shape, bool(info.diverging)
    ((2,), False)

    References
    ----------
    .. [1] Neal (2011), MCMC using Hamiltonian dynamics, Handbook of Markov Chain Monte Carlo, chapter 5.
    """

    step_size: Array
    metric: Metric
    trajectory_length: Array
    careful: Array | float = 0.0

    def step(self, key: Key, state: State, value_and_grad: ValueAndGrad, max_tree_depth: Array) -> tuple[State, Info]:
        """Make one transition; from a state of unknown log-density, evaluate it there instead."""
        fresh = jnp.isnan(state.log_density)
        noise, seed = noise_and_seed(key, state.position.shape[0], state.position.dtype, ~fresh)
        step_size = choose_step_size(self, seed, state.position.dtype)
        dt = jnp.where(fresh, 0.0, step_size)
        limit = jnp.where(fresh, 1, jnp.left_shift(1, max_tree_depth) - 1)
        wanted = jnp.clip(jnp.ceil(self.trajectory_length / step_size), 1, limit)
        p = self.metric.momentum(noise)
        energy = self.metric.kinetic_energy(p, self.metric.velocity(p)) - state.log_density

        def leapfrog(path: Path) -> Path:
            p = path.momentum + 0.5 * dt * path.gradient
            q = path.position + dt * self.metric.velocity(p)
            log_density, g = value_and_grad(q)
            return Path(q, p + 0.5 * dt * g, g, log_density, path.num_steps + 1)

        start = Path(state.position, p, state.gradient, state.log_density, jnp.int32(0))
        end = lax.while_loop(lambda path: path.num_steps < wanted, leapfrog, start)
        error = self.metric.kinetic_energy(end.momentum, self.metric.velocity(end.momentum)) - end.log_density - energy
        # Neither NaN nor an infinite density, where a transform has underflowed, is a place to go to.
        error = jnp.where(error > -jnp.inf, error, jnp.inf)
        acceptance = jnp.exp(-jnp.maximum(error, 0.0))
        accept = fresh | (uniform(seed, jnp.int32(0), acceptance.dtype) < acceptance)
        there = State(end.position, end.log_density, end.gradient)
        new = State(*(jnp.where(accept, a, b) for a, b in zip(there, state, strict=True)))
        chosen_error = jnp.where(accept, error, 0.0)
        info = Info(
            lp=new.log_density,
            acceptance_rate=acceptance,
            step_size=step_size,
            tree_depth=jnp.int32(0),
            n_steps=end.num_steps,
            diverging=error > MAX_ENERGY_ERROR,
            energy=energy + chosen_error,
            energy_error=chosen_error,
            max_energy_error=error,
            reached_max_treedepth=jnp.zeros((), bool),
        )
        return new, info
