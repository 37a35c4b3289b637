"""Evaluate a model at a point: log-densities, gradients and expressions, of values by name.

A point maps names to values. A variable stands in it under its own name, or with its unconstrained value under the name
that PyMC gives that, ``tau_log__``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import Distribution
from pyrox.dist.transforms import sum_rightmost
from pyrox.dist.value_transforms import name_of_value
from pyrox.errors import ModelError, ShapeError
from pyrox.model.handlers import as_key, block
from pyrox.model.messenger import Message, Messenger, shape_of, transform_of
from pyrox.model.nodes import Constant, Node, describe, evaluate
from pyrox.model.program import Data, Potential, RandomVariable
from pyrox.model.sites import Collect, masked
from pyrox.typing import Array, Key, Tree

Point = Mapping[str, Any]


class AtPoint(Messenger):
    """Give the variables of a model the values of a point, and keep the terms of its log-density.

    Attributes
    ----------
    position
        The unconstrained values that were met, under their own names.
    values
        The values of free variables.
    terms
        By name, the log-density of each element, without Jacobian.
    log_dets
        By name, the log-determinants of the transforms.
    laws
        By name, the distribution and the value of each variable.
    """

    def __init__(self, point: Point, data: Tree) -> None:
        self.point, self.data = point, data
        self.position: dict[str, Array] = {}
        self.values: dict[str, Array] = {}
        self.terms: dict[str, Array] = {}
        self.log_dets: dict[str, Array] = {}
        self.laws: dict[str, tuple[Distribution, Array]] = {}

    def process_message(self, msg: Message) -> None:
        kind, name = msg["type"], msg["name"]
        if kind in ("data", "constant"):
            msg["value"] = self.data.get(name, msg["args"][0])
        elif kind == "sample" and not msg["is_observed"]:
            msg["value"] = self.values[name] = self._discrete(msg) if msg["fn"].is_discrete else self._continuous(msg)

    def postprocess_message(self, msg: Message) -> None:
        name, value = msg["name"], msg["value"]
        if msg["type"] == "factor":
            term = masked(msg, jnp.asarray(value))
        elif msg["type"] == "sample":
            self.laws[name] = msg["fn"], jnp.asarray(value)
            term = masked(msg, msg["fn"].log_prob(jnp.asarray(value)))
        else:
            return
        self.terms[name] = term if msg["scale"] is None else term * msg["scale"]

    def _discrete(self, msg: Message) -> Array:
        name = msg["name"]
        self.position[name] = _fit(self.choose(msg, name, None), shape_of(msg), name)
        return self.position[name]

    def _continuous(self, msg: Message) -> Array:
        name, transform = msg["name"], transform_of(msg)
        label, shape = name_of_value(name, transform), shape_of(msg)
        if label in self.point:
            x = _fit(self.point[label], tuple(transform.inverse_shape(shape)), label)
        else:
            x = transform.inv(_fit(self.choose(msg, name, label), shape, name))
        self.position[label] = x
        value, self.log_dets[name] = transform.forward_and_log_det(x)
        return value

    def choose(self, msg: Message, name: str, label: str | None) -> Any:
        """Give the value of a variable whose unconstrained value is not in the point."""
        if name in self.point:
            return self.point[name]
        ways = f"{name!r}" if label in (None, name) else f"{name!r}, or with its unconstrained value {label!r}"
        known = ", ".join(map(repr, self.point)) or "nothing"
        raise ModelError(f"the point lacks the variable {ways}; it has {known}")

    def total(self, names: Sequence[str] | None, *, jacobian: bool) -> list[Array]:
        """Give the terms of some variables, or of all, each element's with its Jacobian."""
        chosen = self.terms if names is None else names
        return [self._with_jacobian(n) if jacobian else self.terms[n] for n in chosen]

    def _with_jacobian(self, name: str) -> Array:
        term, log_det = self.terms[name], self.log_dets.get(name)
        if log_det is None:
            return term
        fewer = min(term.ndim, log_det.ndim)  # a transform may take several elements at once, or a density
        return sum_rightmost(term, term.ndim - fewer) + sum_rightmost(log_det, log_det.ndim - fewer)


