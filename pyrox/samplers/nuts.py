"""The no-U-turn sampler: trajectories that double until they turn back, points chosen by multinomial weight."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from pyrox._pytree import Pytree, static
from pyrox.samplers.counter import noise_and_seed, uniform
from pyrox.samplers.kernel import Info, State, ValueAndGrad
from pyrox.samplers.metrics import Metric
from pyrox.typing import Array, Key

# A trajectory whose energy has drifted this far has left the typical set.
MAX_ENERGY_ERROR = 1000.0


class Point(NamedTuple):
    """A point of phase space, with log-density and gradient there."""

    position: Array
    momentum: Array
    log_density: Array
    gradient: Array


class Proposal(NamedTuple):
    """A point drawn from a piece of trajectory, with the piece's log-weight."""

    position: Array
    gradient: Array
    log_density: Array
    energy_error: Array
    log_weight: Array


class Account(NamedTuple):
    """What is reported of all leapfrogs of a transition."""

    total_acceptance: Array
    worst_energy_error: Array
    num_steps: Array
    diverging: Array


class Checkpoints(NamedTuple):
    """Where subtrees began, by level: the momentum there, that of the leaf before, and the sum of momenta up to it."""

    momentum: Array  # (depth + 1, dim)
    before: Array
    momentum_sum: Array


class Subtree(NamedTuple):
    """The piece that is being added to one end of a trajectory, leaf by leaf."""

    edge: Point  # where the integrator is
    chosen: Proposal
    momentum_sum: Array
    checkpoints: Checkpoints
    leaf: Array  # leaves so far
    turned: Array
    account: Account


