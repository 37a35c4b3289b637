"""Approximate one log-density over R^d: starts, paths, and members of a family fitted in coordinates that suit it."""

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.config import number_dtype
from pyrox.dist import Distribution
from pyrox.dist.transforms import Transform
from pyrox.errors import InitializationError, ModelError
from pyrox.model import LogDensity
from pyrox.model.handlers import seed, substitute, trace
from pyrox.model.primitives import param
from pyrox.progress import Progress
from pyrox.runner import Interrupts, Runner, available_cores
from pyrox.samplers.executables import compile_function
from pyrox.typing import Array, Key, Tree
from pyrox.vi import families
from pyrox.vi.checks import find_params
from pyrox.vi.lbfgs import Path, any_path
from pyrox.vi.loop import FitJob, Loss, Position, UpdateLoop, block_length
from pyrox.vi.pathfinder import Found, pathfinder
from pyrox.vi.psis import as_generator
from pyrox.vi.svi import constrain

_MAX_STARTS = 100
_BATCH = 64
# So many numbers of data are looked at side by side, and so many rows where a few will do for a start.
_NUMBERS, _ROWS = 2**26, 10_000
# Factors of the step size: each holds until the loss no longer falls.
RATES = (1.0, 0.1, 0.01)

FAMILIES: dict[str, families.Family] = {
    "advi": partial(families.diagonal_normal, init_scale=1.0),
    "fullrank_advi": partial(families.multivariate_normal, init_scale=1.0),
    "lowrank_advi": partial(families.low_rank_normal, init_scale=1.0),
    "flow": partial(families.inverse_autoregressive, init_scale=1.0),
}


class Density:
    """A log-density with its data, evaluated at many positions.

    Parameters
    ----------
    density
        The model's.
    data
        The data.
    batches
        Sizes of minibatches, by the name of the datum that holds the numbers of their rows.
    """

    def __init__(self, density: LogDensity, data: Tree, batches: Mapping[str, int] | None = None) -> None:
        self.density, self.data, self.batches = density, data, batches or {}
        self.dim = density.dim
        self._many: Any = None
        largest = max((x.size for x in jax.tree.leaves(data)), default=1)
        self._batch = int(np.clip(_NUMBERS // max(largest, 1), 1, _BATCH))

    def batch(self, key: Key, data: Tree) -> Tree:
        """Draw the rows of minibatches."""
        sites = dict(data["sites"])
        for i, (name, size) in enumerate(self.batches.items()):
            rows = sites[name].shape[0]
            sites[name] = jax.random.randint(jax.random.fold_in(key, i), (size,), 0, rows, sites[name].dtype)
        return {**data, "sites": sites}

    def thinned(self, key: Key) -> "Density":
        """Give a density that looks at some rows at most, where it may be looked at in batches."""
        sites = self.data["sites"]
        rows = {name: max(size, min(_ROWS, sites[name].shape[0])) for name, size in self.batches.items()}
        if all(n == sites[name].shape[0] for name, n in rows.items()):
            return self
        return Density(self.density, Density(self.density, self.data, rows).batch(key, self.data))

    def negative(self, position: Array, data: Tree) -> Array:
        """Give the negative log-density."""
        return -self.density(position, data)

    def many(self, positions: np.ndarray) -> np.ndarray:
        """Evaluate the log-density at positions of shape ``(draw, dim)``, in batches of one shape."""
        if self._many is None:
            shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), self.data)
            rows = jax.ShapeDtypeStruct((self._batch, self.dim), number_dtype())
            self._many = compile_function(jax.vmap(self.density, in_axes=(0, None)), rows, shapes)
        out = []
        for begin in range(0, len(positions), self._batch):
            piece = positions[begin : begin + self._batch]
            filled = np.concatenate([piece, np.repeat(piece[-1:], self._batch - len(piece), axis=0)])
            filled = np.asarray(filled, number_dtype())
            out.append(np.asarray(self._many(filled, self.data))[: len(piece)])
        return np.concatenate(out)


