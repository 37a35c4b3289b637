"""Distributions of correlation matrices, covariance matrices and matrices of numbers."""
# ruff: noqa: FBT001 - validate_args may be given by position, as documented

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import multigammaln

from pyrox.dist import constraints
from pyrox.dist.combinators import Derived, TransformedDistribution
from pyrox.dist.distribution import Distribution, option, param, part
from pyrox.dist.linear import half_log_det, solve_lower, transpose
from pyrox.dist.special import HALF_LOG_2PI, LOG_2, LOG_PI, digamma, gammaln
from pyrox.dist.transforms import CorrCholeskyTransform, InvCholeskyTransform
from pyrox.errors import ShapeError
from pyrox.typing import Array, ArrayLike, Key, Shape


def _require_dimension(name: str, dimension: int, method: str = "onion") -> None:
    if not isinstance(dimension, int | np.integer) or dimension < 2:
        raise ShapeError(f"{name}: dimension must be an integer of at least 2; met {dimension!r}")
    if method not in ("onion", "cvine"):
        raise ValueError(f"{name}: sample_method is 'onion' or 'cvine', not {method!r}")


class LKJCholesky(Distribution):
    r"""Distribution of Cholesky factors of correlation matrices.

    .. math:: p(L) \propto \prod_{i=2}^{d} L_{ii}^{d - i + 2\eta - 2}

    so that the matrix :math:`M = L L^T` has density proportional to :math:`\det(M)^{\eta - 1}`.

    Parameters
    ----------
    dimension
        Order d of the matrices.
    concentration
        :math:`\eta > 0`: one is uniform over correlation matrices, more favours the identity.
    sample_method
        ``"onion"`` or ``"cvine"``: two ways to draw from the same distribution.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.LKJCholesky(3, 2.0).event_shape
    (3, 3)

    References
    ----------
    .. [1] Lewandowski, Kurowicka and Joe (2009), Generating random correlation matrices based on vines and
       extended onion method, Journal of Multivariate Analysis 100.
    """

    dimension: int = option()
    concentration: Array = param(constraints.positive, default=1.0, alias="eta")
    sample_method: str = option(default="onion")
    support = constraints.corr_cholesky

    def __init__(
        self,
        dimension: int,
        concentration: ArrayLike = 1.0,
        sample_method: str = "onion",
        validate_args: bool | None = None,
    ) -> None:
        _require_dimension("LKJCholesky", dimension, sample_method)
        fields = {"dimension": int(dimension), "concentration": concentration, "sample_method": sample_method}
        self._set(fields, validate_args)

    @property
    def event_shape(self) -> Shape:
        return (self.dimension, self.dimension)

    def _sample(self, key: Key, shape: Shape) -> Array:
        draw = self._onion if self.sample_method == "onion" else self._cvine
        return draw(key, shape[:-2])

    def _onion(self, key: Key, batch: Shape) -> Array:
        # Row i is a point of the unit ball of i dimensions: a direction, and a length whose square is beta.
        key_way, key_length = jax.random.split(key)
        order, row = self.dimension, jnp.arange(1, self.dimension)
        way = jnp.tril(jax.random.normal(key_way, (*batch, order - 1, order - 1)))
        way = way / jnp.linalg.norm(way, axis=-1, keepdims=True)
        b = self.concentration[..., None] + 0.5 * (order - 1 - row)
        square = jax.random.beta(key_length, 0.5 * row, b, (*batch, order - 1))
        below = jnp.sqrt(square)[..., None] * way
        below = jnp.concatenate([jnp.zeros((*batch, 1, order - 1)), below], axis=-2)
        diagonal = jnp.concatenate([jnp.ones((*batch, 1)), jnp.sqrt(1 - square)], axis=-1)
        wide = jnp.concatenate([below, jnp.zeros((*batch, order, 1))], axis=-1)
        return wide + diagonal[..., None] * jnp.eye(order)

    def _cvine(self, key: Key, batch: Shape) -> Array:
        # Partial correlations are independent betas on (-1, 1), column by column.
        _, column = np.tril_indices(self.dimension, -1)
        b = self.concentration[..., None] + 0.5 * (self.dimension - 2 - column)
        u, v = jax.random.loggamma(key, b, (2, *batch, column.size))
        return CorrCholeskyTransform()(0.5 * (u - v))  # arctanh(2 B - 1) is half the log-odds of B

    def _log_prob(self, value: Array) -> Array:
        order, eta = self.dimension, self.concentration
        powers = order - 4 - jnp.arange(order - 1) + 2 * eta[..., None]
        diagonal = jnp.diagonal(value, axis1=-2, axis2=-1)[..., 1:]
        return jnp.sum(powers * jnp.log(diagonal), axis=-1) - self._log_volume()

    def _log_volume(self) -> Array:
        rest = self.dimension - 1
        top = self.concentration + 0.5 * rest
        return 0.5 * rest * LOG_PI + multigammaln(top - 0.5, rest) - rest * gammaln(top)


