"""Keep a growing run on disk: a Zarr store that xarray opens at any moment, also after a crash.

Draws are written first, each file whole or not at all. One file, the ``zarr.json`` at the root, then says how
many of them count and where the chains are; replacing it is the only step that commits. Groups and arrays carry the
same lengths in files of their own, for readers that open a part of the store.
"""

import io
import json
import os
import shutil
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pyrox.errors import SamplingError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_RECORD = "pyrox"
_FORMAT = 1
_SYNCS = 16


def require_zarr() -> None:
    """Raise an ImportError that says how to install Zarr where it is missing."""
    if find_spec("zarr") is None:
        raise ImportError('checkpoints are kept in Zarr stores: pip install "pyrox[store]", which installs zarr')


class Store:
    """A run on disk.

    Attributes
    ----------
    path
        Its folder.
    record
        What else is kept with it, as JSON can hold it.
    """

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.path, self.record = path, record
        self._lock = threading.Lock()
        self._nodes = {
            file.parent.relative_to(path).as_posix(): json.loads(file.read_text()) for file in path.rglob("zarr.json")
        }
        for node in self._nodes.values():
            node.pop("consolidated_metadata", None)
        self._held: weakref.finalize | None = None

    @staticmethod
    def create(
        path: str | os.PathLike,
        skeleton: Callable[[Path], None],
        record: dict[str, Any],
        states: Mapping[str, np.ndarray],
    ) -> "Store":
        """Make a store, whole or not at all, and hold it.

        Parameters
        ----------
        path
            Its folder, which must not exist.
        skeleton
            Function of a folder that writes the groups there, without draws.
        record
            What is kept with it.
        states
            Where the chains start.

        Raises
        ------
        FileExistsError
            If there is something already.
        SamplingError
            If the disk does not take it.
        """
        require_absent(path)
        path = Path(path)
        unfinished = path.with_name(f".{path.name}.unfinished")
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            skeleton(unfinished)
            store = Store(unfinished, record)
            groups = [name for name, node in store._nodes.items() if node["node_type"] == "group" and name != "."]
            store._commit(dict.fromkeys(groups, 0), states, {})
            os.rename(unfinished, path)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise SamplingError(
                f"the store {str(path)!r} could not be made: {error.strerror or error}. Nothing has been sampled yet: "
                "choose a folder that can be written and has room"
            ) from error
        store.path = path
        store.hold()
        return store

    @staticmethod
    def open(path: str | os.PathLike) -> "Store":
        """Open a store.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If what is there is none of ours, or one of a later version.
        """
        path = Path(path)
        try:
            root = json.loads((path / "zarr.json").read_text())
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(
                f"there is no run at {str(path)!r}. A store appears when the chains have found their starts: a run "
                "that ended before has lost nothing, and px.sample(..., checkpoint=...) begins it anew"
            ) from None
        record = root.get("attributes", {}).get(_RECORD)
        if record is None:
            raise ValueError(f"{str(path)!r} is a Zarr store, but not one that px.sample(..., checkpoint=...) wrote")
        if record["format"] != _FORMAT:
            raise ValueError(f"{str(path)!r} was written by another version of pyrox: {record['pyrox']}")
        return Store(path, record)

    def hold(self) -> None:
        """Keep other processes from writing here, until ``release`` or the end of this one.

        Raises
        ------
        SamplingError
            If another run holds it.
        """
        if fcntl is None or self._held is not None:
            return
        held = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            raise SamplingError(
                f"another run is writing to {str(self.path)!r}: wait for its end, or stop it"
            ) from None
        except OSError:  # a file system without locks
            os.close(held)
            return
        self._held = weakref.finalize(self, os.close, held)
        self._tidy()

    def _tidy(self) -> None:
        """Remove what a crash has left half done."""
        kept = self.path / self.record["states"]
        for file in (*self.path.glob("states-*.npz"), *self.path.rglob(".*.unfinished")):
            if file != kept:
                file.unlink(missing_ok=True)

    def release(self) -> None:
        """Let others write here."""
        if self._held is not None:
            self._held()
            self._held = None

    def states(self) -> dict[str, np.ndarray]:
        """Read where the chains are."""
        with np.load(self.path / self.record["states"], allow_pickle=False) as file:
            return dict(file)

    def variables(self, group: str) -> dict[str, tuple[int, ...]]:
        """Give the names of a group's growing arrays, with the shapes of one draw."""
        found = {}
        for name, node in self._nodes.items():
            if _grows(node) and name.rpartition("/")[0] == group and node["dimension_names"] != ["draw"]:
                found[name.rpartition("/")[2]] = tuple(node["shape"][2:])
        return found

    def write(self, group: str, chain: int, first: int, values: Mapping[str, np.ndarray]) -> list[Path]:
        """Write rows of one chain, from number ``first`` on; they count once they are committed.

        Only one thread at a time may write one chain.

        Returns
        -------
        The files, for ``sync``.

        Raises
        ------
        SamplingError
            If the disk does not take them.
        """
        files = []
        with self._writing():
            for name, rows in values.items():
                length, begin = _chunk(self._nodes[f"{group}/{name}"])[1], first
                while begin < first + len(rows):
                    end = min(begin - begin % length + length, first + len(rows))
                    files += self._write_chunk(f"{group}/{name}", chain, begin, rows[begin - first : end - first])
                    begin = end
        return files

    def _write_chunk(self, name: str, chain: int, begin: int, rows: np.ndarray) -> list[Path]:
        node = self._nodes[name]
        shape, dtype = _chunk(node)[1:], np.dtype(node["data_type"]).newbyteorder("<")
        number, offset = divmod(begin, shape[0])
        # One file for each chain and stretch of draws: Zarr's default layout, and plain bytes.
        file = self.path.joinpath(name, "c", str(chain), str(number), *["0"] * (len(shape) - 1))
        chunk = np.zeros(shape, dtype)
        if offset:
            chunk[:offset] = np.fromfile(file, dtype).reshape(shape)[:offset]
        chunk[offset : offset + len(rows)] = rows
        if not chunk.size:
            return []
        _replace(file, chunk.tobytes())
        return [file]

    def sync(self, files: Iterable[Path]) -> None:
        """Wait until files are on the disk itself, so that they outlive a loss of power."""
        files = list(files)
        with self._writing():
            try:
                with ThreadPoolExecutor(_SYNCS) as pool:  # a disk takes many together nearly as fast as one
                    list(pool.map(_sync, files))
            except RuntimeError:  # no more threads: the interpreter is about to end
                for file in files:
                    _sync(file)

    def commit(self, lengths: Mapping[str, int], states: Mapping[str, np.ndarray], attrs: Mapping[str, Any]) -> None:
        """Let what was written count.

        Parameters
        ----------
        lengths
            Draws that count, by group.
        states
            Where the chains are.
        attrs
            Attributes of these groups that have changed; None removes one.

        Raises
        ------
        SamplingError
            If the disk does not take it; then the last commit stands.
        """
        with self._writing():
            self._commit(lengths, states, attrs)

    def _commit(self, lengths: Mapping[str, int], states: Mapping[str, np.ndarray], attrs: Mapping[str, Any]) -> None:
        with self._lock:
            former, number = self.record.get("states"), self.record.get("commits", 0) + 1
            file = f"states-{number}.npz"
            packed = io.BytesIO()
            np.savez(packed, **states)
            _replace(self.path / file, packed.getvalue(), sync=True)
            self._grow(lengths, attrs)
            record = {**self.record, "format": _FORMAT, "commits": number, "states": file}
            self._nodes["."] = {"zarr_format": 3, "node_type": "group", "attributes": {_RECORD: record}}
            self._write_group(".", sync=True)
            self.record = record
            if former is not None:
                with suppress(OSError):
                    (self.path / former).unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn what the disk refuses into an error that names the store and the way out."""
        try:
            yield
        except OSError as error:
            path = str(self.path)
            raise SamplingError(
                f"the store {path!r} could not be written: {error.strerror or error}. The draws committed so far are "
                f"kept: xarray can read them, and once the disk takes more, px.resume({path!r}) goes on from there"
            ) from error

    def _grow(self, lengths: Mapping[str, int], attrs: Mapping[str, Any]) -> None:
        """Tell arrays and groups how long they are."""
        for name, node in self._nodes.items():
            group = name.rpartition("/")[0]
            if group not in lengths or not _grows(node):
                continue
            axis = node["dimension_names"].index("draw")
            if node["shape"][axis] != lengths[group]:
                node["shape"][axis] = lengths[group]
                if axis == 0:
                    self._number_draws(name, node)
                _write_json(self.path / name / "zarr.json", node)
        for group in lengths:
            node = self._nodes[group]
            changed = {**node.get("attributes", {}), **attrs}
            node["attributes"] = {name: value for name, value in changed.items() if value is not None}
            self._write_group(group)

    def _number_draws(self, name: str, node: dict) -> None:
        (length,), (total,) = _chunk(node), node["shape"]
        for i in range(-(-total // length)):
            file = self.path / name / "c" / str(i)
            if not file.exists():
                _replace(file, np.arange(i * length, (i + 1) * length, dtype="<i8").tobytes())

    def _write_group(self, group: str, *, sync: bool = False) -> None:
        prefix = "" if group == "." else f"{group}/"
        inside = {
            name.removeprefix(prefix): node for name, node in sorted(self._nodes.items())
            if name not in (group, ".") and name.startswith(prefix)
        }  # fmt: skip
        consolidated = {"kind": "inline", "must_understand": False, "metadata": inside}
        content = {**self._nodes[group], "consolidated_metadata": consolidated}
        _write_json(self.path / group / "zarr.json", content, sync=sync)


def require_absent(path: str | os.PathLike) -> None:
    """Raise FileExistsError where something would be overwritten."""
    if Path(path).exists():
        raise FileExistsError(
            f"{str(path)!r} exists already. px.resume({str(path)!r}) goes on with the run in it; otherwise choose "
            "another name, or delete it"
        )


def _grows(node: Mapping[str, Any]) -> bool:
    return "draw" in (node.get("dimension_names") or ())


def _chunk(node: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(node["chunk_grid"]["configuration"]["chunk_shape"])


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _write_json(file: Path, content: Any, *, sync: bool = False) -> None:
    _replace(file, json.dumps(content, indent=1).encode(), sync=sync)


def _replace(file: Path, content: Any, *, sync: bool = False) -> None:
    """Write a file whole: readers, and whoever comes after a crash, meet the old or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        with unfinished.open("wb") as stream:
            stream.write(content)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(unfinished, file)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
