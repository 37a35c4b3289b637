"""Small programs with discrete variables, of every structure that is summed out."""

import jax
import jax.numpy as jnp
import numpy as np

import pyrox.dist as dist
from pyrox.model import handlers
from pyrox.model.primitives import factor, plate, sample

GROUP = np.array([0, 0, 1, 2, 2, 2])
Y = np.array([0.1, -0.4, 1.3, 0.6, -1.1, 0.8])
TABLE = np.array([[0.3, -0.8], [1.1, 0.2], [-0.5, 0.9]])
MOVES = jnp.array([[0.7, 0.3], [0.4, 0.6]])
START = dist.Categorical(probs=jnp.array([0.1, 0.9]))


def levels(count):
    return sample("mu", dist.Normal(0.0, 1.0).expand((count,)))


def mixture():
    mu = levels(3)
    with plate("row", 6):
        z = sample("z", dist.Categorical(probs=jnp.array([0.2, 0.3, 0.5])), infer={"enumerate": "parallel"})
        sample("y", dist.Normal(mu[z], 1.0), obs=Y)


def groups():
    mu = levels(2)
    z = sample("z", dist.Bernoulli(jnp.array([0.2, 0.6, 0.4])))
    sample("y", dist.Normal(mu[z[GROUP]], 1.0), obs=Y)
    sample("y2", dist.Normal(mu[z][GROUP] * 2, 1.5), obs=Y)


def nested():
    mu = sample("mu", dist.Normal(0.0, 1.0).expand((2, 2)))
    u = sample("u", dist.Bernoulli(jnp.array([0.2, 0.6, 0.4])))
    z = sample("z", dist.Bernoulli(jnp.array([0.3, 0.8])[u[GROUP]]))
    sample("y", dist.Normal(mu[u[GROUP], z], 1.0), obs=Y)


def parents():
    a = sample("a", dist.Normal(0.0, 1.0))
    x = sample("x", dist.Bernoulli(0.3))
    z = sample("z", dist.Categorical(jnp.array([[0.2, 0.8], [0.6, 0.4]])[x]))
    w = sample("w", dist.Binomial(2, probs=jnp.array([0.3, 0.7])[z]).expand((6,)))
    sample("y", dist.Normal(a * w + z, 1.0 + x), obs=Y)


def total():
    a = sample("a", dist.Normal(0.0, 1.0))
    z = sample("z", dist.Bernoulli(0.3).expand((4,)))
    sample("y", dist.Normal(a * z.sum(), 1.0), obs=1.3)
    sample("y2", dist.Normal(a * z, 1.0), obs=Y[:4])


def partly_total():
    a = sample("a", dist.Normal(0.0, 1.0))
    z = sample("z", dist.Bernoulli(0.3).expand((3, 2)))
    sample("y", dist.Normal(a * z.sum(1), 1.0), obs=Y[:3])
    sample("y2", dist.Normal(a + z, 1.0), obs=TABLE)


def chain():
    mu = levels(2)
    z = sample("z", dist.DiscreteMarkovChain(MOVES, START, 6))
    sample("y", dist.Normal(mu[z], 1.0), obs=Y)


def chains_of_kinds():
    mu = levels(2)
    kind = sample("kind", dist.Bernoulli(0.3).expand((3,)))
    moves = jnp.stack([MOVES, jnp.array([[0.2, 0.8], [0.5, 0.5]])])
    z = sample("z", dist.DiscreteMarkovChain(moves[kind], START, 2))
    flip = sample("flip", dist.Bernoulli(0.1).expand((3, 2)))
    sample("y", dist.Normal(mu[z] + flip * kind[:, None], 1.0), obs=TABLE)


def chain_with_time():
    mu = levels(2)
    stay = jax.nn.sigmoid(mu[0] + jnp.arange(5.0) / 5)
    moves = jnp.stack([jnp.stack([stay, 1 - stay], -1), jnp.stack([1 - stay, stay], -1)], -2)
    z = sample("z", dist.DiscreteMarkovChain(moves, None, 6, time_varying=True))
    sample("y", dist.Normal(mu[z], 1.0), obs=Y)


def chain_without_data():
    stay = jax.nn.sigmoid(sample("a", dist.Normal(0.0, 1.0)))
    moves = jnp.stack([jnp.stack([stay, 1 - stay]), jnp.stack([1 - stay, stay])])
    z = sample("z", dist.DiscreteMarkovChain(moves, START, 4))
    sample("y", dist.Normal(z[-1], 1.0), obs=0.9)


def chain_total():
    a = sample("a", dist.Normal(0.0, 1.0))
    z = sample("z", dist.DiscreteMarkovChain(MOVES, None, 4))
    sample("y", dist.Normal(a * z.sum(), 1.0), obs=2.0)


def chain_left_to_right():
    mu = levels(3)
    moves = jnp.array([[0.7, 0.3, 0.0], [0.0, 0.6, 0.4], [0.0, 0.0, 1.0]])
    z = sample("z", dist.DiscreteMarkovChain(moves, dist.Categorical(probs=jnp.array([1.0, 0.0, 0.0])), 6))
    sample("y", dist.Normal(mu[z], 1.0), obs=Y)


