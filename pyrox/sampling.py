"""One run of the no-U-turn sampler, from the model to labelled results, in memory or in a store."""

import contextlib
import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from pyrox import diagnostics, results
from pyrox.checkpoint import Checkpoint, rows_of_file
from pyrox.config import number_dtype
from pyrox.errors import ModelError, SamplingError
from pyrox.identity import hash_data, hash_function
from pyrox.progress import start_progress
from pyrox.runner import Interrupts, Runner
from pyrox.samplers import run as chain_run
from pyrox.samplers.chain import ChainState
from pyrox.samplers.compile import ChainProgram, stack
from pyrox.samplers.kernel import Info
from pyrox.samplers.saved import to_arrays, unstack
from pyrox.screening import screen
from pyrox.settings import Settings
from pyrox.store import Store
from pyrox.target import Target
from pyrox.typing import Tree

STATE_GROUP = "sampler_state"
# Groups of terms of the log-density, element by element, which results hold if they are asked for.
TERMS = ("log_likelihood", "log_prior")
_IDATA_OPTIONS = ("coords", "dims", *TERMS)


@dataclass(frozen=True)
class Options:
    """What the results should hold, checked."""

    var_names: tuple[str, ...]
    dims: Mapping[str, Sequence[str] | None]
    coords: Mapping[str, Any]
    terms: tuple[str, ...] = ()


def check_options(target: Target, var_names: Sequence[str] | None, idata_kwargs: Mapping[str, Any] | None) -> Options:
    """Check what the results should hold against what the model has."""
    density = target.density
    if var_names is not None and not isinstance(var_names, str | Sequence):
        raise ModelError(f"var_names is a list of names of variables; met {var_names!r}")
    known = (*density.free, *density.discrete, *density.drawn, *density.deterministics)
    names = known if var_names is None else (var_names,) if isinstance(var_names, str) else tuple(var_names)
    unknown = [name for name in names if name not in (*known, *density.decentered)]
    if unknown:
        raise ModelError(f"var_names: the model has no variable {unknown[0]!r}; it has {', '.join(known)}")
    if not isinstance(idata_kwargs or {}, Mapping):
        raise TypeError(f"idata_kwargs is a dict of {', '.join(_IDATA_OPTIONS)}; met {idata_kwargs!r}")
    extra = dict(idata_kwargs or {})
    strange = [name for name in extra if name not in _IDATA_OPTIONS]
    if strange:
        raise TypeError(f"idata_kwargs takes {', '.join(_IDATA_OPTIONS)}, not {strange[0]!r}")
    return Options(
        var_names=names,
        dims={**_decentered_dims(target), **target.dims, **extra.get("dims", {})},
        coords={**target.coords, **extra.get("coords", {})},
        terms=tuple(name for name in TERMS if extra.get(name, False)),
    )


def _decentered_dims(target: Target) -> dict[str, Any]:
    """Give the standard form of a variable its dims, where it has its shape."""
    density = target.density
    pairs = zip(density.decentered, density.sites.noncentered, strict=True)
    sites = ((name, of, density.free[of]) for name, of in pairs)
    return {name: target.dims.get(of) for name, of, site in sites if site.shape == site.unconstrained_shape}


