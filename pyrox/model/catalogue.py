"""The statements by name, and those that state more than one variable."""

import inspect
from typing import Any

import jax.numpy as jnp

from pyrox.dist import Distribution, constraints
from pyrox.dist.packed import PackTransform
from pyrox.errors import ModelError
from pyrox.model.nodes import call
from pyrox.model.program import DistExpression
from pyrox.model.reference import OPTIONS
from pyrox.model.table import ROWS
from pyrox.model.terms import Deterministic
from pyrox.model.variables import DistributionStatement

_FACTORS = PackTransform(constraints.lower_cholesky)
_CORRELATIONS = PackTransform(constraints.corr_matrix)


def _scales(packed: Any) -> Any:
    return jnp.linalg.norm(_FACTORS.inverse(packed), axis=-1)


def _correlations(packed: Any) -> Any:
    factor = _FACTORS.inverse(packed) / _scales(packed)[..., None]
    return factor @ jnp.swapaxes(factor, -2, -1)


class CovarianceStatement(DistributionStatement):
    """State a Cholesky factor of a covariance, with its correlations and standard deviations."""

    extras = {
        "compute_corr": (
            True,
            "Whether to give three: the factor, the correlations, the standard deviations; or else the packed factor.",
        ),
        "store_in_trace": (True, "Whether to keep the latter two in results, as ``NAME_corr`` and ``NAME_stds``."),
    }

    def __call__(
        self, name: str, *params: Any, compute_corr: bool = True, store_in_trace: bool = True, **named: Any
    ) -> Any:
        packed = DistributionStatement.__call__(self, name, *params, **named)
        if not compute_corr:
            return packed
        parts = call(_correlations, packed), call(_scales, packed)
        if store_in_trace:
            parts = Deterministic(f"{name}_corr", parts[0]), Deterministic(f"{name}_stds", parts[1])
        return call(_FACTORS.inverse, packed), *parts

    def dist(self, *params: Any, compute_corr: bool = False, **named: Any) -> Any:
        """Give the distribution of the packed factor alone."""
        if compute_corr:
            raise ModelError("LKJCholeskyCov.dist gives the packed factor: write compute_corr=False")
        return DistributionStatement.dist(self, *params, **named)


class CorrelationStatement(DistributionStatement):
    """State the correlations above the diagonal; give the whole matrix where it is asked for."""

    extras = {
        "return_matrix": (False, "Whether to give the whole matrix."),
    }

    def __call__(self, name: str | None = None, *params: Any, return_matrix: bool = False, **named: Any) -> Any:
        packed = DistributionStatement.__call__(self, name, *params, **named)
        return call(_CORRELATIONS.inverse, packed) if return_matrix else packed


class OrderedStatement(DistributionStatement):
    """State ordered labels; keep their probabilities as PyMC does, unless ``compute_p=False``."""

    extras = {
        "compute_p": (True, "Whether to keep the probabilities of the labels in results, as ``NAME_probs``."),
    }

    def __call__(self, name: str | None = None, *params: Any, compute_p: bool = True, **named: Any) -> Any:
        variable = DistributionStatement.__call__(self, name, *params, **named)
        if compute_p:
            d = self.dist(*params, **{n: v for n, v in named.items() if n not in OPTIONS})
            Deterministic(f"{name}_probs", call(_probabilities, d))
        return variable


def _probabilities(d: Distribution) -> Any:
    return d.probs


class CustomStatement(DistributionStatement):
    """State a random variable with a distribution of the user's own."""

    extras = {
        "logp": (None, "Function ``logp(value, *params)``: the log-density, without the axes of an event."),
        "random": (
            None,
            "Function ``random(key, *params, shape)`` that draws an array of that shape, for predictions.",
        ),
        "support": (None, "Constraint on the values; the real numbers by default."),
        "ndim_supp": (None, "Number of last axes that form one event."),
        "event_shape": (None, "The lengths of these axes, in its place."),
        "dist": (
            None,
            "In place of all these, a function of the parameters that returns a distribution, ``px.Normal.dist(...)``.",
        ),
    }
    variadic = True

    def _bind(self, what: str, params: tuple, named: dict) -> dict[str, Any]:
        named = dict(named)
        make = named.pop("dist", None)
        if make is None:
            return DistributionStatement._bind(self, what, (), {"params": params, **named} if params else named)
        if named:
            raise ModelError(f"{what}: dist= stands alone; met also {', '.join(named)}")
        size = {"size": None} if "size" in inspect.signature(make).parameters else {}
        made = make(*params, **size)
        if not isinstance(made, DistExpression | Distribution):
            raise ModelError(f"{what}: dist= must return a distribution, px.X.dist(...); met {made!r}")
        return {"dist_made": made}


