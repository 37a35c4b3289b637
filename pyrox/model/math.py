"""Functions of model variables: all of ``jax.numpy``, ``jax.scipy.special`` and ``jax.nn``, and PyMC's names."""

from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
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


def _erfcinv(x: Any) -> Any:
    return -special.ndtri(x / 2) / jnp.sqrt(2.0)


def _flat_outer(a: Any, b: Any) -> Any:
    return jnp.ravel(jnp.outer(a, b))


def _kron_diag(*diagonals: Any) -> Any:
    return reduce(_flat_outer, diagonals)


def _through(matrices: Any, vector: Any, product: Callable) -> Any:
    """Apply a Kronecker product of matrices to a vector, or to columns, one matrix after the other."""
    vector = jnp.asarray(vector)
    x = vector.reshape(len(vector), -1).T  # columns first
    for matrix in matrices:
        x = x.reshape(x.shape[0], jnp.shape(matrix)[-1], -1)
        x = jnp.swapaxes(jax.vmap(lambda part, m=matrix: product(m, part))(x), 1, 2).reshape(x.shape[0], -1)
    return x.T.reshape(vector.shape)


def _kron_dot(krons: Any, m: Any) -> Any:
    return _through(krons, m, jnp.matmul)


def _kron_solve_lower(krons: Any, m: Any) -> Any:
    return _through(krons, m, partial(linalg.solve_triangular, lower=True))


def _kron_solve_upper(krons: Any, m: Any) -> Any:
    return _through(krons, m, partial(linalg.solve_triangular, lower=False))


def _batched_diag(x: Any) -> Any:
    return jnp.einsum("ij,jk->ijk", x, jnp.eye(x.shape[-1])) if jnp.ndim(x) == 2 else jnp.diagonal(x, 0, -2, -1)


def _flatten_list(arrays: Any) -> Any:
    return jnp.concatenate([jnp.ravel(x) for x in arrays])


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
    "pow": jnp.power, "norm_logpdf": stats.norm.logpdf, "erfcinv": _erfcinv, "flat_outer": _flat_outer,
    "kron_diag": _kron_diag, "kron_dot": _kron_dot, "kron_solve_lower": _kron_solve_lower,
    "kron_solve_upper": _kron_solve_upper, "batched_diag": _batched_diag, "flatten_list": _flatten_list,
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


def cartesian(*arrays: Any) -> np.ndarray:
    """List all combinations of the rows of arrays, those of the first one the slowest.

    Parameters
    ----------
    *arrays
        Arrays of numbers, of one axis or two.

    Returns
    -------
    An array with a row for each combination.

    Examples
    --------
    >>> from pyrox.model import math
    >>> math.cartesian([1, 2], [3, 4]).tolist()
    [[1, 3], [1, 4], [2, 3], [2, 4]]
    """
    rows = [x.reshape(len(x), -1) for x in map(np.asarray, arrays)]
    index = np.indices([len(x) for x in rows]).reshape(len(rows), -1)
    return np.concatenate([x[i] for x, i in zip(rows, index, strict=True)], axis=1)


def expand_packed_triangular(
    n: int, packed: Any, lower: bool = True, diagonal_only: bool = False  # noqa: FBT001, FBT002 - PyMC's signature
) -> Any:
    """Lay a vector out, row by row, in a triangle of a matrix.

    Parameters
    ----------
    n
        Number of rows.
    packed
        A vector of ``n (n + 1) / 2`` elements.
    lower
        Whether it is the lower triangle.
    diagonal_only
        Whether to give the diagonal alone.

    Returns
    -------
    A matrix of zeros elsewhere; with ``diagonal_only`` a vector.

    Examples
    --------
    >>> from pyrox.model import math
    >>> math.expand_packed_triangular(2, [1.0, 2.0, 3.0]).tolist()
    [[1.0, 0.0], [2.0, 3.0]]
    """
    return call(_expand, packed, n, lower, diagonal_only)


def _expand(packed: Any, n: int, lower: bool, diagonal_only: bool) -> Any:  # noqa: FBT001
    packed, where = jnp.asarray(packed), np.tril_indices(n) if lower else np.triu_indices(n)
    if diagonal_only:
        return packed[np.flatnonzero(where[0] == where[1])]
    return jnp.zeros((n, n), packed.dtype).at[where].set(packed)
