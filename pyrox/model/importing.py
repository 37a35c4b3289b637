"""Name functions by module and place, so that a file can hold them, and find them again by these names."""

import importlib
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np

from pyrox.errors import ModelError
from pyrox.model.naming import import_function

_OF_JAX = (
    "jax.numpy", "jax.numpy.linalg", "jax.numpy.fft", "jax.nn", "jax.scipy.special", "jax.scipy.linalg",
    "jax.scipy.fft", "jax.scipy.signal", "jax.scipy.integrate", "jax.scipy.interpolate", "jax.scipy.stats", "jax.lax",
    "jax.lax.linalg",
)  # fmt: skip
_OF_PYROX = ("pyrox.dist", "pyrox.model", "pyrox.math")
_WITH_UFUNCS = ("numpy", "scipy.special")
# They reach for files, which no model needs.
_REFUSED = {"load", "save", "savez", "fromfile", "import_function"}
_REMEDY = "put it at the top level of a module of its own (a .py file that can be imported), and import it from there"


def path_of(value: Any, what: str) -> str:
    """Give the place of a function or class, ``module:name``, where others find the same object.

    Parameters
    ----------
    value
        The function or class.
    what
        How errors call the variable that uses it.

    Raises
    ------
    ModelError
        If it has no such place: a lambda, a function inside a function, one of a notebook or script.
    """
    if id(value) in (known := _public_jax()):
        return known[id(value)]
    module = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if isinstance(value, np.ufunc):
        module = next((m for m in _WITH_UFUNCS if getattr(sys.modules.get(m), name, None) is value), module)
    told = f"{what}: the function {name or repr(value)}"
    if not isinstance(module, str) or not isinstance(name, str):
        raise ModelError(f"{told} has no name to find it by again: {_REMEDY}")
    if module == "__main__":
        raise ModelError(f"{told} lives in the notebook or script that runs, where no other finds it: {_REMEDY}")
    if "<" in name:
        kind = "is a lambda" if name.endswith("<lambda>") else "lives inside another function"
        raise ModelError(f"{told} {kind}, which has no name to find it by again: {_REMEDY}")
    _require_allowed(module, name, None, f"{what}: px.save")
    found: Any = None
    with suppress(AttributeError, ImportError):
        found = import_function(module, name)
    if not any(inner is value for inner in _layers(found)):
        raise ModelError(f"{told} is not {module}.{name}, was the module reloaded, or the name taken? {_REMEDY}")
    return f"{module}:{name}"


def find(path: str, modules: Sequence[str] | None) -> Any:
    """Import what ``path_of`` has named, and nothing that is not a function of arrays.

    Parameters
    ----------
    path
        ``module:name``.
    modules
        Modules and packages, beyond pyrox and jax, that may be imported; None allows any of the user's.

    Raises
    ------
    ModelError
        If it must not be imported, or is not there.
    """
    module, _, name = path.partition(":")
    _require_allowed(module, name, modules, "px.load")
    try:
        found = import_function(module, name)
    except ImportError as error:
        raise ModelError(
            f"the model uses {path}, but the module cannot be imported here: {error}. Install it, or put its folder on "
            "the path (sys.path, PYTHONPATH)"
        ) from error
    except AttributeError:
        raise ModelError(f"the model uses {path}, but the module {module} has no {name!r} here") from None
    if module in _WITH_UFUNCS and not isinstance(found, np.ufunc):
        raise ModelError(f"px.load: {path} is no function of arrays that a model can use")
    return found


def unwrapped(found: Any, depth: int) -> Any:
    """Take the function inside of what a decorator has made, ``depth`` decorators down."""
    return next(inner for i, inner in enumerate(_layers(found)) if i == depth)


def depth_of(value: Callable, path: str) -> int:
    """Tell how many decorators the object at a path has around a function."""
    found = import_function(*path.split(":"))
    return next(i for i, inner in enumerate(_layers(found)) if inner is value)


def _layers(found: Any) -> Iterator[Any]:
    while found is not None:
        yield found
        found = getattr(found, "__wrapped__", None)


def named_object(value: Any) -> str | None:
    """Give the place of an object that the module of its class holds under a name; None if there is none."""
    module = type(value).__module__
    foreign = module.partition(".")[0] in ("jax", "jaxlib", "numpy", "builtins", "__main__")
    held = vars(sys.modules[module]) if module in sys.modules and not foreign else {}
    name = next((n for n, found in held.items() if found is value), None)
    return None if name is None else f"{module}:{name}"


def _require_allowed(module: str, name: str, modules: Sequence[str] | None, who: str) -> None:
    package = module.partition(".")[0]
    if package in ("jax", "jaxlib"):
        allowed = module in _modules_of_jax() and name not in _REFUSED
    elif package == "pyrox":
        allowed = any(module == m or module.startswith(f"{m}.") for m in _OF_PYROX) and name not in _REFUSED
    elif module in _WITH_UFUNCS:
        allowed = True
    else:
        allowed = package == "operator" or package not in {*sys.stdlib_module_names, "numpy", "scipy"}
        if allowed and modules is not None and not any(module == m or module.startswith(f"{m}.") for m in modules):
            raise ModelError(
                f"{who}: the file would import {module!r} for its {name!r}, which modules={list(modules)!r} does not "
                f"allow. If you trust it: px.load(..., modules={[*modules, module]!r})"
            )
    if not allowed:
        raise ModelError(f"{who}: {module}.{name} is no function of arrays that a model can use")


@cache
def _modules_of_jax() -> dict[str, types.ModuleType]:
    found = {}
    for name in _OF_JAX:
        with suppress(ImportError):
            found[name] = importlib.import_module(name)
    stats = vars(found["jax.scipy.stats"]) if "jax.scipy.stats" in found else {}
    found |= {f"jax.scipy.stats.{n}": m for n, m in stats.items() if isinstance(m, types.ModuleType) and n[0] != "_"}
    return found


@cache
def _public_jax() -> dict[int, str]:
    """Give the public place of each of JAX's functions, by identity: ``__module__`` is often a private one."""
    known: dict[int, str] = {}
    for module, namespace in _modules_of_jax().items():
        for name, value in vars(namespace).items():
            if callable(value) and not isinstance(value, type) and name[0] != "_" and name not in _REFUSED:
                known.setdefault(id(value), f"{module}:{name}")
    return known
