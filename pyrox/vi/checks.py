"""Find the parameters of model and guide, and refuse pairs that cannot be fitted."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import Delta, Distribution, Expanded, Independent, biject_to, constraints
from pyrox.dist.transforms import Transform
from pyrox.errors import ModelError, ShapeError, SupportError
from pyrox.model.handlers import Message, Messenger, Trace, replay, seed, trace
from pyrox.typing import Key
from pyrox.vi.terms import is_latent, require_pair, same_support

_DRAWS = 200


class _AsArrays(Messenger):
    """Make an array of every parameter, so that it can be recognised where it is used."""

    def postprocess_message(self, msg: Message) -> None:
        if msg["type"] == "param" and isinstance(msg["value"], int | float | np.ndarray):
            msg["value"] = jnp.array(msg["value"], dtype=float)


def find_params(
    key: Key, model: Callable, guide: Callable, args: tuple, kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Transform], Trace, Trace]:
    """Run guide and model once: give unconstrained parameters and their transforms by name, and both records."""
    key_guide, key_model = jax.random.split(key)
    with _AsArrays():
        drawn = trace(seed(guide, key_guide)).get_trace(*args, **kwargs)
    try:
        with _AsArrays():
            seen = trace(replay(seed(model, key_model), drawn)).get_trace(*args, **kwargs)
    except ShapeError as error:
        raise ShapeError(f"model and guide do not fit: {error}") from None
    params, transforms = {}, {}
    for record in (drawn, seen):
        for name, site in record.items():
            if site["type"] != "param" or name in params:
                continue
            if site["value"] is None:
                raise ModelError(f"param({name!r}) has no value to start from: give one, param({name!r}, 0.5)")
            params[name] = site["value"]
            constraint = site["kwargs"].get("constraint")
            if constraint is not None and constraint is not constraints.real:
                transforms[name] = biject_to(constraint)
                params[name] = transforms[name].inv(jnp.asarray(site["value"]))
    return params, transforms, drawn, seen


def require_fitting(drawn: Trace, seen: Trace) -> None:
    """Refuse different latent variables, wrong supports, and parameters that lack a constraint.

    Raises
    ------
    ModelError
        If a site is missing, or a parameter lacks its constraint.
    SupportError
        If a site of the guide draws what its site of the model does not allow.
    """
    require_pair(drawn, seen)
    for name, site in seen.items():
        if is_latent(site):
            _require_support(name, drawn[name]["fn"], site["fn"], drawn[name]["value"])
    for owner, record in (("guide", drawn), ("model", seen)):
        free = {
            id(site["value"]): name
            for name, site in record.items()
            if site["type"] == "param" and site["kwargs"].get("constraint") is None
        }
        for name, site in record.items():
            if site["type"] == "sample" and isinstance(site["fn"], Distribution):
                _require_constraints(owner, name, site["fn"], free)


def _require_support(name: str, guide: Distribution, model: Distribution, value: Any) -> None:
    if same_support(guide.support, model.support):
        return
    if guide.is_discrete != model.is_discrete and not isinstance(guide, Delta):
        kinds = ["discrete" if d.is_discrete else "continuous" for d in (guide, model)]
        raise SupportError(
            f"the guide's site {name!r} is {kinds[0]} ({type(guide).__name__}), the model's is {kinds[1]} "
            f"({type(model).__name__}): give the guide a distribution of the same kind"
        )
    draws = value if isinstance(guide, Delta) else guide.sample(jax.random.key(0), (_DRAWS,))
    inside = model.support(draws)
    if isinstance(inside, jax.core.Tracer) or bool(jnp.all(inside)):
        return
    raise SupportError(
        f"the guide's site {name!r} ({type(guide).__name__}) draws values outside the support of the model's "
        f"({type(model).__name__}), where they must be {model.support}: give the guide a distribution on that set, or "
        "transform one: dist.TransformedDistribution(base, dist.biject_to(support))"
    )


def _require_constraints(owner: str, site: str, fn: Distribution, free: Mapping[int, str]) -> None:
    while isinstance(fn, Expanded | Independent):
        fn = fn.base_dist
    for name, constraint in fn.arg_constraints.items():
        value = getattr(fn, name, None)
        loose = constraint in (constraints.real, constraints.dependent, constraints.real_vector)
        if value is not None and id(value) in free and not loose and not _is_real(constraint):
            param = free[id(value)]
            raise ModelError(
                f"param {param!r} is the {name} of the {owner}'s site {site!r} ({type(fn).__name__}), which must be "
                f"{constraint}, but nothing keeps it there: state it with param({param!r}, ..., constraint=...)"
            )


def _is_real(constraint: Any) -> bool:
    return bool(jnp.all(constraint(jnp.full((2,) * max(1, constraint.event_dim), -1.5))))
