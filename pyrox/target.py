"""A model made ready for inference: its density, its present data, and what was compiled for them."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.config import number_dtype
from pyrox.errors import ModelError
from pyrox.model import LogDensity, Model, current_model, model_dims
from pyrox.model.fingerprint import fingerprint, fingerprints
from pyrox.model.minibatch import batches_of
from pyrox.samplers.compile import ChainProgram
from pyrox.samplers.executables import compile_function
from pyrox.samplers.positions import PositionMap
from pyrox.typing import Tree


class Target:
    """A log-density with its present data.

    Parameters
    ----------
    density
        The density.
    model
        The graph it came from, or None for a function.
    """

    def __init__(self, density: LogDensity, model: Model | None) -> None:
        self.density, self._model = density, model
        self._programs: dict[tuple, ChainProgram] = {}
        self._known: Any = None
        self._maps: dict[str, PositionMap] = {}
        self._data: Tree = None
        self._read_from: list[np.ndarray] = []

    @property
    def data(self) -> Tree:
        """The present data, on the device; read again when ``set_data`` has replaced an array."""
        present = [data.value for data in self._model.data_vars] if self._model is not None else []
        if self._data is None or any(a is not b for a, b in zip(present, self._read_from, strict=True)):
            self._data = jax.device_put(self.density.current_data())
            self._read_from = present
        return self._data

    @property
    def dims(self) -> Mapping[str, Sequence[str] | None]:
        """Names of the axes of every variable."""
        return model_dims(self._model) if self._model is not None else self.density.sites.dims

    @property
    def coords(self) -> Mapping[str, Any]:
        """Labels of every dim."""
        return self._model.coords if self._model is not None else {}

    @property
    def attrs(self) -> dict[str, str]:
        """What results keep to tell their model by: hashes of the whole and of each variable; none of a function."""
        return {} if self._model is None else model_attrs(self._model)

    @property
    def batches(self) -> dict[str, int]:
        """Sizes of minibatches, by the name of the datum that holds the numbers of their rows."""
        return {} if self._model is None else batches_of(self._model)

    def compile_known_values(self, data: Tree) -> Callable:
        """Compile what follows from the data alone, or find it."""
        if self._known is None:
            self._known = compile_function(self.density.known_values, _shapes(data))
        return self._known

    def known_values(self, data: Tree) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Give the observed values, and the named data."""
        observed, constant = jax.tree.map(np.asarray, self.compile_known_values(data)(data))
        order = (self.density.observed, [n for n in self.dims if n in constant])
        return tuple({n: group[n] for n in names} for names, group in zip(order, (observed, constant), strict=True))

    def chain_program(
        self,
        data: Tree,
        heartbeat: Callable[[], None] = lambda: None,
        meanwhile: Callable[[], None] = lambda: None,
        **settings: Any,
    ) -> ChainProgram:
        """Compile the chain for these settings, or find it: then nothing is done meanwhile; see ``ChainProgram``."""
        key = tuple(sorted(settings.items()))
        if key not in self._programs:
            try:
                self._programs[key] = ChainProgram(
                    self.density, self.density.dim, data, heartbeat=heartbeat, meanwhile=meanwhile, **settings
                )
            except (jax.errors.UnexpectedTracerError, jax.errors.TracerArrayConversionError):
                # A value of an earlier trace has been kept somewhere: run plainly, the model can tell at which site.
                self.density(jnp.zeros(self.density.dim), data)
                raise
        return self._programs[key]

    def compile_map(self, method: str, data: Tree) -> PositionMap:
        """Compile a method of the density from a position to named values, or find it."""
        if method not in self._maps:
            self._maps[method] = PositionMap(getattr(self.density, method), self.density.dim, data)
        return self._maps[method]

    def constrain(self, positions: np.ndarray, data: Tree) -> dict[str, np.ndarray]:
        """Give the named values of positions of shape ``(chain, draw, dim)``."""
        return self.compile_map("constrain", data)(positions, data)

    def log_likelihood(self, positions: np.ndarray, data: Tree) -> dict[str, np.ndarray]:
        """Give the log-density of every observation at positions of shape ``(chain, draw, dim)``."""
        return self.compile_map("log_likelihood", data)(positions, data)


def model_attrs(model: Model) -> dict[str, str]:
    """Give the hashes that results keep of their model."""
    return {"model_hash": fingerprint(model), "model_parts": json.dumps(fingerprints(model))}


def _shapes(data: Tree) -> Tree:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), data)


def target_of(model: Any = None, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Target:
    """Make a model ready, or find it ready.

    What was made for a Model stays with it. Functions are traced anew each time: what they close over may have
    changed, and executables are found again by structure anyway.

    Parameters
    ----------
    model
        A Model, a function of primitives, or None for the enclosing ``with`` block's model; a Target stays as it is.
    args, kwargs
        Arguments of a function.
    """
    if isinstance(model, Target):
        return model
    model = current_model() if model is None else model
    if not isinstance(model, Model):
        if not callable(model):
            raise ModelError(f"model must be a Model or a function of primitives, not {type(model).__name__}")
        return Target(LogDensity.build(model, args, kwargs), None)
    if args or kwargs:
        raise ModelError("model_args and model_kwargs are for functions: a Model takes its data from px.Data")
    version = (model.structure_version, str(number_dtype()))
    made = model.made
    if made is None or made[0] != version:
        made = model.made = version, Target(LogDensity.build(model), model)
    return made[1]
