"""Write a model as plain data, and make it again: no pickle, and no code of the model runs on the way.

Every node becomes one entry: its kind and what it holds, where other nodes are numbers, arrays are numbers, and
functions are places to import them from. Shapes are written too, so that reading calls none of these functions.
"""

import datetime
import enum
import functools
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox._pytree import Pytree
from pyrox.dist import Distribution
from pyrox.errors import ModelError
from pyrox.model import importing
from pyrox.model.graph import Model, Registry
from pyrox.model.nodes import Expression, Node, _Slot, ancestors
from pyrox.model.program import DistExpression, Statement
from pyrox.model.table import ROWS, Row

# The names of kinds in files, which stay when a class is moved.
_KINDS = {
    "constant": "pyrox.model.nodes:Constant",
    "expression": "pyrox.model.nodes:Expression",
    "output": "pyrox.model.nodes:_Pick",
    "distribution": "pyrox.model.program:DistExpression",
    "batch": "pyrox.model.minibatch:BatchIndex",
    "data": "pyrox.model.program:Data",
    "deterministic": "pyrox.model.program:Deterministic",
    "potential": "pyrox.model.program:Potential",
    "random variable": "pyrox.model.program:RandomVariable",
    "statement": "pyrox.model.variables:_Builder",
    "limit": "pyrox.model.indexing:Limit",
}
_PLACES = {place: kind for kind, place in _KINDS.items()}
_ROWS = {row.name: row for row in ROWS}
_BUILTIN = {kind.__name__: kind for kind in (bool, int, float, complex)}
_NUMBERS = "biufc"
_OF_MODEL = ("name", "parent", "registry", "named_vars", "made")
# What follows from the rest.
_DERIVED = {Expression: ("leaves", "layout"), DistExpression: ("leaves", "layout", "struct", "_abstract")}


