"""Distributions cut off at bounds: renormalised between them, or piled up at them."""
# ruff: noqa: FBT001 - validate_args may be given by position, as documented

import jax
import jax.numpy as jnp

from pyrox.dist import constraints
from pyrox.dist.combinators import Derived
from pyrox.dist.constraints import Constraint
from pyrox.dist.distribution import Distribution, param, part, quantile
from pyrox.dist.real import Cauchy, Normal, Symmetric
from pyrox.dist.special import HALF_LOG_2PI, log_subtract
from pyrox.errors import ShapeError
from pyrox.typing import Array, ArrayLike, Key, Shape

Bound = ArrayLike | None


def log_between(d: Distribution, low: Bound, high: Bound) -> Array:
    """Give the log-probability of what lies between two bounds, None being no bound."""
    if low is None:
        return jnp.zeros(()) if high is None else d.log_cdf(high)
    if high is None:
        return d.log_sf(low)
    if isinstance(d, Symmetric):  # look at the pair from the side of its lower tail
        low, high = _towards_lower_tail(d, low, high)[1:]
        return log_subtract(d.log_cdf(high), d.log_cdf(low))
    above, below = d.log_sf(low), d.log_cdf(high)
    return jnp.where(above < below, log_subtract(above, d.log_sf(high)), log_subtract(below, d.log_cdf(low)))


def _towards_lower_tail(d: Symmetric, low: Array, high: Array) -> tuple[Array, Array, Array]:
    turned = low + high > 2 * d.loc
    return turned, jnp.where(turned, 2 * d.loc - high, low), jnp.where(turned, 2 * d.loc - low, high)


def _bounded(base: Constraint, low: Bound, high: Bound) -> Constraint:
    """Give the part of a set of numbers that lies between two bounds."""
    if base.is_discrete:
        first = getattr(base, "lower_bound", None)
        last = getattr(base, "upper_bound", None)
        low = first if low is None else jnp.ceil(low) if first is None else jnp.maximum(jnp.ceil(low), first)
        high = last if high is None else jnp.floor(high) if last is None else jnp.minimum(jnp.floor(high), last)
        return constraints.integer_greater_than(low) if high is None else constraints.integer_interval(low, high)
    first, last = getattr(base, "lower_bound", None), getattr(base, "upper_bound", None)
    low = first if low is None else low if first is None else jnp.maximum(low, first)
    high = last if high is None else high if last is None else jnp.minimum(high, last)
    if low is None:
        return base if high is None else constraints.less_than_eq(high)
    return constraints.greater_than_eq(low) if high is None else constraints.interval(low, high)


def _bounds_of(name: str, base: Distribution, low: Bound, high: Bound) -> dict:
    if base.event_shape:
        raise ShapeError(f"{name} takes a distribution of numbers; {type(base).__name__} draws {base.event_shape}")
    given = {"base_dist": base}
    finite = {"low": low, "high": high}
    return given | {n: None if v is None or _is_infinite(v) else v for n, v in finite.items()}


def _is_infinite(bound: ArrayLike) -> bool:
    return isinstance(bound, int | float) and bound in (-jnp.inf, jnp.inf)


