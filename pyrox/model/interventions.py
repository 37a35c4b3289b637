"""From model to model: interventions, observations, other ways to sample. The model given stays as it is."""

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import Any

import numpy as np

from pyrox.dist.transforms import Transform
from pyrox.errors import ModelError, ShapeError
from pyrox.model import missing
from pyrox.model import values as host
from pyrox.model.graph import Model
from pyrox.model.missing import imputations
from pyrox.model.nodes import Constant, Node, ancestors
from pyrox.model.noncentering import noncenter_variable
from pyrox.model.program import Data, Deterministic, DistExpression, Potential, RandomVariable, Statement
from pyrox.model.rewrites import infer_config
from pyrox.model.rewriting import named, require_model, rewrite
from pyrox.model.variables import make_variables


def do(
    model: Model,
    vars_to_interventions: Mapping[Any, Any],
    *,
    make_interventions_shared: bool = True,
    prune_vars: bool = False,
) -> Model:
    r"""Set variables to values, whatever would have caused them; what depends on them sees these values.

    .. math:: p(y \mid \mathrm{do}(x = a))

    Parameters
    ----------
    model
        The model; it stays as it is.
    vars_to_interventions
        New values by variable, or by its name: numbers that broadcast to the variable's shape, or an expression of
        other variables of the model.
    make_interventions_shared
        Whether numbers become ``Data`` of the variable's name, which ``set_data`` can replace; else the values are
        fixed.
    prune_vars
        Whether to leave out variables on which neither observed ones nor potentials depend; see ``prune``.

    Returns
    -------
    A new model.

    Raises
    ------
    ModelError
        If there is no such variable, or it is observed; or an expression uses what depends on the variable.
    ShapeError
        If values do not have the variable's shape.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model() as model:
    ...     x = px.Normal("x")
    ...     y = px.Normal("y", 2 * x, 1.0)
    >>> px.do(model, {"x": 3.0})
    <Model free: y; data: x>
    >>> float(px.do(model, {x: y * 0 + 1})["x"].eval())
    Traceback (most recent call last):
    ...
    pyrox.errors.ModelError: do: the intervention on 'x' uses 'y', which depends on 'x'
    """
    require_model(model, "do")
    replaced = {}
    for key, value in _pairs(vars_to_interventions, "do"):
        variable = named(model, key, "do")
        _require_intervention(model, variable)
        replaced[variable] = _intervene(model, variable, value, shared=make_interventions_shared)
    new = rewrite(model, replaced)
    return prune(new) if prune_vars else new


def _pairs(given: Mapping, what: str) -> list[tuple[Any, Any]]:
    if not isinstance(given, Mapping) or not given:
        raise ModelError(f"{what} takes a dict of values by variable; met {given!r}")
    return list(given.items())


def _require_intervention(model: Model, variable: Statement) -> None:
    name = variable.name
    if name in imputations(model.named_vars.values()) or _is_observed(variable):
        raise ModelError(
            f"do: {name!r} is observed, and the same variable cannot be set too: "
            f"px.do(px.unobserve(model, [{name!r}]), ...) forgets what was observed; without it, "
            "intervene on what it depends on"
        )
    if isinstance(variable, Data):
        raise ModelError(f"do: {name!r} is Data, which has no cause to cut off: px.set_data({{{name!r}: ...}}, model)")
    if isinstance(variable, Potential):
        raise ModelError(f"do: {name!r} is a Potential, a term of the density without a value of its own")


def _is_observed(variable: Statement) -> bool:
    return isinstance(variable, RandomVariable) and variable.observed is not None


def _intervene(model: Model, variable: Statement, value: Any, *, shared: bool) -> Statement:
    if isinstance(value, Node):
        _require_cause(model, variable, value)
        if value.shape != variable.shape:
            raise ShapeError(f"do: {variable.name!r} has shape {variable.shape}, the intervention {value.shape}")
        return Deterministic(variable.name, value, variable.dims)
    array = _fitted(variable, value, "do")
    if shared:
        return Data(variable.name, array, variable.dims)
    return Deterministic(variable.name, Constant(array), variable.dims)


def _require_cause(model: Model, variable: Statement, value: Node) -> None:
    """Refuse an intervention that is made of its own effects."""
    for cause in reversed(ancestors([value])):
        if not isinstance(cause, Statement):
            continue
        if cause.name not in model or model[cause.name] is not cause:
            raise ModelError(f"do: the intervention on {variable.name!r} uses {cause.name!r} of another model")
        if cause is variable:
            raise ModelError(f"do: the intervention on {variable.name!r} uses the variable itself, which it replaces")
        if variable in ancestors([cause]):
            raise ModelError(
                f"do: the intervention on {variable.name!r} uses {cause.name!r}, which depends on {variable.name!r}"
            )


