"""Run a program forward: from values that are known to those that follow from them, or are drawn anew."""

import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import Distribution
from pyrox.errors import ModelError, ShapeError
from pyrox.model.conditional import merge
from pyrox.model.handlers import block
from pyrox.model.messenger import Message, Messenger, require_new, shape_of
from pyrox.model.refusals import require_no_builder
from pyrox.model.sites import dims_of, masked
from pyrox.typing import Array, Key, Shape, Tree


class Site(NamedTuple):
    """One statement of a program, as a run on placeholders has found it.

    Attributes
    ----------
    kind
        ``"sample"``, ``"observed"``, ``"deterministic"``, ``"factor"``, ``"data"`` or ``"param"``.
    shape
        Of its value.
    dims
        Names of its axes, or None.
    event_dim
        How many of its last axes are drawn together.
    is_discrete
        Whether its values are whole numbers.
    """

    kind: str
    shape: Shape
    dims: tuple | None
    event_dim: int
    is_discrete: bool


class Forward(Messenger):
    """Give sites their values: known ones, observed ones, new ones, or zeros where nobody asks for the value.

    Parameters
    ----------
    values
        Known values of free sites by name.
    data
        Data by name, where they replace those of the program.
    key
        Where new values come from: those of a site depend on the key and its name alone.
    anew
        Names of sites that are drawn, observed ones too; None draws all.
    known
        For sites that are known in part, by axis: booleans, or None where the whole axis is known.
    """

    def __init__(
        self,
        values: Mapping[str, Array],
        data: Mapping[str, Any],
        key: Key | None = None,
        anew: Collection[str] | None = (),
        known: Mapping[str, tuple] | None = None,
    ) -> None:
        self.values, self.data, self.key, self.known = values, data, key, known or {}
        self.anew = anew
        self.found: dict[str, Message] = {}

    def process_message(self, msg: Message) -> None:
        kind, name = msg["type"], msg["name"]
        if kind in ("data", "constant"):
            msg["value"] = self.data.get(name, msg["args"][0])
        elif kind == "param" and name in self.values:
            msg["value"] = self.values[name]
        elif kind == "sample":
            self._sample(msg)

    def _sample(self, msg: Message) -> None:
        name, fn = msg["name"], msg["fn"]
        drawn = self.anew is None or name in self.anew
        if msg["is_observed"]:
            if not drawn:
                return
            msg["value"], msg["is_observed"] = None, False
            msg["infer"] = {k: v for k, v in msg["infer"].items() if k != "exact"}
        if name in self.values:
            msg["value"] = self.values[name]
            _require_shape(msg)
            if name in self.known:
                msg["value"] = merge(fn, msg["value"], self.known[name], self._key(name))
        elif msg["value"] is None:
            msg["kwargs"] = {**msg["kwargs"], "rng_key": self._key(name) if drawn else jax.random.key(0)}
            if isinstance(fn, Distribution):
                msg["value"] = self._draw(msg) if drawn else jnp.zeros(shape_of(msg), _dtype(fn))

    def _draw(self, msg: Message) -> Array:
        try:
            return msg["fn"].sample(msg["kwargs"]["rng_key"], msg["kwargs"]["sample_shape"])
        except NotImplementedError as error:
            raise ModelError(f"{msg['name']!r} cannot be drawn: {error}") from None

    def _key(self, name: str) -> Key:
        return jax.random.fold_in(self.key, zlib.crc32(name.encode()))

    def postprocess_message(self, msg: Message) -> None:
        """Keep the finished statement."""
        if msg["type"] != "constant":
            require_new(self.found, msg)
            self.found[msg["name"]] = msg


def _dtype(fn: Distribution) -> Any:
    return jnp.result_type(int if fn.is_discrete else float)


def _require_shape(msg: Message) -> None:
    met, wanted = jnp.shape(msg["value"]), shape_of(msg)
    if wanted is not None and met != wanted:
        raise ShapeError(f"the draws of {msg['name']!r} have shape {met} each, the variable {wanted}")


