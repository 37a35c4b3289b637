"""Where inference starts: strategies for each site, and the search for a point of finite density."""

from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import Any

import jax
import jax.numpy as jnp

from pyrox.dist import Distribution, biject_to, constraints
from pyrox.errors import ModelError, ShapeError
from pyrox.model.evaluate import Values, base_transform, potential_energy
from pyrox.model.handlers import as_key, seed, substitute, trace
from pyrox.model.messenger import Message, shape_of, transform_of
from pyrox.typing import Array, Key

Strategy = Callable[[Message], Any]

_MAX_TRIES = 100


def _is_free(msg: Message) -> bool:
    """Tell whether a site is a continuous variable that nobody has given a value."""
    fn = msg["fn"]
    return (
        msg["type"] == "sample"
        and not msg["is_observed"]
        and msg["value"] is None
        and isinstance(fn, Distribution)
        and not fn.is_discrete
    )


def _key_of(msg: Message) -> Key:
    key = msg["kwargs"].get("rng_key")
    if key is None:
        raise ModelError(
            f"no random numbers to start {msg['name']!r} with: seed the program inside, "
            "substitute(seed(program, 0), substitute_fn=strategy)"
        )
    return key


def _or_message(strategy: Callable[..., Strategy]) -> Callable[..., Any]:
    """Let a strategy be passed without the call, ``init_to_median`` for ``init_to_median()``: it meets a message."""

    @wraps(strategy)
    def made_or_applied(*args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and isinstance(args[0], Mapping):
            return strategy()(args[0])
        return strategy(*args, **kwargs)

    return made_or_applied


@_or_message
def init_to_uniform(radius: float = 2.0) -> Strategy:
    """Start at a random point of a box around 0 in unconstrained space.

    Parameters
    ----------
    radius
        Half the side of the box.

    Returns
    -------
    A function of a message that gives the start of its site, for ``substitute(substitute_fn=...)``.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model import init_to_uniform
    >>> from pyrox.model.handlers import seed, substitute
    >>> from pyrox.model.primitives import sample
    >>> program = seed(lambda: sample("x", dist.HalfNormal(1.0)), 0)
    >>> bool(substitute(program, substitute_fn=init_to_uniform(radius=0.1))() < 1.2)
    True
    """
    return partial(_uniform, radius=radius)


def _uniform(msg: Message, radius: float) -> Any:
    if not _is_free(msg):
        return None
    transform = transform_of(msg)
    shape = tuple(transform.inverse_shape(shape_of(msg)))
    return transform(jax.random.uniform(_key_of(msg), shape, minval=-radius, maxval=radius))


@_or_message
def init_to_feasible() -> Strategy:
    """Start at the image of 0 in each support, whatever the parameters of the distributions.

    Returns
    -------
    A function of a message that gives the start of its site.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model import init_to_feasible
    >>> from pyrox.model.handlers import substitute
    >>> from pyrox.model.primitives import sample
    >>> float(substitute(lambda: sample("x", dist.HalfNormal(7.0)), substitute_fn=init_to_feasible())())
    1.0
    """
    return _feasible


def _feasible(msg: Message) -> Any:
    if not _is_free(msg):
        return None
    transform = transform_of(msg)
    return transform(jnp.zeros(tuple(transform.inverse_shape(shape_of(msg)))))


@_or_message
def init_to_prior() -> Strategy:
    """Start at a draw from the prior; in a box around 0 where a prior cannot be drawn from.

    Returns
    -------
    A function of a message that gives the start of its site.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model import init_to_prior
    >>> from pyrox.model.handlers import seed, substitute
    >>> from pyrox.model.primitives import sample
    >>> substitute(seed(lambda: sample("x", dist.Normal(0.0, 1.0)), 0), substitute_fn=init_to_prior())().shape
    ()
    """
    return partial(_prior, num_samples=1)


@_or_message
def init_to_median(num_samples: int = 15) -> Strategy:
    """Start at the median of draws from the prior; in a box around 0 where a prior cannot be drawn from.

    The median is taken in unconstrained space, so that it lies in the support of vectors and matrices too.

    Parameters
    ----------
    num_samples
        Number of draws.

    Returns
    -------
    A function of a message that gives the start of its site.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model import init_to_median
    >>> from pyrox.model.handlers import seed, substitute
    >>> from pyrox.model.primitives import sample
    >>> program = seed(lambda: sample("x", dist.Normal(100.0, 0.01)), 0)
    >>> round(float(substitute(program, substitute_fn=init_to_median())()))
    100
    """
    if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples < 1:
        raise ValueError(f"init_to_median: num_samples is a whole number of at least 1; met {num_samples!r}")
    return partial(_prior, num_samples=num_samples)


def _prior(msg: Message, num_samples: int) -> Any:
    if not _is_free(msg):
        return None
    fn, shape = msg["fn"], msg["kwargs"]["sample_shape"]
    try:
        draws = fn.sample(_key_of(msg), (num_samples, *shape))
    except NotImplementedError:
        return _uniform(msg, radius=2.0)
    if msg["infer"].get("transform") is not None:
        return _uniform(msg, radius=2.0)  # draws need not lie where a transform of the statement's own leads
    if num_samples == 1:
        return draws[0]
    transform = biject_to(fn.support)
    return transform(jnp.median(jax.vmap(transform.inverse)(draws), axis=0))


def init_to_value(values: Values) -> Strategy:
    """Start at given values; the other sites in a box around 0 of unconstrained space.

    Parameters
    ----------
    values
        Values by site name.

    Returns
    -------
    A function of a message that gives the start of its site.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model import init_to_value
    >>> from pyrox.model.handlers import substitute
    >>> from pyrox.model.primitives import sample
    >>> substitute(lambda: sample("x", dist.Normal(0.0, 1.0)), substitute_fn=init_to_value({"x": 3.0}))()
    3.0
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"init_to_value takes values by site name; met {values!r}")
    if {"type", "fn", "is_observed"} <= values.keys():  # a message: the strategy was passed without the call
        raise ValueError('init_to_value needs its values: pass init_to_value({"x": 0.5}), with the call')
    return partial(_value, values=dict(values))


def _value(msg: Message, values: dict[str, Any]) -> Any:
    if msg["name"] in values and msg["type"] in ("sample", "param") and not msg["is_observed"]:
        return values[msg["name"]]
    return _uniform(msg, radius=2.0)


def find_valid_initial_params(
    rng_key: Key,
    model: Callable,
    *model_args: Any,
    init_strategy: Strategy = init_to_uniform(),  # noqa: B008 - the documented default, which has no state
    param_as_improper: bool = False,
    prototype_params: Values | None = None,
    **model_kwargs: Any,
) -> tuple[dict[str, Array], Array]:
    """Look for unconstrained values where the potential energy and its gradient are finite.

    Parameters
    ----------
    rng_key
        A JAX key, an array of keys, or an int.
    model
        A function of primitives, or a Model.
    *model_args, **model_kwargs
        Its arguments.
    init_strategy
        Function of a message that gives the start of a site, such as ``init_to_median()``.
    param_as_improper
        Whether parameters count as variables with a flat prior.
    prototype_params
        Values of the names and shapes of the result, which spare a run of the model.

    Returns
    -------
    The unconstrained values by site name, with the batch shape of ``rng_key``, and whether they are valid. For a site
    with a ``TransformedDistribution`` they are those of its base distribution.

    Raises
    ------
    ModelError
        If the program has no free continuous site, or a free discrete one.

    Examples
    --------
    >>> import jax
    >>> import pyrox.dist as dist
    >>> from pyrox.model import find_valid_initial_params, init_to_feasible
    >>> from pyrox.model.primitives import sample
    >>> program = lambda: sample("x", dist.HalfNormal(1.0))
    >>> params, valid = find_valid_initial_params(jax.random.key(0), program, init_strategy=init_to_feasible())
    >>> float(params["x"]), bool(valid)
    (0.0, True)
    """
    key = as_key(rng_key)
    key = key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)

    def propose(key: Key) -> dict[str, Array]:
        return _unconstrained_start(key, model, model_args, model_kwargs, init_strategy, param_as_improper)

    def energy(params: dict[str, Array]) -> Array:
        return potential_energy(model, model_args, model_kwargs, None, params)

    def attempt(state: tuple) -> tuple:
        tries, key, _, _ = state
        key, key_start = jax.random.split(key)
        params = propose(key_start)
        value, gradient = jax.value_and_grad(energy)(params)
        finite = [jnp.all(jnp.isfinite(x)) for x in (value, *jax.tree.leaves((params, gradient)))]
        return tries + 1, key, params, jnp.all(jnp.stack(finite))

    def search(key: Key) -> tuple[dict[str, Array], Array]:
        shapes = jax.eval_shape(propose, key) if prototype_params is None else prototype_params
        blank = jax.tree.map(lambda x: jnp.zeros(jnp.shape(x), jnp.result_type(float)), dict(shapes))
        start = (jnp.zeros((), int), key, blank, jnp.zeros((), bool))
        _, _, params, valid = jax.lax.while_loop(lambda s: (s[0] < _MAX_TRIES) & ~s[3], attempt, start)
        return params, valid

    for _ in range(key.ndim):
        search = jax.vmap(search)
    return search(key)


def _unconstrained_start(
    key: Key,
    model: Callable,
    args: tuple,
    kwargs: Mapping,
    strategy: Strategy,
    with_params: bool,  # noqa: FBT001
) -> dict[str, Array]:
    """Run the program at starts of a strategy; give the unconstrained values of its free sites."""
    record = trace(substitute(seed(model, key), substitute_fn=strategy)).get_trace(*args, **kwargs)
    out = {}
    for name, site in record.items():
        if site["type"] == "param" and with_params and site["value"] is not None:
            constraint = site["kwargs"].get("constraint", constraints.real)
            out[name] = jnp.asarray(biject_to(constraint).inv(site["value"]), float)
        elif site["type"] == "sample" and not site["is_observed"] and isinstance(site["fn"], Distribution):
            out[name] = _base_value(name, site)
    if not out:
        raise ModelError("the program has no free continuous sites: nothing to start")
    return out


def _base_value(name: str, site: Message) -> Array:
    fn, value = site["fn"], jnp.asarray(site["value"])
    if fn.is_discrete:
        raise ModelError(
            f"the free variable {name!r} is discrete ({type(fn).__name__}): it has no unconstrained value. "
            "Observe it, or sum it out of the program"
        )
    shape = shape_of(site)
    try:
        value = jnp.broadcast_to(value, shape).astype(float)
    except ValueError:
        raise ShapeError(f"the start of {name!r} has shape {value.shape}, the variable {shape}") from None
    for transform in reversed(getattr(fn, "transforms", ())):
        value = transform.inv(value)
    return base_transform(site).inv(value)
