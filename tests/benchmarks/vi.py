"""Steps per second of variational inference, side by side with NumPyro's SVI; time to a bound, with PyMC's ADVI.

run as: python vi.py [--repeats 5] [PROBLEM ...]     with numpyro (and pymc) installed
One process, short bursts of compiled steps by turns, medians, and the median of the ratios of neighbouring bursts; both
engines in double precision, with the same guide, optimizer and number of draws. ``whole`` is one run of all steps from
the user's side, the second one in the process.
"""

import argparse
import os
import statistics
import time
import warnings

os.environ["PYROX_CACHE"] = "off"

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as ndist
from jax.example_libraries import stax

import pyrox as px
import pyrox.dist as pdist
from pyrox import primitives
from pyrox.vi.batches import Arguments
from pyrox.vi.loop import Position

numpyro.enable_x64()
ROWS, BATCH, LATENT = 100_000, 256, 16


class Language:
    """The statements of one engine."""

    def __init__(self, statements, dist):
        self.sample, self.plate, self.module, self.dist = statements.sample, statements.plate, statements.module, dist


PYROX, NUMPYRO = Language(primitives, pdist), Language(numpyro, ndist)


def logistic(say):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1000, 24))
    y = rng.binomial(1, 1 / (1 + np.exp(-(0.3 + x @ rng.normal(0, 0.5, 24)))))

    def model(x, y):
        intercept = say.sample("intercept", say.dist.Normal(0.0, 1.0))
        beta = say.sample("beta", say.dist.Normal(0.0, 1.0).expand([24]).to_event(1))
        with say.plate("row", 1000):
            say.sample("y", say.dist.Bernoulli(logits=intercept + x @ beta), obs=y)

    return model, None, (x, y)


def minibatch(say):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(ROWS, 10))
    y = 0.5 + x @ rng.normal(0, 1, 10) + rng.normal(0, 0.5, ROWS)

    def model(x, y):
        intercept = say.sample("intercept", say.dist.Normal(0.0, 1.0))
        beta = say.sample("beta", say.dist.Normal(0.0, 1.0).expand([10]).to_event(1))
        sigma = say.sample("sigma", say.dist.HalfNormal(1.0))
        with say.plate("row", ROWS, subsample_size=BATCH) as index:
            say.sample("y", say.dist.Normal(intercept + x[index] @ beta, sigma), obs=y[index])

    return model, None, (jnp.asarray(x), jnp.asarray(y))


def autoencoder(say):
    rng = np.random.default_rng(3)
    images = rng.binomial(1, 0.3, size=(128, 64)).astype(float)
    decoder = stax.serial(stax.Dense(128), stax.Softplus, stax.Dense(64))
    heads = stax.parallel(stax.Dense(LATENT), stax.serial(stax.Dense(LATENT), stax.Exp))
    encoder = stax.serial(stax.Dense(128), stax.Softplus, stax.FanOut(2), heads)

    def model(x):
        net = say.module("decoder", decoder, (LATENT,))
        with say.plate("image", 128):
            z = say.sample("z", say.dist.Normal(0.0, 1.0).expand([LATENT]).to_event(1))
            say.sample("x", say.dist.Bernoulli(logits=net(z)).to_event(1), obs=x)

    def guide(x):
        net = say.module("encoder", encoder, (64,))
        loc, scale = net(x)
        with say.plate("image", 128):
            say.sample("z", say.dist.Normal(loc, scale).to_event(1))

    return model, guide, (jnp.asarray(images),)


PROBLEMS = {"logistic 1000 x 24": logistic, "minibatched regression": minibatch, "autoencoder": autoencoder}
BURST = {"logistic 1000 x 24": 2000, "minibatched regression": 1000, "autoencoder": 100}
WHOLE = {"logistic 1000 x 24": 20_000, "minibatched regression": 10_000, "autoencoder": 1000}


def pyrox_runs(problem, burst):
    """A whole run, and a burst of steps that are compiled already."""
    model, guide, args = problem(PYROX)
    guide = px.vi.AutoDiagonalNormal(model) if guide is None else guide
    svi = px.vi.SVI(model, guide, px.vi.optim.Adam(0.005), px.vi.ELBO())
    state = svi.init(jax.random.key(0), *args)
    arguments, arrays = Arguments.split(args, {})
    loop = svi._loop(arguments, burst, batched=False)
    data = (dict(state.transforms), {}), [jnp.asarray(x) for x in arrays]
    start = Position(state.optim_state, jax.random.key_data(state.rng_key))

    def whole(steps, seed):
        return svi.run(jax.random.key(seed), steps, *args, progress_bar=False, early_stopping=False).losses

    return whole, lambda: loop.run(start, loop.no_total(start), 1.0, data, 0, burst, guarded=False)