class LKJ(Derived):
    r"""Distribution of correlation matrices.

    .. math:: p(M) \propto \det(M)^{\eta - 1}

    Parameters
    ----------
    dimension
        Order d of the matrices.
    concentration
        :math:`\eta > 0`: one is uniform over correlation matrices, more favours the identity.
    sample_method
        ``"onion"`` or ``"cvine"``: two ways to draw from the same distribution.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.LKJ(2, 1.0).mean.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    dimension: int = option()
    concentration: Array = param(constraints.positive, default=1.0, alias="eta")
    sample_method: str = option(default="onion")
    support = constraints.corr_matrix

    def __init__(
        self,
        dimension: int,
        concentration: ArrayLike = 1.0,
        sample_method: str = "onion",
        validate_args: bool | None = None,
    ) -> None:
        _require_dimension("LKJ", dimension, sample_method)
        fields = {"dimension": int(dimension), "concentration": concentration, "sample_method": sample_method}
        self._set(fields, validate_args)

    @property
    def meaning(self) -> Distribution:
        factor = LKJCholesky(self.dimension, self.concentration, self.sample_method)
        return TransformedDistribution(factor, InvCholeskyTransform(constraints.corr_cholesky))

    def _mean(self) -> Array:
        return jnp.eye(self.dimension)

    def _variance(self) -> Array:
        # Each correlation is a beta on (-1, 1) with both weights eta - 1 + d / 2.
        weight = self.concentration[..., None, None] - 1 + 0.5 * self.dimension
        return (1 - jnp.eye(self.dimension)) / (2 * weight + 1)


class LKJCholeskyCov(Distribution):
    r"""Distribution of Cholesky factors of covariance matrices: LKJ correlations, any standard deviations.

    .. math:: L = \mathrm{diag}(s)\, C, \quad C \sim \mathrm{LKJCholesky}(\eta), \quad s_i \sim f

    Parameters
    ----------
    dimension
        Order d of the matrices.
    concentration
        :math:`\eta > 0` of the correlations.
    scale_dist
        Distribution f of the standard deviations: of numbers (the same or d of them), or of vectors.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.LKJCholeskyCov(3, 2.0, dist.Exponential(1.0)).event_shape
    (3, 3)
    """

    dimension: int = option()
    concentration: Array = param(constraints.positive, alias="eta")
    scale_dist: Distribution = part()
    support = constraints.lower_cholesky

    def __init__(
        self, dimension: int, concentration: ArrayLike, scale_dist: Distribution, validate_args: bool | None = None
    ) -> None:
        _require_dimension("LKJCholeskyCov", dimension)
        if not isinstance(scale_dist, Distribution):
            raise TypeError(f"LKJCholeskyCov: scale_dist must be a distribution; met {scale_dist!r}")
        if scale_dist.support is constraints.real:
            kind = type(scale_dist).__name__
            raise ValueError(f"LKJCholeskyCov: scale_dist draws standard deviations, which are positive; met a {kind}")
        if not scale_dist.event_shape:
            batch = scale_dist.batch_shape[:-1]
            scale_dist = scale_dist.expand((*batch, int(dimension))).to_event(1)
        if scale_dist.event_shape != (dimension,):
            raise ShapeError(f"LKJCholeskyCov: scale_dist draws {scale_dist.event_shape}, not {(dimension,)}")
        fields = {"dimension": int(dimension), "concentration": concentration, "scale_dist": scale_dist}
        self._set(fields, validate_args)

    @property
    def batch_shape(self) -> Shape:
        return jnp.broadcast_shapes(jnp.shape(self.concentration), self.scale_dist.batch_shape)

    @property
    def event_shape(self) -> Shape:
        return (self.dimension, self.dimension)

    def _sample(self, key: Key, shape: Shape) -> Array:
        key_corr, key_scale = jax.random.split(key)
        corr = LKJCholesky(self.dimension, self.concentration)._sample(key_corr, shape)
        return self.scale_dist._sample(key_scale, shape[:-1])[..., None] * corr

    def _log_prob(self, value: Array) -> Array:
        scale = jnp.linalg.norm(value, axis=-1)
        corr = value / scale[..., None]
        log_diagonal = jnp.log(jnp.diagonal(corr, axis1=-2, axis2=-1))
        # Row i of L is a scale times a unit vector of i + 1 elements.
        log_det = jnp.sum(jnp.arange(self.dimension) * jnp.log(scale) - log_diagonal, axis=-1)
        apart = LKJCholesky(self.dimension, self.concentration)._log_prob(corr) + self.scale_dist.log_prob(scale)
        return apart - log_det


class Wishart(Distribution):
    r"""Wishart distribution of positive-definite matrices.

    .. math:: p(X) = \frac{|X|^{(\nu - d - 1) / 2} e^{-\mathrm{tr}(V^{-1} X) / 2}}
        {2^{\nu d / 2} |V|^{\nu / 2} \Gamma_d(\nu / 2)}

    Parameters
    ----------
    concentration
        Degrees of freedom :math:`\nu > d - 1`.
    scale_matrix
        Scale V, positive definite, d x d: the mean is :math:`\nu V`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> dist.Wishart(3.0, jnp.eye(2)).mean.tolist()
    [[3.0, 0.0], [0.0, 3.0]]
    """

    concentration: Array = param(constraints.positive, alias="nu")
    scale_matrix: Array = param(constraints.positive_definite, alias="V")
    support = constraints.positive_definite

    @property
    def event_shape(self) -> Shape:
        return jnp.shape(self.scale_matrix)[-2:]

    def _validate_parameters(self) -> None:
        Distribution._validate_parameters(self)
        order = self.event_shape[0]
        self._require_that(self.concentration > order - 1, f"concentration must exceed {order - 1}", "concentration")

    def _sample(self, key: Key, shape: Shape) -> Array:
        # Bartlett: normals below the diagonal, roots of chi-squared on it.
        key_below, key_diagonal = jax.random.split(key)
        order = shape[-1]
        df = self.concentration[..., None] - jnp.arange(order)
        diagonal = jnp.sqrt(2 * jax.random.gamma(key_diagonal, 0.5 * df, shape[:-1]))
        factor = jnp.tril(jax.random.normal(key_below, shape), -1) + diagonal[..., None] * jnp.eye(order)
        factor = jnp.linalg.cholesky(self.scale_matrix) @ factor
        return factor @ transpose(factor)

    def _log_prob(self, value: Array) -> Array:
        order, nu = self.event_shape[0], self.concentration
        tril, factor = jnp.linalg.cholesky(self.scale_matrix), jnp.linalg.cholesky(value)
        batch = jnp.broadcast_shapes(tril.shape[:-2], factor.shape[:-2])
        size = (*batch, order, order)
        white = solve_triangular(jnp.broadcast_to(tril, size), jnp.broadcast_to(factor, size), lower=True)
        trace = jnp.sum(white * white, axis=(-2, -1))
        constant = 0.5 * nu * order * LOG_2 + nu * half_log_det(tril) + multigammaln(0.5 * nu, order)
        return (nu - order - 1) * half_log_det(factor) - 0.5 * trace - constant

    def _mean(self) -> Array:
        return self.concentration[..., None, None] * self.scale_matrix

    def _variance(self) -> Array:
        diagonal = jnp.diagonal(self.scale_matrix, axis1=-2, axis2=-1)
        crossed = diagonal[..., :, None] * diagonal[..., None, :]
        return self.concentration[..., None, None] * (self.scale_matrix**2 + crossed)

    def _entropy(self) -> Array:
        order, half = self.event_shape[0], 0.5 * self.concentration
        digammas = jnp.sum(digamma(half[..., None] - 0.5 * jnp.arange(order)), axis=-1)
        log_det = half_log_det(jnp.linalg.cholesky(self.scale_matrix))
        constant = (order + 1) * (log_det + 0.5 * order * LOG_2) + multigammaln(half, order)
        return constant - (half - 0.5 * (order + 1)) * digammas + order * half


class MatrixNormal(Distribution):
    r"""Normal matrices with covariance between rows and between columns.

    .. math:: X = M + L_r Z L_c^T, \quad Z_{ij} \sim N(0, 1)

    Parameters
    ----------
    loc
        Mean M, n x p.
    scale_tril_row
        Lower Cholesky factor of the covariance between rows, n x n.
    scale_tril_column
        Lower Cholesky factor of the covariance between columns, p x p.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> dist.MatrixNormal(jnp.zeros((2, 3)), jnp.eye(2), jnp.eye(3)).event_shape
    (2, 3)
    """

    loc: Array = param(constraints.independent(constraints.real, 2), alias="mu")
    scale_tril_row: Array = param(constraints.lower_cholesky, alias="rowchol")
    scale_tril_column: Array = param(constraints.lower_cholesky, alias="colchol")
    support = constraints.independent(constraints.real, 2)

    @property
    def event_shape(self) -> Shape:
        return jnp.shape(self.loc)[-2:]

    def _check_shapes(self) -> None:
        rows, columns = jnp.shape(self.loc)[-2:]
        self._require_same_size(loc_rows=rows, scale_tril_row=jnp.shape(self.scale_tril_row)[-1])
        self._require_same_size(loc_columns=columns, scale_tril_column=jnp.shape(self.scale_tril_column)[-1])

    def _sample(self, key: Key, shape: Shape) -> Array:
        return self.loc + self.scale_tril_row @ jax.random.normal(key, shape) @ transpose(self.scale_tril_column)

    def _log_prob(self, value: Array) -> Array:
        rows, columns = self.event_shape
        apart = value - self.loc
        white = solve_lower(self.scale_tril_row[..., None, :, :], transpose(apart))
        white = solve_lower(self.scale_tril_column[..., None, :, :], transpose(white))
        log_det = columns * half_log_det(self.scale_tril_row) + rows * half_log_det(self.scale_tril_column)
        return -0.5 * jnp.sum(white * white, axis=(-2, -1)) - log_det - rows * columns * HALF_LOG_2PI

    def _mean(self) -> Array:
        return self.loc

    def _variance(self) -> Array:
        row, column = (jnp.sum(tril**2, axis=-1) for tril in (self.scale_tril_row, self.scale_tril_column))
        return row[..., :, None] * column[..., None, :]

    def _entropy(self) -> Array:
        rows, columns = self.event_shape
        log_det = columns * half_log_det(self.scale_tril_row) + rows * half_log_det(self.scale_tril_column)
        return log_det + rows * columns * (HALF_LOG_2PI + 0.5)


def pack_triangle(tril: Array) -> Array:
    """Read the lower triangle of a matrix, with its diagonal, row by row.

    Parameters
    ----------
    tril
        Square matrices along the last two axes.

    Returns
    -------
    Vectors of ``n (n + 1) / 2`` elements along the last axis.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> dist.pack_triangle(jnp.array([[1.0, 0.0], [2.0, 3.0]])).tolist()
    [1.0, 2.0, 3.0]
    """
    rows, columns = np.tril_indices(tril.shape[-1])
    return tril[..., rows, columns]


def unpack_triangle(packed: Array, dimension: int) -> Array:
    """Lay a packed lower triangle out again as a matrix of zeros above its diagonal.

    Parameters
    ----------
    packed
        Vectors along the last axis.
    dimension
        Number n of rows; the vectors have ``n (n + 1) / 2`` elements.

    Returns
    -------
    Lower triangular matrices along the last two axes.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> dist.unpack_triangle(jnp.array([1.0, 2.0, 3.0]), 2).tolist()
    [[1.0, 0.0], [2.0, 3.0]]
    """
    source = np.full((dimension, dimension), packed.shape[-1])
    source[np.tril_indices(dimension)] = np.arange(packed.shape[-1])
    return jnp.concatenate([packed, jnp.zeros_like(packed[..., :1])], axis=-1)[..., source]
