"""Keep a model and its results in one file, without pickle: ``px.save`` and ``px.load``.

The file is a zip archive. ``pyrox.json`` says what it is, ``model.json`` and ``results.json`` hold the model and the
groups of results, and each array is a file ``….npy`` of NumPy's. So it needs nothing beyond what pyrox needs, and any
tool can look inside. It is written beside its place and moved there when it is whole.
"""

import glob
import json
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pyrox import results
from pyrox.config import number_dtype
from pyrox.errors import ModelError
from pyrox.model import Model
from pyrox.model.fingerprint import fingerprint, fingerprints
from pyrox.model.serialize import from_plain, to_plain
from pyrox.settings import require_path

_FORMAT = 1
_STALE_SECONDS = 3600.0
_ABOUT, _MODEL, _RESULTS = "pyrox.json", "model.json", "results.json"
_HASH, _PARTS = "model_hash", "model_parts"


class Saved(NamedTuple):
    """What ``px.load`` gives: ``model, idata = px.load(path)``.

    Attributes
    ----------
    model
        The model.
    idata
        Its results; None where it was saved alone.
    """

    model: Model
    idata: Any


def save(model: Model, idata: Any, path: str | os.PathLike) -> None:
    """Keep a model and its results in one file, without pickle.

    The model is kept with all that it states, its data and coords as they are now, and predicts the same numbers when
    it is loaded. Functions of the user's, in ``px.lift(f)`` or ``px.CustomDist``, are kept as the place to import them
    from: they must stand at the top level of a module.

    Parameters
    ----------
    model
        The model: a ``px.Model``, the outermost one of a family.
    idata
        Its results, as ``px.sample`` gives them; None keeps the model alone.
    path
        The file, ``fit.pyrox`` for one. It is replaced if it exists, and stays as it was if anything goes wrong.

    Raises
    ------
    ModelError
        If the results are those of another model, or the model holds what cannot be kept: a lambda, a function of the
        notebook. The variable is named.

    Examples
    --------
    >>> import tempfile
    >>> import pyrox as px
    >>> with px.Model(coords={"school": ["A", "B"]}) as model:
    ...     theta = px.Normal("theta", 0.0, px.HalfNormal("tau", 5.0), dims="school")
    ...     idata = px.sample(100, tune=200, random_seed=1, progressbar=False, quiet=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     px.save(model, idata, f"{folder}/fit.pyrox")
    ...     again, idata = px.load(f"{folder}/fit.pyrox")
    >>> again
    <Model free: tau, theta>
    >>> idata["posterior"]["theta"].dims
    ('chain', 'draw', 'school')
    """
    if not isinstance(model, Model):
        raise ModelError(
            f"px.save(model, idata, path) keeps a px.Model; met {type(model).__name__}"
            + (": a function of primitives is kept by its own source" if callable(model) else "")
        )
    require_path(path, "px.save(model, idata, path)")
    if idata is not None:
        results.groups_of(idata)
    written, arrays = to_plain(model)
    parts: list[tuple[str, Any, list[np.ndarray]]] = [(_MODEL, written, arrays)]
    model_hash = fingerprint(model)
    if idata is not None:
        parts.append(_write_results(idata, model))
    about = {
        "format": _FORMAT,
        "pyrox": results.run_attrs()["inference_library_version"],
        "created_at": results.run_attrs()["created_at"],
        "precision": str(number_dtype()),
        _HASH: model_hash,
        "arrays": {name: len(held) for name, _, held in parts},
    }

    def write(file: zipfile.ZipFile) -> None:
        for name, plain, held in [(_ABOUT, about, []), *parts]:
            file.writestr(name, json.dumps(plain, indent=1))
            for i, array in enumerate(held):
                _write_array(file, _member(name, i), array)

    _replace(Path(path), write)


def load(path: str | os.PathLike, *, modules: Sequence[str] | None = None) -> Saved:
    """Load what ``px.save`` has kept.

    Nothing in the file is executed, and none of the functions it names are called. Those of JAX and pyrox are looked up
    silently; other modules that the model names are imported, as its author imported them, and their functions run when
    the model does. For a file of a stranger's, say with ``modules`` what may be imported: ``modules=[]`` for nothing.

    Parameters
    ----------
    path
        The file.
    modules
        The modules and packages of the user's that may be imported; None allows those that the model names, but none of
        Python's own.

    Returns
    -------
    The model and its results, ``model, idata = px.load(path)``; ``idata`` is None where the model was saved alone.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ModelError
        If it is none of ours, or of a later version, or damaged; if a module must not or cannot be imported; if the
        model is not the one that the results belong to.

    Examples
    --------
    >>> import tempfile
    >>> import pyrox as px
    >>> with px.Model() as model:
    ...     y = px.Normal("y", px.Data("x", [1.0, 2.0]) * px.Normal("slope", 0.0, 1.0), 1.0, observed=[0.5, 1.5])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     px.save(model, None, f"{folder}/model.pyrox")
    ...     px.load(f"{folder}/model.pyrox", modules=[]).model
    <Model free: slope; observed: y; data: x>
    """
    require_path(path, "px.load")
    try:
        with zipfile.ZipFile(path) as file:
            about = _read_about(file, path)
            plain, arrays = _read_part(file, _MODEL, about)
            model = from_plain(plain, arrays, modules)
            groups = _read_part(file, _RESULTS, about) if _RESULTS in about["arrays"] else None
    except ModelError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, LookupError, ValueError) as error:
        raise ModelError(f"{os.fspath(path)!r} is no whole file of px.save: {error}") from error
    if fingerprint(model) != about[_HASH]:
        raise ModelError(
            f"{os.fspath(path)!r}: the model is not the one that was saved (hash {fingerprint(model)}; pyrox "
            f"{about['pyrox']} noted {about[_HASH]}): a function that it names has changed, or the file was edited"
        )
    return Saved(model, None if groups is None else _read_results(*groups))


