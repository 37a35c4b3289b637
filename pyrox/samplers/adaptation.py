"""Learn during warm-up: what adapters are, how they compose, and the one for the step size.

An adapter is a frozen value with three moves, each of which returns its new state and the tuned kernel:

- ``start(kernel, state)`` after the first evaluation of the gradient;
- ``search(mine, kernel, info)`` after each probing leapfrog from the start, until all adapters are ``settled``;
- ``update(mine, kernel, moment)`` after each transition of the warm-up; it also tells whether the kernel has
  changed so much that those after it should begin anew.

Adapters are composed as a tuple and do not know one another.
"""

import math
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp

from pyrox._pytree import Pytree
from pyrox.samplers.kernel import Info, Kernel, State
from pyrox.typing import Array


class Moment(NamedTuple):
    """What an adapter learns from: one transition of the warm-up."""

    iteration: Array
    num_warmup: Array
    state: State
    info: Info
    moved: Array
    renewed: Array  # whether the metric is another one, or an adapter before this one asks to begin anew
    misfit: Array | float = 1.0  # how far from normal the posterior is, as far as that is known

    @property
    def settled_from(self) -> Array:
        """Iteration from which on the chain is taken to be where the posterior is: after 30 % of the warm-up."""
        return jnp.floor(0.3 * self.num_warmup).astype(jnp.int32)

    @property
    def metric_until(self) -> Array:
        """Iteration from which on the metric stays as it is: the last 15 % are for the step size."""
        return jnp.floor(0.85 * self.num_warmup).astype(jnp.int32)


class Adapter(Protocol):
    """One thing that is learnt during warm-up."""

    def start(self, kernel: Kernel, state: State) -> tuple[Any, Kernel]:
        """Set up at the first position."""
        ...

    def search(self, mine: Any, kernel: Kernel, info: Info) -> tuple[Any, Kernel, Array]:
        """Use a probing leapfrog; also tell whether no more are needed."""
        ...

    def update(self, mine: Any, kernel: Kernel, moment: Moment) -> tuple[Any, Kernel, Array]:
        """Use a transition; also tell whether those after this one should begin anew."""
        ...


class StepSizeState(NamedTuple):
    """Dual averaging in progress, in logs."""

    log_average: Array
    error_sum: Array
    center: Array
    count: Array
    direction: Array  # of the first search: 0 before it, then -1 or +1
    divergences: Array  # since the sampler has settled