@dataclass(frozen=True)
class Task:
    """What a run does.

    Attributes
    ----------
    target
        The model.
    settings
        How it samples; ``settings.draws`` counts those of an earlier run that it continues.
    options
        What the results hold.
    random_seed
        The seed, where it was a number.
    checks
        Whether convergence is checked.
    data
        The data of the moment in which the run was asked for.
    """

    target: Target
    settings: Settings
    options: Options
    random_seed: int | None = None
    checks: bool = True
    data: Tree = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", self.target.data)
        # What "auto" comes to is what a report tells and a continuation asks for.
        object.__setattr__(self, "settings", self.settings.resolve(self.target.density.dim))

    def turn(self, positions: np.ndarray, first: int = 0) -> dict[str, dict[str, np.ndarray]]:
        """Make of positions ``(chain, draw, dim)`` the groups of values; the first draw has a number."""
        groups = {"posterior": self._values(positions, first)}
        for name in self.options.terms:
            groups[name] = self.target.compile_map(name, self.data)(positions, self.data, first)
        return groups

    def turn_warmup(self, positions: np.ndarray, first: int = 0) -> dict[str, dict[str, np.ndarray]]:
        """Make of positions of the warm-up its group of values."""
        return {"warmup_posterior": self._values(positions, first)}

    def _values(self, positions: np.ndarray, first: int) -> dict[str, np.ndarray]:
        values = self.target.compile_map("constrain", self.data)(positions, self.data, first)
        if any(name not in values for name in self.options.var_names):
            values |= self.target.compile_map("standardise", self.data)(positions, self.data, first)
        return {name: values[name] for name in self.options.var_names}

    def hash_functions(self) -> dict[str, str]:
        """Give hashes of what the model computes: its log-density, and the values of a position."""
        density = self.target.density
        functions = {"log-density": density, "named values": density.constrain}
        return {name: hash_function(function, density.dim, self.data) for name, function in functions.items()}

    def label(self, groups: results.Groups, attrs: Mapping[str, Any]) -> dict[str, Any]:
        """Label groups of values, and add what is known."""
        observed, constant = self.target.known_values(self.data)
        groups = {**groups, "observed_data": observed, "constant_data": constant}
        return results.label(groups, dims=self.options.dims, coords=self.options.coords, attrs=attrs)


class Launch(Protocol):
    """Where the chains of a run begin; see ``launch.py``."""

    def prepare(self, task: Task) -> None:
        """Do what needs no program, while it is compiled."""
        ...

    def __call__(self, task: Task, program: ChainProgram) -> list[ChainState]:
        """Give the chains."""
        ...


