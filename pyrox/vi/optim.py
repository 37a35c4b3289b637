"""Optimizers under their documented names, each a few words over optax; any optax transformation serves as well."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pyrox.errors import ModelError
from pyrox.typing import Array, Tree

__all__ = [
    "SGD",
    "SM3",
    "Adagrad",
    "Adam",
    "ClippedAdam",
    "Momentum",
    "OptimState",
    "Optimizer",
    "RMSProp",
    "RMSPropMomentum",
]

StepSize = float | Callable[[Array], Array]


class OptimState(NamedTuple):
    """Where an optimizer stands.

    Attributes
    ----------
    step
        Number of updates made.
    params
        The parameters.
    inner
        What the rule itself remembers.

    Examples
    --------
    >>> from pyrox.vi.optim import SGD
    >>> state = SGD(0.5).init({"x": 1.0})
    >>> int(state.step), float(state.params["x"])
    (0, 1.0)
    """

    step: Array
    params: Tree
    inner: Tree


class Optimizer:
    """An optax transformation that carries the parameters it optimizes.

    Parameters
    ----------
    transformation
        Any optax gradient transformation.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import optax
    >>> from pyrox.vi.optim import Optimizer
    >>> optimizer = Optimizer(optax.sgd(0.5))
    >>> state = optimizer.update({"x": jnp.ones(2)}, optimizer.init({"x": jnp.zeros(2)}))
    >>> optimizer.get_params(state)["x"].tolist()
    [-0.5, -0.5]
    """

    def __init__(self, transformation: Any) -> None:
        self.transformation = transformation

    def init(self, params: Tree) -> OptimState:
        """Start at these parameters, a tree of arrays."""
        # Of the type that the updates will have: a loop carries the state.
        params = jax.tree.map(_as_float, params)
        return OptimState(jnp.zeros((), jnp.int32), params, self.transformation.init(params))

    def update(
        self, g: Tree, state: OptimState, *, rate: Array | None = None, value: Any = None, value_fn: Any = None
    ) -> OptimState:
        """Make one step.

        Parameters
        ----------
        g
            Gradients, a tree like the parameters.
        state
            Where the optimizer stands.
        rate
            A factor of the step; None leaves it as it is.
        value, value_fn
            The loss and its function, for rules that search along the step.

        Returns
        -------
        Where it stands then.
        """
        import optax

        searches = value_fn is not None and isinstance(self.transformation, optax.GradientTransformationExtraArgs)
        extra = {"value": value, "grad": g, "value_fn": value_fn} if searches else {}
        updates, inner = self.transformation.update(g, state.inner, state.params, **extra)
        if rate is not None:
            updates = jax.tree.map(lambda u: u * rate, updates)
        moved = jax.tree.map(lambda x, u: x + u.astype(x.dtype), state.params, updates)
        return OptimState(state.step + 1, moved, inner)

    def get_params(self, state: OptimState) -> Tree:
        """Give the parameters."""
        return state.params

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _as_float(x: Any) -> Array:
    dtype = jnp.asarray(x).dtype
    return jnp.asarray(x, dtype if jnp.issubdtype(dtype, jnp.inexact) else float)


def as_optimizer(optim: Any) -> Any:
    """Take an optimizer as it is, and an optax transformation with its parameters.

    Parameters
    ----------
    optim
        One of this module, an optax transformation, or anything with ``init``, ``update`` and ``get_params``.

    Raises
    ------
    ModelError
        For anything else.
    """
    if isinstance(optim, Optimizer):
        return optim
    if callable(getattr(optim, "init", None)) and callable(getattr(optim, "update", None)):
        return _Foreign(optim) if hasattr(optim, "get_params") else Optimizer(optim)
    raise ModelError(
        f"optim is an optimizer of pyrox.vi.optim, Adam(0.01) for one, or an optax transformation; met {optim!r}"
    )


class _Foreign:
    """An optimizer of somebody else's that keeps the parameters itself; it takes no factor of the step."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.init, self.get_params = inner.init, inner.get_params

    def update(self, g: Tree, state: Tree, *, rate: Any = None, value: Any = None, value_fn: Any = None) -> Tree:
        """Make one step."""
        return self._inner.update(g, state)


# optax takes most of a second to import: only what makes an optimizer, or uses one, does.


