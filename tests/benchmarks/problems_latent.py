"""Latent abilities, series, processes and plain Gaussians for the benchmarks, in both languages."""

import numpy as np


def _items_data(persons=100, items=20):
    rng = np.random.default_rng(4)
    person, item = np.repeat(np.arange(persons), items), np.tile(np.arange(items), persons)
    ability, difficulty = rng.normal(size=persons), rng.normal(size=items)
    discrimination = np.exp(rng.normal(0, 0.3, items))
    logits = discrimination[item] * (0.5 + ability[person] - difficulty[item])
    return person, item, rng.binomial(1, 1 / (1 + np.exp(-logits)))


def items_graph(pm):
    person, item, y = _items_data()
    with pm.Model() as model:
        level = pm.Normal("level", 0.75, 1.0)
        ability = pm.Normal("ability", 0.0, 1.0, shape=100)
        difficulty = pm.Normal("difficulty", 0.0, 1.0, shape=20)
        discrimination = pm.LogNormal("discrimination", 0.0, 0.5, shape=20)
        logits = discrimination[item] * (level + ability[person] - difficulty[item])
        pm.Bernoulli("y", logit_p=logits, observed=y)
    return model


def items_function():
    import numpyro
    from numpyro import distributions as dist

    def model(person, item, y):
        level = numpyro.sample("level", dist.Normal(0.75, 1.0))
        ability = numpyro.sample("ability", dist.Normal(0.0, 1.0).expand([100]))
        difficulty = numpyro.sample("difficulty", dist.Normal(0.0, 1.0).expand([20]))
        discrimination = numpyro.sample("discrimination", dist.LogNormal(0.0, 0.5).expand([20]))
        logits = discrimination[item] * (level + ability[person] - difficulty[item])
        numpyro.sample("y", dist.Bernoulli(logits=logits), obs=y)

    return model, _items_data()


def _volatility_data(days):
    rng = np.random.default_rng(5)
    log_scale = np.cumsum(rng.normal(0, 0.1, days))
    return np.exp(log_scale) * rng.standard_t(8, days)


def volatility_graph(pm, days):
    y = _volatility_data(days)
    with pm.Model() as model:
        sigma = pm.Exponential("sigma", 10.0)
        nu = pm.Exponential("nu", 0.1)
        z = pm.Normal("z", 0.0, 1.0, shape=days)
        pm.StudentT("y", nu=nu, mu=0.0, sigma=pm.math.exp(sigma * z.cumsum()), observed=y)
    return model


def volatility_function(days):
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist

    def model(y):
        sigma = numpyro.sample("sigma", dist.Exponential(10.0))
        nu = numpyro.sample("nu", dist.Exponential(0.1))
        z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([days]))
        numpyro.sample("y", dist.StudentT(nu, 0.0, jnp.exp(sigma * jnp.cumsum(z))), obs=y)

    return model, (_volatility_data(days),)


def _process_data(points):
    rng = np.random.default_rng(6)
    x = np.sort(rng.uniform(0, 10, points))
    return (x[:, None] - x) ** 2, np.sin(x) + 0.3 * rng.normal(size=points)


def process_graph(pm, points):
    squares, y = _process_data(points)
    with pm.Model() as model:
        length = pm.Gamma("length", 4.0, 2.0)
        height = pm.HalfNormal("height", 1.0)
        sigma = pm.HalfNormal("sigma", 1.0)
        covariance = height**2 * pm.math.exp(-0.5 * squares / length**2) + (sigma**2 + 1e-6) * np.eye(points)
        pm.MvNormal("y", np.zeros(points), covariance, observed=y)
    return model


def process_function(points):
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist

    def model(squares, y):
        length = numpyro.sample("length", dist.Gamma(4.0, 2.0))
        height = numpyro.sample("height", dist.HalfNormal(1.0))
        sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
        covariance = height**2 * jnp.exp(-0.5 * squares / length**2) + (sigma**2 + 1e-6) * jnp.eye(points)
        numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(points), covariance), obs=y)

    return model, _process_data(points)


# Neighbours are bound to one another: the precision is that of a chain of springs, the scales span two decades.
_SPRING = 10.0


def _scales(dim):
    return 10.0 ** np.random.default_rng(7).uniform(-1, 1, dim)


def gaussian_graph(pm, dim):
    scales = _scales(dim)
    with pm.Model() as model:
        x = pm.Normal("x", 0.0, scales, shape=dim)
        u = x / scales
        pm.Potential("springs", -0.5 * _SPRING * pm.math.sum((u[1:] - u[:-1]) ** 2))
    return model


def gaussian_function(dim):
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist

    def model(scales):
        x = numpyro.sample("x", dist.Normal(0.0, scales))
        u = x / scales
        numpyro.factor("springs", -0.5 * _SPRING * jnp.sum((u[1:] - u[:-1]) ** 2))

    return model, (_scales(dim),)