class SamplingRun:
    """A run under way.

    Parameters
    ----------
    task
        What it does.
    launch
        Where the chains begin.
    checkpoint
        Where to make a store, or the store of the run that is continued; None keeps draws in memory.
    interrupts
        Where Ctrl-C, or a wish to stop, is counted.
    show
        Whether progress is shown.
    former
        Results that this run continues, by group.

    Attributes
    ----------
    jobs
        The chains on their way; empty while the program is compiled.
    complete
        Whether everything was done.
    """

    def __init__(
        self,
        task: Task,
        launch: Launch,
        *,
        checkpoint: Path | Store | None = None,
        interrupts: Interrupts | None = None,
        show: bool = False,
        former: Mapping[str, Any] | None = None,
    ) -> None:
        self.task, self._launch, self._former = task, launch, former
        self.interrupts = interrupts or Interrupts()
        total = task.settings.chains * (task.settings.tune + task.settings.draws)
        self._progress = start_progress(total, "Sampling", show=show)
        self.jobs: list[chain_run.ChainJob] = []
        self.runner: Runner | None = None
        self.complete = self.paused = False
        self._where, self._checkpoint = checkpoint, None
        self._native = False
        self._began, self._seconds = time.perf_counter(), 0.0

    @property
    def store(self) -> Path | None:
        """The folder of the store, if there is one."""
        return self._where.path if isinstance(self._where, Store) else self._where

    def execute(self) -> None:
        """Compile, find starts and sample, until all is done or an interrupt ends it."""
        settings = self.task.settings
        try:
            program = self._compile()
            chains = self._launch(self.task, program)
            self.task.target.compile_map("constrain", self.task.data)
            self.interrupts.raise_if_any()
            self.jobs = self._make_jobs(program, chains)
            self.runner = Runner(
                self.jobs, settings.cores, self._progress, lambda: chain_run.describe(self.jobs), self.interrupts
            )
            if self.paused:
                self.runner.pause()
            with chain_run.one_thread_each(program):
                self.complete = self.runner.run()
            if self._checkpoint is not None:
                self._checkpoint.flush(complete=self.complete)
        finally:
            self._progress.close()
            self._seconds = time.perf_counter() - self._began
            if isinstance(self._where, Store):
                self._where.release()

    def _compile(self) -> ChainProgram:
        self._progress.update(0, lambda: "compiling")
        settings = self.task.settings
        lanes = settings.chains if jax.default_backend() != "cpu" else None
        program = self.task.target.chain_program(
            self.task.data,
            heartbeat=self.interrupts.raise_if_any,
            recipe=settings.recipe,
            lanes=lanes,
            fused=settings.fused,
            meanwhile=self._look_ahead,
        )
        if settings.fused and not program.native:
            reason = ", ".join(program.obstacles) or f"JAX's platform, {jax.default_backend()}"
            raise SamplingError(f"fused=True: the model cannot run as one native kernel, because of {reason}")
        self._native = program.native
        return program

    def _look_ahead(self) -> None:
        """Do what comes later while the compiler leaves the interpreter and a core to others."""
        if "arviz" not in sys.modules:
            threading.Thread(target=_import_early, name="pyrox-arviz", daemon=False).start()
        self._launch.prepare(self.task)
        self.interrupts.raise_if_any()
        self.task.target.compile_map("constrain", self.task.data)
        self.task.target.compile_known_values(self.task.data)

    def _make_jobs(self, program: ChainProgram, chains: list[ChainState]) -> list[chain_run.ChainJob]:
        settings = self.task.settings
        if self._where is not None:
            if not isinstance(self._where, Store):
                self._where = self._create_store(self._where, chains)
            self._checkpoint = Checkpoint(
                self._where, self.task.turn, self.task.turn_warmup, keep_warmup=settings.keep_warmup
            )
        together = chains if program.lanes is None else [stack(chains)]
        return [
            chain_run.ChainJob(
                program,
                self.task.data,
                chain,
                settings.draws,
                keep_warmup=settings.keep_warmup,
                sink=self._checkpoint.stream(chain, program.lanes) if self._checkpoint else None,
            )
            for chain in together
        ]

    def pause(self) -> None:
        """Let the chunks in progress end, and begin no more."""
        self.paused = True
        if self.runner is not None:
            self.runner.pause()

    def go_on(self) -> None:
        """End a pause."""
        self.paused = False
        if self.runner is not None:
            self.runner.go_on()

    # The results

    def attrs(self) -> dict[str, Any]:
        """Say what made the results, and when."""
        return results.run_attrs(
            sampling_time=self._seconds or time.perf_counter() - self._began,
            tuning_steps=self.task.settings.tune,
            random_seed=self.task.random_seed,
            native_kernel=int(self._native),
            interrupted=None if self.complete else 1,
            summed_out=None if (marginal := self.task.target.density.marginal) is None else str(marginal.plan),
            derived=json.dumps(self.task.target.density.derived),
            depends=None if (depends := self.task.target.density.depends) is None else json.dumps(depends),
            **self.task.target.attrs,
        )

    def datasets(self) -> dict[str, Any]:
        """Give the results so far, a dataset for each group.

        Raises
        ------
        SamplingError
            If there are no draws yet.
        """
        self._require_draws()
        if self._checkpoint is not None:
            if not self.complete and self.runner is not None:
                self._checkpoint.flush()
            return open_results(self._where)
        datasets = self._collect()
        return datasets if self._former is None else results.append(self._former, datasets)

    def _collect(self) -> dict[str, Any]:
        """Label what is in memory."""
        draws = chain_run.collect(self.jobs, keep_warmup=self.task.settings.keep_warmup)
        groups: results.Groups = {}
        if draws.warmup_positions is not None and draws.warmup_positions.shape[1]:
            groups |= self.task.turn_warmup(draws.warmup_positions)
            groups["warmup_sample_stats"] = draws.warmup_stats
        num_warmup = self.jobs[0].num_warmup
        first = max(self.jobs[0].begin - num_warmup, 0)
        groups |= self.task.turn(draws.positions, first)
        groups["sample_stats"] = draws.stats
        datasets = self.task.label(groups, self.attrs())
        chains = [chain for job in self.jobs for chain in unstack(job.chain, self._lanes)]
        count = draws.positions.shape[1]
        if count and all(int(chain.iteration) == num_warmup + first + count for chain in chains):
            datasets[STATE_GROUP] = results.state_dataset(to_arrays(chains), state_attrs(self.task))
        return datasets

    @property
    def _lanes(self) -> int | None:
        return None if self.jobs[0].chain.iteration.ndim == 0 else self.task.settings.chains

    def _require_draws(self) -> None:
        settings = self.task.settings
        done = min((job.done for job in self.jobs), default=0)
        if done > settings.tune or (settings.keep_warmup and self.jobs):
            return
        if not self.jobs:
            raise SamplingError("stopped while the model was compiled: there are no draws yet")
        way = (
            f"px.resume({str(self.store)!r}) goes on from there."
            if self.store is not None
            else "discard_tuned_samples=False keeps the warm-up."
        )
        raise SamplingError(
            f"interrupted during warm-up, after {done} of {settings.tune} iterations: there are no draws yet. {way}"
        )

    def findings(self, datasets: Mapping[str, Any]) -> list[str]:
        """Name what speaks against the results, and keep the report with them."""
        found = []
        if not self.complete:
            kept = datasets["posterior"].sizes["draw"] if "posterior" in datasets else 0
            wanted = self.task.settings.draws
            way = "" if self.store is None else f" px.resume({str(self.store)!r}) goes on from there."
            found.append(f"Sampling was interrupted: {kept} of {wanted} draws of each chain are kept.{way}")
        if self.task.checks and not self.interrupts.count:
            stats = {name: x.values for name, x in datasets["sample_stats"].data_vars.items()}
            # Discrete variables are drawn anew for each draw of the others: they mix as these do.
            density, posterior = self.task.target.density, datasets["posterior"]
            posterior = posterior.drop_vars(density.discrete, errors="ignore")
            report = diagnostics.examine(screen(posterior), stats, self.task.settings.max_treedepth)
            datasets["posterior"].attrs["findings"] = report.to_json()
            found += [str(finding) for finding in report]
        return found

    # The store

    def _create_store(self, path: Path, chains: list[ChainState]) -> Store:
        settings = self.task.settings
        none = np.zeros((settings.chains, 0, self.task.target.density.dim), number_dtype())
        groups: results.Groups = self.task.turn(none)
        growing = [*groups, "sample_stats"]
        stats = chain_run.name_stats(np.zeros((settings.chains, 0, len(Info._fields)), none.dtype))
        groups["sample_stats"] = stats
        if settings.keep_warmup:
            groups |= self.task.turn_warmup(none) | {"warmup_sample_stats": stats}
        numbers = sum(int(np.prod(x.shape[2:])) for group in groups.values() for x in group.values())
        rows = rows_of_file(numbers, settings.draws)
        datasets = self.task.label(groups, self.attrs())
        record = {
            "pyrox": results.run_attrs()["inference_library_version"],
            "settings": json.loads(state_attrs(self.task)["settings"]),
            "random_seed": self.task.random_seed,
            "var_names": list(self.task.options.var_names),
            "terms": list(self.task.options.terms),
            "groups": growing,
            "rows": rows,
            "data": hash_data(self.task.data),
            "functions": self.task.hash_functions(),
            "versions": {"jax": jax.__version__, "dtype": str(none.dtype)},
        }
        return Store.create(
            path, lambda folder: results.write_skeleton(folder, datasets, rows), record, to_arrays(chains)
        )


def open_results(store: Store) -> dict[str, Any]:
    """Open the results of a store, with the state of its chains if all are equally far."""
    datasets = {name: data for name, data in results.open_store(store.path).items() if data}
    states = store.states()
    if len(set(states["iteration"].tolist())) == 1 and states["iteration"][0] > states["num_warmup"][0]:
        attrs = {"settings": json.dumps(store.record["settings"]), "data": json.dumps(store.record["data"])}
        datasets[STATE_GROUP] = results.state_dataset(states, attrs)
    return datasets


def state_attrs(task: Task) -> dict[str, str]:
    """Keep with the state of chains what continuing them needs."""
    settings = {name: value for name, value in asdict(task.settings).items() if name != "cores"}
    return {"settings": json.dumps(settings, default=_plain), "data": json.dumps(hash_data(task.data))}


def _plain(value: Any) -> Any:
    return value.item()


def _import_early() -> None:
    # What goes wrong here, at exit for one, goes wrong again where it matters, and is told there.
    with contextlib.suppress(Exception):
        results.load_arviz()
