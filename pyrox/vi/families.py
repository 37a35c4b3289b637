"""Families of posteriors on R^d: each is a short program of ``param`` statements that returns a distribution.

A family receives ``state``, which makes a parameter of the guide, and where to start.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from pyrox.dist import (
    Delta,
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
    constraints,
)
from pyrox.dist.flows import AutoregressiveNetwork, InverseAutoregressiveTransform
from pyrox.dist.transforms import (
    AffineTransform,
    ComposeTransform,
    MultivariateAffineTransform,
    PermuteTransform,
    Transform,
)
from pyrox.errors import ModelError
from pyrox.typing import Array, Key
from pyrox.vi.networks import BlockNeuralTransform, SkipNetwork

# Makes a parameter: state(name, value or function of a key, constraint=...).
State = Callable[..., Any]
Family = Callable[[State, Array], Distribution]


def standard_normal(dim: int) -> Distribution:
    """Give the standard normal distribution on R^d."""
    return Independent(Normal(jnp.zeros(dim), 1.0), 1)


def diagonal_normal(state: State, start: Array, *, init_scale: float = 0.1) -> Distribution:
    """Give independent normals."""
    loc = state("loc", start)
    scale = state("scale", jnp.full_like(start, init_scale), constraint=constraints.positive)
    return Independent(Normal(loc, scale), 1)


def multivariate_normal(state: State, start: Array, *, init_scale: float = 0.1) -> Distribution:
    """Give a normal distribution with any covariance."""
    loc = state("loc", start)
    tril = init_scale * jnp.eye(start.size, dtype=start.dtype)
    return MultivariateNormal(loc, scale_tril=state("scale_tril", tril, constraint=constraints.lower_cholesky))


def low_rank_normal(
    state: State, start: Array, *, init_scale: Any = 0.1, rank: int | None = None, directions: Any = None
) -> Distribution:
    r"""Give a normal distribution with covariance :math:`S (I + W W^T) S`: scales, and a few directions.

    The rank is the root of the dimension where none is given.
    """
    rank = max(1, round(start.size**0.5)) if rank is None else rank
    loc = state("loc", start)
    scale = state("scale", jnp.full_like(start, init_scale), constraint=constraints.positive)
    # Not zero: there the derivative by the directions vanishes.
    some = lambda key: 0.01 * jax.random.normal(key, (start.size, rank), start.dtype)  # noqa: E731
    directions = state("cov_factor", some if directions is None else directions)
    return LowRankMultivariateNormal(loc, scale[:, None] * directions, scale**2)


def point(state: State, start: Array) -> Distribution:
    """Give all probability to one point."""
    return Delta(state("loc", start), event_ndim=1)


def inverse_autoregressive(
    state: State,
    start: Array,
    *,
    num_flows: int = 3,
    hidden_dims: Sequence[int] | None = None,
    skip_connections: bool = False,
    nonlinearity: Any = jax.nn.relu,
    init_scale: float = 0.1,
) -> Distribution:
    """Give a normal distribution bent by inverse autoregressive flows, each in the reverse order of the last."""
    require_several(start.size, "inverse autoregressive flow")
    bend = nonlinearity[1] if isinstance(nonlinearity, tuple) else nonlinearity  # a pair, as stax makes them

    def activation(x: Array) -> Array:
        return bend((), x) if isinstance(nonlinearity, tuple) else bend(x)

    parts: list[Transform] = []
    for i in range(num_flows):
        if i:
            parts.append(PermuteTransform(jnp.arange(start.size)[::-1]))

        def create(key: Any) -> Any:
            network = AutoregressiveNetwork.create(key, start.size, hidden_dims, nonlinearity=activation)
            return SkipNetwork.around(network) if skip_connections else network

        parts.append(InverseAutoregressiveTransform(state(f"arn__{i}", create)))
    return TransformedDistribution(standard_normal(start.size), [*parts, _place(state, start, init_scale)])


def block_neural(
    state: State,
    start: Array,
    *,
    num_flows: int = 1,
    hidden_factors: Sequence[int] = (8, 8),
    init_scale: float = 0.1,
) -> Distribution:
    """Give a normal distribution bent by block neural autoregressive flows."""
    require_several(start.size, "block neural autoregressive flow")
    parts: list[Transform] = []
    for i in range(num_flows):
        if i:
            parts.append(PermuteTransform(jnp.arange(start.size)[::-1]))
        parts.append(
            state(f"bnaf__{i}", lambda key: BlockNeuralTransform.create(key, start.size, tuple(hidden_factors)))
        )
    return TransformedDistribution(standard_normal(start.size), [*parts, _place(state, start, init_scale)])


def _place(state: State, start: Array, init_scale: float) -> Transform:
    """Move and stretch what a flow has made of a standard normal."""
    loc = state("loc", start)
    scale = state("scale", jnp.full_like(start, init_scale), constraint=constraints.positive)
    return AffineTransform(loc, scale, constraints.real_vector)


def require_several(dim: int, what: str) -> None:
    """Refuse one dimension, in which a flow bends nothing."""
    if dim < 2:
        raise ModelError(f"{what}: one latent number has no others to depend on; use AutoDiagonalNormal")


def transform_to(posterior: Distribution) -> Transform:
    """Give the transform from the standard normal to a posterior of one of these families."""
    match posterior:
        case Independent(base_dist=Normal(loc=loc, scale=scale)):
            return AffineTransform(loc, scale, constraints.real_vector)
        case MultivariateNormal() | LowRankMultivariateNormal():
            return MultivariateAffineTransform(posterior.loc, posterior.scale_tril)
        case TransformedDistribution():
            return ComposeTransform(posterior.transforms)
    raise NotImplementedError(f"a {type(posterior).__name__} is no transformed standard normal")


def draw(key: Key, posterior: Distribution) -> tuple[Array, Array]:
    """Draw a position; also give its log-density, through the noise where that spares solving or inverting."""
    if isinstance(posterior, TransformedDistribution):
        position, passed = posterior.sample_with_intermediates(key)
        return position, posterior.log_prob(position, passed)
    if isinstance(posterior, MultivariateNormal):
        base = standard_normal(posterior.event_shape[0])
        noise = base.sample(key)
        position, log_det = transform_to(posterior).forward_and_log_det(noise)
        return position, base.log_prob_inside(noise) - log_det
    position = posterior.sample(key)
    return position, posterior.log_prob_inside(position)


def is_diagonal(posterior: Distribution) -> bool:
    """Tell whether a posterior is made of independent normals."""
    return isinstance(posterior, Independent) and isinstance(posterior.base_dist, Normal)


def is_normal(posterior: Distribution) -> bool:
    """Tell whether every margin of a posterior is normal."""
    return is_diagonal(posterior) or isinstance(posterior, MultivariateNormal | LowRankMultivariateNormal)