class Start(AtPoint):
    """Choose values: those of the statements, the means of the distributions, or with a key at random."""

    def __init__(self, data: Tree, key: Key | None) -> None:
        AtPoint.__init__(self, {}, data)
        self._key = key

    def choose(self, msg: Message, name: str, label: str | None) -> Any:
        if (given := msg["infer"].get("initval")) is not None:
            return given
        fn, shape = msg["fn"], shape_of(msg)
        blank = jnp.zeros(shape, int if fn.is_discrete else float)
        if label is None:
            return _within(fn, blank)
        transform = transform_of(msg)
        below = tuple(transform.inverse_shape(shape))
        if self._key is not None:
            key = jax.random.fold_in(self._key, len(self.position))
            return transform(jax.random.uniform(key, below, minval=-2.0, maxval=2.0))
        feasible = transform(jnp.zeros(below))
        if msg["infer"].get("transform") is not None:
            return feasible
        mean = _mean(fn, blank)
        fits = jnp.all(jnp.isfinite(mean) & jnp.isfinite(transform.inv(mean).sum()))
        return jnp.where(fits, mean, feasible)


def _mean(fn: Distribution, blank: Array) -> Array:
    try:
        return jnp.broadcast_to(fn.mean, blank.shape)
    except NotImplementedError:
        return jnp.full_like(blank, jnp.nan, dtype=float)


def _within(fn: Distribution, blank: Array) -> Array:
    """Give whole numbers near the mean that belong to a support."""
    mean, some = jnp.round(_mean(fn, blank)), jnp.broadcast_to(fn.support.feasible_like(blank), blank.shape)
    inside = jnp.all(jnp.isfinite(mean)) & jnp.all(fn.support(jnp.where(jnp.isfinite(mean), mean, some)))
    return jnp.where(inside, mean, some).astype(blank.dtype)


def _fit(value: Any, shape: tuple, name: str) -> Array:
    value = jnp.asarray(value)
    try:
        return jnp.broadcast_to(value, shape)
    except ValueError:
        raise ShapeError(f"the point holds {name!r} of shape {value.shape}, where {shape} is needed") from None


def run_at(model: Callable, handler: AtPoint) -> AtPoint:
    """Run a model under a handler, and give it back."""
    with block(), handler:
        model()
    return handler


class Numbers:
    """The numbers of a model: its data, observed values and constants; read again when some have been replaced."""

    def __init__(self, model: Any) -> None:
        self._model, self._read_from, self._data = model, None, {}

    def __call__(self) -> dict[str, Any]:
        """Give the present numbers by name."""
        present = [self._model.structure_version, *(data.value for data in self._model.data_vars)]
        if self._read_from is None or any(a is not b for a, b in zip(present, self._read_from, strict=False)):
            jax.eval_shape(self._read)
            self._read_from = present
        return self._data

    def _read(self) -> None:
        handler = Collect()
        with block(), handler:
            self._model()
        self._data = handler.data


def _names_of(model: Any, variables: Any, what: str) -> list[str] | None:
    """Read variables, or their names; None means all."""
    if variables is None:
        return None
    several = isinstance(variables, list | tuple)
    names = [v if isinstance(v, str) else getattr(v, "name", None) for v in (variables if several else [variables])]
    for name, given in zip(names, variables if several else [variables], strict=True):
        node = model.named_vars.get(name)
        if not isinstance(node, RandomVariable | Potential):
            known = [n.name for n in model.named_vars.values() if isinstance(n, RandomVariable | Potential)]
            raise ModelError(f"{what}: {describe(given)} is no random variable and no potential of the model: {known}")
    return names


class PointFunction:
    """A function of a point of a model, compiled once; data that are replaced later count.

    Parameters
    ----------
    model
        The model.
    compute
        Function of what a run at the point has left.
    """

    def __init__(self, model: Any, compute: Callable[[AtPoint], Any]) -> None:
        self._model, self._numbers, self._compute = model, Numbers(model), compute
        self._compiled = jax.jit(self.value)

    def value(self, position: Point, data: Tree) -> Any:
        """Evaluate, traceably, with numbers given."""
        return self._compute(run_at(self._model, AtPoint(position, data)))

    def __call__(self, point: Point | None = None, **named: Any) -> Any:
        """Evaluate at a point, given as a mapping or as keywords."""
        point = read_point(self._model, {**(point or {}), **named})
        return jax.tree.map(np.asarray, self._compiled(point, self._numbers()))


def read_point(model: Any, point: Point) -> dict[str, Array]:
    """Make arrays of the values of a point; refuse what is no variable."""
    known = set(model.named_vars)
    for name in point:
        if name not in known and not (name.endswith("__") and any(name.startswith(f"{n}_") for n in known)):
            raise ModelError(f"the point holds {name!r}, which is no variable of the model; these are {sorted(known)}")
    return {name: jnp.asarray(value) for name, value in point.items()}