class Program:
    """A model, or a function with its arguments, to be run forward; its arrays are arguments of what is compiled.

    Parameters
    ----------
    function
        A Model or a function of primitives.
    args, kwargs
        Arguments of a function.
    """

    def __init__(self, function: Callable, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> None:
        self.function, self.args, self.kwargs = function, tuple(args), dict(kwargs or {})
        self.sites: dict[str, Site] = {}
        self.data: dict[str, np.ndarray] = {}

    def inspect(self) -> dict[str, Site]:
        """Find the sites and the data as they stand."""
        collected = _Collect()

        def run() -> None:
            handler = Forward({}, {})
            self.run(handler, collected)
            self.sites = {name: _site(msg, name in collected.observed) for name, msg in handler.found.items()}

        jax.eval_shape(run)
        self.data = collected.data
        return self.sites

    def run(self, *handlers: Messenger) -> None:
        """Run under handlers, the last one innermost, and hidden from those around."""
        with block():
            self._within(list(handlers))

    def _within(self, handlers: list[Messenger]) -> None:
        if not handlers:
            returned = self.function(*self.args, **self.kwargs)
            require_no_builder(self.function, returned)
            return
        with handlers[0]:
            self._within(handlers[1:])


class _Collect(Messenger):
    """Collect data, and which sites are observed; innermost, so that it sees statements as they are written."""

    def __init__(self) -> None:
        self.data: dict[str, np.ndarray] = {}
        self.observed: dict[str, Any] = {}

    def process_message(self, msg: Message) -> None:
        if msg["type"] in ("data", "constant") and not isinstance(msg["args"][0], jax.core.Tracer):
            self.data[msg["name"]] = msg["args"][0]
        if msg["type"] == "sample" and msg["is_observed"]:
            self.observed[msg["name"]] = msg["value"]


def _site(msg: Message, observed: bool) -> Site:  # noqa: FBT001
    kind = "observed" if observed else msg["type"]
    fn = msg["fn"] if isinstance(msg["fn"], Distribution) else None
    event_dim, is_discrete = (0, False) if fn is None else (fn.event_dim, fn.is_discrete)
    return Site(kind, tuple(jnp.shape(msg["value"])), dims_of(msg), event_dim, is_discrete)


def forward(
    program: Program, names: Iterable[str], anew: Collection[str] | None, known: Mapping[str, tuple] | None = None
) -> Callable[[tuple[dict, Key], Tree], dict[str, Array]]:
    """Make a function of ``(values, key)`` of one draw, and of data, that gives values of sites; see ``Forward``."""
    names = tuple(names)

    def single(draw: tuple[dict, Key], data: Tree) -> dict[str, Array]:
        values, key = draw
        handler = Forward(values, data, key, anew, known)
        program.run(handler)
        return {name: jnp.asarray(handler.found[name]["value"]) for name in names}

    return single


def pointwise(program: Program, names: Iterable[str]) -> Callable[[dict, Tree], dict[str, Array]]:
    """Make a function of the values of one draw, and of data, that gives the log-density of each element of sites."""
    names = tuple(names)

    def single(values: dict, data: Tree) -> dict[str, Array]:
        handler = Forward(values, data)
        program.run(handler)
        sites = ((name, handler.found[name]) for name in names)
        return {name: masked(site, site["fn"].log_prob(jnp.asarray(site["value"]))) for name, site in sites}

    return single


def known_values(program: Program) -> Callable[[Tree], tuple[dict[str, Array], dict[str, Array]]]:
    """Make a function of data that gives the observed values, and the named data."""

    def known(data: Tree) -> tuple[dict[str, Array], dict[str, Array]]:
        handler = Forward({}, data)
        program.run(handler)
        sites = handler.found.items()
        observed = {name: jnp.asarray(x["value"]) for name, x in sites if x["type"] == "sample" and x["is_observed"]}
        return observed, {name: jnp.asarray(x["value"]) for name, x in sites if x["type"] == "data"}

    return known
