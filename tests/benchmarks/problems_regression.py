"""Regressions and hierarchies for the benchmarks, in both languages."""

import numpy as np

EFFECT = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def schools_graph(pm):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 5.0)
        tau = pm.HalfCauchy("tau", 5.0)
        z = pm.Normal("z", 0.0, 1.0, shape=8)
        theta = pm.Deterministic("theta", mu + tau * z)
        pm.Normal("y", theta, ERROR, observed=EFFECT)
    return model


def schools_function():
    import numpyro
    from numpyro import distributions as dist

    def model(y, error):
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
        z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([8]))
        theta = numpyro.deterministic("theta", mu + tau * z)
        numpyro.sample("y", dist.Normal(theta, error), obs=y)

    return model, (EFFECT, ERROR)


def _logistic_data(rows, columns):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, columns))
    p = 1 / (1 + np.exp(-(0.3 + x @ rng.normal(0, 0.5, columns))))
    return x, rng.binomial(1, p)


def logistic_graph(pm, rows, columns):
    x, y = _logistic_data(rows, columns)
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0.0, 1.0)
        beta = pm.Normal("beta", 0.0, 1.0, shape=columns)
        pm.Bernoulli("y", logit_p=intercept + pm.math.dot(x, beta), observed=y)
    return model


def logistic_function(rows, columns):
    import numpyro
    from numpyro import distributions as dist

    def model(x, y):
        intercept = numpyro.sample("intercept", dist.Normal(0.0, 1.0))
        beta = numpyro.sample("beta", dist.Normal(0.0, 1.0).expand([columns]))
        numpyro.sample("y", dist.Bernoulli(logits=intercept + x @ beta), obs=y)

    return model, _logistic_data(rows, columns)


def _linear_data(rows, columns):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(rows, columns))
    return x, 0.3 + x @ rng.normal(0, 0.5, columns) + rng.normal(0, 0.7, rows)


def linear_graph(pm, rows, columns):
    x, y = _linear_data(rows, columns)
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0.0, 1.0)
        beta = pm.Normal("beta", 0.0, 1.0, shape=columns)
        sigma = pm.HalfNormal("sigma", 1.0)
        pm.Normal("y", intercept + pm.math.dot(x, beta), sigma, observed=y)
    return model


def linear_function(rows, columns):
    import numpyro
    from numpyro import distributions as dist

    def model(x, y):
        intercept = numpyro.sample("intercept", dist.Normal(0.0, 1.0))
        beta = numpyro.sample("beta", dist.Normal(0.0, 1.0).expand([columns]))
        sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
        numpyro.sample("y", dist.Normal(intercept + x @ beta, sigma), obs=y)

    return model, _linear_data(rows, columns)


def _slopes_data(rows=919, groups=85):
    rng = np.random.default_rng(2)
    group = rng.integers(0, groups, rows)
    x = rng.binomial(1, 0.3, rows).astype(float)
    alpha, beta = rng.normal(1.4, 0.5, groups), rng.normal(-0.7, 0.3, groups)
    return group, x, alpha[group] + beta[group] * x + rng.normal(0, 0.7, rows), groups


def slopes_graph(pm):
    group, x, y, groups = _slopes_data()
    with pm.Model() as model:
        mu_a, mu_b = pm.Normal("mu_a", 0.0, 5.0), pm.Normal("mu_b", 0.0, 5.0)
        sigma_a, sigma_b = pm.HalfNormal("sigma_a", 1.0), pm.HalfNormal("sigma_b", 1.0)
        a = pm.Normal("a", 0.0, 1.0, shape=groups)
        b = pm.Normal("b", 0.0, 1.0, shape=groups)
        sigma = pm.HalfNormal("sigma", 1.0)
        mean = (mu_a + sigma_a * a)[group] + (mu_b + sigma_b * b)[group] * x
        pm.Normal("y", mean, sigma, observed=y)
    return model


def slopes_function():
    import numpyro
    from numpyro import distributions as dist

    group, x, y, groups = _slopes_data()

    def model(group, x, y):
        mu_a, mu_b = numpyro.sample("mu_a", dist.Normal(0.0, 5.0)), numpyro.sample("mu_b", dist.Normal(0.0, 5.0))
        sigma_a = numpyro.sample("sigma_a", dist.HalfNormal(1.0))
        sigma_b = numpyro.sample("sigma_b", dist.HalfNormal(1.0))
        a = numpyro.sample("a", dist.Normal(0.0, 1.0).expand([groups]))
        b = numpyro.sample("b", dist.Normal(0.0, 1.0).expand([groups]))
        sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
        mean = (mu_a + sigma_a * a)[group] + (mu_b + sigma_b * b)[group] * x
        numpyro.sample("y", dist.Normal(mean, sigma), obs=y)

    return model, (group, x, y)


def _horseshoe_data(columns):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(columns // 2, columns))
    beta = np.zeros(columns)
    beta[:5] = 2.0, -3.0, 1.5, 2.5, -2.0
    return x, x @ beta + rng.normal(size=len(x))


def horseshoe_graph(pm, columns):
    x, y = _horseshoe_data(columns)
    with pm.Model() as model:
        tau = pm.HalfCauchy("tau", 0.1)
        local = pm.HalfCauchy("local", 1.0, shape=columns)
        z = pm.Normal("z", 0.0, 1.0, shape=columns)
        sigma = pm.HalfNormal("sigma", 2.0)
        beta = pm.Deterministic("beta", tau * local * z)
        pm.Normal("y", pm.math.dot(x, beta), sigma, observed=y)
    return model


def horseshoe_function(columns):
    import numpyro
    from numpyro import distributions as dist

    def model(x, y):
        tau = numpyro.sample("tau", dist.HalfCauchy(0.1))
        local = numpyro.sample("local", dist.HalfCauchy(1.0).expand([columns]))
        z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([columns]))
        sigma = numpyro.sample("sigma", dist.HalfNormal(2.0))
        beta = numpyro.deterministic("beta", tau * local * z)
        numpyro.sample("y", dist.Normal(x @ beta, sigma), obs=y)

    return model, _horseshoe_data(columns)
