"""Simulation-based calibration: does inference find the parameters that made the data?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import jax
import numpy as np

from pyrox import _html as html
from pyrox import results
from pyrox.errors import ModelError, SamplingError
from pyrox.forecast import Runnable, seed_of
from pyrox.mixing import normal_quantile
from pyrox.runner import Interrupts, available_cores
from pyrox.samplers.run import fold_in
from pyrox.settings import Settings, choose_warmup, merge_nuts, reject_unknown, require_count
from pyrox.simulation import EFFECTIVE, LANES, Fits, Outcome, simulate
from pyrox.target import target_of
from pyrox.typing import Key
from pyrox.uniformity import LEAST_PVALUE, rank_band, rank_pvalues

_SIMULATION = "simulation"
_SHOWN = 12
_NAMED = 4
# Of failed or poor fits a share that is worth a warning.
_SHARE = 0.01
_POWER = 0.9
_SLOWER = 1.15  # a test of the whole curve needs so much larger shifts than one of the mean rank


def sbc(
    model: Any = None,
    simulations: int = 200,
    *,
    draws: int = 100,
    tune: int | None = 500,
    level: float = 0.01,
    var_names: Sequence[str] | None = None,
    cores: int | None = None,
    random_seed: int | Key | None = None,
    progressbar: bool = True,
    adaptation: str | None = None,
    target_accept: float | None = None,
    max_treedepth: int | None = None,
    nuts: Mapping[str, Any] | None = None,
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
    fused: bool | None = None,
    **unknown: Any,
) -> "Calibration":
    r"""Check that inference finds parameters that made the data, by simulation-based calibration.

    .. math:: \theta \sim p(\theta), \quad y \sim p(y \mid \theta), \quad \theta_1, \dots, \theta_L \sim
              p(\cdot \mid y) \quad \Rightarrow \quad \#\{l : \theta_l < \theta\} \text{ is uniform on } 0, \dots, L

    Each simulation draws parameters from the prior and data from the model, samples the posterior as ``px.sample``
    does, and ranks the parameters among the draws. If prior, likelihood, transforms and sampler fit together, all
    ranks are equally probable. The joint log-density takes part as a quantity ``lp``: it notices posteriors that take
    no heed of the data. A chain goes on until its effective draws are one and a half times those that are ranked.

    Parameters
    ----------
    model
        A Model, or a function of primitives; None takes the enclosing ``with`` block's model. What it observes is
        replaced by simulated data of the same shapes; predictors stay.
    simulations
        Number of simulated data sets.
    draws
        Draws of each posterior among which the truth is ranked.
    tune
        Iterations of warm-up in each fit; None leaves them to the adaptation.
    level
        Chance of calling a calibrated model uncalibrated, of all quantities together.
    var_names
        Variables to rank; None takes all.
    cores
        Number of fits that run at a time; None takes as many as the process may use. Accelerators fit hundreds of data
        sets side by side instead.
    random_seed
        A whole number or a JAX key; the same one gives the same ranks. None draws one.
    progressbar
        Whether to show progress. Ctrl-C keeps the fits that are done; a second one does not wait for those in progress.
    adaptation, target_accept, max_treedepth, nuts, fused
        As for ``px.sample``.
    model_args, model_kwargs
        Arguments of a function.

    Returns
    -------
    A ``Calibration``: printed, it tells the verdict in words; ``calibrated`` is the verdict, ``plot()`` shows the
    ranks, ``ranks``, ``truths``, ``data``, ``fits`` and ``tests`` are xarray datasets.

    Raises
    ------
    ModelError
        If there is no model, it observes nothing, or it has terms that nothing can be drawn from: potentials, flat
        priors, the weights of a subsample.
    SamplingError
        If Ctrl-C came before anything was done, or none of the data sets could be fitted.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model():
    ...     mu = px.Normal("mu", 0.0, 1.0)
    ...     y = px.Normal("y", mu, 1.0, observed=[0.0, 0.0, 0.0])
    ...     checked = px.sbc(simulations=100, draws=50, random_seed=1, progressbar=False)
    >>> checked.calibrated
    True
    >>> checked.ranks["mu"].shape
    (100,)

    References
    ----------
    .. [1] Talts et al. (2018), Validating Bayesian inference algorithms with simulation-based calibration,
       arXiv:1804.06788.
    .. [2] Säilynoja, Bürkner and Vehtari (2022), Graphical test for discrete uniformity and its applications in
       goodness-of-fit evaluation and multiple sample comparison, Statistics and Computing 32.
    .. [3] Modrák et al. (2023), Simulation-based calibration checking for Bayesian computation: the choice of test
       quantities shapes sensitivity, Bayesian Analysis.
    """
    reject_unknown("px.sbc", unknown, ("model", "simulations", *sbc.__kwdefaults__))
    require_count("simulations", simulations, 2)
    require_count("draws", draws, 4)
    if isinstance(level, bool) or not isinstance(level, Real) or not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level!r}")
    direct = {"adaptation": adaptation, "target_accept": target_accept, "max_treedepth": max_treedepth}
    options = merge_nuts(nuts, direct)
    settings = Settings(
        draws=draws,
        tune=choose_warmup(tune, options["adaptation"]),
        chains=1,
        cores=available_cores() if cores is None else cores,
        fused=fused,
        **options,
    )
    key, seed = seed_of(random_seed)
    with Interrupts() as interrupts:
        runnable = Runnable(model, model_args, model_kwargs)
        simulated = simulate(
            runnable, simulations, fold_in(key, 0), show=progressbar, interrupts=interrupts
        )
        target = target_of(model, model_args, model_kwargs)
        names = _choose(target.density, var_names)
        lanes = None if jax.default_backend() == "cpu" else min(simulations, LANES)
        fits = Fits(
            target.density, target.data, simulated, names, settings, fold_in(key, 1), interrupts=interrupts, lanes=lanes
        )
        fits.run(show=progressbar)
    if not len(fits.done):
        beyond = int(np.sum(fits.outcomes == Outcome.BORDER))
        raise SamplingError(
            f"sbc: none of {len(fits.outcomes)} data sets could be fitted: {beyond} truths have no log-density "
            f"({', '.join(fits.border)}); for the other data sets no start was found that has one"
        )
    attrs = results.run_attrs(random_seed=seed, tuning_steps=settings.tune, native_kernel=int(fits.native))
    return _label(runnable, simulated, fits, {**attrs, **target.attrs}, draws=draws, level=float(level))


def _choose(density: Any, var_names: Sequence[str] | None) -> list[str]:
    known = [*density.free, *density.discrete, *density.drawn, *density.deterministics]
    names = known if var_names is None else [var_names] if isinstance(var_names, str) else list(var_names)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        what = f"the model has no variable {unknown[0]!r}" if unknown else "no variable is named"
        raise ModelError(f"var_names: {what}; it has {', '.join(known)}")
    return names


def _label(
    runnable: Runnable, simulated: Any, fits: Fits, attrs: Mapping[str, Any], *, draws: int, level: float
) -> "Calibration":
    done = fits.done

    def label(arrays: Mapping[str, np.ndarray]) -> Any:
        dims = {name: (_SIMULATION, *_axes(runnable, name, x.ndim - 1)) for name, x in arrays.items()}
        coords = {**runnable.coords, _SIMULATION: done}
        return results.dataset(arrays, dims, coords, {**attrs, "draws": draws}, sampled=False)

    return Calibration(
        ranks=label({name: x[done] for name, x in fits.ranks.items()}),
        truths=label({name: x[done] for name, x in simulated.truths.items() if name in fits.ranks}),
        varies=fits.varies,
        border=fits.border,
        data=label({name: x[done] for name, x in simulated.data.items()}),
        fits=label({name: x[done] for name, x in fits.stats.items()}),
        num_draws=draws,
        level=level,
        outcomes={what: int(np.sum(fits.outcomes == what)) for what in Outcome},
    )


def _axes(runnable: Runnable, name: str, ndim: int) -> tuple[str, ...]:
    declared = (runnable.dims.get(name) or ()) if name in runnable.sites else ()
    return tuple(
        declared[i] if i < len(declared) and declared[i] is not None else f"{name}_dim_{i}" for i in range(ndim)
    )


@dataclass(frozen=True)
class Quantity:
    """What the ranks of one quantity tell.

    Attributes
    ----------
    name
        The variable, with the labels of the element.
    pvalue
        Of uniform ranks, times the number of quantities.
    shift
        Mean of the ranks less that of uniform ones, in its standard errors: negative if truths lie low.
    spread
        The same of their squared distance from the middle: positive if truths lie outside too often.
    """

    name: str
    pvalue: float
    shift: float
    spread: float

    def words(self) -> str:
        """Say what is odd about the ranks."""
        if abs(self.shift) >= abs(self.spread):
            return "its draws are too high" if self.shift < 0 else "its draws are too low"
        return "its draws spread too little" if self.spread > 0 else "its draws spread too much"


@dataclass(frozen=True)
class Calibration:
    """Ranks of true parameters among the draws of their posteriors, and what they tell.

    Attributes
    ----------
    ranks
        Dataset: how many draws are less than the truth, 0 to ``num_draws``, with the dim ``simulation`` first; ``lp``
        is the joint log-density.
    truths, data
        Datasets: the parameters from the prior, and the data made with them.
    fits
        Dataset: of each fit the least effective sample size ``ess`` and the largest R-hat ``rhat`` of all quantities,
        the number of ``draws`` that were made, and of ``divergences`` among them.
    num_draws
        Draws among which each truth was ranked.
    level
        Chance that a calibrated model is called uncalibrated, of all quantities together.
    outcomes
        Number of simulations by what has become of them.
    varies
        By variable, the elements whose draws are not always equal to the truth: only those are tested.
    border
        Number of truths that have no log-density, by variable.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model() as model:
    ...     x = px.Normal("x")
    ...     y = px.Normal("y", x, 1.0, observed=0.5)
    >>> calibration = px.sbc(model, 20, draws=50, tune=100, random_seed=1, progressbar=False)
    >>> calibration.count, int(calibration.ranks["x"].max()) <= calibration.num_draws
    (20, True)
    """

    ranks: Any
    truths: Any
    data: Any
    fits: Any
    num_draws: int
    level: float
    outcomes: Mapping[Outcome, int]
    varies: Mapping[str, np.ndarray]
    border: Mapping[str, int]

    @property
    def count(self) -> int:
        """Number of simulations that were fitted."""
        return int(self.ranks.sizes[_SIMULATION])

    @cached_property
    def tests(self) -> Any:
        """Dataset: the exact p-value of uniform ranks for each quantity by itself; NaN of what is always the truth."""
        found = self.ranks.copy()
        for name, x in self.ranks.data_vars.items():
            found[name] = (x.dims[1:], np.where(self.varies[name], rank_pvalues(x.values, self.num_draws), np.nan))
        return found.drop_vars(_SIMULATION)

    @cached_property
    def quantities(self) -> tuple[Quantity, ...]:
        """What the ranks of each quantity tell, the most telling first."""
        tested = sum(int(x.sum()) for x in self.varies.values())
        found = []
        for name, x in self.ranks.data_vars.items():
            places = (x.values + 0.5) / (self.num_draws + 1) - 0.5
            shifts = places.mean(axis=0) / np.sqrt(1 / 12 / self.count)
            spreads = ((12 * places**2).mean(axis=0) - 1) / np.sqrt(0.8 / self.count)
            for index in map(tuple, np.argwhere(self.varies[name]).tolist()):
                pvalue = min(1.0, tested * float(self.tests[name].values[index]))
                label = _element(x, index)
                found.append(Quantity(label, pvalue, float(shifts[index]), float(spreads[index])))
        return tuple(sorted(found, key=lambda q: (q.pvalue, -max(abs(q.shift), abs(q.spread)))))

    @property
    def odd(self) -> tuple[Quantity, ...]:
        """The quantities whose ranks are not uniform."""
        return tuple(q for q in self.quantities if q.pvalue <= self.level)

    @property
    def calibrated(self) -> bool:
        """Whether the ranks of all quantities may well be uniform."""
        return not self.odd

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        first, tested = self.quantities[0], len(self.quantities)
        what = f"{self.count} simulations, {self.num_draws} draws each, {tested} quantities, level {self.level:g}"
        if self.calibrated:
            return (
                f"No sign of miscalibration ({what}): the smallest p-value, of {first.name}, is {first.pvalue:.2g} "
                f"after correction for their number. {self._limits()}"
            )
        named = "; ".join(f"{q.name} ({q.words()}, p {_short(q.pvalue)})" for q in self.odd[:_NAMED])
        more = f"; and {len(self.odd) - _NAMED} more" if len(self.odd) > _NAMED else ""
        return f"Not calibrated ({what}): ranks are not uniform of {named}{more}."

    def _limits(self) -> str:
        """Say what so many simulations cannot see."""
        crit = -normal_quantile(self.level / 2 / len(self.quantities)) - normal_quantile(1 - _POWER)
        shift = _SLOWER * crit * np.sqrt(np.pi / 3 / self.count)
        return (
            f"Draws that are off by less than about {shift:.1g} posterior standard deviations could have gone "
            "unnoticed; more simulations see smaller errors."
        )

    def warnings(self) -> Iterator[str]:
        """Say what weakens the verdict."""
        asked = sum(self.outcomes.values())
        if self.outcomes[Outcome.WAITING]:
            yield f"Interrupted: {self.count} of {asked} simulations are kept."
        if self.outcomes[Outcome.NO_START]:
            yield (
                f"{self.outcomes[Outcome.NO_START]} of {asked} data sets gave no start with a finite log-density and "
                "are left out: the prior makes data that the model cannot be evaluated at."
            )
        if self.outcomes[Outcome.BORDER]:
            of = f" of {', '.join(self.border)}" if self.border else ""
            yield (
                f"{self.outcomes[Outcome.BORDER]} of {asked} truths{of} have no log-density and are left out: the "
                "prior reaches where numbers have no digits left, or where the transform of a variable does not lead."
            )
        slow = int(np.sum(self.fits["ess"].values < EFFECTIVE * self.num_draws))
        if slow > _SHARE * self.count:
            least = float(self.fits["ess"].min())
            yield (
                f"{slow} of {self.count} fits mix so badly that their draws are far from independent (effective sample "
                f"sizes from {least:.0f}): that alone makes ranks uneven."
            )
        diverging = int(np.sum(self.fits["divergences"].values > 0))
        if diverging > _SHARE * self.count:
            yield f"{diverging} of {self.count} fits had divergences: target_accept=0.95 takes smaller steps."

    def plot(self, var_names: Sequence[str] | None = None, *, max_panels: int = 12) -> Any:
        """Plot the distribution function of ranks less that of uniform ones, with its simultaneous band.

        Uniform ranks of all quantities stay inside their bands but for a chance of ``level``.

        Parameters
        ----------
        var_names
            Variables to show; None shows all.
        max_panels
            Most quantities that are shown, those with the smallest p-values.

        Returns
        -------
        The matplotlib axes, one for each quantity.
        """
        names = list(self.ranks.data_vars) if var_names is None else _listed(var_names)
        unknown = [name for name in names if name not in self.ranks]
        if unknown:
            raise ModelError(f"plot: no ranks of {unknown[0]!r}; there are those of {', '.join(self.ranks.data_vars)}")
        arrays = {_element(x, i): x.values[(slice(None), *i)] for x in map(self.ranks.get, names)
                  for i in np.ndindex(x.shape[1:])}  # fmt: skip
        shown = [q for q in self.quantities if q.name in arrays][:max_panels]
        places = np.arange(1, self.num_draws + 1) / (self.num_draws + 1)
        low, high = rank_band(self.count, self.num_draws, self.level / len(self.quantities))
        curves = {}
        for q in shown:
            below = np.cumsum(np.bincount(arrays[q.name], minlength=self.num_draws + 1))[:-1]
            curves[f"{q.name}\np {_short(q.pvalue)}"] = below / self.count - places
        return results.plot_curves(
            places, curves, (low / self.count - places, high / self.count - places),
            bad=[q.pvalue <= self.level for q in shown], xlabel="rank / (draws + 1)", ylabel="ECDF difference",
        )  # fmt: skip

    def __str__(self) -> str:
        return "\n".join([self.verdict, *(f"- {text}" for text in self.warnings())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [
            (html.code(q.name), _short(q.pvalue), f"{q.shift:+.1f}", f"{q.spread:+.1f}", q.words() if q in odd else "")
            for odd in [self.odd]
            for q in self.quantities[:_SHOWN]
        ]
        rest = len(self.quantities) - len(rows)
        head = ("quantity", "p, corrected", "shift (s.e.)", "spread (s.e.)", "")
        return html.section(
            "Simulation-based calibration",
            html.note(self.verdict, "good" if self.calibrated else "bad"),
            *(html.note(text) for text in self.warnings()),
            html.table(head, [("", rows)]),
            html.faint(f"and {rest} more, with larger p-values") if rest else "",
            facts=[f"{self.count} simulations", f"{self.num_draws} draws", f"level {self.level:g}"],
        )


def _listed(names: Sequence[str] | str) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _short(pvalue: float) -> str:
    return f"< {LEAST_PVALUE:.0e}" if pvalue <= LEAST_PVALUE else f"= {pvalue:.2g}"


def _element(array: Any, index: tuple[int, ...]) -> str:
    """Name one element by the labels of its axes."""
    if not index:
        return str(array.name)
    labels = [str(array.coords[d].values[i]) for d, i in zip(array.dims[1:], index, strict=True)]
    return f"{array.name}[{', '.join(labels)}]"
