"""Run a sampler's chains and collect what they drew."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.diagnostics import print_summary
from pyrox.errors import InitializationError, ModelError, SamplingError
from pyrox.progress import start_progress
from pyrox.runner import Runner, available_cores
from pyrox.samplers import run as chain_run
from pyrox.samplers.compile import ChainProgram, stack
from pyrox.samplers.hamiltonian import HMC
from pyrox.samplers.source import ModelSource, Source, as_typed_key
from pyrox.typing import Array, Key, Tree

_METHODS = ("parallel", "sequential", "vectorized")
_MAX_STARTS = 100

# Fields of HMCState that a run records, by the statistic each comes from.
_FIELDS: dict[str, Callable[[dict], np.ndarray]] = {
    "potential_energy": lambda stats: -stats["lp"],
    "energy": lambda stats: stats["energy"],
    "num_steps": lambda stats: stats["n_steps"],
    "accept_prob": lambda stats: stats["acceptance_rate"],
    "mean_accept_prob": lambda stats: _running_mean(stats["acceptance_rate"]),
    "diverging": lambda stats: stats["diverging"],
    "adapt_state.step_size": lambda stats: stats["step_size"],
    "i": lambda stats: np.broadcast_to(np.arange(stats["lp"].shape[1]), stats["lp"].shape),
}


def _running_mean(x: np.ndarray) -> np.ndarray:
    return np.cumsum(x, axis=1) / np.arange(1, x.shape[1] + 1)


class MCMC:
    """Markov chain Monte Carlo.

    Parameters
    ----------
    sampler
        ``HMC(...)`` or ``NUTS(...)``.
    num_warmup
        Iterations of warm-up.
    num_samples
        Draws to keep from each chain.
    num_chains
        Number of chains.
    constrain_fn
        Function of one draw, unconstrained values by name (or the tree of a ``potential_fn``), that gives what is to be
        kept instead; None keeps the constrained and deterministic values of a model, and trees as they are.
    chain_method
        ``"parallel"``: on all cores, or on the accelerator side by side; ``"sequential"``: one after another;
        ``"vectorized"``: side by side in one program.
    progress_bar
        Whether to show progress.

    Examples
    --------
    >>> import jax
    >>> import pyrox as px
    >>> from pyrox.samplers import MCMC, NUTS
    >>> def model(y):
    ...     mu = px.Normal("mu", 0.0, 1.0)
    ...     px.Normal("y", mu, 1.0, observed=y)
    >>> mcmc = MCMC(NUTS(model), num_warmup=200, num_samples=300, num_chains=2, progress_bar=False)
    >>> mcmc.run(jax.random.key(0), 1.0, extra_fields=("num_steps",))
    >>> mcmc.get_samples(group_by_chain=True)["mu"].shape
    (2, 300)
    >>> mcmc.get_extra_fields()["num_steps"].shape
    (600,)
    """

    def __init__(
        self,
        sampler: HMC,
        num_warmup: int,
        num_samples: int,
        num_chains: int = 1,
        constrain_fn: Callable | None = None,
        chain_method: str = "parallel",
        progress_bar: bool = True,  # noqa: FBT001, FBT002 - the documented signature
    ) -> None:
        if not isinstance(sampler, HMC):
            raise ModelError(f"MCMC takes HMC(...) or NUTS(...), not {sampler!r}")
        if chain_method not in _METHODS:
            raise ModelError(f"chain_method is one of {', '.join(_METHODS)}, not {chain_method!r}")
        for name, value, least in (
            ("num_warmup", num_warmup, 0), ("num_samples", num_samples, 1), ("num_chains", num_chains, 1)
        ):  # fmt: skip
            if int(value) != value or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
        self.sampler, self.num_warmup, self.num_samples = sampler, int(num_warmup), int(num_samples)
        self.num_chains, self.constrain_fn = int(num_chains), constrain_fn
        self.chain_method, self.progress_bar = chain_method, progress_bar
        self._samples: Tree = None
        self._fields: dict[str, np.ndarray] = {}

    def run(
        self,
        rng_key: Key,
        *args: Any,
        extra_fields: Sequence[str] = (),
        collect_warmup: bool = False,
        init_params: Tree = None,
        **kwargs: Any,
    ) -> None:
        """Run the chains.

        Parameters
        ----------
        rng_key
            A JAX key, or one for each chain.
        *args, **kwargs
            Arguments of the model.
        extra_fields
            Fields of ``HMCState`` to keep, beside ``diverging``.
        collect_warmup
            Whether draws of the warm-up are kept, before the others.
        init_params
            Unconstrained starting values, with a leading chain axis for several chains.

        Raises
        ------
        InitializationError
            If no start with a finite log-density and gradient was found.
        SamplingError
            If the run was interrupted before the first draw.
        """
        unknown = [name for name in extra_fields if name not in (*_FIELDS, "z", "z_grad", "rng_key")]
        if unknown:
            raise ModelError(f"extra_fields: {unknown[0]!r} is not among {', '.join((*_FIELDS, 'z'))}")
        source = self.sampler.source(args, kwargs, init_params, self.num_chains)
        vectorized = self.chain_method == "vectorized" or jax.default_backend() != "cpu"
        lanes = self.num_chains if vectorized else None
        program = ChainProgram(source.log_density, source.dim, source.data, recipe=self.sampler.recipe, lanes=lanes)
        jobs = self._jobs(source, program, self._keys(rng_key), keep_warmup=collect_warmup)
        cores = 1 if self.chain_method == "sequential" else available_cores()
        progress = start_progress(
            self.num_chains * (self.num_warmup + self.num_samples), "sample", show=self.progress_bar
        )
        try:
            with chain_run.one_thread_each(program):
                Runner(jobs, cores, progress, lambda: chain_run.describe(jobs)).run()
        finally:
            progress.close()
        self._collect(source, chain_run.collect(jobs, keep_warmup=collect_warmup), extra_fields)

    def _keys(self, rng_key: Key) -> list[Key]:
        key = as_typed_key(rng_key)
        if key.ndim == 0:
            return [chain_run.fold_in(key, i) for i in range(self.num_chains)]
        if key.shape != (self.num_chains,):
            raise ModelError(f"rng_key holds {key.shape} keys for {self.num_chains} chains: give one, or one for each")
        return list(key)

    def _jobs(self, source: Source, program: ChainProgram, keys: list[Key], *, keep_warmup: bool) -> list:
        chains, failing = chain_run.find_starts(
            program,
            source.data,
            keys,
            lambda i, key: source.start(i, key, self.num_chains),
            num_warmup=self.num_warmup,
            target_accept=self.sampler.target_accept_prob,
            max_tries=_MAX_STARTS,
        )
        if failing:
            position = jnp.asarray(chains[failing[0]].state.position)
            table = source.density.explain(position, source.data) if isinstance(source, ModelSource) else position
            raise InitializationError(f"chain {failing[0]} found no start with a finite potential energy:\n{table}")
        chains = chains if program.lanes is None else [stack(chains)]
        return [
            chain_run.ChainJob(program, source.data, chain, self.num_samples, keep_warmup=keep_warmup)
            for chain in chains
        ]

    def _collect(self, source: Source, draws: chain_run.Draws, extra_fields: Sequence[str]) -> None:
        positions, stats = draws.positions, draws.stats
        if draws.warmup_positions is not None:
            positions = np.concatenate([draws.warmup_positions, positions], axis=1)
            stats = {name: np.concatenate([draws.warmup_stats[name], x], axis=1) for name, x in stats.items()}
        if positions.shape[1] == 0:
            raise SamplingError("interrupted during warm-up: there are no draws yet; collect_warmup=True keeps those")
        unconstrained = source.unravel(jnp.asarray(positions))
        if self.constrain_fn is None:
            self._samples = source.values(positions)
        else:
            self._samples = jax.tree.map(np.asarray, jax.jit(jax.vmap(jax.vmap(self.constrain_fn)))(unconstrained))
        recorded = {name: _FIELDS[name](stats) for name in (*extra_fields, "diverging") if name in _FIELDS}
        self._fields = recorded | ({"z": unconstrained} if "z" in extra_fields else {})

    def get_samples(self, group_by_chain: bool = False) -> Tree:  # noqa: FBT001, FBT002 - the documented signature
        """Give the draws.

        Parameters
        ----------
        group_by_chain
            Whether arrays begin with the axes chain and draw; otherwise chains follow one another on one axis.

        Returns
        -------
        A mapping by site name; of a ``potential_fn``, a tree like ``init_params``.
        """
        if self._samples is None:
            raise ModelError("there are no samples yet: call run first")
        return self._samples if group_by_chain else _flatten(self._samples)

    def get_extra_fields(self, group_by_chain: bool = False) -> dict[str, Array]:  # noqa: FBT001, FBT002
        """Give the extra fields by name; see ``get_samples``."""
        return self._fields if group_by_chain else _flatten(self._fields)

    def print_summary(self, prob: float = 0.9) -> None:
        """Print mean, spread, interval, effective sample size and R-hat of every variable.

        Parameters
        ----------
        prob
            Probability of the interval.
        """
        print_summary(self.get_samples(group_by_chain=True), prob=prob, group_by_chain=True)
        print(f"Number of divergences: {int(np.sum(self._fields['diverging']))}")


def _flatten(tree: Tree) -> Tree:
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)
