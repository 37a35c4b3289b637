"""The sites of a program, and the handlers that give them values and add up their log-densities."""

from collections.abc import Callable, Collection, Mapping
from itertools import zip_longest
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import DiscreteMarkovChain, Distribution, Expanded, biject_to, constraints
from pyrox.dist.transforms import IdentityTransform, Transform, sum_rightmost
from pyrox.dist.value_transforms import name_of_value
from pyrox.errors import ModelError, ShapeError
from pyrox.model import values as host
from pyrox.model.messenger import Message, Messenger, noncentered_form, require_new, shape_of, transform_of
from pyrox.model.site import DiscreteSite, FreeSite
from pyrox.typing import Array, Key, Shape, Tree

# What the name of the standard form of a variable ends in.
DECENTERED = "_decentered"


class Sites:
    """What a program states, found out by running it once on placeholders."""

    def __init__(self) -> None:
        self.free: dict[str, FreeSite] = {}
        self.discrete: dict[str, DiscreteSite] = {}
        self.noncentered: list[str] = []
        self.drawn: dict[str, jax.ShapeDtypeStruct] = {}  # free variables that no density depends on
        self.observed: dict[str, Any] = {}  # constraint if its values are known to lie in it, else None
        self.deterministics: list[str] = []
        self.factors: list[str] = []
        self.data: dict[str, Any] = {}
        self.closed_over: dict[str, Any] = {}
        self.dims: dict[str, tuple | None] = {}
        self.messages: dict[str, Message] = {}
        self.dim = 0


