"""Functions that JAX has not, under PyMC's names; ``px.math`` makes them work on model variables."""

from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy import linalg, special


def sqr(x: Any) -> Any:
    """Square each element.

    Parameters
    ----------
    x
        A number, array or variable.

    Returns
    -------
    The shape of ``x``.

    Examples
    --------
    >>> import pyrox as px
    >>> px.math.sqr(3.0).item()
    9.0
    """
    return jnp.square(x)


def flatten(x: Any) -> Any:
    """Lay all elements out along one axis.

    Parameters
    ----------
    x
        An array or variable.

    Returns
    -------
    A vector.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox as px
    >>> px.math.flatten(jnp.array([[1, 2], [3, 4]])).tolist()
    [1, 2, 3, 4]
    """
    return jnp.ravel(x)


def log1mexp(x: Any) -> Any:
    r"""Give :math:`\log(1 - e^x)` without cancellation.

    Parameters
    ----------
    x
        Negative numbers.

    Returns
    -------
    The shape of ``x``.

    Examples
    --------
    >>> import pyrox as px
    >>> round(px.math.log1mexp(-1e-20).item(), 2)
    -46.05
    """
    # Exact at either end: near 0, where 1 - exp(x) cancels, and far below.
    small = x > -0.6931471805599453
    near = jnp.log(-jnp.expm1(jnp.where(small, x, -1.0)))
    return jnp.where(small, near, jnp.log1p(-jnp.exp(jnp.where(small, -1.0, x))))


def logdiffexp(a: Any, b: Any) -> Any:
    r"""Give :math:`\log(e^a - e^b)` without overflow.

    Parameters
    ----------
    a, b
        Numbers with :math:`a > b`, shapes that broadcast.

    Returns
    -------
    Their shape.

    Examples
    --------
    >>> import pyrox as px
    >>> round(px.math.logdiffexp(1000.0, 999.0).item(), 4)
    999.5413
    """
    return a + log1mexp(b - a)


def logdet(x: Any) -> Any:
    """Give the logarithm of the absolute value of a determinant.

    Parameters
    ----------
    x
        Square matrices along the last two axes.

    Returns
    -------
    A number for each matrix.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox as px
    >>> round(px.math.logdet(jnp.diag(jnp.array([2.0, 3.0]))).item(), 4)
    1.7918
    """
    return jnp.linalg.slogdet(x)[1]


