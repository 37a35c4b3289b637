"""Normal likelihoods with linear means: fewer numbers, the same log-density, gradient and posterior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyrox as px
import pyrox.dist as dist
from pyrox.primitives import plate, sample
from pyrox.samplers import ChainProgram
from pyrox.samplers.passes.least_squares import reduce_rows
from pyrox.target import target_of

ROWS, GROUPS = 300, 7
RNG = np.random.default_rng(5)
GROUP = RNG.integers(0, GROUPS - 1, ROWS)  # the last group has no row
OTHER = RNG.integers(0, 4, ROWS)
X = RNG.normal(size=(ROWS, 3))
LINE = RNG.normal(2.0, 1.0, ROWS)
DEPENDENT = np.c_[X, X[:, 0] + X[:, 1], np.zeros(ROWS)]
ERRORS = RNG.uniform(0.5, 2.0, ROWS)
Y = 1.0 + 0.5 * LINE + RNG.normal(size=ROWS)


def _number(name="c"):
    return px.Normal(name, 0.0, 1.0)


def _positive(name):
    return px.HalfNormal(name, 1.0)


def _vector(name="beta", size=3):
    return px.Normal(name, 0.0, 1.0, shape=size)


MEANS = {
    "one mean": _number,
    "a line": lambda: _number() + _number("d") * LINE,
    "a line, from the mean of x": lambda: _number() + _number("d") * (LINE - LINE.mean()) / LINE.std(),
    "a matrix": lambda: _number() + px.math.dot(X, _vector()),
    "a matrix from the right": lambda: px.math.dot(_vector(), X.T) - _number(),
    "columns summed up": lambda: px.math.sum(X * _vector(), axis=-1),
    "elements of a vector": lambda: (lambda b: b[0] + b[1] * X[:, 0] - b[2] * X[:, 1])(_vector()),
    "groups": lambda: _vector("a", GROUPS)[GROUP],
    "groups around a mean": lambda: _number() + _positive("s") * _vector("a", GROUPS)[GROUP],
    "slopes of groups": lambda: _vector("a", GROUPS)[GROUP] + _vector("b", GROUPS)[GROUP] * LINE,
    "slopes of groups, and a matrix": lambda: MEANS["slopes of groups"]() + px.math.dot(X, _vector()),
    "rows of groups": lambda: px.math.sum(X * _vector("b", (GROUPS, 3))[GROUP], axis=-1) + _number(),
    "a known offset, stretched": lambda: _positive("s") * (LINE + _vector("a", GROUPS)[GROUP]) / _positive("r"),
    "groups, and dependent columns": lambda: _vector("a", GROUPS)[GROUP] + px.math.dot(DEPENDENT, _vector(size=5)),
}
SCALES = {
    "unknown": lambda: _positive("sigma"),
    "known": lambda: 0.7,
    "of each row": lambda: ERRORS,
}
OTHERS = {
    "not linear": lambda: px.math.exp(_vector("a", GROUPS)[GROUP]),
    "a product of two tables": lambda: _vector("a", GROUPS)[GROUP] * _vector("b", GROUPS)[GROUP],
    "crossed groups": lambda: _vector("a", GROUPS)[GROUP] + _vector("b", 4)[OTHER],
    "crossed groups of one size": lambda: _vector("a", GROUPS)[GROUP] + _vector("b", GROUPS)[GROUP[::-1].copy()],
    "a number for every row": lambda: _vector("a", ROWS),
    "a wide matrix": lambda: px.math.dot(RNG.normal(size=(ROWS, 250)), _vector(size=250)),
}


def _model(mean, scale, observed=Y):
    with px.Model() as model:
        loc, sigma = mean(), scale()
        px.Normal("y", loc, sigma, observed=observed)
    return model


def _both(model, *args):
    """Give log-density and gradient at a few positions, of both forms, and what was reduced."""
    target = target_of(model, args)
    density, data = target.density, target.data
    positions = jnp.asarray(RNG.normal(size=(5, density.dim)))
    reduced, found = reduce_rows(density, positions[0], data)
    as_stated, as_reduced = (
        jax.jit(jax.vmap(jax.value_and_grad(f), in_axes=(0, None)))(positions, data) for f in (density, reduced)
    )
    return as_stated, as_reduced, found


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mean", MEANS)
def test_same_log_density_and_gradient(mean, scale):
    as_stated, as_reduced, found = _both(_model(MEANS[mean], SCALES[scale]))
    assert [r.rows for r in found] == [ROWS]
    for a, b in zip(as_stated, as_reduced, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mean", OTHERS)
def test_others_stay(mean):
    target = target_of(_model(OTHERS[mean], SCALES["unknown"]))
    reduced, found = reduce_rows(target.density, jnp.zeros(target.density.dim), target.data)
    assert reduced is target.density
    assert not found


def test_scale_of_each_group_stays():
    def scale():
        return px.HalfNormal("sigma", 1.0, shape=GROUPS)[GROUP]

    assert not _both(_model(MEANS["groups"], scale))[2]


def test_missing_values_are_left_out():
    missing = Y.copy()
    missing[3] = np.nan
    as_stated, as_reduced, _ = _both(_model(MEANS["a line"], SCALES["unknown"], missing))
    np.testing.assert_allclose(as_stated[1], as_reduced[1], rtol=1e-10, atol=1e-10)


def test_functions_of_primitives():
    def program(x, group, y):
        a = sample("a", dist.Normal(0.0, 1.0).expand([GROUPS]))
        slope = sample("slope", dist.Normal(0.0, 1.0))
        sigma = sample("sigma", dist.HalfNormal(1.0))
        with plate("rows", len(y)):
            sample("y", dist.Normal(a[group] + slope * x, sigma), obs=y)

    as_stated, as_reduced, found = _both(program, jnp.asarray(LINE), jnp.asarray(GROUP), jnp.asarray(Y))
    assert found
    for a, b in zip(as_stated, as_reduced, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_two_likelihoods_of_one_function():
    """Both calls share a traced function, whose variables must not be taken for one another's."""

    @jax.jit
    def line(c, d, x):
        return c + d * x

    def program():
        b = sample("b", dist.Normal(0.0, 1.0).expand([4]))
        sample("y", dist.Normal(line(b[0], b[1], jnp.asarray(LINE)), 1.0), obs=Y)
        sample("z", dist.Normal(line(b[2], b[3], jnp.asarray(X[:, 0])), 2.0), obs=Y)

    as_stated, as_reduced, found = _both(program)
    assert len(found) == 2
    np.testing.assert_allclose(as_stated[1], as_reduced[1], rtol=1e-10)


