"""The no-U-turn sampler: trajectories that double until they turn back, points chosen by multinomial weight."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pyrox._pytree import Pytree, static
from pyrox.samplers.counter import noise_and_seed, uniform
from pyrox.samplers.kernel import Info, State, ValueAndGrad, choose_step_size, join_infos
from pyrox.samplers.metrics import Metric
from pyrox.samplers.vectors import do_if, find_last, inner
from pyrox.typing import Array, Key

# A trajectory whose energy has drifted this far has left the typical set.
MAX_ENERGY_ERROR = 1000.0

# Steps, in the metric's units, up to which three or four of them lead from point to point of a trajectory, and between
# which one or two do. Three or seven points then make a little more than half a turn of an isotropic posterior; between
# the two ranges seven or more points one step apart do.
_SHORT_STEP, _LONG_STEPS = 0.4, (0.54, 0.82)
# Where the length of trajectories is known: the share of transitions that look for turns all the same, and the part of
# the length that the shortest of the others have.
_TURNING_SHARE, _SHORTEST_PART = 0.1, 0.5
# The share of careful transitions from which on a step is a single one: one divergence in a hundred transitions.
_CAREFUL_SHARE = 0.05
# The numbers whose random numbers choose: between two strides, between the kinds of transitions, and a length.
_STRIDE_NUMBER, _KIND_NUMBER, _LENGTH_NUMBER = (np.int32(-(2**31) + i) for i in (1, 2, 3))


class Proposal(NamedTuple):
    """A point drawn from a piece of trajectory, with the piece's log-weight."""

    position: Array
    gradient: Array
    log_density: Array
    energy_error: Array
    log_weight: Array


class Account(NamedTuple):
    """What is reported of all points of a transition."""

    total_acceptance: Array
    worst_energy_error: Array
    num_points: Array
    diverging: Array


class Leaf(NamedTuple):
    """An end of a piece of trajectory as the tests of turns see it; or arrays of such, along leading axes.

    The sum of the velocities of all points of a piece, and of those passed between them, times the step size, is the
    way from half a leapfrog before its first point to half a leapfrog after its last one.
    """

    halfway: Array  # half a leapfrog outside of the piece
    momentum: Array


class Way(NamedTuple):
    """How the integrator leaves a point."""

    momentum: Array
    velocity: Array


class Path(NamedTuple):
    """Leapfrogs from one point of a trajectory to the next."""

    position: Array
    way: Way  # out of there
    velocity: Array  # that led there
    log_density: Array
    gradient: Array


class End(NamedTuple):
    """An end of a trajectory, from which the integrator can go on."""

    position: Array
    momentum: Array
    way: Way  # out of there
    halfway: Array  # half a leapfrog before


class Origin(NamedTuple):
    """What every leaf asks about the start of a transition."""

    stride: Array  # number of leapfrogs from point to point
    energy: Array
    unknown: Array  # whether the log-density there is unknown: then the new point is taken, whatever it is
    seed: Array  # of the random numbers


class Plan(NamedTuple):
    """How a transition goes on, as far as that is settled beforehand."""

    stride: Array  # number of leapfrogs from point to point
    stride_depth: Array  # how many doublings lead to so many
    max_doublings: Array  # of the points
    limited: Array  # whether a trajectory of so many doublings may have been cut off


class Subtree(NamedTuple):
    """The piece that is being added to one end of a trajectory, leaf by leaf."""

    end: End  # where the integrator is
    chosen: Proposal
    # By level: the first leaf of the newest subtree, and the one before it, (max_doublings + 1, 2, dim). Level zero is
    # the trajectory, which begins at its far end.
    checkpoints: Leaf
    num_leaves: Array
    turned: Array
    whole_turned: Array  # the trajectory that it is added to, as far as the leaves so far tell
    account: Account


class Trajectory(NamedTuple):
    """A transition in progress."""

    near: End  # where it grows
    far: End
    rightwards: Array  # whether the near end is the right one
    chosen: Proposal
    checkpoints: Leaf
    depth: Array
    finished: Array
    account: Account


