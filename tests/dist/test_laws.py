"""Laws that every distribution of the table obeys.

Compiling is what takes time here: what several laws need (draws, densities with gradients) is made once a case.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyrox import dist
from pyrox.dist import biject_to, constraints
from tests.cases import DISTRIBUTIONS, Formula
from tests.checks import assert_counts, assert_distribution, assert_mean

PROPER = [c for c in DISTRIBUTIONS if c.proper]
CONTINUOUS = [c for c in DISTRIBUTIONS if not c.d.is_discrete and "bijection" not in c.skip]
DRAWS = 20_000


def log_prob(d, x):
    return d.log_prob(x)


fast_log_prob = jax.jit(log_prob)


@functools.cache
def draws(case) -> np.ndarray:
    return np.asarray(jax.jit(lambda d, key: d.sample(key, (DRAWS,)))(case.d, jax.random.key(11)))


def strangers(case) -> np.ndarray:
    """Give values that are not in the support: one wrong element is enough."""
    x = np.asarray(case.values[0], float)
    found = [np.full_like(x, v) for v in (np.nan, np.inf, -np.inf, -1.0, -1.5, 0.5, 1e6)]
    found = np.stack([*found, x * 1.01 + 1e-3, np.zeros_like(x)])
    return found[~np.asarray(case.d.support(found))]


@functools.cache
def slopes(case) -> tuple:
    """Evaluate log-density and gradients at the case's points, then at values outside the support."""
    points = np.concatenate([np.asarray(case.values, float), strangers(case)])
    both = jax.value_and_grad(log_prob, argnums=(0, 1), allow_int=True)
    value, gradients = jax.jit(jax.vmap(both, in_axes=(None, 0)))(case.d, points)
    smooth = [np.asarray(g) for g in jax.tree.leaves(gradients) if g.dtype != jax.dtypes.float0]
    return np.asarray(value), smooth, len(case.values)


def batched(d, count: int = 3):
    """Stack copies of a distribution along a new batch axis, with free parameters a little apart."""
    free = {p.attribute for p in d.params if p.constraint in (constraints.real, constraints.positive)}

    def spread(path, leaf):
        leaf = jnp.asarray(leaf)
        steps = 0.05 * jnp.arange(count) * (len(path) == 1 and path[0].name in free)
        many = jnp.stack([leaf] * count)
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return many
        return many * (1 + steps).reshape((count,) + (1,) * leaf.ndim)

    return jax.tree_util.tree_map_with_path(spread, d)


@pytest.mark.parametrize("case", DISTRIBUTIONS, ids=str)
def test_pytree_round_trip(case):
    d = case.d
    leaves, structure = jax.tree.flatten(d)
    again = jax.tree.unflatten(structure, leaves)
    assert type(again) is type(d)
    assert repr(again) == repr(d)
    assert (again.batch_shape, again.event_shape) == (d.batch_shape, d.event_shape)
    jax.tree.unflatten(structure, [object()] * len(leaves))  # as JAX's own machinery does


