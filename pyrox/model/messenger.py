"""Messages and the stack of handlers that they pass through."""

from collections.abc import Callable
from contextvars import ContextVar
from copy import copy
from typing import Any, NamedTuple

import jax

from pyrox.dist import Distribution, biject_to, constraints
from pyrox.dist.standard import FAMILIES, StandardForm, standard_form
from pyrox.dist.transforms import ComposeTransform, Transform
from pyrox.errors import ModelError, ShapeError
from pyrox.typing import Shape

Message = dict[str, Any]

# An immutable tuple in a context variable: threads and nested runs never see one another's handlers.
_STACK: ContextVar[tuple[Any, ...]] = ContextVar("pyrox_handlers", default=())


class Frame(NamedTuple):
    """One plate around a statement.

    Attributes
    ----------
    name
        Name of the plate.
    dim
        Its batch axis, counted from the right: -1, -2, ...
    size
        Length of that axis, which is the size of the subsample where there is one.
    """

    name: str
    dim: int
    size: int


class Messenger:
    """A handler: a context manager, and a wrapper of functions and of models.

    A statement makes a *message*, a dict; the active handlers see it innermost first (``process_message``), then its
    value is computed, then the same handlers see it again, outermost first (``postprocess_message``). To write a
    handler, override one of the two. A handler keeps no state between runs: if a run has something to remember, let
    ``begin()`` return a new object with these two methods.

    The fields of a message:

    ``type``
        ``"sample"``, ``"param"``, ``"deterministic"``, ``"factor"``, ``"plate"``, ``"data"`` or ``"constant"``.
    ``name``
        Name of the site.
    ``fn``
        A distribution (sample), else the function that computes the value from ``args`` and ``kwargs``.
    ``args``, ``kwargs``
        Arguments of ``fn``; for sample sites ``rng_key`` and ``sample_shape``, for params ``constraint``.
    ``value``
        None until somebody sets it: what a handler puts here is what the statement returns.
    ``is_observed``
        Whether the value of a sample site is data.
    ``scale``, ``mask``
        Factor and mask of the site's log-density, or None.
    ``infer``
        Hints for inference: ``initval``, ``exact`` (the value must have the shape of ``fn``), ``transform``,
        ``noncentered`` (samplers see the standard form of ``fn``), whatever a handler adds.
        Replace the dict, do not change it: other runs may share it.
    ``plates``
        The plates around the statement, innermost first: tuples ``(name, dim, size)``.
    ``intermediates``
        What the transforms of a transformed distribution went through.
    ``dims``
        Names of the axes of the value, or None.
    ``stop``
        Set to True to hide the message from the handlers further out.

    Parameters
    ----------
    fn
        The function, or ``Model``, to run under the handler; None to use it in a ``with`` block.

    Examples
    --------
    A handler of one's own takes two lines, and works on functions and on models:

    >>> import pyrox.dist as dist
    >>> from pyrox.model import Model, Normal
    >>> from pyrox.model.handlers import Messenger, seed
    >>> from pyrox.model.primitives import sample
    >>> class shout(Messenger):
    ...     def process_message(self, msg): print(msg["name"].upper())
    >>> value = shout(seed(lambda: sample("x", dist.Normal(0.0, 1.0)), 0))()
    X
    >>> with Model() as model:
    ...     mu = Normal("mu", 0.0, 1.0)
    >>> values = shout(seed(model, 0))()
    MU
    """

    fn: Callable | None = None

    def __init__(self, fn: Callable | None = None) -> None:
        self.fn = fn

    def begin(self) -> Any:
        """Give the object that handles the messages of one run."""
        return self

    def process_message(self, msg: Message) -> None:
        """See a message on its way out, before its value is computed."""

    def postprocess_message(self, msg: Message) -> None:
        """See a message on its way back, with its value."""

    def __enter__(self) -> Any:
        run = self.begin()
        _STACK.set((*_STACK.get(), run))
        return run

    def __exit__(self, *exc: object) -> None:
        _STACK.set(_STACK.get()[:-1])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.fn is None:
            if len(args) == 1 and callable(args[0]) and not kwargs:
                return self.around(args[0])
            raise TypeError(f"{type(self).__name__} wraps no function: use it in a with block, or give it one")
        if not callable(self.fn):
            raise ModelError(f"{type(self).__name__} wraps a function of primitives or a px.Model; met {self.fn!r}")
        with self:
            return self.fn(*args, **kwargs)

    def around(self, fn: Callable) -> "Messenger":
        """Give the same handler around another function."""
        wrapped = copy(self)
        wrapped.fn = fn
        return wrapped

    def __repr__(self) -> str:
        inside = "" if self.fn is None else getattr(self.fn, "__name__", repr(self.fn))
        return f"{type(self).__name__}({inside})"