class NUTSKernel(Pytree):
    """The no-U-turn sampler, with multinomial sampling.

    A piece of trajectory has turned if the momentum at either of its ends points against the sum of its velocities.

    With strides, points of a trajectory are up to four leapfrogs apart where that is a short way. What is asked of
    every point (its energy, whether it is drawn, whether the trajectory has turned) is then asked less often, and there
    are more lengths of trajectories than powers of two. Where steps are long, as in few dimensions, two of them would
    be half a turn. Every transition draws one of two strides, for some narrow direction may turn by half with one: a
    chain would find itself mirrored there again and again, never nearer to the centre nor further from it.

    To look for turns makes trajectories about twice as long as they need to be: half of one has to be made again in
    the other direction, or beyond the turn. So where the length that suits a posterior is known, nine transitions in
    ten are plain Hamiltonian Monte Carlo: leapfrogs over a part of that length, drawn between its half and the whole,
    whose end is accepted or rejected. That is a trajectory of one doubling whose second point lies so many leapfrogs
    away. The other transitions go on until they turn, wherever a posterior asks for more than the length allows.

    Of the points that are passed between, nothing but the gradient is asked for, and it may be rounded: with any
    function of the position in its place leapfrogs are reversible and keep volumes.

    Parameters
    ----------
    step_size
        Time step of the leapfrog integrator.
    metric
        The kinetic energy.
    max_doublings
        Length of the checkpoint arrays: no trajectory has more than ``2 ** max_doublings`` steps.
    careful
        Share of transitions that take a quarter of the step.
    trajectory_length
        Longest time that a trajectory lasts which does not look for turns; 0 where all do.
    repeats
        Number of transitions that a step is made of, unless many have to be careful.
    rounded
        Where the gradient is a rounded one, if the kernel rounds: 0 nowhere, 1 at the points that are passed between
        those of a trajectory, 2 everywhere.
    mixed
        Whether most transitions have a length, if it is known; otherwise all look for turns, and a step is one of them.
    strides
        Whether points may be several leapfrogs apart, unless transitions have to be careful; for a metric that knows
        how wide the posterior is.
    rounding
        Whether there is a rounded gradient: ``value_and_grad`` then takes a flag that asks for it, after the position.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import DiagonalMetric, NUTSKernel, State
    >>> value_and_grad = jax.value_and_grad(lambda q: -0.5 * jnp.sum(q**2))
    >>> kernel = NUTSKernel(0.2, DiagonalMetric(jnp.ones(2)))
    >>> position = jnp.zeros(2)
    >>> state = State(position, *value_and_grad(position))
    >>> state, info = kernel.step(jax.random.key(0), state, value_and_grad, max_tree_depth=10)
    >>> state.position.shape, bool(info.diverging)
    ((2,), False)

    References
    ----------
    .. [1] Hoffman and Gelman (2014), The No-U-Turn Sampler, Journal of Machine Learning Research 15.
    .. [2] Betancourt (2017), A conceptual introduction to Hamiltonian Monte Carlo, arXiv:1701.02434.
    .. [3] Stan Development Team, Stan Reference Manual, section on the no-U-turn sampler: the tests between halves.
    .. [4] Hoffman, Radul and Sountsov (2021), An adaptive-MCMC scheme for setting trajectory lengths in Hamiltonian
       Monte Carlo, AISTATS: lengths drawn at random, and how they compare with the no-U-turn sampler.
    """

    step_size: Array
    metric: Metric
    max_doublings: int = static(default=10)
    careful: Array | float = 0.0
    trajectory_length: Array | float = 0.0
    repeats: Array | int = 1
    rounded: Array | int = 0
    strides: bool = static(default=False)
    mixed: bool = static(default=False)
    rounding: bool = static(default=False)

    def step(self, key: Key, state: State, value_and_grad: ValueAndGrad, max_tree_depth: Array) -> tuple[State, Info]:
        """Make the transitions of a step; from a state of unknown log-density, evaluate it there instead."""
        if not self.mixed:
            return self._transition(key, state, value_and_grad, max_tree_depth)
        # Among corners a second one would meet them twice as often.
        repeats = jnp.where(self.careful < _CAREFUL_SHARE, self.repeats, 1)

        def go_on(i: Array, carry: tuple[State, Info]) -> tuple[State, Info]:
            state, info = carry
            new, made = self._transition(_nth_key(key, i), state, value_and_grad, max_tree_depth)
            return new, join_infos(info, made, repeats)

        zero, no = jnp.zeros_like(state.log_density), jnp.zeros((), bool)
        none = Info(zero, zero, zero, jnp.int32(0), jnp.int32(0), no, zero, zero, zero, no)
        return lax.fori_loop(0, repeats, go_on, (state, none))

    def _transition(
        self, key: Key, state: State, value_and_grad: ValueAndGrad, max_tree_depth: Array
    ) -> tuple[State, Info]:
        """Make one transition, or evaluate a state of unknown log-density."""
        fresh = jnp.isnan(state.log_density)
        noise, seed = noise_and_seed(key, state.position.shape[0], state.position.dtype, ~fresh)
        chosen_size = choose_step_size(self, seed, state.position.dtype)
        step_size = jnp.where(fresh, 0.0, chosen_size)
        plan = self._plan(seed, step_size, max_tree_depth)
        start, kinetic_energy = self._start(self.metric.momentum(noise), state, step_size)
        origin = Origin(plan.stride, kinetic_energy - state.log_density, fresh, seed)

        def double(t: Trajectory) -> Trajectory:
            # Numbers of the leaves count up from zero, those of the doublings down from minus one.
            rightwards = uniform(seed, -2 * t.depth - 1, step_size.dtype) < 0.5
            t = _turn_round(t, rightwards != t.rightwards)
            dt = jnp.where(t.rightwards, step_size, -step_size)
            leaves = jnp.left_shift(1, t.depth)
            sub = lax.while_loop(
                lambda sub: (sub.num_leaves < leaves) & ~sub.turned & ~sub.account.diverging,
                lambda sub: self._grow(sub, dt, leaves, origin, value_and_grad),
                _sprout(t, dt),
            )
            return _join(t, sub, origin, plan.max_doublings)

        t = lax.while_loop(lambda t: ~t.finished, double, start)
        new = State(t.chosen.position, t.chosen.log_density, t.chosen.gradient)
        info = Info(
            lp=new.log_density,
            acceptance_rate=t.account.total_acceptance / t.account.num_points,
            step_size=chosen_size,
            tree_depth=t.depth + plan.stride_depth,
            n_steps=t.account.num_points * plan.stride,
            diverging=t.account.diverging,
            energy=origin.energy + t.chosen.energy_error,
            energy_error=t.chosen.energy_error,
            max_energy_error=t.account.worst_energy_error,
            reached_max_treedepth=plan.limited & (t.depth >= plan.max_doublings) & ~t.account.diverging,
        )
        return new, info

    def _plan(self, seed: Array, step_size: Array, max_tree_depth: Array) -> Plan:
        """Choose what kind of transition to make: one that looks for turns, or one of a length that is drawn."""
        dtype, yes = step_size.dtype, jnp.ones((), bool)
        stride, depth = self._choose_stride(seed, step_size, max_tree_depth)
        turning = Plan(stride, depth, max_tree_depth - depth, yes)
        if not self.mixed:
            return turning
        part = 1 - (1 - _SHORTEST_PART) * uniform(seed, _LENGTH_NUMBER, dtype)
        wanted = jnp.ceil(part * self.trajectory_length / jnp.where(step_size > 0, step_size, 1))
        most = jnp.left_shift(1, max_tree_depth) - 1
        steps = jnp.clip(wanted, 1, most).astype(jnp.int32)
        straight = Plan(steps, 31 - lax.clz(steps), jnp.int32(1), wanted > most)
        known = (self.trajectory_length > 0) & (step_size == self.step_size)
        return _select(known & (uniform(seed, _KIND_NUMBER, dtype) >= _TURNING_SHARE), straight, turning)

    def _choose_stride(self, seed: Array, step_size: Array, max_tree_depth: Array) -> tuple[Array, Array]:
        """Give the number of leapfrogs from point to point, and how many doublings lead to so many."""
        if not self.strides:
            return jnp.int32(1), jnp.int32(0)
        short, long = step_size <= _SHORT_STEP, (step_size > _LONG_STEPS[0]) & (step_size <= _LONG_STEPS[1])
        lower = jnp.where(short, jnp.int32(3), jnp.int32(1))
        stride = lower + (uniform(seed, _STRIDE_NUMBER, step_size.dtype) < 0.5)
        doublings = (stride > 1).astype(jnp.int32) + (stride > 2)
        # A chain that has met corners comes out of them with the first leapfrog or not at all.
        wanted = (short | long) & (step_size > 0) & (self.careful == 0)
        fits = wanted & (doublings + 1 < max_tree_depth)
        return jnp.where(fits, stride, 1), jnp.where(fits, doublings, 0)

    def _start(self, p: Array, state: State, step_size: Array) -> tuple[Trajectory, Array]:
        """Give the trajectory of a single point, and its kinetic energy."""
        q, log_density, g = state
        left, right = self._way(p, g, -step_size), self._way(p, g, step_size)
        zero, no = jnp.zeros_like(log_density), jnp.zeros((), bool)
        blank = jnp.zeros((self.max_doublings + 1, 2, *q.shape), q.dtype)
        trajectory = Trajectory(
            # The way out at one end is the way in at the other.
            near=End(q, p, right, q - 0.5 * step_size * left.velocity),
            far=End(q, p, left, q + 0.5 * step_size * right.velocity),
            rightwards=jnp.ones((), bool),
            chosen=Proposal(q, g, log_density, zero, zero),
            checkpoints=Leaf(blank, blank),
            depth=jnp.int32(0),
            finished=no,
            account=Account(zero, zero, jnp.int32(0), no),
        )
        # The velocity of the point is the mean of those before and after; see ``_add_leaf``.
        return trajectory, self.metric.kinetic_energy(p, 0.5 * (left.velocity + right.velocity))

    def _way(self, momentum: Array, gradient: Array, dt: Array) -> Way:
        """Leave a point."""
        p = momentum + 0.5 * dt * gradient
        return Way(p, self.metric.velocity(p))

    def _grow(self, sub: Subtree, dt: Array, leaves: Array, origin: Origin, value_and_grad: ValueAndGrad) -> Subtree:
        """Go on to the next point, and take it into the subtree, which will have so many leaves."""
        sub = _save_end(sub)

        def leapfrog(i: Array, path: Path) -> Path:
            q = path.position + dt * path.way.velocity
            between = i + 1 < origin.stride
            flag = ((self.rounded > 1) | ((self.rounded > 0) & between),) if self.rounding else ()
            log_density, g = value_and_grad(q, *flag)
            # From halfway to halfway: on beyond the point, whose own momentum only the last one needs.
            return Path(q, self._way(path.way.momentum, g, 2 * dt), path.way.velocity, log_density, g)

        # Of what has been saved nobody reads the vectors any more: the first round writes over them.
        path = Path(sub.end.position, sub.end.way, sub.end.momentum, sub.chosen.log_density, sub.end.halfway)
        path = lax.fori_loop(0, origin.stride, leapfrog, path)
        return self._add_leaf(sub, path, dt, leaves, origin)

    def _add_leaf(self, sub: Subtree, path: Path, dt: Array, leaves: Array, origin: Origin) -> Subtree:
        """Take a new point into the subtree."""
        q, way, velocity, log_density, g = path
        p = way.momentum - 0.5 * dt * g
        halfway = q - 0.5 * dt * velocity
        # Where velocities are linear in momenta, that of the point is the mean of those before and after; no other
        # kinetic energy asks for it.
        kinetic_energy = 0.5 * (self.metric.kinetic_energy(p, velocity) + self.metric.kinetic_energy(p, way.velocity))
        error = kinetic_energy - log_density - origin.energy
        # Neither NaN nor an infinite density, where a transform has underflowed, is a place to go to.
        error = jnp.where(error > -jnp.inf, error, jnp.inf)
        log_weight = _log_add(sub.chosen.log_weight, -error)
        take = uniform(origin.seed, sub.account.num_points, p.dtype) < jnp.exp(-error - log_weight)
        proposal = Proposal(q, g, log_density, error, log_weight)
        chosen, _ = do_if(take | origin.unknown, lambda _: proposal, sub.chosen)
        turned, whole_turned = _find_turn(sub, Leaf(q + 0.5 * dt * way.velocity, p), dt, leaves)
        worst = sub.account.worst_energy_error
        account = Account(
            total_acceptance=sub.account.total_acceptance + jnp.exp(-jnp.maximum(error, 0.0)),
            worst_energy_error=jnp.where(jnp.abs(error) > jnp.abs(worst), error, worst),
            num_points=sub.account.num_points + 1,
            diverging=error > MAX_ENERGY_ERROR,
        )
        return Subtree(
            end=End(q, p, way, halfway),
            chosen=chosen._replace(log_weight=log_weight),
            checkpoints=sub.checkpoints,
            num_leaves=sub.num_leaves + 1,
            turned=turned,
            whole_turned=sub.whole_turned | whole_turned,
            account=account,
        )


