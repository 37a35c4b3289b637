"""Models that several tests share, each as users would write it."""

import numpy as np

import pyrox as px

EFFECT = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def eight_schools(effect=EFFECT):
    with px.Model(coords={"school": list("ABCDEFGH")}) as model:
        mu = px.Normal("mu", 0.0, 5.0)
        tau = px.HalfCauchy("tau", 5.0)
        z = px.Normal("z", 0.0, 1.0, dims="school")
        theta = px.Deterministic("theta", mu + tau * z, dims="school")
        y = px.Data("effect", effect, dims="school")
        px.Normal("y", theta, ERROR, observed=y, dims="school")
    return model


def schools_function(effect, error):
    """The same as a plain function of the same statements."""
    mu = px.Normal("mu", 0.0, 5.0)
    tau = px.HalfCauchy("tau", 5.0)
    z = px.Normal("z", 0.0, 1.0, shape=8)
    theta = px.Deterministic("theta", mu + tau * z)
    px.Normal("y", theta, error, observed=effect)


def logistic(rows=1000, columns=24, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns))
    beta = rng.normal(0, 0.5, columns)
    y = rng.binomial(1, 1 / (1 + np.exp(-(x @ beta))))
    with px.Model() as model:
        intercept = px.Normal("intercept", 0.0, 1.0)
        slopes = px.Normal("beta", 0.0, 1.0, shape=columns)
        px.Bernoulli("y", logit_p=intercept + px.math.dot(px.Data("x", x), slopes), observed=y)
    return model


def varying_slopes(rows=919, groups=85, seed=0):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, rows)
    floor = rng.binomial(1, 0.3, rows).astype(float)
    alpha, beta = rng.normal(1.4, 0.5, groups), rng.normal(-0.7, 0.3, groups)
    y = alpha[group] + beta[group] * floor + rng.normal(0, 0.7, rows)
    with px.Model(coords={"county": np.arange(groups), "home": np.arange(rows)}) as model:
        mu_a, mu_b = px.Normal("mu_a", 0.0, 5.0), px.Normal("mu_b", 0.0, 5.0)
        sigma_a, sigma_b = px.HalfNormal("sigma_a", 1.0), px.HalfNormal("sigma_b", 1.0)
        a = px.Normal("a", 0.0, 1.0, dims="county")
        b = px.Normal("b", 0.0, 1.0, dims="county")
        sigma = px.HalfNormal("sigma", 1.0)
        mean = (mu_a + sigma_a * a)[group] + (mu_b + sigma_b * b)[group] * floor
        px.Normal("y", mean, sigma, observed=y, dims="home")
    return model
