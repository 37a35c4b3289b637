"""Value and gradient of log-densities: textbook formulas differentiated automatically, and as pyrox computes them.

run as: python derivatives.py        prints microseconds an evaluation, inside a compiled loop, and the gain
"""

import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import special as js
from jax.scipy.linalg import solve_triangular

from pyrox import dist
from pyrox.dist import special

N = 2000
RNG = np.random.default_rng(0)
LOGITS = jnp.asarray(3 * RNG.normal(size=N))
BINARY, COUNTS = jnp.asarray(RNG.integers(0, 2, N)), jnp.asarray(RNG.integers(0, 10, N))
TABLE, LABELS = jnp.asarray(RNG.normal(size=(N, 5))), jnp.asarray(RNG.integers(0, 5, N))
PAIR = jnp.array([2.0, 3.0])


def student(df, scale, x):
    z = x / scale
    constant = js.gammaln((df + 1) / 2) - js.gammaln(df / 2) - 0.5 * jnp.log(df * jnp.pi) - jnp.log(scale)
    return jnp.sum(constant - (df + 1) / 2 * jnp.log1p(z * z / df))


def negative_binomial(alpha, mu):
    choose = js.gammaln(COUNTS + alpha) - js.gammaln(alpha) - js.gammaln(COUNTS + 1.0)
    return jnp.sum(choose + alpha * jnp.log(alpha / (mu + alpha)) + COUNTS * jnp.log(mu / (mu + alpha)))


def beta_binomial(p):
    beta = lambda a, b: js.gammaln(a) + js.gammaln(b) - js.gammaln(a + b)  # noqa: E731
    choose = js.gammaln(11.0) - js.gammaln(COUNTS + 1.0) - js.gammaln(11.0 - COUNTS)
    return jnp.sum(choose + beta(COUNTS + p[0], 10 - COUNTS + p[1]) - beta(p[0], p[1]))


def binomial(x):
    choose = js.gammaln(11.0) - js.gammaln(COUNTS + 1.0) - js.gammaln(11.0 - COUNTS)
    return jnp.sum(COUNTS * jax.nn.log_sigmoid(x) + (10 - COUNTS) * jax.nn.log_sigmoid(-x) + choose)


def inside(d, value):
    return jnp.sum(d.log_prob_inside(value))


ROWS = {
    "Bernoulli logits, terms": (
        lambda x: jnp.sum(BINARY * x - jax.nn.softplus(x)),
        lambda x: inside(dist.BernoulliLogits(x), BINARY),
        LOGITS,
    ),
    "Bernoulli logits, sum": (
        lambda x: jnp.sum(BINARY * x - jax.nn.softplus(x)),
        lambda x: dist.BernoulliLogits(x).log_prob_sum(BINARY),
        LOGITS,
    ),
    "Binomial logits": (binomial, lambda x: inside(dist.BinomialLogits(x, 10), COUNTS), LOGITS),
    "Categorical logits 2000 x 5": (
        lambda t: jnp.sum(jnp.take_along_axis(jax.nn.log_softmax(t), LABELS[:, None], -1)),
        lambda t: inside(dist.CategoricalLogits(t), LABELS),
        TABLE,
    ),
    "StudentT in df and scale": (
        lambda p: student(p[0], p[1], LOGITS), lambda p: inside(dist.StudentT(p[0], 0.0, p[1]), LOGITS), PAIR
    ),
    "StudentT in the value": (
        lambda x: student(4.0, 2.0, x), lambda x: inside(dist.StudentT(4.0, 0.0, 2.0), x), LOGITS
    ),
    "NegativeBinomial, two parameters": (
        lambda p: negative_binomial(p[0], p[1]), lambda p: inside(dist.NegativeBinomial2(p[1], p[0]), COUNTS), PAIR
    ),
    "NegativeBinomial regression": (
        lambda e: negative_binomial(2.0 + e[0], jnp.exp(0.1 * e)),
        lambda e: inside(dist.NegativeBinomial2(jnp.exp(0.1 * e), 2.0 + e[0]), COUNTS),
        jnp.abs(LOGITS),
    ),
    "BetaBinomial": (beta_binomial, lambda p: inside(dist.BetaBinomial(p[0], p[1], 10), COUNTS), PAIR),
    "gammaln": (lambda x: jnp.sum(js.gammaln(x)), lambda x: jnp.sum(special.gammaln(x)), jnp.abs(LOGITS) + 0.1),
    "digamma": (lambda x: jnp.sum(js.digamma(x)), lambda x: jnp.sum(special.digamma(x)), jnp.abs(LOGITS) + 0.1),
}  # fmt: skip


def normal_row(dim, rows):
    a = RNG.normal(size=(dim, dim))
    covariance, values = jnp.asarray(a @ a.T + dim * np.eye(dim)), jnp.asarray(RNG.normal(size=(rows, dim)))

    def automatic(s):
        lower = jnp.linalg.cholesky(s)
        z = solve_triangular(lower, values.T, lower=True)
        half_log_det = jnp.sum(jnp.log(jnp.diagonal(lower)))
        return -0.5 * jnp.sum(z * z) - rows * (half_log_det + dim * special.HALF_LOG_2PI)

    return automatic, lambda s: inside(dist.MultivariateNormal(jnp.zeros(dim), s), values), covariance


ROWS |= {f"MvNormal {dim} x {dim}, {rows} rows": normal_row(dim, rows) for dim, rows in ((10, 1), (50, 1), (50, 500))}


def seconds_of(function, x, loops=200, repeats=7):
    """Time an evaluation of value and gradient inside one compiled loop."""
    value_and_grad = jax.value_and_grad(function)

    def body(_, carry):
        x, total = carry
        value, gradient = value_and_grad(x)
        return x + 1e-12 * jnp.tanh(gradient), total + value

    run = jax.jit(lambda x: jax.lax.fori_loop(0, loops, body, (x, 0.0)))
    jax.block_until_ready(run(x))
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(run(x))
        times.append((time.perf_counter() - began) / loops)
    return statistics.median(times)


def main():
    print(f"{'microseconds':34s}{'automatic':>10s}{'own':>8s}{'gain':>7s}")
    for name, (automatic, own, x) in ROWS.items():
        for a, b in zip(jax.value_and_grad(automatic)(x), jax.value_and_grad(own)(x), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
        before, after = seconds_of(automatic, x), seconds_of(own, x)
        print(f"{name:34s}{before * 1e6:10.1f}{after * 1e6:8.1f}{1 - after / before:7.0%}", flush=True)


if __name__ == "__main__":
    main()