def to_plain(model: Model) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Write a model as what JSON can hold, and arrays.

    Parameters
    ----------
    model
        An outermost model.

    Returns
    -------
    The model, and the arrays that it refers to by number.

    Raises
    ------
    ModelError
        If it holds something that has no place to import it from; the variable is named.
    """
    if model.parent is not None:
        raise ModelError(f"the model {model.name!r} is a part of another: save the outermost one, which holds them all")
    writer = _Writer()
    variables = [writer.node(node, node.name) for node in model.named_vars.values()]
    nodes = writer.write_nodes()
    registry = model.registry
    dims = [
        {"name": dim, "length": registry.lengths[dim], "labels": writer.value(labels, f"dim {dim!r}")}
        for dim, labels in registry.coords.items()
    ]
    # What else a model knows of itself: where it comes from, if it was made of another.
    rest = {n: writer.value(v, f"the model's {n}") for n, v in vars(model).items() if n not in _OF_MODEL}
    plain = {
        "name": model.name, "dims": dims, "variables": [v["node"] for v in variables], "rest": rest, "nodes": nodes,
    }  # fmt: skip
    return plain, writer.arrays


def from_plain(plain: Mapping[str, Any], arrays: Sequence[np.ndarray], modules: Sequence[str] | None = None) -> Model:
    """Make the model that ``to_plain`` has written.

    Parameters
    ----------
    plain, arrays
        What it gave.
    modules
        Modules of the user's that may be imported; None allows those that the model names.

    Returns
    -------
    The model.
    """
    return _Reader(plain["nodes"], arrays, modules).model(plain)


class _Writer:
    """Give nodes their numbers as they are met, and write what they hold."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self._known: dict[int, int] = {}
        self._numbers: dict[Node, int] = {}
        self._found: list[tuple[Node, str]] = []  # with the variable that it was met in, for messages

    def node(self, node: Node, owner: str) -> dict:
        if node not in self._numbers:
            self._numbers[node] = len(self._found)
            self._found.append((node, node.name if isinstance(node, Statement) else owner))
        return {"node": self._numbers[node]}

    def write_nodes(self) -> list[dict]:
        """Write all nodes that can be reached. A loop: expressions may be thousands of operations deep."""
        written = []
        while len(written) < len(self._found):
            node, owner = self._found[len(written)]
            held = {n: v for n, v in vars(node).items() if n not in _DERIVED.get(type(node), ())}
            if isinstance(node, Expression):
                held["args"], held["kwargs"] = jax.tree.unflatten(node.layout, node.leaves)
                if not isinstance(node.struct, jax.ShapeDtypeStruct) and "struct" in held:  # of several outputs
                    held["struct"] = tuple(jax.tree.leaves(node.struct))
            state = {name: self.value(value, owner) for name, value in held.items()}
            written.append({"kind": _kind(type(node), owner), **state})
        return written

    def array(self, array: np.ndarray, owner: str) -> int:
        if array.dtype.kind not in _NUMBERS + "USmM":
            raise ModelError(f"{owner}: px.save cannot keep an array of {array.dtype}")
        if id(array) not in self._known:
            self._known[id(array)] = len(self.arrays)
            self.arrays.append(array)
        return self._known[id(array)]

    def value(self, value: Any, owner: str) -> Any:
        """Write anything that a model may hold."""
        for kinds, write in self._ways():
            if isinstance(value, kinds):
                return write(value, owner)
        if isinstance(value, type):
            return _write_type(value, owner)
        if (place := importing.named_object(value)) is not None:
            return {"named": place}
        if callable(value) and not isinstance(value, Pytree | Distribution) and not _is_state_of_pyrox(value):
            path = importing.path_of(value, owner)
            return {"function": path, **({"inside": depth} if (depth := importing.depth_of(value, path)) else {})}
        return self._object(value, owner)

    def _ways(self) -> tuple:
        """List how kinds of values are written, the special before the general."""
        return (
            ((types.NoneType, bool, str), lambda x, _: x),
            (enum.Enum, lambda x, o: {"member": [importing.path_of(type(x), o), x.name]}),
            (int, lambda x, _: int(x)),
            (np.datetime64 | np.timedelta64, _write_time),
            (float, lambda x, _: float(x) if np.isfinite(x) else {"float": repr(float(x))}),
            (complex, lambda x, _: {"complex": [repr(x.real), repr(x.imag)]}),
            (np.generic, lambda x, o: {"scalar": self.array(np.asarray(x), o)}),
            (Node, self.node),
            (_Slot, lambda x, _: {"input": x.index}),
            (np.ndarray, lambda x, o: {"array": self.array(x, o)}),
            (jax.Array, self._jax_array),
            (jax.ShapeDtypeStruct, _write_struct),
            (list, lambda x, o: [self.value(v, o) for v in x]),
            (Row, lambda x, _: {"row": x.name}),
            (tuple, self._tuple),
            ((set, frozenset), lambda x, o: {"set": [self.value(v, o) for v in sorted(x)]}),
            (dict, lambda x, o: {"dict": [[self.value(k, o), self.value(v, o)] for k, v in x.items()]}),
            (slice, lambda x, o: {"slice": [self.value(b, o) for b in (x.start, x.stop, x.step)]}),
            (range, lambda x, _: {"range": [x.start, x.stop, x.step]}),
            (types.EllipsisType, lambda *_: {"ellipsis": True}),
            (np.dtype, lambda x, o: {"dtype": _write_dtype(x, o)}),
            ((datetime.datetime, datetime.date), _write_date),
            (functools.partial, lambda x, o: {"partial": self.value((x.func, x.args, x.keywords), o)}),
            (types.MethodType, lambda x, o: {"method": [self.value(x.__self__, o), x.__func__.__name__]}),
        )

    def _jax_array(self, array: jax.Array, owner: str) -> dict:
        if isinstance(array, jax.core.Tracer):
            raise ModelError(f"{owner}: px.save cannot keep a traced value")
        if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            data = np.asarray(jax.random.key_data(array))
            return {"key": self.array(data, owner), "impl": str(jax.random.key_impl(array))}
        return {"jax": self.array(np.asarray(array), owner)}

    def _tuple(self, items: tuple, owner: str) -> dict:
        written = [self.value(x, owner) for x in items]
        if not hasattr(items, "_fields"):
            return {"tuple": written}
        return {"fields": written, "kind": _kind(type(items), owner)}

    def _object(self, value: Any, owner: str) -> dict:
        if not isinstance(value, Pytree | Distribution) and not _is_state_of_pyrox(value):
            raise ModelError(f"{owner}: px.save cannot keep {value!r}, a {type(value).__name__}")
        return {"kind": _kind(type(value), owner), "state": {n: self.value(v, owner) for n, v in vars(value).items()}}