def initial_point(model: Any, random_seed: int | Key | None = None) -> dict[str, np.ndarray]:
    """Give unconstrained values where the density is finite, for most models; see ``Model.initial_point``."""
    key = None if random_seed is None else as_key(random_seed)
    handler = run_at(model, Start(Numbers(model)(), key))
    return {name: np.asarray(value) for name, value in handler.position.items()}


def log_density_function(model: Any, vars: Any, *, jacobian: bool, sum: bool) -> PointFunction:
    """Make a function of a point that gives the log-density; see ``Model.compile_logp``."""
    names = _names_of(model, vars, "compile_logp")

    def compute(run: AtPoint) -> Any:
        terms = run.total(names, jacobian=jacobian)
        return jnp.sum(jnp.stack([jnp.sum(t) for t in terms])) if sum else terms

    return PointFunction(model, compute)


class Gradient:
    """The gradient of a log-density, as a function of a point; see ``Model.compile_dlogp``."""

    def __init__(self, model: Any, vars: Any, *, jacobian: bool) -> None:
        self._model, self._numbers, self._names = model, Numbers(model), _names_of(model, vars, "compile_dlogp")

        def total(moving: dict, still: dict, data: Tree) -> Array:
            run = run_at(model, AtPoint({**still, **moving}, data))
            return jnp.sum(jnp.stack([jnp.sum(t) for t in run.total(None, jacobian=jacobian)]))

        self._compiled = jax.jit(jax.grad(total))

    def __call__(self, point: Point | None = None, **named: Any) -> np.ndarray:
        """Evaluate at a point: one vector, variable after variable in the order of their definition."""
        data = self._numbers()
        run = run_at(self._model, AtPoint(read_point(self._model, {**(point or {}), **named}), data))
        chosen = run.values if self._names is None else self._names
        moving, still = {}, {}
        for (name, value), (label, x) in zip(run.values.items(), run.position.items(), strict=True):
            free = name in chosen and jnp.issubdtype(value.dtype, jnp.floating)
            (moving if free else still)[label] = x
        found = self._compiled(moving, still, data)
        return np.concatenate([np.ravel(found[label]) for label in moving] or [np.zeros(0)])


def expression_function(model: Any, outs: Any, inputs: Any, *, point_fn: bool) -> Callable:
    """Make a function of a point that evaluates expressions; see ``Model.compile_fn``."""
    targets = list(outs) if isinstance(outs, list | tuple) else [outs]
    for target in targets:
        if not isinstance(target, Node):
            raise ModelError(f"compile_fn takes variables and expressions of the model; met {describe(target)}")
    order = None if inputs is None else [v if isinstance(v, str) else v.name for v in inputs]
    if not point_fn and order is None:
        raise ModelError("compile_fn(point_fn=False) needs inputs=: the variables in the order of its arguments")

    @jax.jit
    def run(known: dict[str, Array], stated: dict[str, Array]) -> list[Array]:
        values: dict[Node, Any] = {}
        for name, node in model.named_vars.items():
            if name in known:
                values[node] = known[name]
            elif isinstance(node, Data):
                values[node] = stated[name]
            elif isinstance(node, RandomVariable) and node.observed is not None:
                values[node] = evaluate(node.observed, values, _number)
        return [evaluate(target, values, _number) for target in targets]

    def at_point(point: Point | None = None, **named: Any) -> Any:
        known = read_point(model, {**(point or {}), **named})
        if any(name not in model.named_vars for name in known):
            known |= run_at(model, AtPoint(known, Numbers(model)())).values
        known = {name: value for name, value in known.items() if name in model.named_vars}
        _require_reached(model, targets, known)
        found = run(known, {data.name: data.value for data in model.data_vars})
        arrays = [np.asarray(x) for x in found]
        return arrays if isinstance(outs, list | tuple) else arrays[0]

    if point_fn:
        return at_point
    return lambda *values: at_point(dict(zip(order, values, strict=True)))


def _number(node: Constant) -> np.ndarray:
    return node.value


def _require_reached(model: Any, targets: list[Node], known: Mapping[str, Any]) -> None:
    """Raise unless the values of a point lead to the expressions."""
    todo, seen = list(targets), set()
    while todo:
        node = todo.pop()
        if node in seen or node.name in known:
            continue
        seen.add(node)
        if isinstance(node, RandomVariable) and node.observed is None:
            raise ModelError(f"the point lacks {node.name!r}, which {describe(targets[0])} depends on")
        todo += [node.observed] if isinstance(node, RandomVariable) else node.inputs
