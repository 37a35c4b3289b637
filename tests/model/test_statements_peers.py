"""Every statement has PyMC's density, by PyMC's positions, names and parametrisations."""

import warnings

import jax
import numpy as np
import pytest

import pyrox as px

COV = np.array([[2.0, 0.5], [0.5, 1.0]])
CHOL = np.linalg.cholesky(COV)
COV3 = np.diag([1.0, 2.0, 0.5])
SHARES = np.array([0.2, 0.3, 0.5])
RING = np.array([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0.0]])
REAL, POSITIVE, UNIT = [-2.3, 0.4, 3.1], [0.2, 1.1, 6.0], [0.1, 0.45, 0.9]
COUNTS = [0, 1, 4]
SERIES = [np.array([0.1, 0.5, -0.3, 0.8, 1.0])]
VECTORS = [np.array([[0.1, 0.5], [-0.3, 0.8], [1.0, -1.0]])]
X = np.linspace(0.0, 4.0, 9)


class D:
    """An unnamed distribution of whichever library."""

    def __init__(self, kind, *args, **kwargs):
        self.kind, self.args, self.kwargs = kind, args, kwargs


def pull(x, rate, scale):
    return -rate * x, scale


# (name, values, parametrisations): tuples are positional, dicts by name; a pair is both.
CASES = [
    ("Normal", REAL, [(1, 2), {"mu": 1, "tau": 0.25}]),
    ("HalfNormal", POSITIVE, [(2,), {"tau": 0.25}]),
    ("Cauchy", REAL, [(1, 2), {"alpha": 1, "beta": 2}]),
    ("HalfCauchy", POSITIVE, [(2,)]),
    ("StudentT", REAL, [((3,), {"mu": 1, "sigma": 2}), {"nu": 3, "mu": 1, "lam": 0.25}]),
    ("Exponential", POSITIVE, [(2,), {"scale": 2}]),
    ("Gamma", POSITIVE, [(4, 2), {"mu": 2, "sigma": 1.5}]),
    ("InverseGamma", POSITIVE, [(4, 2), {"mu": 2, "sigma": 1.5}]),
    ("Beta", UNIT, [(4, 2), {"mu": 0.3, "sigma": 0.1}, {"mu": 0.3, "nu": 5}]),
    ("LogNormal", POSITIVE, [(1, 2), {"mu": 1, "tau": 0.25}]),
    ("Uniform", UNIT, [(-1, 3)]),
    ("Bernoulli", [0, 1], [(0.3,), {"logit_p": 0.4}]),
    ("Binomial", COUNTS, [(5, 0.3), {"n": 5, "logit_p": 0.4}]),
    ("Poisson", COUNTS, [(3,)]),
    ("Categorical", [0, 2], [(SHARES,)]),
    ("Dirichlet", [SHARES], [(np.array([1.0, 2.0, 3.0]),)]),
    ("MvNormal", [SHARES[:2]], [(np.ones(2), COV), {"mu": np.ones(2), "tau": COV}, {"mu": np.ones(2), "chol": CHOL}]),
    ("AsymmetricLaplace", REAL, [(2, 1, 0.7), {"kappa": 0.5, "mu": 1, "b": 2}, {"q": 0.3, "mu": 1, "b": 2}]),
    ("ChiSquared", POSITIVE, [(3,), {"nu": 3}]),
    ("DiracDelta", [2.0, 3.0], [(2.0,)]),
    ("ExGaussian", REAL, [((1, 2), {"nu": 0.7}), {"mu": 1, "sigma": 2, "nu": 3}]),
    ("Gumbel", REAL, [(1, 2), {"mu": 1, "beta": 2}]),
    ("HalfStudentT", POSITIVE, [(3, 2), {"nu": 3, "lam": 0.25}]),
    ("Interpolated", POSITIVE[:2], [(X, X * np.exp(-X))]),
    ("Kumaraswamy", UNIT, [(2, 3), {"a": 2, "b": 3}]),
    ("Laplace", REAL, [(1, 2), {"mu": 1, "b": 2}]),
    ("Logistic", REAL, [(1, 2), {"mu": 1, "s": 2}]),
    ("LogitNormal", UNIT, [(1, 2), {"mu": 1, "tau": 0.25}]),
    ("Moyal", REAL, [(1, 2), {"mu": 1, "sigma": 2}]),
    ("Pareto", [3.5, 8.0], [(2, 3), {"alpha": 2, "m": 3}]),
    ("Rice", POSITIVE, [(2, 3), {"nu": 2, "sigma": 3}, {"b": 2, "sigma": 3}, {"b": 2}]),
    ("SkewNormal", REAL, [(2, 1, 3), {"alpha": 2, "mu": 1, "tau": 0.25}, {"mu": 1, "sigma": 2}]),
    ("Triangular", UNIT, [(-1, 3, 0.5), {"lower": -1, "upper": 3, "c": 0.7}]),
    ("TruncatedNormal", REAL, [((1, 2), {"lower": -3, "upper": 4}), {"mu": 1, "sigma": 2}, {"tau": 0.25, "lower": -3}]),
    ("VonMises", REAL[:2], [(1, 2), {"mu": 1, "kappa": 2}]),
    ("Wald", [1.1, 3.0], [(1,), (1, 2), {"mu": 2, "phi": 3}, {"lam": 2, "phi": 3}, {"mu": 1, "lam": 2, "alpha": 0.5}]),
    ("Weibull", POSITIVE, [(2, 3), {"alpha": 2, "beta": 3}]),
    ("BetaBinomial", COUNTS, [(2, 3, 5), {"alpha": 2, "beta": 3, "n": 5}]),
    ("DirichletMultinomial", [np.array([1, 2, 2])], [(5, np.array([1.0, 2.0, 3.0]))]),
    ("DiscreteUniform", COUNTS, [(-1, 6), {"lower": -1, "upper": 6}]),
    ("DiscreteWeibull", COUNTS, [(0.4, 1.5), {"q": 0.4, "beta": 1.5}]),
    ("Geometric", [1, 2, 5], [(0.3,)]),
    ("HyperGeometric", COUNTS, [(20, 8, 6), {"N": 20, "k": 8, "n": 6}]),
    ("Multinomial", [np.array([1, 2, 2])], [(5, SHARES)]),
    ("NegativeBinomial", COUNTS, [(2, 3), {"p": 0.3, "n": 4}, {"mu": 2, "alpha": 3}]),
    ("OrderedLogistic", [0, 1, 2], [(0.3, np.array([-1.0, 1.0]))]),
    ("OrderedMultinomial", [np.array([1, 2, 2])], [(0.3, np.array([-1.0, 1.0]), 5)]),
    ("OrderedProbit", [0, 1, 2], [((0.3, np.array([-1.0, 1.0])), {"sigma": 1.5})]),
    ("HurdleGamma", [0.0, 0.5, 2.0], [(0.3, 4, 2), {"psi": 0.3, "mu": 2, "sigma": 1.5}]),
    ("HurdleLogNormal", [0.0, 0.5, 2.0], [(0.3, 1, 2), {"psi": 0.3, "mu": 1, "tau": 0.25}]),
    ("HurdleNegativeBinomial", COUNTS, [(0.3, 2, 3), {"psi": 0.3, "p": 0.3, "n": 4}]),
    ("HurdlePoisson", COUNTS, [(0.3, 2), {"psi": 0.3, "mu": 2}]),
    ("ZeroInflatedBinomial", COUNTS, [(0.3, 5, 0.4), {"psi": 0.3, "n": 5, "p": 0.4}]),
    ("ZeroInflatedNegativeBinomial", COUNTS, [(0.3, 2, 3), {"psi": 0.3, "p": 0.3, "n": 4}]),
    ("ZeroInflatedPoisson", COUNTS, [(0.3, 2), {"psi": 0.3, "mu": 2}]),
    ("CAR", [np.array([0.1, 0.5, -0.3, 0.8]), np.ones(4)], [(np.zeros(4), RING, 0.5, 2.0)]),
    ("ICAR", [np.array([0.1, 0.5, -0.3, -0.3])], [(RING,), ((RING,), {"sigma": 2.0, "zero_sum_stdev": 0.1})]),
    ("LKJCholeskyCov", [np.array([1.2, 0.3, 0.9, -0.1, 0.4, 2.0]), np.array([1, 0, 1, 0.5, 0, 1])],
        [{"eta": 2.0, "n": 3, "sd_dist": D("Exponential", 1.5), "compute_corr": False},
         ((2.0, 3, D("HalfNormal", np.array([1.0, 2.0, 3.0]))), {"compute_corr": False})]),
    ("LKJCorr", [np.array([0.3, -0.2, 0.1]), np.zeros(3)], [(3, 2.0), {"n": 3, "eta": 1.5}]),
    ("MatrixNormal", [np.ones((2, 3)) * [0.1, 1, -1]],
        [{"mu": np.zeros((2, 3)), "rowcov": COV, "colcov": COV3},
         {"mu": np.zeros((2, 3)), "rowchol": CHOL, "colchol": np.sqrt(COV3)}]),
    ("MvStudentT", [SHARES[:2]],
        [{"nu": 3, "mu": np.ones(2), "Sigma": COV}, {"nu": 3, "mu": np.ones(2), "scale": COV},
         {"nu": 3, "mu": np.ones(2), "tau": COV}, {"nu": 3, "mu": np.ones(2), "chol": CHOL}]),
    ("StickBreakingWeights", [SHARES], [(1.5, 2), {"alpha": 1.5, "K": 2}]),
    ("Wishart", [COV], [(4, COV3[:2, :2])]),
    ("ZeroSumNormal", [np.array([0.5, -0.7, 0.2])], [((2.0,), {"shape": 3}), {"sigma": 2.0, "support_shape": [3]}]),
    ("AR", SERIES, [
        ((np.array([0.5, 0.2]), 1.5), {"init_dist": D("Normal", 0, 2, shape=2), "steps": 3}),
        {"rho": np.array([0.1, 0.5]), "tau": 0.5, "constant": True, "steps": 4,
         "init_dist": D("Normal", 0, 2, shape=1)},
        {"rho": np.array([0.5]), "sigma": 2.0, "shape": 5}]),
    ("EulerMaruyama", SERIES, [((0.1, pull, (0.5, 0.3)), {"init_dist": D("Normal", 0, 2), "steps": 4})]),
    ("GARCH11", SERIES, [((0.5, 0.2, 0.3, 1.5), {"steps": 4}), ((0.5, 0.2, 0.3, 1.5), {"shape": 5})]),
    ("GaussianRandomWalk", SERIES, [
        ((0.1, 2.0), {"init_dist": D("Normal", 0, 2), "steps": 4}), {"sigma": 0.5, "shape": 5}]),
    ("MvGaussianRandomWalk", VECTORS, [
        ((np.zeros(2),), {"cov": COV, "init_dist": D("MvNormal", np.zeros(2), COV), "steps": 2}),
        {"mu": np.zeros(2), "chol": CHOL, "steps": 2, "init_dist": D("MvNormal", np.zeros(2), COV)}]),
    ("MvStudentTRandomWalk", VECTORS, [
        {"nu": 4, "mu": np.zeros(2), "scale": COV, "init_dist": D("MvNormal", np.zeros(2), COV), "steps": 2}]),
    ("RandomWalk", SERIES, [
        ((D("Normal", 0, 2), D("StudentT", nu=4, mu=0, sigma=1)), {"steps": 4})]),
    ("Censored", [-1.0, 0.5, 2.0], [
        ((D("Normal", 0.3, 1.2),), {"lower": -1.0, "upper": 2.0}), (D("Normal", 0.3, 1.2), None, 2.0)]),
    ("Mixture", REAL, [
        (np.array([0.4, 0.6]), [D("Normal", 0, 1), D("StudentT", nu=4, mu=1, sigma=2)]),
        {"w": np.array([0.4, 0.6]), "comp_dists": D("Normal", np.array([-1.0, 1.0]), 2)},
        {"w": np.array([0.4, 0.6]), "comp_dists": [D("Normal", np.array([-1.0, 1.0]), 2)]}]),
    ("NormalMixture", REAL, [
        (SHARES, np.array([-1.0, 0.0, 1.0]), np.ones(3)),
        {"w": SHARES, "mu": np.array([-1.0, 0.0, 1.0]), "tau": np.full(3, 2.0)}]),
    ("Truncated", POSITIVE[:2], [((D("Normal", 0.3, 1.2),), {"lower": 0.0}), (D("Gamma", 2, 1), 0.1, 5)]),
]  # fmt: skip
# PyMC's CAR leaves out what does not depend on its parameters; its LKJ adds the logarithm of the volume, where a
# density takes it away (for three dimensions and eta=1 the volume is pi**2 / 2).
UP_TO_A_CONSTANT = {"CAR", "LKJCholeskyCov", "LKJCorr"}
VARIANTS = [(name, i) for name, _, ways in CASES for i in range(len(ways))]
# PyMC has no such statement, or (Flat, CustomDist) no density of its own.
NO_PEER = {"Flat", "HalfFlat", "GammaPoisson", "InverseGaussian", "TruncatedCauchy", "LKJ", "LKJCholesky", "Hurdle",
           "LowRankMultivariateNormal", "ZeroInflated", "CustomDist", "DiscreteMarkovChain"}  # fmt: skip