def _is_state_of_pyrox(value: Any) -> bool:
    return type(value).__module__.startswith("pyrox.") and hasattr(value, "__dict__") and not hasattr(value, "__code__")


def _kind(kind: type, owner: str) -> str:
    place = f"{kind.__module__}:{kind.__qualname__}"
    return _PLACES[place] if place in _PLACES else importing.path_of(kind, owner)


def _write_type(kind: type, owner: str) -> dict:
    if kind in _BUILTIN.values():
        return {"type": kind.__name__}
    if issubclass(kind, np.generic):
        return {"type": f"numpy:{np.dtype(kind).name}"}
    if hasattr(kind, "dtype"):  # jnp.float32 and its like
        return {"type": f"jax.numpy:{np.dtype(kind.dtype).name}"}
    return {"class": importing.path_of(kind, owner)}


def _write_time(value: np.datetime64 | np.timedelta64, _owner: str) -> dict:
    return {"time": [value.dtype.str, int(value.astype(np.int64))]}


def _write_date(value: datetime.date, _owner: str) -> dict:
    kind = "datetime" if isinstance(value, datetime.datetime) else "date"
    return {"timestamp" if hasattr(value, "to_datetime64") else kind: value.isoformat()}


def _write_dtype(dtype: Any, owner: str) -> str:
    if jnp.issubdtype(dtype, jax.dtypes.extended):
        raise ModelError(f"{owner}: px.save cannot keep values of {dtype}")
    return np.dtype(dtype).name if np.dtype(dtype).kind in f"{_NUMBERS}V" else np.dtype(dtype).str


def _write_struct(struct: jax.ShapeDtypeStruct, owner: str) -> dict:
    weak = {"weak": True} if struct.weak_type else {}
    return {"struct": list(map(int, struct.shape)), "dtype": _write_dtype(struct.dtype, owner), **weak}


