"""Compile a whole chain: as one native kernel where the CPU backend can, the ordinary way elsewhere."""

import os
import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata
from jax.extend import core

from pyrox.config import number_dtype
from pyrox.garbage import without_collections
from pyrox.samplers import chain as chains
from pyrox.samplers.chain import ChainState, Phase
from pyrox.samplers.directions import first_renewal
from pyrox.samplers.executables import Compilation, fingerprint
from pyrox.samplers.packing import Packing
from pyrox.samplers.passes.hoist import Hoisted
from pyrox.samplers.passes.least_squares import Reduction, reduce_rows
from pyrox.samplers.passes.orient import orient
from pyrox.samplers.passes.rewrite import rewrite, unsupported
from pyrox.samplers.passes.share import share
from pyrox.samplers.passes.single import flag_single_precision
from pyrox.samplers.recipe import STANDARD, Recipe
from pyrox.samplers.vectors import selecting
from pyrox.typing import Array, ArrayLike, Tree

# Numbers in one output buffer of positions: what a chunk of draws may take.
_BUFFER_NUMBERS = 2**18
# Up to so many numbers a chain that is no native kernel selects between old and new instead of looping.
_FEW_NUMBERS, _FEW_NUMBERS_ON_ACCELERATORS = 2**12, 2**20
# The emitter of native kernels has no library calls, which XLA would otherwise make of large sums.
_NATIVE_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}


