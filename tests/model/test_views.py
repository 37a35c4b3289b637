"""Models show themselves: tables, formulas, graphs with plates, for text, notebooks, Graphviz and Mermaid."""

import importlib.util
import re
import shutil
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import pyrox as px
from pyrox import dist
from pyrox import primitives as p
from pyrox.errors import ModelError, ShapeError
from pyrox.model import latex
from pyrox.model.picture import nest
from tests.models import EFFECT, ERROR, eight_schools, schools_function

needs_package = pytest.mark.skipif(importlib.util.find_spec("graphviz") is None, reason="needs the package graphviz")
needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="needs the program dot")


def slopes():
    """Nested dims, a covariance, data, a potential, an event without dims."""
    with px.Model(coords={"county": list("abc"), "effect": ["intercept", "slope"], "<home>": range(6)}) as model:
        x = px.Data("floor & all", np.arange(6.0), dims="<home>")
        seen = px.Data("radon", np.ones(6), dims="<home>")
        base = px.Normal("base", 0.0, 1.0, dims="county")
        chol, *_ = px.LKJCholeskyCov("chol", n=2, eta=2.0, sd_dist=px.Exponential.dist(1.0))
        b = px.MvNormal("b", np.zeros(2), chol=chol, dims=("county", "effect"))
        mean = base[np.array([0, 1, 2, 0, 1, 2])] + b[0, 1] * x
        px.Normal("y", mean, px.HalfNormal("sigma", 1.0), observed=seen, dims="<home>")
        px.Potential("soft", -px.math.sum(b**2))
    return model


# Plates


def outline(plate):
    return {(p.label(), tuple(s.name for s in p.sites)): outline(p) for p in plate.plates}


def test_plates_stand_inside_those_whose_dims_they_share():
    whole = nest(px.describe(slopes()).sites.values())
    assert [s.name for s in whole.sites] == ["sigma", "soft"]
    assert outline(whole) == {
        ("<home> (6)", ("floor & all", "radon", "y")): {},
        ("county (3)", ("base",)): {("effect (2)", ("b",)): {}},
        ("3", ("chol",)): {},
        ("2 x 2", ("chol_corr",)): {},
        ("2", ("chol_stds",)): {},
    }


def test_plates_of_three_levels_and_of_axes_without_names():
    with px.Model(coords={"a": range(2), "b": range(3), "c": range(4)}):
        names = {"a": ("a",), "ab": ("a", "b"), "bca": ("b", "c", "a"), "cb": ("c", "b"), "c": ("c",)}
        for name, dims in names.items():
            px.Normal(f"x_{name}", 0.0, 1.0, dims=dims)
        px.Normal("half_named", 0.0, np.ones((2, 5)), dims=("a", None))
        px.Normal("nameless", 0.0, 1.0, shape=5)
        whole = nest(px.model.describe(px.model.current_model()).sites.values())
    assert outline(whole) == {
        ("a (2)", ("x_a",)): {
            ("b (3)", ("x_ab",)): {("c (4)", ("x_bca",)): {}},
            ("5", ("half_named",)): {},
        },
        ("c (4)", ("x_c",)): {("b (3)", ("x_cb",)): {}},
        ("5", ("nameless",)): {},
    }


def test_plates_of_functions():
    def program(y):
        with p.plate("group", 3):
            theta = p.sample("theta", dist.Normal(0.0, 1.0))
        with p.plate("row", 6):
            p.sample("y", dist.Normal(theta[jnp.arange(6) % 3], 1.0), obs=y)

    text = px.to_mermaid(program, model_args=(np.zeros(6),))
    assert 'subgraph plate1["group (3)"]' in text
    assert 'subgraph plate2["row (6)"]' in text
    assert px.to_mermaid(program, model_kwargs={"y": np.zeros(6)}) == text


# Graphs


def test_graph_and_function_draw_the_same():
    def edges(text):
        names = dict(re.findall(r'^ *(n\d+).*?"(.*?)<br/>', text, re.MULTILINE))
        return {(names[a], names[b]) for a, b in re.findall(r"(n\d+) --> (n\d+)", text)}

    graph, function = px.to_mermaid(eight_schools()), px.to_mermaid(schools_function, model_args=(EFFECT, ERROR))
    assert edges(graph) == edges(function)
    assert edges(graph) == {("mu", "theta"), ("tau", "theta"), ("z", "theta"), ("theta", "y")}
    assert "effect<br/>Data" in graph
    assert "effect" not in function


