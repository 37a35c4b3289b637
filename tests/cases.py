"""Tables of what is tested: a row added here gets every law of its kind.

Distributions: how to make one, and an oracle (a frozen SciPy distribution, or a ``Formula``) for its log-density,
cdf and moments. Points to evaluate at come from the oracle's quantiles, far into both tails, unless the row names them.
"""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from pyrox import dist
from pyrox.dist import constraints, flows
from pyrox.dist import transforms as tr

QUANTILES = np.array([1e-30, 1e-12, 1e-6, 1e-3, 0.02, 0.1, 0.3, 0.5])


@dataclass(frozen=True, eq=False)
class Formula:
    """An oracle written out, for what SciPy lacks: log-density of one point, and what else is known."""

    logpdf: Callable[[Any], Any]
    cdf: Callable | None = None
    mean: Callable | None = None
    var: Callable | None = None
    entropy: Callable | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """One distribution to test."""

    name: str
    make: Callable[[], Any]
    oracle: Any = None
    points: Any = None
    proper: bool = True  # integrates to one and can be sampled
    mixed: bool = False  # has probability at single points beside its density
    smooth: bool = True  # its density has no kinks inside the support, so quadrature is exact
    rtol: float = 1e-8
    skip: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return self.name

    @functools.cached_property
    def d(self) -> Any:
        """The distribution, made once."""
        return self.make()

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Evaluate the oracle at each point."""
        if isinstance(self.oracle, Formula):
            return np.array([float(self.oracle.logpdf(np.asarray(x))) for x in points])
        log_density = getattr(self.oracle, "logpdf", None) or self.oracle.logpmf
        if np.ndim(points) > 1:
            return np.array([float(np.squeeze(log_density(x))) for x in points])
        return np.asarray(log_density(points))

    @functools.cached_property
    def values(self) -> np.ndarray:
        """Points inside the support, both tails among them."""
        if self.points is not None:
            return np.asarray(self.points)
        with np.errstate(all="ignore"):
            points = np.concatenate([self.oracle.ppf(QUANTILES), self.oracle.isf(QUANTILES)])
        points = np.unique(points[np.isfinite(points)])
        inside = np.asarray(self.d.support(points))
        return points[inside].astype(int) if self.d.is_discrete else points[inside]


COVARIANCE = np.array([[2.0, 0.6], [0.6, 1.0]])
_NORMAL_2 = stats.multivariate_normal([1.0, -1.0], COVARIANCE)
_PLANE = [[0.0, 0.0], [1.0, -1.0], [5.0, -3.0], [-20.0, 30.0]]
_SHARES = [[0.2, 0.3, 0.5], [1e-9, 0.4, 0.6 - 1e-9], [0.98, 0.01, 0.01], [1 / 3, 1 / 3, 1 / 3]]
_PROBS = np.array([0.2, 0.5, 0.3])
_CUTS = np.array([-1.0, 0.2, 1.5])
_COUNTS = [[1, 2, 3], [6, 0, 0], [0, 5, 1]]
_RING = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
_CAR = stats.multivariate_normal([0.5, 0.0, -0.5], np.linalg.inv(1.3 * (2 * np.eye(3) - 0.6 * _RING)))
_VECTORS = [[0.0, 0.0, 0.0], [1.0, -2.0, 0.5], [-3.0, 3.0, 1.0]]
_TRIL = np.array([[1.0, 0.0, 0.0], [0.5, 2.0, 0.0], [-1.0, 0.3, 0.5]])
_CORR_FACTORS_2 = [np.array([[1.0, 0.0], [r, np.sqrt(1 - r * r)]]) for r in (0.0, 0.6, -0.999)]
_CORR_FACTORS_3 = [np.eye(3), np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [-0.48, 0.6, 0.64]])]


def _zero_sum(x: np.ndarray) -> float:
    return np.sum(stats.norm(0, 1.5).logpdf([np.sqrt(np.sum(x**2)), 0.0]))


def _lkj_2(r: float) -> float:
    return stats.beta(1.7, 1.7, -1, 2).logpdf(r)


def _lkj_3(factor: np.ndarray) -> float:
    # The rows' partial correlations are independent betas; the last is told by the factor's diagonal.
    first, second, third = factor[1, 0], factor[2, 0], factor[2, 1] / np.sqrt(1 - factor[2, 0] ** 2)
    betas = stats.beta(1.3, 1.3, -1, 2).logpdf([first, second]).sum() + stats.beta(0.8, 0.8, -1, 2).logpdf(third)
    return betas - 0.5 * np.log1p(-(second**2))


def _lkj_cov_2(factor: np.ndarray) -> float:
    scales = np.linalg.norm(factor, axis=-1)
    log_det = np.log(scales[1]) - np.log(factor[1, 1] / scales[1])
    return _lkj_2(factor[1, 0] / scales[1]) + stats.expon(scale=0.5).logpdf(scales).sum() - log_det


def _autoregression(x: np.ndarray) -> float:
    later = [stats.norm(0.3 + 0.5 * x[t - 1] - 0.2 * x[t - 2], 0.8).logpdf(x[t]) for t in (2, 3)]
    return stats.norm(0.0, 2.0).logpdf(x[:2]).sum() + np.sum(later)


def _garch(x: np.ndarray) -> float:
    variance, total = 1.21, 0.0
    for one in x:
        total += stats.norm(0, np.sqrt(variance)).logpdf(one)
        variance = 0.2 + 0.3 * one**2 + 0.4 * variance
    return total


def _chain(x: np.ndarray) -> float:
    moves = np.log([[0.7, 0.3], [0.4, 0.6]])
    return np.log([0.1, 0.9])[x[0]] + sum(moves[a, b] for a, b in itertools.pairwise(x))


def _hurdle(passed: float, base: Any, k: int) -> float:
    return np.log1p(-passed) if k == 0 else np.log(passed) + base.logpmf(k) - np.log1p(-base.pmf(0))


def _pull(x: Any, t: Any) -> tuple:
    return -0.5 * x, 0.3


def _custom_density(x: Any, loc: Any, scale: Any) -> Any:
    return dist.Normal(loc, scale).log_prob(x)


def _custom_draw(key: Any, loc: Any, scale: Any, shape: tuple) -> Any:
    return loc + scale * jax.random.normal(key, shape)


def _of_labels(probs: np.ndarray) -> Any:
    return stats.rv_discrete(values=(np.arange(len(probs)), probs))


def _folded(whole: Any) -> Formula:
    return Formula(lambda x: np.log(2) + whole.logpdf(x), cdf=lambda x: 2 * whole.cdf(np.maximum(x, 0)) - 1)


REAL = [
    Case("Normal", lambda: dist.Normal(1.0, 2.0), stats.norm(1.0, 2.0)),
    Case("Cauchy", lambda: dist.Cauchy(1.0, 2.0), stats.cauchy(1.0, 2.0)),
    Case("StudentT", lambda: dist.StudentT(4.0, 1.0, 2.0), stats.t(4.0, 1.0, 2.0)),
    Case("StudentT heavy", lambda: dist.StudentT(0.7), stats.t(0.7), skip=("mean", "var")),
    Case("Laplace", lambda: dist.Laplace(1.0, 2.0), stats.laplace(1.0, 2.0), smooth=False),
    Case("Logistic", lambda: dist.Logistic(1.0, 2.0), stats.logistic(1.0, 2.0)),
    Case("Gumbel", lambda: dist.Gumbel(1.0, 2.0), stats.gumbel_r(1.0, 2.0)),
    Case(
        "AsymmetricLaplace",
        lambda: dist.AsymmetricLaplace(1.0, 2.0, 1.5),
        stats.laplace_asymmetric(1.5, 1.0, 2.0),
        smooth=False,
    ),
    Case("ExGaussian", lambda: dist.ExGaussian(1.0, 0.5, 2.0), stats.exponnorm(4.0, 1.0, 0.5)),
    Case("SkewNormal", lambda: dist.SkewNormal(1.0, 2.0, 3.0), stats.skewnorm(3.0, 1.0, 2.0)),
    Case("Moyal", lambda: dist.Moyal(1.0, 2.0), stats.moyal(1.0, 2.0)),
    Case("Flat", lambda: dist.Flat(), Formula(lambda x: 0.0), [-1e300, -1.0, 0.0, 5.0], proper=False),
]
POSITIVE = [
    Case("HalfNormal", lambda: dist.HalfNormal(2.0), stats.halfnorm(scale=2.0)),
    Case("HalfCauchy", lambda: dist.HalfCauchy(2.0), stats.halfcauchy(scale=2.0)),
    Case("Exponential", lambda: dist.Exponential(2.0), stats.expon(scale=0.5)),
    Case("Gamma", lambda: dist.Gamma(3.0, 2.0), stats.gamma(3.0, scale=0.5)),
    Case("Gamma peaked at zero", lambda: dist.Gamma(0.4, 2.0), stats.gamma(0.4, scale=0.5)),
    Case("InverseGamma", lambda: dist.InverseGamma(3.0, 2.0), stats.invgamma(3.0, scale=2.0)),
    Case("LogNormal", lambda: dist.LogNormal(0.5, 0.7), stats.lognorm(0.7, scale=np.exp(0.5))),
    Case("Chi2", lambda: dist.Chi2(3.0), stats.chi2(3.0)),
    Case(
        "HalfStudentT",
        lambda: dist.HalfStudentT(5.0, 2.0),
        _folded(stats.t(5.0, scale=2.0)),
        [1e-9, 0.1, 1.0, 4.0, 50.0, 1e6],
    ),
    Case("InverseGaussian", lambda: dist.InverseGaussian(2.0, 3.0), stats.invgauss(2 / 3, scale=3.0)),
    Case("Pareto", lambda: dist.Pareto(5.0, 2.0), stats.pareto(5.0, scale=2.0), skip=("fourth moment",)),
    Case("Rice", lambda: dist.Rice(3.0, 2.0), stats.rice(1.5, scale=2.0)),
    Case("Weibull", lambda: dist.Weibull(2.0, 1.5), stats.weibull_min(1.5, scale=2.0)),
    Case("HalfFlat", lambda: dist.HalfFlat(), Formula(lambda x: 0.0), [1e-300, 1.0, 1e300], proper=False),
]
INTERVAL = [
    Case("Uniform", lambda: dist.Uniform(-1.0, 3.0), stats.uniform(-1.0, 4.0)),
    Case("Beta", lambda: dist.Beta(2.0, 3.5), stats.beta(2.0, 3.5)),
    Case("Beta with poles", lambda: dist.Beta(0.5, 0.5), stats.beta(0.5, 0.5)),
    Case(
        "Kumaraswamy",
        lambda: dist.Kumaraswamy(2.0, 3.0),
        Formula(
            lambda x: np.log(6 * x) + 2 * np.log1p(-(x**2)),
            cdf=lambda x: -np.expm1(3 * np.log1p(-np.clip(x, 0, 1 - 1e-16) ** 2)),
        ),
        [1e-9, 0.01, 0.3, 0.6, 0.99, 1 - 1e-9],
    ),
    Case(
        "LogitNormal",
        lambda: dist.LogitNormal(0.5, 1.5),
        Formula(
            lambda x: stats.norm(0.5, 1.5).logpdf(np.log(x) - np.log1p(-x)) - np.log(x) - np.log1p(-x),
            cdf=lambda x: stats.norm(0.5, 1.5).cdf(np.log(np.clip(x, 0, 1)) - np.log1p(-np.clip(x, 0, 1))),
        ),
        [1e-12, 0.01, 0.3, 0.6, 0.99, 1 - 1e-9],
    ),
    Case("Triangular", lambda: dist.Triangular(-1.0, 0.5, 3.0), stats.triang(0.375, -1.0, 4.0), smooth=False),
    Case(
        "VonMises",
        lambda: dist.VonMises(0.0, 1.7),
        stats.vonmises(1.7),
        np.linspace(-3.1, 3.1, 9),
        skip=("var", "moments"),
    ),
    Case(
        "VonMises spread out",
        lambda: dist.VonMises(0.0, 0.02),
        stats.vonmises(0.02),
        np.linspace(-3.1, 3.1, 9),
        skip=("var", "moments"),
    ),
]
DISCRETE = [
    Case("BernoulliProbs", lambda: dist.BernoulliProbs(0.3), stats.bernoulli(0.3)),
    Case("BernoulliLogits", lambda: dist.BernoulliLogits(-0.7), stats.bernoulli(1 / (1 + np.exp(0.7)))),
    Case("BinomialProbs", lambda: dist.BinomialProbs(0.3, 12), stats.binom(12, 0.3)),
    Case("BinomialLogits", lambda: dist.BinomialLogits(0.4, 30), stats.binom(30, 1 / (1 + np.exp(-0.4)))),
    Case("CategoricalProbs", lambda: dist.CategoricalProbs(_PROBS), _of_labels(_PROBS), [0, 1, 2]),
    Case("CategoricalLogits", lambda: dist.CategoricalLogits(np.log(_PROBS) + 7), _of_labels(_PROBS), [0, 1, 2]),
    Case("Poisson", lambda: dist.Poisson(3.5), stats.poisson(3.5)),
    Case("Poisson large", lambda: dist.Poisson(250.0), stats.poisson(250.0)),
    Case("Geometric", lambda: dist.Geometric(0.3), stats.geom(0.3, loc=-1)),
    Case("GeometricTrials", lambda: dist.GeometricTrials(0.3), stats.geom(0.3)),
    Case("DiscreteUniform", lambda: dist.DiscreteUniform(-2, 5), stats.randint(-2, 6)),
    Case("GammaPoisson", lambda: dist.GammaPoisson(3.0, 2.0), stats.nbinom(3.0, 2 / 3)),
    Case("NegativeBinomial", lambda: dist.NegativeBinomial(2.5, 0.3), stats.nbinom(2.5, 0.3)),
    Case("NegativeBinomial2", lambda: dist.NegativeBinomial2(4.0, 1.5), stats.nbinom(1.5, 1.5 / 5.5)),
    Case("BetaBinomial", lambda: dist.BetaBinomial(2.0, 3.0, 10), stats.betabinom(10, 2.0, 3.0)),
    Case("HyperGeometric", lambda: dist.HyperGeometric(30, 12, 7), stats.hypergeom(30, 12, 7)),
    Case(
        "DiscreteWeibull",
        lambda: dist.DiscreteWeibull(0.8, 1.3),
        Formula(lambda k: np.log(0.8 ** (k**1.3) - 0.8 ** ((k + 1) ** 1.3))),
        np.arange(30),
    ),
]
VECTOR = [
    Case("Dirichlet", lambda: dist.Dirichlet([2.0, 1.0, 4.5]), stats.dirichlet([2.0, 1.0, 4.5]), _SHARES),
    Case(
        "MultivariateNormal covariance",
        lambda: dist.MultivariateNormal([1.0, -1.0], covariance_matrix=COVARIANCE),
        _NORMAL_2,
        _PLANE,
    ),
    Case(
        "MultivariateNormal precision",
        lambda: dist.MultivariateNormal([1.0, -1.0], precision_matrix=np.linalg.inv(COVARIANCE)),
        _NORMAL_2,
        _PLANE,
    ),
    Case(
        "MultivariateNormal factor",
        lambda: dist.MultivariateNormal([1.0, -1.0], scale_tril=np.linalg.cholesky(COVARIANCE)),
        _NORMAL_2,
        _PLANE,
    ),
]
VECTOR += [
    Case(
        "LowRankMultivariateNormal",
        lambda: dist.LowRankMultivariateNormal([1.0, -1.0], [[0.5], [1.2]], [0.3, 2.0]),
        stats.multivariate_normal([1.0, -1.0], [[0.55, 0.6], [0.6, 3.44]]),
        _PLANE,
    ),
    Case(
        "MultivariateStudentT",
        lambda: dist.MultivariateStudentT(6.0, [1.0, -1.0], np.linalg.cholesky(COVARIANCE)),
        stats.multivariate_t([1.0, -1.0], COVARIANCE, df=6.0),
        _PLANE,
        skip=("mean", "var", "fourth moment"),
    ),
    Case(
        "StickBreakingWeights",
        lambda: dist.StickBreakingWeights(1.5, 2),
        Formula(lambda w: 2 * np.log(1.5) + 0.5 * np.log(w[2]) - np.log1p(-w[0])),
        _SHARES,
    ),
    Case(
        "OrderedLogistic",
        lambda: dist.OrderedLogistic(0.4, [-1.0, 0.2, 1.5]),
        Formula(lambda k: np.log(np.diff([0.0, *(1 / (1 + np.exp(0.4 - _CUTS))), 1.0])[int(k)])),
        [0, 1, 2, 3],
    ),
    Case(
        "OrderedProbit",
        lambda: dist.OrderedProbit(0.4, [-1.0, 0.2, 1.5], 1.3),
        Formula(lambda k: np.log(np.diff([0.0, *stats.norm(0.4, 1.3).cdf(_CUTS), 1.0])[int(k)])),
        [0, 1, 2, 3],
    ),
    Case("MultinomialProbs", lambda: dist.MultinomialProbs(_PROBS, 6), stats.multinomial(6, _PROBS), _COUNTS),
    Case(
        "MultinomialLogits",
        lambda: dist.MultinomialLogits(np.log(_PROBS) - 3, 6),
        stats.multinomial(6, _PROBS),
        _COUNTS,
    ),
    Case(
        "DirichletMultinomial",
        lambda: dist.DirichletMultinomial([1.0, 2.0, 0.7], 6),
        stats.dirichlet_multinomial([1.0, 2.0, 0.7], 6),
        _COUNTS,
        skip=("mean", "var"),
    ),
    Case("ZeroSumNormal", lambda: dist.ZeroSumNormal(1.5, (3,)), Formula(_zero_sum), [[1.0, -1.0, 0.0], [4, 5, -9]]),
    Case(
        "ZeroSumNormal of matrices",
        lambda: dist.ZeroSumNormal(1.5, (2, 2)),
        Formula(lambda x: stats.norm(0, 1.5).logpdf(np.sqrt(np.sum(x**2)))),
        [[[1.0, -1.0], [-1.0, 1.0]], [[-9.0, 9.0], [9.0, -9.0]]],
    ),
    Case("CAR", lambda: dist.CAR([0.5, 0.0, -0.5], _RING, 0.6, 1.3), _CAR, np.array(_VECTORS)),
    Case(
        "ICAR",
        lambda: dist.ICAR(_RING, 1.3, 0.2),
        Formula(
            lambda x: -0.5 * ((x[0] - x[1]) ** 2 + (x[1] - x[2]) ** 2 + (x[2] - x[0]) ** 2) / 1.69
            + stats.norm(0, 0.6).logpdf(np.sum(x))
        ),
        np.array(_VECTORS),
        proper=False,
    ),
]
MATRIX = [
    Case("LKJCholesky", lambda: dist.LKJCholesky(2, 1.7), Formula(lambda x: _lkj_2(x[1, 0])), _CORR_FACTORS_2),
    Case("LKJCholesky by vines", lambda: dist.LKJCholesky(3, 0.8, "cvine"), Formula(_lkj_3), _CORR_FACTORS_3),
    Case("LKJCholesky of order 3", lambda: dist.LKJCholesky(3, 0.8), Formula(_lkj_3), _CORR_FACTORS_3),
    Case(
        "LKJ",
        lambda: dist.LKJ(2, 1.7),
        Formula(lambda x: _lkj_2(x[1, 0])),
        [x @ x.T for x in _CORR_FACTORS_2],
    ),
    Case(
        "LKJCholeskyCov",
        lambda: dist.LKJCholeskyCov(2, 1.7, dist.Exponential(2.0)),
        Formula(_lkj_cov_2),
        [[[1.0, 0.0], [0.5, 0.2]], [[0.1, 0.0], [-2.0, 3.0]]],
        skip=("batch",),
    ),
    Case(
        "Wishart",
        lambda: dist.Wishart(4.5, COVARIANCE),
        stats.wishart(4.5, COVARIANCE),
        [np.eye(2), [[5.0, -1.0], [-1.0, 0.5]]],
    ),
    Case(
        "MatrixNormal",
        lambda: dist.MatrixNormal(np.ones((2, 3)), np.linalg.cholesky(COVARIANCE), _TRIL),
        stats.matrix_normal(np.ones((2, 3)), COVARIANCE, _TRIL @ _TRIL.T),
        [np.zeros((2, 3)), [[1.0, 2.0, 3.0], [-3.0, 0.0, 9.0]]],
    ),
]
SERIES = [
    Case(
        "GaussianRandomWalk",
        lambda: dist.GaussianRandomWalk(0.7, 3),
        stats.multivariate_normal(np.zeros(3), 0.49 * np.array([[1, 1, 1], [1, 2, 2], [1, 2, 3]])),
        np.array(_VECTORS),
    ),
    Case(
        "RandomWalk",
        lambda: dist.RandomWalk(dist.StudentT(5.0, 0.1), dist.Normal(1.0, 2.0), 3),
        Formula(lambda x: stats.norm(1.0, 2.0).logpdf(x[0]) + np.sum(stats.t(5.0, 0.1).logpdf(np.diff(x)))),
        np.array(_VECTORS),
    ),
    Case(
        "RandomWalk of vectors",
        lambda: dist.RandomWalk(
            dist.MultivariateNormal(np.zeros(2), scale_tril=np.linalg.cholesky(COVARIANCE)),
            dist.Normal(0.0, 2.0).expand((2,)).to_event(1),
            2,
        ),
        Formula(
            lambda x: stats.norm(0.0, 2.0).logpdf(x[0]).sum()
            + stats.multivariate_normal(np.zeros(2), COVARIANCE).logpdf(x[1] - x[0])
        ),
        [[[0.0, 1.0], [2.0, -1.0]], [[0.5, 0.5], [0.5, 0.5]]],
    ),
    Case(
        "AR",
        lambda: dist.AR([0.3, 0.5, -0.2], 0.8, dist.Normal(0.0, 2.0), 4, constant=True),
        Formula(_autoregression),
        [[0.0, 0.0, 0.0, 0.0], [1.0, -2.0, 3.0, 0.5]],
    ),
    Case(
        "DiscreteMarkovChain",
        lambda: dist.DiscreteMarkovChain([[0.7, 0.3], [0.4, 0.6]], dist.Categorical(probs=[0.1, 0.9]), 3),
        Formula(_chain),
        np.array(list(np.ndindex(2, 2, 2))),
        skip=("mean", "var"),
    ),
    Case(
        "GARCH11",
        lambda: dist.GARCH11(0.2, 0.3, 0.4, 1.1, 3),
        Formula(_garch),
        np.array(_VECTORS),
        skip=("fourth moment",),
    ),
    Case(
        "EulerMaruyama",
        lambda: dist.EulerMaruyama([0.0, 0.1, 0.4], _pull, dist.Normal(0.0, 1.0)),
        Formula(
            lambda x: stats.norm().logpdf(x[0])
            + stats.norm(x[0] * 0.95, 0.3 * 0.1**0.5).logpdf(x[1])
            + stats.norm(x[1] * 0.85, 0.3 * 0.3**0.5).logpdf(x[2])
        ),
        [[0.0, 0.1, 0.2], [1.0, 1.0, 1.0]],
    ),
]
CUT = [
    Case(
        "TruncatedNormal",
        lambda: dist.TruncatedNormal(0.5, 1.0, 2.0),
        stats.truncnorm(-0.25, np.inf, 1.0, 2.0),
        skip=("entropy",),  # SciPy multiplies an infinite bound by zero
    ),
    Case(
        "TruncatedNormal both sides",
        lambda: dist.TruncatedNormal(0.5, 1.0, 2.0, high=4.0),
        stats.truncnorm(-0.25, 1.5, 1.0, 2.0),
    ),
    Case(
        "TruncatedNormal far out",
        lambda: dist.TruncatedNormal(10.0, 0.0, 1.0),
        stats.truncnorm(10.0, np.inf),
        skip=("var", "mean", "ppf", "cdf", "entropy"),
    ),
    Case(
        "TruncatedCauchy",
        lambda: dist.TruncatedCauchy(0.0, 1.0, 2.0),
        Formula(
            lambda x: stats.cauchy(1.0, 2.0).logpdf(x) - stats.cauchy(1.0, 2.0).logsf(0.0),
            cdf=lambda x: 1 - stats.cauchy(1.0, 2.0).sf(np.maximum(x, 0)) / stats.cauchy(1.0, 2.0).sf(0.0),
        ),
        [1e-3, 0.5, 1.0, 10.0, 1e5],
    ),
    Case(
        "Truncated gamma",
        lambda: dist.Truncated(dist.Gamma(3.0, 2.0), 0.5, 2.0),
        Formula(
            lambda x: stats.gamma(3.0, scale=0.5).logpdf(x)
            - np.log(np.diff(stats.gamma(3.0, scale=0.5).cdf([0.5, 2.0])))[0]
        ),
        [0.5, 1.0, 1.7, 2.0],
    ),
    Case(
        "Truncated Poisson",
        lambda: dist.Truncated(dist.Poisson(3.0), 1, 6),
        Formula(lambda k: stats.poisson(3.0).logpmf(k) - np.log(np.diff(stats.poisson(3.0).cdf([0, 6])))[0]),
        np.arange(1, 7),
        skip=("bijection",),
    ),
    Case(
        "Censored normal",
        lambda: dist.Censored(dist.Normal(1.0, 2.0), -1.0, 3.0),
        Formula(
            lambda x: stats.norm(1.0, 2.0).logcdf(-1.0)
            if x <= -1
            else stats.norm(1.0, 2.0).logsf(3.0)
            if x >= 3
            else stats.norm(1.0, 2.0).logpdf(x)
        ),
        [-1.0, 0.0, 1.0, 2.0, 3.0],
        mixed=True,
    ),
    Case(
        "Censored Poisson",
        lambda: dist.Censored(dist.Poisson(3.0), high=5),
        Formula(lambda k: stats.poisson(3.0).logsf(4) if k == 5 else stats.poisson(3.0).logpmf(k)),
        np.arange(6),
        skip=("bijection",),
    ),
    Case(
        "ZeroInflatedPoisson",
        lambda: dist.ZeroInflatedPoisson(0.3, 2.5),
        Formula(lambda k: np.log(0.3 * (k == 0) + 0.7 * stats.poisson(2.5).pmf(k))),
        np.arange(25),
    ),
    Case(
        "ZeroInflatedBinomial",
        lambda: dist.ZeroInflatedBinomial(0.3, 0.4, 8),
        Formula(lambda k: np.log(0.3 * (k == 0) + 0.7 * stats.binom(8, 0.4).pmf(k))),
        np.arange(9),
    ),
    Case(
        "ZeroInflatedNegativeBinomial",
        lambda: dist.ZeroInflatedNegativeBinomial(0.3, 2.0, 1.5),
        Formula(lambda k: np.log(0.3 * (k == 0) + 0.7 * stats.nbinom(1.5, 1.5 / 3.5).pmf(k))),
        np.arange(60),
    ),
    Case(
        "HurdlePoisson",
        lambda: dist.HurdlePoisson(0.7, 2.5),
        Formula(lambda k: _hurdle(0.7, stats.poisson(2.5), k)),
        np.arange(25),
    ),
    Case(
        "HurdleNegativeBinomial",
        lambda: dist.HurdleNegativeBinomial(0.7, 2.0, 1.5),
        Formula(lambda k: _hurdle(0.7, stats.nbinom(1.5, 1.5 / 3.5), k)),
        np.arange(60),
    ),
    Case(
        "HurdleGamma",
        lambda: dist.HurdleGamma(0.7, 2.0, 1.5),
        Formula(lambda x: np.log(0.3) if x == 0 else np.log(0.7) + stats.gamma(2.0, scale=1 / 1.5).logpdf(x)),
        [0.0, 1e-3, 1.0, 20.0],
        mixed=True,
    ),
    Case(
        "HurdleLogNormal",
        lambda: dist.HurdleLogNormal(0.7, 0.2, 0.5),
        Formula(lambda x: np.log(0.3) if x == 0 else np.log(0.7) + stats.lognorm(0.5, scale=np.exp(0.2)).logpdf(x)),
        [0.0, 1e-3, 1.0, 20.0],
        mixed=True,
    ),
    Case(
        "Interpolated",
        lambda: dist.Interpolated([0.0, 1.0, 3.0, 4.0], [0.5, 2.0, 1.0, 0.0]),
        Formula(lambda x: np.log(np.interp(x, [0.0, 1.0, 3.0, 4.0], [0.5, 2.0, 1.0, 0.0]) / 4.75)),
        [0.0, 0.5, 1.7, 3.0, 3.999],
        smooth=False,
    ),
    Case(
        "Mixture of a family",
        lambda: dist.Mixture([0.3, 0.7], dist.Gamma(jnp.array([2.0, 5.0]), jnp.array([1.0, 3.0]))),
        Formula(lambda x: np.log(0.3 * stats.gamma(2.0).pdf(x) + 0.7 * stats.gamma(5.0, scale=1 / 3).pdf(x))),
        [1e-3, 0.5, 2.0, 30.0],
        skip=("batch",),
    ),
    Case(
        "Mixture of families",
        lambda: dist.Mixture(
            dist.CategoricalLogits(np.log([0.3, 0.7])), [dist.Normal(-1.0, 0.5), dist.StudentT(5.0, 2.0, 1.0)]
        ),
        Formula(lambda x: np.log(0.3 * stats.norm(-1.0, 0.5).pdf(x) + 0.7 * stats.t(5.0, 2.0).pdf(x))),
        [-30.0, -1.0, 0.0, 2.0, 50.0],
    ),
    Case(
        "NormalMixture",
        lambda: dist.NormalMixture([0.3, 0.7], [-1.0, 2.0], [0.5, 1.0]),
        Formula(lambda x: np.log(0.3 * stats.norm(-1.0, 0.5).pdf(x) + 0.7 * stats.norm(2.0, 1.0).pdf(x))),
        [-8.0, -1.0, 0.0, 2.0, 20.0],
    ),
    Case(
        "Mixture of counts",
        lambda: dist.Mixture([0.3, 0.7], dist.Poisson(jnp.array([1.0, 6.0]))),
        Formula(lambda k: np.log(0.3 * stats.poisson(1.0).pmf(k) + 0.7 * stats.poisson(6.0).pmf(k))),
        np.arange(40),
    ),
    Case(
        "CustomDist",
        lambda: dist.CustomDist((0.5, 2.0), _custom_density, _custom_draw),
        stats.norm(0.5, 2.0),
    ),
]
WRAPPED = [
    Case(
        "Independent",
        lambda: dist.Normal(jnp.array([0.0, 1.0]), 2.0).to_event(1),
        stats.multivariate_normal([0.0, 1.0], 4.0),
        _PLANE,
    ),
    Case("Expanded", lambda: dist.Gamma(3.0, 2.0).expand(()), stats.gamma(3.0, scale=0.5)),
    Case("Masked", lambda: dist.Normal(1.0, 2.0).mask(True), stats.norm(1.0, 2.0)),
    Case(
        "TransformedDistribution",
        lambda: dist.TransformedDistribution(dist.Normal(0.5, 0.7), tr.ExpTransform()),
        stats.lognorm(0.7, scale=np.exp(0.5)),
    ),
]
DISTRIBUTIONS = [*REAL, *POSITIVE, *INTERVAL, *DISCRETE, *VECTOR, *MATRIX, *SERIES, *CUT, *WRAPPED]


@dataclass(frozen=True, eq=False)
class TransformCase:
    """One transform to test: points of its domain, and whether it takes any real input, however large."""

    name: str
    make: Callable[[], Any]
    points: Any
    unbounded: bool = True
    bijective: bool = True

    def __str__(self) -> str:
        return self.name


_LINE = [-5.0, -1.0, 0.0, 0.3, 4.0]


def _flow() -> Any:
    network = flows.AutoregressiveNetwork.create(jax.random.key(3), 3, (7,), (2, 0, 1), scale=0.5)
    return flows.InverseAutoregressiveTransform(network)


TRANSFORMS = [
    TransformCase("Identity", lambda: tr.IdentityTransform(), _LINE),
    TransformCase("Identity of vectors", lambda: tr.IdentityTransform(1), _VECTORS),
    TransformCase("Exp", lambda: tr.ExpTransform(), _LINE),
    TransformCase("Affine", lambda: tr.AffineTransform(1.0, -2.0), _LINE),
    TransformCase("Affine of vectors", lambda: tr.AffineTransform(1.0, 3.0, constraints.real_vector), _VECTORS),
    TransformCase("Sigmoid", lambda: tr.SigmoidTransform(), _LINE),
    TransformCase("Interval", lambda: tr.IntervalTransform(-2.0, 5.0), _LINE),
    TransformCase("StickBreaking", lambda: tr.StickBreakingTransform(), _VECTORS),
    TransformCase("Compose", lambda: tr.ComposeTransform([tr.AffineTransform(1.0, 0.5), tr.ExpTransform()]), _LINE),
    TransformCase("Abs", lambda: tr.AbsTransform(), [0.5, 3.0], unbounded=False, bijective=False),
    TransformCase("Power", lambda: tr.PowerTransform(-1.5), [0.5, 1.0, 3.0], unbounded=False),
    TransformCase("Ordered", lambda: tr.OrderedTransform(), _VECTORS),
    TransformCase("SumToOne", lambda: tr.SumToOneTransform(), _VECTORS),
    TransformCase("Softplus", lambda: tr.SoftplusTransform(), _LINE),
    TransformCase("Circular", lambda: tr.CircularTransform(), [-7.0, 0.5, 3.0], bijective=False),
    TransformCase("Permute", lambda: tr.PermuteTransform(jnp.array([2, 0, 1])), _VECTORS),
    TransformCase("MultivariateAffine", lambda: tr.MultivariateAffineTransform(jnp.ones(3), _TRIL), _VECTORS),
    TransformCase("ZeroSum", lambda: tr.ZeroSumTransform(), _VECTORS),
    TransformCase("ZeroSum of matrices", lambda: tr.ZeroSumTransform(2), [_VECTORS]),
    TransformCase("LowerCholesky", lambda: tr.LowerCholeskyTransform(), _VECTORS),
    TransformCase("CorrCholesky", lambda: tr.CorrCholeskyTransform(), _VECTORS),
    TransformCase("InvCholesky", lambda: tr.InvCholeskyTransform(), [_TRIL, np.eye(3)], unbounded=False),
    TransformCase(
        "InvCholesky of correlations",
        lambda: tr.InvCholeskyTransform(constraints.corr_cholesky),
        [tr.CorrCholeskyTransform()(jnp.array([0.3, -1.0, 0.5])), np.eye(3)],
        unbounded=False,
    ),
    TransformCase("InverseAutoregressive", _flow, _VECTORS, unbounded=False),
    TransformCase("onto less_than", lambda: tr.biject_to(constraints.less_than(3.0)), _LINE),
    TransformCase("onto greater_than", lambda: tr.biject_to(constraints.greater_than(3.0)), _LINE),
    TransformCase("onto positive_definite", lambda: tr.biject_to(constraints.positive_definite), _VECTORS, False),
    TransformCase("onto corr_matrix", lambda: tr.biject_to(constraints.corr_matrix), _VECTORS, False),
    TransformCase("Independent", lambda: tr.IndependentTransform(tr.ExpTransform(), 1), _VECTORS),
]
CONSTRAINTS = [
    # constraint, members, strangers
    (constraints.boolean, [0, 1], [2, -1, 0.5]),
    (constraints.real, [0.0, -1e300], [np.inf, np.nan]),
    (constraints.positive, [1e-300, 5.0], [0.0, -1.0, np.nan, np.inf]),
    (constraints.nonnegative, [0.0, 5.0], [-1e-300, np.nan]),
    (constraints.greater_than(2.0), [2.5], [2.0, 1.0]),
    (constraints.less_than(2.0), [1.5], [2.0, 3.0]),
    (constraints.zero_sum(1), [[1.0, -1.0], [0.0, 0.0]], [[1.0, 0.0], [np.nan, 0.0]]),
    (constraints.zero_sum(2), [[[1.0, -1.0], [-1.0, 1.0]]], [[[1.0, -1.0], [1.0, -1.0]]]),
    (constraints.unit_interval, [0.0, 0.5, 1.0], [-0.1, 1.1, np.nan]),
    (constraints.interval(-1.0, 2.0), [-1.0, 2.0], [2.1]),
    (constraints.nonnegative_integer, [0, 7], [-1, 0.5]),
    (constraints.positive_integer, [1, 7], [0]),
    (constraints.integer_greater_than(3), [3, 9], [2, 3.5]),
    (constraints.integer_interval(1, 4), [1, 4], [0, 5, 2.5]),
    (constraints.multinomial(3), [[1, 2, 0], [3, 0, 0]], [[1, 1, 0], [-1, 2, 2]]),
    (constraints.real_vector, [[0.0, 1.0]], [[0.0, np.nan]]),
    (constraints.simplex, [[0.2, 0.8], [0.0, 1.0]], [[0.2, 0.7], [-0.1, 1.1]]),
    (constraints.sum_to_one, [[0.2, 0.8], [-1.0, 2.0]], [[0.2, 0.7], [np.nan, 1.0]]),
    (constraints.ordered_vector, [[0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]),
    (constraints.positive_vector, [[0.5, 1.0]], [[1.0, 0.0]]),
    (constraints.lower_cholesky, [[[1.0, 0.0], [2.0, 3.0]]], [[[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]]]),
    (constraints.corr_cholesky, [[[1.0, 0.0], [0.6, 0.8]]], [[[1.0, 0.0], [0.6, 0.9]]]),
    (constraints.positive_definite, [[[2.0, 0.5], [0.5, 1.0]]], [[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.5], [0.0, 1.0]]]),
    (constraints.corr_matrix, [[[1.0, 0.5], [0.5, 1.0]]], [[[2.0, 0.5], [0.5, 1.0]]]),
]
