"""Apply a function to every draw: compiled once, in batches of bounded memory, with progress and Ctrl-C."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from pyrox.errors import SamplingError
from pyrox.progress import Progress, start_progress
from pyrox.runner import Interrupts, Runner, available_cores
from pyrox.samplers.executables import compile_function
from pyrox.samplers.passes.jaxprs import equations
from pyrox.typing import Tree

# Numbers that one batch may take in and give back, and most draws of a batch.
_BATCH_NUMBERS = 2**21
_BATCH = 256
_FACTORISATIONS = {"cholesky", "triangular_solve", "lu", "qr", "geqrf", "householder_product", "eigh", "eig", "svd"}


def map_draws(
    function: Callable[[Tree, Tree], dict[str, Any]],
    draws: Tree,
    data: Tree,
    *,
    title: str = "",
    show: bool = False,
    interrupts: Interrupts | None = None,
) -> dict[str, np.ndarray]:
    """Apply a function to every draw.

    Parameters
    ----------
    function
        Function of one draw, and of data, that gives arrays by name.
    draws
        A tree of arrays with one leading axis, the draws.
    data
        A tree of arrays.
    title
        What is done, for the progress bar.
    show
        Whether to show progress.
    interrupts
        Where Ctrl-C is counted.

    Returns
    -------
    Arrays by name, with the leading axis of the draws. After Ctrl-C it is shorter: it holds the first ones.

    Raises
    ------
    SamplingError
        If Ctrl-C came before anything was done.
    """
    interrupts = interrupts or Interrupts()
    count = len(jax.tree.leaves(draws)[0])
    one, shapes = _structs(draws, drop=1), _structs(data)
    outputs = jax.eval_shape(function, one, shapes)
    size = _batch_size(count, (one, outputs))
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct((size, *x.shape), x.dtype), one)
    many = _one_by_one if calls_libraries(function, one, shapes) else partial(jax.vmap, in_axes=(0, None))
    executable = compile_function(many(function), batch, shapes)
    found = {name: np.empty((count, *x.shape), x.dtype) for name, x in outputs.items()}
    cores = min(available_cores(), math.ceil(count / size))
    jobs = [_Job(executable, draws, data, found, size, (i, cores)) for i in range(cores)]
    progress = Counted(start_progress(count, title, show=show), size, count)
    try:
        complete = Runner(jobs, cores, progress, interrupts=interrupts).run()
    finally:
        progress.close()
    if complete:
        return found
    reached = min(min(job.done * job.stride + job.first for job in jobs) * size, count)
    if not reached:
        raise SamplingError(f"{title.lower() or 'the run'} was interrupted before anything was drawn")
    return {name: x[:reached] for name, x in found.items()}


def calls_libraries(function: Callable, *structs: Tree) -> bool:
    """Tell whether a function factorises matrices.

    A library does that, for many matrices at once on threads of the backend, which now and then wait for one another
    for ever; a matrix at a time it does where it is called.
    """
    return any(eqn.primitive.name in _FACTORISATIONS for eqn in equations(jax.make_jaxpr(function)(*structs).jaxpr))


def _one_by_one(function: Callable) -> Callable:
    return lambda rows, data: jax.lax.map(lambda row: function(row, data), rows)


def _batch_size(count: int, structs: Tree) -> int:
    numbers = sum(math.prod(x.shape) for x in jax.tree.leaves(structs))
    fitting = 2 ** int(np.log2(np.clip(_BATCH_NUMBERS / max(numbers, 1), 1, _BATCH)))
    # A few draws alone need no more places than there are; batches of other lengths share one executable.
    return min(fitting, 2 ** math.ceil(math.log2(max(count, 1))))


def _structs(tree: Tree, drop: int = 0) -> Tree:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x)[drop:], x.dtype), tree)


class _Job:
    """Every so-many-th batch, beginning with a certain one, so that all jobs move along the draws together."""

    max_chunk = 16

    def __init__(
        self, executable: Any, draws: Tree, data: Tree, found: dict[str, np.ndarray], size: int, which: tuple[int, int]
    ) -> None:
        self._executable, self._draws, self._data, self._found, self._size = executable, draws, data, found, size
        self.first, self.stride = which
        self._count = len(next(iter(found.values())))
        self.done = 0
        # The same for all, as the runner asks; the last round may leave some jobs nothing to do.
        self.total = math.ceil(self._count / (size * self.stride))

    def advance(self, n: int) -> None:
        """Do ``n`` batches."""
        for _ in range(n):
            begin = (self.first + self.done * self.stride) * self._size
            end = min(begin + self._size, self._count)
            self.done += 1
            if begin >= end:
                continue
            piece = jax.tree.map(lambda x: _fill(x[begin:end], self._size), self._draws)  # noqa: B023
            for name, values in self._executable(piece, self._data).items():
                self._found[name][begin:end] = np.asarray(values)[: end - begin]


def _fill(rows: Any, size: int) -> Any:
    """Repeat the last row up to a length; values of the right kind give no NaN on the way."""
    return rows if len(rows) == size else rows[np.minimum(np.arange(size), len(rows) - 1)]


class Counted:
    """Progress in draws of jobs that count batches."""

    def __init__(self, progress: Progress, size: int, count: int) -> None:
        self._progress, self._size, self._count = progress, size, count

    def update(self, done: int, describe: Callable[[], str]) -> None:
        """Show progress."""
        self._progress.update(min(done * self._size, self._count), describe)

    def close(self) -> None:
        """Leave the last state standing."""
        self._progress.close()
