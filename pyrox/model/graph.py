"""The model: names, dims, coordinates and nodes, in the order of their definition."""

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from copy import deepcopy
from typing import Any

import numpy as np

from pyrox.errors import ModelError, ShapeError
from pyrox.model import missing, spelling
from pyrox.model.messenger import active_handlers, handler_depth
from pyrox.model.methods import Evaluable
from pyrox.model.new_data import replace_data
from pyrox.model.nodes import ancestors
from pyrox.model.plates import PlateRun
from pyrox.model.program import Data, Deterministic, Potential, RandomVariable, Statement, play
from pyrox.model.views import Viewable

# The models that are being written, innermost last, each with the number of handlers active when it was entered.
_MODELS: ContextVar[tuple[tuple["Model", int], ...]] = ContextVar("pyrox_models", default=())


class Registry:
    """Dims and the version of a family of nested models."""

    def __init__(self) -> None:
        self.coords: dict[str, tuple | None] = {}
        self.lengths: dict[str, int] = {}
        self.version = 0


class Model(Viewable, Evaluable):
    """A Bayesian model: statements inside ``with Model():`` register its variables.

    A model is callable: ``model()`` plays it back as a program of primitives, under whatever handlers are active.

    Parameters
    ----------
    name
        Prefix of the names of its variables, ``name::x``.
    coords
        Labels of each dim: ``{"school": ["A", "B"]}``.
    check_bounds
        Nothing: samplers stay inside supports, and what is given from outside is checked once.

    Examples
    --------
    >>> from pyrox.model import Model, Normal
    >>> with Model(coords={"school": ["A", "B"]}) as model:
    ...     mu = Normal("mu", 0.0, 5.0)
    ...     theta = Normal("theta", mu, 1.0, dims="school")
    >>> model["theta"].shape
    (2,)
    """

    # Fingerprints of the models that this one was derived from.
    origins: frozenset[str] = frozenset()
    # What inference has made of the model, kept as long as the model lives; a copy starts without.
    made: Any = None

    def __init__(
        self, name: str = "", coords: Mapping[str, Any] | None = None, check_bounds: bool = True  # noqa: FBT001, FBT002
    ) -> None:
        if not isinstance(name, str):
            raise ModelError(f"px.Model: name is a str; met {name!r}: labels of dims are given as coords=")
        enclosing = _MODELS.get()
        self.parent = enclosing[-1][0] if enclosing and enclosing[-1][1] == handler_depth() else None
        prefix = "" if self.parent is None or not self.parent.name else f"{self.parent.name}::"
        self.name = f"{prefix}{name}" if name else prefix.removesuffix("::")
        self.registry = Registry() if self.parent is None else self.parent.registry
        self.named_vars: dict[str, Statement] = {}
        self.add_coords(coords or {})

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "made": None}

    # Contexts

    def __enter__(self) -> "Model":
        _MODELS.set((*_MODELS.get(), (self, handler_depth())))
        return self

    def __exit__(self, *exc: object) -> None:
        _MODELS.set(_MODELS.get()[:-1])

    @staticmethod
    def get_context(error_if_none: bool = True) -> "Model | None":  # noqa: FBT001, FBT002
        """Give the innermost model whose ``with`` block is open; without one, raise, or give None."""
        return current_model() if error_if_none or _MODELS.get() else None

    @property
    def isroot(self) -> bool:
        """Whether the model is part of no other."""
        return self.parent is None

    @property
    def root(self) -> "Model":
        """The outermost of nested models."""
        return self if self.parent is None else self.parent.root

    @property
    def prefix(self) -> str:
        """What stands before ``::`` in the names of its variables."""
        return self.name

    def __call__(self) -> dict[str, Any]:
        """Run the model as a program of primitives; return the values by name."""
        return play(list(self.named_vars.values()), self.registry.lengths)

    # Nodes

    def register(self, node: Statement) -> Statement:
        """Add a named node."""
        missing.require_complete_inputs(node)
        self.registry.version += 1
        family: Model | None = self
        while family is not None:
            family.named_vars[node.name] = node
            family = family.parent
        return node

    def full_name(self, name: Any, kind: str, dims: Iterable[str | None] | None = None) -> str:
        """Check a new name, and put the model's prefix before it."""
        if not isinstance(name, str) or not name:
            raise ModelError(f'the first argument of {kind} is a name: px.{kind}("x", ...); met {name!r}')
        full = f"{self.name}::{name}" if self.name else name
        if full in self.named_vars:
            raise ModelError(
                f"the model already has a variable {full!r}: names must be unique "
                "(in a notebook, run the cell with px.Model() again to start anew)"
            )
        if full in (dims or ()):
            raise ModelError(f"{kind} {full!r} bears the name of its own dim: results cannot hold both, rename one")
        return full

    def __getitem__(self, name: str) -> Statement:
        for candidate in (name, f"{self.name}::{name}"):
            if candidate in self.named_vars:
                return self.named_vars[candidate]
        raise KeyError(f"the model has no variable {name!r}; it has {list(self.named_vars)}")

    def __contains__(self, name: object) -> bool:
        return name in self.named_vars or f"{self.name}::{name}" in self.named_vars

    def __getattr__(self, name: str) -> Statement:
        named = self.__dict__.get("named_vars", {})
        for candidate in (name, f"{self.__dict__.get('name')}::{name}"):
            if candidate in named:
                return named[candidate]
        raise AttributeError(f"Model has no attribute or variable {name!r}")

    def _of_kind(self, kind: type) -> list:
        return [node for node in self.named_vars.values() if type(node) is kind]

    @property
    def free_RVs(self) -> list[RandomVariable]:  # noqa: N802 - PyMC's name
        """The random variables without observed values."""
        return [v for v in self._of_kind(RandomVariable) if v.observed is None]

    @property
    def observed_RVs(self) -> list[RandomVariable]:  # noqa: N802
        """The random variables with observed values."""
        return [v for v in self._of_kind(RandomVariable) if v.observed is not None]

    @property
    def basic_RVs(self) -> list[RandomVariable]:  # noqa: N802
        """All random variables."""
        return self._of_kind(RandomVariable)

    @property
    def unobserved_RVs(self) -> list[Statement]:  # noqa: N802
        """The random variables without observed values, and the named expressions."""
        return [*self.free_RVs, *self.deterministics]

    @property
    def deterministics(self) -> list[Deterministic]:
        """The named expressions."""
        return self._of_kind(Deterministic)

    @property
    def potentials(self) -> list[Potential]:
        """The named terms of the log-density."""
        return self._of_kind(Potential)

    @property
    def data_vars(self) -> list[Data]:
        """The data that ``set_data`` can replace."""
        return self._of_kind(Data)

    @property
    def structure_version(self) -> int:
        """A number that changes when nodes, shapes or dtypes do, and stays when data are swapped for equal shapes."""
        return self.registry.version

    # Dims

    @property
    def coords(self) -> dict[str, tuple | None]:
        """Labels by dim; None for a dim that has only a length."""
        return dict(self.registry.coords)

    @property
    def dim_lengths(self) -> dict[str, int]:
        """Length by dim."""
        return dict(self.registry.lengths)

    @property
    def named_vars_to_dims(self) -> dict[str, tuple[str | None, ...]]:
        """Dims by variable, for those that have any."""
        return {name: node.dims for name, node in self.named_vars.items() if node.dims is not None}

    def add_coord(self, name: str, values: Any = None, *, length: int | None = None) -> None:
        """Add a dim.

        Parameters
        ----------
        name
            Name of the dim.
        values
            Its labels, one for each position.
        length
            Its length, where there are no labels.
        """
        if not isinstance(name, str) or not name:
            raise ModelError(f"the name of a dim is a str; met {name!r}")
        if name in ("chain", "draw", "__sample__"):
            raise ModelError(f"the dim {name!r} is taken: results use it for the draws")
        if values is None and length is None:
            raise ModelError(f"dim {name!r} needs values or a length")
        labels = None if values is None else as_labels(values, name)
        size = as_length(length, name) if labels is None else len(labels)
        if length is not None and size != length:
            raise ShapeError(f"dim {name!r}: {size} values for length {length}")
        if name in self.registry.lengths and (self.registry.lengths[name], self.registry.coords[name]) != (
            size,
            labels,
        ):
            raise ModelError(f"the dim {name!r} exists already, with other values: model.set_dim changes it")
        self.registry.lengths[name], self.registry.coords[name] = size, labels

    def add_coords(self, coords: Mapping[str, Any], *, lengths: Mapping[str, int] | None = None) -> None:
        """Add several dims."""
        if not isinstance(coords, Mapping):
            raise ModelError(f"coords is a dict of labels by dim; met {coords!r}")
        for name, values in coords.items():
            self.add_coord(name, values, length=(lengths or {}).get(name))

    def set_dim(self, name: str, new_length: int | None = None, coord_values: Any = None) -> None:
        """Change the length and the labels of a dim."""
        self._require_dims((name,), f"set_dim({name!r})")
        labels = None if coord_values is None else as_labels(coord_values, name)
        if new_length is None and labels is None:
            raise ModelError(f"set_dim({name!r}): give new_length= or coord_values=")
        length = len(labels) if new_length is None else as_length(new_length, name)
        if labels is not None and len(labels) != length:
            raise ShapeError(f"set_dim({name!r}): {len(labels)} values for length {length}")
        former = self.registry.lengths[name], self.registry.coords[name]
        self.registry.lengths[name], self.registry.coords[name] = length, labels
        if length != former[0]:
            self.registry.version += 1
            self.refresh_or(lambda: self.set_dim(name, *former))

    def _require_dims(self, dims: Iterable[str | None], what: str) -> None:
        for dim in dims:
            if dim is not None and dim not in self.registry.lengths:
                known = list(self.registry.lengths) or "none"
                near = spelling.nearest(dim, self.registry.lengths)
                meant = f"did you mean {near!r}? Else give" if near else "give"
                raise ModelError(
                    f"{what}: the model has no dim {dim!r} (it has {known}); {meant} it as "
                    f"px.Model(coords={{{dim!r}: ...}}) or model.add_coord({dim!r}, ...)"
                )

    def shape_of_dims(self, dims: tuple[str | None, ...], what: str) -> tuple[int | None, ...]:
        """Give the current lengths of dims; None where an axis has no dim."""
        self._require_dims(dims, what)
        return tuple(None if d is None else self.registry.lengths[d] for d in dims)

    # Data

    def set_data(self, name: str, values: Any, coords: Mapping[str, Any] | None = None) -> None:
        """Replace the values of one ``Data``; see ``px.set_data``."""
        set_data({name: values}, self, coords=coords)

    def refresh_or(self, undo: Callable[[], None]) -> None:
        """Work out all shapes again; if data then index outside an axis, undo the change and say so."""
        try:
            if self.refresh():
                for data in self.data_vars:
                    data.require_limits()
        except (ModelError, ShapeError):
            undo()
            raise

    def refresh(self) -> bool:
        """Work out all shapes again, after those of data or dims have changed; tell whether they fit together."""
        nodes = ancestors(list(self.named_vars.values()))
        for variable in self._of_kind(RandomVariable):  # before the distributions, which may take their length
            variable.resize(self.registry.lengths)
        for node in nodes:
            self.registry.version += missing.follow(node, self.registry)
            if isinstance(node, RandomVariable):
                node.resize(self.registry.lengths)
            try:
                node.infer()
            except ShapeError:
                # Data are often replaced one after the other: what does not fit in the end, the next run reports.
                return False
        return True

    def copy(self) -> "Model":
        """Give a model with the same variables, dims and data, which goes its own way from here."""
        return deepcopy(self)

    def __repr__(self) -> str:
        kinds = (
            (self.free_RVs, "free"), (self.observed_RVs, "observed"), (self.deterministics, "deterministic"),
            (self.potentials, "potential"), (self.data_vars, "data"),
        )  # fmt: skip
        inside = "; ".join(f"{kind}: {', '.join(v.name for v in nodes)}" for nodes, kind in kinds if nodes)
        return f"<Model{' ' + self.name if self.name else ''} {inside or 'without variables'}>"


