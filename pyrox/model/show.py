"""Pictures of models and of functions of primitives."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pyrox.model import picture
from pyrox.model.explain import describe
from pyrox.model.graph import current_model


def to_graphviz(
    model: Callable | None = None,
    *,
    var_names: Iterable[str] | None = None,
    formatting: str = "plain",
    save: Any = None,
    figsize: tuple[float, float] | None = None,
    dpi: int = 300,
    node_formatters: picture.Formatters | None = None,
    graph_attr: Mapping[str, Any] | None = None,
    include_dim_lengths: bool = True,
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Draw a model: variables, what depends on what, and plates around those that share dims.

    Free variables are ellipses, observed ones are shaded, deterministics are rectangles, potentials octagons, data
    rounded boxes; a dashed line leads from a variable to the data that are its observed values. A plate stands inside
    the one whose dims are among its own.

    Parameters
    ----------
    model
        A Model, by default the enclosing one, or a function of primitives.
    var_names
        The variables to draw, with all that they depend on; None draws all.
    formatting
        ``"plain"``, or ``"plain_with_params"`` for distributions with their parameters.
    save
        A file to write: ``"model.png"``, ``.svg``, ``.pdf`` (by the program dot of Graphviz), ``.dot``.
    figsize
        Width and height in inches.
    dpi
        Resolution of a saved picture.
    node_formatters
        Functions by kind of node, ``"Free Random Variable"``, ``"Observed Random Variable"``, ``"Deterministic"``,
        ``"Potential"`` or ``"Data"``: from a site (``name``, ``law``, ``shape``, …) to attributes of its node.
    graph_attr
        Attributes of the graph, ``{"rankdir": "LR"}`` for one.
    include_dim_lengths
        Whether plates tell the lengths of their dims.
    model_args, model_kwargs
        Arguments of a function of primitives.

    Returns
    -------
    A ``graphviz.Digraph``: notebooks show it, ``.source`` is its text, ``.render(path)`` writes a picture.

    Raises
    ------
    ModelError
        If the package graphviz is not installed, or the program dot where a picture is to be saved;
        ``px.to_mermaid`` and ``px.render`` need neither.
    ShapeError
        If the shapes of the model do not fit together.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model(coords={"school": ["A", "B"]}) as model:
    ...     theta = px.Normal("theta", px.Normal("mu", 0.0, 5.0), 1.0, dims="school")
    >>> graph = px.to_graphviz(model)  # doctest: +SKIP
    >>> graph.render("model", format="png")  # doctest: +SKIP
    """
    described = describe(current_model() if model is None else model, *model_args, **(model_kwargs or {}))
    return picture.to_graphviz(
        described,
        var_names=var_names,
        formatting=formatting,
        save=save,
        figsize=figsize,
        dpi=dpi,
        node_formatters=node_formatters,
        graph_attr=graph_attr,
        include_dim_lengths=include_dim_lengths,
    )


def to_mermaid(
    model: Callable | None = None,
    *,
    var_names: Iterable[str] | None = None,
    formatting: str = "plain",
    include_dim_lengths: bool = True,
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
) -> picture.Mermaid:
    """Draw a model in the language of Mermaid, which GitHub and many notebooks show; nothing need be installed.

    Parameters
    ----------
    model, var_names, formatting, include_dim_lengths, model_args, model_kwargs
        As those of ``px.to_graphviz``.

    Returns
    -------
    The text; a notebook that knows Mermaid shows the picture.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model(coords={"school": ["A", "B"]}) as model:
    ...     theta = px.Normal("theta", px.Normal("mu", 0.0, 5.0), 1.0, dims="school")
    >>> print(px.to_mermaid(model))
    graph TD
      n0(["mu<br/>~ Normal"])
      subgraph plate1["school (2)"]
        n1(["theta<br/>~ Normal"])
      end
      n0 --> n1
    """
    described = describe(current_model() if model is None else model, *model_args, **(model_kwargs or {}))
    return picture.draw(
        described, var_names=var_names, formatting=formatting, include_dim_lengths=include_dim_lengths
    ).mermaid


model_to_graphviz, model_to_mermaid = to_graphviz, to_mermaid
