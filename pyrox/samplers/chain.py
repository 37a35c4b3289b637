"""One chain's whole life, warm-up and draws alike, as one pure function."""

from enum import IntEnum
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random

from pyrox.samplers import kernel as kernels
from pyrox.samplers.adaptation import Adapter, Moment, search_all, start_all, update_all
from pyrox.samplers.directions import Window, empty_window, estimate, knows_enough, last_renewal, record, schedule_next
from pyrox.samplers.kernel import Info, Kernel, State, ValueAndGrad
from pyrox.samplers.recipe import Recipe
from pyrox.samplers.rounding import PERIOD, begin_comparison, finish_comparison
from pyrox.samplers.vectors import do_if, namespace
from pyrox.typing import Array, ArrayLike, Key


class Phase(IntEnum):
    """What the next iteration is for."""

    EVALUATE = 0  # log-density and gradient at the start
    SEARCH = 1  # a leapfrog from the start, to find the first step size
    TRANSITION = 2  # warm-up or draw
    RENEW = 3  # nothing: ``renew`` comes first
    COMPARE = 4  # the rounded gradient where the chain is, if there is one


class ChainState(NamedTuple):
    """Everything that a continuation needs: saved and loaded, a chain goes on bit for bit.

    Attributes
    ----------
    key
        Key of the chain, as plain numbers, so that the state can be stored.
    phase
        What the next iteration is for.
    iteration
        Transitions made, warm-up included.
    num_warmup
        Transitions of the warm-up.
    target_accept
        Mean acceptance that the step size aims at: at first, and at most after divergences.
    max_tree_depth
        Most doublings of a trajectory.
    state
        Where the chain is.
    kernel
        Its kernel, with what has been learnt.
    adapters
        What each adapter remembers.
    window
        Draws and gradients that directions are learnt from.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import ChainProgram
    >>> log_density = lambda position, data: -0.5 * jnp.sum((position - data) ** 2)
    >>> data = jnp.array([1.0, 2.0])
    >>> program = ChainProgram(log_density, 2, data)
    >>> chain = program.start(jax.random.key_data(jax.random.key(0)), jnp.zeros(2), num_warmup=100, target_accept=0.8)
    >>> chain, _, _ = program.advance(chain, data, 50)
    >>> int(chain.iteration), chain.state.position.shape
    (50, (2,))
    """

    key: Array
    phase: Array
    iteration: Array
    num_warmup: Array
    target_accept: Array
    max_tree_depth: Array
    state: State
    kernel: Kernel
    adapters: tuple
    window: Window


def start(key: Array, position: Array, num_warmup: int, target_accept: ArrayLike, recipe: Recipe) -> ChainState:
    """Set up a chain at a position; nothing is evaluated yet.

    Parameters
    ----------
    key
        Key data of the chain, as ``jax.random.key_data`` gives them.
    position
        Start, shape ``(dim,)``.
    num_warmup
        Transitions of the warm-up.
    target_accept
        Mean acceptance that the step size aims at; or the one at first and the highest after divergences.
    recipe
        What the chain is made of.
    """
    state = kernels.init(position)
    target_accept = jnp.broadcast_to(jnp.asarray(target_accept, position.dtype), (2,))
    adapters, kernel = start_all(recipe.adapters(target_accept), recipe.kernel(position), state)
    return ChainState(
        key=key,
        phase=jnp.int32(Phase.EVALUATE),
        iteration=jnp.int32(0),
        num_warmup=jnp.int32(num_warmup),
        target_accept=target_accept,
        max_tree_depth=jnp.int32(recipe.max_tree_depth),
        state=state,
        kernel=kernel,
        adapters=adapters,
        window=empty_window(recipe.window, position, num_warmup),
    )


def advance(
    chain: ChainState, n: Array, *, value_and_grad: ValueAndGrad, recipe: Recipe, buffer: int
) -> tuple[ChainState, Array, Array]:
    """Make at most ``n`` transitions.

    Parameters
    ----------
    chain
        Where the chain is.
    n
        Number of transitions, at most ``buffer``. Evaluation of the start, the search for the first step size and
        comparisons of gradients are made on the way and do not count; with ``n = 0`` only the start is evaluated. A
        chain whose metric is due to be renewed makes none until ``renew`` has done it.
    value_and_grad
        Log-density and gradient of a position.
    recipe
        What the chain is made of.
    buffer
        Length of the output arrays.

    Returns
    -------
    The chain; positions ``(buffer, dim)``; statistics ``(buffer, len(Info._fields))``: as many rows count as the
    iteration has grown.
    """
    dim, dtype = chain.state.position.shape[0], chain.state.position.dtype
    draws, stats = jnp.zeros((buffer, dim), dtype), jnp.zeros((buffer, len(Info._fields)), dtype)
    adapters = recipe.adapters(chain.target_accept)

    def goes_on(carry: tuple) -> Array:
        chain, made, _, _ = carry
        return ((made < n) & (chain.phase != Phase.RENEW)) | (chain.phase == Phase.EVALUATE)

    def iterate(carry: tuple) -> tuple:
        chain, made, draws, stats = carry
        counts = chain.phase == Phase.TRANSITION
        chain, info = _iterate(chain, adapters, value_and_grad, rounding=recipe.rounding)
        row = jnp.stack([x.astype(dtype) for x in info])
        draws = lax.dynamic_update_index_in_dim(draws, chain.state.position, made, 0)
        stats = lax.dynamic_update_index_in_dim(stats, row, made, 0)
        return chain, made + counts, draws, stats

    chain, _, draws, stats = lax.while_loop(goes_on, iterate, (chain, jnp.int32(0), draws, stats))
    return chain, draws, stats


