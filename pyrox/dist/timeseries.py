"""Distributions of whole time series; time is the last axis (of vectors, the one before)."""
# ruff: noqa: FBT001 - validate_args may be given by position, as documented

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import constraints
from pyrox.dist.combinators import Derived
from pyrox.dist.constraints import Constraint
from pyrox.dist.distribution import Distribution, option, param, part
from pyrox.dist.real import Normal
from pyrox.errors import ShapeError
from pyrox.typing import Array, Key, Shape


def _require_steps(name: str, num_steps: int, least: int = 1) -> int:
    if not isinstance(num_steps, int | np.integer) or num_steps < least:
        raise ShapeError(f"{name}: num_steps must be an integer of at least {least}; met {num_steps!r}")
    return int(num_steps)


def _over_batch(d: Distribution, value: Array) -> Array:
    """Give a value all batch axes: once time stands first, they could not be told from it."""
    batch = jnp.broadcast_shapes(value.shape[: value.ndim - d.event_dim], d.batch_shape)
    return jnp.broadcast_to(value, (*batch, *d.event_shape))


class RandomWalk(Distribution):
    r"""Sum of independent steps.

    .. math:: x_1 \sim f_0, \quad x_t - x_{t-1} \sim f, \quad t = 2, \dots, T

    Parameters
    ----------
    innovation_dist
        Distribution f of a step, of numbers or vectors.
    init_dist
        Distribution :math:`f_0` of the first value.
    num_steps
        Length T of the series, the first value included.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> walk = dist.RandomWalk(dist.StudentT(3.0), dist.Normal(0.0, 1.0), 5)
    >>> walk.event_shape
    (5,)
    """

    innovation_dist: Distribution = part()
    init_dist: Distribution = part()
    num_steps: int = option()

    def __init__(
        self, innovation_dist: Distribution, init_dist: Distribution, num_steps: int, validate_args: bool | None = None
    ) -> None:
        if innovation_dist.event_shape != init_dist.event_shape:
            shapes = f"{innovation_dist.event_shape} and {init_dist.event_shape}"
            raise ShapeError(f"RandomWalk: steps and first value have different event shapes, {shapes}")
        fields = {"innovation_dist": innovation_dist, "init_dist": init_dist}
        self._set(fields | {"num_steps": _require_steps("RandomWalk", num_steps)}, validate_args)

    @property
    def support(self) -> Constraint:
        return constraints.independent(constraints.real, self.event_dim)

    @property
    def batch_shape(self) -> Shape:
        return jnp.broadcast_shapes(self.innovation_dist.batch_shape, self.init_dist.batch_shape)

    @property
    def event_shape(self) -> Shape:
        return (self.num_steps, *self.init_dist.event_shape)

    @property
    def _time(self) -> int:
        return -self.event_dim

    def _sample(self, key: Key, shape: Shape) -> Array:
        key_first, key_step = jax.random.split(key)
        batch, event = shape[: len(shape) - self.event_dim], self.init_dist.event_shape
        first = self.init_dist._sample(key_first, (*batch, *event))
        steps = self.innovation_dist._sample(key_step, (self.num_steps - 1, *batch, *event))
        path = jnp.concatenate([first[None], steps])
        return jnp.cumsum(jnp.moveaxis(path, 0, len(batch)), axis=len(batch))

    def _log_prob(self, value: Array) -> Array:
        path = jnp.moveaxis(_over_batch(self, value), self._time, 0)
        steps = jnp.sum(self.innovation_dist.log_prob(path[1:] - path[:-1]), axis=0)
        return self.init_dist.log_prob(path[0]) + steps

    def _along(self, first: Array, step: Array) -> Array:
        count = jnp.arange(self.num_steps).reshape((self.num_steps,) + (1,) * len(self.init_dist.event_shape))
        expand = lambda x: jnp.expand_dims(x, x.ndim - len(self.init_dist.event_shape))  # noqa: E731
        return expand(first) + count * expand(step)

    def _mean(self) -> Array:
        return self._along(self.init_dist.mean, self.innovation_dist.mean)

    def _variance(self) -> Array:
        return self._along(self.init_dist.variance, self.innovation_dist.variance)


class GaussianRandomWalk(Derived):
    r"""Sum of independent normal steps, the first one from zero.

    .. math:: x_t = x_{t-1} + \sigma z_t, \quad z_t \sim N(0, 1), \quad x_0 = 0

    Parameters
    ----------
    scale
        Standard deviation :math:`\sigma > 0` of a step.
    num_steps
        Length of the series.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.GaussianRandomWalk(0.5, 3).variance.tolist()
    [0.25, 0.5, 0.75]
    """

    scale: Array = param(constraints.positive, default=1.0, alias="sigma")
    num_steps: int = option(default=1)
    support = constraints.real_vector

    @property
    def meaning(self) -> Distribution:
        step = Normal(jnp.zeros_like(self.scale), self.scale)
        return RandomWalk(step, step, self.num_steps)