class ChainProgram:
    """A log-density's whole chain, compiled once for any data of the same shapes, draws, warm-up and target.

    Parameters
    ----------
    log_density
        Function of a position ``(dim,)`` and a tree of data.
    dim
        Length of a position.
    data
        A tree of arrays with the shapes and dtypes to compile for.
    recipe
        What the chain is made of.
    lanes
        Number of chains that advance together in one call, along a leading axis of everything; None for one
        chain without such an axis, to be called from as many threads as there are cores.
    own
        Numbers of the leaves of data that every lane has its own of, along a leading axis; lanes share the others.
    fused
        Whether to ask for one native kernel; None lets the traced gradient decide, False never asks.
    heartbeat
        Called several times a second while XLA compiles; what it raises ends the wait.
    meanwhile
        Called once, when XLA has begun.

    Attributes
    ----------
    native
        Whether the chain runs as one native kernel.
    obstacles
        The primitives that keep it from doing so.
    buffer
        Most transitions of one call of ``advance``.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import ChainProgram
    >>> log_density = lambda position, data: -0.5 * jnp.sum((position - data) ** 2)
    >>> data = jnp.array([1.0, 2.0])
    >>> program = ChainProgram(log_density, 2, data)
    >>> chain = program.start(jax.random.key_data(jax.random.key(0)), jnp.zeros(2), num_warmup=100, target_accept=0.8)
    >>> chain, draws, stats = program.advance(chain, data, 300)
    >>> draws.shape
    (300, 2)
    """

    def __init__(
        self,
        log_density: Callable,
        dim: int,
        data: Tree,
        *,
        recipe: Recipe = STANDARD,
        lanes: int | None = None,
        own: Collection[int] = (),
        fused: bool | None = None,
        heartbeat: Callable[[], None] = lambda: None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        recipe = recipe.resolve(dim)
        self.buffer = int(np.clip(2 ** int(np.log2(_BUFFER_NUMBERS / max(dim, 1))), 16, 1024))
        # Lanes would all wait for the longest trajectory or stride among them. What they learn is the same.
        self.recipe = recipe if lanes is None else replace(recipe, strides=False, mixed=False)
        self.dtype = number_dtype()
        self.lanes, self._own, self._heartbeat = lanes, frozenset(own), heartbeat
        position = jax.ShapeDtypeStruct((dim,), self.dtype)
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), jax.dtypes.canonicalize_dtype(x.dtype)), data)
        with without_collections():
            traced = trace_gradient(log_density, position, shapes)[0]
            native = lanes is None and jax.default_backend() == "cpu" and wants_native(fused)
            rewritten = as_kernel(traced) if native else None
            self.obstacles = unsupported(rewritten) if native else []
            self.native = native and not self.obstacles
            flagged = flag_single_precision(rewritten) if self.native and recipe.passes_points(dim) else None
        self.recipe = replace(self.recipe, rounding=flagged is not None)
        self._kernel = jax.tree.map(np.asarray, self.recipe.kernel(np.ones(dim, self.dtype)))
        self._template = jax.eval_shape(lambda q: self._start(jax.random.key_data(jax.random.key(0)), q), position)
        self._packing = Packing(self._template)
        self._prepared, self._preparing = None, threading.Lock()
        begun = self._begin((flagged or rewritten) if self.native else rewrite(traced, {}), shapes)
        meanwhile()
        try:
            self._prepare, self._executable = self._finish(begun)
        except Exception as error:
            if not self.native:
                raise
            # The emitter's refusals have no type of their own.
            self.native, self.obstacles = False, [str(error).splitlines()[0][:200]]
            self.recipe = replace(self.recipe, rounding=False)
            self._prepare, self._executable = self._finish(self._begin(rewrite(traced, {}), shapes))

    def _start(self, key: Array, position: Array) -> ChainState:
        return chains.start(key, position, 0, 0.8, self.recipe)

    def evaluate(self, chains: list[ChainState], data: Tree) -> list[ChainState]:
        """Evaluate log-density and gradient where chains start; chains that are evaluated already stay as they are."""
        if self.lanes is None:
            return [self.advance(c, data, 0)[0] if c.phase == Phase.EVALUATE else c for c in chains]
        stacked, _, _ = self.advance(stack(chains), data, 0)
        return [jax.tree.map(lambda x, i=i: np.asarray(x)[i], stacked) for i in range(len(chains))]

    def _with_lanes(self, x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        return x if self.lanes is None else jax.ShapeDtypeStruct((self.lanes, *x.shape), x.dtype)

    def _begin(self, gradient: core.ClosedJaxpr, shapes: Tree) -> list[Compilation | None]:
        """Begin to compile what follows from the data alone, where that takes long, and the chain."""
        flags = int(self.native and self.recipe.rounding)
        hoisted = Hoisted(gradient, varying=1 + flags)
        apart = hoisted.takes_long and not self._own

        # Data come as a plain list: models of equal structure may keep them in different trees.
        def prepare(data: list[Array]) -> list[Array]:
            return hoisted.prepare(*data)

        def advance(packed: list[Array], data: list[Array], prepared: list[Array], n: Array) -> tuple:
            prepared = prepared if apart else prepare(data)

            def value_and_grad(position: Array, *flag: Array) -> tuple[Array, Array]:
                value, grad = hoisted(prepared, position, *flag[:flags], *data)
                return value, grad

            chain = self._packing.unpack(packed)
            with selecting(self._few_numbers()):
                chain, draws, stats = chains.advance(
                    chain, n, value_and_grad=value_and_grad, recipe=self.recipe, buffer=self.buffer
                )
            return self._packing.pack(chain), draws, stats

        n, leaves = jax.ShapeDtypeStruct((), np.int32), jax.tree.leaves(shapes)
        if self.lanes is not None:
            axes = [0 if i in self._own else None for i in range(len(leaves))]
            advance = jax.vmap(advance, in_axes=(0, axes, None, None))
            leaves = [self._with_lanes(x) if i in self._own else x for i, x in enumerate(leaves)]
        lanes = self.lanes, sorted(self._own)
        settings = (self.native, lanes, self.buffer, self.recipe, str(self.dtype), jax.default_backend())
        # A kinetic energy of the user's own is known by its address alone.
        key = fingerprint(gradient, settings) if self.recipe.kinetic_fn is None else None
        wrap, options = (_as_one_kernel, _NATIVE_OPTIONS) if self.native else (lambda fn: fn, {})

        def compile_(fn: Callable, *shapes: Any) -> Compilation:
            named = None if key is None else f"{fn.__name__} {key}"
            return Compilation(wrap(fn), *shapes, key=named, options=options)

        prepared = jax.eval_shape(prepare, leaves) if apart else []
        chain = compile_(advance, self._packed_shapes(), leaves, prepared, n)
        return [compile_(prepare, leaves) if apart else None, chain]

    def _few_numbers(self) -> int:
        """Give how many numbers are few enough to be selected among; see ``selecting``."""
        if jax.default_backend() != "cpu":
            return _FEW_NUMBERS_ON_ACCELERATORS
        return 0 if self.native or self.lanes is not None else _FEW_NUMBERS

    def _finish(self, begun: list[Compilation | None]) -> list:
        return [None if compilation is None else compilation.result(self._heartbeat) for compilation in begun]

    def _prepared_from(self, leaves: list[Array]) -> list[Array]:
        """Give what follows from the data alone, where that was compiled apart; computed when data are new."""
        if self._prepare is None:
            return []
        with self._preparing:
            if self._prepared is None or not _are_same(self._prepared[0], leaves):
                self._prepared = leaves, jax.block_until_ready(self._prepare(leaves))
            return self._prepared[1]

    def _renew(self, chain: ChainState) -> ChainState:
        """Renew the metric on the host: a few factorisations that would take longer to compile."""
        if self.lanes is None:
            return chains.renew(chain)
        return stack([chains.renew(jax.tree.map(lambda x, i=i: x[i, ...], chain)) for i in range(self.lanes)])

    def _packed_shapes(self) -> list[jax.ShapeDtypeStruct]:
        return [self._with_lanes(x) for x in self._packing.shapes]

    def start(self, key: Array, position: Array, num_warmup: int, target_accept: ArrayLike) -> ChainState:
        """Set up one chain on the host, without running anything; see ``chain.start``."""
        blank = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), self._template)
        return blank._replace(
            key=np.asarray(key),
            num_warmup=np.full_like(blank.num_warmup, num_warmup),
            target_accept=np.full_like(blank.target_accept, target_accept),
            max_tree_depth=np.full_like(blank.max_tree_depth, self.recipe.max_tree_depth),
            state=blank.state._replace(
                position=np.asarray(position, self.dtype),
                log_density=np.full_like(blank.state.log_density, np.nan),
            ),
            kernel=self._kernel,
            window=blank.window._replace(
                renewal=np.full_like(blank.window.renewal, first_renewal(num_warmup)),
                misfit=np.ones_like(blank.window.misfit),
            ),
        )

    def advance(self, chain: ChainState, data: Tree, n: int) -> tuple[ChainState, np.ndarray, np.ndarray]:
        """Make ``n`` transitions, at most ``buffer``; see ``chain.advance``.

        Blocks without holding the interpreter, so that threads run side by side.
        """
        leaves, pieces, made = jax.tree.leaves(data), [], 0
        prepared = self._prepared_from(leaves)
        while not pieces or made < n:
            before = chain.iteration
            if (chain.phase == Phase.RENEW).all():
                chain = self._renew(chain)
            results = self._executable(self._packing.pack(chain, np), leaves, prepared, np.int32(n - made))
            packed, draws, stats = jax.tree.map(np.asarray, jax.block_until_ready(results))
            chain = self._packing.unpack(packed)
            # Chains side by side pause at the same iteration.
            rows = int((chain.iteration - before).max())
            pieces.append((draws[..., :rows, :], stats[..., :rows, :]))
            made += rows
        if len(pieces) == 1:
            return chain, *pieces[0]
        return chain, *(np.concatenate(part, axis=-2) for part in zip(*pieces, strict=True))


