"""Plates: axes along which statements are independent, whole or subsampled."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.dist import Distribution, Expanded
from pyrox.errors import ModelError, ShapeError
from pyrox.model.messenger import Frame, Message, Messenger, active_handlers, apply_stack, make_message
from pyrox.typing import Array, ArrayLike, Key, Shape

# Shuffling all rows costs about so many comparisons for each.
_SHUFFLE_COST = 100


class plate(Messenger):
    """State that what stands inside is independent along an axis.

    Sample statements inside are broadcast to the plate's size along its axis, as are factors. With a
    ``subsample_size`` the plate draws that many of its indices, and log-densities inside are scaled by
    ``size / subsample_size``. Made once, a plate can be entered several times.

    Parameters
    ----------
    name
        Name of the plate; results take it as the name of the axis.
    size
        Length of the axis.
    subsample_size
        Number of indices to draw, without repetition; None takes all.
    dim
        The batch axis, counted from the right (-1, -2, ...); None takes the first one that no plate around has.

    Raises
    ------
    ShapeError
        If a distribution inside has another length along the axis, or another plate has the same axis.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.handlers import seed
    >>> from pyrox.model.primitives import plate, sample
    >>> with seed(rng_seed=0), plate("row", 3), plate("group", 2):
    ...     x = sample("x", dist.Normal(0.0, 1.0))
    >>> x.shape
    (2, 3)
    >>> with seed(rng_seed=0), plate("row", 1000, subsample_size=10) as rows:
    ...     rows.shape
    (10,)
    """

    def __init__(self, name: str, size: int, subsample_size: int | None = None, dim: int | None = None) -> None:
        self.name, self.size, self.dim = name, _as_size(name, "size", size), dim
        self.subsample_size = self.size if subsample_size is None else _as_size(name, "subsample_size", subsample_size)
        if self.subsample_size > self.size:
            raise ShapeError(f"plate {name!r} of size {size} cannot give {subsample_size} different indices")
        if dim is not None and (not isinstance(dim, int) or isinstance(dim, bool) or dim >= 0):
            raise ShapeError(f"plate {name!r}: dim counts batch axes from the right, -1, -2, ...; met {dim!r}")
        args = (self.size, self.subsample_size)
        msg = apply_stack(make_message("plate", name, _draw_indices, args=args, kwargs={"rng_key": None, "name": name}))
        self.site, self.indices = msg["name"], msg["value"]
        if jnp.shape(self.indices) != (self.subsample_size,):
            raise ShapeError(
                f"plate {name!r} takes {self.subsample_size} indices; those given have shape {jnp.shape(self.indices)}"
            )

    def __enter__(self) -> Array:
        Messenger.__enter__(self)
        return self.indices

    def __call__(self, fn: Any) -> Any:
        """Run a function inside the plate."""
        raise TypeError(f"plate {self.name!r} is no wrapper: use it in a with block, with plate(...):")

    def begin(self) -> "PlateRun":
        around = active_plates()
        if any(run.plate.site == self.site for run in around):
            raise ModelError(f"plate {self.name!r} stands inside itself: give the inner one another name")
        taken = {run.frame.dim: run.frame for run in around}
        dim = next(d for d in range(-1, -len(taken) - 2, -1) if d not in taken) if self.dim is None else self.dim
        if dim in taken:
            other = taken[dim]
            raise ShapeError(
                f"plates {other.name!r} (size {other.size}) and {self.name!r} (size {self.subsample_size}) both have "
                f"dim={dim}: give one of them another, or leave dim= out"
            )
        return PlateRun(self, Frame(self.name, dim, self.subsample_size))

    def __repr__(self) -> str:
        return f"plate({self.name!r}, {self.size}, {self.subsample_size}, dim={self.dim})"


class PlateRun:
    """A plate that is open: it marks, broadcasts and scales the messages from inside."""

    def __init__(self, plate: plate, frame: Frame) -> None:
        self.plate, self.frame = plate, frame
        self.factor = plate.size / plate.subsample_size if plate.size != plate.subsample_size else None

    def process_message(self, msg: Message) -> None:
        """Broadcast and scale a statement."""
        if msg["type"] not in ("sample", "factor", "deterministic"):
            return
        msg["plates"] = (*msg["plates"], self.frame)
        if msg["type"] == "deterministic":
            return
        if msg["type"] == "factor":
            self._broadcast_factor(msg)
        elif isinstance(msg["fn"], Distribution):
            self._broadcast_sample(msg)
        if self.factor is not None:
            msg["scale"] = self.factor if msg["scale"] is None else self.factor * msg["scale"]

    def postprocess_message(self, msg: Message) -> None:
        """Do nothing more."""

    def _broadcast_sample(self, msg: Message) -> None:
        fn, own = msg["fn"], (*msg["kwargs"]["sample_shape"], *msg["fn"].batch_shape)
        batch = self._fit(own, msg, f"its distribution has batch shape {own}")
        if msg["is_observed"]:
            seen = jnp.shape(msg["value"])
            self._fit(seen[: len(seen) - fn.event_dim], msg, f"its observed values have shape {seen}")
        if msg["kwargs"]["sample_shape"]:
            msg["kwargs"] = {**msg["kwargs"], "sample_shape": ()}
        # One expansion for all plates, however deep: each would add an operation to the density.
        msg["fn"] = (fn.base_dist if isinstance(fn, Expanded) else fn).expand(batch)

    def _broadcast_factor(self, msg: Message) -> None:
        value = jnp.asarray(msg["value"])
        msg["value"] = jnp.broadcast_to(value, self._fit(value.shape, msg, f"its value has shape {value.shape}"))

    def _fit(self, shape: Shape, msg: Message, told: str) -> Shape:
        """Give the shape with the plate's axis at its length; refuse any other length than 1."""
        dim, size = self.frame.dim, self.frame.size
        wide = (*(1,) * (-dim - len(shape)), *shape)
        if wide[dim] not in (1, size):
            subsample = "" if self.factor is None else " (with subsampling, select the rows: data[indices])"
            raise ShapeError(
                f"{msg['name']}: {told}, whose length on axis {dim} is not that of plate {self.frame.name!r}, "
                f"of shape ({size},){subsample}"
            )
        at = len(wide) + dim
        return (*wide[:at], size, *wide[at + 1 :])