@pytest.mark.parametrize("case", DISTRIBUTIONS, ids=str)
def test_jit_equals_eager(case):
    value, _, count = slopes(case)
    np.testing.assert_allclose(value[:count], case.d.log_prob(case.values), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", [c for c in DISTRIBUTIONS if jax.tree.leaves(c.d)], ids=str)
def test_vmap_equals_a_loop(case):
    many, x = batched(case.d), jnp.asarray(case.values[0])
    loop = [fast_log_prob(jax.tree.map(lambda leaf, i=i: leaf[i], many), x) for i in range(3)]
    mapped = jax.jit(jax.vmap(log_prob, in_axes=(0, None)))(many, x)
    np.testing.assert_allclose(mapped, jnp.stack(loop), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", [c for c in DISTRIBUTIONS if c.d.params and "batch" not in c.skip], ids=str)
def test_batch_equals_vmap(case):
    many, x = batched(case.d), jnp.asarray(case.values[0])
    assert many.batch_shape == (3, *case.d.batch_shape)
    assert many.event_shape == case.d.event_shape
    mapped = jax.jit(jax.vmap(log_prob, in_axes=(0, None)))(many, x)
    np.testing.assert_allclose(fast_log_prob(many, x), mapped, rtol=1e-9, atol=1e-12)
    if case.proper:
        drawn = jax.eval_shape(lambda d, key: d.sample(key, (5,)), many, jax.random.key(0))
        assert drawn.shape == (5, *many.batch_shape, *many.event_shape)


@pytest.mark.parametrize("case", DISTRIBUTIONS, ids=str)
def test_shapes(case):
    d, x = case.d, jnp.asarray(case.values)
    event, key = d.event_shape, jax.random.key(0)
    assert x.shape[1:] == event
    assert d.batch_shape == ()
    assert d.support.event_dim == len(event)

    def shape_of(of, *args):
        return jax.eval_shape(of, *args).shape

    assert shape_of(d.log_prob, x) == x.shape[:1]
    wide = d.expand((2, 3))
    assert (wide.batch_shape, wide.event_shape) == ((2, 3), event)
    assert shape_of(wide.log_prob, x[0]) == (2, 3)
    deep = wide.to_event(1)
    assert (deep.batch_shape, deep.event_shape) == ((2,), (3, *event))
    assert shape_of(deep.log_prob, jnp.broadcast_to(x[0], (2, 3, *event))) == (2,)
    assert shape_of(wide.mask(jnp.array([True, False, True])).log_prob, x[0]) == (2, 3)
    if case.proper:
        assert shape_of(d.sample, key) == event
        assert shape_of(lambda k: d.sample(k, (5, 1)), key) == (5, 1, *event)
        assert shape_of(lambda k: wide.sample(k, (4,)), key) == (4, 2, 3, *event)
        assert shape_of(deep.sample, key) == (2, 3, *event)


@pytest.mark.parametrize("case", DISTRIBUTIONS, ids=str)
def test_outside_the_support(case):
    value, gradients, count = slopes(case)
    assert len(value) > count
    assert np.all(value[count:] == -np.inf)
    for gradient in gradients:
        assert np.all(gradient[count:] == 0.0)


@pytest.mark.parametrize("case", DISTRIBUTIONS, ids=str)
def test_gradients_are_finite_in_the_support(case):
    value, gradients, count = slopes(case)
    inside = np.isfinite(value[:count])
    assert np.any(inside)
    for gradient in gradients:
        assert np.all(np.isfinite(gradient[:count][inside]))


def bijection_for(constraint):
    try:
        return biject_to(constraint)
    except NotImplementedError:
        return None


def line_through(d, x):
    """Give the log-density along a line in unconstrained parameters and values."""
    random = np.random.default_rng(3)
    ways = {}
    for p in d.params:
        value = getattr(d, p.attribute)
        if value is None or p.constraint.is_discrete:
            continue
        transform = bijection_for(p.constraint) or biject_to(constraints.real)
        u = transform.inv(value)
        ways[p.attribute] = (transform, u, random.normal(size=u.shape))
    start = None if d.is_discrete else biject_to(d.support).inv(x)
    away = None if d.is_discrete else random.normal(size=start.shape)

    def along(t):
        there = {name: f(u + t * way) for name, (f, u, way) in ways.items()}
        moved = jax.tree_util.tree_map_with_path(
            lambda path, leaf: there.get(path[0].name, leaf) if len(path) == 1 else leaf, d
        )
        if start is None:
            return moved.log_prob(x)
        return moved.log_prob_inside(biject_to(moved.support)(start + t * away))

    return along


@pytest.mark.parametrize("case", [c for c in DISTRIBUTIONS if "bijection" not in c.skip], ids=str)
def test_gradient_is_the_slope(case):
    points = case.values[len(case.values) // 3 : 2 * len(case.values) // 3 + 1]
    points = points if case.smooth and not case.mixed else points[:1] * 0.99 + 1e-2  # beside a kink, not on it
    along = line_through(case.d, jnp.asarray(points))
    step = 1e-4
    at = jax.jit(jax.vmap(along))(step * jnp.array([-2.0, -1.0, 1.0, 2.0]))
    slope = (8 * (at[2] - at[1]) - (at[3] - at[0])) / (12 * step)
    gradient = jax.jit(jax.grad(lambda t: jnp.sum(along(t))))(0.0)
    np.testing.assert_allclose(gradient, jnp.sum(slope), rtol=1e-6, atol=1e-6 * (1 + np.sum(np.abs(slope))))


def quadrature(d, size: int, reach: float) -> float:
    """Integrate the density by the trapezoidal rule over a doubly exponential grid of unconstrained space."""
    transform = biject_to(d.support)
    t = jnp.linspace(-reach, reach, 4001 if size == 1 else 401)
    u, weight = jnp.sinh(0.5 * jnp.pi * jnp.sinh(t)), 0.5 * jnp.pi * jnp.cosh(t) * jnp.cosh(0.5 * jnp.pi * jnp.sinh(t))
    grid = jnp.stack([g.ravel() for g in jnp.meshgrid(*[u] * size)], axis=-1)
    weights = jnp.prod(jnp.stack([g.ravel() for g in jnp.meshgrid(*[weight] * size)]), axis=0) * (t[1] - t[0]) ** size
    y, log_det = transform.forward_and_log_det(grid.reshape(-1, *transform.inverse_shape(d.event_shape)))
    log_mass = d.log_prob_inside(y) + log_det.reshape(-1)
    # Where the transform underflows to the border, there is no density to ask for.
    counts = (log_mass > -700) & jnp.ravel(d.support(y))
    return jnp.sum(jnp.where(counts, jnp.exp(log_mass) * weights, 0.0))


def dimension(case) -> int:
    return int(np.prod(biject_to(case.d.support).inverse_shape(case.d.event_shape), dtype=int))


@pytest.mark.parametrize("case", [c for c in CONTINUOUS if c.proper and not c.mixed and dimension(c) <= 2], ids=str)
def test_density_integrates_to_one(case):
    # On intervals the grid must not run into the rounding of the ends.
    reach = 1.72 if isinstance(case.d.support, constraints._Interval | constraints._Simplex) else 4.0
    total = jax.jit(quadrature, static_argnums=(1, 2))(case.d, dimension(case), reach)
    np.testing.assert_allclose(total, 1.0, rtol=1e-7 if case.smooth else 1e-4)


@functools.cache
def table(case) -> tuple[np.ndarray, np.ndarray]:
    """Give every value of a discrete distribution that matters, and its log-probability by the oracle."""
    top = getattr(case.d.support, "upper_bound", None)
    if top is None:
        top = case.oracle.isf(1e-13) if hasattr(case.oracle, "isf") else np.max(case.values)
    values = np.arange(int(getattr(case.d.support, "lower_bound", 0)), int(top) + 1)
    return values, case.log_density(values)


@pytest.mark.parametrize("case", [c for c in PROPER if c.d.is_discrete and c.d.event_shape == ()], ids=str)
def test_probabilities_sum_to_one(case):
    np.testing.assert_allclose(np.sum(np.exp(case.d.log_prob(table(case)[0]))), 1.0, rtol=1e-8)


def known_cdf(case):
    try:
        case.d.cdf(0.5)
    except NotImplementedError:
        return case.oracle.cdf
    return case.d.cdf


@pytest.mark.parametrize("case", PROPER, ids=str)
def test_samples_lie_in_the_support(case):
    assert np.all(np.asarray(case.d.support(draws(case))))
    assert jnp.issubdtype(draws(case).dtype, jnp.integer) == case.d.is_discrete


@pytest.mark.parametrize("case", [c for c in PROPER if c.d.event_shape == ()], ids=str)
def test_samples_follow_the_density(case):
    if case.d.is_discrete:
        values, log_probabilities = table(case)
        assert_counts(draws(case), values, np.exp(log_probabilities))
    elif case.mixed:
        # The single points, which come first and last in the row, are met as often as they should be.
        ends = case.values[[0, -1]]
        which = np.where(draws(case) == ends[0], 0, np.where(draws(case) == ends[1], 1, 2))
        shares = np.exp(case.log_density(ends)) * [1, np.any(which == 1)]
        assert_counts(which, np.arange(3), [*shares, 1 - np.sum(shares)])
    else:
        assert_distribution(draws(case), known_cdf(case))


def moments(case) -> tuple[np.ndarray, np.ndarray] | None:
    try:
        return np.asarray(case.d.mean), np.asarray(case.d.variance)
    except NotImplementedError:
        if isinstance(case.oracle, Formula):
            return None
        return np.asarray(case.oracle.mean()), np.asarray(case.oracle.var())


@pytest.mark.parametrize("case", [c for c in PROPER if "moments" not in c.skip], ids=str)
def test_moments_are_those_of_samples(case):
    known = moments(case)
    if known is None:
        return  # in closed form they are unknown
    mean, variance = known
    drawn = draws(case).astype(float)
    assert mean.shape == variance.shape == drawn.shape[1:]
    finite = np.isfinite(mean) & np.isfinite(variance)
    assert_mean(drawn[:, finite], mean[finite])
    if "fourth moment" not in case.skip:
        assert_mean((drawn - mean)[:, finite] ** 2, variance[finite])


WRAPPED = [dist.Normal(0.5, 2.0), dist.Dirichlet([1.0, 2.0, 3.0]), dist.Poisson(3.0)]


@pytest.mark.parametrize("d", WRAPPED, ids=repr)
def test_wrappers_count_what_they_wrap(d):
    x = d.sample(jax.random.key(1), (2, 3))
    wide = d.expand((2, 3))
    np.testing.assert_allclose(wide.log_prob(x), d.log_prob(x))
    np.testing.assert_allclose(wide.to_event(1).log_prob(x), jnp.sum(d.log_prob(x), axis=-1))
    np.testing.assert_allclose(wide.to_event().log_prob(x), jnp.sum(d.log_prob(x)))
    masked = wide.mask(jnp.array([True, False, True])).log_prob(x)
    np.testing.assert_allclose(masked, d.log_prob(x) * jnp.array([1.0, 0.0, 1.0]))
    np.testing.assert_allclose(wide.entropy(), jnp.full((2, 3), d.entropy())) if hasattr(d, "loc") else None
    np.testing.assert_allclose(wide.mean, jnp.broadcast_to(d.mean, x.shape))


REPARAMETRIZED = [dist.Normal(0.5, 2.0), dist.Gamma(2.0, 3.0), dist.Uniform(1.0, 2.0), dist.LogNormal(0.0, 1.0)]


@pytest.mark.parametrize("d", REPARAMETRIZED, ids=repr)
def test_samples_are_differentiable(d):
    gradient = jax.grad(lambda d: jnp.sum(d.sample(jax.random.key(5), (3,))))(d)
    for name in d.reparametrized_params:
        assert np.isfinite(getattr(gradient, name))
        assert getattr(gradient, name) != 0
