"""The documented effect handlers: each changes one thing about the statements of a program.

All work as context managers and as wrappers, of functions and of models, in any order and depth.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import Distribution, biject_to, constraints
from pyrox.errors import ModelError, ShapeError
from pyrox.model import values as host
from pyrox.model.messenger import (
    Message,
    Messenger,
    Rewriter,
    apply_stack,
    handler_depth,
    has_tracer,
    make_message,
    require_new,
    shape_of,
)
from pyrox.model.reparams import LocScaleReparam, TransformReparam, reparam
from pyrox.model.rewrites import do, infer_config, lift, scope, uncondition
from pyrox.typing import Key

__all__ = [
    "LocScaleReparam",
    "Message",
    "Messenger",
    "Rewriter",
    "Trace",
    "TransformReparam",
    "apply_stack",
    "block",
    "condition",
    "do",
    "handler_depth",
    "infer_config",
    "lift",
    "make_message",
    "mask",
    "reparam",
    "replay",
    "scale",
    "scope",
    "seed",
    "substitute",
    "trace",
    "uncondition",
]


class Trace(OrderedDict):
    """The record of one run: the messages by name, in order."""

    def process_message(self, msg: Message) -> None:
        """Do nothing: a record looks at finished messages."""

    def postprocess_message(self, msg: Message) -> None:
        """Record a finished message."""
        if msg["type"] == "constant":
            return
        require_new(self, msg)
        self[msg["name"]] = msg.copy()


class trace(Messenger):
    """Record the inputs and outputs of the statements of a program.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.handlers import seed, trace
    >>> from pyrox.model.primitives import sample
    >>> record = trace(seed(lambda: sample("a", dist.Normal(0.0, 1.0)), 0)).get_trace()
    >>> record["a"]["type"], record["a"]["is_observed"]
    ('sample', False)
    """

    def begin(self) -> Trace:
        return Trace()

    def get_trace(self, *args: Any, **kwargs: Any) -> Trace:
        """Run the wrapped function and return its record, an OrderedDict of messages."""
        if self.fn is None:
            raise TypeError("trace wraps no function: write trace(fn).get_trace(...)")
        if not callable(self.fn):
            raise ModelError(f"trace wraps a function of primitives or a px.Model; met {self.fn!r}")
        with self as record:
            self.fn(*args, **kwargs)
        return record


class _Keys:
    """The random numbers of one run: statement i gets ``fold_in(key, i)``."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.count = 0

    def process_message(self, msg: Message) -> None:
        if msg["is_observed"] or msg["value"] is not None or not _is_random(msg):
            return
        if msg["kwargs"].get("rng_key") is None:
            msg["kwargs"] = {**msg["kwargs"], "rng_key": jax.random.fold_in(self.key, self.count)}
            self.count += 1

    def postprocess_message(self, msg: Message) -> None:
        pass


def _is_random(msg: Message) -> bool:
    """Tell whether computing the value takes random numbers."""
    if msg["type"] == "plate":
        return msg["args"][0] != msg["args"][1]
    return msg["type"] == "sample" or (msg["type"] == "param" and callable(msg["args"][0]))


class seed(Messenger):
    """Give every statement of a program its own random numbers.

    Parameters
    ----------
    fn
        The program.
    rng_seed
        An int, a scalar integer array or a JAX key.
    rng
        The same, under its other name.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.handlers import seed
    >>> from pyrox.model.primitives import sample
    >>> with seed(rng_seed=1):
    ...     x = sample("x", dist.Normal(0.0, 1.0))
    >>> y = seed(lambda: sample("y", dist.Normal(0.0, 1.0)), rng_seed=1)()
    >>> bool(x == y)
    True
    """

    def __init__(self, fn: Callable | None = None, rng_seed: Any = None, rng: Any = None) -> None:
        self.fn = fn
        given = rng_seed if rng_seed is not None else rng
        if given is None:
            raise ValueError("seed needs rng_seed: an int or a JAX key")
        self.key = as_key(given)

    def begin(self) -> _Keys:
        return _Keys(self.key)


def as_key(given: Any) -> Key:
    """Make a JAX key of an int, and of a scalar integer array; leave keys."""
    if isinstance(given, int | np.integer) and not isinstance(given, bool):
        return jax.random.key(np.uint64(int(given) % 2**64))
    kind = getattr(given, "dtype", np.dtype(object))
    if jnp.issubdtype(kind, jnp.integer) and given.ndim == 0:
        return jax.random.key(given)
    if jnp.issubdtype(kind, jax.dtypes.prng_key) or jnp.issubdtype(kind, jnp.integer):
        return given
    raise ValueError(f"rng_seed is an int or a JAX key, not {given!r}")


