"""Index model variables as NumPy indexes arrays, with every bound checked that can be."""

import operator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.errors import NodeError, ShapeError
from pyrox.model import values as host

# How an index was checked, which decides what JAX has to do about it.
STATIC, CHECKED, WRAPPED, UNKNOWN = "static", "checked", "wrapped", "unknown"


class Limit(NamedTuple):
    """What a known index demands of its axis, when it is written and after ``set_data``.

    Attributes
    ----------
    axis
        The axis.
    ends
        The least and the greatest index; empty if there are none.
    exact
        The length that a mask was written for; None for other indices.
    """

    axis: int
    ends: tuple[int, ...]
    exact: int | None

    def require(self, length: int, what: str) -> None:
        """Refuse an axis of a length that does not fit."""
        what = f"index of {what} on axis {self.axis}"
        if self.exact not in (None, length):
            raise ShapeError(f"{what}: a mask of length {self.exact} does not fit length {length}")
        require_in_bounds(self.ends, length, what)


def split_index(node: Any, item: Any, node_type: type, what: str) -> tuple[tuple, tuple[Limit, ...], str, str]:
    """Turn what stands between the brackets into arguments of ``take``.

    Returns
    -------
    The items, one for each axis or new axis; what they demand of the axes; how far their bounds are known; ``what``.
    """
    items = _expand(item if isinstance(item, tuple) else (item,), node.ndim, node_type, what)
    axis, kinds, out, limits = 0, set(), [], []
    for part, exact in items:
        if part is None:
            out.append(part)
            continue
        if axis >= node.ndim:
            raise ShapeError(f"{what} has {node.ndim} axes (shape {node.shape}): too many indices")
        checked, kind = _check(part, node, axis, node_type, f"index of {what} on axis {axis}")
        if isinstance(checked, int | np.ndarray):
            ends = (int(np.min(checked)), int(np.max(checked))) if np.size(checked) else ()
            limits.append(Limit(axis, ends, exact))
            limits[-1].require(node.shape[axis], what)
        out.append(checked)
        kinds.add(kind)
        axis += 1
    worst = next((kind for kind in (UNKNOWN, WRAPPED, CHECKED) if kind in kinds), STATIC)
    return tuple(out), tuple(limits), worst, what


def _expand(items: tuple, ndim: int, node_type: type, what: str) -> list[tuple[Any, int | None]]:
    """Write out masks as the indices where they are True, with their lengths, and the ellipsis as whole axes."""
    plain: list = []
    for item in items:
        array = item
        if not isinstance(item, node_type) and (host.is_array(item) or isinstance(item, list)):
            array = host.as_host(item, f"index of {what}")
            if array.dtype == bool:
                plain.extend(zip(np.nonzero(array), array.shape, strict=True))
                continue
            if array.size == 0:
                array = array.astype(int)
            if array.dtype.kind not in "iu":
                raise NodeError(f"{what}: an index is made of integers or booleans, not {array.dtype}")
        elif isinstance(item, node_type) and item.dtype == bool:
            raise NodeError(f"{what} cannot be indexed by a mask whose values are not known yet: use px.math.where")
        plain.append((array, None))
    given = sum(x is not None and x is not Ellipsis for x, _ in plain)
    if any(x is Ellipsis for x, _ in plain):
        at = next(i for i, (x, _) in enumerate(plain) if x is Ellipsis)
        plain[at : at + 1] = [(slice(None), None)] * (ndim - given)
    return plain


def _check(part: Any, node: Any, axis: int, node_type: type, what: str) -> tuple[Any, str]:
    if isinstance(part, slice):
        try:
            return slice(*(b if b is None else operator.index(b) for b in (part.start, part.stop, part.step))), STATIC
        except (TypeError, NodeError):
            raise NodeError(f"{what}: the bounds of a slice must be plain integers; met {part}") from None
    if isinstance(part, node_type):
        if not np.issubdtype(part.dtype, np.integer):
            raise NodeError(f"{what}: {part!r} is not made of integers")
        limit = getattr(part, "limit_index", None)
        if limit is None:
            return part, UNKNOWN
        return part, WRAPPED if limit(node, axis, what) else CHECKED
    part = host.as_literal(part)
    if isinstance(part, bool) or not isinstance(part, int | np.ndarray):
        raise NodeError(f"{what}: an index is an integer, a slice, None, an array or a variable; met {part!r}")
    if isinstance(part, int):
        return part, STATIC
    return part, WRAPPED if np.any(part < 0) else CHECKED


def require_in_bounds(index: Any, length: int, what: str) -> None:
    """Raise an error that shows the first index outside an axis."""
    flat = np.ravel(index)
    bad = flat[(flat < -length) | (flat >= length)]
    if bad.size:
        raise ShapeError(f"{what}: {int(bad[0])} is out of bounds for length {length}")


def take(x: Any, items: tuple, limits: tuple[Limit, ...], kind: str, what: str) -> Any:
    """Index an array; ``limits`` and ``kind`` tell what is known of the bounds."""
    x = jnp.asarray(x)
    for limit in limits:
        limit.require(x.shape[limit.axis], what)
    if kind == STATIC:
        return _slice(x, items)
    if kind == UNKNOWN:
        return x.at[items].get(mode="fill")  # out of bounds gives NaN, which the start of a run reports
    wraps = kind == WRAPPED or any(isinstance(i, int) and i < 0 for i in items)
    return x.at[items].get(mode="promise_in_bounds", wrap_negative_indices=wraps)


def _slice(x: jax.Array, items: tuple) -> jax.Array:
    """Take integers and slices without a gather, whose gradient would be a scatter."""
    axis, new_axes, squeezed = 0, [], []
    starts, stops, steps, flipped = [], [], [], []
    kept = 0
    for item in items:
        if item is None:
            new_axes.append(kept)
            kept += 1
            continue
        length = x.shape[axis]
        if isinstance(item, int):
            start = item % length
            bounds = (start, start + 1, 1)
            squeezed.append(axis)
        else:
            bounds = _forward_bounds(item, length)
            if item.step is not None and item.step < 0:
                flipped.append(axis)
            kept += 1
        for target, bound in zip((starts, stops, steps), bounds, strict=True):
            target.append(bound)
        axis += 1
    for rest in range(axis, x.ndim):
        starts.append(0)
        stops.append(x.shape[rest])
        steps.append(1)
    whole = (starts, stops, steps) == ([0] * x.ndim, list(x.shape), [1] * x.ndim)
    part = x if whole else jax.lax.slice(x, starts, stops, steps)
    part = jax.lax.rev(part, flipped) if flipped else part
    part = jax.lax.squeeze(part, squeezed) if squeezed else part
    return jnp.expand_dims(part, new_axes) if new_axes else part


def _forward_bounds(item: slice, length: int) -> tuple[int, int, int]:
    """Give start, stop and positive step that select the same elements as a slice."""
    chosen = range(*item.indices(length))
    if not chosen:
        return 0, 0, 1
    low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
    return low, high + 1, abs(chosen.step)