def test_nearly_dependent_columns_lose_no_digits():
    """Powers of raw years: the products of columns would have lost all digits."""
    years = np.linspace(1950.0, 2020.0, ROWS)
    columns = np.stack([np.ones(ROWS), years, years**2, years**3], axis=1)
    u = np.linalg.lstsq(columns, Y, rcond=None)[0]
    exact = columns.astype(np.longdouble) @ u.astype(np.longdouble)
    exact = float(-0.5 * np.sum((Y.astype(np.longdouble) - exact) ** 2))

    def program():
        b = sample("b", dist.Normal(0.0, 1e6).expand([4]))
        sample("y", dist.Normal(jnp.asarray(columns) @ b, 1.0), obs=Y)

    target = target_of(program)
    reduced, found = reduce_rows(target.density, jnp.zeros(4), target.data)
    assert found
    prior = dist.Normal(0.0, 1e6).log_prob(u).sum()
    constant = float(prior) - ROWS * 0.5 * np.log(2 * np.pi)
    error = abs(float(reduced(jnp.asarray(u), target.data)) - constant - exact)
    assert error < 1e-6
    gram = columns.T @ columns
    by_products = -0.5 * (Y @ Y - 2 * u @ (columns.T @ Y) + u @ gram @ u)
    assert abs(by_products - exact) > 100 * error  # what this form avoids


def test_a_group_that_is_not_there_is_not_dropped():
    def program(group, y):
        a = sample("a", dist.Normal(0.0, 1.0).expand([GROUPS]))
        sample("y", dist.Normal(a.at[group].get(mode="fill"), 1.0), obs=y)

    group = GROUP.copy()
    group[0] = GROUPS
    target = target_of(program, (jnp.asarray(group), jnp.asarray(Y)))
    reduced, found = reduce_rows(target.density, jnp.zeros(GROUPS), target.data)
    assert found
    assert np.isnan(reduced(jnp.zeros(GROUPS), target.data))


