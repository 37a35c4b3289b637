"""Keep compiled programs between sessions, so that the next one starts warm."""

import hashlib
import os
import platform
import sys
from pathlib import Path

import jax

_OFF = ("0", "off", "no", "false", "")
# What compiles faster than this is not worth a file.
_MIN_SECONDS = 0.1


def set_compilation_cache(folder: str | os.PathLike | None) -> None:
    """Choose where compiled programs are kept between sessions.

    A folder of the user's is taken by default; the environment variable ``PYROX_CACHE`` names another one, or turns
    keeping off (``PYROX_CACHE=off``). A folder that JAX was told by ``JAX_COMPILATION_CACHE_DIR`` stays in force.

    Parameters
    ----------
    folder
        The folder, made when it is first needed; None keeps nothing.

    Examples
    --------
    >>> import pyrox as px
    >>> px.set_compilation_cache("compiled")  # doctest: +SKIP
    """
    if folder is not None and not isinstance(folder, str | os.PathLike):
        raise TypeError(f"set_compilation_cache takes the path of a folder, or None to keep nothing; met {folder!r}")
    jax.config.update("jax_compilation_cache_dir", None if folder is None else os.fspath(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_SECONDS)


def default_folder() -> Path:
    """Give the user's folder for what programs compiled on a machine like this one."""
    home = Path.home()
    if sys.platform == "darwin":
        base = home / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", home / ".cache"))
    return base / "pyrox" / "compiled" / _machine()


def _machine() -> str:
    """Name the kind of processor: in a home shared by several machines, none may load another's native code."""
    try:
        described = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        described = platform.processor()
    return hashlib.sha256(f"{platform.machine()} {described}".encode()).hexdigest()[:12]


def set_default_cache() -> None:
    """Follow the environment, or take the user's folder."""
    wanted = os.environ.get("PYROX_CACHE")
    if wanted is not None:
        set_compilation_cache(None if wanted.lower() in _OFF else wanted)
    elif jax.config.jax_compilation_cache_dir is None and _can_write(default_folder()):
        set_compilation_cache(default_folder())


def _can_write(folder: Path) -> bool:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return os.access(existing, os.W_OK)


set_default_cache()
