"""px.describe and px.render: what they say of graphs and of functions, consistent and not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyrox as px
import pyrox.dist as dist
from pyrox.errors import ModelError, ShapeError
from pyrox.handlers import LocScaleReparam, reparam
from pyrox.primitives import deterministic, param, plate, sample
from tests.models import EFFECT, ERROR, eight_schools, schools_function


@pytest.mark.parametrize(
    ("program", "args"), [(eight_schools(), ()), (schools_function, (EFFECT, ERROR))], ids=["graph", "function"]
)
def test_the_same_is_said_of_graph_and_function(program, args):
    sites = px.describe(program, *args).sites
    assert {n: s.kind for n, s in sites.items() if n != "effect"} == {
        "mu": "free", "tau": "free", "z": "free", "theta": "deterministic", "y": "observed",
    }  # fmt: skip
    assert sites["theta"].parents == ("mu", "tau", "z")
    assert sites["y"].parents == ("theta",)
    assert sites["tau"].distribution == "HalfCauchy(scale=5)"
    assert sites["y"].distribution == "Normal(loc=theta, scale=array[8])"
    assert sites["y"].shape == (8,)
    assert not px.describe(program, *args).problem


def plated(y, n):
    mu = sample("mu", dist.Normal(0.0, 5.0))
    s = param("s", 1.0, constraint=dist.constraints.positive)
    with plate("group", 3):
        theta = sample("theta", dist.Normal(mu, s))
        w = sample("w", dist.Dirichlet(jnp.ones(4)))
    deterministic("first", w[..., 0])
    with plate("row", n):
        sample("y", dist.Normal(theta[jnp.arange(6) % 3], jnp.exp(mu)), obs=y)


def test_plates_dims_and_events():
    sites = px.describe(plated, np.zeros(6), 6).sites
    assert sites["theta"].dims == ("group",)
    assert sites["theta"].distribution == "Normal(loc=mu, scale=s)"
    assert (sites["w"].shape, sites["w"].event_dim, sites["w"].dims) == ((3, 4), 1, ("group", None))
    assert sites["first"].parents == ("w",)
    assert sites["y"].distribution == "Normal(loc=f(theta), scale=f(mu))"
    assert (sites["row"].kind, sites["row"].shape) == ("plate", (6,))
    assert str(px.describe(plated, np.zeros(6), 6)).splitlines()[0].split()[:3] == ["site", "kind", "distribution"]


def test_the_first_inconsistent_site_is_marked():
    table = px.describe(plated, np.zeros(5), 6)
    assert table.problem.startswith("y: its observed values have shape (5,)")
    marked = [line for line in str(table).splitlines() if "<--" in line]
    assert len(marked) == 1
    assert marked[0].startswith("y ")

    def between():
        a = sample("a", dist.Normal(jnp.zeros(3), 1.0))
        b = sample("b", dist.Normal(jnp.zeros(2), 1.0))
        sample("c", dist.Normal(a + b, 1.0))

    table = px.describe(between)
    assert list(table.sites) == ["a", "b"]
    assert table.problem.startswith("after b: ")
    with pytest.raises(ShapeError, match="after b"):
        px.render(between)


def test_stale_data_of_a_model_are_found():
    with px.Model() as model:
        x = px.Data("x", [1.0, 2.0])
        px.Normal("y", px.Normal("b", 0.0, 1.0) * x, 1.0, observed=[0.0, 1.0])
    px.set_data({"x": [1.0, 2.0, 3.0]}, model)
    table = px.describe(model)
    assert table.sites["y"].problem
    assert "(2,)" in table.problem
    assert "(3,)" in table.problem


def test_other_mistakes_are_raised():
    def twice():
        sample("a", dist.Normal(0.0, 1.0))
        sample("a", dist.Normal(0.0, 1.0))

    with pytest.raises(ModelError, match="two statements"):
        px.describe(twice)


def test_render():
    source = px.render(eight_schools()).source
    assert source.startswith("digraph {")
    for edge in ('"mu" -> "theta"', '"tau" -> "theta"', '"z" -> "theta"', '"theta" -> "y"'):
        assert edge in source
    assert 'label="school (8)"' in source
    assert "fillcolor=lightgray" in source
    try:
        import graphviz
    except ImportError:
        with pytest.raises(ModelError, match="pip install"):
            px.render(eight_schools()).to_graphviz()
    else:
        graph = px.render(eight_schools()).to_graphviz()
        assert isinstance(graph, graphviz.Digraph)
        assert graph.source.rstrip() == source


@pytest.mark.parametrize("rows", [5, 6])
def test_nothing_of_the_run_is_kept(rows):
    with jax.check_tracer_leaks():
        assert bool(px.describe(plated, np.zeros(rows), 6).problem) == (rows == 5)


def test_programs_under_handlers():
    sites = px.describe(reparam(plated, {"theta": LocScaleReparam(0.0)}), np.zeros(6), 6).sites
    assert sites["theta"].kind == "deterministic"
    assert sites["theta"].parents == ("mu", "s", "theta_decentered")
    assert sites["theta_decentered"].shape == (3,)
