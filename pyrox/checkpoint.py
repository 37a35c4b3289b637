"""Stream a run to a store: finished draws and the states of its chains, with memory bounded by a chunk."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from pyrox.samplers.chain import ChainState
from pyrox.samplers.run import name_stats
from pyrox.samplers.saved import to_arrays, unstack
from pyrox.store import Store

# Draws count on disk after about so many seconds; where writing them would take more than this share of the time,
# later, but not later than so.
COMMIT_SECONDS = 2.0
_MAX_SHARE = 0.05
_MAX_SECONDS = 30.0

# Most numbers of one file, and most draws in it.
_FILE_NUMBERS = 2**18
_FILE_DRAWS = 2**15

Turn = Callable[[np.ndarray, int], Mapping[str, Mapping[str, np.ndarray]]]


def rows_of_file(numbers: int, draws: int) -> int:
    """Choose how many draws of a chain share a file, a power of two.

    Parameters
    ----------
    numbers
        Numbers that make a draw.
    draws
        Draws that a chain will make.
    """
    fitting = 2 ** int(np.log2(max(_FILE_NUMBERS / max(numbers, 1), 1)))
    needed = 2 ** int(np.ceil(np.log2(max(draws, 1))))
    return int(min(fitting, needed, _FILE_DRAWS))


class _Rows:
    """Draws of one stretch of the run, warm-up or posterior, on their way to the store.

    ``turn`` makes of positions ``(chain, draw, dim)`` and the number of the first draw the values by group.
    """

    def __init__(self, store: Store, stats_group: str, turn: Turn, chains: range, next_row: int) -> None:
        self._store, self._group, self._turn, self._chains = store, stats_group, turn, chains
        self._next = next_row
        self._positions: list[np.ndarray] = []
        self._stats: list[np.ndarray] = []

    @property
    def waiting(self) -> int:
        """Rows that are not written yet."""
        return sum(stats.shape[1] for stats in self._stats)

    def add(self, positions: np.ndarray, stats: np.ndarray) -> None:
        """Take rows, copied: they are views of a larger buffer."""
        self._positions.append(positions.copy())
        self._stats.append(stats.copy())

    def write(self) -> list[Path]:
        """Write all that waits; give the files."""
        if not self.waiting:
            return []
        positions, stats = np.concatenate(self._positions, axis=1), np.concatenate(self._stats, axis=1)
        groups = {**self._turn(positions, self._next), self._group: name_stats(stats)}
        files = []
        for group, values in groups.items():
            for i, chain in enumerate(self._chains):
                files += self._store.write(group, chain, self._next, {name: x[i] for name, x in values.items()})
        self._next += positions.shape[1]
        self._positions, self._stats = [], []
        return files


class ChainStream:
    """The way of one job's draws to the store: a sink for ``ChainJob``.

    Parameters
    ----------
    checkpoint
        Where they go.
    chains
        Numbers of the job's chains.
    state
        Where they are.
    lanes
        Number of chains that advance side by side, or None.
    """

    def __init__(self, checkpoint: "Checkpoint", chains: range, state: ChainState, lanes: int | None) -> None:
        self._checkpoint, self._lanes = checkpoint, lanes
        self._num_warmup = int(np.max(state.num_warmup))
        begin = int(np.max(state.iteration))
        store = checkpoint.store
        self._draws = _Rows(store, "sample_stats", checkpoint.turn, chains, max(begin - self._num_warmup, 0))
        self._warmup = None
        if checkpoint.keep_warmup:
            row = min(begin, self._num_warmup)
            self._warmup = _Rows(store, "warmup_sample_stats", checkpoint.turn_warmup, chains, row)
        self._state = self.committed = state
        self._files: list[Path] = []
        self._lock = threading.Lock()
        self._due = time.monotonic() + COMMIT_SECONDS

    def add(self, begin: int, draws: np.ndarray, stats: np.ndarray, chain: ChainState) -> None:
        """Take transitions; write them where a file is full, and let them count where that is due."""
        if draws.ndim == 2:
            draws, stats = draws[None], stats[None]
        split = max(self._num_warmup - begin, 0)
        with self._lock:
            if self._warmup is not None and split:
                self._warmup.add(draws[:, :split], stats[:, :split])
            if draws.shape[1] > split:
                self._draws.add(draws[:, split:], stats[:, split:])
            self._state = chain
            if self._draws.waiting + (self._warmup.waiting if self._warmup else 0) >= self._checkpoint.rows:
                self._write()
        if time.monotonic() >= self._due:
            began = time.monotonic()
            self.flush()
            self._checkpoint.commit()
            took = time.monotonic() - began
            self._due = time.monotonic() + min(max(COMMIT_SECONDS, took / _MAX_SHARE), _MAX_SECONDS)

    def _write(self) -> None:
        for rows in filter(None, (self._warmup, self._draws)):
            self._files += rows.write()

    def flush(self) -> None:
        """Bring everything to the disk; the next commit lets it count."""
        with self._lock:
            self._write()
            self._checkpoint.store.sync(dict.fromkeys(self._files))
            self._files = []
            self.committed = self._state

    def states(self) -> list[ChainState]:
        """Give the states whose draws are all on disk."""
        return unstack(self.committed, self._lanes)


class Checkpoint:
    """A run's store while the run goes on.

    Parameters
    ----------
    store
        The store, held.
    turn, turn_warmup
        Functions that make of positions, and the number of the first draw, the values by group.
    keep_warmup
        Whether the warm-up is stored.
    """

    def __init__(self, store: Store, turn: Turn, turn_warmup: Turn, *, keep_warmup: bool) -> None:
        self.store, self.turn, self.turn_warmup, self.keep_warmup = store, turn, turn_warmup, keep_warmup
        self.rows = int(store.record["rows"])
        self.streams: list[ChainStream] = []
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._earlier = float(store.record.get("sampling_time", 0.0))

    def stream(self, chain: ChainState, lanes: int | None) -> ChainStream:
        """Make the sink of the next job."""
        first = len(self.streams)
        chains = range(first, first + 1) if lanes is None else range(lanes)
        self.streams.append(ChainStream(self, chains, chain, lanes))
        return self.streams[-1]

    def flush(self, *, complete: bool = False) -> None:
        """Let everything count that has been drawn."""
        for stream in self.streams:
            stream.flush()
        self.commit(complete=complete)

    def commit(self, *, complete: bool = False) -> None:
        """Let everything count whose draws are on disk."""
        with self._lock:
            chains = [chain for stream in self.streams for chain in stream.states()]
            num_warmup = int(np.max(chains[0].num_warmup))
            done = min(int(chain.iteration) for chain in chains)
            lengths = dict.fromkeys(self.store.record["groups"], max(done - num_warmup, 0))
            if self.keep_warmup:
                lengths |= dict.fromkeys(("warmup_posterior", "warmup_sample_stats"), min(done, num_warmup))
            spent = self._earlier + time.monotonic() - self._began
            self.store.record |= {"done": done, "complete": complete, "sampling_time": spent}
            attrs = {"sampling_time": spent, "interrupted": None if complete else 1}
            self.store.commit(lengths, to_arrays(chains), attrs)
