"""How the axes of values follow the axes of discrete variables, operation by operation.

A value *follows* an axis of a variable along one of its own axes if each of its slices depends on one slice of the
variable only: ``normal_log_prob(y, mu[z])`` follows ``z``, ``z.sum()`` does not. What follows can be summed out
element by element. Each rule below says for one operation how its outputs follow what its inputs do; where it cannot
be sure it says that everything depends on everything, which is always true.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.extend import core

from pyrox.typing import Shape


class Along(NamedTuple):
    """One axis of a variable, followed.

    Attributes
    ----------
    axis
        The axis of the value.
    index
        None if its slice i depends on slice i of the variable; else the key of an array of whole numbers, and slice
        i depends on slice ``array[i]``.
    """

    axis: int
    index: Any = None


# For each variable that a value depends on: how it follows each axis, None where it depends on several slices at once.
Follows = dict[str, tuple[Along | None, ...]]


class Step(NamedTuple):
    """One operation.

    Attributes
    ----------
    params
        Its parameters.
    shapes
        Shapes of its inputs.
    follows
        What its inputs follow.
    outputs
        Shapes of its outputs.
    number_index
        Gives a key to the index arrays of an operation ``(step, component)``, None where they cannot be had.
    """

    params: Mapping[str, Any]
    shapes: Sequence[Shape]
    follows: Sequence[Follows]
    outputs: Sequence[Shape]
    number_index: Callable[[Any], Any]


def join(many: Sequence[Follows]) -> Follows:
    """Combine what the inputs of an elementwise operation follow."""
    out: Follows = {}
    for follows in many:
        for name, axes in follows.items():
            former = out.get(name, axes)
            out[name] = tuple(a if a == b else None for a, b in zip(former, axes, strict=True))
    return out


def jumble(many: Sequence[Follows]) -> Follows:
    """Let everything depend on everything."""
    return {name: (None,) * len(axes) for follows in many for name, axes in follows.items()}


def move(follows: Follows, where: Callable[[int], int | None]) -> Follows:
    """Follow along other axes: ``where`` gives the new place of an axis, None if it is lost."""

    def moved(along: Along | None) -> Along | None:
        axis = None if along is None else where(along.axis)
        return None if axis is None else along._replace(axis=axis)

    return {name: tuple(map(moved, axes)) for name, axes in follows.items()}


def select(follows: Follows, axis: int, chosen: Callable[[Any], Any]) -> Follows:
    """Follow along an axis of which slices are selected; ``chosen`` gives the new key of an index."""

    def selected(along: Along | None) -> Along | None:
        if along is None or along.axis != axis:
            return along
        key = chosen(along.index)
        return None if key is None else Along(axis, key)

    return {name: tuple(map(selected, axes)) for name, axes in follows.items()}


def then(first: Any, second: Any) -> Any:
    """Give the key of an index of an index."""
    if first is None:
        return second
    if first[0] == second[0] == "static":
        return "static", tuple(first[1][i] for i in second[1])
    return "then", first, second


def _elementwise(step: Step) -> list[Follows]:
    return [join(step.follows)] * len(step.outputs)


def _broadcast(step: Step) -> list[Follows]:
    to, old, new = step.params["broadcast_dimensions"], step.shapes[0], step.outputs[0]
    return [move(step.follows[0], lambda a: to[a] if old[a] == new[to[a]] else None)]


def kept_axes(old: Shape, new: Shape) -> dict[int, int]:
    """Tell which axes a reshape leaves as they are; axes of length one count for nothing."""
    kept, i, j = {}, 0, 0
    before, after = [a for a, n in enumerate(old) if n != 1], [a for a, n in enumerate(new) if n != 1]
    while i < len(before) and j < len(after):
        if old[before[i]] == new[after[j]]:
            kept[before[i]] = after[j]
            i, j = i + 1, j + 1
            continue
        left, right = old[before[i]], new[after[j]]
        i, j = i + 1, j + 1
        while left != right:
            if left < right:
                left *= old[before[i]]
                i += 1
            else:
                right *= new[after[j]]
                j += 1
    return kept


def _reshape(step: Step) -> list[Follows]:
    if step.params.get("dimensions") is not None or 0 in step.shapes[0]:
        return [jumble(step.follows)]
    return [move(step.follows[0], kept_axes(step.shapes[0], step.outputs[0]).get)]


def _transpose(step: Step) -> list[Follows]:
    return [move(step.follows[0], list(step.params["permutation"]).index)]


def _without(axes: Sequence[int]) -> Callable[[int], int | None]:
    return lambda a: None if a in axes else a - sum(b < a for b in axes)


def _squeeze(step: Step) -> list[Follows]:
    return [move(step.follows[0], _without(step.params["dimensions"]))]


def _reduce(step: Step) -> list[Follows]:
    return [move(join(step.follows), _without(step.params["axes"]))] * len(step.outputs)


def _along_one(name: str) -> Callable[[Step], list[Follows]]:
    """Make the rule of operations that mix the slices of one axis and leave the others apart."""

    def rule(step: Step) -> list[Follows]:
        axis = step.params[name]
        return [move(join(step.follows), lambda a: None if a == axis else a)] * len(step.outputs)

    return rule


def _stack(step: Step) -> list[Follows]:
    axis = step.params["axis"]
    return [move(join(step.follows), lambda a: a + (a >= axis))]


def _unstack(step: Step) -> list[Follows]:
    return [move(step.follows[0], _without((step.params["axis"],)))] * len(step.outputs)


def _tile(step: Step) -> list[Follows]:
    reps, extra = step.params["reps"], len(step.outputs[0]) - len(step.shapes[0])
    return [move(step.follows[0], lambda a: a + extra if reps[a + extra] == 1 else None)]


def _pad(step: Step) -> list[Follows]:
    config = step.params["padding_config"]
    return [join([move(step.follows[0], lambda a: a if tuple(config[a]) == (0, 0, 0) else None), step.follows[1]])]


def _slice(step: Step) -> list[Follows]:
    follows, strides = step.follows[0], step.params["strides"] or (1,) * len(step.shapes[0])
    for axis, n in enumerate(step.shapes[0]):
        start, stop, stride = step.params["start_indices"][axis], step.params["limit_indices"][axis], strides[axis]
        if (start, stop, stride) != (0, n, 1):
            chosen = tuple(range(start, stop, stride))
            follows = select(follows, axis, lambda before, chosen=chosen: then(before, ("static", chosen)))
    return [follows]


def _reverse(step: Step) -> list[Follows]:
    follows = step.follows[0]
    for axis in step.params["dimensions"]:
        chosen = tuple(range(step.shapes[0][axis]))[::-1]
        follows = select(follows, axis, lambda before, chosen=chosen: then(before, ("static", chosen)))
    return [follows]


def _dynamic_slice(step: Step) -> list[Follows]:
    old, new = step.shapes[0], step.params["slice_sizes"]
    whole = move(step.follows[0], lambda a: a if old[a] == new[a] else None)
    return [join([whole, jumble(step.follows[1:])])]


def _dot(step: Step) -> list[Follows]:
    (ca, cb), (ba, bb) = step.params["dimension_numbers"]
    ndims = [len(shape) for shape in step.shapes]
    free = [
        [i for i in range(n) if i not in (*c, *b)] for n, c, b in zip(ndims, (ca, cb), (ba, bb), strict=True)
    ]
    left = {a: i for i, a in enumerate(ba)} | {a: len(ba) + i for i, a in enumerate(free[0])}
    right = {b: i for i, b in enumerate(bb)} | {b: len(bb) + len(free[0]) + i for i, b in enumerate(free[1])}
    return [join([move(step.follows[0], left.get), move(step.follows[1], right.get)])]


def _gather(step: Step) -> list[Follows]:
    """Follow both what is indexed and the index."""
    d, (table, index), out = step.params["dimension_numbers"], step.shapes, step.outputs[0]
    rows = [i for i in range(len(out)) if i not in d.offset_dims]  # in the order of the axes of the index
    whole = [a for a in range(len(table)) if a not in (*d.collapsed_slice_dims, *d.operand_batching_dims)]
    through_index = move(step.follows[1], lambda a: rows[a] if a < len(rows) else None)
    long = [i for i in range(len(rows)) if index[i] != 1 and i not in d.start_indices_batching_dims]

    def of_table(along: Along | None) -> Along | None:
        if along is None:
            return None
        a = along.axis
        if a in d.operand_batching_dims:
            return along._replace(axis=rows[d.start_indices_batching_dims[d.operand_batching_dims.index(a)]])
        if a in d.collapsed_slice_dims and a in d.start_index_map and len(long) == 1:
            key = step.number_index(d.start_index_map.index(a))
            return None if key is None else Along(rows[long[0]], then(along.index, key))
        if a in whole and a not in d.start_index_map and step.params["slice_sizes"][a] == table[a]:
            return along._replace(axis=d.offset_dims[whole.index(a)])
        return None

    through_table = {name: tuple(map(of_table, axes)) for name, axes in step.follows[0].items()}
    return [join([through_table, through_index])]


def _scan(step: Step) -> list[Follows]:
    """Follow through a loop until nothing changes; slices of what is scanned over are mixed."""
    body = inner_of(step.params)
    # What is scanned over, and what is collected, has an axis more outside than inside.
    fixed_or_state = sum(len(s) == len(v.aval.shape) for s, v in zip(step.shapes, body.jaxpr.invars, strict=True))
    carries = sum(len(s) == len(v.aval.shape) for s, v in zip(step.outputs, body.jaxpr.outvars, strict=True))
    consts, scanned = fixed_or_state - carries, step.follows[fixed_or_state:]
    fixed, state = list(step.follows[:consts]), list(step.follows[consts:fixed_or_state])
    inside = [move(follows, lambda a: a - 1 if a else None) for follows in scanned]
    while True:
        outs = follow(body, [*fixed, *state, *inside])
        new = [join([a, b]) for a, b in zip(state, outs[:carries], strict=True)]
        if new == state:
            return [*new, *(move(follows, lambda a: a + 1) for follows in outs[carries:])]
        state = new


def _cond(step: Step) -> list[Follows]:
    which, rest = jumble(step.follows[:1]), step.follows[1:]
    each = [follow(_closed(branch), rest) for branch in step.params["branches"]]
    return [join([which, *outs]) for outs in zip(*each, strict=True)]


def _call(step: Step) -> list[Follows]:
    return follow(inner_of(step.params), step.follows)


def inner_of(params: Mapping[str, Any]) -> core.ClosedJaxpr:
    """Give the function that a call calls."""
    return _closed(next(params[name] for name in ("jaxpr", "call_jaxpr", "fun_jaxpr") if name in params))


def _closed(inner: Any) -> core.ClosedJaxpr:
    return inner if isinstance(inner, core.ClosedJaxpr) else core.ClosedJaxpr(inner, ())


def follow(closed: core.ClosedJaxpr, inputs: Sequence[Follows]) -> list[Follows]:
    """Tell what the outputs of a function follow; indices made inside are not looked at."""
    jaxpr = closed.jaxpr
    known = dict(zip(jaxpr.invars, inputs, strict=True))

    def read(v: Any) -> Follows:
        return {} if isinstance(v, core.Literal) else known.get(v, {})

    for eqn in jaxpr.eqns:
        follows = [read(v) for v in eqn.invars]
        if any(follows):
            shapes = [tuple(getattr(v.aval, "shape", ())) for v in eqn.invars]
            outputs = [tuple(getattr(v.aval, "shape", ())) for v in eqn.outvars]
            step = Step(eqn.params, shapes, follows, outputs, lambda _: None)
            known.update(zip(eqn.outvars, apply_rule(eqn.primitive.name, step), strict=True))
    return [read(v) for v in jaxpr.outvars]


def apply_rule(name: str, step: Step) -> list[Follows]:
    """Tell what the outputs of one operation follow."""
    rule = RULES.get(name)
    return [jumble(step.follows)] * len(step.outputs) if rule is None else rule(step)


def index_of(key: Any, arrays: Mapping[Any, Any]) -> Any:
    """Give the array of an index by its key."""
    if key[0] == "static":
        return np.asarray(key[1], int)
    if key[0] == "then":
        return jnp.asarray(index_of(key[1], arrays))[index_of(key[2], arrays)]
    return arrays[key]


ELEMENTWISE = frozenset(
    """
    abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil clamp clz
    convert_element_type copy cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt igamma
    igamma_grad_a igammac imag integer_pow is_finite le le_to lgamma log log1p logistic lt lt_to max min mul ne neg
    nextafter not or polygamma population_count pow real reduce_precision regularized_incomplete_beta rem round
    rsqrt select_n shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square stop_gradient sub
    tan tanh xor
    """.split()  # noqa: SIM905 - a list of names to be read
)
CALLS = frozenset(
    ["jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint", "custom_jvp_call", "custom_vjp_call"]
)
REDUCTIONS = ("reduce_sum", "reduce_prod", "reduce_max", "reduce_min", "reduce_and", "reduce_or")

RULES: dict[str, Callable[[Step], list[Follows]]] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(CALLS, _call),
    **dict.fromkeys((*REDUCTIONS, "argmax", "argmin"), _reduce),
    **dict.fromkeys(["cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "split"], _along_one("axis")),
    **dict.fromkeys(["concatenate", "sort"], _along_one("dimension")),
    "broadcast_in_dim": _broadcast,
    "cond": _cond,
    "dot_general": _dot,
    "dynamic_slice": _dynamic_slice,
    "gather": _gather,
    "pad": _pad,
    "reshape": _reshape,
    "rev": _reverse,
    "scan": _scan,
    "slice": _slice,
    "squeeze": _squeeze,
    "stack": _stack,
    "tile": _tile,
    "transpose": _transpose,
    "unstack": _unstack,
}
