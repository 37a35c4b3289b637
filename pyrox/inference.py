"""The everyday calls: from a model to labelled results."""

import contextlib
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import jax
import jax.numpy as jnp

from pyrox import diagnostics, results
from pyrox.errors import InitializationError, ModelError, SamplingError
from pyrox.progress import Progress, start_progress
from pyrox.runner import Interrupts, Runner, available_cores
from pyrox.samplers import run as chain_run
from pyrox.samplers.chain import ChainState
from pyrox.samplers.compile import ChainProgram, stack
from pyrox.samplers.recipe import Recipe
from pyrox.target import Target, target_of
from pyrox.typing import Array, Key, Tree

_MAX_STARTS = 100
_IDATA_OPTIONS = ("coords", "dims", "log_likelihood")


@dataclass(frozen=True)
class _Settings:
    """What a run was asked for, checked."""

    draws: int
    tune: int
    chains: int
    cores: int
    target_accept: float
    max_treedepth: int
    keep_warmup: bool
    fused: bool | None

    def __post_init__(self) -> None:
        for name, least in (("draws", 1), ("tune", 0), ("chains", 1), ("cores", 1), ("max_treedepth", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
        accept = self.target_accept
        if isinstance(accept, bool) or not isinstance(accept, Real) or not 0 < accept < 1:
            raise ValueError(f"target_accept must lie between 0 and 1, not {accept!r}")
        if self.max_treedepth > 20:
            raise ValueError(f"max_treedepth is at most 20, which is a million steps; met {self.max_treedepth}")


def sample(
    draws: int = 1000,
    *,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    random_seed: int | Key | None = None,
    progressbar: bool = True,
    target_accept: float = 0.8,
    max_treedepth: int = 10,
    initvals: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    var_names: Sequence[str] | None = None,
    discard_tuned_samples: bool = True,
    compute_convergence_checks: bool = True,
    idata_kwargs: Mapping[str, Any] | None = None,
    model: Any = None,
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
    fused: bool | None = None,
) -> Any:
    r"""Draw from the posterior with the no-U-turn sampler.

    .. math:: p(\theta \mid y) \propto p(y \mid \theta) \, p(\theta)

    Chains run side by side on all cores. Ctrl-C ends the run and returns the draws so far.

    Parameters
    ----------
    draws
        Draws to keep from each chain.
    tune
        Iterations of warm-up in each chain.
    chains
        Number of chains.
    cores
        Number of chains that run at a time; None takes as many as the process may use.
    random_seed
        A whole number or a JAX key; the same one gives the same draws, whatever the cores, the progress bar or an
        interruption. None draws one.
    progressbar
        Whether to show progress.
    target_accept
        Mean acceptance that the step size aims at: nearer to 1 takes smaller steps and follows harder corners.
    max_treedepth
        Most doublings of a trajectory.
    initvals
        Starting values by variable, for all chains or in a list for each; what is not named starts at random.
    var_names
        Variables to keep in the posterior; None keeps all.
    discard_tuned_samples
        False keeps the warm-up in groups of its own.
    compute_convergence_checks
        Whether to look at divergences, R-hat and effective sample sizes afterwards, and warn.
    idata_kwargs
        ``coords`` and ``dims`` that replace those of the model, and ``log_likelihood=True`` for that group.
    model
        A Model, or a function of primitives; None takes the enclosing ``with`` block's model.
    model_args, model_kwargs
        Arguments of a function.
    fused
        False keeps off the native-kernel path; None takes it where the model allows; True raises where it does not.

    Returns
    -------
    InferenceData (ArviZ 0.x) or DataTree (ArviZ 1.x) with the groups ``posterior``, ``sample_stats``,
    ``observed_data`` and ``constant_data``; every posterior variable has the axes ``chain``, ``draw`` and its own.

    Raises
    ------
    ModelError
        If there is no model, no free variable, or a discrete one.
    InitializationError
        If no start with a finite log-density and gradient was found; it shows every variable there.
    SamplingError
        If the run was interrupted before the first draw.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model():
    ...     mu = px.Normal("mu", 0.0, 10.0)
    ...     y = px.Normal("y", mu, 1.0, observed=[1.0, 2.0, 3.0])
    ...     idata = px.sample(200, tune=200, random_seed=1, progressbar=False, compute_convergence_checks=False)
    >>> bool(abs(idata["posterior"]["mu"].mean() - 2.0) < 0.2)
    True
    """
    cores = available_cores() if cores is None else cores
    settings = _Settings(
        draws, tune, chains, cores, target_accept, max_treedepth, not discard_tuned_samples, fused
    )
    began = time.perf_counter()
    # From here on Ctrl-C is heard where it does no harm: an exception could hit, and vanish, anywhere inside JAX.
    with Interrupts() as interrupts:
        key = as_key(random_seed)
        target = target_of(model, model_args, model_kwargs)
        options = _check_options(target, var_names, idata_kwargs)
        data = target.data
        progress = start_progress(chains * (tune + draws), "Sampling", show=progressbar)
        try:
            prepared = _prepare(target, data, settings, key, _per_chain(initvals, chains), progress, interrupts)
            run = _advance(prepared, settings, progress, interrupts)
        finally:
            progress.close()
        if run.draws.positions.shape[1] == 0 and not settings.keep_warmup:
            raise SamplingError(
                f"interrupted during warm-up, after {run.iterations} of {tune} iterations: there are no draws yet. "
                "discard_tuned_samples=False keeps the warm-up."
            )
        attrs = results.run_attrs(
            sampling_time=time.perf_counter() - began,
            tuning_steps=tune,
            random_seed=int(random_seed) if isinstance(random_seed, Integral) else None,
            native_kernel=int(prepared.program.native),
            interrupted=None if run.complete else 1,
        )
        idata = _label(target, data, run.draws, options, attrs)
    findings = [] if run.complete else [_word_interrupt(run, settings)]
    if compute_convergence_checks and not interrupts.count:
        findings += diagnostics.check_convergence(idata["posterior"], run.draws.stats, max_treedepth)
    diagnostics.warn_all(findings)
    return idata


@dataclass(frozen=True)
class _Prepared:
    """Everything that sampling needs."""

    program: ChainProgram
    jobs: list[chain_run.ChainJob]


@dataclass(frozen=True)
class _Run:
    """What sampling left."""

    draws: chain_run.Draws
    complete: bool
    iterations: int


def _prepare(
    target: Target,
    data: Tree,
    settings: _Settings,
    key: Key,
    initvals: list,
    progress: Progress,
    interrupts: Interrupts,
) -> _Prepared:
    """Compile, and find starting points."""
    progress.update(0, lambda: "compiling")
    lanes = settings.chains if jax.default_backend() != "cpu" else None
    # Importing ArviZ takes seconds, which the compiler leaves to the interpreter.
    threading.Thread(target=_import_early, name="pyrox-arviz").start()
    recipe = Recipe(max_tree_depth=settings.max_treedepth)
    program = target.chain_program(
        data, heartbeat=interrupts.raise_if_any, recipe=recipe, lanes=lanes, fused=settings.fused
    )
    if settings.fused and not program.native:
        reason = ", ".join(program.obstacles) or "the platform"
        raise SamplingError(f"fused=True: the model cannot run as one native kernel, because of {reason}")
    chains = _start_chains(target, program, data, settings, key, initvals)
    target.compile_map("constrain", data)
    interrupts.raise_if_any()
    jobs = [
        chain_run.ChainJob(program, data, chain, settings.draws, keep_warmup=settings.keep_warmup) for chain in chains
    ]
    return _Prepared(program, jobs)


def _import_early() -> None:
    # What goes wrong here, at exit for one, goes wrong again where it matters, and is told there.
    with contextlib.suppress(Exception):
        results.load_arviz()


def _advance(prepared: _Prepared, settings: _Settings, progress: Progress, interrupts: Interrupts) -> _Run:
    """Advance all chains."""
    jobs = prepared.jobs
    complete = Runner(jobs, settings.cores, progress, lambda: chain_run.describe(jobs), interrupts).run()
    draws = chain_run.collect(jobs, keep_warmup=settings.keep_warmup)
    return _Run(draws, complete, min(job.done for job in jobs))


def _word_interrupt(run: _Run, settings: _Settings) -> str:
    kept = run.draws.positions.shape[1]
    return f"Sampling was interrupted: {kept} of {settings.draws} draws of each chain are kept."


def _start_chains(
    target: Target, program: ChainProgram, data: Tree, settings: _Settings, key: Key, initvals: list
) -> list[ChainState]:
    keys = [jax.random.fold_in(key, i) for i in range(settings.chains)]

    def propose(i: int, key: Key) -> Array:
        return target.density.initial_position(key, data, initvals=initvals[i])

    chains, failing = chain_run.find_starts(
        program,
        data,
        keys,
        propose,
        num_warmup=settings.tune,
        target_accept=settings.target_accept,
        max_tries=_MAX_STARTS,
    )
    if failing:
        position = jnp.asarray(chains[failing[0]].state.position)
        raise InitializationError(
            f"chain {failing[0]} found no start with a finite log-density and gradient in {_MAX_STARTS} tries. "
            f"Check priors, data and initvals of the variables marked below, at the last start:\n"
            f"{target.density.explain(position, data)}"
        )
    return chains if program.lanes is None else [stack(chains)]


def _per_chain(initvals: Any, chains: int) -> list:
    if initvals is None or isinstance(initvals, Mapping):
        return [initvals] * chains
    if isinstance(initvals, Sequence) and len(initvals) == chains:
        return list(initvals)
    raise ValueError(f"initvals must be a mapping of names to values, or a list of {chains}, one for each chain")


def as_key(random_seed: int | Key | None) -> Key:
    """Make a JAX key of a seed.

    Parameters
    ----------
    random_seed
        A whole number, a JAX key, or None for a fresh one.

    Raises
    ------
    TypeError
        For anything else.

    Examples
    --------
    >>> from pyrox.inference import as_key
    >>> bool(as_key(1) == as_key(1))
    True
    """
    if random_seed is None:
        return jax.random.key(secrets.randbits(63))
    if isinstance(random_seed, Integral) and not isinstance(random_seed, bool):
        if not -(2**63) <= random_seed < 2**63:
            raise ValueError(f"random_seed must fit in 64 bits, not {random_seed}")
        return jax.random.key(int(random_seed))
    if isinstance(random_seed, jax.Array):
        if jnp.issubdtype(random_seed.dtype, jax.dtypes.prng_key) and random_seed.ndim == 0:
            return random_seed
        if random_seed.dtype == jnp.uint32 and random_seed.shape == (2,):
            return jax.random.wrap_key_data(random_seed)
    raise TypeError(f"random_seed must be a whole number, a JAX key or None, not {random_seed!r}")


@dataclass(frozen=True)
class _Options:
    """What the results should hold, checked."""

    var_names: tuple[str, ...]
    dims: Mapping[str, Sequence[str] | None]
    coords: Mapping[str, Any]
    log_likelihood: bool


def _check_options(
    target: Target, var_names: Sequence[str] | None, idata_kwargs: Mapping[str, Any] | None
) -> _Options:
    known = (*target.density.free, *target.density.deterministics)
    names = known if var_names is None else (var_names,) if isinstance(var_names, str) else tuple(var_names)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ModelError(f"var_names: the model has no variable {unknown[0]!r}; it has {', '.join(known)}")
    extra = dict(idata_kwargs or {})
    strange = [name for name in extra if name not in _IDATA_OPTIONS]
    if strange:
        raise TypeError(f"idata_kwargs takes {', '.join(_IDATA_OPTIONS)}, not {strange[0]!r}")
    return _Options(
        var_names=names,
        dims={**target.dims, **extra.get("dims", {})},
        coords={**target.coords, **extra.get("coords", {})},
        log_likelihood=bool(extra.get("log_likelihood", False)),
    )


def _label(target: Target, data: Tree, draws: chain_run.Draws, options: _Options, attrs: Mapping[str, Any]) -> Any:
    """Turn positions into groups of named values."""
    groups: results.Groups = {}
    if draws.warmup_positions is not None and draws.warmup_positions.shape[1]:
        warmup = target.constrain(draws.warmup_positions, data)
        groups["warmup_posterior"] = {name: warmup[name] for name in options.var_names}
        groups["warmup_sample_stats"] = draws.warmup_stats
    values = target.constrain(draws.positions, data)
    groups["posterior"] = {name: values[name] for name in options.var_names}
    groups["sample_stats"] = draws.stats
    if options.log_likelihood:
        groups["log_likelihood"] = target.log_likelihood(draws.positions, data)
    groups["observed_data"], groups["constant_data"] = target.known_values(data)
    return results.build(groups, dims=options.dims, coords=options.coords, attrs=attrs)
