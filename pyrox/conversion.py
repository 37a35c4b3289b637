"""Draws of anybody's making become labelled results."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from pyrox import results
from pyrox.config import number_dtype
from pyrox.errors import ModelError, ShapeError, SupportError
from pyrox.model import LogDensity
from pyrox.settings import reject_unknown
from pyrox.target import target_of
from pyrox.typing import Tree

# What the way to unconstrained space and back may change a value by, in float32 too.
_TOLERANCE = 1e-3


def to_inference_data(
    trace: Any,
    *,
    model: Any = None,
    sample_stats: Mapping[str, Any] | None = None,
    coords: Mapping[str, Any] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
    **unknown: Any,
) -> Any:
    """Make labelled results of draws that another algorithm has made.

    They have the dims and coords of the model, and its deterministic values, so that ``px.predict`` and ArviZ take them
    as they take those of ``px.sample``.

    Parameters
    ----------
    trace
        Positions in unconstrained space, shape ``(chain, draw, dim)``, as the log-density takes them; or a mapping of
        the names of the free variables to their values, shape ``(chain, draw, ...)``.
    model
        A Model, or a function of primitives; None takes the enclosing ``with`` block's model.
    sample_stats
        Arrays of shape ``(chain, draw, ...)`` by name, for the group of that name.
    coords, dims
        Labels of dims, and names of axes by variable, that replace those of the model.
    model_args, model_kwargs
        Arguments of a function.

    Returns
    -------
    InferenceData (ArviZ 0.x) or DataTree (ArviZ 1.x) with the groups ``posterior``, ``sample_stats``,
    ``observed_data`` and ``constant_data``.

    Raises
    ------
    ModelError
        If a free variable has no draws, or a name is that of no variable.
    ShapeError
        If draws do not have the axes of chains and draws, or the shape of their variable.
    SupportError
        If a value lies outside the support of its variable.

    Examples
    --------
    >>> import numpy as np
    >>> import pyrox as px
    >>> with px.Model(coords={"row": ["a", "b"]}):
    ...     x = px.Normal("x", dims="row")
    ...     twice = px.Deterministic("twice", 2 * x, dims="row")
    ...     idata = px.to_inference_data({"x": np.ones((1, 3, 2))})
    >>> float(idata["posterior"]["twice"].sel(row="b").mean())
    2.0
    """
    reject_unknown("px.to_inference_data", unknown, tuple(to_inference_data.__kwdefaults__))
    target = target_of(model, model_args, model_kwargs)
    data = target.data
    values = _read_values(target.density, trace) if isinstance(trace, Mapping) else {}
    positions = _place(target.density, values, data) if values else _read_positions(target.density, trace)
    posterior = target.constrain(positions, data)
    _require_same(posterior, values)
    groups: dict[str, Any] = {"posterior": {**posterior, **values}}
    groups["sample_stats"] = _statistics(sample_stats or {}, positions.shape[:2])
    groups["observed_data"], groups["constant_data"] = target.known_values(data)
    return results.build(
        groups,
        dims={**target.dims, **(dims or {})},
        coords={**target.coords, **(coords or {})},
        attrs=results.run_attrs(**target.attrs),
    )


def _read_positions(density: LogDensity, trace: Any) -> np.ndarray:
    positions = np.asarray(trace, number_dtype())
    if positions.ndim != 3 or positions.shape[-1] != density.dim or 0 in positions.shape:
        raise ShapeError(
            f"positions have the shape (chain, draw, {density.dim}), the last axis for {', '.join(density.free)}; met "
            f"{positions.shape}" + (": positions[None] is one chain of draws" if positions.ndim == 2 else "")
        )
    return positions


def _read_values(density: LogDensity, trace: Mapping[str, Any]) -> dict[str, np.ndarray]:
    known = [*density.free, *density.deterministics]
    strange = [name for name in trace if name not in known]
    if strange:
        ends = ": it is drawn given the others" if strange[0] in (*density.discrete, *density.drawn) else ""
        raise ModelError(f"draws of {strange[0]!r} have no place{ends}; give those of {', '.join(density.free)}")
    missing = [name for name in density.free if name not in trace]
    if missing:
        raise ModelError(f"the draws lack {', '.join(missing)}; give those of every free variable")
    values = {name: np.asarray(trace[name]) for name in density.free}
    leads = {x.shape[:2] for x in values.values()}
    for name, x in values.items():
        if x.ndim < 2 or 0 in x.shape[:2] or x.shape[2:] != density.free[name].shape or len(leads) > 1:
            wanted = ", ".join(("chain", "draw", *map(str, density.free[name].shape)))
            raise ShapeError(
                f"draws of {name!r} have the shape ({wanted}), of the same chains and draws as all others; "
                f"met {x.shape}"
            )
    return values


def _place(density: LogDensity, values: Mapping[str, np.ndarray], data: Tree) -> np.ndarray:
    """Give the positions of values by name."""
    unconstrain = jax.vmap(jax.vmap(density.unconstrain, (0, None)), (0, None))
    return np.asarray(jax.jit(unconstrain)(values, data))


def _require_same(found: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray]) -> None:
    """Raise SupportError unless the way to unconstrained space and back leads to the same values: then all belong."""
    for name, x in given.items():
        same = np.abs(found[name] - x) <= _TOLERANCE * (1 + np.abs(x))
        if not same.all():
            chain, draw = np.argwhere(~same)[0, :2]
            raise SupportError(
                f"draws of {name!r} lie in its support; met {x[chain, draw].tolist()} in draw {draw} of chain {chain}"
            )


def _statistics(given: Mapping[str, Any], leads: tuple[int, int]) -> dict[str, np.ndarray]:
    arrays = {name: np.asarray(x) for name, x in given.items()}
    for name, x in arrays.items():
        if x.shape[:2] != leads:
            raise ShapeError(f"sample_stats: {name!r} begins with {leads}, chains and draws; met {x.shape}")
    return arrays
