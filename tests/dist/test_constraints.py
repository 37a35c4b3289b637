"""Constraints: who belongs, and what an error says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyrox import dist
from pyrox.dist import constraints
from tests.cases import CONSTRAINTS

IDS = [repr(c[0]) for c in CONSTRAINTS]


@pytest.mark.parametrize(("constraint", "members", "strangers"), CONSTRAINTS, ids=IDS)
def test_members_and_strangers(constraint, members, strangers):
    assert np.all(np.asarray(constraint(jnp.asarray(members))))
    assert not np.any(np.asarray(constraint(jnp.asarray(strangers))))


@pytest.mark.parametrize(("constraint", "members", "strangers"), CONSTRAINTS, ids=IDS)
def test_result_has_no_event_axes(constraint, members, strangers):
    value = jnp.asarray(members)
    assert constraint(value).shape == value.shape[: value.ndim - constraint.event_dim]
    assert np.array_equal(constraint.check(value), constraint(value))


@pytest.mark.parametrize(("constraint", "members", "strangers"), CONSTRAINTS, ids=IDS)
def test_feasible_value_belongs(constraint, members, strangers):
    some = constraint.feasible_like(jnp.asarray(members))
    assert some.shape == np.shape(members)
    assert np.all(np.asarray(constraint(some)))


@pytest.mark.parametrize(("constraint", "members", "strangers"), CONSTRAINTS, ids=IDS)
def test_round_trip_as_pytree(constraint, members, strangers):
    leaves, structure = jax.tree.flatten(constraint)
    again = jax.tree.unflatten(structure, leaves)
    assert repr(again) == repr(constraint)
    assert str(again) == str(constraint)


def test_reads_well_in_an_error():
    assert str(constraints.positive) == "positive"
    assert str(constraints.greater_than(2.0)) == "greater than 2"
    assert str(constraints.unit_interval) == "in the interval [0, 1]"
    assert repr(constraints.greater_than(2.0)) == "GreaterThan(2.0)"


def test_dependent_has_no_members():
    with pytest.raises(ValueError, match="support"):
        constraints.dependent(1.0)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: dist.Normal(0.0, -1.0), "Normal: parameter scale must be positive; met -1.0"),
        (lambda: dist.Normal(0.0, [1.0, -2.0]), "met -2.0 at index"),
        (lambda: dist.Uniform(2.0, 1.0), "high must be greater than low; met low=2.0, high=1.0"),
        (lambda: dist.CategoricalProbs([0.5, 0.6]), "probs must be a simplex"),
        (lambda: dist.MultivariateNormal(jnp.zeros(2), -jnp.eye(2)), "covariance_matrix must be a positive-definite"),
        (lambda: dist.Poisson(2.0).log_prob(-1), "value must be a nonnegative integer; met -1"),
        (lambda: dist.Binomial(3, 0.5).log_prob(4), "value must be an integer from 0 to 3; met 4"),
        (lambda: dist.Normal(jnp.zeros(2), jnp.ones(3)), "do not broadcast together"),
        (lambda: dist.Normal(jnp.zeros(2)).log_prob(jnp.zeros(3)), "does not fit batch shape"),
    ],
)
def test_bad_input_is_named(make, told):
    dist.Distribution.set_default_validate_args(True)
    try:
        with pytest.raises(ValueError, match=r".*") as error:
            make()
    finally:
        dist.Distribution.set_default_validate_args(None)
    assert told in str(error.value)
