"""Build the one result object of every engine: groups with names, dims and coords, for either generation of ArviZ."""

import json
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from pyrox.errors import ModelError
from pyrox.garbage import without_collections

SAMPLE_DIMS = ("chain", "draw")
Groups = dict[str, Mapping[str, Any]]
# Results that are larger stay on disk.
_LOADED_BYTES = 100 * 2**20
_GROWING = ("posterior", "sample_stats", "log_likelihood", "log_prior")
_UNSAMPLED = ("observed_data", "constant_data", "predictions_constant_data")


def load_arviz() -> Any:
    """Import ArviZ, which takes seconds: only what needs it calls this, and early, beside other work."""
    # An announcement of changes to come, at every first import, is nothing that a user of pyrox can act on.
    warnings.filterwarnings("ignore", "(?s).*ArviZ is undergoing a major refactor", FutureWarning)
    with without_collections():
        import arviz

    return arviz


def has_inference_data() -> bool:
    """Tell whether the installed ArviZ has ``InferenceData`` (0.x); later ones use ``xarray.DataTree``."""
    return _version("arviz").startswith("0.")


def build(
    groups: Groups,
    *,
    dims: Mapping[str, Sequence[str] | None],
    coords: Mapping[str, Any],
    attrs: Mapping[str, Any] | None = None,
) -> Any:
    """Build an ``InferenceData`` (ArviZ 0.x) or a ``DataTree`` (ArviZ 1.x).

    Parameters
    ----------
    groups
        For each group a mapping of names to arrays. Arrays of sampled groups begin with the axes ``chain`` and
        ``draw``; those of ``observed_data`` and ``constant_data`` do not.
    dims
        Names of the axes of each variable, without chain and draw; None or a missing name numbers them.
    coords
        Labels of dims; None numbers them.
    attrs
        Attributes of the sampled groups.

    Returns
    -------
    The labelled results; groups without variables are left out.
    """
    return assemble(label(groups, dims=dims, coords=coords, attrs=attrs))