def test_observed_values_lead_to_their_data():
    model = slopes()
    assert px.describe(model).sites["y"].observed == ("radon",)
    assert px.describe(model).sites["y"].parents == ("floor & all", "base", "b", "sigma")
    assert '"y" -> "radon" [style=dashed, arrowhead=none]' in px.render(model).source


def test_a_part_of_the_graph():
    drawn = px.render(slopes()).description.sites
    assert len(drawn) == 10
    part = px.to_mermaid(slopes(), var_names=["b"])
    assert "chol<br/>" in part
    assert "base<br/>" not in part
    assert px.to_mermaid(slopes(), var_names="b") == part
    with pytest.raises(ModelError, match="no variable 'nothing'; it has floor & all"):
        px.to_mermaid(slopes(), var_names=["nothing"])


def test_options_of_graphs():
    model = slopes()
    assert "~ Normal(loc=f(floor #amp; all, base," in px.to_mermaid(model, formatting="plain_with_params")
    assert '["county"]' in px.to_mermaid(model, include_dim_lengths=False)
    with pytest.raises(ModelError, match="'plain' or 'plain_with_params'; met 'fancy'"):
        px.to_mermaid(model, formatting="fancy")
    with model:
        assert px.to_mermaid() == px.model_to_mermaid(model)


def test_a_model_that_is_not_consistent_is_told_not_drawn():
    with px.Model() as model:
        x = px.Data("x", [1.0, 2.0])
        px.Normal("y", px.Normal("b", 0.0, 1.0) * x, 1.0, observed=[0.0, 1.0])
    px.set_data({"x": [1.0, 2.0, 3.0]}, model)
    with pytest.raises(ShapeError, match="not consistent"):
        px.to_mermaid(model)
    assert "observed values have shape (2,)" in model._repr_html_()


@needs_package
def test_graphs_are_those_of_the_package_graphviz(tmp_path):
    import graphviz

    model = slopes()
    graph = px.to_graphviz(model, graph_attr={"rankdir": "LR"}, figsize=(4, 3))
    assert isinstance(graph, graphviz.Digraph)
    assert px.to_graphviz(model).source.rstrip() == px.render(model).source == model.to_graphviz().source.rstrip()
    assert 'rankdir=LR' in graph.source
    assert 'size="4,3!"' in graph.source
    form = {"Free Random Variable": lambda site: {"label": f"<{site.name}>", "color": "red"}, "data": lambda _: {}}
    assert '"b" [label="<b>", shape=ellipse, color=red]' in px.model_to_graphviz(model, node_formatters=form).source
    with pytest.raises(ModelError, match="no kind of node 'Free'; the kinds are Free Random Variable"):
        px.to_graphviz(model, node_formatters={"Free": dict})
    px.to_graphviz(model, save=tmp_path / "graph.dot")
    assert (tmp_path / "graph.dot").read_text().startswith("digraph {")


@needs_dot
def test_pictures_are_made_by_dot(tmp_path):
    drawing = px.render(slopes())
    for ending, start in ((".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF")):
        drawing.save(tmp_path / f"graph{ending}")
        assert (tmp_path / f"graph{ending}").read_bytes().startswith(start)
    shown = drawing._repr_mimebundle_()["image/svg+xml"]
    assert "&lt;home&gt; (6)" in shown
    assert shown.count("<ellipse") == 5
    with pytest.raises(ModelError, match=r"could not draw the graph as \.nonsense"):
        drawing.save(tmp_path / "graph.nonsense")


def test_what_is_missing_is_told_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    drawing = px.render(slopes())
    with pytest.raises(ModelError, match=r"as \.png needs the program dot.*apt install graphviz.*graph\.dot"):
        drawing.save(tmp_path / "graph.png")
    drawing.save(tmp_path / "graph.gv")
    drawing.save(tmp_path / "graph.mmd")
    assert (tmp_path / "graph.gv").read_text().rstrip() == drawing.source
    assert (tmp_path / "graph.mmd").read_text().startswith("graph TD")
    assert drawing._repr_mimebundle_()["text/markdown"] == f"```mermaid\n{drawing.mermaid}\n```"
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(ModelError, match=r"pip install 'pyrox\[graph\]'.*px\.to_mermaid"):
        px.to_graphviz(slopes())


@pytest.mark.parametrize("word", ["node", "Graph", 'a "b"', "a\\b", "3", "é", "a\nb"])
@needs_dot
def test_names_of_all_kinds_are_drawn(word, tmp_path):
    with px.Model(coords={word: [1, 2]}) as model:
        px.Normal(f"x {word}", 0.0, 1.0, dims=word)
    px.render(model).save(tmp_path / "graph.svg")
    px.to_mermaid(model)


# Tables