class DualAveraging(Pytree):
    r"""Step size whose mean acceptance approaches the target.

    .. math::
        \log \epsilon_{n} = \mu - \frac{\sqrt n}{\gamma} \bar H_n, \qquad
        \bar H_n = (1 - \tfrac{1}{n + t_0}) \bar H_{n-1} + \tfrac{1}{n + t_0} (\delta - \alpha_n)

    The first step size is searched: halved or doubled until one leapfrog's acceptance crosses the target. When
    the metric has found another shape, the averaging starts anew.

    A mean acceptance says little where most of a posterior is wide and a corner of it is narrow: the steps that suit
    the mean diverge in the corner. So the target may rise: what is missing to 1 is halved for every 0.7 % of
    divergent transitions after the first 30 % of the warm-up.

    Corners can be narrower still, and a chain that comes into one would stay for as long as all it proposes diverges.
    So the draws of a chain that has met divergences after those 30 % take a quarter of the step at times: five times
    as often as it met them, and at most in a tenth of all. Such a mixture of kernels leaves the posterior as it is, as
    each of them does.

    A warm-up may not meet the corners of a posterior at all. Where the metric knows all correlations, so that steps are
    as long as a normal posterior would allow, its estimate tells how far from normal the posterior is; see
    ``estimate``. If this misfit is above 1.25, what is missing to 1 is divided by the fourth power of their ratio,
    down to 0.05, and up to 4 % of the draws are careful. A target of the user's own stays what it is.

    Attributes
    ----------
    target_accept
        The target at first, and the highest it may rise to after divergences, shape ``(2,)``; twice the same keeps to
        it, whatever the misfit.
    first_step_size
        Where the search begins.
    gamma, t0, kappa
        How strongly errors pull, how little the first ones count, and how fast the average forgets.
    halving
        Share of divergent transitions that halves what the target lacks to 1.
    careful
        Largest share of transitions with a quarter of the step.
    by_chance, strictest, unmet
        The 1.25, a misfit that a normal posterior may show; the 0.05; the 4 %.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import DiagonalMetric, DualAveraging, NUTSKernel, State
    >>> value_and_grad = jax.value_and_grad(lambda q: -0.5 * jnp.sum((q / jnp.array([1.0, 10.0])) ** 2))
    >>> position = jnp.array([1.0, 10.0])
    >>> state = State(position, *value_and_grad(position))
    >>> kernel = NUTSKernel(1.0, DiagonalMetric(jnp.ones(2)))
    >>> mine, kernel = DualAveraging(jnp.array([0.8, 0.8])).start(kernel, state)
    >>> kernel.step_size.item()
    0.1

    References
    ----------
    .. [1] Hoffman and Gelman (2014), The No-U-Turn Sampler, Journal of Machine Learning Research 15, section 3.2.
    """

    target_accept: Array
    first_step_size: float = 0.1
    gamma: float = 0.05
    t0: float = 10.0
    kappa: float = 0.75
    halving: float = 0.007
    careful: float = 0.1
    by_chance: float = 1.25
    strictest: float = 0.05
    unmet: float = 0.04

    def start(self, kernel: Kernel, state: State) -> tuple[StepSizeState, Kernel]:
        zero = jnp.zeros_like(state.log_density)
        mine = StepSizeState(zero, zero, zero, zero, jnp.int32(0), zero)
        return mine, kernel.replace(step_size=zero + self.first_step_size)

    def search(self, mine: StepSizeState, kernel: Kernel, info: Info) -> tuple[StepSizeState, Kernel, Array]:
        way = jnp.where(info.acceptance_rate < self.target_accept[0], -1, 1).astype(jnp.int32)
        step = kernel.step_size
        crossed = (mine.direction != 0) & (way != mine.direction)
        settled = crossed | (step < 1e-10) | (step > 1e7)
        step = jnp.where(settled, step, jnp.where(way > 0, 2.0 * step, 0.5 * step))
        log_step = jnp.log(step)
        mine = mine._replace(direction=way, center=log_step + jnp.log(2.0), log_average=log_step)
        return mine, kernel.replace(step_size=step), settled

    def update(self, mine: StepSizeState, kernel: Kernel, moment: Moment) -> tuple[StepSizeState, Kernel, Array]:
        count = mine.count + 1
        weight = 1 / (count + self.t0)
        settled = moment.iteration >= moment.settled_from
        divergences = mine.divergences + (settled & (moment.info.diverging > 0))
        share = divergences / (0.7 * moment.num_warmup)
        near = jnp.minimum(self.by_chance / moment.misfit, 1) ** 4
        target = self._target(share, near)
        error_sum = (1 - weight) * mine.error_sum + weight * (target - moment.info.acceptance_rate)
        log_step = mine.center - jnp.sqrt(count) / self.gamma * error_sum
        fade = count**-self.kappa
        log_average = fade * log_step + (1 - fade) * mine.log_average
        last = moment.iteration == moment.num_warmup - 1
        again = moment.renewed
        mine = mine._replace(
            log_average=log_average,
            error_sum=jnp.where(again, 0.0, error_sum),
            center=jnp.where(again, log_average + jnp.log(2.0), mine.center),
            count=jnp.where(again, 0.0, count),
            divergences=divergences,
        )
        step_size = jnp.exp(jnp.where(last, log_average, log_step))
        careful = jnp.minimum(jnp.maximum(5 * share, self.unmet * (1 - near)), self.careful)
        careful = jnp.where(last, careful, kernel.careful)
        return mine, kernel.replace(step_size=step_size, careful=careful), moment.renewed

    def _target(self, share: Array, near: Array) -> Array:
        """Give the target for a share of divergences and a posterior that is so near to a normal one, at most 1."""
        first, highest = self.target_accept[0], self.target_accept[1]
        missing = jnp.maximum((1 - first) * jnp.exp(-math.log(2.0) / self.halving * share), 1 - highest)
        far = (1 - first) * near
        return 1 - jnp.where(highest > first, jnp.minimum(missing, jnp.maximum(far, self.strictest)), missing)


class FixedStepSize(Pytree):
    """A step size that is not adapted."""

    step_size: float

    def start(self, kernel: Kernel, state: State) -> tuple[tuple, Kernel]:
        return (), kernel.replace(step_size=jnp.zeros_like(state.log_density) + self.step_size)

    def search(self, mine: tuple, kernel: Kernel, info: Info) -> tuple[tuple, Kernel, Array]:
        return mine, kernel, jnp.ones((), bool)

    def update(self, mine: tuple, kernel: Kernel, moment: Moment) -> tuple[tuple, Kernel, Array]:
        return mine, kernel, moment.renewed


def start_all(adapters: tuple[Adapter, ...], kernel: Kernel, state: State) -> tuple[tuple, Kernel]:
    """Start every adapter in turn."""
    kept = []
    for adapter in adapters:
        mine, kernel = adapter.start(kernel, state)
        kept.append(mine)
    return tuple(kept), kernel


def search_all(adapters: tuple[Adapter, ...], mine: tuple, kernel: Kernel, info: Info) -> tuple[tuple, Kernel, Array]:
    """Show every adapter a probing leapfrog; settled when all are."""
    kept, settled = [], jnp.ones((), bool)
    for adapter, own in zip(adapters, mine, strict=True):
        own, kernel, done = adapter.search(own, kernel, info)
        kept.append(own)
        settled = settled & done
    return tuple(kept), kernel, settled


def update_all(adapters: tuple[Adapter, ...], mine: tuple, kernel: Kernel, moment: Moment) -> tuple[tuple, Kernel]:
    """Show every adapter a transition."""
    kept = []
    for adapter, own in zip(adapters, mine, strict=True):
        own, kernel, renewed = adapter.update(own, kernel, moment)
        moment = moment._replace(renewed=renewed)
        kept.append(own)
    return tuple(kept), kernel
