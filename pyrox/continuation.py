"""Go on with a run: from its store after a crash, or from the state kept with its result."""

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax

from pyrox import results
from pyrox.config import number_dtype
from pyrox.errors import ModelError
from pyrox.handle import carry_out
from pyrox.identity import require_same_data
from pyrox.launch import SavedChains
from pyrox.runner import Interrupts, available_cores
from pyrox.sampling import STATE_GROUP, TERMS, Options, SamplingRun, Task, check_options
from pyrox.settings import Settings, require_count, require_path
from pyrox.store import Store, require_zarr
from pyrox.target import Target, target_of


def resume(
    checkpoint: str | os.PathLike,
    draws: int | None = None,
    *,
    cores: int | None = None,
    progressbar: bool = True,
    quiet: bool = False,
    compute_convergence_checks: bool = True,
    blocking: bool = True,
    model: Any = None,
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Go on with a run that was made with ``px.sample(..., checkpoint=...)``.

    It may have been ended by Ctrl-C, a crash, a full disk or a reboot, during warm-up or later; or be complete, and
    get more draws. On the same kind of machine the draws are those of the run without a break, bit for bit.

    Parameters
    ----------
    checkpoint
        The store.
    draws
        Draws of each chain when all is done, those in the store included; None takes what the run was asked for.
    cores, progressbar, quiet, compute_convergence_checks, blocking
        As for ``px.sample``.
    model, model_args, model_kwargs
        The model, as it was given to ``px.sample``; None takes the enclosing ``with`` block's.

    Returns
    -------
    The results of the whole run, as ``px.sample`` gives them.

    Raises
    ------
    FileNotFoundError
        If there is no such store.
    ModelError
        If the model or its data are not those of the run; it names what differs.
    SamplingError
        If another run is writing to the store, or the disk is full.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model():
    ...     mu = px.Normal("mu", 0.0, 10.0)
    ...     idata = px.resume("run.zarr", draws=2000)  # doctest: +SKIP
    """
    require_path(checkpoint, "px.resume")
    require_zarr()
    store = Store.open(checkpoint)
    record, what = store.record, f"the run in {os.fspath(checkpoint)!r}"
    settings = _settings(record["settings"], cores)
    settings = replace(settings, draws=_choose_draws(draws, settings, record, what))

    def make(interrupts: Interrupts) -> SamplingRun:
        target = target_of(model, model_args, model_kwargs)
        options = check_options(target, record["var_names"], dict.fromkeys(record["terms"], True))
        checks = compute_convergence_checks and not quiet
        task = Task(target, settings, options, random_seed=record["random_seed"], checks=checks)
        _require_same_run(task, record, what)
        store.hold()
        store.record["settings"] |= {"draws": settings.draws}
        launch = SavedChains(store.states(), what)
        return SamplingRun(
            task, launch, checkpoint=store, interrupts=interrupts, show=progressbar and not quiet
        )

    return carry_out(make, blocking=blocking, quiet=quiet)


def _settings(stored: Mapping[str, Any], cores: int | None) -> Settings:
    return Settings(**stored, cores=available_cores() if cores is None else cores)


def _choose_draws(draws: int | None, settings: Settings, record: Mapping[str, Any], what: str) -> int:
    if draws is None:
        return settings.draws
    require_count("draws", draws, 1)
    there = max(record["done"] - settings.tune, 0)
    if draws < there:
        raise ValueError(f"draws counts those that are there: {what} has {there} of each chain already, not {draws}")
    return int(draws)


def _require_same_run(task: Task, record: Mapping[str, Any], what: str) -> None:
    """Check model and data against those of a run."""
    versions, dtype = record["versions"], str(number_dtype())
    if versions["dtype"] != dtype:
        former = versions["dtype"]
        raise ModelError(f"{what} is in {former}, not {dtype}: px.set_precision({former!r}) first")
    require_same_data(task.data, record["data"], what)
    if versions["jax"] != jax.__version__:
        warnings.warn(
            f"{what} was begun with JAX {versions['jax']}; with {jax.__version__} it goes on correctly, but not bit "
            "for bit as it would have.",
            stacklevel=5,
        )
        return
    functions = task.hash_functions()
    changed = [name for name, found in functions.items() if found != record["functions"][name]]
    if changed:
        raise ModelError(
            f"the model is not that of {what}: its {' and '.join(changed)} are computed in another way. Bring back the "
            "model of then, or begin a new run"
        )


def continue_sampling(
    idata: Any,
    draws: int = 1000,
    *,
    cores: int | None = None,
    progressbar: bool = True,
    quiet: bool = False,
    compute_convergence_checks: bool = True,
    blocking: bool = True,
    model: Any = None,
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Draw more from where a result has ended, without another warm-up.

    The state of the chains is kept with the result, in the group ``sampler_state``, also in a file. The draws are
    those of a longer run, bit for bit on the same kind of machine.

    Parameters
    ----------
    idata
        The result of ``px.sample``, as it was or read from a file.
    draws
        How many more draws each chain makes.
    cores, progressbar, quiet, compute_convergence_checks, blocking
        As for ``px.sample``.
    model, model_args, model_kwargs
        The model, as it was given to ``px.sample``; None takes the enclosing ``with`` block's.

    Returns
    -------
    Results with all draws, earlier and new. Groups that were made of the earlier draws, predictions for one, are left
    out; ``log_likelihood`` and ``log_prior`` are carried on.

    Raises
    ------
    ModelError
        If there is no state in the result, draws at its end are missing, or model or data are not those it was made of.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model():
    ...     mu = px.Normal("mu", 0.0, 10.0)
    ...     idata = px.sample(200, tune=300, random_seed=1, quiet=True)
    ...     more = px.continue_sampling(idata, 100, quiet=True)
    >>> more["posterior"]["mu"].shape
    (4, 300)
    """
    require_count("draws", draws, 1)
    former = results.groups_of(idata)
    state = _kept_state(former)
    arrays = {str(name): x.values for name, x in state.data_vars.items()}
    what = "the result that is to be continued"
    done = int(arrays["iteration"][0] - arrays["num_warmup"][0])
    settings = _settings(json.loads(state.attrs["settings"]), cores)
    settings = replace(settings, draws=done + draws, chains=state.sizes["chain"], keep_warmup=False)

    def make(interrupts: Interrupts) -> SamplingRun:
        target = target_of(model, model_args, model_kwargs)
        checks = compute_convergence_checks and not quiet
        seed = former["posterior"].attrs.get("random_seed")
        task = Task(
            target,
            settings,
            _former_options(target, former),
            random_seed=None if seed is None else int(seed),
            checks=checks,
        )
        require_same_data(task.data, json.loads(state.attrs["data"]), what)
        launch = SavedChains(arrays, what)
        return SamplingRun(task, launch, interrupts=interrupts, show=progressbar and not quiet, former=former)

    return carry_out(make, blocking=blocking, quiet=quiet)


def _kept_state(former: Mapping[str, Any]) -> Any:
    """Find the state of the chains that the posterior holds, and check that it fits its last draws."""
    if "posterior" not in former or STATE_GROUP not in former:
        raise ModelError(
            f"there is no group {STATE_GROUP!r} in this result: px.sample keeps it, except for runs that were stopped "
            "when their chains were not equally far. Sample anew"
        )
    posterior, state = former["posterior"], former[STATE_GROUP]
    state = state.sel(chain=posterior["chain"].values)
    done = int(state["iteration"].values[0] - state["num_warmup"].values[0])
    last = int(posterior["draw"].values[-1]) + 1 if posterior.sizes["draw"] else 0
    if last != done:
        raise ModelError(
            f"the posterior ends after draw {last - 1}, the chains stand after draw {done - 1}: continue a result that "
            "holds its last draws"
        )
    return state


def _former_options(target: Target, former: Mapping[str, Any]) -> Options:
    """Keep the variables and labels of a result."""
    posterior = former["posterior"]
    density = target.density
    known = (*density.free, *density.discrete, *density.drawn, *density.deterministics, *density.decentered)
    strange = [str(name) for name in posterior.data_vars if name not in known]
    if strange:
        raise ModelError(
            f"the result that is to be continued is of another model: it has {strange[0]!r}, this one has "
            f"{', '.join(known)}"
        )
    options = check_options(target, [str(name) for name in posterior.data_vars], None)
    dims, coords = dict(options.dims), dict(options.coords)
    for group in ("posterior", *TERMS):
        if group in former:
            dims |= {str(name): x.dims[2:] for name, x in former[group].data_vars.items()}
            coords |= {str(name): x.values for name, x in former[group].coords.items() if name not in ("chain", "draw")}
    return replace(options, dims=dims, coords=coords, terms=tuple(name for name in TERMS if name in former))
