"""Sums over discrete variables against lists of all their values."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import logsumexp

import pyrox.dist as dist
from pyrox.errors import ModelError
from pyrox.model import LogDensity, handlers
from pyrox.model.axes import Along, Step, apply_rule, follow
from pyrox.model.primitives import plate, sample
from tests.checks import assert_mean
from tests.model import discrete_programs as programs

DRAWS = 4000


def listed(density):
    """Every assignment of the discrete variables, stacked by name."""
    choices = []
    for name in density.discrete:
        shape, support = density.sites.discrete[name].shape, density.marginal.plan.sums[name].support
        low, high = (np.broadcast_to(end, shape).ravel() for end in (support.low, support.high))
        values = itertools.product(*(range(a, b + 1) for a, b in zip(low, high, strict=True)))
        choices.append([np.reshape(v, shape) for v in values])
    many = list(itertools.product(*choices))
    return {name: jnp.asarray(np.stack([one[i] for one in many])) for i, name in enumerate(density.discrete)}


class Listed:
    """A program by brute force, every assignment observed, one after the other; beside it what pyrox gives."""

    def __init__(self, program):
        self.density = LogDensity.build(program)
        self.values = listed(self.density)
        names = sorted(self.values)
        first = {name: np.asarray(self.values[name][0]) for name in names}
        joint = LogDensity.build(lambda z: handlers.condition(program, z)(), (first,))
        everywhere = {str(i): self.values[name] for i, name in enumerate(names)}

        def each(method, position):
            return jax.vmap(lambda z: method(position, {**joint.data, "args": z}))(everywhere)

        def brute(position):
            value, gradient = jax.value_and_grad(lambda q: logsumexp(each(joint, q)))(position)
            return value, gradient, jnp.exp(each(joint, position) - value), each(joint.log_likelihood, position)

        def summed(position, keys, data):
            density, marginal = self.density, self.density.marginal
            value, gradient = jax.value_and_grad(density)(position, data)
            draws = jax.vmap(lambda key: marginal.draw(position, data, key))(keys)
            logs = marginal.log_probabilities(position, data)
            return value, gradient, logs, density.log_likelihood(position, data), draws

        position = 0.3 * jax.random.normal(jax.random.key(1), (self.density.dim,))
        keys = jax.random.split(jax.random.key(3), DRAWS)
        brute, summed = jax.jit(brute)(position), jax.jit(summed)(position, keys, self.density.data)
        self.want_value, self.want_gradient, self.weights, self.terms = jax.tree.map(np.asarray, brute)
        self.value, self.gradient, self.logs, self.pointwise, self.drawn = jax.tree.map(np.asarray, summed)


@pytest.fixture(scope="module", params=programs.PROGRAMS, ids=lambda program: program.__name__)
def case(request):
    return Listed(request.param)


def test_log_density_and_gradient(case):
    np.testing.assert_allclose(case.value, case.want_value, rtol=1e-10)
    np.testing.assert_allclose(case.gradient, case.want_gradient, rtol=1e-8, atol=1e-10)


def test_probabilities_of_values(case):
    for name, values in case.values.items():
        support, shape = case.density.marginal.plan.sums[name].support, values.shape[1:]
        for k in range(support.count):
            here = np.asarray(values) == support.first(shape) + k
            np.testing.assert_allclose(np.exp(case.logs[name][..., k]), np.tensordot(case.weights, here, 1), atol=1e-10)


def test_pointwise_log_likelihood(case):
    assert set(case.pointwise) == set(case.density.observed)
    for name, log_likelihood in case.pointwise.items():
        terms = case.terms[name]
        if np.isfinite(terms).all():  # where an observation is impossible the formula forgets what else there is
            want = -np.log(np.tensordot(case.weights, np.exp(-terms), 1))
            np.testing.assert_allclose(log_likelihood, want, rtol=1e-8, atol=1e-10)


def test_draws(case):
    def features(values):
        flat = np.concatenate([np.reshape(values[n], (len(values[n]), -1)) for n in case.values], axis=1).astype(float)
        products = np.einsum("si,sj->sij", flat, flat).reshape(len(flat), -1)
        return np.concatenate([flat, products], axis=1)

    assert_mean(features(case.drawn), case.weights @ features(case.values))


def test_observations_that_some_values_make_impossible():
    """One y that only z = 1 can have: given nothing else its probability is that of z = 1, times its density there."""

    def program(y):
        scale = sample("scale", dist.HalfNormal(1.0))
        sample("y", dist.Uniform(0.0, scale * (1 + sample("z", dist.Bernoulli(0.3).expand((2,))))), obs=y)

    density = LogDensity.build(program, (np.array([0.5, 1.5]),))
    found = density.log_likelihood(jnp.zeros(1), density.data)["y"]
    np.testing.assert_allclose(found, np.log([0.7 + 0.3 / 2, 0.3 / 2]), rtol=1e-9)


def plan(program, *args):
    return str(LogDensity.build(program, args).marginal.plan)


def test_what_is_independent_costs_little():
    assert "z: 6 elements of 3 values, one by one" in plan(programs.mixture)
    assert "u: 3 elements of 2 values, one by one" in plan(programs.nested)
    assert "z: 3 times 2 elements of 2 values together, 4 combinations" in plan(programs.partly_total)
    assert "z: 3 chains of 2 steps, 2 states, by the forward algorithm" in plan(programs.chains_of_kinds)
    assert "z: 6 elements of 3 values together, 729 combinations" in plan(programs.reshaped)
    assert "z: 3 elements of 2 values, one by one" in plan(programs.looped)
    assert "z: 4 elements of 2 values together" in plan(programs.shifted)


def test_many_elements_stay_in_their_tables():
    def program(y):
        mu = sample("mu", dist.Normal(0.0, 1.0).expand((3,)))
        with plate("row", 20_000):
            sample("y", dist.Normal(mu[sample("z", dist.Categorical(probs=jnp.ones(3) / 3))], 1.0), obs=y)

    assert LogDensity.build(program, (np.zeros(20_000),)).marginal.plan.numbers <= 2 * 3 * 20_000


def observe(loc):
    sample("y", dist.Normal(sample("a", dist.Normal(0.0, 1.0)) + loc, 1.0), obs=np.zeros(np.shape(loc)))


def too_many():
    z = sample("z", dist.Bernoulli(0.5).expand((11,)))
    observe(z.sum())


def coupled():
    z = sample("z", dist.DiscreteMarkovChain(programs.MOVES, None, 50))
    u = sample("u", dist.DiscreteMarkovChain(programs.MOVES, None, 50))
    observe(z + u)


def unbounded():
    observe(sample("k", dist.Geometric(0.5)))


def vector():
    observe(sample("k", dist.Multinomial(3, probs=jnp.ones(2) / 2)))


def moving():
    observe(sample("k", dist.DiscreteUniform(0, sample("n", dist.DiscreteUniform(1, 3)))))


def scaled():
    z = sample("z", dist.Bernoulli(0.5).expand((3,)))
    with handlers.scale(scale_factor=10.0):
        observe(z)


BAD = {
    too_many: r"'z' has 11 elements of 2 values.*'y' depends on all of them at once.*2\*\*11.*px.Mixture",
    coupled: "'z', 'u' cannot be summed out.*'y'.*px.Mixture",
    unbounded: "'k' is discrete with infinitely many values.*Geometric.*px.Truncated",
    vector: "'k' is a discrete vector.*Multinomial",
    moving: "'k' depend on other variables.*bounds that are known",
    scaled: "'z' and what depends on it are scaled differently.*y",
}


@pytest.mark.parametrize(("program", "told"), BAD.items(), ids=lambda x: getattr(x, "__name__", ""))
def test_what_cannot_be_summed_out(program, told):
    with pytest.raises(ModelError, match=f"(?s){told}"):
        LogDensity.build(program)


def test_data_that_move_a_support():
    def program(n):
        observe(sample("k", dist.Binomial(n, probs=0.3)))

    density = LogDensity.build(program, (np.array([2, 3]),))
    assert np.isfinite(density(jnp.zeros(1), density.data))
    with pytest.raises(ModelError, match="values of the discrete variable 'k' have changed with the data"):
        density.marginal.check({**density.data, "args": {"0": np.array([2, 9])}})


def test_a_scale_around_everything_scales_the_sum():
    def program():
        with handlers.scale(scale_factor=3.0):
            programs.mixture()

    plain, tripled = LogDensity.build(programs.mixture), LogDensity.build(program)
    position = jnp.array([0.3, -0.4, 1.0])
    np.testing.assert_allclose(tripled(position, tripled.data), 3 * plain(position, plain.data), rtol=1e-12)


def test_a_subsampling_plate_scales_the_sum():
    def program(y, size):
        mu = sample("mu", dist.Normal(0.0, 1.0).expand((3,)))
        with plate("row", size, subsample_size=6):
            z = sample("z", dist.Categorical(probs=jnp.array([0.2, 0.3, 0.5])))
            sample("y", dist.Normal(mu[z], 1.0), obs=y)

    def likelihood(size):
        fixed = handlers.substitute(program, {"row": np.arange(6)})
        density = LogDensity.build(fixed, (programs.Y, size))
        terms = density.site_terms(jnp.array([0.3, -0.4, 1.0]), density.data)
        return terms[density.marginal.name]

    np.testing.assert_allclose(likelihood(60), 10 * likelihood(6), rtol=1e-12)


# The rules


def rows_that_change(function, shapes, which, along):
    """Which slices of an output change with one slice of an input: by trial."""
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=shape) for shape in shapes]
    before = np.asarray(function(*inputs))
    changed = []
    for i in range(shapes[which][along]):
        other = [x.copy() for x in inputs]
        np.moveaxis(other[which], along, 0)[i] += 1.0
        changed.append(np.argwhere(np.asarray(function(*other)) != before))
    return changed


OPERATIONS = {
    "broadcast": (lambda x: jnp.broadcast_to(x[:, None], (3, 4)), [(3,)]),
    "broadcast one": (lambda x: jnp.broadcast_to(x, (3, 4)), [(1, 4)]),
    "reshape": (lambda x: x.reshape(2, 3, 4), [(6, 4)]),
    "merge": (lambda x: x.reshape(6, 4), [(2, 3, 4)]),
    "transpose": (lambda x: jnp.transpose(x, (2, 0, 1)), [(2, 3, 4)]),
    "sum": (lambda x: x.sum(1), [(2, 3, 4)]),
    "argmax": (lambda x: jnp.argmax(x, 1), [(2, 3, 4)]),
    "cumsum": (lambda x: jnp.cumsum(x, 1), [(2, 3, 4)]),
    "slice": (lambda x: x[:, 1:3], [(2, 3)]),
    "strided": (lambda x: x[::2], [(5,)]),
    "reverse": (lambda x: x[::-1], [(4,)]),
    "sort": (lambda x: jnp.sort(x, 1), [(2, 3)]),
    "concatenate": (lambda x, y: jnp.concatenate([x, y], 1), [(2, 3), (2, 2)]),
    "stack": (lambda x, y: jnp.stack([x, y], 1), [(2, 3), (2, 3)]),
    "unstack": (lambda x: jnp.unstack(x, axis=1)[0], [(2, 3)]),
    "tile": (lambda x: jnp.tile(x, (1, 2)), [(2, 3)]),
    "pad": (lambda x: jnp.pad(x, ((0, 0), (1, 2))), [(2, 3)]),
    "split": (lambda x: jnp.split(x, 2, axis=1)[0], [(2, 4)]),
    "squeeze": (lambda x: jnp.squeeze(x, 1), [(2, 1, 4)]),
    "matrix product": (lambda x, y: x @ y, [(2, 3), (3, 4)]),
    "batched product": (lambda x, y: jnp.einsum("bij,bkj->bik", x, y), [(2, 3, 4), (2, 5, 4)]),
    "dynamic slice": (lambda x: jax.lax.dynamic_slice(x, (0, 1), (2, 2)), [(2, 3)]),
    "take": (lambda x: x[np.array([2, 0, 0])], [(3, 4)]),
    "take along axis": (lambda x: jnp.take_along_axis(x, np.array([[0, 1], [1, 1], [2, 0]]), 1), [(3, 3)]),
    "pick by rows": (lambda x: x[np.arange(3), np.array([0, 1, 1])], [(3, 2)]),
    "scatter": (lambda x: jnp.zeros((4, 2)).at[np.array([3, 1])].set(x), [(2, 2)]),
    "scan": (lambda x: jax.lax.scan(lambda c, y: (c + y, c * y), jnp.zeros(4), x)[1], [(3, 4)]),
    "cond": (lambda x: jax.lax.cond(x[0, 0] > 9, jnp.sin, jnp.cos, x), [(2, 3)]),
    "while": (lambda x: jax.lax.while_loop(lambda c: c[0, 0] < 0, lambda c: c + 1, x), [(2, 3)]),
    "jit": (lambda x: jax.jit(jnp.exp)(x), [(2, 3)]),
    "custom": (lambda x: jax.nn.relu(x), [(2, 3)]),
    "convolution": (lambda x: jnp.convolve(x, jnp.array([1.0, 2.0])), [(4,)]),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_follows_an_axis_depends_on_no_other_slice(name):
    """The rules may know too little, never too much."""
    function, shapes = OPERATIONS[name]
    for which, shape in enumerate(shapes):
        own = [{"x": tuple(Along(a) for a in range(len(shape)))} if i == which else {} for i in range(len(shapes))]
        closed = jax.make_jaxpr(function)(*(np.zeros(s) for s in shapes))
        follows = follow(closed, own)[0]
        for axis, along in enumerate(follows.get("x", (None,) * len(shape))):
            if along is None:
                continue
            chosen = np.arange(shape[axis]) if along.index is None else np.asarray(along.index[1])
            for i, places in enumerate(rows_that_change(function, shapes, which, axis)):
                assert all(chosen[place[along.axis]] == i for place in places)


KNOWN = ("broadcast", "reshape", "transpose", "sum", "cumsum", "slice", "reverse", "stack", "matrix product", "scan",
         "jit", "custom", "pad", "tile", "unstack", "take along axis")  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_axes_that_are_left_alone_are_followed(name):
    function, shapes = OPERATIONS[name]
    own = [{"x": tuple(Along(a) for a in range(len(shapes[0])))}, *({} for _ in shapes[1:])]
    follows = follow(jax.make_jaxpr(function)(*(np.zeros(s) for s in shapes)), own)[0]
    assert any(along is not None for along in follows["x"])


def test_an_unknown_operation_mixes_everything():
    step = Step({}, [(3,)], [{"x": (Along(0),)}], [(3,)], lambda _: None)
    assert apply_rule("an operation of the future", step) == [{"x": (None,)}]