def softmax(x: Any, axis: int | None = -1) -> Any:
    r"""Give shares from logits, :math:`p_i = e^{x_i} / \sum_j e^{x_j}`.

    Parameters
    ----------
    x
        Logits.
    axis
        The axis along which shares sum to one; None takes all together.

    Returns
    -------
    The shape of ``x``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox as px
    >>> px.math.softmax(jnp.zeros(4)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    return jax.nn.softmax(x, axis=axis)


def erfcinv(x: Any) -> Any:
    """Invert the complementary error function.

    Parameters
    ----------
    x
        Numbers between 0 and 2.

    Returns
    -------
    The shape of ``x``.

    Examples
    --------
    >>> import pyrox as px
    >>> round(px.math.erfc(px.math.erfcinv(0.3)).item(), 6)
    0.3
    """
    return -special.ndtri(x / 2) / jnp.sqrt(2.0)


def flat_outer(a: Any, b: Any) -> Any:
    """Give all products of the elements of two vectors, laid out along one axis.

    Parameters
    ----------
    a, b
        Vectors.

    Returns
    -------
    A vector, the elements of ``a`` the slower ones.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox as px
    >>> px.math.flat_outer(jnp.array([1, 2]), jnp.array([3, 4])).tolist()
    [3, 4, 6, 8]
    """
    return jnp.ravel(jnp.outer(a, b))


def kron_diag(*diagonals: Any) -> Any:
    """Give the diagonal of a Kronecker product of diagonal matrices.

    Parameters
    ----------
    *diagonals
        Their diagonals, vectors.

    Returns
    -------
    A vector.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox as px
    >>> px.math.kron_diag(jnp.array([1, 2]), jnp.array([3, 4])).tolist()
    [3, 4, 6, 8]
    """
    return reduce(flat_outer, diagonals)


def _through(matrices: Any, vector: Any, product: Callable) -> Any:
    """Apply a Kronecker product of matrices to a vector, or to columns, one matrix after the other."""
    vector = jnp.asarray(vector)
    x = vector.reshape(len(vector), -1).T  # columns first
    for matrix in matrices:
        x = x.reshape(x.shape[0], jnp.shape(matrix)[-1], -1)
        x = jnp.swapaxes(jax.vmap(lambda part, m=matrix: product(m, part))(x), 1, 2).reshape(x.shape[0], -1)
    return x.T.reshape(vector.shape)


def kron_dot(krons: Any, m: Any) -> Any:
    """Multiply a Kronecker product of matrices by a vector or a matrix, without forming it.

    Parameters
    ----------
    krons
        Square matrices, a list.
    m
        A vector, or columns.

    Returns
    -------
    The shape of ``m``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox as px
    >>> krons = [jnp.diag(jnp.array([1.0, 2.0])), jnp.diag(jnp.array([3.0, 4.0]))]
    >>> px.math.kron_dot(krons, jnp.ones(4)).tolist()
    [3.0, 4.0, 6.0, 8.0]
    """
    return _through(krons, m, jnp.matmul)


def kron_solve_lower(krons: Any, m: Any) -> Any:
    """Solve for a Kronecker product of lower triangular matrices, without forming it.

    Parameters
    ----------
    krons
        Lower triangular matrices, a list.
    m
        A vector, or columns.

    Returns
    -------
    The shape of ``m``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox as px
    >>> krons = [jnp.diag(jnp.array([1.0, 2.0])), jnp.diag(jnp.array([1.0, 4.0]))]
    >>> px.math.kron_solve_lower(krons, jnp.ones(4)).tolist()
    [1.0, 0.25, 0.5, 0.125]
    """
    return _through(krons, m, partial(linalg.solve_triangular, lower=True))


def kron_solve_upper(krons: Any, m: Any) -> Any:
    """Solve for a Kronecker product of upper triangular matrices, without forming it.

    Parameters
    ----------
    krons
        Upper triangular matrices, a list.
    m
        A vector, or columns.

    Returns
    -------
    The shape of ``m``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox as px
    >>> krons = [jnp.diag(jnp.array([1.0, 2.0])), jnp.diag(jnp.array([1.0, 4.0]))]
    >>> px.math.kron_solve_upper(krons, jnp.ones(4)).tolist()
    [1.0, 0.25, 0.5, 0.125]
    """
    return _through(krons, m, partial(linalg.solve_triangular, lower=False))


def batched_diag(x: Any) -> Any:
    """Make diagonal matrices of the rows of a matrix; of matrices, take the diagonals.

    Parameters
    ----------
    x
        Shape ``(batch, n)``, or ``(batch, n, n)``.

    Returns
    -------
    Shape ``(batch, n, n)``, or ``(batch, n)``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox as px
    >>> px.math.batched_diag(jnp.array([[1, 2]])).tolist()
    [[[1.0, 0.0], [0.0, 2.0]]]
    """
    return jnp.einsum("ij,jk->ijk", x, jnp.eye(x.shape[-1])) if jnp.ndim(x) == 2 else jnp.diagonal(x, 0, -2, -1)


def flatten_list(arrays: Any) -> Any:
    """Lay the elements of several arrays out along one axis.

    Parameters
    ----------
    arrays
        A list of arrays or variables.

    Returns
    -------
    A vector.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox as px
    >>> px.math.flatten_list([jnp.array([1, 2]), jnp.array([[3], [4]])]).tolist()
    [1, 2, 3, 4]
    """
    return jnp.concatenate([jnp.ravel(x) for x in arrays])


def block_diagonal(matrices: Any) -> Any:
    """Put matrices along the diagonal of a larger one.

    Parameters
    ----------
    matrices
        A list of matrices.

    Returns
    -------
    A matrix of zeros elsewhere.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox as px
    >>> px.math.block_diagonal([jnp.ones((1, 1)), jnp.ones((2, 2))]).shape
    (3, 3)
    """
    return linalg.block_diag(*matrices)


ALL = (
    sqr, flatten, log1mexp, logdiffexp, logdet, softmax, erfcinv, flat_outer, kron_diag, kron_dot, kron_solve_lower,
    kron_solve_upper, batched_diag, flatten_list, block_diagonal,
)  # fmt: skip