class Collect(Messenger):
    """Collect the data that a graph states."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}

    def process_message(self, msg: Message) -> None:
        if msg["type"] in ("data", "constant"):
            self.data[msg["name"]] = msg["args"][0]
        elif msg["type"] == "sample" and msg["value"] is None:
            shape = msg["kwargs"]["sample_shape"] + msg["fn"].batch_shape + msg["fn"].event_shape
            msg["value"] = jnp.zeros(shape, int if msg["fn"].is_discrete else float)


class Inspect(Messenger):
    """Find the sites of a program that runs on placeholders; ``summed`` tells which discrete variables may be free."""

    def __init__(
        self,
        tracers: dict[str, Any],
        arrays: dict[str, Any],
        summed: Callable[[str], bool] = lambda _: False,
        drawn: Collection[str] = (),
    ) -> None:
        self.sites, self._summed, self._drawn = Sites(), summed, drawn
        # Which datum a placeholder stands for: an observed value that is one of them can be checked on the host.
        self.sources = [(tracer, ("args", name)) for name, tracer in tracers.items()]
        self.arrays = arrays

    def process_message(self, msg: Message) -> None:
        sites, name, kind = self.sites, msg["name"], msg["type"]
        if kind in ("data", "constant"):
            self._data(msg)
        if kind == "constant":
            return
        require_new(sites.messages, msg)
        # What is kept of a run must hold no placeholder of it: that would be a leak.
        sites.messages[name] = {"type": kind, "args": msg["args"] if kind == "plate" else ()}
        if kind == "plate":
            return
        sites.dims[name] = dims_of(msg)
        if kind == "deterministic":
            sites.deterministics.append(name)
        elif kind == "factor":
            sites.factors.append(name)
        elif kind == "sample" and isinstance(msg["fn"], Distribution):
            if msg["is_observed"]:
                self._observed(msg)
            elif msg["value"] is None:  # what a handler further in has set is neither free nor data
                self._free(msg)

    def _data(self, msg: Message) -> None:
        value = msg["args"][0]
        if isinstance(value, jax.core.Tracer):
            return
        self.sites.data[msg["name"]] = value
        # A placeholder: this run is never executed. Precision may have been changed since the value was stated.
        msg["value"] = jnp.zeros(np.shape(value), jax.dtypes.canonicalize_dtype(value.dtype))
        self.sources.append((msg["value"], ("sites", msg["name"])))

    def _free(self, msg: Message) -> None:
        fn, name = msg["fn"], msg["name"]
        if name in self._drawn:
            msg["value"] = jnp.zeros(shape_of(msg), jnp.result_type(int if fn.is_discrete else float))
            self.sites.drawn[name] = jax.ShapeDtypeStruct(msg["value"].shape, msg["value"].dtype)
            return
        if fn.is_discrete:
            self._discrete(msg)
            return
        shape = msg["kwargs"]["sample_shape"] + tuple(fn.batch_shape) + tuple(fn.event_shape)
        try:
            transform = transform_of(msg)
            below = tuple(transform.inverse_shape(shape))
        except NotImplementedError as error:
            raise ModelError(f"the free variable {name!r} cannot be sampled: {error}") from None
        if msg["infer"].get("noncentered"):
            self.sites.noncentered.append(name)
        start = self.sites.dim
        self.sites.dim += int(np.prod(below))
        dtype = jnp.result_type(float)
        self.sites.free[name] = FreeSite(
            shape, dtype, below, start, self.sites.dim, msg["infer"].get("initval"), self.sites.dims[name],
            name_of_value(name, transform),
        )  # fmt: skip
        msg["value"] = jnp.zeros(shape, dtype)

    def _discrete(self, msg: Message) -> None:
        fn, name = msg["fn"], msg["name"]
        if not self._summed(name):
            raise ModelError(
                f"the free variable {name!r} is discrete ({type(fn).__name__}): gradients cannot sample it. Observe "
                "it, or sum it out: px.sample and px.fit do (px.marginalize names what they sum out)"
            )
        is_chain = require_finite_values(name, fn)
        shape = msg["kwargs"]["sample_shape"] + tuple(fn.batch_shape) + tuple(fn.event_shape)
        self.sites.discrete[name] = DiscreteSite(shape, self.sites.dims[name], is_chain)
        msg["value"] = jnp.zeros(shape, int)

    def _observed(self, msg: Message) -> None:
        fn, name, value = msg["fn"], msg["name"], msg["value"]
        expected = msg["kwargs"]["sample_shape"] + tuple(fn.batch_shape) + tuple(fn.event_shape)
        # A program may observe many values of one distribution; a graph has expanded it to what it declares.
        exact = msg["infer"].get("exact", False)
        if jnp.shape(value) != expected and (exact or not holds_copies(jnp.shape(value), expected, fn.event_dim)):
            raise ShapeError(
                f"{name}: the observed values have shape {jnp.shape(value)}, its distribution {expected}: "
                "give data of one length (px.set_data), or expand the distribution"
            )
        if not isinstance(value, jax.core.Tracer):
            value = host.as_host(value, f"observed of {name!r}")
            self.sites.closed_over[name] = value
            source = ("closed", name)
        else:
            source = next((where for tracer, where in self.sources if tracer is value), None)
        fixed = constraints.has_fixed_support(fn.support)
        self.sites.observed[name] = (fn.support, source) if fixed and source is not None else None


def chain_of(fn: Distribution) -> DiscreteMarkovChain | None:
    """Give the Markov chain that a distribution is, perhaps of more copies."""
    base = fn.base_dist if isinstance(fn, Expanded) else fn
    return base if isinstance(base, DiscreteMarkovChain) else None


def require_finite_values(name: str, fn: Distribution) -> bool:
    """Refuse a discrete variable whose values cannot be listed; tell whether it is a Markov chain."""
    if chain_of(fn) is not None:
        return True
    base = fn
    while isinstance(base, Expanded):
        base = base.base_dist
    kind, support = type(base).__name__, fn.support
    if fn.event_dim:
        raise ModelError(
            f"the free variable {name!r} is a discrete vector ({kind}), which cannot be summed out: state its elements "
            "as variables of their own (Categorical, Binomial), sum it out by hand (px.Potential), or observe it"
        )
    if not (isinstance(support, type(constraints.boolean)) or hasattr(support, "upper_bound")):
        raise ModelError(
            f"the free variable {name!r} is discrete with infinitely many values ({kind}), and cannot be summed out. "
            f"Ways out: cut it off where nothing is left, px.Truncated({name!r}, px.{kind}.dist(...), upper=...); a "
            "distribution that has it summed out already, like NegativeBinomial for a Poisson count of gamma rate; a "
            "sum by hand (px.Potential with px.math.logsumexp); or a continuous approximation"
        )
    return False


def dims_of(msg: Message) -> tuple | None:
    """Give the names of the axes of a value: those stated, else those of the plates around."""
    if msg["dims"] is not None or not msg["plates"]:
        return msg["dims"]
    fn = msg["fn"]
    if isinstance(fn, Distribution):
        batch, event_dim = fn.batch_shape, fn.event_dim
    else:
        batch, event_dim = jnp.shape(msg["value"]), 0
    names: list[str | None] = [None] * len(batch)
    for frame in msg["plates"]:
        if len(batch) >= -frame.dim and batch[frame.dim] == frame.size:
            names[frame.dim] = frame.name
    return (*names, *[None] * event_dim)


def holds_copies(shape: Shape, expected: Shape, event_dim: int) -> bool:
    """Tell whether values of a shape are copies of draws of the expected one: no axis of a draw is repeated."""
    try:
        together = jnp.broadcast_shapes(shape, expected)
    except ValueError:
        return False
    events = [s[len(s) - event_dim :] for s in (shape, expected)]
    return together == tuple(shape) and events[0] == events[1]


class Values(Messenger):
    """Give every site its value at a position, and keep what is reported."""

    def __init__(self, sites: Sites, position: Array, data: Tree) -> None:
        self.sites, self.position, self.data = sites, position, data
        self.values: dict[str, Array] = {}
        self.discrete: Mapping[str, Array] = {}
        self.key: Key | None = None
        # All at once: the gradient is then put together in one go, instead of as a sum of padded parts.
        pieces = jax.lax.split(position, [site.stop - site.start for site in sites.free.values()]) if sites.free else []
        self.pieces = dict(zip(sites.free, pieces, strict=True))

    def process_message(self, msg: Message) -> None:
        kind, name = msg["type"], msg["name"]
        if kind in ("data", "constant"):
            msg["value"] = self.data["sites"].get(name, msg["args"][0])
        elif kind == "sample" and name in self.sites.free:
            msg["value"] = self.values[name] = self.constrain(msg)
        elif kind == "sample" and name in self.sites.discrete:
            msg["value"] = self.enumerate(msg)
        elif kind == "sample" and name in self.sites.drawn:
            msg["value"] = self.draw(msg)
        elif kind == "sample":
            msg["value"] = self.observe(msg, self.data["closed"].get(name, msg["value"]))
        elif kind == "factor":
            self.add_factor(msg)
        elif kind == "deterministic":
            self.values[name] = msg["value"]

    def slice(self, name: str) -> Array:
        """Take a site's part of the position."""
        return self.pieces[name].reshape(self.sites.free[name].unconstrained_shape)

    def constrain(self, msg: Message) -> Array:
        """Compute the value of a free site."""
        return transform_of(msg).forward_and_log_det(self.slice(msg["name"]))[0]

    def draw(self, msg: Message) -> Array:
        """Draw a variable that no density depends on; without a key anything will do."""
        name, struct = msg["name"], self.sites.drawn[msg["name"]]
        if self.key is None:
            return jnp.zeros(struct.shape, struct.dtype)
        key = jax.random.fold_in(self.key, list(self.sites.drawn).index(name))
        self.values[name] = msg["fn"].sample(key, msg["kwargs"]["sample_shape"])
        return self.values[name]

    def enumerate(self, msg: Message) -> Array:
        """Give a discrete variable its value: the least, where none has been set."""
        name = msg["name"]
        if name not in self.discrete:
            site = self.sites.discrete[name]
            return jnp.broadcast_to(jnp.asarray(site.low, int), site.shape)
        self.values[name] = self.discrete[name]
        return self.discrete[name]

    def observe(self, _msg: Message, value: Array) -> Array:
        """See the value of an observed site."""
        return value

    def add_factor(self, msg: Message) -> None:
        """See a term."""


