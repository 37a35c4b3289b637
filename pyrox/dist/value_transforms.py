"""Transforms for ``transform=``, under PyMC's names: ``px.distributions.transforms``.

Each leads from unconstrained space, in which samplers move, to values of a variable.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyrox.dist import constraints
from pyrox.dist.packed import PackTransform
from pyrox.dist.transforms import (
    AffineTransform,
    CircularTransform,
    ComposeTransform,
    ExpTransform,
    IdentityTransform,
    IndependentTransform,
    IntervalTransform,
    LowerCholeskyTransform,
    OrderedTransform,
    SigmoidTransform,
    SoftplusTransform,
    StickBreakingTransform,
    SumToOneTransform,
    Transform,
    biject_to,
)
from pyrox.dist.transforms import ZeroSumTransform as _ZeroSum
from pyrox.errors import ModelError

__all__ = [
    "Chain",
    "CholeskyCovPacked",
    "Interval",
    "Transform",
    "ZeroSumTransform",
    "circular",
    "log",
    "log_exp_m1",
    "logodds",
    "multivariate_ordered",
    "ordered",
    "simplex",
    "sum_to_1",
    "univariate_ordered",
]

log = ExpTransform()
log_exp_m1 = SoftplusTransform()
logodds = SigmoidTransform()
circular = CircularTransform()
ordered = univariate_ordered = multivariate_ordered = OrderedTransform()
simplex = StickBreakingTransform()
sum_to_1 = SumToOneTransform()


def Interval(lower: float | None = None, upper: float | None = None) -> Transform:  # noqa: N802 - PyMC's name
    """Lead into an interval, or with one bound into a half-line.

    Parameters
    ----------
    lower, upper
        Its bounds, numbers; None where there is none.

    Returns
    -------
    A transform.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model():
    ...     x = px.Normal("x", transform=px.distributions.transforms.Interval(-1, 1))
    >>> float(x.transform(0.0))
    0.0
    """
    if callable(lower) or callable(upper):
        raise ModelError("Interval takes two numbers; bounds that depend on variables: px.Truncated, px.Uniform")
    bounds = [None if b is None or np.isinf(b) else float(b) for b in (lower, upper)]
    match bounds:
        case [None, None]:
            raise ModelError("Interval needs a bound: Interval(lower, upper), one of which may be None")
        case [low, None]:
            return biject_to(constraints.greater_than(low))
        case [None, high]:
            return biject_to(constraints.less_than(high))
        case [low, high] if low >= high:
            raise ModelError(f"Interval: lower must be less than upper; met {low} and {high}")
    return IntervalTransform(*bounds)


def Chain(transform_list: Sequence[Transform]) -> Transform:  # noqa: N802
    """Join transforms in PyMC's order: the first is the nearest to the values.

    Parameters
    ----------
    transform_list
        Transforms; ``Chain([log, ordered])`` gives ordered numbers to the exponential.

    Returns
    -------
    A transform.

    Examples
    --------
    >>> from pyrox.dist.value_transforms import Chain, log, ordered
    >>> [round(float(x), 3) for x in Chain([log, ordered])([0.0, 0.0])]
    [1.0, 2.718]
    """
    return ComposeTransform(reversed(transform_list))


def CholeskyCovPacked(n: int) -> Transform:  # noqa: N802
    """Lead into the packed Cholesky factors of covariance matrices.

    Parameters
    ----------
    n
        Number of rows.

    Returns
    -------
    A transform.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox as px
    >>> px.distributions.transforms.CholeskyCovPacked(2)(jnp.zeros(3)).tolist()
    [1.0, 0.0, 1.0]
    """
    del n  # the length of a packed factor tells it
    return ComposeTransform([LowerCholeskyTransform(), PackTransform(constraints.lower_cholesky)])


def ZeroSumTransform(zerosum_axes: Any = (-1,)) -> Transform:  # noqa: N802
    """Lead to numbers that sum to zero over the last axes.

    Parameters
    ----------
    zerosum_axes
        The axes, counted from the last, which is -1.

    Returns
    -------
    A transform.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox as px
    >>> px.distributions.transforms.ZeroSumTransform([-1])(jnp.array([1.0, -1.0])).shape
    (3,)
    """
    axes = sorted(zerosum_axes)
    if axes != list(range(-len(axes), 0)):
        raise ModelError(f"ZeroSumTransform takes the last axes, [-1] or [-2, -1]; met {list(zerosum_axes)}")
    return _ZeroSum(len(axes))


_NAMES = {
    ExpTransform: "log", SigmoidTransform: "logodds", IntervalTransform: "interval", SoftplusTransform: "log_exp_m1",
    CircularTransform: "circular", OrderedTransform: "ordered", StickBreakingTransform: "simplex",
    SumToOneTransform: "sumto1", _ZeroSum: "zerosum",
}  # fmt: skip


def name_of_value(name: str, transform: Transform) -> str:
    """Name the unconstrained value of a variable: ``tau_log__``, or its own name where nothing is transformed.

    Parameters
    ----------
    name
        Name of the variable.
    transform
        Its transform.

    Examples
    --------
    >>> name_of_value("tau", log), name_of_value("mu", biject_to(constraints.real))
    ('tau_log__', 'mu')
    """
    while isinstance(transform, IndependentTransform):
        transform = transform.base
    if isinstance(transform, IdentityTransform):
        return name
    if isinstance(transform, ComposeTransform):
        kinds = [type(part) for part in transform.parts]
        if kinds == [ExpTransform, AffineTransform]:
            return f"{name}_interval__"
        return f"{name}_{'cholesky-cov-packed' if kinds == [LowerCholeskyTransform, PackTransform] else 'chain'}__"
    return f"{name}_{_NAMES.get(type(transform), 'unconstrained')}__"
