"""Stochastic variational inference: fit the parameters of model and guide."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pyrox._pytree import Pytree, static
from pyrox.dist.transforms import Transform
from pyrox.errors import ModelError, SamplingError
from pyrox.model.handlers import substitute
from pyrox.progress import start_progress
from pyrox.runner import Interrupts, Runner
from pyrox.typing import Array, Key, Tree
from pyrox.vi.batches import Arguments, Feed, as_arguments, first_batch, to_device
from pyrox.vi.checks import find_params, require_fitting
from pyrox.vi.joint import collect_data
from pyrox.vi.loop import FitJob, Position, UpdateLoop, block_length
from pyrox.vi.optim import as_optimizer
from pyrox.vi.terms import run_pair, site_report


class SVIState(Pytree):
    """Where a fit stands. It also unpacks, ``state, get_params = svi.init(...)``.

    Attributes
    ----------
    optim_state
        State of the optimizer, with the unconstrained parameters.
    rng_key
        The key from which the next step's random numbers follow.
    transforms
        From unconstrained space to the constraint, by parameter.
    optim
        The optimizer.

    Examples
    --------
    >>> import jax
    >>> import pyrox as px
    >>> from pyrox.vi import SVI, ELBO, AutoNormal, optim
    >>> with px.Model() as model:
    ...     x = px.Normal("x", 1.0, 0.5)
    >>> svi = SVI(model, AutoNormal(model), optim.Adam(0.02), ELBO())
    >>> state = svi.init(jax.random.key(0))
    >>> state, loss = svi.update(state)
    >>> sorted(state.get_params())
    ['x_auto_loc', 'x_auto_scale']
    """

    optim_state: Any
    rng_key: Key
    transforms: dict[str, Transform]
    optim: Any = static()

    def get_params(self, state: Any = None) -> dict[str, Any]:
        """Give the constrained parameters of a state, or of unconstrained parameters by name."""
        at = self if state is None else state
        params = at.optim.get_params(at.optim_state) if isinstance(at, SVIState) else at
        return constrain(self.transforms, params)

    def __iter__(self) -> Any:
        return iter((self, self.get_params))


def constrain(transforms: Mapping[str, Transform], params: Mapping[str, Any]) -> dict[str, Any]:
    """Give the values of unconstrained parameters."""
    return {name: transforms[name](x) if name in transforms else x for name, x in params.items()}


class SVIRunResult(NamedTuple):
    """What a fit has found.

    Attributes
    ----------
    params
        The best parameters, constrained, by name.
    state
        Where the fit stood at these parameters: ``svi.run(..., init_state=state)`` goes on from there.
    losses
        The loss before each step; NaN where a step was left out.
    converged
        Whether the loss had stopped falling.

    Examples
    --------
    >>> import jax
    >>> import pyrox as px
    >>> from pyrox.vi import SVI, ELBO, AutoNormal, optim
    >>> with px.Model() as model:
    ...     x = px.Normal("x", 1.0, 0.5)
    >>> svi = SVI(model, AutoNormal(model), optim.Adam(0.02), ELBO())
    >>> result = svi.run(jax.random.key(0), 1000, progress_bar=False)
    >>> abs(float(result.params["x_auto_loc"]) - 1.0) < 0.2, result.converged
    (True, True)
    """

    params: dict[str, Any]
    state: SVIState
    losses: np.ndarray
    converged: bool


class SVI:
    r"""Fit the parameters of a model and of a guide, by gradients of a bound that is estimated from draws.

    .. math:: \max_{\theta, \phi} \mathcal L(\theta, \phi)

    Parameters
    ----------
    model, guide
        Programs with the same latent variables; their ``param`` sites, and the networks of ``module``, are fitted.
    optim
        An optimizer of ``pyrox.vi.optim``, or an optax transformation.
    loss
        The objective, such as ``ELBO()``.
    **static_kwargs
        Arguments of model and guide that stay the same.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> import pyrox.dist as dist
    >>> from pyrox.dist import constraints
    >>> from pyrox.model.primitives import param, plate, sample
    >>> from pyrox.vi import ELBO, SVI, optim
    >>> def model(flips):
    ...     fairness = sample("fairness", dist.Beta(10.0, 10.0))
    ...     with plate("flip", 10):
    ...         sample("y", dist.Bernoulli(fairness), obs=flips)
    >>> def guide(flips):
    ...     a = param("a", 15.0, constraint=constraints.positive)
    ...     b = param("b", 15.0, constraint=constraints.positive)
    ...     sample("fairness", dist.Beta(a, b))
    >>> svi = SVI(model, guide, optim.Adam(0.01), ELBO())
    >>> flips = jnp.array([1, 1, 1, 1, 1, 1, 0, 0, 0, 0])
    >>> state = svi.init(jax.random.key(0), flips)
    >>> state, loss = svi.update(state, flips)
    >>> sorted(svi.get_params(state))
    ['a', 'b']
    >>> result = svi.run(jax.random.key(0), 2000, flips, progress_bar=False)
    >>> a, b = result.params["a"], result.params["b"]
    >>> bool(abs(a / (a + b) - 16 / 30) < 0.03)
    True
    """

    def __init__(self, model: Callable, guide: Callable, optim: Any, loss: Any, **static_kwargs: Any) -> None:
        for what, fn in (("model", model), ("guide", guide)):
            if not callable(fn):
                raise ModelError(f"SVI: {what} is a px.Model or a function of primitives; met {fn!r}")
            if isinstance(fn, type):
                raise ModelError(f"SVI: {what} is the class {fn.__name__}: write {fn.__name__}(model)")
        if not hasattr(loss, "loss") or isinstance(loss, type):
            raise ModelError(f"SVI: loss is an objective such as ELBO(); met {loss!r}")
        self.model, self.guide, self.loss, self.static_kwargs = model, guide, loss, static_kwargs
        self.optim = as_optimizer(optim)

    def init(self, rng_key: Key, *args: Any, **kwargs: Any) -> SVIState:
        """Find the parameters, and start the optimizer.

        Parameters
        ----------
        rng_key
            A JAX key.
        *args, **kwargs
            Arguments of model and guide.

        Returns
        -------
        The state; ``state, get_params = svi.init(...)`` also gives the function that reads its parameters.

        Raises
        ------
        ModelError
            If model and guide do not have the same latent variables, or there is nothing to fit.
        SupportError
            If a site of the guide draws values that its site of the model does not allow.
        """
        kwargs = {**kwargs, **self.static_kwargs}
        rng_key, key_setup, key_run = jax.random.split(_typed(rng_key), 3)
        if hasattr(self.guide, "setup"):
            self.guide.setup(key_setup, args, kwargs)
        params, transforms, drawn, seen = find_params(key_run, self.model, self.guide, args, kwargs)
        require_fitting(drawn, seen)
        if not params:
            raise ModelError("neither model nor guide has a parameter to fit: state one with param(name, value)")
        return SVIState(self.optim.init(params), rng_key, transforms, self.optim)

    def get_params(self, svi_state: SVIState) -> dict[str, Any]:
        """Give the values of the parameters, in their constraints, by name."""
        return svi_state.get_params()

    def _loss(self, transforms: Mapping[str, Transform], params: Tree, key: Key, args: tuple, kwargs: Mapping) -> Array:
        values = constrain(transforms, params)
        kwargs = {**kwargs, **self.static_kwargs}
        return self.loss.loss(key, values, self.model, self.guide, *args, **kwargs)

    def update(self, svi_state: SVIState, *args: Any, **kwargs: Any) -> tuple[SVIState, Array]:
        """Make one step, possibly on a batch of the data.

        Parameters
        ----------
        svi_state
            The state.
        *args, **kwargs
            Arguments of model and guide.

        Returns
        -------
        The new state, and the loss before the step.
        """
        rng_key, key_step = jax.random.split(svi_state.rng_key)
        value_fn = lambda params: self._loss(svi_state.transforms, params, key_step, args, kwargs)  # noqa: E731
        value, gradient = jax.value_and_grad(value_fn)(self.optim.get_params(svi_state.optim_state))
        optim_state = self.optim.update(gradient, svi_state.optim_state, value=value, value_fn=value_fn)
        return svi_state.replace(optim_state=optim_state, rng_key=rng_key), value

    def evaluate(self, svi_state: SVIState, *args: Any, **kwargs: Any) -> Array:
        """Estimate the loss at the present parameters.

        Parameters
        ----------
        svi_state
            The state.
        *args, **kwargs
            Arguments of model and guide.
        """
        key = jax.random.split(svi_state.rng_key)[1]
        params = self.optim.get_params(svi_state.optim_state)
        return self._loss(svi_state.transforms, params, key, args, kwargs)

    def run(
        self,
        rng_key: Key,
        num_steps: int,
        *args: Any,
        progress_bar: bool = True,
        init_state: SVIState | None = None,
        early_stopping: bool = True,
        batches: Iterable | None = None,
        **kwargs: Any,
    ) -> SVIRunResult:
        """Fit: make up to ``num_steps`` steps, compiled, and give the best parameters.

        Ctrl-C ends the run and keeps what it has found. Steps whose loss or gradient is not finite are left out; ten
        in a row end the run.

        Parameters
        ----------
        rng_key
            A JAX key.
        num_steps
            Most steps to make.
        *args, **kwargs
            Arguments of model and guide; arrays among them are data, which may change without compiling again.
        progress_bar
            Whether to show progress.
        init_state
            Where to start; None calls ``init``.
        early_stopping
            Whether to stop when the loss no longer falls, by a test at the 5 % level over the last two thirds.
        batches
            An iterable of the arguments of single steps, instead of ``*args``: each a tuple (by position), a mapping
            (by name) or one array. It is read ahead, and again from its start when it ends. The model's ``plate``
            tells the size of the whole: ``plate("row", size, subsample_size=len(x))``.

        Returns
        -------
        The best parameters, over means of blocks of steps, with the state there and all losses.

        Raises
        ------
        SamplingError
            If the loss or its gradient is not finite ten times in a row; it names the sites. Its ``result`` holds
            what had been found before.
        """
        if isinstance(num_steps, bool) or not isinstance(num_steps, int | np.integer) or num_steps < 1:
            raise ValueError(f"num_steps is a whole number of at least 1; met {num_steps!r}")
        if batches is not None and (args or kwargs):
            raise ModelError("svi.run: give the arguments of model and guide, or batches of them, not both")
        with Interrupts() as interrupts:
            return self._run(
                rng_key, int(num_steps), args, kwargs, progress_bar, init_state, early_stopping, batches, interrupts
            )

    def _run(
        self, rng_key: Key, num_steps: int, args: tuple, kwargs: Mapping, progress_bar: bool,  # noqa: FBT001
        init_state: SVIState | None, early_stopping: bool, batches: Iterable | None, interrupts: Interrupts,  # noqa: FBT001
    ) -> SVIRunResult:  # fmt: skip
        feed = None
        if batches is not None:
            first, batches = first_batch(batches)
            args, kwargs = as_arguments(first)
        state = self.init(rng_key, *args, **kwargs) if init_state is None else init_state
        arguments, arrays = Arguments.split(args, kwargs)
        known = to_device(collect_data(self.model, args, {**kwargs, **self.static_kwargs}))
        fixed = (dict(state.transforms), known)
        loop = self._loop(arguments, block_length(num_steps), batched=batches is not None)
        if batches is not None:
            feed = Feed(batches, lambda batch: Arguments.split(*as_arguments(batch))[1])
        data = fixed if feed else (fixed, to_device(arrays))
        start = Position(state.optim_state, jax.random.key_data(state.rng_key))
        job = FitJob(loop, start, data, num_steps, feed=feed, rates=(1.0,) if early_stopping else ())
        progress = start_progress(num_steps, "Fitting", show=progress_bar)
        try:
            complete = Runner([job], 1, progress, job.describe, interrupts).run()
        finally:
            progress.close()
            if feed is not None:
                feed.close()
        return self._finish(job, state, arguments, complete=complete)

    def _loop(self, arguments: Arguments, block: int, *, batched: bool) -> UpdateLoop:
        def loss(params: Tree, key: Key, data: Tree) -> Array:
            (transforms, known), arrays = data
            args, kwargs = arguments.join(arrays)
            kwargs = {**kwargs, **self.static_kwargs}
            model = substitute(self.model, known) if known else self.model
            return self.loss.loss(key, constrain(transforms, params), model, self.guide, *args, **kwargs)

        return UpdateLoop(loss, self.optim, block, batched=batched)

    def _finish(self, job: FitJob, state: SVIState, arguments: Arguments, *, complete: bool) -> SVIRunResult:
        result = _result_of(job, state)
        if job.failure is not None:
            error = SamplingError(self._explain(job, state, arguments))
            error.result = result
            raise error
        if not complete:
            warnings.warn(f"the fit was interrupted after {job.steps} of {job.total} steps", stacklevel=4)
        elif job.skipped:
            told = f"{job.skipped} of {job.steps} steps, the first at step {job.first_skipped}"
            warnings.warn(f"the loss or its gradient was not finite at {told}: they were left out", stacklevel=4)
        return result

    def _explain(self, job: FitJob, state: SVIState, arguments: Arguments) -> str:
        failure = job.failure
        (transforms, known), arrays = failure.data
        args, kwargs = arguments.join(arrays)
        kwargs = {**kwargs, **self.static_kwargs}
        params = constrain(transforms, self.optim.get_params(failure.position.optim))
        model = substitute(self.model, known) if known else self.model
        begin = f"the loss or its gradient was not finite at step {failure.step}, nor at the next ones"
        rows: list[str] = []
        for i in range(10):
            drawn, seen = run_pair(jax.random.key(i), params, model, self.guide, args, kwargs)
            rows = site_report({"guide": drawn, "model": seen})
            if rows:
                break
        names = ", ".join(params)
        if not rows:
            return (
                f"{begin}, though every site is finite there: a derivative is not. Look for sqrt, log or division at 0 "
                f"in what depends on the parameters {names}"
            )
        return (
            f"{begin}. At these sites:\n" + "\n".join(rows) + "\nGive a parameter that must stay in a set its "
            "constraint, param(name, value, constraint=...); else take smaller steps or another start"
        )


def _result_of(job: FitJob, state: SVIState) -> SVIRunResult:
    position = job.position if job.best is None else job.best[3]
    best = state.replace(optim_state=position.optim, rng_key=jax.random.wrap_key_data(jnp.asarray(position.key)))
    return SVIRunResult(best.get_params(), best, job.losses[: job.steps], job.converged)


def _typed(key: Key) -> Key:
    if not isinstance(key, jax.Array | np.ndarray):
        raise ModelError(f"rng_key is a JAX key, jax.random.key(0); met {key!r}")
    return key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)
