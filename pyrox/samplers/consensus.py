"""Merge draws from subposteriors, which saw a part of the data each, into draws from the whole posterior.

The posterior is proportional to the product of the subposteriors, if each of ``S`` of them was given the prior to the
power ``1 / S``. Both methods are exact for Gaussian subposteriors, up to the error of the estimated moments.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import cho_factor, cho_solve

from pyrox.errors import ShapeError

Tree = Any


def consensus(
    subposteriors: Sequence[Tree],
    num_draws: int | None = None,
    diagonal: bool = False,  # noqa: FBT001, FBT002
    rng_key: Array | None = None,
) -> Tree:
    r"""Merge subposteriors by weighted averages of their draws (consensus Monte Carlo).

    .. math:: \theta_i = \Big(\sum_s W_s\Big)^{-1} \sum_s W_s \theta_{s,i}, \qquad W_s = \mathrm{cov}(\theta_s)^{-1}

    Parameters
    ----------
    subposteriors
        For each part of the data a collection of draws, all of one structure: arrays of shape ``(draw, *event)``.
    num_draws
        How many draws to return: each averages draws taken from the subposteriors at random, with replacement. If
        None, the i-th draws of all are averaged, which then must be equally many.
    diagonal
        Weigh every number by its own variance, instead of all together by their covariance.
    rng_key
        Source of the randomness; ``jax.random.PRNGKey(0)`` if None.

    Returns
    -------
    A collection like each subposterior, of ``num_draws`` draws.

    Raises
    ------
    ShapeError
        If the subposteriors do not fit together, or have too few draws for a covariance.
    ValueError
        If a quantity does not vary, which leaves its weight undefined.

    Examples
    --------
    >>> import jax
    >>> from pyrox.samplers import consensus
    >>> key_a, key_b = jax.random.split(jax.random.key(1))
    >>> a = {"mu": 1.0 + jax.random.normal(key_a, (5000,))}  # Normal(1, 1)
    >>> b = {"mu": 4.0 + 0.5 * jax.random.normal(key_b, (5000,))}  # Normal(4, 0.5): four times the weight
    >>> consensus([a, b])["mu"].mean().round(1)
    Array(3.4, dtype=float64)

    References
    ----------
    .. [1] Scott et al. (2016), Bayes and big data: the consensus Monte Carlo algorithm, International Journal of
       Management Science and Engineering Management 11.
    """
    draws = _flatten(subposteriors)
    counts = {len(x) for x in draws}
    if num_draws is None:
        if len(counts) > 1:
            raise ShapeError(
                f"consensus averages the i-th draws of all subposteriors, but they have {sorted(counts)} draws; "
                "give num_draws to draw from each at random"
            )
        taken = draws
    else:
        keys = jax.random.split(_key(rng_key), len(draws))
        taken = [x[jax.random.randint(k, (num_draws,), 0, len(x))] for k, x in zip(keys, draws, strict=True)]
    weights = _precisions(draws, diagonal=diagonal)
    total = sum(weights)
    if diagonal:
        merged = sum(w * x for w, x in zip(weights, taken, strict=True)) / total
    else:
        merged = cho_solve(cho_factor(total), sum(w @ x.T for w, x in zip(weights, taken, strict=True))).T
    return _unflatten(merged, subposteriors[0])


def parametric(
    subposteriors: Sequence[Tree],
    diagonal: bool = False,  # noqa: FBT001, FBT002
) -> tuple[Array, Array]:
    r"""Merge subposteriors as if they were Gaussian: the mean and covariance of their product.

    .. math:: \Sigma = \Big(\sum_s \Sigma_s^{-1}\Big)^{-1}, \qquad \mu = \Sigma \sum_s \Sigma_s^{-1} \mu_s

    Parameters
    ----------
    subposteriors
        For each part of the data a collection of draws, all of one structure: arrays of shape ``(draw, *event)``. The
        numbers of draws may differ.
    diagonal
        Use the variances of single numbers alone.

    Returns
    -------
    Mean, shape ``(d,)``, and covariance, shape ``(d, d)``, or with ``diagonal`` variance, shape ``(d,)``, of all
    ``d`` numbers of a draw in a row: arrays in the order of ``jax.tree.leaves``, which sorts the names of a dict.

    Raises
    ------
    ShapeError
        If the subposteriors do not fit together, or have too few draws for a covariance.
    ValueError
        If a quantity does not vary, which leaves its weight undefined.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import parametric
    >>> a, b = {"mu": jnp.array([0.0, 1.0, 2.0])}, {"mu": jnp.array([2.0, 3.0, 4.0])}
    >>> mean, variance = parametric([a, b], diagonal=True)
    >>> print(mean, variance)
    [2.] [0.5]

    References
    ----------
    .. [1] Neiswanger, Wang and Xing (2014), Asymptotically exact, embarrassingly parallel MCMC, Uncertainty in
       Artificial Intelligence 30.
    """
    draws = _flatten(subposteriors)
    weights = _precisions(draws, diagonal=diagonal)
    total = sum(weights)
    if diagonal:
        return sum(w * jnp.mean(x, axis=0) for w, x in zip(weights, draws, strict=True)) / total, 1 / total
    factor = cho_factor(total)
    mean = cho_solve(factor, sum(w @ jnp.mean(x, axis=0) for w, x in zip(weights, draws, strict=True)))
    return mean, _symmetric(cho_solve(factor, jnp.eye(len(total), dtype=total.dtype)))


def parametric_draws(
    subposteriors: Sequence[Tree],
    num_draws: int,
    diagonal: bool = False,  # noqa: FBT001, FBT002
    rng_key: Array | None = None,
) -> Tree:
    r"""Draw from the Gaussian that :func:`parametric` finds.

    .. math:: \theta \sim \mathrm{Normal}(\mu, \Sigma)

    Parameters
    ----------
    subposteriors
        For each part of the data a collection of draws, all of one structure: arrays of shape ``(draw, *event)``. The
        numbers of draws may differ.
    num_draws
        How many draws to return.
    diagonal
        Use the variances of single numbers alone.
    rng_key
        Source of the randomness; ``jax.random.PRNGKey(0)`` if None.

    Returns
    -------
    A collection like each subposterior, of ``num_draws`` draws.

    Raises
    ------
    ShapeError
        If the subposteriors do not fit together, or have too few draws for a covariance.
    ValueError
        If a quantity does not vary, which leaves its weight undefined.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import parametric_draws
    >>> a, b = {"mu": jnp.array([0.0, 1.0, 2.0])}, {"mu": jnp.array([2.0, 3.0, 4.0])}
    >>> parametric_draws([a, b], 1000)["mu"].shape
    (1000,)

    References
    ----------
    .. [1] Neiswanger, Wang and Xing (2014), Asymptotically exact, embarrassingly parallel MCMC, Uncertainty in
       Artificial Intelligence 30.
    """
    mean, spread = parametric(subposteriors, diagonal)
    noise = jax.random.normal(_key(rng_key), (num_draws, len(mean)), mean.dtype)
    draws = mean + (noise * jnp.sqrt(spread) if diagonal else noise @ jnp.linalg.cholesky(spread).T)
    return _unflatten(draws, subposteriors[0])


def _key(rng_key: Array | None) -> Array:
    return jax.random.PRNGKey(0) if rng_key is None else rng_key


def _flatten(subposteriors: Sequence[Tree]) -> list[Array]:
    """Put the numbers of every draw in a row: one array ``(draw, d)`` for each subposterior."""
    if not len(subposteriors) or not jax.tree.leaves(subposteriors[0]):
        raise ShapeError("there are no subposteriors to merge: give a list of collections of draws")
    structure, shapes = jax.tree.structure(subposteriors[0]), _event_shapes(subposteriors[0])
    rows = []
    for i, subposterior in enumerate(subposteriors):
        if jax.tree.structure(subposterior) != structure or _event_shapes(subposterior) != shapes:
            raise ShapeError(
                f"subposterior {i} has the structure {_describe(subposterior)}, but the first one has "
                f"{_describe(subposteriors[0])} (numbers of draws may differ, names and shapes of a draw may not)"
            )
        leaves = [jnp.asarray(x) for x in jax.tree.leaves(subposterior)]
        counts = {x.shape[0] if x.ndim else 0 for x in leaves}
        if len(counts) > 1 or min(counts) < 2:
            raise ShapeError(f"all arrays of subposterior {i} must have the same draws, at least 2, not {counts}")
        rows.append(jnp.concatenate([x.reshape(len(x), -1).astype(_float(x)) for x in leaves], axis=1))
    return rows


def _event_shapes(tree: Tree) -> list[tuple[int, ...]]:
    return [jnp.shape(x)[1:] for x in jax.tree.leaves(tree)]


def _describe(tree: Tree) -> str:
    return str(jax.tree.map(jnp.shape, tree))


def _float(x: Array) -> Any:
    # Averages of whole numbers are none.
    return jnp.result_type(x, float) if not jnp.issubdtype(x.dtype, jnp.floating) else x.dtype


def _unflatten(rows: Array, like: Tree) -> Tree:
    leaves, structure = jax.tree.flatten(like)
    parts, at = [], 0
    for leaf in map(jnp.asarray, leaves):
        size = prod(leaf.shape[1:])
        parts.append(rows[:, at : at + size].reshape(-1, *leaf.shape[1:]).astype(_float(leaf)))
        at += size
    return jax.tree.unflatten(structure, parts)


def _precisions(draws: list[Array], *, diagonal: bool) -> list[Array]:
    """Invert the covariance, or the variances, of each subposterior."""
    precisions = []
    for i, x in enumerate(draws):
        count, dim = x.shape
        variance = jnp.var(x, axis=0, ddof=1)
        bad = ~((variance > 0) & jnp.isfinite(variance))
        if bad.any():
            raise ValueError(
                f"in subposterior {i} the numbers {jnp.flatnonzero(bad).tolist()} of a draw (counted along all arrays) "
                "do not vary or are not finite, which leaves their weight undefined: leave them out"
            )
        if diagonal:
            precisions.append(1 / variance)
            continue
        if count <= dim:
            raise ShapeError(
                f"subposterior {i} has {count} draws of {dim} numbers, too few for their covariance: take more than "
                f"{dim} draws, or diagonal=True"
            )
        # The inverse of a correlation matrix is computed well though the scales differ by orders of magnitude.
        scale = jnp.sqrt(variance)
        z = (x - jnp.mean(x, axis=0)) / scale
        inverse = cho_solve(cho_factor(z.T @ z / (count - 1)), jnp.eye(dim, dtype=x.dtype))
        precisions.append(_symmetric(inverse / (scale[:, None] * scale)))
    return precisions


def _symmetric(matrix: Array) -> Array:
    return (matrix + matrix.T) / 2