class Truncated(Distribution):
    r"""A distribution of numbers given that they lie between two bounds.

    .. math:: p(x) = \frac{f(x)}{P(a \le X \le b)}, \quad a \le x \le b

    Parameters
    ----------
    base_dist
        A distribution with a cdf; to draw from it, with a quantile function.
    low
        Lower bound, which belongs to the support; None for none.
    high
        Upper bound, which belongs to the support; None for none.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.Truncated(dist.Normal(0.0, 1.0), low=0.0).log_prob(1.0)), 4)
    -0.7258
    """

    base_dist: Distribution = part()
    low: Array | None = param(constraints.dependent, default=None, alias="lower")
    high: Array | None = param(constraints.dependent, default=None, alias="upper")

    def __init__(
        self, base_dist: Distribution, low: Bound = None, high: Bound = None, validate_args: bool | None = None
    ) -> None:
        self._set(_bounds_of("Truncated", base_dist, low, high), validate_args)

    @property
    def support(self) -> Constraint:
        return _bounded(self.base_dist.support, self.low, self.high)

    @property
    def batch_shape(self) -> Shape:
        ends = [jnp.shape(v) for v in (self.low, self.high) if v is not None]
        return jnp.broadcast_shapes(self.base_dist.batch_shape, *ends)

    @property
    def reparametrized_params(self) -> list[str]:
        return [] if self.is_discrete else ["low", "high"]

    @property
    def _ends(self) -> tuple[Array | None, Array | None]:
        """Bounds as the cdf counts them: a whole number that is the lower bound belongs to the support."""
        if self.low is None or not self.base_dist.is_discrete:
            return self.low, self.high
        return jnp.ceil(self.low) - 1, self.high

    def _validate_parameters(self) -> None:
        Distribution._validate_parameters(self)
        self._require_ordered("low", "high")

    def _sample(self, key: Key, shape: Shape) -> Array:
        return self._icdf(jax.random.uniform(key, shape))

    def _log_prob(self, value: Array) -> Array:
        return self.base_dist._log_prob(value) - log_between(self.base_dist, *self._ends)

    def _cdf(self, value: Array) -> Array:
        return jnp.exp(self._log_cdf(value))

    def _log_cdf(self, value: Array) -> Array:
        low, high = self._ends
        return log_between(self.base_dist, low, value) - log_between(self.base_dist, low, high)

    def _log_sf(self, value: Array) -> Array:
        low, high = self._ends
        return log_between(self.base_dist, value, high) - log_between(self.base_dist, low, high)

    def _icdf(self, q: Array) -> Array:
        base = self.base_dist
        if type(base)._icdf is Distribution._icdf or base.is_discrete:
            x = quantile(self, q, base.support)
        else:
            # Far out in a tail the base's cdf has no digits left to tell the bounds apart.
            x = jax.lax.cond(
                jnp.all(self._closed_mass > jnp.finfo(float).eps ** 0.5),
                lambda: jnp.asarray(self._closed_icdf(q), float),
                lambda: jnp.asarray(quantile(self, q, base.support), float),
            )
        # Rounding must not carry a draw across a bound.
        x = x if self.low is None else jnp.maximum(x, self.low)
        x = x if self.high is None else jnp.minimum(x, self.high)
        return x.astype(int) if self.is_discrete else x

    @property
    def _closed_ends(self) -> tuple[Array, Array, Array]:
        """Give the base's cdf at both bounds, seen from the lower tail, and whether that is the other side."""
        low = jnp.asarray(-jnp.inf if self.low is None else self.low)
        high = jnp.asarray(jnp.inf if self.high is None else self.high)
        turned = jnp.zeros((), bool)
        if isinstance(self.base_dist, Symmetric):
            turned, low, high = _towards_lower_tail(self.base_dist, low, high)
        return self.base_dist.cdf(low), self.base_dist.cdf(high), turned

    @property
    def _closed_mass(self) -> Array:
        low, high, _ = self._closed_ends
        return high - low

    def _closed_icdf(self, q: Array) -> Array:
        low, high, turned = self._closed_ends
        x = self.base_dist._icdf(low + jnp.where(turned, 1 - q, q) * (high - low))
        return jnp.where(turned, 2 * self.base_dist.loc - x, x) if isinstance(self.base_dist, Symmetric) else x


class Censored(Distribution):
    r"""A distribution of numbers of which those beyond a bound are recorded as the bound.

    .. math:: p(a) = P(X \le a), \quad p(b) = P(X \ge b), \quad p(x) = f(x) \text{ between}

    Parameters
    ----------
    base_dist
        A distribution with a cdf.
    low
        Lower bound; None for none.
    high
        Upper bound; None for none.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.Censored(dist.Normal(0.0, 1.0), high=0.0).log_prob(0.0)), 4)
    -0.6931
    """

    base_dist: Distribution = part()
    low: Array | None = param(constraints.dependent, default=None, alias="lower")
    high: Array | None = param(constraints.dependent, default=None, alias="upper")

    def __init__(
        self, base_dist: Distribution, low: Bound = None, high: Bound = None, validate_args: bool | None = None
    ) -> None:
        self._set(_bounds_of("Censored", base_dist, low, high), validate_args)

    @property
    def support(self) -> Constraint:
        return _bounded(self.base_dist.support, self.low, self.high)

    has_atoms = True
    batch_shape = Truncated.batch_shape
    reparametrized_params = Truncated.reparametrized_params
    _validate_parameters = Truncated._validate_parameters

    def _sample(self, key: Key, shape: Shape) -> Array:
        x = self.base_dist._sample(key, shape)
        x = x if self.low is None else jnp.maximum(x, self.low)
        x = x if self.high is None else jnp.minimum(x, self.high)
        return x.astype(int) if self.is_discrete else x

    def _log_prob(self, value: Array) -> Array:
        base = self.base_dist
        log_prob = base.log_prob(value)
        if self.low is not None:
            log_prob = jnp.where(value <= self.low, base.log_cdf(self.low), log_prob)
        if self.high is not None:
            beyond = jnp.ceil(self.high) - 1 if base.is_discrete else self.high
            log_prob = jnp.where(value >= self.high, base.log_sf(beyond), log_prob)
        return log_prob

    def _cdf(self, value: Array) -> Array:
        below = self.base_dist.cdf(value)
        return below if self.high is None else jnp.where(value >= self.high, 1.0, below)

    def _log_sf(self, value: Array) -> Array:
        above = self.base_dist.log_sf(value)
        return above if self.high is None else jnp.where(value >= self.high, -jnp.inf, above)


