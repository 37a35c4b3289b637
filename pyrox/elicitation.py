"""Find priors that say what somebody knows."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.config import validation_enabled
from pyrox.dist import biject_to, constraints
from pyrox.errors import ModelError
from pyrox.model.nodes import evaluate_alone
from pyrox.model.variables import DistributionStatement
from pyrox.typing import Array

_STEPS, _STARTS, _CLOSE = 200, 30, 1e-6


def find_constrained_prior(
    distribution: DistributionStatement,
    lower: float,
    upper: float,
    init_guess: Mapping[str, float],
    mass: float = 0.95,
    fixed_params: Mapping[str, float] | None = None,
    mass_below_lower: float | None = None,
) -> dict[str, float]:
    r"""Find parameters with which a distribution has a given mass between two bounds.

    .. math:: F(l) = p_l, \quad F(u) = p_l + m

    It is solved by damped least squares (Levenberg 1944, Marquardt 1963), over unconstrained parameters.

    Parameters
    ----------
    distribution
        A statement, ``px.Gamma``.
    lower, upper
        The bounds.
    init_guess
        The parameters to be found, one or two of them, with values to start from.
    mass
        Probability between the bounds.
    fixed_params
        Other parameters.
    mass_below_lower
        Probability below them; half of what is left by default.

    Returns
    -------
    The parameters by name.

    Raises
    ------
    ModelError
        If the bounds or masses are impossible, or no such parameters are found.

    Examples
    --------
    >>> import pyrox as px
    >>> found = px.find_constrained_prior(px.Normal, 0.0, 10.0, {"mu": 1.0, "sigma": 1.0})
    >>> {name: round(value, 3) for name, value in found.items()}
    {'mu': 5.0, 'sigma': 2.551}
    """
    if not isinstance(distribution, DistributionStatement):
        raise ModelError(f"find_constrained_prior takes a statement, px.Gamma; met {distribution!r}")
    if not isinstance(init_guess, Mapping) or not init_guess:
        raise ModelError(
            'find_constrained_prior: init_guess names the parameters to find and where to start, {"mu": 0.0, "sigma": '
            f"1.0}}; met {init_guess!r}"
        )
    below = (1 - mass) / 2 if mass_below_lower is None else mass_below_lower
    if not lower < upper or not 0 < mass < 1 or not 0 <= below <= 1 - mass:
        raise ModelError(
            "find_constrained_prior needs lower < upper, and mass and mass_below_lower that leave no more than 1; "
            f"met lower={lower}, upper={upper}, mass={mass}, mass_below_lower={below}"
        )
    names, fixed = list(init_guess), dict(fixed_params or {})
    transforms = [_transform_of(distribution, name) for name in names]

    def params_at(x: Array) -> dict[str, Any]:
        return {name: t(x[i]) for i, (name, t) in enumerate(zip(names, transforms, strict=True))}

    def errors(x: Array) -> Array:
        d = distribution.row.build({**params_at(x), **fixed})
        # Of whole numbers the lower bound itself lies between the bounds.
        ends = jnp.stack([d.cdf(jnp.asarray(lower - 1 if d.is_discrete else lower)), d.cdf(jnp.asarray(upper))])
        wanted = jnp.asarray([below, below + mass])
        return ends - wanted if len(names) > 1 else (ends[1] - ends[0] - mass)[None]

    with validation_enabled():  # a wrong parameter is told here
        evaluate_alone(distribution.dist(**init_guess, **fixed))
    start = jnp.stack([t.inv(jnp.asarray(float(init_guess[n]))) for n, t in zip(names, transforms, strict=True)])
    location = np.array([t.codomain is constraints.real for t in transforms])
    around = np.where(location, (lower + upper) / 2, start), np.where(location, upper - lower, 1.5)
    found, error = _solve(errors, start, around)
    if not error < _CLOSE:
        raise ModelError(
            f"find_constrained_prior: no {distribution.__name__} with mass {mass} between {lower} and {upper} was "
            f"found from {dict(init_guess)}; the nearest one misses it by {error:.3g}: try another init_guess"
        )
    return {name: float(value) for name, value in params_at(found).items()}


def _transform_of(distribution: DistributionStatement, name: str) -> Any:
    row = distribution.row
    domain = getattr(row.make, "arg_constraints", {}).get(row.spelling().get(name, ""), constraints.positive)
    return biject_to(domain)


def _solve(errors: Any, start: Array, around: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, float]:
    """Go downhill on the squares; if that leads nowhere, from around elsewhere. Give the best end, and its error."""

    @jax.jit
    def step(x: Array, damping: Array) -> Array:
        slope, error = jax.jacfwd(errors)(x), errors(x)
        curvature = slope.T @ slope
        return x - jnp.linalg.solve(curvature + damping * jnp.diag(jnp.diag(curvature) + 1e-12), slope.T @ error)

    size = jax.jit(lambda x: jnp.sum(errors(x) ** 2))

    def descend(x: Array) -> tuple[Array, float]:
        damping, best = 1e-2, float(size(x))
        for _ in range(_STEPS):
            moved = step(x, damping)
            now = float(size(moved))
            x, best, damping = (moved, now, damping / 5) if now < best else (x, best, damping * 5)
            if best < 1e-20 or damping > 1e12:
                break
        return x, best if np.isfinite(best) else np.inf

    # Where both bounds are far out in a tail nothing tells the way: then others are tried, the same ones every time.
    rng, found = np.random.default_rng(0), descend(start)
    for _ in range(_STARTS):
        if found[1] < _CLOSE**2:
            break
        found = min(found, descend(around[0] + around[1] * rng.normal(size=len(start))), key=lambda end: end[1])
    return np.asarray(found[0]), float(np.sqrt(found[1]))
