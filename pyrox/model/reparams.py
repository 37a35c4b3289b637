"""Write a random variable in terms of another whose posterior is easier to explore."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from pyrox.dist import Distribution, Expanded, Independent, constraints
from pyrox.errors import ModelError
from pyrox.model.messenger import Message, Rewriter, make_message
from pyrox.typing import Array

Send = Callable[[Message], Message]


class reparam(Rewriter):
    """Reparametrise sites: the variable becomes a deterministic function of an auxiliary one.

    Parameters
    ----------
    fn
        The program.
    config
        Strategies by site name, or a function of a message that gives one, or None to leave the site alone.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.handlers import LocScaleReparam, reparam, seed, trace
    >>> from pyrox.model.primitives import sample
    >>> program = lambda: sample("theta", dist.Normal(5.0, 2.0))
    >>> record = trace(seed(reparam(program, {"theta": LocScaleReparam(centered=0)}), 0)).get_trace()
    >>> {name: site["type"] for name, site in record.items()}
    {'theta_decentered': 'sample', 'theta': 'deterministic'}
    """

    def __init__(
        self, fn: Callable | None = None, config: Mapping[str, Any] | Callable[[Message], Any] | None = None
    ) -> None:
        self.fn = fn
        if config is None:
            raise ValueError("reparam needs config: strategies by site name, or a function of a message")
        self.config = config

    def rewrite(self, msg: Message, send: Send) -> None:
        if msg["type"] != "sample" or (msg["value"] is not None and not msg["is_observed"]):
            return
        strategy = self.config.get(msg["name"]) if isinstance(self.config, Mapping) else self.config(msg)
        if strategy is None:
            return
        if msg["is_observed"]:
            raise ModelError(f"reparam: {msg['name']!r} is observed; only free variables can be reparametrised")
        value = strategy(msg, send)
        msg.update(type="deterministic", value=value, fn=_identity, args=(value,), kwargs={}, scale=None, mask=None)


class LocScaleReparam:
    r"""Take location and scale out of a variable, in part or in whole.

    .. math:: z \sim D(c \mu, \sigma^c), \quad x = \mu + \sigma^{1-c} (z - c \mu)

    Parameters
    ----------
    centered
        c: 0 takes them out, 1 leaves them in; None makes it a parameter between, ``name + "_centered"``.
    shape_params
        Further parameters of the distribution that stay as they are; by default all others do.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.handlers import LocScaleReparam, reparam, seed
    >>> from pyrox.model.primitives import sample
    >>> program = reparam(lambda: sample("x", dist.Normal(5.0, 2.0)), {"x": LocScaleReparam(0.0)})
    >>> seed(program, 0)().shape
    ()
    """

    def __init__(self, centered: Any = None, shape_params: Sequence[str] = ()) -> None:
        if isinstance(centered, int | float) and not 0 <= centered <= 1:
            raise ValueError(f"LocScaleReparam: centered lies between 0 and 1; met {centered!r}")
        self.centered, self.shape_params = centered, tuple(shape_params)

    def __call__(self, msg: Message, send: Send) -> Array:
        """State the auxiliary variable and give the value of the variable itself."""
        name, (core, rebuild) = msg["name"], _unwrap(msg["fn"])
        params = {p.name: getattr(core, p.attribute) for p in core.params}
        if not {"loc", "scale"} <= set(params) or core.support is not constraints.real:
            raise ModelError(f"LocScaleReparam: {name!r} is a {type(core).__name__}, which has no loc and scale")
        loc, scale, centered = params["loc"], params["scale"], self.centered
        if centered is None:
            kwargs = {"constraint": constraints.unit_interval}
            start = jnp.full(jnp.broadcast_shapes(jnp.shape(loc), jnp.shape(scale)), 0.5)
            centered = send(make_message("param", f"{name}_centered", _identity, args=(start,), kwargs=kwargs))["value"]
        whole = isinstance(centered, int | float) and centered == 0
        params["loc"] = jnp.zeros_like(loc) if whole else centered * loc
        params["scale"] = jnp.ones_like(scale) if whole else scale**centered
        other = rebuild(type(core)(**params))
        value = send(_auxiliary(msg, f"{name}_decentered", other))["value"]
        return loc + scale * value if whole else loc + scale ** (1 - centered) * (value - centered * loc)


class TransformReparam:
    """Sample the base of a transformed distribution, and transform its value.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.handlers import TransformReparam, reparam, seed, trace
    >>> from pyrox.model.primitives import sample
    >>> shifted = dist.TransformedDistribution(dist.Normal(0.0, 1.0), dist.transforms.AffineTransform(5.0, 2.0))
    >>> program = reparam(lambda: sample("x", shifted), {"x": TransformReparam()})
    >>> list(trace(seed(program, 0)).get_trace())
    ['x_base', 'x']
    """

    def __call__(self, msg: Message, send: Send) -> Array:
        """State the base variable and give the value of the variable itself."""
        name, (core, rebuild) = msg["name"], _unwrap(msg["fn"])
        if not hasattr(core, "transforms"):
            raise ModelError(f"TransformReparam: {name!r} is a {type(core).__name__}, not a transformed distribution")
        value = send(_auxiliary(msg, f"{name}_base", rebuild(core.base_dist)))["value"]
        for transform in core.transforms:
            value = transform(value)
        return value


def _auxiliary(msg: Message, name: str, fn: Distribution) -> Message:
    """Make the statement of another variable at the place of one: same plates, scale, mask and random numbers."""
    infer = {k: v for k, v in msg["infer"].items() if k not in ("initval", "exact")}
    return {**msg, "name": name, "fn": fn, "infer": infer, "intermediates": []}


def _unwrap(fn: Distribution) -> tuple[Distribution, Callable[[Distribution], Distribution]]:
    """Take a distribution out of its expansions and event axes; also give the way to put another one in."""
    if isinstance(fn, Expanded):
        core, inner = _unwrap(fn.base_dist)
        return core, lambda other: inner(other).expand(fn.shape)
    if isinstance(fn, Independent):
        core, inner = _unwrap(fn.base_dist)
        return core, lambda other: inner(other).to_event(fn.reinterpreted_batch_ndims)
    return fn, lambda other: other


def _identity(value: Any, **_kwargs: Any) -> Any:
    return value
