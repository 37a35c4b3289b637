"""Sum discrete variables out of models, and recover them afterwards."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox import results
from pyrox.draws import Draws, extend, read_draws
from pyrox.drawwise import map_draws
from pyrox.errors import ModelError
from pyrox.model import EnumerationPlan, LogDensity, Model, current_model
from pyrox.runner import Interrupts
from pyrox.settings import as_key, reject_unknown
from pyrox.target import Target, target_of
from pyrox.typing import Array, Key, Tree


class MarginalProgram:
    """A function of primitives of which some discrete variables are to be summed out."""

    def __init__(self, program: Callable, names: Sequence[str]) -> None:
        self.program, self.marginalized = program, tuple(names)
        self.__name__ = getattr(program, "__name__", type(program).__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function."""
        return self.program(*args, **kwargs)


def marginalize(model: Any = None, names: Sequence[str] | str | None = None) -> Any:
    r"""Sum discrete variables out of a model.

    .. math:: p(\theta, y) = \sum_z p(\theta, z, y)

    ``px.sample``, ``px.fit`` and their kin do so by themselves with every discrete variable; this is for those who
    want to name them, and to hear at once whether it can be done. Elements that are independent of one another given
    the other variables are summed out one by one, Markov chains by the forward algorithm, and a few elements that
    are not independent together. What draws from the posterior gives draws of the discrete variables too.

    Parameters
    ----------
    model
        A Model, or a function of primitives; None takes the enclosing ``with`` block's model.
    names
        The variables; None takes all discrete ones.

    Returns
    -------
    A model with the same variables and data, or a function, for all calls that take one.

    Raises
    ------
    ModelError
        If there is no such variable, or it is not discrete, is observed, has infinitely many values, or the elements
        depend on one another in too many ways; it says what can be done.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model() as model:
    ...     p = px.Beta("p", 2.0, 2.0)
    ...     z = px.Bernoulli("z", p, shape=3)
    ...     y = px.Normal("y", 4.0 * z, 1.0, observed=[0.1, 3.9, 4.2])
    >>> marginal = px.marginalize(model, ["z"])
    >>> print(px.explain_marginalization(marginal))
    Discrete variables are summed out exactly:
      z: 3 elements of 2 values, one by one
      tables of 12 numbers in all
    """
    model = current_model() if model is None else model
    chosen = [names] if isinstance(names, str) else names
    if not isinstance(model, Model):
        if not callable(model):
            raise ModelError(f"model must be a Model or a function of primitives, not {type(model).__name__}")
        return model if chosen is None else MarginalProgram(model, chosen)
    discrete = [v.name for v in model.free_RVs if v.dist.struct.is_discrete]
    for name in chosen or ():
        if name not in discrete:
            raise ModelError(
                f"marginalize: {_what_is(model, name)}; its free discrete variables are {', '.join(discrete) or 'none'}"
            )
    marginal = copy(model)
    marginal.marginalized = tuple(discrete if chosen is None else chosen)
    LogDensity.build(marginal)
    return marginal


def _what_is(model: Model, name: str) -> str:
    if name not in model:
        return f"the model has no variable {name!r}"
    if any(v.name == name for v in model.observed_RVs):
        return f"{name!r} is observed"
    return f"{name!r} is no discrete variable"


def explain_marginalization(
    model: Any = None, model_args: tuple = (), model_kwargs: Mapping[str, Any] | None = None
) -> EnumerationPlan:
    """Tell how the discrete variables of a model are summed out.

    Parameters
    ----------
    model
        A Model, or a function of primitives; None takes the enclosing ``with`` block's model.
    model_args, model_kwargs
        Arguments of a function.

    Returns
    -------
    The plan, which prints itself; that of a model without discrete variables sums out nothing, and says so.

    Raises
    ------
    ModelError
        If a discrete variable cannot be summed out.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model():
    ...     stay = px.Beta("stay", 9.0, 1.0)
    ...     P = px.math.stack([px.math.stack([stay, 1 - stay]), px.math.stack([1 - stay, stay])])
    ...     state = px.DiscreteMarkovChain("state", P=P, shape=50)
    ...     y = px.Normal("y", 2.0 * state, 1.0, observed=[0.0] * 50)
    ...     print(px.explain_marginalization())
    Discrete variables are summed out exactly:
      state: a chain of 50 steps, 2 states, by the forward algorithm
      tables of 300 numbers in all
    """
    density = target_of(model, model_args, model_kwargs).density
    plan = EnumerationPlan({}, (), (), 0) if density.marginal is None else density.marginal.plan
    structs = density.sites.drawn
    return replace(plan, drawn=tuple(n for n in density.drawn if not jnp.issubdtype(structs[n].dtype, jnp.floating)))


