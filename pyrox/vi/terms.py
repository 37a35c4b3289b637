"""The terms of an objective: log-densities of model and guide at what the guide draws."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pyrox.dist import Delta, Distribution, Expanded, Independent, constraints, kl_divergence
from pyrox.dist.transforms import sum_rightmost
from pyrox.errors import ModelError
from pyrox.model.evaluate import site_log_density
from pyrox.model.handlers import Message, Trace, replay, seed, substitute, trace
from pyrox.model.sites import masked
from pyrox.typing import Array, Key, Tree


class Particle(NamedTuple):
    """What one draw of a guide says.

    Attributes
    ----------
    log_weight
        log p - log q: of every latent and observed site.
    score
        log q of the sites whose draws carry no derivative, such as discrete ones; None where there are none.
    """

    log_weight: Array
    score: Array | None


def is_latent(site: Message) -> bool:
    """Tell whether a site of a record is a random variable that was not observed."""
    return site["type"] == "sample" and not site["is_observed"]


def is_auxiliary(site: Message) -> bool:
    """Tell whether a site of a guide stands for nothing in the model."""
    return bool(site["infer"].get("is_auxiliary"))


def same_support(one: Any, other: Any) -> bool:
    """Tell whether two supports are known to be the same set."""
    if one is other:
        return True
    return constraints.has_fixed_support(one) and constraints.has_fixed_support(other) and repr(one) == repr(other)


def known_term(site: Message, *, inside: bool) -> Array:
    """Give the summed log-density of a site.

    Whether its value lies in the support is asked once for the whole array, not for each element; ``inside`` says
    that it is known to.
    """
    fn = site["fn"]
    weighted = site["mask"] is not None or (site["scale"] is not None and jnp.ndim(site["scale"]))
    if weighted or site["intermediates"] or not isinstance(fn, Distribution):
        return jnp.asarray(site_log_density(site))
    value = jnp.asarray(site["value"])
    if jnp.shape(value) != (*site["kwargs"]["sample_shape"], *fn.batch_shape, *fn.event_shape):
        return jnp.asarray(site_log_density(site))
    if isinstance(fn, Delta) and inside:
        total = jnp.sum(jnp.broadcast_to(fn.log_density, fn.batch_shape))
    else:
        total = _without_wrappers(fn, value).log_prob_sum(value)
    if not inside:
        total = jnp.where(jnp.all(fn.support(value)), total, -jnp.inf)
    return total if site["scale"] is None else total * site["scale"]


def _without_wrappers(fn: Distribution, value: Array) -> Distribution:
    """Give what is inside a distribution whose sum over all elements is the same: families know short cuts."""
    while isinstance(fn, Independent | Expanded):
        inner = fn.base_dist
        if jnp.shape(value) != (*inner.batch_shape, *inner.event_shape):
            return fn
        fn = inner
    return fn


def run_pair(
    key: Key, params: Mapping[str, Any], model: Callable, guide: Callable, args: tuple, kwargs: Mapping[str, Any]
) -> tuple[Trace, Trace]:
    """Run the guide, then the model at what the guide has drawn; give both records."""
    key_guide, key_model = jax.random.split(key)
    drawn = trace(substitute(seed(guide, key_guide), params)).get_trace(*args, **kwargs)
    replayed = replay(substitute(seed(model, key_model), params), drawn)
    return drawn, trace(replayed).get_trace(*args, **kwargs)


def program_particle(
    key: Key,
    params: Mapping[str, Any],
    model: Callable,
    guide: Callable,
    args: tuple,
    kwargs: Mapping[str, Any],
    *,
    analytic: bool,
    stick: bool,
) -> Particle:
    """Draw once from a guide that is a program, and weigh the draw."""
    drawn, seen = run_pair(key, params, model, guide, args, kwargs)
    require_pair(drawn, seen)
    scored = drawn
    if stick:
        # The path through the draws keeps its derivative, the density's own parameters lose theirs.
        fixed = jax.lax.stop_gradient(dict(params))
        again = replay(seed(guide, jax.random.split(key)[0]), drawn)
        scored = trace(substitute(again, fixed)).get_trace(*args, **kwargs)  # outermost: replay knows parameters too
    closed = closed_divergences(drawn, seen) if analytic and not stick else {}
    total, score = -sum(closed.values(), start=jnp.zeros(())), None
    for name, site in seen.items():
        if site["type"] == "factor":
            total = total + site_log_density(site)
        elif site["type"] == "sample" and name not in closed:
            inside = is_latent(site) and same_support(drawn[name]["fn"].support, site["fn"].support)
            total = total + known_term(site, inside=inside)
    for name, site in scored.items():
        if not is_latent(site):
            continue
        term = known_term(site, inside=True)
        if name not in closed:
            total = total - term
        if not _carries_derivative(site["fn"]):  # the other terms depend on the draw, whatever its divergence is
            score = term if score is None else score + term
    return Particle(total, score)


def _carries_derivative(fn: Distribution) -> bool:
    return isinstance(fn, Delta) or (not fn.is_discrete and bool(fn.reparametrized_params))


def closed_divergences(drawn: Trace, seen: Trace) -> dict[str, Array]:
    """Give the divergence of guide from model, by site, where it has a closed form and may stand for its estimate.

    It may where all that the model's prior of a site depends on has been drawn before that site in the guide too.
    """
    order = {name: i for i, name in enumerate(drawn)}
    out, latest = {}, -1
    for name, site in seen.items():
        if not is_latent(site) or name not in order:
            continue
        if order[name] > latest and _same_weight(drawn[name], site):
            try:
                divergence = closed_divergence(drawn[name]["fn"], site["fn"])
            except NotImplementedError:
                pass
            else:
                out[name] = _weigh(divergence, site)
        latest = max(latest, order[name])
    return out


def _same_weight(one: Message, other: Message) -> bool:
    masks, scales = one["mask"] is other["mask"], one["scale"] is other["scale"]
    if isinstance(one["scale"], int | float) and isinstance(other["scale"], int | float):
        scales = one["scale"] == other["scale"]
    shapes = one["kwargs"]["sample_shape"] == other["kwargs"]["sample_shape"] == ()
    return masks and scales and shapes and one["fn"].batch_shape == other["fn"].batch_shape


def _weigh(term: Array, site: Message) -> Array:
    term = masked(site, term)
    return jnp.sum(term if site["scale"] is None else term * site["scale"])


def closed_divergence(p: Distribution, q: Distribution) -> Array:
    """Give the divergence of q from p, one number for each copy, by a closed form.

    Raises
    ------
    NotImplementedError
        If there is none.
    """
    batch = jnp.broadcast_shapes(p.batch_shape, q.batch_shape)
    if isinstance(p, Expanded) or isinstance(q, Expanded):
        inner = [d.base_dist if isinstance(d, Expanded) else d for d in (p, q)]
        return jnp.broadcast_to(closed_divergence(*inner), batch)
    if isinstance(p, Independent) and isinstance(q, Independent):
        ndims = p.reinterpreted_batch_ndims
        if ndims != q.reinterpreted_batch_ndims:
            raise NotImplementedError("divergence between Independents of different numbers of axes")
        return sum_rightmost(closed_divergence(p.base_dist, q.base_dist), ndims)
    return jnp.broadcast_to(kl_divergence(p, q), batch)


def require_pair(drawn: Trace, seen: Trace) -> None:
    """Refuse a guide and a model that do not have the same latent variables.

    Raises
    ------
    ModelError
        If a site of one is missing from the other.
    """
    latent = [name for name, site in seen.items() if is_latent(site)]
    stated = [name for name, site in drawn.items() if is_latent(site) and not is_auxiliary(site)]
    lacking = [name for name in latent if name not in drawn]
    if lacking:
        raise ModelError(
            f"the guide has no sample site {lacking[0]!r}, which is a latent variable of the model: add "
            f"sample({lacking[0]!r}, ...) to the guide, or observe it in the model"
        )
    strange = [name for name in stated if name not in latent]
    if strange:
        observed = strange[0] in seen and seen[strange[0]]["type"] == "sample"
        told = "which the model observes" if observed else "which is no latent variable of the model"
        raise ModelError(
            f"the guide has a sample site {strange[0]!r}, {told} (those are {', '.join(latent) or 'none'}): rename it, "
            'or state it with infer={"is_auxiliary": True} if it stands for nothing there'
        )


def site_report(records: Mapping[str, Tree]) -> list[str]:
    """Name what is wrong at finished sites: terms that are not finite, parameters outside their domains."""
    rows = []
    for owner, record in records.items():
        for name, site in record.items():
            if site["type"] not in ("sample", "factor"):
                continue
            term = float(site_log_density(site))
            faults = [] if jnp.isfinite(term) else [f"log-density {term:g}"]
            faults += _parameter_faults(site["fn"]) if isinstance(site["fn"], Distribution) else []
            if faults:
                rows.append(f"  {owner} site {name!r} ({type(site['fn']).__name__}): {'; '.join(faults)}")
    return rows


def _parameter_faults(fn: Distribution) -> list[str]:
    while isinstance(fn, Expanded | Independent):
        fn = fn.base_dist
    out = []
    for name, constraint in fn.arg_constraints.items():
        value = getattr(fn, name, None)
        if value is None or constraint is constraints.dependent:
            continue
        inside = constraint(jnp.asarray(value))
        if not bool(jnp.all(inside)):
            flat = jnp.ravel(jnp.asarray(value))
            shown = next((float(x) for x in flat if not bool(jnp.all(constraint(x)))), float(flat[0])) if (
                constraint.event_dim == 0
            ) else "a member outside it"
            out.append(f"its {name} must be {constraint}, met {shown}")
    return out
