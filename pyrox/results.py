"""Build the one result object of every engine: groups with names, dims and coords, for either generation of ArviZ."""

import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

SAMPLE_DIMS = ("chain", "draw")
Groups = dict[str, Mapping[str, Any]]
_UNSAMPLED = ("observed_data", "constant_data", "predictions_constant_data")


def load_arviz() -> Any:
    """Import ArviZ, which takes seconds: only what needs it calls this, and early, beside other work."""
    # An announcement of changes to come, at every first import, is nothing that a user of pyrox can act on.
    warnings.filterwarnings("ignore", "(?s).*ArviZ is undergoing a major refactor", FutureWarning)
    import arviz

    return arviz


def has_inference_data() -> bool:
    """Tell whether the installed ArviZ has ``InferenceData`` (0.x); later ones use ``xarray.DataTree``."""
    return version("arviz").startswith("0.")


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
    datasets = {
        name: dataset(
            variables, dims, coords, attrs, sampled=name not in _UNSAMPLED, statistics=name.endswith("sample_stats")
        )
        for name, variables in groups.items()
        if variables
    }
    if has_inference_data():
        return load_arviz().InferenceData(**datasets)
    from xarray import DataTree

    load_arviz()  # registers what its functions expect to find on a DataTree
    return DataTree.from_dict(datasets)


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


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
