"""The base of all transforms, how they compose, and those that act on each element."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox._pytree import Pytree, static
from pyrox.dist import constraints
from pyrox.dist.constraints import Constraint
from pyrox.typing import Array, ArrayLike, Shape


def sum_rightmost(x: Array, ndims: int) -> Array:
    """Sum over the last ``ndims`` axes.

    Parameters
    ----------
    x
        Array.
    ndims
        How many of its axes; with 0 it is given back.

    Returns
    -------
    An array with so many axes fewer.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist.transforms import sum_rightmost
    >>> sum_rightmost(jnp.ones((2, 3)), 1).tolist()
    [3.0, 3.0]
    """
    return jnp.sum(x, axis=tuple(range(x.ndim - ndims, x.ndim))) if ndims else x


class Transform(Pytree):
    r"""A differentiable bijection.

    A new transform defines ``domain``, ``codomain`` and

    - ``forward_and_log_det(x)``: the image, and :math:`\log |\det \partial y / \partial x|` summed over the event;
    - ``inverse(y)``;
    - ``forward_shape`` and ``inverse_shape`` where it changes shapes.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist.transforms import Transform
    >>> class Sinh(Transform):
    ...     def forward_and_log_det(self, x):
    ...         return jnp.sinh(x), jnp.log(jnp.cosh(x))
    ...     def inverse(self, y):
    ...         return jnp.arcsinh(y)
    >>> bool(jnp.isclose(Sinh().inv(Sinh()(1.5)), 1.5))
    True
    """

    domain = constraints.real
    codomain = constraints.real

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Map ``x`` and give the log-determinant of the Jacobian there."""
        raise NotImplementedError(f"{type(self).__name__} must define forward_and_log_det")

    def inverse(self, y: Array) -> Array:
        """Map back."""
        raise NotImplementedError(f"{type(self).__name__} has no inverse")

    def forward_shape(self, shape: Shape) -> Shape:
        """Give the shape of the image of an array of this shape."""
        return shape

    def inverse_shape(self, shape: Shape) -> Shape:
        """Give the shape of what is mapped to an array of this shape."""
        return shape

    @property
    def event_dim(self) -> int:
        """Number of axes that the transform treats as one event."""
        return max(self.domain.event_dim, self.codomain.event_dim)

    def __call__(self, x: ArrayLike) -> Array:
        return self.forward_and_log_det(jnp.asarray(x))[0]  # what is not used, XLA removes

    def inv(self, y: ArrayLike) -> Array:
        """Map ``y`` back."""
        return self.inverse(jnp.asarray(y))

    def call_with_intermediates(self, x: ArrayLike) -> tuple[Array, Any]:
        """Map ``x``; also give what ``log_abs_det_jacobian`` would otherwise compute again."""
        return self.forward_and_log_det(jnp.asarray(x))

    def log_abs_det_jacobian(self, x: ArrayLike, y: ArrayLike, intermediates: Any = None) -> Array:
        r"""Give :math:`\log |\det \partial y / \partial x|` for each event."""
        if intermediates is not None:
            return intermediates
        return self.forward_and_log_det(jnp.asarray(x))[1]


class IdentityTransform(Transform):
    r"""Leave values as they are, :math:`y = x`.

    Parameters
    ----------
    event_dim
        Number of axes of an event.

    Examples
    --------
    >>> from pyrox.dist.transforms import IdentityTransform
    >>> IdentityTransform()(2.0).item()
    2.0
    """

    _event_dim: int = static(default=0)

    def __init__(self, event_dim: int = 0) -> None:
        object.__setattr__(self, "_event_dim", event_dim)

    @property
    def domain(self) -> Constraint:
        return constraints.independent(constraints.real, self._event_dim) if self._event_dim else constraints.real

    codomain = domain

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        return x, jnp.zeros(x.shape[: x.ndim - self._event_dim], x.dtype)

    def inverse(self, y: Array) -> Array:
        return y


class ExpTransform(Transform):
    r"""Map real numbers to positive ones, :math:`y = e^x`.

    Parameters
    ----------
    domain
        A real, ``greater_than`` or ``interval`` constraint.

    Examples
    --------
    >>> from pyrox.dist.transforms import ExpTransform
    >>> ExpTransform()(0.0).item(), ExpTransform().inv(1.0).item()
    (1.0, 0.0)
    """

    domain: Constraint = constraints.real

    @property
    def codomain(self) -> Constraint:
        match self.domain:
            case constraints._Real():
                return constraints.positive
            case constraints._GreaterThan(lower_bound=low):
                return constraints.greater_than(jnp.exp(low))
            case constraints._Interval(lower_bound=low, upper_bound=high):
                return constraints.interval(jnp.exp(low), jnp.exp(high))
        raise ValueError(f"ExpTransform takes a real, greater_than or interval domain, not {self.domain}")

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        return jnp.exp(x), x

    def inverse(self, y: Array) -> Array:
        return jnp.log(y)


