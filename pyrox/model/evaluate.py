"""Evaluate programs at given values: densities, energies, likelihoods, and the way to constrained space."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from pyrox.dist import Distribution, biject_to, constraints
from pyrox.dist.transforms import Transform
from pyrox.errors import ModelError, ShapeError
from pyrox.model.handlers import Trace, set_from_base, substitute, trace
from pyrox.model.messenger import Message, Messenger, leak_error, shape_of, transform_of
from pyrox.model.sites import masked, weighted
from pyrox.typing import Array

Values = Mapping[str, Any]


def log_density(
    model: Callable,
    model_args: tuple,
    model_kwargs: Values | None,
    params: Values,
    skip_dist_transforms: bool = False,  # noqa: FBT001, FBT002 - the documented signature
) -> tuple[Array, Trace]:
    r"""Evaluate the joint log-density of a program.

    .. math:: \log p(y, \theta) = \sum_i \log p(x_i \mid \mathrm{parents})

    Parameters
    ----------
    model
        A function of primitives, or a Model.
    model_args, model_kwargs
        Its arguments.
    params
        Values of the free sites by name, in their supports; outside, the density is -inf.
    skip_dist_transforms
        Whether values of sites with a ``TransformedDistribution`` are those of its base distribution, and the density
        is the base distribution's.

    Returns
    -------
    The log-density, a scalar, with the scales and masks of plates and handlers; and the record of the run.

    Raises
    ------
    ModelError
        If a free site has no value.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model import log_density
    >>> from pyrox.model.primitives import sample
    >>> value, record = log_density(lambda: sample("x", dist.Normal(0.0, 1.0)), (), {}, {"x": 0.0})
    >>> round(float(value), 4)
    -0.9189
    """
    given = Given(model, base_param_map=params) if skip_dist_transforms else Given(model, param_map=params)
    record = trace(given).get_trace(*model_args, **(model_kwargs or {}))
    total = jnp.zeros(())
    for site in record.values():
        try:
            total = total + site_log_density(site, skip_transforms=skip_dist_transforms)
        except jax.errors.UnexpectedTracerError as error:
            raise leak_error(site) from error
    return total, record


def site_log_density(site: Message, *, skip_transforms: bool = False) -> Any:
    """Give the term of one finished message, summed; 0 for those that have none."""
    fn = site["fn"]
    if site["type"] == "factor":
        term = jnp.asarray(site["value"])
    elif site["type"] != "sample" or not isinstance(fn, Distribution):
        return 0.0
    elif site["intermediates"] and not site["is_observed"]:
        passed = site["intermediates"]
        term = fn.base_dist.log_prob(passed[0][0]) if skip_transforms else fn.log_prob(site["value"], passed)
    else:
        term = fn.log_prob(jnp.asarray(site["value"]))
    return weighted(site, term)


class Given(substitute):
    """Values of a density's argument: outside the support they are no mistake, the density there is -inf."""

    def postprocess_message(self, msg: Message) -> None:
        """Leave the value as it is."""


class Draw(substitute):
    """One of many draws: values must have the shapes of their sites."""

    complete = False

    def process_message(self, msg: Message) -> None:
        substitute.process_message(self, msg)
        if self.complete and msg["value"] is None and msg["type"] == "sample":
            known = ", ".join(self.param_map) or "nothing"
            raise ModelError(f"the samples lack the site {msg['name']!r}; they hold {known}")

    def postprocess_message(self, msg: Message) -> None:
        if msg["type"] != "sample" or msg["is_observed"] or msg["name"] not in self.param_map:
            return
        met, wanted = jnp.shape(msg["value"]), shape_of(msg)
        if wanted is not None and met != wanted:
            raise ShapeError(
                f"the samples of {msg['name']!r} have shape {met} for each draw, the site {wanted}: give draws along "
                "one leading axis (of several chains, flatten the first two), and the arguments that they belong to"
            )