def test_every_statement_has_a_case():
    assert {c[0] for c in CASES} | NO_PEER == set(px.model.statements)


def made(library, value):
    if isinstance(value, D):
        return getattr(library, value.kind).dist(*value.args, **value.kwargs)
    return [made(library, v) for v in value] if isinstance(value, list) else value


def split(way):
    if isinstance(way, dict):
        return (), way
    return way if len(way) == 2 and isinstance(way[0], tuple) and isinstance(way[1], dict) else (way, {})


def density(name, way, value):
    args, kwargs = split(way)
    kwargs = {k: made(px, v) for k, v in kwargs.items()}
    with px.Model() as model:
        getattr(px, name)("x", *(made(px, a) for a in args), **kwargs)
    run = px.model.handlers.substitute(model, {"x": np.asarray(value)})
    site = px.model.handlers.trace(run).get_trace()["x"]
    return float(np.sum(site["fn"].log_prob(site["value"])))


@pytest.mark.parametrize(("name", "i"), VARIANTS)
def test_density(name, i):
    pm = pytest.importorskip("pymc")
    _, values, ways = next(c for c in CASES if c[0] == name)
    args, kwargs = split(ways[i])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = getattr(pm, name).dist(*(made(pm, a) for a in args), **{k: made(pm, v) for k, v in kwargs.items()})
        gaps = []
        for value in values:
            want = float(np.sum(pm.logp(peer, np.asarray(value)).eval()))
            assert jax.config.jax_enable_x64
            ours = density(name, ways[i], value)
            gaps.append(0.0 if ours == want else ours - want)  # -inf in both is agreement
        np.testing.assert_allclose(gaps, gaps[0] if name in UP_TO_A_CONSTANT else 0.0, atol=1e-6 * max(1, abs(want)))
