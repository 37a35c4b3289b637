"""Run a loop in compiled pieces and keep what it passes through."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyrox.progress import start_progress

Tree = Any

# A piece lasts about this long: progress moves, Ctrl-C is heard, and the cost of a call vanishes.
_PIECE_SECONDS = 0.1
_GROWTH = 4


def _identity(value: Tree) -> Tree:
    return value


def fori_collect(
    lower: int,
    upper: int,
    body_fun: Callable[[Tree], Tree],
    init_val: Tree,
    transform: Callable[[Tree], Tree] = _identity,
    progbar: bool = True,  # noqa: FBT001, FBT002
    **progbar_opts: Any,
) -> Tree:
    r"""Apply a function again and again, and collect the values from some point on.

    .. math:: v_i = f(v_{i-1}), \quad i = 1, \dots, \mathrm{upper}; \qquad
              \text{collected: } g(v_{\mathrm{lower} + 1}), \dots, g(v_{\mathrm{upper}})

    Parameters
    ----------
    lower
        How many values to skip before the first that is collected.
    upper
        How many times to apply ``body_fun``.
    body_fun
        A pure function :math:`f` of a pytree, which returns one of the same structure, shapes and dtypes.
    init_val
        The value :math:`v_0`, a pytree of arrays.
    transform
        A pure function :math:`g` of such a value: what to collect of it.
    progbar
        Show progress. The loop then runs in pieces of about a tenth of a second, between which Ctrl-C is heard;
        without it as one, which may stand inside ``jax.jit`` or ``jax.vmap``.
    **progbar_opts
        ``progbar_desc``: what is running, a text. ``diagnostics_fn``: words the current value :math:`v_i` for the
        display.

    Returns
    -------
    What ``transform`` returns, with the ``upper - lower`` collected values along a new leading axis.

    Raises
    ------
    ValueError
        If not ``0 <= lower < upper``.
    TypeError
        If an option is unknown, or ``body_fun`` changes structure, shapes or dtypes.

    Notes
    -----
    The functions are traced anew at every call, so that what they close over may have changed in the meantime.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import fori_collect
    >>> fori_collect(2, 5, lambda x: 2 * x, jnp.array(1.0), transform=lambda x: {"x": x}, progbar=False)
    {'x': Array([ 8., 16., 32.], dtype=float64)}
    """
    title = progbar_opts.pop("progbar_desc", "Running")
    describe = progbar_opts.pop("diagnostics_fn", lambda value: "")
    if progbar_opts:
        known = "progbar_desc and diagnostics_fn"
        raise TypeError(f"fori_collect does not know the option {next(iter(progbar_opts))!r}; there are {known}")
    if not 0 <= lower < upper:
        raise ValueError(f"fori_collect needs 0 <= lower < upper, not lower = {lower} and upper = {upper}")
    value = jax.tree.map(jnp.asarray, init_val)
    collected = jax.tree.map(
        lambda x: jnp.zeros((upper - lower, *x.shape), x.dtype),
        jax.eval_shape(lambda v: transform(body_fun(v)), value),
    )
    run = _piece(lower, body_fun, transform)
    if not progbar:
        return run(0, upper, value, collected)[1]
    return _run_in_pieces(jax.jit(run, donate_argnums=3), upper, value, collected, str(title), describe)


def _piece(lower: int, body_fun: Callable, transform: Callable) -> Callable:
    """Build the loop from one iteration to another; both may be traced, so one compilation serves all pieces."""

    def run(begin: Array, end: Array, value: Tree, collected: Tree) -> tuple[Tree, Tree]:
        def collect(i: Array, value: Tree, collected: Tree) -> Tree:
            return jax.tree.map(lambda kept, x: kept.at[i - lower].set(x), collected, transform(value))

        def step(i: Array, carry: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
            value, collected = carry
            value = body_fun(value)
            if lower == 0:
                return value, collect(i, value, collected)
            return value, jax.lax.cond(i >= lower, collect, lambda i, value, kept: kept, i, value, collected)

        return jax.lax.fori_loop(begin, end, step, (value, collected))

    return run


def _run_in_pieces(
    run: Callable, upper: int, value: Tree, collected: Tree, title: str, describe: Callable[[Tree], str]
) -> Tree:
    progress = start_progress(upper, title)
    try:
        # A piece of no iterations compiles, so that the first time measured is that of iterations.
        value, collected = run(0, 0, value, collected)
        done, size = 0, 1
        while done < upper:
            size = min(size, upper - done)
            began = time.perf_counter()
            value, collected = jax.block_until_ready(run(done, done + size, value, collected))
            done += size
            progress.update(done, partial(describe, value))
            fitting = int(_PIECE_SECONDS * size / max(time.perf_counter() - began, 1e-9))
            size = max(1, min(fitting, _GROWTH * size))
    finally:
        progress.close()
    return collected