def test_posterior_is_exact_for_data_that_come_later():
    """The sums are of the present data: a compiled chain serves new ones, of the same shape."""
    with px.Model():
        x, y = px.Data("x", LINE), px.Data("y_seen", Y)
        beta = px.Normal("beta", 0.0, 10.0, shape=2)
        px.Normal("y", beta[0] + beta[1] * x, 2.0, observed=y)
        for shift in (0.0, 100.0):
            px.set_data({"y_seen": Y + shift, "x": LINE + shift})
            idata = px.sample(2000, chains=4, random_seed=1, progressbar=False)
            columns = np.c_[np.ones(ROWS), LINE + shift]
            precision = columns.T @ columns / 4 + np.eye(2) / 100
            mean = np.linalg.solve(precision, columns.T @ (Y + shift) / 4)
            found = idata.posterior["beta"].values.reshape(-1, 2)
            scale = np.sqrt(np.diag(np.linalg.inv(precision)))
            # The effective sample size is a quarter of the draws or more.
            np.testing.assert_array_less(np.abs(found.mean(0) - mean) / scale, 4.5 / np.sqrt(2000))
            np.testing.assert_allclose(found.std(0), scale, rtol=0.15)


def test_explanation_tells():
    report = px.explain_compilation(_model(MEANS["groups around a mean"], SCALES["unknown"]))
    assert report.reductions == ((ROWS, 1 + GROUPS),)
    assert f"{ROWS} rows are summed up to {1 + GROUPS} numbers" in str(report)


