"""Simulate data sets from a model, fit each, and rank the parameters that made the data among the draws."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.config import number_dtype
from pyrox.drawwise import Counted, map_draws
from pyrox.errors import ModelError, SamplingError
from pyrox.forecast import Runnable, draw_forward
from pyrox.mixing import rank_rhat_and_ess
from pyrox.model import LogDensity
from pyrox.model.forward import Forward
from pyrox.progress import start_progress
from pyrox.runner import Interrupts, Runner
from pyrox.samplers import run as chain_run
from pyrox.samplers.chain import ChainState
from pyrox.samplers.compile import ChainProgram, stack
from pyrox.samplers.kernel import Info
from pyrox.settings import Settings
from pyrox.target import Target
from pyrox.typing import Key, Tree

# The joint log-density takes part as a quantity of its own: it sees posteriors that forget the data. The second name
# is for models that have a variable of the first.
_JOINT = "lp", "lp__"
# A chain goes on until it has so many times as many effective draws as are ranked, or so many times as many draws:
# those that are then ranked, evenly spaced, have a correlation of about exp(-2 * 1.5).
EFFECTIVE = 1.5
_MOST_DRAWS = 50
_ROUND = 2  # times as many draws as are ranked, before their effective number is looked at
_MARGIN = 1.1
_MAX_STARTS = 100
# Iterations between two looks at Ctrl-C.
_CHUNK = 250
# Data sets that are fitted side by side on an accelerator.
LANES = 256
# Numbers whose difference is rounding are tied.
_TIE = 32


class Outcome(IntEnum):
    """What has become of a simulated data set."""

    WAITING = 0
    FITTED = 1
    NO_START = 2  # no start with a finite log-density was found
    BORDER = 3  # the truth has no log-density: it rounds to the border of its support, or no transform reaches it


@dataclass(frozen=True)
class Simulations:
    """Parameters from the prior, and data given them.

    Attributes
    ----------
    truths
        Values of the other variables by name, shape ``(simulation, *shape)``.
    data
        Observed values by name, shape ``(simulation, *shape)``.
    """

    truths: dict[str, np.ndarray]
    data: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.data.values())))


def simulate(runnable: Runnable, count: int, key: Key, *, show: bool, interrupts: Interrupts) -> Simulations:
    """Draw parameters from the prior and data from the model.

    Parameters
    ----------
    runnable
        The model.
    count
        Number of simulations.
    key
        A JAX key; those of one simulation depend on it and its number alone.
    show, interrupts
        Whether to show progress; where Ctrl-C is counted.

    Raises
    ------
    ModelError
        If the density of the model is not that of what can be drawn: it observes nothing, has a potential, or weighs
        some of its statements.
    """
    observed = runnable.of_kind("observed")
    if not observed:
        raise ModelError("sbc: the model observes nothing, so that there are no data to simulate: give observed=")
    factors = runnable.of_kind("factor")
    if factors:
        raise ModelError(
            f"sbc: {factors[0]!r} is a Potential, a term of the density that nothing can be drawn from: state it as a "
            "variable with a distribution (px.CustomDist, px.Truncated, px.Mixture)"
        )
    _require_whole(runnable)
    names = runnable.of_kind("sample", "deterministic", "observed")
    identity = np.arange(count, dtype=np.uint32)[:, None]
    options = {"title": "Simulating", "show": show, "interrupts": interrupts}
    found = draw_forward(runnable, names, {}, identity, key, **options)
    interrupts.raise_if_any()
    return Simulations(found, {name: found.pop(name) for name in observed})


def _require_whole(runnable: Runnable) -> None:
    """Refuse weights: of a weighed density nothing is drawn."""
    handler = Forward({}, {})
    jax.eval_shape(lambda: runnable.program.run(handler))
    weighed = [name for name, msg in handler.found.items() if msg["type"] == "sample" and msg["scale"] is not None]
    if weighed:
        raise ModelError(
            f"sbc: the log-density of {weighed[0]!r} is weighed (total_size, subsampling or scale), and nothing is "
            "drawn from a weighed density: calibrate the model of the whole data, or of the subsample alone"
        )


class Fits:
    """Fits of simulated data sets, done and to be done.

    Parameters
    ----------
    density
        The model's log-density.
    data
        Its data; those simulated take the place of the observed ones.
    simulations
        What to fit.
    names
        The variables to rank.
    settings
        How to sample; ``settings.draws`` is the number of draws among which the truths are ranked.
    key
        A JAX key; a fit depends on it and the number of its simulation alone.
    interrupts
        Where Ctrl-C is counted.
    lanes
        Number of data sets that are fitted side by side in one call; None fits them on threads.

    Attributes
    ----------
    ranks
        How many draws are less than the truth, by name, shape ``(simulation, *shape)``; ties are broken at random.
    varies
        Whether an element is not the same in all draws of a posterior and in its truth, by name, shape ``shape``.
    outcomes
        What has become of each simulation, an ``Outcome``.
    border
        Number of truths that no finite position belongs to, by name of the variable.
    joint
        Name under which the joint log-density is ranked.
    stats
        Of each fit: ``ess`` and ``rhat``, the worst of all quantities; ``draws`` that were made; ``divergences``.
    """

    def __init__(
        self, density: LogDensity, data: Tree, simulations: Simulations, names: Sequence[str], settings: Settings,
        key: Key, *, interrupts: Interrupts, lanes: int | None = None,
    ) -> None:  # fmt: skip
        self._names, self._settings, self._key, self._lanes = tuple(names), settings, key, lanes
        self.joint = next(name for name in _JOINT if name not in simulations.truths)
        self._simulations, self._density, self._interrupts = simulations, density, interrupts
        first = {name: y[0] for name, y in simulations.data.items()}
        self._base = jax.tree.map(jnp.asarray, self._with(first, data))
        self._target = Target(density, None)
        count = len(simulations)
        shapes = {name: simulations.truths[name].shape for name in self._names}
        self.ranks = {name: np.zeros(shape, np.int32) for name, shape in {**shapes, self.joint: (count,)}.items()}
        self.varies = {name: np.zeros(x.shape[1:], bool) for name, x in self.ranks.items()}
        self.outcomes, self.border = np.full(count, Outcome.WAITING), {}
        self.stats = {"ess": np.full(count, np.nan), "rhat": np.full(count, np.nan)}
        self.stats |= {"draws": np.zeros(count, int), "divergences": np.zeros(count, int)}
        self.native = False

    @property
    def done(self) -> np.ndarray:
        """Numbers of the simulations that have been fitted."""
        return np.flatnonzero(self.outcomes == Outcome.FITTED)

    def run(self, *, show: bool) -> None:
        """Fit, until all is done or Ctrl-C ends it.

        Raises
        ------
        SamplingError
            If it ended before anything was done.
        """
        count = len(self._simulations)
        self._truths = {**self._simulations.truths, self.joint: self._joint_densities()}
        self._usual = {name: np.median(np.abs(np.asarray(x, float)), axis=0) for name, x in self._truths.items()}
        self._program = self._compile()
        self.native = self._program.native
        self._target.compile_map("constrain", self._base)
        self._interrupts.raise_if_any()
        size = self._lanes or 1
        cores = min(1 if self._lanes else self._settings.cores, -(-count // size))
        jobs = [_Job(self._fit, count, size, first, cores) for first in range(cores)]
        progress = Counted(start_progress(count, "Calibrating", show=show), size, count)
        try:
            with chain_run.one_thread_each(self._program):
                Runner(jobs, cores, progress, self._describe, self._interrupts).run()
        finally:
            progress.close()
        if not np.any(self.outcomes):
            raise SamplingError("sbc was interrupted before the first data set was fitted")

    def _describe(self) -> str:
        done = self.done
        return f"{int(self.stats['divergences'][done].sum())} divergences" if len(done) else "starting"

    def _joint_densities(self) -> np.ndarray:
        """Give the log-density of every truth and its data."""
        free = {name: self._simulations.truths[name] for name in self._density.free}

        def single(draw: tuple[dict, dict], data: Tree) -> dict[str, Any]:
            data = self._with(draw[1], data)
            position = self._density.unconstrain(draw[0], data)
            return {"position": position, "joint": self._density(position, data)}

        pairs = free, self._simulations.data
        found = map_draws(single, pairs, self._base, title="Calibrating", interrupts=self._interrupts)
        self._interrupts.raise_if_any()
        for name, site in self._density.free.items():
            beyond = ~np.isfinite(found["position"][:, site.start : site.stop]).all(axis=1)
            self.border |= {name: int(beyond.sum())} if beyond.any() else {}
        return found["joint"]

    def _compile(self) -> ChainProgram:
        marked = self._with(self._simulations.data, jax.tree.map(lambda _: None, self._base))
        leaves = jax.tree.leaves(marked, is_leaf=lambda x: x is None)
        own = tuple(i for i, leaf in enumerate(leaves) if leaf is not None)
        return self._target.chain_program(
            self._base,
            heartbeat=self._interrupts.raise_if_any,
            recipe=self._settings.recipe,
            lanes=self._lanes,
            own=() if self._lanes is None else own,
            fused=self._settings.fused,
        )

    def _data_of(self, i: Any) -> Tree:
        """Give the data of a simulation, or of several along a leading axis."""
        return self._with({name: y[i] for name, y in self._simulations.data.items()}, self._base)

    @staticmethod
    def _with(observed: Mapping[str, Any], data: Tree) -> Tree:
        """Put observed values into the data of a density: there they stand for what was observed."""
        return {**data, "closed": {**data["closed"], **observed}}

    # One fit, or as many as there are lanes

    def _fit(self, numbers: np.ndarray) -> None:
        """Fit simulations; what Ctrl-C cuts short is left undone."""
        lanes, chains, failing = self._start(numbers)
        if len(failing) < len(numbers):
            draws = self._sample(lanes, chains)
        if self._given_up:
            return
        for k, i in enumerate(numbers):
            if k in failing or not np.isfinite(self._truths[self.joint][i]):
                self.outcomes[i] = Outcome.NO_START if k in failing else Outcome.BORDER
            else:
                self._rank(int(i), k, draws)

    def _start(self, numbers: np.ndarray) -> tuple[np.ndarray, list[ChainState], list[int]]:
        """Find starts; give the simulation of each lane, the chains, and the places of those that have no start."""
        lanes = numbers if self._lanes is None else np.resize(numbers, self._lanes)
        chains, failing = chain_run.find_starts(
            self._program,
            self._data_of(lanes[0] if self._lanes is None else lanes),
            [chain_run.fold_in(self._key, int(i)) for i in lanes],
            lambda k, key: self._density.initial_position(key, self._data_of(lanes[k])),
            num_warmup=self._settings.tune,
            target_accept=self._settings.acceptance,
            max_tries=_MAX_STARTS,
        )
        good = next((k for k in range(len(lanes)) if k not in failing), None)
        if good is not None:
            for k in failing:  # the others need not wait for what cannot move
                lanes[k], chains[k] = lanes[good], chains[good]
        return lanes, chains, failing

    def _sample(self, lanes: np.ndarray, chains: list[ChainState]) -> "_Draws":
        data = self._data_of(lanes[0] if self._lanes is None else lanes)
        chain = chains[0] if self._lanes is None else stack(chains)
        draws = _Draws(self.values, self.joint, lanes, self._settings.draws)
        chain, *_ = self._advance(chain, data, self._settings.tune)
        while (more := draws.lacking()) and not self._given_up:
            chain, positions, stats = self._advance(chain, data, more)
            draws.add(positions, stats)
        return draws

    @property
    def _given_up(self) -> bool:
        """Whether fits in progress are not to be ended: Ctrl-C twice."""
        return self._interrupts.count > 1

    def _advance(self, chain: Any, data: Tree, n: int) -> tuple:
        """Make transitions; give positions and statistics ``(lane, transition, ...)``."""
        lanes, dim = self._lanes or 1, self._density.dim
        positions = [np.zeros((lanes, 0, dim), self._program.dtype)]
        stats = [np.zeros((lanes, 0, len(Info._fields)), self._program.dtype)]
        while n > 0 and not self._given_up:
            step = min(n, self._program.buffer, _CHUNK)
            chain, some, told = self._program.advance(chain, data, step)
            positions.append(some.reshape(lanes, step, dim))
            stats.append(told.reshape(lanes, step, -1))
            n -= step
        return chain, np.concatenate(positions, axis=1), np.concatenate(stats, axis=1)

    def values(self, positions: np.ndarray, i: int, first: int) -> dict[str, np.ndarray]:
        """Give the ranked variables at positions ``(draw, dim)`` of a simulation; the first is a draw of a number."""
        found = self._target.compile_map("constrain", self._base)(positions[None], self._data_of(i), first)
        return {name: found[name][0] for name in self._names}

    def _rank(self, i: int, lane: int, draws: "_Draws") -> None:
        ess, rhat = draws.quality[lane]
        rng = np.random.default_rng([*np.asarray(jax.random.key_data(self._key)).tolist(), i])
        for name, values in draws.thinned(lane).items():
            self.ranks[name][i], same = rank_among(self._truths[name][i], values, self._usual[name], rng)
            self.varies[name] |= ~same
        told = {"ess": ess, "rhat": rhat, "draws": draws.count, "divergences": draws.divergences[lane]}
        for name, value in told.items():
            self.stats[name][i] = value
        self.outcomes[i] = Outcome.FITTED


class _Draws:
    """The draws of fits side by side.

    Parameters
    ----------
    values
        Gives the variables at positions of a simulation, of which the first is a draw of a number.
    joint
        Name of the log-density.
    lanes
        The simulation of each lane.
    ranked
        Number of draws among which truths are ranked.
    """

    def __init__(
        self,
        values: Callable[[np.ndarray, int, int], dict[str, np.ndarray]],
        joint: str,
        lanes: np.ndarray,
        ranked: int,
    ) -> None:
        self._turn, self._joint, self._lanes, self._ranked, self.count = values, joint, lanes, ranked, 0
        self._values: list[dict[str, np.ndarray]] = [{} for _ in lanes]
        self.divergences = np.zeros(len(lanes), int)
        self.quality: list[tuple[float, float]] = []  # least effective sample size and largest R-hat of each lane

    def add(self, positions: np.ndarray, stats: np.ndarray) -> None:
        """Take more draws ``(lane, draw, ...)``."""
        told = chain_run.name_stats(stats)
        self.divergences += told["diverging"].sum(axis=1)
        for k, i in enumerate(self._lanes):
            new, known = {**self._turn(positions[k], int(i), self.count), self._joint: told["lp"][k]}, self._values[k]
            self._values[k] = {n: np.concatenate([known[n], x]) if known else x for n, x in new.items()}
        self.count += positions.shape[1]
        self.quality = [self._judge(values) for values in self._values]

    @staticmethod
    def _judge(values: Mapping[str, np.ndarray]) -> tuple[float, float]:
        found = [rank_rhat_and_ess(x[None]) for x in values.values() if x.size]
        rhats, sizes = (np.concatenate([np.ravel(pair[which]) for pair in found]) for which in (0, 1))
        return float(np.min(sizes)), float(np.max(rhats[np.isfinite(rhats)], initial=1.0))

    def lacking(self) -> int:
        """Give the number of draws that there should be more, as far as can be told, for enough effective ones."""
        if not self.count:
            return _ROUND * self._ranked
        least = min(size for size, _ in self.quality)
        enough = EFFECTIVE * self._ranked
        if not least < enough:
            return 0
        # Few draws tell little of how many are needed.
        fitting = int(_MARGIN * self.count * enough / max(least, 1.0)) + 1
        return max(min(fitting, 4 * self.count, _MOST_DRAWS * self._ranked) - self.count, 0)

    def thinned(self, lane: int) -> dict[str, np.ndarray]:
        """Give as many draws as are ranked, evenly spaced."""
        at = ((np.arange(self._ranked) + 0.5) * self.count / self._ranked).astype(int)
        return {name: x[at] for name, x in self._values[lane].items()}


class _Job:
    """Every so-many-th group of simulations, so that all jobs move along them together."""

    max_chunk = 1

    def __init__(self, fit: Callable[[np.ndarray], None], count: int, size: int, first: int, stride: int) -> None:
        self._fit, self._count, self._size, self._first, self._stride = fit, count, size, first, stride
        self.done, self.total = 0, -(-count // (size * stride))

    def advance(self, n: int) -> None:
        """Fit ``n`` groups."""
        for _ in range(n):
            begin = (self._first + self.done * self._stride) * self._size
            self.done += 1
            if begin < self._count:
                self._fit(np.arange(begin, min(begin + self._size, self._count)))


def rank_among(
    truth: np.ndarray, draws: np.ndarray, usual: Any, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Count the draws ``(draw, *shape)`` that are less than a truth; of those equal to it, a number at random.

    Numbers are equal if they differ by rounding: of themselves, or of a number as large as the quantity is usually.

    Returns
    -------
    The counts; whether all draws are equal to the truth.
    """
    truth, draws = np.asarray(truth, float), np.asarray(draws, float)
    near = _TIE * np.finfo(number_dtype()).eps * np.maximum(np.maximum(np.abs(truth), np.abs(draws)), usual)
    with np.errstate(invalid="ignore"):  # equal infinities
        tied = (np.abs(draws - truth) <= near) | (draws == truth)
    less = np.sum((draws < truth) & ~tied, axis=0)
    return less + rng.integers(0, tied.sum(axis=0), endpoint=True), tied.all(axis=0)
