"""Functions of model variables: all of ``jax.numpy``, ``jax.scipy.special`` and ``jax.nn``, and PyMC's names."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import linalg, special, stats

from pyrox.model import functions
from pyrox.model.nodes import call, lift

_NAMES = {
    "and_": jnp.logical_and, "or_": jnp.logical_or, "not_": jnp.logical_not, "eq": jnp.equal, "neq": jnp.not_equal,
    "lt": jnp.less, "le": jnp.less_equal, "gt": jnp.greater, "ge": jnp.greater_equal, "switch": jnp.where, "sgn":
    jnp.sign, "sigmoid": jax.nn.sigmoid, "expit": jax.nn.sigmoid, "log1pexp": jax.nn.softplus, "erf": special.erf,
    "erfc": special.erfc, "erfinv": special.erfinv, "log_softmax": jax.nn.log_softmax, "kronecker": jnp.kron,
    "det": jnp.linalg.det, "inv": jnp.linalg.inv, "matrix_inverse": jnp.linalg.inv, "cholesky":
    jnp.linalg.cholesky, "extract_diag": jnp.diagonal, "normcdf": special.ndtr, "logcdf_normal": special.log_ndtr,
    "gammaln": special.gammaln, "solve": jnp.linalg.solve, "solve_triangular": linalg.solve_triangular, "round":
    jnp.round, "abs": jnp.abs, "sum": jnp.sum, "max": jnp.max, "min": jnp.min, "any": jnp.any, "all": jnp.all,
    "pow": jnp.power, "norm_logpdf": stats.norm.logpdf, **{f.__name__: f for f in functions.ALL},
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
    return sorted(public | set(_NAMES) | _OWN)


# Those that stand below: PyMC's, with its signatures.
_OWN = {
    "as_tensor", "as_tensor_variable", "cartesian", "constant", "expand_packed_triangular", "full_like", "invlogit",
    "invprobit", "logaddexp", "logit", "logsumexp", "probit",
}  # fmt: skip


def constant(value: Any) -> Any:
    """Give a value back: PyMC needs it, operators here take arrays as they are.

    Parameters
    ----------
    value
        Anything.

    Returns
    -------
    The same.

    Examples
    --------
    >>> import pyrox as px
    >>> px.math.constant(3.0)
    3.0
    """
    return value


as_tensor = as_tensor_variable = constant


def full_like(x: Any, fill_value: Any, **kwargs: Any) -> Any:
    """Make an array of the shape of another, filled with one value.

    Parameters
    ----------
    x
        Array or variable.
    fill_value
        The value, a number or a variable.
    **kwargs
        See ``jax.numpy.full_like``.

    Returns
    -------
    The shape of ``x``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox as px
    >>> px.math.full_like(jnp.zeros(2), 3.0).tolist()
    [3.0, 3.0]
    """
    return call(jnp.full_like, x, fill_value, **kwargs)


def invlogit(x: Any) -> Any:
    r"""Map real numbers to probabilities, :math:`p = 1 / (1 + e^{-x})`.

    Parameters
    ----------
    x
        Log-odds.

    Returns
    -------
    The shape of ``x``.

    Examples
    --------
    >>> import pyrox as px
    >>> px.invlogit(0.0).item()
    0.5
    """
    return call(jax.nn.sigmoid, x)


def logit(x: Any) -> Any:
    r"""Give the log-odds of probabilities, :math:`\log p - \log(1 - p)`.

    Parameters
    ----------
    x
        Probabilities.

    Returns
    -------
    The shape of ``x``.

    Examples
    --------
    >>> import pyrox as px
    >>> px.logit(0.5).item()
    0.0
    """
    return call(special.logit, x)


def invprobit(x: Any) -> Any:
    r"""Map real numbers to probabilities by the normal distribution's cdf, :math:`p = \Phi(x)`.

    Parameters
    ----------
    x
        Numbers.

    Returns
    -------
    The shape of ``x``.

    Examples
    --------
    >>> import pyrox as px
    >>> px.invprobit(0.0).item()
    0.5
    """
    return call(special.ndtr, x)


def probit(p: Any) -> Any:
    r"""Give the quantiles of the normal distribution, :math:`x = \Phi^{-1}(p)`.

    Parameters
    ----------
    p
        Probabilities.

    Returns
    -------
    The shape of ``p``.

    Examples
    --------
    >>> import pyrox as px
    >>> px.probit(0.5).item()
    0.0
    """
    return call(special.ndtri, p)


def logaddexp(a: Any, b: Any) -> Any:
    r"""Give :math:`\log(e^a + e^b)` without overflow.

    Parameters
    ----------
    a, b
        Numbers, shapes that broadcast.

    Returns
    -------
    Their shape.

    Examples
    --------
    >>> import pyrox as px
    >>> print(f"{px.logaddexp(1000.0, 1000.0):.4f}")
    1000.6931
    """
    return call(jnp.logaddexp, a, b)


def logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, **kwargs: Any  # noqa: FBT001, FBT002 - as JAX has it
) -> Any:
    r"""Give :math:`\log \sum_i b_i e^{a_i}` without overflow.

    Parameters
    ----------
    a
        Numbers.
    axis
        The axis or axes to sum over; all by default.
    b
        Factors, a shape that broadcasts with ``a``; ones by default.
    keepdims
        Whether these axes stay, with length one.
    **kwargs
        See ``jax.scipy.special.logsumexp``.

    Returns
    -------
    The shape of ``a`` without these axes.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox as px
    >>> print(f"{px.logsumexp(jnp.array([1000.0, 1000.0])):.4f}")
    1000.6931
    """
    return call(special.logsumexp, a, axis=axis, b=b, keepdims=keepdims, **kwargs)


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
