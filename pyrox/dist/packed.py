"""Matrices read as vectors: covariance factors and correlations in the packed form that PyMC uses."""
# ruff: noqa: FBT001 - validate_args may be given by position, as documented

import math

import jax.numpy as jnp
import numpy as np

from pyrox.dist import constraints
from pyrox.dist.constraints import Constraint
from pyrox.dist.correlations import LKJ, LKJCholeskyCov, pack_triangle, unpack_triangle
from pyrox.dist.distribution import Distribution, part
from pyrox.dist.transforms import Transform, biject_to
from pyrox.typing import Array, ArrayLike, Key, Shape


class PackedConstraint(Constraint):
    """The packed forms of a set of matrices."""

    event_dim = 1
    said = "the packed form of {base}"
    base: Constraint

    def __call__(self, x: ArrayLike) -> Array:
        return self.base(PackTransform(self.base).inverse(jnp.asarray(x)))

    def feasible_like(self, x: Array) -> Array:
        pack = PackTransform(self.base)
        return pack(self.base.feasible_like(pack.inverse(jnp.zeros_like(x))))


class PackTransform(Transform):
    """Read the free elements of a matrix row by row: volumes stay what they are.

    A lower Cholesky factor gives its lower triangle with the diagonal, a correlation matrix its upper one without.
    """

    matrices: Constraint

    @property
    def domain(self) -> Constraint:
        return self.matrices

    @property
    def codomain(self) -> Constraint:
        return PackedConstraint(self.matrices)

    @property
    def event_dim(self) -> int:
        return 2

    @property
    def _is_corr(self) -> bool:
        return isinstance(self.matrices, type(constraints.corr_matrix))

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        still = jnp.zeros(x.shape[:-2], x.dtype)
        if not self._is_corr:
            return pack_triangle(x), still
        rows, columns = np.triu_indices(x.shape[-1], 1)
        return x[..., rows, columns], still

    def inverse(self, y: Array) -> Array:
        order = self._order(y.shape[-1])
        if not self._is_corr:
            return unpack_triangle(y, order)
        source = np.full((order, order), y.shape[-1])
        rows, columns = np.triu_indices(order, 1)
        source[rows, columns] = source[columns, rows] = np.arange(y.shape[-1])
        return jnp.concatenate([y, jnp.ones_like(y[..., :1])], axis=-1)[..., source]

    def _order(self, length: int) -> int:
        root = math.isqrt(8 * length + 1)
        return (root + 1) // 2 if self._is_corr else (root - 1) // 2

    def forward_shape(self, shape: Shape) -> Shape:
        order = shape[-1]
        return (*shape[:-2], order * (order - 1) // 2 if self._is_corr else order * (order + 1) // 2)

    def inverse_shape(self, shape: Shape) -> Shape:
        order = self._order(shape[-1])
        return (*shape[:-1], order, order)


class OntoPacked(Transform):
    """Map unconstrained numbers onto the packed forms of a set of matrices."""

    matrices: Constraint
    domain = constraints.real_vector

    @property
    def codomain(self) -> Constraint:
        return PackedConstraint(self.matrices)

    @property
    def _pack(self) -> PackTransform:
        return PackTransform(self.matrices)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        matrix, log_det = biject_to(self.matrices).forward_and_log_det(x)
        return self._pack(matrix), log_det

    def inverse(self, y: Array) -> Array:
        return biject_to(self.matrices).inverse(self._pack.inverse(y))


@biject_to.register
def _(constraint: PackedConstraint) -> Transform:
    return OntoPacked(constraint.base)


class Packed(Distribution):
    """A distribution of matrices, read as vectors of their free elements.

    Parameters
    ----------
    base_dist
        Distribution of lower Cholesky factors or of correlation matrices.
    """

    base_dist: Distribution = part()

    @property
    def _pack(self) -> PackTransform:
        return PackTransform(self.base_dist.support)

    @property
    def support(self) -> Constraint:
        return PackedConstraint(self.base_dist.support)

    @property
    def batch_shape(self) -> Shape:
        return self.base_dist.batch_shape

    @property
    def event_shape(self) -> Shape:
        return self._pack.forward_shape(self.base_dist.event_shape)

    def _sample(self, key: Key, shape: Shape) -> Array:
        return self._pack(self.base_dist._sample(key, self._pack.inverse_shape(shape)))

    def _log_prob(self, value: Array) -> Array:
        return self.base_dist._log_prob(self._pack.inverse(value))


def packed_lkj_cholesky_cov(
    dimension: int, concentration: ArrayLike, scale_dist: Distribution, validate_args: bool | None = None
) -> Distribution:
    """Give the distribution of ``LKJCholeskyCov`` as a vector: the lower triangle, row by row.

    Parameters
    ----------
    dimension, concentration, scale_dist
        See ``LKJCholeskyCov``.
    """
    return Packed(LKJCholeskyCov(dimension, concentration, scale_dist, validate_args))


def packed_lkj(dimension: int, concentration: ArrayLike, validate_args: bool | None = None) -> Distribution:
    """Give the distribution of ``LKJ`` as a vector: the correlations above the diagonal, row by row.

    Parameters
    ----------
    dimension, concentration
        See ``LKJ``.
    """
    return Packed(LKJ(dimension, concentration, validate_args=validate_args))
