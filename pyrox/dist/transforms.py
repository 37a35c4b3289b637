"""Map between spaces, forward with the log-determinant and back; find the map onto a constraint's set."""

from functools import singledispatch

from pyrox.dist import constraints
from pyrox.dist.constraints import Constraint
from pyrox.dist.transform import (
    AbsTransform,
    AffineTransform,
    CircularTransform,
    ComposeTransform,
    ExpTransform,
    IdentityTransform,
    IndependentTransform,
    IntervalTransform,
    PowerTransform,
    SigmoidTransform,
    SoftplusTransform,
    Transform,
    sum_rightmost,
)
from pyrox.dist.vector_transforms import (
    CorrCholeskyTransform,
    InvCholeskyTransform,
    LowerCholeskyTransform,
    MultivariateAffineTransform,
    OrderedTransform,
    PermuteTransform,
    StickBreakingTransform,
    SumToOneTransform,
    ZeroSumTransform,
)

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "CircularTransform",
    "ComposeTransform",
    "CorrCholeskyTransform",
    "ExpTransform",
    "IdentityTransform",
    "IndependentTransform",
    "IntervalTransform",
    "InvCholeskyTransform",
    "LowerCholeskyTransform",
    "MultivariateAffineTransform",
    "OrderedTransform",
    "PermuteTransform",
    "PowerTransform",
    "SigmoidTransform",
    "SoftplusTransform",
    "StickBreakingTransform",
    "SumToOneTransform",
    "Transform",
    "ZeroSumTransform",
    "biject_to",
    "sum_rightmost",
]


@singledispatch
def biject_to(constraint: Constraint) -> Transform:
    """Give a bijection from unconstrained space onto a constraint's set.

    Parameters
    ----------
    constraint
        A continuous constraint.

    Returns
    -------
    A transform whose codomain is the constraint.

    Raises
    ------
    NotImplementedError
        If the set is discrete or no bijection onto it is known.

    Examples
    --------
    >>> from pyrox.dist import biject_to, constraints
    >>> biject_to(constraints.positive)(0.0).item()
    1.0
    """
    raise NotImplementedError(f"no bijection from unconstrained space onto {constraint} is known")


@biject_to.register
def _(constraint: constraints._Real) -> Transform:
    return IdentityTransform()


@biject_to.register
def _(constraint: constraints._RealVector) -> Transform:
    return IdentityTransform(1)


@biject_to.register(constraints._GreaterThan)
@biject_to.register(constraints._GreaterThanEq)
def _(constraint: constraints._GreaterThan | constraints._GreaterThanEq) -> Transform:
    low = constraint.lower_bound
    if isinstance(low, float | int) and low == 0:
        return ExpTransform()
    return ComposeTransform([ExpTransform(), AffineTransform(low, 1.0, constraints.positive)])


@biject_to.register
def _(constraint: constraints._Interval) -> Transform:
    low, high = constraint.lower_bound, constraint.upper_bound
    if isinstance(low, float | int) and isinstance(high, float | int) and (low, high) == (0, 1):
        return SigmoidTransform()
    return IntervalTransform(low, high)


@biject_to.register
def _(constraint: constraints._Independent) -> Transform:
    return IndependentTransform(biject_to(constraint.base), constraint.reinterpreted_batch_ndims)


@biject_to.register
def _(constraint: constraints._Simplex) -> Transform:
    return StickBreakingTransform()


@biject_to.register(constraints._LessThan)
@biject_to.register(constraints._LessThanEq)
def _(constraint: constraints._LessThan | constraints._LessThanEq) -> Transform:
    return ComposeTransform([ExpTransform(), AffineTransform(constraint.upper_bound, -1.0, constraints.positive)])


@biject_to.register
def _(constraint: constraints._OrderedVector) -> Transform:
    return OrderedTransform()


@biject_to.register
def _(constraint: constraints._SumToOne) -> Transform:
    return SumToOneTransform()


@biject_to.register
def _(constraint: constraints._ZeroSum) -> Transform:
    return ZeroSumTransform(constraint.ndims)


@biject_to.register
def _(constraint: constraints._LowerCholesky) -> Transform:
    return LowerCholeskyTransform()


@biject_to.register
def _(constraint: constraints._CorrCholesky) -> Transform:
    return CorrCholeskyTransform()


@biject_to.register
def _(constraint: constraints._PositiveDefinite) -> Transform:
    return ComposeTransform([LowerCholeskyTransform(), InvCholeskyTransform()])


@biject_to.register
def _(constraint: constraints._CorrMatrix) -> Transform:
    return ComposeTransform([CorrCholeskyTransform(), InvCholeskyTransform(constraints.corr_cholesky)])
