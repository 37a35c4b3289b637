"""What is known of one variable of a log-density."""

from typing import Any, NamedTuple

from pyrox.typing import Shape


class FreeSite(NamedTuple):
    """One free variable.

    Attributes
    ----------
    shape, dtype
        Of its constrained value.
    unconstrained_shape
        Of its part of the position.
    start, stop
        Where that part lies.
    initval
        Its start, or None.
    dims
        Names of its axes, or None.
    label
        Name of its unconstrained value, as PyMC has it.

    Examples
    --------
    >>> import pyrox as px
    >>> from pyrox.model import LogDensity
    >>> with px.Model() as model:
    ...     tau, p = px.HalfNormal("tau"), px.Dirichlet("p", [1.0, 1.0, 1.0])
    >>> site = LogDensity.build(model).free["p"]
    >>> site.shape, site.unconstrained_shape, (site.start, site.stop)
    ((3,), (2,), (1, 3))
    """

    shape: Shape
    dtype: Any
    unconstrained_shape: Shape
    start: int
    stop: int
    initval: Any
    dims: tuple | None
    label: str


class DiscreteSite(NamedTuple):
    """One discrete variable that is summed out.

    Attributes
    ----------
    shape
        Of its value.
    dims
        Names of its axes, or None.
    is_chain
        Whether it is a Markov chain along its last axis.
    low
        Its least value.
    limits
        Least and greatest value of each element, where they differ; else None twice.
    """

    shape: Shape
    dims: tuple | None
    is_chain: bool
    low: Any = 0
    limits: tuple = (None, None)