class Rewriter(Messenger):
    """A handler that may make further statements of its own: override ``rewrite(msg, send)``.

    ``send(message)`` passes a message to the handlers further out only. A copy of the message at hand has gone
    through those further in, and bears their marks: plates, scale, mask, random numbers.

    Parameters
    ----------
    fn
        The function, or ``Model``, to run under the handler; None to use it in a ``with`` block.

    Examples
    --------
    A handler that keeps every normal variable in its standard form:

    >>> import pyrox.dist as dist
    >>> from pyrox.handlers import Rewriter, seed, trace
    >>> from pyrox.primitives import sample
    >>> class Standardise(Rewriter):
    ...     def rewrite(self, msg, send):
    ...         d = msg["fn"]
    ...         if msg["type"] == "sample" and isinstance(d, dist.Normal) and not msg["is_observed"]:
    ...             z = send({**msg, "name": f"{msg['name']}_z", "fn": dist.Normal(0.0, 1.0)})["value"]
    ...             msg.update(type="deterministic", value=d.loc + d.scale * z)
    >>> program = Standardise(lambda: sample("x", dist.Normal(3.0, 2.0)))
    >>> list(trace(seed(program, 0)).get_trace())
    ['x_z', 'x']
    """

    def begin(self) -> Any:
        return _Rewriting(self, len(_STACK.get()))

    def rewrite(self, msg: Message, send: Callable[[Message], Message]) -> None:
        """See a message on its way out."""
        raise NotImplementedError(f"{type(self).__name__} must define rewrite")


class _Rewriting:
    """One run of a rewriter, which knows how many handlers are further out."""

    def __init__(self, handler: Rewriter, depth: int) -> None:
        self.handler, self.depth = handler, depth

    def process_message(self, msg: Message) -> None:
        self.handler.rewrite(msg, self.send)

    def postprocess_message(self, msg: Message) -> None:
        pass

    def send(self, msg: Message) -> Message:
        return _pass(msg, _STACK.get()[: self.depth])


def handler_depth() -> int:
    """Tell how many handlers are active."""
    return len(_STACK.get())


def active_handlers() -> tuple[Any, ...]:
    """Give the active handlers' runs, outermost first."""
    return _STACK.get()


_DEFAULTS = {
    "value": None, "is_observed": False, "scale": None, "mask": None, "plates": (), "dims": None, "stop": False,
}  # fmt: skip


def make_message(type: str, name: str, fn: Any, **fields: Any) -> Message:
    """Make a message with every field, those not given at their defaults."""
    if not isinstance(name, str):
        raise ModelError(f"the first argument of a statement is its name, a str; met {name!r}")
    fresh = {"type": type, "name": name, "fn": fn, "args": (), "kwargs": {}, "infer": {}, "intermediates": []}
    return {**fresh, **_DEFAULTS, **fields}


def apply_stack(msg: Message) -> Message:
    """Pass a message through the active handlers and compute its value."""
    return _pass(msg, _STACK.get())


def _pass(msg: Message, stack: tuple[Any, ...]) -> Message:
    seen = 0
    try:
        for run in reversed(stack):
            seen += 1
            run.process_message(msg)
            if msg["stop"]:
                break
        if msg["value"] is None:
            compute(msg)
        for run in stack[len(stack) - seen :]:
            run.postprocess_message(msg)
    except jax.errors.UnexpectedTracerError as error:
        raise leak_error(msg) from error
    except ShapeError as error:
        if not hasattr(error, "site"):
            error.site = msg["name"]
        raise
    return msg