# Results


def _differing(attrs: Mapping[str, Any], present: Mapping[str, str]) -> str:
    """Name the variables that differ, where the results tell."""
    former = json.loads(attrs.get(_PARTS, "{}"))
    names = [name for name in {**former, **present} if former.get(name) != present.get(name)] if former else []
    return f"; what differs: {', '.join(map(repr, names))}" if names else ""


def _write_results(idata: Any, model: Model) -> tuple[str, list, list[np.ndarray]]:
    try:
        datasets = results.groups_of(idata)
    except (AttributeError, TypeError):
        raise ModelError(
            "px.save(model, idata, path) keeps InferenceData or a DataTree, as px.sample returns it; "
            f"met {type(idata).__name__}"
        ) from None
    groups, arrays, present = [], [], fingerprints(model)
    model_hash = fingerprint(model)
    for name, dataset in datasets.items():
        former = dataset.attrs.get(_HASH)
        # A model that was made of another goes with the results of either.
        if former not in (None, model_hash, *model.origins):
            raise ModelError(
                f"the group {name} of the results was made by another model (its hash is {former}, that of the model "
                f"{model_hash}){_differing(dataset.attrs, present)}: save the model that px.sample was called with, or "
                "px.save(model, None, path) for this one alone"
            )
        plain, held = results.take_apart(dataset)
        groups.append({"name": name, **plain, "first": len(arrays), "count": len(held)})
        arrays += held
    return _RESULTS, groups, arrays


def _read_results(groups: list[dict], arrays: list[np.ndarray]) -> Any:
    datasets = {}
    for group in groups:
        held = arrays[group["first"] : group["first"] + group["count"]]
        datasets[group["name"]] = results.put_together(group, held)
    return results.assemble(datasets)


# The file


def _member(part: str, index: int) -> str:
    return f"{part.removesuffix('.json')}/{index}.npy"


def _write_array(file: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    # The last bits of draws are noise that nothing compresses; flags, counts and indices shrink.
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_STORED if array.dtype.kind in "fc" else zipfile.ZIP_DEFLATED
    with file.open(entry, "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, np.asarray(array), allow_pickle=False)


def _read_about(file: zipfile.ZipFile, path: Any) -> dict[str, Any]:
    if _ABOUT not in file.namelist():
        raise ModelError(f"{os.fspath(path)!r} is a zip archive, but none that px.save wrote")
    about = json.loads(file.read(_ABOUT))
    if about["format"] > _FORMAT:
        raise ModelError(
            f"{os.fspath(path)!r} was written by pyrox {about['pyrox']} in format {about['format']}, and this version "
            f"reads formats up to {_FORMAT}: install that version, or a later one"
        )
    if about["precision"] != str(number_dtype()):
        raise ModelError(
            f"{os.fspath(path)!r} was written in {about['precision']}, the precision is now {number_dtype()}: call "
            f"px.set_precision({about['precision']!r}) first"
        )
    return about


def _read_part(file: zipfile.ZipFile, name: str, about: Mapping[str, Any]) -> tuple[Any, list[np.ndarray]]:
    arrays = []
    for i in range(about["arrays"][name]):
        with file.open(_member(name, i)) as stream:
            arrays.append(np.lib.format.read_array(stream, allow_pickle=False))
    return json.loads(file.read(name)), arrays


def _replace(path: Path, write: Callable[[zipfile.ZipFile], None]) -> None:
    """Write a file whole: whoever comes after a crash meets the old or the new one."""
    if path.is_dir():
        raise IsADirectoryError(f"px.save: {str(path)!r} is a folder, give the name of a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"px.save: there is no folder {str(path.parent)!r}, make it first")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.unfinished"):  # by a crash; another process may be at it
        if time.time() - left.stat().st_mtime > _STALE_SECONDS:
            left.unlink(missing_ok=True)
    try:
        with unfinished.open("wb") as stream:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
                write(file)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
