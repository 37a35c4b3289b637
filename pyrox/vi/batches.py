"""Feed an optimization with batches: from an iterator, in groups, on the device before they are needed."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from pyrox.errors import ModelError
from pyrox.typing import Tree

# A group is at most so many batches, and numbers.
_GROUP = 64
_GROUP_NUMBERS = 2**22
_GROUPS_AHEAD = 2


class Arguments(NamedTuple):
    """The arguments of model and guide: arrays apart from the rest, which belongs to the structure."""

    layout: Any
    static: tuple

    @staticmethod
    def split(args: tuple, kwargs: Mapping[str, Any]) -> tuple["Arguments", list]:
        """Take the arrays out."""
        leaves, layout = jax.tree.flatten((tuple(args), dict(kwargs)))
        static = tuple(None if _is_array(x) else x for x in leaves)
        return Arguments(layout, static), [x for x in leaves if _is_array(x)]

    def join(self, arrays: Iterable) -> tuple[tuple, dict]:
        """Put arrays back."""
        rest = iter(arrays)
        leaves = [next(rest) if x is None else x for x in self.static]
        return jax.tree.unflatten(self.layout, leaves)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) or (isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biufc")


def as_arguments(batch: Any) -> tuple[tuple, dict]:
    """Read a batch as arguments: a tuple or list by position, a mapping by name, anything else as the only one."""
    if isinstance(batch, Mapping):
        return (), dict(batch)
    if isinstance(batch, tuple | list):
        return tuple(batch), {}
    return (batch,), {}


class Group(NamedTuple):
    """Some batches in a row, of the same shapes.

    Attributes
    ----------
    arrays
        Their arrays, stacked along a leading axis of a fixed length; what is beyond ``length`` is filling.
    length
        Number of batches.
    """

    arrays: list
    length: int


class Feed:
    """Read an iterable of batches ahead on a thread, in groups that lie on the device.

    An iterable that ends is read again from its start, as a list or a data loader can be; what can be read only once
    ends the optimization.

    Parameters
    ----------
    batches
        The iterable.
    transform
        Makes a list of arrays of a batch, all of one length and structure.
    """

    def __init__(self, batches: Iterable, transform: Callable[[Any], list]) -> None:
        self._batches, self._transform = batches, transform
        self._ahead: queue.Queue = queue.Queue(maxsize=_GROUPS_AHEAD)
        self._stop = threading.Event()
        self._group: Group | None = None
        self._used = 0
        self._thread = threading.Thread(target=self._read, name="pyrox-batches", daemon=True)
        self._thread.start()

    def take(self) -> tuple[list, int, int] | None:
        """Give the present group: its arrays, which batch comes next, how many are left; None at the end."""
        if self._group is None or self._used == self._group.length:
            item = self._ahead.get()
            if isinstance(item, BaseException):
                raise item
            self._group, self._used = item, 0
            if item is None:
                return None
        return self._group.arrays, self._used, self._group.length - self._used

    def use(self, n: int) -> None:
        """Count ``n`` batches as used."""
        self._used += n

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        while self._thread.is_alive():
            try:
                self._ahead.get(timeout=0.01)
            except queue.Empty:
                continue

    def _put(self, item: Any) -> bool:
        while not self._stop.is_set():
            try:
                self._ahead.put(item, timeout=0.05)
            except queue.Full:
                continue
            return True
        return False

    def _read(self) -> None:
        try:
            for group in self._groups():
                if not self._put(group):
                    return
            self._put(None)
        except BaseException as error:  # handed to the thread that takes
            self._put(error)

    def _endless(self) -> Iterator[list]:
        once = iter(self._batches) is self._batches
        while not self._stop.is_set():
            found = False
            for batch in self._batches:
                found = True
                yield [np.asarray(x) for x in self._transform(batch)]
            if once or not found:
                return

    def _groups(self) -> Iterator[Group]:
        waiting: list[list] = []
        for arrays in self._endless():
            if waiting and [x.shape for x in arrays] != [x.shape for x in waiting[0]]:
                yield _stack(waiting)
                waiting = []
            waiting.append(arrays)
            if len(waiting) >= group_length(arrays):
                yield _stack(waiting)
                waiting = []
        if waiting:
            yield _stack(waiting)


def group_length(arrays: list) -> int:
    """Give the number of batches of a group."""
    return int(np.clip(_GROUP_NUMBERS // max(1, sum(x.size for x in arrays)), 1, _GROUP))


def _stack(waiting: list[list]) -> Group:
    filled = waiting + [waiting[-1]] * (group_length(waiting[0]) - len(waiting))
    return Group([jax.device_put(np.stack(column)) for column in zip(*filled, strict=True)], len(waiting))


def first_batch(batches: Iterable) -> tuple[Any, Iterable]:
    """Look at the first batch; give it, and an iterable that still has it.

    Raises
    ------
    ModelError
        If there is none.
    """
    iterator = iter(batches)
    try:
        first = next(iterator)
    except StopIteration:
        raise ModelError("batches is empty: give an iterable of the arguments of single steps") from None
    return first, _again(first, iterator) if iterator is batches else batches


def _again(first: Any, rest: Iterator) -> Iterator:
    yield first
    yield from rest


def to_device(tree: Tree) -> Tree:
    """Put arrays on the device, once."""
    return jax.tree.map(jax.numpy.asarray, tree)
