"""What the tables of wrong uses share: a row, a small model, its results, and the check that nothing is left behind."""

import functools
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import pyrox as px
from pyrox.dist import Normal
from pyrox.model.messenger import handler_depth
from pyrox.primitives import sample

QUIET = {"progressbar": False, "random_seed": 1}
KEY = jax.random.key(0)


class Row(NamedTuple):
    """A wrong use.

    Attributes
    ----------
    name
        What is wrong.
    run
        A function of a small model that does it.
    error
        What it raises.
    words
        What the message must contain: whose fault it is, what was met, what to do.
    """

    name: str
    run: Callable[[px.Model], Any]
    error: type[Exception]
    words: tuple[str, ...]


def inside(run: Callable[[px.Model], Any]) -> Callable[[px.Model], Any]:
    """Do it inside the ``with`` block of the model."""

    @functools.wraps(run)
    def entered(m: px.Model) -> Any:
        with m:
            return run(m)

    return entered


def model() -> px.Model:
    """Write a regression with a level for each of three groups."""
    with px.Model(coords={"group": ["a", "b", "c"]}) as m:
        mu = px.Normal("mu")
        level = px.Normal("level", mu, 1.0, dims="group")
        x = px.Data("x", [1.0, 2.0, 3.0], dims="group")
        px.Deterministic("mean", level * x, dims="group")
        px.Normal("y", level * x, 1.0, observed=[1.0, 2.0, 3.0], dims="group")
    return m


@functools.cache
def results() -> Any:
    """Sample the model once for all rows."""
    return px.sample(20, tune=20, chains=2, model=model(), random_seed=1, quiet=True)


def program(y: Any = None) -> None:
    """Observe one value of an unknown mean."""
    a = sample("a", Normal(0.0, 1.0))
    sample("y", Normal(a, 1.0), obs=y)


def settings() -> tuple:
    """Give what a wrong use must not have changed."""
    config = jax.config
    flags = config.jax_enable_x64, config.jax_platforms, config.jax_compilation_cache_dir, config.jax_debug_nans
    return (*flags, px.config.is_validation_enabled(), np.geterr()["divide"])


def threads() -> set[threading.Thread]:
    """Give the threads of the process."""
    return set(threading.enumerate())


def require_usable(before: tuple, running: set[threading.Thread], *, samples: bool = False) -> None:
    """Find the session as it was, and use it."""
    assert px.Model.get_context(error_if_none=False) is None, "a model's block is still open"
    assert handler_depth() == 0, "a handler is still active"
    assert settings() == before, "settings of the process have changed"
    deadline = time.monotonic() + 5.0
    while threads() - running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not threads() - running, f"threads are left behind: {threads() - running}"
    with px.Model() as fresh:
        px.Normal("y", px.Normal("mu", 0.0, 2.0), 1.0, observed=[1.0, -1.0])
    density = px.model.LogDensity.build(fresh)
    value = float(density(jnp.zeros(1), density.data))
    np.testing.assert_allclose(value, -1.0 - np.log(2.0) - 1.5 * np.log(2.0 * np.pi), rtol=1e-5)
    if samples:
        drawn = px.sample(10, tune=10, chains=2, model=fresh, random_seed=1, quiet=True)["posterior"]["mu"]
        assert np.isfinite(drawn.values).all()
