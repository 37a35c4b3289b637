"""Normalising flows: the inverse autoregressive transform and a network for it."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox._pytree import Pytree, static
from pyrox.dist import constraints
from pyrox.dist.transform import Transform
from pyrox.typing import Array, Key

__all__ = ["AutoregressiveNetwork", "InverseAutoregressiveTransform"]


class AutoregressiveNetwork(Pytree):
    r"""Network whose i-th outputs depend on the inputs before the i-th alone.

    Masks cut the connections of an ordinary network (MADE). Make one with ``AutoregressiveNetwork.create``.

    Parameters
    ----------
    weights, biases
        Of each layer, shapes ``(inputs, outputs)`` and ``(outputs,)``.
    permutation
        Order in which the inputs come.
    nonlinearity
        Function between the layers.

    Examples
    --------
    >>> import jax
    >>> from pyrox.dist.flows import AutoregressiveNetwork
    >>> network = AutoregressiveNetwork.create(jax.random.key(0), 3, hidden=(8,))
    >>> mean, log_scale = network(jax.numpy.ones(3))
    >>> mean.shape, log_scale.shape
    ((3,), (3,))

    References
    ----------
    .. [1] Germain, Gregor, Murray and Larochelle (2015), MADE: Masked autoencoder for distribution estimation.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    permutation: tuple[int, ...] = static()
    nonlinearity: Callable = static()

    @classmethod
    def create(
        cls,
        key: Key,
        dimension: int,
        hidden: Sequence[int] | None = None,
        permutation: Sequence[int] | None = None,
        nonlinearity: Callable = jax.nn.elu,
        scale: float = 0.01,
    ) -> "AutoregressiveNetwork":
        """Draw the weights of a network.

        Parameters
        ----------
        key
            A JAX PRNG key.
        dimension
            Number of inputs, at least two.
        hidden
            Widths of the hidden layers, each at least ``dimension``; two layers of that width by default.
        permutation
            Order in which the inputs come; as they stand by default.
        nonlinearity
            Function between the layers.
        scale
            Standard deviation of the last layer's weights: small, so that a flow begins near the identity.
        """
        hidden = (dimension, dimension) if hidden is None else tuple(hidden)
        if dimension < 2 or any(width < dimension for width in hidden):
            raise ValueError(f"hidden layers must be as wide as the {dimension} inputs, of which there are two or more")
        order = tuple(range(dimension)) if permutation is None else tuple(int(i) for i in permutation)
        widths = (dimension, *hidden, 2 * dimension)
        keys = jax.random.split(key, len(widths) - 1)
        last = len(widths) - 2
        weights = tuple(
            jax.random.normal(k, (m, n)) * (scale if i == last else m**-0.5)
            for i, (k, m, n) in enumerate(zip(keys, widths[:-1], widths[1:], strict=True))
        )
        return cls(weights, tuple(jnp.zeros(n) for n in widths[1:]), order, nonlinearity)

    def masks(self) -> list[np.ndarray]:
        """Give, for every layer, which inputs each output may see."""
        dimension = len(self.permutation)
        rank = np.argsort(np.asarray(self.permutation)) + 1
        degrees = [rank, *(np.arange(len(b)) % (dimension - 1) + 1 for b in self.biases[:-1])]
        inner = [m[:, None] <= n[None, :] for m, n in pairwise(degrees)]
        return [*inner, degrees[-1][:, None] < np.tile(rank, 2)[None, :]]

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Give shift and log-scale for each element of x."""
        for i, (w, b, mask) in enumerate(zip(self.weights, self.biases, self.masks(), strict=True)):
            x = (self.nonlinearity(x) if i else x) @ jnp.where(mask, w, 0) + b
        return jnp.split(x, 2, axis=-1)


class InverseAutoregressiveTransform(Transform):
    r"""Inverse autoregressive flow.

    .. math:: y_t = \mu_t(x_{<t}) + \sigma_t(x_{<t})\, x_t

    Parameters
    ----------
    autoregressive_nn
        Function of x that gives shifts and log-scales, the t-th from the elements before it: an
        ``AutoregressiveNetwork``, or any callable.
    log_scale_min_clip
        Lower bound of the log-scales.
    log_scale_max_clip
        Upper bound of the log-scales.

    Examples
    --------
    >>> import jax
    >>> from pyrox.dist.flows import AutoregressiveNetwork, InverseAutoregressiveTransform
    >>> flow = InverseAutoregressiveTransform(AutoregressiveNetwork.create(jax.random.key(0), 2))
    >>> x = jax.numpy.array([0.5, -1.0])
    >>> bool(jax.numpy.allclose(flow.inv(flow(x)), x))
    True

    References
    ----------
    .. [1] Kingma, Salimans, Jozefowicz, Chen, Sutskever and Welling (2016), Improving variational inference with
       inverse autoregressive flow.
    """

    autoregressive_nn: Any
    log_scale_min_clip: float = static(default=-5.0)
    log_scale_max_clip: float = static(default=3.0)
    domain = constraints.real_vector
    codomain = constraints.real_vector

    def __init__(
        self, autoregressive_nn: Callable, log_scale_min_clip: float = -5.0, log_scale_max_clip: float = 3.0
    ) -> None:
        # A plain function is structure, not data: wrapped, it passes through JAX as such.
        leaves = jax.tree.leaves(autoregressive_nn)
        opaque = len(leaves) == 1 and leaves[0] is autoregressive_nn
        network = jax.tree_util.Partial(autoregressive_nn) if opaque else autoregressive_nn
        object.__setattr__(self, "autoregressive_nn", network)
        object.__setattr__(self, "log_scale_min_clip", log_scale_min_clip)
        object.__setattr__(self, "log_scale_max_clip", log_scale_max_clip)

    def _shift_and_log_scale(self, x: Array) -> tuple[Array, Array]:
        shift, log_scale = self.autoregressive_nn(x)
        # Clipped in value alone: the derivative passes, so that a scale at a bound can come back.
        clipped = jnp.clip(log_scale, self.log_scale_min_clip, self.log_scale_max_clip)
        return shift, log_scale + jax.lax.stop_gradient(clipped - log_scale)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        shift, log_scale = self._shift_and_log_scale(x)
        return shift + jnp.exp(log_scale) * x, jnp.sum(log_scale, axis=-1)

    def inverse(self, y: Array) -> Array:
        # Every pass settles at least one more element.
        def settle(_: int, x: Array) -> Array:
            shift, log_scale = self._shift_and_log_scale(x)
            return (y - shift) * jnp.exp(-log_scale)

        return jax.lax.fori_loop(0, y.shape[-1], settle, jnp.zeros_like(y))
