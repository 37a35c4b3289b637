"""Compile a whole chain: as one native kernel where the CPU backend can, the ordinary way elsewhere.

Executables are kept by structure, never by data: a model built again from the same statements finds its own.
"""

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata
from jax.extend import core

from pyrox.samplers import chain as chains
from pyrox.samplers.chain import ChainState, Phase
from pyrox.samplers.directions import FIRST_RENEWAL
from pyrox.samplers.hoist import Hoisted
from pyrox.samplers.least_squares import Reduction, reduce_rows
from pyrox.samplers.packing import Packing
from pyrox.samplers.recipe import STANDARD, Recipe
from pyrox.samplers.rewrite import equations, inner_jaxprs, rewrite, unsupported
from pyrox.typing import Array, ArrayLike, Tree

# Numbers in one output buffer of positions: what a chunk of draws may take.
_BUFFER_NUMBERS = 2**18
# A chain takes about seven megabytes; living models hold their own besides, and the folder of `cache.py` the rest.
_KEPT_EXECUTABLES = 16
# The emitter of native kernels has no library calls, which XLA would otherwise make of large sums.
_NATIVE_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}

_executables: OrderedDict[str, Any] = OrderedDict()
_lock = threading.Lock()


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
    ) -> None:
        self.buffer = int(np.clip(2 ** int(np.log2(_BUFFER_NUMBERS / max(dim, 1))), 16, 1024))
        self.recipe = recipe
        self.dtype = jnp.zeros(()).dtype
        self.lanes, self._own, self._heartbeat = lanes, frozenset(own), heartbeat
        position = jax.ShapeDtypeStruct((dim,), self.dtype)
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), jax.dtypes.canonicalize_dtype(x.dtype)), data)
        traced = trace_gradient(log_density, position, shapes)[0]
        native = lanes is None and jax.default_backend() == "cpu" and wants_native(fused)
        self.obstacles: list[str] = []
        if native:
            rewritten = rewrite(traced)
            self.obstacles = unsupported(rewritten)
        self._kernel = jax.tree.map(np.asarray, recipe.kernel(jnp.ones(dim, self.dtype)))
        self._template = jax.eval_shape(self._start, jax.random.key_data(jax.random.key(0)), position)
        self._packing = Packing(self._template)
        self.native, self._executable = False, None
        self._prepare, self._prepared, self._preparing = None, None, threading.Lock()
        if native and not self.obstacles:
            try:
                self._executable, self.native = self._compile(rewritten, shapes, native=True), True
            except Exception as error:  # the emitter's refusals have no type of their own
                self.obstacles = [str(error).splitlines()[0][:200]]
        if not self.native:
            self._executable = self._compile(rewrite(traced, {}), shapes, native=False)
        self._renew = self._compile_renewal() if recipe.window else None

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

    def _compile(self, gradient: core.ClosedJaxpr, shapes: Tree, *, native: bool) -> Any:
        hoisted = Hoisted(gradient)
        apart = hoisted.takes_long and not self._own

        # Data come as a plain list: models of equal structure may keep them in different trees.
        def prepare(data: list[Array]) -> list[Array]:
            return hoisted.prepare(*data)

        def advance(packed: list[Array], data: list[Array], prepared: list[Array], n: Array) -> tuple:
            prepared = prepared if apart else prepare(data)

            def value_and_grad(position: Array) -> tuple[Array, Array]:
                value, grad = hoisted(prepared, position, *data)
                return value, grad

            chain, draws, stats = chains.advance(
                self._packing.unpack(packed), n, value_and_grad=value_and_grad, recipe=self.recipe, buffer=self.buffer
            )
            return self._packing.pack(chain), draws, stats

        n, leaves = jax.ShapeDtypeStruct((), np.int32), jax.tree.leaves(shapes)
        if self.lanes is not None:
            axes = [0 if i in self._own else None for i in range(len(leaves))]
            advance = jax.vmap(advance, in_axes=(0, axes, None, None))
            leaves = [self._with_lanes(x) if i in self._own else x for i, x in enumerate(leaves)]
        lanes = self.lanes, sorted(self._own)
        settings = (native, lanes, self.buffer, self.recipe, str(self.dtype), jax.default_backend())
        # A kinetic energy of the user's own is known by its address alone.
        key = _fingerprint(gradient, settings) if self.recipe.kinetic_fn is None else None
        wrap, options = (_as_one_kernel, _NATIVE_OPTIONS) if native else (lambda fn: fn, {})

        def compile_(fn: Callable, *shapes: Any) -> Any:
            named = None if key is None else f"{fn.__name__} {key}"
            return _kept(named, lambda: _lower(wrap(fn), *shapes, options=options, heartbeat=self._heartbeat))

        self._prepare = compile_(prepare, leaves) if apart else None
        prepared = jax.eval_shape(prepare, leaves) if apart else []
        return compile_(advance, self._packed_shapes(), leaves, prepared, n)

    def _prepared_from(self, leaves: list[Array]) -> list[Array]:
        """Give what follows from the data alone, where that was compiled apart; computed when data are new."""
        if self._prepare is None:
            return []
        with self._preparing:
            if self._prepared is None or not _are_same(self._prepared[0], leaves):
                self._prepared = leaves, jax.block_until_ready(self._prepare(leaves))
            return self._prepared[1]

    def _compile_renewal(self) -> Any:
        def renew(packed: list[Array]) -> list[Array]:
            return self._packing.pack(chains.renew(self._packing.unpack(packed), self.recipe))

        if self.lanes is not None:
            renew = jax.vmap(renew)
        return compile_function(renew, self._packed_shapes())

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
            window=blank.window._replace(renewal=np.full_like(blank.window.renewal, FIRST_RENEWAL)),
        )

    def advance(self, chain: ChainState, data: Tree, n: int) -> tuple[ChainState, np.ndarray, np.ndarray]:
        """Make ``n`` transitions, at most ``buffer``; see ``chain.advance``.

        Blocks without holding the interpreter, so that threads run side by side.
        """
        leaves, pieces, made = jax.tree.leaves(data), [], 0
        packed, prepared = self._packing.pack(chain, np), self._prepared_from(leaves)
        while not pieces or made < n:
            before = chain.iteration
            if self._renew is not None and (chain.phase == Phase.RENEW).all():
                packed = self._renew(packed)
            results = self._executable(packed, leaves, prepared, np.int32(n - made))
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