def label(
    groups: Groups,
    *,
    dims: Mapping[str, Sequence[str] | None],
    coords: Mapping[str, Any],
    attrs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Label the variables of every group; see ``build``."""
    return {
        name: dataset(
            variables, dims, coords, attrs, sampled=name not in _UNSAMPLED, statistics=name.endswith("sample_stats")
        )
        for name, variables in groups.items()
        if variables
    }


def assemble(datasets: Mapping[str, Any]) -> Any:
    """Join the datasets of groups into what the installed ArviZ works with."""
    if has_inference_data():
        return load_arviz().InferenceData(**datasets)
    from xarray import DataTree

    load_arviz()  # registers what its functions expect to find on a DataTree
    return DataTree.from_dict(dict(datasets))


def groups_of(results: Any) -> dict[str, Any]:
    """Take results of either kind apart into datasets by group."""
    if not hasattr(results, "children") and not callable(getattr(results, "groups", None)):
        raise ModelError(
            f"here go the results of px.sample, InferenceData or a DataTree; met {type(results).__name__}"
        )
    if hasattr(results, "children"):
        return {name: node.to_dataset() for name, node in results.children.items()}
    return {name: results[name] for name in results.groups()}


def dataset(
    variables: Mapping[str, Any],
    dims: Mapping[str, Sequence[str] | None],
    coords: Mapping[str, Any],
    attrs: Mapping[str, Any] | None = None,
    *,
    sampled: bool = True,
    statistics: bool = False,
) -> Any:
    """Label the variables of one group."""
    import xarray as xr

    lead = SAMPLE_DIMS if sampled else ()
    arrays, used = {}, {}
    for name, values in variables.items():
        values = np.asarray(values)
        if sampled and not statistics and values.dtype == bool:
            values = values.astype(np.int8)  # summaries and plots subtract, which booleans refuse
        axes = lead + _axis_names(name, values.ndim - len(lead), dims.get(name))
        arrays[name] = (axes, values)
        used.update(zip(axes, values.shape, strict=True))
    labels = {dim: _labels(coords.get(dim), length) for dim, length in used.items()}
    return xr.Dataset(arrays, coords=labels, attrs=dict(attrs or {}))


def _axis_names(name: str, ndim: int, declared: Sequence[str] | None) -> tuple[str, ...]:
    named = tuple(declared or ())
    return tuple(named[i] if i < len(named) and named[i] is not None else f"{name}_dim_{i}" for i in range(ndim))


def _labels(declared: Any, length: int) -> np.ndarray:
    if declared is None or len(declared) != length:
        return np.arange(length)
    return np.asarray(declared)


def state_dataset(arrays: Mapping[str, np.ndarray], attrs: Mapping[str, Any]) -> Any:
    """Hold where chains are, one row a chain, in a form that every file format of xarray takes."""
    import xarray as xr

    chains = len(next(iter(arrays.values())))
    variables = {
        name: (("chain", *[f"{name}_dim_{i}" for i in range(x.ndim - 1)]), x) for name, x in arrays.items()
    }
    return xr.Dataset(variables, coords={"chain": np.arange(chains)}, attrs=dict(attrs))


def write_skeleton(folder: Path, datasets: Mapping[str, Any], rows: int) -> None:
    """Write a Zarr store in which some groups are to grow.

    Parameters
    ----------
    folder
        The store.
    datasets
        Groups; those with dims ``chain`` and ``draw`` hold no draws yet.
    rows
        Draws of one chain that share a file.
    """
    for group, data in datasets.items():
        encoding: dict[str, dict] = {}
        for name, variable in data.variables.items():
            if variable.dims[:2] == SAMPLE_DIMS:
                encoding[name] = {"chunks": (1, rows, *(max(n, 1) for n in variable.shape[2:])), "compressors": None}
            elif variable.dims == ("draw",):
                encoding[name] = {"chunks": (rows,), "compressors": None}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # labels of fixed width are no part of Zarr's specification yet
            try:
                data.to_zarr(folder, group=group, zarr_format=3, consolidated=False, encoding=encoding)
            except (TypeError, ValueError) as error:
                raise ModelError(f"the group {group} cannot be stored, check its coords and dims: {error}") from error


def open_store(folder: Path) -> dict[str, Any]:
    """Open the groups of a Zarr store: read where they are small, else left on disk until they are used."""
    import xarray as xr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = xr.open_datatree(folder, engine="zarr", chunks=None)
    datasets = {name: node.to_dataset() for name, node in tree.children.items()}
    small = sum(data.nbytes for data in datasets.values()) <= _LOADED_BYTES
    return {name: data.load() if small or name.endswith("_data") else data for name, data in datasets.items()}


def append(former: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Put the draws of a run's continuation behind those it had.

    Groups of draws that the continuation lacks would no longer belong to the posterior, and are left out.
    """
    import xarray as xr

    joined = {}
    for name, data in former.items():
        if name in _GROWING and name in later:
            new = later[name]
            first = int(data["draw"][-1]) + 1 if data.sizes["draw"] else 0
            new = new.assign_coords(draw=first + np.arange(new.sizes["draw"]), chain=data["chain"])
            how = {"data_vars": "minimal", "coords": "minimal", "compat": "override", "join": "override"}
            both = xr.concat([data, new], "draw", **how)
            joined[name] = both.assign_attrs(new.attrs)
        elif name in later or name.startswith("warmup_") or "draw" not in data.dims:
            new = later.get(name, data)
            joined[name] = new.assign_coords(chain=data["chain"]) if "chain" in data.dims else new
    return {**joined, **{name: data for name, data in later.items() if name not in joined}}


def plot_losses(losses: np.ndarray, ax: Any = None, *, title: str = "") -> Any:
    """Plot losses by step, from where the worst of the descent is over.

    Parameters
    ----------
    losses
        The losses; those that are not finite are left out.
    ax
        Matplotlib axes to draw into; None makes new ones.
    title
        What was fitted.

    Returns
    -------
    The axes.
    """
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots()[1]
    steps = np.flatnonzero(np.isfinite(losses))
    ax.plot(steps, losses[steps], linewidth=0.8)
    if steps.size:
        settled = losses[steps][steps.size // 10 :]
        low, high = float(settled.min()), float(np.quantile(settled, 0.99))
        margin = 0.05 * (high - low) or 1.0
        ax.set_ylim(low - margin, high + margin)
    ax.set(xlabel="step", ylabel="loss", title=title)
    return ax


def plot_curves(
    x: np.ndarray, curves: Mapping[str, np.ndarray], band: tuple[np.ndarray, np.ndarray], *, bad: Sequence[bool],
    xlabel: str, ylabel: str,
) -> np.ndarray:  # fmt: skip
    """Plot curves, each in a panel of its own, over a band that all have in common.

    Parameters
    ----------
    x
        Where the curves are known.
    curves
        The curves by title.
    band
        Its lower and its upper edge.
    bad
        Which curves leave it.
    xlabel, ylabel
        Names of the axes.

    Returns
    -------
    The axes, one for each curve.
    """
    import matplotlib.pyplot as plt

    columns = min(len(curves), 4)
    rows = -(-len(curves) // columns)
    shared = {"sharex": True, "sharey": True, "squeeze": False, "layout": "constrained"}
    figure, grid = plt.subplots(rows, columns, figsize=(3.0 * columns, 2.4 * rows), **shared)
    axes = grid.ravel()
    for ax, (title, curve), is_bad in zip(axes, curves.items(), bad, strict=False):
        ax.fill_between(x, *band, step="mid", color="0.85", linewidth=0)
        ax.axhline(0.0, color="0.5", linewidth=0.6)
        ax.step(x, curve, where="mid", color="tab:red" if is_bad else "tab:blue", linewidth=1.2)
        ax.set_title(title, fontsize="small")
    for ax in axes[len(curves) :]:
        ax.set_axis_off()
    figure.supxlabel(xlabel, fontsize="small")
    figure.supylabel(ylabel, fontsize="small")
    return axes[: len(curves)]


def run_attrs(**extra: Any) -> dict[str, Any]:
    """Say what made the results, and when."""
    return {
        "created_at": datetime.now(UTC).isoformat(),
        "creation_library": "pyrox",
        "inference_library": "pyrox",
        "inference_library_version": _version("pyrox"),
        "jax_version": _version("jax"),
        "arviz_version": _version("arviz"),
        **{name: value for name, value in extra.items() if value is not None},
    }


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"

def take_apart(dataset: Any) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Split a dataset into what JSON can hold, and arrays that it refers to by number; no array holds objects."""
    arrays: list[np.ndarray] = []

    def split(variable: Any, name: Any) -> dict[str, Any]:
        values, dims = np.asarray(variable.values), [str(dim) for dim in variable.dims]
        told = {"dims": dims, "attrs": _json_attrs(variable.attrs), "array": len(arrays)}
        if values.dtype == object:  # labels
            labels = [_write_label(x, name) for x in values.ravel()]
            return {"dims": dims, "attrs": told["attrs"], "labels": labels, "shape": list(values.shape)}
        arrays.append(values)
        return told

    plain = {
        "attrs": _json_attrs(dataset.attrs),
        "coords": {str(name): split(x, name) for name, x in dataset.coords.variables.items()},
        "variables": {str(name): split(x.variable, name) for name, x in dataset.data_vars.items()},
    }
    return plain, arrays


def put_together(plain: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> Any:
    """Make the dataset that ``take_apart`` has split."""
    import xarray as xr

    def join(told: Mapping[str, Any]) -> tuple:
        if "labels" not in told:
            return told["dims"], arrays[told["array"]], told["attrs"]
        labels = np.empty(len(told["labels"]), object)
        labels[:] = [_read_label(x) for x in told["labels"]]
        return told["dims"], labels.reshape(told["shape"]), told["attrs"]

    coords, variables = ({name: join(x) for name, x in plain[part].items()} for part in ("coords", "variables"))
    return xr.Dataset(variables, coords=coords, attrs=dict(plain["attrs"]))


def _json_attrs(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    return json.loads(json.dumps({str(name): value for name, value in attrs.items()}, default=_plain_attr))


def _plain_attr(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _write_label(label: Any, name: Any) -> Any:
    if label is None or isinstance(label, str | int | float):
        return label
    if isinstance(label, date):
        return {"datetime" if isinstance(label, datetime) else "date": label.isoformat()}
    raise ModelError(f"{name!r} has a label that no file can hold: {label!r}; use text, numbers or dates")


def _read_label(written: Any) -> Any:
    if not isinstance(written, dict):
        return written
    return date.fromisoformat(written["date"]) if "date" in written else datetime.fromisoformat(written["datetime"])
