"""Distributions by PyMC's parameters, where those are not the ones of a class of ``pyrox.dist``."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from pyrox import dist
from pyrox.dist import Distribution
from pyrox.errors import ModelError, ShapeError
from pyrox.typing import Array, ArrayLike, Shape


def like(kind: type) -> Callable:
    """Lend a maker the aliases and domains of a class."""

    def lend(make: Callable) -> Callable:
        make.params, make.arg_constraints = kind.params, kind.arg_constraints
        return make

    return lend


@like(dist.InverseGaussian)
def wald(loc: Any = 1.0, concentration: Any = 1.0, alpha: Any = None) -> Distribution:
    """Inverse Gaussian distribution, moved by alpha. See ``pyrox.dist.InverseGaussian``."""
    still = dist.InverseGaussian(loc, concentration)
    if alpha is None:
        return still
    return dist.TransformedDistribution(
        still, dist.transforms.AffineTransform(jnp.asarray(alpha, float), 1.0, dist.constraints.positive)
    )


@like(dist.MultivariateStudentT)
def mv_student_t(df: Any, loc: Any = 0.0, *, scale_tril: Any) -> Distribution:
    """Multivariate Student t distribution. See ``pyrox.dist.MultivariateStudentT``."""
    return dist.MultivariateStudentT(df, _as_vector(loc, jnp.shape(scale_tril)[-1]), scale_tril)


def _as_vector(loc: Any, length: int) -> Array:
    loc = jnp.asarray(loc, float)
    return jnp.broadcast_to(loc, (length,)) if loc.ndim == 0 else loc


def ordered_multinomial(eta: Any, cutpoints: Any, n: Any) -> Distribution:
    """Counts of ordered labels. See ``pyrox.dist.OrderedLogistic``."""
    return dist.Multinomial(n, probs=dist.OrderedLogistic(eta, cutpoints).probs)


def zero_sum_normal(
    scale: Any = 1.0, n_zerosum_axes: int | None = None, support_shape: Shape | int | None = None
) -> Distribution:
    """Normal distribution of numbers that sum to zero. See ``pyrox.dist.ZeroSumNormal``."""
    if support_shape is None:
        raise ShapeError("ZeroSumNormal needs shape=, dims= or support_shape=")
    event = (support_shape,) if isinstance(support_shape, int) else tuple(support_shape)
    if n_zerosum_axes not in (None, len(event)):
        raise ShapeError(f"ZeroSumNormal: support_shape={event} has {len(event)} axes, n_zerosum_axes={n_zerosum_axes}")
    scale = jnp.asarray(scale)
    # PyMC writes a scale for every copy with axes of length one where the zero sums are.
    if scale.ndim >= len(event) and all(n == 1 for n in scale.shape[scale.ndim - len(event) :]):
        scale = scale.reshape(scale.shape[: scale.ndim - len(event)])
    return dist.ZeroSumNormal(scale, event)


def zero_sum_size(given: dict, shape: Shape) -> dict:
    """Take the last axes of the variable."""
    return {"support_shape": shape[-(given.get("n_zerosum_axes") or 1) :]}


def series_size(_given: dict, shape: Shape) -> dict:
    """Take the last axis as time."""
    return {"num_steps": shape[-1]}


def vector_series_size(_given: dict, shape: Shape) -> dict:
    """Take the axis before the last as time."""
    return {"num_steps": shape[-2]}


def _wide_start() -> Distribution:
    return dist.Normal(0.0, 100.0)


@like(dist.AR)
def autoregression(
    rho: Any,
    scale: Any = 1.0,
    init_dist: Distribution | None = None,
    num_steps: int | None = None,
    constant: bool = False,  # noqa: FBT001, FBT002 - PyMC's keyword
    steps: int | None = None,
    ar_order: int | None = None,
) -> Distribution:
    """Autoregressive process. See ``pyrox.dist.AR``."""
    rho = jnp.atleast_1d(rho)
    order = jnp.shape(rho)[-1] - bool(constant)
    if ar_order not in (None, order):
        raise ShapeError(f"AR: rho has {order} coefficients, but ar_order={ar_order}")
    if num_steps is None and steps is None:
        raise ShapeError("AR needs steps=, shape=, dims= or observed=")
    length = num_steps if num_steps is not None else steps + order
    return dist.AR(rho, scale, _first_of_all(init_dist, order), length, bool(constant))


def _first_of_all(init_dist: Distribution | None, order: int) -> Distribution:
    """Give the distribution of one first value, where PyMC's has an axis of them all."""
    if init_dist is None:
        return _wide_start()
    if (
        isinstance(init_dist, dist.Expanded)
        and init_dist.batch_shape == (order,)
        and not init_dist.base_dist.batch_shape
    ):
        return init_dist.base_dist
    if init_dist.batch_shape[-1:] == (order,) and order > 1:
        raise ShapeError("AR: init_dist must be one distribution, the same for all first values")
    return init_dist


