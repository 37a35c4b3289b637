"""Metrics learnt between calls from a window of draws and gradients, and how far from normal a posterior is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyrox as px
from pyrox.samplers.adaptation import DualAveraging, Moment
from pyrox.samplers.chain import Phase, renew
from pyrox.samplers.compile import ChainProgram, stack
from pyrox.samplers.directions import (
    WINDOW,
    empty_window,
    estimate,
    last_renewal,
    record,
    schedule_next,
)
from pyrox.samplers.hamiltonian import NUTS
from pyrox.samplers.kernel import Info, State, init
from pyrox.samplers.metrics import DenseMetric, LowRankMetric, RankOneMetric
from pyrox.samplers.recipe import STANDARD, Recipe

COLUMN = {name: i for i, name in enumerate(Info._fields)}
DIM = 4
ROOT = np.array([[0.05, 0, 0, 0], [0.8, 0.3, 0, 0], [-2.0, 4.0, 3.0, 0], [0.0, 5.0, -9.0, 20.0]])
COVARIANCE = ROOT @ ROOT.T
PRECISION = jnp.array(np.linalg.inv(COVARIANCE))


def correlated(position, data):
    return -0.5 * (position - data) @ (PRECISION @ (position - data))


def window_of(draws, gradients):
    """Give a window that has seen these draws."""
    window = empty_window(WINDOW, jnp.zeros(draws.shape[1]), 1000)
    step = jax.jit(lambda window, x, g: record(window, State(x, 0.0, g), jnp.ones((), bool)))
    for x, g in zip(draws, gradients, strict=True):
        window = step(window, x, g)
    return window


def in_numpy(tree):
    return jax.tree.map(np.asarray, tree)


def test_directions_are_those_of_the_posterior():
    dim, rank = 60, 3
    rng = np.random.default_rng(1)
    directions, _ = np.linalg.qr(rng.normal(size=(dim, rank)))
    covariance = np.eye(dim) + directions @ np.diag([400.0, 100.0, 50.0]) @ directions.T
    draws = rng.multivariate_normal(np.zeros(dim), covariance, size=2 * WINDOW)
    gradients = -np.linalg.solve(covariance, draws.T).T
    window = empty_window(WINDOW, jnp.zeros(dim), 1000)
    for x, g in zip(draws, gradients, strict=True):
        window = record(window, State(x, 0.0, g), jnp.ones((), bool))
    for seen in (window, in_numpy(window)):
        *factors, misfit = estimate(seen)
        metric = LowRankMetric.unit(jnp.zeros(dim)).with_directions(*factors)
        assert misfit < 1.25, "the posterior is normal"
        whitened = np.asarray(metric.mass_sqrt).T @ covariance @ np.asarray(metric.mass_sqrt)
        assert np.linalg.cond(whitened) < 3
    assert np.linalg.cond(covariance / np.outer(*2 * [np.sqrt(np.diag(covariance))])) > 50, "a diagonal would not do"


@pytest.mark.parametrize("name", ["low_rank", "dense"])
def test_chunks_do_not_change_a_bit_where_a_chain_pauses(name):
    program = ChainProgram(correlated, DIM, jnp.zeros(DIM), recipe=Recipe(adaptation=name))
    ends = []
    for chunks in ([400], [10] * 40, [1, 9, 10, 100, 280]):
        chain = program.start(np.array([0, 3], np.uint32), np.ones(DIM), 300, 0.8)
        pieces = []
        for n in chunks:
            chain, draws, _ = program.advance(chain, jnp.zeros(DIM), n)
            assert len(draws) == n
            pieces.append(draws)
        ends.append(np.concatenate(pieces))
    np.testing.assert_array_equal(ends[0], ends[1])
    np.testing.assert_array_equal(ends[0], ends[2])


def test_lanes_pause_together():
    recipe = Recipe(adaptation="low_rank")
    program = ChainProgram(correlated, DIM, jnp.zeros(DIM), recipe=recipe, lanes=2)
    each = [program.start(np.array([0, i], np.uint32), np.ones(DIM), 200, 0.8) for i in range(2)]
    chain, draws, _ = program.advance(stack(program.evaluate(each, jnp.zeros(DIM))), jnp.zeros(DIM), 300)
    assert draws.shape == (2, 300, DIM)
    assert np.all(chain.iteration == 300)
    assert np.abs(np.log(chain.kernel.metric.stretch)).max() > 0.5, "directions were learnt"


def test_a_metric_renewed_forgets_no_divergence():
    recipe, data = Recipe(adaptation="low_rank"), jnp.zeros(())
    program = ChainProgram(lambda q, _: -0.5 * jnp.sum(q**2), DIM, data, recipe=recipe)
    chain = program.start(np.array([0, 1], np.uint32), np.zeros(DIM), 300, 0.8)
    chain, _, _ = program.advance(chain, data, 12)
    assert chain.phase == Phase.RENEW
    assert chain.adapters[-1].count == 12
    met = (*chain.adapters[:-1], chain.adapters[-1]._replace(divergences=np.array(7.0)))
    chain = renew(chain._replace(adapters=met))
    assert chain.window.renewed
    chain, _, _ = program.advance(chain, data, 1)
    assert not chain.window.renewed
    assert chain.adapters[-1].divergences == 7
    assert chain.adapters[-1].count == 0, "the averaging starts anew"


def test_numpy_and_jax_estimate_the_same():
    rng = np.random.default_rng(2)
    draws = rng.normal(size=(WINDOW, DIM)) @ ROOT.T
    window = window_of(draws, -np.linalg.solve(COVARIANCE, draws.T).T)
    ours, jaxs = estimate(in_numpy(window)), estimate(window)
    assert all(isinstance(x, np.ndarray | np.generic) for x in ours)
    assert all(isinstance(x, jax.Array) for x in jaxs)
    for factors in (ours[:3], jaxs[:3]):
        metric = DenseMetric.unit(np.zeros(DIM)).with_directions(*factors)
        np.testing.assert_allclose(metric.inverse_mass, COVARIANCE, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(ours[3], jaxs[3], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_estimate_has_the_type_of_its_draws(dtype):
    draws = np.random.default_rng(5).normal(size=(40, DIM))
    window = in_numpy(window_of(draws, -draws))
    window = window._replace(draws=window.draws.astype(dtype), gradients=window.gradients.astype(dtype))
    assert {x.dtype for x in estimate(window)} == {np.dtype(dtype)}


def test_a_misfit_tells_a_funnel_from_what_is_normal():
    rng = np.random.default_rng(3)
    scale = np.array([0.1, 10.0, 1.0, 3.0])
    draws = rng.normal(size=(2 * WINDOW, DIM)) * scale
    *_, normal = estimate(in_numpy(window_of(draws, -draws / scale**2)))
    v = rng.normal(size=2 * WINDOW)
    x = rng.normal(size=2 * WINDOW) * np.exp(v)
    gradients = np.stack([-v - 1 + x**2 * np.exp(-2 * v), -x * np.exp(-2 * v)], 1)
    *_, funnel = estimate(in_numpy(window_of(np.stack([v, x], 1), gradients)))
    assert 1 <= normal < 1.25
    assert funnel > 2


@pytest.mark.parametrize(
    ("num_warmup", "renewals"),
    [(1000, [12, 36, 108, 500]), (500, [12, 36, 108, 250]), (200, [12, 36, 100]), (20, [6, 10]), (0, [0])],
)
def test_renewals_end_half_way(num_warmup, renewals):
    window, met = in_numpy(empty_window(WINDOW, jnp.zeros(DIM), num_warmup)), []
    while window.renewal <= last_renewal(np.int32(num_warmup)):
        met.append(int(window.renewal))
        window = schedule_next(window, np.int32(num_warmup))
    assert met == renewals


@pytest.mark.parametrize(
    ("misfit", "asked", "target", "careful"),
    [
        (1.0, (0.8, 0.9), 0.8, 0.0),
        (1.25, (0.8, 0.9), 0.8, 0.0),
        (1.25 * 2**0.25, (0.8, 0.9), 0.9, 0.02),
        (10.0, (0.8, 0.9), 0.95, 0.04 * (1 - 0.125**4)),
        (10.0, (0.8, 0.8), 0.8, 0.04 * (1 - 0.125**4)),
    ],
)
def test_far_from_normal_steps_are_shorter(misfit, asked, target, careful):
    adapter, kernel = DualAveraging(jnp.array(asked)), Recipe().kernel(jnp.zeros(2))
    mine, kernel = adapter.start(kernel, init(jnp.zeros(2)))
    info = Info(**{name: jnp.zeros(()) for name in Info._fields})._replace(acceptance_rate=jnp.array(0.5))
    no = jnp.array(False)
    moment = Moment(jnp.int32(99), jnp.int32(100), init(jnp.zeros(2)), info, ~no, no, jnp.array(misfit))
    mine, kernel, _ = adapter.update(mine, kernel, moment)
    np.testing.assert_allclose(mine.error_sum, (target - 0.5) / (1 + adapter.t0), rtol=1e-6)
    np.testing.assert_allclose(kernel.careful, careful, rtol=1e-6)


@pytest.mark.parametrize(("count", "known"), [(0, False), (4, False), (5, True)])
def test_a_few_draws_leave_the_metric_as_it_is(count, known):
    program = ChainProgram(correlated, DIM, jnp.zeros(DIM), recipe=Recipe(adaptation="dense"))
    chain = program.start(np.array([0, 1], np.uint32), np.ones(DIM), 300, 0.8)
    chain, _, _ = program.advance(chain, jnp.zeros(DIM), 12)
    renewed = renew(chain._replace(window=chain.window._replace(count=np.int32(count))))
    assert renewed.window.renewed == known
    assert renewed.phase == Phase.TRANSITION
    same = np.array_equal(renewed.kernel.metric.inverse_mass, chain.kernel.metric.inverse_mass)
    assert same != known


@pytest.mark.parametrize("namespace", [np, jnp])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_a_window_without_numbers_tells_nothing(namespace, bad):
    draws = np.random.default_rng(6).normal(size=(50, DIM))
    draws[-1] = bad
    window = jax.tree.map(namespace.asarray, window_of(draws, -draws))
    with np.errstate(all="ignore"):
        *_, stretch, _ = estimate(window)
    np.testing.assert_allclose(stretch, 1.0)


@pytest.mark.parametrize("adaptation", ["auto", "rank_one", "low_rank"])
def test_gradients_that_do_not_vary_make_nothing_endless(adaptation):
    with px.Model() as model:
        px.Laplace("x", 0, 1, shape=5)
    for seed in range(3):
        run = px.sample(tune=500, model=model, adaptation=adaptation, random_seed=seed, quiet=True)
        rhat, ess = px.diagnostics.rank_rhat_and_ess(run["posterior"]["x"].values)
        assert rhat.max() < 1.05
        assert ess.min() > 500


def test_steps_of_normal_posteriors_are_as_long_as_asked():
    """By chance alone, no posterior of so many dimensions seems far from normal."""
    dim = 60
    program = ChainProgram(lambda q, _: -0.5 * jnp.sum(q**2), dim, (), recipe=STANDARD)
    misfits = []
    for seed in range(10):
        chain = program.start(np.array([0, seed], np.uint32), np.ones(dim), 500, (0.8, 0.9))
        chain, _, _ = program.advance(chain, (), 500)
        misfits.append(float(chain.window.misfit))
    assert np.median(misfits) < 1.25
    assert max(misfits) < 1.5


def test_a_sampler_decides_for_each_target_anew():
    kernel = NUTS(potential_fn=lambda x: 0.5 * jnp.sum(x**2), adaptation="auto")
    for dim, metric in ((3, DenseMetric), (70, RankOneMetric), (2, DenseMetric)):
        state = kernel.init(jax.random.key(0), 10, init_params=jnp.ones(dim))
        assert isinstance(kernel.sample(state).adapt_state.chain.kernel.metric, metric)


def test_what_is_learnt_is_decided_before_a_kernel_is_made():
    with pytest.raises(ValueError, match="resolve"):
        STANDARD.kernel(np.ones(2))
    with pytest.raises(ValueError, match=r"adaptation is one of 'auto', .*not \['dense'\]"):
        Recipe(adaptation=["dense"])


@pytest.mark.parametrize(("dim", "adaptation"), [(1, "dense"), (64, "dense"), (65, "rank_one")])
def test_the_number_of_dimensions_decides(dim, adaptation):
    assert STANDARD.resolve(dim) == Recipe(adaptation=adaptation)
    assert Recipe(adaptation="stan").resolve(dim) == Recipe(adaptation="stan")


def test_no_correlation_slows_a_regression_down():
    x = np.linspace(0, 10, 100)
    design = np.stack([x**k for k in range(5)], axis=1)
    y = np.sin(x) + 0.2 * np.random.default_rng(4).normal(size=100)
    with px.Model() as model:
        beta = px.Normal("beta", 0, 10, shape=5)
        px.Normal("y", design @ beta, px.HalfNormal("sigma", 1), observed=y)
    effective = {}
    for adaptation in ("auto", "rank_one"):
        run = px.sample(500, tune=500, model=model, nuts={"adaptation": adaptation}, random_seed=1, quiet=True)
        _, ess = px.diagnostics.rank_rhat_and_ess(run["posterior"]["beta"].values)
        effective[adaptation] = ess.min() / run["sample_stats"]["n_steps"].values.sum()
    # About 700 times as many for each gradient.
    assert effective["auto"] > 50 * effective["rank_one"]
