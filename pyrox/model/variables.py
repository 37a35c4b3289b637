"""Statements of random variables: one object for every distribution."""

import difflib
import inspect
from collections.abc import Mapping
from types import FunctionType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import Distribution
from pyrox.dist.transforms import ComposeTransform, Transform
from pyrox.errors import ModelError, ShapeError
from pyrox.model import missing, primitives, program
from pyrox.model import values as host
from pyrox.model.graph import Model, enclosing_model
from pyrox.model.minibatch import name_batches
from pyrox.model.nodes import Constant, Node, ancestors, call, contains_node, describe, evaluate_alone
from pyrox.model.noncentering import noncenter_variable
from pyrox.model.parameters import (
    in_own_words,
    require_all,
    require_density,
    require_nameless,
    require_not_none,
    require_parameters,
)
from pyrox.model.program import DistExpression, RandomVariable, fit_batch
from pyrox.model.reference import OPTIONS, document
from pyrox.model.table import Row


class _Builder:
    """Make one row's distribution from its parameters; its name is what messages show."""

    def __init__(
        self, row: Row, shape: tuple[int, ...] | None = None, sized: tuple[str, ...] = (), size: Any = None
    ) -> None:
        self.row, self.shape, self.size, self.__name__ = row, shape, size, row.name
        self.sized = sized  # the parameters that follow the lengths of dims
        self.known: dict[str, Any] = {}

    def __call__(self, **params: Any) -> Distribution:
        d = self.row.build({**params, **self.known})
        if self.size is not None:
            return d.expand(self.size)
        if self.shape is None:
            return d
        return d.expand(fit_batch(f"{self.row.name}.dist", d, self.shape, None, None, _tell_shapes(params)))


def _tell_shapes(params: Mapping[str, Any]) -> str:
    numbers = {n: v for n, v in params.items() if isinstance(v, int | float | np.ndarray | jax.Array)}
    return ", ".join(f"{name} {jnp.shape(value)}" for name, value in numbers.items())


class _Written:
    """A docstring of an object, written when somebody reads it: a hundred of them would slow the import down."""

    def __init__(self, of_class: str | None) -> None:
        self.of_class = of_class

    def __get__(self, statement: Any, owner: type) -> str | None:
        return self.of_class if statement is None else document(statement.row, statement.summary, statement.extras)


