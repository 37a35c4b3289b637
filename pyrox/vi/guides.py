"""Guides made from a model: one mechanism, to which a family of distributions on R^d is added."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import Delta, Distribution, Normal
from pyrox.dist.transforms import Transform
from pyrox.errors import ModelError
from pyrox.model import init_to_uniform
from pyrox.model.handlers import substitute
from pyrox.model.initial import Strategy
from pyrox.model.primitives import param, sample
from pyrox.typing import Array, ArrayLike, Key, Shape
from pyrox.vi import families
from pyrox.vi.families import Family
from pyrox.vi.joint import Joint
from pyrox.vi.terms import Particle

# Draws from which quantiles are read where the margins have no closed form.
_QUANTILE_DRAWS = 10_000


class AutoContinuous:
    r"""A guide over the whole latent space, unconstrained: positions :math:`u \sim q` on :math:`R^d`.

    What distinguishes such guides is their family alone: a function ``family(state, start)`` that makes parameters
    by ``state(name, value, constraint=...)`` and returns a distribution on :math:`R^d`.

    Parameters
    ----------
    model
        A function of primitives, or a Model; its latent variables are continuous.
    prefix
        What the names of the guide's parameters begin with.
    init_strategy
        Function of a message that says where a site starts, such as ``init_to_median()``.
    family
        The family.

    Attributes
    ----------
    base_dist
        The distribution that ``get_transform`` starts from.

    Examples
    --------
    >>> import jax
    >>> import pyrox.dist as dist
    >>> from pyrox.dist import constraints
    >>> from pyrox.model.primitives import sample
    >>> from pyrox.vi import ELBO, SVI, AutoContinuous, optim
    >>> def laplace(state, start):
    ...     scale = state("scale", 1.0, constraint=constraints.positive)
    ...     return dist.Laplace(state("loc", start), scale).to_event(1)
    >>> guide = AutoContinuous(lambda: sample("x", dist.Laplace(3.0, 1.0)), family=laplace)
    >>> svi = SVI(guide.model, guide, optim.Adam(0.1), ELBO())
    >>> params = svi.run(jax.random.key(0), 500, progress_bar=False).params
    >>> bool(abs(guide.median(params)["x"] - 3.0) < 0.5)
    True

    References
    ----------
    .. [1] Kucukelbir, Tran, Ranganath, Gelman and Blei (2017), Automatic differentiation variational inference.
    """

    def __init__(
        self,
        model: Callable,
        prefix: str = "auto",
        init_strategy: Strategy = init_to_uniform(radius=2.0),  # noqa: B008 - the documented default, without state
        *,
        family: Family | None = None,
    ) -> None:
        if not callable(model):
            raise ModelError(f"{type(self).__name__}: model is a px.Model or a function of primitives; met {model!r}")
        self.model, self.prefix, self.init_strategy, self._family = model, prefix, init_strategy, family
        self._joint: Joint | None = None
        self._start: Array | None = None

    # Where it stands

    def setup(self, key: Key, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> None:
        """Find the model's latent variables, and a start of finite density; ``SVI.init`` calls it.

        Raises
        ------
        ModelError
            If a latent variable is discrete.
        InitializationError
            If no start was found.
        """
        kwargs = kwargs or {}
        try:
            self._joint = Joint(self.model, args, kwargs)
        except ModelError as error:
            raise type(error)(f"{type(self).__name__}: {error}") from None
        self._start = self._joint.find_start(key, self.init_strategy, args, kwargs)

    @property
    def joint(self) -> Joint:
        """The model's log-density over unconstrained space."""
        if self._joint is None:
            raise ModelError(f"{type(self).__name__} does not know its model yet: call svi.init first")
        return self._joint

    @property
    def latent_dim(self) -> int:
        """Number d of unconstrained latent numbers."""
        return self.joint.dim

    @property
    def base_dist(self) -> Distribution:
        """The standard normal distribution on R^d."""
        return families.standard_normal(self.latent_dim)

    def _state(self, name: str, value: Any, **kwargs: Any) -> Any:
        return param(f"{self.prefix}_{name}", value, **kwargs)

    def family(self, start: Array) -> Distribution:
        """State the parameters, and give the distribution of positions that they make."""
        if self._family is None:
            raise ModelError("AutoContinuous needs family, a function (state, start) that gives a distribution on R^d")
        return self._family(self._state, start)

    def fitted(self, params: Mapping[str, Any]) -> Distribution:
        """Give the member of the family that has these parameters."""
        self._require(params)
        # No start of its own: programs for different starts are the same.
        return substitute(self.family, dict(params))(np.zeros(self.latent_dim))

    def posterior(self, params: Mapping[str, Any]) -> Distribution:
        """Give the distribution of positions."""
        return self.fitted(params)

    def _require(self, params: Mapping[str, Any]) -> None:
        _ = self.joint  # says what is missing where there is none
        if not any(name.startswith(self.prefix) or f"_{self.prefix}_" in name for name in params):
            raise ModelError(
                f"params hold no parameter of this guide, whose names begin with {self.prefix!r}; they hold "
                f"{', '.join(params) or 'nothing'}: give svi.get_params(state), or the params of svi.run"
            )

    # As a program

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Array]:
        """Run as a program: state the latent variables of the model, and return their values."""
        if self._joint is None:
            self.setup(jax.random.key(0), args, kwargs)
        auxiliary = {"is_auxiliary": True}
        position = sample(f"_{self.prefix}_latent", self.family(self._start), infer=auxiliary)
        values, log_dets = self.joint.values(position, {})
        for name, value in values.items():
            # The density of a value is that of its position, over the volume that the transform gives it.
            sample(name, Delta(value, log_density=-log_dets[name], event_ndim=value.ndim))
        return values

    # As an objective sees it

    def weigh(
        self,
        key: Key,
        params: Mapping[str, Any],
        args: tuple,
        kwargs: Mapping[str, Any],
        *,
        model: Callable | None = None,
        stick: bool | None = False,
    ) -> Particle:
        """Draw a position and weigh it: log p - log q, in unconstrained space."""
        key_draw, key_model = jax.random.split(key)

        def log_density(position: Array) -> Array:
            return self.joint.terms(position, key_model, params, args, kwargs, model).total()

        return Particle(self._weigh(key_draw, params, log_density, stick=stick), None)

    def _weigh(
        self, key: Key, params: Mapping[str, Any], log_density: Callable[[Array], Array], *, stick: bool | None
    ) -> Array:
        position, log_q = self._draw(key, params, stick=stick)
        return log_density(position) - log_q

    def _draw(self, key: Key, params: Mapping[str, Any], *, stick: bool | None) -> tuple[Array, Array]:
        """Draw a position; also give its log-density."""
        posterior = self.fitted(params)
        if families.is_diagonal(posterior) if stick is None else stick:
            position = posterior.sample(key)
            return position, self.fitted(jax.lax.stop_gradient(dict(params))).log_prob_inside(position)
        return families.draw(key, posterior)

    # What it has learnt

    def get_transform(self, params: Mapping[str, Any]) -> Transform:
        """Give the transform from ``base_dist`` to the posterior of positions.

        Parameters
        ----------
        params
            Parameters of model and guide.
        """
        return families.transform_to(self.posterior(params))

    def sample_posterior(self, rng_key: Key, params: Mapping[str, Any], sample_shape: Shape = ()) -> dict[str, Array]:
        """Draw latent variables.

        Parameters
        ----------
        rng_key
            A JAX key.
        params
            Parameters of model and guide.
        sample_shape
            Shape of the independent draws.

        Returns
        -------
        By site, an array of shape ``sample_shape + site shape``, in the support.
        """
        return self._constrain(self._positions(rng_key, params, tuple(sample_shape)), params)

    def _positions(self, key: Key, params: Mapping[str, Any], shape: Shape) -> Array:
        return self.posterior(params).sample(key, shape)

    def _constrain(self, positions: Array, params: Mapping[str, Any]) -> dict[str, Array]:
        lead = positions.shape[:-1]
        values = jax.vmap(lambda p: self.joint.values(p, params)[0])(positions.reshape(-1, positions.shape[-1]))
        return {name: x.reshape(*lead, *x.shape[1:]) for name, x in values.items()}

    def median(self, params: Mapping[str, Any]) -> dict[str, Array]:
        """Give the posterior median of each latent variable.

        Parameters
        ----------
        params
            Parameters of model and guide.
        """
        return {name: x[0] for name, x in self.quantiles(params, [0.5]).items()}

    def quantiles(self, params: Mapping[str, Any], quantiles: Sequence[float]) -> dict[str, Array]:
        """Give posterior quantiles of each latent variable, those of its unconstrained elements transformed.

        Parameters
        ----------
        params
            Parameters of model and guide.
        quantiles
            Probabilities.

        Returns
        -------
        By site, an array with the quantiles along its first axis.
        """
        return self._constrain(self._position_quantiles(params, as_levels(quantiles)), params)

    def _position_quantiles(self, params: Mapping[str, Any], levels: Array) -> Array:
        posterior = self.posterior(params)
        if families.is_normal(posterior):
            return Normal(posterior.mean, jnp.sqrt(posterior.variance)).icdf(levels[:, None])
        # A fixed key: asked again, it says the same.
        return jnp.quantile(self._positions(jax.random.key(0), params, (_QUANTILE_DRAWS,)), levels, axis=0)


def as_levels(quantiles: ArrayLike) -> Array:
    """Make an array of probabilities, and refuse what is none."""
    levels = jnp.atleast_1d(jnp.asarray(quantiles, float))
    if not bool(jnp.all((levels > 0) & (levels < 1))):
        raise ValueError(f"quantiles are probabilities between 0 and 1; met {quantiles}")
    return levels
