"""The fitting loop: update and run agree, batches, stopping, failures, interruption, bad input."""

import os
import signal
import threading
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from checks import assert_counts
from jax.example_libraries import stax

import pyrox as px
import pyrox.dist as dist
from pyrox.dist import constraints
from pyrox.errors import ModelError, SamplingError, SupportError
from pyrox.model.primitives import module, param, plate, sample
from pyrox.vi import ELBO, SVI, AutoContinuousELBO, AutoDelta, AutoDiagonalNormal, AutoNormal, optim
from pyrox.vi.loop import FitJob, Position, UpdateLoop

Y = np.array([0.3, 1.2, -0.4, 2.0])


def model(y):
    mu = sample("mu", dist.Normal(0.0, 2.0))
    with plate("row", 4):
        sample("y", dist.Normal(mu, 1.0), obs=y)


def guide(y):
    sample("mu", dist.Normal(param("loc", 0.0), param("scale", 1.0, constraint=constraints.positive)))


def make(**options):
    return SVI(model, guide, options.pop("optim", optim.Adam(0.05)), ELBO(), **options)


def run(svi, steps, *args, seed=0, **options):
    options = {"progress_bar": False, "early_stopping": False, **options}
    return svi.run(jax.random.key(seed), steps, *args, **options)


def test_documented_usage():
    svi = make()
    state = svi.init(jax.random.key(0), Y)
    again, get_params = svi.init(jax.random.key(0), Y)  # the documented pair
    assert get_params(again) == svi.get_params(state)
    assert float(svi.get_params(state)["scale"]) == 1.0
    before = float(svi.evaluate(state, Y))
    state, loss = svi.update(state, Y)
    assert float(loss) == before
    step = jax.jit(svi.update)
    for _ in range(200):
        state, _ = step(state, Y)
    assert float(svi.evaluate(state, Y)) < before
    assert float(svi.get_params(state)["scale"]) > 0


def test_run_makes_the_steps_of_update():
    svi = make()
    result = run(svi, 60, Y)
    state, losses = svi.init(jax.random.key(0), Y), []
    step = jax.jit(svi.update)
    for _ in range(60):
        state, loss = step(state, Y)
        losses.append(float(loss))
    np.testing.assert_allclose(result.losses, losses, rtol=1e-10)


def test_steps_fit_in_scan():
    svi = make()
    state = svi.init(jax.random.key(0), Y)
    state, losses = jax.lax.scan(lambda s, _: svi.update(s, Y), state, None, length=50)
    np.testing.assert_allclose(losses, run(svi, 50, Y).losses, rtol=1e-10)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_pieces_change_nothing(backend, monkeypatch):
    monkeypatch.setattr("jax.default_backend", lambda: backend)

    def losses(pieces):
        optimizer = optim.Adam(0.1)
        loop = UpdateLoop(lambda p, k, d: (p - d) ** 2 + jax.random.normal(k), optimizer, 50)
        start = Position(optimizer.init(jnp.zeros(())), jax.random.key_data(jax.random.key(1)))
        job = FitJob(loop, start, jnp.asarray(3.0), 120, rates=())
        for n in pieces:
            job.advance(n)
        return job.losses, job.best[0]

    whole, odd = losses([50, 50, 20]), losses([1, 7, 30, 40, 2, 17, 23])
    np.testing.assert_array_equal(whole[0], odd[0])
    assert whole[1] == odd[1]


def test_goes_on_from_a_state():
    svi = make()
    first = run(svi, 50, Y)
    later = run(svi, 50, Y, init_state=first.state)
    np.testing.assert_allclose(np.concatenate([first.losses, later.losses]), run(svi, 100, Y).losses, rtol=1e-10)


def test_best_state_is_restored():
    # Steps far too large at the end of a schedule: the parameters of the best block are given back.
    rule = optax.sgd(lambda i: jnp.where(i < 500, 0.05, -0.05))
    result = run(make(optim=rule), 700, Y)
    assert abs(float(result.params["loc"]) - Y.sum() / 4.25) < 0.6
    assert result.losses[-1] > result.losses[400:500].mean() + 1