def find_starts(density: Density, key: Key, count: int, start: Any = None) -> list[np.ndarray]:
    """Find positions of finite log-density: as ``start`` says by name, at random for the rest.

    Raises
    ------
    InitializationError
        If a hundred tries do not give one; it shows every variable there.
    """
    found: list[np.ndarray] = []
    tried = 0
    while len(found) < count and tried < _MAX_STARTS * count:
        keys = [jax.random.fold_in(key, tried + i) for i in range(_BATCH)]
        positions = np.stack(
            [np.asarray(density.density.initial_position(k, density.data, initvals=start)) for k in keys]
        )
        finite = np.isfinite(density.many(positions))
        found += [position for position, good in zip(positions, finite, strict=True) if good]
        tried += _BATCH
    if len(found) < count:
        table = density.density.explain(jnp.asarray(positions[-1]), density.data)
        raise InitializationError(
            f"no start with a finite log-density in {tried} tries. Check priors, data and start values of the "
            f"variables marked below, at the last one:\n{table}"
        )
    return found[:count]


def run_paths(
    paths: list[Path], progress: Progress, interrupts: Interrupts, cores: int | None = None
) -> bool:
    """Let descents go on side by side until all are done; tell whether they are."""
    return Runner(paths, cores or available_cores(), progress, any_path(paths), interrupts).run()


def best_normals(density: Density, paths: list[Path], key: Key) -> list[Found]:
    """Choose the best normal approximation along each path, where there is one; the best one first."""
    found = []
    for i, path in enumerate(paths):
        positions, gradients, _ = path.trajectory()
        rng = as_generator(jax.random.fold_in(key, i))
        best = pathfinder(positions, gradients, density.many, rng)
        if best is not None:
            found.append(best)
    return sorted(found, key=lambda f: -f.elbo)


class Place(NamedTuple):
    """Coordinates in which the posterior is about a standard normal: position = centre + matrix @ w.

    Attributes
    ----------
    centre
        Of shape ``(dim,)``.
    matrix
        Of shape ``(dim,)``, a diagonal, or ``(dim, dim)``.
    """

    centre: Array
    matrix: Array

    def __call__(self, w: Array) -> Array:
        """Give the position."""
        return self.centre + (self.matrix * w if self.matrix.ndim == 1 else self.matrix @ w)

    def log_det(self) -> Array:
        """Give the log-determinant."""
        if self.matrix.ndim == 1:
            return jnp.sum(jnp.log(self.matrix))
        return jnp.linalg.slogdet(self.matrix)[1]


def place_of(found: Found | None, start: np.ndarray, method: str) -> Place:
    """Choose coordinates: those of a normal approximation, its diagonal alone where the family has no correlations."""
    if found is None:
        return Place(jnp.asarray(start), jnp.full(start.size, 0.1))
    normal = found.normal
    if method in ("fullrank_advi", "flow"):
        return Place(jnp.asarray(normal.mean), jnp.asarray(normal.factor()))
    return Place(jnp.asarray(normal.mean), jnp.asarray(np.sqrt(normal.variance())))


def family_of(found: Found | None, method: str) -> families.Family:
    """Give the family of a method; low-rank normals start from the strongest correlations of an approximation."""
    family = FAMILIES[method]
    if method != "lowrank_advi" or found is None or found.normal.mean.size < 2:
        return family
    factor = found.normal.factor() / np.sqrt(found.normal.variance())[:, None]
    values, vectors = np.linalg.eigh(factor @ factor.T)
    rank = max(1, round(values.size**0.5))
    rest = max(float(np.mean(values[:-rank])), 1e-8)
    lengths = np.sqrt(np.maximum(values[-rank:] / rest - 1, 1e-4))
    return partial(family, init_scale=rest**0.5, rank=rank, directions=vectors[:, -rank:] * lengths)