class CompleteDraw(Draw):
    """A draw of everything that a program draws."""

    complete = True


def as_draws(samples: Values) -> tuple[dict[str, Array], int | None]:
    """Make arrays of samples with one leading axis; also give its length, None where there are none."""
    arrays = {name: jnp.asarray(x) for name, x in samples.items()}
    lengths = {name: x.shape[0] if x.ndim else None for name, x in arrays.items()}
    if len(set(lengths.values())) > 1 or None in lengths.values():
        told = ", ".join(f"{name} {x.shape}" for name, x in arrays.items())
        raise ShapeError(f"samples share one leading axis, the draws; met {told}")
    return arrays, next(iter(lengths.values()), None)


def transform_fn(
    transforms: Mapping[str, Transform], params: Values, invert: bool = False  # noqa: FBT001, FBT002
) -> dict[str, Array]:
    """Apply transforms to values of the same names.

    Parameters
    ----------
    transforms
        Transforms by name.
    params
        Arrays by name; those without a transform stay.
    invert
        Whether to apply the inverses.

    Returns
    -------
    The transformed values by name.

    Examples
    --------
    >>> from pyrox.dist import transforms
    >>> from pyrox.model import transform_fn
    >>> {k: float(v) for k, v in transform_fn({"x": transforms.ExpTransform()}, {"x": 0.0}).items()}
    {'x': 1.0}
    """
    out = {}
    for name, value in params.items():
        transform = transforms.get(name)
        out[name] = value if transform is None else transform.inv(value) if invert else transform(value)
    return out


class Unconstrained(Messenger):
    """Give sites their values from unconstrained ones, and add up the density with the Jacobians.

    ``transforms`` lead from unconstrained values to values of a site's base distribution; without them, each site's
    own support tells, as it stands at these values.
    """

    def __init__(self, fn: Callable, transforms: Mapping[str, Transform] | None, params: Values) -> None:
        self.fn, self.transforms, self.params = fn, transforms, params

    def begin(self) -> "UnconstrainedRun":
        return UnconstrainedRun(self.transforms, self.params)


class UnconstrainedRun:
    """What one run at unconstrained values gives: the sites' values and the log-density."""

    def __init__(self, transforms: Mapping[str, Transform] | None, params: Values) -> None:
        self.transforms, self.params = transforms, params
        self.values: dict[str, Array] = {}
        self.total: Any = jnp.zeros(())

    def process_message(self, msg: Message) -> None:
        """Set the value of a site."""
        name = msg["name"]
        if name not in self.params or msg["type"] not in ("sample", "param") or msg["is_observed"]:
            return
        transform = base_transform(msg) if self.transforms is None else self.transforms.get(name)
        value = jnp.asarray(self.params[name])
        if transform is not None:
            x = value
            value, kept = transform.call_with_intermediates(x)
            self.total = self.total + jnp.sum(transform.log_abs_det_jacobian(x, value, kept))
        if msg["type"] == "param":
            msg["value"] = value
        else:
            set_from_base(msg, value)

    def postprocess_message(self, msg: Message) -> None:
        """Keep the value of a site, and its term."""
        if msg["name"] in self.params:
            self.values[msg["name"]] = msg["value"]
        self.total = self.total + site_log_density(msg, skip_transforms=True)


def base_transform(msg: Message) -> Transform:
    """Give the bijection onto the support of a site: of its base distribution, if it is a transformed one."""
    if msg["type"] == "param":
        return biject_to(msg["kwargs"].get("constraint", constraints.real))
    fn = msg["fn"]
    if hasattr(fn, "transforms") and msg["infer"].get("transform") is None:
        return biject_to(fn.base_dist.support)
    return transform_of(msg)