_KINDS = {
    "CustomDist": CustomStatement,
    "LKJCholeskyCov": CovarianceStatement,
    "LKJCorr": CorrelationStatement,
    "OrderedLogistic": OrderedStatement,
    "OrderedProbit": OrderedStatement,
}

statements = {row.name: _KINDS.get(row.name, DistributionStatement)(row) for row in ROWS}

AR = statements["AR"]
AsymmetricLaplace = statements["AsymmetricLaplace"]
Bernoulli = statements["Bernoulli"]
Beta = statements["Beta"]
BetaBinomial = statements["BetaBinomial"]
Binomial = statements["Binomial"]
CAR = statements["CAR"]
Categorical = statements["Categorical"]
Cauchy = statements["Cauchy"]
Censored = statements["Censored"]
ChiSquared = statements["ChiSquared"]
CustomDist = statements["CustomDist"]
DiracDelta = statements["DiracDelta"]
Dirichlet = statements["Dirichlet"]
DirichletMultinomial = statements["DirichletMultinomial"]
DiscreteMarkovChain = statements["DiscreteMarkovChain"]
DiscreteUniform = statements["DiscreteUniform"]
DiscreteWeibull = statements["DiscreteWeibull"]
EulerMaruyama = statements["EulerMaruyama"]
ExGaussian = statements["ExGaussian"]
Exponential = statements["Exponential"]
Flat = statements["Flat"]
GARCH11 = statements["GARCH11"]
Gamma = statements["Gamma"]
GammaPoisson = statements["GammaPoisson"]
GaussianRandomWalk = statements["GaussianRandomWalk"]
Geometric = statements["Geometric"]
Gumbel = statements["Gumbel"]
HalfCauchy = statements["HalfCauchy"]
HalfFlat = statements["HalfFlat"]
HalfNormal = statements["HalfNormal"]
HalfStudentT = statements["HalfStudentT"]
Hurdle = statements["Hurdle"]
HurdleGamma = statements["HurdleGamma"]
HurdleLogNormal = statements["HurdleLogNormal"]
HurdleNegativeBinomial = statements["HurdleNegativeBinomial"]
HurdlePoisson = statements["HurdlePoisson"]
HyperGeometric = statements["HyperGeometric"]
ICAR = statements["ICAR"]
Interpolated = statements["Interpolated"]
InverseGamma = statements["InverseGamma"]
InverseGaussian = statements["InverseGaussian"]
Kumaraswamy = statements["Kumaraswamy"]
LKJ = statements["LKJ"]
LKJCholesky = statements["LKJCholesky"]
LKJCholeskyCov = statements["LKJCholeskyCov"]
LKJCorr = statements["LKJCorr"]
Laplace = statements["Laplace"]
LogNormal = statements["LogNormal"]
Logistic = statements["Logistic"]
LogitNormal = statements["LogitNormal"]
LowRankMultivariateNormal = statements["LowRankMultivariateNormal"]
MatrixNormal = statements["MatrixNormal"]
Mixture = statements["Mixture"]
Moyal = statements["Moyal"]
Multinomial = statements["Multinomial"]
MvGaussianRandomWalk = statements["MvGaussianRandomWalk"]
MvNormal = statements["MvNormal"]
MvStudentT = statements["MvStudentT"]
MvStudentTRandomWalk = statements["MvStudentTRandomWalk"]
NegativeBinomial = statements["NegativeBinomial"]
Normal = statements["Normal"]
NormalMixture = statements["NormalMixture"]
OrderedLogistic = statements["OrderedLogistic"]
OrderedMultinomial = statements["OrderedMultinomial"]
OrderedProbit = statements["OrderedProbit"]
Pareto = statements["Pareto"]
Poisson = statements["Poisson"]
RandomWalk = statements["RandomWalk"]
Rice = statements["Rice"]
SkewNormal = statements["SkewNormal"]
StickBreakingWeights = statements["StickBreakingWeights"]
StudentT = statements["StudentT"]
Triangular = statements["Triangular"]
Truncated = statements["Truncated"]
TruncatedCauchy = statements["TruncatedCauchy"]
TruncatedNormal = statements["TruncatedNormal"]
Uniform = statements["Uniform"]
VonMises = statements["VonMises"]
Wald = statements["Wald"]
Weibull = statements["Weibull"]
Wishart = statements["Wishart"]
ZeroInflated = statements["ZeroInflated"]
ZeroInflatedBinomial = statements["ZeroInflatedBinomial"]
ZeroInflatedNegativeBinomial = statements["ZeroInflatedNegativeBinomial"]
ZeroInflatedPoisson = statements["ZeroInflatedPoisson"]
ZeroSumNormal = statements["ZeroSumNormal"]
