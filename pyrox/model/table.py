"""The table of statements: PyMC's names and order, our distributions, other parametrisations."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pyrox import dist
from pyrox.dist import Distribution, packed
from pyrox.errors import ModelError
from pyrox.model import makers
from pyrox.typing import Shape


class Row(NamedTuple):
    """One statement.

    Attributes
    ----------
    name
        PyMC's name.
    make
        Class or function of ``pyrox.dist``.
    order
        Positional parameters, in PyMC's order.
    names
        Arguments of ``make`` by further names, beyond the aliases that the class declares.
    ways
        Other parametrisations: functions from their own parameters to arguments of ``make``.
    defaults
        Arguments of ``make`` where PyMC's default is another one.
    static
        Parameters that are structure: whole numbers, functions, matrices of neighbours.
    trees
        Parameters that are lists of distributions or of parameters.
    size
        Function from what is given and the variable's shape to the arguments that follow from the shape.
    """

    name: str
    make: Callable[..., Distribution]
    order: str
    names: Mapping[str, str] = {}
    ways: tuple[Callable[..., dict], ...] = ()
    defaults: Mapping[str, Any] = {}
    static: str = ""
    trees: str = ""
    size: Callable[[dict, Shape], dict] | None = None

    def sized(self, given: dict, shape: Shape | None) -> dict:
        """Add the parameters that follow from the shape of the variable."""
        if self.size is None or not shape or any(n in given for n in ("steps", "num_steps", "event_shape")):
            return given
        return {**self.size(given, shape), **given}

    def spelling(self) -> dict[str, str]:
        """Give the argument of ``make`` for every name that the statement accepts."""
        own = [p for p in inspect.signature(self.make).parameters if p != "validate_args"]
        spelling = {n: n for n in own}
        for p in getattr(self.make, "params", ()):
            target = p.name.lstrip("_")
            if p.alias and target in spelling:
                spelling.setdefault(p.alias, target)
        spelling |= self.names
        for synonym, target in (("mu", "loc"), ("sigma", "scale")):
            if target in own and not self._takes(synonym):
                spelling.setdefault(synonym, target)
        return spelling

    def _takes(self, name: str) -> bool:
        return any(name in inspect.signature(way).parameters for way in self.ways)

    def accepted(self) -> list[str]:
        """List the names of parameters for messages: PyMC's first."""
        other = [n for way in self.ways for n in inspect.signature(way).parameters]
        return list(dict.fromkeys([*self.order.split(), *other, *self.spelling()]))

    def build(self, params: Mapping[str, Any]) -> Distribution:
        """Make the distribution."""
        given = dict(params)
        made: dict[str, Any] = {}
        for way in self.ways:
            wanted = list(inspect.signature(way).parameters)
            if all(n in given for n in wanted):
                made |= way(**{n: given.pop(n) for n in wanted})
        spelling = self.spelling()
        for name, value in given.items():
            target = spelling.get(name)
            if target is None or target in made:
                others = [n for n in params if n != name]
                company = f"together with {others}" if others else "alone"
                raise ModelError(
                    f"px.{self.name} does not take {name!r} {company}: its parameters are {', '.join(self.accepted())}"
                )
            made[target] = value
        return self.make(**{**self.defaults, **made})


def _tau(tau: Any) -> dict:
    r"""Precision :math:`1 / \sigma^2`, in place of ``sigma``."""
    return {"scale": 1 / jnp.sqrt(tau)}


def _lam(lam: Any) -> dict:
    r"""Precision :math:`1 / \sigma^2`, in place of ``sigma``."""
    return {"scale": 1 / jnp.sqrt(lam)}


def _exponential_scale(scale: Any) -> dict:
    """Mean, in place of ``lam``."""
    return {"rate": 1 / jnp.asarray(scale)}


def _gamma_moments(mu: Any, sigma: Any) -> dict:
    """Mean and standard deviation, in place of ``alpha`` and ``beta``."""
    return {"concentration": jnp.square(mu / sigma), "rate": mu / jnp.square(sigma)}


def _inverse_gamma_moments(mu: Any, sigma: Any) -> dict:
    """Mean and standard deviation, in place of ``alpha`` and ``beta``."""
    ratio = jnp.square(mu / sigma)
    return {"concentration": ratio + 2, "rate": mu * (ratio + 1)}


def _beta_moments(mu: Any, sigma: Any) -> dict:
    """Mean and standard deviation, in place of ``alpha`` and ``beta``."""
    return _beta_size(mu, mu * (1 - mu) / jnp.square(sigma) - 1)


