"""Networks of flows: skip connections, and the block neural autoregressive transform."""

from collections.abc import Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from pyrox._pytree import Pytree, static
from pyrox.dist import constraints
from pyrox.dist.flows import AutoregressiveNetwork
from pyrox.dist.transforms import Transform
from pyrox.typing import Array, Key


class SkipNetwork(Pytree):
    """An autoregressive network with a direct, masked connection from inputs to outputs."""

    network: AutoregressiveNetwork
    weight: Array

    @classmethod
    def around(cls, network: AutoregressiveNetwork) -> "SkipNetwork":
        """Add the connection, at first without effect."""
        dim = len(network.permutation)
        return cls(network, jnp.zeros((dim, 2 * dim)))

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Give shift and log-scale for each element of x."""
        rank = np.argsort(np.asarray(self.network.permutation))
        earlier = rank[:, None] < np.tile(rank, 2)[None, :]
        shift, log_scale = jnp.split(x @ jnp.where(earlier, self.weight, 0), 2, axis=-1)
        inner_shift, inner_log_scale = self.network(x)
        return shift + inner_shift, log_scale + inner_log_scale


class BlockNeuralTransform(Transform):
    r"""Block neural autoregressive flow: a network that is monotone in each element, given those before it.

    Each layer's matrix has blocks: positive on the diagonal, free below, zero above. The diagonal of the Jacobian is
    a product of positive matrices, kept in logs. Around the network, a gate mixes in the identity.

    It has no inverse in closed form: the density is known of its own draws.

    References
    ----------
    .. [1] De Cao, Titov and Aziz (2019), Block neural autoregressive flow.
    """

    weights: tuple[Array, ...]
    log_norms: tuple[Array, ...]
    biases: tuple[Array, ...]
    gate: Array
    blocks: tuple[int, ...] = static()
    domain = constraints.real_vector
    codomain = constraints.real_vector

    @classmethod
    def create(cls, key: Key, dim: int, hidden_factors: Sequence[int]) -> "BlockNeuralTransform":
        """Draw the weights of a transform that begins near the identity."""
        blocks = (1, *hidden_factors, 1)
        keys = jax.random.split(key, len(blocks) - 1)
        weights = tuple(
            jax.random.normal(k, (dim * b, dim * a)) / np.sqrt(dim * a)
            for k, (a, b) in zip(keys, pairwise(blocks), strict=True)
        )
        norms = tuple(jnp.zeros(dim * b) for b in blocks[1:])
        return cls(weights, norms, tuple(jnp.zeros(dim * b) for b in blocks[1:]), jnp.asarray(-2.0), blocks)

    def _layer(self, i: int, dim: int) -> tuple[Array, Array]:
        """Give a layer's matrix with rows of a learnt length, and the logs of its diagonal blocks."""
        a, b = self.blocks[i], self.blocks[i + 1]
        row, column = np.arange(dim * b) // b, np.arange(dim * a) // a
        diagonal, below = row[:, None] == column[None, :], row[:, None] > column[None, :]
        raw = self.weights[i]
        matrix = jnp.where(diagonal, jnp.exp(raw), 0.0) + jnp.where(below, raw, 0.0)
        log_scale = self.log_norms[i] - 0.5 * jnp.log(jnp.sum(matrix**2, axis=1))
        own = raw.reshape(dim, b, dim, a)[np.arange(dim), :, np.arange(dim), :]
        return jnp.exp(log_scale)[:, None] * matrix, own + log_scale.reshape(dim, b, 1)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        if x.ndim > 1:
            return jax.vmap(self.forward_and_log_det)(x)
        dim, h, last = x.shape[-1], x, len(self.weights) - 1
        log_slope = jnp.zeros((dim, 1, 1), x.dtype)  # of a unit by its element's input: (element, unit, 1)
        for i, bias in enumerate(self.biases):
            matrix, log_blocks = self._layer(i, dim)
            h = matrix @ h + bias
            log_slope = jax.nn.logsumexp(log_blocks[..., None] + log_slope[:, None], axis=2)
            if i < last:
                # log of the derivative of tanh, without cancellation
                log_slope = log_slope + (2 * (jnp.log(2.0) - h - jax.nn.softplus(-2 * h))).reshape(dim, -1, 1)
                h = jnp.tanh(h)
        mix = jax.nn.sigmoid(self.gate)
        log_mix, log_rest = jax.nn.log_sigmoid(self.gate), jax.nn.log_sigmoid(-self.gate)
        log_diagonal = jnp.logaddexp(log_mix + log_slope[:, 0, 0], log_rest)
        return mix * h + (1 - mix) * x, jnp.sum(log_diagonal)
