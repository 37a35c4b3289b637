"""What a run is asked for: checked, and with the habits of PyMC's users understood."""

import difflib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.samplers.recipe import ADAPTATIONS, AUTO, Recipe, require_adaptation
from pyrox.typing import Key

# Mean acceptance that step sizes aim at unless told: at first, and at most after divergences in the warm-up; how far a
# posterior is from normal may ask for more.
_ACCEPTANCE = (0.8, 0.9)
_WORD = 2**32 - 1
NUTS_DEFAULTS = {"adaptation": AUTO, "target_accept": None, "max_treedepth": 10, "trajectories": "mixed"}
_TRAJECTORIES = ("mixed", "turning")

# Arguments of PyMC and NumPyro that have no place here, and what serves instead.
_ADVICE = {
    "step": "leave it out: all variables are drawn by the no-U-turn sampler",
    "nuts_sampler": "leave it out: there is one, compiled for every model",
    "nuts_sampler_kwargs": "use nuts={...}",
    "n_init": 'use nuts={"adaptation": ...} and initvals=',
    "jitter_max_retries": "leave it out: starts are tried until one is finite",
    "start": "use initvals=",
    "trace": 'use checkpoint="run.zarr", which streams draws to disk',
    "callback": "use blocking=False, whose handle has progress and inspect()",
    "mp_ctx": "leave it out: chains run on threads",
    "blas_cores": "leave it out: chains run on threads",
    "progressbar_theme": "use progressbar=",
    "progress_bar": "use progressbar=",
    "keep_warning_stat": "leave it out: findings are warnings",
    "compile_kwargs": "use fused=",
    "sampler": "leave it out: there is one, compiled for every model",
    "backend": "leave it out: models run on JAX",
    "num_samples": "use draws=",
    "samples": "use draws=, or thin the trace",
    "num_warmup": "use tune=",
    "num_chains": "use chains=",
    "seed": "use random_seed=",
    "rng_key": "use random_seed=",
    "optimizer": "use obj_optimizer=, px.vi.optim.Adam(0.01)",
    "learning_rate": "use obj_optimizer=, px.vi.optim.Adam(0.01)",
    "num_particles": "use obj_n_mc=",
    "num_steps": "use n=",
}

# Of those, PyMC's defaults, which ask for nothing: a call that passes them on means no more than one without.
_NOTHING = {
    "step": (None,), "nuts_sampler": (None, "pymc"), "nuts_sampler_kwargs": (None, {}), "n_init": (200_000, 500_000),
    "jitter_max_retries": (10,), "start": (None,), "trace": (None,), "callback": (None,), "mp_ctx": (None,),
    "blas_cores": (None, "auto"), "progressbar_theme": (None,), "keep_warning_stat": (False,),
    "compile_kwargs": (None, {}), "samples": (None,), "sampler": (None,), "backend": (None, "jax"),
}  # fmt: skip


# Ways to start, with PyMC's names beside ours: the approximation that each needs, and the adaptation that it names.
_INITS: dict[str, tuple[str | None, str | None]] = {
    "auto": (None, None),
    "adapt_diag": (None, "diag"),
    "jitter+adapt_diag": (None, "diag"),
    "adapt_diag_grad": (None, "diag"),
    "jitter+adapt_diag_grad": (None, "diag"),
    "adapt_full": (None, "dense"),
    "jitter+adapt_full": (None, "dense"),
    "pathfinder": ("pathfinder", None),
    "advi": ("advi", None),
    "advi+adapt_diag": ("advi", "diag"),
    "advi+adapt_diag_grad": ("advi", "diag"),
}


@dataclass(frozen=True)
class Settings:
    """What a run is asked for, checked.

    Attributes
    ----------
    draws, tune
        Draws to keep from each chain, and iterations of warm-up before them.
    chains, cores
        Number of chains, and of those that run at a time.
    adaptation, target_accept, max_treedepth, trajectories
        How the sampler is tuned; see ``px.sample``.
    keep_warmup
        Whether the warm-up is kept.
    fused
        False keeps off the native-kernel path, True insists on it.
    """

    draws: int
    tune: int
    chains: int
    cores: int
    adaptation: str = NUTS_DEFAULTS["adaptation"]
    target_accept: float | None = NUTS_DEFAULTS["target_accept"]
    max_treedepth: int = NUTS_DEFAULTS["max_treedepth"]
    trajectories: str = NUTS_DEFAULTS["trajectories"]
    keep_warmup: bool = False
    fused: bool | None = None

    def __post_init__(self) -> None:
        for name, least in (("draws", 1), ("tune", 0), ("chains", 1), ("cores", 1), ("max_treedepth", 1)):
            require_count(name, getattr(self, name), least)
        accept = self.target_accept
        if accept is not None and (isinstance(accept, bool) or not isinstance(accept, Real) or not 0 < accept < 1):
            raise ValueError(f"target_accept must lie between 0 and 1, not {accept!r}")
        if self.max_treedepth > 20:
            raise ValueError(f"max_treedepth is at most 20, which is a million steps; met {self.max_treedepth}")
        if self.fused is not None:
            require_flags(fused=self.fused)
        require_adaptation(self.adaptation)
        if self.trajectories not in _TRAJECTORIES:
            raise ValueError(f"trajectories is {' or '.join(map(repr, _TRAJECTORIES))}, not {self.trajectories!r}")

    @property
    def acceptance(self) -> tuple[float, float]:
        """Mean acceptance that step sizes aim at: at first, and at most after divergences; see ``DualAveraging``."""
        return _ACCEPTANCE if self.target_accept is None else (self.target_accept, self.target_accept)

    def resolve(self, dim: int) -> "Settings":
        """Give the settings for a posterior of so many dimensions: with one adaptation in place of ``"auto"``."""
        return replace(self, adaptation=self.recipe.resolve(dim).adaptation)

    @property
    def recipe(self) -> Recipe:
        """What a chain is compiled for."""
        depth, mixed = int(self.max_treedepth), self.trajectories == "mixed"
        return Recipe(adaptation=self.adaptation, max_tree_depth=depth, mixed=mixed)


