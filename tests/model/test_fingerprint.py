"""Hashes of models: the same for the same statements, whatever the data; another one for any other statement."""

import functools
import json

import jax.numpy as jnp
import numpy as np
import pytest

import pyrox as px
from pyrox.model.fingerprint import fingerprint, fingerprints


def write(*, scale=1.0, matrix=None, fn=lambda v: v + 1, dims="obs", name="b", dist="Normal", n=4, weights=(1.0, 2.0)):
    matrix = np.eye(3) if matrix is None else matrix
    with px.Model(coords={"obs": range(n), "row": range(n)}) as model:
        x = px.Data("x", np.arange(float(n)), dims="obs")
        a = px.Normal("a", 0, scale, shape=3)
        b = getattr(px, dist)(name, px.math.sum(matrix @ a), 2.0)
        w = px.Dirichlet("w", np.asarray(weights))
        mu = px.Deterministic("mu", px.lift(fn)(x * b) + w[0], dims="obs")
        px.Potential("p", -(a**2).sum())
        px.Normal("y", mu, 1.0, observed=np.linspace(0, 1, n), dims=dims)
    return model


def test_same_statements_same_hash():
    assert fingerprint(write()) == fingerprint(write())
    assert len(fingerprint(write())) == 16


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"scale": 2.0}, {"a"}),
        ({"matrix": 2 * np.eye(3)}, {"b"}),
        ({"fn": lambda v: v + 2}, {"mu"}),
        ({"fn": jnp.exp}, {"mu"}),
        ({"dims": "row"}, {"y"}),
        ({"name": "c"}, {"b", "c", "mu"}),
        ({"dist": "Cauchy"}, {"b"}),
        ({"weights": (1.0, 3.0)}, {"w"}),
    ],
)
def test_other_statements_are_named(change, differs):
    one, other = fingerprints(write()), fingerprints(write(**change))
    assert {n for n in one.keys() | other.keys() if one.get(n) != other.get(n)} == differs
    assert fingerprint(write()) != fingerprint(write(**change))


def test_data_and_lengths_do_not_count():
    model = write()
    before = fingerprint(model)
    px.set_data({"x": np.zeros(6)}, model, coords={"obs": range(10, 16)})
    assert fingerprint(model) == before
    assert fingerprint(write(n=7)) == before


def test_observed_or_not_counts():
    def build(y):
        with px.Model() as model:
            px.Normal("y", px.Normal("mu"), 1.0, observed=y)
        return fingerprint(model)

    assert build([1.0, 2.0]) == build([3.0, 4.0, 5.0]) != build(None)


def test_observed_data_are_data():
    def build(y):
        with px.Model() as model:
            px.Normal("y", px.Normal("mu"), 1.0, observed=px.Data("seen", y))
        return fingerprint(model)

    assert build([1.0, 2.0]) == build([3.0, 4.0, 5.0])


def test_order_of_statements_does_not_count():
    def build(names):
        with px.Model() as model:
            for name in names:
                px.Normal(name)
        return fingerprint(model)

    assert build("ab") == build("ba") != build("ac")


def test_functions_count_by_what_they_do():
    def build(fn):
        with px.Model() as model:
            px.Deterministic("y", px.lift(fn)(px.Normal("x")))
        return fingerprint(model)

    def scaled(factor):
        return lambda v: factor * v

    def power(v, n):
        return v**n

    assert build(scaled(2.0)) == build(scaled(2.0)) != build(scaled(3.0))
    assert build(scaled(jnp.ones(2))) != build(scaled(jnp.zeros(2)))
    assert build(functools.partial(power, n=2)) == build(functools.partial(power, n=2))
    assert build(functools.partial(power, n=2)) != build(functools.partial(power, n=3))
    assert build(jnp.sin) != build(jnp.cos)

    def recursive(v, depth=2):
        return v if depth == 0 else recursive(v, depth - 1)

    assert build(recursive) == build(recursive)


def test_indices_and_custom_distributions():
    def build(index, shift):
        with px.Model() as model:
            a = px.Normal("a", shape=5)
            px.CustomDist("c", a[index], logp=lambda value, mu: -((value - mu - shift) ** 2), observed=np.zeros(2))
        return fingerprint(model)

    assert build([0, 1], 1.0) == build([0, 1], 1.0)
    assert build([0, 1], 1.0) != build([0, 2], 1.0)
    assert build([0, 1], 1.0) != build([0, 1], 2.0)


def test_results_carry_the_hash():
    with px.Model() as model:
        px.Normal("y", px.Normal("mu"), 1.0, observed=[0.0, 1.0])
        sampled = px.sample(5, tune=5, chains=1, quiet=True, random_seed=0)
        drawn = px.fit(10, random_seed=0, progressbar=False).sample(5)
    for idata in (sampled, drawn):
        assert idata["posterior"].attrs["model_hash"] == fingerprint(model)
        assert json.loads(idata["posterior"].attrs["model_parts"]) == fingerprints(model)
