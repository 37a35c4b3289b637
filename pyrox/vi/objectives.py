"""Objectives: lower bounds of the log evidence, estimated from draws of a guide."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.typing import Array, Key
from pyrox.vi.terms import Particle, program_particle


class ELBO:
    r"""The evidence lower bound.

    .. math:: \mathcal L = E_{q(z)}[\log p(x, z) - \log q(z)] \le \log p(x)

    Sites whose draws carry no derivative, such as discrete ones, add score-function terms to the gradient, against
    the mean of the other particles as their baseline.

    Parameters
    ----------
    num_particles
        Number of draws of each estimate, all at once (``jax.vmap``).
    analytic_kl
        Whether the divergence of a guide's site from the model's prior takes its closed form where there is one.
    sticking_the_landing
        Whether the gradient leaves out the score of the guide at its own draws, which is zero on average: its noise
        vanishes where the guide is exact. Every divergence is then estimated.

    Examples
    --------
    >>> import jax
    >>> import pyrox.dist as dist
    >>> from pyrox.model.primitives import sample
    >>> from pyrox.vi import ELBO
    >>> model = lambda: sample("x", dist.Normal(0.0, 1.0))
    >>> guide = lambda: sample("x", dist.Normal(1.0, 1.0))
    >>> float(ELBO().loss(jax.random.key(0), {}, model, guide))
    0.5

    References
    ----------
    .. [1] Wingate and Weber (2013), Automated variational inference in probabilistic programming.
    .. [2] Ranganath, Gerrish and Blei (2014), Black box variational inference.
    .. [3] Roeder, Wu and Duvenaud (2017), Sticking the landing: Simple, lower-variance gradient estimators.
    """

    def __init__(
        self, num_particles: int = 1, *, analytic_kl: bool = True, sticking_the_landing: bool = False
    ) -> None:
        if isinstance(num_particles, bool) or not isinstance(num_particles, int) or num_particles < 1:
            raise ValueError(f"num_particles is a whole number of at least 1; met {num_particles!r}")
        self.num_particles, self.analytic_kl = num_particles, analytic_kl
        self.sticking_the_landing = sticking_the_landing

    def loss(
        self, rng_key: Key, param_map: Mapping[str, Any], model: Callable, guide: Callable, *args: Any, **kwargs: Any
    ) -> Array:
        """Estimate the negative bound.

        Parameters
        ----------
        rng_key
            A JAX key.
        param_map
            Values of the parameters, in their constraints, by name.
        model, guide
            Programs, with the same latent variables.
        *args, **kwargs
            Their arguments.

        Returns
        -------
        A scalar, whose derivative by the parameters estimates that of the negative bound.

        Raises
        ------
        ModelError
            If a latent variable of one is missing from the other.
        """

        def draw(key: Key) -> Particle:
            if hasattr(guide, "weigh"):
                return guide.weigh(key, param_map, args, kwargs, model=model, stick=self.sticking_the_landing)
            return program_particle(
                key, param_map, model, guide, args, kwargs,
                analytic=self.analytic_kl, stick=bool(self.sticking_the_landing),
            )  # fmt: skip

        return self.estimate(rng_key, draw)

    def estimate(self, key: Key, draw: Callable[[Key], Particle]) -> Array:
        """Estimate the negative bound from a function of a key that draws and weighs once."""
        if self.num_particles == 1:
            one = draw(key)
            particles = jax.tree.map(lambda x: x[None], one)
        else:
            particles = jax.vmap(draw)(jax.random.split(key, self.num_particles))
        return self.combine(particles)

    def combine(self, particles: Particle) -> Array:
        """Make one loss of weighed draws; every field has a leading axis of particles."""
        weights, count = particles.log_weight, self.num_particles
        loss = -jnp.mean(weights)
        if particles.score is None:
            return loss
        others = (jnp.sum(weights) - weights) / (count - 1) if count > 1 else 0.0
        advantage = jax.lax.stop_gradient(weights - others)
        return loss - _without_value(jnp.mean(advantage * particles.score))


class RenyiELBO(ELBO):
    r"""Rényi's bound of order alpha, at alpha = 0 that of the importance weighted autoencoder.

    .. math:: \mathcal L_\alpha = \frac{1}{1 - \alpha} \log \frac1K \sum_{k=1}^K
              \left(\frac{p(x, z_k)}{q(z_k)}\right)^{1 - \alpha}, \quad z_k \sim q

    Parameters
    ----------
    alpha
        Order, not 1; below 1 the bound is tighter than the ELBO.
    num_particles
        Number of draws K.

    Examples
    --------
    >>> import jax
    >>> import pyrox.dist as dist
    >>> from pyrox.model.primitives import sample
    >>> from pyrox.vi import ELBO, RenyiELBO
    >>> model = lambda: sample("x", dist.Normal(0.0, 1.0))
    >>> guide = lambda: sample("x", dist.Normal(1.0, 1.0))
    >>> key = jax.random.key(0)
    >>> bool(RenyiELBO(alpha=0, num_particles=100).loss(key, {}, model, guide) < ELBO().loss(key, {}, model, guide))
    True

    References
    ----------
    .. [1] Li and Turner (2016), Rényi divergence variational inference.
    .. [2] Burda, Grosse and Salakhutdinov (2016), Importance weighted autoencoders.
    """

    def __init__(self, alpha: float = 0, num_particles: int = 2) -> None:
        if isinstance(alpha, bool) or not isinstance(alpha, int | float | np.number):
            raise ValueError(f"RenyiELBO: alpha is a number; met {alpha!r}")
        if alpha == 1:
            raise ValueError("RenyiELBO: at alpha = 1 the bound is the ELBO; use ELBO(num_particles)")
        ELBO.__init__(self, num_particles, analytic_kl=False)
        self.alpha = alpha

    def combine(self, particles: Particle) -> Array:
        order = 1 - self.alpha
        total = jax.scipy.special.logsumexp(order * particles.log_weight) - jnp.log(self.num_particles)
        loss = -total / order
        if particles.score is None:
            return loss
        return loss + _without_value(jax.lax.stop_gradient(loss) * jnp.sum(particles.score))


class AutoContinuousELBO(ELBO):
    r"""The evidence lower bound of an ``AutoContinuous`` guide, over unconstrained space.

    .. math:: \mathcal L = E_{q(u)}[\log p(x, f(u)) + \log |\det f'(u)| - \log q(u)]

    It is the bound of ``ELBO``, which finds the same way for these guides.

    Parameters
    ----------
    num_particles
        Number of draws of each estimate.
    sticking_the_landing
        See ``ELBO``; None does so for independent normals. Where correlations are fitted it pays near the end alone.

    Examples
    --------
    >>> import jax
    >>> import pyrox as px
    >>> from pyrox.vi import SVI, AutoContinuousELBO, AutoNormal, optim
    >>> with px.Model() as model:
    ...     x = px.Gamma("x", 3.0, 2.0)
    >>> svi = SVI(model, AutoNormal(model), optim.Adam(0.02), AutoContinuousELBO(num_particles=10))
    >>> result = svi.run(jax.random.key(0), 1000, progress_bar=False)
    >>> bool(0 < result.losses[-100:].mean() < 0.1)  # the divergence from the posterior, which has evidence 1
    True
    """

    def __init__(self, num_particles: int = 1, *, sticking_the_landing: bool | None = None) -> None:
        ELBO.__init__(self, num_particles)
        self.sticking_the_landing = sticking_the_landing


def _without_value(x: Array) -> Array:
    """Give zero, with the derivative of x."""
    return x - jax.lax.stop_gradient(x)
