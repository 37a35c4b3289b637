"""The update loop: many steps as one compiled program, and what is decided between its pieces."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.samplers.executables import compile_function
from pyrox.typing import Array, Key, Tree
from pyrox.vi.batches import Feed
from pyrox.vi.stopping import Plateau

# So many steps in a row without a finite loss and gradient end the run.
_MAX_FAILURES = 10
_MIN_BLOCK, _MAX_BLOCK, _NUM_BLOCKS = 50, 500, 20
# Steps that an accelerator makes without asking the host whether to go on; the last ones may be made in vain.
_ROUND = 16

Loss = Callable[[Tree, Key, Tree], Array]


class Position(NamedTuple):
    """Where an optimization stands: all that going on needs.

    Attributes
    ----------
    optim
        State of the optimizer.
    key
        Numbers of the key from which the next step's random numbers follow.
    """

    optim: Any
    key: Array


class Piece(NamedTuple):
    """What some steps in a row left.

    Attributes
    ----------
    losses
        The loss before each step; beyond the steps made, zeros.
    total
        Sum of the parameters after each step, or None.
    finite
        Whether the parameters are finite at the end.
    steps
        Number of steps made.
    streak
        Number of failures in a row at the end.
    """

    losses: Array
    total: Tree
    finite: Array
    steps: Array
    streak: Array


def block_length(num_steps: int) -> int:
    """Give the number of steps between two decisions."""
    return int(np.clip(num_steps // _NUM_BLOCKS, _MIN_BLOCK, _MAX_BLOCK))


def make_step(loss: Loss, optim: Any, *, rated: bool) -> Callable:
    """Build one step: ``step(position, rate, data) -> (position, loss, gradients)``."""

    def step(position: Position, rate: Array, data: Tree) -> tuple[Position, Array, Tree]:
        key, key_step = jax.random.split(jax.random.wrap_key_data(position.key))
        value_fn = lambda params: loss(params, key_step, data)  # noqa: E731
        value, gradient = jax.value_and_grad(value_fn)(optim.get_params(position.optim))
        moved = optim.update(
            gradient, position.optim, rate=rate if rated else None, value=value, value_fn=value_fn
        )
        return Position(moved, jax.random.key_data(key)), value, gradient

    return step


class UpdateLoop:
    """Steps of an optimizer, compiled once for any data of the same shapes.

    Parameters
    ----------
    loss
        Function of parameters, a key and data.
    optim
        The optimizer.
    block
        Most steps of one piece.
    batched
        Whether arrays of data have a leading axis of batches, one for each step.
    averaged
        Whether to sum up the parameters of all steps.
    rated
        Whether the step size has a factor.
    """

    def __init__(
        self, loss: Loss, optim: Any, block: int, *, batched: bool = False, averaged: bool = False, rated: bool = False
    ) -> None:
        self.optim, self.block, self._averaged, self._batched = optim, block, averaged, batched
        self._step = make_step(loss, optim, rated=rated)
        self._executables: dict[tuple, Any] = {}

    def run(
        self, position: Position, total: Tree, rate: float, data: Tree, first: int, n: int, *, guarded: bool
    ) -> tuple[Position, Piece]:
        """Make ``n`` steps, at most ``block``, from batch ``first`` on; ``guarded`` skips those that fail.

        ``total`` is the sum of parameters so far: carried on, it does not depend on where pieces begin.
        """
        arguments = (position, total, jnp.asarray(rate, float), data, np.int32(first), np.int32(n))
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), arguments)
        key = (guarded, *((x.shape, x.dtype) for x in jax.tree.leaves(shapes)))
        if key not in self._executables:
            run = self._guarded if guarded else self._plain
            # Not as one native kernel: for small losses the emitter has ended the process, others gain nothing.
            self._executables[key] = compile_function(run, *shapes)
        return jax.block_until_ready(self._executables[key](*arguments))

    def _pick(self, data: Tree, i: Array) -> Tree:
        if not self._batched:
            return data
        fixed, batches = data
        return fixed, [jax.lax.dynamic_index_in_dim(x, i, keepdims=False) for x in batches]

    def no_total(self, position: Position) -> Tree:
        """Give a sum of no parameters; None if there is nothing to be summed."""
        return jax.tree.map(jnp.zeros_like, self.optim.get_params(position.optim)) if self._averaged else None

    def _plus(self, total: Tree, position: Position) -> Tree:
        if not self._averaged:
            return None
        return jax.tree.map(jnp.add, total, self.optim.get_params(position.optim))

    def _plain(
        self, position: Position, total: Tree, rate: Array, data: Tree, first: Array, n: Array
    ) -> tuple[Position, Piece]:
        def body(i: Array, carry: tuple) -> tuple:
            position, losses, total = carry
            position, value, _ = self._step(position, rate, self._pick(data, first + i))
            return position, losses.at[i].set(value.astype(losses.dtype)), self._plus(total, position)

        length = 1 if jax.default_backend() == "cpu" else _ROUND
        position, losses, total = _repeat(n, body, (position, jnp.zeros(self.block), total), length)
        return position, Piece(losses, total, self._finite(position), n, jnp.zeros((), jnp.int32))

    def _guarded(
        self, position: Position, total: Tree, rate: Array, data: Tree, first: Array, n: Array
    ) -> tuple[Position, Piece]:
        def proceed(carry: tuple) -> Array:
            return (carry[0] < n) & (carry[1] < _MAX_FAILURES)

        def body(carry: tuple) -> tuple:
            i, streak, position, losses, total = carry
            moved, value, gradient = self._step(position, rate, self._pick(data, first + i))
            good = jnp.isfinite(value) & _all_finite(gradient) & self._finite(moved)
            kept = jax.tree.map(lambda new, old: jnp.where(good, new, old), moved.optim, position.optim)
            position = Position(kept, moved.key)
            losses = losses.at[i].set(jnp.where(good, value, jnp.nan).astype(losses.dtype))
            return i + 1, jnp.where(good, 0, streak + 1), position, losses, self._plus(total, position)

        zero = jnp.zeros((), jnp.int32)
        start = (zero, zero, position, jnp.zeros(self.block), total)
        i, streak, position, losses, total = jax.lax.while_loop(proceed, body, start)
        return position, Piece(losses, total, self._finite(position), i, streak)

    def _finite(self, position: Position) -> Array:
        return _all_finite(self.optim.get_params(position.optim))


def _repeat(n: Array, body: Callable[[Array, Tree], Tree], carry: Tree, length: int) -> Tree:
    """Make ``n`` steps in rounds of fixed length, the last of which may end with steps that change nothing."""
    if length == 1:
        return jax.lax.fori_loop(0, n, body, carry)

    def step(i: Array, carry: Tree) -> Tree:
        return jax.tree.map(lambda new, old: jnp.where(i < n, new, old), body(i, carry), carry)

    def go_round(k: Array, carry: Tree) -> Tree:
        return jax.lax.fori_loop(0, length, lambda j, carry: step(length * k + j, carry), carry)

    return jax.lax.fori_loop(0, (n + length - 1) // length, go_round, carry)


def _all_finite(tree: Tree) -> Array:
    flags = [jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)]
    return jnp.all(jnp.stack(flags)) if flags else jnp.ones((), bool)


class Failure(NamedTuple):
    """Where an optimization could not go on.

    Attributes
    ----------
    step
        The first step that failed.
    position
        Where it stood.
    data
        The data of the failing step.
    """

    step: int
    position: Position
    data: Tree


class FitJob:
    """An optimization on its way: a job for the runner.

    All decisions fall at the ends of blocks of steps, so that how the runner cuts the work changes nothing.

    Parameters
    ----------
    loop
        The compiled steps.
    position
        Where to start.
    data
        The data, or what is fixed of them.
    num_steps
        Most steps to make.
    feed
        Where batches come from, or None.
    rates
        Factors of the step size: the next one holds when the loss no longer falls, and after the last one the run
        ends. Empty, the run makes all its steps.
    watch
        Called with the job at the end of every block; True ends the run.
    """

    def __init__(
        self,
        loop: UpdateLoop,
        position: Position,
        data: Tree,
        num_steps: int,
        *,
        feed: Feed | None = None,
        rates: tuple[float, ...] = (1.0,),
        watch: Callable[["FitJob"], bool] | None = None,
    ) -> None:
        self._watch, self.stopped = watch, False
        self._loop, self.position, self._data, self._feed, self._rates = loop, position, data, feed, rates
        self.done, self.total, self.max_chunk = 0, num_steps, loop.block
        self.steps, self.skipped, self.first_skipped = 0, 0, -1
        self.losses = np.full(num_steps, np.nan)
        self.converged, self.exhausted = False, False
        self.failure: Failure | None = None
        self.best: tuple[float, int, Tree, Position] | None = None  # mean loss, step, parameters, position
        self._guarded, self._phase, self._phase_began, self._lowest = False, 0, 0, np.inf
        self._plateau, self._sum, self._block_began = Plateau(loop.block), None, 0

    @property
    def _finished(self) -> bool:
        return self.converged or self.exhausted or self.stopped or self.failure is not None

    def advance(self, n: int) -> None:
        """Go on by ``n`` steps, or to the end if that comes first."""
        goal = min(self.steps + n, self.total)
        while self.steps < goal and not self._finished:
            boundary = (self.steps // self._loop.block + 1) * self._loop.block
            self._go(min(goal, boundary) - self.steps)
            if not self._finished and self.steps in (boundary, self.total):
                self._judge()
                self.stopped = self._watch is not None and self._watch(self)
        self.done = self.total if self._finished else self.steps

    def _go(self, n: int) -> None:
        data, first = self._data, 0
        if self._feed is not None:
            taken = self._feed.take()
            if taken is None:
                self.exhausted = True
                return
            arrays, first, left = taken
            data, n = (self._data, arrays), min(n, left)
        rate = self._rates[self._phase] if self._rates else 1.0
        start = self.position
        total = self._loop.no_total(start) if self._sum is None else self._sum
        position, piece = self._loop.run(start, total, rate, data, first, n, guarded=self._guarded)
        if not self._guarded and not (np.isfinite(np.asarray(piece.losses)[:n]).all() and piece.finite):
            self._guarded = True  # once more from where this piece began, leaving out the steps that fail
            position, piece = self._loop.run(start, total, rate, data, first, n, guarded=True)
        made = int(piece.steps)
        losses = np.asarray(piece.losses)[:made]
        self.position = position
        self.losses[self.steps : self.steps + made] = losses
        self._count_failures(losses, int(piece.streak), data, first)
        self._sum = piece.total
        self.steps += made
        if self._feed is not None:
            self._feed.use(made)

    def _count_failures(self, losses: np.ndarray, streak: int, data: Tree, first: int) -> None:
        bad = np.flatnonzero(~np.isfinite(losses))
        self.skipped += bad.size
        if bad.size and self.first_skipped < 0:
            self.first_skipped = self.steps + int(bad[0])
        if streak >= _MAX_FAILURES:
            step = self.steps + len(losses) - streak
            failing = data if self._feed is None else (data[0], [x[first + len(losses) - 1] for x in data[1]])
            self.failure = Failure(step, self.position, failing)

    def _judge(self) -> None:
        """Decide at the end of a block: is it the best so far, and is it time for smaller steps or to stop."""
        block = self.losses[self._block_began : self.steps]
        count = self.steps - self._block_began
        mean = float(np.nanmean(block)) if np.isfinite(block).any() else np.inf
        if self._sum is None:
            params = self._loop.optim.get_params(self.position.optim)
        else:
            params = jax.tree.map(lambda x: np.asarray(x) / count, self._sum)
        # The latest block counts where noise may have favoured an earlier one.
        finite = block[np.isfinite(block)]
        error = np.sqrt(np.mean(np.diff(finite) ** 2) / 2 / finite.size) if finite.size > 1 else 0.0
        if self.best is None or mean <= self._lowest + 2 * error:
            self.best = mean, self.steps, params, self.position
        self._lowest = min(self._lowest, mean)
        self._sum, self._block_began = None, self.steps
        if self._rates and self._plateau.test(self.losses[self._phase_began : self.steps]):
            self._plateau.restart()
            self._phase_began = self.steps
            if self._phase + 1 < len(self._rates):
                self._phase += 1
            else:
                self.converged = True

    def describe(self) -> str:
        """Word the state of the run."""
        if not self.steps:
            return "starting"
        recent = self.losses[max(0, self.steps - 100) : self.steps]
        mean = np.nanmean(recent) if np.isfinite(recent).any() else np.nan
        told = f"loss {mean:.6g}"
        return f"{told}, converged after {self.steps} steps" if self.converged else told
