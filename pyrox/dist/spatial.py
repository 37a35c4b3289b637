"""Distributions of numbers tied to each other: by a zero sum, or by a neighbourhood."""
# ruff: noqa: FBT001 - validate_args may be given by position, as documented

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import constraints
from pyrox.dist.constraints import Constraint
from pyrox.dist.distribution import Distribution, option, param, part
from pyrox.dist.linear import transpose
from pyrox.dist.special import HALF_LOG_2PI
from pyrox.dist.transforms import ZeroSumTransform
from pyrox.errors import ShapeError, SupportError
from pyrox.typing import Array, ArrayLike, Key, Shape


class ZeroSumNormal(Distribution):
    r"""Normal distribution of numbers that sum to zero along one or several axes.

    .. math:: x = P z, \quad z_i \sim N(0, \sigma), \quad P = I - \tfrac{1}{n} 1 1^T

    Its density is with respect to the volume of the subspace.

    Parameters
    ----------
    scale
        Standard deviation :math:`\sigma > 0` of the unconstrained numbers.
    shape
        Shape of one draw: the sums over each of its axes are zero.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.ZeroSumNormal(2.0, (4,)).variance.tolist()
    [3.0, 3.0, 3.0, 3.0]
    """

    scale: Array = param(constraints.positive, default=1.0, alias="sigma")
    shape: Shape = option(default=(2,))

    def __init__(self, scale: ArrayLike = 1.0, shape: Shape = (2,), validate_args: bool | None = None) -> None:
        shape = (int(shape),) if isinstance(shape, int | np.integer) else tuple(int(n) for n in shape)
        if not shape or min(shape) < 2:
            raise ShapeError(f"ZeroSumNormal: every axis of shape needs two elements or more; met {shape}")
        self._set({"scale": scale, "shape": shape}, validate_args)

    @property
    def support(self) -> Constraint:
        return constraints.zero_sum(len(self.shape))

    @property
    def event_shape(self) -> Shape:
        return self.shape

    @property
    def _scales(self) -> Array:
        return self.scale.reshape(jnp.shape(self.scale) + (1,) * len(self.shape))

    @property
    def _freedom(self) -> int:
        return int(np.prod([n - 1 for n in self.shape]))

    def _sample(self, key: Key, shape: Shape) -> Array:
        free = ZeroSumTransform(len(self.shape))
        return self._scales * free(jax.random.normal(key, free.inverse_shape(shape)))

    def _log_prob(self, value: Array) -> Array:
        z = value / self._scales
        distance = jnp.sum(z * z, axis=tuple(range(-len(self.shape), 0)))
        return -0.5 * distance - self._freedom * (jnp.log(self.scale) + HALF_LOG_2PI)

    def _mean(self) -> Array:
        return jnp.zeros(())

    def _variance(self) -> Array:
        return self._scales**2 * (self._freedom / int(np.prod(self.shape)))

    def _entropy(self) -> Array:
        return self._freedom * (jnp.log(self.scale) + HALF_LOG_2PI + 0.5)


