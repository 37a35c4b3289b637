"""Errors that name the variable, say what was met and what to do about it."""


class ModelError(ValueError):
    """The model is built or used in a way that cannot work.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model():
    ...     try:
    ...         px.Normal("x", mu=0.0, spread=1.0)
    ...     except px.ModelError as error:
    ...         print(error)
    Normal 'x': no parameter 'spread'; its parameters are mu, sigma, tau, loc, scale
    """


class NodeError(ModelError):
    """A model variable went where only numbers can go.

    It is no TypeError: JAX replaces each TypeError of what its functions are given by one that names nothing.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model():
    ...     x = px.Normal("x")
    ...     try:
    ...         list(x)
    ...     except px.NodeError as error:
    ...         print(str(error)[:59])
    RandomVariable 'x' is a scalar and cannot be iterated over:
    """


class ShapeError(ValueError):
    """Shapes, dims or coordinates do not fit together.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model(coords={"city": ["Oslo", "Rome"]}):
    ...     try:
    ...         px.Normal("x", [1.0, 2.0, 3.0], dims="city")
    ...     except px.ShapeError as error:
    ...         print(str(error)[:2])
    x:
    """


class SupportError(ValueError):
    """A value lies outside the support of its distribution, or a parameter outside its domain.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model():
    ...     try:
    ...         px.Poisson("y", 3.0, observed=[2, -1])
    ...     except px.SupportError as error:
    ...         print("nonnegative" in str(error))
    True
    """


class InitializationError(RuntimeError):
    """No starting point with a finite log-density and gradient was found.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox as px
    >>> with px.Model():
    ...     x = px.Normal("x")
    ...     term = px.Potential("term", px.math.log(-abs(x) - 1))  # the logarithm of a negative number
    ...     try:
    ...         px.sample(10, tune=10, progressbar=False)
    ...     except px.InitializationError as error:
    ...         print("term" in str(error))
    True
    """


class SamplingError(RuntimeError):
    """A run could not go on or left nothing that can be used.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model():
    ...     x = px.Normal("x")
    ...     try:
    ...         px.sample(10, tune=10, checkpoint="/dev/null/run", progressbar=False)
    ...     except px.SamplingError as error:
    ...         print(str(error)[:43])
    the store '/dev/null/run' could not be made
    """