def _iterate(
    chain: ChainState, adapters: tuple[Adapter, ...], value_and_grad: ValueAndGrad, *, rounding: bool
) -> tuple[ChainState, Info]:
    moving, comparing = chain.phase == Phase.TRANSITION, chain.phase == Phase.COMPARE
    key = _key_of_iteration(chain.key, jnp.where(moving, chain.iteration, -1))
    depth = jnp.where(moving, chain.max_tree_depth, 1)
    kernel, state = begin_comparison(comparing, chain.kernel, chain.state) if rounding else (chain.kernel, chain.state)
    new, info = kernel.step(key, state, value_and_grad, depth)

    moved = new.log_density != chain.state.log_density

    def evaluated(_: tuple) -> tuple:
        return start_all(adapters, chain.kernel, new)

    def searched(learnt: tuple) -> tuple:
        mine, kernel, settled = search_all(adapters, *learnt[:2], info)
        return mine, kernel, settled

    def warmed_up(learnt: tuple) -> tuple:
        renewed, misfit = chain.window.renewed, chain.window.misfit
        moment = Moment(chain.iteration, chain.num_warmup, new, info, moved, renewed, misfit)
        return update_all(adapters, *learnt, moment)

    warming = moving & (chain.iteration < chain.num_warmup)
    evaluating, searching = chain.phase == Phase.EVALUATE, chain.phase == Phase.SEARCH
    learnt, _ = do_if(evaluating, evaluated, (chain.adapters, chain.kernel), costly=True)
    (*learnt, settled), _ = do_if(searching, searched, (*learnt, jnp.zeros((), bool)), costly=True)
    (mine, kernel), _ = do_if(warming, warmed_up, tuple(learnt), costly=True)
    phase = jnp.where(evaluating | (searching & ~settled), Phase.SEARCH, Phase.TRANSITION)
    if rounding:
        kernel = finish_comparison(comparing, kernel, chain.state, new)
        phase = jnp.where(warming & (chain.iteration % PERIOD == 0), Phase.COMPARE, phase)
    phase, stays = phase.astype(jnp.int32), searching | comparing
    state = jax.tree.map(lambda a, b: jnp.where(stays, a, b), chain.state, new)
    chain = chain._replace(phase=phase, iteration=chain.iteration + moving, state=state, kernel=kernel, adapters=mine)
    return _look_ahead(chain, warming, moved), info


def _key_of_iteration(words: Array, iteration: Array) -> Key:
    """Give the key of a transition, which depends on its number alone; the search has one for all its leapfrogs.

    Keys whose words are next to each other serve as well as any: the generator is made for that, and folding the number
    in would cost as much as all the random numbers of a small model.
    """
    last = jnp.arange(words.shape[0]) == words.shape[0] - 1
    return random.wrap_key_data(words + jnp.where(last, iteration, 0).astype(words.dtype))


def _look_ahead(chain: ChainState, warming: Array, moved: Array) -> ChainState:
    """Keep what directions are learnt from, and pause where the metric is due to be renewed."""
    if not chain.window.draws.shape[0]:
        return chain
    window = record(chain.window, chain.state, warming & moved)
    window = window._replace(renewed=window.renewed & ~warming)
    due = warming & (chain.iteration == window.renewal) & (chain.iteration <= last_renewal(chain.num_warmup))
    return chain._replace(window=window, phase=jnp.where(due, Phase.RENEW, chain.phase).astype(jnp.int32))


def renew(chain: ChainState) -> ChainState:
    """Renew the metric of a chain that has paused for it, by NumPy where the chain is made of its arrays."""
    with np.errstate(all="ignore"):
        *factors, misfit = estimate(chain.window)
    metric, known = chain.kernel.metric, knows_enough(chain.window)
    metric, misfit = jax.tree.map(
        lambda new, old: namespace(old).where(known, new, old),
        (metric.with_directions(*factors), misfit),
        (metric, chain.window.misfit),
    )
    window = schedule_next(chain.window, chain.num_warmup)
    return chain._replace(
        phase=np.int32(Phase.TRANSITION),
        kernel=chain.kernel.replace(metric=metric),
        window=window._replace(renewed=known, misfit=misfit),
    )


def renew_if_due(chain: ChainState, recipe: Recipe) -> ChainState:
    """Renew the metric if the chain has paused for it, inside any traced function."""
    if not recipe.window:
        return chain
    return lax.cond(chain.phase == Phase.RENEW, lambda: renew(chain), lambda: chain)
