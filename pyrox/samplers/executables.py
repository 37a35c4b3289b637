"""Compile on threads of their own, and keep executables by structure.

What is kept is known by what it computes, never by its data: a model built again from the same statements finds its
own.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from pyrox.garbage import without_collections
from pyrox.samplers.passes.jaxprs import equations, inner_jaxprs
from pyrox.samplers.passes.rewrite import rewrite

# A chain takes about seven megabytes; living models hold their own besides, and the folder of `cache.py` the rest.
_KEPT_EXECUTABLES = 16
# XLA asks LLVM for vectors of 256 bits whatever the CPU; where it has none of 512, this changes nothing.
_CPU_OPTIONS = {"xla_cpu_prefer_vector_width": 512}

_executables: OrderedDict[str, Any] = OrderedDict()
_lock = threading.Lock()


class Compilation:
    """A function that is being compiled, or was before.

    It is traced here and compiled on a thread of its own, so that Ctrl-C is heard while XLA works, and the
    interpreter can do something else.

    Parameters
    ----------
    fn
        A pure function.
    shapes
        Its arguments' shapes and dtypes.
    key
        Name of what it computes, by which the executable is kept and found; None keeps nothing.
    options
        Compiler options, besides those that all functions have on this backend.
    """

    def __init__(self, fn: Callable, *shapes: Any, key: str | None = None, options: dict | None = None) -> None:
        self._error: Exception | None = None
        self._executable = None if key is None else _find(key)
        self._thread: threading.Thread | None = None
        if self._executable is not None:
            return
        with without_collections():
            lowered = jax.jit(fn).lower(*shapes)
        common = _CPU_OPTIONS if jax.default_backend() == "cpu" else {}
        options = {**common, **(options or {})}

        def work() -> None:
            try:
                self._executable = lowered.compile(compiler_options=options or None)
                if key is not None:
                    _keep(key, self._executable)
            except Exception as error:  # handed to the thread that waits
                self._error = error

        # Not a daemon: an interpreter that ends must wait for XLA, which would crash under its hands.
        self._thread = threading.Thread(target=work, name="pyrox-compile", daemon=False)
        self._thread.start()

    def result(self, heartbeat: Callable[[], None] = lambda: None) -> Any:
        """Wait for the executable; what ``heartbeat`` raises, several times a second, ends the wait."""
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout=0.1)
            heartbeat()
        if self._error is not None:
            raise self._error
        return self._executable


def compile_function(fn: Callable, *shapes: Any) -> Any:
    """Compile a pure function for arguments of these shapes, or find it compiled already."""
    with without_collections():
        traced = rewrite(jax.make_jaxpr(fn)(*shapes), {})
        trees = jax.tree.structure(shapes), jax.tree.structure(jax.eval_shape(fn, *shapes))
        key = fingerprint(traced, (*trees, jax.default_backend()))
    return Compilation(fn, *shapes, key=key).result()


def fingerprint(closed: core.ClosedJaxpr, settings: tuple) -> str | None:
    """Name a traced function by what it computes: its equations, types and the constants inside, at every depth.

    None if that cannot be told: of a call back to Python only the function's address is known.
    """
    if any("callback" in eqn.primitive.name for eqn in equations(closed.jaxpr)):
        return None
    digest = hashlib.sha256(f"{closed.jaxpr} {[v.aval for v in closed.jaxpr.invars]} {settings}".encode())
    for part in (closed, *inner_jaxprs(closed.jaxpr)):
        for const in part.consts:
            if jnp.issubdtype(const.dtype, jax.dtypes.prng_key):
                const = jax.random.key_data(const)
            array = np.asarray(const)
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def _find(key: str) -> Any:
    with _lock:
        if key in _executables:
            _executables.move_to_end(key)
        return _executables.get(key)


def _keep(key: str, executable: Any) -> None:
    with _lock:
        _executables[key] = executable
        _executables.move_to_end(key)
        while len(_executables) > _KEPT_EXECUTABLES:
            _executables.popitem(last=False)