def _lower(
    fn: Callable, *shapes: Any, options: dict | None = None, heartbeat: Callable[[], None] = lambda: None
) -> Any:
    """Trace here, compile on a thread of its own: so Ctrl-C is heard while XLA works."""
    lowered = jax.jit(fn).lower(*shapes)
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append(lowered.compile(compiler_options=options or None))
        except Exception as error:  # handed to the thread that waits
            outcome.append(error)

    # Not a daemon: an interpreter that ends must wait for XLA, which would crash under its hands.
    thread = threading.Thread(target=work, name="pyrox-compile", daemon=False)
    thread.start()
    while thread.is_alive():
        thread.join(timeout=0.1)
        heartbeat()
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _fingerprint(closed: core.ClosedJaxpr, settings: tuple) -> str | None:
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


def _kept(key: str | None, compile_: Callable[[], Any]) -> Any:
    if key is None:
        return compile_()
    with _lock:
        if key in _executables:
            _executables.move_to_end(key)
            return _executables[key]
    executable = compile_()
    with _lock:
        _executables[key] = executable
        while len(_executables) > _KEPT_EXECUTABLES:
            _executables.popitem(last=False)
    return executable


def compile_function(fn: Callable, *shapes: Any) -> Any:
    """Compile a pure function for arguments of these shapes, or find it compiled already."""
    traced = rewrite(jax.make_jaxpr(fn)(*shapes), {})
    trees = jax.tree.structure(shapes), jax.tree.structure(jax.eval_shape(fn, *shapes))
    return _kept(_fingerprint(traced, (*trees, jax.default_backend())), lambda: _lower(fn, *shapes))
