"""Check the parameters of distributions where a variable is stated, as far as their values are known there."""

import inspect
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from pyrox.config import validation_enabled
from pyrox.dist import CustomDist, Distribution, constraints
from pyrox.errors import ModelError, ShapeError, SupportError
from pyrox.model import program
from pyrox.model import values as host
from pyrox.model.nodes import Constant, Node, ancestors, contains_node, describe, evaluate
from pyrox.model.program import DistExpression, RandomVariable
from pyrox.model.refusals import NEEDS_NUMBERS, needs_numbers
from pyrox.model.table import Row

# Parameters that are distributions, or lists of them.
_DISTRIBUTIONS = ("dist", "comp_dists", "components", "sd_dist", "scale_dist", "init_dist", "innovation_dist")
_MISSING = re.compile(r"missing \d+ required (?:positional|keyword-only) arguments?: (.*)")
# What follows from the shape of the variable, where that is told.
_LENGTHS = {"num_steps": "steps=, shape=, dims= or observed=", "support_shape": "shape= or dims="}


def require_not_none(row: Row, given: Mapping[str, Any], what: str) -> None:
    """Refuse None where it would quietly stand for a default, as a forgotten `return` makes it."""
    named = {n for n, v in given.items() if v is not None}
    if any(named & set(inspect.signature(way).parameters) for way in row.ways):
        return  # another parametrisation: None stands for "not this one"
    spelling, own = row.spelling(), inspect.signature(row.make).parameters
    for name, value in given.items():
        target = spelling.get(name)
        default = row.defaults.get(target, own[target].default) if target in own else None
        if value is None and isinstance(default, int | float) and not isinstance(default, bool):
            raise ModelError(
                f"{what}: parameter {name} is None: was a `return` forgotten in the function that makes it? "
                f"Left out, it is {default}"
            )


def require_all(row: Row, error: TypeError, what: str) -> None:
    """Say which parameter a distribution lacks, by the names that its statement has for it."""
    found = _MISSING.search(str(error))
    if found is None:
        return
    spelling = row.spelling()
    for target in re.findall(r"'(\w+)'", found[1]):
        names = [n for n, t in spelling.items() if t == target and n in row.order.split()]
        names += [n for n, t in spelling.items() if t == target and n not in names]
        needed = _LENGTHS.get(target) or f"parameter {' or '.join(names or [target])}"
        raise ModelError(f"{what} needs {needed}; its parameters are {', '.join(row.accepted())}") from error


def require_nameless(row: Row, given: Mapping[str, Any], what: str) -> None:
    """Refuse variables where distributions are expected, and distributions where numbers are."""
    domains, spelling = getattr(row.make, "arg_constraints", {}), row.spelling()
    for name, value in given.items():
        if isinstance(value, DistExpression | Distribution) and spelling.get(name) in domains:
            raise ModelError(f"{what}: parameter {name} takes numbers or variables, not a distribution: give it a name")
    for name in _DISTRIBUTIONS:
        value = given.get(name)
        if callable(value) and not isinstance(value, Distribution):
            continue
        for part in value if isinstance(value, list | tuple) else [value]:
            if part is None or isinstance(part, Distribution | DistExpression) or callable(part):
                continue
            met = describe(part) if isinstance(part, Node) else repr(part)
            raise ModelError(
                f"{what}: parameter {name} takes distributions without a name, px.Normal.dist(...); met {met}"
            )


def require_parameters(row: Row, given: Mapping[str, Any], what: str, dist: DistExpression) -> None:
    """Check the parameters whose values are known."""
    spelling = row.spelling()
    domains = {**getattr(type(dist.abstract), "arg_constraints", {}), **getattr(row.make, "arg_constraints", {})}
    taken = {n for way in row.ways if all(k in given for k in inspect.signature(way).parameters)
             for n in inspect.signature(way).parameters}  # fmt: skip
    unseen = (*row.static.split(), *row.trees.split(), *_DISTRIBUTIONS)
    checked = type(dist.abstract)._validate_parameters is Distribution._validate_parameters
    for name, value in given.items():
        known = value.value if isinstance(value, program.Data | Constant) else host.as_literal(value)
        domain = domains.get(spelling.get(name, ""))
        if domain in (None, constraints.dependent) or name in taken:
            checked = checked and name in unseen
            continue
        if isinstance(known, Distribution | jax.core.Tracer) or contains_node(known):
            continue
        array = host.as_host(known, f"{what}: parameter {name}")
        if np.isnan(array).any() if array.dtype.kind == "f" else False:
            host.require_finite(array, f"{what}: parameter {name}", "parameters cannot be missing")
        if domain is constraints.real or domain is constraints.real_vector or not constraints.has_fixed_support(domain):
            continue
        if array.ndim >= domain.event_dim:
            host.require_support(array, domain, f"{what}: parameter {name}")
    if not checked and not any(isinstance(node, RandomVariable) for node in ancestors([dist])):
        _require_valid(row, dist, what)


def _require_valid(row: Row, dist: DistExpression, what: str) -> None:
    """Let the distribution itself check parameters that depend on one another, all of whose values are known."""
    try:
        with validation_enabled(), jax.ensure_compile_time_eval():
            known = {node: node.value for node in ancestors([dist]) if isinstance(node, program.Data)}
            evaluate(dist, known, lambda constant: constant.value)
    except SupportError as error:
        raise SupportError(f"{what}: {in_own_words(row, error).partition(': ')[2]}") from error


def in_own_words(row: Row, error: Exception) -> str:
    """Write a message of a distribution with the statement's names of parameters."""
    order = row.order.split()
    names = {target: name for name, target in row.spelling().items() if name in order and target not in order}
    return re.sub(r"\b[a-z_]+\b", lambda word: names.get(word[0], word[0]), str(error))


def require_density(dist: DistExpression, struct: Any, what: str) -> None:
    """Try a density of the user's own, with placeholders for all numbers."""
    if not isinstance(dist.abstract, CustomDist):
        return
    try:
        jax.eval_shape(lambda d, value: d.log_prob(value), dist.abstract, struct)
    except NEEDS_NUMBERS as error:
        raise needs_numbers(f"{what}: logp", error) from error
    except (ModelError, ShapeError) as error:
        raise type(error)(f"{what}: {error}") from error
