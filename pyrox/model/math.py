"""Functions of model variables: all of ``jax.numpy``, ``jax.scipy.special`` and ``jax.nn``, and PyMC's names."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy import linalg, special, stats

from pyrox.model.nodes import call, lift


def _sqr(x: Any) -> Any:
    return jnp.square(x)


def _flatten(x: Any) -> Any:
    return jnp.ravel(x)


def _log1mexp(x: Any) -> Any:
    # log(1 - exp(x)) for x < 0, without cancellation at either end.
    small = x > -0.6931471805599453
    near = jnp.log(-jnp.expm1(jnp.where(small, x, -1.0)))
    return jnp.where(small, near, jnp.log1p(-jnp.exp(jnp.where(small, -1.0, x))))


def _logdiffexp(a: Any, b: Any) -> Any:
    return a + _log1mexp(b - a)


def _logdet(x: Any) -> Any:
    return jnp.linalg.slogdet(x)[1]


def _softmax(x: Any, axis: int | None = -1) -> Any:
    return jax.nn.softmax(x, axis=axis)


def _block_diagonal(matrices: Any) -> Any:
    return linalg.block_diag(*matrices)


_NAMES = {
    "and_": jnp.logical_and, "or_": jnp.logical_or, "not_": jnp.logical_not, "eq": jnp.equal, "neq": jnp.not_equal,
    "lt": jnp.less, "le": jnp.less_equal, "gt": jnp.greater, "ge": jnp.greater_equal, "switch": jnp.where,
    "sqr": _sqr, "sgn": jnp.sign, "invlogit": jax.nn.sigmoid, "sigmoid": jax.nn.sigmoid, "expit": jax.nn.sigmoid,
    "logit": special.logit, "log1pexp": jax.nn.softplus, "log1mexp": _log1mexp, "logdiffexp": _logdiffexp,
    "logsumexp": special.logsumexp, "invprobit": special.ndtr, "probit": special.ndtri, "erf": special.erf,
    "erfc": special.erfc, "erfinv": special.erfinv, "softmax": _softmax, "log_softmax": jax.nn.log_softmax,
    "flatten": _flatten, "kronecker": jnp.kron, "logdet": _logdet, "det": jnp.linalg.det, "inv": jnp.linalg.inv,
    "matrix_inverse": jnp.linalg.inv, "cholesky": jnp.linalg.cholesky, "block_diagonal": _block_diagonal,
    "extract_diag": jnp.diagonal, "normcdf": special.ndtr, "logcdf_normal": special.log_ndtr,
    "gammaln": special.gammaln, "solve": jnp.linalg.solve, "solve_triangular": linalg.solve_triangular,
    "round": jnp.round, "abs": jnp.abs, "sum": jnp.sum, "max": jnp.max, "min": jnp.min, "any": jnp.any, "all": jnp.all,
    "pow": jnp.power, "norm_logpdf": stats.norm.logpdf,
}  # fmt: skip


def _find(name: str) -> Any:
    if name in _NAMES:
        return _NAMES[name]
    for place in (jnp, special, jax.nn, jnp.linalg):
        if name in dir(place) and callable(found := getattr(place, name)) and not isinstance(found, type):
            return found
    return None


def __getattr__(name: str) -> Any:
    if name.startswith("_") or (found := _find(name)) is None:
        raise AttributeError(f"px.math has no function {name!r}: px.lift(f) makes one of any JAX function f")
    lifted = lift(found)
    globals()[name] = lifted  # the next use finds it without a search
    return lifted


def __dir__() -> list[str]:
    public = {n for place in (jnp, special, jax.nn) for n in dir(place) if not n.startswith("_") and _find(n)}
    return sorted(public | set(_NAMES))


def constant(value: Any) -> Any:
    """Give a value back: PyMC needs it, operators here take arrays as they are."""
    return value


as_tensor = as_tensor_variable = constant


def full_like(x: Any, fill_value: Any, **kwargs: Any) -> Any:
    """See ``jax.numpy.full_like``."""
    return call(jnp.full_like, x, fill_value, **kwargs)
