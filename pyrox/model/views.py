"""How a model shows itself: tables, formulas and graphs, all made of its description."""

from collections.abc import Iterable
from typing import Any

from pyrox.model import picture
from pyrox.model.description import Description
from pyrox.model.explain import describe


class Viewable:
    """A program that notebooks show as a table."""

    def table(self) -> Description:
        """List the variables: distributions, dims, supports, coords; printed or in a notebook, a table.

        Returns
        -------
        The description, as ``px.describe`` gives it.
        """
        return describe(self)

    def str_repr(self, formatting: str = "plain") -> str:
        r"""Write what the model states, a line for each variable.

        Parameters
        ----------
        formatting
            ``"plain"`` or ``"latex"``.

        Examples
        --------
        >>> import pyrox as px
        >>> with px.Model() as model:
        ...     mu = px.Normal("mu", 0.0, 5.0)
        ...     y = px.Normal("y", mu, 1.0, observed=[0.5, 1.0])
        >>> print(model.str_repr())
        mu ~ Normal(loc=0, scale=5)
         y ~ Normal(loc=mu, scale=1)
        """
        return describe(self).str_repr(formatting)

    def to_graphviz(
        self,
        *,
        var_names: Iterable[str] | None = None,
        formatting: str = "plain",
        save: Any = None,
        figsize: tuple[float, float] | None = None,
        dpi: int = 300,
    ) -> Any:
        """Draw the model as a ``graphviz.Digraph``; see ``px.to_graphviz``, which has more options."""
        described = describe(self)
        return picture.to_graphviz(
            described, var_names=var_names, formatting=formatting, save=save, figsize=figsize, dpi=dpi
        )

    def _repr_html_(self) -> str:
        return describe(self)._repr_html_()

    def _repr_latex_(self) -> str:
        return describe(self)._repr_latex_()
