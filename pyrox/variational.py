"""The everyday calls of variational inference: from a model to an approximation that can be drawn from."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.approximation import Approximation, require_whole
from pyrox.errors import SamplingError, SupportError
from pyrox.progress import Progress, start_progress
from pyrox.runner import Interrupts, Runner
from pyrox.settings import as_key, reject_unknown
from pyrox.target import Target, target_of
from pyrox.typing import Array, Key, Tree
from pyrox.vi import optim as optimizers
from pyrox.vi import psis
from pyrox.vi.flat import (
    FAMILIES,
    RATES,
    Density,
    FlatFit,
    best_normals,
    family_of,
    find_starts,
    place_of,
    run_paths,
)
from pyrox.vi.joint import label
from pyrox.vi.lbfgs import Path
from pyrox.vi.loop import FitJob
from pyrox.vi.pathfinder import Found, draw_pool
from pyrox.vi.points import laplace

METHODS = (*FAMILIES, "laplace", "pathfinder")
_STEP_SIZE = 0.03
_DESCENT_STEPS = 1000
_NUM_PATHS = 4
_POOL = 1000  # draws from each path
_SMALLER = (
    "the optimizer takes steps that are too large: try a smaller learning rate, "
    "obj_optimizer=px.adam(learning_rate=0.001), another optimizer, or start=px.find_MAP()"
)


class _Weighed:
    """The best normal approximations of several paths, their draws resampled by smoothed importance weights."""

    def __init__(self, density: Density, found: list[Found]) -> None:
        self._density, self._found = density, found

    def pool(self, key: Key, count: int) -> tuple[np.ndarray, np.ndarray]:
        return draw_pool(self._found, self._density.many, psis.as_generator(key), max(count, _POOL))

    def positions(self, key: Key, count: int) -> np.ndarray:
        key_pool, key_pick = jax.random.split(key)
        positions, ratios = self.pool(key_pool, count)
        chosen = psis.resample(psis.as_generator(key_pick), psis.smooth(ratios).log_weights, count)
        return positions[chosen]

    def log_ratios(self, key: Key, count: int) -> np.ndarray:
        return self.pool(key, count // len(self._found))[1]


class _Drawn:
    """A distribution that can be drawn from, with log-densities."""

    def __init__(
        self, density: Density, draw: Callable[[Key, int], tuple[np.ndarray, np.ndarray]], params: dict | None = None
    ) -> None:
        self._density, self._draw, self.params = density, draw, params or {}

    def positions(self, key: Key, count: int) -> np.ndarray:
        return self._draw(key, count)[0]

    def log_ratios(self, key: Key, count: int) -> np.ndarray:
        positions, log_q = self._draw(key, count)
        return self._density.many(positions) - log_q


class _Fit(NamedTuple):
    """What a method has found."""

    source: Any
    losses: np.ndarray
    converged: bool


class _Ask(NamedTuple):
    """What a fit was asked for."""

    n: int
    key: Key
    start: Any
    optim: Any
    num_particles: int
    early_stopping: bool
    num_paths: int
    callbacks: Sequence[Callable] = ()
    describe: Callable[..., Approximation] | None = None  # what callbacks see


def _parameters_of_fit() -> tuple[str, ...]:
    code = fit.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def fit(
    n: int = 10_000,
    method: str = "advi",
    model: Any = None,
    random_seed: int | Key | None = None,
    start: Mapping[str, Any] | None = None,
    *,
    progressbar: bool = True,
    early_stopping: bool = True,
    callbacks: Sequence[Callable] | None = None,
    obj_optimizer: Any = None,
    obj_n_mc: int = 1,
    num_paths: int = _NUM_PATHS,
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
    **unknown: Any,
) -> Approximation:
    r"""Approximate the posterior by a distribution that is easy to draw from.

    .. math:: \max_{q \in Q} E_q[\log p(y, \theta) - \log q(\theta)]

    It works in coordinates that a quick descent (Pathfinder) suggests, in which the posterior is about a standard
    normal. Ctrl-C ends the run and keeps what it has found.

    Parameters
    ----------
    n
        Most steps.
    method
        ``"advi"``: independent normals over unconstrained space. ``"fullrank_advi"``: a normal with any covariance.
        ``"lowrank_advi"``: correlations in a few directions. ``"flow"``: a normal bent by inverse autoregressive flows.
        ``"laplace"``: the normal of mode and curvature. ``"pathfinder"``: normals along the paths of an optimizer,
        their draws weighed.
    model
        A Model, or a function of primitives; None takes the enclosing ``with`` block's model.
    random_seed
        A whole number or a JAX key; None draws one.
    start
        Values by variable to start from; what is not named starts at random.
    progressbar
        Whether to show progress.
    early_stopping
        Whether to take smaller steps when the loss no longer falls, and in the end to stop, by a test at the 5 % level.
    callbacks
        Functions of the approximation so far, the losses and the number of steps, called at the end of every block of
        50 to 500 steps; one that raises StopIteration ends the fit. See ``px.callbacks``.
    obj_optimizer
        An optimizer (``px.adam(learning_rate=0.01)``, one of ``pyrox.vi.optim``), or an optax transformation; Adam by
        default.
    obj_n_mc
        Number of draws of each estimate of the bound.
    num_paths
        Number of paths of ``"pathfinder"``.
    model_args, model_kwargs
        Arguments of a function.

    Returns
    -------
    The approximation: ``.sample(draws)`` draws from it, ``.losses`` and ``.plot_loss()`` show how it was found,
    ``.khat`` and ``.verdict`` say whether to trust it.

    Raises
    ------
    ModelError
        If there is no model, no free variable, or a discrete one.
    InitializationError
        If no start with a finite log-density was found; it shows every variable there.
    SamplingError
        If the loss or its gradient is not finite ten times in a row: the steps are too large, or the density is not
        finite somewhere.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model():
    ...     mu = px.Normal("mu", 0.0, 10.0)
    ...     y = px.Normal("y", mu, 1.0, observed=[1.0, 2.0, 3.0])
    ...     approximation = px.fit(random_seed=1, progressbar=False)
    >>> idata = approximation.sample(1000, random_seed=1)
    >>> bool(abs(idata["posterior"]["mu"].mean() - 2.0) < 0.1)
    True
    >>> approximation.khat < 0.7
    True
    """
    reject_unknown("px.fit", unknown, _parameters_of_fit())
    if callbacks is not None and not (isinstance(callbacks, Sequence) and all(map(callable, callbacks))):
        raise TypeError(f"callbacks is a list of functions; met {callbacks!r}")
    if method not in METHODS:
        raise ValueError(f"method is one of {', '.join(METHODS)}; met {method!r}")
    for name, value in (("n", n), ("obj_n_mc", obj_n_mc), ("num_paths", num_paths)):
        require_whole(name, value)
    began = time.perf_counter()
    with Interrupts() as interrupts:
        target = target_of(model, model_args, model_kwargs)
        data = target.data
        key, key_rest = jax.random.split(as_key(random_seed))
        optim = optimizers.as_optimizer(optimizers.Adam(_STEP_SIZE) if obj_optimizer is None else obj_optimizer)
        describe = partial(Approximation, target, data, method, key=key_rest, seconds=0.0)
        ask = _Ask(int(n), key, start, optim, obj_n_mc, early_stopping, num_paths, tuple(callbacks or ()), describe)
        density = Density(target.density, data, target.batches)
        run = {"laplace": _fit_laplace, "pathfinder": _fit_pathfinder}.get(method, _fit_family)
        found = run(density, ask, method, _Show(show=progressbar), interrupts)
    seconds = time.perf_counter() - began
    return Approximation(
        target, data, method, found.source, found.losses, converged=found.converged, key=key_rest, seconds=seconds
    )


class _Show(NamedTuple):
    """Whether to show progress."""

    show: bool

    def start(self, total: int, title: str) -> Progress:
        return start_progress(total, title, show=self.show)


def _descend(
    density: Density, fn: Callable, ask: _Ask, count: int, steps: int, show: _Show, interrupts: Interrupts
) -> list[Path]:
    """Let descents go down from several starts."""
    starts = find_starts(density, jax.random.fold_in(ask.key, 0), count, ask.start)
    paths = [Path(fn, start, density.data, steps) for start in starts]
    progress = show.start(steps * count, "Descending")
    try:
        run_paths(paths, progress, interrupts)
    finally:
        progress.close()
    return paths


def _fit_family(density: Density, ask: _Ask, method: str, show: _Show, interrupts: Interrupts) -> _Fit:
    quiet = _Show(show=False)
    some = density.thinned(jax.random.fold_in(ask.key, 3))
    paths = _descend(some, some.negative, ask, 1, _DESCENT_STEPS, quiet, interrupts)
    found = best_normals(some, paths, jax.random.fold_in(ask.key, 1))
    best = found[0] if found else None
    place = place_of(best, paths[0].trajectory()[0][0], method)
    fitted = FlatFit(density, family_of(best, method), place, ask.optim, ask.num_particles)
    watch = (lambda job: _call_back(ask, density, fitted, job)) if ask.callbacks else None
    job = fitted.job(jax.random.fold_in(ask.key, 2), ask.n, RATES if ask.early_stopping else (), watch)
    progress = show.start(ask.n, f"Fitting {method}")
    try:
        complete = Runner([job], 1, progress, job.describe, interrupts).run()
    finally:
        progress.close()
    _require_success(job, density, fitted)
    fitted.keep(job)
    _require_distribution(fitted, fitted.params, job.first_skipped)
    _warn_of_gaps(job, complete=complete)
    return _Fit(_Drawn(density, fitted.draw, fitted.params), job.losses[: job.steps], job.converged or job.stopped)


def _call_back(ask: _Ask, density: Density, fitted: FlatFit, job: FitJob) -> bool:
    """Call the callbacks with the approximation so far; tell whether one of them ends the fit."""
    now = copy(fitted)
    now.params = fitted.params_at(job.position)
    losses = job.losses[: job.steps]
    approximation = ask.describe(_Drawn(density, now.draw, now.params), losses, converged=job.converged)
    try:
        for callback in ask.callbacks:
            callback(approximation, losses, job.steps)
    except StopIteration:
        return True
    return False


def _require_success(job: FitJob, density: Density, fitted: FlatFit) -> None:
    """Refuse a fit that could not go on."""
    if job.failure is None:
        return
    params, step = fitted.params_at(job.failure.position), job.failure.step
    _require_distribution(fitted, params, step)
    table = density.density.explain(fitted.mean_position(params), density.data)
    raise SamplingError(
        f"the loss or its gradient was not finite at step {step}, nor at the next ones. If the values below are far "
        f"off, {_SMALLER}. In the middle of the approximation there:\n{table}"
    )


def _require_distribution(fitted: FlatFit, params: Mapping[str, Any], step: int) -> None:
    """Refuse parameters that no distribution can have, or one point alone: steps that are too large lead there."""
    cause = None
    try:
        if not fitted.is_point(params):
            return
    except SupportError as error:
        cause = error
    when = f"at about step {step}" if step >= 0 else "on its way"
    raise SamplingError(f"the fit diverged {when}, and leaves no distribution: {_SMALLER}") from cause


def _warn_of_gaps(job: FitJob, *, complete: bool) -> None:
    """Tell what was left out."""
    if not complete:
        warnings.warn(f"the fit was interrupted after {job.steps} of {job.total} steps", stacklevel=4)
    elif job.skipped:
        told = f"{job.skipped} of {job.steps} steps, the first at step {job.first_skipped}"
        warnings.warn(f"the loss or its gradient was not finite at {told}: they were left out", stacklevel=4)


def _fit_laplace(density: Density, ask: _Ask, method: str, show: _Show, interrupts: Interrupts) -> _Fit:
    paths = _descend(density, density.negative, ask, ask.num_paths, ask.n, show, interrupts)
    best = min(paths, key=_last_value)
    mode = jnp.asarray(best.trajectory()[0][-1])
    free = density.density.free
    normal = laplace(
        jax.jit(lambda x: density.density(x, density.data)), mode, lambda i: label(free, i)
    )

    def draw(key: Key, count: int) -> tuple[np.ndarray, np.ndarray]:
        positions = normal.sample(key, (count,))
        return np.asarray(positions), np.asarray(normal.log_prob(positions))

    return _Fit(_Drawn(density, draw), best.trajectory()[2], best.converged)


def _last_value(path: Path) -> float:
    value = float(path.at.value)
    return value if np.isfinite(value) else np.inf


def _fit_pathfinder(density: Density, ask: _Ask, method: str, show: _Show, interrupts: Interrupts) -> _Fit:
    paths = _descend(density, density.negative, ask, ask.num_paths, min(ask.n, _DESCENT_STEPS), show, interrupts)
    found = best_normals(density, paths, jax.random.fold_in(ask.key, 1))
    if not found:
        raise SamplingError(
            "no path has a normal approximation: its curvature is nowhere positive. Try another start, or px.sample"
        )
    best = min(paths, key=_last_value)
    return _Fit(_Weighed(density, found), best.trajectory()[2], all(path.converged for path in paths))


class MAP(dict):
    """A point of highest density: values by variable, with what is known about the search.

    Attributes
    ----------
    log_density
        The log-density there.
    converged
        Whether the search ended where nothing is to be gained.
    starts
        The log-density that each start led to.
    """

    log_density: float
    converged: bool
    starts: tuple[float, ...]

    def __repr__(self) -> str:
        rows = [f"  {name}: {np.array2string(np.asarray(x), precision=4, threshold=6)}" for name, x in self.items()]
        agreeing = sum(abs(s - self.log_density) <= 1e-4 * max(1.0, abs(self.log_density)) for s in self.starts)
        state = "converged" if self.converged else "NOT converged"
        head = f"log-density {self.log_density:.6g}, {state}, reached from {agreeing} of {len(self.starts)} starts"
        return "\n".join([f"<MAP: {head}>", *rows])


def find_MAP(  # noqa: N802 - PyMC's name
    start: Mapping[str, Any] | None = None,
    vars: Sequence[Any] | None = None,
    method: str = "L-BFGS-B",
    *,
    include_transformed: bool = False,
    progressbar: bool = True,
    maxeval: int = 5000,
    num_starts: int = 4,
    model: Any = None,
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
    seed: int | Key | None = None,
) -> MAP:
    r"""Find the point of highest posterior density of the variables themselves.

    .. math:: \hat\theta = \arg\max_\theta \log p(y, \theta)

    Parameters
    ----------
    start
        Values by variable to start from; what is not named starts at random.
    vars
        Variables to return, or their names; None returns all, deterministic ones too, but those that are drawn given
        the others (discrete ones, missing values on which nothing depends): these are summed out of the density.
    method
        ``"L-BFGS-B"``: limited-memory BFGS, over unconstrained space.
    include_transformed
        Whether to add the unconstrained values, under the names of ``model.initial_point()``: ``tau_log__``.
    progressbar
        Whether to show progress.
    maxeval
        Most steps from each start.
    num_starts
        Number of starts, of which the best end counts.
    model
        A Model, or a function of primitives; None takes the enclosing ``with`` block's model.
    model_args, model_kwargs
        Arguments of a function.
    seed
        A whole number or a JAX key for the starts; the same ones by default.

    Returns
    -------
    A mapping of names to values, which also tells ``log_density``, ``converged`` and ``starts``.

    Raises
    ------
    ModelError
        If there is no model, no free variable, or a discrete one.
    InitializationError
        If no start with a finite log-density was found.

    Warns
    -----
    UserWarning
        If the search did not converge: the density may have no highest point.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model():
    ...     p = px.Beta("p", 2.0, 2.0)
    ...     y = px.Binomial("y", 10, p, observed=7)
    ...     point = px.find_MAP(progressbar=False)
    >>> round(float(point["p"]), 4)
    0.6667
    """
    if method not in ("L-BFGS-B", "L-BFGS"):
        raise ValueError(f"find_MAP: method is 'L-BFGS-B'; met {method!r}")
    require_whole("maxeval", maxeval)
    require_whole("num_starts", num_starts)
    with Interrupts() as interrupts:
        target = target_of(model, model_args, model_kwargs)
        data = target.data
        wanted = None if vars is None else [v if isinstance(v, str) else getattr(v, "name", v) for v in vars]
        _require_known(target, wanted)
        key = as_key(0 if seed is None else seed)
        ask = _Ask(int(maxeval), key, start, None, 1, early_stopping=False, num_paths=num_starts)
        density = Density(target.density, data)

        def negative(position: Array, data: Tree) -> Array:
            terms = target.density.site_terms(position, data)
            return -sum(term for name, term in terms.items() if not name.endswith(" (Jacobian)"))

        paths = _descend(density, negative, ask, num_starts, int(maxeval), _Show(show=progressbar), interrupts)
    return _as_map(target, data, paths, negative, wanted, include_transformed=include_transformed)


def _require_known(target: Target, names: Sequence[str] | None) -> None:
    density = target.density
    known = [name for name in (*density.free, *density.deterministics) if name not in density.random]
    for name in names or ():
        if name not in known:
            raise ValueError(f"vars: the model has no variable {name!r}; it has {', '.join(known)}")


def _as_map(
    target: Target, data: Tree, paths: list[Path], negative: Callable, names: Sequence[str] | None,
    *, include_transformed: bool,
) -> MAP:  # fmt: skip
    best = min(paths, key=_last_value)
    position = np.asarray(best.at.position)
    values = target.constrain(position[None, None], data)
    wanted = set(values) - target.density.random if names is None else set(names)
    point = MAP({name: x[0, 0] for name, x in values.items() if name in wanted})
    if include_transformed:
        for name, site in target.density.free.items():
            if site.label != name:
                point[site.label] = position[site.start : site.stop].reshape(site.unconstrained_shape)
    point.log_density, point.converged = -_last_value(best), best.converged
    point.starts = tuple(-_last_value(path) for path in paths)
    gradient = np.asarray(best.at.gradient)
    steep = float(np.max(np.abs(gradient)))
    if not point.converged or steep > 1e-2 * max(1.0, abs(point.log_density)) ** 0.5:
        worst = label(target.density.free, int(np.argmax(np.abs(gradient))))
        warnings.warn(
            f"find_MAP did not converge: after {int(best.at.iterations)} steps the log-density {point.log_density:.6g} "
            f"still rises along {worst}. It may have no highest point (a hierarchical scale that goes to 0): use "
            "px.fit or px.sample, or give a higher maxeval",
            stacklevel=3,
        )
    return point
