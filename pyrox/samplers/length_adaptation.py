"""Learn how long trajectories are to be, and how many of them lead to a draw."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from pyrox._pytree import Pytree
from pyrox.samplers.adaptation import Moment
from pyrox.samplers.kernel import Info, Kernel, State
from pyrox.typing import Array


class LengthState(NamedTuple):
    """How long trajectories last that look for turns."""

    log_mean: Array
    count: Array  # of those that it is a mean of


class TrajectoryLength(Pytree):
    r"""Length of the trajectories that do not look for turns, from the usual one of those that do.

    .. math:: T = 2.5 \, (\tau / 3.7)^{0.7}, \qquad \log \tau = \overline{\log n \epsilon}

    Those that do go on beyond half a turn, to the other side of the posterior, which makes means known the better and
    variances the worse. Where the metric has made all directions alike they last about 3.7, and lengths between T / 2
    and T are about a quarter of a turn: draws that depend little on those before, in either respect. Where one
    direction is longer than the metric knows, they last longer, for its sake: the others have turned by then.

    While step sizes are searched for, some trajectories never turn, since a step is half a turn, and others are a
    single step of any size. So a time counts as at most a factor of e away from what is known.

    Attributes
    ----------
    length, turning, power
        The constants 2.5, 3.7 and 0.7.
    memory
        Number of trajectories after which the first ones are forgotten.
    least
        Number of trajectories from which on the mean is known.
    period
        Every how many iterations a trajectory is measured, once it is.
    begin
        Share of the warm-up after which the length is used.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import DiagonalMetric, NUTSKernel, State
    >>> kernel = NUTSKernel(1.0, DiagonalMetric(jnp.ones(2)))
    >>> mine, kernel = TrajectoryLength().start(kernel, State(jnp.ones(2), jnp.zeros(()), jnp.zeros(2)))
    >>> kernel.trajectory_length.item()
    0.0
    """

    length: float = 2.5
    turning: float = 3.7
    power: float = 0.7
    memory: float = 50.0
    least: float = 10.0
    period: int = 10
    begin: float = 0.15

    def start(self, kernel: Kernel, state: State) -> tuple[LengthState, Kernel]:
        zero = jnp.zeros_like(state.log_density)
        return LengthState(zero + jnp.log(self.turning), zero), kernel.replace(trajectory_length=zero)

    def search(self, mine: LengthState, kernel: Kernel, info: Info) -> tuple[LengthState, Kernel, Array]:
        return mine, kernel, jnp.ones((), bool)

    def update(self, mine: LengthState, kernel: Kernel, moment: Moment) -> tuple[LengthState, Kernel, Array]:
        measured = (kernel.trajectory_length == 0) & ~(moment.info.diverging > 0)
        count = mine.count + measured
        time = jnp.maximum(moment.info.n_steps * moment.info.step_size, jnp.finfo(mine.log_mean.dtype).tiny)
        away = jnp.clip(jnp.log(time) - mine.log_mean, -1, 1)
        log_mean = mine.log_mean + jnp.where(measured, away / jnp.clip(count, 1, self.memory), 0)
        # Times are in the metric's units.
        count = jnp.where(moment.renewed, 0, count)
        known = (count >= self.least) & (moment.iteration >= self.begin * moment.num_warmup)
        last = moment.iteration == moment.num_warmup - 1
        used = known & (last | (moment.iteration % self.period != 0))
        length = self.length * jnp.exp(self.power * (log_mean - jnp.log(self.turning)))
        kernel = kernel.replace(trajectory_length=jnp.where(used, length, 0))
        return LengthState(log_mean, count), kernel, moment.renewed


class RepetitionState(NamedTuple):
    """How far draws spread, and how far it is from one to the next; by coordinate."""

    last: Array
    mean: Array
    variance: Array
    squared_jump: Array
    count: Array


class Repetition(Pytree):
    r"""Number of transitions that lead to a draw: two where one leaves draws much alike.

    .. math:: \rho_i = 1 - \frac{\overline{(x_{n+1,i} - x_{n,i})^2}}{2 \, \mathrm{Var} \, x_i}

    Two of the shorter trajectories take as many gradients as one that looks for turns. Where draws depend on those
    before, a second one before the next draw nearly halves that dependence; where they do not, it would be wasted.

    Attributes
    ----------
    limit
        Autocorrelation of successive draws from which on there are two; more by two of its standard errors.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import DiagonalMetric, NUTSKernel, State
    >>> kernel = NUTSKernel(1.0, DiagonalMetric(jnp.ones(2)))
    >>> mine, kernel = Repetition().start(kernel, State(jnp.ones(2), jnp.zeros(()), jnp.zeros(2)))
    >>> kernel.repeats.item()
    1
    """

    limit: float = 0.3

    def start(self, kernel: Kernel, state: State) -> tuple[RepetitionState, Kernel]:
        zeros = jnp.zeros_like(state.position)
        mine = RepetitionState(state.position, zeros, zeros, zeros, jnp.zeros_like(state.log_density))
        return mine, kernel.replace(repeats=jnp.int32(1))

    def search(self, mine: Any, kernel: Kernel, info: Info) -> tuple[Any, Kernel, Array]:
        return mine, kernel, jnp.ones((), bool)

    def update(self, mine: RepetitionState, kernel: Kernel, moment: Moment) -> tuple[RepetitionState, Kernel, Array]:
        x = moment.state.position
        # Of the way to the posterior nothing is kept.
        begun = moment.iteration >= moment.settled_from
        count = jnp.where(moment.renewed, 0, mine.count + begun)
        weight = jnp.where(begun, 1 / jnp.maximum(count, 1), 0)
        away = x - mine.mean
        mean = mine.mean + weight * away
        variance = mine.variance + weight * (away * (x - mean) - mine.variance)
        jump = mine.squared_jump + weight * ((x - mine.last) ** 2 - mine.squared_jump)
        alike = jnp.max(jnp.where(variance > 0, 1 - jump / (2 * jnp.where(variance > 0, variance, 1)), 0))
        limit = self.limit + 2 / jnp.sqrt(jnp.maximum(count, 1))
        last = moment.iteration == moment.num_warmup - 1
        twice = last & (kernel.trajectory_length > 0) & (alike > limit)
        kernel = kernel.replace(repeats=jnp.where(twice, 2, 1).astype(jnp.int32))
        return RepetitionState(x, mean, variance, jump, count), kernel, moment.renewed
