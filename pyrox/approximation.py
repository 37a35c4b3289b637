"""An approximation of a posterior: what ``px.fit`` returns."""

from functools import cached_property
from numbers import Integral
from typing import Any

import jax
import numpy as np

from pyrox import _html as html
from pyrox import results
from pyrox.settings import as_key
from pyrox.target import Target
from pyrox.typing import Key, Tree
from pyrox.vi import psis

_KHAT_DRAWS = 2000


class Approximation:
    """An approximation of a posterior, to be drawn from.

    Attributes
    ----------
    method
        How it was found.
    losses
        The negative lower bound before each step; of Laplace and Pathfinder the negative log-density along the path.
    converged
        Whether the losses had stopped falling.
    khat
        Shape of the tail of the importance ratios, by Pareto-smoothed importance sampling.
    verdict
        What that means, in plain words.
    """

    def __init__(
        self, target: Target, data: Tree, method: str, source: Any, losses: np.ndarray, *, converged: bool, key: Key,
        seconds: float,
    ) -> None:  # fmt: skip
        self._target, self._data, self._source, self._key = target, data, source, key
        self.method, self.losses, self.converged, self._seconds = method, losses, converged, seconds

    @property
    def hist(self) -> np.ndarray:
        """The losses, under PyMC's name."""
        return self.losses

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the family by name, in the coordinates that it was fitted in; none of other methods."""
        return {name: np.asarray(x) for name, x in getattr(self._source, "params", {}).items()}

    @cached_property
    def khat(self) -> float:
        """Shape of the tail of the importance ratios; below 0.7 the approximation is of use, below 0.5 it is good."""
        ratios = self._source.log_ratios(jax.random.fold_in(self._key, 1), _KHAT_DRAWS)
        return psis.smooth(ratios).khat

    @property
    def verdict(self) -> str:
        """What ``khat`` means, in plain words."""
        return psis.verdict(self.khat)

    def sample(self, draws: int = 500, *, random_seed: int | Key | None = None) -> Any:
        """Draw.

        Parameters
        ----------
        draws
            Number of draws.
        random_seed
            A whole number or a JAX key; None goes on from the seed of the fit.

        Returns
        -------
        InferenceData (ArviZ 0.x) or DataTree (ArviZ 1.x) with the groups ``posterior``, of one chain,
        ``observed_data`` and ``constant_data``.
        """
        require_whole("draws", draws)
        key = jax.random.fold_in(self._key, 2) if random_seed is None else as_key(random_seed)
        positions = self._source.positions(key, int(draws))
        known = self._target.known_values(self._data)
        groups = {"posterior": self._target.constrain(positions[None], self._data)}
        groups["observed_data"], groups["constant_data"] = known
        attrs = results.run_attrs(
            method=self.method,
            sampling_time=self._seconds,
            random_seed=int(random_seed) if isinstance(random_seed, Integral) else None,
            **self._target.attrs,
        )
        return results.build(groups, dims=self._target.dims, coords=self._target.coords, attrs=attrs)

    def positions(self, key: Key, draws: int) -> np.ndarray:
        """Draw in unconstrained space.

        Parameters
        ----------
        key
            A JAX key.
        draws
            Number of draws.

        Returns
        -------
        Positions, shape ``(draws, dim)``.
        """
        return self._source.positions(key, draws)

    def plot_loss(self, ax: Any = None) -> Any:
        """Plot the losses by step.

        Parameters
        ----------
        ax
            Matplotlib axes to draw into; None makes new ones.

        Returns
        -------
        The axes.
        """
        return results.plot_losses(self.losses, ax, title=self.method)

    def _loss(self) -> str:
        """Tell the mean of the last losses."""
        finite = self.losses[np.isfinite(self.losses)]
        return f"{finite[-min(100, finite.size):].mean():.6g}" if finite.size else ""

    def __repr__(self) -> str:
        state = "converged" if self.converged else "not converged"
        last = f"loss {self._loss()}" if self._loss() else "no losses"
        return f"<Approximation by {self.method}: {len(self.losses)} steps, {state}, {last}; {self.verdict}>"

    def _repr_html_(self) -> str:
        settled = f"The losses {'had stopped' if self.converged else 'were still'} falling at the end."
        rows = [("loss", html.Markup(f"{self._loss()} {html.curve(self.losses[len(self.losses) // 20:])}"))]
        return html.section(
            f"Approximation by {self.method}",
            html.note(settled, "good" if self.converged else "bad"),
            html.note(self.verdict, "good" if self.khat < psis.USABLE else "bad"),
            html.table(("", ""), [("", rows if self._loss() else [])]),
            facts=[f"{len(self.losses)} steps", f"{self._seconds:.3g} s", f"k-hat {self.khat:.2f}"],
        )


def require_whole(name: str, value: Any) -> None:
    """Refuse what is no whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} is a whole number of at least 1; met {value!r}")
