"""Tell models apart by what they state, whatever their data are at the moment."""

import functools
import hashlib
import inspect
import re
import types
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from pyrox.model.graph import Model
from pyrox.model.naming import ByName, by_name
from pyrox.model.nodes import Constant, Expression, Node, ancestors
from pyrox.model.program import Data, RandomVariable, Statement

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
# Functions of these packages are told by name alone: where in the package one lives differs between versions.
_LIBRARIES = ("jax", "numpy", "scipy", "pyrox")


def fingerprint(model: Model) -> str:
    """Hash what a model states: variables, distributions, dims, expressions and the constants in them.

    What may change between runs does not count: values and lengths of ``Data`` and of observed values, labels and
    lengths of dims, starts. A model written again by the same statements has the same hash.

    Parameters
    ----------
    model
        The model.

    Returns
    -------
    Sixteen hexadecimal digits.

    Examples
    --------
    >>> import pyrox as px
    >>> from pyrox.model.fingerprint import fingerprint
    >>> def write(scale):
    ...     with px.Model() as model:
    ...         x = px.Data("x", [1.0, 2.0])
    ...         px.Normal("y", px.Normal("mu", 0.0, scale) * x, 1.0, observed=[0.0, 1.0])
    ...     return model
    >>> model = write(1.0)
    >>> before = fingerprint(model)
    >>> px.set_data({"x": [3.0, 4.0, 5.0]}, model)
    >>> fingerprint(model) == before == fingerprint(write(1.0))
    True
    >>> fingerprint(write(2.0)) == before
    False
    """
    return _hash(*(f"{name}={part}" for name, part in sorted(fingerprints(model).items())))


def fingerprints(model: Model) -> dict[str, str]:
    """Hash what each variable of a model states, by name; other variables count by name alone."""
    tokens: dict[Node, str] = {}
    found = {}
    for node in ancestors(list(model.named_vars.values())):
        tokens[node] = _describe_node(node, tokens)
        if isinstance(node, Statement):
            found[node.name] = tokens[node]
            tokens[node] = f"variable {node.name}"
    return found


def _describe_node(node: Node, tokens: Mapping[Node, str]) -> str:
    if isinstance(node, Constant):
        # What bears a label is data: observed values, and what is known of missing ones.
        return _hash("constant", node.label or _token(node.value))
    if isinstance(node, Expression):
        inputs = [tokens[i] for i in node.inputs]
        row = getattr(node.fn, "row", None)  # a distribution, by the name of its statement
        fn = node.fn if row is None else (row.name, node.fn.shape, _without_lengths(node.fn))
        return _hash(_token(fn), _ADDRESS.sub("", str(node.layout)), _token(node.leaves), *inputs)
    named = f"{type(node).__name__} {node.dims}"
    if isinstance(node, RandomVariable):
        shape = None if node.dims is not None else node.declared
        seen = None if node.observed is None else "observed"
        return _hash(named, tokens[node.dist], str(shape), str(seen), _token(node.transform))
    if isinstance(node, Data):
        return _hash(named)
    return _hash(named, *(tokens[i] for i in node.inputs))


def _without_lengths(builder: Any) -> dict[str, Any]:
    """Leave out the parameters that follow the lengths of dims."""
    return {name: value for name, value in builder.known.items() if name not in builder.sized}


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


class _Tokens:
    """Write values as texts that are equal where the values do the same."""

    def __init__(self) -> None:
        self.inside: list[Any] = []  # what is being written, to be met again in recursive functions

    def write(self, value: Any) -> str:
        if any(value is outer for outer in self.inside):
            return "itself"
        self.inside.append(value)
        try:
            return self._write(value)
        finally:
            self.inside.pop()

    def _write(self, value: Any) -> str:
        if value is None or isinstance(value, bool | str | bytes | complex):
            return f"{type(value).__name__} {value!r}"
        if isinstance(value, int | float):
            return f"number {float(value)!r}" if abs(value) < 2**53 else f"number {value!r}"
        if isinstance(value, np.ndarray | np.generic | jax.Array):
            return _array(value)
        if isinstance(value, tuple | list):
            return f"({', '.join(self.write(x) for x in value)})"
        if isinstance(value, set | frozenset):
            return f"{{{', '.join(sorted(self.write(x) for x in value))}}}"
        if isinstance(value, Mapping):
            pairs = sorted((str(k), self.write(x)) for k, x in value.items())
            return f"{{{', '.join(f'{k}: {x}' for k, x in pairs)}}}"
        if isinstance(value, functools.partial):
            return f"partial {self.write((value.func, value.args, value.keywords))}"
        if isinstance(value, types.ModuleType):
            return f"module {value.__name__}"
        if isinstance(value, types.CodeType):
            return self._code(value)
        if isinstance(value, types.MethodType):
            return f"method {self.write(value.__func__)} of {self.write(value.__self__)}"
        return self._function(value) if _is_named(value) else self._object(value)

    def _code(self, code: types.CodeType) -> str:
        return _hash(code.co_code.hex(), *code.co_names, *map(self.write, code.co_consts))

    def _function(self, fn: Callable) -> str:
        found = by_name(fn)
        if isinstance(found, ByName) and (module := found.where[0]) != "__main__":
            package = module.partition(".")[0]
            return f"{package if package in _LIBRARIES else module} {found.where[1]}"
        if isinstance(fn, types.FunctionType):
            known = inspect.getclosurevars(fn)
            defaults = fn.__defaults__, fn.__kwdefaults__
            return f"function {self.write((fn.__code__, defaults, known.nonlocals, known.globals))}"
        inner = getattr(fn, "__wrapped__", None)  # compiled by JAX
        return f"{type(fn).__name__} {fn.__qualname__ if inner is None else self.write(inner)}"

    def _object(self, value: Any) -> str:
        kind = f"{type(value).__module__.partition('.')[0]} {type(value).__qualname__}"
        leaves, layout = jax.tree.flatten(value)
        if not (len(leaves) == 1 and leaves[0] is value):
            return f"{kind} {_ADDRESS.sub('', str(layout))} {self.write(leaves)}"
        if isinstance(value, range | slice):
            return repr(value)
        return kind  # what is inside may change without any meaning: a cache, a counter


def _is_named(value: Any) -> bool:
    return callable(value) and (hasattr(value, "__qualname__") or by_name(value) is not value)


def _array(value: Any) -> str:
    if isinstance(value, jax.core.Tracer):
        return f"traced {value.shape} {value.dtype}"
    if jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    if array.dtype == object:
        return f"objects {array.shape}"
    return f"array {array.dtype.kind} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}"


def _token(value: Any) -> str:
    return _Tokens().write(value)
