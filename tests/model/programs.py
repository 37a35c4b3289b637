"""Random programs of primitives, written once and run by any library with these names."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np

import pyrox.dist as dist
from pyrox import handlers, primitives

PYROX = SimpleNamespace(
    sample=primitives.sample,
    plate=primitives.plate,
    deterministic=primitives.deterministic,
    factor=primitives.factor,
    dist=dist,
    scale=lambda value: handlers.scale(scale_factor=value),
    mask=lambda value: handlers.mask(mask=value),
)


def _real(rng, scope):
    """A real parameter: a number, or something made of a value that is in reach."""
    if scope and rng.random() < 0.6:
        name, take = scope[rng.integers(len(scope))]
        slope = rng.normal()
        return lambda values: slope * jnp.tanh(take(values[name]))
    number = float(rng.normal())
    return lambda values: number


def _positive(rng, scope):
    real = _real(rng, scope)
    return lambda values: jnp.exp(0.5 * real(values))


def _identity(value):
    return value


def _first(value):
    return value[..., 0]


def _vector(rng, size):
    numbers = rng.normal(size=size)
    return lambda: jnp.asarray(numbers)


def _cholesky(rng, size):
    numbers = np.tril(0.3 * rng.normal(size=(size, size)))
    np.fill_diagonal(numbers, 1.0 + rng.random(size))
    return lambda: jnp.asarray(numbers)


# Name, kinds of its parameters, what a value is used as; labels and counts are only observed.
NUMBERS = {
    "Normal": "rp", "HalfNormal": "p", "Exponential": "p", "Gamma": "pp", "Beta": "pp", "LogNormal": "rp",
    "Cauchy": "rp", "HalfCauchy": "p", "StudentT": "prp", "Laplace": "rp", "InverseGamma": "pp", "Uniform": "u",
}  # fmt: skip
COUNTS = {"Bernoulli": "r", "Poisson": "p", "Binomial": "r"}
VECTORS = ("Dirichlet", "MultivariateNormal", "to_event")


def _law(rng, scope, *, observed):
    """A function from the library and the values so far to a distribution; and how its value is used later."""
    kind = rng.random()
    if observed and kind < 0.3:
        name = list(COUNTS)[rng.integers(len(COUNTS))]
        parameter = (_real if COUNTS[name] == "r" else _positive)(rng, scope)
        if name == "Binomial":
            return lambda lib, v: lib.dist.Binomial(total_count=7, logits=parameter(v)), None
        if name == "Bernoulli":
            return lambda lib, v: lib.dist.Bernoulli(logits=parameter(v)), None
        return lambda lib, v: lib.dist.Poisson(parameter(v)), None
    if kind < 0.5:
        size = int(rng.integers(2, 4))
        vector, factor, real = _vector(rng, size), _cholesky(rng, size), _real(rng, scope)
        name = VECTORS[rng.integers(len(VECTORS))]
        if name == "Dirichlet":
            return lambda lib, v: lib.dist.Dirichlet(jnp.exp(vector())), _first
        if name == "MultivariateNormal":
            return lambda lib, v: lib.dist.MultivariateNormal(vector(), scale_tril=factor()), _first

        def independent(lib, v):
            loc = jnp.asarray(real(v))[..., None] + vector()
            return lib.dist.Normal(loc, 1.5).to_event(1)

        return independent, _first
    name = list(NUMBERS)[rng.integers(len(NUMBERS))]
    if name == "Uniform":
        low, width = _real(rng, scope), _positive(rng, scope)
        return lambda lib, v: lib.dist.Uniform(low(v), low(v) + width(v)), _identity
    parameters = [(_real if kind == "r" else _positive)(rng, scope) for kind in NUMBERS[name]]
    return lambda lib, v: getattr(lib.dist, name)(*(p(v) for p in parameters)), _identity


def some_value(rng):
    """A function of a message that gives some value of its support, without drawing from its distribution."""

    def choose(msg):
        if msg["type"] != "sample" or msg["value"] is not None:
            return None
        fn = msg["fn"]
        shape = fn.batch_shape + fn.event_shape
        if fn.is_discrete:
            return rng.integers(0, 2, shape)
        transform = dist.biject_to(fn.support)
        return transform(rng.normal(size=transform.inverse_shape(shape)))

    return choose


class RandomProgram:
    """A program of nested plates, free and observed sites, deterministic values, factors, scales and masks.

    ``observed`` holds the data, drawn once with a generator of their own; ``indices`` those of subsampling plates.
    """

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.count = 0
        self.indices, self.observed = {}, {}
        self.steps = self._block([], depth=0)

    def _name(self, letter):
        self.count += 1
        return f"{letter}{self.count}"

    def _block(self, scope, depth):
        scope, steps = list(scope), []
        for _ in range(int(self.rng.integers(1, 4)) + (depth == 0)):
            steps.append(self._step(scope, depth))
        return steps

    def _step(self, scope, depth):
        kind = self.rng.random()
        if kind < 0.3 and depth < 3:
            return self._plate(scope, depth)
        if kind < 0.36 and depth < 3:
            handler, value = [("scale", float(self.rng.gamma(2.0))), ("mask", False)][self.rng.integers(2)]
            inner = self._block(scope, depth + 1)
            return lambda lib, values: self._inside(getattr(lib, handler)(value), inner, lib, values)
        if kind < 0.42:
            return self._named(scope, "deterministic", "d")
        if kind < 0.48:
            return self._named(scope, "factor", "f")
        return self._sample(scope, observed=self.rng.random() < 0.35)

    def _inside(self, context, steps, lib, values):
        values = dict(values)
        with context:
            for step in steps:
                step(lib, values)

    def _plate(self, scope, depth):
        name, size = self._name("p"), (1, 3, 4)[self.rng.integers(3)]  # few shapes: less to compile
        taken = int(self.rng.integers(1, size + 1)) if self.rng.random() < 0.25 else size
        dim = -1 - depth if self.rng.random() < 0.3 else None
        if taken < size:
            self.indices[name] = jnp.asarray(self.rng.permutation(size)[:taken])
        inner = self._block(scope, depth + 1)
        options = {} if taken == size else {"subsample_size": taken}
        return lambda lib, values: self._inside(lib.plate(name, size, dim=dim, **options), inner, lib, values)

    def _named(self, scope, statement, letter):
        name, real = self._name(letter), _real(self.rng, scope)
        return lambda lib, values: getattr(lib, statement)(name, jnp.asarray(real(values)))

    def _sample(self, scope, *, observed):
        name = self._name("y" if observed else "x")
        law, use = _law(self.rng, scope, observed=observed)
        if not observed:
            scope.append((name, use))

        def step(lib, values):
            values[name] = lib.sample(name, law(lib, values), obs=self.observed.get(name))

        if observed:
            self.observed[name] = None
        return step

    def __call__(self, lib=PYROX):
        values = {}
        for step in self.steps:
            step(lib, values)
