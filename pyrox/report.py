"""Say what speaks against a run: which chains, which variables, and what would probably help."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pyrox.errors import ModelError
from pyrox.findings import Facts, Finding, Quality, Report
from pyrox.funnels import LINKED, advise_centring, find_ruler, word_funnel
from pyrox.labelled import LabelledDraws, join_words, worst
from pyrox.mixing import normal_quantile, rank_rhat_and_ess
from pyrox.separation import any_while_resting, energy_fraction, longest_rest, odd_chains, rotation_scores

MAX_RHAT = 1.01
MIN_ESS_PER_CHAIN = 100
MIN_BFMI = 0.3
# The chance that a variable is named without a reason, in a whole run.
LEVEL = 1e-3
_MIN_DRAWS = 100
_MIN_DIVERGENCES = 5
_APART_RHAT = 1.05  # from here on it is worth asking which chain it is
_MAX_EXAMINED = 200
_STUCK_SHARE, _STUCK_STEP = 0.05, 0.01  # of the draws at rest in a row; of the other chains' step size
_RULER_LIMIT = 2.33  # one in a hundred: what rules the spread of others is under suspicion anyway
_NAMED = 3
_LEAST = 4
_TOO_NARROW = (
    "Its steps are too long for the place where it stands: a `target_accept` nearer to 1 makes them shorter, another "
    "parameterization takes narrow places away, as non-centring does those of a hierarchy."
)
_ELSEWHERE = (
    "Leave it out, or start it elsewhere with `initvals`; a density that is flat, rough or undefined where it stands "
    "is the usual cause."
)
_PAPER = "See Vehtari et al. (2021), Rank-normalization, folding, and localization: an improved R-hat"
_STATE = "sampler_state"
_ADVISED = ("tree depth", "stuck", "energy")  # kinds whose remedies are for chains that were tuned
_PLACES = {(0, False): "low", (0, True): "high", (1, False): "central", (1, True): "extreme"}


def diagnose(idata: Any) -> Report:
    r"""Find what speaks against a run, and name the chains and variables concerned.

    Divergent draws are compared with the others by rank: a variable is named if its values, or their distances from
    the median, go with the divergences more closely than all but a share :math:`10^{-3}` of rotations of the chains
    would have it, over all variables together. A chain is named if it does not move, or if it stands apart from others
    in variables of R-hat above 1.05, or if its energy mixes badly (BFMI below 0.3).

    Parameters
    ----------
    idata
        Results with the groups ``posterior`` and ``sample_stats``, of this library or of others.

    Returns
    -------
    The report: ``findings`` has them one by one; printed, or in a notebook, it shows them all, with what was run and
    the quantities that are known least well. ``px.sample`` warns of the same.

    Examples
    --------
    >>> from pyrox.diagnostics import diagnose
    >>> import pyrox as px
    >>> with px.Model():
    ...     x = px.Normal("x", 0.0, 1.0)
    ...     idata = px.sample(500, random_seed=1, progressbar=False)
    >>> print(diagnose(idata))  # doctest: +ELLIPSIS
    no findings
    4 chains of 500 draws, 1000 tuning steps, ... s, 0 divergences
    R-hat up to 1.00... (x), ESS from ... (x)

    References
    ----------
    .. [1] Vehtari et al. (2021), Rank-normalization, folding, and localization: an improved R-hat, Bayesian
       Analysis 16.
    .. [2] Betancourt (2017), A conceptual introduction to Hamiltonian Monte Carlo, arXiv:1701.02434.
    """
    if not hasattr(idata, "groups") and not (isinstance(idata, Mapping) and "posterior" in idata):
        raise ModelError(f"diagnose judges the results of px.sample; met {type(idata).__name__}")
    missing = [name for name in ("posterior", "sample_stats") if name not in idata]
    if missing:
        raise ModelError(f"diagnose judges a run of px.sample: these results have no group {missing[0]!r}")
    stats = {str(name): x.transpose("chain", "draw", ...).values for name, x in idata["sample_stats"].data_vars.items()}
    return replace(examine(idata["posterior"], stats), facts=_gather(idata, stats))


def _gather(idata: Any, stats: Mapping[str, np.ndarray]) -> Facts:
    """Take what was run from what results keep."""
    posterior = idata["posterior"]
    settings = idata[_STATE].attrs.get("settings", "{}") if _STATE in idata else "{}"
    headings = {
        "divergences": ("diverging", np.sum),
        "step size": ("step_size", np.median),
        "gradients for a draw": ("n_steps", np.mean),
        "acceptance": ("acceptance_rate", np.mean),
    }
    return Facts(
        chains=int(posterior.sizes["chain"]),
        draws=int(posterior.sizes["draw"]),
        divergences=int(np.sum(stats["diverging"])) if "diverging" in stats else 0,
        attrs=dict(posterior.attrs),
        settings=json.loads(settings),
        per_chain={head: of(stats[name], axis=1) for head, (name, of) in headings.items() if name in stats},
    )


def examine(posterior: Any, stats: Mapping[str, np.ndarray], max_treedepth: int | None = None) -> Report:
    """Find what speaks against a run, and whether it was tuned at all; see ``diagnose``.

    Parameters
    ----------
    posterior
        Dataset of the draws, with dims ``chain`` and ``draw``.
    stats
        Statistics ``(chain, draw)`` under ArviZ's names; those that are absent are not judged.
    max_treedepth
        The limit that trajectories could reach; None takes the deepest one met.

    Returns
    -------
    A ``Report``.

    Examples
    --------
    >>> from pyrox.diagnostics import examine
    >>> import numpy as np
    >>> import xarray as xr
    >>> draws = np.random.default_rng(0).normal(size=(4, 200))
    >>> draws[0] += 10.0
    >>> posterior = xr.Dataset({"x": (("chain", "draw"), draws)})
    >>> [finding.kind for finding in examine(posterior, {})]
    ['disagreement', 'rhat', 'ess']
    """
    draws = LabelledDraws(posterior)
    report = _examine(draws, stats, max_treedepth)
    if draws.tuned or all(finding.kind == "too little" for finding in report):
        return report
    plain = (replace(finding, remedy="") if finding.kind in _ADVISED else finding for finding in report)
    message = "Nothing was adapted: tune=0 leaves the step size and the mass matrix as they are at first."
    remedy = "Before anything else leave out `tune`, or give it some hundred iterations."
    return replace(report, findings=(Finding("untuned", message, remedy), *plain))


def _examine(draws: LabelledDraws, stats: Mapping[str, np.ndarray], max_treedepth: int | None) -> Report:
    chains, length = draws.shape
    found = [*_judge_divergences(draws, stats), *_judge_depth(stats, max_treedepth)]
    if length < _MIN_DRAWS:
        message = f"The number of samples is too small to check convergence reliably: {length} per chain."
        return Report((*found, Finding("too little", message)))
    stuck = _judge_movement(draws, stats)
    found += [*stuck, *_judge_energy(draws, stats)]
    if chains == 1:
        message = "Only one chain was sampled, this makes it impossible to run some convergence checks."
        return Report((*found, Finding("too little", message)))
    if chains < 4:
        message = "We recommend running at least 4 chains for robust computation of convergence diagnostics."
        found.append(Finding("too little", message))
    named = {f.chains for f in stuck}
    both = {name: rank_rhat_and_ess(x) for name, x in draws.values.items()}
    found += [f for f in _judge_mixing(draws, both) if f.kind != "disagreement" or f.chains not in named]
    return Report(tuple(found), worst=_least_certain(draws, both))


# Divergences


def _judge_divergences(draws: LabelledDraws, stats: Mapping[str, np.ndarray]) -> list[Finding]:
    diverging = np.asarray(stats.get("diverging", False), bool)
    count = int(diverging.sum())
    if not count:
        return []
    chains = tuple(int(c) for c in np.flatnonzero(diverging.any(axis=1)))
    they = "was 1 divergence" if count == 1 else f"were {count} divergences"
    if not draws.tuned:
        return [Finding("divergences", f"There {they}.", chains=chains)]
    message = f"There {they} after tuning. Increase `target_accept` or reparameterize."
    if count < _MIN_DIVERGENCES:
        return [Finding("divergences", message, chains=chains)]
    # A chain that stands still diverges again and again at one place, which tells no more than once.
    told = np.where(draws.repeats, np.nan, any_while_resting(diverging, draws.repeats))
    told = np.where(draws.repeats, np.nanmean(told, axis=1, keepdims=True), told)
    scores = {name: rotation_scores(x, told) for name, x in draws.values.items()}
    ruler = find_ruler(draws, worst({name: np.abs(z[..., 0]) for name, z in scores.items()}))
    if ruler is not None and scores[ruler.name][(*ruler.index, 0)] * ruler.narrow > _RULER_LIMIT:
        where, remedy = word_funnel(ruler, draws.element(ruler.name, ruler.index), diverging)
        return [Finding("divergences", f"{message} {where}", remedy, chains, (ruler.label, *ruler.ruled))]
    tests = sum(z.size for z in scores.values())
    limit = -normal_quantile(LEVEL / 2 / max(tests, 1))
    named = [entry for entry in worst({n: np.abs(z) for n, z in scores.items()}) if entry[0] > limit][:_NAMED]
    if not named:
        remedy = "Nothing sets them apart from the other draws: smaller steps may do, a `target_accept` nearer to 1."
        return [Finding("divergences", message, remedy, chains)]
    variables = tuple(draws.label(n, i[:-1]) for _, n, i in named)
    places = [_PLACES[i[-1], bool(scores[n][i] > 0)] for _, n, i in named]
    where = f"They gather at {join_words([f'{p} values of {v}' for p, v in zip(places, variables, strict=True)])}."
    remedy = "A prior with less mass there, another parameterization, or a higher `target_accept` may help."
    return [Finding("divergences", f"{message} {where}", remedy, chains, variables)]


def _judge_depth(stats: Mapping[str, np.ndarray], max_treedepth: int | None) -> list[Finding]:
    if "reached_max_treedepth" not in stats:
        return []
    reached = np.asarray(stats["reached_max_treedepth"], float)
    if "step_size" in stats:
        # Transitions that are careful, with a part of the step, are longer and no reason to allow for more.
        careful = stats["step_size"] < 0.5 * np.median(stats["step_size"], axis=1, keepdims=True)
        reached = np.where(careful, np.nan, reached)
    # Few transitions may look for turns at all: what counts is what is spent on those that did not find one.
    spent = np.where(np.isnan(reached), 0, stats.get("n_steps", np.ones_like(reached)))
    share = np.nansum(reached * spent, axis=1) / np.maximum(np.sum(spent, axis=1), 1)
    if max_treedepth is None:
        max_treedepth = int(np.max(stats["tree_depth"])) if "tree_depth" in stats else 10
    return [
        Finding(
            "tree depth",
            f"Chain {chain} reached the maximum tree depth of {max_treedepth}: {share[chain]:.0%} of its gradients "
            "went into trajectories that ended there.",
            "Increase `max_treedepth`, increase `target_accept` or reparameterize.",
            (int(chain),),
        )
        for chain in np.flatnonzero(share > 0.05)
    ]


# Chains


def _judge_movement(draws: LabelledDraws, stats: Mapping[str, np.ndarray]) -> list[Finding]:
    """Name chains that stand still, or that crawl with steps far smaller than those of the others."""
    chains, length = draws.shape
    rest, begin = longest_rest(draws.repeats)
    steps = np.median(stats["step_size"], axis=1) if "step_size" in stats else np.ones(chains)
    usual = np.array([np.median(np.delete(steps, c)) if chains > 1 else steps[c] for c in range(chains)])
    found = []
    for chain in np.flatnonzero((rest > _STUCK_SHARE * length) | (steps < _STUCK_STEP * usual)):
        what = []
        if rest[chain] > _STUCK_SHARE * length:
            what.append(f"from draw {begin[chain]} on it does not move for {rest[chain]} draws")
        if steps[chain] < _STUCK_STEP * usual[chain]:
            what.append(f"its step size is {steps[chain]:.2g} where the others' is {usual[chain]:.2g}")
        # The rest begins with the first repetition: a chain that has never moved rests from draw 1 on.
        arrived = rest[chain] > _STUCK_SHARE * length and begin[chain] > 1
        variables = _most_apart(draws, int(chain))
        where = f" It stands apart from the other chains in {join_words(list(variables))}." if variables else ""
        found.append(
            Finding(
                "stuck",
                f"Chain {chain} is stuck: {' and '.join(what)}.{where}",
                _TOO_NARROW if arrived else _ELSEWHERE,
                (int(chain),),
                variables,
            )
        )
    return found


def _most_apart(draws: LabelledDraws, chain: int) -> tuple[str, ...]:
    """Name the variables in which a chain lies farthest from the other chains, in their standard deviations."""
    if draws.shape[0] == 1:
        return ()
    distances = {}
    for name, x in draws.values.items():
        others = np.delete(x, chain, axis=0).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            distances[name] = np.abs(x[chain].mean(axis=0) - others.mean(axis=(0, 1))) / others.std(axis=(0, 1))
    return tuple(draws.label(n, i) for value, n, i in worst(distances)[:_NAMED] if value > 1)


def _judge_energy(draws: LabelledDraws, stats: Mapping[str, np.ndarray]) -> list[Finding]:
    if "energy" not in stats or not np.all(np.isfinite(stats["energy"])):
        return []
    fractions = energy_fraction(np.asarray(stats["energy"], np.float64))
    bad = np.flatnonzero(fractions < MIN_BFMI)
    if not bad.size:
        return []
    links = {name: np.abs(rotation_scores(x, stats["energy"])) for name, x in draws.values.items()}
    linked = worst({name: np.fmax.reduce(z, axis=-1) for name, z in links.items()})
    named = [entry for entry in linked if entry[0] > LINKED][:_NAMED]
    variables = tuple(draws.label(n, i) for _, n, i in named)
    ruler = find_ruler(draws, linked)
    if ruler is None:
        remedy = "Heavy tails or a centred hierarchy are the usual cause: reparameterize, or use tighter priors."
    else:
        remedy = advise_centring(ruler, draws.element(ruler.name, ruler.index))
        variables = (ruler.label, *(v for v in variables if v != ruler.label))[:_NAMED]
    values = ", ".join(f"{fractions[c]:.2f}" for c in bad)
    where = f" The energy goes with {join_words(list(variables))}." if variables else ""
    return [
        Finding(
            "energy",
            f"The energy mixes badly in {_name_chains(bad)}: its Bayesian fraction of missing information is {values}, "
            f"below {MIN_BFMI}.{where}",
            remedy,
            tuple(int(c) for c in bad),
            variables,
        )
    ]


def _name_chains(chains: Sequence[int]) -> str:
    return f"chain{'s' if len(chains) > 1 else ''} {join_words([str(c) for c in chains])}"


# R-hat and effective sample size of every element, by variable.
Mixing = Mapping[str, tuple[np.ndarray, np.ndarray]]


def _least_certain(draws: LabelledDraws, both: Mixing) -> tuple[Quality, ...]:
    """Name the elements of the largest R-hat and of the smallest effective sample size."""
    by_rhat = worst({name: rhat for name, (rhat, _) in both.items()})[:_LEAST]
    by_ess = worst({name: -ess for name, (_, ess) in both.items()})[:_LEAST]
    found = []
    for name, index in dict.fromkeys((name, index) for _, name, index in (*by_rhat, *by_ess)):
        x = draws.element(name, index)
        rhat, ess = (float(np.asarray(statistic)[index]) for statistic in both[name])
        found.append(Quality(draws.label(name, index), float(x.mean()), float(x.std()), rhat, ess))
    return tuple(found)


def _judge_mixing(draws: LabelledDraws, both: Mixing) -> list[Finding]:
    chains = draws.shape[0]
    found = _judge_agreement(draws, {name: rhat for name, (rhat, _) in both.items()})
    rhat = worst({name: r for name, (r, _) in both.items()})
    if rhat and rhat[0][0] > MAX_RHAT:
        value, name, index = rhat[0]
        found.append(
            Finding(
                "rhat",
                f"The rhat statistic is larger than {MAX_RHAT} for some parameters (worst: {draws.label(name, index)}, "
                f"{value:.3f}). This indicates problems during sampling. {_PAPER}.",
                variables=(draws.label(name, index),),
            )
        )
    ess = worst({name: -e for name, (_, e) in both.items()})
    if ess and -ess[0][0] / chains < MIN_ESS_PER_CHAIN:
        value, name, index = ess[0]
        found.append(
            Finding(
                "ess",
                f"The effective sample size per chain is smaller than {MIN_ESS_PER_CHAIN} for some parameters (worst: "
                f"{draws.label(name, index)}, {-value / chains:.0f}). A higher number is needed for reliable rhat and "
                f"ess computation. {_PAPER}.",
                variables=(draws.label(name, index),),
            )
        )
    return found


def _judge_agreement(draws: LabelledDraws, rhats: Mapping[str, np.ndarray]) -> list[Finding]:
    """Name chains that stand apart, for every group of chains once, with the variables where they do."""
    suspects = []
    for name, values in rhats.items():
        for at in np.flatnonzero(np.ravel(values) > _APART_RHAT):
            index = tuple(int(i) for i in np.unravel_index(at, np.shape(values)))
            suspects.append((float(np.ravel(values)[at]), name, index))
    if not suspects:
        return []
    suspects = sorted(suspects, key=lambda entry: -entry[0])[:_MAX_EXAMINED]
    limit = -normal_quantile(LEVEL / (2 * draws.shape[0] * len(suspects)))
    groups: dict[tuple[int, ...], list] = {}
    for _, name, index in suspects:
        x = draws.element(name, index)
        if not np.any(np.isnan(x)) and (odd := odd_chains(x, limit)):
            groups.setdefault(odd, []).append((name, index))
    return [_word_disagreement(draws, chains, entries) for chains, entries in groups.items()][:_NAMED]


def _word_disagreement(draws: LabelledDraws, chains: tuple[int, ...], entries: list) -> Finding:
    labels = tuple(draws.label(n, i) for n, i in entries[:_NAMED])
    means = draws.element(*entries[0]).mean(axis=1)
    values = ", ".join(f"{mean:.3g}" for mean in means)
    more = f" and {len(entries) - _NAMED} more" if len(entries) > _NAMED else ""
    if len(chains) == len(means):
        who = "The chains fall into two groups that disagree"
    else:
        named = _name_chains(chains).capitalize()
        who = f"{named} disagree{'s' if len(chains) == 1 else ''} with the others"
    return Finding(
        "disagreement",
        f"{who} in {', '.join(labels)}{more} (means of {labels[0]} by chain: {values}).",
        "They may sit in different modes, or not have arrived: order or fix what can be exchanged, start all chains "
        "near one another with `initvals`, or tune longer.",
        chains,
        labels,
    )
