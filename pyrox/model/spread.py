"""Run a traced function on values that are constant along some axes, without writing these axes out.

A discrete variable that is set to its value k everywhere is one number, however many elements it has; so is what
follows from it alone, like ``log(sigma[z])``. Each value therefore keeps length one along the axes on which it is
known to be constant, and what each value follows (see ``axes``).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from pyrox.model.axes import CALLS, ELEMENTWISE, REDUCTIONS, Follows, Step, apply_rule, inner_of
from pyrox.typing import Array, Shape


class Spread(NamedTuple):
    """A value.

    Attributes
    ----------
    array
        Its numbers, with length one along axes on which they are constant.
    shape
        Its shape, written out.
    follows
        What it follows.
    """

    array: Array
    shape: Shape
    follows: Follows

    @property
    def full(self) -> Array:
        """The numbers, written out."""
        return self.array if jnp.shape(self.array) == self.shape else jnp.broadcast_to(self.array, self.shape)


class SpreadRun:
    """One run of a traced function; equal operations on equal inputs run once.

    Attributes
    ----------
    indices
        Index arrays by key, as ``axes.Along`` names them.
    """

    def __init__(self) -> None:
        self.indices: dict[Any, Array] = {}
        self._done: dict[tuple, list[Spread]] = {}
        self._constants: dict[tuple, Any] = {}
        self._kept: list[Any] = []  # identities count as long as their objects live

    def __call__(self, closed: core.ClosedJaxpr, inputs: Sequence[Spread]) -> list[Spread]:
        """Give the outputs."""
        jaxpr = closed.jaxpr
        known = dict(zip(jaxpr.constvars, map(self._constant, closed.consts), strict=True))
        known |= dict(zip(jaxpr.invars, inputs, strict=True))

        def read(v: Any) -> Spread:
            return Spread(v.val, tuple(jnp.shape(v.val)), {}) if isinstance(v, core.Literal) else known[v]

        for eqn in jaxpr.eqns:
            known.update(zip(eqn.outvars, self._once(eqn, [read(v) for v in eqn.invars]), strict=True))
        return [read(v) for v in jaxpr.outvars]

    def _constant(self, value: Any) -> Spread:
        """Give equal numbers as one value, so that equal indices are known to be equal."""
        self._kept.append(value)
        known = isinstance(value, np.ndarray | jax.Array) and not isinstance(value, jax.core.Tracer)
        if known and not jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            key = value.shape, str(value.dtype), np.asarray(value).tobytes()
            value = self._constants.setdefault(key, value)
        return Spread(value, tuple(jnp.shape(value)), {})

    def _once(self, eqn: Any, inputs: list[Spread]) -> list[Spread]:
        named = [
            repr(v.val) + str(v.aval) if isinstance(v, core.Literal) else id(x.array)
            for v, x in zip(eqn.invars, inputs, strict=True)
        ]
        key = eqn.primitive, tuple(named), tuple(sorted(eqn.params.items(), key=lambda item: item[0]))
        try:
            found = self._done.get(key)
        except TypeError:  # parameters that cannot be compared
            return self._run(eqn, inputs)
        if found is None or eqn.effects:
            self._kept.append(inputs)
            found = self._done[key] = self._run(eqn, inputs)
        return found

    def _run(self, eqn: Any, inputs: list[Spread]) -> list[Spread]:
        name = eqn.primitive.name
        if name in CALLS and not name.startswith("custom"):
            return self(inner_of(eqn.params), inputs)
        shapes = [tuple(v.aval.shape) for v in eqn.outvars]
        step = Step(
            eqn.params,
            [x.shape for x in inputs],
            [x.follows for x in inputs],
            shapes,
            lambda component: self._number(inputs[1], component),
        )
        follows = apply_rule(name, step) if any(step.follows) else [{}] * len(shapes)
        rule = _RULES.get(name)
        arrays = None if rule is None else rule(eqn, inputs)
        if arrays is None:
            arrays = _bind(eqn, [x.full for x in inputs])
        return [Spread(a, s, f) for a, s, f in zip(arrays, shapes, follows, strict=True)]

    def _number(self, index: Spread, component: int) -> Any:
        """Give a key to one component of an index of rows."""
        if index.follows:
            return None
        self._kept.append(index)
        key = "array", id(index.array), component
        self.indices[key] = jnp.ravel(index.full[..., component])
        return key


def _bind(eqn: Any, arrays: Sequence[Any]) -> list:
    out = eqn.primitive.bind(*arrays, **eqn.primitive.get_bind_params(eqn.params))
    return list(out) if eqn.primitive.multiple_results else [out]


# Rules give the outputs with their constant axes at length one, or None to have everything written out.


def _elementwise(eqn: Any, inputs: list[Spread]) -> list:
    full = [x for x in inputs if x.shape]  # besides, operations take scalars
    shape = jnp.broadcast_shapes(*(jnp.shape(x.array) for x in full)) if full else ()
    return _bind(eqn, [jnp.broadcast_to(x.array, shape) if x.shape else x.array for x in inputs])


def _broadcast(eqn: Any, inputs: list[Spread]) -> list | None:
    to, x = eqn.params["broadcast_dimensions"], inputs[0]
    shape = [1] * len(eqn.outvars[0].aval.shape)
    for n, axis in zip(jnp.shape(x.array), to, strict=True):
        shape[axis] = n
    return [lax.broadcast_in_dim(x.array, tuple(shape), to)]


def _reshape(eqn: Any, inputs: list[Spread]) -> list | None:
    x, new = inputs[0], tuple(eqn.outvars[0].aval.shape)
    lengths = [(n, stored) for n, stored in zip(x.shape, jnp.shape(x.array), strict=True) if n != 1]
    if [n for n, _ in lengths] != [n for n in new if n != 1] or eqn.params.get("dimensions") is not None:
        return None
    rest = iter(lengths)
    return [jnp.reshape(x.array, tuple(1 if n == 1 else next(rest)[1] for n in new))]


def _as_it_is(eqn: Any, inputs: list[Spread]) -> list:
    return _bind(eqn, [inputs[0].array])


def _written_out(x: Spread, axes: Sequence[int]) -> Array:
    """Write some axes out."""
    stored = jnp.shape(x.array)
    return jnp.broadcast_to(x.array, tuple(n if a in axes else stored[a] for a, n in enumerate(x.shape)))


def _reduce(eqn: Any, inputs: list[Spread]) -> list:
    return _bind(eqn, [_written_out(inputs[0], eqn.params["axes"])])


def _gather(eqn: Any, inputs: list[Spread]) -> list | None:
    d, (table, index) = eqn.params["dimension_numbers"], inputs
    if d.operand_batching_dims or jnp.shape(index.array) == index.shape:
        return None
    return _bind(eqn, [table.full, _written_out(index, (len(index.shape) - 1,))])


_RULES: dict[str, Callable] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(["transpose", "squeeze"], _as_it_is),
    "broadcast_in_dim": _broadcast,
    "gather": _gather,
    "reshape": _reshape,
}


def total(table: Array, stored: Shape, shape: Shape) -> Array:
    """Sum the last axes of a table, of which those at length one may stand for more."""
    copies = int(np.prod([n for n, m in zip(shape, stored, strict=True) if m == 1], dtype=int))
    summed = jnp.sum(table, axis=tuple(range(jnp.ndim(table) - len(stored), jnp.ndim(table))))
    return summed if copies == 1 else copies * summed


def trace(function: Callable, *args: Any) -> tuple[core.ClosedJaxpr, list, Any]:
    """Trace a function; give it, the leaves of its arguments and the layout of its outputs."""
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
    return closed, jax.tree.leaves(args), jax.tree.structure(shape)