def gaussian_random_walk(
    loc: Any = 0.0, scale: Any = 1.0, init_dist: Distribution | None = None, *, num_steps: int
) -> Distribution:
    """Sum of normal steps from a first value. See ``pyrox.dist.RandomWalk``."""
    return dist.RandomWalk(dist.Normal(loc, scale), init_dist or _wide_start(), num_steps)


def _wide_vector(length: int) -> Distribution:
    return dist.MultivariateNormal(jnp.zeros(length), 100.0 * jnp.eye(length))


@like(dist.MultivariateNormal)
def mv_gaussian_random_walk(
    loc: Any = 0.0, *, scale_tril: Any, init_dist: Distribution | None = None, num_steps: int
) -> Distribution:
    """Sum of multivariate normal steps from a first vector. See ``pyrox.dist.RandomWalk``."""
    length = jnp.shape(scale_tril)[-1]
    step = dist.MultivariateNormal(_as_vector(loc, length), scale_tril=scale_tril)
    return dist.RandomWalk(step, init_dist or _wide_vector(length), num_steps)


@like(dist.MultivariateStudentT)
def mv_student_t_random_walk(
    df: Any, loc: Any = 0.0, *, scale_tril: Any, init_dist: Distribution | None = None, num_steps: int
) -> Distribution:
    """Sum of multivariate Student t steps from a first vector. See ``pyrox.dist.RandomWalk``."""
    length = jnp.shape(scale_tril)[-1]
    return dist.RandomWalk(mv_student_t(df, loc, scale_tril=scale_tril), init_dist or _wide_vector(length), num_steps)


class _Timeless(NamedTuple):
    """A drift and diffusion that do not depend on time, as PyMC writes them."""

    fn: Callable

    def __call__(self, x: Array, t: Array, *pars: Array) -> Any:
        # Along a whole path at once, parameters of many copies need the axis of time.
        return self.fn(x, *(p[..., None] if jnp.ndim(t) and jnp.ndim(p) else p for p in pars))


def euler_maruyama(
    dt: Any = None,
    sde_fn: Callable | None = None,
    sde_pars: Sequence = (),
    init_dist: Distribution | None = None,
    num_steps: int | None = None,
    times: Any = None,
) -> Distribution:
    """Stochastic differential equation: ``sde_fn(x, *sde_pars)`` with dt, ``sde_fn(x, t, *sde_pars)`` with times.

    See ``pyrox.dist.EulerMaruyama``.
    """
    if sde_fn is None:
        raise ModelError("EulerMaruyama needs sde_fn=")
    if times is None:
        if dt is None or num_steps is None:
            raise ShapeError("EulerMaruyama needs dt, and steps=, shape=, dims= or observed=; or times=")
        times, sde_fn = jnp.asarray(dt) * jnp.arange(num_steps), _Timeless(sde_fn)
    pars = tuple(jnp.asarray(p) for p in sde_pars)
    return dist.EulerMaruyama(times, sde_fn, init_dist or _wide_start(), pars)


def mixture(mixing: Any, components: Any) -> Distribution:
    """Mixture of distributions: a list of them, or one with an axis of them. See ``pyrox.dist.Mixture``."""
    if isinstance(components, list | tuple) and len(components) == 1:
        components = components[0]
    return dist.Mixture(mixing, components)


def custom_size(given: dict, shape: Shape) -> dict:
    """Take the last axes as one event."""
    ndim = given.get("ndim_supp")
    return {"event_shape": shape[-ndim:]} if ndim else {}


def custom(
    params: Sequence[ArrayLike] = (),
    log_prob: Callable | None = None,
    random: Callable | None = None,
    support: Any = None,
    event_shape: Shape = (),
    batch_shape: Shape | None = None,
    ndim_supp: int | None = None,
    dist_made: Distribution | None = None,
) -> Distribution:
    """Make a distribution of the user's own functions. See ``pyrox.dist.CustomDist``."""
    if dist_made is not None:
        return dist_made
    if log_prob is None:
        raise ModelError("CustomDist needs logp= (a function of the value and the parameters) or dist=")
    if ndim_supp and not event_shape:
        raise ShapeError(f"CustomDist: ndim_supp={ndim_supp} needs event_shape= or shape=")
    return dist.CustomDist(tuple(params), log_prob, random, support, event_shape, batch_shape)
