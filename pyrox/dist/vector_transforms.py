"""Transforms of vectors: onto simplexes, ordered vectors, zero sums and Cholesky factors."""

import jax
import jax.numpy as jnp
import numpy as np

from pyrox._pytree import static
from pyrox.dist import constraints
from pyrox.dist.constraints import Constraint
from pyrox.dist.linear import half_log_det, solve_lower, transpose
from pyrox.dist.special import LOG_2, softplus
from pyrox.dist.transform import Transform
from pyrox.typing import Array, ArrayLike, Shape


class StickBreakingTransform(Transform):
    r"""Map :math:`R^{K-1}` onto the simplex of K shares, by breaking a stick.

    .. math:: z_k = \sigma(x_k - \log(K - k)), \quad y_k = z_k \prod_{j<k} (1 - z_j)

    The origin goes to equal shares.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist.transforms import StickBreakingTransform
    >>> StickBreakingTransform()(jnp.zeros(3)).round(3).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    domain = constraints.real_vector
    codomain = constraints.simplex

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        count = x.shape[-1]
        shifted = x - jnp.log(jnp.arange(count, 0, -1, dtype=x.dtype))
        # In logs: neither a share nor what is left of the stick can underflow on the way.
        log_left = jnp.cumsum(jax.nn.log_sigmoid(-shifted), axis=-1)
        before = jnp.concatenate([jnp.zeros_like(x[..., :1]), log_left], axis=-1)
        log_share = jax.nn.log_sigmoid(shifted) + before[..., :-1]
        y = jnp.exp(jnp.concatenate([log_share, before[..., -1:]], axis=-1))
        # dy_k / dx_k = y_k (1 - z_k), and the Jacobian is triangular.
        return y, jnp.sum(log_share + jax.nn.log_sigmoid(-shifted), axis=-1)

    def inverse(self, y: Array) -> Array:
        # What is left after share k is summed from the far end: no cancellation in 1 - cumsum(y).
        left = jnp.cumsum(y[..., ::-1], axis=-1)[..., ::-1][..., 1:]
        offset = jnp.log(jnp.arange(y.shape[-1] - 1, 0, -1, dtype=y.dtype))
        return jnp.log(y[..., :-1]) - jnp.log(left) + offset

    def forward_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], shape[-1] - 1)


class OrderedTransform(Transform):
    r"""Map a vector to an increasing one: :math:`y_0 = x_0`, :math:`y_k = y_{k-1} + e^{x_k}`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist.transforms import OrderedTransform
    >>> OrderedTransform()(jnp.array([-1.0, 0.0, 0.0])).tolist()
    [-1.0, 0.0, 1.0]
    """

    domain = constraints.real_vector
    codomain = constraints.ordered_vector

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        steps = jnp.concatenate([x[..., :1], jnp.exp(x[..., 1:])], axis=-1)
        return jnp.cumsum(steps, axis=-1), jnp.sum(x[..., 1:], axis=-1)

    def inverse(self, y: Array) -> Array:
        return jnp.concatenate([y[..., :1], jnp.log(jnp.diff(y, axis=-1))], axis=-1)


class SumToOneTransform(Transform):
    r"""Map n - 1 numbers to n that sum to one: the last is what the others leave, be it negative.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist.transforms import SumToOneTransform
    >>> SumToOneTransform()(jnp.array([0.5, 0.75])).tolist()
    [0.5, 0.75, -0.25]
    """

    domain = constraints.real_vector
    codomain = constraints.sum_to_one

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        rest = 1 - jnp.sum(x, axis=-1, keepdims=True)
        return jnp.concatenate([x, rest], axis=-1), jnp.zeros(x.shape[:-1], x.dtype)

    def inverse(self, y: Array) -> Array:
        return y[..., :-1]

    def forward_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], shape[-1] - 1)


class PermuteTransform(Transform):
    """Put the elements of a vector in another order: ``y[i] = x[permutation[i]]``.

    Parameters
    ----------
    permutation
        The indices 0, 1, ..., n - 1 in the order wanted.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist.transforms import PermuteTransform
    >>> PermuteTransform(jnp.array([2, 0, 1]))(jnp.array([10.0, 11.0, 12.0])).tolist()
    [12.0, 10.0, 11.0]
    """

    permutation: ArrayLike
    domain = constraints.real_vector
    codomain = constraints.real_vector

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        return x[..., jnp.asarray(self.permutation)], jnp.zeros(x.shape[:-1], x.dtype)

    def inverse(self, y: Array) -> Array:
        return y[..., jnp.argsort(jnp.asarray(self.permutation))]


class MultivariateAffineTransform(Transform):
    r"""Move and mix the elements of a vector, :math:`y = \mathrm{loc} + L x`.

    Parameters
    ----------
    loc
        Image of the origin, shape ``(..., n)``.
    scale_tril
        Lower triangular matrix :math:`L` of positive diagonal, shape ``(..., n, n)``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist.transforms import MultivariateAffineTransform
    >>> mix = MultivariateAffineTransform(jnp.zeros(2), jnp.array([[1.0, 0.0], [0.5, 2.0]]))
    >>> mix(jnp.array([1.0, 1.0])).tolist()
    [1.0, 2.5]
    """

    loc: ArrayLike
    scale_tril: ArrayLike
    domain = constraints.real_vector
    codomain = constraints.real_vector

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        tril = jnp.asarray(self.scale_tril)
        y = self.loc + jnp.einsum("...ij,...j->...i", tril, x)
        return y, jnp.broadcast_to(half_log_det(tril), y.shape[:-1])

    def inverse(self, y: Array) -> Array:
        return solve_lower(jnp.asarray(self.scale_tril), y - self.loc)

    def forward_shape(self, shape: Shape) -> Shape:
        batch = jnp.broadcast_shapes(shape[:-1], jnp.shape(self.loc)[:-1], jnp.shape(self.scale_tril)[:-2])
        return (*batch, shape[-1])

    inverse_shape = forward_shape


class ZeroSumTransform(Transform):
    r"""Map n - 1 free numbers to n that sum to zero, without stretching; over the last ``ndims`` axes.

    The map is an isometry onto its image, so its log-determinant is zero.

    Parameters
    ----------
    ndims
        Number of axes along each of which the sums are zero.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist.transforms import ZeroSumTransform
    >>> y = ZeroSumTransform()(jnp.array([1.0, -2.0]))
    >>> y.shape, abs(round(y.sum().item(), 6))
    ((3,), 0.0)
    """

    ndims: int = static(default=1)

    @property
    def domain(self) -> Constraint:
        return constraints.independent(constraints.real, self.ndims)

    @property
    def codomain(self) -> Constraint:
        return constraints.zero_sum(self.ndims)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        log_det = jnp.zeros(x.shape[: x.ndim - self.ndims], x.dtype)
        for axis in range(-self.ndims, 0):
            size = x.shape[axis] + 1
            total = jnp.sum(x, axis=axis, keepdims=True)
            shift = total / (size**0.5 + size)
            x = jnp.concatenate([x - shift, -total / size**0.5], axis=axis)
        return x, log_det

    def inverse(self, y: Array) -> Array:
        for axis in range(-self.ndims, 0):
            size = y.shape[axis]
            last = jax.lax.slice_in_dim(y, size - 1, size, axis=axis)
            y = jax.lax.slice_in_dim(y, 0, size - 1, axis=axis) - last / (size**0.5 + 1)
        return y

    def forward_shape(self, shape: Shape) -> Shape:
        return self._resized(shape, 1)

    def inverse_shape(self, shape: Shape) -> Shape:
        return self._resized(shape, -1)

    def _resized(self, shape: Shape, step: int) -> Shape:
        keep = len(shape) - self.ndims
        return (*shape[:keep], *(n + step for n in shape[keep:]))


def _order_of_triangle(count: int, *, with_diagonal: bool) -> int:
    """Give the size of the matrix whose lower triangle has so many elements."""
    order = round(((8 * count + 1) ** 0.5 - 1) / 2)
    if order * (order + 1) // 2 != count:
        raise ValueError(f"{count} elements do not fill the lower triangle of a square matrix")
    return order if with_diagonal else order + 1


def fill_triangle(x: Array, order: int) -> Array:
    """Lay a vector out, row by row, in the strictly lower triangle of a matrix of zeros."""
    # Taken from a vector with a zero at its end: indexing forward needs no scatter.
    source = np.full((order, order), x.shape[-1])
    source[np.tril_indices(order, -1)] = np.arange(x.shape[-1])
    return jnp.concatenate([x, jnp.zeros_like(x[..., :1])], axis=-1)[..., source]


def take_triangle(matrix: Array) -> Array:
    """Read the strictly lower triangle of a matrix, row by row."""
    rows, columns = np.tril_indices(matrix.shape[-1], -1)
    return matrix[..., rows, columns]


class LowerCholeskyTransform(Transform):
    r"""Map a vector to a lower triangular matrix with positive diagonal.

    The strict triangle comes first, row by row; then the logarithms of the diagonal.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist.transforms import LowerCholeskyTransform
    >>> LowerCholeskyTransform()(jnp.array([5.0, 0.0, 0.0])).tolist()
    [[1.0, 0.0], [5.0, 1.0]]
    """

    domain = constraints.real_vector
    codomain = constraints.lower_cholesky

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        order = _order_of_triangle(x.shape[-1], with_diagonal=True)
        below, log_diagonal = x[..., : x.shape[-1] - order], x[..., x.shape[-1] - order :]
        diagonal = jnp.exp(log_diagonal)[..., None] * jnp.eye(order, dtype=x.dtype)
        strict = fill_triangle(below, order) if order > 1 else jnp.zeros_like(diagonal)
        return strict + diagonal, jnp.sum(log_diagonal, axis=-1)

    def inverse(self, y: Array) -> Array:
        log_diagonal = jnp.log(jnp.diagonal(y, axis1=-2, axis2=-1))
        return jnp.concatenate([take_triangle(y), log_diagonal], axis=-1)

    def forward_shape(self, shape: Shape) -> Shape:
        order = _order_of_triangle(shape[-1], with_diagonal=True)
        return (*shape[:-1], order, order)

    def inverse_shape(self, shape: Shape) -> Shape:
        return (*shape[:-2], shape[-1] * (shape[-1] + 1) // 2)


class CorrCholeskyTransform(Transform):
    r"""Map a vector to the Cholesky factor of a correlation matrix.

    Laid out row by row in the strict triangle, with :math:`r = \tanh(x)`:

    .. math:: y_{ij} = r_{ij} \prod_{k<j} \sqrt{1 - r_{ik}^2}, \quad y_{ii} = \prod_{k<i} \sqrt{1 - r_{ik}^2}

    that is, a stick-breaking of each row's squares, with signs.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist.transforms import CorrCholeskyTransform
    >>> CorrCholeskyTransform()(jnp.arctanh(jnp.array([0.6]))).round(3).tolist()
    [[1.0, 0.0], [0.6, 0.8]]
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        order = _order_of_triangle(x.shape[-1], with_diagonal=False)
        # log(1 - tanh(x)^2) = 2 (log 2 - x - log(1 + exp(-2 x))): exact where tanh has long rounded to one.
        log_left = fill_triangle(2 * (LOG_2 - x - softplus(-2 * x)), order)
        before = 0.5 * (jnp.cumsum(log_left, axis=-1) - log_left)
        share = fill_triangle(jnp.tanh(x), order) + jnp.eye(order, dtype=x.dtype)
        log_det = jnp.sum(take_triangle(log_left + before), axis=-1)
        return share * jnp.exp(before), log_det

    def inverse(self, y: Array) -> Array:
        squares = jnp.cumsum((y * y)[..., ::-1], axis=-1)[..., ::-1]
        after = jnp.concatenate([squares[..., 1:], jnp.ones_like(squares[..., :1])], axis=-1)
        return jnp.arcsinh(take_triangle(y) / jnp.sqrt(take_triangle(after)))

    def forward_shape(self, shape: Shape) -> Shape:
        order = _order_of_triangle(shape[-1], with_diagonal=False)
        return (*shape[:-1], order, order)

    def inverse_shape(self, shape: Shape) -> Shape:
        return (*shape[:-2], shape[-1] * (shape[-1] - 1) // 2)


class InvCholeskyTransform(Transform):
    r"""Map Cholesky factors to positive-definite or correlation matrices, :math:`y = x x^T`.

    Parameters
    ----------
    domain
        ``lower_cholesky`` or ``corr_cholesky``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.dist import constraints
    >>> from pyrox.dist.transforms import InvCholeskyTransform
    >>> InvCholeskyTransform()(jnp.array([[1.0, 0.0], [2.0, 1.0]])).tolist()
    [[1.0, 2.0], [2.0, 5.0]]
    >>> InvCholeskyTransform(constraints.corr_cholesky).codomain
    CorrMatrix
    """

    domain: Constraint = constraints.lower_cholesky

    @property
    def codomain(self) -> Constraint:
        if isinstance(self.domain, constraints._LowerCholesky):
            return constraints.positive_definite
        if isinstance(self.domain, constraints._CorrCholesky):
            return constraints.corr_matrix
        raise ValueError(f"InvCholeskyTransform takes lower_cholesky or corr_cholesky, not {self.domain!r}")

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        order = x.shape[-1]
        log_diagonal = jnp.log(jnp.diagonal(x, axis1=-2, axis2=-1))
        if isinstance(self.domain, constraints._CorrCholesky):
            weights, constant = np.arange(order - 1, -1, -1), 0.0
        else:
            weights, constant = np.arange(order, 0, -1), order * LOG_2
        return x @ transpose(x), constant + jnp.sum(weights * log_diagonal, axis=-1)

    def inverse(self, y: Array) -> Array:
        return jnp.linalg.cholesky(y)
