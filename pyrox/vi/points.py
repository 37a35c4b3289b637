"""Guides around one point: the mode, and the normal distribution that fits the density there."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import Delta, Distribution, MultivariateNormal
from pyrox.dist.linear import tril_of_precision
from pyrox.errors import ModelError
from pyrox.model import init_to_uniform
from pyrox.model.initial import Strategy
from pyrox.model.primitives import param, sample
from pyrox.typing import Array, Key, Shape
from pyrox.vi import families
from pyrox.vi.guides import AutoContinuous, as_levels
from pyrox.vi.joint import Joint


class AutoDelta:
    r"""All probability at one point, in the supports of the variables: the fit is the maximum a posteriori.

    .. math:: \max_x \log p(x, y)

    The density is that of the variables themselves, without Jacobians. Parameters are named by site, ``x_auto_loc``.

    Parameters
    ----------
    model, prefix, init_strategy
        See ``AutoContinuous``.

    Examples
    --------
    >>> import jax
    >>> import pyrox.dist as dist
    >>> from pyrox.model.primitives import sample
    >>> from pyrox.vi import ELBO, SVI, AutoDelta, optim
    >>> guide = AutoDelta(lambda: sample("x", dist.Gamma(3.0, 1.0)))
    >>> result = SVI(guide.model, guide, optim.Adam(0.02), ELBO()).run(jax.random.key(0), 2000, progress_bar=False)
    >>> round(float(result.params["x_auto_loc"]), 2)
    2.0
    """

    def __init__(
        self,
        model: Callable,
        prefix: str = "auto",
        init_strategy: Strategy = init_to_uniform(radius=2.0),  # noqa: B008
    ) -> None:
        self.model, self.prefix, self.init_strategy = model, prefix, init_strategy
        self._joint: Joint | None = None
        self._start: dict[str, Array] = {}

    def setup(self, key: Key, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> None:
        """Find the model's latent variables, and a start of finite density; ``SVI.init`` calls it."""
        joint = Joint(self.model, args, kwargs or {})
        dynamic = [name for name in joint.free if name not in joint.supports]
        if dynamic:
            raise ModelError(
                f"AutoDelta: the support of {dynamic[0]!r} depends on other variables, so that its point has no set of "
                "its own to stay in: use AutoLaplaceApproximation"
            )
        self._start = joint.values(joint.find_start(key, self.init_strategy, args, kwargs or {}), {})[0]
        self._joint = joint

    def _name(self, site: str) -> str:
        return f"{site}_{self.prefix}_loc"

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Array]:
        """Run as a program: state the latent variables of the model, and return their values."""
        if self._joint is None:
            self.setup(jax.random.key(0), args, kwargs)
        values = {}
        for name, start in self._start.items():
            value = param(self._name(name), start, constraint=self._joint.supports[name])
            values[name] = sample(name, Delta(value, event_ndim=jnp.ndim(value)))
        return values

    def median(self, params: Mapping[str, Any]) -> dict[str, Array]:
        """Give the point, by site."""
        return {name: params[self._name(name)] for name in self._start}

    def quantiles(self, params: Mapping[str, Any], quantiles: Sequence[float]) -> dict[str, Array]:
        """Give the point once for every quantile, along the first axis, by site."""
        count = len(as_levels(quantiles))
        return {name: jnp.broadcast_to(x, (count, *jnp.shape(x))) for name, x in self.median(params).items()}

    def sample_posterior(self, rng_key: Key, params: Mapping[str, Any], sample_shape: Shape = ()) -> dict[str, Array]:
        """Give the point once for every draw, by site."""
        shape = tuple(sample_shape)
        return {name: jnp.broadcast_to(x, (*shape, *jnp.shape(x))) for name, x in self.median(params).items()}


class AutoLaplaceApproximation(AutoContinuous):
    r"""The normal distribution with the mode and the curvature of the density, in unconstrained space.

    .. math:: q = N(\hat u, H^{-1}), \quad H = -\nabla^2 \log p(y, f(\hat u))\, |\det f'(\hat u)|

    The fit finds the mode; what is asked afterwards takes the curvature there.

    Parameters
    ----------
    model, prefix, init_strategy
        See ``AutoContinuous``.

    Examples
    --------
    >>> import jax
    >>> import pyrox.dist as dist
    >>> from pyrox.model.primitives import sample
    >>> from pyrox.vi import SVI, AutoContinuousELBO, AutoLaplaceApproximation, optim
    >>> guide = AutoLaplaceApproximation(lambda: sample("x", dist.Normal(1.0, 2.0)))
    >>> svi = SVI(guide.model, guide, optim.Adam(0.05), AutoContinuousELBO())
    >>> params = svi.run(jax.random.key(0), 1000, progress_bar=False).params
    >>> [round(float(x), 1) for x in guide.quantiles(params, [0.16, 0.5, 0.84])["x"]]
    [-1.0, 1.0, 3.0]
    """

    def __init__(
        self,
        model: Callable,
        prefix: str = "auto",
        init_strategy: Strategy = init_to_uniform(radius=2.0),  # noqa: B008
    ) -> None:
        AutoContinuous.__init__(self, model, prefix, init_strategy, family=families.point)

    def posterior(self, params: Mapping[str, Any]) -> Distribution:
        """Give the normal distribution at the mode.

        Raises
        ------
        ModelError
            If the density is not curved downwards there in every direction.
        """
        self._require(params)
        mode = params[f"{self.prefix}_loc"]
        return laplace(self.joint.at_arguments(params), mode, self.joint.label)


