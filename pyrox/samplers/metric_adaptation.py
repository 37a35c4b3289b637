"""Learn the metric during warm-up: from draws and gradients, or from draws alone in growing windows."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pyrox._pytree import Pytree
from pyrox.samplers.adaptation import Moment
from pyrox.samplers.kernel import Info, Kernel, State
from pyrox.samplers.metrics import Metric
from pyrox.samplers.vectors import do_if, inner, namespace
from pyrox.typing import Array


def _pair(state: State) -> Array:
    """Give a draw and its gradient as rows of one array: what is done with both is then one loop."""
    return jnp.stack([state.position, state.gradient])


class Spread(NamedTuple):
    """Running means and sums of squares (Welford) of an array."""

    count: Array
    mean: Array
    squares: Array


def _observe(spread: Spread, values: Array) -> Spread:
    count = spread.count + 1
    mean = spread.mean + (values - spread.mean) / count
    squares = spread.squares + (values - spread.mean) * (values - mean)
    return Spread(count, mean, squares)


def _select(condition: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def _empty(like: Spread) -> Spread:
    return jax.tree.map(jnp.zeros_like, like)


# Least product of the variances of a variable and of its gradient that windows are taken to have.
_LEAST_PRODUCT = 1e-3


def missing_squares(draws: Array, gradients: Array, n: Array) -> Array:
    """Give what sums of squares of gradients lack to what they are at least, for those of n draws.

    Of a whole posterior the variances of a variable and of its gradient have a product of at least one (Cramér and
    Rao). Gradients that hardly vary, as those of a Laplace distribution on one side of its mode, would make a variable
    endless: as much is missing as makes the product a thousandth.
    """
    xp, tiny = namespace(draws), np.finfo(draws.dtype).tiny
    least = _LEAST_PRODUCT * n * (n / xp.maximum(draws, tiny))
    return xp.where(draws > 0, xp.maximum(least - gradients, 0.0), 0.0)


class FixedMetric(Pytree):
    """A metric that is not adapted."""

    def start(self, kernel: Kernel, state: State) -> tuple[tuple, Kernel]:
        return (), kernel

    def search(self, mine: tuple, kernel: Kernel, info: Info) -> tuple[tuple, Kernel, Array]:
        return mine, kernel, jnp.ones((), bool)

    def update(self, mine: tuple, kernel: Kernel, moment: Moment) -> tuple[tuple, Kernel, Array]:
        return mine, kernel, moment.renewed


class FirstScales(Pytree):
    r"""A metric that starts from :math:`m_i^{-1} = 1 / |\partial_i \log p|` and is not adapted here."""

    def start(self, kernel: Kernel, state: State) -> tuple[tuple, Kernel]:
        return (), kernel.replace(metric=kernel.metric.with_inverse_mass(_first_inverse_mass(state.gradient)))

    def search(self, mine: tuple, kernel: Kernel, info: Info) -> tuple[tuple, Kernel, Array]:
        return mine, kernel, jnp.ones((), bool)

    def update(self, mine: tuple, kernel: Kernel, moment: Moment) -> tuple[tuple, Kernel, Array]:
        return mine, kernel, moment.renewed


def _first_inverse_mass(gradient: Array) -> Array:
    size = jnp.abs(gradient)
    return jnp.where(size == 0, 1.0, jnp.clip(1 / size, 1e-6, 1e6))


class Windows(NamedTuple):
    """Two overlapping windows of draws and gradients."""

    spread: Spread  # (window, 2, dim); the count (window, 1, 1)
    older: Array  # the number of the older one


class FisherDiagonal(Pytree):
    r"""Diagonal metric from draws and gradients.

    .. math:: m_i^{-1} = \sqrt{\mathrm{var}(q_i) / \mathrm{var}(\partial_i \log p)}

    minimises the Fisher divergence between the posterior and a normal distribution with this covariance; for a
    normal posterior both variances are exact after a few draws. The estimate is renewed after every transition
    from the older of two overlapping windows; when the younger one is long enough it takes over. Windows are short
    in the first 30 % of the warm-up; its last 15 % leave the metric as it is.

    Where the product of both variances is far above 1, some direction is much narrower than the variable is spread: a
    ridge or a funnel. The estimate above is then the geometric mean of both lengths, and where few of many variables
    are like that, trajectories turn for all the others long before they have walked the ridge. So the estimate is
    multiplied by the square of a fiftieth of the product where that is more than one, until it is
    :math:`\mathrm{var}(q_i)`, the spread alone.

    Three things make it robust: it starts from :math:`1 / |\partial_i \log p|`, the first step size is searched for
    that metric, and only transitions that moved enter the windows.

    Parameters
    ----------
    early_window, late_window
        Draws after which the younger window takes over, at first and later.
    first_use
        Draws from which on an estimate is used.
    ridge
        Product of both variances from which on the spread counts.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import DiagonalMetric, FisherDiagonal, NUTSKernel, State
    >>> value_and_grad = jax.value_and_grad(lambda q: -0.5 * jnp.sum((q / jnp.array([1.0, 10.0])) ** 2))
    >>> position = jnp.array([1.0, 10.0])
    >>> state = State(position, *value_and_grad(position))
    >>> kernel = NUTSKernel(1.0, DiagonalMetric(jnp.ones(2)))
    >>> mine, kernel = FisherDiagonal().start(kernel, state)
    >>> kernel.metric.inverse_mass.round(2).tolist()  # at first, from the gradient alone
    [1.0, 10.0]

    References
    ----------
    .. [1] Seyboldt, Carlson, Carpenter (2026), Preconditioning Hamiltonian Monte Carlo by minimizing Fisher divergence,
       arXiv:2603.18845.
    """

    early_window: int = 10
    late_window: int = 80
    first_use: int = 5
    ridge: float = 50.0

    def start(self, kernel: Kernel, state: State) -> tuple[Windows, Kernel]:
        inverse_mass = _first_inverse_mass(state.gradient)
        zeros = jnp.zeros((2, 2, *state.gradient.shape), state.gradient.dtype)
        empty = Spread(jnp.zeros((2, 1, 1), zeros.dtype), zeros, zeros)
        return Windows(empty, jnp.int32(0)), kernel.replace(metric=kernel.metric.with_inverse_mass(inverse_mass))

    def search(self, mine: Windows, kernel: Kernel, info: Info) -> tuple[Windows, Kernel, Array]:
        return mine, kernel, jnp.ones((), bool)

    def update(self, mine: Windows, kernel: Kernel, moment: Moment) -> tuple[Windows, Kernel, Array]:
        early, open_ = moment.iteration < moment.settled_from, moment.iteration < moment.metric_until
        pair = _pair(moment.state)
        spread, _ = do_if(open_ & moment.moved, lambda spread: _observe(spread, pair), mine.spread)
        window = jnp.where(early, self.early_window, self.late_window)
        switch = open_ & (spread.count[1 - mine.older, 0, 0] >= window)
        mine, _ = do_if(switch, _begin_younger, Windows(spread, mine.older))
        older = jax.tree.map(lambda x: x[mine.older], mine.spread)
        tiny, count = jnp.finfo(pair.dtype).tiny, older.count[0, 0]
        n = jnp.maximum(count, 1)
        draws, gradients = older.squares
        gradients += missing_squares(draws, gradients, n)
        estimate = jnp.sqrt((draws + tiny) / (gradients + tiny))
        estimate *= jnp.where(early, 1.0, _widening(draws / n * (gradients / n), self.ridge))
        estimate = jnp.clip(estimate, 1e-20, 1e20)
        inverse_mass = jnp.where(open_ & (count >= self.first_use), estimate, kernel.metric.squared_scales)
        kernel = kernel.replace(metric=kernel.metric.with_inverse_mass(inverse_mass))
        return mine, kernel, moment.renewed | (moment.iteration == moment.settled_from)


def _widening(product: Array, ridge: float) -> Array:
    """Give what leads from the geometric mean of two lengths to that of the spread, where both are far apart."""
    return jnp.clip((product / ridge) ** 2, 1.0, jnp.sqrt(jnp.maximum(product, 1.0)))


def _begin_younger(windows: Windows) -> Windows:
    """Forget the older window; the younger one is the older from now on, beside a new one."""
    spread = jax.tree.map(
        lambda x: lax.dynamic_update_index_in_dim(x, jnp.zeros_like(x[0]), windows.older, 0), windows.spread
    )
    return Windows(spread, 1 - windows.older)


class Trial(NamedTuple):
    """Two axes on trial, the longest and the shortest as far as is known: how draws and gradients vary along them."""

    count: Array
    scale: Array  # of draws, in units of which everything here is but the mean; gradients in units of its inverse
    mean: Array  # of draws and of gradients, as rows
    axes: Array  # the long one and the short one, as rows
    products: Array  # (2, 2, dim): sums of deviations, of draws and of gradients, times those along each axis
    squares: Array  # (2, 2): sums of squares along the axes, likewise


def _units(scale: Array) -> Array:
    """Give the units of draws and of gradients, as rows, where draws have these scales."""
    return jnp.where(np.array([[True], [False]]), scale, 1 / scale)


def _inner(a: Array, b: Array) -> Array:
    """Give the inner products of all rows of one array with all rows of another."""
    return jax.vmap(lambda x: jax.vmap(lambda y: inner(x, y))(b))(a)


def _try(axes: Array, scale: Array) -> Trial:
    zeros = jnp.zeros((2, *axes.shape), axes.dtype)
    return Trial(jnp.zeros((), axes.dtype), scale, zeros[0], axes, zeros, zeros[:, :, 0])


def _unit(vectors: Array, otherwise: Array | float) -> Array:
    """Give rows the length one, or another where they have no direction: are zero, or not finite."""
    length = jnp.sqrt(jnp.sum(vectors**2, axis=1, keepdims=True))
    return jnp.where((length > 0) & jnp.isfinite(length), vectors / length, otherwise)


def _look(trial: Trial, pair: Array) -> Trial:
    count = trial.count + 1
    delta = (pair - trial.mean) / _units(trial.scale)
    along = _inner(delta, trial.axes)
    left = 1 - 1 / count  # of deviations, when the mean has followed
    return trial._replace(
        count=count,
        mean=trial.mean + (pair - trial.mean) / count,
        products=trial.products + along[:, :, None] * (left * delta)[:, None],
        squares=trial.squares + along * (left * along),
    )


class FisherDirection(Pytree):
    r"""One direction, across all variables, along which a diagonal metric is most wrong.

    .. math::
        D = C_q - C_g, \qquad u_\pm \leftarrow \pm \frac{D u_\pm}{|D u_\pm|} + \frac{u_\pm}{2}, \qquad
        \lambda_\pm = \sqrt{\frac{u_\pm^T C_q u_\pm}{u_\pm^T C_g u_\pm}}

    with the covariances of draws and gradients in units of the metric's scales. For a normal posterior both have the
    same axes with inverse variances, and their difference vanishes wherever the scales are right, whatever the draws:
    a few steps of these power iterations find the longest axis and the shortest one, or at least the more wrong of the
    two where the other is less than half as wrong. A half of each is kept because such axes may come in pairs, one as
    long as the other is short, between which an iteration would go back and forth; it leads each of the two to its own
    end. Each window of draws makes a step, in one pass that keeps nothing but sums; what an axis is worth is judged by
    draws that come after those that it was found from, so that one found in noise has a stretch of about one. The more
    wrong of the two is used; where both are about as wrong, the one in use stays, as the step size suits it. On ridges
    and in funnels a stretch goes towards the spread of the draws alone, as the scales of ``FisherDiagonal`` do: a
    direction is narrow there in some places, along another line in others, and a metric that takes it to be as narrow
    everywhere keeps the chain from walking along.

    Posteriors of many models are long or short along one direction that many variables share in: a level that a mean
    and its groups exchange, abilities against difficulties, the sum of a series.

    Parameters
    ----------
    early_window, late_window
        Draws in a window, in the first 30 % of the warm-up and later.
    growth
        Later windows are at least this share of the iterations since that time.
    first_use
        Share of those 30 % after which a direction is used, from the second window on.
    worthwhile
        Smallest stretch, or its inverse, for which a direction is used.
    largest
        Bound of stretches, and of their inverses.
    inertia
        Share of the direction tried that is kept.
    loyalty
        How many times as wrong, in logs, the other axis has to be before it takes the place of the one in use.
    ridge
        Product of the variances of draws and gradients along an axis from which on the spread counts.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import FisherDirection, NUTSKernel, RankOneMetric, State
    >>> position = jnp.array([0.6, 0.8])
    >>> kernel = NUTSKernel(1.0, RankOneMetric.unit(position))
    >>> mine, kernel = FisherDirection().start(kernel, State(position, jnp.array(-0.5), -position))
    >>> mine.axes[0].round(2).tolist()  # the first to be tried is that of the gradient
    [-0.6, -0.8]

    References
    ----------
    .. [1] Seyboldt, Carlson, Carpenter (2026), Preconditioning Hamiltonian Monte Carlo by minimizing Fisher divergence,
       arXiv:2603.18845.
    .. [2] Mitliagkas, Caramanis, Jain (2013), Memory limited, streaming PCA, Advances in Neural Information Processing
       Systems 26: power iterations in blocks.
    """

    early_window: int = 40
    late_window: int = 80
    growth: float = 0.4
    first_use: float = 0.5
    worthwhile: float = 2.0
    largest: float = 1e4
    inertia: float = 0.5
    loyalty: float = 1.25
    ridge: float = 20.0

    def start(self, kernel: Kernel, state: State) -> tuple[Trial, Kernel]:
        scale = jnp.sqrt(kernel.metric.squared_scales)
        return _try(jnp.stack([state.gradient * scale] * 2), scale), kernel

    def search(self, mine: Trial, kernel: Kernel, info: Info) -> tuple[Trial, Kernel, Array]:
        return mine, kernel, jnp.ones((), bool)

    def update(self, mine: Trial, kernel: Kernel, moment: Moment) -> tuple[Trial, Kernel, Array]:
        early, open_ = moment.iteration < moment.settled_from, moment.iteration < moment.metric_until
        # The first window is never of use: it may be the way from far away.
        useful = moment.iteration >= jnp.maximum(self.first_use * moment.settled_from, 2 * self.early_window - 1)
        pair = _pair(moment.state)
        mine, _ = do_if(open_ & moment.moved, lambda mine: _look(mine, pair), mine)
        late_window = jnp.maximum(self.late_window, self.growth * (moment.iteration - moment.settled_from))
        ends = open_ & (mine.count >= jnp.where(early, self.early_window, late_window))
        # What came before tells of the way to the posterior: the metric keeps its direction until more is known.
        anew = moment.iteration == moment.settled_from
        (mine, metric), _ = do_if(ends | anew, lambda both: self._turn(*both, anew, useful), (mine, kernel.metric))
        return mine, kernel.replace(metric=metric), moment.renewed

    def _turn(self, mine: Trial, metric: Metric, anew: Array, useful: Array) -> tuple[Trial, Metric]:
        """Use the better axis on trial as far as it is worth it, and try two that are better."""
        scale = jnp.sqrt(metric.squared_scales)
        # The window began with other scales: the axes have other lengths in these.
        units = _units(scale / mine.scale)
        lengths = _inner(units**2, mine.axes**2)
        along = mine.squares / lengths + jnp.finfo(scale.dtype).tiny
        n = jnp.maximum(mine.count, 1)
        stretches = jnp.sqrt(along[0] / along[1]) * _widening(along[0] / n * (along[1] / n), self.ridge)
        stretches = jnp.clip(stretches, 1 / self.largest, self.largest)
        # Where there is no direction, as in a gradient of zero, it is that of all variables alike.
        tried = _unit(mine.axes / units, scale.shape[0] ** -0.5)
        draws, gradients = mine.products / units[:, None]
        improved = np.array([[1.0], [-1.0]]) * _unit(draws - gradients, 0.0) + self.inertia * tried
        wrong = jnp.log(stretches)
        which = jnp.argmax(jnp.abs(wrong) * jnp.where(wrong * jnp.log(metric.stretch) > 0, self.loyalty, 1.0))
        stretch = stretches[which]
        used = useful & ((stretch > self.worthwhile) | (stretch < 1 / self.worthwhile))
        better = metric.with_direction(tried[which], jnp.where(used, stretch, 1.0))
        metric = jax.tree.map(lambda now, then: jnp.where(anew, now, then), metric, better)
        return _try(jnp.where(anew, tried, improved), scale), metric


class WindowState(NamedTuple):
    """A window in progress."""

    spread: Spread
    size: Array
    end: Array  # iteration after its last; negative before the first window


class WelfordWindows(Pytree):
    r"""Diagonal metric from the variance of draws, in windows of growing length.

    A first part of the warm-up and its end adapt the step size alone; between them windows double in length, and each
    ends with the estimate

    .. math:: m_i^{-1} = \tfrac{n}{n + 5} \mathrm{var}(q_i) + 10^{-3} \tfrac{5}{n + 5}

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from pyrox.samplers import DiagonalMetric, NUTSKernel, State, WelfordWindows
    >>> value_and_grad = jax.value_and_grad(lambda q: -0.5 * jnp.sum((q / jnp.array([1.0, 10.0])) ** 2))
    >>> position = jnp.array([1.0, 10.0])
    >>> state = State(position, *value_and_grad(position))
    >>> kernel = NUTSKernel(1.0, DiagonalMetric(jnp.ones(2)))
    >>> mine, kernel = WelfordWindows().start(kernel, state)
    >>> kernel.metric.inverse_mass.tolist()  # until the first window ends
    [1.0, 1.0]

    References
    ----------
    .. [1] Stan Development Team, Stan Reference Manual, section on automatic parameter tuning.
    """

    def start(self, kernel: Kernel, state: State) -> tuple[WindowState, Kernel]:
        zeros = jnp.zeros_like(state.position)
        empty = Spread(jnp.zeros_like(state.log_density), zeros, zeros)
        return WindowState(empty, jnp.int32(0), jnp.int32(-1)), kernel

    def search(self, mine: WindowState, kernel: Kernel, info: Info) -> tuple[WindowState, Kernel, Array]:
        return mine, kernel, jnp.ones((), bool)

    def update(self, mine: WindowState, kernel: Kernel, moment: Moment) -> tuple[WindowState, Kernel, Array]:
        first, last, size = _phases(moment.num_warmup)
        fresh = mine.end < 0
        size = jnp.where(fresh, size, mine.size)
        end = jnp.where(fresh, _window_end(first, size, last), mine.end)
        inside = (moment.iteration >= first) & (moment.iteration < last)
        closes = inside & (moment.iteration == end - 1)
        spread = _select(inside, _observe(mine.spread, moment.state.position), mine.spread)
        n = spread.count
        estimate = n / (n + 5) * spread.squares / jnp.maximum(n - 1, 1) + 1e-3 * 5 / (n + 5)
        inverse_mass = jnp.where(closes, estimate, kernel.metric.inverse_mass)
        mine = WindowState(
            spread=_select(closes, _empty(spread), spread),
            size=jnp.where(closes, 2 * size, size),
            end=jnp.where(closes, _window_end(end, 2 * size, last), end),
        )
        return mine, kernel.replace(metric=kernel.metric.with_inverse_mass(inverse_mass)), moment.renewed | closes


def _phases(num_warmup: Array) -> tuple[Array, Array, Array]:
    """Give the first iteration of the windows, the one after their last, and the length of the first window."""
    long_enough = num_warmup >= 75 + 25 + 50
    first = jnp.where(long_enough, 75, jnp.floor(0.15 * num_warmup)).astype(jnp.int32)
    final = jnp.where(long_enough, 50, jnp.floor(0.1 * num_warmup)).astype(jnp.int32)
    last = num_warmup - final
    return first, last, jnp.where(long_enough, 25, last - first).astype(jnp.int32)


def _window_end(begin: Array, size: Array, last: Array) -> Array:
    """Give the end of a window; the one before too short a rest takes the rest as well."""
    return jnp.where(begin + 3 * size > last, last, begin + size)