def as_length(length: Any, dim: str) -> int:
    """Check the length of a dim."""
    if isinstance(length, bool) or not isinstance(length, int | np.integer) or length < 0:
        raise ShapeError(f"the length of dim {dim!r} is a whole number that is not negative; met {length!r}")
    return int(length)


def as_labels(values: Any, dim: str) -> tuple:
    """Make a tuple of the labels of a dim."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ModelError(
            f"coords: the labels of dim {dim!r} are a list or an array; met {values!r}"
            + (f" (of a length alone, add_coord({dim!r}, length={values}))" if isinstance(values, int) else "")
        )
    labels = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if any(isinstance(label, list) for label in labels):
        raise ShapeError(f"the labels of dim {dim!r} must be one-dimensional")
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        labels = list(values)
    return tuple(labels)


def enclosing_model() -> Model | None:
    """Give the model that a statement here would belong to; None where it would be part of a program, or nothing."""
    models = _MODELS.get()
    if not models:
        return None
    since = active_handlers()[models[-1][1] :]
    if since and all(isinstance(run, PlateRun) for run in since):
        raise ModelError(
            f"plate {since[0].frame.name!r} stands inside `with px.Model():`, where dims= (or shape=) take its place; "
            "plates belong to functions of primitives"
        )
    return models[-1][0] if models[-1][1] == handler_depth() else None


def current_model() -> Model:
    """Give the innermost model whose ``with`` block is open.

    Raises
    ------
    ModelError
        If there is none.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model() as model:
    ...     same = px.model.current_model()
    >>> same is model
    True
    """
    models = _MODELS.get()
    if not models:
        raise ModelError("there is no model here: write `with px.Model() as model:` around it, or pass model=")
    return models[-1][0]


def modelcontext(model: Model | None) -> Model:
    """Give a model back; for None, the innermost one whose ``with`` block is open.

    Parameters
    ----------
    model
        A model, or None.

    Returns
    -------
    The model.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model() as model:
    ...     same = px.modelcontext(None)
    >>> same is model
    True
    """
    return current_model() if model is None else model


def set_data(
    new_data: Mapping[str, Any], model: Model | None = None, *, coords: Mapping[str, Any] | None = None
) -> None:
    """Replace the values of ``Data``; equal shapes recompile nothing.

    Parameters
    ----------
    new_data
        New values by name; the number of axes stays, their lengths may change.
    model
        The model; the enclosing one by default.
    coords
        New labels of dims whose lengths change.

    Raises
    ------
    ModelError
        If there is no such ``Data``.
    ShapeError
        If the values do not have the right number of axes, or not the lengths of their dims.

    Examples
    --------
    >>> from pyrox.model import Data, Model, set_data
    >>> with Model() as model:
    ...     x = Data("x", [1.0, 2.0])
    ...     set_data({"x": [3.0, 4.0]})
    >>> x.eval().tolist()
    [3.0, 4.0]
    """
    model = _require_set_data(new_data, modelcontext(model), coords)
    labels = {dim: as_labels(values, dim) for dim, values in (coords or {}).items()}
    model._require_dims(labels, "set_data")
    replace_data(model, new_data, labels, "set_data")


def _require_set_data(new_data: Any, model: Any, coords: Any) -> Model:
    if not isinstance(new_data, Mapping):
        raise ModelError(f'set_data takes a dict of new values by name, {{"x": [1.0, 2.0]}}; met {new_data!r}')
    if not isinstance(model, Model):
        raise ModelError(f"set_data: model is a px.Model; met {model!r}")
    if not isinstance(coords or {}, Mapping):
        raise ModelError(f"set_data: coords is a dict of labels by dim; met {coords!r}")
    return model


def model_dims(model: Model) -> dict[str, tuple[str | None, ...] | None]:
    """Give the dims of every named variable, None for those without.

    Parameters
    ----------
    model
        A model.

    Returns
    -------
    A dict.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model(coords={"city": ["Oslo", "Rome"]}) as model:
    ...     x, y = px.Normal("x"), px.Normal("y", dims="city")
    >>> px.model.model_dims(model)
    {'x': None, 'y': ('city',)}
    """
    return {name: node.dims for name, node in model.named_vars.items()}