class AffineTransform(Transform):
    r"""Move and stretch elementwise, :math:`y = \mathrm{loc} + \mathrm{scale} \cdot x`.

    Parameters
    ----------
    loc
        Image of zero, any shape that broadcasts with the values.
    scale
        Factor, not zero, any shape that broadcasts with the values.
    domain
        A real, half-line or interval constraint.

    Examples
    --------
    >>> from pyrox.dist.transforms import AffineTransform
    >>> AffineTransform(1.0, 2.0)(3.0).item()
    7.0
    """

    loc: ArrayLike
    scale: ArrayLike
    domain: Constraint = constraints.real

    @property
    def codomain(self) -> Constraint:
        if isinstance(self.domain, constraints._Real | constraints._RealVector):
            return self.domain
        image = lambda bound: self.loc + self.scale * jnp.asarray(bound)  # noqa: E731
        if isinstance(self.domain, constraints._GreaterThan | constraints._LessThan):
            up = isinstance(self.domain, constraints._GreaterThan)
            end = image(self.domain.lower_bound if up else self.domain.upper_bound)
            return (constraints.greater_than if up != self._turns_round() else constraints.less_than)(end)
        if isinstance(self.domain, constraints._Interval):
            ends = image(self.domain.lower_bound), image(self.domain.upper_bound)
            return constraints.interval(jnp.minimum(*ends), jnp.maximum(*ends))
        raise ValueError(f"AffineTransform takes a real, half-line or interval domain, not {self.domain!r}")

    def _turns_round(self) -> bool:
        # A traced scale cannot say its sign: take it for a scale in the usual sense.
        if isinstance(self.scale, jax.core.Tracer):
            return False
        return bool(np.all(np.asarray(self.scale) < 0))

    @property
    def event_dim(self) -> int:
        return self.domain.event_dim

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        y = self.loc + self.scale * x
        log_scale = jnp.broadcast_to(jnp.log(jnp.abs(jnp.asarray(self.scale))), jnp.shape(y))
        return y, sum_rightmost(log_scale, self.event_dim)

    def inverse(self, y: Array) -> Array:
        return (y - self.loc) / self.scale

    def forward_shape(self, shape: Shape) -> Shape:
        return jnp.broadcast_shapes(shape, jnp.shape(self.loc), jnp.shape(self.scale))

    inverse_shape = forward_shape


class SigmoidTransform(Transform):
    r"""Map real numbers into the unit interval, :math:`y = 1 / (1 + e^{-x})`.

    Examples
    --------
    >>> from pyrox.dist.transforms import SigmoidTransform
    >>> SigmoidTransform()(0.0).item()
    0.5
    """

    codomain = constraints.unit_interval

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        # log y' = log y + log(1 - y) = -|x| - 2 log(1 + e^-|x|): one exponential serves value and determinant.
        # The absolute value is a choice of branches, whose derivative at zero is right for both together.
        minus = jnp.where(x >= 0, -x, x)
        decay = jnp.exp(minus)
        y = jnp.where(x >= 0, 1 / (1 + decay), decay / (1 + decay))
        return y, minus - 2 * jnp.log1p(decay)

    def inverse(self, y: Array) -> Array:
        return jnp.log(y) - jnp.log1p(-y)


class SoftplusTransform(Transform):
    r"""Map real numbers to positive ones, :math:`y = \log(1 + e^x)`.

    Like the exponential far below zero, like the identity far above.

    Examples
    --------
    >>> from pyrox.dist.transforms import SoftplusTransform
    >>> round(SoftplusTransform()(0.0).item(), 4), SoftplusTransform()(40.0).item()
    (0.6931, 40.0)
    """

    codomain = constraints.positive

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        return jax.nn.softplus(x), jax.nn.log_sigmoid(x)

    def inverse(self, y: Array) -> Array:
        return y + jnp.log(-jnp.expm1(-y))


class CircularTransform(Transform):
    r"""Wrap the real line around the circle, :math:`y = x \bmod 2 \pi` in :math:`[-\pi, \pi]`: no bijection.

    The inverse gives the preimage between :math:`-\pi` and :math:`\pi`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist.transforms import CircularTransform
    >>> round(CircularTransform()(2 * jnp.pi + 1.0).item(), 4)
    1.0
    """

    codomain = constraints.circular

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        return x - 2 * jnp.pi * jnp.round(x / (2 * jnp.pi)), jnp.zeros_like(x)

    def inverse(self, y: Array) -> Array:
        return y


