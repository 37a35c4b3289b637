"""What follows from draws that are there: log-likelihoods, log-priors, deterministic values."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox import results
from pyrox.draws import Draws, extend, read_draws
from pyrox.drawwise import map_draws
from pyrox.errors import ModelError
from pyrox.forecast import Runnable, cut_short, find_strange
from pyrox.model import LogDensity
from pyrox.model.forward import forward, pointwise
from pyrox.model.program import RandomVariable
from pyrox.plan import statements_above
from pyrox.runner import Interrupts
from pyrox.settings import reject_unknown
from pyrox.target import target_of
from pyrox.typing import Array, Tree


def compute_log_likelihood(
    idata: Any,
    *,
    var_names: Sequence[str] | None = None,
    extend_inferencedata: bool = True,
    model: Any = None,
    sample_dims: Sequence[str] | None = None,
    progressbar: bool = True,
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
    **unknown: Any,
) -> Any:
    r"""Evaluate the log-likelihood of every observation at every draw.

    .. math:: \ell_{si} = \log p(y_i \mid \theta_s)

    Parameters
    ----------
    idata
        Results with a group ``posterior``; without ``extend_inferencedata``, draws in any form.
    var_names
        Observed variables; None takes all.
    extend_inferencedata
        Whether to add the group ``log_likelihood`` to ``idata`` and return that; False returns a Dataset.
    model
        A Model, or a function of primitives; None takes the enclosing ``with`` block's model.
    sample_dims
        Names of the axes that hold the draws; None takes ``chain`` and ``draw``, or ``sample``.
    progressbar
        Whether to show progress. Ctrl-C gives up.
    model_args, model_kwargs
        Arguments of a function.

    Returns
    -------
    ``idata``, or a Dataset of arrays with the axes of draws and of observations.

    Raises
    ------
    ModelError
        If the draws lack a variable, or there is no observed variable of a name.
    ShapeError
        If draws do not have the shape of their variable.

    Examples
    --------
    >>> import numpy as np
    >>> import pyrox as px
    >>> with px.Model():
    ...     y = px.Normal("y", px.Normal("mu"), 1.0, observed=[0.0, 1.0])
    ...     terms = px.compute_log_likelihood(
    ...         {"mu": np.zeros((1, 3))}, extend_inferencedata=False, progressbar=False
    ...     )
    >>> terms["y"].values[0, 0].round(4).tolist()
    [-0.9189, -1.4189]
    """
    reject_unknown("px.compute_log_likelihood", unknown, tuple(compute_log_likelihood.__kwdefaults__))
    runnable = Runnable(model, model_args, model_kwargs)
    names = _choose(runnable, var_names, ("observed",))
    options = {"extend_inferencedata": extend_inferencedata, "show": progressbar}
    if any(site.is_discrete for site in runnable.sites.values() if site.kind == "sample"):
        target = target_of(model, model_args, model_kwargs)
        return _evaluate("log_likelihood", runnable, names, idata, sample_dims, density=target.density, **options)
    return _evaluate("log_likelihood", runnable, names, idata, sample_dims, **options)


def compute_log_prior(
    idata: Any,
    *,
    var_names: Sequence[str] | None = None,
    extend_inferencedata: bool = True,
    model: Any = None,
    sample_dims: Sequence[str] | None = None,
    progressbar: bool = True,
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
    **unknown: Any,
) -> Any:
    r"""Evaluate the log-density of every free variable at every draw.

    .. math:: \log p(\theta_{sj} \mid \mathrm{parents}_s)

    Parameters
    ----------
    idata
        Results with a group ``posterior``; without ``extend_inferencedata``, draws in any form.
    var_names
        Free variables; None takes all.
    extend_inferencedata
        Whether to add the group ``log_prior`` to ``idata`` and return that; False returns a Dataset.
    model, sample_dims, progressbar, model_args, model_kwargs
        As for ``px.compute_log_likelihood``.

    Returns
    -------
    ``idata``, or a Dataset of arrays with the axes of draws and of the copies of each variable.

    Raises
    ------
    ModelError
        If the draws lack a variable, or there is no free variable of a name.

    Examples
    --------
    >>> import numpy as np
    >>> import pyrox as px
    >>> with px.Model():
    ...     mu = px.Normal("mu")
    ...     terms = px.compute_log_prior({"mu": np.zeros((1, 3))}, extend_inferencedata=False, progressbar=False)
    >>> round(float(terms["mu"][0, 0]), 4)
    -0.9189
    """
    reject_unknown("px.compute_log_prior", unknown, tuple(compute_log_prior.__kwdefaults__))
    runnable = Runnable(model, model_args, model_kwargs)
    names = _choose(runnable, var_names, ("sample",))
    return _evaluate(
        "log_prior", runnable, names, idata, sample_dims, extend_inferencedata=extend_inferencedata, show=progressbar
    )


def compute_deterministics(
    dataset: Any,
    *,
    var_names: Sequence[str] | None = None,
    model: Any = None,
    sample_dims: Sequence[str] | None = None,
    merge_dataset: bool = False,
    progressbar: bool = True,
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
    **unknown: Any,
) -> Any:
    """Work out deterministic values at every draw.

    Parameters
    ----------
    dataset
        A Dataset of draws, as ``idata["posterior"]``; or draws in any form.
    var_names
        Deterministic variables; None takes all.
    merge_dataset
        Whether to add them to ``dataset`` in what is returned.
    model, sample_dims, progressbar, model_args, model_kwargs
        As for ``px.compute_log_likelihood``.

    Returns
    -------
    A Dataset.

    Raises
    ------
    ModelError
        If the draws lack a variable, or there is no deterministic variable of a name.

    Examples
    --------
    >>> import numpy as np
    >>> import pyrox as px
    >>> with px.Model():
    ...     twice = px.Deterministic("twice", 2 * px.Normal("x"))
    ...     found = px.compute_deterministics({"x": np.ones((1, 3))}, progressbar=False)
    >>> found["twice"].values.tolist()
    [[2.0, 2.0, 2.0]]
    """
    reject_unknown("px.compute_deterministics", unknown, tuple(compute_deterministics.__kwdefaults__))
    runnable = Runnable(model, model_args, model_kwargs)
    names = _choose(runnable, var_names, ("deterministic",))
    single = forward(runnable.program, names, ())
    draws, found = _map(
        runnable, lambda values, data: single((values, data["key"]), data["data"]), names, dataset, sample_dims,
        show=progressbar, title="Deterministics",
    )  # fmt: skip
    made = draws.label(found, runnable.dims, runnable.coords, results.run_attrs(**runnable.attrs))
    if not merge_dataset:
        return made
    if not hasattr(dataset, "data_vars"):
        raise ModelError(f"merge_dataset adds to a Dataset, as idata['posterior'] is; met {type(dataset).__name__}")
    whole = dataset.to_dataset() if hasattr(dataset, "children") else dataset
    return whole.drop_vars([name for name in names if name in whole]).merge(made, compat="override")


def _choose(runnable: Runnable, var_names: Sequence[str] | None, kinds: tuple[str, ...]) -> list[str]:
    names = [var_names] if isinstance(var_names, str) else var_names
    runnable.require_names(names or (), kinds, "var_names")
    chosen = runnable.of_kind(*kinds) if names is None else list(names)
    if not chosen:
        kind = {"sample": "free"}.get(kinds[0], kinds[0])
        raise ModelError(f"the model has no {kind} variable")
    return chosen


def _evaluate(
    group: str, runnable: Runnable, names: list[str], idata: Any, sample_dims: Sequence[str] | None, *,
    extend_inferencedata: bool, show: bool, density: LogDensity | None = None,
) -> Any:  # fmt: skip
    if extend_inferencedata and not (hasattr(idata, "children") or hasattr(idata, "add_groups")):
        raise ModelError(
            f"{group} is added to InferenceData or a DataTree; met {type(idata).__name__}: "
            "extend_inferencedata=False returns a Dataset"
        )
    single = pointwise(runnable.program, names)
    needed = None
    if density is not None:  # what is discrete is summed out
        needed, of_density = list(density.free), jax.tree.map(jnp.asarray, density.current_data())

        def single(values: dict[str, Array], _data: Tree) -> dict[str, Array]:
            terms = density.log_likelihood(density.unconstrain(values, of_density), of_density)
            return {name: terms[name] for name in names}

    draws, found = _map(
        runnable, lambda values, data: single(values, data["data"]), names, idata, sample_dims,
        show=show, title=group.replace("_", " ").capitalize(), needed=needed,
    )  # fmt: skip
    made = draws.label(found, runnable.dims, runnable.coords, results.run_attrs(**runnable.attrs))
    return extend(idata, {group: made}) if extend_inferencedata else made


def _map(
    runnable: Runnable, function: Callable[[dict[str, Array], Tree], dict[str, Array]], names: list[str], trace: Any,
    sample_dims: Sequence[str] | None, *, show: bool, title: str, needed: Sequence[str] | None = None,
) -> tuple[Draws, dict[str, np.ndarray]]:  # fmt: skip
    draws = read_draws(trace, runnable.ndims, sample_dims)
    strange = find_strange(runnable, draws.attrs)
    needed = _needed(runnable, names) if needed is None else needed
    missing = [name for name in needed if name not in draws]
    if missing:
        raise ModelError(
            f"the draws lack {', '.join(missing)}, which {', '.join(names)} needs; they hold "
            f"{', '.join(draws.arrays) or 'nothing'}"
        )
    values = {name: draws.flat(name) for name in needed}
    data = {"data": runnable.data, "key": runnable.key}
    with Interrupts() as interrupts:
        found = map_draws(
            lambda draw, data: function(draw[0], data), (values, draws.identity), data,
            title=title, show=show, interrupts=interrupts,
        )  # fmt: skip
    if cut_short(draws, found):
        raise KeyboardInterrupt
    if strange:
        warnings.warn(
            f"the draws are of another model than the one given ({strange}): they are taken by name", stacklevel=4
        )
    return draws, found


def _needed(runnable: Runnable, names: Sequence[str]) -> list[str]:
    """List the free variables that are needed."""
    if runnable.graph is None:
        return runnable.of_kind("sample")
    above = statements_above([runnable.graph[name] for name in names])
    return [node.name for node in above if isinstance(node, RandomVariable) and node.observed is None]