@pytest.mark.parametrize(
    "optimizer",
    [
        optim.Adam(0.05), optim.ClippedAdam(0.05, clip_norm=5.0), optim.Adagrad(0.5), optim.Momentum(0.01, 0.9),
        optim.RMSProp(0.02), optim.RMSPropMomentum(0.005), optim.SGD(0.05), optim.SM3(0.5), optax.adam(0.05),
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.05)), optim.Adam(lambda i: 0.1 / (1 + 0.01 * i)),
    ],
    ids=lambda o: type(o).__name__,
)  # fmt: skip
def test_optimizers(optimizer):
    result = run(SVI(model, guide, optimizer, ELBO(4, sticking_the_landing=True)), 2000, Y)
    assert abs(float(result.params["loc"]) - Y.sum() / 4.25) < 0.3
    assert abs(float(result.params["scale"]) - 4.25**-0.5) < 0.2


def test_optimizer_on_its_own():
    gradient, rule = {"x": jnp.array([3.0, -4.0])}, optim.RMSPropMomentum(0.1, gamma=0.5, eps=0.0, momentum=0.5)
    state = rule.init({"x": jnp.zeros(2)})
    state = rule.update(gradient, rule.update(gradient, state))
    # v: 1/2 then 3/4 of g^2; steps 0.1 / sqrt(v), the second one with half the first
    expected = -0.1 * (2**0.5 * 1.5 + (4 / 3) ** 0.5) * np.sign([3.0, -4.0])
    np.testing.assert_allclose(rule.get_params(state)["x"], expected)
    adagrad = optim.Adagrad(0.1, momentum=0.0)
    state = adagrad.update(gradient, adagrad.init({"x": jnp.zeros(2)}))
    np.testing.assert_allclose(adagrad.get_params(state)["x"], -0.1 * np.sign([3.0, -4.0]))


def test_no_optimizer():
    with pytest.raises(ModelError, match="optim"):
        make(optim=0.01)


def test_stops_when_the_loss_no_longer_falls():
    result = run(make(), 20_000, Y, early_stopping=True)
    assert result.converged
    assert len(result.losses) < 10_000
    assert not run(make(optim=optim.SGD(1e-6)), 300, Y).converged


def rows_model(x, y):
    beta = sample("beta", dist.Normal(0.0, 1.0).expand((2,)).to_event(1))
    with plate("row", 1000, subsample_size=len(x)):
        sample("y", dist.Normal(x @ beta, 0.5), obs=y)


def rows_data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 2))
    return x, x @ np.array([1.0, -2.0]) + rng.normal(0, 0.5, 1000)


@pytest.mark.parametrize("kind", [tuple, dict])
def test_batches_from_an_iterable(kind):
    x, y = rows_data()
    parts = [(x[i : i + 64], y[i : i + 64]) for i in range(0, 1000, 64)]  # the last one is shorter
    batches = parts if kind is tuple else [{"x": a, "y": b} for a, b in parts]
    guide = AutoDiagonalNormal(rows_model)
    svi = SVI(rows_model, guide, optim.Adam(lambda i: 0.03 * 0.999**i), AutoContinuousELBO())
    result = run(svi, 4000, batches=batches)
    assert len(result.losses) == 4000
    exact = np.linalg.inv(x.T @ x / 0.25 + np.eye(2))
    np.testing.assert_allclose(guide.median(result.params)["beta"], exact @ x.T @ y / 0.25, atol=0.05)
    # The plate scales every batch to the whole: the spread is that of a thousand rows, not of 64.
    np.testing.assert_allclose(result.params["auto_scale"], np.sqrt(np.diag(exact)), rtol=0.35)


def test_batches_read_once_end_the_run():
    x, y = rows_data()
    svi = SVI(rows_model, AutoDiagonalNormal(rows_model), optim.Adam(0.02), ELBO())
    assert len(run(svi, 500, batches=((x[i : i + 10], y[i : i + 10]) for i in range(0, 300, 10))).losses) == 30


