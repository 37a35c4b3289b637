"""A guide that lets its draws move towards the posterior: differentiable annealed importance sampling."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import Distribution, constraints
from pyrox.dist.transforms import Transform
from pyrox.errors import ModelError
from pyrox.model import init_to_uniform
from pyrox.model.handlers import substitute
from pyrox.model.initial import Strategy
from pyrox.typing import Array, Key, Shape
from pyrox.vi import families
from pyrox.vi.guides import AutoContinuous

_QUANTILE_DRAWS = 1000


class AutoDAIS(AutoContinuous):
    r"""Draw from independent normals, then follow uncorrected Hamiltonian steps along a path to the posterior.

    .. math:: \log w = \log p(y, f(u_K)) |\det f'(u_K)| - \log q_0(u_0)
              + \sum_{k=1}^K \log N(v_k) - \log N(\hat v_k)

    Here :math:`\hat v_k` is the velocity before step k, partly renewed, and :math:`v_k` after it; the steps follow the
    gradients of :math:`\beta_k \log p + (1 - \beta_k) \log q_0`. Step sizes, path and renewal are fitted too.

    Parameters
    ----------
    model, prefix, init_strategy
        See ``AutoContinuous``.
    K
        Number of steps.
    eta_init
        Step size to start from, in units of the normals' scales.
    gamma_init
        Share of the velocity that is kept from step to step, to start from.
    init_scale
        Standard deviation of the normals to start from.

    Examples
    --------
    >>> import jax
    >>> import pyrox as px
    >>> from pyrox.vi import SVI, ELBO, AutoDAIS, optim
    >>> with px.Model() as model:
    ...     x = px.Gamma("x", 3.0, 2.0)
    >>> guide = AutoDAIS(model, K=4)
    >>> result = SVI(model, guide, optim.Adam(0.02), ELBO()).run(jax.random.key(0), 1000, progress_bar=False)
    >>> draws = guide.sample_posterior(jax.random.key(1), result.params, (2000,))["x"]
    >>> abs(float(draws.mean()) - 1.5) < 0.2
    True

    References
    ----------
    .. [1] Geffner and Domke (2021), MCMC variational inference via uncorrected Hamiltonian annealing.
    .. [2] Zhang, Hsu, Li, Finn and Grosse (2021), Differentiable annealed importance sampling and the perils of
       gradient noise.
    """

    def __init__(
        self,
        model: Callable,
        prefix: str = "auto",
        init_strategy: Strategy = init_to_uniform(radius=2.0),  # noqa: B008
        *,
        K: int = 4,
        eta_init: float = 0.1,
        gamma_init: float = 0.9,
        init_scale: float = 0.1,
    ) -> None:
        if isinstance(K, bool) or not isinstance(K, int) or K < 1:
            raise ValueError(f"AutoDAIS: K is a number of steps, at least 1; met {K!r}")
        family = partial(families.diagonal_normal, init_scale=init_scale)
        AutoContinuous.__init__(self, model, prefix, init_strategy, family=family)
        self.num_steps, self.eta_init, self.gamma_init = K, eta_init, gamma_init

    def family(self, start: Array) -> Distribution:
        """State all parameters, and give the normals that draws begin with."""
        self._path()
        return AutoContinuous.family(self, start)

    def _path(self) -> tuple[Array, Array, Array]:
        """State the parameters of the steps: give sizes, shares of the way to the posterior, and the velocity kept."""
        size = self._state("eta", np.full(self.num_steps, self.eta_init), constraint=constraints.positive)
        equal = np.full(self.num_steps, 1 / self.num_steps)
        shares = self._state("beta_increments", equal, constraint=constraints.simplex)
        kept = self._state("gamma", self.gamma_init, constraint=constraints.unit_interval)
        return size, jnp.cumsum(shares), kept

    def _weigh(
        self, key: Key, params: Mapping[str, Any], log_density: Callable[[Array], Array], *, stick: bool | None
    ) -> Array:
        return self._move(key, params, log_density)[1]

    def _move(
        self, key: Key, params: Mapping[str, Any], log_density: Callable[[Array], Array]
    ) -> tuple[Array, Array]:
        """Draw a position; also give its log-weight."""
        place = families.transform_to(self.fitted(params))
        sizes, shares, kept = substitute(self._path, dict(params))()

        def energy(x: Array) -> Array:  # in the coordinates in which the normals are standard
            position, log_det = place.forward_and_log_det(x)
            return log_density(position) + log_det

        def step(carry: tuple, setting: tuple) -> tuple[tuple, None]:
            x, velocity, gain = carry
            size, share, key = setting
            noise = jax.random.normal(key, x.shape, x.dtype)
            before = kept * velocity + jnp.sqrt(1 - kept**2) * noise
            x = x + 0.5 * size * before
            slope = share * jax.grad(energy)(x) - (1 - share) * x
            after = before + size * slope
            x = x + 0.5 * size * after
            return (x, after, gain + 0.5 * jnp.sum(before**2 - after**2)), None

        key_start, key_velocity, key_steps = jax.random.split(key, 3)
        start = self.base_dist.sample(key_start)
        velocity = jax.random.normal(key_velocity, start.shape, start.dtype)
        settings = sizes, shares, jax.random.split(key_steps, self.num_steps)
        (x, _, gain), _ = jax.lax.scan(step, (start, velocity, jnp.zeros((), start.dtype)), settings)
        return place(x), energy(x) - self.base_dist.log_prob_inside(start) + gain

    def posterior(self, params: Mapping[str, Any]) -> Distribution:
        """Refuse: the density of where draws end is not known."""
        raise ModelError("AutoDAIS has draws, but no density of a closed form: use sample_posterior")

    def get_transform(self, params: Mapping[str, Any]) -> Transform:
        """Refuse: draws depend on more than the noise that they begin with."""
        raise ModelError("AutoDAIS is no transformed standard normal: use sample_posterior")

    def _positions(self, key: Key, params: Mapping[str, Any], shape: Shape) -> Array:
        log_density = self.joint.at_arguments(params)
        keys = jax.random.split(key, int(np.prod(shape, dtype=int)))
        positions = jax.vmap(lambda k: self._move(k, params, log_density)[0])(keys)
        return positions.reshape(*shape, self.latent_dim)

    def _position_quantiles(self, params: Mapping[str, Any], levels: Array) -> Array:
        return jnp.quantile(self._positions(jax.random.key(0), params, (_QUANTILE_DRAWS,)), levels, axis=0)
