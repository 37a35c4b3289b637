"""Play a graph back as a program of primitives."""

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import Distribution, constraints
from pyrox.dist.transforms import Transform
from pyrox.errors import ShapeError
from pyrox.model import primitives
from pyrox.model.handlers import scale as scale_handler
from pyrox.model.indexing import require_in_bounds
from pyrox.model.nodes import Constant, Expression, Node, describe, evaluate
from pyrox.typing import Key, Shape

Dims = tuple[str | None, ...] | None


class DistStruct(NamedTuple):
    """What is known of a distribution before its parameters have values."""

    batch_shape: Shape
    event_shape: Shape
    is_discrete: bool
    support: Any  # None where membership depends on parameters

    @property
    def shape(self) -> Shape:
        """Shape of one draw of the whole batch."""
        return self.batch_shape + self.event_shape

    @property
    def dtype(self) -> np.dtype:
        """Type of a draw's elements."""
        return jnp.result_type(int if self.is_discrete else float)


class DistExpression(Expression):
    """A distribution whose parameters may be model variables; built when the program runs."""

    def infer(self) -> None:
        found: list[DistStruct] = []

        def probe(*inputs: Any) -> Distribution:
            d = self.compute(inputs)
            support = d.support if constraints.has_fixed_support(d.support) else None
            found.append(DistStruct(tuple(d.batch_shape), tuple(d.event_shape), d.is_discrete, support))
            return d

        self._abstract = jax.eval_shape(probe, *(node.abstract for node in self.inputs))
        self.struct = found[-1]

    @property
    def abstract(self) -> Distribution:
        return self._abstract

    def __repr__(self) -> str:
        return f"<{describe(self)}: batch shape {self.struct.batch_shape}, event shape {self.struct.event_shape}>"

    def draw(self, _key: Any, values: dict[Node, Any]) -> Distribution:
        return self.compute([values[i] for i in self.inputs])


def fit_batch(
    name: str, dist: Any, declared: Shape | None, observed: Shape | None, dims: Dims, parameters: str
) -> Shape:
    """Choose the batch shape of a variable, and refuse what would silently become larger.

    Parameters
    ----------
    dist
        Anything with ``batch_shape`` and ``event_shape``.
    declared
        Shape from dims or ``shape=``.
    observed
        Shape of the observed values.
    dims, parameters
        For the message.
    """
    natural = tuple(dist.batch_shape) + tuple(dist.event_shape)
    target = declared if declared is not None else (observed if observed is not None else natural)
    ndim_event = len(dist.event_shape)
    batch = target[: len(target) - ndim_event]
    fits = len(target) >= ndim_event and target[len(target) - ndim_event :] == tuple(dist.event_shape)
    if fits and _broadcasts(dist.batch_shape, batch):
        return batch
    origin = "observed values" if declared is None else (f"dims {_with_lengths(dims, target)}" if dims else "shape=")
    raise ShapeError(
        f"{name}: its distribution has shape {natural}{_of(parameters)}, "
        f"which does not fit the shape {target} of its {origin}"
    )


def _of(parameters: str) -> str:
    return f" (from {parameters})" if parameters else ""


def _with_lengths(dims: Dims, shape: Shape) -> str:
    return "(" + ", ".join(f"{d}: {n}" for d, n in zip(dims or (), shape, strict=False)) + ")"


def _broadcasts(small: Shape, large: Shape) -> bool:
    small = tuple(small)
    return len(small) <= len(large) and all(s in (1, n) for s, n in zip(small[::-1], large[::-1], strict=False))


def _are_same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


