"""Log-densities, distribution functions and quantiles as expressions, for use inside models and outside."""

from typing import Any

import jax.numpy as jnp

from pyrox.dist import Distribution
from pyrox.errors import ModelError
from pyrox.model.nodes import call, describe
from pyrox.model.program import DistExpression, RandomVariable
from pyrox.typing import Array


def _log_density(d: Distribution, value: Any) -> Array:
    return d.log_prob(jnp.asarray(value))


def _log_cdf(d: Distribution, value: Any) -> Array:
    return d.log_cdf(jnp.asarray(value))


def _quantile(d: Distribution, q: Any) -> Array:
    return d.icdf(jnp.asarray(q))


def _distribution_of(rv: Any, what: str) -> Any:
    if isinstance(rv, RandomVariable):
        return rv.dist
    if isinstance(rv, DistExpression | Distribution):
        return rv
    raise ModelError(
        f"px.{what} takes a random variable or a distribution, px.Normal.dist(...); met {describe(rv)}: an "
        "expression of random variables has no density of its own here"
    )


def logp(rv: Any, value: Any) -> Any:
    """Evaluate the log-density of a random variable, or of a distribution, at values.

    Parameters
    ----------
    rv
        A variable of a model, ``px.Normal.dist(...)``, or a distribution of ``px.dist``.
    value
        Numbers, or an expression.

    Returns
    -------
    An expression, for ``px.Potential`` for one, that ``.eval()`` evaluates; an array where ``rv`` is of ``px.dist`` and
    no model variable takes part. -inf outside the support.

    Raises
    ------
    ModelError
        If ``rv`` is no random variable and no distribution.

    Examples
    --------
    >>> import pyrox as px
    >>> round(float(px.logp(px.Normal.dist(0.0, 1.0), 0.0).eval()), 4)
    -0.9189
    """
    return call(_log_density, _distribution_of(rv, "logp"), value)


def logcdf(rv: Any, value: Any) -> Any:
    """Evaluate the logarithm of the distribution function; see ``px.logp`` for arguments and returns.

    Parameters
    ----------
    rv
        A variable of a model, ``px.Normal.dist(...)``, or a distribution of ``px.dist``.
    value
        Numbers, or an expression.

    Raises
    ------
    NotImplementedError
        If the family has no closed distribution function.

    Examples
    --------
    >>> import pyrox as px
    >>> round(float(px.logcdf(px.Normal.dist(0.0, 1.0), 0.0).eval()), 4)
    -0.6931
    """
    return call(_log_cdf, _distribution_of(rv, "logcdf"), value)


def icdf(rv: Any, value: Any) -> Any:
    """Evaluate the quantile function; see ``px.logp`` for arguments and returns.

    Parameters
    ----------
    rv
        A variable of a model, ``px.Normal.dist(...)``, or a distribution of ``px.dist``.
    value
        Probabilities, or an expression.

    Raises
    ------
    NotImplementedError
        If the family has no quantile function.

    Examples
    --------
    >>> import pyrox as px
    >>> float(px.icdf(px.Exponential.dist(2.0), 0.0).eval())
    0.0
    """
    return call(_quantile, _distribution_of(rv, "icdf"), value)