def active_plates() -> list[PlateRun]:
    """Give the plates around a statement made here, outermost first."""
    return [run for run in active_handlers() if isinstance(run, PlateRun)]


def subsample(data: ArrayLike, event_dim: int = 0) -> Array:
    """Select from data what the subsampling plates around have drawn.

    Parameters
    ----------
    data
        Array whose batch axes are those of the plates, whole.
    event_dim
        Number of rightmost axes that belong to one event.

    Returns
    -------
    The data, with the rows that each plate has drawn along its axis.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.model.handlers import seed
    >>> from pyrox.model.primitives import plate, subsample
    >>> with seed(rng_seed=0), plate("row", 100, subsample_size=10):
    ...     subsample(jnp.zeros((100, 3)), event_dim=1).shape
    (10, 3)
    """
    data = jnp.asarray(data)
    for run in active_plates():
        axis = data.ndim - event_dim + run.frame.dim
        if run.factor is None or axis < 0 or data.shape[axis] == 1:
            continue
        if data.shape[axis] != run.plate.size:
            raise ShapeError(
                f"subsample: data of shape {data.shape} have length {data.shape[axis]} on axis {axis}, "
                f"plate {run.plate.name!r} has size {run.plate.size}"
            )
        data = jnp.take(data, run.plate.indices, axis=axis)
    return data


def _as_size(name: Any, what: str, size: Any) -> int:
    if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
        raise ShapeError(f"plate {name!r}: {what} is a whole number of at least 1; met {size!r}")
    return int(size)


def _draw_indices(size: int, subsample_size: int, *, rng_key: Key | None, name: str) -> Array:
    if size == subsample_size:
        return np.arange(size)  # a constant: nothing to compute in any program
    if rng_key is None:
        raise ModelError(
            f"plate {name!r} draws {subsample_size} of {size} indices and needs randomness: "
            "run the program under handlers.seed(program, rng_seed=0), or give them by substitute"
        )
    if subsample_size**2 > _SHUFFLE_COST * size:
        return jax.random.choice(rng_key, size, (subsample_size,), replace=False)
    return _few_of_many(rng_key, size, subsample_size)


def _few_of_many(key: Key, size: int, count: int) -> Array:
    """Draw distinct indices without shuffling all: Floyd's algorithm, every set equally likely."""
    last = jnp.arange(size - count, size)
    drawn = jax.random.randint(key, (count,), 0, last + 1)

    def put(i: Array, chosen: Array) -> Array:
        taken = jnp.any(chosen == drawn[i])  # not yet chosen are -1
        return chosen.at[i].set(jnp.where(taken, last[i], drawn[i]))

    return jax.lax.fori_loop(0, count, put, jnp.full((count,), -1, drawn.dtype))