class IntervalTransform(Transform):
    r"""Map the real line onto an interval, :math:`y = a + (b - a) / (1 + e^{-x})`.

    Parameters
    ----------
    low
        Lower end :math:`a`, any shape that broadcasts with the values.
    high
        Upper end :math:`b > a`, any shape that broadcasts with the values.

    Examples
    --------
    >>> from pyrox.dist.transforms import IntervalTransform
    >>> IntervalTransform(-1.0, 3.0)(0.0).item()
    1.0
    """

    low: ArrayLike
    high: ArrayLike

    @property
    def codomain(self) -> Constraint:
        return constraints.interval(self.low, self.high)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        unit, log_det = SigmoidTransform().forward_and_log_det(x)
        width = jnp.asarray(self.high) - self.low
        return self.low + width * unit, log_det + jnp.log(width)

    def inverse(self, y: Array) -> Array:
        return jnp.log(y - self.low) - jnp.log(self.high - y)

    def forward_shape(self, shape: Shape) -> Shape:
        return jnp.broadcast_shapes(shape, jnp.shape(self.low), jnp.shape(self.high))


class ComposeTransform(Transform):
    """Apply several transforms, the first one first.

    Parameters
    ----------
    parts
        Transforms, in the order in which they are applied.

    Examples
    --------
    >>> from pyrox.dist.transforms import AffineTransform, ComposeTransform, ExpTransform
    >>> ComposeTransform([ExpTransform(), AffineTransform(1.0, 2.0)])(0.0).item()
    3.0
    """

    parts: tuple[Transform, ...]

    def __init__(self, parts: Any) -> None:
        object.__setattr__(self, "parts", tuple(parts))

    @property
    def domain(self) -> Constraint:
        return self.parts[0].domain if self.parts else constraints.real

    @property
    def codomain(self) -> Constraint:
        return self.parts[-1].codomain if self.parts else constraints.real

    @property
    def event_dim(self) -> int:
        return max((p.event_dim for p in self.parts), default=0)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        total = 0.0 if self.parts else jnp.zeros(x.shape, x.dtype)
        for part in self.parts:
            x, log_det = part.forward_and_log_det(x)
            total = total + sum_rightmost(log_det, self.event_dim - part.event_dim)
        return x, total

    def inverse(self, y: Array) -> Array:
        for part in reversed(self.parts):
            y = part.inverse(y)
        return y

    def forward_shape(self, shape: Shape) -> Shape:
        for part in self.parts:
            shape = part.forward_shape(shape)
        return shape

    def inverse_shape(self, shape: Shape) -> Shape:
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return shape


class IndependentTransform(Transform):
    """Apply a transform to every element of a larger event.

    Parameters
    ----------
    base
        The transform of the elements.
    reinterpreted_batch_ndims
        Number of axes that become part of one event: log-determinants are summed over them.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist.transforms import ExpTransform, IndependentTransform
    >>> each = IndependentTransform(ExpTransform(), 1)
    >>> x = jnp.array([1.0, 2.0])
    >>> each.log_abs_det_jacobian(x, each(x)).item()
    3.0
    """

    base: Transform
    reinterpreted_batch_ndims: int = static()

    @property
    def domain(self) -> Constraint:
        return constraints.independent(self.base.domain, self.reinterpreted_batch_ndims)

    @property
    def codomain(self) -> Constraint:
        return constraints.independent(self.base.codomain, self.reinterpreted_batch_ndims)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        y, log_det = self.base.forward_and_log_det(x)
        return y, sum_rightmost(log_det, self.reinterpreted_batch_ndims)

    def inverse(self, y: Array) -> Array:
        return self.base.inverse(y)

    def forward_shape(self, shape: Shape) -> Shape:
        return self.base.forward_shape(shape)

    def inverse_shape(self, shape: Shape) -> Shape:
        return self.base.inverse_shape(shape)


class AbsTransform(Transform):
    r"""Drop the sign, :math:`y = |x|`: no bijection.

    The inverse gives the nonnegative one of the two preimages.

    Examples
    --------
    >>> from pyrox.dist.transforms import AbsTransform
    >>> AbsTransform()(-2.0).item(), AbsTransform().inv(2.0).item()
    (2.0, 2.0)
    """

    codomain = constraints.nonnegative

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        return jnp.abs(x), jnp.zeros_like(x)

    def inverse(self, y: Array) -> Array:
        return y


class PowerTransform(Transform):
    r"""Raise positive numbers to a power, :math:`y = x^p`.

    Parameters
    ----------
    exponent
        The power :math:`p`, not zero, any shape that broadcasts with the values.

    Examples
    --------
    >>> from pyrox.dist.transforms import PowerTransform
    >>> PowerTransform(2.0)(3.0).item()
    9.0
    """

    exponent: ArrayLike
    domain = constraints.positive
    codomain = constraints.positive

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        p = jnp.asarray(self.exponent)
        return x**p, jnp.log(jnp.abs(p)) + (p - 1) * jnp.log(x)

    def inverse(self, y: Array) -> Array:
        return y ** (1 / jnp.asarray(self.exponent))

    def forward_shape(self, shape: Shape) -> Shape:
        return jnp.broadcast_shapes(shape, jnp.shape(self.exponent))

    inverse_shape = forward_shape