def require_count(name: str, value: Any, least: int) -> None:
    """Raise unless a value is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        hint = ": a model is given as model=" if callable(value) else ""
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}{hint}")


def require_path(path: Any, what: str) -> None:
    """Raise unless a value can be the name of a file."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{what} takes the path of a file or folder; met {type(path).__name__}")


def require_flags(**flags: Any) -> None:
    """Raise unless values are True or False."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f"{name} is True or False; met {value!r}")


def as_flag(name: str, value: Any) -> bool:
    """Read whether to show progress; PyMC's kinds of bars are all one here."""
    kinds = ("combined", "split", "combined+stats", "split+stats", "stats+combined", "stats+split")
    if value in kinds or isinstance(value, bool):
        return bool(value)
    raise ValueError(f"{name} is True, False, or one of {', '.join(map(repr, kinds[:4]))}; met {value!r}")


def merge_nuts(nuts: Mapping[str, Any] | None, direct: Mapping[str, Any]) -> dict[str, Any]:
    """Join ``nuts={...}`` with the arguments given directly, over the defaults.

    Parameters
    ----------
    nuts
        Options of the sampler, or None.
    direct
        The same options where they were given as arguments; None was not given.

    Raises
    ------
    TypeError
        If an option is unknown, or given twice with different values.

    Examples
    --------
    >>> merge_nuts({"target_accept": 0.9}, {"max_treedepth": 8})["target_accept"]
    0.9
    """
    if nuts is not None and not isinstance(nuts, Mapping):
        raise TypeError(f"nuts takes a mapping of {', '.join(NUTS_DEFAULTS)}, not {nuts!r}")
    merged = {name: value for name, value in direct.items() if value is not None}
    for name, value in (nuts or {}).items():
        if name not in NUTS_DEFAULTS:
            raise TypeError(f"nuts takes {', '.join(NUTS_DEFAULTS)}, not {name!r}")
        if merged.setdefault(name, value) != value:
            raise TypeError(f"{name} is given twice: {name}={merged[name]!r} and nuts={{{name!r}: {value!r}}}")
    return {**NUTS_DEFAULTS, **merged}


def choose_warmup(tune: int | None, adaptation: str) -> int:
    """Give the iterations of warm-up: as asked for, or with None what the adaptation needs."""
    # Either of those that it stands for needs as many.
    adaptation = "rank_one" if adaptation == AUTO else adaptation
    if tune is None and adaptation in ADAPTATIONS:
        return int(ADAPTATIONS[adaptation].num_warmup)
    return 0 if tune is None else tune


def reject_unknown(function: str, unknown: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise TypeError for arguments that a function does not take, and say what to use.

    Parameters
    ----------
    function
        Name of the function.
    unknown
        Arguments that it does not take.
    known
        Names of those it takes.
    """
    unknown = {name: value for name, value in unknown.items() if not _asks_for_nothing(name, value)}
    if not unknown:
        return
    name = next(iter(unknown))
    near = difflib.get_close_matches(name, known, n=1)
    advice = _ADVICE.get(name) or (f"did you mean {near[0]}=?" if near else f"it takes {', '.join(known)}")
    raise TypeError(f"{function} does not take {name}=: {advice}")


def _asks_for_nothing(name: str, value: Any) -> bool:
    return any(value is known or (type(value) is type(known) and value == known) for known in _NOTHING.get(name, ()))


def choose_init(init: str) -> tuple[str | None, str | None]:
    """Give the method of the approximation that chains start from, None for random starts; and the adaptation it names.

    Raises
    ------
    ValueError
        If there is no such way to start.
    """
    if init not in _INITS:
        known = ", ".join(map(repr, _INITS))
        other = 'init="pathfinder" starts near the mode' if "map" in str(init) else "initvals= gives starting values"
        raise ValueError(f"init is one of {known}, not {init!r}; {other}")
    return _INITS[init]


def as_key(random_seed: int | Key | None) -> Key:
    """Make a JAX key of a seed.

    Parameters
    ----------
    random_seed
        A whole number, a JAX key, or None for a fresh one.

    Raises
    ------
    TypeError
        For anything else.

    Examples
    --------
    >>> from pyrox.settings import as_key
    >>> bool(as_key(1) == as_key(1))
    True
    """
    if random_seed is None:
        return _key_of(secrets.randbits(63))
    if isinstance(random_seed, Integral) and not isinstance(random_seed, bool):
        if not -(2**63) <= random_seed < 2**63:
            raise ValueError(f"random_seed must fit in 64 bits, not {random_seed}")
        return _key_of(int(random_seed))
    if isinstance(random_seed, jax.Array):
        if jnp.issubdtype(random_seed.dtype, jax.dtypes.prng_key) and random_seed.ndim == 0:
            return random_seed
        if random_seed.dtype == jnp.uint32 and random_seed.shape == (2,):
            return jax.random.wrap_key_data(random_seed)
    raise TypeError(f"random_seed must be a whole number, a JAX key or None, not {random_seed!r}")


def _key_of(seed: int) -> Key:
    """Give JAX's key of a seed."""
    if jax.config.jax_default_prng_impl != "threefry2x32":
        return jax.random.key(seed)
    # Of this generator it is the words of the seed; to be asked for it, JAX would compile.
    return jax.random.wrap_key_data(np.array([seed >> 32 & _WORD, seed & _WORD], np.uint32))