def _neighbours(name: str, matrix: ArrayLike) -> np.ndarray:
    """Check an adjacency matrix: it is data, known before anything is computed."""
    if isinstance(matrix, jax.core.Tracer):
        raise TypeError(f"{name}: the adjacency matrix must be known when the model is built, not a traced array")
    matrix = np.asarray(matrix, float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ShapeError(f"{name}: the adjacency matrix must be square; met shape {matrix.shape}")
    if not np.allclose(matrix, matrix.T):
        i, j = np.argwhere(~np.isclose(matrix, matrix.T))[0]
        raise SupportError(f"{name}: the adjacency matrix must be symmetric; entries ({i}, {j}) and ({j}, {i}) differ")
    return matrix


class CAR(Distribution):
    r"""Conditional autoregression: a normal whose every element leans on its neighbours.

    .. math:: x \sim N\left(\mu, [\tau (D - \alpha W)]^{-1}\right), \quad D = \mathrm{diag}(W 1)

    The determinant comes from the eigenvalues of :math:`D^{-1/2} W D^{-1/2}`, worked out once.

    Parameters
    ----------
    loc
        Mean :math:`\mu`, of n elements along the last axis.
    adjacency
        Symmetric n x n matrix W of nonnegative weights; data, not a parameter.
    correlation
        Strength :math:`\alpha` of the dependence, in (-1, 1).
    precision
        Conditional precision :math:`\tau > 0` for one unit of weight.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> ring = jnp.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    >>> dist.CAR(jnp.zeros(3), ring, 0.5, 1.0).event_shape
    (3,)
    """

    loc: Array = param(constraints.real_vector, alias="mu")
    correlation: Array = param(constraints.interval(-1.0, 1.0), alias="alpha")
    precision: Array = param(constraints.positive, default=1.0, alias="tau")
    adjacency: Array = part()
    spectrum: Array = part()
    support = constraints.real_vector

    def __init__(
        self,
        loc: ArrayLike,
        adjacency: ArrayLike,
        correlation: ArrayLike,
        precision: ArrayLike = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        weights = _neighbours("CAR", adjacency)
        degree = weights.sum(axis=-1)
        if np.any(degree <= 0):
            raise SupportError(f"CAR: element {int(np.argmin(degree))} has no neighbours")
        root = np.sqrt(degree)
        loc = jnp.broadcast_to(loc, weights.shape[:1]) if np.ndim(loc) == 0 else loc
        fields = {"loc": loc, "correlation": correlation, "precision": precision}
        fields |= {"adjacency": jnp.asarray(weights)}
        fields |= {"spectrum": jnp.asarray(np.linalg.eigvalsh(weights / root / root[:, None]))}
        self._set(fields, validate_args)

    @property
    def event_shape(self) -> Shape:
        return jnp.shape(self.adjacency)[-1:]

    @property
    def _degree(self) -> Array:
        return jnp.sum(self.adjacency, axis=-1)

    @property
    def precision_matrix(self) -> Array:
        """Inverse of the covariance."""
        shape = self.correlation[..., None, None], self.precision[..., None, None]
        diagonal = self._degree[..., None] * jnp.eye(self.event_shape[0])
        return shape[1] * (diagonal - shape[0] * self.adjacency)

    def _sample(self, key: Key, shape: Shape) -> Array:
        tril = jnp.linalg.cholesky(self.precision_matrix)
        noise = jax.random.normal(key, shape)[..., None]
        full = jnp.broadcast_to(transpose(tril), (*noise.shape[:-2], *tril.shape[-2:]))
        return self.loc + jax.scipy.linalg.solve_triangular(full, noise, lower=False)[..., 0]

    def _log_prob(self, value: Array) -> Array:
        apart = value - self.loc
        lagged = jnp.einsum("...ij,...j->...i", self.adjacency, apart)
        distance = jnp.sum(apart * (self._degree * apart - self.correlation[..., None] * lagged), axis=-1)
        return 0.5 * self._log_det - 0.5 * self.precision * distance - self.event_shape[0] * HALF_LOG_2PI

    @property
    def _log_det(self) -> Array:
        """Log-determinant of the precision matrix."""
        coupled = jnp.sum(jnp.log1p(-self.correlation[..., None] * self.spectrum), axis=-1)
        return self.event_shape[0] * jnp.log(self.precision) + jnp.sum(jnp.log(self._degree), axis=-1) + coupled

    def _mean(self) -> Array:
        return self.loc

    def _variance(self) -> Array:
        return jnp.diagonal(jnp.linalg.inv(self.precision_matrix), axis1=-2, axis2=-1)

    def _entropy(self) -> Array:
        return self.event_shape[0] * (HALF_LOG_2PI + 0.5) - 0.5 * self._log_det


class ICAR(Distribution):
    r"""Intrinsic conditional autoregression: improper in the common level, which a soft zero sum holds.

    .. math:: \log p(x) = -\frac{1}{2\sigma^2} \sum_{i \sim j} w_{ij} (x_i - x_j)^2
        - \frac12 \left(\frac{\sum_i x_i}{n s}\right)^2 + \text{const}

    Parameters
    ----------
    adjacency
        Symmetric n x n matrix of weights; data, not a parameter.
    scale
        Standard deviation :math:`\sigma > 0` of a difference between neighbours.
    zero_sum_scale
        Standard deviation s > 0 of the mean of x around zero.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> pair = jnp.array([[0, 1], [1, 0]])
    >>> dist.ICAR(pair).event_shape
    (2,)
    """

    scale: Array = param(constraints.positive, default=1.0, alias="sigma")
    zero_sum_scale: Array = param(constraints.positive, default=0.001, alias="zero_sum_stdev")
    adjacency: Array = part()
    support = constraints.real_vector

    def __init__(
        self,
        adjacency: ArrayLike,
        scale: ArrayLike = 1.0,
        zero_sum_scale: ArrayLike = 0.001,
        validate_args: bool | None = None,
    ) -> None:
        weights = jnp.asarray(_neighbours("ICAR", adjacency))
        self._set({"scale": scale, "zero_sum_scale": zero_sum_scale, "adjacency": weights}, validate_args)

    @property
    def event_shape(self) -> Shape:
        return jnp.shape(self.adjacency)[-1:]

    def _sample(self, key: Key, shape: Shape) -> Array:
        raise NotImplementedError("ICAR is improper: it has no draws, so give a proper prior such as CAR")

    def _log_prob(self, value: Array) -> Array:
        # Each pair of neighbours once: x' (D - W) x.
        lagged = jnp.einsum("...ij,...j->...i", self.adjacency, value)
        pairs = jnp.sum(value * (jnp.sum(self.adjacency, axis=-1) * value - lagged), axis=-1)
        spread = self.zero_sum_scale * self.event_shape[0]
        level = jnp.sum(value, axis=-1) / spread
        return -0.5 * pairs / self.scale**2 - 0.5 * level**2 - jnp.log(spread) - HALF_LOG_2PI
