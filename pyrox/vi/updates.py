"""Optimizers under PyMC's names and with its defaults: ``px.fit(obj_optimizer=px.adam(learning_rate=0.01))``."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pyrox.typing import Array, Tree
from pyrox.vi.optim import Optimizer


def adam(
    learning_rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> Optimizer:
    """Make the optimizer Adam; see ``optax.adam``.

    Parameters
    ----------
    learning_rate
        Factor of the steps.
    beta1, beta2
        Decay of the running mean of gradients, and of their running mean square.
    epsilon
        Added to the size of the gradients, by which steps are divided.

    Returns
    -------
    An optimizer for ``px.fit`` or ``px.vi.SVI``.

    Examples
    --------
    >>> import pyrox as px
    >>> optimizer = px.adam(learning_rate=0.02)
    >>> with px.Model():
    ...     x = px.Normal("x", 2.0, 0.5)
    ...     fitted = px.fit(1000, obj_optimizer=optimizer, random_seed=1, progressbar=False)
    >>> abs(float(fitted.sample(1000, random_seed=1).posterior["x"].mean()) - 2.0) < 0.1
    True
    """
    import optax

    return Optimizer(optax.adam(learning_rate, beta1, beta2, epsilon))


def adamax(
    learning_rate: float = 0.002, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> Optimizer:
    """Make the optimizer AdaMax; see ``optax.adamax``.

    Parameters
    ----------
    learning_rate
        Factor of the steps.
    beta1, beta2
        Decay of the running mean of gradients, and of their largest size.
    epsilon
        Added to the size of the gradients, by which steps are divided.

    Returns
    -------
    An optimizer for ``px.fit`` or ``px.vi.SVI``.

    Examples
    --------
    >>> import pyrox as px
    >>> optimizer = px.adamax(learning_rate=0.02)
    >>> with px.Model():
    ...     x = px.Normal("x", 2.0, 0.5)
    ...     fitted = px.fit(1000, obj_optimizer=optimizer, random_seed=1, progressbar=False)
    >>> abs(float(fitted.sample(1000, random_seed=1).posterior["x"].mean()) - 2.0) < 0.1
    True
    """
    import optax

    return Optimizer(optax.adamax(learning_rate, beta1, beta2, epsilon))


def adagrad(learning_rate: float = 1.0, epsilon: float = 1e-6) -> Optimizer:
    """Make the optimizer AdaGrad; see ``optax.adagrad``.

    Parameters
    ----------
    learning_rate
        Factor of the steps.
    epsilon
        Added to the size of the gradients, by which steps are divided.

    Returns
    -------
    An optimizer for ``px.fit`` or ``px.vi.SVI``.

    Examples
    --------
    >>> import pyrox as px
    >>> optimizer = px.adagrad(learning_rate=0.2)
    >>> with px.Model():
    ...     x = px.Normal("x", 2.0, 0.5)
    ...     fitted = px.fit(1000, obj_optimizer=optimizer, random_seed=1, progressbar=False)
    >>> abs(float(fitted.sample(1000, random_seed=1).posterior["x"].mean()) - 2.0) < 0.1
    True
    """
    import optax

    return Optimizer(optax.adagrad(learning_rate, initial_accumulator_value=0.0, eps=epsilon))


def adadelta(learning_rate: float = 1.0, rho: float = 0.95, epsilon: float = 1e-6) -> Optimizer:
    """Make the optimizer AdaDelta; see ``optax.adadelta``.

    Parameters
    ----------
    learning_rate
        Factor of the steps.
    rho
        Decay of the running mean squares of gradients and of steps.
    epsilon
        Added to the size of the gradients, by which steps are divided.

    Returns
    -------
    An optimizer for ``px.fit`` or ``px.vi.SVI``.

    Examples
    --------
    >>> import pyrox as px
    >>> optimizer = px.adadelta(learning_rate=20.0)
    >>> with px.Model():
    ...     x = px.Normal("x", 2.0, 0.5)
    ...     fitted = px.fit(1000, obj_optimizer=optimizer, random_seed=1, progressbar=False)
    >>> abs(float(fitted.sample(1000, random_seed=1).posterior["x"].mean()) - 2.0) < 0.1
    True
    """
    import optax

    return Optimizer(optax.adadelta(learning_rate, rho=rho, eps=epsilon))


def rmsprop(learning_rate: float = 1.0, rho: float = 0.9, epsilon: float = 1e-6) -> Optimizer:
    """Make the optimizer RMSProp; see ``optax.rmsprop``.

    Parameters
    ----------
    learning_rate
        Factor of the steps.
    rho
        Decay of the running mean square of gradients.
    epsilon
        Added to the size of the gradients, by which steps are divided.

    Returns
    -------
    An optimizer for ``px.fit`` or ``px.vi.SVI``.

    Examples
    --------
    >>> import pyrox as px
    >>> optimizer = px.rmsprop(learning_rate=0.02)
    >>> with px.Model():
    ...     x = px.Normal("x", 2.0, 0.5)
    ...     fitted = px.fit(1000, obj_optimizer=optimizer, random_seed=1, progressbar=False)
    >>> abs(float(fitted.sample(1000, random_seed=1).posterior["x"].mean()) - 2.0) < 0.1
    True
    """
    import optax

    return Optimizer(optax.rmsprop(learning_rate, decay=rho, eps=epsilon, eps_in_sqrt=True))


def sgd(learning_rate: float = 0.001) -> Optimizer:
    """Make plain gradient descent; see ``optax.sgd``.

    Parameters
    ----------
    learning_rate
        Factor of the steps.

    Returns
    -------
    An optimizer for ``px.fit`` or ``px.vi.SVI``.

    Examples
    --------
    >>> import pyrox as px
    >>> optimizer = px.sgd(learning_rate=0.02)
    >>> with px.Model():
    ...     x = px.Normal("x", 2.0, 0.5)
    ...     fitted = px.fit(1000, obj_optimizer=optimizer, random_seed=1, progressbar=False)
    >>> abs(float(fitted.sample(1000, random_seed=1).posterior["x"].mean()) - 2.0) < 0.1
    True
    """
    import optax

    return Optimizer(optax.sgd(learning_rate))


def momentum(learning_rate: float = 0.001, momentum: float = 0.9) -> Optimizer:
    """Make gradient descent with momentum; see ``optax.sgd``.

    Parameters
    ----------
    learning_rate
        Factor of the steps.
    momentum
        Share of the last step that is kept.

    Returns
    -------
    An optimizer for ``px.fit`` or ``px.vi.SVI``.

    Examples
    --------
    >>> import pyrox as px
    >>> optimizer = px.momentum(learning_rate=0.005)
    >>> with px.Model():
    ...     x = px.Normal("x", 2.0, 0.5)
    ...     fitted = px.fit(1000, obj_optimizer=optimizer, random_seed=1, progressbar=False)
    >>> abs(float(fitted.sample(1000, random_seed=1).posterior["x"].mean()) - 2.0) < 0.1
    True
    """
    import optax

    return Optimizer(optax.sgd(learning_rate, momentum=momentum))


def nesterov_momentum(learning_rate: float = 0.001, momentum: float = 0.9) -> Optimizer:
    """Make gradient descent with Nesterov's momentum; see ``optax.sgd``.

    Parameters
    ----------
    learning_rate
        Factor of the steps.
    momentum
        Share of the last step that is kept.

    Returns
    -------
    An optimizer for ``px.fit`` or ``px.vi.SVI``.

    Examples
    --------
    >>> import pyrox as px
    >>> optimizer = px.nesterov_momentum(learning_rate=0.005)
    >>> with px.Model():
    ...     x = px.Normal("x", 2.0, 0.5)
    ...     fitted = px.fit(1000, obj_optimizer=optimizer, random_seed=1, progressbar=False)
    >>> abs(float(fitted.sample(1000, random_seed=1).posterior["x"].mean()) - 2.0) < 0.1
    True
    """
    import optax

    return Optimizer(optax.sgd(learning_rate, momentum=momentum, nesterov=True))


class _Window(NamedTuple):
    """The latest squares of gradients, and where the next ones go."""

    squares: Tree
    next: Array


def adagrad_window(learning_rate: float = 0.001, epsilon: float = 0.1, n_win: int = 10) -> Optimizer:
    r"""Make AdaGrad that looks at the latest gradients only.

    .. math:: \Delta = -\eta g / \sqrt{\epsilon + \sum_{i < n} g_{t-i}^2}

    Parameters
    ----------
    learning_rate
        Factor of the steps.
    epsilon
        Added to the sum of squares.
    n_win
        Number of gradients that count.

    Returns
    -------
    An optimizer for ``px.fit`` or ``px.vi.SVI``.

    Examples
    --------
    >>> import pyrox as px
    >>> optimizer = px.adagrad_window(learning_rate=0.02)
    >>> with px.Model():
    ...     x = px.Normal("x", 2.0, 0.5)
    ...     fitted = px.fit(1000, obj_optimizer=optimizer, random_seed=1, progressbar=False)
    >>> abs(float(fitted.sample(1000, random_seed=1).posterior["x"].mean()) - 2.0) < 0.1
    True
    """
    import optax

    def init(params: Tree) -> _Window:
        return _Window(jax.tree.map(lambda x: jnp.zeros((n_win, *jnp.shape(x))), params), jnp.zeros((), jnp.int32))

    def update(g: Tree, state: _Window, params: Any = None) -> tuple[Tree, _Window]:
        squares = jax.tree.map(lambda kept, x: kept.at[state.next].set(x**2), state.squares, g)
        steps = jax.tree.map(lambda x, s: -learning_rate * x / jnp.sqrt(s.sum(axis=0) + epsilon), g, squares)
        return steps, _Window(squares, (state.next + 1) % n_win)

    return Optimizer(optax.GradientTransformation(init, update))