class AR(Distribution):
    r"""Autoregressive process of order p.

    .. math:: x_t = c + \sum_{i=1}^{p} \rho_i x_{t-i} + \sigma z_t, \quad z_t \sim N(0, 1)

    Parameters
    ----------
    rho
        Coefficients :math:`\rho_1, \dots, \rho_p` along the last axis; with ``constant``, c stands before them.
    scale
        Standard deviation :math:`\sigma > 0` of the noise.
    init_dist
        Distribution of each of the first p values; None takes a normal one with standard deviation 100.
    num_steps
        Length of the series, the first p values included.
    constant
        Whether ``rho`` begins with c.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.AR([0.5], 1.0, dist.Normal(0.0, 10.0), 6).event_shape
    (6,)
    """

    rho: Array = param(constraints.real_vector, alias="rho")
    scale: Array = param(constraints.positive, default=1.0, alias="sigma")
    init_dist: Distribution | None = part(default=None)
    num_steps: int = option(default=2)
    constant: bool = option(default=False)
    support = constraints.real_vector

    @property
    def _first(self) -> Distribution:
        return Normal(0.0, 100.0) if self.init_dist is None else self.init_dist

    def _coefficients(self) -> tuple[Array, Array]:
        if self.constant:
            return self.rho[..., 0], self.rho[..., 1:]
        return jnp.zeros(()), self.rho

    @property
    def order(self) -> int:
        """Number p of earlier values that a value depends on."""
        return jnp.shape(self.rho)[-1] - self.constant

    @property
    def batch_shape(self) -> Shape:
        own = jnp.broadcast_shapes(jnp.shape(self.rho)[:-1], jnp.shape(self.scale))
        return jnp.broadcast_shapes(own, self._first.batch_shape)

    @property
    def event_shape(self) -> Shape:
        return (_require_steps("AR", self.num_steps, self.order + 1),)

    def _sample(self, key: Key, shape: Shape) -> Array:
        key_first, key_noise = jax.random.split(key)
        constant, rho = self._coefficients()
        batch, order = shape[:-1], self.order
        first = self._first._sample(key_first, (order, *batch))
        noise = self.scale * jax.random.normal(key_noise, (self.num_steps - order, *batch))

        def step(recent: Array, shock: Array) -> tuple[Array, Array]:  # recent: newest last
            new = constant + sum(rho[..., i] * recent[order - 1 - i] for i in range(order)) + shock
            return jnp.concatenate([recent[1:], new[None]]), new

        later = jax.lax.scan(step, first, noise)[1]
        return jnp.moveaxis(jnp.concatenate([first, later]), 0, -1)

    def _log_prob(self, value: Array) -> Array:
        constant, rho = self._coefficients()
        order, steps = self.order, value.shape[-1]
        value = _over_batch(self, value)
        lagged = [rho[..., i, None] * value[..., order - 1 - i : steps - 1 - i] for i in range(order)]
        z = (value[..., order:] - constant[..., None] - sum(lagged)) / self.scale[..., None]
        later = jnp.sum(Normal()._log_prob(z), axis=-1) - (steps - order) * jnp.log(self.scale)
        first = self._first.log_prob(jnp.moveaxis(value[..., :order], -1, 0))
        return later + jnp.sum(first, axis=0)


class GARCH11(Distribution):
    r"""GARCH(1, 1) process: noise whose variance follows the noise before.

    .. math:: x_t = \sigma_t z_t, \quad \sigma_t^2 = \omega + \alpha x_{t-1}^2 + \beta \sigma_{t-1}^2

    Parameters
    ----------
    omega
        Constant part :math:`\omega > 0` of the variance.
    alpha
        Weight :math:`\alpha` of the last square, in [0, 1].
    beta
        Weight :math:`\beta` of the last variance, in [0, 1].
    initial_scale
        First standard deviation :math:`\sigma_1 > 0`.
    num_steps
        Length of the series.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.GARCH11(0.1, 0.2, 0.5, 1.0, 4).event_shape
    (4,)
    """

    omega: Array = param(constraints.positive, alias="omega")
    alpha: Array = param(constraints.unit_interval, alias="alpha_1")
    beta: Array = param(constraints.unit_interval, alias="beta_1")
    initial_scale: Array = param(constraints.positive, alias="initial_vol")
    num_steps: int = option()
    support = constraints.real_vector

    @property
    def event_shape(self) -> Shape:
        return (_require_steps("GARCH11", self.num_steps),)

    def _next(self, variance: Array, x: Array) -> Array:
        return self.omega + self.alpha * x * x + self.beta * variance

    def _sample(self, key: Key, shape: Shape) -> Array:
        def step(variance: Array, z: Array) -> tuple[Array, Array]:
            x = jnp.sqrt(variance) * z
            return self._next(variance, x), x

        first = jnp.broadcast_to(self.initial_scale**2, shape[:-1])
        noise = jax.random.normal(key, (self.num_steps, *shape[:-1]))
        return jnp.moveaxis(jax.lax.scan(step, first, noise)[1], 0, -1)

    def _log_prob(self, value: Array) -> Array:
        first = jnp.broadcast_to(self.initial_scale**2, jnp.broadcast_shapes(value.shape[:-1], self.batch_shape))
        path = jnp.moveaxis(jnp.broadcast_to(value, (*first.shape, value.shape[-1])), -1, 0)
        later = jax.lax.scan(lambda v, x: (self._next(v, x),) * 2, first, path[:-1])[1]
        variance = jnp.concatenate([first[None], later])
        return jnp.sum(Normal()._log_prob(path / jnp.sqrt(variance)) - 0.5 * jnp.log(variance), axis=0)

    def _mean(self) -> Array:
        return jnp.zeros(())

    def _variance(self) -> Array:
        first, decay = self.initial_scale**2, self.alpha + self.beta
        grow = lambda v, _: (self.omega + decay * v, v)  # noqa: E731
        start = jnp.broadcast_to(first, self.batch_shape).astype(float)
        return jnp.moveaxis(jax.lax.scan(grow, start, None, length=self.num_steps)[1], 0, -1)