def _nth_key(key: Key, number: Array) -> Key:
    """Give the key of one of a step's transitions; those of other steps differ from it in their last word."""
    words = jax.random.key_data(key)
    first = jnp.arange(words.shape[0]) == 0
    return jax.random.wrap_key_data(
        words + jnp.where(first, number, 0).astype(words.dtype), impl=jax.random.key_impl(key)
    )


def _turn_round(t: Trajectory, condition: Array) -> Trajectory:
    """Let a trajectory grow at its other end from now on."""
    ends = t.near, t.far, t.rightwards
    (near, far, rightwards), _ = do_if(condition, lambda ends: (ends[1], ends[0], ~ends[2]), ends)
    return t._replace(near=near, far=far, rightwards=rightwards)


def _sprout(t: Trajectory, dt: Array) -> Subtree:
    """Begin a subtree at the near end; the far end is the first leaf of the trajectory with it."""
    first = Leaf(t.far.position - 0.5 * dt * t.far.way.velocity, t.far.momentum)
    chosen = t.chosen._replace(log_weight=jnp.full_like(t.chosen.log_weight, -jnp.inf))
    no = jnp.zeros((), bool)
    return Subtree(t.near, chosen, _put(t.checkpoints, 0, 0, first), jnp.int32(0), no, no, t.account)