def constrain_fn(
    model: Callable,
    model_args: tuple,
    model_kwargs: Values | None,
    transforms: Mapping[str, Transform] | None,
    params: Values,
) -> dict[str, Array]:
    """Give the values of sites at unconstrained values.

    Parameters
    ----------
    model
        A function of primitives, or a Model.
    model_args, model_kwargs
        Its arguments.
    transforms
        By site name, from unconstrained space to the support of the site's base distribution (of its distribution, if
        it is no transformed one); None works them out, also where a support depends on other sites.
    params
        Unconstrained values by site name.

    Returns
    -------
    Values by site name, each in the support of its site.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model import constrain_fn
    >>> from pyrox.model.primitives import sample
    >>> program = lambda: sample("x", dist.HalfNormal(1.0))
    >>> {k: float(v) for k, v in constrain_fn(program, (), {}, None, {"x": 0.0}).items()}
    {'x': 1.0}
    """
    run = _run_unconstrained(model, model_args, model_kwargs, transforms, params)
    return {name: run.values[name] for name in params if name in run.values}


def potential_energy(
    model: Callable,
    model_args: tuple,
    model_kwargs: Values | None,
    inv_transforms: Mapping[str, Transform] | None,
    params: Values,
) -> Array:
    r"""Evaluate the potential energy of a program at unconstrained values.

    .. math:: U(q) = -\log p(f(q), y) - \log |\det f'(q)|

    Parameters
    ----------
    model
        A function of primitives, or a Model.
    model_args, model_kwargs
        Its arguments.
    inv_transforms
        By site name, from unconstrained space to the support of the site's base distribution (of its distribution, if
        it is no transformed one); None works them out, also where a support depends on other sites.
    params
        Unconstrained values by site name.

    Returns
    -------
    A scalar.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model import potential_energy
    >>> from pyrox.model.primitives import sample
    >>> program = lambda: sample("x", dist.HalfNormal(1.0))
    >>> round(float(potential_energy(program, (), {}, None, {"x": 0.0})), 4)
    0.7258
    """
    return -_run_unconstrained(model, model_args, model_kwargs, inv_transforms, params).total


def _run_unconstrained(
    model: Callable, args: tuple, kwargs: Values | None, transforms: Any, params: Values
) -> UnconstrainedRun:
    handler = Unconstrained(model, transforms, params)
    with handler as run:
        model(*args, **(kwargs or {}))
    return run


def log_likelihood(model: Callable, posterior_samples: Values, *args: Any, **kwargs: Any) -> dict[str, Array]:
    r"""Evaluate the log-likelihood of every observation at every draw.

    .. math:: \ell_{si} = \log p(y_i \mid \theta_s)

    Parameters
    ----------
    model
        A function of primitives, or a Model.
    posterior_samples
        Draws of all free sites by name, along one leading axis; names of other sites are ignored.
    *args, **kwargs
        Arguments of the model.

    Returns
    -------
    By observed site, an array of shape ``(draw, *batch_shape)``; 0 where a mask leaves an observation out.

    Raises
    ------
    ModelError
        If there are no draws of a free site.
    ShapeError
        If draws do not have the shape of their site.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> from pyrox.model import log_likelihood
    >>> from pyrox.model.primitives import sample
    >>> def program(y):
    ...     mu = sample("mu", dist.Normal(0.0, 1.0))
    ...     sample("y", dist.Normal(mu, 1.0), obs=y)
    >>> log_likelihood(program, {"mu": jnp.zeros(10)}, jnp.zeros(3))["y"].shape
    (10, 3)
    """
    draws, number = as_draws(posterior_samples)
    if number is None:
        raise ModelError("log_likelihood needs posterior_samples: draws of the free sites by name")

    def single(values: dict[str, Array]) -> dict[str, Array]:
        record = trace(CompleteDraw(model, values)).get_trace(*args, **kwargs)
        seen = {n: s for n, s in record.items() if s["type"] == "sample" and s["is_observed"]}
        return {n: masked(s, s["fn"].log_prob(s["value"])) for n, s in seen.items()}

    return jax.vmap(single)(draws)