@pytest.mark.parametrize("kind", [int, bool, np.float32])
def test_data_of_any_kind(kind):
    x, y = (LINE > 2).astype(kind), np.round(Y).astype(kind)
    with px.Model() as model:
        data, seen = px.Data("x", x), px.Data("y_seen", y)
        px.Normal("y", _number() + _number("d") * data, _positive("sigma"), observed=seen)
    as_stated, as_reduced, found = _both(model)
    assert found
    for a, b in zip(as_stated, as_reduced, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_conversions_that_lose_digits_stay():
    def program():
        c = sample("c", dist.Normal(0.0, 1.0))
        whole = (5 * (c + jnp.asarray(LINE))).astype(int) * 1.0
        sample("y", dist.Normal(whole, 1.0), obs=Y)

    assert not _both(program)[2]


def test_other_fillings_stay():
    def program():
        a = sample("a", dist.Normal(0.0, 1.0).expand([GROUPS]))
        sample("y", dist.Normal(a.at[jnp.asarray(GROUP) + 1].get(mode="fill", fill_value=0.0), 1.0), obs=Y)

    assert not _both(program)[2]


def test_derivatives_and_batches_inside_a_model():
    """What comes of differentiating or batching the likelihood is none of its kind."""

    def log_likelihood(b):
        return dist.Normal(b * LINE, 1.0).log_prob_sum(jnp.asarray(Y))

    def program():
        b = sample("b", dist.Normal(0.0, 1.0).expand([ROWS]))
        px.primitives.factor("slope", -(jax.grad(log_likelihood)(b[0]) ** 2) / 1e4)
        px.primitives.factor("all", 1e-3 * jnp.sum(jax.vmap(log_likelihood)(b)))

    as_stated, as_reduced, found = _both(program)
    assert not found
    np.testing.assert_array_equal(as_stated[0], as_reduced[0])


def test_a_family_of_its_own_density_stays():
    class Blunt(dist.Normal):
        def _log_density(self, z):
            return -0.5 * jnp.sqrt(1 + z * z)

    def program():
        c = sample("c", dist.Normal(0.0, 1.0))
        sample("y", Blunt(c * jnp.asarray(LINE), 1.0), obs=Y)

    target = target_of(program)
    assert reduce_rows(target.density, jnp.zeros(1), target.data)[0] is target.density


@pytest.mark.parametrize("terms", [40, 400])
def test_long_sums_end(terms):
    """Many terms are found to be linear, or are left alone; a value used twice in each of many steps is, too."""
    z = RNG.normal(size=(ROWS, 3))

    def program():
        b = sample("b", dist.Normal(0.0, 1.0).expand([3]))
        mu, twice = jnp.zeros(ROWS), jnp.asarray(z[:, 0]) * b[0]
        for i in range(terms):
            mu = mu + b[i % 3] * z[:, i % 3] / terms
        for _ in range(40):
            twice = twice + 0.1 * (z[:, 1] - b[1] * twice)
        sample("x", dist.Normal(mu, 1.0), obs=Y)
        sample("y", dist.Normal(twice, 1.0), obs=Y)

    as_stated, as_reduced, found = _both(program)
    assert len(found) == (terms == 40)
    np.testing.assert_allclose(as_stated[1], as_reduced[1], rtol=1e-9, atol=1e-9)


def test_levels_far_from_zero_in_single_precision():
    """Rows far from zero cancel against their mean before they are squared."""
    y = np.float32(2000.0) + RNG.normal(size=100_000).astype(np.float32)
    group, other = (np.arange(100_000) % k for k in (5, 2))

    def program(y, group, other):
        a = sample("a", dist.Normal(2000.0, 1.0).expand([5]))
        b = sample("b", dist.Normal(0.0, 1.0))
        sample("y", dist.Normal(a[group] + b * other, 1.0), obs=y)

    px.set_precision("float32")
    try:
        target = target_of(program, (jnp.asarray(y), jnp.asarray(group), jnp.asarray(other, jnp.float32)))
        position = jnp.asarray(2000.0 + 0.01 * RNG.normal(size=6), jnp.float32).at[5].set(0.01)
        reduced, found = reduce_rows(target.density, position, target.data)
        assert found
        value, gradient = jax.jit(jax.value_and_grad(reduced))(position, target.data)
    finally:
        px.set_precision("float64")
    mean = np.asarray(position, float)[group] + float(position[5]) * other
    off = y.astype(float) - mean
    n = len(y)
    pull = np.bincount(group, off, 5)
    scale = np.sqrt(n / 5)  # one over the posterior's standard deviation
    prior = -(np.asarray(position, float)[:5] - 2000.0)
    np.testing.assert_allclose(np.asarray(gradient[:5], float), pull + prior, atol=0.01 * scale)
    exact = -0.5 * (np.sum(off**2) + np.sum(prior**2) + float(position[5]) ** 2 + (n + 6) * np.log(2 * np.pi))
    assert abs(float(value) - exact) < 0.1


def test_columns_of_any_size():
    """Columns and scales so small or large that their squares are no numbers."""

    def program(x, y, scale):
        u = sample("u", dist.Normal(0.0, 1.0))
        sample("y", dist.Normal(u * x, scale), obs=y)

    for size in (1e-170, 1e170):
        as_stated, as_reduced, found = _both(program, *(jnp.asarray(size * v) for v in (LINE, Y, 1.0)))
        assert found
        for a, b in zip(as_stated, as_reduced, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10)


def test_data_of_numpy_changed_in_place_are_read_again():
    def log_density(q, data):
        return dist.Normal(q[0] + q[1] * data["x"], 1.0).log_prob_sum(data["y"])

    data = {"x": LINE.copy(), "y": Y.copy()}
    program = ChainProgram(log_density, 2, data)
    found = []
    for _ in range(2):
        chain = program.start(np.array([0, 1], np.uint32), np.zeros(2), 100, 0.8)
        chain, _, _ = program.advance(chain, data, 100)
        found.append(program.advance(chain, data, 200)[1].mean(axis=0))
        data["y"] += 5.0
    assert abs(found[1][0] - found[0][0] - 5.0) < 1.0


def test_no_data_at_all():
    def log_density(q, _):
        return dist.Normal(q[0] + q[1] * jnp.asarray(LINE), 1.0).log_prob_sum(jnp.asarray(Y))

    program = ChainProgram(log_density, 2, ())
    chain = program.start(np.array([0, 1], np.uint32), np.zeros(2), 100, 0.8)
    assert np.isfinite(program.advance(chain, (), 100)[1]).all()
