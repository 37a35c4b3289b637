"""Find what keeps a model from a finite log-density: the variables, and the parameters and values at fault."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.errors import ModelError
from pyrox.model.faults import find_faults, write
from pyrox.model.handlers import as_key, block, seed, trace
from pyrox.model.points import (
    AtPoint,
    Numbers,
    Point,
    PointFunction,
    initial_point,
    log_density_function,
    read_point,
    run_at,
)


def point_logps(model: Any, point: Point | None, round_vals: int) -> dict[str, float]:
    """Give the log-density of each variable and potential at a point; see ``Model.point_logps``."""
    point = initial_point(model) if point is None else point
    return {name: round(float(term), round_vals) for name, term in PointFunction(model, _sums)(point).items()}


def _sums(run: AtPoint) -> dict[str, Any]:
    terms = run.total(None, jacobian=True)
    return {name: jnp.sum(term) for name, term in zip(run.terms, terms, strict=True)}


def check(model: Any, point: Point | None, fn: str, *, verbose: bool) -> str:
    """Write what is wrong with a model at a point; see ``Model.debug``."""
    if fn not in ("logp", "dlogp", "random"):
        raise ModelError(f"debug: fn is 'logp', 'dlogp' or 'random'; met {fn!r}")
    point = initial_point(model) if point is None else dict(point)
    shown = ", ".join(f"{name!r}: {write(value)}" for name, value in point.items())
    told = [f"point={{{shown}}}", ""]
    if verbose:
        told += [f"{name}: {term}" for name, term in point_logps(model, point, 4).items()] + [""]
    problems = list(_problems_of_draws(model) if fn == "random" else _problems_of_density(model, point))
    if fn == "dlogp" and not problems:
        problems = list(_problems_of_gradient(model, point))
    return "\n".join([*told, *(problems or ["No problems found"])])


def _problems_of_density(model: Any, point: Point) -> Iterator[str]:
    return find_faults(PointFunction(model, _laws)(point))


def _laws(run: AtPoint) -> dict[str, tuple]:
    """Give, by name, the distribution, the value and the terms; no distribution of potentials."""
    return {name: (*run.laws.get(name, (None, None)), term) for name, term in run.terms.items()}


def _problems_of_gradient(model: Any, point: Point) -> Iterator[str]:
    data = Numbers(model)()
    start = run_at(model, AtPoint(read_point(model, point), data)).position
    total = log_density_function(model, None, jacobian=True, sum=True)
    moving = {n: x for n, x in start.items() if jnp.issubdtype(x.dtype, jnp.floating)}
    still = {n: x for n, x in start.items() if n not in moving}
    gradient = jax.grad(lambda x: total.value({**still, **x}, data))(moving)
    for name, slope in gradient.items():
        if not np.all(np.isfinite(slope)):
            yield f"The gradient with respect to {name!r} is not finite: {write(slope)}"


def _problems_of_draws(model: Any) -> Iterator[str]:
    with block():
        record = trace(seed(model, as_key(0))).get_trace()
    for name, site in record.items():
        if site["type"] == "sample" and not site["is_observed"] and not np.all(np.isfinite(site["value"])):
            yield f"The variable {name!r} was drawn as {write(site['value'])}"
