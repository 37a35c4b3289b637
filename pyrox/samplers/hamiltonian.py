"""HMC and NUTS as objects and as functions of a state, for those who write their own loops."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pyrox.errors import ModelError
from pyrox.model import init_to_uniform
from pyrox.samplers import chain as chains
from pyrox.samplers.chain import ChainState
from pyrox.samplers.kernel import Info
from pyrox.samplers.recipe import Recipe
from pyrox.samplers.source import ModelSource, PotentialSource, Source, as_typed_key
from pyrox.typing import Array, Key, Tree


class AdaptState(NamedTuple):
    """What the warm-up has learnt.

    Attributes
    ----------
    step_size
        Step size of the next iteration.
    inverse_mass_matrix
        Inverse mass matrix of the next iteration: its diagonal, shape ``(dim,)``, of the adaptations ``"diag"`` and
        ``"stan"``, all of it, ``(dim, dim)``, of the others.
    mass_matrix_sqrt
        A square root of the mass matrix, of the same shape: its diagonal, or a matrix S with :math:`S S^T = M`.
    chain
        The whole state of the chain, from which it goes on.
    """

    step_size: Array
    inverse_mass_matrix: Array
    mass_matrix_sqrt: Array
    chain: ChainState


class HMCState(NamedTuple):
    """State of a chain.

    Attributes
    ----------
    i
        Iteration, warm-up included.
    z
        Unconstrained values, as a tree.
    z_grad
        Gradient of the potential energy there.
    potential_energy
        Minus the log-density there.
    energy
        Sum of potential and kinetic energy.
    num_steps
        Steps of the trajectory.
    accept_prob
        Acceptance of the transition.
    mean_accept_prob
        Mean acceptance so far.
    diverging
        Whether the trajectory diverged.
    adapt_state
        What the warm-up has learnt.
    rng_key
        Key of the chain.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import NUTS
    >>> kernel = NUTS(potential_fn=lambda z: 0.5 * jnp.sum(z**2))
    >>> state = kernel.init(jax.random.key(0), num_warmup=10, init_params=jnp.ones(2))
    >>> state = kernel.sample(state)
    >>> int(state.i), state.z.shape
    (1, (2,))
    """

    i: Array
    z: Tree
    z_grad: Tree
    potential_energy: Array
    energy: Array
    num_steps: Array
    accept_prob: Array
    mean_accept_prob: Array
    diverging: Array
    adapt_state: AdaptState
    rng_key: Key


class HMC:
    """Hamiltonian Monte Carlo with trajectories of fixed length.

    Parameters
    ----------
    model
        A Model, or a function of primitives.
    potential_fn
        Instead of a model: the potential energy, a function of any tree of arrays.
    kinetic_fn
        Kinetic energy, a function of the inverse mass matrix and a momentum ``(dim,)``; None takes the Euclidean one.
        Momenta are drawn as that one needs it: draws follow the posterior if it differs from the Euclidean one by a
        constant only. The inverse mass matrix comes as its diagonal, ``(dim,)``, with the adaptations ``"diag"`` and
        ``"stan"``, and as a matrix, ``(dim, dim)``, with the others: what is written for the one is wrong for the
        other.
    step_size
        Step of the integrator, or where the search for the first one begins.
    adapt_step_size
        Whether the step size is learnt during warm-up.
    adapt_mass_matrix
        Whether the mass matrix is learnt during warm-up.
    dense_mass
        Whether the mass matrix is dense; otherwise it is diagonal, unless ``adaptation`` says something else.
    target_accept_prob
        Mean acceptance that the step size aims at.
    trajectory_length
        Time that a trajectory lasts.
    init_strategy
        Function of a message that gives the start of a site.
    adaptation
        How the mass matrix is learnt: ``"diag"`` (the default here), ``"rank_one"``, ``"low_rank"`` or ``"dense"`` from
        draws and gradients, ``"auto"`` (the default of ``px.sample``) as suits the number of dimensions, ``"stan"``
        (diagonal) from draws in growing windows. ``dense_mass=True`` is short for ``"dense"``.

    Examples
    --------
    >>> import jax
    >>> from pyrox.samplers import HMC, MCMC
    >>> mcmc = MCMC(HMC(potential_fn=lambda x: 0.5 * x**2), 100, 200, progress_bar=False)
    >>> mcmc.run(jax.random.key(0), init_params=1.0)
    >>> mcmc.get_samples().shape
    (200,)
    """

    _algorithm = "hmc"

    def __init__(  # the documented signature
        self,
        model: Callable | None = None,
        potential_fn: Callable | None = None,
        kinetic_fn: Callable | None = None,
        step_size: float = 1.0,
        adapt_step_size: bool = True,  # noqa: FBT001, FBT002
        adapt_mass_matrix: bool = True,  # noqa: FBT001, FBT002
        dense_mass: bool = False,  # noqa: FBT001, FBT002
        target_accept_prob: float = 0.8,
        trajectory_length: float | None = 2 * math.pi,
        init_strategy: Callable = init_to_uniform(),  # noqa: B008 - the documented default, which has no state
        adaptation: str | None = None,
    ) -> None:
        if (model is None) == (potential_fn is None):
            raise ModelError(f"{type(self).__name__} takes either a model or a potential_fn")
        kind = type(self).__name__
        for name, value in {"model": model, "potential_fn": potential_fn, "init_strategy": init_strategy}.items():
            if value is not None and not callable(value):
                raise ModelError(f"{kind}: {name} is a {'px.Model or a ' * (name == 'model')}function; met {value!r}")
        if isinstance(target_accept_prob, str) or not 0 < target_accept_prob < 1:
            raise ValueError(f"{kind}: target_accept_prob must lie between 0 and 1, not {target_accept_prob!r}")
        for name, value in {"step_size": step_size, "trajectory_length": trajectory_length}.items():
            if value is not None and (isinstance(value, str) or not value > 0):
                raise ValueError(f"{kind}: {name} must be positive, not {value!r}")
        self.model, self.potential_fn = model, potential_fn
        self.target_accept_prob, self.init_strategy = float(target_accept_prob), init_strategy
        learnt = None if not adapt_mass_matrix else adaptation or ("dense" if dense_mass else "diag")
        self.recipe = Recipe(
            algorithm=self._algorithm,
            adaptation=learnt,
            adapt_step_size=bool(adapt_step_size),
            step_size=float(step_size),
            trajectory_length=float(trajectory_length or 2 * math.pi),
            kinetic_fn=kinetic_fn,
            mixed=False,
        )
        self._source: Source | None = None

    def source(self, args: tuple, kwargs: Mapping[str, Any], init_params: Tree, num_chains: int) -> Source:
        """Give the log-density for these arguments."""
        if self.model is None:
            return PotentialSource(self.potential_fn, init_params, num_chains)
        return ModelSource(self.model, args, kwargs, self.init_strategy, init_params)

    def init(
        self,
        rng_key: Key,
        num_warmup: int,
        init_params: Tree = None,
        model_args: tuple = (),
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> HMCState:
        """Set up a chain.

        Parameters
        ----------
        rng_key
            A JAX key.
        num_warmup
            Iterations during which it learns.
        init_params
            Unconstrained starting values; needed with ``potential_fn``.
        model_args, model_kwargs
            Arguments of the model.

        Returns
        -------
        The state before the first iteration.
        """
        source = self._source = self.source(model_args, model_kwargs or {}, init_params, 1)
        key_start, key_chain = jax.random.split(as_typed_key(rng_key))
        position = source.start(0, key_start, 1)
        data = jax.random.key_data(key_chain)
        recipe = self.recipe.resolve(position.shape[0])
        chain = chains.start(data, position, num_warmup, self.target_accept_prob, recipe)
        chain, _, _ = self._advance(source, chain, 0)
        blank = Info(*(jnp.zeros((), position.dtype) for _ in Info._fields))._replace(lp=chain.state.log_density)
        return _as_state(source, chain, blank._replace(energy=-chain.state.log_density), jnp.zeros((), position.dtype))

    def sample(self, state: HMCState) -> HMCState:
        """Make one transition.

        Parameters
        ----------
        state
            The present state.

        Returns
        -------
        The next one. Pure and traceable by JAX.
        """
        if self._source is None:
            raise ModelError(f"{type(self).__name__}.sample needs a state of this object's init")
        chain, _, stats = self._advance(self._source, state.adapt_state.chain, 1)
        info = Info(*stats[0])
        mean = state.mean_accept_prob + (info.acceptance_rate - state.mean_accept_prob) / chain.iteration
        return _as_state(self._source, chain, info, mean)

    def _advance(self, source: Source, chain: ChainState, n: int) -> tuple:
        value_and_grad = jax.value_and_grad(lambda position: source.log_density(position, source.data))
        recipe = self.recipe.resolve(chain.state.position.shape[0])
        chain = chains.renew_if_due(chain, recipe)
        return chains.advance(chain, jnp.int32(n), value_and_grad=value_and_grad, recipe=recipe, buffer=1)


class NUTS(HMC):
    """The no-U-turn sampler: Hamiltonian Monte Carlo whose trajectories end where they turn back.

    Parameters
    ----------
    model, potential_fn, kinetic_fn, step_size, adapt_step_size, adapt_mass_matrix, dense_mass, target_accept_prob
        See ``HMC``.
    trajectory_length
        Without effect.
    max_tree_depth
        Most doublings of a trajectory.
    init_strategy, adaptation
        See ``HMC``.

    Examples
    --------
    >>> import jax
    >>> import pyrox as px
    >>> from pyrox.samplers import MCMC, NUTS
    >>> def model(y):
    ...     mu = px.Normal("mu", 0.0, 1.0)
    ...     px.Normal("y", mu, 1.0, observed=y)
    >>> mcmc = MCMC(NUTS(model), 200, 300, progress_bar=False)
    >>> mcmc.run(jax.random.key(0), 1.0)
    >>> mcmc.get_samples()["mu"].shape
    (300,)
    """

    _algorithm = "nuts"

    def __init__(  # the documented signature
        self,
        model: Callable | None = None,
        potential_fn: Callable | None = None,
        kinetic_fn: Callable | None = None,
        step_size: float = 1.0,
        adapt_step_size: bool = True,  # noqa: FBT001, FBT002
        adapt_mass_matrix: bool = True,  # noqa: FBT001, FBT002
        dense_mass: bool = False,  # noqa: FBT001, FBT002
        target_accept_prob: float = 0.8,
        trajectory_length: float | None = None,
        max_tree_depth: int = 10,
        init_strategy: Callable = init_to_uniform(),  # noqa: B008
        adaptation: str | None = None,
    ) -> None:
        HMC.__init__(
            self, model, potential_fn, kinetic_fn, step_size, adapt_step_size, adapt_mass_matrix, dense_mass,
            target_accept_prob, trajectory_length, init_strategy, adaptation,
        )  # fmt: skip
        self.recipe = self.recipe.with_depth(max_tree_depth)


def _as_state(source: Source, chain: ChainState, info: Info, mean_accept_prob: Array) -> HMCState:
    metric = chain.kernel.metric
    return HMCState(
        i=chain.iteration,
        z=source.unravel(chain.state.position),
        z_grad=source.unravel(-chain.state.gradient),
        potential_energy=-chain.state.log_density,
        energy=info.energy,
        num_steps=info.n_steps.astype(jnp.int32),
        accept_prob=info.acceptance_rate,
        mean_accept_prob=mean_accept_prob,
        diverging=info.diverging.astype(bool),
        adapt_state=AdaptState(chain.kernel.step_size, metric.inverse_mass, metric.mass_sqrt, chain),
        rng_key=chain.key,
    )


def hmc(potential_fn: Callable, kinetic_fn: Callable | None = None, algo: str = "NUTS") -> tuple[Callable, Callable]:
    """Give the two functions of a sampler: one that sets it up and warms it up, one that makes a transition.

    Parameters
    ----------
    potential_fn
        Potential energy, a function of any tree of arrays.
    kinetic_fn
        Kinetic energy, a function of the inverse mass matrix and a momentum; None takes the Euclidean one.
    algo
        ``"NUTS"`` or ``"HMC"``.

    Returns
    -------
    ``init_kernel(init_params, num_warmup, step_size=1.0, ...)``, which gives a state after the warm-up, and
    ``sample_kernel(state)``, which gives the next one.

    Examples
    --------
    >>> from pyrox.samplers import hmc
    >>> init_kernel, sample_kernel = hmc(lambda x: 0.5 * x**2)
    >>> state = init_kernel(1.0, num_warmup=50)
    >>> int(sample_kernel(state).i)
    1
    """
    if algo not in ("NUTS", "HMC"):
        raise ModelError(f"algo is 'NUTS' or 'HMC', not {algo!r}")
    kept: list[HMC] = []

    def init_kernel(
        init_params: Tree,
        num_warmup: int,
        step_size: float = 1.0,
        adapt_step_size: bool = True,  # noqa: FBT001, FBT002
        adapt_mass_matrix: bool = True,  # noqa: FBT001, FBT002
        dense_mass: bool = False,  # noqa: FBT001, FBT002
        target_accept_prob: float = 0.8,
        trajectory_length: float = 2 * math.pi,
        max_tree_depth: int = 10,
        progbar: bool = True,  # noqa: FBT001, FBT002
        rng_key: Key | None = None,
    ) -> HMCState:
        """Set up the sampler, and warm it up."""
        depth = {"max_tree_depth": max_tree_depth} if algo == "NUTS" else {}
        sampler = (NUTS if algo == "NUTS" else HMC)(
            None, potential_fn, kinetic_fn, step_size, adapt_step_size, adapt_mass_matrix, dense_mass,
            target_accept_prob, trajectory_length, **depth,
        )  # fmt: skip
        kept[:] = [sampler]
        state = sampler.init(jax.random.key(0) if rng_key is None else rng_key, num_warmup, init_params)
        state = jax.jit(lambda s: jax.lax.fori_loop(0, num_warmup, lambda _, s: sampler.sample(s), s))(state)
        return state._replace(i=jnp.zeros_like(state.i))

    def sample_kernel(hmc_state: HMCState) -> HMCState:
        """Make one transition."""
        if not kept:
            raise ModelError("sample_kernel needs a state of init_kernel: call that first")
        return kept[0].sample(hmc_state)._replace(i=hmc_state.i + 1)

    return init_kernel, sample_kernel
