"""Minibatches: rows of data, all of them until an optimization takes a few at random in each of its steps."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.errors import ModelError, ShapeError
from pyrox.model import values as host
from pyrox.model.nodes import Constant, Node, ancestors, call, describe
from pyrox.model.program import Data, RandomVariable

_LABEL = "minibatch"


class BatchIndex(Constant):
    """Which rows are looked at: all of them. What optimizes puts the numbers of a few in their place.

    Parameters
    ----------
    rows
        A node with as many rows.
    batch_size
        Number of rows of a batch.
    """

    def __init__(self, rows: Node, batch_size: int) -> None:
        self.inputs, self.batch_size = (rows,), batch_size
        self.label = None

    @property
    def value(self) -> np.ndarray:
        return np.arange(self.inputs[0].shape[0])

    @property
    def struct(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((self.inputs[0].shape[0],), np.dtype(jax.dtypes.canonicalize_dtype(int)))


def Minibatch(variable: Any, *variables: Any, batch_size: int) -> Any:  # noqa: N802 - PyMC's name
    """Let ``px.fit`` look at a few rows of data in each step, drawn at random; all else looks at all of them.

    The log-density of what is observed in batches is scaled up to all rows.

    Parameters
    ----------
    variable, *variables
        Arrays or ``px.Data`` of one length, whose rows belong together.
    batch_size
        Number of rows of a batch.

    Returns
    -------
    A variable; of several a tuple of them.

    Raises
    ------
    ShapeError
        If their lengths differ, or the batch is larger.

    Examples
    --------
    >>> import numpy as np
    >>> import pyrox as px
    >>> x = np.linspace(0.0, 1.0, 1000)
    >>> with px.Model():
    ...     some_x, some_y = px.Minibatch(x, 2 * x, batch_size=50)
    ...     slope = px.Normal("slope", 0.0, 1.0)
    ...     y = px.Normal("y", slope * some_x, 1.0, observed=some_y, total_size=1000)
    >>> y.shape
    (1000,)
    """
    nodes = [_as_rows(v, i) for i, v in enumerate((variable, *variables))]
    lengths = {node.shape[0] for node in nodes}
    if len(lengths) > 1:
        raise ShapeError(f"Minibatch: the data have {' and '.join(map(str, sorted(lengths)))} rows: give one length")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise ModelError(f"Minibatch: batch_size is a whole number of at least 1; met {batch_size!r}")
    if batch_size > nodes[0].shape[0]:
        raise ShapeError(f"Minibatch: batch_size={batch_size}, but the data have {nodes[0].shape[0]} rows")
    index = BatchIndex(nodes[0], int(batch_size))
    taken = tuple(call(_rows, node, index) for node in nodes)
    return taken if variables else taken[0]


def _rows(data: Any, index: Any) -> Any:
    # The numbers of rows are whole numbers below their count, by whoever draws them.
    return jnp.take(data, index, axis=0, mode="clip")


def _as_rows(value: Any, i: int) -> Node:
    what = f"argument {i} of Minibatch"
    if isinstance(value, Node) and not isinstance(value, Data):
        raise ModelError(f"{what} is data, an array or px.Data; met {describe(value)}")
    node = value if isinstance(value, Data) else Constant(host.as_host(value, what))
    if not node.shape:
        raise ShapeError(f"{what} has no rows: it is a single number")
    return node


def find_batch(observed: Node) -> BatchIndex | None:
    """Find which rows observed values are; None if they are not taken in batches."""
    return next((node for node in ancestors([observed]) if isinstance(node, BatchIndex)), None)


def name_batches(variable: RandomVariable, statements: Iterable[Node]) -> None:
    """Name the batches that an observed variable looks at, apart from those of a model."""
    variable.batch = find_batch(variable.observed)
    if variable.batch is None:
        return
    known = {v.batch.label: v.batch for v in statements if isinstance(v, RandomVariable) and v.batch is not None}
    if variable.batch.label is None:
        variable.batch.label = f"{_LABEL}:{len(known)}"
    if known.get(variable.batch.label, variable.batch) is not variable.batch:
        raise ModelError(f"{variable.name}: a Minibatch belongs to one model: make one for each")


def batches_of(model: Any) -> dict[str, int]:
    """Give the batch sizes of a model by the name of the datum that holds the numbers of rows.

    Raises
    ------
    ModelError
        If a variable depends on the rows of a Minibatch, and is not observed in the same one.
    """
    rows: dict[Node, frozenset[BatchIndex]] = {}
    found: dict[str, int] = {}
    for node in ancestors(list(model.named_vars.values())):
        rows[node] = frozenset().union(*(rows[i] for i in node.inputs))
        if isinstance(node, BatchIndex):
            rows[node] = frozenset([node])
        elif isinstance(node, RandomVariable):
            if rows[node] - {node.batch}:
                told = "is a variable of single rows" if node.observed is None else "its own rows are not those"
                raise ModelError(
                    f"{node.name} depends on the rows of a Minibatch, and {told}: put all data that belong together, "
                    "the observed values too, into one px.Minibatch(x, y, batch_size=...)"
                )
            rows[node] = frozenset()
            if node.batch is not None:
                found[node.batch.label] = node.batch.batch_size
    return found
