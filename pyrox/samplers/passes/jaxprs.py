"""Look at the equations of a traced function, and run them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from jax.extend import core


def bind(eqn: Any, inputs: list, **changed: Any) -> list:
    """Run the primitive of an equation, with its parameters but for those that are changed."""
    out = eqn.primitive.bind(*inputs, **eqn.primitive.get_bind_params({**eqn.params, **changed}))
    return out if eqn.primitive.multiple_results else [out]


def variables(atoms: Sequence[Any]) -> list:
    """Give the variables among the inputs or results of an equation."""
    return [v for v in atoms if not isinstance(v, core.Literal)]


def count_bytes(atoms: Collection[Any]) -> int:
    """Give the memory that variables and literals take together."""
    return sum(v.aval.size * v.aval.dtype.itemsize for v in atoms)


def read(v: Any, env: Mapping) -> Any:
    """Give the value of a variable or literal."""
    return v.val if isinstance(v, core.Literal) else env[v]


def run_all(eqns: Sequence[Any], env: dict) -> None:
    """Run equations as they are, with values from an environment, to which their results are added."""
    for eqn in eqns:
        env.update(zip(eqn.outvars, bind(eqn, [read(v, env) for v in eqn.invars]), strict=True))


def run_replacing(closed: core.ClosedJaxpr, args: Sequence[Any], replace: Callable[[Any, list], list | None]) -> list:
    """Run a function, with what ``replace`` gives for an equation and its inputs, or as it is where that is None."""
    env = dict(zip((*closed.jaxpr.constvars, *closed.jaxpr.invars), (*closed.consts, *args), strict=True))
    for eqn in closed.jaxpr.eqns:
        inputs = [read(v, env) for v in eqn.invars]
        outs = replace(eqn, inputs)
        env.update(zip(eqn.outvars, bind(eqn, inputs) if outs is None else outs, strict=True))
    return [read(v, env) for v in closed.jaxpr.outvars]


def dependent(eqns: Sequence[Any], moving: Iterable[Any]) -> set:
    """Give the variables that depend on those that move, these included; results of effects depend on anything."""
    moving = set(moving)
    for eqn in eqns:
        if eqn.effects or not moving.isdisjoint(variables(eqn.invars)):
            moving.update(eqn.outvars)
    return moving


def needed(eqns: Sequence[Any], wanted: Iterable[Any]) -> list:
    """Give the equations that some variables need, in order; those with effects are always needed."""
    wanted, found = set(wanted), []
    for eqn in reversed(eqns):
        if eqn.effects or not wanted.isdisjoint(eqn.outvars):
            wanted.update(variables(eqn.invars))
            found.append(eqn)
    return found[::-1]


def equations(jaxpr: core.Jaxpr) -> Iterator[Any]:
    """Iterate over the equations of a jaxpr and of all those inside it."""
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in _inside(eqn):
            yield from equations(inner.jaxpr if isinstance(inner, core.ClosedJaxpr) else inner)


def inner_jaxprs(jaxpr: core.Jaxpr) -> Iterator[core.ClosedJaxpr]:
    """Iterate over the closed jaxprs in the parameters of equations, at every depth."""
    for eqn in equations(jaxpr):
        yield from (inner for inner in _inside(eqn) if isinstance(inner, core.ClosedJaxpr))


def _inside(eqn: Any) -> Iterator[core.ClosedJaxpr | core.Jaxpr]:
    for value in eqn.params.values():
        for inner in value if isinstance(value, tuple | list) else (value,):
            if isinstance(inner, core.ClosedJaxpr | core.Jaxpr):
                yield inner