class DistributionStatement:
    """State a random variable: one object for each distribution, whose docstring follows from its row."""

    # Subclasses, whose first lines are their own, have further keywords: defaults and descriptions.
    summary: str | None = None
    extras: Mapping[str, tuple[Any, str]] = {}
    variadic = False

    def __init_subclass__(cls) -> None:
        cls.summary, cls.__doc__ = cls.__doc__, vars(DistributionStatement)["__doc__"]

    def __init__(self, row: Row) -> None:
        self.row = row
        self.__name__ = self.__qualname__ = row.name

    @property
    def __signature__(self) -> inspect.Signature:
        kind, only = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
        keywords = {**{n: default for n, (default, _) in self.extras.items()}, **dict.fromkeys(OPTIONS)}
        keywords["noncentered"] = False
        return inspect.Signature(
            [
                inspect.Parameter("name", kind),
                *([inspect.Parameter("params", inspect.Parameter.VAR_POSITIONAL)] if self.variadic else []),
                *(inspect.Parameter(n, kind, default=None) for n in self.row.order.split()),
                *(inspect.Parameter(n, only, default=default) for n, default in keywords.items()),
            ]
        )

    def __call__(
        self,
        name: str | None = None,
        *params: Any,
        dims: Any = None,
        shape: Any = None,
        observed: Any = None,
        initval: Any = None,
        total_size: int | None = None,
        transform: Transform | None = None,
        default_transform: Transform | None = None,
        noncentered: bool = False,
        **named: Any,
    ) -> Any:
        model = enclosing_model()
        require_place(model, self.row.name, name)
        what = f"{self.row.name} {name!r}"
        given, observed = self._bind(what, params, named), missing.unmask(observed)
        dims, shape = host.as_dims(dims, what), host.as_shape(shape, what)
        transform = _join_transforms(transform, default_transform, what)
        sized: tuple[str, ...] = ()
        if self.row.size is not None:
            bound, given = given, self.row.sized(given, _told_shape(model, name, dims, shape, observed))
            sized = tuple(n for n in given if n not in bound and dims is not None)
        if model is None:
            hints = {"initval": initval, "transform": transform, "noncentered": noncentered or None}
            return _state_sample(self.row, name, given, dims, shape, observed, total_size, hints)
        full = model.full_name(name, self.row.name, dims)
        given = _prefer_logits(given, self.row)
        dist = _make_dist(_Builder(self.row, None, sized), given, what)
        require_parameters(self.row, given, what, dist)
        nodes = make_variables(model, full, dist, dims, shape, observed, initval, total_size, transform)
        require_density(dist, nodes[0].struct, what)
        if noncentered:
            nodes = [noncenter_variable(nodes[-1])]
        for node in nodes[:-1]:
            model.full_name(node.name.removeprefix(f"{model.name}::"), self.row.name)
            missing.follow(node, model.registry)
        return [model.register(node) for node in nodes][-1]

    def dist(self, *params: Any, shape: Any = None, size: Any = None, **named: Any) -> Any:
        """Give the distribution alone, without a name: an argument of other statements.

        ``shape`` is that of a draw, ``size`` that of the copies.
        """
        what = f"{self.row.name}.dist"
        given = self._bind(what, params, named)
        builder = _Builder(self.row, host.as_shape(shape, what), size=host.as_shape(size, what))
        given = self.row.sized(given, builder.shape)
        if primitives.in_program() and enclosing_model() is None and not contains_node(given):
            return builder(**_plain_parameters(self.row, given))
        return _make_dist(builder, given, what)

    def _bind(self, what: str, params: tuple, named: dict) -> dict[str, Any]:
        order = self.row.order.split()
        if len(params) > len(order):
            raise ModelError(
                f"{what}: at most {len(order)} positional parameters ({', '.join(order)}); met {len(params)}"
            )
        given = dict(zip(order, params, strict=False))
        for name, value in named.items():
            if name in given and given[name] is not None:
                raise ModelError(f"{what}: parameter {name!r} is given twice")
            given[name] = value
        require_not_none(self.row, given, what)
        accepted = self.row.accepted()
        unknown = [n for n in given if n not in accepted]
        if unknown == ["size"]:
            raise ModelError(f"{what}: write shape=, the shape of the variable; size= is for {self.row.name}.dist")
        if unknown:
            options = () if what.endswith(".dist") else OPTIONS
            near = difflib.get_close_matches(unknown[0], [*accepted, *options], n=1)
            meant = f": did you mean {near[0]}=?" if near else ""
            raise ModelError(f"{what}: no parameter {unknown[0]!r}; its parameters are {', '.join(accepted)}{meant}")
        return {n: v for n, v in given.items() if v is not None}

    def __repr__(self) -> str:
        return f"<statement {self.row.name}({', '.join(['name', *self.row.order.split()])})>"


DistributionStatement.__doc__ = _Written(DistributionStatement.__doc__)


def _join_transforms(transform: Any, default: Any, what: str) -> Transform | None:
    """Join what stands in place of a support's own transform with what goes before it."""
    for option, value in (("transform", transform), ("default_transform", default)):
        if value is not None and not isinstance(value, Transform):
            raise ModelError(
                f"{what}: {option} is one of px.dist.transforms; met {value!r}, "
                "for which px.distributions.transforms may have a transform"
            )
    if transform is None or default is None:
        return default if transform is None else transform
    return ComposeTransform([transform, default])


def require_place(model: Model | None, kind: str, name: Any) -> None:
    """Refuse a statement outside of models and programs."""
    if model is None and not primitives.in_program():
        raise ModelError(
            f"px.{kind}({name!r}, ...) stands outside a model: write it inside `with px.Model():`, "
            "or in a function that runs under px.handlers"
        )


# In a program: plain values


def _told_shape(model: Model | None, name: str, dims: Any, shape: Any, observed: Any) -> Any:
    """Give the shape of a variable as far as its statement tells it before there is a distribution."""
    if shape is not None:
        return shape
    lengths = (None,) if dims is None or model is None else model.shape_of_dims(dims, name)
    if None not in lengths:
        return lengths
    return None if observed is None else tuple(observed.shape if hasattr(observed, "shape") else np.shape(observed))