class Run:
    """What one playback knows: values by node, and where its constants come from."""

    def __init__(self, lengths: Mapping[str, int]) -> None:
        self.values: dict[Node, Any] = {}
        self.lengths = lengths
        self.count = 0
        self._stated: list[tuple[np.ndarray, Any]] = []

    def constant(self, node: Constant) -> Any:
        """State a hidden datum, numbered in the order of use; equal numbers, like an index used twice, once."""
        if node.label is not None:
            return primitives.data(node.label, node.value, hidden=True)
        for known, value in self._stated:
            if known is node.value or _are_same(known, node.value):
                return value
        value = primitives.data(f"constant:{self.count}", node.value, hidden=True)
        self.count += 1
        self._stated.append((node.value, value))
        return value

    def value(self, node: Node) -> Any:
        """Evaluate an expression of what has been stated so far."""
        return evaluate(node, self.values, self.constant)

    def shape(self, dims: Dims, shape: Shape | None, fallback: Sequence[int]) -> Shape | None:
        """Give the declared shape: current lengths of the dims, else ``shape``."""
        if dims is None:
            return shape
        return tuple(self.lengths[d] if d is not None else fallback[i] for i, d in enumerate(dims))


class Statement(Node):
    """A node with a name: it becomes one statement of the program."""

    def __init__(self, name: str, dims: Dims, inputs: tuple[Node, ...]) -> None:
        self.name, self.dims, self.inputs = name, dims, inputs

    def play(self, run: Run) -> Any:
        """Make the statement and return its value."""
        raise NotImplementedError