class TruncatedNormal(Derived):
    r"""Normal distribution between bounds, exact however far in the tail they lie.

    .. math:: p(x) = \frac{\phi(z)}{\sigma (\Phi(z_b) - \Phi(z_a))}, \quad z = (x - \mu) / \sigma

    Parameters
    ----------
    low
        Lower bound a; None for none.
    loc
        Mean :math:`\mu` before truncation.
    scale
        Standard deviation :math:`\sigma > 0` before truncation.
    high
        Upper bound b; None for none.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.TruncatedNormal(0.0, 0.0, 1.0).mean), 4)
    0.7979
    """

    low: Array | None = param(constraints.dependent, default=0.0, alias="lower")
    loc: Array = param(constraints.real, default=0.0, alias="mu")
    scale: Array = param(constraints.positive, default=1.0, alias="sigma")
    high: Array | None = param(constraints.dependent, default=None, alias="upper")

    _validate_parameters = Truncated._validate_parameters

    @property
    def meaning(self) -> Distribution:
        return Truncated(Normal(self.loc, self.scale), self.low, self.high)

    def _end(self, bound: Bound) -> tuple[Array, Array]:
        """Give a bound in standard units, and the density there relative to the mass between."""
        if bound is None:
            return jnp.zeros(()), jnp.zeros(())
        z = (bound - self.loc) / self.scale
        density = jnp.exp(Normal()._log_prob(z) - self._log_mass)
        return jnp.where(jnp.isfinite(z), z, 0.0), density  # an infinite bound is none: zero times its density

    @property
    def _log_mass(self) -> Array:
        return log_between(Normal(self.loc, self.scale), self.low, self.high)

    def _mean(self) -> Array:
        return self.loc + self.scale * (self._end(self.low)[1] - self._end(self.high)[1])

    def _variance(self) -> Array:
        (a, at_low), (b, at_high) = self._end(self.low), self._end(self.high)
        return self.scale**2 * (1 + a * at_low - b * at_high - (at_low - at_high) ** 2)

    def _entropy(self) -> Array:
        (a, at_low), (b, at_high) = self._end(self.low), self._end(self.high)
        return self._log_mass + HALF_LOG_2PI + jnp.log(self.scale) + 0.5 * (1 + a * at_low - b * at_high)


class TruncatedCauchy(Derived):
    r"""Cauchy distribution between bounds.

    .. math:: p(x) = \frac{1}{\beta (1 + z^2) (\arctan z_b - \arctan z_a)}, \quad z = (x - \alpha) / \beta

    Parameters
    ----------
    low
        Lower bound a; None for none.
    loc
        Median :math:`\alpha` before truncation.
    scale
        Scale :math:`\beta > 0`.
    high
        Upper bound b; None for none.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> round(float(dist.TruncatedCauchy(0.0, 0.0, 1.0).log_prob(0.0)), 4)
    -0.4516
    """

    low: Array | None = param(constraints.dependent, default=0.0, alias="lower")
    loc: Array = param(constraints.real, default=0.0, alias="alpha")
    scale: Array = param(constraints.positive, default=1.0, alias="beta")
    high: Array | None = param(constraints.dependent, default=None, alias="upper")

    _validate_parameters = Truncated._validate_parameters

    @property
    def meaning(self) -> Distribution:
        return Truncated(Cauchy(self.loc, self.scale), self.low, self.high)

    def _mean(self) -> Array:
        if self.low is None or self.high is None:
            return jnp.full(self.batch_shape, jnp.nan if self.low is None and self.high is None else jnp.inf)
        a, b = ((end - self.loc) / self.scale for end in (self.low, self.high))
        return self.loc + self.scale * 0.5 * jnp.log((1 + b * b) / (1 + a * a)) / (jnp.arctan(b) - jnp.arctan(a))

    def _variance(self) -> Array:
        if self.low is None or self.high is None:
            return jnp.full(self.batch_shape, jnp.nan if self.low is None and self.high is None else jnp.inf)
        a, b = ((end - self.loc) / self.scale for end in (self.low, self.high))
        second = (b - a) / (jnp.arctan(b) - jnp.arctan(a)) - 1
        return self.scale**2 * (second - ((self._mean() - self.loc) / self.scale) ** 2)
