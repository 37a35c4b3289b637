"""Markov chains with finitely many states: their distribution, and exact sums over all paths.

Tables below are logarithms. Time stands first, states last; what stands between are independent copies.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pyrox.dist import constraints
from pyrox.dist.constraints import Constraint
from pyrox.dist.distribution import Distribution, option, param, part
from pyrox.dist.special import log_or_minus_inf, pick
from pyrox.errors import ShapeError
from pyrox.typing import Array, Key, Shape


def log_sum_exp(x: Array, axis: int | tuple[int, ...]) -> Array:
    """Add up in logarithms; where everything is -inf, so is the sum, with slope zero."""
    top = lax.stop_gradient(jnp.max(x, axis=axis, keepdims=True))
    top = jnp.where(jnp.isfinite(top), top, 0)
    return jnp.squeeze(top, axis) + log_or_minus_inf(jnp.sum(jnp.exp(x - top), axis=axis))


def _move(state: Array, moves: Array) -> Array:
    return log_sum_exp(state[..., :, None] + moves, -2)


def filter_states(start: Array, moves: Array, emission: Array) -> Array:
    r"""Run the forward algorithm.

    .. math:: \alpha_{t,k} = \log \sum_j e^{\alpha_{t-1,j} + M_{jk}} + E_{t,k}

    Parameters
    ----------
    start
        Log-probabilities of the first state, ``(..., K)``.
    moves
        Log-probabilities of each move, ``(..., K, K)``, or ``(T - 1, ..., K, K)`` with an axis more than ``start`` has
        copies and states.
    emission
        Log-likelihood of each state, ``(T, ..., K)``.

    Returns
    -------
    The logarithms of the joint probability of a state and all observations up to it, ``(T, ..., K)``.
    """
    varying = moves.ndim == start.ndim + 2

    def step(state: Array, now: tuple) -> tuple[Array, Array]:
        move, seen = now if varying else (moves, now)
        state = _move(state, move) + seen
        return state, state

    first = start + emission[0]
    rest = (moves, emission[1:]) if varying else emission[1:]
    _, others = lax.scan(step, first, rest)
    return jnp.concatenate([first[None], others])


@jax.custom_jvp
def log_evidence(start: Array, moves: Array, emission: Array) -> Array:
    """Sum over all paths: the log-probability of all observations, ``(...)``; see ``filter_states``."""
    return _evidence_and_gradient(start, moves, emission)[0]


@log_evidence.defjvp
def _log_evidence_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    value, gradients = _evidence_and_gradient(*primals)
    axes = (-1,), _axes_of_moves(*primals[:2]), (0, -1)
    parts = [jnp.sum(g * t, axis=a) for g, t, a in zip(gradients, tangents, axes, strict=True)]
    return value, sum(parts[1:], start=parts[0])


def _axes_of_moves(start: Array, moves: Array) -> tuple[int, ...]:
    return (0, -2, -1) if moves.ndim == start.ndim + 2 else (-2, -1)


def _evidence_and_gradient(start: Array, moves: Array, emission: Array) -> tuple[Array, tuple]:
    """Run forwards and backwards with probabilities, or with logarithms where those leave the range of numbers."""
    # Without logarithms a step is a few products. Nothing is lost as long as no state becomes next to impossible.
    likelihood_top = jnp.max(emission, axis=-1, keepdims=True)
    likelihood_top = jnp.where(jnp.isfinite(likelihood_top), likelihood_top, 0)
    seen, probs, first = jnp.exp(emission - likelihood_top), jnp.exp(moves), jnp.exp(start)
    varying = moves.ndim == start.ndim + 2

    def step(state: Array, now: tuple) -> tuple[Array, tuple]:
        move, likelihood = now if varying else (probs, now)
        joint = jnp.sum(state[..., :, None] * move, axis=-2) * likelihood
        total = jnp.sum(joint, axis=-1, keepdims=True)
        state = joint / jnp.where(total > 0, total, 1)
        return state, (state, total, jnp.min(joint))

    joint = first * seen[0]
    total = jnp.sum(joint, axis=-1, keepdims=True)
    state = joint / jnp.where(total > 0, total, 1)
    _, (states, totals, least) = lax.scan(step, state, (probs, seen[1:]) if varying else seen[1:])
    states, totals = jnp.concatenate([state[None], states]), jnp.concatenate([total[None], totals])
    least = jnp.minimum(jnp.min(joint), jnp.min(least, initial=jnp.inf))
    info = jnp.finfo(emission.dtype)

    def by_probabilities(_: tuple) -> tuple[Array, tuple]:
        value = jnp.sum(jnp.log(totals) + likelihood_top, axis=0)[..., 0]
        return value, _backwards(probs, seen, states, totals)

    def by_logarithms(inputs: tuple) -> tuple[Array, tuple]:
        value, pull = jax.vjp(_log_evidence, *inputs)
        return value, pull(jnp.ones_like(value))

    # Copies that share their moves have derivatives of their own.
    wide = jnp.broadcast_to(moves, (*moves.shape[: int(varying)], *start.shape, start.shape[-1]))
    return lax.cond(least > 1e20 * info.tiny, by_probabilities, by_logarithms, (start, wide, emission))


def _backwards(probs: Array, seen: Array, states: Array, totals: Array) -> tuple[Array, Array, Array]:
    """Give the derivatives of the log-evidence by start, moves and emissions: probabilities of states and of moves."""
    varying = probs.ndim == states.ndim + 1

    def step(carry: tuple, now: tuple) -> tuple[tuple, tuple]:
        after, moved = carry
        move, likelihood, total, state = now if varying else (probs, *now)
        share = likelihood * after / total
        pairs = state[..., :, None] * share[..., None, :]
        after = jnp.sum(move * share[..., None, :], axis=-1)
        return (after, moved if varying else moved + pairs), (state * after, pairs * move if varying else None)

    last = jnp.ones_like(states[-1])
    none = jnp.zeros((*states.shape[1:], states.shape[-1]), states.dtype)
    inputs = seen[1:], totals[1:], states[:-1]
    (_, moved), (weights, each) = lax.scan(step, (last, none), (probs, *inputs) if varying else inputs, reverse=True)
    weights = jnp.concatenate([weights, states[-1][None]])
    return weights[0], each if varying else moved * probs, weights


def _log_evidence(start: Array, moves: Array, emission: Array) -> Array:
    """Sum over all paths in logarithms: slower, and right at any magnitude."""
    varying = moves.ndim == start.ndim + 2

    def step(state: Array, now: tuple) -> tuple[Array, None]:
        move, seen = now if varying else (moves, now)
        return _move(state, move) + seen, None

    rest = (moves, emission[1:]) if varying else emission[1:]
    return log_sum_exp(lax.scan(step, start + emission[0], rest)[0], -1)


def smooth_states(filtered: Array, moves: Array) -> Array:
    r"""Give the log-probabilities of each state given all observations, ``(T, ..., K)``.

    .. math:: \gamma_{t,j} = \log \sum_k e^{\gamma_{t+1,k} + \alpha_{t,j} + M_{jk} - r_{t,k}}, \quad
        r_{t,k} = \log \sum_i e^{\alpha_{t,i} + M_{ik}}

    Parameters
    ----------
    filtered
        What ``filter_states`` gives.
    moves
        Log-probabilities of each move, as there.
    """
    varying = moves.ndim == filtered.ndim + 1

    def step(after: Array, now: tuple) -> tuple[Array, Array]:
        move, state = now if varying else (moves, now)
        pairs = state[..., :, None] + move
        reached = log_sum_exp(pairs, -2)
        share = jnp.where(jnp.isfinite(reached), after - reached, -jnp.inf)
        now = log_sum_exp(pairs + share[..., None, :], -1)
        return now, now

    last = filtered[-1] - log_sum_exp(filtered[-1], -1)[..., None]
    rest = (moves, filtered[:-1]) if varying else filtered[:-1]
    _, others = lax.scan(step, last, rest, reverse=True)
    return jnp.concatenate([others, last[None]])


def draw_states(key: Key, filtered: Array, moves: Array) -> Array:
    """Draw a path given all observations, from its end backwards, ``(T, ...)``; see ``smooth_states``."""
    varying = moves.ndim == filtered.ndim + 1
    keys = jax.random.split(key, len(filtered))

    def step(after: Array, now: tuple) -> tuple[Array, Array]:
        key, state, *move = now
        move = move[0] if varying else moves
        into = jnp.take_along_axis(
            jnp.broadcast_to(move, (*state.shape, state.shape[-1])), after[..., None, None], axis=-1
        )[..., 0]
        drawn = jax.random.categorical(key, state + into)
        return drawn, drawn

    last = jax.random.categorical(keys[-1], filtered[-1])
    rest = (keys[:-1], filtered[:-1], *((moves,) if varying else ()))
    _, others = lax.scan(step, last, rest, reverse=True)
    return jnp.concatenate([others, last[None]])


class DiscreteMarkovChain(Distribution):
    r"""A Markov chain with states 0, 1, ..., K - 1.

    .. math:: z_1 \sim f_0, \quad p(z_t = k \mid z_{t-1} = j) = P_{jk}, \quad t = 2, \dots, T

    As a latent variable it is summed out of a model by the forward algorithm, in T K² operations.

    Parameters
    ----------
    transition_probs
        Probabilities P of each move, from the state of the row to that of the column, ``(..., K, K)``; of each single
        move, ``(..., T - 1, K, K)``, if ``time_varying``.
    init_dist
        Distribution of the first state; None makes all states equally likely.
    num_steps
        Length T of the chain, the first state included.
    time_varying
        Whether there is a matrix for each move.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> chain = dist.DiscreteMarkovChain([[0.9, 0.1], [0.2, 0.8]], dist.Categorical(probs=[1.0, 0.0]), 3)
    >>> round(float(chain.log_prob([0, 0, 1])), 4)  # log(0.9 * 0.1)
    -2.4079
    """

    transition_probs: Array = param(constraints.independent(constraints.simplex, 1), alias="P")
    init_dist: Distribution | None = part(None)
    num_steps: int = option()
    time_varying: bool = option(default=False)
    reparametrized_params = []

    def __init__(
        self,
        transition_probs: Array,
        init_dist: Distribution | None = None,
        num_steps: int | None = None,
        time_varying: bool = False,  # noqa: FBT001, FBT002 - as documented
        validate_args: bool | None = None,  # noqa: FBT001
    ) -> None:
        probs = transition_probs if hasattr(transition_probs, "shape") else jnp.asarray(transition_probs, float)
        if len(probs.shape) < 2 + time_varying or probs.shape[-1] != probs.shape[-2]:
            raise ShapeError(f"DiscreteMarkovChain: P is a square matrix, one row for each state; met {probs.shape}")
        if not isinstance(num_steps, int | np.integer) or num_steps < 1:
            raise ShapeError(f"DiscreteMarkovChain: the number of steps is at least 1; met {num_steps!r}")
        if time_varying and probs.shape[-3] not in (1, num_steps - 1):
            raise ShapeError(f"DiscreteMarkovChain: {probs.shape[-3]} matrices for {num_steps - 1} moves")
        if init_dist is not None and (not init_dist.is_discrete or init_dist.event_shape):
            raise ShapeError("DiscreteMarkovChain: init_dist is a distribution of one state, like Categorical")
        fields = {"transition_probs": transition_probs, "init_dist": init_dist, "num_steps": int(num_steps)}
        self._set(fields | {"time_varying": bool(time_varying)}, validate_args)

    @property
    def num_states(self) -> int:
        """Number K of states."""
        return self.transition_probs.shape[-1]

    @property
    def support(self) -> Constraint:
        return constraints.independent(constraints.integer_interval(0, self.num_states - 1), 1)

    @property
    def batch_shape(self) -> Shape:
        own = self.transition_probs.shape[: -2 - self.time_varying]
        return own if self.init_dist is None else jnp.broadcast_shapes(own, self.init_dist.batch_shape)

    @property
    def event_shape(self) -> Shape:
        return (self.num_steps,)

    @property
    def log_start(self) -> Array:
        """Log-probabilities of the first state, ``(..., K)``."""
        if self.init_dist is None:
            return jnp.full(self.num_states, -np.log(self.num_states))
        states = jnp.arange(self.num_states).reshape((-1,) + (1,) * len(self.init_dist.batch_shape))
        return jnp.moveaxis(self.init_dist.log_prob(states), 0, -1)

    @property
    def log_moves(self) -> Array:
        """Log-probabilities of each move, ``(..., K, K)`` or ``(..., T - 1, K, K)``."""
        return log_or_minus_inf(self.transition_probs)

    def _sample(self, key: Key, shape: Shape) -> Array:
        batch = shape[:-1]
        key_first, key_moves = jax.random.split(key)
        first = jax.random.categorical(key_first, jnp.broadcast_to(self.log_start, (*batch, self.num_states)))
        return self.continue_path(key_moves, first[..., None])

    def continue_path(self, key: Key, beginning: Array) -> Array:
        """Draw the states after the first ones of a path, given these.

        Parameters
        ----------
        key
            A JAX key.
        beginning
            At least one state, ``(..., t)``.

        Returns
        -------
        The whole path, ``(..., T)``.
        """
        known = beginning.shape[-1]
        moves = self._moves_first(beginning.shape[:-1])[known - 1 :]

        def step(state: Array, now: tuple) -> tuple[Array, Array]:
            key, move = now
            row = jnp.take_along_axis(move, state[..., None, None], axis=-2)[..., 0, :]
            state = jax.random.categorical(key, row)
            return state, state

        _, rest = lax.scan(step, beginning[..., -1], (jax.random.split(key, self.num_steps - known), moves))
        return jnp.concatenate([beginning, jnp.moveaxis(rest, 0, -1)], axis=-1)

    def _moves_first(self, batch: Shape) -> Array:
        """Give the log-probabilities of each move, time first, written out for all copies."""
        moves, count = self.log_moves, self.num_steps - 1
        moves = moves if self.time_varying else moves[..., None, :, :]
        return jnp.moveaxis(jnp.broadcast_to(moves, (*batch, count, *moves.shape[-2:])), len(batch), 0)

    def _log_prob(self, value: Array) -> Array:
        value = value.astype(int)
        moves = self.log_moves if self.time_varying else self.log_moves[..., None, :, :]
        flat = moves.reshape(*moves.shape[:-2], -1)
        steps = pick(flat, value[..., :-1] * self.num_states + value[..., 1:])
        return pick(self.log_start, value[..., 0]) + jnp.sum(steps, axis=-1)
