"""The no-U-turn sampler: trajectories that double until they turn back, points chosen by multinomial weight."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax, random

from pyrox._pytree import Pytree, static
from pyrox.samplers.kernel import Info, State, ValueAndGrad
from pyrox.samplers.metrics import Metric
from pyrox.typing import Array, Key

# A trajectory whose energy has drifted this far has left the typical set.
MAX_ENERGY_ERROR = 1000.0


class Point(NamedTuple):
    """A point of phase space, with the gradient there."""

    position: Array
    momentum: Array
    gradient: Array


class Proposal(NamedTuple):
    """A point drawn from a piece of trajectory, with the piece's log-weight."""

    position: Array
    gradient: Array
    log_density: Array
    energy_error: Array
    log_weight: Array


class Trajectory(NamedTuple):
    """One transition in progress: the trajectory so far, and the subtree that is being added to one of its ends."""

    key: Key
    left: Point
    right: Point
    edge: Point  # where the integrator is
    edge_log_density: Array
    chosen: Proposal
    momentum_sum: Array
    sub_chosen: Proposal
    sub_momentum_sum: Array
    saved_momentum: Array  # (depth + 1, dim): one checkpoint for each level of the subtree
    saved_sum: Array
    leaf: Array  # leaves of the subtree so far
    depth: Array
    rightwards: Array
    energy: Array  # of the start
    total_acceptance: Array
    worst_energy_error: Array
    num_steps: Array
    diverging: Array
    finished: Array


# What changes when a subtree is joined to its trajectory.
_JOINED = (
    "key", "left", "right", "edge", "chosen", "momentum_sum", "sub_chosen", "sub_momentum_sum", "leaf", "depth",
    "rightwards", "finished",
)  # fmt: skip


