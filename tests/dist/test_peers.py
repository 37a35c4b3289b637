"""Log-densities against NumPyro's, on random parameters and values (skipped where NumPyro is absent)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyrox import dist
from pyrox.dist import constraints

numpyro = pytest.importorskip("numpyro", reason="compares with NumPyro, which is not a dependency")
peer = pytest.importorskip("numpyro.distributions")

R = np.random.default_rng(2024)
TRIL = np.array([[1.0, 0.0, 0.0], [0.5, 2.0, 0.0], [-1.0, 0.3, 0.5]])
RING = 1.0 - np.eye(3)


def real(*shape):
    return R.normal(size=shape)


def positive(*shape):
    return R.gamma(2.0, 1.0, size=shape) + 0.1


def unit(*shape):
    return R.uniform(0.05, 0.95, size=shape)


def simplex(*shape):
    return R.dirichlet(np.ones(shape[-1]), size=shape[:-1])


N = 7
# Families with the same positional arguments on both sides.
PAIRS = [
    ("AsymmetricLaplace", lambda: (real(N), positive(N), positive(N))),
    ("BernoulliLogits", lambda: (real(N),)),
    ("BernoulliProbs", lambda: (unit(N),)),
    ("Beta", lambda: (positive(N), positive(N))),
    ("BetaBinomial", lambda: (positive(N), positive(N), 9)),
    ("BinomialLogits", lambda: (real(N), 9)),
    ("BinomialProbs", lambda: (unit(N), 9)),
    ("CategoricalLogits", lambda: (real(N, 4),)),
    ("CategoricalProbs", lambda: (simplex(N, 4),)),
    ("Cauchy", lambda: (real(N), positive(N))),
    ("Chi2", lambda: (positive(N),)),
    ("Dirichlet", lambda: (positive(N, 3),)),
    ("DirichletMultinomial", lambda: (positive(N, 3), 9)),
    ("DiscreteUniform", lambda: (-2, 5)),
    ("Exponential", lambda: (positive(N),)),
    ("Gamma", lambda: (positive(N), positive(N))),
    ("GammaPoisson", lambda: (positive(N), positive(N))),
    ("GaussianRandomWalk", lambda: (positive(N), 4)),
    ("Gumbel", lambda: (real(N), positive(N))),
    ("HalfCauchy", lambda: (positive(N),)),
    ("HalfNormal", lambda: (positive(N),)),
    ("InverseGamma", lambda: (positive(N), positive(N))),
    ("Kumaraswamy", lambda: (positive(N), positive(N))),
    ("LKJ", lambda: (3, 1.7)),
    ("LKJCholesky", lambda: (4, 0.8)),
    ("Laplace", lambda: (real(N), positive(N))),
    ("LogNormal", lambda: (real(N), positive(N))),
    ("Logistic", lambda: (real(N), positive(N))),
    ("LowRankMultivariateNormal", lambda: (real(N, 3), real(N, 3, 2), positive(N, 3))),
    ("MatrixNormal", lambda: (real(N, 3, 3), TRIL, TRIL)),
    ("MultinomialLogits", lambda: (real(N, 3), 9)),
    ("MultinomialProbs", lambda: (simplex(N, 3), 9)),
    ("MultivariateNormal", lambda: (real(N, 3), TRIL @ TRIL.T)),
    ("MultivariateStudentT", lambda: (positive(N), real(N, 3), TRIL)),
    ("NegativeBinomial2", lambda: (positive(N), positive(N))),
    ("Normal", lambda: (real(N), positive(N))),
    ("OrderedLogistic", lambda: (real(N), np.array([-1.0, 0.3, 1.0]))),
    ("Poisson", lambda: (positive(N),)),
    ("StudentT", lambda: (positive(N), real(N), positive(N))),
    ("Uniform", lambda: (real(N) - 9, positive(N) + 9)),
    ("VonMises", lambda: (real(N), positive(N))),
    ("Weibull", lambda: (positive(N), positive(N))),
    ("ZeroInflatedPoisson", lambda: (unit(N), positive(N))),
]
OTHERS = {
    "CAR": (lambda: dist.CAR(np.zeros(3), RING, 0.6, 1.3), lambda: peer.CAR(np.zeros(3), 0.6, 1.3, RING)),
    "Geometric": (lambda: dist.Geometric(0.3), lambda: peer.GeometricProbs(0.3)),
    "MixtureOfOneFamily": (
        lambda: dist.Mixture([0.3, 0.7], dist.Normal(jnp.array([-1.0, 2.0]), 1.0)),
        lambda: peer.MixtureSameFamily(
            peer.CategoricalProbs(jnp.array([0.3, 0.7])), peer.Normal(jnp.array([-1.0, 2.0]), 1.0)
        ),
    ),
    "MultivariateNormal by precision": (
        lambda: dist.MultivariateNormal(np.ones(3), precision_matrix=TRIL @ TRIL.T),
        lambda: peer.MultivariateNormal(np.ones(3), precision_matrix=TRIL @ TRIL.T),
    ),
    "NegativeBinomial": (
        lambda: dist.NegativeBinomial(2.5, 0.3),
        lambda: peer.NegativeBinomialProbs(2.5, 0.7),
    ),
    "Delta": (lambda: dist.Delta(2.0), lambda: peer.Delta(2.0)),
    "Pareto": (lambda: dist.Pareto(3.0, 2.0), lambda: peer.Pareto(2.0, 3.0)),
    "TruncatedCauchy": (
        lambda: dist.TruncatedCauchy(0.5, 1.0, 2.0),
        lambda: peer.TruncatedCauchy(1.0, 2.0, low=0.5),
    ),
    "TruncatedNormal": (
        lambda: dist.TruncatedNormal(0.5, 1.0, 2.0, 3.0),
        lambda: peer.TruncatedNormal(1.0, 2.0, low=0.5, high=3.0),
    ),
    "Wishart": (lambda: dist.Wishart(4.5, TRIL @ TRIL.T), lambda: peer.Wishart(4.5, TRIL @ TRIL.T)),
    "ZeroSumNormal": (lambda: dist.ZeroSumNormal(1.5, (4,)), lambda: peer.ZeroSumNormal(1.5, (4,))),
}


def agree(ours, theirs):
    x = ours.sample(jax.random.key(1), (5,))
    assert (ours.batch_shape, ours.event_shape) == (theirs.batch_shape, theirs.event_shape)
    np.testing.assert_allclose(ours.log_prob(x), theirs.log_prob(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "arguments"), PAIRS, ids=[name for name, _ in PAIRS])
def test_same_log_density(name, arguments):
    given = arguments()
    agree(getattr(dist, name)(*given), getattr(peer, name)(*(jnp.asarray(a) if np.ndim(a) else a for a in given)))


@pytest.mark.parametrize("name", OTHERS)
def test_same_log_density_by_other_arguments(name):
    ours, theirs = OTHERS[name]
    agree(ours(), theirs())


def test_supports_have_the_same_bijections():
    for ours, theirs in [
        (constraints.lower_cholesky, peer.constraints.lower_cholesky),
        (constraints.ordered_vector, peer.constraints.ordered_vector),
        (constraints.corr_cholesky, peer.constraints.corr_cholesky),
    ]:
        x = jnp.asarray(real(3))
        np.testing.assert_allclose(dist.biject_to(ours)(x), peer.biject_to(theirs)(x), rtol=1e-6, atol=1e-9)
