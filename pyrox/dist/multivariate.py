"""Distributions of vectors."""
# ruff: noqa: FBT001 - validate_args may be given by position, as documented

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from pyrox.dist import constraints
from pyrox.dist.discrete import choose_one
from pyrox.dist.distribution import Distribution, option, param
from pyrox.dist.linear import gaussian_exponent, half_log_det, precision_from_tril, solve_lower, transpose, tril_of_precision
from pyrox.dist.special import HALF_LOG_2PI, digamma, gammaln, log_gamma_ratio
from pyrox.errors import ShapeError
from pyrox.typing import Array, ArrayLike, Key, Shape


def _zero_before_pole(total: Array) -> Array:
    """Settle the border of the simplex where a share's pole meets another's zero: no density there."""
    return jnp.where(jnp.isnan(total), -jnp.inf, total)


class Dirichlet(Distribution):
    r"""Dirichlet distribution on the simplex.

    .. math:: p(x) = \frac{\Gamma(\sum_k a_k)}{\prod_k \Gamma(a_k)} \prod_k x_k^{a_k - 1}

    Parameters
    ----------
    concentration
        Weights :math:`a_k > 0` along the last axis.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> d = dist.Dirichlet(jnp.ones((2, 3, 4)))
    >>> d.batch_shape, d.event_shape
    ((2, 3), (4,))
    """

    concentration: Array = param(constraints.positive_vector, alias="a")
    support = constraints.simplex

    @property
    def event_shape(self) -> Shape:
        return self.concentration.shape[-1:]

    def _sample(self, key: Key, shape: Shape) -> Array:
        return jax.random.dirichlet(key, self.concentration, shape[:-1])

    def _log_prob(self, value: Array) -> Array:
        a = self.concentration
        constant = gammaln(jnp.sum(a, axis=-1)) - jnp.sum(gammaln(a), axis=-1)
        return constant + _zero_before_pole(jnp.sum(jax.scipy.special.xlogy(a - 1, value), axis=-1))

    def _mean(self) -> Array:
        return self.concentration / jnp.sum(self.concentration, axis=-1, keepdims=True)

    def _variance(self) -> Array:
        total = jnp.sum(self.concentration, axis=-1, keepdims=True)
        mean = self.concentration / total
        return mean * (1 - mean) / (total + 1)

    def _entropy(self) -> Array:
        a = self.concentration
        total = jnp.sum(a, axis=-1)
        constant = jnp.sum(gammaln(a), axis=-1) - gammaln(total) + (total - a.shape[-1]) * digamma(total)
        return constant - jnp.sum((a - 1) * digamma(a), axis=-1)


