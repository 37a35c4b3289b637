"""Check that a problem is the same density in every language: differences between points agree to rounding.

run as: python agree.py [PROBLEM ...]     with numpyro and pymc installed
"""

import argparse

import jax
import numpy as np
import numpyro
import pymc as pm
from numpyro.infer.util import potential_energy, unconstrain_fn
from problems import PROBLEMS

import pyrox as px
from pyrox.target import target_of

POINTS = 4


def pyrox_densities(problem, seeds):
    """Give named values at random points, with the log-density on the unconstrained scale."""
    target = target_of(problem.graph(px))
    density, data = target.density, target.data
    positions = [density.initial_position(jax.random.key(seed), data) for seed in seeds]
    values = [{n: x for n, x in density.constrain(q, data).items() if n in density.free} for q in positions]
    return values, [float(density(q, data)) for q in positions]


def numpyro_density(problem):
    numpyro.enable_x64()
    function, arguments = problem.function()

    def density(values):
        free = unconstrain_fn(function, arguments, {}, values)
        return -float(potential_energy(function, arguments, {}, free))

    return density


def pymc_density(problem):
    model = problem.graph(pm)
    log_density = model.compile_logp()

    def density(values):
        point = {}
        for variable in model.free_RVs:
            inner, value = model.rvs_to_values[variable].name, np.asarray(values[variable.name])
            point[inner] = np.log(value) if inner.endswith("_log__") else value
        return float(log_density(point))

    return density


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*")
    for name in parser.parse_args().problems or PROBLEMS:
        problem = PROBLEMS[name]
        values, ours = pyrox_densities(problem, range(POINTS))
        for language, make in (("numpyro", numpyro_density), ("pymc", pymc_density)):
            density = make(problem)
            theirs = np.array([density(v) for v in values])
            where = f"{name}, {language}"
            np.testing.assert_allclose(np.diff(theirs), np.diff(ours), rtol=1e-8, atol=1e-6, err_msg=where)
        print(f"{name}: the same in every language", flush=True)


if __name__ == "__main__":
    main()