def plain(value: Any) -> Any:
    """Take arrays out of other containers."""
    value = value.to_numpy() if hasattr(value, "to_numpy") else value
    return jnp.asarray(value) if isinstance(value, list | tuple) else value


def _plain_parameters(row: Row, given: dict) -> dict[str, Any]:
    kept = (*row.static.split(), *row.trees.split())
    return {n: v if n in kept else plain(v) for n, v in given.items()}


def _state_sample(
    row: Row, name: str, given: dict, dims: Any, shape: Any, observed: Any, total_size: int | None, hints: dict
) -> Any:
    given = _plain_parameters(row, given)
    d = row.build(given)
    if observed is not None:
        host.require_known_finite(observed, f"observed of {name!r}", "only a Model imputes; handlers.mask leaves out")
        observed = jnp.asarray(plain(observed))
    told = _tell_shapes(given)
    seen = None if observed is None else observed.shape
    d = d.expand(fit_batch(name, d, shape, seen, None, told))
    infer = {key: v for key, v in hints.items() if v is not None}
    scale = None if total_size is None or observed is None else total_size / observed.shape[0]
    return primitives.sample(name, d, obs=observed, infer=infer, dims=dims, scale=scale)


# In a graph: nodes


def _as_parameter(value: Any, what: str) -> Any:
    if isinstance(value, str | Mapping | Model) or (isinstance(value, FunctionType | type) or value is Ellipsis):
        raise ModelError(f"{what} takes numbers or variables of the model; met {value!r}")
    if not isinstance(value, list | tuple):
        return value
    if contains_node(value):
        return call(jnp.stack, [v if isinstance(v, Node) else jnp.asarray(v) for v in value])
    return host.as_host(value, what)


_SIGMOIDS = (jax.nn.sigmoid, jax.scipy.special.expit)


def _prefer_logits(given: dict, row: Row) -> dict:
    """Take the argument of a sigmoid instead of its value: exact where the probability rounds to 0 or 1."""
    p = given.get("p")
    while isinstance(p, program.Deterministic):
        p = p.inputs[0]
    if "logit_p" in row.order and "logit_p" not in given and getattr(p, "fn", None) in _SIGMOIDS and len(p.inputs) == 1:
        if row.name == "Categorical":
            return given
        return {**{n: v for n, v in given.items() if n != "p"}, "logit_p": p.inputs[0]}
    return given


def _make_dist(builder: _Builder, given: dict, what: str) -> DistExpression:
    builder.known = {n: v for n, v in given.items() if n in builder.row.static.split()}
    for n, value in builder.known.items():
        if contains_node(value):
            raise ModelError(f"{what}: parameter {n} must be known when the model is written; met {describe(value)}")
    trees = builder.row.trees.split()
    require_nameless(builder.row, given, what)
    params = {
        n: v if n in trees else _as_parameter(v, f"{what}: parameter {n}")
        for n, v in given.items()
        if n not in builder.known
    }
    try:
        return DistExpression(builder, (), params)
    except ModelError:
        raise
    except ValueError as error:
        told = ", ".join(f"{n} {v.shape}" for n, v in params.items() if hasattr(v, "shape"))
        kind = ShapeError if isinstance(error, ShapeError) or "shape" in str(error) else ModelError
        why = in_own_words(builder.row, error) + (f" (parameters: {told})" if told else "")
        raise kind(f"{what}: {why}") from error
    except TypeError as error:
        require_all(builder.row, error, what)
        raise ModelError(f"{what}: {error}; its parameters are {', '.join(builder.row.accepted())}") from error


def make_variables(
    model: Model, name: str, dist: DistExpression, dims: Any, shape: Any, observed: Any, initval: Any = None,
    total_size: Any = None, transform: Transform | None = None,
) -> list[program.Statement]:  # fmt: skip
    """Make a variable, its data checked; of one with missing values its parts and the whole, which is the last one."""
    gaps = None if observed is None else missing.find_gaps(observed, f"observed of {name!r}")
    seen = observed if gaps is None else missing.fill_gaps(gaps, _known_support(dist), len(dist.struct.event_shape))
    variable = _make_variable(model, name, dist, dims, shape, seen, initval, total_size)
    variable.transform = transform
    return [variable] if gaps is None else missing.impute(variable, observed if isinstance(observed, Node) else gaps)


