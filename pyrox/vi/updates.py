"""Optimizers under PyMC's names and with its defaults: ``px.fit(obj_optimizer=px.adam(learning_rate=0.01))``."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pyrox.typing import Array, Tree
from pyrox.vi.optim import Optimizer


def adam(
    learning_rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> Optimizer:
    """Make the optimizer Adam; see ``optax.adam``."""
    import optax

    return Optimizer(optax.adam(learning_rate, beta1, beta2, epsilon))


def adamax(
    learning_rate: float = 0.002, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> Optimizer:
    """Make the optimizer AdaMax; see ``optax.adamax``."""
    import optax

    return Optimizer(optax.adamax(learning_rate, beta1, beta2, epsilon))


def adagrad(learning_rate: float = 1.0, epsilon: float = 1e-6) -> Optimizer:
    """Make the optimizer AdaGrad; see ``optax.adagrad``."""
    import optax

    return Optimizer(optax.adagrad(learning_rate, initial_accumulator_value=0.0, eps=epsilon))


def adadelta(learning_rate: float = 1.0, rho: float = 0.95, epsilon: float = 1e-6) -> Optimizer:
    """Make the optimizer AdaDelta; see ``optax.adadelta``."""
    import optax

    return Optimizer(optax.adadelta(learning_rate, rho=rho, eps=epsilon))


def rmsprop(learning_rate: float = 1.0, rho: float = 0.9, epsilon: float = 1e-6) -> Optimizer:
    """Make the optimizer RMSProp; see ``optax.rmsprop``."""
    import optax

    return Optimizer(optax.rmsprop(learning_rate, decay=rho, eps=epsilon, eps_in_sqrt=True))


def sgd(learning_rate: float = 0.001) -> Optimizer:
    """Make plain gradient descent; see ``optax.sgd``."""
    import optax

    return Optimizer(optax.sgd(learning_rate))


def momentum(learning_rate: float = 0.001, momentum: float = 0.9) -> Optimizer:
    """Make gradient descent with momentum; see ``optax.sgd``."""
    import optax

    return Optimizer(optax.sgd(learning_rate, momentum=momentum))


def nesterov_momentum(learning_rate: float = 0.001, momentum: float = 0.9) -> Optimizer:
    """Make gradient descent with Nesterov's momentum; see ``optax.sgd``."""
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
    """
    import optax

    def init(params: Tree) -> _Window:
        return _Window(jax.tree.map(lambda x: jnp.zeros((n_win, *jnp.shape(x))), params), jnp.zeros((), jnp.int32))

    def update(g: Tree, state: _Window, params: Any = None) -> tuple[Tree, _Window]:
        squares = jax.tree.map(lambda kept, x: kept.at[state.next].set(x**2), state.squares, g)
        steps = jax.tree.map(lambda x, s: -learning_rate * x / jnp.sqrt(s.sum(axis=0) + epsilon), g, squares)
        return steps, _Window(squares, (state.next + 1) % n_win)

    return Optimizer(optax.GradientTransformation(init, update))
