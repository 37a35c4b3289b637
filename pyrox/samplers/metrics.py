"""Metrics of the kinetic energy: where momenta come from and how they turn into velocities."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from pyrox._pytree import Pytree, static
from pyrox.typing import Array, Key


class DiagonalMetric(Pytree):
    r"""Kinetic energy :math:`\tfrac12 \sum_i m_i^{-1} p_i^2`.

    Parameters
    ----------
    inverse_mass
        Diagonal of the inverse mass matrix, shape ``(dim,)``: the squared scales of the position.
    """

    inverse_mass: Array

    @staticmethod
    def unit(position: Array) -> "DiagonalMetric":
        """Give the metric with masses of one."""
        return DiagonalMetric(jnp.ones_like(position))

    def with_inverse_mass(self, inverse_mass: Array) -> "DiagonalMetric":
        """Give the metric of another inverse mass."""
        return DiagonalMetric(inverse_mass)

    def sample_momentum(self, key: Key) -> Array:
        """Draw from the normal distribution with the mass matrix as covariance."""
        noise = jax.random.normal(key, self.inverse_mass.shape, self.inverse_mass.dtype)
        return noise / jnp.sqrt(self.inverse_mass)

    def velocity(self, momentum: Array) -> Array:
        """Give the change of the position per unit of time."""
        return self.inverse_mass * momentum

    def kinetic_energy(self, momentum: Array) -> Array:
        """Give half the squared length of a momentum."""
        return 0.5 * jnp.vdot(momentum, self.velocity(momentum))


class DenseMetric(Pytree):
    r"""Kinetic energy :math:`\tfrac12 p^T M^{-1} p`.

    Parameters
    ----------
    inverse_mass
        Inverse mass matrix, shape ``(dim, dim)``: a covariance of the position.
    mass_sqrt
        A matrix S with :math:`S S^T = M`, shape ``(dim, dim)``.
    """

    inverse_mass: Array
    mass_sqrt: Array

    @staticmethod
    def unit(position: Array) -> "DenseMetric":
        """Give the metric with the identity as mass matrix."""
        identity = jnp.eye(position.shape[0], dtype=position.dtype)
        return DenseMetric(identity, identity)

    def with_inverse_mass(self, inverse_mass: Array) -> "DenseMetric":
        """Give the metric of another inverse mass."""
        # With M^-1 = L L^T, the mass matrix is L^-T L^-1.
        return DenseMetric(inverse_mass, invert_lower(cholesky(inverse_mass)).T)

    def sample_momentum(self, key: Key) -> Array:
        """Draw from the normal distribution with the mass matrix as covariance."""
        return self.mass_sqrt @ jax.random.normal(key, self.inverse_mass.shape[:1], self.inverse_mass.dtype)

    def velocity(self, momentum: Array) -> Array:
        """Give the change of the position per unit of time."""
        return self.inverse_mass @ momentum

    def kinetic_energy(self, momentum: Array) -> Array:
        """Give half the squared length of a momentum."""
        return 0.5 * jnp.vdot(momentum, self.velocity(momentum))


class CustomMetric(Pytree):
    """A kinetic energy of the user's own, with momenta drawn as for the metric inside.

    Parameters
    ----------
    base
        The metric that is adapted, and that momenta come from.
    kinetic_fn
        Function of the inverse mass and a momentum; its gradient is the velocity.
    """

    base: DiagonalMetric | DenseMetric
    kinetic_fn: Callable = static()

    @property
    def inverse_mass(self) -> Array:
        """Inverse mass of the metric inside."""
        return self.base.inverse_mass

    def with_inverse_mass(self, inverse_mass: Array) -> "CustomMetric":
        """Give the metric of another inverse mass."""
        return CustomMetric(self.base.with_inverse_mass(inverse_mass), self.kinetic_fn)

    def sample_momentum(self, key: Key) -> Array:
        """Draw from the normal distribution with the mass matrix as covariance."""
        return self.base.sample_momentum(key)

    def velocity(self, momentum: Array) -> Array:
        """Give the change of the position per unit of time."""
        return jax.grad(self.kinetic_energy)(momentum)

    def kinetic_energy(self, momentum: Array) -> Array:
        """Give the energy of a momentum."""
        return self.kinetic_fn(self.base.inverse_mass, momentum)


Metric = DiagonalMetric | DenseMetric | CustomMetric


def cholesky(matrix: Array) -> Array:
    """Factor a positive definite matrix by columns.

    Products with vectors only: LAPACK cannot be called from inside a native kernel, and once in a hundred
    transitions the speed of the loop is enough.
    """
    rows = jnp.arange(matrix.shape[0])

    def column(j: Array, lower: Array) -> Array:
        rest = lax.dynamic_index_in_dim(matrix, j, 1, keepdims=False)
        rest = rest - lower @ lax.dynamic_index_in_dim(lower, j, 0, keepdims=False)
        pivot = jnp.sqrt(lax.dynamic_index_in_dim(rest, j, keepdims=False))
        return lax.dynamic_update_index_in_dim(lower, jnp.where(rows >= j, rest / pivot, 0.0), j, 1)

    return lax.fori_loop(0, matrix.shape[0], column, jnp.zeros_like(matrix))


def invert_lower(lower: Array) -> Array:
    """Invert a lower triangular matrix by rows."""
    identity = jnp.eye(lower.shape[0], dtype=lower.dtype)

    def row(i: Array, inverse: Array) -> Array:
        own = lax.dynamic_index_in_dim(lower, i, 0, keepdims=False)
        pivot = lax.dynamic_index_in_dim(own, i, keepdims=False)
        # Rows from i on are still zero, so that only those above count.
        new = (lax.dynamic_index_in_dim(identity, i, 0, keepdims=False) - own @ inverse) / pivot
        return lax.dynamic_update_index_in_dim(inverse, new, i, 0)

    return lax.fori_loop(0, lower.shape[0], row, jnp.zeros_like(lower))