class NUTSKernel(Pytree):
    """The no-U-turn sampler with multinomial sampling and the generalised U-turn criterion.

    Parameters
    ----------
    step_size
        Time step of the leapfrog integrator.
    metric
        The kinetic energy.
    max_doublings
        Length of the checkpoint arrays: no trajectory has more than ``2 ** max_doublings`` steps.

    References
    ----------
    .. [1] Hoffman and Gelman (2014), The No-U-Turn Sampler, Journal of Machine Learning Research 15.
    .. [2] Betancourt (2017), A conceptual introduction to Hamiltonian Monte Carlo, arXiv:1701.02434.
    """

    step_size: Array
    metric: Metric
    max_doublings: int = static(default=10)

    def step(self, key: Key, state: State, value_and_grad: ValueAndGrad, max_tree_depth: Array) -> tuple[State, Info]:
        """Make one transition; from a state of unknown log-density, evaluate it there instead."""
        fresh = jnp.isnan(state.log_density)
        step_size = jnp.where(fresh, 0.0, self.step_size)

        def extend(t: Trajectory) -> Trajectory:
            return self._add_leaf(self._leapfrog(t, step_size, value_and_grad), max_tree_depth)

        t = lax.while_loop(lambda t: ~t.finished, extend, self._start(key, state))
        here = State(t.edge.position, t.edge_log_density, t.edge.gradient)
        there = State(t.chosen.position, t.chosen.log_density, t.chosen.gradient)
        new = _select(fresh, here, there)
        info = Info(
            lp=new.log_density,
            acceptance_rate=t.total_acceptance / t.num_steps,
            step_size=self.step_size,
            tree_depth=t.depth,
            n_steps=t.num_steps,
            diverging=t.diverging,
            energy=t.energy + t.chosen.energy_error,
            energy_error=t.chosen.energy_error,
            max_energy_error=t.worst_energy_error,
            reached_max_treedepth=(t.depth >= max_tree_depth) & ~t.diverging,
        )
        return new, info

    def _start(self, key: Key, state: State) -> Trajectory:
        q, log_density, g = state
        key, key_momentum, key_direction = random.split(key, 3)
        p = self.metric.sample_momentum(key_momentum)
        edge, zero, zeros = Point(q, p, g), jnp.zeros_like(log_density), jnp.zeros_like(q)
        none, checkpoints = jnp.int32(0), jnp.zeros((self.max_doublings + 1, *q.shape), q.dtype)
        return Trajectory(
            key=key,
            left=edge,
            right=edge,
            edge=edge,
            edge_log_density=log_density,
            chosen=Proposal(q, g, log_density, zero, zero),
            momentum_sum=p,
            sub_chosen=Proposal(q, g, log_density, zero, zero - jnp.inf),
            sub_momentum_sum=zeros,
            saved_momentum=checkpoints,
            saved_sum=checkpoints,
            leaf=none,
            depth=none,
            rightwards=random.bernoulli(key_direction).astype(jnp.int32),
            energy=self.metric.kinetic_energy(p) - log_density,
            total_acceptance=zero,
            worst_energy_error=zero,
            num_steps=none,
            diverging=jnp.zeros((), bool),
            finished=jnp.zeros((), bool),
        )

    def _leapfrog(self, t: Trajectory, step_size: Array, value_and_grad: ValueAndGrad) -> Trajectory:
        q, p, g = t.edge
        dt = jnp.where(t.rightwards == 1, step_size, -step_size)
        p = p + 0.5 * dt * g
        q = q + dt * self.metric.velocity(p)
        log_density, g = value_and_grad(q)
        p = p + 0.5 * dt * g
        return t._replace(edge=Point(q, p, g), edge_log_density=log_density)

    def _add_leaf(self, t: Trajectory, max_tree_depth: Array) -> Trajectory:
        """Take the new point into the subtree; when that is full or must stop, join it to the trajectory."""
        q, p, g = t.edge
        error = self.metric.kinetic_energy(p) - t.edge_log_density - t.energy
        # Neither NaN nor an infinite density, where a transform has underflowed, is a place to go to.
        error = jnp.where(error > -jnp.inf, error, jnp.inf)
        diverging = error > MAX_ENERGY_ERROR
        key, key_leaf = random.split(t.key)
        log_u = jnp.log(random.uniform(key_leaf, (2,), p.dtype))
        sub = t.sub_chosen
        log_weight = jnp.logaddexp(sub.log_weight, -error)
        take = log_u[0] < -error - log_weight
        leaf = Proposal(q, g, t.edge_log_density, error, log_weight)
        sub = _select(take, leaf, sub)._replace(log_weight=log_weight)
        t, turned = self._find_turn(t._replace(key=key, sub_chosen=sub, sub_momentum_sum=t.sub_momentum_sum + p), p)
        bad = turned | diverging
        full = t.leaf + 1 == jnp.left_shift(1, t.depth)
        t = t._replace(
            leaf=t.leaf + 1,
            total_acceptance=t.total_acceptance + jnp.exp(-jnp.maximum(error, 0.0)),
            worst_energy_error=jnp.where(jnp.abs(error) > jnp.abs(t.worst_energy_error), error, t.worst_energy_error),
            num_steps=t.num_steps + 1,
            diverging=diverging,
        )
        # Only what joining changes goes through the branch: the rest would be copied at every leaf.
        unchanged = {name: getattr(t, name) for name in _JOINED}
        changes = lax.cond(full | bad, lambda: self._join(t, bad, log_u[1], max_tree_depth), lambda: unchanged)
        return t._replace(**changes)

    def _find_turn(self, t: Trajectory, p: Array) -> tuple[Trajectory, Array]:
        """Test the subtrees that the newest leaf completes.

        An even leaf opens subtrees: its momentum, and the sum up to it, are saved. An odd one closes those that
        begin at the checkpoints ``bottom ... top``: the binary digits of its number tell which.
        """
        top = lax.population_count(t.leaf >> 1)
        bottom = top - lax.population_count((t.leaf ^ (t.leaf + 1)) >> 1) + 1
        even = (t.leaf & 1) == 0
        # An odd leaf writes to a row that nobody reads: cheaper than choosing between two arrays.
        row = jnp.where(even, top, self.max_doublings)
        momentum = lax.dynamic_update_index_in_dim(t.saved_momentum, p, row, 0)
        sums = lax.dynamic_update_index_in_dim(t.saved_sum, t.sub_momentum_sum, row, 0)

        def test(carry: tuple) -> tuple:
            level, _ = carry
            total = t.sub_momentum_sum - sums[level] + momentum[level]
            return level - 1, self._is_turning(momentum[level], p, total)

        level = jnp.where(even, bottom - 1, top)
        _, turned = lax.while_loop(lambda c: (c[0] >= bottom) & ~c[1], test, (level, jnp.zeros((), bool)))
        return t._replace(saved_momentum=momentum, saved_sum=sums), turned

    def _join(self, t: Trajectory, bad: Array, log_u: Array, max_tree_depth: Array) -> dict:
        """Add the subtree to the trajectory, unless it turned or diverged, and begin the next one or finish."""
        sub, chosen = t.sub_chosen, t.chosen
        # Biased towards the new half: it moves further.
        take = ~bad & (log_u < sub.log_weight - chosen.log_weight)
        chosen = _select(take, sub, chosen)._replace(log_weight=jnp.logaddexp(chosen.log_weight, sub.log_weight))
        left, right = _select(t.rightwards == 0, t.edge, t.left), _select(t.rightwards == 1, t.edge, t.right)
        momentum_sum, depth = t.momentum_sum + t.sub_momentum_sum, t.depth + 1
        turned = self._is_turning(left.momentum, right.momentum, momentum_sum)
        key, key_direction = random.split(t.key)
        rightwards = random.bernoulli(key_direction).astype(jnp.int32)
        finished = bad | turned | (depth >= max_tree_depth)
        return {
            "key": key,
            "left": left,
            "right": right,
            "edge": _select(finished, t.edge, _select(rightwards == 1, right, left)),
            "chosen": chosen,
            "momentum_sum": momentum_sum,
            "sub_chosen": sub._replace(log_weight=jnp.full_like(sub.log_weight, -jnp.inf)),
            "sub_momentum_sum": jnp.zeros_like(t.sub_momentum_sum),
            "leaf": jnp.int32(0),
            "depth": depth,
            "rightwards": rightwards,
            "finished": finished,
        }

    def _is_turning(self, left: Array, right: Array, total: Array) -> Array:
        """Tell whether either end moves against the way from one end to the other."""
        way = self.metric.velocity(total - 0.5 * (left + right))
        return (jnp.vdot(left, way) <= 0) | (jnp.vdot(right, way) <= 0)


def _select(condition: Array, new: Any, old: Any) -> Any:
    """Choose between two tuples of arrays."""
    return type(old)(*(jnp.where(condition, a, b) for a, b in zip(new, old, strict=True)))
