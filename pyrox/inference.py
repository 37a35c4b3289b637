"""The everyday calls: from a model to labelled results."""

import os
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from pyrox.handle import carry_out
from pyrox.launch import NewChains, random_starts
from pyrox.messages import tell
from pyrox.runner import Interrupts, available_cores
from pyrox.sampling import SamplingRun, Task, check_options
from pyrox.settings import (
    Settings,
    as_flag,
    as_key,
    choose_init,
    choose_warmup,
    merge_nuts,
    reject_unknown,
    require_flags,
    require_path,
)
from pyrox.store import require_absent, require_zarr
from pyrox.target import target_of
from pyrox.typing import Key
from pyrox.variational import fit


def sample(
    draws: int = 1000,
    *,
    tune: int | None = 1000,
    chains: int = 4,
    cores: int | None = None,
    random_seed: int | Key | None = None,
    progressbar: bool | str = True,
    quiet: bool = False,
    adaptation: str | None = None,
    target_accept: float | None = None,
    max_treedepth: int | None = None,
    nuts: Mapping[str, Any] | None = None,
    init: str = "auto",
    initvals: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    var_names: Sequence[str] | None = None,
    discard_tuned_samples: bool = True,
    compute_convergence_checks: bool = True,
    idata_kwargs: Mapping[str, Any] | None = None,
    return_inferencedata: bool = True,
    checkpoint: str | os.PathLike | None = None,
    blocking: bool = True,
    model: Any = None,
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
    fused: bool | None = None,
    **unknown: Any,
) -> Any:
    r"""Draw from the posterior with the no-U-turn sampler.

    .. math:: p(\theta \mid y) \propto p(y \mid \theta) \, p(\theta)

    Chains run side by side on all cores. Ctrl-C ends the run and returns the draws so far. Discrete variables are
    summed out exactly where that can be done (``px.explain_marginalization`` shows how), and drawn given the others.

    Parameters
    ----------
    draws
        Draws to keep from each chain.
    tune
        Iterations of warm-up in each chain; None leaves them to the adaptation.
    chains
        Number of chains.
    cores
        Number of chains that run at a time; None takes as many as the process may use.
    random_seed
        A whole number or a JAX key; the same one gives the same draws, whatever the cores, the progress bar or an
        interruption. None draws one.
    progressbar
        Whether to show progress. PyMC's kinds, ``"combined"`` and the like, mean True: all chains have one bar.
    quiet
        True shows neither progress, nor how discrete variables are summed out, nor warnings about the draws.
    adaptation
        What is learnt in the warm-up from draws and gradients: ``"dense"`` the scales of the variables and all their
        correlations, ``"low_rank"`` the strongest of these, ``"rank_one"`` the one direction in which the scales are
        most wrong, ``"diag"`` the scales alone; ``"stan"`` the scales from draws, in Stan's windows. ``"auto"`` (the
        default) is ``"dense"`` up to 64 dimensions, ``"rank_one"`` beyond.
    target_accept
        Mean acceptance that the step size aims at: nearer to 1 takes smaller steps and follows harder corners. A
        number is kept to by whole steps; the default is 0.8, up to 0.9 after divergences in the warm-up, and up to 0.95
        where the posterior is found to be far from normal.
    max_treedepth
        Most doublings of a trajectory, 10 by default.
    nuts
        The three above as a mapping, ``nuts={"adaptation": "low_rank"}``; and ``"trajectories"``: ``"mixed"`` (the
        default), nine in ten of a length that the warm-up learns from those that go on until they turn, or
        ``"turning"``, all of the latter kind, as ``"stan"`` and accelerators have them anyway.
    init
        Where chains start: ``"auto"`` at random, ``"pathfinder"`` or ``"advi"`` at draws of an approximation that is
        found first, by ``px.fit``. PyMC's names are understood: ``"jitter+adapt_diag"`` asks for scales alone,
        ``"adapt_full"`` for a dense adaptation, in place of ``"auto"``.
    initvals
        Starting values by variable, for all chains or in a list for each; what is not named starts at random.
    var_names
        Variables to keep in the posterior; None keeps all. What a non-centred variable ``theta`` is sampled through is
        kept only if it is named, ``"theta_decentered"``.
    discard_tuned_samples
        False keeps the warm-up in groups of its own.
    compute_convergence_checks
        Whether to look at divergences, R-hat and effective sample sizes afterwards, and warn.
    idata_kwargs
        ``coords`` and ``dims`` that replace those of the model, and ``log_likelihood=True``,
        ``log_prior=True`` for these groups.
    return_inferencedata
        True; there is no other form.
    checkpoint
        Name of a Zarr store to be made. Draws go there as they come, with the state of the chains: memory stays
        bounded, xarray can look inside, and ``px.resume`` goes on after an interrupt, a crash or a full disk. Results
        of more than 100 MB stay in the store and are read as they are used. Needs ``pip install "pyrox[store]"``.
    blocking
        False returns a handle at once, while the chains run: ``progress``, ``inspect()``, ``pause()``, ``resume()``,
        ``abort()``, ``wait()``, ``result()``.
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
        If there is no model, no continuous free variable, or a discrete one that cannot be summed out.
    InitializationError
        If no start with a finite log-density and gradient was found; it shows every variable there.
    SamplingError
        If the run was interrupted before the first draw, or the disk is full.
    FileExistsError
        If there is something at ``checkpoint``.
    TypeError
        If an argument is unknown, or an option is given twice.

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
    reject_unknown("px.sample", unknown, ("draws", *sample.__kwdefaults__))
    progressbar = as_flag("progressbar", progressbar)
    require_flags(
        quiet=quiet, discard_tuned_samples=discard_tuned_samples, blocking=blocking,
        compute_convergence_checks=compute_convergence_checks,
    )  # fmt: skip
    if return_inferencedata is not True:
        raise TypeError("return_inferencedata is True: results are InferenceData (ArviZ 0.x) or a DataTree (1.x)")
    direct = {"adaptation": adaptation, "target_accept": target_accept, "max_treedepth": max_treedepth}
    method, named = choose_init(init)
    if named is not None and adaptation is None and "adaptation" not in (nuts or {}):
        direct["adaptation"] = named
    options = merge_nuts(nuts, direct)
    settings = Settings(
        draws=draws,
        tune=choose_warmup(tune, options["adaptation"]),
        chains=chains,
        cores=available_cores() if cores is None else cores,
        keep_warmup=not discard_tuned_samples,
        fused=fused,
        **options,
    )
    if method is not None and not (initvals is None or isinstance(initvals, Mapping)):
        raise ValueError(
            f"initvals with init={init!r} is one mapping of names to values: where the approximation starts"
        )
    if checkpoint is not None:
        require_path(checkpoint, "checkpoint=")
        require_zarr()
        require_absent(checkpoint)

    def make(interrupts: Interrupts) -> SamplingRun:
        key = as_key(random_seed)
        target = target_of(model, model_args, model_kwargs)
        if target.density.marginal is not None and not quiet:
            tell(str(target.density.marginal.plan))
        if method is None:
            launch = NewChains(key, random_starts(_per_chain(initvals, chains)))
        else:
            show = progressbar and not quiet
            found = fit(method=method, model=target, random_seed=key, start=initvals, progressbar=show)
            launch = NewChains(key, lambda task, i, key: jnp.asarray(found.positions(key, 1)[0]))
        task = Task(
            target,
            settings,
            check_options(target, var_names, idata_kwargs),
            random_seed=int(random_seed) if isinstance(random_seed, Integral) else None,
            checks=compute_convergence_checks and not quiet,
        )
        path = None if checkpoint is None else Path(checkpoint)
        return SamplingRun(task, launch, checkpoint=path, interrupts=interrupts, show=progressbar and not quiet)

    return carry_out(make, blocking=blocking, quiet=quiet)


def _per_chain(initvals: Any, chains: int) -> list:
    if initvals is None or isinstance(initvals, Mapping):
        return [initvals] * chains
    if isinstance(initvals, Sequence) and len(initvals) == chains:
        return list(initvals)
    raise ValueError(f"initvals must be a mapping of names to values, or a list of {chains}, one for each chain")