def laplace(log_density: Callable[[Array], Array], mode: Array, label: Callable[[int], str]) -> MultivariateNormal:
    """Give the normal distribution that fits a log-density at its mode.

    Parameters
    ----------
    log_density
        Function of a position of shape ``(dim,)``.
    mode
        The position.
    label
        Names an element of a position.

    Raises
    ------
    ModelError
        If the density is not curved downwards in every direction.
    """
    precision = -jax.hessian(log_density)(mode)
    return MultivariateNormal(mode, scale_tril=tril_of_curvature(precision, label))


def tril_of_curvature(precision: Array, label: Callable[[int], str]) -> Array:
    """Give the factor of the inverse of a curvature, and refuse one that is not positive definite."""
    if not isinstance(precision, jax.core.Tracer):
        size = np.sqrt(np.maximum(np.abs(np.diag(precision)), 1e-300))
        if not np.isfinite(precision).all():
            raise ModelError("the second derivatives of the log-density are not finite at the mode: no Laplace there")
        values, vectors = np.linalg.eigh(np.asarray(precision) / np.outer(size, size))
        if values[0] <= 1e-12:
            name = label(int(np.argmax(np.abs(vectors[:, 0]))))
            raise ModelError(
                f"the log-density is not curved downwards at the mode along {name}: there is no normal distribution "
                "that fits. Make more steps, or give the variable a prior that holds it"
            )
    return tril_of_precision(precision)


class AutoGuideList:
    """Several guides side by side, each over a part of the model's latent variables.

    Parameters
    ----------
    model
        The whole model.
    prefix
        Of no parameter: those of the parts have the prefixes of the parts.

    Examples
    --------
    >>> import jax
    >>> import pyrox.dist as dist
    >>> from pyrox.handlers import block, seed
    >>> from pyrox.model.primitives import sample
    >>> from pyrox.vi import ELBO, SVI, AutoDelta, AutoGuideList, AutoNormal, optim
    >>> def model():
    ...     x = sample("x", dist.Normal(0.0, 1.0))
    ...     sample("y", dist.Normal(x, 1.0))
    >>> guide = AutoGuideList(model)
    >>> guide.append(AutoNormal(block(seed(model, 0), hide_fn=lambda site: site["name"] == "y")))
    >>> guide.append(AutoDelta(block(seed(model, 0), hide_fn=lambda site: site["name"] == "x")))
    >>> svi = SVI(model, guide, optim.Adam(0.05), ELBO())
    >>> sorted(svi.run(jax.random.key(0), 10, progress_bar=False).params)
    ['x_auto_loc', 'x_auto_scale', 'y_auto_loc']
    """

    def __init__(self, model: Callable, prefix: str = "auto") -> None:
        self.model, self.prefix = model, prefix
        self._parts: list[Any] = []

    def append(self, part: Callable) -> None:
        """Add a guide: one of this module over a blocked model, or any program that returns values by site."""
        if not callable(part):
            raise ModelError(f"AutoGuideList: a part is a guide; met {part!r}")
        self._parts.append(part)

    def __getitem__(self, index: int) -> Any:
        return self._parts[index]

    def __len__(self) -> int:
        return len(self._parts)

    def setup(self, key: Key, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> None:
        """Set up every part; ``SVI.init`` calls it."""
        for i, part in enumerate(self._parts):
            if hasattr(part, "setup"):
                part.setup(jax.random.fold_in(key, i), args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Array]:
        """Run as a program: run every part, and return the values of all."""
        values: dict[str, Array] = {}
        for part in self._parts:
            values |= part(*args, **kwargs) or {}
        return values

    def median(self, params: Mapping[str, Any]) -> dict[str, Array]:
        """Give the posterior median of each latent variable of the parts that know it."""
        return self._gather("median", params)

    def quantiles(self, params: Mapping[str, Any], quantiles: Sequence[float]) -> dict[str, Array]:
        """Give posterior quantiles of each latent variable of the parts that know them."""
        return self._gather("quantiles", params, quantiles)

    def _gather(self, method: str, *args: Any) -> dict[str, Array]:
        out: dict[str, Array] = {}
        for part in self._parts:
            if hasattr(part, method):
                out |= getattr(part, method)(*args)
        return out

    def sample_posterior(self, rng_key: Key, params: Mapping[str, Any], sample_shape: Shape = ()) -> dict[str, Array]:
        """Draw latent variables from every part that can."""
        out: dict[str, Array] = {}
        for i, part in enumerate(self._parts):
            if hasattr(part, "sample_posterior"):
                out |= part.sample_posterior(jax.random.fold_in(rng_key, i), params, sample_shape)
        return out
