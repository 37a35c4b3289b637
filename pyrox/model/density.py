"""The log-density of a program: a pure function of a flat position and of the data."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.errors import ModelError, ShapeError, SupportError
from pyrox.model import values as host
from pyrox.model.faults import Laws, Met, find_faults
from pyrox.model.graph import Model
from pyrox.model.handlers import block
from pyrox.model.leaves import find_effects, find_leaves
from pyrox.model.marginal import Marginal, position_key
from pyrox.model.messenger import Messenger
from pyrox.model.nodes import ancestors
from pyrox.model.program import Deterministic, RandomVariable
from pyrox.model.refusals import NEEDS_NUMBERS, needs_numbers, program_name, require_no_builder
from pyrox.model.sites import (
    DECENTERED,
    Collect,
    Density,
    Inspect,
    Known,
    Place,
    Pointwise,
    Prior,
    Sites,
    Standardised,
    Values,
)
from pyrox.typing import Array, Key, Tree


class LogDensity:
    r"""The log-density of a model over unconstrained space.

    .. math:: \ell(q) = \log p(f(q), \mathrm{data}) + \log |\det f'(q)|

    Calling it, ``logdensity(position, data)``, is pure and traceable by JAX. Its structure (sites, layout, transforms)
    is fixed; ``data`` hold every number that may change without recompiling: each ``Data``, each array inside an
    expression, observed values, and the arrays among a program's arguments.

    Parameters
    ----------
    program
        A ``Model`` or a function of primitives.
    args, kwargs
        Arguments of the function; ``LogDensity.build(program, args, kwargs)`` makes them if there are none.

    Attributes
    ----------
    dim
        Length of a position.
    free
        The free variables, a ``FreeSite`` by name, in the order of their definition.
    observed
        Names of the observed variables.
    discrete
        Names of the discrete variables, which are summed out.
    drawn
        Names of the free variables that say nothing about the others (missing values, discrete variables, on which
        nothing depends): they are no part of the position.
    marginal
        The sums over them, with their ``plan``; None where there are none.
    deterministics
        Names of the deterministic values.
    factors
        Names of the further terms.
    data
        The data as they stood when it was built.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.model import HalfNormal, LogDensity, Model
    >>> with Model() as model:
    ...     sigma = HalfNormal("sigma", 1.0)
    >>> logdensity = LogDensity.build(model)
    >>> round(float(logdensity(jnp.zeros(1), logdensity.data)), 4)
    -0.7258
    """

    def __init__(self, program: Callable, args: tuple, kwargs: dict) -> None:
        self.program = program
        self.model = program if isinstance(program, Model) else None
        leaves, self._layout = jax.tree.flatten((args, dict(kwargs)))
        leaves = [_plain(leaf) for leaf in leaves]
        self._static = tuple(None if _is_dynamic(leaf) else leaf for leaf in leaves)
        arrays = {str(i): _as_argument(leaf, i) for i, leaf in enumerate(leaves) if _is_dynamic(leaf)}
        self._known_args: dict[str, Any] = {}
        try:
            self.sites = self._inspect(arrays)
        except NEEDS_NUMBERS as error:
            if not arrays:
                raise needs_numbers(f"the program {program_name(program)}", error) from error
            # The program looks into its arguments (to work out a shape, say): they become part of the structure.
            self._known_args, arrays = arrays, {}
            try:
                self.sites = self._inspect(arrays)
            except NEEDS_NUMBERS as again:
                raise needs_numbers(f"the program {program_name(program)}", again) from again
        _require_samplable(self)
        self.dim = self.sites.dim
        self.free = self.sites.free
        self.observed = tuple(self.sites.observed)
        self.deterministics = tuple(self.sites.deterministics)
        self.factors = tuple(self.sites.factors)
        self.data = {"args": arrays, "closed": dict(self.sites.closed_over), "sites": dict(self.sites.data)}
        self.marginal = Marginal(self._run, self.sites, self.data) if self.sites.discrete else None
        self.discrete = tuple(self.sites.discrete)
        self.drawn = tuple(self.sites.drawn)
        self._place_compiled = jax.jit(self._place)
        self._check(self.data)

    @staticmethod
    def build(program: Callable, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> "LogDensity":
        """Make the log-density of a model, or of a function of primitives and its arguments.

        Parameters
        ----------
        program
            A ``Model`` or a function.
        args, kwargs
            Arguments of the function; its arrays become data.

        Raises
        ------
        ModelError
            If there are no free variables, or one is discrete, or two sites share a name.
        ShapeError
            If observed values do not have the shape of their distribution.
        """
        if not callable(program):
            raise ModelError(f"a model is a px.Model or a function of primitives; met {program!r}")
        return LogDensity(program, tuple(args), dict(kwargs or {}))

    # Running the program

    def _run(self, data: Tree, handler: Messenger) -> None:
        leaves = list(self._static)
        for i, value in {**self._known_args, **data["args"]}.items():
            leaves[int(i)] = value
        args, kwargs = jax.tree.unflatten(self._layout, leaves)
        with block(), handler:
            returned = self.program(*args, **kwargs)
        require_no_builder(self.program, returned)

    def _inspect(self, arrays: dict[str, Any]) -> Sites:
        """Find the sites; what says nothing about the others is left to be drawn, if that leaves any others."""
        named = getattr(self.program, "marginalized", None) or ()
        leaves = {} if self.model is None else {n: d for n, d in find_leaves(self.model).items() if n not in named}
        sites = self._look(arrays, leaves)
        if leaves and not sites.free:
            sites = self._look(arrays, [name for name, discrete in leaves.items() if discrete])
        return sites

    def _look(self, arrays: dict[str, Any], drawn: Collection[str]) -> Sites:
        found: list[Sites] = []

        def run(arguments: dict[str, Any]) -> None:
            handler = Inspect(arguments, arrays, self._is_summed, drawn)
            self._run({"args": arguments}, handler)
            found.append(handler.sites)

        jax.eval_shape(run, arrays)
        return found[-1]

    def _is_summed(self, name: str) -> bool:
        """Tell whether a discrete variable may be summed out: all may, unless the model names those that do."""
        named = getattr(self.program, "marginalized", None)
        return named is None or name in named

    def _check(self, data: Tree) -> None:
        """Check on the host that observed values lie where the density assumes them."""
        for name, check in self.sites.observed.items():
            if check is None:
                continue
            support, (group, key) = check
            array = np.asarray(data[group][key])
            host.require_finite(array, f"observed of {name!r}", "missing values must be removed")
            host.require_support(array, support, f"observed of {name!r}")

    # The density

    def __call__(self, position: Array, data: Tree) -> Array:
        """Evaluate at a position of shape ``(dim,)``."""
        if self.marginal is not None:
            return sum(self.marginal.terms(position, data).values())
        handler = Density(self.sites, position, data)
        self._run(data, handler)
        return handler.total()

    def site_terms(self, position: Array, data: Tree) -> dict[str, Array]:
        """Give the terms of the log-density by site, the Jacobian's under ``name + " (Jacobian)"``.

        What depends on discrete variables is one term of its own, ``marginal.name``.
        """
        if self.marginal is not None:
            return self.marginal.terms(position, data)
        handler = Density(self.sites, position, data)
        self._run(data, handler)
        return handler.terms

    def constrain(self, position: Array, data: Tree, key: Key | None = None) -> dict[str, Array]:
        """Give the free variables and the deterministic values at a position, in the order of their definition.

        Discrete variables are drawn given the position; without a key, its bits make the random numbers.
        """
        return self._valued(Values(self.sites, position, data), data, key).values

    def _valued(self, handler: Values, data: Tree, key: Key | None) -> Values:
        """Run a handler that meets every variable with its value."""
        position = handler.position
        if self.marginal is not None or self.sites.drawn:
            key = position_key(position) if key is None else key
        if self.marginal is not None:
            handler.discrete = self.marginal.draw(position, data, key)
        if self.sites.drawn:
            handler.key = jax.random.fold_in(key, 1)
        self._run(data, handler)
        return handler

    @property
    def derived(self) -> list[str]:
        """Names of what is computed from the variables that samplers move, and of those that are not centred."""
        return [*self.deterministics, *self.sites.noncentered]

    @property
    def depends(self) -> dict[str, list[str]] | None:
        """Names of the quantities that the distribution of each free variable depends on; None of a function."""
        if self.model is None:
            return None
        above = {rv.name: ancestors([rv.dist]) for rv in self.model.free_RVs}
        named = RandomVariable | Deterministic
        return {name: [node.name for node in nodes if isinstance(node, named)] for name, nodes in above.items()}

    @property
    def decentered(self) -> tuple[str, ...]:
        """Names of what samplers see of variables that are not centred; ``standardise`` gives their values."""
        return tuple(f"{name}{DECENTERED}" for name in self.sites.noncentered)

    def standardise(self, position: Array, data: Tree) -> dict[str, Array]:
        """Give what samplers see of variables that are not centred: without location and scale."""
        return self._valued(Standardised(self.sites, position, data), data, None).found

    @property
    def random(self) -> set[str]:
        """Names of the values that the position does not settle: variables drawn given it, and what follows."""
        drawn = {*self.discrete, *self.drawn}
        return drawn if self.model is None or not drawn else find_effects(self.model, drawn)

    def log_prior(self, position: Array, data: Tree) -> dict[str, Array]:
        """Give the log-density of each element of the free variables, at the values that ``constrain`` gives."""
        return self._valued(Prior(self.sites, position, data), data, None).terms

    def log_likelihood(self, position: Array, data: Tree) -> dict[str, Array]:
        """Give the log-density of every single observation at a position, by observed variable."""
        handler = Pointwise(self.sites, position, data)
        self._run(data, handler)
        return handler.terms if self.marginal is None else {**handler.terms, **self.marginal.pointwise(position, data)}

    def known_values(self, data: Tree) -> tuple[dict[str, Array], dict[str, Array]]:
        """Give the observed values, and the named data, in the order of their definition."""
        handler = Known(self.sites, jnp.zeros(self.dim), data)
        self._run(data, handler)
        return handler.observed, handler.constant

    def unconstrain(self, values: Mapping[str, Any], data: Tree) -> Array:
        """Give the position of named constrained values.

        Raises
        ------
        ModelError
            If a free variable is missing.
        """
        missing = [name for name in self.free if name not in values]
        if missing:
            raise ModelError(f"unconstrain needs a value of every free variable; missing: {', '.join(missing)}")
        start = {name: self._fitted(name, values[name], "value") for name in self.free}
        return self._place(jnp.zeros(self.dim), start, data)[0]

    def _place(self, position: Array, start: dict[str, Any], data: Tree) -> tuple[Array, dict[str, Array]]:
        handler = Place(self.sites, position, data, start)
        self._run(data, handler)
        parts = [jnp.ravel(part) for part in handler.parts.values()]
        return jnp.concatenate(parts) if parts else position, handler.inside

    def _fitted(self, name: str, value: Any, what: str) -> Any:
        site = self.free[name]
        if not isinstance(value, jax.core.Tracer):
            value = np.asarray(host.as_host(value, f"{what} of {name!r}"), site.dtype)
        try:
            return jnp.broadcast_to(value, site.shape)
        except ValueError:
            raise ShapeError(f"{what} of {name!r} has shape {jnp.shape(value)}, the variable {site.shape}") from None

    def initial_position(
        self, key: Key, data: Tree, initvals: Mapping[str, Any] | None = None, radius: float = 2.0
    ) -> Array:
        """Draw a start: uniform in a box of unconstrained space, exactly as given where there is an ``initval``.

        Parameters
        ----------
        key
            A JAX key.
        data
            The data.
        initvals
            Constrained values by name; they take precedence over those in the statements.
        radius
            Half the side of the box.

        Raises
        ------
        ModelError
            If an initval names no free variable.
        SupportError
            If an initval lies outside the support of its variable.
        """
        if initvals is not None and not isinstance(initvals, Mapping):
            raise ModelError(f"initvals is a dict of values by name of the variable; met {initvals!r}")
        unknown = [n for n in initvals or {} if n not in (*self.free, *self.discrete, *self.drawn)]
        if unknown:
            raise ModelError(f"initvals: {unknown[0]!r} is no free variable; these are {', '.join(self.free)}")
        position = jax.random.uniform(key, (self.dim,), minval=-radius, maxval=radius)
        wanted = {n: site.initval for n, site in self.free.items() if site.initval is not None}
        wanted |= {n: v for n, v in (initvals or {}).items() if v is not None and n in self.free}
        if not wanted:
            return position
        start = {n: self._fitted(n, v, "initval") for n, v in wanted.items()}
        placed, inside = self._place_compiled(position, start, data)
        for name, flags in inside.items():
            if not isinstance(flags, jax.core.Tracer) and not np.all(flags):
                raise SupportError(
                    f"initval of {name!r} lies outside its support; met {np.asarray(start[name]).tolist()}"
                )
        return placed

    # Data

    def current_data(self) -> Tree:
        """Read the data again, after ``set_data``.

        Raises
        ------
        ModelError
            If shapes have changed: then the log-density has to be built again.
        """
        if not self.data["sites"]:
            return self.data
        handler = Collect()
        structs = _structs(self.data["sites"])
        jax.eval_shape(lambda: self._run(self.data, handler))  # a new function each time: JAX remembers the others
        if _structs(handler.data) != structs:
            raise ModelError("shapes or dtypes of the model's data have changed: build its log-density again")
        data = {**self.data, "sites": handler.data}
        self._check(data)
        if self.marginal is not None:
            self.marginal.check(data)
        return data

    def explain(self, position: Array, data: Tree) -> str:
        """Write the table of sites at a position, and below it the parameters and values that are at fault."""
        values = self.constrain(position, data)
        terms = self.site_terms(position, data)
        gradient = np.asarray(jax.grad(self)(position, data))
        rows = [("site", "value", "log-density", "gradient", "")]
        names = [*self.free, *self.observed, *self.factors, *([] if self.marginal is None else [self.marginal.name])]
        for name in names:
            site = self.free.get(name)
            value = _short(values[name]) if site else ("observed" if name in self.observed else "factor")
            log_density = float(terms.get(name, np.nan))
            slope = gradient[site.start : site.stop] if site else None
            norm = "" if slope is None else f"{float(np.linalg.norm(slope)):.4g}"
            bad = [] if np.isfinite(log_density) or name not in terms else ["log-density is not finite"]
            bad += [] if slope is None or np.isfinite(slope).all() else ["gradient is not finite"]
            told = f"{log_density:.4g}" if name in terms else ""
            rows.append((name, value, told, norm, "<-- " + ", ".join(bad) if bad else ""))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        table = ["  ".join([*(c.ljust(w) for c, w in zip(r, widths, strict=False)), r[4]]).rstrip() for r in rows]
        return "\n".join([*table, *find_faults(self._laws(position, data))])

    def _laws(self, position: Array, data: Tree) -> Laws:
        """Give what every site meets at a position."""
        # Traced: distributions may refuse wrong parameters whose numbers they see.
        met = jax.jit(lambda x, d: self._valued(Met(self.sites, x, d), d, None).laws)(position, data)
        return jax.tree.map(np.asarray, met)

    def __repr__(self) -> str:
        return f"LogDensity(dim={self.dim}, free={list(self.free)}, observed={list(self.observed)})"


def _plain(leaf: Any) -> Any:
    """Take the numbers of a labelled array of numbers; a program calculates with them."""
    if hasattr(leaf, "to_numpy") and getattr(leaf, "ndim", 0) != 2 and leaf.to_numpy().dtype.kind in "biuf":
        return leaf.to_numpy()
    return leaf


def _is_dynamic(leaf: Any) -> bool:
    """Tell whether an argument is an array of numbers; tables and labels belong to the structure."""
    return isinstance(leaf, jax.Array) or (isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biufc")


def _as_argument(value: Any, index: int) -> Any:
    return value if isinstance(value, jax.Array) else host.as_host(value, f"argument {index} of the model")


def _structs(arrays: dict[str, Any]) -> dict[str, tuple]:
    return {name: (np.shape(a), np.dtype(a.dtype)) for name, a in arrays.items()}


def _short(value: Any) -> str:
    flat = np.ravel(value)
    shown = ", ".join(f"{float(x):.4g}" for x in flat[:3])
    return shown if np.ndim(value) == 0 else f"[{shown}{', ...' if flat.size > 3 else ''}]"


def _require_samplable(logdensity: LogDensity) -> None:
    sites = logdensity.sites
    if not sites.free:
        discrete = [*sites.discrete, *sites.drawn]
        if discrete:
            raise ModelError(
                f"{discrete[0]!r} is discrete, as is every free variable of the model: there is nothing that gradients "
                "could sample. px.sample_prior_predictive draws from the prior; with observations, make one of the "
                "parameters unknown"
            )
        there = [f"observed {', '.join(sites.observed)}"] if sites.observed else []
        there += [f"deterministic {', '.join(sites.deterministics)}"] if sites.deterministics else []
        named = [name for name in sites.data if ":" not in name]
        there += [f"data {', '.join(named)}"] if named else []
        none = "no variables at all"
        if not there and logdensity.model is None:
            name = program_name(logdensity.program)
            none += f" (if {name} writes a px.Model, let it return that, and call it: model={name}(...))"
        raise ModelError(f"the model has no free variables; it has {'; '.join(there) or none}")
