"""Take draws in, in whatever form they come, and give results back with the same labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from pyrox import results
from pyrox.errors import ModelError, ShapeError

_STACKED = "sample"
# Keys fold in numbers of 32 bits.
_LARGEST_LABEL = 2**32


@dataclass(frozen=True)
class Draws:
    """Draws of variables, with what is known of the run that made them.

    Attributes
    ----------
    arrays
        By variable, an array that begins with the axes of draws.
    sample_dims, sizes
        The axes of draws, and their lengths.
    identity
        What tells each draw from the others, shape ``(sample, number)``: its labels, where they are whole numbers.
    dims, coords
        Names of the axes of each variable, and the labels of each dim, as the run had them.
    data
        Named data as the run had them, dims and values; None if that is not known.
    observed
        Names of the observed variables of the run; None if that is not known.
    attrs
        Attributes of the posterior.
    template
        The dataset that lends its labels of draws to results; None numbers them.
    """

    arrays: dict[str, Any]
    sample_dims: tuple[str, ...]
    sizes: tuple[int, ...]
    identity: np.ndarray
    dims: Mapping[str, tuple] = field(default_factory=dict)
    coords: Mapping[str, np.ndarray] = field(default_factory=dict)
    data: Mapping[str, tuple] | None = None
    observed: tuple[str, ...] | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)
    template: Any = None

    @property
    def count(self) -> int:
        """Number of draws."""
        return int(np.prod(self.sizes))

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one draw of a variable."""
        return tuple(self.arrays[name].shape[len(self.sizes) :])

    def flat(self, name: str) -> np.ndarray:
        """Give the draws of a variable along one axis, those of all chains with one number together."""
        array = self.arrays[name]
        return _flatten(np.asarray(getattr(array, "values", array)), len(self.sizes))

    def spread(self, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Give arrays with one axis of draws the axes ``sample_dims``; of an incomplete row of chains nothing stays."""
        others = int(np.prod(self.sizes[:-1]))
        spread = {}
        for name, x in found.items():
            rows = len(x) // others
            array = x[: rows * others].reshape(rows, *self.sizes[-2::-1], *x.shape[1:])
            axes = len(self.sizes)
            spread[name] = array.transpose(*range(axes)[::-1], *range(axes, array.ndim))
        return spread

    def label(
        self, found: Mapping[str, np.ndarray], dims: Mapping[str, Any], coords: Mapping[str, Any], attrs: Mapping | None
    ) -> Any:
        """Make a dataset of arrays with one axis of draws."""
        arrays = self.spread(found)
        arrays = {name: x.astype(np.int8) if x.dtype == bool else x for name, x in arrays.items()}
        named = {
            name: (*self.sample_dims, *_pad(dims.get(name), x.ndim - len(self.sample_dims), name))
            for name, x in arrays.items()
        }
        data = results.dataset(arrays, named, coords, attrs, sampled=False)
        if self.template is None:
            return data
        kept = data.sizes[self.sample_dims[-1]] if data.data_vars else self.sizes[-1]
        labels = self.template.isel({self.sample_dims[-1]: slice(kept)})
        return data.drop_vars(self.sample_dims, errors="ignore").assign_coords(labels.coords)


def _pad(dims: Any, ndim: int, name: str) -> tuple:
    named = tuple(dims or ())
    return tuple(named[i] if i < len(named) and named[i] is not None else f"{name}_dim_{i}" for i in range(ndim))


def read_draws(trace: Any, ndims: Mapping[str, int], sample_dims: Sequence[str] | None = None) -> Draws:
    """Read draws.

    Parameters
    ----------
    trace
        ``InferenceData``, ``DataTree`` or ``Dataset``; a mapping of names to arrays, or a list of mappings.
    ndims
        Number of axes of one draw, for the variables that are known to have one.
    sample_dims
        Names of the axes of draws; None takes ``chain`` and ``draw``, or ``sample``.

    Raises
    ------
    ModelError
        If there are no draws in it.
    ShapeError
        If variables do not have the same axes of draws.
    """
    if isinstance(trace, Sequence) and not isinstance(trace, str):
        trace = _stack(trace)
    is_dataset = hasattr(trace, "data_vars") and hasattr(trace, "dims")  # a Model has data_vars too
    if is_dataset and not getattr(trace, "children", None):  # one group, or a Dataset
        return _read_dataset(trace.to_dataset() if hasattr(trace, "children") else trace, {}, sample_dims)
    if hasattr(trace, "children") or hasattr(trace, "groups"):
        groups = results.groups_of(trace)
        if "posterior" not in groups:
            raise ModelError(f"there is no group 'posterior' among {', '.join(groups) or 'no groups at all'}")
        return _read_dataset(groups["posterior"], groups, sample_dims)
    if isinstance(trace, Mapping):
        return _read_mapping(trace, ndims)
    raise ModelError(
        "draws come as InferenceData, DataTree, Dataset, a dict of arrays or a list of dicts; "
        f"met {type(trace).__name__}. Draws of a model are what px.sample returns"
    )


def _stack(points: Sequence) -> dict[str, np.ndarray]:
    if not points or not all(isinstance(point, Mapping) for point in points):
        raise ModelError("a list of draws holds one dict of values for each draw")
    lacking = [name for name in points[0] if any(name not in point for point in points)]
    if lacking:
        raise ModelError(f"the draws lack {lacking[0]!r} in some places of the list")
    return {name: np.stack([np.asarray(point[name]) for point in points])[None] for name in points[0]}


def _read_mapping(trace: Mapping[str, Any], ndims: Mapping[str, int]) -> Draws:
    arrays = {str(name): np.asarray(x) for name, x in trace.items()}
    wanted = {name: x for name, x in arrays.items() if name in ndims}
    if not wanted:
        raise ModelError(f"the draws hold {', '.join(arrays) or 'nothing'}; the model has {', '.join(ndims) or 'none'}")
    leads = {name: x.ndim - ndims[name] for name, x in wanted.items()}
    if len(set(leads.values())) > 1 or not 0 <= min(leads.values()) <= 2:
        told = ", ".join(f"{name} {x.shape}" for name, x in wanted.items())
        raise ShapeError(f"before the axes of a variable, draws have (chain, draw), (draw,), or none; met {told}")
    lead = min(leads.values())
    shapes = {(1, 1, 1)[lead:][: 2 - lead] + x.shape[:lead] for x in wanted.values()}
    if len(shapes) > 1:
        raise ShapeError(f"draws of all variables share their axes of chains and draws; met {sorted(shapes)}")
    sizes = next(iter(shapes))
    values = {name: x.reshape(*sizes, *x.shape[lead:]) for name, x in wanted.items()}
    return Draws(values, results.SAMPLE_DIMS, sizes, _number(sizes))


def _read_dataset(data: Any, groups: Mapping[str, Any], sample_dims: Sequence[str] | None) -> Draws:
    dims = _choose_dims(data, sample_dims)
    sizes = tuple(data.sizes[dim] for dim in dims)
    if 0 in sizes:
        raise ModelError(f"there are no draws in it: {', '.join(f'{d} {n}' for d, n in zip(dims, sizes, strict=True))}")
    values, names = {}, {}
    for name, x in data.data_vars.items():
        if not all(dim in x.dims for dim in dims):
            continue
        ordered = x.transpose(*dims, ...)
        values[str(name)], names[str(name)] = ordered, ordered.dims[len(dims) :]
    # Labels of the draws alone: what goes along other axes may be replaced in what is predicted.
    others = [name for name, x in data.coords.items() if not set(x.dims) <= set(dims) or not x.dims]
    template = data.drop_vars([*data.data_vars, *others])
    coords = {str(n): x.values for n, x in data.coords.items() if x.dims == (n,) and n not in dims}
    constant = groups.get("constant_data")
    if constant is not None:
        coords = {str(n): x.values for n, x in constant.coords.items() if x.dims == (n,)} | coords
    return Draws(
        values, dims, sizes, _identify(data, dims, sizes), names, coords,
        None if constant is None else {str(n): (x.dims, x.values) for n, x in constant.data_vars.items()},
        tuple(map(str, groups["observed_data"].data_vars)) if "observed_data" in groups else None,
        dict(data.attrs), template,
    )  # fmt: skip


def _choose_dims(data: Any, sample_dims: Sequence[str] | None) -> tuple[str, ...]:
    if sample_dims is not None:
        dims = (sample_dims,) if isinstance(sample_dims, str) else tuple(sample_dims)
    else:
        dims = results.SAMPLE_DIMS if "draw" in data.dims else (_STACKED,)
        dims = tuple(dim for dim in dims if dim in data.dims or dim == _STACKED)
    lacking = [dim for dim in dims if dim not in data.dims]
    if lacking:
        raise ModelError(
            f"the draws have no dim {lacking[0]!r}; they have {', '.join(map(str, data.dims)) or 'none'}: say which "
            "hold the draws, sample_dims=[...]"
        )
    return dims


def _flatten(x: np.ndarray, lead: int) -> np.ndarray:
    """Make one axis of the axes of draws, the last one slowest."""
    moved = x.transpose(*range(lead)[::-1], *range(lead, x.ndim))
    flat = moved.reshape(-1, *x.shape[lead:])
    return np.asarray(flat, jax.dtypes.canonicalize_dtype(flat.dtype))


def _number(sizes: Sequence[int]) -> np.ndarray:
    grid = np.indices(sizes).reshape(len(sizes), *sizes)
    return np.stack([_flatten(axis, len(sizes)) for axis in grid], axis=-1).astype(np.uint32)


def _identify(data: Any, dims: Sequence[str], sizes: Sequence[int]) -> np.ndarray:
    """Tell draws by their labels, so that a draw of a thinned or stacked posterior is known again."""
    numbers = _number(sizes)
    stacked = len(dims) == 1 and all(name in data.coords and data[name].dims == dims for name in results.SAMPLE_DIMS)
    if stacked:
        pair = [_as_numbers(data[name].values) for name in results.SAMPLE_DIMS]
        return numbers if any(x is None for x in pair) else np.stack(pair, axis=-1)
    for axis, dim in enumerate(dims):
        labels = _as_numbers(data[dim].values) if dim in data.coords else None
        if labels is not None:
            numbers[:, axis] = labels[numbers[:, axis]]
    return numbers


def _as_numbers(labels: np.ndarray) -> np.ndarray | None:
    fits = labels.dtype.kind in "iu" and labels.size and labels.min() >= 0 and labels.max() < _LARGEST_LABEL
    return labels.astype(np.uint32) if fits else None


def extend(idata: Any, datasets: Mapping[str, Any]) -> Any:
    """Put groups into results, in place of those of the same names; data groups that are there stay."""
    there = results.groups_of(idata)
    added = {
        name: data
        for name, data in datasets.items()
        if data.data_vars and not (name in ("observed_data", "constant_data") and name in there)
    }
    if hasattr(idata, "add_groups"):
        idata.extend(results.assemble(added), join="right")
    else:
        for name, data in added.items():
            idata[name] = type(idata)(dataset=data)
    return idata
