"""NUTS on models with discrete variables that are summed out, side by side with NumPyro.

run as: python discrete.py [--repeats 3] [--draws 1000] [--tune 1000] [PROBLEM ...]    with numpyro and funsor installed

``pyrox`` gets the model with its discrete variables and sums them out itself, ``numpyro`` likewise by enumeration
(funsor), ``by hand`` is NumPyro with the sum written out: a mixture distribution, or the forward algorithm in
``lax.scan``. ``first`` is the first run in the process, compilation included; ``warm`` the median of later ones, 4
chains one after the other in NumPyro, side by side on all cores in pyrox. pyrox's runs draw the discrete variables
too, NumPyro's do not. All chains start at the order of the levels. ESS is the smallest over the continuous variables.
"""

import argparse
import os
import statistics
import time
import warnings

os.environ["PYROX_CACHE"] = "off"

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import logsumexp
from numpyro.contrib.control_flow import scan
from numpyro.infer import init_to_value

import pyrox as px

numpyro.enable_x64()
warnings.filterwarnings("ignore")
CHAINS, STATES = 4, 3
LEVELS = np.array([-2.0, 0.5, 3.0])


def mixture_data():
    rng = np.random.default_rng(1)
    z = rng.choice(STATES, p=[0.3, 0.5, 0.2], size=1000)
    return rng.normal(LEVELS[z], np.array([0.5, 1.0, 0.7])[z])


def chain_data():
    rng = np.random.default_rng(2)
    moves = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]])
    z = [0]
    for _ in range(199):
        z.append(rng.choice(STATES, p=moves[z[-1]]))
    return rng.normal(LEVELS[z], 0.7)


def mixture_graph(y):
    with px.Model() as model:
        w = px.Dirichlet("w", np.ones(STATES))
        mu = px.Normal("mu", LEVELS, 0.3)
        sigma = px.HalfNormal("sigma", 2.0, shape=STATES)
        z = px.Categorical("z", w, shape=len(y))
        px.Normal("y", mu[z], sigma[z], observed=y)
    return model


def mixture_enumerated(y):
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(STATES)))
    mu = numpyro.sample("mu", dist.Normal(LEVELS, 0.3).to_event(1))
    sigma = numpyro.sample("sigma", dist.HalfNormal(2.0).expand([STATES]).to_event(1))
    with numpyro.plate("row", len(y)):
        z = numpyro.sample("z", dist.Categorical(w), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Normal(mu[z], sigma[z]), obs=y)


def mixture_by_hand(y):
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(STATES)))
    mu = numpyro.sample("mu", dist.Normal(LEVELS, 0.3).to_event(1))
    sigma = numpyro.sample("sigma", dist.HalfNormal(2.0).expand([STATES]).to_event(1))
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.MixtureSameFamily(dist.Categorical(w), dist.Normal(mu, sigma)), obs=y)


def chain_graph(y):
    with px.Model() as model:
        moves = px.Dirichlet("moves", np.ones((STATES, STATES)) + 2 * np.eye(STATES))
        mu = px.Normal("mu", LEVELS, 0.3)
        sigma = px.HalfNormal("sigma", 1.0)
        z = px.DiscreteMarkovChain("z", P=moves, shape=len(y))
        px.Normal("y", mu[z], sigma, observed=y)
    return model


def _chain_parameters():
    moves = numpyro.sample("moves", dist.Dirichlet(jnp.ones((STATES, STATES)) + 2 * jnp.eye(STATES)).to_event(1))
    mu = numpyro.sample("mu", dist.Normal(LEVELS, 0.3).to_event(1))
    return moves, mu, numpyro.sample("sigma", dist.HalfNormal(1.0))