def _beta_size(mu: Any, nu: Any) -> dict:
    r"""Size of the sample that tells as much, :math:`\alpha + \beta`, with ``mu``."""
    return {"concentration1": mu * nu, "concentration0": (1 - mu) * nu}


def _inverse_scale(b: Any) -> dict:
    """Inverse of the scale, positive."""
    return {"scale": 1 / jnp.asarray(b)}


def _quantile(q: Any) -> dict:
    """Probability of values below ``mu``, in place of ``kappa``."""
    return {"asymmetry": jnp.sqrt(q / (1 - q))}


def _failures(p: Any, n: Any) -> dict:
    """Probability of a success and number of successes, in place of ``mu`` and ``alpha``."""
    return {"mean_count": n * (1 - p) / p, "concentration": n}


def _counted(probs: Any, total_count: Any) -> dict:
    """The same."""
    return _failures(probs, total_count)


def _gate(psi: Any) -> dict:
    """Probability of a draw of the distribution; the other zeros have the rest."""
    return {"gate": 1 - jnp.asarray(psi)}


def _wald_mean_phi(mu: Any, phi: Any) -> dict:
    r"""Ratio :math:`\lambda / \mu`, in place of ``lam`` or of ``mu``."""
    return {"loc": mu, "concentration": mu * phi}


def _wald_shapes(lam: Any, phi: Any) -> dict:
    r"""Ratio :math:`\lambda / \mu`, in place of ``lam`` or of ``mu``."""
    return {"loc": lam / phi, "concentration": lam}


def _rice_ratio(b: Any, sigma: Any) -> dict:
    r"""Ratio :math:`\nu / \sigma`, in place of ``nu``."""
    return {"nu": b * sigma, "scale": sigma}


def _rice_unit(b: Any) -> dict:
    r"""Ratio :math:`\nu / \sigma`, in place of ``nu``."""
    return {"nu": b}


def _row_covariance(rowcov: Any) -> dict:
    """Covariance of the rows."""
    return {"scale_tril_row": jnp.linalg.cholesky(rowcov)}


def _column_covariance(colcov: Any) -> dict:
    """Covariance of the columns."""
    return {"scale_tril_column": jnp.linalg.cholesky(colcov)}


def _sigma_matrix(Sigma: Any) -> dict:
    """Scale matrix, positive definite."""
    return {"scale_tril": jnp.linalg.cholesky(Sigma)}


def _scale_matrix(scale: Any) -> dict:
    """Scale matrix, positive definite."""
    return {"scale_tril": jnp.linalg.cholesky(scale)}


def _covariance(cov: Any) -> dict:
    """Covariance matrix, positive definite."""
    return {"scale_tril": jnp.linalg.cholesky(cov)}


def _precision(tau: Any) -> dict:
    """Inverse of the scale or covariance matrix, in its place."""
    return {"scale_tril": jnp.linalg.cholesky(jnp.linalg.inv(tau))}


def _logit_rows(logit_P: Any) -> dict:
    """Logits of the rows of the transition matrix, in place of ``P``."""
    return {"transition_probs": jax.nn.softmax(logit_P, axis=-1)}


def _steps(steps: int) -> dict:
    """Number of steps after the first value (``AR``: values), where no dims, shape or observed tell it."""
    return {"num_steps": steps + 1}


_MATRICES = {"cov": "covariance_matrix", "tau": "precision_matrix", "chol": "scale_tril"}
_PROBABILITY = {"p": "probs", "logit_p": "logits"}
_SPREADS = (_sigma_matrix, _scale_matrix, _covariance, _precision)
_LENGTH = "steps num_steps"
_ORDER = {"n": "dimension"}