class Adam(Optimizer):
    r"""Adam: steps by the gradient's running mean over its running size.

    .. math:: x \leftarrow x - \eta \, \hat m / (\sqrt{\hat v} + \epsilon)

    Parameters
    ----------
    step_size
        Step size :math:`\eta`, a number or a function of the step.
    b1, b2
        Decay of the running mean and of the running mean square.
    eps
        Added to the size.

    Examples
    --------
    >>> from pyrox.vi.optim import Adam
    >>> optimizer = Adam(0.05)
    >>> state = optimizer.init({"x": 1.0})
    >>> for _ in range(500):
    ...     state = optimizer.update({"x": 2 * optimizer.get_params(state)["x"]}, state)  # the gradient of x²
    >>> abs(float(optimizer.get_params(state)["x"])) < 0.1
    True

    References
    ----------
    .. [1] Kingma and Ba (2015), Adam: A method for stochastic optimization.
    """

    def __init__(self, step_size: StepSize, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> None:
        import optax

        Optimizer.__init__(self, optax.adam(step_size, b1=b1, b2=b2, eps=eps))


class ClippedAdam(Optimizer):
    """Adam on gradients whose elements are cut to ``[-clip_norm, clip_norm]``.

    Parameters
    ----------
    step_size, b1, b2, eps
        See ``Adam``.
    clip_norm
        Largest element of a gradient.

    Examples
    --------
    >>> from pyrox.vi.optim import ClippedAdam
    >>> optimizer = ClippedAdam(0.05)
    >>> state = optimizer.init({"x": 1.0})
    >>> for _ in range(500):
    ...     state = optimizer.update({"x": 2 * optimizer.get_params(state)["x"]}, state)  # the gradient of x²
    >>> abs(float(optimizer.get_params(state)["x"])) < 0.1
    True
    """

    def __init__(
        self,
        step_size: StepSize,
        b1: float = 0.9,
        b2: float = 0.999,
        eps: float = 1e-8,
        clip_norm: float = 10.0,
    ) -> None:
        import optax

        Optimizer.__init__(self, optax.chain(optax.clip(clip_norm), optax.adam(step_size, b1=b1, b2=b2, eps=eps)))


class Adagrad(Optimizer):
    """Adagrad: steps by the gradient over the root of the sum of its squares, with momentum.

    Parameters
    ----------
    step_size
        Step size, a number or a function of the step.
    momentum
        Decay of the running mean of the steps.

    Examples
    --------
    >>> from pyrox.vi.optim import Adagrad
    >>> optimizer = Adagrad(0.3)
    >>> state = optimizer.init({"x": 1.0})
    >>> for _ in range(500):
    ...     state = optimizer.update({"x": 2 * optimizer.get_params(state)["x"]}, state)  # the gradient of x²
    >>> abs(float(optimizer.get_params(state)["x"])) < 0.1
    True

    References
    ----------
    .. [1] Duchi, Hazan and Singer (2011), Adaptive subgradient methods for online learning and stochastic optimization.
    """

    def __init__(self, step_size: StepSize, momentum: float = 0.9) -> None:
        import optax

        size = optax.scale_by_rss(initial_accumulator_value=0.0, eps=0.0)
        mean = optax.ema(momentum, debias=False)
        Optimizer.__init__(self, optax.chain(size, mean, optax.scale_by_learning_rate(step_size)))


class Momentum(Optimizer):
    r"""Gradient descent with momentum, :math:`v \leftarrow m v + g, \; x \leftarrow x - \eta v`.

    Parameters
    ----------
    step_size
        Step size, a number or a function of the step.
    mass
        Share of the velocity that is kept.

    Examples
    --------
    >>> from pyrox.vi.optim import Momentum
    >>> optimizer = Momentum(0.02, mass=0.8)
    >>> state = optimizer.init({"x": 1.0})
    >>> for _ in range(500):
    ...     state = optimizer.update({"x": 2 * optimizer.get_params(state)["x"]}, state)  # the gradient of x²
    >>> abs(float(optimizer.get_params(state)["x"])) < 0.1
    True
    """

    def __init__(self, step_size: StepSize, mass: float) -> None:
        import optax

        Optimizer.__init__(self, optax.sgd(step_size, momentum=mass))


class RMSProp(Optimizer):
    r"""RMSProp: steps by the gradient over its running size, :math:`x \leftarrow x - \eta g / \sqrt{v + \epsilon}`.

    Parameters
    ----------
    step_size
        Step size, a number or a function of the step.
    gamma
        Decay of the running mean square.
    eps
        Added to it.

    Examples
    --------
    >>> from pyrox.vi.optim import RMSProp
    >>> optimizer = RMSProp(0.01)
    >>> state = optimizer.init({"x": 1.0})
    >>> for _ in range(500):
    ...     state = optimizer.update({"x": 2 * optimizer.get_params(state)["x"]}, state)  # the gradient of x²
    >>> abs(float(optimizer.get_params(state)["x"])) < 0.1
    True
    """

    def __init__(self, step_size: StepSize, gamma: float = 0.9, eps: float = 1e-8) -> None:
        import optax

        Optimizer.__init__(self, optax.chain(_running_size(gamma, eps), optax.scale_by_learning_rate(step_size)))


class RMSPropMomentum(Optimizer):
    """RMSProp with momentum.

    Parameters
    ----------
    step_size, gamma, eps
        See ``RMSProp``.
    momentum
        Share of the last step that is kept.

    Examples
    --------
    >>> from pyrox.vi.optim import RMSPropMomentum
    >>> optimizer = RMSPropMomentum(0.002)
    >>> state = optimizer.init({"x": 1.0})
    >>> for _ in range(500):
    ...     state = optimizer.update({"x": 2 * optimizer.get_params(state)["x"]}, state)  # the gradient of x²
    >>> abs(float(optimizer.get_params(state)["x"])) < 0.1
    True
    """

    def __init__(self, step_size: StepSize, gamma: float = 0.9, eps: float = 1e-8, momentum: float = 0.9) -> None:
        import optax

        # The velocity is made of whole steps, so that a change of the step size acts on what follows alone.
        rule = optax.chain(
            _running_size(gamma, eps), optax.scale_by_learning_rate(step_size), optax.trace(decay=momentum)
        )
        Optimizer.__init__(self, rule)


class SGD(Optimizer):
    r"""Gradient descent, :math:`x \leftarrow x - \eta g`.

    Parameters
    ----------
    step_size
        Step size, a number or a function of the step.

    Examples
    --------
    >>> from pyrox.vi.optim import SGD
    >>> optimizer = SGD(0.1)
    >>> state = optimizer.init({"x": 1.0})
    >>> for _ in range(500):
    ...     state = optimizer.update({"x": 2 * optimizer.get_params(state)["x"]}, state)  # the gradient of x²
    >>> abs(float(optimizer.get_params(state)["x"])) < 0.1
    True
    """

    def __init__(self, step_size: StepSize) -> None:
        import optax

        Optimizer.__init__(self, optax.sgd(step_size))


class SM3(Optimizer):
    """SM3: Adagrad whose memory is one number for each row and column.

    Parameters
    ----------
    step_size
        Step size, a number or a function of the step.
    momentum
        Decay of the running mean of the steps.

    Examples
    --------
    >>> from pyrox.vi.optim import SM3
    >>> optimizer = SM3(0.3)
    >>> state = optimizer.init({"x": 1.0})
    >>> for _ in range(500):
    ...     state = optimizer.update({"x": 2 * optimizer.get_params(state)["x"]}, state)  # the gradient of x²
    >>> abs(float(optimizer.get_params(state)["x"])) < 0.1
    True

    References
    ----------
    .. [1] Anil, Gupta, Koren and Singer (2019), Memory efficient adaptive optimization.
    """

    def __init__(self, step_size: StepSize, momentum: float = 0.9) -> None:
        import optax

        inner = optax.sm3(step_size, momentum=momentum)

        def widen(tree: Tree) -> Tree:  # the rule knows no plain numbers
            return jax.tree.map(jnp.atleast_1d, tree)

        def update(g: Tree, state: Any, params: Tree = None) -> tuple[Tree, Any]:
            updates, state = inner.update(widen(g), state, widen(params))
            return jax.tree.map(lambda u, x: u.reshape(jnp.shape(x)), updates, g), state

        rule = optax.GradientTransformation(lambda params: inner.init(widen(params)), update)
        Optimizer.__init__(self, rule)


def _running_size(gamma: float, eps: float) -> Any:
    import optax

    return optax.scale_by_rms(decay=gamma, eps=eps, initial_scale=0.0, eps_in_sqrt=True)
