"""Variables and expressions of a model graph: they know their shapes, not their values."""

import os
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.errors import ModelError, NodeError, ShapeError, SupportError
from pyrox.model import refusals
from pyrox.model import values as host
from pyrox.model.indexing import split_index, take
from pyrox.model.naming import KeepsItsFunction, function_name, numpy_equivalent
from pyrox.model.refusals import NEEDS_NUMBERS, WAYS_OUT, Valueless
from pyrox.typing import Key, Shape


class Node(Valueless):
    """A variable or an expression of a model.

    Operators, comparison, indexing, NumPy functions and the usual array methods make expressions. ``==`` compares
    identity (``px.math.eq`` compares values).

    Examples
    --------
    >>> import numpy as np
    >>> import pyrox as px
    >>> with px.Model():
    ...     x = px.Normal("x", shape=3)
    >>> np.exp(x[:2] + 1).shape
    (2,)
    """

    name: str | None = None
    dims: tuple[str | None, ...] | None = None
    inputs: tuple["Node", ...] = ()
    struct: Any = None
    # NumPy, pandas and their kin leave operators to whatever ranks above them.
    __array_priority__ = 1000
    __pandas_priority__ = 10_000

    def compute(self, inputs: Sequence[Any]) -> Any:
        """Evaluate from the values of the inputs."""
        raise ModelError(f"{describe(self)} has no value here: it belongs to another model")

    def infer(self) -> None:
        """Work out shape and dtype again, after those of the inputs have changed."""

    @property
    def abstract(self) -> Any:
        """The value with placeholders for its numbers, as ``jax.eval_shape`` takes it."""
        return self.struct

    @property
    def shape(self) -> Shape:
        """Shape of the value."""
        return tuple(self.struct.shape)

    @property
    def dtype(self) -> np.dtype:
        """Type of the value's elements."""
        return self.struct.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape))

    @property
    def T(self) -> "Node":  # noqa: N802 - NumPy's name
        """The transpose."""
        return call(jnp.transpose, self)

    def eval(self, values: dict | None = None, random_seed: Any = 0) -> np.ndarray:
        """Evaluate: data as they stand, variables as given in ``values`` (by name or node), the others drawn."""
        known = {k if isinstance(k, str) else k.name: v for k, v in (values or {}).items()}
        _require_values(self, known)
        return np.asarray(evaluate_alone(self, known, random_seed))

    def __len__(self) -> int:
        if not self.shape:
            raise NodeError(f"{describe(self)} is a scalar and has no length")
        return self.shape[0]

    def __iter__(self) -> Any:
        if not self.shape:
            raise NodeError(f"{describe(self)} is a scalar and cannot be iterated over: {WAYS_OUT}")
        return (self[i] for i in range(self.shape[0]))

    def __getitem__(self, item: Any) -> "Node":
        return call(take, self, *split_index(self, item, Node, describe(self)))

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def _told(self) -> str:
        return describe(self)

    @property
    def __jax_array__(self) -> Any:
        # JAX asks for this attribute in two situations. Its binary operators (jax_array * node) must hear that there
        # is none, so that they leave the operation to the node; every other Python code that asks by name is about to
        # use the node as numbers. Compiled code asks too, cannot raise, and hands over to Python.
        asker = sys._getframe(1).f_code
        asks_by_name = "__jax_array__" in asker.co_consts or "__jax_array__" in asker.co_names
        if not asks_by_name or os.path.basename(asker.co_filename) == "array_methods.py":
            raise AttributeError("__jax_array__")
        raise NodeError(f"{describe(self)} cannot be used as a JAX array: {WAYS_OUT}")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        fn = numpy_equivalent(ufunc.__name__)
        if method != "__call__" or fn is None or kwargs:
            used = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
            raise NodeError(f"{used} cannot be applied to {describe(self)}: {WAYS_OUT}")
        return _apply(fn, *inputs) if len(inputs) == 2 else call(fn, *inputs)

    def __array_function__(self, func: Any, _types: Any, args: Any, kwargs: Any) -> Any:
        module = (getattr(func, "__module__", None) or "numpy").removeprefix("numpy").lstrip(".")
        fn = numpy_equivalent(func.__name__, module)
        if fn is None:
            raise NodeError(f"np.{func.__name__} cannot be applied to {describe(self)}: {WAYS_OUT}")
        return call(fn, *args, **kwargs)

    def __repr__(self) -> str:
        dims = f", dims={self.dims}" if self.dims else ""
        return f"<{describe(self)}: shape {self.shape}{dims}>"


