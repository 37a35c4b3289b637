"""Every statement: PyMC's names and the seed's give one distribution, by position and by name."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyrox.dist as dist
from pyrox import errors as px_errors
from pyrox import model as px
from pyrox.dist.packed import packed_lkj, packed_lkj_cholesky_cov
from pyrox.model.handlers import seed, trace
from pyrox.model.table import ROWS

COV = np.array([[2.0, 0.5], [0.5, 1.0]])
SHARES = np.array([0.2, 0.3, 0.5])
CHOL = np.linalg.cholesky(COV)
CUTS = np.array([-1.0, 1.0])
RING = np.ones((3, 3)) - np.eye(3)
VECTOR = dist.MultivariateNormal(jnp.zeros(2), covariance_matrix=COV)


def decay(x, rate):
    return jnp.log(rate) - rate * x


# name: the distribution, then what must give it: positional parameters and keywords.
CASES = {
    "Normal": (
        dist.Normal(1.0, 2.0),
        [(1, 2), {"mu": 1, "sigma": 2}, {"loc": 1, "scale": 2}, {"mu": 1, "tau": 0.25}, {"mu": 1, "scale": 2}],
    ),
    "HalfNormal": (dist.HalfNormal(2.0), [(2,), {"sigma": 2}, {"scale": 2}, {"tau": 0.25}]),
    "Cauchy": (dist.Cauchy(1.0, 2.0), [(1, 2), {"alpha": 1, "beta": 2}, {"loc": 1, "scale": 2}, {"mu": 1, "sigma": 2}]),
    "HalfCauchy": (dist.HalfCauchy(2.0), [(2,), {"beta": 2}, {"scale": 2}, {"sigma": 2}]),
    "StudentT": (
        dist.StudentT(3.0, 1.0, 2.0),
        [(3, 1, 2), {"nu": 3, "mu": 1, "sigma": 2}, {"df": 3, "loc": 1, "scale": 2}, {"nu": 3, "mu": 1, "lam": 0.25}],
    ),
    "Exponential": (dist.Exponential(2.0), [(2,), {"lam": 2}, {"rate": 2}, {"scale": 0.5}]),
    "Gamma": (
        dist.Gamma(4.0, 2.0),
        [(4, 2), {"alpha": 4, "beta": 2}, {"concentration": 4, "rate": 2}, {"mu": 2, "sigma": 1}],
    ),
    "InverseGamma": (
        dist.InverseGamma(3.0, 2.0),
        [(3, 2), {"alpha": 3, "beta": 2}, {"concentration": 3, "rate": 2}, {"mu": 1, "sigma": 1}],
    ),
    "Beta": (
        dist.Beta(2.0, 6.0),
        [
            (2, 6),
            {"alpha": 2, "beta": 6},
            {"concentration1": 2, "concentration0": 6},
            {"mu": 0.25, "nu": 8},
            {"mu": 0.25, "sigma": np.sqrt(12 / 576)},
        ],
    ),
    "LogNormal": (
        dist.LogNormal(1.0, 2.0),
        [(1, 2), {"mu": 1, "sigma": 2}, {"loc": 1, "scale": 2}, {"mu": 1, "tau": 0.25}],
    ),
    "Uniform": (dist.Uniform(-1.0, 3.0), [(-1, 3), {"lower": -1, "upper": 3}, {"low": -1, "high": 3}]),
    "Flat": (dist.Flat(), [()]),
    "HalfFlat": (dist.HalfFlat(), [()]),
    "Bernoulli": (
        dist.Bernoulli(probs=0.25),
        [(0.25,), {"p": 0.25}, {"probs": 0.25}, {"logit_p": np.log(1 / 3)}, {"logits": np.log(1 / 3)}],
    ),
    "Binomial": (
        dist.Binomial(5, probs=0.25),
        [(5, 0.25), {"n": 5, "p": 0.25}, {"total_count": 5, "probs": 0.25}, {"n": 5, "logit_p": np.log(1 / 3)}],
    ),
    "Poisson": (dist.Poisson(3.0), [(3,), {"mu": 3}, {"rate": 3}]),
    "Categorical": (
        dist.Categorical(probs=SHARES),
        [(SHARES,), {"p": SHARES}, {"logit_p": np.log(SHARES)}, ([0.2, 0.3, 0.5],)],
    ),
    "Dirichlet": (dist.Dirichlet(jnp.ones(3)), [(np.ones(3),), {"a": np.ones(3)}, {"concentration": [1, 1, 1]}]),
    "MvNormal": (
        dist.MultivariateNormal(jnp.zeros(2), covariance_matrix=COV),
        [
            (np.zeros(2), COV),
            {"mu": np.zeros(2), "cov": COV},
            {"loc": np.zeros(2), "covariance_matrix": COV},
            {"mu": [0, 0], "chol": np.linalg.cholesky(COV)},
            {"mu": np.zeros(2), "tau": np.linalg.inv(COV)},
        ],
    ),
}
CASES |= {
    "AsymmetricLaplace": (
        dist.AsymmetricLaplace(1.0, 2.0, 0.5),
        [(0.5, 1, 0.5), {"loc": 1, "scale": 2, "asymmetry": 0.5}, {"q": 0.2, "mu": 1, "b": 0.5}],
    ),
    "ChiSquared": (dist.Chi2(3.0), [(3,), {"nu": 3}, {"df": 3}]),
    "DiracDelta": (dist.Delta(0.4), [(0.4,), {"value": 0.4}]),
    "ExGaussian": (dist.ExGaussian(1.0, 2.0, 3.0), [(1, 2, 3), {"loc": 1, "scale": 2, "tail": 3}]),
    "Gumbel": (dist.Gumbel(1.0, 2.0), [(1, 2), {"loc": 1, "scale": 2}]),
    "HalfStudentT": (dist.HalfStudentT(3.0, 2.0), [(3, 2), {"df": 3, "scale": 2}, {"nu": 3, "lam": 0.25}]),
    "Interpolated": (dist.Interpolated([0.0, 1.0, 2.0], [0.0, 1.0, 0.0]), [([0, 1, 2], [0, 1, 0])]),
    "InverseGaussian": (dist.InverseGaussian(1.0, 2.0), [(1, 2), {"loc": 1, "concentration": 2}]),
    "Kumaraswamy": (dist.Kumaraswamy(2.0, 3.0), [(2, 3), {"concentration1": 2, "concentration0": 3}]),
    "Laplace": (dist.Laplace(1.0, 2.0), [(1, 2), {"loc": 1, "scale": 2}, {"mu": 1, "b": 2}]),
    "Logistic": (dist.Logistic(1.0, 2.0), [(1, 2), {"loc": 1, "scale": 2}, {"mu": 1, "s": 2}]),
    "LogitNormal": (dist.LogitNormal(1.0, 2.0), [(1, 2), {"loc": 1, "scale": 2}, {"mu": 1, "tau": 0.25}]),
    "Moyal": (dist.Moyal(1.0, 2.0), [(1, 2), {"loc": 1, "scale": 2}]),
    "Pareto": (dist.Pareto(2.0, 0.1), [(2, 0.1), {"alpha": 2, "scale": 0.1}, {"alpha": 2, "m": 0.1}]),
    "Rice": (dist.Rice(4.0, 2.0), [(4, 2), {"nu": 4, "scale": 2}, {"b": 2, "sigma": 2}]),
    "SkewNormal": (dist.SkewNormal(1.0, 2.0, 3.0), [(3, 1, 2), {"loc": 1, "scale": 2, "skewness": 3}]),
    "Triangular": (dist.Triangular(-1.0, 0.5, 3.0), [(-1, 3, 0.5), {"low": -1, "peak": 0.5, "high": 3}]),
    "TruncatedCauchy": (
        dist.TruncatedCauchy(None, 1.0, 2.0, 3.0),
        [(1, 2, None, 3), {"loc": 1, "scale": 2, "high": 3}],
    ),
    "TruncatedNormal": (
        dist.TruncatedNormal(None, 1.0, 2.0, 3.0),
        [(1, 2, None, None, 3), {"loc": 1, "scale": 2, "high": 3}, {"mu": 1, "tau": 0.25, "upper": 3}],
    ),
    "VonMises": (dist.VonMises(1.0, 2.0), [(1, 2), {"loc": 1, "concentration": 2}]),
    "Wald": (
        dist.InverseGaussian(2.0, 4.0),
        [(2, 4), {"mu": 2, "phi": 2}, {"lam": 4, "phi": 2}, {"loc": 2, "concentration": 4}],
    ),
    "Weibull": (dist.Weibull(3.0, 2.0), [(2, 3), {"scale": 3, "concentration": 2}]),
    "BetaBinomial": (dist.BetaBinomial(2.0, 3.0, 5), [(2, 3, 5), {"alpha": 2, "beta": 3, "total_count": 5}]),
    "DirichletMultinomial": (
        dist.DirichletMultinomial(jnp.ones(3), 5),
        [(5, np.ones(3)), {"concentration": [1, 1, 1], "total_count": 5}],
    ),
    "DiscreteUniform": (dist.DiscreteUniform(-1, 3), [(-1, 3), {"low": -1, "high": 3}]),
    "DiscreteWeibull": (dist.DiscreteWeibull(0.4, 1.5), [(0.4, 1.5), {"probs": 0.4, "concentration": 1.5}]),
    "GammaPoisson": (dist.GammaPoisson(2.0, 3.0), [(2, 3), {"concentration": 2, "rate": 3}]),
    "Geometric": (dist.GeometricTrials(0.3), [(0.3,), {"p": 0.3}, {"probs": 0.3}]),
    "HyperGeometric": (dist.HyperGeometric(20, 8, 6), [(20, 8, 6), {"population": 20, "marked": 8, "drawn": 6}]),
    "Multinomial": (dist.Multinomial(5, SHARES), [(5, SHARES), {"total_count": 5, "logits": np.log(SHARES)}]),
    "NegativeBinomial": (
        dist.NegativeBinomial(4.0, 0.25),
        [(12, 4), {"n": 4, "p": 0.25}, {"total_count": 4, "probs": 0.25}, {"mean_count": 12, "concentration": 4}],
    ),
    "OrderedLogistic": (dist.OrderedLogistic(0.3, CUTS), [(0.3, CUTS), {"predictor": 0.3, "cutpoints": CUTS}]),
    "OrderedMultinomial": (dist.Multinomial(5, dist.OrderedLogistic(0.3, CUTS).probs), [(0.3, CUTS, 5)]),
    "OrderedProbit": (
        dist.OrderedProbit(0.3, CUTS, 2.0),
        [(0.3, CUTS, 2), {"predictor": 0.3, "cutpoints": CUTS, "scale": 2}],
    ),
    "HurdleGamma": (dist.HurdleGamma(0.3, 4.0, 2.0), [(0.3, 4, 2), {"probs": 0.3, "concentration": 4, "rate": 2}]),
    "HurdleLogNormal": (dist.HurdleLogNormal(0.3, 1.0, 2.0), [(0.3, 1, 2), {"probs": 0.3, "loc": 1, "scale": 2}]),
    "HurdleNegativeBinomial": (
        dist.HurdleNegativeBinomial(0.3, 12.0, 4.0),
        [(0.3, 12, 4), {"psi": 0.3, "n": 4, "p": 0.25}, {"probs": 0.3, "mean_count": 12, "concentration": 4}],
    ),
    "HurdlePoisson": (dist.HurdlePoisson(0.3, 2.0), [(0.3, 2), {"probs": 0.3, "rate": 2}]),
    "ZeroInflatedBinomial": (
        dist.ZeroInflatedBinomial(0.7, 0.4, 5),
        [(0.3, 5, 0.4), {"gate": 0.7, "probs": 0.4, "total_count": 5}],
    ),
    "ZeroInflatedNegativeBinomial": (
        dist.ZeroInflatedNegativeBinomial(0.7, 12.0, 4.0),
        [(0.3, 12, 4), {"psi": 0.3, "n": 4, "p": 0.25}, {"gate": 0.7, "mean_count": 12, "concentration": 4}],
    ),
    "ZeroInflatedPoisson": (dist.ZeroInflatedPoisson(0.7, 2.0), [(0.3, 2), {"gate": 0.7, "rate": 2}]),
    "CAR": (
        dist.CAR(jnp.zeros(3), RING, 0.5, 2.0),
        [(0.0, RING, 0.5, 2), {"loc": [0, 0, 0], "adjacency": RING, "correlation": 0.5, "precision": 2}],
    ),
    "ICAR": (dist.ICAR(RING, 2.0), [(RING, 2), {"adjacency": RING, "scale": 2}]),
    "LKJ": (dist.LKJ(2, 2.0), [(2, 2), {"dimension": 2, "concentration": 2}]),
    "LKJCholesky": (dist.LKJCholesky(2, 2.0), [(2, 2), {"dimension": 2, "concentration": 2}]),
    "LKJCholeskyCov": (
        packed_lkj_cholesky_cov(2, 2.0, dist.Exponential(1.0)),
        [(2, 2, dist.Exponential(1.0)), {"dimension": 2, "concentration": 2, "scale_dist": dist.Exponential(1.0)}],
    ),
    "LKJCorr": (packed_lkj(2, 2.0), [(2, 2), {"dimension": 2, "concentration": 2}]),
    "LowRankMultivariateNormal": (
        dist.LowRankMultivariateNormal(jnp.zeros(2), jnp.ones((2, 1)), jnp.ones(2)),
        [
            (np.zeros(2), np.ones((2, 1)), np.ones(2)),
            {"loc": [0, 0], "cov_factor": np.ones((2, 1)), "cov_diag": [1, 1]},
        ],
    ),
    "MatrixNormal": (
        dist.MatrixNormal(jnp.zeros((2, 2)), CHOL, CHOL),
        [
            (np.zeros((2, 2)), COV, None, COV),
            {"loc": np.zeros((2, 2)), "scale_tril_row": CHOL, "scale_tril_column": CHOL},
        ],
    ),
    "MvStudentT": (
        dist.MultivariateStudentT(3.0, jnp.zeros(2), CHOL),
        [(3, COV), {"df": 3, "loc": [0, 0], "scale_tril": CHOL}, {"nu": 3, "mu": np.zeros(2), "scale": COV}],
    ),
    "StickBreakingWeights": (dist.StickBreakingWeights(1.5, 2), [(1.5, 2), {"concentration": 1.5, "num_breaks": 2}]),
    "Wishart": (dist.Wishart(4.0, COV), [(4, COV), {"concentration": 4, "scale_matrix": COV}]),
    "ZeroSumNormal": (
        dist.ZeroSumNormal(2.0, (3,)),
        [(2, 1, 3), {"scale": 2, "support_shape": (3,)}, {"sigma": 2, "shape": 3}],
    ),
    "AR": (
        dist.AR([0.5], 2.0, dist.Normal(0.0, 1.0), 3),
        [
            ([0.5], 2, None, dist.Normal(0.0, 1.0), 2),
            {"rho": [0.5], "scale": 2, "init_dist": dist.Normal(0.0, 1.0), "shape": 3},
        ],
    ),
    "EulerMaruyama": (
        dist.EulerMaruyama(jnp.arange(3) * 0.1, lambda x, t: (-0.5 * x, 0.3), dist.Normal(0.0, 1.0)),
        [(0.1, lambda x, a: (-a * x, 0.3), (0.5,), dist.Normal(0.0, 1.0), 2)],
    ),
    "GARCH11": (
        dist.GARCH11(0.5, 0.2, 0.3, 1.5, 3),
        [(0.5, 0.2, 0.3, 1.5, 2), {"omega": 0.5, "alpha": 0.2, "beta": 0.3, "initial_scale": 1.5, "num_steps": 3}],
    ),
    "GaussianRandomWalk": (
        dist.RandomWalk(dist.Normal(0.1, 2.0), dist.Normal(0.0, 1.0), 3),
        [(0.1, 2, dist.Normal(0.0, 1.0), 2), {"loc": 0.1, "scale": 2, "init_dist": dist.Normal(0.0, 1.0), "shape": 3}],
    ),
    "MvGaussianRandomWalk": (
        dist.RandomWalk(VECTOR, VECTOR, 2),
        [(np.zeros(2), COV, None, None, VECTOR, 1), {"scale_tril": CHOL, "init_dist": VECTOR, "num_steps": 2}],
    ),
    "MvStudentTRandomWalk": (
        dist.RandomWalk(dist.MultivariateStudentT(3.0, jnp.zeros(2), CHOL), VECTOR, 2),
        [
            (3, np.zeros(2), COV, None, None, VECTOR, 1),
            {"df": 3, "scale_tril": CHOL, "init_dist": VECTOR, "shape": (2, 2)},
        ],
    ),
    "RandomWalk": (
        dist.RandomWalk(dist.Normal(0.1, 2.0), dist.Normal(0.0, 1.0), 3),
        [(dist.Normal(0.0, 1.0), dist.Normal(0.1, 2.0), 2)],
    ),
    "Censored": (
        dist.Censored(dist.Normal(), -1.0, 2.0),
        [(dist.Normal(), -1, 2), {"base_dist": dist.Normal(), "low": -1, "high": 2}],
    ),
    "CustomDist": (
        dist.Exponential(2.0),
        [
            {"params": (2.0,), "log_prob": decay, "support": dist.constraints.positive},
            {"params": (2.0,), "logp": decay, "support": dist.constraints.positive},
        ],
    ),
    "Hurdle": (
        dist.Hurdle(dist.Poisson(2.0), 0.3),
        [(dist.Poisson(2.0), 0.3), {"base_dist": dist.Poisson(2.0), "probs": 0.3}],
    ),
    "Mixture": (
        dist.Mixture(jnp.array([0.4, 0.6]), [dist.Normal(), dist.StudentT(3.0)]),
        [
            ([0.4, 0.6], [dist.Normal(), dist.StudentT(3.0)]),
            {"mixing": [0.4, 0.6], "components": (dist.Normal(), dist.StudentT(3.0))},
        ],
    ),
    "DiscreteMarkovChain": (
        dist.DiscreteMarkovChain([[0.9, 0.1], [0.3, 0.7]], dist.Categorical(probs=[0.4, 0.6]), 4),
        [
            ([[0.9, 0.1], [0.3, 0.7]], None, dist.Categorical(probs=[0.4, 0.6]), 3),
            {"logit_P": np.log([[0.9, 0.1], [0.3, 0.7]]), "init_dist": dist.Categorical(probs=[0.4, 0.6]), "shape": 4},
        ],
    ),
    "NormalMixture": (
        dist.NormalMixture([0.4, 0.6], [-1.0, 1.0], [2.0, 2.0]),
        [([0.4, 0.6], [-1, 1], [2, 2]), {"weights": [0.4, 0.6], "loc": [-1, 1], "scale": [2, 2]}],
    ),
    "Truncated": (
        dist.Truncated(dist.Normal(), -1.0, 2.0),
        [(dist.Normal(), -1, 2), {"base_dist": dist.Normal(), "low": -1, "high": 2}],
    ),
    "ZeroInflated": (
        dist.ZeroInflated(dist.Poisson(2.0), 0.7),
        [(dist.Poisson(2.0), 0.3), {"base_dist": dist.Poisson(2.0), "gate": 0.7}],
    ),
}
VARIANTS = [(name, i) for name, (_, ways) in CASES.items() for i in range(len(ways))]
VALUES = {"Dirichlet": jnp.array([0.2, 0.3, 0.5]), "MvNormal": jnp.array([0.3, -1.0]), "Bernoulli": 1, "Binomial": 2}
# Distributions of vectors and matrices are looked at where they draw.
VALUES |= {n: d.sample(jax.random.key(0)) for n, (d, _) in CASES.items()
           if d.event_shape and n not in VALUES and n != "ICAR"}  # fmt: skip
VALUES["ICAR"] = jnp.array([0.1, 0.4, -0.5])


def test_the_table_is_tested_whole_and_exported():
    assert {row.name for row in ROWS} == set(CASES)
    assert set(CASES) <= set(px.__all__)


def given(name, i):
    way = CASES[name][1][i]
    return ((), way) if isinstance(way, dict) else (way, {})


@pytest.mark.parametrize(("name", "i"), VARIANTS)
def test_graph_and_program_state_the_same_distribution(name, i):
    want, statement, (args, kwargs) = CASES[name][0], getattr(px, name), given(name, i)
    value = jnp.asarray(VALUES.get(name, 0.4 if not want.is_discrete else 1))
    with px.Model() as model:
        statement("x", *args, **kwargs)
    node = model["x"]
    assert node.shape == want.batch_shape + want.event_shape
    fixed = px.handlers.substitute(model, {"x": value})
    program = px.handlers.substitute(lambda: statement("x", *args, **kwargs), {"x": value})
    for run in (fixed, program):
        fn = trace(run).get_trace()["x"]["fn"]
        np.testing.assert_allclose(fn.log_prob(value), want.log_prob(value), rtol=1e-9)


FREE = [n for n, (d, _) in CASES.items() if not d.is_discrete and n not in ("DiracDelta", "Censored", "HurdleGamma",
                                                                           "HurdleLogNormal")]  # fmt: skip


@pytest.mark.parametrize("name", FREE)
def test_a_free_variable_has_a_finite_density_and_gradient_where_it_starts(name):
    args, kwargs = given(name, 0)
    with px.Model() as model:
        getattr(px, name)("x", *args, **kwargs)
    ld = px.LogDensity.build(model)
    value, gradient = jax.value_and_grad(ld)(ld.initial_position(jax.random.key(1), ld.data), ld.data)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", CASES)
def test_unnamed(name):
    args, kwargs = given(name, 0)
    with px.Model():
        unnamed = getattr(px, name).dist(*args, **kwargs)
    want = CASES[name][0]
    assert (unnamed.struct.batch_shape, unnamed.struct.event_shape) == (want.batch_shape, want.event_shape)


@pytest.mark.parametrize("name", CASES)
def test_statements_tell_their_parameters(name):
    statement = getattr(px, name)
    assert name in repr(statement)
    assert "name" in inspect.signature(statement).parameters
    assert len(statement.__doc__) > 80


def test_shapes_come_from_dims_shape_observed_or_parameters():
    with px.Model(coords={"d": range(3)}):
        assert px.Normal("a", dims="d").shape == (3,)
        assert px.Normal("b", shape=(2, 3)).shape == (2, 3)
        assert px.Normal("c", np.zeros(3), 1.0).shape == (3,)
        assert px.Normal("e", observed=[1, 2, 3, 4]).shape == (4,)
        assert px.Normal("f", np.zeros(3), 1.0, shape=(2, 3)).shape == (2, 3)
        assert px.Dirichlet("g", np.ones(3), shape=(4, 3)).shape == (4, 3)
        assert px.Dirichlet("h", np.ones(3), dims="d").shape == (3,)
        assert px.Normal("i", np.zeros((2, 1)), 1.0, dims=(None, "d")).shape == (2, 3)
        assert px.Normal("j", [px.Normal("k"), 0.0], 1.0).shape == (2,)


def test_a_program_returns_arrays():
    def program(y):
        mu = px.Normal("mu", 0.0, 1.0)
        px.Deterministic("twice", jnp.exp(mu))
        px.Potential("penalty", -(mu**2))
        x = px.Data("x", [1.0, 2.0])
        return px.Normal("y", mu * x, 1.0, observed=y)

    record = trace(seed(program, 0)).get_trace(np.array([1.0, 2.0]))
    assert [site["type"] for site in record.values()] == ["sample", "deterministic", "factor", "data", "sample"]
    assert record["y"]["is_observed"]
    assert isinstance(record["twice"]["value"], jax.Array)


def test_a_program_runs_inside_an_open_model():
    with px.Model() as model:
        drawn = seed(lambda: px.Normal("x", 0.0, 1.0), 0)()
        px.Normal("y")
    assert isinstance(drawn, jax.Array)
    assert list(model.named_vars) == ["y"]


def test_the_probability_of_a_sigmoid_is_taken_by_its_logit():
    with px.Model() as model:
        eta = px.Normal("eta", 0.0, 1.0)
        p = px.Deterministic("p", px.math.sigmoid(eta))
        px.Bernoulli("y", p=p, observed=0)
    ld = px.LogDensity.build(model)
    assert np.isfinite(ld.site_terms(jnp.array([50.0]), ld.data)["y"])


def test_total_size_scales_the_likelihood():
    with px.Model() as model:
        mu = px.Normal("mu")
        px.Normal("y", mu, 1.0, observed=[1.0, 2.0], total_size=10)
    ld = px.LogDensity.build(model)
    want = 5 * np.sum(dist.Normal(0.0, 1.0).log_prob(jnp.array([1.0, 2.0])))
    assert ld.site_terms(jnp.zeros(1), ld.data)["y"] == pytest.approx(want)


def test_data_of_all_kinds():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "b": [0.5, 1.5]})
    with px.Model() as model:
        px.Data("series", frame["a"])
        px.Data("frame", frame)
        px.Data("scalar", 3)
        px.Data("array", np.array(2.5))
        px.Normal("y", frame["b"] * px.Normal("b"), 1.0, observed=frame["a"])
    assert {d.name: d.shape for d in model.data_vars} == {"series": (2,), "frame": (2, 2), "scalar": (), "array": ()}
    ld = px.LogDensity.build(model)
    assert np.isfinite(ld(jnp.zeros(1), ld.data))


def test_covariance_factors_come_unpacked():
    with px.Model() as model:
        chol, corr, stds = px.LKJCholeskyCov("L", eta=2.0, n=3, sd_dist=px.Exponential.dist(1.0))
        px.MvNormal("y", np.zeros(3), chol=chol, observed=np.ones((4, 3)))
    assert (chol.shape, corr.shape, stds.shape) == ((3, 3), (3, 3), (3,))
    record = trace(seed(model, 0)).get_trace()
    assert {"L", "L_corr", "L_stds"} <= set(record)
    assert record["L"]["value"].shape == (6,)
    np.testing.assert_allclose(jnp.diagonal(record["L_corr"]["value"]), 1.0)
    drawn = seed(lambda: px.LKJCholeskyCov("L", 2.0, 3, px.Exponential.dist(1.0)), 0)()
    np.testing.assert_allclose(jnp.linalg.norm(drawn[0], axis=-1), drawn[2])


def test_distributions_of_variables():
    with px.Model(coords={"g": range(3)}) as model:
        mu, w = px.Normal("mu", 0.0, 1.0, shape=2), px.Dirichlet("w", np.ones(2))
        px.Mixture("batched", w, px.Normal.dist(mu, 1.0), observed=np.zeros(5))
        px.Mixture("listed", w, [px.Normal.dist(mu[0], 1.0), px.StudentT.dist(3, mu[1], 1.0)], observed=np.zeros(5))
        px.Truncated("cut", px.Normal.dist(mu[0], 1.0), lower=0, observed=[1.0])
        px.Censored("seen", px.Normal.dist(mu[0], 1.0), None, 2.0, observed=[2.0])
        px.CustomDist("own", mu[0], logp=lambda x, m: -((x - m) ** 2), observed=[2.0])
        px.CustomDist("made", mu[0], dist=lambda m: px.Normal.dist(m, 1.0), observed=[2.0])
        px.ZeroSumNormal("z", 1.0, dims="g")
        px.GaussianRandomWalk("walk", 0.0, px.HalfNormal("s", 1.0), init_dist=px.Normal.dist(mu[1], 1.0), dims="g")
        px.OrderedLogistic("label", mu[0], CUTS, observed=[0, 1, 2])
    assert model["label_probs"].shape == (3,)
    ld = px.LogDensity.build(model)
    value, gradient = jax.value_and_grad(ld)(jnp.zeros(ld.dim), ld.data)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_structure_must_be_known():
    with px.Model():
        n = px.Poisson("n", 3.0)
        with pytest.raises(px_errors.ModelError, match="must be known when the model is written"):
            px.GaussianRandomWalk("walk", steps=n)