class substitute(Messenger):
    """Set the values of sites.

    Parameters
    ----------
    fn
        The program.
    param_map
        Values by site name.
    base_param_map
        Values of base distributions by site name: they pass through the transforms of the site.
    substitute_fn
        Function of a message that gives a value, or None to leave the site alone.

    Raises
    ------
    SupportError
        If a value of ``param_map`` is known and lies outside the support of its site.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.handlers import seed, substitute, trace
    >>> from pyrox.model.primitives import sample
    >>> program = seed(lambda: sample("a", dist.Normal(0.0, 1.0)), 0)
    >>> trace(substitute(program, {"a": -1})).get_trace()["a"]["value"]
    -1
    """

    def __init__(
        self,
        fn: Callable | None = None,
        param_map: Mapping[str, Any] | None = None,
        base_param_map: Mapping[str, Any] | None = None,
        substitute_fn: Callable[[Message], Any] | None = None,
    ) -> None:
        self.fn = fn
        self.param_map = param_map
        self.base_param_map = base_param_map
        self.substitute_fn = substitute_fn
        if param_map is None and base_param_map is None and substitute_fn is None:
            raise ValueError("substitute needs param_map, base_param_map or substitute_fn")

    def process_message(self, msg: Message) -> None:
        if msg["type"] not in ("sample", "param", "plate", "data", "constant") or msg["is_observed"]:
            return
        name = msg["name"]
        if self.param_map is not None and name in self.param_map:
            msg["value"] = self.param_map[name]
        elif self.base_param_map is not None and name in self.base_param_map:
            set_from_base(msg, self.base_param_map[name])
        elif self.substitute_fn is not None and (value := self.substitute_fn(msg)) is not None:
            msg["value"] = value

    def postprocess_message(self, msg: Message) -> None:
        if self.param_map is not None and msg["value"] is self.param_map.get(msg["name"], _NOTHING):
            _require_member(msg, "substitute")


_NOTHING = object()


def _require_member(msg: Message, what: str) -> None:
    """Refuse a value outside the support, where both are known: a traced one passes unseen."""
    value, fn = msg["value"], msg["fn"]
    if msg["type"] == "sample" and isinstance(fn, Distribution):
        support = fn.support
    elif msg["type"] == "param":
        support = msg["kwargs"].get("constraint")
    else:
        return
    if support is None or has_tracer((support, value)):
        return
    array = np.asarray(value)
    if array.ndim < support.event_dim:
        raise ShapeError(f"{what}: {msg['name']!r} has events of {support.event_dim} axes; met shape {array.shape}")
    host.require_support(array, support, f"{what}: the value of {msg['name']!r}")


def set_from_base(msg: Message, base: Any) -> None:
    """Set the value of a site from one of its base distribution, or of unconstrained space for a parameter."""
    if msg["type"] == "sample":
        msg["value"], msg["intermediates"] = msg["fn"].transform_with_intermediates(base)
    else:
        constraint = msg["kwargs"].get("constraint", constraints.real)
        msg["value"] = biject_to(constraint)(base)


class condition(Messenger):
    """Observe sample sites that are not observed yet.

    Parameters
    ----------
    fn
        The program.
    param_map
        Observed values by site name.
    substitute_fn
        Function of a message that gives an observed value, or None to leave the site alone.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.handlers import condition, seed, trace
    >>> from pyrox.model.primitives import sample
    >>> program = seed(lambda: sample("a", dist.Normal(0.0, 1.0)), 0)
    >>> trace(condition(program, {"a": -1})).get_trace()["a"]["is_observed"]
    True
    """

    def __init__(
        self,
        fn: Callable | None = None,
        param_map: Mapping[str, Any] | None = None,
        substitute_fn: Callable[[Message], Any] | None = None,
    ) -> None:
        self.fn = fn
        self.param_map = {} if param_map is None else param_map
        self.substitute_fn = substitute_fn
        if param_map is None and substitute_fn is None:
            raise ValueError("condition needs param_map or substitute_fn")

    def process_message(self, msg: Message) -> None:
        if msg["type"] != "sample" or msg["is_observed"]:
            return
        value = self.param_map.get(msg["name"])
        if value is None and self.substitute_fn is not None:
            value = self.substitute_fn(msg)
        if value is not None:
            msg["value"], msg["is_observed"] = value, True

    def postprocess_message(self, msg: Message) -> None:
        if msg["is_observed"] and msg["value"] is self.param_map.get(msg["name"], _NOTHING):
            _require_member(msg, "condition")