class Constant(Node):
    """Numbers inside an expression: they reach the density as an argument."""

    def __init__(self, value: np.ndarray, label: str | None = None) -> None:
        self.value = value
        self.label = label
        self.struct = jax.ShapeDtypeStruct(value.shape, value.dtype)


class _Slot(NamedTuple):
    index: int


class Expression(KeepsItsFunction, Node):
    """A function of other nodes.

    Parameters
    ----------
    fn
        A function of arrays, traceable by JAX.
    args, kwargs
        Its arguments; nodes may stand anywhere in lists, tuples and dicts.
    """

    def __init__(self, fn: Callable, args: tuple, kwargs: dict) -> None:
        self.fn = fn
        leaves, self.layout = jax.tree.flatten((args, kwargs))
        leaves = [host.as_literal(leaf) for leaf in leaves]
        try:
            self._fill(leaves, hidden=True)
        except NEEDS_NUMBERS as error:
            if not any(host.is_array(leaf) for leaf in leaves):
                raise refusals.needs_numbers(function_name(fn), error) from error
            # The function looks into its arrays (to work out a shape, say): keep them as they are.
            try:
                self._fill(leaves, hidden=False)
            except NEEDS_NUMBERS as again:
                raise refusals.needs_numbers(function_name(fn), again) from again

    def _fill(self, leaves: list, *, hidden: bool) -> None:
        inputs: list[Node] = []
        filled = []
        for leaf in leaves:
            if host.is_array(leaf):
                array = host.as_host(leaf, f"an array given to {function_name(self.fn)}")
                leaf = Constant(array) if hidden else array
            filled.append(_Slot(len(inputs)) if isinstance(leaf, Node) else leaf)
            if isinstance(leaf, Node):
                inputs.append(leaf)
        self.leaves, self.inputs = tuple(filled), tuple(inputs)
        self.infer()

    def compute(self, inputs: Sequence[Any]) -> Any:
        return _call_filled(self.fn, self.layout, self.leaves, inputs)

    def infer(self) -> None:
        structs = tuple(node.abstract for node in self.inputs)
        try:
            self.struct = _infer(self.fn, self.layout, self.leaves, structs)
        except NEEDS_NUMBERS:
            raise
        except (TypeError, ValueError, IndexError, NameError) as error:
            if isinstance(error, NodeError):
                raise
            told = ", ".join(
                _describe_shape(node) for node in self.inputs if not isinstance(node, Constant) or node.shape
            )
            nameless = any(not hasattr(node.abstract, "dtype") for node in self.inputs)
            raise refusals.not_applicable(
                function_name(self.fn), told, self.leaves, error, nameless=nameless
            ) from error