class Density(Values):
    """Add up the terms of the log-density."""

    def __init__(self, sites: Sites, position: Array, data: Tree) -> None:
        Values.__init__(self, sites, position, data)
        self.terms: dict[str, Array] = {}

    def constrain(self, msg: Message) -> Array:
        form = noncentered_form(msg)
        if form is not None:
            return self._constrain_noncentered(msg, *form)
        transform = transform_of(msg)
        value, log_det = transform.forward_and_log_det(self.slice(msg["name"]))
        # The transform guarantees membership: no test of the support.
        self.terms[msg["name"]] = _sum_inside(msg, value)
        if not isinstance(transform, IdentityTransform):
            self.terms[f"{msg['name']} (Jacobian)"] = _sum(log_det)
        return value

    def _constrain_noncentered(self, msg: Message, base: Distribution, transform: Transform) -> Array:
        """Evaluate the density where it has no location and scale: in their direction nothing cancels later."""
        z, log_det_below = biject_to(base.support).forward_and_log_det(self.slice(msg["name"]))
        value, log_det = transform.forward_and_log_det(z)
        log_prob = base.log_prob_inside(z)
        log_det = sum_rightmost(log_det, jnp.ndim(log_det) - jnp.ndim(log_prob))
        self.terms[msg["name"]] = weighted(msg, log_prob - log_det)
        self.terms[f"{msg['name']} (Jacobian)"] = _sum(log_det) + _sum(log_det_below)
        return value

    def observe(self, msg: Message, value: Array) -> Array:
        checked = self.sites.observed.get(msg["name"]) is not None
        if value is None:
            raise ModelError(
                f"{msg['name']!r} was not there when the program ran before: the names of its statements must be the "
                "same in every run"
            )
        value = jnp.asarray(value)
        self.terms[msg["name"]] = _sum_inside(msg, value) if checked else weighted(msg, msg["fn"].log_prob(value))
        return value

    def add_factor(self, msg: Message) -> None:
        self.terms[msg["name"]] = weighted(msg, jnp.asarray(msg["value"]))

    def total(self) -> Array:
        """Give the sum of all terms."""
        total = jnp.zeros((), self.position.dtype)
        for i, term in enumerate(self.terms.values()):
            total = total + term if i else term
        return total


