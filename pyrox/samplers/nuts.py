"""The no-U-turn sampler: trajectories that double until they turn back, points chosen by multinomial weight."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from pyrox._pytree import Pytree, static
from pyrox.samplers.counter import noise_and_seed, uniform
from pyrox.samplers.kernel import Info, State, ValueAndGrad, choose_step_size
from pyrox.samplers.metrics import Metric
from pyrox.samplers.vectors import do_if, inner
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


class Leaf(NamedTuple):
    """An end of a piece of trajectory as the tests of turns see it; or arrays of such, along leading axes.

    The sum of the velocities of all points of a piece, times the step size, is the way from halfway between its first
    point and the one before to halfway between its last point and the one after.
    """

    halfway: Array  # from the point outside of the piece
    momentum: Array


class Way(NamedTuple):
    """How the integrator goes from one point to the next."""

    momentum: Array
    velocity: Array


class Subtree(NamedTuple):
    """The piece that is being added to one end of a trajectory, leaf by leaf."""

    edge: Point  # where the integrator is
    way: Way  # from there to the next point
    halfway: Array  # to there from the point before
    chosen: Proposal
    checkpoints: Leaf  # by level: the first leaf of the newest subtree, and the one before it, (depth + 1, 2, dim)
    num_leaves: Array
    turned: Array
    account: Account


class Trajectory(NamedTuple):
    """A transition in progress."""

    left: Point
    right: Point
    chosen: Proposal
    checkpoints: Leaf
    depth: Array
    finished: Array
    account: Account


class NUTSKernel(Pytree):
    """The no-U-turn sampler, with multinomial sampling.

    A piece of trajectory has turned if the momentum at either of its ends points against the sum of its velocities.

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
    """

    step_size: Array
    metric: Metric
    max_doublings: int = static(default=10)
    careful: Array | float = 0.0

    def step(self, key: Key, state: State, value_and_grad: ValueAndGrad, max_tree_depth: Array) -> tuple[State, Info]:
        """Make one transition; from a state of unknown log-density, evaluate it there instead."""
        fresh = jnp.isnan(state.log_density)
        noise, seed = noise_and_seed(key, state.position.shape[0], state.position.dtype, ~fresh)
        chosen_size = choose_step_size(self, seed, state.position.dtype)
        step_size = jnp.where(fresh, 0.0, chosen_size)
        start = self._start(self.metric.momentum(noise), state)
        p = start.left.momentum
        energy = self.metric.kinetic_energy(p, self.metric.velocity(p)) - state.log_density

        def grow(sub: Subtree, dt: Array) -> Subtree:
            saved, rounds = _save(sub, 1, Leaf(sub.halfway, sub.edge.momentum))
            # The integrator waits until all is saved: so nothing need be copied.
            edge = self._leapfrog(sub.edge, sub.way, jnp.where(rounds < 0, 0.0, dt), value_and_grad)
            sub = sub._replace(checkpoints=saved)
            return self._add_leaf(sub, edge, dt, energy, seed)

        def double(t: Trajectory) -> Trajectory:
            # Numbers of the leaves count up from zero, those of the doublings down from minus one.
            rightwards = uniform(seed, -2 * t.depth - 1, step_size.dtype) < 0.5
            dt = jnp.where(rightwards, step_size, -step_size)
            leaves = jnp.left_shift(1, t.depth)
            sub = lax.while_loop(
                lambda sub: (sub.num_leaves < leaves) & ~sub.turned & ~sub.account.diverging,
                lambda sub: grow(sub, dt),
                self._sprout(t, rightwards, dt),
            )
            u = uniform(seed, -2 * t.depth - 2, step_size.dtype)
            return self._join(t, sub, rightwards, dt, u, max_tree_depth)

        t = lax.while_loop(lambda t: ~t.finished, double, start)
        # The end that grew knows its log-density, the other one not.
        grown = _select(jnp.isnan(t.left.log_density), t.right, t.left)
        here = State(grown.position, grown.log_density, grown.gradient)
        there = State(t.chosen.position, t.chosen.log_density, t.chosen.gradient)
        new = _select(fresh, here, there)
        info = Info(
            lp=new.log_density,
            acceptance_rate=t.account.total_acceptance / t.account.num_steps,
            step_size=chosen_size,
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
        blank = jnp.zeros((self.max_doublings + 1, 2, *q.shape), q.dtype)
        return Trajectory(
            left=point,
            right=point,
            chosen=Proposal(q, g, log_density, zero, zero),
            checkpoints=Leaf(blank, blank),
            depth=jnp.int32(0),
            finished=no,
            account=Account(zero, zero, jnp.int32(0), no),
        )

    def _sprout(self, t: Trajectory, rightwards: Array, dt: Array) -> Subtree:
        """Begin a subtree at one end of a trajectory."""
        edge = _select(rightwards, t.right, t.left)
        chosen = t.chosen._replace(log_weight=jnp.full_like(t.chosen.log_weight, -jnp.inf))
        # What is saved of the edge itself no test asks for.
        nothing, no = edge.position, jnp.zeros((), bool)
        return Subtree(edge, self._way(edge, dt), nothing, chosen, t.checkpoints, jnp.int32(0), no, t.account)

    def _way(self, point: Point, dt: Array) -> Way:
        """Leave a point."""
        p = point.momentum + 0.5 * dt * point.gradient
        return Way(p, self.metric.velocity(p))

    def _leapfrog(self, point: Point, way: Way, dt: Array, value_and_grad: ValueAndGrad) -> Point:
        q = point.position + dt * way.velocity
        log_density, g = value_and_grad(q)
        return Point(q, way.momentum + 0.5 * dt * g, log_density, g)

    def _last(self, point: Point, dt: Array) -> Leaf:
        """See a point as the last one of a piece; with ``-dt``, as the first one."""
        return Leaf(point.position + 0.5 * dt * self._way(point, dt).velocity, point.momentum)

    def _add_leaf(self, sub: Subtree, edge: Point, dt: Array, energy: Array, seed: Array) -> Subtree:
        """Take a new point into the subtree."""
        q, p, log_density, g = edge
        halfway = q - 0.5 * dt * sub.way.velocity
        # Where velocities are linear in momenta, that of the point is the mean of those before and after; no other
        # kinetic energy asks for it.
        before = self.metric.kinetic_energy(p, sub.way.velocity)
        # The integrator goes on when nobody needs the former velocity any more: so it need not be copied.
        way = self._way(edge, jnp.where(before < -jnp.inf, 0.0, dt))
        error = 0.5 * (before + self.metric.kinetic_energy(p, way.velocity)) - log_density - energy
        # Neither NaN nor an infinite density, where a transform has underflowed, is a place to go to.
        error = jnp.where(error > -jnp.inf, error, jnp.inf)
        log_weight = _log_add(sub.chosen.log_weight, -error)
        take = uniform(seed, sub.account.num_steps, p.dtype) < jnp.exp(-error - log_weight)
        chosen, _ = do_if(take, lambda _: Proposal(q, g, log_density, error, log_weight), sub.chosen)
        checkpoints, turned = _find_turn(sub, Leaf(halfway, p), Leaf(q + 0.5 * dt * way.velocity, p), dt)
        worst = sub.account.worst_energy_error
        account = Account(
            total_acceptance=sub.account.total_acceptance + jnp.exp(-jnp.maximum(error, 0.0)),
            worst_energy_error=jnp.where(jnp.abs(error) > jnp.abs(worst), error, worst),
            num_steps=sub.account.num_steps + 1,
            diverging=error > MAX_ENERGY_ERROR,
        )
        return Subtree(
            edge=edge,
            way=way,
            halfway=halfway,
            chosen=chosen._replace(log_weight=log_weight),
            checkpoints=checkpoints,
            num_leaves=sub.num_leaves + 1,
            turned=turned,
            account=account,
        )

    def _join(
        self, t: Trajectory, sub: Subtree, rightwards: Array, dt: Array, u: Array, max_tree_depth: Array
    ) -> Trajectory:
        """Add the subtree to the trajectory; one that turned or diverged ends it, and gives no proposal."""
        bad = sub.turned | sub.account.diverging
        # Biased towards the new half: it moves further.
        take = ~bad & (jnp.log(u) < sub.chosen.log_weight - t.chosen.log_weight)
        chosen = _select(take, sub.chosen, t.chosen)
        left, right = _select(rightwards, t.left, sub.edge), _select(rightwards, sub.edge, t.right)
        depth = t.depth + 1
        return Trajectory(
            left=left,
            right=right,
            chosen=chosen._replace(log_weight=_log_add(t.chosen.log_weight, sub.chosen.log_weight)),
            checkpoints=sub.checkpoints,
            depth=depth,
            finished=bad | self._has_turned(t, sub, rightwards, dt) | (depth >= max_tree_depth),
            account=sub.account,
        )

    def _has_turned(self, t: Trajectory, sub: Subtree, rightwards: Array, dt: Array) -> Array:
        """Test a trajectory of two halves, and each half together with the nearest leaf of the other.

        Without the halves a step size of which seven or so make a whole turn of a nearly isotropic posterior would go
        unnoticed again and again.
        """
        edge = _select(rightwards, t.right, t.left)
        near, far = self._last(edge, -dt), self._last(_select(rightwards, t.left, t.right), -dt)
        last = Leaf(sub.edge.position + 0.5 * dt * sub.way.velocity, sub.edge.momentum)
        first = self._opposite(Leaf(*(x[0, 0] for x in sub.checkpoints)), edge, dt)
        whole, old, new = (_is_turning(a, b, dt) for a, b in ((far, last), (far, first), (near, last)))
        return whole | (t.depth > 0) & (old | new)

    def _opposite(self, leaf: Leaf, before: Point, dt: Array) -> Leaf:
        """See the first leaf after a point as the last one of a piece that ends with it."""
        position = 2 * leaf.halfway - before.position
        to_come = 2 * leaf.momentum - before.momentum - 0.5 * dt * before.gradient
        return Leaf(position + 0.5 * dt * self.metric.velocity(to_come), leaf.momentum)


def _find_turn(sub: Subtree, newest: Leaf, last: Leaf, dt: Array) -> tuple[Leaf, Array]:
    """Test what the newest leaf completes, and save where it opens subtrees.

    An odd leaf closes the subtrees that began at the checkpoints ``low ... high``, as the binary digits of its number
    tell. Each is tested as a whole, and its right half, which began at the next checkpoint, together with the leaf
    before. An even leaf is the first one of a right half: the left half is tested together with it.
    """
    leaf = sub.num_leaves
    even = _is_even(leaf)
    top = lax.population_count(leaf >> 1)
    bottom = top - lax.population_count((leaf ^ (leaf + 1)) >> 1) + 1
    saved, _ = _save(sub, 0, newest)
    high, low = jnp.where(even, top - 1, top), jnp.where(even, jnp.maximum(top - 1, 0), bottom)

    def test(carry: tuple) -> tuple:
        # From the highest level down; the lowest one needs no leaf before the first.
        k, _ = carry
        level, slot = low + ((k + 1) >> 1), k & 1
        return k - 1, _is_turning(Leaf(*(x[level, slot] for x in saved)), last, dt)

    _, turned = lax.while_loop(lambda c: (c[0] >= 0) & ~c[1], test, (2 * (high - low), jnp.zeros((), bool)))
    return saved, turned


def _save(sub: Subtree, slot: int, leaf: Leaf) -> tuple[Leaf, Array]:
    """Save a leaf in the row of the subtrees that the newest leaf opens: none if it is odd."""
    at = lax.population_count(sub.num_leaves >> 1), jnp.int32(slot), jnp.int32(0)

    def put(saved: Leaf) -> Leaf:
        return Leaf(*(lax.dynamic_update_slice(x, v[None, None], at) for x, v in zip(saved, leaf, strict=True)))

    return do_if(_is_even(sub.num_leaves), put, sub.checkpoints)


def _is_even(leaf: Array) -> Array:
    return (leaf & 1) == 0


def _is_turning(start: Leaf, end: Leaf, dt: Array) -> Array:
    """Tell whether either of two leaves moves against the way from one to the other."""
    way, sign = end.halfway - start.halfway, jnp.sign(dt)
    return (sign * inner(start.momentum, way) <= 0) | (sign * inner(end.momentum, way) <= 0)


def _log_add(a: Array, b: Array) -> Array:
    """Give log(exp(a) + exp(b)); without log1p, whose precision far below one nobody needs here."""
    return jnp.maximum(a, b) + jnp.log(1 + jnp.exp(-jnp.abs(a - b)))


def _select(condition: Array, new: Any, old: Any) -> Any:
    """Choose between two tuples of arrays."""
    return type(old)(*(jnp.where(condition, a, b) for a, b in zip(new, old, strict=True)))
