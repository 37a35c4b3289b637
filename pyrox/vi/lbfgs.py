"""Limited-memory BFGS over a flat position, compiled once for any data, with its path kept."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.config import number_dtype
from pyrox.samplers.executables import compile_function
from pyrox.typing import Array, Tree

MEMORY = 8
# Weak Wolfe conditions: enough decrease, and a slope that has flattened.
_DECREASE, _SLOPE = 1e-4, 0.9
_MAX_TRIALS = 30
_CHUNK = 64


class Descent(NamedTuple):
    """Where a descent stands.

    Attributes
    ----------
    position, value, gradient
        The position, the function there and its gradient.
    steps, yields
        The last changes of position and of gradient, one a row, the newest last; rows of zeros where there are none.
    iterations
        Steps made.
    done
        Whether nothing is to be gained any more.
    """

    position: Array
    value: Array
    gradient: Array
    steps: Array
    yields: Array
    iterations: Array
    done: Array


def direction(at: Descent) -> Array:
    """Give the quasi-Newton direction, by the two-loop recursion."""
    inner = jnp.sum(at.steps * at.yields, axis=1)
    weight = jnp.where(inner > 0, 1 / jnp.where(inner > 0, inner, 1), 0)

    def down(q: Array, row: tuple) -> tuple[Array, Array]:
        step, change, rho = row
        share = rho * jnp.dot(step, q)
        return q - share * change, share

    q, shares = jax.lax.scan(down, at.gradient, (at.steps, at.yields, weight), reverse=True)
    newest = jnp.sum(at.yields[-1] ** 2)
    first = 1 / jnp.maximum(jnp.linalg.norm(at.gradient), 1e-300)
    q = q * jnp.where(newest > 0, inner[-1] / jnp.where(newest > 0, newest, 1), jnp.minimum(first, 1.0))

    def up(r: Array, row: tuple) -> tuple[Array, None]:
        step, change, rho, share = row
        return r + step * (share - rho * jnp.dot(change, r)), None

    r, _ = jax.lax.scan(up, q, (at.steps, at.yields, weight, shares))
    return -r


class _Search(NamedTuple):
    low: Array
    high: Array
    length: Array
    value: Array
    gradient: Array
    trials: Array
    found: Array


def descend(fn: Callable[[Array], tuple[Array, Array]], at: Descent, tolerance: float) -> Descent:
    """Make one step: a direction, and along it a length by bisection.

    Parameters
    ----------
    fn
        Gives value and gradient at a position.
    at
        Where the descent stands.
    tolerance
        Relative decrease of the function below which it is done.
    """
    unknown = jnp.isnan(at.value)  # a start that nobody has looked at: this step stays there and evaluates
    way = direction(at)
    # A direction that leads upwards comes from rounding: go down the gradient.
    down = -at.gradient / jnp.maximum(jnp.linalg.norm(at.gradient), 1e-300)
    way = jnp.where(unknown, 0.0, jnp.where(jnp.dot(way, at.gradient) < 0, way, down))
    slope = jnp.dot(way, at.gradient)

    def attempt(s: _Search) -> _Search:
        value, gradient = fn(at.position + s.length * way)
        finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient))
        lower = finite & (value <= at.value + _DECREASE * s.length * slope)
        flat = jnp.dot(way, gradient) >= _SLOPE * slope
        high, low = jnp.where(lower, s.high, s.length), jnp.where(lower & ~flat, s.length, s.low)
        length = jnp.where(jnp.isfinite(high), 0.5 * (low + high), 2 * s.length)
        found = (lower & flat) | unknown
        return _Search(low, high, jnp.where(found, s.length, length), value, gradient, s.trials + 1, found)

    one, inf = jnp.ones_like(at.value), jnp.full_like(at.value, jnp.inf)
    start = _Search(0 * one, inf, one, at.value, at.gradient, jnp.zeros((), int), jnp.zeros((), bool))
    end = jax.lax.while_loop(lambda s: ~s.found & (s.trials < _MAX_TRIALS), attempt, start)
    moved, change = end.length * way, end.gradient - at.gradient
    curved = end.found & (jnp.dot(moved, change) > 1e-12 * jnp.linalg.norm(moved) * jnp.linalg.norm(change))
    keep = lambda rows, row: jnp.where(curved, jnp.roll(rows, -1, axis=0).at[-1].set(row), rows)  # noqa: E731
    little = at.value - end.value <= tolerance * jnp.maximum(1.0, jnp.abs(at.value))
    return Descent(
        position=jnp.where(end.found, at.position + moved, at.position),
        value=jnp.where(end.found, end.value, at.value),
        gradient=jnp.where(end.found, end.gradient, at.gradient),
        steps=keep(at.steps, moved),
        yields=keep(at.yields, change),
        iterations=at.iterations + 1,
        done=~unknown & (~end.found | little),
    )


class Path:
    """A descent on its way: a job for the runner, which keeps all positions that it comes through.

    Parameters
    ----------
    fn
        Function of a position ``(dim,)`` and data, to be made small.
    start
        The position to start from.
    data
        The data.
    max_iterations
        Most steps.
    tolerance
        Relative decrease of the function below which it is done.
    """

    max_chunk = _CHUNK

    def __init__(
        self,
        fn: Callable[[Array, Tree], Array],
        start: Array,
        data: Tree,
        max_iterations: int,
        tolerance: float = 1e-11,
    ) -> None:
        self._data = data
        self.done, self.total = 0, max_iterations
        position = np.asarray(start, number_dtype())
        blank = np.zeros((MEMORY, position.size), position.dtype)
        nothing = np.full((), np.nan, position.dtype), np.zeros_like(position)
        self.at = Descent(position, *nothing, blank, blank, np.int32(0), np.zeros((), bool))
        self.positions: list[np.ndarray] = []
        self.gradients: list[np.ndarray] = []
        self.values: list[np.ndarray] = []

        def advance(at: Descent, n: Array, data: Tree) -> tuple:
            value_and_grad = jax.value_and_grad(lambda x: fn(x, data))
            kept = jnp.zeros((_CHUNK, position.size), position.dtype)

            def body(carry: tuple) -> tuple:
                i, at, positions, gradients, values = carry
                at = descend(value_and_grad, at, tolerance)
                return (
                    i + 1, at, positions.at[i].set(at.position), gradients.at[i].set(at.gradient),
                    values.at[i].set(at.value),
                )  # fmt: skip

            start = jnp.zeros((), jnp.int32), at, kept, kept, jnp.zeros(_CHUNK, position.dtype)
            return jax.lax.while_loop(lambda c: (c[0] < n) & ~c[1].done, body, start)

        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), (self.at, np.int32(0), data))
        self._advance = compile_function(advance, *shapes)

    def advance(self, n: int) -> None:
        """Go on by ``n`` steps, or to the end if that comes first."""
        made, self.at, positions, gradients, values = jax.block_until_ready(
            self._advance(self.at, np.int32(min(n, _CHUNK)), self._data)
        )
        made = int(made)
        for kept, new in ((self.positions, positions), (self.gradients, gradients), (self.values, values)):
            kept.append(np.asarray(new)[:made])
        self.done = self.total if bool(self.at.done) else self.done + made

    def trajectory(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give positions, gradients and values, the start first."""
        return tuple(np.concatenate(x) for x in (self.positions, self.gradients, self.values))

    @property
    def converged(self) -> bool:
        """Whether the descent ended where nothing is to be gained."""
        return bool(self.at.done)

    def describe(self) -> str:
        """Word the state of the descent."""
        return f"log-density {-float(self.at.value):.6g}"


def any_path(paths: list[Path]) -> Callable[[], str]:
    """Word the state of the best of several descents."""

    def describe() -> str:
        values: list[Any] = [float(p.at.value) for p in paths if np.isfinite(p.at.value)]
        return f"log-density {-min(values):.6g}" if values else "starting"

    return describe