class EulerMaruyama(Distribution):
    r"""Stochastic differential equation, discretised.

    .. math:: x_{k+1} = x_k + f(x_k, t_k) \Delta_k + g(x_k, t_k) \sqrt{\Delta_k} z_k

    Parameters
    ----------
    times
        Increasing times :math:`t_0, \dots, t_T` of the values.
    sde_fn
        Function of ``(x, t)`` that returns drift f and diffusion g; f, g broadcast with x.
    init_dist
        Distribution of the first value, of numbers or vectors.
    sde_pars
        Further arguments of ``sde_fn``, numbers: ``sde_fn(x, t, *sde_pars)``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> pull = lambda x, t: (-x, 1.0)
    >>> dist.EulerMaruyama(jnp.linspace(0.0, 1.0, 5), pull, dist.Normal(0.0, 1.0)).event_shape
    (5,)
    """

    times: Array = param(constraints.ordered_vector, alias="t")
    sde_fn: Callable = option()
    init_dist: Distribution = part()
    sde_pars: tuple[Array, ...] = part(default=())

    @property
    def support(self) -> Constraint:
        return constraints.independent(constraints.real, self.event_dim)

    @property
    def batch_shape(self) -> Shape:
        return jnp.broadcast_shapes(jnp.shape(self.times)[:-1], self.init_dist.batch_shape)

    @property
    def event_shape(self) -> Shape:
        return (jnp.shape(self.times)[-1], *self.init_dist.event_shape)

    def _steps(self) -> tuple[Array, Array]:
        """Give times and their differences, with room for the axes of a value."""
        times = self.times.reshape(jnp.shape(self.times) + (1,) * len(self.init_dist.event_shape))
        return self._before(times), jnp.diff(times, axis=-self.event_dim)

    def _before(self, path: Array) -> Array:
        """Leave out the last time."""
        axis = path.ndim - self.event_dim
        return jax.lax.slice_in_dim(path, 0, path.shape[axis] - 1, axis=axis)

    def _sample(self, key: Key, shape: Shape) -> Array:
        key_first, key_noise = jax.random.split(key)
        ndim = self.event_dim
        batch, event = shape[: len(shape) - ndim], self.init_dist.event_shape
        first = self.init_dist._sample(key_first, (*batch, *event))
        times, lengths = (jnp.moveaxis(x, -ndim, 0) for x in self._steps())
        noise = jax.random.normal(key_noise, (len(times), *batch, *event))

        def step(x: Array, at: tuple) -> tuple[Array, Array]:
            t, length, z = at
            drift, diffusion = self.sde_fn(x, t, *self.sde_pars)
            new = x + drift * length + diffusion * jnp.sqrt(length) * z
            return new, new

        later = jax.lax.scan(step, first, (times, lengths, noise))[1]
        return jnp.moveaxis(jnp.concatenate([first[None], later]), 0, len(batch))

    def _log_prob(self, value: Array) -> Array:
        times, lengths = self._steps()
        before, after = self._before(value), jnp.flip(self._before(jnp.flip(value, -self.event_dim)), -self.event_dim)
        drift, diffusion = self.sde_fn(before, times, *self.sde_pars)
        step = Normal(before + drift * lengths, diffusion * jnp.sqrt(lengths))
        first = self.init_dist.log_prob(jnp.moveaxis(value, -self.event_dim, 0)[0])
        return first + jnp.sum(step._log_prob(after), axis=tuple(range(-self.event_dim, 0)))
