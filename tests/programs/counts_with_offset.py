"""Overdispersed counts with an exposure: a negative binomial with an offset, data that can be replaced."""

import numpy as np

rng = np.random.default_rng(17)
HOURS, RAIN = rng.uniform(1, 10, 100), rng.normal(size=100)
ACCIDENTS = rng.negative_binomial(4, 4 / (4 + HOURS * np.exp(-0.4 + 0.5 * RAIN)))


def build(pm):
    with pm.Model() as model:
        model.add_coord("day", np.arange(100))
        rain = pm.Data("rain", RAIN, dims="day")
        hours = pm.Data("hours", HOURS, dims="day")
        beta = pm.Normal("beta", mu=0, sigma=1, shape=(2,))
        alpha = pm.Exponential("alpha", scale=4.0)
        mu = pm.math.exp(beta[0] + beta[1] * rain + pm.math.log(hours))
        pm.NegativeBinomial("accidents", mu=mu, alpha=alpha, observed=ACCIDENTS, shape=rain.shape[0], dims="day")
    return model, ["beta", "alpha"]
