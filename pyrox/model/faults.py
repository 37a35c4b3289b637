"""Name what keeps a log-density from being finite: the variables, and the parameters and values at fault."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from pyrox.dist import Distribution, constraints
from pyrox.model.messenger import Message
from pyrox.model.sites import Sites, Values, masked
from pyrox.typing import Array, Tree

# By name: the distribution, None of a potential; the value; the terms of the log-density.
Laws = Mapping[str, tuple[Distribution | None, Any, Any]]


class Met(Values):
    """Keep the distribution, the value and the terms of every site at a position."""

    def __init__(self, sites: Sites, position: Array, data: Tree) -> None:
        Values.__init__(self, sites, position, data)
        self.laws: dict[str, tuple] = {}

    def postprocess_message(self, msg: Message) -> None:
        """Keep what is known of a site."""
        name, fn = msg["name"], msg["fn"]
        if msg["type"] == "factor":
            self.laws[name] = None, None, masked(msg, jnp.asarray(msg["value"]))
        elif msg["type"] == "sample" and isinstance(fn, Distribution):
            value = jnp.asarray(msg["value"])
            self.laws[name] = fn, value, masked(msg, fn.log_prob(value))


def find_faults(laws: Laws) -> Iterator[str]:
    """Say, line by line, which sites have no finite log-density, or a parameter or a value where none can be.

    Parameters
    ----------
    laws
        What was met at one position, as NumPy arrays.
    """
    for name, (law, value, term) in laws.items():
        faults = [] if law is None else [*_faults_of_parameters(law), *_faults_of_value(law, value)]
        if not np.all(np.isfinite(term)) or faults:
            bad = np.argwhere(~np.isfinite(np.atleast_1d(term)))
            where = f", the first at {_index(bad[0], np.ndim(term))}" if len(bad) and np.ndim(term) else ""
            kind = "potential" if law is None else "variable"
            count = f" ({len(bad)} of {np.size(term)} terms are not finite{where})" if len(bad) else ""
            yield f"The {kind} {name!r} has log-density {np.sum(term):.4g}{count}"
            yield from (f"  {fault}" for fault in faults)


def _faults_of_parameters(law: Distribution) -> Iterator[str]:
    for param in law.params:
        value = getattr(law, param.attribute)
        if not isinstance(value, np.ndarray) or param.constraint is constraints.dependent:
            continue
        good = np.asarray(param.constraint(value))
        if not good.all():
            where = tuple(np.argwhere(~good)[0]) if good.ndim else ()
            at = f" at {_index(where, len(where))}" if where else ""
            alias = f" ({param.alias})" if param.alias else ""
            yield f"its parameter {param.name}{alias} must be {param.constraint}; met {write(value[where])}{at}"
    base = getattr(law, "base_dist", None)
    if isinstance(base, Distribution):
        yield from _faults_of_parameters(base)


def _faults_of_value(law: Distribution, value: np.ndarray) -> Iterator[str]:
    good = np.asarray(law.support(value))
    if not good.all():
        where = tuple(np.argwhere(~good)[0]) if good.ndim else ()
        at = f" at {_index(where, len(where))}" if where else ""
        yield f"its value must be {law.support}; met {write(value[where])}{at}"


def _index(where: Any, ndim: int) -> str:
    return str(int(where[0])) if ndim == 1 else str(tuple(int(i) for i in where))


def write(value: Any) -> str:
    """Write numbers in one line."""
    return np.array2string(np.asarray(value), precision=4, threshold=6, edgeitems=2, separator=", ").replace("\n", "")
