"""Run pyrox and its peers side by side: one process, alternating runs, medians and ratios.

run as: python compare.py [--repeats 5] [--json FILE] [PROBLEM ...]     with numpyro, pymc and nutpie installed
Each engine draws 4 x (1000 + 1000). ``first`` is the first call in the process, compilation included; ``warm`` is
the median of the later ones. Effective sample sizes are the smallest bulk ESS over all variables.
"""

import argparse
import json
import os
import statistics
import time
import warnings

os.environ["PYROX_CACHE"] = "off"  # a first call must compile, for every engine

import arviz as az
import numpy as np
import xarray as xr
from problems import PROBLEMS

SETTINGS = {"draws": 1000, "tune": 1000, "chains": 4}


def pyrox_engine(problem):
    import pyrox as px

    model = problem.graph(px)

    def run(seed):
        idata = px.sample(
            **SETTINGS, random_seed=seed, progressbar=False, compute_convergence_checks=False, model=model
        )
        return idata["posterior"], int(idata["sample_stats"]["n_steps"].sum())

    return run


def numpyro_engine(problem):
    import jax
    import numpyro

    numpyro.enable_x64()
    function, arguments = problem.function()
    kernel = numpyro.infer.NUTS(function)
    mcmc = numpyro.infer.MCMC(
        kernel, num_warmup=1000, num_samples=1000, num_chains=4, chain_method="sequential", progress_bar=False
    )

    def run(seed):
        mcmc.run(jax.random.key(seed), *arguments, extra_fields=("num_steps",))
        draws = jax.block_until_ready(mcmc.get_samples(group_by_chain=True))
        steps = int(mcmc.get_extra_fields()["num_steps"].sum())
        return xr.Dataset({n: (("chain", "draw", *(f"{n}_{i}" for i in range(x.ndim - 2))), np.asarray(x))
                           for n, x in draws.items()}), steps  # fmt: skip

    return run


def nutpie_engine(problem):
    import nutpie
    import pymc as pm

    compiled = []

    def run(seed):
        if not compiled:
            compiled.append(nutpie.compile_pymc_model(problem.graph(pm)))
        idata = nutpie.sample(compiled[0], **SETTINGS, seed=seed, progress_bar=False)
        return idata.posterior, int(idata.sample_stats["n_steps"].sum())

    return run


ENGINES = {"pyrox": pyrox_engine, "numpyro": numpyro_engine, "nutpie": nutpie_engine}


def timed(run, seed):
    began = time.perf_counter()
    posterior, steps = run(seed)
    return time.perf_counter() - began, posterior, steps


def least_ess(posterior, names):
    return min(float(az.ess(posterior[list(names)])[n].min()) for n in names)


def measure(name, repeats):
    problem = PROBLEMS[name]
    runs = {engine: make(problem) for engine, make in ENGINES.items()}
    rows = {engine: {"first": timed(run, 0)[0], "warm": [], "ess": [], "steps": []} for engine, run in runs.items()}
    for seed in range(1, repeats + 1):
        for engine, run in runs.items():
            seconds, posterior, steps = timed(run, seed)
            rows[engine]["warm"].append(seconds)
            rows[engine]["ess"].append(least_ess(posterior, problem.names))
            rows[engine]["steps"].append(steps)
    return {
        engine: {
            "first": row["first"],
            **{key: statistics.median(row[key]) for key in ("warm", "ess", "steps")},
            "compilation": row["first"] - statistics.median(row["warm"]),
            "ess_per_second": statistics.median(e / s for e, s in zip(row["ess"], row["warm"], strict=True)),
        }
        for engine, row in rows.items()
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("problems", nargs="*")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    results = {}
    for name in options.problems or PROBLEMS:
        results[name] = measure(name, options.repeats)
        ours = results[name]["pyrox"]
        print(f"\n{name}\n{'':10s}   first s   warm s   ratio  min ESS     ESS/s   ratio     steps")
        for engine, row in results[name].items():
            slower, rate = row["warm"] / ours["warm"], row["ess_per_second"]
            print(
                f"{engine:10s}{row['first']:10.2f}{row['warm']:9.3f}{slower:8.1f}{row['ess']:9.0f}{rate:10.0f}"
                f"{ours['ess_per_second'] / rate:8.1f}{row['steps']:10.0f}",
                flush=True,
            )
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