def leak_error(msg: Message) -> ModelError:
    """Say where a placeholder of a finished JAX transformation has turned up."""
    return ModelError(
        f"{msg['type']} {msg['name']!r}: a value here belongs to a jit, vmap or grad that is over (a tracer leak). "
        "Return it from that function, do not keep it in a list, a global variable or an attribute"
    )


def compute(msg: Message) -> None:
    """Compute the value that no handler has set."""
    fn, kwargs = msg["fn"], msg["kwargs"]
    if msg["type"] != "sample":
        msg["value"] = fn(*msg["args"], **kwargs)
        return
    key = kwargs["rng_key"]
    if key is None:
        raise ModelError(
            f"sample({msg['name']!r}) needs randomness: run the program under handlers.seed(program, rng_seed=0), "
            "or give a value by substitute, condition or obs="
        )
    if isinstance(fn, Distribution):
        if msg["intermediates"] is not None and hasattr(fn, "transforms"):
            msg["value"], msg["intermediates"] = fn.sample_with_intermediates(key, kwargs["sample_shape"])
        else:
            msg["value"] = fn.sample(key, kwargs["sample_shape"])
    else:
        msg["value"] = fn(*msg["args"], **kwargs)


def transform_of(msg: Message) -> Transform:
    """Give the bijection from unconstrained space for a site: that of the support, or the statement's own.

    One that leads to real numbers alone is gone through first, that of the support after it.
    """
    own, form = msg["infer"].get("transform"), noncentered_form(msg)
    if form is not None:
        return ComposeTransform((biject_to(form.base.support), form.transform))
    if own is None or not constraints.is_real(own.codomain):
        return biject_to(msg["fn"].support) if own is None else own
    # Ordered, say, but not positive: the support's own transform goes on from there.
    onto = biject_to(msg["fn"].support)
    return own if constraints.is_real(onto.codomain) else ComposeTransform((own, onto))


def noncentered_form(msg: Message) -> StandardForm | None:
    """Give the standard form of a site that is to be explored through it; None for all others.

    Raises
    ------
    ModelError
        If its distribution has none.
    """
    if not msg["infer"].get("noncentered"):
        return None
    return require_standard_form(msg["fn"], msg["name"])


def require_standard_form(d: Distribution, name: str) -> StandardForm:
    """Give the standard form of a distribution, or say which ones have one."""
    form = standard_form(d)
    if form is None:
        while not d.params and hasattr(d, "base_dist"):
            d = d.base_dist
        raise ModelError(
            f"{name}: a {type(d).__name__} cannot be non-centred, it has no location and scale to take out; "
            f"what can: {FAMILIES}"
        )
    return form


def shape_of(msg: Message) -> Shape | None:
    """Give the shape of a draw at a sample site; None where no distribution tells it."""
    fn = msg["fn"]
    if not isinstance(fn, Distribution):
        return None
    return (*msg["kwargs"]["sample_shape"], *fn.batch_shape, *fn.event_shape)


def has_tracer(tree: Any) -> bool:
    """Tell whether any leaf is a placeholder of a JAX transformation."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def require_new(names: dict[str, Message], msg: Message) -> None:
    """Refuse a name that a former statement of the run has; a plate may be stated again with its size."""
    former = names.get(msg["name"])
    if former is None:
        return
    if not former["type"] == msg["type"] == "plate":
        raise ModelError(f"the name {msg['name']!r} is used by two statements: every site needs its own name")
    size, subsample_size = msg["args"]
    if former["args"] != msg["args"]:
        raise ShapeError(
            f"plate {msg['name']!r} is stated with (size, subsample_size) {former['args']}, then with {msg['args']}: "
            "give the second one another name"
        )
    if size != subsample_size:
        raise ModelError(
            f"plate {msg['name']!r} draws its subsample twice: make it once, p = plate({msg['name']!r}, {size}, "
            f"{subsample_size}), and enter it as often as needed, with p: ..."
        )