def _join(t: Trajectory, sub: Subtree, origin: Origin, max_doublings: Array) -> Trajectory:
    """Add the subtree to the trajectory; one that turned or diverged ends it, and gives no proposal."""
    bad = sub.turned | sub.account.diverging
    u = uniform(origin.seed, -2 * t.depth - 2, t.chosen.log_weight.dtype)
    # Biased towards the new half: it moves further.
    take = ~bad & (jnp.log(u) < sub.chosen.log_weight - t.chosen.log_weight)
    log_weight = _log_add(t.chosen.log_weight, sub.chosen.log_weight)
    chosen = _select(take | origin.unknown, sub.chosen, t.chosen)
    depth = t.depth + 1
    return Trajectory(
        near=sub.end,
        far=t.far,
        rightwards=t.rightwards,
        chosen=chosen._replace(log_weight=log_weight),
        checkpoints=sub.checkpoints,
        depth=depth,
        finished=bad | sub.whole_turned | (depth >= max_doublings),
        account=sub.account,
    )


def _save_end(sub: Subtree) -> Subtree:
    """Save the end where the next leaf will grow.

    An even leaf has opened subtrees; an odd one is the leaf before those that the next one opens.
    """
    end = sub.num_leaves - 1
    level, leaf = _level(end + (end & 1)), Leaf(sub.end.halfway, sub.end.momentum)
    return sub._replace(checkpoints=_put(sub.checkpoints, level, end & 1, leaf))