def test_a_table_in_a_notebook():
    shown = slopes()._repr_html_()
    for part in ("Free variables", "Observed variables", "Deterministics", "Potentials", "Data",
                 "Normal(loc=0, scale=1)", "observed: radon", "positive", "county (3), effect (2)",
                 "float64: 0, 1, 2, 3, 4, …", "4 free (13 parameters)", "intercept, slope"):  # fmt: skip
        assert part in shown, part
    assert "&lt;home&gt;" in shown
    assert "floor &amp; all" in shown
    assert "<home>" not in shown
    for colour in ("background: transparent", "color: inherit"):
        assert colour in shown
    assert not re.search(r"background: (?!transparent)", shown)


def test_every_tag_is_closed():
    from html.parser import HTMLParser

    class Balance(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open = []

        def handle_starttag(self, tag, attrs):
            if tag not in ("br", "hr"):
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    for shown in (slopes(), px.Model("empty"), px.describe(schools_function, EFFECT, ERROR)):
        parser = Balance()
        parser.feed(shown._repr_html_())
        assert not parser.open


def test_a_table_in_text():
    model = slopes()
    lines = str(model.table()).splitlines()
    assert lines[0].split()[:4] == ["site", "kind", "distribution", "support"]
    assert "dim effect (2): intercept, slope" in lines
    assert str(model.table()) == str(px.describe(model))


def test_distributions_show_what_they_are_made_of():
    with px.Model() as model:
        w, mu = px.Dirichlet("w", np.ones(2)), px.Normal("mu", 0.0, 1.0)
        px.Mixture("mixed", w, [px.Normal.dist(mu, 1.0), px.StudentT.dist(3, 0.0, 1.0)], observed=np.zeros(3))
        px.Truncated("cut", px.Normal.dist(mu, 1.0), lower=0, observed=[1.0])
        px.Bernoulli("flip", logit_p=mu, observed=[0, 1])
        px.Normal("up", 0.0, 1.0, shape=2, transform=px.dist.transforms.OrderedTransform())
    sites = px.describe(model).sites
    assert sites["mixed"].distribution == (
        "Mixture(mixing=Categorical(probs=w), "
        "components=[Normal(loc=mu, scale=1), StudentT(df=3, loc=0, scale=1)])"
    )
    assert sites["cut"].distribution == "Truncated(base_dist=Normal(loc=mu, scale=1), low=0)"
    assert sites["flip"].distribution == "Bernoulli(logits=mu)"
    assert sites["up"].support == "strictly increasing vector"
    assert sites["w"].support == "simplex"


# Formulas


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("mu", r"\mu"), ("sigma_a", r"\sigma_{a}"), ("beta1", r"\beta_{1}"), ("x_10", "x_{10}"), ("y", "y"),
        ("Sigma", r"\Sigma"), ("mu_alpha", r"\mu_{\alpha}"), ("mu_class", r"\mu_{\text{class}}"),
        ("log_rate", r"\text{log\_rate}"), ("50% {a}", r"\text{50\% \{a\}}"),
    ],
)  # fmt: skip
def test_names_in_formulas(word, written):
    assert latex.name(word) == written


def test_expressions_in_formulas():
    assert latex.expression("f(mu, x_1)", {"mu", "x_1"}) == r"f(\mu, x_{1})"
    assert latex.expression("1.5e-07", ()) == r"1.5 \cdot 10^{-7}"
    assert latex.expression("-inf", ()) == r"-\infty"
    assert latex.expression("array[8]", ()) == r"\text{array[8]}"


def test_a_model_in_formulas():
    with px.Model() as model:
        mu = px.Normal("mu", 0.0, 5.0)
        twice = px.Deterministic("twice", 2 * mu)
        px.Potential("pull", -(mu**2))
        px.Normal("y", twice, 1.0, observed=[0.5])
    lines = model._repr_latex_().splitlines()
    assert lines[1:-1] == [
        r"\mu &\sim \operatorname{Normal}(0,\ 5) \\",
        r"\text{twice} &= f(\mu) \\",
        r"\text{pull} &= f(\mu) \quad \text{(potential)} \\",
        r"y &\sim \operatorname{Normal}(\text{twice},\ 1)",
    ]
    assert model.str_repr().splitlines() == [
        "   mu ~ Normal(loc=0, scale=5)",
        "twice ~ Deterministic(f(mu))",
        " pull ~ Potential(f(mu))",
        "    y ~ Normal(loc=twice, scale=1)",
    ]
    assert px.Model()._repr_latex_() == ""
    with pytest.raises(ModelError, match="'plain' or 'latex'; met 'html'"):
        model.str_repr("html")
