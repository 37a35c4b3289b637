"""Draw from predictive distributions: run a program once for every draw."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyrox.errors import ModelError
from pyrox.model.evaluate import Draw, Values, as_draws
from pyrox.model.graph import Model
from pyrox.model.handlers import as_key, seed, substitute, trace, uncondition
from pyrox.model.messenger import Messenger
from pyrox.typing import Array, Key


class Predictive:
    """Draw from the predictive distribution of a program: once for every draw of its free sites.

    Observed sites of a ``Model`` are drawn anew. A function draws what it does not observe: leave the observed
    arguments out, ``y=None``.

    Parameters
    ----------
    model
        A function of primitives, or a Model.
    posterior_samples
        Draws of sites by name, along one leading axis; None, or none of a site, draws it from its distribution.
    guide
        A program that gives draws of the sites that ``posterior_samples`` lack.
    params
        Values of the ``param`` sites of model and guide.
    num_samples
        Number of draws; that of ``posterior_samples`` by default.
    return_sites
        Names of the sites to return; by default the sample and deterministic sites that are not among
        ``posterior_samples``, nor drawn by the guide.
    parallel
        Whether to run all draws at once (``jax.vmap``), which takes the memory of all, or one after the other.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> from pyrox.model import Predictive
    >>> from pyrox.model.primitives import sample
    >>> def program(y=None):
    ...     mu = sample("mu", dist.Normal(0.0, 1.0))
    ...     sample("y", dist.Normal(mu, 1.0).expand((3,)), obs=y)
    >>> predictive = Predictive(program, {"mu": jnp.zeros(100)})
    >>> predictive.get_samples(jax.random.key(0))["y"].shape
    (100, 3)
    """

    def __init__(
        self,
        model: Callable,
        posterior_samples: Values | None = None,
        guide: Callable | None = None,
        params: Values | None = None,
        num_samples: int | None = None,
        return_sites: Iterable[str] | None = None,
        parallel: bool = False,  # noqa: FBT001, FBT002 - the documented signature
    ) -> None:
        for what, fn in (("model", model), ("guide", guide)):
            if fn is not None and not callable(fn):
                raise ModelError(f"Predictive: {what} is a px.Model or a function of primitives; met {fn!r}")
        self.model, self.guide, self.params, self.parallel = model, guide, dict(params or {}), parallel
        self.return_sites = (return_sites,) if isinstance(return_sites, str) else tuple(return_sites or ())
        self.posterior_samples, given = as_draws(posterior_samples or {})
        if given is not None and num_samples not in (None, given):
            raise ModelError(f"Predictive: posterior_samples hold {given} draws, num_samples is {num_samples}")
        self.num_samples = given if num_samples is None else num_samples
        if self.num_samples is None:
            raise ModelError("Predictive needs num_samples where there are no posterior_samples")
        if not isinstance(self.num_samples, int | np.integer) or self.num_samples < 0:
            raise ModelError(f"Predictive: num_samples is a whole number, not negative; met {num_samples!r}")

    def get_samples(self, rng_key: Key, *args: Any, **kwargs: Any) -> dict[str, Array]:
        """Draw.

        Parameters
        ----------
        rng_key
            A JAX key, or an int.
        *args, **kwargs
            Arguments of the model, and of the guide.

        Returns
        -------
        By site, an array of shape ``(num_samples, *shape)``.

        Raises
        ------
        ModelError
            If a name of ``return_sites`` is no site.
        ShapeError
            If draws do not have the shape of their site.
        """
        known = self.posterior_samples
        key_guide, key_model = jax.random.split(as_key(rng_key))
        if self.guide is not None:
            known = {**known, **self._run(key_guide, self.guide, known, None, args, kwargs)}
        return self._run(key_model, _drawn_anew(self.model), known, self.return_sites, args, kwargs)

    __call__ = get_samples

    def _run(
        self, key: Key, program: Callable, known: dict, wanted: Iterable[str] | None, args: tuple, kwargs: dict
    ) -> dict[str, Array]:
        """Run a program for every draw; ``wanted`` is None for all sample sites, empty for those that are new."""
        if self.params:
            program = substitute(program, self.params)

        def single(given: tuple[Key, dict[str, Array]]) -> dict[str, Array]:
            key, values = given
            record = trace(seed(Draw(program, values), key)).get_trace(*args, **kwargs)
            kinds = {name: site["type"] for name, site in record.items()}
            names = [n for n, kind in kinds.items() if kind == "sample"] if wanted is None else list(wanted)
            if wanted is not None and not names:
                names = [n for n, kind in kinds.items() if kind in ("sample", "deterministic") and n not in values]
            unknown = [n for n in names if n not in record]
            if unknown:
                raise ModelError(f"return_sites: no site {unknown[0]!r}; there are {', '.join(record)}")
            return {name: jnp.asarray(record[name]["value"]) for name in names}

        inputs = jax.random.split(key, self.num_samples), known
        return jax.vmap(single)(inputs) if self.parallel else jax.lax.map(single, inputs)


def _drawn_anew(model: Callable) -> Callable:
    """Forget the data that a Model observes, but not what handlers around it condition on."""
    if isinstance(model, Model):
        return uncondition(model)
    if isinstance(model, Messenger) and model.fn is not None:
        return model.around(_drawn_anew(model.fn))
    return model