def _make_variable(
    model: Model, name: str, dist: DistExpression, dims: Any, shape: Any, observed: Any, initval: Any, total_size: Any
) -> RandomVariable:
    struct = dist.struct
    seen = None if observed is None else _as_observed(name, observed, dist)
    seen_shape = None if seen is None else seen.shape
    fallback = seen_shape if seen_shape is not None else struct.shape
    declared = shape
    if dims is not None:
        declared = declared_shape(model, name, dims, fallback)
        if shape is not None and shape != declared:
            raise ShapeError(f"{name}: shape={shape} does not agree with dims {dims} of lengths {declared}")
    variable = RandomVariable(name, dist, dims, declared, seen, None, total_size, None)
    batch = fit_batch(name, struct, declared, seen_shape, dims, variable.parameters())
    full = (*batch, *struct.event_shape)
    if seen_shape is not None and seen_shape != full:
        raise ShapeError(
            f"{name}: observed has shape {seen_shape}, but "
            + (f"dims {dims} give {full}" if dims is not None else f"its shape is {full}")
        )
    variable.struct = jax.ShapeDtypeStruct(full, struct.dtype)
    if seen is not None:
        name_batches(variable, model.named_vars.values())
    variable.initval = None if initval is None else _as_initval(name, initval, full, struct)
    if isinstance(total_size, list | tuple) and total_size and all(n in (None, ...) for n in total_size[1:]):
        variable.total_size = total_size = total_size[0]
    if total_size is not None and not (isinstance(total_size, int | np.integer) and total_size > 0 and full):
        raise ModelError(f"{name}: total_size is the number of rows of all data; met {total_size!r}")
    return variable


def declared_shape(model: Model, name: str, dims: tuple, fallback: tuple[int, ...]) -> tuple[int, ...]:
    """Give the lengths of dims; where an axis has none, that of another shape."""
    lengths = model.shape_of_dims(dims, name)
    if None in lengths and len(fallback) != len(lengths):
        raise ShapeError(f"{name}: dims {dims} name {len(dims)} axes, its shape {fallback} has {len(fallback)}")
    return tuple(fallback[i] if n is None else n for i, n in enumerate(lengths))


def _known_support(dist: DistExpression) -> Any:
    """Give the support, where it depends on no random variable."""
    if dist.struct.support is not None or any(isinstance(n, RandomVariable) for n in ancestors([dist])):
        return dist.struct.support
    return evaluate_alone(dist).support


def _as_observed(name: str, observed: Any, dist: DistExpression) -> Node:
    """Make a node of observed values, checked where they are known."""
    what, struct, support = f"observed of {name!r}", dist.struct, _known_support(dist)
    if isinstance(observed, Node):
        random = [n for n in ancestors([observed]) if isinstance(n, RandomVariable)]
        if random:
            raise ModelError(f"{what} depends on {describe(random[0])}: observed values are data")
        array = observed.eval()
    else:
        array = host.as_host(observed, what)
    host.require_finite(array, what, "missing values must be removed before the model is built (px imputes none)")
    # A value of the wrong shape is reported as that, later on.
    if support is not None and array.ndim >= support.event_dim and _broadcast_together(array.shape, struct.shape):
        host.require_support(array, support, what)
    if isinstance(observed, Node):
        return observed
    if array.dtype != struct.dtype:
        array = array.astype(struct.dtype)
    return Constant(array, label=f"{name}:observed")


def _broadcast_together(*shapes: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


def _as_initval(name: str, initval: Any, shape: tuple[int, ...], struct: Any) -> np.ndarray:
    what = f"initval of {name!r}"
    if isinstance(initval, str | Node):
        raise ModelError(f"{what} must be numbers; met {initval!r}")
    array = host.as_host(initval, what)
    host.require_finite(array, what, "a start must be finite")
    try:
        array = np.broadcast_to(array, shape)
    except ValueError:
        raise ShapeError(f"{what} has shape {array.shape}, the variable {shape}") from None
    if struct.support is not None:
        host.require_support(array, struct.support, what)
    return array
