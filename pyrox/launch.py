"""Where the chains of a run begin: at points found by trial, or where an earlier run has ended."""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np

from pyrox.errors import InitializationError, ModelError
from pyrox.identity import require_same_density
from pyrox.samplers import run as chain_run
from pyrox.samplers.chain import ChainState
from pyrox.samplers.compile import ChainProgram
from pyrox.samplers.saved import from_arrays
from pyrox.sampling import Task
from pyrox.typing import Array, Key

_MAX_STARTS = 100

Propose = Callable[[Task, int, Key], Array]


def random_starts(initvals: list) -> Propose:
    """Propose random starts, except where the values of each chain say otherwise."""

    def propose(task: Task, i: int, key: Key) -> Array:
        return task.target.density.initial_position(key, task.data, initvals=initvals[i])

    return propose


class NewChains:
    """Begin at starting points that are found by trial.

    Parameters
    ----------
    key
        Where all random numbers come from.
    propose
        Gives a position for a chain, by its number and a key.
    """

    def __init__(self, key: Key, propose: Propose) -> None:
        self._key, self._propose = key, propose
        self._first: dict[int, Array] = {}

    def _keys(self, task: Task) -> list[Key]:
        return [chain_run.fold_in(self._key, i) for i in range(task.settings.chains)]

    def prepare(self, task: Task) -> None:
        """Propose the first start of every chain; what is wrong with initvals shows before a long compilation ends."""
        keys = [chain_run.key_of_attempt(key, 0) for key in self._keys(task)]
        self._first = {i: self._propose(task, i, key) for i, key in enumerate(keys)}
        chain_run.chain_key(keys[0])  # compiles

    def __call__(self, task: Task, program: ChainProgram) -> list[ChainState]:
        """Try starts until all chains have one."""

        def propose(i: int, key: Key) -> Array:
            return self._first.pop(i) if i in self._first else self._propose(task, i, key)

        chains, failing = chain_run.find_starts(
            program,
            task.data,
            self._keys(task),
            propose,
            num_warmup=task.settings.tune,
            target_accept=task.settings.acceptance,
            max_tries=_MAX_STARTS,
        )
        if failing:
            position = jnp.asarray(chains[failing[0]].state.position)
            raise InitializationError(
                f"chain {failing[0]} found no start with a finite log-density and gradient in {_MAX_STARTS} tries. "
                f"Check priors, data and initvals of the variables marked below, at the last start:\n"
                f"{task.target.density.explain(position, task.data)}"
            )
        return chains


class SavedChains:
    """Begin where an earlier run has ended.

    Parameters
    ----------
    arrays
        The state of its chains.
    what
        The run, for messages.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], what: str) -> None:
        self._arrays, self._what = arrays, what

    def prepare(self, task: Task) -> None:
        """Do nothing: all is there."""

    def __call__(self, task: Task, program: ChainProgram) -> list[ChainState]:
        """Read the chains, if they are those of the model."""
        try:
            chains = from_arrays(self._arrays, program, task.target.density.dim)
        except (KeyError, ValueError) as error:
            raise ModelError(f"the model is not that of {self._what}: {error}") from None
        require_same_density(program, chains, task.data, self._what)
        return chains