def _fitted(variable: Statement, value: Any, what: str) -> np.ndarray:
    array = host.as_host(value, f"{what}: the value of {variable.name!r}")
    host.require_finite(array, f"{what}: the value of {variable.name!r}", "give numbers")
    try:
        array = np.broadcast_to(array, variable.shape)
    except ValueError:
        raise ShapeError(
            f"{what}: {variable.name!r} has shape {variable.shape}, the value {array.shape}"
        ) from None
    if np.issubdtype(variable.dtype, np.integer) and array.dtype.kind == "f" and np.any(array % 1):
        raise ModelError(f"{what}: {variable.name!r} is made of whole numbers; met {array.ravel()[:3].tolist()}")
    return host.as_host(array.astype(variable.dtype), what)


def observe(model: Model, vars_to_observations: Mapping[Any, Any]) -> Model:
    """Observe free variables.

    Parameters
    ----------
    model
        The model; it stays as it is.
    vars_to_observations
        Data by free variable, or by its name: of the variable's shape, or ``Data`` of the model. Missing values (NaN,
        a mask) are imputed.

    Returns
    -------
    A new model.

    Raises
    ------
    ModelError
        If there is no such variable, or it is no free one.
    ShapeError
        If data do not have the variable's shape.
    SupportError
        If data lie outside the support.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model() as model:
    ...     x = px.Normal("x")
    ...     y = px.Normal("y", 2 * x, 1.0, shape=3)
    >>> px.observe(model, {"y": [1.0, 2.0, 3.0]})
    <Model free: x; observed: y>
    """
    require_model(model, "observe")
    given = [(named(model, key, "observe"), value) for key, value in _pairs(vars_to_observations, "observe")]
    replaced, added = {}, []
    for variable, data in given:
        _require_free(variable, "observe")
        declared = None if variable.dims is not None else variable.shape
        data = missing.unmask(data)
        *parts, whole = make_variables(model, variable.name, variable.dist, variable.dims, declared, data)
        taken = [part.name for part in parts if part.name in model]
        if taken:
            raise ModelError(f"observe: {variable.name!r} has missing values, but the model has a {taken[0]!r} already")
        for node in (*parts, whole):
            if isinstance(node, RandomVariable) and node.dist.fn is not missing.unseen_coordinates:
                node.transform, node.noncentered = variable.transform, variable.noncentered
        replaced[variable] = whole
        added += parts
    return rewrite(model, replaced, added=added)


def _require_free(variable: Statement, what: str) -> None:
    if isinstance(variable, RandomVariable) and variable.observed is None:
        return
    if isinstance(variable, RandomVariable):
        reason = f"it is observed already: px.unobserve(model, [{variable.name!r}]) makes it free"
    elif isinstance(variable, Data):
        reason = "it is Data, which px.set_data replaces"
    else:
        reason = (
            f"it is a {type(variable).__name__}, which has no distribution of its own: name the variable that has it"
        )
    raise ModelError(f"{what}: {variable.name!r} is no free variable; {reason}")


def unobserve(model: Model, vars_to_unobserve: Iterable[Any]) -> Model:
    """Forget what was observed: the variables are free.

    Parameters
    ----------
    model
        The model; it stays as it is.
    vars_to_unobserve
        Observed variables, or their names; one with missing values by the name of the whole.

    Returns
    -------
    A new model.

    Raises
    ------
    ModelError
        If there is no such variable, or it is not observed.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model() as model:
    ...     x = px.Normal("x")
    ...     y = px.Normal("y", 2 * x, 1.0, observed=[1.0, 2.0])
    >>> px.unobserve(model, ["y"])
    <Model free: x, y>
    """
    require_model(model, "unobserve")
    known = imputations(model.named_vars.values())
    whole_of = {i.observed.name: name for name, i in known.items()}
    replaced, dropped = {}, []
    for key in _names(vars_to_unobserve, "unobserve"):
        variable = named(model, key, "unobserve")
        name = whole_of.get(variable.name, variable.name)
        if name in known:
            imputation = known[name]
            replaced[imputation.whole] = _freed(imputation.whole, imputation.dist, imputation.unobserved)
            dropped += [imputation.observed, imputation.unobserved]
        elif _is_observed(variable):
            replaced[variable] = _freed(variable, variable.dist, variable)
        else:
            raise ModelError(f"unobserve: {name!r} is not observed")
    return rewrite(model, replaced, dropped)


def _names(given: Any, what: str) -> list[Any]:
    items = [given] if isinstance(given, str | Node) else list(given)
    if not items:
        raise ModelError(f"{what} takes names of variables; met {given!r}")
    return items


