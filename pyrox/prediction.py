"""Predict: from the prior, from the posterior, and at new data."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pyrox import results
from pyrox.draws import Draws, extend
from pyrox.errors import ModelError
from pyrox.forecast import Forecast, Runnable, assemble, check_idata_kwargs, draw_forward, seed_of
from pyrox.messages import tell
from pyrox.model import Model, current_model
from pyrox.model.replaced import replaced
from pyrox.plan import Plan
from pyrox.runner import Interrupts
from pyrox.settings import reject_unknown, require_count
from pyrox.target import model_attrs
from pyrox.typing import Key

_DRAWN = ("sample", "observed", "deterministic")


def sample_prior_predictive(
    draws: int = 500,
    model: Any = None,
    var_names: Sequence[str] | None = None,
    random_seed: int | Key | None = None,
    return_inferencedata: bool = True,  # noqa: FBT001, FBT002 - PyMC's order
    idata_kwargs: Mapping[str, Any] | None = None,
    *,
    progressbar: bool = False,
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
    **unknown: Any,
) -> Any:
    r"""Draw variables and observations from the prior.

    .. math:: \theta \sim p(\theta), \quad \tilde y \sim p(y \mid \theta)

    Parameters
    ----------
    draws
        Number of draws.
    model
        A Model, or a function of primitives; None takes the enclosing ``with`` block's model.
    var_names
        Variables to return; None returns all.
    random_seed
        A whole number or a JAX key; the same one gives the same draws. None draws one.
    return_inferencedata
        False returns a dict of arrays of shape ``(draws, *shape)``.
    idata_kwargs
        ``coords`` and ``dims`` that replace those of the model.
    progressbar
        Whether to show progress.
    model_args, model_kwargs
        Arguments of a function. What it observes there is drawn anew.

    Returns
    -------
    InferenceData (ArviZ 0.x) or DataTree (ArviZ 1.x) with the groups ``prior`` (free variables and deterministic
    values), ``prior_predictive`` (observed variables), ``observed_data`` and ``constant_data``, of one chain.

    Raises
    ------
    ModelError
        If there is no model, or no variable of a name.
    NotImplementedError
        If a distribution cannot be drawn from, like ``Flat``.

    Warns
    -----
    UserWarning
        If the model has a ``Potential``: it is no distribution, and has no part in these draws.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model():
    ...     mu = px.Normal("mu", 0.0, 1.0)
    ...     y = px.Normal("y", mu, 1.0, observed=[0.3, 0.1])
    ...     prior = px.sample_prior_predictive(200, random_seed=1)
    >>> prior["prior_predictive"]["y"].shape
    (1, 200, 2)
    """
    reject_unknown("px.sample_prior_predictive", unknown, tuple(_parameters(sample_prior_predictive)))
    require_count("draws", draws, 1)
    key, seed = seed_of(random_seed)
    dims, coords = check_idata_kwargs(idata_kwargs)
    with Interrupts() as interrupts:
        runnable = Runnable(model, model_args, model_kwargs)
        names = _choose(var_names, runnable, "var_names")
        identity = np.stack([np.zeros(draws), np.arange(draws)], axis=-1).astype(np.uint32)
        found = draw_forward(
            runnable, names, {}, identity, key, title="Prior predictive", show=progressbar, interrupts=interrupts
        )
    _warn_of_factors(runnable, runnable.of_kind("factor"))
    if not return_inferencedata:
        return found
    where = Draws({}, results.SAMPLE_DIMS, (1, draws), identity)
    dims, coords = {**runnable.dims, **dims}, {**runnable.coords, **coords}
    attrs = results.run_attrs(random_seed=seed, **runnable.attrs)
    observed, constant = runnable.known_values()
    groups = {
        "prior": {name: found[name] for name in names if name not in runnable.of_kind("observed")},
        "prior_predictive": {name: found[name] for name in names if name in runnable.of_kind("observed")},
    }
    datasets = {name: where.label(arrays, dims, coords, attrs) for name, arrays in groups.items()}
    known = results.label({"observed_data": observed, "constant_data": constant}, dims=dims, coords=coords)
    return assemble({**datasets, **known})


def _parameters(function: Any) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _choose(var_names: Sequence[str] | None, runnable: Runnable, what: str) -> list[str]:
    names = (var_names,) if isinstance(var_names, str) else var_names
    runnable.require_names(names or (), _DRAWN, what)
    chosen = runnable.of_kind(*_DRAWN) if names is None else list(names)
    if not chosen:
        raise ModelError("the model has no variables")
    return chosen


def _warn_of_factors(runnable: Runnable, factors: Sequence[str]) -> None:
    if factors:
        warnings.warn(
            f"{', '.join(factors)}: a Potential is no distribution and has no part in draws from the prior",
            stacklevel=3,
        )


def sample_posterior_predictive(
    trace: Any,
    model: Any = None,
    var_names: Sequence[str] | None = None,
    sample_dims: Sequence[str] | None = None,
    random_seed: int | Key | None = None,
    progressbar: bool = True,  # noqa: FBT001, FBT002 - PyMC's order
    return_inferencedata: bool = True,  # noqa: FBT001, FBT002
    extend_inferencedata: bool = False,  # noqa: FBT001, FBT002
    predictions: bool = False,  # noqa: FBT001, FBT002
    idata_kwargs: Mapping[str, Any] | None = None,
    *,
    frozen: Sequence[str] = (),
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
    **unknown: Any,
) -> Any:
    r"""Draw observations for every draw of the posterior.

    .. math:: \tilde y^{(s)} \sim p(y \mid \theta^{(s)})

    Observed variables are drawn anew; free variables keep their draws. A free variable is drawn anew only if it is
    named in ``var_names``, if it depends on one that is, if data that it depends on have changed since the run, or if
    it has other levels; a log line says so, and ``px.explain_prediction`` tells it beforehand. Levels that the draws
    have keep them, matched by label. Nothing else is drawn from the prior: a variable that the draws lack is an error.

    Parameters
    ----------
    trace
        The draws: ``InferenceData``, ``DataTree`` or ``Dataset``, thinned or stacked as you like; a dict of arrays, or
        a list of dicts of values.
    model
        A Model, or a function of primitives; None takes the enclosing ``with`` block's model.
    var_names
        What to return; free variables among it are drawn anew. None returns the observed variables, and the
        deterministic values that depend on them.
    sample_dims
        Names of the axes that hold the draws; None takes ``chain`` and ``draw``, or ``sample``.
    random_seed
        A whole number or a JAX key; what is drawn for a draw of the posterior depends on it, the labels of that draw
        and the name of the variable alone. None draws one.
    progressbar
        Whether to show progress. Ctrl-C keeps what has been drawn.
    return_inferencedata
        False returns a dict of arrays.
    extend_inferencedata
        Whether to add the groups to ``trace``, and return that.
    predictions
        Whether the groups are called ``predictions`` and ``predictions_constant_data``.
    idata_kwargs
        ``coords`` and ``dims`` that replace those of the model.
    frozen
        Free variables that keep their draws, and observed ones that keep their data, whatever has changed.
    model_args, model_kwargs
        Arguments of a function.

    Returns
    -------
    InferenceData (ArviZ 0.x) or DataTree (ArviZ 1.x) with the groups ``posterior_predictive``, ``observed_data`` and
    ``constant_data``. Attributes ``frozen``, ``redrawn`` and ``new_levels`` tell how it was made.

    Raises
    ------
    ModelError
        If the draws lack a variable, or there is no variable of a name.
    ShapeError
        If draws do not have the shape of their variable.

    Warns
    -----
    UserWarning
        If the draws are of another model, and are taken by name.

    Examples
    --------
    >>> import numpy as np
    >>> import pyrox as px
    >>> with px.Model():
    ...     mu = px.Normal("mu", 0.0, 1.0)
    ...     y = px.Normal("y", mu, 1.0, observed=[0.3, 0.1])
    ...     drawn = px.sample_posterior_predictive({"mu": np.zeros((2, 100))}, random_seed=1, progressbar=False)
    >>> drawn["posterior_predictive"]["y"].shape
    (2, 100, 2)
    """
    reject_unknown("px.sample_posterior_predictive", unknown, tuple(_parameters(sample_posterior_predictive)))
    _require_extendable(trace, extend_inferencedata=extend_inferencedata)
    key, seed = seed_of(random_seed)
    extra = check_idata_kwargs(idata_kwargs)
    with Interrupts() as interrupts:
        runnable = Runnable(model, model_args, model_kwargs)
        names, held = _names(var_names), _names(frozen)
        forecast = Forecast(runnable, trace, sample_dims=sample_dims, var_names=names, frozen=held)
        _tell(forecast)
        found = forecast.run(key, title="Posterior predictive", show=progressbar, interrupts=interrupts)
    for text in forecast.warnings(found):
        warnings.warn(text, stacklevel=2)
    if not return_inferencedata:
        return forecast.draws.spread(found)
    datasets = _label(forecast, found, seed, extra, predictions=predictions)
    return extend(trace, datasets) if extend_inferencedata else assemble(datasets)


def _names(names: Sequence[str] | None) -> Any:
    if names is not None and not isinstance(names, Iterable):
        raise ModelError(f"var_names and frozen are lists of names of variables; met {names!r}")
    return (names,) if isinstance(names, str) else names


def _require_extendable(trace: Any, *, extend_inferencedata: bool) -> None:
    if extend_inferencedata and not (hasattr(trace, "children") or hasattr(trace, "add_groups")):
        raise ModelError(f"extend_inferencedata needs InferenceData or a DataTree; met {type(trace).__name__}")


def _tell(forecast: Forecast) -> None:
    if message := forecast.message():
        tell(message)


def _label(
    forecast: Forecast, found: Mapping[str, np.ndarray], seed: int | None, extra: tuple[dict, dict], *,
    predictions: bool,
) -> dict[str, Any]:  # fmt: skip
    runnable = forecast.runnable
    dims, coords = {**runnable.dims, **extra[0]}, {**runnable.coords, **extra[1]}
    attrs = results.run_attrs(random_seed=seed, **runnable.attrs, **forecast.attrs)
    observed, constant = runnable.known_values()
    drawn = forecast.draws.label(found, dims, coords, attrs)
    if predictions:
        known = {"predictions_constant_data": constant}
    else:
        known = {"observed_data": observed, "constant_data": constant}
    name = "predictions" if predictions else "posterior_predictive"
    return {name: drawn, **results.label(known, dims=dims, coords=coords)}


def predict(
    idata: Any,
    data: Mapping[str, Any] | None = None,
    coords: Mapping[str, Any] | None = None,
    model: Any = None,
    *,
    var_names: Sequence[str] | None = None,
    frozen: Sequence[str] = (),
    sample_dims: Sequence[str] | None = None,
    random_seed: int | Key | None = None,
    progressbar: bool = True,
    extend_inferencedata: bool = False,
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
) -> Any:
    r"""Predict at new data, leaving the model as it is.

    .. math:: p(\tilde y \mid \tilde x, y) = \int p(\tilde y \mid \tilde x, \theta) \, p(\theta \mid y) \, d\theta

    The shape of observed variables follows the new data; no observations have to be made up. Levels of a dim that the
    fit has keep their draws, matched by label, in whatever order and number; new levels are drawn from the population,
    that is from the distribution of the variable given the draws of its parameters, and a log line says so. So it is
    for centred groups, ``theta ~ Normal(mu, tau)``, as for others, where ``z ~ Normal(0, 1)`` is what has the levels.
    A normal vector, like the values of a Gaussian process, is drawn at new labels given its values at the known ones;
    random walks, autoregressions and Markov chains go on after the last known one.

    Parameters
    ----------
    idata
        The results of a fit.
    data
        New values of ``px.Data`` by name; those that are left out stay, and follow the labels of their dims.
    coords
        New labels of dims. Data of another length along a dim with labels need them.
    model
        The model of the fit, one derived from it by ``px.do`` and the like, or a function of primitives; None takes
        the enclosing ``with`` block's model.
    var_names
        What to return; free variables among it are drawn anew. None returns the observed variables, what is drawn
        anew, and the deterministic values that either, or data, can change.
    frozen
        Variables that keep their draws whatever has changed.
    sample_dims
        Names of the axes that hold the draws; None takes ``chain`` and ``draw``, or ``sample``.
    random_seed
        A whole number or a JAX key; None draws one.
    progressbar
        Whether to show progress. Ctrl-C keeps what has been drawn.
    extend_inferencedata
        Whether to add the groups to ``idata``, and return that.
    model_args, model_kwargs
        Arguments of a function: its new data.

    Returns
    -------
    InferenceData (ArviZ 0.x) or DataTree (ArviZ 1.x) with the groups ``predictions`` and
    ``predictions_constant_data``. Attributes ``frozen``, ``redrawn`` and ``new_levels`` tell how it was made.

    Raises
    ------
    ModelError
        If the draws are of another model or lack a variable, or there is no such data, dim or variable.
    ShapeError
        If data do not fit together, or have another length along a dim with labels, and no new ones are given.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model(coords={"row": ["a", "b", "c"]}) as model:
    ...     x = px.Data("x", [0.0, 1.0, 2.0], dims="row")
    ...     slope = px.Normal("slope", 0.0, 1.0)
    ...     y = px.Normal("y", slope * x, 1.0, observed=[0.1, 1.2, 1.9], dims="row")
    ...     idata = px.sample(200, tune=200, random_seed=1, quiet=True)
    >>> predicted = px.predict(idata, {"x": [5.0]}, {"row": ["d"]}, model, random_seed=1, progressbar=False)
    >>> predicted["predictions"]["y"].shape
    (4, 200, 1)
    >>> x.eval().tolist()
    [0.0, 1.0, 2.0]
    """
    _require_extendable(idata, extend_inferencedata=extend_inferencedata)
    key, seed = seed_of(random_seed)
    with Interrupts() as interrupts:
        runnable = _at(model, data, coords, model_args, model_kwargs)
        forecast = Forecast(
            runnable, idata, sample_dims=sample_dims, var_names=_names(var_names), frozen=_names(frozen), strict=True,
            given=data or (),
        )  # fmt: skip
        _tell(forecast)
        labelled = _label(forecast, {}, seed, ({}, {}), predictions=True)
        found = forecast.run(key, title="Predicting", show=progressbar, interrupts=interrupts)
    for text in forecast.warnings(found):
        warnings.warn(text, stacklevel=2)
    dims, attrs = runnable.dims, labelled["predictions"].attrs
    datasets = {**labelled, "predictions": forecast.draws.label(found, dims, runnable.coords, attrs)}
    return extend(idata, datasets) if extend_inferencedata else assemble(datasets)


def _at(
    model: Any, data: Mapping[str, Any] | None, coords: Mapping[str, Any] | None, args: tuple,
    kwargs: Mapping[str, Any] | None,
) -> Runnable:  # fmt: skip
    """Make a model runnable at new data; the model itself keeps its own."""
    model = current_model() if model is None else model
    attrs = model_attrs(model) if isinstance(model, Model) else {}  # of the model as it was written
    if isinstance(model, Model):
        model = replaced(model, data, coords)
    elif data or coords:
        raise ModelError("data and coords are for a Model: a function takes its new data as model_args, model_kwargs")
    runnable = Runnable(model, args, kwargs)
    runnable.attrs = attrs
    return runnable


def explain_prediction(
    idata: Any,
    data: Mapping[str, Any] | None = None,
    coords: Mapping[str, Any] | None = None,
    model: Any = None,
    *,
    var_names: Sequence[str] | None = None,
    frozen: Sequence[str] = (),
    sample_dims: Sequence[str] | None = None,
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
) -> Plan:
    """Tell what ``px.predict`` with these arguments keeps and what it draws anew, without drawing.

    Parameters
    ----------
    idata, data, coords, model, var_names, frozen, sample_dims, model_args, model_kwargs
        As for ``px.predict``.

    Returns
    -------
    What becomes of every variable: ``frozen``, ``anew`` and ``partly`` with the reasons, ``new_levels``.

    Examples
    --------
    >>> import numpy as np
    >>> import pyrox as px
    >>> with px.Model():
    ...     mu = px.Normal("mu")
    ...     y = px.Normal("y", mu, 1.0, observed=[0.1, 0.2])
    ...     px.explain_prediction({"mu": np.zeros(10)})
    keep their draws: mu
    drawn from their distributions: y
    """
    runnable = _at(model, data, coords, model_args, model_kwargs)
    return Forecast(
        runnable, idata, sample_dims=sample_dims, var_names=_names(var_names), frozen=_names(frozen), strict=True,
        given=data or (),
    ).plan  # fmt: skip