class replay(Messenger):
    """Give sample sites the values that they had in another run.

    Parameters
    ----------
    fn
        The program.
    guide_trace
        Record of the other run, from ``trace(...).get_trace()``.

    Raises
    ------
    ShapeError
        If a recorded value does not have the shape of its site.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.handlers import replay, seed, trace
    >>> from pyrox.model.primitives import sample
    >>> program = lambda: sample("a", dist.Normal(0.0, 1.0))
    >>> record = trace(seed(program, 0)).get_trace()
    >>> bool(replay(program, record)() == record["a"]["value"])
    True
    """

    def __init__(self, fn: Callable | None = None, guide_trace: Mapping[str, Message] | None = None) -> None:
        self.fn = fn
        if guide_trace is None:
            raise ValueError("replay needs guide_trace, the record of another run")
        plain = [name for name, site in guide_trace.items() if not isinstance(site, Mapping)]
        if plain:
            raise ModelError(f"replay takes the record of a run; {plain[0]!r} is a value: substitute takes values")
        self.guide_trace = guide_trace

    def process_message(self, msg: Message) -> None:
        recorded = self.guide_trace.get(msg["name"])
        if recorded is not None and msg["type"] in ("sample", "param", "plate") and not msg["is_observed"]:
            msg["value"] = recorded["value"]

    def postprocess_message(self, msg: Message) -> None:
        if msg["type"] != "sample" or msg["is_observed"] or msg["name"] not in self.guide_trace:
            return
        # Only now have the plates further out had their say about the shape.
        met, wanted = jnp.shape(msg["value"]), shape_of(msg)
        if wanted is not None and met != wanted:
            raise ShapeError(
                f"replay: the recorded value of {msg['name']!r} has shape {met}, the site {wanted}: "
                "record the other run with the same data and plates"
            )


class block(Messenger):
    """Hide sites from the handlers further out.

    Parameters
    ----------
    fn
        The program.
    hide_fn
        Function of a message that tells whether to hide it; all are hidden by default.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.handlers import block, seed, trace
    >>> from pyrox.model.primitives import sample
    >>> program = seed(lambda: [sample(name, dist.Normal(0.0, 1.0)) for name in "ab"], 0)
    >>> list(trace(block(program, lambda site: site["name"] == "a")).get_trace())
    ['b']
    """

    def __init__(self, fn: Callable | None = None, hide_fn: Callable[[Message], bool] | None = None) -> None:
        self.fn = fn
        self.hide_fn = hide_fn

    def process_message(self, msg: Message) -> None:
        if self.hide_fn is None or self.hide_fn(msg):
            msg["stop"] = True


class scale(Messenger):
    """Multiply the log-densities of sites.

    Parameters
    ----------
    fn
        The program.
    scale_factor
        A positive number or an array that broadcasts with the log-density.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.handlers import scale, seed, trace
    >>> from pyrox.model.primitives import sample
    >>> program = seed(lambda: sample("a", dist.Normal(0.0, 1.0)), 0)
    >>> trace(scale(program, 10.0)).get_trace()["a"]["scale"]
    10.0
    """

    def __init__(self, fn: Callable | None = None, scale_factor: Any = 1.0) -> None:
        self.fn = fn
        if isinstance(scale_factor, int | float) and not scale_factor > 0:
            raise ValueError(f"scale_factor must be positive; met {scale_factor!r}")
        self.scale_factor = np.asarray(scale_factor) if isinstance(scale_factor, list | tuple) else scale_factor

    def process_message(self, msg: Message) -> None:
        if msg["type"] in ("sample", "param", "factor"):
            msg["scale"] = self.scale_factor if msg["scale"] is None else self.scale_factor * msg["scale"]


class mask(Messenger):
    """Leave elements of sites out of the log-density.

    Parameters
    ----------
    fn
        The program.
    mask
        Booleans that broadcast with the log-density: elements where False count zero.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.evaluate import log_density
    >>> from pyrox.model.handlers import mask
    >>> from pyrox.model.primitives import sample
    >>> program = lambda: sample("a", dist.Normal(0.0, 1.0))
    >>> float(log_density(mask(program, mask=False), (), {}, {"a": 0.5})[0])
    0.0
    """

    def __init__(self, fn: Callable | None = None, mask: Any = None) -> None:
        self.fn = fn
        if mask is None:
            raise ValueError("mask needs mask: booleans, True where an element counts")
        self.mask = mask if isinstance(mask, bool) else jnp.asarray(mask, bool)

    def process_message(self, msg: Message) -> None:
        if msg["type"] in ("sample", "factor"):
            msg["mask"] = self.mask if msg["mask"] is None else self.mask & msg["mask"]