def _freed(variable: Statement, dist: DistExpression, sampled: RandomVariable) -> RandomVariable:
    """Make a free variable of an observed one; without dims it keeps a length that its parameters do not tell."""
    shape = variable.shape
    declared = None if variable.dims is None and dist.struct.shape == shape else shape
    free = RandomVariable(variable.name, dist, variable.dims, declared, None, None, None, None)
    free.transform, free.noncentered = sampled.transform, sampled.noncentered
    free.infer()
    return free


def prune(model: Model, keep: Iterable[Any] | None = None) -> Model:
    """Leave out what other variables do not depend on.

    Parameters
    ----------
    model
        The model; it stays as it is.
    keep
        Variables that stay, or their names, with all that they depend on; by default the observed ones and the
        potentials.

    Returns
    -------
    A new model.

    Raises
    ------
    ModelError
        If there is no such variable, or nothing would stay.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model() as model:
    ...     x, z = px.Normal("x"), px.Normal("z")
    ...     y = px.Normal("y", 2 * x, 1.0, observed=1.0)
    >>> px.prune(model)
    <Model free: x; observed: y>
    """
    require_model(model, "prune")
    statements = list(model.named_vars.values())
    if keep is None:
        roots = [n for n in statements if isinstance(n, Potential) or _is_observed(n)]
        roots += [i.whole for i in imputations(statements).values()]
        if not roots:
            raise ModelError("prune: nothing is observed, so that nothing would stay; keep= names what should")
    else:
        roots = [named(model, key, "prune") for key in _names(keep, "prune")]
    needed = set(ancestors(roots))
    return rewrite(model, dropped=[n for n in statements if n not in needed])


def change_value_transforms(model: Model, vars_to_transforms: Mapping[Any, Transform | None]) -> Model:
    """Change the maps through which samplers see free variables.

    Parameters
    ----------
    model
        The model; it stays as it is.
    vars_to_transforms
        By free variable, or by its name, a transform of ``px.dist.transforms`` from unconstrained space into the
        variable's support; None for the one that belongs to the support.

    Returns
    -------
    A new model.

    Raises
    ------
    ModelError
        If there is no such free variable.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model() as model:
    ...     x = px.HalfNormal("x")
    >>> square = px.dist.transforms.ComposeTransform([px.dist.transforms.ExpTransform(),
    ...                                               px.dist.transforms.PowerTransform(2.0)])
    >>> px.change_value_transforms(model, {"x": square})["x"].transform is square
    True
    """
    require_model(model, "change_value_transforms")
    replaced = {}
    for key, transform in _pairs(vars_to_transforms, "change_value_transforms"):
        variable = named(model, key, "change_value_transforms")
        _require_free(variable, "change_value_transforms")
        if not isinstance(transform, Transform | None):
            raise ModelError(
                f"change_value_transforms: {variable.name!r} takes one of px.dist.transforms; met {transform!r}"
            )
        replaced[variable] = twin = copy(variable)
        twin.transform, twin.noncentered = transform, False
    return rewrite(model, replaced)


def noncenter(model: Model | Callable, names: Iterable[Any]) -> Model | Callable:
    r"""Non-centre variables: samplers see them through what has no location and no scale.

    .. math:: z \sim D(0, 1), \quad x = \mu + \sigma z

    Everything else stays: results, starts, predictions, interventions and observations are those of x.

    Parameters
    ----------
    model
        A Model, which stays as it is; or a function of primitives.
    names
        Free variables, or their names: of location-scale families, of multivariate normals and random walks.

    Returns
    -------
    A new model; or the function under a handler.

    Raises
    ------
    ModelError
        If there is no such free variable, or its family has no such form.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model() as model:
    ...     tau = px.HalfNormal("tau", 1.0)
    ...     theta = px.Normal("theta", 0.0, tau, shape=3)
    ...     y = px.Normal("y", theta, 1.0, observed=[1.0, 2.0, 3.0])
    >>> idata = px.sample(50, tune=50, model=px.noncenter(model, ["theta"]), progressbar=False,
    ...                   compute_convergence_checks=False)
    >>> list(idata["posterior"].data_vars)
    ['tau', 'theta']
    """
    if not isinstance(model, Model):
        if not callable(model):
            raise ModelError(f"noncenter takes a Model or a function of primitives; met {model!r}")
        chosen = set(_names(names, "noncenter"))
        return infer_config(model, lambda site: {"noncentered": True} if site["name"] in chosen else {})
    replaced = {}
    for key in _names(names, "noncenter"):
        variable = named(model, key, "noncenter")
        _require_free(variable, "noncenter")
        replaced[variable] = noncenter_variable(variable)
    return rewrite(model, replaced)
