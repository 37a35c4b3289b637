"""Run chains: starting points, jobs for the runner, and the draws they leave."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import numpy as np
import threadpoolctl

from pyrox.samplers.chain import ChainState
from pyrox.samplers.compile import ChainProgram
from pyrox.samplers.kernel import Info
from pyrox.typing import Array, ArrayLike, Key, Tree

_INTEGER = frozenset({"tree_depth", "n_steps"})
_BOOLEAN = frozenset({"diverging", "reached_max_treedepth"})
# Compiled: done step by step, folding takes longer than a short chunk of a chain.
fold_in = jax.jit(jax.random.fold_in)
_COLUMN = {name: i for i, name in enumerate(Info._fields)}
# Progress is shown of so many iterations.
_RECENT = 100


class Sink(Protocol):
    """Where a chain's draws go."""

    def add(self, begin: int, draws: np.ndarray, stats: np.ndarray, chain: ChainState) -> None:
        """Take the transitions from number ``begin`` on, and where the chain is after them."""
        ...


class Memory:
    """Keep what a chain draws, from the iteration where it begins to the end.

    Parameters
    ----------
    lanes
        Leading axes of positions: ``()``, or ``(chains,)`` where all chains advance side by side.
    dim, dtype
        Length and type of a position.
    begin, end
        First iteration, and the one after the last.
    skipped
        Iterations before this one leave statistics only.
    """

    def __init__(self, lanes: tuple[int, ...], dim: int, dtype: Any, *, begin: int, end: int, skipped: int) -> None:
        self._begin, self._first = begin, max(begin, skipped)
        self._positions = np.empty((*lanes, max(end - self._first, 0), dim), dtype)
        self._stats = np.empty((*lanes, max(end - begin, 0), len(Info._fields)), dtype)
        self._end = begin

    def add(self, begin: int, draws: np.ndarray, stats: np.ndarray, chain: ChainState) -> None:
        """Take some transitions."""
        end = begin + stats.shape[-2]
        self._stats[..., begin - self._begin : end - self._begin, :] = stats
        first = max(begin, self._first)
        if end > first:
            self._positions[..., first - self._first : end - self._first, :] = draws[..., first - begin :, :]
        self._end = end

    def positions(self) -> np.ndarray:
        """Give the positions so far, shape ``(chain, iteration, dim)``."""
        kept = self._positions[..., : max(self._end - self._first, 0), :]
        return kept if kept.ndim == 3 else kept[None]

    def stats(self) -> np.ndarray:
        """Give the statistics so far, shape ``(chain, iteration, statistic)``."""
        kept = self._stats[..., : self._end - self._begin, :]
        return kept if kept.ndim == 3 else kept[None]


class ChainJob:
    """One call's worth of chains on their way: a job for the runner.

    Parameters
    ----------
    program
        The compiled chain.
    data
        What the log-density is conditioned on.
    chain
        State of the chain, or of all ``lanes`` chains: at a start, or where an earlier run left it.
    num_draws
        Draws to make in all, after the warm-up.
    keep_warmup
        Whether the positions of the warm-up are kept as well.
    sink
        Where draws go; None keeps them in ``memory``.
    """

    def __init__(
        self,
        program: ChainProgram,
        data: Tree,
        chain: ChainState,
        num_draws: int,
        *,
        keep_warmup: bool,
        sink: Sink | None = None,
    ) -> None:
        self._program, self._data, self.chain = program, data, chain
        self.num_warmup = int(np.max(chain.num_warmup))
        self.begin = self.done = int(np.max(chain.iteration))
        self.total = self.num_warmup + num_draws
        self.max_chunk = program.buffer
        lanes, dim = np.shape(chain.state.position)[:-1], np.shape(chain.state.position)[-1]
        self.memory: Memory | None = None
        if sink is None:
            skipped = 0 if keep_warmup else self.num_warmup
            sink = self.memory = Memory(
                lanes, dim, program.dtype, begin=self.begin, end=self.total, skipped=skipped
            )
        self._sink = sink
        self.divergences = np.zeros(lanes, int)
        self.recent = np.empty((*lanes, 0, len(Info._fields)), program.dtype)

    def advance(self, n: int) -> None:
        """Make ``n`` transitions and pass them on."""
        chain, draws, stats = self._program.advance(self.chain, self._data, n)
        self._sink.add(self.done, draws, stats, chain)
        drawn = stats[..., max(self.num_warmup - self.done, 0) :, _COLUMN["diverging"]]
        self.divergences = self.divergences + drawn.sum(-1).astype(int)
        self.recent = np.concatenate([self.recent, stats], axis=-2)[..., -_RECENT:, :]
        self.chain = chain
        self.done += n


@dataclass(frozen=True)
class Draws:
    """What a run has left: positions and statistics, warm-up apart from draws."""

    positions: np.ndarray  # (chain, draw, dim)
    stats: dict[str, np.ndarray]  # (chain, draw)
    warmup_positions: np.ndarray | None
    warmup_stats: dict[str, np.ndarray]