class Trajectory(NamedTuple):
    """A transition in progress."""

    left: Point
    right: Point
    chosen: Proposal
    momentum_sum: Array
    checkpoints: Checkpoints
    depth: Array
    finished: Array
    account: Account


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
    .. [3] Stan Development Team, Stan Reference Manual, section on the no-U-turn sampler: the tests between halves.
    """

    step_size: Array
    metric: Metric
    max_doublings: int = static(default=10)

    def step(self, key: Key, state: State, value_and_grad: ValueAndGrad, max_tree_depth: Array) -> tuple[State, Info]:
        """Make one transition; from a state of unknown log-density, evaluate it there instead."""
        fresh = jnp.isnan(state.log_density)
        step_size = jnp.where(fresh, 0.0, self.step_size)
        noise, seed = noise_and_seed(key, state.position.shape[0], state.position.dtype)
        start = self._start(self.metric.momentum(noise), state)
        energy = self.metric.kinetic_energy(start.left.momentum) - state.log_density

        def grow(sub: Subtree, dt: Array) -> Subtree:
            edge = self._leapfrog(sub.edge, dt, value_and_grad)
            return self._add_leaf(sub, edge, energy, seed)

        def double(t: Trajectory) -> Trajectory:
            # Numbers of the leaves count up from zero, those of the doublings down from minus one.
            rightwards = uniform(seed, -2 * t.depth - 1, step_size.dtype) < 0.5
            dt = jnp.where(rightwards, step_size, -step_size)
            leaves = jnp.left_shift(1, t.depth)
            sub = lax.while_loop(
                lambda sub: (sub.leaf < leaves) & ~sub.turned & ~sub.account.diverging,
                lambda sub: grow(sub, dt),
                _sprout(t, rightwards),
            )
            u = uniform(seed, -2 * t.depth - 2, step_size.dtype)
            return self._join(t, sub, rightwards, u, max_tree_depth)

        t = lax.while_loop(lambda t: ~t.finished, double, start)
        # The end that grew knows its log-density, the other one not.
        grown = _select(jnp.isnan(t.left.log_density), t.right, t.left)
        here = State(grown.position, grown.log_density, grown.gradient)
        there = State(t.chosen.position, t.chosen.log_density, t.chosen.gradient)
        new = _select(fresh, here, there)
        info = Info(
            lp=new.log_density,
            acceptance_rate=t.account.total_acceptance / t.account.num_steps,
            step_size=self.step_size,
            tree_depth=t.depth,
            n_steps=t.account.num_steps,
            diverging=t.account.diverging,
            energy=energy + t.chosen.energy_error,
            energy_error=t.chosen.energy_error,
            max_energy_error=t.account.worst_energy_error,
            reached_max_treedepth=(t.depth >= max_tree_depth) & ~t.account.diverging,
        )
        return new, info

    def _start(self, p: Array, state: State) -> Trajectory:
        q, log_density, g = state
        point, zero, no = Point(q, p, log_density, g), jnp.zeros_like(log_density), jnp.zeros((), bool)
        blank = jnp.zeros((self.max_doublings + 1, *q.shape), q.dtype)
        return Trajectory(
            left=point,
            right=point,
            chosen=Proposal(q, g, log_density, zero, zero),
            momentum_sum=p,
            checkpoints=Checkpoints(blank, blank, blank),
            depth=jnp.int32(0),
            finished=no,
            account=Account(zero, zero, jnp.int32(0), no),
        )

    def _leapfrog(self, point: Point, dt: Array, value_and_grad: ValueAndGrad) -> Point:
        p = point.momentum + 0.5 * dt * point.gradient
        q = point.position + dt * self.metric.velocity(p)
        log_density, g = value_and_grad(q)
        return Point(q, p + 0.5 * dt * g, log_density, g)

    def _add_leaf(self, sub: Subtree, edge: Point, energy: Array, seed: Array) -> Subtree:
        """Take a new point into the subtree."""
        q, p, log_density, g = edge
        error = self.metric.kinetic_energy(p) - log_density - energy
        # Neither NaN nor an infinite density, where a transform has underflowed, is a place to go to.
        error = jnp.where(error > -jnp.inf, error, jnp.inf)
        log_weight = _log_add(sub.chosen.log_weight, -error)
        take = uniform(seed, sub.account.num_steps, p.dtype) < jnp.exp(-error - log_weight)
        chosen = _select(take, Proposal(q, g, log_density, error, log_weight), sub.chosen)
        momentum_sum = sub.momentum_sum + p
        checkpoints, turned = self._find_turn(sub.checkpoints, sub.leaf, sub.edge.momentum, p, momentum_sum)
        worst = sub.account.worst_energy_error
        account = Account(
            total_acceptance=sub.account.total_acceptance + jnp.exp(-jnp.maximum(error, 0.0)),
            worst_energy_error=jnp.where(jnp.abs(error) > jnp.abs(worst), error, worst),
            num_steps=sub.account.num_steps + 1,
            diverging=error > MAX_ENERGY_ERROR,
        )
        chosen = chosen._replace(log_weight=log_weight)
        return Subtree(edge, chosen, momentum_sum, checkpoints, sub.leaf + 1, turned, account)

    def _find_turn(
        self, saved: Checkpoints, leaf: Array, before: Array, p: Array, momentum_sum: Array
    ) -> tuple[Checkpoints, Array]:
        """Test the subtrees that the newest leaf completes.

        An even leaf opens subtrees: its momentum, and the sum up to it, are saved. An odd one closes those that
        begin at the checkpoints ``bottom ... top``: the binary digits of its number tell which. The right half of each
        is the next one.
        """
        top = lax.population_count(leaf >> 1)
        bottom = top - lax.population_count((leaf ^ (leaf + 1)) >> 1) + 1
        even = (leaf & 1) == 0
        # An odd leaf writes to a row that nobody reads: cheaper than choosing between two arrays.
        row = jnp.where(even, top, self.max_doublings)
        rows = zip(saved, (p, before, momentum_sum), strict=True)
        saved = Checkpoints(*(lax.dynamic_update_index_in_dim(old, new, row, 0) for old, new in rows))

        def test(carry: tuple) -> tuple:
            level, _ = carry
            first, up_to_first = saved.momentum[level], saved.momentum_sum[level]
            middle, before_middle = saved.momentum[level + 1], saved.before[level + 1]
            up_to_middle = saved.momentum_sum[level + 1]
            turned = self._is_turning(first, p, momentum_sum - up_to_first + first) | lax.cond(
                level < top,
                lambda: self._is_turning(first, middle, up_to_middle - up_to_first + first)
                | self._is_turning(before_middle, p, momentum_sum - up_to_middle + middle + before_middle),
                lambda: jnp.zeros((), bool),
            )
            return level - 1, turned

        level = jnp.where(even, bottom - 1, top)
        _, turned = lax.while_loop(lambda c: (c[0] >= bottom) & ~c[1], test, (level, jnp.zeros((), bool)))
        return saved, turned

    def _join(self, t: Trajectory, sub: Subtree, rightwards: Array, u: Array, max_tree_depth: Array) -> Trajectory:
        """Add the subtree to the trajectory; one that turned or diverged ends it, and gives no proposal."""
        bad = sub.turned | sub.account.diverging
        # Biased towards the new half: it moves further.
        take = ~bad & (jnp.log(u) < sub.chosen.log_weight - t.chosen.log_weight)
        chosen = _select(take, sub.chosen, t.chosen)
        left, right = _select(rightwards, t.left, sub.edge), _select(rightwards, sub.edge, t.right)
        momentum_sum, depth = t.momentum_sum + sub.momentum_sum, t.depth + 1
        turned = self._is_turning(left.momentum, right.momentum, momentum_sum) | self._turns_between(t, sub, rightwards)
        return Trajectory(
            left=left,
            right=right,
            chosen=chosen._replace(log_weight=_log_add(t.chosen.log_weight, sub.chosen.log_weight)),
            momentum_sum=momentum_sum,
            checkpoints=sub.checkpoints,
            depth=depth,
            finished=bad | turned | (depth >= max_tree_depth),
            account=sub.account,
        )

    def _turns_between(self, t: Trajectory, sub: Subtree, rightwards: Array) -> Array:
        """Test each half of a trajectory of two together with the nearest leaf of the other.

        Without this a step size of which seven or so make a whole turn of a nearly isotropic posterior would go
        unnoticed again and again.
        """
        near, far = _select(rightwards, t.right, t.left), _select(rightwards, t.left, t.right)
        first = sub.checkpoints.momentum[0]
        old = self._is_turning(far.momentum, first, t.momentum_sum + first)
        new = self._is_turning(near.momentum, sub.edge.momentum, sub.momentum_sum + near.momentum)
        return (t.depth > 0) & (old | new)

    def _is_turning(self, left: Array, right: Array, total: Array) -> Array:
        """Tell whether either end moves against the way from one end to the other."""
        way = self.metric.velocity(total - 0.5 * (left + right))
        return (jnp.vdot(left, way) <= 0) | (jnp.vdot(right, way) <= 0)


def _sprout(t: Trajectory, rightwards: Array) -> Subtree:
    """Begin a subtree at one end of a trajectory."""
    edge = _select(rightwards, t.right, t.left)
    chosen = t.chosen._replace(log_weight=jnp.full_like(t.chosen.log_weight, -jnp.inf))
    no = jnp.zeros((), bool)
    return Subtree(edge, chosen, jnp.zeros_like(t.momentum_sum), t.checkpoints, jnp.int32(0), no, t.account)


def _log_add(a: Array, b: Array) -> Array:
    """Give log(exp(a) + exp(b)); without log1p, whose precision far below one nobody needs here."""
    return jnp.maximum(a, b) + jnp.log(1 + jnp.exp(-jnp.abs(a - b)))


def _select(condition: Array, new: Any, old: Any) -> Any:
    """Choose between two tuples of arrays."""
    return type(old)(*(jnp.where(condition, a, b) for a, b in zip(new, old, strict=True)))