class Known(Values):
    """Keep what is known: observed values and named data."""

    def __init__(self, sites: Sites, position: Array, data: Tree) -> None:
        Values.__init__(self, sites, position, data)
        self.observed: dict[str, Array] = {}
        self.constant: dict[str, Array] = {}

    def process_message(self, msg: Message) -> None:
        Values.process_message(self, msg)
        if msg["type"] == "data":
            self.constant[msg["name"]] = msg["value"]

    def observe(self, msg: Message, value: Array) -> Array:
        self.observed[msg["name"]] = value
        return value


class Standardised(Values):
    """Keep what samplers see of variables that are not centred."""

    def __init__(self, sites: Sites, position: Array, data: Tree) -> None:
        Values.__init__(self, sites, position, data)
        self.found: dict[str, Array] = {}

    def constrain(self, msg: Message) -> Array:
        form = noncentered_form(msg)
        if form is not None:
            z = biject_to(form.base.support)(self.slice(msg["name"]))
            self.found[f"{msg['name']}{DECENTERED}"] = z
        return Values.constrain(self, msg)


class Pointwise(Values):
    """Keep the log-density of each observation."""

    def __init__(self, sites: Sites, position: Array, data: Tree) -> None:
        Values.__init__(self, sites, position, data)
        self.terms: dict[str, Array] = {}

    def observe(self, msg: Message, value: Array) -> Array:
        self.terms[msg["name"]] = masked(msg, msg["fn"].log_prob(value))
        return value


class Prior(Values):
    """Keep the log-density of each element of the free variables."""

    def __init__(self, sites: Sites, position: Array, data: Tree) -> None:
        Values.__init__(self, sites, position, data)
        self.terms: dict[str, Array] = {}

    def postprocess_message(self, msg: Message) -> None:
        """Keep the term of a free variable."""
        if msg["type"] == "sample" and msg["name"] in self.values:
            self.terms[msg["name"]] = masked(msg, msg["fn"].log_prob(msg["value"]))


class Place(Values):
    """Find the position of given values; where none is given, keep the position."""

    def __init__(self, sites: Sites, position: Array, data: Tree, start: Mapping[str, Array]) -> None:
        Values.__init__(self, sites, position, data)
        self.start = start
        self.parts: dict[str, Array] = {}
        self.inside: dict[str, Array] = {}

    def constrain(self, msg: Message) -> Array:
        name, transform = msg["name"], transform_of(msg)
        if name not in self.start:
            self.parts[name] = self.slice(name)
            return transform(self.parts[name])
        value = self.start[name]
        self.inside[name] = msg["fn"].support(value)
        self.parts[name] = transform.inverse(value)
        return value


def _sum_inside(msg: Message, value: Array) -> Array:
    """Sum the log-density of a value known to lie in the support."""
    if msg["mask"] is not None or (msg["scale"] is not None and jnp.ndim(msg["scale"])):
        return weighted(msg, msg["fn"].log_prob_inside(value))
    total = msg["fn"].log_prob_sum(value)
    return total if msg["scale"] is None else total * msg["scale"]


def masked(msg: Message, log_prob: Array) -> Array:
    """Leave out what the mask leaves out.

    Raises
    ------
    ShapeError
        If the mask is wider than the log-density, whose elements would then count several times.
    """
    if msg["mask"] is None:
        return log_prob
    met, wanted = jnp.shape(msg["mask"]), jnp.shape(log_prob)
    fits = all(m in (1, n) for m, n in zip_longest(met[::-1], wanted[::-1], fillvalue=1))
    if not fits:
        raise ShapeError(
            f"mask: {msg['type']} {msg['name']!r} has a log-density of shape {wanted}, the mask has shape {met} and "
            "does not fit: give a mask for this site alone, or put the site into a plate as long as the mask"
        )
    return jnp.where(msg["mask"], log_prob, 0.0)


def weighted(msg: Message, log_prob: Array) -> Array:
    """Apply mask and scale, and sum."""
    log_prob = masked(msg, log_prob)
    return _sum(log_prob if msg["scale"] is None else log_prob * msg["scale"])


def _sum(term: Array) -> Array:
    return jnp.sum(term) if jnp.ndim(term) else term