def _find_turn(sub: Subtree, last: Leaf, dt: Array, leaves: Array) -> tuple[Array, Array]:
    """Test what the newest leaf completes; the trajectory is tested like its pieces.

    An odd leaf closes the subtrees that began at the checkpoints ``low ... high``, as the binary digits of its number
    tell. Each is tested as a whole, and its right half, which began at the next checkpoint, together with the leaf
    before. An even leaf is the first one of a right half: the left half is tested together with it. Checkpoint zero is
    that of the trajectory, whose right half is the subtree: its first leaf opens it, the last one closes it. Without
    the tests of halves a step size of which seven or so make a whole turn of a nearly isotropic posterior would go
    unnoticed again and again.
    """
    leaf = sub.num_leaves
    even = (leaf & 1) == 0
    top = _level(leaf)
    bottom = top - lax.population_count((leaf ^ (leaf + 1)) >> 1) + 1
    high = jnp.where(even, top - 1, top)
    low = jnp.where(leaf + 1 == leaves, 0, jnp.where(even, high, bottom))

    def test(saved: Leaf, k: Array) -> Array:
        # From the highest level down; of each the right half together with the leaf before, then the whole.
        return _is_turning(Leaf(*(x[(k + 1) >> 1, k & 1] for x in saved)), last, dt)

    k = find_last(test, sub.checkpoints, 2 * low, 2 * high, 2 * sub.checkpoints.momentum.shape[0])
    turned = k >= 2 * low
    # After all tests of the subtree come those of the trajectory: its right half with the leaf before, and the whole.
    return turned & (k >= 2), turned & (k < 2)


def _level(leaf: Array) -> Array:
    """Give the level of the smallest subtree that a leaf begins or is in."""
    return lax.population_count(leaf >> 1) + 1


def _put(saved: Leaf, level: Array | int, slot: Array | int, leaf: Leaf) -> Leaf:
    at = jnp.int32(level), jnp.int32(slot), jnp.int32(0)
    return Leaf(*(lax.dynamic_update_slice(x, v[None, None], at) for x, v in zip(saved, leaf, strict=True)))


def _is_turning(start: Leaf, end: Leaf, dt: Array) -> Array:
    """Tell whether either of two leaves moves against the way from one to the other."""
    way, sign = end.halfway - start.halfway, jnp.sign(dt)
    return (sign * inner(start.momentum, way) <= 0) | (sign * inner(end.momentum, way) <= 0)


def _log_add(a: Array, b: Array) -> Array:
    """Give log(exp(a) + exp(b)); without log1p, whose precision far below one nobody needs here."""
    return jnp.maximum(a, b) + jnp.log(1 + jnp.exp(-jnp.abs(a - b)))


def _select(condition: Array, new: Any, old: Any) -> Any:
    """Choose between two trees of arrays."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