def test_errors_of_batches_arrive():
    def broken():
        yield Y[None, :3].T @ np.ones((1, 2)), Y[:3]
        raise OSError("disk")

    svi = SVI(rows_model, AutoDiagonalNormal(rows_model), optim.Adam(0.02), ELBO())
    with pytest.raises(OSError, match="disk"):
        run(svi, 50, batches=broken())
    with pytest.raises(ModelError, match="empty"):
        run(svi, 50, batches=[])
    with pytest.raises(ModelError, match="not both"):
        run(svi, 50, Y, batches=[Y])


def test_subsampling_plate():
    x, y = rows_data()

    def sub(x, y):
        beta = sample("beta", dist.Normal(0.0, 1.0).expand((2,)).to_event(1))
        with plate("row", 1000, subsample_size=50) as index:
            sample("y", dist.Normal(x[index] @ beta, 0.5), obs=y[index])

    guide = AutoNormal(sub)
    result = run(SVI(sub, guide, optim.Adam(0.02), ELBO()), 1500, jnp.asarray(x), jnp.asarray(y))
    np.testing.assert_allclose(guide.median(result.params)["beta"], [1.0, -2.0], atol=0.1)


def test_graph_models_and_new_data():
    with px.Model() as graph:
        value = px.Data("value", Y)
        mu = px.Normal("mu", 0.0, 2.0)
        px.Normal("y", mu, 1.0, observed=value)
    guide = AutoDiagonalNormal(graph)
    svi = SVI(graph, guide, optim.Adam(0.05), ELBO())
    assert abs(float(run(svi, 1000).params["auto_loc"][0]) - Y.sum() / 4.25) < 0.2
    with graph:
        px.model.set_data({"value": Y + 10})
    assert abs(float(run(svi, 2000).params["auto_loc"][0]) - (Y + 10).sum() / 4.25) < 0.3


def autoencoder(x):
    net = module("decoder", stax.serial(stax.Dense(8), stax.Tanh, stax.Dense(6)), (2,))
    with plate("image", len(x)):
        z = sample("z", dist.Normal(0.0, 1.0).expand((2,)).to_event(1))
        sample("x", dist.Bernoulli(logits=net(z)).to_event(1), obs=x)


def encoder(x):
    heads = stax.parallel(stax.Dense(2), stax.serial(stax.Dense(2), stax.Exp))
    net = module("encoder", stax.serial(stax.Dense(8), stax.Tanh, stax.FanOut(2), heads), (6,))
    loc, scale = net(x)
    with plate("image", len(x)):
        sample("z", dist.Normal(loc, scale).to_event(1))


def test_networks_are_trained():
    rng = np.random.default_rng(0)
    images = (np.arange(6) < rng.integers(0, 7, size=(200, 1))).astype(float)
    result = run(SVI(autoencoder, encoder, optim.Adam(0.01), ELBO()), 1500, images)
    assert set(result.params) == {"decoder$params", "encoder$params"}
    # Better than each pixel's own frequency, which knows of no connection between them.
    p = images.mean(axis=0)
    independent = -np.sum(images * np.log(p) + (1 - images) * np.log1p(-p))
    assert result.losses[-100:].mean() < 0.75 * independent


