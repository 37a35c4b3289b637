"""Handlers that turn statements into others: interventions, priors on parameters, new names."""

from collections.abc import Callable, Mapping
from typing import Any

from pyrox.dist import Distribution
from pyrox.errors import ModelError
from pyrox.model.messenger import Message, Messenger, Rewriter


class do(Rewriter):
    """Intervene: what follows a site sees the given value, while the site itself goes on as if nothing had happened.

    Together with ``condition`` this gives counterfactuals: condition the site that goes on, intervene on its effects.

    Parameters
    ----------
    fn
        The program.
    data
        Values by site name.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.handlers import do, seed, trace
    >>> from pyrox.model.primitives import sample
    >>> def program():
    ...     a = sample("a", dist.Normal(0.0, 1.0))
    ...     return sample("b", dist.Normal(a, 1.0))
    >>> record = trace(do(seed(program, 0), {"a": 10.0})).get_trace()
    >>> float(record["b"]["fn"].loc), bool(record["a"]["value"] == 10.0)
    (10.0, False)
    """

    def __init__(self, fn: Callable | None = None, data: Mapping[str, Any] | None = None) -> None:
        self.fn = fn
        if data is None:
            raise ValueError("do needs data: values by site name")
        self.data = data

    def rewrite(self, msg: Message, send: Callable[[Message], Message]) -> None:
        if msg["type"] not in ("sample", "deterministic") or msg["name"] not in self.data:
            return
        if msg["type"] == "deterministic":
            msg["value"] = self.data[msg["name"]]
            return
        # The site goes on outside under its name, with its own value; the program gets the intervention.
        send(msg.copy())
        msg["value"], msg["is_observed"], msg["stop"] = self.data[msg["name"]], False, True


class lift(Messenger):
    """Turn parameters into random variables.

    Parameters
    ----------
    fn
        The program.
    prior
        Distributions by name of the parameter, one distribution for all, or a function of a message that gives one,
        or None to leave the parameter alone. A distribution of a number is repeated to the parameter's shape.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.handlers import lift, seed, trace
    >>> from pyrox.model.primitives import param
    >>> program = lift(lambda: param("loc", 0.0), {"loc": dist.Normal(0.0, 1.0)})
    >>> trace(seed(program, 0)).get_trace()["loc"]["type"]
    'sample'
    """

    def __init__(self, fn: Callable | None = None, prior: Any = None) -> None:
        self.fn = fn
        if prior is None:
            raise ValueError("lift needs prior: a distribution, or distributions by name of the parameter")
        self.prior = prior

    def process_message(self, msg: Message) -> None:
        if msg["type"] != "param" or msg["value"] is not None:
            return
        if isinstance(self.prior, Mapping):
            prior = self.prior.get(msg["name"])
        else:
            prior = self.prior if isinstance(self.prior, Distribution) else self.prior(msg)
        if prior is None:
            return
        start = msg["args"][0]
        if hasattr(start, "shape") and not prior.batch_shape and start.shape[start.ndim - prior.event_dim :] == (
            prior.event_shape
        ):
            prior = prior.expand(start.shape[: start.ndim - prior.event_dim])
        msg["type"], msg["fn"], msg["args"] = "sample", prior, ()
        msg["kwargs"] = {"rng_key": msg["kwargs"].get("rng_key"), "sample_shape": ()}


class scope(Messenger):
    """Put a prefix before the names of sites and plates, so that a program can be used more than once in another.

    Parameters
    ----------
    fn
        The program.
    prefix
        The prefix.
    divider
        What stands between prefix and name.
    hide_types
        Types of messages whose names stay.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.handlers import scope, seed, trace
    >>> from pyrox.model.primitives import sample
    >>> program = lambda: sample("x", dist.Normal(0.0, 1.0))
    >>> with trace() as record, seed(rng_seed=0):
    ...     total = scope(program, "a")() + scope(program, "b")()
    >>> list(record)
    ['a/x', 'b/x']
    """

    def __init__(
        self,
        fn: Callable | None = None,
        prefix: str = "",
        divider: str = "/",
        hide_types: tuple[str, ...] | None = None,
    ) -> None:
        self.fn, self.prefix, self.divider = fn, prefix, divider
        self.hide_types = tuple(hide_types or ())
        if not isinstance(prefix, str) or not prefix:
            raise ModelError(f"scope needs a prefix, a str; met {prefix!r}")

    def process_message(self, msg: Message) -> None:
        if msg["type"] not in self.hide_types:
            msg["name"] = self._prefixed(msg["name"])
        if "plate" not in self.hide_types and msg["plates"]:
            msg["plates"] = tuple(frame._replace(name=self._prefixed(frame.name)) for frame in msg["plates"])

    def _prefixed(self, name: str) -> str:
        return f"{self.prefix}{self.divider}{name}"


class uncondition(Messenger):
    """Forget observed values: observed sites are drawn.

    ``infer`` then holds ``was_observed=True`` and the value as ``obs``.

    Parameters
    ----------
    fn
        The program.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.handlers import seed, trace, uncondition
    >>> from pyrox.model.primitives import sample
    >>> program = uncondition(lambda: sample("x", dist.Normal(0.0, 1.0), obs=3.0))
    >>> record = trace(seed(program, 0)).get_trace()
    >>> record["x"]["is_observed"], bool(record["x"]["value"] == 3.0)
    (False, False)
    """

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "sample" and msg["is_observed"]:
            msg["infer"] = {**msg["infer"], "was_observed": True, "obs": msg["value"]}
            msg["value"], msg["is_observed"] = None, False


class infer_config(Messenger):
    """Add hints for inference to statements.

    Parameters
    ----------
    fn
        The program.
    config_fn
        Function of a message that gives a dict to add to its field ``infer``.

    Examples
    --------
    >>> import pyrox.dist as dist
    >>> from pyrox.model.handlers import infer_config, seed, trace
    >>> from pyrox.model.primitives import sample
    >>> program = seed(lambda: sample("x", dist.Normal(0.0, 1.0)), 0)
    >>> trace(infer_config(program, lambda site: {"initval": 0.5})).get_trace()["x"]["infer"]
    {'initval': 0.5}
    """

    def __init__(self, fn: Callable | None = None, config_fn: Callable[[Message], dict] | None = None) -> None:
        self.fn = fn
        if config_fn is None:
            raise ValueError("infer_config needs config_fn: a function of a message that gives a dict")
        self.config_fn = config_fn

    def process_message(self, msg: Message) -> None:
        if msg["type"] in ("sample", "param"):
            msg["infer"] = {**msg["infer"], **(self.config_fn(msg) or {})}