class FlatFit:
    """A member of a family, fitted to a log-density.

    Parameters
    ----------
    density
        The log-density.
    family
        The family.
    place
        Coordinates to fit in.
    optim
        The optimizer.
    num_particles
        Number of draws of each estimate.
    """

    def __init__(self, density: Density, family: families.Family, place: Place, optim: Any, num_particles: int) -> None:
        self._density, self._family, self.place, self._optim = density, family, place, optim
        self._num_particles = num_particles
        self.transforms: dict[str, Transform] = {}
        self.params: dict[str, Any] = {}

    def _program(self) -> Distribution:
        return self._family(param, np.zeros(self._density.dim))

    def posterior(self, params: dict[str, Any]) -> Distribution:
        """Give the distribution, in the coordinates of the fit."""
        return substitute(self._program, params)()

    def _loss(self) -> Loss:
        density = self._density.density

        def one(key: Key, params: dict[str, Any], place: Place, log_det: Array, data: Tree) -> Array:
            posterior = self.posterior(params)
            if families.is_normal(posterior):
                w = posterior.sample(key)
                log_q = self.posterior(jax.lax.stop_gradient(params)).log_prob_inside(w)
            else:
                w, log_q = families.draw(key, posterior)
            return log_q - log_det - density(place(w), data)

        def loss(params: Tree, key: Key, arguments: Tree) -> Array:
            transforms, place, log_det, data = arguments
            values = constrain(transforms, params)
            if self._density.batches:
                key, key_batch = jax.random.split(key)
                data = self._density.batch(key_batch, data)
            if self._num_particles == 1:
                return one(key, values, place, log_det, data)
            keys = jax.random.split(key, self._num_particles)
            return jnp.mean(jax.vmap(lambda k: one(k, values, place, log_det, data))(keys))

        return loss

    def job(
        self, key: Key, num_steps: int, rates: tuple[float, ...], watch: Callable[[FitJob], bool] | None = None
    ) -> FitJob:
        """Make the job for the runner."""
        key_params, key_run = jax.random.split(key)
        params = self._first(key_params)
        data = (self.transforms, self.place, self.place.log_det(), self._density.data)
        loop = UpdateLoop(self._loss(), self._optim, block_length(num_steps), averaged=True, rated=True)
        start = Position(self._optim.init(params), jax.random.key_data(key_run))
        return FitJob(loop, start, data, num_steps, rates=rates, watch=watch)

    def _first(self, key: Key) -> dict[str, Any]:
        params, self.transforms = find_family_params(key, self._program)
        return params

    def keep(self, job: FitJob) -> None:
        """Take over what a job has found."""
        best = self._optim.get_params(job.position.optim) if job.best is None else job.best[2]
        self.params = constrain(self.transforms, jax.tree.map(jnp.asarray, best))

    def params_at(self, position: Position) -> dict[str, Any]:
        """Give the constrained parameters of a position of the loop."""
        return constrain(self.transforms, self._optim.get_params(position.optim))

    def is_point(self, params: dict[str, Any]) -> bool:
        """Tell whether a normal has shrunk, along some axis, to what is a point for the machine."""
        if not families.is_normal(self.posterior(params)):
            return False

        @jax.jit
        def moments(params: dict[str, Any]) -> tuple[Array, Array]:
            posterior = self.posterior(params)
            return posterior.mean, posterior.variance

        mean, variance = map(np.asarray, moments(params))
        return bool(np.any(np.sqrt(variance) <= np.finfo(variance.dtype).eps * np.abs(mean)))

    def mean_position(self, params: dict[str, Any]) -> Array:
        """Give where the middle of the base distribution leads."""
        posterior = self.posterior(params)
        if families.is_normal(posterior):
            return self.place(posterior.mean)
        return self.place(families.transform_to(posterior)(jnp.zeros(self._density.dim)))

    def draw(self, key: Key, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw positions; also give their log-densities."""

        positions, log_q = self._many_draws(jax.random.split(key, count), self.params, self.place)
        return np.asarray(positions), np.asarray(log_q)

    @cached_property
    def _many_draws(self) -> Callable:
        def one(key: Key, params: dict[str, Any], place: Place) -> tuple[Array, Array]:
            w, log_q = families.draw(key, self.posterior(params))
            return place(w), log_q - place.log_det()

        return jax.jit(jax.vmap(one, in_axes=(0, None, None)))


def find_family_params(key: Key, program: Callable) -> tuple[dict[str, Any], dict[str, Transform]]:
    """Give the unconstrained parameters that a family states, and their transforms."""
    record = trace(seed(program, key)).get_trace()
    if not record:
        raise ModelError("the family states no parameter")
    params, transforms, _, _ = find_params(key, lambda: None, program, (), {})
    return params, transforms