@pytest.fixture
def ctrl_c():
    """Have SIGINT raise KeyboardInterrupt; a shell's background jobs begin without that."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


def test_interrupt_keeps_what_was_found(ctrl_c):
    svi = make()
    timer = threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.warns(UserWarning, match="interrupted after"):
        result = run(svi, 50_000_000, Y)
    timer.join()
    assert 0 < len(result.losses) < 50_000_000
    assert np.isfinite(float(result.params["loc"]))


# Bad input


def test_site_missing_from_the_guide():
    with pytest.raises(ModelError, match="no sample site 'mu'"):
        SVI(model, lambda y: param("loc", 0.0), optim.Adam(0.1), ELBO()).init(jax.random.key(0), Y)


def test_site_missing_from_the_model():
    def more(y):
        guide(y)
        sample("nu", dist.Normal(0.0, 1.0))

    with pytest.raises(ModelError, match=r"sample site 'nu'.*is_auxiliary"):
        SVI(model, more, optim.Adam(0.1), ELBO()).init(jax.random.key(0), Y)


def test_discrete_latent_in_a_continuous_guide():
    def discrete():
        sample("z", dist.Bernoulli(0.3))
        sample("x", dist.Normal(0.0, 1.0))

    with pytest.raises(ModelError, match=r"AutoDiagonalNormal.*'z' is discrete"):
        SVI(discrete, AutoDiagonalNormal(discrete), optim.Adam(0.1), ELBO()).init(jax.random.key(0))


def test_wrong_support():
    def positive():
        sample("s", dist.Gamma(2.0, 1.0))

    def real():
        sample("s", dist.Normal(param("loc", 0.0), 1.0))

    with pytest.raises(SupportError, match=r"'s'.*Normal.*positive"):
        SVI(positive, real, optim.Adam(0.1), ELBO()).init(jax.random.key(0))


def test_parameter_without_its_constraint():
    def loose(y):
        sample("mu", dist.Normal(param("loc", 0.0), param("scale", 1.0)))

    with pytest.raises(ModelError, match=r"'scale' is the scale of the guide's site 'mu'.*positive"):
        SVI(model, loose, optim.Adam(0.1), ELBO()).init(jax.random.key(0), Y)


def test_nothing_to_fit():
    with pytest.raises(ModelError, match="parameter to fit"):
        SVI(model, lambda y: sample("mu", dist.Normal(0.0, 1.0)), optim.Adam(0.1), ELBO()).init(jax.random.key(0), Y)


def test_loss_that_is_not_finite_names_the_site():
    def falling(y):
        scale = 1.0 + param("shift", 0.0)  # the constraint is out of sight: it falls below zero
        sample("mu", dist.Normal(0.0, scale))

    svi = SVI(lambda y: sample("mu", dist.Normal(0.0, 1e-3)), falling, optax.sgd(1e-7), ELBO(analytic_kl=False))
    with pytest.raises(SamplingError, match=r"at step \d+(.|\n)*guide site 'mu' \(Normal\).*scale must be") as caught:
        run(svi, 20_000, Y)
    assert np.isfinite(float(caught.value.result.params["shift"]))


def test_single_failing_steps_are_left_out():
    def fragile(y):
        mu = sample("mu", dist.Normal(0.0, 1.0))
        px.primitives.factor("cliff", jnp.where(mu > 2.0, jnp.nan, 0.0))

    with pytest.warns(UserWarning, match=r"left out"):
        result = run(SVI(fragile, guide, optim.Adam(0.01), ELBO()), 1000, Y)
    assert np.isnan(result.losses).sum() > 0
    assert np.isfinite(float(result.params["loc"]))


def test_auto_delta_stays_in_the_support():
    def positive(y):
        s = sample("s", dist.Exponential(1.0))
        sample("y", dist.Normal(0.0, s).expand((4,)), obs=y)

    guide = AutoDelta(positive)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        params = run(SVI(positive, guide, optim.Adam(0.02), ELBO()), 2000, Y).params
    # d/ds: -1 - 4/s + sum(y^2)/s^3 = 0
    s = float(guide.median(params)["s"])
    assert abs(-1 - 4 / s + (Y**2).sum() / s**3) < 0.02


def test_few_rows_of_many_are_a_fair_sample():
    def draw(key):
        record = px.handlers.trace(px.handlers.seed(lambda: plate("row", 6, subsample_size=2), key)).get_trace()
        return jnp.sort(record["row"]["value"])

    pairs = np.asarray(jax.vmap(draw)(jax.random.split(jax.random.key(0), 30_000)))
    assert np.all(pairs[:, 0] < pairs[:, 1])
    assert_counts(pairs @ np.array([6, 1]), [6 * i + j for i in range(6) for j in range(i + 1, 6)], np.full(15, 1 / 15))