def unrolled():
    mu = levels(2)
    z = sample("z0", START)
    sample("y0", dist.Normal(mu[z], 1.0), obs=Y[0])
    for t in range(1, 6):
        z = sample(f"z{t}", dist.Categorical(probs=MOVES[z]))
        sample(f"y{t}", dist.Normal(mu[z], 1.0), obs=Y[t])


def ragged():
    a = sample("a", dist.Normal(0.0, 1.0))
    n = sample("n", dist.Binomial(jnp.array([1, 3, 2]), probs=0.4))
    sample("y", dist.Normal(a * n, 1.0), obs=Y[:3])
    k = sample("k", dist.DiscreteUniform(2, 4))
    sample("y2", dist.Normal(jnp.log(k - 1.0) * a, 1.0), obs=Y[3])


def truncated():
    rate = jnp.exp(sample("a", dist.Normal(0.0, 1.0)))
    n = sample("n", dist.Truncated(dist.Poisson(rate), high=4).expand((3,)))
    c = sample("c", dist.OrderedLogistic(rate, jnp.array([0.0, 1.0])))
    sample("y", dist.Normal(n + c, 1.0), obs=Y[:3])


def continuous_children():
    u = sample("u", dist.Bernoulli(0.4).expand((3,)))
    theta = sample("theta", dist.Normal(2.0 * u, 1.0 + u))
    width = sample("width", dist.Uniform(0.0, 1.0 + u))
    sample("y", dist.Normal(theta, width), obs=Y[:3])
    factor("penalty", -u * theta**2)


def crossed():
    a = levels(2)
    z = sample("z", dist.Bernoulli(0.3).expand((2, 3)))
    u = sample("u", dist.Bernoulli(0.6).expand((3,)))
    v = sample("v", dist.Bernoulli(0.2).expand((2,)))
    sample("y", dist.Normal(a[:, None] * z + u * 0.5 - v[:, None], 1.0), obs=TABLE.T)


def sliced():
    a = sample("a", dist.Normal(0.0, 1.0))
    z = sample("z", dist.Bernoulli(0.3).expand((4,)))
    sample("y", dist.Normal(a * z[1:], 1.0), obs=Y[:3])
    sample("y2", dist.Normal(a * z[::-1], 1.0), obs=Y[:4])
    sample("y3", dist.Normal(a * z[2], 1.0), obs=Y[5])


def pairs():
    a = sample("a", dist.Normal(0.0, 1.0))
    z = sample("z", dist.Bernoulli(jnp.array([0.3, 0.4, 0.6])))
    sample("y", dist.Normal(a * (z[np.array([0, 1, 0])] - z[np.array([1, 2, 2])]), 1.0), obs=Y[:3])


def shifted():
    a = sample("a", dist.Normal(0.0, 1.0))
    z = sample("z", dist.Bernoulli(0.3).expand((4,)))
    sample("y", dist.Normal(a * jnp.roll(z, 1) + z, 1.0), obs=Y[:4])


def reshaped():
    a = sample("a", dist.Normal(0.0, 1.0))
    z = sample("z", dist.Categorical(probs=jnp.array([0.2, 0.3, 0.5])).expand((6,)))
    square = jnp.take(jnp.array([a, 0.0, -a]), z).reshape(3, 2)
    sample("y", dist.Normal(square, 1.0), obs=TABLE)


def transposed():
    a = levels(2)
    z = sample("z", dist.Bernoulli(0.3).expand((3, 2)))
    sample("y", dist.Normal((a[z] * 1.5).T[:, None], 1.0), obs=TABLE.T[:, None])
    sample("v", dist.MultivariateNormal(a[z], jnp.eye(2)), obs=TABLE)


def looped():
    a = sample("a", dist.Normal(0.0, 1.0))
    z = sample("z", dist.Bernoulli(0.3).expand((3,)))
    loc, _ = jax.lax.scan(lambda x, w: (0.5 * x + w * z, None), a + z, jnp.arange(3.0))
    shown = jax.lax.cond(a > 0, lambda x: x + z, lambda x: x - z, loc)
    sample("y", dist.Normal(jax.checkpoint(jnp.sin)(shown), 1.0), obs=Y[:3])


def impossible():
    scale = jnp.exp(sample("a", dist.Normal(0.0, 1.0)))
    z = sample("z", dist.Bernoulli(0.3).expand((3,)))
    u = sample("u", dist.Bernoulli(0.6))
    sample("y", dist.Uniform(-scale * (1 + z), 2.0 * (1 + u)), obs=jnp.array([-0.1, 0.5, 3.0]))


def masked():
    a = sample("a", dist.Normal(0.0, 1.0))
    z = sample("z", dist.Bernoulli(0.3).expand((3,)))
    with handlers.mask(mask=jnp.array([True, False, True])):
        sample("y", dist.Normal(a * z, 1.0), obs=Y[:3])


PROGRAMS = (
    mixture, groups, nested, parents, total, partly_total, chain, chains_of_kinds, chain_with_time, chain_without_data,
    chain_total, chain_left_to_right, unrolled, ragged, truncated, continuous_children, crossed, sliced, pairs,
    shifted, reshaped, transposed, looped, impossible, masked,
)  # fmt: skip