class MultivariateNormal(Distribution):
    r"""Multivariate normal distribution, by its covariance, its precision or a Cholesky factor.

    .. math:: p(x) = (2\pi)^{-d/2} |\Sigma|^{-1/2} \exp\left(-\tfrac12 (x - \mu)^T \Sigma^{-1} (x - \mu)\right)

    Parameters
    ----------
    loc
        Mean :math:`\mu`, of d elements along the last axis.
    covariance_matrix
        Covariance :math:`\Sigma`, positive definite, d x d.
    precision_matrix
        Its inverse, instead.
    scale_tril
        Its lower Cholesky factor, instead.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> d = dist.MultivariateNormal(jnp.zeros(2), covariance_matrix=jnp.eye(2))
    >>> round(float(d.log_prob(jnp.zeros(2))), 4)
    -1.8379
    """

    loc: Array = param(constraints.real_vector, default=0.0, alias="mu")
    _covariance_matrix: Array | None = param(constraints.positive_definite, default=None, alias="cov")
    _precision_matrix: Array | None = param(constraints.positive_definite, default=None, alias="tau")
    _scale_tril: Array | None = param(constraints.lower_cholesky, default=None, alias="chol")
    support = constraints.real_vector

    def __init__(
        self,
        loc: ArrayLike = 0.0,
        covariance_matrix: ArrayLike | None = None,
        precision_matrix: ArrayLike | None = None,
        scale_tril: ArrayLike | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = {
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }
        which = choose_one("MultivariateNormal", **given)
        shape = np.shape(given[which])
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise ShapeError(f"MultivariateNormal: {which} must be square; met shape {shape}")
        loc = jnp.broadcast_to(loc, shape[-1:]) if np.ndim(loc) == 0 else loc
        if np.shape(loc)[-1] not in (1, shape[-1]):
            raise ShapeError(f"MultivariateNormal: loc {np.shape(loc)} does not fit {which} {shape}")
        self._set({"loc": loc, **given}, validate_args)

    @property
    def event_shape(self) -> Shape:
        given = (self._covariance_matrix, self._precision_matrix, self._scale_tril)
        return next(jnp.shape(matrix)[-1:] for matrix in given if matrix is not None)

    @property
    def scale_tril(self) -> Array:
        """Lower Cholesky factor of the covariance."""
        if self._scale_tril is not None:
            return self._scale_tril
        if self._covariance_matrix is not None:
            return jnp.linalg.cholesky(self._covariance_matrix)
        return tril_of_precision(self._precision_matrix)

    @property
    def covariance_matrix(self) -> Array:
        """Covariance."""
        if self._covariance_matrix is not None:
            return self._covariance_matrix
        return self.scale_tril @ transpose(self.scale_tril)

    @property
    def precision_matrix(self) -> Array:
        """Inverse of the covariance."""
        if self._precision_matrix is not None:
            return self._precision_matrix
        return precision_from_tril(self.scale_tril)

    def _sample(self, key: Key, shape: Shape) -> Array:
        noise = jax.random.normal(key, shape)
        return self.loc + jnp.einsum("...ij,...j->...i", self.scale_tril, noise)

    def _log_prob(self, value: Array) -> Array:
        apart = value - self.loc
        # The derivative through the inverse pays for few vectors; for many, that through the factor costs less.
        if self._covariance_matrix is not None and apart.size <= self._covariance_matrix.size:
            exponent = gaussian_exponent(apart, self._covariance_matrix)
            return exponent - self.event_shape[0] * HALF_LOG_2PI
        if self._precision_matrix is not None:
            distance = jnp.sum(apart * jnp.einsum("...ij,...j->...i", self._precision_matrix, apart), axis=-1)
            log_det = -half_log_det(jnp.linalg.cholesky(self._precision_matrix))
        else:
            tril = self.scale_tril
            z = solve_lower(tril, apart)
            distance, log_det = jnp.sum(z * z, axis=-1), half_log_det(tril)
        return -0.5 * distance - log_det - self.event_shape[0] * HALF_LOG_2PI

    def _mean(self) -> Array:
        return self.loc

    def _variance(self) -> Array:
        return jnp.diagonal(self.covariance_matrix, axis1=-2, axis2=-1)

    def _entropy(self) -> Array:
        return half_log_det(self.scale_tril) + self.event_shape[0] * (HALF_LOG_2PI + 0.5)


class LowRankMultivariateNormal(Distribution):
    r"""Multivariate normal whose covariance is a diagonal and a few directions.

    .. math:: \Sigma = W W^T + \mathrm{diag}(D)

    Evaluated through the r x r capacitance matrix :math:`I + W^T D^{-1} W`: linear in the dimension.

    Parameters
    ----------
    loc
        Mean, of d elements along the last axis.
    cov_factor
        Directions W, d x r.
    cov_diag
        Variances D > 0, of d elements.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> d = dist.LowRankMultivariateNormal(jnp.zeros(2), jnp.ones((2, 1)), jnp.ones(2))
    >>> d.covariance_matrix.tolist()
    [[2.0, 1.0], [1.0, 2.0]]
    """

    loc: Array = param(constraints.real_vector, alias="mu")
    cov_factor: Array = param(constraints.independent(constraints.real, 2))
    cov_diag: Array = param(constraints.positive_vector)
    support = constraints.real_vector

    @property
    def event_shape(self) -> Shape:
        return jnp.shape(self.cov_diag)[-1:]

    def _check_shapes(self) -> None:
        self._require_same_size(
            loc=jnp.shape(self.loc)[-1],
            cov_factor=jnp.shape(self.cov_factor)[-2],
            cov_diag=jnp.shape(self.cov_diag)[-1],
        )

    @property
    def _capacitance_tril(self) -> Array:
        weighted = transpose(self.cov_factor / self.cov_diag[..., None])
        return jnp.linalg.cholesky(weighted @ self.cov_factor + jnp.eye(self.cov_factor.shape[-1]))

    @property
    def covariance_matrix(self) -> Array:
        """Covariance."""
        diagonal = self.cov_diag[..., None] * jnp.eye(self.cov_diag.shape[-1])
        return self.cov_factor @ transpose(self.cov_factor) + diagonal

    @property
    def precision_matrix(self) -> Array:
        """Inverse of the covariance."""
        weighted = transpose(self.cov_factor / self.cov_diag[..., None])
        half = solve_triangular(self._capacitance_tril, weighted, lower=True)
        return jnp.eye(self.cov_diag.shape[-1]) / self.cov_diag[..., None] - transpose(half) @ half

    @property
    def scale_tril(self) -> Array:
        """Lower Cholesky factor of the covariance."""
        return jnp.linalg.cholesky(self.covariance_matrix)

    def _half_log_det(self) -> Array:
        return half_log_det(self._capacitance_tril) + 0.5 * jnp.sum(jnp.log(self.cov_diag), axis=-1)

    def _sample(self, key: Key, shape: Shape) -> Array:
        key_low, key_diagonal = jax.random.split(key)
        few = jax.random.normal(key_low, (*shape[:-1], self.cov_factor.shape[-1]))
        each = jnp.sqrt(self.cov_diag) * jax.random.normal(key_diagonal, shape)
        return self.loc + jnp.einsum("...ij,...j->...i", self.cov_factor, few) + each

    def _log_prob(self, value: Array) -> Array:
        apart = value - self.loc
        weighted = apart / self.cov_diag
        few = jnp.einsum("...ij,...i->...j", self.cov_factor, weighted)
        z = solve_lower(self._capacitance_tril, few)
        distance = jnp.sum(apart * weighted, axis=-1) - jnp.sum(z * z, axis=-1)
        return -0.5 * distance - self._half_log_det() - self.event_shape[0] * HALF_LOG_2PI

    def _mean(self) -> Array:
        return self.loc

    def _variance(self) -> Array:
        return jnp.sum(self.cov_factor**2, axis=-1) + self.cov_diag

    def _entropy(self) -> Array:
        return self._half_log_det() + self.event_shape[0] * (HALF_LOG_2PI + 0.5)


class MultivariateStudentT(Distribution):
    r"""Multivariate Student's t distribution.

    .. math:: p(x) = \frac{\Gamma(\frac{\nu + d}{2})}{\Gamma(\frac{\nu}{2}) (\nu\pi)^{d/2} |L|}
        \left(1 + \frac{|L^{-1} (x - \mu)|^2}{\nu}\right)^{-(\nu + d) / 2}

    Parameters
    ----------
    df
        Degrees of freedom :math:`\nu > 0`.
    loc
        Location :math:`\mu`, of d elements along the last axis.
    scale_tril
        Lower Cholesky factor L of the scale matrix, d x d.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> round(float(dist.MultivariateStudentT(3.0, jnp.zeros(2), jnp.eye(2)).log_prob(jnp.zeros(2))), 4)
    -1.8379
    """

    df: Array = param(constraints.positive, alias="nu")
    loc: Array = param(constraints.real_vector, alias="mu")
    scale_tril: Array = param(constraints.lower_cholesky, alias="chol")
    support = constraints.real_vector

    @property
    def event_shape(self) -> Shape:
        return jnp.shape(self.scale_tril)[-1:]

    def _check_shapes(self) -> None:
        self._require_same_size(loc=jnp.shape(self.loc)[-1], scale_tril=jnp.shape(self.scale_tril)[-1])

    def _sample(self, key: Key, shape: Shape) -> Array:
        key_normal, key_scale = jax.random.split(key)
        normal = jnp.einsum("...ij,...j->...i", self.scale_tril, jax.random.normal(key_normal, shape))
        mixed = jax.random.gamma(key_scale, 0.5 * self.df, shape[:-1]) / (0.5 * self.df)
        return self.loc + normal / jnp.sqrt(mixed)[..., None]

    def _log_prob(self, value: Array) -> Array:
        order, half = self.event_shape[0], 0.5 * self.df
        z = solve_lower(self.scale_tril, value - self.loc)
        constant = log_gamma_ratio(half, 0.5 * order) - 0.5 * order * jnp.log(jnp.pi * self.df)
        tail = (half + 0.5 * order) * jnp.log1p(jnp.sum(z * z, axis=-1) / self.df)
        return constant - half_log_det(self.scale_tril) - tail

    def _mean(self) -> Array:
        return jnp.where(self.df > 1, 0.0, jnp.nan)[..., None] + self.loc

    def _variance(self) -> Array:
        above = jnp.where(self.df > 2, self.df, 3.0)
        factor = jnp.where(self.df > 2, above / (above - 2), jnp.where(self.df > 1, jnp.inf, jnp.nan))
        return factor[..., None] * jnp.sum(self.scale_tril**2, axis=-1)

    def _entropy(self) -> Array:
        order, half = self.event_shape[0], 0.5 * self.df
        end = half + 0.5 * order
        constant = 0.5 * order * jnp.log(jnp.pi * self.df) - log_gamma_ratio(half, 0.5 * order)
        return constant + half_log_det(self.scale_tril) + end * (digamma(end) - digamma(half))


class StickBreakingWeights(Distribution):
    r"""Shares of a stick broken K times, each time at a Beta(1, :math:`\alpha`) fraction of what is left.

    .. math:: w_k = \beta_k \prod_{j < k} (1 - \beta_j), \quad w_{K+1} = \prod_{j \le K} (1 - \beta_j)

    Parameters
    ----------
    concentration
        :math:`\alpha > 0`: the larger, the more even the shares.
    num_breaks
        Number K of breaks, one less than the number of shares.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> dist.StickBreakingWeights(1.0, 2).mean.tolist()
    [0.5, 0.25, 0.25]
    """

    concentration: Array = param(constraints.positive, alias="alpha")
    num_breaks: int = option()
    support = constraints.simplex

    @property
    def event_shape(self) -> Shape:
        return (self.num_breaks + 1,)

    def _sample(self, key: Key, shape: Shape) -> Array:
        # log(1 - beta) is exponential: the products are sums.
        log_left = -jax.random.exponential(key, (*shape[:-1], self.num_breaks)) / self.concentration[..., None]
        broken = jnp.concatenate([-jnp.expm1(log_left), jnp.ones((*shape[:-1], 1))], axis=-1)
        before = jnp.concatenate([jnp.zeros((*shape[:-1], 1)), jnp.cumsum(log_left, axis=-1)], axis=-1)
        return broken * jnp.exp(before)

    def _log_prob(self, value: Array) -> Array:
        left = jnp.cumsum(value[..., ::-1], axis=-1)[..., ::-1]
        a = self.concentration
        last = jax.scipy.special.xlogy(a - 1, value[..., -1])
        return self.num_breaks * jnp.log(a) + _zero_before_pole(last - jnp.sum(jnp.log(left[..., 1:-1]), axis=-1))

    def _powers(self, one: Array, rest: Array) -> Array:
        """Give ``one * rest^k`` for the first K shares and ``rest^K`` for the last."""
        k = jnp.arange(self.num_breaks + 1)
        factor = jnp.where(k < self.num_breaks, one[..., None], 1.0)
        return factor * rest[..., None] ** k

    def _mean(self) -> Array:
        a = self.concentration
        return self._powers(1 / (1 + a), a / (1 + a))

    def _variance(self) -> Array:
        a = self.concentration
        return self._powers(2 / ((1 + a) * (2 + a)), a / (2 + a)) - self._mean() ** 2