def collect(jobs: list[ChainJob], *, keep_warmup: bool) -> Draws:
    """Put the chains of all jobs together, as far as all of them have come."""
    begin, length = jobs[0].begin, min(job.done for job in jobs)
    num_warmup = min(max(jobs[0].num_warmup - begin, 0), length - begin)
    stats = np.concatenate([job.memory.stats()[:, : length - begin] for job in jobs])
    skipped = begin if keep_warmup else max(begin, jobs[0].num_warmup)
    positions = np.concatenate([job.memory.positions()[:, : max(length - skipped, 0)] for job in jobs])
    return Draws(
        positions=positions[:, num_warmup if keep_warmup else 0 :],
        stats=name_stats(stats[:, num_warmup:]),
        warmup_positions=positions[:, :num_warmup] if keep_warmup else None,
        warmup_stats=name_stats(stats[:, :num_warmup]),
    )


def name_stats(stats: np.ndarray) -> dict[str, np.ndarray]:
    """Give the columns of statistics their names and types."""
    named = {}
    for name, column in _COLUMN.items():
        dtype = bool if name in _BOOLEAN else np.int64 if name in _INTEGER else stats.dtype
        named[name] = stats[..., column].astype(dtype)
    return named


@dataclass(frozen=True)
class ChainProgress:
    """How far one chain is.

    Attributes
    ----------
    done, total
        Iterations, warm-up included.
    warming
        Whether it is in its warm-up.
    divergences
        Divergent transitions after the warm-up.
    step_size
        Median step size of the last hundred iterations; NaN before the first one.
    n_steps
        Mean number of gradients of the last hundred iterations.
    """

    done: int
    total: int
    warming: bool
    divergences: int
    step_size: float
    n_steps: float


def progress_of(jobs: list[ChainJob]) -> list[ChainProgress]:
    """Tell how far each chain of all jobs is."""
    found = []
    for job in jobs:
        recent, divergences = job.recent, np.atleast_1d(job.divergences)
        recent = recent if recent.ndim == 3 else recent[None]
        for rows, count in zip(recent, divergences, strict=True):
            known = len(rows) > 0
            found.append(
                ChainProgress(
                    done=job.done,
                    total=job.total,
                    warming=job.done < job.num_warmup,
                    divergences=int(count),
                    step_size=float(np.median(rows[:, _COLUMN["step_size"]])) if known else np.nan,
                    n_steps=float(rows[:, _COLUMN["n_steps"]].mean()) if known else np.nan,
                )
            )
    return found


def describe(jobs: list[ChainJob]) -> str:
    """Word the state of a run: divergences, step size, gradients a draw."""
    chains = [chain for chain in progress_of(jobs) if not np.isnan(chain.step_size)]
    if not chains:
        return "starting"
    phase = "warm-up, " if any(chain.warming for chain in chains) else ""
    divergences = sum(chain.divergences for chain in chains)
    counted = f"{divergences} divergence{'' if divergences == 1 else 's'}"
    step_size, effort = np.mean([c.step_size for c in chains]), np.mean([c.n_steps for c in chains])
    return f"{phase}{counted}, step size {step_size:.2g}, {effort:.3g} gradients/draw"


@contextlib.contextmanager
def one_thread_each(program: ChainProgram) -> Iterator[None]:
    """Keep libraries of linear algebra from starting threads of their own.

    A native kernel does not call them, but the metric may be renewed with their help. Chains side by side take all
    cores already, and the sums of several threads would depend on their number.
    """
    if program.native and not program.recipe.window:
        yield
        return
    with _blas().limit(limits=1, user_api="blas"):
        yield


@functools.cache
def _blas() -> threadpoolctl.ThreadpoolController:
    """Find the libraries of linear algebra, which takes longer than to limit them."""
    return threadpoolctl.ThreadpoolController()


def find_starts(
    program: ChainProgram,
    data: Tree,
    keys: list[Key],
    propose: Callable[[int, Key], Array],
    *,
    num_warmup: int,
    target_accept: ArrayLike,
    max_tries: int,
) -> tuple[list[ChainState], list[int]]:
    """Try starting points until every chain has one with a finite log-density and gradient.

    Returns
    -------
    The chains, evaluated at their starts; the numbers of those whose last start is not finite.
    """
    chains: list[ChainState] = [None] * len(keys)
    failing = list(range(len(keys)))
    for attempt in range(max_tries):
        for i in failing:
            position = propose(i, key_of_attempt(keys[i], attempt))
            chains[i] = program.start(chain_key(keys[i]), position, num_warmup, target_accept)
        chains = program.evaluate(chains, data)
        failing = [i for i in failing if not _is_finite(chains[i])]
        if not failing:
            break
    return chains, failing


def key_of_attempt(key: Key, attempt: int) -> Key:
    """Give the key of one attempt to find a start for a chain, by the key of the chain."""
    return fold_in(key, attempt + 1)


def _is_finite(chain: ChainState) -> bool:
    return bool(np.isfinite(chain.state.log_density) and np.all(np.isfinite(chain.state.gradient)))


def chain_key(key: Key) -> np.ndarray:
    """Give the numbers from which a chain's own random numbers follow."""
    return np.asarray(jax.random.key_data(fold_in(key, 0)))