def chain_enumerated(y):
    moves, mu, sigma = _chain_parameters()

    def step(former, now):
        z = numpyro.sample("z", dist.Categorical(moves[former]), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Normal(mu[z], sigma), obs=now)
        return z, None

    first = numpyro.sample("z0", dist.Categorical(jnp.ones(STATES) / STATES), infer={"enumerate": "parallel"})
    numpyro.sample("y0", dist.Normal(mu[first], sigma), obs=y[0])
    scan(step, first, y[1:])


def chain_by_hand(y):
    moves, mu, sigma = _chain_parameters()
    seen, log_moves = dist.Normal(mu, sigma).log_prob(y[:, None]), jnp.log(moves)

    def step(state, now):
        return logsumexp(state[:, None] + log_moves, axis=0) + now, None

    last, _ = jax.lax.scan(step, seen[0] - jnp.log(STATES), seen[1:])
    numpyro.factor("y", logsumexp(last))


PROBLEMS = {
    "mixture": (mixture_data, mixture_graph, mixture_enumerated, mixture_by_hand, "w mu sigma"),
    "chain": (chain_data, chain_graph, chain_enumerated, chain_by_hand, "moves mu sigma"),
}


def pyrox_engine(model, names, options):
    def run(seed):
        idata = px.sample(
            options.draws, tune=options.tune, chains=CHAINS, random_seed=seed, progressbar=False, quiet=True,
            compute_convergence_checks=False, model=model, initvals={"mu": LEVELS},
        )  # fmt: skip
        return {n: idata["posterior"][n].values for n in names}, int(idata["sample_stats"]["n_steps"].sum())

    return run


def numpyro_engine(function, y, names, options):
    kernel = numpyro.infer.NUTS(function, init_strategy=init_to_value(values={"mu": jnp.asarray(LEVELS)}))
    mcmc = numpyro.infer.MCMC(
        kernel, num_warmup=options.tune, num_samples=options.draws, num_chains=CHAINS, chain_method="sequential",
        progress_bar=False,
    )  # fmt: skip

    def run(seed):
        mcmc.run(jax.random.key(seed), jnp.asarray(y), extra_fields=("num_steps",))
        found = jax.block_until_ready(mcmc.get_samples(group_by_chain=True))
        return {n: np.asarray(found[n]) for n in names}, int(mcmc.get_extra_fields()["num_steps"].sum())

    return run


def measure(run, repeats):
    """Give the seconds of the first run and of later ones, their leapfrogs, least ESS and means."""
    times, last = [], None
    for seed in range(repeats + 1):
        began = time.perf_counter()
        last = run(seed)
        times.append(time.perf_counter() - began)
    draws, leapfrogs = last
    flat = np.concatenate([x.reshape(*x.shape[:2], -1) for x in draws.values()], axis=-1)
    ess = float(az.ess(az.convert_to_dataset({"x": flat}))["x"].min())
    return times[0], statistics.median(times[1:]), leapfrogs, ess, flat.mean((0, 1))


def compare(name, options):
    """Measure the engines on one problem, and print."""
    data, graph, enumerated, by_hand, named = PROBLEMS[name]
    y, names = data(), named.split()
    model = graph(y)
    report = px.explain_compilation(model)
    print(f"{name}: {'one native kernel' if report.native else 'ordinary'}, {report.size} equations")
    engines = {"pyrox": pyrox_engine(model, names, options)}
    engines["numpyro"] = numpyro_engine(enumerated, y, names, options)
    engines["by hand"] = numpyro_engine(by_hand, y, names, options)
    reference = None
    for engine, run in engines.items():
        first, warm, leapfrogs, ess, means = measure(run, options.repeats)
        reference = means if reference is None else reference
        apart = float(np.max(np.abs(means - reference)))
        print(
            f"  {engine:8s} first {first:6.2f} s  warm {warm:6.2f} s  {leapfrogs:7d} leapfrogs  ESS {ess:5.0f}  "
            f"ESS/s {ess / warm:7.0f}  means apart {apart:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", default=list(PROBLEMS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--tune", type=int, default=1000)
    given = parser.parse_args()
    for problem in given.problems:
        compare(problem, given)