class Data(Statement):
    """Numbers that ``set_data`` can replace."""

    def __init__(self, name: str, value: np.ndarray, dims: Dims) -> None:
        Statement.__init__(self, name, dims, ())
        self.limits: list[tuple[Node, int, bool, str]] = []
        self.value = value

    @property
    def struct(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(self.value.shape, self.value.dtype)

    def limit_index(self, node: Node, axis: int, what: str) -> bool:
        """Note that the values index an axis of a node, now and after ``set_data``.

        Returns
        -------
        Whether negative values, counted from the end, may occur.
        """
        wraps, what = bool(np.any(self.value < 0)), f"{what} (Data {self.name!r})"
        require_in_bounds(self.value, node.shape[axis], what)
        self.limits.append((node, axis, wraps, what))
        return wraps

    def require_limits(self) -> None:
        """Refuse values that would be read outside an axis, as long as it is now."""
        for node, axis, wraps, what in self.limits:
            _require_limit(self.value, node.shape[axis], wraps, what)

    def get_value(self) -> np.ndarray:
        """Give the numbers."""
        return self.value

    def draw(self, _key: Any, _values: Any) -> np.ndarray:
        return self.value

    def play(self, run: Run) -> Any:
        return primitives.data(self.name, self.value, dims=self.dims)


def _require_limit(value: np.ndarray, length: int, wraps: bool, what: str) -> None:  # noqa: FBT001
    require_in_bounds(value, length, what)
    if not wraps and np.any(value < 0):
        raise ShapeError(f"{what}: {int(np.min(value))} is negative, and the model was written with indices from 0 on")


class Deterministic(Statement):
    """A named expression whose values are kept."""

    def __init__(self, name: str, var: Node, dims: Dims) -> None:
        Statement.__init__(self, name, dims, (var,))
        self.infer()

    def infer(self) -> None:
        self.struct = self.inputs[0].struct

    def compute(self, inputs: Sequence[Any]) -> Any:
        return inputs[0]

    def play(self, run: Run) -> Any:
        return primitives.deterministic(self.name, jnp.asarray(run.value(self.inputs[0])), dims=self.dims)


class Potential(Deterministic):
    """A named term of the log-density."""

    def play(self, run: Run) -> Any:
        value = run.value(self.inputs[0])
        primitives.factor(self.name, value, dims=self.dims)
        return value


class RandomVariable(Statement):
    """A variable with a distribution, free or observed.

    Parameters
    ----------
    name
        Its full name.
    dist
        Its distribution, an expression.
    dims
        Names of its axes, or None.
    declared
        The shape that its statement told, or None.
    observed
        Node of its values, or None.
    initval
        Its start, or None.
    total_size
        Number of rows of all data, or None.
    struct
        Shape and dtype of its value.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model():
    ...     x = px.Normal("x", shape=3)
    >>> type(x).__name__, x.shape, x.observed
    ('RandomVariable', (3,), None)
    """

    batch: Any = None  # which rows are looked at, where it is observed in batches

    def __init__(
        self,
        name: str,
        dist: DistExpression,
        dims: Dims,
        declared: Shape | None,
        observed: Node | None,
        initval: Any,
        total_size: int | None,
        struct: Any,
    ) -> None:
        Statement.__init__(self, name, dims, (dist,) if observed is None else (dist, observed))
        self.dist, self.declared, self.observed = dist, declared, observed
        self.initval, self.total_size, self.struct = initval, total_size, struct
        self.transform: Transform | None = None
        self.noncentered = False
        # From the right: the axes on which observed values are as long as the parameters make a draw.
        pairs = zip(dist.struct.shape[::-1], observed.shape[::-1] if observed is not None else (), strict=False)
        self.follows = tuple(a == b for a, b in pairs)

    def draw(self, key: Callable[[], Key], values: dict[Node, Any]) -> Any:
        """Give the observed values, or draw with a key, which is not asked for before."""
        if self.observed is not None:
            return values[self.observed]
        dist = values[self.dist]
        return dist.expand(self.shape[: self.ndim - dist.event_dim]).sample(key())

    def parameters(self) -> str:
        """Tell the parameters' shapes, for messages."""
        named = [describe(i, 1) + f" {i.shape}" for i in self.dist.inputs if hasattr(i.struct, "shape")]
        return ", ".join(named)

    def play(self, run: Run) -> Any:
        dist = run.value(self.dist)
        observed = None if self.observed is None else run.value(self.observed)
        dist = dist.expand(self._batch(run, dist, observed))
        told = {"initval": self.initval, "transform": self.transform, "noncentered": self.noncentered or None}
        infer = {"exact": True} | {key: value for key, value in told.items() if value is not None}
        state = lambda: primitives.sample(self.name, dist, obs=observed, infer=infer, dims=self.dims)  # noqa: E731
        rows = self.total_size if self.batch is None or self.total_size is not None else self.batch.struct.shape[0]
        if rows is None or observed is None or rows == observed.shape[0]:
            return state()
        with scale_handler(scale_factor=rows / observed.shape[0]):
            return state()

    def _batch(self, run: Run, dist: Distribution, observed: Any) -> Shape:
        natural = tuple(dist.batch_shape) + tuple(dist.event_shape)
        seen = None if observed is None else jnp.shape(observed)
        declared = run.shape(self.dims, self.declared, seen if seen is not None else natural)
        if self.batch is not None and seen is not None:
            declared = None  # what was declared is the shape of all rows
        expected = None if seen is None else self._follow(natural, seen)
        return fit_batch(self.name, dist, declared, expected, self.dims, self.parameters())

    def resize(self, lengths: Mapping[str, int]) -> None:
        """Take new lengths of dims, also into what the distribution takes from them, like the length of a series."""
        if self.dims is None or self.declared is None:
            return
        pairs = zip(self.dims, self.declared, strict=True)
        self.declared = tuple(n if d is None else lengths[d] for d, n in pairs)
        fn = self.dist.fn
        if sized := getattr(fn, "sized", ()):
            rest = {name: value for name, value in fn.known.items() if name not in sized}
            fn.known = {**rest, **fn.row.size(rest, self.declared)}

    def _follow(self, natural: Shape, seen: Shape) -> Shape:
        """Give the shape for observed values of a shape, once the parameters may have got another length.

        The variable is drawn anew with their length (prediction); a density finds that the observed values no longer
        fit, and says so.
        """
        axes = zip_longest(seen[::-1], natural[::-1], self.follows)
        return tuple(n if n is not None and (follows or s is None) else s for s, n, follows in axes)[::-1]

    def infer(self) -> None:
        natural = self.dist.struct.shape
        seen = natural if self.observed is None else self._follow(natural, self.observed.shape)
        self.struct = jax.ShapeDtypeStruct(seen if self.declared is None else self.declared, self.dist.struct.dtype)


def play(statements: Sequence[Statement], lengths: Mapping[str, int]) -> dict[str, Any]:
    """Run the statements of a graph in the order of their definition; return the values by name."""
    run = Run(lengths)
    try:
        for node in statements:
            run.values[node] = node.play(run)
    except ShapeError as error:
        if not hasattr(error, "site"):
            error.site = node.name
        raise
    return {node.name: run.values[node] for node in statements}