def recover_marginals(
    idata: Any,
    *,
    var_names: Sequence[str] | str | None = None,
    model: Any = None,
    random_seed: int | Key | None = None,
    extend_inferencedata: bool = True,
    sample_dims: Sequence[str] | None = None,
    progressbar: bool = False,
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
    **unknown: Any,
) -> Any:
    r"""Draw the discrete variables that were summed out, and give their probabilities, at every draw.

    .. math:: z_s \sim p(z \mid \theta_s, y)

    Both are exact: whole paths of Markov chains are drawn backwards, and the probabilities are those of each element
    given all observations. Deterministic variables are worked out with the new draws.

    Parameters
    ----------
    idata
        Results with a group ``posterior``; without ``extend_inferencedata``, draws in any form.
    var_names
        Discrete variables; None takes all.
    model
        A Model, or a function of primitives; None takes the enclosing ``with`` block's model.
    random_seed
        A whole number or a JAX key; None draws one.
    extend_inferencedata
        Whether to put the new variables into the posterior and return ``idata``; False returns a Dataset.
    sample_dims
        Names of the axes that hold the draws; None takes ``chain`` and ``draw``, or ``sample``.
    progressbar
        Whether to show progress.
    model_args, model_kwargs
        Arguments of a function.

    Returns
    -------
    ``idata``, or a Dataset: draws under the name ``z`` of each variable, and under ``lp_z`` the logarithms of the
    probabilities of its values, along a last dim ``z_value``.

    Raises
    ------
    ModelError
        If the model has no discrete variable of a name, or the draws lack a continuous variable.

    Examples
    --------
    >>> import numpy as np
    >>> import pyrox as px
    >>> with px.Model():
    ...     p = px.Beta("p", 2.0, 2.0)
    ...     z = px.Bernoulli("z", p, shape=2)
    ...     y = px.Normal("y", 4.0 * z, 1.0, observed=[0.0, 4.0])
    ...     found = px.recover_marginals({"p": np.full((1, 3), 0.5)}, random_seed=1, extend_inferencedata=False)
    >>> found["z"].values[0].tolist()
    [[0, 1], [0, 1], [0, 1]]
    >>> np.exp(found["lp_z"].values[0, 0]).round(4).tolist()
    [[0.9997, 0.0003], [0.0003, 0.9997]]
    """
    reject_unknown("px.recover_marginals", unknown, tuple(recover_marginals.__kwdefaults__))
    target = target_of(model, model_args, model_kwargs)
    density = target.density
    names = _choose(density, var_names)
    draws = read_draws(idata, {n: len(site.shape) for n, site in density.free.items()}, sample_dims)
    lacking = [n for n in density.free if n not in draws]
    if lacking:
        raise ModelError(
            f"the draws lack {', '.join(lacking)}; they hold {', '.join(draws.arrays) or 'nothing'}: discrete "
            "variables are drawn given all continuous ones"
        )
    found = _recover(target, draws, names, as_key(random_seed), show=progressbar)
    made = _label(target, draws, names, found)
    if not extend_inferencedata:
        return made
    if not (hasattr(idata, "children") or hasattr(idata, "add_groups")):
        raise ModelError(
            f"the draws are put into InferenceData or a DataTree; met {type(idata).__name__}: "
            "extend_inferencedata=False returns a Dataset"
        )
    posterior = results.groups_of(idata)["posterior"]
    kept = posterior.drop_vars([name for name in made.data_vars if name in posterior])
    return extend(idata, {"posterior": kept.merge(made, compat="override").assign_attrs(posterior.attrs)})


def _choose(density: LogDensity, var_names: Sequence[str] | str | None) -> list[str]:
    if density.marginal is None:
        raise ModelError("the model has no discrete variables that were summed out")
    names = [var_names] if isinstance(var_names, str) else list(var_names or density.discrete)
    unknown = [name for name in names if name not in density.discrete]
    if unknown:
        raise ModelError(
            f"var_names: {unknown[0]!r} was not summed out; what was: {', '.join(density.discrete)}"
        )
    return names


def _recover(
    target: Target, draws: Draws, names: Sequence[str], key: Key, *, show: bool
) -> dict[str, np.ndarray]:
    density = target.density

    def single(draw: tuple[dict[str, Array], Array], data: Tree) -> dict[str, Array]:
        values, number = draw
        own = data["key"]
        for i in range(number.shape[0]):
            own = jax.random.fold_in(own, number[i])
        position = density.unconstrain(values, data["data"])
        drawn = density.constrain(position, data["data"], own)
        logs = density.marginal.log_probabilities(position, data["data"])
        kept = {name: drawn[name] for name in (*names, *density.deterministics)}
        return kept | {f"lp_{name}": logs[name] for name in names}

    values = {name: draws.flat(name) for name in density.free}
    with Interrupts() as interrupts:
        found = map_draws(
            single, (values, draws.identity), {"data": target.data, "key": key}, title="Discrete variables", show=show,
            interrupts=interrupts,
        )  # fmt: skip
    if len(next(iter(found.values()))) < draws.count:
        raise KeyboardInterrupt
    return found


def _label(target: Target, draws: Draws, names: Sequence[str], found: Mapping[str, np.ndarray]) -> Any:
    dims, coords = dict(target.dims), dict(target.coords)
    for name in names:
        own = dims.get(name) or ()
        shape = target.density.sites.discrete[name].shape
        padded = [own[i] if i < len(own) and own[i] is not None else f"{name}_dim_{i}" for i in range(len(shape))]
        dims[f"lp_{name}"] = (*padded, f"{name}_value")
        support = target.density.marginal.plan.sums[name].support
        if support.is_one:
            coords[f"{name}_value"] = np.arange(support.count) + support.first(shape)
    return draws.label(found, dims, coords, results.run_attrs())