def numpyro_runs(problem, burst):
    """The same; the burst is the loop that NumPyro's own run makes."""
    model, guide, args = problem(NUMPYRO)
    auto = guide is None
    guide = numpyro.infer.autoguide.AutoDiagonalNormal(model) if auto else guide
    loss = numpyro.infer.Trace_ELBO() if auto else numpyro.infer.TraceMeanField_ELBO()
    svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(0.005), loss)
    state = svi.init(jax.random.key(0), *args)

    @jax.jit
    def many(state, args):
        return jax.lax.scan(lambda s, _: svi.update(s, *args), state, None, length=burst)

    def whole(steps, seed):
        return np.asarray(svi.run(jax.random.key(seed), steps, *args, progress_bar=False).losses)

    return whole, lambda: jax.block_until_ready(many(state, args))


def timed(run, steps, seed):
    began = time.perf_counter()
    losses = run(steps, seed)
    return time.perf_counter() - began, losses


def measure(name, repeats):
    burst, steps = BURST[name], WHOLE[name]
    makers = {"pyrox": pyrox_runs, "numpyro": numpyro_runs}
    runs = {engine: make(PROBLEMS[name], burst) for engine, make in makers.items()}
    bursts, rows = {engine: [] for engine in runs}, {}
    for _, many in runs.values():
        many()
    for _ in range(repeats):
        for engine, (_, many) in runs.items():
            bursts[engine].append(timed(lambda *_, many=many: many(), 0, 0)[0])
    for engine, (whole, _) in runs.items():
        whole(steps, 0)
        seconds, losses = timed(whole, steps, 1)
        rate = burst / statistics.median(bursts[engine])
        ratio = statistics.median(b / a for a, b in zip(bursts["pyrox"], bursts[engine], strict=True))
        rows[engine] = {"rate": rate, "ratio": ratio, "whole": seconds, "loss": float(np.mean(losses[-steps // 10 :]))}
    return rows


def time_to_bound(repeats):
    """Seconds from a model to a bound within a nat of the best, and steps: px.fit and PyMC's ADVI."""
    import logging

    import pymc as pm

    logging.getLogger("pymc").setLevel(logging.ERROR)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1000, 24))
    y = rng.binomial(1, 1 / (1 + np.exp(-(0.3 + x @ rng.normal(0, 0.5, 24)))))

    def graph(module):
        with module.Model() as model:
            intercept = module.Normal("intercept", 0.0, 1.0)
            beta = module.Normal("beta", 0.0, 1.0, shape=24)
            module.Bernoulli("y", logit_p=intercept + module.math.dot(x, beta), observed=y)
        return model

    def steps_to(losses, bound):
        smooth = np.convolve(losses, np.ones(100) / 100, "valid")
        below = np.flatnonzero(smooth < bound)
        return int(below[0]) + 100 if below.size else len(losses)

    fits = {
        "pyrox": lambda n, s: px.fit(n, model=graph(px), random_seed=s, progressbar=False).losses,
        "pymc": lambda n, s: pm.fit(n, model=graph(pm), random_seed=s, progressbar=False).hist,
    }
    times = {engine: [] for engine in fits}
    for seed in range(repeats):
        runs = {e: timed(lambda n, s, fit=fit: np.asarray(fit(n, s)), 20_000, seed) for e, fit in fits.items()}
        bound = min(np.mean(losses[-500:]) for _, losses in runs.values()) + 1.0
        for engine, (seconds, losses) in runs.items():
            # Once more, only as far as need be: what comes before the first step counts as well.
            steps = steps_to(losses, bound)
            times[engine].append((seconds, timed(fits[engine], steps, seed)[0], steps))
    return {engine: np.median(np.array(t), axis=0) for engine, t in times.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("problems", nargs="*")
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--pymc", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in options.problems or PROBLEMS:
        results = measure(name, options.repeats)
        print(f"\n{name}\n{'':10s}   steps/s   ratio   whole run s        loss")
        for engine, row in results.items():
            told = f"{row['rate']:10.0f}{row['ratio']:8.2f}{row['whole']:14.2f}{row['loss']:12.2f}"
            print(f"{engine:10s}{told}", flush=True)
    if options.pymc:
        print("\ntime to a converged bound, logistic 1000 x 24\n              whole s   to bound s   steps to it")
        for engine, (whole, bound, steps) in time_to_bound(3).items():
            print(f"{engine:10s}{whole:11.2f}{bound:13.2f}{steps:14.0f}", flush=True)


if __name__ == "__main__":
    main()
