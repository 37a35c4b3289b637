"""Run chains: starting points, jobs for the runner, and the draws they leave."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from pyrox.samplers.chain import ChainState
from pyrox.samplers.compile import ChainProgram
from pyrox.samplers.kernel import Info
from pyrox.typing import Array, Key, Tree

_INTEGER = frozenset({"tree_depth", "n_steps"})
_BOOLEAN = frozenset({"diverging", "reached_max_treedepth"})
_COLUMN = {name: i for i, name in enumerate(Info._fields)}


class ChainJob:
    """One call's worth of chains on their way: a job for the runner, and the store of what they drew.

    Parameters
    ----------
    program
        The compiled chain.
    data
        What the log-density is conditioned on.
    chain
        State of the chain, or of all ``lanes`` chains.
    num_draws
        Draws to keep, after the warm-up.
    keep_warmup
        Whether the positions of the warm-up are stored as well.
    """

    def __init__(
        self, program: ChainProgram, data: Tree, chain: ChainState, num_draws: int, *, keep_warmup: bool
    ) -> None:
        self._program, self._data, self.chain = program, data, chain
        self.num_warmup = int(np.max(chain.num_warmup))
        self.done, self.total = 0, self.num_warmup + num_draws
        self.max_chunk = program.buffer
        self._skipped = 0 if keep_warmup else self.num_warmup
        lanes, dim = np.shape(chain.state.position)[:-1], np.shape(chain.state.position)[-1]
        self._positions = np.empty((*lanes, self.total - self._skipped, dim), program.dtype)
        self._stats = np.empty((*lanes, self.total, len(Info._fields)), program.dtype)

    def advance(self, n: int) -> None:
        """Make ``n`` transitions and store them."""
        self.chain, draws, stats = self._program.advance(self.chain, self._data, n)
        begin, end = self.done, self.done + n
        self._stats[..., begin:end, :] = stats
        first = max(begin, self._skipped)
        if end > first:
            kept = slice(first - self._skipped, end - self._skipped)
            self._positions[..., kept, :] = draws[..., first - begin :, :]
        self.done = end

    def positions(self) -> np.ndarray:
        """Give what was stored, shape ``(chain, iteration, dim)``."""
        stored = self._positions[..., : max(self.done - self._skipped, 0), :]
        return stored if self._program.lanes is not None else stored[None]

    def stats(self) -> np.ndarray:
        """Give the statistics of all iterations so far, shape ``(chain, iteration, statistic)``."""
        so_far = self._stats[..., : self.done, :]
        return so_far if self._program.lanes is not None else so_far[None]


@dataclass(frozen=True)
class Draws:
    """What a run has left: positions and statistics, warm-up apart from draws."""

    positions: np.ndarray  # (chain, draw, dim)
    stats: dict[str, np.ndarray]  # (chain, draw)
    warmup_positions: np.ndarray | None
    warmup_stats: dict[str, np.ndarray]


def collect(jobs: list[ChainJob], *, keep_warmup: bool) -> Draws:
    """Put the chains of all jobs together, as far as all of them have come."""
    length = min(job.done for job in jobs)
    num_warmup = min(jobs[0].num_warmup, length)
    stats = np.concatenate([job.stats()[:, :length] for job in jobs])
    skipped = 0 if keep_warmup else jobs[0].num_warmup
    positions = np.concatenate([job.positions()[:, : max(length - skipped, 0)] for job in jobs])
    return Draws(
        positions=positions[:, num_warmup if keep_warmup else 0 :],
        stats=_name_stats(stats[:, num_warmup:]),
        warmup_positions=positions[:, :num_warmup] if keep_warmup else None,
        warmup_stats=_name_stats(stats[:, :num_warmup]),
    )


def _name_stats(stats: np.ndarray) -> dict[str, np.ndarray]:
    named = {}
    for name, column in _COLUMN.items():
        dtype = bool if name in _BOOLEAN else np.int64 if name in _INTEGER else stats.dtype
        named[name] = stats[..., column].astype(dtype)
    return named


def describe(jobs: list[ChainJob]) -> str:
    """Word the state of a run: divergences, step size, gradients a draw."""
    divergences, steps, step_sizes, warming = 0, [], [], False
    for job in jobs:
        if not job.done:
            continue
        stats = job.stats()
        divergences += int(stats[:, job.num_warmup :, _COLUMN["diverging"]].sum())
        recent = stats[:, -100:]
        steps.append(recent[..., _COLUMN["n_steps"]].mean())
        step_sizes.append(recent[:, -1, _COLUMN["step_size"]].mean())
        warming |= job.done < job.num_warmup
    if not steps:
        return "starting"
    phase, effort = "warm-up" if warming else "draws", np.mean(steps)
    return f"{phase}, {divergences} divergences, step size {np.mean(step_sizes):.2g}, {effort:.3g} gradients/draw"


def find_starts(
    program: ChainProgram,
    data: Tree,
    keys: list[Key],
    propose: Callable[[int, Key], Array],
    *,
    num_warmup: int,
    target_accept: float,
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
            position = propose(i, jax.random.fold_in(keys[i], attempt + 1))
            chains[i] = program.start(chain_key(keys[i]), position, num_warmup, target_accept)
        chains = program.evaluate(chains, data)
        failing = [i for i in failing if not _is_finite(chains[i])]
        if not failing:
            break
    return chains, failing


def _is_finite(chain: ChainState) -> bool:
    return bool(np.isfinite(chain.state.log_density) and np.all(np.isfinite(chain.state.gradient)))


def chain_key(key: Key) -> np.ndarray:
    """Give the numbers from which a chain's own random numbers follow."""
    return np.asarray(jax.random.key_data(jax.random.fold_in(key, 0)))
