"""Edges: bounds far out in a tail, parameters that have rounded to 0 or 1, whole numbers of every kind, bad shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special

from pyrox import dist
from pyrox.config import validation_enabled
from pyrox.dist import constraints, transforms
from pyrox.dist.special import betainc
from pyrox.errors import ShapeError, SupportError
from tests.checks import assert_mean

# One-parameter families of numbers, to be cut at bounds; 0.7 is a sensible parameter of each.
CUT = {
    "Normal": lambda m: dist.Normal(m, 1.0),
    "StudentT": lambda m: dist.StudentT(3.0 + m, m, 1.0),
    "Logistic": lambda m: dist.Logistic(m, 1.0),
    "Laplace": lambda m: dist.Laplace(m, 1.0),
    "Gumbel": lambda m: dist.Gumbel(m, 1.0),
    "Moyal": lambda m: dist.Moyal(m, 1.0),
    "ExGaussian": lambda m: dist.ExGaussian(m, 1.0, 1.0),
    "Exponential": lambda m: dist.Exponential(m),
    "Gamma": lambda m: dist.Gamma(m, 1.0),
    "InverseGamma": lambda m: dist.InverseGamma(m, 1.0),
    "LogNormal": lambda m: dist.LogNormal(m, 1.0),
    "Weibull": lambda m: dist.Weibull(m, 1.5),
    "HalfNormal": lambda m: dist.HalfNormal(m),
    "HalfCauchy": lambda m: dist.HalfCauchy(m),
    "HalfStudentT": lambda m: dist.HalfStudentT(3.0, m),
    "InverseGaussian": lambda m: dist.InverseGaussian(m, 1.0),
    "Beta": lambda m: dist.Beta(m, 1.5),
    "Kumaraswamy": lambda m: dist.Kumaraswamy(m, 1.5),
    "LogitNormal": lambda m: dist.LogitNormal(m, 1.0),
    "Triangular": lambda m: dist.Triangular(0.0, m, 2.0),
    "Uniform": lambda m: dist.Uniform(0.0, m),
    "Poisson": lambda m: dist.Poisson(m),
    "Geometric": lambda m: dist.Geometric(m),
    "NegativeBinomial2": lambda m: dist.NegativeBinomial2(2.0, m),
    "Binomial": lambda m: dist.Binomial(8, m),
    "ZeroInflatedPoisson": lambda m: dist.ZeroInflatedPoisson(0.3, m),
    "HurdlePoisson": lambda m: dist.HurdlePoisson(0.6, m),
    "NormalMixture": lambda m: dist.NormalMixture([0.4, 0.6], jnp.stack([m, -m]), [1.0, 2.0]),
}
LOW, HIGH = jnp.array([-jnp.inf, 0.0, -1.0]), jnp.array([jnp.inf, jnp.inf, 4.0])


@pytest.mark.parametrize("cut", [dist.Truncated, dist.Censored])
@pytest.mark.parametrize("name", CUT)
def test_bounds_at_and_beyond_the_support(cut, name):
    values = jnp.array([1, 2, 3]) if CUT[name](0.7).is_discrete else jnp.array([0.3, 0.5, 0.6])

    def total(m):
        return jnp.sum(cut(CUT[name](m), LOW, HIGH).log_prob(values))

    step = 1e-6
    beside, slope = jax.jit(lambda m: (jax.lax.map(total, m + step * jnp.array([-1.0, 1.0])), jax.grad(total)(m)))(0.7)
    assert np.all(np.isfinite(beside))
    np.testing.assert_allclose(slope, (beside[1] - beside[0]) / (2 * step), rtol=1e-6, atol=1e-6)


FAR = {
    "exponential": (dist.Truncated(dist.Exponential(1.0), 800.0), 801.0, -1.0),
    "exponential between": (dist.Truncated(dist.Exponential(1.0), 800.0, 900.0), 801.0, -1.0),
    "normal": (dist.TruncatedNormal(40.0, 0.0, 1.0), 40.1, -0.3154965194351007),
    "normal below": (dist.TruncatedNormal(None, 0.0, 1.0, -40.0), -40.1, -0.3154965194351007),
    "gamma": (dist.Truncated(dist.Gamma(1.0, 2.0), 60.0), 61.0, np.log(2) - 2),
    "Poisson": (dist.Truncated(dist.Poisson(0.1), 60), 61, None),
}


@pytest.mark.parametrize("name", FAR)
def test_truncation_far_out(name):
    d, value, expected = FAR[name]
    if expected is not None:
        np.testing.assert_allclose(d.log_prob(value), expected, rtol=1e-9)
    draws = d.sample(jax.random.key(0), (1000,))
    assert np.all(np.isfinite(d.log_prob(draws)))
    if not d.is_discrete:
        np.testing.assert_allclose(d.cdf(d.icdf(jnp.array([0.1, 0.5, 0.9]))), [0.1, 0.5, 0.9], rtol=1e-7)


# Densities at a probability of zero; the slope there, from the right, is known.
ROUNDED = {
    "Binomial": (lambda p: dist.Binomial(5, p).log_prob(0), -5.0),
    "Binomial at one": (lambda p: dist.Binomial(5, 1 - p).log_prob(5), -5.0),
    "Geometric": (lambda p: dist.Geometric(1 - p).log_prob(0), -1.0),
    "NegativeBinomial": (lambda p: dist.NegativeBinomial(2.0, 1 - p).log_prob(0), -2.0),
    "Multinomial": (lambda p: dist.Multinomial(5, probs=jnp.stack([p, 1 - p])).log_prob(jnp.array([0, 5])), -5.0),
    "Categorical": (lambda p: dist.Categorical(probs=jnp.stack([p, 1 - p])).log_prob(1), -1.0),
    "ZeroInflatedPoisson": (lambda p: dist.ZeroInflatedPoisson(p, 2.0).log_prob(0), np.exp(2.0) - 1),
    "ZeroInflatedPoisson counted": (lambda p: dist.ZeroInflatedPoisson(p, 2.0).log_prob(1), -1.0),
    "ZeroInflatedPoisson closed": (lambda p: dist.ZeroInflatedPoisson(1 - p, 2.0).log_prob(0), np.exp(-2.0) - 1),
    "Hurdle": (lambda p: dist.HurdlePoisson(p, 2.0).log_prob(0), -1.0),
    "Hurdle passed": (lambda p: dist.HurdlePoisson(1 - p, 2.0).log_prob(2), -1.0),
    "Mixture": (
        lambda p: dist.Mixture(jnp.stack([p, 1 - p]), dist.Normal(jnp.array([0.0, 1.0]), 1.0)).log_prob(0.5),
        0.0,
    ),
    "NormalMixture": (
        lambda p: dist.NormalMixture(jnp.stack([p, 1 - p]), [0.0, 1.0], [1.0, 1.0]).log_prob(1.0),
        np.exp(-0.5) - 1,
    ),
}


@pytest.mark.parametrize("name", ROUNDED)
def test_slopes_at_a_probability_of_zero(name):
    density, slope = ROUNDED[name]
    assert np.isfinite(density(0.0))
    np.testing.assert_allclose(jax.grad(density)(0.0), slope, rtol=1e-12, atol=1e-12)


COUNTED = {
    "Categorical": (dist.CategoricalProbs(np.full(300, 1 / 300)), [5, 200]),
    "Binomial": (dist.Binomial(300, 0.3), [3, 200]),
    "Poisson": (dist.Poisson(3.0), [3, 0]),
    "DiscreteUniform": (dist.DiscreteUniform(-2, 5), [0, 5]),
    "GeometricTrials": (dist.GeometricTrials(0.3), [0, 1]),
    "Multinomial": (dist.Multinomial(400, probs=[0.5, 0.5]), [200, 200]),
    "HurdlePoisson": (dist.HurdlePoisson(0.5, 1.0), [0, 2]),
}


@pytest.mark.parametrize("name", COUNTED)
def test_counts_in_bytes(name):
    d, values = COUNTED[name]
    np.testing.assert_array_equal(d.log_prob(np.array(values, np.uint8)), d.log_prob(np.array(values)))


@pytest.mark.parametrize(
    "d", [dist.Beta(2.0, 3.0), dist.LogitNormal(0.0, 1.0), dist.Gamma(2.0, 1.0), dist.Normal(0.0, 1.0)], ids=repr
)
def test_whole_numbers_on_a_line(d):
    for value in (0, 1, 5):
        value_and_slope = jax.value_and_grad(lambda d, x=value: d.log_prob(x))
        np.testing.assert_array_equal(value_and_slope(d)[0], d.log_prob(float(value)))
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(jax.grad(lambda d: d.log_prob(5))(d)))
        np.testing.assert_array_equal(d.cdf(value), d.cdf(float(value)))
    np.testing.assert_array_equal(d.icdf(0), d.icdf(0.0))


def test_missing_values_under_a_mask():
    d = dist.Normal(0.0, jnp.ones(3)).mask(jnp.array([True, False, True])).to_event(1)
    np.testing.assert_allclose(d.log_prob(jnp.array([0.0, jnp.nan, 0.0])), 2 * dist.Normal().log_prob(0.0))


def test_mixtures_of_events_supports_and_large_numbers():
    boxes = dist.Uniform(jnp.zeros((2, 3)), jnp.ones((2, 3))).to_event(1)
    assert dist.Mixture([0.5, 0.5], boxes).log_prob(jnp.full(3, 0.5)).shape == ()
    far = dist.Mixture([0.5, 0.5], dist.Normal(jnp.array([1e9, 1e9]), 1.0))
    np.testing.assert_allclose(far.variance, 1.0)
    starts = jnp.arange(50.0)
    moved = starts.at[25].set(100.0)  # written short, both read alike
    d = dist.Mixture([0.5, 0.5], [dist.Uniform(starts, starts + 1), dist.Uniform(moved, moved + 1)])
    assert np.all(np.isfinite(d.log_prob(moved + 0.5)))
    gap = dist.Mixture([0.5, 0.5], [dist.Uniform(0.0, 1.0), dist.Uniform(2.0, 3.0)])
    np.testing.assert_allclose(gap.cdf(jnp.array([-1.0, 1.5, 4.0])), [0.0, 0.5, 1.0])


def test_transforms_from_outside_the_base():
    d = dist.TransformedDistribution(dist.Exponential(1.0), transforms.AffineTransform(3.0, 2.0))
    assert d.log_prob(1.0) == -jnp.inf
    bare = dist.TransformedDistribution(dist.Normal(jnp.zeros(3), 1.0).to_event(1), [])
    np.testing.assert_allclose(bare.log_prob(jnp.zeros(3)), 3 * dist.Normal().log_prob(0.0))
    np.testing.assert_allclose(
        transforms.AffineTransform(0.0, jnp.full(3, 2.0)).log_abs_det_jacobian(0.5, 1.0), np.log(2)
    )


def test_incomplete_beta_in_all_arguments():
    random = np.random.default_rng(4)
    a, b = np.exp(random.uniform(-3, 6, (2, 200)))
    x = np.clip(random.beta(a, b), 1e-300, 1 - 1e-15)
    np.testing.assert_allclose(betainc(a, b, x), special.betainc(a, b, x), rtol=1e-9)
    slopes = jax.vmap(jax.grad(betainc, argnums=(0, 1)))(a, b, x)

    def slope(f, u):
        h = 1e-4 * u
        return (8 * (f(u + h) - f(u - h)) - (f(u + 2 * h) - f(u - 2 * h))) / (12 * h)

    np.testing.assert_allclose(slopes[0], slope(lambda u: special.betainc(u, b, x), a), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(slopes[1], slope(lambda u: special.betainc(a, u, x), b), rtol=1e-6, atol=1e-9)


MISTAKES = {
    "Wishart": (lambda: dist.Wishart(0.5, jnp.eye(3), True), "concentration must exceed 2"),
    "DiscreteUniform": (lambda: dist.DiscreteUniform(5, 2, validate_args=True), "low=5, high=2"),
    "Truncated": (lambda: dist.Truncated(dist.Normal(), 3.0, 1.0, validate_args=True), "low=3.0, high=1.0"),
    "Censored": (lambda: dist.Censored(dist.Normal(), 3.0, 1.0, validate_args=True), "low=3.0, high=1.0"),
    "TruncatedNormal": (lambda: dist.TruncatedNormal(3.0, 0.0, 1.0, 1.0, validate_args=True), "high must be greater"),
    "Triangular": (lambda: dist.Triangular(0.0, 5.0, 1.0, validate_args=True), "peak must lie between"),
    "HyperGeometric": (lambda: dist.HyperGeometric(5, 10, 3, validate_args=True), "marked=10, population=5"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_parameters_that_do_not_go_together(name):
    make, told = MISTAKES[name]
    with pytest.raises(SupportError, match=told):
        make()


MISFITS = {
    "Interpolated": lambda: dist.Interpolated([0.0, 1.0, 2.0], [0.0, 1.0]),
    "LowRankMultivariateNormal": lambda: dist.LowRankMultivariateNormal(jnp.zeros(3), jnp.ones((2, 1)), jnp.ones(2)),
    "MultivariateStudentT": lambda: dist.MultivariateStudentT(3.0, jnp.zeros(3), jnp.eye(2)),
    "MatrixNormal": lambda: dist.MatrixNormal(jnp.zeros((2, 3)), jnp.eye(3), jnp.eye(3)),
    "NormalMixture": lambda: dist.NormalMixture([0.5, 0.5], [0.0, 1.0, 2.0], [1.0, 1.0, 1.0]),
}


@pytest.mark.parametrize("name", MISFITS)
def test_lengths_that_do_not_go_together(name):
    with pytest.raises(ShapeError, match=rf"{name}: lengths of parameters do not fit together: .* \d, .* \d"):
        MISFITS[name]()


@pytest.mark.parametrize(
    ("low", "high", "reach"),
    [(0.5, None, (0.5, 40.0)), (None, -2.0, (-40.0, -2.0)), (40.0, None, (40.0, 43.0)), (-np.inf, np.inf, (-40, 40))],
)
def test_entropy_of_what_a_bound_leaves(low, high, reach):
    d = dist.TruncatedNormal(jnp.asarray(low) if low == -np.inf else low, 0.3, 2.0 if low != 40.0 else 1.0, high)
    log_prob = jax.jit(lambda x: d.log_prob(x))
    surprise = integrate.quad(lambda x: -float(log_prob(x) * jnp.exp(log_prob(x))), *reach, epsabs=1e-12, limit=200)[0]
    np.testing.assert_allclose(d.entropy(), surprise, rtol=1e-8, atol=1e-10)
    assert np.all(np.isfinite(d.variance))


ENTROPIES = {
    "MultivariateStudentT": lambda v: dist.MultivariateStudentT(v, jnp.zeros(2), jnp.eye(2) * v[..., None, None]),
    "CAR": lambda v: dist.CAR(jnp.zeros(3), 1.0 - np.eye(3), v / 9, v),
    "Wishart": lambda v: dist.Wishart(v, jnp.eye(2) * v[..., None, None]),
    "TruncatedNormal": lambda v: dist.TruncatedNormal(v - 2, 0.0, v),
    "Chi2": lambda v: dist.Chi2(v),
}


@pytest.mark.parametrize("name", ENTROPIES)
def test_entropies_of_batches_are_those_of_draws(name):
    v = jnp.array([3.0, 5.5])
    d = ENTROPIES[name](v)
    entropy = d.entropy()
    assert entropy.shape == (2,)
    np.testing.assert_allclose(entropy, jnp.stack([ENTROPIES[name](u).entropy() for u in v]), rtol=1e-12)
    assert_mean(-d.log_prob(d.sample(jax.random.key(2), (20_000,))), entropy)


APART = {
    "Normal": (lambda: dist.Normal(jnp.zeros(2), jnp.ones(3)), r"loc \(2,\), scale \(3,\)"),
    "StudentT": (lambda: dist.StudentT(jnp.ones(2), 0.0, jnp.ones(3)), r"df \(2,\), loc \(\), scale \(3,\)"),
    "TruncatedNormal": (lambda: dist.TruncatedNormal(jnp.ones(2), jnp.ones(3)), r"low \(2,\), loc \(3,\)"),
    "Chi-squared": (lambda: dist.Gamma(jnp.ones(2), jnp.ones(3)).to_event(1), r"Gamma: .* rate \(3,\)"),
    "Truncated": (lambda: dist.Truncated(dist.Normal(jnp.ones(3)), jnp.ones(2)), r"of batch shape \(3,\), low \(2,\)"),
    "Masked": (lambda: dist.Normal(jnp.ones(3)).mask(jnp.ones(2, bool)), r"batch shape \(3,\), kept \(2,\)"),
    "MultivariateNormal": (
        lambda: dist.MultivariateNormal(jnp.zeros((2, 3)), jnp.stack([jnp.eye(3)] * 4)),
        r"loc \(2, 3\), covariance_matrix \(4, 3, 3\)",
    ),
    "ZeroInflated": (
        lambda: dist.ZeroInflatedPoisson(jnp.full(2, 0.5), jnp.ones(3)),
        r"gate \(2,\), rate \(3,\)",
    ),
    "Binomial": (lambda: dist.Binomial(jnp.array([1, 2]), jnp.full(3, 0.5)), r"probs \(3,\), total_count \(2,\)"),
    "Delta": (lambda: dist.Delta(jnp.ones(2), jnp.ones(3)), r"value \(2,\), log_density \(3,\)"),
}


@pytest.mark.parametrize("name", APART)
def test_parameters_that_do_not_broadcast(name):
    make, told = APART[name]
    for validate in (False, True):
        with validation_enabled(validate), pytest.raises(ShapeError, match=told) as raised:
            make()
        assert "parameters do not broadcast together" in str(raised.value)


def test_where_a_pole_meets_a_zero():
    d = dist.Dirichlet([0.5, 2.0, 3.0])
    assert d.log_prob(jnp.array([0.0, 0.0, 1.0])) == -np.inf
    assert d.log_prob(jnp.array([0.0, 0.4, 0.6])) == np.inf  # a pole alone is one
    assert d.log_prob(jnp.array([0.4, 0.0, 0.6])) == -np.inf
    assert np.isnan(dist.Dirichlet([jnp.nan, 1.0]).log_prob(jnp.array([0.5, 0.5])))
    assert dist.StickBreakingWeights(1.5, 2).log_prob(jnp.array([1.0, 0.0, 0.0])) == -np.inf
    assert dist.StickBreakingWeights(0.5, 2).log_prob(jnp.array([1.0, 0.0, 0.0])) == np.inf


def test_discrete_weibull_at_both_ends():
    values = jnp.array([0, 1, 5])
    for end, expected in ((0.0, [0.0, -np.inf, -np.inf]), (1.0, [-np.inf] * 3)):
        np.testing.assert_array_equal(dist.DiscreteWeibull(end, 1.5).log_prob(values), expected)
    for slope in jax.vmap(jax.grad(lambda q, b, k: dist.DiscreteWeibull(q, b).log_prob(k), (0, 1)), (None, None, 0))(
        1.0, 1.5, values
    ):
        assert np.all(np.isfinite(slope))


def test_infinite_bounds_are_no_bounds():
    d = dist.Truncated(dist.Normal(), jnp.array([-jnp.inf, 0.0]), jnp.array([jnp.inf, jnp.inf]), validate_args=True)
    np.testing.assert_allclose(d.log_prob(0.5), dist.Normal().log_prob(0.5) + jnp.array([0.0, np.log(2)]))
    assert constraints.real(d.sample(jax.random.key(0), (100,))).all()
