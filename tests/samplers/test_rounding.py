"""A rounded gradient between the points of trajectories: the posterior stays as it is, and no harm is done."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxpr_as_fun
from scipy import stats

import pyrox as px
from pyrox.samplers import DiagonalMetric, NUTSKernel, State
from pyrox.samplers.chain import Phase
from pyrox.samplers.compile import as_kernel
from pyrox.samplers.passes.hoist import Hoisted
from pyrox.samplers.passes.rewrite import unsupported
from pyrox.samplers.passes.single import flag_single_precision
from pyrox.samplers.recipe import Recipe
from pyrox.target import target_of

ROWS, COLUMNS = 900, 40
RNG = np.random.default_rng(6)
X, OTHER = RNG.normal(size=(2, ROWS, COLUMNS))
BINARY, COUNTS = RNG.random(ROWS) < 0.4, RNG.poisson(2.0, ROWS)
POSITION = RNG.normal(size=COLUMNS) / 5


def _sum(d, y):
    return jnp.sum(d.log_prob(y))


ROUNDED = {
    "logistic": lambda b: _sum(px.dist.Bernoulli(logits=X @ b), BINARY),
    "the vector first": lambda b: _sum(px.dist.Poisson(jnp.exp(b @ X.T)), COUNTS),
    "two matrices": lambda b: _sum(px.dist.Normal(X @ b, jnp.exp(OTHER @ b / 9)), COUNTS),
    "whole numbers": lambda b: _sum(px.dist.Bernoulli(logits=jnp.asarray(X > 0) @ b), BINARY),
    "a small one besides": lambda b: _sum(px.dist.Bernoulli(logits=X @ b), BINARY) - jnp.sum((X[:60] @ b) ** 2),
}
LEFT = {
    "no matrix": lambda b: -jnp.sum(b**2),
    "a small matrix": lambda b: _sum(px.dist.Bernoulli(logits=X[:200] @ b), BINARY[:200]),
    "single precision already": lambda b: _sum(px.dist.Bernoulli(logits=jnp.float32(X) @ jnp.float32(b)), BINARY),
    "a matrix that varies": lambda b: jnp.sum(jnp.tanh((X * b) @ jnp.ones(COLUMNS))),
    "a vector that does not": lambda b: jnp.sum(b) * jnp.sum(jnp.asarray(X) @ jnp.ones(COLUMNS)),
}


def traced(log_density):
    return as_kernel(jax.make_jaxpr(jax.value_and_grad(log_density))(POSITION))


@pytest.mark.parametrize("name", ROUNDED)
def test_a_flag_asks_for_nearly_the_same_numbers(name):
    original = traced(ROUNDED[name])
    flagged = flag_single_precision(original)
    assert not unsupported(flagged)
    value, grad = jaxpr_as_fun(original)(POSITION)
    hoisted = Hoisted(flagged, varying=2)
    for ours in (jaxpr_as_fun(flagged), lambda *args: hoisted(hoisted.prepare(), *args)):
        for mine, theirs in zip(ours(POSITION, False), (value, grad), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-13)
        _, rounded = ours(POSITION, True)
        assert rounded.dtype == grad.dtype
        assert not np.array_equal(rounded, grad)
        np.testing.assert_allclose(rounded, grad, rtol=1e-5, atol=1e-5 * np.abs(grad).max())


def test_a_matrix_is_rounded_once_a_run():
    hoisted = Hoisted(flag_single_precision(traced(ROUNDED["logistic"])), varying=2)
    assert sorted(str(x.dtype) for x in hoisted.prepare() if x.ndim == 2) == ["float32", "float64"]


@pytest.mark.parametrize("name", LEFT)
def test_none_where_no_large_matrix_of_doubles_is(name):
    assert flag_single_precision(traced(LEFT[name])) is None


def test_the_posterior_is_exact_with_a_rough_gradient():
    # One that is wrong by a tenth or so, and not the gradient of anything.
    scale = jnp.array([1.0, 2.0, 0.5])

    def density(q):
        return -0.5 * jnp.sum((q / scale) ** 2) - 0.1 * jnp.sum(q**4)

    def value_and_grad(q, rough=False):
        value, grad = jax.value_and_grad(density)(q)
        return value, jnp.where(rough, 0.9 * grad + 0.1 * jnp.sin(3 * jnp.roll(q, 1)), grad)

    chains, draws = 400, 60
    kernel = NUTSKernel(
        jnp.array(0.15),
        DiagonalMetric(scale**2),
        6,
        trajectory_length=jnp.array(1.5),
        rounded=jnp.int32(1),
        strides=True,
        mixed=True,
        rounding=True,
    )

    def run(key, q):
        def step(state, key):
            state, info = kernel.step(key, state, value_and_grad, jnp.int32(6))
            return state, (state.position, info.acceptance_rate, info.n_steps)

        return jax.lax.scan(step, State(q, *value_and_grad(q)), jax.random.split(key, draws))[1]

    def exact(number):
        # By rejection from the normal part.
        q = RNG.normal(size=(20 * number, 3)) * np.asarray(scale)
        return q[np.log(RNG.random(len(q))) < -0.1 * np.sum(q**4, 1)][:number]

    starts = exact(chains)
    positions, acceptance, steps = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(1), chains), starts)
    assert acceptance.mean() < 0.95  # it is noticed
    assert steps.mean() > 3
    reference = exact(20_000)
    for i in range(3):
        for f in (np.asarray, np.abs):
            # Chains begin in the posterior, and must stay there; one draw of each is independent of the others'.
            assert stats.ks_2samp(f(positions[:, -1, i]), f(reference[:, i])).pvalue > 1e-4
        ours, theirs = positions[:, :, i] ** 2, reference[:, i] ** 2
        error = np.hypot(ours.mean(1).std() / np.sqrt(chains), theirs.std() / np.sqrt(len(theirs)))
        assert abs(ours.mean() - theirs.mean()) < 4 * error


def regression(columns=X, outcome=BINARY):
    with px.Model() as model:
        beta = px.Normal("beta", 0.0, 1.0, shape=columns.shape[1])
        px.Bernoulli("y", logit_p=px.math.dot(columns, beta), observed=outcome)
    return model


def program_of(model, **options):
    target = target_of(model)
    return target, target.chain_program(target.data, **options)


def sampled(model):
    return px.sample(
        200, tune=300, chains=2, random_seed=2, model=model, progressbar=False, compute_convergence_checks=False
    )


@pytest.mark.native
def test_a_regression_uses_it():
    target, program = program_of(regression())
    assert program.native
    assert program.recipe.rounding
    chain = program.start(np.array([0, 5], np.uint32), POSITION, 0, 0.8)
    length = {"step_size": np.array(0.02), "trajectory_length": np.array(0.4)}
    begun = program.evaluate([chain], target.data)[0]
    draws = {}
    for rounded in (1, 0):
        kernel = begun.kernel.replace(**length, rounded=np.int32(rounded))
        ready = begun._replace(phase=np.int32(Phase.TRANSITION), kernel=kernel)
        draws[rounded] = program.advance(ready, target.data, 5)[1]
    assert not np.array_equal(draws[1], draws[0])
    np.testing.assert_allclose(draws[1], draws[0], rtol=1e-4, atol=1e-5)


@pytest.mark.native
def test_warm_up_keeps_what_serves_it():
    whole = sampled(regression())
    assert (whole["sampler_state"]["kernel.rounded"] == 1).all()
    assert whole["sample_stats"]["acceptance_rate"].mean() > 0.75


@pytest.mark.native
@pytest.mark.parametrize("repeats", [1, 2])
def test_comparisons_leave_the_chain_where_it_is(repeats):
    target, program = program_of(regression())
    chain = program.start(np.array([0, 5], np.uint32), POSITION, 50, 0.8)
    chain, draws, _ = program.advance(chain, target.data, 11)
    chain = chain._replace(kernel=chain.kernel.replace(repeats=np.int32(repeats), rounded=np.int32(0)))
    assert chain.phase == Phase.COMPARE
    np.testing.assert_array_equal(chain.state.position, draws[-1])
    after, more, _ = program.advance(chain, target.data, 1)
    assert (len(more), after.iteration, after.phase) == (1, 12, Phase.RENEW)
    assert after.kernel.rounded == 1
    known = jax.value_and_grad(target.density)(jnp.asarray(after.state.position), target.data)
    np.testing.assert_allclose(after.state.log_density, known[0], rtol=1e-12)
    np.testing.assert_allclose(after.state.gradient, known[1], rtol=1e-9, atol=1e-9)


def years(first):
    """Make a regression on years, whose intercept lies in the middle of them."""
    t = first + np.linspace(0, 1, ROWS)
    columns = np.column_stack([np.ones(ROWS), t, RNG.normal(size=(ROWS, COLUMNS - 2))])
    with px.Model() as model:
        level = px.Normal("level", 0.0, 5.0)
        slope = px.Normal("slope", 0.0, 1.0)
        rest = px.Normal("rest", 0.0, 1.0, shape=COLUMNS - 2)
        beta = px.math.concatenate([px.math.stack([level - slope * t.mean(), slope]), rest])
        px.StudentT("y", 4.0, px.math.dot(columns, beta), 0.1, observed=0.1 * RNG.normal(size=ROWS))
    return model


@pytest.mark.native
@pytest.mark.parametrize(("first", "serves"), [(20.0, 1), (1.7e9, 0)])
def test_warm_up_does_without_where_large_numbers_cancel(first, serves):
    # What two rows differ by is lost in single precision if years are counted in seconds.
    model = years(first)
    assert program_of(model)[1].recipe.rounding
    idata = sampled(model)
    assert (idata["sampler_state"]["kernel.rounded"] == serves).all()
    assert idata["sample_stats"]["acceptance_rate"].mean() > 0.7
    assert idata["posterior"]["slope"].std() < 0.05


@pytest.mark.native
def test_the_explanation_tells_of_it():
    assert px.explain_compilation(regression()).rounded
    assert "single precision" in str(px.explain_compilation(regression()))
    assert not px.explain_compilation(regression(X[:200], BINARY[:200])).rounded


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (Recipe(), True),
        (Recipe(strides=False), True),
        (Recipe(mixed=False), True),
        (Recipe(mixed=False, strides=False), False),
        (Recipe("hmc"), False),
        (Recipe(adaptation="stan"), False),
        (Recipe(adaptation=None), False),
    ],
)
def test_the_recipes_that_use_it(recipe, expected):
    _, program = program_of(regression(), recipe=recipe)
    assert program.recipe.rounding == expected


@pytest.mark.parametrize("options", [{"lanes": 2}, {"fused": False}])
def test_programs_that_are_no_native_kernels_do_without(options):
    _, program = program_of(regression(), **options)
    assert not program.recipe.rounding


@pytest.mark.native
def test_a_chain_that_is_about_to_compare_goes_on_without_a_kernel_of_its_own():
    target, program = program_of(regression())
    chain = program.start(np.array([0, 5], np.uint32), POSITION, 50, 0.8)
    chain, _, _ = program.advance(chain, target.data, 11)
    assert chain.phase == Phase.COMPARE
    _, other = program_of(regression(), fused=False)
    chain, draws, _ = other.advance(chain, target.data, 10)
    assert len(draws) == 10
    assert chain.iteration == 21


def test_few_dimensions_have_no_points_between_without_lengths():
    assert Recipe(mixed=False).passes_points(8)
    assert not Recipe(mixed=False).passes_points(4)
    assert Recipe().passes_points(4)
