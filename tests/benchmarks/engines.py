"""The engines of the comparison: each makes, of a problem, a function from a seed to draws.

Engines are imported inside their functions: a cold run pays for its own imports and for no other's.
"""

from typing import NamedTuple

import numpy as np

DRAWS, TUNE, CHAINS = 1000, 1000, 4


class Outcome(NamedTuple):
    """What a run leaves: draws by name ``(chain, draw, *event)``, and leapfrogs of the kept draws."""

    draws: dict
    leapfrogs: int


def _of_idata(idata, names):
    posterior = idata["posterior"]
    return Outcome({n: posterior[n].values for n in names}, int(idata["sample_stats"]["n_steps"].sum()))


def pyrox_engine(problem, draws, tune, chains):
    import pyrox as px

    model = problem.graph(px)

    def run(seed):
        idata = px.sample(
            draws, tune=tune, chains=chains, random_seed=seed, progressbar=False, compute_convergence_checks=False,
            model=model,
        )  # fmt: skip
        return _of_idata(idata, problem.names)

    return run


def pyrox_auto_engine(problem, draws, tune, chains):
    return pyrox_engine(problem, draws, None, chains)


def numpyro_engine(problem, draws, tune, chains, chain_method="sequential"):
    import jax
    import numpyro

    numpyro.enable_x64()
    function, arguments = problem.function()
    mcmc = numpyro.infer.MCMC(
        numpyro.infer.NUTS(function), num_warmup=tune, num_samples=draws, num_chains=chains, chain_method=chain_method,
        progress_bar=False,
    )  # fmt: skip

    def run(seed):
        mcmc.run(jax.random.key(seed), *arguments, extra_fields=("num_steps",))
        found = jax.block_until_ready(mcmc.get_samples(group_by_chain=True))
        steps = int(mcmc.get_extra_fields()["num_steps"].sum())
        return Outcome({n: np.asarray(found[n]) for n in problem.names}, steps)

    return run


def nutpie_engine(problem, draws, tune, chains):
    import nutpie
    import pymc as pm

    compiled = []

    def run(seed):
        if not compiled:
            compiled.append(nutpie.compile_pymc_model(problem.graph(pm)))
        idata = nutpie.sample(compiled[0], draws=draws, tune=tune, chains=chains, seed=seed, progress_bar=False)
        return _of_idata(idata, problem.names)

    return run


def blackjax_engine(problem, draws, tune, num_chains, *, vectorized=True):
    """Window adaptation, then NUTS, both jitted once: over all chains by ``vmap``, or one chain after another."""
    import blackjax
    import jax
    import numpyro
    from numpyro.infer.util import initialize_model

    numpyro.enable_x64()
    function, arguments = problem.function()
    info = initialize_model(jax.random.key(0), function, model_args=arguments, dynamic_args=True)

    def log_density(position):
        return -info.potential_fn(*arguments)(position)

    def one_chain(key, position):
        key_warmup, key_draws = jax.random.split(key)
        (state, parameters), _ = blackjax.window_adaptation(blackjax.nuts, log_density).run(key_warmup, position, tune)
        kernel = blackjax.nuts(log_density, **parameters)

        def step(state, key):
            state, info = kernel.step(key, state)
            return state, (state.position, info.num_integration_steps)

        return jax.lax.scan(step, state, jax.random.split(key_draws, draws))[1]

    constrain = info.postprocess_fn(*arguments)
    chains, values = jax.jit(jax.vmap(one_chain)), jax.jit(jax.vmap(jax.vmap(constrain)))
    alone = jax.jit(one_chain)

    def starts(key):
        keys = jax.random.split(key, num_chains)
        return initialize_model(keys, function, model_args=arguments, dynamic_args=True).param_info.z

    def run(seed):
        key_start, key = jax.random.split(jax.random.key(seed))
        keys, positions = jax.random.split(key, num_chains), starts(key_start)
        if vectorized:
            unconstrained, steps = chains(keys, positions)
        else:
            each = [alone(keys[i], jax.tree.map(lambda x, i=i: x[i], positions)) for i in range(num_chains)]
            unconstrained, steps = jax.tree.map(lambda *x: np.stack(x), *each)
        found = jax.block_until_ready(values(unconstrained))
        return Outcome({n: np.asarray(found[n]) for n in problem.names}, int(np.sum(steps)))

    return run


ENGINES = {
    "pyrox": pyrox_engine,
    "pyrox-auto": pyrox_auto_engine,
    "numpyro": numpyro_engine,
    "numpyro-parallel": lambda *asked: numpyro_engine(*asked, chain_method="parallel"),
    "numpyro-vectorized": lambda *asked: numpyro_engine(*asked, chain_method="vectorized"),
    "nutpie": nutpie_engine,
    "blackjax": blackjax_engine,
    "blackjax-sequential": lambda *asked: blackjax_engine(*asked, vectorized=False),
}
DEFAULT = ("pyrox", "numpyro", "nutpie", "blackjax")
