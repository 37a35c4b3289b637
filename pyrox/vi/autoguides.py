"""Guides made from a model, each a family of distributions on R^d."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp

from pyrox.dist import Distribution, Normal, constraints
from pyrox.model import init_to_uniform
from pyrox.model.initial import Strategy
from pyrox.model.primitives import param
from pyrox.typing import Array
from pyrox.vi import families
from pyrox.vi.guides import AutoContinuous


class AutoDiagonalNormal(AutoContinuous):
    """Independent normals over unconstrained space.

    Parameters
    ----------
    model, prefix, init_strategy
        See ``AutoContinuous``.
    init_scale
        Standard deviation to start from.

    Examples
    --------
    >>> import jax
    >>> import pyrox.dist as dist
    >>> from pyrox.model.primitives import sample
    >>> from pyrox.vi import SVI, AutoContinuousELBO, AutoDiagonalNormal, optim
    >>> def model():
    ...     return sample("x", dist.LogNormal(1.0, 0.5))
    >>> guide = AutoDiagonalNormal(model)
    >>> svi = SVI(model, guide, optim.Adam(0.05), AutoContinuousELBO())
    >>> params = svi.run(jax.random.key(0), 1000, progress_bar=False).params
    >>> round(float(params["auto_loc"][0]), 1), round(float(params["auto_scale"][0]), 1)
    (1.0, 0.5)
    """

    def __init__(
        self,
        model: Callable,
        prefix: str = "auto",
        init_strategy: Strategy = init_to_uniform(radius=2.0),  # noqa: B008
        *,
        init_scale: float = 0.1,
    ) -> None:
        family = partial(families.diagonal_normal, init_scale=init_scale)
        AutoContinuous.__init__(self, model, prefix, init_strategy, family=family)


class AutoNormal(AutoContinuous):
    """Independent normals over unconstrained space, with parameters named by site: ``x_auto_loc``, ``x_auto_scale``.

    Parameters
    ----------
    model, prefix, init_strategy
        See ``AutoContinuous``.
    init_scale
        Standard deviation to start from.

    Examples
    --------
    >>> import jax
    >>> import pyrox as px
    >>> from pyrox.vi import SVI, ELBO, AutoNormal, optim
    >>> with px.Model() as model:
    ...     x = px.MvNormal("x", [1.0, 2.0], cov=[[1.0, 0.8], [0.8, 1.0]])
    >>> guide = AutoNormal(model)
    >>> result = SVI(model, guide, optim.Adam(0.02), ELBO()).run(jax.random.key(0), 1000, progress_bar=False)
    >>> sorted(result.params)  # independent: narrower than the posterior's marginals
    ['x_auto_loc', 'x_auto_scale']
    """

    def __init__(
        self,
        model: Callable,
        prefix: str = "auto",
        init_strategy: Strategy = init_to_uniform(radius=2.0),  # noqa: B008
        *,
        init_scale: float = 0.1,
    ) -> None:
        AutoContinuous.__init__(self, model, prefix, init_strategy)
        self.init_scale = init_scale

    def family(self, start: Array) -> Distribution:
        """State the parameters of every site, and give the normal distribution that they make."""
        locs, scales = [], []
        for name, site in self.joint.free.items():
            part = start[site.start : site.stop].reshape(site.unconstrained_shape)
            first = jnp.full_like(part, self.init_scale)
            locs.append(param(f"{name}_{self.prefix}_loc", part))
            scales.append(param(f"{name}_{self.prefix}_scale", first, constraint=constraints.positive))
        loc, scale = (jnp.concatenate([jnp.ravel(x) for x in parts]) for parts in (locs, scales))
        return Normal(loc, scale).to_event(1)


class AutoMultivariateNormal(AutoContinuous):
    """A normal distribution with any covariance over unconstrained space.

    Parameters
    ----------
    model, prefix, init_strategy
        See ``AutoContinuous``.
    init_scale
        Standard deviation to start from.

    Examples
    --------
    >>> import jax
    >>> import pyrox as px
    >>> from pyrox.vi import SVI, ELBO, AutoMultivariateNormal, optim
    >>> with px.Model() as model:
    ...     x = px.MvNormal("x", [1.0, 2.0], cov=[[1.0, 0.8], [0.8, 1.0]])
    >>> guide = AutoMultivariateNormal(model)
    >>> result = SVI(model, guide, optim.Adam(0.02), ELBO()).run(jax.random.key(0), 2000, progress_bar=False)
    >>> draws = guide.sample_posterior(jax.random.key(1), result.params, (2000,))["x"]
    >>> round(float(jax.numpy.corrcoef(draws.T)[0, 1]), 1)
    0.8
    """

    def __init__(
        self,
        model: Callable,
        prefix: str = "auto",
        init_strategy: Strategy = init_to_uniform(radius=2.0),  # noqa: B008
        *,
        init_scale: float = 0.1,
    ) -> None:
        family = partial(families.multivariate_normal, init_scale=init_scale)
        AutoContinuous.__init__(self, model, prefix, init_strategy, family=family)


class AutoLowRankMultivariateNormal(AutoContinuous):
    """A normal distribution over unconstrained space whose correlations lie in a few directions.

    Parameters
    ----------
    model, prefix, init_strategy
        See ``AutoContinuous``.
    init_scale
        Standard deviation to start from.
    rank
        Number of directions; the root of the dimension by default.

    Examples
    --------
    >>> import jax
    >>> import pyrox as px
    >>> from pyrox.vi import SVI, ELBO, AutoLowRankMultivariateNormal, optim
    >>> with px.Model() as model:
    ...     x = px.MvNormal("x", [1.0, 2.0], cov=[[1.0, 0.8], [0.8, 1.0]])
    >>> guide = AutoLowRankMultivariateNormal(model, rank=1)
    >>> result = SVI(model, guide, optim.Adam(0.02), ELBO()).run(jax.random.key(0), 2000, progress_bar=False)
    >>> draws = guide.sample_posterior(jax.random.key(1), result.params, (2000,))["x"]
    >>> round(float(jax.numpy.corrcoef(draws.T)[0, 1]), 1)
    0.8
    """

    def __init__(
        self,
        model: Callable,
        prefix: str = "auto",
        init_strategy: Strategy = init_to_uniform(radius=2.0),  # noqa: B008
        *,
        init_scale: float = 0.1,
        rank: int | None = None,
    ) -> None:
        family = partial(families.low_rank_normal, init_scale=init_scale, rank=rank)
        AutoContinuous.__init__(self, model, prefix, init_strategy, family=family)


class AutoIAFNormal(AutoContinuous):
    """A normal distribution bent by inverse autoregressive flows.

    Parameters
    ----------
    model, prefix, init_strategy
        See ``AutoContinuous``.
    num_flows
        Number of flows.
    **arn_kwargs
        Of their networks: ``hidden_dims``, the widths of hidden layers (two of the latent dimension by default, each
        at least that wide); ``skip_connections``, whether inputs reach the outputs directly too; ``nonlinearity``, a
        function, or a pair as stax makes them.

    Examples
    --------
    >>> import jax
    >>> import pyrox as px
    >>> from pyrox.vi import SVI, ELBO, AutoIAFNormal, optim
    >>> with px.Model() as model:
    ...     x = px.MvNormal("x", [1.0, 2.0], cov=[[1.0, 0.8], [0.8, 1.0]])
    >>> guide = AutoIAFNormal(model, num_flows=2)
    >>> result = SVI(model, guide, optim.Adam(0.02), ELBO()).run(jax.random.key(0), 2000, progress_bar=False)
    >>> draws = guide.sample_posterior(jax.random.key(1), result.params, (2000,))["x"]
    >>> 0.5 < float(jax.numpy.corrcoef(draws.T)[0, 1]) < 0.9
    True
    """

    def __init__(
        self,
        model: Callable,
        prefix: str = "auto",
        init_strategy: Strategy = init_to_uniform(radius=2.0),  # noqa: B008
        num_flows: int = 3,
        **arn_kwargs: Any,
    ) -> None:
        family = partial(families.inverse_autoregressive, num_flows=num_flows, **arn_kwargs)
        AutoContinuous.__init__(self, model, prefix, init_strategy, family=family)


class AutoBNAF(AutoContinuous):
    """A normal distribution bent by block neural autoregressive flows.

    Parameters
    ----------
    model, prefix, init_strategy
        See ``AutoContinuous``.
    num_flows
        Number of flows.
    hidden_factors
        Width of each hidden layer, in units of the latent dimension.

    Examples
    --------
    >>> import jax
    >>> import pyrox as px
    >>> from pyrox.vi import SVI, ELBO, AutoBNAF, optim
    >>> with px.Model() as model:
    ...     x = px.MvNormal("x", [1.0, 2.0], cov=[[1.0, 0.8], [0.8, 1.0]])
    >>> guide = AutoBNAF(model, hidden_factors=(4,))
    >>> result = SVI(model, guide, optim.Adam(0.02), ELBO()).run(jax.random.key(0), 2000, progress_bar=False)
    >>> draws = guide.sample_posterior(jax.random.key(1), result.params, (2000,))["x"]
    >>> 0.5 < float(jax.numpy.corrcoef(draws.T)[0, 1]) < 0.9
    True
    """

    def __init__(
        self,
        model: Callable,
        prefix: str = "auto",
        init_strategy: Strategy = init_to_uniform(radius=2.0),  # noqa: B008
        num_flows: int = 1,
        hidden_factors: Sequence[int] = (8, 8),
    ) -> None:
        family = partial(families.block_neural, num_flows=num_flows, hidden_factors=hidden_factors)
        AutoContinuous.__init__(self, model, prefix, init_strategy, family=family)