class _Pick:
    """Choose one output of a function that gives several."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.__name__ = f"output {index} of"

    def __call__(self, outputs: Any) -> Any:
        return jax.tree.leaves(outputs)[self.index]


def _call_filled(fn: Callable, layout: Any, leaves: tuple, inputs: Sequence[Any]) -> Any:
    args, kwargs = jax.tree.unflatten(layout, [inputs[x.index] if isinstance(x, _Slot) else x for x in leaves])
    return fn(*args, **kwargs)


def _infer_uncached(fn: Callable, layout: Any, leaves: tuple, structs: tuple) -> Any:
    return jax.eval_shape(lambda *inputs: _call_filled(fn, layout, leaves, inputs), *structs)


@lru_cache(maxsize=4096)
def _infer_cached(fn: Callable, layout: Any, leaves: tuple, _types: tuple, structs: tuple, _x64: bool) -> Any:  # noqa: FBT001
    return _infer_uncached(fn, layout, leaves, structs)


def _infer(fn: Callable, layout: Any, leaves: tuple, structs: tuple) -> Any:
    """Work out shape and dtype; remembered, because long expressions repeat the same few operations."""
    key = (fn, layout, leaves, tuple(type(x) for x in leaves), structs, bool(jax.config.jax_enable_x64))
    return _infer_cached(*key) if _is_hashable(key) else _infer_uncached(fn, layout, leaves, structs)


def _is_hashable(key: Hashable) -> bool:
    try:
        hash(key)
    except TypeError:
        return False
    return True


# What follows from the shape alone is known while the model is written.
_OF_SHAPES = (jnp.shape, jnp.ndim, jnp.size)


def call(fn: Callable, *args: Any, **kwargs: Any) -> Any:
    """Apply a function: an expression if any argument holds a node, its value otherwise."""
    if not contains_node((args, kwargs)):
        return _call_plain(fn, args, kwargs)
    if fn in _OF_SHAPES and len(args) == 1 and not kwargs and isinstance(args[0], Node):
        return getattr(args[0], fn.__name__)
    node = Expression(fn, args, kwargs)
    if isinstance(node.struct, jax.ShapeDtypeStruct):
        return node
    outputs, layout = jax.tree.flatten(node.struct)
    if not outputs:
        raise refusals.returns_nothing(function_name(fn))
    return jax.tree.unflatten(layout, [Expression(_Pick(i), (node,), {}) for i in range(len(outputs))])


def _call_plain(fn: Callable, args: tuple, kwargs: dict) -> Any:
    try:
        return fn(*args, **kwargs)
    except TypeError as error:
        strange = [x for x in args if x is None or isinstance(x, str)]
        if strange:
            raise refusals.strange_operand(function_name(fn), strange[0]) from error
        raise


def contains_node(tree: Any) -> bool:
    """Tell whether a node stands anywhere in nested lists, tuples and dicts."""
    return any(isinstance(leaf, Node) for leaf in jax.tree.leaves(tree))


def lift(fn: Callable) -> Callable:
    """Let any JAX function take model variables.

    Parameters
    ----------
    fn
        A function of arrays that JAX can trace; it may return several arrays.

    Returns
    -------
    A function that makes expressions of model variables, and still computes with arrays.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.model import Model, Normal, lift
    >>> with Model():
    ...     x = Normal("x", shape=3)
    ...     y = lift(lambda a: jnp.cumsum(a) / 2)(x)
    >>> y.shape
    (3,)
    """

    refusals.require_function(fn, "px.lift")

    def lifted(*args: Any, **kwargs: Any) -> Any:
        return call(fn, *args, **kwargs)

    lifted.__name__ = function_name(fn)
    lifted.__doc__ = fn.__doc__
    lifted.__wrapped__ = fn  # where @px.lift decorates fn, its name leads here
    return lifted


def describe(node: Any, depth: int = 2) -> str:
    """Name a node in messages: its name, or how it was made."""
    if not isinstance(node, Node):
        return repr(node) if np.ndim(node) == 0 else "array"
    if node.name is not None:
        return f"{type(node).__name__} {node.name!r}" if depth == 2 else node.name
    if isinstance(node, Constant):
        return node.label or f"array{list(node.shape)}"
    inside = ", ".join(describe(i, depth - 1) for i in node.inputs[:3]) if depth else "..."
    made = function_name(getattr(node, "fn", type(node)))
    return f"expression {made}({inside})" if depth == 2 else f"{made}({inside})"


def _describe_shape(node: Node) -> str:
    dims = f" (dims {', '.join(map(str, node.dims))})" if node.dims else ""
    return f"{describe(node, 1)} of shape {node.shape}{dims}"


def evaluate(target: Node, values: dict[Node, Any], constant: Callable[[Constant], Any]) -> Any:
    """Evaluate a node, adding every value on the way to ``values``.

    A loop and no recursion: expressions may be thousands of operations deep.
    """
    todo = [target]
    while todo:
        node = todo[-1]
        if node in values:
            todo.pop()
        elif missing := [i for i in node.inputs if i not in values]:
            todo.extend(reversed(missing))
        else:
            value = constant(node) if isinstance(node, Constant) else _compute(node, [values[i] for i in node.inputs])
            values[todo.pop()] = value
    return values[target]


def _compute(node: Node, inputs: Sequence[Any]) -> Any:
    """Evaluate an operation; where shapes do not fit, as when data were replaced one by one, say which."""
    try:
        return node.compute(inputs)
    except (TypeError, ValueError) as error:
        if isinstance(error, (ModelError, ShapeError, SupportError, *NEEDS_NUMBERS)):
            raise
        if "shape" not in str(error):
            raise
        told = ", ".join(f"{describe(i, 1)} of shape {jnp.shape(x)}" for i, x in zip(node.inputs, inputs, strict=True))
        name = function_name(getattr(node, "fn", type(node)))
        raise ShapeError(f"{name} cannot be applied to {told}: {refusals.first_line(error)}") from error


def _require_values(node: Node, known: Mapping[str, Any]) -> None:
    """Refuse values of another shape than that of their variable."""
    named = {part.name: part for part in ancestors([node]) if part.name is not None}
    for name, value in known.items():
        if name in named and np.shape(value) != named[name].shape:
            raise ShapeError(f"eval: {name!r} has shape {named[name].shape}, the value {np.shape(value)}")


def ancestors(targets: Sequence[Node]) -> list[Node]:
    """List the nodes that some nodes depend on, themselves included, each after its inputs."""
    order: dict[Node, None] = {}
    todo = list(reversed(targets))
    while todo:
        node = todo[-1]
        missing = [i for i in node.inputs if i not in order]
        if node in order or not missing:
            order[todo.pop()] = None
        else:
            todo.extend(reversed(missing))
    return list(order)


def evaluate_alone(node: Node, known: Mapping[str, Any] | None = None, random_seed: Any = 0) -> Any:
    """Evaluate a node outside any program: data as they stand, variables known or drawn."""
    known, values = known or {}, {}

    def key_of(i: int) -> Key:
        key = jax.random.key(random_seed) if isinstance(random_seed, int | np.integer) else random_seed
        return jax.random.fold_in(key, i)

    for i, part in enumerate(ancestors([node])):
        given = part.name in known
        values[part] = jnp.asarray(known[part.name]) if given else part.draw(partial(key_of, i), values)
    return values[node]


def _draw(self: Node, _key: Any, values: dict[Node, Any]) -> Any:
    if isinstance(self, Constant):
        return self.value
    return self.compute([values[i] for i in self.inputs])


Node.draw = _draw


def _operand(other: Any) -> Any:
    return np.asarray(other) if isinstance(other, list | tuple) and not contains_node(other) else other


_ARITHMETIC = (jnp.add, jnp.subtract, jnp.multiply, jnp.true_divide, jnp.matmul)


def _apply(fn: Callable, left: Any, right: Any) -> Node:
    """Apply an operator; whole numbers that meet fractions become floats here, not in every evaluation."""
    left, right = _operand(left), _operand(right)
    if fn in _ARITHMETIC:
        left, right = _as_float(left, right), _as_float(right, left)
    return call(fn, left, right)


def _as_float(array: Any, other: Any) -> Any:
    floats = isinstance(other, Node) and np.issubdtype(other.dtype, np.floating)
    return (
        array.astype(other.dtype) if floats and isinstance(array, np.ndarray) and array.dtype.kind in "biu" else array
    )


def _binary(fn: Callable) -> tuple[Callable, Callable]:
    def forward(self: Node, other: Any) -> Node:
        return _apply(fn, self, other)

    def reflected(self: Node, other: Any) -> Node:
        return _apply(fn, other, self)

    return forward, reflected


def _unary(fn: Callable) -> Callable:
    return lambda self: call(fn, self)


def _method(fn: Callable) -> Callable:
    def method(self: Node, *args: Any, **kwargs: Any) -> Any:
        return call(fn, self, *args, **kwargs)

    method.__name__, method.__doc__ = fn.__name__, f"See ``jax.numpy.{fn.__name__}``."
    return method


def _reshape(self: Node, *shape: Any) -> Node:
    """See ``jax.numpy.reshape``; the new shape as one tuple or as several ints."""
    return call(jnp.reshape, self, tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape)


def _transpose(self: Node, *axes: Any) -> Node:
    """See ``jax.numpy.transpose``."""
    return call(jnp.transpose, self, axes if axes else None)


def _flatten(self: Node) -> Node:
    """Give all elements in one axis."""
    return call(jnp.ravel, self)


def _astype(self: Node, dtype: Any) -> Node:
    """See ``jax.numpy.astype``."""
    return call(jnp.astype, self, dtype)


_BINARY = {
    "add": jnp.add, "sub": jnp.subtract, "mul": jnp.multiply, "truediv": jnp.true_divide, "floordiv": jnp.floor_divide,
    "mod": jnp.mod, "pow": jnp.power, "matmul": jnp.matmul, "and": jnp.bitwise_and, "or": jnp.bitwise_or,
    "xor": jnp.bitwise_xor,
}  # fmt: skip
for _name, _fn in _BINARY.items():
    _forward, _reflected = _binary(_fn)
    setattr(Node, f"__{_name}__", _forward)
    setattr(Node, f"__r{_name}__", _reflected)
for _name, _fn in {"lt": jnp.less, "le": jnp.less_equal, "gt": jnp.greater, "ge": jnp.greater_equal}.items():
    setattr(Node, f"__{_name}__", _binary(_fn)[0])
for _name, _fn in {"neg": jnp.negative, "pos": jnp.positive, "abs": jnp.abs, "invert": jnp.invert}.items():
    setattr(Node, f"__{_name}__", _unary(_fn))
_METHODS = (
    "sum mean prod min max std var cumsum cumprod dot argmax argmin clip round squeeze repeat take",
    "swapaxes any all diagonal trace ravel",
)
for _name in " ".join(_METHODS).split():
    setattr(Node, _name, _method(getattr(jnp, _name)))
for _name, _fn in {"reshape": _reshape, "transpose": _transpose, "flatten": _flatten, "astype": _astype}.items():
    setattr(Node, _name, _fn)