ROWS: tuple[Row, ...] = (
    Row("Normal", dist.Normal, "mu sigma tau", ways=(_tau,)),
    Row("HalfNormal", dist.HalfNormal, "sigma tau", ways=(_tau,)),
    Row("Cauchy", dist.Cauchy, "alpha beta"),
    Row("HalfCauchy", dist.HalfCauchy, "beta"),
    Row("StudentT", dist.StudentT, "nu mu sigma lam", ways=(_lam,)),
    Row("Exponential", dist.Exponential, "lam scale", ways=(_exponential_scale,)),
    Row("Gamma", dist.Gamma, "alpha beta mu sigma", ways=(_gamma_moments,)),
    Row("InverseGamma", dist.InverseGamma, "alpha beta mu sigma", ways=(_inverse_gamma_moments,)),
    Row("Beta", dist.Beta, "alpha beta mu sigma nu", ways=(_beta_moments, _beta_size)),
    Row("LogNormal", dist.LogNormal, "mu sigma tau", ways=(_tau,)),
    Row("Uniform", dist.Uniform, "lower upper"),
    Row("Flat", dist.Flat, ""),
    Row("HalfFlat", dist.HalfFlat, ""),
    Row("Bernoulli", dist.Bernoulli, "p logit_p", _PROBABILITY),
    Row("Binomial", dist.Binomial, "n p logit_p", {"n": "total_count", **_PROBABILITY}),
    Row("Poisson", dist.Poisson, "mu"),
    Row("Categorical", dist.Categorical, "p logit_p", _PROBABILITY),
    Row("Dirichlet", dist.Dirichlet, "a"),
    Row("MvNormal", dist.MultivariateNormal, "mu cov tau chol", _MATRICES),
    Row("AsymmetricLaplace", dist.AsymmetricLaplace, "kappa mu b q", ways=(_inverse_scale, _quantile)),
    Row("ChiSquared", dist.Chi2, "nu"),
    Row("DiracDelta", dist.Delta, "c", static="event_ndim"),
    Row("ExGaussian", dist.ExGaussian, "mu sigma nu"),
    Row("Gumbel", dist.Gumbel, "mu beta"),
    Row("HalfStudentT", dist.HalfStudentT, "nu sigma lam", ways=(_lam,)),
    Row("Interpolated", dist.Interpolated, "x_points pdf_points"),
    Row("InverseGaussian", dist.InverseGaussian, "mu lam"),
    Row("Kumaraswamy", dist.Kumaraswamy, "a b"),
    Row("Laplace", dist.Laplace, "mu b"),
    Row("Logistic", dist.Logistic, "mu s"),
    Row("LogitNormal", dist.LogitNormal, "mu sigma tau", ways=(_tau,)),
    Row("Moyal", dist.Moyal, "mu sigma"),
    Row("Pareto", dist.Pareto, "alpha m"),
    Row("Rice", dist.Rice, "nu sigma b", ways=(_rice_ratio, _rice_unit)),
    Row("SkewNormal", dist.SkewNormal, "alpha mu sigma tau", ways=(_tau,), defaults={"skewness": 1.0}),
    Row("Triangular", dist.Triangular, "lower upper c"),
    Row("TruncatedCauchy", dist.TruncatedCauchy, "alpha beta lower upper", defaults={"low": None}),
    Row("TruncatedNormal", dist.TruncatedNormal, "mu sigma tau lower upper", ways=(_tau,), defaults={"low": None}),
    Row("VonMises", dist.VonMises, "mu kappa"),
    Row("Wald", makers.wald, "mu lam phi alpha", ways=(_wald_mean_phi, _wald_shapes)),
    Row("Weibull", dist.Weibull, "alpha beta"),
    Row("BetaBinomial", dist.BetaBinomial, "alpha beta n"),
    Row("DirichletMultinomial", dist.DirichletMultinomial, "n a"),
    Row("DiscreteUniform", dist.DiscreteUniform, "lower upper"),
    Row("DiscreteWeibull", dist.DiscreteWeibull, "q beta"),
    Row("GammaPoisson", dist.GammaPoisson, "alpha beta"),
    Row("Geometric", dist.GeometricTrials, "p"),
    Row("HyperGeometric", dist.HyperGeometric, "N k n"),
    Row("Multinomial", dist.Multinomial, "n p logit_p", {"n": "total_count", **_PROBABILITY}),
    Row("NegativeBinomial", dist.NegativeBinomial2, "mu alpha p n", ways=(_failures, _counted)),
    Row("OrderedLogistic", dist.OrderedLogistic, "eta cutpoints"),
    Row("OrderedMultinomial", makers.ordered_multinomial, "eta cutpoints n"),
    Row("OrderedProbit", dist.OrderedProbit, "eta cutpoints sigma"),
    Row("HurdleGamma", dist.HurdleGamma, "psi alpha beta mu sigma", ways=(_gamma_moments,)),
    Row("HurdleLogNormal", dist.HurdleLogNormal, "psi mu sigma tau", ways=(_tau,)),
    Row("HurdleNegativeBinomial", dist.HurdleNegativeBinomial, "psi mu alpha p n", ways=(_failures,)),
    Row("HurdlePoisson", dist.HurdlePoisson, "psi mu"),
    Row("ZeroInflatedBinomial", dist.ZeroInflatedBinomial, "psi n p", ways=(_gate,)),
    Row("ZeroInflatedNegativeBinomial", dist.ZeroInflatedNegativeBinomial, "psi mu alpha p n", ways=(_gate, _failures)),
    Row("ZeroInflatedPoisson", dist.ZeroInflatedPoisson, "psi mu", ways=(_gate,)),
    Row("CAR", dist.CAR, "mu W alpha tau", {"W": "adjacency"}, static="W adjacency"),
    Row("ICAR", dist.ICAR, "W sigma zero_sum_stdev", {"W": "adjacency"}, static="W adjacency"),
    Row("LKJ", dist.LKJ, "n eta", _ORDER, static="n dimension sample_method"),
    Row("LKJCholesky", dist.LKJCholesky, "n eta", _ORDER, static="n dimension sample_method"),
    Row("LKJCholeskyCov", packed.packed_lkj_cholesky_cov, "eta n sd_dist",
        {"eta": "concentration", "sd_dist": "scale_dist", **_ORDER}, static="n dimension"),
    Row("LKJCorr", packed.packed_lkj, "n eta", {"eta": "concentration", **_ORDER}, static="n dimension"),
    Row("LowRankMultivariateNormal", dist.LowRankMultivariateNormal, "mu cov_factor cov_diag"),
    Row("MatrixNormal", dist.MatrixNormal, "mu rowcov rowchol colcov colchol",
        ways=(_row_covariance, _column_covariance)),
    Row("MvStudentT", makers.mv_student_t, "nu Sigma mu scale tau chol", ways=_SPREADS),
    Row("StickBreakingWeights", dist.StickBreakingWeights, "alpha K", {"K": "num_breaks"}, static="K num_breaks"),
    Row("Wishart", dist.Wishart, "nu V"),
    Row("ZeroSumNormal", makers.zero_sum_normal, "sigma n_zerosum_axes support_shape",
        static="n_zerosum_axes support_shape", size=makers.zero_sum_size),
    Row("AR", makers.autoregression, "rho sigma tau init_dist steps constant ar_order", ways=(_tau,),
        static=f"{_LENGTH} constant ar_order", size=makers.series_size),
    Row("DiscreteMarkovChain", dist.DiscreteMarkovChain, "P logit_P init_dist steps", {"P": "transition_probs"},
        ways=(_logit_rows, _steps), static=f"{_LENGTH} time_varying", size=makers.series_size),
    Row("EulerMaruyama", makers.euler_maruyama, "dt sde_fn sde_pars init_dist steps", {"t": "times"},
        ways=(_steps,), static=f"{_LENGTH} sde_fn", trees="sde_pars", size=makers.series_size),
    Row("GARCH11", dist.GARCH11, "omega alpha_1 beta_1 initial_vol steps", ways=(_steps,), static=_LENGTH,
        size=makers.series_size),
    Row("GaussianRandomWalk", makers.gaussian_random_walk, "mu sigma init_dist steps", ways=(_steps,),
        static=_LENGTH, size=makers.series_size),
    Row("MvGaussianRandomWalk", makers.mv_gaussian_random_walk, "mu cov tau chol init_dist steps",
        ways=(_covariance, _precision, _steps), static=_LENGTH, size=makers.vector_series_size),
    Row("MvStudentTRandomWalk", makers.mv_student_t_random_walk, "nu mu scale tau chol init_dist steps",
        ways=(*_SPREADS, _steps), static=_LENGTH, size=makers.vector_series_size),
    Row("RandomWalk", dist.RandomWalk, "init_dist innovation_dist steps", ways=(_steps,), static=_LENGTH,
        size=makers.series_size),
    Row("Censored", dist.Censored, "dist lower upper", {"dist": "base_dist"}),
    Row("CustomDist", makers.custom, "", {"logp": "log_prob"}, trees="params",
        static="log_prob logp random support event_shape batch_shape ndim_supp", size=makers.custom_size),
    Row("Hurdle", dist.Hurdle, "dist psi", {"dist": "base_dist"}),
    Row("Mixture", makers.mixture, "w comp_dists", {"w": "mixing", "comp_dists": "components"},
        trees="components comp_dists"),
    Row("NormalMixture", dist.NormalMixture, "w mu sigma tau", ways=(_tau,)),
    Row("Truncated", dist.Truncated, "dist lower upper", {"dist": "base_dist"}),
    Row("ZeroInflated", dist.ZeroInflated, "dist psi", {"dist": "base_dist"}, ways=(_gate,)),
)  # fmt: skip