class _Reader:
    """Make blank nodes first, then fill them: what they hold may be any of them."""

    def __init__(self, written: Sequence[dict], arrays: Sequence[np.ndarray], modules: Sequence[str] | None) -> None:
        self.written, self.modules = written, modules
        self.arrays = list(arrays)
        for array in self.arrays:
            array.flags.writeable = False
        self.nodes = [self._blank(entry["kind"], Node) for entry in written]

    def model(self, plain: Mapping[str, Any]) -> Model:
        for node, entry in zip(self.nodes, self.written, strict=True):
            state = {name: self.value(value) for name, value in entry.items() if name != "kind"}
            if isinstance(node, Expression):
                tree = state.pop("args"), state.pop("kwargs")
                leaves, node.layout = jax.tree.flatten(tree, is_leaf=lambda x: isinstance(x, _Slot))
                node.leaves = tuple(leaves)
            vars(node).update(state)
        variables = [self.nodes[i] for i in plain["variables"]]
        for node in ancestors(variables):
            if isinstance(node, DistExpression):
                node.infer()
        return self._assemble(plain, variables)

    def _assemble(self, plain: Mapping[str, Any], variables: Sequence[Statement]) -> Model:
        model = Model()
        model.name, model.parent, model.registry = plain["name"], None, Registry()
        for dim in plain["dims"]:
            model.registry.lengths[dim["name"]] = dim["length"]
            model.registry.coords[dim["name"]] = self.value(dim["labels"])
        for node in variables:
            model.named_vars[node.name] = node
        vars(model).update({name: self.value(value) for name, value in plain["rest"].items()})
        return model

    def _blank(self, kind: str, base: Any) -> Any:
        found = importing.find(_KINDS.get(kind, kind), self.modules)
        if not isinstance(found, type) or not issubclass(found, base):
            raise ModelError(f"px.load: {kind} is nothing that a model is made of")
        return object.__new__(found)

    def value(self, written: Any) -> Any:
        """Read what ``_Writer.value`` wrote."""
        if isinstance(written, list):
            return [self.value(x) for x in written]
        if not isinstance(written, dict):
            return written
        if "kind" in written:
            return self._made(written)
        for tag, read in self._ways().items():
            if tag in written:
                return read(written[tag], written)
        raise ModelError(f"px.load: {written} is nothing that this version of pyrox can read")

    def _made(self, written: dict) -> Any:
        if "fields" in written:
            kind = importing.find(_KINDS.get(written["kind"], written["kind"]), self.modules)
            if not issubclass(kind, tuple):
                raise ModelError(f"px.load: {written['kind']} is no tuple")
            return tuple.__new__(kind, [self.value(x) for x in written["fields"]])
        made = self._blank(written["kind"], object)
        if not isinstance(made, Pytree | Distribution) and not _is_state_of_pyrox(made):
            raise ModelError(f"px.load: {written['kind']} is nothing that a model is made of")
        vars(made).update({n: self.value(v) for n, v in written["state"].items()})
        return made

    def _ways(self) -> dict[str, Callable[[Any, dict], Any]]:
        return {
            "node": lambda x, _: self.nodes[x],
            "input": lambda x, _: _Slot(x),
            "array": lambda x, _: self.arrays[x],
            "jax": lambda x, _: jnp.asarray(self.arrays[x]),
            "key": lambda x, w: jax.random.wrap_key_data(jnp.asarray(self.arrays[x]), impl=w["impl"]),
            "scalar": lambda x, _: self.arrays[x][()],
            "struct": _read_struct,
            "tuple": lambda x, _: tuple(self.value(v) for v in x),
            "set": lambda x, _: frozenset(self.value(v) for v in x),
            "dict": lambda x, _: {self.value(k): self.value(v) for k, v in x},
            "float": lambda x, _: float(x),
            "complex": lambda x, _: complex(float(x[0]), float(x[1])),
            "slice": lambda x, _: slice(*map(self.value, x)),
            "range": lambda x, _: range(*x),
            "ellipsis": lambda *_: ...,
            "dtype": lambda x, _: np.dtype(x),
            "type": lambda x, _: _read_type(x),
            "class": lambda x, _: importing.find(x, self.modules),
            "member": lambda x, _: importing.find(x[0], self.modules)[x[1]],
            "time": lambda x, _: np.asarray(x[1]).astype(x[0])[()],
            "date": lambda x, _: datetime.date.fromisoformat(x),
            "datetime": lambda x, _: datetime.datetime.fromisoformat(x),
            "timestamp": lambda x, _: _read_timestamp(x),
            "row": lambda x, _: _ROWS[x],
            "named": lambda x, _: importing.find(x, self.modules),
            "function": lambda x, w: importing.unwrapped(importing.find(x, self.modules), w.get("inside", 0)),
            "partial": lambda x, _: (lambda parts: functools.partial(parts[0], *parts[1], **parts[2]))(self.value(x)),
            "method": lambda x, _: self._method(*x),
        }


    def _method(self, owner: Any, name: str) -> Callable:
        found = None if name.startswith("__") else getattr(self.value(owner), name, None)
        if not isinstance(found, types.MethodType):
            raise ModelError(f"px.load: {name} is no method of {self.value(owner)!r}")
        return found


def _read_struct(shape: list, written: dict) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(tuple(shape), np.dtype(written["dtype"]), weak_type=written.get("weak", False))


def _read_type(written: str) -> Any:
    module, _, name = written.rpartition(":")
    return _BUILTIN[name] if not module else getattr({"numpy": np, "jax.numpy": jnp}[module], name)


def _read_timestamp(text: str) -> Any:
    import pandas as pd  # xarray brings it along

    return pd.Timestamp(text)
