"""Functions by their names: JAX's public functions, as what is kept of a model on disk holds them."""

import importlib
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def import_function(module: str, name: str) -> Any:
    """Find a function by its module and its name there, which may have dots."""
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


class ByName:
    """Stand for a function when it is pickled: its module and name are kept, and it is itself that comes back."""

    def __init__(self, fn: Callable, module: str, name: str) -> None:
        self.fn = fn
        self.where = module, name

    def __reduce__(self) -> tuple:
        return import_function, self.where


def by_name(fn: Callable) -> Any:
    """Give a stand-in for a function that its module and name lead back to; else the function itself.

    Most of JAX's functions are compiled ones, or objects of ``jax.numpy.ufunc``. Pickle looks for the Python function
    inside under a private name, meets the compiled one there, and gives up; the public name is found.
    """
    module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", None) or getattr(fn, "__name__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module not in sys.modules:
        return fn
    try:
        found = import_function(module, name)
    except AttributeError:  # made inside another function, or renamed
        return fn
    return ByName(fn, module, name) if found is fn else fn


class KeepsItsFunction:
    """An object that is pickled and copied with the function ``fn`` by its name, where that is a public one."""

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "fn": by_name(self.fn)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        fn = state["fn"]
        vars(self).update(state, fn=fn.fn if isinstance(fn, ByName) else fn)


def numpy_equivalent(name: str, module: str = "") -> Callable | None:
    """Find JAX's function of a NumPy or SciPy name."""
    if module in ("linalg", "fft"):
        return getattr(getattr(jnp, module), name, None)
    for place in (jnp, jax.scipy.special):
        if callable(fn := getattr(place, name, None)):
            return fn
    return None


def function_name(fn: Callable) -> str:
    """Name a function in messages."""
    return {"take": "indexing"}.get(name := getattr(fn, "__name__", type(fn).__name__), name)