def trace_gradient(
    log_density: Callable, position: jax.ShapeDtypeStruct, shapes: Tree
) -> tuple[core.ClosedJaxpr, list[Reduction]]:
    """Trace a log-density with its gradient, from fewer numbers where that can be; tell what was reduced."""
    log_density, reductions = reduce_rows(log_density, position, shapes)
    return jax.make_jaxpr(jax.value_and_grad(log_density))(position, shapes), reductions


def as_kernel(traced: core.ClosedJaxpr) -> core.ClosedJaxpr:
    """Give a traced gradient in the form that native kernels are made of; see ``unsupported`` for what is not."""
    return orient(rewrite(share(traced)))


def _are_same(known: list, leaves: list) -> bool:
    """Tell whether arrays are those known before; NumPy's may have been changed since."""
    return all(a is b and isinstance(a, jax.Array) for a, b in zip(known, leaves, strict=True))


def stack(chains: list[ChainState]) -> ChainState:
    """Put chains side by side, along a leading axis."""
    return jax.tree.map(lambda *x: np.stack([np.asarray(v) for v in x]), *chains)


def wants_native(fused: bool | None) -> bool:  # noqa: FBT001
    """Tell whether native kernels are asked for: by the argument, or else by the environment."""
    if fused is not None:
        return fused
    return os.environ.get("PYROX_FUSED", "1").lower() not in ("0", "false", "no")


def _as_one_kernel(fn: Callable) -> Callable:
    """Ask the CPU backend to emit a function as one native kernel.

    The function must be the whole body of what is compiled: marked calls inside an outer loop abort the process.
    """
    inner = jax.jit(fn)

    def marked(*args: Any) -> Any:
        leaves, tree = jax.tree.flatten(inner(*args))
        # Tagging one result tags the operation that made it: the call.
        leaves[0] = set_xla_metadata(leaves[0], xla_cpu_small_call="true", inlineable="false")
        return jax.tree.unflatten(tree, leaves)

    return marked
