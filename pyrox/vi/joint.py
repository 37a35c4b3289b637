"""A program as a log-density over unconstrained positions, with its parameters and random numbers still open."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import constraints
from pyrox.dist.transforms import Transform
from pyrox.errors import InitializationError, ModelError
from pyrox.model.handlers import Message, block, seed, substitute, trace
from pyrox.model.messenger import transform_of
from pyrox.model.refusals import require_no_builder
from pyrox.model.site import FreeSite
from pyrox.model.sites import Collect, Density, Inspect, Sites, Values
from pyrox.samplers.executables import compile_function
from pyrox.typing import Array, Key, Tree
from pyrox.vi.batches import Arguments
from pyrox.vi.terms import is_latent, known_term

_MAX_STARTS = 100
_NO_DATA: dict[str, dict] = {"sites": {}, "closed": {}}


class _Joint(Density):
    """Add up the terms, asking once for each site whether what it observes lies in the support."""

    def process_message(self, msg: Message) -> None:
        # Data that a handler further in has replaced stay as they are.
        if msg["type"] not in ("data", "constant"):
            Density.process_message(self, msg)

    def observe(self, msg: Message, value: Array) -> Array:
        self.terms[msg["name"]] = known_term({**msg, "value": value}, inside=False)
        return value


class _Keep(Values):
    """Give every site its value, and keep the transforms that depend on no other site."""

    def __init__(self, sites: Sites, position: Array, data: Tree) -> None:
        Values.__init__(self, sites, position, data)
        self.transforms: dict[str, Transform] = {}
        self.supports: dict[str, Any] = {}

    def constrain(self, msg: Message) -> Array:
        transform = transform_of(msg)
        own = msg["infer"].get("transform") is not None
        if not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(transform)) and (
            own or constraints.has_fixed_support(msg["fn"].support)
        ):
            self.transforms[msg["name"]], self.supports[msg["name"]] = transform, msg["fn"].support
        return transform(self.slice(msg["name"]))


class Joint:
    r"""The log-density of a program's latent variables, as a function of one position in unconstrained space.

    .. math:: \log p(x, f(u)) + \log |\det f'(u)|

    Parameters
    ----------
    model
        The program.
    args, kwargs
        Its arguments, by which its latent variables are found.

    Raises
    ------
    ModelError
        If a latent variable is discrete, or there is none.
    """

    def __init__(self, model: Callable, args: tuple, kwargs: Mapping[str, Any]) -> None:
        self.model = model
        self.sites = self._run_once(Inspect({}, {}), args, kwargs).sites
        if not self.sites.free:
            raise ModelError("the model has no latent variables: there is nothing to fit")
        self.free: dict[str, FreeSite] = self.sites.free
        self.dim = self.sites.dim
        blank = jnp.zeros(self.dim)
        kept = self._run_once(_Keep(self.sites, blank, _NO_DATA), args, kwargs)
        self._transforms, self.supports = kept.transforms, kept.supports
        concrete = not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves((args, dict(kwargs))))
        self._arguments = (args, dict(kwargs)) if concrete else None

    @property
    def arguments(self) -> tuple[tuple, dict]:
        """The arguments that the program was looked at with.

        Raises
        ------
        ModelError
            If they were placeholders of a JAX transformation.
        """
        if self._arguments is None:
            raise ModelError("the arguments of the program are not known here: call svi.init outside of jax.jit")
        return self._arguments

    def at_arguments(self, params: Mapping[str, Any]) -> Callable[[Array], Array]:
        """Give the log-density with these arguments, a function of a position."""
        args, kwargs = self.arguments
        return lambda position: self.terms(position, jax.random.key(0), params, args, kwargs).total()

    def _run_once(self, handler: Values | Inspect, args: tuple, kwargs: Mapping[str, Any]) -> Any:
        """Find out about structure, without computing."""

        def run() -> None:
            with block(), handler:
                returned = seed(self.model, jax.random.key(0))(*args, **kwargs)
            require_no_builder(self.model, returned)

        jax.eval_shape(run)
        return handler

    def terms(
        self,
        position: Array,
        key: Key,
        params: Mapping[str, Any],
        args: tuple,
        kwargs: Mapping[str, Any],
        model: Callable | None = None,
    ) -> Density:
        """Run the program at a position; the result knows the terms by site and their ``total()``.

        Parameters
        ----------
        position
            Array of shape ``(dim,)``.
        key
            Random numbers, for subsamples.
        params
            Values of the model's own parameters.
        args, kwargs
            Arguments of the program.
        model
            The program with handlers around it; None takes it as it is.
        """
        handler = _Joint(self.sites, position, _NO_DATA)
        with block(), handler:
            substitute(seed(model or self.model, key), params)(*args, **kwargs)
        return handler

    def label(self, i: int) -> str:
        """Name an element of a position by its variable."""
        return label(self.free, i)

    def values(self, position: Array, params: Mapping[str, Any]) -> tuple[dict[str, Array], dict[str, Array]]:
        """Give the values of the latent variables at a position, and their log-determinants."""
        if len(self._transforms) < len(self.free):
            return self._values_by_running(position, params)
        values, log_dets = {}, {}
        for name, site in self.free.items():
            part = jax.lax.slice(position, (site.start,), (site.stop,)).reshape(site.unconstrained_shape)
            value, log_det = self._transforms[name].forward_and_log_det(part)
            values[name], log_dets[name] = value.reshape(site.shape), jnp.sum(log_det)
        return values, log_dets

    def _values_by_running(self, position: Array, params: Mapping[str, Any]) -> tuple[dict, dict]:
        # Some supports depend on other variables: only the program knows them.
        handler = self.terms(position, jax.random.key(0), params, *self.arguments)
        log_dets = {name: handler.terms.get(f"{name} (Jacobian)", jnp.zeros(())) for name in self.free}
        return {name: handler.values[name] for name in self.free}, log_dets

    def find_start(
        self, key: Key, strategy: Callable[[Message], Any], args: tuple, kwargs: Mapping[str, Any]
    ) -> Array:
        """Look for a position of finite log-density, where the statements or a strategy say.

        Raises
        ------
        InitializationError
            If a hundred tries find none.
        """
        arguments, arrays = Arguments.split(args, kwargs)

        def propose(key: Array, arrays: list) -> tuple[Array, Array]:
            key, (args, kwargs) = jax.random.wrap_key_data(key), arguments.join(arrays)
            position = self._propose(key, strategy, args, kwargs)
            return position, self.terms(position, key, {}, args, kwargs).total()

        if self._arguments is None:  # inside a JAX transformation there is no asking whether it is finite
            return propose(jax.random.key_data(key), arrays)[0]
        attempt = None
        for i in range(_MAX_STARTS):
            inputs = jax.random.key_data(jax.random.fold_in(key, i)), [jnp.asarray(x) for x in arrays]
            if attempt is None:
                shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), inputs)
                attempt = compile_function(propose, *shapes)
            position, log_density = attempt(*inputs)
            if np.isfinite(log_density):
                return position
        terms = self.terms(position, key, {}, args, kwargs).terms
        bad = [f"{name}: {float(term):g}" for name, term in terms.items() if not np.isfinite(term)]
        raise InitializationError(
            f"no start with a finite log-density in {_MAX_STARTS} tries; at the last one not finite are the terms of "
            f"{', '.join(bad)}. Check the priors and data of these sites, or choose another init_strategy"
        )

    def _propose(
        self, key: Key, strategy: Callable[[Message], Any], args: tuple, kwargs: Mapping[str, Any]
    ) -> Array:
        def start(msg: Message) -> Any:
            given = msg["infer"].get("initval")
            free = is_latent(msg) and msg["value"] is None
            return given if given is not None and free else strategy(msg)

        # What stands around the program, a plate for one, goes on around the start.
        with block():
            record = trace(substitute(seed(self.model, key), substitute_fn=start)).get_trace(*args, **kwargs)
        parts = []
        for name, site in self.free.items():
            message = record[name]
            value = jnp.broadcast_to(jnp.asarray(message["value"], site.dtype), site.shape)
            parts.append(jnp.ravel(transform_of(message).inv(value)))
        return jnp.concatenate(parts)


def label(free: Mapping[str, FreeSite], i: int) -> str:
    """Name an element of a position by its variable, with the index where there are several."""
    name, site = next((n, s) for n, s in free.items() if s.start <= i < s.stop)
    at = np.unravel_index(i - site.start, site.unconstrained_shape)
    return f"{name}[{', '.join(map(str, at))}]" if at else name


def collect_data(model: Callable, args: tuple, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Give the data that a graph states, as they stand now; none for a function."""
    handler = Collect()

    def run() -> None:
        with block(), handler:
            seed(model, jax.random.key(0))(*args, **kwargs)

    jax.eval_shape(run)
    return {name: x for name, x in handler.data.items() if not isinstance(x, jax.core.Tracer)}
