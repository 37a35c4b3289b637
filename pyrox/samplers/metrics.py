"""Metrics of the kinetic energy: where momenta come from and how they turn into velocities."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from pyrox._pytree import Pytree, static
from pyrox.samplers.vectors import inner, namespace
from pyrox.typing import Array

# Most directions that a metric of low rank keeps.
MAX_RANK = 50


class DiagonalMetric(Pytree):
    r"""Kinetic energy :math:`\tfrac12 \sum_i m_i^{-1} p_i^2`.

    Parameters
    ----------
    inverse_mass
        Diagonal of the inverse mass matrix, shape ``(dim,)``: the squared scales of the position.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import DiagonalMetric
    >>> metric = DiagonalMetric(jnp.array([4.0, 1.0]))
    >>> momentum = metric.momentum(jnp.array([1.0, 1.0]))
    >>> momentum.tolist(), metric.velocity(momentum).tolist()
    ([0.5, 1.0], [2.0, 1.0])
    """

    inverse_mass: Array

    @property
    def mass_sqrt(self) -> Array:
        """Diagonal of the square root of the mass matrix, shape ``(dim,)``."""
        return 1 / jnp.sqrt(self.inverse_mass)

    @property
    def squared_scales(self) -> Array:
        """Squared scales of the position, shape ``(dim,)``: the inverse mass."""
        return self.inverse_mass

    @staticmethod
    def unit(position: Array) -> "DiagonalMetric":
        """Give the metric with masses of one."""
        return DiagonalMetric(np.ones(position.shape, position.dtype))

    def with_inverse_mass(self, inverse_mass: Array) -> "DiagonalMetric":
        """Give the metric of another inverse mass."""
        return DiagonalMetric(inverse_mass)

    def momentum(self, noise: Array) -> Array:
        """Turn standard normal numbers into a draw whose covariance is the mass matrix."""
        return noise / jnp.sqrt(self.inverse_mass)

    def velocity(self, momentum: Array) -> Array:
        """Give the change of the position per unit of time."""
        return self.inverse_mass * momentum

    def kinetic_energy(self, momentum: Array, velocity: Array) -> Array:
        """Give the energy of a momentum whose velocity is known: half its squared length."""
        return 0.5 * inner(momentum, velocity)


class DenseMetric(Pytree):
    r"""Kinetic energy :math:`\tfrac12 p^T M^{-1} p`.

    Parameters
    ----------
    inverse_mass
        Inverse mass matrix, shape ``(dim, dim)``: a covariance of the position.
    mass_sqrt
        A matrix S with :math:`S S^T = M`, shape ``(dim, dim)``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import DenseMetric
    >>> metric = DenseMetric(jnp.diag(jnp.array([4.0, 1.0])), jnp.diag(jnp.array([0.5, 1.0])))
    >>> momentum = metric.momentum(jnp.array([1.0, 1.0]))
    >>> momentum.tolist(), metric.velocity(momentum).tolist()
    ([0.5, 1.0], [2.0, 1.0])
    """

    inverse_mass: Array
    mass_sqrt: Array

    @staticmethod
    def unit(position: Array) -> "DenseMetric":
        """Give the metric with the identity as mass matrix."""
        identity = np.eye(position.shape[0], dtype=position.dtype)
        return DenseMetric(identity, identity)

    def with_inverse_mass(self, inverse_mass: Array) -> "DenseMetric":
        """Give the metric of another inverse mass, of which only the diagonal is given."""
        return DenseMetric(jnp.diag(inverse_mass), jnp.diag(jnp.sqrt(1 / inverse_mass)))

    def with_directions(self, scale: Array, directions: Array, stretch: Array) -> "DenseMetric":
        """Give the metric of an inverse mass in factors; see ``LowRankMetric``."""
        inverse_mass = scale[:, None] * _stretched(directions, stretch) * scale
        return DenseMetric(inverse_mass, _stretched(directions, stretch**-0.5) / scale[:, None])

    def momentum(self, noise: Array) -> Array:
        """Turn standard normal numbers into a draw whose covariance is the mass matrix."""
        return self.mass_sqrt @ noise

    def velocity(self, momentum: Array) -> Array:
        """Give the change of the position per unit of time."""
        return self.inverse_mass @ momentum

    def kinetic_energy(self, momentum: Array, velocity: Array) -> Array:
        """Give the energy of a momentum whose velocity is known: half its squared length."""
        return 0.5 * inner(momentum, velocity)


class RankOneMetric(Pytree):
    r"""Kinetic energy :math:`\tfrac12 p^T M^{-1} p` with :math:`M^{-1} = S (I + (\lambda - 1) u u^T) S`.

    Parameters
    ----------
    squared_scales
        Diagonal of S squared, shape ``(dim,)``.
    reach
        S u, shape ``(dim,)``: the direction u, of length one, in units of the position.
    stretch
        :math:`\lambda`, a scalar: how much longer than the scales the position varies along it, squared.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import RankOneMetric
    >>> metric = RankOneMetric(jnp.array([4.0, 1.0]), jnp.array([0.0, 1.0]), jnp.array(9.0))
    >>> momentum = metric.momentum(jnp.array([1.0, 1.0]))
    >>> momentum.round(3).tolist(), metric.velocity(momentum).round(3).tolist()
    ([0.5, 0.333], [2.0, 3.0])
    """

    squared_scales: Array
    reach: Array
    stretch: Array

    @property
    def direction(self) -> Array:
        """The direction u, shape ``(dim,)``."""
        return self.reach / jnp.sqrt(self.squared_scales)

    @property
    def inverse_mass(self) -> Array:
        """Inverse mass matrix, shape ``(dim, dim)``."""
        return jnp.diag(self.squared_scales) + (self.stretch - 1) * jnp.outer(self.reach, self.reach)

    @property
    def mass_sqrt(self) -> Array:
        """A matrix S with :math:`S S^T = M`, shape ``(dim, dim)``."""
        root = _stretched(self.direction[:, None], self.stretch[None] ** -0.5)
        return root / jnp.sqrt(self.squared_scales)[:, None]

    @staticmethod
    def unit(position: Array) -> "RankOneMetric":
        """Give the metric with masses of one."""
        shape, dtype = position.shape, position.dtype
        return RankOneMetric(np.ones(shape, dtype), np.zeros(shape, dtype), np.ones((), dtype))

    def with_inverse_mass(self, inverse_mass: Array) -> "RankOneMetric":
        """Give the metric of other squared scales, with the same direction relative to them."""
        return RankOneMetric(inverse_mass, self.direction * jnp.sqrt(inverse_mass), self.stretch)

    def with_direction(self, direction: Array, stretch: Array) -> "RankOneMetric":
        """Give the metric of the same scales with another direction, of length one."""
        return RankOneMetric(self.squared_scales, direction * jnp.sqrt(self.squared_scales), stretch)

    def momentum(self, noise: Array) -> Array:
        """Turn standard normal numbers into a draw whose covariance is the mass matrix."""
        u = self.direction
        return (noise + (self.stretch**-0.5 - 1) * inner(u, noise) * u) / jnp.sqrt(self.squared_scales)

    def velocity(self, momentum: Array) -> Array:
        """Give the change of the position per unit of time."""
        return self.squared_scales * momentum + (self.stretch - 1) * inner(self.reach, momentum) * self.reach

    def kinetic_energy(self, momentum: Array, velocity: Array) -> Array:
        """Give the energy of a momentum whose velocity is known: half its squared length."""
        return 0.5 * inner(momentum, velocity)


class LowRankMetric(Pytree):
    r"""Kinetic energy :math:`\tfrac12 p^T M^{-1} p` with :math:`M^{-1} = S (I + U (\Lambda - I) U^T) S`.

    Parameters
    ----------
    scale
        Diagonal of S, shape ``(dim,)``.
    directions
        Orthonormal columns U, shape ``(dim, rank)``.
    stretch
        Diagonal of :math:`\Lambda`, shape ``(rank,)``: how much longer than the scale the position varies along
        each direction, squared.
    """

    scale: Array
    directions: Array
    stretch: Array

    @staticmethod
    def unit(position: Array) -> "LowRankMetric":
        """Give the metric with the identity as mass matrix."""
        shape, dtype = position.shape, position.dtype
        rank = min(*shape, MAX_RANK)
        directions = np.eye(*shape, rank, dtype=dtype)
        return LowRankMetric(np.ones(shape, dtype), directions, np.ones(rank, dtype))

    @property
    def inverse_mass(self) -> Array:
        """Inverse mass matrix, shape ``(dim, dim)``."""
        return self.scale[:, None] * _stretched(self.directions, self.stretch) * self.scale

    @property
    def mass_sqrt(self) -> Array:
        """A matrix S with :math:`S S^T = M`, shape ``(dim, dim)``."""
        return _stretched(self.directions, self.stretch**-0.5) / self.scale[:, None]

    def with_inverse_mass(self, inverse_mass: Array) -> "LowRankMetric":
        """Give the metric of another inverse mass, of which only the diagonal is given."""
        return LowRankMetric(jnp.sqrt(inverse_mass), self.directions, jnp.ones_like(self.stretch))

    def with_directions(self, scale: Array, directions: Array, stretch: Array) -> "LowRankMetric":
        """Give the metric of an inverse mass in factors, of which those that matter most are kept."""
        # Equal relative errors along a direction, too long or too short, cost a trajectory about the same.
        kept = (-abs(namespace(stretch).log(stretch))).argsort()[: self.stretch.shape[0]]
        return LowRankMetric(scale, directions[:, kept], stretch[kept])

    def momentum(self, noise: Array) -> Array:
        """Turn standard normal numbers into a draw whose covariance is the mass matrix."""
        return self._stretch(noise, self.stretch**-0.5) / self.scale

    def velocity(self, momentum: Array) -> Array:
        """Give the change of the position per unit of time."""
        return self.scale * self._stretch(self.scale * momentum, self.stretch)

    def kinetic_energy(self, momentum: Array, velocity: Array) -> Array:
        """Give the energy of a momentum whose velocity is known: half its squared length."""
        return 0.5 * inner(momentum, velocity)

    def _stretch(self, vector: Array, factors: Array) -> Array:
        return vector + self.directions @ ((factors - 1) * (self.directions.T @ vector))


def _stretched(directions: Array, factors: Array) -> Array:
    identity = np.eye(directions.shape[0], dtype=directions.dtype)
    return identity + (directions * (factors - 1)) @ directions.T


class CustomMetric(Pytree):
    """A kinetic energy of the user's own, with momenta drawn as for the metric inside.

    Parameters
    ----------
    base
        The metric that is adapted, and that momenta come from.
    kinetic_fn
        Function of the inverse mass and a momentum; its gradient is the velocity.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import CustomMetric, DiagonalMetric
    >>> relativistic = lambda inverse_mass, p: jnp.sqrt(1 + jnp.sum(inverse_mass * p**2))
    >>> metric = CustomMetric(DiagonalMetric(jnp.ones(1)), relativistic)
    >>> round(float(metric.velocity(jnp.array([10.0]))[0]), 3)  # never above one
    0.995
    """

    base: DiagonalMetric | RankOneMetric | DenseMetric | LowRankMetric
    kinetic_fn: Callable = static()

    @property
    def inverse_mass(self) -> Array:
        """Inverse mass of the metric inside."""
        return self.base.inverse_mass

    @property
    def mass_sqrt(self) -> Array:
        """Square root of the mass of the metric inside."""
        return self.base.mass_sqrt

    @property
    def squared_scales(self) -> Array:
        """Squared scales of the metric inside."""
        return self.base.squared_scales

    @property
    def stretch(self) -> Array:
        """Stretch of the metric inside, along its direction."""
        return self.base.stretch

    def with_inverse_mass(self, inverse_mass: Array) -> "CustomMetric":
        """Give the metric of another inverse mass."""
        return CustomMetric(self.base.with_inverse_mass(inverse_mass), self.kinetic_fn)

    def with_direction(self, direction: Array, stretch: Array) -> "CustomMetric":
        """Give the metric of the same scales with another direction; see ``RankOneMetric``."""
        return CustomMetric(self.base.with_direction(direction, stretch), self.kinetic_fn)

    def with_directions(self, scale: Array, directions: Array, stretch: Array) -> "CustomMetric":
        """Give the metric of an inverse mass in factors; see ``LowRankMetric``."""
        return CustomMetric(self.base.with_directions(scale, directions, stretch), self.kinetic_fn)

    def momentum(self, noise: Array) -> Array:
        """Turn standard normal numbers into a draw whose covariance is the mass matrix."""
        return self.base.momentum(noise)

    def velocity(self, momentum: Array) -> Array:
        """Give the change of the position per unit of time."""
        return jax.grad(self.kinetic_fn, argnums=1)(self.base.inverse_mass, momentum)

    def kinetic_energy(self, momentum: Array, velocity: Array) -> Array:
        """Give the energy of a momentum whose velocity is known."""
        return self.kinetic_fn(self.base.inverse_mass, momentum)


Metric = DiagonalMetric | RankOneMetric | DenseMetric | LowRankMetric | CustomMetric
